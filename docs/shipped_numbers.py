"""docs/numbers.md: every shipped number against literature, from cases/_records and cases/_materials alone.

`python docs/shipped_numbers.py` writes the page; `python docs/shipped_numbers.py ship NAME OUT` makes cases/_records/NAME.json
of a finished study first (cases/_studies/NAME.toml, results in OUT).
"""

import json
import math
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from coupling.library import QUANTITIES, read_material  # noqa: E402
from coupling.nucleation import drives_told  # noqa: E402
from coupling.record import Property  # noqa: E402
from coupling.units import to_si  # noqa: E402
from multiscale.shipped_records import everything, ship  # noqa: E402

CASES = ROOT / "cases"
PAGE = ROOT / "docs" / "numbers.md"
SHOWN: dict[str, tuple[str, float, str]] = {
    "ionic_conductivity": ("ionic conductivity", 10.0, "mS/cm"),
    "haven_ratio": ("Haven ratio", 1.0, ""),
    "onsager_coefficient": ("Onsager coefficient", 1.0, "1/(J m s)"),
    "transference_number": ("transference number", 1.0, ""),
    "self_diffusivity_green_kubo": ("self-diffusivity of Li by Green–Kubo", 1.0, "m²/s"),
    "self_diffusivity": ("self-diffusivity of Li", 1.0, "m²/s"),
    "activation_energy": ("activation energy", 1 / 96485.33, "eV"),
    "activation_volume": ("activation volume of D", 1e6, "cm³/mol"),
    "lattice_constant": ("lattice constant", 1e10, "Å"),
    "nearest_neighbour_distance": ("structure: distance of first neighbours", 1e10, "Å"),
    "coordination_number": ("structure: coordination number", 1.0, ""),
    "diffraction_angle": ("structure: powder line, 2θ", 1.0, "°"),
    "bulk_modulus": ("bulk modulus", 1e-9, "GPa"),
    "shear_modulus": ("shear modulus", 1e-9, "GPa"),
    "youngs_modulus": ("Young's modulus", 1e-9, "GPa"),
    "poissons_ratio": ("Poisson's ratio", 1.0, ""),
    "elastic_C11": ("C11", 1e-9, "GPa"), "elastic_C12": ("C12", 1e-9, "GPa"), "elastic_C44": ("C44", 1e-9, "GPa"),
    "surface_energy": ("surface energy", 1.0, "J/m²"),
    "work_of_adhesion": ("work of adhesion", 1.0, "J/m²"),
    "work_of_separation": ("work of separation", 1.0, "J/m²"),
    "fracture_energy": ("fracture energy (at least the work of adhesion, separation or cleavage)", 1.0, "J/m²"),
    "boundary_energy": ("excess energy of the boundary", 1.0, "J/m²"),
    "boundary_diffusivity": ("D in the boundary", 1.0, "m²/s"), "grain_diffusivity": ("D in the grain", 1.0, "m²/s"),
    "boundary_width": ("width of the boundary", 1e9, "nm"),
    "modulus_ratio_along_normal": ("modulus of the cell over the crystal's, along the normal", 1.0, ""),
    "interphase_thickness": ("thickness of an interphase at the end", 1e9, "nm"),
    "interphase_growth_v": ("speed of growth", 1.0, "m/s"), "interphase_growth_k": ("parabolic constant of growth", 1.0, "m²/s"),
    "interphase_growth_rate": ("growth rate at the end", 1.0, "m/s"),
    "intact_phosphorus_share": ("share of P that keeps its four S, at the end", 1.0, ""),
    "reaction_coefficient": ("made per electrolyte used up", 1.0, ""),
    "self_diffusivity_along_axis": ("D of all Li along an axis", 1.0, "m²/s"),
    "mobility_ratio_in_plane_to_normal": ("Li mobility, in-plane over normal", 1.0, ""),
    "crystal_share": ("share of the Li atoms", 1.0, ""),
    "nucleation_barrier": ("barrier of nucleation", 1 / 1.602176634e-19, "eV"),
    "log10_nucleation_rate": ("log₁₀ of the nucleation rate in 1/(m³ s)", 1.0, ""),
    "flow_stress": ("stress of steady flow", 1e-6, "MPa"),
    "band_gap": ("band gap", 1 / 1.602176634e-19, "eV"),
}  # fmt: skip
"""Quantities of the table, in its order: name, factor from SI, unit shown."""
SAME = {"LLZO": ("LLZO_cubic_ordered",), "Li3PS4": ("beta_Li3PS4",)}
"""Structures whose numbers are compared with those of a material of another name (LLZO's is cubic and doped)."""
DRIVES = ("overpotential_V", "pressure_Pa", "critical_size")
"""Conditions in which bounds of the nucleation rate may differ and still stand in one row."""
STRUCTURE = ("nearest_neighbour_distance", "coordination_number", "diffraction_angle")
"""Quantities that are held against what follows from a crystal's structure file."""
APART = 0.5
"""Distance, Å, from one shell of a crystal at rest to the next, nearer than which motion makes one maximum of both."""
FAR = 10.0
"""Ratio of the ends of a 95 % interval beyond which agreement with it says nothing."""
CUBIC = ("Li", "Li2S", "LiCl", "Li6PS5Cl")
"""Crystals whose single elastic constants are shown; of the others the polycrystal's moduli."""
TOLD = {"temperature_K": "{:.4g} K", "miller": "({})", "boundary": "{}", "axis": "{}", "direction": "{}", "phase": "{}",
        "structure": "{}", "pair": "{}", "line": "{}", "radiation": "{}",
        "part_of_run": "{}", "place": "{}", "overpotential_V": "η = {} V", "pressure_Pa": "{:.3g} Pa",
        "law": "{}", "species": "{}", "frame": "frame {}", "method": "{}", "strain_rate_per_s": "{:.2g} 1/s",
        "functional": "{}", "k_points": "{}"}  # fmt: skip
