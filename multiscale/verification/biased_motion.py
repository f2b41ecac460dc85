"""Escape over a barrier through the product's own infrequent metadynamics (V15)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

BARRIER, WALKERS, STEP = 5.0, 1600, 2e-3
"""Barrier b in k_B T, independent walkers, time step (D = 1)."""


def double_well(comm: Any) -> Mapping[str, float]:
    """Mean first passage time from -1 to 1 in b (x² - 1)² k_B T, each walker under hills that come every 500 steps.

    Hills lie in x < -0.8 and end before -0.45, which keeps the barrier free. The standard error is 1/√WALKERS of the value.
    """
    from atomistic.escape import escape_rate
    from atomistic.metadynamics import Hills, escapes
    from atomistic.walkers import Overdamped

    walkers = Overdamped(lambda x: 4 * BARRIER * x * (x * x - 1), np.full(WALKERS, -1.0), STEP, seed=15)
    hills = Hills(-2.0, 1.0, 151, 0.1, 0.4, 1.0, 5.0, deposited=(-2.0, -0.8))
    times, _ = escapes(walkers, hills, 500, 1.0, 10**6)
    return {"double well of 5 kT, mean first passage": escape_rate(times).mean_time}
