"""Growth laws against their differential equations, constants from conductivities and records, interdiffusion, commands."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.errors import UserError
from multiscale.transport import growth
from multiscale.transport.confined_film import confined_film
from multiscale.transport.growth import DealGrove, Parabolic, Passivating

LAWS = [
    Parabolic(1e-21, 5e-9), DealGrove(20e-9, 2e-21, 3e-9), DealGrove(0.0, 2e-21, 1e-9), Passivating(1e-14, 2e-9, 4e-9),
]  # fmt: skip
TIMES = np.array([1e3, 1e5, 1e6, 3e7])


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_solution_obeys_its_own_rate(law):
    exact = {"t_eval": TIMES, "rtol": 1e-10, "atol": 1e-16, "method": "LSODA"}
    run = solve_ivp(lambda t, L: law.rate(L), (0, TIMES[-1]), [law.thickness(0.0)], **exact)
    assert law.thickness(TIMES) == pytest.approx(run.y[0], rel=1e-7)
    assert law.thickness(0.0) == pytest.approx(law.start, rel=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_time_to_reach_a_thickness_is_the_inverse(law):
    for time in TIMES:
        assert growth.time_to_reach(law, float(law.thickness(time))) == pytest.approx(time, rel=1e-9)
    with pytest.raises(UserError, match="does not become"):
        growth.time_to_reach(law, 0.5 * law.start)


def test_limits_of_deal_and_grove():
    thin, thick = DealGrove(1e-3, 2e-21), DealGrove(1e-15, 2e-21)
    assert thin.thickness(1e6) == pytest.approx(2e-21 / 1e-3 * 1e6, rel=1e-6)
    assert thick.thickness(1e6) == pytest.approx(Parabolic(1e-21).thickness(1e6), rel=1e-6)


def test_wagner():
    V, n = 1.5e-5, 2.0
    constant = growth.wagner_constant(V, n, lambda U: 1e-9, lambda U: 1e-3, 0.5)
    assert constant == pytest.approx(V * 1e-9 * 0.5 / (n * FARADAY) / (1 + 1e-6), rel=1e-9)
    varying = growth.wagner_constant(V, n, lambda U: 1e-9 * np.exp(-U / 0.0257), lambda U: 1e3, 0.5)
    assert varying == pytest.approx(V / (n * FARADAY) * 1e-9 * 0.0257 * (1 - np.exp(-0.5 / 0.0257)), rel=1e-6)


def test_constant_from_an_onsager_record_carries_its_error():
    L, error = growth.onsager_from_diffusivity(1e-18, 2e-19, 3e4, 300.0)
    assert L == pytest.approx(1e-18 * 3e4 / (GAS_CONSTANT * 300))
    k, k_error = growth.parabolic_from_onsager(L, error, 8e4, 2e-5, 2.0)
    assert k == pytest.approx(2e-5 * L * 8e4 / 2)
    assert k_error / k == pytest.approx(0.2)
    draws = k * np.exp(0.2 * np.random.default_rng(1).standard_normal(4000))
    middle, low, high = growth.thickness_bounds(Parabolic, draws, 1e6)
    assert middle == pytest.approx(np.sqrt(2 * k * 1e6), rel=1e-2)
    assert (high / middle, middle / low) == pytest.approx((np.exp(0.1), np.exp(0.1)), rel=1e-2)


def test_resistance_over_time():
    law = Parabolic(1e-21, 5e-9)
    assert growth.area_specific_resistance(law, 1e-5, 1e6, 1e-4) == pytest.approx(1e-4 + 45e-9 / 1e-5, rel=2e-3)


def test_a_resolved_run_of_a_growing_layer_grows_with_the_law():
    """Steady diffusion through a layer that grows by what arrives: each step the product's own flux moves the face."""
    import ufl
    from dolfinx import fem
    from mpi4py import MPI

    from multiscale.domain import integral
    from multiscale.solvers.solver import solve_linear
    from multiscale.transport import nernst_planck as planck
    from multiscale.transport.nernst_planck import Species
    from multiscale.verification.ion_transport import strip

    D, c, V = 1e-16, 500.0, 2e-5
    domain = strip(MPI.COMM_SELF, np.linspace(0, 1, 5))
    space = fem.functionspace(domain.mesh, ("P", 1))
    u, v, w, L = fem.Function(space), ufl.TrialFunction(space), ufl.TestFunction(space), domain.constant(1e-8)
    ion = Species("A", 0, domain.constant(1.0))
    fixed = [domain.fixed(space, value, side) for side, value in (("left", c), ("right", 0.0))]
    law = Parabolic(V * D * c, 1e-8)
    solve_linear(planck.divergence(planck.diffusion(ion, v), w, domain.dx()), domain.constant(0.0) * w * domain.dx(), u, fixed)
    arriving = integral(planck.diffusion(ion, u)[0] * domain.ds("right"))
    time = 0.0
    while time < 2e6:
        step = 0.05 * float(L.value) ** 2 / (V * D * arriving)
        middle = float(L.value) + step / 2 * V * D * arriving / float(L.value)
        L.value += step * V * D * arriving / middle
        time += step
    assert float(L.value) == pytest.approx(law.thickness(time), rel=1e-3)


