"""From a transport case to a system that can be run: media, electrodes, interfaces, start, protocol and time step."""

import math
from typing import Any

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.domain import piecewise
from multiscale.solvers import protocol as run
from multiscale.solvers.timeloop import StepControl
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.media import Junction as Interface
from multiscale.transport.nernst_planck import VACUUM_PERMITTIVITY, Closure, Electroneutral, Poisson, SingleIon, Species
from multiscale.transport.rate_expressions import reactions
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.geometry import COUNTER, WORKING, Cell, interface_name
from multiscale.transport_cases.inputs import FaceInputs, Inputs
from multiscale.transport_cases.schema import Reaction, Step

DEGREE = 2
"""Of the elements."""


def transport_system(case: TransportCase, inputs: Inputs, cell: Cell) -> TransportSystem:
    """The equations of a case on its mesh, with the concentrations of the start."""
    return started(TransportSystem(cell.domain, *described(case, inputs, cell), degree=DEGREE), inputs)


def described(case: TransportCase, inputs: Inputs, cell: Cell) -> tuple[list[Medium], list[Electrode], list[Interface]]:
    """Media, electrodes and interfaces of a case, as data."""
    settings, media = case.settings, list(cell.regions)
    listed = [_medium(case, inputs, cell, name) for name in media]
    electrodes = [
        _electrode(inputs, WORKING, media[0], settings.electrode.working, inputs.working),
        _electrode(inputs, COUNTER, media[-1], settings.electrode.counter, inputs.counter),
    ]
    junctions = [
        _junction(inputs, *junction.between, junction, face)
        for junction, face in zip(settings.interface, inputs.junctions, strict=True)
    ]
    return listed, electrodes, junctions


def started(system: TransportSystem, inputs: Inputs) -> TransportSystem:
    """The same system with the concentrations of the start."""
    for medium in system.media.values():
        for ion in medium.independent:
            system.set_field(medium.name, ion.name, inputs.media[medium.name].concentration[ion.name])
    return system


def _medium(case: TransportCase, inputs: Inputs, cell: Cell, name: str) -> Medium:
    settings, numbers = case.settings.transport[name], inputs.media[name]
    closure: Closure
    if settings.closure == "ohm":
        κ: Any = numbers.conductivity
        if numbers.boundary_conductivity is not None:
            κ = piecewise(cell.domain, {"grain": numbers.conductivity, "boundary": numbers.boundary_conductivity}, default=0.0)
        closure = SingleIon(κ)
    elif settings.closure == "electroneutral":
        closure = Electroneutral(settings.fixed_charge or 0.0)
    else:
        ε = (numbers.permittivity or 1.0) * VACUUM_PERMITTIVITY
        closure = Poisson(ε, settings.fixed_charge or 0.0, settings.site_density)
    species = tuple(
        Species(ion.name, ion.charge, numbers.diffusivity.get(ion.name, 1.0), sites=ion.sites) for ion in settings.species
    )
    declared = [reaction.declared for reaction in settings.reaction]
    T = case.settings.conditions.temperature
    made = reactions(declared, T, cell.domain.constant) if declared else None
    return Medium(name, closure, species, cell.regions[name], T, reactions=made)


def _kinetics(reaction: Reaction, face: FaceInputs, reference: float | None) -> Kinetics:
    return Kinetics(
        face.exchange_current_density, face.anodic_transfer, face.cathodic_transfer, reference,
        reaction.concentration_exponent, reaction.equilibrium,
    )  # fmt: skip


def _electrode(inputs: Inputs, boundary: str, medium: str, reaction: Reaction, face: FaceInputs) -> Electrode:
    reference = inputs.media[medium].concentration.get(reaction.ion)
    return Electrode(boundary, medium, reaction.ion, _kinetics(reaction, face, reference))


def _junction(inputs: Inputs, first: str, second: str, reaction: Reaction, face: FaceInputs) -> Interface:
    """Interface of two media, whose first is one with a concentration where there is one (it is the reactant)."""
    boundary = interface_name(first, second)
    here, there = (inputs.media[name].concentration.get(reaction.ion) for name in (first, second))
    if face.resistance is not None:
        return Interface(boundary, first, second, reaction.ion, face.resistance, references=(here, there))
    if here is None and there is not None:
        first, second, here, there = second, first, there, here
    law = _kinetics(reaction, face, here)
    return Interface(boundary, first, second, reaction.ion, kinetics=law, references=(None, there))


def protocol_steps(case: TransportCase) -> list[run.Step]:
    """The steps of a case as the time loop takes them."""
    return [_step(step) for step in case.settings.protocol.step]


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


def step_control(case: TransportCase, inputs: Inputs) -> StepControl:
    """Time steps: those of the case, else from the diffusion and charging times of the media.

    The first step of a protocol step is a ten-thousandth of the shortest diffusion time L²/D (with Poisson's equation, a tenth
    of the time λ²/D in which a layer charges), the smallest a hundredth of it, the largest a twentieth of the longest
    protocol step.
    """
    wanted = case.settings.protocol
    longest = max(step.until.time for step in wanted.step)
    first = wanted.first_step or min(_shortest_time(case, inputs), longest) * 1e-4
    smallest = wanted.smallest_step or first * 1e-2
    largest = wanted.largest_step or max(longest / 20, first)
    floor = 1e-3 * max((c for m in inputs.media.values() for c in m.concentration.values()), default=1.0)
    return StepControl(first, smallest, largest, wanted.tolerance, floor)


def _shortest_time(case: TransportCase, inputs: Inputs) -> float:
    times = [math.inf]
    for name, thickness in case.settings.geometry.thickness.items():
        numbers = inputs.media[name]
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
