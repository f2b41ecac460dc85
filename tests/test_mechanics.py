"""Elasticity: convergence rates, patch tests, free growth, energy release, in the plane, axial symmetry and 3-D."""

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from fem_tools import rate, rectangle
from mpi4py import MPI

from coupling.errors import UserError
from meshes.shapes import draw_half_space
from multiscale.domain import Domain, integral, meshed
from multiscale.materials import Elastic, Stiffness, stiffness
from multiscale.mechanics import elasticity as mechanics
from multiscale.solvers.newton import solve_nonlinear
from multiscale.solvers.solver import LinearSolver, rigid_body_modes
from multiscale.verification.tools import unknown

OXIDE = Elastic(150e9, 0.257)


def test_elastic_constants():
    assert OXIDE.bulk_modulus == pytest.approx(OXIDE.first_lame + 2 / 3 * OXIDE.shear_modulus)
    assert OXIDE.plane_strain_modulus == pytest.approx(150e9 / (1 - 0.257**2))
    with pytest.raises(UserError, match="Poisson"):
        Elastic(1e9, 0.5)
    with pytest.raises(UserError, match="Young"):
        Elastic(-1e9, 0.3)


def _divergence(σ, domain):
    """Divergence of an axisymmetric or plane 3×3 stress, two components."""
    plane = ufl.as_tensor([[σ[0, 0], σ[0, 1]], [σ[1, 0], σ[1, 1]]])
    if not domain.axisymmetric:
        return ufl.div(plane)
    r = ufl.SpatialCoordinate(domain.mesh)[0]
    return ufl.div(plane) + ufl.as_vector([σ[0, 0] - σ[2, 2], σ[1, 0]]) / r


def _manufactured_error(n: int, degree: int, axisymmetric: bool) -> float:
    """L2 error of elasticity with a body force, fixed on two sides, traction on the others."""
    domain = rectangle(n, (0.5, 0.0), (1.5, 1.0), axisymmetric)
    x = ufl.SpatialCoordinate(domain.mesh)
    exact = ufl.as_vector([ufl.sin(2 * x[0]) * ufl.cos(x[1]), x[0] ** 2 * ufl.exp(-x[1])])
    moduli = Stiffness(1 + 0.5 * x[1], 1.0 + 0.3 * x[0])
    space = fem.functionspace(domain.mesh, ("P", degree, (2,)))
    u, w = fem.Function(space), ufl.TestFunction(space)
    σ = mechanics.stress(exact, moduli, domain)
    traction = ufl.dot(σ, mechanics.embed(domain.normal, domain))
    work = mechanics.traction_work(u, ufl.as_vector([traction[0], traction[1]]), domain, "right", "top")
    residual = mechanics.equilibrium(mechanics.elastic_energy(u, moduli, domain), work, u, w)
    residual += ufl.dot(_divergence(σ, domain), w) * domain.dx()
    given = fem.Function(space)
    given.interpolate(lambda x: np.vstack([np.sin(2 * x[0]) * np.cos(x[1]), x[0] ** 2 * np.exp(-x[1])]))
    solve_nonlinear(residual, u, [domain.fixed(space, given, "left", "bottom")], spd=True)
    return np.sqrt(integral(ufl.dot(u - exact, u - exact) * domain.dx(degree=6)))


@pytest.mark.parametrize("axisymmetric", [False, True])
@pytest.mark.parametrize("degree", [1, 2])
def test_convergence_rate(degree, axisymmetric):
    measured = rate(lambda n: _manufactured_error(n, degree, axisymmetric), (8, 16, 32))
    assert measured == pytest.approx(degree + 1, abs=0.12)


