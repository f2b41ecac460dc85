"""Motion of atoms with a known answer, through the product's own trajectory analysis (V16)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

HOP, RATE = 3.0, 1e9  # Å, 1/s
FRAME = 1e5  # fs
NEIGHBORS = {
    "simple cubic": [(2, 0, 0), (0, 2, 0), (0, 0, 2)],
    "body-centred cubic": [(1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)],
    "face-centred cubic": [(1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1)],
}
"""Half of the nearest neighbours, in half edges of the cubic cell."""


def random_walk(comm: Any) -> Mapping[str, float]:
    """Self diffusivity of uncorrelated lattice walkers, m²/s: exactly a² ν/6."""
    from atomistic.diffusivity import from_positions

    random = np.random.default_rng(0)
    hops = random.poisson(RATE * FRAME * 1e-15, (1500, 400))
    sides = random.multinomial(hops, [1 / 6] * 6)
    tracks = HOP * np.cumsum(sides[..., ::2] - sides[..., 1::2], axis=0)
    positions = np.concatenate([tracks, np.zeros((len(tracks), 10, 3))], axis=1)
    return {"random walk, self diffusivity (m2/s)": from_positions(positions, np.arange(400), FRAME, hop_length=HOP).value}


def correlation_factors(comm: Any) -> Mapping[str, float]:
    """Correlation factor of a tracer that moves by a vacancy: mean square displacement of the atoms a hop over a²."""
    return {f"correlation factor, {lattice}": _vacancy_walk(half) for lattice, half in NEIGHBORS.items()}


def _vacancy_walk(half: list[tuple[int, int, int]], edge: int = 16, walks: int = 1500, hops: int = 1500) -> float:
    """Σ_i |Δr_i|² / (hops a²) of the atoms after a vacancy has walked, mean over independent walks.

    Sites are the points of a cube of `edge` half edges with periodic faces that the hops reach from the origin. The sum counts
    what every atom has moved; without correlation it is 1.
    """
    steps = np.array(half + [tuple(-x for x in step) for step in half])
    random = np.random.default_rng(1)
    places = edge**3
    # atom at each place (places are numbered by coordinates; unreachable ones are never visited), its displacement so far
    who = np.tile(np.arange(places, dtype=np.int16), (walks, 1))
    moved = np.zeros((walks, places, 3), dtype=np.int8)
    vacancy, rows = np.zeros((walks, 3), dtype=np.int64), np.arange(walks)
    weights = np.array([edge * edge, edge, 1])
    for _ in range(hops):
        step = steps[random.integers(len(steps), size=walks)]
        target = (vacancy + step) % edge
        to, at = target @ weights, vacancy @ weights
        atom = who[rows, to]
        who[rows, at] = atom
        moved[rows, atom] -= step.astype(np.int8)
        vacancy = target
    square = float((moved.astype(float) ** 2).sum(axis=(1, 2)).mean())
    return square / (hops * float((steps[0] ** 2).sum()))


def onsager_matrix(comm: Any) -> Mapping[str, float]:
    """Conductivity and transference number of a given Onsager matrix (L++ 1, L-- 0.5, L+- 0.2)."""
    from atomistic import onsager
    from coupling.constants import ELEMENTARY_CHARGE

    matrix = np.array([[1.0, 0.2], [0.2, 0.5]])
    return {
        "conductivity over the squared charge": onsager.conductivity(matrix, (1, -1)) / ELEMENTARY_CHARGE**2,
        "transference number": float(onsager.transference_numbers(matrix, (1, -1))[0]),
    }
