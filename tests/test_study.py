"""Studies: the plan, independence of the number of ranks, nothing twice, killed runs, records."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from launch import is_free, kill_launcher, kill_tree

from atomistic import answers, reduction, scheduler, study, tasks
from atomistic.answers import limits, weighted, widening
from atomistic.diffusivity import COUNTED, poisson_limit
from atomistic.scheduler import Task
from atomistic.separation import CHANCE, fracture_energy
from coupling.errors import RunFailure, UserError
from coupling.store import digest, find, read_records

SCRIPT = Path(__file__).with_name("tiny_study.py")


def mpirun(ranks: int, store: Path, *more: str) -> subprocess.Popen:
    """Start the tiny study on some ranks, in its own process group."""
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun here")
    environment = os.environ | {"PYTHONPATH": f"{SCRIPT.parent.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, str(SCRIPT), str(store), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def finish(process: subprocess.Popen, seconds: float = 120) -> str:
    """Output of a run that must end well in time."""
    try:
        output = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        kill_tree(process)
        pytest.fail(f"still running after {seconds} s")
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store of the tiny study run in this process."""
    store = tmp_path_factory.mktemp("serial")
    study.run(tiny_study.SETTINGS, store, tools=tiny_study.tools())
    return store


def test_plan_lists_independent_runs() -> None:
    """Every run has its own key; the key changes with potential, quality and seed, and with nothing else."""
    listed = study.plan(tiny_study.SETTINGS, tiny_study.tools())
    assert [task.kind for task in listed] == ["diffusion"] * 2 + ["elasticity", "surface", "adhesion"]
    assert len({task.key for task in listed}) == len(listed)
    assert all(task.cost > 0 for task in listed)
    assert [task.key for task in study.plan(tiny_study.SETTINGS, tiny_study.tools())] == [task.key for task in listed]
    other = study.plan(study.StudySettings(phases=("Ar",), seed=6), tiny_study.tools())
    assert not {task.key for task in other} & {task.key for task in listed}


def test_plan_of_the_first_system() -> None:
    """Three or more temperatures of each phase, Li6PS5Cl with its disorder, every quality dearer than the last."""
    costs = []
    for quality in study.QUALITIES:
        listed = study.plan(study.StudySettings(quality=quality))
        costs.append(sum(task.cost for task in listed))
        for phase in study.PHASES:
            own = [task for task in listed if task.parameters["phase"] == phase]
            assert len({task.parameters["temperature"] for task in own if task.kind == "diffusion"}) >= 3
            assert sum(task.kind == "elasticity" for task in own) >= 1
        assert {task.parameters["disorder"] for task in listed if task.parameters["phase"] == "Li6PS5Cl"} == {0.25}
    assert costs[0] < 0.2 * costs[1] < 0.04 * costs[2]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_numbers_do_not_depend_on_the_ranks(serial: Path, tmp_path: Path, ranks: int) -> None:
    """Records and Arrhenius data of 1, 2 and 3 ranks are the same files as those of one process, byte for byte."""
    assert f"{ranks} ranks agree" in finish(mpirun(ranks, tmp_path / "store"))
    for name in ("records.json", "arrhenius.json", "problems.json"):
        assert (tmp_path / "store" / name).read_bytes() == (serial / name).read_bytes()
    assert not (tmp_path / "store" / "claims").exists()


def test_exception_on_a_rank_ends_the_run(tmp_path: Path) -> None:
    """No rank waits for one that failed."""
    process = mpirun(2, tmp_path / "store", "fail")
    output = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "no such potential" in output


