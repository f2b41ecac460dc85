"""Contact of crack faces: a dry part of the crack that is pressed shut carries the pressure as sound material does.

Lithium that fills a crack holds its faces apart with its own pressure; where there is none they may touch. A smeared crack of
normal n opens by a strain sym(β ⊗ n) of its band; what the band stores is the least energy over the openings that do not
overlap, min ψ(ε - sym(β ⊗ n)) with β·n ≥ 0. Its solution is unilateral contact without friction: gap and contact pressure are
not negative and one of them is zero. No penalty and no parameter enters: a closed band is as stiff as sound material.
"""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from coupling.errors import UserError
from multiscale.domain import Domain
from multiscale.materials import Stiffness
from multiscale.solvers.newton import NonlinearSolver
from multiscale.solvers.solver import ROUNDING, SolveReport, assemble_into

MARGIN = 10.0
"""Multiple of the rounding error of the loads' own nodal forces at which Newton's method may end."""


def touching_energy(strain: Any, stiffness: Stiffness, filled: Any, normal: Any) -> tuple[Any, Any]:
    """Elastic energy density in two parts, J/m³: what the crack loses, and what it keeps.

    Dry: ψ_lost = ⟨σ_nn⟩₊²/(2(λ + 2μ)) + 2μ ε_nt²,  σ_nn = λ tr ε + 2μ ε_nn,  ε_nt the shear of the faces; the rest is kept.
    Filled with lithium: all of ψ is lost.

    ======  =========  =====
    symbol  variable   unit
    ======  =========  =====
    ε       strain     1, with that of the loads that were there before the crack
    n       normal     1, of the crack (vector of three)
    s       filled     1: lithium is there, 0: dry (cell by cell)
    ======  =========  =====

    Source: minimum over β of the isotropic energy; Steinke & Kaliske, Comput. Mech. 63, 1019 (2019) (crack of a direction).

    Raises:
        UserError: a cubic crystal.
    """
    if stiffness.cubic is not None:
        raise UserError("contact of crack faces goes with isotropic grains only; leave the anisotropy out, or the contact")
    λ, μ = stiffness.first_lame, stiffness.shear_modulus
    whole = λ / 2 * ufl.tr(strain) ** 2 + μ * ufl.inner(strain, strain)
    along = ufl.dot(strain, normal)
    ε_nn = ufl.dot(along, normal)
    pulled = ufl.max_value(λ * ufl.tr(strain) + 2 * μ * ε_nn, 0.0)
    sheared = ufl.dot(along, along) - ε_nn**2
    lost = pulled**2 / (2 * (λ + 2 * μ)) + 2 * μ * sheared
    return lost + filled * (whole - lost), (1 - filled) * (whole - lost)


class TouchingSolver(NonlinearSolver):
    """Newton's method for the displacement of a body under loads that are there before it moves.

    Their nodal forces cancel where nothing is broken, up to rounding: that of a displacement of strain times cell size.
    """

    def __init__(self, residual: Any, unknown: fem.Function, bcs: Any, strain: Any, domain: Domain) -> None:
        """Take the strain of the loads (3×3, or None without any)."""
        super().__init__(residual, unknown, bcs, spd=True)
        self._moved, self._loads = 0.0, None if strain is None else _Largest(strain, domain)

    def solve(self) -> SolveReport:
        """As `NonlinearSolver`, under the loads as they are now."""
        self._moved = 0.0 if self._loads is None else self._loads.change_of_length()
        return super().solve()

    def _aim(self, snes: Any, x: Any) -> None:
        super()._aim(snes, x)
        if self._diagonal is not None:
            self._rounding = max(self._rounding, MARGIN * ROUNDING * self._moved * self._diagonal.norm())
            snes.setTolerances(atol=self._rounding, **self._limits)


class _Largest:
    """Largest √(∫ ε0:ε0 dx) of a cell: in the plane its strain times its size, m."""

    def __init__(self, strain: Any, domain: Domain) -> None:
        cells = fem.functionspace(domain.mesh, ("DG", 0))
        self.comm, self._stretch = domain.comm, fem.Function(cells)
        self._form = fem.form(ufl.inner(strain, strain) * ufl.TestFunction(cells) * domain.dx())

    def change_of_length(self) -> float:
        """Of the strain as it is, m."""
        assemble_into(self._stretch.x.petsc_vec, self._form)
        owned = self._stretch.function_space.dofmap.index_map.size_local
        found = float(np.sqrt(np.max(self._stretch.x.array[:owned], initial=0.0)))
        return float(self.comm.allreduce(found, op=MPI.MAX))
