"""Committees: means and spreads as defined, members of different architecture, broken folders; disagreement of potentials."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.io import write

from atomistic import committee, dataset, disagreement, mace_model, potential, tensors
from coupling.atomic import write_json
from coupling.errors import UserError

LPSCL = potential.SHIPPED / "lpscl" / "member-0"
FILES = (mace_model.CONFIG, mace_model.STATE, mace_model.TEXT)


def lennard_jones(depth: float, size: float = 2.3) -> LennardJones:
    return LennardJones(epsilon=depth, sigma=size, rc=5.0, smooth=True)


def copper(seed: int = 0) -> Atoms:
    atoms = bulk("Cu", a=3.6, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee of the shipped model and a small untrained one of other channels, cutoff and order (mace-torch alone)."""
    import torch

    target = tmp_path_factory.mktemp("committee") / "pair"
    (target / "member-0").mkdir(parents=True)
    for name in FILES:
        shutil.copy(LPSCL / name, target / "member-0" / name)
    config = json.loads((LPSCL / mace_model.CONFIG).read_text())
    torch.manual_seed(1)
    small = mace_model.build(config | {"hidden_irreps": "8x0e", "r_max": 4.0, "correlation": 2})
    (target / "member-1").mkdir()
    write_json(target / "member-1" / mace_model.CONFIG, mace_model.config_of(small))
    arrays = {name: value.detach().numpy() for name, value in small.state_dict().items()}
    tensors.save(target / "member-1" / mace_model.STATE, arrays)
    return target


def test_results_are_means_and_root_mean_square_spreads() -> None:
    atoms, members = copper(), [lennard_jones(0.1), lennard_jones(0.2), lennard_jones(0.2, 2.4)]
    energies = np.array([member.get_property("energy", atoms) for member in members])
    forces = np.array([member.get_property("forces", atoms) for member in members])
    stresses = np.array([member.get_property("stress", atoms) for member in members])
    atoms.calc = committee.Committee(members)
    assert atoms.get_potential_energy() == pytest.approx(energies.mean())
    np.testing.assert_allclose(atoms.get_forces(), forces.mean(axis=0))
    np.testing.assert_allclose(atoms.get_stress(), stresses.mean(axis=0))
    found = atoms.calc.uncertainty(atoms)
    assert found.energy_std == pytest.approx(np.sqrt(np.mean((energies - energies.mean()) ** 2)))
    assert found.energy_std_per_atom == pytest.approx(found.energy_std / len(atoms))
    assert found.forces_std.shape == (len(atoms),)
    for atom in range(len(atoms)):
        away = [np.linalg.norm(force[atom] - forces[:, atom].mean(axis=0)) ** 2 for force in forces]
        assert found.forces_std[atom] == pytest.approx(np.sqrt(np.mean(away)))
    assert found.largest_force_std == found.forces_std.max() > 0.01
    np.testing.assert_allclose(found.stress_std, stresses.std(axis=0))


def test_equal_members_have_no_spread_and_the_spread_turns_with_the_crystal() -> None:
    atoms = copper()
    same = committee.Committee([lennard_jones(0.1), lennard_jones(0.1)]).uncertainty(atoms)
    assert same.energy_std == pytest.approx(0.0, abs=1e-12)
    assert same.largest_force_std == pytest.approx(0.0, abs=1e-12)
    two = committee.Committee([lennard_jones(0.1), lennard_jones(0.2)])
    before = two.uncertainty(atoms).forces_std
    atoms.rotate(37.0, (1, 2, 3), rotate_cell=True)
    np.testing.assert_allclose(two.uncertainty(atoms).forces_std, before, rtol=1e-9)


def test_open_cells_have_no_stress() -> None:
    atoms = copper()
    atoms.pbc = False
    assert committee.Committee([EMT(), lennard_jones(0.1)]).uncertainty(atoms).stress_std is None


