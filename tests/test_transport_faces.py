"""Films, double layers and thin grain boundaries by case key: equal to the resolved mesh and to closed forms; refusals."""

import numpy as np
import pytest
import transport_cases as cases
from mpi4py import MPI
from transport_cases import solved

from coupling.errors import UserError
from meshes.session import gmsh_model
from meshes.shapes import draw_blocks
from multiscale.transport.impedance import impedance
from multiscale.transport_cases.case import load_transport_case
from multiscale.transport_cases.geometry import build
from multiscale.transport_cases.impedance import Charging, resting_cell
from multiscale.transport_cases.inputs import resolve
from multiscale.transport_cases.run import run_transport

STEP = '[[protocol.step]]\nkind = "galvanostatic"\ncurrent_density = "-5 mA/cm^2"\nuntil = { time = "1 s" }\n\n'
START, END = cases.FLAT.index("[[protocol.step]]"), cases.FLAT.index("[output]")
SHORT = cases.FLAT[:START] + STEP + "[output]\nprofiles = 2\nfields = false\n"
"""The flat case with one step at a moderate current."""
FACE = 'between         = ["polymer", "ceramic"]\nion             = "Li+"\ncharge_transfer = "PPC-LLZO-interface"\n'
STATED = 'film = { thickness = "20 nm", conductivity = "2e-5 S/m", relative_permittivity = 10, source = "test" }\n'
COATING = '[[geometry.layer]]\nname = "coating"\nmaterial = "LLZO"\nthickness = "20 nm"\n\n'
CERAMIC = '[[geometry.layer]]\nname      = "ceramic"'
OHM = '[transport.coating]\nclosure = "ohm"\n[[transport.coating.species]]\nname = "Li+"\ncharge = 1\n\n[transport.ceramic]'


def test_a_film_equals_the_meshed_coating(tmp_path):
    """20 nm between polymer and ceramic: as a layer of the mesh, and as a film of the interface."""
    material = 'name = "coating"\n[[property]]\nquantity = "ionic_conductivity"\nvalue = "2e-5 S/m"\nkind = "assumed"\n'
    material += 'conditions = { temperature = "25 degC" }\nsource = "test"\nconfidence = "low"\ngrade = "C"\n'
    (tmp_path / "meshed" / "materials").mkdir(parents=True)
    (tmp_path / "meshed" / "materials" / "coating.toml").write_text(material, encoding="utf-8")
    ideal = '\n[[interface]]\nbetween = ["coating", "ceramic"]\nion = "Li+"\nresistance = "1e-12 ohm m^2"\nsource = "none"\n'
    layered = cases.edited(
        SHORT, (CERAMIC, COATING.replace("LLZO", "coating") + CERAMIC), ("[transport.ceramic]", OHM),
        (FACE, FACE.replace('"ceramic"]', '"coating"]') + ideal),
    )  # fmt: skip
    meshed = solved(tmp_path / "meshed", layered)
    film = solved(tmp_path / "film", cases.edited(SHORT, (FACE, FACE + STATED)))
    bare = solved(tmp_path / "bare", SHORT)
    assert film["asr_ohm_cm2"] == pytest.approx(meshed["asr_ohm_cm2"], rel=1e-6)
    assert film["asr_split"]["polymer|ceramic, film"] == pytest.approx(10.0, rel=1e-6)
    assert film["asr_ohm_cm2"] - bare["asr_ohm_cm2"] == pytest.approx(10.0, rel=1e-2)  # its charging is over by then
    assert film["steps"][0]["asr_unaccounted_ohm_cm2"] == pytest.approx(0, abs=1e-9)


def test_capacitances_of_the_case_make_arcs(tmp_path):
    """Double layer and film of the case, permittivity of its ceramic: each its own R parallel C, without an option."""
    working = 'ion             = "Li+"\ncharge_transfer = "Li-PPC-interface"\n'
    layer = 'double_layer = "0.2 F/m^2"\nsource = "test"\n'
    ceramic = '[transport.ceramic]\nclosure = "ohm"\n'
    text = cases.edited(SHORT, (working, working + layer), (FACE, FACE + STATED),
                        (ceramic, ceramic + 'relative_permittivity = 60\nsource = "test"\n'))  # fmt: skip
    system, inputs, _ = resting_cell(load_transport_case(cases.write(tmp_path, text)), Charging(), MPI.COMM_SELF)
    f = np.array([1e6, 1e3, 1.0])
    parts = {(p.place, p.cause): p.impedance for p in impedance(system, "working", f).parts}
    ω, ε = 2j * np.pi * f, 8.8541878128e-12
    film, δ = 20e-9 / 2e-5, 20e-9
    assert parts["polymer|ceramic", "film"] == pytest.approx(film / (1 + ω * film * 10 * ε / δ), rel=1e-6)
    κ = inputs.media["ceramic"].conductivity
    assert parts["ceramic", "conduction"] == pytest.approx(6e-6 / (κ + ω * 60 * ε), rel=1e-6)
    i0 = inputs.faces["electrode", "working"].exchange_current_density
    transfer = 8.314462618 * 298.15 / (96485.33212 * i0)
    assert parts["working", "charge transfer"] == pytest.approx(transfer / (1 + ω * transfer * 0.2), rel=1e-6)


