"""Partly filled sites: Madelung constant, distances, composition, seeds, and what electrostatics prefers."""

import numpy as np
import pytest
from ase import Atoms

from atomistic.disorder import disordered, ewald_energy, ewald_matrix, exchanged
from atomistic.slabs import formal_charges
from atomistic.starts import Structure, start
from atomistic.structures import argyrodite, bulk
from coupling.errors import UserError

COULOMB = 14.3996448  # e²/(4πε₀), eV Å


def test_ewald_sum_gives_the_madelung_constant_of_rock_salt() -> None:
    crystal = bulk("LiCl")
    madelung = -ewald_energy(crystal) / 4 * (5.1398 / 2) / COULOMB
    assert madelung == pytest.approx(1.7475646, abs=1e-5)
    charges = formal_charges(crystal)
    assert charges @ ewald_matrix(crystal) @ charges == pytest.approx(ewald_energy(crystal), rel=1e-9)


def lithium_distance(atoms: Atoms) -> float:
    """Shortest distance between two lithium atoms, Å."""
    own = atoms[atoms.symbols == "Li"]
    distance = own.get_all_distances(mic=True)
    np.fill_diagonal(distance, np.inf)
    return float(distance.min())


def test_cubic_garnet_holds_56_lithium_none_too_near() -> None:
    first, again, other = (disordered("LLZO_cubic_allsites", "random", seed) for seed in (1, 1, 2))
    assert first.get_chemical_formula() == "La24Li56O96Zr16"
    assert lithium_distance(first) >= 2.0
    assert np.array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, other.positions)
    assert first.info["ewald"] == pytest.approx(ewald_energy(first), rel=1e-6)


def test_electrostatic_choice_beats_the_random_ones() -> None:
    chosen = disordered("Li6PS5Cl_48h", "electrostatic", seed=5, candidates=3, moves=1000)
    random = [disordered("Li6PS5Cl_48h", "random", seed) for seed in range(4)]
    assert chosen.get_chemical_formula() == random[0].get_chemical_formula() == "Cl4Li24P4S20"
    assert ewald_energy(chosen) < min(ewald_energy(atoms) for atoms in random) - 0.5
    assert lithium_distance(chosen) >= 2.0


def test_ordered_choice_is_the_shipped_one_and_mistakes_are_refused() -> None:
    assert disordered("LLZO_cubic_allsites", "ordered") == bulk("LLZO_cubic_ordered")
    with pytest.raises(UserError, match="unknown disordered crystal"):
        disordered("LiCl")
    with pytest.raises(UserError, match="unknown way to fill sites"):
        disordered("Li6PS5Cl_48h", "lowest")
    with pytest.raises(UserError, match="lower `closest`"):
        disordered("Li6PS5Cl_48h", closest=6.0)


def test_exchanged_anions_have_the_least_energy_of_their_candidates() -> None:
    """Half of the S and Cl of two cells exchanged: the best of the random choices, of the same composition, by a seed."""
    twice = (2, 1, 1)
    chosen = exchanged(0.5, twice, seed=3, candidates=4)
    assert chosen.info["disorder"] == 0.5
    assert chosen.symbols.formula.count() == argyrodite(0.0, twice).symbols.formula.count()
    seeds = np.random.default_rng(3).integers(2**31, size=4)
    others = [ewald_energy(argyrodite(0.5, twice, int(one))) for one in seeds]
    assert np.ptp(others) > 0.1
    assert ewald_energy(chosen) == pytest.approx(min(others)) == chosen.info["ewald"]
    assert np.array_equal(chosen.numbers, exchanged(0.5, twice, seed=3, candidates=4).numbers)


def test_recipes_ask_for_the_order_of_the_anions() -> None:
    made = start(Structure("x", "argyrodite", disorder=0.5, method="electrostatic"), 3)
    assert np.array_equal(made.numbers, exchanged(0.5, seed=3).numbers)
    ordered = start(Structure("x", "argyrodite", disorder=0.5, method="ordered", min_length=12.0), 3)
    assert np.array_equal(ordered.numbers, argyrodite(0.0, (2, 2, 2)).numbers)
    with pytest.raises(UserError, match="unknown way to exchange S and Cl 'lowest'"):
        start(Structure("x", "argyrodite", method="lowest"), 3)
