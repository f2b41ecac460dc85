"""Single-ion conduction: convergence rates, conservation, names of regions and boundaries."""

import numpy as np
import pytest
import ufl
from dolfinx import fem
from fem_tools import rate, rectangle
from ufl import cos, exp, inner, sin

from coupling.errors import UserError
from meshes.shapes import draw_blocks, draw_quarter_shell
from multiscale import materials
from multiscale.domain import fill, integral, meshed, piecewise
from multiscale.solvers.newton import NonlinearSolver, solve_nonlinear
from multiscale.solvers.solver import reaction
from multiscale.transport import kinetics
from multiscale.transport import single_ion as transport


def _manufactured_error(n: int, degree: int, axisymmetric: bool) -> float:
    """L2 error of conduction with a varying conductivity, a source, Dirichlet on two sides, given currents on two."""
    domain = rectangle(n, (0.5, 0.0), (1.5, 1.0), axisymmetric)
    x = ufl.SpatialCoordinate(domain.mesh)
    exact, κ = sin(2 * x[0]) * exp(x[1]), 1 + 0.5 * cos(x[0] + 2 * x[1])
    space = fem.functionspace(domain.mesh, ("P", degree))
    φ, w = fem.Function(space), ufl.TestFunction(space)
    current = transport.current_density(κ, exact)
    source = transport.ohmic_strong_residual(κ, exact) + (current[0] / x[0] if axisymmetric else 0)
    residual = transport.ohmic_conduction(κ, φ, w, domain.dx()) + transport.current_source(source, w, domain.dx())
    inflow = -ufl.dot(current, domain.normal)
    residual += transport.current_inflow(inflow, w, domain.ds("right", "top"))
    given = fem.Function(space)
    given.interpolate(lambda x: np.sin(2 * x[0]) * np.exp(x[1]))
    solve_nonlinear(residual, φ, [domain.fixed(space, given, "left", "bottom")], spd=True)
    return np.sqrt(integral((φ - exact) ** 2 * domain.dx(degree=6)))


@pytest.mark.parametrize("axisymmetric", [False, True])
@pytest.mark.parametrize("degree", [1, 2])
def test_convergence_rate(degree, axisymmetric):
    measured = rate(lambda n: _manufactured_error(n, degree, axisymmetric), (8, 16, 32))
    assert measured == pytest.approx(degree + 1, abs=0.1)


def _kinetic_cell(n: int = 24):
    """A two-layer electrolyte, kinetics on the bottom (metal at 0 V), a fixed potential on part of the top."""
    domain = rectangle(n, (0.0, 0.0), (1e-5, 1e-5), halves=True)
    space = fem.functionspace(domain.mesh, ("P", 2))
    φ, w = fem.Function(space), ufl.TestFunction(space)
    κ = materials.conductivity(domain, {"lower": 0.3, "upper": 1e-3})
    surface = kinetics.butler_volmer(-φ, domain.constant(10.0), domain.constant(0.4))
    residual = transport.ohmic_conduction(κ, φ, w, domain.dx())
    residual += transport.current_inflow(surface, w, domain.ds("bottom"))
    return domain, space, φ, residual, surface


def test_charge_is_conserved_between_kinetics_and_a_fixed_potential():
    domain, space, φ, residual, surface = _kinetic_cell()
    x = ufl.SpatialCoordinate(domain.mesh)
    skew = fem.Function(space)
    skew.interpolate(lambda x: 0.15 + 5e3 * x[0])
    fixed = domain.fixed(space, skew, "top")
    solve_nonlinear(residual, φ, [fixed], spd=True)
    plated = integral(surface * domain.ds("bottom"))
    assert plated < 0
    assert reaction(residual, fixed, space) == pytest.approx(-plated, rel=1e-10)
    assert abs(integral(x[0] * surface * domain.ds("bottom"))) < abs(plated) * 1e-5


