"""Molecular dynamics: temperature and energy, restart with the same numbers, guards."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.io import read, write
from pair_potential import PairPotential

from atomistic import dynamics, trajectory
from atomistic.committee import Committee
from atomistic.dynamics import DynamicsSettings, Guards
from coupling.errors import RunFailure, UserError

CELL = bulk("Ar", cubic=True, a=5.25).repeat((2, 2, 2))
SHORT = DynamicsSettings(
    temperature=40, picoseconds=2.0, timestep=10.0, frame_interval=100, checkpoint_interval=400, friction_time=200, seed=3
)


def potential() -> PairPotential:
    """Nearest-neighbour argon: its neighbour list has a skin, so that its sums depend on its past."""
    return PairPotential(cutoff=4.8, skin=0.4)


def argon(stretch: float = 1.0) -> Atoms:
    """32 atoms of argon, cell scaled by `stretch`."""
    atoms = CELL.copy()
    atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
    return atoms


def same(one: dynamics.Trajectory, other: dynamics.Trajectory) -> bool:
    """Bit-for-bit equality of two trajectories and their end states."""
    return all(
        np.array_equal(a, b)
        for a, b in [
            (one.positions, other.positions),
            (one.cells, other.cells),
            (one.potential_energies, other.potential_energies),
            (one.temperatures, other.temperatures),
            (one.final.positions, other.final.positions),
            (one.final.get_momenta(), other.final.get_momenta()),
        ]
    )


def test_langevin_keeps_the_temperature(tmp_path: Path) -> None:
    """Mean kinetic temperature within four standard errors of the bath's."""
    settings = dataclasses.replace(SHORT, picoseconds=60.0, friction_time=100.0, checkpoint_interval=5000)
    trajectory = dynamics.run(argon(), potential(), settings, tmp_path / "run")
    blocks = trajectory.temperatures[100:].reshape(20, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert error < 0.8
    assert abs(blocks.mean() - 40) < 4 * error


def test_constant_energy_is_kept(tmp_path: Path) -> None:
    """Without thermostat the total energy wanders by less than 1e-3 of the thermal energy, and as the square of the step."""
    spread = []
    for timestep in (10.0, 5.0):
        settings = dataclasses.replace(SHORT, temperature=20, ensemble="nve", timestep=timestep, picoseconds=6.0)
        trajectory = dynamics.run(argon(0.985), PairPotential(cutoff=4.5, skin=0.7), settings, tmp_path / f"{timestep}")
        kinetic = 1.5 * len(CELL) * units.kB * trajectory.temperatures
        spread.append(np.std(trajectory.potential_energies + kinetic) / np.mean(kinetic))
    assert spread[1] < 1e-3
    assert 2.5 < spread[0] / spread[1] < 6.0


@pytest.mark.parametrize(("ensemble", "free_shape"), [("nvt", False), ("npt", False), ("npt", True), ("nve", False)])
def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, ensemble: dynamics.Ensemble, free_shape: bool) -> None:
    """Losing the last segments (one of them damaged) and running again gives the same bits."""
    settings = dataclasses.replace(SHORT, ensemble=ensemble, free_shape=free_shape, barostat_time=2000.0)
    whole = dynamics.run(argon(1.01), potential(), settings, tmp_path / "run")
    (tmp_path / "run" / "segment-00004.npz").unlink()
    damaged = tmp_path / "run" / "segment-00003.npz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    again = dynamics.run(argon(1.01), potential(), settings, tmp_path / "run")
    assert same(whole, again)
    if ensemble == "npt":
        assert np.ptp(again.cells[:, 0, 0]) > 0


ENSEMBLES = {
    "nve": {"ensemble": "nve"},
    "langevin": {"ensemble": "nvt"},
    "ramp": {"ensemble": "nvt", "final_temperature": 20.0},
    "chains": {"ensemble": "nvt", "thermostat": "chains"},
    "langevin, volume": {"ensemble": "npt"},
    "langevin, shape": {"ensemble": "npt", "free_shape": True},
    "langevin, height": {"ensemble": "npt", "fixed_area": True},
    "chains, volume": {"ensemble": "npt", "thermostat": "chains"},
    "chains, shape": {"ensemble": "npt", "thermostat": "chains", "free_shape": True},
}


