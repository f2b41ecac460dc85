"""Nernst-Planck: orders of convergence of every term and closure, equilibrium, limits of the closures."""

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from fem_tools import rate, rectangle
from mpi4py import MPI
from ufl import cos, div, dot, exp, sin

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import UserError
from multiscale.domain import Domain, integral
from multiscale.solvers.continuation import ramp
from multiscale.solvers.newton import solve_nonlinear
from multiscale.solvers.solver import Reaction
from multiscale.transport import debye, kinetics
from multiscale.transport import nernst_planck as planck
from multiscale.transport.media import Medium
from multiscale.transport.nernst_planck import Electroneutral, Poisson, SingleIon, Species
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import strip

THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY
ION = Species("A+", 1, 0.7, molar_volume=2e-5, sites=1.5)


def box(n: int) -> Domain:
    """A unit cube, all of its outside called "left"."""
    body = mesh.create_unit_cube(MPI.COMM_WORLD, n, n, n)
    body.topology.create_connectivity(2, 3)
    outside = mesh.exterior_facet_indices(body.topology)
    cells = np.arange(body.topology.index_map(3).size_local, dtype=np.int32)
    marks = [mesh.meshtags(body, d, e, np.ones_like(e)) for d, e in ((3, cells), (2, outside))]
    return Domain(body, *marks, {"body": 1}, {"left": 1})


def _shape(x):
    """A smooth field between 0.5 and 1.5 that no element holds, in 2-D or 3-D."""
    return 1 + 0.5 * sin(2 * x[0] + x[1]) * (cos(x[2]) if len(x) > 2 else 1)


def _given(domain, space, exact):
    field = fem.Function(space)
    points = space.element.interpolation_points
    field.interpolate(fem.Expression(exact, points() if callable(points) else points))
    return field


FIELD = {"φ": lambda x: 2 * THERMAL * exp(x[0] / 2) * x[1], "p": lambda x: 1e8 * sin(x[0] + 2 * x[1])}
TERMS = {
    "diffusion": lambda c, x: planck.diffusion(ION, c),
    "tensor diffusion": lambda c, x: planck.diffusion(Species("A", 0, ufl.as_matrix([[1.0, 0.2], [0.2, 0.4]])), c),
    "migration": lambda c, x: planck.total_flux(ION, c, FIELD["φ"](x)),
    "stress drift": lambda c, x: planck.diffusion(ION, c) + planck.stress_drift(ION, c, FIELD["p"](x)),
    "crowding": lambda c, x: planck.diffusion(ION, c) + planck.crowding(ION, c, planck.occupancy([ION], [c], 4.0)),
}


def _term_error(flux, rate_of, n, degree, make):
    domain = make(n)
    x = ufl.SpatialCoordinate(domain.mesh)
    space = fem.functionspace(domain.mesh, ("P", degree))
    c, w = fem.Function(space), ufl.TestFunction(space)
    exact = _shape(x)
    c.x.array[:] = 1.0
    given = _given(domain, space, exact)
    source = div(flux(exact, x)) - rate_of(exact)
    residual = planck.divergence(flux(c, x), w, domain.dx()) + planck.reaction(source + rate_of(c), w, domain.dx())
    sides = ("left", "bottom") if "top" in domain.boundaries else ("left",)
    if "top" in domain.boundaries:
        residual += planck.inflow(-dot(flux(exact, x), domain.normal), w, domain.ds("right", "top"))
    solve_nonlinear(residual, c, [domain.fixed(space, given, *sides)])
    return np.sqrt(integral((c - exact) ** 2 * domain.dx(degree=6)))


def _no_reaction(c):
    return 0.0 * c


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("term", TERMS)
def test_order_of_a_term(term, degree):
    sizes = (8, 16, 32) if degree == 1 else (4, 8, 16)
    measured = rate(lambda n: _term_error(TERMS[term], _no_reaction, n, degree, rectangle), sizes)
    assert measured == pytest.approx(degree + 1, abs=0.1)


@pytest.mark.parametrize("degree", [1, 2])
def test_order_of_a_reaction(degree):
    sizes = (8, 16, 32) if degree == 1 else (4, 8, 16)
    measured = rate(lambda n: _term_error(TERMS["diffusion"], lambda c: -3 * c**2, n, degree, rectangle), sizes)
    assert measured == pytest.approx(degree + 1, abs=0.1)


