"""What every group of commands shares: printing on one rank, and options that are the same everywhere."""

import json
from typing import Annotated, Any

import typer

from multiscale import parallel

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def show(text: str) -> None:
    """Print on rank 0."""
    if parallel.rank() == 0:
        print(text, flush=True)


def show_json(value: Any) -> None:
    """Print JSON on rank 0."""
    show(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
