"""Transport cases: refusals that name the key, a run against closed forms, resumed after a kill, failures that keep the state."""

import json
import math
import os
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
import transport_cases as cases
from expected_rows import require
from launch import MPI_SETTINGS, ROOT, kill_tree, multiscale, python
from mpi4py import MPI
from transport_cases import numbers, table

from coupling.constants import AVOGADRO, FARADAY, GAS_CONSTANT
from coupling.errors import RunFailure, UserError
from multiscale.transport_cases import report
from multiscale.transport_cases.case import is_transport_case, load_transport_case
from multiscale.transport_cases.check import limits
from multiscale.transport_cases.geometry import build
from multiscale.transport_cases.inputs import resolve
from multiscale.transport_cases.lithium import holds_lithium, metal_ions
from multiscale.transport_cases.model import step_control
from multiscale.transport_cases.run import run_transport

T = 298.15
THERMAL = GAS_CONSTANT * T / FARADAY
SIGMA = 0.03 * GAS_CONSTANT * T / (FARADAY**2 * 1000)
CATION, ANION, LENGTH = 0.6 * SIGMA, 0.4 * SIGMA, 10e-6
SALT = 2 * CATION * ANION / (CATION + ANION)

WORKING, COUNTER = '[electrode.working]\nion             = ', '[electrode.counter]\nion             = '
TOLERANCE = "tolerance    = 3e-3"
LITHIUM6 = "lithium6 = 0.0759"
SPECIES = 'name   = "TFSI-"\ncharge = -1'
BAD = [
    ('closure = "electroneutral"', 'closure = "neutral"', "neutral", "transport.polymer.closure", "allowed: 'ohm'"),
    ('closure = "electroneutral"', 'closures = "ohm"', "closures", "transport.polymer.closures", 'did you mean "closure"'),
    ('= "ceramic"\nmaterial', '= "ceramics"\nmaterial', "[transport.ceramic]", "transport.ceramic", 'did you mean "ceramics"'),
    (SPECIES, SPECIES + '\ndiffusivity = "1e-12 m^2/s"', "diffusivity", "transport.polymer.species.source", "come from"),
    (SPECIES, SPECIES + "\ndiffusivity = 1e-12", "diffusivity", "transport.polymer.species.diffusivity", "bare number 1e-12"),
    (SPECIES, 'name = "Li+"\ncharge = -1', "species]]", "transport.polymer.species", "name of its own"),
    ('"-9 mA/cm^2"', '"-9 mA"', '"-9 mA"', "protocol.step.current_density", "cannot be expressed in A/m^2"),
    ('{ time = "60 s" }', '{ voltage = "1 V" }', 'voltage = "1 V"', "protocol.step.until.time", "missing"),
    ('kind  = "rest"', 'kind  = "rest"\nvoltage = "1 V"', "voltage", "protocol.step.voltage", 'of kind "rest"'),
    ('= ["polymer", "ceramic"]', '= ["ceramic", "polymer"]', "between", "interface.between", '["polymer", '),
    ('dimension  = 1', 'dimension  = 2', "dimension", "geometry.width", "needs width"),
    ('material  = "LLZO"', 'material  = "LLZX"', "LLZX", "geometry.layer.material", "unknown material"),
    ('temperature = "25 degC"', 'temperature = "80 degC"', "80 degC", "conditions.temperature", "known at 20 degC only"),
    ('= "Li-LLZO-interface"', '= "LLZO"', 'transfer = "LLZO"', "electrode.counter.charge_transfer", "not known"),
    ("lithium6 = 0.0759", "lithium6 = 1.5", "1.5", "transport.polymer.species.lithium6", "less than or equal to 1"),
    ("lithium6 = 0.0759\n", "\n", "attenuation]", "output.attenuation", "has a lithium6"),
    (SPECIES, SPECIES.replace("-1", "-2"), "species]]", "transport.polymer.species", "1:1 salt only"),
    ('tolerance    = 3e-3', 'tolerance    = 3e-3\nfirst_steps = "1 s"', "first_steps", "protocol.first_steps", '"first_step"'),
    (WORKING + '"Li+"', WORKING + '"TFSI-"', 'ion             = "TFSI-"', "electrode.working.ion", "its own ion; allowed: Li+"),
    (COUNTER + '"Li+"', COUNTER + '"Li"', 'ion             = "Li"', "electrode.counter.ion", "no such charged ion in ceramic"),
    (SPECIES, SPECIES + "\nlithium6 = 0.08", "lithium6 = 0.08", "transport.polymer.species.lithium6", "TFSI- holds no lithium"),
    (WORKING, WORKING.replace("]", ']\nmoves = "metal"'), "moves", "electrode.working.moves",
     "add molar_volume and its source (of lithium: "),
    (SPECIES, SPECIES + '\ndiffusivity = "1e-12 m^2/s"\nsource = "x"', "[[transport.polymer.species]]",
     "transport.polymer.species.diffusivity", "missing for Li+, but stated for TFSI-"),
    (LITHIUM6, LITHIUM6 + '\nconcentration = "1 mol/L"\nsource = "x"', "[[transport.polymer.species]]",
     "transport.polymer.species.concentration", "missing for TFSI-, but stated for Li+"),
    (TOLERANCE, TOLERANCE + '\nsmallest_step = "10 s"\nlargest_step = "1 s"', "smallest_step", "protocol.smallest_step",
     "longer than largest_step, 1 s"),
    (TOLERANCE, TOLERANCE + '\nlargest_step = "1 s"\nfirst_step = "2 s"', "first_step", "protocol.first_step",
     "longer than largest_step, 1 s"),
    (TOLERANCE, TOLERANCE + '\nsmallest_step = "1 min"\nfirst_step = "2 s"', "smallest_step", "protocol.smallest_step",
     "longer than first_step, 2 s"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "on_line", "key", "said"), BAD, ids=[f"{row[3]}-{n}" for n, row in enumerate(BAD)])
