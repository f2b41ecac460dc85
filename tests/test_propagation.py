"""Propagation cases: input that is refused, a small run to a short, resume, a failure that keeps its state."""

import csv
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from expected_rows import require
from launch import ROOT, multiscale
from mpi4py import MPI
from refusals import told_with_its_line

from coupling.errors import RunFailure, UserError
from multiscale.mechanics import filament_checkpoint
from multiscale.propagation import run as propagation_run
from multiscale.propagation.answer import volume_error
from multiscale.propagation.case import is_propagation_case, load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import resolve
from multiscale.propagation.march import FORMAT
from multiscale.propagation.run import run_propagation

CASE = ROOT / "cases" / "penny-flaw"
SMALL = {
    'thickness = "40 um"': 'thickness = "16 um"', 'width     = "80 um"': 'width     = "40 um"',
    'depth  = "10 um"': 'depth  = "8 um"', "elements = 3": "elements = 2",
    'first     = "8 mA/cm^2"': 'first     = "20 mA/cm^2"', 'increment = "2 mA/cm^2"': 'increment = "20 mA/cm^2"',
    'maximum   = "30 mA/cm^2"': 'maximum   = "60 mA/cm^2"', 'hold      = "10 s"': 'hold      = "5 s"',
}  # fmt: skip
"""What makes the shipped case a run of seconds."""


