"""Free energy of the cluster size and attachment rate of an unbiased run: known answers, coverage, the command."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy import stats
from scipy.signal import lfilter
from test_observable_commands import ask

from atomistic import cluster_reading, nucleation
from atomistic.clusters import ClusterSettings, sizes
from coupling.constants import BOLTZMANN
from coupling.errors import UserError

T = 600.0


def wandering(random: np.random.Generator, count: int = 2000, memory: float = 0.8, width: float = 1.5) -> np.ndarray:
    """Sizes (count,) about 20 that follow each other as an Ornstein–Uhlenbeck process does."""
    white = random.standard_normal(count)
    white[1:] *= np.sqrt(1 - memory**2)
    return 20 + width * np.asarray(lfilter([1.0], [1.0, -memory], white))


def test_free_energy_is_that_of_the_distribution_and_its_error_covers() -> None:
    """200 runs of Gaussian sizes in memory of each other: -k_B T ln of the known share of every bin of an atom."""
    random, hits = np.random.default_rng(0), []
    for _ in range(200):
        found = cluster_reading.unbiased(wandering(random), T)
        near = (np.abs(found.grid - 20) < 3) & np.isfinite(found.stderr)
        ends = (found.grid[near, None] + [-0.5, 0.5] - 20) / 1.5
        away = np.abs(found.values[near] + BOLTZMANN * T * np.log(np.diff(stats.norm.cdf(ends), axis=1)[:, 0]))
        hits += list(zip(away < found.stderr[near], away < 1.96 * found.stderr[near], strict=True))
    one, two = np.mean(hits, axis=0)
    assert 0.60 <= one <= 0.76
    assert 0.90 <= two <= 0.98


def test_attachment_is_a_rate_or_a_bound() -> None:
    """A walk of known D; sizes that only rattle have no rate, but a bound that is above zero."""
    random, step, rate = np.random.default_rng(1), 1e-14, 4e12
    walk = 50 + np.cumsum(random.normal(0, np.sqrt(2 * rate * step), 4000))
    found = cluster_reading.attachment_record(walk, step, "Li", {}, {"made": "up"})
    assert found.bound is None
    assert found.stderr is not None
    assert abs(found.value - rate) < 3 * found.stderr
    still = cluster_reading.attachment_record(20 + random.normal(0, 0.2, 400), step, "Li", {}, {"made": "up"})
    assert (still.bound, still.stderr, still.value > 0) == ("upper", None, True)
    with pytest.raises(UserError, match="more than 20 frames"):
        cluster_reading.attachment_record(walk[:15], step, "Li", {}, {"made": "up"})


def test_barrier_is_that_of_a_nucleation_study() -> None:
    """Sizes that only rise from their foot have a lower bound of the barrier, by the same reading of F(n)."""
    series = np.abs(np.random.default_rng(2).laplace(0, 2.0, 20_000))
    free = cluster_reading.unbiased(series, T)
    record = cluster_reading.barrier(free, series, 1e-14, T, "Li", {"made": "up"})
    joining = nucleation.Attachment(1.0, 0.0, np.zeros(0), np.zeros(0))
    known = nucleation.waiting_time(free, joining, 0.0, BOLTZMANN * T)
    assert record.bound == "lower"
    assert record.value == pytest.approx(known.barrier - 1.645 * known.barrier_stderr, rel=1e-3)
    assert "an unbiased run" in record.source["method"]


def test_a_size_that_stays_has_a_bound_of_the_barrier_and_no_free_energy() -> None:
    """Between 6 and 7 atoms in every frame: no larger cluster was seen, and a single size has no F(n)."""
    series = 6.5 + np.random.default_rng(4).uniform(-0.4, 0.4, 400)
    free = cluster_reading.unbiased(series, T)
    record = cluster_reading.barrier(free, series, 1e-14, T, "Li", {"made": "up"})
    assert (record.bound, record.conditions["critical_size"], record.value > 0) == ("lower", 7.0, True)
    with pytest.raises(UserError, match="stayed between 6 and 7 atoms"):
        cluster_reading.free_energy_records(free, "Li", {}, {"made": "up"})


def breathing(count: int = 50) -> list[Atoms]:
    """A ball of lithium that loses and takes up atoms at its rim, in a cell of lithium gas and sulfur."""
    random, start = np.random.default_rng(3), bulk("Li", "bcc", a=3.5, cubic=True).repeat((5, 5, 6))
    start.symbols[start.positions[:, 2] < 5] = "S"
    made = []
    for _ in range(count):
        frame = start.copy()
        frame.positions += random.normal(0, 0.35, frame.positions.shape)
        made.append(frame)
    return made


def test_the_command_counts_as_a_place_of_the_study_does(tmp_path: Path) -> None:
    """Depths and softness reach the count; F(n), rate and records are there, and the picture is drawn."""
    path, made = tmp_path / "run.traj", breathing()
    ase.io.write(path, made)
    options = ("--softness", "1", "--low", "6 angstrom", "--high", "1.5 nm", "--timestep", "50 fs", "--temperature", "600 K")
    files = ("--picture", str(tmp_path / "p.png"), "--record", str(tmp_path / "r.json"))
    status, text = ask("cluster", path, *options, *files, "--json")
    assert status == 0, text
    rows = json.loads(text)["cluster"]
    counted = sizes(made, ClusterSettings(foreign=("S",), softness=1.0, low=6.0, high=15.0))
    assert rows[0]["value"] == pytest.approx(counted.mean())
    assert rows[0]["conditions"]["depths_m"] == pytest.approx([6e-10, 15e-10])
    assert {row["quantity"] for row in rows} >= {"largest_cluster_size", "attachment_rate", "cluster_free_energy"}
    curve = [row for row in rows if row["quantity"] == "cluster_free_energy"]
    shares = [np.exp(-row["value"] / (BOLTZMANN * 600.0)) for row in curve]
    assert sum(shares) == pytest.approx(1.0)
    assert all(row["conditions"]["temperature_K"] == 600.0 for row in curve)
    assert len(json.loads((tmp_path / "r.json").read_text())["records"]) == len(rows)
    assert (tmp_path / "p.png").stat().st_size > 4000
    assert "cluster_free_energy" in ask("cluster", path, *options)[1]


def test_the_command_notes_that_one_size_has_no_free_energy(tmp_path: Path) -> None:
    """A crystal that hardly moves: rate, bound of the barrier and picture stand, F(n) is a note."""
    path, made = tmp_path / "run.traj", [bulk("Li", "bcc", a=3.5, cubic=True).repeat(4) for _ in range(40)]
    for number, frame in enumerate(made):
        frame.positions[0] += 1e-3 * number
    ase.io.write(path, made)
    options = ("--timestep", "50 fs", "--temperature", "600 K", "--picture", str(tmp_path / "p.png"))
    status, text = ask("cluster", path, *options)
    assert (status, "stayed between" in text, "cluster_free_energy" in text) == (0, True, False), text
    assert (tmp_path / "p.png").stat().st_size > 2000
    ase.io.write(path, made[:20])
    assert ask("cluster", path, *options)[1].count("more than 20 frames") == 1
