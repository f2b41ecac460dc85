"""What counts as a short, and what a test may hold: impedance and voltage against Ohm's law, conditioning, changing loads."""

import csv
import math
from dataclasses import replace

import pytest
from mpi4py import MPI
from test_filament import A, T, _flat, _model
from test_prestress import OXIDE
from test_prestress import _model as _loaded
from test_propagation import SMALL, _case
from test_propagation_answer import _row

from coupling.errors import UserError
from multiscale.mechanics.intact_cell import intact_voltage
from multiscale.mechanics.prestress import closing_stress
from multiscale.propagation import march as march_module
from multiscale.propagation.answer import answer_lines
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import resolve
from multiscale.propagation.march import March
from multiscale.propagation.protocols import Failure, Hold
from multiscale.propagation.run import run_propagation
from multiscale.propagation.settings import TimeSteps

KAPPA, WIDTH, HEIGHT = 0.05, 12 * A, 14 * A
RAMP = 'kind      = "ccd-ramp"\nfirst     = "8 mA/cm^2"\nincrement = "2 mA/cm^2"\nmaximum   = "30 mA/cm^2"\nhold      = "10 s"'
RAMPED = ("first  ", "increment", "maximum", "hold")
CELL = {key: value for key, value in SMALL.items() if not any(word in key for word in RAMPED)}


def _ohm(length):
    """Resistance (Ω m²) between a plane with a conducting plate of a length on it and the other side, every WIDTH the same.

    cosh(πz'/W) = cosh(πz/W)/cosh(πc/W) maps the plane with its plates onto a plane; far away it moves by (W/π) ln cosh(πc/W).
    """
    return (HEIGHT - WIDTH / math.pi * math.log(math.cosh(math.pi * length / WIDTH))) / KAPPA


def test_impedance_and_voltage_are_ohms():
    """Kinetics without resistance: the drop between two lengths of the filament is that of the conformal map."""
    found = []
    for flaw in (A, 3 * A):
        model = _model(KAPPA, over=6.0, width=12, height=14, flaw=flaw, exchange_current_density=1e5)
        model.applied.value = 100.0
        model.transport(0.0)
        state = model._observe(0.0, 100.0, 0)
        assert state.potential == pytest.approx(100.0 * state.impedance, rel=1e-4)
        found.append(state.impedance)
    assert found == pytest.approx([_ohm(A), _ohm(3 * A)], rel=0.02)
    assert found[0] - found[1] == pytest.approx(_ohm(A) - _ohm(3 * A), rel=0.05)


class Stub:
    """A filament that grows by a tenth of A a step, in a cell that obeys Ohm's law."""

    def __init__(self):
        self.state, self.conditions = _row(0.0, 0.0, 0.0, A), []

    def under(self, *told):
        self.conditions.append(told)

    def step(self, seconds, current, growth):
        length = self.state.length + (0.1 * A if current > 0 else 0.0)
        self.state = _row(
            self.state.time + seconds, current, 0.0, length, potential=current * _ohm(length), impedance=_ohm(length)
        )  # fmt: skip
        return self.state


@pytest.fixture(autouse=True)
def _stub_without_its_filament(monkeypatch):
    """A stub without its filament obeys Ohm's law of a plane."""
    true = march_module.intact_voltage
    stubbed = lambda model, i: i * HEIGHT / KAPPA if isinstance(model, Stub) else true(model, i)  # noqa: E731
    monkeypatch.setattr(march_module, "intact_voltage", stubbed)


def _march(stub=None, **criteria):
    stub = stub or Stub()
    steps = TimeSteps.model_construct(first=1.0, smallest=1.0, largest=1.0, growth=10.0, most=1000)
    return March(stub, steps, A, HEIGHT + 20 * A, failure=Failure(**criteria), rows=[stub.state], dt=1.0)


def _expected(share):
    """Step at which Ohm's law has fallen by a share since the first step."""
    first = _ohm(1.1 * A)
    return next(k for k in range(1, 200) if _ohm(A + 0.1 * A * k) <= (1 - share) * first)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_short_comes_at_the_step_of_ohms_law(share):
    for criterion, name in (("voltage_drop", "voltage drop"), ("impedance_drop", "impedance drop")):
        march = _march(**{criterion: share})
        assert march.run((Hold(100.0, 1000.0),)) == name
        assert len(march.rows) - 1 == _expected(share)


