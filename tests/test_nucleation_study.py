"""A nucleation study of a Lennard-Jones vapour from its file to its records; wrong input."""

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from pair_potential import PairPotential

from atomistic import nucleation_study
from coupling.errors import UserError
from coupling.record import Property
from coupling.store import write_records

STUDY = """
kind = "nucleation"
name = "argon"
potential = "none"
structure = "vapour.xyz"
temperatures = ["80 K"]
overpotentials = ["0 V", "-5 mV", "-30 mV"]
pressures = ["0 Pa", "1 MPa"]

[cluster]
element = "Ar"
inner = 4.5
outer = 6.5
neighbours = 3.0
link = 5.5

[bias]
walkers = 2
largest = 12
width = 0.5
height = "0.006 eV"
bias_factor = 6.0
length = "{length}"
interval = "0.5 ps"
record = "0.1 ps"
timestep = "10 fs"
friction = "0.5 ps"

[attachment]
length = "4 ps"
record = "0.05 ps"

[infrequent]
walkers = 10
deposited = 1.0
beyond = 1.4
interval = "1 ps"
most = "40 ps"

[classical]
surface_energy = "0.4 J/m^2"
diffusivity = "1e-12 m^2/s"
hop_length = "3 angstrom"
sites = "1e28 1/m^3"
"""


class Still(Calculator):
    """No forces at all."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}


class Trap(Still):
    """No forces until a number of calls were made; then atoms fall into a hole."""

    calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls > 100:
            self.results["forces"][0, 0] = 1e3


def folder_with(folder: Path, length: str) -> Path:
    atoms = Atoms("Ar20", positions=8.0 * np.argwhere(np.ones((3, 3, 3)))[:20] + 2.0, cell=[24.0] * 3, pbc=True)
    ase.io.write(folder / "vapour.xyz", atoms, format="extxyz")
    path = folder / "study.toml"
    path.write_text(STUDY.format(length=length))
    return path


def face(value: float, stderr: float | None, miller: str, material: str = "Ar") -> Property:
    return Property(material, "surface_energy", value, "J/m^2", stderr=stderr, conditions={"miller": miller},
                    source={"potential": "mine"})  # fmt: skip


def test_classical_theory_takes_the_surface_energy_of_a_record_file(tmp_path) -> None:
    """Mean of the faces of the cluster's element, error of their range and own errors; records tell where numbers are from."""
    path, records = folder_with(tmp_path, "15 ps"), tmp_path / "surfaces.json"
    given = 'surface_energy = "0.4 J/m^2"\n'
    sources = '\n[classical.sources]\nsites = "counted"\n'
    path.write_text(path.read_text().replace(given, 'surface_energy_records = "surfaces.json"\n') + sources)
    with pytest.raises(UserError, match=r"classical.surface_energy_records: .*surfaces\.json: no such record file"):
        nucleation_study.read_study(path)
    write_records(records, [face(9.0, 0.1, "100", "Kr"), face(9.0, None, "210")])
    with pytest.raises(UserError, match="no surface energy of Ar with an error"):
        nucleation_study.read_study(path)
    write_records(records, [face(0.40, 0.01, "100"), face(0.34, 0.03, "110"), face(9.0, 0.1, "100", "Kr")])
    study = nucleation_study.read_study(path)
    assert study.classical.surface_energy == pytest.approx(0.37)
    assert study.classical.surface_energy_stderr == pytest.approx(np.hypot(0.03, 0.02))
    found, _ = nucleation_study._classical(study, 80.0, "Ar")
    whose = hashlib.sha256(records.read_bytes()).hexdigest()[:16]
    told = f"surfaces.json (sha256 {whose}): mean of Ar (100), (110), potential mine"
    assert found[0].source["surface_energy_source"] == told
    assert (found[0].source["sites_source"], found[0].source["surface_energy_J_per_m2"]) == ("counted", pytest.approx(0.37))
    write_records(records, [face(0.40, 0.3, "100")])
    with pytest.raises(UserError, match="twice the error"):
        nucleation_study.read_study(path)
    for both in (given + 'surface_energy_records = "surfaces.json"\n', 'surface_energy_stderr = "0.1 J/m^2"\n', ""):
        folder_with(tmp_path, "15 ps")
        path.write_text(path.read_text().replace(given, both))
        with pytest.raises(UserError, match=r"surface_energy, with or without .* is needed"):
            nucleation_study.read_study(path)


