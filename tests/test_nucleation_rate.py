"""Nucleation rate: passage time along a known free energy, the tilt, the bound, attachment rates, cover of the errors."""

import numpy as np
import pytest

from atomistic import nucleation
from atomistic.correlated import jackknife_error
from atomistic.metadynamics import FreeEnergy, Hills, SamplingSettings, free_energy, sample
from atomistic.nucleation import Attachment, attachment, classical_record, drive, escape_record, rate_record, waiting_time
from atomistic.walkers import Overdamped
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE, FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from coupling.nucleation import drives_told
from coupling.record import Property

THERMAL = BOLTZMANN * 300.0
GRID = np.arange(0.25, 120.0, 0.5)


def classical_curve(surface: float, gain: float) -> np.ndarray:
    """surface n^⅔ - gain n, in k_B T."""
    return surface * GRID ** (2 / 3) - gain * GRID


def known(curve: np.ndarray, noise: float = 0.0, blocks: int = 20, seed: int = 0) -> FreeEnergy:
    """A free energy with block estimates of a slope error `noise` (k_B T per atom, of the whole)."""
    slopes = np.random.default_rng(seed).normal(0, noise / np.sqrt(blocks - 1), blocks)
    mean = slopes.mean() * (blocks - 1)
    copies = curve + (slopes + mean)[:, None] * GRID
    return FreeEnergy(GRID, curve + mean * GRID, jackknife_error(copies), copies, 1.0, curve)


def joining(value: float = 1e12, stderr: float = 0.0) -> Attachment:
    return Attachment(value, stderr, np.array([1.0]), np.array([1.0]))


def test_waiting_time_is_the_kramers_integral() -> None:
    """F = 3 n^⅔ - 0.9 n k_B T: Zeldovich's saddle-point formula within its own correction, the barrier and its place."""
    found = waiting_time(known(classical_curve(3.0, 0.9)), joining(), 0.0, THERMAL)
    critical = (2 * 3.0 / (3 * 0.9)) ** 3
    height = 3.0 * critical ** (2 / 3) - 0.9 * critical
    curvature = 3.0 * 2 / 9 * critical ** (-4 / 3)
    basin = np.sum(np.exp(-classical_curve(3.0, 0.9)[GRID < critical])) * 0.5
    saddle = np.sqrt(2 * np.pi / curvature) * np.exp(height) * basin / 1e12
    assert found.critical == pytest.approx(critical, abs=0.5)
    assert found.barrier / THERMAL == pytest.approx(height - classical_curve(3.0, 0.9)[0], abs=0.02)
    assert found.log_time == pytest.approx(np.log(saddle), abs=0.4)
    assert not found.bound


def test_overpotential_and_pressure_tilt_it() -> None:
    """A curve without a barrier gets one by the drive; pressure takes off what it is worth; the equilibrium is kept."""
    assert drive(-0.1, 0.0) == pytest.approx(0.1 * ELEMENTARY_CHARGE)
    assert drive(-0.1, 0.1 * FARADAY / LITHIUM_MOLAR_VOLUME) == pytest.approx(0.0, abs=1e-30)
    assert drive(-0.1, 0.0, -0.1) == 0.0
    flat = known(classical_curve(3.0, 0.0))
    driven = waiting_time(flat, joining(), 0.9 * THERMAL, THERMAL)
    assert driven.log_time == pytest.approx(waiting_time(known(classical_curve(3.0, 0.9)), joining(), 0.0, THERMAL).log_time)
    assert waiting_time(flat, joining(), 0.0, THERMAL).bound


