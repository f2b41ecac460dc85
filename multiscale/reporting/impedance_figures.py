"""Nyquist and Bode pictures of the answer of `multiscale impedance`, with its parts and the circuit read out of it."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from multiscale.reporting.figures import PRINT, STYLE, Palette, dress, figure
from multiscale.transport.equivalent_circuit import element

SHOWN = 1e-3
"""Share of the largest part below which a part is left out of the picture."""


def nyquist_and_bode(answer: Mapping[str, Any], palette: Palette = PRINT) -> Figure:
    """Above: -Im against Re at one scale; below: |Z| and phase, and -Im of every part, against frequency; ohm cm².

    The circuit, where there is one, is a line through the points.

    Args:
        answer: with frequencies_Hz, real, imaginary, parts and circuit, as `multiscale impedance --json` gives them.
        palette: colours.
    """
    f, Z = np.asarray(answer["frequencies_Hz"]), _complex(answer)
    fine = np.geomspace(f.min(), f.max(), 400)
    drawing = figure(8.4, palette)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        top, middle, bottom = drawing.subplots(3, 1, height_ratios=(1.3, 1.0, 1.0))
        for axes in (top, middle, bottom):
            dress(axes, palette)
        line = fine, None if answer["circuit"] is None else _of_circuit(answer["circuit"], fine)
        _nyquist(top, Z, line[1], palette)
        _mark_arcs(top, answer["circuit"], f, palette)
        _bode(middle, f, Z, line, palette)
        parts = {f"{part['place']}, {part['cause']}": -_complex(part).imag for part in answer["parts"]}
        _losses(bottom, f, parts or {"all": -Z.imag}, palette)
        middle.sharex(bottom)
    return drawing


def _complex(values: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(values["real"]) + 1j * np.asarray(values["imaginary"])


def _of_circuit(circuit: Mapping[str, Any], f: np.ndarray) -> np.ndarray:
    """Impedance of a circuit, in the unit of its resistances."""
    total = np.full(len(f), circuit["series_resistance"], dtype=complex)
    for arc in circuit["arcs"]:
        total += element(arc["kind"], 2 * np.pi * f, arc["resistance"], arc["time_constant_s"], arc["exponent"])
    return total


def _nyquist(axes: Any, Z: np.ndarray, line: np.ndarray | None, palette: Palette) -> None:
    axes.plot(Z.real, -Z.imag, "o", markersize=3.5, color=palette.series[0])
    if line is not None:
        axes.plot(line.real, -line.imag, color=palette.series[1], linewidth=1.2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("Re Z (Ω cm²)", color=palette.ink)
    axes.set_ylabel("−Im Z (Ω cm²)", color=palette.ink)


def _mark_arcs(axes: Any, circuit: Mapping[str, Any] | None, f: np.ndarray, palette: Palette) -> None:
    """Peak frequency of each arc that lies within the spectrum."""
    for arc in circuit["arcs"] if circuit else ():
        peak = arc["peak_frequency_Hz"]
        if circuit and f.min() <= peak <= f.max():
            at = _of_circuit(circuit, np.array([peak]))[0]
            place = {"xytext": (4, 5), "textcoords": "offset points", "color": palette.ink, "fontsize": 8.5}
            axes.annotate(f"{peak:.2g} Hz", (at.real, -at.imag), **place)


def _bode(axes: Any, f: np.ndarray, Z: np.ndarray, line: tuple[np.ndarray, np.ndarray | None], palette: Palette) -> None:
    axes.loglog(f, np.abs(Z), "o", markersize=3.0, color=palette.series[0])
    if line[1] is not None:
        axes.loglog(line[0], np.abs(line[1]), color=palette.series[1], linewidth=1.2)
    axes.set_ylabel("|Z| (Ω cm²)", color=palette.ink)
    phase = axes.twinx()
    phase.tick_params(colors=palette.muted, labelcolor=palette.ink)
    phase.semilogx(f, np.degrees(np.angle(Z)), color=palette.series[2], linewidth=1.2, linestyle="--")
    phase.set_ylabel("phase (°, dashed)", color=palette.ink)


def _losses(axes: Any, f: np.ndarray, parts: Mapping[str, np.ndarray], palette: Palette) -> None:
    largest = max(float(np.max(np.abs(values))) for values in parts.values())
    shown = {name: values for name, values in parts.items() if np.max(np.abs(values)) >= SHOWN * largest}
    for k, (name, values) in enumerate(shown.items()):
        axes.semilogx(f, values, color=palette.series[k % len(palette.series)], linewidth=1.3, label=name)
    axes.legend(fontsize=8.5)
    axes.set_xlabel("frequency (Hz)", color=palette.ink)
    axes.set_ylabel("−Im of each part (Ω cm²)", color=palette.ink)
