"""Training sets: both formats round-trip, units of foreign sets are declared, broken labels are refused with their number."""

import dataclasses
import resource

import h5py
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.io import write as ase_write

from atomistic import dataset
from atomistic.dataset import LabelSettings
from coupling.errors import RunFailure, UserError

PBE = LabelSettings("CP2K", "2025.1", functional="PBE", cutoff="400 Ry", further=(("smearing", "500 K"),))
ATOMIC = {3: -203.0, 16: -281.0}  # eV, about what a pseudopotential code gives


def frames(number=6):
    random = np.random.default_rng(3)
    made = []
    for i in range(number):
        atoms = bulk("Li", cubic=True) * (1 + i % 2, 1, 1)
        atoms.numbers[0] = 16 if i % 3 else 3
        atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
        atoms.set_tags(np.arange(len(atoms)))
        energy = sum(ATOMIC[z] for z in atoms.numbers) + random.normal(0, 0.05)
        atoms.info |= {"REF_energy": energy, "REF_stress": random.normal(0, 0.01, 6), "family": "crystal", "structure": f"s{i}"}
        atoms.info |= {"job": f"job-{i}", "seed": 7, "uncertainty": 0.5}
        atoms.arrays["REF_forces"] = random.normal(0, 0.5, (len(atoms), 3))
        made.append(atoms)
    return made


def test_compact_set_keeps_four_decimals_of_places_and_three_of_forces(tmp_path):
    given = frames(200)
    dataset.write(tmp_path / "whole.h5", given, PBE)
    dataset.write(tmp_path / "compact.h5", given, PBE, compact=True)
    assert [dataset.is_compact(tmp_path / name) for name in ("whole.h5", "compact.h5")] == [False, True]
    for one, back in zip(given, dataset.read(tmp_path / "compact.h5"), strict=True):
        assert np.abs(back.positions - one.get_positions(wrap=True)).max() < 0.52e-4
        assert np.abs(back.arrays["REF_forces"] - one.arrays["REF_forces"]).max() < 0.52e-3
        assert back.info["REF_energy"] == pytest.approx(one.info["REF_energy"], abs=1e-12)
    whole, compact = (h5py.File(tmp_path / f"{name}.h5") for name in ("whole", "compact"))
    for name in ("positions", "forces"):
        assert compact[name].id.get_storage_size() < 0.75 * whole[name].id.get_storage_size()


def test_places_far_from_the_cell_lose_no_more_digits_in_a_compact_set(tmp_path):
    """Diffusing atoms leave the cell in unwrapped runs; single precision has 1e-3 Å left at 10 000 Å."""
    given = frames(4)
    for frame in given:
        frame.positions += np.random.default_rng(1).integers(-3000, 3000, frame.positions.shape) @ frame.cell.array
    dataset.write(tmp_path / "compact.h5", given, PBE, compact=True)
    for one, back in zip(given, dataset.read(tmp_path / "compact.h5"), strict=True):
        assert np.abs(find_mic(back.positions - one.positions, one.cell)[0]).max() < 0.52e-4


def test_places_next_to_zero_come_back_from_a_compact_set(tmp_path):
    """HDF5's own packing garbles numbers within a last digit of its fill value: 1e-4 Å came back as 13.1 Å."""
    given = frames(200)
    for number, frame in enumerate(given):
        frame.positions = np.abs(frame.positions)
        frame.positions[0] = [1e-4 * (number % 4), 0.0, 1e-4]
        frame.arrays["REF_forces"] = np.abs(frame.arrays["REF_forces"]) + 0.001
    dataset.write(tmp_path / "compact.h5", given, PBE, compact=True)
    for one, back in zip(given, dataset.read(tmp_path / "compact.h5"), strict=True):
        assert np.abs(find_mic(back.positions - one.positions, one.cell)[0]).max() < 0.52e-4
        assert np.abs(back.arrays["REF_forces"] - one.arrays["REF_forces"]).max() < 0.52e-3


@pytest.mark.parametrize("name", ["set.h5", "set.extxyz"])
def test_round_trip(tmp_path, name):
    path, given = tmp_path / name, frames()
    dataset.write(path, given, PBE)
    assert dataset.settings(path) == {PBE.id: PBE}
    for one, other in zip(given, dataset.read(path), strict=True):
        assert (one.numbers == other.numbers).all()
        assert (one.get_tags() == other.get_tags()).all()
        assert other.pbc.all()
        assert other.info["label"] == PBE.id
        for key in ("family", "structure", "job", "seed", "uncertainty"):
            assert other.info[key] == one.info[key]
        assert other.info["REF_energy"] == pytest.approx(one.info["REF_energy"], abs=1e-7)
        assert other.info["REF_stress"] == pytest.approx(one.info["REF_stress"], abs=1e-8)
        assert other.cell.array == pytest.approx(one.cell.array, abs=1e-7)
        assert other.positions == pytest.approx(one.positions, abs=1e-6)
        assert other.arrays["REF_forces"] == pytest.approx(one.arrays["REF_forces"], abs=1e-6)
        assert "label" not in one.info  # the caller's frames stay as they were


