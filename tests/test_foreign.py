"""Potentials made elsewhere: LAMMPS files against known copper and finite differences, MACE pickles, CHGNet, refusals."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import lammps_files
import numpy as np
import pytest
import tiny_case
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from launch import heard_interrupts

from atomistic import foreign, lammps_engine, mace_model, potential
from coupling.errors import UserError

LPSCL = potential.SHIPPED / "lpscl" / "member-0"
STRAIN = np.array([[0.0, 0.05, 0.02], [0.0, 0.0, 0.03], [0.01, 0.0, 0.0]])


@pytest.fixture
def copper(tmp_path: Path):
    """Calculator of the EAM potential of copper."""
    lammps_files.need_lammps("Cu_u3.eam")
    return potential.load(lammps_files.write(tmp_path / "Cu.toml", **lammps_files.COPPER))


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model as mace-torch saves models."""
    import torch

    path = tmp_path_factory.mktemp("pickle") / "own.model"
    torch.save(mace_model.load(LPSCL), path)
    return path


def energy(atoms: Atoms, calculator) -> float:
    return float(calculator.get_property("energy", atoms))


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    deformed = atoms.copy()
    deformed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return deformed


def assert_derivatives(atoms: Atoms, calculator, tolerance: float) -> None:
    """Forces (all components of one atom) and stress (all six) are central differences of the energy."""
    forces, stress, h = calculator.get_property("forces", atoms), calculator.get_property("stress", atoms), 1e-3
    for axis in range(3):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[1 % len(atoms), axis] += sign * h
            ends.append(energy(moved, calculator))
        assert forces[1 % len(atoms), axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=tolerance, rel=1e-3)
    for index, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[i, j] += h / 2
        strain[j, i] += h / 2
        ends = [energy(strained(atoms, sign * strain), calculator) for sign in (1, -1)]
        assert stress[index] == pytest.approx((ends[0] - ends[1]) / (2 * h) / atoms.get_volume(), abs=tolerance / 50, rel=2e-3)


def test_copper_has_its_published_lattice_constant_cohesion_and_moduli(copper) -> None:
    """Foiles, Baskes, Daw (1986): a = 3.615 Å, E = -3.54 eV, C11 = 167, C12 = 124, C44 = 76 GPa.

    The first two stand in the parameter file and in LAMMPS's library.meam; the moduli are recalled from the paper's table.
    """
    atoms = bulk("Cu", a=3.615)
    assert energy(atoms, copper) == pytest.approx(-3.54, abs=1e-3)
    np.testing.assert_allclose(copper.get_property("stress", atoms) / units.GPa, 0.0, atol=0.05)
    h, along, shear = 1e-3, np.diag([1.0, 0, 0]), np.array([[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]])

    def moduli(strain: np.ndarray) -> np.ndarray:
        ends = [copper.get_property("stress", strained(atoms, sign * h * strain)).copy() for sign in (1, -1)]
        return (ends[0] - ends[1]) / (2 * h) / units.GPa

    assert moduli(along)[:2] == pytest.approx([167, 124], rel=0.01)
    assert moduli(shear)[3] == pytest.approx(76, rel=0.01)


@pytest.mark.parametrize(
    ("values", "atoms", "tolerance"),
    [
        (lammps_files.COPPER, bulk("Cu", a=3.6, cubic=True), 1e-4),
        (lammps_files.LITHIUM_SNAP, bulk("Li", a=3.45, cubic=True), 1e-4),
        (lammps_files.SILICON_CARBIDE_MEAM, bulk("SiC", "zincblende", a=4.36, cubic=True), 2e-3),
        (lammps_files.ORGANIC_REAXFF, molecule("CH3CH2OH", vacuum=4.0, pbc=True), 5e-3),
    ],
    ids=["EAM", "SNAP", "MEAM", "ReaxFF"],
)
def test_forces_and_stress_are_derivatives_in_a_triclinic_cell(values, atoms: Atoms, tolerance: float, tmp_path: Path) -> None:
    lammps_files.need_lammps(*values["files"])
    atoms = strained(atoms, STRAIN)
    atoms.rattle(0.05, seed=3)
    atoms.positions += [20.0, -9.0, 31.0]
    calculator = potential.load(lammps_files.write(tmp_path / "own.toml", **values))
    assert np.abs(calculator.get_property("forces", atoms)).max() > 0.02
    assert_derivatives(atoms, calculator, tolerance)