def test_bad_input_names_file_line_and_key(tmp_path, old, new, on_line, key, said):
    folder = cases.write(tmp_path / "case", cases.edited(cases.FLAT, (old, new)))
    with pytest.raises(UserError) as caught:
        resolve(load_transport_case(folder))
    complaint = str(caught.value)
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    lines = (folder / "case.toml").read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, start=1) if on_line in line]
    found, _, rest = complaint.removeprefix(f"{folder}/case.toml:").partition(": ")
    assert rest.startswith(f"{key}: "), complaint
    assert on_line.startswith("dimension") or abs(int(found) - numbers[0]) <= 3 or int(found) in numbers, complaint


def test_both_electrodes_exchange_the_same_ion(tmp_path):
    sodium = ('[[transport.ceramic.species]]\nname   = "Li+"', '[[transport.ceramic.species]]\nname = "Na+"')
    text = cases.edited(cases.FLAT, sodium, (COUNTER + '"Li+"', COUNTER + '"Na+"'))
    with pytest.raises(UserError, match=r'electrode\.counter\.ion: read "Na\+"; the working electrode exchanges Li\+'):
        load_transport_case(cases.write(tmp_path, text))


def test_names_of_lithium():
    assert all(holds_lithium(name) for name in ("Li+", "Li", "LiTFSI", "lithium"))
    assert not any(holds_lithium(name) for name in ("TFSI-", "Cl-", "Lignin-"))
    assert metal_ions({"Li+": 1, "Na+": 1, "LiCl2-": -1}) == ["Li+"]
    assert metal_ions({"Na+": 1, "Cl-": -1}) == ["Na+"]


def test_numbers_of_the_salt_follow_from_its_material(tmp_path):
    case = load_transport_case(cases.write(tmp_path))
    found = resolve(case)
    assert found.media["polymer"].diffusivity == pytest.approx({"Li+": CATION, "TFSI-": ANION}, rel=1e-12)
    assert found.media["polymer"].conductivity == pytest.approx(0.03, rel=1e-12)
    assert found.faces["interface", 0].resistance == pytest.approx(7e-4)
    assert found.parameters["polymer.diffusivity of Li+"].used.kind == "derived"
    (row,) = limits(case, found)
    assert row["limiting_current_mA_per_cm2"] == pytest.approx(0.4 * FARADAY * CATION * 1000 / LENGTH, rel=1e-12)


