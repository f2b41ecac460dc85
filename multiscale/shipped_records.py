"""Property records that come with the product (cases/_records), used by a case that asks for `quality = "shipped"`.

Each file holds the records of one study of cases/_studies with the digest of that study, the hash of the potential (of a study
without one, the first-principles code, its version and the hash of its settings), the versions of the code that ran and read it
and the hash of the crystals it was built from. Records are given out only while all of them
still hold: a study file that was changed, or a potential that was trained anew, makes its records those of something else.
A folder below cases/_studies and one of its name below cases/_records hold the same studies of another potential.
"""

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from coupling.library import QUANTITIES
from coupling.record import Property
from coupling.store import FORMAT, digest, read_records
from coupling.toml_input import read

CASES = Path(__file__).resolve().parent.parent / "cases"
MADE_OF = "study.json"
"""File of a study's results that holds the digest of the study as it was run."""
MEND = 'quality = "quick" makes the case\'s own'
RESTORE = "restore it from where the product came from (in a clone: git checkout)"
"""What to do about a damaged shipped file, which no run of a case makes again."""


@dataclass(frozen=True)
class Shipped:
    """Records of one study: its name (`name_of`), hash of the potential, digest of the study file at the time of the runs.

    `made_with`: kind of study, versions of its code, hash of the crystals, at the time of the runs. `code`: first-principles code
    with its version, and `settings` the hash of what it was asked for; potential and hash are "" there, and these elsewhere.
    """

    study: str
    potential: str
    potential_sha256: str
    study_digest: str
    made_with: Mapping[str, Any]
    records: tuple[Property, ...]
    code: str = ""
    settings: str = ""


def name_of(study: Path) -> str:
    """Name of a study among those of its cases: path below _studies without its ending ("adhesion", "another/adhesion")."""
    below = study.with_suffix("").parts
    start = max((place + 1 for place, part in enumerate(below[:-1]) if part == "_studies"), default=len(below) - 1)
    return "/".join(below[start:])


def studies(cases: Path = CASES) -> list[Path]:
    """The study files that come with the product, by name."""
    return sorted((cases / "_studies").rglob("*.toml"), key=name_of)


def study_digest(path: Path) -> str:
    """Digest of what a study file says, comments and layout aside. Raises UserError: no such file, not TOML."""
    return digest(read(path).data)


def read_shipped(path: Path) -> Shipped:
    """One file of cases/_records. Raises UserError: missing, damaged, or without what tells where it is from."""
    records = read_records(path, RESTORE)
    head = json.loads(path.read_text(encoding="utf-8"))
    try:
        origin = ("code", "settings") if "code" in head else ("potential", "potential_sha256")
        study, made_of = (str(head[key]) for key in ("study", "study_digest"))
        made_by = {key: str(head[key]) for key in origin}
        made_with, notes = head["made_with"], head.get("notes", [])
    except KeyError as error:
        raise UserError(f"{path}: no {error} in it, so nobody can tell where its records are from; {RESTORE}") from None
    if not isinstance(made_with, dict) or not (isinstance(notes, list) and all(isinstance(note, str) for note in notes)):
        raise UserError(f"{path}: made_with is no table or notes no list of sentences; {RESTORE}")
    return Shipped(**{"potential": "", "potential_sha256": "", **made_by}, study=study, study_digest=made_of, made_with=made_with,
                   records=tuple(records))  # fmt: skip


