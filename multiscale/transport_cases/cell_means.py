"""Mean current density of every cell of a mesh, and inside every facet of a thin boundary, gathered on one rank."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.la import InsertMode

from multiscale.solvers.solver import assemble_into
from multiscale.transport_cases.cell import Cell
from multiscale.transport_cases.fields import grain_numbers, region_numbers

SIZE_DEGREE = 4
"""Quadrature degree of the size of the current density."""


@dataclass(frozen=True)
class CellMeans:
    """Cells of a mesh; arrays are empty on ranks other than the first, except `local`.

    Attributes:
        place: centre, shape (n, d), m.
        volume: m³ (m² in the plane; over the full turn in axial symmetry, m³).
        size: mean size of the current density, A/m².
        region, grain: number of each.
        regions: name of each region's number.
        local: mean current density vector of this rank's cells, ghosts included, shape (m, d), A/m².
    """

    place: np.ndarray
    volume: np.ndarray
    size: np.ndarray
    region: np.ndarray
    grain: np.ndarray
    regions: dict[int, str]
    local: np.ndarray

    def depth(self, cell: Cell) -> np.ndarray:
        """Centres with the depth as their last coordinate."""
        return with_depth(self.place, cell)


@dataclass(frozen=True)
class ThinPieces:
    """Facets of a network of thin boundaries.

    Attributes:
        place: centre, shape (n, d), m.
        area: m² (m in the plane).
        size: of the current density inside the boundary, A/m².
        names: of the two grains, "3-7".
    """

    place: np.ndarray
    area: np.ndarray
    size: np.ndarray
    names: list[str]

    def depth(self, cell: Cell) -> np.ndarray:
        """Centres with the depth as their last coordinate."""
        return with_depth(self.place, cell)


def with_depth(places: np.ndarray, cell: Cell) -> np.ndarray:
    """Points (n, d) with the other coordinates first and the depth from the working electrode last, m."""
    others = [places[:, d] for d in range(places.shape[1]) if d != cell.axis]
    return np.column_stack([*others, cell.direction * (places[:, cell.axis] - cell.start)])


def cell_means(system: Any, cell: Cell) -> CellMeans:
    """Of the present solution. Call on every rank."""
    domain = system.domain
    dim, space = domain.dimension, fem.functionspace(domain.mesh, ("DG", 0))
    w = ufl.TestFunction(space)
    volume = _assembled(space, domain.constant(1.0) * w * domain.dx())
    vector, size = [np.zeros_like(volume) for _ in range(dim)], np.zeros_like(volume)
    for name, medium in system.media.items():
        i, dx = system.current(name), domain.dx(*medium.regions)
        fine = domain.dx(*medium.regions, degree=SIZE_DEGREE)
        size = size + _assembled(space, ufl.sqrt(ufl.dot(i, i)) * w * fine)
        vector = [vector[d] + _assembled(space, i[d] * w * dx) for d in range(dim)]
    local = np.column_stack(vector) / volume[:, None]
    owned = domain.mesh.topology.index_map(dim).size_local
    place = mesh.compute_midpoints(domain.mesh, dim, np.arange(owned, dtype=np.int32))[:, :dim]
    region, grain = region_numbers(cell)[:owned], grain_numbers(cell)[:owned]
    mine = (place, volume[:owned], (size / volume)[:owned], region.astype(int), grain)
    order = domain.mesh.topology.original_cell_index[:owned]
    gathered = domain.comm.gather((order, mine))
    regions = {tag: name for name, tag in domain.regions.items()}
    if gathered is None:
        empty = np.empty(0)
        return CellMeans(np.empty((0, dim)), empty, empty, empty.astype(int), empty.astype(int), regions, local)
    sorting = np.argsort(np.concatenate([index for index, _ in gathered]))
    place, whole, mean, region, grain = (np.concatenate([part[k] for _, part in gathered])[sorting] for k in range(5))
    return CellMeans(place, whole, mean, region, grain, regions, local)


def thin_pieces(system: Any, cell: Cell, network: Any, means: CellMeans) -> ThinPieces | None:
    """Current density in the boundaries of a network, from the means of the cells on either side; on rank 0, None elsewhere.

    Across it is their mean along the normal; along it is κ∥/κ times the grains' mean along the facet.
    """
    domain, dim = system.domain, system.domain.dimension
    facets = domain.facets(*(boundary for boundary, *_ in network.faces))
    facets = facets[facets < domain.mesh.topology.index_map(dim - 1).size_local]
    domain.mesh.topology.create_connectivity(dim - 1, dim)
    links = domain.mesh.topology.connectivity(dim - 1, dim)
    cells = np.array([links.links(f)[:2] for f in facets], dtype=int).reshape(-1, 2)
    corners = np.empty((0, dim, dim))
    if len(facets):  # DOLFINx divides by their number
        corners = domain.mesh.geometry.x[mesh.entities_to_geometry(domain.mesh, dim - 1, facets)][..., :dim]
    area, normal = _area_and_normal(corners)
    tags = region_numbers(cell).astype(int)[cells]
    sides = means.local[cells]
    across = np.einsum("nkd,nd->n", sides, normal) / 2
    grain = np.array([_grain_conductivity(system, name) for name in means.regions.values()])
    numbers = {tag: k for k, tag in enumerate(means.regions)}
    κ = np.array([[grain[numbers[int(t)]] for t in pair] for pair in tags]).reshape(-1, 2)
    field = (sides / κ[..., None]).mean(axis=1)
    along = float(network.layer.along.value) * (field - np.einsum("nd,nd->n", field, normal)[:, None] * normal)
    size = np.sqrt(across**2 + np.sum(along**2, axis=1))
    short = {tag: name.removeprefix("grain ") for tag, name in means.regions.items()}
    names = ["-".join(sorted((short[int(a)], short[int(b)]), key=_natural)) for a, b in tags]
    gathered = domain.comm.gather((corners.mean(axis=1), area, size, names))
    if gathered is None:
        return None
    place, area, size = (np.concatenate([part[k] for part in gathered]) for k in range(3))
    return ThinPieces(place, area, size, [name for part in gathered for name in part[3]])


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)


def _grain_conductivity(system: Any, region: str) -> float:
    """Conductivity of the single-ion medium that a region belongs to, S/m; NaN for others."""
    for medium in system.media.values():
        if region in medium.regions:
            κ = getattr(medium.closure, "conductivity", None)
            if isinstance(κ, fem.Constant) and not κ.ufl_shape:
                return float(κ.value)
            if isinstance(κ, fem.Function):
                cells = system.domain.cells(region)
                return float(κ.x.array[cells].max(initial=0.0)) or float("nan")
    return float("nan")


def _area_and_normal(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of segments (n, 2, 2), triangles (n, 3, 3) or parallelograms (n, 4, 3): length or area, and unit normal."""
    if corners.shape[1] == 2:
        along = corners[:, 1] - corners[:, 0]
        size = np.linalg.norm(along, axis=1)
        return size, np.column_stack([along[:, 1], -along[:, 0]]) / size[:, None]
    product = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(product, axis=1)
    return (size / 2 if corners.shape[1] == 3 else size), product / size[:, None]


def _assembled(space: Any, form: Any) -> np.ndarray:
    """Values of a linear form over piecewise constants on this rank's cells, ghosts included."""
    field = fem.Function(space)
    assemble_into(field.x.petsc_vec, fem.form(form))
    field.x.scatter_reverse(InsertMode.add)
    field.x.scatter_forward()
    return np.array(field.x.array)
