"""Tips on a polycrystal: exact limits of every part, the voltage ramp, small cases, resume, ranks, wrong input."""

import csv
import json
import math
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from launch import ROOT, answers_of_ranks, multiscale
from mpi4py import MPI
from refusals import told_with_its_line
from scipy.integrate import quad

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from meshes.drawing import Sizes
from meshes.tip import IndentedTip
from meshes.tip import draw as draw_tip
from multiscale.conduction.steady import Conduction
from multiscale.kinds import load_any, validate_any
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep, slit_flow
from multiscale.mechanics.tip_contact import dome_extrusion, dome_integral, pit_response
from multiscale.solvers.protocol import AfterTime, VoltageRamp
from multiscale.structures import drawn
from multiscale.tip_trigger import contact
from multiscale.tip_trigger import run as tip_run
from multiscale.tip_trigger.case import is_tip_case, load_tip_case, resolve
from multiscale.tip_trigger.landscape import boundary_resistance, sampled_surface, spreading_resistance, toughness_map
from multiscale.tip_trigger.ramp import Contact, nucleation_voltage, run_ramp

CASE = ROOT / "cases" / "llzo-tip"
GARNET = Elastic(150e9, 0.257)
SMALL = {
    'width = "4 um"': 'width = "1.2 um"', 'grain_size     = "1 um"': 'grain_size     = "0.4 um"', "points = 80": "points = 12",
    'step    = "5 mV"': 'step    = "50 mV"', 'radii     = ["10 nm", "20 nm", "50 nm", "100 nm"]': 'radii     = ["50 nm"]',
}  # fmt: skip
"""What makes the shipped case a run of seconds."""


def _case(folder: Path, changes: dict[str, str]) -> Path:
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the case"
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_hemisphere_meets_the_resistance_of_maxwell():
    """Resolved in two cylinders, one twice the other: what walls and counter electrode change falls as 1/size."""
    a, found = 50e-9, []
    for size in (30 * a, 60 * a):
        domain, _ = drawn(partial(draw_tip, IndentedTip(size, size, a, a, sizes=Sizes(3.0))), axisymmetric=True)
        found.append(Conduction(domain, {"crystal": 0.1}, ["tip"], ["counter"]).solve().resistance)
    assert 2 * found[1] - found[0] == pytest.approx(spreading_resistance(a, 0.1), rel=5e-3)
    assert spreading_resistance(a, 0.1) == pytest.approx(1 / (2 * math.pi * 0.1 * a))


def test_pit_and_flaw_have_their_exact_limits():
    tiny, deep = pit_response(1e-9, 50e-9, GARNET, MPI.COMM_SELF), pit_response(1e-6, 20e-9, GARNET, MPI.COMM_SELF)
    assert tiny.intensity == pytest.approx(2 * math.sqrt(51e-9 / math.pi), rel=5e-3)  # Sneddon's penny
    edge = 1.1215 * 1.5 * math.sqrt(math.pi * 20e-9)  # own pressure and the sphere's hoop stress p/2, which falls along the flaw
    assert 0.93 * edge < deep.intensity < edge
    assert deep.compliance == pytest.approx(math.pi * 1e-18 / (2 * GARNET.shear_modulus), rel=1e-2)
    softer = pit_response(1e-9, 50e-9, Elastic(75e9, 0.257), MPI.COMM_SELF)
    assert softer.intensity == pytest.approx(tiny.intensity, rel=1e-9)
    assert softer.compliance == pytest.approx(2 * tiny.compliance, rel=1e-9)


def test_extrusion_over_a_dome():
    assert dome_integral(1.0) == pytest.approx(math.log(2), rel=1e-12)
    assert dome_integral(1e9) == pytest.approx(math.pi / 2, rel=1e-6)
    newtonian = Creep(1e-3, 1e6, 1.0, 0.0)
    flow = dome_extrusion(2e8, 50e-9, 1e-9, newtonian, 298.15)
    assert flow == pytest.approx(2 * math.pi * slit_flow(1.0, 1e-9, newtonian, 298.15) * 2e8 / math.log(2), rel=1e-12)
    lithium = Creep(1e-3, 0.8e6, 6.6, 37e3)
    strong = dome_extrusion(np.array([1e8, 2e8, -1e8]), 50e-9, 1e-9, lithium, 298.15)
    assert strong[1] / strong[0] == pytest.approx(2**6.6, rel=1e-12)
    assert strong[2] == -strong[0]


