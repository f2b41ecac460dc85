"""What a running transport cell shows: balance, losses by place and cause, transference, depletion, focusing, detour.

The losses add up exactly: with the potential as test function, Σ ∫ i_n (V - φ) ds over the electrodes + Σ ∫ j (φ₁ - φ₂) ds over
the interfaces + Σ ∫ i·(-∇φ) dx over the media is the electric power of the cell (with Poisson's equation, less what charges
the layers). Each is split further: an electrode into overpotential, equilibrium and Nernst's shift; a medium into i²/κ and
the diffusion potential.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.la import InsertMode
from scipy import sparse
from scipy.spatial import cKDTree

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.critical_current.observables import largest_mean
from multiscale.domain import Domain, integral
from multiscale.solvers.solver import assemble_into
from multiscale.transport import thin_layers
from multiscale.transport.media import FILM, Junction
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.cell import COUNTER, WORKING, Cell, meeting_name
from multiscale.transport_cases.model import network_name

PATH_DEGREE = 4
"""Quadrature degree of the length of flux lines."""
ALONG = 2
"""Dimension in which a face is a line along which currents can be averaged."""


@dataclass(frozen=True)
class Losses:
    """Area-specific resistance by "place, cause", ohm m²; `unaccounted`: the rest of the cell's voltage over its current."""

    parts: dict[str, float]
    total: float
    unaccounted: float


