"""Filament memristors: the layer's field, the reduced model against exact and resolved answers, cycles, resume, wrong input."""

import csv
import json
import math
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ufl
from dolfinx import fem
from expected_rows import require
from launch import ROOT, answers_of_ranks
from mpi4py import MPI
from refusals import told_with_its_line

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME
from meshes.filament_gap import FilamentGap, draw
from multiscale.domain import integral
from multiscale.kinds import load_any, validate_any
from multiscale.memristor import model
from multiscale.memristor import run as memristor_run
from multiscale.memristor.case import is_memristor_case, load_memristor_case, resolve
from multiscale.memristor.device import LAYER, Device, currents, sharvin_resistance, tunnel_decay
from multiscale.memristor.field import LayerField, solve_gap
from multiscale.memristor.model import closed_forms, device_of, electrode_radius_at, first_cycles
from multiscale.memristor.sweep import Filament, Sweep, run_cycle
from multiscale.solvers.newton import NonlinearSolver
from multiscale.structures import drawn
from multiscale.transport.kinetics import butler_volmer
from multiscale.transport.single_ion import current_inflow, ohmic_conduction

CASE = ROOT / "cases" / "llzo-memristor"
R, L, KAPPA, I0, T = 5e-9, 100e-9, 0.1, 128.0, 298.15
DEVICE = Device(R, L, T, I0, 0.5, 0.5, 0.0, 1e-7, 20.0, 7e9, lambda gap: 0.0, lambda gap: 1e12 * gap / L)
"""Kinetics alone: no resistance of ions, no pressure."""
SWEEP = Sweep(1.5, 1.0, 0.02, 0.1)


def _case(folder: Path, changes: dict[str, str]) -> Path:
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the case"
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_layer_has_the_exact_resistances_of_a_disk_and_of_a_plate():
    ions, electrons = solve_gap(FilamentGap(R, 0.0, L, 2 * R), MPI.COMM_SELF)
    for radius, found in ((R, ions), (2 * R, electrons)):  # each a disk on the layer: ions do not use the electrode beside it
        assert found == pytest.approx(1 / (4 * radius) - math.log(2) / (2 * math.pi * L), rel=1e-2)
    narrow = [solve_gap(FilamentGap(R, L - gap, L, R), MPI.COMM_SELF)[0] * math.pi * R**2 / gap for gap in (0.2 * R, 0.02 * R)]
    assert narrow[0] < narrow[1] < 1
    assert narrow[1] > 0.96


def test_the_reduced_current_is_that_of_the_resolved_kinetics():
    """Butler–Volmer at each point of the end against one current for the whole of it, at three voltages."""
    gap = 4 * R
    domain, _ = drawn(partial(draw, FilamentGap(R, L - gap, L, R)), axisymmetric=True)
    space = fem.functionspace(domain.mesh, ("P", 1))
    φ, w, metal = fem.Function(space), ufl.TestFunction(space), domain.constant(0.0)
    inflow = butler_volmer(metal - φ, I0, 0.5, temperature=T)
    residual = ohmic_conduction(domain.constant(KAPPA), φ, w, domain.dx()) + current_inflow(inflow, w, domain.ds("tip"))
    solver = NonlinearSolver(residual, φ, [domain.fixed(space, 0.0, "counter")], spd=True)
    resistance = solve_gap(FilamentGap(R, L - gap, L, R), MPI.COMM_SELF)[0] / KAPPA
    device = replace(DEVICE, ionic=lambda _: resistance)
    for voltage, error in ((0.02, 1e-3), (0.3, 1e-2), (0.8, 0.1)):  # the even current of kinetics gives way to the edge
        metal.value = -voltage
        solver.solve()
        resolved = -integral(inflow * domain.ds("tip"))
        assert currents(device, L - gap, L, voltage).ionic == pytest.approx(resolved, rel=error)