class Discharging(Stub):
    """A filament that stands still in its first hold and discharges in the second; it grows from 40 s on (or never)."""

    def __init__(self, grows):
        super().__init__()
        self.grows = grows

    def step(self, seconds, current, growth):
        time = self.state.time + seconds
        length = self.state.length + (0.1 * A if self.grows and time > 40 else 0.0)
        pressed = 1 + 2.0 * math.exp(-(time - 10) / 3) if time > 10 else 1.0
        self.state = _row(time, current, 0.0, length, potential=pressed * current * _ohm(length), impedance=_ohm(length))
        return self.state


def test_a_pressed_flaw_that_discharges_is_no_short():
    """The voltage falls to a third in the second hold while the crack stands; growth from 40 s on shorts at Ohm's step."""
    holds = (Hold(100.0, 10.0), Hold(2.5, 300.0))
    assert _march(Discharging(False), voltage_drop=0.1).run(holds) == "protocol"
    for criteria, name in (({"voltage_drop": 0.1}, "voltage drop"), ({"impedance_drop": 0.1}, "impedance drop")):
        march = _march(Discharging(True), **criteria)
        assert march.run(holds) == name
        first = _ohm(A)
        steps = next(k for k in range(1, 200) if _ohm(A + 0.1 * A * k) <= 0.9 * first)
        assert len(march.rows) - 1 == 40 + steps


def test_a_discharge_while_the_crack_grows_counts_from_the_intact_cell():
    """Above the voltage of the cell without a crack nothing has fallen yet: 2 V of 1 V without a crack may go down to 0.9 V."""
    rows = [_row(float(k), 10.0, 0.0, (1 + k) * A, potential=v) for k, v in enumerate((2.0, 1.5, 0.95, 0.89))]
    drop = Failure(voltage_drop=0.1)
    assert [drop.met(rows[:k], 0.5 * A, 1.0) for k in (1, 2, 3, 4)] == [None, None, None, "voltage drop"]
    assert drop.met(rows[:2], 0.5 * A) == "voltage drop"


def test_the_intact_cell_obeys_ohm_and_butler_volmer():
    """i L/κ + (2RT/F) asinh(i/2i₀) to rounding, stripping as well, and the model is left as it was."""
    model = _model(KAPPA, over=4.0, width=12, height=14, flaw=3 * A, exchange_current_density=10.0)
    model.applied.value = 100.0
    model.transport(0.0)
    before = model.potential.x.array.copy()
    for current in (100.0, 1.0, -40.0):
        flat = 2 * 8.314462618 * T / 96485.33212 * math.asinh(current / 20.0)
        assert intact_voltage(model, current) == pytest.approx(current * HEIGHT / KAPPA + flat, rel=1e-6)
    assert (model.potential.x.array == before).all()
    assert (model.applied.value, model.open.value) == (100.0, 1.0)


FALSE = (
    'kind = "steps"\nfailure = { voltage_drop = 0.1 }\n'
    'step = [{ current = "10 mA/cm^2", time = "10 s" }, { current = "0.3 mA/cm^2", time = "20 s" }]'
)


def test_a_flaw_that_discharges_after_a_large_current_does_not_short_the_cell(tmp_path):
    """Found by an attack: the voltage of the small current falls by more than a tenth, and the crack never started."""
    case = _changed(tmp_path, FALSE)
    march = March.of(filament_model(case, resolve(case), MPI.COMM_SELF), case.settings)
    assert march.run(case.settings.protocol.own) == "protocol"
    assert not march.grown
    late = [row.potential for row in march.rows if row.time > 10]
    assert late[-1] < 0.8 * late[0]


def test_a_drop_is_counted_within_a_hold():
    """Half the current halves the voltage, which is no short; at rest there is no voltage to fall, and impedance stands still."""
    march = _march(voltage_drop=0.3)
    assert march.run((Hold(100.0, 3.0), Hold(50.0, 3.0), Hold(0.0, 5.0))) == "protocol"
    assert _march(impedance_drop=0.3).run((Hold(100.0, 3.0), Hold(0.0, 5.0))) == "protocol"
    assert _march().run((Hold(100.0, 40.0),)) == "protocol"
    assert march.model.conditions == [(None, None)] * 3


