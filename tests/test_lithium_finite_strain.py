"""Lithium at finite strain: exact stresses in uniaxial compression and shear, rotation, the limit of small strain, squeezing."""

import math

import numpy as np
import pytest
from fem_tools import rectangle
from scipy.integrate import solve_ivp

from multiscale.domain import integral
from multiscale.materials import Elastic
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_finite_strain import LargeStrainLithium, log_slope
from multiscale.mechanics.lithium_flow import LithiumBody, Norton
from multiscale.solvers.solver import Reaction
from multiscale.verification.lithium import NARAYAN_ANAND

METAL = Elastic(7.82e9, 0.381)
CREEP = Creep(1e-3, 0.8e6, 6.6, 37e3)
T = 298.15


def _bar(law=None, kind=LargeStrainLithium):
    """A round bar of unit radius and height whose top is moved; lubricated ends."""
    domain = rectangle(1, axisymmetric=True)
    moved = domain.constant(0.0)

    def supports(space):
        held = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
        return [*held, domain.fixed(space, moved, "top", component=1)]

    return kind(domain, METAL, law or Norton(CREEP), T, supports), moved


def _sheared(law=None):
    """A square whose every side moves along x by γ y."""
    domain = rectangle(1)
    amount = domain.constant(0.0)

    def supports(space):
        names = ("left", "right", "top", "bottom")
        import ufl
        from dolfinx import fem

        wanted = fem.Function(space)
        shear = fem.Expression(ufl.as_vector([amount * ufl.SpatialCoordinate(domain.mesh)[1], 0.0 * amount]), _points(space))
        supports.renew = lambda: wanted.interpolate(shear)
        facets = np.unique(np.concatenate([domain.facets(name) for name in names]))
        return [fem.dirichletbc(wanted, fem.locate_dofs_topological(space, 1, facets))]

    body = LargeStrainLithium(domain, METAL, law or Norton(CREEP), T, supports)

    def shear(γ):
        amount.value = γ
        supports.renew()

    return body, shear


def _points(space):
    from multiscale.dolfinx_compat import interpolation_points

    return interpolation_points(space)


def test_the_slope_of_the_logarithm():
    """Against differences, and where principal values coincide or nearly do."""
    w = np.array([1.0, 1.0 + 1e-9, 4.0])
    slope = log_slope(w)
    assert slope[0, 1] == pytest.approx(0.5, rel=1e-9)
    assert slope[0, 2] == pytest.approx(0.5 * math.log(4) / 3, rel=1e-12)
    assert slope[2, 2] == pytest.approx(1 / 8)
    near = np.array([1.0, 1.0 + 0.99e-6, 1.0 + 1.01e-6])
    assert log_slope(near)[0, 1] == pytest.approx(log_slope(near)[0, 2], rel=1e-7)


def test_the_tangent_is_the_derivative_of_the_stress():
    body, _ = _sheared()
    rng = np.random.default_rng(0)
    body._step = 0.2
    F, shape = np.eye(3) + 0.3 * rng.standard_normal((3, 3)), body._shape
    metric = np.eye(3) + 0.1 * np.ones((3, 3))
    body.plastic_metric[:] = metric / np.linalg.det(metric) ** (1 / 3)

    def piola(deformation):
        body.deformation = lambda: np.broadcast_to(deformation, shape).copy()
        body.bring_back()
        return body._piola.x.array.reshape(-1, 9)[0].copy(), body._tangent.x.array.reshape(-1, 9, 9)[0].copy()

    _, tangent = piola(F)
    found = np.empty((9, 9))
    for k in range(9):
        bump = np.zeros(9)
        bump[k] = 1e-6
        found[:, k] = (piola(F + bump.reshape(3, 3))[0] - piola(F - bump.reshape(3, 3))[0]) / 2e-6
    assert np.abs(found - tangent).max() < 1e-6 * np.abs(tangent).max()


def test_compression_to_a_third_at_constant_rate_needs_a_constant_true_stress():
    """Norton: |σ| = σ0 (ε̇/ε̇0)^(1/n) at every true strain; the force grows with the section, e^|ε| times."""
    body, moved = _bar()
    rate, each = 2e-3, 0.05
    stress = 0.8e6 * (rate / 1e-3) ** (1 / 6.6)
    reaction = Reaction(body.residual, body.space)
    top = body.domain.fixed(body.space, 0.0, "top", component=1).dof_indices()[0]
    for k in range(1, 23):
        moved.value = math.expm1(-each * k)
        body.advance(each / rate)
    assert body.cauchy[..., 1, 1] == pytest.approx(np.full(body._shape[:2], -stress), rel=2e-4)
    assert np.abs(body.cauchy[..., 0, 0]).max() < 1e-4 * stress
    assert -reaction.total(top) / math.pi == pytest.approx(stress * math.exp(each * 22), rel=1e-3)
    assert body.largest_strain() == pytest.approx(each * 22, rel=1e-9)
    assert np.linalg.det(body.plastic_metric) == pytest.approx(np.ones(body._shape[:2]), rel=1e-10)


