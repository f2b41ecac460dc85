"""Grain boundaries: angle, composition, periodicity, distances, crystal far away; slabs of compounds."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from atomistic.grain_boundary import grain_boundary
from atomistic.slabs import faces, formal_charges, surface, terminations
from atomistic.structures import bulk, density, min_distance
from coupling.errors import UserError


def surroundings(atoms: Atoms, cutoff: float) -> list[tuple[float, ...]]:
    """Sorted neighbour distances (rounded to 0.001 Å) of every atom up to a cutoff (Å)."""
    first, distance = neighbor_list("id", atoms, cutoff)
    return [tuple(np.sort(np.round(distance[first == i], 3))) for i in range(len(atoms))]


def test_sigma_5_tilt_of_lithium_has_two_equal_boundaries_and_crystal_between() -> None:
    joined = grain_boundary("Li", 5, (0, 0, 1), (3, 1, 0), thickness=18.0, shift=(0.0, 0.0))
    info = joined.info
    assert info["angle"] == pytest.approx(2 * np.degrees(np.arctan(1 / 3)))  # 36.87 degrees
    assert (info["boundary"], info["symmetric"], info["boundaries"], info["removed"]) == ("tilt", True, 2, 0)
    a = 3.5092
    assert np.allclose(joined.cell.lengths()[:2], sorted([a, a * np.sqrt(10)]))
    assert len(joined) == 2 * 20 * round(joined.cell[2, 2] / (2 * a * np.sqrt(10)))
    assert density(joined) == pytest.approx(density(bulk("Li")))
    assert min_distance(joined) > 0.65 * a * np.sqrt(3) / 2
    # half-way between the boundaries every atom has the neighbours of the crystal
    perfect = surroundings(bulk("Li").repeat(3), 5.5)[0]
    near = surroundings(joined, 5.5)
    middle = joined.cell[2, 2] / 4
    far = [i for i, z in enumerate(joined.positions[:, 2]) if min(abs(z - middle), abs(z - 3 * middle)) < 3.0]
    assert len(far) > 5
    assert all(np.allclose(near[i], perfect, atol=2e-3) for i in far)
    # the atoms within 4 Å of the one boundary see the same as those of the other
    height = joined.cell[2, 2]
    from_first = (joined.positions[:, 2] + height / 2) % height - height / 2
    from_second = joined.positions[:, 2] - height / 2
    sides = [sorted(near[i] for i in np.flatnonzero(np.abs(away) < 4.0)) for away in (from_first, from_second)]
    assert sides[0] == sides[1]
    assert any(not np.allclose(shell[:8], perfect[:8], atol=0.05) for shell in sides[0])


def test_twist_boundary_turns_about_its_normal() -> None:
    joined = grain_boundary("Li", 5, (0, 0, 1), (0, 0, 1), thickness=10.0)
    assert joined.info["boundary"] == "twist"
    assert joined.info["area"] == pytest.approx(5 * 3.5092**2)
    assert min_distance(joined) >= 0.65 * 3.5092 * np.sqrt(3) / 2 - 1e-6


def test_boundary_of_a_compound_keeps_its_composition_and_distances() -> None:
    joined = grain_boundary("Li2S", 5, (0, 0, 1), (2, 1, 0), thickness=9.0, closest=0.8)
    assert joined.info["removed"] > 0
    assert np.sum(joined.symbols == "Li") == 2 * np.sum(joined.symbols == "S")
    first, second, distance = neighbor_list("ijd", joined, 4.0)
    for one, other, shortest in (("Li", "S", 2.476), ("S", "S", 4.044), ("Li", "Li", 2.8595)):
        chosen = (joined.symbols[first] == one) & (joined.symbols[second] == other)
        assert distance[chosen].min(initial=4.0) >= 0.8 * shortest - 2e-3


def test_impossible_boundaries_are_refused() -> None:
    with pytest.raises(UserError, match="not cubic"):
        grain_boundary("Li3P", 5, (0, 0, 1), (2, 1, 0))
    with pytest.raises(UserError, match="sigma = 4"):
        grain_boundary("Li", 4, (0, 0, 1), (2, 1, 0))


FACES = [("Li2S", (1, 1, 1)), ("LiCl", (1, 0, 0)), ("gamma_Li3PS4", (0, 1, 0)), ("LiOH", (0, 0, 1))]


@pytest.mark.parametrize(("name", "miller"), FACES)
def test_face_is_neutral_nonpolar_and_breaks_no_group(name: str, miller: tuple[int, int, int]) -> None:
    slab, crystal = surface(name, miller, 8.0, 12.0, min_length=5.0), bulk(name)
    assert slab.symbols.formula.reduce()[0] == crystal.symbols.formula.reduce()[0]
    assert formal_charges(slab).sum() == 0.0
    assert not slab.info["polar"]
    assert slab.info["broken_bonds"] == 0
    assert np.ptp(slab.positions[:, 2]) + 12.0 == pytest.approx(slab.cell[2, 2])
    assert np.ptp(slab.positions[:, 2]) > 5.0
    assert slab.cell[2, :2] == pytest.approx([0.0, 0.0])
    assert min_distance(slab) == pytest.approx(min_distance(crystal), abs=1e-4)
    assert min(slab.cell.lengths()[:2]) >= 5.0 - 1e-9


def test_rock_salt_111_is_known_to_be_polar() -> None:
    ends = terminations("LiCl", (1, 1, 1), 8.0, 10.0)
    assert abs(ends[0].dipole) > 0.1  # Tasker type 3: no stoichiometric (111) slab of rock salt is free of a dipole
    assert surface("LiCl", (1, 1, 1), 8.0, 10.0).info["polar"]


def test_charges_of_peroxide_phosphide_and_metal() -> None:
    assert set(formal_charges(bulk("Li2O2"))) == {1.0, -1.0}
    assert set(formal_charges(bulk("Li3P"))) == {1.0, -3.0}
    assert not formal_charges(bulk("Li")).any()
    with pytest.raises(UserError, match="add up to"):
        formal_charges(Atoms("Li2Cl"))
    with pytest.raises(UserError, match="no formal charge is known for Au"):
        formal_charges(Atoms("AuCl"))


def test_faces_are_listed_once() -> None:
    assert len(faces(1)) == 13
    with pytest.raises(UserError, match="Miller"):
        surface("Li", (0, 0, 0))


def test_grains_moved_apart_keep_their_formula_units() -> None:
    """Li6PS5Cl sigma 5: without a gap whole units are lost; 1 Å apart none is, and the cell is 2 Å higher."""
    close, apart = (grain_boundary("Li6PS5Cl", 5, (0, 0, 1), (2, 1, 0), 10.0, (0.0, 0.0), gap=gap) for gap in (0.0, 1.2))
    assert close.info["removed"] > apart.info["removed"]
    assert apart.cell[2, 2] == pytest.approx(close.cell[2, 2] + 2.4)
    upper = apart[apart.get_tags() == 2].positions[:, 2]
    lower = apart[apart.get_tags() == 1].positions[:, 2]
    assert upper.min() - lower.max() >= 1.2
