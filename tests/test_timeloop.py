"""The time loop: order, error control, conservation, protocol steps and their ends, named failures."""

import numpy as np
import pytest
from fem_tools import rate, rectangle
from mpi4py import MPI

from coupling.constants import FARADAY
from coupling.errors import UserError
from multiscale.solvers.protocol import (
    AfterCapacity,
    AfterTime,
    AtCurrentDensity,
    AtVoltage,
    CurrentRamp,
    Galvanostatic,
    Potentiostatic,
    Rest,
    VoltageRamp,
)  # fmt: skip
from multiscale.solvers.timeloop import Depletion, StepControl, StepTooSmall, TimeStepper, run_protocol
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.nernst_planck import Electroneutral, SingleIon, Species
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import driven_film, strip

SALT = Species("Li+", 1, 2e-11), Species("X-", -1, 6e-11)


def _decaying():
    """A uniform salt that recombines by c' = -k c², with k c0 = 1 /s: c = c0/(1 + t)."""

    def recombine(c):
        speed = 1e-3 * c["Li+"] * c["X-"]
        return {"Li+": -speed, "X-": -speed}

    domain = strip(MPI.COMM_SELF, np.linspace(0.0, 1e-6, 3))
    system = TransportSystem(domain, [Medium("film", Electroneutral(), SALT, reactions=recombine)])
    system.fix("film", "potential", 0.0, "left")
    system.set_field("film", "Li+", 1000.0)
    return system


