"""The layer by whole groups and metal: nothing at a contact that has not reacted, what was broken, and its laws."""

import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from atomistic import crystallinity, growth, phases, reacted_layer, reaction_reading, reaction_study, structures
from atomistic.clusters import ClusterSettings, largest_cluster
from atomistic.dynamics import Trajectory
from coupling.errors import UserError
from multiscale.cli import app

STUDIES = Path(__file__).parent.parent / "cases" / "_studies"


@pytest.fixture(scope="module")
def study() -> reaction_study.ReactionStudy:
    return reaction_study.trial(reaction_study.read_study(STUDIES / "reaction-li6ps5cl.toml"))


@pytest.fixture(scope="module")
def built(study: reaction_study.ReactionStudy) -> Atoms:
    return reaction_study.start(study)


def shaken(atoms: Atoms, seed: int, amount: float = 0.1) -> Atoms:
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, amount, moved.positions.shape)
    return moved


def broken(atoms: Atoms, groups: int) -> Atoms:
    """The highest groups broken: their phosphorus loses one sulfur, which moves 1.5 Å away."""
    moved = atoms.copy()
    places = np.flatnonzero(moved.numbers == 15)
    places = places[np.argsort(-moved.positions[places, 2])][:groups]
    for place in places:
        sulfur = np.flatnonzero(moved.numbers == 16)
        near = sulfur[np.argmin(moved.get_distances(place, sulfur, mic=True))]
        away = moved.get_distance(place, near, mic=True, vector=True)
        moved.positions[near] += 1.5 * away / np.linalg.norm(away)
    return moved


def test_a_contact_that_has_not_reacted_has_no_layer(built: Atoms) -> None:
    """Heat alone makes less than an ångström, and all groups stay whole."""
    start = reacted_layer.counts([built], "Li6PS5Cl")
    hot = reacted_layer.counts([shaken(built, seed) for seed in range(6)], "Li6PS5Cl")
    assert np.abs(hot.thickness(start)).max() < 1.0
    assert (hot.intact == 1.0).all()
    assert start.thickness(start)[0] == 0.0


def test_a_gap_and_vapour_are_no_layer(built: Atoms) -> None:
    """12 Å of vacuum between electrolyte and metal, empty or with two atoms in it, and a file that calls it open."""
    start = reacted_layer.counts([built], "Li6PS5Cl")
    top = built.positions[built.numbers == 15, 2].max() + 2.0
    parted = built.copy()
    parted.positions[parted.positions[:, 2] > top, 2] += 12.0
    parted.cell[2, 2] += 12.0
    vapour = parted.copy()
    highest = np.argsort(vapour.positions[:, 2])[-2:]
    vapour.positions[highest, 2] = top + np.array([4.0, 8.0])
    opened = parted.copy()
    opened.pbc = (True, True, False)
    found = reacted_layer.counts([parted, vapour, opened], "Li6PS5Cl").thickness(start)
    assert np.abs(found).max() < 1.5
    assert "a gap has opened" in reaction_reading.first_gap([built, parted], np.array([0.0, 1e-12]))
    assert "by 1 ps" in reaction_reading.first_gap([built, parted], np.array([0.0, 1e-12]))


def test_a_rigid_shift_changes_next_to_nothing(built: Atoms) -> None:
    """Where the slices begin is a choice: the thickness moves by less than a group's grain."""
    moved = [built.copy() for _ in range(6)]
    for number, frame in enumerate(moved):
        frame.positions[:, 2] += 0.03 * number * frame.cell[2, 2] / 6
    reacted = reacted_layer.counts([broken(frame, 2) for frame in moved], "Li6PS5Cl").reacted / 2
    assert np.ptp(reacted) < reacted_layer.grain(built, "Li6PS5Cl")


def test_broken_groups_make_a_layer_of_their_share(built: Atoms) -> None:
    """Each broken group adds its formula's atoms times the height of an atom there; every frame stands for itself."""
    start = reacted_layer.counts([built], "Li6PS5Cl")
    frames = [broken(built, number) for number in (0, 2, 4)]
    found = reacted_layer.counts(frames, "Li6PS5Cl")
    assert (found.whole[0] - found.whole).tolist() == [0, 2, 4]
    height = built.cell.volume / np.linalg.norm(np.cross(built.cell[0], built.cell[1]))
    each = 13 * height / len(built) / 2
    assert np.diff(found.thickness(start)) == pytest.approx([2 * each] * 2, rel=0.3)  # densities of slices differ
    alone = reacted_layer.counts(frames[1:2], "Li6PS5Cl")
    assert alone.thickness(start)[0] == found.thickness(start)[1]


