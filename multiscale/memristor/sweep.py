"""Bipolar voltage sweeps of a filament device: cycle after cycle, each in linear segments, integrated by LSODA.

The state is the filament's length and, in the same unit, what was plated and stripped: plated - stripped - length does not
change, which the integrator keeps to rounding.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from coupling.errors import RunFailure
from multiscale.memristor.device import LAYER, Currents, Device, currents

TOLERANCE, FLOOR = 1e-8, 1e-16
"""Relative, and absolute in m, error of the length allowed in a step of the integrator."""
SPACING = 0.02
"""Distance of the points of a curve, V, at most."""
MOST = 200_000
"""Evaluations of the growth rate in a segment, at most: an integrator that makes no way is told so."""
LEAST = 20
"""Steps of the integrator in a segment, at least: nothing that begins and ends within one is missed."""


@dataclass(frozen=True)
class Sweep:
    """From 0 V to `positive`, back, to -`negative` and back, at `rate` (V/s); the state is read at `read` (V)."""

    positive: float
    negative: float
    read: float
    rate: float

    def corners(self) -> list[float]:
        """Voltages between which the sweep is linear, V."""
        return [0.0, self.read, self.positive, self.read, 0.0, -self.negative, 0.0]


@dataclass(frozen=True)
class Filament:
    """Between two cycles: length and longest length so far, m."""

    length: float = 0.0
    opened: float = 0.0


@dataclass(frozen=True)
class Cycle:
    """What a cycle was.

    Attributes:
        voltage, current, length: along it, V, A (plating positive) and m.
        set_voltage, reset_voltage: at which the gap fell below, and rose above, a layer of atoms, V; None where it did not.
        on_current, off_current: at the read voltage on the way back and on the way up, A.
        plated, stripped: in lengths of the filament, m.
        area: of the loops at positive and negative voltage, V A; positive where the bridge conducts on the way back, and out.
        largest_current: A.
        end: the filament afterwards.
    """

    voltage: np.ndarray
    current: np.ndarray
    length: np.ndarray
    set_voltage: float | None
    reset_voltage: float | None
    on_current: float
    off_current: float
    plated: float
    stripped: float
    area: tuple[float, float]
    largest_current: float
    end: Filament


def run_cycle(device: Device, sweep: Sweep, before: Filament, nucleation: float = 0.0) -> Cycle:
    """One cycle from the state `before`; where no filament is left, it plates from the voltage `nucleation` (V) on.

    Raises:
        RunFailure: the integrator gave up.
    """
    length, opened, begun = before.length, before.opened, before.length >= LAYER
    plated = stripped = 0.0
    parts: list[np.ndarray] = []
    crossed: dict[int, float] = {}  # voltage at which the gap fell below (1) and rose above (-1) a layer of atoms
    for start, end in itertools.pairwise(sweep.corners()):
        rows = [np.array([[start, _current(device, length, opened, start, begun).total, length]])]
        for low, high, active in _pieces(start, end, nucleation, begun):
            points, moved = _segment(device, sweep.rate, length, opened, low, high, active, crossed)
            rows.append(points)
            length, plated, stripped = length + moved[0], plated + moved[1], stripped + moved[2]
            begun = begun or active
        opened = max(opened, length)
        parts.append(np.vstack(rows))
    return _told(parts, crossed, plated, stripped, Filament(length, opened))


def _pieces(start: float, end: float, nucleation: float, begun: bool) -> Iterator[tuple[float, float, bool]]:
    """A segment cut at the voltage of nucleation: what comes before it does not plate."""
    if begun or end <= start or end <= nucleation:
        yield start, end, begun or (end > start and start >= nucleation > 0) or nucleation <= 0
        return
    if nucleation > start:
        yield start, nucleation, False
    yield max(start, nucleation), end, True


def _current(device: Device, length: float, opened: float, voltage: float, nucleated: bool) -> Currents:
    return currents(device, length, opened, voltage, nucleated)


def _segment(
    device: Device, rate: float, length: float, opened: float, start: float, end: float, nucleated: bool,
    crossed: dict[int, float],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows (voltage, current, length) after the first point, and growth, plated and stripped, m."""
    direction, duration = math.copysign(1.0, end - start), abs(end - start) / rate
    count = max(math.ceil(abs(end - start) / SPACING), 1)
    times = np.linspace(0.0, duration, count + 1)[1:]

    def voltage(t: float) -> float:
        return start + direction * rate * t

    asked = itertools.count()

    def grows(t: float, y: np.ndarray) -> list[float]:
        if next(asked) > MOST:
            raise RunFailure(f"filament: no way is made at {voltage(t):.4g} V and a length of {float(y[0]):.6g} m")
        ionic = currents(device, float(y[0]), opened, voltage(t), nucleated).ionic
        growth = device.volume_per_charge * ionic
        return [growth, max(growth, 0.0), max(-growth, 0.0)]

    def bridged(t: float, y: np.ndarray) -> float:
        return device.thickness - float(y[0]) - LAYER

    found = solve_ivp(
        grows, (0.0, duration), [length, 0.0, 0.0], method="LSODA", t_eval=times, events=bridged, rtol=TOLERANCE, atol=FLOOR,
        max_step=duration / LEAST,
    )  # fmt: skip
    if not found.success:
        raise RunFailure(f"filament: the integrator gave up between {start:.4g} and {end:.4g} V ({found.message})")
    for t in found.t_events[0]:
        crossed.setdefault(1 if voltage(float(t)) > 0 else -1, voltage(float(t)))
    lengths = found.y[0]
    volts = np.append([voltage(t) for t in times[:-1]], end)
    total = [currents(device, float(y), opened, float(u), nucleated).total for y, u in zip(lengths, volts, strict=True)]
    return np.column_stack([volts, total, lengths]), found.y[:, -1] - np.array([length, 0.0, 0.0])


def _told(parts: list[np.ndarray], crossed: dict[int, float], plated: float, stripped: float, end: Filament) -> Cycle:
    """The cycle from its segments: up to read, up, back to read, back, out, in."""
    up, down = np.vstack(parts[:2]), np.vstack(parts[2:4])
    out, back = parts[4], parts[5]
    integral = [float(np.trapezoid(part[:, 1], part[:, 0])) for part in (up, down, out, back)]
    rows = np.vstack(parts)
    return Cycle(
        rows[:, 0], rows[:, 1], rows[:, 2], crossed.get(1), crossed.get(-1), float(parts[2][-1, 1]), float(parts[0][-1, 1]),
        plated, stripped, (-(integral[0] + integral[1]), integral[2] + integral[3]), float(np.max(np.abs(rows[:, 1]))), end,
    )  # fmt: skip
