"""The training pipeline: recipe, sampling, labels, the quick evaluator against mace-torch, a committee whose fits resume."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from atomistic import collecting, fitting, label_check, labels, mace_model, potential, recipe, sampling, training
from atomistic.structures import bulk, min_distance
from coupling.errors import RunFailure, UserError

torch = pytest.importorskip("torch", reason="needs torch")
if importlib.util.find_spec("mace") is None or importlib.util.find_spec("chgnet") is None:  # importing mace leaves traces
    pytest.skip("mace-torch and chgnet are needed", allow_module_level=True)

RECIPE = """
name = "tiny"
seed = 1
driver = "teacher"
validation_every = 3
max_force = 25.0
[fit]
atoms_per_batch = 16
[[member]]
seed = 1
channels = 16
r_max = 4.0
radial_basis = 4
radial_layers = [8, 8]
readout_width = 4
epochs = 2
[[member]]
seed = 2
channels = 16
r_max = 3.5
radial_basis = 4
radial_layers = [8]
readout_width = 4
epochs = 1
[[structure]]
id = "Li"
kind = "crystal"
name = "Li"
[[structure]]
id = "LiCl"
kind = "crystal"
name = "LiCl"
[[task]]
method = "rattle"
family = "strained"
structures = ["Li", "LiCl"]
frames = 4
strain = 0.03
rattle = [0.02, 0.1]
[[task]]
method = "rattle"
family = "surface"
structures = ["Li"]
copies = 2
frames = 2
[[task]]
round = 1
method = "md"
family = "crystal"
structures = ["Li"]
steps = 10
interval = 5
temperatures = [200]
[[task]]
set = "test"
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


