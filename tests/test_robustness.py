"""Odd inputs and half-done work end in one clear line or in recomputation."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from test_dynamics import SHORT, argon, potential

from atomistic import dynamics
from coupling.errors import RunFailure
from coupling.units import UnitError, to_si
from multiscale.critical_current.sampling import run_all


@pytest.mark.parametrize("text", ["9**9**9**9 um", "2 um um/um + 1 nm", "2*3 um", "(1) um", "1 um 2 um"])
def test_expressions_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="not a number with a known unit"):
        to_si(text, "m")


def test_kept_failure_is_computed_again(tmp_path: Path) -> None:
    def fails(point: object, number: int) -> tuple[float, None]:
        raise RunFailure("broken")

    points = [{"a": 1.0}, {"a": 2.0}]
    with pytest.raises(RunFailure, match="run the same command again"):
        run_all(points, fails, tmp_path, "key")
    assert [run.value for run in run_all(points, lambda point, number: (3.0, None), tmp_path, "key")] == [3.0, 3.0]


def test_one_failure_among_few_is_allowed(tmp_path: Path) -> None:
    def model(point: object, number: int) -> tuple[float, None]:
        if number == 0:
            raise RunFailure("broken")
        return 1.0, None

    runs = run_all([{"a": 1.0}, {"a": 2.0}, {"a": 3.0}], model, tmp_path, "key")
    assert [run.failure for run in runs] == ["broken", None, None]


@pytest.mark.parametrize("header", [b"", b"{", b"{}", b"[1]", b"\xff\xfe", None])
def test_dynamics_without_a_readable_header_start_anew(tmp_path: Path, header: bytes | None) -> None:
    """What lies there may be of any run, here one of another seed: it is not gone on with."""
    settings = dataclasses.replace(SHORT, picoseconds=0.4, checkpoint_interval=200)
    wanted = dynamics.run(argon(), potential(), settings, tmp_path / "wanted")
    folder = tmp_path / "run"
    dynamics.run(argon(), potential(), dataclasses.replace(settings, seed=settings.seed + 1), folder)
    if header is None:
        (folder / "run.json").unlink()
    else:
        (folder / "run.json").write_bytes(header)
    again = dynamics.run(argon(), potential(), settings, folder)
    assert np.array_equal(again.positions, wanted.positions)