def test_numbers_stated_in_the_case_win_and_must_be_neutral(tmp_path):
    stated = '\ndiffusivity = "2e-12 m^2/s"\nconcentration = "500 mol/m^3"\nsource = "test"'
    text = cases.edited(cases.FLAT, (SPECIES, SPECIES + stated))
    cation = "lithium6 = 0.0759" + stated.replace("2e-12", "4e-12")
    with pytest.raises(UserError, match="do not add up to zero"):
        resolve(load_transport_case(cases.write(tmp_path / "a", cases.edited(text, (LITHIUM6, cation.replace("500", "600"))))))
    text = cases.edited(text, (LITHIUM6, cation))
    found = resolve(load_transport_case(cases.write(tmp_path / "b", text)))
    assert found.media["polymer"].diffusivity == {"Li+": 4e-12, "TFSI-": 2e-12}
    assert found.parameters["polymer.concentration of Li+"].used.source["reference"] == "case.toml: test"


OF_SALT = ("ionic_conductivity", "transference_number", "salt_concentration")


@pytest.mark.parametrize(
    ("stated", "used"), [('diffusivity = "2e-12 m^2/s"', OF_SALT[2:]), ('concentration = "500 mol/m^3"', OF_SALT), ("", OF_SALT)]
)
def test_check_lists_what_it_takes_of_a_salt_and_no_more(tmp_path, stated, used):
    more = f'\n{stated}\nsource = "test"'
    text = cases.edited(cases.FLAT, (SPECIES, SPECIES + more), (LITHIUM6, LITHIUM6 + more))
    found = resolve(load_transport_case(cases.write(tmp_path, text)))
    assert [name for name in OF_SALT if f"PPC-LiTFSI.{name}" in found.parameters] == list(used)
    share = 0.5 if "concentration" in stated else 1.0
    κ = FARADAY**2 * 2 * 2e-12 * 1000 / (GAS_CONSTANT * T) if "diffusivity" in stated else 0.03 * share
    assert found.media["polymer"].conductivity == pytest.approx(κ, rel=1e-12)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """The flat case run on one rank: summary and results folder."""
    folder = cases.write(tmp_path_factory.mktemp("flat") / "flat")
    case = load_transport_case(folder)
    return run_transport(case, folder / "results", MPI.COMM_SELF), folder / "results"


def face(c, i0, reference=1000.0):
    """Resistance of a face at 90 A/m², ohm cm², from Butler-Volmer."""
    return 2 * THERMAL * math.asinh(90 / (2 * i0 * math.sqrt(c / reference))) / 90 * 1e4


def test_losses_follow_the_closed_forms(flat):
    split = flat[0]["steps"][0]["asr_split"]
    half = 90 * LENGTH / (4 * FARADAY * CATION)
    poor, rich = 1000 - half, 1000 + half
    assert split["ceramic, ohmic"] == pytest.approx(0.6, rel=1e-6)
    assert split["polymer|ceramic, interface"] == pytest.approx(7.0, rel=1e-6)
    assert split["working, charge transfer"] == pytest.approx(face(poor, 36.7), rel=1e-5)
    assert split["counter, charge transfer"] == pytest.approx(face(1000.0, 128.0), rel=1e-6)
    assert split["working, concentration"] == pytest.approx(-THERMAL * math.log(poor / 1000) / 90 * 1e4, rel=1e-5)
    assert split["polymer|ceramic, concentration"] == pytest.approx(THERMAL * math.log(rich / 1000) / 90 * 1e4, rel=1e-5)
    kinetic_and_salt = 2 * THERMAL * math.log(rich / poor) / 90 * 1e4  # all that the salt does between its two faces
    salt = sum(split[name] for name in ("working, concentration", "polymer|ceramic, concentration", "polymer, concentration"))
    assert salt + split["polymer, ohmic"] == pytest.approx(kinetic_and_salt, rel=1e-5)
    assert flat[0]["asr_ohm_cm2"] == pytest.approx(sum(split.values()), rel=1e-9)


