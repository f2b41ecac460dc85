"""`multiscale impedance` as a user calls it, and refusals of wrong input."""

import json
import math
import re

import numpy as np
import pytest
import tiny_case
from launch import ROOT, multiscale

CASE = ROOT / "cases" / "li-lpscl"


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory):
    folder = tmp_path_factory.mktemp("impedance")
    case = tiny_case.write(folder / "case")
    stated = ("--capacitance", "lithium=0.1 F/m^2", "--permittivity", "interphase=1000", "--permittivity", "grain=15")
    done = multiscale("impedance", case, "--no-md", *stated, "--from", "1 Hz", "--per-decade", "2", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), case


def test_impedance_of_a_case_is_split_and_read_out(spectrum):
    answer, _ = spectrum
    assert answer["unit"] == "ohm cm^2"
    f, Z = np.array(answer["frequencies_Hz"]), np.array(answer["real"]) + 1j * np.array(answer["imaginary"])
    parts = {p["place"]: np.array(p["real"]) + 1j * np.array(p["imaginary"]) for p in answer["parts"]}
    assert sum(parts.values()) == pytest.approx(Z, rel=1e-9)
    values = {row["key"]: row["value"] for row in answer["parameters"]}
    i0 = values["Li-Li6PS5Cl-interface.exchange_current_density"]
    transfer = 1e4 * 8.314462618 * values["conditions.temperature"] / 96485.33212 / i0
    expected = transfer / (1 + 2j * np.pi * f * 0.1 * transfer / 1e4)
    assert parts["lithium"] == pytest.approx(expected, rel=1e-6)
    assert parts["interphase"][np.argmin(f)].real > 10 * parts["grain"][np.argmin(f)].real
    assert {origin["place"] for arc in answer["circuit"]["arcs"] for origin in arc["origin"]} >= {"lithium", "interphase"}
    assert answer["circuit"]["misfit"] < 1e-2


def test_files_are_written(spectrum):
    answer, case = spectrum
    assert json.loads((case / "results" / "impedance.json").read_text()) == answer
    assert (case / "results" / "impedance.png").stat().st_size > 20_000


