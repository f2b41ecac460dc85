"""`multiscale growth onsager`: laws from made records of which the answer is known; refusals."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from coupling.constants import AVOGADRO
from coupling.errors import UserError
from multiscale.commands.growth_onsager import _read
from multiscale.transport.growth import Passivating, passivating_from_onsager

V, MU = 2e-5, 3e4


def record(path, coefficient, stderr=0.0):
    row = {"value": coefficient * AVOGADRO**2, "stderr": stderr * AVOGADRO**2, "unit": "1/(J*m*s)"}
    row |= {"conditions": {"species": "Li-Li"}}
    path.write_text(json.dumps({"onsager": row}), encoding="utf-8")
    return path


def call(*options):
    from multiscale.cli import app

    shared = ("--species", "Li-Li", "--affinity", "30 kJ/mol", "--molar-volume", "20 cm^3/mol", "--time", "100 s", "--json")
    return CliRunner().invoke(app, ["growth", "onsager", *map(str, options), *shared])


def test_one_coefficient_gives_the_parabolic_law(tmp_path):
    done = call("--record", record(tmp_path / "a.json", 1e-20, 1e-21), "--conductivity", "1e-5 S/m")
    answer = json.loads(done.stdout)
    k = V * 1e-20 * MU
    assert (answer["constant_m2_per_s"], answer["constant_stderr_m2_per_s"]) == pytest.approx((k, k / 10))
    L = math.sqrt(2 * k * 100)
    assert answer["rows"][0]["thickness_m"] == pytest.approx(L)
    assert answer["rows"][0]["asr_ohm_cm2"] == pytest.approx(1e4 * L / 1e-5)


def test_coefficients_that_fall_with_thickness_give_the_passivating_law(tmp_path):
    law = Passivating(3e-9, 2e-9)
    options = []
    for L in (2e-9, 4e-9, 8e-9):
        record(tmp_path / f"{L}.json", law.rate(L) * L / (V * MU))
        options += ["--record", f"{L} m={tmp_path / f'{L}.json'}"]
    answer = json.loads(call(*options).stdout)
    assert answer["law"] == "passivating"
    assert (answer["rate_at_start_m_per_s"], answer["decay_length_m"]) == pytest.approx((3e-9, 2e-9))
    assert answer["rows"][0]["thickness_m"] == pytest.approx(2e-9 * math.log1p(3e-9 * 100 / 2e-9))
    assert answer["misfit_1"] < 1e-12


def test_layers_that_do_not_passivate_and_wrong_files_are_refused(tmp_path):
    rising = [(L, 1e-20 * np.exp(L / 1e-9), 0.0) for L in (2e-9, 8e-9)]
    with pytest.raises(UserError, match="does not passivate"):
        passivating_from_onsager(rising, MU, V, 1, 0.0)
    with pytest.raises(UserError, match="at least two thicknesses"):
        passivating_from_onsager(rising[:1] * 2, MU, V, 1, 0.0)
    path = record(tmp_path / "a.json", 1e-20)
    with pytest.raises(UserError, match="holds no such coefficient; it has: Li-Li"):
        _read(str(path), "P-P", True, {})
    with pytest.raises(UserError, match="needs its layer's thickness"):
        _read(str(path), "Li-Li", False, {})
    with pytest.raises(UserError, match="no such file"):
        _read(str(tmp_path / "none.json"), "Li-Li", True, {})
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="not the JSON"):
        _read(str(path), "Li-Li", True, {})


def several(path):
    """Two materials, two frames, two ways, a bound first, and two depths that nothing else tells apart."""
    rows = []
    for number, (material, frame, kelvin, method, deep, bound) in enumerate([
        ("X", "S", 600.0, "einstein: an upper bound (95 %)", None, "upper"), ("X", "S", 700.0, "einstein", None, None),
        ("X", "barycentric", 700.0, "einstein", None, None), ("X", "S", 700.0, "green-kubo", None, None),
        ("Y", "S", 700.0, "einstein", [0.0, 1e-9], None), ("Y", "S", 700.0, "einstein", [1e-9, 2e-9], None),
    ], 1):  # fmt: skip
        where = {"species": "Li-Li", "frame": frame, "temperature_K": kelvin} | ({"depths_m": deep} if deep else {})
        row = {"material": material, "value": number * 1e-20 * AVOGADRO**2, "bound": bound, "conditions": where}
        rows.append(row | {"quantity": "onsager_coefficient", "source": {"method": method}})
    path.write_text(json.dumps({"records": rows}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("asked", "row"), [
    (("--material", "X", "--temperature", "700 K", "--frame", "S", "--method", "einstein"), 2), (("--frame", "barycentric"), 3),
    (("--method", "green-kubo"), 4),
])  # fmt: skip
def test_of_several_rows_the_one_that_is_asked_for_counts(tmp_path, asked, row):
    path = several(tmp_path / "a.json")
    answer = json.loads(call("--record", path, *asked).stdout)
    assert answer["constant_m2_per_s"] == pytest.approx(V * row * 1e-20 * MU)
    assert json.loads(call("--record", f"{path}#{row}").stdout) == answer


def test_several_rows_that_fit_are_refused_and_listed(tmp_path):
    path = several(tmp_path / "a.json")
    told = str(call("--record", path).exception)
    assert "6 coefficients of Li-Li; choose by --material, --frame" in told
    assert f"a.json#1: X, frame S, 600 K, einstein, {1e-20 * AVOGADRO**2:.4g} a bound" in told
    told = str(call("--record", path, "--material", "Y").exception)
    assert told.count("\n") == 2
    assert "a.json#6: Y, frame S, 700 K, einstein, 1 … 2 nm deep" in told
    assert "is a bound" in str(call("--record", f"{path}#1").exception)
    told = str(call("--record", path, "--material", "Z").exception)
    assert "no coefficient of Li-Li is as asked for" in told
    assert told.count("a.json#") == 6
