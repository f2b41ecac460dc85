"""The picture of a memristor case: loops, resistances over the cycles, length of the filament along a loop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LEAST_A = 1e-16
"""Smallest current on the picture's axis, A."""


def write_figure(path: Path, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Write the picture (one rank)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for number, points in curves.items():
        voltage, current, length = np.array(points).T
        left.semilogy(voltage, np.maximum(np.abs(current), LEAST_A), lw=1.2, label=f"cycle {number}")
        middle.plot(voltage, length * 1e9, lw=1.2, label=f"cycle {number}")
    left.set(xlabel="voltage (V)", ylabel="|current| (A)")
    middle.set(xlabel="voltage (V)", ylabel="length of the filament (nm)")
    left.legend(fontsize=8)
    cycles = [row["cycle"] for row in rows]
    right.semilogy(cycles, [row["off_ohm"] for row in rows], ".", color="C0", label="off")
    right.semilogy(cycles, [row["on_ohm"] for row in rows], ".", color="C3", label="on")
    right.set(xlabel="cycle", ylabel="resistance at the read voltage (ohm)")
    right.legend(fontsize=8)
    other = right.twinx()
    there = [(row["cycle"], row["set_V"]) for row in rows if row["set_V"] is not None]
    if there:
        other.plot(*zip(*there, strict=True), "+", color="0.6", ms=4)
    other.set(ylabel="set voltage (V, grey)", ylim=(0, None))
    figure.savefig(path, dpi=100)
