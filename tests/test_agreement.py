"""Statistics of a comparison on data whose answer is known: rank correlation, bootstrap, coverage, censored likelihood."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from multiscale.comparison.agreement import (
    LEVEL,
    agreement,
    bootstrap,
    coverage,
    log_likelihood,
    median_factor,
    median_ratio,
    rank_correlation,
)


def row(kind: str, measured: float, log_mean: float = 0.0, log_deviation: float = 1.0, **more):
    """A comparable row of a comparison whose prediction is log-normal."""
    half = 1.6448536 * log_deviation
    low, high = math.exp(log_mean - half), math.exp(log_mean + half)
    allowed = {"ccd": low <= measured <= high, "lower_bound": measured <= high, "dc_short": measured >= low}
    allowed["stripping_critical"] = allowed["ccd"]
    return {
        "kind": kind, "comparable": True, "measured": measured, "predicted": math.exp(log_mean), "low": low, "high": high,
        "level": 0.9, "log_mean": log_mean, "log_deviation": log_deviation, "consistent": allowed[kind],
    } | more  # fmt: skip


def test_rank_correlation_is_spearmans_with_ties_and_by_rows():
    x = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]])
    y = np.array([[1.0, 3.0, 2.0, 4.0], [1.0, 2.0, 3.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    found = rank_correlation(x, y)
    assert found[0] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found[1] == pytest.approx(float(spearmanr(x[1], y[1]).statistic))
    assert math.isnan(found[2])


def test_the_bootstrap_error_is_that_of_the_sample():
    rng = np.random.default_rng(1)
    ratios = rng.lognormal(0.5, 0.8, 25)

    def mean_logarithm(x, y):
        return np.log(np.atleast_2d(y) / np.atleast_2d(x)).mean(axis=1)

    found = bootstrap(mean_logarithm, np.ones(25), ratios)
    logs = np.log(ratios)
    assert found.value == pytest.approx(logs.mean())
    assert found.stderr == pytest.approx(logs.std() / 5, rel=0.05)  # the plug-in standard error of a mean
    assert found.low < logs.mean() < found.high
    assert found.high - found.low == pytest.approx(2 * 1.645 * found.stderr, rel=0.05)


def test_the_bootstrap_interval_of_the_rank_correlation_covers_the_truth():
    """Bivariate normal of correlation r: Spearman's is 6/π asin(r/2) (Pearson 1907)."""
    rng, r, hits = np.random.default_rng(2), 0.6, 0
    truth = 6 / math.pi * math.asin(r / 2)
    for _ in range(25):
        x = rng.standard_normal(20)
        y = r * x + math.sqrt(1 - r * r) * rng.standard_normal(20)
        found = bootstrap(rank_correlation, x, y)
        hits += found.low <= truth <= found.high
    assert hits >= 17  # 22.5 expected; fewer with probability 0.3 %


def test_a_statistic_that_is_not_defined_is_not_told():
    assert bootstrap(rank_correlation, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) is None
    two = bootstrap(rank_correlation, [1.0, 2.0], [1.0, 2.0])
    assert two.value == pytest.approx(1.0)
    assert 1000 < two.resamples < 3000  # half of the resamples hold one pair twice


def test_factor_and_bias():
    measured, predicted = np.array([1.0, 1.0, 1.0]), np.array([4.0, 0.5, 3.0])
    assert median_factor(measured, predicted)[0] == pytest.approx(3.0)
    assert median_ratio(measured, predicted)[0] == pytest.approx(3.0)
    assert median_ratio(measured, 1 / predicted)[0] == pytest.approx(1 / 3)
    assert median_factor(measured, 1 / predicted)[0] == pytest.approx(3.0)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_the_interval_of_a_coverage_is_exact(count):
    """Clopper–Pearson for none and all of n: 1 − (α/2)^(1/n) and (α/2)^(1/n)."""
    edge = ((1 - LEVEL) / 2) ** (1 / count)
    none, every = coverage([False] * count, 0.9), coverage([True] * count, 0.9)
    assert (none.share, none.low, every.share, every.high) == (0.0, 0.0, 1.0, 1.0)
    assert none.high == pytest.approx(1 - edge)
    assert every.low == pytest.approx(edge)


