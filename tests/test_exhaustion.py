"""A reaction that runs out of electrolyte or metal: found, growth read off what lies before, and what is left told as such."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from test_reacted_layer import STUDIES, broken, shaken
from typer.testing import CliRunner

from atomistic import exhaustion, growth, interphase, phases, reaction_profiles, reaction_reading, reaction_study
from atomistic.dynamics import Trajectory
from coupling.record import Property
from multiscale.cli import app
from multiscale.commands import interphase as command

HALF, GROUPS, K = 5e-11, 96, 20.0
"""Time at which the electrolyte ends, s; its groups; parabolic constant, Å²/ps."""


def cut_flat() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (s) and noisy thickness (Å) of a parabola that ends at half of the run, and the groups left."""
    times = np.linspace(0, 2 * HALF, 401)
    true = np.sqrt(2 * K * 1e12 * np.minimum(times, HALF))
    noise = np.random.default_rng(1).normal(0, 0.3, len(times))
    return times, true + noise, np.round(GROUPS * (1 - true / true[-1]))


def test_the_time_is_that_of_a_tenth_left() -> None:
    """Of a parabola the last tenth of its height takes 19 % of its time; whichever reactant ends first counts."""
    times, _, groups = cut_flat()
    found = exhaustion.used_up(times, {"Li7P3S11": groups, "Li": np.linspace(800, 200, len(times))})
    assert found is not None
    assert (found.phase, found.time) == ("Li7P3S11", pytest.approx(0.81 * HALF, rel=0.02))
    metal = exhaustion.used_up(times, {"Li7P3S11": groups, "Li": np.linspace(800, -1200, len(times)).clip(0)})
    assert metal is not None
    assert (metal.phase, metal.time) == ("Li", pytest.approx(0.72 * HALF, rel=0.02))
    glitch, flicker = groups.copy(), groups.copy()
    glitch[50] = 0  # one frame in which no group is seen whole
    flicker[-30] = GROUPS / 5  # one in which some are seen again
    for spoilt in (glitch, flicker):
        one = exhaustion.used_up(times, {"Li7P3S11": spoilt})
        assert one is not None
        assert one.time == pytest.approx(found.time, rel=0.1)
    left = GROUPS - 0.88 * (GROUPS - groups)
    assert exhaustion.used_up(times, {"Li7P3S11": left, "Li": 0 * times}) is None
    left[-2:] = 0  # two last frames in which no group is seen whole have nothing after them to be held against
    assert exhaustion.used_up(times, {"Li7P3S11": left}) is None


def test_a_mean_that_looks_beyond_the_end_is_doubtful() -> None:
    """Of a run of 100 ps used up at 90 a mean about 88 looks to 100, one of the first tenth does not; older doubts stay."""
    gone = exhaustion.UsedUp("Li7P3S11", 9e-11)
    gap = {"low_confidence": "a gap"}
    told = [Property("X", "interphase_thickness", 1e-9, "m", stderr=1e-11, conditions={"time_s": about}, source=gap)
            for about in (8.8e-11, 5e-12)]  # fmt: skip
    late, early = exhaustion.marked(told, gone, 1e-10)
    assert late.confidence == "low"
    assert late.source["low_confidence"].startswith("a gap; told of what is left")
    assert early == told[1]
    window, law, whole, budget = (replace(told[1], quantity=name, conditions=where) for name, where in (
        ("onsager_coefficient", {"times_s": [7.5e-11, 1e-10]}), ("interphase_growth_k", {"until_s": 8.9e-11}),
        ("self_diffusivity_along_axis", {}), ("reaction_coefficient", {"phase": "Li"}),
    ))  # fmt: skip
    doubted = exhaustion.marked([window, law, whole, budget], gone, 1e-10)
    assert [one.confidence for one in doubted] == ["low", "computed", "low", "computed"]


