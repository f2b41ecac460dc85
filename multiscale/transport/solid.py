"""The media of a transport system as one elastic body that swells: equilibrium, and what stress does to ions and reactions.

The displacement is a field of the system over all its media, solved for together with the ions (docs/physics.md 1.3). A
medium whose ions have a partial molar volume has its pressure as a field too, so that its gradient drives them. Tensors are
3×3 in the axes of the mesh (in one dimension the first is the depth); what a mesh lacks is held, as in plane strain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx import mesh as meshes
from mpi4py import MPI
from ufl import inner, tr

from coupling.constants import FARADAY
from multiscale.domain import Domain, piecewise
from multiscale.materials import Elastic, Stiffness
from multiscale.mechanics import elasticity
from multiscale.transport.media import Electrode

SOLID, PRESSURE, PRESSED = "solid", "pressure", "pressed"
"""Stands for a medium in the names of the displacement's fields; the pressure's name in its medium; stands for a medium in the
names of the pressures on the faces of metals."""
STRESS = "stress"
"""In place of a pressure of kinetics: the normal pressure that the body's stress makes."""
EVENLY = (1 / 3, 1 / 3, 1 / 3)
"""Shares of a volume change along the axes when it is the same in all directions."""
ROW = 1e3
"""Size of the rows of mechanics beside those of currents, A/m²."""
LEVEL = 1e-9
"""Distance from the outermost plane of a mesh, over its size, up to which a node lies in it."""


@dataclass(frozen=True)
class Expansion:
    """A volume change in proportion to a concentration: J = V (c - c_ref), of which `shares` lie along the axes.

    Attributes:
        molar_volume: V, m³/mol.
        reference: c_ref, mol/m³.
        shares: of J along the axes; they add up to one.
    """

    molar_volume: float
    reference: float
    shares: tuple[float, float, float] = EVENLY


@dataclass(frozen=True)
class ElasticMedium:
    """A medium as an elastic body with an eigenstrain ε0 = fixed + Σ V_k (c_k - c_ref) S_k + J S.

    Attributes:
        moduli: of each of its regions.
        strain: fixed eigenstrain, 3×3.
        expansion: by ion; the ions also drift down the gradient of the pressure (with the same volume).
        hosted: volume change J by what is taken up (a constant that changes in time), and its shares; None: none.
    """

    moduli: Mapping[str, Elastic]
    strain: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    expansion: Mapping[str, Expansion] = field(default_factory=dict)
    hosted: tuple[Any, tuple[float, float, float]] | None = None


@dataclass(frozen=True)
class Support:
    """How the body is held. The end of the counter electrode does not move along the depth.

    Attributes:
        axis, working_first: coordinate of the depth; whether the working electrode lies at its lower end.
        working: boundaries of the working electrode.
        pressure: on them, Pa; None: they do not move along the depth either.
        sides_held: the sides do not move outwards; else they are free (the axis of an axisymmetric cell is held always).
    """

    axis: int
    working_first: bool
    working: tuple[str, ...]
    pressure: Any = 0.0
    sides_held: bool = True


