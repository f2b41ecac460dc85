"""What a study takes, told before it starts; its trial; where it starts from; driven runs that go on after a kill."""

import dataclasses
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import tiny_study
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import (
    boundary_study,
    creep,
    dynamics,
    flow_study,
    nucleation_study,
    property_study,
    reaction_study,
    study_cost,
    study_start,
    trajectory,
)
from atomistic import study as bulk_study
from atomistic.creep import Drive, driven
from atomistic.dynamics import DynamicsSettings
from atomistic.metadynamics import Hills, SamplingSettings, sample
from atomistic.scheduler import Task
from atomistic.thermal_elasticity import Strained
from atomistic.walkers import Overdamped
from coupling.errors import UserError
from coupling.store import read_records
from coupling.toml_input import read
from multiscale.commands import study as command
from multiscale.commands.study import STUDIES, _about, _room
from multiscale.shipped_records import name_of, studies

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = studies()
FLOW = """
kind = "flow"
name = "argon"
potential = "none"
material = "Ar"
temperatures = ["20 K"]
rates = ["2e10 1/s", "4e10 1/s"]
strain = 0.06
skip = 0.03
timestep = "5 fs"
friction = "0.2 ps"
[start]
crystal = "Li"
edge = "17 angstrom"
"""


def test_free_cores_take_the_longest_run_left() -> None:
    """Runs of 5, 4, 3 and 3 s: 15 s on one core, 8 on two (5 + 3 beside 4 + 3), 5 on four."""
    costs = [3.0, 5.0, 3.0, 4.0]
    assert [study_cost.on_cores(costs, cores) for cores in (1, 2, 4)] == [15.0, 8.0, 5.0]
    assert study_cost.on_cores([], 2) == 0.0


