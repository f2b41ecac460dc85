"""Computed against measured: what may be compared, the statistics, the audit of fitted inputs."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from report_fixture import write_results

from coupling.errors import UserError
from coupling.experiments import read_experiments
from multiscale.compare import (
    CaseResult,
    case_result,
    compare,
    compare_cases,
    comparison_table,
    consistent,
    fitted_keys,
    judge,
    parity,
    spearman,
)
from multiscale.reporting.figures import write_figure

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "cases" / "_experiments" / "ccd.csv"
ROWS = {row.id: row for row in read_experiments(TABLE)}


def case_with(folder: Path, name: str = "c", *, ccd: tuple[float, float, float] = (1.0, 0.5, 2.0), **more) -> CaseResult:
    """A case whose results folder holds one prediction: value, low, high."""
    write_small(folder / name, ccd, more.pop("bound", None), more.pop("kinds", ["md", "assumed"]))
    settings = {"electrolyte": "Li6PS5Cl", "temperature_C": 25.0, "stack_pressure_MPa": 5.0}
    return CaseResult(name, folder / name, **(settings | more))


def write_small(folder: Path, ccd, bound, kinds) -> None:
    folder.mkdir()
    answer = dict(zip(("value", "low", "high"), ccd, strict=True)) | {"level": 0.9, "unit": "mA/cm^2", "bound": bound}
    (folder / "summary.json").write_text(json.dumps({"ccd": answer}))
    (folder / "parameters.json").write_text(
        json.dumps({"parameters": [{"key": f"k{i}", "kind": k} for i, k in enumerate(kinds)]})
    )


def measurement(name: str, value: float, electrolyte: str = "Li6PS5Cl"):
    bare = {"electrolyte": electrolyte, "interlayer": "none", "temperature_C": 25.0, "stack_pressure_MPa": 5.0}
    return replace(ROWS["ccd46"], id=name, ccd_kind="ccd", ccd_mA_cm2=value, **bare)


def test_only_like_is_compared_with_like(tmp_path):
    case = case_with(tmp_path)
    outcome = {name: judge(ROWS[name], case) for name in ("ccd46", "ccd41", "ccd48", "ccd50")}
    assert outcome["ccd46"] == (True, "")
    assert not outcome["ccd41"][0]
    assert "stripping" in outcome["ccd41"][1]
    assert not outcome["ccd48"][0]
    assert "Mg16Bi84" in outcome["ccd48"][1]
    assert not outcome["ccd50"][0]
    assert "full cell" in outcome["ccd50"][1]
    hot = judge(ROWS["ccd46"], replace(case, temperature_C=60.0))
    assert hot == (False, "measured at 25 °C, the case is at 60 °C")
    assert "stack pressure 5 MPa, in the case 50 MPa" in judge(ROWS["ccd46"], replace(case, stack_pressure_MPa=50.0))[1]
    silent = judge(replace(ROWS["ccd46"], temperature_C=None), case)
    assert silent == (True, "temperature not stated, taken as in the case")


def test_an_applied_interlayer_is_compared_with_the_same_one_only(tmp_path):
    coated = case_with(tmp_path, interlayer="Mg16Bi84")
    assert judge(ROWS["ccd48"], coated)[0]
    assert not judge(ROWS["ccd49"], coated)[0]
    assert not judge(ROWS["ccd46"], coated)[0]


@pytest.mark.parametrize(
    ("kind", "measured", "open_above", "expected"),
    [
        ("ccd", 1.0, False, True), ("ccd", 3.0, False, False), ("ccd", 3.0, True, True), ("ccd", 0.1, True, False),
        ("lower_bound", 0.1, False, True), ("lower_bound", 3.0, False, False), ("lower_bound", 3.0, True, True),
        ("dc_short", 3.0, False, True), ("dc_short", 0.1, False, False), ("dc_short", 0.1, True, False),
    ],
)  # fmt: skip
def test_a_bound_is_held_against_the_side_it_closes(kind, measured, open_above, expected):
    row = replace(ROWS["ccd46"], ccd_kind=kind, ccd_mA_cm2=measured)
    assert consistent(row, 0.5, 2.0, open_above=open_above) is expected


def test_rows_of_the_argyrodite_and_no_statistics_from_bounds(tmp_path):
    found = compare([case_with(tmp_path)], ROWS.values())
    assert {row["id"] for row in found["rows"]} == {"ccd41", "ccd42", "ccd45", "ccd46", "ccd48", "ccd49", "ccd50"}
    assert (found["spearman"], found["median_factor"], found["coverage"]) == (None, None, None)
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["ccd46"]["ratio"] == pytest.approx(1.0 / 0.075)
    assert rows["ccd46"]["consistent"] is True
    assert all(row["ratio"] is None and row["consistent"] is None for row in rows.values() if row["id"] != "ccd46")
    assert {"id", "measured", "kind", "predicted", "low", "high", "ratio", "comparable", "reason"} <= set(rows["ccd46"])
    json.dumps(found, allow_nan=False)


def test_statistics_over_plating_currents_alone(tmp_path):
    cases = [case_with(tmp_path, f"c{i}", ccd=(p, p / 2, p * 2), electrolyte=f"E{i}") for i, p in enumerate((1.0, 2.0, 4.0, 8.0))]
    measured = [measurement(f"m{i}", value, f"E{i}") for i, value in enumerate((1.5, 8.0, 3.0, 10.0))]
    lower = replace(measured[0], id="bound", ccd_kind="lower_bound", ccd_mA_cm2=1e6)
    found = compare(cases, [*measured, lower])
    assert len(found["rows"]) == 5
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    factors = sorted((1.5, 4.0, 4.0 / 3.0, 1.25))
    assert found["median_factor"] == pytest.approx(math.sqrt(factors[1] * factors[2]))
    assert found["coverage"] == pytest.approx(0.75)
    few = compare(cases[:2], measured)
    assert (few["spearman"], few["coverage"]) == (None, None)
    assert few["median_factor"] == pytest.approx(math.sqrt(1.5 * 4.0))


def test_rank_correlation_with_ties_and_a_constant():
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 3]) == pytest.approx(5 / 6)
    assert spearman([1, 2, 3], [2, 2, 2]) is None


def test_a_fitted_input_is_found(tmp_path):
    found = compare([case_with(tmp_path, kinds=["md", "fitted", "measured"])], ROWS.values())
    assert found["fitted_parameters"] == ["c: k1"]
    assert "FITTED: c: k1" in comparison_table(found)
    assert fitted_keys({"parameters": [{"key": "a"}]}) == ["a"]
    clean = compare([case_with(tmp_path, "d")], ROWS.values())
    assert clean["fitted_parameters"] == []
    assert "Nothing was fitted" in comparison_table(clean)


def test_the_table_names_every_row_and_its_outcome(tmp_path):
    text = comparison_table(compare([case_with(tmp_path, bound="lower")], ROWS.values()))
    assert all(name in text for name in ("ccd41", "ccd46", "ccd50", "consistent", "not compared", "≥ 0.075"))
    assert "1 of 1 bounds are consistent" in text


def test_the_parity_plot_is_written(tmp_path):
    for name, rows in (("some", [measurement("m", 2.0), ROWS["ccd46"]]), ("none", [ROWS["ccd41"]])):
        drawing = parity(compare([case_with(tmp_path, name)], rows))
        write_figure(drawing, tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").read_text().count("<svg") == 1
    assert "predicted (mA/cm²)" in (tmp_path / "some.svg").read_text()


def test_the_shipped_case_is_a_bare_cell_at_room_temperature():
    case = case_result(ROOT / "cases" / "li-lpscl")
    assert (case.name, case.electrolyte, case.interlayer) == ("li-lpscl", "Li6PS5Cl", None)
    assert case.temperature_C == pytest.approx(25.0)


def test_the_command_answers_and_refuses(tmp_path):
    case = tmp_path / "li-lpscl"
    case.mkdir()
    (case / "case.toml").write_text((ROOT / "cases" / "li-lpscl" / "case.toml").read_text())
    with pytest.raises(UserError, match=r"summary\.json: not there yet"):
        compare_cases([case], TABLE)
    write_results(case / "results")
    answer = json.loads(compare_cases([case], TABLE, tmp_path / "p.png", as_json=True))
    assert len(answer["rows"]) == 7
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"ends in \.png"):
        compare_cases([case], TABLE, tmp_path / "p.txt")
    experiments = tmp_path / "cases" / "_experiments" / "ccd.csv"
    with pytest.raises(UserError, match="no case has results yet"):
        compare_cases([], experiments)


def test_damaged_results_are_told_with_their_mend(tmp_path):
    case = case_with(tmp_path)
    (case.results / "parameters.json").write_text('{"parameters": 3}')
    with pytest.raises(UserError, match=r"parameters\.json: cannot be read \(parameters: .*valid array\); delete it and run"):
        compare([case], ROWS.values())


def test_a_prediction_of_zero_leaves_no_infinity(tmp_path):
    found = compare([case_with(tmp_path, ccd=(0.0, 0.0, 0.5))], [measurement("m", 1.0), ROWS["ccd46"]])
    assert found["median_factor"] is None
    assert [row["consistent"] for row in found["rows"]] == [False, True]
    json.dumps(found, allow_nan=False)
    assert len(parity(found).axes[0].lines) == 1  # the diagonal alone
