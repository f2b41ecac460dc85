"""analyze crystallinity, rdf, diffraction, cluster, mobility, grain-boundary, onsager-profile; broken trajectories."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from typer.testing import CliRunner

from multiscale.cli import app

COMMANDS = {
    "crystallinity": (),
    "rdf": ("--pair", "Li-Li"),
    "diffraction": ("--frames", "1"),
    "cluster": ("--foreign", "S"),
    "mobility": ("--species", "Li", "--timestep", "10 fs", "--window", "40 fs"),
    "grain-boundary": ("--species", "Li", "--timestep", "10 fs", "--window", "40 fs", "--layers", "2"),
    "onsager-profile": ("--timestep", "10 fs", "--temperature", "300 K", "--slabs", "2"),
}
"""Kinds and the options they need."""


def ask(kind: str, path: Path, *more: str) -> tuple[int, str]:
    """Exit status and what was printed, or the message of the error that the command line turns into a line."""
    from coupling.errors import UserError

    done = CliRunner().invoke(app, ["analyze", kind, str(path), *COMMANDS.get(kind, ()), *more])
    if isinstance(done.exception, UserError):
        return UserError.exit_status, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def frames(count: int = 60) -> list[Atoms]:
    """A lithium crystal whose atoms wander a little."""
    random, atoms = np.random.default_rng(0), bulk("Li", "bcc", a=3.5, cubic=True).repeat((3, 3, 4))
    made = []
    for _ in range(count):
        atoms = atoms.copy()
        atoms.positions += random.normal(0, 0.02, atoms.positions.shape)
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.traj"
    ase.io.write(path, frames())
    return path


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_kind_answers_with_values_errors_and_sources(kind: str, good: Path) -> None:
    status, text = ask(kind, good, "--json")
    assert status == 0, text
    answer = json.loads(text)[kind]
    rows = answer.get("peaks", [answer]) if isinstance(answer, dict) else answer
    assert rows
    for row in rows:
        assert {"stderr", "bound", "unit", "conditions", "source"} <= set(row)
        assert row["source"]["trajectory"] == str(good)
        assert "value" in row or "g" in row
    status, text = ask(kind, good)
    assert status == 0
    assert len(text.splitlines()) >= 2


@pytest.mark.parametrize("kind", [name for name in COMMANDS if name != "mobility"])
def test_every_kind_draws(kind: str, good: Path, tmp_path: Path) -> None:
    assert ask(kind, good, "--picture", str(tmp_path / "p.png"), "--json")[0] == 0
    assert (tmp_path / "p.png").stat().st_size > 4000


def broken(how: str) -> list[Atoms]:
    made = frames(60)
    if how == "atoms lost":
        del made[30][:3]
    elif how == "changing species":
        made[30].numbers[4] = 11
    elif how == "not a number":
        made[30].positions[2, 1] = np.nan
    elif how == "no cell":
        for atoms in made:
            atoms.cell[2] = 0.0
            atoms.pbc = [True, True, False]
    return made


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("how", ["atoms lost", "changing species", "not a number", "no cell"])
def test_a_broken_trajectory_is_refused(kind: str, how: str, tmp_path: Path) -> None:
    """Status 2, and the file is named. Without a cell, mobility, which needs none, answers."""
    path = tmp_path / "run.traj"
    ase.io.write(path, broken(how))
    status, text = ask(kind, path)
    if how == "no cell" and kind == "mobility":
        assert status == 0
        return
    assert status == 2, text
    assert str(path) in text


@pytest.mark.parametrize("kind", ["mobility", "grain-boundary", "onsager-profile"])
def test_too_few_frames_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    ase.io.write(path, frames(8))
    status, text = ask(kind, path)
    assert status == 2
    assert str(path) in text


def test_wrong_options_say_what_is_wanted(good: Path) -> None:
    for kind, more, told in (
        ("rdf", ("--pair", "LiLi"), "hyphen"), ("rdf", ("--pair", "Li-S"), "too few S"), ("cluster", ("--element", "K"), "no K"),
        ("diffraction", ("--slice", "1"), "two depths"), ("diffraction", ("--slice", "1 nm, 90 nm"), "rising depths"),
        ("grain-boundary", ("--planes", "x"), "fractions"), ("grain-boundary", ("--potential", "lpscl"), "--bulk"),
        ("mobility", ("--species", "Na"), "of that species"), ("onsager-profile", ("--framework", "S"), "not in the"),
        ("crystallinity", ("--average", "100"), "between one and all"),
    ):  # fmt: skip
        status, text = ask(kind, good, *more)
        assert status == 2, (kind, more, text)
        assert told in text
