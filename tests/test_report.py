"""The report: whole, self-contained, honest about what is missing, safe against what stands in the files."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report_fixture import current_map, phases, write_results

from atomistic import reduction
from coupling import arrhenius
from coupling.errors import UserError
from multiscale.compare import CaseResult
from multiscale.reporting import figures, report
from multiscale.reporting.field_maps import flaw_tip, grain_outlines, hottest_spot, read_current_map
from multiscale.reporting.figures import fit_curve
from multiscale.reporting.html import number, unit, words
from multiscale.reporting.report import write_report

TABLE = Path(__file__).parent.parent / "cases" / "_experiments" / "ccd.csv"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Balanced(HTMLParser):
    """Raises on a tag that is closed in the wrong order; collects what would be fetched and all ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.fetched += [
            v for k, v in attrs if k in ("src", "srcset", "href", "xlink:href", "data", "poster") and tag != "a" and v
        ]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, str]:
    results = write_results(tmp_path_factory.mktemp("run") / "results")
    path = write_report(results, TABLE)
    return results, path.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", re.sub(r"<(style|svg).*?</\1>", "", html, flags=re.DOTALL)))


def test_the_page_is_well_formed_and_fetches_nothing(whole):
    _, html = whole
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.fetched
    assert all(value.startswith(("#", "data:")) for value in parser.fetched)
    assert "@import" not in html
    assert "<script" not in html
    assert not re.findall(r"url\((?!#)", html)
    assert len(html) < 3_000_000
    assert all(len(svg) < 300_000 for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))


def test_no_placeholder_colour_is_left(whole):
    _, html = whole
    assert not re.search(r"#01010[1-4]|#01020[1-7]", html)
    assert html.count("var(--series-1)") > 3


def test_the_answer_comes_first_and_in_words(whole):
    _, html = whole
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles == [
        "Against experiments", "Where the current goes", "Diffusivities from molecular dynamics", "Resistance of the cell",
        "Where the error comes from", "Every number that went in", "How to reproduce",
    ]  # fmt: skip
    text = text_of(html)
    assert "1.24mA/cm²90 % interval: 0.31 … 5.2 mA/cm²" in text
    assert "initiation: lithium plated into the flaw" in text
    assert "Nothing was fitted. 8 inputs: 3 from molecular dynamics, 2 measured elsewhere, 3 assumed." in text
    assert text.index("At which current density") < text.index("1.24mA/cm²") < text.index("Against experiments")


def test_experiments_are_held_against_the_prediction_kind_by_kind(whole):
    _, html = whole
    text = text_of(html)
    assert "No measured critical current of plating can be held against this case" in text
    assert "puts it above 0.075 mA/cm²; the prediction is 16.5 times that: consistent" in text
    assert "most likely carries the error is the flaw depth, with 46 %" in text
    assert "It is assumed (confidence: low)" in text
    for kind in ("lower bound (cycled without a short)", "critical current of stripping (voids)", "rate of a full cell"):
        assert f'<td colspan="5">{kind}</td>' in html


def test_every_input_stands_with_source_and_what_lost(whole):
    _, html = whole
    text = text_of(html)
    assert "1 other value known, not used" in text
    assert "reviews &amp; handbooks &lt;1-5 mS/cm&gt;" in html
    assert "≤ 2.2 × 10−9" in text
    assert "picoseconds: 40" in text


def test_text_of_the_files_is_escaped(tmp_path):
    results = write_results(tmp_path / "results")
    (results / "current_map.npz").unlink()
    evil = "<script>alert(1)</script>"
    summary = json.loads((results / "summary.json").read_text())
    summary |= {"title": evil, "question": evil, "case": evil, "fitted_parameters": [evil], "versions": {evil: evil}}
    summary["error_split"] = {evil: 1.0}
    summary["state"] = {evil: 1.0}
    (results / "summary.json").write_text(json.dumps(summary))
    table = json.loads((results / "parameters.json").read_text())
    table["parameters"][0] |= {"key": f"{evil}.{evil}", "unit": evil, "kind": evil, "source": evil, "confidence": evil}
    (results / "parameters.json").write_text(json.dumps(table))
    curves = json.loads((results / "atomistic" / "arrhenius.json").read_text())
    curves[evil] = curves.pop("Li")
    (results / "atomistic" / "arrhenius.json").write_text(json.dumps(curves))
    html = write_report(results, TABLE).read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 10
    assert "Nothing was fitted" not in html


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("parameters.json", "The table of inputs is missing"),
        ("distribution.json", "The distribution of the critical current is missing"),
        ("current_map.npz", "The current map is missing"),
        ("atomistic/arrhenius.json", "No diffusivities were computed"),
    ],
)
def test_a_missing_part_is_named_with_the_command_that_makes_it(tmp_path, gone, said):
    results = write_results(tmp_path / "results")
    (results / gone).unlink()
    for other in ("current_map.npz", "atomistic/arrhenius.json"):  # not looked at here: keeps the test short
        (results / other).unlink(missing_ok=True)
    text = text_of(write_report(results, TABLE).read_text(encoding="utf-8"))
    assert said in text
    assert re.search(said + r"[^.]*multiscale (run|md) ", text)