def test_units_are_counted_by_the_formula() -> None:
    """The crystal of Li7P3S11 with three groups a formula; a frame whose cell vectors are longer counts the same."""
    crystal = structures.bulk("Li7P3S11")
    found = reacted_layer.counts([crystal, crystal], "Li7P3S11")
    groups = int((crystal.numbers == 15).sum())
    assert found.whole.tolist() == [groups, groups]
    assert found.units.tolist() == [groups / 3, groups / 3]
    assert found.reacted == pytest.approx(0.0, abs=1.5)  # every slice but for where its groups lie


def test_a_name_stands_for_the_composition_of_its_crystal(built: Atoms) -> None:
    """LPSCl has 13 atoms a group, not the four of L, P, S and Cl; a name that is no formula has groups as well."""
    assert reacted_layer.atoms_of_a_group("LPSCl") == 13
    one, other = (reacted_layer.counts([built], name) for name in ("LPSCl", "Li6PS5Cl"))
    assert (one.reacted, one.units) == (other.reacted, other.units)
    assert reacted_layer.counts([structures.bulk("gamma_Li3PS4")], "gamma_Li3PS4").units.tolist() == [2]
    assert reacted_layer.has_groups(built, "gamma_Li3PS4")


def test_lithium_of_products_is_no_metal(built: Atoms) -> None:
    """Li3P, whose atoms are each a little metal by the smooth count, adds none; names and order count the same atoms."""
    product = shaken(structures.supercell(structures.bulk("Li3P"), 20.0), 1)
    found = reacted_layer.counts([built, product], "Li6PS5Cl")
    assert largest_cluster(product, ClusterSettings(foreign=("P",))).shares.sum() > 10
    assert found.metal[1] == 0
    named = reaction_reading.by_bonds(built, np.full(len(built), "other"), {"Li6PS5Cl"})
    order = crystallinity.shares([built], "Li", among="metal")
    assert found.metal[0] == (named == "Li").sum() == order.counts[0] > 200


def lithiated(atoms: Atoms, below: float) -> Atoms:
    """Two sulfur atoms of every group lower than `below` (Å) moved apart by 1.7 Å, lithium in their places."""
    moved, put = atoms.copy(), []
    for place in np.flatnonzero((atoms.numbers == 15) & (atoms.positions[:, 2] < below)):
        sulfur = np.flatnonzero(atoms.numbers == 16)
        away = moved.get_distances(place, sulfur, mic=True, vector=True)
        for number in np.argsort(np.linalg.norm(away, axis=1))[:2]:
            along = away[number] / np.linalg.norm(away[number])
            put.append(moved.positions[place] + 1.9 * along)
            moved.positions[sulfur[number]] += 1.7 * along
    return moved + Atoms(f"Li{len(put)}", positions=put)


def test_broken_lithiated_groups_are_reduced_electrolyte() -> None:
    """Classes call both halves of a slab Li7P3S11, of which one was broken: the name is left to the other, hot or not."""
    small = {"electrolyte_thickness": 30e-10, "metal_thickness": 10e-10}
    study = reaction_study.trial(reaction_study.read_study(STUDIES / "reaction-li7p3s11.toml")).model_copy(update=small)
    built = reaction_study.start(study)
    depths = built.positions[built.numbers == 15, 2]
    middle = depths.mean()
    frames = [shaken(built, 1), shaken(lithiated(built, middle), 2, 0.05)]
    classes = phases.classify(frames, phases.references(("Li", "Li7P3S11", "Li2S", "Li3P")), phases.mace_descriptors("lpscl"))
    named = [reaction_reading.by_bonds(one, classes.phases(number), {"Li7P3S11"}) for number, one in enumerate(frames)]
    below, above = ([(one.positions[:, 2] > begin) & (one.positions[:, 2] < end) for one in frames]
                    for begin, end in ((depths.min(), middle), (middle, depths.max())))  # fmt: skip
    assert np.mean(classes.phases(1)[below[1]] == "Li7P3S11") > 0.7
    assert np.mean(named[1][below[1]] == "reduced Li7P3S11") > 0.7
    assert np.mean(named[1][below[1]] == "Li7P3S11") < 0.05
    for names, part in ((named[0], below[0]), (named[0], above[0]), (named[1], above[1])):
        assert np.mean(names[part] == "Li7P3S11") > 0.9
    assert set(named[0][reacted_layer.whole_groups(frames[0])]) == {"Li7P3S11"}


