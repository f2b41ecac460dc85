"""Phases: rotation, a blind stack of four crystals, what is none of them, profiles; features equal mace-torch's."""

import numpy as np
import pytest
from ase import Atoms

from atomistic import phases
from atomistic.structures import bulk, supercell
from coupling.errors import UserError

LATERAL, GAP = 21.2, 2.4  # Å
CRYSTALS = ("Li", "Li2S", "Li3P", "LiCl")


@pytest.fixture(scope="module")
def describe() -> phases.Describe:
    return phases.mace_descriptors("lpscl")


def slab(name: str) -> Atoms:
    """A crystal strained by at most 5 % to LATERAL in both directions, about 15 Å thick."""
    half, third = 5.719 / np.sqrt(2), 4.273 * np.sqrt(3)
    cells = {
        "Li": (bulk("Li"), (6, 6, 4)),
        "LiCl": (bulk("LiCl"), (4, 4, 3)),
        "Li2S": (
            Atoms("S2Li4", cell=[half, half, 5.719], pbc=True,
                  scaled_positions=[[0, 0, 0], [.5, .5, .5], [0, .5, .25], [.5, 0, .25], [0, .5, .75], [.5, 0, .75]]),
            (5, 5, 3),
        ),
    }  # fmt: skip
    if name == "Li3P":
        from ase.build import make_supercell

        atoms, repeat = make_supercell(bulk("Li3P"), [[1, 0, 0], [1, 2, 0], [0, 0, 1]]), (5, 3, 2)
        assert atoms.cell.lengths()[1] == pytest.approx(third)
    else:
        atoms, repeat = cells[name]
    atoms = atoms.repeat(repeat)
    atoms.set_cell(np.diag([LATERAL, LATERAL, atoms.cell.lengths()[2]]), scale_atoms=True)
    return atoms


def stack(seed: int, rattle: float = 0.2) -> tuple[Atoms, np.ndarray]:
    """Li, Li2S, Li3P and LiCl one above the other, with thermal displacements, and the truth atom by atom."""
    height, positions, symbols, truth = 0.0, [], [], []
    for name in CRYSTALS:
        part = slab(name)
        places = part.positions - [0, 0, part.positions[:, 2].min() - height]
        positions.append(places)
        symbols += part.get_chemical_symbols()
        truth += [name] * len(part)
        height = places[:, 2].max() + GAP
    atoms = Atoms(symbols, positions=np.concatenate(positions), cell=[LATERAL, LATERAL, height], pbc=True)
    atoms.positions += np.random.default_rng(seed).normal(0, rattle, atoms.positions.shape)
    return atoms, np.array(truth)


@pytest.mark.parametrize("rattle", [0.1, 0.2])
def test_a_blind_stack_is_read(describe: phases.Describe, rattle: float) -> None:
    """95 % of the atoms of Li | Li2S | Li3P | LiCl get their phase, and the profile shows the layers in order."""
    atoms, truth = stack(0, rattle)
    found = phases.classify([atoms], phases.references(CRYSTALS), describe)
    names = found.phases()
    assert np.mean(names == truth) >= 0.95
    depths, shares = phases.profile(atoms, names)
    centres = [np.average(depths, weights=shares[name]) for name in CRYSTALS]
    assert centres == sorted(centres)
    for name in CRYSTALS:
        assert phases.thickness(depths, shares[name]) == pytest.approx(15.0, abs=5.0)


def test_what_is_no_reference_is_not_named_after_one(describe: phases.Describe) -> None:
    """Li6PS5Cl against Li2S, Li3P and LiCl alone: phosphorus in PS4 and most sulfur are none of them."""
    atoms = supercell(bulk("Li6PS5Cl"), 19.0)
    atoms.positions += np.random.default_rng(3).normal(0, 0.1, atoms.positions.shape)
    found = phases.classify([atoms], phases.references(("Li2S", "Li3P", "LiCl"), rattle=0.1), describe)
    names = found.phases()
    assert set(names[atoms.numbers > 3]) == {phases.OTHER}
    wide = phases.classify([atoms], phases.references(("Li2S", "Li3P", "LiCl")), describe)  # a reference's own spread hides it
    assert set(wide.phases()[atoms.numbers == 15]) == {phases.OTHER}


def test_descriptors_do_not_see_rotations(describe: phases.Describe) -> None:
    """A turned crystal has the same descriptors within rounding."""
    atoms = supercell(bulk("Li3P"), 5.0)
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    assert describe(turned) == pytest.approx(describe(atoms), abs=1e-9)


def test_features_are_those_of_mace_torch() -> None:
    """The invariant features after the first layer equal what mace-torch's own network gives."""
    from atomistic import fast_mace, mace_model, potential

    model = mace_model.load(potential.members_of(potential.folder_of("lpscl"))[0])
    atoms = bulk("Li6PS5Cl")
    atoms.positions += np.random.default_rng(2).normal(0, 0.05, atoms.positions.shape)
    with mace_model.undisturbed():
        from mace.calculators import MACECalculator

        calculator = MACECalculator(models=[model], device="cpu", default_dtype="float64")
        theirs = calculator.get_descriptors(atoms, invariants_only=True, num_layers=1)
    assert fast_mace.descriptors(model, atoms) == pytest.approx(np.asarray(theirs), abs=1e-9)


def test_features_know_nothing_of_another_model() -> None:
    """A model whose coupling tensors differ (single precision rounds them) leaves those of the next one alone."""
    from atomistic import fast_mace, mace_model, potential

    folder, atoms = potential.members_of(potential.folder_of("lpscl"))[0], bulk("Li6PS5Cl")
    model, other = mace_model.load(folder), mace_model.load(folder)
    exact = fast_mace.descriptors(model, atoms)
    for name, buffer in other.named_buffers():
        if "U_matrix" in name:
            buffer.mul_(1 + 1e-6)
    assert np.abs(fast_mace.descriptors(other, atoms) - exact).max() > 1e-9
    assert fast_mace.descriptors(mace_model.load(folder), atoms) == pytest.approx(exact, abs=1e-13)
    changed = fast_mace.descriptors(other, atoms)
    other.load_state_dict(model.state_dict())  # in place: what was read of the tensors before does not hold any more
    assert np.abs(fast_mace.descriptors(other, atoms) - changed).max() > 1e-9


def test_an_element_that_the_potential_does_not_know_is_refused(describe: phases.Describe) -> None:
    """Frames or references with one are told by the potential and the element."""
    with pytest.raises(UserError, match="'lpscl' does not know Ar"):
        phases.classify([Atoms("Ar4", cell=[5.3] * 3, pbc=True)], phases.references(["Li"]), describe)
    with pytest.raises(UserError, match="'lpscl' does not know F"):
        phases.classify([bulk("Li")], phases.references(["LiF"]), describe)


def test_nothing_to_class_is_refused(describe: phases.Describe) -> None:
    with pytest.raises(UserError, match="at least one frame"):
        phases.classify([], phases.references(("Li",)), describe)
    with pytest.raises(UserError, match="unknown structure"):
        phases.references(("Li2Q",))
