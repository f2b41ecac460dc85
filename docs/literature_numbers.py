"""What shipped numbers are held against: literature.toml, the material files, what follows from both; and the verdict."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from literature_arithmetic import UNTOLD, Literature, fracture, listed, polycrystal

from coupling.library import QUANTITIES, read_material
from coupling.record import Property
from coupling.units import to_si

CASES = Path(__file__).resolve().parent.parent / "cases"
SAME = {"LLZO": ("LLZO_cubic_ordered",), "Li3PS4": ("beta_Li3PS4",)}
"""Structures whose numbers are compared with those of a material of another name (LLZO's is cubic and doped)."""
FAR = 10.0
"""Ratio of the ends of a 95 % interval beyond which agreement with it says nothing."""
WARMER = {"lattice_constant": 0.01, "molar_volume": 0.03}
"""Share by which crystals of lithium salts and of lithium grow from rest to 25 °C at most (Li 1 % of length: memory)."""
CUBIC = ("Li", "Li2O", "Li2S", "LiCl", "LiF", "LLZO_cubic_ordered", "Li6PS5Cl")
"""Crystals whose single elastic constants are shown; of the others the polycrystal's moduli."""
TOUGHNESS = "fracture_toughness"


def literature(quantities: Collection[str]) -> list[Literature]:
    """What is known of quantities that records hold, in the order in which it is taken.

    First cases/_records/literature.toml; then what cases/_materials states as measured; what follows from elastic constants (a
    dense crystal's, which stands before moduli that somebody derived for films); what else the material files state, assumptions
    left out; fracture energies from toughness.
    """
    stated = _stated({*quantities, TOUGHNESS})
    measured = [one for kind, one in stated if kind == "measured"]
    known = [*_listed(), *measured]
    known += [one for material in CUBIC for one in polycrystal(material, known)]
    known += [one for kind, one in stated if kind != "measured"]
    return known + [one for tough in known if tough.quantity == TOUGHNESS for one in fracture(tough, known)]


def _listed() -> list[Literature]:
    """The numbers of cases/_records/literature.toml."""
    found = []
    for entry in listed()["value"]:
        unit = unit_of(entry["quantity"])
        low, high = (to_si(text, unit) for text in entry.get("range", [entry["value"]] * 2))
        low = -math.inf if entry.get("bound") == "upper" else low
        found.append(Literature(entry["material"], entry["quantity"], entry.get("conditions", {}), to_si(entry["value"], unit),
                                low, high, entry["at"], entry["source"], entry["confidence"]))  # fmt: skip
    return found


def _stated(quantities: Collection[str]) -> list[tuple[str, Literature]]:
    """Kind (measured, derived) and number of what the material files state of some quantities, but for what is assumed."""
    found: list[tuple[str, Literature]] = []
    for path in sorted((CASES / "_materials").glob("*.toml")):
        for prop in read_material(path).properties:
            if prop.quantity in quantities and prop.kind != "assumed":
                low, high = (prop.value if limit is None else limit for limit in (prop.low, prop.high))
                kelvin = prop.conditions.get("temperature_K")
                at, reference = f"{kelvin:.4g} K" if kelvin else "", str(prop.source["reference"])
                told: Any = prop.quantity, {}, prop.value, low, high, at, reference, prop.confidence
                found += [(prop.kind, Literature(name, *told)) for name in (prop.material, *SAME.get(prop.material, ()))]
    return found


def unit_of(quantity: str) -> str:
    """SI unit of a quantity of records."""
    if quantity in QUANTITIES:
        return QUANTITIES[quantity]
    others = {"boundary_energy": "J/m^2", "work_of_separation": "J/m^2", "fracture_energy": "J/m^2", "lattice_constant": "m",
              "band_gap": "J", "boundary_diffusivity_ratio": "1", "coordination_number": "1",
              "interphase_thickness": "m"}  # fmt: skip
    return others.get(quantity, "Pa")


def matching(record: Property, known: Sequence[Literature]) -> Literature | None:
    """The first number of the same quantity, whose conditions are among those of the record, near its temperature, unpressed."""
    for one in known:
        if (one.material, one.quantity) != (record.material, record.quantity):
            continue
        if any(record.conditions.get(key) != wanted for key, wanted in one.conditions.items()):
            continue
        if record.quantity in ("ionic_conductivity", "self_diffusivity"):
            if record.conditions.get("pressure_Pa"):
                continue
            kelvin = to_si(one.at, "K") if one.at else 298.15
            if abs(float(record.conditions.get("temperature_K", 0)) - kelvin) > 5:
                continue
        return one
    return None


def absent(record: Property) -> dict[str, Any]:
    """Why nothing stands beside a record: the first entry of literature.toml that names its quantity and how its material begins.

    Raises:
        LookupError: no entry does.
    """
    for entry in listed()["absent"]:
        if record.quantity in entry["quantities"] and record.material.startswith(tuple(entry.get("materials", [""]))):
            return entry
    raise LookupError(f"literature.toml, [[absent]]: nothing on {record.quantity} of {record.material}; say why it stands alone")


def verdict(record: Property, known: Literature) -> str:
    """Agreement told plainly: whether the 95 % interval, else twice the error, meets the literature's range; else how far off.

    A bound contradicts where the whole range of the literature lies beyond it. An interval whose ends are more than a factor FAR
    apart agrees with nearly everything, which is no agreement; a difference below UNTOLD is one.
    """
    if record.bound:
        inside = known.low <= record.value if record.bound == "upper" else known.high >= record.value
        return "no contradiction" if inside else f"**contradicts**: the bound lies {_apart(record.value, known.value)}"
    told = record.low is not None and record.high is not None
    twice, apart = 2 * (record.stderr or 0.0), _apart(record.value, known.value)
    low, high = (record.low, record.high) if told else (record.value - twice, record.value + twice)
    assert low is not None
    assert high is not None
    meets = low <= known.high and high >= known.low
    if not meets and _warmed(record, known):
        return f"agrees but for what warming from 0 K may change ({apart})"
    if not meets and abs(record.value - known.value) >= UNTOLD * abs(known.value):
        return f"**differs**: {apart}"
    if known.bound:
        return "no contradiction"
    if not told and twice > abs(record.value):
        return "too uncertain to tell"
    if record.value > 0 and high > FAR * max(low, 0.0):
        return f"not told apart ({apart}, the 95 % interval spans {f'a factor of {high / low:.2g}' if low > 0 else 'zero'})"
    return f"agrees ({apart})"


def _warmed(record: Property, known: Literature) -> bool:
    """Whether a cell at rest is smaller than one measured in the warm by no more than WARMER."""
    warm = record.conditions.get("temperature_K") == 0 and known.at not in ("", "0 K")
    return warm and 0 <= 1 - record.value / known.value <= WARMER.get(record.quantity, 0.0)


def _apart(value: float, other: float) -> str:
    ratio = value / other if other else math.inf
    if 0.5 < ratio < 2 or value == 0:
        return f"{ratio - 1:+.1%}" if abs(ratio - 1) >= UNTOLD else "0.0%"
    return f"a factor of {max(ratio, 1 / ratio):.2g} too {'high' if ratio > 1 else 'low'}" if ratio > 0 else "other sign"
