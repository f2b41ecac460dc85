"""From the numbers of a memristor case to its device, its nucleation voltages, and what is known of it in closed form."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from multiscale.memristor.case import MemristorCase, MemristorInputs
from multiscale.memristor.device import Device, sharvin_resistance, tunnel_decay, wire_resistivity
from multiscale.memristor.field import LayerField, layer_field
from multiscale.memristor.sweep import Filament, Sweep, run_cycle
from multiscale.solvers.protocol import AfterTime, VoltageRamp
from multiscale.tip_trigger.ramp import nucleation_voltage

MEDIAN = math.log(2)
"""Nuclei expected at the median of the first one."""


def field_of(inputs: MemristorInputs, comm: Any) -> LayerField:
    """The resolved field of the layer. Raises UserError, RunFailure: it cannot be meshed or solved."""
    return layer_field(inputs.radius, inputs.thickness, inputs.electrode_radius, comm)


def growth_pressure(inputs: MemristorInputs) -> float:
    """Pressure that opens new channel, Pa: that of a penny of the filament's radius, (K/2)√(π/r), or the hardness if less."""
    return min(inputs.fracture_toughness / 2 * math.sqrt(math.pi / inputs.radius), inputs.hardness)


def device_of(case: MemristorCase, inputs: MemristorInputs, field: LayerField) -> Device:
    """The device of a case."""
    i, mechanisms = inputs, case.settings.physics.mechanisms
    ionic, electronic = field.ionic_shape(), field.electronic_shape()
    return Device(
        radius=i.radius, thickness=i.thickness, temperature=i.temperature, exchange_current_density=i.exchange_current_density,
        cathodic_transfer=i.cathodic_transfer_coefficient, mechanical_transfer=i.mechanical_transfer_coefficient,
        growth_pressure=growth_pressure(i) if "fracture" in mechanisms else 0.0,
        resistivity=wire_resistivity(i.radius, i.electrical_resistivity, i.electron_mean_free_path),
        contact_resistance=sharvin_resistance(i.radius, i.electrical_resistivity, i.electron_mean_free_path),
        decay=tunnel_decay(i.tunnel_barrier), ionic=lambda gap: ionic(gap) / i.ionic_conductivity,
        electronic=lambda gap: electronic(gap) / i.electronic_conductivity, series=i.series_resistance,
        compliance=i.compliance, plates="plating" in mechanisms,
    )  # fmt: skip


def sweep_of(case: MemristorCase) -> Sweep:
    """The sweep of a case."""
    p = case.settings.protocol
    return Sweep(p.positive, p.negative, p.read, p.rate)


def nucleation_voltages(case: MemristorCase, inputs: MemristorInputs, cycles: int) -> np.ndarray:
    """Voltage at which the filament nucleates in each cycle, V; zero with the mechanism off, infinite where it does not."""
    expected: np.ndarray = np.full(cycles, MEDIAN)
    if case.settings.physics.nucleation == "seeded":
        expected = np.random.default_rng([case.settings.protocol.seed, 3]).standard_exponential(cycles)
    return nucleation_at(case, inputs, expected)


def nucleation_at(case: MemristorCase, inputs: MemristorInputs, expected: np.ndarray) -> np.ndarray:
    """Voltage at which so many nuclei are expected under the filament's end, V; zero with the mechanism off."""
    p = case.settings.protocol
    if "nucleation" not in case.settings.physics.mechanisms:
        return np.zeros(len(expected))
    return nucleation_voltage(
        expected, math.pi * inputs.radius**2, inputs.exchange_current_density, inputs.surface_energy, inputs.contact_angle,
        inputs.temperature, VoltageRamp(0.0, p.rate, (AfterTime(p.positive / p.rate),)), p.positive,
    )  # fmt: skip


def closed_forms(device: Device, field: LayerField, inputs: MemristorInputs) -> dict[str, float]:
    """Resistances of a closed bridge, R_s + R_f + R_S, and of electrons through the empty layer, ohm; their ratio."""
    on = device.series + device.filament_resistance(device.thickness) + device.contact_resistance
    off = device.series + float(field.electronic[-1]) / inputs.electronic_conductivity
    return {"on_ohm": on, "off_ohm": off, "on_off_ratio": off / on}


def electrode_radius_at(ratio: float, device: Device, conductivity: float) -> float:
    """Radius of the electrode at which electrons through the layer bring the on/off ratio down to `ratio`, m.

    A disk on a layer passes σ(4R + πR²/L), exact for R ≪ L and R ≫ L; zero where no electrode is large enough a leak.
    """
    on = device.series + device.filament_resistance(device.thickness) + device.contact_resistance
    needed = 1 / (ratio * on * conductivity)
    return (-2 + math.sqrt(4 + math.pi * needed / device.thickness)) * device.thickness / math.pi


VARIED = (
    "radius", "ionic_conductivity", "fracture_toughness", "hardness", "electronic_conductivity", "exchange_current_density",
    "cathodic_transfer_coefficient", "mechanical_transfer_coefficient", "surface_energy", "contact_angle",
    "electron_mean_free_path", "tunnel_barrier",
)  # fmt: skip
"""Numbers whose ranges are told."""


def ranges(case: MemristorCase, inputs: MemristorInputs, field: LayerField, comm: Any) -> list[dict[str, Any]]:
    """Forming, set and reset voltage and on/off ratio of the first two cycles with each number at the ends of its range."""
    rows = []
    for key, parameter in inputs.parameters.items():
        used, name = parameter.used, key.rpartition(".")[2]
        if name not in VARIED or used.low is None or used.high is None:
            continue
        for end in (used.low, used.high):
            change: dict[str, Any] = {name: end}
            if name == "cathodic_transfer_coefficient" and not _has_own_mechanical_transfer(inputs):
                change["mechanical_transfer_coefficient"] = end
            changed = replace(inputs, **change)
            found = first_cycles(case, changed, field_of(changed, comm) if name == "radius" else field)
            rows.append({"parameter": key, "value": end, **found})
    return rows


def _has_own_mechanical_transfer(inputs: MemristorInputs) -> bool:
    """Whether αm is a number of its own; else it is αc, and goes with it."""
    return any(key.endswith(".mechanical_transfer_coefficient") for key in inputs.parameters)


def first_cycles(case: MemristorCase, inputs: MemristorInputs, field: LayerField) -> Mapping[str, float | None]:
    """What two cycles at median nucleation tell: forming, set and reset voltage (V), on/off ratio."""
    device, sweep = device_of(case, inputs, field), sweep_of(case)
    start = float(nucleation_at(case, inputs, np.full(1, MEDIAN))[0])
    first = run_cycle(device, sweep, Filament(), start)
    second = run_cycle(device, sweep, first.end, start)
    ratio = second.on_current / second.off_current if second.off_current else None
    return {
        "forming_V": first.set_voltage, "set_V": second.set_voltage, "reset_V": second.reset_voltage, "on_off_ratio": ratio,
    }  # fmt: skip