def test_what_is_kept_costs_nothing_and_the_measured_speed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A force call twice as slow as the reference doubles every time; a run whose answer is there is left out."""
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3)
    reference = study_cost.reference_seconds(len(atoms), 1, "float32")
    monkeypatch.setattr(study_cost, "seconds_of_a_call", lambda atoms, calculator: 2 * reference)
    tasks = tuple(Task(str(number), f"run {number}", 10.0 * (number + 1), "md", {}) for number in range(3))
    plan = study_cost.StudyPlan(tasks, atoms, PairPotential)
    found = study_cost.estimate(plan, tmp_path, 2)
    assert (found.runs, found.kept, found.seconds, found.wall) == (3, 0, pytest.approx(120), pytest.approx(60))
    (tmp_path / "2.json").write_text(json.dumps({"key": "2", "answer": {}}))
    found = study_cost.estimate(plan, tmp_path, 1)
    assert (found.kept, found.wall, found.longest) == (1, pytest.approx(60), ("run 1", pytest.approx(40)))
    for number in (0, 1):
        (tmp_path / f"{number}.json").write_text(json.dumps({"key": str(number), "answer": {}}))
    assert study_cost.estimate(plan, tmp_path).wall == 0


def test_of_a_run_that_was_begun_what_is_left_counts(tmp_path: Path) -> None:
    """Runs of 10 s and 4 ps: one with 1 ps of it in two parts, one with a whole longer run, one not begun, one without motion.

    A segment that was cut does not count; the run itself goes on from there.
    """
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3)
    tasks = [Task(str(number), f"run {number}", 10.0, "md", {}, f"folder {number}", 4.0) for number in range(3)]
    tasks.append(Task("3", "rest", 10.0, "elasticity", {}))
    settings = DynamicsSettings(30.0, 0.76, timestep=4.0, frame_interval=40.0, checkpoint_interval=400.0)
    for number, part, length in ((0, "equilibration", 0.24), (0, "production", 0.76), (1, "production", 5.0)):
        folder = tmp_path / f"folder {number}" / part
        dynamics.run(atoms, PairPotential(cutoff=5.0), dataclasses.replace(settings, picoseconds=length), folder)
        assert trajectory.held(folder) == pytest.approx(length)
    found = study_cost.estimate(study_cost.StudyPlan(tuple(tasks)), tmp_path)
    assert (found.begun, found.there) == (8.0, pytest.approx(5.0))
    assert found.seconds == pytest.approx(7.5 + 0.0 + 10.0 + 10.0)
    assert found.longest == ("run 2", 10.0)
    (tmp_path / "folder 0" / "production" / "segment-00001.npz").write_bytes(b"cut")
    assert study_cost.held(tmp_path, tasks[0]) == pytest.approx(0.24 + 0.40)
    assert trajectory.held(tmp_path / "folder 2") == 0.0


def test_a_study_made_longer_costs_the_difference(tmp_path: Path) -> None:
    """Diffusion runs of 0.1 + 0.8 ps that go on to 0.1 + 1.7 ps; what is at rest is kept."""
    tools = tiny_study.tools()
    short = {"Ar": dataclasses.replace(tiny_study.EFFORT.diffusion["Ar"], temperatures=(300.0,))}
    long = {"Ar": dataclasses.replace(short["Ar"], production=1.7)}
    moving = dataclasses.replace(tiny_study.EFFORT, quantities=("diffusion",))
    first, second = (dataclasses.replace(tools, effort=dataclasses.replace(moving, diffusion=one)) for one in (short, long))
    bulk_study.run(tiny_study.SETTINGS, tmp_path, tools=first)
    (task,) = bulk_study.plan(tiny_study.SETTINGS, second)
    found = study_cost.estimate(study_cost.StudyPlan((task,)), tmp_path)
    assert (found.kept, found.begun, found.there) == (0, pytest.approx(1.8), pytest.approx(0.9))
    assert found.seconds == pytest.approx(task.cost / 2)


def test_steps_of_walkers_and_of_a_driven_cell_are_counted(tmp_path: Path) -> None:
    """Three walkers of 0.5 ps of 2 ps with the time after them, and a driven cell at a third of its strain."""
    hills = Hills(-2.0, 2.0, 80, 0.2, 0.1, 1.0, 5.0)
    walkers = Overdamped(lambda x: x, np.zeros(3), 0.01, seed=1)
    sample(walkers, hills, SamplingSettings(250, 10, 5, 50), tmp_path / "bias")
    biased = Task("a", "bias", 10.0, "bias", {}, "bias", 3 * 2.0, 3 * 2e-3)
    assert study_cost.held(tmp_path, biased) == pytest.approx(1.5)
    cell = Task("b", "flow", 10.0, "md", {}, "flow", 0.6, 5e-3)
    assert study_cost.held(tmp_path, cell) == 0.0
    drive = Drive(4e10, 0.06, 0.03, 20.0, timestep=5.0, friction_time=200.0, seed=3)
    (tmp_path / "flow").mkdir()
    np.savez(tmp_path / "flow" / "driven.npz", key="k", rows=np.zeros((40, 2)))
    assert study_cost.held(tmp_path, cell) == pytest.approx(0.2)
    driven(bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3), PairPotential(cutoff=5.0), drive, folder=tmp_path / "flow")
    assert study_cost.held(tmp_path, dataclasses.replace(cell, picoseconds=2.0)) == pytest.approx(0.06 / 4e10 * 1e12)


def test_a_force_call_is_timed() -> None:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(4)
    calls: list[int] = []

    class Counted(PairPotential):
        def calculate(self, *args, **more):
            calls.append(1)
            super().calculate(*args, **more)

    assert 1e-5 < study_cost.seconds_of_a_call(atoms, Counted()) < 1.0
    assert len(calls) == 4, "one that compiles, three that count"
    assert len(study_cost.probe_cell(bulk("Li", "bcc", a=3.5))) == study_cost.PROBE_ATOMS


@pytest.mark.parametrize(("seconds", "told"), [(3, "3 s"), (99, "99 s"), (150, "2.5 min"), (3000, "50 min"), (9000, "2.5 h"),
                                               (100000, "28 h"), (400000, "4.6 days"), (0.2, "1 s")])  # fmt: skip
def test_times_are_told_with_two_figures(seconds: float, told: str) -> None:
    assert _about(seconds) == told


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_every_shipped_study_has_a_trial_that_is_the_same_study_shorter(path: Path) -> None:
    """The trial keeps kind, potential, crystal and names, and is accepted by what checks a study."""
    room = _room(read(path).data["kind"])
    study = room.read_study(path)
    short = room.trial(study)
    assert type(short) is type(study)
    for key in ("name", "potential", "seed"):
        assert getattr(short, key, None) == getattr(study, key, None)
    assert short != study


def test_the_kinds_have_what_the_command_asks_for() -> None:
    for kind in STUDIES:
        assert {"read_study", "plan", "trial", "run"} <= set(dir(_room(kind)))


def test_a_study_starts_from_a_file_or_from_a_crystal(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(FLOW)
    study = flow_study.read_study(path)
    (built,) = study_start.frames(study.structure, study.start, study.seed)
    assert len(built) == 2 * 5**3
    for old, new, message in (
        ("[start]", 'structure = "a.xyz"\n[start]', "one of the two"), ('crystal = "Li"', 'crystal = "Lii"', "did you mean 'Li'"),
        ('crystal = "Li"\nedge = "17 angstrom"', 'crystal = "Li"\nedge = "17 angstrom"\ndisorder = 0.5', "only Li6PS5Cl"),
        ('[start]\ncrystal = "Li"\nedge = "17 angstrom"', "", "one of the two"), ("skip = 0.03", "skip = 0.0599", "steady flow"),
    ):  # fmt: skip
        path.write_text(FLOW.replace(old, new))
        with pytest.raises(UserError, match=message):
            flow_study.read_study(path)
    path.write_text(FLOW + "direction = [1, 1, 1]\n")
    study = flow_study.read_study(path)
    (built,) = study_start.frames(study.structure, study.start, study.seed)
    assert len(built) == 12 * 4 * 2 * 3
    for crystal, direction, message in (("Li", [0, 0, 0], "not zero"), ("Li3PS4", [1, 1, 1], r"start\.direction: .*not cubic")):
        path.write_text(FLOW.replace('"Li"', f'"{crystal}"') + f"direction = {direction}\n")
        with pytest.raises(UserError, match=message):
            flow_study.read_study(path)
    (tmp_path / "reaction.toml").write_text("")
    path.write_text(FLOW.partition("[start]")[0].replace("seed", "seed") + 'structure = "reaction/final.extxyz"\n')
    study = flow_study.read_study(path)
    with pytest.raises(UserError, match=r"not there yet; `multiscale md .*reaction.toml` writes it"):
        study_start.frames(study.structure, study.start, study.seed)


def test_a_contact_that_cannot_be_built_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('kind = "properties"\nname = "a"\npotential = "llzo"\nquantities = ["adhesion"]\n[[phase]]\nname = "LiF"\n'
                    'face = [1, 0, 0]\nmax_area = "10 angstrom^2"\n')  # fmt: skip
    study = property_study.read_study(path)
    with pytest.raises(UserError, match=r"\[\[phase\]\] LiF: .*max_area = 10.* raise one"):
        property_study.plan(study)


class Killed(Exception):
    """Stands for the signal."""


def test_a_driven_run_goes_on_after_a_kill_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creep, "CHECKPOINT", 50)
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3)
    drive = Drive(4e10, 0.06, 0.03, 20.0, timestep=5.0, friction_time=200.0, seed=3)
    whole = driven(atoms, PairPotential(cutoff=6.5), drive)

    def stop(share: float) -> None:
        if share > 0.4:
            raise Killed

    with pytest.raises(Killed):
        driven(atoms, PairPotential(cutoff=6.5), drive, stop, tmp_path)
    done: list[float] = []
    again = driven(atoms, PairPotential(cutoff=6.5), drive, done.append, tmp_path)
    assert min(done) > 0.4
    assert np.array_equal(again.stresses, whole.stresses)
    assert (again.stress, again.stderr, again.temperature) == (whole.stress, whole.stderr, whole.temperature)
    (tmp_path / "driven.npz").write_bytes(b"cut")
    assert driven(atoms, PairPotential(cutoff=6.5), drive, folder=tmp_path).stress == whole.stress
    other = Drive(4e10, 0.06, 0.03, 30.0, timestep=5.0, friction_time=200.0, seed=3)
    assert driven(atoms, PairPotential(cutoff=6.5), other, folder=tmp_path).stress != whole.stress, "another run's checkpoint"


def test_the_command_tells_the_cost_and_runs_the_trial(tmp_path: Path, monkeypatch, capsys) -> None:
    """Estimate: nothing is run; trial: records of low confidence in a folder of its own, which cannot be shipped."""
    path = tmp_path / "study.toml"
    path.write_text(FLOW)
    calculator = PairPotential(cutoff=5.0, epsilon=1e-4, sigma=2.6)  # so weak that the crystal melts, which gives a bound
    whole = flow_study.run
    monkeypatch.setattr(flow_study, "run", lambda *given: whole(*given, calculator=calculator))
    tasks = (Task("a", "flow", 100.0, "md", {}),)
    plan = study_cost.StudyPlan(tasks, bulk("Li", cubic=True, a=3.5).repeat(3), lambda: calculator)
    monkeypatch.setattr(flow_study, "plan", lambda study: plan)
    command.run_file(path, None, as_json=True, estimate=True)
    told = capsys.readouterr()
    assert json.loads(told.out)["runs"] == 1
    assert "about" in told.err
    assert "already" not in told.err
    assert not (tmp_path / "study").exists()
    begun = dataclasses.replace(plan, tasks=(dataclasses.replace(tasks[0], picoseconds=2.0, step=0.01),))
    monkeypatch.setattr(flow_study, "plan", lambda study: begun)
    (tmp_path / "begun" / "a").mkdir(parents=True)
    np.savez(tmp_path / "begun" / "a" / "driven.npz", rows=np.zeros((50, 2)))
    command.run_file(path, tmp_path / "begun", as_json=True, estimate=True)
    told = capsys.readouterr()
    assert json.loads(told.out)["begun"] == {"picoseconds": 2.0, "there": 0.5}
    assert "begun runs: 2 ps, of which 0.5 ps are there already" in told.err
    monkeypatch.setattr(flow_study, "plan", lambda study: plan)
    command.run_file(path, None, as_json=True, trial=True)
    told = capsys.readouterr()
    assert {record["confidence"] for record in json.loads(told.out)["records"]} == {"low"}
    assert "mean nothing" in told.err
    assert {record.confidence for record in read_records(tmp_path / "study-trial" / "records.json")} == {"low"}
    assert not (tmp_path / "study-trial" / "study.json").exists()


def test_places_of_nucleation_are_told_apart(tmp_path: Path) -> None:
    """Two depths: a task, a volume and conditions of their own; wrong depths are refused with their line."""
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat((2, 2, 4))
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    from test_nucleation_study import STUDY

    places = '[[place]]\nname = "low"\nlow = "2 angstrom"\nhigh = "9 angstrom"\n[[place]]\nname = "high"\nlow = "11 angstrom"\n'
    text = STUDY.format(length="15 ps").replace("vapour.xyz", "a.xyz") + places + 'high = "20 angstrom"\n'
    path = tmp_path / "study.toml"
    path.write_text(text)
    study = nucleation_study.read_study(path)
    labels = [task.label for task in nucleation_study._tasks(study, [atoms], "none")]
    assert labels == ["bias 80 K low", "bias 80 K high", "infrequent 80 K low", "infrequent 80 K high"]
    kept = [task.picoseconds for task in nucleation_study._tasks(study, [atoms], "none")]
    assert kept == [pytest.approx(study.bias.walkers * 1e12 * (study.bias.length + study.attachment.length))] * 2 + [0.0, 0.0]
    assert nucleation_study._volume(atoms, study.place[1], 2) == pytest.approx(10.6**2 * 9e-30)
    assert nucleation_study._volume(atoms, None, 2) == pytest.approx(10.6**2 * 21.2e-30)
    for old, new, message in (
        ('high = "9 angstrom"', 'high = "2.5 angstrom"', "must rise"), ('name = "high"', 'name = "low"', "two places of one"),
        ('record = "0.1 ps"', 'record = "1 ps"', "bias.length.*recorded sizes"), ("4 ps", "1 ps", "attachment.length.*lags"),
    ):  # fmt: skip
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=message):
            nucleation_study.read_study(path)
    path.write_text(text.replace("20 angstrom", "30 angstrom"))
    with pytest.raises(UserError, match="beyond the cell"):
        nucleation_study.starts(nucleation_study.read_study(path))


def test_trials_keep_the_rules_of_their_kinds() -> None:
    """Frames, windows and walkers of a trial are as a study's must be."""
    by_kind = {read(path).data["kind"]: path for path in SHIPPED}
    warm, *_ = (path for path in SHIPPED if "thermal_elasticity" in read(path).data.get("quantities", ()))
    for phase in property_study.trial(property_study.read_study(warm)).phase:
        Strained(300.0, phase.strain, phase.production * 1e12)  # refuses a run too short for an error
    reaction = reaction_study.trial(reaction_study.read_study(by_kind["reaction"]))
    assert reaction.length / reaction.frame >= reaction.classed
    assert reaction.window % (2 * reaction.frame) == pytest.approx(0)
    boundary = boundary_study.trial(boundary_study.read_study(by_kind["boundary"]))
    windows = (round(boundary.length / boundary.frame) - 1) // round(boundary.window / boundary.frame)
    assert windows >= boundary_study.boundary_transport.FEWEST_WINDOWS
    properties = property_study.trial(property_study.read_study(by_kind["properties"]))
    assert property_study.effort(properties).steps == 3