def test_a_study_gives_rates_with_errors_and_classical_ones(tmp_path) -> None:
    """A barrier, six rates and their classical ones; more drive, more nuclei; the same again from what was kept."""
    path = folder_with(tmp_path, "15 ps")
    path.write_text("seed = 3\n" + path.read_text())  # by others atoms join too seldom to be more than none within the error
    study = nucleation_study.read_study(path)
    records = nucleation_study.run(study, tmp_path / "out", calculator=PairPotential())
    rates = [record for record in records if record.kind == "md"]
    escaped = [record for record in rates if record.source["method"] == "infrequent metadynamics"]
    problems = json.loads((tmp_path / "out" / "problems.json").read_text())
    *problems, classical = problems
    assert classical.startswith("80 K: classical theory: nothing nucleates at η = 0 V at 0, 1 MPa: the overpotential does not")
    assert len(escaped) + len(problems) == 1, problems
    rates = [record for record in rates if record not in escaped]
    barrier, *rates = rates
    assert (barrier.quantity, barrier.unit, len(rates)) == ("nucleation_barrier", "J", 6)
    assert len(barrier.source["sizes"]) == len(barrier.source["free_energy_eV"]) >= 5
    assert len([record for record in records if record.kind == "derived"]) >= 2
    assert all(record.stderr is not None or record.bound == "upper" for record in rates)
    by_drive = [record.value for record in rates if record.conditions["pressure_Pa"] == 0]
    assert by_drive == sorted(by_drive)
    assert {"picoseconds", "walkers", "cluster", "attachment_per_s"} <= set(rates[0].source)
    assert (tmp_path / "out" / "free-energy-80K.png").stat().st_size > 5000
    again = nucleation_study.run(study, tmp_path / "out", calculator=PairPotential())
    assert [record.to_dict() for record in again] == [record.to_dict() for record in records]


def test_a_longer_study_goes_on_with_the_shorter_one(tmp_path) -> None:
    """The bias of the shorter run is built upon, a longer attachment run begins where the bias ends; a shorter one is refused.

    What was run is read anew, off the same part of it, without a force call; without what it visited it is refused.
    """
    text = folder_with(tmp_path, "3 ps").read_text().partition("[infrequent]")[0]
    calls = []

    class Counting(PairPotential):
        def calculate(self, *arguments, **more) -> None:
            calls.append(1)
            super().calculate(*arguments, **more)

    def run(length: str, out: str) -> list[Property]:
        path = tmp_path / "study.toml"
        path.write_text(text.replace('"3 ps"', f'"{length}"'))
        return nucleation_study.run(nucleation_study.read_study(path), tmp_path / out, calculator=Counting())

    short = run("3 ps", "out")
    calls.clear()
    longer, used = run("6 ps", "out"), len(calls)
    calls.clear()
    assert [record.to_dict() for record in longer] == [record.to_dict() for record in run("6 ps", "fresh")]
    assert len(calls) - used == 2 * 299  # 300 steps of two walkers, less a force call each where they go on
    told = 'holds 6 ps a walker of this run at 80 K, more than the 4 ps wanted: write length = "6 ps" or more'
    with pytest.raises(UserError, match=rf"^bias\.length: .*{told}"):
        run("4 ps", "out")
    calls.clear()
    assert [record.to_dict() for record in run("3 ps", "out")] == [record.to_dict() for record in short]
    assert not calls
    for file in (tmp_path / "out").glob("*/metadynamics.npz"):
        file.unlink()
    with pytest.raises(UserError, match=r"F\(n\) of bias 80 K is read from what .*no such file\); delete .* to run it anew"):
        run("3 ps", "out")


def test_the_attachment_rate_is_read_anew_from_the_sizes_kept(tmp_path) -> None:
    """Sizes that take larger steps make another rate without a force call; an older answer without sizes keeps its own, told."""
    text = folder_with(tmp_path, "3 ps").read_text().partition("[infrequent]")[0]
    (tmp_path / "study.toml").write_text(text)
    study = nucleation_study.read_study(tmp_path / "study.toml")

    def rate(calculator: Calculator) -> Property:
        records = nucleation_study.run(study, tmp_path / "out", calculator=calculator)
        return next(record for record in records if record.quantity == "log10_nucleation_rate")

    rate(Still())
    file = next(file for file in (tmp_path / "out").glob("*.json") if "answer" in file.read_text())
    kept = json.loads(file.read_text())
    assert np.shape(kept["answer"]["sizes"]) == (2, 80)
    walk = np.cumsum(np.random.default_rng(0).choice([-1.0, 1.0], (2, 80)), axis=1) + 30
    file.write_text(json.dumps(kept | {"answer": {**kept["answer"], "sizes": walk.tolist()}}))
    broken = type("Still", (Trap,), {"calls": 100})()  # has a force call failed, were there one
    read = rate(broken)
    assert read.source["attachment_read_at_mean_size"] == pytest.approx(walk.mean())
    assert "attachment_read" not in read.source
    old = nucleation_study._unbiased(study, kept["answer"] | {"sizes": walk.tolist()})
    del old["sizes"]
    file.write_text(json.dumps(kept | {"answer": old | {"mean_size": 7.0}}))
    read = rate(broken)
    assert read.source["attachment_read_at_mean_size"] == 7.0
    assert "its sizes were not kept" in read.source["attachment_read"]


