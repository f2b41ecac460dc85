"""Model runs of a cell over its ranges of inputs and test conditions, and the surrogate through which they are read.

The runs know no measurement: they are designed over the ranges of the material files and of the cell file. Each is kept as
one file named by the hash of all it depends on, so that a killed comparison goes on and a new measurement costs no run.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import write_json
from coupling.errors import RunFailure
from coupling.store import digest
from multiscale.comparison.cells import Cell
from multiscale.comparison.estimate import estimate
from multiscale.comparison.matching import PRESSURE, TEMPERATURE, inputs_of, survey_parameters, transfer_key
from multiscale.critical_current import sampling
from multiscale.critical_current.answer import SMALLEST_CURRENT, VERSION
from multiscale.critical_current.surrogate import Scaling, Surrogate, fit
from multiscale.parameters import draw, nominal
from multiscale.progress import Narrator

QUALITIES: Mapping[str, int] = {"rough": 16, "quick": 32, "standard": 128}
"""Points of the design of a cell's model runs, by quality, beside two runs at the best values (fine and coarse mesh).

The first points of each are those of the one before.
"""
LARGEST = 1e6
"""Current density up to which a critical current is sought, A/m²."""
Answers = tuple[float, float]
"""Critical current if lithium redistributes freely in the flaw, and if none moves, A/m²."""
Model = Callable[[Cell, Mapping[str, float], int, bool], Answers]
"""From a cell, its inputs, the seed of the microstructure and whether the mesh is fine to the two answers."""


@dataclass(frozen=True)
class Surveyed:
    """What the model runs of a cell say.

    Attributes:
        cell: the cell.
        names: inputs that the surrogates take, in their order.
        free: surrogate of the critical current with free redistribution, A/m², or of its ratio to `estimate`.
        by_estimate: whether it is the ratio, because that has the smaller cross-validated error.
        ratio: surrogate of free over stalled (at least 1).
        mesh_ratio: fine over coarse mesh at the best values.
        runs, failures: model runs used and failed.
        key: hash of what it depends on.
    """

    cell: Cell
    names: tuple[str, ...]
    free: Surrogate
    by_estimate: bool
    ratio: Surrogate
    mesh_ratio: float
    runs: int
    failures: int
    key: str


class InitiationRuns:
    """The initiation model on one rank. It keeps its meshes: cells that differ in materials alone share them."""

    def __init__(self) -> None:
        """Nothing is meshed yet."""
        self._shelf: Any = None

    def __call__(self, cell: Cell, inputs: Mapping[str, float], seed: int, fine: bool) -> Answers:
        """The critical currents of one run. Raises RunFailure."""
        from mpi4py import MPI

        from multiscale.critical_current.continuum import initiation_model
        from multiscale.critical_current.shelf import Shelf

        self._shelf = self._shelf or Shelf(models=1, meshes=2 * max(QUALITIES.values()))
        found = initiation_model(cell.case, inputs, seed, MPI.COMM_SELF, fine=fine, shelf=self._shelf)
        free = found.critical_current(LARGEST)
        stalled = found.stalled_critical_current(LARGEST, guess=free.current_density or None)
        return free.current_density, stalled.current_density


def survey(
    cell: Cell, quality: str, store: Path, comm: Any = None, narrator: Narrator | None = None, solve: Model | None = None
) -> Surveyed:
    """Run what is missing of the model runs of a cell and fit the surrogates; the same on every rank.

    Raises:
        RunFailure: too many runs failed; what is done is kept.
    """
    wanted = cell.case.settings.uncertainty
    leaves = draw(survey_parameters(cell), wanted.samples, wanted.seed)
    leaves |= {key: _with_ends(leaves[key], ends) for key, ends in _ends(cell).items()}
    inputs = inputs_of(cell, leaves, transfer_follows_temperature=False)
    best = _best(cell)
    points = [best, best, *sampling.design(inputs, QUALITIES[quality], wanted.seed)]
    answers = _run_all(cell, points, store / "runs", comm, narrator or Narrator(False), solve or InitiationRuns())
    names = tuple(name for name in inputs if np.ptp(inputs[name]) > 0)
    key = digest({
        "version": VERSION, "geometry": _geometry(cell), "points": points, "answers": [_plain(a) for a in answers],
    })  # fmt: skip
    return _fitted(cell, names, inputs, points, answers, key)


def _plain(answers: Answers | str) -> Any:
    return answers if isinstance(answers, str) else list(answers)


def _best(cell: Cell) -> dict[str, float]:
    """Inputs at the best value of every number."""
    leaves = {key: np.atleast_1d(value) for key, value in nominal(survey_parameters(cell)).items()}
    return {name: float(value[0]) for name, value in inputs_of(cell, leaves, transfer_follows_temperature=False).items()}


def _ends(cell: Cell) -> dict[str, tuple[float, float]]:
    chosen = cell.settings.survey
    return {
        TEMPERATURE: chosen.temperature, PRESSURE: chosen.stack_pressure, transfer_key(cell): chosen.exchange_current_density,
    }  # fmt: skip


def _with_ends(samples: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Samples of which the first two are the ends of the range, so that the surrogate's scales know them (a pressure of zero)."""
    return np.concatenate([ends, samples[2:]])


