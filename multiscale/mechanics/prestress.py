"""Loads on a cell before it cracks: stack pressure and residual stress (docs/physics.md 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import UserError
from multiscale.domain import Domain
from multiscale.materials import Elastic, Stiffness
from multiscale.mechanics.elasticity import equilibrium, pressure_work, strain
from multiscale.mechanics.fracture_state import Prestress
from multiscale.mechanics.phase_field import CrackModel, split_energy
from multiscale.solvers.solver import LinearSolver, assemble_into

BEARABLE = 0.81
"""Share of the energy at which sound material breaks that the loads of a cell may store (0.9 of the stress)."""


@dataclass(frozen=True)
class CellLoads:
    """What the cell is under, uniform along its width.

    Attributes:
        stack_pressure: that lithium presses with on the electrolyte's face "foot", Pa; the counter electrode holds against it.
        residual_strain: elastic strain of the electrolyte as it was made, 3×3 (`biaxial_strain`), or None.
        later: stack pressures of other parts of the test, Pa.
    """

    stack_pressure: float = 0.0
    residual_strain: Any = None
    later: tuple[float, ...] = ()


def biaxial_strain(stress: float, material: Elastic) -> Any:
    """Elastic strain of an equal stress σ in both directions along the lithium's face (x and z), none across it; 3×3.

    ε_xx = ε_zz = (1 - ν) σ/E, ε_yy = -2ν σ/E.

    ======  ========  =====
    symbol  variable  unit
    ======  ========  =====
    σ       stress    Pa, tensile positive
    E, ν    material  Pa, 1
    ======  ========  =====
    """
    ν = material.poisson_ratio
    along, across = (1 - ν) * stress / material.youngs_modulus, -2 * ν * stress / material.youngs_modulus
    return ufl.as_tensor([[along, 0, 0], [0, across, 0], [0, 0, along]])


class Overloaded(UserError):
    """The loads of the cell break sound material of the smeared crack model: `share` of the energy it bears, at `place` (m)."""

    def __init__(self, share: float, place: tuple[float, float]) -> None:
        """Tell how far, and where."""
        self.share, self.place = share, place
        x, y = place[0] * 1e6, place[1] * 1e6
        super().__init__(
            f"the loads on the cell store {share:.3g} of the energy that sound material of the smeared crack bears, at "
            f"({x:.4g}, {y:.4g}) um; up to {BEARABLE:.2g} is allowed"
        )


def refuse_overload(found: Prestress, stiffness: Stiffness, fracture_energy: Any, crack: CrackModel, domain: Domain) -> None:
    """Hold the energy of the sound cell against what its material bears, cell by cell: weak strips and random minima count.

    Raises:
        Overloaded: more than `BEARABLE` of it somewhere.
    """
    cells = fem.functionspace(domain.mesh, ("DG", 0))
    v, ratio = ufl.TestFunction(cells), fem.Function(cells)
    stored = split_energy(found.strain, stiffness, "none")[0] / crack.onset_energy(fracture_energy)
    size = fem.Function(cells)
    assemble_into(ratio.x.petsc_vec, fem.form(stored * v * domain.dx()))
    assemble_into(size.x.petsc_vec, fem.form(domain.constant(1.0) * v * domain.dx()))
    owned = cells.dofmap.index_map.size_local
    shares = ratio.x.array[:owned] / size.x.array[:owned]
    k = int(np.argmax(shares)) if owned else 0
    place = cells.tabulate_dof_coordinates()[k] if owned else np.zeros(3)
    worst = max(domain.comm.allgather((float(shares[k]) if owned else 0.0, float(place[0]), float(place[1]))))
    if worst[0] > BEARABLE:
        raise Overloaded(worst[0], worst[1:])


def checked_prestress(
    domain: Domain, stiffness: Stiffness, loads: CellLoads, supports: Callable[[Any], Sequence[Any]], fracture_energy: Any,
    crack: CrackModel,
) -> Prestress:  # fmt: skip
    """The loads of a cell, every stack pressure of its test held against what sound material bears.

    Raises:
        Overloaded: one of them breaks it.
        RunFailure: a solve failed.
    """
    found = prestress(domain, stiffness, loads, supports)
    for pressure in (*loads.later, loads.stack_pressure):
        assert found.press is not None
        found.press(pressure)
        refuse_overload(found, stiffness, fracture_energy, crack, domain)
    return found


def closing_stress(stack_pressure: float, residual_stress: float, material: Elastic) -> float:
    """Compression across a flaw normal to the lithium, Pa, in a cell whose sides do not move: ν P/(1 - ν) - σ.

    What the pressure in the flaw must reach before it opens it (docs/physics.md 1.6, p_clamp).
    """
    ν = material.poisson_ratio
    return ν / (1 - ν) * stack_pressure - residual_stress


def prestress(
    domain: Domain, stiffness: Stiffness, loads: CellLoads, supports: Callable[[Any], Sequence[Any]]
) -> Prestress:
    """Elastic strain of the sound cell under its loads, found by one linear solve: ∫ σ(ε(u) + ε*):ε(w) dx = -∫ P n·w ds.

    The strain is piecewise constant, so the cracked body starts from exact equilibrium: where nothing is broken, nothing moves.

    Raises:
        RunFailure: the solve failed.
    """
    space = fem.functionspace(domain.mesh, ("P", 1, (domain.mesh.geometry.dim,)))
    u, test, trial = fem.Function(space), ufl.TestFunction(space), ufl.TrialFunction(space)
    pressure = domain.constant(loads.stack_pressure)

    def total(displacement: Any) -> Any:
        found = strain(displacement, domain)
        return found if loads.residual_strain is None else found + loads.residual_strain

    energy = split_energy(total(u), stiffness, "none")[0] * domain.dx()
    residual = equilibrium(energy, pressure_work(u, pressure, domain, "foot"), u, test)
    bilinear = ufl.derivative(residual, u, trial)
    solver = LinearSolver(bilinear, -residual, u, supports(space), method="direct-spd")

    def press(stack_pressure: float) -> None:
        pressure.value, u.x.array[:] = stack_pressure, 0.0  # the residual is that of nothing moved
        solver.solve()

    press(loads.stack_pressure)
    return Prestress(total(u), lambda moved, share: pressure_work(moved, share * pressure, domain, "foot"), u, press)
