"""SevenNet as teacher: process and refusals with a stand-in for its packages; its own numbers where `make sevennet` ran."""

import gc
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.data import chemical_symbols
from launch import heard_interrupts, multiscale

from atomistic import collecting, dataset, labelling, labels, potential, recipe, sampling, sevennet
from coupling.errors import RunFailure, UserError
from coupling.store import digest
from multiscale import doctor

PAIRS = {"sigma": 2.3, "epsilon": 0.1, "rc": 5.0}
STAND_IN = f"""
import os
import time
import warnings
from pathlib import Path

from ase.calculators.lj import LennardJones

print("a word on standard output")


class SevenNetCalculator(LennardJones):
    type_map, cutoff = {{3: 0, 17: 1}}, 5.0

    def __init__(self, model, device):
        warnings.warn("no accelerator")
        super().__init__(**{PAIRS})
        with Path(__file__).with_name("processes").open("a") as told:
            told.write(f"{{os.getpid()}} {{model}}\\n")

    def calculate(self, atoms=None, properties=None, system_changes=None):
        if "Ar" in atoms.symbols:
            time.sleep(30)
        if "Ne" in atoms.symbols:
            raise RuntimeError("no memory\\n for neon")
        if "Kr" in atoms.symbols:
            os.kill(os.getpid(), 9)
        if "Xe" in atoms.symbols:
            raise SystemExit("xenon ends it")
        super().calculate(atoms, ["energy", "forces", "stress"])
"""
RECIPE = """
name = "tiny"
seed = 1
driver = "teacher"
labeller = "sevennet"
max_force = 25.0
[[structure]]
id = "LiCl"
kind = "crystal"
name = "LiCl"
[[task]]
method = "rattle"
family = "crystal"
structures = ["LiCl"]
frames = 2
[[task]]
method = "md"
family = "melt"
structures = ["LiCl"]
steps = 2
interval = 1
temperatures = [300]
"""
needs_sevennet = pytest.mark.skipif(sevennet.version() is None, reason="no SevenNet here (make sevennet)")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for SevenNet's packages: Lennard-Jones that fails at neon, dies at krypton and xenon, waits at argon."""
    folder = tmp_path / "packages"
    (folder / "sevenn").mkdir(parents=True)
    (folder / "sevenn" / "__init__.py").touch()
    (folder / "sevenn" / "calculator.py").write_text(STAND_IN)
    (folder / sevennet.WEIGHTS).parent.mkdir(parents=True)
    (folder / sevennet.WEIGHTS).write_bytes(b"weights")
    _state(folder, sevennet.VERSION)
    monkeypatch.setenv(sevennet.FOLDER, str(folder))
    labels.teacher.cache_clear()
    yield folder
    labels.teacher.cache_clear()


def _state(folder: Path, version: str) -> None:
    """Metadata of a distribution "sevenn", as pip leaves it."""
    about = folder / "sevenn-0.dist-info" / "METADATA"
    about.parent.mkdir(exist_ok=True)
    about.write_text(f"Metadata-Version: 2.1\nName: sevenn\nVersion: {version}\n")


def _processes(folder: Path) -> list[int]:
    """Numbers of the processes that were started, in order."""
    lines = (folder / "sevenn" / "processes").read_text().splitlines()
    assert {line.split()[1] for line in lines} == {sevennet.MODEL}
    return [int(line.split()[0]) for line in lines]


