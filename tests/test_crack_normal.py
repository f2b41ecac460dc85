"""Contact of dry faces of a crack that is not straight along the mesh: its normal, a tilted crack shut, open, sliding; a cell."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import ufl
from dolfinx import fem
from launch import python
from mpi4py import MPI
from refusals import told_with_its_line
from test_filament import ENERGY, OXIDE, A
from test_propagation import SMALL, _case

from meshes.crack_path import CrackPath, draw_crack_path
from multiscale.domain import integral, meshed
from multiscale.materials import stiffness
from multiscale.mechanics.alternation import Alternation
from multiscale.mechanics.crack_normal import CrackNormal
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.fracture import CrackedBody
from multiscale.mechanics.fracture_state import Prestress
from multiscale.mechanics.phase_field import CrackModel, face_density
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import resolve

LENGTH, TILT = A / 4, math.radians(30)
NORMAL, ALONG = np.array([math.cos(TILT), math.sin(TILT)]), np.array([-math.sin(TILT), math.cos(TILT)])
MIDDLE = np.array([0.0, 3.0 * A])
HARD = Creep(1e-9, 0.8e6, 6.6, 37e3, size_factor=100.0)


def _tilted(stress):
    """A plate with a dry crack of half length A, turned by 30°, under a stress tensor (2×2, Pa), its faces touch.

    Its opening and its slip, summed along the crack, over those of the exact crack under a unit load: 2πa²/E' (m²/Pa).
    """
    path = CrackPath(24 * A, 16 * A, 4.5 * A, 1.6 * A, LENGTH / 2, 2 * A, mirrored=False)
    domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
    model, E, ν = CrackModel("AT1", LENGTH), OXIDE.youngs_modulus, OXIDE.poisson_ratio
    xx, yy = np.diag(stress)
    ε = np.zeros((3, 3))  # plane strain
    ε[:2, :2] = (1 + ν) / E * (np.array(stress) - ν * (xx + yy) * np.eye(2))
    held = ufl.as_tensor([[domain.constant(float(value)) for value in row] for row in ε])

    def supports(space):
        return [domain.fixed(space, 0.0, "left", "right", "top", "foot", component=k) for k in (0, 1)]

    dry = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
    body = CrackedBody(
        domain, stiffness(domain, {"body": OXIDE}), domain.constant(100 * ENERGY), model, supports, wetted=dry,
        prestress=Prestress(held, lambda u, share: 0.0 * u[0] * domain.dx()), alternation=Alternation(1e-3, 200),
    )  # fmt: skip

    def inside(x):
        away = x[:2] - MIDDLE[:, None]
        return (np.abs(ALONG @ away) <= A) & (np.abs(NORMAL @ away) <= 1.5 * path.size)

    body.notch(inside)
    normal = CrackNormal(domain, 2 * LENGTH, straight=False)
    body.let_faces_touch(normal.follow(body.damage))
    body.at_pressure(0.0)
    n, t = ufl.as_vector(list(NORMAL)), ufl.as_vector(list(ALONG))
    unit = 2 * math.pi * A**2 / OXIDE.plane_strain_modulus
    u, d = body.displacement, body.damage
    jump = [integral(-ufl.dot(u, way) * ufl.dot(ufl.grad(d), n) * domain.dx()) / unit for way in (n, t)]
    return body, normal, jump


@pytest.fixture(scope="module")
def opened():
    return _tilted(100e6 * np.eye(2))


def test_the_normal_is_that_of_the_band(opened):
    """Within a few degrees beside the crack and ahead of its tips, either sign."""
    body, normal, _ = opened
    faces = face_density(body.damage)
    off = abs(normal.direction[0] * ALONG[0] + normal.direction[1] * ALONG[1])
    assert integral(faces * off * body.domain.dx()) / integral(faces * body.domain.dx()) < math.sin(math.radians(4))
    assert np.abs(normal.direction.x.array.reshape(-1, 3)[:, :2] @ NORMAL).min() > math.cos(math.radians(15))


def test_a_tilted_crack_opens_under_tension_and_shuts_under_compression(opened):
    """V = 2πσa²/E' open; pressed together by the same load nothing moves."""
    body, _, (opening, slip) = opened
    assert opening / 100e6 == pytest.approx(1, rel=0.12)
    assert abs(slip) < 0.06 * opening
    pressed, _, (shut, still) = _tilted(-100e6 * np.eye(2))
    assert abs(shut) + abs(still) < 1e-3 * opening
    assert np.abs(pressed.displacement.x.array).max() < 1e-3 * np.abs(body.displacement.x.array).max()