def test_a_summary_with_the_least_that_it_may_hold(tmp_path):
    ccd = {"value": 3.0, "low": 1.0, "high": 9.0, "level": 0.9, "unit": "mA/cm^2", "mechanism": "initiation", "bound": "lower"}
    (tmp_path / "summary.json").write_text(json.dumps({"case": "c", "ccd": ccd}))
    text = text_of(write_report(tmp_path, None).read_text(encoding="utf-8"))
    assert "≥ 3mA/cm²" in text
    assert "upper end is open" in text
    assert "Nothing was fitted" not in text
    other = CaseResult("c", tmp_path, "unobtainium")
    assert "has none of unobtainium" in text_of(write_report(tmp_path, TABLE, other).read_text(encoding="utf-8"))


def test_broken_parts_are_told_and_do_not_stop_the_page(tmp_path):
    results = write_results(tmp_path / "results")
    (results / "distribution.json").write_text("{")
    (results / "current_map.npz").write_bytes(b"no zip")
    (results / "atomistic" / "arrhenius.json").write_text('{"Li": {"points": [{"value": 1.0}]}, "LiCl": {}}')
    text = text_of(write_report(results, TABLE).read_text(encoding="utf-8"))
    assert "distribution.json: cannot be read" in text
    assert "The current map cannot be read" in text
    assert "arrhenius.json: cannot be read (Li.points.0.temperature_K: Field required); delete it" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("parameters.json", b"[]"),
        ("parameters.json", b'{"parameters": 3}'),
        ("parameters.json", b'{"parameters": [{"kind": "md"}]}'),
        ("parameters.json", b"\xff\xfe"),
        ("distribution.json", b'{"samples": "x"}'),
        ("distribution.json", b'{"samples": [1.0, NaN]}'),
        ("atomistic/arrhenius.json", b'{"Li3P": 1}'),
        ("atomistic/arrhenius.json", b'{"Li3P": {"points": [1]}}'),
        ("atomistic/arrhenius.json", b'{"Li3P": {"fit": {"log_prefactor": 1, "activation_energy": 1, "covariance": [1]}}}'),
    ],
)
def test_a_part_of_another_shape_is_told_as_damaged(tmp_path, name, content):
    results = write_results(tmp_path / "results")
    for other in ("current_map.npz", "atomistic/arrhenius.json"):  # not looked at here: keeps the test short
        (results / other).unlink(missing_ok=True)
    (results / name).write_bytes(content)
    text = text_of(write_report(results, TABLE).read_text(encoding="utf-8"))
    assert re.search(re.escape(name) + ": cannot be read .*?; delete it and run `multiscale run", text)


@pytest.mark.parametrize(
    "content", ['{"ccd": 1, "error_split": 2}', "[]", '{"ccd": {"value": 1, "low": "x", "high": 2, "level": 0.9}}']
)
def test_a_summary_of_another_shape_is_refused(tmp_path, content):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=r"summary\.json: cannot be read \(.*delete it and run `multiscale run"):
        write_report(tmp_path, None)


@pytest.mark.parametrize("samples", [[0.0] * 50, [0.0] * 25 + [0.3] * 25])
def test_draws_that_crack_without_current_are_drawn(tmp_path, samples):
    results = write_results(tmp_path / "results")
    for part in ("current_map.npz", "atomistic/arrhenius.json"):
        (results / part).unlink()
    summary = json.loads((results / "summary.json").read_text())
    summary["ccd"] |= {"value": 0.0, "low": 0.0, "high": 0.4}
    summary["state"]["limited_by"] = "stack"
    (results / "summary.json").write_text(json.dumps(summary))
    (results / "distribution.json").write_text(json.dumps({"unit": "mA/cm^2", "samples": samples}))
    html = write_report(results, TABLE).read_text(encoding="utf-8")
    assert "the stack pressure alone opens the flaw" in html
    assert "<svg" in html


def test_no_summary_is_an_error_with_its_mend(tmp_path):
    with pytest.raises(UserError, match=r"summary\.json: not there yet; `multiscale run"):
        write_report(tmp_path, TABLE)


