"""Conduction cases: every kind of geometry through check, preview and run; bad input told by file, line and key."""

import json
import re
import tomllib

import numpy as np
import pytest
import tiny_case
from expected_rows import require
from launch import ROOT, multiscale
from mpi4py import MPI
from PIL import Image

from coupling.errors import UserError
from meshes.session import gmsh_model
from meshes.shapes import draw_blocks
from multiscale.commands import preview
from multiscale.conduction.case import is_conduction_case, load_conduction_case, parameters
from multiscale.conduction.geometry import build
from multiscale.conduction.run import run_conduction
from multiscale.conduction.schema import KINDS, json_schema
from multiscale.kinds import load_any, validate_any
from multiscale.reporting.preview import picture, write_preview

STATED = 'conductivity = "0.1 S/m"\nsource = "stated for a test"'
REST = """
[conditions]
temperature = "25 degC"

[conduction]
current_density = "1 mA/cm^2"
window = "2 um"
"""
GEOMETRY = {
    "rough-contact": f"""
dimension = 2
width = "8 um"
seed = 2
[geometry.electrolyte]
{STATED}
thickness = "3 um"
[geometry.interlayer]
{STATED.replace("0.1", "1e-3")}
thickness = "80 nm"
mode = "bridges"
[geometry.contact]
roughness = "50 nm"
correlation_length = "1 um"
void_fraction = 0.4
""",
    "buried-cavity": f"""
dimension = 2
width = "8 um"
[geometry.electrolyte]
material = "Li6PS5Cl"
thickness = "6 um"
[geometry.cavity]
kind = "crack"
depth = "2 um"
half_length = "1 um"
half_opening = "50 nm"
tilt = "30 deg"
[geometry.cavity.filling]
{STATED}
""",
    "tip-on-crystal": f"""
dimension = 2
radius = "20 um"
[geometry.electrolyte]
{STATED}
thickness = "20 um"
[geometry.tip]
shape = "cone"
radius = "100 nm"
indentation = "1 um"
half_angle = "30 deg"
""",
    "layered-polycrystal": f"""
dimension = 3
width = "3 um"
breadth = "3 um"
seed = 1
[geometry.electrolyte]
{STATED}
thickness = "3 um"
grain_size = "1.5 um"
[geometry.interlayer]
{STATED}
thickness = "100 nm"
""",
    "packing": f"""
dimension = 3
particles = "particles.csv"
swell = 0.05
trim = "0.6 um"
[geometry.phases.particles]
{STATED}
""",
    "voxels": f"""
dimension = 3
image = "image.tif"
voxel = ["100 nm"]
coarsen = 2
lithium = ["left"]
counter = ["right"]
[[geometry.phase]]
name = "solid"
labels = "1..2"
{STATED}
""",
    "mesh": f"""
dimension = 2
file = "user.msh"
unit = "1 um"
lithium = ["bottom"]
counter = ["top"]
[geometry.regions.a]
{STATED}
[geometry.regions.b]
material = "Li6PS5Cl"
""",
}


