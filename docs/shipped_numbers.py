"""docs/numbers.md: every shipped number, those of which literature knows one first, from cases/_records and cases/_materials.

`python docs/shipped_numbers.py` writes the page; `python docs/shipped_numbers.py ship NAME OUT` makes cases/_records/NAME.json
of a finished study first (cases/_studies/NAME.toml, results in OUT). What to know of the numbers stands in numbers_notes.md.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from literature_arithmetic import Literature, listed, of_cell, of_equation, of_shells  # noqa: E402
from literature_numbers import CASES, CUBIC, FAR, absent, literature, matching, verdict  # noqa: E402

from coupling.rate_table import QUANTITY as RATE  # noqa: E402
from coupling.record import Property  # noqa: E402
from multiscale.shipped_records import Shipped, everything, name_of, ship, studies  # noqa: E402

PAGE, NOTES = ROOT / "docs" / "numbers.md", ROOT / "docs" / "numbers_notes.md"
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
    "molar_volume": ("volume per formula", 1e6, "cm³/mol"),
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
    "boundary_excess_diffusivity": ("excess of D in the boundary over the grain, times its width", 1.0, "m³/s"),
    "boundary_diffusivity_ratio": ("D in the boundary over D in the grain", 1.0, ""),
    "boundary_width": ("width of the boundary", 1e9, "nm"),
    "modulus_ratio_along_normal": ("modulus of the cell over the crystal's, along the normal", 1.0, ""),
    "boundary_excess_compliance": ("compliance of the boundary beyond its crystal's", 1e18, "nm/GPa"),
    "interphase_thickness": ("thickness of an interphase, late mean", 1e9, "nm"),
    "interphase_growth_v": ("speed of growth", 1.0, "m/s"), "interphase_growth_k": ("parabolic constant of growth", 1.0, "m²/s"),
    "interphase_growth_w": ("speed of growth after its change", 1.0, "m/s"),
    "interphase_growth_L0": ("thickness from which a law of growth starts", 1e9, "nm"),
    "interphase_growth_t_c": ("time at which growth changes its law", 1e12, "ps"),
    "interphase_growth_rate": ("growth rate, late mean", 1.0, "m/s"),
    "intact_phosphorus_share": ("share of P that keeps its four S, late mean", 1.0, ""),
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
MODULI = ("bulk_modulus", "shear_modulus", "youngs_modulus")
CELL, SHELLS = ("lattice_constant", "molar_volume"), ("nearest_neighbour_distance", "coordination_number", "diffraction_angle")
"""Quantities that are held against what follows from a crystal's structure file: its cell, its atoms."""
THEORY, NO_DRIVE = "classical theory", "nothing nucleates"
"""Row of the classical theory, and where it has no rate: the overpotential does not exceed the work against the pressure."""
NEVER = -300.0
"""log10 of a rate in 1/(m³ s) below which it says only that nothing nucleates."""
TOLD = {"temperature_K": "{:.4g} K", "miller": "({})", "boundary": "{}", "axis": "{}", "direction": "{}", "phase": "{}",
        "measure": "by the {}", "structure": "{}", "pair": "{}", "line": "{}", "radiation": "{}",
        "part_of_run": "{}", "time_s": "mean about {:.3g} ps", "until_s": "fitted until {:.3g} ps",
        "place": "{}", "overpotential_V": "η = {} V", "pressure_Pa": "{:.3g} Pa",
        "law": "{}", "species": "{}", "frame": "frame {}", "method": "{}", "strain_rate_per_s": "{:.2g} 1/s",
        "functional": "{}", "k_points": "{}"}  # fmt: skip
"""Conditions that the tables tell, in their order, and how."""
PICOSECONDS = ("time_s", "until_s")
"""Those told in ps."""
PRIOR = re.compile(r"fit of (\d+) points.*prior of D0 ")
"""In the method of a record: an Arrhenius fit (coupling.arrhenius) in which a prior of its prefactor took part."""


