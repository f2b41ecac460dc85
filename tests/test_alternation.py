"""Turns of displacement and damage: the accelerated ones end where the plain ones do, and what gives way ends where it says."""

import math
from functools import cache

import numpy as np
import pytest
from mpi4py import MPI

from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.phase_field import CrackModel
from multiscale.mechanics.pressure_curve import PressureCurve, balanced_pressure
from multiscale.verification.fracture import FRACTURE_ENERGY, central_crack

A = 1e-6
"""Half length of the crack, m."""
START = 2 * math.sqrt(math.pi * FRACTURE_ENERGY / 150e9 * (1 - 0.257**2)) * A**1.5 / 4
"""Volume from which it grows (V28), of the quarter that is meshed, m²."""
GROWN = 1.3 * START


def _body(depth=5, tolerance=1e-6):
    body = central_crack(MPI.COMM_SELF, CrackModel("AT1", A / 4), A / 8, A, 1.6 * A, Alternation(tolerance, 2000, depth))
    body.at_volume(0.8 * START)
    return body


@cache
def _grown():
    body = _body()
    return body, body.at_volume(GROWN), body.damage.x.array.copy()


def test_acceleration_ends_where_plain_turns_do():
    _, found, damage = _grown()
    plain = _body(depth=0)
    slow = plain.at_volume(GROWN)
    print("turns", found.turns, slow.turns)
    assert slow.dissipated > 0.02 * slow.fracture
    assert found.pressure == pytest.approx(slow.pressure, rel=2e-5)
    assert np.abs(damage - plain.damage.x.array).max() < 2e-4
    assert found.turns < slow.turns / 3


def test_a_volume_that_gives_way_is_the_volume_of_its_pressure():
    """V = V0 - s (p - p0) holds to rounding, and the state is that at this volume held fast."""
    _, fast, _ = _grown()
    body = _body()
    slack, at = 0.8 * GROWN / fast.pressure, 1.1 * fast.pressure
    given = body.at_volume(GROWN, at, slack)
    assert given.volume == pytest.approx(GROWN - slack * (given.pressure - at), rel=1e-9)
    assert abs(given.volume / GROWN - 1) > 0.02
    again = _body().at_volume(given.volume)
    assert again.pressure == pytest.approx(given.pressure, rel=2e-5)
    assert again.fracture == pytest.approx(given.fracture, rel=2e-5)


def test_one_matrix_is_enough_for_damage():
    """With the matrix assembled once, or at every iteration: the same damage to rounding."""
    body, _, damage = _grown()
    kept = body.lower.x.array.copy()
    body.lower.x.array[:] = 0.0
    once = body._by_damage
    assert once.quadratic
    found = []
    for quadratic in (True, False):
        once.quadratic, body.damage.x.array[:] = quadratic, 0.0
        once.solve()
        found.append(body.damage.x.array.copy())
    once.quadratic, body.lower.x.array[:], body.damage.x.array[:] = True, kept, damage
    assert found[0].max() > 0.3
    assert found[1] == pytest.approx(found[0], abs=1e-10)


def test_a_curve_is_solved_once_a_pressure_and_goes_on_along_its_chord():
    solved, starts, field = [], [], np.zeros(2)

    def solve(pressure):
        starts.append(field.copy())
        solved.append(pressure)
        field[:] = pressure, pressure**2
        return -3.0 * pressure

    curve = PressureCurve(solve, field)
    assert curve.slope() == 0.0
    assert [curve.current(p) for p in (1.0, 1.0, 3.0, 4.0, 4.0)] == [-3.0, -3.0, -9.0, -12.0, -12.0]
    assert solved == [1.0, 3.0, 4.0]
    assert starts[2] == pytest.approx([4.0, 13.0])
    assert curve.slope() == pytest.approx(-3.0)


@pytest.mark.parametrize(("root", "guess"), [(5e7, 6e7), (5e7, 0.0), (5e7, 1e3), (0.0, 1e6)])
def test_the_pressure_that_balances_is_found_from_any_guess(root, guess):
    unit = 1e-23
    found = balanced_pressure(lambda p: 3 * unit * (p - root) if root else unit * (p + 1e5), guess, unit, MPI.COMM_SELF)
    assert found == pytest.approx(root, rel=1e-5)
