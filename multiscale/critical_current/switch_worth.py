"""What a switch is worth: critical currents with everything against those without one thing, in the same microstructures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from coupling.errors import RunFailure
from multiscale.critical_current.sampling import Run

SMALLEST_CURRENT = 1e-3
"""Critical currents below this (A/m²) count as this."""


def worth(name: str, with_all: Sequence[Run], without: Sequence[Run], cap: float | None = None) -> dict[str, Any]:
    """The comparison of one switch; A/m² in, mA/cm² out.

    Args:
        name: of the switch.
        with_all, without: runs of the same microstructures, in order; a pair in which one failed is left out.
        cap: critical current of a mechanism that the switch does not touch, A/m²: the smaller one counts on both sides.

    Returns:
        "with", "without" (medians), "factor" (with over without: median, "smallest", "largest"), "microstructures", and which
        bound each of the three is: "with_bound", "without_bound", "factor_bound" ("lower", "upper", "unknown" where bounds
        pull it different ways, or None: a value).

    Raises:
        RunFailure: no microstructure in which both runs succeeded.
    """
    pairs = [(a, b) for a, b in zip(with_all, without, strict=True) if not (a.failure or b.failure)]
    if not pairs:
        reason = next(run.failure for run in (*with_all, *without) if run.failure)
        told = "no microstructure in which both the run with and the one without it succeeded"
        raise RunFailure(f"worth of {name}: {told}; the first failure: {reason}. The same command runs the failed ones again")
    one, other = ([_capped(pair[side], cap) for pair in pairs] for side in (0, 1))
    factor = np.array([a.value / b.value for a, b in zip(one, other, strict=True)])
    return {
        "with": float(np.median([run.value for run in one])) / 10, "without": float(np.median([run.value for run in other])) / 10,
        "unit": "mA/cm^2", "factor": float(np.median(factor)), "smallest": float(factor.min()), "largest": float(factor.max()),
        "with_bound": _joined({run.bound for run in one}), "without_bound": _joined({run.bound for run in other}),
        "factor_bound": _joined({_of_quotient(a.bound, b.bound) for a, b in zip(one, other, strict=True)}),
        "microstructures": len(pairs),
    }  # fmt: skip


def _capped(run: Run, cap: float | None) -> Run:
    """A run beside another mechanism's critical current: the smaller of the two, and no bound where that is the other's."""
    value = max(run.value, SMALLEST_CURRENT)
    if cap is None or value <= cap:
        return Run(value, run.bound)
    return Run(cap, run.bound if run.bound == "upper" else None)


def _of_quotient(above: str | None, below: str | None) -> str | None:
    """Which bound a/b is where a and b are bounds."""
    turned = {"lower": "upper", "upper": "lower", None: None}[below]
    return _joined({above, turned})


def _joined(bounds: set[str | None]) -> str | None:
    """The bound of a number made of several: the one that all which are bounds share."""
    told = bounds - {None}
    return "unknown" if len(told) > 1 else next(iter(told), None)


def sign_of(bound: str | None) -> str:
    """How a bound is written before its number."""
    return {"lower": "≥ ", "upper": "≤ ", "unknown": "unknown, "}.get(str(bound), "")
