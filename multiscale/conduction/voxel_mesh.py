"""A voxel image as a mesh of squares or cubes, one cell a voxel, whose phases are regions.

Voxels hang together through their faces only: where two meet in no more than an edge or a corner, each has a node of its own
there. So nothing is conducted through contacts without area, as nodal elements otherwise do.
"""

import itertools
from collections.abc import Callable, Mapping

import basix.ufl
import numpy as np
from dolfinx import mesh
from mpi4py import MPI
from scipy import ndimage

from meshes.voxels import Labels, VoxelImage
from multiscale.conduction.voxel_image import phase_numbers, walls
from multiscale.domain import Domain

FREE = "free"


def voxel_domain(image: VoxelImage, phases: Mapping[str, Labels], comm: MPI.Comm = MPI.COMM_WORLD) -> Domain:
    """Mesh of the named phases; the voxels of all others are left out.

    Boundaries: the six (four) faces of the image by `walls`, and "free", the surfaces towards what is left out.

    Args:
        image: edge lengths in m; the same on every rank.
        phases: labels of each region.
        comm: MPI communicator.

    Raises:
        UserError: too many voxels, or labels that the image does not hold.
    """
    number = phase_numbers(image, phases)
    body = _mesh(image, number > 0, comm)
    d = len(image.shape)
    index_map = body.topology.index_map(d)
    cells = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    place = np.floor(mesh.compute_midpoints(body, d, cells)[:, :d] / np.array(image.spacing)).astype(int)
    regions = mesh.meshtags(body, d, cells, number[tuple(place.T)])
    facets, names = _boundaries(body, image)
    return Domain(body, regions, facets, {name: k + 1 for k, name in enumerate(phases)}, names)


def _mesh(image: VoxelImage, present: np.ndarray, comm: MPI.Comm) -> mesh.Mesh:
    """Squares or cubes on rank 0, spread over the ranks."""
    d = len(image.shape)
    kind = "hexahedron" if d == 3 else "quadrilateral"
    element = basix.ufl.element("Lagrange", kind, 1, shape=(d,))
    shared = mesh.create_cell_partitioner(mesh.GhostMode.shared_facet)  # interfaces need both of their cells on one rank
    if comm.rank:
        return mesh.create_mesh(comm, np.empty((0, 2**d), dtype=np.int64), np.empty((0, d)), element, partitioner=shared)
    grid = np.arange(np.prod([n + 1 for n in image.shape])).reshape([n + 1 for n in image.shape])
    corners = [corner[::-1] for corner in itertools.product((0, 1), repeat=d)]
    where = np.nonzero(present)
    part = _parts(present)
    cells = np.empty((len(where[0]), 2**d), dtype=np.int64)
    for k, corner in enumerate(corners):
        at = tuple(w + c for w, c in zip(where, corner, strict=True))
        cells[:, k] = grid[at] * 2**d + part(at, tuple(1 - c for c in corner))
    used, cells = np.unique(cells, return_inverse=True)
    points = np.column_stack(np.unravel_index(used // 2**d, grid.shape)) * np.array(image.spacing)
    return mesh.create_mesh(comm, cells.reshape(-1, 2**d).astype(np.int64), points, element, partitioner=shared)


def _parts(present: np.ndarray) -> Callable[[tuple[np.ndarray, ...], tuple[int, ...]], np.ndarray]:
    """Function of grid nodes and a place (0 or 1 along each axis) of a voxel around them.

    It gives the number of the part, of those voxels around each node that hang together through faces, that this voxel is in.
    """
    d = present.ndim
    places = list(itertools.product((0, 1), repeat=d))
    table = np.zeros((2 ** len(places), len(places)), dtype=np.int64)
    for pattern in range(len(table)):
        around = np.array([pattern >> k & 1 for k in range(len(places))]).reshape((2,) * d)
        table[pattern] = np.maximum(ndimage.label(around)[0].ravel() - 1, 0)
    padded = np.pad(present, 1)
    code = sum(
        padded[tuple(slice(p, p + n + 1) for p, n in zip(place, present.shape, strict=True))].astype(np.int64) << k
        for k, place in enumerate(places)
    )
    return lambda nodes, place: table[np.asarray(code)[nodes], places.index(place)]


def _boundaries(body: mesh.Mesh, image: VoxelImage) -> tuple[mesh.MeshTags, dict[str, int]]:
    """Tags of the outer facets and their names."""
    d = len(image.shape)
    body.topology.create_connectivity(d - 1, d)
    outer = np.sort(mesh.exterior_facet_indices(body.topology))
    middle = mesh.compute_midpoints(body, d - 1, outer)
    names = {name: k + 1 for k, name in enumerate((*walls(d), FREE))}
    marks = np.full(len(outer), names[FREE], dtype=np.int32)
    for axis in range(d):
        for end, at in enumerate((0.0, image.shape[axis] * image.spacing[axis])):
            marks[np.abs(middle[:, axis] - at) < 1e-6 * image.spacing[axis]] = 1 + 2 * axis + end
    there = set(np.unique(np.concatenate(body.comm.allgather(marks))).tolist())
    return mesh.meshtags(body, d - 1, outer.astype(np.int32), marks), {n: k for n, k in names.items() if k in there}
