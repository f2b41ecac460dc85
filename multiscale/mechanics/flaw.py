"""Elastic response of the cell to the lithium pressure in its flaw and to the stack pressure.

Plane strain; rollers at the symmetry sides and at the counter electrode. The lithium is a soft fluid here: it presses
on its flat surface with the stack pressure and on the faces of the flaw with the flaw's own pressure, the same two
pressures that shift the equilibrium of charge transfer. The problem is linear: two unit loads give every answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.errors import RunFailure
from meshes.polycrystal import LayeredCell
from multiscale.domain import Domain, fill, piecewise
from multiscale.materials import Elastic, Stiffness
from multiscale.mechanics.elasticity import (
    crack_driving_force,
    elastic_energy,
    energy_density,
    extension_field,
    pressure_work,
    strain,
)
from multiscale.mechanics.random_field import RandomField
from multiscale.solvers.solver import LinearSolver, rigid_body_modes, unknowns_of

DIRECT_LIMIT = 400_000
"""Unknowns up to which the displacement is solved directly: in the plane MUMPS stays ahead of multigrid this far."""


@dataclass(frozen=True)
class FlawResponse:
    """Answers per unit pressure, to be combined linearly.

    Attributes:
        intensity_flaw, intensity_stack: K_I per Pa in the flaw and per Pa of stack pressure, m^½ (the second is
            negative where the stack pressure closes the flaw).
        distance: from the mouth to the start of the round tip, increasing, shape (k,), m.
        unloaded: half opening without load there, shape (k,), m.
        opening_flaw, opening_stack: change of the half opening per Pa there, shape (k,), m/Pa.
    """

    intensity_flaw: float
    intensity_stack: float
    distance: np.ndarray
    unloaded: np.ndarray
    opening_flaw: np.ndarray
    opening_stack: np.ndarray

    def stress_intensity(self, flaw_pressure: float, stack_pressure: float) -> float:
        """K_I, Pa m^½; negative means closed."""
        return self.intensity_flaw * flaw_pressure + self.intensity_stack * stack_pressure

    def pressure_at(self, toughness: float, stack_pressure: float) -> float:
        """Pressure in the flaw at which K_I equals a toughness (Pa m^½), Pa."""
        return (toughness - self.intensity_stack * stack_pressure) / self.intensity_flaw

    def half_opening(self, flaw_pressure: float, stack_pressure: float) -> np.ndarray:
        """Half opening along the flaw under both pressures, shape (k,), m; zero where the faces would overlap."""
        change = self.opening_flaw * flaw_pressure + self.opening_stack * stack_pressure
        return np.maximum(self.unloaded + change, 0.0)


class FlawMechanics:
    """Solves the two unit loads of a cell with a flaw; forms and matrix pattern are kept between materials.

    Args:
        domain: of `layered_domain`.
        cell: its geometry, with a flaw.
        degree: of the displacement.
        modulus: random factor of the moduli of the polycrystal; None for even ones.

    Attributes:
        stiffness: Lamé fields, Pa, filled by `response`.
    """

    def __init__(self, domain: Domain, cell: LayeredCell, degree: int = 2, modulus: RandomField | None = None) -> None:
        """Compile the forms; nothing is solved yet."""
        assert cell.flaw is not None
        self.domain, self.cell = domain, cell
        self._uneven = None if modulus is None else _Uneven(domain, cell, modulus)
        space = fem.functionspace(domain.mesh, ("P", degree, (2,)))
        self.displacement = fem.Function(space, name="displacement_m")
        self._first_lame, self._shear = (piecewise(domain, dict.fromkeys(domain.regions, 1.0)) for _ in range(2))
        self.stiffness = stiffness = Stiffness(self._first_lame, self._shear)
        self._in_flaw, self._on_lithium = domain.constant(0.0), domain.constant(0.0)
        trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
        energy = elastic_energy(self.displacement, stiffness, domain)
        work = pressure_work(self.displacement, self._in_flaw, domain, "flaw")
        work += pressure_work(self.displacement, self._on_lithium, domain, "lithium")
        bilinear = ufl.derivative(ufl.derivative(energy, self.displacement, test), self.displacement, trial)
        sides = domain.fixed(space, 0.0, "left", "right", component=0)
        top = domain.fixed(space, 0.0, "counter", component=1)
        linear = ufl.derivative(work, self.displacement, test)
        choices: dict[str, Any] = {"method": "direct-spd"}
        if unknowns_of(space) > DIRECT_LIMIT:
            choices = {"method": "elastic", "near_nullspace": rigid_body_modes(space)}
        self._solver = LinearSolver(bilinear, linear, self.displacement, [sides, top], **choices)
        θ = extension_field(domain, (cell.middle, cell.flaw.depth), (0.0, 1.0), *contour_radii(cell))
        force = crack_driving_force(self.displacement, stiffness, domain, θ, pressure=self._in_flaw, faces=("flaw",))
        if self._uneven is not None:
            force = force - self._uneven.left_behind(self.displacement, stiffness, θ)
        self._release = fem.form(force)
        self._faces = _face_nodes(domain, space)

    def response(self, materials: Mapping[str, Elastic]) -> FlawResponse:
        """Unit-load answers for the elastic constants of each region.

        K_I is sqrt(E' G) with the plane-strain modulus of the grains, the material whose toughness is measured (with uneven
        moduli: of the place of the tip).

        Raises:
            RunFailure: the solve failed, or the pressure in the flaw releases no energy.
        """
        fill(self._first_lame, self.domain, {name: m.first_lame for name, m in materials.items()})
        fill(self._shear, self.domain, {name: m.shear_modulus for name, m in materials.items()})
        if self._uneven is not None:
            self._uneven.scale(self._first_lame, self._shear)
        by_flaw, released_flaw = self._unit_load(1.0, 0.0, reassemble=True)
        by_stack, _ = self._unit_load(0.0, 1.0)
        self._unit_fields = (by_flaw, by_stack)
        self.displacement.x.array[:] = by_flaw + by_stack
        released_both = self._released(1.0, 1.0)
        self.displacement.x.array[:] = by_stack
        released_stack = self._released(0.0, 1.0)
        if released_flaw <= 0:
            raise RunFailure(f"flaw: a unit pressure releases {released_flaw:g} J/m², so no stress intensity follows")
        modulus = materials["grain"].plane_strain_modulus * (1.0 if self._uneven is None else self._uneven.at_tip)
        intensity = float(np.sqrt(modulus * released_flaw))
        mixed = modulus * (released_both - released_flaw - released_stack) / (2 * intensity)
        distance, unloaded, openings = self._openings((by_flaw, by_stack))
        return FlawResponse(intensity, float(mixed), distance, unloaded, openings[0], openings[1])

    def combined(self, flaw_pressure: float, stack_pressure: float) -> fem.Function:
        """Displacement under both pressures, m (after `response`)."""
        by_flaw, by_stack = self._unit_fields
        self.displacement.x.array[:] = flaw_pressure * by_flaw + stack_pressure * by_stack
        return self.displacement

    def _unit_load(self, in_flaw: float, on_lithium: float, reassemble: bool = False) -> tuple[np.ndarray, float]:
        """Displacement (local array) and energy release rate under one load."""
        self._in_flaw.value, self._on_lithium.value = in_flaw, on_lithium
        self._solver.solve(reassemble=reassemble)
        return self.displacement.x.array.copy(), self._released(in_flaw, on_lithium)

    def _released(self, in_flaw: float, on_lithium: float) -> float:
        """Energy release rate of the present displacement under these pressures, J/m²."""
        self._in_flaw.value, self._on_lithium.value = in_flaw, on_lithium
        return self.domain.comm.allreduce(fem.assemble_scalar(self._release))

    def _openings(self, fields: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Distance, unloaded half opening and half-opening changes on the nodes of the left face."""
        assert self.cell.flaw is not None
        nodes, where = self._faces
        columns = [field[2 * nodes] for field in fields]
        rows = np.vstack(self.domain.comm.allgather(np.column_stack([where, *columns])))
        end = self.cell.flaw.depth - self.cell.flaw.tip_radius
        rows = rows[rows[:, 1] <= end * (1 + 1e-9)]
        left, right = (_sorted_by_height(rows[rows[:, 0] * s > self.cell.middle * s]) for s in (-1, 1))
        height = left[:, 1]
        opening = [(np.interp(height, right[:, 1], right[:, k]) - left[:, k]) / 2 for k in range(2, rows.shape[1])]
        return height, self.cell.middle - left[:, 0], opening


