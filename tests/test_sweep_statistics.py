"""Sobol indices of a known function, confidences of rankings on synthetic records with known truth."""

import numpy as np
import pytest
from scipy.stats import qmc

from multiscale.sweeps import sensitivity
from multiscale.sweeps.ranking import DRAWS, Evidence, rank_evidence


def ishigami(x: np.ndarray) -> np.ndarray:
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def angles(u: np.ndarray) -> np.ndarray:
    return np.pi * (2 * u - 1)


def exact_indices() -> tuple[list[float], list[float]]:
    """First-order and total indices of the Ishigami function (a = 7, b = 0.1), in closed form."""
    a, b = 7.0, 0.1
    one, two = 0.5 * (1 + b * np.pi**4 / 5) ** 2, a**2 / 8
    both = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    variance = one + two + both
    return [one / variance, two / variance, 0.0], [(one + both) / variance, two / variance, both / variance]


def test_indices_of_the_ishigami_function_lie_within_their_errors():
    points = angles(qmc.Sobol(3, rng=np.random.default_rng(1)).random(256))
    found = sensitivity.indices(points, np.exp(ishigami(points)), angles, ["x1", "x2", "x3"])
    first, total = exact_indices()
    for index in found.indices:
        k = int(index.name[1]) - 1
        assert index.first == pytest.approx(first[k], abs=0.03), index
        assert index.total == pytest.approx(total[k], abs=0.03), index
        assert abs(index.first - first[k]) < 4 * index.first_error + 0.005
        assert abs(index.total - total[k]) < 4 * index.total_error + 0.005
    assert found.predicted > 0.95
    assert not found.warning


def test_few_designs_give_wide_errors_and_a_warning():
    points = angles(qmc.Sobol(3, rng=np.random.default_rng(1)).random(16))
    found = sensitivity.indices(points, np.exp(ishigami(points)), angles, ["x1", "x2", "x3"])
    assert "run more designs" in found.warning
    assert max(index.total_error for index in found.indices) > 0.05


def test_noise_is_not_given_to_a_variable():
    rng = np.random.default_rng(2)
    points = rng.random((120, 2))
    logs = 2.0 * points[:, 0] + 0.3 * rng.standard_normal(120)
    found = sensitivity.indices(points, np.exp(logs), lambda u: u, ["a", "b"])
    assert [index.name for index in found.indices] == ["a", "b"]
    assert found.indices[0].first == pytest.approx(1.0, abs=0.05)
    assert found.indices[1].total < 0.05
    assert found.noise == pytest.approx(0.09 / (0.09 + 4 / 12), abs=0.06)


def synthetic(rng: np.random.Generator, replicas: int, draws: int = 250) -> tuple[dict, list[float]]:
    """Records of two choices and the truth behind them.

    ln(CCD) = common input + own input + microstructure + surrogate error + mesh error; the truth is one draw of the inputs, and
    holds on the average over microstructures. What is recorded: draws of the inputs around a best value that is itself off by the
    records' error, for each replica.
    """
    common_error, own_error, scatter, surrogate, mesh = 0.8, 0.25, 0.15, 0.1, 0.1
    true = rng.normal(0.0, 1.5, 2)  # choices that differ by factors, as interlayers do
    best = true + rng.normal(0.0, own_error, 2)  # the records miss the truth by their own error
    shared = rng.standard_normal(draws) * common_error
    choices = {}
    for k, name in enumerate("AB"):
        own = best[k] + own_error * rng.standard_normal(draws)
        off_mesh = mesh * rng.standard_normal()
        evidence = [
            Evidence(shared + own + off_mesh + scatter * rng.standard_normal() + surrogate * rng.standard_normal(),
                     float(np.hypot(scatter, surrogate)), mesh)
            for _ in range(replicas)
        ]  # fmt: skip
        choices[name] = [evidence]
    return choices, list(true)


@pytest.mark.parametrize("replicas", [1, 3])
def test_confidences_are_calibrated(replicas):
    """Among the rankings told with a confidence near p, a share p is right: within 5 %, over the whole range of confidences."""
    rng = np.random.default_rng(5)
    told, right = np.zeros(3000), np.zeros(3000)
    for number in range(3000):
        choices, true = synthetic(rng, replicas)
        found = rank_evidence(choices, number, draws=1000)
        told[number] = found.beats[0, 1]
        first, second = ("AB".index(name) for name in found.names)
        right[number] = true[first] > true[second]
    for low, high in ((0.5, 0.75), (0.75, 0.95), (0.95, 1.01)):
        here = (told >= low) & (told < high)
        assert here.sum() > 150
        assert right[here].mean() == pytest.approx(told[here].mean(), abs=0.05), (low, high, here.sum())


def test_what_choices_share_cancels_and_what_they_do_not_share_stays():
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(2000)
    alike = {name: [[Evidence(shared + lift, 0.0, 0.0)]] for name, lift in (("A", 0.1), ("B", 0.0))}
    found = rank_evidence(alike)
    assert (found.names, found.beats[0, 1]) == (("A", "B"), 1.0)
    apart = {name: [[Evidence(rng.standard_normal(2000) + lift, 0.0, 0.0)]] for name, lift in (("A", 0.1), ("B", 0.0))}
    assert 0.45 < rank_evidence(apart).beats[0, 1] < 0.62
    noisy = {name: [[Evidence(shared + lift, 0.5, 0.0)]] for name, lift in (("A", 0.1), ("B", 0.0))}
    from scipy.stats import norm

    assert rank_evidence(noisy).beats[0, 1] == pytest.approx(norm.cdf(0.1 / np.hypot(0.5, 0.5)), abs=3 / np.sqrt(DRAWS))


def test_equal_choices_are_a_coin_toss_and_the_best_adds_up():
    logs = np.zeros(100)
    found = rank_evidence({name: [[Evidence(logs, 0.0, 0.0)]] for name in "ABC"})
    assert found.beats == pytest.approx(np.full((3, 3), 0.5))
    assert found.best == pytest.approx(np.full(3, 1 / 3))


def test_one_choice_or_unequal_settings_are_refused():
    one = [Evidence(np.zeros(10), 0.0, 0.0)]
    with pytest.raises(ValueError, match="at least two choices"):
        rank_evidence({"A": [one]})
    with pytest.raises(ValueError, match="at the same settings"):
        rank_evidence({"A": [one], "B": [one, one]})