def test_second_writing_of_what_was_read_changes_nothing(tmp_path):
    dataset.write(tmp_path / "a.h5", frames(), PBE)
    once = dataset.read(tmp_path / "a.h5")
    dataset.write(tmp_path / "b.h5", once, dataset.settings(tmp_path / "a.h5"))
    for one, other in zip(once, dataset.read(tmp_path / "b.h5"), strict=True):
        assert one.info["REF_energy"] == other.info["REF_energy"]
        assert (one.positions == other.positions).all()
        assert (one.arrays["REF_forces"] == other.arrays["REF_forces"]).all()


def _no_stress(frame):
    del frame.info["REF_stress"]


def _no_forces(frame):
    del frame.arrays["REF_forces"]


def _nan(frame):
    frame.arrays["REF_forces"][1, 2] = np.nan


def _infinite(frame):
    frame.info["REF_energy"] = -np.inf


def _matrix_stress(frame):
    frame.info["REF_stress"] = np.eye(3)


def _hartree(frame):
    frame.info["REF_energy"] /= units.Hartree


def _per_atom(frame):
    frame.info["REF_energy"] /= len(frame)


def _force_in_kj(frame):
    frame.arrays["REF_forces"] *= 96.5 * 3


def _stress_in_gpa(frame):
    frame.info["REF_stress"] = np.full(6, 0.02) / units.GPa  # 3.2 GPa


def _off(frame):
    frame.info["REF_energy"] += 4.0 * len(frame)


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (_no_stress, "no stress"),
        (_no_forces, "no forces"),
        (_nan, "NaN"),
        (_infinite, "energy .* NaN or infinite"),
        (_matrix_stress, r"shape \(3, 3\)"),
        (_hartree, "as if it were in Hartree"),
        (_per_atom, "as if it were an energy per atom"),
        (_force_in_kj, "a force of"),
        (_stress_in_gpa, r"a stress of 3\.2 eV/Å³ \(limit 1, 160 GPa\).*in another unit"),
        (_off, "off by [34]"),
    ],
)
def test_broken_label_is_refused_with_its_number(tmp_path, break_it, told):
    broken = frames(24)
    break_it(broken[17])
    with pytest.raises(UserError, match=rf"set\.h5: frame 17 .*{told}"):
        dataset.write(tmp_path / "set.h5", broken, PBE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("factor", "told"), [(1 / units.Hartree, "in Hartree"), (1 / units.Rydberg, "in Rydberg"), (0.5, "per atom")]
)
def test_a_wrong_unit_is_seen_where_an_atom_has_little_energy(factor, told):
    """Lithium by a code whose atoms have an energy of -1.9 eV: whatever is left of it lies within RESIDUAL."""
    metal = [frame for frame in frames(24) if len(frame) == 2]
    for frame in metal:
        frame.numbers[:] = 3
        frame.info["REF_energy"] = 2 * -1.9 + 0.1 * np.sin(len(frame.info["job"]))
    dataset.check(metal, "set")
    metal[7].info["REF_energy"] *= factor
    with pytest.raises(UserError, match=rf"set: frame 7 .*as if it were .*{told}"):
        dataset.check(metal, "set")


def test_half_of_a_set_minus_one_may_be_wrong_and_is_still_found():
    broken = frames(24)
    for frame in broken[:9]:
        frame.info["REF_energy"] /= units.Hartree
    with pytest.raises(UserError, match=r"frame 0 .*Hartree"):
        dataset.check(broken, "set")


@pytest.mark.parametrize(("declared", "energy", "length"), [("eV, Å", 1, 1), ("Hartree, Bohr", units.Hartree, units.Bohr)])
def test_foreign_extxyz_needs_its_units(tmp_path, declared, energy, length):
    given, foreign = frames(), []
    for frame in given:
        bare = frame.copy()
        bare.arrays.pop("REF_forces")
        bare.info = {}
        forces = frame.arrays["REF_forces"] / energy * length
        stress = frame.info["REF_stress"] / energy * length**3
        bare.calc = SinglePointCalculator(bare, energy=frame.info["REF_energy"] / energy, forces=forces, stress=stress)
        foreign.append(bare)
    path = tmp_path / "foreign.extxyz"
    ase_write(path, foreign)
    with pytest.raises(UserError, match="`multiscale potential import` makes a set that does"):
        dataset.read(path)
    with pytest.raises(UserError, match="units = 'eV' are not known"):
        dataset.read(path, units="eV")
    for one, other in zip(given, dataset.read(path, units=declared), strict=True):
        assert other.info["REF_energy"] == pytest.approx(one.info["REF_energy"], abs=1e-5)
        assert other.info["REF_stress"] == pytest.approx(one.info["REF_stress"], abs=1e-6)
        assert other.arrays["REF_forces"] == pytest.approx(one.arrays["REF_forces"], abs=1e-5)
    assert dataset.settings(path) == {}