IONS = Species("A+", 1, 0.7, 2e-5), Species("B2+", 2, 0.4), Species("N", 0, 1.3), Species("X-", -1, 1.1)
CLOSURES = {
    "electroneutral": (Electroneutral(fixed_charge=0.3 * FARADAY), IONS),
    "Poisson": (Poisson(FARADAY / THERMAL * 0.1, fixed_charge=0.3 * FARADAY), IONS),
    "Poisson, packed": (Poisson(FARADAY / THERMAL * 0.1, site_density=20.0), (IONS[0], IONS[3])),
    "single ion": (SingleIon(0.4), IONS[:1]),
}


def _rates(concentrations):
    """A dissociates: N gives A+ and X-."""
    c = concentrations
    rate_ = 0.5 * c["N"] - 0.2 * c["A+"] * c["X-"]
    return {"A+": rate_, "X-": rate_, "N": -rate_}


def _exact_fields(medium, x):
    """Concentrations of all species and potential, all smooth and positive."""
    c = [1 + 0.3 * sin((k + 1) * x[0] + x[1]) for k in range(len(medium.species))]
    if isinstance(medium.closure, Electroneutral):
        c[-1] = planck.balancing_concentration(medium.species, c[:-1], medium.closure.fixed_charge)
    return c, THERMAL * cos(x[0] - 2 * x[1])


def _closure_error(name, n, degree, make=rectangle):
    """Largest relative L2 error of the fields of a closure with all terms, sources chosen for the exact fields."""
    closure, species = CLOSURES[name]
    domain = make(n)
    x = ufl.SpatialCoordinate(domain.mesh)
    pressure = FIELD["p"](x)
    reactions = _rates if len(species) == 4 else None
    medium = Medium("body", closure, species, pressure=pressure, reactions=reactions)
    system = TransportSystem(domain, [medium], degree=degree)
    c, φ = _exact_fields(medium, x)
    dx, w = domain.dx(), {field: system.test[system.index["body", field]] for field in medium.fields}
    packed = getattr(closure, "site_density", None)
    Φ = planck.occupancy(species, c, packed) if packed else None
    made = _rates({ion.name: ck for ion, ck in zip(species, c, strict=True)}) if reactions else {}
    sources = {
        ion.name: div(planck.total_flux(ion, ck, φ, pressure=pressure, occupied=Φ)) - made.get(ion.name, 0)
        for ion, ck in zip(species, c, strict=True)
    }
    for ion in medium.independent:
        system.residual += FARADAY * planck.reaction(sources[ion.name], w[ion.name], dx)
    charge = FARADAY * sum(ion.charge * sources[ion.name] for ion in species)
    if isinstance(closure, SingleIon):
        charge = div(-closure.conductivity * ufl.grad(φ))
    if isinstance(closure, Poisson):
        charge = -div(closure.permittivity * ufl.grad(φ)) - planck.charge_density(species, c, closure.fixed_charge)
        charge = charge / closure.permittivity
    system.residual += -charge * w["potential"] * dx
    exact = dict(zip([ion.name for ion in species], c, strict=True)) | {"potential": φ}
    _hold_everywhere(system, [exact[field] for field in medium.fields])
    for field in medium.fields[:-1]:
        system.set_field("body", field, 1.0)
    system.solve()
    errors = [
        integral((system.field("body", f) - exact[f]) ** 2 * domain.dx(degree=6)) / integral(exact[f] ** 2 * domain.dx(degree=6))
        for f in medium.fields
    ]
    return max(errors) ** 0.5


def _hold_everywhere(system, exact):
    given, domain = fem.Function(system.space), system.domain
    space = fem.functionspace(domain.mesh, ("P", system.degree))
    for i, field in enumerate(exact):
        given.sub(i).interpolate(_given(domain, space, field))
    outside = mesh.exterior_facet_indices(domain.mesh.topology)
    blocks = fem.locate_dofs_topological(system.space, domain.dimension - 1, outside)
    system.bcs.append(fem.dirichletbc(given, blocks))


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("name", CLOSURES)
def test_order_of_a_closure(name, degree):
    sizes = (8, 16, 32) if degree == 1 else (4, 8, 16)
    measured = rate(lambda n: _closure_error(name, n, degree), sizes)
    assert measured == pytest.approx(degree + 1, abs=0.1)


