"""`multiscale potential …`: sample, train, test, card and list as a user calls them."""

import json
from pathlib import Path

import pytest
from launch import multiscale

from atomistic import dataset, potential
from atomistic.label_settings import LabelSettings
from multiscale import shipped_records

pytest.importorskip("torch", reason="needs torch")

RECIPE = """
name = "tiny"
seed = 1
driver = "teacher"
validation_every = 3
max_force = 25.0
[fit]
atoms_per_batch = 16
[[member]]
seed = 1
channels = 16
r_max = 4.0
radial_basis = 4
radial_layers = [8]
readout_width = 4
epochs = 2
[[structure]]
id = "LiCl"
kind = "crystal"
name = "LiCl"
[[task]]
method = "rattle"
family = "crystal"
structures = ["LiCl"]
copies = 3
frames = 1
[[task]]
set = "test"
method = "rattle"
family = "crystal"
structures = ["LiCl"]
frames = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize("command", ["sample", "train", "test", "card", "list"])
def test_help_has_an_example(command: str) -> None:
    done = multiscale("potential", command, "--help")
    assert done.returncode == 0
    assert f"multiscale potential {command}" in done.stdout


def test_from_a_recipe_to_a_potential_with_held_out_errors(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="needs chgnet")
    out = tmp_path / "out"
    sampled = multiscale("potential", "sample", recipe, "--out", out, "--json", timeout=280.0)
    assert sampled.returncode == 0, sampled.stderr
    sets = json.loads(sampled.stdout)["sets"]
    assert [(Path(row["path"]).name, row["frames"]) for row in sets] == [("training.h5", 3), ("held_out.h5", 1)]
    assert [level.code for level in dataset.settings(out / "training.h5").values()] == ["CHGNet"]
    held_out = ("--held-out", out / "held_out.h5")
    dataset.write(out / "more.h5", dataset.read(out / "held_out.h5"), dataset.settings(out / "held_out.h5"))
    sets = ("--set", out / "training.h5", "--set", out / "more.h5")
    trained = multiscale("potential", "train", recipe, *sets, "--out", out, *held_out, "--json", timeout=280.0)
    assert "WARNING" not in trained.stderr, trained.stderr
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout)
    assert answer["frames"] == 4
    assert answer["held_out"]["crystal"]["frames"] == 1
    assert "epoch 2/2: loss" in trained.stderr
    folder = Path(answer["potential"])
    assert (folder / "recipe.toml").read_text() == RECIPE
    assert json.loads((folder / "card.json").read_text())["held_out"] == answer["held_out"]
    assert json.loads((folder / "card.json").read_text())["data"]["training"]["frames"] == 4
    assert "Not measured yet" in (folder / "card.md").read_text()
    again = multiscale("potential", "train", recipe, *sets, "--out", out, *held_out, "--json", timeout=280.0)
    assert json.loads(again.stdout) == answer
    assert "epoch" not in again.stderr


def test_errors_of_a_shipped_potential_on_a_set(tmp_path: Path) -> None:
    frames = [frame for frame in dataset.read(potential.SHIPPED / "lpscl" / "held_out.h5") if len(frame) <= 16][:2]
    dataset.write(tmp_path / "set.h5", frames, LabelSettings("CHGNet", "0.3.0"))
    done = multiscale("potential", "test", "lpscl", tmp_path / "set.h5", "--json", timeout=280.0)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["frames"] == len(frames)
    assert found["mean"] == found["members"][0] or len(found["members"]) > 1
    assert 0 < found["mean"]["all"]["force_rmse_meV_per_A"] < 150


def test_list_keeps_its_keys() -> None:
    rows = json.loads(multiscale("potential", "list", "--json").stdout)
    keys = {"name", "elements", "members", "force_rmse_meV_per_A", "energy_rmse_meV_per_atom", "size_bytes"}
    assert all(keys | {"targets", "teacher", "shipped_records"} == set(row) for row in rows)
    told = {row["name"]: row["shipped_records"] for row in rows}
    assert told["lpscl"] == sum(len(one.records) for one in shipped_records.everything() if one.potential == "lpscl")
    assert ("lpscl", "CHGNet 0.3.0") in {(row["name"], row["teacher"]) for row in rows}


HELD_OUT = str(potential.folder_of("lpscl") / "held_out.h5")
WRONG = {
    "no set": (("train", "{recipe}", "--out", "{out}"), "training.h5: not there yet; `multiscale potential sample"),
    "two sets": (("train", "a.h5", "--set", "b.h5", "--out", "{out}"), "is a training set already"),
    "seen frames": (("train", "{recipe}", "--set", HELD_OUT, "--held-out", HELD_OUT, "--out", "{out}"), "frames of the fit tell"),
    "seen frames of a card": (
        ("card", "lpscl", "--held-out", HELD_OUT, "--training", HELD_OUT),
        "frames of the fit tell nothing",
    ),
    "no recipe": (("sample", "none.toml", "--out", "{out}"), "none.toml: not readable as a recipe"),
    "no such set": (("test", "lpscl", "none.h5"), "none.h5: no such file"),
    "no such potential": (("card", "lpslc", "--held-out", "none.h5"), "did you mean 'lpscl'"),
    "no folder": (("card", "sevennet", "--held-out", "none.h5"), "'sevennet' is made elsewhere and has no folder"),
    "unknown measurement": (("card", "lpscl", "--held-out", "none.h5", "--measure", "erors"), "known are errors, rest"),
    "unknown phase": (("card", "lpscl", "--held-out", "none.h5", "--phases", "Li,Li2Z"), "unknown phase 'Li2Z'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_line_and_status_2(name: str, recipe: Path, tmp_path: Path) -> None:
    arguments, message = WRONG[name]
    places = {"{recipe}": str(recipe), "{out}": str(tmp_path / "out")}
    done = multiscale("potential", *(places.get(word, word) for word in arguments))
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr
