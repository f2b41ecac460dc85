"""What the runs of a study answered, and what their records share: conditions, source, one point of several runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from atomistic.brownian import ONE_SIDED_95
from atomistic.correlated import student
from atomistic.diffusivity import COUNTED, poisson_limit
from atomistic.scheduler import Task
from coupling import arrhenius
from coupling.errors import UserError
from coupling.record import TWO_SIDED_95

Answered = list[tuple[Task, Mapping[str, Any]]]
WORTH = 3
"""Counted events that a limit of a slope below twice its error is worth: (value/error)² is below 4 (`arrhenius.Point.hops`)."""


def conditions_of(task: Task, **more: Any) -> dict[str, Any]:
    """Conditions every record of a phase carries."""
    disorder = {"disorder": task.parameters["disorder"]} if "disorder" in task.parameters else {}
    return {**more, **disorder}


def combine(values: Sequence[Mapping[str, Any]], widening: float = 1.0) -> arrhenius.Point | None:
    """One point of runs set to the same temperature, None of no run.

    Each run gives `value`, `stderr`, `bound` and `temperature`, the mean kinetic one it really had.

    Where more than half of the runs give an estimate: `weighted`, the error times `widening`; fewer, near the least that can be
    told, are those that came out high. Else `upper_limit`.
    """
    if not values:
        return None
    temperature = float(np.mean([item["temperature"] for item in values]))
    known = [(item["value"], item["stderr"]) for item in values if item["bound"] is None]
    if 2 * len(known) <= len(values):
        seen = sum(item["hops"] for item in values) if _counted(values) else WORTH
        return arrhenius.Point(temperature, upper_limit(values), bound="upper", hops=seen)
    mean, error = weighted(known)
    return arrhenius.Point(temperature, mean, widening * error)


def upper_limit(values: Sequence[Mapping[str, Any]]) -> float:
    """Upper limit (95 %) of one coefficient, of runs with `value`, `stderr` (None: it is such a limit), `hops` and `reason`.

    Runs that know nothing but the hops they counted are one long run: U(Σ K)/Σ U(K)/value with the limit U of a Poisson mean. Of
    others, slopes below their errors and estimates (with 1.645 errors), the largest stands, which holds at least as often as one.
    """
    if _counted(values):
        exposure = sum(poisson_limit(item["hops"]) / item["value"] for item in values)
        return poisson_limit(sum(item["hops"] for item in values)) / exposure
    return max(_limit(item) for item in values)


def method(values: Sequence[Mapping[str, Any]]) -> str:
    """How the one point of several runs (as `combine`) came about: the reason of the run that stands for it."""
    known = [item for item in values if item["bound"] is None]
    if 2 * len(known) > len(values):
        return str(known[0]["reason"])
    if len(values) == 1:
        return str(values[0]["reason"])
    if _counted(values):
        return f"{len(values)} runs as one, of which the first: {values[0]['reason']}"
    return f"largest limit of {len(values)} runs: {max(values, key=_limit)['reason']}"


def _counted(values: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all are bounds that rest on counted hops alone."""
    return all(str(item.get("reason", "")).endswith(COUNTED) for item in values)


def _limit(value: Mapping[str, Any]) -> float:
    return float(value["value"] + ONE_SIDED_95 * (value["stderr"] or 0.0))


def weighted(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of (value, standard error) pairs weighted with the inverse squares of their relative errors, and its error.

    These errors grow with their values: weights of the errors themselves would favour the values that came out low.

    Raises:
        UserError: an error or a value of 0, of which there is no relative error: an error of 0 is none known, not certainty.
    """
    if lacking := [value for value, error in values if not (error > 0 and value)]:
        told = "0 is no standard error, and a value of 0 has no relative one; leave such a run out, or give its error"
        raise UserError(f"mean of {len(values)} runs: {lacking[0]:g} stands without a weight: {told}")
    weights = np.array([(value / error) ** 2 for value, error in values])
    mean = float(weights @ [value for value, _ in values] / weights.sum())
    return mean, mean * float(weights.sum() ** -0.5)


def widening(groups: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Factor, 1 or more, on the errors of means of runs that differ among each other by more than their own errors tell.

    Runs of a small cell remember how they began: ions on frozen disorder, or one arrangement for another. No run can tell that of
    itself; the runs of one condition that differ in their seed can. Their scatter about the means, over its expectation, of all
    conditions together (Birge, Phys. Rev. 40, 207 (1932)): sqrt(χ²/ν) times the half-width of Student's central 68.27 % for ν.

    Args:
        groups: of each condition, (value, standard error) of its runs. One run each tells nothing: 1.
    """
    ratio, freedom = _birge(groups)
    return max(1.0, ratio * student(freedom + 1)) if freedom else 1.0


def limits(
    value: float, stderr: float | None, groups: Sequence[Sequence[tuple[float, float]]]
) -> tuple[float, float] | tuple[None, None]:
    """The 95 % limits of a mean where its error (widened as `widening` tells) is no normal one's; else none.

    Two runs tell their own scatter so badly that 1.96 of the error hold 84 % where it is what counts: the limits are those of
    Student's distribution, of a log-normal value (`coupling.record.sample` draws through them).

    Args:
        value, stderr: of a mean of runs, None of a bound. groups: as in `widening`.
    """
    ratio, freedom = _birge(groups)
    if not stderr or value <= 0 or widening(groups) == 1.0:
        return None, None
    wider = max(ratio * float(stats.t.ppf(0.975, freedom)), TWO_SIDED_95) / widening(groups)
    factor = math.exp(wider * math.sqrt(math.log1p((stderr / value) ** 2)))
    return value / factor, value * factor


def _birge(groups: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, int]:
    """Scatter of runs about the means of their groups over that of their errors, sqrt(χ²/ν), and ν; (1, 0) of single runs."""
    chi_square, freedom = 0.0, 0
    for group in groups:
        if len(group) > 1:
            mean = weighted(group)[0]
            chi_square += sum(((value / mean - 1) * value / error) ** 2 for value, error in group)
            freedom += len(group) - 1
    return (math.sqrt(chi_square / freedom), freedom) if freedom else (1.0, 0)


def estimates(runs: Answered) -> list[tuple[float, float]]:
    """(value, standard error) of the runs that gave an estimate."""
    return [(answer["value"], answer["stderr"]) for _, answer in runs if answer["bound"] is None]


def run_source(runs: Answered) -> dict[str, Any]:
    """Seeds, atoms, picoseconds and hops of some runs."""
    return {
        "seeds": sorted({task.parameters["seed"] for task, _ in runs}),
        "dtype": runs[0][0].parameters["dtype"],
        "atoms": runs[0][1]["atoms"],
        "picoseconds": sum(answer["picoseconds"] for _, answer in runs),
        "temperatures_K": sorted({task.parameters["temperature"] for task, _ in runs}),
        "hops": sum(answer["hops"] for _, answer in runs),
        "keys": [task.key for task, _ in runs],
    }