def test_the_command_tells_reduced_electrolyte(tmp_path: Path) -> None:
    """`analyze phases` of a crystal half of whose groups are broken: all phosphorus is in one or the other."""
    crystal = structures.supercell(structures.bulk("Li7P3S11"), 15.0)
    ase.io.write(tmp_path / "run.traj", lithiated(crystal, crystal.positions[:, 2].mean()))
    options = ("--potential", "lpscl", "--references", "Li7P3S11,Li3P", "--picture", str(tmp_path / "depth.png"), "--json")
    done = CliRunner().invoke(app, ["analyze", "phases", str(tmp_path / "run.traj"), *options])
    assert done.exception is None, done.output
    shares = {row["phase"]: row["share"] for row in json.loads(done.output)["phases"]}
    assert min(shares["Li7P3S11"], shares["reduced Li7P3S11"]) > 0.3


def test_atoms_far_from_groups_are_not_reduced() -> None:
    """Atoms of whole groups and lithium 12 Å above all keep the name, lithium 4 Å from broken groups does not."""
    slab = structures.bulk("Li6PS5Cl")
    slab.cell[2, 2] += 30.0
    top = slab.positions[slab.numbers == 15, 2].max()
    both = slab + Atoms("Li2", positions=[[1.0, 1.0, top + 4.0], [1.0, 1.0, top + 12.0]])
    names = np.full(len(both), "Li6PS5Cl")
    assert set(reacted_layer.reduced(slab, names[:-2], {"Li6PS5Cl"})[reacted_layer.whole_groups(slab)]) == {"Li6PS5Cl"}
    near, far = reacted_layer.reduced(broken(both, 4), names, {"Li6PS5Cl"})[-2:]
    assert (near, far) == ("reduced Li6PS5Cl", "Li6PS5Cl")


