"""Labelling: resumed, failures kept with their reason, one level per set, processes give what one gives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from launch import heard_interrupts, multiscale

from atomistic import dataset, label_settings, labelling
from atomistic.cp2k import LabelFailure
from atomistic.labelling import Labeller
from coupling.errors import RunFailure, UserError

SETTINGS = label_settings.LabelSettings("Lennard-Jones", "1")


def argon():
    """What `module:callable` names in these tests."""
    return LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0)


def frames(number=4):
    random = np.random.default_rng(5)
    made = [bulk("Ar", "fcc", a=5.3, cubic=True) for _ in range(number)]
    for i, atoms in enumerate(made):
        atoms.positions += random.normal(0, 0.1, atoms.positions.shape)
        atoms.info |= {"family": "crystal", "structure": f"s{i}"}
    return made


def counting(calls, fails=()):
    """A labeller that notes what it is asked; positions whose first number is in `fails` get no label."""

    def calculate(atoms):
        calls.append(atoms.positions[0, 0])
        if any(abs(atoms.positions[0, 0] - x) < 1e-5 for x in fails):
            raise LabelFailure("the self-consistent field did not converge")
        if len(calls) == 3 and not fails:
            raise KeyboardInterrupt
        frame = atoms.copy()
        frame.calc = argon()
        return frame.get_potential_energy(), frame.get_forces(), frame.get_stress()

    return Labeller(SETTINGS, calculate)


def test_killed_labelling_goes_on_where_it_was(tmp_path):
    calls, out = [], tmp_path / "set.h5"
    with pytest.raises(KeyboardInterrupt):
        labelling.label_frames(frames(), counting(calls), out)
    assert not out.exists()
    told = []
    labelling.label_frames(frames(), counting(calls), out, progress=lambda done, total: told.append((done, total)))
    assert len(calls) == 3 + 2  # two were kept, the third was cut off
    assert told == [(2, 4), (3, 4), (4, 4)]
    labelling.label_frames(frames(), counting(calls), out)
    assert len(calls) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["set.h5"]
    for given, made in zip(frames(), dataset.read(out), strict=True):
        given.calc = argon()
        assert made.info["REF_energy"] == pytest.approx(given.get_potential_energy(), abs=1e-6)
        assert made.arrays["REF_forces"] == pytest.approx(given.get_forces(), abs=1e-5)
        assert made.info["structure"] == given.info["structure"]


def test_failed_frame_keeps_its_reason_and_is_tried_again_only_if_asked(tmp_path):
    calls, out, given = [], tmp_path / "set.h5", frames()
    fails = [given[2].positions[0, 0]]
    for asked in (4, 4):
        result = labelling.label_frames(given, counting(calls, fails), out)
        assert result.failed == {2: "the self-consistent field did not converge"}
        assert (len(result.frames), len(calls)) == (3, asked)
    result = labelling.label_frames(given, counting(calls, [1e9]), out, retry=True)
    assert (result.failed, len(calls), len(dataset.read(out))) == ({}, 5, 4)


def test_no_label_at_all_is_a_failure(tmp_path):
    given = frames(2)
    with pytest.raises(RunFailure, match="not one of 2 frames"):
        labelling.label_frames(given, counting([], [a.positions[0, 0] for a in given]), tmp_path / "set.h5")


def test_set_grows_and_refuses_another_level(tmp_path):
    out, calls = tmp_path / "set.h5", [0, 0, 0]
    labelling.label_frames(frames(2), counting(calls), out)
    labelling.label_frames(frames(4)[2:], counting(calls), out)
    assert len(dataset.read(out)) == 4
    other = Labeller(label_settings.LabelSettings("Lennard-Jones", "2"), counting(calls).calculate)
    with pytest.raises(UserError, match="version 1 / 2"):
        labelling.label_frames(frames(5), other, out)


def test_frames_are_not_added_to_a_compact_set(tmp_path):
    calls, out = [0, 0, 0], tmp_path / "set.h5"
    made = labelling.label_frames(frames(2), counting(calls), tmp_path / "whole.h5").frames
    dataset.write(out, made, SETTINGS, compact=True)
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"set\.h5: a compact set, .* choose another --out"):
        labelling.label_frames(frames(4), counting(calls), out)
    assert (out.read_bytes(), len(calls)) == (before, 5)


def test_processes_give_what_one_gives(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = (
        "from ase.calculators.lj import LennardJones\ndef argon():\n    return LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0)\n"
    )
    (tmp_path / "my_calculators.py").write_text(source)
    with pytest.raises(UserError, match="--run-code"):
        labelling.labeller("my_calculators:argon")
    by = labelling.labeller("my_calculators:argon", run_code=True)
    one = labelling.label_frames(frames(3), by, tmp_path / "one.h5").frames
    two = labelling.label_frames(frames(3), by, tmp_path / "two.h5", workers=2).frames
    for a, b in zip(one, two, strict=True):
        assert a.info["REF_energy"] == pytest.approx(b.info["REF_energy"], abs=1e-12)
        assert a.arrays["REF_forces"] == pytest.approx(b.arrays["REF_forces"], abs=1e-7)


SLOW = """
import os, time
from pathlib import Path
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