WRONG = {
    "no value": (("--capacitance", "lithium"), "write NAME=VALUE"),
    "no unit": (("--capacitance", "lithium=1"), "--capacitance lithium: .*without a unit"),
    "unknown face": (("--capacitance", "lithum=1 F/m^2", "--no-md"), '--capacitance lithum: .*did you mean "lithium"'),
    "unknown layer": (("--permittivity", "grains=3", "--no-md"), '--permittivity grains: .*did you mean "grain"'),
    "negative": (("--permittivity", "grain=-2"), "must be above 0"),
    "upside down": (("--from", "10 Hz", "--to", "1 Hz"), "must lie above --from"),
    "too many": (("--per-decade", "50", "--from", "1e-9 Hz"), "at most 400"),
    "not for transport": (("--fine",), "critical-current cases"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused(wrong, tmp_path):
    options, told = WRONG[wrong]
    case = ROOT / "cases" / "polymer-ceramic" if wrong == "not for transport" else CASE
    done = multiscale("impedance", case, *options, "--out", tmp_path)
    assert done.returncode == 2
    assert not done.stdout


    assert re.search(told, done.stderr), done.stderr


def test_growth_of_a_layer():
    options = ("--law", "parabolic", "--constant", "1e-21 m^2/s", "--stderr", "2e-22 m^2/s", "--start", "5 nm", "--time", "1e6 s")
    done = multiscale("growth", "layer", *options, "--conductivity", "1e-5 S/m", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["thickness_m"] == pytest.approx(45e-9)
    assert row["low_m"] < 41e-9 < 49e-9 < row["high_m"]
    assert row["asr_ohm_cm2"] == pytest.approx(45.0)


def test_wagner_constant():
    """k = V σ U/(nF) for constant conductivities in series; where σ of electrons falls e-fold in 0.1 V, that stands for U."""
    options = ("growth", "wagner", "--electronic", "1e-9 S/m", "--ionic", "1e-9 S/m", "--molar-volume", "15 cm^3/mol",
               "--electrons", "2", "--drop", "1.7 V", "--json")  # fmt: skip
    k = json.loads(multiscale(*options).stdout)["parabolic_constant_m2_per_s"]
    assert k == pytest.approx(1.5e-5 * 0.5e-9 * 1.7 / (2 * 96485.33212), rel=1e-9)
    options = (*options[:4], "--ionic", "1 S/m", *options[6:], "--fold", "0.1 V")
    k = json.loads(multiscale(*options).stdout)["parabolic_constant_m2_per_s"]
    assert k == pytest.approx(1.5e-5 * 1e-9 * 0.1 * (1 - math.exp(-17)) / (2 * 96485.33212), rel=1e-6)


def test_coating_that_keeps_a_metal_out():
    options = ("--diffusivity", "1e-20 m^2/s", "--time", "10 h", "--share", "0.01")
    done = multiscale("growth", "coating", *options, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["thickness_open_m"] == pytest.approx(2 * np.sqrt(1e-20 * 36000) * 1.8213864, rel=1e-6)  # erfc⁻¹(0.01)
    assert answer["thickness_sealed_m"] > answer["thickness_open_m"]


WRONG_GROWTH = {
    "law": (("layer", "--law", "square", "--time", "1 s"), "--law square: parabolic, deal-grove, passivating"),
    "missing": (("layer", "--law", "deal-grove", "--linear", "2 nm", "--time", "1 s"), "needs --parabolic"),
    "foreign": (("layer", "--law", "parabolic", "--constant", "1 m^2/s", "--rate", "1 m/s", "--time", "1 s"), "not use --rate"),
    "share": (("coating", "--diffusivity", "1 m^2/s", "--time", "1 s", "--share", "2"), "between 0 and 1"),
    "half": (("coating", "--diffusivity", "1 m^2/s", "--time", "1 s", "--activation", "1 J/mol"), "go together"),
}


@pytest.mark.parametrize("wrong", WRONG_GROWTH)
def test_wrong_growth_is_refused(wrong):
    options, told = WRONG_GROWTH[wrong]
    done = multiscale("growth", *options)
    assert done.returncode == 2
    assert told in done.stderr


LEAK = ("--no-md", "--current", "0.5 mA/cm^2", "--electronic", "grain=1e-7 S/m", "--electronic", "boundary=1e-7 S/m")


def test_leakage_of_a_case(tmp_path):
    """Both currents of the flat cell in series: interphase and grains, electrons by their own conductivities."""
    case = tiny_case.write(tmp_path / "case")
    done = multiscale("leakage", case, *LEAK, "--electronic", "interphase=1e-9 S/m", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    electrons = answer["cell_voltage_V"] / (60e-9 / 1e-9 + 1.5e-6 / 1e-7)
    assert answer["electronic_share"] == pytest.approx(electrons / 5.0, rel=1e-6)
    assert answer["lowest_V"] < 0
    assert answer["place_m"][1] == pytest.approx(60e-9, rel=0.05)
    missing = multiscale("leakage", case, *LEAK)
    assert missing.returncode == 2
    assert "--electronic: interphase is missing" in missing.stderr


def test_stress_of_a_layer_that_swells():
    options = ("growth", "stress", "--volume-change", "9 %", "--youngs-modulus", "30 GPa", "--poissons-ratio", "0.25")
    done = multiscale(*options, "--thickness", "20 nm", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["stress_x_Pa"] == pytest.approx(-30e9 * 0.03 / 0.75)
    assert answer["swelling_1"] == pytest.approx(0.03 * 1.25 / 0.75)
    assert answer["energy_J_per_m2"] == pytest.approx(20e-9 * 30e9 * 0.03**2 / 0.75)
