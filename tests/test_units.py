"""The one border between units: exact factors, round trips, and what is refused."""

import numpy as np
import pytest
from ase import units as ase_units

from coupling import units
from coupling.units import UnitError, to_si


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1 mA/cm^2", "A/m^2", 10.0),
        ("14 ohm cm^2", "ohm m^2", 14e-4),
        ("1 S/cm", "S/m", 100.0),
        ("25 degC", "K", 298.15),
        ("1.25 MPa m^0.5", "Pa m^0.5", 1.25e6),
        ("28.17 cm^3/mol", "m^3/mol", 28.17e-6),
        ("37 kJ/mol", "J/mol", 37e3),
        ("0.5", "1", 0.5),
    ],
)
def test_texts_become_si(text, unit, value):
    assert to_si(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        ("5", "m", "without a unit"),
        ("5 MPa", "m", "cannot be expressed in m"),
        ("5 furlongz", "m", "known unit"),
        ("nan m", "m", "finite"),
        ("inf m", "m", "finite"),
        ("", "m", "known unit"),
        ("five um", "m", "known unit"),
    ],
)
def test_what_is_no_quantity_is_refused(text, unit, said):
    with pytest.raises(UnitError, match=said):
        to_si(text, unit)


@pytest.mark.parametrize(
    ("convert", "ase_unit", "si_unit"),
    [
        (units.pressure_to_si, "eV/angstrom^3", "Pa"),
        (units.surface_energy_to_si, "eV/angstrom^2", "J/m^2"),
        (units.diffusivity_to_si, "angstrom^2/fs", "m^2/s"),
        (units.length_to_si, "angstrom", "m"),
        (units.energy_to_si, "eV", "J"),
    ],
)
def test_ase_units_round_trip(convert, ase_unit, si_unit):
    for value in np.geomspace(1e-12, 1e12, 25):
        there = convert(value)
        assert there == pytest.approx(units.convert(value, ase_unit, si_unit), rel=1e-9)
        assert units.convert(there, si_unit, ase_unit) == pytest.approx(value, rel=1e-9)


def test_pressure_agrees_with_ase():
    assert units.pressure_to_si(ase_units.GPa) == pytest.approx(1e9, rel=1e-6)
