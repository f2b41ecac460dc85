"""Continuation: a solution followed while a parameter goes to where it is wanted, in smaller steps where it is hard."""

from collections.abc import Callable, Iterable
from typing import Any

from coupling.errors import RunFailure


class ContinuationStalled(RunFailure):
    """No step towards the wanted value succeeded. Attributes: `reached` (None: nowhere) and `wanted`."""

    def __init__(self, reached: float | None, wanted: float, error: Exception) -> None:
        """Say how far it came."""
        at = "" if reached is None else f" beyond {reached:.6g}"
        super().__init__(f"continuation stopped{at} on the way to {wanted:.6g}: {error}")
        self.reached, self.wanted = reached, wanted


def ramp(values: Iterable[float], solve: Callable[[float], Any], start: float | None = None, halvings: int = 6) -> list[Any]:
    """Continuation: call `solve` at each value, going there in smaller steps when it fails.

    Args:
        values: parameter values in order.
        solve: solves at one value from the last solution; raises RunFailure (leaving the last solution) when it cannot.
        start: value at which the present solution holds; without it the first value is not approached in steps.
        halvings: how often a step may be halved.

    Returns:
        Results at the asked values (not at those in between).

    Raises:
        ContinuationStalled: a step failed after `halvings` halvings; the last solution, that at `reached`, still stands.
    """
    results: list[Any] = []
    here = start
    for value in values:
        results.append(_approach(here, float(value), solve, halvings))
        here = float(value)
    return results


def _approach(here: float | None, there: float, solve: Callable[[float], Any], halvings: int) -> Any:
    try:
        return solve(there)
    except ContinuationStalled:
        raise
    except RunFailure as error:
        if here is None or halvings == 0:
            raise ContinuationStalled(here, there, error) from error
    middle = (here + there) / 2
    _approach(here, middle, solve, halvings - 1)
    return _approach(middle, there, solve, halvings - 1)
