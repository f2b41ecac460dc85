"""Studies of band gaps: cells and larger cells by a stand-in for CP2K, records, what is kept, refusals, shipping."""

import json
import os
from pathlib import Path

import ase.io
import pytest
from spring import Spring

from atomistic import band_gap, band_gap_study, cp2k
from atomistic.structures import bulk
from coupling.errors import RunFailure, UserError
from coupling.store import read_records
from multiscale import shipped_records
from multiscale.commands import study as command

ELECTRONVOLT = 1.602176634e-19
STUDY = """
kind = "band-gap"
name = "salts"
cutoff = "300 Ry"
finer_atoms = 16
[[cell]]
crystal = "LiCl"
[[cell]]
crystal = "Li6PS5Cl"
disorder = 0.25
seed = 3
[[cell]]
name = "layer"
structure = "stack.extxyz"
slice = ["0 angstrom", "5.1398 angstrom"]
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cp2k.psmp with a gap of 5.0 eV, of 4.5 eV where an edge exceeds 6 Å, a metal from 9.5 to 10 Å; its list of runs."""
    made = tmp_path / "bin" / "cp2k.psmp"
    made.parent.mkdir()
    text = """#!/bin/sh
if [ "$1" = --version ]; then echo ' CP2K version 9.9'; exit; fi
echo run >> COUNT
edge=$(awk '/^A /{if ($2 > m) m = $2} /^B /{if ($3 > m) m = $3} END {print m}' gap.inp)
low=$(awk -v e="$edge" 'BEGIN {print (e > 6) ? 4.5 : 5.0}')
half=$(awk -v e="$edge" 'BEGIN {print (e > 9.5 && e < 10) ? 0.8 : 0.0}')
echo " MO| 1 -0.1 0.0 2.0"
echo " MO| 2 0.1 $low $half"
"""
    made.write_text(text.replace("COUNT", str(tmp_path / "count")))
    made.chmod(0o755)
    monkeypatch.setenv("PATH", f"{made.parent}:{os.environ['PATH']}")
    cp2k.version.cache_clear()
    ase.io.write(tmp_path / "stack.extxyz", bulk("LiCl").repeat((1, 1, 3)))
    return tmp_path / "count"


def written(folder: Path, text: str = STUDY) -> Path:
    (folder / "salts.toml").write_text(text)
    return folder / "salts.toml"


def test_gaps_come_with_the_change_in_a_larger_cell(tmp_path: Path, program: Path) -> None:
    """Of a metallic cell there is the bound that the smearing hides; of a cell without a larger one no error, and it says so."""
    study = band_gap_study.read_study(written(tmp_path))
    records = band_gap_study.run(study, tmp_path / "out")
    salt, electrolyte, layer = records
    assert [record.material for record in records] == ["LiCl", "Li6PS5Cl", "layer"]
    assert salt.value == pytest.approx(4.5 * ELECTRONVOLT)
    assert salt.stderr == pytest.approx(0.5 * ELECTRONVOLT)
    assert salt.conditions == {"functional": "PBE", "k_points": "zone centre", "atoms": 16, "metallic": False}
    assert "2 x 1 x 1 cell 4.500 eV" in salt.source["sampling"]
    assert (salt.source["code"], salt.kind, salt.confidence) == ("CP2K 9.9", "derived", "low")
    assert "not relaxed" in salt.source["structure"]
    hidden = 2 * 2.9444 * 8.617333e-5 * 500  # width over which an occupation lies between 5 and 95 %
    assert (electrolyte.bound, electrolyte.stderr, electrolyte.conditions["disorder"]) == ("upper", None, 0.25)
    assert electrolyte.value == pytest.approx(hidden * ELECTRONVOLT, rel=1e-4)
    assert layer.conditions["slice_m"] == pytest.approx([0.0, 5.1398e-10])
    assert read_records(tmp_path / "out" / "records.json") == records
    assert (tmp_path / "out" / "gaps.png").read_bytes().startswith(b"\x89PNG")
    runs = program.read_text().count("run")
    assert runs == 5
    assert band_gap_study.run(study, tmp_path / "out") == records
    assert program.read_text().count("run") == runs, "kept"


