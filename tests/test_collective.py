"""Collective conductivity and Haven ratio of a diffusion run: known walks, bounds, records."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from scipy.signal import lfilter

from atomistic import reduction, tasks
from atomistic.scheduler import Task
from coupling.arrhenius import Point
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE

D = 2e-9
"""Self-diffusivity of the walkers, m²/s."""
ALIKE = 0.5
"""Covariance of the steps of two ions over the variance of one: the charge diffuses 1 + (N - 1) · 0.5 times as fast."""
RUN = Task("key", "Li2S diffusion", 1.0, "diffusion", {
    "phase": "Li2S", "mobile": "Li", "temperature": 600.0, "seed": 1, "dtype": "float32",
})  # fmt: skip
ANSWER = {"atoms": 9, "picoseconds": 40.0, "hops": 99, "reason": "", "cell": ""}


def walk(shared: float, frames: int = 4000, frame: float = 40.0) -> SimpleNamespace:
    """Run of six ions whose steps have a covariance `shared`, and a framework of three atoms that lies still."""
    rng = np.random.default_rng(7)
    width = np.sqrt(2 * D * 1e5 * frame)  # Å, of a step along one axis (1 m²/s is 1e5 Å²/fs)
    steps = np.sqrt(1 - shared) * rng.standard_normal((frames, 6, 3)) + np.sqrt(shared) * rng.standard_normal((frames, 1, 3))
    positions = np.concatenate([np.cumsum(width * steps, axis=0), np.zeros((frames, 3, 3))], axis=1)
    return SimpleNamespace(positions=positions, final=Atoms("Li6S3", positions[-1], cell=np.eye(3) * 10, pbc=True),
                           frame_interval=frame, temperatures=np.full(frames, 600.0))  # fmt: skip


@pytest.mark.parametrize(("shared", "factor"), [(0.0, 1.0), (ALIKE, 1 + 5 * ALIKE)])
def test_walkers_give_conductivity_and_haven_ratio(shared: float, factor: float) -> None:
    """Independent ions: Nernst–Einstein, H_R = 1. Ions that go together: the charge is faster by the stated factor."""
    found = tasks._collective(walk(shared), "Li")["collective"]
    assert found["bound"] is None
    assert abs(found["diffusivity"] - factor * D) < 3 * found["diffusivity_stderr"]
    expected = 6 / 1e-27 * ELEMENTARY_CHARGE**2 * factor * D / (BOLTZMANN * 600.0)
    assert abs(found["value"] - expected) < 3 * found["stderr"]
    point = Point(600.0, D, 0.05 * D)
    runs = [(RUN, ANSWER | {"collective": found})]
    records = reduction._collective("Li2S", runs, point, {"temperature_K": 600.0}, {"potential": "p"})
    assert [record.quantity for record in records] == ["ionic_conductivity", "haven_ratio"]
    assert records[1].stderr is not None
    assert abs(records[1].value - 1 / factor) < 3 * records[1].stderr
    assert records[1].source["method"] == "self-diffusivity over charge diffusivity"
    assert records[0].conditions == {"temperature_K": 600.0, "species": "Li"}


def test_ions_that_rattle_between_their_hops_have_no_ratio_below_one() -> None:
    """Independent ions in cages (0.8 Å, relaxed in 1 ps): D within three errors (which grow with the value), or a bound."""
    run = walk(0.0, 1500)
    rng, decay = np.random.default_rng(11), np.exp(-40.0 / 1000.0)
    cage = lfilter([0.8 * (1 - decay**2) ** 0.5], [1, -decay], rng.standard_normal((1500, 6, 3)), axis=0)
    run.positions = run.positions + np.concatenate([cage, np.zeros((1500, 3, 3))], axis=1)
    found = tasks._collective(run, "Li").get("collective")
    if found is not None and found["bound"] is None:
        assert abs(found["diffusivity"] / D - 1) < 3 * found["diffusivity_stderr"] / found["diffusivity"]


def test_ions_that_rattle_give_a_bound_and_no_ratio() -> None:
    """Positions that scatter about their sites: an upper bound of the conductivity."""
    run = walk(0.0)
    run.positions = np.random.default_rng(3).normal(0, 0.1, run.positions.shape) + run.positions[:1]
    found = tasks._collective(run, "Li")["collective"]
    assert (found["bound"], found["stderr"]) == ("upper", None)
    point = Point(600.0, D, bound="upper")
    records = reduction._collective("Li2S", [(RUN, ANSWER | {"collective": found})], point, {}, {"potential": "p"})
    assert [(record.quantity, record.bound) for record in records] == [("ionic_conductivity", "upper")]


def test_a_metal_and_runs_of_before_give_nothing() -> None:
    """No framework, no charge of its own; an answer without the numbers gives no record."""
    run = walk(0.0)
    run.positions, run.final = run.positions[:, :6], run.final[:6]
    assert tasks._collective(run, "Li") == {}
    assert reduction._collective("Li2S", [(RUN, ANSWER)], Point(600.0, D, 0.1 * D), {}, {"potential": "p"}) == []


def test_several_runs_are_weighted() -> None:
    """Two runs of one length, whose relative errors are alike: their plain mean; a bound beside them is dropped."""
    one = {"value": 1.0, "stderr": 0.1, "bound": None, "reason": "", "diffusivity": D, "diffusivity_stderr": 0.1 * D}
    other = one | {"value": 2.0, "stderr": 0.2}
    loose = one | {"value": 50.0, "bound": "upper", "stderr": None}
    runs = [(RUN, ANSWER | {"collective": each}) for each in (one, other, loose)]
    found = reduction._collective("Li2S", runs, Point(600.0, D, bound="upper"), {}, {"potential": "p"})
    assert found[0].value == pytest.approx(1.5)
    assert found[0].stderr == pytest.approx(0.1 * 1.5 / 2**0.5)
    assert len(found) == 1
