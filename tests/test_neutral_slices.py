"""Slices that no cut charges: formal charges of crystals and groups, faces that move to a neutral cut, groups left whole."""

import numpy as np
import pytest
from ase import Atoms
from spring import Spring

from atomistic import neutral_slices as slices
from atomistic.structures import argyrodite, bulk, names
from coupling.errors import RunFailure, UserError


@pytest.mark.parametrize("name", [name for name in names() if set(bulk(name).symbols) != {"Li"}])
def test_every_crystal_is_neutral_by_its_formal_charges(name: str) -> None:
    assert slices.formal_charges(bulk(name)).sum() == 0


FOUR = 1.18 * np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
"""Sulfur around phosphorus, Å."""


@pytest.mark.parametrize(("charge", "group"), [
    (-3, Atoms("PS4", [[0, 0, 0], *FOUR])), (-4, Atoms("PS4PS3", [[0, 0, 0], *FOUR, 2 * FOUR[0], *(2 * FOUR[0] - FOUR[1:])])),
    (-4, Atoms("PS3PS3", [[0, 0, 0], *FOUR[1:], 1.1 * FOUR[0], *(1.1 * FOUR[0] - FOUR[1:])])),
    (-2, Atoms("S2", [[0, 0, 0], [2.05, 0, 0]])),
], ids=["PS4", "P2S7", "P2S6", "S2"])  # fmt: skip
def test_charges_of_groups_follow_the_octet_rule(charge: int, group: Atoms) -> None:
    group.set_cell([20, 20, 20])
    group.pbc = True
    assert slices.formal_charges(group).sum() == charge
    assert slices.units(group) == f"1 {group.get_chemical_formula()}"


def test_a_slice_of_a_period_is_the_crystal() -> None:
    part = slices.cut(bulk("LiCl").repeat((1, 1, 3)), 0.0, bulk("LiCl").cell[2, 2])
    assert np.allclose(part.atoms.cell.array, bulk("LiCl").cell.array)
    assert part.atoms.get_chemical_formula() == bulk("LiCl").get_chemical_formula()
    assert (part.opening, part.metal) == (0.0, 0)
    thin = slices.cut(bulk("LiCl").repeat((1, 1, 3)), 0.0, 2.55)
    assert len(thin.atoms) == 4
    assert not np.allclose(thin.atoms.cell.array[2, :2], 0), "like atoms would meet: the faces are offset"


def test_a_face_moves_to_where_the_slice_is_neutral() -> None:
    """Planes of sulfur and of lithium alternate along an edge of Li2S: one more of lithium than of sulfur leaves charges."""
    stack = bulk("Li2S").repeat((1, 1, 3))
    edge = bulk("Li2S").cell[2, 2]
    low, high = edge / 8, 11 / 8 * edge  # from above a plane of S to above the plane of Li that lies an edge and a quarter higher
    with pytest.raises(UserError, match=r"formal charge of \+4 e at the least, carriers that the cut makes; .*now 0 Å"):
        slices.cut(stack, low, high)
    part = slices.cut(stack, low, high, shift=0.3 * edge)
    assert slices.formal_charges(part.atoms).sum() == 0
    assert part.atoms.get_chemical_formula(empirical=True) == "Li2S"
    assert 0 < abs(part.low - low) + abs(part.high - high) <= 0.6 * edge
    assert slices.conditions(part)["slice_m"] == pytest.approx([part.low * 1e-10, part.high * 1e-10])


@pytest.mark.parametrize("start", [0.0, 2.0, 4.1])
def test_groups_stay_whole_wherever_the_faces_lie(start: float) -> None:
    """The faces of a period cut through PS4 groups, at the border of the cell, too; the crystal comes out whichever they are."""
    crystal = argyrodite(0.0)
    height = crystal.cell[2, 2]
    stack = crystal.repeat((1, 1, 2))
    stack.wrap()
    part = slices.cut(stack, start, start + height, shift=0.5)
    assert slices.units(part.atoms) == slices.units(crystal) == "4 Cl, 24 Li, 4 PS4, 4 S"


def test_lithium_keeps_its_electrons() -> None:
    part = slices.cut(bulk("Li").repeat((3, 3, 4)), 0.0, 2 * bulk("Li").cell[2, 2])
    assert (part.metal, slices.conditions(part)["formal_charge_e"]) == (36, 36)
    with pytest.raises(UserError, match="odd number of electrons"):
        slices.cut(bulk("Li").repeat((3, 3, 4)), 0.0, bulk("Li").cell[2, 2] / 3)


@pytest.mark.parametrize(("low", "high", "shift", "message"), [
    (5.0, 4.0, 0.0, "two rising depths"), (0.0, 99.0, 0.0, "two rising depths"), (0.3, 0.5, 0.0, "no atom"),
    (0.0, 2.58, 0.0, "too near where its faces meet"), (0.0, 15.0, 1.0, "thicker than the cell"),
])  # fmt: skip
def test_impossible_slices_are_refused(low: float, high: float, shift: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        slices.cut(bulk("LiCl").repeat((1, 1, 3)), low, high, shift)


def test_an_element_without_formal_charge_is_named() -> None:
    with pytest.raises(UserError, match="none known for Ge"):
        slices.formal_charges(Atoms("Ge", cell=[5, 5, 5], pbc=True))


def test_a_relaxation_that_breaks_a_bond_is_told() -> None:
    """A sulfur atom drawn 1 Å away from its phosphorus leaves PS3, which lacks two electrons with it."""
    crystal = argyrodite(0.0)
    part = slices.cut(crystal.repeat((1, 1, 2)), 0.0, crystal.cell[2, 2])
    wanted = part.atoms.positions.copy()
    at_rest, force = slices.settled(part, Spring(wanted), 20)
    assert force == 0
    assert np.array_equal(at_rest.positions, wanted)
    first, second = slices._bonds(part.atoms, ("P", "S"))
    sulfur, phosphorus = next((i, j) for i, j in zip(first, second, strict=True) if part.atoms.symbols[i] == "S")
    bond = part.atoms.get_distance(phosphorus, sulfur, mic=True, vector=True)
    wanted[sulfur] += bond / np.linalg.norm(bond)
    with pytest.raises(RunFailure, match=r"formal charge of -2 e after bonds formed or broke .*PS3"):
        slices.settled(part, Spring(wanted), 40)
