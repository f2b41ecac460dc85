"""Stress of plastic flow from a trajectory that was driven elsewhere: its cells, the stresses in its frames, its temperature.

The true strain along an axis is ln(L/L_0) of the cell; its slope in time is the rate, which must be one. What is read of the
stresses, and what is no flow, is as of the product's own driven runs (`atomistic.creep`). The kinetic part of the stress is that
of the velocities where frames hold them; else that of equipartition, which is the same along every axis and drops out.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units

from atomistic.creep import MINIMUM_WINDOWS, Drive, Flow, _steady
from atomistic.crystallinity import NAMES, averaged, match, window_of
from atomistic.frames import stress_of
from coupling.errors import UserError

LEAST = 0.01
"""True strain below which a cell is not driven."""
UNEVEN = 0.02
"""Largest distance of the strain from a straight line in time, as a share of the whole strain."""


def flow(
    frames: Sequence[Atoms], interval: float, axis: int, skip: float | None = None, temperature: float | None = None
) -> Flow:
    """Stress–rate point of a driven trajectory.

    Args:
        frames: with stresses, cell vectors along x, y and z. interval: between them, s. axis: driven one, 0, 1 or 2.
        skip: strain before steady flow; None: half of the whole. temperature: K; None: that of the velocities.

    Raises:
        UserError: a tilted cell, one that is not driven at one rate, or more along another axis, a frame without stress, no
            temperature, or fewer than twice MINIMUM_WINDOWS frames of steady flow.
    """
    cells = np.array([frame.cell.array for frame in frames])
    if np.abs(cells * (1 - np.eye(3))).max() > 1e-6 * np.abs(cells).max() or any(frame.cell.rank < 3 for frame in frames):
        raise UserError("a driven cell with its vectors along x, y and z is needed")
    _require_driven(cells, axis)
    strains = np.log(cells[:, axis, axis] / cells[0, axis, axis])
    rate, whole = _rate(strains, interval), abs(float(strains[-1]))
    skip = whole / 2 if skip is None else skip
    heat = _temperatures(frames) if temperature is None else np.full(len(frames), temperature)
    drive = Drive(rate, whole, skip, float(heat.mean()), axis)
    late = int((np.abs(strains) > skip).sum())
    if late < 2 * MINIMUM_WINDOWS:
        raise UserError(f"{late} frames beyond a strain of {skip:.3g}, {2 * MINIMUM_WINDOWS} are needed: frames more often, a "
                        "smaller skip or a larger strain")  # fmt: skip
    window = window_of(frames)
    ends = [averaged(part, window)[0] for part in (frames[:window], frames[-window:])]
    found = [match(one).names for one in ends]
    start, end = ({name: float(np.mean(names == name)) for name in NAMES} for names in found)
    return _steady(deviators(frames, axis)[1:], heat[1:], drive, (start, end))


def _require_driven(cells: np.ndarray, axis: int) -> None:
    """Refuse cells (frames, 3, 3) whose last one is strained more along another axis. Raises UserError naming it."""
    ends = np.log(np.diagonal(cells[-1]) / np.diagonal(cells[0]))
    most = int(np.argmax(np.abs(ends)))
    if abs(ends[most]) > max(abs(ends[axis]), LEAST):
        told = f"the cell strains by {ends[axis]:.3g} along {'abc'[axis]} but by {ends[most]:.3g} along {'abc'[most]}"
        raise UserError(f"{told}: it is driven along {'abc'[most]}; --axis {'abc'[most]}")


def _rate(strains: np.ndarray, interval: float) -> float:
    """Rate, 1/s, of strains (frames,) that must grow evenly. Raises UserError where they do not."""
    whole = float(strains[-1])
    if len(strains) < 3 or abs(whole) < LEAST:
        told = f"the cell strains by {whole:.3g} along the axis from the first frame to the last"
        raise UserError(f"{told}: it is not driven ({LEAST:g} at least is needed)")
    away = float(np.abs(strains - np.linspace(0, whole, len(strains))).max())
    if away > UNEVEN * abs(whole):
        raise UserError(f"the strain is up to {away:.3g} off a straight line in time: it is not driven at one rate")
    return whole / ((len(strains) - 1) * interval)


def deviators(frames: Sequence[Atoms], axis: int) -> np.ndarray:
    """Uniaxial deviator σ_axis - mean of the two across (frames,), Pa, tension positive. Raises UserError: no (finite) stress."""
    across, found = [place for place in range(3) if place != axis], []
    for number, frame in enumerate(frames):
        momenta = frame.get_momenta()
        own = np.diag(stress_of(frame, number)) - (momenta**2 / frame.get_masses()[:, None]).sum(axis=0) / frame.get_volume()
        found.append((own[axis] - own[across].mean()) / units.Pascal)
    return np.array(found)


def _temperatures(frames: Sequence[Atoms]) -> np.ndarray:
    """Kinetic temperatures (frames,), K. Raises UserError where a frame holds no velocities."""
    found = np.array([frame.get_temperature() for frame in frames])
    if not (found > 0).all():
        raise UserError('frames hold no velocities to read a temperature from; --temperature "300 K"')
    return found
