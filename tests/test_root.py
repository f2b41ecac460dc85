"""The search for a root: known roots of rising functions of several shapes, few evaluations, and an end when there is no root."""

import math

import pytest

from multiscale.solvers.root import rising_root

ROOT = 3.7
SHAPES = {
    "a line": lambda x: x - ROOT,
    "a far line": lambda x: 1e-9 * (x - ROOT),
    "a logarithm": lambda x: math.log(x / ROOT),
    "sinh of a kinetic overpotential": lambda x: math.asinh(50 * x) - math.asinh(50 * ROOT),
    "a steep exponential": lambda x: math.expm1(5 * (x - ROOT)),
    "falling before it rises": lambda x: x * (x / ROOT - 1),
    "a high power": lambda x: x**15 - ROOT**15,
    "a kink": lambda x: x - ROOT if x < ROOT else 1e4 * (x - ROOT),
}


@pytest.mark.parametrize("first", [1e-6, 0.1, 3.7, 40.0, 1e5])
@pytest.mark.parametrize("name", SHAPES)
def test_roots_of_known_functions(name, first):
    calls = []

    def counted(x):
        calls.append(x)
        return SHAPES[name](min(x, 100.0))

    assert rising_root(counted, first, 1e6, 1e-11) == pytest.approx(ROOT, rel=1e-10)
    assert len(calls) < 75


def test_a_line_takes_few_evaluations():
    calls = []
    assert rising_root(lambda x: calls.append(x) or x - ROOT, 10.0, 1e6, 1e-11) == pytest.approx(ROOT, rel=1e-12)
    assert len(calls) <= 5


def test_noise_of_rounding_does_not_keep_it_going():
    calls = []

    def noisy(x):
        calls.append(x)
        return x - ROOT + 1e-12 * math.sin(1e15 * x)

    assert rising_root(noisy, 1.0, 1e6, 1e-11) == pytest.approx(ROOT, rel=1e-10)
    assert len(calls) < 20


def test_no_root_below_the_largest_place_is_told_and_one_at_its_very_end_is_found():
    assert rising_root(lambda x: x - ROOT, 1.0, 3.0, 1e-11) is None
    assert rising_root(lambda x: x - ROOT, 9.0, 3.0, 1e-11) is None
    assert rising_root(lambda x: x - ROOT, 1.0, ROOT * (1 + 1e-9), 1e-11) == pytest.approx(ROOT, rel=1e-8)


def test_a_function_that_jumps_is_bisected_to_the_jump():
    assert rising_root(lambda x: math.copysign(1.0, x - ROOT), 1.0, 1e6, 1e-11) == pytest.approx(ROOT, rel=1e-10)