def test_a_rest_has_no_charge_balance(flat):
    """Two currents of rounding over each other are no number."""
    summary, results = flat
    assert [step["charge_balance"] is None for step in summary["steps"]] == [False, True, False]
    rows = table(results / "time_series.csv")
    flowing = [abs(float(row["current_density_A_per_m2"])) > 1e-9 for row in rows]
    assert [row["charge_imbalance_1"] != "" for row in rows] == flowing
    assert {row["step"] for row, flows in zip(rows, flowing, strict=True) if not flows} == {"2"}
    assert summary["charge_balance"] < 1e-10


def test_a_run_at_rest_alone_has_no_charge_balance(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write_transport_report", lambda *a: None)
    text = cases.FLAT[: cases.FLAT.index("[[protocol.step]]")] + '[[protocol.step]]\nkind = "rest"\nuntil = { time = "1 s" }\n'
    summary = run_transport(load_transport_case(cases.write(tmp_path, text)), tmp_path / "out", MPI.COMM_SELF)
    assert summary["charge_balance"] is None
    assert "–" in next(row for row in report.answer(summary).split("<div") if "largest charge imbalance" in row)


def expected(summary, results):
    """Every quantity that expected.toml may name."""
    step = summary["steps"][0]
    row = next(row for row in reversed(table(results / "time_series.csv")) if row["step"] == "1")
    half = 90 * LENGTH / (4 * FARADAY * CATION)
    (limit,) = summary["limits"]
    (sand,) = limit["sand_time_s"].values()
    begun = summary["steps"][1]["time_s"]
    name = next(key for key in row if key.startswith("top_concentration_Li"))
    return {
        "charge_balance": summary["charge_balance"],
        "asr_unaccounted_share": abs(step["asr_unaccounted_ohm_cm2"]) / step["asr_ohm_cm2"],
        "face_concentration_over_closed_form": float(row[name]) / (1000 - half),
        "transference_of_lithium": next(v for k, v in step["transference"].items() if k.startswith("Li+")),
        "interface_resistance_over_given": next(v for k, v in step["asr_split"].items() if k.endswith("interface")) / 7.0,
        "sand_time_over_closed_form": (summary["ended"]["time_s"] - begun) / sand,
    }


EXPECTED = tomllib.loads((cases.SHIPPED.parent / "expected.toml").read_text(encoding="utf-8"))["expected"]


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row["quantity"])
def test_the_shipped_case_reproduces(flat, row):
    require(row, expected(*flat)[row["quantity"]])


def test_the_wall_falls_with_the_square_root_of_time(flat):
    """Semi-infinite diffusion under constant flux: c = c0 - 2 i (1 - t+)/F sqrt(t/(π D))."""
    begun = flat[0]["steps"][1]["time_s"]
    rows = [row for row in table(flat[1] / "time_series.csv") if row["step"] == "3"][5:]
    t = np.array([float(row["time_s"]) - begun for row in rows])
    wall = np.array([float(row["top_concentration_Li_plus_in_polymer_mol_per_m3"]) for row in rows])
    exact = 1000 - 2 * 600 * 0.4 / FARADAY * np.sqrt(t / (math.pi * SALT))
    assert len(rows) > 10
    assert np.abs(wall - exact).max() < 10  # 1 % of the start


def test_the_radiograph_counts_the_lithium(flat):
    """No ⁶Li comes or goes: its mean over depth keeps the value of the start, whatever the profile."""
    rows = table(flat[1] / "attenuation.csv")
    μ0 = 9.4e-26 * AVOGADRO * 0.0759 * 1000
    times = sorted({float(row["time_s"]) for row in rows})
    assert len(times) == 5
    for t in times:
        depth, μ = (np.array([float(r[k]) for r in rows if float(r["time_s"]) == t]) for k in ("depth_m", "attenuation_per_m"))
        assert np.trapezoid(μ, depth) / np.ptp(depth) == pytest.approx(μ0, rel=2e-2)
    assert float(rows[0]["transmission_1"]) == pytest.approx(math.exp(-float(rows[0]["attenuation_per_m"]) * 5e-3), rel=1e-9)


