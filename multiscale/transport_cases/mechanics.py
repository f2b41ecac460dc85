"""The mechanics of a transport case: numbers with their sources, the elastic body, faces that move by plating."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.constants import LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from multiscale.domain import integral
from multiscale.materials import Elastic
from multiscale.transport.plating import Follower, HostedLithium, MovingFaces, Plating
from multiscale.transport.solid import EVENLY, Body, ElasticMedium, Expansion, Support
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell
from multiscale.transport_cases.inputs import Collector, Inputs
from multiscale.transport_cases.mechanics_check import OF_LITHIUM
from multiscale.transport_cases.mechanics_schema import MediumMechanics
from multiscale.transport_cases.schema import TransportFile

SIDES = (WORKING, COUNTER)
INWARDS = {"metal": 1.0, "medium": -1.0}
"""How far a face moves into the cell per thickness plated."""


@dataclass(frozen=True)
class MechanicalInputs:
    """Elastic numbers of a medium, SI.

    Attributes:
        moduli: by region of the case.
        strain: fixed eigenstrain, 3×3.
        volumes: partial molar volume of the ions that have one, m³/mol.
    """

    moduli: dict[str, Elastic]
    strain: np.ndarray
    volumes: dict[str, float]


def mechanical_inputs(collector: Collector, settings: TransportFile) -> dict[str, MechanicalInputs]:
    """Numbers of every medium; empty without [mechanics]. Raises UserError: a modulus is known nowhere."""
    told = settings.mechanics
    if told is None:
        return {}
    collector.state("mechanics.stack_pressure", told.stack_pressure, "Pa", "test condition")
    media = {name: told.medium.get(name, MediumMechanics()) for name in collector.case.media}
    return {name: _of_medium(collector, settings, name, medium) for name, medium in media.items()}


def _of_medium(collector: Collector, settings: TransportFile, name: str, told: MediumMechanics) -> MechanicalInputs:
    stated: dict[str, float] = {}
    for quantity, unit in (("youngs_modulus", "Pa"), ("poissons_ratio", "1")):
        value = getattr(told, quantity)
        if value is not None:
            stated[quantity] = collector.state(f"{name}.{quantity}", value, unit, told.source)
    moduli = {}
    for region, (of, key) in collector.case.media[name].regions.items():
        found = dict(stated)
        for quantity in ("youngs_modulus", "poissons_ratio"):
            if quantity in found:
                continue
            if of.material is None:
                missing = f"{quantity} of {region} is not known: state it in [mechanics.medium.{name}]"
                raise UserError(collector.case.file.complaint(("mechanics",), missing))
            mend = f"state it in [mechanics.medium.{name}], or "
            found[quantity] = collector.needed(of.material, (*key, "material"), quantity, mend=mend)[1]
        moduli[region] = Elastic(found["youngs_modulus"], found["poissons_ratio"])
    strain = _strain(told)
    if strain.any():
        collector.state(f"{name}.volume_change", float(np.trace(strain)), "1", told.source)
    volumes = {}
    for ion in settings.transport[name].species:
        if ion.partial_molar_volume is not None:
            key_of = f"{name}.partial molar volume of {ion.name}"
            volumes[ion.name] = collector.state(key_of, ion.partial_molar_volume, "m^3/mol", ion.source)
    return MechanicalInputs(moduli, strain, volumes)


def _strain(told: MediumMechanics) -> np.ndarray:
    """Fixed eigenstrain as a tensor."""
    if told.volume_change is not None:
        return told.volume_change / 3 * np.eye(3)
    xx, yy, zz, yz, xz, xy = (*(told.strain or (0.0, 0.0, 0.0)), 0.0, 0.0, 0.0)[:6]
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def molar_volume(settings: TransportFile, side: str) -> float:
    """Of the metal of an electrode, m³/mol."""
    stated = getattr(settings.electrode, side).molar_volume
    return LITHIUM_MOLAR_VOLUME if stated is None else stated


def elastic_body(case: TransportCase, inputs: Inputs, cell: Cell) -> tuple[Body | None, dict[str, HostedLithium]]:
    """The cell as an elastic body (None without [mechanics]), and the media that take up the lithium of an electrode."""
    told = case.settings.mechanics
    if told is None:
        return None, {}
    domain = cell.domain
    hosts, media = dict[str, HostedLithium](), {}
    for name, parts in cell.parts.items():
        medium, numbers = told.medium.get(name, MediumMechanics()), inputs.mechanics[name]
        hosted = None
        if medium.hosts is not None:
            J = domain.constant(0.0)
            volume = integral(domain.constant(1.0) * domain.dx(*cell.regions[name]))
            hosts[medium.hosts] = HostedLithium(J, medium.hosts, cell.area / volume)
            hosted = J, medium.host_shares or EVENLY
        c = inputs.media[name].concentration
        expansion = {
            ion.name: Expansion(numbers.volumes[ion.name], c[ion.name], ion.expansion_shares or EVENLY)
            for ion in case.settings.transport[name].species if ion.name in numbers.volumes
        }  # fmt: skip
        for part, regions in parts.items():
            media[part] = ElasticMedium(_by_region(numbers.moduli, regions), numbers.strain, expansion, hosted)
    touched = tuple(cell.touches[WORKING])
    share = cell.area / integral(domain.constant(1.0) * domain.ds(*touched))
    pressure = None if told.working == "held" else domain.constant(told.stack_pressure * share)
    support = Support(cell.axis, cell.direction > 0, touched, pressure, told.sides == "held")
    return Body(domain, media, support), hosts


def _by_region(moduli: Mapping[str, Elastic], regions: tuple[str, ...]) -> dict[str, Elastic]:
    """Moduli of the regions of the mesh; those of the only region of the case where the mesh names its grains."""
    alone = next(iter(moduli.values()))
    return {region: moduli.get(region, alone) for region in regions}


def plating(case: TransportCase, system: TransportSystem, cell: Cell, hosts: Mapping[str, HostedLithium]) -> Plating | None:
    """What follows the metal plated at the electrodes; None where nothing does. Before the system's first solve."""
    settings = case.settings
    moves = {side: INWARDS[getattr(settings.electrode, side).moves] for side in SIDES if getattr(settings.electrode, side).moves}
    followers: list[Follower] = list(hosts.values())
    lengths = [1 / host.share for host in hosts.values()]
    if moves:
        faces = MovingFaces(system, cell.axis, cell.depths, moves, SIDES)
        followers.append(faces)
        lengths += [bottom - top for name, (top, bottom) in cell.depths.items() if name in faces.moving]
    if not followers:
        return None
    volumes = {side: molar_volume(settings, side) for side in SIDES if side in moves or side in hosts}
    return Plating(system, volumes, cell.area, min(lengths), followers)


def moving_faces(plated: Plating | None) -> MovingFaces | None:
    """The faces that move, if any."""
    return next((f for f in plated.followers if isinstance(f, MovingFaces)), None) if plated is not None else None


def parameters_of_electrodes(collector: Collector, settings: TransportFile) -> None:
    """Remember the molar volumes that count."""
    for side in SIDES:
        electrode: Any = getattr(settings.electrode, side)
        if electrode.molar_volume is not None:
            collector.state(f"electrode.{side}.molar_volume", electrode.molar_volume, "m^3/mol", electrode.source)
        elif settings.mechanics is not None:
            V, told = molar_volume(settings, side), f"lithium: {OF_LITHIUM}"
            collector.state(f"electrode.{side}.molar_volume", V, "m^3/mol", told, "derived")
