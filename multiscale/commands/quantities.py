"""Options of commands that are quantities with units."""

from collections.abc import Sequence

from coupling.errors import UserError
from coupling.units import UnitError, to_si


def quantity(option: str, text: str, unit: str, least: float | None = None) -> float:
    """Value of an option in an SI unit. Raises UserError that names the option."""
    try:
        value = to_si(text, unit)
    except UnitError as error:
        raise UserError(f"{option}: {error}") from None
    if least is not None and not value > least:
        raise UserError(f'{option}: read "{text}"; it must be above {least:g}{"" if unit == "1" else " " + unit}')
    return value


def named(option: str, texts: Sequence[str] | None, unit: str) -> dict[str, float]:
    """Values of repeated NAME=VALUE options, all positive. Raises UserError."""
    found: dict[str, float] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise UserError(f'{option}: read "{text}"; write NAME=VALUE')
        if name.strip() in found:
            raise UserError(f"{option}: {name.strip()} is given twice")
        found[name.strip()] = quantity(f"{option} {name.strip()}", value.strip(), unit, 0.0)
    return found
