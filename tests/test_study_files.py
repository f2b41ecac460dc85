"""Study files of bulk properties, a reacting interface and a grain boundary: from file to records, kept, wrong input refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import boundary_study, property_study, reacted_layer, reaction_reading, reaction_study
from atomistic.trajectory import Trajectory
from coupling.errors import UserError
from coupling.store import read_records
from multiscale.commands.study import STUDIES, _room
from multiscale.shipped_records import studies

ROOT = Path(__file__).resolve().parent.parent
PROPERTIES = """
kind = "properties"
name = "argon"
potential = "none"
seed = 5
quantities = ["diffusion", "elasticity"]

[[phase]]
name = "LiCl"
edge = "5 angstrom"
temperatures = ["300 K", "400 K"]
equilibration = "0.1 ps"
production = "0.8 ps"
"""
REACTION = """
kind = "reaction"
name = "stack"
potential = "none"
electrolyte = "Li6PS5Cl"
metal_thickness = "20 angstrom"
electrolyte_thickness = "18 angstrom"
max_area = "200 angstrom^2"
max_strain = 0.065
reaction = "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl"
temperature = "400 K"
equilibration = "0.1 ps"
length = "1 ps"
timestep = "5 fs"
frame = "10 fs"
classed = 12
slabs = 2
windows = 1
window = "40 fs"
"""
BOUNDARY = """
kind = "boundary"
name = "argon"
potential = "none"
crystal = "Li2S"
sigma = 5
axis = [0, 0, 1]
plane = [2, 1, 0]
thickness = "12 angstrom"
temperatures = ["30 K"]
equilibration = "0.1 ps"
length = "1 ps"
timestep = "5 fs"
frame = "10 fs"
window = "80 fs"
layers = 2
softening = false
"""


PICTURES = {"growth.png", "depth.png", "depth-time.png", "metal.png", "slices.png"}


def written(folder: Path, text: str) -> Path:
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


class Gone(PairPotential):
    """Refuses to compute: what was kept is read."""

    def calculate(self, *args, **more):
        raise AssertionError("computed again")


Gone.__name__ = "PairPotential"


def test_every_kind_has_a_module_and_every_shipped_study_is_well_formed() -> None:
    paths = studies()
    assert paths
    for path in paths:
        kind = next(kind for kind in STUDIES if f'"{kind}"' in path.read_text().split("name", 1)[0])
        assert _room(kind).read_study(path).kind == kind


def test_bulk_properties_follow_the_file(tmp_path: Path) -> None:
    """Phases, lengths, temperatures and quantities of the file decide; the measured cell is a run of its own."""
    study = property_study.read_study(written(tmp_path, PROPERTIES))
    effort = property_study.effort(study)
    assert effort.diffusion["LiCl"].production == pytest.approx(0.8)
    tools = tiny_study.tools()
    own = {**effort.__dict__, "diffusion": {"LiCl": effort.diffusion["LiCl"]}}
    tools = type(tools)(**{**tools.__dict__, "effort": type(effort)(**own), "contacts": ()})
    records = property_study.run(study, tmp_path / "out", tools=tools)
    kinds = {record.quantity for record in records}
    assert {"self_diffusivity", "elastic_C11", "lattice_constant"} <= kinds
    assert "surface_energy" not in kinds
    assert read_records(tmp_path / "out" / "records.json") == records
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == {"elasticity", "moduli"}
    held = property_study.read_study(written(tmp_path, PROPERTIES.replace(', "elasticity"', "") + 'cell = "measured"\n'))
    tools = type(tools)(**{**tools.__dict__, "effort": property_study.effort(held)})
    again = property_study.run(held, tmp_path / "held", tools=tools)
    diffusivity = next(record for record in again if record.quantity == "self_diffusivity")
    assert diffusivity.source["cell"] == "that of the structure file, fixed"
    assert any("asked for by the study" in note for note in json.loads((tmp_path / "held" / "problems.json").read_text()))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Atoms:
    """A crystal of argon in place of the built interface; its atoms are named as lithium and electrolyte by height.

    Without phosphorus, so that the layer is told by the classes.
    """
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat((3, 3, 6))
    low = atoms.positions[:, 2] < atoms.positions[:, 2].mean()
    atoms.symbols[~low] = "Li"
    atoms.symbols[low] = np.resize(["Li", "S", "Cl"], low.sum())
    atoms.info = {"strain_upper": (0.0, 0.0), "strain_lower": (0.0, 0.0)}
    monkeypatch.setattr(reaction_study, "start", lambda study: atoms.copy())
    monkeypatch.setattr(reaction_study.phases, "classify", _by_height)
    monkeypatch.setattr(reaction_study.phases, "heated", lambda crystals, *_: crystals)
    return atoms


def _by_height(frames, crystals, describe, fitted=None):
    """Lithium above, electrolyte below, a growing share of Li2S between."""

    class Named:
        elements, names, distances = ["Li"], ["Li"], [0.0]

        def phases(self, number):
            depth = frames[number].get_scaled_positions()[:, 2]
            names = np.where(depth < 0.5, "Li6PS5Cl", "Li").astype("<U12")
            names[np.abs(depth - 0.5) < 0.01 * number] = "Li2S"
            return names

    return Named()


def test_a_reaction_is_followed_from_start_to_growth_law(tmp_path: Path, stack: Atoms) -> None:
    """Thickness grows as the classes say, profiles sum to one, and nothing is computed twice."""
    study = reaction_study.read_study(written(tmp_path, REACTION))
    arguments = {"calculator": PairPotential(cutoff=6.5), "describe": lambda atoms: atoms.positions}
    records = reaction_study.run(study, tmp_path / "out", **arguments)
    profiles = json.loads((tmp_path / "out" / "profiles.json").read_text(encoding="utf-8"))
    thickness = np.array(profiles["series"]["thickness_m"])
    assert thickness[0] == 0
    assert thickness[-1] > 3e-10
    assert len(thickness) == len(profiles["series"]["time_s"]) == 13
    for name in ("Li", "Li2S", "Li6PS5Cl"):
        assert np.array(profiles["depth_time"]["phases"][name]).shape == (7, 20)
    for part in ("start", "end"):
        for kind in ("phases", "elements"):
            total = np.sum(list(profiles[part][kind].values()), axis=0)
            assert np.all((np.abs(total - 1) < 1e-3) | (total == 0))
    quantities = {record.quantity for record in records}
    assert {"interphase_thickness", "crystal_share", "self_diffusivity_along_axis"} <= quantities
    assert not [record for record in records if record.quantity == "onsager_coefficient" and record.bound is None]  # a few fs
    notes = json.loads((tmp_path / "out" / "problems.json").read_text(encoding="utf-8"))
    assert any(note.startswith("Onsager coefficients, ") for note in notes)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == PICTURES
    assert (tmp_path / "out" / "final.extxyz").is_file()
    assert not list((tmp_path / "out").glob("at-*"))
    again = reaction_study.run(study, tmp_path / "out", calculator=Gone(), describe=lambda atoms: pytest.fail("read off again"))
    assert again == records


def test_a_longer_reaction_goes_on_with_the_shorter_one(tmp_path: Path, stack: Atoms) -> None:
    """Twice the length in the same folder: the records of a run as long from its start, no segment twice; the shorter stays."""
    short = reaction_study.read_study(written(tmp_path, REACTION))
    long = reaction_study.read_study(written(tmp_path, REACTION.replace('"1 ps"', '"2 ps"')))
    arguments = {"calculator": PairPotential(cutoff=6.5), "describe": lambda atoms: atoms.positions}
    first = reaction_study.run(short, tmp_path / "out", **arguments)
    kept = segments(tmp_path / "out")
    longer = reaction_study.run(long, tmp_path / "out", **arguments)
    assert longer == reaction_study.run(long, tmp_path / "fresh", **arguments)
    assert longer[0].source["picoseconds"] == pytest.approx(2.1)
    assert kept.items() < segments(tmp_path / "out").items()
    assert (tmp_path / "out" / "final.extxyz").read_bytes() == (tmp_path / "fresh" / "final.extxyz").read_bytes()
    for answer in (tmp_path / "out").glob("*.json"):
        answer.unlink()
    whole = segments(tmp_path / "out")
    assert reaction_study.run(short, tmp_path / "out", **arguments) == first
    assert segments(tmp_path / "out") == whole


def test_cells_are_kept_at_the_times_asked_for(tmp_path: Path, stack: Atoms) -> None:
    """A snapshot at the end of a shorter run is that run's end; asking for one later computes nothing anew."""
    arguments = {"calculator": PairPotential(cutoff=6.5), "describe": lambda atoms: atoms.positions}
    short = reaction_study.read_study(written(tmp_path, REACTION))
    long = reaction_study.read_study(written(tmp_path, REACTION.replace('"1 ps"', '"2 ps"')))
    reaction_study.run(long, tmp_path / "out", **arguments)
    written(tmp_path, REACTION.replace('"1 ps"', '"2 ps"') + 'snapshots = ["1.1 ps"]\n')
    later = reaction_study.read_study(tmp_path / "study.toml")
    reaction_study.run(later, tmp_path / "out", calculator=Gone(), describe=lambda atoms: pytest.fail("read off again"))
    reaction_study.run(short, tmp_path / "short", **arguments)
    other = later.model_copy(update={"snapshots": (0.6e-12, 9e-12)})
    assert (tmp_path / "out" / "at-1.1ps.extxyz").read_bytes() == (tmp_path / "short" / "final.extxyz").read_bytes()
    reaction_study.run(other, tmp_path / "out", calculator=Gone(), describe=lambda atoms: pytest.fail("read off again"))
    assert [path.name for path in (tmp_path / "out").glob("at-*")] == ["at-0.6ps.extxyz"]  # those of another study are gone
    assert "no at-9ps.extxyz: the run ended before" in (tmp_path / "out" / "problems.json").read_text(encoding="utf-8")
    for time in ("0.1 ps", "2.2 ps", "0.503 ps"):
        written(tmp_path, REACTION + f'snapshots = ["{time}"]\n')
        with pytest.raises(UserError, match=r"snapshots.*(must lie after the equilibration|whole number of frames)"):
            reaction_study.read_study(tmp_path / "study.toml")


