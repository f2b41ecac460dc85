"""`multiscale ccd CASE --beside OTHER`: which of two mechanisms comes first, and what keeps two cells from being one."""

import itertools
import json
import shutil
import sys

import pytest
from launch import ROOT

from coupling.errors import UserError
from multiscale import cli
from multiscale.beside import beside, beside_lines, differences, least, smallest, unknown
from multiscale.kinds import load_any


def _found(value, low, high, bound=None, **more):
    return {"value": value, "low": low, "high": high, "bound": bound, **more}


def _both(first, second):
    return {"a": {"mechanisms": {"initiation": first}}, "b": {"mechanisms": {"propagation": second}}}


@pytest.mark.parametrize(
    ("first", "second", "smallest", "overlap"),
    [
        (_found(2, 1, 3), _found(5, 4, 6), "initiation", []),
        (_found(5, 4, 6), _found(2, 1, 4.5), "propagation", ["initiation"]),
        (_found(2, 1, 3), _found(5, 5, 5, "lower"), "initiation", []),
        (_found(5, 4, 6), _found(2, 2, 2, "lower"), None, []),
        (_found(2, 1, 3), _found(2, 2, 2, "lower"), "initiation", ["propagation"]),
        (_found(5, 4, 6), _found(2, 0, 2, "upper"), "propagation", []),
        (_found(2, 1, 3), _found(5, 0, 5, "upper"), None, []),
        (_found(2, 2, 2, "lower"), _found(5, 0, 5, "upper"), None, []),
        (_found(2, 1, 3), _found(5, 0, 9, "both"), None, []),
        (_found(2, 2, 2, "lower"), _found(5, 5, 5, "lower"), None, []),
        (_found(2, 2, 2, "upper"), _found(2, 2, 2), "initiation", ["propagation"]),
    ],
)
def test_the_smallest_is_told_only_where_it_is_known(first, second, smallest, overlap):
    found = beside(_both(first, second))
    assert (found["smallest"], found["overlap"]) == (smallest, overlap)
    told = "\n".join(beside_lines(found, []))
    assert ("is not known" in told) == (smallest is None)
    assert ("reaches into its own" in told) == bool(overlap)


def test_why_the_smallest_is_not_known_names_what_is_open():
    rows = [_found(2.0, 1.0, 3.0, mechanism="initiation"), _found(5.0, 0.0, 5.0, "upper", mechanism="propagation")]
    assert unknown(rows) == "that of propagation is only an upper bound"
    assert unknown([rows[0] | {"bound": "lower"}, rows[1] | {"bound": "lower"}]).count("a lower bound") == 2
    assert unknown([rows[0] | {"bound": "lower"}, rows[1] | {"bound": None}]) == "that of initiation is only a lower bound"


@pytest.mark.parametrize("bounds", itertools.product((None, "lower", "upper"), repeat=2))
@pytest.mark.parametrize("values", [(2.0, 5.0), (5.0, 2.0), (3.0, 3.0), (0.0, 4.0)])
def test_whatever_the_bounds_hide_what_is_told_is_true(values, bounds):
    """Every pair of true currents that the bounds allow: the one called the smallest is, and the bound of the smallest holds."""
    numbers = list(zip(values, bounds, strict=True))
    hidden = [{None: [v], "lower": [v, v + 1, v + 10], "upper": [v, v / 2, v / 10]}[bound] for v, bound in numbers]
    known, (value, bound) = smallest(numbers), least(numbers)
    firsts = set()
    for true in itertools.product(*hidden):
        assert known is None or true[known] == min(true)
        assert {None: min(true) == value, "lower": min(true) >= value, "upper": min(true) <= value}[bound]
        firsts |= {k for k in (0, 1) if true[k] < true[1 - k]}
    if known is None:  # and not for want of looking
        assert firsts == {0, 1}


def test_the_same_mechanism_twice_is_refused():
    one = {"mechanisms": {"initiation": _found(2, 1, 3)}}
    with pytest.raises(UserError, match="--beside: a and b both tell of initiation; give a case of the other kind"):
        beside({"a": one, "b": one})


def _ran(folder, name, mechanism, **more):
    folder.mkdir()
    shutil.copy(ROOT / "cases" / name / "case.toml", folder)
    (folder / "results").mkdir()
    ccd = _found(2.0, 1.0, 3.0, level=0.9, unit="mA/cm^2", mechanism=mechanism)
    told = {"mechanisms": {mechanism: ccd}, "ccd": ccd, "error_split": {}, "holds": [], "error_bar": {}}
    told |= {"closing_stress_MPa": 0.0, "hashes": {"case": load_any(folder).digest}}
    (folder / "results" / "summary.json").write_text(json.dumps(told))
    return folder


def _called(monkeypatch, capsys, *line):
    monkeypatch.setattr(sys, "argv", ["multiscale", *map(str, line)])
    cli._call()
    return capsys.readouterr().out


def test_the_command_tells_both_and_where_the_cells_differ(tmp_path, monkeypatch, capsys):
    one, two = _ran(tmp_path / "one", "li-lpscl", "initiation"), _ran(tmp_path / "two", "penny-flaw", "propagation")
    told = _called(monkeypatch, capsys, "ccd", one, "--beside", two)
    assert "initiation: 2 mA/cm^2 (1 to 3)" in told
    assert "geometry.electrolyte.material: Li6PS5Cl | LLZO" in told
    assert "conditions.stack_pressure: 5 MPa | 0 MPa" in told
    found = json.loads(_called(monkeypatch, capsys, "ccd", two, "--beside", one, "--json"))
    assert [row["mechanism"] for row in found["mechanisms"]] == ["propagation", "initiation"]
    keys = [row["key"] for row in differences([one, two])]
    assert "geometry.flaw.depth" in keys
    assert "interface.metal" not in keys
    assert not [key for key in keys if key.startswith(("physics", "protocol")) or "source" in key]
    (two / "case.toml").write_text((two / "case.toml").read_text().replace('"0 MPa"', '"1 MPa"'))
    with pytest.raises(UserError, match="has changed since"):
        _called(monkeypatch, capsys, "ccd", two, "--beside", one)
