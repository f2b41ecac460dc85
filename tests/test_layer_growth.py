"""Growth laws of a layer in MD: exact ones come back, errors cover, regimes are told apart, passivation, refusals."""

import numpy as np
import pytest

from atomistic.growth import LAWS, compare, passivation
from coupling.errors import UserError


def noise(random: np.random.Generator, count: int, width: float, correlation: float) -> np.ndarray:
    """Gaussian noise of a first-order autoregression."""
    made, kicks = np.zeros(count), random.normal(0, width, count)
    made[0] = kicks[0]
    for n in range(1, count):
        made[n] = correlation * made[n - 1] + np.sqrt(1 - correlation**2) * kicks[n]
    return made


def test_exact_laws_of_v18() -> None:
    """Parabolic L0 5 nm, k 1e-21 m²/s: 45 nm after 1e6 s; Deal-Grove A 20 nm, B 2e-21: 35.8258 nm (L0 = 0); fitted back."""
    t = np.linspace(0, 1e6, 60)
    parabolic = np.sqrt(25 + 2 * 1e-3 * t)  # nm, nm²/s
    assert parabolic[-1] == pytest.approx(45.0, abs=0.01)
    found = compare(t, parabolic, ("parabolic", "linear"))
    assert found.decided == "parabolic"
    assert found.fits[0].parameters["k"] == pytest.approx(1e-3, rel=1e-5)
    deal = -10 + np.sqrt(100 + 2e-3 * t)
    assert deal[-1] == pytest.approx(35.8258, abs=1e-4)
    fit = compare(t, deal, ("Deal-Grove", "linear"))
    assert fit.decided == "Deal-Grove"
    assert fit.fits[0].parameters["A"] == pytest.approx(20.0, rel=1e-2)
    assert fit.fits[0].parameters["B"] == pytest.approx(2e-3, rel=1e-2)


TRUE = {"linear": (5.0, 0.1), "parabolic": (5.0, 1.0), "Deal-Grove": (5.0, 20.0, 6.0), "two linear": (5.0, 0.15, 0.0, 80.0),
        "linear to parabolic": (3.0, 0.3, 0.4, 60.0)}  # fmt: skip


@pytest.mark.parametrize(("count", "correlation"), [(40, 0.0), (60, 0.4), (120, 0.6), (400, 0.6)])
@pytest.mark.parametrize("law", TRUE)
def test_errors_of_every_parameter_cover(law: str, count: int, correlation: float) -> None:
    """Noisy layers of each law, few thicknesses and many, without and with memory: intervals of all its parameters.

    400 of each, of the one whose time of change comes nearest to the end of the band (1000: 68 to 75 and 95 to 96 %) 800.
    """
    random, t, truth = np.random.default_rng(count), np.linspace(200 / count, 200, count), np.array(TRUE[law])
    names, curve = LAWS[law]
    away = []
    for _ in range(800 if law == "linear to parabolic" else 400):
        fit = compare(t, curve(truth, t) + noise(random, count, 0.3, correlation), (law,)).fits[0]
        away.append([abs(fit.parameters[name] - true) / fit.stderr[name] for name, true in zip(names, truth, strict=True)])
    one, two = ((np.array(away) < limit).mean(axis=0) for limit in (1.0, 1.96))
    told = "; ".join(f"{name} {a:.3f}, {b:.3f}" for name, a, b in zip(names, one, two, strict=True))
    assert all(0.60 <= rate <= 0.76 for rate in one), told
    assert all(0.90 <= rate <= 0.98 for rate in two), told


def test_one_and_two_regimes_are_told_apart() -> None:
    """Six noisy runs of each kind: never the wrong law, mostly the right number of regimes."""
    random, t = np.random.default_rng(2), np.linspace(0, 200, 80)
    truths = {
        "parabolic": np.sqrt(25 + 2 * 2.0 * t),
        "linear": 5 + 0.1 * t,
        "linear to parabolic": np.where(t < 60, 3 + 0.3 * t, np.sqrt(21.0**2 + 2 * 0.4 * (t - 60))),
    }
    for law, truth in truths.items():
        found = [compare(t, truth + noise(random, 80, 0.3, 0.3)) for _ in range(6)]
        assert law == "linear to parabolic" or sum(one.decided == law for one in found) >= 3
        assert all(one.decided in (law, None) for one in found)
        two = np.array([one.two_regimes for one in found])
        assert (two > 0.95).sum() >= 5 if law == "linear to parabolic" else (two < 0.9).all()


def test_passivation_is_a_rate_of_zero_within_its_error() -> None:
    """What stopped growing is passivated in most runs, what grows is not; the error of the rate covers."""
    random, t, away, stopped, grown = np.random.default_rng(3), np.linspace(0, 200, 120), [], 0, 0
    for _ in range(200):
        end = passivation(t, np.minimum(5 + t / 10, 15.0) + noise(random, 120, 0.3, 0.4))
        away.append(end.rate / end.stderr)
        stopped += end.passivated
        grown += passivation(t, 5 + t / 10 + noise(random, 120, 0.3, 0.4)).passivated
    assert stopped >= 180
    assert grown == 0
    assert 0.60 <= np.mean(np.abs(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(away) < 1.96) <= 0.98


@pytest.mark.parametrize("width", [1.0, 2.0])
def test_a_parabola_in_noise_has_not_passivated(width: float) -> None:
    """Late rates of three and of one and a half errors: zero within twice the error is then no sign that growth stopped."""
    random, t = np.random.default_rng(4), np.linspace(2, 200, 120)
    found = [passivation(t, np.sqrt(25 + 2 * t) + noise(random, 120, width, 0.6)).passivated for _ in range(100)]
    assert np.mean(found) <= 0.1


def test_too_little_or_broken_data_are_refused() -> None:
    t = np.linspace(0, 1, 30)
    with pytest.raises(UserError, match="at least 10"):
        compare(t[:5], t[:5])
    with pytest.raises(UserError, match="rising times"):
        compare(t[::-1], t)
    with pytest.raises(UserError, match="finite"):
        compare(t, np.where(t > 0.5, np.nan, t))
    with pytest.raises(UserError, match="20 are needed"):
        passivation(t, t)
