"""Ion transport in several media at once, each with its own closure, coupled where they touch.

Every field (a concentration, a potential, the potential of a metal) lives on the cells of its own medium: it is a component
of one continuous space over the whole mesh, whose unknowns outside the medium (closure of its cells) are taken out of the
system that is solved. Two media that share an interface therefore have two independent traces there, and a jump condition
is a plain surface integral of both: the equations are those of mixed-domain assembly on submeshes, without a second mesh,
entity maps or an orientation of the interface.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from coupling.constants import FARADAY
from coupling.errors import UserError
from multiscale import dolfinx_compat
from multiscale.domain import Domain, integral
from multiscale.solvers.constrained import ConstrainedSolver
from multiscale.solvers.solver import SolveReport
from multiscale.transport import kinetics, thin_layers
from multiscale.transport import nernst_planck as planck
from multiscale.transport import single_ion as transport
from multiscale.transport.contact import Contact
from multiscale.transport.media import FILM, POTENTIAL, Electrode, Junction, Kinetics, Medium, Network, changeable
from multiscale.transport.nernst_planck import Electroneutral, Poisson, SingleIon
from multiscale.transport.solid import PRESSED, PRESSURE, SOLID, STRESS, Body, ion_work


def _element(domain: Domain, degree: int, components: int) -> Any:
    """Lagrange element of so many components (a blocked element of one has no sub-spaces in DOLFINx)."""
    cell = domain.mesh.basix_cell()
    if components == 1:
        return basix.ufl.mixed_element([basix.ufl.element("P", cell, degree)])
    return basix.ufl.element("P", cell, degree, shape=(components,))


class TransportSystem:
    """Equations of several media on one mesh.

    Further terms may be added to `residual` (current-unit rows: multiply molar terms by F) and conditions by `fix`, until
    the first solve. Steady unless `rates` are set (by the time loop): ∂u/∂t ≈ rates[0] u + rates[1] u₁ + rates[2] u₂ with
    the two older states.

    Args:
        domain: mesh with names.
        media, electrodes, junctions, networks: what is where.
        degree: of the Lagrange elements.
        method: of the linear solves, a key of `solver.OPTIONS` or "auto".
        body: the media as an elastic body that swells; None: no mechanics.
    """

    def __init__(
        self, domain: Domain, media: Sequence[Medium], electrodes: Sequence[Electrode] = (),
        junctions: Sequence[Junction] = (), degree: int = 1, method: str = "auto", networks: Sequence[Network] = (),
        body: Body | None = None,
    ) -> None:  # fmt: skip
        """Allocate the fields and write the residual down; nothing is compiled yet."""
        self.domain, self.degree, self.method, self.body = domain, degree, method, body
        media = [changeable(domain, medium) for medium in media]
        electrodes = [changeable(domain, electrode) for electrode in electrodes]
        junctions = [changeable(domain, junction) for junction in junctions]
        self.electrodes = tuple(electrodes)
        self.networks = tuple(changeable(domain, network) for network in networks)
        self.media = {medium.name: medium for medium in media}
        names = [(medium.name, field) for medium in media for field in medium.fields]
        self.metals = {e.body: tuple(other for other in electrodes if other.body == e.body) for e in electrodes}
        names += [("metal", metal) for metal in self.metals]
        faces: list[Electrode | Junction] = [*electrodes, *junctions]
        names += [(FILM, face.boundary) for face in faces if face.film is not None]
        names += [(FILM, network.name) for network in self.networks if thin_layers.has_own_potential(domain, network)]
        names += body.names(electrodes) if body is not None else []
        self.index = {name: i for i, name in enumerate(names)}
        self.space = fem.functionspace(domain.mesh, _element(domain, degree, len(names)))
        self.u, self.test = fem.Function(self.space, name="transport"), ufl.TestFunction(self.space)
        self.older = fem.Function(self.space), fem.Function(self.space)
        self.rates = tuple(domain.constant(0.0) for _ in range(3))
        self._part = self.space.sub(0)  # of conditions: only its numbering counts, which is that of every component
        self.active = {name: self._dofs(name) for name in names}
        self.bcs = [self._outside(name) for name in names]
        self.residual: Any = sum(self._bulk(medium) for medium in media)
        self._solver: ConstrainedSolver | None = None
        self._samples: dict[tuple[str, str], Any] = {}
        self.contacts = {metal: Contact(self, touching) for metal, touching in self.metals.items()}
        self.interfaces = {junction.boundary: junction for junction in junctions}
        self._refuse_layers_in_poisson()
        self.junction_currents = {j.boundary: self._junction(j) for j in junctions}
        self.residual += sum(thin_layers.conduction(self, network) for network in self.networks)
        self.residual += body.equations(self) if body is not None else 0
        self.bcs += body.conditions(self) if body is not None else []

    # fields

    def field(self, medium: str, name: str = POTENTIAL) -> Any:
        """Unknown field: the potential, or an independent concentration."""
        return self.u[self._where(medium, name)]

    def concentration(self, medium: str, ion: str) -> Any:
        """Concentration of any species of a medium, mol/m³ (one that is expressed by the others too)."""
        m = self.media[medium]
        if ion in m.fields:
            return self.field(medium, ion)
        m.ion(ion)
        if isinstance(m.closure, SingleIon):
            raise UserError(f"medium {medium}: a single-ion conductor has no concentration field")
        others = [self.field(medium, other.name) for other in m.independent]
        return planck.balancing_concentration(m.species, others, m.closure.fixed_charge)

    def rate_of(self, name: tuple[str, str], minus: tuple[str, str] | None = None) -> Any:
        """Rate of change of a field, or of the difference of two, in its unit per second."""
        i, j = self.index[name], None if minus is None else self.index[minus]
        states = zip(self.rates, (self.u, *self.older), strict=True)
        return sum(rate * (state[i] if j is None else state[i] - state[j]) for rate, state in states)

    def fluxes(self, medium: str) -> dict[str, Any]:
        """Flux of each species, mol/(m² s)."""
        m = self.media[medium]
        φ = self.field(medium)
        if isinstance(m.closure, SingleIon):
            ion = m.species[0]
            return {ion.name: transport.current_density(m.closure.conductivity, φ) / (ion.charge * FARADAY)}
        c = [self.concentration(medium, ion.name) for ion in m.species]
        packed = isinstance(m.closure, Poisson) and m.closure.site_density is not None
        Φ = planck.occupancy(m.species, c, m.closure.site_density) if packed else None  # type: ignore[union-attr]
        p = m.pressure if self.body is None else self.body.pressure(self, medium)
        return {ion.name: planck.total_flux(ion, ck, φ, m.temperature, p, Φ) for ion, ck in zip(m.species, c, strict=True)}

    def current(self, medium: str) -> Any:
        """Current density in a medium, A/m²."""
        return planck.current_density(self.media[medium].species, list(self.fluxes(medium).values()))

    def _where(self, medium: str, name: str) -> int:
        if (medium, name) not in self.index:
            raise UserError(f"there is no field {name} of {medium}; there are: {', '.join(map('/'.join, self.index))}")
        return self.index[medium, name]

    def _dofs(self, name: tuple[str, str]) -> np.ndarray:
        """Blocks on the closure of the cells (or facets) that a field lives on, ghosts included."""
        medium, field = name
        dim = self.domain.dimension
        for d in (dim, dim - 1):
            self.domain.mesh.topology.create_connectivity(d, dim)
        if medium == SOLID:
            return fem.locate_dofs_topological(self.space, dim, self.domain.cells())
        if medium in ("metal", FILM, PRESSED):
            named = [boundary for network in self.networks if network.name == field for boundary, *_ in network.faces]
            if medium == "metal":
                named = [electrode.boundary for electrode in self.metals[field]]
            return fem.locate_dofs_topological(self.space, dim - 1, self.domain.facets(*(named or [field])))
        return fem.locate_dofs_topological(self.space, dim, self.domain.cells(*self.media[medium].regions))

    def _outside(self, name: tuple[str, str]) -> Any:
        """Condition that holds a field at zero where it does not live."""
        blocks = np.setdiff1d(np.arange(len(self.u.x.array) // self.space.dofmap.index_map_bs), self.active[name])
        dofs = (blocks * self.space.dofmap.index_map_bs + self.index[name]).astype(np.int32)
        return fem.dirichletbc(self.domain.constant(0.0), dofs, self._part)

    # equations

    def _refuse_layers_in_poisson(self) -> None:
        """Poisson's equation resolves the double layer; a capacitance beside it would count it twice. Raises UserError."""
        places: list[tuple[Electrode | Junction, tuple[str, ...]]] = [(e, (e.medium,)) for e in self.electrodes]
        places += [(j, (j.first, j.second)) for j in self.interfaces.values()]
        for place, touched in places:
            for name in touched:
                if place.capacitance is not None and isinstance(self.media[name].closure, Poisson):
                    told = "whose closure resolves the double layer; leave the capacitance out"
                    raise UserError(f'boundary "{place.boundary}": a capacitance at medium {name}, {told}')

    def _bulk(self, medium: Medium) -> Any:
        dx = self.domain.dx(*medium.regions)
        w_φ = self.test[self.index[medium.name, POTENTIAL]]
        N = self.fluxes(medium.name)
        if isinstance(medium.closure, SingleIon):
            form = transport.ohmic_conduction(medium.closure.conductivity, self.field(medium.name), w_φ, dx)
            if medium.closure.permittivity is not None:
                rate = self.rate_of((medium.name, POTENTIAL))
                form += transport.ohmic_conduction(medium.closure.permittivity, rate, w_φ, dx)
            return form
        concentrations = {ion.name: self.concentration(medium.name, ion.name) for ion in medium.species}
        made = dict(medium.reactions(concentrations)) if medium.reactions else {}
        for name in made:
            medium.ion(name)
        form = self._balances(medium, N, made, dx)
        if isinstance(medium.closure, Electroneutral):
            form += planck.divergence(self.current(medium.name), w_φ, dx)
            for name, rate in made.items():
                if medium.ion(name).charge:
                    form += medium.ion(name).charge * FARADAY * planck.reaction(rate, w_φ, dx)
            return form
        charge = planck.charge_density(medium.species, list(concentrations.values()), medium.closure.fixed_charge)
        ε = medium.closure.permittivity
        scale = ε if isinstance(ε, fem.Constant) and not ε.ufl_shape else planck.VACUUM_PERMITTIVITY
        return form + planck.poisson(ε, self.field(medium.name), charge, w_φ, dx, scale)

    def _balances(self, medium: Medium, N: Mapping[str, Any], made: Mapping[str, Any], dx: Any) -> Any:
        """Balances of the independent species times F."""
        form: Any = 0
        for ion in medium.independent:
            i = self.index[medium.name, ion.name]
            w = self.test[i]
            change = self.rate_of((medium.name, ion.name))
            form += FARADAY * (planck.storage(change, w, dx) + planck.divergence(N[ion.name], w, dx))
            if ion.name in made:
                form += FARADAY * planck.reaction(made[ion.name], w, dx)
        return form

    def faradaic_inflow(self, medium: str, ion: str, current_density: Any, measure: Any, side: str = "") -> Any:
        """Terms of a current density carried into a medium by one ion through a boundary.

        Charge enters the potential's row (except with Poisson's equation, where it follows from the ions) and the ion's
        own row when its concentration is an unknown. `side` is "+" for an inner boundary.
        """
        m = self.media[medium]
        species = m.ion(ion)
        if not species.charge:
            raise UserError(f"medium {medium}: {ion} has no charge and carries no current")
        tests = [] if isinstance(m.closure, Poisson) else [(POTENTIAL, 1.0)]
        if species in m.independent:
            tests.append((ion, 1.0 / species.charge))
        form: Any = 0
        for name, share in tests:
            w = self.test[self.index[medium, name]]
            form += transport.current_inflow(share * current_density, w(side) if side else w, measure)
        return form

    def passage(self, face: Electrode | Junction, medium: str, beyond: Any, name: tuple[str, str]) -> tuple[Any, Any]:
        """Current densities (A/m²) by reaction and double layer out of what lies beyond, and into the medium.

        Beyond is a potential, whose field has the `name`. The two are one, unless a film lies between: then their equality is
        the equation of the film's potential ψ on the reaction's side, and i = (ψ - φ)/R + C ∂(ψ - φ)/∂t through the film.
        """
        law: Any = face.kinetics
        if law is not None and law.pressure is STRESS:
            law = replace(law, pressure=self.u[self.index[PRESSED, face.boundary]])
        near = (medium, POTENTIAL) if face.film is None else (FILM, face.boundary)
        reference = law.reference_concentration if law is not None else face.references[0]  # type: ignore[union-attr]
        if face.film is None:
            surface = self.charge_transfer(medium, face.ion, law, beyond)
        else:
            ψ = self.u[self.index[near]]
            if law is None:
                surface = (beyond - ψ) / face.resistance  # type: ignore[union-attr]
            else:
                surface = self._butler_volmer(beyond - ψ - law.equilibrium, law.exchange_current_density, law, medium)
        if face.capacitance is not None:
            surface += face.capacitance * self.rate_of(name, near)
        if face.film is None:
            return surface, surface
        through = (ψ - self.ion_potential(medium, face.ion, reference)) / face.film.resistance
        if face.film.capacitance is not None:
            through += face.film.capacitance * self.rate_of(near, (medium, POTENTIAL))
        return surface, through

    def charge_transfer(self, medium: str, ion: str, law: Kinetics, metal: Any) -> Any:
        """Current density from a phase at potential `metal` into the medium by Butler-Volmer, A/m²."""
        i0 = law.exchange_current_density
        if law.reference_concentration is not None:
            c = self.concentration(medium, ion)
            exponent = law.anodic_transfer if law.concentration_exponent is None else law.concentration_exponent
            i0 = kinetics.exchange_current(i0, c, law.reference_concentration, exponent)
        η = metal - self.ion_potential(medium, ion, law.reference_concentration) - law.equilibrium
        return self._butler_volmer(η, i0, law, medium)

    def _butler_volmer(self, η: Any, i0: Any, law: Kinetics, medium: str) -> Any:
        T, p = self.media[medium].temperature, 0.0 if law.pressure is None else law.pressure
        αa, αc, αm = law.anodic_transfer, law.cathodic_transfer, law.mechanical_transfer
        return kinetics.butler_volmer(η, i0, αa, αc, T, p, αm, law.molar_volume)

    def ion_potential(self, medium: str, ion: str, reference: Any = None) -> Any:
        """Electrochemical potential of an ion over zF, V: φ + V p/(zF) + (RT/zF) ln(c/c_ref), without a reference less that."""
        m, φ = self.media[medium], self.field(medium)
        φ = φ if (work := ion_work(self, medium, ion)) is None else φ + work
        if reference is None:
            return φ
        return φ + kinetics.nernst_shift(self.concentration(medium, ion), reference, m.ion(ion).charge, m.temperature)

    def metal(self, electrode: Electrode) -> tuple[Any, Any]:
        """Potential of an electrode's metal and its test function."""
        i = self.index["metal", electrode.body]
        return self.u[i], self.test[i]

    def _junction(self, junction: Junction) -> Any:
        """Write the jump condition of an interface; its current density from first to second, A/m² (a form's integrand)."""
        j, measure = junction, self.domain.dS(junction.boundary)
        leaving, arriving = (current("+") for current in self.crossing(j))
        self.residual += self.faradaic_inflow(j.first, j.ion, -leaving, measure, "+")
        self.residual += self.faradaic_inflow(j.second, j.ion, arriving, measure, "+")
        if j.film is not None:
            self.residual += (leaving - arriving) * self.test[self.index[FILM, j.boundary]]("+") * measure
        return arriving * measure

    def junction_current(self, j: Junction) -> Any:
        """Current density of an interface from its first to its second medium, A/m², not yet restricted to a side."""
        return self.crossing(j)[1]

    def crossing(self, j: Junction) -> tuple[Any, Any]:
        """Current densities that leave the first medium and that arrive in the second (one, unless a film lies between), A/m²."""
        beyond = self.ion_potential(j.second, j.ion, j.references[1])
        if j.kinetics is not None or j.film is not None:
            surface, through = self.passage(j, j.first, beyond, (j.second, POTENTIAL))
            return -through, -surface
        current = (self.ion_potential(j.first, j.ion, j.references[0]) - beyond) / j.resistance
        if j.capacitance is not None:
            current += j.capacitance * self.rate_of((j.first, POTENTIAL), (j.second, POTENTIAL))
        return current, current

    # conditions and solution

    def fix(self, medium: str, name: str, value: Any, *boundaries: str) -> Any:
        """Hold a field at a number or fem.Constant on boundaries; gives the constant, whose value may change later."""
        i, dim = self._where(medium, name), self.domain.dimension
        blocks = fem.locate_dofs_topological(self.space, dim - 1, self.domain.facets(*boundaries))
        dofs = (np.intersect1d(blocks, self.active[medium, name]) * self.space.dofmap.index_map_bs + i).astype(np.int32)
        constant = value if isinstance(value, fem.Constant) else self.domain.constant(float(value))
        self.bcs.append(fem.dirichletbc(constant, dofs, self._part))
        return constant

    def set_field(self, medium: str, name: str, value: float | Callable[[np.ndarray], np.ndarray]) -> None:
        """Give a field a start value: a number, or a function of the points (3, n) that returns n values."""
        part = self._where(medium, name)
        if callable(value):
            self.u.sub(part).interpolate(value)
        else:
            self.u.x.array[self.dofs(medium, name)] = value
        self.u.x.scatter_forward()

    @property
    def solver(self) -> ConstrainedSolver:
        """Newton's method on the unknowns that exist, a metal's potential being one; compiled when first asked for."""
        if self._solver is None:
            metal, potential, concentration = (
                [self.dofs(*name) for name in self.index if self._kind(name) == kind] for kind in ("metal", "potential", "ion")
            )
            fields = {"potential": np.concatenate(metal + potential)}
            fields |= {"concentration": np.concatenate(concentration)} if concentration else {}
            solid = [self.dofs(*name) for name in self.index if self._kind(name) == SOLID]
            fields = {} if solid else fields  # the fields of mechanics have no preconditioner of their own
            single = np.concatenate(potential + concentration + solid)
            conditions = self.bcs[len(self.index) :]  # what lies outside is not solved for
            self._solver = ConstrainedSolver(self.residual, self.u, conditions, single, metal, fields, self.method)
        return self._solver

    @staticmethod
    def _kind(name: tuple[str, str]) -> str:
        if name[0] in (SOLID, PRESSED) or name[1] == PRESSURE:
            return SOLID
        return "metal" if name[0] == "metal" else "potential" if name[0] == FILM or name[1] == POTENTIAL else "ion"

    def solve(self) -> SolveReport:
        """Solve for the present rates and conditions from the present values. Raises RunFailure."""
        for contact in self.contacts.values():
            contact.settle()
        return self.solver.solve()

    def dofs(self, medium: str, name: str) -> np.ndarray:
        """Local unknowns of a field where it lives, ghosts included."""
        return self.active[medium, name] * self.space.dofmap.index_map_bs + self.index[medium, name]

    def species_fields(self) -> list[tuple[str, str]]:
        """(medium, species) of every concentration there is, the expressed ones included."""
        return [
            (m.name, ion.name) for m in self.media.values() if not isinstance(m.closure, SingleIon) for ion in m.species
        ]

    def sample(self, medium: str, ion: str) -> tuple[np.ndarray, np.ndarray]:
        """Concentration at this rank's nodes of a medium: values (n,) mol/m³, points (n, 3) m."""
        if (medium, ion) not in self._samples:
            space = fem.functionspace(self.domain.mesh, ("P", self.degree))
            points = dolfinx_compat.interpolation_points(space)
            cells = self.domain.cells(*self.media[medium].regions)
            nodes = np.unique(space.dofmap.list[cells])
            expression = fem.Expression(self.concentration(medium, ion), points)
            self._samples[medium, ion] = fem.Function(space), expression, cells, nodes, space.tabulate_dof_coordinates()
        values, expression, cells, nodes, coordinates = self._samples[medium, ion]
        values.interpolate(expression, cells)
        return values.x.array[nodes], coordinates[nodes]

    def lowest(self, medium: str, ion: str) -> tuple[float, np.ndarray]:
        """Smallest nodal concentration of a species over all ranks, mol/m³, and where, m."""
        values, points = self.sample(medium, ion)
        k = int(np.argmin(values)) if len(values) else -1
        mine = (float(values[k]), points[k].tolist()) if k >= 0 else (np.inf, [0.0, 0.0, 0.0])
        value, point = min(self.domain.comm.allgather(mine))
        return value, np.asarray(point)

    def amount(self, medium: str, ion: str) -> float:
        """Amount of a species in a medium, mol (per metre in 2-D)."""
        measure = self.domain.dx(*self.media[medium].regions)
        return integral(self.concentration(medium, ion) * measure)


def largest(comm: MPI.Comm, value: float) -> float:
    """The largest of the ranks' values."""
    return comm.allreduce(value, op=MPI.MAX)
