"""Arrhenius fits: exact data, coverage of the intervals, bounds."""

import numpy as np
import pytest

from atomistic.answers import combine
from atomistic.diffusivity import COUNTED, MINIMUM_HOPS, poisson_limit
from coupling.arrhenius import HOPPING_PREFACTOR, Point, at_temperature, fit, reach
from coupling.constants import GAS_CONSTANT
from coupling.record import Property, sample

ENERGY, PREFACTOR = 30e3, 3e-8
TEMPERATURES = (600.0, 700.0, 850.0, 1000.0)


def truth(temperature: float) -> float:
    """Diffusivity of the synthetic material, m²/s."""
    return float(PREFACTOR * np.exp(-ENERGY / (GAS_CONSTANT * temperature)))


def data(rng: np.random.Generator, errors: tuple[float, ...], stated: float = 1.0) -> list[Point]:
    """Log-normal scatter with relative `errors`, stated `stated` times as large."""
    points = []
    for temperature, error in zip(TEMPERATURES, errors, strict=True):
        value = truth(temperature) * np.exp(error * rng.standard_normal())
        points.append(Point(temperature, value, stated * error * value))
    return points


def test_exact_data_give_the_line_back() -> None:
    """Without scatter: parameters, value at 298.15 K, and the textbook covariance."""
    line = fit([Point(t, truth(t), 0.1 * truth(t)) for t in TEMPERATURES])
    assert line.activation_energy == pytest.approx(ENERGY, rel=1e-9)
    assert np.exp(line.log_prefactor) == pytest.approx(PREFACTOR, rel=1e-9)
    x = -1 / (GAS_CONSTANT * np.array(TEMPERATURES))
    assert line.covariance[1, 1] == pytest.approx(0.1**2 / np.sum((x - x.mean()) ** 2), rel=1e-9)
    room = at_temperature([Point(t, truth(t), 0.1 * truth(t)) for t in TEMPERATURES])
    assert room.value == pytest.approx(truth(298.15), rel=1e-9)
    assert room.low is not None
    assert room.high is not None
    assert room.low < room.value < room.high


@pytest.mark.parametrize("errors", [(0.3, 0.2, 0.1, 0.05), (0.1, 0.1, 0.1, 0.1)])
def test_intervals_cover_the_truth_at_the_stated_rate(errors: tuple[float, ...]) -> None:
    """2000 synthetic data sets: 95 % and 68 % intervals of D(298 K) and of E within three standard errors of the rate."""
    rng, hits, count = np.random.default_rng(1), np.zeros(4), 2000
    for _ in range(count):
        line = fit(data(rng, errors))
        for column, level in enumerate((0.95, 0.68)):
            low, high = line.interval(298.15, level)
            hits[column] += low <= truth(298.15) <= high
            low, high = line.energy_interval(level)
            hits[2 + column] += low <= ENERGY <= high
    for rate, level in zip(hits / count, (0.95, 0.68, 0.95, 0.68), strict=True):
        assert abs(rate - level) < 3 * np.sqrt(level * (1 - level) / count) + 0.005  # 1 % of the sets trip the χ² test


def test_errors_that_are_too_small_are_scaled_up() -> None:
    """Errors stated four times too small: the fit notices in most sets, and then covers at least as often as it says."""
    rng, noticed, hits = np.random.default_rng(2), 0, 0
    for _ in range(500):
        line = fit(data(rng, (0.2, 0.2, 0.2, 0.2), stated=0.25))
        if line.inflated:
            noticed += 1
            low, high = line.interval(298.15)
            hits += low <= truth(298.15) <= high
    assert noticed > 250
    assert hits / noticed > 0.9


