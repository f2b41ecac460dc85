"""What the runs of a study answered, and what their records share: conditions, source, one point of several runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atomistic.scheduler import Task
from coupling import arrhenius

Answered = list[tuple[Task, Mapping[str, Any]]]


def conditions_of(task: Task, **more: Any) -> dict[str, Any]:
    """Conditions every record of a phase carries."""
    disorder = {"disorder": task.parameters["disorder"]} if "disorder" in task.parameters else {}
    return {**more, **disorder}


def combine(values: Sequence[Mapping[str, Any]]) -> arrhenius.Point | None:
    """One point of runs set to the same temperature, None of no run.

    Each run gives `value`, `stderr`, `bound` and `temperature`, the mean kinetic one it really had.

    Estimates: mean weighted with 1/stderr², error the larger of that of the weights and that of the scatter. Bounds
    beside an estimate are dropped; of bounds alone the exposures add, so that 1/bound adds.
    """
    if not values:
        return None
    temperature = float(np.mean([item["temperature"] for item in values]))
    known = [item for item in values if item["bound"] is None]
    if not known:
        return arrhenius.Point(temperature, 1.0 / sum(1.0 / item["value"] for item in values), bound="upper")
    value = np.array([item["value"] for item in known])
    weight = 1.0 / np.array([item["stderr"] for item in known]) ** 2
    mean = float(np.sum(weight * value) / weight.sum())
    inner = 1.0 / math.sqrt(weight.sum())
    outer = math.sqrt(float(np.sum(weight * (value - mean) ** 2)) / (len(known) - 1) / weight.sum()) if len(known) > 1 else 0.0
    return arrhenius.Point(temperature, mean, max(inner, outer))


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
