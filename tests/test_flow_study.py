"""A study of driven flow from its file to records and picture; what was done is kept; wrong input."""

import json
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import dynamics, flow_study
from coupling.errors import UserError

STUDY = """
kind = "flow"
name = "argon"
potential = "none"
structure = "liquid.xyz"
material = "Ar"
temperatures = ["120 K"]
rates = ["1e11 1/s", "2e11 1/s"]
strain = 0.3
skip = 0.1
timestep = "5 fs"
friction = "0.2 ps"
"""


@pytest.fixture(scope="module")
def liquid(tmp_path_factory: pytest.TempPathFactory) -> Atoms:
    """Argon of its liquid's density, molten at 500 K."""
    settings = dynamics.DynamicsSettings(500.0, 2.0, timestep=5.0, friction_time=100.0, frame_interval=100.0)
    crystal = bulk("Ar", "fcc", a=5.74, cubic=True).repeat(3)
    return dynamics.run(crystal, PairPotential(cutoff=6.5), settings, tmp_path_factory.mktemp("melt")).final


def written(folder: Path, atoms: Atoms, text: str = STUDY) -> Path:
    start = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    ase.io.write(folder / "liquid.xyz", start, format="extxyz")
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def test_a_study_gives_one_point_a_rate(tmp_path, liquid) -> None:
    study = flow_study.read_study(written(tmp_path, liquid))
    records = flow_study.run(study, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    assert [round(record.conditions["strain_rate_per_s"] / 1e10) for record in records] == [10, 20]
    assert all(record.source["crystals_at_end"]["disordered"] > 0.6 for record in records)
    assert all(record.unit == "Pa" and (record.stderr is not None or record.bound == "upper") for record in records)
    assert (tmp_path / "out" / "flow.png").stat().st_size > 5000

    class Gone(PairPotential):
        def calculate(self, *args, **more):
            raise AssertionError("computed again")

    Gone.__name__ = "PairPotential"
    again = flow_study.run(study, tmp_path / "out", calculator=Gone())
    assert [record.to_dict() for record in again] == [record.to_dict() for record in records]


def test_a_rate_that_the_potential_does_not_bear_is_told_and_the_others_stand(tmp_path, liquid) -> None:
    """A hole that is found at the second rate alone."""
    calls = [0]

    class Holed(PairPotential):
        def calculate(self, *args, **more) -> None:
            super().calculate(*args, **more)
            calls[0] += 1
            if calls[0] > 900:  # 600 steps of the slower rate and two relaxations, then those of the faster one
                self.results["forces"][0] = 1e3

    study = flow_study.read_study(written(tmp_path, liquid))
    records = flow_study.run(study, tmp_path / "out", calculator=Holed(cutoff=6.5))
    assert len(records) == 1
    (told,) = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert "left what the potential knows: force 1e+03 eV/Å" in told
    assert "1/s" in told
    assert (tmp_path / "out" / "flow.png").is_file()


def test_a_crystal_that_is_only_strained_gives_a_sentence_and_no_record(tmp_path) -> None:
    """Argon pulled by 4 % at 20 K after a run at zero pressure: its stress still rises."""
    text = STUDY.replace("120 K", "20 K").replace("0.3\n", "0.04\n").replace("skip = 0.1", "skip = 0.01")
    path = written(tmp_path, bulk("Ar", "fcc", a=5.2, cubic=True).repeat(3), text.replace('"1e11 1/s", "2e11 1/s"', '"4e10 1/s"'))
    path.write_text(path.read_text() + 'equilibration = "1 ps"\n')
    study = flow_study.read_study(path)
    assert flow_study.run(study, tmp_path / "out", calculator=PairPotential(cutoff=6.5)) == []
    (told,) = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert "flow 20 K 4.0e+10 1/s: the stress changes by" in told
    (answer,) = (json.loads(file.read_text())["answer"] for file in (tmp_path / "out").glob("*.json") if len(file.stem) == 16)
    assert answer["crystals"][0]["fcc"] == answer["crystals"][1]["fcc"] == 1.0
    (kept,) = (tmp_path / "out").glob("*/equilibration")
    assert dynamics.load(kept).final.cell.lengths()[0] > 3 * 5.2 + 0.2, "grown to zero pressure"


def test_wrong_studies_are_refused(tmp_path, liquid) -> None:
    for wrong, right, message in (
        ('rates = ["1e11 1/s", "2e11 1/s"]', "rates = [2e10]", "bare number"), ('kind = "flow"', 'kind = "creep"', "allowed"),
        ("strain = 0.3", "strains = 0.3", "unknown key"), ('structure = "liquid.xyz"\n', "", "give one of the two"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            flow_study.read_study(written(tmp_path, liquid, STUDY.replace(wrong, right)))
    path = written(tmp_path, liquid, STUDY.replace("skip = 0.1", "skip = 0.5"))
    with pytest.raises(UserError, match="skip < strain"):
        flow_study.run(flow_study.read_study(path), tmp_path / "out", calculator=PairPotential())