def test_a_parabola_cut_flat_is_a_parabola_that_has_not_passivated() -> None:
    """As a whole it has passivated and probably two regimes; before its end it is what it was, its constant within 3 errors."""
    times, thickness, groups = cut_flat()
    gone = exhaustion.used_up(times, {"Li7P3S11": groups})
    kept = exhaustion.before(times, gone)
    assert growth.passivation(times, thickness).passivated
    assert growth.compare(times, thickness).two_regimes > 0.8
    laws, end = growth.compare(times[kept], thickness[kept]), exhaustion.late_rate(times, thickness, gone)
    assert laws.two_regimes < 0.5
    parabola = next(fit for fit in laws.fits if fit.law == "parabolic")
    assert parabola.parameters["k"] * 1e-12 == pytest.approx(K, abs=3 * parabola.stderr["k"] * 1e-12)
    slope = np.sqrt(K * 1e12 / 2 / end.middle)
    assert end.rate == pytest.approx(slope, abs=3 * end.stderr)
    assert not end.passivated
    made = interphase.records(thickness, times, laws, end, "Li|Li7P3S11", {}, {})
    by_name = {record.quantity: record for record in exhaustion.marked(made, gone, times[-1])}
    late, rate = by_name["interphase_thickness"], by_name["interphase_growth_rate"]
    assert (late.confidence, rate.confidence) == ("low", "computed")
    assert "Li7P3S11 was used up by" in late.source["low_confidence"]
    assert rate.bound is None
    assert rate.conditions["until_s"] < gone.time < late.conditions["time_s"]


def test_without_an_end_nothing_changes() -> None:
    times, thickness, _ = cut_flat()
    assert exhaustion.before(times, None).all()
    assert exhaustion.late_rate(times, thickness, None) == growth.passivation(times, thickness)
    made = interphase.records(thickness, times, None, None, "Li|Li7P3S11", {}, {})
    assert exhaustion.marked(made, None, times[-1]) == made


STEPS = 200


@pytest.fixture(scope="module")
def study() -> reaction_study.ReactionStudy:
    """Ten groups between thin lithium."""
    whole = reaction_study.trial(reaction_study.read_study(STUDIES / "reaction-li6ps5cl.toml"))
    thin = {"electrolyte_thickness": 4e-9, "metal_thickness": 1.2e-9}
    times = {"frame": 1e-14, "length": STEPS * 1e-14, "equilibration": 1e-14, "classed": 12, "window": 2e-14}
    return whole.model_copy(update={**thin, **times})


@pytest.fixture(scope="module")
def frames(study: reaction_study.ReactionStudy) -> list[Atoms]:
    """The unreacted cell, and frames whose groups break as √t until none is left at half of the run."""
    built = reaction_study.start(study)
    groups = int((built.numbers == 15).sum())
    broke = [min(groups, int(groups * np.sqrt(2 * number / STEPS))) for number in range(1, STEPS + 1)]
    return [built, *(shaken(broken(built, many), number) for number, many in enumerate(broke))]


class Named:
    """Classes that call every atom electrolyte; lithium among its own kind is told from it without them."""

    elements, names, distances = ["Li"], ["Li6PS5Cl"], [0.0]

    def __init__(self, frames: list[Atoms]) -> None:
        self.frames = frames

    def phases(self, number: int) -> np.ndarray:
        return np.full(len(self.frames[number]), "Li6PS5Cl", dtype="<U12")


