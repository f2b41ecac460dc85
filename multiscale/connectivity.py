"""What hangs together in a mesh: a path between the electrodes, and pieces that none of them reaches."""

from collections.abc import Sequence

import numpy as np
from dolfinx import fem, la
from scipy import sparse
from scipy.sparse import csgraph

from coupling.errors import UserError
from multiscale.domain import Domain


def unreached(space: fem.FunctionSpace, start: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
    """Local unknowns (ghosts included) that no chain of cells connects with the unknowns `start` of any rank.

    Args:
        space: of one component.
        start: local unknowns.
        cells: local cells that count; None: all.
    """
    dofs = space.dofmap.list if cells is None else space.dofmap.list[cells]
    count = space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts
    pairs = np.column_stack([np.repeat(dofs[:, 0], dofs.shape[1] - 1), dofs[:, 1:].ravel()])
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    number, part = csgraph.connected_components(graph, directed=False)
    reached, mark = np.zeros(number, dtype=bool), fem.Function(space)
    mark.x.array[start] = 1.0
    comm = space.mesh.comm
    while True:
        before = int(reached.sum())
        mark.x.scatter_reverse(la.InsertMode.add)
        mark.x.scatter_forward()
        reached |= np.bincount(part, weights=mark.x.array > 0, minlength=number) > 0
        mark.x.array[:] = reached[part]
        if not comm.allreduce(int(reached.sum()) - before):
            return np.flatnonzero(~reached[part]).astype(np.int32)


def require_path(domain: Domain, first: Sequence[str], second: Sequence[str], regions: Sequence[str] = ()) -> None:
    """Refuse a mesh in which no chain of cells leads from one electrode to the other.

    Args:
        domain: mesh with names.
        first, second: boundaries of the two electrodes.
        regions: that conduct; none: all.

    Raises:
        UserError: no such chain; the message says how far each electrode reaches.
    """
    regions = tuple(regions) or tuple(domain.regions)
    space, cells = fem.functionspace(domain.mesh, ("P", 1)), domain.cells(*regions)
    ends = [domain.fixed(space, 0.0, *names).dof_indices()[0] for names in (first, second)]
    away = unreached(space, ends[0], cells)
    mark = fem.Function(space)
    mark.x.array[away] = 1.0
    if domain.comm.allreduce(int(np.sum(mark.x.array[ends[1]] == 0.0))):
        return
    there = [name for name in regions if _touched(domain, name, mark, 0.0)]
    beyond = [name for name in regions if _touched(domain, name, mark, 1.0)]
    raise UserError(
        f"no path leads from electrode {', '.join(first)} to {', '.join(second)}: the first reaches parts of {', '.join(there)}, "
        f"the rest of {', '.join(beyond)} does not hang together with them, so no current can flow"
    )


def _touched(domain: Domain, region: str, mark: fem.Function, value: float) -> bool:
    """Whether any node of a region's cells has the value."""
    nodes = mark.function_space.dofmap.list[domain.cells(region)]
    return bool(domain.comm.allreduce(int(np.sum(mark.x.array[nodes.ravel()] == value))))
