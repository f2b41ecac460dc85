"""What finished designs are told as: their checked answers, the ranking of a real store, MD that a design takes over."""

import json
import math

import numpy as np
import pytest
import sweep_cases

from coupling.errors import RunFailure, UserError
from coupling.record import Property
from coupling.store import write_records
from multiscale import pipeline
from multiscale.case import load_case
from multiscale.critical_current import answer
from multiscale.critical_current.sampling import MESH, SURROGATE
from multiscale.sweeps import driver, ranking, solve
from multiscale.sweeps.ledger import Status
from multiscale.sweeps.settings import load_sweep

LAYERS = """title = "layers"
[[variable]]
name = "layer"
kind = "options"
[[variable.option]]
name = "bare"
remove = ["geometry.interlayer"]
[[variable.option]]
name = "thin"
[[variable.option]]
name = "thick"
set = { "geometry.interlayer.thickness" = "80 nm" }
[[variable]]
name = "pressure"
key = "conditions.stack_pressure"
kind = "list"
values = ["1 MPa", "5 MPa"]
"""
CCD = {"value": 1.0, "low": 0.5, "high": 2.0, "level": 0.9, "unit": "mA/cm^2"}


def finish(prepared, name: str, logs: np.ndarray, split: dict, of_inputs: np.ndarray | None = None) -> None:
    """Results of a design as a run would leave them, read and entered as its worker does."""
    alone = {} if of_inputs is None else {"of_inputs": list(np.exp(of_inputs))}
    results = prepared.store.design(name) / "results"
    results.mkdir()
    (results / "summary.json").write_text(json.dumps({"ccd": CCD, "error_split": split}))
    (results / "distribution.json").write_text(json.dumps({"samples": list(np.exp(logs))} | alone))
    answers = solve.answers_of(prepared.store.design(name), check_case=False)
    prepared.store.say(name, Status(state="done", answers=answers))


def test_layers_are_ranked_where_all_are_done(tmp_path):
    prepared = driver.prepare(load_sweep(sweep_cases.write(tmp_path, LAYERS)), tmp_path / "store")
    shared = np.random.default_rng(1).standard_normal(3000)
    with pytest.raises(UserError, match="no two choices are done"):
        ranking.rank(prepared, "layer")
    lift = {"bare": -0.5, "thin": 0.0, "thick": 0.1}
    for row in prepared.rows:
        layer, pressure = row["values"]["layer"], row["values"]["pressure"]
        if (layer, pressure) != ("thick", "5 MPa"):
            finish(prepared, row["design"], shared + lift[layer], {SURROGATE: 0.04, MESH: 0.01, "else": 0.95})
    found = ranking.rank(prepared, "layer")
    assert (found.names, found.settings, found.replicas) == (("thick", "thin", "bare"), 1, 1)
    sigma = float(np.std(shared)) * math.sqrt(2 * (0.04 + 0.01))  # of the difference of two designs
    for (i, j), gap in {(0, 1): 0.1, (0, 2): 0.6, (1, 2): 0.5}.items():
        exact = 0.5 * (1 + math.erf(gap / sigma / math.sqrt(2)))
        assert found.beats[i, j] == pytest.approx(exact, abs=0.01)
        assert found.beats[i, j] + found.beats[j, i] == pytest.approx(1.0)
    assert found.sentences()[1].startswith("thin beats bare with 9")
    assert sum(row["probability_best"] for row in found.as_rows()) == pytest.approx(1.0)


def test_the_errors_of_a_design_enter_its_ranking_once(tmp_path):
    """Samples hold surrogate and mesh error, drawn alike in every design; a ranking adds them for itself, each of its size."""
    prepared = driver.prepare(load_sweep(sweep_cases.write(tmp_path, LAYERS)), tmp_path / "store")
    rng = np.random.default_rng(2)
    inputs, noise = rng.standard_normal(3000), rng.standard_normal(3000)
    size = {"bare": 0.05, "thin": 0.4, "thick": 0.05}
    for row in prepared.rows:
        layer = row["values"]["layer"]
        logs = inputs + (0.3 if layer == "thin" else 0.0)
        total = float(np.var(logs + size[layer] * noise))
        finish(prepared, row["design"], logs + size[layer] * noise, {SURROGATE: size[layer] ** 2 / total, MESH: 0.0}, logs)
    found = ranking.rank(prepared, "layer")
    place = {name: number for number, name in enumerate(found.names)}
    told = found.beats[place["thin"], place["bare"]]
    sigma = math.sqrt((size["thin"] ** 2 + size["bare"] ** 2) / 2)  # of the mean over two settings
    assert told == pytest.approx(0.5 * (1 + math.erf(0.3 / sigma / math.sqrt(2))), abs=0.01)


