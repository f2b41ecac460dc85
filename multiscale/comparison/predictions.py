"""The predicted critical current of each measurement with its interval, kept under a hash of what it depends on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import write_json
from coupling.store import digest
from multiscale.comparison.matching import SURFACE, Match, inputs_of
from multiscale.comparison.survey import LARGEST, Surveyed, logarithms
from multiscale.critical_current.answer import CLOSURE, SMALLEST_CURRENT
from multiscale.critical_current.sampling import error_split
from multiscale.parameters import draw, nominal

FORMAT = 6
"""Raised whenever a change of the code changes a prediction."""
SPLIT_ROWS = 4096
"""Samples behind the split of the error by origin."""
MIDWAY = 0.5
"""Between the two closures of lithium in the flaw: where the prediction at best values is taken."""
SCALE = 0.1
"""From A/m² to mA/cm²."""


@dataclass(frozen=True)
class Prediction:
    """A predicted critical current density, mA/cm².

    Attributes:
        median, low, high: of the samples, the last two enclosing `level` of them. Ranges are drawn log-uniformly
            (`coupling.record.sample`), so that the median need not be the prediction at the declared values.
        best: at the declared value of every input, lithium in the flaw midway between the two closures.
        level: for example 0.9.
        log_mean, log_deviation: of ln(samples in mA/cm²).
        bound: "lower" where the upper end lies at the largest current tried, else None.
        error_split: share of the variance of the logarithm by origin.
        key: hash of what it depends on.
    """

    median: float
    low: float
    high: float
    level: float
    log_mean: float
    log_deviation: float
    bound: str | None
    error_split: Mapping[str, float]
    key: str
    best: float


def prediction_key(found: Match, surveyed_key: str) -> str:
    """Hash of what a prediction depends on: the model runs and every input with its range and source."""
    wanted = found.cell.case.settings.uncertainty
    inputs = {key: parameter.used.to_dict() for key, parameter in found.parameters.items()}
    return digest({
        "format": FORMAT, "runs": surveyed_key, "inputs": inputs, "transfer": found.transfer_follows_temperature,
        "level": wanted.level, "samples": wanted.samples, "seed": wanted.seed,
    })  # fmt: skip


def predict(found: Match, surveyed: Surveyed, store: Path | None = None) -> Prediction:
    """The prediction of a match from the model runs of its cell; read from the store where it is kept there already."""
    key = prediction_key(found, surveyed.key)
    return keep(found.cell.name, key, store, lambda: _predicted(found, surveyed, key))


def keep(cell: str, key: str, store: Path | None, make: Callable[[], Prediction]) -> Prediction:
    """A prediction from the store, else made and kept there under its key."""
    path = store / "predictions" / f"{key}.json" if store else None
    kept = _kept(path) if path else None
    if kept is not None:
        return kept
    made = make()
    if path:
        write_json(path, {"prediction": asdict(made), "unit": "mA/cm^2", "cell": cell})
    return made


def _kept(path: Path) -> Prediction | None:
    try:
        return Prediction(**json.loads(path.read_text(encoding="utf-8"))["prediction"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _predicted(found: Match, surveyed: Surveyed, key: str) -> Prediction:
    """Every input drawn from its range, through the surrogates; their error, mesh and closure widen the interval.

    A current that spreads over more than the geometric area (`SURFACE`) is that many times larger when told for the latter.
    """
    wanted, cell = found.cell.case.settings.uncertainty, found.cell
    leaves: dict[str, np.ndarray] = draw(found.parameters, wanted.samples, wanted.seed)
    rng = np.random.default_rng([wanted.seed, 2])
    leaves[CLOSURE] = rng.uniform(0.0, 1.0, wanted.samples)
    mesh_error = abs(surveyed.mesh_ratio - 1.0)
    noise = float(np.hypot(surveyed.free.error, np.log1p(mesh_error)))

    def logarithm(mixed: Mapping[str, np.ndarray], closure: np.random.Generator | None = None) -> np.ndarray:
        count = len(next(iter(mixed.values())))
        full = {name: mixed.get(name, np.full(count, values[0])) for name, values in leaves.items()}
        shares, surface = full.pop(CLOSURE), full.pop(SURFACE, 1.0)
        inputs = inputs_of(cell, full, found.transfer_follows_temperature)
        return logarithms(surveyed, inputs, shares, closure) + np.log(surface)

    logs = logarithm(leaves, rng) + noise * rng.standard_normal(wanted.samples)
    samples = np.clip(np.exp(logs), SMALLEST_CURRENT, LARGEST) * SCALE
    tail = (1 - wanted.level) / 2
    low, median, high = (float(q) for q in np.quantile(samples, [tail, 0.5, 1 - tail]))
    varying = {name: values for name, values in leaves.items() if np.ptp(values) > 0}
    split = error_split(logarithm, varying, surveyed.free.error, mesh_error, rng, SPLIT_ROWS)
    bound = "lower" if high >= LARGEST * SCALE else None
    spread = np.log(samples)
    return Prediction(
        median, low, high, wanted.level, float(spread.mean()), float(spread.std()), bound, split, key, _at_best(found, surveyed)
    )


def _at_best(found: Match, surveyed: Surveyed) -> float:
    """The prediction at the declared value of every input, mA/cm², through the surrogates."""
    leaves: dict[str, np.ndarray] = {key: np.atleast_1d(value) for key, value in nominal(found.parameters).items()}
    surface = leaves.pop(SURFACE, np.ones(1))
    inputs = inputs_of(found.cell, leaves, found.transfer_follows_temperature)
    current = np.exp(logarithms(surveyed, inputs, np.array([MIDWAY]))) * surface
    return float(np.clip(current, SMALLEST_CURRENT, LARGEST)[0]) * SCALE


def carrier(prediction: Prediction) -> tuple[str, float]:
    """The origin with the largest share of the variance, and its share."""
    origin, share = max(prediction.error_split.items(), key=lambda item: item[1])
    return origin, share


def as_row(prediction: Prediction) -> dict[str, Any]:
    """What a row of the comparison holds of a prediction, mA/cm²."""
    origin, share = carrier(prediction)
    return {
        "predicted": prediction.median, "low": prediction.low, "high": prediction.high, "level": prediction.level,
        "predicted_bound": prediction.bound, "log_mean": prediction.log_mean, "log_deviation": prediction.log_deviation,
        "best_mA_cm2": prediction.best, "largest_error": origin, "largest_error_share": share, "prediction": prediction.key,
    }  # fmt: skip
