"""Whether a mesh resolves the diffuse layer of a Poisson run: resolve the Debye length or use the electroneutral closure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.la import InsertMode

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.errors import UserError
from multiscale.solvers.solver import assemble_into
from multiscale.transport.nernst_planck import Poisson
from multiscale.transport.system import TransportSystem

PER_LENGTH = 2.0
"""Nodes that a Debye length must hold across the cells that touch a wall or an interface."""


class DebyeUnresolved(UserError):
    """The mesh is too coarse for the Debye length. Attributes: `medium`, `debye_length` and `height` (m), `position` (m)."""

    def __init__(self, medium: str, debye_length: float, height: float, position: np.ndarray) -> None:
        """Say where and how to mend it."""
        place = ", ".join(f"{x:.6g}" for x in position)
        super().__init__(
            f"the mesh is too coarse for the Debye length: in {medium} it is {debye_length:.3g} m, the wall cell at ({place}) m "
            f"is {height:.3g} m high; refine the mesh towards the walls or use the electroneutral closure"
        )
        self.medium, self.debye_length, self.height, self.position = medium, debye_length, height, position


def check(system: TransportSystem, reservoirs: Sequence[str] = ()) -> None:
    """Look at the wall cells of each medium with Poisson's equation, at the concentrations now in the system.

    A wall cell's height (dimension times volume over wall area) over the degree of the elements may be at most the Debye
    length sqrt(ε RT/(F² Σ z² c)) over PER_LENGTH; further in, where nothing charges, cells may be coarser.

    Args:
        system: left as it was.
        reservoirs: outer boundaries that are no walls (all fields held at the values of a bulk) and carry no layer.

    Raises:
        DebyeUnresolved: with the worst cell.
    """
    for medium in system.media.values():
        if isinstance(medium.closure, Poisson):
            _check(system, medium, reservoirs)


def _check(system: TransportSystem, medium: Any, reservoirs: Sequence[str]) -> None:
    domain = system.domain
    space = fem.functionspace(domain.mesh, ("DG", 0))
    w = ufl.TestFunction(space)
    one = domain.constant(1.0)
    inside = fem.Function(space)
    inside.x.array[domain.cells(*medium.regions)] = 1.0
    edge = abs(inside("+") - inside("-"))
    volume = _assembled(space, one * w * ufl.dx(domain.mesh))
    area = _assembled(space, one * w * ufl.ds(domain.mesh) + edge * (w("+") + w("-")) * ufl.dS(domain.mesh))
    if reservoirs:
        area = area - _assembled(space, one * w * system.domain.ds(*reservoirs))
    strength = sum(ion.charge**2 * system.concentration(medium.name, ion.name) for ion in medium.species)
    ionic = _assembled(space, strength * w * ufl.dx(domain.mesh)) / volume
    ε = _assembled(space, medium.closure.permittivity * w * ufl.dx(domain.mesh)) / volume
    owned = space.dofmap.index_map.size_local
    cells = domain.cells(*medium.regions)
    cells = cells[(cells < owned) & (area[cells] > 1e-9 * area.max(initial=0.0)) & (ionic[cells] > 0)]
    T = _assembled(space, medium.temperature * w * ufl.dx(domain.mesh)) / volume
    λ = np.sqrt(ε[cells] * GAS_CONSTANT * T[cells] / (FARADAY**2 * ionic[cells]))
    height = domain.dimension * volume[cells] / area[cells]
    ratio = height / system.degree * PER_LENGTH / λ
    worst = int(np.argmax(ratio)) if len(ratio) else -1
    mine: Any = (0.0,) if worst < 0 else (
        float(ratio[worst]), float(λ[worst]), float(height[worst]),
        space.tabulate_dof_coordinates()[cells[worst]].tolist(),
    )  # fmt: skip
    found = max(domain.comm.allgather(mine))
    if found[0] > 1:
        raise DebyeUnresolved(medium.name, found[1], found[2], np.asarray(found[3]))


def _assembled(space: Any, form: Any) -> np.ndarray:
    """Cell values of a linear form over piecewise constants."""
    field = fem.Function(space)
    assemble_into(field.x.petsc_vec, fem.form(form))
    field.x.scatter_reverse(InsertMode.add)
    field.x.scatter_forward()
    return field.x.array.copy()

