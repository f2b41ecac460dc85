"""From a transport case to a system that can be run: media, electrodes, interfaces, start, protocol and time step."""

import math
from dataclasses import dataclass, replace
from typing import Any

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.domain import Domain, piecewise
from multiscale.solvers import protocol as run
from multiscale.solvers.timeloop import StepControl
from multiscale.transport.media import Electrode, Film, Kinetics, Medium, Network, ThinLayer
from multiscale.transport.media import Junction as Interface
from multiscale.transport.nernst_planck import VACUUM_PERMITTIVITY, Closure, Electroneutral, Poisson, SingleIon, Species
from multiscale.transport.plating import Plating
from multiscale.transport.rate_expressions import reactions
from multiscale.transport.solid import STRESS, Body
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.cell import Cell, Meeting
from multiscale.transport_cases.face_schema import Junction, Reaction
from multiscale.transport_cases.inputs import FaceInputs, Inputs, MediumInputs
from multiscale.transport_cases.mechanics import elastic_body, molar_volume, plating
from multiscale.transport_cases.schema import Step

DEGREE = 2
"""Of the elements."""
RELAXATION = 1e3
"""First step of a run over R C of its fastest layer, times ten thousand (see `step_control`): a tenth of R C."""


@dataclass(frozen=True)
class Description:
    """Media, electrodes, interfaces and networks of thin layers of a case, as data."""

    media: tuple[Medium, ...]
    electrodes: tuple[Electrode, ...]
    junctions: tuple[Interface, ...]
    networks: tuple[Network, ...] = ()

    def system(self, domain: Domain, body: Body | None = None) -> TransportSystem:
        """The equations on a mesh, perhaps with its media as an elastic body."""
        return TransportSystem(domain, self.media, self.electrodes, self.junctions, DEGREE, networks=self.networks, body=body)


def transport_system(case: TransportCase, inputs: Inputs, cell: Cell) -> tuple[TransportSystem, Plating | None]:
    """The equations of a case on its mesh, with the concentrations of the start; what follows the metal plated.

    The displacement currents of Ohmic media are left out: they last as long as ε/κ, and time steps do not follow them.
    """
    found = described(case, inputs, cell)
    media = tuple(
        replace(m, closure=replace(m.closure, permittivity=None)) if isinstance(m.closure, SingleIon) else m for m in found.media
    )
    body, hosts = elastic_body(case, inputs, cell)
    system = started(replace(found, media=media).system(cell.domain, body), inputs, cell)
    return system, plating(case, system, cell, hosts)


def described(case: TransportCase, inputs: Inputs, cell: Cell) -> Description:
    """What a case is made of, on its mesh."""
    settings = case.settings
    media = tuple(_medium(case, inputs, cell, name, part) for name in cell.regions for part in cell.parts[name])
    electrodes = []
    for side, touched in cell.touches.items():
        whole = getattr(settings.electrode, side)
        for boundary, part in touched.items():
            medium, key = cell.medium_of[part], ("electrode", side)
            law = whole.on.get(medium, whole)
            numbers = inputs.faces[key if law is whole else (*key, "on", medium)]
            electrodes.append(_electrode(case, inputs, side, boundary, (medium, part), law, numbers))
    junctions = [
        _junction(case, inputs, meeting, junction, inputs.faces["interface", number])
        for number, junction in enumerate(settings.interface)
        for meeting in cell.meetings[junction.between]
    ]
    networks = tuple(_network(case, inputs, cell, name) for name in cell.networks)
    return Description(media, tuple(electrodes), tuple(junctions), networks)


def started(system: TransportSystem, inputs: Inputs, cell: Cell) -> TransportSystem:
    """The same system with the concentrations of the start."""
    for medium in system.media.values():
        for ion in medium.independent:
            system.set_field(medium.name, ion.name, inputs.media[cell.medium_of[medium.name]].concentration[ion.name])
    return system