def _geometry(cell: Cell) -> dict[str, Any]:
    """What decides a run beside its inputs."""
    settings = cell.case.settings
    return settings.geometry.model_dump(mode="json") | {"creep": settings.physics.lithium_creep, "largest": LARGEST}


def _run_all(
    cell: Cell, points: Sequence[Mapping[str, float]], folder: Path, comm: Any, narrator: Narrator, solve: Model
) -> list[Answers | str]:
    """Answers at every point, or why it failed; run 0 is the fine mesh. Kept failures are tried again, once a call."""
    rank, size = (comm.rank, comm.size) if comm is not None else (0, 1)
    geometry = cell.case.settings.geometry
    kinds = cell.case.settings.uncertainty.microstructures
    seeds = [geometry.seed + (max(k - 1, 0) % kinds) for k in range(len(points))]
    common = {"version": VERSION, "geometry": _geometry(cell)}
    files = [
        folder / f"{digest({**common, 'point': dict(point), 'seed': seed, 'fine': k == 0})}.json"
        for k, (point, seed) in enumerate(zip(points, seeds, strict=True))
    ]  # fmt: skip
    due = [k for k, path in enumerate(files) if not isinstance(_kept(path), tuple)] if rank == 0 else None
    due = comm.bcast(due) if comm is not None else due
    assert due is not None
    mine = due[rank::size]
    with narrator.watch("model") as update:
        for done, k in enumerate(mine, start=1):
            write_json(files[k], _attempt(solve, cell, points[k], seeds[k], k == 0))
            update(f"{cell.name}: runs on this rank", done / len(mine))
    if comm is not None:
        comm.Barrier()
    found = [_kept(path) or "its file vanished" for path in files] if rank == 0 else None
    found = comm.bcast(found) if comm is not None else found
    assert found is not None
    return found


def _attempt(solve: Model, cell: Cell, point: Mapping[str, float], seed: int, fine: bool) -> dict[str, Any]:
    try:
        free, stalled = solve(cell, point, seed, fine)
    except RunFailure as error:
        return {"failure": str(error), "inputs": dict(point)}
    told = {"unit": "A/m^2", "cell": cell.name, "seed": seed, "inputs": dict(point)}
    return {"free": float(free), "stalled": float(stalled)} | told


def _kept(path: Path) -> Answers | str | None:
    """A kept run: its answers, why it failed, or None where there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "failure" in data:
            return str(data["failure"])
        return float(data["free"]), float(data["stalled"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fitted(
    cell: Cell, names: tuple[str, ...], inputs: Mapping[str, np.ndarray], points: Sequence[Mapping[str, float]],
    answers: Sequence[Answers | str], key: str,
) -> Surveyed:  # fmt: skip
    """Surrogates of what did not fail. Raises RunFailure."""
    for place, name in enumerate(("fine", "coarse")):
        if isinstance(answers[place], str):
            raise RunFailure(f"{cell.name}: the run at the best values failed on the {name} mesh: {answers[place]}")
    failed = [answer for answer in answers if isinstance(answer, str)]
    if len(failed) > max(1, sampling.MOST_FAILURES * len(answers)):
        mend = "mend that and run the same command again: only the failed runs are repeated"
        raise RunFailure(f"{cell.name}: {len(failed)} of {len(answers)} model runs failed; the first: {failed[0]}. {mend}")
    good = [(point, answer) for point, answer in zip(points[1:], answers[1:], strict=True) if not isinstance(answer, str)]
    table = np.array([[point[name] for name in names] for point, _ in good])
    free = np.maximum([answer[0] for _, answer in good], SMALLEST_CURRENT)
    stalled = np.clip([answer[1] for _, answer in good], SMALLEST_CURRENT, free)
    scaling = Scaling.of(np.column_stack([inputs[name] for name in names]))
    fine, coarse = (max(float(answers[place][0]), SMALLEST_CURRENT) for place in (0, 1))
    columns = {name: np.array([point[name] for point, _ in good]) for name in good[0][0]}
    try:
        plain, scaled = fit(table, free, scaling), fit(table, free / estimate(cell, columns), scaling)
        ratio = fit(table, free / stalled, scaling)
    except ValueError as error:
        raise RunFailure(f"{cell.name}: no surrogate: {error} ({len(good)} runs)") from error
    better = scaled.error < plain.error
    return Surveyed(cell, names, scaled if better else plain, better, ratio, fine / coarse, len(good), len(failed), key)


def logarithms(
    surveyed: Surveyed, inputs: Mapping[str, np.ndarray], shares: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Logarithm of the critical current (A/m²) at inputs (n,), `shares` (n,) of the way from free redistribution to none.

    With `rng`, the surrogate's error of the distance between the two closures is drawn (never below zero) as well.
    """
    rows = np.column_stack([inputs[name] for name in surveyed.names])
    drawn = surveyed.ratio.error * rng.standard_normal(len(rows)) if rng else 0.0
    gap = np.maximum(surveyed.ratio.predict(rows) + drawn, 0.0)
    start = np.log(estimate(surveyed.cell, inputs)) if surveyed.by_estimate else 0.0
    return surveyed.free.predict(rows) + start + math.log(surveyed.mesh_ratio) - shares * gap
