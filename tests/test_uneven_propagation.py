"""Uneven cells of propagation cases: strips that stand for boundaries, cubic stiffness, grains, random fields, seeds."""

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from scipy.integrate import trapezoid
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from test_propagation import _case

from coupling.errors import RunFailure, UserError
from multiscale.materials import Elastic, Stiffness, cubic_constants
from multiscale.mechanics.phase_field import split_energy
from multiscale.mechanics.weak_boundary import effective_toughness, in_series, mesh_toughness, strip_toughness, strip_width
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.cell import filament_model
from multiscale.propagation.inputs import resolve
from multiscale.propagation.microstructure import grains
from multiscale.propagation.spread import coarse_current

OXIDE = Elastic(149.8e9, 0.257)


@pytest.mark.parametrize(("weak", "strip"), [(0.5, 1.0), (0.05, 1.0), (2.0, 1.0), (0.3, 3.0)])
def test_a_strip_costs_what_the_best_profile_costs(weak, strip):
    """Against the AT1 energy minimised over piecewise linear profiles, l = 1."""
    x = np.linspace(0.0, 4.0, 401)
    x = np.unique(np.append(x, strip / 2).round(12))
    middle, h = (x[1:] + x[:-1]) / 2, np.diff(x)
    r = np.where(middle < strip / 2, weak, 1.0)

    def energy(inner):
        d = np.concatenate([[1.0], inner, [0.0]])
        slope, mean = np.diff(d) / h, (d[1:] + d[:-1]) / 2
        gradient = np.zeros(len(d))
        gradient[:-1] += r * (h / 2 - 2 * slope)
        gradient[1:] += r * (h / 2 + 2 * slope)
        return 0.75 * np.sum(r * h * (mean + slope**2)), 0.75 * gradient[1:-1]

    start = np.maximum(1 - x[1:-1] / 2, 0) ** 2
    often = {"maxiter": 20000, "maxfun": 10**6, "ftol": 1e-14}
    found = minimize(energy, start, jac=True, bounds=[(0, 1)] * len(start), method="L-BFGS-B", options=often)
    assert effective_toughness(weak, strip, 1.0) == pytest.approx(found.fun, rel=2e-4)


def test_strips_give_the_wanted_toughness():
    assert effective_toughness(1.0, 0.7, 1.0) == pytest.approx(1.0, rel=1e-12)
    assert effective_toughness(0.3, 4.5, 1.0) == 0.3
    assert strip_toughness(1.0, 1.0, 1.0, 0.5) == 1.0
    for wanted in (0.05, 0.5, 0.9, 1.5):
        for size in (1 / 2, 1 / 3, 1 / 8):
            strip = strip_width(1.0, size)
            assert mesh_toughness(strip_toughness(wanted, strip, 1.0, size), strip, 1.0, size) == pytest.approx(wanted, rel=1e-9)
    with pytest.raises(UserError, match="make the elements smaller"):
        strip_toughness(0.01, 1.0, 1.0, 0.5)


@pytest.mark.parametrize("weak", [0.15, 0.4, 2.0])
def test_on_small_elements_a_strip_costs_what_it_does_in_the_continuum(weak):
    errors = [abs(mesh_toughness(weak, 1.0, 1.0, size) / effective_toughness(weak, 1.0, 1.0) - 1) for size in (1 / 51, 1 / 201)]
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 3


def test_a_strip_has_a_middle_row_and_is_about_as_wide_as_the_phase_field():
    for size in (1 / 2, 1 / 3, 1 / 4, 1 / 9, 1.0):
        rows = strip_width(1.0, size) / size
        assert rows == pytest.approx(round(rows))
        assert round(rows) % 2 == 1
        assert rows >= 3
    assert in_series(0.01, 1e-9, 1e-6) == pytest.approx(1 / (0.999 + 0.1))
    assert in_series(0.5, 3e-6, 1e-6) == 0.5