class _Uneven:
    """Moduli of the polycrystal (grains and boundaries) times a random factor; the interphase is left as it is."""

    def __init__(self, domain: Domain, cell: LayeredCell, modulus: RandomField) -> None:
        """Evaluate the factor and its slope in the middle of every cell."""
        assert cell.flaw is not None
        self.domain = domain
        self.cells = domain.cells(*(name for name in ("grain", "boundary") if name in domain.regions))
        middle = domain.mesh.geometry.x[domain.mesh.geometry.dofmap[self.cells, :3]].mean(axis=1)
        self.factor = modulus.factor(middle)
        self.at_tip = float(modulus.factor(np.array([[cell.middle, cell.flaw.depth]]))[0])
        self.slope = fem.Function(fem.functionspace(domain.mesh, ("DG", 0, (2,))))
        self.slope.x.array.reshape(-1, 2)[self.cells] = modulus.slope(middle)

    def scale(self, *fields: fem.Function) -> None:
        """Multiply DG0 moduli by the factor, in place."""
        for field in fields:
            field.x.array[self.cells] *= self.factor

    def left_behind(self, displacement: fem.Function, stiffness: Stiffness, extension: fem.Function) -> Any:
        """What the driving force of `crack_driving_force` holds too much: its θ carries the moduli along with the crack.

        A crack that grows through a body at rest leaves them where they are, so that the stored energy changes by
        ∫ (∂ψ/∂x at fixed strain)·θ dx = ∫ ψ ∇(ln f)·θ dx less.
        """
        ψ = energy_density(strain(displacement, self.domain), stiffness)
        return ψ * ufl.dot(self.slope, extension) * self.domain.dx()


def contour_radii(cell: LayeredCell) -> tuple[float, float]:
    """Radii (m) between which the virtual crack extension falls from one to zero: beyond the lining, short of walls."""
    assert cell.flaw is not None
    lining = cell.interphase_thickness if cell.flaw.lined else cell.boundary_width
    room = min(cell.flaw.depth, 0.4 * cell.width, cell.height - cell.flaw.depth)
    outer = 0.8 * room
    return min(1.2 * (lining + cell.flaw.tip_radius), 0.6 * outer), outer


def _face_nodes(domain: Domain, space: fem.FunctionSpace) -> tuple[np.ndarray, np.ndarray]:
    """Owned node numbers on the flaw's faces and their coordinates, shapes (k,) and (k, 2)."""
    domain.mesh.topology.create_connectivity(1, 2)
    nodes = fem.locate_dofs_topological(space, 1, domain.facets("flaw"))
    nodes = nodes[nodes < space.dofmap.index_map.size_local]
    return nodes, space.tabulate_dof_coordinates()[nodes, :2]


def _sorted_by_height(rows: np.ndarray) -> np.ndarray:
    return rows[np.argsort(rows[:, 1], kind="stable")]
