"""The whole chain on a small case without MD: one answer on any number of ranks, resumed after a kill, never two at once."""

import json
import os
import time

import numpy as np
import pytest
import tiny_case
from launch import is_free, kill_launcher, multiscale, start

from coupling.lock import alone

VOLATILE = {"wall_s", "versions"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Summary and results folder of the small case on 1, 2 and 3 ranks."""
    folder = tiny_case.write(tmp_path_factory.mktemp("tiny") / "tiny")
    found = {}
    for ranks in (1, 2, 3):
        out = folder / f"on-{ranks}"
        done = multiscale("run", folder, "--no-md", "--out", out, ranks=ranks, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr
        found[ranks] = (json.loads((out / "summary.json").read_text()), out, done.stdout)
    return folder, found


def numbers(value, path=""):
    """Every number of a nested structure with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in VOLATILE:
                yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


@pytest.mark.parametrize("ranks", [2, 3])
def test_summary_is_the_same_on_any_number_of_ranks(runs, ranks):
    one, many = (dict(numbers(runs[1][n][0])) for n in (1, ranks))
    assert one.keys() == many.keys()
    assert len(one) > 25
    for place, value in one.items():
        if place.endswith("charge_balance"):
            continue  # rounding error itself; bounded below
        assert many[place] == pytest.approx(value, rel=1e-8, abs=1e-12), place


def test_summary_is_physical(runs):
    for summary, _, _ in runs[1].values():
        ccd = summary["ccd"]
        assert 0 < ccd["low"] < ccd["value"] < ccd["high"]
        assert ccd["unit"] == "mA/cm^2"
        assert ccd["mechanism"] == "initiation"
        assert summary["fitted_parameters"] == []
        assert sum(summary["error_split"].values()) == pytest.approx(1.0)
        assert summary["charge_balance"] < 1e-10
        assert sum(summary["asr_split"].values()) == pytest.approx(summary["asr_ohm_cm2"], rel=1e-6)
        assert summary["detour_factor"] >= 1.0
        assert summary["focusing_factor"] > 1.0
        state = summary["state"]
        assert state["stress_intensity_MPa_sqrt_m"] == pytest.approx(state["toughness_MPa_sqrt_m"], rel=1e-6)
        assert state["flaw_pressure_MPa"] <= state["stall_pressure_MPa"]


def test_everything_a_reader_needs_is_written(runs):
    _, out, said = runs[1][2]
    for name in ("parameters.json", "distribution.json", "report.html", "current_map.npz", "fields/cell.bp"):
        assert (out / name).exists(), name
    samples = json.loads((out / "distribution.json").read_text())["samples"]
    assert np.median(samples) == pytest.approx(runs[1][2][0]["ccd"]["value"], rel=1e-5)
    assert not [path for path in out.rglob(".*") if path.name not in {".lock"}]
    assert "CCD" in said


def test_the_answer_is_told_and_compared(runs):
    folder, found = runs
    out = found[2][1]
    told = json.loads(multiscale("ccd", folder, "--out", out, "--json").stdout)
    assert told["ccd"] == found[2][0]["ccd"]
    assert set(told) == {"case", "ccd", "mechanisms", "fitted_parameters", "error_split"}
    assert "mA/cm^2" in multiscale("ccd", folder, "--out", out).stdout
    page = multiscale("report", folder, "--out", out)
    assert page.returncode == 0, page.stderr
    assert page.stdout.strip().endswith("report.html")


def test_a_finished_run_is_not_repeated(runs):
    folder, found = runs
    out = found[1][1]
    before = {path: path.stat().st_mtime_ns for path in (out / "samples").iterdir()}
    again = multiscale("run", folder, "--no-md", "--out", out, timeout=280)
    assert again.returncode == 0, again.stderr
    assert "there already" in again.stdout
    assert "coarser ones for the error bar" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in (out / "samples").iterdir()} == before
    assert json.loads((out / "summary.json").read_text())["ccd"] == found[1][0]["ccd"]


def test_a_run_whose_mpirun_is_killed_ends_and_goes_on_to_the_same_answer(runs, tmp_path):
    folder, found = runs
    out = tmp_path / "killed"
    process = start("run", folder, "--no-md", "--out", out, ranks=3)
    deadline = time.monotonic() + 200
    while len(list((out / "samples").glob("[!.]*.json"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    kill_launcher(process, ranks=3)
    assert is_free(out / ".lock")
    assert not (out / "summary.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in (out / "samples").glob("[!.]*.json")}
    assert 2 <= len(kept) < 9
    done = multiscale("run", folder, "--no-md", "--out", out, ranks=3, timeout=280)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    resumed = json.loads((out / "summary.json").read_text())
    assert dict(numbers(resumed["ccd"])) == pytest.approx(dict(numbers(found[1][0]["ccd"])), rel=1e-8)


def test_two_runs_never_share_a_folder(runs):
    folder, found = runs
    out = found[3][1]
    with alone(out / ".lock"):
        done = multiscale("run", folder, "--no-md", "--out", out)
    assert done.returncode == 2
    assert f"another run is at work there (process {os.getpid()} on" in done.stderr


def test_a_folder_that_cannot_be_written_is_told(runs, tmp_path):
    folder, _ = runs
    (tmp_path / "file").write_text("")
    done = multiscale("run", folder, "--no-md", "--out", tmp_path / "file" / "below")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