def test_one_member_is_no_committee() -> None:
    with pytest.raises(UserError, match="a committee of 1: two or more"):
        committee.Committee([EMT()])
    with pytest.raises(UserError, match="has one member; an uncertainty needs a committee"):
        committee.load_committee("chgnet")


def test_members_of_different_architecture_answer_together(folder: Path) -> None:
    card = potential.describe(folder)
    assert (card.name, card.members, card.elements) == ("pair", 2, ("Li", "P", "S", "Cl"))
    assert card.size_bytes == sum(file.stat().st_size for file in folder.rglob("*.*") if file.is_file())
    alone = [potential.load(folder, engine="mace", member=member) for member in range(2)]
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    atoms.rattle(0.1)
    forces = np.array([member.get_property("forces", atoms) for member in alone])
    assert np.abs(forces[0] - forces[1]).max() > 1e-3
    both = committee.load_committee(folder, engine="mace")
    np.testing.assert_allclose(both.get_property("forces", atoms), forces.mean(axis=0), atol=1e-10)
    expected = np.linalg.norm(forces[0] - forces[1], axis=1) / 2
    np.testing.assert_allclose(both.uncertainty(atoms).forces_std, expected, rtol=1e-6)
    with pytest.raises(UserError, match="has no member 2; it has 2"):
        potential.load(folder, member=2)
    with pytest.raises(UserError, match="does not know O"):
        both.uncertainty(Atoms("O2", positions=[[0, 0, 0], [1.2, 0, 0]]))


def test_the_hash_covers_every_member(folder: Path, tmp_path: Path) -> None:
    before = potential.describe(folder).sha256
    shutil.copytree(folder, tmp_path / "pair")
    state = tmp_path / "pair" / "member-1" / mace_model.STATE
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    assert potential.describe(tmp_path / "pair").sha256 != before


def test_broken_committees_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in (mace_model.CONFIG, mace_model.STATE):
        shutil.copytree(folder, broken := tmp_path / f"no-{name}")
        (broken / "member-1" / name).unlink()
        with pytest.raises(UserError, match=f"member-1/{name}: missing; a committee needs every file"):
            potential.describe(broken)
    shutil.copytree(folder, gap := tmp_path / "gap")
    (gap / "member-1").rename(gap / "member-2")
    with pytest.raises(UserError, match=r"member-1/config.json: missing"):
        potential.load(gap)
    shutil.copytree(folder, other := tmp_path / "other")
    config = json.loads((other / "member-1" / mace_model.CONFIG).read_text())
    (other / "member-1" / mace_model.CONFIG).write_text(json.dumps(config | {"atomic_numbers": [3, 8, 16, 17]}))
    with pytest.raises(UserError, match="covers Li, O, S, Cl, member-0 covers Li, P, S, Cl"):
        potential.describe(other)
    (other / "member-1" / mace_model.CONFIG).write_text("[1, 2]")
    with pytest.raises(UserError, match=r"member-1/config.json: not the config of a MACE model"):
        potential.describe(other)


def test_files_of_different_models_do_not_mix(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "member-0", mixed := tmp_path / "mixed")
    text = json.loads((mixed / mace_model.TEXT).read_text())
    (mixed / mace_model.TEXT).write_text(json.dumps(text | {"atomic_numbers": [3, 8, 16, 17]}))
    if potential.importlib.util.find_spec("symmetrix"):
        with pytest.raises(UserError, match=r"symmetrix.json: holds a model of other elements"):
            potential.load(mixed, engine="symmetrix")
    shutil.copy(folder / "member-1" / mace_model.STATE, mixed / mace_model.STATE)
    with pytest.raises(UserError, match=r"model.safetensors does not fit config.json"):
        potential.load(mixed, engine="mace")