def test_the_hottest_spot_and_the_grain_outlines(tmp_path):
    np.savez(tmp_path / "m.npz", **current_map(60))
    field = read_current_map(tmp_path / "m.npz")
    assert np.linalg.norm(hottest_spot(field) - [2e-6, 1e-6]) < 4e-7
    assert field.region_names == ("grain", "interphase")
    square = current_map(2)
    square["grain"] = (square["points"][square["triangles"]].mean(axis=1)[:, 0] > 2e-6).astype(int)
    square["region"] = np.zeros_like(square["grain"])
    np.savez(tmp_path / "s.npz", **square)
    edges = grain_outlines(read_current_map(tmp_path / "s.npz"))
    assert np.allclose(edges[:, :, 0], 2e-6)
    assert np.allclose(flaw_tip(field), [2e-6, 1e-6], atol=2e-7)
    assert flaw_tip(read_current_map(tmp_path / "s.npz")) is None
    assert np.ptp(edges[:, :, 1]) == pytest.approx(4e-6)
    np.savez(tmp_path / "w.npz", **(square | {"grain": np.zeros(3)}))
    with pytest.raises(ValueError, match="grain has the shape"):
        read_current_map(tmp_path / "w.npz")


def test_the_band_of_a_fit_is_the_propagated_error():
    fit = phases()["Li6PS5Cl"]["fit"]
    values, half = fit_curve(fit, np.array([300.0, 1000.0]))
    rng = np.random.default_rng(1)
    draws = rng.multivariate_normal([fit["log_prefactor"], fit["activation_energy"]], fit["covariance"], 40_000)
    for T, value, width in zip((300.0, 1000.0), values, half, strict=True):
        sampled = draws[:, 0] - draws[:, 1] / (8.314462618 * T)
        assert value == pytest.approx(sampled.mean(), abs=4 * sampled.std() / 200)
        assert width / 1.959964 == pytest.approx(sampled.std(), rel=0.02)
    assert fit_curve({**fit, "degrees": 2}, np.array([300.0]))[1][0] / half[0] == pytest.approx(4.302653 / 1.959964, rel=1e-5)


def test_a_fit_of_scattered_points_has_the_limits_of_its_posterior():
    """Band and energy of the picture and the table are those of the fit itself: Student's of one degree, cut off at E = 0."""
    Point = arrhenius.Point
    points = [Point(500.0, 2.7e-9, 3.5e-10), Point(591.0, 6.4e-9, 7.3e-10), Point(694.0, 5.6e-9, 6.7e-10)]
    room = arrhenius.at_temperature(points, prefactor=arrhenius.HOPPING_PREFACTOR)
    phase = json.loads(json.dumps(reduction._curve(points, room, [0, 1, 2])))
    drawn = []
    axes = SimpleNamespace(plot=lambda *values, **_: None, fill_between=lambda *values, **_: drawn.append(values))
    figures._fit_band(axes, phase, "k")
    (_, low, high), (least, most) = drawn[0], room.fit.interval(298.15)
    assert (low[-1], high[-1]) == pytest.approx((least, most))
    value, error = room.fit.energy()
    assert report._energy(phase["fit"]) == f"{number(value / 96485.33)} ± {number(error / 96485.33, 2)}"


def test_report_and_comparison_need_neither_finite_elements_nor_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from report_fixture import write_results\n"
        "from multiscale import compare\n"
        "from multiscale.reporting import field_maps\n"
        "from multiscale.reporting import report\n"
        f"results = write_results(Path({str(tmp_path)!r}))\n(results / 'current_map.npz').unlink()\n"
        f"report.write_report(results, Path({str(TABLE)!r}))\n"
        f"compare.case_result({str(TABLE.parent.parent / 'li-lpscl')!r})\n"
        "print([name for name in ('dolfinx', 'petsc4py', 'mpi4py', 'torch', 'gmsh') if name in sys.modules])"
    )
    path = os.pathsep.join([str(TABLE.parent.parent.parent), str(Path(__file__).parent)])
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


def test_numbers_and_units_in_words():
    assert number(1.24e-9) == "1.24 × 10<sup>−9</sup>"
    assert [number(v) for v in (None, 0.0, -0.5, 12345.6, 152.0, 2e6)] == ["–", "0", "−0.5", "12346", "152", "2 × 10<sup>6</sup>"]
    assert unit("A/m^2") == "A/m<sup>2</sup>"
    assert unit("1") == ""
    assert words("Li3P.ionic_conductivity") == "ionic conductivity of Li3P"
