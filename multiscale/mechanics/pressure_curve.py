"""The current into a filament at several pressures, at frozen damage: none is solved twice in a row, two give a first guess."""

from collections.abc import Callable
from typing import Any

import numpy as np

from coupling.errors import RunFailure
from multiscale.solvers.root import near_root, rising_root

SOLVED = 1e-6
"""Relative tolerance of the pressure at frozen damage (the volume is computed from the charge at that pressure, exactly)."""


class PressureCurve:
    """What has been found so far: nothing is solved twice in a row, two pressures give the first guess of the next.

    Args:
        solve: solves transport at a pressure (Pa) from the present potential; current, A/m.
        potential: this rank's values, which `solve` overwrites.
    """

    def __init__(self, solve: Callable[[float], float], potential: np.ndarray) -> None:
        """Nothing is known yet."""
        self._solve, self._potential = solve, potential
        self._known = list[tuple[float, float, np.ndarray]]()

    def current(self, pressure: float) -> float:
        """Current at a pressure, A/m; the potential is then the one of this pressure."""
        if self._known and self._known[-1][0] == pressure:
            return self._known[-1][1]
        if len(self._known) > 1:
            (before, _, was), (last, _, now) = self._known
            self._potential[:] = now + (pressure - last) / (last - before) * (now - was)
        found = self._solve(pressure)
        self._known = [*self._known[-1:], (pressure, found, self._potential.copy())]
        return found

    def slope(self) -> float:
        """Change of the current with the pressure between the last two, A/(m Pa); zero where there is one only."""
        if len(self._known) < 2:
            return 0.0
        (before, was, _), (last, now, _) = self._known
        return (now - was) / (last - before)


def balanced_pressure(excess: Callable[[float], float], guess: float, unit: float, comm: Any) -> float:
    """Pressure at which the volume that a crack holds is that of its lithium, Pa; zero where it holds more without pressure.

    Args:
        excess: volume held less volume of lithium at a pressure, m³ (m²); increasing.
        guess: of the pressure, Pa.
        unit: least slope of the excess, m³/Pa.
        comm: MPI communicator; rank 0 steers.

    Raises:
        RunFailure: there is none below 2⁶⁰ times the first guess.
    """
    near = near_root(excess, guess, unit, SOLVED) if guess > 0 else None
    if near is not None:
        return near
    empty = excess(0.0)
    if empty >= 0:
        return 0.0
    first = max(guess, -empty / unit, 1.0)
    found = rising_root(lambda p: float(comm.bcast(excess(p))), first, first * 2.0**60, SOLVED)
    if found is None:
        raise RunFailure(f"filament: no pressure below {first * 2.0**60:.3g} Pa balances the lithium")
    return found
