"""Self diffusivity: random walks, coverage of the error bar, bounds, the Lennard-Jones liquid, trajectory files."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import diffusivity, dynamics
from atomistic.dynamics import DynamicsSettings
from coupling.errors import UserError

HOP = 3.0  # Å
RATE = 1e9  # 1/s
TRUTH = (HOP * 1e-10) ** 2 * RATE / 6  # 1.5e-11 m²/s
FRAME = 1e5  # fs: 0.1 hops a frame


def walk(ions: int, frames: int, seed: int, rate: float = RATE) -> np.ndarray:
    """Lattice random walks (frames, ions, 3), Å: a Poisson number of hops of length HOP per frame along ±x, ±y, ±z."""
    rng = np.random.default_rng(seed)
    hops = rng.poisson(rate * FRAME * 1e-15, (frames, ions))
    sides = rng.multinomial(hops, [1 / 6] * 6)
    return HOP * np.cumsum(sides[..., ::2] - sides[..., 1::2], axis=0)


def with_framework(tracks: np.ndarray, atoms: int = 20, drift: float = 0.0) -> np.ndarray:
    """The walkers beside a rigid framework, all drifting by `drift` Å a frame."""
    positions = np.concatenate([tracks, np.zeros((len(tracks), atoms, 3))], axis=1)
    return positions + drift * np.arange(len(tracks))[:, None, None]


def test_random_walk_gives_its_diffusivity() -> None:
    """V16: a 0.3 nm, ν 1e9/s → 1.5e-11 m²/s, within two errors of the error bar, which is below 10 %; drift is removed."""
    assert pytest.approx(1.5e-11) == TRUTH
    found = diffusivity.from_positions(with_framework(walk(100, 400, 0), drift=0.5), np.arange(100), FRAME, hop_length=HOP)
    assert found.bound is None
    assert found.stderr is not None
    assert found.stderr < 0.1 * found.value
    assert abs(found.value - TRUTH) < 2 * found.stderr


@pytest.mark.parametrize(("ions", "frames", "rate", "rattling"), [
    (60, 200, RATE, 0.0), (40, 200, RATE, 0.0), (60, 200, 0.2 * RATE, 0.0), (30, 400, 5 * RATE, 0.0), (60, 200, 0.2 * RATE, 1.5),
])  # fmt: skip
def test_kinisi_agrees_with_the_closed_form(ions: int, frames: int, rate: float, rattling: float) -> None:
    """Mean and width of the sampled slope equal the closed form, which tests of coverage draw from, within the sampling error."""
    tracks = walk(ions, frames, 3, rate)
    tracks = tracks + rattling * np.random.default_rng(4).standard_normal(tracks.shape)
    data = diffusivity.mean_squared_displacement(tracks, FRAME)
    slopes = diffusivity._sample_slope(*data, seed=1)
    mean, error = diffusivity.least_squares_slope(*data)
    assert abs(slopes.mean() - mean) < 0.15 * error
    assert slopes.std() == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize(("ions", "frames", "rate"), [(40, 200, RATE), (60, 200, 0.2 * RATE), (30, 400, 5 * RATE)])
def test_error_bar_covers_the_truth(monkeypatch: pytest.MonkeyPatch, ions: int, frames: int, rate: float) -> None:
    """200 short walks, frequent and rare hops: the error bars are those of the scatter, 68 % and 95 % hold, no bias."""

    def draw(*data: np.ndarray, seed: int) -> np.ndarray:
        mean, error = diffusivity.least_squares_slope(*data)
        return mean + error * np.array([-1.0, 1.0]) / np.sqrt(2)

    monkeypatch.setattr(diffusivity, "_sample_slope", draw)
    deviations = []
    for seed in range(200):
        positions = with_framework(walk(ions, frames, seed, rate))
        found = diffusivity.from_positions(positions, np.arange(ions), FRAME, hop_length=HOP)
        assert found.stderr is not None
        deviations.append((found.value - TRUTH * rate / RATE) / found.stderr)
    deviations = np.array(deviations)
    assert abs(deviations.mean()) < 0.3
    assert 0.8 < deviations.std() < 1.2
    assert 0.60 <= np.mean(np.abs(deviations) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(deviations) < 1.96) <= 0.98


def test_nothing_moves_gives_an_upper_bound() -> None:
    """Rattling ions: D ≤ 3.0 a²/(6 N t), marked as a bound without an error."""
    rng = np.random.default_rng(0)
    tracks = 0.3 * rng.standard_normal((200, 50, 3))
    found = diffusivity.from_positions(with_framework(tracks), np.arange(50), 50.0, hop_length=HOP)
    assert (found.bound, found.stderr, found.hops) == ("upper", None, 0)
    assert found.value == pytest.approx(2.9957 * HOP**2 / (6 * 50 * 200 * 50.0) * 1e-5, rel=1e-4)
    record = found.to_property("LiCl", {"temperature_K": 500.0}, {"potential": "none"})
    assert (record.bound, record.stderr, record.unit) == ("upper", None, "m^2/s")


def test_bound_holds_at_its_level() -> None:
    """Walks with few hops: the 95 % bound lies above the truth in at least 93 of 100 runs, also where some hops were seen."""
    held = 0
    for seed in range(200):
        rate = 2e6 if seed % 2 else 1e7  # 1 and 5 hops expected
        found = diffusivity.from_positions(with_framework(walk(50, 100, seed, rate)), np.arange(50), FRAME, hop_length=HOP)
        held += found.bound == "upper" and found.value >= TRUTH * rate / RATE
    assert held >= 186


def test_bound_holds_of_hops_beyond_the_nearest_neighbour() -> None:
    """Ions that hop by 1.6 times the distance to their neighbours: the hops seen tell the length, frames that catch them half way
    or not."""
    held, bounds = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        hops = rng.poisson(6.0 / (24 * 400), (400, 24))
        ways = rng.normal(size=(400, 24, 3))
        tracks = np.cumsum(1.6 * HOP * hops[..., None] * ways / np.linalg.norm(ways, axis=2, keepdims=True), axis=0)
        found = diffusivity.from_positions(with_framework(tracks), np.arange(24), 100.0, hop_length=HOP)
        if found.bound:
            bounds += 1
            held += found.value >= 6.0 * (1.6 * HOP) ** 2 / (6 * 24 * 400 * 100.0) * 1e-5
    assert bounds > 100
    assert held >= 0.93 * bounds


@pytest.mark.parametrize("steps", [200, 300])
def test_bound_holds_of_motion_by_small_steps(steps: int) -> None:
    """Ions that go by 0.03 Å a frame, few of them by half a hop: hops alone would tell a bound below the truth of most runs."""
    held, by_hops, truth = 0, 0, 0.03**2 / (2 * 10.0) * 1e-5  # m²/s
    for seed in range(60):
        tracks = np.cumsum(0.03 * np.random.default_rng(seed).standard_normal((steps, 100, 3)), axis=0)
        found = diffusivity.from_positions(with_framework(tracks), np.arange(100), 10.0, hop_length=HOP)
        assert found.bound == "upper"
        held += truth <= found.value < 2 * truth
        by_hops += diffusivity.poisson_limit(found.hops) * HOP**2 / (6 * 100 * steps * 10.0) * 1e-5 >= truth
    assert held >= 57
    assert by_hops < 30


@pytest.mark.parametrize(("step", "rattling"), [(0.03, 0.1), (0.05, 0.3), (0.08, 0.5)])
def test_slope_of_ions_that_rattle(monkeypatch: pytest.MonkeyPatch, step: float, rattling: float) -> None:
    """Ions that go by small steps and rattle by more than that: the slope scatters as told or less, no bound is too low."""

    def draw(*data: np.ndarray, seed: int) -> np.ndarray:
        mean, error = diffusivity.least_squares_slope(*data)
        return mean + error * np.array([-1.0, 1.0]) / np.sqrt(2)

    monkeypatch.setattr(diffusivity, "_sample_slope", draw)
    truth, slopes, too_low = step**2 / (2 * 100.0), [], 0  # Å²/fs
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tracks = np.cumsum(step * rng.standard_normal((400, 50, 3)), axis=0) + rattling * rng.standard_normal((400, 50, 3))
        slopes.append(diffusivity.least_squares_slope(*diffusivity.mean_squared_displacement(tracks, 100.0)))
        found = diffusivity.from_positions(with_framework(tracks), np.arange(50), 100.0, hop_length=HOP)
        too_low += found.bound == "upper" and found.value < truth * 1e-5
    values, errors = np.array(slopes).T / 6 / truth
    assert abs(values.mean() - 1) < 0.1
    assert values.std() < 1.2 * errors.mean()
    assert np.mean(np.abs(values - 1) < 1.96 * errors) >= 0.9
    assert too_low <= 3


def test_rattling_between_two_sites_is_no_diffusion() -> None:
    """Ions that hop to and fro in a cage have hops but no slope: a bound, not an estimate."""
    rng = np.random.default_rng(1)
    sites = np.cumsum(rng.random((400, 60)) < 0.05, axis=0) % 2
    tracks = np.zeros((400, 60, 3))
    tracks[..., 0] = HOP * sites
    found = diffusivity.from_positions(with_framework(tracks), np.arange(60), 500.0, hop_length=HOP)
    assert found.hops > 100
    assert found.bound == "upper"
    uncorrelated = found.hops * HOP**2 / (6 * 60 * 400 * 500.0) * 1e-5
    assert found.value < 0.2 * uncorrelated


def test_hops_are_counted() -> None:
    """One ion that hops three times is counted three times, vibration not at all."""
    rng = np.random.default_rng(2)
    tracks = 0.2 * rng.standard_normal((120, 5, 3))
    for frame, axis in ((30, 0), (60, 1), (90, 2)):
        tracks[frame:, 0, axis] += HOP
    hops, length = diffusivity.count_hops(tracks, 10, HOP)
    assert hops == 3
    assert length == pytest.approx(HOP, abs=0.1)


def test_lennard_jones_liquid() -> None:
    """ρ* 0.8141, T* 0.781: D* 0.0452, corrected for the size of the box (docs/physics.md 1.10), 5 % and the statistical error.

    The reference is itself a finite box of about 10 σ; shear viscosity η* 2.9 near the triple point (Yeh–Hummer term).
    """
    epsilon, sigma, temperature, cells = 120 * units.kB, 3.405, 0.781 * 120, 4
    atoms = bulk("Ar", cubic=True, a=sigma * (4 / 0.8141) ** (1 / 3)).repeat((cells,) * 3)
    calculator = PairPotential(epsilon, sigma, 2.5 * sigma, skin=1.2)
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 3 * temperature, np.random.default_rng(0)))
    common = {"timestep": 10.0, "frame_interval": 100, "checkpoint_interval": 2000}
    liquid = _final(atoms, calculator, DynamicsSettings(2 * temperature, 4.0, friction_time=200, **common))
    liquid = _final(liquid, calculator, DynamicsSettings(temperature, 8.0, friction_time=200, **common))
    trajectory = _run(liquid, calculator, DynamicsSettings(temperature, 32.0, friction_time=5000, **common))
    assert trajectory.temperatures.mean() == pytest.approx(temperature, rel=0.05)
    found = diffusivity.from_positions(trajectory.positions, np.arange(len(atoms)), 100.0)
    velocity = np.sqrt(epsilon / atoms.get_masses()[0]) * units.fs  # Å/fs
    scale = sigma * velocity * 1e-5
    assert found.stderr is not None
    size = 2.837297 * 0.781 / (6 * np.pi * 2.9) * (sigma / atoms.cell[0, 0] - 1 / 10.2)
    assert abs(found.value / scale + size - 0.0452) < 0.05 * 0.0452 + 2 * found.stderr / scale


def _run(atoms: Atoms, calculator: PairPotential, settings: DynamicsSettings) -> dynamics.Trajectory:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return dynamics.run(atoms, calculator, settings, Path(folder) / "run")


def _final(atoms: Atoms, calculator: PairPotential, settings: DynamicsSettings) -> Atoms:
    return _run(atoms, calculator, settings).final


@pytest.mark.parametrize("cell", [[30.0, 30.0, 30.0], [30.0, 32.0, 34.0, 80.0, 95.0, 110.0]])
def test_wrapped_trajectory_file(tmp_path: Path, cell: list[float]) -> None:
    """A wrapped file in a cube and in a skewed cell gives the same answer as the unwrapped walk, exactly.

    The walkers know nothing of each other; from these starts no two are near each other in a frame whose distances are looked at.
    """
    positions = with_framework(walk(30, 200, 5)) + np.random.default_rng(4).uniform(0, 30, (50, 3))
    frames = [Atoms("Li30P20", positions=frame, cell=cell, pbc=True) for frame in positions]
    for frame in frames:
        frame.wrap()
    ase.io.write(tmp_path / "walk.extxyz", frames)
    found = diffusivity.from_file(tmp_path / "walk.extxyz", "Li", FRAME, temperature_K=300.0, hop_length=HOP)
    plain = diffusivity.from_positions(positions, np.arange(30), FRAME, hop_length=HOP)
    assert found.value == pytest.approx(plain.value, rel=1e-5)
    assert found.conditions == {"temperature_K": 300.0}
    assert found.source["ions"] == 30


def test_bad_trajectories_are_refused(tmp_path: Path) -> None:
    """Missing, unreadable, too short, wrong species, wrong time step: each told with the file's name."""
    good = tmp_path / "short.extxyz"
    ase.io.write(good, [Atoms("Li2", positions=[[0, 0, 0], [2, 0, z]], cell=[9] * 3, pbc=True) for z in (0.0, 0.1, 0.2)])
    (tmp_path / "text.xyz").write_text("nothing here\n")
    for path, species, step, message in (
        (tmp_path / "none.traj", "Li", 2.0, "no such trajectory"),
        (tmp_path / "text.xyz", "Li", 2.0, "cannot read"),
        (good, "Li", 2.0, "too few"),
        (good, "Na", 2.0, "no Na in it"),
        (good, "lithium", 2.0, "chemical symbol"),
        (good, "Li", -2.0, "positive time"),
    ):
        with pytest.raises(UserError, match=message):
            diffusivity.from_file(path, species, step)