def test_two_functionals_do_not_mix(tmp_path):
    dataset.write(tmp_path / "pbe.h5", frames(), PBE)
    dataset.write(tmp_path / "sol.extxyz", frames(), dataclasses.replace(PBE, functional="PBEsol"))
    paths = [tmp_path / "pbe.h5", tmp_path / "sol.extxyz"]
    with pytest.raises(UserError, match="functional PBE / PBEsol"):
        dataset.merge(paths)
    together, levels = dataset.merge(paths, mixed=True)
    assert len(together) == 12
    dataset.write(tmp_path / "both.h5", together, levels)
    assert len(dataset.settings(tmp_path / "both.h5")) == 2
    together[3].info["label"] = "other"
    with pytest.raises(UserError, match="frame 3 has label 'other'"):
        dataset.write(tmp_path / "both.h5", together, levels)


def test_every_setting_changes_the_id():
    for field in dataclasses.fields(LabelSettings):
        value = (("smearing", "300 K"),) if field.name == "further" else "else"
        assert dataclasses.replace(PBE, **{field.name: value}).id != PBE.id


def test_files_that_are_no_training_set(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"not HDF5")
    (tmp_path / "b.extxyz").write_text("3\nnothing\nLi 0 0\n")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = 1
    dataset.write(tmp_path / "d.h5", frames(), PBE)
    cut = (tmp_path / "d.h5").read_bytes()
    (tmp_path / "d.h5").write_bytes(cut[: len(cut) // 2])
    for name, told in (("a.h5", "HDF5"), ("b.extxyz", "extended XYZ"), ("c.h5", "another kind"), ("d.h5", "HDF5")):
        with pytest.raises(UserError, match=rf"{name}: .*{told}"):
            dataset.read(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        dataset.read(tmp_path / "none.h5")
    with pytest.raises(UserError, match=r"ends in \.h5 or \.extxyz"):
        dataset.read(tmp_path / "none.xyz")


@pytest.mark.parametrize("written", ["eV, angstrom", "eV, \u212b", "eV, A\u030a"])
def test_an_angstrom_may_be_written_in_every_way(tmp_path, written):
    """In ASCII, as the sign of the unit, and as A with a ring above."""
    ase_write(tmp_path / "foreign.extxyz", [foreign(np.zeros(6))])
    assert dataset.read(tmp_path / "foreign.extxyz", units=written)[0].info["REF_energy"] == -30.0


def test_tensors_of_stress_are_read_in_their_order_and_others_refused(tmp_path):
    """3 x 3 with every element another one; one that is not symmetric has a wrong order or sign; a virial is no stress."""
    tensor = 1e-3 * np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    path = tmp_path / "foreign.extxyz"
    ase_write(path, [foreign(tensor)])
    assert dataset.read(path, units="eV, Å")[0].info["REF_stress"] == pytest.approx(1e-3 * np.array([1, 4, 6, 5, 3, 2]))
    ase_write(path, [foreign(tensor), foreign(np.triu(tensor))])
    with pytest.raises(UserError, match=r"frame 1 .*the stress \(REF_stress\) is a tensor that is not symmetric"):
        dataset.read(path, units="eV, Å")
    only = foreign(tensor)
    only.info["virial"] = -only.info.pop("REF_stress") * only.get_volume()
    ase_write(path, [only])
    with pytest.raises(UserError, match=r"no stress \(REF_stress\); of its virial, −virial/volume is the stress"):
        dataset.read(path, units="eV, Å")


def test_a_set_is_not_merged_with_itself(tmp_path):
    """By another path, either: its frames would count twice, and stand on both sides of the validation."""
    dataset.write(tmp_path / "set.h5", [foreign(np.zeros(6))], PBE)
    with pytest.raises(UserError, match=r"set\.h5: given twice"):
        dataset.merge([tmp_path / "set.h5", tmp_path / ".." / tmp_path.name / "set.h5"])


def foreign(stress):
    """A frame with the labels of another program."""
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.info |= {"REF_energy": -30.0, "REF_stress": stress}
    atoms.arrays["REF_forces"] = np.zeros((8, 3))
    return atoms


def test_an_atom_of_no_element_is_refused(tmp_path):
    """ASE's X, which stands for what a program did not know."""
    strange = foreign(np.zeros(6))
    strange.numbers[3] = 0
    ase_write(tmp_path / "foreign.extxyz", [foreign(np.zeros(6)), strange])
    with pytest.raises(UserError, match=r"frame 1 .*atom 3 is of no element \(X\)"):
        dataset.read(tmp_path / "foreign.extxyz", units="eV, Å")


def test_a_full_disk_is_one_sentence(tmp_path, capfd):
    """As a limit on the size of files makes one; the set that stood there stays."""
    dataset.write(tmp_path / "set.h5", [foreign(np.zeros(6))], PBE)
    before, limits = (tmp_path / "set.h5").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        with pytest.raises(RunFailure, match=r"set\.h5: cannot be written \(File too large\)"):
            dataset.write(tmp_path / "set.h5", frames(), PBE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capfd.readouterr().err == ""
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("set.h5", before)]