def test_samples_of_the_inputs_alone_hold_neither_surrogate_nor_mesh():
    case = load_case(sweep_cases.CASE.parent)
    rng = np.random.default_rng(1)
    leaves, errors = {"x": rng.standard_normal(500)}, {
        SURROGATE: rng.standard_normal(500), MESH: 0.1 * rng.standard_normal(500), answer.CLOSURE: -rng.uniform(0.0, 1.0, 500)
    }  # fmt: skip

    def logarithm(mixed):
        return 1.0 + 0.5 * mixed["x"] + sum(mixed[origin] for origin in errors)

    spread = answer.Spread(np.ones(500), 1.0, 1.0, 1.0, None, {}, 1, 0, "key", logarithm, errors)
    expected = np.exp(1.0 + 0.5 * leaves["x"] + errors[answer.CLOSURE])
    assert answer.of_inputs_alone(case, leaves, spread) == pytest.approx(expected)


def test_designs_without_error_bar_are_not_ranked(tmp_path):
    sweep = load_sweep(sweep_cases.write(tmp_path, 'fidelity = "screening"\n' + LAYERS))
    with pytest.raises(UserError, match="carry no error bar"):
        ranking.rank(driver.look_at(sweep, tmp_path / "store"), "layer")
    with pytest.raises(UserError, match='did you mean "layer"'):
        ranking.rank(driver.look_at(sweep, tmp_path / "store"), "layr")


def test_errors_of_a_design_are_their_share_of_its_variance(tmp_path):
    logs = 0.7 * np.random.default_rng(3).standard_normal(4000)
    prepared = driver.prepare(load_sweep(sweep_cases.write(tmp_path, LAYERS)), tmp_path / "store")
    finish(prepared, prepared.names[0], logs, {SURROGATE: 0.25, MESH: 0.01})
    answers = prepared.store.status(prepared.names[0]).answers
    assert answers["log_error_surrogate"] == pytest.approx(np.std(logs) / 2)
    assert answers["log_error_mesh"] == pytest.approx(np.std(logs) / 10)


def test_results_of_another_state_of_the_case_are_refused(tmp_path):
    prepared = driver.prepare(load_sweep(sweep_cases.write(tmp_path, LAYERS)), tmp_path / "store")
    finish(prepared, prepared.names[0], np.zeros(5), {})
    with pytest.raises(RunFailure, match="another state of the case"):
        solve.answers_of(prepared.store.design(prepared.names[0]))


def test_a_design_takes_over_the_molecular_dynamics_of_its_case(tmp_path):
    folder = sweep_cases.write(tmp_path / "case", 'md = "case"\n' + LAYERS)
    sweep, atomistic = load_sweep(folder), folder / "results" / "atomistic"
    with pytest.raises(UserError, match="multiscale md"):
        driver.plan(sweep)
    record = Property("Li3P", "youngs_modulus", 5e10, "Pa", stderr=1e9, source={"reference": "test"})
    write_records(atomistic / "records.json", [record])
    (atomistic / "study.json").write_text(json.dumps({"key": pipeline._study_key(sweep.case)}))
    (atomistic / "run.traj").write_bytes(b"large")
    prepared = driver.prepare(sweep, tmp_path / "store")
    copied = prepared.store.design(prepared.names[0]) / "results" / "atomistic"
    assert sorted(path.name for path in copied.iterdir()) == ["records.json", "study.json"]
    write_records(atomistic / "records.json", [record, record])
    assert not {made.hash for made in driver.plan(sweep)} & set(prepared.names)
