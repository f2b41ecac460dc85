"""When a reacting cell has run out of electrolyte or metal, and what of its run lies before that.

A layer grows while there is something on both sides of it; without that its thickness is that of the cell. A parabola cut flat
looks like a layer that has passivated, or like growth of two regimes. Laws, rate and passivation are therefore read off what
lies before; means that lie after it are of what is left, and of low confidence.

What is left of a reactant falls but for noise: it counts as used up from the time at which the falling curve nearest to its
amounts (least squares: isotonic regression) is below LEFT of what was there at the start. A single frame moves that little.
Source: Barlow et al., Statistical Inference under Order Restrictions, Wiley (1972) (memory).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from atomistic.growth import Passivation, passivation
from coupling.record import Property

FEWEST = 3
"""Times at which so little must be left: the last frame alone has nothing after it to be held against."""
LEFT = 0.1
"""Share of what was there at the start below which a reactant is used up.

A tenth of a slab of 5 to 15 nm is 2 to 8 Å at each of its two interfaces, one or two groups of PS4: no slab any more that both
fronts feed on, and growth ends for want of it whatever the layer lets through. In 50 ps of Li | Li7P3S11 (4.5 nm) L dL/dt of the
last third before 30, 20 and 10 % were left is the same within its error, (1.6, 1.5, 1.5 ± 0.2)·10⁻⁷ m²/s; before 5 % half of it.
"""


@dataclass(frozen=True)
class UsedUp:
    """The reactant that was used up first, and from when on (s)."""

    phase: str
    time: float

    @property
    def told(self) -> str:
        """What that means for what is told, in words."""
        when = f"less than {LEFT:.0%} of what was there at the start is left from {1e12 * self.time:.3g} ps on"
        return f"{self.phase} is used up: {when}; laws and rate of growth are of the time before, later means of what is left"

    @property
    def prefix(self) -> str:
        """Beginning of a sentence on what lies before."""
        return f"before {self.phase} was used up, "


def used_up(times: np.ndarray, left: Mapping[str, np.ndarray]) -> UsedUp | None:
    """The first reactant of which less than LEFT of the first amount is left, None where all outlast the run.

    Args:
        times: (n,), s, rising. left: amounts (n,) of every reactant, in any unit, the first of the unreacted cell.
    """
    found = []
    for phase, amounts in left.items():
        falling = isotonic_regression(amounts, increasing=False).x
        below = np.flatnonzero(falling < LEFT * amounts[0])
        found += [UsedUp(phase, float(times[below[0]]))] if len(below) >= FEWEST else []
    return min(found, key=lambda one: one.time, default=None)


def before(times: np.ndarray, gone: UsedUp | None) -> np.ndarray:
    """Which of the times (n,), s, lie before a reactant was used up; all where none was."""
    return np.asarray(times < (np.inf if gone is None else gone.time))


def late_rate(times: np.ndarray, thickness: np.ndarray, gone: UsedUp | None) -> Passivation:
    """Late growth rate of the thicknesses (n,), Å, at times (n,), s, that lie before a reactant was used up.

    A layer that grew until then has not passivated, however slow its end.

    Raises:
        UserError: too few of them (`growth.passivation`).
    """
    kept = before(times, gone)
    end = passivation(times[kept], thickness[kept])
    return end if gone is None else replace(end, passivated=False)


def marked(records: Sequence[Property], gone: UsedUp | None, last: float) -> list[Property]:
    """The records, those that look to a time at which a reactant was used up of low confidence, with the reason.

    A window says how far it looks (`times_s`), and so do laws and rates (`until_s`); a mean about a time t (`time_s`) of a run
    that ends at `last` (s) looks no farther than to 2 t and to the end; what tells no time is of the whole run. What was made
    per electrolyte used up is meant to look so far.
    """
    if gone is None:
        return list(records)
    why = f"told of what is left, some of it or all: {gone.phase} was used up by {1e12 * gone.time:.3g} ps"
    return [record if record.quantity == "reaction_coefficient" or _end(record.conditions, last) < gone.time else
            _doubted(record, why) for record in records]  # fmt: skip


def _end(conditions: Mapping[str, Any], last: float) -> float:
    """Until when a record looks, s."""
    if "times_s" in conditions:
        return float(conditions["times_s"][1])
    return float(conditions.get("until_s", min(2 * conditions.get("time_s", last), last)))


def _doubted(record: Property, why: str) -> Property:
    reasons = "; ".join(filter(None, (record.source.get("low_confidence"), why)))
    return replace(record.with_source(low_confidence=reasons), confidence="low")
