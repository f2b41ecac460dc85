"""The product in a notebook or a script: load a case, change keys, run, read the answer, draw it.

    from multiscale import api

    case = api.load("cases/li-lpscl")
    deeper = case.change({"geometry.flaw.depth": "1.4 um"})
    answer = deeper.run(md=False)
    print(answer.ccd)
    answer.plot("ccd").save("ccd.png")

Nothing is computed here: reading, checks and stages are those of `multiscale check` and `multiscale run`. Under mpirun every rank
makes the same calls.
"""

import copy
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.library import read_material
from coupling.record import Property
from coupling.store import digest, read_records
from coupling.toml_input import read
from multiscale import case_writing, parallel
from multiscale.case import Case as CriticalCase
from multiscale.conduction.case import ConductionCase
from multiscale.kinds import AnyCase, load_any, run_any, validate_any
from multiscale.memristor.case import MemristorCase
from multiscale.propagation.case import PropagationCase
from multiscale.tip_trigger.case import TipCase
from multiscale.transport_cases.case import TransportCase

PICTURES = ("ccd", "current", "potential", "diffusivity")
"""What `Answer.plot` draws."""


def load(folder: str | Path) -> "NotebookCase":
    """Read and check a case folder of any kind. Raises UserError as `multiscale check` does."""
    source = Path(folder)
    checked = load_any(source)
    return NotebookCase(source, read(source / "case.toml").data, checked)


