"""How equations are solved: the only file that knows PETSc options.

Every solve reads the reason PETSc gives and raises `RunFailure` with its name when it is not convergence. Matrices,
factorisation patterns and preconditioners are kept between solves of one object. Nothing here knows physics.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dolfinx.fem.petsc
import numpy as np
import petsc4py.PETSc
import ufl
from dolfinx import fem

from coupling.errors import RunFailure

PETSc: Any = petsc4py.PETSc
fem_petsc: Any = dolfinx.fem.petsc

DIRECT_LIMIT, DIRECT_LIMIT_3D = 150_000, 10_000
"""Unknowns up to which the sparse direct solver (MUMPS) is the default (2-D stays cheap well beyond); coupled ions in 3-D."""

ROUNDING, STAGNATION = 1.5e-15, 10.0
"""Residual level, relative to |J| |x|, that Newton's method aims at (a few roundings: below them every line search only
stagnates), and the multiple of it at which it may stagnate."""
TRUE_RESIDUAL = 1e-5
"""Largest residual, relative to the right side and computed anew, of a linear solve that counts as converged."""
NEARLY = 1e-8
"""Reduction of the residual of a linear solve that need not be an end result."""
SMALLEST = 1e-300
"""Stands for zero where PETSc asks for a residual below a limit."""


def _split(kind: str) -> dict[str, Any]:
    """Potentials and concentrations, each by multigrid (names of the index sets given to the preconditioner)."""
    multigrid = {
        "pc_hypre_boomeramg_coarsen_type": "HMIS", "pc_hypre_boomeramg_interp_type": "ext+i", "pc_hypre_boomeramg_P_max": 4,
        "pc_hypre_boomeramg_strong_threshold": 0.5, "pc_hypre_boomeramg_agg_nl": 1, "pc_type": "hypre", "ksp_type": "preonly",
    }  # fmt: skip
    parts = {f"fieldsplit_{field}_{key}": v for field in ("potential", "concentration") for key, v in multigrid.items()}
    parts |= {"ksp_type": "bcgs", "ksp_pc_side": "right", "ksp_rtol": 1e-6, "ksp_max_it": 150, "pc_type": "fieldsplit"}
    return {**parts, "pc_fieldsplit_type": kind}


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "direct": {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_solver_type": "mumps"},
    "direct-spd": {"ksp_type": "preonly", "pc_type": "cholesky", "pc_factor_mat_solver_type": "mumps"},
    "amg": {  # scalar diffusion with contrasts (11 iterations at contrast 1e6)
        "ksp_type": "cg", "ksp_rtol": 1e-11, "ksp_max_it": 500, "pc_type": "hypre", "pc_hypre_type": "boomeramg",
        "pc_hypre_boomeramg_coarsen_type": "HMIS", "pc_hypre_boomeramg_interp_type": "ext+i",
        "pc_hypre_boomeramg_P_max": 4, "pc_hypre_boomeramg_agg_nl": 1, "pc_hypre_boomeramg_strong_threshold": 0.5,
    },
    "direct-reused": {  # a factorisation that may be of an older matrix, mended by conjugate gradients
        "ksp_type": "cg", "ksp_rtol": 1e-11, "ksp_max_it": 60, "pc_type": "cholesky", "pc_factor_mat_solver_type": "mumps",
    },
    "direct-kept": {"ksp_type": "gmres", "ksp_pc_side": "right", "ksp_rtol": 1e-8, "ksp_max_it": 30,  # may be of an older matrix
        "pc_type": "lu", "pc_factor_mat_solver_type": "mumps"},
    "elastic": {  # needs the rigid-body near-nullspace
        "ksp_type": "cg", "ksp_rtol": 1e-11, "ksp_max_it": 500, "pc_type": "gamg", "pc_gamg_agg_nsmooths": 1,
        "pc_gamg_threshold": 0.02, "mg_levels_ksp_type": "chebyshev", "mg_levels_pc_type": "jacobi",
    },
    "general": {  # coupled, non-symmetric, large
        "ksp_type": "fgmres", "ksp_rtol": 1e-9, "ksp_max_it": 500, "ksp_gmres_restart": 100, "pc_type": "asm",
        "sub_pc_type": "ilu", "sub_pc_factor_levels": 2,
    },
    "split": _split("multiplicative"), "split-lean": _split("additive"),  # in 3-D: no copy of what couples the fields
}  # fmt: skip
"""Linear solvers by name; `method` of every function here is one of these or "auto"."""

NEWTON: Mapping[str, Any] = {"snes_type": "newtonls", "snes_linesearch_type": "bt", "snes_linesearch_order": 2}
BOUNDED = "vinewtonrsls"  # Newton's method with bounds: active set in the reduced space
_counter = itertools.count()


@dataclass(frozen=True)
class SolveReport:
    """What a solve did.

    Attributes:
        iterations: Newton iterations (linear iterations for a linear solve).
        residual: last residual norm, in the residual's unit.
        reason: PETSc's name for why it stopped, for example "CONVERGED_FNORM_RELATIVE".
        unknowns: global number of unknowns.
        wall_s: seconds.
    """

    iterations: int
    residual: float
    reason: str
    unknowns: int
    wall_s: float


def reason_name(kind: Any, reason: int) -> str:
    """PETSc's name of a converged reason; `kind` is PETSc.KSP or PETSc.SNES."""
    known = {value: name for name, value in vars(kind.ConvergedReason).items() if isinstance(value, int)}
    name = known.get(reason, f"reason {reason}")
    prefix = "CONVERGED_" if reason > 0 else "DIVERGED_"
    return name if name.startswith(("CONVERGED", "DIVERGED")) else prefix + name


