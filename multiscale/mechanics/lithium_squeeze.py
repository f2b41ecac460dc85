"""A disc of lithium pressed flat between two plates at a constant true strain rate: what pressure it takes, and what it becomes.

A quarter of the section is meshed (axial symmetry, mirror half way between the plates). Lubricated plates let the disc spread
evenly; bonded ones hold its faces, so that lithium must flow sideways through the gap and a thin disc bears many times its flow
stress. What bulges out beside a bonded plate does not touch it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import ufl
from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.shapes import draw_blocks
from multiscale.domain import Domain, integral, meshed
from multiscale.materials import Elastic
from multiscale.mechanics.lithium_finite_strain import LargeStrainLithium
from multiscale.mechanics.lithium_flow import FlowLaw, LithiumBody
from multiscale.solvers.solver import Reaction

SMALL = 0.05
"""True strain up to which small strain is taken for good: the force is wrong by about the strain, and this is 5 %."""
EACH, FIRST, LEAST, FASTER = 0.02, 0.0025, 1e-4, 1.5
"""True strain of a time step: the longest, the first, and the least that is tried; growth of the next one."""
WIDEST = 24
"""Most blocks of elements side by side; wider discs have elements that are longer than high."""


@dataclass(frozen=True)
class Disc:
    """What is pressed.

    Attributes:
        radius, thickness: at the start, m.
        plates: "lubricated" or "bonded".
        strain: "finite" or "small".
        divisions: elements across half the thickness.
    """

    radius: float
    thickness: float
    plates: Literal["lubricated", "bonded"] = "lubricated"
    strain: Literal["finite", "small"] = "finite"
    divisions: int = 4

    def __post_init__(self) -> None:
        """Refuse impossible discs. Raises UserError."""
        if self.plates not in ("lubricated", "bonded"):
            raise UserError(f'plates: read "{self.plates}"; allowed are "lubricated" and "bonded"')
        if self.strain not in ("finite", "small"):
            raise UserError(f'strain: read "{self.strain}"; allowed are "finite" and "small"')
        for name in ("radius", "thickness"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name}: read {getattr(self, name):g} m; it must be a positive number")


@dataclass(frozen=True)
class Pressed:
    """One time: s, thickness (m), true strain of it, mean pressure on the plate (Pa), largest strain anywhere."""

    time: float
    thickness: float
    strain: float
    pressure: float
    largest: float


def squeeze(
    disc: Disc, elastic: Elastic, law: FlowLaw, temperature: float, rate: float, most: float,
    watch: Callable[[Pressed], Any] | None = None,
) -> list[Pressed]:  # fmt: skip
    """Press a disc to a true strain `most` = ln(h0/h) of its thickness at a true strain rate (1/s).

    The pressure is the force over the section that touches the plate: as it is now for lubricated plates, as it was for bonded
    ones, which keep it; small strain knows the section as it was alone.

    Raises:
        RunFailure: a step failed (a bonded disc folds at its rim where it is pressed too far).
    """
    height, blocks = disc.thickness / 2, min(max(round(2 * disc.radius / disc.thickness), 1), WIDEST)
    lines = [disc.radius * k / blocks for k in range(blocks + 1)]
    domain = meshed(
        draw_blocks, MPI.COMM_SELF, axisymmetric=True, x=lines, y=(0.0, height), names=[["body"] * blocks],
        divisions=disc.divisions,
    )  # fmt: skip
    moved = domain.constant(0.0)

    def supports(space: Any) -> list[Any]:
        held = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
        bonded = [domain.fixed(space, 0.0, "top", component=0)] if disc.plates == "bonded" else []
        return [*held, *bonded, domain.fixed(space, moved, "top", component=1)]

    kind = LargeStrainLithium if disc.strain == "finite" else LithiumBody
    body = kind(domain, elastic, law, temperature, supports)
    space = body.displacement.function_space
    reaction, top = Reaction(body.residual, space), domain.fixed(space, 0.0, "top", component=1).dof_indices()[0]
    first, rows = integral(domain.constant(1.0) * domain.ds("top")), list[Pressed]()

    def to(strain: float, seconds: float) -> None:
        moved.value = height * math.expm1(-strain)
        body.advance(seconds)

    for strain in _marched(body, to, most, rate):
        spreads = disc.plates == "lubricated" and disc.strain == "finite"
        section = _spread(body.displacement[0], domain) if spreads else first
        pressure = -reaction.total(top) / section
        rows.append(Pressed(body.time, 2 * (height + float(moved.value)), strain, pressure, body.largest_strain()))
        if watch is not None:
            watch(rows[-1])
    return rows


def _marched(body: Any, to: Callable[[float, float], None], most: float, rate: float) -> Iterator[float]:
    """True strains of steps that succeeded, the last one `most`; after a failure steps are halved, after a success longer."""
    strain, step, u = 0.0, min(FIRST, most), body.displacement.x.array
    last, slope = u.copy(), np.zeros_like(u)
    while strain < most * (1 - 1e-12):
        each = min(step, most - strain)
        u[:] = last + each * slope
        try:
            to(strain + each, each / rate)
        except RunFailure as failure:
            u[:], step = last, each / 2
            if step < LEAST:
                told = f"lithium: no step beyond a true strain of {strain:.4g} succeeded: {failure}"
                raise RunFailure(f"{told}; the cells are too distorted there: end before it, or mesh finer") from failure
            continue
        strain, slope = strain + each, (u - last) / each
        last, step = u.copy(), min(step * FASTER, EACH)
        yield strain


def _spread(outward: Any, domain: Domain) -> float:
    """Section that touches the plate now, m²: ∫ (1 + u/r)(1 + ∂u/∂r) dA over what it was."""
    return integral((1 + outward / ufl.SpatialCoordinate(domain.mesh)[0]) * (1 + outward.dx(0)) * domain.ds("top"))
