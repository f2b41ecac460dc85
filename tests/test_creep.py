"""Driven flow: the elastic slope of a crystal, the viscosity of a liquid, what is no flow; mobility along axes and its cover."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import ARGON_EPSILON, ARGON_SIGMA, PairPotential

from atomistic.creep import Drive, Flow, _steady, driven, flow_record, mobility, mobility_records, no_flow
from atomistic.dynamics import Unphysical
from coupling.errors import UserError


def test_the_first_slope_of_a_crystal_is_elastic() -> None:
    """Lennard-Jones fcc at 2 K: stress over strain along [001] at constant volume is 3 (C11 - C12)/2 (C from the tensor code)."""
    from atomistic.elasticity import elastic_tensor

    crystal = bulk("Ar", "fcc", a=5.26, cubic=True).repeat(3)
    calculator = PairPotential(cutoff=7.5)
    c = elastic_tensor(crystal, calculator, force=0.001).constants
    found = driven(crystal, calculator, Drive(2e9, 0.004, 0.002, 2.0, timestep=5.0))
    slope = np.polyfit(found.strains, found.stresses, 1)[0]
    assert slope == pytest.approx(1.5 * (c[0, 0] - c[0, 1]), rel=0.15)


def test_a_liquid_flows_with_three_times_its_viscosity(tmp_path) -> None:
    """Lennard-Jones (ρ* 0.84, T* 1.0) at a rate of 0.2/τ: η* 1.5 … 4 (about 2.5 at rest, thinner when driven fast)."""
    from atomistic import dynamics
    from atomistic.dynamics import DynamicsSettings

    edge = ARGON_SIGMA * (108 / 0.84) ** (1 / 3)
    atoms = bulk("Ar", "fcc", a=edge / 3, cubic=True).repeat(3)
    settings = DynamicsSettings(500.0, 1.0, timestep=5.0, friction_time=100.0, frame_interval=100.0, seed=1)
    liquid = dynamics.run(atoms, PairPotential(cutoff=7.8), settings, tmp_path).final
    liquid.set_momenta(np.zeros((108, 3)))
    time = ARGON_SIGMA * np.sqrt(39.948 / ARGON_EPSILON) * 1.01805e-14  # √(m σ²/ε) in s
    rate = 0.2 / time
    found = driven(liquid, PairPotential(cutoff=5.9), Drive(rate, 0.3, 0.05, 120.0, timestep=5.0, friction_time=200.0))
    viscosity = found.stress / (3 * rate) / (ARGON_EPSILON / ARGON_SIGMA**3 * 1.602177e11) / time
    error = found.stderr / (3 * rate) / (ARGON_EPSILON / ARGON_SIGMA**3 * 1.602177e11) / time
    assert found.temperature == pytest.approx(120.0, rel=0.15)
    assert 1.5 - 2 * error < viscosity < 4.0 + 2 * error
    record = flow_record(found, "Ar", {}, {"potential": "LJ"})
    assert record.unit == "Pa"
    assert record.source["picoseconds"] == pytest.approx(0.3 / rate * 1e12)
    assert record.source["crystals_at_end"]["disordered"] > 0.6


def test_a_crystal_that_turns_as_a_whole_does_not_flow() -> None:
    """Lennard-Jones bcc pulled along [001] at 20 K follows the Bain path into fcc (c/a = √2 at a strain of 0.23)."""
    crystal = bulk("Ar", "bcc", a=4.2, cubic=True).repeat(5)
    found = driven(crystal, PairPotential(cutoff=6.5), Drive(2e11, 0.25, 0.1, 20.0, timestep=5.0, friction_time=200.0))
    assert found.crystals[0]["bcc"] == 1.0
    assert found.crystals[1]["fcc"] > 0.9
    assert "from 100 % bcc into" in str(no_flow(found))
    with pytest.raises(UserError, match=r"driven run: the cell turned from .* another direction of the crystal"):
        flow_record(found, "Ar", {}, {"potential": "LJ"})


def flow(mean: float, drift: float = 0.0, rate: float = 1e9, end: str = "bcc") -> Flow:
    """The reading of a made-up run of 2000 steps beyond `skip`: noise of 200 MPa correlated over ten steps, strain 0.1 … 0.5."""
    noise = np.random.default_rng(5).standard_normal(2510)
    noise = np.convolve(noise, np.exp(-np.arange(11) / 10), mode="valid")
    stresses = np.sign(rate) * (mean + drift * np.linspace(-0.75, 0.5, 2500)) + 2e8 * noise / noise.std()
    crystals = {"bcc": 1.0, "fcc": 0.0, "disordered": 0.0}, {**dict.fromkeys(("bcc", "fcc", "disordered"), 0.2), end: 0.6}
    return _steady(stresses, np.full(2500, 300.0), Drive(rate, 0.5, 0.1, 300.0), crystals)


def test_the_greatest_stress_is_that_of_a_peak_of_some_strain() -> None:
    """A peak of 1.2 GPa, 0.06 wide at a strain of 0.05 to 0.11, and 2 GPa at a single step, which is none."""
    stresses = np.where(np.abs(np.linspace(0, 0.5, 2500) - 0.08) < 0.03, 1.2e9, 2e8)
    stresses[1200] = 2e9
    found = _steady(stresses, np.full(2500, 300.0), Drive(1e9, 0.5, 0.2, 300.0), ({"bcc": 1.0}, {"bcc": 1.0}))
    assert found.greatest == pytest.approx((1.2e9, 0.0))


@pytest.mark.parametrize(("count", "strain"), [(20, 0.6), (60, 0.6), (60, 3.0), (5, 0.05)])
def test_a_short_run_tells_its_greatest_stress_of_ten_values(count: int, strain: float) -> None:
    """1 GPa in the first ten values, 100 MPa later: windows of a strain of 0.02 would hold one value or none."""
    stresses = np.where(np.arange(count) < 10, 1e9, 1e8)
    found = _steady(stresses, np.full(count, 300.0), Drive(1e9, strain, 0.5 * strain, 300.0), ({"bcc": 1.0}, {"bcc": 1.0}))
    assert found.greatest == pytest.approx((1e9, 0.0))


@pytest.mark.parametrize("rate", [1e9, -1e9])
def test_a_stress_is_told_only_of_steady_flow(rate: float) -> None:
    """Pulled and pressed: steady; against the strain; changing; from bcc into close packing; a melt, which only bounds."""
    record = flow_record(flow(3e8, rate=rate), "Li", {}, {"potential": "none"})
    assert record.value == pytest.approx(3e8, abs=4 * record.stderr)
    assert record.source["crystals_at_start"] == {"bcc": 1.0, "fcc": 0.0, "disordered": 0.0}
    assert (record.bound, "bound_by" in record.source) == (None, False)
    melt = replace(flow(3e8, rate=rate, end="disordered"), greatest=(1.2e9, 1e8))
    bound = flow_record(melt, "Li", {}, {"potential": "none"})
    assert (bound.bound, bound.source["bound_by"][:19]) == ("upper", "the greatest stress")
    assert bound.value == pytest.approx(1.3645e9)
    for mean, drift in ((-1e8, 0.0), (5e8, -4e8)):  # of the melt's stress
        told = flow_record(replace(flow(mean, drift, rate, "disordered"), greatest=(1.2e9, 1e8)), "Li", {}, {"potential": "none"})
        assert (told.bound, told.value) == ("upper", pytest.approx(1.3645e9))
    assert "points against the strain" in str(no_flow(flow(-1e8, rate=rate)))
    changing = flow(5e8, drift=3e8, rate=rate)
    assert changing.drift[0] == pytest.approx(3e8, abs=2 * changing.drift[1])
    assert "the stress changes by" in str(no_flow(changing))
    assert no_flow(flow(5e8, drift=1e7, rate=rate)) is None
    assert "from 100 % bcc into 20 % bcc, 60 % fcc, 20 % disordered" in str(no_flow(flow(3e8, rate=rate, end="fcc")))
    faulted = {"bcc": 0.0, "fcc": 0.42, "hcp": 0.58, "disordered": 0.0}
    twinned = replace(flow(3e8, rate=rate), crystals=({"bcc": 1.0}, faulted))
    assert "into 42 % fcc, 58 % hcp: no plastic flow" in str(no_flow(twinned))
    assert no_flow(replace(twinned, crystals=({"fcc": 1.0}, faulted))) is None


def test_a_stress_within_its_error_is_a_bound() -> None:
    same = {"bcc": 1.0, "disordered": 0.0}
    found = Flow(1e6, 1e6, 1e9, np.array([0.1]), np.array([1e6]), 300.0, (0.0, 1e6), (1e6, 1e6), (same, same))
    record = flow_record(found, "Li", {}, {"potential": "none"})
    assert (record.bound, record.stderr) == ("upper", None)
    assert record.value == pytest.approx(2.645e6)
    assert record.source["mean_Pa"] == 1e6


def test_mobility_along_axes_covers() -> None:
    """Walks twice as wide in the plane: D and their ratio; 68 and 95 % intervals of 200 runs."""
    random, away, ratios = np.random.default_rng(3), [], []
    for _ in range(200):
        steps = random.normal(size=(401, 20, 3)) * [0.2, 0.2, 0.1]
        tracks = np.concatenate([np.cumsum(steps, axis=0), np.zeros((401, 80, 3))], axis=1)
        found = mobility(tracks + random.normal(0, 0.05, tracks.shape), np.arange(20), 1.0, 10)
        # the mean of all atoms moves with the walkers: 20 of 100
        exact = np.array([0.04, 0.04, 0.01]) / 2 * 1e-5 * (1 - 2 / 100 + 20 / 100**2)
        away += list((found.diffusivities - exact) / found.stderr)
        if found.ratio is not None:
            ratios.append((found.ratio[0] - 4.0) / found.ratio[1])
    assert 0.60 <= np.mean(np.abs(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(away) < 1.96) <= 0.98
    assert len(ratios) > 180
    assert 0.60 <= np.mean(np.abs(ratios) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(ratios) < 1.96) <= 0.98
    made = mobility_records(found, "Li", "Li", {}, {"trajectory": "none"})
    assert [record.conditions.get("axis") for record in made[:3]] == ["x", "y", "z"]


def test_a_force_beyond_the_guards_ends_a_driven_run() -> None:
    """A potential with a hole that is found after thirty steps."""

    class Holed(PairPotential):
        calls = 0

        def calculate(self, *args, **more) -> None:
            super().calculate(*args, **more)
            self.calls += 1
            if self.calls > 30:
                self.results["forces"][0] = 1e3

    crystal = bulk("Ar", "fcc", a=5.26, cubic=True).repeat(2)
    with pytest.raises(Unphysical, match=r"driven run: the atoms left what the potential knows: force 1e\+03 eV/Å"):
        driven(crystal, Holed(cutoff=5.0), Drive(2e9, 0.01, 0.005, 2.0, timestep=5.0))


def test_what_cannot_be_driven_is_refused() -> None:
    crystal, calculator = bulk("Ar", "fcc", a=5.26, cubic=True), PairPotential()
    with pytest.raises(UserError, match="not zero"):
        Drive(0.0, 0.1, 0.0, 300.0)
    with pytest.raises(UserError, match="along x, y and z"):
        driven(bulk("Ar", "fcc", a=5.26), calculator, Drive(1e9, 0.1, 0.0, 300.0))
    with pytest.raises(UserError, match="lower rate"):
        driven(crystal, calculator, Drive(1e13, 0.1, 0.0, 300.0))
    with pytest.raises(UserError, match="windows"):
        mobility(np.zeros((20, 3, 3)), np.arange(3), 1.0, 10)
    with pytest.raises(UserError, match="finite positions"):
        mobility(np.full((201, 3, 3), np.nan), np.arange(3), 1.0, 10)
    assert isinstance(crystal, Atoms)