PRIOR = re.compile(r"fit of (\d+) points.*prior of D0 ")
"""In the method of a record: an Arrhenius fit (coupling.arrhenius) in which a prior of its prefactor took part."""


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


def literature() -> list[Literature]:
    """cases/_records/literature.toml, after it what cases/_materials states of quantities that records hold, and moduli of cubic
    crystals that follow from constants among these.
    """
    found = []
    for entry in tomllib.loads((CASES / "_records" / "literature.toml").read_text(encoding="utf-8"))["value"]:
        unit = _unit(entry["quantity"])
        low, high = (to_si(text, unit) for text in entry.get("range", [entry["value"]] * 2))
        value, conditions = to_si(entry["value"], unit), entry.get("conditions", {})
        found.append(Literature(entry["material"], entry["quantity"], conditions, value, low, high, entry["at"], entry["source"],
                                entry["confidence"]))  # fmt: skip
    for path in sorted((CASES / "_materials").glob("*.toml")):
        for prop in read_material(path).properties:
            if prop.quantity in SHOWN and prop.kind != "assumed":
                low, high = (prop.value if limit is None else limit for limit in (prop.low, prop.high))
                kelvin = prop.conditions.get("temperature_K")
                at, reference = f"{kelvin:.4g} K" if kelvin else "", str(prop.source["reference"])
                stated: Any = prop.quantity, {}, prop.value, low, high, at, reference, prop.confidence
                found += [Literature(name, *stated) for name in (prop.material, *SAME.get(prop.material, ()))]
    return found + [one for material in CUBIC for one in _polycrystal(material, found)]


def _polycrystal(material: str, known: Sequence[Literature]) -> list[Literature]:
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


def _unit(quantity: str) -> str:
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