class TransportMeter:
    """Reads figures off the present solution; every form is compiled once.

    Args:
        system: between electrodes WORKING and COUNTER.
        cell: its mesh.
        window: length along a face over which its current is averaged for the focusing factor, m.
    """

    def __init__(self, system: TransportSystem, cell: Cell, window: float) -> None:
        """Write the forms down; each is compiled when it is first read."""
        self.system, self.cell, self.window = system, cell, window
        self._compiled: dict[str, Any] = {}
        self._forms: dict[str, Any] = {}
        for side in (WORKING, COUNTER):
            self._of_electrode(side)
        for pair, meetings in cell.meetings.items():
            for meeting in meetings:
                self._of_junction(meeting_name(*pair), system.interfaces[meeting.boundary])
        for name in cell.regions:
            self._of_medium(name)
        for network in system.networks:
            medium = next(name for name in cell.networks if network_name(name) == network.name)
            dissipated = ufl.replace(thin_layers.conduction(system, network), {system.test: system.u})
            self._add(f"{medium}, grain boundaries", dissipated)
            self._add(f"path {medium}", thin_layers.path_correction(system, network, PATH_DEGREE))

    # forms

    def _add(self, name: str, form: Any) -> None:
        self._forms[name] = self._forms[name] + form if name in self._forms else form

    def _of_electrode(self, side: str) -> None:
        system, contact = self.system, self.system.contacts[side]
        for e in contact.electrodes:
            law, ds, (surface, through) = e.kinetics, system.domain.ds(e.boundary), contact.passages[e.boundary]
            ψ = system.ion_potential(e.medium, e.ion, law.reference_concentration)
            near = ψ if e.film is None else system.u[system.index[FILM, e.boundary]]
            self._add(f"{side}, charge transfer", surface * (contact.metal - near - law.equilibrium) * ds)
            if e.film is not None:
                self._add(f"{side}, film", through * (near - ψ) * ds)
            if law.reference_concentration is not None:
                self._add(f"{side}, concentration", through * (ψ - system.field(e.medium)) * ds)
            if float(law.equilibrium.value):
                self._add(f"{side}, open circuit", surface * law.equilibrium * ds)

    def _of_junction(self, name: str, j: Junction) -> None:
        system, dS = self.system, self.system.domain.dS(j.boundary)
        first_reference = j.kinetics.reference_concentration if j.kinetics is not None else j.references[0]
        ψ1, ψ2 = system.ion_potential(j.first, j.ion, first_reference), system.ion_potential(j.second, j.ion, j.references[1])
        leaving, arriving = system.crossing(j)
        near = ψ1 if j.film is None else system.u[system.index[FILM, j.boundary]]
        self._add(f"{name}, interface", (arriving * (near - ψ2))("+") * dS)
        if j.film is not None:
            self._add(f"{name}, film", (leaving * (ψ1 - near))("+") * dS)
        if first_reference is not None:
            self._add(f"{name}, concentration", (leaving * (system.field(j.first) - ψ1))("+") * dS)
        if j.references[1] is not None:
            self._add(f"{name}, concentration", (arriving * (ψ2 - system.field(j.second)))("+") * dS)

    def _of_medium(self, name: str) -> None:
        for part in self.cell.parts[name]:
            self._of_part(name, part)

    def _of_part(self, name: str, part: str) -> None:
        system, medium = self.system, self.system.media[part]
        dx = system.domain.dx(*medium.regions)
        i, field = system.current(part), -ufl.grad(system.field(part))
        κ = conductivity_of(system, part)
        along = self._along(i)
        self._add(f"{name}, ohmic", ufl.dot(i, i) / κ * dx)
        self._add(f"path {name}", ufl.sqrt(ufl.dot(i, i)) * system.domain.dx(*medium.regions, degree=PATH_DEGREE))
        self._add(f"through {name}", ufl.dot(i, along) * dx)
        if not isinstance(medium.closure, SingleIon):
            self._add(f"{name}, concentration", ufl.dot(i, field - i / κ) * dx)
            N = system.fluxes(part)
            for ion in medium.species:
                if ion.charge:
                    self._add(f"carried {name} {ion.name}", FARADAY * ion.charge * ufl.dot(N[ion.name], along) * dx)

    def _along(self, current: Any) -> Any:
        """Direction in which what each ion carries counts: that of depth in a flat cell, elsewhere the current's own."""
        if not self.cell.flat:
            return current
        return ufl.as_vector([float(d == self.cell.axis) for d in range(self.cell.domain.dimension)])

    def value(self, name: str) -> float:
        """Integral of a form by name."""
        if name not in self._compiled:
            self._compiled[name] = fem.form(self._forms[name])
        return integral(self._compiled[name])

    # readings

    @property
    def parts(self) -> list[str]:
        """Names "place, cause" of the losses; those that are nowhere possible are left out."""
        return [name for name in self._forms if "," in name]

    @property
    def current(self) -> float:
        """From the working electrode's metal into the cell, A (A/m in 2-D, A/m² in 1-D)."""
        return float(self.system.contacts[WORKING].current)

    @property
    def voltage(self) -> float:
        """Working against counter electrode, V."""
        return float(self.system.contacts[WORKING].potential - self.system.contacts[COUNTER].potential)

    def imbalance(self) -> float:
        """What enters at one electrode and does not leave at the other, over the current; 0 without a current."""
        one, other = self.current, self.system.contacts[COUNTER].current
        size = max(abs(one), abs(other))
        return float(abs(one + other) / size) if size > 0 else 0.0

    def losses(self) -> Losses | None:
        """The cell's resistance by place and cause; None where no current flows."""
        current, area = self.current, self.cell.area
        if not abs(current) > 0:
            return None
        parts = {name: self.value(name) * area / current**2 for name in self.parts}
        total = self.voltage * area / current
        return Losses(parts, total, total - sum(parts.values()))

    def transference(self) -> dict[str, float]:
        """Share of the current that each ion of each medium carries, by "ion in medium"; empty where no current flows.

        In a flat cell that of the current along the depth; elsewhere each place counts by the square of its current density.
        """
        found = {}
        for name, part in self._conducting().items():
            medium = self.system.media[part]
            if isinstance(medium.closure, SingleIon) or not abs(self.current) > 0:
                continue
            through = self.value(f"through {name}")
            for ion in medium.species:
                if ion.charge and through:
                    found[f"{ion.name} in {name}"] = self.value(f"carried {name} {ion.name}") / through
        return found

    def _conducting(self) -> dict[str, str]:
        """A part of each medium of the case."""
        return {name: next(iter(parts)) for name, parts in self.cell.parts.items()}

    def lowest(self) -> dict[str, tuple[float, np.ndarray]]:
        """Smallest concentration of each charged species (mol/m³) and where (m), by "ion in medium"."""
        pairs = self.system.species_fields()
        charged = [(m, ion) for m, ion in pairs if self.system.media[m].ion(ion).charge]
        return {f"{ion} in {medium}": self.system.lowest(medium, ion) for medium, ion in charged}

    def detour(self) -> dict[str, float]:
        """Mean length of the flux lines over the straight path, of each medium of a flat cell and of the cell ("cell").

        Weighted with current: the lines of a flux I through a slab of thickness L have the mean length ∫|i| dx/I, which is exact
        for a flux without sources.
        """
        current, found, total = abs(self.current), dict[str, float](), 0.0
        if not current > 0:
            return {}
        for name, (top, bottom) in self.cell.depths.items():
            path = self.value(f"path {name}")
            total += path
            if self.cell.flat:
                found[name] = path / (current * (bottom - top))
        return found | {"cell": total / (current * self.cell.length)}

    def constriction(self) -> dict[str, float]:
        """How much the flux is squeezed in each Ohmic medium: resistance over that of straight even lines, over detour².

        One for lines of even width, whatever their detour; the conductivity of the straight path is that of the grains.
        """
        losses, detour = self.losses(), self.detour()
        if losses is None or not self.cell.flat:
            return {}
        found = {}
        for name, part in self._conducting().items():
            closure = self.system.media[part].closure
            if isinstance(closure, SingleIon):
                top, bottom = self.cell.depths[name]
                κ = closure.conductivity
                bulk = float(κ.value) if isinstance(κ, fem.Constant) else _of_region(self.system.domain, κ, "grain")
                lost = losses.parts[f"{name}, ohmic"] + losses.parts.get(f"{name}, grain boundaries", 0.0)
                found[name] = lost * bulk / (bottom - top) / detour[name] ** 2
        return found

    def focusing(self) -> dict[str, float]:
        """Largest current density over the mean of the cell, averaged over `window`, by face; empty without a current.

        Along the line that a face is in a plane cell; on a surface (3-D, axial symmetry) around each facet, weighted by one
        minus the distance over the window. In 1-D every face is one point.
        """
        found = {}
        for name in (WORKING, COUNTER, *(meeting_name(*pair) for pair in self.cell.meetings)):
            pieces = self.face(name)
            if not abs(self.current) > 0:
                continue
            size, amount = pieces[:, 0], np.abs(pieces[:, 1])
            domain, mean = self.cell.domain, abs(self.current) / self.cell.area
            if domain.dimension == ALONG and not domain.axisymmetric and len(size) > 1:
                largest = largest_mean(size, amount, min(self.window, float(size.sum())))
            else:
                largest = largest_around(pieces[:, 2:], size, amount, self.window)
            found[name] = largest / mean
        return found

    def face(self, name: str) -> np.ndarray:
        """Pieces of a face, sorted along it: size (m² or m), current (A or A/m), and centre (m); shape (n, 2 + dimension)."""
        domain = self.system.domain
        if name not in self._compiled:
            space = fem.functionspace(domain.mesh, ("DG", 0))
            w, x = ufl.TestFunction(space), ufl.SpatialCoordinate(domain.mesh)
            forms = self._outer(name, w, x) if name in (WORKING, COUNTER) else self._inner(name, w, x)
            self._compiled[name] = space, [fem.form(form) for form in forms]
        space, forms = self._compiled[name]
        columns = np.column_stack([cell_values(space, form) for form in forms])
        rows = np.vstack(domain.comm.allgather(columns[columns[:, 0] > 0]))
        rows[:, 2:] /= rows[:, :1]
        return rows[np.lexsort(rows.T[2:])]

    def _outer(self, side: str, w: Any, x: Any) -> list[Any]:
        """Forms of size, current and place of the pieces of an electrode."""
        domain, contact = self.system.domain, self.system.contacts[side]
        whole = domain.ds(*contact.boundaries)
        current = sum(contact.passages[name][1] * w * domain.ds(name) for name in contact.boundaries)
        return [domain.constant(1.0) * w * whole, current, *(x[d] * w * whole for d in range(domain.dimension))]

    def _inner(self, name: str, w: Any, x: Any) -> list[Any]:
        """Forms of size, current and place of the pieces of an interface, each counted at its first medium."""
        system, domain = self.system, self.system.domain
        pair = next(pair for pair in self.cell.meetings if meeting_name(*pair) == name)
        sums: list[Any] = [0] * (2 + domain.dimension)
        for meeting in self.cell.meetings[pair]:
            j = system.interfaces[meeting.boundary]
            inside = fem.Function(w.ufl_function_space())
            inside.x.array[domain.cells(*system.media[j.first].regions)] = 1.0
            test, measure = (inside * w)("+") + (inside * w)("-"), domain.dS(meeting.boundary)
            values = [domain.constant(1.0)("+"), system.junction_current(j)("+"), *(x[d]("+") for d in range(domain.dimension))]
            sums = [total + value * test * measure for total, value in zip(sums, values, strict=True)]
        return sums


