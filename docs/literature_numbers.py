"""What shipped numbers are held against: literature.toml, the material files, arithmetic on structure files; and the verdict."""

import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.library import QUANTITIES, read_material
from coupling.record import Property
from coupling.units import to_si

CASES = Path(__file__).resolve().parent.parent / "cases"
SAME = {"LLZO": ("LLZO_cubic_ordered",), "Li3PS4": ("beta_Li3PS4",)}
"""Structures whose numbers are compared with those of a material of another name (LLZO's is cubic and doped)."""
APART = 0.5
"""Distance, Å, from one shell of a crystal at rest to the next, nearer than which motion makes one maximum of both."""
FAR = 10.0
"""Ratio of the ends of a 95 % interval beyond which agreement with it says nothing."""
CUBIC = ("Li", "Li2S", "LiCl", "Li6PS5Cl")
"""Crystals whose single elastic constants are shown; of the others the polycrystal's moduli."""


@dataclass(frozen=True)
class Literature:
    """A number from elsewhere, SI: what it is of, value, limits (equal to it where none are known), where from."""

    material: str
    quantity: str
    conditions: Mapping[str, Any]
    value: float
    low: float
    high: float
    at: str
    source: str
    confidence: str


def literature(quantities: Collection[str]) -> list[Literature]:
    """cases/_records/literature.toml, after it what cases/_materials states of quantities that records hold, and moduli of cubic
    crystals that follow from constants among these.
    """
    found = []
    for entry in tomllib.loads((CASES / "_records" / "literature.toml").read_text(encoding="utf-8"))["value"]:
        unit = unit_of(entry["quantity"])
        low, high = (to_si(text, unit) for text in entry.get("range", [entry["value"]] * 2))
        value, conditions = to_si(entry["value"], unit), entry.get("conditions", {})
        found.append(Literature(entry["material"], entry["quantity"], conditions, value, low, high, entry["at"], entry["source"],
                                entry["confidence"]))  # fmt: skip
    for path in sorted((CASES / "_materials").glob("*.toml")):
        for prop in read_material(path).properties:
            if prop.quantity in quantities and prop.kind != "assumed":
                low, high = (prop.value if limit is None else limit for limit in (prop.low, prop.high))
                kelvin = prop.conditions.get("temperature_K")
                at, reference = f"{kelvin:.4g} K" if kelvin else "", str(prop.source["reference"])
                stated: Any = prop.quantity, {}, prop.value, low, high, at, reference, prop.confidence
                found += [Literature(name, *stated) for name in (prop.material, *SAME.get(prop.material, ()))]
    return found + [one for material in CUBIC for one in polycrystal(material, found)]


