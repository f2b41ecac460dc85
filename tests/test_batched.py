"""Batches of replicas by torch-sim: the same forces and files as single runs, resumed to the bit, the ensemble, refusals."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.constraints import FixAtoms

pytest.importorskip("torch_sim", reason="torch-sim is not installed (pip install -e .[gpu])")

from atomistic import batched, dynamics, potential, trajectory
from atomistic.dynamics import DynamicsSettings, Guards
from coupling.errors import UserError

SETTINGS = DynamicsSettings(300.0, 0.02, "nve", timestep=1.0, frame_interval=5.0, checkpoint_interval=10.0, seed=4)


def replicas() -> list[Atoms]:
    """Two cells of different size with velocities."""
    found = [bulk("Li", cubic=True, a=3.44).repeat((2, 2, 1)), bulk("Li", cubic=True, a=3.44).repeat((2, 2, 2))]
    rng = np.random.default_rng(0)
    for atoms in found:
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
        atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 300.0, rng))
    return found


def folders(base: Path, count: int = 2) -> list[Path]:
    """One a replica."""
    return [base / f"replica-{number}" for number in range(count)]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished batch at constant energy in double precision."""
    base = tmp_path_factory.mktemp("batch")
    batched.run(replicas(), "lpscl", SETTINGS, folders(base), device="cpu", dtype="float64", member=1)
    return base


def test_replicas_move_as_they_do_alone(batch: Path, tmp_path: Path) -> None:
    """Velocity Verlet of the batch and of the product's own integrator with symmetrix give the same frames."""
    calculator = potential.load("lpscl", member=1)
    for number, atoms in enumerate(replicas()):
        alone = dynamics.run(atoms, calculator, SETTINGS, tmp_path / str(number))
        found = trajectory.load(batch / f"replica-{number}")
        assert found.positions == pytest.approx(alone.positions, abs=2e-6)
        assert found.potential_energies == pytest.approx(alone.potential_energies, abs=1e-5)
        assert found.temperatures == pytest.approx(alone.temperatures, rel=1e-5)
        assert found.final.get_momenta() == pytest.approx(alone.final.get_momenta(), abs=1e-5)


def test_atoms_held_fixed_are_refused(tmp_path: Path) -> None:
    """They would move."""
    held = replicas()
    held[1].set_constraint(FixAtoms([0]))
    with pytest.raises(UserError, match=r"holds constraints \(FixAtoms\).*every atom would move"):
        batched.run(held, "lpscl", SETTINGS, folders(tmp_path), device="cpu")


def test_killed_batch_goes_on_to_the_bit(batch: Path, tmp_path: Path) -> None:
    """The first replica was a segment ahead when the run was killed: the end is that of the run that was not."""
    shutil.copytree(batch, tmp_path / "left")
    (tmp_path / "left" / "replica-1" / "segment-00001.npz").unlink()
    found = batched.run(replicas(), "lpscl", SETTINGS, folders(tmp_path / "left"), device="cpu", dtype="float64", member=1)
    for number, run in enumerate(found):
        whole = trajectory.load(batch / f"replica-{number}")
        assert np.array_equal(run.positions, whole.positions)
        assert np.array_equal(run.final.positions, whole.final.positions)


def test_langevin_noise_is_seeded_and_warms_to_the_bath(tmp_path: Path) -> None:
    """From rest at a strong friction to 300 K; the same seed gives the same frames, another one others, replicas differ."""
    atoms = bulk("Li", cubic=True, a=3.44).repeat((2, 2, 2))
    pair = [atoms, atoms.copy()]
    settings = DynamicsSettings(
        300.0, 0.15, "nvt", timestep=2.0, friction_time=20.0, frame_interval=10.0, checkpoint_interval=50.0, seed=1
    )
    first, again, other = (
        batched.run(pair, "lpscl", dataclasses.replace(settings, seed=seed), folders(tmp_path / name), "cpu", "float32", member=1)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    np.testing.assert_allclose(first[0].positions, again[0].positions, atol=1e-4)  # TorchScript's rounding settles as it runs
    assert not np.allclose(first[0].positions, other[0].positions)
    kicks = [np.diff(first[0].positions[start : start + 3], n=2, axis=0).ravel() for start in (5, 10)]
    assert abs(np.corrcoef(*kicks)[0, 1]) < 0.6  # the noise of one segment is not that of the next
    assert not np.allclose(first[0].positions, first[1].positions)
    warm = np.concatenate([run.temperatures[8:] for run in (*first, *other)])
    freedom = 3 * len(atoms)
    assert warm.mean() == pytest.approx(300.0, abs=4 * 300.0 * np.sqrt(2 / freedom / (len(warm) / 4)))


def test_kinetic_energy_is_counted_in_the_units_of_ase(batch: Path) -> None:
    """The stored temperature is that of the stored momenta."""
    run = trajectory.load(batch / "replica-1")
    kinetic = run.final.get_kinetic_energy()
    assert run.temperatures[-1] == pytest.approx(2 * kinetic / (3 * len(run.final) * units.kB), rel=1e-9)


def test_a_guard_names_the_replica(tmp_path: Path) -> None:
    """Atoms pushed into each other: the run ends with the replica's number, not with wild numbers."""
    wild = replicas()
    wild[1].positions[1] = wild[1].positions[0] + [1.0, 0.0, 0.0]
    settings = dataclasses.replace(SETTINGS, guards=Guards(force=8.0, halvings=1))
    with pytest.raises(dynamics.Unphysical, match=r"replica 1: force \S+ eV/Å \(limit 8\)"):
        batched.run(wild, "lpscl", settings, folders(tmp_path), "cpu", "float64", member=1)


@pytest.mark.parametrize(
    ("change", "more", "told"),
    [
        ({"ensemble": "npt"}, {}, "allowed: 'nve', or 'nvt' with 'langevin'"),
        ({"ensemble": "nvt", "thermostat": "chains"}, {}, "allowed: 'nve', or 'nvt' with 'langevin'"),
        ({"final_temperature": 400.0}, {}, "final_temperature is not for batches"),
        ({}, {"dtype": "float16"}, "float16"),
        ({}, {"device": "tpu"}, "tpu"),
        ({}, {"device": "cuda"}, "sees no GPU"),
        ({}, {"member": 9}, "has no member 9"),
        ({}, {"name": "lpsc"}, "lpsc"),
        ({"seed": 5}, {"base": "batch"}, "holds another run"),
        ({}, {"count": 1}, "a folder for each is needed"),
    ],
)
def test_refusals(batch: Path, tmp_path: Path, change: dict, more: dict, told: str) -> None:
    """What a batch cannot run is refused before the first step."""
    import torch

    if more.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    base = batch if more.get("base") else tmp_path
    with pytest.raises(UserError, match=told):
        batched.run(
            replicas(), more.get("name", "lpscl"), dataclasses.replace(SETTINGS, **change), folders(base, more.get("count", 2)),
            more.get("device", "cpu"), more.get("dtype", "float64"), more.get("member", 1),
        )  # fmt: skip


def test_foreign_elements_are_refused(tmp_path: Path) -> None:
    """Copper is not in lpscl."""
    with pytest.raises(UserError, match="a replica has Cu"):
        batched.run([bulk("Cu", cubic=True)], "lpscl", SETTINGS, folders(tmp_path, 1), "cpu")
