"""Initiation beside propagation in one case: closed form, the smaller answers, worth of switches and mechanisms, refusals."""

import math
from dataclasses import replace

import pytest
from mpi4py import MPI
from refusals import told_with_its_line
from test_propagation import _case
from test_propagation_trials import RAMP

from multiscale.critical_current.sampling import Run
from multiscale.progress import Narrator
from multiscale.propagation import initiation as steady
from multiscale.propagation import spread
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.inputs import resolve

BOTH = {'mechanisms        = ["propagation"]': 'mechanisms        = ["initiation", "propagation"]'}
FEEDBACK = "pressure_feedback = true"
FOR_2_S = 'current = "10 mA/cm^2", time = "2 s"'
WARM = 'conditioning = { current = "1 mA/cm^2", half_cycle = "1 s", cycles = 1, temperature = "60 degC" }'
STRIPS = 'step = [{ current = "10 mA/cm^2", time = "2 s" }, { current = "-10 mA/cm^2", time = "2 s" }]'
TRANSFER = 'charge_transfer = "Li-LLZO-interface"'
WEARS = {
    TRANSFER: f'{TRANSFER}\nwear = {{ voids = "Li-voids", depth = "0.01 um", refilled = 0.2, source = "x" }}',
    RAMP: f'kind = "steps"\n{STRIPS}',
}  # fmt: skip


def _step(*own):
    return {RAMP: f'kind = "steps"\nstep = [{{ {", ".join((FOR_2_S, *own))} }}]'}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    asks = {FEEDBACK: f'{FEEDBACK}\nattribute = ["flux-detour", "lithium-creep"]', 'depth  = "10 um"': 'depth  = "4 um"',
            'length   = "2 um"': 'length = "1 um"'}  # fmt: skip
    return load_propagation_case(_case(tmp_path_factory.mktemp("both") / "both", BOTH | asks))


@pytest.fixture(scope="module")
def found(case):
    return steady.initiation(case, resolve(case), MPI.COMM_SELF, fine=False)


def test_without_ohmic_drop_the_flaw_starts_at_griffith_and_butler_volmer(case):
    """K = 1.1215 p √(πa) (finite cell: 4 %); i = 2 i₀ sinh(V p/2RT) at that pressure, without creep and loss."""
    inputs = replace(resolve(case), conductivity=1e6)
    critical = steady.initiation(case, inputs, MPI.COMM_SELF, fine=False)
    pressure = critical.state.flaw_pressure
    assert pressure == pytest.approx(inputs.toughness / (1.1215 * math.sqrt(math.pi * 4e-6)), rel=0.04)
    flat = 2 * inputs.filament.exchange_current_density * math.sinh(1.3e-5 * pressure / (2 * 8.314462618 * 298.15))
    share = 1 - case.settings.geometry.flaw.mouth / case.settings.geometry.width  # of the face that is flat
    assert critical.current_density == pytest.approx(share * flat, rel=1e-6)


def _summary(value, bound=None):
    return {"ccd": {"value": value, "low": 1.0, "high": value, "bound": bound, "mechanism": "propagation",
                    "interval": "one run"}, "attribution": {}}  # fmt: skip


def test_the_smaller_is_the_answer_and_each_mechanism_has_its_worth(found):
    mine = found.current_density / 10
    told = steady.beside(_summary(2 * mine), found)
    assert told["ccd"]["mechanism"] == "initiation"
    assert set(told["mechanisms"]) == {"initiation", "propagation"}
    assert told["attribution"]["initiation"]["without"] == pytest.approx(2 * mine)
    assert told["attribution"]["initiation"]["factor"] == pytest.approx(0.5)
    assert told["attribution"]["propagation"]["factor"] == pytest.approx(1.0)
    told = steady.beside(_summary(mine / 2), found)
    assert told["ccd"]["mechanism"] == "propagation"
    assert told["attribution"]["propagation"]["factor"] == pytest.approx(0.5)
    assert "the smaller is that of propagation" in steady.initiation_lines(told["mechanisms"], told["ccd"])
    assert steady.beside(_summary(1.0), None) == {}
    assert steady.initiation_lines({}, {}) == []