def _number(value: float, digits: int = 4) -> str:
    """A number to so many digits."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def _with_error(value: float, error: float) -> str:
    """Value and standard error, whose second digit is the last of both."""
    largest = max(abs(value), error)
    if not 1e-3 <= largest < 1e5 and error > 0:
        exponent = math.floor(math.log10(largest))
        return f"({_with_error(value / 10**exponent, error / 10**exponent)})·10{str(exponent).translate(RAISED)}"
    if not error > 0:
        return f"{_number(value)} ± {_number(error)}"
    decimals = max(0, 1 - math.floor(math.log10(float(f"{error:.2g}"))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _value(record: Property, factor: float, unit: str) -> str:
    value, error = record.value * factor, record.stderr
    if record.bound:
        told = f"{'<' if record.bound == 'upper' else '>'} {_number(value)}"
    elif record.low is not None and record.high is not None:
        told = f"{_number(value, 3)} ({_number(record.low * factor, 3)} … {_number(record.high * factor, 3)}, 95 %)"
    else:
        told = _number(value) if error is None else _with_error(value, error * factor)
    return f"{told} {unit}".strip() + (" (low confidence)" if record.confidence == "low" else "")


def _conditions(record: Property) -> str:
    hidden = {"axis"} if "slice_m" in record.conditions else set() if "frame" in record.conditions else {"species"}
    told = {key: value * 1e12 if key in PICOSECONDS else value for key, value in record.conditions.items() if key not in hidden}
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
    if other := _second(record):
        parts.append(f"by `{other}`")
    return ", ".join(parts)


def _second(record: Property) -> str:
    """Folder below cases/_studies that the study of a record lies in, which has the name of its potential; "" of the others."""
    return str(record.source.get("study", "")).rpartition("/")[0]


def rows() -> list[tuple[Property, Literature | None]]:
    """Every record of the tables with the number it is held against; rates of nucleation stand apart (`rate_tables`)."""
    known, order = literature(SHOWN), list(SHOWN)
    found = [record for one in everything(CASES) for record in one.records]
    kept = [record for record in found if stands(record)] + boundary_ratios(found)
    kept.sort(key=lambda record: (record.material, order.index(record.quantity)))
    for quantities, arithmetic in ((CELL, of_cell), (SHELLS, of_shells)):
        for material in sorted({record.material for record in kept if record.quantity in quantities}):
            known += arithmetic(material)
    return [(record, matching(record, known) or of_equation(record)) for record in kept]


def stands(record: Property) -> bool:
    """Whether a record stands in the tables."""
    if record.quantity.startswith("elastic_") and record.material not in CUBIC:
        return False
    if record.quantity == "onsager_coefficient" and "depths_m" in record.conditions:
        return False
    return record.quantity in SHOWN and (record.kind != "derived" or "code" in record.source)


def left_out(records: Iterable[Property]) -> str:
    """How many records stand in no table, by what they are, and where they are."""
    rest = Counter(record.quantity.split("_C")[0] for record in records if not stands(record) and record.quantity != RATE)
    told = {"elastic": "elastic constants (of crystals that are not cubic; of cubic ones those that symmetry repeats or cancels)",
            "onsager_coefficient": "Onsager coefficients of reacting cells by depth and time",
            "nucleation_barrier": "barriers of nucleation by classical theory"}  # fmt: skip
    parts = ", ".join(f"{count} {told.get(name, name)}" for name, count in rest.most_common())
    return (f"Left out, and to be read in the files of `cases/_records`: {parts}; also the series, profiles and maps of "
            "reactions (`profiles` there).")  # fmt: skip


def boundary_ratios(records: Sequence[Property]) -> list[Property]:
    """Diffusivity in a boundary over that in the grain of the same cell; errors of both added as independent."""
    grains = {_cell_of(record): record for record in records if record.quantity == "grain_diffusivity"}
    found = []
    for record in records:
        grain = grains.get(_cell_of(record))
        if record.quantity == "boundary_diffusivity" and grain and record.stderr and grain.stderr:
            error = math.hypot(record.stderr / record.value, grain.stderr / grain.value)
            ratio = record.value / grain.value
            found.append(replace(record, quantity="boundary_diffusivity_ratio", value=ratio, unit="1", stderr=ratio * error))
    return found


def _cell_of(record: Property) -> tuple[str, str, str]:
    return record.material, str(record.conditions), str(record.source.get("potential"))


def _cells(record: Property) -> list[str]:
    """Conditions, value and effort of a record, as cells of a table."""
    _, factor, unit = SHOWN[record.quantity]
    return [_conditions(record), _value(record, factor, unit), _effort(record)]


def compared(record: Property, known: Literature) -> str:
    """One row of the tables against literature: a number and what it is held against."""
    _, factor, unit = SHOWN[record.quantity]
    ranged = known.low != known.high and not known.bound
    span = f" ({_number(known.low * factor)} … {_number(known.high * factor)})" if ranged else ""
    at = f" at {known.at}" if known.at else ""
    told = f"{'< ' * known.bound}{_number(known.value * factor)}{span} {unit}".strip()
    source = f"{told}{at}, {known.source} ({known.confidence})"
    return _row([_system(record), *_cells(record), source, verdict(record, known)])


def _system(record: Property) -> str:
    return _told(record.material)


def _told(material: str) -> str:
    """A name that does not break a table."""
    return re.sub(r" ?\| ?", r" \\| ", material)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: Sequence[str], lines: Iterable[str]) -> list[str]:
    return [_row(head), "|" + "---|" * len(head), *lines, ""]


def rate_tables(records: Iterable[Property]) -> list[str]:
    """log10 of the rates of nucleation in 1/(m³ s): a table for each system and temperature, overpotentials across."""
    groups: dict[tuple[str, str], list[Property]] = {}
    for record in records:
        if record.quantity == RATE:
            share = f", {100 * record.conditions['disorder']:.0f} % S/Cl disorder" if "disorder" in record.conditions else ""
            share += f" (`{other}`)" if (other := _second(record)) else ""
            groups.setdefault((_system(record) + share, f"{record.conditions['temperature_K']:.4g} K"), []).append(record)
    lines = []
    for (system, kelvin), found in groups.items():
        drives = sorted({abs(record.conditions["overpotential_V"]) for record in found})
        cells: dict[tuple[str, float], dict[float, str]] = {}
        for record in found:
            where = THEORY if record.kind == "derived" else record.conditions.get("place", "the cell")
            row = cells.setdefault((where, record.conditions["pressure_Pa"]), {})
            told = "below -300" if record.value < NEVER else _value(record, 1.0, "").replace(" (low confidence)", "")
            row[abs(record.conditions["overpotential_V"])] = told
        head = [f"{system}, {kelvin}", "pressure", *(f"η = {-1000 * drive + 0.0:.4g} mV" for drive in drives)]
        lines += _table(head, (_row([where, f"{pressure / 1e6:.4g} MPa",
                                     *(row.get(drive, NO_DRIVE if where == THEORY else "") for drive in drives)])
                               for (where, pressure), row in cells.items()))  # fmt: skip
    return lines


def page() -> str:
    """The text of docs/numbers.md."""
    shipped, found = everything(CASES), rows()
    records = [record for one in shipped for record in one.records]
    beside = [(record, known) for record, known in found if known is not None]
    bare = [record for record, known in found if known is None]
    alone = [record for record in bare if record.quantity != RATE]
    lines = [TOP.strip(), "", _in_all(found), "", *by_potential(beside), left_out(records), "", "## Against literature", ""]
    for quantity in SHOWN:
        if judged := [compared(*row) for row in beside if row[0].quantity == quantity]:
            lines += [f"### {SHOWN[quantity][0]}", "", *_table(HEAD, judged)]
    lines += ["## How to read it", "", NOTES.read_text(encoding="utf-8").strip(), "", "## With nothing at hand to compare", ""]
    lines += reasons(bare)
    for material in dict.fromkeys(record.material for record in alone):
        own = [record for record in alone if record.material == material]
        told = (_row([SHOWN[record.quantity][0], *_cells(record), _lack(absent(record))]) for record in own)
        lines += [f"### {_system(own[0])}", "", *_table(["quantity", *HEAD[1:5]], told)]
    lines += ["## Rates of nucleation", "", RATES.strip(), ""]
    lines += rate_tables(records)
    return "\n".join([*lines, *_origins(shipped)]).rstrip() + "\n"


def _in_all(found: Sequence[tuple[Property, Literature | None]]) -> str:
    """How many numbers are compared, how they agree, how those from elsewhere are known, and how many stand alone and why."""
    judged = [verdict(record, known) for record, known in found if known is not None]
    words = ("**", "too uncertain", "not told apart")
    against, unclear, wide = (sum(told.startswith(word) for told in judged) for word in words)
    read = Counter(known.confidence for _, known in found if known is not None)
    lacks = Counter(_lack(absent(record)) for record, known in found if known is None)
    return (f"In all: {len(found)} numbers. {len(judged)} are compared with one from elsewhere: "
            f"{len(judged) - against - unclear - wide} agree or do not contradict it, {against} do not agree, {wide} meet it "
            f"with an interval of more than a factor of {FAR:g}, {unclear} are too uncertain to tell. For {lacks[SOUGHT]} one "
            f"was looked for and not found, {lacks[NONE]} have no counterpart by nature "
            f"([why](#with-nothing-at-hand-to-compare)). Of the {len(judged)} from elsewhere {read['verified']} were read "
            f'("verified"), {read["transcribed"]} read in a copy of a table ("transcribed"), '
            f'{read["memory"]} recalled ("memory"), '
            f"{read['stoichiometry']} follow from an equation.")  # fmt: skip


def by_potential(beside: Iterable[tuple[Property, Literature]]) -> list[str]:
    """A table of how the numbers of each potential or code stand to those from elsewhere, and how far moduli are from them."""
    groups: dict[str, list[tuple[Property, Literature]]] = {}
    for record, known in beside:
        groups.setdefault(str(record.source.get("potential") or record.source.get("code")), []).append((record, known))
    lines = []
    for name, own in sorted(groups.items()):
        told = [verdict(*row) for row in own]
        differ = sum(one.startswith("**") for one in told)
        unclear = sum(one.startswith(("too uncertain", "not told apart")) for one in told)
        moduli = [(record.value, known.value) for record, known in own if record.quantity in MODULI and not record.bound]
        away = [abs(value / other - 1) for value, other in moduli]
        middle = f"{100 * median(away):.0f} % of {len(away)}" if away else "–"
        lines.append(_row([f"`{name}`", str(len(own)), str(len(own) - differ - unclear), str(differ), str(unclear), middle]))
    heads = ["potential or code", "compared", "agree or no contradiction", "differ", "cannot tell", "moduli: median difference"]
    return _table(heads, lines)


def reasons(bare: Iterable[Property]) -> list[str]:
    """A table of the numbers beside which nothing stands: which, how many, what that means, why."""
    told = [absent(record) for record in bare]
    lines = []
    for entry in listed()["absent"]:
        names = "; ".join(SHOWN[name][0] for name in entry["quantities"])
        of = f", of {', '.join(_told(name) for name in entry['materials'])}" if "materials" in entry else ""
        lines.append(_row([names + of, str(sum(one is entry for one in told)), _lack(entry), entry["why"]]))
    return _table(["numbers", "how many", "literature", "why"], lines)


def _lack(entry: Mapping[str, Any]) -> str:
    return NONE if entry.get("by_nature") else SOUGHT


def _origins(shipped: Sequence[Shipped]) -> list[str]:
    """What the studies could not give, and where each number comes from."""
    lines = ["## What the studies could not give", ""]
    for one in shipped:
        notes = json.loads((CASES / "_records" / f"{one.study}.json").read_text(encoding="utf-8")).get("notes", [])
        lines += [f"- `{one.study}`: {note}" for note in notes]
    told = (_row([f"`cases/_studies/{one.study}.toml`", one.potential or one.code, one.potential_sha256[:12] or one.settings,
                  str(len(one.records))]) for one in shipped)  # fmt: skip
    lines += ["", "## Where each comes from", ""]
    lines += _table(["study", "potential or code", "hash of the weights or settings", "records"], told)
    missing = sorted({name_of(path) for path in studies(CASES)} - {one.study for one in shipped})
    if missing:
        lines += ["## Studies without shipped records", "", "Not run to their end, or run for the cell that they leave alone "
                  f"(`reaction-slices`): {', '.join(f'`{name}`' for name in missing)}."]  # fmt: skip
    return lines


SOUGHT, NONE = "not found", "no counterpart"
"""What stands where nothing could be compared: one was looked for, or none can exist."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
HEAD = ["system", "conditions", "computed", "runs", "literature", "agreement"]
TOP = """
# Shipped numbers against literature

This page is written by `python docs/shipped_numbers.py` from the records in `cases/_records`; a test holds the two equal. Every
record carries a value or bound and its conditions, and a standard error or a word that none is known; one of the potential its
hash, and where atoms moved seeds, their number and the length of the run (driven flow its strain and rate); a band gap the code
and the hash of its settings; what follows from other records says how. `multiscale md cases/_studies/NAME.toml` makes each anew.
A case takes them with `quality = "shipped"` under `[atomistic]`.
First stand the numbers of which literature knows one, quantity by quantity; then what to know of them; then all others, with the
reason why nothing stands beside them.
"""
RATES = """
log₁₀ of the rate in 1/(m³ s). `<` is an upper bound (95 %): no atom was seen to join the cluster for good, or too few sizes were
visited. Rows of two numbers know little of η and p: there no cluster of more than three atoms was seen; the smaller says that no
walker outgrew it, the larger, where lithium is driven towards the metal, how fast atoms join it at most. η is counted from the
lithium of the cell itself, but for classical theory, which counts it from lithium metal; below -300 it says no more than that
nothing nucleates. Barriers stand under their system above.
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
