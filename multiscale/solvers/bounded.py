"""Newton's method between bounds: lower ≤ x ≤ upper, with equality where the residual pushes against a bound."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import BOUNDED, ROUNDING, SMALLEST

MARGIN = 10.0
"""Multiple of the rounding error of one term that the sum of a row's terms may reach."""


class BoundedSolver(NonlinearSolver):
    """`NonlinearSolver` for a variational inequality: the minimum of a convex energy under bounds (reduced-space active set).

    Args:
        residual: variation of the energy.
        unknown: function that holds the first guess and receives the solution.
        lower, upper: functions of the same space (the upper of the size of the unknown); their values may
            change between solves.
        quadratic: the energy is quadratic in the unknown, so that one matrix and one vector make a whole solve.
    """

    kind = "bounded"

    def __init__(
        self, residual: ufl.Form, unknown: fem.Function, lower: fem.Function, upper: fem.Function, quadratic: bool = False
    ) -> None:
        """Compile the forms and set PETSc's SNES up."""
        super().__init__(residual, unknown, spd=True)
        self.lower, self.upper, self.quadratic = lower, upper, quadratic
        self._constant: Any = None
        self.snes.setType(BOUNDED)

    def _begin(self) -> None:
        """Matrix A and vector b of the residual A x + b of a quadratic energy, at the first guess."""
        x, f = self._guess.x.petsc_vec, self._residual.x.petsc_vec
        super()._evaluate(x, f)
        super()._jacobian(self.snes, x, self.matrix, self.matrix)
        self._constant = f.copy()
        self.matrix.mult(x, f)
        self._constant.axpy(-1.0, f)

    def _evaluate(self, x: Any, f: Any) -> None:
        if not self.quadratic:
            super()._evaluate(x, f)
            return
        self.matrix.multAdd(x, self._constant, f)

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        if not self.quadratic:
            super()._jacobian(snes, x, matrix, preconditioner)

    def _aim(self, snes: Any, x: Any) -> None:
        """Residual to reach: the rounding error at the bounds' size, since terms of that size may cancel at x = 0."""
        if self._diagonal is not None:
            self._rounding = max(MARGIN * ROUNDING * (self._diagonal * self._size).norm(), SMALLEST)
        snes.setTolerances(atol=self._rounding, **self._limits)

    def _start_from(self, values: np.ndarray) -> None:
        """First guess moved between the bounds, which are read anew; matrix and vector of a quadratic energy there."""
        self._guess.x.array[:] = np.clip(values, self.lower.x.array, self.upper.x.array)
        low, high = self.lower.x.petsc_vec, self.upper.x.petsc_vec
        self._size = high.copy()
        self._size.abs()
        self.snes.setVariableBounds(low, high)
        if self.quadratic:
            self._begin()
