"""The two schemes of `voxel_conduction` as stencils on the voxel grid, and their rows as a sparse matrix (pure NumPy, SciPy).

Every rank builds the rows of its own planes along the first axis. Lengths are in units of the smallest voxel edge.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

Offset = tuple[int, ...]


@dataclass(frozen=True)
class Stencil:
    """Rows of one rank.

    Attributes:
        coefficients: factor of the unknown at each offset, shape (planes, …) of the grid of unknowns.
        drives: right side for a unit field along each axis, same shape.
        uniform: this rank's part of the energy of the uniform unit field along each axis, shape (d,).
        number: global number of each unknown of the whole grid, -1 where there is none.
        first: this rank's first plane.
        periodic: whether the grid goes on at its far faces.
    """

    coefficients: dict[Offset, np.ndarray]
    drives: list[np.ndarray]
    uniform: np.ndarray
    number: np.ndarray
    first: int
    periodic: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid of unknowns."""
        return self.number.shape

    @property
    def unknowns(self) -> int:
        """Global number of unknowns."""
        return int(self.number.max()) + 1

    @property
    def inside(self) -> np.ndarray:
        """Which places of this rank's planes hold an unknown."""
        return self.number[self.first : self.first + self.drives[0].shape[0]] >= 0


def share(planes: int, rank: int, ranks: int) -> tuple[int, int]:
    """First plane of a rank and the one after its last."""
    return planes * rank // ranks, planes * (rank + 1) // ranks


def _numbered(present: np.ndarray) -> np.ndarray:
    number = np.full(present.shape, -1, dtype=np.int64)
    number[present] = np.arange(np.count_nonzero(present))
    return number


def harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Conductivity 2ab/(a + b) of two half voxels in series; 2a beside a plate (b infinite), 0 beside an insulator."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a > 0) & (b > 0), 2 * a / (1 + a / b), 0.0)


def volumes(κ: np.ndarray, h: np.ndarray, plates: int | None, rank: int, ranks: int) -> Stencil:
    """Finite volumes: one unknown a voxel, row Σ T (v - v') with T = κ_harmonic A/h over the faces of the voxel.

    A plate is half a voxel away (T = 2 κ A/h, v' = 0).
    """
    low, high = share(len(κ), rank, ranks)
    padded = np.pad(κ, 1, mode="wrap") if plates is None else np.pad(κ, 1)
    if plates is not None:
        along = np.moveaxis(padded, plates, 0)
        along[0] = along[-1] = np.inf
    here = κ[low:high]
    coefficients: dict[Offset, np.ndarray] = {(0,) * κ.ndim: np.zeros_like(here)}
    drives, uniform = [], np.zeros(κ.ndim)
    for axis in range(κ.ndim):
        area = float(np.prod(h)) / h[axis]
        drive = np.zeros_like(here)
        for side in (-1, 1):
            offset = tuple(side * (a == axis) for a in range(κ.ndim))
            link = harmonic(here, padded[_window(offset, low, high, κ.shape)]) * (area / h[axis])
            coefficients[offset] = -link
            coefficients[(0,) * κ.ndim] += link
            distance, counted = _reach(κ.shape, axis, side, plates, low, high)
            drive += side * h[axis] * distance * link
            uniform[axis] += float(np.sum(link * (distance * h[axis]) ** 2 * counted)) / 2
        drives.append(drive)
    return Stencil(coefficients, drives, uniform, _numbered(κ > 0), low, plates is None)


