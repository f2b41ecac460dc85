"""Newton's method on a part of the unknowns of a space: some do not exist, groups of others are one unknown.

The full residual F and matrix J are assembled as ever; with the prolongation P (a row for each unknown of the space, a
column for each that is solved for) the solver sees Pᵀ F(P x) and Pᵀ J P. A group, such as the potential of a metal along its
surface, thus has exactly one value, and its equation is the sum of its rows.
"""

import time
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import RunFailure
from multiscale.solver import STAGNATION, NonlinearSolver, PETSc, SolveReport, fem_petsc, reason_name

MASTER = 0
"""Rank that owns the unknowns of the groups."""


def prolongation(space: Any, single: np.ndarray, groups: Sequence[np.ndarray]) -> Any:
    """Matrix P from the unknowns solved for to those of a space.

    Args:
        space: function space.
        single: this rank's unknowns (local, unrolled; ghosts are ignored) that stand for themselves.
        groups: for each group, this rank's unknowns in it; the same number of groups on every rank.
    """
    comm, index_map, bs = space.mesh.comm, space.dofmap.index_map, space.dofmap.index_map_bs
    rows = index_map.size_local * bs
    single = np.unique(single[single < rows])
    columns = len(single) + (len(groups) if comm.rank == MASTER else 0)
    sizes = comm.allgather((columns, len(single)))
    starts = np.cumsum([0, *(size for size, _ in sizes)])
    column = np.full(rows, -1, dtype=PETSc.IntType)
    column[single] = starts[comm.rank] + np.arange(len(single))
    for k, group in enumerate(groups):
        column[group[group < rows]] = starts[MASTER] + sizes[MASTER][1] + k
    present = column >= 0
    pointer = np.concatenate([[0], np.cumsum(present)]).astype(PETSc.IntType)
    matrix = PETSc.Mat().createAIJ(
        ((rows, None), (columns, None)), csr=(pointer, column[present], np.ones(int(present.sum()))), comm=comm
    )
    matrix.assemble()
    return matrix


class ConstrainedSolver(NonlinearSolver):
    """`NonlinearSolver` for the unknowns of a prolongation only; the others stay zero.

    Args:
        residual, unknown, bcs: as `NonlinearSolver`.
        prolong: of `prolongation`.
    """

    def __init__(self, residual: ufl.Form, unknown: fem.Function, bcs: Sequence[Any], prolong: Any) -> None:
        """Compile the forms and set the reduced matrix up."""
        super().__init__(residual, unknown, bcs)
        self.P = prolong
        self._x, _ = prolong.createVecs()
        self._f = self._x.duplicate()
        ones = self._residual.x.petsc_vec.duplicate()
        ones.set(1.0)
        self._count = self._x.duplicate()
        prolong.multTranspose(ones, self._count)
        self._assemble_full()
        self.reduced = self.matrix.ptap(prolong)
        this: Any = weakref.proxy(self)
        self.snes.setFunction(lambda snes, x, f: this._reduced_function(snes, x, f), self._f)
        self.snes.setJacobian(lambda snes, x, J, P: this._reduced_jacobian(snes, x), self.reduced)

    def _assemble_full(self) -> None:
        self.matrix.zeroEntries()
        fem_petsc.assemble_matrix(self.matrix, self.J, bcs=self.bcs)
        self.matrix.assemble()

    def _reduced_function(self, snes: Any, x: Any, f: Any) -> None:
        full = self._guess.x.petsc_vec
        self.P.mult(x, full)
        diagonal, self._diagonal = self._diagonal, None  # the tolerance is set below, in the reduced unknowns
        self._function(snes, full, self._residual.x.petsc_vec)
        self._diagonal = diagonal
        self.P.multTranspose(self._residual.x.petsc_vec, f)
        self._aim(snes, x)

    def _reduced_jacobian(self, snes: Any, x: Any) -> None:
        self._assemble_full()
        self.matrix.ptap(self.P, result=self.reduced)
        self._diagonal = self.reduced.getDiagonal()
        self._aim(snes, x)

    def solve(self) -> SolveReport:
        """Solve from the values now in the unknown (the mean of a group).

        Raises:
            RunFailure: no convergence; the message names the prefix and PETSc's reason. The unknown keeps its first guess.
        """
        start = time.perf_counter()
        before = self.u.x.array.copy()
        self._residual.x.array[:] = before
        self.P.multTranspose(self._residual.x.petsc_vec, self._x)
        self._x.pointwiseDivide(self._x, self._count)
        self.__dict__.update(_rounding=1e-300, _diagonal=None)
        self.snes.solve(None, self._x)
        reason, norm = self.snes.getConvergedReason(), float(self.snes.getFunctionNorm())
        name, iterations = reason_name(PETSc.SNES, reason), self.snes.getIterationNumber()
        if reason == PETSc.SNES.ConvergedReason.DIVERGED_LINE_SEARCH and norm <= STAGNATION * self._rounding:
            reason, name = PETSc.SNES.ConvergedReason.CONVERGED_FNORM_ABS, "CONVERGED_ROUNDING"
        if reason <= 0 or not np.isfinite(norm):
            self.u.x.array[:] = before
            label = self.prefix.rstrip("_")
            raise RunFailure(f"nonlinear solve {label} failed: {name} after {iterations} iterations (residual {norm:.3g})")
        self.P.mult(self._x, self._guess.x.petsc_vec)
        self.u.x.array[:] = self._guess.x.array
        self.u.x.scatter_forward()
        return SolveReport(iterations, norm, name, self._x.getSize(), time.perf_counter() - start)