def unknowns_of(space: Any) -> int:
    """Global number of unknowns of a function space."""
    return space.dofmap.index_map.size_global * space.dofmap.index_map_bs


def linear_method(method: str, unknowns: int, spd: bool) -> str:
    """Method of a linear solver: a name of `OPTIONS`; "auto": direct when small, else multigrid where it is symmetric."""
    if method != "auto":
        if method not in OPTIONS:
            raise ValueError(f"solver method {method!r} is not one of {', '.join(OPTIONS)} or auto")
        return method
    if unknowns <= DIRECT_LIMIT:
        return "direct-spd" if spd else "direct"
    return "amg" if spd else "general"


def chosen_method(method: str, unknowns: int, dimension: int, fields: bool) -> str:
    """Method of a coupled problem that is not symmetric: direct when small, else by fields where they are known."""
    if method == "auto" and fields:
        return "direct" if unknowns <= (DIRECT_LIMIT_3D if dimension == 3 else DIRECT_LIMIT) else "split"
    return linear_method(method, unknowns, False)


def configure(target: Any, prefix: str, options: Mapping[str, Any]) -> None:
    """Give options to one solver under its own prefix; what the user set for that prefix on the command line wins.

    Options of inner solvers stay in PETSc's database, since these are made at the first solve only.
    """
    target.setOptionsPrefix(prefix)
    database = PETSc.Options()
    ours = {f"{prefix}{key}": value for key, value in options.items() if not database.hasName(f"{prefix}{key}")}
    for key, value in ours.items():
        database[key] = value
    target.setFromOptions()
    for key in ours:
        if not key.removeprefix(prefix).startswith(("sub_", "mg_", "fieldsplit_")):
            database.delValue(key)


