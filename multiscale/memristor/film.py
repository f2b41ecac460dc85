"""The film of a memristor case: its first two loops, with the filament in the layer and the potential of electrons around it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from dolfinx import fem
from matplotlib.patches import Rectangle
from matplotlib.tri import LinearTriInterpolator, Triangulation
from mpi4py import MPI

from meshes.drawing import Sizes
from meshes.filament_gap import FilamentGap, draw
from multiscale.conduction.steady import Conduction
from multiscale.memristor.field import NARROWEST
from multiscale.memristor.figure import LEAST_A
from multiscale.reporting.animation import blank, picture
from multiscale.structures import drawn

ASIDE = 0.12
"""Of the layer's thickness that is shown on either side of the filament."""
GRID = (41, 121)
"""Points across and along at which the potential is shown."""
BRIDGED = 0.01
"""Share of the largest current from which metal carries it: the source's voltage lies then along wire, contact and circuit."""
COARSE = Sizes(0.5)
"""Mesh of the pictures' fields."""
Loop = Mapping[str, np.ndarray]


def loop_of(rows: Sequence[Mapping[str, float | None]], cycles: Sequence[float]) -> Loop:
    """Columns of loops.csv over some cycles, one after the other."""
    chosen = [row for row in rows if row["cycle"] in cycles]
    names = ("cycle", "voltage_V", "current_A", "length_m")
    return {name: np.array([row[name] for row in chosen], dtype=float) for name in names}


def moments(loop: Loop, frames: int) -> np.ndarray:
    """Numbers of the points that are shown: evenly along the path of voltage and length together."""
    path = sum(np.abs(np.diff(loop[name], prepend=loop[name][0])) / np.ptp(loop[name]) for name in ("voltage_V", "length_m")
               if np.ptp(loop[name]) > 0)  # fmt: skip
    along = np.cumsum(np.broadcast_to(path, loop["voltage_V"].shape))
    return np.unique(np.searchsorted(along, np.linspace(0.0, along[-1] * (1 - 1e-9), frames)))


def film(rows: Sequence[Mapping[str, float | None]], thickness: float, radius: float, electrode: float, frames: int,
         pixels: int) -> Iterator[Any]:  # fmt: skip
    """Pictures of the first two cycles.

    Args:
        rows: of loops.csv.
        thickness, radius, electrode: of the layer, the filament and the electrode, m.
        frames, pixels: how many, and how wide.
    """
    loop = loop_of(rows, (1.0, 2.0))
    fields: dict[float, np.ndarray] = {}
    for k in moments(loop, frames):
        length = max(float(loop["length_m"][k]), 0.0)
        solved = min(length, thickness - 2 * NARROWEST * radius)
        if abs(loop["current_A"][k]) >= BRIDGED * np.abs(loop["current_A"]).max():
            solved = np.inf
            fields[solved] = np.full((GRID[1], GRID[0]), np.nan)
        elif solved not in fields:
            drawn_length = solved if solved > 0.01 * radius else 0.0
            fields[solved] = potential(FilamentGap(radius, drawn_length, thickness, electrode, COARSE))
        yield _picture(loop, int(k), fields[solved], thickness, radius, electrode, pixels)


def potential(gap: FilamentGap) -> np.ndarray:
    """Share of the voltage that electrons see between a place and the counter electrode, on GRID (along, across).

    ∇²φ = 0 in the layer, φ = 1 on filament and electrode, 0 on the counter electrode (`memristor.field`: one conductivity).
    """
    domain, _ = drawn(partial(draw, gap), MPI.COMM_SELF, axisymmetric=True)
    metal = [name for name in ("tip", "wall", "electrode") if name in domain.boundaries]
    conduction = Conduction(domain, {"layer": 1.0}, metal, ["counter"])
    conduction.solve()
    corners = fem.Function(fem.functionspace(domain.mesh, ("P", 1)))
    corners.interpolate(conduction.potential)
    places = corners.function_space.tabulate_dof_coordinates()
    mesh = Triangulation(places[:, 0], places[:, 1], corners.function_space.dofmap.list)
    share = 1.0 - corners.x.array  # the counter electrode is its second one, at 1
    r, y = np.linspace(0.0, ASIDE * gap.thickness, GRID[0]), np.linspace(0.0, gap.thickness * (1 - 1e-9), GRID[1])
    found = LinearTriInterpolator(mesh, share)(*np.meshgrid(r, y))
    return np.ma.filled(np.ma.asarray(found), 1.0)  # what is not layer is metal


def _picture(loop: Loop, k: int, field: np.ndarray, thickness: float, radius: float, electrode: float, pixels: int) -> Any:
    drawing, (left, right) = blank(pixels, (1.2, 1))
    voltage, current = loop["voltage_V"], np.maximum(np.abs(loop["current_A"]), LEAST_A)
    for cycle, color in ((1.0, "C0"), (2.0, "C1")):
        here = np.flatnonzero(loop["cycle"][: k + 1] == cycle)
        left.semilogy(voltage[here], current[here], color=color, lw=1.3, label=f"cycle {cycle:g}")
    left.plot(voltage[k], current[k], "o", color="k", ms=5)
    low, high = voltage.min(), voltage.max()
    left.set(xlim=(low - 0.05, high + 0.05), ylim=(current.min() / 3, current.max() * 5))
    left.set(xlabel="voltage (V)", ylabel="|current| (A)")
    left.legend(fontsize=8, loc="lower left")
    length = max(float(loop["length_m"][k]), 0.0)
    left.set_title(f"cycle {loop['cycle'][k]:g}, {voltage[k]:+.3f} V, filament {length * 1e9:.3g} nm", fontsize=8)
    aside, top = ASIDE * thickness * 1e9, thickness * 1e9
    mirrored = np.hstack([field[:, :0:-1], field]) * voltage[k]
    shown = right.imshow(
        mirrored, origin="lower", extent=(-aside, aside, 0, top), aspect="auto", cmap="coolwarm", vmin=-high, vmax=high,
    )  # fmt: skip
    bar = drawing.colorbar(shown, ax=right)
    bar.set_label("voltage of electrons (V, plating positive)", fontsize=8)
    right.add_patch(Rectangle((-electrode * 1e9, -0.03 * top), 2 * electrode * 1e9, 0.03 * top, color="0.15", lw=0))
    right.add_patch(Rectangle((-radius * 1e9, 0), 2 * radius * 1e9, length * 1e9, color="0.15", lw=0))
    right.axhline(top, color="0.15", lw=3)
    right.set_facecolor("#dddddd")
    if np.isnan(field).all():
        right.text(0.04, 0.5, "bridged:\nmetal carries\nthe current", transform=right.transAxes, fontsize=7, va="center")
    right.set(xlim=(-aside, aside), ylim=(-0.04 * top, 1.02 * top), xlabel="radius (nm, stretched)", ylabel="height (nm)")
    return picture(drawing)
