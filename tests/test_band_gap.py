"""Band gaps: orbitals read as CP2K prints them, gaps and metals told apart, the record; CP2K itself where it is here."""

import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from atomistic import band_gap, cp2k
from atomistic.structures import bulk
from coupling.errors import RunFailure, UserError
from multiscale.cli import app

OUTPUT = """
 MO| EIGENVALUES AND OCCUPATION NUMBERS AFTER SCF STEP 9
 # MO|  Index      Eigenvalue [a.u.]       Eigenvalue [eV]    Occupation
   MO|      1              -0.500000            -13.605693      2.000000
   MO|      2               0.100000              2.721139      {high}
   MO|      3               0.200000              5.442277      {low}
   MO| Sum:                                                     4.000000
   MO| E(Fermi):            0.150000              4.081708
"""


def test_orbitals_are_read_and_the_gap_is_between_them() -> None:
    found = band_gap.gap_of(band_gap.read_orbitals(OUTPUT.format(high="2.000000", low="0.000000")))
    assert not found.metallic
    assert found.gap == pytest.approx(0.1 * 27.211386, rel=1e-6)
    assert found.highest == pytest.approx(2.721139)


def test_partly_filled_orbitals_are_a_metal_with_a_bound() -> None:
    found = band_gap.gap_of(band_gap.read_orbitals(OUTPUT.format(high="1.200000", low="0.800000")))
    assert found.metallic
    record = band_gap.record(found, bulk("LiCl"), cp2k.Cp2kSettings(), {}, {"trajectory": "x"})
    assert (record.bound, record.unit, record.confidence) == ("upper", "J", "low")
    assert record.value >= 2.7 * 1.602e-19


def test_one_half_filled_level_hides_no_more_than_the_smearing() -> None:
    """A level of a metal whose neighbours lie electronvolts away: two levels 2 ln 19 kT apart are filled by 95 and 5 % each."""
    levels = np.array([[-1.0, 2.0], [0.5, 0.9], [0.5, 0.9], [3.0, 0.0]])
    assert band_gap.gap_of(levels, 500.0) == band_gap.BandGap(pytest.approx(0.2537, abs=1e-4), -1.0, 0.5, True)
    kT = 8.617333e-5 * 500.0
    edges = np.array([-1, 1]) * band_gap.gap_of(levels, 500.0).gap / 2
    assert 1 / (1 + np.exp(edges / kT)) == pytest.approx([0.95, 0.05])


@pytest.mark.parametrize(("output", "message"), [
    ("", "no orbital energies"), ("SCF run NOT converged", "did not converge"),
    (OUTPUT.format(high="2.000000", low="2.000000"), "no filled or no empty"),
])  # fmt: skip
def test_an_output_without_a_gap_says_why(output: str, message: str) -> None:
    with pytest.raises(cp2k.LabelFailure, match=message):
        band_gap.gap_of(band_gap.read_orbitals(output))


@pytest.mark.parametrize(("atoms", "message"), [
    (Atoms("LiCl", [[0, 0, 0], [2.5, 0, 0]], cell=[9, 9, 9]), "periodic in three"),
    (Atoms("Xe", cell=[9, 9, 9], pbc=True), "no pseudopotential at hand for Xe"),
    (Atoms("Li", cell=[9, 9, 9], pbc=True), "3 electrons in Li"), (bulk("LiCl").repeat((3, 3, 3)), "at most 150"),
])  # fmt: skip
def test_what_cannot_have_a_gap_computed_is_refused(atoms: Atoms, message: str) -> None:
    with pytest.raises(UserError, match=message):
        band_gap.band_gap(atoms, cp2k.Cp2kSettings())


def test_the_command_tells_mistakes_with_the_file(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", bulk("LiCl"))
    for words, message in (
        (["--frame", "3"], "holds 1 frames"), (["--slice", "1 angstrom"], "two depths"),
        (["--slice", "0 nm, 9 nm"], "two rising depths"), (["--functional", "B3LYP"], "known with CP2K"),
        (["--slice", "0 nm, 2.58 angstrom", "--shift", "2"], "--shift"), (["--slice", "0 nm, 2.58 angstrom"], "faces meet"),
    ):  # fmt: skip
        answer = CliRunner().invoke(app, ["analyze", "band-gap", str(tmp_path / "a.extxyz"), *words])
        assert isinstance(answer.exception, UserError), answer.output
        assert message in str(answer.exception)


def test_the_command_draws_the_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints three levels, one of them filled: the gap is told and the picture is there."""
    program = tmp_path / "cp2k"
    program.write_text("#!/bin/sh\ncat <<'END'" + OUTPUT.format(high="2.000000", low="0.000000") + "END\n")
    program.chmod(0o755)
    monkeypatch.setattr(cp2k, "program", lambda: str(program))
    ase.io.write(tmp_path / "a.extxyz", bulk("LiCl"))
    words = ["analyze", "band-gap", str(tmp_path / "a.extxyz"), "--picture", str(tmp_path / "levels.png")]
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "band gap 2.72 eV" in answer.output
    assert (tmp_path / "levels.png").read_bytes().startswith(b"\x89PNG")


def test_a_program_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cp2k.psmp"
    broken.write_text("#!/bin/sh\necho ' * the basis is not there *'\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RunFailure, match="no orbital energies"):
        band_gap.band_gap(bulk("LiCl"), cp2k.Cp2kSettings())
