"""Powder patterns and radial distributions: Bragg's angles, pymatgen's intensities, slices, an ideal gas, refusals."""

import numpy as np
import pytest
from ase import Atoms
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.io.ase import AseAtomsAdaptor

from atomistic.diffraction import COPPER, Slice, form_factor, peak_records, powder, radial
from atomistic.structures import bulk, supercell
from coupling.errors import UserError


def bragg(a: float, *planes: tuple[int, int, int]) -> list[float]:
    """2θ in degrees of a cubic crystal."""
    return [float(2 * np.degrees(np.arcsin(COPPER / 2 * np.sqrt(np.dot(p, p)) / a))) for p in planes]


@pytest.mark.parametrize(
    ("name", "planes"),
    [
        ("LiCl", [(1, 1, 1), (2, 0, 0), (2, 2, 0), (2, 2, 2)]),
        ("Li2S", [(1, 1, 1), (2, 2, 0), (3, 1, 1)]),
        ("Li", [(1, 1, 0), (2, 0, 0), (2, 1, 1)]),
    ],
)
def test_peaks_stand_at_braggs_angles(name: str, planes: list[tuple[int, int, int]]) -> None:
    """Every strong line of a cubic crystal has a peak within 0.15 degrees."""
    crystal = bulk(name)
    found = powder([crystal], r_max=40.0).peaks(0.02)
    for angle in bragg(float(crystal.cell.lengths()[0]), *planes):
        assert np.abs(found - angle).min() < 0.15


def test_relative_intensities_are_those_of_the_lines() -> None:
    """Areas of the peaks of LiCl against pymatgen's line intensities within 10 % of the strongest."""
    crystal = bulk("LiCl")
    pattern = powder([crystal], r_max=60.0)
    lines = XRDCalculator(wavelength=COPPER).get_pattern(AseAtomsAdaptor.get_structure(crystal), two_theta_range=(20, 75))
    areas = []
    for angle in lines.x:
        near = np.abs(pattern.angles - angle) < 1.5
        areas.append(np.trapezoid(pattern.intensity[near], pattern.angles[near]))
    strong = lines.y > 15
    isolated = np.array([np.sort(np.abs(lines.x - angle))[1] > 3.0 for angle in lines.x])
    scaled = 100 * np.array(areas) / areas[int(np.argmax(lines.y))]
    chosen = strong & isolated
    assert chosen.sum() >= 3
    assert scaled[chosen] == pytest.approx(lines.y[chosen], abs=10.0)


def off_and_stated(name: str, r_max: float) -> list[tuple[float, float]]:
    """Distance from its line, and stated error, of every peak told with confidence of a cubic crystal; lobes are asserted low."""
    crystal = bulk(name)
    lines = XRDCalculator(wavelength=COPPER).get_pattern(AseAtomsAdaptor.get_structure(crystal), two_theta_range=(5, 85))
    angles, found = lines.x[lines.y > 1], []
    for record in peak_records(powder([crystal], r_max=r_max), name, {}, {}):
        off = float(np.abs(angles - record.value).min())
        assert off < 1.0 or record.confidence == "low", "a side lobe told as a line"
        alone = np.sort(np.abs(angles - record.value))[1] > 4.0
        if record.confidence == "computed" and alone:
            found.append((off, record.stderr))
    return found


def test_the_error_of_a_peak_covers_braggs_angle_and_is_not_wide() -> None:
    """Lines that stand alone, R of 20 to 40 Å: one error holds nine of ten, two hold all, half are below three times the shift.

    Two errors of the width of the window alone held them too, 5 to 40 times wider than the shift.
    """
    cutoffs = (20.0, 25.0, 30.0, 40.0)
    pairs = [pair for name in ("Li", "Li2S", "LiCl") for r_max in cutoffs for pair in off_and_stated(name, r_max)]
    off, stated = np.array(pairs).T
    assert len(off) > 30
    assert np.mean(off < stated) > 0.9
    assert (off < 2 * stated).all()
    assert np.median(stated / off) < 3.0
    assert np.mean(stated < 5 * off) > 0.75
    assert np.median(stated) < 0.35


def test_a_longer_cutoff_narrows_the_error() -> None:
    """The shift falls as 1/R²; the width of the window, what an unsettled peak is told with, as 1/R."""
    narrow, wide = (np.median([error for _, error in off_and_stated("Li", r_max)]) for r_max in (40.0, 20.0))
    assert narrow < 0.6 * wide
    pattern = powder([bulk("Li2S")])
    low = [record for record in peak_records(pattern, "x", {}, {}) if record.confidence == "low"]
    assert low
    for record in low:
        half_height = np.degrees(1.2 * COPPER / 25.0 / np.cos(np.radians(record.value / 2)))  # 1.2 λ/(R cos θ)
        width = half_height / 2.3548
        assert record.stderr >= width * (1 - 1e-3)
        assert "take a longer R" in record.source["method"]