def segments(out: Path) -> dict[Path, int]:
    """Files of the production runs in a store, and when they were written."""
    return {path.relative_to(out): path.stat().st_mtime_ns for path in out.glob("*/production/segment-*.npz")}


def test_the_strain_of_a_moving_cell_is_no_motion_of_its_atoms() -> None:
    """Atoms that ride a cell whose height falls by a fifth do not move; one that hops moves by its hop alone."""
    scaled = np.random.default_rng(2).uniform((0, 0, 3), (1, 1, 4), (5, 3))
    cells = np.array([np.diag([4.0, 5.0, height]) for height in np.linspace(20, 16, 30)])
    positions = np.einsum("nk,fkl->fnl", scaled, cells)
    positions[15:, 0, 0] += 1.5
    run = Trajectory(np.full(5, 3), positions, cells, 10.0, np.zeros(30), np.zeros(30), Atoms("Li5"), 0)
    found = reaction_reading.still(run)
    moved = np.abs(found.positions - found.positions[0])
    assert moved[15:, 0, 0] == pytest.approx(1.5)
    moved[15:, 0, 0] = 0
    assert moved.max() < 1e-12
    assert found.cells[0] == pytest.approx(np.diag([4.0, 5.0, 18.0]))
    assert np.array_equal(found.cells[0], found.cells[-1])


