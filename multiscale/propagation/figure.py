"""Pictures of a filament run: pressure and length in time, damage with the current around it, and both as an animation."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiscale.mechanics.filament_state import FilamentState
from multiscale.propagation.film import Reel
from multiscale.reporting.animation import blank, picture

Frame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]
"""Points (n, 2), triangles (m, 3), damage and current density (m,) of a time, and the applied current density, A/m²."""


def write_figure(path: Path, rows: Sequence[FilamentState], arrays: dict[str, np.ndarray] | None, height: float) -> None:
    """Write the picture (one rank)."""
    from matplotlib.figure import Figure

    assert arrays is not None
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    t = np.array([row.time for row in rows])
    left.plot(t, [row.pressure / 1e6 for row in rows], color="C3")
    left.set(xlabel="time (s)", ylabel="pressure of the lithium (MPa)")
    other = left.twinx()
    other.plot(t, [row.current_density / 10 for row in rows], color="0.5", lw=1, drawstyle="steps-pre")
    other.set_ylabel("applied current density (mA/cm²)", color="0.4")
    middle.plot(t, [row.length * 1e6 for row in rows], color="C0", label="crack")
    middle.plot(t, [row.front * 1e6 for row in rows], color="C1", ls="--", label="lithium")
    middle.axhline(height * 1e6, color="0.6", lw=1, label="counter electrode")
    middle.set(xlabel="time (s)", ylabel="distance from the mouth (µm)", ylim=(0, None))
    middle.legend()
    frame = arrays["points"], arrays["triangles"], arrays["damage"], arrays["current_density"], rows[-1].current_density
    draw_map(figure, right, frame, height)
    figure.savefig(path, dpi=110)


def draw_map(drawing: Any, axes: Any, frame: Frame, height: float, ink: str = "black") -> None:
    """Current density around the crack over the applied one, what is broken in red; a mirrored half cell is shown whole."""
    points, triangles, damage, current, applied = frame
    x, y = points[:, 0] * 1e6, points[:, 1] * 1e6
    share = np.clip(current / (abs(applied) or 1.0), 0, 3)
    shown: Any = None
    broken = damage > 0.5
    for sign in (1, -1) if x.min() >= 0 else (1,):
        shown = axes.tripcolor(sign * x, y, triangles, facecolors=share, cmap="viridis", vmin=0, vmax=3, rasterized=True)
        if broken.any():
            red = np.ones(int(broken.sum()))
            axes.tripcolor(sign * x, y, triangles[broken], facecolors=red, cmap="Reds", vmin=0, vmax=1.2, rasterized=True)
    half = 0.5 * height * 1e6
    axes.set(xlim=(-half, half), ylim=(0, height * 1e6), aspect="equal", xlabel="x (µm)", ylabel="y (µm)")
    bar = drawing.colorbar(shown, ax=axes)
    bar.set_label("|i| over the applied one (red: crack)", color=ink)
    bar.ax.tick_params(colors=ink)


def film(reel: Reel, height: float, frames: int, pixels: int) -> Iterator[Any]:
    """Pictures of at most `frames` frames: the map, and pressure and crack against time up to each of them."""
    count = len(reel.numbers)
    for k in np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int)):
        yield _picture(reel, int(k), height, pixels)


def _picture(reel: Reel, k: int, height: float, pixels: int) -> Any:
    """One frame as a Pillow image."""
    drawing, (left, right) = blank(pixels, (1, 1.2))
    t, so_far = reel.column("time"), slice(0, k + 1)
    left.plot(t[so_far], reel.column("pressure")[so_far] / 1e6, color="C3")
    left.set(xlim=(0, t[-1]), ylim=(0, 1.05 * reel.column("pressure").max() / 1e6), xlabel="time (s)", ylabel="pressure (MPa)")
    crack = left.twinx()
    crack.plot(t[so_far], reel.column("length")[so_far] * 1e6, color="C0")
    crack.set(ylim=(0, 1.05 * height * 1e6))
    crack.set_ylabel("crack (µm)", color="C0")
    left.set_title(f"{t[k]:.3g} s, {reel.column('current_density')[k] / 10:.3g} mA/cm²", fontsize=9)
    frame = reel.points, reel.triangles, reel.damage[k].astype(float), reel.current_density[k], reel.column("current_density")[k]
    draw_map(drawing, right, frame, height)
    return picture(drawing)