def test_coverage_of_calibrated_and_of_too_narrow_intervals():
    rng = np.random.default_rng(3)
    logs, half = rng.standard_normal(2000), 1.6448536
    honest = coverage(list(np.abs(logs) <= half), 0.9)
    assert honest.low <= 0.9 <= honest.high
    narrow = coverage(list(np.abs(3 * logs) <= half), 0.9)
    assert narrow.share == pytest.approx(math.erf(half / 3 / math.sqrt(2)), abs=0.03)
    assert narrow.high < 0.9
    told = agreement([row("ccd", math.exp(z), 0.0) for z in logs[:40]], "ccd")["coverage"]
    assert (told["inside"], told["of"]) == (int(np.sum(np.abs(logs[:40]) <= half)), 40)


@pytest.mark.parametrize("measured", [0.03, 1.0, 7.0])
def test_censored_likelihood_is_the_closed_form(measured):
    mean, deviation = 0.4, 1.3
    z = (math.log(measured) - mean) / deviation
    above, below = 0.5 * math.erfc(z / math.sqrt(2)), 0.5 * math.erfc(-z / math.sqrt(2))
    density = math.exp(-z * z / 2) / (deviation * math.sqrt(2 * math.pi))
    assert math.exp(log_likelihood("lower_bound", measured, mean, deviation)) == pytest.approx(above, rel=1e-12)
    assert math.exp(log_likelihood("dc_short", measured, mean, deviation)) == pytest.approx(below, rel=1e-12)
    assert math.exp(log_likelihood("ccd", measured, mean, deviation)) == pytest.approx(density, rel=1e-12)
    assert above + below == pytest.approx(1.0)


def test_a_bound_far_outside_keeps_a_finite_likelihood():
    assert log_likelihood("lower_bound", 1e30, 0.0, 1.0) < -2000
    assert math.isfinite(log_likelihood("lower_bound", 1e30, 0.0, 1.0))
    assert log_likelihood("full_cell_rate", 3.0, 0.0, 1.0) == log_likelihood("lower_bound", 3.0, 0.0, 1.0)
    assert log_likelihood("stripping_critical", 3.0, 0.0, 1.0) == log_likelihood("ccd", 3.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="is no kind of measurement"):
        log_likelihood("plating", 1.0, 0.0, 1.0)


def test_the_truth_is_the_most_likely_also_of_bounds():
    """Half-exact, half-censored data of a known distribution: the mean score is largest at its parameters."""
    rng = np.random.default_rng(4)
    truths, held = rng.normal(1.0, 0.7, 1000), rng.normal(1.0, 1.5, 1000)
    kinds = ["lower_bound" if current > tried else "dc_short" for current, tried in zip(truths, held, strict=True)]

    def score(mean: float, deviation: float) -> float:
        return float(np.mean([log_likelihood(k, math.exp(x), mean, deviation) for k, x in zip(kinds, held, strict=True)]))

    best = score(1.0, 0.7)
    assert all(score(mean, deviation) < best for mean, deviation in ((0.7, 0.7), (1.3, 0.7), (1.0, 0.45), (1.0, 1.1)))


def test_kinds_are_never_pooled():
    rows = [row("ccd", 1.0 + k) for k in range(4)] + [row("lower_bound", 1e6), row("dc_short", 1e-6)]
    rows += [row("stripping_critical", 0.2), {"kind": "stripping_critical", "comparable": False, "measured": 0.2}]
    ccd, low, short, voids = (agreement(rows, kind) for kind in ("ccd", "lower_bound", "dc_short", "stripping_critical"))
    alone = agreement(rows[:4], "ccd")
    assert ccd == alone
    assert (low["compared"], low["allowed"], short["compared"], short["allowed"]) == (1, 0, 1, 0)
    assert low["log_likelihood"] < -50
    assert (voids["listed"], voids["compared"]) == (2, 1)
    assert voids["median_factor"]["value"] == pytest.approx(5.0)
    assert [voids["median_factor"][name] for name in ("stderr", "low", "high")] == [None] * 3  # one pair says nothing of it
    assert agreement(rows[:3], "ccd")["median_factor"]["low"] is not None
    assert agreement(rows[-1:], "stripping_critical") == {"kind": "stripping_critical", "listed": 1, "compared": 0}
    assert "spearman" not in low
    assert "spearman" not in agreement(rows[:2], "ccd")
