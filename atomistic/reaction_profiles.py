"""What a reaction study shows of its interface: phases and elements by depth, at the start and at the end, and two pictures."""

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
    """Share of each phase and of each element among the atoms of a slice, at the start and as the mean of the last fifth."""
    last = list(range(len(frames) - max(1, len(frames) // 5), len(frames)))
    told: dict[str, Any] = {}
    for key, chosen in (("start", [0]), ("end", last)):
        rows: dict[str, dict[str, np.ndarray]] = {"phases": {}, "elements": {}}
        for number in chosen:
            symbols = np.array(frames[number].get_chemical_symbols())
            for kind, labels in (("phases", names[number]), ("elements", symbols)):
                depths, shares = phases.profile(frames[number], labels, 2, SLICES)
                for name, share in shares.items():
                    rows[kind][name] = rows[kind].get(name, np.zeros(SLICES)) + share / len(chosen)
        told[key] = {kind: {name: np.round(share, 4).tolist() for name, share in found.items()} for kind, found in rows.items()}
        told[key] |= {"depth_m": (depths * Å).tolist(), "from_s": float(times[chosen[0]]), "to_s": float(times[chosen[-1]])}
    return told


def pictures(told: Mapping[str, Any], out: Path) -> None:
    """growth.png: thickness against time; depth.png: phases at the end against depth."""
    from atomistic.observable_pictures import curves

    times = np.array(told["time_s"]) * 1e12
    curves(out / "growth.png", {"thickness": (times, np.array(told["thickness_m"]) * 1e9, None)}, "time (ps)",
           "interphase (nm an interface)", points=("thickness",))  # fmt: skip
    depths = np.array(told["end"]["depth_m"]) * 1e9
    drawn = {name: (depths, np.array(share), None) for name, share in told["end"]["phases"].items()}
    curves(out / "depth.png", drawn, "depth (nm)", "share of the atoms of a slice")
