"""Choice of frames: farthest points spread, the least certain atom counts, pressed frames are out, descriptors are invariant."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from scipy.spatial.distance import cdist, pdist

from atomistic import selection
from atomistic.structures import bulk as phase


def test_farthest_points_spread_more_than_random_ones_and_visit_every_cluster() -> None:
    random = np.random.default_rng(0)
    centers = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [50, 50]])
    # almost all points in the first cluster, one each in the others
    points = np.vstack([centers[0] + random.normal(0, 0.3, (500, 2)), centers[1:]])
    chosen = selection.farthest_points(points, 5)
    assert len(set(chosen)) == 5
    assert (cdist(points[chosen], centers).min(axis=0) < 2.0).all()
    others = [pdist(points[random.permutation(len(points))[:5]]).min() for _ in range(100)]
    assert pdist(points[chosen]).min() > 5 * max(others)


def test_farthest_points_keep_away_from_known_ones_and_take_no_point_twice() -> None:
    line = np.arange(6.0)[:, None]
    assert selection.farthest_points(line, 2, first=0) == [0, 5]
    assert selection.farthest_points(line, 2, first=0, known=np.array([[5.0]])) == [0, 2]
    assert selection.farthest_points(np.zeros((4, 3)), 3) == [0]
    assert len(selection.farthest_points(line, 99)) == 6
    assert selection.farthest_points(line[:0], 3) == []


def _rattled(seed: int, width: float = 0.05) -> Atoms:
    atoms = phase("LiCl")
    atoms.positions += np.random.default_rng(seed).normal(0, width, atoms.positions.shape)
    atoms.arrays[selection.SPREADS] = np.full(len(atoms), 0.01)
    return atoms


def test_the_histogram_does_not_see_rotation_order_or_periodic_images() -> None:
    atoms = _rattled(1)
    describe = selection.histogram_of([atoms])
    before = describe(atoms)
    turned = atoms.copy()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    turned.positions += 5.0
    turned.wrap()
    np.testing.assert_allclose(describe(turned), before, atol=1e-8)
    np.testing.assert_allclose(describe(atoms[::-1])[::-1], before, atol=1e-10)
    nudged = atoms.copy()
    nudged.positions[0] += 1e-4
    assert 0 < np.abs(describe(nudged) - before).max() < 1e-2
    assert np.abs(before[atoms.symbols == "Li"].mean(axis=0) - before[atoms.symbols == "Cl"].mean(axis=0)).max() > 0.5


def test_frames_that_differ_in_one_uncertain_atom_are_told_apart() -> None:
    """A hundred nearly equal frames and one in which an atom sits elsewhere: it is among the first two chosen."""
    frames = [_rattled(seed, 0.01) for seed in range(30)]
    odd = frames[17]
    odd.positions[3] += (0.9, 0.2, 0.0)
    odd.arrays[selection.SPREADS][3] = 0.2
    describe = selection.histogram_of(frames)
    chosen = selection.diverse(frames, 4, describe)
    assert chosen[0] == 17
    assert len(set(chosen)) == 4
    frames[5].arrays[selection.SPREADS][0] = 0.5
    assert selection.diverse(frames, 2, describe) == [5, 17]
    assert 17 not in selection.diverse(frames, 2, describe, known=[odd])


def test_pressed_frames_are_left_out_and_samples_are_seeded() -> None:
    near = bulk("Cu", a=3.6, cubic=True)
    near.positions[1] = near.positions[0] + (0.8, 0, 0)
    assert selection.pressed(near, 1.3)
    assert not selection.pressed(bulk("Cu", a=3.6), 2.5)
    assert selection.pressed(bulk("Cu", a=3.6), 2.6)  # an image is a neighbour too
    assert selection.random_sample(3, 10, 1) == selection.random_sample(3, 10, 1)
    assert selection.random_sample(30, 4, 1) == [0, 1, 2, 3]
    assert {tuple(selection.random_sample(1, 4, seed)) for seed in range(50)} == {(0,), (1,), (2,), (3,)}