GRAINS = """\
title    = "Two grains"
question = "Does the boundary add its resistance?"

[geometry]
kind      = "mesh"
dimension = 2
file      = "grains.msh"
unit      = "1 um"
lithium   = ["bottom"]
counter   = ["top"]
[geometry.regions]
a = { conductivity = "0.1 S/m", source = "test" }
b = { conductivity = "0.1 S/m", source = "test" }

[conditions]
temperature = "25 degC"

[transport.ceramic]
closure        = "ohm"
regions        = ["a", "b"]
grain_boundary = { material = "LLZO-boundary", width = "5 nm", model = "thin" }
[[transport.ceramic.species]]
name   = "Li+"
charge = 1

[electrode.working]
ion                      = "Li+"
exchange_current_density = "20 A/m^2"
source                   = "test"
[electrode.counter]
ion                      = "Li+"
exchange_current_density = "20 A/m^2"
source                   = "test"

[[protocol.step]]
kind            = "galvanostatic"
current_density = "1 mA/cm^2"
until           = { time = "1 s" }

[output]
fields = false
"""


def grains(folder, text=GRAINS, columns=False):
    """A case on a user's mesh of two grains, one above the other or side by side."""
    import gmsh

    cases.write(folder, text)
    with gmsh_model("grains"):
        x, y, names = ([0.0, 1.0, 2.0], [0.0, 2.0], [["a", "b"]]) if columns else ([0.0, 2.0], [0.0, 1.0, 2.0], [["a"], ["b"]])
        draw_blocks(x, y, names, 4)
        gmsh.write(str(folder / "grains.msh"))
    return load_transport_case(folder)


def test_a_thin_boundary_across_the_current_adds_its_resistance(tmp_path):
    found = run_transport(grains(tmp_path), tmp_path / "out", MPI.COMM_SELF)
    split = found["asr_split"]
    assert split["ceramic, grain boundaries"] == pytest.approx(1e4 * 5e-9 * (1 / 0.005 - 1 / 0.1), rel=1e-6)
    assert split["ceramic, ohmic"] == pytest.approx(1e4 * 2e-6 / 0.1, rel=1e-6)
    assert found["steps"][0]["asr_unaccounted_ohm_cm2"] == pytest.approx(0, abs=1e-9)
    assert found["charge_balance"] < 1e-10
    assert found["detour_factor"] == pytest.approx(1.0, abs=1e-9)  # straight through


def test_one_electrode_touches_both_grains_with_laws_of_their_own(tmp_path):
    """Side by side as two media: the mesh decides what touches what, and the case must describe it."""
    both = GRAINS.replace('regions        = ["a", "b"]\n', "").replace(
        'grain_boundary = { material = "LLZO-boundary", width = "5 nm", model = "thin" }\n', ""
    )
    table = both[both.index("[transport.ceramic]") : both.index("[electrode.working]")]
    both = both.replace(table, table.replace("ceramic", "a") + table.replace("ceramic", "b"))
    other = '[electrode.working.on.b]\nion = "Li+"\nexchange_current_density = "80 A/m^2"\nsource = "test"\n'
    both = both.replace("[electrode.counter]", other + "[electrode.counter]")
    case = grains(tmp_path / "bare", both, columns=True)
    with pytest.raises(UserError, match=r"case\.toml:\d+: interface: \[\[interface\]\] of a and b is missing"):
        build(case, resolve(case), MPI.COMM_SELF)
    seam = '[[interface]]\nbetween = ["a", "b"]\nion = "Li+"\nresistance = "1e-4 ohm m^2"\nsource = "test"\n\n'
    case = grains(tmp_path / "seam", both.replace("[[protocol.step]]", seam + "[[protocol.step]]"), columns=True)
    cell = build(case, resolve(case), MPI.COMM_SELF)
    assert cell.touches == {"working": {"working|a": "a", "working|b": "b"}, "counter": {"counter|a": "a", "counter|b": "b"}}
    assert [(m.first, m.second) for m in cell.meetings["a", "b"]] == [("a", "b")]
    assert cell.length == pytest.approx(2e-6)
    wrong = grains(tmp_path / "stacked", both.replace("[[protocol.step]]", seam + "[[protocol.step]]"))
    with pytest.raises(UserError, match="the working electrode does not touch b"):
        build(wrong, resolve(wrong), MPI.COMM_SELF)


REFUSED = [
    (FACE, FACE + STATED.replace(', source = "test"', ""), "say with source where"),
    (FACE, FACE + 'film = { thickness = "20 nm" }\n', "exactly one of material and conductivity"),
    (FACE, FACE + 'double_layer = "1 F/m^2"\n', "say where the numbers come from"),
    (FACE, FACE + 'double_layer = "1 F"\n', "cannot be expressed in F/m\\^2"),
    ('closure = "electroneutral"', 'closure = "electroneutral"\nregions = ["a"]', "the media of a flat cell are its layers"),
    ("[electrode.counter]", '[electrode.working.on.ceramic]\nion = "Li+"\ncharge_transfer = "Li-LLZO-interface"\n'
     "[electrode.counter]", "touches polymer alone"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), REFUSED, ids=[row[2][:30] for row in REFUSED])
def test_wrong_faces_are_refused(tmp_path, old, new, told):
    with pytest.raises(UserError, match=told) as caught:
        load_transport_case(cases.write(tmp_path, cases.edited(SHORT, (old, new))))
    assert "case.toml:" in str(caught.value)


UNKNOWN = [
    ('regions        = ["a", "b"]', 'regions = ["a", "c"]', 'no region "c"; it has: a, b'),
    ('regions        = ["a", "b"]', 'regions = ["a"]', "two regions or more"),
    (', model = "thin"', "", 'add model = "thin"'),
    ('file      = "grains.msh"', 'file = "other.msh"', "no such file"),
]


@pytest.mark.parametrize(("old", "new", "told"), UNKNOWN, ids=[row[2][:30] for row in UNKNOWN])
def test_wrong_structures_are_refused(tmp_path, old, new, told):
    with pytest.raises(UserError, match=told):
        grains(tmp_path, cases.edited(GRAINS, (old, new)))
