"""The Python API: five lines, the same checks and answers as the commands, mistakes told with their key."""

import json

import numpy as np
import pytest
import tiny_case
from launch import multiscale

from coupling.errors import UserError
from multiscale import api

DEEPER = {"geometry.flaw.depth": "0.5 um", "uncertainty.samples": np.int64(300)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    tiny_case.write(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def case(home):
    return api.load(home / "tiny")


@pytest.fixture(scope="module")
def answer(home, case):
    return case.change(DEEPER).run(home / "deeper", md=False)


def test_a_change_makes_a_new_case_and_leaves_the_old_one_alone(home, case):
    before = (home / "tiny" / "case.toml").read_bytes()
    deeper = case.change(DEEPER)
    assert deeper.settings.geometry.flaw[0].depth == pytest.approx(0.5e-6)
    assert deeper.settings.uncertainty.samples == 300
    assert case.settings.geometry.flaw[0].depth == pytest.approx(0.4e-6)
    assert (deeper.is_changed, case.is_changed) == (True, False)
    assert (home / "tiny" / "case.toml").read_bytes() == before
    assert not (home / "tiny" / "results").exists()


def test_keys_can_be_removed_and_reached_by_number(case):
    assert case.change({"geometry.interlayer": None}).settings.geometry.interlayer is None
    assert case.change({"geometry.flaw.0.mouth": "50 nm"}).settings.geometry.flaw[0].mouth == pytest.approx(50e-9)
    used = case.change({'properties.use."Li6PS5Cl.youngs_modulus"': "measured"})
    assert used.settings.properties.use == {"Li6PS5Cl.youngs_modulus": "measured"}


BAD = [
    ({"geometry.flaw.depht": "1 um"}, 'geometry.flaw.depht: unknown key; did you mean "depth"'),
    ({"geometry.flaw.depth": 4e-7}, "geometry.flaw.depth: read the bare number 4e-07"),
    ({"geometry.flaw.depth": "1 s"}, 'geometry.flaw.depth: read "1 s", which cannot be expressed in m'),
    ({"geometry.flaw.depth": "9 um"}, "geometry.flaw.depth_range: "),
    ({"geometry.width.a": 1}, "geometry.width.a: geometry.width holds one value"),
    ({"geometry.flaw.3.depth": "1 um"}, "geometry.flaw.3: there are 1 entries, numbered from 0"),
    ({"geometry.electrolyte.material": "Li6PS5C"}, 'geometry.electrolyte.material: unknown material "Li6PS5C"; did you mean'),
    ({"title": object()}, "title: read <object"),
    ({"physics": None}, "physics: this key is missing"),
    ({"": 1}, "read an empty key"),
]


@pytest.mark.parametrize(("changes", "said"), BAD, ids=[row[1][:30] for row in BAD])
def test_a_wrong_change_is_told_with_its_key(case, changes, said):
    with pytest.raises(UserError) as caught:
        case.change(changes)
    assert said in str(caught.value)
    assert "/tmp" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_answer_is_that_of_the_command(home, answer):
    done = multiscale("ccd", home / "deeper", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ccd"] == answer.ccd
    assert told["error_split"] == answer.error_split
    assert answer.ccd["low"] < answer.ccd["value"] < answer.ccd["high"]
    assert f"{answer.ccd['value']:.3g} mA/cm^2" in str(answer)


def test_an_answer_is_read_whole(home, answer):
    assert len(answer.samples) == 300
    assert np.median(answer.samples) == pytest.approx(answer.ccd["value"], rel=1e-4)
    assert answer.records == []
    assert any(row["key"] == "Li6PS5Cl.fracture_toughness" and row["source"] for row in answer.parameters)
    field = answer.fields
    assert field.points[:, 0].max() == pytest.approx(2e-6)
    assert answer.report().is_file()
    again = api.read_answer(home / "deeper")
    assert again.summary["hashes"] == answer.summary["hashes"]
    assert api.load(home / "deeper").answer().ccd == answer.ccd


def test_what_there_is_not_is_told(answer, case):
    with pytest.raises(UserError, match="pictures: ccd, current"):
        answer.plot("crack")
    with pytest.raises(UserError, match="used no molecular dynamics"):
        answer.plot("diffusivity")
    with pytest.raises(UserError, match='no table "time_series"; tables of this run: none'):
        answer.table("time_series")
    with pytest.raises(UserError, match="not there yet"):
        case.answer()
    with pytest.raises(UserError, match="is changed: run"):
        case.change(DEEPER).answer()


@pytest.mark.parametrize("what", [None, "ccd", "current", "potential"])
def test_pictures(answer, tmp_path, what):
    picture = answer.plot(what)
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert picture.save(tmp_path / "it.svg").read_text().startswith("<?xml")


def test_a_run_goes_on_and_a_folder_of_another_case_is_left_alone(home, case, answer, capsys):
    again = case.change(DEEPER).run(home / "deeper", md=False)
    assert "the reference solution is there already" in capsys.readouterr().out
    assert again.ccd == answer.ccd
    with pytest.raises(UserError, match="holds another case"):
        case.write(home / "deeper")
    (home / "other").mkdir()
    (home / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        case.write(home / "other")


def test_stale_answers_are_refused(home, answer, tmp_path):
    api.load(home / "deeper").write(tmp_path / "copy")
    (tmp_path / "copy" / "results").mkdir()
    told = dict(answer.summary) | {"hashes": answer.summary["hashes"] | {"case": "0" * 16}}
    (tmp_path / "copy" / "results" / "summary.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match="has changed since"):
        api.load(tmp_path / "copy").answer()


def test_an_own_material_goes_with_the_case(case, tmp_path):
    text = (tiny_case.CASE.parent / "_materials" / "Li6PS5Cl.toml").read_text(encoding="utf-8")
    name = next(line for line in text.splitlines() if line.startswith("name"))
    (tmp_path / "Mine.toml").write_text(text.replace(name, 'name = "Mine"'), encoding="utf-8")
    (tmp_path / "Other.toml").write_text(text.replace(name, 'name = "Mine"'), encoding="utf-8")
    mine = case.with_material(tmp_path / "Mine.toml").change({"geometry.electrolyte.material": "Mine"})
    assert any(row["key"].startswith("Mine.") for row in mine.check(md=False))
    written = mine.write(tmp_path / "written")
    assert (written / "materials" / "Mine.toml").is_file()
    assert multiscale("check", written).returncode == 0
    with pytest.raises(UserError, match="it must be the file's own name"):
        case.with_material(tmp_path / "Other.toml")
    with pytest.raises(UserError, match="no such file"):
        case.with_material(tmp_path / "None.toml")


def test_other_kinds_of_case_load_and_tell_what_they_lack():
    for folder in sorted(tiny_case.CASE.parent.glob("*/case.toml")):
        loaded = api.load(folder.parent)
        assert loaded.name == folder.parent.name
    with pytest.raises(UserError, match="a transport case has no critical current"):
        _ = api.Answer(tiny_case.CASE, {"kind": "transport"}).ccd
