"""Loads on a cell before it cracks: stack pressure and residual stress (docs/physics.md 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ufl
from dolfinx import fem

from multiscale.domain import Domain
from multiscale.materials import Elastic, Stiffness
from multiscale.mechanics.elasticity import equilibrium, pressure_work, strain
from multiscale.mechanics.fracture import Prestress
from multiscale.mechanics.phase_field import split_energy
from multiscale.solvers.solver import LinearSolver


@dataclass(frozen=True)
class CellLoads:
    """What the cell is under, uniform along its width.

    Attributes:
        stack_pressure: that lithium presses with on the electrolyte's face "foot", Pa; the counter electrode holds against it.
        residual_strain: elastic strain of the electrolyte as it was made, 3×3 (`biaxial_strain`), or None.
    """

    stack_pressure: float = 0.0
    residual_strain: Any = None


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
    solver.solve()
    return Prestress(total(u), lambda moved, share: pressure_work(moved, share * pressure, domain, "foot"))
