"""What a propagation run tells of how it ended: short, growth that time cut off, standstill; brackets and the hold time; life."""

import pytest

from multiscale.materials import Elastic
from multiscale.mechanics.filament_state import FilamentState
from multiscale.propagation.answer import answer_lines, closing, conditioned, critical_current, hold_table, life, start_of_growth
from multiscale.propagation.books import energy_balance, energy_missing, energy_words, given_back
from multiscale.propagation.protocols import Conditioning, ConstantCurrent, Hold, holds
from multiscale.propagation.settings import CellConditions

L = 2e-6


def _row(time, current, pressure, crack, **other):
    values = {
        "time": time, "current_density": current, "pressure": pressure, "volume": 0.0, "charge": 0.0, "flat_charge": 0.0,
        "extruded": 0.0, "current": 0.0, "potential": 0.01, "tip": (0.0, crack), "length": crack, "crack_area": crack,
        "front": crack, "elastic": 0.0, "fracture": 0.0, "work": 0.0, "dissipated": 0.0, "rounds": 1,
    }  # fmt: skip
    return FilamentState(**(values | other))


def _holds(*currents, time=10.0):
    return tuple(Hold(i, time) for i in currents)


def _rows(*holds):
    """Start, and four times in each hold of 10 s: (current, crack before, crack after, pressure before, pressure after)."""
    rows = [_row(0.0, 0.0, 0.0, 10e-6)]
    for number, (current, before, after, low, high) in enumerate(holds):
        for k in range(1, 5):
            share = k / 4
            rows.append(_row(10 * (number + share), current, low + share * (high - low), before + share * (after - before)))
    return rows


QUIET = (120.0, 10e-6, 10e-6, 200e6, 200e6)
RISING = (120.0, 10e-6, 10e-6, 180e6, 200e6)
GROWING = (140.0, 10e-6, 20e-6, 205e6, 190e6)


def test_growth_that_time_cut_off_is_no_lower_bound():
    """The defect this guards: a run that ended with the crack on its way was told as `above the largest current`."""
    holds = hold_table(_rows(RISING, GROWING), _holds(120.0, 140.0), L)
    ccd = critical_current(holds, shorted=False)
    assert ccd["criterion"] == "growth"
    assert ccd["bound"] is None
    assert (ccd["low"], ccd["value"], ccd["high"]) == (12.0, 14.0, 14.0)
    assert "still rising (by up to 10.0% in another hold)" in ccd["interval"]
    assert "held for 10 s" in ccd["interval"]
    told = "\n".join(answer_lines(_summary(ccd, holds)))
    assert "the protocol ended while the crack was still growing at 14 mA/cm^2 (1 um/s; at that speed 20 s more" in told
    assert "no lower bound" in told
    assert "above it" not in told


def test_the_start_is_told_above_the_stress_that_closes_the_flaw():
    """ν P/(1 - ν) less the tension that is there already."""
    conditions = CellConditions.model_construct(temperature=298.15, stack_pressure=30e6, residual_stress=4e6)
    assert closing(conditions, Elastic(150e9, 0.25)) == pytest.approx(30 / 3 - 4)


def test_the_same_holds_with_a_short_or_a_standstill():
    shorted = critical_current(hold_table(_rows(QUIET, GROWING), _holds(120.0, 140.0), L), shorted=True)
    assert (shorted["criterion"], shorted["value"], shorted["low"]) == ("short", 14.0, 12.0)
    assert "had settled" in shorted["interval"]
    rows = _rows(QUIET, (140.0, 10e-6, 10e-6, 205e6, 210e6))
    still = critical_current(hold_table(rows, _holds(120.0, 140.0), L), shorted=False)
    assert (still["criterion"], still["bound"], still["value"], still["low"]) == ("none", "lower", 14.0, 14.0)
    stalled = [*_rows(GROWING), *(_row(t, 140.0, 190e6, 20e-6) for t in (12.0, 16.0, 20.0))]
    after = critical_current(hold_table(stalled, _holds(140.0, 140.0), L), shorted=False)
    assert (after["criterion"], after["bound"]) == ("none", "lower")


