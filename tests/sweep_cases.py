"""Small sweeps for tests: the first case with a quick command of its own in place of the solve."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from launch import MPI_SETTINGS, ROOT

CASE = ROOT / "cases" / "li-lpscl" / "case.toml"
FAKE = """
import json, os, sys, time, tomllib
case, results = sys.argv[-2:]
folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(case))))
with open(os.path.join(case, "runs"), "a") as runs:
    runs.write("x")
thickness = float(tomllib.load(open(case + "/case.toml", "rb"))["geometry"]["interlayer"]["thickness"].split()[0])
PAUSE
if thickness == 13.0:
    sys.exit("thirteen is refused")
ccd = {"value": 10.0 / thickness, "low": 5.0 / thickness, "high": 20.0 / thickness, "level": 0.9, "unit": "mA/cm^2"}
with open(results + "/aside", "w") as aside:
    json.dump({"ccd": ccd, "asr_ohm_cm2": thickness}, aside)
os.replace(results + "/aside", results + "/summary.json")
"""
VARIABLE = """
[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "range"
from = "10 nm"
to = "{last} nm"
steps = {steps}
"""


def write(folder: Path, text: str) -> Path:
    """A case folder with this sweep.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CASE, folder / "case.toml")
    (folder / "sweep.toml").write_text(text, encoding="utf-8")
    return folder


def fake(folder: Path, steps: int, pause: float = 0.0, more: str = "") -> Path:
    """A sweep over thicknesses of 10, 11, 12 … nm that a quick script solves; 13 nm fails."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "fake.py"
    script.write_text(FAKE.replace("PAUSE", f"time.sleep({pause})" if pause else ""), encoding="utf-8")
    text = 'title = "fake"\n' + more + VARIABLE.format(last=9 + steps, steps=steps)
    return write(folder, text + f'[run]\ncommand = ["{sys.executable}", "{script}"]\n')


def command(folder: Path, *words: object) -> list[str]:
    """The command line of a sweep."""
    return [sys.executable, "-m", "multiscale", "sweep", "run", str(folder), "--run-code", *map(str, words)]


def hold_last(folder: Path, steps: int) -> Path:
    """The last design of a fake sweep waits until the returned file is there; its script belongs to this folder."""
    gate, script = folder / "gate", folder / "fake.py"
    told = script.read_text(encoding="utf-8")
    wait = f"while thickness == {9.0 + steps} and not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\n"
    script.write_text(told.replace("if thickness == 13.0", wait + "if thickness == 13.0"), encoding="utf-8")
    return gate


def start(folder: Path, *words: object, **changes: str) -> subprocess.Popen:
    """A sweep that runs; its output is thrown away."""
    return subprocess.Popen(
        command(folder, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
        env={**MPI_SETTINGS, **os.environ, **changes},
    )  # fmt: skip


def over(folder: Path) -> int:
    """Designs that are done or have failed."""
    states = [path.read_text() for path in folder.glob("results/sweep/designs/*/status.json")]
    return sum('"done"' in text or '"failed"' in text for text in states)


def finish(store, name: str, status) -> None:
    """Say that a design is done, and leave the file of its answers as a run at the best values would."""
    (store.design(name) / "results").mkdir(exist_ok=True)
    (store.design(name) / "results" / "best_values.json").write_text(json.dumps({"answers": dict(status.answers)}))
    store.say(name, status)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to the driver alone."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition, seconds: float = 60.0) -> None:
    """Wait for a condition; fails by the time limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows(folder: Path, without: tuple[str, ...] = ("wall (s)",)) -> list[dict[str, str]]:
    """The table of a sweep without what differs from run to run."""
    with (folder / "results" / "sweep" / "table.csv").open(newline="", encoding="utf-8") as stream:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(stream)]


def runs(folder: Path) -> list[int]:
    """How often each design was begun by the fake solver."""
    return [len(path.read_text()) for path in sorted(folder.glob("results/sweep/designs/*/runs"))]