def test_records_are_estimates_or_bounds_with_conditions() -> None:
    flat = known(classical_curve(3.0, 0.0))
    where = {"volume": 1e-26, "temperature": 300.0, "material": "Li", "source": {"potential": "none"}}
    η = -0.9 * THERMAL / ELEMENTARY_CHARGE
    estimate = rate_record(flat, joining(1e12, 1e11), overpotential=η, pressure=0.0, **where)
    assert estimate.bound is None
    assert estimate.stderr == pytest.approx(0.1 / np.log(10))
    assert estimate.conditions["overpotential_against"] == "lithium of the cell itself"
    bound = rate_record(flat, joining(1e12, 1e11), overpotential=0.0, pressure=0.0, cell_overpotential=0.0, **where)
    assert (bound.bound, bound.stderr) == ("upper", None)
    pressed = rate_record(flat, joining(), overpotential=η, pressure=1e8, **where)
    assert pressed.value < estimate.value
    theory = classical_record(0.4, 1e-12, 3e-10, 1e28, 300.0, -0.2, 0.0, "Li")
    assert theory is not None
    assert theory.kind == "derived"
    assert classical_record(0.4, 1e-12, 3e-10, 1e28, 300.0, 0.2, 0.0, "Li") is None


def test_escapes_give_a_rate_only_where_they_are_exponential() -> None:
    random = np.random.default_rng(1)
    record = escape_record(random.exponential(1e-9, 40), 5.0, 1e-26, 300.0, "Li", {"potential": "none"})
    assert record.low is not None
    assert record.high is not None
    assert record.low < 35.0 < record.high
    with pytest.raises(UserError, match="not exponential"):
        escape_record(random.gamma(5.0, 1e-9, 60), 5.0, 1e-26, 300.0, "Li", {"potential": "none"})