def test_growth_at_the_first_current_leaves_nothing_below():
    ccd = critical_current(hold_table(_rows(GROWING), _holds(140.0), L), shorted=True)
    assert (ccd["low"], ccd["value"]) == (0.0, 14.0)
    assert "nothing is known below" in ccd["interval"]


def test_a_hold_that_was_cut_is_not_a_quiet_one():
    """Twenty seconds asked, ten held: its current is no lower end of the bracket."""
    rows = [row for row in _rows(QUIET, GROWING) if row.time <= 17.5]
    holds = hold_table(rows, (*_holds(120.0), *_holds(140.0, time=20.0)), L)
    assert [hold["held_s"] for hold in holds] == [10.0, 7.5]
    assert critical_current([*holds[:1], holds[1] | {"grew": False, "growing_at_its_end": False}], shorted=False)["value"] == 12.0
    assert critical_current(holds, shorted=True)["low"] == 12.0


def test_a_short_in_a_hold_that_strips_is_told_at_the_current_that_plated():
    holds = hold_table(_rows(QUIET, GROWING), _holds(120.0, 140.0), L)
    stripping = {**holds[1], "current_mA_per_cm2": -14.0}
    ccd = critical_current([*holds, stripping], shorted=True)
    assert (ccd["value"], ccd["low"]) == (14.0, 12.0)


def test_life_counts_what_was_plated():
    """1 mA/cm² for an hour is 1 mAh/cm²; what is stripped is not counted, the last half cycle alone is told apart."""
    rows = [_row(0.0, 0.0, 0.0, L), _row(3600.0, 10.0, 0.0, L), _row(5400.0, -10.0, 0.0, L), _row(6300.0, 10.0, 0.0, L)]
    told = life(rows, shorted=True)
    assert told["plated_mAh_per_cm2"] == pytest.approx(1.25)
    assert told["capacity_of_the_last_half_cycle_mAh_per_cm2"] == pytest.approx(0.25)
    assert told["time_s"] == 6300.0


def test_energy_balance_is_what_is_missing():
    rows = [_row(0.0, 0.0, 0.0, L, fracture=5.0), _row(1.0, 1.0, 0.0, L, work=10.0, elastic=4.0, fracture=10.0)]
    assert energy_balance(rows) == {"at_the_end": pytest.approx(0.1), "least": 0.0}


def test_the_energy_that_is_missing_is_measured_by_the_largest_and_told_by_its_sign():
    """A cycle that takes nearly all work out again: the same 0.4 is 4 % of what was there, not 80 % of what is left."""
    begin, full = _row(0.0, 0.0, 0.0, L, fracture=5.0), _row(1.0, 1.0, 0.0, L, work=10.0, elastic=9.9, fracture=5.5)
    empty = _row(2.0, -1.0, 0.0, L, work=0.5, elastic=0.0, fracture=5.9)
    found = energy_balance([begin, full, empty])
    assert found == {"at_the_end": pytest.approx(-0.04), "least": pytest.approx(-0.04)}
    for elastic, said in ((9.9, "More is stored and spent than the work that was counted"), (1.0, "is lost in sudden growth")):
        told = energy_words(*energy_missing([0.0, 10.0], [0.0, elastic], [5.0, 5.5]))
        assert said in told
    assert "Before, up to 0.04 more was there" in energy_words(*energy_missing([0, 10.0, 10.0], [0, 9.9, 2.0], [5.0, 5.5, 6.0]))


