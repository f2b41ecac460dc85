"""`multiscale stages`: stages of several potentials on one structure, what they lack told before they start."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read, write
from launch import multiscale

from atomistic import cp2k, improve_study, potential, protocol, structures
from atomistic.cp2k import Cp2kSettings, LabelFailure
from atomistic.disagreement import read_frames
from atomistic.protocol import Stage
from atomistic.starts import Structure
from coupling.errors import RunFailure, UserError

STAGES = """
[[stage]]
name = "warm up"
potential = "lpscl"
precision = "float32"
temperature = "300 K"
length = "20 fs"
frame_interval = "10 fs"
checkpoint_interval = "10 fs"

[[stage]]
name = "rest"
kind = "optimise"
potential = "lpscl"
force = "0.05 eV/angstrom"
"""
FIRST_PRINCIPLES = """
[[stage]]
name = "first principles"
potential = "cp2k"
temperature = "300 K"
length = "2 fs"
timestep = "1 fs"
frame_interval = "1 fs"
checkpoint_interval = "1 fs"

[cp2k]
cutoff = 300.0
"""


def test_stages_run_from_the_command_line_and_are_kept(tmp_path: Path) -> None:
    """A file whose name has a space; the second call runs nothing and tells the same; sides of an interface stay told apart."""
    pytest.importorskip("symmetrix", reason="needs symmetrix")
    (tmp_path / "stages.toml").write_text(STAGES)
    cell = structures.bulk("LiCl")
    cell.set_tags([0, 1] * 4)  # sides of an interface, say
    write(tmp_path / "my cell.extxyz", cell)
    command = [
        "stages",
        str(tmp_path / "stages.toml"),
        str(tmp_path / "my cell.extxyz"),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    told = multiscale(*command)
    assert told.returncode == 0, told.stderr
    rows = json.loads(told.stdout)["stages"]
    assert [row["stage"] for row in rows] == ["warm up", "rest"]
    assert list(read(tmp_path / "out" / "final.extxyz").get_tags()) == [0, 1] * 4
    assert rows[1]["energy_eV"] < rows[0]["energy_eV"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}
    assert multiscale(*command).stdout == told.stdout
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}


def test_a_stage_of_first_principles_asks_cp2k_with_the_settings_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Springs in place of CP2K: as many geometries as steps and segments, each with 300 Ry; its failure names the frame."""
    asked: list[float] = []

    def springs(atoms: Atoms, settings: Cp2kSettings) -> tuple[float, np.ndarray, np.ndarray]:
        asked.append(settings.cutoff)
        if len(asked) > 4:
            raise LabelFailure("the self-consistent field did not converge")
        moved = atoms.positions - structures.bulk("LiCl").positions
        return float((moved**2).sum()), -2 * moved, np.zeros(6)

    for name, stand_in in (("program", lambda: "cp2k"), ("version", lambda path: "2025.1"), ("label", springs)):
        monkeypatch.setattr(cp2k, name, stand_in)
    path = tmp_path / "stages.toml"
    path.write_text(FIRST_PRINCIPLES)
    stages, engines = protocol.read(path), protocol.engines(path)
    engines.require(stages, structures.bulk("LiCl"))
    done = protocol.run(stages, structures.bulk("LiCl"), tmp_path / "out", engines.open, identity=engines.identity)
    assert asked == [300.0] * 4  # a step in each of two segments, and where each starts
    assert len(list((done[0].folder / "trajectory").glob("segment-*.npz"))) == 2
    path.write_text(FIRST_PRINCIPLES.replace("300.0", "400.0"))
    finer = protocol.engines(path)
    assert finer.identity("cp2k") != engines.identity("cp2k")
    with pytest.raises(RunFailure, match="CP2K, Cl4Li4: the self-consistent field did not converge"):
        protocol.run(stages, structures.bulk("LiCl"), tmp_path / "out", finer.open, identity=finer.identity)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('potential = "lpscl"\nforce', 'potential = "lpsc"\nforce', r"stage 'rest': unknown potential 'lpsc'; did you mean"),
        ('potential = "lpscl"\nforce', 'potential = "llzo"\nforce', r"stage 'rest': potential 'llzo' does not know Cl"),
        ('potential = "lpscl"\nforce', 'potential = "own.model"\nforce', r"stage 'rest': own\.model: a pickled model can run"),
    ],
)
def test_what_a_later_stage_lacks_is_told_first(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Before the first stage has run for hours."""
    path = tmp_path / "stages.toml"
    path.write_text(STAGES.replace(old, new))
    with pytest.raises(UserError, match=told):
        protocol.engines(path).require(protocol.read(path), structures.bulk("LiCl"))


def test_paths_start_at_the_file_and_known_names_come_first(tmp_path: Path) -> None:
    """A folder beside the file, wherever the command is given; one that is called as a shipped potential does not hide it."""
    shutil.copytree(potential.folder_of("lpscl") / "member-2", tmp_path / "mine")
    (tmp_path / "lpscl").mkdir()
    (tmp_path / "stages.toml").write_text(STAGES)
    engines = protocol.engines(tmp_path / "stages.toml")
    assert engines.identity("mine") == potential.describe(tmp_path / "mine").sha256
    assert engines.identity("lpscl") == potential.describe("lpscl").sha256


def test_settings_of_cp2k_are_checked(tmp_path: Path) -> None:
    """A key that CP2K has not, with its line."""
    path = tmp_path / "stages.toml"
    path.write_text(FIRST_PRINCIPLES.replace("cutoff", "cutof"))
    with pytest.raises(UserError, match=r"stages.toml:\d+: cp2k: unknown key 'cutof'; did you mean \"cutoff\""):
        protocol.engines(path)


@pytest.mark.parametrize(("frames", "told"), [(2, "holds 2 structures; stages start from one"), (1, "no cell that is periodic")])
def test_a_structure_that_no_stage_starts_from_is_refused(tmp_path: Path, frames: int, told: str) -> None:
    """Several frames, or a molecule."""
    single: Any = bulk("Li", cubic=True) if frames > 1 else Atoms("Li2", [[0, 0, 0], [0, 0, 3]])
    write(tmp_path / "cell.extxyz", [single] * frames)
    (tmp_path / "stages.toml").write_text(STAGES)
    done = multiscale("stages", str(tmp_path / "stages.toml"), str(tmp_path / "cell.extxyz"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert told in done.stderr


PARTLY = """
data_salt
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 5.1
_cell_length_b 5.1
_cell_length_c 5.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li 0 0 0 1.0
Li 0.5 0.5 0 0.5
Cl 0.5 0.5 0.5 1.0
"""


def test_partly_filled_sites_are_not_taken_for_full(tmp_path: Path) -> None:
    """A CIF as diffraction gives it; with all sites filled by one atom it is read."""
    path = tmp_path / "salt.cif"
    path.write_text(PARTLY)
    with pytest.raises(UserError, match=r"salt\.cif: a site is partly filled or shared \(Li 0\.5\)"):
        read_frames(path)
    with pytest.raises(UserError, match=r"salt\.cif: a site is partly filled"):
        improve_study.start_atoms(Structure("salt", "file", str(path)), 0)
    done = multiscale("potential", "label", path, "--out", tmp_path / "set.h5")
    assert (done.returncode, "a site is partly filled" in done.stderr) == (2, True)
    path.write_text(PARTLY.replace("0 0.5\n", "0 1.0\n"))
    assert len(read_frames(path)[0]) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda atoms: atoms.set_constraint(FixAtoms([0])), r"Cl4Li4: holds constraints \(FixAtoms\).*every atom would move"),
        (lambda atoms: atoms.positions.fill(np.nan), "Cl4Li4: its positions are not finite numbers"),
        (lambda atoms: atoms.set_momenta(np.full((8, 3), np.inf)), "Cl4Li4: its momenta are not finite numbers"),
        (lambda atoms: atoms.set_masses(np.zeros(8)), "Cl4Li4: its masses are not finite numbers above zero"),
        (lambda atoms: atoms.positions.__setitem__(1, atoms.positions[0]), "atoms 0 and 1 lie less than 0.3 Å apart"),
    ],
)
def test_atoms_that_stages_would_treat_otherwise_than_the_file_says_are_refused(
    tmp_path: Path, change: Callable[[Atoms], object], told: str
) -> None:
    """Before any potential is opened; atoms held fixed, above all, would move."""
    (tmp_path / "stages.toml").write_text(STAGES)
    atoms = structures.bulk("LiCl")
    change(atoms)
    with pytest.raises(UserError, match=told):
        protocol.run(protocol.read(tmp_path / "stages.toml"), atoms, tmp_path / "out", never)


def test_an_end_is_the_same_whether_it_was_computed_or_kept(tmp_path: Path) -> None:
    """Of atoms that carry more than stages take; an optimisation hands nothing else on, either."""
    stages = [Stage("rest", "springs", kind="optimise", force=0.5)]
    atoms = structures.bulk("LiCl")
    atoms.set_tags(range(8))
    atoms.set_initial_magnetic_moments([1.0] * 8)
    ends = [protocol.run(stages, atoms, tmp_path, lambda name, precision: LennardJones())[0].atoms for _ in range(2)]
    assert sorted(ends[0].arrays) == sorted(ends[1].arrays) == ["masses", "momenta", "numbers", "positions"]
    assert np.array_equal(ends[0].positions, ends[1].positions)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file of that name."""
    (tmp_path / "out").write_text("")
    with pytest.raises(RunFailure, match=r"out: cannot be made a folder \(File exists\)"):
        protocol.run([Stage("a", "lpscl")], structures.bulk("LiCl"), tmp_path / "out", never)


def test_a_length_is_a_whole_number_of_frames() -> None:
    """20 fs of first principles would otherwise be the 50 fs of one usual frame."""
    with pytest.raises(UserError, match=r"stage 'a': length = 20 fs is not a whole number of frames of 50 fs \(frame_interval\)"):
        Stage("a", "cp2k", picoseconds=0.02, timestep=1.0)


def test_stages_have_noise_of_their_own(tmp_path: Path) -> None:
    """Unless the file says otherwise."""
    (tmp_path / "stages.toml").write_text(STAGES + STAGES.replace('name = "', 'seed = 7\nname = "second '))
    assert [stage.seed for stage in protocol.read(tmp_path / "stages.toml")] == [0, 1, 7, 7]


def never(potential: str, precision: str) -> BaseCalculator:
    """No potential is asked for."""
    raise AssertionError(potential)