def test_resistance_of_a_boundary_beside_a_contact():
    κ, d = 0.1, np.array([60e-9, 400e-9])
    assert np.all(boundary_resistance(d, κ, 0.0) == 0)
    assert boundary_resistance(d, κ, 1e3) == pytest.approx(1 / (4 * math.pi * κ * d), rel=1e-3)  # image of a wall
    for sheet in (2e-8, 2e-7, 2e-6):
        for distance in d:
            exact = quad(lambda k, r=sheet, s=distance: κ * r * k / (2 + κ * r * k) * math.exp(-2 * k * s), 0, 40 / distance)[0]
            found = float(boundary_resistance(np.array([distance]), κ, sheet)[0])
            assert found == pytest.approx(exact / (2 * math.pi * κ), rel=1e-3)


def test_the_map_of_grains_is_reproducible_and_does_not_depend_on_its_points():
    coarse, fine = (sampled_surface(2e-6, 0.5e-6, points, 3) for points in (5, 15))
    inside = np.arange(225).reshape(15, 15)[1::3, 1::3].ravel()
    assert np.allclose(coarse.x, fine.x[inside])
    for name in ("grain", "neighbour"):
        assert np.array_equal(getattr(coarse, name), getattr(fine, name)[inside])
    maps = [toughness_map(s, 30e-9, 1e6, 0.5, 0.2, 7) for s in (coarse, fine)]
    assert np.array_equal(maps[0], maps[1][inside])
    even = toughness_map(fine, 30e-9, 1e6, 0.5, 0.0, 7)
    assert set(even) == {1e6, 0.5e6}
    assert np.array_equal(even == 0.5e6, fine.distance <= 30e-9)
    assert not np.array_equal(maps[1], toughness_map(fine, 30e-9, 1e6, 0.5, 0.2, 8))
    with pytest.raises(UserError, match="fewer than 4 grains"):
        sampled_surface(1e-6, 0.9e-6, 5, 1)


CONTACT = Contact(2 * math.pi * 50e-9**2, np.array([3e7]), 5e-33, 128.0, 0.5, 0.5, 298.15)


def _ramped(contact: Contact, pressure: float, rate: float = 0.1, start: float = 0.0, step: float = 5e-3, most: float = 2.0):
    drive = VoltageRamp(0.0, rate, (AfterTime(most / rate),))
    return run_ramp(contact, np.array([pressure]), np.array([start]), drive, most, step)


def test_a_slow_ramp_triggers_at_the_stall_voltage():
    slow, p = _ramped(CONTACT, 4e9, rate=1e-5), 4e9
    assert float(slow.voltage[0]) == pytest.approx(LITHIUM_MOLAR_VOLUME * p / FARADAY, rel=1e-6)
    assert np.isnan(_ramped(CONTACT, 20e9).voltage[0])  # 2.7 V would be needed
    late = _ramped(CONTACT, 4e9, start=0.7)
    assert 0.7 < late.voltage[0] < 0.7005  # a few milliseconds of plating
    resisted = _ramped(replace(CONTACT, resistance=np.array([3e9])), 4e9, rate=1e-5)
    assert float(resisted.voltage[0]) == pytest.approx(float(slow.voltage[0]), rel=1e-4)  # nothing flows at stall


@pytest.mark.parametrize("bias", [0.2, 0.5, 0.9])
def test_lithium_plated_is_lithium_in_the_pit(bias):
    found = _ramped(replace(CONTACT, mechanical_transfer=bias), 4e9, rate=1.0)
    volume = float(found.charge[0]) * LITHIUM_MOLAR_VOLUME / FARADAY
    assert volume == pytest.approx(CONTACT.compliance * float(found.pressure[0]), rel=1e-8)
    assert float(found.pressure[0]) == pytest.approx(4e9, rel=1e-6)