@dataclass(frozen=True)
class NotebookCase:
    """A case in memory, checked; the folder it was read from is never written to, except by `run` of an unchanged case.

    Attributes:
        source: folder it was read from.
        data: what its case.toml says, with the changes.
        checked: the case after all checks; `checked.settings` holds every value in SI units.
        materials: material files added by `with_material`.
        is_changed: whether anything differs from the folder.
    """

    source: Path
    data: dict[str, Any]
    checked: AnyCase
    materials: tuple[Path, ...] = ()
    is_changed: bool = False

    @property
    def name(self) -> str:
        """Name of the folder it was read from."""
        return self.source.resolve().name

    @property
    def settings(self) -> Any:
        """Every value of case.toml, checked, in SI units: `case.settings.geometry.width`."""
        return self.checked.settings

    def change(self, changes: Mapping[str, Any]) -> "NotebookCase":
        """A new case in which keys have other values; this one stays as it is.

        Args:
            changes: value by dotted key, as it would stand in case.toml ("geometry.flaw.depth": "0.4 um"); entries of a list
                of tables by number ("protocol.step.0.until.time"), needed only where there are several; None removes a key.

        Raises:
            UserError: an unknown key, a wrong unit or value, values that do not fit together; the message names the key.
        """
        data = copy.deepcopy(self.data)
        for key, value in changes.items():
            case_writing.set_key(data, key, value)
        return self._checked(replace(self, data=data, is_changed=True))

    def with_material(self, file: str | Path) -> "NotebookCase":
        """A new case that also knows the material of a file; it goes before a shipped one of the same name.

        Raises:
            UserError: the file is missing or wrong, or is not called as its material.
        """
        path = Path(file)
        material = read_material(path)
        if path.stem != material.name:
            raise UserError(f'{path}:1: name: read "{material.name}"; it must be the file\'s own name, "{path.stem}"')
        kept = tuple(other for other in self.materials if other.name != path.name)
        return self._checked(replace(self, materials=(*kept, path.resolve()), is_changed=True))

    def _checked(self, changed: "NotebookCase") -> "NotebookCase":
        with case_writing.draft(changed) as folder:
            return replace(changed, checked=load_any(folder))

    def check(self, md: bool = True) -> list[dict[str, Any]]:
        """Every parameter the continuum would use: rows with key, value, unit, stderr, bound, kind, source, losers; SI units.

        Raises:
            UserError: a number is not known, or the cell cannot be drawn.
        """
        from multiscale.tables import parameter_rows

        with case_writing.draft(self) as folder:
            case = load_any(folder)
            validate_any(case, md)
            return parameter_rows(_parameters(case, self.source / "results"))

    def write(self, folder: str | Path) -> Path:
        """Write the case as a folder of its own, with every material file it uses; `mpirun -n 4 multiscale run FOLDER` runs it.

        Raises:
            UserError: the folder holds another case or other files, or cannot be made.
        """
        comm, target = parallel.world(), Path(folder)
        failure = None
        if comm.rank == 0:
            try:
                case_writing.write(self, target)
            except UserError as error:
                failure = str(error)
        if (told := comm.bcast(failure)) is not None:
            raise UserError(told)
        return target

    def run(self, folder: str | Path | None = None, md: bool = True) -> "Answer":
        """Compute what the case still needs and give its answer; goes on where an earlier run stopped.

        Args:
            folder: case folder to write and run [default: the folder it was read from where nothing is changed, else
                ./runs/NAME-HASH, a folder for each state of the case].
            md: whether molecular dynamics may run; without, the numbers come from the material files alone.

        Raises:
            UserError: the case cannot be run as it is, or another run is at work in the folder.
            RunFailure: a stage could not be finished; the same call goes on from what is kept.
        """
        if folder is None and not self.is_changed:
            home = self.source
        else:
            home = self.write(folder if folder is not None else Path("runs") / f"{self.name}-{self._hash()}")
            _take_over_md(self.source, home)
        summary = run_any(load_any(home), home / "results", parallel.world(), with_md=md)
        return Answer(home / "results", summary)

    def answer(self) -> "Answer":
        """The answer of an earlier `multiscale run` of this folder.

        Raises:
            UserError: there is none, it belongs to another state of the case, or the case is changed in memory.
        """
        if self.is_changed:
            raise UserError(f"{self.name} is changed: run() computes its answer, or gives the one that is there already")
        found = read_answer(self.source / "results")
        if found.summary.get("hashes", {}).get("case") != self.checked.digest:
            told = "case.toml or a material file has changed since these results were computed; run() again"
            raise UserError(f"{self.source}: {told}")
        return found

    def _hash(self) -> str:
        files = {path.name: path.read_text(encoding="utf-8") for path in case_writing.material_files(self)}
        return digest({"case": self.data, "materials": files})[:10]


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure that a notebook shows by itself.

    Attributes:
        figure: `matplotlib.figure.Figure`, to be changed at will.
    """

    figure: Any

    def save(self, path: str | Path) -> Path:
        """Write a PNG, SVG or PDF file (the name decides)."""
        from multiscale.reporting.figures import write_figure

        write_figure(self.figure, Path(path))
        return Path(path)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png", dpi=80, facecolor="white")
        return stream.getvalue()


@dataclass(frozen=True)
class Answer:
    """What a run found.

    Attributes:
        results: folder that holds it.
        summary: summary.json.
    """

    results: Path
    summary: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(_told(self.summary))

    def __repr__(self) -> str:
        return f"Answer({str(self.results)!r})\n{self}"

    @property
    def ccd(self) -> dict[str, Any]:
        """Critical current density: value, low, high, level, unit, mechanism, bound. Raises UserError for other kinds of case."""
        if "ccd" not in self.summary:
            kind = self.summary.get("kind", "this")
            raise UserError(f"a {kind} case has no critical current; summary has: {', '.join(self.summary)}")
        return dict(self.summary["ccd"])

    @property
    def error_split(self) -> dict[str, float]:
        """Share of the error bar's variance by origin, largest first; empty where the case has no error bar."""
        return dict(self.summary.get("error_split") or {})

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """Every input that was used, with error, kind and source, and those that lost; SI units."""
        from multiscale.compare import read_result

        rows: list[dict[str, Any]] = read_result(self.results / "parameters.json")["parameters"]
        return rows

    @property
    def records(self) -> list[Property]:
        """Property records of molecular dynamics; empty where none ran."""
        path = self.results / "atomistic" / "records.json"
        return read_records(path) if self.summary.get("md") and path.is_file() else []

    @property
    def samples(self) -> np.ndarray:
        """Draws of the critical current density behind the error bar, mA/cm². Raises UserError where there are none."""
        from multiscale.compare import read_result

        return np.asarray(read_result(self.results / "distribution.json")["samples"], dtype=float)

    @property
    def fields(self) -> Any:
        """Steady fields on the triangles of a plane cell (SI, `multiscale.reporting.field_maps.CurrentMap`); of the last step.

        Raises:
            UserError: the run wrote none.
        """
        from multiscale.reporting.field_maps import read_current_map

        steps = sorted(self.results.glob("steps/*/current_map.npz"), key=lambda path: path.stat().st_mtime)
        for path in (self.results / "current_map.npz", *reversed(steps)):
            if path.is_file():
                return read_current_map(path)
        there = ", ".join(path.name for path in sorted(self.results.rglob("*.bp"))) or "none"
        raise UserError(f"{self.results}: no map of a plane cell; fields for ParaView: {there}")

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Columns of a CSV file of the results ("time_series", "history", "profiles" …). Raises UserError where there is none."""
        from multiscale.transport_cases.report import read_csv

        path = self.results / f"{name.removesuffix('.csv')}.csv"
        if not path.is_file():
            there = ", ".join(sorted(found.stem for found in self.results.glob("*.csv"))) or "none"
            raise UserError(f'no table "{name}"; tables of this run: {there}')
        return {column: np.asarray(values) for column, values in read_csv(path).items()}

    def plot(self, what: str | None = None) -> Picture:
        """Draw "ccd" (distribution), "current", "potential" (maps of the cell) or "diffusivity" (Arrhenius, after MD).

        Args:
            what: which picture [default: "ccd" where the run has an error bar, else "current"].

        Raises:
            UserError: an unknown name, or the run has no such result.
        """
        chosen = what or ("ccd" if (self.results / "distribution.json").is_file() else "current")
        if chosen not in PICTURES:
            raise UserError(f'read "{chosen}"; pictures: {", ".join(PICTURES)}')
        return Picture(_draw(self, chosen))

    def report(self) -> Path:
        """Path of the self-contained report.html that the run wrote. Raises UserError where this kind of case writes none."""
        path = self.results / "report.html"
        if not path.is_file():
            raise UserError(f"{path}: this kind of case writes no report; pictures: {self._pictures() or 'none'}")
        return path

    def _pictures(self) -> str:
        return ", ".join(str(path) for path in sorted(self.results.glob("*.png")))


def read_answer(results: str | Path) -> Answer:
    """The answer in a results folder, or in the `results` of a case folder. Raises UserError where there is none."""
    from multiscale.compare import read_result

    folder = Path(results)
    if (folder / "case.toml").is_file():
        folder = folder / "results"
    path = folder / "summary.json"
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run() or `multiscale run CASE` makes it")
    return Answer(folder, read_result(path))


def _draw(answer: Answer, what: str) -> Any:
    from multiscale.reporting import field_maps, figures

    if what == "ccd":
        return figures.ccd_distribution(list(answer.samples), answer.ccd, [], {}, figures.PRINT)
    if what == "diffusivity":
        from multiscale.compare import read_result

        if not answer.records:
            raise UserError("this run used no molecular dynamics, so there are no diffusivities to draw")
        return figures.arrhenius(read_result(answer.results / "atomistic" / "arrhenius.json"), figures.PRINT)
    draw = field_maps.current_map if what == "current" else field_maps.potential_map
    return draw(answer.fields, figures.PRINT)


def _told(summary: Mapping[str, Any]) -> Sequence[str]:
    """The answer for people, by kind of case."""
    kind = summary.get("kind")
    if kind == "conduction":
        from multiscale.conduction.run import answer_lines as told_conduction

        return told_conduction(dict(summary))
    if kind == "transport":
        from multiscale.transport_cases.run import answer_lines as told_transport

        return told_transport(dict(summary))
    if kind == "propagation":
        from multiscale.propagation.answer import answer_lines as told_propagation

        return told_propagation(dict(summary))
    if kind == "tip":
        from multiscale.tip_trigger.run import answer_lines as told_tip

        return told_tip(dict(summary))
    if kind == "memristor":
        from multiscale.memristor.run import answer_lines as told_memristor

        return told_memristor(dict(summary))
    from multiscale.tables import answer_lines

    return answer_lines(summary).splitlines()


def _parameters(case: AnyCase, results: Path) -> Any:
    if isinstance(case, ConductionCase):
        from multiscale.conduction.case import parameters

        return parameters(case)[0]
    if isinstance(case, PropagationCase):
        from multiscale.propagation.inputs import resolve as resolve_propagation

        return resolve_propagation(case).parameters
    if isinstance(case, TipCase):
        from multiscale.tip_trigger.case import resolve as resolve_tip

        return resolve_tip(case).parameters
    if isinstance(case, MemristorCase):
        from multiscale.memristor.case import resolve as resolve_memristor

        return resolve_memristor(case).parameters
    if isinstance(case, TransportCase):
        from multiscale.transport_cases.inputs import resolve as resolve_transport

        return resolve_transport(case).parameters
    from multiscale.parameters import resolve
    from multiscale.pipeline import stored_records

    return resolve(case, stored_records(case, results)[0])


def _take_over_md(source: Path, home: Path) -> None:
    """Copy the finished molecular dynamics of the source folder where the changed case asks for the same."""
    from multiscale.pipeline import stored_records

    case, target = load_any(home), home / "results" / "atomistic"
    mine = isinstance(case, CriticalCase) and parallel.rank() == 0 and not target.exists()
    if isinstance(case, CriticalCase) and mine and stored_records(case, source / "results")[0]:
        shutil.copytree(source / "results" / "atomistic", target)
    parallel.world().barrier()
