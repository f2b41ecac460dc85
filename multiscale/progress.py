"""What a run says while it works: one line a step, on rank 0 only."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

Update = Callable[[str, float], None]
"""Report of progress: label of a task, done fraction between 0 and 1."""


class Narrator:
    """Tells the stages of a run; silent on every rank but 0.

    Args:
        speaks: whether this rank speaks.
        stream: where to.
        every_s: on a stream that is no terminal, seconds between two lines of one task.
    """

    def __init__(self, speaks: bool, stream: TextIO | None = None, every_s: float = 30.0) -> None:
        self.speaks, self.every_s = speaks, every_s
        self.stream = stream or sys.stdout
        self._start = time.monotonic()

    @functools.cached_property
    def _console(self) -> "Console":
        from rich.console import Console  # a tenth of a second, for those who show progress alone

        return Console(file=self.stream, highlight=False)

    def say(self, stage: str, text: str) -> None:
        """One line: stage and what happened."""
        if self.speaks:
            print(f" {stage:<11s} {text}", file=self.stream, flush=True)

    def seconds(self) -> float:
        """Wall time since this narrator was made, s."""
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def watch(self, stage: str) -> Iterator[Update]:
        """Progress of a stage: bars on a terminal, lines now and then elsewhere."""
        if not self.speaks:
            yield lambda label, done: None
        elif self._on_screen():
            with self._bars(stage) as update:
                yield update
        else:
            yield self._lines(stage)

    def _on_screen(self) -> bool:
        """Whether lines can be redrawn. mpirun's own terminal has no width: it may lead into a file."""
        if not self._console.is_terminal:
            return False
        try:
            return os.get_terminal_size(self.stream.fileno()).columns > 0
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def _bars(self, stage: str) -> Iterator[Update]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        what = TextColumn(" {task.fields[stage]:<11s} {task.description}")
        columns = (what, BarColumn(24), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True, speed_estimate_period=600.0) as progress:
            rows: dict[str, TaskID] = {}

            def update(label: str, done: float) -> None:
                if label not in rows:
                    rows[label] = progress.add_task(label, total=1.0, stage=stage)
                progress.update(rows[label], completed=done, visible=done < 1.0)
                if done >= 1.0:
                    progress.console.print(f" {stage:<11s} {label}: done", markup=False)

            yield update

    def _lines(self, stage: str) -> Update:
        first: dict[str, float] = {}
        last: dict[str, float] = {}
        begun: dict[str, tuple[float, float]] = {}  # first share above zero, which an earlier run may have reached, and when

        def update(label: str, done: float) -> None:
            now = time.monotonic()
            first.setdefault(label, now)
            if done > 0:
                begun.setdefault(label, (done, now))
            if done < 1.0 and now - last.get(label, first[label]) < self.every_s:
                return
            if done >= 1.0 and last.get(label) == float("inf"):
                return
            last[label] = float("inf") if done >= 1.0 else now
            share, since = begun.get(label, (1.0, now))
            left = (now - since) * (1.0 - done) / (done - share) if done - share > 0.005 else 0.0
            told = "done" if done >= 1.0 else f"{done:.0%}" + (f", about {duration(left)} left" if left else "")
            self.say(stage, f"{label}: {told}")

        return update


def duration(seconds: float) -> str:
    """'42 s', '3 min 20 s' or '2 h 5 min'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
