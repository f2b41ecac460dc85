"""A powder packing read from particle positions: spheres in a box, meshed with or without what lies between them (3-D)."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupling.errors import UserError
from coupling.units import UnitError, to_si, told
from meshes.drawing import NORMAL, Feature, MeshQuality, Sizes, finish, groups, require_positive, set_sizes
from meshes.voxels import VoxelImage

COLUMNS = ("x", "y", "z", "radius")
MOST_PARTICLES = 300
"""Particles that are cut out of each other exactly; more than that are for a voxel image."""
TANGENT = 0.02
"""Gap or overlap over the smaller radius below which two spheres just touch, so that no mesh can be made between them."""
_HEADING = re.compile(r"\s*([A-Za-z_]+)\s*(?:[\[(]\s*([^\])]+?)\s*[\])])?\s*")
WALLS = ("left", "right", "front", "back", "bottom", "top")
"""Faces of the box: x, y and z, low and high."""


@dataclass(frozen=True)
class Particles:
    """Spheres.

    Attributes:
        centres: shape (n, 3), m.
        radii: shape (n,), m.
        phases: name of the phase of each.
    """

    centres: np.ndarray
    radii: np.ndarray
    phases: tuple[str, ...]

    def swollen(self, share: float) -> "Particles":
        """All radii larger by a share, so that particles that touch form necks."""
        return Particles(self.centres, self.radii * (1 + share), self.phases)

    @property
    def box(self) -> np.ndarray:
        """Corners of the smallest box that holds all spheres, shape (2, 3), m."""
        return np.array([(self.centres - self.radii[:, None]).min(axis=0), (self.centres + self.radii[:, None]).max(axis=0)])


def read_particles(path: str | Path) -> Particles:
    """Read a CSV file with a heading such as ``x [um], y [um], z [um], radius [um], phase`` (the phase may be left out).

    Raises:
        UserError: the file is missing, a column or its unit is, or a row holds no number or an impossible radius.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a CSV file with the columns {', '.join(COLUMNS)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from None
    rows = [row for row in enumerate(csv.reader(lines), start=1) if any(cell.strip() for cell in row[1])]
    rows = [row for row in rows if not row[1][0].lstrip().startswith("#")]
    if len(rows) < 2:
        raise UserError(f"{path}: holds no particle; a heading and one line a particle are needed")
    place, factors = _headings(path, *rows[0])
    values = np.array([[_number(path, line, row, place[name], name) for name in COLUMNS] for line, row in rows[1:]]) * factors
    if (bad := np.flatnonzero(values[:, 3] <= 0)).size:
        raise UserError(f"{path}:{rows[1 + bad[0]][0]}: radius: read {values[bad[0], 3]:g} m; a radius is positive")
    phases = tuple(row[place["phase"]].strip() if "phase" in place else "particles" for _, row in rows[1:])
    return Particles(values[:, :3], values[:, 3], phases)


def _headings(path: Path, line: int, row: Sequence[str]) -> tuple[dict[str, int], np.ndarray]:
    """Column of each name, and the factors to metres."""
    found: dict[str, tuple[int, str | None]] = {}
    for number, cell in enumerate(row):
        match = _HEADING.fullmatch(cell)
        if match and match[1].lower() in (*COLUMNS, "phase"):
            found[match[1].lower()] = (number, match[2])
    for name in COLUMNS:
        if name not in found:
            raise UserError(f'{path}:{line}: the column "{name}" is missing; write for example "{name} [um]" in the heading')
        if found[name][1] is None:
            raise UserError(f'{path}:{line}: the column "{name}" has no unit; write for example "{name} [um]"')
    try:
        factors = np.array([to_si(f"1 {found[name][1]}", "m") for name in COLUMNS])
    except UnitError as error:
        raise UserError(f"{path}:{line}: {error}") from None
    return {name: number for name, (number, _) in found.items()}, factors


def _number(path: Path, line: int, row: Sequence[str], column: int, name: str) -> float:
    try:
        value = float(row[column])
    except (ValueError, IndexError):
        read = f'"{row[column]}"' if column < len(row) else "nothing"
        raise UserError(f"{path}:{line}: {name}: read {read}; write a number") from None
    if not np.isfinite(value):
        raise UserError(f"{path}:{line}: {name}: read {value}; write a finite number")
    return value


@dataclass(frozen=True)
class Packing:
    """What is drawn: the parts of the spheres inside a box. A region for each phase, and "matrix" if it is meshed.

    Where spheres overlap, the space belongs to the one named first. Boundaries: "left", "right" (x), "front", "back" (y),
    "bottom", "top" (z), and without a matrix "free".

    Attributes:
        particles: of the packing.
        box: corners of the box, shape (2, 3), m; that of the particles unless given.
        matrix: whether the space between the particles is meshed.
        sizes: mesh-size rule: a fifth of the smallest radius, refined at necks.
    """

    particles: Particles
    box: np.ndarray | None = None
    matrix: bool = False
    sizes: Sizes = NORMAL

    def __post_init__(self) -> None:
        """Refuse what cannot be cut. Raises UserError."""
        sides = np.ptp(self.corners, axis=0)
        require_positive(**{f"box.{name}": float(side) for name, side in zip("xyz", sides, strict=True)})
        if len(self.particles.radii) > MOST_PARTICLES:
            told_many = f"{len(self.particles.radii)} particles; at most {MOST_PARTICLES} are meshed exactly"
            mend = "make the file a sample of them, or use `multiscale homogenize FILE.csv`"
            raise UserError(f"geometry.particles: {told_many}: {mend}")
        for a, b, gap in necks(self.particles):
            if abs(gap) < TANGENT * min(self.particles.radii[a], self.particles.radii[b]):
                kind = "overlap by" if gap < 0 else "are apart by"
                mend = "raise geometry.swell, so that they form a neck (or make them smaller)"
                raise UserError(f"geometry.particles: spheres {a + 1} and {b + 1} {kind} only {told(abs(gap), 'm')}; {mend}")
        if "matrix" in self.particles.phases:
            raise UserError('geometry.particles: "matrix" is the space between the particles; give the phase another name')

    @property
    def corners(self) -> np.ndarray:
        """Of the box, m."""
        return self.particles.box if self.box is None else self.box


def necks(particles: Particles) -> list[tuple[int, int, float]]:
    """Pairs of spheres closer than a tenth of the smaller radius, and the gap between them (negative: overlap), m."""
    found = []
    for a in range(len(particles.radii)):
        distance = np.linalg.norm(particles.centres[a + 1 :] - particles.centres[a], axis=1)
        gap = distance - particles.radii[a + 1 :] - particles.radii[a]
        near = gap < 0.1 * np.minimum(particles.radii[a], particles.radii[a + 1 :])
        found += [(a, a + 1 + int(k), float(gap[k])) for k in np.flatnonzero(near)]
    return found


def voxelised(particles: Particles, voxel: float) -> tuple[VoxelImage, tuple[str, ...]]:
    """Any number of particles as a voxel image of their box, and the names of its labels (label 0 is "matrix").

    Where spheres overlap, the space belongs to the one named first.

    Args:
        particles: what is cut into voxels.
        voxel: edge of the cubes, m.

    Raises:
        UserError: the voxel is larger than the box or gives more than a thousand million of them.
    """
    low, high = particles.box
    count = np.floor((high - low) / voxel * (1 + 1e-9)).astype(int)
    if count.min() < 1 or float(np.prod(count, dtype=float)) > 1e9:
        sides = " × ".join(told(side, "m") for side in high - low)
        raise UserError(f"voxel: read {told(voxel, 'm')}; that cuts the box of {sides} into {' × '.join(map(str, count))}")
    names = ("matrix", *dict.fromkeys(particles.phases))
    labels = np.zeros(count, dtype=np.uint8)
    for k in reversed(range(len(particles.radii))):
        start = np.clip(np.floor((particles.centres[k] - particles.radii[k] - low) / voxel).astype(int), 0, count)
        stop = np.clip(np.ceil((particles.centres[k] + particles.radii[k] - low) / voxel).astype(int), 0, count)
        axes = [low[a] + (np.arange(start[a], stop[a]) + 0.5) * voxel - particles.centres[k][a] for a in range(3)]
        inside = sum(np.meshgrid(*(x**2 for x in axes), indexing="ij")) < particles.radii[k] ** 2
        labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))][inside] = names.index(particles.phases[k])
    return VoxelImage(labels, (voxel,) * 3, "packing"), names