def test_a_gap_is_told() -> None:
    """A crystal without one, with a slice of vacuum, and with a slice nearly empty that the cell's end cuts in two."""
    full = bulk("Li", cubic=True).repeat((4, 4, 12))
    assert reaction_reading.gap(full) == ""
    parted = full.copy()
    parted.cell[2, 2] += 10.0
    assert "0% of a slice's mean number" in reaction_reading.gap(parted)
    narrow = full.copy()  # less than one slice, in the middle of two
    narrow.positions[narrow.positions[:, 2] > 20.0, 2] += 4.0
    narrow.cell[2, 2] += 4.0
    assert "a gap has opened" in reaction_reading.gap(narrow)
    height = full.cell[2, 2]
    thin = full[[(7.0 < z < height - 7.0) or n % 8 == 0 for n, z in enumerate(full.positions[:, 2])]]
    assert "a gap has opened" in reaction_reading.gap(thin)


def test_a_reaction_that_leaves_what_the_potential_knows_is_told_up_to_there(tmp_path: Path, stack: Atoms, monkeypatch) -> None:
    """A potential that breaks after a third of the run: the part before is kept, and a note says why the rest is missing."""
    whole = reaction_study.dynamics.run

    def breaking(atoms, calculator, settings, folder, tick=None):
        found = whole(atoms, calculator, settings, folder, tick)
        if folder.name == "production":
            for segment in sorted(folder.glob("segment-*.npz"))[3:]:
                segment.unlink()
            raise reaction_study.dynamics.Unphysical("force 99 eV/Å; the first 0.3 ps are kept")
        return found

    monkeypatch.setattr(reaction_study.dynamics, "run", breaking)
    study = reaction_study.read_study(written(tmp_path, REACTION))
    arguments = {"calculator": PairPotential(cutoff=6.5), "describe": lambda atoms: atoms.positions}
    records = reaction_study.run(study, tmp_path / "out", **arguments)
    assert records[0].source["picoseconds"] == pytest.approx(0.4)
    assert {record.confidence for record in records} == {"low"}
    notes = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert any("ended early" in note and note.endswith("force 99 eV/Å") for note in notes), notes


