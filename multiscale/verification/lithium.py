"""Exact problems of lithium's flow (V13): strain rates of a bar that is pulled, its force at large strain, solved by the body."""

import math
from collections.abc import Mapping
from typing import Any

from mpi4py import MPI

from meshes.shapes import draw_blocks
from multiscale.domain import integral, meshed
from multiscale.mechanics import elasticity as mechanics
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_finite_strain import LargeStrainLithium
from multiscale.mechanics.lithium_flow import FlowLaw, LithiumBody, NarayanAnand, Norton
from multiscale.solvers.solver import Reaction
from multiscale.verification.elasticity import LITHIUM

NARAYAN_ANAND = NarayanAnand(4.25e4, 37e3, 0.15, 0.95e6, 10e6, 2e6, 2.0, 0.05)
"""Constants of V13 (docs/physics.md 1.4)."""
NORTON = Norton(Creep(1e-3, 0.8e6, 6.6, 37e3))
"""Exponent and activation energy of V13; the reference point cancels in its ratios."""


def bar_rate(comm: MPI.Comm, law: FlowLaw, stress: float, temperature: float, step: float = 1e-3) -> float:
    """Axial strain rate (1/s) of a round bar pulled at a stress (Pa): elastic loading, then one step of flow."""
    domain = meshed(draw_blocks, comm, axisymmetric=True, x=(0.0, 1.0), y=(0.0, 1.0), names=[["body"]], divisions=2)
    pull = domain.constant(0.0)

    def supports(space: Any) -> list[Any]:
        return [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]

    body = LithiumBody(
        domain, LITHIUM, law, temperature, supports, lambda u: mechanics.pressure_work(u, -pull, domain, "top")
    )
    pull.value = stress
    body.advance(0.0)
    before = integral(body.displacement[1] * domain.ds("top"))
    body.advance(step)
    area = integral(domain.constant(1.0) * domain.ds("top"))
    return (integral(body.displacement[1] * domain.ds("top")) - before) / area / step


def compressed_bar(comm: MPI.Comm, rate: float, most: float, steps: int) -> float:
    """Force over the first section (Pa) that presses a round bar of Norton lithium to a true strain at a constant true rate."""
    domain = meshed(draw_blocks, comm, axisymmetric=True, x=(0.0, 1.0), y=(0.0, 1.0), names=[["body"]], divisions=2)
    moved = domain.constant(0.0)

    def supports(space: Any) -> list[Any]:
        held = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
        return [*held, domain.fixed(space, moved, "top", component=1)]

    body = LargeStrainLithium(domain, LITHIUM, NORTON, 298.15, supports)
    top = domain.fixed(body.space, 0.0, "top", component=1).dof_indices()[0]
    for k in range(1, steps + 1):
        moved.value = math.expm1(-most * k / steps)
        body.advance(most / steps / rate)
    return -Reaction(body.residual, body.space).total(top) / integral(domain.constant(1.0) * domain.ds("top"))


def finite_strain(comm: MPI.Comm) -> Mapping[str, float]:
    """V13f: a bar pressed to a true strain of one at twice the rate of its measured point."""
    return {"Norton, pressed to a true strain of one: force over the first section (Pa)": compressed_bar(comm, 2e-3, 1.0, 20)}


def flow_rates(comm: MPI.Comm) -> Mapping[str, float]:
    """V13: Narayan-Anand at 0.8 MPa; Norton under twice the stress, and warmer."""
    norton = bar_rate(comm, NORTON, 0.4e6, 298.15)
    return {
        "Narayan-Anand, rate at 0.8 MPa (1/s)": bar_rate(comm, NARAYAN_ANAND, 0.8e6, 298.15),
        "Norton, stress doubled": bar_rate(comm, NORTON, 0.8e6, 298.15) / norton,
        "Norton, 353.15 K over 298.15 K": bar_rate(comm, NORTON, 0.4e6, 353.15) / norton,
    }
