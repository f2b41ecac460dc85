"""Mistakes that a new user makes, and the sentence each is answered with: fifty in case files, fifty on the command line."""

import contextlib
import io
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from launch import ROOT, multiscale

from coupling.errors import UserError
from multiscale import cli
from multiscale.kinds import load_any, validate_any

CASES = {"initiation": "li-lpscl", "transport": "polymer-ceramic", "conduction": "contact-voids", "propagation": "penny-flaw"}
SI, DEG, MAX = 'depth       = "1 um"', '"25 degC"', '"100 mA/cm^2"'
FILES = [
    # units
    ("initiation", SI, 'depth = "1,0 um"', 'geometry.flaw.depth: read "1,0 um"', 'did you mean "1.0 um"?'),
    ("initiation", SI, "depth = 1e-6", "geometry.flaw.depth: read the bare number 1e-06", 'in quotes, for example "1e-06 m"'),
    ("initiation", SI, 'depth = "1"', 'geometry.flaw.depth: read "1" without a unit', 'for example "1 m"'),
    ("initiation", SI, 'depth = "one um"', 'geometry.flaw.depth: read "one um"', "not a number with a known unit"),
    ("initiation", SI, 'depth = "-1 um"', 'geometry.flaw.depth: read "-1 um"', "must be above 0 m"),
    ("initiation", DEG, '"25 C"', 'conditions.temperature: read "25 C"', 'did you mean "25 degC"?'),
    ("initiation", DEG, "25", "conditions.temperature: read the bare number 25", "with its unit in quotes"),
    ("initiation", DEG, '"-300 degC"', 'conditions.temperature: read "-300 degC"', "must be above 0 K"),
    ("initiation", '"5 MPa"', '"5 Mpa"', 'conditions.stack_pressure: read "5 Mpa"', 'did you mean "5 MPa"?'),
    ("initiation", '"5 MPa"', '"5 N"', 'conditions.stack_pressure: read "5 N"', "cannot be expressed in Pa"),
    ("initiation", MAX, '"100 mA/cm2"', 'protocol.maximum: read "100 mA/cm2"', 'did you mean "100 mA/cm^2"?'),
    ("initiation", MAX, '"100 mA"', 'protocol.maximum: read "100 mA"', "cannot be expressed in A/m^2"),
    ("initiation", '"0.01 mA/cm^2"', '"0 mA/cm^2"', 'protocol.first: read "0 mA/cm^2"', "must be above 0 A/m^2"),
    ("initiation", "disorder  = 0.25", 'disorder = "25 %"', 'atomistic.disorder: read "25 %"',
     "a number, without quotes or unit"),
    ("transport", 'time = "60 s"', "time = 60", "protocol.step.until.time: read the bare number 60", 'for example "60 s"'),
    ("conduction", 'window          = "5 nm"', 'window = "5"', 'conduction.window: read "5" without a unit', 'for example "5 m"'),
    ("conduction", "void_fraction      = 0.3", "void_fraction = 30", "geometry.contact.void_fraction: read 30", "equal to 0.95"),
    # names of keys and tables
    ("initiation", "[geometry]", "[geometri]", "geometri: unknown key", 'did you mean "geometry"?'),
    ("initiation", "[conditions]", "[condition]", "condition: unknown key", 'did you mean "conditions"?'),
    ("initiation", 'title    = "', 'titel    = "', "titel: unknown key", 'did you mean "title"?'),
    ("initiation", "mouth       =", "widht       =", "geometry.flaw.widht: unknown key", "allowed: at, depth"),
    ("initiation", "microstructures = 4", "", "uncertainty.microstructures: this key is missing", "add it"),
    ("propagation", "[time]", "[times]", "times: unknown key", 'did you mean "time"?'),
    ("propagation", "[fracture]", "[phase_field]", "fracture: this key is missing", "add it"),
    ("conduction", "[conduction]", "[conductivity]", "geometry.kind: read \"rough-contact\"", "add a [conduction] table"),
    ("transport", "closure = \"ohm\"", "closer = \"ohm\"", "transport.electrolyte.closer: unknown key",
     'did you mean "closure"?'),
    # the wrong kind of value
    ("initiation", "[[geometry.flaw]]", "[geometry.flaw]", "geometry.flaw: write a list", "[[name]] in double brackets"),
    ("initiation", 'mechanisms    = ["initiation"]', 'mechanisms    = "initiation"', "physics.mechanisms: read",
     "square brackets"),
    ("initiation", "lithium_creep = true", 'lithium_creep = "yes"', 'physics.lithium_creep: read "yes"', "true or false"),
    ("initiation", "lithium_creep = true", "lithium_creep = True", "not valid TOML: Invalid value",
     "truth values are true and false"),
    ("initiation", 'title    = "Lithium', "title    = Lithium", "not valid TOML: Invalid value", "texts stand in quotes"),
    ("initiation", "seed      = 1\n\n[geometry.e", "seed      = 1.5\n\n[geometry.e", "geometry.seed: read 1.5", "a whole number"),
    ("initiation", "samples         = 4000", "samples = 10", "uncertainty.samples: read 10", "greater than or equal to 100"),
    ("initiation", "[physics]", "[physics", "not valid TOML", "case.toml:37"),
    ("initiation", "[physics]", "[conditions]", "not valid TOML", "only once"),
    ("transport", "charge = -1", 'charge = "-1"', 'transport.interlayer.species.charge: read "-1"',
     "a whole number, without quotes"),
    # names that must be known
    ("initiation", '"quick"', '"fast"', "atomistic.quality: read 'fast'", "'quick', 'standard' or 'production'"),
    ("initiation", '"lpscl"', '"lpscI"', "atomistic.potential: ", "lpscl"),
    ("initiation", '"lpscl"', '"llzo"', "atomistic.potential: potential 'llzo' does not know Cl, P, S", "choose another"),
    ("initiation", '"Li2S"', '"Li2So"', "atomistic.phases: ", "Li2S"),
    ("initiation", '"grain-boundary"', '"grainboundary"', "geometry.flaw.at: read 'grainboundary'",
     "'grain-boundary' or 'grain'"),
    ("initiation", 'material       = "Li6PS5Cl"', 'material = "Li6PS5CL"', "unknown material", 'did you mean "Li6PS5Cl"?'),
    ("initiation", 'kind    = "steady-ramp"', 'kind = "ramp"', "protocol.kind: read 'ramp'", "allowed: 'steady-ramp'"),
    ("initiation", '"layered-polycrystal"', '"layered"', "geometry.kind: read 'layered'", "allowed: 'layered-polycrystal'"),
    ("transport", '"electroneutral"', '"neutral"', "transport.interlayer.closure: read 'neutral'", "'ohm', 'electroneutral'"),
    ("transport", 'kind  = "rest"', 'kind  = "pause"', "protocol.step.kind: read 'pause'", "'galvanostatic'"),
    ("transport", 'ion             = "Li+"\n', 'ion             = "Li"\n', 'electrode.working.ion: read "Li"',
     'did you mean "Li+"?'),
    ("transport", '["interlayer", "electrolyte"]', '["a", "b"]', "interface.between: read",
     'there are: ["interlayer", "electrolyte"]'),
    ("conduction", '"rough-contact"', '"rough"', 'geometry.kind: read "rough"', "allowed: rough-contact, "),
    ("conduction", 'mode      = "fills"', 'mode = "fill"', "geometry.interlayer.mode: read 'fill'", "'fills' or 'bridges'"),
    ("propagation", '"AT1"', '"AT3"', "fracture.model: read 'AT3'", "'AT1' or 'AT2'"),
    ("propagation", "increment = ", "incremnt = ", "protocol.incremnt: unknown key", 'did you mean "increment"?'),
    ("initiation", "lithium_creep = true", 'lithium_creep = true\nattribute = ["mechanical-inhomogeneity"]',
     "physics.attribute: read", "add [geometry.inhomogeneity], or take the name out"),
    ("initiation", "lithium_creep = true", 'lithium_creep = true\nattribute = ["flux-detour", "flux-detour"]',
     "physics.attribute: read", '"flux-detour" stands there twice'),
    ("propagation", "pressure_feedback = true", 'pressure_feedback = true\nattribute = ["lithium-creep", "lithium-creep"]',
     "physics.attribute: read", '"lithium-creep" stands there twice'),
    *[("propagation", "pressure_feedback = true", f'pressure_feedback = true\nattribute = ["{name}"]', "physics.attribute: read",
       f'"{name}" switches nothing off here: add ')
      for name in ("fatigue", "grain-boundaries", "stress-of-the-cell", "mechanical-inhomogeneity")],
    ("propagation", '["propagation"]', '["nucleation", "propagation"]', 'physics.mechanisms: read ["nucleation", "propagation"]',
     "`multiscale ccd CASE --beside OTHER` tells both"),
    ("initiation", '["initiation"]', '["initiation", "propagation"]', 'physics.mechanisms: read ["initiation", "propagation"]',
     "are cases of two kinds"),
    # values that no cell has
    ("propagation", 'hold      = "10 s"', 'hold = "1e300 s"', 'protocol.hold: read "1e300 s"', "ten years"),
    ("propagation", '"0 MPa"', '"10 GPa"', 'conditions.stack_pressure: read "10 GPa"', "it must be at most"),
    ("initiation", '"5 MPa"', '"10 GPa"', 'conditions.stack_pressure: read "10 GPa"', "it must be at most"),
    ("propagation", '"25 degC"', '"200 degC"', 'conditions.temperature: read "200 degC"', "lithium melts at 180.5 degC"),
    ("propagation", 'source = "', 'source = "  " # "', 'geometry.flaw.source: read "  "', "write where it comes from"),
    # values that do not fit together
    ("propagation", 'length   = "2 um"', 'length = "5 um"', 'fracture.length: read "5 um"', "a quarter of the flaw's depth"),
    ("propagation", 'increment = "2 mA/cm^2"', 'increment = "0 A/m^2"', "protocol.increment: read", "must be above 0 A/m^2"),
    ("propagation", 'first    = "0.5 s"', 'first = "10 s"', 'time.first: read "10 s"', "smallest, first, largest"),
    ("initiation", '"6 um"', '"6 mm"', 'geometry.width: read "6 mm"', "the cell needs about"),
    ("initiation", SI, 'depth = "3.9 um"', "geometry.flaw.depth_range: read", "depth must lie in it"),
    ("initiation", DEG, '"80 degC"', 'conditions.temperature: read "80 degC"', "known at 25 degC only"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "right", "wrong", "key", "mend"), FILES, ids=[f"{row[0]}: {row[2][:40]}" for row in FILES])