def test_growth_on_a_ramp_is_exact():
    """Without ohmic drop dl/dt = (V/F) 2 i0 sinh(F v t/2RT) on a ramp v, so l = (V/F) 2 i0 (2RT/Fv) (cosh(FU/2RT) - 1)."""
    sweep = Sweep(0.25, 1e-6, 0.02, 0.1)
    cycle = run_cycle(replace(DEVICE, thickness=1e-4), sweep, Filament())
    half = FARADAY / (2 * GAS_CONSTANT * T)
    up = LITHIUM_MOLAR_VOLUME / FARADAY * 2 * I0 / (half * 0.1) * (math.cosh(half * 0.25) - 1)
    peak = float(cycle.length[np.argmax(cycle.voltage)])
    assert peak == pytest.approx(up, rel=1e-6)
    assert cycle.end.length == pytest.approx(2 * up, rel=1e-6)  # as much again on the way back


def test_no_growth_below_the_pressure_that_opens_the_channel():
    device = replace(DEVICE, growth_pressure=4e9)
    threshold = LITHIUM_MOLAR_VOLUME * 4e9 / FARADAY
    assert currents(device, 0.0, 0.0, 0.999 * threshold).ionic == 0
    assert currents(device, 0.0, 0.0, 1.001 * threshold).ionic > 0
    assert currents(device, 20e-9, 40e-9, 0.01).ionic > 0  # the channel is open
    assert currents(device, 20e-9, 40e-9, -0.01).ionic < 0
    assert currents(device, 40e-9, 40e-9, 0.5 * threshold).ionic == 0
    assert currents(device, 0.0, 40e-9, -0.5).ionic == 0  # nothing to dissolve
    assert currents(device, 0.0, 0.0, 1.0, nucleated=False).ionic == 0
    moved = currents(replace(device, mechanical_transfer=1.0), 0.0, 0.0, 1.1 * threshold).ionic
    work = LITHIUM_MOLAR_VOLUME * 4e9 / (GAS_CONSTANT * T)
    assert moved / currents(device, 0.0, 0.0, 1.1 * threshold).ionic == pytest.approx(math.exp(-0.5 * work), rel=1e-9)


def test_circuit_limits():
    bridge = replace(DEVICE, series=1e3)
    wire = bridge.filament_resistance(L)
    assert currents(bridge, L, L, 0.02).total == pytest.approx(0.02 / (1e3 + wire + 20.0), rel=1e-5)
    limited = currents(replace(bridge, compliance=1e-6), L, L, 0.5)
    assert limited.total == pytest.approx(1e-6, rel=1e-12)
    assert limited.device == pytest.approx(1e-6 * (wire + 20.0), rel=1e-5)
    gap = 0.5e-9
    crossing = currents(replace(bridge, plates=False), L - gap, L, 0.02).total
    assert crossing == pytest.approx(0.02 / (1e3 + bridge.filament_resistance(L - gap) + 20.0 * math.exp(7.0)), rel=1e-3)
    assert sharvin_resistance(5e-9, 9.28e-8, 11e-9) == pytest.approx(17.33, rel=1e-3)
    assert tunnel_decay(1.602176634e-19) == pytest.approx(5.123e9, rel=1e-3)  # 0.5123 per angstrom at 1 eV


REAL = replace(DEVICE, ionic=lambda gap: min(gap / (KAPPA * math.pi * R**2), 0.68 / (4 * KAPPA * R)), series=1e3, compliance=5e-5,
               growth_pressure=6e9)  # fmt: skip