def test_bound_from_an_event_count_sharpens_the_fit() -> None:
    """Estimates at the two highest temperatures, none seen below where 0.15 are expected: covered, and no wider."""
    rng, hits, count = np.random.default_rng(3), 0, 300
    for _ in range(count):
        known = data(rng, (0.3, 0.3, 0.3, 0.3))[2:]
        limit = Point(500.0, 20 * truth(500.0), bound="upper")
        line, plain = fit([*known, limit]), fit(known)
        assert line.log_value(298.15)[1] <= 1.1 * plain.log_value(298.15)[1]
        low, high = line.interval(298.15)
        hits += low <= truth(298.15) <= high
    assert hits / count > 0.91


@pytest.mark.parametrize("expected", [3.0, 5.0])
def test_a_bound_of_some_events_pulls_no_line_down(expected: float) -> None:
    """Runs that expect a few hops at the coldest temperature, bounds below ten: without their number 77 and 90 % hold, not 95."""
    rng, hits, count = np.random.default_rng(1), [], 200
    for _ in range(count):
        points = []
        for temperature in TEMPERATURES:
            per_hop = truth(TEMPERATURES[0]) / expected
            hops = int(rng.poisson(truth(temperature) / per_hop))
            run = {"temperature": temperature, "hops": hops, "bound": "upper", "stderr": None, "reason": COUNTED}
            run["value"] = poisson_limit(hops) * per_hop
            if hops >= MINIMUM_HOPS:
                run |= {"value": hops * per_hop, "stderr": hops**0.5 * per_hop, "bound": None}
            points.append(combine([run]))
        room = at_temperature(points)
        if room.bound is None:
            hits.append((abs(room.value - truth(298.15)) < room.stderr, room.low <= truth(298.15) <= room.high))
    one, two = np.mean(hits, axis=0)
    assert 0.60 <= one <= 0.80
    assert 0.90 <= two <= 0.98


def test_bounds_alone_give_the_smallest_bound() -> None:
    """No activation energy known: the bound is not lowered on the way to 298 K; with one it is."""
    points = [Point(900.0, 3e-11, bound="upper"), Point(700.0, 2e-11, bound="upper")]
    room = at_temperature(points)
    assert (room.bound, room.value, room.stderr, room.fit) == ("upper", 2e-11, None, None)
    assert "700 K" in room.method
    lowered = at_temperature(points, least_activation_energy=20e3)
    assert lowered.value == pytest.approx(2e-11 * np.exp(-20e3 / GAS_CONSTANT * (1 / 298.15 - 1 / 700)))


def test_single_estimate_is_an_upper_bound_at_room_temperature() -> None:
    """One estimate draws no line; D(298 K) is below it, or below a smaller bound."""
    room = at_temperature([Point(1000.0, 1e-9, 1e-10)])
    assert room.bound == "upper"
    assert room.value == pytest.approx(1.1645e-9)
    assert at_temperature([Point(1000.0, 1e-9, 1e-10), Point(700.0, 1e-11, bound="upper")]).value == 1e-11


def test_two_temperatures_are_enough_and_one_is_not() -> None:
    """The exact line through two points has Gaussian intervals; one temperature twice is no line."""
    line = fit([Point(600.0, truth(600.0), 1e-12), Point(900.0, truth(900.0), 1e-12)])
    assert line.activation_energy == pytest.approx(ENERGY, rel=1e-9)
    with pytest.raises(ValueError, match="two or more temperatures"):
        fit([Point(600.0, 1e-10, 1e-12), Point(600.0, 1.1e-10, 1e-12)])


@pytest.mark.parametrize("arguments", [(0.0, 1e-9, 1e-10), (300.0, -1e-9, 1e-10), (300.0, 1e-9, None), (300.0, 1e-9, 0.0)])
def test_impossible_points_are_refused(arguments: tuple) -> None:
    """Zero temperature, negative value, estimate without error."""
    with pytest.raises(ValueError):
        Point(*arguments)


def test_diffusivity_does_not_rise_on_cooling() -> None:
    """Scatter that would let D rise on cooling: value and limits at 298 K stay below D at the lowest temperature."""
    points = [Point(600.0, 1.0e-9, 3e-10), Point(700.0, 1.1e-9, 3e-10), Point(800.0, 1.0e-9, 3e-10)]
    room = at_temperature(points)
    assert room.fit is not None
    assert room.fit.energy_interval()[0] >= 0
    assert room.value < 1.1e-9
    assert room.high is not None
    assert room.high < 2e-9


