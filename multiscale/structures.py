"""Any drawn geometry as a `Domain`, with the figures of its mesh."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from coupling.errors import RunFailure, UserError
from meshes.drawing import POOR, MeshQuality
from meshes.session import gmsh_model
from multiscale.domain import Domain, integral


@dataclass(frozen=True)
class Drawn:
    """A mesh with names and its figures."""

    domain: Domain
    quality: MeshQuality


def drawn(
    draw: Callable[[], MeshQuality], comm: MPI.Comm = MPI.COMM_WORLD, dimension: int = 2, axisymmetric: bool = False
) -> tuple[Domain, MeshQuality]:
    """Mesh a geometry on rank 0, spread it over the ranks, and give it with the figures of its mesh.

    Args:
        draw: draws and meshes in the current gmsh model and names its physical groups.
        comm: MPI communicator.
        dimension: of the cells.
        axisymmetric: as `Domain`.

    Raises:
        UserError: it cannot be meshed as asked (on every rank alike).
        RunFailure: gmsh failed (on every rank alike).
    """
    if comm.rank != 0:
        outcome = comm.bcast(None, root=0)
        if isinstance(outcome, Exception):
            raise outcome
        return Domain.from_gmsh(None, comm, dimension, axisymmetric), outcome
    with gmsh_model("structure") as model:
        try:
            quality = draw()
        except Exception as error:
            told = error if isinstance(error, UserError) else RunFailure(f"gmsh could not mesh the geometry: {error}")
            comm.bcast(told, root=0)
            raise told from error
        comm.bcast(quality, root=0)
        return Domain.from_gmsh(model, comm, dimension, axisymmetric), quality


def quality_of(domain: Domain) -> MeshQuality:
    """Figures of any mesh of triangles, tetrahedra, rectangles or bricks (call on every rank).

    The shape of a rectangle or brick is its shortest edge over its longest.
    """
    comm, d = domain.comm, domain.dimension
    owned = domain.mesh.topology.index_map(d).size_local
    corners = domain.mesh.geometry.x[domain.mesh.geometry.dofmap[:owned, : _CORNERS[domain.mesh.topology.cell_name()]]]
    edges = _edges(domain.mesh.topology.cell_name())
    lengths = np.array([np.linalg.norm(corners[:, a] - corners[:, b], axis=1) for a, b in edges]).T
    simplex = corners.shape[1] == d + 1
    boxes = lengths.min(axis=1, initial=np.inf) / lengths.max(axis=1, initial=0.0)
    shape = _simplex_shape(corners, lengths, d) if simplex else boxes
    cells = comm.allreduce(owned)
    measures = {name: integral(domain.constant(1.0) * domain.dx(name)) for name in domain.regions}
    inside = {name: comm.allreduce(int(np.sum(domain.cells(name) < owned))) for name in domain.regions}
    faces = {}
    for name in domain.boundaries:
        outer, inner = (integral(domain.constant(1.0) * measure(name)) for measure in (domain.ds, domain.dS))
        faces[name] = outer + inner
    return MeshQuality(
        d, cells, domain.mesh.geometry.index_map().size_global, comm.allreduce(float(shape.min(initial=1.0)), MPI.MIN),
        comm.allreduce(float(shape.sum())) / cells, comm.allreduce(int(np.sum(shape < POOR))) / cells,
        comm.allreduce(float(lengths.min(initial=np.inf)), MPI.MIN), comm.allreduce(float(lengths.max(initial=0.0)), MPI.MAX),
        {name: (inside[name], measures[name]) for name in domain.regions}, faces,
    )  # fmt: skip


_CORNERS = {"interval": 2, "triangle": 3, "quadrilateral": 4, "tetrahedron": 4, "hexahedron": 8}


def _edges(kind: str) -> list[tuple[int, int]]:
    """Pairs of corners that an edge joins; corners of boxes are numbered by their coordinates."""
    pairs = list(itertools.combinations(range(_CORNERS[kind]), 2))
    return pairs if kind not in ("quadrilateral", "hexahedron") else [(a, b) for a, b in pairs if (a ^ b).bit_count() == 1]


def _simplex_shape(corners: np.ndarray, lengths: np.ndarray, d: int) -> np.ndarray:
    """The dimension times the radius of the inscribed over that of the circumscribed sphere, shape (n,); 1 in one dimension."""
    if d == 1:
        return np.ones(len(corners))
    sides = corners[:, 1:] - corners[:, :1]
    if d == 2:
        area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
        return 16 * area**2 / (lengths.prod(axis=1) * lengths.sum(axis=1))
    volume = np.abs(np.linalg.det(sides)) / 6
    triangles = [corners[:, list(face)] for face in itertools.combinations(range(4), 3)]
    surface = sum(np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1) / 2 for t in triangles)
    opposite = lengths[:, :3] * lengths[:, :2:-1]
    half = opposite.sum(axis=1) / 2
    circumscribed = np.sqrt(np.maximum(half * np.prod(half[:, None] - opposite, axis=1), 0.0)) / (6 * volume)
    return 3 * (3 * volume / surface) / circumscribed