def test_a_cycle_bridges_breaks_and_returns_its_charge():
    first = run_cycle(REAL, SWEEP, Filament(), 0.3)
    second = run_cycle(REAL, SWEEP, first.end, 0.3)
    threshold = LITHIUM_MOLAR_VOLUME * 6e9 / FARADAY
    assert first.set_voltage > threshold > second.set_voltage > 0.3
    assert -0.5 < second.reset_voltage < 0
    for cycle in (first, second):
        assert cycle.plated == pytest.approx(cycle.stripped, rel=1e-8)
        assert abs(cycle.plated - cycle.stripped - cycle.end.length) < 1e-8 * cycle.plated
        assert float(cycle.length.max()) == pytest.approx(L, abs=LAYER / 10)
        assert abs(cycle.end.length) < 1e-8 * L
        assert cycle.largest_current == pytest.approx(5e-5, rel=1e-9)
    assert 0.02 / second.on_current == pytest.approx(1e3 + REAL.filament_resistance(L) + 20.0, rel=1e-3)
    assert 0.02 / second.off_current == pytest.approx(1e12 + 1e3, rel=1e-3)
    assert min(first.area) > 0
    assert first.end.opened == pytest.approx(L, abs=LAYER)


def test_without_plating_there_is_no_hysteresis():
    cycle = run_cycle(replace(REAL, plates=False), SWEEP, Filament())
    assert max(map(abs, cycle.area)) < 1e-12 * cycle.largest_current
    assert cycle.plated == cycle.stripped == 0
    assert cycle.on_current == cycle.off_current
    assert cycle.set_voltage is None


def test_an_unfinished_filament_stalls_where_its_channel_ends():
    partly = run_cycle(REAL, Sweep(0.7, 1e-3, 0.02, 0.1), Filament(0.0, 0.6 * L), 0.0)
    assert float(partly.length.max()) == pytest.approx(0.6 * L, abs=LAYER)
    assert partly.set_voltage is None


@pytest.fixture(scope="module")
def layer():
    """A field of the shipped layer without solving it: the limits of a plate and of a disk."""
    case = resolve(load_memristor_case(CASE))
    gaps = np.geomspace(0.1 * case.radius, case.thickness, 9)
    ions = np.minimum(gaps / (math.pi * case.radius**2), 0.68 / (4 * case.radius))
    electrons = np.minimum(gaps / (math.pi * case.radius**2), 1 / (4 * case.electrode_radius))
    return LayerField(case.radius, gaps, ions, electrons)


