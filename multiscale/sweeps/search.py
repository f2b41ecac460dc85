"""Design search with Optuna: each trial is a design of the same store, so nothing that a sweep or a search has done is repeated.

The study lives in a journal file beside the store: a killed search goes on with the trials it had asked for. Numeric variables
are searched between `from` and `to` (or the smallest and largest of `values`), others over their choices.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.errors import RunFailure, UserError
from coupling.store import digest
from coupling.units import registry
from multiscale.sweeps import drafts, driver
from multiscale.sweeps.designs import Point, is_allowed, quantity
from multiscale.sweeps.display import Display
from multiscale.sweeps.engines import Engine
from multiscale.sweeps.expressions import parse, violation
from multiscale.sweeps.keys import magnitude, written
from multiscale.sweeps.ledger import Status
from multiscale.sweeps.settings import Axis, Sweep
from multiscale.sweeps.solve import COLUMNS, WORDS
from multiscale.sweeps.table import cell_of, unit_of

FORBIDDEN_IN_A_ROW = 200
"""Trials in a row that constraints forbid before the search gives up."""


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        front: designs that no other improves in every objective: design, values, objectives.
        trials: every finished trial alike, with whether its limits are met.
        objectives: names with units, in order.
        goals: "maximize" or "minimize" of each.
    """

    front: Sequence[Mapping[str, Any]]
    trials: Sequence[Mapping[str, Any]]
    objectives: tuple[str, ...]
    goals: tuple[str, ...]
    failed: int


