"""Circuits read out of spectra: known elements come back with errors that hold; arcs are traced to their layer and cause."""

import numpy as np
import pytest
from test_impedance import THERMAL, ceramic_cell, film

from coupling.errors import UserError
from multiscale.transport.equivalent_circuit import element, fit_circuit, origin
from multiscale.transport.impedance import Spectrum, impedance

F = np.geomspace(1e-3, 1e6, 46)
W = 2 * np.pi * F


def test_one_resistor_beside_a_capacitor():
    circuit = fit_circuit(Spectrum(F, 2e-3 + element("arc", W, 5e-3, 1e-2)))
    (arc,) = circuit.arcs
    found = circuit.series_resistance, arc.resistance, arc.time_constant, arc.exponent
    assert found == pytest.approx((2e-3, 5e-3, 1e-2, 1), rel=1e-5)
    assert arc.kind == "arc"
    assert arc.peak_frequency == pytest.approx(1 / (2 * np.pi * 1e-2))
    assert arc.capacitance == pytest.approx(2.0, rel=1e-5)
    assert circuit.impedance(F) == pytest.approx(2e-3 + element("arc", W, 5e-3, 1e-2), rel=1e-5)


def test_depressed_arcs_and_diffusion_are_told_apart():
    true = 1e-3 + element("arc", W, 2e-3, 1e-5, 0.8) + element("arc", W, 4e-3, 3e-3) + element("diffusion", W, 3e-3, 20.0)
    circuit = fit_circuit(Spectrum(F, true))
    assert [arc.kind for arc in circuit.arcs] == ["arc", "arc", "diffusion"]
    assert [arc.resistance for arc in circuit.arcs] == pytest.approx([2e-3, 4e-3, 3e-3], rel=1e-3)
    assert [arc.time_constant for arc in circuit.arcs] == pytest.approx([1e-5, 3e-3, 20.0], rel=1e-3)
    assert circuit.arcs[0].exponent == pytest.approx(0.8, abs=1e-3)


def test_errors_cover_the_truth_under_noise():
    """One relative noise of 1 %: nine of ten fitted resistances lie within two standard errors, and the errors are not huge."""
    inside, sizes = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        clean = 1e-3 + element("arc", W, 5e-3, 1e-2)
        noise = 0.01 * np.abs(clean) * (rng.standard_normal(len(F)) + 1j * rng.standard_normal(len(F)))
        circuit = fit_circuit(Spectrum(F, clean + noise), most=1)
        (arc,) = circuit.arcs
        inside += abs(arc.resistance - 5e-3) < 2 * arc.resistance_error
        sizes.append(arc.resistance_error)
    assert inside >= 17
    assert 1e-5 < np.mean(sizes) < 1e-4


def test_arcs_of_a_cell_are_traced_to_their_electrodes():
    system = ceramic_cell(capacitance=(0.2, 0.001))
    system.solve()
    circuit = fit_circuit(impedance(system, "left", F))
    fast, slow = circuit.arcs
    assert circuit.series_resistance == pytest.approx(2e-4, rel=1e-4)
    assert fast.resistance == pytest.approx(THERMAL / 40, rel=1e-4)
    assert slow.resistance == pytest.approx(THERMAL / 10, rel=1e-4)
    assert fast.origin[0][:2] == ("right", "charge transfer")
    assert slow.origin[0][:2] == ("left", "charge transfer")
    assert slow.origin[0][2] > 0.95


def test_the_arc_of_a_salt_film_is_diffusion():
    f = np.geomspace(1e-4, 1e4, 33)
    circuit = fit_circuit(impedance(film(60, capacitance=1e-3), "left", f))
    fast, slow = circuit.arcs
    assert (fast.kind, slow.kind) == ("arc", "diffusion")
    assert fast.resistance == pytest.approx(2 * THERMAL / 20, rel=1e-2)
    assert slow.time_constant == pytest.approx(1e-10 / 3e-11, rel=1e-2)
    assert {cause for _, cause, _ in slow.origin} == {"concentration"}
    assert sum(share for _, _, share in slow.origin) == pytest.approx(1, abs=0.1)


def test_a_resistor_alone_has_no_arc():
    circuit = fit_circuit(Spectrum(F, np.full(len(F), 3e-3 + 0j)))
    assert circuit.arcs == ()
    assert circuit.series_resistance == pytest.approx(3e-3)


def test_too_few_frequencies_are_refused():
    with pytest.raises(UserError, match="eight or more positive frequencies"):
        fit_circuit(Spectrum(F[:5], np.ones(5) + 0j))
    with pytest.raises(UserError, match="eight or more positive frequencies"):
        fit_circuit(Spectrum(np.linspace(0, 1, 20), np.ones(20) + 0j))


def test_a_spectrum_without_parts_names_no_origin():
    assert origin(Spectrum(F, np.ones(len(F)) + 0j), 1.0) == ()