def test_no_false_lines_from_the_histogram() -> None:
    """LiF scatters little: at angles below its first line, where nothing is, its pattern stays below 2 % of the highest line."""
    pattern = powder([bulk("LiF")], r_max=40.0)
    assert np.abs(pattern.intensity[pattern.angles < 28]).max() < 0.02 * pattern.intensity.max()
    assert pattern.peaks()[0] == pytest.approx(38.7, abs=0.1)


def test_scatter_of_the_frames_enters_the_error() -> None:
    """Cells whose edge scatters by 1 %: the error of the first line is that of the mean of its places, and more."""
    random, crystal = np.random.default_rng(3), bulk("Li")
    frames = []
    for stretch in 1 + 0.01 * random.standard_normal(10):
        frames.append(crystal.copy())
        frames[-1].set_cell(crystal.cell * stretch, scale_atoms=True)
    pattern = powder(frames)
    place = float(pattern.peaks()[0])
    expected = np.degrees(2 * np.tan(np.radians(place / 2)) * 0.01) / 10**0.5  # dθ = -tan θ da/a
    assert 0.5 * expected < pattern.scatter(place) < 1.6 * expected
    (record, *_) = peak_records(pattern, "Li", {}, {})
    assert record.stderr > pattern.scatter(place)


def test_a_gas_has_no_peaks_and_no_order() -> None:
    random = np.random.default_rng(0)
    frames = [Atoms("Ar300", positions=random.uniform(0, 22, (300, 3)), cell=[22] * 3, pbc=True) for _ in range(10)]
    found = radial(frames, "Ar", "Ar", r_max=10.0, bins=50)
    far = found.r > 3
    assert found.stderr is not None
    away = ((found.g - 1) / found.stderr)[far]
    assert np.abs(found.g[far] - 1).max() < 0.15
    assert 0.5 < np.sqrt(np.mean(away**2)) < 2.0
    pattern = powder(frames, angles=(20, 80), r_max=10.0)
    plain = form_factor(18, np.sin(np.radians(pattern.angles / 2)) / COPPER) ** 2
    half = np.radians(pattern.angles / 2)
    assert np.abs(pattern.intensity / (plain * (1 + np.cos(2 * half) ** 2)) - 1).max() < 0.5


def test_shells_of_lithium() -> None:
    """8 neighbours at a√3/2, 14 with those at a."""
    crystal = bulk("Li")
    a = float(crystal.cell.lengths()[0])
    found = radial([crystal], "Li", "Li", r_max=6.0, bins=300)
    assert np.interp(0.93 * a, found.r, found.coordination) == pytest.approx(8)
    assert np.interp(1.2 * a, found.r, found.coordination) == pytest.approx(14)
    assert found.r[np.argmax(found.g)] == pytest.approx(a * np.sqrt(3) / 2, abs=0.02)
    assert found.stderr is None


def test_slices_of_a_stack() -> None:
    """Li below, LiCl above: each slice shows its own pattern, and refuses what it does not hold."""
    low, high = supercell(bulk("Li"), 17.0), supercell(bulk("LiCl"), 17.0)
    width = float(low.cell.lengths()[0])
    high.set_cell([width, width, high.cell.lengths()[2]], scale_atoms=True)
    high.positions[:, 2] += low.cell.lengths()[2]
    stack = low + high
    stack.set_cell([width, width, low.cell.lengths()[2] + high.cell.lengths()[2]])
    stack.pbc = True
    part = Slice(2, 1.0, float(low.cell.lengths()[2]) - 1.0)
    a = float(bulk("Li").cell.lengths()[0])
    found = powder([stack], part, r_max=14.0).peaks()
    assert np.abs(found - bragg(a, (1, 1, 0))[0]).min() < 0.5
    with pytest.raises(UserError, match="too few Cl"):
        radial([stack], "Li", "Cl", part)
    with pytest.raises(UserError, match="two rising depths"):
        powder([stack], Slice(2, 5.0, 900.0))


def test_nonsense_is_refused() -> None:
    flat = Atoms("Li2", positions=[[0, 0, 0], [3, 0, 0]])
    with pytest.raises(UserError, match="three-dimensional cell"):
        powder([flat])
    for count in (powder, lambda frames, r_max: radial(frames, "Li", "Li", r_max=r_max)):
        with pytest.raises(UserError, match=r"400 nm means .* pairs of atoms .* may be up to"):
            count([bulk("Li")], r_max=4000.0)
    with pytest.raises(UserError, match="rising angles"):
        powder([bulk("Li")], angles=(80.0, 10.0))
    with pytest.raises(UserError, match="too few Na"):
        radial([bulk("Li")], "Na", "Li")
    with pytest.raises(UserError, match="at least one frame"):
        radial([], "Li", "Li")
