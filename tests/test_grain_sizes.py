"""Grains of a stated size distribution: every cell has the size drawn for it, the meshes have these grains, keys reach them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from mpi4py import MPI
from scipy.stats import kstest, norm
from test_conduction_case import GEOMETRY
from test_conduction_case import write as conduction
from transport_cases import crystal, edited, write

from coupling.errors import UserError
from meshes import laguerre, polycrystal, polycrystal3d, thin_polycrystal, voronoi
from meshes.flaw import Flaw
from meshes.polycrystal import COARSE, LayeredCell
from meshes.polycrystal3d import GrainBlock
from meshes.thin_polycrystal import ThinPolycrystal
from multiscale.commands.preview import _grain_sizes
from multiscale.structures import drawn

UM = 1e-6
PLANE = np.array([[0.0, 0.0], [9.0, 6.0]])
SOLID = np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 2.0]])


def made(box, spread, seed=1):
    low, high = (tuple(corner) for corner in box.tolist())
    return laguerre.grains(low, high, 1.0, spread, seed)


@pytest.mark.parametrize(("box", "spread"), [(PLANE, 0.2), (PLANE, 0.45), (SOLID, 0.3)])
def test_every_grain_has_the_size_drawn_for_it(box, spread):
    """The sizes asked for come out to the tolerance of the weights, they fill the box, and the mean size is the stated one."""
    points, weights = made(box, spread)
    rng = np.random.default_rng(1)
    rng.uniform(box[0], box[1], points.shape)
    wanted = laguerre.drawn_diameters(len(points), spread, rng) ** box.shape[1]
    wanted *= np.prod(box[1] - box[0]) / wanted.sum()
    assert laguerre.diagram(points, weights, box).size == pytest.approx(wanted, rel=1e-6)
    found = laguerre.distribution(points, weights, box)
    assert found.grain_size == pytest.approx(1.0, rel=1e-9)
    assert found.spread == pytest.approx(spread, rel=0.05 if len(points) > 50 else 0.1)
    assert found.count == round(np.prod(box[1] - box[0]))


def test_diameters_are_log_normal():
    sizes = np.log(laguerre.drawn_diameters(200, 0.3, np.random.default_rng(5)))
    assert kstest(sizes / 0.3, norm.cdf).statistic < 1 / 200 + 1e-12  # one diameter in each part of equal probability
    assert np.std(sizes) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("box", [PLANE, SOLID])
def test_sizes_of_cells_are_those_counted_by_points(box):
    """Areas and volumes by faces agree with the share of random points whose least power distance is to each seed."""
    points, weights = made(box, 0.3)
    places = np.random.default_rng(2).uniform(box[0], box[1], (40_000, box.shape[1]))
    counted = np.bincount(laguerre.owner(places, points, weights), minlength=len(points)) / 40_000
    share = laguerre.diagram(points, weights, box).size / np.prod(box[1] - box[0])
    assert np.abs(counted - share) == pytest.approx(0.0, abs=4.5 * np.sqrt(share.max() / 40_000))
    assert np.std((counted - share) / np.sqrt(share * (1 - share) / 40_000)) < 1.5


def test_growth_of_sizes_with_weights_is_their_derivative():
    points, weights = made(PLANE, 0.3)
    step = np.random.default_rng(3).normal(size=len(points)) * 1e-6
    rise = laguerre.diagram(points, weights + step, PLANE).size - laguerre.diagram(points, weights - step, PLANE).size
    predicted = 2 * laguerre._growth(laguerre.diagram(points, weights, PLANE), len(points)) @ step
    assert rise == pytest.approx(predicted, abs=1e-3 * np.abs(predicted).max())


def test_clipped_polygons_are_the_cells():
    points, weights = made(PLANE, 0.45)
    box = (0.0, 0.0, 9.0, 6.0)
    areas = [voronoi.area(voronoi.cell(points, k, box, weights=weights)) for k in range(len(points))]
    assert areas == pytest.approx(laguerre.diagram(points, weights, PLANE).size.tolist(), rel=1e-6)


def test_the_same_seed_gives_the_same_grains_and_another_does_not():
    first = made(PLANE, 0.3)
    laguerre.grains.cache_clear()
    assert all(np.array_equal(a, b) for a, b in zip(first, made(PLANE, 0.3), strict=True))
    assert not np.array_equal(first[0], made(PLANE, 0.3, seed=2)[0])


CELL = LayeredCell(8 * UM, 6 * UM, UM, 40e-9, 50e-9, seed=3, resolution=COARSE, grain_size_spread=0.4)
THIN = ThinPolycrystal(8 * UM, 6 * UM, UM, seed=3, grain_size_spread=0.4)
BLOCK = GrainBlock(2 * UM, 2 * UM, 2 * UM, UM, seed=3, grain_size_spread=0.3)


def test_meshes_have_these_grains():
    """Areas or volumes of the meshed grains: exact in 3-D, and in the plane but for contracted short edges and boundaries."""
    _, quality = drawn(partial(thin_polycrystal.draw, THIN), MPI.COMM_SELF)
    sizes = np.array([size for name, (_, size) in quality.regions.items() if name.startswith("grain")])
    wanted = thin_polycrystal.grain_sizes(THIN)
    assert np.std(np.log(sizes)) / 2 == pytest.approx(wanted.spread, rel=0.03)
    assert sizes.sum() == pytest.approx(48 * UM**2)
    _, quality = drawn(partial(polycrystal3d.draw, BLOCK, apart=True), MPI.COMM_SELF, 3)
    sizes = np.array([quality.regions[f"grain {k}"][1] for k in range(8)])
    assert np.std(np.log(sizes)) / 3 == pytest.approx(polycrystal3d.grain_sizes(BLOCK).spread, rel=1e-5)
    assert quality.worst_shape > 0.02
    shrunk = [voronoi.area(grain) for grain in polycrystal.grains(CELL)]
    assert len(shrunk) == polycrystal.grain_sizes(CELL).count == 48
    assert np.std(np.log(shrunk)) / 2 == pytest.approx(polycrystal.grain_sizes(CELL).spread, rel=0.1)
    middles = np.array([voronoi.centroid(grain) for grain in polycrystal.grains(CELL)])
    assert np.array_equal(polycrystal.grain_index(CELL, middles), np.arange(48))


def test_no_spread_changes_nothing():
    assert np.array_equal(polycrystal.seeds(replace(CELL, grain_size_spread=0.0)), voronoi.relaxed_seeds(
        (0.0, 50e-9, 8 * UM, CELL.height), UM, 3))  # fmt: skip
    assert polycrystal.weights(replace(CELL, grain_size_spread=0.0)) is None
    assert thin_polycrystal.grain_sizes(replace(THIN, grain_size_spread=0.0)).spread < 0.2


def test_wrong_spreads_are_refused(tmp_path):
    with pytest.raises(UserError, match="grain_size_spread: read 0"):
        replace(BLOCK, grain_size_spread=0.7)
    with pytest.raises(UserError, match="a flaw frames grains of its own"):
        replace(CELL, flaw=Flaw(0.8 * UM, 0.2 * UM, 0.02 * UM))
    from multiscale.conduction.case import load_conduction_case

    change = ('grain_size = "1.5 um"', 'grain_size = "1.5 um"\ngrain_size_spread = -0.1')
    with pytest.raises(UserError, match=r"case.toml:\d+: geometry.electrolyte.grain_size_spread: read -0.1"):
        load_conduction_case(conduction(tmp_path / "case", "layered-polycrystal", change))


def test_preview_tells_the_distribution_of_each_kind_of_polycrystal(tmp_path):
    assert 'grain_size = "1.5 um"' in GEOMETRY["layered-polycrystal"]
    change = ('grain_size = "1.5 um"', 'grain_size = "1.5 um"\ngrain_size_spread = 0.25')
    solid = _grain_sizes(conduction(tmp_path / "solid", "layered-polycrystal", change))
    assert (solid.count, solid.grain_size) == (8, pytest.approx(1.5 * UM))
    assert solid.spread == pytest.approx(0.25, rel=0.25)
    meshed = edited(crystal(), ('grain_size     = "1 um"', 'grain_size     = "0.6 um"\ngrain_size_spread = 0.4'))
    thin = edited(meshed, ('width = "100 nm"', 'width = "2 nm", model = "thin"'))
    for name, text in (("meshed", meshed), ("thin", thin)):
        found = _grain_sizes(write(tmp_path / name, text))
        assert found.count == 17
        assert found.spread == pytest.approx(0.4, rel=0.15)
    assert _grain_sizes(conduction(tmp_path / "other", "voxels")) is None