def draw(packing: Packing) -> MeshQuality:
    """Draw and mesh in the current gmsh model (one rank); nodes in metres."""
    import gmsh

    occ, particles = gmsh.model.occ, packing.particles
    unit = float(np.median(particles.radii))
    low, high = packing.corners / unit
    body = (3, occ.addBox(*low, *(high - low)))
    spheres = [(3, occ.addSphere(*c, r)) for c, r in zip(particles.centres / unit, particles.radii / unit, strict=True)]
    _, children = occ.fragment([body], spheres)
    occ.synchronize()
    inside = {tag for _, tag in children[0]}
    taken: set[int] = set()
    regions: dict[str, list[int]] = {}
    for phase, pieces in zip(particles.phases, children[1:], strict=True):
        mine = {tag for _, tag in pieces} & inside - taken
        regions.setdefault(phase, []).extend(sorted(mine))
        taken |= mine
    if packing.matrix:
        regions["matrix"] = sorted(inside - taken)
    kept = {tag for tags in regions.values() for tag in tags}
    gone = [(3, tag) for _, tag in gmsh.model.getEntities(3) if tag not in kept]
    occ.remove(gone, recursive=True)
    occ.synchronize()
    groups(3, regions, _walls(low, high))
    rims = [tag for _, tag in gmsh.model.getEntities(1) if gmsh.model.getType(1, tag) == "Circle"]
    surfaces = [tag for _, tag in gmsh.model.getEntities(2)]
    smallest = float(particles.radii.min())
    features = [Feature(rims, smallest / 6), Feature(surfaces, smallest / 4, 2)]
    set_sizes(features, 0.6 * float(particles.radii.max()), unit, packing.sizes)
    return finish(3, unit)


def _walls(low: np.ndarray, high: np.ndarray) -> dict[str, list[int]]:
    """Outer faces by name."""
    import gmsh

    found: dict[str, list[int]] = {name: [] for name in (*WALLS, "free")}
    near = 1e-6 * float((high - low).max())
    for _, tag in gmsh.model.getEntities(2):
        if len(gmsh.model.getAdjacencies(2, tag)[0]) != 1:
            continue
        box = np.array(gmsh.model.getBoundingBox(2, tag)).reshape(2, 3)
        names = [
            WALLS[2 * axis + end]
            for axis in range(3) for end, at in enumerate((low[axis], high[axis]))
            if np.all(np.abs(box[:, axis] - at) < near)
        ]  # fmt: skip
        found[names[0] if names else "free"].append(tag)
    return found
