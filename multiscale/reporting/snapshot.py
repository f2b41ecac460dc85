"""The steady fields of a cell gathered on one rank, small enough for pictures: results/current_map.npz."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import ufl
from dolfinx import fem

from coupling.atomic import replacing
from meshes.polycrystal import grain_index
from multiscale.critical_current.initiation import InitiationModel
from multiscale.dolfinx_compat import interpolation_points
from multiscale.transport.single_ion import current_density


def gather(model: InitiationModel) -> dict[str, np.ndarray] | None:
    """Arrays of `field_maps.CurrentMap` from the model's present solution; None on every rank but 0.

    Corner values are those of the potential; the current density is taken at the centre of each triangle.
    """
    domain = model.domain
    mesh, comm = domain.mesh, domain.comm
    corners = fem.functionspace(mesh, ("P", 1))
    potential = fem.Function(corners)
    potential.interpolate(model.potential)
    flat = fem.functionspace(mesh, ("DG", 0))
    i = current_density(model.conductivity, model.potential)
    size = fem.Function(flat)
    size.interpolate(fem.Expression(ufl.sqrt(ufl.dot(i, i)), interpolation_points(flat)))

    index_map = corners.dofmap.index_map
    owned_cells = mesh.topology.index_map(2).size_local
    owned = index_map.size_local
    regions = np.zeros(owned_cells, dtype=np.int32)
    tagged = domain.cell_tags.indices < owned_cells
    regions[domain.cell_tags.indices[tagged]] = domain.cell_tags.values[tagged]
    local = corners.dofmap.list[:owned_cells]
    part = (
        corners.tabulate_dof_coordinates()[:owned, :2],
        potential.x.array[:owned].copy(),
        index_map.local_to_global(local.ravel().astype(np.int32)).reshape(-1, 3),
        size.x.array[flat.dofmap.list[:owned_cells, 0]],
        regions,
    )
    parts = comm.gather(part)
    if parts is None:
        return None
    points, values, triangles, sizes, tags = (np.concatenate(column) for column in zip(*parts, strict=True))
    centres = points[triangles].mean(axis=1)
    return {
        "points": points, "triangles": triangles, "current_density": sizes, "potential": values, "region": tags,
        "grain": grain_index(model.cell, centres).astype(np.int32), "region_names": region_names(domain.regions),
    }  # fmt: skip


def region_names(regions: Mapping[str, int]) -> np.ndarray:
    """Names placed so that the entry at a region's tag is its name."""
    names = [""] * (max(regions.values()) + 1)
    for name, tag in regions.items():
        names[tag] = name
    return np.array(names)


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays to one compressed file in one step."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
