"""Nucleation without a rate: barriers and their lower bounds, upper bounds of the rate that hold; where a trial starts."""

import itertools
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atomistic import nucleation_limits, study_start
from atomistic.correlated import jackknife_error, looks
from atomistic.metadynamics import FreeEnergy
from atomistic.nucleation import Attachment, attachment, drive, waiting_time
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError

KELVIN, VOLUME = 400.0, 1e-26
THERMAL = BOLTZMANN * KELVIN
GRID = np.arange(0.5, 20.0)


def parabola(top: float, until: float = 20.0, noise: float = 0.05) -> FreeEnergy:
    """F/kT = top (1 - ((n - 10)/9.5)²) up to a size, with scatter of the blocks; highest at 9.5 and 10.5."""
    values = np.where(GRID < until, top * (1 - ((GRID - 10) / 9.5) ** 2), np.inf)
    copies = values + np.random.default_rng(0).normal(0, noise, (20, len(GRID)))
    return FreeEnergy(GRID, values, jackknife_error(copies), copies, 1.0, values)


def answer(grown: list[float], limit: float = 1e9) -> dict:
    return {"mean_size": 2.0, "unbiased_s": 4e-12, "grown": grown, "attachment_limit": limit, "looks": 60.0}


def test_a_barrier_that_was_passed_is_an_estimate() -> None:
    record = nucleation_limits.barrier_record(parabola(8.0), answer([1.0]), KELVIN, "x", {"study": "s"})
    assert (record.bound, record.unit, record.conditions["critical_size"]) == (None, "J", 9.5)
    assert record.value == pytest.approx(8.0 * THERMAL)
    assert record.stderr is not None
    highest = 8.0 * (1 - (0.5 / 9.5) ** 2) * THERMAL  # of the middles of the bins
    assert record.source["free_energy_eV"][10] == pytest.approx(highest / ELEMENTARY_CHARGE, abs=1e-5)


def test_a_barrier_that_was_not_passed_is_a_lower_bound() -> None:
    """Seen up to seven atoms: less than the top, by 1.645 errors below what was climbed."""
    free = parabola(8.0, until=7.0, noise=0.03)
    record = nucleation_limits.barrier_record(free, answer([1.0]), KELVIN, "x", {"study": "s"}, cell_overpotential=-0.01)
    assert (record.bound, record.stderr, record.conditions["critical_size"]) == ("lower", None, 6.5)
    climbed = 8.0 * (1 - (3.5 / 9.5) ** 2) * THERMAL
    assert 0.9 * climbed < record.value < climbed
    assert record.conditions["overpotential_V"] == -0.01
    told = "lower bound (95 %): highest at 6.5 atoms and no fall of 2 k_B T behind it (sizes up to 6.5 were seen)"
    assert told in record.source["method"]
    with pytest.raises(UserError, match="nothing beyond its error"):
        nucleation_limits.barrier_record(parabola(0.02, noise=0.3), answer([1.0]), KELVIN, "x", {"study": "s"})


def test_what_is_read_off_few_crossings_is_of_low_confidence() -> None:
    """Barrier, its bound, and the rate limited by the passage along F; not the limit by counting, which needs no F."""
    seen = answer([1.0, 1.0], 1e11)
    for walkers, crossings, confidence in ((2, 4.0, "low"), (2, 6.0, "computed"), (8, 14.0, "low"), (8, 16.0, "computed")):
        made = {"walkers": walkers, "crossings": crossings}
        barriers = [nucleation_limits.barrier_record(replace(free, **made), seen, KELVIN, "x", {})
                    for free in (parabola(8.0), parabola(8.0, until=7.0, noise=0.03))]  # fmt: skip
        few = replace(parabola(8.0), **made)
        driven = nucleation_limits.table(few, seen, VOLUME, KELVIN, (-0.02,), (0.0,), "x", {})
        for record in (*barriers, *driven):
            assert record.confidence == confidence
            told = f"of the {walkers} walkers that F(n) is from, {crossings:g} went across"
            assert (told in record.source.get("low_confidence", "")) == (confidence == "low")
        (counted,) = nucleation_limits.table(few, seen | {"attachment_limit": 1e20}, VOLUME, KELVIN, (0.0,), (0.0,), "x", {})
        assert counted.confidence == "computed"


