"""Protocols of propagation cases, bisection, error bar and worth of switches."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI
from test_propagation import SMALL, _case

from coupling.errors import RunFailure, UserError
from multiscale.parameters import nominal
from multiscale.progress import Narrator
from multiscale.propagation import spread
from multiscale.propagation.answer import answer_lines, bisected, critical_current
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model, rows_of
from multiscale.propagation.inputs import inputs_at, parameters, resolve
from multiscale.propagation.march import NoStep, Trial, bisect, bracket
from multiscale.propagation.protocols import Bisection, ConstantCurrent, Cycling
from multiscale.propagation.run import run_propagation
from multiscale.propagation.settings import SWITCHES
from multiscale.propagation.spread import attribution, error_bar, without

RAMP = 'kind      = "ccd-ramp"\nfirst     = "8 mA/cm^2"\nincrement = "2 mA/cm^2"\nmaximum   = "30 mA/cm^2"\nhold      = "10 s"'
BISECTION = 'kind = "ccd-bisection"\nlowest = "20 mA/cm^2"\nhighest = "24 mA/cm^2"\nresolution = 0.12\nhold = "60 s"'
UNCERTAIN = '\n[uncertainty]\nlevel = 0.9\nsamples = 2000\ndesigns = 48\nmicrostructures = 1\nseed = 2\n'
RAMPED = ("first  ", "increment", "maximum", "hold")
CELL = {key: value for key, value in SMALL.items() if not any(word in key for word in RAMPED)}


def _changed(folder, **changes):
    return load_propagation_case(_case(folder, CELL | {RAMP: BISECTION, 'largest  = "2.5 s"': 'largest = "30 s"'} | changes))


def _trials(threshold, lowest=10.0, highest=40.0, resolution=0.01, done=()):
    tried = []

    def attempt(current):
        tried.append(current)
        return Trial(current, current > threshold, "growth" if current > threshold else "protocol", 1.0, 1e8, 0.0)

    return bisect(lowest, highest, resolution, attempt, done), tried


def test_bisection_closes_in_on_a_threshold():
    trials, tried = _trials(23.0)
    low, high = bracket(trials)
    assert low <= 23.0 < high
    assert high / low - 1 <= 0.01
    assert len(tried) == 2 + math.ceil(math.log2(math.log(4) / math.log(1.01)))
    again, repeated = _trials(23.0, done=trials)
    assert again == trials
    assert repeated == []


@pytest.mark.parametrize(("threshold", "bound", "value"), [(50.0, "lower", 4.0), (5.0, "upper", 1.0)])
def test_a_bracket_that_does_not_hold_the_threshold_is_a_bound(threshold, bound, value):
    protocol = Bisection.model_construct(criterion="growth", hold=10.0)
    told = bisected(_trials(threshold)[0], protocol)
    assert (told["bound"], told["value"]) == (bound, pytest.approx(value))


def test_protocols_are_steps():
    cycling = Cycling.model_construct(kind="cycling", current=2.0, half_cycle=3600.0, rest=60.0, cycles=2)
    assert [(hold.current, hold.time) for hold in cycling.own] == [(2.0, 3600.0), (0.0, 60.0), (-2.0, 3600.0), (0.0, 60.0)] * 2
    life = ConstantCurrent.model_construct(kind="constant-current", current=5.0, time=100.0)
    assert [(hold.current, hold.time) for hold in life.own] == [(5.0, 100.0)]


def test_rows_fit_the_flaw():
    """The shipped cell keeps its 60 rows; a depth between two rows finds others, at most 30 % more."""
    assert rows_of(40e-6, 10e-6, 60) == 60
    for depth in (8.3e-6, 9.1e-6, 13.37e-6):
        rows = rows_of(40e-6, depth, 60)
        assert 60 <= rows <= 78
        assert abs(rows * depth / 40e-6 - round(rows * depth / 40e-6)) < 0.06


@pytest.fixture(scope="module")
def bisection(tmp_path_factory):
    """A small cell without losses in the solid, bisected."""
    folder = tmp_path_factory.mktemp("bisection")
    case = _changed(folder / "case", **{"pressure_feedback = true": "pressure_feedback = true\nflux_detour = false"})
    return case, folder / "results", run_propagation(case, folder / "results", MPI.COMM_SELF)


def test_without_detour_the_critical_current_is_the_closed_form(bisection):
    """i = 2 i0 sinh(V p/(2 RT)): what holds has stalled at the pressure of its current; the crack starts between the two."""
    _, results, summary = bisection
    for trial in summary["trials"]:
        if not trial["failed"]:
            closed = 2 * 128.0 * math.sinh(1.3e-5 * trial["pressure"] / (2 * 8.314462618 * 298.15))
            assert closed == pytest.approx(trial["current"], rel=5e-3)
    ccd = summary["ccd"]
    assert ccd["low"] < ccd["value"] < ccd["high"] <= 1.12 * ccd["low"]
    start = 2 * 128.0 * math.sinh(1.3e-5 * summary["largest_pressure_MPa"] * 1e6 / (2 * 8.314462618 * 298.15)) / 10
    assert ccd["low"] * 0.99 < start < ccd["high"] * 1.01
    assert summary["method"] == "ccd-bisection"
    assert "by bisection" in "\n".join(answer_lines(summary))
    assert json.loads((results / "trials.json").read_text())["trials"] == summary["trials"]


def test_cycling_below_the_start_breaks_nothing(tmp_path):
    """Two cycles of 20 s at 5 mA/cm² with rests: the books close, what was plated is counted, nothing grows, no bound is claimed
    beyond the current that was held."""
    cycling = 'kind = "cycling"\ncurrent = "5 mA/cm^2"\nhalf_cycle = "20 s"\nrest = "5 s"\ncycles = 2'
    case = load_propagation_case(_case(tmp_path / "case", CELL | {RAMP: cycling, 'largest  = "2.5 s"': 'largest = "20 s"'}))
    summary = run_propagation(case, tmp_path / "results", MPI.COMM_SELF)
    assert summary["charge_balance"] < 1e-8
    assert summary["volume_over_charge_error"] < 1e-8
    assert summary["life"]["plated_mAh_per_cm2"] == pytest.approx(2 * 5 * 20 / 3600)
    assert [hold["current_mA_per_cm2"] for hold in summary["holds"]] == [5.0, 0.0, -5.0, 0.0] * 2
    assert (summary["ccd"]["criterion"], summary["ccd"]["bound"], summary["ccd"]["value"]) == ("none", "lower", 5.0)
    assert summary["started"] is None
    held = 0.5 * 20e-9 * 8e-6 * 96485.33212 / 1.3e-5  # the lithium of the unloaded wedge, C/m: more cannot be dissolved
    assert summary["filament_charge_C_per_m"] == pytest.approx(-held, rel=1e-3)


def test_a_hold_that_the_time_steps_do_not_get_through_keeps_rows_and_says_why(tmp_path):
    case = _changed(tmp_path / "case", **{'largest = "30 s"': 'largest = "1 s"\nmost = 3'})
    with pytest.raises(NoStep, match="3 time steps did not get through the hold at 20 mA"):
        spread.attempt(_begun(case), case.settings.protocol, 200.0)
    with pytest.raises(RunFailure, match="fields and rows are in"):
        run_propagation(case, tmp_path / "results", MPI.COMM_SELF)
    failure = json.loads((tmp_path / "results" / "failure.json").read_text())
    assert "raise time.most" in failure["reason"]
    rows = (tmp_path / "results" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 1 + 3  # heading, start, steps
    assert failure["time_s"] == float(rows[-1].split(",")[0]) > 0


def _begun(case):
    model = filament_model(case, resolve(case), MPI.COMM_SELF)
    return spread.begin(model, case.settings, case.settings.protocol, model.snapshot())


@pytest.mark.parametrize("by", ["growth", "contact lost", "short", "voltage drop"])
def test_what_ends_in_the_conditioning_is_no_trial_of_the_current(tmp_path, by):
    """The defect this guards: an end just at the end of the conditioning counted as a failure of a current that never flowed."""
    conditioned = f'{BISECTION}\nconditioning = {{ current = "1 mA/cm^2", half_cycle = "1 s", cycles = 2 }}'
    case = load_propagation_case(_case(tmp_path, CELL | {RAMP: conditioned}))
    march = _begun(case)

    def ended(time):
        march.rows = [march.rows[0], replace(march.rows[0], time=time)]
        march.run = lambda *_: by
        return spread.attempt(march, case.settings.protocol, 200.0)

    for time in (3.0, 4.0, np.nextafter(4.0, 5.0)):
        with pytest.raises(NoStep, match=r"ccd-bisection: .* of 4 s, in the conditioning already; nothing is left to be tested"):
            ended(time)
    trial = ended(4.001)
    assert (trial.failed, trial.by, trial.time) == (True, by, 4.001)


def test_brackets_tell_which_bound_they_are():
    for threshold, bound, value in ((23.0, None, 23.0), (50.0, "lower", 40.0), (5.0, "upper", 10.0)):
        trials = _trials(threshold)[0]
        told, which = spread.middle(*bracket(trials), trials)
        assert which == bound
        assert told == pytest.approx(value, rel=0.01)


def test_growth_and_short_at_the_first_current_are_upper_bounds():
    hold = {"grew": True, "growing_at_its_end": True, "held_s": 10.0, "asked_s": 10.0, "pressure_rise_in_another_hold": 0.0}
    still = hold | {"grew": False, "growing_at_its_end": False, "current_mA_per_cm2": 8.0}
    first, second = hold | {"current_mA_per_cm2": 8.0}, hold | {"current_mA_per_cm2": 10.0}
    for shorted in (True, False):
        assert critical_current([first], shorted)["bound"] == "upper"
        assert critical_current([still, second], shorted)["bound"] is None


def _law(case, found, point, number):
    """A critical current that is a known power law: toughness² over conductivity^½."""
    best = {key: float(values[0]) for key, values in nominal(found).items()} | dict(point)
    settings = case.settings
    factor = 1.0 if settings.physics.flux_detour else 2.0
    value = 100.0 * factor * (best["LLZO.fracture_toughness"] / 1.25e6) ** 2 * (best["LLZO.ionic_conductivity"] / 0.1) ** 0.5
    return value, None


def test_error_bar_is_that_of_the_inputs(tmp_path, monkeypatch):
    """A power law in the place of the runs: the interval is that of the law, and the split names what it depends on."""
    monkeypatch.setattr(spread, "coarse_current", _law)
    case = _changed(tmp_path / "case", **{"[time]": UNCERTAIN + "[time]"})
    bar = error_bar(case, parameters(case), 110.0, tmp_path / "results", MPI.COMM_SELF, Narrator(False))
    assert bar["mesh_ratio"] == pytest.approx(1.1)
    leaves = spread.draw(parameters(case), 2000, 2)
    law = 11.0 * (leaves["LLZO.fracture_toughness"] / 1.25e6) ** 2 * (leaves["LLZO.ionic_conductivity"] / 0.1) ** 0.5
    low, high = np.quantile(np.minimum(law, 24.0), [0.05, 0.95])
    assert bar["low"] == pytest.approx(low, rel=0.25)
    assert bar["high"] == pytest.approx(high, rel=0.25)
    inputs = {name for name, share in bar["error_split"].items() if share > 0.1}
    assert "LLZO.fracture_toughness" in inputs
    assert sum(bar["error_split"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("scale", "bound"), [(0.05, "upper"), (5.0, "lower")])
def test_an_error_bar_whose_runs_are_bounds_says_which_end_is_open(tmp_path, monkeypatch, scale, bound):
    """Every draw fails at the smallest current, or none fails at the largest; the mesh's error is then told as not known."""
    ends = {"lower": 240.0 * spread.BEYOND, "upper": 200.0 / spread.BEYOND}

    def bounded(case, found, point, number, elements=2.0):
        value = scale * _law(case, found, point, number)[0] * 20
        return (ends[bound], bound) if bound == "upper" or value > ends["lower"] else (value, None)

    monkeypatch.setattr(spread, "coarse_current", bounded)
    case = _changed(tmp_path / "case", **{"[time]": UNCERTAIN + "[time]"})
    bar = error_bar(case, parameters(case), 0.0, tmp_path / "results", MPI.COMM_SELF, Narrator(False))
    assert bar["bound"] == bound
    assert bar["mesh_ratio"] is None
    assert bar["runs_that_are_bounds"][bound] == 48