def test_charge_is_conserved_between_two_kinetic_surfaces():
    domain, _, φ, residual, surface = _kinetic_cell()
    w = residual.arguments()[0]
    metal = domain.constant(0.1)
    other = kinetics.butler_volmer(metal - φ, domain.constant(2.0), domain.constant(0.5))
    residual += transport.current_inflow(other, w, domain.ds("top"))
    solver = NonlinearSolver(residual, φ, spd=True)
    for value in (0.1, 0.6, -0.3):
        metal.value = value
        solver.solve()
        into, out = integral(surface * domain.ds("bottom")), integral(other * domain.ds("top"))
        assert into + out == pytest.approx(0, abs=1e-10 * abs(into))
        assert np.sign(out) == np.sign(value)


def test_tensor_conductivity_on_a_laminate():
    """A homogeneous anisotropic conductor carries κ_yy between bottom and top, κ_xx between left and right."""
    domain = rectangle(4)
    κ = ufl.as_tensor([[3.0, 0.0], [0.0, 0.5]])
    for sides, expected in ((("left", "right"), 3.0), (("bottom", "top"), 0.5)):
        space = fem.functionspace(domain.mesh, ("P", 1))
        φ, w = fem.Function(space), ufl.TestFunction(space)
        residual = transport.ohmic_conduction(κ, φ, w, domain.dx())
        conditions = [domain.fixed(space, float(k), side) for k, side in enumerate(sides)]
        solve_nonlinear(residual, φ, conditions)
        assert reaction(residual, conditions[1], space) == pytest.approx(expected, rel=1e-12)
        through = integral(transport.current_through(domain, κ, φ, sides[1]))
        assert through == pytest.approx(-expected, rel=1e-12)


def test_axisymmetric_measures_are_full_turns():
    """A quarter of a spherical shell and its filled core: volumes, areas, and a mesh in metres."""
    sizes = {"width": 1e-6, "height": 1e-6, "outer": 2e-6, "tip_size": 1e-7, "side_size": 1e-7, "outer_size": 2e-7}
    domain = meshed(draw_quarter_shell, rectangle(2).comm, axisymmetric=True, filled=True, **sizes)
    one = domain.constant(1.0)
    assert integral(one * domain.dx("inclusion")) == pytest.approx(2 / 3 * np.pi * 1e-18, rel=1e-4)
    assert integral(one * domain.dx()) == pytest.approx(2 / 3 * np.pi * 8e-18, rel=1e-4)
    assert integral(one * domain.ds("outer")) == pytest.approx(2 * np.pi * 4e-12, rel=1e-4)
    assert integral(one * domain.dS("surface")) == pytest.approx(2 * np.pi * 1e-12, rel=1e-4)


def test_unknown_names_are_refused_with_the_known_ones():
    domain = rectangle(2)
    with pytest.raises(UserError, match=r'no region called "grian"; it has: body'):
        domain.dx("grian")
    with pytest.raises(UserError, match=r'no boundary called "lithum"; it has: bottom, left, right, top'):
        domain.ds("lithum")
    with pytest.raises(UserError, match="no boundary"):
        domain.fixed(fem.functionspace(domain.mesh, ("P", 1)), 0.0, "nowhere")


def test_piecewise_fields():
    domain = meshed(
        draw_blocks, rectangle(2).comm, x=[0, 1, 3], y=[0, 1], names=[["a", "b"]], divisions=2
    )
    field = piecewise(domain, {"a": 2.0, "b": 5.0})
    assert integral(field * domain.dx()) == pytest.approx(2 + 10)
    fill(field, domain, {"b": 1.0})
    assert integral(field * domain.dx()) == pytest.approx(2 + 2)
    assert integral(piecewise(domain, {"a": 1.0}, default=0.0) * domain.dx()) == pytest.approx(1)
    with pytest.raises(UserError, match=r"no value for the region\(s\) b"):
        piecewise(domain, {"a": 2.0})
    with pytest.raises(UserError, match="no region called"):
        piecewise(domain, {"a": 2.0, "b": 1.0, "c": 1.0})
    with pytest.raises(UserError, match="not positive"):
        materials.conductivity(domain, {"a": 0.0, "b": 1.0})
    assert inner(field, field).ufl_shape == ()
