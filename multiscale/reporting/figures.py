"""Pictures of a run: each function takes plain numbers and gives one matplotlib figure or one piece of SVG.

A picture inside a page is drawn in placeholder colours that become CSS variables, so that it follows the reader's light or
dark setting; the same picture written to a file has fixed colours. The palette is Okabe and Ito's, safe for the colour-blind.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, NullFormatter
from scipy import stats

from coupling.atomic import replacing
from coupling.constants import GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.experiments import KIND_LABELS, KINDS, Measurement

WIDTH = 5.4
"""Width of every picture, inches: its text stays readable on a phone."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
KIND_MARKERS: Mapping[str, str] = {
    "ccd": "o", "lower_bound": ">", "dc_short": "<", "stripping_critical": "s", "full_cell_rate": "D",
}  # fmt: skip
STYLE: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.8, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5,
    "legend.frameon": False, "legend.fontsize": 9.5, "axes.formatter.use_mathtext": False,
}  # fmt: skip
"""Settings every picture is drawn with."""


@dataclass(frozen=True)
class Palette:
    """Colours of one set of pictures, "#rrggbb"."""

    ink: str
    muted: str
    grid: str
    paper: str
    series: tuple[str, ...]


PRINT = Palette(
    "#1b1f24", "#5b6470", "#d8dce1", "#ffffff", ("#0072b2", "#d55e00", "#009e73", "#a0527d", "#8a6d00", "#3a7ca5", "#6b6b6b")
)
"""Fixed colours, for files."""
THEMED = Palette("#010101", "#010102", "#010103", "#010104", tuple(f"#01020{i}" for i in range(1, 8)))
"""Placeholders that `inline_svg` turns into CSS variables."""
_VARIABLES = {
    THEMED.ink: "var(--ink)", THEMED.muted: "var(--muted)", THEMED.grid: "var(--grid)", THEMED.paper: "var(--card)",
    **{color: f"var(--series-{i})" for i, color in enumerate(THEMED.series, start=1)},
}  # fmt: skip


def figure(height: float, palette: Palette) -> Figure:
    """An empty figure of the common width with one axes, drawn in the colours of `palette`."""
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(WIDTH, height), layout="constrained")
        drawing.patch.set_alpha(0.0)
        dress(drawing.add_subplot(), palette)
    return drawing


def dress(axes: Any, palette: Palette) -> None:
    """Give axes the colours of a palette and a light grid behind the data."""
    axes.patch.set_alpha(0.0)
    axes.tick_params(which="both", colors=palette.muted, labelcolor=palette.ink)
    for spine in axes.spines.values():
        spine.set_color(palette.muted)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(palette.ink)
    axes.grid(True, color=palette.grid, linewidth=0.6)
    axes.set_axisbelow(True)


def inline_svg(drawing: Figure, name: str, description: str) -> str:
    """SVG of a `THEMED` figure for a page: ids made unique by `name`, colours as CSS variables, nothing fetched."""
    stream = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        drawing.savefig(stream, format="svg", dpi=200, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1system-ui, sans-serif", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    label = re.sub(r"[<>&\"]", " ", description)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def write_figure(drawing: Figure, path: Path) -> None:
    """Write a figure to a PNG, SVG or PDF file in one step (`path` decides which)."""
    with matplotlib.rc_context(STYLE), replacing(path) as temporary:
        drawing.savefig(temporary, format=path.suffix.lstrip(".").lower() or "png", dpi=200, facecolor="white")


def plain_log_ticks(axis: Any) -> None:
    """Decades written as plain numbers (0.01, 1, 100) where they are few, as powers where they are many."""
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(numticks=8))
    if 1e-4 <= low and high <= 1e5:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.set_major_formatter(LogFormatterSciNotation())
    if decades > 1.5:
        axis.set_minor_formatter(NullFormatter())


def ccd_distribution(
    samples: Sequence[float], ccd: Mapping[str, Any], measurements: Sequence[Measurement], comparable: Mapping[str, bool],
    palette: Palette = THEMED,
) -> Figure:  # fmt: skip
    """Predicted CCD distribution above, measured values below, one band a kind of measurement, mA/cm² on a log axis.

    Filled markers: measurements that can be held against the prediction (`comparable` by id); hollow ones: listed only.
    """
    kinds = [kind for kind in KINDS if any(m.ccd_kind == kind for m in measurements)]
    rows = len(measurements) + len(kinds)
    drawing = figure(2.6 + 0.25 * rows, palette)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        grid = drawing.add_gridspec(2 if rows else 1, 1, height_ratios=(2.3, 0.25 * rows + 0.2) if rows else (1,), hspace=0.02)
        top = drawing.add_subplot(grid[0])
        dress(top, palette)
        _histogram(top, np.asarray(samples, dtype=float), ccd, palette)
        last = top
        if rows:
            last = drawing.add_subplot(grid[1], sharex=top)
            dress(last, palette)
            last.axvspan(ccd["low"], ccd["high"], color=palette.series[0], alpha=0.13, linewidth=0)
            last.axvline(ccd["value"], color=palette.series[0], linewidth=1.6)
            _strips(last, kinds, measurements, comparable, palette)
            top.tick_params(labelbottom=False)
        values = [*(m.ccd_mA_cm2 for m in measurements), ccd["low"], ccd["high"], *np.quantile(samples, (0.005, 0.995))]
        shown = [value for value in values if value > 0] or [0.1, 10.0]
        top.set_xlim(min(shown) / 2, max(shown) * 2.5)
        plain_log_ticks(last.xaxis)
        last.set_xlabel("current density (mA/cm²)", color=palette.ink)
    return drawing


