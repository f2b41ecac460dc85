"""What the inputs' errors do to a critical current: designed model runs, a surrogate, many samples, a split by origin.

Model runs are spread over the MPI ranks, kept one file each, and never repeated; everything after them is the same
arithmetic on any number of ranks. NumPy and SciPy alone.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coupling.atomic import write_json
from coupling.errors import RunFailure
from coupling.store import digest

MOST_FAILURES = 0.1
"""Share of failed model runs above which no answer is given; one failure among several is always allowed."""
LARGEST_LOGARITHM = 700.0
"""Logarithm beyond which a number no longer fits a double."""
SURROGATE, MESH, INTERACTIONS = "surrogate and microstructure", "mesh", "interactions"
"""Origins that the split adds to those of the inputs."""

SPLIT_ROWS = 16_384
"""Samples behind the split by origin."""
InputsOf = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
Bound = Literal["lower", "upper"] | None
Model = Callable[[Mapping[str, float], int], tuple[float, Bound]]
"""From inputs and the number of the run to (answer, which bound the answer is, None where it is a value)."""


@dataclass(frozen=True)
class Run:
    """One model run: its answer, which bound that is (None: a value), or why it failed (then `value` is NaN)."""

    value: float
    bound: Bound = None
    failure: str | None = None


@dataclass(frozen=True)
class Propagated:
    """The distribution of an answer.

    Attributes:
        samples: shape (n,), in the answer's unit.
        median, low, high: of the samples, the last two enclosing `level` of them.
        level: for example 0.9.
        bound_share: share of the samples at or beyond the largest value tried: there the answer is a lower bound.
        error_split: share of the variance of the logarithm by origin; the shares add up to one.
        surrogate_error: cross-validated error of the logarithm, part of the spread.
        runs, failures: model runs used and failed.
        logarithm: ln(answer) of leaves (m,) each, without the errors of surrogate and mesh.
    """

    samples: np.ndarray
    median: float
    low: float
    high: float
    level: float
    bound_share: float
    error_split: Mapping[str, float]
    surrogate_error: float
    runs: int
    failures: int
    logarithm: Callable[[Mapping[str, np.ndarray]], np.ndarray]


def design(inputs: Mapping[str, np.ndarray], count: int, seed: int) -> list[dict[str, float]]:
    """Points for the model runs: a scrambled Sobol sequence in the ranks of each input's samples.

    Args:
        inputs: samples of each input, each shape (n,).
        count: of points (best a power of two times a few).
        seed: of the scrambling.

    Returns:
        `count` points, name → value; inputs that do not vary keep their value.
    """
    names = list(inputs)
    from scipy.stats import qmc  # here: SciPy takes long to start, and looking at a finished sweep needs none of it

    sequence = qmc.Sobol(len(names), seed=np.random.default_rng(seed))
    ranks = sequence.random(2 ** int(np.ceil(np.log2(max(count, 2)))))[:count]
    return [{name: float(np.quantile(inputs[name], u[k])) for k, name in enumerate(names)} for u in ranks]


def run_all(
    points: Sequence[Mapping[str, float]],
    model: Model,
    folder: str | Path,
    key: Any,
    comm: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Run]:
    """Run the model at every point that has no kept result, spread over the ranks; kept failures are run again.

    Args:
        points: inputs of each run.
        model: the model; runs on one rank alone.
        folder: where each result is kept as one JSON file.
        key: JSON-ready description of everything else the answer depends on (versions, geometry).
        comm: mpi4py communicator; None runs all here.
        progress: called with (done here, due here) after each run.

    Returns:
        Results in the order of the points, the same on every rank.

    Raises:
        RunFailure: all runs, or more than one and more than a tenth of them, failed; the message tells the first reason.
    """
    rank, size = (comm.rank, comm.size) if comm is not None else (0, 1)
    files = [Path(folder) / f"{digest({'key': key, 'point': dict(p), 'run': k})}.json" for k, p in enumerate(points)]
    due = [k for k, path in enumerate(files) if (run := _kept(path)) is None or run.failure] if rank == 0 else None
    due = comm.bcast(due) if comm is not None else due
    assert due is not None
    mine = due[rank::size]
    for done, k in enumerate(mine, start=1):
        write_json(files[k], _attempt(model, points[k], k))
        if progress is not None:
            progress(done, len(mine))
    if comm is not None:
        comm.Barrier()
    found = [_kept(path) for path in files] if rank == 0 else None
    found = comm.bcast(found) if comm is not None else found
    assert found is not None
    runs = [run if run is not None else Run(float("nan"), failure="its file vanished") for run in found]
    failed = [run.failure for run in runs if run.failure]
    if len(failed) == len(runs) > 0 or len(failed) > max(1, MOST_FAILURES * len(runs)):
        raise RunFailure(
            f"{len(failed)} of {len(runs)} sampled model runs failed; the first: {failed[0]}. Mend that and run the same "
            "command again: only the failed runs are repeated"
        )
    return runs


def _attempt(model: Model, point: Mapping[str, float], number: int) -> dict[str, Any]:
    """One run as it is kept."""
    try:
        value, bound = model(point, number)
    except RunFailure as error:
        return {"failure": str(error), "inputs": dict(point)}
    return {"value": float(value), "bound": bound, "inputs": dict(point)}


def _kept(path: Path) -> Run | None:
    """A kept result, or None where there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "failure" in data:
            return Run(float("nan"), failure=data["failure"])
        bound = data["bound"]
        return Run(float(data["value"]), bound) if bound in ("lower", "upper", None) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def propagate(
    leaves: Mapping[str, np.ndarray], inputs_of: InputsOf, points: Sequence[Mapping[str, float]], runs: Sequence[Run],
    level: float, seed: int, correction: float = 1.0, mesh_error: float = 0.0, smallest: float = 0.0,
    largest: float = np.inf,
) -> Propagated:  # fmt: skip
    """Distribution of the answer from model runs at designed points.

    The surrogate of ln(answer) is evaluated at every sample; its cross-validated error and the mesh error are added as
    independent normal noise of the logarithm, so both widen the interval.

    Args:
        leaves: independent samples of every uncertain number, each shape (n,).
        inputs_of: from leaves to the inputs of the model, arrays to arrays.
        points: of `design`, inputs of the runs.
        runs: of `run_all` at the points; failed ones are left out.
        level: of the interval, between 0 and 1.
        seed: of the noise and of the split.
        correction: factor from the runs' coarse mesh to the reference solution.
        mesh_error: relative error that remains, added as noise.
        smallest: answers below it, zero included, count as it (a current too small to matter).
        largest: value beyond which the model gives only a lower bound.

    Raises:
        RunFailure: too few runs, or runs that gave no positive answer.
    """
    from multiscale.critical_current.surrogate import Scaling, fit

    inputs = inputs_of(leaves)
    names = [name for name in inputs if np.ptp(inputs[name]) > 0]
    good = [k for k, run in enumerate(runs) if run.failure is None]
    rows = np.column_stack([inputs[name] for name in names]) if names else np.zeros((1000, 1))
    table = np.array([[points[k][name] for name in names] for k in good]).reshape(len(good), -1)
    answers = np.maximum([runs[k].value for k in good], smallest)
    try:
        surrogate = fit(table if names else np.zeros((len(good), 1)), answers, Scaling.of(rows))
    except ValueError as error:
        raise RunFailure(f"no distribution of the critical current: {error} ({len(good)} runs)") from error
    rng = np.random.default_rng(seed)
    mean = surrogate.predict(rows)
    noise = np.hypot(surrogate.error, np.log1p(mesh_error))
    logs = mean + noise * rng.standard_normal(len(mean)) + np.log(correction)
    samples = np.clip(np.exp(np.minimum(logs, LARGEST_LOGARITHM)), smallest, largest)
    tail = (1 - level) / 2
    low, median, high = (float(q) for q in np.quantile(samples, [tail, 0.5, 1 - tail]))
    varying = {key: values for key, values in leaves.items() if np.ptp(values) > 0}

    def logarithm(mixed: Mapping[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(mixed.values())))
        found = inputs_of({key: mixed.get(key, np.full(count, values[0])) for key, values in leaves.items()})
        table = np.column_stack([np.broadcast_to(found[name], (count,)) for name in names]) if names else np.zeros((count, 1))
        return surrogate.predict(table) + math.log(correction)

    split = error_split(logarithm, varying, surrogate.error, mesh_error, rng)
    bound_share = float(np.mean(samples >= largest * (1 - 1e-9)))
    lost = len(runs) - len(good)
    return Propagated(samples, median, low, high, level, bound_share, split, surrogate.error, len(good), lost, logarithm)


