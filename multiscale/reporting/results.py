"""The results of a run as a report reads them: the summary of its kind, and one message for whatever is damaged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coupling.errors import UserError


def read_summary(results: Path, case: Path, kind: str) -> dict[str, Any]:
    """The summary.json of a run of a kind. Raises UserError: not there yet, damaged, or of another kind."""
    path = results / "summary.json"
    if not path.is_file():
        raise UserError(f"{path}: not there yet; `multiscale run {case}` makes it")
    with whole(results, case, kind):
        summary = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(summary, dict) or summary.get("kind") != kind:
            raise ValueError("its summary.json is of another kind")
        return summary


@contextmanager
def whole(results: Path, case: Path, kind: str) -> Iterator[None]:
    """What goes wrong inside means that the results are damaged. Raises UserError with the mend."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        told = f"{results}: not the results of a {kind} run, or damaged ({error})"
        raise UserError(f"{told}; delete its summary.json and run `multiscale run {case}` again") from None
