"""A propagation test that changes temperature: the shipped numbers by Arrhenius, and refusals where none is known."""

import math

import pytest
from launch import ROOT
from refusals import told_with_its_line
from test_propagation import CASE, _case
from test_short_criteria import CELL, RAMP

from multiscale.parameters import draw, nominal
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.inputs import at_temperatures, inputs_at, parameters, resolve

GAS, ROOM = 8.314462618, 298.15
STEP = 'kind = "steps"\nstep = [{{ current = "10 mA/cm^2", time = "20 s", temperature = "{}" }}]'
I0, LLZO = (128.0, 35.7e3), (0.1, 31.8e3)
"""Value at 25 °C and activation energy (J/mol) in the shipped files."""


def _at(number, kelvin, energy=None):
    value, stated = number
    return value * math.exp(-(energy or stated) / GAS * (1 / kelvin - 1 / ROOM))


def _stepped(folder, degrees, changes=None):
    return load_propagation_case(_case(folder, CELL | {RAMP: STEP.format(degrees)} | (changes or {})))


@pytest.mark.parametrize(("degrees", "kelvin"), [("60 degC", 333.15), ("30 degC", 303.15), ("-10 degC", 263.15)])
def test_a_step_has_its_own_kinetics_and_conductivity(tmp_path, degrees, kelvin):
    inputs = resolve(_stepped(tmp_path / "a", degrees))
    exchange, ratio = inputs.filament.elsewhere[kelvin]
    assert (inputs.filament.exchange_current_density, inputs.conductivity) == (128.0, 0.1)
    assert exchange == pytest.approx(_at(I0, kelvin), rel=1e-9)
    assert ratio == pytest.approx(_at(LLZO, kelvin) / 0.1, rel=1e-9)
    whole = resolve(load_propagation_case(_case(tmp_path / "b", {'"25 degC"': f'"{degrees}"'})))
    assert whole.filament.exchange_current_density == pytest.approx(exchange, rel=1e-9)
    assert whole.conductivity == pytest.approx(0.1 * ratio, rel=1e-9)
    assert whole.filament.elsewhere == {}


def test_at_the_temperature_of_the_files_nothing_is_scaled():
    found = parameters(load_propagation_case(CASE))
    assert not [key for key in found if "activation_energy" in key]


def test_an_activation_energy_carries_its_error_to_the_other_temperature(tmp_path):
    case = _stepped(tmp_path, "60 degC")
    found = parameters(case)
    best = {key: float(values[0]) for key, values in nominal(found).items()}
    high = inputs_at(case, found, best | {"Li-LLZO-interface.activation_energy": 43.4e3}).filament
    assert high.exchange_current_density == 128.0
    assert high.elsewhere[333.15][0] == pytest.approx(_at(I0, 333.15, 43.4e3), rel=1e-9)
    drawn = draw(found, 500, 1)["LLZO.activation_energy"]
    assert 25e3 < drawn.min() < 30e3
    assert 34e3 < drawn.max() < 40e3
    twice = inputs_at(case, found, best | {"Li-LLZO-interface.exchange_current_density": 256.0}).filament
    assert twice.elsewhere[333.15][0] == pytest.approx(2 * _at(I0, 333.15), rel=1e-9)


def _own_interface(folder, records):
    text = (ROOT / "cases" / "_materials" / "Li-LLZO-interface.toml").read_text(encoding="utf-8")
    kept = text.replace('name = "Li-LLZO-interface"', 'name = "Own"').split("[[property]]")
    kept = [part for part in kept if 'quantity = "activation_energy"' not in part]
    (folder / "materials").mkdir(parents=True)
    (folder / "materials" / "Own.toml").write_text("[[property]]".join(kept) + records, encoding="utf-8")
    return {'charge_transfer = "Li-LLZO-interface"': 'charge_transfer = "Own"'}


@pytest.mark.parametrize("degrees", ["60 degC", "27 degC"])
def test_a_step_without_activation_energy_is_refused(tmp_path, degrees):
    """Also near the file's temperature, where the number would stand for a case: a change of it is what the step asks for."""
    changes = _own_interface(tmp_path, "")
    said = "exchange_current_density of Own is not known at .* add a .*activation_energy, or exchange_current_density at that"
    told_with_its_line(lambda: resolve(_stepped(tmp_path, degrees, changes)), said)
    there = _case(tmp_path, changes | {'"25 degC"': '"60 degC"'})
    told_with_its_line(lambda: resolve(load_propagation_case(there)), "the file states no activation_energy")


def test_a_record_nearer_to_the_step_comes_first(tmp_path):
    """Stated at 60 °C: taken as it stands there, and scaled from there at 70 °C once an activation energy is stated."""
    warm = (
        '\n[[property]]\nquantity = "exchange_current_density"\nvalue = "500 A/m^2"\nconditions = { temperature = "60 degC" }\n'
        'kind = "measured"\nsource = "test"\nconfidence = "low"\ngrade = "C"\n'
    )
    energy = (
        '\n[[property]]\nquantity = "activation_energy"\nvalue = "40 kJ/mol"\nkind = "measured"\nsource = "test"\n'
        'confidence = "low"\ngrade = "C"\n'
    )
    plain = _stepped(tmp_path / "a", "60 degC", _own_interface(tmp_path / "a", warm))
    assert resolve(plain).filament.elsewhere[333.15][0] == pytest.approx(500.0, rel=1e-9)
    case = _stepped(tmp_path / "b", "70 degC", _own_interface(tmp_path / "b", warm + energy))
    found = at_temperatures(case, {key: float(v[0]) for key, v in nominal(parameters(case)).items()})
    assert found[343.15][0] == pytest.approx(500.0 * math.exp(-40e3 / GAS * (1 / 343.15 - 1 / 333.15)), rel=1e-9)
    assert found[ROOM][0] == 128.0