def test_without_a_free_energy_the_barrier_is_bounded_by_looking() -> None:
    """Two sizes seen: of states of known share the bound by 60 looks without one holds in 90 … 100 % of the times it is told."""
    free = parabola(3.0, until=2.0)
    record = nucleation_limits.barrier_record(free, answer([1.4, 1.9]), KELVIN, "x", {"study": "s"})
    assert (record.bound, record.conditions["critical_size"]) == ("lower", 2.0)
    assert record.value == pytest.approx(THERMAL * (-math.log(1 - 0.05 ** (1 / 60)) - free.values.min()))
    assert "none of 60 independent looks in 4 ps of unbiased MD saw more than 2 atoms" in record.source["method"]
    with pytest.raises(UserError, match="bear no bound"):
        nucleation_limits.barrier_record(free, answer([1.4, 2.5]), KELVIN, "x", {"study": "s"})
    few = answer([1.4, 1.9]) | {"looks": 19.0}
    with pytest.raises(UserError, match=r"2 walkers make 19 independent looks, where 20 bear a bound \(fewer may be drift\)"):
        nucleation_limits.barrier_record(free, few, KELVIN, "x", {"study": "s"})
    # 60 looks miss states of the share 1 - 0.05^(1/60) in 5 % of the times
    assert (1 - (1 - 0.05 ** (1 / 60))) ** 60 == pytest.approx(0.05)


def test_independent_looks_of_a_correlated_series() -> None:
    """Values that forget e^-1 in τ make n (1 - a)/(1 + a) looks, a = e^(-1/τ); white ones n; still ones none."""
    random, kept = np.random.default_rng(5), np.exp(-1 / 6.0)
    series = np.zeros((4, 5000))
    kicks = random.standard_normal(series.shape)
    for number in range(1, 5000):
        series[:, number] = kept * series[:, number - 1] + kicks[:, number]
    expected = series.size * (1 - kept) / (1 + kept)
    assert looks(series) == pytest.approx(expected, rel=0.15)
    assert looks(kicks) == pytest.approx(series.size, rel=0.1)
    assert looks(np.ones((2, 50))) == 0.0


def test_counts_bound_the_rate_as_poisson_does() -> None:
    """At rest and against the metal: of 200 made runs with 0.5 to 4 events each, the limit holds in 93 … 100 %."""
    random, held = np.random.default_rng(1), 0
    for _ in range(200):
        mean = random.uniform(0.5, 4.0)
        events = random.poisson(mean)
        grown = [15.0] * events + [1.0] * (20 - events)
        seen = answer(grown, 1e15)
        records = nucleation_limits.table(parabola(3.0), seen, VOLUME, KELVIN, (0.0,), (0.0,), "x", {"a": 1})
        held += records[0].value >= math.log10(mean / (VOLUME * 4e-12))
    assert 0.93 * 200 <= held
    assert f"{events} of 20 unbiased walkers, 4 ps in all, grew beyond 9.5 atoms" in records[0].source["method"]


def test_the_limit_of_a_walk_without_trend_holds() -> None:
    """D of random walks too short to tell it from zero: the upper limit lies above D in 90 … 100 % of 200 (nominal 95 %)."""
    random, held, refused = np.random.default_rng(2), 0, 0
    for _ in range(200):
        sizes = 5 + np.cumsum(random.normal(0, 0.1, (2, 100)), axis=1) + random.normal(0, 0.5, (2, 100))
        seen = nucleation_limits.seen(sizes, 2e-14, 10)
        held += seen["attachment_limit"] >= 0.1**2 / 2 / 2e-14
        try:
            attachment(sizes, 2e-14, (0.0, math.inf), 10)
        except UserError:
            refused += 1
    assert refused > 50
    assert 180 <= held
    still = nucleation_limits.seen(np.full((2, 100), 3.0), 2e-14, 10)
    assert still["attachment_limit"] == pytest.approx(2.9957 / 4e-12, rel=1e-4)
    assert still["grown"] == [3.0, 3.0]