def test_prior_of_the_prefactor_is_the_product_of_gaussians() -> None:
    """Against the closed form of a Gaussian fit and a Gaussian prior of ln D0; it narrows the value at 298 K and covers."""
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(200):
        points = data(rng, (0.3, 0.3, 0.3, 0.3))[1:]
        prior = (float(np.exp(np.log(PREFACTOR) + np.log(10) * rng.standard_normal())), 10.0)
        plain, informed = fit(points), fit(points, prefactor=prior)
        precision = np.linalg.inv(plain.covariance) + np.diag([1 / np.log(10) ** 2, 0])
        line = np.array([plain.log_prefactor, plain.activation_energy])
        mean = np.linalg.solve(
            precision, np.linalg.solve(plain.covariance, line) + np.array([np.log(prior[0]) / np.log(10) ** 2, 0])
        )
        if not plain.inflated and plain.draws is None:
            assert informed.log_prefactor == pytest.approx(mean[0], abs=0.1)
            assert informed.activation_energy == pytest.approx(mean[1], rel=0.02)
            assert np.linalg.det(informed.covariance) == pytest.approx(1 / np.linalg.det(precision), rel=0.1)
        low, high = informed.interval(298.15)
        hits += low <= truth(298.15) <= high
    assert 180 <= hits <= 199


def test_the_recorded_interval_is_the_one_drawn() -> None:
    """Draws of a record made from a fit have the fit's median and its 95 % limits."""
    room = at_temperature([Point(600.0, 1e-10, 4e-11), Point(800.0, 8e-10, 3e-10), Point(1000.0, 3e-9, 1e-9)])
    record = Property("X", "d", room.value, "m^2/s", stderr=room.stderr, low=room.low, high=room.high, source={"a": 1})
    drawn = sample(record, 40_000, np.random.default_rng(1))
    assert np.quantile(drawn, [0.025, 0.5, 0.975]) == pytest.approx([room.low, room.value, room.high], rel=0.06)


def test_a_line_carried_too_far_or_too_uncertain_is_doubtful() -> None:
    """Doubt: 850 and 1000 K reach over 12 times their range to 298 K; few data leave an error above the value; good data none."""
    exact = [Point(t, truth(t), 0.02 * truth(t)) for t in TEMPERATURES]
    assert at_temperature(exact).doubt == ""
    assert reach(fit(exact), 298.15) == pytest.approx((1 / 298.15 - 1 / 600) / (1 / 600 - 1 / 1000))
    assert reach(fit(exact), 700.0) < 0
    near = at_temperature([Point(t, truth(t), 1e-4 * truth(t)) for t in (850.0, 1000.0)])
    assert near.doubt == "298.1 K lies 12 times the range of 1/T of the data (850 to 1000 K) below them"
    rough = at_temperature([Point(t, truth(t), 0.4 * truth(t)) for t in (600.0, 700.0, 850.0)])
    assert rough.stderr is not None
    assert rough.stderr > rough.value
    assert "standard error exceeds" in rough.doubt


@pytest.mark.parametrize("points", [
    [Point(500.0, 1e-9, 1e-10), Point(600.0, 1.5e-9, 1e-10), Point(400.0, 1e-13, bound="upper")],
    [Point(500.0, 1e-9, 5e-11), Point(1000.0, 1e-10, 5e-12)],
])  # fmt: skip
def test_estimates_that_contradict_what_is_known_are_doubtful(points: list[Point]) -> None:
    """A bound 100 K below that the line passes by far, or D that rises on cooling: told, and not named as used."""
    room = at_temperature(points, prefactor=HOPPING_PREFACTOR)
    assert "which they contradict" in room.doubt
    assert "left out: what is known" in room.method
    assert "upper bounds" not in room.method
    assert "either way" not in room.method