def write(folder, kind, change=("", "")):
    """A case of a kind with the files it needs, one text replaced."""
    folder.mkdir(exist_ok=True)
    text = f'title = "test"\nquestion = "does it run?"\n[geometry]\nkind = "{kind}"{GEOMETRY[kind]}{REST}'
    assert not change[0] or text.count(change[0]) == 1, change
    (folder / "case.toml").write_text(text.replace(*change), encoding="utf-8")
    if kind == "packing":
        (folder / "particles.csv").write_text("x [um],y [um],z [um],radius [um]\n0,0,0,1\n0,0,2,1\n0,0,4,1\n", encoding="utf-8")
    if kind == "voxels":
        labels = np.random.default_rng(1).choice([0, 1, 2], p=[0.2, 0.5, 0.3], size=(12, 10, 8)).astype(np.uint8)
        first, *more = [Image.fromarray(page) for page in labels]
        first.save(folder / "image.tif", save_all=True, append_images=more)
    if kind == "mesh":
        import gmsh

        with gmsh_model("user"):
            draw_blocks([0.0, 2.0], [0.0, 1.0, 4.0], [["a"], ["b"]], 3)
            gmsh.write(str(folder / "user.msh"))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_and_conserves_current(tmp_path, kind):
    """Current in equals current out to 1e-10; the parts of the resistance add up; a second run finds the answer there."""
    case = load_conduction_case(write(tmp_path / "case", kind))
    summary = run_conduction(case, tmp_path / "out", MPI.COMM_WORLD)
    asr = dict(summary["asr_ohm_cm2"])
    assert summary["charge_balance"] < 1e-10
    assert asr.pop("total") == pytest.approx(sum(asr.values()))
    assert summary["cell_voltage_V"] == pytest.approx(summary["asr_ohm_cm2"]["total"] * 1e-3)
    assert summary["detour_factor"] > 0.999
    assert summary["focusing_factor"]["value"] > 0.999
    assert (tmp_path / "out" / "geometry.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "fields" / "conduction.bp").is_dir()
    assert run_conduction(case, tmp_path / "out", MPI.COMM_WORLD)["wall_s"] == summary["wall_s"]
    stored = json.loads((tmp_path / "out" / "parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert all(row["source"] for row in stored)


def test_series_resistance_of_the_users_mesh(tmp_path):
    """1 µm of 0.1 S/m and 3 µm of the material file's Li6PS5Cl; the file's hash is part of the case's."""
    case = load_conduction_case(write(tmp_path / "case", "mesh"))
    κ = parameters(case)[1]["b"]
    summary = run_conduction(case, tmp_path / "out", MPI.COMM_WORLD)
    assert summary["asr_ohm_cm2"]["total"] == pytest.approx((1e-6 / 0.1 + 3e-6 / κ) * 1e4, rel=1e-9)
    (case.folder / "user.msh").write_text((case.folder / "user.msh").read_text() + "\n")
    assert load_conduction_case(case.folder).digest != case.digest


@pytest.mark.parametrize("kind", ["buried-cavity", "layered-polycrystal"])
def test_the_picture_shows_every_region_and_boundary(tmp_path, kind):
    meshed = build(load_conduction_case(write(tmp_path / "case", kind)), MPI.COMM_SELF)
    drawing = picture("title", meshed)
    legend = [text.get_text() for text in drawing.axes[1].get_legend().get_texts()]
    assert set(meshed.domain.regions) <= set(legend)
    assert all(name in " ".join(legend) for name in meshed.domain.boundaries)
    assert f"{meshed.quality.cells}" in drawing.axes[1].texts[0].get_text()
    path = write_preview("title", meshed, tmp_path / "deep" / "picture.png")
    assert path.stat().st_size > 10_000


def test_a_picture_of_a_packing_has_no_box(tmp_path):
    meshed = build(load_conduction_case(write(tmp_path / "case", "packing")), MPI.COMM_SELF)
    assert meshed.cross_section == pytest.approx((2.1 - 1.2) ** 2 * 1e-12)
    assert set(meshed.domain.regions) == {"particles"}


SECOND = f'[[geometry.phase]]\nname = "{{}}"\nlabels = "{{}}"\n{STATED}\n[conditions]'
BAD = [
    ("rough-contact", ("roughness =", "rougness ="), "geometry.contact.rougness", 'did you mean "roughness"'),
    ("rough-contact", ('"50 nm"', "50"), "geometry.contact.roughness", "bare number 50"),
    ("rough-contact", ("void_fraction = 0.4", "void_fraction = 1.4"), "geometry.contact.void_fraction", "0.95"),
    ("rough-contact", ('"rough-contact"', '"rough-contcat"'), "geometry.kind", 'did you mean "rough-contact"'),
    ("rough-contact", ('mode = "bridges"', 'mode = "covers"'), "geometry.interlayer.mode", "allowed"),
    ("rough-contact", ("seed = 2\n", ""), "geometry.seed", "missing"),
    ("buried-cavity", ('half_length = "1 um"\n', ""), "geometry.cavity.half_length", "a crack needs half_length and half_op"),
    ("buried-cavity", ('tilt = "30 deg"', 'tilt = "30 um"'), "geometry.cavity.tilt", "cannot be expressed in degree"),
    ("buried-cavity", ('"Li6PS5Cl"', '"Li6PS5Br"'), "geometry.electrolyte.material", "did you mean"),
    ("tip-on-crystal", ('half_angle = "30 deg"\n', ""), "geometry.tip.half_angle", "a cone needs half_angle"),
    ("tip-on-crystal", ('source = "stated for a test"', ""), "geometry.electrolyte.source", "say where"),
    ("tip-on-crystal", ('radius = "20 um"', 'radius = "20 um"\nwidth = "1 um"'), "geometry.width", "unknown key"),
    ("layered-polycrystal", ("dimension = 3", "dimension = 2"), "geometry.dimension", "read 2; allowed: 3"),
    ("packing", ('"particles.csv"', '"none.csv"'), "geometry.particles", 'read "none.csv"'),
    ("voxels", ("[conduction]", "[conduction]\nspeed = 1"), "conduction.speed", "unknown key"),
    ("voxels", ('labels = "1..2"', 'labels = "1..x"'), "geometry.phase.labels", 'read "1..x"; write a whole number'),
    ("voxels", ("[conditions]", SECOND.format("rest", "2")), "geometry.phase.labels", "solid has labels of these, 1..2"),
    ("voxels", ("[conditions]", SECOND.format("solid", "0")), "geometry.phase.name", "two phases have this name"),
    ("mesh", ('unit = "1 um"', "unit = 1"), "geometry.unit", "bare number"),
    ("mesh", ('temperature = "25 degC"', 'temperature = "90 degC"'), "conditions.temperature", "known at 25 degC only"),
    ("mesh", ('material = "Li6PS5Cl"', 'material = "Li"'), "geometry.regions.b.material", "Li.ionic_conductivity is not known"),
    ("mesh", ('material = "Li6PS5Cl"', ""), "geometry.regions.b.material", "exactly one of material and conductivity"),
]


@pytest.mark.parametrize(("kind", "change", "key", "said"), BAD, ids=[f"{row[0]}-{row[2]}-{k}" for k, row in enumerate(BAD)])
def test_bad_input_names_file_line_and_key(tmp_path, kind, change, key, said):
    with pytest.raises(UserError) as caught:
        parameters(load_conduction_case(write(tmp_path / "case", kind, change)))
    told = str(caught.value)
    assert said in told
    assert f": {key}: " in told
    assert told.startswith(f"{tmp_path}/case/case.toml:")
    assert len(told.splitlines()) == 1


UNFIT = [
    ("rough-contact", ('correlation_length = "1 um"', 'correlation_length = "3 um"'), "geometry.contact.correlation_length"),
    ("buried-cavity", ('depth = "2 um"', 'depth = "0.2 um"'), "geometry.cavity.depth"),
    ("tip-on-crystal", ('indentation = "1 um"', 'indentation = "19 um"'), "geometry.tip.indentation"),
    ("layered-polycrystal", ('grain_size = "1.5 um"', 'grain_size = "15 nm"'), "geometry.electrolyte.grain_size"),
    ("packing", ("swell = 0.05", "swell = 0.001"), "geometry.particles"),
    ("packing", ("phases.particles", "phases.grains"), "geometry.phases"),
    ("voxels", ('lithium = ["left"]', 'lithium = ["side"]'), "geometry.lithium"),
    ("voxels", ("dimension = 3", "dimension = 2"), "geometry.image"),
    ("voxels", ("coarsen = 2", "coarsen = 20"), "geometry.coarsen"),
    ("voxels", ("coarsen = 2", "coarsen = 1\ncrop = [[0, 13], [0, 2], [0, 2]]"), "geometry.crop"),
    ("mesh", ('counter = ["top"]', 'counter = ["lid"]'), "geometry"),
    ("mesh", ("regions.b", "regions.c"), "geometry"),
    ("mesh", ("dimension = 2", "dimension = 3"), "geometry"),
]


def line_of(text, folder):
    lines = (folder / "case.toml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(text))


@pytest.mark.parametrize(("kind", "change", "key"), UNFIT, ids=[f"{row[0]}-{k}" for k, row in enumerate(UNFIT)])
def test_what_cannot_be_drawn_names_file_line_and_key(tmp_path, kind, change, key):
    """The line is that of the key, or of the table it belongs to."""
    case = load_conduction_case(write(tmp_path / "case", kind, change))
    with pytest.raises(UserError) as caught:
        build(case, MPI.COMM_SELF)
    *_, last = key.split(".")
    known = last in case.settings.geometry.model_fields or last in change[0]
    line = line_of(last if known else "[geometry", case.folder) if last not in ("geometry", "phases", "particles") else None
    told = str(caught.value)
    assert told.startswith(f"{case.folder}/case.toml:{line or ''}")
    assert f": {key}: " in told
    assert len(told.splitlines()) == 1


TRANSPORT = """
[transport.solid]
closure = "ohm"
[[transport.solid.species]]
name   = "Li+"
charge = 1
[electrode.working]
ion                      = "Li+"
exchange_current_density = "1 A/m^2"
source                   = "test"
[electrode.counter]
ion                      = "Li+"
exchange_current_density = "1 A/m^2"
source                   = "test"
[protocol]
[[protocol.step]]
kind  = "rest"
until = { time = "1 s" }
"""
IMAGES = {
    "empty": (None, "cannot be read as an image"), "no voxel": (np.zeros((0, 3, 3), np.uint8), "holds no voxel"),
    "no phase": (np.zeros((4, 4, 4), np.uint8), 'no voxel of phase "solid" (1..2); it holds the labels 0'),
    "plane": (np.ones((4, 4), np.uint8), "2 axes, and geometry.dimension is 3"),
    "halves": (np.full((4, 4, 4), 0.5), "values that are no labels such as 0.5"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("kind", ["conduction", "transport"])
def test_check_opens_the_image(tmp_path, kind, name):
    """What cannot be meshed is refused before anything starts, at the line of geometry.image."""
    labels, said = IMAGES[name]
    folder = write(tmp_path / "case", "voxels", ("image.tif", "image.npy"))
    if labels is None:
        (folder / "image.npy").touch()
    else:
        np.save(folder / "image.npy", labels)
    if kind == "transport":
        text = (folder / "case.toml").read_text(encoding="utf-8")
        (folder / "case.toml").write_text(text[: text.index("[conduction]")] + TRANSPORT, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        validate_any(load_any(folder))
    assert f"/case.toml:{line_of('image', folder)}: geometry.image: {folder}/image.npy: " in str(caught.value)
    assert said in str(caught.value)


def test_a_window_finer_than_the_mesh_is_refused(tmp_path):
    case = load_conduction_case(write(tmp_path / "case", "mesh", ('window = "2 um"', 'window = "2 nm"')))
    with pytest.raises(UserError, match=r"case\.toml:\d+: conduction\.window: read 2 nm; only 1 nodes of the mesh"):
        run_conduction(case, tmp_path / "out", MPI.COMM_WORLD)


def test_an_image_that_does_not_conduct_is_told(tmp_path):
    folder = write(tmp_path / "case", "voxels")
    np.save(folder / "image.npy", np.array([[[1, 1], [0, 0]], [[0, 0], [1, 1]], [[1, 1], [0, 0]]]))
    text = (folder / "case.toml").read_text().replace("image.tif", "image.npy").replace("coarsen = 2", "coarsen = 1")
    (folder / "case.toml").write_text(text.replace('labels = "1..2"', 'labels = "1"'))
    with pytest.raises(UserError, match="no path leads from electrode"):
        run_conduction(load_conduction_case(folder), tmp_path / "out", MPI.COMM_WORLD)


def test_other_solvers_refuse_these_geometries_and_say_what_solves_them(tmp_path):
    folder = write(tmp_path / "case", "tip-on-crystal")
    text = (folder / "case.toml").read_text()
    assert is_conduction_case(folder)
    (folder / "case.toml").write_text(text[: text.index("[conduction]")])
    for command in ("check", "run", "preview"):
        done = multiscale(command, folder)
        assert done.returncode == 2
        assert 'geometry.kind: read "tip-on-crystal"; ' in done.stderr
        assert "[conduction]" in done.stderr
        assert "[transport]" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_the_commands_work_on_a_case(tmp_path):
    folder = write(tmp_path / "case", "buried-cavity")
    checked = multiscale("check", folder, "--json")
    assert checked.returncode == 0, checked.stderr
    rows = {row["key"]: row for row in json.loads(checked.stdout)["parameters"]}
    assert rows["Li6PS5Cl.ionic_conductivity"]["value"] == pytest.approx(0.25)
    totals = []
    for ranks in (1, 2):
        out = tmp_path / f"out{ranks}"
        done = multiscale("run", folder, "--out", out, ranks=ranks)
        assert done.returncode == 0, done.stderr
        totals.append(json.loads((out / "summary.json").read_text())["asr_ohm_cm2"]["total"])
    assert totals[1] == pytest.approx(totals[0], rel=1e-8)
    written = multiscale("report", folder, "--out", tmp_path / "out1", "--figures")
    assert written.returncode == 0, written.stderr
    names = [line.rsplit("/", 1)[1] for line in written.stdout.split()]
    assert names == ["report.html", "resistance.svg", "resistance.png", "resistance.csv"]
    page = (tmp_path / "out1" / "report.html").read_text(encoding="utf-8")
    assert f"{totals[0]:.4g}" in page
    assert "data:image/png;base64," in page
    told = multiscale("ccd", folder)
    assert told.returncode == 2
    assert "has no critical current" in told.stderr


def test_preview_draws_any_kind_of_case(tmp_path):
    """A layered polycrystal of a critical-current case, and a conduction case as JSON."""
    done = multiscale("preview", tiny_case.write(tmp_path / "tiny"), "--out", tmp_path / "cell.png")
    assert done.returncode == 0, done.stderr
    assert "interphase" in done.stdout
    assert (tmp_path / "cell.png").stat().st_size > 10_000
    folder = write(tmp_path / "case", "buried-cavity")
    shown = multiscale("preview", folder, "--json")
    assert shown.returncode == 0, shown.stderr
    assert set(json.loads(shown.stdout)["mesh"]["regions"]) == {"electrolyte", "filling"}
    assert (folder / "results" / "geometry.png").is_file()
    assert multiscale("preview", folder, "--out", "cell.pdf").returncode == 2
    name, filament = preview._meshed(ROOT / "cases" / "penny-flaw")  # the cell of a propagation case, meshed as its run does
    assert (name, set(filament.domain.boundaries)) == ("penny-flaw", {"foot", "top", "left", "right"})
    assert filament.quality.regions["body"][1] == pytest.approx(40e-6 * 40e-6)
    with pytest.raises(UserError, match="there is no geometry to preview"):
        preview._meshed(ROOT / "cases" / "llzo-tip")


def test_the_examples_of_the_documentation_can_be_drawn(tmp_path):
    """Every [geometry] of docs/geometries.md, one of each kind."""
    text = (ROOT / "docs" / "geometries.md").read_text(encoding="utf-8")
    examples = [found for found in re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL) if "[transport" not in found]
    seen = []
    for number, example in enumerate(examples):
        kind = re.search(r'kind +\= "(.*?)"', example)[1]
        folder = write(tmp_path / str(number), kind)
        (folder / "case.toml").write_text(f'title = "t"\nquestion = "q"\n{example}{REST}', encoding="utf-8")
        case = load_conduction_case(folder)
        assert parameters(case)[1]
        assert build(case, MPI.COMM_SELF).quality.cells > 10
        seen.append(kind)
    assert sorted(seen) == sorted(KINDS)


def test_the_shipped_case_reproduces_its_expected_numbers(tmp_path):
    folder = ROOT / "cases" / "contact-voids"
    case = load_conduction_case(folder)
    summary, values = run_conduction(case, tmp_path, MPI.COMM_WORLD), parameters(case)[1]
    geometry = case.settings.geometry
    flat = geometry.electrolyte.thickness / values["electrolyte"] + geometry.interlayer.thickness / values["interlayer"]
    found = {
        "charge_balance": summary["charge_balance"],
        "resistance_over_flat_layers": summary["asr_ohm_cm2"]["total"] / (flat * 1e4),
        "lithium_over_cross_section": summary["lithium_area"] / summary["cross_section"],
        "focusing_factor": summary["focusing_factor"]["value"],
    }
    rows = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))["expected"]
    assert {row["quantity"] for row in rows} == set(found)
    for row in rows:
        require(row, found[row["quantity"]])


def test_the_schema_knows_every_kind():
    schema = json_schema()
    named = [alternative["properties"]["geometry"]["$ref"].rpartition("/")[2] for alternative in schema["oneOf"]]
    assert [schema["$defs"][name]["properties"]["kind"]["const"] for name in named] == list(KINDS)


def test_even_current_is_averaged_where_the_mesh_allows() -> None:
    """At the end of an electrode fewer nodes lie within the window; rounding must not choose that point."""
    from types import SimpleNamespace

    from coupling.errors import UserError
    from multiscale.conduction.steady import largest_focus

    places = np.column_stack([np.arange(7) * 1e-6, np.zeros(7), np.zeros(7)])
    area = np.array([0.5, 1, 1, 1, 1, 1, 0.5])
    current, self_alone = area.copy(), SimpleNamespace(comm=MPI.COMM_SELF, dimension=2)
    current[0] *= 1 + 1e-13
    assert largest_focus(self_alone, places, current, area, 2.5e-6) == pytest.approx(1.0)
    current[0] *= 1.1
    with pytest.raises(UserError, match="only 3 nodes of the mesh lie within it at the hottest point"):
        largest_focus(self_alone, places, current, area, 2.5e-6)