def test_error_of_the_rate_covers() -> None:
    """200 free energies with a random slope: 68 and 95 % intervals of ln τ cover as they claim."""
    exact = waiting_time(known(classical_curve(3.0, 0.9)), joining(), 0.0, THERMAL).log_time
    away = []
    for seed in range(200):
        found = waiting_time(known(classical_curve(3.0, 0.9), 0.02, seed=seed), joining(), 0.0, THERMAL)
        away.append((found.log_time - exact) / found.stderr)
    assert 0.60 <= np.mean(np.abs(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(away) < 1.96) <= 0.98


def test_attachment_rate_of_a_walk_covers() -> None:
    """Random walks of known D with rattling on top: the value comes back, 68 % intervals cover 60-76 %, 95 % 90-98 %."""
    random, away = np.random.default_rng(5), []
    for _ in range(200):
        walk = 50 + np.cumsum(random.normal(0, np.sqrt(2 * 3.0 * 0.01), (4, 400)), axis=1)
        found = attachment(walk + random.normal(0, 0.2, walk.shape), 0.01, (0.0, 100.0))
        away.append((found.value - 3.0) / found.stderr)
    assert 0.60 <= np.mean(np.abs(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(away) < 1.96) <= 0.98


def test_a_rate_from_metadynamics_is_the_exact_passage_time() -> None:
    """The double well with b = 5 (V15): F by metadynamics and D = 1 give the time that ends beyond the barrier."""
    line = Overdamped(lambda x: 20 * x * (x * x - 1), np.linspace(-1, 1, 24), 2e-3, 1)
    visits = sample(line, Hills(-2.0, 2.0, 121, 0.15, 0.15, 1.0, 8.0), SamplingSettings(8000, 50, 10))
    free = free_energy(visits, np.linspace(-1.7, 1.7, 86))
    found = waiting_time(free, joining(1.0), 0.0, THERMAL)
    assert found.barrier / THERMAL == pytest.approx(5.0, abs=4 * found.barrier_stderr / THERMAL + 0.1)
    # from -1 to the place where U has fallen by 2 k_B T: quadrature
    x = np.linspace(-3, 1, 40001)
    potential = 5 * (x**2 - 1) ** 2
    below = np.cumsum(np.exp(-potential)) * (x[1] - x[0])
    end = np.sqrt(1 - np.sqrt(3 / 5))
    part = (x > -1) & (x < end)
    exact = np.sum(np.exp(potential[part]) * below[part]) * (x[1] - x[0])
    assert abs(found.log_time - np.log(exact)) < 4 * found.stderr + 0.1
    assert found.stderr < 0.3


def classical_rate(overpotential: float, stderr: float | None = None, pressure: float = 0.0) -> Property:
    record = classical_record(0.46, 1e-11, 3.5e-10, 2.5e28, 400.0, overpotential, pressure, "Li6PS5Cl", stderr)
    assert record is not None
    return record


def test_a_classical_rate_has_the_error_of_its_surface_energy() -> None:
    """The barrier goes with γ³: d log10 J/dγ is -3 ΔG*/(γ k_B T ln 10) but for the prefactor, the interval is longer below."""
    plain, found = classical_rate(-0.3), classical_rate(-0.3, 0.01)
    assert (plain.stderr, plain.low, found.value) == (None, None, plain.value)
    assert "came without one" in plain.source["error"]
    slope = 3 * found.conditions["barrier_eV"] * 1.602176634e-19 / (0.46 * 1.380649e-23 * 400 * np.log(10))
    assert found.stderr == pytest.approx(0.01 * slope, rel=0.02)
    assert (found.low, found.high) == pytest.approx((found.value - 2 * found.stderr, found.value + 2 * found.stderr), rel=0.05)
    assert found.value - found.low > found.high - found.value
    assert (found.confidence, "low_confidence" in found.source) == ("computed", False)


def test_rates_of_nothing_are_of_low_confidence() -> None:
    """-20 mV: 46,000 atoms and 10^-5784; -200 mV with a wide error: perhaps something, perhaps nothing."""
    large, seldom = classical_rate(-0.02), classical_rate(-0.1, 0.001)
    assert large.confidence == seldom.confidence == "low"
    assert "4.6e+04 atoms (more than 10000)" in large.source["low_confidence"]
    assert "age of the universe (4.4e+17 s): nothing nucleates" in seldom.source["low_confidence"]
    assert "atoms" not in seldom.source["low_confidence"]
    doubtful = classical_rate(-0.2, 0.04)
    assert doubtful.confidence == "low"
    assert "but up to 1e4 per m^3 and s within the error" in doubtful.source["low_confidence"]
    assert classical_record(0.46, 1e-11, 3.5e-10, 2.5e28, 400.0, -0.02, 1e9, "Li") is None


def test_drives_are_told_by_pressure() -> None:
    told = drives_told([(-0.02, 0.0), (-0.02, 1e8), (-0.05, 0.0), (-0.05, 1e8), (-0.2, 1e9)])
    assert told == "η = -0.02, -0.05 V at 0, 100 MPa; η = -0.2 V at 1000 MPa"


def test_a_bound_is_no_looser_than_that_of_a_stronger_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """10^39.66 at -100 mV and 10^39.56 at -200 mV: the second holds for both; an estimate stays, and so does a weaker bound."""
    values = {0.0: (30.0, None), -0.1: (39.66, "upper"), -0.2: (39.56, "upper"), -0.3: (39.9, "upper"), -0.4: (38.0, None)}

    def made(free, joining, volume, temperature, overpotential, pressure, material, source, cell_overpotential) -> Property:
        value, bound = values[overpotential]
        conditions = {"overpotential_V": overpotential, "pressure_Pa": pressure, "critical_size": 10 * overpotential}
        return Property(material, "log10_nucleation_rate", value, "1", stderr=None if bound else 0.1, bound=bound,
                        conditions=conditions, source={"method": "made up"})  # fmt: skip

    monkeypatch.setattr(nucleation, "rate_record", made)
    found = nucleation.table(known(classical_curve(3.0, 0.0)), joining(), 1e-27, 300.0, list(values), [0.0], "Li", {})
    assert [record.value for record in found] == [30.0, 39.56, 39.56, 39.9, 38.0]
    assert found[1].conditions == {"overpotential_V": -0.1, "pressure_Pa": 0.0, "critical_size": -2.0}
    assert found[1].source["method"].startswith("a rate does not fall as the drive rises: bound at 0.1 eV an atom more; made up")
    assert found[2].source["method"] == "made up"
