"""`multiscale picture` and `multiscale export`: written fields read back to the digit, drawn by PyVista, exported to XDMF."""

import importlib.util

import numpy as np
import pytest
from dolfinx import fem, io, mesh
from launch import python
from mpi4py import MPI
from PIL import Image
from typer.testing import CliRunner

from coupling.errors import UserError
from multiscale.cli import app
from multiscale.reporting import render, written_fields
from multiscale.reporting.render import Look, write_picture
from multiscale.reporting.written_fields import WrittenFields

DRAWS = importlib.util.find_spec("pyvista") is not None and render.library() is not None
needs_pyvista = pytest.mark.skipif(not DRAWS, reason="no PyVista here (make pictures)")
KINDS = {
    "triangle": lambda c: mesh.create_rectangle(c, [(0, 0), (2e-6, 3e-6)], (4, 5), mesh.CellType.triangle),
    "quad": lambda c: mesh.create_rectangle(c, [(0, 0), (2e-6, 3e-6)], (4, 5), mesh.CellType.quadrilateral),
    "tetra": lambda c: mesh.create_box(c, [(0, 0, 0), (2e-6, 3e-6, 1e-6)], (3, 4, 2), mesh.CellType.tetrahedron),
    "hexahedron": lambda c: mesh.create_box(c, [(0, 0, 0), (2e-6, 3e-6, 1e-6)], (3, 4, 2), mesh.CellType.hexahedron),
}


def written(folder, kind, comm=MPI.COMM_SELF):
    """The case folder of a run that wrote V = 1e6 x + 2e6 y - 1 and a displacement (x / 10, 0, …) into fields/cell.bp."""
    body = KINDS[kind](comm)
    d = body.geometry.dim
    scalar, vector = (fem.functionspace(body, ("DG", 1, shape)) for shape in ((), (d,)))
    potential, moved = fem.Function(scalar, name="potential_V"), fem.Function(vector, name="displacement_m")
    potential.interpolate(lambda x: 1e6 * x[0] + 2e6 * x[1] - 1)
    moved.interpolate(lambda x: 0.1 * x[:d] * (np.arange(d) == 0)[:, None])
    (folder / "results" / "fields").mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text('[geometry]\nkind = "mesh"\n', encoding="utf-8")
    with io.VTXWriter(comm, folder / "results" / "fields" / "cell.bp", [potential, moved], engine="BP4") as writer:
        writer.write(0.0)
    return folder


