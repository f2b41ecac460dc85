"""Crystallinity: ideal, turned, strained and hot crystals, a Lennard-Jones crystal and its melt, averaging, error, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import find_mic
from pair_potential import PairPotential

from atomistic import crystallinity, dynamics
from atomistic.crystallinity import DISORDERED, NAMES, averaged, match, metal, neighbours, records, series, shares, window_of
from atomistic.dynamics import DynamicsSettings
from coupling.errors import UserError

CRYSTALS = {
    "bcc": bulk("Li", "bcc", a=3.5, cubic=True).repeat(4),
    "fcc": bulk("Li", "fcc", a=4.4, cubic=True).repeat(3),
    "hcp": bulk("Li", "hcp", a=3.11, c=5.08).repeat((5, 5, 3)),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_crystals_are_found_turned_strained_and_hot(name: str) -> None:
    """All atoms of an ideal crystal, turned and sheared by 3 %; 90 % at displacements of 0.06 of the distance."""
    atoms, random = CRYSTALS[name].copy(), np.random.default_rng(1)
    atoms.rotate(33, (1, 2, 3), rotate_cell=True)
    strain = np.eye(3) + np.array([[0.02, 0.03, 0], [0, -0.02, 0], [0, 0.01, 0.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    found = match(atoms)
    assert set(found.names) == {name}
    assert found.deviations.min(axis=1).max() < 0.05
    distance = float(np.linalg.norm(neighbours(atoms, 8), axis=2).mean())
    atoms.positions += random.normal(0, 0.06 * distance, atoms.positions.shape)
    assert np.mean(match(atoms).names == name) > 0.9


def test_neighbours_are_those_of_the_periodic_crystal() -> None:
    """A cell of one atom: 8 at a√3/2 and 6 at a, opposite ones cancel."""
    vectors = neighbours(bulk("Li", "bcc", a=3.5), 14)
    assert np.linalg.norm(vectors[0], axis=1) == pytest.approx([3.5 * 3**0.5 / 2] * 8 + [3.5] * 6)
    assert vectors.sum(axis=1) == pytest.approx(np.zeros((1, 3)), abs=1e-9)


def run(atoms: Atoms, temperature: float, picoseconds: float, folder) -> Atoms:
    settings = DynamicsSettings(temperature, picoseconds, timestep=5.0, friction_time=100.0, frame_interval=100.0, seed=1)
    final = dynamics.run(atoms, PairPotential(cutoff=6.5), settings, folder).final
    final.set_momenta(np.zeros((len(final), 3)))
    return final


def test_a_melt_is_none_and_its_crystal_is_one(tmp_path) -> None:
    """Lennard-Jones argon: fcc at 60 K at least 95 %, molten and brought back to 100 K at most 5 % of any crystal."""
    crystal = run(bulk("Ar", "fcc", a=5.35, cubic=True).repeat(3), 60.0, 1.0, tmp_path / "crystal")
    assert np.mean(match(crystal).names == "fcc") >= 0.95
    hot = run(bulk("Ar", "fcc", a=5.8, cubic=True).repeat(3), 600.0, 1.0, tmp_path / "hot")
    melt = run(hot, 100.0, 1.0, tmp_path / "melt")
    assert np.mean(match(melt).names == DISORDERED) >= 0.95


def test_means_over_frames_take_out_noise() -> None:
    """Displacements of 0.1 of the distance hide the crystal in one frame and not in the mean of ten, walls crossed or not."""
    random, atoms = np.random.default_rng(2), CRYSTALS["bcc"]
    frames = []
    for _ in range(10):
        frame = atoms.copy()
        frame.positions += random.normal(0, 0.3, frame.positions.shape)
        frame.wrap()
        frames.append(frame)
    assert shares(frames[:1]).mean[0] < 0.8
    assert shares(averaged(frames, 10)).mean[0] > 0.99
    with pytest.raises(UserError, match="between one and all"):
        averaged(frames, 11)


def test_means_over_frames_follow_a_cell_that_shrinks() -> None:
    """A fifth shorter in 30 frames, atoms drifting through the walls: each mean lies where its middle frame's atoms are."""
    random, atoms = np.random.default_rng(4), CRYSTALS["bcc"]
    frames = []
    for number in range(30):
        frame = atoms.copy()
        frame.set_cell(atoms.cell * (1 - 0.2 * number / 29), scale_atoms=True)
        frame.positions += 0.1 * number * frame.cell.array.sum(axis=0) + random.normal(0, 0.03, frame.positions.shape)
        frame.wrap()
        frames.append(frame)
    drift = 0.0
    for mean, middle in zip(averaged(frames, 3), frames[1::3], strict=True):
        away = find_mic(mean.positions - middle.positions, middle.cell)[0]
        drift = max(drift, float(np.linalg.norm(away, axis=1).max()))
    assert drift < 0.2
    assert shares(averaged(frames, 3)[-1:]).mean[0] > 0.99


