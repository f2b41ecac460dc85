"""Anderson's acceleration: as many places as there are slow modes end them, however the values are spread over ranks."""

import numpy as np
import pytest
from mpi4py import MPI

from multiscale.solvers.anderson import Anderson

RATES = np.concatenate([[0.95, 0.9, 0.7], np.zeros(40)])
"""Factor on the error of each mode in one plain step."""
CROSSED = np.linalg.qr(np.random.default_rng(1).normal(size=(43, 43)))[0]
END = np.arange(43.0)


def _map(x):
    return END + CROSSED @ (RATES * (CROSSED.T @ (x - END)))


def _errors(depth, steps):
    past, x, errors = Anderson(MPI.COMM_SELF, depth), np.zeros(43), []
    for _ in range(steps):
        x = past.next(x, _map(x))
        errors.append(np.linalg.norm(x - END))
    return errors


def test_three_slow_modes_end_after_three_differences():
    """A linear map whose error has k slow modes: k + 1 evaluations know it (as GMRES does, Walker & Ni, theorem 2.2)."""
    assert _errors(5, 5)[4] < 1e-9 * _errors(5, 1)[0]
    assert _errors(2, 5)[4] > 1e-6
    assert _errors(5, 3)[2] > 1e-6


def test_without_depth_it_is_the_plain_iteration():
    x = np.zeros(43)
    for _ in range(4):
        x = _map(x)
    assert _errors(0, 4)[3] == pytest.approx(np.linalg.norm(x - END), rel=1e-12)


def test_what_is_forgotten_has_no_effect():
    past = Anderson(MPI.COMM_SELF, 5)
    past.next(np.zeros(43), _map(np.zeros(43)))
    past.forget()
    assert past.next(END + 1, _map(END + 1)) == pytest.approx(_map(END + 1))


def test_residuals_that_repeat_do_no_harm():
    past, x = Anderson(MPI.COMM_SELF, 5), np.ones(43)
    for _ in range(4):
        found = past.next(x, _map(x))
    assert np.all(np.isfinite(found))


class _Halves:
    """Two communicators in one: this half's values, and the products of the other half added."""

    def __init__(self, other):
        self.other = other

    def allreduce(self, products, op):
        return products + self.other(products)

    def bcast(self, value):
        return value


def test_ranks_share_the_products():
    """One half of the values alone, with the other half's products added, moves as it does in the whole."""
    whole = Anderson(MPI.COMM_SELF, 5)
    places = [np.zeros(43), np.ones(43), END / 2]
    for x in places:
        found = whole.next(x, _map(x))
    steps = np.diff([_map(x)[20:] - x[20:] for x in places], axis=0)

    def other(products):
        n = len(products) - 1
        held = steps[:n]
        return np.vstack([held @ held.T, held @ (_map(places[n]) - places[n])[20:]])

    half = Anderson(_Halves(other), 5)
    for x in places:
        part = half.next(x[:20], _map(x)[:20])
    assert part == pytest.approx(found[:20], rel=1e-9)
