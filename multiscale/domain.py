"""A mesh with names: regions (cells), boundaries (facets), and the measures over them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh, MeshTags
from mpi4py import MPI

from coupling.errors import UserError
from meshes.session import gmsh_model
from multiscale import dolfinx_compat, jit_cache

jit_cache.mend()

SURFACE_DEGREE = 6
"""Quadrature degree on facets unless said otherwise: the same points in a residual and in an integral of the same
current, so that currents balance to rounding error (a degree estimated from each integrand would differ)."""


class WeightedMeasure:
    """A UFL measure that carries a weight: `f * measure` gives the form ∫ f w dx (w = 2πr in axial symmetry)."""

    def __init__(self, measure: ufl.Measure, weight: Any) -> None:
        """Keep the measure and the weight (UFL expression or number)."""
        self.measure, self.weight = measure, weight

    def __rmul__(self, integrand: Any) -> ufl.Form:
        """Form of an integrand over the measure, weighted."""
        return (integrand * self.weight) * self.measure


@dataclass(frozen=True)
class Domain:
    """A mesh in metres whose regions and boundaries have names.

    Attributes:
        mesh: DOLFINx mesh; coordinates (x, y[, z]), or (r, z) when axisymmetric.
        cell_tags, facet_tags: tags of cells and facets (outer and inner).
        regions, boundaries: tag of each name.
        axisymmetric: r is the first coordinate, every measure carries 2πr, integrals are over the full turn.
    """

    mesh: Mesh
    cell_tags: MeshTags
    facet_tags: MeshTags
    regions: Mapping[str, int]
    boundaries: Mapping[str, int]
    axisymmetric: bool = False

    @classmethod
    def from_gmsh(
        cls, model: Any, comm: MPI.Comm = MPI.COMM_WORLD, gdim: int = 2, axisymmetric: bool = False, rank: int = 0
    ) -> "Domain":
        """Domain of a meshed gmsh model, whose physical groups give the names; only `rank` holds the model.

        Every other rank may pass None as `model`. Physical groups without a name are called "group-<tag>".
        """
        names: Any = None
        if comm.rank == rank:
            groups = [model.getPhysicalGroups(dim) for dim in (gdim, gdim - 1)]
            names = [{model.getPhysicalName(dim, tag) or f"group-{tag}": tag for dim, tag in group} for group in groups]
        regions, boundaries = comm.bcast(names, root=rank)
        mesh, cells, facets = dolfinx_compat.read_gmsh(model, comm, rank, gdim)
        return cls(mesh, cells, facets, regions, boundaries, axisymmetric)

    @property
    def comm(self) -> MPI.Comm:
        """MPI communicator of the mesh."""
        return self.mesh.comm

    @property
    def dimension(self) -> int:
        """Topological dimension of the cells."""
        return self.mesh.topology.dim

    @property
    def weight(self) -> Any:
        """Weight of the measures: 2πr in axial symmetry, else 1."""
        return 2 * np.pi * ufl.SpatialCoordinate(self.mesh)[0] if self.axisymmetric else 1.0

    @property
    def normal(self) -> Any:
        """Outward unit normal of the mesh on its boundary."""
        return ufl.FacetNormal(self.mesh)

    def dx(self, *names: str, degree: int | None = None) -> Any:
        """Measure over the named regions, or over the whole mesh. Raises UserError on an unknown name."""
        return self._measure("dx", self.cell_tags, tags(names, self.regions, "region"), degree)

    def ds(self, *names: str, degree: int = SURFACE_DEGREE) -> Any:
        """Measure over the named outer boundaries, or over all. Raises UserError on an unknown name."""
        return self._measure("ds", self.facet_tags, tags(names, self.boundaries, "boundary"), degree)

    def dS(self, *names: str, degree: int = SURFACE_DEGREE) -> Any:
        """Measure over the named inner interfaces, or over all inner facets. Raises UserError on an unknown name.

        The weight is continuous; the integrand must say its sides ("+", "-") or be an average or a jump.
        """
        return self._measure("dS", self.facet_tags, tags(names, self.boundaries, "boundary"), degree)

    def _measure(self, kind: str, data: MeshTags, ids: tuple[int, ...], degree: int | None) -> Any:
        metadata = {} if degree is None else {"quadrature_degree": degree}
        measure = ufl.Measure(kind, domain=self.mesh, subdomain_data=data, metadata=metadata)
        if ids:
            measure = measure(ids)
        if not self.axisymmetric:
            return measure
        return WeightedMeasure(measure, self.weight("+") if kind == "dS" else self.weight)

    def cells(self, *names: str) -> np.ndarray:
        """Local indices of the cells of the named regions (all cells, ghosts included, without a name)."""
        if not names:
            index_map = self.mesh.topology.index_map(self.dimension)
            return np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
        return _entities(self.cell_tags, tags(names, self.regions, "region"))

    def facets(self, *names: str) -> np.ndarray:
        """Local indices of the facets of the named boundaries. Raises UserError on an unknown name."""
        return _entities(self.facet_tags, tags(names, self.boundaries, "boundary"))

    def fixed(self, space: Any, value: Any, *names: str, component: int | None = None) -> Any:
        """Dirichlet condition `value` on named boundaries.

        Args:
            space: function space (scalar, vector or a sub-space).
            value: fem.Constant, fem.Function or number; a number becomes a constant of the space's shape.
            names: boundaries.
            component: of a vector space, the only component that is fixed.

        Raises:
            UserError: an unknown boundary name.
            ValueError: a function as value of one component.
        """
        if component is not None and isinstance(value, fem.Function):
            raise ValueError("one component can be fixed to a number or a constant only, not to a function")
        part = space if component is None else space.sub(component)
        facets = self.facets(*names)
        self.mesh.topology.create_connectivity(self.dimension - 1, self.dimension)
        dofs = fem.locate_dofs_topological(part, self.dimension - 1, facets)
        if isinstance(value, fem.Function):
            return fem.dirichletbc(value, dofs)
        if not isinstance(value, fem.Constant):
            value = self.constant(np.full(() if component is not None else space.value_shape, float(value)))
        return fem.dirichletbc(value, dofs, part)

    def constant(self, value: float | np.ndarray) -> fem.Constant:
        """A number that forms can use and that may change later without compiling anything again."""
        return fem.Constant(self.mesh, np.asarray(value, dtype=np.float64))


def tags(names: tuple[str, ...], known: Mapping[str, int], kind: str) -> tuple[int, ...]:
    """Tags of names. Raises UserError that lists what is known."""
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UserError(f'the mesh has no {kind} called "{name}"; it has: {listed}')
    return tuple(known[name] for name in names)


def _entities(data: MeshTags, ids: tuple[int, ...]) -> np.ndarray:
    found = [data.find(tag) for tag in ids]
    return np.unique(np.concatenate(found)).astype(np.int32) if found else np.empty(0, dtype=np.int32)


def piecewise(domain: Domain, values: Mapping[str, float], default: float | None = None) -> fem.Function:
    """Cell-wise constant field with one value per region.

    Args:
        domain: where.
        values: value of each region, in the caller's SI unit.
        default: value of the regions left out; None when each must be given.

    Returns:
        Function of the DG0 space of the mesh.

    Raises:
        UserError: a region that the mesh does not have, or one without a value and no default.
    """
    tags(tuple(values), domain.regions, "region")
    field = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
    if default is not None:
        field.x.array[:] = default
    else:
        missing = sorted(set(domain.regions) - set(values))
        if missing:
            raise UserError(f"no value for the region(s) {', '.join(missing)}; given: {', '.join(sorted(values))}")
    fill(field, domain, values)
    return field


def fill(field: fem.Function, domain: Domain, values: Mapping[str, float]) -> None:
    """Overwrite the values of some regions in a field of `piecewise`, in place (for repeated solves)."""
    for name, value in values.items():
        field.x.array[domain.cells(name)] = value


def integral(form: Any, comm: MPI.Comm | None = None) -> float:
    """Value of a form without arguments, summed over all ranks."""
    compiled = form if isinstance(form, fem.Form) else fem.form(form)
    comm = comm or compiled.mesh.comm
    return comm.allreduce(fem.assemble_scalar(compiled), op=MPI.SUM)


def meshed(draw: Callable[..., None], comm: MPI.Comm, axisymmetric: bool = False, **sizes: Any) -> Domain:
    """Domain of a shape of `meshes.shapes`, drawn on rank 0 with the keyword arguments of `draw`."""
    if comm.rank == 0:
        with gmsh_model("shape") as model:
            draw(**sizes)
            return Domain.from_gmsh(model, comm, axisymmetric=axisymmetric)
    return Domain.from_gmsh(None, comm, axisymmetric=axisymmetric)