def test_where_the_fine_answer_is_a_bound_the_fine_mesh_looks_further(tmp_path, monkeypatch):
    """The run at best values is repeated on the fine mesh over the wider range, and the ratio is that of the two."""

    def meshed(case, found, point, number, elements=2.0):
        value, bound = _law(case, found, point, number)
        return value * (1.2 if elements == case.settings.fracture.elements else 1.0), bound

    monkeypatch.setattr(spread, "coarse_current", meshed)
    case = _changed(tmp_path / "case", **{"[time]": UNCERTAIN + "[time]", "elements = 3": "elements = 3"})
    bar = error_bar(case, parameters(case), 0.0, tmp_path / "results", MPI.COMM_SELF, Narrator(False))
    assert bar["mesh_ratio"] == pytest.approx(1.2)
    assert bar["error_split"]["mesh"] > 0


def test_worth_of_a_switch(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "coarse_current", _law)
    case = _changed(tmp_path / "case", **{"pressure_feedback = true": 'pressure_feedback = true\nattribute = ["flux-detour"]'})
    told = attribution(case, tmp_path / "results", MPI.COMM_SELF, Narrator(False))
    assert told["flux-detour"]["factor"] == pytest.approx(0.5)
    assert told["flux-detour"]["without"] == pytest.approx(2 * told["flux-detour"]["with"])