def _histogram(axes: Any, samples: np.ndarray, ccd: Mapping[str, Any], palette: Palette) -> None:
    positive = samples[samples > 0]
    axes.set_xscale("log")
    axes.set_ylabel("share of draws (%)", color=palette.ink)
    if not len(positive):
        return
    edges = np.geomspace(positive.min() * 0.999, positive.max() * 1.001, 41)
    color = palette.series[0]
    axes.axvspan(ccd["low"], ccd["high"], color=color, alpha=0.13, linewidth=0)
    axes.hist(positive, bins=edges, weights=np.full(len(positive), 100 / len(samples)), color=color, alpha=0.75, linewidth=0)
    axes.axvline(ccd["value"], color=color, linewidth=1.6)
    axes.annotate(
        f"{ccd['value']:.3g}", (ccd["value"], 1.0), (3, -1), xycoords=("data", "axes fraction"), textcoords="offset points",
        color=palette.ink, fontweight="bold", va="top",
    )  # fmt: skip
    axes.margins(y=0.18)


def _strips(
    axes: Any, kinds: Sequence[str], measurements: Sequence[Measurement], comparable: Mapping[str, bool], palette: Palette
) -> None:
    """One line a measurement, grouped under the name of its kind; bounds carry an arrow to the side they leave open."""
    ticks, labels, y = [], [], 0.0
    for kind in kinds:
        color = palette.series[1 + KINDS.index(kind) % (len(palette.series) - 1)]
        axes.text(
            0.005,
            y,
            KIND_LABELS[kind],
            transform=axes.get_yaxis_transform(),
            color=palette.ink,
            fontsize=9.5,
            style="italic",
            va="center",
        )
        y -= 1
        for m in sorted((m for m in measurements if m.ccd_kind == kind), key=lambda m: m.ccd_mA_cm2):
            fill = color if comparable.get(m.id, False) else "none"
            arrow = {"lower_bound": 1.7, "dc_short": 1 / 1.7}.get(kind)
            if arrow:
                style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (m.ccd_mA_cm2 * arrow, y), (m.ccd_mA_cm2, y), arrowprops=style)
            axes.plot(
                m.ccd_mA_cm2,
                y,
                "|" if arrow else KIND_MARKERS[kind],
                color=color,
                markerfacecolor=fill,
                markersize=9 if arrow else 6,
            )
            if arrow:
                axes.plot(m.ccd_mA_cm2, y, "o", color=color, markerfacecolor=fill, markersize=4.5)
            ticks.append(y)
            labels.append(short_name(m))
            y -= 1
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y + 0.4, 0.7)
    axes.grid(False, axis="y")


def short_name(measurement: Measurement) -> str:
    """'Doux 2020'."""
    return f"{re.split(r'[ ,]', measurement.authors)[0]} {measurement.year}"


