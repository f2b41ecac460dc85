"""Ions that hop a few times in a run, or not at all: bounds hold, along axes and by layers; many hops are an estimate."""

import numpy as np
import pytest

from atomistic.boundary_transport import layers
from atomistic.boundary_transport import records as of_layers
from atomistic.creep import mobility, mobility_records
from coupling.record import Property

HOP, IONS, REST, FRAMES, WINDOW = 2.5, 80, 160, 201, 20


def jumpers(random: np.random.Generator, hops: float) -> tuple[np.ndarray, float]:
    """Ions that jump along x, y or z, so many times along each in all, beside a framework; both rattle. D along an axis, m²/s."""
    rate = 3 * hops / (IONS * FRAMES)
    jumps = np.zeros((FRAMES, IONS, 3))
    frame, ion = np.nonzero(random.random((FRAMES, IONS)) < rate)
    jumps[frame, ion, random.integers(0, 3, len(ion))] = HOP * random.choice([-1, 1], len(ion))
    start = random.uniform(0, 1, (IONS + REST, 3)) * [20, 20, 40]
    tracks = np.concatenate([np.cumsum(jumps, axis=0), np.zeros((FRAMES, REST, 3))], axis=1) + start
    return tracks + 0.05 * random.standard_normal(tracks.shape), rate * HOP**2 / 6 * 1e-5 * (1 - 1 / 3)


def along_axes(tracks: np.ndarray) -> list[Property]:
    found = mobility(tracks, np.arange(IONS), 1.0, WINDOW)
    return [made for made in mobility_records(found, "Li", "X", {}, {"made": "up"}) if "axis" in made.conditions]


def by_layers(tracks: np.ndarray) -> list[Property]:
    found = layers(tracks, np.arange(IONS), np.diag([20.0, 20.0, 40.0]), 1.0, WINDOW, 2)
    return [made for made in of_layers(found, "X", {}, {"made": "up"}, "Li") if made.unit == "m^2/s"]


@pytest.mark.parametrize("read", [along_axes, by_layers])
@pytest.mark.parametrize("hops", [1.0, 3.0])
def test_bounds_of_few_hops_hold(read, hops: float) -> None:
    """25 runs: without the hops that a run may have missed half to nine tenths of the bounds hold."""
    random, held, told = np.random.default_rng(5), [], 0
    for _ in range(25):
        tracks, truth = jumpers(random, hops)
        for made in read(tracks):
            held += [made.value >= truth] if made.bound else []
            told += made.bound is None
    assert np.mean(held) >= 0.95
    assert told <= 0.1 * (told + len(held))


def test_many_hops_are_an_estimate() -> None:
    tracks, truth = jumpers(np.random.default_rng(6), 150.0)
    for made in [*along_axes(tracks), *by_layers(tracks)]:
        assert made.bound is None
        assert made.stderr is not None
        assert abs(made.value - truth) < 4 * made.stderr
