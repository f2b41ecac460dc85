"""Surface energy and adhesion of Lennard-Jones crystals against direct sums over planes."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc100
from ase.calculators.lj import LennardJones

from atomistic import surface_energy
from atomistic.relaxation import relaxed, still_gained
from coupling.errors import UserError
from coupling.units import surface_energy_to_si

A0, CUTOFF = 5.25, 7.0  # Å


def potential() -> LennardJones:
    return LennardJones(epsilon=0.0104, sigma=3.4, rc=CUTOFF, smooth=False)


def slab(thickness: float, vacuum: float = 20.0) -> Atoms:
    """fcc (100) slab of that thickness (Å, rounded up to layers), unrelaxed, one atom a layer."""
    layers = int(np.ceil(thickness / (A0 / 2)))
    atoms = fcc100("Ar", (1, 1, layers), a=A0, vacuum=vacuum / 2, periodic=True)
    return atoms


def across_plane() -> float:
    """Energy per area (eV/Å²) of the bonds that a (100) cut severs, from the pair sum over layers above and below."""
    edge = 4 * 0.0104 * ((3.4 / CUTOFF) ** 12 - (3.4 / CUTOFF) ** 6)
    side = A0 / np.sqrt(2)
    total = 0.0
    for step in range(1, 6):  # layers apart; `step` pairs of layers are that far apart across the cut
        offset = 0.5 * side * (step % 2)
        grid = np.arange(-6, 7) * side + offset
        x, y = np.meshgrid(grid, grid)
        r = np.sqrt(x**2 + y**2 + (step * A0 / 2) ** 2)
        r = r[r < CUTOFF]
        total += step * np.sum(4 * 0.0104 * ((3.4 / r) ** 12 - (3.4 / r) ** 6) - edge)
    return total / side**2


def bulk_energy() -> float:
    """Energy per atom of the crystal, eV, from a slab without vacuum."""
    atoms = fcc100("Ar", (1, 1, 4), a=A0, periodic=True)
    atoms.set_cell([*atoms.cell.lengths()[:2], 2 * A0])
    atoms.calc = potential()
    return float(atoms.get_potential_energy() / 4)


def test_unrelaxed_surface_energy_is_half_the_severed_bonds() -> None:
    """γ = −E_cut/2 for a rigid cut; no change with thickness once both faces are further apart than the cutoff."""
    found = surface_energy.surface_energy(slab, (16.0, 24.0), bulk_energy(), potential(), force=10.0)
    assert found.value == pytest.approx(-0.5 * surface_energy_to_si(across_plane()), rel=1e-6)
    assert found.stderr < 1e-9
    assert len(found.values) == 2


def test_relaxation_lowers_the_surface_energy_a_little() -> None:
    """Argon (100) relaxes outwards by a few percent of its energy."""
    stiff = surface_energy.surface_energy(slab, (16.0, 24.0), bulk_energy(), potential(), force=10.0)
    soft = surface_energy.surface_energy(slab, (16.0, 24.0), bulk_energy(), potential(), force=1e-3)
    assert 0.9 * stiff.value < soft.value < stiff.value


def test_thin_slab_shows_in_the_error() -> None:
    """A single layer severs fewer bonds between second layers: the error says so."""
    found = surface_energy.surface_energy(slab, (2.0, 16.0), bulk_energy(), potential(), force=10.0)
    assert found.stderr > 0.01 * found.value


def test_adhesion_of_a_crystal_to_itself_is_twice_its_surface_energy() -> None:
    """W = 2 γ when the two halves of a crystal are put together in register."""
    whole = slab(24.0)
    order = np.argsort(whole.positions[:, 2])
    half = np.zeros(len(whole), bool)
    half[order[len(whole) // 2 :]] = True
    period = A0 / np.sqrt(2)
    found = surface_energy.work_of_adhesion(
        whole, whole[half], whole[~half], half, [(0.0, 0.0), (period, 0.0)], potential(), force=10.0
    )
    assert found.value == pytest.approx(-surface_energy_to_si(across_plane()), rel=1e-6)
    assert found.stderr < 1e-9


def test_shift_out_of_register_lowers_adhesion_and_scatters() -> None:
    """Registry matters: generic shifts give a smaller mean and an error."""
    whole = slab(24.0)
    half = whole.positions[:, 2] > np.median(whole.positions[:, 2])
    shifts = surface_energy.generic_shifts(4, A0 / np.sqrt(2))
    found = surface_energy.work_of_adhesion(whole, whole[half], whole[~half], half, shifts, potential(), force=10.0, steps=1)
    assert found.value < -surface_energy_to_si(across_plane())
    assert found.stderr > 0


def test_generic_shifts_are_spread_out() -> None:
    """No two coincide, all lie in the square."""
    shifts = np.array(surface_energy.generic_shifts(12, 3.5))
    assert ((shifts >= 0) & (shifts < 3.5)).all()
    gaps = np.linalg.norm(shifts[:, None] - shifts[None], axis=-1) + 9 * np.eye(12)
    assert gaps.min() > 0.4


def test_one_thickness_or_shift_is_refused() -> None:
    """Nothing to take an error from."""
    with pytest.raises(UserError, match="two thicknesses"):
        surface_energy.surface_energy(slab, (16.0,), 0.0, potential())
    with pytest.raises(UserError, match="two in-plane shifts"):
        surface_energy.work_of_adhesion(slab(8.0), slab(8.0), slab(8.0), np.zeros(5, bool), [(0.0, 0.0)], potential())


@pytest.mark.parametrize(("values", "one"), [([0.500, 0.501, 0.5005], True), ([0.45, 0.52, 0.49], False)])
def test_shifts_that_fall_into_one_contact_are_told(values: list[float], one: bool) -> None:
    """Their scatter is next to nothing and no error: the record of adhesion says so, and what else the error leaves out."""
    from atomistic import adhesion
    from atomistic.scheduler import Task

    p = {"metal": "Li", "shifts": [[0, 0], [0.3, 0], [0, 0.3]], "force": 0.01, "steps": 600}
    task = Task("k", "adhesion", 1.0, "adhesion", p)
    answer = {"value": 0.5, "stderr": float(np.std(values, ddof=1)), "values": values, "atoms": 60, "strain": 0.02,
              "forces": [0.009] * 5, "error_of": {}}  # fmt: skip
    method = adhesion.record("Li2S", task, answer, {"potential": "p"}, {}).source["method"]
    assert "misfit strain" in method
    assert "a reaction's energy" not in method
    assert adhesion.fallen("Li2S", task, answer) == ""
    for hole in ({"value": 800.0}, {"values": [0.3, -800.0]}, {"stderr": 800.0}):
        assert adhesion.fallen("Li2S", task, {**answer, **hole}).startswith("Li|Li2S: work of adhesion left out: 800 J/m²")
    strong = adhesion.record("Li2S", task, {**answer, "value": 1.2}, {"potential": "p"}, {})
    assert "above twice the surface energy of the metal (0.92 J/m²), which parts first: a reaction's" in strong.source["method"]
    assert strong.confidence == "low"
    assert ("into one contact" in method) is one


def half_and_half(thickness: float) -> tuple:
    """A crystal of two halves of that thickness, its parts and which atoms are the upper one."""
    whole = slab(2 * thickness)
    upper = whole.positions[:, 2] > np.median(whole.positions[:, 2])
    return whole, whole[upper], whole[~upper], upper


def test_the_change_with_thickness_is_seen() -> None:
    """Halves of one plane against halves of many: the difference of W, shift by shift; none between two that are thick."""
    period = A0 / np.sqrt(2)
    shifts = [(0.0, 0.0), (period, 0.0), (2 * period, 0.0)]
    thin, thick, thicker = (half_and_half(thickness) for thickness in (2.0, 14.0, 18.0))
    found = surface_energy.work_of_adhesion(*thin, shifts, potential(), force=10.0)
    reference = surface_energy.work_of_adhesion(*thick, shifts, potential(), force=10.0)
    change = surface_energy.change_with_thickness(found, reference)
    assert change == pytest.approx(abs(reference.value - found.value), rel=1e-6)
    assert change > 0.005 * found.value
    assert surface_energy.separation_change(found, reference) == pytest.approx(change, rel=1e-6), "the same parts, apart"
    other = surface_energy.work_of_adhesion(*thicker, shifts[:2], potential(), force=10.0)
    assert surface_energy.change_with_thickness(reference, other) < 1e-6 * found.value
    assert surface_energy.separation_change(reference, replace(other, opened=())) is None


def test_a_contact_at_rest_is_opened() -> None:
    """Halves of a crystal in register: separation is adhesion, and more where the faces may not relax; none of what moves on."""
    whole, upper, lower, half = half_and_half(14.0)
    shifts = [(0.0, 0.0), (A0 / np.sqrt(2), 0.0)]
    found = surface_energy.work_of_adhesion(whole, upper, lower, half, shifts, potential(), force=1e-3)
    assert [one.shift for one in found.opened] == [0, 1]
    for one in found.opened:
        assert one.value == pytest.approx(found.value, rel=1e-3)
        assert one.value < one.rigid < 1.1 * one.value
        assert max(one.forces) < 1e-3
    rigid = surface_energy.surface_energy(slab, (16.0, 24.0), bulk_energy(), potential(), force=10.0).value
    assert found.opened[0].rigid == pytest.approx(2 * rigid, rel=0.02)
    out = surface_energy.work_of_adhesion(whole, upper, lower, half, [(0.7, 0.4), (1.1, 0.2)], potential(), force=1e-6, steps=1)
    assert out.opened == ()


def test_the_record_of_separation_says_how_many_contacts_it_is_of() -> None:
    """Mean and error over the shifts at rest, in squares; of one shift, of a run before it was asked for: none."""
    from atomistic import adhesion
    from atomistic.scheduler import Task
    from atomistic.separation import with_fracture_energy

    p = {"metal": "Li", "shifts": [[0, 0], [0.3, 0], [0, 0.3]], "force": 0.01, "steps": 600, "thicker": 13.0}
    task = Task("k", "adhesion", 1.0, "adhesion", p)
    opened = [{"shift": n, "value": value, "rigid": value + 0.1, "forces": [0.009, 0.002], "gained": [0.003, 0.004]}
              for n, value in ((0, 0.50), (2, 0.54))]  # fmt: skip
    answer = {"atoms": 60, "strain": "by 1 %", "opened": opened, "opened_change_with_thickness": 0.02}
    (record,) = adhesion.separation("LiCl", task, answer, {"potential": "p"}, {"temperature_K": 0.0})
    assert (record.material, record.quantity, record.confidence) == ("Li|LiCl", "work_of_separation", "computed")
    assert record.value == pytest.approx(0.52)
    assert record.stderr == pytest.approx(np.sqrt(0.02**2 + 0.04**2 / 2 + 0.005**2))
    assert "2 of 3 in-plane shifts" in record.source["method"]
    assert "not relaxed (rigid) 0.62 J/m²" in record.source["method"]
    bounds = [one for one in with_fracture_energy([replace(record, quantity="work_of_adhesion", value=0.3, stderr=0.3), record])
              if one.quantity == "fracture_energy"]  # fmt: skip
    scatter = 6.3138 * 0.04 / 2**0.5 / 2**0.5  # 95 % of Student's of one degree, of the mean of two
    least = 0.52 - np.hypot(scatter, 1.645 * np.hypot(0.02, 0.005))
    assert [(one.value, one.source["work"]) for one in bounds] == [(pytest.approx(least, rel=1e-3), record.value)]
    better = replace(record, quantity="work_of_adhesion", value=0.6)
    assert [one.quantity for one in with_fracture_energy([better, record])][1] == "fracture_energy"
    assert len(with_fracture_energy([better, record])) == 3
    doubted = replace(better, confidence="low")
    assert [one.quantity for one in with_fracture_energy([doubted, record])][2:] == ["fracture_energy"]
    strong = [{**one, "value": one["value"] + 1.0} for one in opened]
    (reacted,) = adhesion.separation("LiCl", task, {**answer, "opened": strong}, {}, {})
    assert reacted.confidence == "low"
    assert "a reaction's energy may be in it" in reacted.source["method"]
    moved = [{**one, "forces": [0.5, 0.002]} for one in opened]
    assert adhesion.separation("LiCl", task, {**answer, "opened": moved}, {}, {})[0].confidence == "low"
    assert adhesion.separation("LiCl", task, {**answer, "opened": opened[:1]}, {}, {}) == []
    for name in ("value", "rigid"):  # one of three contacts lost a part to a hole of the potential
        lost = [*opened, {**opened[0], "shift": 1, name: -2e4}]
        assert adhesion.separation("LiCl", task, {**answer, "opened": lost}, {}, {})[0].value == pytest.approx(0.52)
        assert "-2e+04 J/m² is no contact's" in adhesion.opened_in_hole("LiCl", task, {**answer, "opened": lost})
    assert adhesion.opened_in_hole("LiCl", task, answer) == ""
    assert adhesion.separation("LiCl", task, {"atoms": 60, "strain": ""}, {}, {}) == []


def test_the_record_of_adhesion_holds_the_change_with_thickness() -> None:
    """A run with a thicker contact: both components in squares, told one by one; a contact that is no thicker is refused."""
    import tiny_study

    from atomistic import adhesion
    from atomistic.scheduler import Task

    tools = tiny_study.tools()
    tools = replace(tools, effort=replace(tools.effort, thicker_contact=2.5 * tools.effort.contact_thickness))
    assert tools.contact is not None
    atoms = len(tools.contact("Ar", tools.effort.contact_thickness)[0])
    more = adhesion.atoms_of_thicker(tools, "Ar", atoms)
    assert more > atoms
    with pytest.raises(UserError, match="make it thicker"):
        adhesion.atoms_of_thicker(tools, "Ar", more)
    p = {"phase": "Ar", "metal": "Ar", "thickness": tools.effort.contact_thickness, "thicker": tools.effort.thicker_contact,
         "shifts": [[0.5, 0.2], [1.1, 0.9], [0.2, 1.4]], "force": 0.01, "steps": 3}  # fmt: skip
    answer = adhesion.measured(p, tools, tools.load("float64", 0), lambda share: None)
    errors = answer["error_of"]
    assert set(errors) == {"registries", "relaxation", "thickness"}
    assert min(errors.values()) > 0
    assert answer["stderr"] == pytest.approx(np.sqrt(sum(np.square(list(errors.values())))))
    record = adhesion.record("Ar", Task("k", "a", 1.0, "adhesion", p), answer, {"potential": "argon"}, {})
    assert record.source["error_of"] == errors
    assert "misfit strain and other terminations" in record.source["method"]
    assert "Å of each side" in record.source["method"]


def test_a_contact_that_did_not_come_to_rest_is_told() -> None:
    """Cut off after two steps: how many slabs, the largest force left and a low confidence; at rest the record is as it was."""
    import tiny_study

    from atomistic import adhesion, pooling
    from atomistic.scheduler import Task

    tools = tiny_study.tools()
    found = {}
    for steps in (2, 500):
        p = {"phase": "Ar", "metal": "Ar", "thickness": 5.0, "shifts": [[0.5, 0.2], [1.1, 0.9]], "force": 0.01, "steps": steps}
        answer = adhesion.measured(p, tools, tools.load("float64", 0), lambda share: None)
        found[steps] = adhesion.record("Ar", Task("k", "a", 1.0, "adhesion", p), answer, {"potential": "argon"}, {})
        assert found[steps].value == pytest.approx(np.mean(answer["values"]))
    loose, rest = found[2], found[500]
    assert (loose.confidence, rest.confidence) == ("low", "computed")
    assert rest.source["method"].startswith("relaxed slabs at 0 K, mean over in-plane shifts, error")
    largest = f"{max(adhesion.measured({**p, 'steps': 2}, tools, tools.load('float64', 0), lambda share: None)['forces']):.2g}"
    told = f"did not come to rest (largest force left {largest} eV/Å, wanted 0.01, after 2 steps)"
    assert told in loose.source["method"]
    assert float(largest) > 0.01
    pooled = pooling.over_members([[rest], [loose]])[0]
    assert pooled.confidence == "low"
    assert pooled.source["method"].endswith("of low confidence (methods beside their numbers): member 1")
    assert told in pooled.source["members"][1]["method"]
    assert "confidence" not in pooled.source["members"][0]
    assert pooling.over_members([[rest], [rest]])[0].confidence == "computed"


def test_what_the_last_steps_gained_is_part_of_the_error() -> None:
    """Energies of a relaxation cut off: the fall over its last third; the parts count once each, the shifts as their mean."""
    assert still_gained([9.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0]) == pytest.approx(0.5)
    assert still_gained([9.0, 5.0]) == pytest.approx(4.0)
    assert still_gained([9.0]) == 0.0
    assert surface_energy.relaxation_error([0.3, 0.4, 1.2, 1.2, 1.2]) == pytest.approx(1.3)
    energies: list[float] = []
    rest = relaxed(slab(8.0), potential(), force=1e-6, steps=4, strict=False, energies=energies)
    assert len(energies) == 5
    assert energies[-1] == pytest.approx(rest.get_potential_energy())
    assert energies == sorted(energies, reverse=True)
