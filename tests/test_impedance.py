"""Impedance: closed forms of circuits and of diffusion, the steady limit, parts, and the same model run in time."""

import numpy as np
import pytest
from launch import answers_of_ranks
from mpi4py import MPI
from test_junctions import CONDUCTIVITY, DEPTH, LITHIUM, SALT, exact_voltage, interlayer_cell, layers, polarise

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import RunFailure, UserError
from meshes.shapes import draw_blocks
from multiscale.domain import meshed, piecewise
from multiscale.solvers.protocol import AfterTime, Galvanostatic
from multiscale.solvers.timeloop import StepControl, TimeStepper, run_protocol
from multiscale.transport.impedance import LinearResponse, dc_resistance, impedance
from multiscale.transport.interfaces import split_boundary, with_interfaces
from multiscale.transport.media import Electrode, Film, Junction, Kinetics, Medium
from multiscale.transport.nernst_planck import Electroneutral, Poisson, SingleIon
from multiscale.transport.power_split import PowerSplit
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import strip

THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY
LENGTH, FREQUENCIES = 1e-5, np.geomspace(1e-2, 1e7, 19)


def ceramic_cell(permittivity=None, capacitance=(0.2, 0.05)):
    """Li | single-ion conductor | Li in one dimension; kinetics and double layers of their own on both sides."""
    domain = strip(MPI.COMM_WORLD, np.linspace(0.0, LENGTH, 6))
    medium = Medium("film", SingleIon(CONDUCTIVITY, permittivity), LITHIUM)
    electrodes = [
        Electrode(side, "film", "Li+", Kinetics(i0), capacitance=c)
        for side, i0, c in zip(("left", "right"), (10.0, 40.0), capacitance, strict=True)
    ]
    return TransportSystem(domain, [medium], electrodes)


def parallel(resistance, capacitance, frequencies=FREQUENCIES):
    return 1 / (1 / resistance + 2j * np.pi * frequencies * capacitance)


def test_randles_cell():
    system = ceramic_cell()
    system.solve()
    spectrum = impedance(system, "left", FREQUENCIES)
    exact = parallel(THERMAL / 10, 0.2) + LENGTH / CONDUCTIVITY + parallel(THERMAL / 40, 0.05)
    assert spectrum.impedance == pytest.approx(exact, rel=1e-9)
    assert sum(part.impedance for part in spectrum.parts) == pytest.approx(exact, rel=1e-9)
    named = {(part.place, part.cause): part.impedance for part in spectrum.parts}
    assert named["right", "charge transfer"] == pytest.approx(parallel(THERMAL / 40, 0.05), rel=1e-9)
    assert named["film", "conduction"] == pytest.approx(LENGTH / CONDUCTIVITY, rel=1e-9)


def test_displacement_current_of_a_layer():
    ε = 30 * 8.854e-12
    system = ceramic_cell(ε, (None, None))
    system.solve()
    exact = THERMAL / 10 + THERMAL / 40 + LENGTH / (CONDUCTIVITY + 2j * np.pi * FREQUENCIES * ε)
    assert impedance(system, "left", FREQUENCIES).impedance == pytest.approx(exact, rel=1e-9)


def test_interface_with_a_capacitance():
    domain = layers(2, high=(LENGTH, 2 * LENGTH))
    media = [Medium("a", SingleIon(0.1), LITHIUM, ("lower",)), Medium("b", SingleIon(0.02), LITHIUM, ("upper",))]
    junction = Junction("middle", "a", "b", "Li+", 3e-3, capacitance=1e-3)
    system = TransportSystem(domain, media, [Electrode("bottom", "a", "Li+", Kinetics(10.0))], [junction])
    system.fix("b", "potential", 0.0, "top")
    system.solve()
    spectrum = impedance(system, "bottom", FREQUENCIES)
    exact = THERMAL / 10 + LENGTH / 0.1 + parallel(3e-3, 1e-3) + LENGTH / 0.02
    assert spectrum.impedance == pytest.approx(exact, rel=1e-9)
    assert [part.place for part in spectrum.parts] == ["bottom", "a", "middle", "b"]
    assert spectrum.parts[3].impedance == pytest.approx(LENGTH / 0.02, rel=1e-9)


