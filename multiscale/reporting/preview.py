"""Picture of a geometry: its regions in colour, its named boundaries, and a table of the mesh beside it."""

import io
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np
from dolfinx import mesh
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from coupling.atomic import replacing
from coupling.units import told
from meshes.drawing import MeshQuality
from multiscale.domain import Domain
from multiscale.reporting.figures import PRINT, STYLE

FILLS = ("#9ecae1", "#fdae6b", "#a1d99b", "#d4b9da", "#fee391", "#bdbdbd", "#fbb4ae")
"""Colours of regions, light enough for the mesh on top."""
SHOWN_MESH = 20_000
"""Cells up to which the mesh itself is drawn."""
_RING = {3: [0, 1, 2], 4: [0, 1, 3, 2]}
"""Corners of a triangle or rectangle in the order around it."""


class Meshed(Protocol):
    """What can be drawn: a mesh of one process and its figures."""

    @property
    def domain(self) -> Domain:
        """Mesh with names."""

    @property
    def quality(self) -> MeshQuality:
        """Figures."""


def write_preview(title: str, meshed: Meshed, path: str | Path) -> Path:
    """Write the picture (PNG); a mesh in memory of this process alone. Call on one rank."""
    drawing = picture(title, meshed)
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        drawing.savefig(stream, format="png", dpi=160)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return path


def picture(title: str, meshed: Meshed) -> Figure:
    """The picture: geometry left, table right."""
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(9.6, 5.4), layout="constrained")
        drawing.patch.set_facecolor(PRINT.paper)
        grid = drawing.add_gridspec(1, 2, width_ratios=(1.75, 1.0))
        solid = meshed.domain.dimension == 3
        axes = drawing.add_subplot(grid[0, 0], projection="3d" if solid else None)
        unit, name = _unit(meshed.domain)
        handles = _solid(axes, meshed.domain, unit) if solid else _plane(axes, meshed, unit)
        axes.set_title(title, color=PRINT.ink)
        letters = ("r", "z") if meshed.domain.axisymmetric else ("x", "y", "z")
        for letter, axis in zip(letters, ("x", "y", "z") if solid else ("x", "y"), strict=False):
            getattr(axes, f"set_{axis}label")(f"{letter} ({name})")
        table = drawing.add_subplot(grid[0, 1])
        table.axis("off")
        table.legend(handles=handles, loc="upper left", borderaxespad=0.0, ncols=1 + (len(handles) > 8))
        table.text(0.0, 0.0, "\n".join(quality_lines(meshed.quality)), family="monospace", fontsize=7.5, va="bottom",
                   color=PRINT.ink, transform=table.transAxes)  # fmt: skip
    return drawing


def quality_lines(quality: MeshQuality) -> list[str]:
    """Table of a mesh."""
    kind = {1: "length (m)", 2: "area (m²)", 3: "volume (m³)"}[quality.dimension]
    rows = [
        ("cells", f"{quality.cells}"), ("nodes", f"{quality.nodes}"),
        ("shape, worst", f"{quality.worst_shape:.3f}"), ("shape, mean", f"{quality.mean_shape:.3f}"),
        ("poor cells", f"{100 * quality.poor:.2g} %"), ("shortest edge", told(quality.smallest_edge, "m")),
        ("longest edge", told(quality.largest_edge, "m")),
    ]  # fmt: skip
    lines = [f"{name:<14}{value:>16}" for name, value in rows]
    lines += ["", f"{'region':<14}{'cells':>8}{kind:>12}"]
    lines += [f"{name[:14]:<14}{cells:>8}{size:>12.4g}" for name, (cells, size) in quality.regions.items()]
    lines += ["", f"{'boundary':<14}{('', 'point', 'length (m)', 'area (m²)')[quality.dimension]:>20}"]
    lines += [f"{name[:18]:<18}{size:>16.4g}" for name, size in list(quality.boundaries.items())[:10]]
    return lines


