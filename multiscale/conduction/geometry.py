"""The geometry of a conduction case as a mesh with names."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from coupling.errors import UserError
from meshes import cavity, contact, foreign, packing, polycrystal3d, tip
from meshes.drawing import NORMAL, MeshQuality, Sizes
from multiscale.conduction.case import ConductionCase, regions
from multiscale.conduction.voxel_image import case_image, walls
from multiscale.conduction.voxel_mesh import voxel_domain
from multiscale.domain import Domain, integral
from multiscale.structures import drawn, quality_of

WINDOW_SHARE = 1 / 6
"""Element at the edge of a contact over the radius of the window that the focusing factor is averaged over."""


@dataclass(frozen=True)
class Sketch:
    """A geometry that is to be meshed.

    Attributes:
        folder: where the files that it reads lie.
        geometry: what is drawn.
        window: radius over which a focusing factor will be read, m; None for none.
        grains_apart: whether each grain of a polycrystal is a region of its own ("grain 0", …).
    """

    folder: Path
    geometry: Any
    window: float | None = None
    grains_apart: bool = False


@dataclass(frozen=True)
class MeshedCase:
    """A meshed conduction case.

    Attributes:
        domain: with the names of the geometry.
        quality: figures of the mesh.
        lithium, counter: boundaries of the two electrodes.
        cross_section: area that the applied current density counts on, m² (m in 2-D).
    """

    domain: Domain
    quality: MeshQuality
    lithium: tuple[str, ...]
    counter: tuple[str, ...]
    cross_section: float


def build(case: ConductionCase, comm: MPI.Comm, apart: bool = False) -> MeshedCase:
    """Mesh a case, each grain a region of its own if they are to be `apart`.

    Raises:
        UserError: it cannot be drawn as asked, with file, line and key.
        RunFailure: gmsh failed.
    """
    try:
        return mesh_sketch(Sketch(case.folder, case.settings.geometry, case.settings.conduction.window, apart), comm)
    except UserError as error:
        raise case.complaint(error) from None


def mesh_sketch(sketch: Sketch, comm: MPI.Comm) -> MeshedCase:
    """Mesh a geometry. Raises UserError ("geometry.KEY: …"), RunFailure."""
    return _BUILDERS[sketch.geometry.kind](sketch, sketch.geometry, comm)


def _rough_contact(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    film = given.interlayer
    what = contact.RoughContact(
        given.width, given.electrolyte.thickness, given.contact.roughness, given.contact.correlation_length,
        given.contact.void_fraction, film.thickness if film else None, film.mode if film else "fills", given.seed,
        _sizes(case),
    )  # fmt: skip
    return _plain(partial(contact.draw, what), comm, given.width, "lithium")


def _buried_cavity(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    half_length, half_opening = given.cavity.axes
    what = cavity.BuriedCavity(
        given.width, given.electrolyte.thickness, given.cavity.depth, half_length, half_opening,
        given.cavity.tilt, given.axisymmetric,
        given.cavity.filling is not None, _sizes(case),
    )  # fmt: skip
    area = np.pi * given.width**2 if given.axisymmetric else given.width
    return _plain(partial(cavity.draw, what), comm, area, "lithium", axisymmetric=given.axisymmetric)


def _tip(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    what = tip.IndentedTip(
        given.radius, given.electrolyte.thickness, given.tip.radius, given.tip.indentation, given.tip.half_angle,
        _sizes(case),
    )  # fmt: skip
    return _plain(partial(tip.draw, what), comm, np.pi * given.radius**2, "tip", axisymmetric=True)


def grain_block(given: Any, sizes: Sizes = NORMAL) -> polycrystal3d.GrainBlock:
    """The polycrystal in 3-D of a case's [geometry]. Raises UserError naming the key."""
    layer = given.interlayer
    return polycrystal3d.GrainBlock(
        given.width, given.breadth, given.electrolyte.thickness, given.electrolyte.grain_size,
        layer.thickness if layer else None, seed=given.seed, sizes=sizes,
        grain_size_spread=given.electrolyte.grain_size_spread,
    )  # fmt: skip


def _grain_block(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    draw = partial(polycrystal3d.draw, grain_block(given, _sizes(case)), apart=case.grains_apart)
    return _plain(draw, comm, given.width * given.breadth, "lithium", dimension=3)


def _packing(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    particles = packing.read_particles(case.folder / given.particles).swollen(given.swell)
    for phase in dict.fromkeys(particles.phases):
        if phase not in given.phases:
            raise UserError(f'geometry.phases: the particles have a phase "{phase}"; add [geometry.phases.{phase}]')
    for phase in given.phases:
        if phase not in particles.phases:
            raise UserError(f'geometry.phases.{phase}: no particle is of phase "{phase}"; take it out')
    trim = given.trim if given.trim is not None else 0.5 * float(particles.radii.min())
    box = particles.box + np.array([[trim], [-trim]])
    what = packing.Packing(particles, box, given.matrix is not None, _sizes(case))
    area = float(np.prod(np.ptp(box, axis=0)[:2]))
    return _plain(partial(packing.draw, what), comm, area, "bottom", "top", dimension=3)


def _voxels(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    image, phases = case_image(case.folder, given)
    domain = voxel_domain(image, phases, comm)
    known = walls(given.dimension)
    axis = min(known.index(name) for name in given.counter) // 2
    lengths = np.array(image.shape) * np.array(image.spacing)
    area = float(np.prod(np.delete(lengths, axis))) * len(given.counter)
    return MeshedCase(domain, quality_of(domain), given.lithium, given.counter, area)


def _user_mesh(case: Sketch, given: Any, comm: MPI.Comm) -> MeshedCase:
    path, named = case.folder / given.file, list(regions(given))
    draw = partial(foreign.draw, path, given.unit, named, [*given.lithium, *given.counter], given.dimension)
    domain, quality = drawn(draw, comm, given.dimension, given.axisymmetric)
    for name in domain.regions:
        if name not in named:
            raise UserError(f'geometry.regions: the mesh has a region "{name}"; add [geometry.regions.{name}]')
    return _measured(domain, quality, given.lithium, given.counter)


def _sizes(case: Sketch) -> Sizes:
    """The mesh-size rule: elements at the edges of a contact are small against the window of the focusing factor."""
    window = case.window
    return Sizes(case.geometry.resolution, finest=None if window is None else WINDOW_SHARE * window)


def _plain(
    draw: Callable[[], MeshQuality], comm: MPI.Comm, area: float, lithium: str, counter: str = "counter", dimension: int = 2,
    axisymmetric: bool = False,
) -> MeshedCase:  # fmt: skip
    """Draw a geometry whose electrodes have one name each."""
    domain, quality = drawn(draw, comm, dimension, axisymmetric)
    return MeshedCase(domain, quality, (lithium,), (counter,), float(area))


def _measured(domain: Domain, quality: MeshQuality, lithium: tuple[str, ...], counter: tuple[str, ...]) -> MeshedCase:
    """A mesh whose cross-section is the area of its counter electrode."""
    return MeshedCase(domain, quality, lithium, counter, integral(domain.constant(1.0) * domain.ds(*counter)))


_BUILDERS: dict[str, Callable[[Sketch, Any, MPI.Comm], MeshedCase]] = {
    "rough-contact": _rough_contact, "buried-cavity": _buried_cavity, "tip-on-crystal": _tip,
    "layered-polycrystal": _grain_block, "packing": _packing, "voxels": _voxels, "mesh": _user_mesh,
}  # fmt: skip
