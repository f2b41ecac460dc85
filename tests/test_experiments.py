"""The table of measured critical currents: what it holds, and how a wrong row is refused."""

import csv
import io
from pathlib import Path

import pytest

from coupling.errors import UserError
from coupling.experiments import COLUMNS, KINDS, for_electrolyte, of_kind, read_experiments

TABLE = Path(__file__).parent.parent / "cases" / "_experiments" / "ccd.csv"


def text_with(**cells: str) -> str:
    """The header and one good row, some of its cells replaced."""
    good = {
        "id": "x1", "electrolyte": "Li6PS5Cl", "interlayer": "none", "ccd_mA_cm2": "0.5", "ccd_kind": "ccd", "authors": "A., B.",
        "journal": "J", "year": "2020", "confidence": "A", "provenance": "paper",
    }  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow(good | cells)
    return stream.getvalue()


def read_text(folder: Path, text: str):
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return read_experiments(path)


def test_every_cell_of_the_shipped_table_is_kept():
    rows = read_experiments(TABLE)
    with TABLE.open(encoding="utf-8", newline="") as stream:
        raw = list(csv.DictReader(stream))
    assert len(rows) == len(raw) > 30
    for row, cells in zip(rows, raw, strict=True):
        for name, cell in cells.items():
            value = getattr(row, name)
            if cell == "" and not isinstance(value, str):
                assert value is None, (row.id, name)
            else:
                assert value == (type(value)(cell)), (row.id, name)


def test_rows_are_found_by_electrolyte_and_kind():
    rows = read_experiments(TABLE)
    argyrodite = for_electrolyte(rows, " li6ps5cl")
    assert {row.id for row in argyrodite} == {"ccd41", "ccd42", "ccd45", "ccd46", "ccd48", "ccd49", "ccd50"}
    assert {row.id for row in of_kind(argyrodite, "stripping_critical")} == {"ccd41", "ccd42"}
    assert not of_kind(argyrodite, "ccd")
    assert sum(len(of_kind(rows, kind)) for kind in KINDS) == len(rows)
    assert {row.id for row in argyrodite if row.is_bare} == {"ccd41", "ccd42", "ccd46"}


def test_a_good_row_is_read(tmp_path):
    (row,) = read_text(tmp_path, text_with(temperature_C="-10", note="held, then shorted"))
    assert (row.ccd_mA_cm2, row.temperature_C, row.stack_pressure_MPa, row.year) == (0.5, -10.0, None, 2020)
    assert row.note == "held, then shorted"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"ccd_mA_cm2": ""}, ":2: ccd_mA_cm2: is empty"),
        ({"ccd_mA_cm2": "0"}, ":2: ccd_mA_cm2: "),
        ({"ccd_mA_cm2": "-1"}, "above zero"),
        ({"ccd_mA_cm2": "nan"}, "not a finite number"),
        ({"ccd_mA_cm2": "1 mA/cm^2"}, "plain number"),
        ({"ccd_kind": "cdd"}, 'did you mean "ccd"'),
        ({"confidence": "D"}, "allowed: A, B, C"),
        ({"year": "20"}, ":2: year: "),
        ({"stack_pressure_MPa": "-3"}, "zero or more"),
        ({"electrolyte": ""}, ":2: electrolyte: is empty"),
        ({"interlayer": ""}, ":2: interlayer: is empty"),
    ],
)
def test_a_wrong_cell_is_refused_by_file_line_and_column(tmp_path, cells, words):
    with pytest.raises(UserError) as refusal:
        read_text(tmp_path, text_with(**cells))
    assert words in str(refusal.value)
    assert str(tmp_path / "t.csv:2") in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.replace("ccd_kind", "ccd_knd", 1), 't.csv:1: ccd_knd: unknown column; did you mean "ccd_kind"'),
        (lambda t: t.replace(",note", "", 1), "t.csv:1: note: this column is missing"),
        (lambda t: t.replace(",note", ",note,note", 1), "given twice"),
        (lambda t: t + t.splitlines()[1] + "\n", 't.csv:3: id: "x1" already stands on line 2'),
        (lambda t: t.rstrip("\n") + ",one more\n", "t.csv:2: 21 cells where the header has 20"),
        (lambda t: t + '"open', "not valid CSV"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, spoil, words):
    with pytest.raises(UserError) as refusal:
        read_text(tmp_path, spoil(text_with()))
    assert words in str(refusal.value)


def test_the_line_is_right_below_a_text_of_two_lines(tmp_path):
    first = text_with(note="two\nlines")
    second = text_with(id="x2", year="x").splitlines()[1]
    with pytest.raises(UserError, match=r"t\.csv:4: year"):
        read_text(tmp_path, first + second + "\n")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file"):
        read_experiments(tmp_path / "none.csv")
