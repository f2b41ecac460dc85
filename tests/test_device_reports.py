"""Reports of tip and memristor cases: what stands in the page, the figures as files, what is refused."""

import csv
import io

import pytest
from device_results import CYCLES, DEVICES, SIDE

from coupling.errors import UserError
from multiscale.reporting.by_kind import report_plates, report_text, write_report

FIGURES = {
    "tip": ["trigger-map", "trigger-spread", "trigger-by-radius"],
    "memristor": ["loop-current", "loop-length", "resistances", "voltages"],
}


@pytest.fixture(params=list(DEVICES))
def device(request, tmp_path):
    return request.param, DEVICES[request.param](tmp_path / "case")


def test_the_page_answers_in_order_escapes_and_fetches_nothing(device):
    kind, case = device
    page = report_text(case, case / "results", None)
    headings = [part.partition("</h2>")[0] for part in page.split("<h2>")[1:]]
    assert headings[-3:] == ["Where the error comes from", "Every number that went in", "How to reproduce"]
    assert "<h1>A &lt;b&gt;" in page
    assert "an article &lt;b&gt;with&lt;/b&gt; marks" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert page.count("<svg") == len(FIGURES[kind])
    assert page.count("The numbers (CSV).") == len(FIGURES[kind])
    assert f"multiscale run {case.as_posix()}" in page
    alive = report_text(case, case / "results", None, alive=True)
    assert alive.count('class="alive"') == len(FIGURES[kind]) - (kind == "tip")  # a map says it all


def test_figures_are_written_with_the_numbers_behind_them(device):
    kind, case = device
    files = {path.name for path in write_report(case, case / "results", None, figures=True)}
    assert files == {"report.html"} | {f"{name}.{ending}" for name in FIGURES[kind] for ending in ("svg", "png", "csv")}
    assert all((case / "results" / "figures" / name).stat().st_size > 40 for name in files - {"report.html"})
    plates = {plate.name: list(csv.DictReader(io.StringIO(plate.csv()))) for plate in report_plates(case, case / "results", None)}
    if kind == "tip":
        volts = [row["trigger (V)"] for row in plates["trigger-map"]]
        assert len(volts) == SIDE**2
        assert volts[-1] == ""
        counted = sum(int(row["in grains"]) + int(row["on boundaries"]) for row in plates["trigger-spread"])
        assert counted == SIDE**2 - 1
        assert plates["trigger-by-radius"][1]["on boundaries (V)"] == ""
    else:
        assert [row["set, voltage (V)"] for row in plates["voltages"]] == ["0.31", "0.32", "0.33", "0.34", ""]
        assert len(plates["resistances"]) == CYCLES
        assert min(float(row["|current| (A)"]) for row in plates["loop-current"]) == 1e-16


def test_what_has_not_been_run_or_is_damaged_is_refused(device):
    kind, case = device
    summary = case / "results" / "summary.json"
    kept, table = summary.read_text(), case / "results" / {"tip": "map.csv", "memristor": "loops.csv"}[kind]
    for text in ("{", "[]", '{"kind": "conduction"}'):
        summary.write_text(text)
        with pytest.raises(UserError, match=f"not the results of a {kind} run, or damaged"):
            report_text(case, case / "results", None)
    summary.write_text(kept)
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"delete its summary\.json and run"):
        report_text(case, case / "results", None)
    table.unlink()
    with pytest.raises(UserError, match="damaged"):
        report_text(case, case / "results", None)
    summary.unlink()
    with pytest.raises(UserError, match="not there yet; `multiscale run"):
        report_text(case, case / "results", None)