def _case(folder: Path, changes: dict[str, str]) -> Path:
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the case"
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of the results of a small run through to the short, and its summary."""
    folder = tmp_path_factory.mktemp("small")
    case = load_propagation_case(_case(folder / "small", SMALL))
    return case, folder / "results", run_propagation(case, folder / "results", MPI.COMM_SELF)


def test_the_case_is_known():
    assert is_propagation_case(CASE)
    assert not is_propagation_case(ROOT / "cases" / "li-lpscl")
    inputs = resolve(load_propagation_case(CASE))
    assert inputs.filament.creep is None
    assert inputs.fracture_energy == pytest.approx(1.25e6**2 * (1 - 0.257**2) / 149.8e9, rel=1e-6)
    assert inputs.filament.unloaded_half_opening(np.array([0.0, 5e-6, 10e-6, 20e-6])) == pytest.approx([10e-9, 5e-9, 0, 0])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind      = "line-flaw"', 'kind      = "penny"', "line-flaw"),
        ('depth  = "10 um"', 'depth  = "39 um"', "0.6 of the electrolyte's thickness"),
        ('depth  = "10 um"', "depth  = 10", "with its unit"),
        ('length   = "2 um"', 'length   = "9 um"', "quarter of the flaw's depth"),
        ('stack_pressure = "0 MPa"', 'stack_pressure = "-5 MPa"', "stack_pressure"),
        ('stack_pressure = "0 MPa"', 'stack_pressure = "0 MPa"\nresidual_stress = "900 MPa"', "breaks sound material beyond"),
        ('model    = "AT1"', 'model    = "AT3"', "AT1"),
        ('mechanisms        = ["propagation"]', 'mechanisms        = ["initiation"]', "propagation"),
        ('smallest = "1 ms"', 'smallest = "1 h"', "smallest, first, largest"),
        ('maximum   = "30 mA/cm^2"', 'maximum   = "3 mA/cm^2"', "must not be below first"),
        ('material  = "LLZO"', 'material  = "LLZA"', "LLZ"),
        ('charge_transfer = "Li-LLZO-interface"', 'charge_transfer = "Li"', "not known at this temperature"),
        ('elements = 3', 'elements = 3\nsize = "1 um"', "size"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_with_its_line(tmp_path, old, new, said):
    folder = _case(tmp_path, {old: new})
    told_with_its_line(lambda: resolve(load_propagation_case(folder)), said)


def test_run_to_a_short(finished):
    case, results, summary = finished
    assert summary["ended"] == "short"
    assert summary["ccd"]["mechanism"] == "propagation"
    assert summary["ccd"]["low"] < summary["ccd"]["value"] <= 60
    assert summary["charge_balance"] < 1e-8
    assert summary["volume_over_charge_error"] < 1e-8
    assert summary["least_dissipation_J_per_m"] >= -1e-12
    assert summary["started"]["current_mA_per_cm2"] <= summary["ccd"]["value"]
    griffith = 1.25 / (1.1215 * (3.141592653589793 * 8e-6) ** 0.5)  # half plane; rollers all around so near stiffen it
    assert griffith < summary["started"]["pressure_MPa"] < 1.5 * griffith
    rows = list(csv.DictReader((results / "history.csv").open()))
    assert len(rows) == summary["steps"] + 1
    assert (results / "filament.png").stat().st_size > 10_000
    assert (results / "fields" / "filament.bp").is_dir()
    assert json.loads((results / "parameters.json").read_text())["parameters"]
    assert not (results / "checkpoint.npz").exists()
    again = run_propagation(case, results, MPI.COMM_SELF)
    assert again == json.loads((results / "summary.json").read_text())


def test_ccd_command_tells_the_answer(finished):
    case, results, summary = finished
    done = multiscale("ccd", case.folder, "--out", results, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ccd"]["value"] == summary["ccd"]["value"]


def test_conditioning_runs_and_is_told(tmp_path):
    """To the end: the cell is cycled under its own pressure first; summary and page tell of it."""
    from multiscale.reporting.by_kind import report_text

    text = (_case(tmp_path, SMALL) / "case.toml").read_text(encoding="utf-8")
    table = '[protocol]\nkind = "constant-current"\ncurrent = "10 mA/cm^2"\ntime = "3 s"\n'
    table += 'conditioning = { current = "20 mA/cm^2", half_cycle = "2 s", rest = "1 s", cycles = 1, stack_pressure = "8 MPa" }\n'
    text = text[: text.index("[protocol]")] + table + "\n" + text[text.index("[time]") :]
    (tmp_path / "case.toml").write_text(text.replace('stack_pressure = "0 MPa"', 'stack_pressure = "2 MPa"'), encoding="utf-8")
    summary = run_propagation(load_propagation_case(tmp_path), tmp_path / "results", MPI.COMM_SELF)
    assert summary["time_s"] == pytest.approx(9.0)
    assert [hold["conditioning"] for hold in summary["holds"]] == [True] * 4 + [False]
    assert [hold["stack_pressure_MPa"] for hold in summary["holds"]] == pytest.approx([8.0] * 4 + [2.0])
    assert summary["ccd"]["value"] == 10.0
    assert summary["conditioning"]["plated_mAh_per_cm2"] == pytest.approx(200 * 2 / 36e3)
    assert summary["charge_balance"] < 1e-8
    assert summary["least_dissipation_J_per_m"] >= -1e-15
    page = report_text(tmp_path, tmp_path / "results", None)
    assert "conditioned before by 1 cycle at 20 mA/cm^2: 6 of 6 s passed" in page
    assert page.count("(conditioning)") == 4


@pytest.mark.parametrize("cut", [0.3, 0.998])
def test_a_half_written_history_is_told(finished, tmp_path, cut):
    """Cut between or within rows: the page is refused, not made of what is left."""
    from multiscale.reporting.by_kind import report_text

    case, results, _ = finished
    (tmp_path / "summary.json").write_bytes((results / "summary.json").read_bytes())
    text = (results / "history.csv").read_text()
    (tmp_path / "history.csv").write_text(text[: int(cut * len(text))])
    with pytest.raises(UserError, match="or damaged"):
        report_text(case.folder, tmp_path, None)


def test_report_and_film(finished):
    """The page tells how it ended, holds its figures and every input, and fetches nothing; the film is a small GIF."""
    from multiscale.commands.animate import animate
    from multiscale.propagation.film import read_reel
    from multiscale.reporting.by_kind import report_text, write_report

    case, results, summary = finished
    page = report_text(case.folder, results, None)
    for told in ("short at", "Energy balance at every step", "Hold by hold", "LLZO", "bracket of one run"):
        assert told in page, told
    assert page.count("<svg") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(write_report(case.folder, results, None, figures=True)) > 4
    reel = read_reel(results / "film.npz")
    assert reel.column("time")[[0, -1]] == pytest.approx([0.0, summary["time_s"]])
    assert reel.damage.shape == (len(reel.numbers), len(reel.triangles))
    assert (np.diff(reel.damage.astype(float).sum(axis=1)) >= 0).all()
    (case.folder / "results").symlink_to(results)
    animate(case.folder, results / "film.webp")
    assert (results / "film.webp").read_bytes()[8:12] == b"WEBP"
    assert "data:image/webp;base64," in report_text(case.folder, results, None)
    with pytest.raises(UserError, match="a film is a GIF or a WebP"):
        animate(case.folder, results / "film.mp4")


def test_a_stopped_run_goes_on_with_the_same_numbers(finished, tmp_path, monkeypatch):
    """Killed after three steps (a checkpoint after each): the rest gives the rows of the run that was not."""
    case, results, _ = finished
    march = propagation_run._Run._keep

    def stop(self):
        self.kept = -1e9
        march(self)
        if len(self.march.rows) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(propagation_run._Run, "_keep", stop)
        with pytest.raises(KeyboardInterrupt):
            run_propagation(case, tmp_path, MPI.COMM_SELF)
    assert (tmp_path / "checkpoint.npz").exists()
    run_propagation(case, tmp_path, MPI.COMM_SELF)
    whole, part = (list(csv.DictReader((folder / "history.csv").open())) for folder in (results, tmp_path))
    assert len(part) == len(whole) > 5
    for a, b in zip(whole, part, strict=True):
        for name in ("time", "pressure", "volume", "charge", "length", "work"):
            assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-5, abs=1e-30), name


def test_a_failing_step_is_retried_then_told_with_its_state(tmp_path, monkeypatch):
    case = load_propagation_case(_case(tmp_path / "case", SMALL))
    from multiscale.mechanics.filament import FilamentModel

    tried, step = [], FilamentModel.step

    def failing(self, seconds, current, growth):
        tried.append(seconds)
        if self.state.time > 1.0:
            raise RunFailure("linear solve x failed: DIVERGED_TEST")
        return step(self, seconds, current, growth)

    monkeypatch.setattr(FilamentModel, "step", failing)
    with pytest.raises(RunFailure, match=r"no step of 0.001 s or more succeeded.*DIVERGED_TEST.*fields and rows are in"):
        run_propagation(case, tmp_path / "results", MPI.COMM_SELF)
    assert tried[-1] == pytest.approx(0.4 * tried[-2])
    told = json.loads((tmp_path / "results" / "failure.json").read_text())
    assert "DIVERGED_TEST" in told["reason"]
    assert told["time_s"] > 1.0
    assert (tmp_path / "results" / "fields" / "filament.bp").is_dir()
    assert (tmp_path / "results" / "history.csv").exists()
    model = filament_model(case, resolve(case), MPI.COMM_SELF)
    from coupling.store import digest

    key = digest({"case": case.digest, "format": FORMAT})
    notes = filament_checkpoint.read(tmp_path / "results" / "checkpoint.npz", model, key)
    assert model.state.time == told["time_s"]
    assert len(notes["rows"]) > 1
    assert filament_checkpoint.read(tmp_path / "results" / "checkpoint.npz", model, "another") is None


ROWS = tomllib.loads((CASE / "expected.toml").read_text(encoding="utf-8"))["expected"]


@pytest.fixture(scope="module")
def computed():
    """Every quantity that expected.toml may name, after 200 s at 6 mA/cm²."""
    case = load_propagation_case(CASE)
    inputs, geometry, i = resolve(case), case.settings.geometry, 60.0
    model, states = filament_model(case, inputs, MPI.COMM_SELF), []
    start = model.state
    for seconds in (2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 120.0):
        states.append(model.step(seconds, i))
    last, a, RT = states[-1], geometry.flaw.depth, 8.314462618 * 298.15
    η = 2 * RT / 96485.33212 * math.asinh(i / (2 * inputs.filament.exchange_current_density))
    stall = 96485.33212 / 1.3e-5 * (η + i * a / (2 * inputs.conductivity))
    applied = i * geometry.width * last.time
    elastic = 1.1215**2 * math.pi * last.pressure * a**2 / inputs.elastic.plane_strain_modulus
    return {
        "charge_balance": abs(applied - last.charge - last.flat_charge) / applied,
        "volume_over_charge_error": volume_error(last),
        "stall_pressure_over_closed_form": last.pressure / stall,
        "crack_growth_over_flaw": (last.crack_area - start.crack_area) / a,
        "half_opening_over_elastic": last.volume / elastic,
    }


@pytest.mark.parametrize("row", ROWS, ids=[row["quantity"] for row in ROWS])
def test_the_case_reproduces(computed, row):
    require(row, computed[row["quantity"]])
