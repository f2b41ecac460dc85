"""Spectra and flux lines of two-dimensional cells that are no plane of triangles: an image, and axial symmetry."""

import numpy as np
import pytest
from scipy.special import j0, j1, jn_zeros
from transport_cases import no_report, solved, table  # noqa: F401

from meshes.session import gmsh_model
from meshes.shapes import draw_blocks

HEAD = 'title = "Columns"\nquestion = "Is the spectrum that of the columns?"\n[conditions]\ntemperature = "25 degC"\n'
IMAGE = """
[geometry]
kind      = "voxels"
dimension = 2
image     = "columns.npy"
voxel     = ["0.5 um"]
[[geometry.phase]]
name = "a"
labels = "1"
conductivity = "0.3 S/m"
source = "test"
[[geometry.phase]]
name = "b"
labels = "2"
conductivity = "0.1 S/m"
source = "test"
"""
CYLINDER = """
[geometry]
kind         = "mesh"
dimension    = 2
axisymmetric = true
file         = "columns.msh"
unit         = "1 um"
lithium      = ["bottom"]
counter      = ["top"]
[geometry.regions]
a = { conductivity = "0.3 S/m", source = "test" }
b = { conductivity = "0.1 S/m", source = "test" }
"""
REST = """
[transport.ceramic]
closure = "ohm"
regions = ["a", "b"]
[[transport.ceramic.species]]
name   = "Li+"
charge = 1
[electrode.working]
ion                      = "Li+"
exchange_current_density = "1e10 A/m^2"
source                   = "fast: the current goes by the conductivities"
[electrode.counter]
ion                      = "Li+"
exchange_current_density = "1e10 A/m^2"
source                   = "fast"
[[protocol.step]]
kind            = "galvanostatic"
current_density = "1 mA/cm^2"
until           = { time = "1 s" }
[output]
fields = false
"""
STEP = 0.3 - 0.1


def spectra(folder, geometry):
    """The run's summary, and amplitudes of each level in the order of the waves."""
    summary = solved(folder, HEAD + geometry + REST)
    levels = {}
    for row in table(folder / "out" / "steps" / "1" / "spectrum.csv"):
        levels.setdefault(row["depth_m"], []).append((float(row["wavelength_m"]), float(row["amplitude_over_mean_1"])))
    assert len(levels) == 5
    return summary, [np.array(rows) for rows in levels.values()]


def test_the_spectrum_of_an_image_is_that_of_its_columns(tmp_path):
    """Half of the width conducts three times as well: cosines of a square wave, 4 Δ sin(kπ/2)/(kπ), at every depth."""
    tmp_path.mkdir(exist_ok=True)
    np.save(tmp_path / "columns.npy", np.repeat([1, 2], 4)[:, None] * np.ones((1, 6), dtype=np.uint8))
    summary, levels = spectra(tmp_path, IMAGE)
    k = np.arange(1, 25)
    exact = 4 * (STEP / 0.4) * np.sin(k * np.pi / 2) / (k * np.pi)
    for rows in levels:
        assert rows[:, 0] == pytest.approx(2 * 4e-6 / k)
        assert rows[:, 1] == pytest.approx(exact, abs=2e-3)
    lines = summary["steps"][0]["flux_lines"]
    assert lines["through"] == lines["traced"]
    assert lines["mean_tortuosity"] == pytest.approx(1.0, rel=1e-6)
    assert summary["detour_factor"] == pytest.approx(1.0, rel=1e-6)
    assert (tmp_path / "out" / "steps" / "1" / "current_map.npz").is_file()


def test_the_spectrum_in_axial_symmetry_is_dinis_series(tmp_path):
    """The inner half of the radius conducts three times as well: ∫ s J₀(λs) ds up to ρ is ρ J₁(λρ)/λ."""
    import gmsh

    tmp_path.mkdir(exist_ok=True)
    with gmsh_model("columns"):
        draw_blocks([0.0, 2.0, 4.0], [0.0, 3.0], [["a", "b"]], 6)
        gmsh.write(str(tmp_path / "columns.msh"))
    summary, levels = spectra(tmp_path, CYLINDER)
    λ, ρ = jn_zeros(1, 24), 0.5
    mean = 0.3 * ρ**2 + 0.1 * (1 - ρ**2)
    exact = 4 * (STEP / mean) * ρ * j1(λ * ρ) / λ / (np.sqrt(2) * np.abs(j0(λ)))
    for rows in levels:
        assert rows[:, 0] == pytest.approx(2 * np.pi * 4e-6 / λ)
        assert rows[:, 1] == pytest.approx(exact, abs=1e-2)
    assert summary["steps"][0]["flux_lines"]["mean_tortuosity"] == pytest.approx(1.0, rel=1e-6)
    inner = np.load(tmp_path / "out" / "steps" / "1" / "flux_lines.npz")["points"][:, 0] < 2e-6
    assert inner.mean() == pytest.approx(0.3 * ρ**2 / mean, abs=0.03)  # as many lines as there is current
