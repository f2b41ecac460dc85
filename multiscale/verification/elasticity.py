"""Exact problems of elasticity: vessels, inclusions, pressurised cracks; all with the one energy of `mechanics`."""

import math
from collections.abc import Mapping
from typing import Any

from mpi4py import MPI

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from meshes.shapes import draw_half_space, draw_quarter_shell
from multiscale.domain import Domain, integral, meshed
from multiscale.materials import Elastic, stiffness
from multiscale.mechanics import elasticity as mechanics
from multiscale.solvers.newton import solve_nonlinear
from multiscale.verification.tools import at_vertex, unknown

OXIDE = Elastic(150e9, 0.257)
"""The garnet of docs/physics.md V09f and V10."""
LITHIUM = Elastic(7.82e9, 0.381)
"""Polycrystalline lithium (Masias et al. 2019)."""
TOUGHNESS = 1.25e6
"""K_Ic of V10, Pa m^½."""


def _quarter_supports(domain: Domain, space: Any, plane: str) -> list[Any]:
    """Mirror conditions of a quarter body: no displacement across x = 0 and across the part `plane` of y = 0."""
    return [domain.fixed(space, 0.0, "axis", component=0), domain.fixed(space, 0.0, plane, component=1)]


def _vessel(comm: MPI.Comm, axisymmetric: bool) -> tuple[float, float]:
    """Hoop stress at the inner and outer wall of a thick cylinder (plane strain) or sphere, b = 2a, 100 MPa inside, Pa."""
    a = 1e-6
    sizes = {"width": a, "height": a, "outer": 2 * a, "tip_size": a / 20, "side_size": a / 20, "outer_size": a / 10}
    domain = meshed(draw_quarter_shell, comm, axisymmetric=axisymmetric, **sizes)
    u, w = unknown(domain, vector=True)
    moduli = stiffness(domain, {"matrix": OXIDE})
    work = mechanics.pressure_work(u, domain.constant(1e8), domain, "surface")
    residual = mechanics.equilibrium(mechanics.elastic_energy(u, moduli, domain), work, u, w)
    solve_nonlinear(residual, u, _quarter_supports(domain, u.function_space, "plane"), spd=True)
    hoop = mechanics.stress(u, moduli, domain)[1, 1]
    return at_vertex(domain, hoop, (a, 0.0)), at_vertex(domain, hoop, (2 * a, 0.0))


def vessels(comm: MPI.Comm) -> Mapping[str, float]:
    """V09: Lamé's thick cylinder and sphere."""
    cylinder, sphere = _vessel(comm, False), _vessel(comm, True)
    return {
        "cylinder, hoop stress inside (Pa)": cylinder[0],
        "cylinder, hoop stress outside (Pa)": cylinder[1],
        "sphere, hoop stress inside (Pa)": sphere[0],
        "sphere, hoop stress outside (Pa)": sphere[1],
    }


def _inclusion(comm: MPI.Comm, inside: Elastic) -> float:
    """Pressure in a sphere that wants to grow by 1 % in length inside an infinite oxide, Pa.

    The medium beyond four radii is the elastic foundation 4μ/R, exact for a radial displacement falling as 1/r².
    """
    a = 1e-6
    sizes = {"width": a, "height": a, "outer": 4 * a, "tip_size": a / 8, "side_size": a / 8, "outer_size": a / 2}
    domain = meshed(draw_quarter_shell, comm, axisymmetric=True, filled=True, **sizes)
    u, w = unknown(domain, vector=True)
    moduli = stiffness(domain, {"matrix": OXIDE, "inclusion": inside})
    growth = mechanics.volumetric_eigenstrain(domain.constant(0.03))
    energy = mechanics.elastic_energy(u, moduli, domain, "matrix")
    energy += mechanics.elastic_energy(u, moduli, domain, "inclusion", eigenstrain=growth)
    energy += mechanics.foundation_energy(u, domain.constant(OXIDE.shear_modulus / a), domain, "outer")
    residual = mechanics.equilibrium(energy, None, u, w)
    solve_nonlinear(residual, u, _quarter_supports(domain, u.function_space, "plane"), spd=True)
    σ = mechanics.stress(u, moduli, domain, eigenstrain=growth)
    return integral(mechanics.pressure_of(σ) * domain.dx("inclusion")) / (2 * math.pi / 3 * a**3)


