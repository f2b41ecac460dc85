"""What a swelling cell shows: stresses by medium and depth, pressure on the electrodes, how far the working face moves."""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from multiscale.dolfinx_compat import interpolation_points
from multiscale.domain import integral
from multiscale.mechanics.elasticity import pressure_of
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.cell import WORKING, Cell
from multiscale.transport_cases.meter import cell_values
from multiscale.transport_cases.slices import Slices

AXES = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2)}
"""Normal components of the stress that are told."""
DISPLACEMENT = "displacement_m"

Row = dict[str, float | None]


class StressMeter(Slices):
    """Reads stresses off the present solution; every form is compiled once.

    Args:
        system: with a body.
        cell: its mesh.
    """

    def __init__(self, system: TransportSystem, cell: Cell) -> None:
        """Write the forms down."""
        super().__init__(system, cell)
        domain, body = system.domain, system.body
        assert body is not None
        self._means: dict[str, list[Any]] = {}
        self._sizes: dict[str, float] = {}
        for name, parts in cell.parts.items():
            self.cut(name, cell.depths[name], cell.regions[name])
            sums: list[Any] = [0] * (len(AXES) + 1)
            for part, regions in parts.items():
                σ, dx = body.stress(system, part), domain.dx(*regions)
                values = [*(σ[place] for place in AXES.values()), pressure_of(σ)]
                sums = [total + value * self.test * dx for total, value in zip(sums, values, strict=True)]
            self._means[name] = [fem.form(total) for total in sums]
            self._sizes[name] = integral(domain.constant(1.0) * domain.dx(*cell.regions[name]))
        self._faces = {}
        for side, touched in cell.touches.items():
            pressed = sum(body.normal_pressure(system, part) * domain.ds(boundary) for boundary, part in touched.items())
            area = integral(domain.constant(1.0) * domain.ds(*touched))
            self._faces[side] = fem.form(pressed), area
        u, ds = body.displacement(system, system.u), domain.ds(*cell.touches[WORKING])
        self._moved = fem.form(-cell.direction * u[cell.axis] * ds)
        self._space = fem.functionspace(domain.mesh, ("DG", told_at(system), (3, 3)))
        self._stress = fem.Function(self._space)
        self._tensors = {part: fem.Expression(body.stress(system, part), interpolation_points(self._space))
                         for parts in cell.parts.values() for part in parts}  # fmt: skip

    @property
    def lateral(self) -> str:
        """Component in the plane of flat layers."""
        return "xx" if self.cell.axis else "yy"

    def row(self) -> Row:
        """Means of the stress (Pa), largest principal stress (tensile positive), pressure on the electrodes, swelling (m)."""
        found: Row = {}
        largest = self.largest()
        for name, size in self._sizes.items():
            for axis, form in zip((*AXES, "pressure"), self._means[name], strict=True):
                total = self.comm.allreduce(float(np.sum(cell_values(self.space, form))))
                told = f"mean_stress_{axis}" if axis in AXES else "mean_pressure"
                found[f"{told}_in_{name}_Pa"] = total / size
            found[f"largest_principal_stress_in_{name}_Pa"] = largest[name]
        for side, (form, area) in self._faces.items():
            found[f"normal_pressure_on_{side}_Pa"] = integral(form) / area
        found["working_face_moved_out_m"] = integral(self._moved) / self._faces[WORKING][1]
        return found

    def largest(self) -> dict[str, float]:
        """Largest principal stress of each medium at the corners of its cells (in axial symmetry: their centres), Pa."""
        found = {}
        for name, parts in self.cell.parts.items():
            mine = -np.inf
            for part, regions in parts.items():
                cells = self.system.domain.cells(*regions)
                self._stress.interpolate(self._tensors[part], cells)
                dofs = self._space.dofmap.list[cells]
                tensors = self._stress.x.array.reshape(-1, 3, 3)[dofs.ravel()]
                if len(tensors):
                    mine = max(mine, float(np.linalg.eigvalsh((tensors + tensors.transpose(0, 2, 1)) / 2).max()))
            found[name] = float(self.comm.allreduce(mine, op=MPI.MAX))
        return found

    def read(self) -> dict[str, list[list[float]]]:
        """Stress xx, yy, zz and pressure (Pa) in the slices of `depth`, by medium."""
        return {name: self.means(name, *forms) for name, forms in self._means.items()}


def told_at(system: TransportSystem) -> int:
    """Degree of the functions that stresses are read as: corners; in axial symmetry, whose hoop strain is u/r, centres."""
    return 0 if system.domain.axisymmetric else 1


def stress_fields(system: TransportSystem, cell: Cell) -> dict[str, fem.Function]:
    """Displacement, stress and pressure as discontinuous linear functions, by name."""
    body, domain = system.body, system.domain
    if body is None:
        return {}
    scalar = fem.functionspace(domain.mesh, ("DG", 1))
    vector = fem.functionspace(domain.mesh, ("DG", 1, (domain.dimension,)))
    moved = fem.Function(vector)
    moved.interpolate(fem.Expression(body.displacement(system, system.u), interpolation_points(vector)))
    found = {DISPLACEMENT: moved}
    parts = [(part, regions) for parts in cell.parts.values() for part, regions in parts.items()]
    for axis, place in (*AXES.items(), ("xy", (0, 1)), ("pressure", None)):
        raw = fem.functionspace(domain.mesh, ("DG", told_at(system)))
        told, corners = fem.Function(raw), fem.Function(scalar)
        for part, regions in parts:
            σ = body.stress(system, part)
            value: Any = pressure_of(σ) if place is None else σ[place]
            told.interpolate(fem.Expression(ufl.as_ufl(value), interpolation_points(raw)), domain.cells(*regions))
        corners.interpolate(told)
        found["pressure_Pa" if place is None else f"stress_{axis}_Pa"] = corners
    return found
