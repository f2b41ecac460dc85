"""What every group of commands shares: printing on one rank, and options that are the same everywhere."""

import json
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale import parallel

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
LONGEST_INTERVAL = 1e-6
"""Longest time between two frames that is believed, s."""


def show(text: str) -> None:
    """Print on rank 0."""
    if parallel.rank() == 0:
        print(text, flush=True)


def show_json(value: Any) -> None:
    """Print JSON on rank 0."""
    show(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def frame_interval(text: str) -> float:
    """The time between two frames of a trajectory, s (`--timestep`). Raises UserError, also on what no trajectory has."""
    if not text.strip().lstrip("+-").replace(".", "", 1).isdigit():
        seconds = quantity_of("--timestep", text, "s")
        if seconds < LONGEST_INTERVAL:
            return seconds
        raise UserError(f'--timestep: read "{text}"; frames of molecular dynamics lie less than 1 us apart, "10 fs" say')
    raise UserError(f'--timestep: read "{text}" without a unit; write for example "{text.strip()} fs"')


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
