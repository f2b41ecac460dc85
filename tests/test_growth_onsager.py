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
        _read(str(path), "P-P", alone=True)
    with pytest.raises(UserError, match="needs its layer's thickness"):
        _read(str(path), "Li-Li", alone=False)
    with pytest.raises(UserError, match="no such file"):
        _read(str(tmp_path / "none.json"), "Li-Li", alone=True)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="not the JSON"):
        _read(str(path), "Li-Li", alone=True)
