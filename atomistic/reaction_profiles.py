"""What a reaction study shows of its interface: phases and elements by depth and time, and three pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import phases

SLICES = 20
"""Of the depth."""
Å = 1e-10


def profiles(frames: list[Atoms], names: list[np.ndarray], times: np.ndarray) -> dict[str, Any]:
    """Share of each phase and element among the atoms of a slice: by depth and time, at the start, and as mean of the last fifth.

    "depth_time": times (f,), s, of every other frame; height of the cell (f,), m; by phase and by element the shares (f, SLICES).
    """
    rows = [_of_frame(frame, own) for frame, own in zip(frames, names, strict=True)]
    last = list(range(len(frames) - max(1, len(frames) // 5), len(frames)))
    told: dict[str, Any] = {"depth_time": {
        "time_s": times[::2].tolist(), "height_m": [float(round(2 * row["depths"].mean(), 2)) * Å for row in rows[::2]],
        **{kind: {name: [np.round(row[kind].get(name, np.zeros(SLICES)), 2).tolist() for row in rows[::2]]
                  for name in _all(rows, kind)} for kind in ("phases", "elements")},
    }}  # fmt: skip
    for key, chosen in (("start", [0]), ("end", last)):
        told[key] = {
            kind: {
                name: np.round(np.mean([rows[number][kind].get(name, np.zeros(SLICES)) for number in chosen], axis=0), 4).tolist()
                for name in _all([rows[number] for number in chosen], kind)
            }
            for kind in ("phases", "elements")
        }
        told[key] |= {"depth_m": (rows[chosen[-1]]["depths"] * Å).tolist(), "from_s": float(times[chosen[0]]),
                      "to_s": float(times[chosen[-1]])}  # fmt: skip
    return told


def _of_frame(frame: Atoms, names: np.ndarray) -> dict[str, Any]:
    """Depths (SLICES,), Å, and shares by phase and by element."""
    symbols = np.array(frame.get_chemical_symbols())
    depths, by_phase = phases.profile(frame, names, 2, SLICES)
    return {"depths": depths, "phases": by_phase, "elements": phases.profile(frame, symbols, 2, SLICES)[1]}


def _all(rows: list[dict[str, Any]], kind: str) -> list[str]:
    """Names in any of the rows."""
    return sorted({name for row in rows for name in row[kind]})


def pictures(told: Mapping[str, Any], out: Path) -> None:
    """Pictures of a run: thickness by time and when a reactant was used up, phases by depth and time, metal, slices.

    growth.png; depth.png (at the end) and depth-time.png; metal.png; slices.png.
    """
    from atomistic.observable_pictures import curves, maps, panels
    from atomistic.structure_reading import panels_of

    times, series = np.array(told["series"]["time_s"]) * 1e12, np.array(told["series"]["thickness_m"]) * 1e9
    gone = [(f"{one['phase']} used up", 1e12 * one["time_s"])] if (one := told["used_up"]) else []
    curves(out / "growth.png", {"thickness": (times, series, None)}, "time (ps)", "interphase (nm an interface)",
           points=("thickness",), upright=gone)  # fmt: skip
    depths = np.array(told["end"]["depth_m"]) * 1e9
    drawn = {name: (depths, np.array(share), None) for name, share in told["end"]["phases"].items()}
    curves(out / "depth.png", drawn, "depth (nm)", "share of the atoms of a slice")
    if metal := told["metal"]:
        at, shares = np.array(metal["time_s"]) * 1e12, np.array(metal["shares"])
        lines = {name: (at, shares[:, place], None) for place, name in enumerate(metal["structures"])}
        curves(out / "metal.png", lines, "time (ps)", "share of the atoms of the metal")
    rows = [panels_of(f"{kind}, {1e9 * one['height_m']:.1f} nm", one, told["late"]["lines"])
            for kind, one in told["late"]["slices"].items()]  # fmt: skip
    if rows:
        panels(out / "slices.png", rows)
    over = told["depth_time"]
    grids = {name: np.array(rows) for name, rows in over["phases"].items()}
    depths = (np.arange(SLICES) + 0.5) / SLICES * over["height_m"][-1] * 1e9
    maps(out / "depth-time.png", grids, np.array(over["time_s"]) * 1e12, depths, "time (ps)", "depth (nm)")
