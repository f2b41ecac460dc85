"""Surface energies of any crystal: bonds counted, ends of slabs, polar faces, slabs that rebuild, a study to its records."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from atomistic import property_study, reduction, separation, slabs, structures, study, surfaces
from atomistic.scheduler import Task
from coupling.errors import UserError
from coupling.record import Property
from coupling.units import surface_energy_to_si

STUDY = """
kind = "properties"
name = "bonds"
potential = "none"
quantities = ["surface"]
slab_thicknesses = ["9 angstrom", "16 angstrom"]
[[phase]]
name = "LiCl"
surfaces = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
"""
SIGMA = 2.5


def bonds(dtype: str, member: int = 0, reach: float = 1.4) -> LennardJones:
    """Pairs of nearest neighbours alone are bound, in rock salt; those of the second member 10 % more strongly."""
    return LennardJones(epsilon=0.3 * (1 + 0.1 * member), sigma=SIGMA, rc=reach * SIGMA, smooth=True)


def tools(read: property_study.PropertyStudy, reach: float = 1.4, members: int = 1) -> study.Toolbox:
    return study.Toolbox(
        sha256="bonds", members=members, load=lambda dtype, member: bonds(dtype, member, reach),
        effort=property_study.effort(read), crystal=lambda phase, seed: structures.bulk(phase),
    )  # fmt: skip


def read(folder: Path, text: str = STUDY) -> property_study.PropertyStudy:
    (folder / "study.toml").write_text(text)
    return property_study.read_study(folder / "study.toml")


def per_bond(member: int = 0) -> tuple[float, float]:
    """Energy (eV) and length (Å) of the bond at its minimum, from two atoms along a line."""
    from ase import Atoms

    lengths = np.linspace(1.05, 1.25, 20001) * SIGMA
    pair = Atoms("LiCl", positions=np.zeros((2, 3)), calculator=bonds("float64", member))
    energies = []
    for length in (lengths[np.argmin(np.abs(lengths - 2 ** (1 / 6) * SIGMA))], *lengths[::200]):
        pair.positions[1, 0] = length
        energies.append((float(pair.get_potential_energy()), length))
    near = min(energies)[1]
    for length in np.linspace(near - 0.02, near + 0.02, 401):
        pair.positions[1, 0] = length
        energies.append((float(pair.get_potential_energy()), length))
    energy, length = min(energies)
    return -energy, float(length)


def test_a_study_counts_the_bonds_that_a_face_breaks_and_refuses_a_polar_one(tmp_path: Path) -> None:
    """γ of (100) is half a bond an atom, ε/(2 d²); of (110) two bonds an atom, ε/(√2 d²); (111) of rock salt has none.

    Two members of the committee: their geometric mean, and the spread between them, is that of ε.
    """
    wanted = read(tmp_path)
    records = property_study.run(wanted, tmp_path / "out", tools=tools(wanted, members=2))
    energy, length = per_bond()
    found = {one.conditions["miller"]: one for one in records if one.quantity == "surface_energy"}
    assert set(found) == {"100", "110"}
    for face, count in (("100", 0.5), ("110", 1 / math.sqrt(2))):
        expected = surface_energy_to_si(count * energy / length**2)
        assert found[face].value == pytest.approx(math.sqrt(1.1) * expected, rel=1e-4)
        assert found[face].source["spread"] == pytest.approx(found[face].value * math.log(1.1) / math.sqrt(2), rel=1e-3)
        assert found[face].stderr == pytest.approx(found[face].source["spread"], rel=0.01), "rigid slabs have no other error"
        assert found[face].confidence == "computed"
    cleaved = {one.conditions["miller"]: one for one in records if one.quantity == "fracture_energy"}
    for face, one in cleaved.items():
        assert (one.bound, one.conditions["place"]) == ("lower", "grain")
        assert one.value == pytest.approx(2 * (found[face].value - 1.645 * found[face].stderr))
    assert set(cleaved) == set(found)
    told = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert len(told) == 2
    assert all("LiCl (111): no surface energy: a polar face (Tasker III)" in one for one in told)
    assert told[1].startswith("member 1 alone: ")
    assert (tmp_path / "out" / "surface.png").is_file()
    assert property_study.run(wanted, tmp_path / "out", tools=tools(wanted, members=2)) == records


def test_a_slab_without_rest_is_told_and_of_low_confidence(tmp_path: Path) -> None:
    """Bonds of longer reach pull on the atoms of the face; one step is no rest. The steps to rest lower γ."""
    text = STUDY.replace("surfaces = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]", "surfaces = [[1, 1, 0]]")
    whole, short = read(tmp_path, text), read(tmp_path, text.replace("quantities", "relaxation_steps = 1\nquantities"))
    rest = property_study.run(whole, tmp_path / "whole", tools=tools(whole, 2.2))[0]
    hurried = property_study.run(short, tmp_path / "short", tools=tools(short, 2.2))[0]
    assert (rest.confidence, hurried.confidence) == ("computed", "low")
    assert json.loads((tmp_path / "whole" / "problems.json").read_text()) == []
    (told,) = json.loads((tmp_path / "short" / "problems.json").read_text())
    assert "LiCl (110): surface energy: slabs relaxed at 0 K, of which" in told
    assert "did not come to rest" in told
    assert 0 < rest.value < hurried.value
    assert rest.stderr == pytest.approx(math.hypot(*rest.source["error_of"].values()))


@pytest.mark.parametrize(("name", "miller"), [("Li2S", (1, 1, 1)), ("Li3P", (0, 0, 1)), ("beta_Li3PS4", (1, 0, 0))])
def test_slabs_of_one_cut_end_alike_whatever_their_thickness(name: str, miller: slabs.Index) -> None:
    """Every end of a face, not the best alone: dipole a layer, broken bonds and area stay, atoms grow in whole layers."""
    crystal = structures.bulk(name)
    for end in slabs.terminations(crystal, miller, 8.0, 10.0):
        again, thick = (slabs.ended_at(crystal, miller, end.cut, size, 10.0) for size in (8.0, 30.0))
        assert np.allclose(again.atoms.positions, end.atoms.positions)
        assert len(thick.atoms) > len(end.atoms)
        areas = [np.linalg.norm(np.cross(*one.atoms.cell[:2])) for one in (end, thick)]
        layers = len(thick.atoms) / len(end.atoms) * areas[0] / areas[1]
        assert thick.dipole == pytest.approx(layers * end.dipole, abs=1e-6)
        assert (thick.symmetric, thick.broken / areas[1]) == (end.symmetric, pytest.approx(end.broken / areas[0]))


def test_a_nonpolar_end_goes_before_one_that_cuts_fewer_bonds() -> None:
    """Li2CO3 (010): the end of one cut C-O bond is polar, that of two is not. The charge of ends is that of planes.

    LiCl (111): planes of charge ±1 e over √3 a²/4, a/√12 apart: half of that charge at each end takes the dipole away.
    """
    carbonate = structures.bulk("Li2CO3")
    end, ways = surfaces._end(carbonate, (0, 1, 0), 9.0)
    assert (end.broken, ways) == (2, 4)
    assert surfaces._end_charge(end, carbonate) == pytest.approx(0.0, abs=1e-9)
    salt = structures.bulk("LiCl")
    charge = surfaces._end_charge(surfaces._end(salt, (1, 1, 1), 9.0)[0], salt)
    assert abs(charge) == pytest.approx(0.5 / (math.sqrt(3) / 4 * salt.cell[0, 0] ** 2), rel=1e-3)


def test_a_slab_that_rebuilds_itself_is_told() -> None:
    """The way of the whole slab does not count; a P-S bond pulled open does, also where a new one takes its place."""
    before = structures.bulk("gamma_Li3PS4")
    after = before.copy()
    after.positions += 3.0
    assert surfaces.farthest(before, after) == pytest.approx(0.0)
    assert slabs.bonds_lost(before, after) == 0
    sulfur, phosphorus = (int(np.flatnonzero(after.symbols == symbol)[0]) for symbol in "SP")
    away = after.get_distance(phosphorus, sulfur, mic=True, vector=True)
    after.positions[sulfur] += 1.5 * away / np.linalg.norm(away)
    assert surfaces.farthest(before, after) == pytest.approx(1.5 * 15 / 16)  # beside the mean of 16 atoms
    assert slabs.bonds_lost(before, after) == 1
    answer = {"value": 0.3, "stderr": 0.01, "values": [0.31, 0.3], "error_of": {}, "forces": [0.001, 0.002], "atoms": 16,
              "area_A2": 40.0, "moved_A": 1.5, "bonds_lost": 1, "end_charge": 0.0, "terminations": 3, "symmetric": True,
              "cut_bonds": 0}  # fmt: skip
    assert "an atom moves by 1.5 Å; covalent bonds open: 1" in surfaces.note(face("X"), answer)
    assert surfaces.record("X", face("X"), answer, {}).confidence == "low"
    calm = {**answer, "moved_A": 0.3, "bonds_lost": 0}
    assert surfaces.note(face("X"), calm) == ""
    assert surfaces.record("X", face("X"), calm, {}).confidence == "computed"
    uneven = surfaces.record("X", face("X", disorder=0.25), {**calm, "symmetric": False, "end_charge": 0.005}, {})
    assert uneven.confidence == "low"
    assert uneven.conditions["disorder"] == 0.25
    for told in ("half the energy of cleavage", "one cell of the disorder (seed 1)", "a formal charge of 0.005 e/Å²"):
        assert told in uneven.source["method"]


def face(phase: str, **more: float) -> Task:
    given = {"phase": phase, "seed": 1, "miller": [1, 0, 0], "thicknesses": [9.0, 16.0], "force": 0.01, "steps": 100, **more}
    return Task(phase, phase, 1.0, "surface", given)


def test_nuclei_are_those_of_the_metal_though_a_salt_has_the_lower_surface() -> None:
    answer = {"engine": "e", "stderr": 0.01, "values": [0.5, 0.5], "error_of": {}, "forces": [0.0, 0.0], "atoms": 16,
              "area_A2": 40.0, "moved_A": 0.1, "bonds_lost": 0, "end_charge": 0.0, "terminations": 1, "symmetric": True,
              "cut_bonds": 0}  # fmt: skip
    listed = [face("LiCl"), face("Li")]
    records, _ = reduction.reduce(listed, [{**answer, "value": 0.1}, {**answer, "value": 0.5}], {"potential": "p"})
    assert {one.material for one in records if one.quantity == "nucleation_barrier"} == {"Li"}
    assert [one.material for one in records if one.quantity == "fracture_energy"] == ["LiCl"], "lithium flows first"
    assert not [one for one in reduction.reduce(listed[:1], [{**answer, "value": 0.1}], {"potential": "p"})[0]
                if one.quantity == "nucleation_barrier"]  # fmt: skip


def test_a_surface_energy_without_error_bounds_by_itself() -> None:
    known = Property("X", "surface_energy", 0.4, "J/m^2", conditions={"miller": "100"}, source={"method": "slabs"})
    (bound,) = separation.fracture_energy(known)
    assert (bound.value, bound.bound, bound.conditions) == (0.8, "lower", {"miller": "100", "place": "grain"})
    assert "work of cleavage (twice the surface energy)" in bound.source["method"]
    assert separation.fracture_energy(dataclasses.replace(known, stderr=0.4)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[1, 1, 1]]", "[0, 0, 0]]", r"surfaces.*\[0, 0, 0\] is no face"),
        ("[1, 1, 1]]", "[1, 1, 0]]", "surfaces.*one of them stands there twice"),
        ("[1, 1, 1]]", "[-1, -1, 0]]", "surfaces.*one of them stands there twice"),
        ("[1, 1, 1]]", "[2, 2, 0]]", r"surfaces.*is the face \[1, 1, 0\]: write that"),
        ("[1, 1, 1]]", "[9, 7, 5]]", "surfaces.*indices go up to 5"),
        ('"surface"', '"elasticity"', 'surfaces.*add "surface" to quantities'),
        ("surfaces = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]", "", "quantities.*names its surfaces"),
    ],
)
def test_impossible_surfaces_are_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read(tmp_path, STUDY.replace(old, new))


def test_thicknesses_of_one_slab_are_refused_before_anything_runs(tmp_path: Path) -> None:
    wanted = read(tmp_path, STUDY.replace("16 angstrom", "9.5 angstrom"))
    with pytest.raises(UserError, match=r"LiCl \(100\): slab_thicknesses of 9, 9.5 angstrom give slabs of .* lay them further"):
        study.plan(property_study.settings(wanted), tools(wanted))