def film(divisions=40, capacitance=None):
    """Li | binary salt | Li at rest, graded towards both faces."""
    share = (1 - np.cos(np.pi * np.linspace(0, 1, divisions + 1))) / 2
    law = Kinetics(20.0, reference_concentration=1000.0)
    electrodes = [Electrode(side, "film", "Li+", law, capacitance=capacitance) for side in ("left", "right")]
    system = TransportSystem(strip(MPI.COMM_WORLD, 2e-5 * share), [Medium("film", Electroneutral(), SALT)], electrodes, degree=2)
    system.set_field("film", "Li+", 1000.0)
    return system


def film_impedance(frequencies):
    """Two charge transfers, ohmic resistance, and tanh(√(iωτ))/√(iωτ) of the salt with τ = (L/2)²/D."""
    L, Dp, Dm = 2e-5, 2e-11, 6e-11
    s = np.sqrt(2j * np.pi * frequencies * (L / 2) ** 2 / (2 * Dp * Dm / (Dp + Dm)))
    unit = THERMAL * L / (FARADAY * 1000)
    return 2 * THERMAL / 20 + unit / (Dp + Dm) + unit * Dm / (Dp * (Dp + Dm)) * np.tanh(s) / s


def test_salt_film_against_the_closed_form():
    f = np.geomspace(1e-4, 10.0, 11)
    spectrum = impedance(film(), "left", f)
    assert spectrum.impedance == pytest.approx(film_impedance(f), rel=1e-6)
    named = {(part.place, part.cause): part.impedance for part in spectrum.parts}
    assert named["film", "conduction"] == pytest.approx(THERMAL * 2e-5 / (FARADAY * 1000 * 8e-11), rel=1e-9)
    assert named["left", "charge transfer"] == pytest.approx(THERMAL / 20, rel=1e-9)
    diffusion = sum(part.impedance for part in spectrum.parts if part.cause == "concentration")
    assert diffusion[0].real > 0.99 * 3 * named["film", "conduction"][0].real


def test_steady_limit_of_the_salt_film():
    """The salt that two lithium faces cannot change is kept however slow the current varies."""
    exact = 2 * THERMAL / 20 + THERMAL * 2e-5 / (FARADAY * 2e-11 * 1000)
    assert impedance(film(), "left", [1e-9]).impedance[0].real == pytest.approx(exact, rel=1e-6)


def test_steady_limit_is_the_slope_of_the_polarised_cell():
    system = interlayer_cell(4)
    polarise(system, 100.0)
    slope = impedance(system, "bottom", [1e-9]).impedance[0]
    exact = (exact_voltage(100.01) - exact_voltage(99.99)) / 0.02
    assert slope.real == pytest.approx(exact, rel=1e-4)
    resistances = []
    for current in (99.99, 100.01):
        resistances.append(polarise(interlayer_cell(4), current))
    assert slope.real == pytest.approx((resistances[1] - resistances[0]) / 0.02, rel=1e-5)


def test_steady_limit_is_the_area_specific_resistance():
    system = ceramic_cell()
    system.solve()
    differential = dc_resistance(system, "left")
    cell, current = system.contacts["left"], 0.02
    cell.control_current(current)
    system.solve()
    assert differential == pytest.approx((cell.potential - system.contacts["right"].potential) / current, rel=1e-6)
    assert cell.mean_current_density == pytest.approx(current, rel=1e-10)


def test_the_system_is_left_as_it_was():
    system = interlayer_cell(2)
    before = [float(rate.value) for rate in system.rates], system.u.x.array.copy(), float(system.contacts["bottom"].held.value)
    impedance(system, "bottom", [1.0])
    assert [float(rate.value) for rate in system.rates] == before[0]
    assert np.array_equal(system.u.x.array, before[1])
    assert float(system.contacts["bottom"].held.value) == before[2] == 1.0