def rigid_body_modes(space: Any) -> Any:
    """Near-nullspace of elasticity (translations and rotations) for algebraic multigrid, orthonormal."""
    gdim = space.mesh.geometry.dim
    pairs = [(0, 1)] if gdim == 2 else [(0, 1), (1, 2), (2, 0)]

    def translation(axis: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: np.vstack([np.full(x.shape[1], float(i == axis)) for i in range(gdim)])

    def rotation(i: int, j: int) -> Callable[[np.ndarray], np.ndarray]:
        def mode(x: np.ndarray) -> np.ndarray:
            value = np.zeros((gdim, x.shape[1]))
            value[i], value[j] = -x[j], x[i]
            return value

        return mode

    basis: list[Any] = []
    for mode in [translation(axis) for axis in range(gdim)] + [rotation(i, j) for i, j in pairs]:
        field = fem.Function(space)
        field.interpolate(mode)
        vector = field.x.petsc_vec.copy()
        for other in basis:
            vector.axpy(-vector.dot(other), other)
        vector.normalize()
        basis.append(vector)
    return PETSc.NullSpace().create(vectors=basis, comm=space.mesh.comm)


class LinearSolver:
    """Repeated solves of a(u, w) = L(w) that keep matrix, factorisation or preconditioner.

    Args:
        bilinear, linear: UFL forms; numbers that change between solves belong in fem.Constant or fem.Function.
        unknown: function that receives the solution.
        bcs: Dirichlet conditions (their values may change between solves).
        method: a key of OPTIONS or "auto" (direct when small).
        spd: the matrix is symmetric positive definite.
        near_nullspace: for "elastic", of `rigid_body_modes`.
        prefix: PETSc options prefix; unique when left out.
    """

    def __init__(
        self, bilinear: ufl.Form, linear: ufl.Form, unknown: fem.Function, bcs: Sequence[Any] = (),
        method: str = "auto", spd: bool = True, near_nullspace: Any = None, prefix: str | None = None,
    ) -> None:  # fmt: skip
        """Compile the forms and allocate; nothing is assembled yet."""
        self.a, self.L, self.u, self.bcs = fem.form(bilinear), fem.form(linear), unknown, list(bcs)
        self.prefix = prefix or f"linear_{next(_counter)}_"
        self.unknowns = unknowns_of(unknown.function_space)
        self._right = fem.Function(unknown.function_space)
        self.matrix = fem_petsc.create_matrix(self.a)
        if near_nullspace is not None:
            self.matrix.setNearNullSpace(near_nullspace)
        self.ksp = PETSc.KSP().create(unknown.function_space.mesh.comm)
        self.ksp.setOperators(self.matrix)
        self.ksp.setErrorIfNotConverged(False)
        chosen = linear_method(method, self.unknowns, spd)
        self.ksp.setInitialGuessNonzero(chosen == "direct-reused")
        configure(self.ksp, self.prefix, OPTIONS[chosen])
        self._rtol = self.ksp.getTolerances()[0]
        if spd:
            self.matrix.setOption(PETSc.Mat.Option.SPD, True)
        self._assembled = False

    def solve(self, reassemble: bool = False, nearly: bool = False) -> SolveReport:
        """Assemble the right side and solve.

        Args:
            reassemble: the matrix too (always where that has not been done yet).
            nearly: an iterative method may stop at NEARLY, as one part of an iteration may whose end is solved in full.

        Raises:
            RunFailure: the solver did not converge; the message names the prefix and PETSc's reason.
        """
        start = time.perf_counter()
        if reassemble or not self._assembled:
            self.matrix.zeroEntries()
            fem_petsc.assemble_matrix(self.matrix, self.a, bcs=self.bcs)
            self.matrix.assemble()
            self._assembled = True
        b = self._right.x.petsc_vec
        assemble_into(b, self.L)
        fem_petsc.apply_lifting(b, [self.a], [self.bcs])
        b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        fem_petsc.set_bc(b, self.bcs)
        self.ksp.setTolerances(rtol=max(NEARLY, self._rtol) if nearly else self._rtol)
        if not b.norm():  # nothing drives it: an old solution as first guess would leave its rounding
            self.u.x.array[:] = 0.0
        self.ksp.solve(b, self.u.x.petsc_vec)
        self.u.x.scatter_forward()
        reason = self.ksp.getConvergedReason()
        name = reason_name(PETSc.KSP, reason)
        left_over = b.copy()
        self.matrix.multAdd(self.u.x.petsc_vec, -b, left_over)
        norm, size = float(left_over.norm()), float(b.norm())
        if reason <= 0 or not norm <= TRUE_RESIDUAL * size:
            why = name if reason <= 0 else "DIVERGED_SINGULAR (the equations cannot be met: is a boundary value missing?)"
            raise RunFailure(f"linear solve {self.prefix.rstrip('_')} failed: {why} (residual {norm:.3g} of {size:.3g})")
        return SolveReport(self.ksp.getIterationNumber(), norm, name, self.unknowns, time.perf_counter() - start)


def solve_linear(
    bilinear: ufl.Form, linear: ufl.Form, unknown: fem.Function, bcs: Sequence[Any] = (), **choices: Any
) -> SolveReport:
    """Solve a(u, w) = L(w) once; `choices` are the keyword arguments of `LinearSolver` (any other raises TypeError)."""
    return LinearSolver(bilinear, linear, unknown, bcs, **choices).solve()


def assemble_into(vector: Any, form: Any) -> None:
    """Assemble a compiled linear form into a ghosted vector (ghosts not yet added up)."""
    with vector.localForm() as local:
        local.set(0.0)
    fem_petsc.assemble_vector(vector, form)


class Reaction:
    """What fixed values do to a system: the residual of the equation at the fixed unknowns.

    For ohmic conduction it is the current that enters the electrolyte at the fixed boundary (A, or A/m in 2-D), exactly
    balanced by what leaves elsewhere; for elasticity, the force on the held boundary.
    """

    def __init__(self, residual: ufl.Form, space: Any) -> None:
        """Compile the residual (without Dirichlet conditions)."""
        self.F, self.space = fem.form(residual), space
        self._vector = fem.Function(space)

    def total(self, dofs: np.ndarray) -> float:
        """Sum of the residual over local unknowns `dofs` (ghosts are left out), over all ranks."""
        b = self._vector.x.petsc_vec
        assemble_into(b, self.F)
        b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        owned = dofs[dofs < self.space.dofmap.index_map.size_local * self.space.dofmap.index_map_bs]
        return float(self.space.mesh.comm.allreduce(float(np.sum(b.array_r[owned]))))


def reaction(residual: ufl.Form, bc: Any, space: Any) -> float:
    """Total reaction at a Dirichlet condition (`Reaction` for repeated use)."""
    dofs, _ = bc.dof_indices()
    return Reaction(residual, space).total(np.asarray(dofs))


def find_control(
    response: Callable[[float], float], target: float, first: float, second: float, rtol: float = 1e-10, most: int = 40
) -> float:
    """Value of a control (a potential) at which a response (a current) meets its target, by a guarded secant.

    Raises:
        RunFailure: not met within `most` evaluations.
    """
    a, b = first, second
    fa, fb = response(a) - target, response(b) - target
    scale = abs(target) or max(abs(fa), abs(fb))
    for _ in range(most):
        if abs(fb) <= rtol * scale:
            return b
        if fb == fa:
            break
        a, b, fa = b, b - fb * (b - a) / (fb - fa), fb
        fb = response(b) - target
    raise RunFailure(f"the control that gives {target:.6g} was not found: last value {b:.6g}, off by {fb:.3g}")
