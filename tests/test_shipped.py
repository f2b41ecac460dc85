"""Every shipped potential: what its card says is what its files do."""

import json

import numpy as np
import pytest

from atomistic import assessment, dataset, potential
from atomistic.card import settings_of
from atomistic.recipe import HELD_OUT, TRAIN, jobs, read_recipe
from atomistic.structures import bulk

pytest.importorskip("symmetrix", reason="needs symmetrix")

NAMES = sorted(path.name for path in potential.SHIPPED.iterdir() if (path / potential.CARD).exists())
ELEMENTS = {
    name + teacher: elements
    for name, elements in {"lpscl": ("Li", "P", "S", "Cl"), "llzo": ("Li", "C", "H", "O", "F", "Zr", "La")}.items()
    for teacher in ("", "-sevennet")
}


def stated(name: str) -> dict:
    return json.loads((potential.SHIPPED / name / potential.CARD).read_text(encoding="utf-8"))


def test_all_are_known() -> None:
    assert set(NAMES) == set(ELEMENTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_these_weights(name: str) -> None:
    card, described = stated(name), potential.describe(name)
    assert card["sha256"] == described.sha256
    assert (card["members"], set(card["elements"])) == (described.members, set(ELEMENTS[name]))
    assert card["targets"]
    for row in card["targets"]:
        assert row["met"] == (row["found"] <= row["target"]) or row["unit"] == "ps"
    for phase in settings_of(potential.SHIPPED / name).phases:
        potential.require_elements(bulk(phase), described)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_no_pickles(name: str) -> None:
    files = [path for path in (potential.SHIPPED / name).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".toml", ".md", ".safetensors", ".h5"}
    assert not any(path.read_bytes()[:64].startswith((b"\x80", b"PK")) for path in files)
    assert sum(path.stat().st_size for path in files) < 16e6


@pytest.mark.parametrize("name", NAMES)
def test_small_held_out_crystals_have_the_errors_that_the_card_states(name: str) -> None:
    card, held_out = stated(name), dataset.read(potential.SHIPPED / name / "held_out.h5")
    assert {frame.info["family"] for frame in held_out} == set(card["held_out"]) - {assessment.ALL}
    crystals = [frame for frame in held_out if frame.info["family"] == "crystal"]
    small = {frame.info["structure"] for frame in crystals if len(frame) <= 24}
    chosen = sorted(small)[:4]
    assert len(chosen) >= 2
    frames = [frame for frame in crystals if frame.info["structure"] in chosen]
    found = assessment.errors(assessment.ask(frames, assessment.open_members(name)), key="structure")
    for structure in chosen:
        for key in ("energy_rmse_meV_per_atom", "force_rmse_meV_per_A"):
            assert found[structure][key] == pytest.approx(card["structures"][structure][key], rel=0.02, abs=0.02), structure


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_for_every_member(name: str) -> None:
    atoms = bulk(settings_of(potential.SHIPPED / name).phases[1])
    atoms.rattle(0.08, seed=1)
    for member in range(potential.describe(name).members):
        ours, reference = (
            potential.load(name, engine=engine, member=member).get_property("forces", atoms) for engine in ("symmetrix", "mace")
        )
        assert np.abs(reference).max() > 0.1
        np.testing.assert_allclose(ours, reference, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_keeps_held_out_frames_apart(name: str) -> None:
    recipe = read_recipe(potential.SHIPPED / name / "recipe.toml")
    seeds = {which: {job.seed for job in jobs(recipe) if job.task.set == which} for which in (TRAIN, HELD_OUT)}
    assert seeds[HELD_OUT]
    assert not seeds[TRAIN] & seeds[HELD_OUT]
    sets = sorted((potential.SHIPPED / name).glob("training*.h5"))
    assert all(each.stat().st_size < 5e6 for each in sets)
    learned = {frame.positions.tobytes() for each in sets for frame in dataset.read(each, checked=False)}
    assert len(learned) > 1000
    held_out = dataset.read(potential.SHIPPED / name / "held_out.h5", checked=False)
    assert not any(frame.positions.tobytes() in learned for frame in held_out)
