"""The root of a rising function whose evaluations are expensive: long secant steps to both sides of it, then Brent's method."""

from collections.abc import Callable

from scipy.optimize import brentq

FIRST_FACTOR = 1.05
"""The second place tried, as a factor of the first: close enough for a slope, far enough from rounding."""
BEYOND = 1.01
"""How far beyond the place that the slope points to the first such step goes, as a factor, so that the other side is reached;
squared with every step that does not reach it."""
FARTHEST = 10.0
"""Largest factor of one step."""


def rising_root(function: Callable[[float], float], first: float, largest: float, tolerance: float) -> float | None:
    """Where a rising function of a positive number becomes zero.

    Args:
        function: rises, at least in sign: negative below the root, positive above it.
        first: place to start from, positive.
        largest: end of the search.
        tolerance: relative error of the root.

    Returns:
        The root, or None where the function is still negative at `largest`.
    """
    known: dict[float, float] = {}

    def kept(place: float) -> float:
        if place not in known:
            known[place] = function(place)
        return known[place]

    here, beyond = min(first * FIRST_FACTOR, largest), BEYOND
    before = here / FIRST_FACTOR
    while (kept(here) < 0) == (kept(before) < 0):
        if kept(here) < 0 and here >= largest:
            return None
        before, here = here, min(_further(before, kept(before), here, kept(here), beyond), largest)
        beyond = min(beyond**2, FARTHEST)
    low, high = sorted((before, here))
    return float(brentq(kept, low, high, xtol=1e-300, rtol=tolerance, maxiter=1000))


def near_root(function: Callable[[float], float], guess: float, slope: float, tolerance: float) -> float | None:
    """Positive root of an increasing function near a guess, by the secant; None where it does not get there in a few steps.

    Args:
        function: of one number.
        guess: positive.
        slope: expected; the root is good where the function is `tolerance` times slope times root.
        tolerance: relative.
    """
    a, fa = guess, function(guess)
    b = max(a - fa / slope, 0.5 * a)
    for _ in range(8):
        fb = function(b)
        if abs(fb) <= tolerance * slope * abs(b):
            return b
        if fb == fa:
            return None
        a, b, fa = b, b - fb * (b - a) / (fb - fa), fb
        if not 0 < b < 10 * guess:
            return None
    return None


def _further(before: float, was: float, here: float, now: float, beyond: float) -> float:
    """A little beyond where the line through two places on the same side of the root meets zero; far where it does not."""
    slope = (now - was) / (here - before)
    zero = here - now / slope if slope > 0 else (float("inf") if now < 0 else 0.0)
    if now < 0:
        return min(max(zero * beyond, here * beyond), here * FARTHEST)
    return max(min(zero / beyond, here / beyond), here / FARTHEST)
