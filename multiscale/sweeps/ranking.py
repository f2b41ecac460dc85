"""Which choice beats which, and with what confidence: errors of the records, microstructures and mesh together.

ln(CCD) of a choice A is an average over its settings s and its replicas r (microstructures). What is not known of it:

* inputs: draw i of distribution.json, "of_inputs", which holds neither the surrogate's error nor the mesh's ("samples", of runs
  by an earlier version or by a command of the user's own, hold the former too). The draws of an input are the same in every
  design (one stream an input), so the difference of two choices is taken draw by draw: what both share cancels, what only one
  has does not. How lithium moves in the flaw is such a shared draw;
* microstructure and surrogate: independent from replica to replica. With several replicas their size is read from the scatter of
  the replicas, pooled over all choices and settings (Student's t with the pooled degrees of freedom); with one, it is what the
  design itself states;
* mesh: the same in all replicas of a setting, so replicas do not reduce it; independent between designs.

Nothing is presumed of the choices themselves. Where all of them differ by less than their errors, confidences therefore come out
too high: measured once on choices that scatter by about as much as they are uncertain, 77 % told where 71 % were right.

P(A beats B) is the share of draws in which the difference, with the other two added at random, is positive; ties count half.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.errors import UserError
from multiscale.sweeps.driver import Prepared

SMALLEST = 1e-30
"""Critical currents of zero count as this, mA/cm²."""
DRAWS = 40_000
"""Random draws behind each confidence; its own error is at most 0.0025."""


@dataclass(frozen=True)
class Evidence:
    """One finished design.

    Attributes:
        logs: draws of ln(CCD) over the inputs, shape (n,), the same draws in the same order in every design.
        surrogate: standard deviation that surrogate and microstructure add.
        mesh: standard deviation that the mesh adds.
    """

    logs: np.ndarray
    surrogate: float
    mesh: float


Replicas = Sequence[Evidence]
Choices = Mapping[str, Sequence[Replicas]]
"""Choice → for each setting, in the same order in every choice, its replicas."""


@dataclass(frozen=True)
class Ranking:
    """Choices, the best first.

    Attributes:
        names: in order of their mean ln(CCD).
        medians: of CCD, averaged over settings and replicas (of ln), mA/cm².
        best: probability that a choice is the best of all.
        beats: beats[i, j]: probability that names[i] beats names[j], shape (n, n); ½ on the diagonal.
        settings, replicas: how many settings each was compared at, and the smallest number of replicas.
    """

    names: tuple[str, ...]
    medians: np.ndarray
    best: np.ndarray
    beats: np.ndarray
    settings: int
    replicas: int

    def as_rows(self) -> list[dict[str, Any]]:
        """JSON rows: name, median, probability of being the best, confidence against each other choice."""
        return [
            {"name": name, "ccd_median": float(self.medians[i]), "unit": "mA/cm^2", "probability_best": float(self.best[i]),
             "beats": {other: float(self.beats[i, j]) for j, other in enumerate(self.names) if j != i}}
            for i, name in enumerate(self.names)
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """'Li3N beats LiF with 94 %' for each neighbouring pair."""
        pairs = zip(range(len(self.names)), range(1, len(self.names)), strict=False)
        return [f"{self.names[i]} beats {self.names[j]} with {self.beats[i, j]:.0%}" for i, j in pairs]


def rank_evidence(choices: Choices, seed: int = 0, draws: int = DRAWS) -> Ranking:
    """The ranking of choices from their evidence.

    Raises:
        ValueError: fewer than two choices, or choices with unequal numbers of settings or draws.
    """
    names = list(choices)
    if len(names) < 2 or len({len(settings) for settings in choices.values()}) != 1:
        raise ValueError("a ranking needs at least two choices at the same settings")
    rng = np.random.default_rng(seed)
    scatter, degrees = _pooled_scatter(choices)
    drawn = np.array([_posterior(choices[name], scatter, degrees, rng, draws) for name in names])
    means = drawn.mean(axis=1)
    order = np.argsort(-means)
    drawn = drawn[order]
    difference = drawn[:, None] - drawn[None]
    beats = (difference > 0).mean(axis=2) + 0.5 * (difference == 0).mean(axis=2)
    top = drawn == drawn.max(axis=0)
    best = (top / top.sum(axis=0)).mean(axis=1)
    fewest = min(len(replicas) for settings in choices.values() for replicas in settings)
    medians = np.exp(np.median(drawn, axis=1))
    return Ranking(tuple(names[k] for k in order), medians, best, beats, len(choices[names[0]]), fewest)


def _pooled_scatter(choices: Choices) -> tuple[float, int]:
    """Standard deviation of ln(CCD) between replicas of one design, over all designs, and its degrees of freedom."""
    groups = [[float(np.mean(item.logs)) for item in replicas] for settings in choices.values() for replicas in settings]
    degrees = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    return (float(np.sqrt(squares / degrees)) if degrees else 0.0), degrees


def _posterior(
    settings: Sequence[Replicas], scatter: float, degrees: int, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Draws of the mean ln(CCD) of one choice over its settings, shape (draws,)."""
    total = np.zeros(draws)
    for replicas in settings:
        logs = np.mean([item.logs for item in replicas], axis=0)
        total += np.resize(logs, draws)  # draw i of every choice belongs together
        if len(replicas) > 1:
            total += scatter / np.sqrt(len(replicas)) * rng.standard_t(degrees, draws)
        else:
            total += replicas[0].surrogate * rng.standard_normal(draws)
        total += np.sqrt(np.mean([item.mesh**2 for item in replicas])) * rng.standard_normal(draws)
    return total / len(settings)