def test_nernst_einstein() -> None:
    """24 Li in (10 Å)³ with D = 1e-12 m²/s at 300 K: σ = n e² D/kT."""
    value = diffusivity.nernst_einstein(1e-12, 24, 1e-27, 300.0)
    assert value == pytest.approx(24e27 * 1.602176634e-19**2 * 1e-12 / (1.380649e-23 * 300), rel=1e-12)


def test_folder_of_a_run_is_read_as_the_trajectory_it_is(tmp_path: Path) -> None:
    """The product's own run: as many frames and the same positions; a folder without a run is refused."""
    from ase.build import bulk
    from ase.calculators.lj import LennardJones

    from atomistic import dynamics
    from atomistic.frames import read_frames

    settings = dynamics.DynamicsSettings(50.0, 0.1, timestep=5.0, frame_interval=10.0, checkpoint_interval=50.0)
    atoms = bulk("Ar", cubic=True, a=5.25).repeat((2, 2, 2))
    run = dynamics.run(atoms, LennardJones(epsilon=0.0104, sigma=3.4, rc=5.0, smooth=True), settings, tmp_path / "run")
    frames = read_frames(tmp_path / "run")
    assert np.array_equal([frame.positions for frame in frames], run.positions)
    with pytest.raises(UserError, match="nor the folder of a run"):
        read_frames(tmp_path)