def _time_error(steps, uneven):
    stepper = TimeStepper(_decaying(), StepControl(1.0, 1e-9, 1.0))
    pattern = np.tile([0.6, 1.4], steps // 2) if uneven else np.ones(steps)
    for share in pattern:
        stepper.advance(share / steps)
    assert stepper.time == pytest.approx(1.0)
    return abs(stepper.system.sample("film", "Li+")[0][0] - 500.0)


@pytest.mark.parametrize("uneven", [False, True])
def test_the_stepper_is_of_second_order(uneven):
    assert rate(lambda n: _time_error(n, uneven), (24, 48, 96)) == pytest.approx(2, abs=0.1)


def test_error_control_meets_its_tolerance_with_few_steps():
    counts, errors = [], []
    for tolerance in (1e-3, 1e-5):
        stepper = TimeStepper(_decaying(), StepControl(1e-3, 1e-9, 1.0, tolerance, floor=1e-6))
        stepper.march(3.0)
        assert stepper.time == pytest.approx(3.0, rel=1e-12)
        counts.append(stepper.accepted)
        errors.append(abs(stepper.system.sample("film", "Li+")[0][0] / 250.0 - 1))
    assert errors[0] < 2e-2
    assert errors[1] < 5e-4
    assert 2.5 < counts[1] / counts[0] < 8  # third-order errors: 100^(1/3) = 4.6


def test_a_rejected_step_leaves_no_trace():
    control = StepControl(1e-3, 1e-9, 1.0, 1e-4)
    clean, forced = TimeStepper(_decaying(), control), TimeStepper(_decaying(), control)
    for stepper in (clean, forced):
        stepper.advance(1e-2)
        stepper.advance(1e-2)
    forced.step = 10.0  # far too large: rejected, perhaps several times
    forced.forward(1e9)
    assert forced.rejected > 0
    clean.advance(forced.time - clean.time)
    assert np.allclose(clean.system.u.x.array, forced.system.u.x.array, rtol=1e-12)


def _polymer_cell(n=6, exchange=20.0):
    domain = rectangle(n, (0.0, 0.0), (2e-5, 1e-5))
    law = Kinetics(exchange, reference_concentration=1000.0)
    sides = [Electrode(side, "film", "Li+", law) for side in ("left", "right")]
    system = TransportSystem(domain, [Medium("film", Electroneutral(), SALT)], sides)
    system.set_field("film", "Li+", 1000.0)
    return system, system.contacts["left"]


def test_charge_and_salt_are_conserved():
    system, cell = _polymer_cell()
    before = system.amount("film", "Li+")
    stepper = TimeStepper(system, StepControl(1e-3, 1e-7, 10.0))
    balance = []

    def watch(record):
        other = system.contacts["right"].current
        balance.append(abs(cell.current + other) / abs(cell.current))

    records = run_protocol(stepper, cell, [Galvanostatic(100.0, (AfterTime(5.0),))], watch)
    assert max(balance) < 1e-10
    passed = records[-1].charge * 1e-5 / FARADAY
    assert abs(system.amount("film", "Li+") - before) < 1e-10 * passed
    values = system.sample("film", "Li+")[0]
    assert np.ptp(values) > 200  # it does polarise
    assert system.amount("film", "X-") == pytest.approx(before, rel=1e-13)


def test_protocol_steps_end_where_they_should():
    system, cell = _polymer_cell(2)
    stepper = TimeStepper(system, StepControl(1e-3, 1e-6, 5.0, 2e-3))
    steps = [
        Galvanostatic(50.0, (AfterCapacity(100.0), AfterTime(1e4))),
        Rest((AfterTime(0.5),)),
        CurrentRamp(0.0, 40.0, (AtVoltage(0.06),)),
        Potentiostatic(0.03, (AtCurrentDensity(50.0), AfterTime(30.0))),
        VoltageRamp(0.03, -0.02, (AtVoltage(-0.01),)),
    ]
    records = run_protocol(stepper, cell, steps)
    last = [[r for r in records if r.step == k][-1] for k in range(len(steps))]
    assert last[0].charge == pytest.approx(100.0, rel=1e-5)
    assert last[0].time == pytest.approx(2.0, rel=1e-5)
    assert last[1].time - last[0].time == pytest.approx(0.5, rel=1e-5)
    assert last[1].current_density == pytest.approx(0.0, abs=1e-6)
    assert last[2].voltage == pytest.approx(0.06, rel=1e-5)
    elapsed = last[2].time - last[1].time
    assert last[2].current_density == pytest.approx(40.0 * elapsed, rel=1e-6)
    assert last[3].voltage == pytest.approx(0.03, rel=1e-9)
    assert last[4].voltage == pytest.approx(-0.01, rel=1e-5)
    assert last[4].time - last[3].time == pytest.approx(2.0, rel=1e-5)


def test_depletion_names_the_species_the_place_and_the_time_and_keeps_the_state():
    system, current = driven_film(MPI.COMM_SELF, 30e-6 * (1 - (1 - np.linspace(0.0, 1.0, 41)) ** 2))
    current.value = 4000.0  # Sand: a quarter of 97.488 ms
    stepper = TimeStepper(system, StepControl(1e-6, 1e-7, 1e-2, 1e-3))
    with pytest.raises(Depletion, match="has run out") as failure:
        stepper.march(1.0)
    error = failure.value
    assert (error.medium, error.species) == ("film", "Li+")
    assert error.position[0] == pytest.approx(30e-6)
    assert error.time == pytest.approx(0.097488 / 4, rel=2e-2)
    assert np.array_equal(error.state.values, system.u.x.array)
    assert error.state.time == stepper.time == error.time
    assert 0 <= error.concentration < 10
    assert system.sample("film", "Li+")[0].min() >= 0


def test_depletion_at_an_electrode_under_galvanostatic_control():
    system, cell = _polymer_cell(6)
    stepper = TimeStepper(system, StepControl(1e-3, 1e-6, 5.0, 1e-3))
    with pytest.raises(Depletion) as failure:  # the limit is 386 A/m²
        run_protocol(stepper, cell, [Galvanostatic(1000.0, (AfterTime(1e3),))])
    assert failure.value.position[0] == pytest.approx(2e-5)
    assert failure.value.species == "Li+"
    assert np.isfinite(system.u.x.array).all()


def test_a_step_below_the_minimum_is_named():
    stepper = TimeStepper(_decaying(), StepControl(1e-2, 9e-3, 1.0, 1e-9))
    with pytest.raises(StepTooSmall, match="step below minimum") as failure:
        stepper.march(1.0)
    assert not isinstance(failure.value, Depletion)
    assert np.array_equal(failure.value.state.values, stepper.system.u.x.array)


def test_symmetric_cell_of_a_single_ion_conductor_under_given_current():
    """V01 by one solve: the metal's potential is an unknown."""
    domain = rectangle(4, (0.0, 0.0), (1e-4, 1e-4))
    medium = Medium("oxide", SingleIon(0.05), (Species("Li+", 1, 1.0),))
    law = Kinetics(10.0)
    system = TransportSystem(domain, [medium], [Electrode(side, "oxide", "Li+", law) for side in ("left", "right")])
    system.contacts["left"].control_current(10.0)
    system.solve()
    assert system.contacts["left"].potential == pytest.approx(0.0694543, rel=1e-5)
    assert system.contacts["right"].mean_current_density == pytest.approx(-10.0, rel=1e-7)
    system.contacts["left"].control_potential(0.2)
    system.solve()
    assert system.contacts["left"].mean_current_density == pytest.approx(33.6348, rel=1e-5)


def test_wrong_steps_are_refused():
    with pytest.raises(UserError, match="in this order"):
        StepControl(1.0, 2.0, 3.0)
    with pytest.raises(UserError, match="positive duration"):
        AfterTime(0.0)
    with pytest.raises(UserError, match="no end condition"):
        run_protocol(TimeStepper(_decaying(), StepControl(1e-3, 1e-6, 1.0)), None, [Rest(())])
