"""Collective conductivity and Haven ratio of a diffusion run: known walks, bounds, records."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from scipy.signal import lfilter

from atomistic import reduction, tasks
from atomistic.pooling import over_members
from atomistic.scheduler import Task
from coupling.arrhenius import EXCEEDS, Point, RoomValue
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE, ROOM_TEMPERATURE
from coupling.record import Property

D = 2e-9
"""Self-diffusivity of the walkers, m²/s."""
ALIKE = 0.5
"""Covariance of the steps of two ions over the variance of one: the charge diffuses 1 + (N - 1) · 0.5 times as fast."""
RUN = Task("key", "Li2S diffusion", 1.0, "diffusion", {
    "phase": "Li2S", "mobile": "Li", "temperature": 600.0, "seed": 1, "dtype": "float32",
})  # fmt: skip
ANSWER = {"atoms": 9, "picoseconds": 40.0, "hops": 99, "reason": "", "cell": ""}


def walk(shared: float, frames: int = 4000, frame: float = 40.0, seed: int = 7) -> SimpleNamespace:
    """Run of six ions whose steps have a covariance `shared`, and a framework of three atoms that lies still."""
    rng = np.random.default_rng(seed)
    width = np.sqrt(2 * D * 1e5 * frame)  # Å, of a step along one axis (1 m²/s is 1e5 Å²/fs)
    steps = np.sqrt(1 - shared) * rng.standard_normal((frames, 6, 3)) + np.sqrt(shared) * rng.standard_normal((frames, 1, 3))
    positions = np.concatenate([np.cumsum(width * steps, axis=0), np.zeros((frames, 3, 3))], axis=1)
    return SimpleNamespace(positions=positions, final=Atoms("Li6S3", positions[-1], cell=np.eye(3) * 10, pbc=True),
                           frame_interval=frame, temperatures=np.full(frames, 600.0))  # fmt: skip


@pytest.mark.parametrize(("shared", "factor"), [(0.0, 1.0), (ALIKE, 1 + 5 * ALIKE)])
def test_walkers_give_conductivity_and_haven_ratio(shared: float, factor: float) -> None:
    """Independent ions: Nernst–Einstein, H_R = 1. Ions that go together: the charge is faster by the stated factor."""
    found = tasks._collective(walk(shared), "Li")["collective"]
    assert found["bound"] is None
    assert abs(found["diffusivity"] - factor * D) < 3 * found["diffusivity_stderr"]
    expected = 6 / 1e-27 * ELEMENTARY_CHARGE**2 * factor * D / (BOLTZMANN * 600.0)
    assert abs(found["value"] - expected) < 3 * found["stderr"]
    point = Point(600.0, D, 0.05 * D)
    runs = [(RUN, ANSWER | {"collective": found})]
    records = reduction._collective("Li2S", runs, point, {"temperature_K": 600.0}, {"potential": "p"})
    assert [record.quantity for record in records] == ["ionic_conductivity", "haven_ratio"]
    assert records[1].stderr is not None
    assert abs(records[1].value - 1 / factor) < 3 * records[1].stderr
    assert records[1].source["method"] == "self-diffusivity over charge diffusivity"
    assert records[0].conditions == {"temperature_K": 600.0, "species": "Li"}


def test_ions_that_rattle_between_their_hops_have_no_ratio_below_one() -> None:
    """Independent ions in cages (0.8 Å, relaxed in 1 ps): D within three errors (which grow with the value), or a bound."""
    run = walk(0.0, 1500)
    rng, decay = np.random.default_rng(11), np.exp(-40.0 / 1000.0)
    cage = lfilter([0.8 * (1 - decay**2) ** 0.5], [1, -decay], rng.standard_normal((1500, 6, 3)), axis=0)
    run.positions = run.positions + np.concatenate([cage, np.zeros((1500, 3, 3))], axis=1)
    found = tasks._collective(run, "Li").get("collective")
    if found is not None and found["bound"] is None:
        assert abs(found["diffusivity"] / D - 1) < 3 * found["diffusivity_stderr"] / found["diffusivity"]


def test_ions_that_rattle_give_a_bound_and_no_ratio() -> None:
    """Positions that scatter about their sites: an upper bound of the conductivity."""
    run = walk(0.0)
    run.positions = np.random.default_rng(3).normal(0, 0.1, run.positions.shape) + run.positions[:1]
    found = tasks._collective(run, "Li")["collective"]
    assert (found["bound"], found["stderr"]) == ("upper", None)
    point = Point(600.0, D, bound="upper")
    records = reduction._collective("Li2S", [(RUN, ANSWER | {"collective": found})], point, {}, {"potential": "p"})
    assert [(record.quantity, record.bound) for record in records] == [("ionic_conductivity", "upper")]


def test_a_metal_and_runs_of_before_give_nothing() -> None:
    """No framework, no charge of its own; an answer without the numbers gives no record."""
    run = walk(0.0)
    run.positions, run.final = run.positions[:, :6], run.final[:6]
    assert tasks._collective(run, "Li") == {}
    assert reduction._collective("Li2S", [(RUN, ANSWER)], Point(600.0, D, 0.1 * D), {}, {"potential": "p"}) == []


def test_several_runs_are_weighted() -> None:
    """Two runs of one length, whose relative errors are alike: their plain mean; a bound beside them is dropped."""
    one = {"value": 1.0, "stderr": 0.1, "bound": None, "reason": "", "diffusivity": D, "diffusivity_stderr": 0.1 * D}
    other = one | {"value": 2.0, "stderr": 0.2}
    loose = one | {"value": 50.0, "bound": "upper", "stderr": None}
    runs = [(RUN, ANSWER | {"collective": each}) for each in (one, other, loose)]
    found = reduction._collective("Li2S", runs, Point(600.0, D, bound="upper"), {}, {"potential": "p"})
    assert found[0].value == pytest.approx(1.5)
    assert found[0].stderr == pytest.approx(0.1 * 1.5 / 2**0.5)
    assert len(found) == 1


def test_one_estimate_of_two_runs_is_a_bound() -> None:
    """The largest of the upper limits of the runs stands where no more than half of them have an estimate."""
    one = {"value": 3.0, "stderr": 0.1, "bound": None, "reason": "walks", "diffusivity": D, "diffusivity_stderr": 0.1 * D}
    loose = {**one, "value": 2.0, "bound": "upper", "stderr": None, "reason": "rattles"}
    runs = [(RUN, ANSWER | {"collective": each}) for each in (one, loose)]
    (found,) = reduction._collective("Li2S", runs, Point(600.0, D, 0.01 * D), {}, {"potential": "p"})
    assert (found.value, found.bound) == (pytest.approx(3.1645), "upper")
    assert found.source["method"] == "largest limit of 2 runs: walks"


def ratio(value: float, stderr: float, temperature: float = 600.0) -> Property:
    """A Haven ratio."""
    where = {"temperature_K": temperature, "species": "Li"}
    return Property("X", "haven_ratio", value, "1", stderr=stderr, conditions=where, source={"potential": "p"})


def test_the_factor_of_the_charge_is_a_mean_of_inverse_ratios() -> None:
    """Equal relative errors: the plain mean; scatter beyond them widens its error; no ratio, no factor."""
    assert reduction._charge_factor([]) is None
    factor = reduction._charge_factor([ratio(0.5, 0.2), ratio(0.4, 0.16)])
    assert factor == (pytest.approx(2.25), pytest.approx(2.25 * 0.4 / 2**0.5))
    apart = reduction._charge_factor([ratio(0.5, 0.005), ratio(0.25, 0.0025)])
    assert apart == (pytest.approx(3.0), pytest.approx(1.0))


def test_an_estimate_times_a_factor_covers_the_truth() -> None:
    """Log-normal diffusivity, factors of the spread of a squared displacement (40 %): 68 and 95 % intervals, 400 trials."""
    rng, truth, width = np.random.default_rng(5), 2.5, 0.3
    within, inside = 0, 0
    for _ in range(400):
        seen = float(np.exp(width * rng.standard_normal()))
        room = RoomValue(seen, seen * np.sinh(width), seen * np.exp(-1.96 * width), seen * np.exp(1.96 * width), None, None, "")
        drawn = truth * rng.gamma(1 / 0.16, 0.16, 3)
        factor = reduction._charge_factor([ratio(1 / each, 0.4 / each) for each in drawn])
        assert factor is not None
        found = reduction._times(room, *factor)
        assert found.low is not None
        assert found.high is not None
        assert found.stderr is not None
        inside += found.low < truth < found.high
        within += abs(np.log(truth / found.value)) < np.arcsinh(found.stderr / found.value)
    assert 0.60 < within / 400 < 0.76
    assert 0.90 < inside / 400 < 0.98


def test_a_factor_that_makes_the_error_exceed_the_value_is_told() -> None:
    """A product of two wide numbers is of low confidence although neither is alone."""
    room = RoomValue(1.0, 0.9, 0.2, 5.0, None, None, "", "")
    assert reduction._times(room, 2.0, 0.1).doubt == ""
    assert reduction._times(room, 2.0, 1.5).doubt == EXCEEDS


def test_a_bound_is_raised_by_the_ratio_or_doubtful_without_one() -> None:
    """One temperature gives a bound at 298 K: the charge, 2.5 times as fast, lifts it by the upper limit of its factor."""
    value = 1e-9
    charge = {"value": 1.0, "stderr": 0.4, "bound": None, "reason": "", "diffusivity": 2.5 * value, "diffusivity_stderr": value}
    answer = {**ANSWER, "engine": "test", "value": value, "stderr": 0.01 * value, "bound": None, "hop_length": 3.0,
              "mean_temperature": 600.0, "ions": 6, "volume_A3": 1000.0}  # fmt: skip
    lifted, plain = (
        next(
            r for r in reduction.reduce([RUN], [answer | more], {"potential": "p"})[0]
            if r.quantity == "ionic_conductivity" and r.conditions["temperature_K"] == ROOM_TEMPERATURE
        )
        for more in ({"collective": charge}, {})
    )  # fmt: skip
    assert (lifted.bound, plain.bound) == ("upper", "upper")
    assert lifted.value / plain.value == pytest.approx(2.5 + 1.645 * 1.0003, rel=1e-3)
    assert (lifted.confidence, plain.confidence) == ("computed", "low")
    assert "no run gave a Haven ratio" in plain.source["low_confidence"]


def test_a_run_at_room_temperature_is_not_pooled_with_what_others_are_carried_to() -> None:
    """Two numbers under one set temperature, one direct and one extrapolated: both stand."""
    direct = Property("X", "self_diffusivity", 1e-9, "m^2/s", stderr=1e-10, source={"p": 1},
                      conditions={"temperature_K": ROOM_TEMPERATURE, "mean_temperature_K": 297.0})  # fmt: skip
    carried = Property("X", "self_diffusivity", 5e-11, "m^2/s", stderr=1e-11, source={"p": 1},
                       conditions={"temperature_K": ROOM_TEMPERATURE})  # fmt: skip
    assert over_members([[direct, carried]]) == [direct, carried]
    assert len(over_members([[direct, carried], [direct]])) == 2


def test_a_ratio_from_short_lags_is_doubtful_and_not_used() -> None:
    """A run of 5 ps, whose lags begin at 0.5 ps: told, of low confidence, and no factor."""
    charge = {"value": 1.0, "stderr": 0.4, "bound": None, "reason": "", "diffusivity": 3 * D, "diffusivity_stderr": D}
    for length, confidence in ((5.0, "low"), (20.0, "computed")):
        runs = [(RUN, ANSWER | {"picoseconds": length, "collective": charge})]
        found = reduction._collective("Li2S", runs, Point(600.0, D, 0.1 * D), {}, {"potential": "p"})[1]
        assert (found.quantity, found.confidence) == ("haven_ratio", confidence)
        assert (reduction._charge_factor([found]) is None) == (confidence == "low")
        assert ("begin at 0.5 ps" in found.source.get("low_confidence", "")) == (confidence == "low")


def test_the_conductivity_at_room_temperature_takes_the_ratio_of_the_runs() -> None:
    """Exact Arrhenius data whose charge moves 2.5 times as fast as the ions: Nernst–Einstein times 2.5, its error wider."""
    runs = []
    for kelvin in (600.0, 800.0, 1000.0):
        value = 2e-8 * np.exp(-25e3 / (8.314462618 * kelvin))
        charge = {"value": 1.0, "stderr": 0.4, "bound": None, "reason": "", "diffusivity": 2.5 * value,
                  "diffusivity_stderr": value}  # fmt: skip
        task = Task(f"{kelvin}", "X", 1.0, "diffusion", {**RUN.parameters, "phase": "X", "temperature": kelvin})
        runs.append((task, {**ANSWER, "engine": "test", "value": value, "stderr": 0.01 * value, "bound": None, "hop_length": 3.0,
                            "mean_temperature": kelvin, "ions": 6, "volume_A3": 1000.0, "collective": charge}))  # fmt: skip
    alone = [(task, {key: value for key, value in answer.items() if key != "collective"}) for task, answer in runs]
    with_it, without = (
        next(
            r for r in reduction.reduce([task for task, _ in some], [answer for _, answer in some], {"potential": "p"})[0]
            if r.quantity == "ionic_conductivity" and r.conditions["temperature_K"] == ROOM_TEMPERATURE
        )
        for some in (runs, alone)
    )  # fmt: skip
    assert with_it.value == pytest.approx(2.5 * without.value)
    assert with_it.source["haven_ratio"] == pytest.approx(0.4)
    assert without.source["conversion"] == "Nernst–Einstein, Haven ratio 1 assumed"
    assert with_it.stderr is not None
    assert without.stderr is not None
    assert with_it.stderr / with_it.value > without.stderr / without.value
