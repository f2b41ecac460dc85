"""Checkpoints: a run that was killed goes on, on another number of ranks too, to the same numbers."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from launch import MPI_SETTINGS, ROOT, kill_tree, python
from test_junctions import interlayer_cell

from multiscale.solvers import checkpoint
from multiscale.solvers.protocol import AfterTime, Galvanostatic, Progress, Rest
from multiscale.solvers.timeloop import StepControl, TimeStepper, run_protocol

SCRIPT = """
import json, sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from mpi4py import MPI
from multiscale.solvers import checkpoint
from test_checkpoint import prepared, STEPS
from multiscale.solvers.timeloop import run_protocol
stepper, cell = prepared()
folder = Path("FOLDER")
progress, _ = checkpoint.read(folder, stepper, "key") if RESUME else (None, None)
resumed = len(progress.records) if progress else 0
def keep(progress):
    if KEEP:
        checkpoint.write(folder, stepper, progress, "key")
        time.sleep(SLEEP)
records = run_protocol(stepper, cell, STEPS, progress=progress, keep=keep)
held = stepper.system.amount("polymer", "Li+")
if MPI.COMM_WORLD.rank == 0:
    rows = [[r.time, r.voltage, r.current_density, r.charge, held] for r in records]
    json.dump([resumed, rows], open("OUT", "w"))
"""
STEPS = [Galvanostatic(150.0, (AfterTime(0.05),)), Rest((AfterTime(0.02),))]


def prepared():
    """A polymer on a ceramic between two metals, with a stepper of small steps."""
    system = interlayer_cell(2)
    return TimeStepper(system, StepControl(1e-3, 1e-6, 1.0, 1e-3)), system.contacts["bottom"]


def script(folder, out, resume=False, keep=False, sleep=0.0):
    text = SCRIPT
    for word, value in (("FOLDER", folder), ("OUT", out), ("RESUME", resume), ("KEEP", keep), ("SLEEP", sleep)):
        text = text.replace(word, str(value))
    return text


def run(tmp_path, ranks, **choices):
    out = tmp_path / "out.json"
    done = python(script(tmp_path / "checkpoints", out, **choices), ranks, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    resumed, rows = json.loads(out.read_text())
    return resumed, np.array(rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    _, rows = run(tmp_path_factory.mktemp("whole"), 1)
    assert len(rows) > 8
    return rows


def same(rows, whole):
    assert rows.shape == whole.shape
    assert (np.abs(rows - whole) <= 1e-8 * np.abs(whole).max(axis=0)).all()


MODULE = "multiscale.dolfinx_compat"


@pytest.mark.parametrize(("first", "second", "rc"), [(MODULE, "adios2", 0), ("adios2", MODULE, 1)])
def test_adios2_imported_by_others_has_mpi_or_is_named(first, second, rc):
    """Code of a user that imports adios2 after the product gets the half with MPI; before it, the failure says what to do."""
    text = f"import {first}, {second}\nfrom multiscale.dolfinx_compat import checkpoint_library\ncheckpoint_library()"
    settings = {k: v for k, v in os.environ.items() if k != "ADIOS2_ALWAYS_USE_MPI"}
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == rc, done.stderr
    assert rc == 0 or "import multiscale first" in done.stderr


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 1)])
def test_a_killed_run_goes_on_with_another_number_of_ranks(tmp_path, whole, before, after):
    folder, out = tmp_path / "checkpoints", tmp_path / "none.json"
    command = ["mpirun", "-n", str(before), sys.executable, "-c", script(folder, out, keep=True, sleep=0.05)]
    process = subprocess.Popen(command, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    kill_tree(process)
    assert not out.exists()
    resumed, rows = run(tmp_path, after, resume=True)
    assert 0 < resumed < len(whole)
    same(rows, whole)


@pytest.fixture
def kept(tmp_path):
    """Three checkpoints' worth of a run in this process, and the folder that holds the youngest two."""
    stepper, cell = prepared()
    count = 0

    class Enough(Exception):
        pass

    def keep(progress):
        nonlocal count
        checkpoint.write(tmp_path, stepper, progress, "key", {"kept": count})
        count += 1
        if count == 3:
            raise Enough

    with pytest.raises(Enough):
        run_protocol(stepper, cell, STEPS, keep=keep)
    return tmp_path, stepper


def test_two_are_kept_and_a_damaged_one_gives_way_to_the_one_before(kept):
    folder, first = kept
    assert [p.name for p in sorted(folder.iterdir())] == ["00000002", "00000003"]
    stepper, _ = prepared()
    progress, notes = checkpoint.read(folder, stepper, "key")
    assert notes == {"kept": 2}
    assert len(progress.records) == 3
    assert stepper.step == first.step
    for state, original in zip(stepper.history, first.history, strict=True):
        assert state.time == original.time
        assert np.array_equal(state.values, original.values)
    data = next((folder / "00000003" / "states.bp").glob("data.*"))
    data.write_bytes(data.read_bytes()[:-7])
    assert len(checkpoint.read(folder, stepper, "key")[0].records) == 2
    shutil.rmtree(folder / "00000002" / "states.bp")
    assert checkpoint.read(folder, stepper, "key") is None


def test_what_belongs_to_another_case_or_mesh_is_left_alone(kept):
    folder, _ = kept
    stepper, _ = prepared()
    before = stepper.system.u.x.array.copy()
    assert checkpoint.read(folder, stepper, "another key") is None
    system = interlayer_cell(3)
    assert checkpoint.read(folder, TimeStepper(system, StepControl(1e-3, 1e-6, 1.0)), "key") is None
    assert np.array_equal(stepper.system.u.x.array, before)
    assert checkpoint.read(folder / "nowhere", stepper, "key") is None


def test_what_a_kill_in_the_middle_of_writing_left_is_passed_over_and_removed(kept):
    folder, first = kept
    (folder / ".00000004-77" / "states.bp").mkdir(parents=True)
    stepper, _ = prepared()
    assert len(checkpoint.read(folder, stepper, "key")[0].records) == 3
    progress, _ = checkpoint.read(folder, stepper, "key")
    checkpoint.write(folder, first, Progress(1, records=progress.records * 2), "key")
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
