"""Width of boundaries by structure: stacks of known width, cover of the error, bounds, no boundary, no crystal, refusals."""

import numpy as np
import pytest
from ase import Atoms

from atomistic import boundary_width
from coupling.errors import UserError

HEIGHT = 60.0


def stack(
    seed: int, width: float, excess: float = 3.0, scatter: float = 0.3, planes: tuple[float, float] = (0.0, 30.0),
    level: float = 0.2, moved: tuple[float, float, float] = (0.0, 0.0, 0.0), wander: tuple[float, ...] = 8 * (1.0,),
) -> boundary_width.Disorder:  # fmt: skip
    """A made-up framework of 480 atoms, `level` (Å) from their sites in two grains and `level` (1 + excess) at the planes.

    The run's second grain is `moved` (Å) against the sites; the width in eight parts of the run is `wander` times that given.
    """
    random = np.random.default_rng(seed)
    cell = np.diag([10.0, 20.0, HEIGHT])
    places = random.uniform(0, 1, (480, 3)) * [10, 20, HEIGHT / 2]
    places[240:, 2] += HEIGHT / 2
    sites = Atoms("S480", positions=places, cell=cell, pbc=True, tags=np.repeat([1, 2], 240))
    away = np.min([np.abs((places[:, 2] - plane + 30) % HEIGHT - 30) for plane in planes], axis=0)
    share, parts = np.exp(scatter * random.standard_normal(480)), []
    for times in wander:
        size = level * share * (1 + excess * np.exp(-4 * np.log(2) * (away / width / times) ** 2))
        turn = random.standard_normal((1, 480, 3))
        turn *= (size / np.linalg.norm(turn, axis=2))[:, :, None]
        parts += [turn, -turn]  # so that places stay where they are on the mean
    apart = np.concatenate(parts)
    apart[:, 240:] += moved
    return boundary_width.disorder(places + apart, sites, np.arange(480), cell)


def test_a_known_width_comes_back() -> None:
    """Little scatter: 8 Å and the excess of three times, planes a little off; heights and planes of both boundaries."""
    found = boundary_width.structure(stack(0, 8.0, scatter=0.05, planes=(0.4, 29.6)))
    assert found.width is not None
    assert found.width.stderr is not None
    assert found.width.value == pytest.approx(8.0, abs=4 * found.width.stderr)
    assert found.width.stderr < 0.3
    assert found.parameters[:, 1] == pytest.approx([3.0, 3.0], rel=0.15)
    assert found.parameters[:, 2] == pytest.approx([-0.4, 0.4], abs=0.3)


@pytest.mark.parametrize("wander", [0.0, 0.1])
def test_its_error_covers(wander: float) -> None:
    """200 stacks of 5 to 11 Å: 60 … 76 % of the 68 % intervals and 90 … 98 % of the 95 % intervals hold the width.

    The width of each part of a run lies off by itself, or not at all.
    """
    random, away = np.random.default_rng(3), []
    for seed in range(200):
        width, times = float(random.uniform(5.0, 11.0)), 1 + wander * random.standard_normal(8)
        told = boundary_width.structure(stack(seed, width, wander=tuple(times))).width
        if told is not None and told.stderr is not None:
            away.append(abs(told.value - width) / told.stderr)
    rates = len(away), float(np.mean(np.array(away) < 1)), float(np.mean(np.array(away) < 1.96))
    assert rates[0] > 190, rates
    assert 0.60 <= rates[1] <= 0.76, rates
    assert 0.90 <= rates[2] <= 0.98, rates


def test_a_width_that_changes_within_the_run_is_told() -> None:
    """From 7 to 9 Å within the run: a note, and an error that a mean of these has."""
    wander = np.linspace(0.875, 1.125, 8)
    found = stack(1, 8.0, scatter=0.1, wander=tuple(wander))
    (record,), notes = boundary_width.records(found, "X", {}, {"trajectory": "none"})
    assert notes[0].startswith("the boundary's width changes within the run: ")
    assert np.array(record.source["widths_by_time_m"]) == pytest.approx(8e-10 * wander, rel=0.1)
    assert 0.3e-10 < record.stderr < 2e-10


def test_grains_that_moved_change_nothing() -> None:
    """A grain shifted in the plane, by a cell as well, leaves every distance."""
    still, moved = stack(1, 8.0), stack(1, 8.0, moved=(1.5, 19.0, 0.0))
    assert moved.distances == pytest.approx(still.distances, abs=1e-9)