def test_escapes_do_not_depend_on_the_length_of_other_runs(tmp_path) -> None:
    """Longer biased and unbiased runs are other tasks; the escapes are the same ones, until their own table changes."""
    path = folder_with(tmp_path, "3 ps")
    text = path.read_text()

    def keys(new: str) -> dict[str, str]:
        path.write_text(new)
        study = nucleation_study.read_study(path)
        return {task.kind: task.key for task in nucleation_study._tasks(study, nucleation_study.starts(study), "")}

    first = keys(text)
    for old, new in (('length = "3 ps"', 'length = "6 ps"'), ('length = "4 ps"', 'length = "5 ps"')):
        longer = keys(text.replace(old, new))
        assert longer["bias"] != first["bias"]
        assert longer["infrequent"] == first["infrequent"]
    assert keys('material = "vapour"\n' + text) == first  # a name of the records only
    assert keys(text.replace("beyond = 1.4", "beyond = 1.5"))["infrequent"] != first["infrequent"]


def test_where_nothing_joins_the_cluster_rates_are_upper_bounds(tmp_path) -> None:
    """Atoms at rest far apart: no attachment, yet a record at every drive, with its method and time."""
    path = folder_with(tmp_path, "3 ps")
    text = path.read_text().partition("[infrequent]")[0]
    path.write_text(text.replace('"80 K"', '"1 mK"').replace('"-5 mV"', '"5 mV"'))
    records = nucleation_study.run(nucleation_study.read_study(path), tmp_path / "out", calculator=Still())
    problems = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert any("zero within its error" in told for told in problems)
    rates = [record for record in records if record.quantity == "log10_nucleation_rate"]
    drives = {(r.conditions["overpotential_V"], r.conditions["pressure_Pa"]) for r in rates}
    assert drives == {(η, p) for η in (0.0, 5e-3, -0.03) for p in (0.0, 1e6)}
    for record in rates:
        assert record.bound == "upper"
        towards = record.conditions["overpotential_V"] < 0
        told = "no nucleus before an atom joins" if towards else "0 of 2 unbiased walkers, 8 ps in all"
        assert told in record.source["method"]
        assert record.value == pytest.approx(np.log10(2.9957 / (8e-12 * 24**3 * 1e-30)), abs=1e-4)
    assert not any("no bound" in told for told in problems)


def test_a_walker_that_falls_into_a_hole_gives_no_number(tmp_path) -> None:
    """Why, and in which run; the classical numbers stand, and the second call says the same without computing."""
    path = folder_with(tmp_path, "3 ps")
    study = nucleation_study.read_study(path)
    gone = type("Trap", (Still,), {})()  # kept answers are of a potential of that name
    for calculator in (Trap(), gone):
        records = nucleation_study.run(study, tmp_path / "out", calculator=calculator)
        problems = json.loads((tmp_path / "out" / "problems.json").read_text())
        told = "80 K: walker 1 left what the potential knows: force 1e+03 eV/Å (limit 60)"
        assert told in problems[0]
        assert {record.kind for record in records} == {"derived"}
    assert not list((tmp_path / "out").glob("free-energy*"))


def test_wrong_studies_are_refused(tmp_path) -> None:
    path = folder_with(tmp_path, "15 ps")
    for wrong, right, message in (
        ('element = "Ar"', 'elemant = "Ar"', "unknown key"),
        ('temperatures = ["80 K"]', "temperatures = [80]", "bare number"),
        ("bias_factor = 6.0", "bias_factor = 0.5", "bias_factor"),
        ('temperatures = ["80 K"]', 'temperatures = ["80 K", "80.0 K"]', "temperatures.*stands there twice"),
    ):
        path.write_text(STUDY.format(length="1 ps").replace(wrong, right))
        with pytest.raises(UserError, match=message):
            nucleation_study.read_study(path)
    path.write_text(STUDY.format(length="15 ps").replace("vapour.xyz", "none.xyz"))
    with pytest.raises(UserError, match="no such trajectory file"):
        nucleation_study.run(nucleation_study.read_study(path), tmp_path / "out", calculator=PairPotential())