def import_optuna() -> Any:
    """The library, quiet. Raises UserError that says how to install it."""
    try:
        import optuna
    except ImportError:
        raise UserError("a search needs the package optuna; `pip install -e .[sweep]` installs it") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Search:
    """A study of a sweep's [search] table.

    Raises:
        UserError: the sweep has none, or Optuna is missing.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        if sweep.settings.search is None:
            raise UserError(f"{sweep.file.path}: no [search] table; add one with an [[search.objective]]")
        self._optuna = import_optuna()
        self.sweep, self.folder, self.wanted = sweep, folder, sweep.settings.search
        self._shelf = drafts.Shelf(sweep)
        self._violations: dict[int, tuple[float, ...]] = {}
        self._limits = [parse(text) for text in self.wanted.limits]
        folder.mkdir(parents=True, exist_ok=True)
        journal = self._optuna.storages.journal
        storage = journal.JournalStorage(journal.JournalFileBackend(str(folder / "search.journal")))
        self.study = self._optuna.create_study(
            storage=storage, study_name=f"search-{self._key()}", load_if_exists=True,
            directions=[objective.goal for objective in self.wanted.objective],
        )  # fmt: skip
        self.study.sampler = self._sampler()

    def _key(self) -> str:
        """Hash of what makes the study: another space, goal or case begins another one in the same journal."""
        axes = [axis.stated.model_dump(mode="json", by_alias=True) for axis in self.sweep.axes]
        _, records = driver.md_folder(self.sweep)
        wanted = self.wanted.model_dump(mode="json", exclude={"trials"})
        told = {"axes": axes, "search": wanted, "recipe": drafts.recipe(self.sweep, records), "case": self.sweep.case.digest,
                "fixed": self.sweep.fixed, "constraints": self.sweep.settings.constraints}  # fmt: skip
        return digest(json.loads(json.dumps(told, default=str)))

    def _sampler(self) -> Any:
        """A sampler that goes on with other random numbers after each resume."""
        wanted, samplers = self.wanted, self._optuna.samplers
        seed = wanted.seed + len(self.study.get_trials(deepcopy=False))
        limits = (lambda trial: self._violations.get(trial.number, (0.0,) * len(self._limits))) if self._limits else None
        if wanted.sampler == "tpe":
            return samplers.TPESampler(seed=seed, multivariate=True, constraints_func=limits)
        return samplers.NSGAIISampler(population_size=wanted.population, seed=seed, constraints_func=limits)

    def run(self, make_engine: Callable[[], Engine], slots: int, ranks: int, display: Display) -> None:
        """Trials until as many as wanted have been finished, a population at a time.

        Raises:
            RunFailure: constraints forbid nearly everything, or workers cannot be started.
        """
        states = self._optuna.trial.TrialState
        while (missing := self.wanted.trials - len(self._finished())) > 0:
            due = {trial.number: self._point(trial.params) for trial in self.study.get_trials(states=(states.RUNNING,))}
            due |= self._asked(min(missing, self.wanted.population) - len(due))
            prepared = driver.prepare(self.sweep, self.folder, list(due.values()), self._shelf)
            driver.complete(prepared, make_engine(), slots, ranks)
            for (number, point), row in zip(due.items(), prepared.rows, strict=True):
                self._tell(number, point, prepared.store.status(row["design"]))
            display.say(f"{len(self._finished())} of {self.wanted.trials} trials · {len(self.study.best_trials)} on the front")

    def _finished(self) -> list[Any]:
        """Trials that were computed, well or not."""
        states = self._optuna.trial.TrialState
        trials = self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.FAIL))
        return [trial for trial in trials if trial.state == states.COMPLETE or trial.user_attrs.get("computed")]

    def _asked(self, count: int) -> dict[int, Point]:
        """Points of new trials that the constraints allow and that make a possible case."""
        asked: dict[int, Point] = {}
        forbidden = 0
        while len(asked) < count:
            trial = self.study.ask(self._space())
            point = self._point(trial.params)
            if reason := self._forbids(point):
                trial.set_user_attr("forbidden", reason)
                self.study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
                forbidden += 1
                if forbidden > FORBIDDEN_IN_A_ROW:
                    raise RunFailure(f"{forbidden} points in a row are forbidden; the last: {reason}. Loosen the constraints")
                continue
            trial.set_user_attr("computed", True)
            asked[trial.number], forbidden = point, 0
        return asked

    def _forbids(self, point: Point) -> str:
        """Why a point cannot be computed, "" where it can."""
        if not is_allowed(self.sweep, point):
            return f"constraints ({point.label()})"
        try:
            driver.plan(self.sweep, [point], self._shelf)
        except UserError as error:
            return str(error)
        return ""

    def _space(self) -> dict[str, Any]:
        """Optuna's distribution of each variable."""
        made, kinds = {}, self._optuna.distributions
        for axis in self.sweep.axes:
            if not axis.is_numeric or axis.key is None:
                choices = axis.stated.values or [option.name for option in axis.stated.option or ()]
                made[axis.name] = kinds.CategoricalDistribution(list(choices))
                continue
            ends, log = _ends(axis), axis.stated.spacing == "log"
            whole = axis.key.kind == "whole"
            made[axis.name] = (kinds.IntDistribution if whole else kinds.FloatDistribution)(*ends, log=log)
        return made

    def _point(self, params: Mapping[str, Any]) -> Point:
        """The design of a trial's parameters."""
        values = {}
        for axis in self.sweep.axes:
            value = params[axis.name]
            values[axis.name] = written(axis.key, value, unit_of(axis)) if axis.is_numeric and axis.key else value
        return Point(values)

    def _tell(self, number: int, point: Point, status: Status) -> None:
        """Give the study what a design came to; a failed one, or one without a number, is a failed trial."""
        values = [_number(self.sweep, point, status, objective.of) for objective in self.wanted.objective]
        if status.state != "done" or any(value is None or not math.isfinite(value) for value in values):
            self.study.tell(number, state=self._optuna.trial.TrialState.FAIL)
            return
        self._violations[number] = violations(self.sweep, self._limits, point, status)
        self.study.tell(number, values)

    def found(self) -> Found:
        """The front and every finished trial."""
        states = self._optuna.trial.TrialState
        trials = self.study.get_trials(states=(states.COMPLETE,))
        units = {**COLUMNS, **{axis.name: unit_of(axis) for axis in self.sweep.axes}}
        names = tuple(objective.of for objective in self.wanted.objective)
        objectives = tuple(f"{name} ({units[name]})" if units[name] else name for name in names)
        best = {trial.number for trial in self.study.best_trials}
        points = [self._point(trial.params) for trial in trials]
        made = driver.plan(self.sweep, points, self._shelf) if points else []
        rows = [
            {"trial": trial.number, "design": one.hash, "values": dict(one.point.values), "front": trial.number in best,
             "objectives": dict(zip(objectives, trial.values, strict=True))}
            for trial, one in zip(trials, made, strict=True)
        ]  # fmt: skip
        unique = {row["design"]: row for row in rows if row["front"]}
        failed = len(self._finished()) - len(trials)
        goals = tuple(str(objective.goal) for objective in self.wanted.objective)
        return Found(list(unique.values()), rows, objectives, goals, failed)


def _ends(axis: Axis) -> tuple[float, float]:
    """Smallest and largest value of a numeric variable, in its column's unit."""
    assert axis.key is not None
    stated = axis.stated.values or (axis.stated.from_, axis.stated.to)
    numbers = [magnitude(axis.key, value, unit_of(axis)) for value in stated]
    return min(numbers), max(numbers)


def _number(sweep: Sweep, point: Point, status: Status, name: str) -> float | None:
    """An objective: an answer, or the value of a variable in its column's unit."""
    axis = next((axis for axis in sweep.axes if axis.name == name), None)
    return float(cell_of(axis, point.values[name])) if axis is not None else status.answers.get(name)


def violations(sweep: Sweep, limits: Sequence[Any], point: Point, status: Status) -> tuple[float, ...]:
    """How far each limit on the answers is from being met, ≤ 0 where it is; 1 where an answer is missing."""
    values: dict[str, Any] = {axis.name: quantity(axis.key, point.values[axis.name]) if axis.key else point.values[axis.name]
                              for axis in sweep.axes}  # fmt: skip
    for name, unit in COLUMNS.items():
        value = status.answers.get(name)
        if value is not None:
            values[name] = str(value) if name in WORDS else registry().Quantity(float(value), unit or "dimensionless")
    found = []
    for tree in limits:
        try:
            found.append(violation(tree, values))
        except ValueError:
            found.append(1.0)
    return tuple(found)