def _changed(folder, protocol, **changes):
    return load_propagation_case(_case(folder, CELL | {RAMP: protocol, 'largest  = "2.5 s"': 'largest = "20 s"'} | changes))


def test_a_run_ends_where_its_voltage_has_fallen(tmp_path):
    """The last row, and no row before it, lies a twentieth below the largest voltage of its hold."""
    protocol = 'kind = "constant-current"\ncurrent = "40 mA/cm^2"\ntime = "30 s"\nfailure = { voltage_drop = 0.05 }'
    case = load_propagation_case(_case(tmp_path / "case", CELL | {RAMP: protocol}))
    summary = run_propagation(case, tmp_path / "results", MPI.COMM_SELF)
    assert summary["ended"] == "voltage drop"
    assert summary["failure"] == {"bridging": True, "voltage_drop": 0.05, "impedance_drop": None, "met": "voltage drop"}
    assert summary["ccd"]["criterion"] == "short"
    assert "short (by its voltage drop) at 40 mA/cm^2" in "\n".join(answer_lines(summary))
    rows = list(csv.DictReader((tmp_path / "results" / "history.csv").open()))[1:]
    volts, largest = [float(row["potential"]) for row in rows], 0.0
    for number, value in enumerate(volts):
        largest = max(largest, value)
        assert (value <= 0.95 * largest) == (number == len(volts) - 1)
    assert all(float(row["impedance"]) > 0 for row in rows)


def test_a_step_of_stack_pressure_moves_the_lithium_by_its_closing_stress():
    """The same volume under P more: p rises by ν P/(1 - ν), and the books close."""
    model = _loaded(stack=1e6, over=8.0)
    before = model.step(0.3, _flat(150e6))
    model.under(stack_pressure=101e6)
    after = model.step(1e-9, _flat(150e6))
    assert after.volume == pytest.approx(before.volume, rel=1e-6)
    assert after.pressure - before.pressure == pytest.approx(closing_stress(100e6, 0.0, OXIDE), abs=0.06 * 100e6)
    assert (before.stack_pressure, after.stack_pressure) == (1e6, 101e6)
    stored = after.elastic + after.fracture - before.elastic - before.fracture
    assert after.work - before.work == pytest.approx(stored, rel=1e-3)
    model.under()
    again = model.step(1e-9, _flat(150e6))
    assert again.pressure == pytest.approx(before.pressure, rel=1e-3)
    assert again.elastic == pytest.approx(before.elastic, rel=2e-3)


def test_a_pressure_that_comes_and_goes_leaves_an_unloaded_cell():
    model = _loaded(later=(50e6,))
    model.under(stack_pressure=50e6)
    pressed = model.step(0.1, _flat(150e6))
    model.under()
    free = [model.step(0.1, -_flat(150e6)) for _ in range(8)][-1]  # emptied: nothing drives the cell any more
    assert pressed.stack_pressure == 50e6
    assert free.stack_pressure == 0.0
    assert free.pressure == 0.0
    assert free.elastic < 1e-6 * pressed.elastic


def test_a_step_of_temperature_moves_the_stall():
    """No losses in the solid: the lithium stalls at (2RT/V) asinh(i/2 i0(T))."""
    warm, current = 333.15, 20.0
    model = _model(1e4, over=4.0, width=16, height=10, elsewhere={warm: (8.0, 2.0)})
    for seconds in (1.0, 10.0, 100.0):
        cold = model.step(seconds, current)
    model.under(temperature=warm)
    for seconds in (1.0, 10.0, 100.0):
        state = model.step(seconds, current)
    for found, at, exchange in ((cold, T, 10.0), (state, warm, 8.0)):
        assert found.temperature == at
        stall = 2 * 8.314462618 * at / 1.3e-5 * math.asinh(current / (2 * exchange))
        assert found.pressure == pytest.approx(stall, rel=5e-3)
    assert model.circuit.conducts.value == 2.0


STEPS = 'kind = "steps"\nstep = [{ current = "5 mA/cm^2", capacity = "0.1 mAh/cm^2" }, { current = "0 mA/cm^2", time = "5 s" }]'
CONDITION = '\nconditioning = { current = "1 mA/cm^2", capacity = "0.02 mAh/cm^2", rest = "3 s", cycles = 2 }'


