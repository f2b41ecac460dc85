"""What the exact problems share: one value at one mesh vertex."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from multiscale import dolfinx_compat
from multiscale.domain import Domain


def at_vertex(domain: Domain, expression: Any, point: tuple[float, float]) -> float:
    """Value of a scalar expression at a mesh vertex, averaged over the cells that meet there.

    The expression is interpolated cell by cell (discontinuous, linear), so that a gradient is taken from inside each
    cell up to the vertex.

    Raises:
        ValueError: no vertex of the mesh lies at the point.
    """
    space = fem.functionspace(domain.mesh, ("DG", 1))
    field = fem.Function(space)
    field.interpolate(fem.Expression(expression, dolfinx_compat.interpolation_points(space)))
    owned = domain.mesh.topology.index_map(domain.dimension).size_local
    dofs = space.dofmap.list[:owned].ravel()
    distance = np.linalg.norm(space.tabulate_dof_coordinates()[dofs, :2] - np.asarray(point), axis=1)
    size = np.ptp(domain.mesh.geometry.x, axis=0).max(initial=0.0)
    here = dofs[distance < 1e-9 * domain.comm.allreduce(size, op=MPI.MAX)]
    total = domain.comm.allreduce(float(field.x.array[here].sum()))
    count = domain.comm.allreduce(len(here))
    if not count:
        raise ValueError(f"no mesh vertex at {point}")
    return total / count


def unknown(domain: Domain, vector: bool = False) -> tuple[fem.Function, Any]:
    """Quadratic scalar (or vector) unknown and its test function."""
    shape = (domain.mesh.geometry.dim,) if vector else ()
    space = fem.functionspace(domain.mesh, ("P", 2, shape))
    return fem.Function(space), ufl.TestFunction(space)
