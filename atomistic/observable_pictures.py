"""Pictures of observables: curves with error bands against depth, time, size or angle, written as PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from atomistic.metadynamics import FreeEnergy
from coupling.atomic import replacing

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0527d", "#8a6d00", "#3a7ca5", "#6b6b6b")  # Okabe and Ito
STYLE: Any = {"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
Curve = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Places, values, and standard errors or None."""


def curves(
    path: Path, drawn: Mapping[str, Curve], x_label: str, y_label: str, points: Sequence[str] = (), log: bool = False,
    upright: Sequence[tuple[str, float]] = (),
) -> None:  # fmt: skip
    """Write one picture: every curve with a band of one standard error; those named in `points` as points with bars.

    `upright`: names and places of dashed lines from bottom to top.

    Raises:
        RunFailure: the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for number, (name, (x, y, error)) in enumerate(drawn.items()):
            colour = COLOURS[number % len(COLOURS)]
            if name in points:
                axes.errorbar(x, y, yerr=error, fmt="o", markersize=3.5, color=colour, label=name)
                continue
            axes.plot(x, y, color=colour, label=name, marker="o" if len(x) < 3 else None)  # a line of one point is not seen
            if error is not None:
                axes.fill_between(x, y - error, y + error, color=colour, alpha=0.25, linewidth=0)
        for name, place in upright:
            axes.axvline(place, color="#333333", linestyle="--", linewidth=1.0, label=name)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if log:
            axes.set_yscale("log")
        if len(drawn) + len(upright) > 1:
            axes.legend()
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def displacement_picture(path: Path, lags: np.ndarray, drawn: Mapping[str, Curve], slopes: Mapping[str, float], of: str) -> None:
    """Mean products of displacements (Å²) against the lag (n,), fs, those of `slopes` (Å²/fs) with the fitted line as well.

    `drawn`: name → (lags of its own or the common ones, values, errors). `of`: what is drawn, for the axis.

    Raises:
        RunFailure: the file cannot be written.
    """
    lines: dict[str, Curve] = {}
    for name, (x, y, error) in drawn.items():
        lines[name] = (x / 1000, y, error)
        if name in slopes:
            fitted = x >= lags[0]
            line = slopes[name] * (lags - x[fitted].mean()) + y[fitted].mean()
            lines[f"{name}, fit"] = (lags / 1000, line, None)
    curves(path, lines, "lag (ps)", f"{of} (Å²)", points=tuple(drawn))


def free_energy_picture(free: FreeEnergy, x_label: str, path: Path) -> None:
    """F(s) in k_B T from what was visited, with its error, and from the bias, both zero at their least."""
    seen = np.isfinite(free.values) & np.isfinite(free.stderr)
    values, bias = (free.values / free.thermal)[seen], (free.from_bias / free.thermal)[seen]
    drawn: dict[str, Curve] = {
        "visits": (free.grid[seen], values - values.min(initial=np.inf), (free.stderr / free.thermal)[seen]),
        "bias": (free.grid[seen], bias - bias.min(initial=np.inf), None),
    }
    curves(path, drawn, x_label, "free energy (k$_B$T)")


def bars(path: Path, drawn: Mapping[str, tuple[float, float, bool]], y_label: str) -> None:
    """Write one picture: a bar a name, of a value and its error (0: none); an upper bound is hatched.

    Raises:
        RunFailure: the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(3.6, 0.75 * len(drawn) + 1.2), 3.6), layout="constrained")
        axes = figure.subplots()
        for place, (value, error, upper) in enumerate(drawn.values()):
            face, hatch = ("white", "//") if upper else (COLOURS[0], "")
            axes.bar(place, value, 0.6, facecolor=face, edgecolor=COLOURS[0], hatch=hatch)
            if error:
                axes.errorbar(place, value, yerr=error, color=COLOURS[1], capsize=3)
            told = f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"
            top = max(value + error, 0.0)
            axes.annotate(f"{'< ' * upper}{told}", (place, top), (0, 4), textcoords="offset points", ha="center")
        axes.set_xticks(range(len(drawn)), list(drawn), rotation=30, ha="right")
        axes.set_ylabel(y_label)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def levels(path: Path, orbitals: np.ndarray, edges: tuple[float, float], title: str, around: float = 3.0) -> None:
    """Write one picture: a line for every orbital up to `around` (eV) from the gap, dark as it is filled, the gap shaded.

    Args:
        orbitals: energies (eV) and occupations (0 … 2), (n, 2). edges: of the highest filled and the lowest empty one, eV.

    Raises:
        RunFailure: the file cannot be written.
    """
    shown = orbitals[(orbitals[:, 0] > edges[0] - around) & (orbitals[:, 0] < edges[1] + around)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.axhspan(0.0, edges[1] - edges[0], color=COLOURS[6], alpha=0.15, linewidth=0)
        for name, colour, chosen in (("filled", COLOURS[0], shown[:, 1] > 1), ("empty", COLOURS[1], shown[:, 1] <= 1)):
            energies, share = shown[chosen, 0] - edges[0], shown[chosen, 1] / 2
            axes.hlines(energies, -0.5, 0.5, colors=colour, alpha=0.35 + 0.65 * np.maximum(share, 1 - share), label=name)
        axes.set_xlim(-0.7, 0.7)
        axes.set_xticks([])
        axes.set_ylabel("energy above the highest filled level (eV)")
        axes.set_title(title, fontsize=10.5)
        axes.legend(loc="center right")
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def maps(path: Path, grids: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray, x_label: str, y_label: str) -> None:
    """Write one picture: shares between 0 and 1 over a plane, a map a name.

    Args:
        grids: (len(x), len(y)) by name. x, y: rising.

    Raises:
        RunFailure: the file cannot be written.
    """
    across = min(3, len(grids))
    down = -(-len(grids) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 2.2 * across, 0.8 + 1.9 * down), layout="constrained")
        axes = np.atleast_1d(figure.subplots(down, across, sharex=True, sharey=True)).ravel()
        for place, (name, grid) in zip(axes, grids.items(), strict=False):
            drawn = place.pcolormesh(x, y, grid.T, vmin=0, vmax=1, shading="nearest", rasterized=True)
            place.set_title(name, fontsize=10)
        for place in axes[len(grids) :]:
            place.set_visible(False)
        figure.supxlabel(x_label, fontsize=10)
        figure.supylabel(y_label, fontsize=10)
        figure.colorbar(drawn, ax=axes.tolist(), label="share of the atoms of a slice")
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")