def test_the_shipped_recipe_keeps_its_held_out_frames_apart() -> None:
    shipped = recipe.read_recipe(potential.SHIPPED / "lpscl" / "recipe.toml")
    seeds = {
        job.task.set: {other.seed for other in recipe.jobs(shipped) if other.task.set == job.task.set}
        for job in recipe.jobs(shipped)
    }
    assert seeds[recipe.HELD_OUT]
    assert not seeds[recipe.HELD_OUT] & seeds[recipe.TRAIN]
    assert {task.family for task in shipped.tasks} >= {"crystal", "strained", "surface", "interface", "amorphous", "melt"}
    assert len({(member.channels, member.r_max) for member in shipped.members}) >= 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("frames = 4", "frame = 4", "unknown key 'frame'; known: .*frames"),
        ('structures = ["Li", "LiCl"]', 'structures = ["Na"]', "names structure 'Na'; known: Li, LiCl"),
        ('driver = "teacher"\n', "", "driver missing; every recipe needs it"),
        ('family = "surface"', 'family = "strained"', "two tasks make the same job 'train0-strained-rattle-Li-0K-0'"),
        ('method = "rattle"', 'method = "shake"', "task 1: method 'shake' of set 'train'; known: rattle, contact, relax, md"),
        ("[fit]", "[fit", "not readable as a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe_file: Path, old: str, new: str, message: str) -> None:
    recipe_file.write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        recipe.read_recipe(recipe_file)


def test_sampling_is_seeded_and_keeps_atoms_apart() -> None:
    start = sampling.start(sampling.Structure("a", "amorphous", composition=(("Li", 8), ("S", 4))), seed=5)
    first, again = (sampling.rattled_frames(start, 5, 0.05, (0.01, 0.2), seed) for seed in (7, 7))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert all(min_distance(frame) > sampling.CLOSEST for frame in first)
    holes = sampling.start(sampling.Structure("v", "crystal", name="Li2S", vacancies=2), seed=1)
    assert holes.get_chemical_formula() == "Li6S4"
    with pytest.raises(UserError, match="unknown kind of structure 'cristal'"):
        sampling.start(sampling.Structure("x", "cristal", name="Li"), seed=0)


def test_collapse_is_judged_by_the_elements() -> None:
    lengths = {("C", "O"): (0.7, 1.2), ("O", "H"): (0.5, 0.95), ("Li", "O"): (1.1, 1.4), ("Li", "Li"): (1.2, 1.4)}
    for pair, (near, far) in lengths.items():
        for length, fallen in ((near, True), (far, False)):
            atoms = Atoms(pair, positions=[[0, 0, 0], [length, 0, 0]], cell=[9, 9, 9], pbc=True)
            assert sampling.collapsed(atoms) == fallen, (pair, length)
    assert sampling.rattled_frames(bulk("Li2CO3"), 2, 0.01, (0.0, 0.01), seed=1)


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


@pytest.mark.parametrize("vectors", [False, True])
def test_quick_evaluator_is_mace_torch(tmp_path: Path, vectors: bool) -> None:
    """And symmetrix says the same of what was saved; with vectors every weight is moved, so that none of them is silent."""
    import torch

    from atomistic.fast_mace import batch, predict, sample
    from atomistic.widening import max_degree, with_vectors

    model = mace_model.load(potential.SHIPPED / "lpscl" / "member-0")
    if vectors:
        model = with_vectors(model, 1)
        with torch.no_grad():
            for values in (each for each in model.parameters() if each.numel()):
                values += 0.02 * torch.randn_like(values) * values.abs().mean().clamp(min=0.1)
    assert max_degree(model) == vectors
    mace_model.save(model.float(), tmp_path / "member-0")  # as after a fit
    exact, held = mace_model.build(mace_model.config_of(model)), mace_model.load(tmp_path / "member-0").state_dict()
    for name, value in exact.state_dict().items():
        assert not ("U_matrix" in name or "_w3j_" in name) or torch.equal(held[name], value), name
    frames = []
    for name, seed in (("Li6PS5Cl", 1), ("Li3P", 2)):
        atoms = bulk(name)
        atoms.rattle(0.1, seed=seed)
        atoms.info, atoms.arrays["REF_forces"] = {"REF_energy": 0.0, "REF_stress": np.zeros(6)}, np.zeros((len(atoms), 3))
        frames.append(atoms)
    numbers = [int(z) for z in model.atomic_numbers]
    data = batch([sample(frame, float(model.r_max)) for frame in frames], numbers, float(model.r_max), torch.float64)
    energies, forces, stresses = (value.detach().numpy() for value in predict(model, data))
    reference, quick = (potential.load(tmp_path, engine) for engine in ("mace", "symmetrix"))
    first = 0
    for number, frame in enumerate(frames):
        frame.calc = reference
        assert energies[number] == pytest.approx(frame.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(forces[first : first + len(frame)], frame.get_forces(), atol=1e-8)
        np.testing.assert_allclose(stresses[number], frame.get_stress(voigt=False), atol=1e-10)
        frame.calc = quick
        assert energies[number] == pytest.approx(frame.get_potential_energy(), abs=1e-8 * len(frame))
        np.testing.assert_allclose(forces[first : first + len(frame)], frame.get_forces(), atol=1e-6)
        first += len(frame)


def test_model_with_vectors_begins_as_the_one_without(tmp_path: Path) -> None:
    from atomistic.widening import with_vectors

    narrow = mace_model.load(potential.SHIPPED / "lpscl" / "member-0")
    wide = with_vectors(narrow, 3)
    assert with_vectors(wide, 4) is wide
    atoms = bulk("Li6PS5Cl")
    atoms.rattle(0.1, seed=1)
    for name, model in (("narrow", narrow), ("wide", wide)):
        mace_model.save(model, tmp_path / name / "member-0")
    before, after = (potential.load(tmp_path / name, "mace") for name in ("narrow", "wide"))
    assert after.get_potential_energy(atoms) == pytest.approx(before.get_potential_energy(atoms), abs=1e-9)
    np.testing.assert_allclose(after.get_forces(atoms), before.get_forces(atoms), atol=1e-9)


def test_vectors_are_for_models_of_two_layers_and_older_fits_know_nothing_of_them() -> None:
    from atomistic.widening import with_vectors

    config = mace_model.config_of(mace_model.load(potential.SHIPPED / "lpscl" / "member-0"))
    with pytest.raises(UserError, match="has 1 layers; one of two layers"):
        with_vectors(mace_model.build(config | {"num_interactions": 1}), 1)
    assert "max_L" not in recipe.Member(1).told()
    assert recipe.Member(1, max_L=1).told()["max_L"] == 1


def test_the_shape_of_weights_is_told_and_three_layers_are_refused(tmp_path: Path) -> None:
    """What a member says of itself is the shape of its weights, also where a recipe that goes on from them says another."""
    narrow = mace_model.load(potential.SHIPPED / "lpscl" / "member-0")
    settings = {"channels": 32, "max_L": 0, "r_max": 5.0, "radial_basis": 8, "cutoff_power": 5, "radial_layers": [64, 64],
                "readout_width": 16}  # fmt: skip
    assert fitting.shape_of(narrow) == settings
    wide = fitting.shape_of(fitting.new_model(_labelled(2), settings | {"max_L": 1, "channels": 8}, 1))
    assert wide == settings | {"max_L": 1, "channels": 8}
    three = mace_model.build(mace_model.config_of(narrow) | {"num_interactions": 3})
    with pytest.raises(UserError, match="models of two layers; the one to start from has 3"):
        fitting.fit(three, [], [], 1, fitting.FitSettings(), 1, tmp_path / "checkpoint.pt")


def _labelled(count: int) -> list:
    """LiCl frames whose labels are zero: enough to fit something to."""
    atoms = bulk("LiCl")
    frames = sampling.rattled_frames(atoms, count, 0.02, (0.02, 0.1), seed=1)
    for number, frame in enumerate(frames):
        frame.info |= {"REF_energy": -30.0, "REF_stress": np.zeros(6), "job": f"job {number}"}
        frame.arrays["REF_forces"] = np.zeros((len(frame), 3))
    return frames


SMALL = {
    "channels": 16, "max_L": 0, "r_max": 4.0, "radial_basis": 4, "cutoff_power": 5, "radial_layers": [8, 8], "readout_width": 4,
}  # fmt: skip


def test_atoms_that_nothing_reaches_have_the_atomic_energies_of_the_recipe(tmp_path: Path) -> None:
    """By least squares over condensed frames they have what an atom has there, so that leaving costs nothing."""
    from atomistic.fast_mace import batch, predict, sample

    apart = Atoms("LiCl", positions=[[0, 0, 0], [15, 15, 15]], cell=[30.0, 30.0, 30.0], pbc=True)
    apart.info |= {"REF_energy": 0.0, "REF_stress": np.zeros(6)}
    apart.arrays["REF_forces"] = np.zeros((2, 3))
    for given, told in (({"Li": -0.48, "Cl": -0.68}, -1.16), (None, 2 * -30.0 / len(_labelled(1)[0]))):
        model = fitting.new_model(_labelled(3), SMALL, 1, given)
        energy = predict(model, batch([sample(apart, 4.0)], [3, 17], 4.0, torch.float64))[0]
        assert float(energy) == pytest.approx(told, abs=1e-9)
    fitting.set_atomic_energies(model, {"Li": -0.48, "Cl": -0.68})  # of a fitted model, before it is fitted on
    energy = predict(model, batch([sample(apart, 4.0)], [3, 17], 4.0, torch.float64))[0]
    assert float(energy) == pytest.approx(-1.16, abs=1e-9)
    with pytest.raises(UserError, match="atomic_energies: none of Cl, which is among the elements"):
        fitting.new_model(_labelled(3), SMALL, 1, {"Li": -0.48})
    for line, wrong in (
        ("{ Lj = -0.48 }", ": Lj = -0.48"),
        ('{ Li = "low" }', ".Li: read 'low'"),
        ("{ Li = nan }", ": Li = nan"),
    ):
        (tmp_path / "recipe.toml").write_text(f'name = "x"\nseed = 1\ndriver = "lpscl"\natomic_energies = {line}\n')
        with pytest.raises(UserError, match=re.escape(f"atomic_energies{wrong}")):
            recipe.read_recipe(tmp_path / "recipe.toml")


def test_a_killed_fit_continues_to_the_same_weights(tmp_path: Path) -> None:
    frames = _labelled(3)
    model = fitting.new_model(frames, SMALL, seed=1)
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def fitted(checkpoint: Path, report=lambda epoch: None) -> np.ndarray:
        model.double().load_state_dict(start)
        done = fitting.fit(model, frames, frames[:1], 3, fitting.FitSettings(atoms_per_batch=10), 5, checkpoint, report)
        return np.concatenate([p.detach().numpy().ravel() for p in done.parameters()])

    def killed(epoch: fitting.Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    whole = fitted(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed.pt", killed)
    seen = []
    continued = fitted(tmp_path / "killed.pt", seen.append)
    assert [epoch.number for epoch in seen] == [3]
    assert np.abs(whole - np.concatenate([start[n].numpy().ravel() for n, _ in model.named_parameters()])).max() > 1e-3
    np.testing.assert_allclose(continued, whole, atol=1e-6)


def test_a_fit_that_no_longer_gains_stops_and_keeps_its_best_weights(tmp_path: Path) -> None:
    """A learning rate far too large: validation gets worse after the start, so the fit ends early with the best epoch."""
    frames = _labelled(4)
    settings = fitting.FitSettings(atoms_per_batch=10, learning_rate=1.0, average=0.0, warmup=0.5, patience=2)
    seen: list[fitting.Epoch] = []
    model = fitting.new_model(frames, SMALL, seed=1)
    done = fitting.fit(model, frames[1:], frames[:1], 40, settings, 5, tmp_path / "fit.pt", seen.append)
    best = min(seen, key=lambda epoch: epoch.score)
    assert len(seen) < 40
    assert len(seen) - best.number == 2
    from atomistic.fast_mace import batch, predict, sample

    data = batch([sample(frames[0], 4.0)], [int(z) for z in done.atomic_numbers], 4.0, torch.float64)
    forces = predict(done, data)[1].detach().numpy()
    assert float(np.sqrt(np.mean(forces**2))) == pytest.approx(best.forces, rel=1e-3)


@pytest.mark.parametrize(("line", "told"), [
    ("minutes = nan", r"minutes = nan: 0 \(no limit\) or more"),
    ("atoms_per_batch = 0", "atoms_per_batch = 0: 1 or more"),
    ("learning_rate = -0.1", "learning_rate = -0.1: a number above 0"),
    ("average = 1.0", "average = 1: 0 or more and less than 1"),
])  # fmt: skip
def test_a_fit_that_cannot_run_is_refused(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "r.toml").write_text(f'name = "r"\nseed = 1\ndriver = "lpscl"\n[fit]\n{line}\n')
    with pytest.raises(UserError, match=told):
        recipe.read_recipe(tmp_path / "r.toml")


def test_a_loss_that_is_no_number_ends_the_fit_and_keeps_the_epochs_before(tmp_path: Path) -> None:
    frames = _labelled(3)
    model = fitting.new_model(frames, SMALL, seed=1)
    settings = fitting.FitSettings(atoms_per_batch=10)
    fitting.fit(model, frames, frames[:1], 1, settings, 5, tmp_path / "fit.pt")
    kept = (tmp_path / "fit.pt").read_bytes()
    frames[2].arrays["REF_forces"][0, 0] = np.nan
    with pytest.raises(RunFailure, match=r"the loss is nan in epoch 2; what 1 epochs gave is kept in .*fit.pt"):
        fitting.fit(model, frames, frames[:1], 3, settings, 5, tmp_path / "fit.pt")
    assert (tmp_path / "fit.pt").read_bytes() == kept


def test_other_labels_or_other_weights_make_another_fit(tmp_path: Path) -> None:
    frames, seen = _labelled(3), set()
    for change in ("none", "forces", "stress", "cell"):
        if change == "forces":
            frames[1].arrays["REF_forces"][0, 0] += 0.1
        elif change == "stress":
            frames[1].info["REF_stress"] = np.full(6, 0.01)
        elif change == "cell":
            frames[1].set_cell(1.01 * frames[1].cell.array)
        seen.add(training._fingerprint(frames))
    assert len(seen) == 4


def test_atoms_at_one_point_are_refused() -> None:
    frames = _labelled(3)
    frames[1].positions[1] = frames[1].positions[0] + [0.0, 0.0, 0.1]
    with pytest.raises(UserError, match=r"set: frame 1 .*: atoms [01] and [01] lie 0.10 Å apart \(limit 0.3\)"):
        label_check.check(frames, "set")


def test_a_time_below_zero_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('name = "r"\nseed = 1\ndriver = "lpscl"\n[fit]\nminutes = -5\n')
    with pytest.raises(UserError, match=r"^\[fit\] minutes = -5: 0 \(no limit\) or more is needed$"):
        recipe.read_recipe(tmp_path / "r.toml")


def test_a_fit_ends_when_its_time_is_used_and_a_killed_one_does_not_get_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that goes on by 4 s whenever it is read: five readings an epoch, so one minute is used after three epochs."""
    now = [0.0]

    def read() -> float:
        now[0] += 4.0
        return now[0]

    monkeypatch.setattr(fitting.time, "monotonic", read)
    frames, stored = _labelled(3), tmp_path / "fit.pt"
    settings = fitting.FitSettings(atoms_per_batch=10, minutes=1.0)

    def epochs_done() -> list[int]:
        seen: list[int] = []
        model = fitting.new_model(frames, SMALL, seed=1)
        fitting.fit(model, frames, frames[:1], 50, settings, 5, stored, lambda epoch: seen.append(epoch.number))
        return seen

    assert epochs_done() == [1, 2, 3]
    last = torch.load(stored, weights_only=True)["optimizer"]["param_groups"][0]["lr"]
    assert last == pytest.approx(fitting.rate(56 / 60, settings), rel=1e-9)  # the last step began after 56 s
    assert not epochs_done()


def test_frames_and_members_are_made_once_and_differ_in_shape(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # symmetrix would convert and compile these throw-away models: tests/test_potential.py holds it against mace-torch
    monkeypatch.setattr(mace_model, "symmetrix_data", lambda model: {})
    tiny = recipe.read_recipe(recipe_file)
    first = collecting.gather(tiny, collecting.collect(tiny, 0, tmp_path / "frames"))
    assert not any(frame.info["family"] == "crystal" for frame in first["train"])
    files = collecting.collect(tiny, 1, tmp_path / "frames")
    sets = collecting.gather(tiny, files)
    assert [len(sets[name]) for name in ("train", "test")] == [len(first["train"]) + 2, 2]
    assert all(np.isfinite(frame.info["REF_energy"]) for frame in sets["train"])
    written = {path: path.stat().st_mtime_ns for path in files.values()}
    stored = training.train(tiny, sets["train"], tmp_path / "out")
    shapes = [mace_model.load(folder) for folder in training.member_folders(stored)]
    assert [float(model.r_max) for model in shapes] == [4.0, 3.5]
    table = training.errors(sets["test"], potential.load(stored / "member-0", engine="mace"))
    assert table["strained"]["frames"] == 2
    weights = {path: path.stat().st_mtime_ns for path in stored.rglob("*.safetensors")}
    collecting.collect(tiny, 1, tmp_path / "frames")
    assert training.train(tiny, sets["train"], tmp_path / "out") == stored
    assert written | weights == {path: path.stat().st_mtime_ns for path in [*written, *weights]}


def test_going_back_to_earlier_settings_brings_their_weights_back(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one folder a second recipe replaces the members; the first one given again is not taken for done."""
    monkeypatch.setattr(mace_model, "symmetrix_data", lambda model: {})
    first = recipe.read_recipe(recipe_file)
    first = replace(first, members=first.members[1:])
    other = replace(first, fit=replace(first.fit, learning_rate=0.002))
    frames, seen = _labelled(3), []
    for given in (first, other, first):
        stored = training.train(given, frames, tmp_path)
        seen.append((stored / "member-0" / mace_model.STATE).read_bytes())
    assert seen[0] != seen[1]
    assert seen[0] == seen[2]
    (stored / "member-1").mkdir()
    with pytest.raises(UserError, match=r"member-1: of an earlier fit with more members than the 1 of recipe 'tiny'; delete it"):
        training.train(first, frames, tmp_path)


def test_whole_jobs_go_to_one_side_of_the_split() -> None:
    frames = _labelled(6)
    for number, frame in enumerate(frames):
        frame.info["job"] = f"job {number // 2}"
    learned, valid = training.split(frames, 12)
    assert {frame.info["job"] for frame in learned} & {frame.info["job"] for frame in valid} == set()
    assert (len(learned), len(valid)) == (4, 2)


def test_frames_of_a_single_job_are_split_among_themselves() -> None:
    """Else none would be left for validation, and an early stop would have nothing to go by."""
    frames = _labelled(6)
    for frame in frames:
        frame.info["job"] = "a run"
    learned, valid = training.split(frames, 3)
    assert (len(learned), len(valid)) == (4, 2)


def test_a_fit_without_validation_frames_keeps_what_it_learned(tmp_path: Path) -> None:
    """Where an early stop is asked for, too."""
    model = fitting.new_model(_labelled(3), SMALL, seed=1)
    start = {name: value.clone() for name, value in model.named_parameters()}
    settings = fitting.FitSettings(atoms_per_batch=10, patience=1)
    done = fitting.fit(model, _labelled(3), [], 2, settings, 5, tmp_path / "fit.pt")
    assert max(float((value - start[name]).abs().max()) for name, value in done.named_parameters()) > 1e-4


def test_a_committee_needs_members_and_frames(recipe_file: Path, tmp_path: Path) -> None:
    tiny = recipe.read_recipe(recipe_file)
    with pytest.raises(UserError, match="no \\[\\[member\\]\\] table"):
        training.train(replace(tiny, members=()), _labelled(3), tmp_path)
    with pytest.raises(UserError, match="1 frames to learn from"):
        training.train(tiny, _labelled(1), tmp_path)