def rank(prepared: Prepared, by: str, seed: int = 0) -> Ranking:
    """The choices of a variable ranked over the other variables' settings at which all of them are done.

    Raises:
        UserError: no such variable, designs without error bar, or no setting that two choices share.
    """
    axis = prepared.sweep.axis(by)
    if prepared.sweep.settings.fidelity in ("screening", "best-values"):
        told = "its designs carry no error bar, so nothing can be ranked with confidence; write fidelity = \"initiation\""
        raise UserError(prepared.sweep.file.refusal(("fidelity",), told))
    if prepared.sweep.settings.fidelity == "propagation" and prepared.sweep.case.settings.uncertainty is None:
        told = "the case has no [uncertainty], so its designs answer with a bracket of one run; brackets are not ranked"
        raise UserError(prepared.sweep.file.refusal(("fidelity",), told))
    found: dict[str, dict[str, list[Evidence]]] = {}
    for row in prepared.rows:
        status = prepared.store.status(row["design"])
        if status.state == "done":
            values = dict(row["values"])
            choice = str(values.pop(axis.name))
            place = json.dumps(values, sort_keys=True)
            found.setdefault(choice, {}).setdefault(place, []).append(_evidence(prepared, row["design"], status.answers))
    shared = sorted(set.intersection(*(set(places) for places in found.values()))) if len(found) > 1 else []
    if not shared:
        mend = f"`multiscale sweep run {prepared.sweep.case.folder}` goes on"
        raise UserError(f"{by}: no two choices are done at the same settings yet; {mend}")
    lengths = {len(item.logs) for places in found.values() for place in shared for item in places[place]}
    if len(lengths) > 1:
        raise UserError(f"{by}: the designs have different numbers of samples; they cannot be compared draw by draw")
    return rank_evidence({choice: [places[place] for place in shared] for choice, places in found.items()}, seed)


def _evidence(prepared: Prepared, name: str, answers: Mapping[str, Any]) -> Evidence:
    """What a finished design says. Raises UserError where its distribution is missing."""
    from multiscale.compare import read_result

    told = read_result(prepared.store.design(name) / "results" / "distribution.json")
    logs = np.log(np.maximum(np.asarray(told.get("of_inputs") or told["samples"], dtype=float), SMALLEST))
    return Evidence(logs, float(answers.get("log_error_surrogate") or 0.0), float(answers.get("log_error_mesh") or 0.0))