def _number(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10^{int(exponent)}"
    return f"{value:.4g}"


def _value(record: Property, factor: float, unit: str) -> str:
    sign = {"upper": "< ", "lower": "> ", None: ""}[record.bound]
    told = sign + _number(record.value * factor)
    if record.low is not None and record.high is not None and record.bound is None:
        told += f" ({_number(record.low * factor)} … {_number(record.high * factor)}, 95 %)"
    elif record.stderr is not None:
        told += f" ± {_number(record.stderr * factor)}"
    return f"{told} {unit}".strip() + (" (low confidence)" if record.confidence == "low" else "")


def _conditions(record: Property) -> str:
    hidden = {"axis"} if "slice_m" in record.conditions else set() if "frame" in record.conditions else {"species"}
    told = {key: value for key, value in record.conditions.items() if key not in hidden}
    parts = [form.format(told[key]) for key, form in TOLD.items() if key in told]
    held, wanted = record.conditions.get("mean_temperature_K"), record.conditions.get("set_temperature_K")
    if held is not None:  # the run's own mean stands first; where there is none, temperature_K was set
        parts[0] = f"{held:.4g} K (set to {record.conditions['temperature_K']:.4g} K)"
    elif wanted is not None:
        parts[0] += f" (set to {wanted:.4g} K)"
    if "disorder" in record.conditions:
        parts.insert(0, f"{100 * float(record.conditions['disorder']):.0f} % S/Cl disorder")
    if "slice_m" in record.conditions:
        low, high = (1e10 * float(depth) for depth in record.conditions["slice_m"])
        parts.append(f"{low:.1f} … {high:.1f} Å along {record.conditions['axis']}")
        if metal := record.conditions["metal_atoms"]:
            parts.append(f"{metal} atoms of metal")
    return ", ".join(parts)


def _effort(record: Property) -> str:
    source = record.source
    parts = [f"{source['atoms']} atoms"] if "atoms" in source else []
    if "picoseconds" in source:
        parts.append(f"{float(source['picoseconds']):.3g} ps")
    if source.get("members"):
        parts.append(f"{len(source['members'])} members")
    if prior := PRIOR.search(str(source.get("method", ""))):
        parts.append(f"fit of {prior[1]} temperatures and a prior of D0")
    return ", ".join(parts)


def rows() -> list[tuple[Property, Literature | None]]:
    """Every record of the table with the number it is held against."""
    known, order = literature(), list(SHOWN)
    found = [record for one in everything(CASES) for record in one.records if record.quantity in SHOWN]
    kept = [record for record in found if not record.quantity.startswith("elastic_") or record.material in CUBIC]
    kept = [record for record in kept if record.quantity != "onsager_coefficient" or "depths_m" not in record.conditions]
    kept = [record for record in kept if record.kind != "derived" or "code" in record.source]
    kept.sort(key=lambda record: (record.material, order.index(record.quantity)))
    for material in sorted({record.material for record in kept if record.quantity in STRUCTURE}):
        known += of_structure_file(material)
    return [(record, matching(record, known)) for record in kept]


def _folded(found: Sequence[tuple[Property, Literature | None]]) -> list[tuple[Property, Literature | None, str]]:
    """Rows with what else is told of their conditions: bounds that differ in overpotential and pressure alone are one row."""
    alike: dict[str, list[tuple[Property, Literature | None]]] = {}
    for record, known in found:
        one = (
            record.material,
            record.quantity,
            record.bound,
            record.value,
            _driveless(record).conditions,
            _effort(record),
            known,
        )
        alike.setdefault(repr(one if record.bound else id(record)), []).append((record, known))
    rows = []
    for group in alike.values():
        record, known = group[0]
        if len(group) == 1:
            rows.append((record, known, ""))
            continue
        drives = [(one.conditions["overpotential_V"], one.conditions["pressure_Pa"]) for one, _ in group]
        rows.append((_driveless(record), known, drives_told(drives)))
    return rows


def _driveless(record: Property) -> Property:
    """The record without overpotential, pressure and critical size among its conditions."""
    return replace(record, conditions={key: value for key, value in record.conditions.items() if key not in DRIVES})


def _line(record: Property, known: Literature | None, more: str) -> str:
    """One row of the table; `more` is told of its conditions."""
    name, factor, unit = SHOWN[record.quantity]
    told, judged = "none at hand", ""
    if known is not None:
        span = f" ({_number(known.low * factor)} … {_number(known.high * factor)})" if known.low != known.high else ""
        at = f" at {known.at}" if known.at else ""
        told = f"{_number(known.value * factor)}{span} {unit}{at}, {known.source} ({known.confidence})"
        judged = verdict(record, known)
    where = ", ".join(filter(None, (_conditions(record), more)))
    return f"| {name} | {where} | {_value(record, factor, unit)} | {_effort(record)} | {told} | {judged} |"


def page() -> str:
    """The text of docs/numbers.md."""
    shipped = everything(CASES)
    found = rows()
    lines = [TOP.strip(), ""]
    for material in dict.fromkeys(record.material for record, _ in found):
        lines += [f"## {material}", "", HEAD, "|---|---|---|---|---|---|"]
        lines += [_line(*row) for row in _folded(found) if row[0].material == material]
        lines.append("")
    judged_rows = [verdict(record, known) for record, known in found if known is not None]
    words = ("**", "too uncertain", "not told apart")
    against, unclear, wide = (sum(told.startswith(word) for told in judged_rows) for word in words)
    agree = len(judged_rows) - against - unclear - wide
    lines += ["## In all", "", f"{len(found)} numbers, {len(judged_rows)} of them with one from elsewhere beside them: {agree} "
              f"agree or do not contradict it, {against} do not agree, {wide} meet it with an interval of more than a factor of "
              f"{FAR:g}, {unclear} are too uncertain to tell.", ""]  # fmt: skip
    lines += ["## What the studies could not give", ""]
    for one in shipped:
        notes = json.loads((CASES / "_records" / f"{one.study}.json").read_text(encoding="utf-8")).get("notes", [])
        lines += [f"- `{one.study}`: {note}" for note in notes]
    lines += ["", "## Where each comes from", "", "| study | potential or code | hash of the weights or settings | records |"]
    lines += ["|---|---|---|---|"]
    lines += [f"| `cases/_studies/{one.study}.toml` | {one.potential or one.code} | {one.potential_sha256[:12] or one.settings} "
              f"| {len(one.records)} |" for one in shipped]  # fmt: skip
    missing = sorted({path.stem for path in (CASES / "_studies").glob("*.toml")} - {one.study for one in shipped})
    if missing:
        told = ", ".join(f"`{name}`" for name in missing)
        lines += ["", "## Studies without shipped records", "",
                  f"Not run to their end, or run for the cell that they leave alone (`reaction-slices`): {told}."]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


HEAD = "| quantity | conditions | computed | runs | literature | agreement |"
TOP = """
# Shipped numbers against literature

This page is written by `python docs/shipped_numbers.py` from the records in `cases/_records`; a test holds the two equal. Every
record carries value or bound, standard error, conditions, the hash of the potential, seeds, atoms and picoseconds;
`multiscale md cases/_studies/NAME.toml` makes each anew. A case takes them with `quality = "shipped"` under `[atomistic]`.

How to read it:
- **computed** is what the shipped potential says. Its labels come from CHGNet, itself a fit to PBE: an error beside a number
  tells length of run and number of cells, and, where "members" are named, the disagreement of the committee; not how far PBE or
  CHGNet are from nature. Everything that moves comes from the first member alone: its error knows nothing of the others. The
  error of adhesion holds the scatter of three in-plane shifts, the change with a thicker contact, what the last third of each
  relaxation still gained and the disagreement of the committee; it leaves out misfit strain and other terminations. Contacts
  that react (Li6PS5Cl, Li7P3S11, Li3PS4) have no rest: what stands there, of low confidence, is mostly the energy of a reaction.
- **surface energies** of phases: slabs cut from the relaxed crystal, at rest at 0 K, one end of each face. Their error holds the
  change with thickness (below 4 mJ/m² everywhere), what relaxations still gained and the disagreement of the committee.
  Potentials of this kind are known to be too soft at surfaces, CHGNet among them (Deng et al., npj Comput. Mater. (2025),
  doi:10.1038/s41524-024-01500-6, abstract), and lithium and LiF come out 27 to 42 % below what is known of them: read them as too
  low; the fracture energy that twice of them bounds from below stays bounded.
- **agrees**: the computed 95 % interval, or twice the error on either side where there is none, meets the literature's value or
  range; otherwise by how much it differs. Literature errors that nobody states are not made up. Where twice the error exceeds
  the value itself, nothing is said.
  **not told apart**: they meet, but the interval spans more than a factor of 10, which is no agreement.
  Most moduli and lattices are computed at 0 K, most are measured at room temperature.
- moduli at 300 K are isothermal, from strained runs of 6 to 25 ps: lithium that hops within them relaxes the strain, so that
  Li6PS5Cl comes out at half its modulus of 0 K. A slow load finds the relaxed one, ultrasound does not.
- Onsager coefficients of the reacting interface (in the records alone) come from windows of 10 (Li6PS5Cl) and 17 ps; where
  nothing became diffusive in one there is an upper bound, or nothing.
- Onsager coefficients of crystals come from the collective displacement of one run, in two frames: that of everything but
  lithium, in which a rigid framework leaves the transference number of Li at 1, and that of the centre of mass, in which the
  framework recoils and takes its share of the current. Neither is more true; a cell measures the first. The transference numbers
  take the mean formal charge of each element. Green–Kubo (`onsager`): the integral of the correlation of velocities of
  another run of 20 or 40 ps, read at 0.5 to 1 or 1 to 2 ps. Over the same lags both ways agree within two errors of their
  difference (`difference_over_error` in the records). At the longer lags of the fit (4 to 20 ps)
  Einstein's D of Li6PS5Cl lies two errors
  lower than the integral up to 2 ps, which may not hold all of the ions' hopping back.
- **structure**: distances are maxima of g(r), which motion shifts and skews, beside distances of atoms at rest in the measured
  crystal; their errors are of sampling alone. A pair is centre-neighbour. Of two shells nearer to each other than 0.5 Å, which
  motion joins, there is nothing to compare with. Powder lines are those of Cu Kα (1.54184 Å) of a sum that ends at 40 Å, wide
  ones. Where the interphase's coordination numbers stand, only its own atoms and picoseconds are in the error.
- temperatures are the mean of the run where its record holds one, with the set one beside it.
- "a prior of D0": the Arrhenius fit behind the number (activation energies, values at 298 K) took D0 for 1.5e-7 m²/s within a
  factor of 10 either way beside its points. The fewer the temperatures, the more of the number and of its narrow error is the
  prior's: two in `li6ps5cl-size`, Li2S and tetragonal LLZO.
- an upper bound is a run without enough hops: it says nothing of what lies below it.
- **Reacting lithium** (400 K, constant pressure along the normal), measured frame by frame by whole PS4 and P2S7 groups and
  metal: of 13 nm of Li6PS5Cl between 10 nm of lithium 70 % of the groups fell apart within 200 ps, and 7.2 nm of interphase
  grew at each side (1.7 nm in the first 5 ps, 3.9 nm in 50); of 4.5 nm of Li7P3S11 all within 45 ps (from there on the cell's
  end stops the growth), 3.6 nm. In the first tenth of a run growth has two stages, linear for some ps and slower then: laws
  with two regimes have more than 0.999 of the weight for Li6PS5Cl (linear to parabolic 0.80), 0.89 for Li7P3S11 (0.76); over
  the whole parabolic growth has 0.51 for Li6PS5Cl, linear to parabolic 0.40 for Li7P3S11. No law is decided. Reaction budgets:
  Li7P3S11 used 22.1 ± 0.2 Li of the equation's 24 and made 10.8 ± 0.1 of 11 Li2S and 2.4 ± 0.3 of 3 Li3P; Li6PS5Cl used 7.72 ±
  0.08 of 8 Li and made 4.65 ± 0.05 of 5 Li2S and 0.57 ± 0.01 of 1 Li3P, its chlorine keeping the surroundings that it had (no
  LiCl). What is left of the metal at the end has no crystal's order, though 400 K lies below its melting point. Of 5 nm of
  Li6PS5Cl with 4.5 nm of lithium a run of 200 ps ends differently: after 55 ps the lithium is used up, and a gap opens.
  Published runs take nanoseconds for two-step growth (Chaney et al., arXiv:2402.04095, abstract). What is told is what this
  potential does with a heat of reaction that keeps the cells 2 and 22 K above their bath, not what the material does.
- **band gaps** are no numbers of the potential: CP2K with the functional that stands beside them, at the zone centre of the
  largest cell that was computed, in the measured cell. PBE is known to give gaps that are too small, by a third and more in
  insulators as wide as these: the measured ones are expected to lie above, and "differs" says by how much. The error is the
  change from the cell to the larger one (sampling of the zone); it knows nothing of the functional or the basis. They stand as
  estimates of low confidence and no case reads them. A cell with partly filled orbitals is a metal: its bound is what the
  smearing would hide.
- **band gaps of slices** of a small reacted cell (`reaction-slices`, one start): cut between groups of bound atoms where the
  formal charges add up to zero, faces joined, relaxed for 50 steps. The slice from the electrolyte's middle has the composition
  of four Li6PS5Cl with all PS4 whole, and its gap lies 0.1 eV below the crystal's; one of an earlier start lay 1.4 eV below it
  (heat, disorder, the joined faces). So much may be the cut's in the interphase, too, whose slice at its border has partly
  filled orbitals without metal in it: that an interphase conducts electrons cannot be read from them. No error of sampling is
  known of them.
- "memory": the literature value was recalled, not read again; treat it as such.
- The runs are short (see their lengths): long enough for a number with its error, not for a publication. That Li6PS5Cl comes out
  a hundred times too fast is not their doing: D(T) of 60 ps a temperature keeps an activation energy of 14 to 16 kJ/mol, P on its
  sites throughout. It is the potential's, whose teacher is known to soften the landscape that ions cross (Deng et al., npj
  Comput. Mater. 11, 9 (2025)). Runs of 52 atoms that differ in their seed alone differ by up to a factor
  of two (25 % disorder, 600 K), more than the error of one run tells: the cell's ions remember how they began. Three runs at each
  temperature of Li6PS5Cl, whose scatter widens the errors where it exceeds them (`errors_widened_by_scatter_of_runs` in the
  records), tell part of that: eight runs of 40 and 60 ps at 600 K after 2, 4 and 10 ps of equilibration gave 2.9 to 5.8e-9, mean
  4.2e-9 m²/s, a scatter of 24 % where each tells 12 %. Where a study makes one run, its error knows nothing of it.
- the conductivity at 298 K takes the Haven ratio of the runs at higher temperatures (each with an error of about 40 %) as if it
  did not depend on temperature; where no run gave one, 1. Extrapolations with an error above themselves, or far below their data,
  are of low confidence: a case then takes a sourced number.
"""


def main(words: Sequence[str]) -> int:
    """Write the page, or make a shipped file first."""
    if words and words[0] == "ship":
        name, out = words[1:]
        print(ship(CASES / "_studies" / f"{name}.toml", Path(out), CASES / "_records"))
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
