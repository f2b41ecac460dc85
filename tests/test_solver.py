"""Solvers: every method agrees, failure has a name, continuation and control find their way."""

import basix.ufl
import numpy as np
import pytest
import ufl
from dolfinx import fem
from fem_tools import rectangle
from petsc4py import PETSc

from coupling.errors import RunFailure
from multiscale.domain import integral
from multiscale.materials import Stiffness
from multiscale.mechanics import elasticity as mechanics
from multiscale.solvers.continuation import ContinuationStalled, ramp
from multiscale.solvers.newton import NonlinearSolver, solve_nonlinear
from multiscale.solvers.solver import OPTIONS, LinearSolver, find_control, reaction, solve_linear
from multiscale.transport import kinetics
from multiscale.transport import single_ion as transport


def _diffusion(n: int = 12):
    domain = rectangle(n)
    space = fem.functionspace(domain.mesh, ("P", 1))
    u, v, w = fem.Function(space), ufl.TrialFunction(space), ufl.TestFunction(space)
    κ = domain.constant(2.0)
    bilinear, linear = transport.ohmic_conduction(κ, v, w, domain.dx()), domain.constant(0.0) * w * domain.dx()
    left, right = domain.constant(0.0), domain.constant(1.0)
    return domain, space, u, κ, bilinear, linear, [domain.fixed(space, left, "left"), domain.fixed(space, right, "right")], right


@pytest.mark.parametrize("method", ["direct", "direct-spd", "amg", "general"])
def test_every_linear_method_gives_the_same(method):
    domain, space, u, *_, bilinear, linear, bcs, _ = _diffusion()
    report = solve_linear(bilinear, linear, u, bcs, method=method)
    x = space.tabulate_dof_coordinates()[:, 0]
    assert np.abs(u.x.array - x).max() < 1e-8
    assert report.unknowns == 13 * 13
    assert report.reason.startswith("CONVERGED")
    assert integral(u * domain.dx()) == pytest.approx(0.5, rel=1e-8)


def test_repeated_linear_solves_follow_constants():
    _, space, u, κ, bilinear, linear, bcs, right = _diffusion()
    solver = LinearSolver(bilinear, linear, u, bcs)
    solver.solve()
    right.value = 3.0
    solver.solve()
    assert u.x.array.max() == pytest.approx(3.0)
    κ.value = 5.0
    solver.solve(reassemble=True)
    residual = ufl.replace(bilinear, {bilinear.arguments()[1]: u})
    assert reaction(residual, bcs[1], space) == pytest.approx(15.0, rel=1e-12)


def _kinetic_problem(method: str = "auto", **choices):
    domain = rectangle(10, high=(1e-5, 1e-5))
    space = fem.functionspace(domain.mesh, ("P", 2))
    φ, w = fem.Function(space), ufl.TestFunction(space)
    metal = domain.constant(0.05)
    low = kinetics.butler_volmer(-φ, domain.constant(5.0))
    high = kinetics.butler_volmer(metal - φ, domain.constant(5.0))
    residual = (
        transport.ohmic_conduction(domain.constant(0.01), φ, w, domain.dx())
        + transport.current_inflow(low, w, domain.ds("bottom"))
        + transport.current_inflow(high, w, domain.ds("top"))
    )
    solver = NonlinearSolver(residual, φ, method=method, **choices)
    current = fem.form(high * domain.ds("top"))

    def response(voltage: float) -> float:
        metal.value = voltage
        solver.solve()
        return integral(current) / 1e-5

    return solver, response


def test_every_nonlinear_method_gives_the_same():
    general = [method for method in OPTIONS if method not in ("elastic", "split", "split-lean")]  # these need modes or fields
    values = [_kinetic_problem(method, spd=method in ("direct-spd", "amg"))[1](0.1) for method in general]
    assert values == pytest.approx([values[0]] * len(values), rel=1e-9)


def test_newton_converges_to_rounding_from_far_away():
    """A jump of 80 thermal voltages: the first residual is astronomical, the last one is not."""
    solver, response = _kinetic_problem()
    current = response(2.0)
    η = kinetics.overpotential_at(current, 5.0)
    assert 2 * η + current * 1e-5 / 0.01 == pytest.approx(2.0, rel=1e-10)
    response(0.0)
    assert np.abs(solver.u.x.array).max() < 1e-12


@pytest.mark.parametrize(("method", "linear"), [("direct", 1), ("amg", 16)])
def test_iterations_do_not_depend_on_the_mesh(method, linear):
    """An uneven interface at 20 thermal voltages, 81 to 4225 unknowns: no more iterations, Newton or linear."""
    counts = []
    for n in (8, 16, 32, 64):
        domain = rectangle(n, high=(1e-5, 1e-5))
        space = fem.functionspace(domain.mesh, ("P", 1))
        φ, w = fem.Function(space), ufl.TestFunction(space)
        along = ufl.SpatialCoordinate(domain.mesh)[0] / 1e-5
        low = kinetics.butler_volmer(-φ, 5.0 * (1.01 + ufl.cos(np.pi * along)))
        high = kinetics.butler_volmer(domain.constant(0.5) - φ, domain.constant(5.0))
        residual = transport.ohmic_conduction(domain.constant(0.01), φ, w, domain.dx())
        residual += transport.current_inflow(low, w, domain.ds("bottom")) + transport.current_inflow(high, w, domain.ds("top"))
        solver = NonlinearSolver(residual, φ, method=method, spd=method == "amg")
        counts.append(solver.solve().iterations)
        assert solver.snes.getLinearSolveIterations() <= linear * counts[-1]
    assert max(counts) - min(counts) <= 1