def read_made_of(out: Path) -> tuple[str, dict[str, Any]]:
    """Digest of the study that the results in a folder are of, and what they were made with. Raises UserError: damaged."""
    try:
        held = json.loads((out / MADE_OF).read_text(encoding="utf-8"))
        return str(held["study_digest"]), dict(held["made_with"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{out / MADE_OF}: cannot be read ({error}); run the study again") from None


def ship(study: Path, out: Path, to: Path) -> Path:
    """Make a shipped file of the records, notes and curves of a finished study; returns its path.

    Args:
        study: study file. out: folder of its results. to: folder of shipped records, laid out like that of the studies.

    Raises:
        UserError: no records there, records of several potentials or settings, or of a study that has changed or is another.
    """
    from coupling.atomic import write_json

    if not (out / MADE_OF).is_file() or read_made_of(out)[0] != study_digest(study):
        raise UserError(f"{out}: not the results of {study} as it stands; run `multiscale md {study} --out {out}`")
    name = name_of(study.resolve())
    records = [record.with_source(study=name) for record in read_records(out / "records.json")]
    made_by = _origin(study, out, records)
    path = to / f"{name}.json"
    problems = out / "problems.json"
    notes = json.loads(problems.read_text(encoding="utf-8")) if problems.is_file() else []
    curves = {name: json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in ("profiles", "layers", "arrhenius")
              if (out / f"{name}.json").is_file()}  # fmt: skip
    write_json(path, {"format": FORMAT, "study": name, **made_by, "study_digest": study_digest(study),
                      "made_with": read_made_of(out)[1], "notes": notes, **curves,
                      "records": [record.to_dict() for record in records]})  # fmt: skip
    return path


def _origin(study: Path, out: Path, records: Sequence[Property]) -> dict[str, str]:
    """What made all records of a study: its potential with the hash, or a first-principles code with that of its settings.

    Raises:
        UserError: records of several, or of none that is named.
    """
    potential = tomllib.loads(study.read_text(encoding="utf-8")).get("potential", "")
    if not potential:
        made = sorted({(str(record.source.get("code")), str(record.source.get("settings"))) for record in records})
        if len(made) != 1 or "None" in made[0]:
            raise UserError(f"{out / 'records.json'}: records of one code with the hash of its settings are needed, found {made}")
        return {"code": made[0][0], "settings": made[0][1]}
    hashes = {str(record.source.get("potential_sha256")) for record in records if record.kind == "md"}
    if len(hashes) != 1 or "None" in hashes:
        raise UserError(f"{out / 'records.json'}: records of one potential with its hash are needed, found {sorted(hashes)}")
    return {"potential": potential, "potential_sha256": hashes.pop()}


def everything(cases: Path = CASES, now: Callable[[str], Mapping[str, Any]] | None = None) -> list[Shipped]:
    """All shipped files, by name.

    Args:
        now: from a kind of study to what it would be made with now; None leaves that unchecked.

    Raises:
        UserError: none there, a damaged one, a study that is gone or has changed, records of another version of the code or of
            other crystals.
    """
    found = _read_all(cases)
    for one in found:
        _require_fresh(one, cases, now)
    return found


def _read_all(cases: Path) -> list[Shipped]:
    """All shipped files, by name, held or not. Raises UserError: none there, a damaged one, one that lies elsewhere than `ship`
    puts it (a copy, whose records would count twice).
    """
    room, found = cases / "_records", []
    for path in sorted(room.rglob("*.json")):
        found.append(read_shipped(path))
        if path != (own := room / f"{found[-1].study}.json"):
            raise UserError(f"{path}: holds the records of study {found[-1].study!r}, whose place is {own}; take it away")
    if not found:
        raise UserError(f"{room}: no shipped records there; {MEND}")
    return found


def _require_fresh(one: Shipped, cases: Path, now: Callable[[str], Mapping[str, Any]] | None) -> None:
    """Raises UserError: records of a study that is gone or has changed, of another version of the code, of other crystals."""
    path = cases / "_studies" / f"{one.study}.toml"
    if not path.is_file():
        raise UserError(f"{path}: the study of shipped records is gone; {MEND}")
    if study_digest(path) != one.study_digest:
        raise UserError(f"{path}: changed since its shipped records were made; run it again, or {MEND}")
    if now is not None and (wanted := dict(now(str(one.made_with.get("kind"))))) != one.made_with:
        changed = ", ".join(key for key in wanted if wanted[key] != one.made_with.get(key))
        told = f"its shipped records were made with another {changed} than this version's"
        raise UserError(f"{path}: {told}; run it again, or {MEND}")


def how_many(cases: Path = CASES) -> Counter[str]:
    """How many records are shipped of every potential, by name; whether they still hold is not looked at."""
    return Counter(one.potential for one in _read_all(cases) for _ in one.records if one.potential)


def records_for(
    potential: str, sha256: str, phases: Sequence[str], disorder: float, cases: Path = CASES,
    now: Callable[[str], Mapping[str, Any]] | None = None,
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """Shipped records of some phases and of their contacts with lithium, and what their studies say cautions about.

    Where several studies tell the same number, the one with the smallest relative error stands first.

    Args:
        potential, sha256: name and hash of the case's potential. phases: crystals. disorder: S/Cl disorder of the case; records
            of another disorder are left out. now: see `everything`.

    Raises:
        UserError: no records of this potential, of its present weights, or of a phase (at this disorder); a damaged file; of this
            potential what `everything` refuses.
    """
    shipped = _read_all(cases)
    own = [one for one in shipped if one.potential == potential]
    for one in own:
        _require_fresh(one, cases, now)
    if not own:
        known = ", ".join(sorted({one.potential for one in shipped if one.potential}))
        raise UserError(f"no records of potential {potential!r} are shipped; shipped: {known}; {MEND}")
    fresh = [one for one in own if one.potential_sha256 == sha256]
    if not fresh:
        made = own[0].potential_sha256[:12]
        raise UserError(f"the shipped records are of {potential!r} with hash {made}…, which now has {sha256[:12]}…; {MEND}")
    fitting = [record for one in fresh for record in one.records if _fits(record, disorder)]
    for phase in phases:
        if not any(record.material == phase for record in fitting):
            materials = sorted({record.material for one in fresh for record in one.records if "|" not in record.material})
            at = {float(record.conditions["disorder"]) for one in fresh for record in one.records
                  if record.material == phase and "disorder" in record.conditions}  # fmt: skip
            there = ", ".join(f"{share:g}" for share in sorted(at))
            told = f"{phase} with disorder {disorder:g} (there are: {there})" if phase in materials else phase
            raise UserError(f"no records of {told} are shipped; shipped: {', '.join(materials)}; {MEND}")
    wanted = {*phases, *(f"Li|{phase}" for phase in phases)}
    chosen = sorted((record for record in fitting if record.material in wanted), key=_relative_error)
    used = {str(record.source.get("study")) for record in chosen}
    others = {record.material for one in fresh for record in one.records} - wanted
    of_own, of_all = ([record for one in some for record in one.records] for some in (fresh, shipped))
    gaps = _gaps(of_own, of_all, chosen, phases, disorder, potential)
    return chosen, _notes(cases, used, wanted, others) + gaps


def _gaps(
    own: Sequence[Property], shipped: Sequence[Property], chosen: Sequence[Property], phases: Sequence[str], disorder: float,
    potential: str,
) -> list[str]:  # fmt: skip
    """Sentences for what is shipped of a phase at another disorder only, or by another potential or code only: there the
    material file's number is used.

    Args:
        own: every record of this potential. shipped: of all. chosen: what the case gets.
    """
    gaps = []
    for phase in phases:
        known, ever, have = ({record.quantity for record in some if record.material == phase} for some in (own, shipped, chosen))
        for lacking, where in ((known - have, f"at disorder {disorder:g}"), (ever - known, f"with {potential}")):
            if names := sorted(lacking & {*QUANTITIES}):
                gaps.append(f"{phase}: {', '.join(names)} are not shipped {where}; numbers of material files take their place")
    return gaps


def _relative_error(record: Property) -> float:
    """Standard error over value; infinite where none is stated."""
    return abs(record.stderr / record.value) if record.stderr is not None and record.value else math.inf


def _fits(record: Property, disorder: float) -> bool:
    stated = record.conditions.get("disorder")
    return stated is None or abs(float(stated) - disorder) < 1e-9


def _notes(cases: Path, studies: set[str], wanted: set[str], others: set[str]) -> list[str]:
    """What the studies could not give, each sentence once; those that name other materials alone are left out."""
    notes: list[str] = []
    for name in sorted(studies):
        held: dict[str, Any] = json.loads((cases / "_records" / f"{name}.json").read_text(encoding="utf-8"))
        notes += [str(note) for note in held.get("notes", [])]
    named = {note: set(re.findall(r"[\w|]+", note)) for note in notes}
    return [note for note, words in named.items() if words & wanted or not words & others]
