"""Crystals, disorder, slabs, interfaces and packings: composition, density, distances, seeds."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from atomistic.crystallinity import neighbours
from atomistic.interface import METAL, PHASE, PHASES, amorphous, interface, li_slab, parts, phase_slab
from atomistic.structures import argyrodite, bulk, density, min_distance, names, primitive, supercell, supercell_near, turned
from coupling.errors import UserError

# formula of the conventional cell, density in g/cm³ of that cell (from the cited lattice constants), shortest bond in Å
CELLS = {
    "Li": ("Li2", 0.533, 3.039),
    "Li2S": ("Li8S4", 1.631, 2.476),
    "Li3P": ("Li6P2", 1.432, 2.467),
    "LiCl": ("Cl4Li4", 2.074, 2.570),
    "Li6PS5Cl": ("Cl4Li24P4S20", 1.860, 2.018),
}


@pytest.mark.parametrize("name", CELLS)
def test_bulk_has_formula_density_and_bond_length(name: str) -> None:
    formula, mass_density, bond = CELLS[name]
    atoms = bulk(name)
    assert atoms.get_chemical_formula() == formula
    assert density(atoms) == pytest.approx(mass_density, abs=2e-3)
    assert min_distance(atoms) == pytest.approx(bond, abs=2e-3)
    assert atoms.pbc.all()
    assert atoms.info["source"].startswith("structures.toml")


def test_every_name_builds_and_keeps_atoms_apart() -> None:
    for name in names():
        assert min_distance(bulk(name)) > (0.9 if "H" in bulk(name).symbols else 1.2), name


def test_unknown_structure_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown structure 'Li2P'; did you mean 'Li[23][SP]'\? Known: .*Li6PS5Cl"):
        bulk("Li2P")


@pytest.mark.parametrize("disorder", [0.0, 0.25, 0.5, 1.0])
def test_disorder_moves_sulfur_to_4a_and_keeps_composition(disorder: float) -> None:
    ordered, mixed = argyrodite(0.0, (2, 1, 1)), argyrodite(disorder, (2, 1, 1), seed=3)
    on_4a = np.array(ordered.get_chemical_symbols()) == "Cl"
    assert np.mean(np.array(mixed.get_chemical_symbols())[on_4a] == "S") == disorder == mixed.info["disorder"]
    assert mixed.get_chemical_formula() == ordered.get_chemical_formula() == "Cl8Li48P8S40"
    # the sulfur of PS4 is never exchanged: every P keeps four S at 2.0–2.1 Å
    distances = mixed.get_all_distances(mic=True)[mixed.symbols == "P"]
    near = (distances > 0.1) & (distances < 2.3)
    assert (near.sum(axis=1) == 4).all()
    assert all(mixed.symbols[j] == "S" for row in near for j in np.flatnonzero(row))


def test_disorder_is_seeded() -> None:
    first, again, other = (argyrodite(0.5, (2, 2, 1), seed=seed) for seed in (1, 1, 2))
    assert str(first.symbols) == str(again.symbols) != str(other.symbols)


@pytest.mark.parametrize("disorder", [-0.1, 1.2, float("nan")])
def test_impossible_disorder_is_refused(disorder: float) -> None:
    with pytest.raises(UserError, match="disorder"):
        argyrodite(disorder)


@pytest.mark.parametrize(("name", "atoms"), [("LLZO", 96), ("La2Zr2O7", 22), ("Li2CO3", 12), ("Li", 1), ("La2O3", 5)])
def test_primitive_cell_is_the_same_crystal(name: str, atoms: int) -> None:
    whole, small = bulk(name), primitive(bulk(name))
    assert len(small) == atoms
    assert density(small) == pytest.approx(density(whole))
    cutoff = 1.2 * min_distance(whole)
    around = [len(neighbor_list("i", cell, cutoff)) / len(cell) for cell in (whole, small)]
    assert around[0] == pytest.approx(around[1])
    # its lattice vectors are lattice vectors of the whole crystal: every atom finds one of its kind there
    for shift in small.cell.array:
        moved = whole.copy()
        moved.positions += shift
        joined = whole + moved
        pairs = joined.get_distances(0, np.arange(len(whole), len(joined)), mic=True)
        assert pairs.min() < 1e-3
        assert whole.symbols[0] == moved.symbols[int(pairs.argmin())]


def test_supercell_is_the_smallest_that_is_long_enough() -> None:
    atoms = supercell(bulk("Li3P"), 8.0)
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    assert (heights >= 8.0).all()
    assert len(atoms) == 8 * 3 * 3 * 2
    with pytest.raises(UserError, match="positive"):
        supercell(bulk("Li"), 0.0)


@pytest.mark.parametrize(("direction", "edges"), [((1, 1, 1), (2, 6, 3)), ((1, 1, 0), (1, 2, 2)), ((2, 2, 4), (2, 3, 6))])
def test_a_turned_crystal_is_the_same_crystal_with_its_direction_along_z(direction: tuple, edges: tuple) -> None:
    """Squared edges in those of the cube; the 8 nearest neighbours lie as near, and as far along the direction, as before."""
    crystal = bulk("Li")
    made = turned(crystal, direction)
    assert made.cell.array == pytest.approx(np.diag(np.sqrt(edges)) * crystal.cell[0, 0])
    assert len(made) / made.get_volume() == pytest.approx(len(crystal) / crystal.get_volume())
    vectors = neighbours(made, 8)
    assert np.linalg.norm(vectors, axis=2) == pytest.approx(3**0.5 / 2 * crystal.cell[0, 0])
    before = neighbours(crystal, 8)[0] @ direction / np.linalg.norm(direction)
    assert np.sort(vectors[:, :, 2], axis=1) == pytest.approx(np.tile(np.sort(before), (len(made), 1)))


def test_what_is_not_turned_is_refused() -> None:
    with pytest.raises(UserError, match="not cubic: only a cubic crystal is laid along a direction"):
        turned(bulk("Li3PS4"), (1, 1, 1))
    with pytest.raises(UserError, match=r"direction = \[0, 0, 0\]: a number that is not zero"):
        turned(bulk("Li"), (0, 0, 0))


def test_supercell_near_a_size_is_nearly_a_cube() -> None:
    atoms = supercell_near(bulk("Li3P"), 200)
    assert len(atoms) == 200
    assert density(atoms) == pytest.approx(density(bulk("Li3P")))
    assert min_distance(atoms) == pytest.approx(min_distance(bulk("Li3P")))
    side = atoms.get_volume() ** (1 / 3)
    assert np.allclose(atoms.cell.lengths(), side, rtol=0.2)
    with pytest.raises(UserError, match="at least one atom"):
        supercell_near(bulk("Li"), 0)


@pytest.mark.parametrize(("face", "plane"), [("100", 1.0), ("110", np.sqrt(2)), ("111", 1 / np.sqrt(3))])
def test_lithium_slab_keeps_bulk_density_and_has_the_planar_density_of_its_face(face: str, plane: float) -> None:
    full = li_slab(face, 6.0, 10.0, vacuum=0.0, lattice_constant=3.4)
    assert full.get_volume() / len(full) == pytest.approx(3.4**3 / 2)
    assert min_distance(full) == pytest.approx(3.4 * np.sqrt(3) / 2)
    slab = li_slab(face, 6.0, 10.0, vacuum=12.0, lattice_constant=3.4)
    heights = slab.positions[:, 2]
    assert slab.cell[2, 2] - np.ptp(heights) == pytest.approx(12.0)
    assert np.ptp(heights) >= 10.0
    area = slab.cell[0, 0] * slab.cell[1, 1]
    assert np.sum(heights < 1e-6) / area == pytest.approx(plane / 3.4**2)


@pytest.mark.parametrize("name", PHASES)
def test_phase_slab_is_stoichiometric(name: str) -> None:
    slab, crystal = phase_slab(name, 8.0, vacuum=10.0), bulk(name)
    assert slab.symbols.formula.reduce()[0] == crystal.symbols.formula.reduce()[0]
    assert np.ptp(slab.positions[:, 2]) + 10.0 == pytest.approx(slab.cell[2, 2])
    assert min_distance(slab) == pytest.approx(min_distance(crystal), abs=1e-6)


@pytest.mark.parametrize("name", PHASES)
def test_interface_strains_the_metal_only(name: str) -> None:
    joined = interface(name, vacuum=12.0)
    metal, phase = parts(joined, 12.0)
    assert len(metal) + len(phase) == len(joined)
    assert set(metal.symbols) == {"Li"}
    assert joined.info["interfaces"] == 1
    assert max(abs(strain) for strain in joined.info["strain"]) <= 0.09
    assert joined.info["area"] == pytest.approx(metal.cell[0, 0] * metal.cell[1, 1])
    bottom = joined.positions[joined.get_tags() == METAL, 2].min()
    assert bottom - joined.positions[joined.get_tags() == PHASE, 2].max() == pytest.approx(2.3)
    assert min_distance(phase) == pytest.approx(min_distance(bulk(name)), abs=1e-6)


def test_interface_without_match_says_what_to_change() -> None:
    with pytest.raises(UserError, match="raise max_length, or join them as a heterostructure"):
        interface("Li2S", max_length=6.0, max_strain=0.01)
    with pytest.raises(UserError, match="unknown interface phase 'Li2O'"):
        interface("Li2O")
    with pytest.raises(UserError, match="unknown lithium face '210'"):
        li_slab("210", 6.0, 10.0, 10.0)


def test_packing_has_density_composition_and_distances_and_is_seeded() -> None:
    composition = {"Li": 28, "P": 2, "S": 10, "Cl": 2}
    first, again, other = (amorphous(composition, 1.65, seed) for seed in (1, 1, 2))
    assert density(first) == pytest.approx(1.65, rel=1e-6)
    assert first.get_chemical_formula() == "Cl2Li28P2S10"
    assert np.array_equal(first.positions, again.positions)
    assert not np.allclose(first.positions, other.positions)
    scale = first.info["packing_scale"]
    assert scale > 0.75
    assert min_distance(first) >= 1.9 * scale - 1e-9
    with pytest.raises(UserError, match="positive density"):
        amorphous(composition, -1.0, 1)
