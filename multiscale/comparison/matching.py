"""From a measurement to the cell that matches it and the test conditions it was made under; never to its current.

What is known of a measurement here is `Conditions`: everything but the measured current and its kind. So no number that a
prediction depends on can come from what it is held against (`audit` checks that as well).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.experiments import Measurement
from coupling.library import choose
from coupling.record import Property
from multiscale.comparison.cells import Cell
from multiscale.parameters import TEMPERATURE_TOLERANCE, Parameter, Samples, candidates, continuum_inputs, resolve

TEMPERATURE, PRESSURE, THICKNESS = "conditions.temperature", "conditions.stack_pressure", "geometry.interlayer.thickness"
SURFACE = "geometry.surface_factor"
CELSIUS = 273.15
STATED = "stated with the measurement"
NOT_MODELLED = "step, half-cycle capacity and number of cycles are not in the model (steady ramp)"


@dataclass(frozen=True)
class Conditions:
    """What a prediction may know of a measurement; fields as in `coupling.experiments.Measurement`."""

    electrolyte: str
    composition: str
    interlayer: str
    interlayer_thickness_nm: float | None
    temperature_C: float | None
    stack_pressure_MPa: float | None
    asr_interface_ohm_cm2: float | None


@dataclass(frozen=True)
class Match:
    """A cell under the conditions of a measurement.

    Attributes:
        cell: the cell.
        parameters: every input with its range, by key.
        stated, assumed: in words, what the source states and what was assumed for it.
        remarks: what else differs between sample and cell.
        transfer_follows_temperature: whether the exchange current density is scaled from the file's temperature to the test's
            (one that comes from a resistance was measured at the test's).
        limit: which limit is predicted, that of plating or that of stripping.
    """

    cell: Cell
    parameters: Mapping[str, Parameter]
    stated: tuple[str, ...]
    assumed: tuple[str, ...]
    remarks: tuple[str, ...]
    transfer_follows_temperature: bool
    limit: Literal["plating", "stripping"] = "plating"


def conditions_of(measured: Measurement) -> Conditions:
    """A measurement without its current."""
    return Conditions(
        measured.electrolyte, measured.composition, measured.interlayer, measured.interlayer_thickness_nm,
        measured.temperature_C, measured.stack_pressure_MPa, measured.asr_interface_ohm_cm2,
    )  # fmt: skip


def transfer_key(cell: Cell) -> str:
    """Key of the exchange current density of a cell."""
    return f"{cell.transfer}.exchange_current_density"


def base_parameters(cell: Cell) -> dict[str, Parameter]:
    """Inputs of a cell from the material files, activation energies included where a file states one."""
    parameters = {key: value for key, value in resolve(cell.case, ()).items() if not key.startswith(f"{cell.voids}.")}
    for name in filter(None, (cell.bulk, cell.transfer, cell.layer)):
        found = choose(candidates(cell.case.materials[name], "activation_energy", (), 0.0))
        if found:
            key = f"{name}.activation_energy"
            parameters[key] = Parameter(key, found[0], tuple(found[1:]))
    if cell.settings.assumed.interlayer_thickness is not None:
        wanted = cell.settings.assumed.interlayer_thickness
        parameters[THICKNESS] = _assumed(cell, THICKNESS, wanted.value, wanted.range, "m", wanted.source)
    return parameters


def _assumed(cell: Cell, key: str, value: float, ends: tuple[float, float], unit: str, source: str) -> Parameter:
    material, _, quantity = key.rpartition(".")
    told = {"reference": source, "file": cell.file.path.name, "grade": "C"}
    low, high = ends
    return Parameter(key, Property(
        material, quantity, value, unit, low=low, high=high, kind="assumed", confidence="low", source=told
    ))  # fmt: skip


def _stated(key: str, value: float, unit: str) -> Parameter:
    material, _, quantity = key.rpartition(".")
    record = Property(material, quantity, value, unit, kind="measured", confidence="memory", source={"reference": STATED})
    return Parameter(key, record)


def match(conditions: Conditions, cells: Sequence[Cell]) -> Match | str:
    """The cell of a measurement under its conditions, or in words why none can be held against it."""
    cell = cell_of(conditions, cells)
    if isinstance(cell, str):
        return cell
    found = assembled(conditions, cell)
    return outside_survey(found) or _without_activation(found) or found


def cell_of(conditions: Conditions, cells: Sequence[Cell]) -> Cell | str:
    """The cell of a measurement, or in words what is missing."""
    cell = next((cell for cell in cells if cell.stands_for(conditions.electrolyte, conditions.interlayer)), None)
    return _why_no_cell(conditions, cells) if cell is None else cell


def assembled(conditions: Conditions, cell: Cell) -> Match:
    """A cell with what a measurement states and what is assumed for the rest, whether or not its model runs reach there."""
    parameters, stated, assumed = base_parameters(cell), [], []
    taken = cell.settings.assumed
    if conditions.temperature_C is not None:
        parameters[TEMPERATURE] = _stated(TEMPERATURE, conditions.temperature_C + CELSIUS, "K")
        stated.append(f"{conditions.temperature_C:g} °C")
    else:
        low, high = (end - CELSIUS for end in taken.temperature.range)
        assumed.append(f"temperature {low:.0f} … {high:.0f} °C")
        parameters[TEMPERATURE] = _assumed(
            cell, TEMPERATURE, taken.temperature.value, taken.temperature.range, "K", taken.temperature.source
        )
    if conditions.stack_pressure_MPa is not None:
        parameters[PRESSURE] = _stated(PRESSURE, conditions.stack_pressure_MPa * 1e6, "Pa")
        stated.append(f"{conditions.stack_pressure_MPa:g} MPa")
    else:
        low, high = (end / 1e6 for end in taken.stack_pressure.range)
        assumed.append(f"stack pressure {low:g} … {high:g} MPa")
        wanted = taken.stack_pressure
        parameters[PRESSURE] = _assumed(cell, PRESSURE, wanted.value, wanted.range, "Pa", wanted.source)
    if taken.interlayer_thickness is not None:
        if conditions.interlayer_thickness_nm is not None:
            parameters[THICKNESS] = _stated(THICKNESS, conditions.interlayer_thickness_nm * 1e-9, "m")
            stated.append(f"layer {conditions.interlayer_thickness_nm:g} nm")
        else:
            low, high = (end * 1e9 for end in taken.interlayer_thickness.range)
            assumed.append(f"layer {low:g} … {high:g} nm")
    if taken.surface_factor is not None:
        low, high = taken.surface_factor.range
        assumed.append(f"surface {low:g} … {high:g} times the geometric area")
        wanted_factor = taken.surface_factor
        parameters[SURFACE] = _assumed(cell, SURFACE, wanted_factor.value, wanted_factor.range, "1", wanted_factor.source)
    if conditions.asr_interface_ohm_cm2 is not None:
        parameters[transfer_key(cell)] = exchange_from_resistance(cell, conditions.asr_interface_ohm_cm2, parameters)
        stated.append(f"interface {conditions.asr_interface_ohm_cm2:g} ohm cm²")
        low, high = taken.charge_transfer_share.range
        assumed.append(f"charge transfer {low:.0%} … {high:.0%} of it")
    else:
        used = parameters[transfer_key(cell)].used
        low, high = (used.low or used.value, used.high or used.value)
        assumed.append(f"exchange current {low / 10:.3g} … {high / 10:.3g} mA/cm² of {cell.transfer}.toml")
    follows = conditions.asr_interface_ohm_cm2 is None
    return Match(cell, parameters, tuple(stated), tuple(assumed), remarks_of(conditions, cell), follows)


def exchange_from_resistance(cell: Cell, resistance: float, parameters: Mapping[str, Parameter]) -> Parameter:
    """Exchange current density from a measured interfacial resistance R (ohm cm²): i0 = R_gas T / (F R share).

    Small-signal limit of Butler–Volmer for α_a + α_c = 1 (docs/physics.md 1.2a); `share` of R is charge transfer.
    """
    wanted, key = cell.settings.assumed.charge_transfer_share, transfer_key(cell)
    kelvin = parameters[TEMPERATURE].used.value
    least = GAS_CONSTANT * kelvin / (FARADAY * resistance * 1e-4)
    low, high = wanted.range
    told = {"reference": f"RT/(F R) with the interfacial resistance {STATED}; {wanted.source}", "file": cell.file.path.name}
    return Parameter(key, Property(
        cell.transfer, "exchange_current_density", least / wanted.value, "A/m^2", low=least / high, high=least / low,
        conditions={"temperature_K": kelvin}, kind="derived", confidence="low", source=told,
    ), (parameters[key].used,))  # fmt: skip


def _why_no_cell(conditions: Conditions, cells: Sequence[Cell]) -> str:
    """What is missing for a measurement to be compared."""
    known = sorted({name for cell in cells for name in cell.settings.electrolytes})
    layers = sorted({layer for cell in cells for layer in cell.settings.interlayers if layer != "none"})
    if not any(cell.stands_for(conditions.electrolyte, layer) for cell in cells for layer in cell.settings.interlayers):
        return f"no cell for the electrolyte {conditions.electrolyte} in cases/_comparison (there: {', '.join(known)})"
    there = ", ".join(layers) or "none"
    return f'no material and cell for the interlayer "{conditions.interlayer}" (there: none, {there})'


def remarks_of(conditions: Conditions, cell: Cell) -> tuple[str, ...]:
    """What else differs between sample and cell, as the cell file tells it."""
    sample = f"{conditions.electrolyte} {conditions.composition}".lower()
    return tuple(remark.text for remark in cell.settings.remark if remark.composition.lower() in sample)


def outside_survey(found: Match, covered: str = "the cell's model runs") -> str | None:
    """Why the conditions lie outside [survey] of the cell, in words of what it means for the limit (`covered`), or None."""
    survey, cell = found.cell.settings.survey, found.cell
    ranges = {
        TEMPERATURE: (survey.temperature, 1.0, -CELSIUS, "°C", "temperature"),
        PRESSURE: (survey.stack_pressure, 1e-6, 0.0, "MPa", "stack pressure"),
        transfer_key(cell): (survey.exchange_current_density, 0.1, 0.0, "mA/cm²", "exchange current density"),
    }
    for key, ((least, most), scale, shift, unit, name) in ranges.items():
        used = found.parameters[key].used
        if used.value < least or used.value > most:
            ends = f"{least * scale + shift:.4g} … {most * scale + shift:.4g} {unit}"
            shown = f"{used.value * scale + shift:.4g} {unit}"
            return f"{name} {shown} lies outside {covered} ({ends}, {cell.file.path.name})"
    return None


def _without_activation(found: Match) -> str | None:
    """Why a temperature far from that of the material files cannot be reached, or None."""
    cell = found.cell
    nominal = cell.case.settings.conditions.temperature
    kelvin = found.parameters[TEMPERATURE].used.value
    if abs(kelvin - nominal) <= TEMPERATURE_TOLERANCE:
        return None
    wanted = [cell.bulk, *([cell.transfer] if found.transfer_follows_temperature else [])]
    wanted += [cell.layer] if cell.layer else []
    missing = [name for name in wanted if f"{name}.activation_energy" not in found.parameters]
    if not missing:
        return None
    return f"{kelvin - CELSIUS:.4g} °C: no activation energy is known of {' and '.join(missing)}"


def inputs_of(cell: Cell, leaves: Samples, transfer_follows_temperature: bool) -> dict[str, np.ndarray]:
    """Inputs of the continuum model, (n,) each, from leaves (n,): `continuum_inputs` with temperature and layer thickness.

    Conductivities and exchange current density go from the files' temperature T0 to T by exp(−E/R (1/T − 1/T0)) where an
    activation energy E is known. A layer that is thin against the cell conducts across itself as σ/d: its thickness d enters
    by the conductivity σ d0/d of the drawn layer of thickness d0 (Ohm; exact for a flat layer).
    """
    leaf = dict(leaves)
    nominal = cell.case.settings.conditions.temperature
    inverse = 1.0 / leaf[TEMPERATURE] - 1.0 / nominal
    scaled = {cell.bulk: "ionic_conductivity"} | ({cell.layer: "ionic_conductivity"} if cell.layer else {})
    scaled |= {cell.transfer: "exchange_current_density"} if transfer_follows_temperature else {}
    for name, quantity in scaled.items():
        if f"{name}.activation_energy" in leaf:
            factor = np.exp(-leaf[f"{name}.activation_energy"] / GAS_CONSTANT * inverse)
            leaf[f"{name}.{quantity}"] = leaf[f"{name}.{quantity}"] * factor
    inputs = continuum_inputs(cell.case, leaf)
    layer = cell.case.settings.geometry.interlayer
    if layer:
        inputs["interlayer_conductivity"] = inputs["interlayer_conductivity"] * layer.thickness / leaf[THICKNESS]
    count = len(leaf[TEMPERATURE])
    return {name: np.broadcast_to(np.asarray(value, dtype=float), (count,)) for name, value in inputs.items()}


def survey_parameters(cell: Cell) -> dict[str, Parameter]:
    """Inputs of a cell with the test conditions spread over its survey."""
    survey, parameters = cell.settings.survey, base_parameters(cell)
    for key, ends in (
        (TEMPERATURE, survey.temperature), (PRESSURE, survey.stack_pressure),
        (transfer_key(cell), survey.exchange_current_density),
    ):  # fmt: skip
        used = parameters[key].used
        told = {"reference": "range of the model runs", "file": cell.file.path.name}
        value = min(max(used.value, ends[0]), ends[1])
        parameters[key] = Parameter(key, replace(used, value=value, low=ends[0], high=ends[1], stderr=None, source=told))
    return parameters
