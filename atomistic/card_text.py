"""Words and tables of a card: card.md from what card.json holds. A section whose measurement was not made says so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from atomistic import label_settings
from atomistic.card_settings import CardSettings, Targets

Found = Mapping[str, Any]
OURS, TEACHER = "potential", "teacher"
BY_TEACHER = "by the teacher"
SPREAD = """Spread of the members' force on an atom (claimed) against the error of their mean (found), both lengths of vectors,
root mean squares over the held-out atoms; rank correlation (Spearman) atom by atom."""
HOPS = "A lithium ion hops into the nearest vacancy of a neutral cell (climbing-image NEB, five images)."
OWN_PATH = """ The teacher's own
path, with its own lattice, was searched in small cells only."""
NO_TEACHER = "The labels are of no teacher that can be asked again: there is nothing to compare with."
PAIRS = """Overlap 1 − Σ|g₁ − g₂| r² / Σ(g₁ + g₂) r² of g(r) up to 6 Å (the share of pairs in common), from runs of the same
start, cell and seed, first third left out; beside it the overlap of the two halves of the teacher's run: what noise leaves."""
RUNS = """Constant volume at the potential's own 0 K cell, Langevin; 2 fs, with hydrogen 0.5 fs. A nonphysical event is a force
above 60 eV/Å, a distance below 0.7 Å or below 0.6 of the sum of two covalent radii, a temperature above three times the set one
plus 300 K, a number that is not finite, or a mean temperature off by more than 10 %. The framework is every atom but lithium
(in lithium metal: every atom), its drift taken out: large values mean melting or diffusion, no event."""
NOT_YET = "Not measured yet: `multiscale potential card {name} --held-out SET` does it."


def verdicts(found: Found, targets: Targets, picoseconds: float = CardSettings.picoseconds) -> list[dict[str, Any]]:
    """What was wanted and what was reached: [{"what", "target", "found", "unit", "met"}]; what was not measured is left out.

    A measurement that the potential broke is a missed target, whose "found" is None; `picoseconds` is the length wanted of a run.
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, target: float, value: float, unit: str) -> None:
        rows.append({"what": what, "target": target, "found": value, "unit": unit, "met": bool(value <= target)})

    for family, target in targets.forces_meV_per_A.items():
        if row := found.get("held_out", {}).get(family):
            add(f"forces, {family}", target, row["force_rmse_meV_per_A"], "meV/Å")
            add(f"energies, {family}", targets.energy_meV_per_atom, row["energy_rmse_meV_per_atom"], "meV/atom")
    for phase, row in found.get("references_0K", {}).items():
        if TEACHER in row:
            ours, theirs = row[OURS], row[TEACHER]
            off = 100 * np.abs(np.array(ours["lengths_A"]) / np.array(theirs["lengths_A"]) - 1).max()
            add(f"lattice, {phase}", targets.lattice_percent, round(float(off), 2), "%")
            off = 100 * abs(ours["bulk_modulus_GPa"] / theirs["bulk_modulus_GPa"] - 1)
            add(f"bulk modulus, {phase}", targets.bulk_modulus_percent, round(float(off), 1), "%")
    for phase, row in found.get("trajectories", {}).items():
        if not row["event"]:
            add(f"run without event, {phase}", row["wanted_picoseconds"], row["picoseconds"], "ps")
            rows[-1]["met"] = row["picoseconds"] >= row["wanted_picoseconds"]
        else:
            rows.append({
                "what": f"run without event, {phase}", "target": row["wanted_picoseconds"], "found": row["picoseconds"],
                "unit": "ps", "met": False,
            })  # fmt: skip
    percents = {"lattice": targets.lattice_percent, "bulk modulus": targets.bulk_modulus_percent}
    wanted = {"run": [("run without event", picoseconds, "ps")], "rest": [(what, most, "%") for what, most in percents.items()]}
    for label in found.get("failures", {}):
        kind, *phase = label.split(" ", 1)
        if phase and not phase[0].endswith(BY_TEACHER):
            for what, target, unit in wanted.get(kind, []):
                rows.append({"what": f"{what}, {phase[0]}", "target": target, "found": None, "unit": unit, "met": False})
    return rows


def text(found: Found, settings: CardSettings) -> str:
    """Text of card.md."""
    sections = [
        _head(found, settings), _verdicts(found), _errors(found), _spread(found), _references(found), _reactions(found),
        _hops(found), _pairs(found), _runs(found), _speed(found), _list("Not for", settings.not_for), _failures(found),
        _list("Notes", settings.notes), _again(found),
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown table; numbers as they are rounded already, None as a dash."""
    shown = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *shown])


def _cell(value: Any) -> str:
    """One cell."""
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _section(title: str, found: Found, body: Sequence[str]) -> str:
    """A section; without a body what is missing."""
    return "\n\n".join([f"## {title}", *(body or [NOT_YET.format(name=found["name"])])])