class Slow(LennardJones):
    def calculate(self, *given, **more):
        Path(__file__).with_name(f"{os.getpid()}.pid").touch()
        time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path, end):
    """Ctrl-C at the command and its death end the processes that label for it, in the middle of a frame."""
    (tmp_path / "slow.py").write_text(SLOW)
    write(tmp_path / "argon.extxyz", frames(2))
    command = ["potential", "label", "argon.extxyz", "--with", "slow:Slow", "--run-code", "--workers", "2", "--out", "set.h5"]
    started = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "stderr": subprocess.PIPE}
    with heard_interrupts(), subprocess.Popen([sys.executable, "-m", "multiscale", *command], **started) as ours:
        assert within(60, lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        ours.send_signal(end)
        ours.wait(timeout=10)
    processes = [Path("/proc", path.stem) for path in tmp_path.glob("*.pid")]
    assert within(5, lambda: not any(process.exists() for process in processes))


def within(seconds, holds):
    """Whether something comes true in so many seconds."""
    last = time.monotonic() + seconds
    while not (true := holds()) and time.monotonic() < last:
        time.sleep(0.1)
    return true


def test_key_follows_geometry_and_settings():
    atoms = frames(1)[0]
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-4
    keys = [labelling.geometry_key(a, SETTINGS) for a in (atoms, atoms.copy(), moved)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] != labelling.geometry_key(atoms, label_settings.LabelSettings("Lennard-Jones", "2"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("vasp", "known are chgnet, sevennet, cp2k"),
        ("no_such_module:x", "No module"),
        ("ase.build:nothing", "no attribute"),
        ("collections:OrderedDict", "needed"),
    ],
)
def test_labeller_that_is_none(spec, told):
    with pytest.raises(UserError, match=told):
        labelling.labeller(spec, run_code=True)


def test_command_labels_and_tells_what_a_set_holds(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    write(tmp_path / "salt.extxyz", [atoms, atoms.repeat((2, 1, 1))])
    done = multiscale("potential", "label", tmp_path / "salt.extxyz", "--with", "chgnet", "--out", tmp_path / "salt.h5", "--json")
    assert (done.returncode, json.loads(done.stdout)["failed"]) == (0, [])
    told = json.loads(multiscale("potential", "info", tmp_path / "salt.h5", "--json").stdout)
    assert [(row["family"], row["frames"], row["atoms"]) for row in told["families"]] == [("salt", 2, 6), ("all", 2, 6)]
    assert [entry["code"] for entry in told["labels"].values()] == ["CHGNet"]
    wrong = multiscale(
        "potential", "label", tmp_path / "salt.extxyz", "--with", "cp2k", "--cutoff", "300", "--out", tmp_path / "b.h5"
    )
    assert (wrong.returncode, "without a unit" in wrong.stderr) == (2, True)
    for option, value, word in (("--relative-cutoff", "10 Ry", "20 … 500"), ("--precision", "1", "1e-10 … 0.001")):
        asked = ("--with", "cp2k", option, value, "--out", tmp_path / "b.h5")
        wrong = multiscale("potential", "label", tmp_path / "salt.extxyz", *asked)
        assert (wrong.returncode, word in wrong.stderr) == (2, True)


def test_frames_of_another_program_become_a_set_with_its_settings(tmp_path):
    """In Hartree and Bohr, as they tell; without units the refusal names the command, a broken frame its number."""
    frames = []
    for scale in (1.0, 1.01, 1.02):
        atoms = bulk("NaCl", "rocksalt", a=5.6 * scale)
        answer = {"energy": -0.3 * scale, "forces": np.full((2, 3), 0.01), "stress": np.full(6, 1e-4)}
        atoms.calc = SinglePointCalculator(atoms, **answer)
        frames.append(atoms)
    write(tmp_path / "foreign.extxyz", frames)
    options = ["--units", "Hartree, Bohr", "--code", "ORCA", "--version", "6.0", "--functional", "PBE", "--out"]
    done = multiscale("potential", "import", tmp_path / "foreign.extxyz", *options, tmp_path / "set.h5")
    assert done.returncode == 0, done.stderr
    read = dataset.read(tmp_path / "set.h5")
    assert read[1].info["REF_energy"] == pytest.approx(-0.303 * units.Hartree)
    assert read[1].arrays["REF_forces"][0, 0] == pytest.approx(0.01 * units.Hartree / units.Bohr, rel=1e-6)
    assert read[1].info["REF_stress"][0] == pytest.approx(1e-4 * units.Hartree / units.Bohr**3)
    assert read[1].info["family"] == "foreign"
    (settings,) = dataset.settings(tmp_path / "set.h5").values()
    assert (settings.code, settings.version, settings.functional) == ("ORCA", "6.0", "PBE")
    again = multiscale("potential", "import", tmp_path / "foreign.extxyz", *options, tmp_path / "set.h5")
    assert (again.returncode, "exists; choose another --out" in again.stderr) == (2, True)
    with pytest.raises(UserError, match="`multiscale potential import` makes a set that does, from its --units: an energy of eV"):
        dataset.read(tmp_path / "foreign.extxyz")
    blank = multiscale("potential", "import", tmp_path / "foreign.extxyz", *options, tmp_path / "c.h5", "--code", " ")
    assert (blank.returncode, "--code: blank; labels of two codes" in blank.stderr) == (2, True)
    frames[2].calc.results.pop("stress")
    write(tmp_path / "broken.extxyz", frames)
    broken = multiscale("potential", "import", tmp_path / "broken.extxyz", *options, tmp_path / "b.h5")
    assert broken.returncode == 2
    assert "frame 2 (ClNa): no stress" in broken.stderr
