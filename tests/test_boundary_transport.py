"""Grain boundaries: layered walks of known D, cover of the errors, width, no boundary, excess energy and softening, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pair_potential import PairPotential

from atomistic.boundary_transport import boundary_step, excess_energy, layers, records, softening
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
        assert step.width[0] == pytest.approx(10.0, abs=5.0)
    made = records(found, "Li6PS5Cl", {"temperature_K": 600.0}, {"trajectory": "none"}, "Li")
    assert [record.quantity for record in made].count("boundary_width") == 2


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