def test_files_carry_their_units_and_the_report_tells_it(flat):
    summary, results = flat
    assert summary["ended"]["by"] == "depletion"
    assert summary["figures_of_step"] == 1
    for name in table(results / "time_series.csv")[0]:
        assert name == "step" or name.rsplit("_", 1)[1] in ("s", "V", "m", "m2", "m3", "1"), name
    page = (results / "report.html").read_text(encoding="utf-8")
    for text in ("An ion ran out", "working, charge transfer", "Synthetic", "PPC-LiTFSI", "Sand time"):
        assert text in page
    assert not (results / "checkpoints").exists()
    assert not [path for path in results.rglob(".*") if path.name != ".lock"]


def test_a_finished_run_is_not_repeated(flat, capsys):
    case = load_transport_case(flat[1].parent)
    again = run_transport(case, flat[1], MPI.COMM_SELF)
    assert again == json.loads((flat[1] / "summary.json").read_text())
    assert "there already" in capsys.readouterr().out


def test_commands(flat):
    folder = flat[1].parent
    told = json.loads(multiscale("check", folder, "--json").stdout)
    assert {"case", "parameters", "limits"} <= set(told)
    assert all({"key", "value", "unit", "stderr", "bound", "source"} <= set(row) for row in told["parameters"])
    page = multiscale("report", folder)
    assert page.stdout.strip().endswith("report.html"), page.stderr
    refused = multiscale("ccd", folder)
    assert refused.returncode == 2
    assert "transport case has no critical current" in refused.stderr
    assert "transport" in json.loads(multiscale("schema", "--transport").stdout)["oneOf"][0]["properties"]
    assert is_transport_case(folder)
    assert not is_transport_case(ROOT / "cases" / "li-lpscl")


SHORT = cases.edited(
    cases.FLAT, ('until           = { time = "200 s" }', 'until           = { time = "1 s" }'),
    ('until = { time = "200 s" }', 'until = { time = "1 s" }'), ('{ time = "60 s" }', '{ time = "0.2 s" }'),
    ("tolerance    = 3e-3", "tolerance    = 1e-2"),
)  # fmt: skip
SCRIPT = """
import time
from multiscale import parallel
from multiscale.transport_cases import run as transport_run
from multiscale.transport_cases.case import load_transport_case
keep = transport_run._Run._checkpoint
def slowly(self):
    keep(self)
    time.sleep(SLEEP)
transport_run._Run._checkpoint = slowly
transport_run.run_transport(load_transport_case("FOLDER"), __import__("pathlib").Path("OUT"), parallel.world(), EVERY)
"""


def script(folder, out, sleep=0.0, every=0.0):
    script = SCRIPT.replace("FOLDER", str(folder)).replace("OUT", str(out)).replace("SLEEP", str(sleep))
    return script.replace("EVERY", str(every))


