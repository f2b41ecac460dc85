"""analyze separation: bonds of nearest neighbours counted on a face, one or two cuts, a slab, two parts; what is no cut."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from pair_potential import PairPotential
from test_observable_commands import ask

from atomistic import parting
from atomistic.separation import opened
from coupling.units import surface_energy_to_si

EDGE = 5.26


def held(atoms: Atoms, forces: float = 0.0) -> Atoms:
    """With its energy by nearest neighbours alone, and forces as if so much were left."""
    kept = atoms.copy()
    energy = PairPotential(cutoff=4.5).get_potential_energy(kept)
    kept.calc = SinglePointCalculator(kept, energy=energy, forces=np.full((len(kept), 3), forces))
    return kept


def crystal() -> Atoms:
    return bulk("Ar", "fcc", a=EDGE, cubic=True).repeat((2, 2, 4))


def bonds() -> float:
    """Energy, J/m², of the four bonds that each atom of a (001) face has to the other side."""
    pair = Atoms("Ar2", [[0, 0, 0], [EDGE / 2**0.5, 0, 0]], cell=[12.0] * 3, pbc=True)
    return float(surface_energy_to_si(-4 * PairPotential(cutoff=4.5).get_potential_energy(pair) / (EDGE**2 / 2)))


def test_work_is_that_of_the_bonds_that_are_cut(tmp_path: Path) -> None:
    """One file of both, its record with the fracture energy that it bounds, and the picture."""
    ase.io.write(tmp_path / "cut.traj", [held(crystal()), held(opened(crystal()))])
    files = ("--picture", str(tmp_path / "p.png"), "--record", str(tmp_path / "r.json"))
    status, text = ask("separation", tmp_path / "cut.traj", *files, "--json")
    assert status == 0, text
    work, fracture = json.loads(text)["separation"]
    assert (work["quantity"], work["stderr"], work["source"]["cuts"]) == ("work_of_separation", None, 1)
    assert work["value"] == pytest.approx(bonds(), rel=1e-6)
    assert (fracture["quantity"], fracture["bound"], fracture["value"]) == ("fracture_energy", "lower", work["value"])
    assert (tmp_path / "p.png").stat().st_size > 4000
    kept = json.loads((tmp_path / "r.json").read_text())["records"]
    assert [record["confidence"] for record in kept] == ["low", "low"]


def test_a_slab_of_another_size_gives_half_of_it_a_face(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "crystal.traj", held(bulk("Ar", "fcc", a=EDGE, cubic=True).repeat(2)))
    ase.io.write(tmp_path / "slab.traj", held(opened(crystal())))
    status, text = ask("separation", tmp_path / "crystal.traj", str(tmp_path / "slab.traj"), "--surface", "--json")
    assert status == 0, text
    face, fracture = json.loads(text)["separation"]
    assert face["quantity"] == "surface_energy"
    assert face["value"] == pytest.approx(bonds() / 2, rel=1e-6)
    assert fracture["value"] == pytest.approx(bonds(), rel=1e-6)


@pytest.mark.parametrize("vacuum", [True, False])
def test_two_parts_give_their_adhesion_over_one_face_or_two(vacuum: bool) -> None:
    """A stack with vacuum has one contact, a periodic one two."""
    joined = opened(crystal()) if vacuum else crystal()
    lower = joined.positions[:, 2] < 2 * EDGE - 0.1
    apart = opened(crystal())
    records, notes = parting.records(held(joined), [held(apart[lower]), held(apart[~lower])], False, {"made": "up"})
    assert (records[0].material, records[0].quantity, records[0].source["cuts"]) == ("Ar|Ar", "work_of_adhesion", 2 - vacuum)
    assert records[0].value == pytest.approx(bonds(), rel=1e-6)
    assert not notes


def test_what_is_not_at_rest_or_repels_is_doubted() -> None:
    joined, apart = crystal(), opened(crystal())
    record = parting.records(held(joined), [held(apart, 0.1)], False, {"made": "up"})[0][0]
    assert record.confidence == "low"
    assert "largest force left 0.17 eV/Å" in record.source["method"]
    apart = held(apart)
    apart.calc.results["energy"] = held(joined).get_potential_energy() - 1.0
    records, notes = parting.records(held(joined), [apart], False, {"made": "up"})
    assert [each.quantity for each in records] == ["work_of_separation"]
    assert "parts by itself" in notes[0]


def test_what_is_no_cut_is_refused(tmp_path: Path) -> None:
    """Not parted, parted first, other atoms, another plane, no energies, energies of another potential."""
    joined, apart, path = held(crystal()), held(opened(crystal())), tmp_path / "a.traj"
    wide, other = crystal(), held(opened(crystal()))
    wide.set_cell(wide.cell.array * np.array([[1.1], [1], [1]]), scale_atoms=True)
    other.calc.results["energy"] = 1e5
    alone = held(opened(crystal()[:48]))
    for pair, told in (
        ([joined, joined], "nothing is parted"), ([apart, joined], "nothing is parted"), ([joined, alone], "same atoms"),
        ([joined, held(opened(wide))], "one plane"), ([crystal(), opened(crystal())], "no potential energy"),
        ([joined, other], "no cut's"),
    ):  # fmt: skip
        for number, frame in enumerate(pair):
            ase.io.write(tmp_path / f"{number}.traj", frame)
        status, text = ask("separation", tmp_path / "0.traj", str(tmp_path / "1.traj"))
        assert (status, told in text) == (2, True), text
    broken = held(opened(crystal()))
    broken.calc.results["energy"] = np.nan
    ase.io.write(path, [joined, broken])
    status, text = ask("separation", path)
    assert (status, f"{path}: frame 1: Ar64: its potential energy is not a finite number" in text) == (2, True), text
    ase.io.write(path, [joined, apart])
    status, text = ask("separation", path, *[str(path)] * 3)
    assert (status, "one or two apart" in text) == (2, True), text