def _window(offset: Offset, low: int, high: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Slices of a grid padded by one that give the neighbours at an offset of planes low … high - 1."""
    first = slice(low + 1 + offset[0], high + 1 + offset[0])
    return (first, *(slice(1 + o, 1 + o + n) for o, n in zip(offset[1:], shape[1:], strict=True)))


def _reach(
    shape: tuple[int, ...], axis: int, side: int, plates: int | None, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the neighbour in voxels (half to a plate), and the weight of the link (2 where no other voxel counts it)."""
    distance: np.ndarray = np.ones(shape[axis])
    if plates == axis:
        distance[0 if side < 0 else -1] = 0.5
    if axis == 0:
        distance = distance[low:high]
    distance = distance.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return distance, np.where(distance < 1, 2.0, 1.0)


def element_stiffness(h: np.ndarray) -> np.ndarray:
    """∫ ∇N_a·∇N_b over one brick with edges h, shape (2^d, 2^d), corners in the order of `itertools.product((0, 1), …)`."""
    d = len(h)
    corners = np.array(list(itertools.product((0, 1), repeat=d)))
    same = corners[:, None] == corners[None]
    mass = np.where(same, h / 3, h / 6)
    slope = np.where(same, 1 / h, -1 / h)
    return sum(np.prod(np.where(np.arange(d) == axis, slope, mass), axis=2) for axis in range(d))


def elements(κ: np.ndarray, h: np.ndarray, plates: int | None, rank: int, ranks: int) -> Stencil:
    """Multilinear finite elements: unknowns at the corners of the voxels, v = 0 on the plates."""
    d, extra = κ.ndim, int(plates is not None)
    shape = tuple(n + extra for n in κ.shape)
    low, high = share(shape[0], rank, ranks)
    padded = np.pad(κ, 1) if extra else np.pad(κ, [(1, 0)] * d, mode="wrap")
    corners = list(itertools.product((0, 1), repeat=d))
    stiffness, volume = element_stiffness(h), float(np.prod(h))
    planes = (high - low, *shape[1:])
    coefficients = {offset: np.zeros(planes) for offset in itertools.product((-1, 0, 1), repeat=d)}
    drives = [np.zeros(planes) for _ in range(d)]
    for a, corner in enumerate(corners):
        cell = padded[_window(tuple(-c for c in corner), low, high, shape)]
        for b, other in enumerate(corners):
            coefficients[tuple(o - c for o, c in zip(other, corner, strict=True))] += stiffness[a, b] * cell
        for axis in range(d):
            drives[axis] += (1 - 2 * corner[axis]) * volume / (h[axis] * 2 ** (d - 1)) * cell
    energy = volume * float(κ[slice(*share(len(κ), rank, ranks))].sum())
    return Stencil(coefficients, drives, np.full(d, energy), _corner_numbers(padded > 0, shape, plates), low, not extra)


def _corner_numbers(padded: np.ndarray, shape: tuple[int, ...], plates: int | None) -> np.ndarray:
    """Numbers of the corners that touch a conducting voxel and lie on no plate."""
    present = np.zeros(shape, dtype=bool)
    for shift in itertools.product((0, 1), repeat=padded.ndim):
        present |= padded[tuple(slice(s, s + n) for s, n in zip(shift, shape, strict=True))]
    if plates is not None:
        along = np.moveaxis(present, plates, 0)
        along[0] = along[-1] = False
    return _numbered(present)


def rows(stencil: Stencil, separate: np.ndarray | None) -> sparse.csr_matrix:
    """This rank's rows of the matrix; entries towards places without an unknown (v = 0 there) drop out.

    Args:
        stencil: of the rank.
        separate: number of the part of each voxel (0: none) where only differences of v within a part are determined: one
            unknown of each part is held at zero.
    """
    inside, total = stencil.inside, stencil.unknowns
    padded = np.pad(stencil.number, 1, mode="wrap") if stencil.periodic else np.pad(stencil.number, 1, constant_values=-1)
    offsets = sorted(stencil.coefficients)
    columns = np.empty((np.count_nonzero(inside), len(offsets)), dtype=np.int32 if total < 2**31 else np.int64)
    values = np.empty(columns.shape)
    high = stencil.first + len(inside)
    for k, offset in enumerate(offsets):
        columns[:, k] = padded[_window(offset, stencil.first, high, stencil.shape)][inside]
        values[:, k] = stencil.coefficients[offset][inside]
    if separate is not None:
        middle = offsets.index((0,) * len(stencil.shape))
        values[np.isin(columns[:, middle], _pinned(stencil.number, separate)), middle] *= 2.0
    present = (columns >= 0) & (values != 0.0)
    pointer = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    matrix = sparse.csr_matrix((values[present], columns[present], pointer), shape=(len(columns), total))
    matrix.sum_duplicates()
    return matrix


def _pinned(number: np.ndarray, separate: np.ndarray) -> np.ndarray:
    """Unknown at the first voxel of every part."""
    _, first = np.unique(separate, return_index=True)
    found = number.ravel()[first]
    return found[separate.ravel()[first] > 0]


def parts(present: np.ndarray, touching: bool) -> np.ndarray:
    """Connected parts of a periodic image, numbered from 1 (0: not present), shape of the image.

    Args:
        present: which voxels count.
        touching: whether voxels that share only an edge or a corner hang together.
    """
    structure = np.ones((3,) * present.ndim) if touching else None
    number, count = ndimage.label(np.pad(present, [(0, 1)] * present.ndim, mode="wrap"), structure=structure)
    pairs = [np.empty((0, 2), dtype=int), *_copies(number, present.shape)]
    a, b = np.concatenate(pairs).T
    graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(count + 1, count + 1))
    _, joined = csgraph.connected_components(graph, directed=False)
    joined = np.where(np.arange(count + 1) > 0, joined + 1, 0)
    joined = np.unique(joined, return_inverse=True)[1]
    return joined[number[tuple(slice(0, n) for n in present.shape)]]


def _copies(number: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Pairs of numbers of voxels beyond the far faces and of the voxels they are copies of, each (n, 2)."""
    for axis, size in enumerate(shape):
        beyond = np.take(number, [size], axis=axis)
        wrapped: list[np.ndarray] = [np.arange(n + 1) % n for n in shape]
        wrapped[axis] = np.array([0])
        pair = np.column_stack([beyond.ravel(), number[np.ix_(*wrapped)].ravel()])
        yield np.unique(pair[pair[:, 0] > 0], axis=0)
