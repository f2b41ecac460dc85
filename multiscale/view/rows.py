"""What the page shows: rows of a sweep or of a folder of runs, told once in full and then by what has changed."""

import dataclasses
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from coupling.errors import UserError
from multiscale.progress import duration
from multiscale.sweeps import driver
from multiscale.sweeps.ledger import Status
from multiscale.sweeps.settings import load_sweep
from multiscale.sweeps.solve import WITH_ERROR_BAR
from multiscale.sweeps.table import Layout, layout

PACE = (0.5, 10.0)
"""Shortest pause between two looks at the disk, s; and how many times what a look takes it is at least."""
INTERRUPTED = "interrupted"
"""State of a design that was begun and is worked on by nobody."""


class Rows(Protocol):
    """What the page can show."""

    title: str

    def told(self, since: str) -> dict[str, Any]:
        """What has changed since a version ("" for everything), as plain values for JSON."""


def _columns(names: Sequence[str], rows: Sequence[Mapping[str, Any]], variables: Sequence[str]) -> list[dict[str, Any]]:
    """Names and kinds of the columns that hold anything."""
    found = []
    for name in names:
        values = [row[name] for row in rows if row[name] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        found.append({"name": name, "numeric": numeric, "variable": name in variables, "empty": not values})
    return found


class SweepRows:
    """The designs of a sweep as they lie in its store; nothing is written there. Safe for calls from several threads."""

    def __init__(self, case: Path, store: Path) -> None:
        """Read everything once. Raises UserError where the sweep cannot be read."""
        self.case, self.folder = case, store
        self._lock = threading.Lock()
        self._generation = 0
        self._problem = ""
        self._next_look = 0.0
        self._load()

    def _load(self) -> None:
        stamp = self._written()
        sweep = load_sweep(self.case)
        self.prepared = driver.look_at(sweep, self.folder)
        self._stamp = stamp  # only now: what could not be read is tried again
        self.title = sweep.settings.title
        self._layout: Layout = layout(sweep)
        self._places: dict[str, list[int]] = {}
        for place, row in enumerate(self.prepared.rows):
            self._places.setdefault(row["design"], []).append(place)
        self._statuses: dict[str, Status] = {name: self._status(name) for name in self._places}
        self._rows = [self._row(place) for place in range(len(self.prepared.rows))]
        self._changed = [0] * len(self._rows)
        self._version = 0
        self._generation += 1

    def _written(self) -> tuple[int, ...]:
        """When the files that decide which designs there are were last changed."""
        return tuple((self.case / name).stat().st_mtime_ns for name in ("case.toml", "sweep.toml"))

    def _status(self, name: str) -> Status:
        """What is known of a design; one that was begun and is held by nobody has been interrupted."""
        status = self.prepared.store.status(name)
        if status.state == "running" and not self.prepared.store.is_held(name):
            again = self.prepared.store.status(name)  # it may have been finished between the two looks
            lost = dataclasses.replace(again, state=INTERRUPTED)  # type: ignore[arg-type]  # a state that only the page knows
            return lost if again.state == "running" else again
        return status

    def _row(self, place: int) -> dict[str, Any]:
        point = self.prepared.rows[place]
        return self._layout.row(place, point, self._statuses[point["design"]])

    def _look(self) -> None:
        """Read what may have changed since the last look."""
        start = time.monotonic()
        if start < self._next_look:
            return
        try:
            if self._written() != self._stamp:
                self._load()
            self._problem = ""
        except (UserError, OSError) as error:
            self._problem = str(error)
        for name in [name for name, status in self._statuses.items() if status.state != "done"]:
            status = self._status(name)
            if status == self._statuses[name]:
                continue
            self._statuses[name] = status
            self._version += 1
            for place in self._places[name]:
                self._rows[place], self._changed[place] = self._row(place), self._version
        self._next_look = time.monotonic() + max(PACE[0], PACE[1] * (time.monotonic() - start))

    def told(self, since: str) -> dict[str, Any]:
        """See `Rows`."""
        with self._lock:
            self._look()
            told: dict[str, Any] = {
                "version": f"{self._generation}.{self._version}", "counts": self._counts(), "left": self._left(),
                "problem": self._problem,
            }  # fmt: skip
            generation, _, version = since.partition(".")
            names = [name for name in self._layout.columns if name != "fidelity"]
            if generation == str(self._generation) and version.isdigit():
                fresh = [place for place, changed in enumerate(self._changed) if changed > int(version)]
                return told | {"changed": [[place, [self._rows[place][name] for name in names]] for place in fresh]}
            columns = _columns(names, self._rows, list(self._layout.variables.values()))
            for column in columns:  # answers come in while one looks on
                column["numeric"] = column["numeric"] or (column["empty"] and column["name"] in self._numbers())
            return told | {
                "title": self.title, "columns": columns, "rows": [[row[name] for name in names] for row in self._rows],
                "x": next(iter(self._layout.variables.values())), "y": self._answer(), "key": "design",
                "reports": self._has_bar,
            }  # fmt: skip

    def _numbers(self) -> list[str]:
        """Columns that will hold numbers."""
        return [column for name, column in self._layout.answers.items() if name not in ("ccd_bound", "limited_by")]

    def _answer(self) -> str:
        """The column that is shown first."""
        return self._layout.answers[WITH_ERROR_BAR[0] if self._has_bar else "ccd_best_values"]

    @property
    def _has_bar(self) -> bool:
        """Whether designs have an error bar, and so a report."""
        return self.prepared.sweep.settings.fidelity not in ("screening", "best-values")

    def _counts(self) -> dict[str, int]:
        states = [str(status.state) for status in self._statuses.values()]
        return {state: states.count(state) for state in ("done", "failed", "running", INTERRUPTED, "waiting")}

    def _left(self) -> str:
        """Estimated time to the end, from the designs that are done and those that run; empty where it cannot be told."""
        finished = [status.wall_s for status in self._statuses.values() if status.state == "done" and status.wall_s > 0]
        running = sum(status.state == "running" for status in self._statuses.values())
        open_ = sum(not status.is_over for status in self._statuses.values())
        return f"about {duration(open_ * sum(finished) / len(finished) / running)} left" if finished and running else ""

    def design(self, name: str) -> tuple[Path, list[Mapping[str, Any]], Status] | None:
        """Folder, rows and status of a design; None where the sweep has none of that name."""
        with self._lock:
            if name not in self._places:
                return None
            return self.prepared.store.design(name), [self._rows[place] for place in self._places[name]], self._statuses[name]


RUN_COLUMNS = (
    "case", "kind", "title", "state", "ccd (mA/cm^2)", "ccd_low (mA/cm^2)", "ccd_high (mA/cm^2)", "mechanism", "asr (ohm cm^2)",
    "sweep",
)  # fmt: skip


class RunRows:
    """The cases of a folder and what their runs have found."""

    def __init__(self, folder: Path, cases: Mapping[str, Path], kinds: Mapping[str, str], results: Mapping[str, Path]) -> None:
        self.title = f"Cases in {folder}"
        self._cases, self._kinds, self._results = cases, kinds, results

    def told(self, since: str) -> dict[str, Any]:
        """See `Rows`; the few rows are always told in full where a file has changed."""
        stamps = [path.stat().st_mtime_ns if path.is_file() else 0 for path in self._summaries()]
        version = str(hash(tuple(stamps)))
        rows = [self._row(name) for name in self._cases]
        counts = {state: [row["state"] for row in rows].count(state) for state in ("done", "not run", "damaged")}
        told: dict[str, Any] = {"version": version, "counts": counts, "left": "", "problem": ""}
        if since == version:
            return told | {"changed": []}
        return told | {
            "title": self.title, "columns": _columns(RUN_COLUMNS, rows, ["case"]), "key": "case", "x": "case",
            "y": "ccd (mA/cm^2)", "rows": [[row[name] for name in RUN_COLUMNS] for row in rows],
        }  # fmt: skip

    def _summaries(self) -> list[Path]:
        return [self._results[name] / "summary.json" for name in self._cases]

    def _row(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
        folder, path = self._cases[name], self._results[name] / "summary.json"
        row |= {"case": name, "kind": self._kinds[name], "state": "not run"}
        row["sweep"] = "yes" if (folder / "sweep.toml").is_file() else None
        if not path.is_file():
            return row
        try:
            return row | _answers(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            return row | {"state": "damaged"}


def _answers(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a summary.json fills, whatever the kind of case."""
    ccd, asr = summary.get("ccd"), summary.get("asr_ohm_cm2")
    told = ccd if isinstance(ccd, Mapping) else {}
    found = {
        "state": "done", "title": summary.get("title"), "ccd (mA/cm^2)": told.get("value"), "ccd_low (mA/cm^2)": told.get("low"),
        "ccd_high (mA/cm^2)": told.get("high"), "mechanism": told.get("mechanism"),
        "asr (ohm cm^2)": asr.get("total") if isinstance(asr, Mapping) else asr,
    }  # fmt: skip
    return {name: value if isinstance(value, int | float | str) else None for name, value in found.items()}
