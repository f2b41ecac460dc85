"""The flat cell that `multiscale impedance` makes of a critical-current case: its switches and the share of the contact count."""

from pathlib import Path

import pytest
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.case import load_case
from multiscale.parameters import resolve
from multiscale.transport.impedance import LinearResponse
from multiscale.transport_cases.impedance import Charging, flat_cell

BARE = Path(__file__).resolve().parent.parent / "cases" / "llzo-ppc" / "bare" / "case.toml"
SMALL = [
    ('width     = "40 um"', 'width     = "4 um"'), ('thickness      = "30 um"', 'thickness      = "3 um"'),
    ('grain_size     = "10 um"', 'grain_size     = "1.5 um"'), ('correlation_length = "2 um"', 'correlation_length = "0.5 um"'),
    ('roughness          = "50 nm"', 'roughness          = "15 nm"'), ('depth       = "4 um"', 'depth       = "0.4 um"'),
    ('depth_range = ["1 um", "15 um"]', 'depth_range = ["0.3 um", "0.6 um"]'),
]  # fmt: skip


def cell(folder, *edits):
    text = BARE.read_text(encoding="utf-8")
    for old, new in [*SMALL, *edits]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "case.toml").write_text(text, encoding="utf-8")
    case = load_case(folder)
    parameters = resolve(case, [])
    system, share = flat_cell(case, parameters, Charging(), 0.0, MPI.COMM_SELF, False)
    spectrum = LinearResponse(system, "lithium", {}).spectrum([1.0]).scaled(share)
    values = {name: parameter.used.value for name, parameter in parameters.items()}
    return system, share, float(spectrum.impedance[0].real), {p.place: float(p.impedance[0].real) for p in spectrum.parts}, values


def test_lithium_that_touches_in_part_transfers_and_is_pressed_there(tmp_path):
    """Charge transfer RT/(F i0) over the share that touches, per cross-section; the stack pressure is over the share too."""
    system, share, total, parts, values = cell(tmp_path / "contact")
    i0 = values["Li-LLZO-rough-interface.exchange_current_density"]
    transfer = GAS_CONSTANT * 298.15 / (FARADAY * i0)
    assert share == pytest.approx(1 / 0.7, rel=0.05)  # a random surface of few waves
    assert parts["lithium"] > transfer * share * (1 - 1e-9)  # uneven currents in the contacts cost more
    assert parts["lithium"] == pytest.approx(transfer * share, rel=0.2)
    assert float(system.electrodes[0].kinetics.pressure.value) == pytest.approx(1e6 * share, rel=1e-6)
    assert total == pytest.approx(sum(parts.values()), rel=1e-9)


def test_without_flux_detour_the_cell_is_flat_and_even(tmp_path):
    """Voids are closed and boundaries conduct like grains: RT/(F i0) + L/κ exactly."""
    system, share, total, _, values = cell(tmp_path / "even", ("lithium_creep = true", "flux_detour = false"))
    i0 = values["Li-LLZO-rough-interface.exchange_current_density"]
    assert share == pytest.approx(1, rel=1e-9)
    assert float(system.electrodes[0].kinetics.pressure.value) == pytest.approx(1e6, rel=1e-12)
    thickness = system.domain.mesh.geometry.x[:, 1].max()
    expected = GAS_CONSTANT * 298.15 / (FARADAY * i0) + thickness / values["LLZO.ionic_conductivity"]
    assert total == pytest.approx(expected, rel=1e-6)
