"""Records of the members of a committee: total variance, bounds, intervals, coverage; a study with several members."""

import math
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from scipy import stats

from atomistic import study
from atomistic.pooling import over_members
from coupling.errors import UserError
from coupling.record import Property, sample


def record(value: float, stderr: float | None = None, **more: object) -> Property:
    """A diffusivity."""
    return Property("Li3P", "self_diffusivity", value, "m^2/s", stderr=stderr, source={"keys": ["a"]}, **more)  # type: ignore[arg-type]


def test_variance_is_that_of_the_runs_plus_that_of_the_members() -> None:
    """ln x of the members 1, 2, 3 apart by h, each known to σ: var = σ² + h²."""
    step, sigma = 0.2, 0.1
    values = [math.exp(step * k) for k in (-1, 0, 1)]
    errors = [value * math.sqrt(math.expm1(sigma**2)) for value in values]
    (found,) = over_members([[record(v, e)] for v, e in zip(values, errors, strict=True)])
    assert found.value == pytest.approx(1.0)
    assert found.stderr is not None
    assert math.log1p((found.stderr / found.value) ** 2) == pytest.approx(sigma**2 + step**2)
    assert found.source["spread"] == pytest.approx(step)
    assert [entry["value"] for entry in found.source["members"]] == values


def test_values_of_either_sign_are_averaged_as_they_are() -> None:
    """Elastic constants may be negative."""
    (found,) = over_members([[record(-1.0, 0.3)], [record(1.0, 0.3)]])
    assert (found.value, found.stderr) == (0.0, pytest.approx(math.hypot(0.3, math.sqrt(2.0))))


def test_interval_holds_both_errors() -> None:
    """A 95 % interval grows by the members' spread on a log axis; drawn values follow it."""
    (found,) = over_members([[record(v, 0.1 * v, low=v / 2, high=v * 3)] for v in (0.5, 1.0, 2.0)])
    wider = 1.959964 * math.log(2.0)
    assert found.low == pytest.approx(math.exp(-math.hypot(math.log(2), wider)))
    assert found.high == pytest.approx(math.exp(math.hypot(math.log(3), wider)))
    drawn = sample(found, 20000, np.random.default_rng(0))
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([found.low, found.high], rel=0.1)


def test_bounds() -> None:
    """Bounds alone: the loosest. Beside estimates: a bound above them says nothing, one below them counts."""
    upper = [record(1.0, bound="upper"), record(3.0, bound="upper")]
    (loosest,) = over_members([[item] for item in upper])
    assert (loosest.value, loosest.bound) == (3.0, "upper")
    (silent,) = over_members([[record(1.0, 0.1)], [record(3.0, bound="upper")]])
    assert (silent.value, silent.source["spread"]) == (pytest.approx(1.0), 0.0)
    (against,) = over_members([[record(4.0, 0.1)], [record(1.0, bound="upper")]])
    assert against.value == pytest.approx(2.0)
    assert against.source["spread"] > 1.0


@pytest.mark.parametrize("members", [2, 3, 4])
def test_an_estimate_among_bounds_is_no_estimate(members: int) -> None:
    """True value 1.5 errors, told from two on: of what is told as an estimate or a bound 95 % hold, of all members together."""
    random, held = np.random.default_rng(3), []
    for _ in range(400):
        drawn = [1.5 + float(noise) for noise in random.standard_normal(members)]
        found = [record(value, 1.0) if value > 2 else record(max(value, 0.0) + 1.645, bound="upper") for value in drawn]
        (one,) = over_members([[each] for each in found])
        spread = 0.0 if one.stderr is None else math.sqrt(math.log1p((one.stderr / one.value) ** 2))
        held.append(one.value >= 1.5 if one.bound else abs(math.log(one.value / 1.5)) < 1.96 * spread)
    assert np.mean(held) >= 0.94


def test_quantities_are_told_apart_by_their_conditions_not_by_what_the_run_found() -> None:
    """Two temperatures stay two; the mean temperature that a run really had does not part two members."""
    cold, hot = {"temperature_K": 300.0, "mean_temperature_K": 301.0}, {"temperature_K": 400.0}
    one = [record(1.0, 0.1, conditions=cold), record(5.0, 0.1, conditions=hot)]
    other = [record(1.2, 0.1, conditions={**cold, "mean_temperature_K": 298.0})]
    found = over_members([one, other])
    assert [item.value for item in found] == [pytest.approx(math.sqrt(1.2)), 5.0]


def test_error_covers_the_teacher() -> None:
    """Three members that scatter about the truth and share no error: the spread of one member is more than their mean departs by.

    Of n members whose own errors are small the interval covers P(|t| < √n z), t of Student with n - 1 freedoms: 77.5 and 92.3 %
    of three. That is a stated spread, wider than a sampling error: members that share data depart together.
    """
    rng, hits = np.random.default_rng(3), np.zeros(2)
    for _ in range(2000):
        values = np.exp(rng.normal(0.0, 0.15, 3))
        (found,) = over_members([[record(float(v), 1e-6 * float(v))] for v in values])
        assert found.stderr is not None
        sigma = math.sqrt(math.log1p((found.stderr / found.value) ** 2))
        hits += np.abs(math.log(found.value)) < sigma * np.array([1.0, 1.96])
    expected = [2 * stats.t.cdf(3**0.5 * limit, 2) - 1 for limit in (1.0, 1.96)]
    assert hits / 2000 == pytest.approx(expected, abs=0.03)


def test_study_with_three_members(tmp_path: Path) -> None:
    """C11 of argon grows with its binding (10 % a member): the record holds mean and spread; dynamics of the first alone."""
    settings = study.StudySettings(phases=("Ar",), seed=5, committee="statics")
    tools = tiny_study.tools(members=3)
    kinds = [(task.kind, task.parameters.get("member", 0)) for task in study.plan(settings, tools)]
    assert kinds.count(("elasticity", 2)) == 1
    assert ("diffusion", 1) not in kinds
    records = study.run(settings, tmp_path, tools=tools)
    (alone,) = [r for r in study.run(tiny_study.SETTINGS, tmp_path, tools=tiny_study.tools()) if r.quantity == "bulk_modulus"]
    (found,) = [r for r in records if r.quantity == "bulk_modulus"]
    assert found.value == pytest.approx(alone.value * (1.0 * 1.1 * 1.2) ** (1 / 3), rel=1e-3)
    assert found.source["spread"] == pytest.approx(found.value * float(np.std(np.log([1.0, 1.1, 1.2]), ddof=1)), rel=1e-2)


def test_members_are_chosen_by_name() -> None:
    """"first" takes one model, "all" every one for everything; anything else is refused."""
    tools = tiny_study.tools(members=3)
    counts = {
        name: len(study.plan(study.StudySettings(phases=("Ar",), committee=name), tools)) for name in ("first", "statics", "all")  # type: ignore[arg-type]
    }
    assert counts == {"first": 5, "statics": 11, "all": 15}
    with pytest.raises(UserError, match="committee 'best'; allowed: first, statics, all"):
        study.StudySettings(committee="best")  # type: ignore[arg-type]