def arrhenius(phases: Mapping[str, Mapping[str, Any]], palette: Palette = THEMED) -> Figure:
    """Diffusivity (m²/s, log) against 1000/T: points with error, upper bounds as downward arrows, fits with their band.

    Bounds of several phases at one temperature are set a little apart sideways, so that none hides another.
    `phases` is what atomistic/arrhenius.json holds, by phase; parts that are missing are left out.
    """
    drawing = figure(4.1, palette)
    axes = drawing.axes[0]
    with matplotlib.rc_context(STYLE):
        axes.set_yscale("log")
        bounded = [name for name, phase in phases.items() if any(p.get("bound") for p in phase.get("points", []))]
        for i, (name, phase) in enumerate(phases.items()):
            color, marker = palette.series[i % len(palette.series)], MARKERS[i % len(MARKERS)]
            _fit_band(axes, phase, color)
            shift = 0.03 * (bounded.index(name) - (len(bounded) - 1) / 2) if name in bounded else 0.0
            _points(axes, name, phase, color, marker, shift)
            _at_room_temperature(axes, phase, color, marker, shift, palette)
        axes.set_xlabel("1000 / T (1/K)")
        axes.set_ylabel("Li diffusivity (m²/s)")
        _limit_decades(axes, phases)
        upper = axes.secondary_xaxis("top", functions=(_inverse_kilokelvin, _inverse_kilokelvin))
        upper.set_xlabel("T (K)", color=palette.ink)
        upper.tick_params(colors=palette.muted, labelcolor=palette.ink)
        upper.spines["top"].set_color(palette.muted)
        low, high = axes.get_xlim()
        upper.set_xticks([t for t in (300, 400, 500, 600, 800, 1000, 1200) if low <= 1000 / t <= high])
        named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        labels = [name for name in phases if name in named]
        handles = [named[name] for name in labels]
        drawing.legend(handles, labels, loc="outside lower center", ncols=min(5, max(1, len(labels))), labelcolor=palette.ink,
                       handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    return drawing


def _limit_decades(axes: Any, phases: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep a wide band from pushing the data into a corner: the axis ends three decades beyond values and bounds."""
    rooms = [phase.get("room") or {} for phase in phases.values()]
    points = [p for phase in phases.values() for p in phase.get("points", [])]
    values = [item["value"] for item in (*points, *rooms) if (item.get("value") or 0) > 0]
    if values:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, min(values) / 1e3), min(high, max(values) * 1e3))


def _inverse_kilokelvin(values: Any) -> np.ndarray:
    """1000/x, of temperatures or of their inverse alike; zero is kept away from."""
    return 1000.0 / np.maximum(np.asarray(values, dtype=float), 1e-9)


def _points(axes: Any, name: str, phase: Mapping[str, Any], color: str, marker: str, shift: float) -> None:
    points = [p for p in phase.get("points", []) if (p.get("value") or 0) > 0]
    for index, p in enumerate(points):
        x, D, error = 1000 / p["temperature_K"], p["value"], p.get("stderr")
        label = name if index == 0 else None
        if p.get("bound") == "upper":
            _upper_bound(axes, x + shift, D, color, label)
        else:
            below = min(error, 0.9 * D) if error else 0.0
            face = color if p.get("fitted", True) else "none"  # hollow: shown, not part of the fit
            style = {"fmt": marker, "color": color, "markersize": 5, "linewidth": 1.1, "markerfacecolor": face}
            axes.errorbar(x, D, yerr=[[below], [error or 0.0]], label=label, **style)


def _upper_bound(axes: Any, x: float, value: float, color: str, label: str | None = None) -> None:
    """A bar with an arrow that points down, half a decade long."""
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x, value / 3.2), (x, value), arrowprops=arrow)
    axes.plot(x, value, marker="_", color=color, markersize=8, markeredgewidth=1.8, linestyle="none", label=label)
    axes.plot(x, value / 3.2, alpha=0)


def fit_curve(fit: Mapping[str, Any], temperatures: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Natural logarithm of D and half its interval at `temperatures` (K), shape (n,) each.

    The fit is ln D = log_prefactor − activation_energy/(R T), J/mol; "covariance" is that of the two. Without it the interval
    is NaN. "degrees" of freedom, where given, make the interval Student's instead of Gaussian.
    """
    values = fit["log_prefactor"] - fit["activation_energy"] / (GAS_CONSTANT * temperatures)
    if fit.get("covariance") is None:
        return values, np.full_like(values, np.nan)
    slope = np.stack([np.ones_like(temperatures), -1 / (GAS_CONSTANT * temperatures)])
    variance = np.einsum("it,ij,jt->t", slope, np.asarray(fit["covariance"], dtype=float), slope)
    tail, degrees = 0.5 + level / 2, fit.get("degrees")
    quantile = stats.norm.ppf(tail) if degrees is None else stats.t.ppf(tail, degrees)
    return values, quantile * np.sqrt(variance)


def _fit_band(axes: Any, phase: Mapping[str, Any], color: str) -> None:
    """Line and 95 % limits: those that the fit tells as "band", of results of before those of its covariance."""
    fit = phase.get("fit")
    hottest = max((p["temperature_K"] for p in phase.get("points", [])), default=None)
    if not fit or hottest is None:
        return
    if "band" in fit:
        T, value, low, high = (np.asarray(fit["band"][name], dtype=float) for name in ("temperature_K", "value", "low", "high"))
    else:
        T = 1000 / np.linspace(1000 / hottest, 1000 / ROOM_TEMPERATURE, 60)
        values, half = fit_curve(fit, T)
        value, low, high = np.exp(values), np.exp(values - half), np.exp(values + half)
    axes.plot(1000 / T, value, color=color, linewidth=1.2)
    if np.isfinite([low, high]).all():
        axes.fill_between(1000 / T, low, high, color=color, alpha=0.15, linewidth=0)


def _at_room_temperature(axes: Any, phase: Mapping[str, Any], color: str, marker: str, shift: float, palette: Palette) -> None:
    room, x = phase.get("room"), 1000 / ROOM_TEMPERATURE
    if not room or not (room.get("value") or 0) > 0:
        return
    if room.get("bound") == "upper":
        _upper_bound(axes, x + shift, room["value"], color)
        return
    low, high = room.get("low"), room.get("high")
    if low and high:
        axes.plot([x, x], [low, high], color=color, linewidth=2.2, solid_capstyle="butt")
    axes.plot(x, room["value"], marker=marker, color=color, markerfacecolor=palette.paper, markersize=5.5)
