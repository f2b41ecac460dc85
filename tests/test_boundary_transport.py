"""Grain boundaries: layered walks of known D, cover of the errors, width, no boundary, excess energy and softening, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential

from atomistic.boundary_transport import Layers, boundary_step, excess_energy, layers, records, softening, without_width
from atomistic.grain_boundary import grain_boundary, single_grain
from coupling.errors import UserError

CELL = np.diag([30.0, 30.0, 80.0])
FRAMES, IONS = 401, 400


def walk(seed: int, fast: float, slow: float = 0.02, width: float = 10.0) -> np.ndarray:
    """Walkers on a line of lanes (z fixed but for small steps): D = fast²/2 within width/2 of z = 0 and 40, slow²/2 elsewhere."""
    random = np.random.default_rng(seed)
    start = random.uniform(0, 1, (IONS, 3)) * [30, 30, 80]
    away = np.abs((start[:, 2] + 20) % 40 - 20)
    size = np.where(away < width / 2, fast, slow)
    steps = random.normal(size=(FRAMES, IONS, 3)) * size[None, :, None]
    frame = np.tile(random.uniform(0, 1, (200, 3)) * 30, (FRAMES, 1, 1))
    rattle = random.normal(0, 0.1, (FRAMES, IONS, 3))
    return np.concatenate([start + np.cumsum(steps, axis=0) + rattle, frame], axis=1)


def test_a_fast_boundary_comes_back() -> None:
    """D of boundary and grain along and across within five errors, the width within a layer."""
    found = layers(walk(0, 0.08), np.arange(IONS), CELL, 1.0, 20, count=8)
    for across in (False, True):
        step = boundary_step(found, across)
        assert step.boundary[0] == pytest.approx(0.08**2 / 2 * 1e-5, abs=5 * step.boundary[1])
        assert step.grain[0] == pytest.approx(0.02**2 / 2 * 1e-5, abs=5 * step.grain[1])
        assert step.width is not None
        assert step.width.value == pytest.approx(10.0, abs=5.0)
    made = records(found, "Li6PS5Cl", {"temperature_K": 600.0}, {"trajectory": "none"}, "Li")
    assert [record.quantity for record in made].count("boundary_width") == 2
    assert without_width(found) == []


def made_layers(values: list[float], scatter: float) -> Layers:
    """Layers of 5 Å with these diffusivities along the boundary and none across, 20 windows, 50 ions in each layer."""
    random, along = np.random.default_rng(4), np.array(values)
    windows = along + scatter * random.standard_normal((20, len(values)))
    windows += along - windows.mean(axis=0)
    left = (windows.sum(axis=0) - windows) / 19
    error, zero = np.full(len(values), scatter / 20**0.5), np.zeros(len(values))
    counts = np.full(len(values), 1000)
    return Layers(2.5 + 5.0 * np.arange(len(values)), along, zero, error, zero, counts,
                  np.stack([left, np.zeros_like(left)], axis=1), 5.0, 100.0)  # fmt: skip


def test_an_edge_inside_a_layer_is_told_by_its_share() -> None:
    """D 9, 9, 5, 1, 1: half of the third layer belongs to the boundary, 25 Å; its 50 ions alone leave 0.7 Å."""
    width = boundary_step(made_layers([9.0, 9.0, 5.0, 1.0, 1.0], 0.1)).width
    assert width is not None
    assert (width.value, width.bound) == (pytest.approx(25.0, abs=0.1), None)
    assert width.stderr == pytest.approx(10 * 0.5 / 54**0.5, rel=0.1)


@pytest.mark.parametrize(("values", "bound", "low", "high"), [
    ([9.0, 1.0, 1.0, 1.0], "upper", 10.2, 10.8), ([9.0, 9.0, 9.0, 1.0], "lower", 29.2, 29.8),
])  # fmt: skip
def test_an_edge_at_the_first_or_last_layer_is_a_bound(values: list[float], bound: str, low: float, high: float) -> None:
    """No layer is shared: a bound at the layer's edge, moved by 1.645 errors, 0.4 Å for the 50 ions in it."""
    width = boundary_step(made_layers(values, 0.1)).width
    assert width is not None
    assert (width.bound, width.stderr) == (bound, None)
    assert low <= width.value <= high
    (record,) = (r for r in records(made_layers(values, 0.1), "X", {}, {"made": "up"}, "Li") if r.quantity == "boundary_width")
    assert (record.bound, record.stderr) == (bound, None)


