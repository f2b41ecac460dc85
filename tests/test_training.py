"""The training pipeline: recipe, sampling, labels, the quick evaluator against mace-torch, a fit that resumes."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from atomistic import fitting, labels, mace_model, potential, sampling, training
from atomistic.structures import bulk, min_distance
from coupling.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("mace")
pytest.importorskip("chgnet")

RECIPE = """
name = "tiny"
seed = 1
epochs = [2, 1]
held_out_engine = 0
validation_every = 3
max_force = 25.0
[model]
channels = 16
r_max = 4.0
radial_basis = 4
cutoff_power = 5
radial_layers = [8, 8]
readout_width = 4
[fit]
atoms_per_batch = 16
[[structure]]
id = "Li"
kind = "crystal"
name = "Li"
[[structure]]
id = "LiCl"
kind = "crystal"
name = "LiCl"
[[task]]
generation = 0
method = "rattle"
family = "strained"
structures = ["Li", "LiCl"]
frames = 4
strain = 0.03
rattle = [0.02, 0.1]
[[task]]
generation = 0
method = "rattle"
family = "surface"
structures = ["Li"]
copies = 2
frames = 2
[[task]]
generation = 1
method = "md"
family = "crystal"
structures = ["Li"]
steps = 10
interval = 5
temperatures = [200]
[[task]]
generation = "test"
method = "rattle"
family = "strained"
structures = ["LiCl"]
frames = 2
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_the_shipped_recipe_covers_what_the_card_promises() -> None:
    recipe = training.read_recipe(potential.SHIPPED / "lpscl" / "recipe.toml")
    families = {task.family for task in recipe.tasks}
    assert families == {"crystal", "strained", "elastic", "contact", "hot", "surface", "interface", "amorphous"}
    held_out = {job.seed for job in training.jobs(recipe, training.HELD_OUT)}
    learned = {job.seed for generation in range(len(recipe.epochs)) for job in training.jobs(recipe, generation)}
    assert held_out
    assert not held_out & learned


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("frames = 4", "frame = 4", "unknown key 'frame'; known: .*frames"),
        ('structures = ["Li", "LiCl"]', 'structures = ["Na"]', "names structure 'Na'; known: Li, LiCl"),
        ("epochs = [2, 1]\n", "", "missing 1 required positional argument: 'epochs'"),
        ('family = "surface"', 'family = "strained"', "two tasks make the same job 'g0-strained-rattle-Li-0K-0'"),
        ("[model]", "[model", "not readable as a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe_file: Path, old: str, new: str, message: str) -> None:
    recipe_file.write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        training.read_recipe(recipe_file)
    assert training.main([str(recipe_file), "--out", str(recipe_file.parent / "out")]) == 2


def test_sampling_is_seeded_and_keeps_atoms_apart() -> None:
    start = sampling.start(sampling.Structure("a", "amorphous", composition=(("Li", 8), ("S", 4))), seed=5)
    first, again = (sampling.rattled_frames(start, 5, 0.05, (0.01, 0.2), seed) for seed in (7, 7))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert all(min_distance(frame) > sampling.CLOSEST for frame in first)
    holes = sampling.start(sampling.Structure("v", "crystal", name="Li2S", vacancies=2), seed=1)
    assert holes.get_chemical_formula() == "Li6S4"
    with pytest.raises(UserError, match="unknown kind of structure 'cristal'"):
        sampling.start(sampling.Structure("x", "cristal", name="Li"), seed=0)


def test_contact_frames_bring_one_pair_as_close_as_asked() -> None:
    atoms = bulk("Li").repeat(3)
    frames = sampling.contact_frames(atoms, 3, (0.5, 0.9), rattle=0.0, seed=1)
    assert [min_distance(frame) / min_distance(atoms) for frame in frames] == pytest.approx([0.5, 0.7, 0.9])
    wide = sampling.rattled_frames(atoms, 3, 0.0, (0.0, 0.01), seed=1, volume=(0.8, 1.2))
    assert sorted(frame.get_volume() / atoms.get_volume() for frame in wide) == pytest.approx([0.8, 1.0, 1.2])


def test_teacher_stress_is_the_strain_derivative_of_its_energy() -> None:
    atoms = bulk("LiCl")
    atoms.rattle(0.05, seed=1)
    step, energies = 2e-3, []
    for sign in (1, -1):
        deformed = atoms.copy()
        deformed.set_cell(atoms.cell.array @ (np.eye(3) + np.diag([sign * step, 0, 0])), scale_atoms=True)
        energies.append(labels.label(deformed).info["REF_energy"])
    expected = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    assert labels.label(atoms).info["REF_stress"][0] == pytest.approx(expected, abs=3e-5)


def test_quick_evaluator_is_mace_torch(tmp_path: Path) -> None:
    from atomistic.fast_mace import batch, predict, sample

    model = mace_model.load(potential.SHIPPED / "lpscl")
    frames = []
    for name, seed in (("Li6PS5Cl", 1), ("Li3P", 2)):
        atoms = bulk(name)
        atoms.rattle(0.1, seed=seed)
        atoms.info, atoms.arrays["REF_forces"] = {"REF_energy": 0.0, "REF_stress": np.zeros(6)}, np.zeros((len(atoms), 3))
        frames.append(atoms)
    numbers = [int(z) for z in model.atomic_numbers]
    data = batch([sample(frame, float(model.r_max)) for frame in frames], numbers, float(model.r_max), torch.float64)
    energies, forces, stresses = (value.detach().numpy() for value in predict(model, data))
    reference = potential.load("lpscl", engine="mace")
    first = 0
    for number, frame in enumerate(frames):
        frame.calc = reference
        assert energies[number] == pytest.approx(frame.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(forces[first : first + len(frame)], frame.get_forces(), atol=1e-8)
        np.testing.assert_allclose(stresses[number], frame.get_stress(voigt=False), atol=1e-10)
        first += len(frame)


def test_a_killed_fit_continues_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = bulk("LiCl")
    atoms.info = {"REF_energy": -30.0, "REF_stress": np.zeros(6)}
    atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
    frames = sampling.rattled_frames(atoms, 3, 0.02, (0.02, 0.1), seed=1)
    for frame in frames:
        frame.arrays["REF_forces"] = np.zeros((len(frame), 3))
    model = fitting.new_model(frames, training.read_recipe(potential.SHIPPED / "lpscl" / "recipe.toml").model, seed=1)
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def fitted(checkpoint: Path) -> np.ndarray:
        model.double().load_state_dict(start)
        done = fitting.fit(model, frames, frames[:1], 3, fitting.FitSettings(atoms_per_batch=10), 5, checkpoint)
        return np.concatenate([p.detach().numpy().ravel() for p in done.parameters()])

    whole = fitted(tmp_path / "whole.pt")

    def killed(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_report", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "killed.pt")
    continued = fitted(tmp_path / "killed.pt")
    assert np.abs(whole - np.concatenate([start[n].numpy().ravel() for n, _ in model.named_parameters()])).max() > 1e-3
    np.testing.assert_allclose(continued, whole, atol=1e-6)


def test_pipeline_runs_once_and_repeats_nothing(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # symmetrix would convert and compile these throw-away models: tests/test_potential.py holds it against mace-torch
    monkeypatch.setattr(potential, "load", functools.partial(potential.load, engine="mace"))
    monkeypatch.setattr(mace_model, "symmetrix_data", lambda model: {})
    stored = training.train(recipe_file, tmp_path / "out")
    assert "[fit 1] " in capsys.readouterr().out
    table = json.loads((stored / "errors.json").read_text())
    assert table["strained"]["frames"] == 2
    assert np.isfinite(table["all"]["force_rmse_meV_per_A"])
    frames = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "frames").iterdir()}
    assert len(frames) == 6
    assert training.train(recipe_file, tmp_path / "out") == stored
    printed = capsys.readouterr().out
    assert "epoch" not in printed
    assert "frames," not in printed
    assert all(path.stat().st_mtime_ns == when for path, when in frames.items())
