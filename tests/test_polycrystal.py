"""The layered cell: grains that fill it, boundaries of the stated width, a reproducible mesh, clear refusals."""

from dataclasses import replace

import numpy as np
import pytest

from coupling.errors import UserError
from meshes import voronoi
from meshes.flaw import Flaw
from meshes.polycrystal import COARSE, FINE, LayeredCell, Quality, draw, grain_index, grains, seeds
from meshes.session import gmsh_model
from meshes.tags import BOUNDARIES, REGIONS

FLAW = Flaw(depth=0.3e-6, mouth_opening=15e-9, tip_radius=2.5e-9)
CELL = LayeredCell(2e-6, 2e-6, 0.6e-6, 10e-9, 30e-9, FLAW, seed=3, resolution=COARSE)
BOX = (0.0, 0.0, 2.0, 1.0)


def mesh(cell: LayeredCell) -> tuple[Quality, np.ndarray, dict[str, float], dict[str, float]]:
    """Quality, nodes, area of each region and length of each boundary."""
    with gmsh_model("test") as model:
        quality = draw(cell)
        tags, flat, _ = model.mesh.getNodes()
        nodes = np.empty((int(tags.max()) + 1, 3))
        nodes[tags.astype(int)] = flat.reshape(-1, 3)

        def measure(dimension: int) -> dict[str, float]:
            found = {}
            for _, group in model.getPhysicalGroups(dimension):
                corners = []
                for entity in model.getEntitiesForPhysicalGroup(dimension, group):
                    _, _, elements = model.mesh.getElements(dimension, entity)
                    corners.append(nodes[elements[0].astype(int).reshape(-1, dimension + 1)])
                points = np.concatenate(corners)[..., :2]
                edges = points[:, 1:] - points[:, :1]
                size = np.linalg.norm(edges[:, 0], axis=1) if dimension == 1 else np.abs(np.linalg.det(edges)) / 2
                found[model.getPhysicalName(dimension, group)] = float(size.sum())
            return found

        return quality, nodes[1:], measure(2), measure(1)


def test_cells_fill_the_box_without_overlap() -> None:
    """Voronoi cells partition the box; with a gap each neighbour edge retreats by half of it."""
    points = voronoi.relaxed_seeds(BOX, 0.3, seed=1)
    assert sum(voronoi.area(voronoi.cell(points, k, BOX)) for k in range(len(points))) == pytest.approx(2.0, rel=1e-12)
    pair = np.array([[0.5, 0.5], [1.5, 0.5]])
    left = voronoi.cell(pair, 0, BOX, gap=0.1)
    assert voronoi.area(left) == pytest.approx(0.95)
    assert left[:, 0].max() == pytest.approx(0.95)


def test_contracted_grains_stay_inside_and_on_their_walls() -> None:
    """Contracting short edges never enlarges a grain nor opens a sliver at a wall."""
    polygon = np.array([[0.0, 0.0], [1.99, 0.0], [2.0, 0.01], [2.0, 1.0], [0.0, 1.0]])
    cleaned = voronoi.without_short_edges(polygon, 0.1, BOX)
    assert len(cleaned) == 4
    assert voronoi.area(cleaned) <= voronoi.area(polygon)
    assert {0.0, 2.0} == {cleaned[:, 0].min(), cleaned[:, 0].max()}


def test_regions_fill_the_cell() -> None:
    """The region areas add up to the cell without the lithium wedge; every name of the tags is there."""
    quality, _, regions, lines = mesh(CELL)
    wedge = (FLAW.mouth_opening / 2 + FLAW.tip_radius) * (FLAW.depth - FLAW.tip_radius) + np.pi / 2 * FLAW.tip_radius**2
    assert set(regions) == set(REGIONS)
    assert set(lines) == set(BOUNDARIES)
    assert sum(regions.values()) == pytest.approx(CELL.width * CELL.height - wedge, rel=1e-6)
    assert lines["lithium"] == pytest.approx(CELL.width - FLAW.mouth_opening, rel=1e-6)
    assert lines["counter"] == pytest.approx(CELL.width, rel=1e-9)
    assert [lines["left"], lines["right"]] == pytest.approx([CELL.height] * 2, rel=1e-9)
    slant = np.hypot(FLAW.depth - FLAW.tip_radius, FLAW.mouth_opening / 2 - FLAW.tip_radius)
    assert lines["flaw"] == pytest.approx(2 * slant + np.pi * FLAW.tip_radius, rel=2e-2)
    assert 1000 < quality.triangles < 8000
    assert quality.smallest_angle > 3


