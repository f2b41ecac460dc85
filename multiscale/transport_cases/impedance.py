"""The impedance of a case: its cell as a transport system at rest (or under a bias), charged as the user says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.toml_input import nearest
from multiscale.case import Case
from multiscale.critical_current.continuum import cell_properties
from multiscale.critical_current.geometry import layered_cell
from multiscale.domain import piecewise
from multiscale.layered import layered_domain
from multiscale.parameters import continuum_inputs, nominal
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.nernst_planck import VACUUM_PERMITTIVITY, SingleIon, Species
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase

LITHIUM = (Species("Li+", 1, 1.0),)
"""The one ion; of a single-ion conductor only the charge counts."""

SETTLING = 1e6
"""s; long against every relaxation of a cell."""


@dataclass(frozen=True)
class Charging:
    """What stores charge, by name, beside or in place of what the case itself says.

    Attributes:
        capacitance: of electrodes and interfaces, F/m².
        permittivity: relative, of regions or media that obey Ohm's law.
    """

    capacitance: Mapping[str, float] = field(default_factory=dict)
    permittivity: Mapping[str, float] = field(default_factory=dict)

    def check(self, faces: list[str], layers: list[str]) -> None:
        """Refuse names that the cell does not have. Raises UserError."""
        for option, given, known in (("capacitance", self.capacitance, faces), ("permittivity", self.permittivity, layers)):
            for name in given:
                if name not in known:
                    raise UserError(f'--{option} {name}: the cell has no such place; {nearest(name, known)}')


def flat_cell(
    case: Case, parameters: Mapping[str, Any], charging: Charging, bias: float, comm: Any, fine: bool
) -> tuple[TransportSystem, float]:
    """The layered cell of a critical-current case, its lithium flat (without the flaw), counter electrode ideal at 0 V.

    Switches of the case count as in its critical current: without flux detour, contact voids are closed and boundaries conduct
    like grains. Where lithium touches a part of the face only, the stack pressure there is that much larger.

    Args:
        case, parameters: the case and its resolved parameters; the best value of each is used.
        charging: by "lithium" and by region ("interphase", "grain", "boundary").
        bias: current density per cross-section from the lithium into the electrolyte about which the cell is linearised, A/m².
        comm: communicator.
        fine: mesh of the case's own answer instead of the coarse one.

    Returns:
        The system, and the cell's cross-section over the area of its lithium.

    Raises:
        UserError: a name that the cell does not have, or a geometry that cannot be drawn.
        RunFailure: no steady state.
    """
    inputs = {name: float(np.ravel(value)[0]) for name, value in continuum_inputs(case, nominal(parameters)).items()}
    off = case.settings.physics.off()
    voids = "flux-detour" not in off
    cell = replace(layered_cell(case, inputs["flaw_depth"], case.settings.geometry.seed, fine, with_voids=voids), flaw=None)
    domain, _ = layered_domain(cell, comm)
    regions = tuple(domain.regions)
    charging.check(["lithium"], list(regions))
    told = cell_properties(case, inputs, cell.contact_share, off)
    ε = {name: VACUUM_PERMITTIVITY * charging.permittivity.get(name, 0.0) for name in regions}
    permittivity = piecewise(domain, ε) if charging.permittivity else None
    closure = SingleIon(piecewise(domain, {name: told.conductivity[name] for name in regions}), permittivity)
    law = Kinetics(
        told.exchange_current_density, told.anodic_transfer, pressure=told.stack_pressure,
        mechanical_transfer=told.mechanical_transfer,
    )  # fmt: skip
    medium = Medium("electrolyte", closure, LITHIUM, regions, told.temperature)
    electrode = Electrode("lithium", medium.name, "Li+", law, charging.capacitance.get("lithium"))
    system = TransportSystem(domain, [medium], [electrode])
    system.fix(medium.name, "potential", 0.0, "counter")
    share = cell.width / system.contacts["lithium"].area
    system.contacts["lithium"].control_current(bias * share)
    system.solve()
    return system, share


def labels(cell: Any) -> dict[str, str]:
    """What the media, boundaries and networks of a system are called in the case."""
    from multiscale.transport_cases.cell import meeting_name

    named = dict(cell.medium_of)
    named |= {boundary: side for side, touched in cell.touches.items() for boundary in touched}
    return named | {m.boundary: meeting_name(*pair) for pair, meetings in cell.meetings.items() for m in meetings}


def resting_cell(case: TransportCase, charging: Charging, comm: Any) -> tuple[TransportSystem, Any, Any]:
    """The cell of a transport case at rest, with its uniform concentrations; the inputs it was made of, and its mesh.

    Raises:
        UserError: a name that the cell does not have, a permittivity of a medium that does not obey Ohm's law, a number missing.
    """
    from multiscale.transport_cases.cell import WORKING, meeting_name
    from multiscale.transport_cases.geometry import build
    from multiscale.transport_cases.inputs import resolve
    from multiscale.transport_cases.mechanics import elastic_body
    from multiscale.transport_cases.model import described, network_name, started

    inputs = resolve(case)
    cell = build(case, inputs, comm)
    found, medium_of = described(case, inputs, cell), cell.medium_of
    pair_of = {meeting.boundary: meeting_name(*pair) for pair, meetings in cell.meetings.items() for meeting in meetings}
    layers = [*cell.regions, *(network_name(name) for name in cell.networks)]
    charging.check([*cell.touches, *dict.fromkeys(pair_of.values())], layers)
    for name in charging.permittivity:
        if name in cell.regions and case.settings.transport[name].closure != "ohm":
            raise UserError(f"--permittivity {name}: only a medium that obeys Ohm's law takes one here")
    ε = {name: VACUUM_PERMITTIVITY * value for name, value in charging.permittivity.items()}
    C = charging.capacitance
    media = [
        replace(m, closure=replace(m.closure, permittivity=ε[medium_of[m.name]]))
        if isinstance(m.closure, SingleIon) and medium_of[m.name] in ε else m
        for m in found.media
    ]  # fmt: skip
    electrodes = [replace(e, capacitance=C.get(e.body, e.capacitance)) for e in found.electrodes]
    junctions = [replace(j, capacitance=C.get(pair_of[j.boundary], j.capacitance)) for j in found.junctions]
    networks = [
        replace(n, layer=replace(n.layer, permittivity=ε.get(n.name, n.layer.permittivity))) for n in found.networks
    ]
    stated = replace(
        found, media=tuple(media), electrodes=tuple(electrodes), junctions=tuple(junctions), networks=tuple(networks)
    )
    system = started(stated.system(cell.domain, elastic_body(case, inputs, cell)[0]), inputs, cell)
    _settle(system, WORKING)
    return system, inputs, cell


def _settle(system: TransportSystem, working: str) -> None:
    """Potentials and double layers at rest, no current flowing: one long implicit step that keeps every amount."""
    system.contacts[working].control_current(0.0)
    system.older[0].x.array[:] = system.u.x.array
    for rate, value in zip(system.rates, (1 / SETTLING, -1 / SETTLING, 0.0), strict=True):
        rate.value = value
    system.solve()
    for rate in system.rates:
        rate.value = 0.0