def test_faster_ramps_tougher_places_and_slower_kinetics_never_trigger_earlier():
    rates = [float(_ramped(CONTACT, 4e9, rate=rate, step=2e-2).voltage[0]) for rate in (0.1, 1e3, 1e5)]
    assert np.all(np.diff(rates) > 0)
    assert float(_ramped(CONTACT, 4.4e9).voltage[0]) > rates[0]
    assert float(_ramped(replace(CONTACT, exchange_current_density=1.0), 4e9, rate=1e3, step=2e-2).voltage[0]) > rates[1]
    steps = [float(_ramped(CONTACT, 4e9, rate=1e5, step=step).voltage[0]) for step in (8e-3, 4e-3, 2e-3)]
    assert abs(steps[1] - steps[2]) < 0.7 * abs(steps[0] - steps[1])  # first order in the step


def test_creep_delays_until_plating_outruns_it():
    """At rest V_Li I/F = q(p*): the driving force of that current comes on top of the stall voltage."""
    lost = 3e-22
    found = _ramped(replace(CONTACT, extrusion=lambda p: lost * (p / 4e9) ** 7), 4e9, rate=1e-4, step=2e-3)
    current = lost * FARADAY / LITHIUM_MOLAR_VOLUME
    extra = 2 * 8.314462618 * 298.15 / FARADAY * math.asinh(current / CONTACT.area / 2 / 128) + current * 3e7
    assert float(found.voltage[0]) == pytest.approx(LITHIUM_MOLAR_VOLUME * 4e9 / FARADAY + extra, rel=1e-5)