def test_a_mixed_cell_and_its_records() -> None:
    """Two grains of one element beside another element: shares add up to one; the error is there from five frames on."""
    atoms = bulk("Li", "bcc", a=3.5, cubic=True).repeat((3, 3, 6))
    random, frames = np.random.default_rng(3), []
    for _ in range(6):
        frame = atoms.copy()
        part = frame.positions[:, 2] < 4.0
        frame.positions[part] += random.normal(0, 0.8, (part.sum(), 3))
        frames.append(frame)
    found = shares(frames, "Li")
    assert found.mean.sum() == pytest.approx(1.0)
    assert 0.1 < found.mean[NAMES.index(DISORDERED)] < 0.8
    made = records(found, "Li", {"temperature_K": 300.0}, {"trajectory": "none"})
    assert [record.conditions["structure"] for record in made] == list(NAMES)
    assert all(record.stderr is not None for record in made)
    assert shares(frames[:2], "Li").stderr is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match="at least 15"):
        match(bulk("Li", "bcc", a=3.5))
    broken = CRYSTALS["fcc"].copy()
    broken.positions[3, 1] = np.nan
    with pytest.raises(UserError, match="not a finite number"):
        match(broken)
    with pytest.raises(UserError, match="0 atoms of Na"):
        match(CRYSTALS["fcc"], "Na")
    with pytest.raises(UserError, match="no frame"):
        shares([])


def metal_beside_salt(count: int, noise: float) -> list[Atoms]:
    """Frames of bcc lithium (250 atoms) beside Li2S (144 of lithium), each shaken anew by `noise` (Å)."""
    random, metal = np.random.default_rng(5), bulk("Li", "bcc", a=3.51, cubic=True).repeat((5, 5, 5))
    salt = bulk("SLi2", "fluorite", a=5.7, cubic=True).repeat((3, 3, 2))
    salt.set_cell([*metal.cell.lengths()[:2], salt.cell[2, 2]], scale_atoms=True)
    salt.positions[:, 2] += metal.cell[2, 2] + 0.5
    whole = metal + salt
    whole.cell[2, 2] += salt.cell[2, 2] + 1.0
    frames = [whole.copy() for _ in range(count)]
    for frame in frames:
        frame.positions += random.normal(0, noise, frame.positions.shape)
    return frames


def test_shares_among_the_metal_leave_out_the_lithium_of_salts() -> None:
    frame = metal_beside_salt(1, 0.02)[0]
    chosen = metal(frame)
    assert set(frame.symbols[chosen]) == {"Li"}
    assert chosen[:250].mean() > 0.75  # without the two layers that touch the salt
    assert chosen[250:].sum() == 0
    whole, part = shares([frame], "Li"), shares([frame], "Li", among="metal")
    assert part.mean[0] > 1.4 * whole.mean[0] > 0.4
    assert (whole.counts[0], part.counts[0]) == (394, chosen.sum())
    with pytest.raises(UserError, match="no atom of Li is metal"):
        shares([frame[250:]], "Li", among="metal")
    with pytest.raises(UserError, match="only of Li"):
        metal(CRYSTALS["fcc"], "Ar")


def test_a_series_of_a_hot_run_averages_and_sees_the_crystal_melt() -> None:
    """Displacements of 0.3 Å hide bcc in single frames; from the middle on the metal is no crystal any more."""
    random, frames = np.random.default_rng(1), [CRYSTALS["bcc"].copy() for _ in range(24)]
    molten = random.normal(0, 0.9, frames[0].positions.shape)
    for number, frame in enumerate(frames):
        frame.positions += random.normal(0, 0.3, molten.shape) + molten * (number >= 12)
    assert (window_of(frames, "Li"), window_of(frames[:14], "Li"), window_of(metal_beside_salt(20, 0.02), "Li")) == (3, 1, 1)
    times = np.arange(24) * 0.1
    found, single = series(frames, times=times), series(frames, times=times, window=1, looks=6)
    assert found.window == 3
    assert found.times == pytest.approx(0.1 + 0.3 * np.arange(8))
    assert found.shares[:4, 0].min() > 0.8
    assert found.shares[:4, 0].mean() > single.shares[single.times < 1.15, 0].mean() + 0.2
    assert found.shares[4:, 0].max() < 0.5
    assert (found.stderr > 0).all()
    assert found.shares.sum(axis=1) == pytest.approx(np.ones(8))


def test_no_share_is_told_without_an_error() -> None:
    """Of N atoms that are all bcc the error is 1/N nearly, not nothing; of independent atoms it is the binomial one."""
    found = shares([CRYSTALS["bcc"]] * 5, "Li")
    assert found.mean[0] == 1.0
    assert found.stderr == pytest.approx(np.full(4, 1 / 640), rel=0.02)


def test_metal_that_melted_has_no_error_from_before() -> None:
    """Shares that fall for a fifth of a run and are 0 from then on: the error of the end is that of counting a thousand atoms."""
    ordered = np.r_[np.linspace(0.9, 0.3, 8), np.zeros(32)]
    rows = np.column_stack([ordered, *np.zeros((2, 40)), 1 - ordered])
    means, errors = crystallinity._means(rows, np.full(40, 1000.0), np.repeat(np.arange(10), 4))
    assert means[-1, 0] == 0
    assert errors[-1, 0] < 1e-3
    assert errors[0, 0] > 0.05
