"""How well predictions and measurements agree: statistics of one kind of measurement at a time (NumPy and SciPy alone)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm, rankdata

RESAMPLES = 4000
"""Bootstrap resamples."""
LEAST = 3
"""Rank correlation, coverage and the interval of any statistic are told from this many measurements on."""
LEVEL = 0.9
"""Of the intervals of the statistics."""
CRITICAL = ("ccd", "stripping_critical")
"""Kinds that are a critical current, of plating or of stripping; the others bound one. Each kind is told for itself."""


Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of measured and predicted values, (m, n) each → (m,)."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap error.

    Attributes:
        value: of the data as they are.
        stderr: standard deviation over the resamples; None where too few pairs (or resamples) say nothing of the error.
        low, high: enclose `LEVEL` of the resamples; None likewise.
        resamples: those in which the statistic was defined.
    """

    value: float
    stderr: float | None
    low: float | None
    high: float | None
    resamples: int


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each row, mean ranks for ties: (m, n) and (m, n) → (m,); NaN where a side is constant."""
    a, b = (rankdata(np.atleast_2d(side), axis=1) for side in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.sum(a**2, axis=1) * np.sum(b**2, axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 0, np.sum(a * b, axis=1) / scale, np.nan)


def median_factor(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Typical factor: exp of the median of |ln(predicted/measured)| of each row: (m, n) and (m, n) → (m,)."""
    return np.exp(np.median(np.abs(np.log(np.atleast_2d(predicted) / np.atleast_2d(measured))), axis=1))


def median_ratio(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Bias: exp of the median of ln(predicted/measured) of each row: (m, n) and (m, n) → (m,)."""
    return np.exp(np.median(np.log(np.atleast_2d(predicted) / np.atleast_2d(measured)), axis=1))


def bootstrap(
    statistic: Statistic, measured: Sequence[float], predicted: Sequence[float], seed: int = 0
) -> Estimate | None:
    """A statistic of pairs with its bootstrap error: pairs are drawn with replacement (Efron & Tibshirani 1993, chapter 6).

    The error is that of having few measurements; it does not hold that predictions share inputs.

    Returns:
        None where the statistic is not defined on the data.
    """
    x, y = np.asarray(measured, dtype=float), np.asarray(predicted, dtype=float)
    value = float(statistic(x, y)[0])
    if not math.isfinite(value):
        return None
    chosen = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    found = statistic(x[chosen], y[chosen])
    found = found[np.isfinite(found)]
    if len(found) < 2:
        return Estimate(value, None, None, None, len(found))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(found.std(ddof=1)), float(low), float(high), len(found))


@dataclass(frozen=True)
class Coverage:
    """Share of measurements inside their predicted intervals.

    Attributes:
        inside, of: counts.
        share: inside/of.
        low, high: Clopper–Pearson interval of the share at `LEVEL`.
        expected: what calibrated intervals would show.
    """

    inside: int
    of: int
    share: float
    low: float
    high: float
    expected: float


def coverage(inside: Sequence[bool], expected: float) -> Coverage:
    """Coverage of predicted intervals, with the exact (Clopper–Pearson) interval of a binomial share."""
    count, total = int(sum(inside)), len(inside)
    ends = binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return Coverage(count, total, count / total, float(ends.low), float(ends.high), expected)


def log_likelihood(kind: str, measured: float, log_mean: float, log_deviation: float) -> float:
    """Logarithm of the probability (density) that a log-normal prediction gives to one measurement x of a kind.

    * ccd: density of ln x, N(ln x; μ, s);
    * lower_bound: P(i_c ≥ x) = Φ((μ − ln x)/s), censored above;
    * dc_short: P(i_c ≤ x) = Φ((ln x − μ)/s), censored below.

    A stripping_critical is as a ccd, of its own limit; a full_cell_rate as a lower_bound.

    Args:
        kind: one of `coupling.experiments.KINDS`.
        measured: x, mA/cm².
        log_mean, log_deviation: μ and s of ln(i_c in mA/cm²).
    """
    z = (math.log(measured) - log_mean) / log_deviation
    if kind in CRITICAL:
        return float(norm.logpdf(z) - math.log(log_deviation))
    if kind in ("lower_bound", "full_cell_rate"):
        return float(norm.logsf(z))
    if kind == "dc_short":
        return float(norm.logcdf(z))
    raise ValueError(f"{kind} is no kind of measurement")


def agreement(rows: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Statistics of the comparable rows of one kind, JSON-ready.

    Critical currents: rank correlation and median factor with bootstrap errors, bias, coverage, mean log density. Bounds: how
    many are allowed by the interval, and the censored likelihood.
    """
    of_kind = [row for row in rows if row["kind"] == kind]
    used = [row for row in of_kind if row["comparable"]]
    told: dict[str, Any] = {"kind": kind, "listed": len(of_kind), "compared": len(used)}
    if not used:
        return told
    scores = [log_likelihood(kind, row["measured"], row["log_mean"], row["log_deviation"]) for row in used]
    told |= {"log_likelihood": float(np.sum(scores)), "log_likelihood_per_row": float(np.mean(scores))}
    if kind not in CRITICAL:
        told["allowed"] = sum(bool(row["consistent"]) for row in used)
        return told | {"mean_probability": float(np.mean(np.exp(scores)))}
    measured, predicted = [row["measured"] for row in used], [row["predicted"] for row in used]
    for name, statistic in (("median_factor", median_factor), ("median_ratio", median_ratio)):
        found = bootstrap(statistic, measured, predicted)
        if found is not None and len(used) < LEAST:  # resamples of one or two pairs say nothing of the error
            found = Estimate(found.value, None, None, None, 0)
        told[name] = _plain(found)
    if len(used) >= LEAST:
        told["spearman"] = _plain(bootstrap(rank_correlation, measured, predicted))
        told["coverage"] = _plain(coverage([row["consistent"] for row in used], used[0]["level"]))
    return told


def _plain(found: Estimate | Coverage | None) -> dict[str, Any] | None:
    return None if found is None else dict(vars(found))