def test_disagreement_removes_offsets_and_finds_the_worst_frame() -> None:
    """The same potential with other constants per element agrees in all; a different one by what its answers tell."""
    frames = []
    for seed in range(6):
        atoms = copper(seed)
        atoms.numbers[: 1 + seed % 3] = 28
        atoms.info["family"] = "crystal" if seed < 3 else "strained"
        frames.append(atoms)
    frames[4].rattle(0.3, seed=9)
    rows = disagreement.compare(frames, {"a": _Shifted({28: 3.0, 29: -1.0}), "b": EMT(), "c": lennard_jones(0.4)})
    assert [(row.first, row.second, row.family) for row in rows[:3]] == [
        ("a", "b", "all"),
        ("a", "b", "crystal"),
        ("a", "b", "strained"),
    ]
    assert [row.frames for row in rows[:3]] == [6, 3, 3]
    for row in rows[:3]:
        assert row.energy == pytest.approx(0.0, abs=1e-6)
        assert row.force == pytest.approx(0.0, abs=1e-6)
    far = rows[3]
    differences = [EMT().get_property("forces", f) - lennard_jones(0.4).get_property("forces", f) for f in frames]
    assert far.force == pytest.approx(1e3 * np.sqrt(np.mean(np.square(differences))))
    largest = [np.linalg.norm(difference, axis=1).max() for difference in differences]
    assert far.worst_frame == int(np.argmax(largest)) == 4
    assert far.worst_force == pytest.approx(1e3 * max(largest))
    assert far.energy is not None
    assert far.energy > 1.0
    assert far.stress is not None
    assert rows[5].worst_frame == 4


def test_too_few_frames_tell_no_energy_difference() -> None:
    """With one composition the mean difference is an offset; with one frame nothing is left."""
    row = disagreement.compare([copper()], {"a": EMT(), "b": lennard_jones(0.4)})[0]
    assert row.energy is None
    assert row.force > 0
    assert json.dumps(disagreement.as_json([row]))
    assert len(disagreement.table_row(row)) == len(disagreement.HEADER)


def test_disagreement_refuses_what_it_cannot_compare(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two or more potentials"):
        disagreement.compare([copper()], {"a": EMT()})
    with pytest.raises(UserError, match="no structure"):
        disagreement.compare([], {"a": EMT(), "b": EMT()})
    with pytest.raises(UserError, match=r"frame 1 \(O2\): potential 'lpscl' does not know O"):
        disagreement.compare(
            [bulk("LiCl", "rocksalt", a=5.1), Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]])],
            {"lpscl": potential.load("lpscl"), "morse": MorsePotential()},
        )
    (tmp_path / "bad.xyz").write_text("nonsense")
    with pytest.raises(UserError, match=r"bad.xyz: no structures that ASE can read"):
        disagreement.read_frames(tmp_path / "bad.xyz")
    write(tmp_path / "good.xyz", [copper(), copper(1)], format="extxyz")
    assert len(disagreement.read_frames(tmp_path / "good.xyz")) == 2


def test_a_training_set_is_read_with_its_families(tmp_path: Path) -> None:
    frame = copper()
    frame.arrays["REF_forces"] = np.zeros((len(frame), 3))
    frame.info |= {"REF_energy": -1.0, "REF_stress": np.zeros(6), "family": "melt"}
    dataset.write(tmp_path / "set.h5", [frame], dataset.LabelSettings("test", "1"))
    (back,) = disagreement.read_frames(tmp_path / "set.h5")
    assert back.info["family"] == "melt"
    np.testing.assert_allclose(back.positions, frame.positions)


class _Shifted(EMT):
    """EMT with a constant energy for each atom of an element."""

    def __init__(self, offsets: dict[int, float]) -> None:
        super().__init__()
        self.offsets = offsets

    def calculate(self, atoms=None, properties=("energy",), system_changes=("positions", "numbers", "cell", "pbc")) -> None:
        super().calculate(atoms, properties, list(system_changes))
        self.results["energy"] += sum(self.offsets[int(number)] for number in atoms.numbers)