def largest_around(places: np.ndarray, sizes: np.ndarray, amounts: np.ndarray, window: float) -> float:
    """Largest density of pieces of a surface, averaged around each with the weight 1 - r/window."""
    tree = cKDTree(places)
    weight = tree.sparse_distance_matrix(tree, window, output_type="coo_matrix").tocsr()
    weight.data = 1 - weight.data / window
    weight += sparse.identity(len(places)) - sparse.diags(weight.diagonal())
    return float(np.max((weight @ amounts) / (weight @ sizes)))


def conductivity_of(system: TransportSystem, name: str) -> Any:
    """Local conductivity of a medium, S/m: κ, or F² Σ z² D c/(RT)."""
    medium = system.media[name]
    if isinstance(medium.closure, SingleIon):
        return medium.closure.conductivity
    strength = sum(ion.charge**2 * ion.diffusivity * system.concentration(name, ion.name) for ion in medium.species)
    return FARADAY**2 * strength / (GAS_CONSTANT * medium.temperature)


def cell_values(space: Any, form: Any) -> np.ndarray:
    """Values of a compiled linear form over piecewise constants, on the owned cells."""
    field = fem.Function(space)
    assemble_into(field.x.petsc_vec, form)
    field.x.scatter_reverse(InsertMode.add)
    return np.array(field.x.array[: space.dofmap.index_map.size_local])


def _of_region(domain: Domain, field: fem.Function, region: str) -> float:
    """Value of a piecewise constant field in a region (the same on every rank)."""
    cells = domain.cells(region)
    mine = float(field.x.array[cells].max(initial=-np.inf))
    return float(max(domain.comm.allgather(mine)))