def test_the_start_is_told_where_half_a_length_has_grown():
    """Grown by 3 l in one step while the pressure went from 300 to 360 MPa: a sixth of the way."""
    rows = [_row(0.0, 0.0, 0.0, 4 * L), _row(1.0, 120.0, 300e6, 4 * L), _row(4.0, 140.0, 360e6, 7 * L)]
    found = start_of_growth(rows, L, 0.0, Elastic(150e9, 0.25))
    assert (found["pressure_MPa"], found["time_s"]) == (pytest.approx(310.0), pytest.approx(1.5))
    assert (found["current_mA_per_cm2"], found["net_pressure_MPa"]) == (pytest.approx(14.0), pytest.approx(310.0))
    assert start_of_growth(rows[:2], L, 0.0, Elastic(150e9, 0.25)) is None


def test_what_a_profile_gives_back_is_told():
    rows = [_row(float(k), 1.0, 0.0, L, fracture=energy) for k, energy in enumerate((5.0, 7.0, 6.5, 6.9, 6.8))]
    assert given_back(rows) == pytest.approx(0.6)


def test_a_test_that_only_strips_says_nothing_about_a_critical_current():
    holds = hold_table(_rows((-100.0, 10e-6, 10e-6, 0.0, 0.0)), _holds(-100.0), L)
    ccd = critical_current(holds, shorted=False)
    assert "nothing was plated" in ccd["interval"]
    told = "\n".join(answer_lines(_summary(ccd, holds)))
    assert "nothing was plated" in told
    assert "nothing follows about a critical current" in told
    assert "above it" not in told
    assert "the crack never started; it grew by 0.3 um in all" in told
    cut = [hold | {"asked_s": 40.0} for hold in hold_table(_rows(QUIET), _holds(120.0), L)]
    assert "no current was held to the end" in "\n".join(answer_lines(_summary(critical_current(cut, shorted=False), cut)))


def test_conditioning_is_told_and_is_not_the_test():
    """Two half cycles at 20 mA/cm² before a test at 12: they are no current that the test held, and their charge is told."""
    before = Conditioning.model_construct(current=200.0, half_cycle=10.0, capacity=None, rest=0.0, cycles=1)
    protocol = ConstantCurrent.model_construct(conditioning=before, current=120.0, time=10.0, capacity=None)
    plate, strip = (200.0, 10e-6, 10.2e-6, 150e6, 150e6), (-200.0, 10.2e-6, 10.2e-6, 0.0, 0.0)
    rows = _rows(plate, strip, (120.0, 10.2e-6, 10.2e-6, 90e6, 90e6))
    table = hold_table(rows, holds(protocol), L, len(protocol.before))
    assert [hold["conditioning"] for hold in table] == [True, True, False]
    ccd = critical_current(table, shorted=False)
    assert (ccd["value"], ccd["criterion"], ccd["bound"]) == (12.0, "none", "lower")
    assert critical_current(table[:2], shorted=False)["value"] == 0.0  # what was held while it was conditioned is no test
    found = conditioned(rows, protocol)
    assert found["plated_mAh_per_cm2"] == pytest.approx(200 * 10 / 36e3)
    assert (found["growth_um"], found["time_s"]) == (pytest.approx(0.2), 20.0)
    told = "\n".join(answer_lines(_summary(ccd, table) | {"conditioning": found, "trials": []}))
    assert "conditioned before by 1 cycle at 20 mA/cm^2: 20 of 20 s passed, 0.0556 mAh/cm^2 plated, the crack grew" in told


def _summary(ccd, holds):
    """What answer_lines reads, of a run without a short."""
    return {
        "ccd": ccd, "holds": holds, "time_s": 20.0, "ended": "protocol", "thickness_um": 40.0, "crack_length_um": 20.0,
        "started": None, "largest_pressure_MPa": 205.0, "dry_tip_um": 0.0, "steps": 8, "retries": 0, "growth_um": 0.3,
        "life": {"plated_mAh_per_cm2": 0.07}, "error_bar": {}, "attribution": {}, "method": "ccd-ramp", "at_best_values": ccd,
        "mechanisms": {"propagation": ccd},
    }  # fmt: skip
