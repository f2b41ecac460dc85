"""Repeated solves with a symmetric positive definite matrix that was not assembled from a form."""

import itertools
from typing import Any

import numpy as np
from scipy import sparse

from coupling.errors import RunFailure
from multiscale.solvers.solver import OPTIONS, PETSc, configure, reason_name

_counter = itertools.count()


class MatrixSolver:
    """Keeps the matrix and its preconditioner.

    Args:
        rows: this rank's rows, shape (local, unknowns), columns in global numbers; consecutive ranks hold consecutive rows.
        comm: MPI communicator.
        method: a key of `solver.OPTIONS`.
    """

    def __init__(self, rows: sparse.csr_matrix, comm: Any, method: str = "amg") -> None:
        """Give the matrix to PETSc."""
        local, unknowns = rows.shape
        self.prefix = f"matrix_{next(_counter)}_"
        self.matrix = PETSc.Mat().createAIJ(
            ((local, unknowns), (local, unknowns)),
            csr=(rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data), comm=comm,
        )  # fmt: skip
        self.matrix.setOption(PETSc.Mat.Option.SPD, True)
        self.ksp = PETSc.KSP().create(comm)
        self.ksp.setOperators(self.matrix)
        self.ksp.setErrorIfNotConverged(False)
        configure(self.ksp, self.prefix, OPTIONS[method])

    def solve(self, right: np.ndarray, rtol: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Solution and residual (this rank's rows) and the iterations for a right side (this rank's rows).

        Args:
            right: of this rank's rows, shape (local,).
            rtol: residual to reach, relative to the right side.

        Raises:
            RunFailure: no convergence, with PETSc's reason.
        """
        x, b = self.matrix.createVecs()
        b.array[:] = right
        self.ksp.setTolerances(rtol=rtol)
        self.ksp.solve(b, x)
        reason = self.ksp.getConvergedReason()
        residual = b.duplicate()
        self.matrix.mult(x, residual)
        residual.aypx(-1.0, b)
        norm, size = float(residual.norm()), float(b.norm())
        if reason <= 0 or not norm <= 1e3 * rtol * size:
            name = reason_name(PETSc.KSP, reason)
            raise RunFailure(f"linear solve {self.prefix.rstrip('_')} failed: {name} (residual {norm:.3g} of {size:.3g})")
        return x.array_r.copy(), residual.array_r.copy(), self.ksp.getIterationNumber()