def test_cubic_constants_give_back_the_isotropic_ones():
    """Averaged over orientations by Hill; a Zener ratio of one is isotropic."""
    assert cubic_constants(OXIDE, 1.0) == pytest.approx((OXIDE.first_lame, OXIDE.shear_modulus, 0.0), abs=1.0)
    c12, c44, excess = cubic_constants(OXIDE, 2.5)
    c = excess + c44
    assert c44 / c == pytest.approx(2.5)
    assert c12 + 2 * c / 3 == pytest.approx(OXIDE.bulk_modulus)
    hill = ((2 * c + 3 * c44) / 5 + 5 * c * c44 / (2 * c44 + 3 * c)) / 2
    assert hill == pytest.approx(OXIDE.shear_modulus)


def test_cubic_energy_is_that_of_the_turned_tensor():
    """½ ε:C:ε with C turned by hand, and the uniaxial modulus along ⟨100⟩ and ⟨110⟩."""
    rng = np.random.default_rng(1)
    c12, c44, excess = cubic_constants(OXIDE, 2.0)
    c11 = c12 + 2 * (excess + c44)
    C = np.zeros((3, 3, 3, 3))
    for i in range(3):
        for j in range(3):
            C[i, i, j, j] += c11 if i == j else c12
            if i != j:
                C[i, j, i, j] += c44
                C[i, j, j, i] += c44
    R = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    turned = np.einsum("ia,jb,kc,ld,abcd->ijkl", R, R, R, R, C)
    ε = rng.standard_normal((3, 3))
    ε = (ε + ε.T) / 2
    axes = ufl.as_matrix(R.T.tolist())
    ψ = split_energy(ufl.as_matrix(ε.tolist()), Stiffness(c12, c44, excess, axes), "none")[0]
    assert float(ψ) == pytest.approx(0.5 * np.einsum("ij,ijkl,kl", ε, turned, ε), rel=1e-12)


UNEVEN = {
    'thickness = "40 um"': 'thickness = "16 um"\ngrain_size = "8 um"\n'
    'grain_boundary = { material = "LLZO-boundary", width = "1 nm" }\n'
    'anisotropy = { zener_ratio = 1.3, source = "test" }',
    'width     = "80 um"': 'width = "40 um"\nseed = 3\n'
    'inhomogeneity = { modulus_deviation = 0.1, toughness_deviation = 0.2, correlation_length = "3 um", source = "test" }',
    'depth  = "10 um"': 'depth  = "8 um"\nat = "grain-boundary"', "elements = 3": 'elements = 2\nband = "8 um"',
}  # fmt: skip
"""What makes the shipped case an uneven one of seconds."""


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return load_propagation_case(_case(tmp_path_factory.mktemp("uneven") / "uneven", UNEVEN))


def test_grains_do_not_depend_on_the_points_and_the_flaw_lies_where_it_should(case):
    geometry = case.settings.geometry
    points = np.random.default_rng(2).uniform((-20e-6, 0), (20e-6, 16e-6), (500, 2))
    whole, apart, total = grains(points, geometry, 8e-6)
    part, _, _ = grains(points[::7], geometry, 8e-6)
    assert np.array_equal(part, whole[::7])
    assert 5 <= total <= 10
    assert apart.min() >= 0
    on_flaw = np.array([[0.0, y] for y in np.linspace(3e-6, 5e-6, 5)])
    assert grains(on_flaw, geometry, 8e-6)[1] == pytest.approx(0.0, abs=1e-12)
    other = geometry.model_copy(update={"flaw": geometry.flaw.model_copy(update={"at": "grain"})})
    assert grains(on_flaw, other, 8e-6)[1].min() > 1e-6


