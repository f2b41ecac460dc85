"""Energy books of a propagation run: what came in, what is stored, what is spent, and what is missing."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from multiscale.mechanics.filament_state import FilamentState

BOOKS = 1e-3
"""Share of the largest energy up to which the error of the time steps is not told beside the one at the end."""


def energy_missing(work: Any, elastic: Any, fracture: Any) -> tuple[np.ndarray, float]:
    """Energy that came in and is neither stored nor spent on the crack, at every time (J/m), and the largest energy.

    Positive: lost in sudden growth. Negative: more is there than the work that was counted; ∫ p dV goes by the trapezoidal rule,
    which misses what the pressure rises above the line between two times (it falls as the square of the time step).
    The largest of work, elastic and fracture energy since the start stays a measure where a cycle takes the work out again.

    Args:
        work, elastic, fracture: at every time, the start first, J/m.
    """
    parts = [np.asarray(values, dtype=float) - values[0] for values in (work, elastic, fracture)]
    return parts[0] - parts[1] - parts[2], max(float(np.abs(part).max()) for part in parts)


def energy_balance(rows: Sequence[FilamentState]) -> dict[str, float]:
    """`energy_missing` at the end and at its least, over the largest energy."""
    missing, largest = energy_missing(*([getattr(row, name) for row in rows] for name in ("work", "elastic", "fracture")))
    shares = missing / largest if largest else missing
    return {"at_the_end": float(shares[-1]), "least": float(shares.min())}


def energy_words(missing: np.ndarray, largest: float) -> str:
    """What the energy that is missing means, in a sentence that fits its sign."""
    share, least = (float(value) / largest if largest else 0.0 for value in (missing[-1], missing.min()))
    told = f"{abs(share):.2g} of the largest energy of the run at its end"
    words = (
        f"What came in and is neither stored nor spent ({told}) is lost in sudden growth, or is the error of the time steps."
        if share >= 0 else
        f"More is stored and spent than the work that was counted ({told}): the error of the time steps, between which the "
        "pressure peaked. Smaller steps (time.largest, time.growth) make it less."
    )  # fmt: skip
    if share >= 0 and least < -BOOKS:
        words += f" Before, up to {-least:.2g} more was there than had been counted: the error of the time steps."
    return words


def given_back(rows: Sequence[FilamentState]) -> float:
    """Fracture energy that profiles gave back as they widened (`phase_field.broken_density`), all falls together, J/m."""
    return sum(max(old.fracture - new.fracture, 0.0) for old, new in pairwise(rows))
