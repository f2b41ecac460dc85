"""What a run says: on one rank, one line a step, with the time left."""

import io
import time

import pytest

from multiscale.progress import Narrator, duration


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.6, "1 min 0 s")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_only_one_rank_speaks():
    stream = io.StringIO()
    silent = Narrator(False, stream)
    silent.say("stage", "text")
    with silent.watch("stage") as update:
        update("task", 1.0)
    assert stream.getvalue() == ""


def test_lines_are_few_and_end_with_done():
    stream = io.StringIO()
    with Narrator(True, stream, every_s=1e9).watch("stage") as update:
        for step in range(100):
            update("task", step / 100)
        update("task", 1.0)
        update("task", 1.0)
    assert stream.getvalue().split() == ["stage", "task:", "done"]


def test_time_left_is_told():
    stream = io.StringIO()
    with Narrator(True, stream, every_s=0.0).watch("stage") as update:
        update("task", 0.1)
        time.sleep(0.01)
        update("task", 0.5)
    assert "task: 50%, about 0 s left" in stream.getvalue()


def test_time_left_of_a_resumed_task_counts_what_this_run_does(monkeypatch):
    """Half was there before: the first tenth of this run took 10 s, so 40 s are left."""
    clock = iter([0.0, 0.0, 1.0, 11.0])
    stream = io.StringIO()
    narrator = Narrator(True, stream, every_s=5.0)
    monkeypatch.setattr("multiscale.progress.time.monotonic", lambda: next(clock))
    with narrator.watch("stage") as update:
        update("task", 0.0)
        update("task", 0.0)
        update("task", 0.5)
        update("task", 0.6)
    assert stream.getvalue().split("\n")[:-1] == [" stage       task: 60%, about 40 s left"]
