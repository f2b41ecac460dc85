"""A part of a cell with surroundings that move and others that stand still."""

from typing import ClassVar

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from pair_potential import PairPotential
from test_nucleation_study import STUDY

from atomistic import nucleation_study
from atomistic.cutout import cut_out
from atomistic.metadynamics import Bias, Hills
from atomistic.walkers import Molecular, moving_atoms, torch_variable
from coupling.errors import UserError

pytest.importorskip("torch", reason="needs torch")


def crystal(shear: float = 0.0) -> Atoms:
    atoms = bulk("Ar", a=5.3, cubic=True).repeat((2, 2, 10))
    if shear:
        atoms.set_cell(np.add(atoms.cell.array, [3 * [0.0], 3 * [0.0], [shear, -shear, 0.0]]), scale_atoms=True)
    atoms.rattle(0.15, seed=1)
    return atoms


class Springs(Calculator):
    """Every atom on a spring of its own (eV/Å²)."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, places: np.ndarray, stiffness: float) -> None:
        super().__init__()
        self.places, self.stiffness = places, stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.places
        self.results = {"energy": self.stiffness * (away**2).sum() / 2, "forces": -self.stiffness * away}


def potential() -> PairPotential:
    return PairPotential(0.0104, 3.4, 6.0)


@pytest.mark.parametrize(("low", "shear"), [(24.0, 0.0), (1.0, 0.0), (1.0, 7.0)])  # in the middle, over the end, cell askew
def test_moving_atoms_feel_the_whole_cell(low: float, shear: float) -> None:
    whole = crystal(shear)
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


def test_atoms_near_in_any_frame_are_kept_and_those_held_fixed_stay_so() -> None:
    """One atom comes near from what was left out of the first frame alone; farther wanderers are refused."""
    whole = crystal()
    (alone,) = cut_out([whole], 24.0, 28.0, 5.0, 7.0)
    second = whole.copy()
    outside = np.flatnonzero(~(whole.positions[:, None] == alone.positions).all(2).any(1))
    comes = outside[np.argmin(np.abs(whole.positions[outside, 2] - 41.0))]
    second.positions[comes, 2] -= 3.0
    first, other = cut_out([whole, second], 24.0, 28.0, 5.0, 7.0)
    assert len(first) == len(other) > len(alone)
    assert (other.positions == second.positions[comes]).all(1).any()
    second.positions[comes, 2] = 26.0
    with pytest.raises(UserError, match="farther than what stands still: give one frame, or wider"):
        cut_out([whole, second], 24.0, 28.0, 5.0, 7.0)
    inside = int(np.argmin(np.abs(whole.positions[:, 2] - 26.0)))
    whole.set_constraint(FixAtoms([inside - len(whole)]))
    (part,) = cut_out([whole], 24.0, 28.0, 5.0, 7.0)
    assert len(moving_atoms(part)) == len(moving_atoms(alone)) - 1
    with pytest.raises(UserError, match="the same atoms must be held fixed"):
        Molecular([alone, part], potential(), torch_variable(lambda r: r[0, 0]), 40.0)


def test_moving_atoms_have_the_temperature_and_their_own_masses() -> None:
    """Equipartition of both kinetic and elastic energy, of a light and a heavy element apart, among atoms that stand still."""
    atoms = Atoms("LiXe" * 20, positions=4.0 * np.arange(120).reshape(40, 3), cell=[500] * 3, pbc=True)
    atoms.set_constraint(FixAtoms(np.arange(0, 40, 5)))
    light = atoms.numbers[moving_atoms(atoms)] == 3
    springs = Springs(atoms.positions.copy(), 0.5)
    walkers = Molecular([atoms], springs, torch_variable(lambda r: r[0, 0]), 300.0, timestep_fs=4.0, friction_fs=60.0, seed=5)
    bias, kinetic, elastic = Bias(Hills(0.0, 1.0, 21, 0.2, 0.1, 0.0258, 5.0)), [], []
    for step in range(3000):
        walkers.advance(bias, np.arange(1))
        if step > 200 and step % 4 == 0:
            motion = walkers.integrators[0].motion
            kinetic.append((motion.momenta**2 / walkers.integrators[0].masses).mean(1) / units.kB)
            elastic.append(0.5 * ((motion.positions - springs.places[moving_atoms(atoms)]) ** 2).mean(1) / units.kB)
    for energies in (np.mean(kinetic, 0), np.mean(elastic, 0)):
        assert energies[light].mean() == pytest.approx(300.0, rel=0.08)
        assert energies[~light].mean() == pytest.approx(300.0, rel=0.08)


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
    text += '[[place]]\nname = "middle"\nlow = "32 angstrom"\nhigh = "44 angstrom"\n'
    (tmp_path / "study.toml").write_text(text.replace('"9 angstrom"', '"3 angstrom"'))
    with pytest.raises(UserError, match="moving and still are 6 Å; 7 are needed"):
        nucleation_study.read_study(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_text(text)
    study = nucleation_study.read_study(tmp_path / "study.toml")
    frames, times = nucleation_study.starts(study), (1e4 * np.random.default_rng(1).exponential(size=30)).tolist()
    (near,) = nucleation_study._near(study, frames, study.place[0])
    assert len(near) == 4 * 6
    records = nucleation_study.run(study, tmp_path / "out", calculator=potential())
    assert records
    escapes = {"times_fs": times, "acceleration": 2.0}
    (escaped,), _ = nucleation_study._escaped(study, escapes, 80.0, frames, "", study.place[0])
    for record in (records[0], escaped):
        assert record.source["surroundings_m"] == {"moving": pytest.approx(9e-10), "still": pytest.approx(9e-10)}
        assert (record.source["atoms_moving"], record.source["atoms_still"]) == (16, 8)
    assert records[0].source["atoms"] == 40


def test_places_follow_the_axis_and_kept_runs_what_stands_still(tmp_path) -> None:
    """A run of other surroundings, or of a start with atoms held fixed, is another run; a place without the element is told."""
    gas = Atoms("Ar40", positions=8.0 * np.argwhere(np.ones((10, 2, 2))) + 2.0, cell=[80.0, 16.0, 16.0], pbc=True)
    gas.numbers[gas.positions[:, 0] > 55] = 10
    ase.io.write(tmp_path / "gas.xyz", gas, format="extxyz")
    text = STUDY.format(length="3 ps").replace("vapour.xyz", "gas.xyz").replace("[cluster]", "[cluster]\naxis = 0")
    text += '[[place]]\nname = "middle"\nlow = "32 angstrom"\nhigh = "44 angstrom"\n'
    text += '[surroundings]\nmoving = "5 angstrom"\nstill = "4 angstrom"\n'
    (tmp_path / "study.toml").write_text(text)
    study = nucleation_study.read_study(tmp_path / "study.toml")
    frames, (place,) = nucleation_study.starts(study), study.place
    (near,) = nucleation_study._near(study, frames, place)
    assert sorted({float(x) for x in near.positions[:, 0]}) == [26.0, 34.0, 42.0, 50.0]
    assert nucleation_study._volume(gas, place, 0) == pytest.approx(12 * 16 * 16 * 1e-30)
    wider = study.model_copy(update={"surroundings": study.surroundings.model_copy(update={"still": 5e-10})})
    held = frames[0].copy()
    held.set_constraint(FixAtoms([0]))
    keys = [nucleation_study._tasks(one, [start], "")[0].key for one, start in
            ((study, frames[0]), (wider, frames[0]), (study, held))]  # fmt: skip
    assert len(set(keys)) == 3
    (tmp_path / "study.toml").write_text(text.replace('"32 ang', '"65 ang').replace('"44 ang', '"70 ang'))
    with pytest.raises(UserError, match=r"\[\[place\]\] middle: cluster: no Ar in the structure"):
        nucleation_study.starts(nucleation_study.read_study(tmp_path / "study.toml"))