def _head(found: Found, settings: CardSettings) -> str:
    """Title, purpose, labels and data."""
    kind = f"a committee of {found['members']} MACE potentials" if found["members"] > 1 else "a MACE potential"
    lines = [f"# {found['name']}: {kind} for {'–'.join(found['elements'])}", settings.purpose]
    for level in found["labels"]:
        stated = "; ".join(label_settings.from_dict(dict(level), "card").lines())
        lines.append(f"**Labels.** {stated}. Nothing here is nearer to experiment than these labels are.")
    lines += [f"**{key.replace('_', '-').capitalize()} set.** {_data(row)}" for key, row in found["data"].items()]
    if found["members"] > 1:
        lines.append("Molecular dynamics and every number below that is not of the committee come from member 0.")
    return "\n\n".join(line for line in lines if line)


def _data(row: Found) -> str:
    """Frames and atoms of a set."""
    families = ", ".join(f"{family} {count}" for family, count in row["families"].items())
    return f"{row['frames']} frames, {row['atoms']} atoms: {families}."


def _verdicts(found: Found) -> str:
    """Targets, met or missed."""
    rows = [(r["what"], f"{r['target']:g} {r['unit']}", r["found"], "met" if r["met"] else "MISSED") for r in found["targets"]]
    told = [f"{sum(r['met'] for r in found['targets'])} of {len(rows)} met.", table(("what", "target", "found", ""), rows)]
    return _section("Targets", found, told if rows else [])


ERROR_KEYS = ("frames", "energy_rmse_meV_per_atom", "force_rmse_meV_per_A", "force_rms_meV_per_A", "stress_rmse_GPa")


def _errors(found: Found) -> str:
    """Held-out errors by family and by structure."""
    if "held_out" not in found:
        return _section("Held-out errors", found, [])
    body = [
        "Root mean squares over frames that no fit has seen; force components. "
        '"Size of forces" is the root mean square of the labels\' own forces.'
    ]
    body += [_error_table("family", found["held_out"], found["held_out_members"][0], found["members"])]
    if "structures" in found:
        body += ["Crystals by structure:"]
        body += [_error_table("structure", found["structures"], found["structures_member_0"], found["members"])]
    if found["members"] > 2:
        rows = [
            (number, row["energy_rmse_meV_per_atom"], row["force_rmse_meV_per_A"], row["stress_rmse_GPa"])
            for number, row in enumerate(each["all"] for each in found["held_out_members"])
        ]
        body += ["All frames, by member:", table(("member", "energy, meV/atom", "forces, meV/Å", "stress, GPa"), rows)]
    return _section("Held-out errors", found, body)


def _error_table(what: str, mean: Found, first: Found, members: int) -> str:
    """Errors of the mean, and of member 0 where there is a committee."""
    columns = [what, "frames", "energy, meV/atom", "forces, meV/Å", "size of forces, meV/Å", "stress, GPa"]
    rows = [[name, *(row[key] for key in ERROR_KEYS)] for name, row in mean.items()]
    if members > 1:
        columns += ["member 0: energy", "member 0: forces"]
        for row in rows:
            row += [first[row[0]]["energy_rmse_meV_per_atom"], first[row[0]]["force_rmse_meV_per_A"]]
    return table(columns, rows)


def _spread(found: Found) -> str:
    """What the committee's spread tells of its error."""
    if found["members"] < 2:
        return ""
    keys = ("atoms", "claimed_meV_per_A", "found_meV_per_A", "found_over_claimed", "rank_correlation")
    rows = found.get("spread", {})
    body = [
        SPREAD,
        table(("family", "atoms", "claimed, meV/Å", "found, meV/Å", "found/claimed", "rank correlation"),
              [(family, *(row.get(key) for key in keys)) for family, row in rows.items()]),
    ]  # fmt: skip
    every = rows.get("all", {})
    if "conformal_factor" in every:
        body.append(
            f"The error of an atom is below {every['conformal_factor']:g} times its spread with {every['confidence']:.0%} "
            "confidence (split conformal, atomistic.calibration), for atoms like the held-out ones."
        )
    return _section("Committee spread against error", found, body if rows else [])


def _references(found: Found) -> str:
    """Lattices and bulk moduli at 0 K."""
    rows = []
    for phase, row in found.get("references_0K", {}).items():
        ours, theirs = row[OURS], row.get(TEACHER, {})
        rows.append(
            (phase, _lengths(ours), _lengths(theirs), ours["bulk_modulus_GPa"], theirs.get("bulk_modulus_GPa"))
        )  # fmt: skip
    columns = ("phase", "a, b, c, Å: potential", "teacher", "bulk modulus, GPa: potential", "teacher")
    title = "Crystals at 0 K against the teacher" if found["teacher"] else "Crystals at 0 K"
    return _section(title, found, _compared(found, columns, rows) if rows else [])