def test_a_current_step_charges_the_double_layer():
    """The same system in time: V = j (R + R_ct (1 - exp(-t/R_ct C))) for a current far below the exchange current."""
    system = ceramic_cell(capacitance=(0.2, None))
    system.solve()
    cell, j, τ = system.contacts["left"], 0.02, THERMAL / 10 * 0.2
    stepper = TimeStepper(system, StepControl(τ / 1e4, τ / 1e9, τ, 1e-9))
    run_protocol(stepper, cell, [Galvanostatic(j, (AfterTime(τ),))])
    expected = j * (LENGTH / CONDUCTIVITY + THERMAL / 40 + THERMAL / 10 * (1 - np.exp(-1)))
    assert cell.potential - system.contacts["right"].potential == pytest.approx(expected, rel=1e-4)
    assert stepper.accepted > 10


def test_what_cannot_be_asked():
    system = ceramic_cell()
    system.solve()
    with pytest.raises(UserError, match="no electrode at top; there are: left, right"):
        impedance(system, "top", [1.0])
    with pytest.raises(UserError, match="not negative"):
        impedance(system, "left", [-1.0])
    running = film(8)
    running.contacts["left"].control_current(50.0)
    TimeStepper(running, StepControl(1e-2, 1e-6, 1.0)).advance(1e-2)
    with pytest.raises(RunFailure, match="not steady"):
        LinearResponse(running, "left")


def test_a_capacitance_beside_poisson_is_refused():
    electrode = Electrode("left", "film", "Li+", Kinetics(1.0), capacitance=0.1)
    domain, medium = strip(MPI.COMM_WORLD, np.linspace(0, 1, 3)), Medium("film", Poisson(1e-9), SALT)
    with pytest.raises(UserError, match=r'"left": a capacitance at medium film.*resolves the double layer'):
        TransportSystem(domain, [medium], [electrode])


def test_displacement_in_a_time_run_is_refused():
    with pytest.raises(UserError, match="permittivity beside Ohm's law is for impedance"):
        TimeStepper(ceramic_cell(1e-10), StepControl(1.0, 1e-3, 1.0))


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from multiscale.domain import piecewise
from multiscale.transport.impedance import impedance
from test_junctions import interlayer_cell
spectrum = impedance(interlayer_cell(2), "bottom", [1e-3, 0.1, 1e2])
row = [v for z in [spectrum.impedance, *(part.impedance for part in spectrum.parts)] for k in z for v in (k.real, k.imag)]
if MPI.COMM_WORLD.rank == 0:
    json.dump(row, open("PATH", "w"))
