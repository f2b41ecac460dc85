"""Orders of convergence in three dimensions, with Butler-Volmer kinetics at a face, and of storage in time."""

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from fem_tools import rate, rectangle
from petsc4py import PETSc
from test_nernst_planck import CLOSURES, TERMS, THERMAL, _closure_error, _given, _term_error, box
from ufl import cos, div, dot, exp, sin

from coupling.constants import FARADAY
from multiscale.domain import Domain, integral
from multiscale.solvers.timeloop import StepControl, TimeStepper
from multiscale.transport import nernst_planck as planck
from multiscale.transport.kinetics import butler_volmer, exchange_current, nernst_shift
from multiscale.transport.media import Electrode, Kinetics, Medium
from multiscale.transport.nernst_planck import Electroneutral, Species
from multiscale.transport.system import TransportSystem

SOLID = {
    **TERMS,
    "tensor diffusion": lambda c, x: planck.diffusion(
        Species("A", 0, ufl.as_matrix([[1.0, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.7]])), c
    ),
}


@pytest.mark.parametrize("term", SOLID)
def test_order_of_a_term_in_three_dimensions(term):
    """Reaction, storage's twin, goes along with every flux."""
    measured = rate(lambda n: _term_error(SOLID[term], lambda c: -(c**2), n, 1, box), (6, 12))
    assert measured == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", CLOSURES)