@pytest.mark.parametrize(
    ("times", "bound", "mechanism", "answer", "said"),
    [
        (2.0, "upper", None, (1.0, "upper"), "that of propagation is only an upper bound; the critical current is at most"),
        (0.5, "lower", None, (0.5, "lower"), "that of propagation is only a lower bound; the critical current is at least"),
        (0.5, "upper", "propagation", (0.5, "upper"), "the smaller is that of propagation"),
        (2.0, "lower", "initiation", (1.0, None), "the smaller is that of initiation"),
    ],
)  # fmt: skip
def test_where_bounds_leave_it_open_neither_is_called_the_smaller(found, times, bound, mechanism, answer, said):
    """The defect this guards: a short at the first current, 20, was told as larger than an initiation at 15."""
    mine = found.current_density / 10
    told = steady.beside(_summary(times * mine, bound), found)
    ccd = told["ccd"]
    assert (ccd["mechanism"], ccd["bound"]) == (mechanism, answer[1])
    assert ccd["value"] == ccd["high"] == pytest.approx(answer[0] * mine)
    assert said in steady.initiation_lines(told["mechanisms"], ccd)[1]
    assert ("which mechanism is smaller is not known" in ccd["interval"]) == (mechanism is None)
    assert told["attribution"]["propagation"]["with_bound"] == answer[1]


def test_the_smaller_keeps_its_bound():
    assert steady.smaller(Run(1.0), Run(2.0, "lower")) == Run(1.0)
    assert steady.smaller(Run(1.0, "lower"), Run(2.0)) == Run(1.0, "lower")
    assert steady.smaller(Run(1.0), Run(2.0, "upper")) == Run(1.0, "upper")
    assert steady.smaller(Run(1.0, "lower"), Run(2.0, "upper")) == Run(2.0, "upper")
    assert steady.smaller(Run(0.0, failure="no"), Run(2.0)).failure == "no"


def test_switches_are_worth_what_the_smaller_changes(case, found, monkeypatch, tmp_path):
    """Propagation at 400 A/m², 900 without the detour; initiation is computed: the row takes the smaller on both sides."""
    def coarse(changed, *_):
        return (400.0 if changed.settings.physics.flux_detour else 900.0), None

    monkeypatch.setattr(spread, "coarse_current", coarse)
    rows = spread.attribution(case, tmp_path, MPI.COMM_SELF, Narrator(speaks=False))
    assert set(rows) == {"flux-detour"}  # creep is off in this case
    row = rows["flux-detour"]
    assert row["propagation_alone"]["factor"] == pytest.approx(400 / 900)
    alone = row["initiation_alone"]
    assert alone["with"] == pytest.approx(found.current_density / 10, rel=1e-6)
    assert alone["without"] > alone["with"]
    assert row["with"] == pytest.approx(min(40.0, alone["with"]))
    assert row["without"] == pytest.approx(min(90.0, alone["without"]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({'thickness = "40 um"': 'thickness = "40 um"\ngrain_size = "20 um"'}, "grains and random fields of its own"),
        ({'stack_pressure = "0 MPa"': 'stack_pressure = "0 MPa"\nresidual_stress = "10 MPa"'}, "no residual stress"),
        ({FEEDBACK: "pressure_feedback = false"}, "a pressure that stalls"),
        ({FEEDBACK: f'{FEEDBACK}\nattribute = ["pressure-feedback"]'}, "without pressure-feedback"),
        (WEARS, r"unworn interface and the full toughness only; leave .interface\.wear. out"),
        ({'model    = "AT1"': 'model = "AT1"\nfatigue = { threshold = 1.0, source = "x" }'}, r"leave .fracture\.fatigue. out"),
        (_step('temperature = "60 degC"'), r"told at conditions\.temperature, and the protocol has a temperature of its own"),
        (_step('stack_pressure = "20 MPa"'), r"told at conditions\.stack_pressure, and the protocol has a stack_pressure of its"),
        ({RAMP: f'{RAMP}\n{WARM}'}, r"told at conditions\.temperature, and the protocol has a temperature of its own"),
    ],
)  # fmt: skip
def test_cells_that_initiation_does_not_know_are_refused(tmp_path, changes, said):
    told_with_its_line(lambda: load_propagation_case(_case(tmp_path, BOTH | changes)), said)


def test_steps_at_the_conditions_of_the_case_go_with_initiation(tmp_path):
    step = _step('temperature = "25 degC"', 'stack_pressure = "0 MPa"')
    assert load_propagation_case(_case(tmp_path, BOTH | step)).settings.both


@pytest.mark.parametrize(("named", "said"), [('"initiation"', "needs .propagation"), ('"propagation", "propagation"', "twice")])
def test_names_that_make_no_sense_are_refused(tmp_path, named, said):
    changes = {'mechanisms        = ["propagation"]': f"mechanisms = [{named}]"}
    told_with_its_line(lambda: load_propagation_case(_case(tmp_path, changes)), said)