def _unit(domain: Domain) -> tuple[float, str]:
    """Length of a unit of the axes, m, and its name."""
    size = float(np.ptp(domain.mesh.geometry.x, axis=0).max())
    return next(((u, n) for u, n in ((1e-3, "mm"), (1e-6, "µm")) if size > 2 * u), (1e-9, "nm"))


def _corners(domain: Domain, dimension: int, entities: np.ndarray) -> np.ndarray:
    """Places of the corners of entities, in the order around each, shape (n, corners, 3), m."""
    domain.mesh.topology.create_connectivity(dimension, 0)
    domain.mesh.topology.create_connectivity(dimension, domain.dimension)
    nodes = mesh.entities_to_geometry(domain.mesh, dimension, entities.astype(np.int32))
    ring = _RING.get(nodes.shape[1]) if dimension == 2 else None
    return domain.mesh.geometry.x[nodes[:, ring] if ring else nodes]


def _plane(axes: Any, meshed: Meshed, unit: float) -> list[Any]:
    """A mesh in the plane (a line is drawn as a strip)."""
    domain, handles = meshed.domain, list[Any]()
    thin = meshed.quality.cells <= SHOWN_MESH
    for number, name in enumerate(domain.regions):
        color = FILLS[number % len(FILLS)]
        corners = _corners(domain, domain.dimension, domain.cells(name))[:, :, :2] / unit
        edge, width = (PRINT.muted, 0.12) if thin else (color, 0.2)
        axes.add_collection(PolyCollection(list(corners), facecolor=color, edgecolor=edge, linewidth=width))
        handles.append(Patch(facecolor=color, label=name))
    for number, name in enumerate(domain.boundaries):
        facets = domain.facets(name)
        color = PRINT.series[number % len(PRINT.series)]
        lines = _corners(domain, 1, facets)[:, :2, :2] / unit
        style: Any = ("-", "--", ":")[number // len(PRINT.series) % 3]
        axes.add_collection(LineCollection(list(lines), colors=color, linewidths=1.8, linestyles=style))
        handles.append(Line2D([], [], color=color, linewidth=1.8, linestyle=style, label=name))
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.grid(False)
    return handles


def _solid(axes: Any, domain: Domain, unit: float) -> list[Any]:
    """The outer faces of a mesh of volumes, in the colour of the region behind each; the front corner is cut away."""
    handles, owner = list[Any](), np.zeros(len(domain.cells()), dtype=int)
    for number, name in enumerate(domain.regions):
        owner[domain.cells(name)] = number
        handles.append(Patch(facecolor=FILLS[number % len(FILLS)], label=name))
    topology = domain.mesh.topology
    topology.create_connectivity(2, 3)
    topology.create_connectivity(3, 2)
    low, high = domain.mesh.geometry.x.min(axis=0), domain.mesh.geometry.x.max(axis=0)
    middles = mesh.compute_midpoints(domain.mesh, 3, domain.cells())
    kept = ~np.all((middles - low) / (high - low) > [0.5, -1.0, 0.5], axis=1) | (middles[:, 1] > (low + high)[1] / 2)
    link = topology.connectivity(2, 3)
    faces, colors = [], []
    for facet in range(topology.index_map(2).size_local):
        cells = [cell for cell in link.links(facet) if kept[cell]]
        if len(cells) == 1:
            faces.append(facet)
            colors.append(FILLS[owner[cells[0]] % len(FILLS)])
    corners = _corners(domain, 2, np.array(faces)) / unit
    width = 0.15 if len(faces) <= SHOWN_MESH else 0.0
    axes.add_collection3d(Poly3DCollection(corners, facecolors=colors, edgecolors=PRINT.muted, linewidths=width))
    for axis, set_limits in enumerate((axes.set_xlim, axes.set_ylim, axes.set_zlim)):
        set_limits(low[axis] / unit, high[axis] / unit)
    axes.set_box_aspect((high - low) / (high - low).max())
    axes.view_init(elev=22, azim=-60)
    names = ", ".join(domain.boundaries)
    handles.append(Line2D([], [], linestyle="none", label=f"faces: {names[:60]}"))
    return handles