def inclusions(comm: MPI.Comm) -> Mapping[str, float]:
    """V09f: dilatational inclusions."""
    return {
        "same material, stress inside (Pa)": -_inclusion(comm, OXIDE),
        "lithium in oxide, pressure inside (Pa)": _inclusion(comm, LITHIUM),
    }


def _crack(comm: MPI.Comm, half_length: float, penny: bool, pressure: float = 1e8) -> tuple[float, float, float]:
    """Energy release rate (J/m²), stress intensity (Pa m^½) and opening (m) of a pressurised crack in a large body.

    One quarter of a disk (ball) of 30 half lengths is solved, free outside: what is cut off changes K by about
    (a/R)² = 0.1 % in the plane and (a/R)³ for the penny.
    """
    a = half_length
    sizes = {"radius": a, "outer": 30 * a, "edge_size": a / 200, "disk_size": a / 12, "outer_size": 5 * a}
    domain = meshed(draw_half_space, comm, axisymmetric=penny, **sizes)
    u, w = unknown(domain, vector=True)
    moduli = stiffness(domain, {"body": OXIDE})
    p = domain.constant(pressure)
    work = mechanics.pressure_work(u, p, domain, "disk")
    residual = mechanics.equilibrium(mechanics.elastic_energy(u, moduli, domain), work, u, w)
    solve_nonlinear(residual, u, _quarter_supports(domain, u.function_space, "plane"), spd=True)
    θ = mechanics.extension_field(domain, (a, 0.0), (1.0, 0.0), 0.2 * a, 0.8 * a)
    released = integral(mechanics.crack_driving_force(u, moduli, domain, θ, pressure=p, faces=("disk",)))
    rate = 2 * released / (2 * math.pi * a if penny else 1.0)
    opening = 2 * at_vertex(domain, u[1], (0.0, 0.0))
    return rate, mechanics.stress_intensity(rate, OXIDE.youngs_modulus, OXIDE.poisson_ratio), opening


def cracks(comm: MPI.Comm) -> Mapping[str, float]:
    """V10: central crack (plane strain) and penny, 1 µm, filled at 100 MPa; the critical pressure follows by linearity."""
    _, plane_intensity, plane_opening = _crack(comm, 1e-6, penny=False)
    _, penny_intensity, penny_opening = _crack(comm, 1e-6, penny=True)
    return {
        "fracture energy (J/m2)": mechanics.fracture_energy(TOUGHNESS, OXIDE.youngs_modulus, OXIDE.poisson_ratio),
        "penny, critical pressure (Pa)": 1e8 * TOUGHNESS / penny_intensity,
        "central crack, critical pressure (Pa)": 1e8 * TOUGHNESS / plane_intensity,
        "central crack, opening at 100 MPa (m)": plane_opening,
        "penny, opening at 100 MPa (m)": penny_opening,
    }


def penny_pressure(comm: MPI.Comm, radius: float) -> float:
    """Pressure that breaks a resolved penny of a radius (m) at V10's toughness, Pa."""
    return 1e8 * TOUGHNESS / _crack(comm, radius, penny=True)[1]


def release(comm: MPI.Comm) -> Mapping[str, float]:
    """V10g: energy released by cracks of V10, per area of growth."""
    return {
        "central crack of 2 um at 100 MPa (J/m2)": _crack(comm, 1e-6, penny=False)[0],
        "penny of 1 um at 100 MPa (J/m2)": _crack(comm, 1e-6, penny=True)[0],
    }


def fracture_overpotential(comm: MPI.Comm) -> Mapping[str, float]:
    """V10f: overpotential worth the critical pressure of a penny, solved at both sizes."""
    sizes = {"1 um": 1e-6, "100 nm": 1e-7}
    critical = {name: 1e8 * TOUGHNESS / _crack(comm, a, penny=True)[1] for name, a in sizes.items()}
    return {f"penny of {name}, overpotential (V)": LITHIUM_MOLAR_VOLUME * p / FARADAY for name, p in critical.items()}