def test_a_mistake_in_a_case_file(tmp_path, kind, right, wrong, key, mend):
    text = (ROOT / "cases" / CASES[kind] / "case.toml").read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "case.toml").write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        validate_any(load_any(tmp_path))
    told = str(caught.value)
    assert key in told
    assert mend in told
    assert told.startswith(f"{tmp_path}/case.toml:")
    assert len(told.splitlines()) <= 3


COMMANDS = [
    ("check", "Missing argument 'CASE'. See `multiscale check --help`."),
    ("check nowhere", "nowhere: no such case folder; `multiscale new nowhere` makes one"),
    ("check case/case.toml", "give the case folder, not a file: case"),
    ("check notes.txt", "notes.txt: give the case folder, not a file"),
    ("check empty", "empty: not a case folder (it holds no case.toml); `multiscale new NAME` makes one"),
    ("check case transport", "unexpected extra argument(s) (transport). See `multiscale check --help`."),
    ("chek case", "No such command 'chek'. Did you mean 'check'"),
    ("run nowhere", "nowhere: no such case folder"),
    ("run case --out", "Option '--out' requires an argument"),
    ("run case --no-mdd", "No such option: --no-mdd (Possible options: --no-md)"),
    ("ccd case", "case/results/summary.json: not there yet; `multiscale run case` makes it"),
    ("ccd transport", "a transport case has no critical current; `multiscale report transport` tells its results"),
    ("ccd conduction", "a conduction case has no critical current"),
    ("report case", "not there yet; `multiscale run case` makes it"),
    ("compare nowhere", "nowhere: no such case folder"),
    ("compare case", "not there yet; `multiscale run case` makes it"),
    ("md conduction", "conduction: this case asks for steady conduction; wanted here is one that asks for a critical current"),
    ("md transport", "transport: this case asks for ion transport in time; wanted here is one that asks for a critical current"),
    ("md propagation", "fracture: this case asks for crack propagation; wanted here is one that asks for a critical current"),
    ("md nowhere.toml", "nowhere.toml: no such file"),
    ("verify V99", 'there is no problem "V99"; known are: V01'),
    ("sweep rnk", "Did you mean 'rank'"),
    ("new case", "case: exists already; choose another name"),
    ("new notes.txt/inside", "cannot be made (Not a directory); choose another place"),
    ("new x --kind transprot", '--kind: read "transprot"; did you mean "transport"?'),
    ("new", "Missing argument 'NAME'"),
    ("schema --sweep --transport", "--transport and --sweep: one schema at a time"),
    ("preview nowhere", "nowhere: no such case folder"),
    ("impedance conduction", "this case asks for steady conduction"),
    ("analyze difusivity run.traj", "No such command 'difusivity'. Did you mean 'diffusivity'"),
    ("analyze diffusivity none.traj", "Missing option '--species'. See `multiscale analyze diffusivity --help`."),
    ("analyze diffusivity none.traj --species Li --timestep '10 fs'", "none.traj: no such file"),
    ("analyze diffusivity notes.txt --species Li --timestep '10 fs'", "notes.txt: ASE cannot read it as a trajectory"),
    ("analyze diffusivity empty.traj --species Li --timestep '10 fs'", "empty.traj: ASE cannot read it as a trajectory"),
    ("analyze diffusivity notes.txt --species Li --timestep 10", '--timestep: read "10" without a unit; write for example "10 f'),
    ("analyze diffusivity notes.txt --species Li --timestep '10 s'", "frames of molecular dynamics lie less than 1 us apart"),
    ("analyze diffusivity notes.txt --species Li --timestep '10 nm'", '--timestep: read "10 nm", which cannot be expressed in s'),
    ("lithium squeeze --thickness '100 um' --diameter '1 mm' --to '20 um' --rate '1e-3 1/s' --temperature '250 degC'",
     '--temperature: read "250 degC"; it must be below 180.5 degC, at which lithium melts'),
    ("homogenize none.tif --phase '0=1 S/m'", "none.tif: no such file; give a segmented image (.tif, .tiff, .npy, .npz)"),
    ("homogenize image.npy", "Missing option '--phase'"),
    ("homogenize image.npy --phase 0", '--phase: read "0"; write LABEL=CONDUCTIVITY'),
    ("homogenize image.npy --phase 0=1", '--phase "0=1": read "1" without a unit'),
    ("homogenize image.npy --phase '1=1 S/m'", "image.npy: no voxel is labelled 1; the image holds 0 (64 voxels)"),
    ("homogenize notes.txt --phase '0=1 S/m'", "read a file ending in '.txt'; known are .tif"),
    ("sweep run transport", "sweeps vary cases that ask for a critical current"),
    ("sweep run empty", "empty: not a case folder"),
    ("sweep status nowhere", "nowhere: no such case folder"),
    ("sweep run case --engine slurm", '--engine: read "slurm"; allowed: local, sbatch, parsl'),
    ("sweep run case --slots 0", "Invalid value for '--slots'"),
    ("potential card lpsc", "Missing option '--held-out'"),
    ("potential train nowhere.toml", "Missing option '--out'"),
    ("replicas none.cif --copies 2 --temperature '600 K' --length '10 ps' --out runs",
     "none.cif: no structures that ASE can read"),
    ("replicas none.cif --copies 2 --temperature 600 --length '10 ps' --out runs", '--temperature: read "600" without a unit'),
    ("--verion", "No such option: --verion (Possible options: --version)"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    for name, shipped in {**CASES, "case": "li-lpscl"}.items():
        (folder / name).mkdir()
        for file in ("case.toml", "sweep.toml"):
            source = ROOT / "cases" / shipped / file
            if source.is_file() and (name == "case" or file == "case.toml"):
                (folder / name / file).write_bytes(source.read_bytes())
    (folder / "notes.txt").write_text("hello")
    (folder / "empty").mkdir()
    (folder / "empty.traj").write_text("")
    np.save(folder / "image.npy", np.zeros((4, 4, 4), dtype=np.uint8))
    return folder


@pytest.mark.parametrize(("line", "said"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_a_mistake_on_the_command_line(place, monkeypatch, line, said):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["multiscale", *shlex.split(line)])
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError) as caught, contextlib.redirect_stdout(io.StringIO()):
        cli._call()
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(place.rglob("*")) == before, "a refused command leaves nothing behind"


def test_there_are_fifty_of_each():
    assert len(FILES) >= 50
    assert len(COMMANDS) >= 50


def test_a_right_file_is_accepted():
    for name in CASES.values():
        validate_any(load_any(ROOT / "cases" / name))


def test_the_command_itself_tells_it_in_one_line(tmp_path):
    done = multiscale("chek", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not list(Path(tmp_path).iterdir())
