"""From the numbers of a tip case to the voltages at which tips trigger."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.tip_contact import PitResponse, pit_response
from multiscale.solvers.protocol import AfterTime, VoltageRamp
from multiscale.tip_trigger.case import TipCase, TipInputs
from multiscale.tip_trigger.landscape import boundary_resistance, spreading_resistance
from multiscale.tip_trigger.ramp import Contact, nucleation_voltage, run_ramp

MECHANISMS = ("none", "nucleation", "fracture", "yield")
"""What held a tip back last, by number: none triggered; nucleation (it gave way within a step after it); cracking; flow."""
MEDIAN = math.log(2)
"""Nuclei expected at the median of the first one."""


@dataclass(frozen=True)
class Triggers:
    """Of each tip, shape (n,): trigger and nucleation voltage (V), pressure at the trigger (Pa), charge (C), mechanism."""

    voltage: np.ndarray
    nucleation: np.ndarray
    pressure: np.ndarray
    charge: np.ndarray
    mechanism: np.ndarray


class Tips:
    """The tips of a case: its settings, numbers and the response of their pit."""

    def __init__(self, case: TipCase, inputs: TipInputs, response: PitResponse) -> None:
        self.settings, self.inputs, self.response = case.settings, inputs, response

    def crack_pressure(self, toughness: np.ndarray) -> np.ndarray:
        """Pressure at which a flaw of a toughness (Pa m^½) runs, Pa; infinite with the mechanism off."""
        if "fracture" not in self.settings.physics.mechanisms:
            return np.full(np.shape(toughness), np.inf)
        return np.asarray(toughness) / self.response.intensity

    def resistance(self, distance: np.ndarray) -> np.ndarray:
        """To the counter electrode with the nearest boundary at a distance (m; not nearer than a radius), ohm."""
        i = self.inputs
        far = np.maximum(distance, i.radius)
        return spreading_resistance(i.radius, i.conductivity) + boundary_resistance(far, i.conductivity, i.boundary_sheet)

    def nucleation(self, expected: np.ndarray) -> np.ndarray:
        """Voltage at which so many nuclei are expected, V; zero with the mechanism off."""
        i, protocol = self.inputs, self.settings.protocol
        if "nucleation" not in self.settings.physics.mechanisms:
            return np.zeros(np.shape(expected))
        return nucleation_voltage(
            np.asarray(expected), i.area, i.exchange_current_density, i.surface_energy, i.contact_angle, i.temperature,
            self._ramp(), protocol.maximum,
        )  # fmt: skip

    def solve(self, toughness: np.ndarray, distance: np.ndarray, expected: np.ndarray) -> Triggers:
        """Ramp tips at places of given toughness (Pa m^½), distance to a boundary (m) and nuclei expected at the first."""
        i, protocol = self.inputs, self.settings.protocol
        cracks = self.crack_pressure(toughness)
        flows = i.hardness if "yield" in self.settings.physics.mechanisms else math.inf
        start, capacity = self.nucleation(expected), np.minimum(cracks, flows)
        contact = Contact(
            i.area, self.resistance(distance), self.response.compliance, i.exchange_current_density, 1 - i.cathodic_transfer,
            i.mechanical_transfer, i.temperature, i.extrusion,
        )  # fmt: skip
        found = run_ramp(contact, capacity, start, self._ramp(), protocol.maximum, protocol.step)
        held = np.where(found.voltage - start <= protocol.step, 1, np.where(cracks <= flows, 2, 3))
        if "nucleation" not in self.settings.physics.mechanisms:
            held = np.where(cracks <= flows, 2, 3)
        mechanism = np.where(np.isnan(found.voltage), 0, held)
        return Triggers(found.voltage, start, found.pressure, found.charge, mechanism)

    def _ramp(self) -> VoltageRamp:
        protocol = self.settings.protocol
        return VoltageRamp(0.0, protocol.rate, (AfterTime(protocol.maximum / protocol.rate),))


def nominal(case: TipCase, inputs: TipInputs, comm: Any, response: PitResponse | None = None) -> tuple[float, float]:
    """Trigger voltage of a tip in the middle of a grain and on a boundary, best values and median nucleation, V (or NaN)."""
    response = response or pit_response(inputs.radius, inputs.flaw_depth, inputs.elastic, comm)
    toughness = inputs.toughness * np.array([1.0, inputs.toughness_ratio])
    distance = np.array([case.settings.geometry.electrolyte.grain_size / 2, 0.0])
    found = Tips(case, inputs, response).solve(toughness, distance, np.full(2, MEDIAN))
    return float(found.voltage[0]), float(found.voltage[1])


def by_radius(case: TipCase, inputs: TipInputs, comm: Any) -> list[dict[str, float | None]]:
    """Nominal triggers at each of the case's radii."""
    rows = []
    for radius in case.settings.geometry.tip.radii:
        grain, boundary = nominal(case, replace(inputs, radius=radius), comm)
        rows.append({"radius_nm": radius * 1e9, "grain_V": known(grain), "boundary_V": known(boundary)})
    return rows


