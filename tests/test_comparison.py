"""Each measurement with its own cell: matching, inputs, predictions of known distribution, the store, the audit, the command."""

import csv
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coupling.errors import RunFailure, UserError
from coupling.experiments import read_experiments
from multiscale.comparison import predictions
from multiscale.comparison.audit import audit, suspicious, taken_from
from multiscale.comparison.cells import read_cells
from multiscale.comparison.driver import compare_all, sort_out
from multiscale.comparison.estimate import estimate, extrusion_current, fracture_pressure
from multiscale.comparison.matching import (
    SURFACE,
    THICKNESS,
    conditions_of,
    exchange_from_resistance,
    inputs_of,
    match,
    survey_parameters,
    transfer_key,
)
from multiscale.comparison.plot import parity
from multiscale.comparison.stripping import match_stripping, predict_stripping
from multiscale.comparison.survey import QUALITIES, survey
from multiscale.comparison.table import csv_text, text
from multiscale.comparison.without_cell import read_reasons
from multiscale.mechanics.extrusion import Creep, extrusion_rate
from multiscale.parameters import nominal
from multiscale.reporting.figures import write_figure

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import comparison_table

CASES = Path(__file__).parent.parent / "cases"
TABLE = CASES / "_experiments" / "ccd.csv"
ROWS = {row.id: row for row in read_experiments(TABLE)}
CELLS = read_cells(CASES / "_comparison")
LLZO = next(cell for cell in CELLS if cell.name == "LLZO")
PPC = next(cell for cell in CELLS if cell.name == "LLZO-PPC")
ALONE = {"ccd13"}
"""Measurements that no cell stands for: molten lithium."""
COMPARED = set(ROWS) - ALONE
STRIPPED = {"ccd41", "ccd42"}
"""Held against the closed form of voids: they need no model run."""


class Fake:
    """A model whose answer is known: free = i0/2 (1 µm/depth)^½, stalled nine tenths of it; counts its runs."""

    def __init__(self, stop_after: int | None = None, fail: tuple[int, ...] = ()) -> None:
        self.calls, self.stop_after, self.fail = 0, stop_after, fail

    def __call__(self, cell, inputs, seed, fine):
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        if self.calls in self.fail:
            raise RunFailure("it diverged")
        free = 0.5 * inputs["exchange_current_density"] * math.sqrt(1e-6 / inputs["flaw_depth"])
        return free, 0.9 * free


def run(store: Path, solve, experiments: Path = TABLE):
    return compare_all(experiments, CASES / "_comparison", store, "quick", solve=solve)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    fake = Fake()
    return run(store, fake), store, fake.calls