def test_plane_strain_compression_of_a_slab():
    """Uniaxial strain: σ_yy = -p, σ_xx = σ_zz = -p ν/(1-ν)."""
    domain = rectangle(3, high=(1e-6, 1e-6))
    u, w = unknown(domain, vector=True)
    moduli = stiffness(domain, {"body": OXIDE})
    work = mechanics.pressure_work(u, domain.constant(1e8), domain, "top")
    residual = mechanics.equilibrium(mechanics.elastic_energy(u, moduli, domain), work, u, w)
    space = u.function_space
    sides = [domain.fixed(space, 0.0, "left", "right", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
    solve_nonlinear(residual, u, sides, spd=True)
    σ, area = mechanics.stress(u, moduli, domain), 1e-12
    mean = {(i, j): integral(σ[i, j] * domain.dx()) / area for i, j in ((0, 0), (1, 1), (2, 2), (0, 1))}
    lateral = -1e8 * 0.257 / 0.743
    assert mean[1, 1] == pytest.approx(-1e8, rel=1e-9)
    assert mean[0, 0] == pytest.approx(lateral, rel=1e-9)
    assert mean[2, 2] == pytest.approx(lateral, rel=1e-9)
    assert abs(mean[0, 1]) < 1e-3
    pressure = integral(mechanics.normal_pressure(σ, domain) * domain.ds("top")) / 1e-6
    assert pressure == pytest.approx(1e8, rel=1e-9)
    assert integral(mechanics.pressure_of(σ) * domain.dx()) / area == pytest.approx((1e8 - 2 * lateral) / 3, rel=1e-9)


def test_free_growth_is_free_of_stress_and_held_growth_is_not():
    domain = rectangle(3, (0.0, 0.0), (1.0, 1.0), axisymmetric=True)
    u, w = unknown(domain, vector=True)
    moduli = stiffness(domain, {"body": OXIDE})
    growth = mechanics.volumetric_eigenstrain(domain.constant(0.03))
    energy = mechanics.elastic_energy(u, moduli, domain, eigenstrain=growth)
    space = u.function_space
    supports = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
    solve_nonlinear(mechanics.equilibrium(energy, None, u, w), u, supports, spd=True)
    x = ufl.SpatialCoordinate(domain.mesh)
    away = u - 0.01 * ufl.as_vector([x[0], x[1]])
    assert np.sqrt(integral(ufl.dot(away, away) * domain.dx())) < 1e-12
    assert integral(energy) < 1e-16 * OXIDE.bulk_modulus
    u.x.array[:] = 0.0
    σ = mechanics.stress(u, moduli, domain, eigenstrain=growth)
    volume = integral(domain.constant(1.0) * domain.dx())
    assert integral(mechanics.pressure_of(σ) * domain.dx()) / volume == pytest.approx(0.03 * OXIDE.bulk_modulus)


def _cube(n: int) -> Domain:
    body = mesh.create_unit_cube(MPI.COMM_WORLD, n, n, n)
    body.topology.create_connectivity(2, 3)
    facets = mesh.exterior_facet_indices(body.topology)
    nothing = np.empty(0, dtype=np.int32)
    tags = mesh.meshtags(body, 2, np.sort(facets), np.ones(len(facets), dtype=np.int32))
    return Domain(body, mesh.meshtags(body, 3, nothing, nothing), tags, {}, {"skin": 1})


@pytest.mark.parametrize("method", ["direct-spd", "elastic"])
def test_patch_in_three_dimensions(method):
    """A linear displacement on the skin gives it everywhere, with the direct solver and with multigrid."""
    domain = _cube(3)
    space = fem.functionspace(domain.mesh, ("P", 1, (3,)))
    slope = np.array([[1.0, 0.2, 0.0], [0.1, -0.5, 0.3], [0.0, 0.4, 0.7]]) * 1e-3
    given, u = fem.Function(space), fem.Function(space)
    given.interpolate(lambda x: slope @ x)
    trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
    moduli = Stiffness(domain.constant(2.0), domain.constant(1.0))
    σ = mechanics.stress(trial, moduli, domain)
    bilinear = ufl.inner(σ, mechanics.strain(test, domain)) * domain.dx()
    linear = ufl.dot(domain.constant(np.zeros(3)), test) * domain.dx()
    modes = rigid_body_modes(space) if method == "elastic" else None
    fixed = domain.fixed(space, given, "skin")
    LinearSolver(bilinear, linear, u, [fixed], method=method, near_nullspace=modes).solve()
    assert np.abs(u.x.array - given.x.array).max() < 1e-10
    ε = (slope + slope.T) / 2
    expected = 2.0 * np.trace(ε) * np.eye(3) + 2 * ε
    σ = mechanics.stress(u, moduli, domain)
    assert integral(σ[0, 1] * domain.dx()) == pytest.approx(expected[0, 1], rel=1e-8)
    assert integral(σ[2, 2] * domain.dx()) == pytest.approx(expected[2, 2], rel=1e-8)


def _filled_crack(half_length: float, penny: bool):
    """A quarter of a body with a crack at 100 MPa."""
    a = half_length
    sizes = {"radius": a, "outer": 10e-6, "edge_size": a / 60, "disk_size": a / 8, "outer_size": 2e-6}
    domain = meshed(draw_half_space, MPI.COMM_WORLD, axisymmetric=penny, **sizes)
    u, w = unknown(domain, vector=True)
    moduli, p = stiffness(domain, {"body": OXIDE}), domain.constant(1e8)
    energy, work = mechanics.elastic_energy(u, moduli, domain), mechanics.pressure_work(u, p, domain, "disk")
    space = u.function_space
    supports = [domain.fixed(space, 0.0, "axis", component=0), domain.fixed(space, 0.0, "plane", component=1)]
    solve_nonlinear(mechanics.equilibrium(energy, work, u, w), u, supports, spd=True)
    return domain, u, moduli, p, integral(energy) - integral(work)


@pytest.mark.parametrize("penny", [False, True])
def test_driving_force_is_the_loss_of_energy_and_knows_no_path(penny):
    """-dΠ/da by domain integral equals the difference of two solved cracks, for any extension field."""
    a, step = 1e-6, 2e-8
    domain, u, moduli, p, _ = _filled_crack(a, penny)
    forces = []
    for radii in ((0.1, 0.5), (0.3, 0.8), (0.2, 3.0)):
        θ = mechanics.extension_field(domain, (a, 0.0), (1.0, 0.0), radii[0] * a, radii[1] * a)
        form = mechanics.crack_driving_force(u, moduli, domain, θ, pressure=p, faces=("disk",))
        forces.append(integral(form))
    if not penny:  # θ that reaches the axis moves the mirror: only the two inner fields are fair
        forces = forces[:2]
    assert np.ptp(forces) < 3e-4 * forces[0]
    longer, shorter = _filled_crack(a + step, penny)[-1], _filled_crack(a - step, penny)[-1]
    assert forces[0] == pytest.approx((shorter - longer) / (2 * step), rel=3e-3)


@pytest.mark.parametrize("penny", [False, True])
def test_opened_volume(penny):
    """One quarter (half turn) of a filled crack: 2π p a²/E' in the plane, 16 p a³/(3E') for the penny, in all."""
    a = 1e-6
    domain, u, *_ = _filled_crack(a, penny)
    modulus = OXIDE.plane_strain_modulus
    exact = 16 * 1e8 * a**3 / (3 * modulus) / 2 if penny else 2 * np.pi * 1e8 * a**2 / modulus / 4
    assert integral(mechanics.opened_volume(u, domain, "disk")) == pytest.approx(exact, rel=2e-2)


def test_stress_intensity_round_trip():
    energy = mechanics.fracture_energy(1.25e6, 150e9, 0.257)
    assert energy == pytest.approx(9.72866, rel=1e-5)
    assert mechanics.stress_intensity(energy, 150e9, 0.257) == pytest.approx(1.25e6)
