"""Shells of neighbours and powder lines: crystals whose answers are known, what is no shell, slices of a reacted cell."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk as made
from ase.neighborlist import neighbor_list as neighbour_list

from atomistic import diffraction, heterostructure, reacted_slices, reaction_study, structure_reading
from atomistic.diffraction import Slice
from atomistic.shells import Shell, bins_of, pairs_of, shell
from atomistic.structures import bulk, supercell
from atomistic.trajectory import Trajectory
from coupling.errors import UserError


def rattled(crystal: Atoms, amount: float, frames: int = 40, seed: int = 0) -> list[Atoms]:
    """Frames whose atoms are each displaced by Gaussians of `amount` (Å) along every axis."""
    random, found = np.random.default_rng(seed), []
    for _ in range(frames):
        found.append(crystal.copy())
        found[-1].positions += random.normal(0, amount, crystal.positions.shape)
    return found


def first_shell(crystal: Atoms, pair: tuple[str, str], amount: float, r_max: float) -> Shell:
    frames = rattled(crystal, amount)
    found = diffraction.radial(frames, *pair, None, r_max, bins_of(r_max))
    count = crystal.get_chemical_symbols().count
    return shell(pair, found, count(pair[0]), count(pair[1]))


SALT, SULFIDE = bulk("LiCl"), bulk("Li2S")


@pytest.mark.parametrize(("crystal", "pair", "rest", "number", "other"), [
    (made("Ar", "fcc", a=5.3, cubic=True), ("Ar", "Ar"), 5.3 / 2**0.5, 12, 12),
    (bulk("Li"), ("Li", "Li"), 3.5092 * 3**0.5 / 2, 8, 8),
    (SALT, ("Cl", "Li"), 5.1398 / 2, 6, 6),
    (SULFIDE, ("S", "Li"), 5.719 * 3**0.5 / 4, 8, 4),
])  # fmt: skip
def test_shells_of_crystals(crystal: Atoms, pair: tuple[str, str], rest: float, number: int, other: int) -> None:
    """Number and distance, which motion of 0.05 Å an axis shortens by σ²/R (of both atoms), within three small errors."""
    found = first_shell(supercell(crystal, 13.0), pair, 0.05, 6.5)
    assert found.number == pytest.approx(number, abs=3 * found.number_error)
    assert found.other == pytest.approx(other, abs=0.05)
    assert found.distance == pytest.approx(rest - 2 * 0.05**2 / rest, abs=3 * found.distance_error)
    assert found.distance_error < 0.006
    assert found.number_error < 0.05


def test_hot_bcc_has_one_shell_of_fourteen() -> None:
    """Motion of 0.3 Å an axis melts the eight and the six neighbours of bcc into one maximum."""
    found = first_shell(supercell(bulk("Li"), 14.0), ("Li", "Li"), 0.3, 7.0)
    assert found.number == pytest.approx(14, abs=0.7)


def test_what_is_no_clear_shell_is_said() -> None:
    random = np.random.default_rng(0)
    gas = [Atoms("Ar200", positions=random.uniform(0, 20, (200, 3)), cell=[20] * 3, pbc=True) for _ in range(12)]
    with pytest.raises(UserError, match="Ar-Ar: no clear first shell: "):
        shell(("Ar", "Ar"), diffraction.radial(gas, "Ar", "Ar", None, 8.0, bins_of(8.0)), 200, 200)
    narrow = rattled(supercell(SALT, 10.0), 0.05)
    with pytest.raises(UserError, match=r"does not rise again after its first maximum within 3\.0 Å"):
        shell(("Cl", "Li"), diffraction.radial(narrow, "Cl", "Li", None, 3.0, bins_of(3.0)), 32, 32)
    with pytest.raises(UserError, match="4 frames; a shell with an error needs 10"):
        shell(("Cl", "Li"), diffraction.radial(narrow[:4], "Cl", "Li", None, 4.5, bins_of(4.5)), 32, 32)


def test_an_odd_top_widens_the_error() -> None:
    """Two distances 0.26 Å apart in one maximum: where it lies depends on how much of it is fitted, which the error holds."""
    crystal = supercell(SALT, 13.0)
    own = first_shell(crystal, ("Cl", "Li"), 0.07, 6.0)
    crystal.set_cell(crystal.cell.array * [[1.0], [1.0], [1.1]], scale_atoms=True)
    odd = first_shell(crystal, ("Cl", "Li"), 0.07, 6.0)
    assert odd.distance_error > 2 * own.distance_error


def test_the_rarer_element_is_the_centre() -> None:
    assert pairs_of(["Li", "Li", "S"]) == [("S", "S"), ("S", "Li"), ("Li", "Li")]
    assert pairs_of(["Li", "Cl"]) == [("Cl", "Cl"), ("Cl", "Li"), ("Li", "Li")]


def run(frames: list[Atoms]) -> Trajectory:
    """A run of frames of one cell."""
    count = len(frames)
    cells = np.array([frame.cell.array for frame in frames])
    return Trajectory(frames[0].numbers, np.array([frame.positions for frame in frames]), cells, 40.0, np.zeros(count),
                      np.full(count, 300.0), frames[-1], 0)  # fmt: skip


def test_lines_are_named_after_those_of_the_crystal() -> None:
    """A rattling crystal 1 % larger than its structure file: each line by name at Bragg's angle of the run's own cell."""
    crystal = SALT.copy()
    crystal.set_cell(crystal.cell * 1.01, scale_atoms=True)
    read = structure_reading.of_run(run(rattled(supercell(crystal, 13.0), 0.1, 20)), SALT, "Li")
    lines = {one["conditions"]["line"]: one for one in read["records"] if one["quantity"] == "diffraction_angle"}
    assert {"(1 1 1)", "(2 0 0)", "(2 2 0)"} <= set(lines)
    for name in ("(1 1 1)", "(2 0 0)", "(2 2 0)"):
        square = sum(int(index) ** 2 for index in name.strip("()").split())
        bragg = 2 * np.degrees(np.arcsin(diffraction.COPPER * square**0.5 / (2 * 5.1398 * 1.01)))
        assert abs(lines[name]["value"] - bragg) < 2 * lines[name]["stderr"]
    assert len(read["notes"]) == 0
    assert set(read["g"]) == {"Cl-Cl", "Cl-Li", "Li-Li"}


def test_a_hexagonal_line_has_three_indices() -> None:
    names = {line[2] for line in structure_reading.reference_lines(bulk("Li3P"))}
    assert {"(0 0 2)", "(1 0 0)", "(1 1 0)", "(1 1 2)"} <= names


def test_a_peak_at_no_line_is_a_stranger() -> None:
    pattern = diffraction.powder([supercell(SALT, 10.0)], r_max=40.0)
    lines = [line for line in structure_reading.reference_lines(SALT) if line[2] != "(2 2 0)"]
    records, strangers = structure_reading.named(diffraction.peak_records(pattern, "", {}, {}), lines, pattern)
    assert any(abs(peak.value - 50.2) < 0.5 for peak in strangers)
    assert "(2 2 0)" not in {record.conditions["line"] for record in records}


def test_atoms_that_wander_make_no_crystal() -> None:
    """The whole may drift and lithium may wander; where chlorine does, the pattern ends at half the cell."""
    frames = rattled(supercell(SALT, 10.0), 0.1, 20)
    names = np.array(frames[0].get_chemical_symbols())
    for number, frame in enumerate(frames):
        frame.positions += 0.5 * number
        frame.positions[names == "Li"] += np.random.default_rng(1).normal(0, 0.3 * number, (32, 3))
    assert structure_reading.keeps_its_sites(run(frames), "Li")
    assert not structure_reading.keeps_its_sites(run(frames), "Cl")


def test_stretches_go_across_the_end_of_the_cell() -> None:
    """Of each kind the longest one; slices that are neither are the interphase."""
    metal, whole = np.zeros((2, 20))
    metal[[0, 1, 18, 19]], whole[4:10], whole[13] = 1, 1, 1
    assert reacted_slices.stretches(np.array([metal, whole])) == {"metal": (18, 4), "interphase": (14, 4), "electrolyte": (4, 6)}


def test_one_slice_of_metal_is_metal() -> None:
    """A layer of lithium as thin as a slice between what it has reacted to."""
    line = Atoms("Li200", scaled_positions=[[0, 0, (n + 0.5) / 200] for n in range(200)], cell=[5, 5, 160], pbc=True)
    names = np.full(200, "Li2S", dtype="<U8")
    names[70:83] = "Li"
    found = reacted_slices.stretches(reacted_slices.shares([line], "Li6PS5Cl", [names]))
    assert found == {"metal": (7, 1), "interphase": (8, 19)}
    names[:70] = names[83:] = "Li6PS5Cl"  # most of the slice and its neighbours, which metal stays out of
    found = reacted_slices.stretches(reacted_slices.shares([line], "Li6PS5Cl", [names]))
    assert found == {"metal": (7, 1), "electrolyte": (8, 19)}


def test_slices_between_layers_of_cold_metal_are_metal() -> None:
    """Bcc lithium, its layers 1.7 Å apart, on Li6PS5Cl in slices of 1.3 Å: as high as it was built, within a layer."""
    below, metal = bulk("Li6PS5Cl"), bulk("Li").repeat((3, 3, 4))
    below.positions[:, 2] -= below.positions[:, 2].min()
    top, width, thick = np.ptp(below.positions[:, 2]), below.cell.lengths()[0], metal.cell.lengths()[2]
    metal.set_cell([width, width, thick], scale_atoms=True)
    metal.positions[:, 2] += top + 2.2
    cell = Atoms(below + metal, cell=[width, width, top + 2.2 + thick + 0.6], pbc=True)
    shares = reacted_slices.shares(rattled(cell, 0.02, 5), "Li6PS5Cl")
    _, slices = reacted_slices.stretches(shares)["metal"]
    assert slices * cell.cell[2, 2] / 20 == pytest.approx(thick, abs=1.8)
    assert np.isfinite(shares).all()


def test_a_frame_without_atoms_in_a_slice_counts_by_its_atoms() -> None:
    """Of two frames one has moved its ten atoms out of a slice; vacuum wider than three slices is of no kind."""
    line = Atoms("Li200", scaled_positions=[[0, 0, (n + 0.5) / 200] for n in range(200)], cell=[5, 5, 160], pbc=True)
    away, names = line.copy(), np.where(np.arange(200) < 100, "Li", "Li2S")
    away.positions[30:40, 2] += 8.0
    shares = reacted_slices.shares([line, away], "Li6PS5Cl", [names, names])
    assert reacted_slices.stretches(shares) == {"metal": (0, 10), "interphase": (10, 10)}
    assert shares[0, 3] == 1.0
    kept = np.r_[:150, 190:200]
    vacuum = reacted_slices.shares([line[kept]], "Li6PS5Cl", [names[kept]])
    assert np.isnan(vacuum[0]).tolist() == [n in (16, 17) for n in range(20)]


def test_a_built_interface_is_told_apart() -> None:
    """Metal and electrolyte where the cell has them, both sides counted."""
    from pathlib import Path

    studies = Path(__file__).parent.parent / "cases" / "_studies"
    built = reaction_study.start(reaction_study.trial(reaction_study.read_study(studies / "reaction-li6ps5cl.toml")))
    found = reacted_slices.stretches(reacted_slices.shares([built], "Li6PS5Cl"))
    depth = np.array([slices[0] + slices[1] / 2 for slices in (found["metal"], found["electrolyte"])]) % 20 / 20
    sides = (heterostructure.UPPER, heterostructure.LOWER)
    middle = [built.get_scaled_positions()[built.get_tags() == tag, 2].mean() for tag in sides]
    assert depth == pytest.approx(middle, abs=0.06)


def test_coordination_counts_neighbours_beside_the_slice() -> None:
    """Eight lithium about every sulfur of Li2S, those at its faces too; of PS4 there is none, which is told."""
    frames = rattled(supercell(SULFIDE, 17.0), 0.05, 12)
    mean = np.zeros((2, 20))
    mean[0, :10] = 1.0
    records, drawn, notes = reacted_slices.read(frames, mean, ["Li2S"], "x", {}, {"made": "up"})
    (one,) = records
    assert (one.quantity, one.conditions) == ("coordination_number", {"pair": "S-Li", "place": "interphase"})
    assert one.value == pytest.approx(8.0, abs=3 * one.stderr)
    assert one.stderr < 0.05
    assert set(drawn["slices"]) == {"metal", "interphase"}
    assert drawn["slices"]["interphase"]["pattern"]["r_max_A"] == pytest.approx(8.58, abs=0.01)
    assert any("no electrolyte of 6 Å" in note for note in notes)
    assert any(note.startswith("coordination P-S in the interphase: ") for note in notes)


def test_the_scatter_among_atoms_enters_a_coordination_number() -> None:
    """Some sulfur atoms lost neighbours for good: frames do not tell it, the scatter of the atoms over √n does."""
    crystal = supercell(SULFIDE, 17.0)
    sulfur = np.flatnonzero(crystal.numbers == 16)
    kept = Shell(("S", "Li"), 2.48, 0.003, 8.0, 0.0, 3.2, 0.003, 4.0)
    gone = crystal.copy()
    del gone[[int(np.argsort(crystal.get_distances(int(place), range(len(crystal)), mic=True))[1]) for place in sulfur[::8]]]
    part = [Slice()] * 12
    whole = reacted_slices.coordination(rattled(crystal, 0.05, 12), part, kept)
    holed = reacted_slices.coordination(rattled(gone, 0.05, 12), part, kept)
    assert whole[1] < 0.01
    counts = np.bincount(neighbour_list("i", gone, {("S", "Li"): 3.2}), minlength=len(gone))[gone.numbers == 16]
    assert holed[0] == pytest.approx(counts.mean(), abs=0.01)
    assert holed[1] == pytest.approx(counts.std(ddof=1) / len(counts) ** 0.5, rel=0.05)