def test_killed_run_continues(serial: Path, tmp_path: Path) -> None:
    """kill -9 of mpirun alone in the middle of the dynamics: its ranks end, the next run keeps what was done, same numbers."""
    store = tmp_path / "store"
    process = mpirun(2, store)
    deadline = time.monotonic() + 60
    while not list(store.glob("*/production/segment-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_launcher(process, ranks=2)
    assert is_free(store / "lock")
    kept = {path: path.stat().st_mtime_ns for path in store.glob("*/*/segment-*.npz")}
    assert kept
    assert not (store / "records.json").exists()
    finish(mpirun(2, store))
    assert (store / "records.json").read_bytes() == (serial / "records.json").read_bytes()
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())


def test_finished_study_is_not_repeated(serial: Path) -> None:
    """A second call computes nothing: it would fail, having no potential."""
    records = study.run(tiny_study.SETTINGS, serial, tools=tiny_study.tools(fail=True))
    assert records == read_records(serial / "records.json")


def test_a_longer_study_goes_on_with_the_shorter_one(serial: Path, tmp_path: Path) -> None:
    """Twice the production: the records of one as long from its start, no segment twice, nothing else anew."""
    tools = tiny_study.tools()
    diffusion = {"Ar": dataclasses.replace(tools.effort.diffusion["Ar"], production=1.6)}
    tools = dataclasses.replace(tools, effort=dataclasses.replace(tools.effort, diffusion=diffusion))
    shutil.copytree(serial, tmp_path / "store")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/production/segment-*.npz")}
    longer = study.run(tiny_study.SETTINGS, tmp_path / "store", tools=tools)
    assert longer == study.run(tiny_study.SETTINGS, tmp_path / "fresh", tools=tools)
    assert kept
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    listed = study.plan(tiny_study.SETTINGS, tools)
    assert len({task.folder for task in listed}) == len(listed)


def test_damaged_answer_is_computed_again(tmp_path: Path) -> None:
    """A half-written answer of another tool does not stop or poison a run."""
    task = Task("key", "label", 1.0, "kind", {})
    (tmp_path / "key.json").write_text('{"key": "key", "answ')
    assert scheduler.run_tasks([task], lambda *_: {"value": 1}, tmp_path) == [{"value": 1}]


def test_two_runs_in_one_store_are_refused(tmp_path: Path) -> None:
    """The second is told who is there; the lock goes with its holder."""
    task = Task("key", "label", 1.0, "kind", {})

    def work(*_: object) -> dict:
        with pytest.raises(UserError, match=rf"another run is at work there \(process {os.getpid()} on "):
            scheduler.run_tasks([task], lambda *_: {}, tmp_path)
        return {"value": 2}

    assert scheduler.run_tasks([task], work, tmp_path) == [{"value": 2}]
    assert is_free(tmp_path / "lock")


class Barrier:
    """A communicator of two ranks whose barrier opens at the tenth look, or never."""

    rank, size = 0, 2

    def __init__(self, opens: bool) -> None:
        self.opens, self.looks = opens, 0

    def bcast(self, value: object, root: int = 0) -> object:
        return value

    def Ibarrier(self) -> "Barrier":
        return self

    def Test(self) -> bool:
        self.looks += 1
        return self.opens and self.looks > 10


@pytest.mark.parametrize("there", [True, False])
def test_a_wait_ends_when_another_rank_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Rank 1 holds its file as long as it lives: rank 0 waits as long as that, and fails with a mend once it is gone."""
    monkeypatch.setattr(scheduler, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.02)
    task = Task("key", "label", 1.0, "kind", {})

    with contextlib.ExitStack() as other:

        def work(*_: object) -> dict:
            other.enter_context(scheduler._present(tmp_path / "progress", 1))
            if not there:
                other.close()
            return {"value": 2}

        if there:
            assert scheduler.run_tasks([task], work, tmp_path, Barrier(opens=True)) == [{"value": 2}]
        else:
            with pytest.raises(RunFailure, match=r"rank 1 of this run is gone; .* run the same command again"):
                scheduler.run_tasks([task], work, tmp_path, Barrier(opens=False))


def test_progress_reaches_one(tmp_path: Path) -> None:
    """Shares of each task and of the whole are reported and end at 1."""
    seen: dict[str, list[float]] = {}
    tasks = [Task(f"k{n}", f"task {n}", float(n), "kind", {}) for n in (1, 2, 3)]

    def work(task: Task, folder: Path, tick: scheduler.Tick) -> dict:
        tick(0.5)
        return {"value": task.cost}

    scheduler.run_tasks(tasks, work, tmp_path, progress=lambda label, share: seen.setdefault(label, []).append(share))
    assert seen[scheduler.OVERALL][-1] == pytest.approx(1.0)
    assert sorted(seen[scheduler.OVERALL]) == seen[scheduler.OVERALL]
    assert seen["task 3"][0] == 0.0


def test_records_tell_where_they_come_from(serial: Path) -> None:
    """Each quantity of the study, with unit, error or bound, and a source down to hash, seed, atoms and picoseconds."""
    records = read_records(serial / "records.json")
    quantities = {record.quantity for record in records}
    assert quantities >= {
        "self_diffusivity",
        "bulk_modulus",
        "shear_modulus",
        "youngs_modulus",
        "poissons_ratio",
        "elastic_C11",
        "surface_energy",
        "work_of_adhesion",
        "lattice_constant",
        "molar_volume",
        "nucleation_barrier",
    }
    cold = find(records, "Ar", "self_diffusivity")[0]
    assert (cold.bound, cold.stderr, cold.conditions["temperature_K"]) == ("upper", None, 300.0)
    assert cold.source["potential_sha256"] == "argon"
    assert cold.source["seeds"] == [5]
    assert cold.source["atoms"] == 4
    assert cold.source["picoseconds"] == pytest.approx(0.8)
    works = [one for name in ("work_of_adhesion", "work_of_separation") for one in find(records, "Ar|Ar", name)]
    assert all(one.value > 0 for one in works)
    allowed = [one.value for work in works for one in fracture_energy(work, CHANCE / len(works))]  # none: scatter of two shifts
    assert [one.value for one in find(records, "Ar|Ar", "fracture_energy")] == pytest.approx([max(allowed)] if allowed else [])
    length = find(records, "Ar", "lattice_constant")[0].value
    assert find(records, "Ar", "molar_volume")[0].value == pytest.approx(length**3 / 4 * 6.02214076e23)
    curve = json.loads((serial / "arrhenius.json").read_text())["Ar"]
    really = [find(records, "Ar", "self_diffusivity")[i].conditions["mean_temperature_K"] for i in (0, 1)]
    assert [point["temperature_K"] for point in curve["points"]] == pytest.approx(really, abs=0.01)


def test_a_fit_takes_the_temperatures_the_runs_had_and_cells_of_one_kind() -> None:
    """Exact Arrhenius data at realised temperatures; a point made in another cell is shown and not fitted."""
    energy, prefactor = 25e3, 2e-8
    runs = []
    for nominal, real in ((600.0, 570.0), (700.0, 715.0), (800.0, 780.0), (900.0, 900.0)):
        task, answer = _diffusion(nominal, prefactor * math.exp(-energy / (8.314462618 * real)), 1e-11)
        runs.append((task, {**answer, "mean_temperature": real}))
    runs[-1] = (runs[-1][0], {**runs[-1][1], "cell": "another", "value": 1e-12})
    records, curves = reduction.reduce([task for task, _ in runs], [answer for _, answer in runs], {"potential": "test"})
    assert [point["fitted"] for point in curves["X"]["points"]] == [True, True, True, False]
    assert find(records, "X", "activation_energy")[0].value == pytest.approx(energy, rel=0.02)
    assert find(records, "X", "ionic_conductivity")[0].source["temperatures_K"] == [600.0, 700.0, 800.0]


def test_runs_at_one_temperature_are_combined() -> None:
    """Mean weighted by relative errors, which do not favour the low value; bounds without a hop add their exposure."""
    pair = [{"temperature": 700.0, "value": v, "stderr": 0.1 * v, "bound": None} for v in (10.0, 12.0)]
    point = reduction.combine(pair)
    assert point is not None
    assert (point.value, point.stderr) == pytest.approx((11.0, 1.1 / math.sqrt(2)))
    wide = reduction.combine(pair, 3.0)
    assert wide is not None
    assert wide.stderr == pytest.approx(3.3 / math.sqrt(2))
    still = {"temperature": 700.0, "value": 3.0, "stderr": None, "bound": "upper", "hops": 0, "reason": f"0 hops, {COUNTED}"}
    bounds = reduction.combine([still] * 2)
    assert bounds is not None
    assert (bounds.value, bounds.bound) == (1.5, "upper")


def test_upper_limits_of_several_runs_hold_as_those_of_one() -> None:
    """Hops counted in several runs are those of one long run; limits of slopes do not add. Both hold the truth in 95 %."""
    random = np.random.default_rng(4)
    for mean in (0.3, 2.0, 6.0):
        held = []
        for hops in random.poisson(mean, (400, 3)):  # one hop a run is a coefficient of 1
            runs = [{"temperature": 700.0, "value": poisson_limit(int(k)), "stderr": None, "bound": "upper", "hops": int(k),
                     "reason": f"{k} hops, {COUNTED}"} for k in hops]  # fmt: skip
            point = reduction.combine(runs)
            assert point is not None
            held.append(point.value >= mean)
        assert np.mean(held) >= 0.93
    slopes = 1.0 + random.normal(size=(400, 3))
    runs_of = [[{"temperature": 700.0, "value": max(one, 0.0) + 1.645, "stderr": None, "bound": "upper", "hops": 30,
                 "reason": "the MSD slope is below twice its error"} for one in three] for three in slopes]  # fmt: skip
    points = [reduction.combine(three) for three in runs_of]
    assert np.mean([point is not None and point.value >= 1.0 for point in points]) >= 0.95


def test_an_estimate_stands_where_most_runs_have_one() -> None:
    """One of two, or of three, is what came out high near the least that can be told: its upper limit is one of the bounds."""
    loose = {"temperature": 700.0, "value": 3.0, "stderr": None, "bound": "upper", "hops": 9, "reason": f"9 hops, {COUNTED}"}
    known = {"temperature": 700.0, "value": 4.0, "stderr": 1.0, "bound": None, "hops": 12, "reason": "slope"}
    for runs, value, bound, told in (
        ([loose, known], 5.645, "upper", "largest limit of 2 runs: slope"), ([loose, known, loose], 5.645, "upper", "largest"),
        ([loose, known, known], 4.0, None, "slope"), ([known], 4.0, None, "slope"), ([loose], 3.0, "upper", "9 hops"),
    ):  # fmt: skip
        point = reduction.combine(runs)
        assert point is not None
        assert (point.value, point.bound) == (pytest.approx(value), bound)
        assert answers.method(runs).startswith(told)


@pytest.mark.parametrize("lacking", [(3.0, 0.0), (0.0, 0.1)])
def test_a_value_without_a_relative_error_has_no_weight(lacking: tuple[float, float]) -> None:
    """Neither all weight nor a division by zero: refused, by value."""
    with pytest.raises(UserError, match=f"mean of 2 runs: {lacking[0]:g} stands without a weight"):
        weighted([(2.0, 0.2), lacking])


@pytest.mark.parametrize(("between", "runs"), [(0.0, 2), (0.3, 2), (0.3, 3)])
def test_errors_of_runs_that_remember_their_start_cover(between: float, runs: int) -> None:
    """Runs of 12 % error at four temperatures, with and without 30 % between runs: 68 and 95 % cover what they say."""
    random, inside = np.random.default_rng(3), []
    for _ in range(200):
        groups = []
        for true in (1.0, 2.0, 3.0, 4.0):
            values = true * (1 + between * random.normal(size=runs)) * (1 + 0.12 * random.normal(size=runs))
            groups.append([(float(value), 0.12 * float(value)) for value in np.maximum(values, 0.02 * true)])
        wider = widening(groups)
        for true, group in zip((1.0, 2.0, 3.0, 4.0), groups, strict=True):
            mean, error = weighted(group)
            inside.append(abs(mean - true) / (wider * error))
    one, two = (float(np.mean(np.array(inside) < limit)) for limit in (1.0, 1.96))
    assert 0.60 < one < 0.78
    assert 0.90 < two < 0.985
    assert widening([[(1.0, 0.1)], [(2.0, 0.2)]]) == 1.0
    assert limits(1.0, 0.1, [[(1.0, 0.1)], [(2.0, 0.2)]]) == (None, None)


@pytest.mark.parametrize("temperatures", [1, 2, 3, 4])
def test_limits_of_two_runs_that_remember_their_start_hold_the_truth(temperatures: int) -> None:
    """Two runs of 12 % error and 20 % (logarithm) between them: the 95 % limits that a record carries hold in 90 to 98 %."""
    random, inside = np.random.default_rng(8), []
    for _ in range(500):
        values = np.exp(0.2 * random.normal(size=(temperatures, 2)) + 0.12 * random.normal(size=(temperatures, 2)))
        groups = [[(float(value), 0.12 * float(value)) for value in pair] for pair in values]
        for group in groups:
            mean, error = weighted(group)
            stderr = widening(groups) * error
            normal = math.exp(1.96 * math.sqrt(math.log1p((stderr / mean) ** 2)))
            low, high = limits(mean, stderr, groups)
            inside.append((low or mean / normal) < 1.0 < (high or mean * normal))
    assert 0.90 <= float(np.mean(inside)) <= 0.98


def _diffusion(temperature: float, value: float, stderr: float | None) -> tuple[Task, dict]:
    """A made-up answer of a diffusion run: 24 ions in (10 Å)³."""
    parameters = {"phase": "X", "mobile": "Li", "temperature": temperature, "seed": 1, "dtype": "float32", "disorder": 0.25}
    answer = {
        "engine": "test", "value": value, "stderr": stderr, "bound": None if stderr else "upper", "hops": 50,
        "hop_length": 3.0, "reason": "made up",
        "mean_temperature": temperature, "ions": 24, "picoseconds": 10.0, "atoms": 52, "volume_A3": 1000.0,
        "formula_units": 4, "cell": "fixed",
    }  # fmt: skip
    return Task(f"X{temperature}", f"X {temperature}", 1.0, "diffusion", parameters), answer


def test_reduction_of_estimates_to_room_temperature() -> None:
    """Exact Arrhenius data: activation energy, diffusivity and Nernst–Einstein conductivity at 298 K, and a nucleation rate."""
    energy, prefactor = 25e3, 2e-8
    runs = [_diffusion(t, prefactor * math.exp(-energy / (8.314462618 * t)), 1e-11) for t in (600.0, 800.0, 1000.0)]
    surface = Task("s", "s", 1.0, "surface", {"phase": "X", "face": "100", "thicknesses": [1, 2], "seed": 1})
    runs.append((surface, {"engine": "test", "value": 0.5, "stderr": 0.01, "values": [0.49, 0.5]}))
    listed, answers = zip(*runs, strict=True)
    records, curves = reduction.reduce(listed, answers, {"potential": "test"}, metal="X")
    room = 298.15
    value = prefactor * math.exp(-energy / (8.314462618 * room))
    assert find(records, "X", "activation_energy")[0].value == pytest.approx(energy, rel=0.01)
    assert find(records, "X", "self_diffusivity")[-1].value == pytest.approx(value, rel=0.02)
    conductivity = find(records, "X", "ionic_conductivity")[0]
    einstein = 24e27 * 1.602176634e-19**2 / (1.380649e-23 * room)
    assert conductivity.value == pytest.approx(einstein * value, rel=0.02)
    assert conductivity.low is not None
    assert conductivity.low < conductivity.value
    assert "Nernst–Einstein" in conductivity.source["conversion"]
    assert conductivity.conditions["disorder"] == 0.25
    barrier = find(records, "X", "nucleation_barrier")[1]
    assert barrier.value / 1.602176634e-19 == pytest.approx(23.7308, rel=1e-5)
    assert barrier.stderr == pytest.approx(3 * 0.02 * barrier.value)
    rate = find(records, "Li in X", "nucleation_rate_log10")[1]
    assert -500 < rate.value < 0
    assert rate.source["method"] == "classical nucleation theory, bulk surface energy"
    assert curves["X"]["room"]["bound"] is None


def test_reduction_of_bounds_stays_a_bound() -> None:
    """Nothing moved at any temperature: the conductivity at 298 K is an upper bound without an error, and no rate is given."""
    runs = [_diffusion(t, bound, None) for t, bound in ((600.0, 2e-10), (800.0, 1e-10))]
    records, curves = reduction.reduce([task for task, _ in runs], [answer for _, answer in runs], {"potential": "test"})
    conductivity = find(records, "X", "ionic_conductivity")[0]
    assert (conductivity.bound, conductivity.stderr, conductivity.low) == ("upper", None, None)
    assert find(records, "X", "self_diffusivity")[-1].value == 1e-10
    assert not find(records, "X", "activation_energy")
    assert curves["X"]["fit"] is None


def test_a_temperature_that_the_potential_does_not_hold_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The run answers with its problem; the others make the fit without it."""

    def unphysical(*_: object) -> dict:
        raise tasks.dynamics.Unphysical("force 80 eV/Å")

    monkeypatch.setattr(tasks, "_diffusivity", unphysical)
    parameters = {"phase": "X", "temperature": 900.0}
    answer = tasks.perform("diffusion", parameters, tiny_study.tools(), tiny_study.potential("float64"), tmp_path, print)
    assert "X at 900 K: left out" in answer["problem"]
    runs = [_diffusion(t, 2e-8 * math.exp(-3000 / t), 1e-11) for t in (600.0, 700.0, 800.0)]
    broken = (Task("b", "b", 1.0, "diffusion", {**runs[0][0].parameters, "temperature": 900.0}), answer)
    with_it = reduction.reduce([t for t, _ in [*runs, broken]], [a for _, a in [*runs, broken]], {"potential": "test"})
    without = reduction.reduce([t for t, _ in runs], [a for _, a in runs], {"potential": "test"})
    assert with_it[0] == without[0]


def test_a_metal_has_no_ionic_conductivity() -> None:
    """Every atom mobile: diffusivities, but no Nernst–Einstein conductivity."""
    runs = [_diffusion(t, 1e-10 * t, 1e-11) for t in (300.0, 350.0, 400.0)]
    answers = [{**answer, "ions": answer["atoms"]} for _, answer in runs]
    records, _ = reduction.reduce([task for task, _ in runs], answers, {"potential": "test"})
    assert find(records, "X", "self_diffusivity")
    assert not find(records, "X", "ionic_conductivity")


def test_answers_of_runs_that_told_other_errors_are_not_taken() -> None:
    """Elastic tensors without a covariance and slabs at another force had other keys; so have other steps of a slab."""
    own = tiny_study.tools()
    longer = dataclasses.replace(own, effort=dataclasses.replace(own.effort, contact_steps=900))
    still, joined = ({task.kind: task for task in study.plan(tiny_study.SETTINGS, tools)} for tools in (own, longer))
    before = {"kind": "elasticity", "version": study.VERSION, "potential": own.sha256, "engine": tiny_study.SETTINGS.engine}
    assert still["elasticity"].key != digest({**before, **still["elasticity"].parameters})
    assert still["elasticity"].key == joined["elasticity"].key
    assert still["adhesion"].key != joined["adhesion"].key
    assert {"force", "steps"} <= set(still["adhesion"].parameters)


def test_unstable_crystal_yields_no_moduli() -> None:
    """What the potential cannot give is missing, not invented; the lattice constant stays."""
    task = Task("e", "e", 1.0, "elasticity", {"phase": "X", "mobile": "Li", "seed": 1, "dtype": "float64"})
    answer = {
        "engine": "test", "atoms": 4, "cell_lengths_A": [4.0, 4.0, 4.0], "volume_A3": 64.0, "formula_units": 4,
        "energy_per_atom_eV": -1.0, "largest_force": 0.001, "problem": "X: no elastic constants",
    }  # fmt: skip
    records, _ = reduction.reduce([task], [answer], {"potential": "test"})
    assert {record.quantity for record in records} == {"lattice_constant", "molar_volume"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quality": "best"}, "quick, standard, production"),
        ({"phases": ()}, "at least one"),
        ({"disorder": 1.5}, "between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict, message: str) -> None:
    """Each with what is allowed."""
    with pytest.raises(UserError, match=message):
        study.StudySettings(**wrong)


def test_an_activation_energy_of_three_scattered_temperatures_has_the_error_of_its_limits() -> None:
    """Li7P3S11, three temperatures off a line, Student's of one degree: half the central 68 % is 7 kJ/mol, the deviation 24."""
    values = {499.91: (2.6617e-9, 3.4593e-10), 591.38: (6.4254e-9, 7.2839e-10), 694.46: (5.5832e-9, 6.6768e-10)}
    made, _ = reduction._transport("X", [_diffusion(T, *pair) for T, pair in values.items()], {"potential": "p"})
    (energy,) = find(made, "X", "activation_energy")
    assert energy.value == pytest.approx(13.5e3, rel=0.1)
    assert energy.stderr == pytest.approx(7.0e3, rel=0.2)
    assert energy.low is not None
    assert energy.high is not None
    assert energy.stderr < (energy.high - energy.low) / 3.5