def test_what_is_narrow_or_as_wide_as_a_grain_is_a_bound_and_no_boundary_is_none() -> None:
    narrow, wide = stack(0, 0.7, excess=20.0, scatter=1.0), stack(4, 30.0)
    for found, bound in ((narrow, "upper"), (wide, "lower")):
        (record,), notes = boundary_width.records(found, "X", {"temperature_K": 600.0}, {"trajectory": "none"})
        assert (record.bound, record.stderr, record.confidence, notes) == (bound, None, "computed", [])
    seen = [boundary_width.structure(stack(seed, 8.0, excess=0.0)).width is not None for seed in range(40)]
    assert sum(seen) <= 2
    records, notes = boundary_width.records(stack(0, 8.0, excess=0.0), "X", {}, {"trajectory": "none"})
    assert records == []
    assert "are needed" in notes[0]


def layered(every: int, seed: int, boundary: float = 0.0, spacing: float = 2.5) -> boundary_width.Disorder:
    """A crystal of layers, one in `every` of which strays 1.5 times as far; those next to the planes `boundary` times more."""
    random, cell = np.random.default_rng(seed), np.diag([10.0, 20.0, HEIGHT])
    number, x, y = (each.ravel() for each in np.meshgrid(np.arange(HEIGHT / spacing), np.arange(4), np.arange(8), indexing="ij"))
    places = np.column_stack([2.5 * x, 2.5 * y, spacing * (number + 0.5)])
    sites = Atoms(f"S{len(places)}", positions=places, cell=cell, pbc=True, tags=1 + (places[:, 2] > HEIGHT / 2))
    near = np.abs((places[:, 2] + HEIGHT / 4) % (HEIGHT / 2) - HEIGHT / 4) < spacing
    size = 0.2 * np.where(number % every == 0, 1.5, 1.0) * (1 + boundary * near)
    size *= np.exp(0.15 * random.standard_normal(len(places)))
    turns = random.standard_normal((8, len(places), 3))
    turns *= (size / np.linalg.norm(turns, axis=2))[:, :, None]
    return boundary_width.disorder(places + np.concatenate([turns, -turns]), sites, np.arange(len(places)), cell)


@pytest.mark.parametrize("every", [2, 3, 4])
def test_layers_of_a_crystal_that_differ_are_no_boundary(every: int) -> None:
    """χ² falls in the middle of the grains as well; layers next to the planes that stray thrice as far give an upper bound."""
    fits = [boundary_width.structure(layered(every, seed)) for seed in range(10)]
    assert np.median([fit.drop for fit in fits]) > boundary_width.SEEN
    assert [fit.width for fit in fits] == 10 * [None]
    assert "(16.3 more than in the middle" in boundary_width.records(layered(every, 0), "X", {}, {"trajectory": "none"})[1][0]
    width = boundary_width.structure(layered(every, 0, boundary=2.0)).width
    assert width is not None
    assert (width.bound, width.stderr, width.value > 5.0) == ("upper", None, True)


def test_a_framework_without_sites_is_told() -> None:
    """Atoms 1.5 Å from sites that are some 2 Å apart: the width is of low confidence."""
    found = stack(5, 8.0, level=1.5, scatter=0.1)
    (record,), notes = boundary_width.records(found, "X", {}, {"trajectory": "none"})
    assert record.confidence == "low"
    assert notes[0].startswith("S of the framework: as near to other sites as to its own")
    assert stack(5, 8.0).lost == ()


def test_what_cannot_be_read_is_refused() -> None:
    cell = np.diag([10.0, 10.0, 40.0])
    places = np.random.default_rng(0).uniform(0, 1, (100, 3)) * [10, 10, 40]
    sites = Atoms("S100", positions=places, cell=cell, pbc=True)
    frames = places + np.random.default_rng(1).normal(0, 0.1, (8, 100, 3))
    with pytest.raises(UserError, match="tag for each"):
        boundary_width.disorder(frames, sites, np.arange(100), cell)
    with pytest.raises(UserError, match="99 sites for 100 atoms"):
        boundary_width.disorder(frames, sites[:-1], np.arange(99), cell)
    sites.set_tags(np.where(places[:, 2] < 20, 1, 2))
    with pytest.raises(UserError, match="7 frames"):
        boundary_width.disorder(frames[:7], sites, np.arange(100), cell)
    layers = sites.copy()
    layers.set_tags((places[:, 2] // 4).astype(int))
    with pytest.raises(UserError, match=r"in the inner half of the grain with the tag .; .* not for each layer"):
        boundary_width.disorder(frames, layers, np.arange(100), cell)
    flat = sites.copy()
    flat.positions[:, 2] = np.floor(places[:, 2]) // 4 * 4
    flat.set_tags(flat.positions[:, 2].astype(int) // 4)
    with pytest.raises(UserError, match="0 atoms of the framework, over 0 Å, in the inner half"):
        boundary_width.disorder(frames, flat, np.arange(100), cell)
    with pytest.raises(UserError, match="in a strip"):
        boundary_width.disorder(frames, sites, np.arange(60), cell)