class Mortal(PairPotential):
    """Argon of `potential` whose process dies without a word in one of its force calls."""

    def __init__(self, calls: int) -> None:
        """calls: which call."""
        super().__init__(cutoff=4.8, skin=0.4)
        self.calls = calls

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Fill `results`."""
        super().calculate(atoms, properties, system_changes)
        self.calls -= 1
        if self.calls == 0:
            die()


def die() -> None:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_to_a_death(settings: DynamicsSettings, folder: Path, call: int, write: int) -> None:
    """Run argon until a force call, or until some bytes of a segment are written, whichever comes first."""
    save, left = np.savez, [write]

    def half(stream: Any, **contents: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            stream.write(b"half a segment")
            stream.flush()
            die()
        save(stream, **contents)

    np.savez = half
    dynamics.run(argon(1.03), Mortal(call), settings, folder)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_killed_run_continues_with_the_same_numbers(tmp_path: Path, name: str) -> None:
    """kill -9 in random steps and in writes, again and again, then the same call: the same bits as a run never killed."""
    settings = dataclasses.replace(SHORT, checkpoint_interval=100.0, barostat_time=2000.0, seed=len(name), **ENSEMBLES[name])  # type: ignore[arg-type]
    whole = dynamics.run(argon(1.03), potential(), settings, tmp_path / "whole")
    folder, context, kept = tmp_path / "killed", multiprocessing.get_context("fork"), [0]
    rng = np.random.default_rng(len(name))
    for _ in range(6):
        steps, writes = int(rng.integers(2, 50)), int(rng.integers(1, 4))
        process = context.Process(target=run_to_a_death, args=(settings, folder, steps, writes))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        kept.append(len(list(folder.glob("segment-*.npz"))))
    assert kept == sorted(kept)
    assert 1 < kept[-1] < 20
    assert same(whole, dynamics.run(argon(1.03), potential(), settings, folder))


def test_ramp_ends_at_its_last_temperature() -> None:
    """The bath follows a straight line."""
    settings = dataclasses.replace(SHORT, final_temperature=80.0)
    assert [settings.temperature_at(frame) for frame in (0, 10, 20)] == [40.0, 60.0, 80.0]


def test_frames_are_read_by_ase(tmp_path: Path) -> None:
    """Each frame with cell, time and energy; positions in float32."""
    settings = dataclasses.replace(SHORT, ensemble="npt", barostat_time=2000.0)
    run = dynamics.run(argon(), potential(), settings, tmp_path / "run")
    frames = list(trajectory.ase_frames(tmp_path / "run"))
    assert run.positions.dtype == np.float32
    assert [frame.info["time_fs"] for frame in frames] == [100.0 * (i + 1) for i in range(20)]
    write(tmp_path / "run.extxyz", frames)
    for kept, back in zip(frames, read(tmp_path / "run.extxyz", ":"), strict=True):
        assert np.allclose(back.positions, kept.positions, atol=1e-6)
        assert np.allclose(back.cell.array, kept.cell.array, atol=1e-6)
        assert back.get_potential_energy() == pytest.approx(kept.get_potential_energy())
    assert np.array_equal(frames[-1].positions.astype(np.float32), run.final.positions.astype(np.float32))


def test_finished_run_is_not_repeated(tmp_path: Path) -> None:
    """A second call touches no file and needs no calculator."""
    first = dynamics.run(argon(), potential(), SHORT, tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    again = dynamics.run(argon(), None, SHORT, tmp_path / "run")  # type: ignore[arg-type]
    assert same(first, again)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize("length", [0.8, 1.0])
def test_longer_run_goes_on_with_the_shorter_one(tmp_path: Path, length: float) -> None:
    """The same bits as one as long from its start, also where the shorter one ended within a segment; its segments are kept."""
    whole = dynamics.run(argon(), potential(), SHORT, tmp_path / "whole")
    dynamics.run(argon(), potential(), dataclasses.replace(SHORT, picoseconds=length), tmp_path / "run")
    kept = (tmp_path / "run" / "segment-00001.npz").stat().st_mtime_ns
    shares: list[float] = []
    longer = dynamics.run(argon(), potential(), SHORT, tmp_path / "run", shares.append)
    assert same(whole, longer)
    assert kept == (tmp_path / "run" / "segment-00001.npz").stat().st_mtime_ns
    assert shares == pytest.approx([0.4, 0.6, 0.8, 1.0])


def test_shorter_run_is_the_beginning_of_the_longer_one(tmp_path: Path) -> None:
    """Whole segments, without a force call, and the longer one stays."""
    whole = dynamics.run(argon(), potential(), SHORT, tmp_path / "run")
    shorter = dataclasses.replace(SHORT, picoseconds=0.8)
    begin = dynamics.run(argon(), None, shorter, tmp_path / "run")  # type: ignore[arg-type]
    assert same(begin, dynamics.run(argon(), potential(), shorter, tmp_path / "fresh"))
    assert same(whole, dynamics.load(tmp_path / "run"))
    within = dataclasses.replace(SHORT, picoseconds=0.9)
    cut, fresh = (dynamics.run(argon(), potential(), within, tmp_path / name) for name in ("run", "other"))
    assert len(cut.positions) == 9
    assert np.array_equal(cut.positions, fresh.positions)
    assert np.array_equal(cut.potential_energies, fresh.potential_energies)
    assert cut.final.positions == pytest.approx(fresh.final.positions, abs=1e-5)


def test_ramp_is_not_lengthened(tmp_path: Path) -> None:
    """Its temperatures depend on its length."""
    ramp = dataclasses.replace(SHORT, picoseconds=0.8, final_temperature=20.0)
    dynamics.run(argon(), potential(), ramp, tmp_path / "run")
    with pytest.raises(UserError, match="other atoms or settings"):
        dynamics.run(argon(), potential(), dataclasses.replace(ramp, picoseconds=1.6), tmp_path / "run")


def test_seed_decides_the_run(tmp_path: Path) -> None:
    """Another seed, other numbers."""
    one = dynamics.run(argon(), potential(), SHORT, tmp_path / "a")
    other = dynamics.run(argon(), potential(), dataclasses.replace(SHORT, seed=4), tmp_path / "b")
    assert not np.array_equal(one.positions, other.positions)


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    """Two runs never mix in one folder."""
    dynamics.run(argon(), potential(), SHORT, tmp_path / "run")
    with pytest.raises(UserError, match="other atoms or settings"):
        dynamics.run(argon(1.02), potential(), SHORT, tmp_path / "run")


def test_time_step_is_halved_when_a_guard_trips(tmp_path: Path) -> None:
    """A step far too long is halved until the run is sane; the frames keep their spacing."""
    settings = dataclasses.replace(SHORT, timestep=400.0, frame_interval=400.0, checkpoint_interval=1200.0, picoseconds=2.4)
    trajectory = dynamics.run(argon(), potential(), settings, tmp_path / "run")
    assert trajectory.halvings >= 1
    assert len(trajectory.positions) == 6
    assert trajectory.temperatures.max() < 420


def test_hopeless_run_fails_and_says_what_is_kept(tmp_path: Path) -> None:
    """The failure names the cause and the length kept."""
    settings = dataclasses.replace(SHORT, guards=Guards(force=1e-6, halvings=2))
    with pytest.raises(RunFailure, match=r"stays unstable after 0 ps.*force.*kept"):
        dynamics.run(argon(), potential(), settings, tmp_path / "run")


def test_barostat_forgets_where_it_started(tmp_path: Path) -> None:
    """A stretched and a squeezed crystal reach the same volume, where the mean pressure of a fixed cell vanishes."""
    settings = dataclasses.replace(SHORT, ensemble="npt", picoseconds=30.0, barostat_time=1000, checkpoint_interval=5000)
    calculator = PairPotential(cutoff=4.8, skin=0.4)
    lengths = [
        np.cbrt(np.linalg.det(dynamics.run(argon(stretch), calculator, settings, tmp_path / f"{stretch}").mean_cell()))
        for stretch in (1.02, 0.98)
    ]
    assert abs(lengths[0] / lengths[1] - 1) < 4e-3
    fixed = argon(np.mean(lengths) / 10.5)
    held = dataclasses.replace(SHORT, picoseconds=10.0)
    trajectory = dynamics.run(fixed, calculator, held, tmp_path / "held")
    pressures = [
        _pressure(fixed, frame, calculator) + len(fixed) * units.kB * 40 / fixed.get_volume()
        for frame in trajectory.positions[20:]
    ]
    assert abs(np.mean(pressures)) / units.GPa < 0.03  # bulk modulus about 2.7 GPa: 1 % of the volume


def _pressure(atoms: Atoms, positions: np.ndarray, calculator: PairPotential) -> float:
    """Virial pressure, eV/Å³."""
    frame = atoms.copy()
    frame.positions = positions
    frame.calc = calculator
    return -float(frame.get_stress()[:3].mean())


@pytest.mark.parametrize(
    "wrong",
    [
        {"picoseconds": -1.0},
        {"timestep": 0.0},
        {"temperature": float("nan")},
        {"frame_interval": 3.0},
        {"ensemble": "nvx"},
        {"thermostat": "hoover"},
        {"final_temperature": -1.0},
        {"thermostat": "chains", "chain_length": 0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    """Each with a sentence that names the setting."""
    with pytest.raises(UserError, match=list(wrong)[-1]):
        dataclasses.replace(SHORT, **wrong)


@pytest.mark.parametrize(("engine", "dtype"), [("symmetrix", "float64"), ("symmetrix", "float32"), ("mace", "float64")])
def test_shipped_potential_resumes_with_the_same_numbers(tmp_path: Path, engine: str, dtype: str) -> None:
    """A new process and a resumed run agree, on the fast engine, whose list has a skin, and on the one that compiles itself."""
    pytest.importorskip(engine, reason=f"needs {engine}")
    from atomistic import potential, structures

    settings = DynamicsSettings(800.0, 0.12, frame_interval=20, checkpoint_interval=40, friction_time=100)
    atoms = structures.bulk("LiCl")
    whole = dynamics.run(atoms, potential.load("lpscl", engine, dtype), settings, tmp_path / "run")
    (tmp_path / "run" / "segment-00002.npz").unlink()
    again = dynamics.run(atoms, potential.load("lpscl", engine, dtype), settings, tmp_path / "run")
    assert same(whole, again)


def test_members_of_a_committee_forget_as_well() -> None:
    """The list of each has a skin, from which a resumed run would not start."""
    members = [PairPotential(cutoff=4.8, skin=skin) for skin in (0.4, 0.5)]
    committee = Committee(members)
    committee.get_property("forces", argon())
    assert all(member.nl is not None for member in members)
    dynamics.forget(committee)
    assert [member.nl for member in members] == [None, None]
    assert [member.results for member in (committee, *members)] == [{}, {}, {}]