def test_nucleation_voltages():
    drive, args = VoltageRamp(0.0, 0.1, (AfterTime(20.0),)), (128.0, 0.46, 1.08, 298.15)
    few, median, many = nucleation_voltage(np.array([0.1, math.log(2), 5.0]), 1.57e-14, *args, drive, 2.0)
    assert few < median < many < 0.5
    slower = nucleation_voltage(np.array([math.log(2)]), 1.57e-14, *args, VoltageRamp(0.0, 1e-3, drive.until), 2.0)
    assert slower[0] < median
    worse = nucleation_voltage(np.array([math.log(2)]), 1.57e-14, 128.0, 0.46, 2.48, 298.15, drive, 2.0)
    assert worse[0] > 1.5 * median
    assert np.isinf(nucleation_voltage(np.array([math.log(2)]), 1.57e-14, *args, drive, 0.05)[0])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Case, results and summary of a small map."""
    folder = tmp_path_factory.mktemp("tip")
    case = load_tip_case(_case(folder / "small", SMALL))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tip_run, "sensitivities", lambda *arguments: [])
        return case, folder / "results", tip_run.run_tip(case, folder / "results", MPI.COMM_SELF)


def test_a_small_map(finished):
    case, results, summary = finished
    assert is_tip_case(CASE)
    rows = list(csv.DictReader((results / "map.csv").open()))
    assert len(rows) == 144 == summary["points"]
    inputs = resolve(case)
    for row in rows:  # slow ramp, little creep: the pressure at which the flaw runs, or the nucleus
        stall = LITHIUM_MOLAR_VOLUME / FARADAY * float(row["toughness_Pa_sqrt_m"]) / summary["pit"]["intensity_sqrt_m"]
        expected = max(stall, float(row["nucleation_V"]))
        assert float(row["trigger_V"]) == pytest.approx(expected, rel=5e-3)
    assert summary["trigger_V"]["boundary"]["median"] < summary["trigger_V"]["grain"]["median"]
    ratio = summary["nominal"]["boundary_V"] / summary["nominal"]["grain_V"]
    assert ratio == pytest.approx(inputs.toughness_ratio, rel=5e-3)
    assert summary["by_radius"][0]["grain_V"] == pytest.approx(summary["nominal"]["grain_V"], rel=1e-9)
    assert sum(summary["held_back_by"].values()) == pytest.approx(1)
    assert (results / "trigger_map.png").stat().st_size > 10_000
    assert not (results / "checkpoint.npz").exists()
    assert tip_run.run_tip(case, results, MPI.COMM_SELF) == json.loads((results / "summary.json").read_text())


def test_the_case_reproduces_its_expected_numbers(finished):
    case, _, summary = finished
    stall = LITHIUM_MOLAR_VOLUME / FARADAY / summary["pit"]["intensity_sqrt_m"] * resolve(case).toughness
    found = {
        "trigger_over_stall_voltage": summary["nominal"]["grain_V"] / stall,
        "boundary_over_grain": summary["nominal"]["boundary_V"] / summary["nominal"]["grain_V"],
        "largest_pressure_over_hardness": summary["largest_pressure_GPa"] * 1e9 / resolve(case).hardness,
    }
    rows = tomllib.loads((CASE / "expected.toml").read_text(encoding="utf-8"))["expected"]
    assert {row["quantity"] for row in rows} == set(found)
    for row in rows:
        value = found[row["quantity"]]
        assert "value" not in row or value == pytest.approx(row["value"], rel=row["tolerance"]), row["source"]
        assert value <= row.get("at_most", math.inf), row["source"]


def test_a_stopped_map_goes_on_with_the_same_numbers(finished, tmp_path, monkeypatch):
    case, results, _ = finished
    monkeypatch.setattr(tip_run, "BLOCK", 50)
    monkeypatch.setattr(tip_run, "sensitivities", lambda *arguments: [])
    solve, calls = tip_run.Tips.solve, []

    def stop(self, *arguments):
        calls.append(len(arguments[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(tip_run.Tips, "solve", stop)
        with pytest.raises(KeyboardInterrupt):
            tip_run.run_tip(case, tmp_path, MPI.COMM_SELF)
    assert calls == [50, 50, 44]
    with np.load(tmp_path / "checkpoint.npz") as kept:
        assert kept["done"].shape == (5, 100)
    tip_run.run_tip(case, tmp_path, MPI.COMM_SELF)
    whole, part = (list(csv.DictReader((folder / "map.csv").open())) for folder in (results, tmp_path))
    for a, b in zip(whole, part, strict=True):  # blocks of other sizes: equal but for the order of vectorised arithmetic
        assert float(a["trigger_V"]) == pytest.approx(float(b["trigger_V"]), rel=1e-9)
        assert a["mechanism"] == b["mechanism"]


RANKS = """
import json
import numpy as np
from mpi4py import MPI
from multiscale.mechanics.tip_contact import pit_response
from multiscale.tip_trigger.case import load_tip_case, resolve
from multiscale.tip_trigger.contact import Tips
from multiscale.tip_trigger.run import _map, surface_of
from multiscale.progress import Narrator
from pathlib import Path
case = load_tip_case("CASE")
inputs, comm = resolve(case), MPI.COMM_WORLD
response = pit_response(inputs.radius, inputs.flaw_depth, inputs.elastic, comm)
surface, toughness, expected = surface_of(case, inputs)
folder = Path("PATH.map")
found = _map(Tips(case, inputs, response), surface, toughness, expected, folder, comm, "key", Narrator(False))
if comm.rank == 0:
    json.dump([response.intensity, response.compliance, *found[0], *found[4]], open("PATH", "w"))
