"""Normal of a crack that may turn, place by place: what contact of its dry faces needs (`contact.touching_energy`).

The crack is the band of broken nodes. Around each of them, those within a distance lie along it: the axis of least spread of
their positions, Σ (x - x̄)(x - x̄)ᵀ, is the normal there. A place has the normal of the broken node next to it; ahead of the tip
that is the tip's, so that what breaks there within a step breaks as the crack has run so far. Found anew after every step.
"""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from scipy.spatial import cKDTree

from multiscale.domain import Domain

BROKEN = 0.9
"""Damage from which a node counts as crack."""
DIGITS = 8
"""Digits of places over the distance `around`: rounding must not choose between neighbours."""


class CrackNormal:
    """The normal field of one crack in a plane body.

    Args:
        domain: the body.
        around: distance within which broken nodes tell the direction, m (about 2 l).
        straight: the crack stays on a line x = constant.
    """

    def __init__(self, domain: Domain, around: float, straight: bool) -> None:
        """No crack yet: x is normal everywhere."""
        self.domain, self.around, self.straight = domain, around, straight
        self.direction: Any = ufl.as_vector([1.0, 0.0, 0.0])
        if not straight:
            self.direction = fem.Function(fem.functionspace(domain.mesh, ("DG", 0, (3,))), name="crack_normal")
            self.direction.x.array[::3] = 1.0
            self._middles = domain.mesh.geometry.x[domain.mesh.geometry.dofmap].mean(axis=1)[:, :2]

    def follow(self, damage: fem.Function) -> Any:
        """The normal (vector of three, expression) of the crack as it is now. Call on every rank."""
        if self.straight:
            return self.direction
        space = damage.function_space
        owned = space.dofmap.index_map.size_local
        here = damage.x.array[:owned] >= BROKEN
        nodes = np.vstack(self.domain.comm.allgather(space.tabulate_dof_coordinates()[:owned][here, :2]))
        if len(nodes) < 2:
            return self.direction
        nodes = np.round(nodes / self.around, DIGITS)  # the same numbers, in the same order, on any number of ranks
        nodes = nodes[np.lexsort(nodes.T)]
        tree = cKDTree(nodes)
        normals = np.array([self._normal(nodes[near]) for near in tree.query_ball_point(nodes, 1 + 10.0 ** (1 - DIGITS))])
        _, nearest = tree.query(np.round(self._middles / self.around, DIGITS))
        cells = self.direction.function_space.dofmap.list[:, 0]
        values = self.direction.x.array.reshape(-1, 3)
        values[cells] = 0.0
        values[cells, :2] = normals[nearest]
        return self.direction

    @staticmethod
    def _normal(points: np.ndarray) -> np.ndarray:
        """Unit vector of the least spread of points (n, 2)."""
        away = points - points.mean(axis=0)
        return np.asarray(np.linalg.eigh(away.T @ away)[1][:, 0])