def test_metal_and_broken_groups_are_told_without_a_reference() -> None:
    """bcc lithium beside Li7P3S11: every metal atom is metal, no other is; all groups are whole until their sulfur leaves."""
    from atomistic import structures

    crystal = structures.bulk("Li7P3S11")
    assert reacted_layer.whole_groups(crystal).sum() == (crystal.numbers == 15).sum()
    away = crystal[[atom.index for atom in crystal if atom.symbol != "S"]]
    assert not reacted_layer.whole_groups(away).any()
    metal = structures.bulk("Li").repeat((4, 4, 5))
    wide = Atoms(metal.numbers, metal.positions, cell=metal.cell, pbc=True)
    assert set(reaction_reading.by_bonds(wide, np.full(len(wide), "Li2S"), {"Li2S"})) == {"Li"}
    assert set(reaction_reading.by_bonds(crystal, np.full(len(crystal), "Li2S"), {"Li2S"})) == {"Li2S"}


@pytest.fixture
def no_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    """A boundary that is none: the crystal itself, twice as high."""
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True).repeat((3, 3, 3))
    crystal.symbols[:] = "Li"
    double = crystal.repeat((1, 1, 2))
    double.info = {"removed": 0}
    double.set_tags(np.repeat([1, 2], len(crystal)))
    monkeypatch.setattr(boundary_study, "starts", lambda study: {"boundary": double.copy(), "crystal": crystal.copy()})


