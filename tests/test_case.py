"""Bad input: one line each that names file, key and line and says how to mend it."""

import shutil
from pathlib import Path

import pytest

from coupling.errors import UserError
from coupling.library import find_material, read_material
from multiscale.case import json_schema, load_case
from multiscale.pipeline import validate_all

CASE = Path(__file__).resolve().parent.parent / "cases" / "li-lpscl"
MATERIALS = CASE.parent / "_materials"
USE = '[properties.use]\n"Li6PS5Cl.youngs_modulus"'


@pytest.fixture
def edited(tmp_path):
    """Copy of the case with one text replaced."""

    def edit(old: str, new: str) -> Path:
        text = (CASE / "case.toml").read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the case"
        (tmp_path / "case.toml").write_text(text.replace(old, new), encoding="utf-8")
        return tmp_path

    return edit


def line_of(text: str, folder: Path) -> int:
    lines = (folder / "case.toml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


RANGE = 'depth_range = ["0.3 um", "1.5 um"]'
SECOND_FLAW = """[[geometry.flaw]]  # second
kind = "crack"
depth = "1 um"
mouth = "20 nm"
at = "grain"
source = "none"
"""
BAD = [
    ("grain_size     =", "grainsize      =", "grainsize", "geometry.electrolyte.grainsize", 'did you mean "grain_size"'),
    ('thickness      = "4 um"', "thickness      = 4", "thickness      = 4", "geometry.electrolyte.thickness", "bare number 4"),
    ('thickness  = "20 nm"', 'thickness  = "20 MPa"', "20 MPa", "geometry.interlayer.thickness", "cannot be expressed in m"),
    ('thickness  = "20 nm"', 'thickness  = "-20 nm"', "-20 nm", "geometry.interlayer.thickness", "must be above 0 m"),
    ('width     = "6 um"', 'width     = "nan um"', "nan um", "geometry.width", "not a finite number"),
    ('width = "10 nm"', 'widht = "10 nm"', "widht", "geometry.electrolyte.grain_boundary.widht", 'did you mean "width"'),
    ('material   = "Li6PS5Cl-interphase"', 'material   = "Li6PS5Cl-x"', "Cl-x", "geometry.interlayer.material", "did you mean"),
    ("disorder  = 0.25", "disorder  = 1.5", "disorder", "atomistic.disorder", "between 0 and 1"),
    ('mechanisms    = ["initiation"]', 'mechanisms    = ["magic"]', "magic", "physics.mechanisms", "allowed"),
    ("designs         = 48", 'designs         = "48"', '"48"', "uncertainty.designs", "a whole number, without quotes"),
    ("level           = 0.90", "level           = 90", "= 90", "uncertainty.level", "less than or equal to 0.99"),
    (
        RANGE,
        'depth_range = ["3 um", "4 um"]',
        "depth_range",
        "geometry.flaw.depth_range",
        'read ["3 um", "4 um"]; depth must lie',
    ),
    (RANGE, 'depth_range = ["1.5 um"]', "depth_range", "geometry.flaw.depth_range", 'read ["1.5 um"]; too few values'),
    ("[interface]", f"{SECOND_FLAW}\n[interface]", "# second", "geometry.flaw", "2 are given; at most 1 is allowed"),
    ('mouth       = "20 nm"', 'mouth       = "0.001 nm"', "0.001 nm", "geometry.flaw.mouth", "must be at least 0.3 nm"),
    ('maximum = "100 mA/cm^2"', 'maximum = "1e-6 mA/cm^2"', "maximum", "protocol.maximum", "above first"),
    ('metal           = "Li"', "metal           = 3", "metal", "interface.metal", "read 3; write a text in quotes"),
    ("lines_flaw = true", 'lines_flaw = "true"', "lines_flaw", "geometry.interlayer.lines_flaw", "without quotes"),
    ('phases    = ["Li6PS5Cl", "Li3P", "Li2S", "LiCl", "Li"]', "phases    = []", "phases", "atomistic.phases", "at least 1"),
]


@pytest.mark.parametrize(("old", "new", "on_line", "key", "said"), BAD, ids=[row[1] for row in BAD])
def test_bad_input_names_file_line_and_key(edited, old, new, on_line, key, said):
    folder = edited(old, new)
    with pytest.raises(UserError) as caught:
        load_case(folder)
    complaint = str(caught.value)
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert complaint.startswith(f"{folder}/case.toml:{line_of(on_line, folder)}: {key}: ")


UNFIT = [
    (
        'width = "10 nm" }',
        'width = "0.5 um" }',
        "0.5 um",
        "geometry.electrolyte.grain_boundary.width",
        '"0.5 um"; at most 200 nm',
    ),
    ('mouth       = "20 nm"', 'mouth       = "3 um"', "mouth", "geometry.flaw.mouth", 'read "3 um"; at most 150 nm, half of the'),
    ('width     = "6 um"', 'width     = "6 mm"', "6 mm", "geometry.width", 'read "6 mm"; the cell needs about'),
    ('"0.3 um", "1.5 um"', '"0.3 um", "3.9 um"', "3.9 um", "geometry.flaw.depth_range", 'read ["0.3 um", "3.9 um"]; at most'),
    ('thickness  = "20 nm"', 'thickness  = "2 um"', "2 um", "geometry.interlayer.thickness", "a quarter of the cell's width"),
    ('temperature    = "25 degC"', 'temperature    = "60 degC"', "60 degC", "conditions.temperature", "known at 25 degC only"),
    (
        'metal           = "Li"',
        'metal           = "Li6PS5Cl"',
        "metal",
        "interface.metal",
        "creep_reference_rate of Li6PS5Cl is not",
    ),
    ('material       = "Li6PS5Cl"', 'material = "Li"', 'material = "Li"', "geometry.electrolyte.material", "of Li is not known"),
    ("[uncertainty]", f"{USE} = 'measured'\n[uncertainty]", "'measured'", "properties.use.Li6PS5Cl.youngs_modulus", "known: "),
    ('potential = "lpscl"', 'potential = "lpsc"', "lpsc", "atomistic.potential", "lpscl"),
    ('["Li6PS5Cl", "Li3P"', '["Li6PS5C", "Li3P"', '"Li6PS5C"', "atomistic.phases", "did you mean 'Li6PS5Cl'"),
    ('["Li6PS5Cl", "Li3P"', '["Li3P", "Li3P"', "Li3P", "atomistic.phases", "none twice"),
]


@pytest.mark.parametrize(("old", "new", "on_line", "key", "said"), UNFIT, ids=[row[1] for row in UNFIT])
def test_what_cannot_be_computed_names_file_line_and_key(edited, old, new, on_line, key, said):
    folder = edited(old, new)
    with pytest.raises(UserError) as caught:
        validate_all(load_case(folder))
    complaint = str(caught.value)
    assert said in complaint
    assert complaint.startswith(f"{folder}/case.toml:{line_of(on_line, folder)}: {key}: ")


def test_an_unknown_phase_of_a_mixture_is_told_where_it_stands(edited, tmp_path):
    folder = edited('question = "', 'question = " ')
    (folder / "materials").mkdir()
    text = (MATERIALS / "Li6PS5Cl-interphase.toml").read_text()
    path = folder / "materials" / "Li6PS5Cl-interphase.toml"
    path.write_text(text.replace('"Li2S", moles', '"Li2SO", moles'))
    line = next(number for number, row in enumerate(path.read_text().splitlines(), start=1) if "components" in row)
    with pytest.raises(UserError, match='unknown material "Li2SO"; did you mean "Li2S"') as caught:
        load_case(folder)
    assert str(caught.value).startswith(f"{path}:{line}: mixture.components.material: ")


def test_a_key_given_twice(edited):
    folder = edited('width     = "6 um"', 'width     = "4 um"\nwidth = "5 um"')
    with pytest.raises(UserError, match=r"case\.toml:8: not valid TOML.*only once"):
        load_case(folder)


def test_a_missing_key(edited):
    folder = edited('stack_pressure = "5 MPa"', "")
    with pytest.raises(UserError, match=r"conditions\.stack_pressure: this key is missing"):
        load_case(folder)


def test_what_is_no_case(tmp_path):
    with pytest.raises(UserError, match="no such case folder"):
        load_case(tmp_path / "none")
    with pytest.raises(UserError, match="not a case folder"):
        load_case(tmp_path)


def test_an_override_must_name_a_material(edited):
    folder = edited("[uncertainty]", '[properties.use]\n"Li6PS5.ionic_conductivity" = "measured"\n\n[uncertainty]')
    with pytest.raises(UserError, match='did you mean "Li6PS5Cl"'):
        load_case(folder)


def test_the_hash_follows_the_material_files(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    shutil.copy(CASE / "case.toml", folder)
    shutil.copytree(MATERIALS, folder / "materials")
    before = load_case(folder).digest
    assert load_case(folder).digest == before
    path = folder / "materials" / "Li3P.toml"
    path.write_text(path.read_text().replace("0.01 S/m", "0.02 S/m"))
    assert load_case(folder).digest != before


@pytest.mark.parametrize("path", sorted(MATERIALS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_material_reads_and_is_sourced(path):
    material = read_material(path)
    assert material.name == path.stem
    assert all(p.source["reference"] and p.source["grade"] in "ABC" for p in material.properties)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('quantity = "youngs_modulus"', 'quantity = "young_modulus"', "did you mean"),
        ('value = "77 GPa"', 'value = "77 S/m"', "cannot be expressed in Pa"),
        ('value = "77 GPa"', "value = 77", 'bare number 77; write it with its unit in quotes, for example "77 Pa"'),
        ('source = "Lin et al. 2013; Altorfer 1992"', 'source = ""', "source"),
    ],
)
def test_bad_material_files(tmp_path, old, new, said):
    text = (MATERIALS / "Li2S.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "Li2S.toml").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=said) as caught:
        find_material("Li2S", [tmp_path])
    assert f"{tmp_path}/Li2S.toml:" in str(caught.value)


def test_the_schema_knows_every_table():
    assert {"geometry", "conditions", "uncertainty", "protocol"} <= set(json_schema()["properties"])