def test_capacities_and_conditioning_are_holds(tmp_path):
    """0.1 mAh/cm² at 5 mA/cm² are 72 s; conditioning comes first, in a bisection before every trial."""
    from multiscale.propagation.protocols import holds

    protocol = _changed(tmp_path / "a", STEPS + CONDITION).settings.protocol
    cycle = [(10.0, 72.0), (0.0, 3.0), (-10.0, 72.0), (0.0, 3.0)]
    assert [(hold.current, hold.time) for hold in holds(protocol)] == [*(cycle * 2), (50.0, 72.0), (0.0, 5.0)]
    ramp = 'kind = "ccd-ramp"\nfirst = "1 mA/cm^2"\nincrement = "1 mA/cm^2"\nmaximum = "2 mA/cm^2"\ncapacity = "0.5 mAh/cm^2"'
    assert [(hold.current, hold.time) for hold in _changed(tmp_path / "b", ramp).settings.protocol.own] == [(10, 1800), (20, 900)]
    cycling = 'kind = "cycling"\ncurrent = "2 mA/cm^2"\ncapacity = "1 mAh/cm^2"\ncycles = 1'
    assert [hold.time for hold in _changed(tmp_path / "c", cycling).settings.protocol.own] == [1800, 1800]
    life = 'kind = "constant-current"\ncurrent = "2 mA/cm^2"\ncapacity = "1 mAh/cm^2"'
    assert [hold.time for hold in _changed(tmp_path / "d", life).settings.protocol.own] == [1800]
    both = 'kind = "ccd-bisection"\nlowest = "1 mA/cm^2"\nhighest = "2 mA/cm^2"\nresolution = 0.1\ncapacity = "1 mAh/cm^2"'
    bisection = _changed(tmp_path / "e", both + CONDITION).settings.protocol
    assert [hold.time for hold in bisection.held(10.0)[-1:]] == [3600]
    assert len(bisection.held(10.0)) == 9
    assert bisection.told == "1 mAh/cm^2"


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ('kind = "constant-current"\ncurrent = "2 mA/cm^2"', "either time or capacity"),
        ('kind = "constant-current"\ncurrent = "2 mA/cm^2"\ntime = "1 h"\ncapacity = "1 mAh/cm^2"', "either time or capacity"),
        ('kind = "steps"\nstep = [{ current = "0 mA/cm^2", capacity = "1 mAh/cm^2" }]', "no charge passes without a current"),
        ('kind = "constant-current"\ncurrent = "2 mA/cm^2"\ntime = "1 h"\nfailure = { voltage_drop = 1.5 }', "voltage_drop"),
        ('kind = "constant-current"\ncurrent = "2 mA/cm^2"\ntime = "1 h"\nfailure = { current_drop = 0.5 }', "current_drop"),
        ('kind = "constant-current"\ncurrent = "2 mA/cm^2"\ntime = "1 h"\nconditioning = { current = "1 mA/cm^2", cycles = 1 }',
         "either half_cycle or capacity"),
        ('kind = "steps"\nstep = [{ current = "1 mA/cm^2", time = "1 s", stack_pressure = "-2 MPa" }]', "stack_pressure"),
    ],
)  # fmt: skip
def test_wrong_tests_are_refused_with_their_line(tmp_path, protocol, said):
    with pytest.raises(UserError, match=said) as caught:
        resolve(_changed(tmp_path, protocol))
    assert "case.toml:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_drop_is_that_of_the_last_state():
    rows = [_row(float(k), 10.0, 0.0, A, potential=v) for k, v in enumerate((0.10, 0.12, 0.07, 0.11))]
    assert Failure(voltage_drop=0.3).met(rows[:3], 0.9 * A) == "voltage drop"
    assert Failure(voltage_drop=0.3).met(rows, 0.9 * A) is None
    assert Failure(voltage_drop=0.3).met([replace(row, potential=-row.potential) for row in rows[:3]], 0.9 * A) == "voltage drop"
    assert Failure().met(rows[:3], 0.9 * A) is None
    assert Failure(voltage_drop=0.3).met(rows[:3], 1.1 * A) is None
