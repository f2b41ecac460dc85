"""Pictures of written fields by PyVista, off-screen: plane fields, bodies of revolution, solids with a cut through them."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coupling.atomic import replacing
from coupling.errors import UserError
from coupling.units import told
from multiscale.reporting.written_fields import WrittenFields

if TYPE_CHECKING:
    import pyvista

MISSING = "pictures of fields need PyVista and a library to draw off-screen: `make pictures` adds both"
VTK_CELL = {"triangle": 5, "quad": 9, "tetra": 10, "hexahedron": 12}
TURN, PIECES = 270.0, 60
"""Angle through which an axisymmetric plane is turned, degrees, and pieces of it; what is left open shows the inside."""
DISPLACEMENT = "displacement_m"
UNITS = {1e-3: "mm", 1e-6: "um", 1e-9: "nm"}
"""Names of the units of the axes; VTK's letters are ASCII."""
ROUNDING = 1e-9
"""Differences of places or values below this share of their span are rounding: corners there are one point."""
OUTSIDE = "#d9d9d9"
"""Colour where a field has no value (an ion outside its medium)."""


@dataclass(frozen=True)
class Look:
    """How a field is drawn.

    Attributes:
        cut: axis ("x", "y", "z") and place (m; None: the middle) of a plane through a solid.
        warp: points are moved by this many times the displacement; None as they are.
        axisymmetric: the cells are the half plane (r, z).
        flat: it is drawn as such, not turned about its axis r = 0.
        logarithmic: colour scale.
        pixels: width of the picture.
    """

    cut: tuple[str, float | None] | None = None
    warp: float | None = None
    axisymmetric: bool = False
    flat: bool = False
    logarithmic: bool = False
    pixels: int = 1200

    @property
    def revolved(self) -> bool:
        """Whether a half plane is turned about its axis."""
        return self.axisymmetric and not self.flat


def library() -> str | None:
    """VTK's window that works here without a screen, None where there is none. To be asked before VTK draws: it would crash."""
    for name, window in (("libOSMesa.so.8", "vtkOSOpenGLRenderWindow"), ("libEGL.so.1", "vtkEGLRenderWindow")):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return window
    return None


def load_pyvista() -> Any:
    """PyVista, told how to draw off-screen. Raises UserError where it or its library is missing."""
    try:
        import pyvista
    except ImportError as error:
        raise UserError(f"{MISSING} (missing: {error.name or 'pyvista'})") from error
    window = library()
    if window is None:
        raise UserError(f"{MISSING} (missing: libOSMesa or libEGL)")
    os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = window
    return pyvista


def write_picture(fields: WrittenFields, name: str, look: Look, title: str, path: Path) -> Path:
    """Draw one field (the magnitude of a vector) into a PNG.

    Raises:
        UserError: no such field, a look that does not fit it, or PyVista is missing.
    """
    _require_fitting(fields, name, look)
    pv = load_pyvista()
    grid, unit = _grid(pv, fields, name, look)
    plotter = pv.Plotter(off_screen=True, window_size=[look.pixels, round(0.75 * look.pixels)])
    plotter.set_background("white")
    _add(plotter, fields.dimension, grid if look.cut is None else _cut(grid, look.cut, unit), name, look)
    if look.cut is not None:
        plotter.add_mesh(grid.outline(), color="black")
    plotter.add_text(title, font_size=10, color="black", position="upper_left")
    _frame(plotter, fields.dimension, UNITS[unit], look)
    with replacing(path) as temporary:
        plotter.screenshot(str(temporary))
    plotter.close()
    return path


def _require_fitting(fields: WrittenFields, name: str, look: Look) -> None:
    """Refuse what cannot be drawn. Raises UserError."""
    values = magnitude(fields.field(name))
    if fields.dimension == 1:
        raise UserError("a 1-D cell has no picture; its profiles lie in profiles.csv")
    if look.cut is not None and fields.dimension == 2:
        raise UserError("--slice: the field is plane already; leave --slice out")
    if look.warp is not None and DISPLACEMENT not in fields.values:
        raise UserError(f"--warp: the run wrote no {DISPLACEMENT}; only cases with mechanics do; leave --warp out")
    if look.logarithmic and not np.nanmin(values, initial=np.inf) > 0:
        raise UserError(f"--log: {name} is not positive everywhere (from {np.nanmin(values):.3g}); leave --log out")


def magnitude(values: np.ndarray) -> np.ndarray:
    """A scalar as it is, the length of a vector."""
    return values if values.ndim == 1 else np.linalg.norm(values, axis=1)