def size_of(fields: WrittenFields) -> float:
    """Area or volume of its cells, m² or m³, each cut into simplices that suit VTK's order of corners."""
    cut = {"triangle": [(0, 1, 2)], "quad": [(0, 1, 2), (0, 2, 3)], "tetra": [(0, 1, 2, 3)],
           "hexahedron": [(0, a, b, 6) for a, b in ((1, 2), (2, 3), (3, 7), (7, 4), (4, 5), (5, 1))]}[fields.kind]  # fmt: skip
    d, total = fields.dimension, np.zeros(len(fields.cells))
    for corners in cut:
        sides = fields.points[fields.cells[:, corners]]
        total += np.linalg.det((sides[:, 1:] - sides[:, :1])[..., :d]) / (2 if d == 2 else 6)
    return float(np.abs(total).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_read_as_they_were_written(tmp_path, kind):
    """Values belong to their points, and the corners of a cell are in VTK's order (its area or volume comes out)."""
    fields = written_fields.read(written_fields.find(written(tmp_path, kind) / "results"))
    assert fields.kind == kind
    assert fields.field("potential_V") == pytest.approx(1e6 * fields.points[:, 0] + 2e6 * fields.points[:, 1] - 1, abs=1e-12)
    assert fields.field("displacement_m")[:, 0] == pytest.approx(0.1 * fields.points[:, 0])
    assert size_of(fields) == pytest.approx(6e-12 if fields.dimension == 2 else 6e-18)
    with pytest.raises(UserError, match='no field "x" was written; there are: displacement_m, potential_V'):
        fields.field("x")


def test_parts_of_several_ranks_are_joined(tmp_path):
    code = f"""
import sys; sys.path.insert(0, "tests")
from pathlib import Path
from mpi4py import MPI
from test_picture import written
written(Path({str(tmp_path)!r}), "triangle", MPI.COMM_WORLD)
"""
    done = python(code, ranks=2)
    assert done.returncode == 0, done.stderr
    fields = written_fields.read(tmp_path / "results" / "fields" / "cell.bp")
    assert len(fields.cells) == 40
    assert size_of(fields) == pytest.approx(6e-12)
    assert fields.field("potential_V") == pytest.approx(1e6 * fields.points[:, 0] + 2e6 * fields.points[:, 1] - 1, abs=1e-12)


@pytest.mark.parametrize("name", ["all.xdmf", "all.vtu"])
def test_export_keeps_every_number(tmp_path, name):
    import meshio

    case = written(tmp_path, "tetra")
    done = CliRunner().invoke(app, ["export", str(case), "--out", str(tmp_path / name)])
    assert done.exit_code == 0, done.exception
    back, fields = meshio.read(tmp_path / name), written_fields.read(case / "results" / "fields" / "cell.bp")
    assert np.array_equal(back.point_data["potential_V"].ravel(), fields.field("potential_V"))
    assert np.array_equal(back.points, fields.points)
    assert np.array_equal(back.cells_dict["tetra"], fields.cells)


def test_the_last_step_is_taken_unless_one_is_named(tmp_path):
    for name in ("2", "10", "9-last"):
        (tmp_path / "steps" / name / "fields.bp").mkdir(parents=True)
    assert written_fields.find(tmp_path).parent.name == "10"
    assert written_fields.find(tmp_path, "9-last").parent.name == "9-last"
    with pytest.raises(UserError, match="steps with fields: 2, 9-last, 10"):
        written_fields.find(tmp_path, "3")
    with pytest.raises(UserError, match="no fields there; run the case"):
        written_fields.find(tmp_path / "none")


def drawn(fields: WrittenFields, path, **look) -> np.ndarray:
    """Pixels of a picture of the potential, shape (h, w, 3), from 0 to 255."""
    write_picture(fields, "potential_V", Look(pixels=400, **look), "title", path)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def coloured(pixels: np.ndarray) -> np.ndarray:
    """Which pixels of the left four fifths (the bar of colours is at the right) are neither grey nor white."""
    return np.ptp(pixels[:, : 4 * pixels.shape[1] // 5], axis=2) > 12


@needs_pyvista
def test_a_plane_field_rises_to_the_upper_right(tmp_path):
    """Colours of cividis: blue where the potential is low (lower left), yellow where it is high (upper right)."""
    fields = written_fields.read(written(tmp_path, "triangle") / "results" / "fields" / "cell.bp")
    pixels = drawn(fields, tmp_path / "plane.png")
    body = coloured(pixels)
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    yellow = pixels[..., 0] + pixels[..., 1] - 2 * pixels[..., 2]
    upper, lower = yellow[rows[3] + 3, columns[-1] - 4], yellow[rows[-1] - 3, columns[0] + 4]
    assert upper > 100 > 0 > lower
    wide = np.flatnonzero(coloured(drawn(fields, tmp_path / "warped.png", warp=10.0)).any(axis=0))
    assert np.ptp(wide) > 1.3 * np.ptp(columns)  # x is stretched to twice its length


@needs_pyvista
@pytest.mark.parametrize("kind", ["tetra", "hexahedron"])
def test_solids_are_drawn_whole_and_cut(tmp_path, kind):
    fields = written_fields.read(written(tmp_path, kind) / "results" / "fields" / "cell.bp")
    whole = coloured(drawn(fields, tmp_path / "whole.png")).sum()
    cut = coloured(drawn(fields, tmp_path / "cut.png", cut=("x", 0.5e-6))).sum()
    assert whole > 1.5 * cut > 1000
    with pytest.raises(UserError, match=r"lies outside the cell, from 0 m to 2 um"):
        drawn(fields, tmp_path / "not.png", cut=("x", 3e-6))
    assert not (tmp_path / "not.png").exists()


@needs_pyvista
def test_an_axisymmetric_field_is_turned(tmp_path):
    """The body of revolution is about twice as wide as the half plane it is made of (in its own unit of height)."""
    fields = written_fields.read(written(tmp_path, "triangle") / "results" / "fields" / "cell.bp")
    ratio = {}
    for flat in (True, False):
        body = coloured(drawn(fields, tmp_path / "turned.png", axisymmetric=True, flat=flat))
        ratio[flat] = np.ptp(np.flatnonzero(body.any(axis=0))) / np.ptp(np.flatnonzero(body.any(axis=1)))
    assert ratio[True] == pytest.approx(2 / 3, rel=0.1)
    assert ratio[False] > 1.5 * ratio[True]


def test_what_does_not_fit_is_refused(tmp_path):
    fields = written_fields.read(written(tmp_path, "triangle") / "results" / "fields" / "cell.bp")
    for look, told in (({"cut": ("x", None)}, "plane already"), ({"logarithmic": True}, "not positive everywhere")):
        with pytest.raises(UserError, match=told):
            drawn(fields, tmp_path / "not.png", **look)
    still = WrittenFields(fields.points, fields.cells, fields.kind, {"potential_V": fields.field("potential_V")})
    with pytest.raises(UserError, match="wrote no displacement_m"):
        drawn(still, tmp_path / "not.png", warp=2.0)


def test_missing_pyvista_is_told(tmp_path, monkeypatch):
    fields = written_fields.read(written(tmp_path, "triangle") / "results" / "fields" / "cell.bp")
    monkeypatch.setitem(__import__("sys").modules, "pyvista", None)
    with pytest.raises(UserError, match="make pictures"):
        drawn(fields, tmp_path / "not.png")
    monkeypatch.undo()
    if importlib.util.find_spec("pyvista") is not None:
        monkeypatch.setattr(render, "library", lambda: None)
        with pytest.raises(UserError, match=r"missing: libOSMesa or libEGL"):
            drawn(fields, tmp_path / "not.png")


@needs_pyvista
def test_the_command_draws_what_a_run_wrote(tmp_path):
    case = written(tmp_path, "tetra")
    options = ["--field", "potential_V", "--slice", "z=0.5 um", "--pixels", "300"]
    done = CliRunner().invoke(app, ["picture", str(case), *options])
    assert done.exit_code == 0, done.exception
    assert Image.open(case / "results" / "fields" / "potential_V.png").size == (300, 225)


@pytest.mark.parametrize(("options", "told"), [
    (["--slice", "u"], "an axis, x, y or z"), (["--slice", "z=2 s"], "--slice"), (["--out", "a.jpg"], "name it a.png"),
    (["--step", "4"], "no fields of such a step"),
])  # fmt: skip
def test_wrong_options_are_refused(tmp_path, options, told):
    outcome = CliRunner().invoke(app, ["picture", str(written(tmp_path, "triangle")), *options])
    assert isinstance(outcome.exception, UserError)
    assert told in str(outcome.exception)