def test_fixed_charges_give_the_madelung_energy(tmp_path: Path) -> None:
    """Point charges ±e on the rock-salt lattice: -α e²/(4πε0 r) a pair, α = 1.747565 (Madelung)."""
    lammps_files.need_lammps()
    path = lammps_files.write(
        tmp_path / "ions.toml", elements=["Li", "F"], atom_style="charge", pair_style="coul/long 8.0", pair_coeff=["* *"],
        commands=["kspace_style ewald 1.0e-8"], charges={"Li": 1.0, "F": -1.0}, source="point charges",
    )  # fmt: skip
    atoms = bulk("LiF", "rocksalt", a=4.02, cubic=True)
    expected = -1.7475646 * units._e**2 / (4 * np.pi * units._eps0) / 2.01e-10 / units._e
    assert energy(atoms, potential.load(path)) / 4 == pytest.approx(expected, rel=1e-5)


def test_units_of_the_file_do_not_change_the_answer(copper, tmp_path: Path) -> None:
    other = potential.load(lammps_files.write(tmp_path / "real.toml", **lammps_files.COPPER | {"units": "real"}))
    atoms = strained(bulk("Cu", cubic=True), STRAIN)
    atoms.rattle(0.05)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(other.get_property(name, atoms), copper.get_property(name, atoms), rtol=1e-5, atol=1e-6)


def test_open_directions_equal_a_wide_vacuum(copper) -> None:
    slab = fcc111("Cu", (2, 2, 4), a=3.615)
    cluster = bulk("Cu", cubic=True) * (2, 2, 2)
    cluster.pbc, cluster.cell = False, np.zeros((3, 3))
    for atoms in (slab, cluster):
        atoms.rattle(0.05, seed=2)
        wide = atoms.copy()
        wide.center(vacuum=12.0, axis=np.flatnonzero(~atoms.pbc))
        wide.pbc = True
        assert energy(atoms, copper) == pytest.approx(energy(wide, copper), abs=1e-9)
        np.testing.assert_allclose(copper.get_property("forces", atoms), copper.get_property("forces", wide), atol=1e-9)


def test_the_answer_does_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    lammps_files.need_lammps("ffield.reax.cho")
    path = lammps_files.write(tmp_path / "own.toml", **lammps_files.ORGANIC_REAXFF)
    atoms, fresh = molecule("CH3OH", vacuum=4.0, pbc=True), potential.load(path)
    before = fresh.get_property("forces", atoms).copy()
    other = atoms.copy()
    other.rattle(0.1)
    fresh.get_property("forces", other)
    fresh.get_property("forces", molecule("H2O", vacuum=5.0, pbc=True))
    np.testing.assert_array_equal(fresh.get_property("forces", atoms), before)


