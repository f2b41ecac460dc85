"""Films of runs: what the pictures are made of, the files, what is refused."""

import json

import numpy as np
import pytest
from device_results import DEVICES
from PIL import Image
from test_initiation import CELL, PROPERTIES
from typer.testing import CliRunner

from coupling.errors import RunFailure, UserError
from meshes.filament_gap import FilamentGap
from multiscale.cli import app
from multiscale.commands.animate import animate
from multiscale.critical_current.film import _pressure
from multiscale.critical_current.initiation import InitiationModel
from multiscale.layered import layered_domain
from multiscale.memristor.case import load_memristor_case
from multiscale.memristor.film import COARSE, GRID, loop_of, moments, potential
from multiscale.reporting.animation import write_film
from multiscale.tip_trigger.case import load_tip_case
from multiscale.transport_cases import film as transport


def _current_results(case, kind):
    """Make the invented results those of the case as it stands."""
    load = {"tip": load_tip_case, "memristor": load_memristor_case}[kind]
    path = case / "results" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["hashes"]["case"] = load(case).digest
    path.write_text(json.dumps(summary), encoding="utf-8")


@pytest.mark.parametrize(("kind", "ending"), [("tip", "webp"), ("memristor", "gif")])
def test_devices_have_films(kind, ending, tmp_path):
    case = DEVICES[kind](tmp_path / "llzo")
    with pytest.raises(UserError, match=r"changed since these results were computed; run `multiscale run"):
        animate(case, None, 200, 3, None)
    _current_results(case, kind)
    animate(case, tmp_path / f"film.{ending}", 200, 3, None)
    with Image.open(tmp_path / f"film.{ending}") as film:
        assert film.n_frames == 3
        assert film.size[0] == 200


def test_a_film_of_nothing_is_refused(tmp_path):
    with pytest.raises(RunFailure, match="nothing to be shown"):
        write_film(tmp_path / "film.gif", [])


def test_wrong_names_and_steady_cases_are_refused(tmp_path):
    done = CliRunner().invoke(app, ["animate", str(DEVICES["tip"](tmp_path / "tip")), "--out", "film.mp4"])
    assert "a film is a GIF or a WebP; name it film.gif" in str(done.exception)
    (tmp_path / "steady").mkdir()
    (tmp_path / "steady" / "case.toml").write_text('[conduction]\ntitle = "x"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["animate", str(tmp_path / "steady")])
    assert "steady and has no film" in str(done.exception)


def test_moments_follow_voltage_and_length():
    """A loop that jumps in length between two voltages is shown on both sides of the jump; the ends are in it."""
    voltage = np.concatenate([np.linspace(0, 1, 50), np.linspace(1, 0, 50)])
    length = np.where(np.arange(100) < 60, 0.0, 1e-6)
    rows = [{"cycle": 1.0, "voltage_V": v, "current_A": 0.0, "length_m": x} for v, x in zip(voltage, length, strict=True)]
    loop = loop_of(rows, (1,))
    shown = moments(loop, 12)
    assert shown[0] == 0
    assert shown[-1] == 99
    assert 60 in shown
    assert np.all(np.diff(shown) > 0)


def test_potential_around_the_filament_is_that_of_metal_and_layer():
    """One on the metal, zero at the counter electrode, falling between."""
    field = potential(FilamentGap(5e-9, 30e-9, 100e-9, 50e-9, COARSE))
    assert field.shape == (GRID[1], GRID[0])
    assert field[:30, 0] == pytest.approx(1.0)
    assert field[-1] == pytest.approx(0.0, abs=1e-6)
    assert np.all(np.diff(field[40:, 0]) < 1e-9)


def test_pressure_of_a_frame_is_that_of_the_steady_state():
    from mpi4py import MPI

    model = InitiationModel(layered_domain(CELL, MPI.COMM_SELF)[0], CELL, PROPERTIES)
    aim = model.at_current(0.5).flaw_pressure
    assert _pressure(model, 0.5, 0.7 * aim) == pytest.approx(aim, rel=1e-5)
    assert abs(model.imbalance(0.5, aim)) < 1e-6


def _columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_transport_film_shows_every_profile(tmp_path):
    profiles = [
        {"time_s": t, "medium": "film", "ion": "Li+", "depth_m": y, "concentration_mol_per_m3": 1000 + t * (1 - y)}
        for t in (0.0, 3600.0, 7200.0) for y in (0.25, 0.75)
    ]  # fmt: skip
    series = [
        {"time_s": 360.0 * k, "step": 1 + (k > 10), "voltage_V": 0.1, "current_density_A_per_m2": 2.0} for k in range(1, 21)
    ]
    shown = list(transport.film(_columns(profiles), _columns(series), 48, 200))
    assert len(shown) == 3
    assert any(np.any(np.asarray(shown[0]) != np.asarray(other)) for other in shown[1:])


def test_a_case_that_was_not_run_says_so(tmp_path):
    from launch import ROOT
    from tiny_case import write

    with pytest.raises(UserError, match=r"not there yet, or of an older version; `multiscale run .*` makes it"):
        animate(write(tmp_path / "case"), None, 200, 3, None)
    with pytest.raises(UserError, match=r"profiles.csv or time_series.csv is not there"):
        animate(ROOT / "cases" / "llzo-ppc" / "cycling", None, 200, 3, tmp_path)


@pytest.mark.parametrize("name", ["llzo-ppc", "llzo-tip", "llzo-memristor", "lpscl-interphase", "penny-flaw"])
def test_films_ship_small_and_are_shown(name):
    from launch import ROOT

    path = ROOT / "cases" / name / "film.webp"
    with Image.open(path) as film:
        assert film.n_frames > 8
    assert path.stat().st_size < 300e3
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    assert "](film.webp)" in readme
    assert f"--out cases/{name}/film.webp" in readme