def _gone(process: int) -> bool:
    """Whether a process has ended, waited for up to 20 s; a zombie has."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def _frames(*formulas: str) -> list[Atoms]:
    """A rattled rocksalt cell for each pair of elements ("Li Cl"), no two alike."""
    made = [bulk("LiCl", "rocksalt", a=5.2, cubic=True) for _ in formulas]
    for seed, (atoms, formula) in enumerate(zip(made, formulas, strict=True)):
        atoms.symbols[:2] = formula.split()
        atoms.rattle(0.05, seed=seed)
    return made


def test_one_process_labels_many_frames_and_ends_with_its_calculator(packages: Path) -> None:
    calculator = sevennet.SevenNet()
    for frame in _frames("Li Cl", "Li Cl", "Li Li"):
        for key in ("energy", "forces", "stress"):
            found, wanted = calculator.get_property(key, frame), LennardJones(**PAIRS).get_property(key, frame)
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    (process,) = _processes(packages)
    del calculator
    gc.collect()  # ASE's calculators hold themselves
    assert _gone(process)


def test_a_frame_that_fails_tells_why_and_the_others_get_their_labels(packages: Path, tmp_path: Path) -> None:
    alone = Atoms("Li2", positions=[[0, 0, 0], [5.2, 0, 0]], cell=[30, 30, 30], pbc=True)
    frames = [*_frames("Li Cl", "Ne Cl", "Kr Cl", "Po Cl", "Xe Cl", "Li Li"), alone]
    result = labelling.label_frames(frames, labelling.labeller("sevennet"), tmp_path / "set.h5")
    assert result.failed == {
        1: f"SevenNet has no answer for {_formula(frames[1])}: no memory for neon",
        2: f"SevenNet ended by itself at {_formula(frames[2])} (killed by signal 9, often for want of memory)",
        3: "SevenNet does not know Po",
        4: f"SevenNet ended by itself at {_formula(frames[4])} (status 1: xenon ends it)",
        6: f"SevenNet has no answer for {_formula(alone)}: an atom has no neighbours within 5 Å",
    }
    assert len(_processes(packages)) == 3
    (level,) = dataset.settings(tmp_path / "set.h5").values()
    assert level == labels.TEACHERS["sevennet"]
    for given, made in zip((frames[0], frames[5]), dataset.read(tmp_path / "set.h5"), strict=True):
        assert made.info["REF_energy"] == pytest.approx(LennardJones(**PAIRS).get_property("energy", given), abs=1e-5)


def _formula(atoms: Atoms) -> str:
    return atoms.get_chemical_formula()


def _interrupted(call: Callable[[], object]) -> None:
    """Interrupt a call as Ctrl-C does, after a second, and catch that as a notebook does."""
    ours = threading.get_ident()
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(ours, signal.SIGINT))
    with heard_interrupts():
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call()
    timer.join()


def test_after_an_interrupt_the_next_atoms_get_their_own_answer(packages: Path) -> None:
    first, slow, last = _frames("Li Cl", "Ar Cl", "Li Li")
    calculator, true = sevennet.SevenNet(), LennardJones(**PAIRS)
    calculator.get_property("energy", first)
    _interrupted(lambda: calculator.get_property("energy", slow))
    for frame in (last, first):
        assert calculator.get_property("energy", frame) == pytest.approx(true.get_property("energy", frame), rel=1e-12)
    cut_off, _ = _processes(packages)
    assert _gone(cut_off)


def test_positions_that_mean_nothing_get_no_answer(packages: Path) -> None:
    """The stand-in, like the model, would give a number."""
    (frame,), calculator = _frames("Li Cl"), potential.load("sevennet")
    broken, apart, gas = frame.copy(), frame.copy(), Atoms("Li2", positions=[[0, 0, 0], [9, 0, 0]])
    broken.positions[0, 0] = np.nan
    apart.cell[0, 0] = np.inf
    for atoms, told in ((broken, "not finite"), (apart, "not finite"), (gas, "no neighbours within 5 Å")):
        with pytest.raises(sevennet.NoAnswer, match=told):
            calculator.get_property("forces", atoms)
    gas.positions[1, 0] = 3.0
    gas.set_cell([30, 30, 30])
    gas.pbc = True
    assert calculator.get_property("energy", gas) == pytest.approx(LennardJones(**PAIRS).get_property("energy", gas))
    assert [each.get_chemical_formula() for each in labels.label_all([broken, frame], 25.0, "sevennet")] == [_formula(frame)]


def test_a_sampled_run_ends_where_its_engine_has_no_answer() -> None:
    class Short(LennardJones):
        left = 30

        def calculate(self, *given, **more):
            self.left -= 1
            if not self.left:
                raise sevennet.NoAnswer("an atom has no neighbours")
            super().calculate(*given, **more)

    (frame,) = _frames("Li Cl")
    assert len(sampling.md_frames(frame, Short(**PAIRS), 1000.0, 100, 10, 1.0, 1)) == 2


def test_it_drives_like_any_potential_by_its_name(packages: Path) -> None:
    (frame,), described = _frames("Li Cl"), potential.describe("sevennet")
    assert (described.members, described.size_bytes, len(described.elements)) == (1, len(b"weights"), 89)
    for loaded in (potential.load("sevennet"), potential.load("lpscl", engine="sevennet")):
        assert loaded.get_property("energy", frame) == pytest.approx(LennardJones(**PAIRS).get_property("energy", frame))
    with pytest.raises(UserError, match="'sevennet' does not know Po"):
        loaded.get_property("energy", _frames("Po Cl")[0])
    with pytest.raises(UserError, match="evaluated by sevennet, not by 'mace'"):
        potential.load("sevennet", engine="mace")


def test_each_worker_has_a_process_of_its_own_and_none_is_left(packages: Path, tmp_path: Path) -> None:
    frames = _frames(*["Li Cl"] * 6)
    result = labelling.label_frames(frames, labelling.labeller("sevennet"), tmp_path / "set.h5", workers=2)
    assert (len(result.frames), result.failed) == (6, {})
    assert 1 <= len(_processes(packages)) <= 2
    assert all(map(_gone, _processes(packages)))


def test_the_process_ends_when_ours_is_killed(packages: Path) -> None:
    code = (
        "import time; from ase.build import bulk; from atomistic import sevennet; calculator = sevennet.SevenNet(); "
        "calculator.get_property('energy', bulk('LiCl', 'rocksalt', a=5.2)); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == "open\n"
        ours.kill()
    (process,) = _processes(packages)
    assert _gone(process)


def test_what_does_not_start_is_one_sentence(packages: Path) -> None:
    (packages / "sevenn" / "calculator.py").write_text("import no_such_package\n")
    with pytest.raises(UserError, match=r"does not start \(ModuleNotFound.*no_such_package.*\); remove .* run `make sevennet`"):
        sevennet.SevenNet().get_property("energy", _frames("Li Cl")[0])
    (packages / sevennet.WEIGHTS).unlink()
    for way in (sevennet.SevenNet, lambda: potential.describe("sevennet")):
        with pytest.raises(UserError, match=r"checkpoint_l3i5.pth: missing; remove .* and run `make sevennet` again"):
            way()
    assert doctor.examine()["sevennet"] is None
    _state(packages, "0.12.0")
    with pytest.raises(UserError, match=r"holds SevenNet 0\.12\.0, 0\.13\.0 is needed; `make sevennet`"):
        labelling.labeller("sevennet")


def test_without_sevennet_every_way_in_names_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    elsewhere = {sevennet.FOLDER: str(tmp_path / "none")}
    done = multiscale("potential", "sample", tmp_path / "recipe.toml", "--out", tmp_path / "out", **elsewhere)
    assert (done.returncode, done.stderr.count("\n"), "`make sevennet` fetches it" in done.stderr) == (2, 1, True)
    monkeypatch.setenv(*elsewhere.popitem())
    for way in (labelling.labeller, potential.load, potential.describe):
        with pytest.raises(UserError, match="`make sevennet` fetches it"):
            way("sevennet")
    with pytest.raises(UserError, match="takes no settings of a first-principles"):
        labelling.labeller("sevennet", labelling.Cp2kSettings())


def test_a_recipe_names_its_labeller(packages: Path, tmp_path: Path) -> None:
    """One process samples, drives and labels; the sets say whose labels they hold."""
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = multiscale("potential", "sample", tmp_path / "recipe.toml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (made,) = json.loads(done.stdout)["sets"]
    assert list(dataset.settings(made["path"]).values()) == [labels.TEACHERS["sevennet"]]
    frames = dataset.read(made["path"])
    assert {frame.info["family"] for frame in frames} == {"crystal", "melt"}
    for frame in frames:
        assert frame.info["REF_energy"] == pytest.approx(LennardJones(**PAIRS).get_property("energy", frame), abs=1e-4)
    assert len(_processes(packages)) == 1


def test_a_recipe_without_labeller_keeps_its_jobs(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    stated = recipe.read_recipe(tmp_path / "recipe.toml")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('labeller = "sevennet"\n', ""))
    plain = recipe.read_recipe(tmp_path / "recipe.toml")
    job = recipe.jobs(plain)[0]
    task = {"method": "rattle", "family": "crystal", "structures": ("LiCl",), "frames": 2}
    parts = {"task": task, "structure": {"id": "LiCl", "kind": "crystal", "name": "LiCl"}, "seed": job.seed, "temperature": 0.0}
    assert collecting._key(plain, job) == digest({**parts, "max_force": 25.0, "labeller": "CHGNet 0.3.0"})
    assert collecting._key(stated, recipe.jobs(stated)[0]) != collecting._key(plain, job)
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('"sevennet"', '"cp2k"'))
    with pytest.raises(UserError, match=r"labeller = 'cp2k': known in recipes: chgnet, sevennet"):
        recipe.read_recipe(tmp_path / "recipe.toml")


def test_sampling_stops_where_the_teacher_does(packages: Path) -> None:
    with pytest.raises(RunFailure, match="SevenNet ended by itself at"):
        labels.label_all(_frames("Li Cl", "Kr Cl"), 25.0, "sevennet")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """`env/optional sevennet` in a checkout with a stand-in for its Python, for a folder named by the user ("": its own)."""
    env = tmp_path / "checkout" / "env"
    env.mkdir(parents=True)
    for name in ("optional", "common.sh", "sevennet.txt"):
        shutil.copy(Path(__file__).parents[1] / "env" / name, env)
    install = '[ "$3 $4" != "pip install" ] || mkdir -p "$8/sevenn-0.dist-info" "$8/sevenn"'
    (env / "exec").write_text(f"#!/bin/bash\n{install}\n")
    (env / "exec").chmod(0o755)

    def run(named: str) -> subprocess.CompletedProcess[str]:
        surroundings = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)} | ({sevennet.FOLDER: named} if named else {})
        program = [str(env / "optional"), "sevennet"]
        return subprocess.run(program, env=surroundings, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize("own", [True, False])
def test_a_folder_that_holds_something_else_stays(make, tmp_path: Path, own: bool) -> None:
    folder = tmp_path / "checkout" / ".sevennet" if own else tmp_path / "thesis"
    folder.mkdir(parents=True)
    (folder / "chapter.tex").write_text("years of work")
    done = make("" if own else f"{folder}/")
    assert (done.returncode, f"{folder} holds something else; name another folder" in done.stderr) == (1, True), done.stderr
    assert [path.name for path in folder.iterdir()] == ["chapter.tex"]


def test_a_named_folder_is_filled_once_and_no_other_checkout_replaces_it(make, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    for told in ("is here: env/exec", "is here already"):
        done = make(str(folder))
        assert (done.returncode, told in done.stdout) == (0, True), done.stderr
    (folder / ".complete").write_text("of another Python")
    done = make(str(folder))
    assert (done.returncode, "made for another Python or other versions" in done.stderr) == (1, True)
    assert (folder / "sevenn").is_dir()
    for told in ("is here: env/exec", "is here: env/exec"):  # the checkout's own is made anew
        assert told in make("").stdout
        (tmp_path / "checkout" / ".sevennet" / ".complete").write_text("of another Python")


def test_a_relative_folder_is_refused_alike(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = make("shared")
    assert (done.returncode, "read 'shared'; give the whole path" in done.stderr) == (2, True)
    monkeypatch.setenv(sevennet.FOLDER, "shared")
    with pytest.raises(UserError, match="read 'shared'; give the whole path, as in /"):
        sevennet.require()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout"]


def test_the_pinned_packages_are_those_of_the_labels() -> None:
    pins = (Path(__file__).parents[1] / "env" / "sevennet.txt").read_text().splitlines()
    assert f"sevenn=={sevennet.VERSION}" in pins


@needs_sevennet
def test_forces_and_stress_are_derivatives_of_the_energy() -> None:
    """Central differences along one atom and all six strains of a sheared, displaced cell; elements and cutoff of the model."""
    calculator, step = sevennet.SevenNet(), 5e-3
    atoms = bulk("LiCl", "rocksalt", a=5.0)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.03, 0.0], [0.0, 0.98, 0.05], [0.02, 0.0, 1.0]], scale_atoms=True)
    atoms.positions[1] += [0.1, -0.15, 0.2]
    forces, stress = calculator.get_property("forces", atoms), calculator.get_property("stress", atoms)
    assert [chemical_symbols[number] for number in calculator.knows["elements"]] == list(sevennet.ELEMENTS)
    assert calculator.knows["cutoff"] == sevennet.CUTOFF

    def slope(changed: list[Atoms]) -> float:
        above, below = (calculator.get_property("energy", one) for one in changed)
        return float(above - below) / (2 * step)

    for axis in range(3):
        moved = [atoms.copy() for _ in range(2)]
        for one, sign in zip(moved, (1, -1), strict=True):
            one.positions[1, axis] += sign * step
        assert forces[1, axis] == pytest.approx(-slope(moved), abs=2e-3)
    for voigt, (first, second) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strain = np.zeros((3, 3))
        strain[first, second] += 0.5 * step
        strain[second, first] += 0.5 * step
        strained = [atoms.copy() for _ in range(2)]
        for one, sign in zip(strained, (1, -1), strict=True):
            one.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
        assert stress[voigt] == pytest.approx(slope(strained) / atoms.get_volume(), abs=5e-5)
    assert np.abs(stress[3:]).min() > 5e-4