def test_every_switch_turns_something_off(tmp_path):
    strips = '\nconditioning = { current = "1 mA/cm^2", half_cycle = "1 s", cycles = 1 }'
    worn = '"Li-LLZO-interface"\nwear = { voids = "Li-voids", depth = "1 um", refilled = 0.2, source = "test" }'
    changes = {RAMP: BISECTION + strips, '"Li-LLZO-interface"': worn, 'stack_pressure = "0 MPa"': 'stack_pressure = "5 MPa"'}
    case = _changed(tmp_path / "case", **{'thickness = "40 um"': 'thickness = "16 um"\ngrain_size = "8 um"\n'
        'grain_boundary = { material = "LLZO-boundary", width = "1 nm" }\nanisotropy = { zener_ratio = 1.3, source = "test" }',
        "lithium_creep     = false": "lithium_creep = true",
        "elements = 3": 'elements = 3\nfatigue = { threshold = 10, source = "test" }', **changes})  # fmt: skip
    assert not case.settings.idle_switches, "the case must have what every switch turns off"
    for name in SWITCHES:
        assert without(case.settings, name) != case.settings, name
    free = type(case)(case.folder, without(case.settings, "flux-detour"), case.materials, case.file)
    assert resolve(free).conductivity == pytest.approx(1e5 * resolve(case).conductivity)