def _charged_wall(closure, nodes, ions):
    """A wall of given potential on the left, bulk of 1000 mol/m³ on the right; its potential's constant."""
    system = TransportSystem(strip(MPI.COMM_SELF, nodes), [Medium("film", closure, ions)], degree=2)
    voltage = system.fix("film", "potential", 0.0, "left")
    system.fix("film", "potential", 0.0, "right")
    for ion in ions:
        system.fix("film", ion.name, 1000.0, "right")
        system.set_field("film", ion.name, 1000.0)
    return system, voltage


PERMITTIVITY = 50 * planck.VACUUM_PERMITTIVITY
SALT = Species("+", 1, 1e-11), Species("-", -1, 3e-11)


def test_packing_limit_holds_where_point_charges_pass_it():
    sites = 20e3
    nodes = 3e-9 * np.linspace(0, 1, 161) ** 2
    highest = {}
    for limit in (sites, None):
        system, voltage = _charged_wall(Poisson(PERMITTIVITY, site_density=limit), nodes, SALT)

        def solve(value, system=system, voltage=voltage):
            voltage.value = value
            system.solve()

        ramp(np.linspace(0.0, -0.3 if limit else -0.12, 7)[1:], solve, start=0.0, halvings=4)
        held = sum(system.sample("film", ion.name)[0] for ion in SALT)
        highest[limit] = held.max()
        if limit:
            c, φ = system.sample("film", "+")[0], system.field("film")
            assert held.min() > 0
            # equilibrium with the bulk: c/(1 - Φ) exp(φ/thermal) is the same everywhere
            uniform = system.concentration("film", "+") / (1 - sum(system.field("film", i.name) for i in SALT) / sites)
            bulk = 1000 / (1 - 2000 / sites)
            wall = integral(uniform * ufl.exp(φ / THERMAL) * system.domain.ds("left"))
            assert wall == pytest.approx(bulk, rel=2e-2)
            assert c.max() > 0.99 * sites
    assert highest[sites] < sites
    assert highest[None] > 3 * sites


def test_equilibrium_gives_no_flux():
    """Wall charged to 100 mV, a background charge, everything steady: no ion passes through the right side."""
    nodes = 4e-9 * np.linspace(0, 1, 81) ** 1.5
    for site_density in (None, 20e3):
        system, voltage = _charged_wall(Poisson(PERMITTIVITY, site_density=site_density), nodes, SALT)
        voltage.value = 0.1
        system.solve()
        held = Reaction(system.residual, system.space)
        places, bs = system.space.tabulate_dof_coordinates()[:, 0], system.space.dofmap.index_map_bs
        right = np.flatnonzero(np.isclose(places, 4e-9, rtol=1e-9))
        for ion in SALT:
            flux = held.total((right * bs + system.index["film", ion.name]).astype(np.int32))
            assert abs(flux) < 1e-9 * FARADAY * 1e-11 * 1000 / 1e-9


def test_donnan_equilibrium_of_a_charged_matrix():
    """Electroneutral with a background charge between equal reservoirs of Li+: uniform, no current."""
    charged = Medium("film", Electroneutral(-500 * FARADAY), SALT)
    system = TransportSystem(strip(MPI.COMM_SELF, np.linspace(0, 1e-6, 11)), [charged])
    system.fix("film", "+", 800.0, "left", "right")
    system.fix("film", "potential", 0.0, "left")
    system.solve()
    assert system.sample("film", "-")[0] == pytest.approx(300.0)
    flow = integral(dot(system.current("film"), system.current("film")) * system.domain.dx())
    assert flow**0.5 < 1e-8


def _film_under_current(closure, nodes):
    """Reservoir on the left, lithium plated on the right at 60 % of the limit; concentration of Li+ and places of the nodes."""
    domain = strip(MPI.COMM_SELF, nodes)
    system = TransportSystem(domain, [Medium("film", closure, SALT)], degree=2)
    for ion in system.media["film"].independent:
        system.fix("film", ion.name, 1000.0, "left")
        system.set_field("film", ion.name, 1000.0)
    system.fix("film", "potential", 0.0, "left")
    current = 0.6 * 2 * FARADAY * 1e-11 * 1000 / nodes[-1]
    system.residual += system.faradaic_inflow("film", "+", domain.constant(-current), domain.ds("right"))
    system.solve()
    values, points = system.sample("film", "+")
    return values, points[:, 0]


