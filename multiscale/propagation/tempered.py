"""Numbers of a propagation case that change with temperature, at any temperature of its test: nearest record, then Arrhenius."""

import math
from collections.abc import Mapping

from coupling.constants import GAS_CONSTANT
from coupling.errors import UserError
from coupling.toml_input import Location
from multiscale.parameters import Parameter, candidates, nominal
from multiscale.propagation.case import PropagationCase
from multiscale.propagation.protocols import surroundings

SCALED = ("exchange_current_density", "ionic_conductivity")
"""Quantities that go from the temperature of their record to another by the activation energy in the same material file."""
SAME = 1e-6
"""Difference of two temperatures that counts as none, K."""


def known(case: PropagationCase, name: str, quantity: str, temperature: float | None = None) -> Parameter | None:
    """A quantity of a material by the case's order of kinds, and those that were not used; None where it is not known.

    Where no record of a `SCALED` quantity holds near the temperature, those nearest to it, if the file states an activation
    energy.

    Args:
        case: the case.
        name, quantity: of the material, of the material file.
        temperature: other than the case's, K.
    """
    label, material = f"{name}.{quantity}", case.materials[name]
    T = temperature or case.settings.conditions.temperature
    found = candidates(material, quantity, (), T)
    if not found and quantity in SCALED and candidates(material, "activation_energy", (), T):
        everywhere = [p for p in material.properties if p.material == name and p.quantity == quantity]
        away = [abs(p.conditions.get("temperature_K", T) - T) for p in everywhere]
        found = [p for p, distance in zip(everywhere, away, strict=True) if distance <= min(away) + SAME]
    chosen = case.settings.properties.ranked(label, found)
    return Parameter(label, chosen[0], tuple(chosen[1:])) if chosen else None


def arrhenius(activation_energy: float, temperature: float, reference: float) -> float:
    """Factor on a thermally activated number from a reference temperature to another: exp(−E/R (1/T − 1/T₀)).

    ======  =================  =====
    symbol  variable           unit
    ======  =================  =====
    E       activation_energy  J/mol
    T       temperature        K
    T₀      reference          K
    ======  =================  =====

    Source: Arrhenius 1889; `multiscale compare` takes measurements to their temperature in the same way.
    """
    return math.exp(-activation_energy / GAS_CONSTANT * (1 / temperature - 1 / reference))


def temperatures(case: PropagationCase) -> list[float]:
    """Every temperature of the test, the case's own first, K."""
    own = case.settings.conditions.temperature
    return list(dict.fromkeys([own, *(hold.temperature or own for hold in surroundings(case.settings.protocol))]))


def energies(case: PropagationCase, wanted: Mapping[str, str]) -> dict[str, Parameter]:
    """Activation energies that the temperatures of the test ask for, by key; of the materials (keys) for their quantity (value).

    None is asked for where every record is used at its own temperature.
    """
    found: dict[str, Parameter] = {}
    for name, quantity in wanted.items():
        used = [(known(case, name, quantity, T), T) for T in temperatures(case)]
        scaled = any(p and abs(p.used.conditions.get("temperature_K", T) - T) > SAME for p, T in used)
        energy = known(case, name, "activation_energy") if scaled else None
        if energy is not None:
            found[energy.key] = energy
    return found


def value_at(case: PropagationCase, values: Mapping[str, float], name: str, quantity: str, temperature: float) -> float:
    """A number at a temperature of the test: its record nearest to that, scaled from the record's own temperature.

    A drawn value keeps its ratio to the best one at every temperature, and a drawn activation energy acts at all of them. Without
    an activation energy a record stands for temperatures near its own, but not for a change of temperature.

    Args:
        case: the case.
        values: one number a key of `inputs.parameters`, SI.
        name, quantity: of the material, of the material file.
        temperature: K.

    Raises:
        UserError: the number is not known there.
    """
    here, there = known(case, name, quantity), known(case, name, quantity, temperature)
    own, energy = case.settings.conditions.temperature, values.get(f"{name}.activation_energy")
    changed = abs(temperature - own) > SAME
    if here is None or there is None or (energy is None and changed and there.used is here.used):
        raise UserError(case.file.refusal(("protocol",), _unknown(case, name, quantity, temperature)))
    best = nominal({"here": here, "there": there})
    ratio = 1.0 if there.used is here.used else float(best["there"][0] / best["here"][0])
    stated = there.used.conditions.get("temperature_K", temperature)
    factor = 1.0 if energy is None else arrhenius(energy, temperature, stated)
    return values[f"{name}.{quantity}"] * ratio * factor


def _unknown(case: PropagationCase, name: str, quantity: str, temperature: float) -> str:
    """What to tell of a number that a step's temperature asks for in vain."""
    what = f"{quantity} of {name} is not known at {temperature:g} K ({temperature - 273.15:.4g} degC), which a step asks for"
    mend = f"add a [[property]] activation_energy, or {quantity} at that temperature, with its source"
    return f"{what}; {mend} to {case.materials[name].path}"


def unknown(case: PropagationCase, name: str, quantity: str, key: Location) -> UserError:
    """What to tell of a quantity that is not known at the case's own temperature."""
    told = f"{quantity} of {name} is not known at this temperature"
    if quantity in SCALED and any(p.quantity == quantity for p in case.materials[name].properties):
        told += ", and the file states no activation_energy that takes it there"
    mend = f"add a [[property]] with it and its source to {case.materials[name].path}"
    return UserError(case.file.complaint(key, f"{told}; {mend}"))


def told(numbers: Mapping[float, tuple[float, float]]) -> list[str]:
    """Exchange current density (A/m²) and conductivity (S/m) at each temperature (K), one line each."""
    return [
        f"at {T - 273.15:.4g} degC: exchange current density {i0:.4g} A/m^2, ionic conductivity {κ:.4g} S/m"
        for T, (i0, κ) in numbers.items()
    ]