@pytest.fixture(scope="module")
def finished(layer, tmp_path_factory):
    """Case, results and summary of six cycles."""
    folder = tmp_path_factory.mktemp("memristor")
    case = load_memristor_case(_case(folder / "small", {"cycles   = 200": "cycles   = 6"}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(memristor_run, "field_of", lambda inputs, comm: layer)
        patched.setattr(memristor_run, "ranges", lambda *arguments: [])
        return case, folder / "results", memristor_run.run_memristor(case, folder / "results", MPI.COMM_SELF)


def test_cycles_of_a_case(finished, layer):
    case, results, summary = finished
    assert is_memristor_case(CASE)
    rows = list(csv.DictReader((results / "cycles.csv").open()))
    assert len(rows) == 6 == summary["cycles"]
    assert summary["charge_balance"] < 1e-8
    assert abs(summary["charge_not_returned"]) < 1e-8
    inputs = resolve(case)
    exact = closed_forms(device_of(case, inputs, layer), layer, inputs)
    assert summary["on_off_ratio"]["median"] == pytest.approx(exact["on_off_ratio"], rel=1e-3)
    assert summary["forming_V"] > summary["set_V"]["largest"]
    drawn_voltages = [float(row["nucleation_V"]) for row in rows]
    assert len(set(drawn_voltages)) == 6
    assert all(float(row["set_V"]) > float(row["nucleation_V"]) for row in rows)
    assert (results / "memristor.png").stat().st_size > 10_000
    assert memristor_run.run_memristor(case, results, MPI.COMM_SELF) == json.loads((results / "summary.json").read_text())


def test_the_case_reproduces_its_expected_numbers(finished, layer):
    case, _, summary = finished
    found = {
        "charge_not_returned": abs(summary["charge_not_returned"]), "forming_V": summary["forming_V"],
        "set_V_at_median_nucleation": first_cycles(case, resolve(case), layer)["set_V"],
        "reset_V": summary["reset_V"]["median"], "on_ohm": summary["on_ohm"]["median"],
    }  # fmt: skip
    rows = tomllib.loads((CASE / "expected.toml").read_text(encoding="utf-8"))["expected"]
    assert {row["quantity"] for row in rows} == set(found)
    for row in rows:
        require(row, found[row["quantity"]])


CONTACT, BARRIER, WIRE, COMPLIANCE = 17.3287, 2 * 1.602176634e-19, 2156.36, 1e-5
"""Sharvin's resistance (ohm), barrier (J), wire (ohm), compliance (A) of the shipped case, worked out by hand."""


def _plated(excess, gap):
    """Speed of the end, m/s, from what of the voltage kinetics and the field share: x + I R(g) = excess, by bisection."""
    area, low, high = math.pi * R**2, 0.0, excess
    resistance = min(gap / area, 0.68 / (4 * R)) / 0.1
    for _ in range(60):
        x = (low + high) / 2
        current = area * 128.0 * 2 * math.sinh(96485.33212 * x / (2 * 8.314462618 * 298.15))
        low, high = (x, high) if x + current * resistance < excess else (low, x)
    return 1.3e-5 / 96485.33212 * current / area


def _bridged(start, pressure):
    """Voltage at which a filament that starts at `start` (V) has crossed 1 µm but a layer of atoms, at 0.1 V/s."""
    atoms, length, voltage = 2.7844e-10, 0.0, max(start, 1.3e-5 * pressure / 96485.33212)

    def speed(u, reached):
        gap = 1e-6 - reached
        shift = 1.3e-5 * pressure / 96485.33212 if gap > R else 0.0
        return _plated(u - shift, gap) / 0.1 if u > shift else 0.0

    while 1e-6 - length > atoms:
        slope = speed(voltage, length)
        step = min(5e-4, 0.3 * (1e-6 - length) / slope) if slope > 0 else 5e-4
        length, voltage = length + step * speed(voltage + step / 2, length + step / 2 * slope), voltage + step
    return voltage


def _broken():
    """Voltage at which a closed gap has opened by a layer of atoms, at -0.1 V/s."""
    gap, voltage = 0.0, 0.0
    decay = 2 * math.sqrt(2 * 9.1093837e-31 * BARRIER) / 1.054571817e-34

    def speed(u, opened):
        across = CONTACT * math.exp(decay * opened)
        return _plated(min(u / (1000.0 + WIRE + across), COMPLIANCE) * across, opened) / 0.1

    while gap < 2.7844e-10:
        slope = speed(voltage, gap)
        step = min(1e-4, 0.01 * 2.7844e-10 / slope) if slope > 0 else 1e-4
        gap, voltage = gap + step * speed(voltage + step / 2, gap + step / 2 * slope), voltage + step
    return -voltage


def test_the_expected_voltages_follow_from_equations_written_anew():
    """The values of expected.toml, by an integration that shares nothing with the model but the equations."""
    rows = {row["quantity"]: row for row in tomllib.loads((CASE / "expected.toml").read_text(encoding="utf-8"))["expected"]}
    require(rows["forming_V"], _bridged(0.0, 6.3e9))
    require(rows["set_V_at_median_nucleation"], _bridged(0.34067, 0.0))
    require(rows["reset_V"], _broken())
    require(rows["on_ohm"], 1000.0 + WIRE + CONTACT)


def test_where_no_mechanical_transfer_is_known_it_goes_with_the_cathodic_one(finished, layer, monkeypatch):
    """The default αm = αc leaves i0 alone under pressure at either end of the range of αc."""
    case, _, _ = finished
    inputs = resolve(case)
    seen = []
    monkeypatch.setattr(model, "field_of", lambda inputs, comm: layer)
    monkeypatch.setattr(model, "first_cycles", lambda case, inputs, field: seen.append(inputs) or {})
    key = f"{case.settings.interface.charge_transfer}.mechanical_transfer_coefficient"
    without = {name: value for name, value in inputs.parameters.items() if name != key}
    for parameters, together in ((without, True), (inputs.parameters, False)):
        seen.clear()
        rows = model.ranges(case, replace(inputs, parameters=parameters), layer, MPI.COMM_SELF)
        of = [k for k, row in enumerate(rows) if row["parameter"].endswith("cathodic_transfer_coefficient")]
        assert len(of) == 2
        for k in of:
            moved = seen[k].mechanical_transfer_coefficient == seen[k].cathodic_transfer_coefficient
            assert moved == together


def test_stopped_cycles_go_on_with_the_same_numbers(finished, layer, tmp_path, monkeypatch):
    case, results, _ = finished
    monkeypatch.setattr(memristor_run, "field_of", lambda inputs, comm: layer)
    monkeypatch.setattr(memristor_run, "ranges", lambda *arguments: [])
    sweep, count = memristor_run.run_cycle, iter(range(100))

    def stop(*arguments):
        if next(count) == 3:
            raise KeyboardInterrupt
        return sweep(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(memristor_run, "run_cycle", stop)
        with pytest.raises(KeyboardInterrupt):
            memristor_run.run_memristor(case, tmp_path, MPI.COMM_SELF, every_s=0.0)
    assert len(json.loads((tmp_path / "checkpoint.json").read_text())["rows"]) == 3
    memristor_run.run_memristor(case, tmp_path, MPI.COMM_SELF)
    for name in ("cycles.csv", "loops.csv"):
        assert (tmp_path / name).read_text() == (results / name).read_text()


def test_the_electrode_that_leaks_down_to_a_ratio():
    device = replace(DEVICE, series=1e3)
    on = 1e3 + device.filament_resistance(L) + 20.0
    radius = electrode_radius_at(1e5, device, 5.5e-6)
    leak = 5.5e-6 * (4 * radius + math.pi * radius**2 / L)
    assert 1 / leak / on == pytest.approx(1e5, rel=1e-9)


FIELD = """
import json
from mpi4py import MPI
from meshes.filament_gap import FilamentGap
from multiscale.memristor.field import solve_gap
found = solve_gap(FilamentGap(5e-9, 60e-9, 100e-9, 20e-9), MPI.COMM_WORLD)
if MPI.COMM_WORLD.rank == 0:
    json.dump(found, open("PATH", "w"))
"""


def test_the_field_does_not_depend_on_the_number_of_ranks(tmp_path):
    """Everything after the field is the same arithmetic on every rank."""
    one, two, three = answers_of_ranks(FIELD, tmp_path, timeout=250.0)
    assert two == pytest.approx(one, rel=1e-9)
    assert three == pytest.approx(one, rel=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('electrode_radius = "50 nm"', 'electrode_radius = "20 nm"', "largest"),
        ('radius       = "5 nm"', 'radius       = "60 nm"', "must lie in it"),
        ('thickness = "1 um"', 'thickness = "0.2 um"', "a tenth of the layer"),
        ('read     = "20 mV"', 'read     = "2 V"', "below positive"),
        ('positive = "1.5 V"', 'positive = "30 V"', "at most 20 V"),
        ('compliance        = "10 uA"', 'compliance        = "0 A"', "above 0 A"),
        ('"plating", "fracture", "nucleation"]', '"plating", "cracking"]', "plating"),
        ("cycles   = 200", "cycles   = 0", "cycles"),
        ('["plating", "fracture", "nucleation"]', '["nucleation"]', "without plating no filament grows"),
        ('lithium         = "Li-contact"', 'lithium         = "Li"', "not known at this temperature"),
        ("on_off_ratio = 1e5", "on_off_ratio = 0.5", "greater than 1"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_with_its_line(tmp_path, old, new, said):
    folder = _case(tmp_path, {old: new})
    told_with_its_line(lambda: validate_any(load_any(folder)), said)