@pytest.mark.usefixtures("no_boundary")
def test_a_boundary_gives_energy_and_diffusion_in_layers(tmp_path: Path) -> None:
    """A boundary that is none has no excess energy and no width, and takes as much work as the crystal to part."""
    study = boundary_study.read_study(written(tmp_path, BOUNDARY))
    records = boundary_study.run(study, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    cold, warm = (record for record in records if record.quantity == "boundary_energy")
    assert abs(cold.value) < 1e-6
    assert abs(warm.value) < 4 * warm.stderr
    assert not [record for record in records if record.quantity == "boundary_width"]
    assert {"boundary_diffusivity", "grain_diffusivity"} <= {record.quantity for record in records}
    work = {record.conditions["place"]: record for record in records if record.quantity == "work_of_separation"}
    assert work["boundary"].value == pytest.approx(work["grain"].value, rel=1e-4)
    assert len(work["boundary"].source["values"]) == 2
    assert [record.bound for record in records if record.quantity == "fracture_energy"] == ["lower", "lower"]
    runs = {path.stem for path in (tmp_path / "out").glob("*.json")}
    assert all(record.source["keys"] and runs.issuperset(record.source["keys"]) for record in records)
    assert boundary_study.run(study, tmp_path / "out", calculator=Gone()) == records
    told = json.loads((tmp_path / "out" / "problems.json").read_text())
    ways = [f" diffusivities {way} the boundary tell no width" for way in ("along", "across")]
    assert [note.split(":")[1] for note in told] == [" width of a boundary", *ways]  # all is lithium: no framework
    for kept in (tmp_path / "out").glob("*.json"):  # as if the crystal had settled 1 eV higher
        held = json.loads(kept.read_text())
        if isinstance(held, dict) and held.get("label", "").endswith("rest of the crystal"):
            held["answer"]["energy"] += 1.0
            kept.write_text(json.dumps(held))
    below = boundary_study.run(study, tmp_path / "out", calculator=Gone())[0]
    assert (below.quantity, below.confidence) == ("boundary_energy", "low")
    assert below.value < 0
    assert "settled in a higher minimum" in json.loads((tmp_path / "out" / "problems.json").read_text())[0]


@pytest.mark.usefixtures("no_boundary")
def test_a_longer_boundary_study_goes_on_with_the_shorter_one(tmp_path: Path) -> None:
    """Twice the length: the records of one as long from its start, no segment and nothing at 0 K twice."""
    short = boundary_study.read_study(written(tmp_path, BOUNDARY))
    boundary_study.run(short, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    kept, answers = segments(tmp_path / "out"), len(list((tmp_path / "out").glob("????????????????.json")))
    long = boundary_study.read_study(written(tmp_path, BOUNDARY.replace('"1 ps"', '"2 ps"').replace('"80 fs"', '"160 fs"')))
    longer = boundary_study.run(long, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    assert longer == boundary_study.run(long, tmp_path / "fresh", calculator=PairPotential(cutoff=6.5))
    assert kept.items() < segments(tmp_path / "out").items()
    assert len(list((tmp_path / "out").glob("????????????????.json"))) == answers + 2


@pytest.mark.usefixtures("no_boundary")
def test_separation_is_added_to_runs_that_are_kept(tmp_path: Path) -> None:
    """Asked for later, it takes two runs more; one that has too few steps is told in problems.json, of low confidence."""
    without = boundary_study.read_study(written(tmp_path, BOUNDARY + "separation = false\n"))
    cells = boundary_study.starts(without)
    first = boundary_study.run(without, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/production/*")}
    study = boundary_study.read_study(written(tmp_path, BOUNDARY))
    keys = [[task.key for part in boundary_study._tasks(one, cells, "hash") for task in part] for one in (without, study)]
    assert len(set(keys[1]) - set(keys[0])) == 2
    assert keys[1][:-2] == keys[0]
    records = boundary_study.run(study, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    assert [record for record in records if record.quantity not in ("work_of_separation", "fracture_energy")] == first
    assert kept
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    hurried = boundary_study.run(study.model_copy(update={"relaxation_steps": 1}), tmp_path / "hurried",
                                 calculator=PairPotential(cutoff=6.5, epsilon=1.0))  # fmt: skip
    notes = json.loads((tmp_path / "hurried" / "problems.json").read_text())
    assert any(note.startswith("separation of the crystal: ") and "after 1 steps" in note for note in notes), notes
    assert {one.confidence for one in hurried if one.quantity in ("work_of_separation", "fracture_energy")} == {"low"}


@pytest.mark.parametrize(("room", "text", "old", "new", "message"), [
    (property_study, PROPERTIES, 'name = "LiCl"', 'name = "LiCi"', r"study.toml:9: phase.name: .*did you mean 'LiCl'"),
    (property_study, PROPERTIES, 'production = "0.8 ps"', "", "phase: .*needs temperatures and production"),
    (property_study, PROPERTIES, '"0.8 ps"', '"0.76 ps"', "production: .*diffusion needs at least 0.8 ps"),
    (property_study, PROPERTIES, '"5 angstrom"', "5", "bare number"),
    (property_study, PROPERTIES, '"elasticity"', '"surface"', "quantities: .*no .*names its surfaces.*none is Li"),
    (property_study, PROPERTIES.replace("LiCl", "Li2O"), '"elasticity"', '"adhesion"', "phase.name: .*needs a face"),
    (property_study, PROPERTIES, '"elasticity"', '"thermal_elasticity"', "production: .*thermal_elasticity needs at least 1.33"),
    (property_study, PROPERTIES.replace('production = "0.8 ps"', ""), '"diffusion", "elasticity"', '"structure"',
     "phase: .*structure is asked for: the phase needs temperatures and production"),
    (property_study, PROPERTIES, '"elasticity"', '"hardness"', "quantities.*allowed"),
    (property_study, PROPERTIES, "[[phase]]", '[[phase]]\nname = "LiCl"\ntemperatures = ["1 K"]\nproduction = "1 ps"\n[[phase]]',
     "stands there already"),
    (reaction_study, REACTION, "8 Li ->", "7 Li ->", "reaction: .*does not balance"),
    (reaction_study, REACTION, "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl", "2 Li2S -> 2 Li2S", "must use up Li and Li6PS5Cl"),
    (reaction_study, REACTION, '"Li6PS5Cl"\nmetal', '"Li6PS5C"\nmetal', "did you mean 'Li6PS5Cl'"),
    (reaction_study, REACTION, 'frame = "10 fs"', 'frame = "11 fs"', "frame: .*whole multiple of 5 fs"),
    (reaction_study, REACTION, 'length = "1 ps"', 'lenght = "1 ps"', 'unknown key; did you mean "length"'),
    (boundary_study, BOUNDARY, "sigma = 5", "sigma = 4", "sigma: .*no rotation"),
    (boundary_study, BOUNDARY, 'window = "80 fs"', 'window = "200 fs"', "window: .*windows fit into the run"),
    (boundary_study, BOUNDARY, '"Li2S"', '"Li2"', "crystal: .*Li2S"),
    (boundary_study, BOUNDARY, "softening = false", 'separation = "yes"', "separation: .*true or false"),
    (boundary_study, BOUNDARY, "softening = false", "seperation = true", 'unknown key; did you mean "separation"'),
])  # fmt: skip
def test_wrong_studies_are_refused_with_their_line(tmp_path: Path, room, text: str, old: str, new: str, message: str) -> None:
    assert old in text
    with pytest.raises(UserError, match=message):
        room.read_study(written(tmp_path, text.replace(old, new)))


def test_the_structure_is_read_off_kept_frames_once(tmp_path: Path) -> None:
    """Shells, lines and a picture of fcc layers of two kinds; read again nothing is computed, frames or not.

    In its layer an atom has four of its kind at a/√2; a stands in the line (1 1 1) as well.
    """
    text = MATRIX.replace('["onsager"]', '["structure"]').replace('"5 angstrom"', '"10 angstrom"')
    study, tools = two_kinds(text.replace('velocity_run = "1.6 ps"\n', ""), tmp_path)
    argon = type(tools)(**{**tools.__dict__, "load": lambda *_: PairPotential(epsilon=0.1, cutoff=5.2, skin=0.0)})
    records = property_study.run(study, tmp_path / "out", tools=argon)
    assert {record.quantity for record in records} == {"nearest_neighbour_distance", "coordination_number", "diffraction_angle"}
    assert all(record.stderr and record.conditions["temperature_K"] == 300.0 for record in records)
    own = {record.quantity: record for record in records if record.conditions.get("pair") == "Ar-Ar"}
    (line,) = (record for record in records if record.conditions.get("line") == "(1 1 1)")
    edge = 1.54184e-10 * 3**0.5 / (2 * np.sin(np.radians(line.value) / 2))
    assert own["coordination_number"].value == pytest.approx(4.0, abs=0.05)
    assert own["nearest_neighbour_distance"].value == pytest.approx(edge / 2**0.5, rel=0.02)
    notes = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert notes[0].startswith("structure of LiCl at 300 K: Ar-Li: no clear first shell: g(r) does not rise again")
    drawn = json.loads((tmp_path / "out" / "structure.json").read_text())
    assert set(drawn["LiCl"][0]["g"]) == {"Ar-Ar", "Ar-Li", "Li-Li"}
    assert (tmp_path / "out" / "structure-LiCl.png").stat().st_size > 4000
    for path in (tmp_path / "out").glob("*/production/*"):
        path.unlink()
    gone = type(tools)(**{**tools.__dict__, "load": lambda *_: Gone()})
    assert property_study.run(study, tmp_path / "out", tools=gone) == records
    for path in (tmp_path / "out").glob("*.json"):
        if '"structure"' in path.read_text().split("answer")[0]:
            path.unlink()
    with pytest.raises(UserError, match=r"the structure of .* needs the frames of its run"):
        property_study.run(study, tmp_path / "out", tools=gone)


MATRIX = """
kind = "properties"
name = "argon"
potential = "none"
seed = 5
quantities = ["onsager"]

[[phase]]
name = "LiCl"
edge = "5 angstrom"
temperatures = ["300 K"]
equilibration = "0.1 ps"
production = "0.8 ps"
velocity_run = "1.6 ps"
"""


def two_kinds(text: str, folder: Path):
    """The study of a text, and tools for it: a crystal of argon of which every other atom is called lithium."""
    study = property_study.read_study(written(folder, text))
    cell = bulk("Ar", cubic=True, a=5.25)
    cell.symbols[::2] = "Li"
    tools = tiny_study.tools()
    more = {"effort": property_study.effort(study), "contacts": (), "slab": None, "mobile": "Li",
            "load": lambda *_: PairPotential(), "crystal": lambda phase, seed: cell.copy()}  # fmt: skip
    return study, type(tools)(**{**tools.__dict__, **more})


def test_matrices_come_of_kept_frames_and_velocities_of_a_run_of_their_own(tmp_path: Path) -> None:
    """No diffusivity is told unless asked for; read again nothing is computed; without the frames it says what to do."""
    study, tools = two_kinds(MATRIX, tmp_path)
    records = property_study.run(study, tmp_path / "out", tools=tools)
    told = " ".join(json.loads((tmp_path / "out" / "problems.json").read_text()))
    assert not [record for record in records if record.quantity == "self_diffusivity"]
    assert {record.conditions["frame"] for record in records if record.quantity == "onsager_coefficient"} <= {"Ar", "barycentric"}
    assert "left out" in told or "upper bound" in told  # a crystal that vibrates
    assert "Einstein against Green–Kubo" in told
    answers = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json") if "-" not in path.name
               and path.stem not in ("records", "problems", "arrhenius")]  # fmt: skip
    compared = next(one["answer"] for one in answers if one["kind"] == "onsager")
    assert compared["cutoff_fs"] == 80.0
    drawn = [record for record in records if record.quantity == "onsager_coefficient" and record.value]
    assert (tmp_path / "out" / "onsager.png").is_file() == bool(drawn)
    assert compared["picoseconds"] == pytest.approx(1.6)
    for kind in ("self", "collective"):
        apart, error = compared[kind]["paired"]
        assert abs(apart) < 4 * error
    held = tools.__class__(**{**tools.__dict__, "load": lambda *_: Gone()})
    assert property_study.run(study, tmp_path / "out", tools=held) == records
    both, more = two_kinds(MATRIX.replace('["onsager"]', '["diffusion", "onsager"]'), tmp_path)
    again = property_study.run(both, tmp_path / "out", tools=type(more)(**{**more.__dict__, "load": lambda *_: Gone()}))
    assert "self_diffusivity" in {record.quantity for record in again}
    for path in (tmp_path / "out").glob("*/production/*"):
        path.unlink()
    with pytest.raises(UserError, match=r"needs the frames of its run.*delete .*\.json"):
        property_study.run(study, tmp_path / "out", tools=held)