def test_poisson_tends_to_electroneutrality_as_the_debye_length_vanishes():
    """Second order in the Debye length inside, first order in the layer at the plating face, whose charge it holds."""
    length = 1e-6
    nodes = length * (1 - (1 - np.linspace(0, 1, 161)) ** 2)
    neutral, places = _film_under_current(Electroneutral(), nodes)
    assert neutral.min() == pytest.approx(400.0, rel=1e-9)
    ratios, inside, wall = np.array([0.04, 0.02, 0.01]), [], []
    for λ in ratios * length:
        permittivity = λ**2 * 2 * FARADAY**2 * 1000 / (GAS_CONSTANT * ROOM_TEMPERATURE)
        full, _ = _film_under_current(Poisson(permittivity), nodes)
        inside.append(np.abs(full - neutral)[places < 0.6 * length].max())
        wall.append(np.abs(full - neutral).max())
    assert np.polyfit(np.log(ratios), np.log(inside), 1)[0] == pytest.approx(2, abs=0.1)
    assert np.polyfit(np.log(ratios), np.log(wall), 1)[0] == pytest.approx(1, abs=0.1)
    assert inside[-1] < 0.2


def test_a_mesh_too_coarse_for_the_debye_length_is_refused_before_the_run():
    coarse, _ = _charged_wall(Poisson(PERMITTIVITY), np.linspace(0, 1e-6, 11), SALT)
    with pytest.raises(debye.DebyeUnresolved, match="refine the mesh") as refused:
        debye.check(coarse)
    error = refused.value
    assert error.debye_length == pytest.approx(planck.debye_length({1: 1000, -1: 1000}, PERMITTIVITY))
    assert error.height == pytest.approx(1e-7)
    assert error.medium == "film"
    fine, _ = _charged_wall(Poisson(PERMITTIVITY), 1e-6 * np.linspace(0, 1, 101) ** 2, SALT)
    debye.check(fine, reservoirs=["right"])
    with pytest.raises(debye.DebyeUnresolved):
        debye.check(fine)


def test_exchange_current_and_nernst_shift_follow_the_concentration():
    assert kinetics.exchange_current(10.0, 250.0, 1000.0, 0.5) == pytest.approx(5.0)
    assert kinetics.nernst_shift(1000 * np.e, 1000.0) == pytest.approx(THERMAL)
    assert np.isfinite(kinetics.nernst_shift(-5.0, 1000.0))
    assert kinetics.exchange_current(10.0, -5.0, 1000.0, 0.5) > 0


def test_pressure_gradient_holds_a_neutral_in_barometric_equilibrium():
    """No flux: c = c0 exp(-V p/RT) under a linear pressure of 1 GPa across the strip."""
    domain = strip(MPI.COMM_SELF, np.linspace(0.0, 1.0, 41))
    ions = (Species("A", 0, 1.0, molar_volume=5e-6), Species("+", 1, 1.0), Species("-", -1, 1.0))
    pressure = 1e9 * ufl.SpatialCoordinate(domain.mesh)[0]
    system = TransportSystem(domain, [Medium("film", Electroneutral(), ions, pressure=pressure)], degree=2)
    system.fix("film", "A", 100.0, "left")
    system.fix("film", "+", 100.0, "left")
    system.fix("film", "potential", 0.0, "left")
    system.set_field("film", "+", 100.0)
    system.solve()
    values, points = system.sample("film", "A")
    expected = 100 * np.exp(-5e-6 * 1e9 * points[:, 0] / (GAS_CONSTANT * ROOM_TEMPERATURE))
    assert values == pytest.approx(expected, rel=1e-5)
    assert system.sample("film", "+")[0] == pytest.approx(100.0)


def test_wrong_media_are_refused():
    with pytest.raises(UserError, match="the last one charged"):
        Medium("polymer", Electroneutral(), (SALT[0], Species("N", 0, 1.0)))
    with pytest.raises(UserError, match="one species"):
        Medium("oxide", SingleIon(1.0), SALT)
    with pytest.raises(UserError, match="positive"):
        Species("A", 1, -1e-12)
    system = TransportSystem(rectangle(1), [Medium("a", Electroneutral(), SALT)])
    with pytest.raises(UserError, match="no field"):
        system.field("a", "Li+")
