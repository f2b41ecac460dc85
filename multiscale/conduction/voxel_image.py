"""The segmented image of a case with a geometry of kind "voxels", read and checked as it will be meshed (no DOLFINx)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coupling.errors import UserError
from meshes.voxels import Labels, VoxelImage, read_image

WALLS = ("left", "right", "front", "back", "bottom", "top")
"""Faces x, y and z, low and high; in 2-D y is "bottom" and "top"."""
LARGEST = 3_000_000
"""Voxels above which the image is refused: `multiscale homogenize` is the way for large ones."""


class CaseWithImage(Protocol):
    """What of a case tells where its image lies, and how to blame a key."""

    @property
    def folder(self) -> Path:
        """Where paths start."""

    def complaint(self, error: UserError) -> UserError:
        """An error "geometry.KEY: …" with file and line."""


def walls(dimension: int) -> tuple[str, ...]:
    """Names of the outer faces, low and high for each axis."""
    return WALLS if dimension == 3 else (*WALLS[:2], *WALLS[4:])


def case_image(folder: Path, given: Any) -> tuple[VoxelImage, dict[str, Labels]]:
    """The image of a [geometry], cropped and coarsened, and the labels of each phase.

    Args:
        folder: of the case, where paths start.
        given: the geometry, a `conduction.schema.Voxels`.

    Raises:
        UserError: "geometry.KEY: …": the file is damaged, no segmented image, of another dimension or without voxels of a
            phase; too many voxels; a crop, factor or face that the image does not have.
    """
    known = walls(given.dimension)
    for key in ("lithium", "counter"):
        for name in getattr(given, key):
            if name not in known:
                raise UserError(f'geometry.{key}: read "{name}"; allowed: {", ".join(known)}')
    image = _at("image", read_image, folder / given.image, given.voxel)
    if len(image.shape) != given.dimension:
        told = f"{len(image.shape)} axes, and geometry.dimension is {given.dimension}; change one of the two"
        raise UserError(f"geometry.image: {image.name}: {told}")
    if given.crop:
        image = _at("crop", image.cropped, given.crop)
    image = _at("coarsen", image.coarsened, given.coarsen)
    phases = {phase.name: Labels.parse(phase.labels) for phase in given.phase}
    _at("image", phase_numbers, image, phases)
    return image, phases


def require_image(case: CaseWithImage, geometry: Any) -> None:
    """Refuse an image that cannot be meshed, before anything long starts; nothing without one.

    Raises:
        UserError: as `case_image`, with file and line.
    """
    if geometry.kind != "voxels":
        return
    try:
        case_image(case.folder, geometry)
    except UserError as error:
        raise case.complaint(error) from None


def _at(key: str, what: Any, *given: Any) -> Any:
    """The value of a call whose complaints are about a key of [geometry]."""
    try:
        return what(*given)
    except UserError as error:
        raise UserError(f"geometry.{key}: {error}") from None


def phase_numbers(image: VoxelImage, phases: Mapping[str, Labels]) -> np.ndarray:
    """Number of the phase of each voxel, from 1 on (-1: of none).

    Raises:
        UserError: a phase without a voxel, or too many voxels.
    """
    number = np.full(image.shape, -1, dtype=np.int32)
    for k, (name, labels) in enumerate(phases.items()):
        mask = labels.mask(image.labels)
        if not mask.any():
            held = ", ".join(map(str, list(image.counts())[:8]))
            raise UserError(f'{image.name}: no voxel of phase "{name}" ({labels}); it holds the labels {held}')
        number[mask] = k + 1
    count = int((number > 0).sum())
    if count > LARGEST:
        raise UserError(f"{image.name}: {count} voxels to mesh, at most {LARGEST:.0g}; crop or coarsen it")
    return number
