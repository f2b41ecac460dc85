"""Cards: measurements against calculators whose answers are known; the text holds no potential's name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk as fcc
from ase.build import make_supercell
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.optimize import FIRE

from atomistic import assessment, card, card_text, dataset, examination, hops, labels, pair_distribution, recipe, sevennet
from atomistic.card_settings import CardSettings, Targets
from atomistic.label_settings import LabelSettings
from atomistic.structures import bulk
from coupling.errors import RunFailure, UserError

GPA = 160.21766


class Springs(Calculator):
    """Every atom on a spring to where it stood when its cell was first seen: equipartition holds exactly."""

    implemented_properties = ("energy", "forces", "stress")
    engine = "springs"

    def __init__(self, stiffness: float = 2.0) -> None:
        super().__init__()
        self.stiffness, self.homes = stiffness, {}

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.homes.setdefault(len(self.atoms), self.atoms.positions.copy())
        volume = (self.atoms.get_volume() / len(self.atoms) / 21.0 - 1.0) ** 2
        energy = 0.5 * self.stiffness * float((away**2).sum()) + len(self.atoms) * volume
        self.results = {"energy": energy, "forces": -self.stiffness * away, "stress": np.zeros(6)}


class Pushing(Springs):
    """Forces no structure survives."""

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results["forces"] = np.full_like(self.results["forces"], 100.0)


def test_pair_distribution_of_a_gas_is_one_and_of_a_crystal_holds_its_neighbours() -> None:
    random = np.random.default_rng(1)
    gas = [Atoms("Li100Cl100", positions=random.uniform(0, 12, (200, 3)), cell=[12] * 3, pbc=True) for _ in range(5)]
    r, g = pair_distribution.pair_distribution(gas, "Li", "Cl", r_max=4.0, bins=20)
    shells = 4 * np.pi * r**2
    assert np.sum(g * shells) / np.sum(shells) == pytest.approx(1.0, abs=0.03)
    crystal = bulk("LiCl")
    r, g = pair_distribution.pair_distribution([crystal], "Li", "Cl", r_max=3.2, bins=320)
    edges = np.linspace(0, 3.2, 321)
    neighbours = np.sum(g * 4 / 3 * np.pi * np.diff(edges**3)) * 4 / crystal.get_volume()
    assert neighbours == pytest.approx(6.0)


def test_overlap_is_the_share_of_pairs_in_common() -> None:
    r = np.array([1.0, 2.0])
    assert pair_distribution.overlap(np.array([1.0, 2.0]), np.array([1.0, 2.0]), r) == 1.0
    assert pair_distribution.overlap(np.array([1.0, 0.0]), np.array([0.0, 1.0]), r) == 0.0
    assert pair_distribution.overlap(np.array([4.0, 1.0]), np.array([4.0, 0.0]), r) == pytest.approx(8 / 12)


def test_bulk_modulus_from_energies_is_that_from_stresses() -> None:
    calculator = LennardJones(epsilon=0.2, sigma=2.7, rc=7.0, smooth=True)
    row = examination.at_rest("Li", calculator)
    a = row["lengths_A"][0]
    assert row["angles_degrees"] == [90.0, 90.0, 90.0]
    pressures, volumes = [], []
    for scale in (0.995, 1.005):
        cell = fcc("Li", "bcc", a=a * scale, cubic=True)
        pressures.append(-calculator.get_property("stress", cell)[:3].mean())
        volumes.append(cell.get_volume())
    modulus = -(a**3) * (pressures[1] - pressures[0]) / (volumes[1] - volumes[0]) * GPA
    assert row["bulk_modulus_GPa"] == pytest.approx(modulus, rel=0.02)
    assert row["energy_eV_per_formula"] == pytest.approx(calculator.get_property("energy", fcc("Li", "bcc", a=a, cubic=True)) / 2)


def test_a_phase_that_is_written_as_a_multiple_counts_as_written() -> None:
    """Peroxide is Li2O2, although its smallest formula is LiO; its cell has eight atoms."""
    before, after = examination.sides("Li2O2 + 2 Li -> 2 Li2O")
    assert (before, after) == ({"Li2O2": 1, "Li": 2}, {"Li2O": 2})
    found = examination.reaction_energy("Li2O2 + 2 Li -> 2 Li2O", {"Li2O2": -10.0, "Li": -2.0, "Li2O": -15.0})
    assert found == {"eV": -30.0 + 20.0 + 4.0, "meV_per_atom": -1000.0}


def test_reactions_balance_and_their_energy_is_products_less_reactants() -> None:
    reaction = "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl"
    before, after = examination.sides(reaction)
    assert (before, after) == ({"Li6PS5Cl": 1, "Li": 8}, {"Li2S": 5, "Li3P": 1, "LiCl": 1})
    energies = {"Li6PS5Cl": -50.0, "Li": -2.0, "Li2S": -12.0, "Li3P": -14.0, "LiCl": -7.0}
    found = examination.reaction_energy(reaction, energies)
    assert found["eV"] == pytest.approx(-60.0 - 14.0 - 7.0 + 50.0 + 16.0)
    assert found["meV_per_atom"] == pytest.approx(1e3 * found["eV"] / 21, abs=0.01)
    for wrong, message in (
        ("Li -> Li2S", "S does not balance|Li, S does not balance"),
        ("Li", "two sides"),
        ("Li -> 2.5 Li", "is not a number and a phase"),
        ("Na -> Na", "unknown structure 'Na'"),
    ):
        with pytest.raises(UserError, match=message):
            examination.sides(wrong)


def test_barrier_of_a_symmetric_hop_is_the_energy_at_its_middle() -> None:
    """In fcc copper the middle of the hop is the saddle by symmetry: it is relaxed there with the atom held."""
    cell = make_supercell(fcc("Cu", a=3.61, cubic=True), 2 * np.eye(3))
    gone, mover, vector = hops.sites(cell, "Cu")
    assert np.linalg.norm(vector) == pytest.approx(3.61 / np.sqrt(2), abs=1e-3)
    found = hops.vacancy_hop(cell, (gone, mover), EMT(), images=3, steps=40)
    assert found is not None
    middle = cell.copy()
    middle.positions[mover] += 0.5 * cell.get_distance(mover, gone, mic=True, vector=True)
    start = cell.copy()
    del start[gone]
    middle.set_constraint(FixAtoms([mover]))
    del middle[gone]
    middle.calc = start.calc = EMT()
    FIRE(middle, logfile=None).run(fmax=0.02, steps=100)
    FIRE(start, logfile=None).run(fmax=0.02, steps=100)
    assert found.barrier == pytest.approx(middle.get_potential_energy() - start.get_potential_energy(), abs=0.02)
    np.testing.assert_allclose(found.energies, found.energies[::-1], atol=0.02)
    assert hops.energies_of(found.path, EMT()) == pytest.approx(found.energies)


def test_a_calm_run_has_no_event_and_a_violent_one_says_which(tmp_path: Path) -> None:
    calm = Springs()
    row = examination.long_run("Li", [calm, Springs(2.2)], 300.0, 10.0, tmp_path / "calm", None, calm)
    assert row["event"] == ""
    assert row["picoseconds"] == pytest.approx(10.0)
    assert row["temperature_K"] == pytest.approx(300, rel=0.1)
    assert row["largest_spread_eV_per_A"] > 0
    violent = examination.long_run("Li", [calm], 300.0, 0.1, tmp_path / "violent", None, Pushing())
    assert "force 100 eV/Å (limit 60)" in violent["event"]
    assert violent["picoseconds"] == 0.0
    targets = card_text.verdicts({"trajectories": {"calm": row, "violent": violent}}, Targets())
    assert [(each["what"], each["met"]) for each in targets] == [
        ("run without event, calm", True),
        ("run without event, violent", False),
    ]


def _committee() -> tuple[list[Atoms], list[LennardJones]]:
    """Frames whose forces are those of depth 0.3 eV, and members of depth 0.1 and 0.2 eV."""
    frames = []
    for seed in range(3):
        frame = fcc("Cu", a=3.6, cubic=True)
        frame.rattle(0.1, seed=seed)
        truth = LennardJones(epsilon=0.3, sigma=2.3, rc=5.0, smooth=True)
        frame.info |= {"family": "crystal" if seed else "surface", "REF_energy": truth.get_property("energy", frame)}
        frame.info["REF_stress"] = truth.get_property("stress", frame)
        frame.arrays["REF_forces"] = truth.get_property("forces", frame)
        frames.append(frame)
    return frames, [LennardJones(epsilon=depth, sigma=2.3, rc=5.0, smooth=True) for depth in (0.1, 0.2)]


def test_spread_and_error_of_scaled_members_are_in_the_known_ratio() -> None:
    """Forces scale with the depth: spread 0.05 f, error of the mean 0.15 f, of the members 0.2 f and 0.1 f."""
    frames, members = _committee()
    found = assessment.report_of(assessment.ask(frames, members))
    assert set(found["mean"]) == {"all", "crystal", "surface"}
    assert found["mean"]["crystal"]["frames"] == 2
    size = found["mean"]["all"]["force_rms_meV_per_A"]
    for share, table in ((0.5, found["mean"]), (2 / 3, found["members"][0]), (1 / 3, found["members"][1])):
        assert table["all"]["force_rmse_meV_per_A"] == pytest.approx(share * size, abs=0.1)
    assert found["spread"]["all"]["found_over_claimed"] == pytest.approx(3.0)
    assert found["spread"]["all"]["rank_correlation"] == pytest.approx(1.0)
    with pytest.raises(UserError, match="one member has no spread"):
        assessment.spread_against_error(assessment.ask(frames, members[:1]))


def test_nothing_in_the_text_belongs_to_one_potential() -> None:
    level = LabelSettings("CP2K", "2025.1", functional="PBE").to_dict()
    bare = {"name": "x", "elements": ["Na", "F"], "members": 1, "labels": [level], "teacher": "", "data": {}, "targets": []}
    told = card_text.text(bare, CardSettings(purpose="For tests.", not_for=("people",)))
    assert told.startswith("# x: a MACE potential for Na–F\n\nFor tests.")
    assert "functional: PBE" in told
    assert told.count("Not measured yet") == 5
    assert "- people" in told
    for word in ("Li6PS5Cl", "lpscl", "CHGNet", "llzo", "argyrodite"):
        assert word not in told


@pytest.fixture
def about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> card.Subject:
    """A potential whose members are springs; its teacher is a stiffer one."""
    folder = tmp_path / "springs"
    folder.mkdir()
    (folder / "recipe.toml").write_text(
        'name = "springs"\nseed = 1\ndriver = ""\n[card]\nphases = ["Li"]\ntemperature = 300.0\npicoseconds = 2.0\n'
        'rdf_picoseconds = 0.3\nreactions = ["2 Li -> Li + Li"]\n[card.targets]\nlattice_percent = 2.0\n'
    )
    described = card.potential.PotentialCard("springs", ("Li",), 2, None, None, 1, "0" * 64, folder)
    monkeypatch.setattr(card.potential, "folder_of", lambda name: folder)
    monkeypatch.setattr(card.potential, "describe", lambda name: described)
    monkeypatch.setattr(card.potential, "load", lambda name, dtype="float64": Springs())
    monkeypatch.setattr(card, "_members", lambda folder: (Springs(2.0), Springs(2.2)))
    monkeypatch.setattr(labels, "teacher", lambda name: Springs(3.0))
    frames = []
    for seed in range(4):
        frame = bulk("Li").repeat(2)
        frame.rattle(0.1, seed=seed)
        frame.info |= {"family": "crystal", "structure": "Li", "REF_energy": -30.0, "REF_stress": np.zeros(6)}
        frame.arrays["REF_forces"] = np.full((16, 3), 0.01)
        frames.append(frame)
    dataset.write(tmp_path / "held_out.h5", frames, LabelSettings("CHGNet", "0.3.0"))
    return card.subject("springs", tmp_path / "held_out.h5")


def test_a_card_is_measured_once_and_says_what_was_met(about: card.Subject, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        card.measure(about, tmp_path / "work", progress=_stop_after(3))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.json")}
    assert kept
    found = card.measure(about, tmp_path / "work")
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert len(list((tmp_path / "work").glob("*.json"))) == len(card.tasks_of(about))
    rest = found["references_0K"]["Li"]
    assert rest["potential"]["lengths_A"] == pytest.approx(bulk("Li").cell.lengths(), abs=1e-3)
    assert found["reactions"]["2 Li -> Li + Li"]["potential"]["eV"] == 0.0
    # softer springs spread the pairs more than noise alone
    pair = found["pairs"]["Li"]["pairs"]["Li–Li"]
    assert 0.5 < pair["overlap"] <= 1.0
    assert found["held_out"]["crystal"]["frames"] == 4
    targets = {row["what"]: row for row in found["targets"]}
    assert targets["lattice, Li"] == {"what": "lattice, Li", "target": 2.0, "found": 0.0, "unit": "%", "met": True}
    card.write_card(about, found)
    assert json.loads((about.folder / "card.json").read_text()) == json.loads(json.dumps(found))
    told = (about.folder / "card.md").read_text()
    assert "Not measured yet" not in told
    assert "MISSED" in told or " met of" not in told
    card.ship_frames(about, 2)
    assert len(dataset.read(about.folder / "held_out.extxyz")) == 2


def test_a_failed_measurement_stands_on_the_card(about: card.Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> dict[str, Any]:
        raise RunFailure("it broke")

    monkeypatch.setattr(examination, "long_run", broken)
    found = card.measure(about, tmp_path / "work", kinds=("run",))
    assert found["failures"] == {"run Li": "it broke"}
    told = card_text.text(found, about.settings)
    assert "## Known failures\n\n- run Li: it broke" in told
    wanted = about.settings.picoseconds
    row = {"what": "run without event, Li", "target": wanted, "found": None, "unit": "ps", "met": False}
    assert found["targets"] == [row]
    assert (
        f"0 of 1 met.\n\n| what | target | found |  |\n|---|---|---|---|\n| run without event, Li | {wanted:g} ps | – | MISSED |"
        in told
    )
    broken = card_text.verdicts({"failures": {"rest Li": "no", "rest LiF by the teacher": "no", "hop Li": "no"}}, Targets())
    assert [(each["what"], each["met"]) for each in broken] == [("lattice, Li", False), ("bulk modulus, Li", False)]


def test_the_teacher_is_whoever_labelled_the_held_out_set(
    about: card.Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CHGNet, SevenNet, or nobody where another labelled; measurements of teachers are kept apart, the potential's are shared."""
    frames, asked = dataset.read(about.held_out), []
    assert about.teacher == "chgnet"
    dataset.write(tmp_path / "seven.h5", frames, labels.TEACHERS["sevennet"])
    dataset.write(tmp_path / "cp2k.h5", frames, LabelSettings("CP2K", "2025.1"))
    assert card.subject("springs", tmp_path / "cp2k.h5").teacher == ""
    other = card.subject("springs", tmp_path / "seven.h5")
    assert other.teacher == "sevennet"
    mine, theirs = ({task.key: task for task in card.tasks_of(each) if task.kind == "rest"} for each in (about, other))
    assert {mine[key].parameters["who"] for key in set(mine) & set(theirs)} == {"potential"}
    monkeypatch.setattr(labels, "teacher", lambda name: asked.append(name) or Springs(3.0))
    monkeypatch.setenv(sevennet.FOLDER, str(tmp_path / "none"))
    with pytest.raises(UserError, match="`make sevennet`"):
        card.measure(other, tmp_path / "work", kinds=("rest",))
    assert card.measure(other, tmp_path / "work", kinds=("errors",))["held_out"]["crystal"]["frames"] == 4
    monkeypatch.setattr(labels, "require", lambda name: None)
    found = card.measure(other, tmp_path / "work", kinds=("rest",))
    assert asked == ["sevennet"] * len(found["references_0K"])
    assert found["teacher"] == "SevenNet 0.13.0 7net-l3i5"