def test_the_card_of_a_lammps_file_hashes_the_parameters(tmp_path: Path) -> None:
    own = tmp_path / "mine.eam"
    own.write_text("one")
    path = lammps_files.write(
        tmp_path / "Cu.toml", **lammps_files.COPPER | {"files": ["mine.eam"], "pair_coeff": ["* * mine.eam"]}
    )
    card = potential.describe(path)
    assert (card.elements, card.members) == (("Cu",), 1)
    assert card.size_bytes == 3 + path.stat().st_size
    own.write_text("two")
    assert potential.describe(path).sha256 != card.sha256


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pair_style": "eam/nonsense"}, "Unrecognized pair style 'eam/nonsense'"),
        ({"files": ["library.meam"], "pair_coeff": ["* * library.meam"]}, "LAMMPS does not take it: Not a valid integer"),
        ({"pair_coeff": []}, "All pair coeffs are not set"),
        ({"files": ["Cu_u9.eam"], "pair_coeff": ["* * Cu_u9.eam"]}, r"own.toml:5: files: Cu_u9.eam: no such file"),
        ({"pair_coeff": ["* * /etc/passwd"]}, "list the file under `files`"),
        ({"pair_coeff": ["* * Cu_u3.eam\nshell ls"]}, "pair_coeff: read .* one plain LAMMPS line"),
        ({"pair_style": "mliap model mliappy x.pkl descriptor sna y"}, "'mliappy' lets LAMMPS run Python code or open a pickle"),
        ({"pair_style": "python 5.0"}, "'python' lets LAMMPS run Python code"),
        ({"commands": ["shell ls"]}, "commands: read 'shell'; allowed: fix, kspace_style"),
        ({"commands": ["fix 1 all print 1 hello"]}, "write 'fix ID all STYLE …' with a style of qeq/reaxff"),
        ({"elements": ["Qq"]}, "'Qq' is no chemical symbol"),
        ({"charges": {"Cu": 1.0}}, 'charges need atom_style = "charge"'),
        ({"kind": "kim"}, "kind: read 'kim'; allowed: 'lammps'"),
        ({"units": "lj"}, "units: read 'lj'"),
        ({"source": ""}, "source"),
    ],
    ids=str,
)
def test_a_wrong_lammps_file_is_refused_in_one_sentence(wrong, message: str, tmp_path: Path) -> None:
    lammps_files.need_lammps("Cu_u3.eam", "library.meam")
    with pytest.raises(UserError, match=message) as told:
        potential.load(lammps_files.write(tmp_path / "own.toml", **lammps_files.COPPER | wrong))
    assert "\n" not in str(told.value)


def test_a_parameter_file_beside_must_be_listed(tmp_path: Path) -> None:
    (tmp_path / "own.eam").write_text("x")
    with pytest.raises(UserError, match=r"own\.eam is read but not listed"):
        potential.describe(lammps_files.write(tmp_path / "a.toml", **lammps_files.COPPER | {"pair_coeff": ["* * own.eam"]}))


def test_lammps_that_dies_or_gets_nonsense_is_told(copper) -> None:
    with pytest.raises(UserError, match="does not know Li"):
        energy(bulk("Li"), copper)
    broken = bulk("Cu", cubic=True)
    broken.positions[1] = np.nan
    with pytest.raises(UserError, match="Non-numeric atom coords"):
        energy(broken, copper)
    assert energy(bulk("Cu", a=3.615), copper) == pytest.approx(-3.54, abs=1e-3)
    copper.inner._worker._process.kill()
    with pytest.raises(UserError, match="LAMMPS ended by itself"):
        energy(bulk("Cu", a=3.7), copper)
    assert energy(bulk("Cu", a=3.615), copper) == pytest.approx(-3.54, abs=1e-3)


SLOW = """
import time
from atomistic.worker import serve

def answer(request, arrays):
    if request["do"] == "build":
        return {}, []
    time.sleep(30 * (arrays[0][0, 0] > 1))
    return {"energy": float(arrays[0][0, 0])}, [arrays[0], [0.0] * 6]

serve(lambda: ({}, answer))
"""


