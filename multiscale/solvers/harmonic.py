"""Response of a linearised system to a small periodic drive: (K + iωM) x = b as a real system of twice the size.

With x = x′ + i x″ and a real b, the two blocks are K x′ - ωM x″ = b and ωM x′ + K x″ = 0, so that PETSc with real numbers
serves. Nothing here knows physics.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from dolfinx import fem

from coupling.errors import RunFailure
from multiscale.solvers.solver import OPTIONS, PETSc, assemble_into, configure, fem_petsc, reason_name

ACCURACY = 1e-8
"""Largest residual, relative to the drive and computed anew, of a solve that counts as converged."""

_counter = itertools.count()


class HarmonicSolver:
    """Solves (K + iωM) x = b for any ω on the unknowns of a prolongation.

    Args:
        space: function space of the unknowns.
        stiffness: compiled bilinear form of K.
        mass: compiled bilinear form of M; None: nothing is stored, and every answer is the steady one.
        drive: compiled linear form of b.
        bcs: Dirichlet conditions; their unknowns do not answer.
        prolong: of `constrained_solver.prolongation`.
    """

    def __init__(self, space: Any, stiffness: Any, mass: Any, drive: Any, bcs: Sequence[Any], prolong: Any) -> None:
        """Assemble all three with the constants as they now are."""
        self.space, self.P = space, prolong
        self.K = self._reduced(stiffness, bcs, 1.0)
        self.M = None if mass is None else self._reduced(mass, bcs, 0.0)
        load = fem.Function(space)
        assemble_into(load.x.petsc_vec, drive)
        load.x.petsc_vec.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        for bc in bcs:
            load.x.array[bc.dof_indices()[0]] = 0.0
        self.b, _ = prolong.createVecs()
        prolong.multTranspose(load.x.petsc_vec, self.b)
        self._part, self._full = self.b.duplicate(), fem.Function(space)

    def _reduced(self, form: Any, bcs: Sequence[Any], diagonal: float) -> Any:
        matrix = fem_petsc.create_matrix(form)
        fem_petsc.assemble_matrix(matrix, form, list(bcs), diagonal)
        matrix.assemble()
        return matrix.ptap(self.P)

    def solve(self, angular_frequency: float) -> np.ndarray:
        """Complex response of every local unknown of the space (ghosts included) at ω, 1/s.

        Raises:
            RunFailure: the linear solve failed; the message names the frequency.
        """
        ω = angular_frequency
        if self.M is None or ω == 0:
            return self._spread(self._direct(self.K, self.b, ω).array_r).astype(complex)
        M = self.M.copy()
        M.scale(ω)
        minus = M.copy()
        minus.scale(-1.0)
        both = PETSc.Mat().createNest([[self.K, minus], [M, self.K]], comm=self.K.getComm()).convert("aij")
        right, _ = both.createVecs()
        size = self.b.getLocalSize()
        right.array = np.concatenate([self.b.array_r, np.zeros(size)])
        x = self._direct(both, right, ω).array_r
        answer = self._spread(x[:size]) + 1j * self._spread(x[size:])
        for used in (M, minus, both, right):
            used.destroy()
        return answer

    def _direct(self, matrix: Any, right: Any, ω: float) -> Any:
        ksp = PETSc.KSP().create(matrix.getComm())
        ksp.setOperators(matrix)
        ksp.setErrorIfNotConverged(False)
        configure(ksp, f"harmonic_{next(_counter)}_", OPTIONS["direct"])
        x, left_over = right.duplicate(), right.duplicate()
        ksp.solve(right, x)
        matrix.mult(x, left_over)
        left_over.axpy(-1.0, right)
        reason, norm = ksp.getConvergedReason(), left_over.norm()
        ksp.destroy()
        if reason <= 0 or not norm <= ACCURACY * right.norm():
            why = reason_name(PETSc.KSP, reason) if reason <= 0 else "the equations are singular"
            raise RunFailure(f"response at {ω / (2 * np.pi):.6g} Hz failed: {why} (residual {norm:.3g} of {right.norm():.3g})")
        return x

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Local values of the whole space from those solved for."""
        self._part.array = values
        self.P.mult(self._part, self._full.x.petsc_vec)
        self._full.x.scatter_forward()
        return self._full.x.array.copy()
