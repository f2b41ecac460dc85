"""Exact problems of lithium's flow (V13): a bar that is pulled, its force at large strain, a slit, solved by the body."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from mpi4py import MPI

from meshes.shapes import draw_blocks
from multiscale.domain import integral, meshed
from multiscale.mechanics import elasticity as mechanics
from multiscale.mechanics.extrusion import Creep, slit_flow, unit_drop
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


def slit_velocity(comm: MPI.Comm, law: FlowLaw, half: float, gradient: float, layers: int = 48) -> float:
    """Flow (m²/s per width) of lithium that a pressure gradient (Pa/m) drives through a slit whose faces hold it.

    Half of a short piece is solved, between the mid plane y = 0 and the face y = h; the gradient is a body force. Its faces
    across the flow are free along it and held across. The elastic response is taken first, then one step of flow.
    """
    lines, width = tuple(half * k / layers for k in range(layers + 1)), half / layers
    domain = meshed(draw_blocks, comm, x=(0.0, width), y=lines, names=[["body"]] * layers, divisions=1)
    driven = domain.constant(0.0)

    def supports(space: Any) -> list[Any]:
        sides = [domain.fixed(space, 0.0, name, component=1) for name in ("left", "right", "bottom")]
        return [*sides, *(domain.fixed(space, 0.0, "top", component=axis) for axis in (0, 1))]

    body = LithiumBody(domain, LITHIUM, law, 298.15, supports, lambda u: driven * u[0] * domain.dx())
    driven.value = gradient
    body.advance(0.0)
    moved = body.displacement[0] * domain.dx()
    before = integral(moved)
    body.advance(1.0)
    return 2 * (integral(moved) - before) / width


def slit(comm: MPI.Comm) -> Mapping[str, float]:
    """V13p: plane Poiseuille flow of a Norton metal, resolved, and the law by which a filament creeps out of its crack."""
    half, gradient = 1e-6, 0.5e12
    newton = Creep(1e-3, 0.8e6, 1.0, 37e3)
    distance, opened = np.linspace(0.0, 10e-6, 4001), np.full(4001, half)
    flow = slit_flow(gradient, half, NORTON.creep, 298.15)
    drop = unit_drop(distance, opened, NORTON.creep, 298.15) * flow ** (1 / NORTON.creep.exponent)
    name = "Norton, n = 6.6, slit of half opening 1 um at 0.5 MPa/um: flow per width (m2/s)"
    return {
        name: slit_velocity(comm, NORTON, half, gradient),
        "the same by the law of a filament": flow,
        "Norton, n = 1, of viscosity 2.66667e8 Pa s: flow per width (m2/s)": slit_velocity(comm, Norton(newton), half, gradient),
        "plated evenly into a closed slit 10 um long, by the filament: pressure at its end over that of the same flow all along":
            drop / (gradient * 10e-6),
    }  # fmt: skip


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
