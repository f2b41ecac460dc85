"""Effective conductivity of voxel images: two discretisations on the voxel grid that enclose the answer (docs/physics.md 1.12).

Strong form ∇·(κ ∇u) = 0 with u = E·x + v. On a pair of plates v = 0 and the other faces insulate (as in TauFactor), or v is
periodic. Both schemes are a stencil with A v = b and give, in the volume V of the image, the energy of the exact current as

    E·κ_eff E = E·K E - b·v / V,   K E·E the energy of the uniform field.

**volumes**: one unknown a voxel, harmonic conductance between neighbours, half a voxel to a plate: what TauFactor solves. It is
the lowest-order mixed method with trapezoidal quadrature (Russell & Wheeler 1983): its flux is divergence-free and the
trapezoidal rule overestimates its dissipation, so by Thomson's principle κ_volumes ≤ κ_eff.
**elements**: trilinear potential on the corners: by Dirichlet's principle κ_eff ≤ κ_elements.
So the pair encloses the conductivity of the image as it is cut into voxels; what the cutting itself cost, it cannot say.

======  =============  ==========================
symbol  variable       unit
======  =============  ==========================
κ       conductivity   S/m, one value a voxel
E       axis           1, unit field along an axis
v       disturbance    m
======  =============  ==========================
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from mpi4py import MPI

from coupling.errors import UserError
from meshes.voxels import clusters
from multiscale.conduction.voxel_stencil import Stencil, elements, parts, rows, volumes
from multiscale.solvers.matrix import MatrixSolver

Scheme = Literal["volumes", "elements"]
Faces = Literal["plates", "periodic"]
TOLERANCE = 1e-10
"""Residual of a solve relative to its right side."""


@dataclass(frozen=True)
class Effective:
    """Effective conductivity by one scheme.

    Attributes:
        tensor: S/m, shape (d, d). Between plates it is diagonal (image and mirror image make a periodic medium of such
            symmetry); an entry that was not asked for is NaN.
        mean: volume mean of the conductivity, S/m.
        unknowns: the largest number of one solve.
        iterations: of each solve.
        imbalance: largest difference of the current through any two cross-sections normal to the field, over the current.
    """

    tensor: np.ndarray
    mean: float
    unknowns: int
    iterations: tuple[int, ...]
    imbalance: float

    def tortuosity(self, axis: int) -> float:
        """Tortuosity factor: mean conductivity over effective one; infinite where nothing percolates."""
        value = self.tensor[axis, axis]
        return float(self.mean / value) if value > 0 else float("inf")


@dataclass(frozen=True)
class _Solved:
    """Block of the tensor for the fields of one system, and what its solves did."""

    block: np.ndarray
    unknowns: int
    iterations: tuple[int, ...]
    imbalance: float


def effective_conductivity(
    conductivity: np.ndarray, spacing: Sequence[float], scheme: Scheme = "volumes", faces: Faces = "plates",
    axes: Sequence[int] | None = None, comm: MPI.Comm = MPI.COMM_WORLD,
) -> Effective:  # fmt: skip
    """Effective conductivity of an image.

    Args:
        conductivity: of each voxel, S/m, shape (nx, ny[, nz]); zero for insulators. The same on every rank.
        spacing: edge lengths of a voxel, one an axis.
        scheme: "volumes" (lower bound) or "elements" (upper bound).
        faces: "plates" (a pair of equipotential plates, the other faces insulate) or "periodic".
        axes: directions of the field; all unless given.
        comm: MPI communicator.

    Raises:
        UserError: a conductivity is negative or not finite.
        RunFailure: a solve did not converge.
    """
    if not np.isfinite(conductivity).all() or conductivity.min() < 0:
        raise UserError("conductivity of a phase: zero (an insulator) or a positive finite number")
    d = conductivity.ndim
    wanted = list(range(d)) if axes is None else sorted(set(axes))
    fields: dict[int | None, list[int]]
    tensor: np.ndarray = np.full((d, d), np.nan)
    if faces == "periodic":
        fields = {None: wanted}
    else:
        fields = {axis: [axis] for axis in wanted}
        tensor = np.diag([0.0 if axis in wanted else np.nan for axis in range(d)])
    solved = []
    for plates, along in fields.items():
        solved.append(_solve(conductivity, np.asarray(spacing, dtype=float), scheme, plates, along, comm))
        tensor[np.ix_(along, along)] = solved[-1].block
    return Effective(
        tensor, float(conductivity.mean()), max(s.unknowns for s in solved),
        tuple(itertools.chain.from_iterable(s.iterations for s in solved)), max(s.imbalance for s in solved),
    )  # fmt: skip


def _solve(
    conductivity: np.ndarray, spacing: np.ndarray, scheme: Scheme, plates: int | None, fields: Sequence[int], comm: MPI.Comm
) -> _Solved:
    """Block of the tensor for unit fields along `fields`: one matrix, a solve for each."""
    κ = _carrying(conductivity, plates)
    h = spacing / spacing.min()
    build = volumes if scheme == "volumes" else elements
    stencil = build(κ, h, plates, comm.rank, comm.size)
    volume = float(np.prod(h) * κ.size)
    uniform = comm.allreduce(stencil.uniform) / volume
    if stencil.unknowns == 0:
        return _Solved(np.diag(uniform)[np.ix_(fields, fields)], 0, (), 0.0)
    solver = MatrixSolver(rows(stencil, parts(κ > 0, scheme == "elements") if plates is None else None), comm)
    right = [stencil.drives[axis][stencil.inside] for axis in fields]
    block = np.diag(uniform)[np.ix_(fields, fields)]
    iterations, imbalance = [], 0.0
    for k, axis in enumerate(fields):
        disturbed = comm.allreduce(float(right[k] @ right[k])) > 0
        v, residual, count = solver.solve(right[k], TOLERANCE) if disturbed else _nothing(right[k])
        iterations.append(count)
        block[:, k] -= np.array([comm.allreduce(float(other @ v)) for other in right]) / volume
        current = block[k, k] * volume / (κ.shape[axis] * h[axis])
        imbalance = max(imbalance, _imbalance(stencil, residual, axis, current, comm))
    return _Solved((block + block.T) / 2, stencil.unknowns, tuple(iterations), imbalance)


def _nothing(right: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """A field that nothing disturbs."""
    return np.zeros_like(right), np.zeros_like(right), 0


def _carrying(conductivity: np.ndarray, plates: int | None) -> np.ndarray:
    """The conductivity without the voxels that surely carry nothing: what does not reach from plate to plate.

    Between periodic faces, clusters that touch no face drop out; the others carry something or the solve finds that not.
    """
    conducting = conductivity > 0
    if plates is not None:
        return np.where(clusters(conducting).through[plates], conductivity, 0.0)
    number = parts(conducting, False)
    touching = np.zeros(number.max() + 1, dtype=bool)
    for axis in range(number.ndim):
        for end in (0, -1):
            touching[np.take(number, end, axis=axis)] = True
    return np.where(touching[number], conductivity, 0.0)


def _imbalance(stencil: Stencil, residual: np.ndarray, axis: int, current: float, comm: MPI.Comm) -> float:
    """Largest difference of the current through any two cross-sections, over the current (0 where none flows)."""
    plane = np.nonzero(stencil.inside)[axis] + (stencil.first if axis == 0 else 0)
    lost = comm.allreduce(np.bincount(plane, weights=residual, minlength=stencil.shape[axis]))
    total = float(np.ptp(np.concatenate([[0.0], np.cumsum(lost)])))
    return total / current if current > 0 else 0.0
