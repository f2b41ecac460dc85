"""`multiscale build`: structures of a file as files, with what the builders tell of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from ase.io import read
from launch import multiscale

from atomistic import recipe
from atomistic.disorder import ewald_energy
from atomistic.starts import Structure, built, start
from coupling.errors import UserError

STRUCTURES = """
[[structure]]
id = "LiF|Li2O"
kind = "heterostructure"
name = "LiF"
other = "Li2O"

[[structure]]
id = "glass"
kind = "amorphous"
composition = { Li = 12, P = 1, S = 5, Cl = 1 }
density = 1.6
"""


def test_structures_become_files_that_state_strain_and_density(tmp_path: Path) -> None:
    """A coherent interface and a packing; the strain is that of the lattice constants, 4.0263 and 4.6114 Å (turned by 45°)."""
    (tmp_path / "s.toml").write_text(STRUCTURES)
    done = multiscale("build", tmp_path / "s.toml", "--out", tmp_path / "cells", "--seed", "2", "--json")
    assert done.returncode == 0, done.stderr
    joined, glass = json.loads(done.stdout)["structures"]
    area = joined["area"]
    assert joined["cell_A"][0] * joined["cell_A"][1] == pytest.approx(area, rel=1e-4)
    per_upper = 4.6114**2 / 2  # smallest square of the face of Li2O
    share = area / per_upper / round(area / per_upper)
    assert (1 + joined["strain_upper"][0]) * (1 + joined["strain_upper"][1]) == pytest.approx(share, rel=1e-4)
    assert max(map(abs, joined["strain_lower"])) < 1e-9
    assert glass["density_g_per_cm3"] == pytest.approx(1.6, rel=1e-3)
    atoms = read(tmp_path / "cells" / "LiF_Li2O.extxyz")
    assert len(atoms) == joined["atoms"]
    assert atoms.info["strain_upper"] == pytest.approx(joined["strain_upper"])
    one = multiscale("build", tmp_path / "s.toml", "--out", tmp_path / "one", "--only", "glass", "--seed", "2")
    assert "density_g_per_cm3 1.6" in one.stdout
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["glass.extxyz"]
    assert (tmp_path / "one" / "glass.extxyz").read_bytes() == (tmp_path / "cells" / "glass.extxyz").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "more", "told"),
    [
        ("[[structure]]", "[[task]]", (), "no [[structure]] table"),
        ('id = "glass"', 'id = "LiF|Li2O"', (), "two structures have the same id"),
        ('id = "glass"', 'id = "LiF/Li2O"', (), "'LiF|Li2O' and 'LiF/Li2O' would both be written to LiF_Li2O.extxyz"),
        ('id = "glass"', 'id = ""', (), "id = '' names no file"),
        ("density", "densty", (), "structure 2: unknown key 'densty'"),
        ('other = "Li2O"', 'other = "Li2X"', (), "structure 'LiF|Li2O': unknown structure 'Li2X'"),
        ("", "", ("--only", "glas"), "unknown structure 'glas'; did you mean 'glass'"),
    ],
)
def test_what_cannot_be_built_is_told(tmp_path: Path, old: str, new: str, more: tuple[str, ...], told: str) -> None:
    """With the structure's id."""
    (tmp_path / "s.toml").write_text(STRUCTURES.replace(old, new) if old else STRUCTURES)
    done = multiscale("build", tmp_path / "s.toml", "--out", tmp_path / "cells", *more)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"id": 5}, "here: id: read 5; write a text in quotes"),
        ({"density": "1.6 g/cm3"}, "here: density: read '1.6 g/cm3'; write a number, without quotes or unit"),
        ({"density": float("inf")}, "here: density: read inf; a finite number is needed"),
        ({"miller": [1, 0, 0.5]}, r"here: miller: read \[1, 0, 0.5\]; write a whole number"),
        ({"miller": [1, 0]}, r"here: miller: read \[1, 0\]; too few values; add what is missing"),
        ({"vacancies": True}, "here: vacancies: read True; write a whole number"),
        ({"composition": 5}, "here: composition: read 5; write a list"),
        ({"composition": {"Lx": 3}}, "Lx is no element"),
        ({"composition": {"Li": 0}}, "atoms and a positive density are needed"),
        ({"scale": 0.0}, "structure 'x': scale = 0.0, vacancies = 0; a factor above zero"),
        ({"vacancies": -1}, "structure 'x': scale = 1.0, vacancies = -1; a factor above zero"),
    ],
)
def test_values_of_a_wrong_type_or_size_are_told(entry: dict[str, Any], told: str) -> None:
    """Of recipes, too; what stands there is not turned into another number."""
    glass = {"id": "x", "kind": "amorphous", "composition": {"Li": 2, "S": 1}}
    with pytest.raises(UserError, match=told):
        built(recipe.frozen(Structure, glass | entry, "here"), 0)


def test_areas_follow_the_scale_and_frames_carry_the_id_alone() -> None:
    """A recipe's factor on all lengths."""
    wanted = recipe.frozen(Structure, {"id": "x", "kind": "surface", "name": "LiCl", "vacuum": 10.0, "scale": 1.1}, "here")
    atoms = built(wanted, 0)
    assert atoms.info["area"] == pytest.approx(atoms.cell.areas()[2])
    assert start(wanted, 0).info == {"structure": "x"}


def test_energies_and_dipoles_follow_the_scale_and_are_not_told_of_cells_with_vacancies() -> None:
    """They are those of the cell that is built: told again from its own atoms."""
    entry = {"id": "x", "kind": "disordered", "name": "Li6PS5Cl_48h", "method": "electrostatic", "scale": 1.1}
    atoms = built(recipe.frozen(Structure, entry, "here"), 0)
    assert atoms.info["ewald"] == pytest.approx(ewald_energy(atoms), rel=1e-6)
    polar = {"id": "x", "kind": "surface", "name": "LiCl", "miller": (1, 1, 1), "vacuum": 10.0}
    dipoles = [built(recipe.frozen(Structure, polar | {"scale": scale}, "here"), 0).info["dipole"] for scale in (1.0, 1.25)]
    assert abs(dipoles[0]) > 0.01
    assert dipoles[1] == pytest.approx(dipoles[0] / 1.25)
    assert "ewald" not in built(recipe.frozen(Structure, entry | {"vacancies": 1}, "here"), 0).info


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (2 * '[[structure]]\nid = "a"\nkind = "crystal"\nname = "Li"\n', "two structures have the same id"),
        ("validation_every = 1\n", "validation_every = 1: one job in so many"),
        ("[[member]]\nseed = 1\nmax_L = 2\n", "member 1: max_L: read 2; input should be less than or equal to 1"),
        ("[[member]]\nseed = 1\nmax_L = true\n", "member 1: max_L: read True; write a whole number"),
        ("structure = 5\n", r"structure: a table under \[\[structure\]\]"),
        ('max_force = "8 eV/A"\n', "max_force: read '8 eV/A'; write a number, without quotes or unit"),
    ],
)
def test_recipes_that_say_what_cannot_be_are_told(tmp_path: Path, lines: str, told: str) -> None:
    """A structure of the same id took the place of the one before."""
    (tmp_path / "recipe.toml").write_text('name = "x"\nseed = 1\ndriver = "teacher"\n' + lines)
    with pytest.raises(UserError, match=told):
        recipe.read_recipe(tmp_path / "recipe.toml")