def _conductivity(numbers: MediumInputs, cell: Cell) -> Any:
    """Conductivity of an Ohmic medium, S/m: a number, or piecewise over its regions."""
    if numbers.regional:
        return piecewise(cell.domain, numbers.regional, default=0.0)
    if cell.crystal is not None and numbers.boundary_conductivity is not None:
        return piecewise(cell.domain, {"grain": numbers.conductivity, "boundary": numbers.boundary_conductivity}, default=0.0)
    return numbers.conductivity


def _network(case: TransportCase, inputs: Inputs, cell: Cell, name: str) -> Network:
    """Thin grain boundaries of a medium, which take the place of the grains beside them."""
    numbers = inputs.media[name]
    κ, faces = numbers.boundary_conductivity, cell.networks[name]
    ε = None if numbers.boundary_permittivity is None else numbers.boundary_permittivity * VACUUM_PERMITTIVITY
    layer = ThinLayer(numbers.boundary_width, κ, κ, ε)
    grains = tuple((face.boundary, face.first, face.second) for face in faces)
    return Network(network_name(name), grains, case.settings.transport[name].species[0].name, layer, _conductivity(numbers, cell))


def network_name(medium: str) -> str:
    """Name of the network of thin grain boundaries of a medium."""
    return f"{medium} boundaries"


def _medium(case: TransportCase, inputs: Inputs, cell: Cell, name: str, part: str) -> Medium:
    """A medium of the case, or the part of it that is a medium of the system."""
    settings, numbers = case.settings.transport[name], inputs.media[name]
    closure: Closure
    if settings.closure == "ohm":
        ε = None if numbers.permittivity is None else numbers.permittivity * VACUUM_PERMITTIVITY
        closure = SingleIon(_conductivity(numbers, cell), ε)
    elif settings.closure == "electroneutral":
        closure = Electroneutral(settings.fixed_charge or 0.0)
    else:
        ε = (numbers.permittivity or 1.0) * VACUUM_PERMITTIVITY
        closure = Poisson(ε, settings.fixed_charge or 0.0, settings.site_density)
    species = tuple(
        Species(ion.name, ion.charge, numbers.diffusivity.get(ion.name, 1.0), ion.partial_molar_volume or 0.0, ion.sites)
        for ion in settings.species
    )
    declared = [reaction.declared for reaction in settings.reaction]
    T = case.settings.conditions.temperature
    made = reactions(declared, T, cell.domain.constant) if declared else None
    return Medium(part, closure, species, cell.parts[name][part], T, reactions=made)


def _kinetics(reaction: Reaction, face: FaceInputs, reference: float | None) -> Kinetics:
    return Kinetics(
        face.exchange_current_density, face.anodic_transfer, face.cathodic_transfer, reference,
        reaction.concentration_exponent, reaction.equilibrium,
    )  # fmt: skip


def _charged(case: TransportCase, face: FaceInputs, *media: str) -> float | None:
    """Capacitance of a double layer, which a medium with Poisson's equation resolves itself (a material's is left out then)."""
    return None if any(case.settings.transport[name].closure == "poisson" for name in media) else face.capacitance


def _film(face: FaceInputs) -> Film | None:
    return None if face.film_resistance is None else Film(face.film_resistance, face.film_capacitance)


def _electrode(
    case: TransportCase, inputs: Inputs, side: str, boundary: str, medium: tuple[str, str], law: Reaction, face: FaceInputs
) -> Electrode:
    name, part = medium
    kinetics = _kinetics(law, face, inputs.media[name].concentration.get(law.ion))
    if case.settings.mechanics is not None:
        V = molar_volume(case.settings, side)
        kinetics = replace(kinetics, pressure=STRESS, mechanical_transfer=face.mechanical_transfer, molar_volume=V)
    return Electrode(boundary, part, law.ion, kinetics, _charged(case, face, name), _film(face), side)


def _junction(case: TransportCase, inputs: Inputs, meeting: Meeting, law: Junction, face: FaceInputs) -> Interface:
    """Interface of two media, whose first is one with a concentration where there is one (it is the reactant)."""
    (first, second), parts = law.between, (meeting.first, meeting.second)
    here, there = (inputs.media[name].concentration.get(law.ion) for name in (first, second))
    charge, film = _charged(case, face, first, second), _film(face)
    if face.resistance is not None:
        return Interface(
            meeting.boundary, *parts, law.ion, face.resistance, references=(here, there), capacitance=charge, film=film
        )
    if film is None and here is None and there is not None:
        parts, here, there = (meeting.second, meeting.first), there, here
    kinetics = _kinetics(law, face, here)
    return Interface(
        meeting.boundary, *parts, law.ion, kinetics=kinetics, references=(None, there), capacitance=charge, film=film
    )


