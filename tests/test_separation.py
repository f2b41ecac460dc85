"""Work of separation of copper (EMT) against independent slabs and boundaries, and the fracture energy that it bounds."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT

from atomistic import separation, surface_energy
from atomistic.grain_boundary import grain_boundary, single_grain
from atomistic.relaxation import relaxed
from coupling.errors import RunFailure
from coupling.record import Property
from coupling.units import surface_energy_to_si

TWIN = (3, (1, 1, 1), (1, 1, 1), 12.0)
"""Coherent twin: sigma, axis, plane, thickness (Å)."""


@pytest.fixture(scope="module")
def copper() -> Atoms:
    """The cubic cell of no stress, so that a grain built of it is at rest."""
    found = relaxed(bulk("Cu", "fcc", a=3.6, cubic=True), EMT(), cell=True, force=1e-4)
    return bulk("Cu", "fcc", a=float(found.cell[0, 0]), cubic=True)


def energy(atoms: Atoms) -> float:
    atoms = atoms.copy()
    atoms.calc = EMT()
    return float(atoms.get_potential_energy())


def test_a_crystal_takes_twice_its_surface_energy_whatever_the_vacuum(copper: Atoms) -> None:
    """(111) faces of slabs built by ASE, relaxed on their own; EMT of ASE: 2.0875 J/m² both ways."""
    a, each = float(copper.cell[0, 0]), energy(copper) / 4

    def slab(layers: float) -> Atoms:
        return fcc111("Cu", (1, 1, round(layers)), a=a, vacuum=8.0, periodic=True)

    alone = surface_energy.surface_energy(slab, (6, 9), each, EMT(), force=2e-3)
    crystal = single_grain(copper, *TWIN)
    found = separation.measured(crystal, EMT(), force=2e-3)
    assert found["values"] == pytest.approx([2 * alone.value], rel=1e-4)
    assert found["rigid"][0] > found["values"][0]
    assert found["forces"][0] < 1e-9
    wide = separation.measured(crystal, EMT(), vacuum=2 * separation.VACUUM, force=2e-3)
    assert wide["values"] == pytest.approx(found["values"], rel=1e-9)
    assert separation.measured(crystal, EMT(), vacuum=2.0, force=2e-3)["values"][0] < 0.99 * found["values"][0]


def test_both_twin_boundaries_take_the_faces_less_the_boundary(copper: Atoms) -> None:
    """W = 2 γ - γ_twin at either of the two boundaries."""
    crystal, twin = single_grain(copper, *TWIN), grain_boundary(copper, *TWIN)
    of_crystal, found = (separation.measured(atoms, EMT(), force=2e-3) for atoms in (crystal, twin))
    excess = energy(twin) - len(twin) / len(crystal) * energy(crystal)
    excess = surface_energy_to_si(excess / (2 * surface_energy.area(twin)))
    assert found["values"] == pytest.approx(2 * [of_crystal["values"][0] - excess], rel=2e-4)
    assert found["values"][0] == pytest.approx(found["values"][1], rel=1e-6)
    assert min(found["rigid"]) > max(found["values"])


def test_work_is_counted_from_where_the_cell_lies_when_closed_again(copper: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    """A joined cell that is stuck where its atoms do not belong: they fall into the crystal on opening; none of that is W."""
    crystal = single_grain(copper, *TWIN)
    of_crystal = separation.measured(crystal, EMT(), force=2e-3)
    stuck = crystal.copy()
    stuck.rattle(0.05, seed=1)
    begun = []

    def first_one_stuck(atoms: Atoms, calculator: EMT, force: float, steps: int, strict: bool) -> Atoms:
        begun.append(atoms)
        return relaxed(atoms, calculator, force=force, steps=steps if len(begun) > 1 else 0, strict=strict)

    monkeypatch.setattr(separation, "relaxed", first_one_stuck)
    found = separation.measured(stuck, EMT(), force=2e-3)
    assert found["values"] == pytest.approx(of_crystal["values"], rel=1e-3)
    assert found["rigid"] == pytest.approx(of_crystal["rigid"], rel=1e-3)
    high = surface_energy_to_si((energy(stuck) - energy(crystal)) / surface_energy.area(crystal))
    assert found["fallen"] == pytest.approx([high], rel=1e-3)
    assert high > 0.05


def test_a_closed_cell_that_the_potential_does_not_hold_does_not_count(copper: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends in a hole of the potential: counted from the joined cell, and told; opening into one is a failure."""
    crystal = single_grain(copper, *TWIN)
    whole, begun = separation.measured(crystal, EMT(), force=2e-3), []

    def torn(number: int) -> None:
        def one_torn(atoms: Atoms, calculator: EMT, force: float, steps: int, strict: bool) -> Atoms:
            begun.append(atoms)
            moved = atoms.copy()
            if len(begun) == number:
                moved.positions[1] = moved.positions[0] + [0.0, 0.0, 0.4]
            return relaxed(moved, calculator, force=force, steps=0 if len(begun) == number else steps, strict=strict)

        begun.clear()
        monkeypatch.setattr(separation, "relaxed", one_torn)

    torn(3)
    found = separation.measured(crystal, EMT(), force=2e-3)
    assert (found["torn"], whole["torn"]) == (1, 0)
    assert found["values"] == pytest.approx(whole["values"], rel=1e-6)
    (work, *_), notes = separation.records("Cu", "crystal", found, {}, {"potential": "EMT"})
    assert work.confidence == "low"
    assert "1 of 1 cells, closed again, are not held" in notes[0]
    torn(2)
    with pytest.raises(RunFailure, match="does not hold the cell: a force of"):
        separation.measured(crystal, EMT(), force=2e-3)


