"""What follows by arithmetic from what is known: moduli from constants, fracture from toughness, cells, shells, equations."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from scipy.constants import Avogadro

from coupling.record import Property

LISTED = Path(__file__).resolve().parent.parent / "cases" / "_records" / "literature.toml"
UNTOLD = 5e-4
"""Relative difference that the page, told to 0.1 %, shows as none."""
APART = 0.5
"""Distance, Å, from one shell of a crystal at rest to the next, nearer than which motion makes one maximum of both."""
CALCULATED = ("beta_Li3PS4",)
"""Crystals whose cell in structures.toml is a calculated one: there is no measured one to take from there."""


@dataclass(frozen=True)
class Literature:
    """A number from elsewhere, SI: what it is of, value, limits (equal to it where none are known), where from.

    Of an upper bound the lower limit is minus infinity.
    """

    material: str
    quantity: str
    conditions: Mapping[str, Any]
    value: float
    low: float
    high: float
    at: str
    source: str
    confidence: str

    @property
    def bound(self) -> bool:
        """Whether it is an upper bound."""
        return self.low == -math.inf


@cache
def listed() -> dict[str, Any]:
    """The tables of literature.toml: `value`, `crystal`, `absent`."""
    return tomllib.loads(LISTED.read_text(encoding="utf-8"))


def polycrystal(material: str, known: Sequence[Literature]) -> list[Literature]:
    """Moduli (Pa) and Poisson's ratio of the polycrystal of a cubic crystal whose constants are all known from one source.

    K = (C11 + 2 C12)/3; G_V = (C11 - C12 + 3 C44)/5; G_R = 5 (C11 - C12) C44/[4 C44 + 3 (C11 - C12)], Hill's G their mean;
    E = 9KG/(3K + G); ν = (3K - 2G)/(6K + 2G); limits are those of Reuss and Voigt
    (Hill, Proc. Phys. Soc. A 65, 349 (1952), memory).
    """
    rows = [next((one for one in known if (one.material, one.quantity) == (material, f"elastic_{name}")), None)
            for name in ("C11", "C12", "C44")]  # fmt: skip
    if None in rows or len({row.source for row in rows if row}) > 1:
        return []
    c11, c12, c44 = (row.value for row in rows if row)
    bulk, voigt = (c11 + 2 * c12) / 3, (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    shears = ((voigt + reuss) / 2, reuss, voigt)
    youngs = [9 * bulk * shear / (3 * bulk + shear) for shear in shears]
    ratios = [(3 * bulk - 2 * shear) / (6 * bulk + 2 * shear) for shear in shears]
    first = rows[0]
    assert first is not None
    told = (first.at, f"from C11, C12, C44: {first.source}", first.confidence)
    return [Literature(material, quantity, {}, value, min(value, low, high), max(value, low, high), *told)
            for quantity, (value, low, high) in (("bulk_modulus", [bulk] * 3), ("shear_modulus", shears),
                                                 ("youngs_modulus", youngs), ("poissons_ratio", ratios))]  # fmt: skip


def fracture(toughness: Literature, known: Sequence[Literature]) -> list[Literature]:
    """Fracture energy (J/m²) of grains from a fracture toughness (Pa m^0.5): K² (1 - ν²)/E in plane strain (Irwin 1957, memory).

    E and ν are the first known of the same material; without either there is none.
    """
    own = {one.quantity: one for one in reversed(known) if one.material == toughness.material}
    if not {"youngs_modulus", "poissons_ratio"} <= set(own):
        return []
    per = (1 - own["poissons_ratio"].value ** 2) / own["youngs_modulus"].value
    value, low, high = (per * limit**2 for limit in (toughness.value, toughness.low, toughness.high))
    return [replace(toughness, quantity="fracture_energy", conditions={"place": "grain"}, value=value, low=low, high=high,
                    source=f"K²(1 - ν²)/E; toughness: {toughness.source}")]  # fmt: skip


def of_equation(record: Property) -> Literature | None:
    """What the equation that a budget names would use up and make of one formula of electrolyte; none where it names none."""
    if "expected" not in record.conditions:
        return None
    value = float(record.conditions["expected"])
    equation = str(record.conditions["equation"]).replace("->", "→")
    return Literature(record.material, record.quantity, {}, value, value, value, "", equation, "stoichiometry")


def of_cell(material: str) -> list[Literature]:
    """Lattice constants (m, of the setting of structures.toml) and volume per formula (m³/mol) of a crystal measured at 25 °C.

    None of a material without a structure file, nor of one whose cell there is CALCULATED.
    """
    from atomistic import structures

    if material not in structures.names() or material in CALCULATED:
        return []
    crystal = structures.bulk(material)
    formulas = crystal.symbols.formula.reduce()[1]
    volume = 1e-30 * float(crystal.get_volume()) / formulas * Avogadro
    values = [("lattice_constant", {"axis": axis}, 1e-10 * float(length))
              for axis, length in zip("abc", crystal.cell.lengths(), strict=True)]  # fmt: skip
    return [Literature(material, quantity, conditions, value, value, value, **_measured(material, cell_alone=True))
            for quantity, conditions, value in [*values, ("molar_volume", {}, volume)]]  # fmt: skip


def of_shells(material: str) -> list[Literature]:
    """First neighbours and lines at Cu Kα (1.54184 Å) of a crystal by arithmetic on its measured structure.

    Left out: pairs whose second distance lies within APART of the first; of Li6PS5Cl, whose file is the ordered crystal with
    lithium at the middle of its pairs of sites, all but P-S. A material without a structure file has none.
    """
    from atomistic import structures
    from atomistic.structure_reading import reference_lines

    if material not in structures.names():
        return []
    crystal, told = structures.bulk(material), _measured(material)
    lines = _measured(material, cell_alone=True)
    found = [Literature(material, "diffraction_angle", {"line": name}, angle, angle, angle, **lines)
             for angle, _, name in reference_lines(crystal)]  # fmt: skip
    for pair, distance, number in _first_shells(crystal):
        if material == "Li6PS5Cl" and pair != "P-S":
            continue
        for quantity, value in (("nearest_neighbour_distance", 1e-10 * distance), ("coordination_number", number)):
            found.append(Literature(material, quantity, {"pair": pair}, value, value, value, **told))
    return found


def _measured(material: str, cell_alone: bool = False) -> dict[str, str]:
    """Where a structure file's crystal is from; better known where the cell, read elsewhere, decides (of `fixed` ones all)."""
    from atomistic import structures

    name = structures.ALIASES.get(material, material)
    entry, read = structures.prototypes()[name], listed()["crystal"].get(name)
    told = {"at": "25 degC", "source": f"crystal of `structures.toml`: {entry['source']}", "confidence": "memory"}
    if read and (cell_alone or read.get("fixed")) and agree(entry["cell"], read["cell"]):
        told |= {"source": f"{told['source']}; cell read: {read['read']}", "confidence": read.get("confidence", "verified")}
    return told


def agree(own: Sequence[float], read: Sequence[float]) -> bool:
    """Whether two cells (Å, degrees) are the same to less than the page shows."""
    return all(abs(mine / other - 1) < UNTOLD for mine, other in zip(own, read, strict=True))


def _first_shells(crystal: Any) -> list[tuple[str, float, float]]:
    """Pair, distance (Å) and number of first neighbours of those pairs of a crystal at rest whose shell stands alone."""
    import numpy as np
    from ase.neighborlist import neighbor_list

    from atomistic.shells import pairs_of

    i, j, distances = neighbor_list("ijd", crystal, 8.0)
    symbols, found = np.array(crystal.get_chemical_symbols()), []
    for centre, other in pairs_of(crystal.get_chemical_symbols()):
        own = distances[(symbols[i] == centre) & (symbols[j] == other)]
        near = own[own < own.min(initial=8.0) + 0.05]
        if len(near) and not ((own > near.max()) & (own < near.max() + APART)).any():
            found.append((f"{centre}-{other}", float(near.mean()), len(near) / float((symbols == centre).sum())))
    return found
