"""A part of a cell with surroundings that move and others that stand still."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential
from test_nucleation_study import STUDY

from atomistic import nucleation_study
from atomistic.cutout import cut_out
from atomistic.metadynamics import Bias, Hills
from atomistic.walkers import Molecular, torch_variable
from coupling.errors import UserError

pytest.importorskip("torch", reason="needs torch")


def crystal() -> Atoms:
    atoms = bulk("Ar", a=5.3, cubic=True).repeat((2, 2, 10))
    atoms.rattle(0.15, seed=1)
    return atoms


def potential() -> PairPotential:
    return PairPotential(0.0104, 3.4, 6.0)


@pytest.mark.parametrize("low", [24.0, 1.0])  # in the middle, and so that it reaches over the cell's end
def test_moving_atoms_feel_the_whole_cell(low: float) -> None:
    whole = crystal()
    whole.wrap()
    moved = whole.copy()
    moved.rattle(0.1, seed=2)
    first, second = cut_out([whole, moved], low, low + 4.0, moving=5.0, still=6.8, axis=2)
    assert len(first) == len(second) < 0.6 * len(whole)
    (held,) = (one.index for one in first.constraints)
    free = np.setdiff1d(np.arange(len(first)), held)
    assert 0 < len(free) < len(first)
    for atoms, part in ((whole, first), (moved, second)):
        forces = {tuple(position): force for position, force in zip(atoms.positions, potential().get_forces(atoms), strict=True)}
        theirs = np.array([forces[tuple(position)] for position in part.positions])
        part.calc = potential()
        np.testing.assert_allclose(part.get_forces(apply_constraint=False)[free], theirs[free], atol=1e-12)
        assert np.abs(part.get_forces(apply_constraint=False)[held] - theirs[held]).max() > 1e-3


def test_a_cell_lower_than_its_surroundings_moves_as_a_whole() -> None:
    whole = crystal()
    (same,) = cut_out([whole], 20.0, 24.0, moving=60.0, still=5.0)
    assert (len(same), same.constraints) == (len(whole), [])
    with pytest.raises(UserError, match="no atom between"):
        cut_out([Atoms("Ar", cell=[9, 9, 30], pbc=True)], 10.0, 12.0, 5.0, 5.0)


def test_atoms_that_stand_still_stay_and_hold_the_others() -> None:
    """A bias on the distance of two atoms acts on the one that moves; a restart gives the same."""
    whole = crystal()
    (part,) = cut_out([whole], 24.0, 28.0, 5.0, 7.0)
    (held,) = (one.index for one in part.constraints)
    free = np.setdiff1d(np.arange(len(part)), held)
    variable = torch_variable(lambda r: ((r[free[0]] - r[held[0]]) ** 2).sum().sqrt())
    walkers = Molecular([part, part], potential(), variable, 40.0, timestep_fs=5.0, seed=3)
    bias = Bias(Hills(5.0, 40.0, 1001, 0.2, 0.01, 0.0034, 5.0))
    before, everyone = walkers.values().copy(), np.arange(2)
    bias.deposit(before, everyone)
    for _ in range(20):
        walkers.advance(bias, everyone)
    assert walkers.state()["positions"].shape == (2, len(free), 3)
    for field in walkers.fields:
        np.testing.assert_array_equal(field.atoms.positions[held], part.positions[held])
        assert np.abs(field.atoms.positions[free] - part.positions[free]).min() > 0
    kept = walkers.state()
    walkers.advance(bias, everyone)
    after = walkers.values().copy()
    walkers.restore(kept)
    walkers.advance(bias, everyone)
    assert walkers.values() == pytest.approx(after, abs=1e-9)
    part.set_constraint([])
    with pytest.raises(UserError, match="every atom is held fixed"):
        Molecular([cut_out([whole], 24.0, 28.0, 1e-9, 7.0)[0][held[:3]]], potential(), variable, 40.0)


def test_a_study_leaves_out_what_is_far_from_its_place(tmp_path) -> None:
    gas = Atoms("Ar40", positions=8.0 * np.argwhere(np.ones((2, 2, 10))) + 2.0, cell=[16.0, 16.0, 80.0], pbc=True)
    ase.io.write(tmp_path / "gas.xyz", gas, format="extxyz")
    text = STUDY.format(length="3 ps").replace("vapour.xyz", "gas.xyz")
    text = text[: text.index("[infrequent]")] + '[surroundings]\nmoving = "9 angstrom"\nstill = "9 angstrom"\n'
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UserError, match=r"surroundings: .*add a \[\[place\]\]"):
        nucleation_study.read_study(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_text(text + '[[place]]\nname = "middle"\nlow = "32 angstrom"\nhigh = "44 angstrom"\n')
    study = nucleation_study.read_study(tmp_path / "study.toml")
    (near,) = nucleation_study._near(study, nucleation_study.starts(study), study.place[0])
    assert len(near) == 4 * 6
    records = nucleation_study.run(study, tmp_path / "out", calculator=potential())
    assert records
    assert records[0].source["surroundings_m"] == {"moving": pytest.approx(9e-10), "still": pytest.approx(9e-10)}
    assert records[0].source["atoms"] == 40