@pytest.fixture
def unclassed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptors, no patterns of slices, and few looks at the order of the metal, which take long."""
    monkeypatch.setattr(phases, "classify", lambda frames, *_, **__: Named(frames))
    monkeypatch.setattr(phases, "mace_descriptors", lambda _: len)
    monkeypatch.setattr(reaction_reading, "LOOKS", 4)
    monkeypatch.setattr(reaction_reading.reacted_slices, "read", lambda *_: ([], {"slices": {}, "lines": {}}, []))


def read(study: reaction_study.ReactionStudy, frames: list[Atoms]) -> dict[str, Any]:
    built, run = frames[0], frames[1:]
    cells = np.broadcast_to(built.cell.array, (len(run), 3, 3)).copy()
    flat = np.full(len(run), 400.0)
    moved = Trajectory(built.numbers, np.array([one.positions for one in run]), cells, 10.0, 0 * flat, flat, run[-1], 0)
    return reaction_reading.read_off(study, built, moved, len, {}, {"study": "made up"}, lambda _: None)


@pytest.mark.usefixtures("unclassed")
def test_a_study_tells_when_its_electrolyte_was_used_up(study, frames: list[Atoms], tmp_path: Path) -> None:
    """The last group breaks at half of the run: no passivation, laws up to there, what is told of later is of low confidence."""
    told = read(study, frames)
    assert told["profiles"]["composition_of_interphase"] == {"reduced Li6PS5Cl": 1.0}
    assert told["profiles"]["used_up"] == {"phase": "Li6PS5Cl", "time_s": pytest.approx(1.01e-12, rel=0.02)}
    assert sum(note.startswith("Li6PS5Cl is used up: less than 10% of what was there") for note in told["notes"]) == 1
    by_name = {(one["quantity"], one["conditions"].get("part_of_run")): one for one in told["records"]}
    laws = [one for (name, part), one in by_name.items() if name.startswith("interphase_growth") and part is None]
    assert len(laws) >= 3
    assert all(0.9e-12 < one["conditions"]["until_s"] < 1.01e-12 and one["confidence"] == "computed" for one in laws)
    assert all("Li6PS5Cl is used up" in one["source"]["used_up"] for one in told["records"])
    rate = by_name["interphase_growth_rate", None]
    assert (rate["conditions"]["passivated"], rate["bound"]) == (False, None)
    assert 0.6e-12 < rate["conditions"]["time_s"] < 0.9e-12
    for name in ("interphase_thickness", "intact_phosphorus_share"):
        assert by_name[name, None]["confidence"] == "low"
        assert "was used up by 1.01 ps" in by_name[name, None]["source"]["low_confidence"]
    assert by_name["reaction_coefficient", None]["confidence"] == "computed"
    assert any(part == "first tenth" for _, part in by_name)
    drawn: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomistic.observable_pictures.curves", lambda path, *_, **how: drawn.update({path.name: how}))
        reaction_profiles.pictures(told["profiles"], tmp_path)
    assert drawn["growth.png"]["upright"] == [("Li6PS5Cl used up", pytest.approx(1.01, rel=0.02))]


@pytest.mark.usefixtures("unclassed")
def test_too_little_before_the_end_gives_no_law_and_says_so(study, frames: list[Atoms]) -> None:
    """The electrolyte is gone after eight of a hundred frames."""
    told = read(study, [frames[0], *frames[1:100:12], *frames[108:]])
    assert not any(one["quantity"].startswith("interphase_growth") for one in told["records"])
    assert any(note.startswith("before Li6PS5Cl was used up, growth law: ") for note in told["notes"])
    assert any(note.startswith("before Li6PS5Cl was used up, passivation: ") for note in told["notes"])
    thickness = next(one for one in told["records"] if one["quantity"] == "interphase_thickness")
    assert thickness["confidence"] == "low"


@pytest.mark.usefixtures("unclassed")
def test_the_command_tells_the_same(frames: list[Atoms], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_references", lambda *_: {})
    ase.io.write(tmp_path / "run.traj", frames)
    options = ("--potential", "lpscl", "--timestep", "10 fs", "--json", "--picture", str(tmp_path / "growth.png"))
    done = CliRunner().invoke(app, ["analyze", "interphase", str(tmp_path / "run.traj"), *options])
    assert done.exception is None, done.output
    other = CliRunner().invoke(app, ["analyze", "interphase", str(tmp_path / "run.traj"), *options, "--electrolyte", "LPSCl"])
    assert other.output == done.output
    told = json.loads(done.output)["interphase"]
    assert told["composition"] == {"reduced Li6PS5Cl": 1.0}
    assert told["used_up"] == {"phase": "Li6PS5Cl", "time_s": pytest.approx(1e-12, rel=0.02)}
    assert any(note.startswith("before Li6PS5Cl was used up, growth by ") for note in told["notes"])
    rate = next(one for one in told["records"] if one["quantity"] == "interphase_growth_rate")
    assert not rate["conditions"]["passivated"]
    assert rate["conditions"]["until_s"] < told["used_up"]["time_s"]
    assert (tmp_path / "growth.png").is_file()
