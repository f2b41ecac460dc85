"""What every group of commands shares: printing on one rank, and options that are the same everywhere."""

import json
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale import parallel

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def show(text: str) -> None:
    """Print on rank 0."""
    if parallel.rank() == 0:
        print(text, flush=True)


def show_json(value: Any) -> None:
    """Print JSON on rank 0."""
    show(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def quantity_of(option: str, text: str, unit: str) -> float:
    """An option's positive value in the SI unit. Raises UserError naming the option."""
    from coupling.units import UnitError, to_si

    try:
        value = to_si(text, unit)
    except UnitError as error:
        raise UserError(f"{option}: {error}") from None
    if value <= 0:
        raise UserError(f'{option}: read "{text}"; it must be positive')
    return value