def test_order_of_a_closure_in_three_dimensions(name):
    assert rate(lambda n: _closure_error(name, n, 1, box), (4, 8)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("term", SOLID)
def test_order_of_a_term_on_quadratic_elements_in_three_dimensions(term):
    measured = rate(lambda n: _term_error(SOLID[term], lambda c: -(c**2), n, 2, box), (3, 5))
    assert measured == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("name", CLOSURES)
def test_order_of_a_closure_on_quadratic_elements_in_three_dimensions(name):
    assert rate(lambda n: _closure_error(name, n, 2, box), (3, 5)) == pytest.approx(3, abs=0.1)


SALT = Species("A+", 1, 0.7), Species("X-", -1, 1.1)
LAW = Kinetics(3.0 * FARADAY, 0.3, 0.6, reference_concentration=1.2, concentration_exponent=0.4, equilibrium=0.01)


def block(n):
    """A unit cube whose face at x = 1 is "right", all else of its outside "left"."""
    plain = box(n)
    facets = plain.facets("left")
    right = mesh.locate_entities_boundary(plain.mesh, 2, lambda x: np.isclose(x[0], 1.0))
    marks = np.where(np.isin(facets, right), 2, 1).astype(np.int32)
    return Domain(plain.mesh, plain.cell_tags, mesh.meshtags(plain.mesh, 2, facets, marks), {"body": 1}, {"left": 1, "right": 2})


def _kinetic_error(n, degree, make=rectangle):
    """Salt between exact values on all sides but one, where an electrode is; sources make up for the exact fields there."""
    domain = make(n)
    dim, held_on = domain.dimension, [name for name in domain.boundaries if name != "right"]
    x = ufl.SpatialCoordinate(domain.mesh)
    medium, electrode = Medium("body", Electroneutral(), SALT), Electrode("right", "body", "A+", LAW)
    system = TransportSystem(domain, [medium], [electrode], degree=degree)
    c, φ, metal = 1 + 0.3 * sin(x[0] + x[1]), THERMAL * cos(x[0] - 2 * x[1]), 0.04
    dx, ds, w = domain.dx(), domain.ds("right"), [system.test[system.index["body", f]] for f in ("A+", "potential")]
    N = [planck.total_flux(ion, c, φ) for ion in SALT]
    i = FARADAY * (N[0] - N[1])
    system.residual += FARADAY * planck.reaction(div(N[0]), w[0], dx) - div(i) * w[1] * dx
    η = metal - φ - nernst_shift(c, 1.2) - 0.01
    exact = butler_volmer(η, exchange_current(3.0 * FARADAY, c, 1.2, 0.4), 0.3, 0.6)
    into = -dot(N[0], domain.normal), -dot(i, domain.normal)
    system.residual += -(FARADAY * into[0] - exact) * w[0] * ds - (into[1] - exact) * w[1] * ds
    space = fem.functionspace(domain.mesh, ("P", degree))
    for name, value in (("A+", c), ("potential", φ)):
        part, _ = system.space.sub(system.index["body", name]).collapse()
        held, given = fem.Function(part), _given(domain, space, value)
        held.interpolate(given)
        facets = domain.facets(*held_on)
        dofs = fem.locate_dofs_topological((system.space.sub(system.index["body", name]), part), dim - 1, facets)
        system.bcs.append(fem.dirichletbc(held, dofs, system.space.sub(system.index["body", name])))
    system.set_field("body", "A+", 1.0)
    system.contacts["right"].control_potential(metal)
    system.solve()
    fine = domain.dx(degree=6)
    pairs = [(system.field("body", name), e) for name, e in (("A+", c), ("potential", φ))]
    errors = [integral((field - e) ** 2 * fine) / integral(e**2 * fine) for field, e in pairs]
    return max(errors) ** 0.5


@pytest.mark.parametrize("degree", [1, 2])
def test_order_with_kinetics_at_a_face(degree):
    sizes = (8, 16, 32) if degree == 1 else (4, 8, 16)
    assert rate(lambda n: _kinetic_error(n, degree), sizes) == pytest.approx(degree + 1, abs=0.1)


@pytest.mark.parametrize(("degree", "sizes"), [(1, (4, 8)), (2, (3, 5))])
def test_order_with_kinetics_at_a_face_in_three_dimensions(degree, sizes):
    assert rate(lambda n: _kinetic_error(n, degree, block), sizes) == pytest.approx(degree + 1, abs=0.1)


def _space_time_error(n, make=rectangle):
    """c = 1 + exp(-t) cos(πx)/2 of a neutral with the source that it needs; time steps as fine as the mesh."""
    domain = make(n)
    x, time = ufl.SpatialCoordinate(domain.mesh), domain.constant(0.0)
    ions = (Species("N", 0, 0.2), *SALT)
    system = TransportSystem(domain, [Medium("body", Electroneutral(), ions)])

    def exact(t):
        return 1 + exp(-t) * cos(np.pi * x[0]) / 2

    source = -exp(-time) * cos(np.pi * x[0]) / 2 * (1 - 0.2 * np.pi**2)
    system.residual += FARADAY * planck.reaction(source, system.test[system.index["body", "N"]], domain.dx())
    system.fix("body", "potential", 0.0, "left")
    system.set_field("body", "N", lambda p: 1 + np.cos(np.pi * p[0]) / 2)
    system.set_field("body", "A+", 1.0)
    stepper = TimeStepper(system, StepControl(1.0, 1e-9, 1.0))
    for k in range(n):
        time.value = (k + 1) / n
        stepper.advance(1 / n)
    return integral((system.field("body", "N") - exact(1.0)) ** 2 * domain.dx(degree=6)) ** 0.5


@pytest.mark.parametrize(("make", "sizes"), [(rectangle, (8, 16, 32)), (box, (8, 12))])
def test_order_of_storage_in_space_and_time(make, sizes):
    assert rate(lambda n: _space_time_error(n, make), sizes) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("method", ["direct", "split"])
def test_a_solve_with_other_parameters_compiles_and_sets_up_nothing(monkeypatch, method):
    """Diffusivity, exchange current, reference and voltage change; PETSc's own log counts set-ups and factorisations."""
    medium = Medium("body", Electroneutral(), SALT)
    system = TransportSystem(rectangle(12), [medium], [Electrode("right", "body", "A+", LAW)], method=method)
    system.fix("body", "A+", 1.0, "left")
    system.fix("body", "potential", 0.0, "left")
    system.set_field("body", "A+", 1.0)
    contact = system.contacts["right"]
    contact.control_potential(0.02)
    PETSc.Log.begin()
    log = [PETSc.Log.Event(name) for name in ("PCSetUp", "MatLUFactorNum", "MatLUFactorSym")]

    def counts():
        return [event.getPerfInfo()["count"] for event in log]

    none = counts()
    system.solve()
    assert counts() > none
    before, matrix, made, mesh = contact.current, system.solver.matrix, counts(), system.space.mesh

    def refuse(*arguments, **choices):
        raise AssertionError("something was compiled or allocated")

    for name in ("dolfinx.jit.ffcx_jit", "dolfinx.fem.form", "dolfinx.fem.petsc.create_matrix"):
        monkeypatch.setattr(name, refuse)
    system.media["body"].species[0].diffusivity.value *= 1.1
    law = contact.electrode.kinetics
    law.exchange_current_density.value *= 1.2
    law.reference_concentration.value *= 0.95
    contact.control_potential(0.023)
    system.solve()
    assert contact.current != pytest.approx(before, rel=1e-2)
    assert counts() == made
    assert system.solver.matrix is matrix
    assert system.space.mesh is mesh
    kept, setups = contact.current, system.solver.setup.count
    system.solver.setup.begin = lambda keep, begin=system.solver.setup.begin: begin(False)  # with a fresh set-up each time
    system.set_field("body", "A+", 1.0)
    system.solve()
    assert system.solver.setup.count > setups
    assert contact.current == pytest.approx(kept, rel=1e-12)


def test_a_set_up_that_no_longer_serves_is_made_anew():
    """The diffusivity grows by 1e6 in one step: the old factors would take many iterations."""
    medium = Medium("body", Electroneutral(), SALT)
    system = TransportSystem(rectangle(12), [medium], [Electrode("right", "body", "A+", LAW)])
    system.fix("body", "A+", 1.0, "left")
    system.fix("body", "potential", 0.0, "left")
    system.set_field("body", "A+", 1.0)
    contact = system.contacts["right"]
    contact.control_potential(0.001)
    system.solve()
    assert system.solver.setup.count == 1
    system.media["body"].species[0].diffusivity.value *= 1e6
    system.solve()
    assert system.solver.setup.count > 1
    there = contact.current
    system.solve()
    assert contact.current == pytest.approx(there, rel=1e-12)
