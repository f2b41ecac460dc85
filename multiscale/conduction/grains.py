"""Steady ionic conduction through grains whose boundaries resist: thin layers on the faces between grains (docs/physics.md).

Each group of grains that do not touch has a potential of its own; what lies between two is `transport.thin_layers.conduction`.
Grains and interlayer are joined by a contact whose resistance is JOIN times that of the better conductor across the cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from scipy.spatial import cKDTree

from multiscale.conduction.steady import ConductionFigures, assembled, balanced, largest_focus
from multiscale.dolfinx_compat import interpolation_points
from multiscale.domain import Domain, integral, piecewise
from multiscale.solvers.solver import Reaction
from multiscale.transport import thin_layers
from multiscale.transport.interfaces import outer_alone, touching, with_interfaces
from multiscale.transport.media import Junction, Medium, Network, ThinLayer
from multiscale.transport.nernst_planck import SingleIon, Species
from multiscale.transport.steady import steady
from multiscale.transport.system import TransportSystem

JOIN = 1e-6
"""Resistance of a joint over that of the better conductor across the cell: the answer is off by less."""
ION = (Species("Li+", 1, 1.0),)


@dataclass(frozen=True)
class Boundaries:
    """Thin boundaries between grains.

    Attributes:
        conductivity: S/m, across and along.
        width: m.
    """

    conductivity: float
    width: float


class GrainConduction:
    """A conduction problem with resistive grain boundaries, read like `steady.Conduction`.

    Args:
        domain: mesh with names, one region for each grain.
        conductivity: of every region, S/m; all grains have the same.
        grains: regions that are grains.
        boundaries: between them.
        first, second: names of the boundaries of the two electrodes; current is counted from the second to the first.
    """

    def __init__(
        self, domain: Domain, conductivity: Mapping[str, float], grains: Sequence[str], boundaries: Boundaries,
        first: Sequence[str], second: Sequence[str],
    ) -> None:  # fmt: skip
        """Write the equations down. Raises UserError: fewer than two grains, a mesh finer than the boundaries."""
        κ = conductivity[grains[0]]
        found = thin_layers.grouped(outer_alone(domain), tuple(grains), "grains")
        others = {name: (name,) for name in domain.regions if name not in grains}
        groups = {**found.groups, **others}
        self.domain, joints = _joined(found.domain, groups, others, conductivity)
        self.conductivity = piecewise(self.domain, conductivity)
        media = [Medium(name, SingleIon(conductivity[own[0]]), ION, own) for name, own in groups.items()]
        layer = ThinLayer(boundaries.width, boundaries.conductivity, boundaries.conductivity)
        self.network = Network("grain boundaries", found.faces, "Li+", layer, κ)
        self.system = steady(TransportSystem(self.domain, media, junctions=joints, networks=[self.network]))
        self.network = self.system.networks[0]
        self._parts = {"grain": tuple(found.groups), **{name: (name,) for name in others}}
        self.first, self.second = tuple(first), tuple(second)
        self._dofs = [self._fixed(names, volts) for names, volts in ((self.first, 0.0), (self.second, 1.0))]
        self._residual = fem.form(self.system.residual)
        self._reaction = Reaction(self.system.residual, self.system.space)
        self.potential = fem.Function(fem.functionspace(self.domain.mesh, ("DG", 1)), name="potential_V")

    def _fixed(self, names: tuple[str, ...], volts: float) -> np.ndarray:
        """Hold every medium that touches an electrode; the local unknowns that are held."""
        system = self.system
        held = []
        for medium in system.media:
            system.fix(medium, "potential", volts, *names)
            held.append(system.bcs[-1].dof_indices()[0])
        return np.unique(np.concatenate(held))

    def solve(self) -> ConductionFigures:
        """Solve at 1 V and read the figures; raises as `steady.Conduction.solve`."""
        system, domain = self.system, self.domain
        report = system.solve()
        out, into = (sign * self._reaction.total(dofs) for sign, dofs in zip((-1, 1), self._dofs, strict=True))
        balance = balanced(into, out)
        heat = {name: sum(integral(self._heat(part)) for part in parts) for name, parts in self._parts.items()}
        heat |= {name: heat[name] + self._of_joints(name) for name in self._parts if name != "grain"}
        heat["grain boundaries"] = integral(ufl.replace(thin_layers.conduction(system, self.network), {system.test: system.u}))
        total = sum(heat.values())
        path: Any = thin_layers.path_correction(system, self.network, 2)
        for name, medium in system.media.items():
            i = system.current(name)
            path += ufl.sqrt(ufl.dot(i, i)) * domain.dx(*medium.regions, degree=2)
            points = interpolation_points(self.potential.function_space)
            self.potential.interpolate(fem.Expression(system.field(name), points), domain.cells(*medium.regions))
        here, there = (self._places(dofs) for dofs in self._dofs)
        return ConductionFigures(
            1 / into, {name: value / total for name, value in heat.items()}, balance, integral(path) / into,
            float(cKDTree(here).query(there)[0].min()), integral(domain.constant(1.0) * domain.ds(*self.first)), 0,
            report.unknowns,
        )  # fmt: skip

    def _heat(self, part: str) -> Any:
        medium, i = self.system.media[part], self.system.current(part)
        κ: Any = medium.closure.conductivity  # type: ignore[union-attr]
        return ufl.dot(i, i) / κ * self.domain.dx(*medium.regions)

    def _of_joints(self, name: str) -> float:
        """What the joints of a medium dissipate (JOIN of it)."""
        system, heat = self.system, 0.0
        for boundary, joint in system.interfaces.items():
            if joint.second == name:
                jump = system.field(joint.first) - system.field(joint.second)
                heat += integral((jump**2 / joint.resistance)("+") * self.domain.dS(boundary))
        return heat

    def focusing_factor(self, window: float) -> float:
        """As `steady.Conduction.focusing_factor`."""
        space, scalar = self.system.space, fem.functionspace(self.domain.mesh, ("P", 1))
        owned, size = space.dofmap.index_map.size_local, space.dofmap.index_map_bs
        on = np.unique(self._dofs[0] // size)
        on = on[on < owned]
        current = -assembled(self._residual, space).reshape(-1, size).sum(axis=1)[on]
        area = assembled(fem.form(ufl.TestFunction(scalar) * self.domain.ds(*self.first)), scalar)[on]
        return largest_focus(self.domain, space.tabulate_dof_coordinates()[on], current, area, window)

    def _places(self, dofs: np.ndarray) -> np.ndarray:
        """Places of all nodes of an electrode, on every rank."""
        space = self.system.space
        blocks = np.unique(dofs // space.dofmap.index_map_bs)
        blocks = blocks[blocks < space.dofmap.index_map.size_local]
        return np.vstack(self.domain.comm.allgather(space.tabulate_dof_coordinates()[blocks]))


def _joined(
    domain: Domain, groups: Mapping[str, tuple[str, ...]], others: Mapping[str, Any], conductivity: Mapping[str, float]
) -> tuple[Domain, list[Junction]]:
    """Joints between the groups of grains and what else there is, on the domain that names their faces."""
    pairs = [(a, b) for a, b in touching(domain, groups) if a in others or b in others]
    pairs = [(b, a) if a in others else (a, b) for a, b in pairs]
    if not pairs:
        return domain, []
    named = {f"{a}|{b}": (groups[a], groups[b]) for a, b in pairs}
    x, comm = domain.mesh.geometry.x, domain.comm
    low = np.min(comm.allgather(x.min(axis=0, initial=np.inf)), axis=0)
    high = np.max(comm.allgather(x.max(axis=0, initial=-np.inf)), axis=0)
    resistance = JOIN * float((high - low).min()) / max(conductivity.values())
    return with_interfaces(domain, named), [Junction(f"{a}|{b}", a, b, "Li+", resistance) for a, b in pairs]
