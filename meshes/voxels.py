"""Segmented images of microstructures (TIFF, NumPy): read, crop, coarsen, and give every label its phase (no DOLFINx).

The axes of an image are those of its array: the first is x. A TIFF stack has its pages first, then rows, then columns.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from coupling.errors import UserError

SUFFIXES = (".tif", ".tiff", ".npy", ".npz")
MOST_LABELS = 4096
"""Distinct values above which an image counts as not segmented."""
_LABELS = re.compile(r"(-?\d{1,18})(?:\.\.(-?\d{1,18}))?")
_STACK = re.compile(r"^images=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Labels:
    """Whole numbers from `first` to `last`, both included: the values of an image that belong to one phase."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "Labels":
        """Labels of a text such as "3" or "128..255". Raises UserError otherwise."""
        found = _LABELS.fullmatch(text.strip())
        if not found:
            raise UserError(f'label: read "{text}"; write a whole number such as "1", or a range such as "128..255"')
        first = int(found[1])
        last = int(found[2]) if found[2] else first
        if last < first:
            raise UserError(f'label: read "{text}"; the smaller number comes first: "{last}..{first}"')
        return cls(first, last)

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Where an array of labels holds one of these."""
        return (values >= self.first) & (values <= self.last)


@dataclass(frozen=True)
class VoxelImage:
    """A segmented image.

    Attributes:
        labels: whole numbers, shape (nx, ny) or (nx, ny, nz).
        spacing: edge lengths of a voxel, one an axis, m (any common factor where only their ratio matters).
        name: told in messages.
    """

    labels: np.ndarray
    spacing: tuple[float, ...]
    name: str = "image"

    def __post_init__(self) -> None:
        """Refuse what is no segmented image. Raises UserError."""
        told = self.name
        if self.labels.ndim not in (2, 3):
            raise UserError(f"{told}: an array of shape {self.labels.shape}; a segmented image has two or three axes")
        if 0 in self.labels.shape:
            raise UserError(f"{told}: an array of shape {self.labels.shape} holds no voxel")
        if self.labels.dtype.kind not in "iu":
            raise UserError(f"{told}: values of type {self.labels.dtype}; labels are whole numbers")
        if len(self.spacing) != self.labels.ndim:
            raise UserError(f"{told}: {len(self.spacing)} voxel edges for {self.labels.ndim} axes; give one for each axis")
        if not all(np.isfinite(h) and h > 0 for h in self.spacing):
            raise UserError(f"{told}: voxel edges {self.spacing}; each is a positive length")

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.labels.shape

    def counts(self) -> dict[int, int]:
        """Voxels of each label present, in the order of the labels."""
        values, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def cropped(self, bounds: Sequence[tuple[int, int]]) -> "VoxelImage":
        """The voxels from `low` to `high` - 1 along each axis.

        Args:
            bounds: (low, high) for each axis, counted from 0.

        Raises:
            UserError: another number of axes, or nothing of the image inside.
        """
        if len(bounds) != len(self.shape):
            raise UserError(f"{self.name}: crop of {len(bounds)} axes; the image has {len(self.shape)}: give low:high for each")
        for axis, ((low, high), size) in enumerate(zip(bounds, self.shape, strict=True)):
            if not 0 <= low < high <= size:
                raise UserError(f"{self.name}: crop {low}:{high} of axis {axis}; allowed is 0 <= low < high <= {size}")
        return replace(self, labels=self.labels[tuple(slice(low, high) for low, high in bounds)])

    def coarsened(self, factor: int) -> "VoxelImage":
        """Blocks of factor^d voxels become one, with the label that most of them have (the smallest of equals).

        Incomplete blocks at the far faces are left out.

        Raises:
            UserError: the factor is below 1 or larger than an axis.
        """
        if not 1 <= factor <= min(self.shape):
            raise UserError(f"{self.name}: coarsen by {factor}; allowed is 1 to {min(self.shape)}, its shortest axis")
        whole = tuple(slice(0, n - n % factor) for n in self.shape)
        present = np.unique(self.labels)
        votes = np.stack([_blocks(self.labels[whole] == value, factor) for value in present])
        labels = present[np.argmax(votes, axis=0)]
        return replace(self, labels=labels, spacing=tuple(factor * h for h in self.spacing))

    def refined(self, factor: int) -> "VoxelImage":
        """Every voxel cut into factor^d equal ones. Raises UserError when the factor is below 1."""
        if factor < 1:
            raise UserError(f"{self.name}: refine by {factor}; allowed is 1 or more")
        labels = self.labels
        for axis in range(labels.ndim):
            labels = np.repeat(labels, factor, axis=axis)
        return replace(self, labels=labels, spacing=tuple(h / factor for h in self.spacing))

    def phase_numbers(self, phases: Sequence[Labels]) -> np.ndarray:
        """Number of the phase of each voxel, shape of the image.

        Raises:
            UserError: no phases, one named twice or not present, or labels of the image that belong to none.
        """
        present = list(self.counts())
        for phase in phases:
            if not any(phase.first <= value <= phase.last for value in present):
                raise UserError(f"{self.name}: no voxel is labelled {phase}; the image holds {_listed(self.counts())}")
        for k, phase in enumerate(phases):
            for other in phases[:k]:
                if phase.first <= other.last and other.first <= phase.last:
                    raise UserError(f"{self.name}: the labels {other} and {phase} overlap; every label belongs to one phase")
        number = np.full(self.shape, -1, dtype=np.int16)
        for k, phase in enumerate(phases):
            number[phase.mask(self.labels)] = k
        if (number < 0).any():
            left = {value: n for value, n in self.counts().items() if not any(p.first <= value <= p.last for p in phases)}
            raise UserError(f"{self.name}: labels without a phase: {_listed(left)}; give each its conductivity")
        return number


def _blocks(mask: np.ndarray, factor: int) -> np.ndarray:
    """How many voxels of each block of factor^d are set."""
    split = [length for n in mask.shape for length in (n // factor, factor)]
    return mask.reshape(split).sum(axis=tuple(range(1, 2 * mask.ndim, 2)))


def _listed(counts: Mapping[int, int]) -> str:
    """Labels with their voxels, shortened."""
    shown = [f"{value} ({count} voxels)" for value, count in list(counts.items())[:8]]
    return ", ".join(shown) + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")


def read_image(path: str | Path, spacing: Sequence[float] = (1.0,)) -> VoxelImage:
    """Read a segmented image.

    Args:
        path: .tif or .tiff (one page or a stack), .npy, or .npz with a single array.
        spacing: edge length of a voxel, m: one for all axes, or one an axis.

    Raises:
        UserError: the file is missing, of another format, damaged, coloured, not whole numbers, or not segmented.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a segmented image ({', '.join(SUFFIXES)})")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: read a file ending in {suffix!r}; known are {', '.join(SUFFIXES)}")
    try:
        values = _read_tiff(path) if suffix.startswith(".tif") else _read_numpy(path)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        why = str(error).splitlines()[0] if str(error) else repr(error)
        raise UserError(f"{path}: cannot be read as an image ({why})") from error
    labels = _as_labels(values, path)
    edges = tuple(spacing) * labels.ndim if len(spacing) == 1 else tuple(spacing)
    image = VoxelImage(labels, edges, str(path))
    if len(image.counts()) > MOST_LABELS:
        raise UserError(f"{path}: {len(image.counts())} different values; segment the image first, a label for each phase")
    return image