def test_towards_the_metal_the_passage_bounds_the_rate() -> None:
    """Driven, only the attachment limit counts: above the rate with the true attachment at any size up to the critical one."""
    free, limit = parabola(8.0), 1e11
    (record,) = nucleation_limits.table(free, answer([1.0, 1.0], limit), VOLUME, KELVIN, (-0.02,), (0.0,), "x", {"a": 1})
    assert "mean first passage" in record.source["method"]
    exact = waiting_time(free, Attachment(limit, 0.0, GRID, GRID), drive(-0.02, 0.0), THERMAL)
    surface = (exact.critical / 2.0) ** (2 / 3)
    expected = (-exact.log_time - math.log(VOLUME) + 1.644854 * exact.stderr + math.log(surface)) / math.log(10)
    assert record.value == pytest.approx(expected, abs=1e-3)
    (rest,) = nucleation_limits.table(free, answer([1.0, 1.0], limit), VOLUME, KELVIN, (0.0,), (0.0,), "x", {"a": 1})
    assert rest.value < record.value


def test_no_field_of_the_table_is_empty() -> None:
    """Two sizes seen bear no F(n): every drive has a bound, at the metal's side the rate at which atoms may join."""
    few, seen = parabola(3.0, until=2.0), answer([1.4, 2.5], 1e11)
    drives, pressures = (0.0, -0.02, -0.2, -1.0), (0.0, 1e9)
    found = nucleation_limits.table(few, seen, VOLUME, KELVIN, drives, pressures, "x", {})
    fields = [(one.conditions["overpotential_V"], one.conditions["pressure_Pa"]) for one in found]
    assert fields == list(itertools.product(drives, pressures))
    assert {one.bound for one in found} == {"upper"}
    driven = found[-1]
    surface = (2.5 / 2.0) ** (2 / 3)
    assert driven.value == pytest.approx(math.log10(1e11 * surface / VOLUME))
    assert "no nucleus before an atom joins a cluster of 2.5 atoms, the largest seen" in driven.source["method"]


def test_joining_bounds_the_rate_of_a_birth_and_death_process() -> None:
    """Sizes 1, 2, 3 … with attachment k and what falls away: however steep F falls, no cluster outgrows a size faster than k."""
    limit = 1e11
    for fall in (0.0, 1.0, 5.0, 20.0):  # k_B T an atom
        attach, leave = limit, limit * math.exp(-fall)
        size = 3
        steps = [1 / attach]  # mean time of each step up, of a chain that does not fall below 1
        for _ in range(size - 1):
            steps.append(1 / attach + leave / attach * steps[-1])
        few, seen = parabola(0.0, until=2.9), answer([3.0, 3.0], limit) | {"mean_size": 3.0}
        (found,) = nucleation_limits.table(few, seen, VOLUME, KELVIN, (-1.0,), (0.0,), "x", {})
        assert found.value >= math.log10(1 / (sum(steps) * VOLUME))


def falling_back(joins: float, rise: float, random: np.random.Generator) -> np.ndarray:
    """Sizes (2 walkers, 100 frames 20 fs apart) of clusters that atoms join at a rate (1/s) and leave e^rise times as fast."""
    parts = math.ceil(20e-15 * 50 * joins * (1 + math.exp(rise)))
    up, down = (rate * 20e-15 / parts for rate in (joins, joins * math.exp(rise)))
    now, kept = np.ones(2, dtype=int), []
    for step in range(120 * parts):
        drawn = random.random(2)
        now = now + (drawn < up) - ((drawn > 1 - down) & (now > 1))
        if step >= 20 * parts and step % parts == 0:
            kept.append(now)
    return np.array(kept, dtype=float).T


