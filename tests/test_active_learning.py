"""The loop of `multiscale potential improve`: a pair potential teaches ridge fits of pair functions; killed at every stage."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from pair_potential import PairPotential

from atomistic import active_learning, dataset, improve_pictures, improve_study, labelling
from atomistic.cp2k import LabelFailure
from atomistic.improve_stages import Tools
from atomistic.label_settings import LabelSettings
from atomistic.labelling import Labeller
from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError

TEACHER = LabelSettings("pair potential", "1")
STUDY = """
name = "argon"
seed = 3
labeller = "toy"
sets = ["first.h5"]
epochs = 1
[[structure]]
id = "crystal"
kind = "file"
name = "crystal.extxyz"
[dynamics]
temperatures = [40, 160]
steps = 60
interval = 5
timestep_fs = 4.0
closest = 2.0
[goal]
target = 3.0
threshold = 0.002
limit = 5.0
[budget]
labels = 4
control = 3
generations = 3
total = 40
[[member]]
seed = 1
[[member]]
seed = 2
[[member]]
seed = 3
"""


def crystal(seed: int, width: float) -> Atoms:
    atoms = bulk("Ar", cubic=True, a=5.3).repeat(2)
    atoms.rattle(width, seed=seed)
    return atoms


def teacher() -> PairPotential:
    return PairPotential(cutoff=5.2, skin=0.0)


class Ridge(Calculator):
    """Pair potential Σ_k w_k g_k(r), Gaussians g_k: linear in its weights, so that a fit is one least-squares problem."""

    implemented_properties = ("energy", "forces")
    centers, width = np.linspace(2.6, 5.2, 10), 0.35

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.weights = np.array(weights)

    @classmethod
    def design(cls, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        """Energies (k,) and forces (3n, k) of every basis function."""
        first, second = np.triu_indices(len(atoms), 1)
        vectors = atoms.positions[second] - atoms.positions[first]
        vectors -= atoms.cell.lengths() * np.round(vectors / atoms.cell.lengths())
        lengths = np.linalg.norm(vectors, axis=1)
        near = lengths < 5.2
        first, second, vectors, lengths = first[near], second[near], vectors[near], lengths[near]
        x = (lengths[:, None] - cls.centers) / cls.width
        fade, slope = (1 - (lengths / 5.2) ** 2) ** 2, -4 * (1 - (lengths / 5.2) ** 2) * lengths / 5.2**2
        bells = np.exp(-0.5 * x**2)
        derivative = bells * (slope[:, None] - fade[:, None] * x / cls.width)
        pull = derivative[:, :, None] * (vectors / lengths[:, None])[:, None, :]
        forces = np.zeros((len(atoms), len(cls.centers), 3))
        np.add.at(forces, first, pull)
        np.add.at(forces, second, -pull)
        return (bells * fade[:, None]).sum(axis=0), forces.transpose(0, 2, 1).reshape(-1, len(cls.centers))

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.design(self.atoms)
        self.results = {"energy": float(energy @ self.weights), "forces": (forces @ self.weights).reshape(-1, 3)}


class Toy:
    """Counts what is labelled and fitted; `dies_at` names the event at which the run is killed, once."""

    def __init__(self, fails: bool = False) -> None:
        self.labelled: list[str] = []
        self.fitted: list[int] = []
        self.dies_at, self.events, self.fails = -1, 0, fails

    def event(self) -> None:
        self.events += 1
        if self.events == self.dies_at:
            raise KeyboardInterrupt

    def label(self, frame: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        self.event()
        self.labelled.append(labelling.geometry_key(frame, TEACHER))
        if self.fails:
            raise LabelFailure("did not converge")
        atoms = frame.copy()
        atoms.calc = teacher()
        return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

    def fit(self, study: Any, frames: list[Atoms], folder: Path, start: Any, generation: int, *rest: Any) -> Path:
        """Ridge fits to halves of the forces, drawn with the members' seeds."""
        self.event()
        self.fitted.append(generation)
        rows, values = zip(*((Ridge.design(f)[1], f.arrays["REF_forces"].ravel()) for f in frames), strict=True)
        for number, member in enumerate(study.member):
            chosen = np.random.default_rng(member.seed).permutation(len(rows))[: max(1, len(rows) // 2)]
            a, b = np.vstack([rows[i] for i in chosen]), np.concatenate([values[i] for i in chosen])
            weights = np.linalg.solve(a.T @ a + 1e-4 * np.eye(a.shape[1]), a.T @ b)
            write_json(folder / "potential" / f"member-{number}.json", weights.tolist())
        self.event()
        return folder / "potential"

    def members(self, folder: Path, dtype: str) -> list[Ridge]:
        self.event()
        return [Ridge(json.loads(path.read_text())) for path in sorted(folder.glob("member-*.json"))]

    def tools(self) -> Tools:
        return Tools(Labeller(TEACHER, self.label), self.members, self.fit)


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """Study, its structure, and a first set that knows small displacements only."""
    write(tmp_path / "crystal.extxyz", crystal(0, 0.0))
    frames = [crystal(seed, 0.01) for seed in range(4)]
    for frame in frames:
        energy, forces, stress = Toy().label(frame)
        frame.info |= {"REF_energy": energy, "REF_stress": stress}
        frame.arrays["REF_forces"] = forces
    dataset.write(tmp_path / "first.h5", frames, TEACHER)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def test_the_loop_ends_below_its_target_and_says_what_it_claims(study_file: Path, tmp_path: Path) -> None:
    toy, study = Toy(), improve_study.read_study(study_file)
    history = active_learning.improve(study, tmp_path / "out", toy.tools())
    errors = [row["before"]["found_rmse"] for row in history["generations"]]
    assert errors[0] > study.goal.target > errors[-1]
    assert history["stop"].startswith("below the target")
    assert history["generations"][-1]["before"]["claimed_everywhere"] < study.goal.target
    # the first claim that was made before its labels held for most atoms of frames that the fit had not seen
    checked = [row["before"] for row in history["generations"] if row["before"]["claimed_before"]]
    assert checked
    assert all(row["coverage"] > 0.6 for row in checked)
    last = tmp_path / "out" / "generation-00"
    for name in ("md", "labels", "candidates.extxyz", "control.h5", "set.h5", "before.json", "calibration.json", "summary.json"):
        assert (last / name).exists()
    assert (tmp_path / "out" / "history.png").stat().st_size > 1000
    assert (tmp_path / "out" / "calibration.png").stat().st_size > 1000
    learnt = {labelling.geometry_key(frame, TEACHER) for frame in dataset.read(last / "set.h5")}
    control = {labelling.geometry_key(frame, TEACHER) for frame in dataset.read(last / "control.h5")}
    assert learnt
    assert not learnt & control
    assert len(toy.labelled) == len(set(toy.labelled)) == history["generations"][-1]["labels_total"]
    assert history["potential"].startswith("generation-0")


def test_killed_at_every_stage_it_ends_as_if_it_had_not_been(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(improve_pictures, "write_pictures", lambda *given: None)
    study = improve_study.read_study(study_file)
    budget = study.budget.model_copy(update={"generations": 1, "control": 2, "labels": 2})
    dynamics = study.dynamics.model_copy(update={"temperatures": (160.0,), "steps": 20, "interval": 2})
    study = study.model_copy(update={"budget": budget, "dynamics": dynamics})
    whole = Toy()
    expected = active_learning.improve(study, tmp_path / "whole", whole.tools())
    # a fit, runs, control labels, judgement, labels, a fit, judgement, runs, control labels, judgement
    assert 12 <= whole.events <= 20
    for dies_at in range(1, whole.events + 1):
        toy = Toy()
        toy.dies_at = dies_at
        with pytest.raises(KeyboardInterrupt):
            active_learning.improve(study, tmp_path / str(dies_at), toy.tools())
        assert active_learning.improve(study, tmp_path / str(dies_at), toy.tools()) == expected
        assert len(toy.labelled) == len(set(toy.labelled)) == len(whole.labelled)
        assert len(toy.fitted) <= len(whole.fitted) + 1  # only a fit that was cut off is taken up again
    again = Toy()
    assert active_learning.improve(study, tmp_path / "whole", again.tools()) == expected
    assert not again.labelled
    assert not again.fitted


def test_the_budget_is_kept_and_may_be_raised(study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(improve_pictures, "write_pictures", lambda *given: None)
    study_file.write_text(STUDY.replace("[40, 160]", "[160]").replace("interval = 5", "interval = 6"))
    study = improve_study.read_study(study_file)
    small = study.model_copy(update={"budget": study.budget.model_copy(update={"total": 8})})
    toy = Toy()
    history = active_learning.improve(small, tmp_path / "out", toy.tools())
    # 3 control frames, 2 chosen (3 more are kept for the last control sample), 3 control frames
    assert len(toy.labelled) == 8
    assert history["stop"] == "the budget of 8 labels is spent"
    again = Toy()
    more = active_learning.improve(study, tmp_path / "out", again.tools())
    assert len(more["generations"]) > len(history["generations"])
    assert not set(again.labelled) & set(toy.labelled)
    with pytest.raises(UserError, match=r"half done with budget\.total = 40; it may be raised, not lowered to 8"):
        active_learning.improve(small, tmp_path / "out", toy.tools())


def test_another_study_or_labeller_is_refused(study_file: Path, tmp_path: Path) -> None:
    toy, study = Toy(fails=True), improve_study.read_study(study_file)
    with pytest.raises(RunFailure, match=r"not one control frame got a label \(did not converge\)"):
        active_learning.improve(study, tmp_path / "out", toy.tools())
    asked = len(toy.labelled)
    with pytest.raises(RunFailure, match="not one control frame"):
        active_learning.improve(study, tmp_path / "out", toy.tools())
    assert len(toy.labelled) == asked  # a failure is kept: it is not tried again
    held = json.loads((tmp_path / "out" / "study.json").read_text())
    assert not any("max_L" in member for member in held["member"])  # which studies begun before there was one do not have
    other = study.model_copy(update={"goal": study.goal.model_copy(update={"threshold": 0.001})})
    with pytest.raises(UserError, match=r"half done with another study \(goal\.threshold was 0\.002, is 0\.001\)"):
        active_learning.improve(other, tmp_path / "out", toy.tools())
    tools = replace(toy.tools(), labeller=Labeller(LabelSettings("pair potential", "2"), toy.label))
    with pytest.raises(UserError, match=r"labels made in another way.*version 1 / 2.*leave the set out"):
        active_learning.improve(study, tmp_path / "new", tools)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 60", "steps = 60\nstep = 3", r"study.toml:\d+: dynamics.step: unknown key; did you mean \"steps\""),
        ("target = 3.0", 'target = "3"', r"study.toml:\d+: goal.target"),
        ('kind = "file"', 'kind = "file"\nfce = "1"', r"study.toml:7: structure: unknown key 'fce'; did you mean \"face\""),
        ("limit = 5.0", "limit = 0.001", r"goal.limit: limit = 0.001 eV/Å must lie above threshold"),
        ("sets = [", "potential = 'lpscl'\nsets = [", "member: the members are those of potential 'lpscl'"),
        ('sets = ["first.h5"]', "", "without a start .* a first training set"),
        ("total = 40", "total = 0", r"budget.total: read 0"),
        ("seed = 1", "seed = 1\nmax_L = 2", r"study.toml:\d+: member.*max_L: read 2"),
        ("[goal]", "[goal", "not valid TOML"),
    ],
)
def test_a_wrong_study_is_refused_with_its_line(study_file: Path, old: str, new: str, message: str) -> None:
    study_file.write_text(STUDY.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        improve_study.read_study(study_file)


def test_a_run_stops_where_the_committee_is_lost_or_atoms_collide(study_file: Path) -> None:
    from atomistic import exploration

    settings = improve_study.read_study(study_file).dynamics
    members = [PairPotential(epsilon, cutoff=5.2) for epsilon in (0.010, 0.011)]

    def run(limit: float, closest: float) -> tuple[list[Atoms], str]:
        chosen = settings.model_copy(update={"closest": closest})
        return exploration.explore(crystal(1, 0.02), members, 0, 100.0, chosen, lambda numbers, spreads: spreads, limit, 5)

    whole, reason = run(10.0, 2.0)
    assert (len(whole), reason) == (12, "finished")
    largest = [frame.arrays["forces_std"].max() for frame in whole]
    limit = sorted(largest)[-4]
    cut, reason = run(limit, 2.0)
    assert reason == "uncertainty above the limit"
    assert len(cut) == 1 + next(number for number, value in enumerate(largest) if value > limit)
    assert run(10.0, 3.6)[1] == "unphysical: two atoms nearer than dynamics.closest = 3.6 Å"
    frames, reason = run(10.0, 3.8)
    assert not frames
    assert "from its start two atoms are nearer than dynamics.closest = 3.8 Å; lower it" in reason


def test_a_structure_without_a_frame_is_told_and_keeps_the_loop_from_its_target(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A molecule whose bond is shorter than dynamics.closest: its runs end at once, and the errors are of the crystal alone."""
    monkeypatch.setattr(improve_pictures, "write_pictures", lambda *given: None)
    pair = crystal(0, 0.0)
    pair.positions[1] = pair.positions[0] + [1.9, 0.0, 0.0]
    write(tmp_path / "pair.extxyz", pair)
    text = STUDY.replace("generations = 3", "generations = 1").replace("target = 3.0", "target = 1e4")
    text = text.replace('id = "crystal"', 'id = "100"')  # a file of frames gives it back as a number
    pairs = '[[structure]]\nid = "pair"\nkind = "file"\nname = "pair.extxyz"\n[dynamics]'
    study_file.write_text(text.replace("[dynamics]", pairs))
    said: list[str] = []
    history = active_learning.improve(improve_study.read_study(study_file), tmp_path / "out", Toy().tools(), say=said.append)
    told = [line for line in said if "not one frame" in line]
    assert told
    assert all("structure 'pair' (unphysical: from its start" in line for line in told)
    assert "budget" in history["stop"]


@pytest.mark.timeout(900)
def test_true_fits_take_over_a_committee_and_the_zero_of_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny MACE models, labels whose energies lie 5 eV per lithium and 2 eV per chlorine lower than theirs."""
    if importlib.util.find_spec("mace") is None:  # importing mace leaves traces
        pytest.skip("mace-torch is needed")
    from atomistic import fitting, improve_stages, mace_model, potential
    from atomistic.structures import bulk as phase

    monkeypatch.setattr(mace_model, "symmetrix_data", lambda model: {})
    monkeypatch.setattr(improve_pictures, "write_pictures", lambda *given: None)

    def label(frame: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        atoms = frame.copy()
        atoms.calc = PairPotential(0.02, 2.2, cutoff=2.55, skin=0.0)
        shift = -5.0 * np.sum(frame.symbols == "Li") - 2.0 * np.sum(frame.symbols == "Cl")
        return atoms.get_potential_energy() + shift, atoms.get_forces(), atoms.get_stress()

    frame = phase("LiCl")
    frame.info["REF_energy"] = 0.0
    shape = {"channels": 16, "max_L": 0, "r_max": 3.0, "radial_basis": 4, "cutoff_power": 5, "radial_layers": [8]}
    shape["readout_width"] = 4
    for number in range(2):
        mace_model.save(fitting.new_model([frame], shape, seed=number), tmp_path / "start" / f"member-{number}")
    text = STUDY[: STUDY.index("[[member]]")].replace('sets = ["first.h5"]', 'potential = "start"')
    text = text.replace('kind = "file"\nname = "crystal.extxyz"', 'kind = "crystal"\nname = "LiCl"')
    for old, new in (("[40, 160]", "[150]"), ("steps = 60", "steps = 12"), ("interval = 5", "interval = 2"),
                     ("timestep_fs = 4.0\nclosest = 2.0", "closest = 1.5"), ("target = 3.0", "target = 1e-3"),
                     ("threshold = 0.002", "threshold = 1e-9"), ("control = 3", "control = 2"), ("labels = 4", "labels = 3"),
                     ("generations = 3", "generations = 1")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "study.toml").write_text(text)

    kept: dict[Path, list[Any]] = {}

    def members(folder: Path, dtype: str) -> list[Any]:
        """One calculator a model: building them is what takes the time here."""
        if folder not in kept:
            kept[folder] = [potential.load(folder, "mace", "float64", number) for number in range(2)]
        return kept[folder]

    tools = Tools(Labeller(TEACHER, label), members, improve_stages.fit_committee)
    history = active_learning.improve(improve_study.read_study(tmp_path / "study.toml"), tmp_path / "out", tools)
    first, last = history["generations"]
    assert first["fit"]["zero"]["Li"] + first["fit"]["zero"]["Cl"] == pytest.approx(-7.0, abs=0.5)
    assert last["before"]["claimed_before"]
    assert history["stop"] == "the budget of 1 fits is spent"
    made = tmp_path / "out" / history["potential"]
    held = dataset.read(tmp_path / "out" / "generation-01" / "control.h5")
    for member in members(made, "float64"):
        off = [(member.get_property("energy", frame) - frame.info["REF_energy"]) / len(frame) for frame in held]
        assert np.abs(off).max() < 0.5  # of 3.5 eV/atom before
    before, after = (mace_model.load(place / "member-0").state_dict() for place in (tmp_path / "start", made))
    assert any(not np.allclose(before[name], after[name]) for name in before if "interactions" in name)
