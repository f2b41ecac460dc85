"""Molecular dynamics: temperature and energy, restart with the same numbers, guards."""

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from atomistic import dynamics
from atomistic.dynamics import DynamicsSettings, Guards
from coupling.errors import RunFailure, UserError

CELL = bulk("Cu", cubic=True).repeat((2, 2, 2))
SHORT = DynamicsSettings(temperature=400, picoseconds=0.4, frame_interval=20, checkpoint_interval=80, friction_time=50, seed=3)


def copper(stretch: float = 1.0) -> Atoms:
    """32 atoms of copper, cell scaled by `stretch`."""
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
    """Mean kinetic temperature within four standard errors of the bath's (noise correlated over the friction time)."""
    settings = dataclasses.replace(SHORT, picoseconds=6.0, timestep=4.0, friction_time=40.0, checkpoint_interval=1000)
    trajectory = dynamics.run(copper(), EMT(), settings, tmp_path / "run")
    tail = trajectory.temperatures[len(trajectory.temperatures) // 4 :]
    blocks = tail[: len(tail) // 10 * 10].reshape(10, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert error < 20
    assert abs(blocks.mean() - 400) < 4 * error


def test_constant_energy_is_kept(tmp_path: Path) -> None:
    """Total energy without thermostat drifts by less than 1e-4 of the thermal energy per atom and fluctuates as dt²."""
    spread = []
    for timestep in (4.0, 2.0):
        settings = dataclasses.replace(SHORT, ensemble="nve", timestep=timestep, picoseconds=0.8)
        trajectory = dynamics.run(copper(), EMT(), settings, tmp_path / f"{timestep}")
        kinetic = 1.5 * len(CELL) * 8.617333e-5 * trajectory.temperatures
        spread.append(np.std(trajectory.potential_energies + kinetic))
    assert spread[1] < 1e-3
    assert 2.5 < spread[0] / spread[1] < 6.0


@pytest.mark.parametrize(("ensemble", "free_shape"), [("nvt", False), ("npt", False), ("npt", True), ("nve", False)])
def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, ensemble: dynamics.Ensemble, free_shape: bool) -> None:
    """Losing the last segments (one of them damaged) and running again gives the same bits."""
    settings = dataclasses.replace(SHORT, ensemble=ensemble, free_shape=free_shape, barostat_time=200.0)
    whole = dynamics.run(copper(1.01), EMT(), settings, tmp_path / "run")
    (tmp_path / "run" / "segment-00004.npz").unlink()
    damaged = tmp_path / "run" / "segment-00003.npz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    again = dynamics.run(copper(1.01), EMT(), settings, tmp_path / "run")
    assert same(whole, again)
    if ensemble == "npt":
        assert np.ptp(again.cells[:, 0, 0]) > 0


def _work(folder: Path) -> None:
    """Body of the process that is killed."""
    dynamics.run(copper(), EMT(), dataclasses.replace(SHORT, picoseconds=2.0), folder)


def test_killed_run_continues_with_the_same_numbers(tmp_path: Path) -> None:
    """kill -9 in the middle, then the same call: the same bits as a run never killed."""
    folder = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(folder,))
    process.start()
    deadline = time.monotonic() + 60
    while len(list(folder.glob("segment-*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = len(list(folder.glob("segment-*.npz")))
    assert 3 <= kept < 25
    settings = dataclasses.replace(SHORT, picoseconds=2.0)
    assert same(dynamics.run(copper(), EMT(), settings, folder), dynamics.run(copper(), EMT(), settings, tmp_path / "whole"))


def test_finished_run_is_not_repeated(tmp_path: Path) -> None:
    """A second call touches no file and needs no calculator."""
    first = dynamics.run(copper(), EMT(), SHORT, tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    again = dynamics.run(copper(), None, SHORT, tmp_path / "run")  # type: ignore[arg-type]
    assert same(first, again)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}


def test_seed_decides_the_run(tmp_path: Path) -> None:
    """Another seed, other numbers."""
    one = dynamics.run(copper(), EMT(), SHORT, tmp_path / "a")
    other = dynamics.run(copper(), EMT(), dataclasses.replace(SHORT, seed=4), tmp_path / "b")
    assert not np.array_equal(one.positions, other.positions)


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    """Two runs never mix in one folder."""
    dynamics.run(copper(), EMT(), SHORT, tmp_path / "run")
    with pytest.raises(UserError, match="other atoms or settings"):
        dynamics.run(copper(1.02), EMT(), SHORT, tmp_path / "run")


def test_time_step_is_halved_when_a_guard_trips(tmp_path: Path) -> None:
    """A step far too long is halved until the run is sane; the frames keep their spacing."""
    settings = dataclasses.replace(SHORT, timestep=80.0, frame_interval=80.0, checkpoint_interval=240.0, picoseconds=0.48)
    trajectory = dynamics.run(copper(), EMT(), settings, tmp_path / "run")
    assert trajectory.halvings >= 1
    assert len(trajectory.positions) == 6
    assert trajectory.temperatures.max() < 1500


def test_hopeless_run_fails_and_says_what_is_kept(tmp_path: Path) -> None:
    """The failure names the cause and the length kept."""
    settings = dataclasses.replace(SHORT, guards=Guards(force=1e-6, halvings=2))
    with pytest.raises(RunFailure, match=r"stays unstable after 0 ps.*force.*kept"):
        dynamics.run(copper(), EMT(), settings, tmp_path / "run")


def test_barostat_reaches_zero_pressure(tmp_path: Path) -> None:
    """A crystal stretched by 3 % shrinks back to the size it has at that temperature within 0.5 %."""
    settings = DynamicsSettings(
        300, 3.0, "npt", timestep=5.0, friction_time=100, barostat_time=300, frame_interval=20, checkpoint_interval=500
    )
    trajectory = dynamics.run(copper(1.03), EMT(), settings, tmp_path / "run")
    length = trajectory.mean_cell()[0, 0] / 2
    assert abs(length / 3.59 - 1.0) < 0.012  # EMT copper: 3.59 Å at 0 K, expansion below 1 % at 300 K


@pytest.mark.parametrize(
    "wrong", [{"picoseconds": -1.0}, {"timestep": 0.0}, {"temperature": float("nan")}, {"frame_interval": 3.0}, {"ensemble": "nvx"}]
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    """Each with a sentence that names the setting."""
    with pytest.raises(UserError, match=next(iter(wrong))):
        dataclasses.replace(SHORT, **wrong)
