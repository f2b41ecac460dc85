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

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.critical_current.observables import largest_mean
from multiscale.domain import Domain, integral
from multiscale.solvers.solver import assemble_into
from multiscale.transport.media import Electrode, Medium
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.system import TransportSystem
from multiscale.transport_cases.geometry import COUNTER, WORKING, Cell

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
            self._of_electrode(side, system.contacts[side].electrode)
        for name in system.interfaces:
            self._of_junction(name)
        for name, medium in system.media.items():
            self._of_medium(name, medium)

    # forms

    def _of_electrode(self, side: str, electrode: Electrode) -> None:
        system, law = self.system, electrode.kinetics
        metal, _ = system.metal(electrode)
        i = system.charge_transfer(electrode.medium, electrode.ion, law, metal)
        ψ = system.ion_potential(electrode.medium, electrode.ion, law.reference_concentration)
        ds = system.domain.ds(side)
        self._forms[f"{side}, charge transfer"] = i * (metal - ψ - law.equilibrium) * ds
        if law.reference_concentration is not None:
            self._forms[f"{side}, concentration"] = i * (ψ - system.field(electrode.medium)) * ds
        if float(law.equilibrium.value):
            self._forms[f"{side}, open circuit"] = i * law.equilibrium * ds

    def _of_junction(self, name: str) -> None:
        system, j = self.system, self.system.interfaces[name]
        first_reference = j.kinetics.reference_concentration if j.kinetics is not None else j.references[0]
        ψ1, ψ2 = system.ion_potential(j.first, j.ion, first_reference), system.ion_potential(j.second, j.ion, j.references[1])
        drive, plain = ψ1 - ψ2, system.field(j.first) - system.field(j.second)
        dS = system.domain.dS(name)
        i = system.junction_current(j)
        self._forms[f"{name}, interface"] = i("+") * drive("+") * dS
        if first_reference is not None or j.references[1] is not None:
            self._forms[f"{name}, concentration"] = i("+") * (plain - drive)("+") * dS

    def _of_medium(self, name: str, medium: Medium) -> None:
        system = self.system
        dx = system.domain.dx(*medium.regions)
        i, field = system.current(name), -ufl.grad(system.field(name))
        κ = conductivity_of(system, name)
        axis = self.cell.axis
        self._forms |= {
            f"{name}, ohmic": ufl.dot(i, i) / κ * dx,
            f"path {name}": ufl.sqrt(ufl.dot(i, i)) * system.domain.dx(*medium.regions, degree=PATH_DEGREE),
            f"through {name}": i[axis] * dx,
        }
        if not isinstance(medium.closure, SingleIon):
            self._forms[f"{name}, concentration"] = ufl.dot(i, field - i / κ) * dx
            N = system.fluxes(name)
            for ion in medium.species:
                if ion.charge:
                    self._forms[f"carried {name} {ion.name}"] = FARADAY * ion.charge * N[ion.name][axis] * dx

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
        """Share of the current that each ion of each medium carries, by "ion in medium"; empty where no current flows."""
        found = {}
        for name, medium in self.system.media.items():
            if isinstance(medium.closure, SingleIon) or not abs(self.current) > 0:
                continue
            through = self.value(f"through {name}")
            for ion in medium.species:
                if ion.charge and through:
                    found[f"{ion.name} in {name}"] = self.value(f"carried {name} {ion.name}") / through
        return found

    def lowest(self) -> dict[str, tuple[float, np.ndarray]]:
        """Smallest concentration of each charged species (mol/m³) and where (m), by "ion in medium"."""
        pairs = self.system.species_fields()
        charged = [(m, ion) for m, ion in pairs if self.system.media[m].ion(ion).charge]
        return {f"{ion} in {medium}": self.system.lowest(medium, ion) for medium, ion in charged}

    def detour(self) -> dict[str, float]:
        """Mean length of the flux lines over the straight path, of each medium and of the cell ("cell").

        Weighted with current: the lines of a flux I through a slab of thickness L have the mean length ∫|i| dx/I, which is exact
        for a flux without sources.
        """
        current, found, total, straight = abs(self.current), dict[str, float](), 0.0, 0.0
        if not current > 0:
            return {}
        for name, (top, bottom) in self.cell.depths.items():
            path = self.value(f"path {name}")
            found[name] = path / (current * (bottom - top))
            total, straight = total + path, straight + bottom - top
        return found | {"cell": total / (current * straight)}

    def constriction(self) -> dict[str, float]:
        """How much the flux is squeezed in each Ohmic medium: resistance over that of straight even lines, over detour².

        One for lines of even width, whatever their detour; the conductivity of the straight path is that of the grains.
        """
        losses, detour = self.losses(), self.detour()
        if losses is None:
            return {}
        found = {}
        for name, medium in self.system.media.items():
            if isinstance(medium.closure, SingleIon):
                top, bottom = self.cell.depths[name]
                κ = medium.closure.conductivity
                bulk = float(κ.value) if isinstance(κ, fem.Constant) else _of_region(self.system.domain, κ, "grain")
                found[name] = losses.parts[f"{name}, ohmic"] * bulk / (bottom - top) / detour[name] ** 2
        return found

    def focusing(self) -> dict[str, float]:
        """Largest current density over the mean, averaged over `window` along each face; empty without a current.

        In 1-D every face is one point; in 3-D the average is that of a facet.
        """
        found = {}
        for name in (WORKING, COUNTER, *self.system.interfaces):
            pieces = self.face(name)
            if pieces is None or not abs(self.current) > 0:
                continue
            size, amount = pieces[:, 0], pieces[:, 1]
            mean = abs(self.current) / self.cell.area
            if self.cell.domain.dimension == ALONG and len(size) > 1:
                largest = largest_mean(size, np.abs(amount), min(self.window, float(size.sum())))
            else:
                largest = float(np.max(np.abs(amount) / size))
            found[name] = largest / mean
        return found

    def face(self, name: str) -> np.ndarray:
        """Pieces of a face, sorted along it: size (m² or m), current (A or A/m), and centre (m); shape (n, 2 + dimension)."""
        domain, dim = self.system.domain, self.system.domain.dimension
        if name not in self._compiled:
            space = fem.functionspace(domain.mesh, ("DG", 0))
            w, x = ufl.TestFunction(space), ufl.SpatialCoordinate(domain.mesh)
            if name in self.system.interfaces:
                first = self.system.media[self.system.interfaces[name].first]
                inside = fem.Function(space)
                inside.x.array[domain.cells(*first.regions)] = 1.0
                measure, i = domain.dS(name), self.system.junction_current(self.system.interfaces[name])("+")
                test = (inside * w)("+") + (inside * w)("-")
                one, places = domain.constant(1.0)("+"), [x[d]("+") for d in range(dim)]
            else:
                e = self.system.contacts[name].electrode
                measure, test = domain.ds(name), w
                i = self.system.charge_transfer(e.medium, e.ion, e.kinetics, self.system.metal(e)[0])
                one, places = domain.constant(1.0), [x[d] for d in range(dim)]
            self._compiled[name] = space, [fem.form(f * test * measure) for f in (one, i, *places)]
        space, forms = self._compiled[name]
        columns = np.column_stack([cell_values(space, form) for form in forms])
        rows = np.vstack(domain.comm.allgather(columns[columns[:, 0] > 0]))
        rows[:, 2:] /= rows[:, :1]
        return rows[np.lexsort(rows.T[2:])]


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


