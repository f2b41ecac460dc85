"""Every conversion of units in one place: text with a unit → SI, ASE units ↔ SI.

The continuum computes in SI, the atomistic side in ASE units (eV, Å, amu; time in fs where said); nothing else converts.
"""

import math
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

from coupling.constants import ELEMENTARY_CHARGE

EV_PER_CUBIC_ANGSTROM = ELEMENTARY_CHARGE * 1e30
"""One eV/Å³ in Pa."""
EV_PER_SQUARE_ANGSTROM = ELEMENTARY_CHARGE * 1e20
"""One eV/Å² in J/m²."""
SQUARE_ANGSTROM_PER_FEMTOSECOND = 1e-5
"""One Å²/fs in m²/s."""
ANGSTROM = 1e-10
"""One Å in m."""

_NAME = r"(?:[^\W\d]|[%°])+(?:(?:\^|\*\*)[+-]?\d{1,2}(?:\.\d{1,3})?)?"
_QUANTITY = re.compile(
    r"\s*[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?"
    rf"(?:\s*(?:1\s*/\s*|/\s*)?{_NAME}(?:(?:\s*[*/]\s*|\s+){_NAME})*)?\s*",
)
_NOT_FINITE = re.compile(r"\s*[+-]?(?:nan|inf|infinity)(?:\s+[^\W\d]+(?:\s*/\s*[^\W\d]+)*(?:\^[+-]?\d)?)?\s*", re.IGNORECASE)


@cache
def registry() -> "pint.UnitRegistry":
    """The one pint registry of the product (temperatures with offset units allowed)."""
    import pint  # a third of a second: most commands that read no quantity are over by then

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


class UnitError(ValueError):
    """A text that is not a quantity of the wanted dimension; the message says what was read and what is allowed."""


def to_si(text: str, unit: str) -> float:
    """Value of a text such as ``"1.8 mA/cm^2"`` expressed in `unit` (an SI unit string such as ``"A/m^2"``).

    Raises:
        UnitError: a bare number, an unknown unit, a wrong dimension, NaN or infinity.
    """
    try:
        if not (_QUANTITY.fullmatch(text) or _NOT_FINITE.fullmatch(text)):
            raise ValueError("not one number and one unit")
        quantity = registry().Quantity(text)
    except Exception as error:
        raise UnitError(f'read "{text}", which is not a number with a known unit; write for example "1 {unit}"') from error
    wanted = registry().Unit(unit)
    if quantity.dimensionless and not wanted.dimensionless:
        raise UnitError(f'read "{text}" without a unit; write for example "{text} {unit}"')
    if quantity.dimensionality != wanted.dimensionality:
        raise UnitError(f'read "{text}", which cannot be expressed in {unit}; write for example "1 {unit}"')
    value = float(quantity.to(wanted).magnitude)
    if not math.isfinite(value):
        raise UnitError(f'read "{text}", which is not a finite number')
    return value


def to_base(text: str) -> tuple[float, str]:
    """Value of a text such as ``"0.3 1/h"`` in SI base units, and that unit.

    Raises:
        UnitError: not one number and a known unit, NaN or infinity.
    """
    try:
        if not _QUANTITY.fullmatch(text):
            raise ValueError("not one number and one unit")
        quantity = registry().Quantity(text).to_base_units()
        value = float(quantity.magnitude)
    except Exception as error:
        raise UnitError(f'read "{text}", which is not a number with a known unit; write for example "0.5 1/s"') from error
    if not math.isfinite(value):
        raise UnitError(f'read "{text}", which is not a finite number')
    return value, f"{quantity.units:~C}" if not quantity.dimensionless else "1"


@cache
def base_dimensions(unit: str) -> dict[str, float]:
    """Power of each base dimension ("length", "time" …) in a unit; empty for a plain number."""
    return {name.strip("[]"): float(str(power)) for name, power in registry().Unit(unit).dimensionality.items()}


def told(value: float, unit: str) -> str:
    """A value in an SI unit as a person would write it: lengths in m, mm, um or nm."""
    if unit != "m" or value == 0.0:
        return f"{value:g} {unit}"
    size, name = next(((s, n) for s, n in ((1.0, "m"), (1e-3, "mm"), (1e-6, "um")) if abs(value) >= 0.999 * s), (1e-9, "nm"))
    return f"{value / size:.4g} {name}"


def convert(value: float, unit: str, to: str) -> float:
    """Value in unit `to` of `value` in `unit`. Raises pint.DimensionalityError when they are of different kinds."""
    return float(registry().Quantity(value, unit).to(to).magnitude)


def pressure_to_si(value: float) -> float:
    """Pa from eV/Å³."""
    return value * EV_PER_CUBIC_ANGSTROM


def surface_energy_to_si(value: float) -> float:
    """J/m² from eV/Å²."""
    return value * EV_PER_SQUARE_ANGSTROM


def diffusivity_to_si(value: float) -> float:
    """m²/s from Å²/fs."""
    return value * SQUARE_ANGSTROM_PER_FEMTOSECOND


def length_to_si(value: float) -> float:
    """M from Å."""
    return value * ANGSTROM


def energy_to_si(value: float) -> float:
    """J from eV."""
    return value * ELEMENTARY_CHARGE