def test_a_shut_crack_slides_but_less_than_without_friction(opened):
    """Compression along x alone: shear τ = s sin 30° cos 30° on the faces, which stay shut. Without friction they would slide by
    2πτa²/E'; elements across the band hold them back, by 20 to 40 % (docs/physics.md 3)."""
    _, _, (shut, slip) = _tilted(np.array([[-100e6, 0.0], [0.0, 0.0]]))
    sheared = 100e6 * math.sin(TILT) * math.cos(TILT)
    assert 0.6 < abs(slip) / sheared < 1.05
    assert abs(shut) < 0.05 * abs(slip)


UNEVEN = SMALL | {
    'thickness = "40 um"': 'thickness = "16 um"\ngrain_size = "8 um"',
    'width     = "80 um"': 'width = "40 um"\nseed = 3\n'
    'inhomogeneity = { modulus_deviation = 0.1, toughness_deviation = 0.2, correlation_length = "3 um", source = "test" }',
    "elements = 3": 'elements = 2\nband = "8 um"\ncontact = true', "lithium_creep     = false": "lithium_creep = true",
    'stack_pressure = "0 MPa"': 'stack_pressure = "0 MPa"\nresidual_stress = "-150 MPa"',
}  # fmt: skip


def _half_filled(folder, contact):
    """A cell of grains and random fields under 150 MPa of compression whose lithium fills 5 µm of its flaw of 8 µm."""
    changes = UNEVEN if contact else UNEVEN | {"elements = 3": 'elements = 2\nband = "8 um"'}
    case = load_propagation_case(_case(folder, changes))
    assert case.settings.faces_touch is contact
    model = filament_model(case, resolve(case), MPI.COMM_WORLD)
    model.properties = replace(model.properties, creep=HARD)
    model.resume(1e-6)
    return model


def _dry_volume(model):
    """Of the part of the crack that is dry, m²: negative where its faces overlap."""
    body = model.body
    return integral(-(1 - model._wetted) * ufl.dot(body.displacement, ufl.grad(body.damage)) * model.domain.dx())


def test_dry_faces_touch_in_a_cell_of_grains_and_random_fields(tmp_path):
    """Lithium opens its part once it presses as the cell does; without contact the dry part overlaps and it must press more."""
    found = []
    for contact in (True, False):
        model = _half_filled(tmp_path / str(contact), contact)
        state = model.step(0.01, 400.0)
        assert state.volume == pytest.approx(1.3e-5 / 96485.33212 * state.charge - state.extruded, rel=1e-9)
        held, unit = model.body.response
        found.append((-held / unit, _dry_volume(model)))
    (touching, gap), (overlapping, through) = found
    assert touching == pytest.approx(150e6, rel=0.06)
    assert overlapping > 1.2 * touching
    assert abs(gap) < 0.06 * abs(through)
    assert through < 0


def test_turned_crystals_have_no_contact(tmp_path):
    turned = {
        'thickness = "40 um"': 'thickness = "40 um"\nanisotropy = { zener_ratio = 1.3, source = "test" }',
        "elements = 3": "elements = 3\ncontact = true",
    }
    told_with_its_line(lambda: load_propagation_case(_case(tmp_path, turned)), "isotropic material only")


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from test_crack_normal import turned_normal
found = turned_normal()
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(found))
"""


def turned_normal():
    """Integrals of the products of the normal of a kinked crack."""
    path = CrackPath(12 * A, 8 * A, 4 * A, 2 * A, LENGTH / 2, 2 * A, mirrored=False)
    domain = meshed(draw_crack_path, MPI.COMM_WORLD, path=path)
    damage = fem.Function(fem.functionspace(domain.mesh, ("P", 1)))
    damage.interpolate(lambda x: np.where(np.abs(x[0] - np.maximum(x[1] - 2 * A, 0)) < path.size, 1.0, 0.0) * (x[1] < 3 * A))
    n = CrackNormal(domain, 2 * LENGTH, straight=False).follow(damage)
    return [integral(n[i] * n[j] * domain.dx()) / A**2 for i, j in ((0, 0), (0, 1), (1, 1))]


@pytest.mark.timeout(200)
def test_ranks_do_not_matter():
    done = python(SCRIPT, 2, timeout=140)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1]) == pytest.approx(turned_normal(), rel=1e-9)