class Body:
    """Elastic media in a system.

    Args:
        domain: mesh.
        media: by the name of the medium of the system; every medium has its table.
        support: how it is held.
    """

    def __init__(self, domain: Domain, media: Mapping[str, ElasticMedium], support: Support) -> None:
        self.domain, self.media, self.support = domain, dict(media), support
        moduli = {region: m for medium in media.values() for region, m in medium.moduli.items()}
        self.stiffness = Stiffness(
            piecewise(domain, {name: m.first_lame for name, m in moduli.items()}, default=0.0),
            piecewise(domain, {name: m.shear_modulus for name, m in moduli.items()}, default=0.0),
        )
        self.largest_modulus = max(m.youngs_modulus for m in moduli.values())
        self._strain = {name: domain.constant(medium.strain) for name, medium in media.items()}
        self._grown = {
            (name, ion): (domain.constant(told.molar_volume * np.diag(told.shares)), domain.constant(told.reference))
            for name, medium in media.items() for ion, told in medium.expansion.items()
        }  # fmt: skip
        hosts = {name: medium.hosted[1] for name, medium in media.items() if medium.hosted is not None}
        self._hosted = {name: domain.constant(np.diag(shares)) for name, shares in hosts.items()}

    def names(self, electrodes: Sequence[Electrode]) -> list[tuple[str, str]]:
        """Fields that it adds to a system; those on metals let reactions see a pressure without the rounding of strains."""
        self.pressed = {e.boundary: e.medium for e in electrodes if e.kinetics.pressure is STRESS}
        faces = [(PRESSED, boundary) for boundary in self.pressed]
        pressures = [(name, PRESSURE) for name, medium in self.media.items() if medium.expansion]
        return [(SOLID, str(d)) for d in range(self.domain.dimension)] + pressures + faces

    def displacement(self, system: Any, of: Any) -> Any:
        """Vector of the displacement in an unknown or test function `of` a system, m."""
        return ufl.as_vector([of[system.index[SOLID, str(d)]] for d in range(self.domain.dimension)])

    def eigenstrain(self, system: Any, name: str) -> Any:
        """Stress-free strain ε0 of a medium at the present concentrations, 3×3."""
        medium, ε0 = self.media[name], self._strain[name]
        for ion in medium.expansion:
            V, reference = self._grown[name, ion]
            ε0 = ε0 + (system.concentration(name, ion) - reference) * V
        if medium.hosted is not None:
            ε0 = ε0 + medium.hosted[0] * self._hosted[name]
        return ε0

    def stress(self, system: Any, name: str) -> Any:
        """Stress in a medium, 3×3, Pa, tensile positive."""
        u = self.displacement(system, system.u)
        return elasticity.stress(u, self.stiffness, self.domain, self.eigenstrain(system, name))

    def pressure(self, system: Any, name: str) -> Any:
        """Pressure field that drives the ions of a medium, Pa; None where none has a volume."""
        return system.u[system.index[name, PRESSURE]] if self.media[name].expansion else None

    def normal_pressure(self, system: Any, name: str) -> Any:
        """Pressure of a medium on a metal at its outer boundary, Pa, compression positive (by its stress)."""
        return elasticity.normal_pressure(self.stress(system, name), self.domain)

    def equations(self, system: Any) -> Any:
        """Equilibrium of the whole body and the definition of the pressures, with rows of the size of currents.

        Strong form  ∇·σ = 0, σ = C:(ε - ε0), p = -tr σ/3 in each medium that needs it;
        weak form  ∫ σ:∇w dx + ∫ P n·w ds,  ∫ (p + tr σ/3) q dx (a projection onto continuous functions of the medium), and
        ∫ (p_n + n·σ·n) q ds on the face of a metal.

        ======  ===============================  ====
        symbol  variable                         unit
        ======  ===============================  ====
        ε0      eigenstrain                      1
        σ       stress                           Pa, tensile positive
        p, p_n  pressure, normal_pressure        Pa, compression positive
        P       support.pressure                 Pa, on the working electrode
        ======  ===============================  ====

        Source: docs/physics.md 1.3; Larché & Cahn, Acta Metall. 33, 331 (1985) for the coupling.
        """
        domain, scale = self.domain, self.domain.constant(ROW / self.largest_modulus)
        test = self.displacement(system, system.test)
        w = elasticity.strain(test, domain)
        x = domain.mesh.geometry.x[:, self.support.axis]
        reach = domain.comm.allreduce(float(x.max()), op=MPI.MAX) + domain.comm.allreduce(float((-x).max()), op=MPI.MAX)
        length, form = domain.constant(reach), 0
        for name in self.media:
            σ, dx = self.stress(system, name), domain.dx(*system.media[name].regions)
            form += scale * inner(σ, w) * dx
            if self.media[name].expansion:
                i = system.index[name, PRESSURE]
                form += scale / length * (system.u[i] + tr(σ) / 3) * system.test[i] * dx
        for boundary, name in self.pressed.items():
            i = system.index[PRESSED, boundary]
            form += scale * (system.u[i] - self.normal_pressure(system, name)) * system.test[i] * domain.ds(boundary)
        if self.support.pressure is not None:
            ds = domain.ds(*self.support.working)
            form += scale * self.support.pressure * ufl.dot(domain.normal, test) * ds
        return form

    def conditions(self, system: Any) -> list[Any]:
        """Planes that do not move along their normals."""
        domain, found = self.domain, []
        x = domain.mesh.geometry.x
        low = np.array([domain.comm.allreduce(float(v), op=MPI.MIN) for v in x.min(axis=0)])
        high = np.array([domain.comm.allreduce(float(v), op=MPI.MAX) for v in x.max(axis=0)])
        size = float((high - low).max())
        for axis in range(domain.dimension):
            ends = [low[axis], high[axis]]
            if axis == self.support.axis:
                ends = ends if self.support.working_first else ends[::-1]
                places = ends[1:] if self.support.pressure is not None else ends
            elif self.support.sides_held:
                places = ends
            else:
                places = ends[:1] if domain.axisymmetric and axis == 0 and abs(low[0]) < LEVEL * size else []
            for place in places:
                found.append(self._held(system, axis, float(place), LEVEL * size))
        if not self.support.sides_held and not domain.axisymmetric:
            found += self._not_sliding(system, low, high, LEVEL * size)
        return found

    def _held(self, system: Any, axis: int, place: float, near: float) -> Any:
        dim = self.domain.dimension
        facets = meshes.locate_entities_boundary(self.domain.mesh, dim - 1, lambda p: np.abs(p[axis] - place) < near)
        return self._zero(system, axis, fem.locate_dofs_topological(system.space, dim - 1, facets))

    def _zero(self, system: Any, axis: int, blocks: np.ndarray) -> Any:
        i = system.index[SOLID, str(axis)]
        dofs = (blocks * system.space.dofmap.index_map_bs + i).astype(np.int32)
        return fem.dirichletbc(self.domain.constant(0.0), dofs, system.space.sub(i))

    def _not_sliding(self, system: Any, low: np.ndarray, high: np.ndarray, near: float) -> list[Any]:
        """Points that hold a body with free sides: a corner of its foot, and in 3-D its neighbour, against turning."""
        axes = [d for d in range(self.domain.dimension) if d != self.support.axis]
        foot = (high if self.support.working_first else low)[self.support.axis]
        found, dim = [], self.domain.dimension
        for number, axis in enumerate(axes):
            corner = {self.support.axis: float(foot)} | {d: float(low[d]) for d in axes}
            places = [dict(corner)]
            if number:  # the second axis is held at both ends of the first: no turning about the depth
                places.append(corner | {axes[0]: float(high[axes[0]])})

            def at(p: np.ndarray, places: list[dict[int, float]] = places) -> np.ndarray:
                return np.any([np.all([np.abs(p[d] - v) < near for d, v in place.items()], axis=0) for place in places], axis=0)

            vertices = meshes.locate_entities_boundary(self.domain.mesh, 0, at)
            self.domain.mesh.topology.create_connectivity(0, dim)
            found.append(self._zero(system, axis, fem.locate_dofs_topological(system.space, 0, vertices)))
        return found


def ion_work(system: Any, medium: str, ion: str) -> Any:
    """Share V p/(zF) of the pressure in an ion's electrochemical potential over zF, V; None without."""
    body = system.body
    told = None if body is None else body.media[medium].expansion.get(ion)
    species = system.media[medium].ion(ion)
    if told is None or not species.charge:
        return None
    return species.molar_volume * body.pressure(system, medium) / (species.charge * FARADAY)
