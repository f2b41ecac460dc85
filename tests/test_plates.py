"""Figures of reports as files, with the numbers behind them, and alive."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from launch import ROOT
from report_fixture import distribution, write_results

from coupling.errors import UserError
from coupling.experiments import read_experiments
from multiscale.reporting import plates as plating
from multiscale.reporting import report
from multiscale.results import read_run

FREQUENCIES = np.geomspace(1e6, 1e-1, 15)


def impedance() -> dict:
    """A resistance of 3 Ω cm² and an arc of 20 Ω cm², as `multiscale impedance` writes them."""
    Z = 3.0 + 20.0 / (1 + 2j * np.pi * FREQUENCIES * 1e-3)
    values = {"real": Z.real.tolist(), "imaginary": Z.imag.tolist()}
    part = {"place": "lithium", "cause": "charge transfer", **values}
    return {"case": "x", "frequencies_Hz": FREQUENCIES.tolist(), **values, "parts": [part], "circuit": None}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    results = write_results(tmp_path_factory.mktemp("plates") / "results")
    (results / "impedance.json").write_text(json.dumps(impedance()), encoding="utf-8")
    return read_run(results)


@pytest.fixture(scope="module")
def found(run) -> dict[str, plating.Plate]:
    measured = read_experiments(ROOT / "cases" / "_experiments" / "ccd.csv")
    return {plate.name: plate for plate in report.plates(run, measured)}


def rows(plate: plating.Plate) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(plate.csv())))


def test_every_figure_has_its_numbers(run, found):
    assert list(found) == ["ccd", "current", "potential", "impedance", "arrhenius", "resistance", "error-origin"]
    draws = [float(row["current density (mA/cm^2)"]) for row in rows(found["ccd"]) if row["what"] == "draw"]
    assert np.allclose(draws, distribution()["samples"], rtol=1e-5)
    compared = {row["row of the table of measurements"] for row in rows(found["ccd"]) if row["compared"] == "yes"}
    assert compared
    with np.load(run.results / "current_map.npz") as field:
        told = np.array([float(row["current density (A/m^2)"]) for row in rows(found["current"])])
        assert np.allclose(told, field["current_density"], rtol=1e-7)
        height = np.array([float(row["y (m)"]) for row in rows(found["current"])])
        assert np.allclose(height, field["points"][field["triangles"]].mean(axis=1)[:, 1], rtol=1e-6)
    parts = {row["what"]: float(row["amount (ohm cm^2)"]) for row in rows(found["resistance"])}
    assert parts == run.summary["asr_split"]
    assert [float(row["Re Z (ohm cm^2)"]) for row in rows(found["impedance"])] == impedance()["real"]


def test_living_figures_hold_the_same_numbers(found):
    alive = {name: plate.traces() for name, plate in found.items() if plate.traces}
    assert set(alive) == {"ccd", "current", "impedance", "arrhenius"}
    json.dumps(alive, allow_nan=False)
    shares = np.array(alive["ccd"][0][0]["y"])
    assert shares.sum() == pytest.approx(100.0)
    across = alive["current"][0][0]
    largest = max(value for row in across["customdata"] for value in row if value is not None)
    told = max(float(row["current density (A/m^2)"]) for row in rows(found["current"]))
    assert 0.5 * told / 10 < largest <= told / 10 * 1.005  # a grid of points may miss the hottest triangle
    bounds = next(trace for trace in alive["ccd"][0] if trace["name"].startswith("lower bound"))
    assert {symbol.removesuffix("-open") for symbol in bounds["marker"]["symbol"]} == {"triangle-right"}
    assert alive["impedance"][0][0]["y"] == [-value for value in impedance()["imaginary"]]


def test_figures_as_files_have_fixed_colours(found, tmp_path):
    chosen = [found["arrhenius"], found["error-origin"]]
    written = plating.write_plates(chosen, tmp_path / "figures")
    assert sorted(path.name for path in written) == sorted(
        f"{plate.name}.{ending}" for plate in chosen for ending in ("svg", "png", "csv")
    )
    for plate in chosen:
        assert (tmp_path / "figures" / f"{plate.name}.png").read_bytes().startswith(b"\x89PNG")
        drawn = (tmp_path / "figures" / f"{plate.name}.svg").read_text(encoding="utf-8")
        assert "<svg" in drawn
        assert "#01010" not in drawn
        assert "var(--" not in drawn
        assert (tmp_path / "figures" / f"{plate.name}.csv").read_text(encoding="utf-8") == plate.csv()


def test_long_tables_stay_out_of_the_page(found):
    assert "data:text/csv" in plating.link(found["resistance"])
    assert plating.link(found["current"]) == ""


def test_spectrum_and_worth_are_told_where_they_are(run, tmp_path):
    assert "Impedance" in report.spectrum(run)
    (tmp_path / "impedance.json").write_text('{"real": 3}', encoding="utf-8")
    (tmp_path / "summary.json").write_text((run.results / "summary.json").read_text(encoding="utf-8"), encoding="utf-8")
    damaged = read_run(tmp_path)
    assert report.spectrum(damaged) == ""
    assert report.worth(damaged) == ""
    row = {"with": 1.2, "without": 2.4, "factor": 0.5, "smallest": 0.4, "largest": 0.6}
    damaged.summary["attribution"] = {"<creep>": row}
    cells = ("&lt;creep&gt;", "1.2", "2.4", "0.5 (0.4 … 0.6)")
    assert '</td><td class="n">'.join(cells) in report.worth(damaged)


def test_living_figures_need_plotly(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(UserError, match=r"--interactive needs the package plotly; `pip install -e .\[view\]`"):
        plating.scripts()
