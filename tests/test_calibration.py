"""Conformal calibration: nominal coverage on fresh data, the finite-sample rank, elements apart, committees against labels."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from scipy import stats

from atomistic import calibration
from atomistic.calibration import Atomwise
from coupling.errors import UserError


def heteroscedastic(count: int, seed: int, factor: float = 2.0, number: int = 3) -> Atomwise:
    """Gaussian errors whose width is `factor` times a spread that varies by a decade from atom to atom."""
    random = np.random.default_rng(seed)
    spreads = 10 ** random.uniform(-2, -1, count)
    errors = np.linalg.norm(factor * spreads[:, None] * random.normal(size=(count, 3)) / np.sqrt(3), axis=1)
    return Atomwise(np.full(count, number), errors, spreads, errors**2 + spreads**2)


def test_fresh_atoms_are_covered_at_the_nominal_rate() -> None:
    """Exact: with n scores the coverage of one new atom is ⌈(n+1)·0.9⌉/(n+1), averaged over calibrations."""
    count, trials = 39, 4000
    hits = sum(
        calibration.coverage(calibration.calibrate(heteroscedastic(count, seed), 1), heteroscedastic(1, 10**6 + seed)) == 1.0
        for seed in range(trials)
    )
    low, high = stats.binom.interval(0.999, trials, np.ceil((count + 1) * 0.9) / (count + 1))
    assert low <= hits <= high
    assert hits / trials > 0.9 - 0.02


def test_one_large_calibration_covers_within_binomial_limits_and_finds_the_scale() -> None:
    made = calibration.calibrate(heteroscedastic(5000, 1), 10)
    fresh = heteroscedastic(5000, 2)
    covered = calibration.coverage(made, fresh)
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 * 2 / 5000)
    assert made.scale == pytest.approx(2.0, rel=0.05)
    # the score is 2/√3 times a chi variable of three degrees of freedom
    assert made.quantile == pytest.approx(2 / np.sqrt(3) * stats.chi(3).ppf(0.9), rel=0.03)
    assert made.rmse(fresh.spreads) == pytest.approx(fresh.rmse, rel=0.05)
    rows = calibration.claimed_and_found(made, fresh)
    assert sum(row["atoms"] for row in rows) == 5000
    for row in rows:
        assert row["found_rmse"] == pytest.approx(row["claimed_rmse"], rel=0.15)
        assert row["coverage"] == pytest.approx(0.9, abs=0.06)


def test_the_rank_has_the_finite_sample_correction() -> None:
    scores = np.arange(1.0, 20.0)  # n = 19: rank ⌈20 · 0.9⌉ = 18
    assert calibration.conformal_quantile(scores[::-1]) == 18.0
    assert calibration.conformal_quantile(scores[:9]) == 9.0
    with pytest.raises(UserError, match="8 held-out atoms for a bound at 90% confidence; at least 9"):
        calibration.conformal_quantile(scores[:8])


def test_an_element_with_enough_atoms_has_its_own_factor() -> None:
    parts = [heteroscedastic(400, 1, 1.0, 3), heteroscedastic(400, 2, 4.0, 16), heteroscedastic(20, 3, 9.0, 15)]
    joined = Atomwise(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("numbers", "errors", "spreads", "members"))
    )
    made = calibration.calibrate(joined, 5)
    assert set(made.by_element) == {"Li", "S"}
    assert made.by_element["S"] / made.by_element["Li"] == pytest.approx(4.0, rel=0.15)
    np.testing.assert_allclose(made.factors(np.array([3, 15])), [made.by_element["Li"], made.quantile])
    assert calibration.from_dict(made.to_dict()) == made


def test_errors_of_a_committee_are_those_of_its_mean_force() -> None:
    def lennard_jones(depth: float) -> LennardJones:
        return LennardJones(epsilon=depth, sigma=2.3, rc=5.0, smooth=True)

    atoms = bulk("Cu", a=3.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    members = [lennard_jones(depth) for depth in (0.1, 0.2)]
    frame: Atoms = atoms.copy()
    truth = lennard_jones(0.3).get_property("forces", atoms)
    frame.arrays["REF_forces"] = truth
    found = calibration.atomwise([frame], members)
    # forces are linear in the depth: the mean is half of the label, the spread a sixth
    np.testing.assert_allclose(found.errors, np.linalg.norm(truth, axis=1) / 2, rtol=1e-9)
    np.testing.assert_allclose(found.spreads, np.linalg.norm(truth, axis=1) / 6, rtol=1e-9)
    np.testing.assert_allclose(found.scores, 3.0, rtol=1e-9)
    squares = np.mean([(member.get_property("forces", atoms) - truth) ** 2 for member in members])
    assert found.member_rmse == pytest.approx(np.sqrt(squares))
    with pytest.raises(UserError, match="no labelled frame"):
        calibration.atomwise([], members)