def error_split(
    logarithm: Callable[[Mapping[str, np.ndarray]], np.ndarray], leaves: Mapping[str, np.ndarray], surrogate_error: float,
    mesh_error: float, rng: np.random.Generator, rows: int = SPLIT_ROWS,
) -> dict[str, float]:  # fmt: skip
    """Share of the variance of the logarithm by uncertain number: first-order Sobol indices.

    V_k = ⟨f(A) [f(B with k from A) − f(B)]⟩, A and B independent samples: exactly zero for a number without influence.
    What none explains alone is "interactions"; surrogate and mesh errors are independent and added to the variance.
    Source: Saltelli et al., Comput. Phys. Commun. 181, 259 (2010), table 2, estimator (b).

    Args:
        logarithm: f = ln(answer) of samples of the leaves, (m,) each → (m,).
        leaves: independent samples of every uncertain number, each shape (n,); they are drawn from again.
        surrogate_error: of the logarithm.
        mesh_error: relative.
        rng: for the samples A and B.
        rows: their number.

    Returns:
        Shares that add up to one, largest first.
    """
    parts = first_order(logarithm, leaves, rng, rows)
    parts[SURROGATE] = surrogate_error**2
    parts[MESH] = float(np.log1p(mesh_error)) ** 2
    return shares(parts)


def first_order(
    logarithm: Callable[[Mapping[str, np.ndarray]], np.ndarray], leaves: Mapping[str, np.ndarray], rng: np.random.Generator,
    rows: int = SPLIT_ROWS,
) -> dict[str, float]:  # fmt: skip
    """Parts of the variance of f by number, and what none explains alone as "interactions"; arguments as of `error_split`."""
    first, second = ({key: rng.choice(values, rows) for key, values in leaves.items()} for _ in range(2))
    parts: dict[str, float] = {}
    variance = 0.0
    if leaves:
        here, there = logarithm(first), logarithm(second)
        variance = float(np.concatenate([here, there]).var())
        centred = here - here.mean()
        for key in leaves:
            mixed = logarithm({**second, key: first[key]})
            parts[key] = max(float(np.mean(centred * (mixed - there))), 0.0)
    return parts | {INTERACTIONS: max(variance - sum(parts.values()), 0.0)}


def shares(parts: Mapping[str, float]) -> dict[str, float]:
    """Parts over their sum, largest first."""
    total = sum(parts.values())
    found = {origin: part / total if total > 0 else 0.0 for origin, part in parts.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))