FEW = ("ccd01", "ccd02", "ccd07", "ccd21", "ccd41", "ccd46")
"""Measurements of three cells, one of them stripped: what follows from the store needs no more."""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A short table, what came out, its store and how many runs it took."""
    folder = tmp_path_factory.mktemp("few")
    header, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    table = folder / "ccd.csv"
    table.write_text("\n".join([header, *(line for line in lines if line.startswith(FEW))]) + "\n", encoding="utf-8")
    fake = Fake()
    return table, run(folder / "store", fake, table), folder / "store", fake.calls


def test_every_measurement_is_compared_or_has_a_reason():
    found = sort_out(list(ROWS.values()), CELLS)
    assert set(found.matches) == COMPARED
    assert set(found.matches) | set(found.reasons) == set(ROWS)
    assert "195 °C lies outside the cell's model runs (10 … 140 °C, LLZO.toml)" in found.reasons["ccd13"]
    strange = sort_out([replace(ROWS["ccd48"], interlayer="Unobtainium"), replace(ROWS["ccd35"], electrolyte="Li2X")], CELLS)
    assert 'no material and cell for the interlayer "Unobtainium"' in strange.reasons["ccd48"]
    assert "no cell for the electrolyte Li2X" in strange.reasons["ccd35"]
    assert {name for name, item in found.matches.items() if item.limit == "stripping"} == STRIPPED
    assert all(len(reason) > 20 for reason in found.reasons.values())
    plain = read_reasons(TABLE, list(ROWS))
    assert set(plain) == set(found.reasons)  # each of them has its own reason in plain words
    assert sort_out(list(ROWS.values()), CELLS, plain).reasons == plain
    assert sort_out(list(ROWS.values()), CELLS, {"ccd02": "a reason"}).matches.keys() == COMPARED  # a cell counts first


def test_a_grade_says_how_the_current_itself_is_known():
    """A current whose provenance calls it recalled is graded C, whatever else was verified."""
    recalled = [name for name, row in ROWS.items() if re.search(r"(^|values? |CCD |0\.\d+ |mA/cm2 )memory", row.provenance)]
    assert len(recalled) == 27
    assert {ROWS[name].confidence for name in recalled} == {"C"}
    assert {ROWS[name].confidence for name in set(ROWS) - set(recalled)} <= {"A", "B"}


def test_what_a_source_states_is_used_and_what_it_does_not_is_assumed_with_a_range():
    found = match(conditions_of(ROWS["ccd16"]), CELLS)
    assert found.stated == ("30 °C", "0.35 MPa", "interface 514 ohm cm²")
    assert found.assumed == ("charge transfer 50% … 100% of it",)
    used = {key: parameter.used for key, parameter in found.parameters.items()}
    assert used["conditions.temperature"].value == pytest.approx(303.15)
    assert used["conditions.stack_pressure"].low is None
    silent = match(conditions_of(ROWS["ccd07"]), CELLS)
    assert silent.assumed[0] == "temperature 18 … 30 °C"
    assert silent.parameters["conditions.stack_pressure"].used.high == pytest.approx(1e7)
    assert silent.parameters["conditions.stack_pressure"].used.kind == "assumed"
    assert "Li-LLZO-interface.toml" in silent.assumed[2]
    single = match(conditions_of(ROWS["ccd02"]), CELLS)
    assert single.remarks == ("the sample has no grain boundaries; the cell's flaw sits on one",)


def test_a_resistance_becomes_an_exchange_current():
    found = match(conditions_of(ROWS["ccd21"]), CELLS).parameters[transfer_key(LLZO)].used
    assert found.value == pytest.approx(8.314462618 * 298.15 / 96485.33212 / 2e-4)  # RT/(F · 2 ohm cm²)
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(2 * found.value)  # half of the resistance is charge transfer at least
    assert found.kind == "derived"
    doubled = exchange_from_resistance(LLZO, 4.0, match(conditions_of(ROWS["ccd21"]), CELLS).parameters).used
    assert doubled.value == pytest.approx(found.value / 2)


def test_a_measurement_out_of_reach_says_why():
    hot = replace(ROWS["ccd01"], temperature_C=60.0)
    assert "60 °C lies outside" in match(conditions_of(hot), CELLS)
    poor = replace(ROWS["ccd21"], asr_interface_ohm_cm2=1e6)
    assert "exchange current density" in match(conditions_of(poor), CELLS)
    pressed = replace(ROWS["ccd21"], stack_pressure_MPa=50.0)
    assert "stack pressure 50 MPa lies outside" in match(conditions_of(pressed), CELLS)


def test_temperature_and_thickness_enter_by_arrhenius_and_ohm():
    leaves = {key: np.repeat(np.atleast_1d(value), 2) for key, value in nominal(survey_parameters(LLZO)).items()}
    leaves["conditions.temperature"] = np.array([298.15, 403.15])
    follows, stays = inputs_of(LLZO, leaves, True), inputs_of(LLZO, leaves, False)
    turn = (1 / 403.15 - 1 / 298.15) / 8.314462618
    energies = {"grain_conductivity": 31.8e3, "exchange_current_density": 35.7e3}
    for name, energy in energies.items():
        assert follows[name][1] / follows[name][0] == pytest.approx(math.exp(-energy * turn))
    assert stays["exchange_current_density"][1] == stays["exchange_current_density"][0]
    leaves = {key: np.repeat(np.atleast_1d(value), 2) for key, value in nominal(survey_parameters(PPC)).items()}
    leaves[THICKNESS] = np.array([0.2e-6, 1e-6])
    layer = inputs_of(PPC, leaves, False)["interlayer_conductivity"]
    assert layer[1] / layer[0] == pytest.approx(0.2)
    coated = next(cell for cell in CELLS if cell.name == "LLZO-Li3N")
    leaves = {key: np.repeat(np.atleast_1d(value), 2) for key, value in nominal(survey_parameters(coated)).items()}
    leaves["conditions.temperature"] = np.array([298.15, 313.15])
    layer = inputs_of(coated, leaves, False)["interlayer_conductivity"]
    assert layer[1] / layer[0] == pytest.approx(math.exp(-28.0e3 / 8.314462618 * (1 / 313.15 - 1 / 298.15)))


def test_a_prediction_has_the_distribution_of_its_inputs(compared):
    """Of i0 (1 µm/depth)^½/2 with closure 0.9 … 1: uniform logarithms add up, variances width²/12."""
    told, _, _ = compared
    row = next(row for row in told["rows"] if row["id"] == "ccd21")
    i0 = 8.314462618 * 298.15 / 96485.33212 / 2e-4
    mean = math.log(0.1 * 0.5 * i0) + 0.5 * math.log(2) - 0.25 * math.log(15) + 0.5 * math.log(0.9)
    deviation = math.sqrt((math.log(2) ** 2 + (0.5 * math.log(15)) ** 2 + math.log(0.9) ** 2) / 12)
    assert row["log_mean"] == pytest.approx(mean, abs=0.05)
    assert row["log_deviation"] == pytest.approx(deviation, rel=0.1)
    assert row["low"] < row["predicted"] < row["high"]
    assert row["ratio"] == pytest.approx(row["predicted"] / 0.3)
    silent = next(row for row in told["rows"] if row["id"] == "ccd23")
    assert silent["log_deviation"] > 2 * row["log_deviation"]  # the unknown resistance widens the interval
    assert silent["largest_error"] == "Li-LLZO-interface.exchange_current_density"


def test_a_current_spreads_over_the_surface_of_a_porous_host(compared):
    """1 to 100 times the geometric area, evenly in the logarithm: half of ln 100 on top, and its variance."""
    rows = {row["id"]: row for row in compared[0]["rows"]}
    cell = next(cell for cell in CELLS if cell.name == "LLZO-mixed-host")
    held = match(replace(conditions_of(ROWS["ccd35"]), asr_interface_ohm_cm2=2.0), CELLS)
    flat = replace(held, parameters={key: value for key, value in held.parameters.items() if key != SURFACE})
    surveyed = survey(cell, "quick", compared[1], solve=Fake())
    porous, plain = predictions.predict(held, surveyed), predictions.predict(flat, surveyed)
    assert porous.log_mean - plain.log_mean == pytest.approx(0.5 * math.log(100), abs=0.05)
    assert porous.log_deviation**2 - plain.log_deviation**2 == pytest.approx(math.log(100) ** 2 / 12, rel=0.1)
    assert rows["ccd35"]["assumed"][1] == "surface 1 … 100 times the geometric area"
    assert rows["ccd50"]["consistent"] == (rows["ccd50"]["high"] >= 3.4)  # a full cell's rate: its current was passed


def test_stripping_is_held_against_the_closed_form_of_voids():
    """F/V [(a/2) ε̇(3p/2n) + D (s − 1)/L], written out at the best values; drawn over its ranges, around them."""
    found = match_stripping(conditions_of(ROWS["ccd42"]), CELLS)
    assert (found.limit, found.stated, found.cell.name) == ("stripping", ("25 °C", "7 MPa"), "Li6PS5Cl")
    at = {key: float(value[0]) for key, value in nominal(found.parameters).items()}
    n, p = at["Li.creep_exponent"], 7e6
    turn = (1 / 298.15 - 1 / 298.15) * at["Li.creep_activation_energy"]
    speed = at["Li.creep_reference_rate"] * (3 * p / (2 * n) / at["Li.creep_reference_stress"]) ** n * math.exp(-turn)
    excess = at["Li-voids.self_diffusivity"] * (at["Li-voids.vacancy_supersaturation"] - 1) / at["Li-voids.vacancy_sink_distance"]
    exact = 96485.33212 / 1.3e-5 * (at["Li-voids.void_radius"] / 2 * speed + excess)
    fixed = {key: replace(one, used=replace(one.used, low=None, high=None, stderr=None)) for key, one in found.parameters.items()}
    assert predict_stripping(replace(found, parameters=fixed)).median == pytest.approx(0.1 * exact, rel=5e-3)
    spread = predict_stripping(found)
    assert spread.low < 0.1 * exact < spread.high
    assert spread.log_deviation > 1
    assert sum(spread.error_split.values()) == pytest.approx(1.0)
    bare = replace(conditions_of(ROWS["ccd42"]), electrolyte="LLZO")
    assert "LLZO.toml names none ([case.voiding])" in match_stripping(bare, CELLS)
    wide = replace(LLZO, case=found.cell.case)  # a cell whose runs reach further than what is known of the voids
    assert "known at 25 °C alone" in match_stripping(replace(bare, temperature_C=60.0), [wide])


def test_the_fine_mesh_corrects_and_widens(tmp_path):
    def uneven(cell, inputs, seed, fine):
        free, stalled = Fake()(cell, inputs, seed, fine)
        return (1.3 * free, 1.3 * stalled) if fine else (free, stalled)

    plain, moved = (survey(LLZO, "quick", tmp_path / name, solve=solve) for name, solve in (("a", Fake()), ("b", uneven)))
    assert moved.mesh_ratio == pytest.approx(1.3)
    found = match(conditions_of(ROWS["ccd21"]), CELLS)
    first, second = (predictions.predict(found, surveyed) for surveyed in (plain, moved))
    assert second.median / first.median == pytest.approx(1.3, rel=0.05)
    assert second.log_deviation**2 - first.log_deviation**2 == pytest.approx(math.log(1.3) ** 2, rel=0.2)


def test_nothing_is_computed_twice_and_a_new_measurement_costs_no_run(compared, few, tmp_path):
    assert compared[2] == len(CELLS) * (QUALITIES["quick"] + 2)
    table, told, store, calls = few
    assert calls == 3 * (QUALITIES["quick"] + 2)
    again = Fake()
    assert run(store, again, table)["rows"] == told["rows"]
    assert again.calls == 0
    more = tmp_path / "ccd.csv"
    added = "new1,LLZO,x,none,,25,,,,5,,0.4,ccd,A.,J,2024,,A,paper,\n"
    more.write_text(table.read_text(encoding="utf-8") + added, encoding="utf-8")
    extended = run(store, again, more)
    assert again.calls == 0
    assert next(row for row in extended["rows"] if row["id"] == "new1")["comparable"]


def test_a_killed_comparison_goes_on(few, tmp_path):
    table, told, _, calls = few
    killed, rest = Fake(stop_after=30), Fake()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, killed, table)
    assert run(tmp_path, rest, table)["rows"] == told["rows"]
    assert rest.calls == calls - 30
    kept = next((tmp_path / "runs").iterdir())
    kept.write_text("{", encoding="utf-8")  # a file of a full disk: that run alone is repeated
    once = Fake()
    run(tmp_path, once, table)
    assert once.calls == 1


def test_a_failed_run_is_left_out_and_many_are_told(tmp_path):
    assert survey(LLZO, "quick", tmp_path / "one", solve=Fake(fail=(5,))).failures == 1
    with pytest.raises(RunFailure, match=r"LLZO: 8 of \d+ model runs failed; the first: it diverged"):
        survey(LLZO, "quick", tmp_path / "many", solve=Fake(fail=tuple(range(5, 13))))
    with pytest.raises(RunFailure, match="failed on the fine mesh"):
        survey(LLZO, "quick", tmp_path / "fine", solve=Fake(fail=(1,)))
    assert survey(LLZO, "quick", tmp_path / "many", solve=Fake()).failures == 0


def test_nothing_is_fitted_and_the_code_knows(compared):
    told, _, _ = compared
    assert told["fitted_parameters"] == []
    assert told["audit"]["predictions_unchanged_by_scrambled_measurements"] == len(COMPARED)
    assert set(told["audit"]["sources"]) >= {"LLZO.toml", "Li-LLZO-interface.toml", "Li.toml"}
    assert told["audit"]["experiments_sha256"] not in told["audit"]["sources"].values()
    assert told["statement"].startswith("No sign of fitting was found")


def test_the_audit_finds_what_it_looks_for():
    found = match(conditions_of(ROWS["ccd21"]), CELLS)
    key, parameter = next(iter(found.parameters.items()))
    assert suspicious(found.parameters) == []
    for change, words in (
        ({"kind": "fitted"}, "of kind fitted"), ({"source": {"reference": "critical current of Lu et al."}}, "critical current"),
        ({"source": {"reference": "fitted to CCD"}}, "critical current"), ({"quantity": "critical_current_density"}, "critical"),
        ({"source": {"note": "between the CCDs of pellets"}}, "critical current"),
        ({"source": {"reference": "adjusted until the limit of stripping of ccd41 is met"}}, '"adjusted"'),
        ({"source": {"reference": "chosen so that Kasemchainan 2019 comes out right"}}, '"chosen so that"'),
        ({"source": {"reference": "nothing is known; tuned until the comparison fits"}}, '"tuned"'),
        ({"source": {"reference": "calibrated, see ccd41 (not its current)"}}, '"calibrated"'),
        ({"source": {"reference": "as in CCD41"}}, "that of ccd41"),
        ({"source": {"reference": "Kasemchainan et al. 2019"}}, "that of ccd41"),
        ({"source": {"reference": "doi 10.1038/s41563-019-0438-9"}}, "that of ccd41"),
    ):  # fmt: skip
        spoilt = {key: replace(parameter, used=replace(parameter.used, **change))}
        assert words in suspicious(spoilt, tuple(ROWS.values()))[0]
    later = replace(ROWS["ccd42"], authors="Kasemchainan J. et al.", doi="", year=2031)
    assert "that of ccd42" in taken_from("Kasemchainan (2031)", [later])
    for honest in ("assumed; nothing in it is adjusted to one", "not fitted to anything", "Sharafi et al. 2017: R = 2 ohm cm2",
                   "forty walls, the note of ccd34 (not its current)", "Kasemchainan et al. 2017", "accd411"):  # fmt: skip
        assert taken_from(honest, tuple(ROWS.values())) is None, honest
    shipped = sort_out(list(ROWS.values()), CELLS).matches.values()
    assert all(suspicious(item.parameters, tuple(ROWS.values())) == [] for item in shipped)
    assert "othing was compared" in audit({}, [], TABLE, lambda measured: "same").sentence()
    beside = replace(found, cell=replace(found.cell, file=replace(found.cell.file, path=TABLE)))
    told = audit({"ccd21": beside}, [ROWS["ccd21"]], TABLE, lambda measured: "same")
    assert "a table of measurements is a source" in told.fitted[0]
    assert told.sentence().startswith("FITTED")
    with pytest.raises(RunFailure, match="ccd21: its prediction changes with the measured current"):
        audit({"ccd21": found}, [ROWS["ccd21"]], TABLE, lambda measured: str(measured.ccd_mA_cm2))


def test_predictions_do_not_see_the_measured_currents(few, tmp_path):
    table, told, store, _ = few
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    scrambled = tmp_path / "ccd.csv"
    with scrambled.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"ccd_mA_cm2": f"{17.0 / (1 + place):.3g}"} for place, row in enumerate(rows))
    other = run(store, Fake(), scrambled)
    assert [row["predicted"] for row in other["rows"]] == [row["predicted"] for row in told["rows"]]
    assert other["median_factor"] != told["median_factor"]


def test_the_statistics_stand_in_the_answer(compared):
    told, _, _ = compared
    ccd = told["agreement"]["ccd"]
    with TABLE.open(encoding="utf-8", newline="") as stream:
        listed = sum(row["ccd_kind"] == "ccd" for row in csv.DictReader(stream))
    assert (ccd["listed"], ccd["compared"]) == (listed, 12)
    assert told["spearman"] == ccd["spearman"]["value"]
    assert ccd["spearman"]["low"] <= told["spearman"] <= ccd["spearman"]["high"]
    assert told["coverage"] == ccd["coverage"]["share"]
    assert told["agreement"]["lower_bound"]["compared"] == 19
    assert (told["agreement"]["full_cell_rate"]["listed"], told["agreement"]["full_cell_rate"]["compared"]) == (1, 1)
    assert told["agreement"]["dc_short"]["compared"] == 1
    voids = told["agreement"]["stripping_critical"]
    assert (voids["listed"], voids["compared"]) == (2, 2)
    assert "spearman" not in voids
    json.dumps(told, allow_nan=False)


def test_table_text_and_picture_name_every_measurement(compared, tmp_path):
    told, _, _ = compared
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(csv_text(told)))}
    with TABLE.open(encoding="utf-8", newline="") as stream:
        raw = {row["id"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(raw)
    for name, cells in raw.items():
        for column, cell in cells.items():
            kept = rows[name][column]
            assert kept == cell or float(kept) == float(cell), (name, column)
        assert (rows[name]["comparable"] == "yes") == (name in COMPARED)
        assert rows[name]["predicted"] or rows[name]["reason"]
    shown = text(told)
    assert all(name in shown for name in raw)
    assert "Spearman" in shown
    assert "No sign of fitting was found" in shown
    assert "at best values" in shown
    assert all(float(rows[name]["best_mA_cm2"]) > 0 for name in COMPARED)
    reasons = {name: rows[name]["reason"] for name in STRIPPED}
    assert all("closed form" in reason and "half-cycle" not in reason for reason in reasons.values())
    write_figure(parity(told), tmp_path / "p.svg")
    drawn = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert all(f"{name} [{ROWS[name].confidence}]" in drawn for name in COMPARED)
    write_figure(parity(told | {"rows": []}), tmp_path / "none.svg")


def test_the_page_takes_its_tables_from_the_answer(compared):
    told, page = compared[0], comparison_table.PAGE.read_text(encoding="utf-8")
    made = comparison_table.rewritten(page, told)
    assert all(f"| {name} |" in made for name in ROWS)
    assert not re.search(r"\de[+-]\d", made)  # no computer's exponents
    assert "critical current of stripping (voids): 2 listed, 2 compared" in made
    assert comparison_table.rewritten(made, told) == made
    assert made.endswith(page[page.index("## What that says") :])  # what a person wrote stays
    with pytest.raises(ValueError, match="<!-- numbers -->"):
        comparison_table.rewritten(page.replace("<!-- numbers -->", ""), told)


def test_the_page_holds_every_measurement_once(compared):
    told, page = compared[0], comparison_table.PAGE.read_text(encoding="utf-8")
    unknown = {"kind": "new", "comparable": True}  # a kind that no table knows
    hidden = [row | unknown if row["id"] == "ccd13" else row for row in told["rows"]]
    with pytest.raises(ValueError, match="ccd13 stands in the tables 0 times"):
        comparison_table.rewritten(page, told | {"rows": hidden})


def test_the_prediction_at_best_values_is_that_of_the_model_there(tmp_path):
    found = match(conditions_of(ROWS["ccd21"]), CELLS)
    item = survey(LLZO, "quick", tmp_path, solve=Fake())
    made = predictions.predict(found, item)
    at = {name: float(value) for name, value in nominal(found.parameters).items()}
    exchange, depth = at["Li-LLZO-interface.exchange_current_density"], at["geometry.flaw.depth"]
    exact = 0.1 * 0.5 * exchange * math.sqrt(1e-6 / depth) * math.sqrt(0.9)  # midway between the closures, of the logarithm
    assert made.best == pytest.approx(exact, rel=0.02)
    voids = match_stripping(conditions_of(ROWS["ccd41"]), CELLS)
    stripped = predict_stripping(voids)
    assert stripped.low < stripped.best < stripped.high
    assert stripped.best != pytest.approx(stripped.median, rel=0.5)  # the median of a log-uniform range is another number


def test_a_limit_of_stripping_is_not_told_in_words_of_plating():
    outside = match_stripping(replace(conditions_of(ROWS["ccd41"]), stack_pressure_MPa=900.0), CELLS)
    assert "lies outside the conditions that the cell stands for" in outside
    assert "model runs" not in outside


def test_a_table_without_a_measurement_is_refused(tmp_path):
    empty = tmp_path / "ccd.csv"
    empty.write_text(TABLE.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="no measurement in it, so there is nothing to compare"):
        run(tmp_path, Fake(), empty)


def test_wrong_words_are_refused(tmp_path):
    with pytest.raises(UserError, match='--quality: read "best"; allowed: rough, quick, standard'):
        compare_all(TABLE, CASES / "_comparison", tmp_path, "best", solve=Fake())
    from multiscale.commands.compare import compare

    for options, words in (
        ({"plot": Path("p.txt")}, r"ends in \.png"), ({"table": Path("t.xls")}, r"ends in \.csv"),
        ({"cases": [CASES / "li-lpscl"], "out": tmp_path}, "--out belongs to the comparison of all"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            compare(**options)


def test_the_model_of_the_shipped_cell_answers_near_the_closed_form():
    from multiscale.comparison.survey import InitiationRuns, _best

    best = _best(LLZO)
    free, stalled = InitiationRuns()(LLZO, best, 1, fine=False)
    assert 0 < stalled <= free < 1e4
    closed = estimate(LLZO, {name: np.array([value]) for name, value in best.items()})[0]
    assert free / closed == pytest.approx(1.0, abs=0.3)  # grains, detour and finite cell are all that is between them


def test_the_estimate_creeps_as_the_slit_of_the_product_does():
    """Against `extrusion_rate`, which integrates the same law for one slit at a time, at a hot and at a cold temperature."""
    leaves = {key: np.repeat(np.atleast_1d(value), 2) for key, value in nominal(survey_parameters(LLZO)).items()}
    leaves["conditions.temperature"] = np.array([298.15, 400.0])
    inputs = inputs_of(LLZO, leaves, True)
    pressure, depth = fracture_pressure(LLZO, inputs), inputs["flaw_depth"]
    found = extrusion_current(LLZO, inputs, pressure)
    place = np.linspace(0, 1, 2001)
    for k in (0, 1):
        modulus = inputs["youngs_modulus"][k] / (1 - inputs["poissons_ratio"][k] ** 2)
        opened = 1.454 * 2 * pressure[k] * depth[k] / modulus * np.sqrt(1 - place**2)
        half = 50e-9 * (1 - place) + 20e-9 * place + opened
        creep = Creep(*(float(inputs[f"creep_{name}"][k]) for name in (
            "reference_rate", "reference_stress", "exponent", "activation_energy",
        )), size_factor=float(inputs["creep_size_factor"][k]))  # fmt: skip
        flow = extrusion_rate(float(pressure[k]), place * depth[k], half, creep, float(inputs["temperature"][k]))
        exact = 96485.33212 / 1.3e-5 * flow * (1 / 40e-6 + 1 / (2 * depth[k]))
        assert found[k] == pytest.approx(exact, rel=0.15)
    assert found[1] > 10 * found[0]


def test_the_surrogate_starts_from_the_estimate_where_that_is_better(tmp_path):
    def close(cell, inputs, seed, fine):
        value = float(estimate(cell, {name: np.array([number]) for name, number in inputs.items()})[0])
        return value * (1.0 + 0.02 * seed), value

    surveyed = survey(LLZO, "quick", tmp_path, solve=close)
    assert surveyed.by_estimate
    assert surveyed.free.error < 0.05
    assert not survey(LLZO, "quick", tmp_path / "plain", solve=Fake()).by_estimate