def test_interdiffusion_against_a_resolved_run():
    """A transition metal in a coating sealed on its inner face: what leaves a full one is what enters an empty one."""
    from mpi4py import MPI

    from multiscale.solvers.timeloop import StepControl, TimeStepper
    from multiscale.transport.media import Medium
    from multiscale.transport.nernst_planck import Electroneutral, Species
    from multiscale.transport.system import TransportSystem
    from multiscale.verification.ion_transport import SALT, at_end, strip

    D, thickness, time = 1e-20, 10e-9, 2.5e3
    ions = (Species("Co", 0, D), *SALT)
    domain = strip(MPI.COMM_SELF, thickness * np.linspace(0, 1, 41) ** 1.5)
    system = TransportSystem(domain, [Medium("coating", Electroneutral(), ions)], degree=2)
    system.set_field("coating", "Li+", 1000.0)
    system.fix("coating", "potential", 0.0, "right")
    system.set_field("coating", "Co", 1.0)
    system.fix("coating", "Co", 0.0, "left")
    TimeStepper(system, StepControl(1e-2, 1e-7, 200.0, 1e-4, floor=0.1, undershoot=0.2)).march(time)
    inner = 1 - at_end(system, system.concentration("coating", "Co"), "right")
    assert inner == pytest.approx(growth.sealed_inner_share(thickness, D, time), rel=2e-3)
    assert inner == pytest.approx(2 * math.erfc(thickness / (2 * math.sqrt(D * time))), rel=1e-2)


def test_coating_thickness_leaves_the_share_behind_it():
    thick = growth.coating_thickness(1e-20, 3e7, 0.01)
    assert math.erfc(thick / (2 * math.sqrt(1e-20 * 3e7))) == pytest.approx(0.01, rel=1e-9)
    sealed = growth.sealed_coating_thickness(1e-20, 3e7, 0.01)
    assert growth.sealed_inner_share(sealed, 1e-20, 3e7) == pytest.approx(0.01, rel=1e-6)
    assert sealed > thick
    images, modes = (growth.sealed_inner_share(1.0, x, 1.0) for x in (0.2999999, 0.3000001))
    assert images == pytest.approx(modes, rel=1e-5)


@pytest.mark.parametrize("make", [lambda: Parabolic(0.0), lambda: DealGrove(-1.0, 1.0), lambda: Passivating(1.0, float("nan"))])
def test_impossible_constants_are_refused(make):
    with pytest.raises(UserError, match="growth: "):
        make()


def test_impossible_shares_are_refused():
    with pytest.raises(UserError, match="between 0 and 1"):
        growth.coating_thickness(1e-20, 1.0, 1.0)


def test_a_confined_film_obeys_hookes_law():
    """Strains and stresses of the six by six stiffness: held in the plane, free along the normal."""
    E, ν, free = 30e9, 0.27, np.array([0.02, 0.035, -0.01])
    λ, μ = E * ν / ((1 + ν) * (1 - 2 * ν)), E / (2 * (1 + ν))
    film = confined_film(tuple(free), E, ν)
    elastic = np.array([0.0, 0.0, film.swelling]) - free
    stress = λ * elastic.sum() + 2 * μ * elastic
    assert stress[:2] == pytest.approx(film.stress, rel=1e-12)
    assert abs(stress[2]) < 1e-6 * abs(stress[0])
    assert film.energy_density == pytest.approx(0.5 * stress @ elastic, rel=1e-9)
    even = confined_film((0.03, 0.03, 0.03), E, ν)
    assert even.stress[0] == pytest.approx(-E * 0.09 / (3 * (1 - ν)), rel=1e-12)
    with pytest.raises(UserError, match=r"between -1 and 0\.5"):
        confined_film((0.0, 0.0, 0.1), E, 0.5)