def test_what_has_no_width_says_why() -> None:
    """Alike layers, and layers whose edge the noise hides; D of boundary and grain are then those of fixed layers."""
    flat, torn = made_layers([1.0, 1.2, 0.9, 1.1], 1.0), made_layers([0.94, 0.79, 1.39, 1.08], 0.5)
    assert boundary_step(flat).boundary[0] == 1.0
    assert boundary_step(flat).grain[0] == pytest.approx(3.2 / 3)
    assert all("are needed" in told for told in without_width(flat))
    assert without_width(torn)[0].startswith("diffusivities along the boundary tell no width: the edge may lie in any of 4")


def test_errors_cover_and_no_boundary_is_no_width() -> None:
    """20 walks without a boundary: no width in at least 18 of them, 68 and 95 % intervals of the mean of a layer cover."""
    away, seen = [], 0
    for seed in range(20):
        found = layers(walk(seed, 0.05, 0.05), np.arange(IONS), CELL, 1.0, 20, count=5)
        seen += boundary_step(found).width is not None
        away += list((found.along - 0.05**2 / 2 * 1e-5) / found.along_stderr)
    assert seen <= 2
    assert 0.60 <= np.mean(np.abs(away) < 1) <= 0.76
    assert 0.90 <= np.mean(np.abs(away) < 1.96) <= 0.98


def test_excess_energy_is_that_of_the_means() -> None:
    random = np.random.default_rng(0)
    cell, crystal = Atoms("Li40", cell=[10, 10, 40], pbc=True), Atoms("Li20", cell=[10, 10, 20], pbc=True)
    own, other = -60 + random.normal(0, 0.2, 100), -32 + random.normal(0, 0.1, 100)
    value, error = excess_energy(own, other, cell, crystal)
    assert value == pytest.approx(4.0 / 200 * 16.02177, abs=4 * error)
    assert 0 < error < 0.01
    with pytest.raises(UserError, match="composition"):
        excess_energy(own, other, cell, Atoms("Na20", cell=[10, 10, 20]))
    with pytest.raises(UserError, match="ten frames"):
        excess_energy(own[:5], other, cell, crystal)


def test_a_perfect_crystal_does_not_soften_and_a_porous_plane_does() -> None:
    """Lennard-Jones fcc: the crystal against itself gives 1 and no compliance; with a third of a plane taken out it is softer."""
    crystal = bulk("Ar", "fcc", a=5.25, cubic=True).repeat((3, 3, 4))
    plane = np.flatnonzero(np.abs(crystal.positions[:, 2] - 5.25) < 0.1)
    porous = crystal[np.setdiff1d(np.arange(len(crystal)), plane[::3])]
    calculator = PairPotential(cutoff=7.5, skin=0.3)
    same = softening(crystal, crystal, calculator, boundaries=1)
    assert same.ratio[0] == pytest.approx(1.0)
    assert same.compliance[0] == pytest.approx(0.0, abs=1e-25)
    soft = softening(porous, crystal, calculator, boundaries=1)
    assert soft.ratio[0] < 1 - 2 * soft.ratio[1]
    assert soft.compliance[0] > 2 * soft.compliance[1]
    # the series of crystal and plane: H/C = H/C_bulk + s
    height = 21.0e-10
    assert height / soft.cell[0] == pytest.approx(height / soft.crystal[0] + soft.compliance[0], rel=1e-2)


def test_a_single_grain_is_the_crystal() -> None:
    """Same density, and the orientation of the grain of the boundary cell."""
    crystal = bulk("Ar", "fcc", a=5.25, cubic=True)
    grain = single_grain(crystal, 5, (0, 0, 1), (2, 1, 0), 11.0)
    joined = grain_boundary(crystal, 5, (0, 0, 1), (2, 1, 0), 11.0, shift=(0.0, 0.0), closest=0.1)
    assert len(grain) / grain.get_volume() == pytest.approx(4 / 5.25**3)
    assert np.allclose(grain.cell[:2], joined.cell[:2])


def test_what_cannot_be_read_is_refused() -> None:
    tracks, moving = walk(0, 0.05), np.arange(IONS)
    with pytest.raises(UserError, match="windows"):
        layers(tracks[:50], moving, CELL, 1.0, 20)
    with pytest.raises(UserError, match="even number"):
        layers(tracks, moving, CELL, 1.0, 7)
    with pytest.raises(UserError, match="no atom"):
        layers(tracks, moving[:0], CELL, 1.0, 20)
    with pytest.raises(UserError, match="evenly spread"):
        layers(tracks, moving, CELL, 1.0, 20, planes=(0.0, 0.2))
    with pytest.raises(UserError, match="along z"):
        layers(tracks, moving, CELL + np.array([[0, 0, 0], [0, 0, 0], [9, 0, 0]]), 1.0, 20)
    broken = tracks.copy()
    broken[3, 3, 1] = np.nan
    with pytest.raises(UserError, match="finite positions"):
        layers(broken, moving, CELL, 1.0, 20)