def _grid(pv: Any, fields: WrittenFields, name: str, look: Look) -> tuple["pyvista.UnstructuredGrid", float]:
    """The cells with the field at their points, in a unit near their size, and that unit, m."""
    size = float(np.ptp(fields.points, axis=0).max())
    unit = next((u for u in UNITS if size > 2 * u), 1e-9)
    moved = 0.0 if look.warp is None else look.warp * np.nan_to_num(fields.field(DISPLACEMENT))
    count, corners = fields.cells.shape
    joined = np.hstack([np.full((count, 1), corners), fields.cells])
    points = _rounded((fields.points + moved) / unit, size / unit)
    grid = pv.UnstructuredGrid(joined.ravel(), np.full(count, VTK_CELL[fields.kind], dtype=np.uint8), points)
    grid.point_data[name] = magnitude(fields.field(name))
    return grid, unit


def _rounded(values: np.ndarray, span: float) -> np.ndarray:
    """Values without digits below the rounding of their span, so that a place at zero is not labelled 1e-17."""
    return np.rint(values / (ROUNDING * span)) * (ROUNDING * span) + 0.0 if span > 0 else values


def _add(plotter: Any, dimension: int, body: Any, name: str, look: Look) -> None:
    """The coloured body, and the rim of a plane one. The colours span the values of what is drawn."""
    limits = [float(np.nanmin(body[name])), float(np.nanmax(body[name]))]
    if not look.logarithmic:
        limits = [float(end) for end in _rounded(np.array(limits), limits[1] - limits[0])]
    bar = {"title": f"{name}{' (log scale)' if look.logarithmic else ''}", "color": "black", "title_font_size": 14,
           "label_font_size": 14, "fmt": "%.3g", "n_labels": 5, "vertical": True, "height": 0.6, "width": 0.06,
           "position_x": 0.86, "position_y": 0.2}  # fmt: skip
    style = {"scalars": name, "cmap": "cividis", "clim": limits, "nan_color": OUTSIDE, "log_scale": look.logarithmic,
             "scalar_bar_args": bar}  # fmt: skip
    for part in _revolved(body) if look.revolved else [body]:
        plotter.add_mesh(part, **style, lighting=look.revolved or (dimension == 3 and look.cut is None))
    if dimension == 2 and not look.revolved:
        plotter.add_mesh(_edges(body), color="black", line_width=1.5)


def _cut(grid: Any, cut: tuple[str, float | None], unit: float) -> Any:
    """The plane through a solid. Raises UserError where it misses it."""
    axis, origin = "xyz".index(cut[0]), np.array(grid.center)
    low, high = grid.bounds[2 * axis], grid.bounds[2 * axis + 1]
    if cut[1] is not None:
        origin[axis] = cut[1] / unit
    if not low <= origin[axis] <= high:
        ends = f"from {told(low * unit, 'm')} to {told(high * unit, 'm')}"
        raise UserError(f"--slice {cut[0]}: {told(origin[axis] * unit, 'm')} lies outside the cell, {ends}")
    return grid.slice(normal=cut[0], origin=origin)


def _edges(grid: Any) -> Any:
    """Lines on the rim of a plane body; corners of its cells that lie on each other are joined first."""
    return grid.extract_surface(algorithm="dataset_surface").clean(tolerance=1e-7).extract_feature_edges(
        boundary_edges=True, feature_edges=False, manifold_edges=False, non_manifold_edges=False
    )


def _revolved(grid: Any) -> list[Any]:
    """The plane (r, z) turned about r = 0: its two open faces and its skin. z becomes the vertical axis of space."""
    standing = grid.copy()
    standing.points = np.column_stack([grid.points[:, 0], np.zeros(grid.n_points), grid.points[:, 1]])
    skin = _edges(standing).extrude_rotate(angle=TURN, resolution=PIECES, capping=False)
    return [standing, standing.rotate_z(TURN, inplace=False), skin]


def _frame(plotter: Any, dimension: int, unit: str, look: Look) -> None:
    """View and labelled axes."""
    plane = dimension == 2 and not look.revolved
    letters = ("r", "z", "") if plane and look.axisymmetric else ("x", "y", "z")
    titles = {f"{axis}title": f"{letter} ({unit})" for axis, letter in zip("xyz", letters, strict=True)}
    ranges = [float(f"{end:.6g}") for end in plotter.bounds]  # what is 2 - 1e-9 is labelled 2
    plotter.show_bounds(location="outer", color="black", grid=False, font_size=14, n_xlabels=3, n_ylabels=3, n_zlabels=3,
                        fmt="%.3g", axes_ranges=ranges, **titles)  # fmt: skip
    if plane:
        plotter.view_xy()
        plotter.enable_parallel_projection()
    else:
        plotter.view_isometric()
        if look.revolved:
            plotter.camera.azimuth = -90
    plotter.camera.zoom(0.75)