def test_each_boundary_opens_between_the_grains_alone(copper: Atoms) -> None:
    """Vacuum lies below grain 1 and above grain 2, or between them; the grains themselves stay as they are."""
    joined = grain_boundary(copper, 5, (0, 0, 1), (2, 1, 0), 10.0, gap=0.3)
    lower, upper = (joined.get_tags() == tag for tag in (1, 2))
    for between in (False, True):
        apart = separation.opened(joined, 9.0, between)
        heights = apart.positions[:, 2]
        inner = heights[upper].min() - heights[lower].max()
        outer = apart.cell[2, 2] - heights[upper].max() + heights[lower].min()
        assert (inner > 9.0, outer > 9.0) == (between, not between)
        assert apart.cell[2, 2] == pytest.approx(joined.cell[2, 2] + 9.0)
        assert np.allclose(apart.cell[:2], joined.cell[:2])
        for grain in (lower, upper):
            assert np.allclose(np.diff(apart.positions[grain], axis=0), np.diff(joined.positions[grain], axis=0))


def answer(**more: object) -> dict:
    """Of a cell whose two boundaries are alike."""
    told = {"values": [1.0, 1.001], "rigid": [1.4, 1.4], "fallen": [0.0, 0.0], "forces": [0.01, 0.02, 0.02], "force": 0.03,
            "steps": 400, "vacuum": 12.0, "atoms": 80}  # fmt: skip
    return {**told, **more}


def told(**more: object) -> tuple[list[Property], list[str]]:
    return separation.records("Cu", "boundary", answer(**more), {"temperature_K": 0.0}, {"potential": "EMT"})


def test_records_tell_what_they_are_of() -> None:
    """Alike boundaries: no error known, the bound is the value; unlike ones: their scatter, and a bound below both."""
    (work, bound), notes = told()
    assert (work.quantity, work.value, work.stderr, work.confidence) == ("work_of_separation", 1.0005, None, "computed")
    assert (bound.quantity, bound.bound, bound.value, bound.stderr) == ("fracture_energy", "lower", 1.0005, None)
    assert work.conditions == bound.conditions == {"temperature_K": 0.0, "place": "boundary"}
    assert "of this cut and this shift alone, so that no error is known" in work.source["method"]
    assert "not relaxed (rigid) 1.4 J/m², an upper value" in work.source["method"]
    assert "since no error of it is known" in bound.source["method"]
    assert bound.source["work_method"] == work.source["method"]
    assert not notes
    work, bound = told(values=[1.0, 1.4])[0]
    assert work.stderr == pytest.approx(0.4 / np.sqrt(2))
    assert bound.value == pytest.approx(work.value - 1.645 * work.stderr)
    assert bound.value < 1.0
    assert "faces differ, error = their scatter" in work.source["method"]


