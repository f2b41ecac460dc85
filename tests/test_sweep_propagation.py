"""Sweeps of propagation cases: keys of their own, designs that are propagation cases, answers of their runs."""

import json
import shutil
import tomllib
from types import SimpleNamespace

import pytest
from launch import ROOT

from coupling.errors import UserError
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.inputs import resolve
from multiscale.sweeps import driver, ranking, solve
from multiscale.sweeps.settings import load_sweep

SWEEP = """title = "tougher"
fidelity = "propagation"
replicas = 2
constraints = ["hold >= '5 s'"]
[fixed]
"fracture.elements" = 2
[[variable]]
name = "toughness"
key = "materials.LLZO.fracture_toughness"
kind = "list"
values = ["0.9 MPa m^0.5", "1.25 MPa m^0.5"]
[[variable]]
name = "hold"
key = "protocol.hold"
kind = "list"
values = ["1 s", "5 s"]
"""


def write(folder, text=SWEEP, case="penny-flaw"):
    folder.mkdir()
    shutil.copyfile(ROOT / "cases" / case / "case.toml", folder / "case.toml")
    (folder / "sweep.toml").write_text(text, encoding="utf-8")
    return folder


def test_designs_are_propagation_cases_of_their_own(tmp_path):
    sweep = load_sweep(write(tmp_path / "case"))
    prepared = driver.prepare(sweep, tmp_path / "store")
    assert len(prepared.names) == 4  # two toughnesses, the one hold that meets the constraint, two microstructures
    found = {}
    for row in prepared.rows:
        folder = prepared.store.design(row["design"])
        case = load_propagation_case(folder)
        assert case.settings.protocol.hold == 5.0
        assert case.settings.fracture.elements == 2
        assert tomllib.loads((folder / "case.toml").read_text())["geometry"].get("seed", 0) == row["replica"]
        found.setdefault(row["values"]["toughness"], resolve(case).fracture_energy)
    assert found["0.9 MPa m^0.5"] / found["1.25 MPa m^0.5"] == pytest.approx((0.9 / 1.25) ** 2)


def test_a_design_is_run_as_its_case_and_its_bracket_is_told(tmp_path, monkeypatch):
    prepared = driver.prepare(load_sweep(write(tmp_path / "case")), tmp_path / "store")
    folder = prepared.store.design(prepared.names[0])
    recipe = json.loads((folder / "design.json").read_text())["recipe"]
    ran = []

    def run(case, results, comm):
        ran.append(case.folder)
        results.mkdir()
        ccd = {"value": 20.0, "low": 10.0, "high": 20.0, "level": 1.0, "bound": "upper", "unit": "mA/cm^2"}
        told = {"kind": "propagation", "ccd": ccd, "hashes": {"case": case.digest}}
        (results / "summary.json").write_text(json.dumps(told), encoding="utf-8")

    monkeypatch.setattr("multiscale.propagation.run.run_propagation", run)
    answers = solve.solve(folder, recipe, SimpleNamespace(rank=0))
    assert ran == [folder]
    assert (answers["ccd"], answers["ccd_low"], answers["ccd_high"], answers["ccd_bound"]) == (20.0, 10.0, 20.0, "upper")


WRONG = {
    "no fidelity": (('fidelity = "propagation"\n', ""), 'this case asks for crack propagation; write "propagation"'),
    "another fidelity": (('"propagation"', '"screening"'), 'this case asks for crack propagation; write "propagation"'),
    "molecular dynamics": (('replicas = 2', 'replicas = 2\nmd = "case"'), "a propagation case runs no molecular dynamics"),
    "a key of another kind": (('"protocol.hold"', '"geometry.interlayer"'), 'unknown key "geometry.interlayer"'),
    "a value of another unit": (('"1 s", "5 s"', '"5 s", "5 m"'), "cannot be expressed in s"),
    "an impossible case": (('"fracture.elements" = 2', '"fracture.length" = "30 um"'), "fracture.length: at most a quarter"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_swept_is_refused_by_its_line(tmp_path, name):
    (old, new), words = WRONG[name]
    assert old in SWEEP
    folder = write(tmp_path / "case", SWEEP.replace(old, new))
    with pytest.raises(UserError) as refusal:
        driver.plan(load_sweep(folder))
    assert words in str(refusal.value)
    assert "sweep.toml:" in str(refusal.value)


def test_a_case_of_initiation_has_no_propagation_and_brackets_are_not_ranked(tmp_path):
    text = SWEEP.partition("replicas")[0] + '[[variable]]\nkey = "protocol.first"\nkind = "list"\nvalues = ["1 mA/cm^2"]\n'
    with pytest.raises(UserError, match="asks for a critical current of initiation; write one of"):
        load_sweep(write(tmp_path / "other", text, "li-lpscl"))
    prepared = driver.prepare(load_sweep(write(tmp_path / "case")), tmp_path / "store")
    with pytest.raises(UserError, match=r"sweep\.toml:\d+: .*brackets are not ranked"):
        ranking.rank(prepared, "toughness")