def protocol_steps(case: TransportCase) -> list[run.Step]:
    """The steps of a case as the time loop takes them."""
    return [_step(step) for step in case.settings.protocol.step] * case.settings.protocol.cycles


def _step(step: Step) -> run.Step:
    until = step.until
    ends: list[run.End] = [run.AfterTime(until.time)]
    ends += [run.AtVoltage(until.voltage)] if until.voltage is not None else []
    ends += [run.AtCurrentDensity(until.current_density)] if until.current_density is not None else []
    ends += [run.AfterCapacity(until.capacity)] if until.capacity is not None else []
    conditions = tuple(ends)
    if step.kind == "galvanostatic":
        return run.Galvanostatic(step.current_density or 0.0, conditions)
    if step.kind == "potentiostatic":
        return run.Potentiostatic(step.voltage or 0.0, conditions)
    if step.kind == "current-ramp":
        return run.CurrentRamp(step.start or 0.0, step.rate or 0.0, conditions)
    if step.kind == "voltage-ramp":
        return run.VoltageRamp(step.start_voltage or 0.0, step.voltage_rate or 0.0, conditions)
    return run.Rest(conditions)


def step_control(case: TransportCase, inputs: Inputs, cell: Cell) -> StepControl:
    """Time steps: those of the case, else from the diffusion and charging times of the media, within those of the case.

    The first step of a protocol step is a ten-thousandth of the shortest diffusion time L²/D (with Poisson's equation, a tenth
    of the time λ²/D in which a layer charges), the smallest a hundredth of it, the largest a twentieth of the longest
    protocol step.
    """
    wanted = case.settings.protocol
    longest = max(step.until.time for step in wanted.step)
    first = wanted.first_step or min(_shortest_time(case, inputs, cell), longest) * 1e-4
    if wanted.first_step is None:
        first = min(max(first, wanted.smallest_step or 0.0), wanted.largest_step or math.inf)
    smallest = wanted.smallest_step or first * 1e-2
    largest = wanted.largest_step or max(longest / 20, first)
    floor = 1e-3 * max((c for m in inputs.media.values() for c in m.concentration.values()), default=1.0)
    return StepControl(first, smallest, largest, wanted.tolerance, floor)


def _shortest_time(case: TransportCase, inputs: Inputs, cell: Cell) -> float:
    times = [math.inf, *(RELAXATION * time for time in _charging_times(case, inputs))]
    for name, (top, bottom) in cell.depths.items():
        numbers, thickness = inputs.media[name], bottom - top
        if not numbers.diffusivity:
            continue
        fastest = max(numbers.diffusivity.values())
        times.append(thickness**2 / fastest)
        if numbers.permittivity is not None:
            ε = numbers.permittivity * VACUUM_PERMITTIVITY
            charges = {ion.name: ion.charge for ion in case.settings.transport[name].species}
            strength = sum(charges[ion] ** 2 * c for ion, c in numbers.concentration.items())
            λ2 = ε * GAS_CONSTANT * case.settings.conditions.temperature / (FARADAY**2 * strength)
            times.append(1e3 * λ2 / fastest)
    return min(times)


def _charging_times(case: TransportCase, inputs: Inputs) -> list[float]:
    """R C of every double layer and film, s."""
    found = []
    T = case.settings.conditions.temperature
    for face in inputs.faces.values():
        if face.capacitance is not None:
            i0 = face.exchange_current_density
            R = face.resistance if face.resistance is not None else GAS_CONSTANT * T / (FARADAY * (i0 or 1.0))
            found.append(R * face.capacitance)
        if face.film_resistance is not None and face.film_capacitance is not None:
            found.append(face.film_resistance * face.film_capacitance)
    return found