def test_after_an_interrupt_lammps_answers_for_the_atoms_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for LAMMPS, whose energy (eV) is the first coordinate (Å), is interrupted as by Ctrl-C in a notebook."""
    pytest.importorskip("lammps", reason="needs lammps")
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.setattr(lammps_engine.lammps_worker, "__file__", str(tmp_path / "slow.py"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    potential_file = {"elements": ["Ar"], "pair_style": "lj/cut 8", "pair_coeff": ["* * 0.01 3.4"], "source": "memory"}
    calculator = lammps_engine.Lammps(lammps_files.write(tmp_path / "Ar.toml", **potential_file))
    cut_off, ours = calculator._worker._process, threading.get_ident()
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(ours, signal.SIGINT))
    with heard_interrupts():
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            energy(Atoms("Ar", [[2, 0, 0]], cell=[9, 9, 9], pbc=True), calculator)
    timer.join()
    assert cut_off.returncode == -signal.SIGKILL
    for place in (0.5, 0.25):
        assert energy(Atoms("Ar", [[place, 0, 0]], cell=[9, 9, 9], pbc=True), calculator) == place


def test_lammps_works_beside_another_mpi(tmp_path: Path) -> None:
    """In a process that has initialised its own MPI library LAMMPS still runs, since it has a process of its own."""
    lammps_files.need_lammps("Cu_u3.eam")
    pytest.importorskip("mpi4py", reason="needs mpi4py")
    path = lammps_files.write(tmp_path / "Cu.toml", **lammps_files.COPPER)
    code = (
        "from mpi4py import MPI; from ase.build import bulk; from atomistic import potential; "
        f"print(round(potential.load({str(path)!r}).get_property('energy', bulk('Cu', a=3.615)), 3), MPI.COMM_WORLD.size)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["-3.54", "1"], done.stderr


def test_a_mace_file_is_opened_only_where_that_is_allowed(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mace_model.PICKLE_SWITCH, raising=False)  # whoever imports mace-torch by itself sets it
    for opened in (potential.describe, potential.load, foreign.calculator):
        with pytest.raises(UserError, match=r"can run any code as you when it is opened.*allow_pickle = true"):
            opened(pickled)
    card = potential.describe(pickled, allow_pickle=True)
    assert card.elements == potential.describe("lpscl").elements
    assert mace_model.PICKLE_SWITCH not in os.environ
    atoms = bulk("LiCl", "rocksalt", a=5.1)
    atoms.rattle(0.05)
    own = potential.load(pickled, allow_pickle=True)
    reference = potential.load("lpscl", engine="mace")
    np.testing.assert_allclose(own.get_property("forces", atoms), reference.get_property("forces", atoms), atol=1e-10)
    with pytest.raises(UserError, match="does not know O"):
        own.get_property("energy", Atoms("O"))


def test_files_that_are_no_mace_model_are_refused(tmp_path: Path) -> None:
    import torch

    (tmp_path / "text.model").write_text("not a model")
    (tmp_path / "list.pt").write_bytes(pickle.dumps([1, 2]))
    torch.save({"weights": torch.zeros(3)}, tmp_path / "dict.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "linear.model")
    expected = {"text.model": "not a model that torch can open", "list.pt": "not a", "dict.pth": "a dict, not a MACE model"}
    for name, message in (expected | {"linear.model": "a Linear, not a MACE model", "none.model": "no such model file"}).items():
        with pytest.raises(UserError, match=message) as told:
            potential.load(tmp_path / name, allow_pickle=True)
        assert "\n" not in str(told.value)


def test_foundation_models_come_from_the_cache_or_say_where_to_put_the_file(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(UserError, match=r"no such foundation model; did you mean .small.") as told:
        potential.load("mace_mp:smal")
    with pytest.raises(UserError, match=r"no network.*fetch https://github.com/ACEsuit/.* and put it here as ") as told:
        potential.load("mace_mp:small")
    place = Path(str(told.value).split("put it here as ")[1])
    assert place.is_relative_to(tmp_path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(pickled.read_bytes())
    assert potential.load("mace_mp:small").card.elements == ("Li", "P", "S", "Cl")


def test_chgnet_by_name_has_a_card_and_refuses_what_it_does_not_know() -> None:
    card = potential.describe("chgnet")
    assert len(card.elements) == 94
    assert card.size_bytes > 1e6
    with pytest.raises(UserError, match="'chgnet' does not know Cm"):
        energy(Atoms("Cm", cell=[3, 3, 3], pbc=True), potential.load("chgnet"))
    with pytest.raises(UserError, match="evaluated by chgnet, not by 'mace'"):
        potential.load("chgnet", engine="mace")


def test_a_case_names_its_potential_by_one_key(tmp_path: Path) -> None:
    """Paths start at the case folder; a pickle needs its word in the case."""
    from multiscale.case import load_case

    folder = tiny_case.write(tmp_path / "case")
    text = (folder / "case.toml").read_text()

    def case(potential_lines: str):
        (folder / "case.toml").write_text(text.replace('potential = "lpscl"', potential_lines))
        return load_case(folder)

    assert case('potential = "lpscl"').potential == "lpscl"
    assert case('potential = "mace_mp:small"').potential == "mace_mp:small"
    lammps_files.write(folder / "Cu.toml", **lammps_files.COPPER)
    assert case('potential = "Cu.toml"').potential == str(folder / "Cu.toml")
    with pytest.raises(UserError, match=r"case.toml:\d+: atomistic.potential: read .own.model.; a pickled model can run"):
        case('potential = "own.model"')
    assert case('potential = "own.model"\nallow_pickle = true').potential == "own.model"
