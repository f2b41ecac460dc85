"""Kinds of structures that a recipe can name, and the starts of the shipped recipe."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

import atomistic
from atomistic.interface import amorphous, interface, li_slab
from atomistic.starts import Structure, start
from atomistic.structures import argyrodite, bulk, min_distance, supercell
from coupling.errors import UserError

RECIPE = Path(atomistic.__file__).parent / "data" / "potentials" / "lpscl" / "recipe.toml"

KINDS = {
    "crystal": (Structure("a", "crystal", name="Li7P3S11", atoms=42), "Li14P6S22"),
    "primitive": (Structure("g", "crystal", name="LLZO", primitive=True), "La12Li28O48Zr8"),
    "primitive disordered": (Structure("h", "disordered", name="LLZO_cubic_allsites", primitive=True), "La12Li28O48Zr8"),
    "disordered": (Structure("b", "disordered", name="Li6PS5Cl_48h"), "Cl4Li24P4S20"),
    "surface": (Structure("c", "surface", name="beta_Li3PS4", miller=(1, 0, 0), vacuum=10.0), "Li12P4S16"),
    "boundary": (Structure("d", "boundary", name="Li", axis=(0, 0, 1), plane=(3, 1, 0), thickness=10.0), "Li40"),
    "heterostructure": (
        Structure("e", "heterostructure", name="LiCl", other="LiF", thickness=5.0, max_area=90.0, max_strain=0.1),
        None,
    ),
    "amorphous": (Structure("f", "amorphous", composition=(("Li", 6), ("S", 3)), density=1.5), "Li6S3"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_builds_and_is_seeded(kind: str) -> None:
    structure, formula = KINDS[kind]
    atoms, again = start(structure, 4), start(structure, 4)
    assert atoms == again
    assert formula in (None, atoms.get_chemical_formula())
    assert atoms.info == {"structure": structure.id}
    assert atoms.pbc.all()
    assert min_distance(atoms) > 1.3


def test_lists_of_a_recipe_are_taken_and_other_kinds_refused() -> None:
    read = Structure("c", "surface", name="LiCl", miller=[1, 0, 0], vacuum=8.0)  # type: ignore[arg-type]
    assert start(read, 0).symbols.formula.reduce()[0] == bulk("LiCl").symbols.formula.reduce()[0]
    with pytest.raises(UserError, match="unknown kind of structure 'slab'"):
        start(Structure("x", "slab"), 0)


def test_shipped_recipe_starts_as_its_builders_make_them() -> None:
    entries = {entry["id"]: entry for entry in tomllib.loads(RECIPE.read_text())["structure"]}
    structures = {
        name: Structure(**(entry | {"composition": tuple(entry.get("composition", {}).items())}))
        for name, entry in entries.items()
    }
    made = {
        "Li": supercell(bulk("Li"), 6.9),
        "LPSCl-25": argyrodite(0.25, seed=7),
        "Li110": li_slab("110", 3.5, 9.0, 10.0),
        "Li|Li2S": interface("Li2S", "100", metal_thickness=6.0, phase_thickness=5.0, max_length=11.5),
        "mix-rich": amorphous({"Li": 32, "P": 2, "S": 6, "Cl": 2}, 1.3, 7),
    }
    for name, expected in made.items():
        atoms = start(structures[name], 7)
        assert str(atoms.symbols) == str(expected.symbols)
        assert np.allclose(atoms.positions, expected.positions)
