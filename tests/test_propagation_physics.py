"""Surfing crack and its J-integral, and what must never lower a critical current."""

import math

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI
from test_filament import OXIDE
from test_propagation import SMALL, _case

from meshes.crack_path import CrackPath, draw_crack_path
from multiscale.domain import integral, meshed
from multiscale.materials import Stiffness, stiffness
from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.elasticity import crack_driving_force, extension_field
from multiscale.mechanics.fracture import CrackedBody
from multiscale.mechanics.phase_field import CrackModel, degradation
from multiscale.parameters import nominal
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import inputs_at, parameters
from multiscale.propagation.march import March
from multiscale.propagation.protocols import Hold

L = 1e-6
TOUGHNESS = 10.0
"""Gc of the surfing test, J/m²."""


def _opening_mode(tip):
    """Displacement of the K-field of a crack along y with its tip at height `tip`, at K = √(Gc E'), plane strain; x ≥ 0."""
    K, μ, κ = math.sqrt(TOUGHNESS * OXIDE.plane_strain_modulus), OXIDE.shear_modulus, 3 - 4 * OXIDE.poisson_ratio

    def field(x):
        r, θ = np.hypot(x[0], x[1] - tip), np.arctan2(x[0], x[1] - tip)
        scale = K / (2 * μ) * np.sqrt(r / (2 * np.pi))
        across = scale * np.sin(θ / 2) * (κ + 1 - 2 * np.cos(θ / 2) ** 2)
        along = scale * np.cos(θ / 2) * (κ - 1 + 2 * np.sin(θ / 2) ** 2)
        return np.stack([np.where(x[0] > 1e-6 * L, across, 0.0), along])  # the crack's own line is a mirror

    return field


@pytest.fixture(scope="module")
def surfing():
    """A crack that follows a moving K-field: tip of the field, fracture energy, and the body at the end."""
    size = L / 3
    path = CrackPath(20 * L, 14 * L, 14 * L, 4 * L, size, 2 * L, mirrored=True)
    domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
    model, moduli = CrackModel("AT1", L), stiffness(domain, {"body": OXIDE})
    held = []

    def supports(space):
        held.append(imposed := fem.Function(space))
        far = [domain.fixed(space, imposed, name) for name in ("right", "top", "foot")]
        return [domain.fixed(space, 0.0, "left", component=0), *far]

    Gc = domain.constant(TOUGHNESS / model.mesh_correction(size))
    body = CrackedBody(domain, moduli, Gc, model, supports, moved=True, alternation=Alternation(1e-3, 400))
    body.notch(lambda x: (x[1] <= 4 * L * (1 + 1e-9)) & (x[0] <= size / 2 * (1 + 1e-6)))
    tips, spent = np.arange(4.0, 9.01, 0.5) * L, []
    for tip in tips:
        held[0].interpolate(_opening_mode(tip))
        spent.append(2 * body.at_pressure(0.0).fracture)
    return domain, moduli, body, tips, np.array(spent)


def test_a_surfing_crack_costs_its_toughness(surfing):
    """Fracture energy a length of travel is Gc, after the correction for the mesh (Hossain et al., JMPS 71, 15 (2014)); the tip
    jumps from element to element (l/3), which six points of the fit feel by a few percent."""
    _, _, _, tips, spent = surfing
    late = slice(len(tips) // 2, None)
    slope = np.polyfit(tips[late], spent[late], 1)[0]
    assert slope == pytest.approx(TOUGHNESS, rel=0.06)
    assert (np.diff(spent) >= -1e-12 * spent[0]).all()


def test_its_j_integral_is_the_toughness(surfing):
    """Energy release by the θ integral in a ring around the tip, with the degraded stiffness (the wake contributes nothing)."""
    domain, moduli, body, _, spent = surfing
    tip = spent[-1] / TOUGHNESS  # length by surface energy, from the foot
    share = degradation(body.damage)
    θ = extension_field(domain, (0.0, tip), (0.0, 1.0), 2.5 * L, 3.8 * L)
    soft = Stiffness(share * moduli.first_lame, share * moduli.shear_modulus)
    J = 2 * integral(crack_driving_force(body.displacement, soft, domain, θ))
    assert J == pytest.approx(TOUGHNESS, rel=0.05)


def _growth_time(case, **changed):
    """Time until the crack grows at 20 mA/cm², s; infinity where it does not in 8 s. Changes: factors on numbers of the case."""
    found = parameters(case)
    values = {key: float(value[0]) for key, value in nominal(found).items()}
    for key, factor in changed.items():
        values[key] *= factor
    march = March.of(filament_model(case, inputs_at(case, found, values), MPI.COMM_SELF), case.settings, until_growth=True)
    ended = march.run((Hold(200.0, 8.0),))
    return march.rows[-1].time if ended in ("growth", "short") else math.inf


def test_what_must_not_lower_a_critical_current(tmp_path):
    """More toughness, more exchange current, a smaller flaw, more conductivity: the crack starts later or never."""
    case = load_propagation_case(_case(tmp_path, SMALL))
    base = _growth_time(case)
    assert base < 8.0
    for change in (
        {"LLZO.fracture_toughness": 1.2}, {"Li-LLZO-interface.exchange_current_density": 1.3}, {"geometry.flaw.depth": 0.85},
    ):  # fmt: skip
        assert _growth_time(case, **change) >= base, change
    assert _growth_time(case, **{"LLZO.fracture_toughness": 0.9}) < base
