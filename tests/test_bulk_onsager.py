"""Onsager matrices of runs as records: joined runs, both frames, Einstein against Green–Kubo of one synthetic run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential
from scipy.signal import lfilter

from atomistic import bulk_onsager, dynamics, onsager
from atomistic.dynamics import DynamicsSettings
from atomistic.scheduler import Task
from atomistic.trajectory import Trajectory
from coupling.errors import UserError
from coupling.record import Property

STEP, RELAXATION = 4.0, 40.0  # fs
MOVING, REST = 6, 4
KELVIN = 300.0


def run(frames: int, seed: int, step: float = STEP) -> Trajectory:
    """Langevin particles Li of 1/3 <v²> RELAXATION and a framework of S that shakes, with their velocities (exact steps)."""
    random, decay = np.random.default_rng(seed), np.exp(-step / RELAXATION)
    kicks = random.standard_normal((frames, MOVING, 3)) * 0.01
    kicks[1:] *= np.sqrt(1 - decay**2)
    velocities = np.zeros((frames, MOVING + REST, 3))
    velocities[:, :MOVING] = lfilter([1], [1, -decay], kicks, axis=0)
    positions = np.cumsum(velocities, axis=0) * step
    positions[:, MOVING:] = random.normal(0, 0.05, (frames, REST, 3))
    cell = np.eye(3) * 12
    atoms = Atoms(f"Li{MOVING}S2P2", positions=positions[-1], cell=cell, pbc=True)
    cells, temperatures = np.array([cell] * frames), np.full(frames, KELVIN)
    return Trajectory(atoms.numbers, positions, cells, step, np.zeros(frames), temperatures, atoms, 0, velocities)


def test_einstein_and_green_kubo_of_one_run_agree() -> None:
    """Of four runs no difference of the two ways exceeds what its error allows."""
    found = [bulk_onsager.both_ways(run(3000, seed), "Li", 0) for seed in range(4)]
    for kind in ("self", "collective"):
        told = [bulk_onsager.difference(one[kind]) for one in found if not bulk_onsager.unresolved(one[kind])]
        assert len(told) >= 2
        apart = np.array([each["difference_over_error"] for each in told])
        assert np.abs(apart).max() < 4
        assert np.abs(apart).max() > 0.01  # two ways, not one number twice
        assert max(abs(each["longer_lags_over_error"]) for each in told) < 4
        values = [one[kind]["green_kubo"][0] for one in found if not bulk_onsager.unresolved(one[kind])]
        assert max(abs(each["difference"]) / value for each, value in zip(told, values, strict=True)) < 0.5


def task(temperature: float, seed: int) -> Task:
    return Task(f"{temperature}{seed}", "", 1.0, "diffusion",
                {"temperature": temperature, "seed": seed, "dtype": "float32", "mobile": "Li", "phase": "X"})  # fmt: skip


def test_records_hold_both_frames_and_join_the_runs_of_a_temperature() -> None:
    """t of Li is 1 about the framework and less about the centre of mass; runs of one temperature give one record a pair."""
    charges = {"Li": 1.0, "S": -2.0, "P": -1.0}
    answer = {"mean_temperature": 301.0, "picoseconds": 8.0, "atoms": 10}
    runs = [(task(300.0, seed), {**answer, "onsager": bulk_onsager.of_run(run(2000, seed, 40.0), "Li", charges)})
            for seed in (1, 2)]  # fmt: skip
    found = bulk_onsager.records("X", runs, {"potential": "none"})
    numbers = {record.conditions["frame"]: record for record in found if record.quantity == "transference_number"}
    assert set(numbers) == {"P+S", "barycentric"}
    assert abs(numbers["P+S"].value - 1) < 4 * numbers["P+S"].stderr < 0.2
    assert numbers["barycentric"].value < numbers["P+S"].value
    (own,) = (r for r in found if r.conditions["species"] == "Li-Li" and r.conditions["frame"] == "P+S")
    assert (own.source["runs"], own.source["picoseconds"], own.source["seeds"]) == (2, 16.0, [1, 2])
    single = [Property.from_dict(r) for _, answer in runs for r in answer["onsager"]["records"]
              if r["conditions"]["species"] == "Li-Li" and r["conditions"]["frame"] == "P+S"]  # fmt: skip
    assert own.value == pytest.approx(np.mean([record.value for record in single]))
    assert own.stderr >= np.hypot(*[record.stderr for record in single]) / 2 * (1 - 1e-9)
    assert own.value > 0
    assert any("P-P" in note for note in bulk_onsager.problems(runs))  # it shakes and goes nowhere


def test_frames_of_a_longer_run_are_left_out_and_missing_ones_told(tmp_path: Path) -> None:
    """A run of 2 ps serves one that asks for 1 ps with its first ten frames, and none that asks for 4 ps."""
    settings = DynamicsSettings(temperature=40, picoseconds=2.0, timestep=10.0, frame_interval=100, checkpoint_interval=400)
    atoms = bulk("Ar", cubic=True, a=5.25).repeat((2, 2, 2))
    whole = dynamics.run(atoms, PairPotential(cutoff=4.8), settings, tmp_path / "production")
    kept = bulk_onsager.kept_run(tmp_path, 1.0)
    assert np.array_equal(kept.positions, whole.positions[:10])
    assert len(kept.cells) == len(kept.temperatures) == len(kept.potential_energies) == 10
    with pytest.raises(UserError, match="2 ps of 4 ps are there"):
        bulk_onsager.kept_run(tmp_path, 4.0)


def test_charges_are_those_of_groups_and_neutral() -> None:
    """P and S of a PS4 group share its charge; of an unknown element nothing is guessed."""
    from atomistic import structures

    cell = structures.bulk("Li7P3S11")
    charges = bulk_onsager.species_charges(cell)
    assert charges["Li"] == 1
    assert sum(charges[symbol] for symbol in cell.symbols) == pytest.approx(0)
    assert bulk_onsager.species_charges(Atoms("LiAr")) == {}
    with pytest.raises(Exception, match="no species carries"):
        onsager.charges_of({"Li": 0.0}, ["Li"])


def test_a_metal_has_no_matrix_and_a_note_says_so() -> None:
    """Beside a crystal of two elements: no record of it, no failure, and its name and temperature among the problems."""
    alone = run(100, 0)
    metal = Atoms("Li10", positions=alone.positions[-1], cell=alone.cells[0], pbc=True)
    told = bulk_onsager.of_run(replace(alone, numbers=metal.numbers, final=metal), "Li", {"Li": 0.0})
    runs = [(task(300.0, 1), {"mean_temperature": 301.0, "picoseconds": 8.0, "atoms": 10, "onsager": told})]
    assert bulk_onsager.records("X", runs, {}) == []
    assert bulk_onsager.problems(runs) == ["X at 300 K: no Onsager matrix: all atoms are Li, with no framework to move against"]


def answered(temperature: float, number: int, value: float, error: float | None) -> tuple[Task, dict]:
    """A made-up answer of one run that tells one coefficient, or a bound of it."""
    record = Property("", "onsager_coefficient", value, "1/(J*m*s)", stderr=error, bound=None if error else "upper",
                      conditions={"frame": "P+S", "species": "Li-Li"}, source={"made": "up"})  # fmt: skip
    told = {"records": [record.to_dict()], "notes": []}
    return task(temperature, number), {"mean_temperature": temperature, "picoseconds": 8.0, "atoms": 10, "onsager": told}


@pytest.mark.parametrize("true", [1.0, 0.05])  # its error goes with its value, or (mixed) takes it through 0
@pytest.mark.parametrize("between", [0.0, 0.12, 0.3])
@pytest.mark.parametrize(("runs", "temperatures"), [(2, 1), (3, 1), (4, 1), (2, 4)])
def test_means_of_runs_cover(true: float, between: float, runs: int, temperatures: int) -> None:
    """Errors of 0.12 a run, with and without scatter between runs: 68 and 95 % intervals hold in 60 … 76 and 90 … 98 %."""
    random, inside = np.random.default_rng(5), []
    for _ in range(800):
        values = true + np.hypot(between, 0.12) * random.normal(size=(temperatures, runs))
        errors = 0.12 * (np.maximum(values, 0.02) if true == 1.0 else np.ones_like(values))
        made = bulk_onsager.records("X", [answered(300.0 + 50 * t, n, float(values[t, n]), float(errors[t, n]))
                                          for t in range(temperatures) for n in range(runs)], {})  # fmt: skip
        inside += [(abs(r.value - true) < r.stderr, r.low < true < r.high)
                   for r in made if r.stderr and r.low is not None and r.high is not None]  # fmt: skip
    assert len(inside) == 800 * temperatures
    one, two = np.mean(inside, axis=0)
    noise = 2 * (0.25 / len(inside)) ** 0.5
    assert 0.60 - noise <= one <= 0.76 + noise
    assert 0.90 - noise / 2 <= two <= 0.98 + noise / 4


def test_scatter_of_single_runs_is_not_known() -> None:
    """One run a temperature keeps its own error and has no limits."""
    made = bulk_onsager.records("X", [answered(300.0, 0, 1.0, 0.1), answered(350.0, 1, 3.0, 0.2)], {})
    assert [(r.value, r.stderr, r.low, r.high) for r in made] == [(1.0, 0.1, None, None), (3.0, 0.2, None, None)]


def test_of_bounds_alone_the_largest_stands() -> None:
    """Bounds that hold the truth in 95 % of runs hold it in no less of pairs; an estimate goes before them."""
    random = np.random.default_rng(1)
    bounds = random.chisquare(3, (2000, 2)) / 0.3518  # 5 % of a chi-square of three are below 0.3518
    assert np.mean(bounds < 1.0) == pytest.approx(0.05, abs=0.01)
    held = []
    for pair in bounds[:300]:
        (one,) = bulk_onsager.records("X", [answered(300.0, n, float(value), None) for n, value in enumerate(pair)], {})
        assert one.bound == "upper"
        held.append(one.value >= 1.0)
    assert np.mean(held) >= 0.95


def test_estimates_stand_where_most_runs_have_one() -> None:
    """One of two runs is no majority: its upper limit is a bound. Two of three are; a coefficient told once is left out."""
    low, high, other = answered(300.0, 0, 0.5, None), answered(300.0, 1, 2.0, 0.1), answered(300.0, 2, 1.0, 0.1)
    (one,) = bulk_onsager.records("X", [low, high], {})
    assert (one.value, one.stderr, one.bound) == (pytest.approx(2.0 + 1.645 * 0.1), None, "upper")
    (one,) = bulk_onsager.records("X", [low, high, other], {})
    assert (one.value, one.bound) == (1.5, None)
    silent = (task(300.0, 3), {**low[1], "onsager": {"records": [], "notes": []}})
    assert bulk_onsager.records("X", [silent, high], {}) == []