def test_divergence_is_an_error_with_a_name_and_keeps_the_first_guess():
    solver, response = _kinetic_problem(max_iterations=2, prefix="lithium_surface_")
    guess = solver.u.x.array.copy()
    with pytest.raises(RunFailure, match="lithium_surface failed: DIVERGED_MAX_IT after 2 iterations"):
        response(2.0)
    assert np.array_equal(solver.u.x.array, guess)


def test_a_singular_system_is_an_error():
    domain, _, u, *_, bilinear, _, _, _ = _diffusion()
    w = bilinear.arguments()[0]
    with pytest.raises(RunFailure, match="failed: DIVERGED"):
        solve_linear(bilinear, domain.constant(1.0) * w * domain.dx(), u, [], method="amg")


def test_not_a_number_is_an_error():
    domain = rectangle(3)
    space = fem.functionspace(domain.mesh, ("P", 1))
    u, w = fem.Function(space), ufl.TestFunction(space)
    with pytest.raises(RunFailure, match="failed"):
        solve_nonlinear(u * w * domain.dx() - domain.constant(np.nan) * w * domain.dx(), u)


def test_misspelt_choices_and_methods_are_refused():
    _, _, u, *_, bilinear, linear, bcs, _ = _diffusion(2)
    with pytest.raises(TypeError, match="tolerence"):
        solve_linear(bilinear, linear, u, bcs, tolerence=1e-3)
    with pytest.raises(ValueError, match="not one of"):
        solve_linear(bilinear, linear, u, bcs, method="magic")


def test_options_of_the_user_win_and_ours_leave_no_trace():
    PETSc.Options()["mine_ksp_type"] = "gmres"
    try:
        _, _, u, *_, bilinear, linear, bcs, _ = _diffusion(2)
        solver = LinearSolver(bilinear, linear, u, bcs, prefix="mine_")
        assert solver.ksp.getType() == "gmres"
        assert not PETSc.Options().hasName("mine_pc_type")
    finally:
        PETSc.Options().delValue("mine_ksp_type")


def test_ramp_halves_steps_that_fail():
    here, visited = [0.0], []

    def solve(value: float) -> float:
        if abs(value - here[0]) > 0.3:
            raise RunFailure("too far")
        here[0] = value
        visited.append(value)
        return 2 * value

    assert ramp([1.0, 1.2], solve, start=0.0) == [2.0, 2.4]
    assert visited == [0.25, 0.5, 0.75, 1.0, 1.2]
    with pytest.raises(ContinuationStalled, match=r"beyond 1\.2 on the way to 3\.15") as stalled:
        ramp([9.0], solve, start=1.2, halvings=2)
    assert stalled.value.reached == here[0] == 1.2
    with pytest.raises(RunFailure, match="on the way to 9"):
        ramp([9.0], solve)


def test_galvanostatic_control():
    _, response = _kinetic_problem()
    voltage = find_control(response, 20.0, 0.05, 0.08)
    assert voltage == pytest.approx(20 * 1e-5 / 0.01 + 2 * kinetics.overpotential_at(20.0, 5.0), rel=1e-9)
    with pytest.raises(RunFailure, match="was not found"):
        find_control(lambda x: np.tanh(x), 2.0, 0.0, 1.0, most=8)


def test_monolithic_block_unknown():
    """Potential and displacement in one mixed unknown: pressure from the displacement shifts the kinetics, one Newton solve."""
    domain = rectangle(4, high=(1.0, 1.0))
    cell = domain.mesh.basix_cell()
    scalar, vector = basix.ufl.element("P", cell, 1), basix.ufl.element("P", cell, 2, shape=(2,))
    space = fem.functionspace(domain.mesh, basix.ufl.mixed_element([scalar, vector]))
    both, (w, _) = fem.Function(space), ufl.TestFunctions(space)
    φ, u = ufl.split(both)
    moduli, squeeze = Stiffness(domain.constant(1e9), domain.constant(1e9)), domain.constant(2e7)
    pressure = -mechanics.stress(u, moduli, domain)[1, 1]
    surface = kinetics.butler_volmer(-φ, domain.constant(1.0), pressure=pressure)
    work = mechanics.pressure_work(u, squeeze, domain, "top")
    potential = mechanics.elastic_energy(u, moduli, domain) - work
    residual = transport.ohmic_conduction(domain.constant(1.0), φ, w, domain.dx())
    residual += transport.current_inflow(surface, w, domain.ds("bottom"))
    residual += ufl.derivative(potential, both, ufl.TestFunction(space))
    sides = domain.fixed(space.sub(1), 0.0, "left", "right", component=0)
    base = domain.fixed(space.sub(1), 0.0, "bottom", component=1)
    report = NonlinearSolver(residual, both, [sides, base]).solve()
    assert report.iterations < 10
    rest = -kinetics.equilibrium_shift(2e7)
    assert integral(φ * domain.dx()) == pytest.approx(rest, rel=1e-9)