def _compared(found: Found, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Table with the teacher's columns, those with its name; without a teacher that is known, without them, and it is said."""
    if found["teacher"]:
        return [table(columns, rows)]
    own = [number for number, column in enumerate(columns) if "teacher" not in column]
    return [NO_TEACHER, table([columns[number] for number in own], [[row[number] for number in own] for row in rows])]


def _lengths(row: Found) -> str | None:
    """Lattice constants, equal ones once."""
    lengths = [f"{length:.3f}" for length in row.get("lengths_A", [])]
    return ", ".join(dict.fromkeys(lengths)) or None


def _reactions(found: Found) -> str:
    """Reaction energies."""
    rows = found.get("reactions", {})
    if not rows:
        return ""
    cells = []
    for reaction, row in rows.items():
        ours, theirs = row[OURS], row.get(TEACHER, {})
        cells.append((reaction, ours["eV"], theirs.get("eV"), ours["meV_per_atom"], theirs.get("meV_per_atom")))
    columns = ("reaction", "eV: potential", "teacher", "meV/atom: potential", "teacher")
    body = ["From the crystals at rest, each with its own potential's lattice; below zero: the right side is the stable one."]
    return _section("Reaction energies at 0 K", found, [*body, *_compared(found, columns, cells)])


def _hops(found: Found) -> str:
    """Vacancy hops."""
    rows = found.get("hops", {})
    if not rows:
        return ""
    cells = []
    for phase, row in rows.items():
        ours, theirs = row[OURS], row.get(TEACHER, {})
        cells.append((
            phase, ours["atoms"], ours.get("distance_A"), ours.get("barrier_eV", ours.get("note")),
            ours.get("teacher_on_path_eV"), theirs.get("barrier_eV", theirs.get("note")), ours.get("force_left_eV_per_A"),
        ))  # fmt: skip
    columns = (
        "phase", "atoms", "Å", "barrier, eV: potential", "teacher along that path", "teacher's own path", "force left, eV/Å"
    )  # fmt: skip
    told = HOPS + (OWN_PATH if found["teacher"] else "")
    return _section("Vacancy hops", found, [told, *_compared(found, columns, cells)])


def _pairs(found: Found) -> str:
    """Overlap of pair distributions."""
    if not found["teacher"]:
        return ""
    cells = [
        (phase, row["temperature_K"], row["picoseconds"], row["atoms"], pair, each["overlap"], each["teacher_halves"])
        for phase, row in found.get("pairs", {}).items()
        for pair, each in row["pairs"].items()
    ]
    body = [
        PAIRS,
        table(("phase", "K", "ps", "atoms", "pair", "overlap with the teacher", "teacher's halves"), cells),
    ]
    return _section("Pair distributions against the teacher", found, body if cells else [])


def _runs(found: Found) -> str:
    """Long runs."""
    keys = (
        "atoms", "picoseconds", "set_temperature_K", "temperature_K", "pressure_GPa", "closest_over_radii", "closest_pair",
        "largest_framework_displacement_A", "largest_spread_eV_per_A", "event",
    )  # fmt: skip
    columns = (
        "phase", "atoms", "ps", "set K", "K", "GPa", "closest approach / radii", "pair", "framework displacement, Å",
        "largest spread, eV/Å", "event",
    )  # fmt: skip
    cells = [
        (phase, *((row.get(key) or "none") if key == "event" else row.get(key) for key in keys))
        for phase, row in found.get("trajectories", {}).items()
    ]
    body = [
        RUNS,
        table(columns, cells),
    ]
    return _section("Long runs", found, body if cells else [])


def _speed(found: Found) -> str:
    """Speed on one core."""
    if "speed" not in found:
        return _section("Speed", found, [])
    speed = found["speed"]
    rows = "; ".join(f"{row['dtype']} {row['us_per_atom']:g} µs/atom/step" for row in speed["rows"])
    first = speed["rows"][0]
    told = f"{speed['engine']}: {rows} ({speed['processor']}, one thread, {first['atoms']} atoms of {first['phase']})."
    return _section("Speed", found, [told])


def _failures(found: Found) -> str:
    """Measurements that ended badly and runs with an event."""
    lines = [f"{label}: {reason}" for label, reason in found.get("failures", {}).items()]
    lines += [f"run {phase}: {row['event']}" for phase, row in found.get("trajectories", {}).items() if row["event"]]
    return _list("Known failures", lines)


def _list(title: str, lines: Sequence[str]) -> str:
    """A list that a person wrote."""
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _again(found: Found) -> str:
    """Commands that make potential and card again."""
    name = found["name"]
    return f"""## Make it again

    multiscale potential sample recipe.toml --out DIR
    multiscale potential train recipe.toml --out DIR
    multiscale potential card DIR/{name} --held-out DIR/held_out.h5 --training DIR/training.h5

`recipe.toml` beside this card holds every setting and seed: the same libraries and the same kind of processor give equal
bits. Where the notes tell of frames or weights that came before it, these commands give a sibling."""