def test_sizes_are_counted_as_the_runs_make_them(tmp_path) -> None:
    """In steps of 2 fs a size every 3 fs is one every 4 fs: 15 in 61 fs and not 20; so with the sizes of the biased runs."""
    text = folder_with(tmp_path, "240 fs").read_text().partition("[infrequent]")[0]
    for old, new in (("10 fs", "2 fs"), ("0.05 ps", "3 fs"), ("0.1 ps", "4 fs"), ("4 ps", "61 fs"), ("0.5 ps", "20 fs")):
        text = text.replace(f'"{old}"', f'"{new}"')
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"attachment.length: read .61 fs.; 15 sizes a walker; more than twice lags = 10"):
        nucleation_study.read_study(path)
    path.write_text(text.replace('"4 fs"', '"7 fs"').replace('"240 fs"', '"224 fs"'))
    with pytest.raises(UserError, match=r"bias.length: read .224 fs.; 28 recorded sizes a walker"):
        nucleation_study.read_study(path)


def test_sizes_that_cannot_be_read_are_the_problem_of_their_task(tmp_path) -> None:
    """Not finite, of unequal length or too few; the other temperature has its numbers, and the file to delete is told."""
    text = folder_with(tmp_path, "3 ps").read_text().partition("[infrequent]")[0]
    (tmp_path / "study.toml").write_text(text.replace('["80 K"]', '["80 K", "90 K"]'))
    study = nucleation_study.read_study(tmp_path / "study.toml")
    whole = nucleation_study.run(study, tmp_path / "out", calculator=Still())
    file = next(file for file in (tmp_path / "out").glob("*.json") if '"bias 80 K"' in file.read_text())
    kept = json.loads(file.read_text())
    first, second = kept["answer"]["sizes"]
    file.write_text(json.dumps(kept | {"answer": {**kept["answer"], "sizes": [[np.nan, *first[1:]], second]}}))
    records = nucleation_study.run(study, tmp_path / "out", calculator=Still())
    assert {one.conditions["temperature_K"] for one in whole} == {80.0, 90.0}
    assert {one.conditions["temperature_K"] for one in records} == {90.0}
    problem = json.loads((tmp_path / "out" / "problems.json").read_text())[0]
    assert problem.startswith("80 K: attachment rate: finite sizes of more than 20 frames")
    assert problem.endswith(f"delete {file} to run it anew")
    for sizes, told in (([first[1:], second], "sizes are of unequal length"), ([first[:15], second[:15]], "more than 20 frames")):
        with pytest.raises(UserError, match=told):
            nucleation_study._unbiased(study, kept["answer"] | {"sizes": sizes})


def test_a_study_of_a_crystal_bears_its_name_and_disorder(tmp_path) -> None:
    """Li6PS5Cl and not ClLi6PS5, so that a case finds it; a structure has its formula or a name from the study."""
    text = STUDY.format(length="10 ps").replace('structure = "vapour.xyz"\n', "")
    start = '[start]\ncrystal = "Li6PS5Cl"\nedge = "9 angstrom"\ndisorder = 0.25\n'
    (tmp_path / "study.toml").write_text(text.replace('"Ar"', '"Li"') + start)
    study = nucleation_study.read_study(tmp_path / "study.toml")
    record = Property("ClLi6PS5", "nucleation_barrier", 1.0, "J", conditions={"temperature_K": 80.0}, source={"study": "argon"})
    named = nucleation_study._named(study, record)
    assert (named.material, named.conditions) == ("Li6PS5Cl", {"temperature_K": 80.0, "disorder": 0.25})
    plain = study.model_copy(update={"start": None})
    assert nucleation_study._named(plain, record) == record
    named = plain.model_copy(update={"material": "Li|Li6PS5Cl"})
    assert nucleation_study._named(named, record).material == "Li|Li6PS5Cl"
    (tmp_path / "study.toml").write_text('material = "Li"\n' + text.replace('"Ar"', '"Li"') + start)
    with pytest.raises(UserError, match=r"material: read \"Li\"; records of a crystal bear its name \(Li6PS5Cl\)"):
        nucleation_study.read_study(tmp_path / "study.toml")
