"""The film of a transport case: concentrations against depth, with voltage and current up to the same time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from multiscale.reporting.animation import blank, picture

STEPS = 6
"""Steps of the protocol before each time that are shown."""
Table = Mapping[str, Sequence[Any]]


def film(profiles: Table, series: Table, frames: int, pixels: int) -> Iterator[Any]:
    """Pictures at the times of profiles.csv, at most `frames` of them, evenly chosen.

    Args:
        profiles, series: columns of profiles.csv and time_series.csv.
        frames, pixels: how many at most, and how wide.
    """
    times = np.unique(np.array(profiles["time_s"], dtype=float))
    for number in np.unique(np.linspace(0, len(times) - 1, min(frames, len(times))).round().astype(int)):
        yield _picture(profiles, series, float(times[number]), pixels)


def _picture(profiles: Table, series: Table, time: float, pixels: int) -> Any:
    drawing, (left, right) = blank(pixels, (1, 1.2))
    t = np.array(series["time_s"], dtype=float) / 3600
    past = t <= time / 3600 * (1 + 1e-9)
    steps = np.array(series["step"], dtype=float)
    begun = t[steps > steps[past].max(initial=1.0) - STEPS][0] if steps[past].max(initial=1.0) > STEPS else 0.0
    ended = t[-1] if steps[-1] <= STEPS else t[steps <= max(steps[past].max(initial=1.0), STEPS)][-1]
    voltage = np.array(series["voltage_V"], dtype=float) * 1e3
    current = np.array(series["current_density_A_per_m2"], dtype=float) / 10
    left.plot(t[past], voltage[past], color="C0")
    left.set(xlim=(begun, ended), ylim=_limits(voltage), xlabel="time (h)")
    left.set_ylabel("voltage (mV)", color="C0")
    other = left.twinx()
    other.plot(t[past], current[past], color="0.5", lw=1)
    other.set_ylim(*_limits(current))
    other.set_ylabel("current density (mA/cm²)", color="0.4")
    left.set_title(f"{time / 3600:.3g} h", fontsize=9)
    when, media, ions = (np.array(profiles[name]) for name in ("time_s", "medium", "ion"))
    depth, values = np.array(profiles["depth_m"], dtype=float) * 1e6, np.array(profiles["concentration_mol_per_m3"], dtype=float)
    for number, (medium, ion) in enumerate(dict.fromkeys(zip(media, ions, strict=True))):
        here = (when.astype(float) == time) & (media == medium) & (ions == ion)
        style = "-" if number % 2 == 0 else "--"  # the ions of a salt lie on each other
        right.plot(depth[here], values[here], style, color=f"C{number}", label=f"{ion} in {medium}")
    right.set(xlim=(depth.min(), depth.max()), ylim=_limits(values), xlabel="depth from the working electrode (µm)")
    right.set_ylabel("mean concentration (mol/m³)")
    right.ticklabel_format(useOffset=False)
    right.legend(fontsize=7)
    return picture(drawing)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """From the least to the largest, with room; around a value that does not change."""
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 1e-3 * abs(high) or 1.0
    return low - room, high + room
