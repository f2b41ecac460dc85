"""Steady ionic conduction between two electrodes on any mesh with named regions: the primary current distribution.

Strong form ∇·(κ ∇φ) = 0, φ fixed on both electrodes, all other surfaces insulating (docs/physics.md 1.1d). The field is linear
in the current, so one solve at 1 V answers for every current.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem, la
from scipy import sparse
from scipy.spatial import cKDTree

from coupling.errors import RunFailure, UserError
from coupling.units import told
from multiscale.connectivity import require_path, unreached
from multiscale.domain import Domain, integral, piecewise
from multiscale.solvers.solver import LinearSolver, Reaction, assemble_into
from multiscale.transport.single_ion import current_density, ohmic_conduction

LARGEST_IMBALANCE = 1e-6
"""Of a current, over it; what a converged solve leaves is below 1e-10."""
FEWEST = 4
"""Nodes along each direction of an electrode within the radius of an average, at least."""
ALIKE = 1e-9
"""Relative difference of averaged current densities that rounding makes."""


@dataclass(frozen=True)
class ConductionFigures:
    """What one steady solve says. "Amount" is A, in 2-D A per metre of depth; areas are m² or m.

    Attributes:
        resistance: between the electrodes, ohm (ohm m in 2-D).
        share: of the resistance that each region dissipates; they add up to one.
        imbalance: |in - out| over in.
        mean_path: mean length of the current's paths, ∫|i| dx over the current, m.
        distance: shortest straight line between the electrodes, m.
        area: of the first electrode.
        floating: unknowns that hang together with no electrode (they carry nothing).
        unknowns: global number.
    """

    resistance: float
    share: Mapping[str, float]
    imbalance: float
    mean_path: float
    distance: float
    area: float
    floating: int
    unknowns: int

    @property
    def detour_factor(self) -> float:
        """Mean path of the current over the straight one."""
        return self.mean_path / self.distance


def balanced(into: float, out: float) -> float:
    """Relative difference of the currents of the two electrodes. Raises RunFailure: they are not the same current."""
    if not into > 0 or abs(into - out) > LARGEST_IMBALANCE * into:
        raise RunFailure(f"the solution does not conserve charge: {into:.6g} A goes in and {out:.6g} A comes out of the cell")
    return abs(into - out) / into


class Conduction:
    """A steady conduction problem; its solution stays in `potential` (V, at 1 V between the electrodes).

    Args:
        domain: mesh with names.
        conductivity: of every region, S/m.
        first, second: names of the boundaries of the two electrodes; current is counted from the second to the first
            (the lithium that is plated).
        degree: of the potential.
    """

    def __init__(
        self, domain: Domain, conductivity: Mapping[str, float], first: Sequence[str], second: Sequence[str], degree: int = 1
    ) -> None:
        """Compile the forms. Raises UserError: an unknown name, an overlap, a conductivity not above zero, no path."""
        for name, value in conductivity.items():
            if not (np.isfinite(value) and value > 0):
                mend = "it must be positive (leave insulators out of the mesh)"
                raise UserError(f"conductivity of {name}: read {value:g} S/m; {mend}")
        if set(first) & set(second):
            raise UserError(f"electrodes: {', '.join(sorted(set(first) & set(second)))} cannot be both of them")
        require_path(domain, tuple(first), tuple(second))
        self.domain, self.first, self.second = domain, tuple(first), tuple(second)
        self.conductivity = piecewise(domain, conductivity)
        space = fem.functionspace(domain.mesh, ("P", degree))
        self.potential, test, trial = fem.Function(space), ufl.TestFunction(space), ufl.TrialFunction(space)
        self.potential.name = "potential_V"
        self._fixed = [domain.fixed(space, 0.0, *first), domain.fixed(space, 1.0, *second)]
        self.floating = unreached(space, np.concatenate([bc.dof_indices()[0] for bc in self._fixed]))
        grounded = fem.dirichletbc(domain.constant(0.0), self.floating, space)
        residual = ohmic_conduction(self.conductivity, self.potential, test, domain.dx())
        bilinear = ohmic_conduction(self.conductivity, trial, test, domain.dx())
        linear = domain.constant(0.0) * test * domain.dx()
        self._solver = LinearSolver(bilinear, linear, self.potential, [*self._fixed, grounded])
        self._residual, self._reaction = fem.form(residual), Reaction(residual, space)

    def solve(self) -> ConductionFigures:
        """Solve at 1 V and read the figures.

        Raises:
            RunFailure: the solver did not converge, or the answer does not conserve charge.
        """
        domain = self.domain
        report = self._solver.solve()
        out, into = (sign * self._reaction.total(bc.dof_indices()[0]) for sign, bc in zip((-1, 1), self._fixed, strict=True))
        balance = balanced(into, out)
        i = current_density(self.conductivity, self.potential)
        heat = {name: integral(ufl.dot(i, i) / self.conductivity * domain.dx(name)) for name in domain.regions}
        total = sum(heat.values())
        path = integral(ufl.sqrt(ufl.dot(i, i)) * domain.dx(degree=2)) / into
        here, there = (self._nodes(bc) for bc in self._fixed)
        owned = int(np.sum(self.floating < self.potential.function_space.dofmap.index_map.size_local))
        return ConductionFigures(
            1 / into, {name: value / total for name, value in heat.items()}, balance, path,
            float(cKDTree(here).query(there)[0].min()), integral(domain.constant(1.0) * domain.ds(*self.first)),
            domain.comm.allreduce(owned), report.unknowns,
        )  # fmt: skip

    def focusing_factor(self, window: float) -> float:
        """Largest current density on the first electrode, averaged around a point, over its mean.

        The average weighs by 1 - r/window up to the radius `window` (m). The current of a node is its reaction, so the parts
        add up to the whole current exactly.

        Raises:
            UserError: the mesh is too coarse for the window at the hottest point.
        """
        domain, space = self.domain, self.potential.function_space
        test = ufl.TestFunction(space)
        dofs = self._fixed[0].dof_indices()[0]
        owned = dofs[dofs < space.dofmap.index_map.size_local]
        current = -assembled(self._residual, space)[owned]
        area = assembled(fem.form(test * domain.ds(*self.first)), space)[owned]
        return largest_focus(domain, space.tabulate_dof_coordinates()[owned], current, area, window)

    def _nodes(self, bc: object) -> np.ndarray:
        """Places of all nodes of an electrode, on every rank."""
        space = self.potential.function_space
        dofs = bc.dof_indices()[0]  # type: ignore[attr-defined]
        owned = dofs[dofs < space.dofmap.index_map.size_local]
        return np.vstack(self.domain.comm.allgather(space.tabulate_dof_coordinates()[owned]))


def largest_focus(domain: Domain, places: np.ndarray, current: np.ndarray, area: np.ndarray, window: float) -> float:
    """Largest averaged current density over the mean one (see `Conduction.focusing_factor`), from all ranks' nodes.

    Args:
        domain: for its communicator and dimension.
        places, current, area: of this rank's nodes, shapes (n, 3), (n,), (n,); m, A, m² (A/m and m in 2-D).
        window: radius of the average, m.

    Raises:
        UserError: the mesh is too coarse for the window at the hottest point.
    """
    rows = np.vstack(domain.comm.allgather(np.column_stack([places, current, area])))
    near = cKDTree(rows[:, :3]).sparse_distance_matrix(cKDTree(rows[:, :3]), window, output_type="coo_matrix")
    weight = near.tocsr()
    weight.data = 1 - weight.data / window
    weight += sparse.identity(len(rows)) - sparse.diags(weight.diagonal())
    mean = (weight @ rows[:, 3]) / (weight @ rows[:, 4])
    nodes, hot = np.diff(weight.indptr), mean >= mean.max() - ALIKE * abs(mean.max())
    hottest = int(np.argmax(np.where(hot, nodes, -1)))  # of points alike, as under even current, that with most nodes around it
    if nodes[hottest] < FEWEST ** (domain.dimension - 1):
        found = f"read {told(window, 'm')}; only {nodes[hottest]} nodes of the mesh lie within it at the hottest point"
        raise UserError(f"conduction.window: {found}; widen it or raise geometry.resolution")
    return float(mean[hottest] / (rows[:, 3].sum() / rows[:, 4].sum()))


def assembled(form: fem.Form, space: fem.FunctionSpace) -> np.ndarray:
    """A linear form at the local unknowns; right at those this rank owns."""
    vector = fem.Function(space)
    assemble_into(vector.x.petsc_vec, form)
    vector.x.scatter_reverse(la.InsertMode.add)
    return vector.x.array
