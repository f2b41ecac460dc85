"""The film of a tip case: what has happened under each place of the map while the voltage rises."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap

from multiscale.reporting.animation import blank, picture

BEFORE = 0.15
"""The film begins at this share of the largest trigger voltage."""
BROKEN, BARE = "#c0392b", "#dddddd"


def film(found: Mapping[str, np.ndarray], rate: float, frames: int, pixels: int) -> Iterator[Any]:
    """Pictures at evenly spaced voltages up to the last trigger.

    Args:
        found: columns of map.csv, each (points²,); a place that did not trigger is NaN.
        rate: of the ramp, V/s.
        frames, pixels: how many, and how wide.
    """
    last = float(np.nanmax(found["trigger_V"], initial=0.0)) or float(np.nanmax(found["nucleation_V"], initial=1.0))
    for voltage in np.linspace(BEFORE * last, 1.005 * last, frames):
        yield _picture(found, float(voltage), last, rate, pixels)


def _picture(found: Mapping[str, np.ndarray], voltage: float, last: float, rate: float, pixels: int) -> Any:
    side = round(len(found["x_m"]) ** 0.5)
    width = float(found["x_m"].max() + found["x_m"].min()) * 1e6
    trigger, nucleus = found["trigger_V"], np.nan_to_num(found["nucleation_V"], nan=np.inf)
    share = voltage / np.where(np.isnan(trigger), np.inf, trigger)
    bare, broken = nucleus > voltage, trigger <= voltage
    drawing, (left, right) = blank(pixels, (1.25, 1))
    extent = (0, width, 0, width)

    def layer(values: np.ndarray, hidden: np.ndarray, **choices: Any) -> Any:
        shown = np.ma.masked_array(values, hidden).reshape(side, side)
        return left.imshow(shown, origin="lower", extent=extent, interpolation="nearest", **choices)

    bar = drawing.colorbar(layer(share, bare | broken, cmap="viridis", vmin=0, vmax=1), ax=left)
    bar.set_label("voltage over the place's trigger", fontsize=8)
    layer(np.ones(side * side), ~bare, cmap=ListedColormap([BARE]))
    layer(np.ones(side * side), ~broken, cmap=ListedColormap([BROKEN]))
    left.set(xlabel="x (µm)", ylabel="y (µm)")
    left.set_title(f"{voltage:.3f} V after {voltage / rate:.3g} s (red: lithium broke in)", fontsize=8)
    boundary = found["on_boundary"] > 0
    for which, label, color in ((~boundary, "in grains", "C0"), (boundary, "on boundaries", "C3")):
        if which.any():
            line = np.sort(np.where(np.isnan(trigger[which]), np.inf, trigger[which]))
            passed = line[line <= voltage]
            shares = np.arange(len(passed) + 1) / len(line)
            right.step([0.0, *passed, voltage], [*shares, shares[-1]], where="post", color=color, label=label)
    right.set(xlim=(0, 1.02 * last), ylim=(0, 1.02), xlabel="voltage (V)", ylabel="share of the places that triggered")
    right.legend(fontsize=8, loc="upper left")
    return picture(drawing)