"""


def test_ranks_agree(tmp_path):
    answers = answers_of_ranks(SCRIPT, tmp_path)
    size = max(map(abs, answers[0]))
    assert np.array(answers[1]) == pytest.approx(np.array(answers[0]), abs=1e-8 * size)
    assert np.array(answers[2]) == pytest.approx(np.array(answers[0]), abs=1e-8 * size)


def test_depth_is_the_layer_of_the_interlayer_cell():
    """Guards the closed forms above: the ceramic of the cell is one DEPTH thick."""
    spectrum = impedance(interlayer_cell(2), "bottom", [1.0])
    named = {(part.place, part.cause): part.impedance for part in spectrum.parts}
    assert named["ceramic", "conduction"][0] == pytest.approx(DEPTH / CONDUCTIVITY, rel=1e-9)


def test_regions_of_one_medium_share_its_part():
    """Two layers as one medium with cell-wise values: each region has its own Ohmic and dielectric impedance."""
    domain = layers(4, high=(LENGTH, 2 * LENGTH))
    κ, ε = piecewise(domain, {"lower": 0.1, "upper": 1e-3}), piecewise(domain, {"lower": 2e-10, "upper": 5e-9})
    system = TransportSystem(
        domain, [Medium("stack", SingleIon(κ, ε), LITHIUM, ("lower", "upper"))],
        [Electrode("bottom", "stack", "Li+", Kinetics(10.0))],
    )  # fmt: skip
    system.fix("stack", "potential", 0.0, "top")
    system.solve()
    f = np.geomspace(1e2, 1e9, 8)
    spectrum = impedance(system, "bottom", f)
    named = {part.place: part.impedance for part in spectrum.parts}
    assert named["lower"] == pytest.approx(LENGTH / (0.1 + 2j * np.pi * f * 2e-10), rel=1e-8)
    assert named["upper"] == pytest.approx(LENGTH / (1e-3 + 2j * np.pi * f * 5e-9), rel=1e-8)
    assert named["bottom"] == pytest.approx(THERMAL / 10, rel=1e-8)


def test_films_charge_in_series():
    """Electrode: reaction beside a double layer, then a film beside its dielectric; parts by cause."""
    film_ = Film(2e-3, 1e-3)
    electrode = Electrode("left", "film", "Li+", Kinetics(10.0), capacitance=0.2, film=film_)
    counter = Electrode("right", "film", "Li+", Kinetics(40.0), film=Film(5e-4))
    domain = strip(MPI.COMM_WORLD, np.linspace(0.0, LENGTH, 6))
    system = TransportSystem(domain, [Medium("film", SingleIon(CONDUCTIVITY), LITHIUM)], [electrode, counter])
    system.solve()
    spectrum = impedance(system, "left", FREQUENCIES)
    parts = [parallel(THERMAL / 10, 0.2), parallel(2e-3, 1e-3), LENGTH / CONDUCTIVITY, 5e-4, THERMAL / 40]
    assert spectrum.impedance == pytest.approx(sum(parts), rel=1e-9)
    assert [(p.place, p.cause) for p in spectrum.parts] == [
        ("left", "charge transfer"), ("left", "film"), ("film", "conduction"), ("right", "film"), ("right", "charge transfer"),
    ]  # fmt: skip
    for part, exact in zip(spectrum.parts, parts, strict=True):
        assert part.impedance == pytest.approx(exact, rel=1e-8)
    by_power, response = PowerSplit(system, system.contacts["left"], {"film": "layer"}), LinearResponse(system, "left")
    for k in (0, -1):
        ω = 2 * np.pi * FREQUENCIES[k]
        found = by_power.parts(response._whole.solve(ω), ω)
        named = {("layer" if p.place == "film" else p.place, p.cause): p.impedance[k] for p in spectrum.parts}
        assert found == {key: pytest.approx(value, rel=1e-8) for key, value in named.items()}


def test_parts_of_a_cell_that_branches_add_up():
    """A metal on two media side by side, one of them a salt: causes of every place add up to the whole."""
    domain = meshed(draw_blocks, MPI.COMM_WORLD, x=[0, 1e-5, 2e-5], y=[0, 1e-5], names=[["left", "right"]], divisions=2)
    domain = with_interfaces(domain, {"seam": (("left",), ("right",))})
    domain = split_boundary(domain, "bottom", {"one": ("left",), "two": ("right",)})
    media = [Medium("salt", Electroneutral(), SALT, ("left",)), Medium("ceramic", SingleIon(0.03), LITHIUM, ("right",))]
    electrodes = [
        Electrode("one", "salt", "Li+", Kinetics(10.0, reference_concentration=1000.0), capacitance=0.1, metal="metal"),
        Electrode("two", "ceramic", "Li+", Kinetics(25.0), metal="metal"), Electrode("top", "salt", "Li+", Kinetics(5.0)),
    ]  # fmt: skip
    domain = split_boundary(domain, "top", {"top": ("left",), "far": ("right",)})
    seam = Junction("seam", "salt", "ceramic", "Li+", 1e-3, references=(1000.0, None))
    system = TransportSystem(domain, media, electrodes, [seam])
    system.set_field("salt", "Li+", 1000.0)
    spectrum = impedance(system, "metal", [1e4, 1.0])
    assert sum(part.impedance for part in spectrum.parts) == pytest.approx(spectrum.impedance, rel=1e-8)
    named = {(p.place, p.cause): p.impedance for p in spectrum.parts}
    assert abs(named["salt", "concentration"][1]) > 1e-3 * abs(spectrum.impedance[1])
