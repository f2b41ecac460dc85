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
from multiscale.sweeps import kept_table
from multiscale.sweeps.ledger import Status, Store

PACE = (0.5, 10.0)
"""Shortest pause between two looks at the disk, s; and how many times what a look takes it is at least."""
INTERRUPTED = "interrupted"
"""State of a design that was begun and is worked on by nobody."""


class Rows(Protocol):
    """What the page can show."""

    title: str

    def told(self, since: str) -> dict[str, Any]:
        """What has changed since a version ("" for everything), as plain values for JSON."""


def _columns(names: Sequence[str], cells: Mapping[str, Sequence[Any]], variables: Sequence[str]) -> list[dict[str, Any]]:
    """Names, kinds and values of the columns; one that holds the same value everywhere tells it once ("all")."""
    found = []
    for name in names:
        values = cells[name]
        kinds = set(map(type, values)) - {type(None)}
        numeric = bool(kinds) and kinds <= {int, float, bool}
        told: dict[str, Any] = {"name": name, "numeric": numeric, "variable": name in variables, "empty": not kinds}
        first = values[0] if values else None
        alike = all(value == first for value in values)
        found.append(told | ({"all": first} if alike else {"cells": list(values)}))
    return found


class SweepRows:
    """The designs of a sweep as they lie in its store; nothing is written there. Safe for calls from several threads.

    A sweep in which nothing is left to do is read from the one file that its last run left (`sweeps.kept_table`), as long as
    that holds; else everything is read.
    """

    def __init__(self, case: Path, store: Path) -> None:
        """Read everything once. Raises UserError where the sweep cannot be read."""
        self.case, self.store = case, Store(store)
        self._lock = threading.Lock()
        self._generation = 0
        self._problem = ""
        self._next_look = 0.0
        self._load()

    def _load(self) -> None:
        stamp = self._written()
        kept = kept_table.read(self.case, self.store.folder)
        self._cells: dict[str, list[Any]]
        if kept is None:
            self._load_all()
        else:
            self.title, self._fidelity, self._names = kept.title, kept.fidelity, kept.columns
            self._variables, self._answers = kept.variables, kept.answers
            self._cells = {name: list(values) for name, values in kept.cells.items()}
            self._statuses: dict[str, Status] | None = None
        self._kept = kept
        self._stamp = stamp  # only now: what could not be read is tried again
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(self._cells["design"]):
            self._places.setdefault(name, []).append(place)
        self._changed = [0] * len(self._cells["design"])
        self._version = 0
        self._generation += 1

    def _load_all(self) -> None:
        """Read the sweep and the status of every design. Raises UserError."""
        from multiscale.sweeps import driver
        from multiscale.sweeps.settings import load_sweep
        from multiscale.sweeps.table import layout

        sweep = load_sweep(self.case)
        prepared, found = driver.look_at(sweep, self.store.folder), layout(sweep)
        statuses = {name: self._status(name) for name in prepared.names}

        def row(place: int) -> dict[str, Any]:
            point = prepared.rows[place]
            return found.row(place, point, statuses[point["design"]])

        rows = [row(place) for place in range(len(prepared.rows))]
        self.title, self._fidelity, self._names = sweep.settings.title, sweep.settings.fidelity, found.columns
        self._variables, self._answers = tuple(found.variables.values()), found.answers
        self._cells = {name: [row[name] for row in rows] for name in found.columns}
        self._statuses, self._row = statuses, row

    def _written(self) -> tuple[int, ...]:
        """When the files that decide which designs there are were last changed."""
        return tuple((self.case / name).stat().st_mtime_ns for name in ("case.toml", "sweep.toml"))

    def _status(self, name: str) -> Status:
        """What is known of a design; one that was begun and is held by nobody has been interrupted."""
        status = self.store.status(name)
        if status.state == "running" and not self.store.is_held(name):
            again = self.store.status(name)  # it may have been finished between the two looks
            lost = dataclasses.replace(again, state=INTERRUPTED)  # type: ignore[arg-type]  # a state that only the page knows
            return lost if again.state == "running" else again
        return status

    def _look(self) -> None:
        """Read what may have changed since the last look."""
        start = time.monotonic()
        if start < self._next_look:
            return
        try:
            if self._written() != self._stamp or self._is_outdated():
                self._load()
            self._problem = ""
        except (UserError, OSError) as error:
            self._problem = str(error)
        statuses = self._statuses or {}
        for name in [name for name, status in statuses.items() if status.state != "done"]:
            status = self._status(name)
            if status == statuses[name]:
                continue
            statuses[name] = status
            self._version += 1
            for place in self._places[name]:
                self._changed[place] = self._version
                for column, value in self._row(place).items():
                    self._cells[column][place] = value
        self._next_look = time.monotonic() + max(PACE[0], PACE[1] * (time.monotonic() - start))

    def _is_outdated(self) -> bool:
        """Whether a failed design of a kept table is being tried again."""
        if self._kept is None:
            return False
        failed = {name for name, state in zip(self._cells["design"], self._cells["state"], strict=True) if state != "done"}
        kept, store = self._kept, self.store.folder
        return any(kept_table.changed(store, name, kept.files) != kept.written[name] for name in failed)

    def told(self, since: str) -> dict[str, Any]:
        """See `Rows`."""
        with self._lock:
            self._look()
            told: dict[str, Any] = {
                "version": f"{self._generation}.{self._version}", "counts": self._counts(), "left": self._left(),
                "problem": self._problem,
            }  # fmt: skip
            generation, _, version = since.partition(".")
            names = [name for name in self._names if name != "fidelity"]
            if generation == str(self._generation) and version.isdigit():
                fresh = [place for place, changed in enumerate(self._changed) if changed > int(version)]
                return told | {"changed": [[place, [self._cells[name][place] for name in names]] for place in fresh]}
            columns = _columns(names, self._cells, self._variables)
            for column in columns:  # answers come in while one looks on
                column["numeric"] = column["numeric"] or (column["empty"] and column["name"] in self._numbers())
            return told | {
                "title": self.title, "columns": columns, "rows": len(self._changed), "x": self._variables[0],
                "y": self._answer(), "key": "design", "reports": self._has_bar,
            }  # fmt: skip

    def _numbers(self) -> list[str]:
        """Columns that will hold numbers."""
        return [column for name, column in self._answers.items() if name not in ("ccd_bound", "limited_by")]

    def _answer(self) -> str:
        """The column that is shown first."""
        return self._answers["ccd" if self._has_bar else "ccd_best_values"]

    @property
    def _has_bar(self) -> bool:
        """Whether designs have an error bar, and so a report."""
        return self._fidelity not in ("screening", "best-values")

    def _counts(self) -> dict[str, int]:
        """Designs by state; a design may stand in several rows."""
        states = [str(self._cells["state"][places[0]]) for places in self._places.values()]
        return {state: states.count(state) for state in ("done", "failed", "running", INTERRUPTED, "waiting")}

    def _left(self) -> str:
        """Estimated time to the end, from the designs that are done and those that run; empty where it cannot be told."""
        statuses = (self._statuses or {}).values()
        finished = [status.wall_s for status in statuses if status.state == "done" and status.wall_s > 0]
        running = sum(status.state == "running" for status in statuses)
        open_ = sum(not status.is_over for status in statuses)
        return f"about {duration(open_ * sum(finished) / len(finished) / running)} left" if finished and running else ""

    def design(self, name: str) -> tuple[Path, list[Mapping[str, Any]], Status] | None:
        """Folder, rows and status of a design; None where the sweep has none of that name."""
        with self._lock:
            if name not in self._places:
                return None
            places = self._places[name]
            rows: list[Mapping[str, Any]] = [{column: self._cells[column][place] for column in self._names} for place in places]
            return self.store.design(name), rows, self._statuses[name] if self._statuses else self.store.status(name)


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
        cells = {name: [row[name] for row in rows] for name in RUN_COLUMNS}
        return told | {
            "title": self.title, "columns": _columns(RUN_COLUMNS, cells, ["case"]), "key": "case", "x": "case",
            "y": "ccd (mA/cm^2)", "rows": len(rows),
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
