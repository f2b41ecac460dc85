"""From model runs to the answer: the closure's error, the coarse mesh's correction, stale results."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_case
from launch import multiscale

from multiscale.critical_current.answer import CLOSURE, Reference, _with_closure


@dataclasses.dataclass(frozen=True)
class Found:
    samples: np.ndarray
    error_split: dict


def reference(free: float, stalled: float) -> Reference:
    return Reference({"current_density": free, "bound": None}, stalled, {}, 0, 0)


def test_the_closure_widens_downwards_by_its_own_share():
    rng = np.random.default_rng(0)
    found = Found(np.exp(0.5 * rng.standard_normal(200_000)), {"input": 1.0})
    samples, split = _with_closure(found, reference(np.e, 1.0), seed=1)
    assert np.log(samples).mean() == pytest.approx(-0.5, abs=0.01)
    assert np.log(samples).var() == pytest.approx(0.25 + 1 / 12, rel=0.02)
    assert split[CLOSURE] == pytest.approx((1 / 12) / (0.25 + 1 / 12), rel=0.02)
    assert sum(split.values()) == pytest.approx(1.0)


def test_equal_closures_change_nothing():
    found = Found(np.array([1.0, 2.0, 3.0]), {"input": 1.0})
    samples, split = _with_closure(found, reference(2.0, 2.0), seed=1)
    np.testing.assert_array_equal(samples, found.samples)
    assert split[CLOSURE] == 0.0


def test_results_of_another_state_of_the_case_are_refused(tmp_path):
    folder = tiny_case.write(tmp_path / "case")
    results = folder / "results"
    results.mkdir()
    ccd = {"value": 1.0, "low": 0.5, "high": 2.0, "level": 0.9, "unit": "mA/cm^2", "mechanism": "initiation"}
    summary = {"ccd": ccd, "error_split": {}, "hashes": {"case": "0" * 16}}
    (results / "summary.json").write_text(json.dumps(summary))
    for command in ("ccd", "report", "compare"):
        done = multiscale(command, folder)
        assert done.returncode == 2
        assert "has changed since" in done.stderr
