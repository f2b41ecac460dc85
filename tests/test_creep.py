"""Driven flow: the elastic slope of a crystal, the viscosity of a liquid; mobility along axes and its cover; refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import ARGON_EPSILON, ARGON_SIGMA, PairPotential

from atomistic.creep import Drive, Flow, driven, flow_record, mobility, mobility_records
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


def test_a_stress_within_its_error_is_a_bound() -> None:
    record = flow_record(Flow(1e6, 1e6, 1e9, np.array([0.1]), np.array([1e6]), 300.0), "Li", {}, {"potential": "none"})
    assert (record.bound, record.stderr) == ("upper", None)
    assert record.value == pytest.approx(2.645e6)


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
