"""V24's own reference: the integral equation of a filament that takes no net current, its Green function and its limits.

That the product meets it is tested with the other exact problems (test_verify.py).
"""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import exp1

from multiscale.verification.detour_reference import EDGE_CRACK, breaking_current, inert_flaws, stalled_drop


@pytest.mark.parametrize(("y", "source", "reaction"), [(0.3, 0.8, 0.5), (1.0, 0.2, 3.0), (0.5, 0.45, 0.02)])
def test_the_green_function_is_its_fourier_integral(y, source, reaction):
    """Half plane with a Robin condition: 1/(2πκ) ∫ dk/k [e^(-k|y-y'|) + (k-h)/(k+h) e^(-k(y+y'))], h = 1/κR."""
    h, near, far = 1 / reaction, abs(y - source), y + source

    def spectrum(k):
        return (math.exp(-k * near) + (k - h) / (k + h) * math.exp(-k * far)) / k

    by_spectrum = sum(quad(spectrum, a, b, limit=200)[0] for a, b in ((1e-12, 1.0), (1.0, 40 / near)))
    closed = math.log(far / near) + 2 * math.exp(far * h) * exp1(far * h)
    assert by_spectrum == pytest.approx(closed, rel=1e-6)


def test_the_equation_is_converged_and_has_its_limits():
    for reaction in (10.0, 1.0, 0.1, 0.01):
        assert stalled_drop(reaction) == pytest.approx(stalled_drop(reaction, 200), rel=1e-4)
    assert stalled_drop(1e3) == pytest.approx(1000.5, rel=1e-6)  # kinetics alone, and half of the drop
    for reaction in (0.01, 0.001):  # metal without kinetics: nothing is left, by the logarithm
        assert stalled_drop(reaction, 1000) * (math.log(1 / reaction) + 0.49) == pytest.approx(math.pi / 2, rel=0.02)


def test_the_exponent_lies_between_kinetics_and_detour():
    """At one exchange current density i_c ∝ c^(-1/2) for short flaws and nears c^(-3/2) for long ones, slowly."""
    depths = np.array([1e-8, 1e-6, 1e-5, 1e-4, 1e-2])  # κRT/(F i0) = 10 µm
    currents = [[breaking_current(stalled_drop(1e-5 / c), c, EDGE_CRACK) for c in (depth, 1.1 * depth)] for depth in depths]
    exponents = [math.log(long / short) / math.log(1.1) for short, long in currents]
    print("exponents", np.round(exponents, 3))
    assert exponents[0] == pytest.approx(-0.5, abs=0.01)
    assert all(-1.5 < after < before for before, after in itertools.pairwise(exponents))
    assert exponents[-1] < -1.3


def test_the_inert_flaw_is_the_printed_law():
    law = [0.05 * 1.3e-5 * 1.25e6 * math.sqrt(math.pi / 4) / (96485.33212 * c**1.5) for c in (10e-6, 50e-6)]
    assert list(inert_flaws().values()) == pytest.approx(law, rel=1e-12)
