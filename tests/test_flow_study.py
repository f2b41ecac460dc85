"""A study of driven flow from its file to records and picture; what was done is kept; wrong input."""

import json
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk
from pair_potential import PairPotential

from atomistic import flow_study
from coupling.errors import UserError

STUDY = """
kind = "flow"
name = "argon"
potential = "none"
structure = "crystal.xyz"
material = "Ar"
temperatures = ["20 K"]
rates = ["2e10 1/s", "4e10 1/s"]
strain = 0.06
skip = 0.03
timestep = "5 fs"
friction = "0.2 ps"
"""


def written(folder: Path, text: str = STUDY) -> Path:
    ase.io.write(folder / "crystal.xyz", bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3), format="extxyz")
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def test_a_study_gives_one_point_a_rate(tmp_path) -> None:
    study = flow_study.read_study(written(tmp_path))
    records = flow_study.run(study, tmp_path / "out", calculator=PairPotential(cutoff=6.5))
    assert [round(record.conditions["strain_rate_per_s"] / 1e10) for record in records] == [2, 4]
    assert all(record.unit == "Pa" and (record.stderr is not None or record.bound == "upper") for record in records)
    assert (tmp_path / "out" / "flow.png").stat().st_size > 5000

    class Gone(PairPotential):
        def calculate(self, *args, **more):
            raise AssertionError("computed again")

    Gone.__name__ = "PairPotential"
    again = flow_study.run(study, tmp_path / "out", calculator=Gone())
    assert [record.to_dict() for record in again] == [record.to_dict() for record in records]


def test_a_rate_that_the_potential_does_not_bear_is_told_and_the_others_stand(tmp_path) -> None:
    """A hole that is found at the second rate alone."""
    calls = [0]

    class Holed(PairPotential):
        def calculate(self, *args, **more) -> None:
            super().calculate(*args, **more)
            calls[0] += 1
            if calls[0] > 650:  # 600 steps of the slower rate, then those of the faster one
                self.results["forces"][0] = 1e3

    study = flow_study.read_study(written(tmp_path))
    records = flow_study.run(study, tmp_path / "out", calculator=Holed(cutoff=6.5))
    assert len(records) == 1
    (told,) = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert "left what the potential knows: force 1e+03 eV/Å" in told
    assert "1/s" in told
    assert (tmp_path / "out" / "flow.png").is_file()


def test_wrong_studies_are_refused(tmp_path) -> None:
    for wrong, right, message in (
        ('rates = ["2e10 1/s", "4e10 1/s"]', "rates = [2e10]", "bare number"), ('kind = "flow"', 'kind = "creep"', "allowed"),
        ("strain = 0.06", "strains = 0.06", "unknown key"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            flow_study.read_study(written(tmp_path, STUDY.replace(wrong, right)))
    path = written(tmp_path, STUDY.replace("skip = 0.03", "skip = 0.5"))
    with pytest.raises(UserError, match="skip < strain"):
        flow_study.run(flow_study.read_study(path), tmp_path / "out", calculator=PairPotential())