def test_what_is_not_at_rest_or_parts_by_itself_is_told() -> None:
    (work, bound), notes = told(forces=[0.01, 0.2, 0.02])
    assert (work.confidence, bound.confidence) == ("low", "low")
    assert "1 of 3 did not come to rest (largest force left 0.2 eV/Å, wanted 0.03, after 400 steps)" in work.source["method"]
    assert notes[0].startswith("separation of the boundary: slabs relaxed")
    (work, _), notes = told(fallen=[0.0, 0.3])
    assert work.confidence == "low"
    assert "hangs on where its atoms lie" in notes[0]
    assert "which lies 0.3 J/m² lower than as it was joined" in work.source["method"]
    (work,), notes = told(values=[-0.1, -0.1])
    assert work.confidence == "low"
    assert "parts by itself" in notes[0]


def adhesion(value: float, stderr: float | None, material: str = "Li|X") -> Property:
    return Property(material, "work_of_adhesion", value, "J/m^2", stderr=stderr, source={"method": "slabs", "potential": "p"})


def test_adhesion_bounds_the_fracture_energy_up_to_that_of_the_metal() -> None:
    """One-sided 95 %; nothing where that is not positive; above the metal's own cohesion that is the bound, of low confidence."""
    other = Property("Li", "surface_energy", 0.5, "J/m^2", stderr=0.1, source={"method": "slabs"})
    known = [adhesion(0.5, 0.1), other, adhesion(0.1, 0.1), adhesion(2.8, 0.4), adhesion(2.8, 0.4, "Na|X")]
    made = separation.with_fracture_energy(known)
    assert [one.quantity for one in made].count("work_of_adhesion") == 4
    bounds = [(place, one) for place, one in enumerate(made) if one.quantity == "fracture_energy"]
    assert [place for place, _ in bounds] == [1, 5, 7]
    assert [one.value for _, one in bounds] == pytest.approx([0.5 - 0.1645, 0.92, 2.8 - 0.658])
    assert [one.confidence for _, one in bounds] == ["computed", "low", "computed"]
    assert "twice the surface energy of the metal (0.92 J/m²), which parts first" in bounds[1][1].source["method"]
    assert all(one.value < one.source["work"] for _, one in bounds)


def cold(quantity: str, value: float, stderr: float | None = None, **where: str) -> Property:
    conditions = {"temperature_K": 0.0, **where}
    return Property("X", quantity, value, "J/m^2", stderr=stderr, conditions=conditions, source={"made": "up"})


@pytest.mark.parametrize(
    ("excess", "stderr", "holds"), [(1.0, 0.05, True), (0.9, 0.06, True), (0.9, 0.01, False), (-0.8, 0.05, False)]
)
def test_works_of_boundary_and_grain_differ_by_the_excess_energy(excess: float, stderr: float, holds: bool) -> None:
    """W 1 and 2 J/m² with an excess energy of 1 or not, within twice the error of the boundary's; what is warm is left alone."""
    works = [cold("work_of_separation", 1.0, stderr, place="boundary"), cold("work_of_separation", 2.0, place="grain")]
    warm = Property("X", "boundary_energy", 0.2, "J/m^2", conditions={"temperature_K": 600.0}, source={"made": "up"})
    records = [cold("boundary_energy", excess), warm, *separation.with_fracture_energy(works)]
    found, told = separation.consistent(records)
    if holds:
        assert (found, told) == (records, [])
        return
    assert [record.confidence for record in found] == ["low", "computed", "low", "low", "low", "low"]
    assert f"less the excess energy of the boundary, 2 - ({excess:g}) J/m²" in told[0]
    assert found[0].source["low_confidence"] == told[0]
    assert separation.consistent(records[1:]) == (records[1:], [])


@pytest.mark.parametrize("shifts", [2, 3])
def test_the_bound_of_a_contact_holds_whichever_work_gives_it(shifts: int) -> None:
    """2000 contacts, works of adhesion and of separation alike in truth, both of few shifts: of the larger bound 95 % hold."""
    random, held = np.random.default_rng(2), []
    for _ in range(2000):
        works = []
        for name in ("work_of_adhesion", "work_of_separation"):
            values = 0.5 + 0.05 * random.standard_normal(shifts)
            scatter = float(np.std(values, ddof=1))
            source = {"shifts": [[0, 0]] * shifts, "values": values.tolist(), "error_of": {"registries": scatter}}
            works.append(Property("Li|X", name, float(values.mean()), "J/m^2", stderr=scatter, source=source))
        held += [bound.value <= 0.5 for bound in separation.with_fracture_energy(works) if bound.bound]
    assert np.mean(held) >= 0.94