def test_a_slice_is_cut_neutral_and_relaxed(tmp_path: Path, program: Path) -> None:
    """Both cells (5.0 and 4.5 eV) are those of the relaxed slice, of whose gap, narrowed by the cut, no barrier is told."""
    text = STUDY.split("[[cell]]")
    made = text[0] + 'relax_with = "a spring"\nrelax_steps = 7\ngap_factor = 1.5\n[[cell]]' + text[3] + 'shift = "1 angstrom"\n'
    study = band_gap_study.read_study(written(tmp_path, made))
    (one,) = band_gap_study.cells(study)
    moved = one.atoms.positions.copy()
    moved[0, 0] += 0.3
    (gap,) = band_gap_study.run(study, tmp_path / "out", calculator=Spring(moved))
    assert (gap.value, gap.stderr) == (pytest.approx(4.5 * ELECTRONVOLT), pytest.approx(0.5 * ELECTRONVOLT))
    assert (gap.conditions["formal_charge_e"], gap.conditions["metal_atoms"], gap.confidence) == (0, 0, "low")
    assert "relaxed in its cell by a spring (Spring) for up to 7 steps" in gap.source["structure"]
    assert gap.source["structure"].endswith("4 Cl, 4 Li")
    runs = program.read_text().count("run")
    band_gap_study.run(study.model_copy(update={"relax_steps": 8}), tmp_path / "out", calculator=Spring(moved))
    assert program.read_text().count("run") == runs + 2, "another relaxation is another cell"


def test_the_gap_of_a_crystal_bounds_the_barrier_where_a_factor_is_stated(tmp_path: Path, program: Path) -> None:
    """1.5 times (4.5 + 2 · 0.5) eV is the most that electrons from lithium can meet in LiCl; the metallic cell has no barrier."""
    made = "[[cell]]".join(STUDY.split("[[cell]]")[:3]).replace("[[cell]]", "gap_factor = 1.5\n[[cell]]", 1)
    gap, barrier, metal = band_gap_study.run(band_gap_study.read_study(written(tmp_path, made)), tmp_path / "out")
    assert (barrier.material, barrier.quantity, barrier.bound, barrier.unit) == ("LiCl", "tunnel_barrier", "upper", "J")
    assert barrier.value == pytest.approx(8.25 * ELECTRONVOLT)
    assert (gap.quantity, metal.quantity, metal.bound) == ("band_gap", "band_gap", "upper")


def test_levels_of_a_small_cell_of_metal_are_a_bound(tmp_path: Path, program: Path) -> None:
    ase.io.write(tmp_path / "stack.extxyz", bulk("Li").repeat((2, 2, 4)))
    text = STUDY.split("[[cell]]")
    made = text[0] + "gap_factor = 1.5\n[[cell]]" + text[3].replace("5.1398", "7.0184")
    (record,) = band_gap_study.run(band_gap_study.read_study(written(tmp_path, made)), tmp_path / "out")
    assert (record.quantity, record.bound, record.stderr, record.conditions["metallic"]) == ("band_gap", "upper", None, False)
    assert (record.conditions["metal_atoms"], record.conditions["formal_charge_e"]) == (16, 16)
    assert "holds lithium metal" in record.source["sampling"]


def test_no_larger_cell_no_error(tmp_path: Path, program: Path) -> None:
    text = STUDY.replace("finer_atoms = 16", "finer_atoms = 0").split("[[cell]]")
    (record,) = band_gap_study.run(band_gap_study.read_study(written(tmp_path, "[[cell]]".join(text[:2]))), tmp_path / "out")
    assert (record.stderr, record.bound) == (None, None)
    assert "the error is not known" in record.source["sampling"]


def test_a_cell_that_gives_no_gap_is_told_and_the_others_go_on(tmp_path: Path, program: Path, monkeypatch) -> None:
    whole = band_gap.band_gap

    def failing(atoms, settings):
        if "P" in atoms.symbols:
            raise RunFailure("band gap: the self-consistent field did not converge")
        return whole(atoms, settings)

    monkeypatch.setattr(band_gap, "band_gap", failing)
    records = band_gap_study.run(band_gap_study.read_study(written(tmp_path)), tmp_path / "out")
    assert [record.material for record in records] == ["LiCl", "layer"]
    (told,) = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert told == "gap of Li6PS5Cl (52 atoms): band gap: the self-consistent field did not converge"


def test_doubling_takes_the_shortest_edges_first() -> None:
    cell = bulk("Li2CO3")  # 8.4, 5.0 and 6.2 Å, 24 atoms
    assert [band_gap_study.doubled(cell, most) for most in (0, 48, 96, 192)] == [(1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 2, 2)]