def _read_numpy(path: Path) -> np.ndarray:
    """The only array of a NumPy file (pickles are refused by NumPy)."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if len(loaded.files) != 1:
            raise UserError(f"{path}: holds the arrays {', '.join(loaded.files) or 'none'}; keep the image alone in the file")
        return loaded[loaded.files[0]]


def _read_tiff(path: Path) -> np.ndarray:
    """Pages of a TIFF file, stacked when there are several."""
    from PIL import Image, ImageSequence

    with Image.open(path) as file:
        pages = [np.array(page) for page in ImageSequence.Iterator(file)]
        promised = _STACK.search(str(file.tag_v2.get(270, "")))  # type: ignore[attr-defined]
    if promised and int(promised[1]) != len(pages):
        told = f"says that it holds {promised[1]} images, but lists {len(pages)}"
        raise UserError(f"{path}: {told} (an ImageJ stack above 4 GB?); save it as a NumPy array or a BigTIFF")
    if len({page.shape for page in pages}) != 1:
        raise UserError(f"{path}: its pages have different sizes; keep those of the stack alone")
    return pages[0] if len(pages) == 1 else np.stack(pages)


def _as_labels(values: np.ndarray, path: Path) -> np.ndarray:
    """Whole numbers from what a file held: truth values and whole-numbered floats are taken, colours are not."""
    if values.ndim == 4 or (values.ndim == 3 and values.shape[-1] in (3, 4) and path.suffix.lower().startswith(".tif")):
        raise UserError(f"{path}: an array of shape {values.shape}: colours? Save one label a voxel (greyscale)")
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise UserError(f"{path}: holds values that are not finite; labels are whole numbers")
        if np.any(values != np.rint(values)) or np.abs(values).max(initial=0) > 2**53:
            fractional = values[values != np.rint(values)]
            example = f" such as {fractional[0]:g}" if fractional.size else ""
            raise UserError(f"{path}: holds values that are no labels{example}; segment the image first")
        return values.astype(np.int64)
    return values


@dataclass(frozen=True)
class Clusters:
    """Which voxels of a set hang together (through faces).

    Attributes:
        through: for each axis, the voxels of clusters that reach from one face of the image to the opposite one.
        share: for each axis, their share of the set (0 where the set is empty).
        count: number of clusters.
    """

    through: tuple[np.ndarray, ...]
    share: tuple[float, ...]
    count: int


def clusters(mask: np.ndarray) -> Clusters:
    """Connected clusters of a set of voxels, and those that percolate along each axis."""
    numbers, count = ndimage.label(mask)
    through = []
    for axis in range(mask.ndim):
        near, far = (np.unique(np.take(numbers, index, axis=axis)) for index in (0, -1))
        both = np.zeros(count + 1, dtype=bool)
        both[np.intersect1d(near, far)] = True
        both[0] = False
        through.append(both[numbers])
    size = int(mask.sum())
    return Clusters(tuple(through), tuple(float(t.sum()) / size if size else 0.0 for t in through), count)
