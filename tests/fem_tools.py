"""Small domains and convergence rates for the finite-element tests."""

from collections.abc import Callable, Sequence

import numpy as np
from dolfinx import mesh
from mpi4py import MPI

from multiscale.domain import Domain

SIDES = {"left": 1, "right": 2, "bottom": 3, "top": 4}


def rectangle(n: int, low=(0.0, 0.0), high=(1.0, 1.0), axisymmetric: bool = False, halves: bool = False) -> Domain:
    """A rectangle of n by n squares cut in triangles; regions "lower" and "upper" if `halves`, else "body"."""
    body = mesh.create_rectangle(MPI.COMM_WORLD, [low, high], [n, n])
    body.topology.create_connectivity(1, 2)
    body.topology.create_connectivity(2, 2)
    walls = {"left": (0, low[0]), "right": (0, high[0]), "bottom": (1, low[1]), "top": (1, high[1])}
    found = {
        name: mesh.locate_entities_boundary(body, 1, lambda x, axis=axis, at=at: np.isclose(x[axis], at))
        for name, (axis, at) in walls.items()
    }
    facets = np.concatenate(list(found.values()))
    marks = np.concatenate([np.full(len(found[name]), SIDES[name]) for name in found])
    order = np.argsort(facets)
    index_map = body.topology.index_map(2)
    cells = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    values = np.ones(len(cells), dtype=np.int32)
    if halves:
        values[mesh.compute_midpoints(body, 2, cells)[:, 1] > (low[1] + high[1]) / 2] = 2
    return Domain(
        body,
        mesh.meshtags(body, 2, cells, values),
        mesh.meshtags(body, 1, facets[order].astype(np.int32), marks[order].astype(np.int32)),
        {"lower": 1, "upper": 2} if halves else {"body": 1},
        SIDES,
        axisymmetric,
    )


def rate(error: Callable[[int], float], divisions: Sequence[int]) -> float:
    """Slope of log error against log element size, least squares."""
    errors = [error(n) for n in divisions]
    return -float(np.polyfit(np.log(divisions), np.log(errors), 1)[0])