"""


def test_ranks_find_the_same(finished, tmp_path):
    case, results, _ = finished
    one, two, three = answers_of_ranks(RANKS.replace("CASE", str(case.folder)), tmp_path, timeout=250.0)
    assert two == pytest.approx(one, rel=1e-8)
    assert three == pytest.approx(one, rel=1e-8)
    triggers = [float(row["trigger_V"]) for row in csv.DictReader((results / "map.csv").open())]
    assert one[2:146] == pytest.approx(triggers, rel=1e-8)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('radius    = "50 nm"', 'radius    = "1 nm"', "at least 5 nm"),
        ('radius    = "50 nm"', 'radius    = "0.4 um"', "quarter of the grain size"),
        ('gap       = "1 nm"', 'gap       = "5 nm"', "must lie in it"),
        ('depth       = "20 nm"', 'depth       = "4 nm"', "must lie in it"),
        ('mechanisms    = ["nucleation", "fracture", "yield"]', 'mechanisms    = ["nucleation"]', "nothing else can trigger"),
        ('nucleation    = "seeded"', 'nucleation    = "random"', "seeded"),
        ('rate    = "0.1 V/s"', 'rate    = "0.1 V"', "V/s"),
        ('step    = "5 mV"', 'step    = "3 V"', "ten-thousandth"),
        ("points = 80", "points = 4000", "400"),
        ('rate    = "0.1 V/s"', 'rate    = "1e12 V/s"', '"1e12 V/s"; it must be at most .* double layer does not follow'),
        ('["10 nm", "20 nm", "50 nm", "100 nm"]', "[]", "0 are given; at least 1 is needed"),
        ('["10 nm", "20 nm", "50 nm", "100 nm"]', '["10 nm", "10 nm"]', "name each radius once"),
        ('width = "4 um"', 'width = "1 nm"', "fewer than 4 grains"),
        ('nucleus         = "Li-contact"', 'nucleus         = "Li"', "surface_energy of Li is not known"),
        ('contact        = "LLZO-contact"', 'contact        = "LLZO"', "toughness_spread of LLZO is not known"),
        ('width = "4 um"', 'width = "1 um"', "fewer than 4 grains"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_with_its_line(tmp_path, old, new, said):
    folder = _case(tmp_path, {old: new})
    told_with_its_line(lambda: validate_any(load_any(folder)), said)


def test_commands_know_the_kind(tmp_path):
    done = multiscale("check", CASE, "--json")
    assert done.returncode == 0, done.stderr
    sources = {row["key"]: row["source"] for row in json.loads(done.stdout)["parameters"]}
    assert "Ni et al." in sources["LLZO-contact.hardness"]
    refused = multiscale("report", CASE, "--out", tmp_path)
    assert refused.returncode == 2
    assert "summary.json: not there yet; `multiscale run" in refused.stderr


def test_every_number_with_a_range_that_the_trigger_depends_on_is_varied():
    """What is left out does not enter the trigger of a tip in the middle of a nominal grain."""
    case = load_tip_case(CASE)
    inputs = resolve(case)
    varied = {key for key, _ in contact._ranges(case, inputs)}
    ranged = {key for key, parameter in inputs.parameters.items() if parameter.used.low is not None}
    left = {key.rpartition(".")[2] for key in ranged - varied}
    assert left <= {"toughness_ratio", "toughness_spread", "surface_energy"}  # boundary's, the map's, and of ideal cleavage
    assert {"conductivity_ratio", "creep_reference_stress"} <= {*contact._FIELDS, *contact._CREEP}


def test_every_varied_number_moves_what_it_should(monkeypatch):
    """The default αm goes with αc; a stress of the creep law and a boundary's conduction reach the model."""
    case = load_tip_case(CASE)
    inputs = resolve(case)
    seen = []
    monkeypatch.setattr(contact, "nominal", lambda case, inputs, comm, response=None: seen.append(inputs) or (1.0, 1.0))
    response = contact.PitResponse(1.0, 1.0)
    transfer, metal = case.settings.interface.charge_transfer, case.settings.interface.metal
    without = {key: value for key, value in inputs.parameters.items() if not key.endswith("mechanical_transfer_coefficient")}
    for parameters, mechanical in ((without, 0.3), (inputs.parameters, inputs.mechanical_transfer)):
        changed = replace(inputs, parameters=parameters)
        contact._nominal_with(case, changed, response, MPI.COMM_SELF, f"{transfer}.cathodic_transfer_coefficient", 0.3)
        assert (seen[-1].cathodic_transfer, seen[-1].mechanical_transfer) == (0.3, mechanical)
    contact._nominal_with(case, inputs, response, MPI.COMM_SELF, "LLZO-boundary.conductivity_ratio", 0.2)
    assert seen[-1].boundary_ratio == 0.2
    creeping = replace(inputs, creep=Creep(1e-3, 0.8e6, 6.6, 37e3))
    contact._nominal_with(case, creeping, response, MPI.COMM_SELF, f"{metal}.creep_reference_stress", 2e6)
    assert seen[-1].creep.reference_stress == 2e6
