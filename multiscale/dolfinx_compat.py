"""What differs between DOLFINx 0.9, 0.10 and 0.11, in one place; the rest of the product is written once."""

import importlib
import importlib.util
import inspect
import os
from typing import Any

import numpy as np
from dolfinx import mesh as dmesh
from mpi4py import MPI

from coupling.errors import RunFailure

# Debian's adios2 picks its serial half outside mpirun unless told before anything imports it; checkpoints need the other half
os.environ.setdefault("ADIOS2_ALWAYS_USE_MPI", "1")

# the gmsh reader changed its name in 0.10
_reader = "dolfinx.io.gmsh" if importlib.util.find_spec("dolfinx.io.gmsh") else "dolfinx.io.gmshio"


def read_gmsh(model: Any, comm: MPI.Comm, rank: int, gdim: int) -> tuple[dmesh.Mesh, dmesh.MeshTags, dmesh.MeshTags]:
    """Mesh, cell tags and facet tags of a gmsh model held by one rank.

    Facets shared by two ranks are ghosted on both, so that integrals over inner facets are whole.
    """
    read = importlib.import_module(_reader).model_to_mesh
    shared = dmesh.GhostMode.shared_facet
    if "ghost_mode" in inspect.signature(read).parameters:  # newest: the ghost mode is an argument of its own
        data = read(model, comm, rank, gdim=gdim, ghost_mode=shared)
    else:
        data = read(model, comm, rank, gdim=gdim, partitioner=dmesh.create_cell_partitioner(shared))
    if isinstance(data, tuple) and len(data) == 3:
        return data
    mesh, cells, facets = data.mesh, data.cell_tags, data.facet_tags  # 0.10: MeshData
    dim = mesh.topology.dim
    nothing = np.empty(0, dtype=np.int32)
    return (
        mesh,
        cells if cells is not None else dmesh.meshtags(mesh, dim, nothing, nothing),
        facets if facets is not None else dmesh.meshtags(mesh, dim - 1, nothing, nothing),
    )


def interpolation_points(space: Any) -> np.ndarray:
    """Reference points at which an element of `space` interpolates: a method until 0.9, an attribute since 0.10."""
    points = space.element.interpolation_points
    return points() if callable(points) else points


def checkpoint_library() -> tuple[Any, Any]:
    """The modules adios4dolfinx and adios2, the latter with MPI.

    Raises:
        RunFailure: adios2 was imported without MPI before the product was; one process cannot hold both halves.
    """
    import adios2

    if not getattr(adios2, "is_built_with_mpi", True):
        raise RunFailure(
            "checkpoints need ADIOS2 with MPI, but this process imported adios2 without it before multiscale: "
            "import multiscale first, or set ADIOS2_ALWAYS_USE_MPI=1"
        )
    import adios4dolfinx

    return adios4dolfinx, getattr(adios2, "bindings", adios2)


def assemble_renumbered(matrix: Any, form: Any, bcs: Any) -> None:
    """Add a compiled bilinear form into a matrix whose local numbers (unrolled) lead to columns of its own, or to none (-1).

    Rows and columns of Dirichlet conditions become those of the identity. The matrix is not yet assembled.
    """
    import petsc4py.PETSc
    from dolfinx.fem.petsc import _cpp, _pack_coefficients, _pack_constants

    flush: Any = petsc4py.PETSc.Mat.AssemblyType.FLUSH  # type: ignore[attr-defined]
    conditions = [bc._cpp_object for bc in bcs]
    inner = form._cpp_object
    _cpp.fem.petsc.assemble_matrix(matrix, inner, _pack_constants(inner), _pack_coefficients(inner), conditions, True)
    matrix.assemblyBegin(flush)
    matrix.assemblyEnd(flush)
    _cpp.fem.petsc.insert_diagonal(matrix, form.function_spaces[0], conditions, 1.0)
