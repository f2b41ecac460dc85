"""Fatigue: toughness that falls with the elastic energy which cycling has passed through a place (docs/physics.md 1.5).

Along the history of a place, with α the energy density that drives damage there,

    ᾱ = ∫ max(dα/dt, 0) dt,   Gc → f Gc,   f = 1 up to ᾱ = α_T, then [2 α_T/(ᾱ + α_T)]²

Each load cycle of amplitude α adds α. What sound material of energy α bears is f times its onset α₀, so it breaks once
ᾱ > α_T (2 √(α₀/α) - 1): a Wöhler line, which the tests hold the model to.

======  ===========  =====
symbol  variable     unit
======  ===========  =====
α       active       J/m³, (1 - d)² ψ₊
ᾱ       accumulated  J/m³
α_T     threshold    J/m³
f       share        1
======  ===========  =====

Source: Carrara, Ambati, Alessi & De Lorenzis, Comput. Methods Appl. Mech. Engrg. 361, 112731 (2020), from memory.
"""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from multiscale.domain import Domain
from multiscale.solvers.solver import PETSc, assemble_into


def toughness_left(accumulated: Any, threshold: float) -> Any:
    """Share f of Gc that is left after an accumulated energy density (J/m³)."""
    return np.where(accumulated <= threshold, 1.0, (2 * threshold / (accumulated + threshold)) ** 2)


class Wear:
    """The history of a body, node by node (values averaged over the cells around).

    Args:
        domain: the body.
        threshold: α_T, J/m³.
    """

    def __init__(self, domain: Domain, threshold: float) -> None:
        """A body without history."""
        self.domain, self.threshold = domain, threshold
        space = fem.functionspace(domain.mesh, ("P", 1))
        self.share, self.accumulated, self.last = (fem.Function(space) for _ in range(3))
        self.share.x.array[:] = 1.0

    def watch(self, active: Any) -> None:
        """Take the energy density that drives damage, J/m³ (expression)."""
        v = ufl.TestFunction(self.share.function_space)
        dx = self.domain.dx(degree=3)
        self._energy, self._weight = fem.form(active * v * dx), fem.form(self.domain.constant(1.0) * v * dx)
        self._mean = fem.Function(self.share.function_space)
        self._size = self._assembled(self._weight)

    def step(self) -> None:
        """Add what the present state has risen above the last one."""
        now = self._assembled(self._energy) / self._size
        self.accumulated.x.array[:] += np.maximum(now - self.last.x.array, 0.0)
        self.last.x.array[:] = now
        self.renew()

    def renew(self) -> None:
        """The share from what has been accumulated."""
        self.share.x.array[:] = toughness_left(self.accumulated.x.array, self.threshold)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """What `restore` needs (local arrays)."""
        return self.accumulated.x.array.copy(), self.last.x.array.copy()

    def restore(self, kept: tuple[np.ndarray, np.ndarray]) -> None:
        """Go back to a `state`."""
        self.accumulated.x.array[:], self.last.x.array[:] = kept
        self.renew()

    def _assembled(self, form: Any) -> np.ndarray:
        """Nodal integrals, ghosts included."""
        vector = self._mean.x.petsc_vec
        assemble_into(vector, form)
        vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        self._mean.x.scatter_forward()
        return np.array(self._mean.x.array)
