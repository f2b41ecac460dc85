"""Lithium plated under a hemispherical tip: what its pressure does to the crystal, and how it creeps out of the contact.

The tip of radius a fills a hemispherical pit in the surface; a flaw of depth c goes on from the pit straight down. Lithium fills
both with one pressure. The free surface is replaced by a mirror: pit and flaw then are a sphere with a ring of crack around
it, which is axially symmetric about the normal of the crack. For a semicircular surface crack without pit the mirror is known
to give 3 % (deepest point) to 14 % (at the surface) less than the half space (Newman & Raju, Eng. Fract. Mech. 15, 185 (1981),
from memory): pressures found here are too high by as much at most.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from scipy.integrate import quad

from meshes.cracked_pit import CrackedPit, draw
from meshes.drawing import Sizes
from multiscale.domain import integral
from multiscale.materials import Elastic, stiffness
from multiscale.mechanics.elasticity import (
    crack_driving_force,
    elastic_energy,
    extension_field,
    opened_volume,
    pressure_work,
    stress_intensity,
)
from multiscale.mechanics.extrusion import Creep, slit_flow
from multiscale.solvers.solver import LinearSolver
from multiscale.structures import drawn


@dataclass(frozen=True)
class PitResponse:
    """Answers per unit pressure in pit and flaw.

    Attributes:
        intensity: K_I at the front of the flaw per Pa, m^½.
        compliance: volume opened by half of the mirrored body (the pit of the real half space) per Pa, m³/Pa.
    """

    intensity: float
    compliance: float


def pit_response(radius: float, flaw: float, elastic: Elastic, comm: Any, fineness: float = 1.0) -> PitResponse:
    """Solve a pressurised hemispherical pit with a flaw below it, by its mirrored body.

    Strong form  ∇·σ = 0, σ·n = -p n on pit and flaw, no displacement across the plane of the crack ahead of it. K_I from the
    energy released by a virtual extension of the front (docs/physics.md 1.6; `crack_driving_force`).

    Limits: radius → 0 is Sneddon's penny, K = 2 p √(c/π); flaw → 0 is an edge crack under the hoop stress p/2 of a sphere and
    its own pressure, K = 1.1215 (3/2) p √(πc); the sphere alone opens by πa³p/μ.

    Args:
        radius: a, m. flaw: c, m.
        elastic: of the crystal.
        fineness: divides all element sizes.

    Raises:
        UserError, RunFailure: it cannot be meshed or solved.
    """
    pit = CrackedPit(radius, flaw, Sizes(fineness))
    domain, _ = drawn(partial(draw, pit), comm, axisymmetric=True)
    space = fem.functionspace(domain.mesh, ("P", 2, (2,)))
    u, trial, test = fem.Function(space), ufl.TrialFunction(space), ufl.TestFunction(space)
    moduli, p = stiffness(domain, {"body": elastic}), domain.constant(1.0)
    energy = elastic_energy(u, moduli, domain)
    work = pressure_work(u, p, domain, "pit", "crack")
    bilinear = ufl.derivative(ufl.derivative(energy, u, test), u, trial)
    held = [domain.fixed(space, 0.0, "axis", component=0), domain.fixed(space, 0.0, "ligament", component=1)]
    LinearSolver(bilinear, ufl.derivative(work, u, test), u, held, method="direct-spd").solve()
    θ = extension_field(domain, (pit.front, 0.0), (1.0, 0.0), 0.2 * flaw, 0.8 * flaw)
    released = integral(crack_driving_force(u, moduli, domain, θ, pressure=p, faces=("crack",)))
    rate = 2 * released / (2 * math.pi * pit.front)
    intensity = float(stress_intensity(rate, elastic.youngs_modulus, elastic.poisson_ratio))
    return PitResponse(intensity, integral(opened_volume(u, domain, "pit", "crack")))


def dome_integral(exponent: float) -> float:
    """∫ tan(θ/2)^(1/n) dθ from the apex to the rim of a hemisphere, dimensionless; ln 2 for n = 1, π/2 for n → ∞."""
    return float(quad(lambda θ: math.tan(θ / 2) ** (1 / exponent), 0.0, math.pi / 2, epsabs=1e-13)[0])


def dome_extrusion(pressure: Any, radius: float, half_opening: float, creep: Creep, temperature: float) -> Any:
    """Lithium pressed out of the gap between a hemisphere and its pit, m³/s, by a pressure at the apex (none at the rim).

    Plated evenly, lithium flows through the ring at the angle θ at q (1 - cos θ), so with the slit's flow Q₁ at unit gradient
    (per width 2πa sin θ) the gradient is G = [q tan(θ/2)/(2πa Q₁)]^(1/n), and p = a ∫ G dθ gives

    q = 2πa Q₁ [p/(a Iₙ)]ⁿ,  Iₙ = ∫ tan(θ/2)^(1/n) dθ.

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    p       pressure      Pa; a number or an array, negative draws lithium in
    a       radius        m
    h       half_opening  m
    ======  ============  =====

    Source: power-law channel flow of `slit_flow` (docs/physics.md 1.4) on a hemisphere.
    """
    through = 2 * math.pi * radius * slit_flow(1.0, half_opening, creep, temperature)
    gradient = np.abs(pressure) / (radius * dome_integral(creep.exponent))
    return np.sign(pressure) * through * gradient**creep.exponent
