"""Pair distributions g(r) of stored frames, and how far two of them overlap."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list


def pair_distribution(
    frames: Sequence[Atoms], first: str, second: str, r_max: float = 6.0, bins: int = 120
) -> tuple[np.ndarray, np.ndarray]:
    """Pair distribution g(r) = n(r) V / (4π r² Δr N₁ N₂) of two species, averaged over frames; 1 where there is no order.

    Args:
        frames: periodic atoms of the same composition.
        first, second: chemical symbols, possibly the same.
        r_max: Å; periodic images count, so the cell may be smaller.
        bins: number of intervals of r.

    Returns:
        r (bins,) in Å, the middle of each interval, and g (bins,).
    """
    edges = np.linspace(0.0, r_max, bins + 1)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    total = np.zeros(bins)
    for frame in frames:
        symbols = np.array(frame.get_chemical_symbols())
        i, j, d = neighbor_list("ijd", frame, r_max)
        wanted = (symbols[i] == first) & (symbols[j] == second)
        pairs = float(np.sum(symbols == first) * (np.sum(symbols == second) - (first == second)))
        total += np.histogram(d[wanted], edges)[0] * frame.get_volume() / (shells * pairs)
    return 0.5 * (edges[1:] + edges[:-1]), total / len(frames)


def overlap(one: np.ndarray, other: np.ndarray, r: np.ndarray) -> float:
    """Share of the pairs that two distributions have in common, 1 − Σ|g₁ − g₂| r² / Σ(g₁ + g₂) r²: 1 when equal, 0 when apart."""
    both = np.sum((one + other) * r**2)
    return float(1.0 - np.sum(np.abs(one - other) * r**2) / both) if both > 0 else 1.0
