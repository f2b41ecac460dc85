"""The picture of a tip case: map of trigger voltages, their distribution in grains and on boundaries, and over radii."""

from pathlib import Path
from typing import Any

import numpy as np

from multiscale.tip_trigger.case import TipCase, TipInputs
from multiscale.tip_trigger.landscape import Surface


def write_figure(
    path: Path, case: TipCase, inputs: TipInputs, surface: Surface, found: np.ndarray, summary: dict[str, Any]
) -> None:
    """Write the picture (one rank)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    points, width = case.settings.map.points, case.settings.geometry.width * 1e6
    volts = found[0].reshape(points, points)
    shown = left.imshow(volts, origin="lower", extent=(0, width, 0, width), cmap="viridis", interpolation="nearest")
    figure.colorbar(shown, ax=left, label="trigger voltage (V)")
    left.set(xlabel="x (µm)", ylabel="y (µm)", title=f"tip of {inputs.radius * 1e9:.3g} nm")
    boundary = surface.on_boundary(inputs.radius)
    triggered = np.isfinite(found[0])
    for which, label, color in ((~boundary, "in grains", "C0"), (boundary, "on boundaries", "C3")):
        values = found[0][which & triggered]
        if len(values):
            middle.hist(values, bins=30, density=True, alpha=0.6, label=label, color=color)
    if np.isfinite(found[1]).any() and found[1].any():
        median = summary["nucleation_V"]["median"]
        middle.axvline(median, color="0.4", ls=":", label="nucleation (median)")
    middle.set(xlabel="trigger voltage (V)", ylabel="density (1/V)")
    middle.legend(fontsize=8)
    rows = summary["by_radius"]
    for key, label, color in (("grain_V", "grain", "C0"), ("boundary_V", "boundary", "C3")):
        there = [(row["radius_nm"], row[key]) for row in rows if row[key] is not None]
        if there:
            right.plot(*zip(*there, strict=True), "o-", color=color, label=label)
    right.set(xlabel="radius of the tip (nm)", ylabel="nominal trigger voltage (V)", ylim=(0, None))
    if rows:
        right.legend(fontsize=8)
    figure.savefig(path, dpi=100)