def test_a_card_without_a_teacher_says_so_and_shares_no_hop_with_another(about: card.Subject) -> None:
    known, settings = replace(about.settings, hops=("Li",)), {}
    for teacher in ("chgnet", "sevennet", ""):
        tasks = card.tasks_of(replace(about, settings=known, teacher=teacher))
        settings[teacher] = [task for task in tasks if task.kind == "hop" and task.parameters["who"] == "potential"]
    assert len({task.key for (task,) in settings.values()}) == 3
    assert "teacher" not in settings["chgnet"][0].parameters  # what was measured before there were others stays measured
    rest, hop = {"lengths_A": [3.5] * 3, "bulk_modulus_GPa": 13.0}, {"atoms": 53, "barrier_eV": 0.05}
    found = {
        "name": "springs", "elements": ["Li"], "members": 1, "labels": [], "data": {}, "targets": [], "teacher": "",
        "references_0K": {"Li": {"potential": rest}}, "hops": {"Li": {"potential": hop}},
        "reactions": {"2 Li -> Li + Li": {"potential": {"eV": 0.0, "meV_per_atom": 0.0}}},
    }  # fmt: skip
    told = card_text.text(found, about.settings)
    assert "## Crystals at 0 K\n\nThe labels are of no teacher that can be asked again" in told
    assert "| Li | 3.500 | 13 |" in told
    assert not any("teacher" in line for line in told.splitlines() if line.startswith(("|", "#")))
    assert "| phase | a, b, c, Å: potential | teacher |" in card_text.text(found | {"teacher": "CHGNet 0.3.0"}, about.settings)


