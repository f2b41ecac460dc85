"""Whether the results of a design that is said to be done still lie there, whole: looked at whenever its status is read.

A design that ends well leaves the size and the time of the last change of each of its result files in its status. What is
unchanged since is believed at the price of a look at the file's entry in its folder; what was changed (or copied, or was finished
by a version that left no sizes) is read. A design whose results are gone or do not parse is to be computed again.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

FILES = ("best_values.json", "summary.json", "distribution.json")
"""Files that a design's answers are read from; which of them it has follows from its fidelity."""
ANSWERS = ("best_values.json", "summary.json")
"""One of these a finished design always has."""
Stamps = Mapping[str, Sequence[int]]
"""File → its size, bytes, and the time of its last change, ns."""


def entry(path: str | Path) -> list[int] | None:
    """Size and time of the last change of a file, or None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def stamps(design: Path) -> dict[str, list[int]]:
    """What there is of `FILES` in the results of a design."""
    found = {name: entry(f"{design}/results/{name}") for name in FILES}
    return {name: at for name, at in found.items() if at is not None}


def damage(design: str | Path, left: Stamps) -> str | None:
    """Which result file of a finished design is gone or cannot be read, in words; None where all are whole.

    Args:
        design: its folder. left: what its status holds of the files; empty for one that was finished by an earlier version.
    """
    for name, at in left.items():
        path = f"{design}/results/{name}"
        now = entry(path)
        if now is None:
            return f"its result file {name} is gone"
        if now != list(at) and (told := unreadable(Path(path))):
            return told
    if left:
        return None
    there = [name for name in ANSWERS if entry(f"{design}/results/{name}")]
    if not there:
        return f"its results are gone (no {' or '.join(ANSWERS)})"
    return next((told for name in there if (told := unreadable(Path(f"{design}/results/{name}")))), None)


def discard(design: Path) -> None:
    """Remove what is left of the result files of a design that is to be computed again: halves of two runs must not mix."""
    for name in FILES:
        (design / "results" / name).unlink(missing_ok=True)


def unreadable(path: Path) -> str | None:
    """Why a result file does not parse or lacks what it must hold, or None."""
    from multiscale.result_shapes import shape_of

    try:
        text = path.read_text(encoding="utf-8")
        shape_of(path.name).validate_json(text)
    except (OSError, ValueError) as error:
        return f"its result file {path.name} is damaged ({str(error).splitlines()[0]})"
    return None