def test_small_strain_misses_the_section_that_grows():
    """The same compression in small strain: the section stays as it was (e) and the rate falls with the height (e^(1/n))."""
    forces = []
    for kind in (LargeStrainLithium, LithiumBody):
        body, moved = _bar(kind=kind)
        for k in range(1, 21):
            moved.value = math.expm1(-0.05 * k)
            body.advance(0.05 / 2e-3)
        stress = body._piola if kind is LargeStrainLithium else body.stress
        forces.append(-integral(stress[1, 1] * body.domain.dx(degree=2)) / math.pi)
    assert forces[0] / forces[1] == pytest.approx(math.exp(1 + 1 / 6.6), rel=0.01)


def test_hardening_at_large_strain():
    """Narayan-Anand bar at a constant true strain rate to a true strain of one, against two ordinary equations."""
    law, rate, end = NARAYAN_ANAND, 2e-2, 50.0

    def slopes(t, y):
        flow = float(law.rate(max(y[0], 0.0), y[1], T))
        return [METAL.youngs_modulus * (rate - flow), float(law.hardening(flow, y[1], T))]

    exact = solve_ivp(slopes, (0, end), [0.0, law.resistance], method="LSODA", rtol=1e-9, atol=1.0).y[:, -1]
    body, moved = _bar(law)
    for k in range(1, 101):
        moved.value = math.expm1(rate * end * k / 100)
        body.advance(end / 100)
    assert body.cauchy[..., 1, 1].mean() == pytest.approx(exact[0], rel=5e-3)
    assert body.resistance.mean() == pytest.approx(exact[1], rel=5e-3)


@pytest.mark.parametrize("γ", [0.1, 2.0])
def test_elastic_simple_shear(γ):
    """Principal stretches λ = e^(asinh(γ/2)): τ12 = 4μ asinh(γ/2)/√(4 + γ²), τ11 - τ22 = γ τ12 (any isotropic elastic body)."""
    body, shear = _sheared()
    for share in (0.25, 0.5, 0.75, 1.0):
        shear(share * γ)
        body.advance(0.0)
    τ12 = 4 * METAL.shear_modulus * math.asinh(γ / 2) / math.sqrt(4 + γ**2)
    assert body.cauchy[..., 0, 1] == pytest.approx(np.full(body._shape[:2], τ12), rel=1e-8)
    assert body.cauchy[..., 0, 0] - body.cauchy[..., 1, 1] == pytest.approx(np.full(body._shape[:2], γ * τ12), rel=1e-8)


def test_steady_simple_shear_flows_at_the_law():
    """√3 τ12 = σ(γ̇/√3) at any amount of shear; the rest is an error of first order in the step."""
    rate, errors = 2e-3, []
    exact = 0.8e6 * (rate / math.sqrt(3) / 1e-3) ** (1 / 6.6) / math.sqrt(3)
    for steps in (20, 40):
        body, shear = _sheared()
        for k in range(1, steps + 1):
            shear(2.0 * k / steps)
            body.advance(2.0 / steps / rate)
        errors.append(abs(body.cauchy[..., 0, 1].mean() / exact - 1))
        normal = abs(body.cauchy[..., 0, 0] - body.cauchy[..., 1, 1]).mean() / exact
        assert normal < 2.5 / steps * 2
    assert errors[1] < 2e-3
    assert errors[1] < 0.6 * errors[0]


def test_a_rotation_makes_no_stress():
    """A stretched bar keeps its stress in its own frame: σ(Q F) = Q σ(F) Qᵀ."""
    body, _ = _sheared()
    body._step = 1.0
    F, angle, shape = np.eye(3) + 0.2 * np.arange(9).reshape(3, 3) / 9, 0.7, body._shape
    Q = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    stresses = []
    for deformation in (F, Q @ F):
        body.deformation = lambda deformation=deformation: np.broadcast_to(deformation, shape).copy()
        body.bring_back()
        stresses.append(body.kirchhoff[0, 0].copy())
    assert stresses[1] == pytest.approx(Q @ stresses[0] @ Q.T, rel=1e-9, abs=1e-3)


def test_small_strains_are_those_of_the_small_theory():
    found = []
    for kind in (LargeStrainLithium, LithiumBody):
        body, moved = _bar(kind=kind)
        for k in range(1, 6):
            moved.value = -1e-4 * k
            body.advance(0.05)
        stress = body._piola if kind is LargeStrainLithium else body.stress
        found.append(integral(stress[1, 1] * body.domain.dx(degree=2)))
    assert found[0] == pytest.approx(found[1], rel=2e-3)
