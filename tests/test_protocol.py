"""Staged protocols: handing on, resuming after a kill, a file with its mistakes named."""

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator
from pair_potential import ARGON_EPSILON, PairPotential

from atomistic import protocol, trajectory
from atomistic.protocol import Stage
from coupling.errors import UserError

COMMON = {"timestep": 10.0, "frame_interval": 50.0, "checkpoint_interval": 100.0, "thermostat_time": 200.0}
STAGES = (
    Stage("heat", "weak", temperature=10.0, final_temperature=40.0, picoseconds=3.0, **COMMON),
    Stage("rest", "weak", kind="optimise", force=0.001),
    Stage("short", "strong", precision="float32", temperature=30.0, thermostat="chains", picoseconds=0.5, **COMMON),
    Stage("production", "weak", "float32", ensemble="npt", temperature=40.0, picoseconds=0.5, barostat_time=2000.0, **COMMON),
)


def argon() -> Atoms:
    """32 atoms, a little off their sites."""
    atoms = bulk("Ar", cubic=True, a=5.35).repeat((2, 2, 2))
    atoms.rattle(0.03, seed=1)
    return atoms


def calculator(potential: str, precision: str) -> BaseCalculator:
    """Two strengths of one pair potential."""
    strength = {"weak": 1.0, "strong": 2.0}[potential]
    return PairPotential(epsilon=strength * ARGON_EPSILON, cutoff=4.6, skin=0.5)


def same(one: list[protocol.Done], other: list[protocol.Done]) -> bool:
    """Bit-for-bit equality of the ends of all stages."""
    return len(one) == len(other) and all(
        np.array_equal(a.atoms.positions, b.atoms.positions)
        and np.array_equal(a.atoms.get_momenta(), b.atoms.get_momenta())
        and np.array_equal(a.atoms.cell.array, b.atoms.cell.array)
        and a.energy == b.energy
        for a, b in zip(one, other, strict=True)
    )


def test_stages_hand_on_and_are_not_repeated(tmp_path: Path) -> None:
    """Ramp, rest, other potential, other ensemble; a second call opens no calculator and answers the same."""
    opened: list[tuple[str, str]] = []
    shares: list[tuple[str, float]] = []

    def counting(potential: str, precision: str) -> BaseCalculator:
        opened.append((potential, precision))
        return calculator(potential, precision)

    first = protocol.run(STAGES, argon(), tmp_path, counting, lambda name, share: shares.append((name, share)))
    assert opened == [("weak", "float64"), ("weak", "float64"), ("strong", "float32"), ("weak", "float32")]
    assert [share for share in shares if share[1] == 1.0] == [(stage.name, 1.0) for stage in STAGES]
    heat = trajectory.load(first[0].folder / "trajectory")
    assert heat.temperatures[-20:].mean() > 1.5 * heat.temperatures[5:20].mean()
    rest = first[1].atoms.copy()
    rest.calc = calculator("weak", "")
    assert np.abs(rest.get_forces()).max() < 0.001
    assert not first[1].atoms.get_momenta().any()
    assert np.array_equal(first[2].atoms.cell.array, first[1].atoms.cell.array)
    assert not np.array_equal(first[3].atoms.cell.array, first[2].atoms.cell.array)
    opened.clear()
    assert same(first, protocol.run(STAGES, argon(), tmp_path, counting))
    assert not opened
    changed = (*STAGES[:3], dataclasses.replace(STAGES[3], temperature=41.0))
    protocol.run(changed, argon(), tmp_path, counting)
    assert opened == [("weak", "float32")]


def test_killed_protocol_gives_the_same_numbers(tmp_path: Path) -> None:
    """kill -9 at random moments until it is through: the bits of a protocol never killed."""
    whole = protocol.run(STAGES, argon(), tmp_path / "whole", calculator)
    rng = np.random.default_rng(11)
    context = multiprocessing.get_context("fork")
    for _ in range(6):
        process = context.Process(target=protocol.run, args=(STAGES, argon(), tmp_path / "killed", calculator))
        process.start()
        time.sleep(rng.uniform(0.05, 0.5))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert same(whole, protocol.run(STAGES, argon(), tmp_path / "killed", calculator))


TEXT = """
[[stage]]
name = "warm up"
potential = "lpscl"
precision = "float32"
ensemble = "npt"
temperature = "300 K"
final_temperature = "600 K"
pressure = "1 MPa"
length = "5 ps"

[[stage]]
name = "relax"
kind = "optimise"
potential = "lpscl"
cell = true
force = "0.02 eV/angstrom"
"""


def test_file_is_read_in_its_units(tmp_path: Path) -> None:
    """Quantities arrive in the stage's own units."""
    path = tmp_path / "protocol.toml"
    path.write_text(TEXT, encoding="utf-8")
    warm, relax = protocol.read(path)
    assert (warm.temperature, warm.final_temperature, warm.ensemble, warm.precision) == (300.0, 600.0, "npt", "float32")
    assert warm.pressure == pytest.approx(1e-3)
    assert warm.picoseconds == pytest.approx(5.0)
    assert (relax.kind, relax.cell) == ("optimise", True)
    assert relax.force == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"300 K"', "300", r"protocol.toml:7: stage.temperature: read the bare number 300"),
        ('"npt"', '"npx"', r"protocol.toml:6: stage.ensemble: read 'npx'"),
        ("cell = true", "cells = true", r"protocol.toml:16: stage.cells: unknown key; did you mean \"cell\""),
        ('length = "5 ps"', 'frame_interval = "3 fs"', r"protocol.toml:2: stage: stage 'warm up': dynamics: frame_interval"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """File, line, key, what was read."""
    path = tmp_path / "protocol.toml"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        protocol.read(path)


def test_two_stages_of_one_name_are_refused(tmp_path: Path) -> None:
    """Names tell stages apart."""
    with pytest.raises(UserError, match="no name twice"):
        protocol.run([STAGES[1], STAGES[1]], argon(), tmp_path, calculator)
