"""Flow of lithium: creep and relaxation of a bar, hardening, a closing void, against closed forms; ranks."""

import json
import math

import numpy as np
import pytest
from fem_tools import rectangle
from launch import python
from mpi4py import MPI
from scipy.integrate import solve_ivp

from coupling.errors import UserError
from meshes.shapes import draw_quarter_shell
from multiscale.domain import integral, meshed
from multiscale.materials import Elastic
from multiscale.mechanics import elasticity as mechanics
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.lithium_flow import LithiumBody, NarayanAnand, Norton, flow_stress, void_closing_rate
from multiscale.verification.lithium import NARAYAN_ANAND, bar_rate

METAL = Elastic(7.82e9, 0.381)
CREEP = Creep(1e-3, 0.8e6, 6.6, 37e3)
T = 298.15


def test_return_to_the_flow_stress():
    trial = np.array([1e3, 1e5, 1e6, 1e9])
    for step in (1e-6, 1.0, 1e6):
        σ = flow_stress(trial, np.ones(4), Norton(CREEP), METAL.shear_modulus, step, T)
        assert σ + 3 * METAL.shear_modulus * step * CREEP.rate(σ, T) == pytest.approx(trial, rel=1e-12)
    assert flow_stress(trial, np.ones(4), Norton(CREEP), 1e9, 0.0, T) == pytest.approx(trial)


@pytest.mark.parametrize("stress", [0.3e6, 0.8e6, 2e6])
def test_bar_creeps_at_the_law(stress):
    assert bar_rate(MPI.COMM_SELF, Norton(CREEP), stress, T) == pytest.approx(CREEP.rate(stress, T), rel=1e-6)


def _held_bar(law):
    """A round bar whose top is moved; its axial stress as a function."""
    domain = rectangle(1, axisymmetric=True)
    moved = domain.constant(0.0)

    def supports(space):
        held = [domain.fixed(space, 0.0, "left", component=0), domain.fixed(space, 0.0, "bottom", component=1)]
        return [*held, domain.fixed(space, moved, "top", component=1)]

    body = LithiumBody(domain, METAL, law, T, supports)
    return body, moved, lambda: integral(body.stress[1, 1] * domain.dx(degree=2)) / math.pi


def test_relaxation_is_first_order_in_time():
    """Held strain: dσ/dt = -E A σⁿ, σ = [σ0^(1-n) + (n-1) E A t]^(-1/(n-1))."""
    n, E, A = 6.6, METAL.youngs_modulus, 1e-3 / 0.8e6**6.6
    start, end, errors = 1.0e6, 0.5, []
    exact = (start ** (1 - n) + (n - 1) * E * A * end) ** (-1 / (n - 1))
    for steps in (20, 40, 80):
        body, moved, stress = _held_bar(Norton(CREEP))
        moved.value = start / E
        body.advance(0.0)
        assert stress() == pytest.approx(start, rel=1e-9)
        for _ in range(steps):
            body.advance(end / steps)
        errors.append(abs(stress() / exact - 1))
    assert errors[-1] < 6e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.2)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.2)


def test_hardening_follows_its_equation():
    """Constant strain rate with the internal variable: against the two ordinary equations of a bar."""
    law, speed, end = NARAYAN_ANAND, 2e-2, 20.0

    def slopes(t, y):
        rate = float(law.rate(max(y[0], 0.0), y[1], T))
        return [METAL.youngs_modulus * (speed - rate), float(law.hardening(rate, y[1], T))]

    exact = solve_ivp(slopes, (0, end), [0.0, law.resistance], method="LSODA", rtol=1e-9, atol=1.0).y[:, -1]
    body, moved, stress = _held_bar(law)
    for k in range(200):
        moved.value = speed * end * (k + 1) / 200
        body.advance(end / 200)
    assert stress() == pytest.approx(exact[0], rel=5e-3)
    assert body.resistance.mean() == pytest.approx(exact[1], rel=5e-3)
    assert body.resistance.mean() > 1.2 * law.resistance
    assert np.abs(np.trace(body.plastic, axis1=2, axis2=3)).max() < 1e-12


def test_a_void_closes_at_the_steady_rate():
    """Thick sphere of power-law lithium under outer pressure, once its stress has settled."""
    a, b, pressure, creep = 1e-6, 3e-6, 1e6, Creep(1e-3, 0.8e6, 3.0, 37e3)
    sizes = {"width": a, "height": a, "outer": b, "tip_size": a / 5, "side_size": a / 5, "outer_size": b / 5}
    domain = meshed(draw_quarter_shell, MPI.COMM_WORLD, axisymmetric=True, **sizes)

    def supports(space):
        return [domain.fixed(space, 0.0, "axis", component=0), domain.fixed(space, 0.0, "plane", component=1)]

    p = domain.constant(pressure)
    body = LithiumBody(domain, METAL, Norton(creep), T, supports, lambda u: mechanics.pressure_work(u, p, domain, "outer"))
    body.advance(0.0)
    area = integral(domain.constant(1.0) * domain.ds("surface"))

    def radius_change():
        return integral(-mechanics.opened_volume(body.displacement, domain, "surface")) / area

    for step in (0.01, 0.1, 0.3, 1.0, 1.0):
        before = radius_change()
        body.advance(step)
    closing = (radius_change() - before) / step
    assert abs(closing) == pytest.approx(void_closing_rate(pressure, a, creep, T, b), rel=2e-2)


def test_void_rate_in_an_infinite_body():
    n, p = CREEP.exponent, 1e6
    assert void_closing_rate(p, 1e-6, CREEP, T) == pytest.approx(0.5e-6 * 1e-3 * (3 * p / (2 * n) / 0.8e6) ** n)


def test_impossible_laws_are_refused():
    with pytest.raises(UserError, match="saturation"):
        NarayanAnand(1.0, 1.0, 0.15, 1e6, 1e7, -2e6, 2.0, 0.05)


SCRIPT = """
import json
from mpi4py import MPI
from multiscale.verification.lithium import NARAYAN_ANAND, bar_rate
rate = bar_rate(MPI.COMM_WORLD, NARAYAN_ANAND, 0.8e6, 298.15, 1.0)
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(rate))
"""


def test_ranks_do_not_matter():
    answers = []
    for ranks in (1, 2, 3):
        done = python(SCRIPT, ranks)
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout.strip().splitlines()[-1]))
    assert answers == pytest.approx([answers[0]] * 3, rel=1e-9)