def polycrystal(material: str, known: Sequence[Literature]) -> list[Literature]:
    """Bulk and shear modulus (Hill's mean, Reuss to Voigt) of a cubic crystal whose constants are all known from one source.

    K = (C11 + 2 C12)/3; G_V = (C11 - C12 + 3 C44)/5; G_R = 5 (C11 - C12) C44/[4 C44 + 3 (C11 - C12)]
    (Hill, Proc. Phys. Soc. A 65, 349 (1952), memory).
    """
    rows = [next((one for one in known if (one.material, one.quantity) == (material, f"elastic_{name}")), None)
            for name in ("C11", "C12", "C44")]  # fmt: skip
    if None in rows or len({row.source for row in rows if row}) > 1:
        return []
    c11, c12, c44 = (row.value for row in rows if row)
    bulk, voigt = (c11 + 2 * c12) / 3, (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    first = rows[0]
    assert first is not None
    told = {"at": first.at, "source": f"from the constants of {first.source}", "confidence": first.confidence}
    return [Literature(material, "bulk_modulus", {}, bulk, bulk, bulk, **told),
            Literature(material, "shear_modulus", {}, (voigt + reuss) / 2, reuss, voigt, **told)]  # fmt: skip


def of_structure_file(material: str) -> list[Literature]:
    """First neighbours and lines at Cu Kα (1.54184 Å) of a crystal by arithmetic on its measured structure.

    Left out: pairs whose second distance lies within APART of the first; of Li6PS5Cl, whose file is the ordered crystal with
    lithium at the middle of its pairs of sites, all but P-S. A material without a structure file has none.
    """
    from atomistic import structures
    from atomistic.structure_reading import reference_lines

    if material not in structures.names():
        return []
    crystal, entry = structures.bulk(material), structures.prototypes()[structures.ALIASES.get(material, material)]
    common: Any = {"at": "25 degC", "source": f"arithmetic on the crystal of {entry['source']}", "confidence": "memory"}
    found = [Literature(material, "diffraction_angle", {"line": name}, angle, angle, angle, **common)
             for angle, _, name in reference_lines(crystal)]  # fmt: skip
    for pair, distance, number in _first_shells(crystal):
        if material == "Li6PS5Cl" and pair != "P-S":
            continue
        for quantity, value in (("nearest_neighbour_distance", 1e-10 * distance), ("coordination_number", number)):
            found.append(Literature(material, quantity, {"pair": pair}, value, value, value, **common))
    return found


def _first_shells(crystal: Any) -> list[tuple[str, float, float]]:
    """Pair, distance (Å) and number of first neighbours of those pairs of a crystal at rest whose shell stands alone."""
    import numpy as np
    from ase.neighborlist import neighbor_list

    from atomistic.shells import pairs_of

    i, j, distances = neighbor_list("ijd", crystal, 8.0)
    symbols, found = np.array(crystal.get_chemical_symbols()), []
    for centre, other in pairs_of(symbols.tolist()):
        own = distances[(symbols[i] == centre) & (symbols[j] == other)]
        near = own[own < own.min(initial=8.0) + 0.05]
        if len(near) and not ((own > near.max()) & (own < near.max() + APART)).any():
            found.append((f"{centre}-{other}", float(near.mean()), len(near) / float((symbols == centre).sum())))
    return found


def unit_of(quantity: str) -> str:
    """SI unit of a quantity of records."""
    if quantity in QUANTITIES:
        return QUANTITIES[quantity]
    per_area = dict.fromkeys(("boundary_energy", "work_of_separation", "fracture_energy"), "J/m^2")
    return {"lattice_constant": "m", "band_gap": "J", **per_area}.get(quantity, "Pa")


def matching(record: Property, known: Sequence[Literature]) -> Literature | None:
    """The first number of the same quantity, whose conditions are among those of the record, near its temperature."""
    for one in known:
        if (one.material, one.quantity) != (record.material, record.quantity):
            continue
        if any(record.conditions.get(key) != wanted for key, wanted in one.conditions.items()):
            continue
        if record.quantity in ("ionic_conductivity", "self_diffusivity"):
            kelvin = to_si(one.at, "K") if one.at else 298.15
            if abs(float(record.conditions.get("temperature_K", 0)) - kelvin) > 5:
                continue
        return one
    return None


def verdict(record: Property, known: Literature) -> str:
    """Agreement told plainly: whether the 95 % interval, else twice the error, meets the literature's range; else how far off.

    A bound contradicts where the whole range of the literature lies beyond it. An interval whose ends are more than a factor FAR
    apart agrees with nearly everything, which is no agreement.
    """
    if record.bound:
        inside = known.low <= record.value if record.bound == "upper" else known.high >= record.value
        return "no contradiction" if inside else f"**contradicts**: the bound lies {_apart(record.value, known.value)}"
    low, high = record.low, record.high
    if low is None or high is None:
        if 2 * (record.stderr or 0.0) > abs(record.value):
            return "too uncertain to tell"
        low, high = (record.value + sign * 2 * (record.stderr or 0.0) for sign in (-1, 1))
    near = low <= known.high and high >= known.low
    apart = _apart(record.value, known.value)
    if near and record.value > 0 and high > FAR * max(low, 0.0):
        return f"not told apart ({apart}, the 95 % interval spans {f'a factor of {high / low:.2g}' if low > 0 else 'zero'})"
    return f"agrees ({apart})" if near else f"**differs**: {apart}"


def _apart(value: float, other: float) -> str:
    ratio = value / other if other else math.inf
    if 0.5 < ratio < 2:
        return f"{ratio - 1:+.1%}"
    return f"a factor of {max(ratio, 1 / ratio):.2g} too {'high' if ratio > 1 else 'low'}" if ratio > 0 else "other sign"