def test_more_toughness_and_exchange_current_go_where_they_should(tmp_path):
    """Inputs of a draw reach the model (a draw that is ignored would give an error bar of nothing)."""
    case = _changed(tmp_path / "case")
    found = parameters(case)
    best = {key: float(values[0]) for key, values in nominal(found).items()}
    drawn = {"LLZO.fracture_toughness": 2.5e6, "geometry.flaw.depth": 6e-6, "Li-LLZO-interface.exchange_current_density": 7.0}
    inputs = inputs_at(case, found, best | drawn)
    assert inputs.fracture_energy == pytest.approx(4 * resolve(case).fracture_energy)
    assert inputs.flaw_depth == 6e-6
    assert inputs.filament.exchange_current_density == 7.0
    assert inputs.filament.unloaded_half_opening(np.array([0.0, 6e-6])) == pytest.approx([10e-9, 0.0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({RAMP: BISECTION.replace('"24 mA', '"14 mA')}, "highest must be above lowest"),
        ({RAMP: 'kind = "constant-current"\ncurrent = "1 mA/cm^2"\ntime = "1 h"', "[time]": UNCERTAIN + "[time]"},
         "goes with a protocol"),
        ({RAMP: 'kind = "cycling"\ncurrent = "1 mA/cm^2"\nhalf_cycle = "1 h"\ncycles = 0'}, "cycles"),
        ({"pressure_feedback = true": 'pressure_feedback = true\nattribute = ["fluxdetour"]'}, "flux-detour"),
        ({'depth  = "10 um"': 'depth  = "10 um"\ndepth_range = ["2 um", "12 um"]'}, "a quarter of the flaw's depth"),
    ],
)  # fmt: skip
def test_wrong_protocols_are_refused(tmp_path, changes, said):
    with pytest.raises(UserError, match=said) as caught:
        load_propagation_case(_case(tmp_path, changes))
    assert "case.toml:" in str(caught.value)