@pytest.mark.timeout(900)  # ranks wait for one another where processors are shared
def test_a_killed_run_goes_on_with_another_number_of_ranks_to_the_same_answer(tmp_path):
    folder = cases.write(tmp_path / "case", SHORT)
    whole = run_transport(load_transport_case(folder), tmp_path / "whole", MPI.COMM_SELF)
    out = tmp_path / "killed"
    command = ["mpirun", "-n", "2", sys.executable, "-c", script(folder, out, 0.1)]
    process = subprocess.Popen(command, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((out / "checkpoints").glob("0000001*")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    kill_tree(process)
    assert not (out / "summary.json").exists()
    done = python(script(folder, out, every=1e3), 3, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "goes on at" in done.stdout
    resumed = json.loads((out / "summary.json").read_text())
    one, other = dict(numbers(json.loads(json.dumps(whole)))), dict(numbers(resumed))
    assert one.keys() == other.keys()
    for place, value in one.items():
        if not place.endswith(("charge_balance", "unaccounted_ohm_cm2")):  # rounding itself
            assert other[place] == pytest.approx(value, rel=1e-8, abs=1e-9), place
    first, second = (table(results / "time_series.csv") for results in (tmp_path / "whole", out))
    times = [[float(row["time_s"]) for row in rows] for rows in (first, second)]
    assert times[1] == pytest.approx(times[0], rel=1e-8)


def failing(tmp_path, *changes):
    case = load_transport_case(cases.write(tmp_path / "case", cases.edited(cases.FLAT, *changes)))
    with pytest.raises(RunFailure) as failure:
        run_transport(case, tmp_path / "out", MPI.COMM_SELF)
    return str(failure.value), tmp_path / "out"


def test_depletion_fails_where_it_is_no_answer_and_keeps_the_state(tmp_path):
    text, out = failing(tmp_path, ('on_depletion = "end"', 'on_depletion = "fail"'), ('"-9 mA/cm^2"', '"-60 mA/cm^2"'))
    assert text.startswith("depletion reached: Li+ in polymer has run out")
    assert len(text.splitlines()) == 1
    told = json.loads((out / "failure.json").read_text())
    assert told["by"] == "depletion"
    assert told["time_s"] == pytest.approx(math.pi * SALT * (FARADAY * 1000 / (2 * 600 * 0.4)) ** 2, rel=2e-2)
    assert list((out / "checkpoints").glob("[0-9]*"))
    assert (out / "failed.bp").is_dir()
    assert len(table(out / "time_series.csv")) > 5
    assert not (out / "summary.json").exists()


def test_a_step_below_the_minimum_is_named_and_keeps_the_state(tmp_path):
    steps = 'smallest_step = "1e-2 s"\nfirst_step = "1e-2 s"\nlargest_step = "1 s"'
    text, out = failing(tmp_path, ("tolerance    = 3e-3", f"tolerance = 1e-9\n{steps}"))
    assert text.startswith("step below minimum")
    assert json.loads((out / "failure.json").read_text())["by"] == "step below minimum"


@pytest.mark.parametrize(
    ("stated", "steps"), [('smallest_step = "10 s"', (10, 10, 10)), ('largest_step = "1 us"', (1e-8, 1e-6, 1e-6))]
)
def test_steps_left_out_keep_within_those_stated(tmp_path, stated, steps):
    """The first step of this case would be 2 ms; the user wrote nothing of it."""
    text = cases.edited(cases.FLAT, (TOLERANCE, f"{TOLERANCE}\n{stated}"))
    case = load_transport_case(cases.write(tmp_path, text))
    inputs = resolve(case)
    found = step_control(case, inputs, build(case, inputs, MPI.COMM_SELF))
    assert (found.smallest, found.first, found.largest) == pytest.approx(steps)


POISSON = (
    ('closure = "electroneutral"', 'closure = "poisson"\nrelative_permittivity = 10\nsource = "test"'),
    ('until           = { time = "200 s" }', 'until           = { time = "1e-3 s" }'),
)


def test_poisson_meshes_the_debye_length_and_refuses_a_mesh_that_does_not(tmp_path):
    text = cases.edited(cases.FLAT, *POISSON)
    start, end = text.index('[[protocol.step]]\nkind  = "rest"'), text.index("[output]")
    text = text[:start] + text[end:]
    coarse = cases.edited(text, ("resolution = 0.4", "resolution = 0.1"))
    with pytest.raises(UserError, match=r"case\.toml:\d+: geometry: the mesh is too coarse for the Debye length: in polymer"):
        run_transport(load_transport_case(cases.write(tmp_path / "a", coarse)), tmp_path / "coarse", MPI.COMM_SELF)
    fine = cases.edited(text, ("resolution = 0.4", "resolution = 1.0"), ('"-9 mA/cm^2"', '"-1 mA/cm^2"'))
    summary = run_transport(load_transport_case(cases.write(tmp_path / "b", fine)), tmp_path / "fine", MPI.COMM_SELF)
    assert summary["ended"]["by"] == "protocol"
    assert summary["steps"][0]["asr_split"]["polymer|ceramic, interface"] == pytest.approx(7.0, rel=0.05)


@pytest.fixture(scope="module")
def grains(tmp_path_factory):
    folder = cases.write(tmp_path_factory.mktemp("grains") / "grains", cases.crystal())
    return run_transport(load_transport_case(folder), folder / "results", MPI.COMM_SELF), folder / "results"


def test_a_polycrystal_detours_and_focuses(grains):
    summary, results = grains
    step = summary["steps"][0]
    assert step["asr_split"]["electrolyte, ohmic"] > 0.2  # thickness over conductivity of the grains, ohm cm²
    assert step["detour"]["electrolyte"] > 1
    assert step["constriction"]["electrolyte"] > 1
    assert step["focusing"]["counter"] > step["focusing"]["working"] > 1
    lines = step["flux_lines"]
    assert lines["through"] > 0.9 * lines["traced"]
    assert lines["mean_tortuosity"] == pytest.approx(step["detour_factor"], rel=3e-3)
    assert step["asr_unaccounted_ohm_cm2"] == pytest.approx(0, abs=1e-9)
    spots = table(results / "steps" / "1" / "hot_spots.csv")
    kinds = {row["kind"] for row in spots}
    assert kinds == {"grain", "boundary", "interlayer"}
    assert all("-" in row["name"] for row in spots if row["kind"] == "boundary")
    area = sum(float(row["area_m2"]) for row in spots)
    assert area == pytest.approx(3e-6 * 4e-6, rel=1e-6)
    mean = sum(float(row["area_m2"]) * float(row["mean_over_mean_1"]) for row in spots) / area
    assert mean == pytest.approx(step["detour_factor"], rel=2e-3)
    assert (results / "steps" / "1" / "fields.bp").is_dir()
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Where the current goes" in page


CONTACT = """\
title    = "Half a contact"
question = "Does the constriction follow the conformal map?"

[geometry]
kind      = "layers"
dimension = 2
width     = "2 um"
contact   = { width = "1 um" }

[[geometry.layer]]
name      = "ceramic"
material  = "LLZO"
thickness = "4 um"

[conditions]
temperature = "25 degC"

[transport.ceramic]
closure = "ohm"

[[transport.ceramic.species]]
name   = "Li+"
charge = 1

[electrode.working]
ion                      = "Li+"
exchange_current_density = "1e9 A/m^2"
source                   = "fast, for the primary distribution"

[electrode.counter]
ion                      = "Li+"
exchange_current_density = "1e9 A/m^2"
source                   = "fast"

[[protocol.step]]
kind            = "galvanostatic"
current_density = "1 mA/cm^2"
until           = { time = "1 s" }
"""


def test_a_partial_contact_spreads_as_the_conformal_map_says(tmp_path):
    """Extra resistance of a strip 2a wide in a channel w wide: w ln(1/sin(πa/w))/(πκ)."""
    case = load_transport_case(cases.write(tmp_path / "contact", CONTACT))
    summary = run_transport(case, tmp_path / "out", MPI.COMM_SELF)
    extra = 2e-6 * math.log(1 / math.sin(math.pi / 4)) / (math.pi * 0.1) * 1e4
    assert summary["asr_split"]["ceramic, ohmic"] - 0.4 == pytest.approx(extra, rel=2e-2)
    assert summary["steps"][0]["current_density_mA_per_cm2"] == pytest.approx(1.0, rel=1e-9)
    assert summary["focusing_factor"] > 2  # twice by the share of the contact, more at its edges
    assert summary["constriction"]["ceramic"] > 1
    rows = table(tmp_path / "out" / "steps" / "1" / "spectrum.csv")
    rows = [[float(row[key]) for key in ("depth_m", "wavelength_m", "amplitude_over_mean_1")] for row in rows]
    first = {depth: abs(a) for depth, wave, a in rows if wave == pytest.approx(2e-6)}
    depth = sorted(first)[1:4]
    slope = np.polyfit(depth, np.log([first[d] for d in depth]), 1)[0]
    assert slope == pytest.approx(-math.pi * 1e6, rel=5e-2)  # waves of length λ die over λ/2π