def test_interphase_lines_the_flaw() -> None:
    """A lining adds thickness times length on each face; without it the interphase is the flat layer alone."""
    lined, bare = mesh(CELL)[2], mesh(replace(CELL, flaw=replace(FLAW, lined=False)))[2]
    thickness = CELL.interphase_thickness
    assert bare["interphase"] == pytest.approx(thickness * CELL.width, rel=0.02)
    added = 2 * (FLAW.depth - thickness) * thickness + np.pi / 2 * thickness * (thickness + 2 * FLAW.tip_radius)
    assert lined["interphase"] - bare["interphase"] == pytest.approx(added, rel=0.05)


def test_boundary_area_follows_its_width() -> None:
    """Twice the width, twice the area (triple points aside), and the width times the length of a Voronoi net."""
    narrow = mesh(replace(CELL, flaw=None, boundary_width=6e-9))[2]["boundary"]
    wide = mesh(replace(CELL, flaw=None, boundary_width=12e-9))[2]["boundary"]
    assert wide / narrow == pytest.approx(2.0, rel=0.06)
    net = 2 * CELL.width * CELL.electrolyte_thickness / CELL.grain_size
    assert wide == pytest.approx(12e-9 * net, rel=0.35)


def test_same_seed_same_mesh() -> None:
    """The same seed gives the same nodes to the last bit; another seed another structure."""
    first, second = mesh(CELL)[1], mesh(CELL)[1]
    assert np.array_equal(first, second)
    assert not np.allclose(seeds(CELL)[2:4], seeds(replace(CELL, seed=4))[2:4])


def test_flaw_sits_where_it_was_put() -> None:
    """On a boundary the grains left and right of the tip differ; in a grain they are the same and hold the tip."""
    beside = np.array([[CELL.middle - 20e-9, FLAW.depth], [CELL.middle + 20e-9, FLAW.depth]])
    for seed in range(5):
        left, right = grain_index(replace(CELL, seed=seed), beside)
        assert {left, right} == {0, 1}
        left, right = grain_index(replace(CELL, seed=seed, flaw=replace(FLAW, at="grain")), beside)
        assert left == right == 0


def test_fine_mesh_is_finer_and_well_shaped() -> None:
    """The fine mesh has more triangles and no angle below 15 degrees."""
    cell = replace(CELL, width=1e-6, electrolyte_thickness=1e-6, grain_size=0.5e-6, resolution=FINE)
    fine, coarse = mesh(cell)[0], mesh(cell.coarser())[0]
    assert fine.triangles > 3 * coarse.triangles
    assert fine.smallest_angle > 15


def test_grains_are_counter_clockwise_and_many() -> None:
    """Every grain has a positive area, and their number follows from the grain size."""
    polygons = grains(replace(CELL, flaw=None))
    assert all(voronoi.area(polygon) > 0 for polygon in polygons)
    assert len(polygons) == round(CELL.width * CELL.electrolyte_thickness / CELL.grain_size**2)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"width": -1e-6}, "geometry.width"),
        ({"interphase_thickness": 0.0}, "geometry.interphase_thickness"),
        ({"grain_size": float("nan")}, "geometry.grain_size"),
        ({"grain_size": 5e-6}, "geometry.grain_size"),
        ({"boundary_width": 0.3e-6}, "geometry.boundary_width"),
        ({"flaw": replace(FLAW, depth=1.9e-6)}, "geometry.flaw.depth"),
        ({"interphase_thickness": 0.5e-6}, "geometry.flaw"),
    ],
)
def test_impossible_cells_are_refused(change: dict[str, object], key: str) -> None:
    """The message names the key and what was read."""
    with pytest.raises(UserError, match=key):
        replace(CELL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"depth": -1e-6}, "depth"),
        ({"tip_radius": 1e-7}, "mouth_opening"),
        ({"depth": 20e-9}, "mouth_opening"),
        ({"at": "x"}, "at"),
    ],
)
def test_impossible_flaws_are_refused(change: dict[str, object], key: str) -> None:
    """The message names the key."""
    with pytest.raises(UserError, match=f"geometry.flaw.{key}"):
        replace(FLAW, **change)  # type: ignore[arg-type]


def test_absurdly_large_meshes_are_refused() -> None:
    """A millimetre of 1 nm boundaries is refused before gmsh starts."""
    with gmsh_model("test"), pytest.raises(UserError, match="triangles"):
        draw(replace(CELL, width=1e-3, electrolyte_thickness=1e-3, boundary_width=1e-9))
