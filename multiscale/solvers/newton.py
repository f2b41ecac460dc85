"""Newton's method with line search, on top of the options and the linear solvers of `solver`."""

import itertools
import time
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import RunFailure
from multiscale.solvers.solver import (
    NEWTON,
    OPTIONS,
    ROUNDING,
    SMALLEST,
    STAGNATION,
    PETSc,
    SolveReport,
    assemble_into,
    configure,
    fem_petsc,
    linear_method,
    reason_name,
    unknowns_of,
)

_counter = itertools.count()


class NonlinearSolver:
    """Newton's method with line search on F(u; w) = 0, for repeated solves from the last solution.

    The iteration goes on until the residual lies at the rounding error of its own evaluation (ROUNDING times |J| |x|,
    estimated from the diagonal), so that currents balance to rounding; the size of the first residual, which
    exponential kinetics make arbitrary, does not matter. Newton's last step is nearly free. Where the line search finds
    nothing better although the residual is within STAGNATION of that level, the solve has converged too
    ("CONVERGED_ROUNDING").

    Args:
        residual: UFL form linear in its test function; changing numbers belong in fem.Constant or fem.Function.
        unknown: function (of a scalar, vector or mixed space) that holds the first guess and receives the solution.
        bcs: Dirichlet conditions.
        jacobian: bilinear form; the derivative of the residual unless given.
        method, spd, near_nullspace, prefix: as `LinearSolver`; `spd` is False unless given.
        rtol, max_iterations: stop earlier, at a residual reduced by `rtol` (0: never); give up after so many.
    """

    kind = "nonlinear"

    def __init__(
        self, residual: ufl.Form, unknown: fem.Function, bcs: Sequence[Any] = (), jacobian: ufl.Form | None = None,
        method: str = "auto", spd: bool = False, near_nullspace: Any = None, prefix: str | None = None,
        rtol: float = 0.0, max_iterations: int = 50,
    ) -> None:  # fmt: skip
        """Compile the forms and set PETSc's SNES up."""
        space = unknown.function_space
        self.u, self.bcs = unknown, list(bcs)
        self.F = fem.form(residual)
        self.J = fem.form(jacobian if jacobian is not None else ufl.derivative(residual, unknown, ufl.TrialFunction(space)))
        self.prefix = prefix or f"newton_{next(_counter)}_"
        self.unknowns = unknowns_of(space)
        self._residual, self._guess = fem.Function(space), fem.Function(space)
        self.matrix = self._new_matrix()
        if near_nullspace is not None:
            self.matrix.setNearNullSpace(near_nullspace)
        self.snes = PETSc.SNES().create(space.mesh.comm)
        this: Any = weakref.proxy(self)  # PETSc must not keep its owner alive, or nothing is ever freed
        self.snes.setFunction(lambda snes, x, f: this._function(snes, x, f), self._residual.x.petsc_vec)
        self.snes.setJacobian(lambda snes, x, J, P: this._jacobian(snes, x, J, P), self.matrix)
        self._limits = {"rtol": rtol, "stol": 0.0, "max_it": max_iterations}
        self._rounding, self._diagonal = SMALLEST, None
        configure(self.snes, self.prefix, {**NEWTON, **OPTIONS[linear_method(method, self.unknowns, spd)]})
        if spd:
            self.matrix.setOption(PETSc.Mat.Option.SPD, True)

    def _new_matrix(self) -> Any:
        return fem_petsc.create_matrix(self.J)

    def _function(self, snes: Any, x: Any, f: Any) -> None:
        self._evaluate(x, f)
        self._aim(snes, x)

    def _evaluate(self, x: Any, f: Any) -> None:
        """Residual f of the values x."""
        x.copy(self.u.x.petsc_vec)
        self.u.x.scatter_forward()
        assemble_into(f, self.F)
        fem_petsc.apply_lifting(f, [self.J], [self.bcs], [self.u.x.petsc_vec], -1.0)
        f.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        fem_petsc.set_bc(f, self.bcs, self.u.x.petsc_vec, -1.0)

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, self.J, bcs=self.bcs)
        matrix.assemble()
        self._diagonal = matrix.getDiagonal()
        self._aim(snes, x)

    def _aim(self, snes: Any, x: Any) -> None:
        """Set the residual to reach to the rounding error of its evaluation at x."""
        if self._diagonal is not None:
            self._rounding = max(ROUNDING * (self._diagonal * x).norm(), SMALLEST)
        snes.setTolerances(atol=self._rounding, **self._limits)

    def solve(self) -> SolveReport:
        """Solve from the values now in the unknown.

        Raises:
            RunFailure: no convergence; the message names the prefix and PETSc's reason. The unknown keeps its first guess.
        """
        start = time.perf_counter()
        before = self.u.x.array.copy()
        self._rounding, self._diagonal = SMALLEST, None
        self._start_from(before)
        self.snes.solve(None, self._guess.x.petsc_vec)
        iterations, norm, name = self._verdict(before)
        self.u.x.array[:] = self._guess.x.array
        self.u.x.scatter_forward()
        return SolveReport(iterations, norm, name, self.unknowns, time.perf_counter() - start)

    def _start_from(self, values: np.ndarray) -> None:
        """Make the first guess of the values that the unknown holds."""
        self._guess.x.array[:] = values

    def _verdict(self, before: np.ndarray) -> tuple[int, float, str]:
        """Iterations, residual and reason of a solve that converged. Else the unknown is as before, and RunFailure is raised."""
        reason, norm = self.snes.getConvergedReason(), float(self.snes.getFunctionNorm())
        name, iterations = reason_name(PETSc.SNES, reason), self.snes.getIterationNumber()
        reasons = PETSc.SNES.ConvergedReason
        stuck = reasons.DIVERGED_LINE_SEARCH, reasons.DIVERGED_LOCAL_MIN, reasons.DIVERGED_MAX_IT
        if reason in stuck and norm <= STAGNATION * self._rounding:
            reason, name = reasons.CONVERGED_FNORM_ABS, "CONVERGED_ROUNDING"
        if reason <= 0 or not np.isfinite(norm):
            self.u.x.array[:] = before
            label = self.prefix.rstrip("_")
            raise RunFailure(f"{self.kind} solve {label} failed: {name} after {iterations} iterations (residual {norm:.3g})")
        return iterations, norm, name


def solve_nonlinear(residual: ufl.Form, unknown: fem.Function, bcs: Sequence[Any] = (), **choices: Any) -> SolveReport:
    """Solve F(u; w) = 0 once; `choices` are the keyword arguments of `NonlinearSolver` (any other raises TypeError)."""
    return NonlinearSolver(residual, unknown, bcs, **choices).solve()
