"""Frames of a propagation run: damage and current density at some of its times, kept in film.npz for pictures and a film."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem

from coupling.atomic import replacing
from multiscale.dolfinx_compat import interpolation_points
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState

MOST = 48
"""Frames beyond which every other one is dropped and the next are taken half as often."""
NUMBERS = ("time", "current_density", "pressure", "length", "front", "potential")


@dataclass
class Film:
    """Frames on the triangles of the mesh; rank 0 holds them.

    Attributes:
        step: growth of the crack (m) from one frame to the next; a change of the current or standing still makes one as well.
        frames: state of each frame and its arrays (damage, current density), shape (triangles,).
        points, triangles: of the mesh.
    """

    step: float
    frames: list[tuple[FilamentState, np.ndarray, np.ndarray]] = field(default_factory=list)
    points: np.ndarray | None = None
    triangles: np.ndarray | None = None
    waited: int = 0
    patience: int = 4

    def see(self, model: FilamentModel, last: bool = False) -> None:
        """Take a frame where something has changed since the last one. Call on every rank after each step."""
        state = model.state
        self.waited += 1
        if not model.domain.comm.bcast(last or self._wanted(state)):
            return
        self.waited = 0
        arrays = gather(model)
        if arrays is None:
            return
        self.points, self.triangles = arrays["points"], arrays["triangles"]
        self.frames.append((state, arrays["damage"].astype(np.float16), arrays["current_density"].astype(np.float32)))
        if len(self.frames) > MOST:
            self.frames = [*self.frames[:-1:2], self.frames[-1]]
            self.step, self.patience = 2 * self.step, 2 * self.patience

    def _wanted(self, state: FilamentState) -> bool:
        if not self.frames:
            return True
        old = self.frames[-1][0]
        grown = state.crack_area - old.crack_area > self.step or abs(state.front - old.front) > self.step
        return grown or state.current_density != old.current_density or self.waited >= self.patience

    def take_up(self, path: Path, rows: Sequence[FilamentState]) -> None:
        """Go on with the frames of an earlier part of the run (one rank); those of times it has no rows for are dropped."""
        reel, known = read_reel(path), {row.time: row for row in rows}
        if reel is None:
            return
        self.points, self.triangles = reel.points, reel.triangles
        for time, damage, current in zip(reel.column("time"), reel.damage, reel.current_density, strict=True):
            if time in known:
                self.frames.append((known[time], damage, current))

    def write(self, path: Path) -> None:
        """Keep the frames (one rank)."""
        if self.points is None or self.triangles is None:
            return
        numbers = np.array([[getattr(state, name) for name in NUMBERS] for state, _, _ in self.frames])
        arrays: dict[str, Any] = {
            "points": self.points, "triangles": self.triangles.astype(np.int32), "numbers": numbers,
            "damage": np.array([frame[1] for frame in self.frames]),
            "current_density": np.array([frame[2] for frame in self.frames]),
        }  # fmt: skip
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)


@dataclass(frozen=True)
class Reel:
    """Frames as read back: `numbers` (k, 6) in the order of NUMBERS, SI; damage and current density (k, triangles)."""

    points: np.ndarray
    triangles: np.ndarray
    numbers: np.ndarray
    damage: np.ndarray
    current_density: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """One of NUMBERS over the frames."""
        return self.numbers[:, NUMBERS.index(name)]


def read_reel(path: Path) -> Reel | None:
    """The frames of a run, None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as held:
            return Reel(**{name: held[name] for name in ("points", "triangles", "numbers", "damage", "current_density")})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


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
