"""The picture of a filament run: pressure, length and potential in time, and the damage with the current around it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dolfinx import fem

from multiscale.dolfinx_compat import interpolation_points
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState


def gather(model: FilamentModel) -> dict[str, np.ndarray] | None:
    """Triangles with damage and current density (A/m²) on rank 0, None elsewhere. Call on every rank."""
    mesh, comm = model.domain.mesh, model.domain.comm
    current = fem.Function(fem.functionspace(mesh, ("DG", 0, (2,))))
    current.interpolate(fem.Expression(model.ionic_current, interpolation_points(current.function_space)))
    owned = mesh.topology.index_map(2).size_local
    corners = mesh.geometry.x[mesh.geometry.dofmap[:owned], :2]
    damage = model.body.damage.x.array[model.body.damage.function_space.dofmap.list[:owned]]
    size = np.linalg.norm(current.x.array.reshape(-1, 2)[:owned], axis=1)
    parts = comm.gather((corners, damage.mean(axis=1), size))
    if parts is None:
        return None
    corners, damage, size = (np.concatenate(column) for column in zip(*parts, strict=True))
    points, index = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    return {"points": points, "triangles": index.reshape(-1, 3), "damage": damage, "current_density": size}


def write_figure(path: Path, rows: Sequence[FilamentState], arrays: dict[str, np.ndarray] | None, height: float) -> None:
    """Write the picture (one rank)."""
    from matplotlib.figure import Figure

    assert arrays is not None
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    t = np.array([row.time for row in rows])
    left.plot(t, [row.pressure / 1e6 for row in rows], color="C3")
    left.set(xlabel="time (s)", ylabel="pressure of the lithium (MPa)")
    other = left.twinx()
    other.plot(t, [row.current_density / 10 for row in rows], color="0.5", lw=1, drawstyle="steps-pre")
    other.set_ylabel("applied current density (mA/cm²)", color="0.4")
    middle.plot(t, [row.length * 1e6 for row in rows], color="C0", label="crack")
    middle.plot(t, [row.front * 1e6 for row in rows], color="C1", ls="--", label="lithium")
    middle.axhline(height * 1e6, color="0.6", lw=1, label="counter electrode")
    middle.set(xlabel="time (s)", ylabel="distance from the mouth (µm)", ylim=(0, None))
    middle.legend()
    _map(figure, right, arrays, rows[-1], height)
    figure.savefig(path, dpi=110)


def _map(figure: object, axes: object, arrays: dict[str, np.ndarray], last: FilamentState, height: float) -> None:
    """Current density around the crack, mirrored, with the damage as contour shading."""
    from typing import Any

    ax: Any = axes
    applied = abs(last.current_density) or 1.0
    shown: Any = None
    for sign in (1, -1):
        x, y = sign * arrays["points"][:, 0] * 1e6, arrays["points"][:, 1] * 1e6
        share = np.clip(arrays["current_density"] / applied, 0, 3)
        shown = ax.tripcolor(x, y, arrays["triangles"], facecolors=share, cmap="viridis", rasterized=True)
        broken = arrays["damage"] > 0.5
        if broken.any():
            ax.tripcolor(x, y, arrays["triangles"][broken], facecolors=np.ones(broken.sum()), cmap="Reds", vmin=0, vmax=1.2)
    half = 0.5 * height * 1e6
    ax.set(xlim=(-half, half), ylim=(0, height * 1e6), aspect="equal", xlabel="x (µm)", ylabel="y (µm)")
    canvas: Any = figure
    canvas.colorbar(shown, ax=ax, label="|i| over the applied current density (red: crack)")
