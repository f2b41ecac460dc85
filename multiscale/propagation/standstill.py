"""The largest current at which a filament stalls, without time: states at rest along a rising volume of lithium.

At rest the filament takes no current: to a crack that holds a volume V at a pressure p(V) belongs one applied current i(V).
While V rises from zero, i rises, and it falls again once the crack runs; the largest i is the last one at which a ramp without
haste stalls. Above it no state is at rest, and the crack grows (`tests/test_standstill.py`). Used by
`benchmarks/propagation.py --convergence`, where steps in time would add their own error to that of the mesh.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from coupling.errors import RunFailure, UserError
from multiscale.mechanics.alternation import GrewTooFar
from multiscale.mechanics.filament import FilamentModel
from multiscale.propagation.answer import STARTED

FIRST = 1e5
"""Pressure of the first volume, Pa: far below any start."""
FINEST = 1e-3
"""Relative step of the volume on both sides of the largest current."""
LEAP = 0.025
"""Growth of the crack in one step over l, at most, unless the step is the finest."""
SOLVED = 1e-8
"""Relative error of a current at rest."""


@dataclass(frozen=True)
class AtRest:
    """A state at rest: applied current density, A/m²; pressure, Pa; volume, m² of the whole cell; length by the faces, m."""

    current: float
    pressure: float
    volume: float
    crack_area: float


def states_at_rest(model: FilamentModel) -> list[AtRest]:
    """States at rest from almost no lithium to a crack that has grown by half of l, on a model at its start; it is left there.

    Raises:
        UserError: lithium leaves the mouth or nothing stalls, so that no state is at rest; or the cell has loads.
        RunFailure: a solve failed.
    """
    if model.properties.creep is not None or not model.properties.pressure_feedback:
        raise UserError("states at rest: they need lithium_creep = false and pressure_feedback = true, for else none is at rest")
    if model.body.response[0] != 0:
        raise UserError("states at rest: the cell has a stack pressure or residual stress; this is for cells without")
    kept, applied = model.snapshot(), float(model.applied.value)
    try:
        return _rising(model)
    finally:
        model.restore(kept)
        model.applied.value, model.body.too_far = applied, None


def largest(states: list[AtRest]) -> AtRest:
    """The state of the largest current."""
    return max(states, key=lambda state: state.current)


def _rising(model: FilamentModel) -> list[AtRest]:
    """Volumes that rise by small steps where the crack grows, the finest where the current passes its largest value."""
    body, length = model.body, model.body.model.length
    end, step = model.crack_area() + STARTED * length, 1.0
    rows = [_at_rest(model, FIRST * body.response[1], 1.0, np.inf)]
    while rows[-1].crack_area <= end:
        last, kept = rows[-1], model.snapshot()
        most = last.crack_area + LEAP * length if step > FINEST else np.inf
        try:
            row = _at_rest(model, last.volume / model.copies * (1 + step), last.current, most)
        except GrewTooFar:
            row = None
        if row is None or (step > FINEST and row.current < last.current and last is largest(rows)):
            model.restore(kept)
            step = max(step / 3, FINEST)
            continue
        rows.append(row)
        step *= 1.5
    return rows


def _at_rest(model: FilamentModel, volume: float, guess: float, most: float) -> AtRest:
    """The state at rest whose crack holds a volume (m², of what is meshed), near a guess of its current, A/m².

    Raises:
        GrewTooFar: the crack is longer than `most`, m; asked at every turn, because a crack that runs takes many.
        RunFailure: a solve failed, or no current up to 1e12 A/m² is at rest.
    """
    model.body.too_far = (lambda: model.crack_area() > most) if most < np.inf else None
    pressure = model.body.at_volume(volume).pressure

    def taken(current: float) -> float:
        model.applied.value = current
        return float(model.domain.comm.bcast(model.transport(pressure)))

    low = high = guess
    while taken(high) <= 0:
        low, high = high, 1.5 * high
        if high > 1e12:
            raise RunFailure(f"states at rest: no current up to {high:.3g} A/m² is at rest at {pressure:.4g} Pa")
    while taken(low) > 0:
        low, high = low / 1.5, low
    current = brentq(taken, low, high, xtol=1e-300, rtol=SOLVED)
    return model.domain.comm.bcast(AtRest(float(current), pressure, model.copies * volume, model.crack_area()))