@dataclass(frozen=True)
class Panel:
    """One field of a picture: title, curves by name ("": without one), labels of the axes.

    `marks`: by name, places and heights (in per cent) of lines that are drawn below the curves, a row a name.
    """

    title: str
    curves: Mapping[str, Curve]
    x_label: str
    y_label: str
    marks: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def panels(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write one picture of panels in rows of equal length.

    Raises:
        RunFailure: the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4 * len(rows[0]), 3.4 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
        for axes_row, row in zip(grid, rows, strict=True):
            for axes, panel in zip(axes_row, row, strict=True):
                _draw(axes, panel)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130, facecolor="white")


def _draw(axes: Any, panel: Panel) -> None:
    """One panel: curves with bands of one standard error, marks below zero."""
    for number, (name, (x, y, error)) in enumerate(panel.curves.items()):
        colour = COLOURS[number % len(COLOURS)] if name else "#333333"
        style = "-" if number < len(COLOURS) else "--"
        axes.plot(x, y, color=colour, linestyle=style, linewidth=1.2, label=name or None)
        if error is not None:
            axes.fill_between(x, y - error, y + error, color=colour, alpha=0.25, linewidth=0)
    top = max((float(np.max(y)) for _, y, _ in panel.curves.values()), default=1.0)
    for number, (name, (places, heights)) in enumerate(panel.marks.items()):
        low, colour = -0.16 * top * (number + 1), COLOURS[number % len(COLOURS)]
        axes.vlines(places, low, low + 0.14 * top * heights / 100, color=colour, linewidth=1.3, label=name)
    if panel.marks:
        axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.05 * top])
    axes.set_title(panel.title, fontsize=10.5)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if any(panel.curves) or panel.marks:
        axes.legend(fontsize=8.5, ncols=2)
