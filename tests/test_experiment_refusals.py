"""Fifty wrong tables of measurements and cell files: each is refused by file and line, with what was read and how to mend it."""

import csv
import io
from pathlib import Path

import pytest

from coupling.errors import UserError
from coupling.experiments import COLUMNS, read_experiments
from multiscale.comparison.cells import read_cells
from multiscale.comparison.without_cell import NAME, read_reasons

ROOT = Path(__file__).parent.parent
CELL = (ROOT / "cases" / "_comparison" / "LLZO.toml").read_text(encoding="utf-8")
LAYERED = (ROOT / "cases" / "_comparison" / "LLZO-PPC.toml").read_text(encoding="utf-8")
GOOD = {
    "id": "x1", "electrolyte": "LLZO", "interlayer": "none", "ccd_mA_cm2": "0.5", "ccd_kind": "ccd", "authors": "A., B.",
    "journal": "J", "year": "2020", "confidence": "A", "provenance": "paper",
}  # fmt: skip


def table(*rows: dict[str, str]) -> str:
    """A table of good rows, some of their cells replaced."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(GOOD | row)
    return stream.getvalue()


WRONG_CELLS = {
    "no current": ({"ccd_mA_cm2": ""}, "ccd_mA_cm2: is empty; write a number"),
    "a current of zero": ({"ccd_mA_cm2": "0"}, 'ccd_mA_cm2: read "0"; it must be above zero'),
    "a negative current": ({"ccd_mA_cm2": "-1"}, "it must be above zero"),
    "a current that is no number": ({"ccd_mA_cm2": "nan"}, "not a finite number"),
    "an infinite current": ({"ccd_mA_cm2": "inf"}, "not a finite number"),
    "a current with its unit": ({"ccd_mA_cm2": "1 mA/cm^2"}, "its unit is in the column name"),
    "a current with an error": ({"ccd_mA_cm2": "0.9 +/- 0.7"}, "write a plain number"),
    "a current with a decimal comma": ({"ccd_mA_cm2": "0,9"}, "write a plain number"),
    "a bound in the number": ({"ccd_mA_cm2": ">2"}, "write a plain number"),
    "an absurd current": ({"ccd_mA_cm2": "1e7"}, "at most 100000 (the column is in mA/cm²)"),
    "a misspelt kind": ({"ccd_kind": "cdd"}, 'ccd_kind: read "cdd"; did you mean "ccd"'),
    "no kind": ({"ccd_kind": ""}, "allowed: ccd, lower_bound, dc_short, stripping_critical, full_cell_rate"),
    "an unknown grade": ({"confidence": "D"}, "allowed: A, B, C"),
    "no grade": ({"confidence": ""}, "confidence: read"),
    "a short year": ({"year": "20"}, "write a year such as 2020"),
    "a year with words": ({"year": "in press"}, "write a year such as 2020"),
    "no electrolyte": ({"electrolyte": ""}, "electrolyte: is empty; write what the source says"),
    "no interlayer": ({"interlayer": " "}, "interlayer: is empty"),
    "no authors": ({"authors": ""}, "authors: is empty"),
    "no journal": ({"journal": ""}, "journal: is empty"),
    "no provenance": ({"provenance": ""}, "provenance: is empty"),
    "no id": ({"id": ""}, "write a name without blanks"),
    "an id with blanks": ({"id": "my cell"}, 'id: read "my cell"; write a name without blanks'),
    "a negative pressure": ({"stack_pressure_MPa": "-3"}, "it must be zero or more"),
    "a pressure in pascal": ({"stack_pressure_MPa": "5e6"}, "is this pascal?"),
    "a temperature in kelvin": ({"temperature_C": "298"}, "is this kelvin?"),
    "a temperature below zero kelvin": ({"temperature_C": "-300"}, "-273.15 or more"),
    "a temperature with its unit": ({"temperature_C": "25 C"}, "write a plain number"),
    "a resistance of zero": ({"asr_interface_ohm_cm2": "0"}, "above zero"),
    "a resistance of a range": ({"asr_interface_ohm_cm2": "10-20"}, "write a plain number"),
    "a capacity of zero": ({"half_cycle_capacity_mAh_cm2": "0"}, "above zero"),
    "a layer of no thickness": ({"interlayer": "LiF", "interlayer_thickness_nm": "0"}, "above zero"),
    "a thickness without a layer": ({"interlayer_thickness_nm": "20"}, 'the interlayer is "none"; name the layer'),
    "a link for a DOI": ({"doi": "https://doi.org/10.1/x"}, "write the DOI alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CELLS)
def test_a_wrong_cell_of_the_table_is_refused(tmp_path, name):
    cells, words = WRONG_CELLS[name]
    path = tmp_path / "t.csv"
    path.write_text(table({"id": "x0"}, cells), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_experiments(path)
    assert f"{path}:3: " in str(refusal.value)
    assert words in str(refusal.value)


WRONG_TABLES = {
    "a misspelt column": (lambda t: t.replace("ccd_kind", "ccd_knd", 1), 't.csv:1: ccd_knd: unknown column; did you mean "ccd_kin'),  # noqa: E501
    "a column too few": (lambda t: t.replace(",note", "", 1), "t.csv:1: note: this column is missing"),
    "a column twice": (lambda t: t.replace(",note", ",note,note", 1), "given twice"),
    "a measurement twice": (lambda t: t + t.splitlines()[1] + "\n", 't.csv:3: id: "x1" already stands on line 2'),
    "a cell too many": (lambda t: t.rstrip("\n") + ",more\n", "t.csv:2: 21 cells where the header has 20"),
    "a cell too few": (lambda t: t.rstrip("\n").removesuffix(",") + "\n", "t.csv:2: 19 cells where the header has 20"),
    "an open quote": (lambda t: t + '"open', "not valid CSV"),
    "an empty file": (lambda t: "", "t.csv:1: id: this column is missing"),
    "semicolons": (lambda t: t.replace(",", ";"), "unknown column"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_TABLES)
def test_a_wrong_table_is_refused(tmp_path, name):
    spoil, words = WRONG_TABLES[name]
    (tmp_path / "t.csv").write_text(spoil(table({})), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_experiments(tmp_path / "t.csv")
    assert words in str(refusal.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_experiments(tmp_path / "t.csv")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_experiments(tmp_path)
    with pytest.raises(UserError, match="no such file; it is a CSV table"):
        read_experiments(tmp_path / "none.csv")


WRONG_FILES = {
    "an unknown key": ("title        =", "titel        =", "titel: unknown key"),
    "no electrolyte": ('electrolytes = ["LLZO", "LLZTO", "LLZO:Al", "LLZO:Al small grain"]', "electrolytes = []", "electrolytes: "),  # noqa: E501
    "a bare number": ('["0 MPa", "20 MPa"]', "[0, 20]", "stack_pressure: read the bare number 0"),
    "a wrong unit": ('["10 degC", "140 degC"]', '["10 mV", "140 mV"]', "cannot be expressed in K"),
    "ends in the wrong order": ('["10 degC", "140 degC"]', '["140 degC", "10 degC"]', "the smaller end comes first"),
    "an empty range": ('["0.1 A/m^2", "5000 A/m^2"]', '["5 A/m^2", "5 A/m^2"]', "the ends must differ"),
    "a value outside its range": ('value  = "25 degC"', 'value  = "90 degC"', "value must lie in it"),
    "an assumption out of the survey": ('range  = ["18 degC", "30 degC"]', 'range  = ["18 degC", "160 degC"]', "survey.temperature"),  # noqa: E501
    "a share above one": ("range  = [0.5, 1.0]", "range  = [0.5, 1.5]", "between 0 and 1"),
    "a share of nothing": ("range  = [0.5, 1.0]", "range  = [0.0, 1.0]", "greater than 0"),
    "a surface below the geometric one": (
        "[[remark]]", '[assumed.surface_factor]\nvalue = 1.0\nrange = [0.5, 2.0]\nsource = "x"\n[[remark]]',
        "greater than or equal to 1",
    ),
    "voids that are not asked for": (
        "[case.protocol]", '[case.voiding]\nvoids = "Li-voids"\n[case.protocol]', 'add "voiding", or leave that table out'
    ),
    "no reason": ('source = "room temperature"', 'source = ""', "source: "),
    "no assumption": ("[assumed.stack_pressure]", "[assumed.pressure]", "pressure: unknown key"),
    "an unknown material": ('material       = "LLZO"', 'material       = "LLZZ"', 'unknown material "LLZZ"; did you mean "LLZO"'),
    "a cell that cannot be drawn": ('grain_size     = "10 um"', 'grain_size     = "100 um"', "grain_size"),
    "an unknown flaw": ('kind        = "crack"', 'kind        = "void"', "allowed: 'crack'"),
    "an order of its own": (
        "[case.protocol]", '[case.properties.use]\n"LLZO.youngs_modulus" = "measured"\n[case.protocol]', "leave this table out"
    ),
    "molecular dynamics": (
        "[case.protocol]",
        '[case.atomistic]\npotential = "lpscl"\nquality = "quick"\nphases = ["LLZO"]\ndisorder = 0.0\nseed = 1\n[case.protocol]',
        "leave it out",
    ),
    "a thickness without a layer": (
        "[[remark]]", '[assumed.interlayer_thickness]\nvalue = "1 nm"\nrange = ["1 nm", "2 nm"]\nsource = "x"\n[[remark]]',
        "leave it out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_cell_file_is_refused(tmp_path, name):
    old, new, words = WRONG_FILES[name]
    assert old in CELL
    path = tmp_path / "mine.toml"
    path.write_text(CELL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_cells(tmp_path)
    assert f"{path}:" in str(refusal.value)
    assert words in str(refusal.value)


def test_a_layer_needs_its_thickness_and_two_cells_must_differ(tmp_path):
    start = LAYERED.index("[assumed.interlayer_thickness]")
    (tmp_path / "a.toml").write_text(LAYERED[:start] + LAYERED[LAYERED.index("[case]") :], encoding="utf-8")
    with pytest.raises(UserError, match="interlayer_thickness: read nothing; say which thickness is assumed"):
        read_cells(tmp_path)
    (tmp_path / "a.toml").write_text(CELL, encoding="utf-8")
    (tmp_path / "b.toml").write_text(CELL, encoding="utf-8")
    with pytest.raises(UserError, match=r'"LLZO" with "none" is already what .*a\.toml stands for'):
        read_cells(tmp_path)
    with pytest.raises(UserError, match="no cell file"):
        read_cells(tmp_path / "empty")


WRONG_REASONS = {
    "an unknown measurement": ("id,why\nccd1,because\n", 'without_cell.csv:2: id: no measurement "ccd1" in t.csv; did you mean'),
    "a measurement twice": ("id,why\nx1,because\nx1,again\n", "without_cell.csv:3: id: x1 stands there twice"),
    "no reason": ("id,why\nx1, \n", "without_cell.csv:2: read 2 cells; write an id and a reason"),
    "a comma without quotes": ("id,why\nx1,first, second\n", "without_cell.csv:2: read 3 cells"),
    "other columns": ("id,reason\nx1,because\n", "without_cell.csv:1: read id,reason; the columns are id,why"),
    "an empty file": ("", "without_cell.csv:1: read nothing"),
}


@pytest.mark.parametrize("name", WRONG_REASONS)
def test_a_wrong_file_of_reasons_is_refused(tmp_path, name):
    text, words = WRONG_REASONS[name]
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        read_reasons(tmp_path / "t.csv", ["x1", "ccd11"])
    assert words in str(refusal.value)
