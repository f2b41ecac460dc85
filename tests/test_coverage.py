"""Error bars against the scatter they stand for: nominal 68 and 95 % intervals of 200 made-up data sets with a known truth.

Every quantity whose error comes from sampling goes through the product's own estimator (docs/site/howto/studies.md names those
whose error is a stated spread instead). Bands of 200 trials: 60 … 76 % and 90 … 98 %.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ase import Atoms
from scipy.signal import lfilter

from atomistic import boundary_transport
from atomistic.correlated import jackknife_error, mean_error

TRIALS = 200
Trial = dict[str, tuple[float, float]]
"""Of each quantity: distance from the truth over the standard error; a bound is no trial and is left out."""


def correlated(random: np.random.Generator, decay: float, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian noise of unit variance along the first axis, correlated as decay^|t|, from its stationary state on."""
    white = random.standard_normal(shape)
    white[1:] *= np.sqrt(1 - decay**2)
    return np.asarray(lfilter([1.0], [1.0, -decay], white, axis=0))


def correlated_means(random: np.random.Generator) -> dict[str, float]:
    """Means of few and of many values, and of long correlation."""
    cases = {"10 independent": (0.0, 10), "40 independent": (0.0, 40), "rho 0.9": (0.9, 800), "rho 0.98": (0.98, 2000)}
    found = {}
    for name, (decay, count) in cases.items():
        values = correlated(random, decay, (count,))
        found[name] = values.mean() / mean_error(values)
    return found


HEIGHT, LAYERS, WINDOW, STEPS = 80.0, 8, 20, 400


def boundary_walk(random: np.random.Generator, width: float, fast: float, slow: float, moves: bool) -> tuple[np.ndarray, np.ndarray]:
    """Walkers beside a still framework (frames, n, 3), Å, and the width of each one's steps (ions,), Å.

    Without `moves` the heights stand still, spread evenly; with it they begin in the middle of the layers and never leave them.
    """
    ions, frame = 400, 200
    start = random.uniform(0, 1, (ions, 3)) * [30, 30, HEIGHT]
    if moves:
        start[:, 2] = (np.floor(start[:, 2] / 2.5) + 0.5) * 2.5
    size = np.where(np.abs((start[:, 2] + 20) % 40 - 20) < width / 2, fast, slow)
    steps = random.standard_normal((STEPS + 1, ions, 3)) * size[None, :, None] * [1, 1, float(moves)]
    walkers = start + np.cumsum(steps, axis=0) + random.normal(0, 0.02, steps.shape) * [1, 1, float(moves)]
    still = np.tile(random.uniform(0, 1, (frame, 3)) * 30, (STEPS + 1, 1, 1))
    return np.concatenate([walkers, still], axis=1), size


def boundary_diffusion(random: np.random.Generator) -> dict[str, float]:
    """D of boundary and grain, along and across, as recorded."""
    fast, slow = 0.05, 0.02
    tracks, size = boundary_walk(random, 10.0, fast, slow, True)
    found = boundary_transport.layers(tracks, np.arange(400), np.diag([30.0, 30.0, HEIGHT]), 1.0, WINDOW, LAYERS)
    n, away = tracks.shape[1], {}
    common = (size**2).sum() / n**2  # of the mean of all atoms, which is taken off
    for record in boundary_transport.records(found, "X", {}, {"made": "up"}, "Li"):
        if record.stderr is None or record.quantity == "boundary_width":
            continue
        own = fast if record.quantity == "boundary_diffusivity" else slow
        truth = (own**2 * (1 - 2 / n) + common) / 2 * 1e-5
        away[f"{record.quantity} {record.conditions['direction']}"] = (record.value - truth) / record.stderr
    return away


def boundary_width(random: np.random.Generator) -> dict[str, float]:
    """Width of boundaries that end anywhere, heights at rest."""
    width = random.uniform(12.0, 28.0)
    tracks, _ = boundary_walk(random, width, 0.08, 0.02, False)
    found = boundary_transport.layers(tracks, np.arange(400), np.diag([30.0, 30.0, HEIGHT]), 1.0, WINDOW, LAYERS)
    made = [r for r in boundary_transport.records(found, "X", {}, {"made": "up"}, "Li") if r.quantity == "boundary_width"]
    return {"boundary_width": (r.value * 1e10 - width) / (r.stderr * 1e10) for r in made if r.stderr}


def boundary_energy(random: np.random.Generator) -> dict[str, float]:
    """Excess energy from correlated potential energies."""
    cell, crystal = Atoms("Li40", cell=[10, 10, 40], pbc=True), Atoms("Li20", cell=[10, 10, 20], pbc=True)
    away = {}
    for decay in (0.5, 0.98):
        own, other = (mean + 0.3 * correlated(random, decay, (2000,)) for mean in (-60.0, -32.0))
        value, error = boundary_transport.excess_energy(own, other, cell, crystal)
        away[f"rho {decay}"] = (value - 4.0 / 200 * 16.021766) / error
    return away


QUANTITIES: list[Callable[[np.random.Generator], dict[str, float]]] = [
    correlated_means, boundary_diffusion, boundary_width, boundary_energy,
]


@pytest.mark.parametrize("trial", QUANTITIES, ids=lambda one: one.__name__)
def test_intervals_cover_what_they_say(trial: Callable[[np.random.Generator], dict[str, float]]) -> None:
    """200 trials of each quantity: 60 … 76 % within one standard error, 90 … 98 % within 1.96."""
    random, away = np.random.default_rng(11), {}
    for _ in range(TRIALS):
        for name, distance in trial(random).items():
            away.setdefault(name, []).append(abs(distance))
    assert away
    for name, distances in away.items():
        one, two = (float(np.mean(np.array(distances) < limit)) for limit in (1.0, 1.96))
        assert len(distances) > 0.9 * TRIALS, f"{name}: {len(distances)} estimates"
        assert 0.60 <= one <= 0.76, f"{name}: {one:.3f} of 68 %, {two:.3f} of 95 %"
        assert 0.90 <= two <= 0.98, f"{name}: {one:.3f} of 68 %, {two:.3f} of 95 %"