def test_an_uneven_cell_runs_and_its_seed_matters(case):
    """The flaw lies on a boundary that is weaker: it starts earlier than the even cell would; another seed, another pressure."""
    inputs = resolve(case)
    assert inputs.boundary == pytest.approx((0.05, 0.75, 1.0))
    assert "LLZO-boundary.toughness_ratio" in inputs.parameters
    model = filament_model(case, inputs, MPI.COMM_SELF)
    assert model.copies == 1
    state = model.step(1.0, 100.0)
    assert state.charge + state.flat_charge == pytest.approx(100.0 * 40e-6, rel=1e-9)
    assert state.volume == pytest.approx(1.3e-5 / 96485.33212 * state.charge, rel=1e-12)
    assert state.pressure > 0
    geometry = case.settings.geometry.model_copy(update={"seed": 4})
    settings = case.settings.model_copy(update={"geometry": geometry})
    other = filament_model(type(case)(case.folder, settings, case.materials, case.file), inputs, MPI.COMM_SELF).step(1.0, 100.0)
    assert abs(other.pressure / state.pressure - 1) > 1e-4


def test_a_residual_stress_is_held_against_weak_boundaries_and_random_minima(tmp_path):
    """What a sound grain bears breaks the strip of a boundary at the ratio 0.75; random fields are seen on the mesh, and a draw
    that cannot be set up is a failed run, not the end of all."""
    stress = 'stack_pressure = "0 MPa"\nresidual_stress = "350 MPa"'
    sound = load_propagation_case(_case(tmp_path / "sound", {'stack_pressure = "0 MPa"': stress}))
    resolve(sound)
    weak = load_propagation_case(_case(tmp_path / "weak", {
        'stack_pressure = "0 MPa"': stress, 'thickness = "40 um"': 'thickness = "40 um"\ngrain_size = "20 um"\n'
        'grain_boundary = { material = "LLZO-boundary", width = "1 nm" }'}))  # fmt: skip
    with pytest.raises(UserError, match="breaks the strips of weak boundaries beyond"):
        resolve(weak)
    random = {
        'stack_pressure = "0 MPa"': stress, 'thickness = "40 um"': 'thickness = "16 um"', "elements = 3": "elements = 2",
        'depth  = "10 um"': 'depth  = "8 um"', 'width     = "80 um"':
        'width = "40 um"\ninhomogeneity = { modulus_deviation = 0.1,'
        ' toughness_deviation = 0.4, correlation_length = "3 um", source = "test" }',
    }  # fmt: skip
    case = load_propagation_case(_case(tmp_path / "random", random))
    inputs = resolve(case)
    with pytest.raises(UserError, match=r"residual_stress.*of the energy that sound material"):
        filament_model(case, inputs, MPI.COMM_SELF)
    with pytest.raises(RunFailure, match="of the energy that sound material"):
        coarse_current(case, inputs.parameters, {}, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('depth  = "10 um"', 'depth  = "10 um"\nat = "grain-boundary"', "only a polycrystal has boundaries"),
        ('thickness = "40 um"', 'thickness = "40 um"\ngrain_size = "4 um"', "a quarter of the grain size"),
        ('thickness = "40 um"', 'thickness = "40 um"\ngrain_boundary = { material = "LLZO-boundary", width = "1 nm" }',
         "needs a grain_size"),
        ('length   = "2 um"', 'length = "2 um"\nband = "3 um"', "at least twice the length"),
        ('width     = "80 um"', 'width = "80 um"\ninhomogeneity = { modulus_deviation = 2, toughness_deviation = 0, '
         'correlation_length = "1 um", source = "x" }', "modulus_deviation"),
    ],
)  # fmt: skip
def test_wrong_microstructures_are_refused(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as caught:
        load_propagation_case(_case(tmp_path, {old: new}))
    assert "case.toml:" in str(caught.value)


def test_profile_area():
    """The closed form's own profile integrates to its energy (guards the algebra of α and s)."""
    weak, η = 0.4, 0.25
    s = -η / weak + np.sqrt((η / weak) ** 2 + 1 - η**2)
    α = η + s / weak
    ξ = np.linspace(0, η, 2001)
    inner = 2 * trapezoid(1 - 2 * α * ξ + ξ**2 + (ξ - α) ** 2, ξ)
    assert effective_toughness(weak, 1.0, 1.0) == pytest.approx(2 * 3 / 8 * (weak * inner + 4 / 3 * s**3), rel=1e-6)
