"""Errors and limits of nucleation from few walkers hold as they say: 200 runs with a known truth each.

Nominal 68 and 95 % intervals hold in 60 … 76 and 90 … 98 %, one-sided limits of 95 % in 90 … 98 %.
"""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter
from scipy.special import logsumexp

from atomistic import nucleation_limits
from atomistic.brownian import ONE_SIDED_95
from atomistic.correlated import jackknife_error, looks
from atomistic.metadynamics import Bias, FreeEnergy, Hills, Visits, free_energy
from atomistic.nucleation import Attachment, Waiting, drive, few_memories, joining_of, waiting_time
from atomistic.walkers import Overdamped
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.record import TWO_SIDED_95

TRIALS, THERMAL = 200, BOLTZMANN * 300.0
HILLS = Hills(-2.0, 2.0, 61, 0.2, 0.15, 1.0, 8.0)
ONE = Attachment(1.0, 0.0, np.zeros(0), np.zeros(0))


class Shared:
    """Biases (trials, bins) of trials at once, each shared by its own walkers."""

    def __init__(self, each: int, trials: int) -> None:
        self.bias, self.each = Bias(HILLS, trials, shared=False), each

    def at(self, s: np.ndarray, walkers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.bias.at(s, walkers // self.each)

    def offsets(self) -> np.ndarray:
        reduced = self.bias.values / (HILLS.bias_factor - 1)
        return np.asarray(logsumexp(HILLS.bias_factor * reduced, axis=1) - logsumexp(reduced, axis=1))


def double_wells(each: int, steps: int, seed: int, last: float = 1.0, trials: int = TRIALS) -> list[Visits]:
    """Well-tempered runs of double wells U = 5 (x² - 1)², `each` walkers in every one, begun from -1 to `last`."""
    line = Overdamped(lambda x: 20 * x * (x * x - 1), np.tile(np.linspace(-1, last, each), trials), 2e-3, seed)
    shared, everyone, rows = Shared(each, trials), np.arange(each * trials), []
    for step in range(1, steps + 1):
        line.advance(shared, everyone)  # type: ignore[arg-type]
        if step % 10 == 0:
            rows.append((line.values().copy(), shared.at(line.values(), everyone)[0], shared.offsets()))
        if step % 50 == 0:
            shared.bias.deposit(line.values(), everyone // each)
    values, biases, offsets = (np.array(one) for one in zip(*rows, strict=True))
    found = []
    for trial in range(trials):
        own, left = slice(trial * each, (trial + 1) * each), Bias(HILLS)
        left.values = shared.bias.values[trial : trial + 1]
        found.append(Visits(values[:, own], biases[:, own], offsets[:, trial], left))
    return found


def exact(edges: np.ndarray) -> FreeEnergy:
    """F of the double well in the bins, without error."""
    inside = np.linspace(edges[:-1], edges[1:], 401)
    shares = np.trapezoid(np.exp(-5 * (inside**2 - 1) ** 2), inside, axis=0)
    values, grid = -np.log(shares / shares.sum()), (edges[1:] + edges[:-1]) / 2
    return FreeEnergy(grid, values, np.full(len(grid), 1e-9), np.tile(values, (20, 1)), 1.0, values)


def rates(away: np.ndarray) -> tuple[float, float]:
    """Shares of intervals of one and of 1.96 errors that hold the truth; `away` from it in errors."""
    return float(np.mean(np.abs(away) < 1)), float(np.mean(np.abs(away) < TWO_SIDED_95))


def away_from(truth: FreeEnergy, found: list[FreeEnergy]) -> np.ndarray:
    """How far F of every size that has an error lies from the truth, in errors."""
    known = [np.isfinite(one.stderr) & np.isfinite(one.values) for one in found]
    return np.concatenate([(one.values - truth.values)[at] / one.stderr[at] for one, at in zip(found, known, strict=True)])


@pytest.mark.parametrize(("walkers", "bins"), [(2, 70), (4, 24), (8, 24)])
def test_free_energies_of_few_walkers_cover(walkers: int, bins: int) -> None:
    """F of every size, its barrier of 5 k_B T and ln τ, the more so where bins are narrow and noise makes the top."""
    edges = np.linspace(-1.7, 1.7, bins + 1)
    truth, found = exact(edges), [free_energy(visits, edges) for visits in double_wells(walkers, 8000, walkers)]
    passages: list[Waiting] = [waiting_time(one, ONE, 0.0, THERMAL) for one in found]
    passed = [one for one in passages if not one.bound]
    slowest = waiting_time(truth, ONE, 0.0, THERMAL).log_time
    told = {
        "F": away_from(truth, found),
        "barrier": np.array([(one.barrier / THERMAL - 5) / (one.barrier_stderr / THERMAL) for one in passed]),
        "ln τ": np.array([(one.log_time - slowest) / one.stderr for one in passed]),
    }
    assert len(passed) > 0.95 * TRIALS
    covered = {name: rates(away) for name, away in told.items()}
    assert all(0.60 <= one <= 0.76 and 0.90 <= two <= 0.98 for one, two in covered.values()), covered


@pytest.mark.parametrize(("walkers", "short", "long"), [(2, 2500, 9000), (4, 2000, 6000), (8, 1500, 6000), (16, 1000, 6000)])
def test_what_walkers_from_one_place_say_holds_once_they_forgot_it(walkers: int, short: int, long: int) -> None:
    """All begin in one well: runs in which few came back from the other are told, and what is not told holds."""
    edges, trials = np.linspace(-1.7, 1.7, 18), 80
    runs = double_wells(walkers, long, walkers, -1.0, trials)
    early = [Visits(one.values[: short // 10], one.biases[: short // 10], one.offsets[: short // 10], one.bias) for one in runs]
    assert np.mean([bool(few_memories(free_energy(one, edges))) for one in early]) > 0.95
    sure = [found for found in (free_energy(one, edges) for one in runs) if not few_memories(found)]
    assert len(sure) > 0.7 * trials
    one, two = rates(away_from(exact(edges), sure))
    assert 0.60 <= one <= 0.76
    assert 0.90 <= two <= 0.98


STEP, FRAMES, LAGS = 0.02, 100, 10
"""ps and numbers of the shipped studies' unbiased runs."""


def squares_slope(squares: np.ndarray) -> float:
    """D that ⟨Δn²⟩ of the lags has, from its later half, 1/ps."""
    late = np.arange(1, LAGS + 1)[LAGS // 2 :]
    return float(np.polyfit(late * STEP, squares[LAGS // 2 :], 1)[0] / 2)


def remembering(
    random: np.random.Generator, walkers: int, memory: float, spread: float, start: float | None = None
) -> np.ndarray:
    """Sizes (walkers, FRAMES) about 100 that forget in `memory` ps, in their stationary state or begun `start` spreads away."""
    kept = np.exp(-STEP / memory)
    kicks = random.standard_normal((walkers, FRAMES))
    kicks[:, 1:] *= np.sqrt(1 - kept**2)
    if start is not None:
        kicks[:, 0] = start
    return np.asarray(100 + spread * lfilter([1.0], [1.0, -kept], kicks, axis=1))


def process(kind: str) -> tuple[Callable[[np.random.Generator, int], np.ndarray], float]:
    """Sizes of a process and its D, 1/ps: memory of so many ps, a walk, or a slow walk that rattles."""
    lags = STEP * np.arange(1, LAGS + 1)

    def walk(random: np.random.Generator, walkers: int, rate: float) -> np.ndarray:
        return 100 + np.cumsum(random.normal(0, np.sqrt(2 * rate * STEP), (walkers, FRAMES)), axis=1)

    if kind == "walk":
        return lambda random, walkers: walk(random, walkers, 5.0), 5.0
    if kind == "slow walk":
        rattle = squares_slope(2 * 0.5**2 * (1 - np.exp(-lags / 0.1)))
        return lambda random, walkers: walk(random, walkers, 5.0) + remembering(random, walkers, 0.1, 0.5) - 100, 5.0 + rattle
    memory = float(kind)
    return lambda random, walkers: remembering(random, walkers, memory, 3.0), squares_slope(18 * (1 - np.exp(-lags / memory)))


@pytest.mark.parametrize(("walkers", "kind"), [
    (2, "0.05"), (2, "0.1"), (2, "0.2"), (2, "0.3"), (2, "walk"), (2, "slow walk"), (8, "0.1"), (8, "walk"),
])  # fmt: skip
def test_attachment_rates_and_their_limits_hold(walkers: int, kind: str) -> None:
    """Sizes of the shipped length. Of a D below two errors, told as a limit only, that holds too often: it has its error.

    800 runs of two walkers: limits of resolved rates hold in 91 to 95 %, intervals in 69 to 75 and 89 to 96 %; of eight in 93 to
    97, 68 to 70 and 93 to 96 %.
    """
    made, truth = process(kind)
    random, found, limits = np.random.default_rng(5), [], []
    for _ in range(TRIALS):
        sizes = made(random, walkers)
        found.append(joining_of(sizes, 1e-12 * STEP, (0.0, np.inf), LAGS))
        limits.append(nucleation_limits.seen(sizes, 1e-12 * STEP, LAGS)["attachment_limit"])
    error = 1e-12 * np.median([one.stderr for one in found])
    one, two = rates(np.array([(one.value - 1e12 * truth) / one.stderr for one in found]))
    resolved = truth > 2 * error
    assert 0.90 <= np.mean(np.array(limits) >= 1e12 * truth) <= (0.98 if resolved else 1.0)
    if resolved:
        assert 0.60 <= one <= 0.76
        assert (0.90 if walkers > 2 else 0.87) <= two <= 0.98


@pytest.mark.parametrize("walkers", [2, 8])
def test_barriers_bounded_by_looking_hold_where_walkers_begin_alike(walkers: int) -> None:
    """Sizes with memories of 0.02 to 20 ps, the runs 2 ps long, begun 1 and 3 spreads below the mean; slow ones bear no bound."""
    random, told = np.random.default_rng(3), {}
    above = np.array([-0.5, 0.0, 0.5, 1.0, 2.0, 4.0])
    truth = -np.log(stats.norm.sf(above))  # of a size so many spreads above the mean, k_B T
    for memory, start in itertools.product((0.02, 0.1, 0.8, 2.0, 20.0), (-1.0, -3.0)):
        runs = [remembering(random, walkers, memory, 1.0, start) for _ in range(100)]
        least = np.array([[by_looking(sizes, 100 + size) for size in above] for sizes in runs])
        assert np.mean(least > truth, axis=0).max() <= 0.05, (memory, start)
        told[memory, start] = np.mean(least[:, -1] > 0)
    assert min(told[0.02, -1.0], told[0.02, -3.0]) > 0.6
    assert max(told[20.0, -1.0], told[20.0, -3.0]) <= 0.02, told


def by_looking(sizes: np.ndarray, largest: float) -> float:
    """Lower bound, k_B T, of the free energy of what is larger, by unbiased sizes; 0 where there is none."""
    seen = {"unbiased_s": 1e-12 * STEP * sizes.size, "grown": sizes.max(axis=1).tolist(), "looks": looks(sizes)}
    none = np.zeros((20, 1))
    free = FreeEnergy(np.array([largest - 0.5]), np.zeros(1), np.zeros(1), none, 1.0, np.zeros(1))
    try:
        return nucleation_limits.barrier_record(free, seen, 300.0, "x", {}).value / THERMAL
    except UserError:
        return 0.0


KELVIN, VOLUME, RATE, BLOCKS, GRID = 400.0, 1e-26, 1e11, 20, np.arange(0.5, 20.0)
PARABOLA = 6 * (1 - ((GRID - 10) / 9.5) ** 2)
"""F in k_B T, whose top is passed."""


def parabola(noise: np.ndarray) -> FreeEnergy:
    """F with the noise (BLOCKS, bins) of its parts."""
    copies = PARABOLA + (noise.sum(axis=0) - noise) / (BLOCKS - 1)
    return FreeEnergy(GRID, PARABOLA + noise.mean(axis=0), jackknife_error(copies), copies, 1.0, PARABOLA)


def fastest(overpotential: float, pressure: float) -> float:
    """log10 J along the exact F, atoms joining as fast everywhere as at the critical size by its surface (RATE at two atoms)."""
    thermal, free = BOLTZMANN * KELVIN, parabola(np.zeros((BLOCKS, len(GRID))))
    known = waiting_time(free, ONE, drive(overpotential, pressure), thermal)
    surface = max(1.0, known.critical / 2.0) ** (2 / 3)
    return float(np.log10(RATE * surface / VOLUME) - known.log_time / np.log(10))


def test_limits_taken_from_stronger_drives_hold() -> None:
    """The least of the limits of all drives as strong or stronger, of F with noise in every size and of the attachment rate."""
    drives, pressures, random = (0.0, -0.01, -0.02, -0.03, -0.06), (0.0,), np.random.default_rng(4)
    truth = {(η, p): fastest(η, p) for η in drives for p in pressures}
    held, taken = {where: 0 for where in truth}, 0
    for _ in range(TRIALS):
        free = parabola(random.normal(0, 0.6 * BLOCKS**0.5, (BLOCKS, len(GRID))))
        limit = RATE * max(0.05, 1 + 0.3 * (random.standard_normal() + ONE_SIDED_95))  # holds in 95 %
        seen = {"mean_size": 2.0, "unbiased_s": 4e-12, "grown": [1.0, 1.0], "attachment_limit": limit, "looks": 60.0}
        for record in nucleation_limits.table(free, seen, VOLUME, KELVIN, drives, pressures, "x", {}):
            where = record.conditions["overpotential_V"], record.conditions["pressure_Pa"]
            held[where] += record.value >= truth[where]
            taken += "a rate does not fall as the drive rises" in record.source["method"]
    assert taken > TRIALS / 4
    assert min(held.values()) >= 0.90 * TRIALS, held
