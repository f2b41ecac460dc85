"""The fields of a transport system as discontinuous linear functions with units in their names: for ParaView and pictures."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx import fem, geometry, io
from dolfinx.cpp.mesh import cell_num_vertices

from coupling.errors import RunFailure
from meshes.polycrystal import grain_index
from multiscale.dolfinx_compat import interpolation_points
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.cell import Cell
from multiscale.transport_cases.stress import DISPLACEMENT, stress_fields

HALVES = np.array([[0, 1, 3], [0, 3, 2]])
"""Corners of the two triangles of a rectangle."""
CURRENT, POTENTIAL, REGION, GRAIN = "current_density_A_per_m2", "potential_V", "region", "grain_index"


def concentration_name(ion: str, medium: str) -> str:
    """Name of the field of an ion's concentration in a medium: letters, digits and signs spelt out."""
    spelt = ion.replace("+", "_plus").replace("-", "_minus")
    return f"concentration_{spelt}_in_{medium}_mol_per_m3".replace(" ", "_")


def transport_fields(system: TransportSystem, cell: Cell) -> dict[str, fem.Function]:
    """The present solution by name. Concentrations are NaN outside their medium."""
    domain = system.domain
    scalar = fem.functionspace(domain.mesh, ("DG", 1))
    vector = fem.functionspace(domain.mesh, ("DG", 1, (domain.dimension,)))
    found = {POTENTIAL: fem.Function(scalar), CURRENT: fem.Function(vector)}
    for name, medium in system.media.items():
        cells = domain.cells(*medium.regions)
        _fill(found[POTENTIAL], system.field(name), cells)
        _fill(found[CURRENT], system.current(name), cells)
    for name, ion in system.species_fields():
        field = fem.Function(scalar)
        field.x.array[:] = np.nan
        _fill(field, system.concentration(name, ion), domain.cells(*system.media[name].regions))
        found[concentration_name(ion, name)] = field
    found |= stress_fields(system, cell)
    found[REGION] = _cellwise(scalar, region_numbers(cell))
    if cell.crystal is not None:
        found[GRAIN] = _cellwise(scalar, grain_numbers(cell).astype(float))
    for name, function in found.items():
        function.name = name
    return found


def region_numbers(cell: Cell) -> np.ndarray:
    """Tag of the region of each local cell."""
    numbers = np.zeros(len(cell.domain.cells()))
    for name, tag in cell.domain.regions.items():
        numbers[cell.domain.cells(name)] = tag
    return numbers


def grain_numbers(cell: Cell) -> np.ndarray:
    """Grain of each local cell of a polycrystal (of a boundary: the nearest grain); -1 outside the ceramic, 0 without grains."""
    domain = cell.domain
    cells = domain.cells()
    if cell.crystal is None:
        return np.zeros(len(cells), dtype=int)
    middle = domain.mesh.geometry.x[domain.mesh.geometry.dofmap[cells, :3]].mean(axis=1)
    numbers = grain_index(cell.crystal, middle)
    numbers[domain.cells("interphase")] = -1
    return numbers


def write_vtx(path: Path, system: TransportSystem, cell: Cell) -> Path:
    """Write the fields as a VTX folder (`*.bp`), which ParaView opens; it appears whole. Call on every rank.

    Raises:
        RunFailure: it cannot be written.
    """
    comm = system.domain.comm
    temporary = path.with_name(f".{path.stem}-{comm.bcast(os.getpid())}.bp")
    if comm.rank == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
    comm.barrier()
    try:
        with io.VTXWriter(comm, temporary, list(transport_fields(system, cell).values()), engine="BP4") as writer:
            writer.write(0.0)
    except RuntimeError as error:
        told = "is the disk full? Free some space and run the same command again"
        raise RunFailure(f"{path}: cannot be written; {told} ({str(error).splitlines()[-1][:120]})") from error
    if comm.rank == 0:
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    comm.barrier()
    return path


@dataclass(frozen=True)
class Gathered:
    """All cells of a mesh on one rank, in the order in which the mesh was made; rectangles as two triangles each.

    Attributes:
        corners: of each cell, shape (n, d + 1, d), m.
        values: of each field at the corners, shape (n, d + 1) or (n, d + 1, d), units as in the names.
        regions: name of each region's tag.
    """

    corners: np.ndarray
    values: dict[str, np.ndarray]
    regions: dict[int, str]

    @property
    def region(self) -> np.ndarray:
        """Tag of each cell, shape (n,)."""
        return self.values[REGION][:, 0].round().astype(int)

    @property
    def grain(self) -> np.ndarray:
        """Grain of each cell, shape (n,); zero where there are none."""
        return self.values[GRAIN][:, 0].round().astype(int) if GRAIN in self.values else np.zeros(len(self.corners), dtype=int)


def gather(system: TransportSystem, cell: Cell) -> Gathered | None:
    """The present fields on rank 0, None elsewhere. Call on every rank."""
    mesh, dim = system.domain.mesh, system.domain.dimension
    owned = mesh.topology.index_map(dim).size_local
    corners = mesh.geometry.x[mesh.geometry.dofmap[:owned, : cell_num_vertices(mesh.topology.cell_type)], :dim]
    arrays = {}
    for name, function in transport_fields(system, cell).items():
        space = function.function_space
        nodal = function.x.array.reshape(-1, space.dofmap.index_map_bs)[space.dofmap.list[:owned]]
        arrays[name] = nodal if name in (CURRENT, DISPLACEMENT) else nodal[..., 0]
    parts = mesh.comm.gather((mesh.topology.original_cell_index[:owned], corners, arrays))
    if parts is None:
        return None
    order = np.argsort(np.concatenate([index for index, _, _ in parts]))
    values = {name: _simplices(np.concatenate([part[name] for _, _, part in parts])[order], dim) for name in arrays}
    regions = {tag: name for name, tag in system.domain.regions.items()}
    return Gathered(_simplices(np.concatenate([points for _, points, _ in parts])[order], dim), values, regions)


def _simplices(at_corners: np.ndarray, dimension: int) -> np.ndarray:
    """What cells have at their corners, shape (n, corners, …), for the triangles that they are cut into."""
    if dimension != 2 or at_corners.shape[1] == dimension + 1:
        return at_corners
    return at_corners[:, HALVES].reshape(-1, 3, *at_corners.shape[2:])


def sampled(system: TransportSystem, cell: Cell, name: str, points: np.ndarray) -> np.ndarray | None:
    """Values of a field at points (n, 3), NaN where the mesh has none, on rank 0; None elsewhere. Call on every rank."""
    domain = system.domain
    function = transport_fields(system, cell)[name]
    tree = geometry.bb_tree(domain.mesh, domain.dimension)
    hits = geometry.compute_colliding_cells(domain.mesh, geometry.compute_collisions_points(tree, points), points)
    inside = np.flatnonzero(np.diff(hits.offsets))
    cells = hits.array[hits.offsets[inside]]
    mine = inside, function.eval(points[inside], cells) if len(inside) else np.empty((0, function.function_space.value_size))
    parts = domain.comm.gather(mine)
    if parts is None:
        return None
    values = np.full((len(points), function.function_space.value_size), np.nan)
    for index, found in parts:
        values[index] = found.reshape(len(index), -1)
    return values


def _fill(field: fem.Function, source: Any, cells: np.ndarray) -> None:
    """Interpolate an expression on some cells."""
    field.interpolate(fem.Expression(source, interpolation_points(field.function_space)), cells)


def _cellwise(space: Any, values: np.ndarray) -> fem.Function:
    field = fem.Function(space)
    field.x.array[space.dofmap.list[: len(values)]] = values[:, None]
    return field
