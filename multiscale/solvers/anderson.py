"""Anderson's acceleration of a fixed-point iteration x → G(x): the next place from several of the last ones.

With the residuals f = G(x) - x of the last places, the combination of them that is smallest (least squares, weights that sum
to one) is taken, and the same combination of G is the next place. Where one slow mode is left, two places are enough to end it.

Source: Walker & Ni, SIAM J. Numer. Anal. 49, 1715 (2011), unconstrained form. On alternate minimisation of phase-field
fracture: Storvik et al., Comput. Methods Appl. Mech. Eng. 381, 113822 (2021).
"""

from typing import Any

import numpy as np
from mpi4py import MPI

DEPENDENT = 1e-6
"""Singular value, relative to the largest, below which a difference of residuals counts as a combination of the others."""


class Anderson:
    """The last places of an iteration and what it made of them (this rank's owned values).

    Args:
        comm: MPI communicator; every rank calls every method.
        depth: how many differences of places are used.
    """

    def __init__(self, comm: Any, depth: int) -> None:
        """Nothing is known yet."""
        self.comm, self.depth = comm, depth
        self._residuals, self._images = list[np.ndarray](), list[np.ndarray]()

    def forget(self) -> None:
        """Start anew."""
        self._residuals.clear()
        self._images.clear()

    def next(self, place: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Next place after one place x and its image G(x), shapes (n,) each (n may differ between ranks)."""
        self._residuals.append(image - place)
        self._images.append(image.copy())
        del self._residuals[: -self.depth - 1], self._images[: -self.depth - 1]
        if len(self._images) == 1:
            return self._images[-1].copy()
        steps = np.diff(np.array(self._residuals), axis=0)
        products = np.vstack([steps @ steps.T, steps @ self._residuals[-1]])
        products = self.comm.allreduce(products, op=MPI.SUM)
        share = self.comm.bcast(_least_squares(products[:-1], products[-1]))
        return self._images[-1] - share @ np.diff(np.array(self._images), axis=0)


def _least_squares(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Coefficients γ that make |f - Σ γᵢ sᵢ| least, from the products sᵢ·sⱼ and sᵢ·f; dependent sᵢ are left out.

    Each s is scaled to length one first, since the last ones are much smaller than the first.
    """
    size = np.sqrt(np.diag(gram))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    kept = values > DEPENDENT**2 * values[-1]
    return vectors[:, kept] @ ((vectors[:, kept].T @ (right / size)) / values[kept]) / size