def test_joins_that_do_not_last_are_in_the_bound_of_a_strong_drive() -> None:
    """⟨Δn²⟩ of sizes that fall back within the lags has no slope; where nothing leaves they grow as fast as atoms join."""
    random, joins, held, short = np.random.default_rng(3), 5e12, 0, 0
    for _ in range(20):
        sizes = falling_back(joins, 2.5, random)
        seen = nucleation_limits.seen(sizes, 20e-15, 10) | {"mean_size": float(sizes.mean())}
        truth = math.log10(joins / (sizes.max() * VOLUME))  # from a single atom, one after the other
        (found,) = nucleation_limits.table(parabola(0.0, until=1.0), seen, VOLUME, KELVIN, (-1.0,), (0.0,), "x", {})
        (slope,) = nucleation_limits.table(parabola(0.0, until=1.0), seen | {"joining_limit": seen["attachment_limit"]}, VOLUME,
                                           KELVIN, (-1.0,), (0.0,), "x", {})  # fmt: skip
        held += found.value >= truth
        short += slope.value < truth
    assert held >= 19
    assert short >= 4


REACTION = Path(__file__).parent.parent / "cases" / "_studies" / "reaction-li6ps5cl.toml"


def test_a_limit_at_a_stronger_drive_holds_for_a_weaker_one() -> None:
    """Limits never rise as the drive falls, each is at most that of its drive alone, and what is taken from elsewhere says so."""
    free, seen = parabola(3.0, noise=1.0), answer([1.0, 1.0], 1e11)
    drives, pressures = (0.0, -0.01, -0.03, -0.06, -0.1), (0.0, 2e8)
    records = nucleation_limits.table(free, seen, VOLUME, KELVIN, drives, pressures, "x", {"a": 1})
    by_drive = sorted(records, key=lambda one: drive(one.conditions["overpotential_V"], one.conditions["pressure_Pa"]))
    assert np.all(np.diff([one.value for one in by_drive]) >= 0)
    taken = 0
    for record in records:
        here = (record.conditions["overpotential_V"],), (record.conditions["pressure_Pa"],)
        (alone,) = nucleation_limits.table(free, seen, VOLUME, KELVIN, *here, "x", {"a": 1})
        lower = record.value < alone.value
        assert lower or record.value == alone.value
        assert lower == ("a rate does not fall as the drive rises" in record.source["method"])
        taken += lower
    assert taken


def test_a_trial_starts_from_the_unreacted_cell(tmp_path: Path) -> None:
    """Without the reaction's end: the cost by the cell it starts from, a trial from the small one, the study itself refused."""
    (tmp_path / "react.toml").write_text(REACTION.read_text(encoding="utf-8"), encoding="utf-8")
    end = str(tmp_path / "react" / "final.extxyz")
    waits = study_start.unreacted(end)
    assert waits is not None
    assert "react.toml` must run first" in waits.note
    with pytest.raises(UserError, match=r"multiscale md .*react.toml` writes it and must run first"):
        study_start.frames(end, None, 0)
    with pytest.raises(UserError, match=r"at-77ps.extxyz: no such file; .*react.toml writes final.extxyz"):
        study_start.unreacted(str(tmp_path / "react" / "at-77ps.extxyz"))
    shorter = study_start.of_trial(end)
    assert shorter == str(tmp_path / "react-trial" / "final.extxyz")
    (small,) = study_start.frames(shorter, None, 0)
    repeat = tomllib.loads(REACTION.read_text(encoding="utf-8"))["repeat"]
    assert math.prod(repeat) * len(small) == len(waits.atoms)
    (tmp_path / "react-trial").mkdir()
    small.write(shorter, format="extxyz")
    assert study_start.unreacted(shorter) is None
    assert len(study_start.frames(shorter, None, 0)[0]) == len(small)
    assert study_start.unreacted(str(tmp_path / "other" / "final.extxyz")) is None
