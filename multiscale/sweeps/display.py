"""What a running sweep shows: a bar with the estimated end on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from multiscale.progress import duration

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


@dataclass(frozen=True)
class Tally:
    """How many designs a sweep has, how many are done or have failed, how many run now, and how many were done before."""

    designs: int
    done: int = 0
    failed: int = 0
    running: int = 0
    before: int = 0

    @property
    def over(self) -> int:
        """Designs that need nothing more."""
        return self.done + self.failed


class Display:
    """Shows tallies. `stream` is where to; silent where it is None."""

    def __init__(self, stream: TextIO | None = None, every_s: float = EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._start = time.monotonic()
        self._told = self._start
        self._bar: Progress | None = None

    @contextlib.contextmanager
    def open(self, designs: int) -> Iterator[None]:
        """Show the progress of so many designs until the block ends."""
        self._start = self._told = time.monotonic()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(file=self._stream or sys.stderr, highlight=False)
        if self._stream is None or not console.is_terminal:
            yield
            return
        words = TextColumn("{task.description}")
        columns = (TextColumn(" sweep"), BarColumn(28), MofNCompleteColumn(), words, TimeElapsedColumn())
        with Progress(*columns, console=console) as self._bar:
            self._bar.add_task("", total=designs)
            yield
        self._bar = None

    def show(self, tally: Tally) -> None:
        """A new tally."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=tally.over, description=self.words(tally))
        elif self._stream is not None and time.monotonic() - self._told >= self._every_s:
            self._told = time.monotonic()
            self.say(f"{tally.over} of {tally.designs} · {self.words(tally)}")

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.console.print(f" sweep       {text}", markup=False)
        elif self._stream is not None:
            print(f" sweep       {text}", file=self._stream, flush=True)

    def words(self, tally: Tally) -> str:
        """'3 running · 1 failed · about 12 min left'."""
        parts = [f"{tally.running} running"] + ([f"{tally.failed} failed"] if tally.failed else [])
        left = seconds_left(tally, time.monotonic() - self._start)
        return " · ".join(parts + ([f"about {duration(left)} left"] if left is not None else []))


def seconds_left(tally: Tally, elapsed: float) -> float | None:
    """Estimated time to the end, from what was finished since the start; None while nothing was."""
    finished = tally.over - tally.before
    return (tally.designs - tally.over) * elapsed / finished if finished > 0 else None