def test_without_cp2k_nothing_starts(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp2k, "PROGRAMS", ("no-such-cp2k",))
    for estimate in (True, False):
        with pytest.raises(UserError, match="make cp2k"):
            command.run_file(written(tmp_path), None, as_json=True, estimate=estimate)
    assert not (tmp_path / "salts").exists()


def test_the_command_tells_cost_runs_and_ships(tmp_path: Path, program: Path, capsys: pytest.CaptureFixture) -> None:
    """Nothing is timed before it runs; the shipped file names code and settings in place of a potential."""
    path = written(tmp_path)
    command.run_file(path, None, as_json=True, estimate=True)
    told = capsys.readouterr()
    assert (json.loads(told.out)["runs"], json.loads(told.out)["force_call"]["seconds"]) == (5, 0.0)
    assert "nothing is timed" in told.err
    assert not program.exists()
    command.run_file(path, None, as_json=True)
    for name in ("_studies", "_records"):
        (tmp_path / name).mkdir()
    (tmp_path / "_studies" / "salts.toml").write_text(path.read_text())
    shipped_records.ship(path, tmp_path / "salts", tmp_path / "_records")
    (one,) = shipped_records.everything(tmp_path, command.made_with)
    assert (one.potential, one.code, one.settings) == ("", "CP2K 9.9", one.records[0].source["settings"])
    with pytest.raises(UserError, match="no records of potential 'lpscl'"):
        shipped_records.records_for("lpscl", "abc", ["LiCl"], 0.0, tmp_path)
    command.run_file(path, None, as_json=True, trial=True)
    assert len(read_records(tmp_path / "salts-trial" / "records.json")) == 3
    assert not (tmp_path / "salts-trial" / "study.json").exists()


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"LiCl"', '"LiCi"', r"salts.toml:7: cell.crystal: .*did you mean 'LiCl'"),
    ('crystal = "LiCl"', "", "salts.toml:6: cell: .*one of the two only"),
    ('crystal = "LiCl"', 'crystal = "LiCl"\nstructure = "a"', "one of the two only"),
    ('"LiCl"', '"Li6PS5Cl"', "salts.toml:8: cell: .*stands there already"),
    ('"LiCl"', '"LiCl"\nseed = 2', "cell.seed: read 2; only Li6PS5Cl"),
    ('"LiCl"', '"LiCl"\naxis = "a"', "only a cell with structure"),
    ('name = "layer"', 'name = "layer"\nrepeat = [1, 1, 2]', "repeat: .*only a cell with crystal"),
    ('"LiCl"', '"LiCl"\nshift = "1 angstrom"', "shift: .*only a cell with structure"),
    ('slice = ["0 angstrom", "5.1398 angstrom"]', 'shift = "1 angstrom"', "shift of a slice; give slice as well"),
    ("finer_atoms = 16", "gap_factor = 0.9", "gap_factor: .*1"),
    ('"0 angstrom"', '"6 angstrom"', "slice: .*rising"), ('"300 Ry"', '"50 Ry"', r"salts.toml:4: cutoff: .*at least 100 Ry"),
    ("finer_atoms = 16", 'functional = "B3LYP"', 'functional: read "B3LYP"; known with CP2K: PBE'),
    ("finer_atoms = 16", 'basis = "DZVP"', "basis: .*known with CP2K"),
    ("finer_atoms = 16", "finer_atoms = 900", "finer_atoms: .*150"),
    ("finer_atoms = 16", "fineratoms = 16", 'did you mean "finer_atoms"'),
])  # fmt: skip
def test_wrong_studies_are_refused_with_their_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    with pytest.raises(UserError, match=message):
        band_gap_study.read_study(written(tmp_path, STUDY.replace(old, new, 1)))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("stack.extxyz", "away.extxyz", r"\[\[cell\]\] layer: .*away.extxyz: no such"),
    ('"5.1398 angstrom"', '"90 angstrom"', r"\[\[cell\]\] layer: slice from 0 to 90"),
    ('"5.1398 angstrom"', '"2.58 angstrom"', r"\[\[cell\]\] layer: slice .*too near where its faces meet"),
    ('crystal = "LiCl"', 'crystal = "LiCl"\nfiner = [3, 3, 3]', r"\[\[cell\]\] LiCl: band gap: 216 atoms; at most 150"),
])  # fmt: skip
def test_cells_without_a_gap_are_refused_first(tmp_path: Path, program: Path, old: str, new: str, message: str) -> None:
    study = band_gap_study.read_study(written(tmp_path, STUDY.replace(old, new)))
    with pytest.raises(UserError, match=message):
        band_gap_study.plan(study)
    assert not program.exists()