def known(value: float) -> float | None:
    """The value, or None where it is not a number (nothing triggered)."""
    return None if math.isnan(value) else float(value)


def sensitivities(case: TipCase, inputs: TipInputs, response: PitResponse, comm: Any) -> list[dict[str, Any]]:
    """Nominal trigger in a grain with each number at the ends of its range, the others at their best value.

    The last row replaces the measured toughness by the least a crack can cost, 2γ of the crystal's surface: K = √(2γ E').
    """
    rows = []
    for key, value in _ranges(case, inputs):
        ends = [_nominal_with(case, inputs, response, comm, key, end) for end in value]
        rows.append({"parameter": key, "low": value[0], "high": value[1], "at_low_V": ends[0], "at_high_V": ends[1]})
    least = math.sqrt(2 * inputs.crystal_surface_energy * inputs.elastic.plane_strain_modulus)
    trigger = known(nominal(case, replace(inputs, toughness=least), comm, response)[0])
    bound = {"low": least, "high": least, "at_low_V": trigger, "at_high_V": trigger}
    rows.append({"parameter": "toughness of ideal cleavage", **bound})
    return rows


def _ranges(case: TipCase, inputs: TipInputs) -> Sequence[tuple[str, tuple[float, float]]]:
    """Every number with a range that the nominal trigger in a grain can depend on."""
    found, of_the_crystal = [], f"{case.settings.geometry.electrolyte.contact}.surface_energy"  # not the nucleus'
    for key, parameter in inputs.parameters.items():
        used = parameter.used
        if used.low is not None and used.high is not None and key.rpartition(".")[2] in {*_FIELDS, *_CREEP, *_ELASTIC}:
            if key == of_the_crystal:
                continue
            found.append((key, (used.low, used.high)))
    return found


_FIELDS = {
    "gap": "gap", "depth": "flaw_depth", "ionic_conductivity": "conductivity", "fracture_toughness": "toughness",
    "hardness": "hardness", "exchange_current_density": "exchange_current_density",
    "cathodic_transfer_coefficient": "cathodic_transfer", "mechanical_transfer_coefficient": "mechanical_transfer",
    "surface_energy": "surface_energy", "contact_angle": "contact_angle", "conductivity_ratio": "boundary_ratio",
}  # fmt: skip
_CREEP = {
    f"creep_{name}": name for name in ("reference_rate", "reference_stress", "exponent", "activation_energy", "size_factor")
}
_ELASTIC = {"youngs_modulus": "youngs_modulus", "poissons_ratio": "poisson_ratio"}


def _nominal_with(
    case: TipCase, inputs: TipInputs, response: PitResponse, comm: Any, key: str, value: float
) -> float | None:
    quantity = key.rpartition(".")[2]
    if quantity in _CREEP:
        assert inputs.creep is not None
        creep: Creep = replace(inputs.creep, **{_CREEP[quantity]: value})
        return known(nominal(case, replace(inputs, creep=creep), comm, response)[0])
    if quantity in _ELASTIC:
        elastic: Elastic = replace(inputs.elastic, **{_ELASTIC[quantity]: value})
        softer = PitResponse(response.intensity, response.compliance * inputs.elastic.youngs_modulus / value)
        stiffness_only = softer if quantity == "youngs_modulus" else None
        return known(nominal(case, replace(inputs, elastic=elastic), comm, stiffness_only)[0])
    change: dict[str, Any] = {_FIELDS[quantity]: value}
    own = any(name.endswith(".mechanical_transfer_coefficient") for name in inputs.parameters)
    if quantity == "cathodic_transfer_coefficient" and not own:  # αm is then αc, and goes with it
        change["mechanical_transfer"] = value
    changed = replace(inputs, **change)
    return known(nominal(case, changed, comm, None if quantity == "depth" else response)[0])
