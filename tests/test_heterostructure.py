"""Coherent interfaces of two crystals: strain of each side, contact, composition, limits."""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from atomistic import heterostructure as heterostructures
from atomistic import slabs
from atomistic.heterostructure import LOWER, UPPER, contact, heterostructure, parts
from atomistic.structures import bulk
from atomistic.surface_energy import work_of_adhesion
from coupling.errors import UserError


def test_strain_is_shared_as_asked_and_stated() -> None:
    faces = {"lower_face": (1, 0, 0), "upper_face": (1, 0, 0), "thickness": (6.0, 6.0), "max_area": 90.0, "max_strain": 0.1}
    one = heterostructure("LiCl", "LiF", upper_share=1.0, **faces)  # type: ignore[arg-type]
    half = heterostructure("LiCl", "LiF", upper_share=0.5, **faces)  # type: ignore[arg-type]
    assert np.allclose(one.info["strain_lower"], 0.0, atol=1e-9)
    assert 0 < max(np.abs(one.info["strain_upper"])) <= 0.1
    assert np.sign(max(half.info["strain_lower"], key=abs)) == -np.sign(max(half.info["strain_upper"], key=abs))
    assert max(np.abs(half.info["strain_upper"])) == pytest.approx(max(np.abs(one.info["strain_upper"])) / 2, rel=0.1)
    # the stated strain is the one that the distances in the plane have: the side cells hold whole rows of LiCl
    lower = one[one.get_tags() == LOWER]
    assert lower.get_all_distances(mic=True)[0][1:].min() == pytest.approx(5.1398 / 2, abs=1e-6)


@pytest.mark.parametrize("vacuum", [0.0, 10.0])
def test_sides_touch_as_hard_spheres_and_keep_their_composition(vacuum: float) -> None:
    joined = heterostructure("Li2S", "Li", (1, 1, 0), (1, 0, 0), (6.0, 6.0), 150.0, 0.07, vacuum=vacuum)
    tags, symbols = joined.get_tags(), np.array(joined.get_chemical_symbols())
    phase = joined[tags == LOWER]
    assert phase.symbols.formula.reduce()[0] == bulk("Li2S").symbols.formula.reduce()[0]
    assert set(symbols[tags == UPPER]) == {"Li"}
    distance = joined.get_all_distances(mic=True)
    ratio = [
        distance[i, j] / contact(symbols[i], symbols[j])
        for i in np.flatnonzero(tags == LOWER)
        for j in np.flatnonzero(tags == UPPER)
    ]
    assert min(ratio) == pytest.approx(1.0, abs=1e-5)
    assert joined.info["interfaces"] == (1 if vacuum else 2)
    assert joined.info["area"] == pytest.approx(np.linalg.norm(np.cross(joined.cell[0], joined.cell[1])))


def test_the_sides_of_an_oblique_contact_keep_their_cell_and_far_apart_do_not_adhere() -> None:
    joined = heterostructure("Li2O", "Li", (1, 1, 0), (1, 0, 0), (5.0, 5.0), 160.0, 0.065, vacuum=12.0)
    assert abs(joined.cell.angles()[2] - 90) > 5
    lower, upper = parts(joined, vacuum=12.0)
    assert len(lower) + len(upper) == len(joined)
    for piece in (lower, upper):
        assert np.array(piece.cell)[:2] == pytest.approx(np.array(joined.cell)[:2])
        assert np.array(piece.cell)[2, 2] == pytest.approx(np.ptp(piece.positions[:, 2]) + 12.0)
    apart = joined.copy()
    moving = apart.get_tags() == UPPER
    apart.positions[moving, 2] += 20.0
    apart.set_cell(np.array(apart.cell) + np.diag([0.0, 0.0, 20.0]))
    calculator = LennardJones(sigma=2.2, epsilon=0.01, rc=6.0)
    shifts = [(0.0, 0.0), (1.0, 0.5)]
    near, far = (work_of_adhesion(one, upper, lower, moving, shifts, calculator, steps=0) for one in (joined, apart))
    assert far.value == pytest.approx(0.0, abs=1e-9)
    assert near.value > 1e-3


def test_a_large_cell_is_cut_and_matched_in_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLZO (192 atoms) on lithium: a few slabs are made instead of 56; the best cut is the one with the least dipole of all."""
    from pymatgen.core.surface import SlabGenerator

    made: list[float] = []
    whole = SlabGenerator.get_slab
    monkeypatch.setattr(SlabGenerator, "get_slab", lambda self, *a, **more: (made.append(1.0), whole(self, *a, **more))[1])
    joined = heterostructure("LLZO_cubic_ordered", "Li", (0, 0, 1), (1, 0, 0), (8.0, 4.0), 200.0, 0.065, vacuum=12.0)
    assert 1 < len(made) <= 2 * slabs.MOST  # lithium's own among them
    phase = joined[joined.get_tags() == LOWER]
    assert phase.symbols.formula.reduce()[0] == bulk("LLZO_cubic_ordered").symbols.formula.reduce()[0]
    assert max(np.abs(joined.info["strain_upper"])) < 0.065


def test_promising_cuts_are_those_that_a_full_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """beta-Li3PS4 (100): the quick way and pymatgen's comparison of all slabs agree on the best termination."""
    every = slabs.terminations("beta_Li3PS4", (1, 0, 0), 8.0, 10.0)[0]
    monkeypatch.setattr(slabs, "LARGE", 0)
    few = slabs.terminations("beta_Li3PS4", (1, 0, 0), 8.0, 10.0)[0]
    assert (few.broken, len(few.atoms)) == (every.broken, len(every.atoms))
    assert abs(few.dipole) == pytest.approx(abs(every.dipole), abs=1e-6)


def test_a_search_without_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heterostructures, "SEARCH_SECONDS", 0.0)
    with pytest.raises(UserError, match=r"max_area = 90 Å².*lower max_area"):
        heterostructure("LiCl", "LiF", max_area=90.0, max_strain=0.001, thickness=(4.0, 4.0))
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"surface cells alone take 26 Å².*raise one|surface cells alone take 13 Å².*raise one"):
        heterostructure("LiCl", "LiF", max_area=5.0, thickness=(4.0, 4.0))


def test_no_match_tells_the_least_strain() -> None:
    with pytest.raises(UserError, match=r"max_strain = 0.1%.*raise one"):
        heterostructure("LiCl", "LiF", max_area=40.0, max_strain=0.001)
    with pytest.raises(UserError, match="upper_share"):
        heterostructure("LiCl", "LiF", upper_share=2.0)