def _stop_after(calls: int) -> Any:
    """Progress that interrupts after so many finished tasks."""
    left = [calls]

    def progress(label: str, share: float) -> None:
        left[0] -= share == 1.0
        if left[0] <= 0:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('phase = ["Li"]', "card: unknown key 'phase'; known: .*phases"),
        ('phases = "Li"', "card: phases: read 'Li'; write a list"),
        ("picoseconds = 0", "picoseconds = 0: a positive number is needed"),
        ("[card.targets]\nlattice = 1.0", "card.targets: unknown key 'lattice'; known: .*lattice_percent"),
    ],
)
def test_a_wrong_card_table_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'name = "x"\nseed = 1\ndriver = ""\n[card]\n{line}\n')
    with pytest.raises(UserError, match=message):
        recipe.read_recipe(path)


def test_a_phase_the_potential_does_not_cover_is_refused(about: card.Subject) -> None:
    with pytest.raises(UserError, match="does not know Cl"):
        card.subject("springs", about.held_out, phases=["LiCl"])
    with pytest.raises(UserError, match="unknown phase 'Lithium'"):
        card.subject("springs", about.held_out, phases=["Lithium"])


def test_some_measurements_now_and_the_others_as_they_were(about: card.Subject, tmp_path: Path) -> None:
    """Kinds are measured one call after the other; a later card keeps what an earlier one had."""
    first = card.measure(about, tmp_path / "work", kinds=("rest",))
    assert "references_0K" in first
    assert "held_out" not in first
    second = card.measure(about, tmp_path / "work", kinds=("errors",))
    assert second["references_0K"] == first["references_0K"]
    assert second["held_out"]["crystal"]["frames"] == 4
    assert "trajectories" not in second