def test_the_command_tells_metal_first(built: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes call all atoms electrolyte: with Li among the references the metal is Li, whatever the groups beside it."""

    class Blind:
        elements, names, distances = (), (), ()

        def phases(self, _: int) -> np.ndarray:
            return np.full(len(built), "Li6PS5Cl")

    monkeypatch.setattr(phases, "mace_descriptors", lambda _: None)
    monkeypatch.setattr(phases, "classify", lambda *_: Blind())
    apart = broken(built, 20)
    ase.io.write(tmp_path / "run.traj", apart)
    options = ("--potential", "lpscl", "--references", "Li,Li6PS5Cl", "--json")
    done = CliRunner().invoke(app, ["analyze", "phases", str(tmp_path / "run.traj"), *options])
    assert done.exception is None, done.output
    shares = {row["phase"]: row["share"] for row in json.loads(done.output)["phases"]}
    metal, lost = crystallinity.metal(apart), reacted_layer.of_broken_groups(apart)
    assert (metal & lost).any()
    assert shares["Li"] == metal.mean()
    assert shares["reduced Li6PS5Cl"] == (lost & ~metal).mean()


def test_without_groups_names_are_untouched(built: Atoms) -> None:
    """An oxide has none; a phase that is not named as one with groups keeps its name whatever its groups."""
    oxide = structures.bulk("Li2O")
    assert set(reacted_layer.reduced(oxide, np.full(len(oxide), "Li2O"), {"Li2O"})) == {"Li2O"}
    apart = broken(built, 4)
    assert set(reacted_layer.reduced(apart, np.full(len(apart), "Li6PS5Cl"), set())) == {"Li6PS5Cl"}
    assert set(reacted_layer.reduced(apart, np.full(len(apart), "Li3P"), {"Li6PS5Cl"})) == {"Li3P"}


def test_what_has_no_groups_is_refused(built: Atoms) -> None:
    with pytest.raises(UserError, match="LiCl holds no phosphorus"):
        reacted_layer.counts([built], "LiCl")
    with pytest.raises(UserError, match="whole PS4 groups"):
        reacted_layer.counts([built[built.numbers != 15]], "Li6PS5Cl")
    with pytest.raises(UserError, match="'Xy3PS4' is neither a formula of chemical elements nor a known structure"):
        reacted_layer.has_groups(built, "Xy3PS4")
    bare = built.copy()
    bare.numbers[bare.numbers == 16] = 8
    assert not reacted_layer.has_groups(bare, "Li6PS5Cl")
    assert not reacted_layer.has_groups(built, "PdCl2")


@pytest.fixture(scope="module")
def read(study: reaction_study.ReactionStudy, built: Atoms) -> dict[str, Any]:
    """A run of 240 frames in which a group breaks now and then, read with the descriptors of the potential."""
    frames = [shaken(broken(built, min(number // 20, 6)), number) for number in range(240)]
    cells = np.broadcast_to(built.cell.array, (240, 3, 3)).copy()
    flat = np.full(240, 400.0)
    run = Trajectory(built.numbers, np.array([one.positions for one in frames]), cells, 10.0, 0 * flat, flat, frames[-1], 0)
    ours = study.model_copy(update={"frame": 1e-14, "length": 2.4e-12, "equilibration": 1e-14, "classed": 12})
    names = ["Li6PS5Cl", "Li", "Li2S", "Li3P", "LiCl"]
    crystals = phases.references(names, rattle=0.1)
    look = phases.mace_descriptors("lpscl")
    return reaction_reading.read_off(ours, built, run, look, crystals, {"study": "made up"}, lambda _: None)


def test_an_unreacted_cell_is_named_as_what_it_is(read: dict[str, Any], built: Atoms) -> None:
    """By the real classifier: hardly a product of phosphorus or chlorine at first, metal and electrolyte in their places."""
    amounts = {name: np.array(values) for name, values in read["profiles"]["amounts"].items()}
    units = int((built.numbers == 15).sum())
    assert amounts["Li6PS5Cl"][0] == units
    assert max(amounts["LiCl"][1], amounts["Li3P"][1]) <= 0.1 * units
    over = read["profiles"]["depth_time"]
    first = {name: np.array(rows)[1] for name, rows in over["phases"].items()}
    depths = (np.arange(20) + 0.5) / 20 * over["height_m"][1] * 1e10
    low, high = built.positions[built.numbers == 15, 2].min(), built.positions[built.numbers == 15, 2].max()
    inside = (depths > low + 5) & (depths < high - 5)
    assert first["Li6PS5Cl"][inside].mean() > 0.9
    assert "reduced Li6PS5Cl" not in read["profiles"]["start"]["phases"]
    last = {name: np.array(share) for name, share in read["profiles"]["end"]["phases"].items()}
    assert last["reduced Li6PS5Cl"][depths > high - 5].max() > 0.1
    assert last["reduced Li6PS5Cl"][depths < low + 5].max() == 0
    assert first["Li"][(depths > high + 6) & (depths < depths[-1] - 6)].mean() > 0.9


def test_the_whole_run_and_its_first_tenth_have_laws(read: dict[str, Any]) -> None:
    """Six laws of each; late thickness and intact share with errors at the mean time of the last quarter; JSON all through."""
    json.dumps(read)
    assert len(read["profiles"]["laws"]) == len(read["profiles"]["laws_first_tenth"]) == 6
    assert len(read["profiles"]["series"]["time_s"]) == 241
    by_name = {(one["quantity"], one["conditions"].get("part_of_run")): one for one in read["records"]}
    late = by_name["interphase_thickness", None]
    assert late["conditions"]["time_s"] == pytest.approx(1e-14 + 2.4e-12 * 0.875, rel=0.02)
    assert late["stderr"] > 0
    assert by_name["intact_phosphorus_share", None]["stderr"] > 0
    assert any(part == "first tenth" and name.startswith("interphase_growth") for name, part in by_name)
    balance = {one["conditions"]["phase"]: one for one in read["records"] if one["quantity"] == "reaction_coefficient"}
    assert set(balance) == {"Li", "Li2S", "Li3P", "LiCl"}  # the electrolyte used up is one by definition
    assert all(one["stderr"] > 0 for one in balance.values())


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_late_means_of_correlated_series_cover(memory: float) -> None:
    """68 and 95 % intervals of the mean of the last quarter of 400 values on a trend, in 200 trials."""
    random, away = np.random.default_rng(5), []
    for _ in range(200):
        kicks = random.normal(size=600) * (1 - memory**2) ** 0.5
        noise = np.zeros(600)
        for step in range(1, 600):
            noise[step] = memory * noise[step - 1] + kicks[step]
        times = np.arange(400.0)
        value, error, when = growth.late_mean(times, noise[200:] + 0.02 * times)
        away.append(abs(value - 0.02 * when) / error)
    one, two = (float(np.mean(np.array(away) < limit)) for limit in (1.0, 1.96))
    assert 0.60 <= one <= 0.76
    assert 0.90 <= two <= 0.98
