"""Rough contact and nano-mechanical inhomogeneity of the layered cell: geometry, random fields, energy release, switches."""

import dataclasses
import math

import numpy as np
import pytest
from launch import ROOT
from mpi4py import MPI

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import RunFailure, UserError
from meshes.flaw import Flaw, WrongLength
from meshes.layer_voids import LayerVoids
from meshes.polycrystal import COARSE, LayeredCell
from multiscale.case import load_case
from multiscale.critical_current.cell_properties import CellProperties
from multiscale.critical_current.continuum import cell_properties
from multiscale.critical_current.geometry import layered_cell
from multiscale.critical_current.initiation import InitiationModel, Unevenness
from multiscale.critical_current.sampling import Run
from multiscale.critical_current.switch_worth import worth
from multiscale.domain import integral
from multiscale.layered import layered_domain
from multiscale.materials import Elastic
from multiscale.mechanics.elasticity import opened_volume
from multiscale.mechanics.flaw import FlawMechanics
from multiscale.mechanics.random_field import RandomField
from multiscale.parameters import continuum_inputs, nominal, resolve, validate
from multiscale.transport.kinetics import butler_volmer

FLAW = Flaw(1e-6, 30e-9, 6e-9, lined=False)
VOIDS = LayerVoids(20e-9, 0.6e-6, 0.3)
CELL = LayeredCell(6e-6, 4e-6, 3e-6, 40e-9, 40e-9, FLAW, seed=1, resolution=COARSE, voids=VOIDS)
REGIONS = ("grain", "boundary", "interphase")
GRAIN = Elastic(150e9, 0.257)


def lengths(cell):
    domain, _ = layered_domain(cell, MPI.COMM_SELF)
    faces = {name: integral(domain.constant(1.0) * domain.ds(name)) for name in domain.boundaries}
    return faces, {name: integral(domain.constant(1.0) * domain.dx(name)) for name in domain.regions}


def pocket_area(cell):
    return sum(float(np.trapezoid(roof[:, 1], roof[:, 0])) for roof in cell.roofs() if roof[0, 0] >= 0)


def test_bare_voids_take_their_share_of_the_surface_and_none_of_the_flaw():
    faces, areas = lengths(CELL)
    share = CELL.contact_share
    assert share == pytest.approx(0.7, abs=0.05)
    assert faces["lithium"] == pytest.approx(share * CELL.width - FLAW.mouth_opening, rel=1e-6)
    assert faces["void"] == pytest.approx((1 - share) * CELL.width, rel=0.05)
    assert faces["void"] > (1 - share) * CELL.width
    solid, _ = lengths(dataclasses.replace(CELL, voids=None))
    assert faces["flaw"] == pytest.approx(solid["flaw"], rel=1e-3)
    box = CELL.width * CELL.height - FLAW.depth * FLAW.mouth_opening / 2
    assert sum(areas.values()) == pytest.approx(box - pocket_area(CELL), rel=3e-4)


def test_a_layer_fills_or_bridges_them():
    lined = dataclasses.replace(CELL, flaw=dataclasses.replace(FLAW, lined=True))
    plain, plain_areas = lengths(dataclasses.replace(lined, voids=None))
    filled, areas = lengths(dataclasses.replace(lined, voids=dataclasses.replace(VOIDS, mode="fills")))
    assert "void" not in filled
    assert filled["lithium"] == pytest.approx(plain["lithium"], rel=1e-9)
    assert areas["interphase"] - plain_areas["interphase"] == pytest.approx(pocket_area(lined), rel=1e-3)
    bridged, areas = lengths(dataclasses.replace(lined, voids=dataclasses.replace(VOIDS, mode="bridges")))
    assert bridged["lithium"] == pytest.approx(plain["lithium"], rel=1e-9)
    assert bridged["void"] > 2 * 0.25 * CELL.width
    assert areas["interphase"] == pytest.approx(plain_areas["interphase"], rel=1e-9)


def test_the_same_seed_gives_the_same_voids_and_the_mouth_stays_clear():
    for seed in range(12):
        cell = dataclasses.replace(CELL, seed=seed)
        for one, two in zip(cell.roofs(), cell.roofs(), strict=True):
            np.testing.assert_array_equal(one, two)
        for roof in cell.roofs():
            assert not roof[0, 0] < cell.middle + FLAW.mouth_opening < roof[-1, 0] + 2 * FLAW.mouth_opening


def test_voids_as_high_as_the_flaw_is_deep_are_refused():
    with pytest.raises(WrongLength, match="roughness"):
        dataclasses.replace(CELL, voids=LayerVoids(80e-9, 0.6e-6, 0.3))
    with pytest.raises(UserError, match="correlation_length"):
        VOIDS.roofs(CELL.width, CELL.electrolyte_thickness, CELL.middle, clearance=3e-6, seed=1)


def test_random_fields_have_the_stated_statistics():
    points = np.array([[0.0, 0.0], [0.5e-6, 0.0], [0.3e-6, 0.4e-6], [2e-6, 2e-6]])
    fields = [RandomField(0.3, 0.5e-6, (seed, 1)) for seed in range(1500)]
    factors = np.array([field.factor(points) for field in fields])
    logs = np.log(factors)
    assert factors.mean(axis=0) == pytest.approx(1.0, abs=0.03)
    assert logs.std(axis=0) == pytest.approx(0.3, rel=0.06)
    correlation = np.corrcoef(logs.T)
    assert correlation[0, 1] == pytest.approx(np.exp(-1), abs=0.07)
    assert correlation[0, 2] == pytest.approx(np.exp(-1), abs=0.07)  # isotropic
    assert correlation[0, 3] == pytest.approx(0.0, abs=0.08)
    step = 1e-10
    ahead, behind = (np.log(fields[0].factor(points + np.array([sign * step, 0.0]))) for sign in (1, -1))
    np.testing.assert_allclose(fields[0].slope(points)[:, 0], (ahead - behind) / (2 * step), rtol=1e-5)


def release(depth, field):
    """Energy release rate by the domain integral, and stored energy, per unit pressure in the flaw."""
    cell = dataclasses.replace(CELL, width=4e-6, electrolyte_thickness=3e-6, voids=None, resolution=RESOLUTION)
    cell = dataclasses.replace(cell, flaw=dataclasses.replace(FLAW, depth=depth))
    domain, _ = layered_domain(cell, MPI.COMM_SELF)
    mechanics = FlawMechanics(domain, cell, modulus=field)
    response = mechanics.response(dict.fromkeys(REGIONS, GRAIN))
    at_tip = 1.0 if field is None else float(field.factor(np.array([[cell.middle, depth]]))[0])
    u = mechanics.combined(1.0, 0.0)
    return response.intensity_flaw**2 / (GRAIN.plane_strain_modulus * at_tip), 0.5 * integral(opened_volume(u, domain, "flaw"))


RESOLUTION = dataclasses.replace(COARSE, layer_divisions=2.0, tip_divisions=2.0, growth=0.4, largest=0.2)


def test_the_energy_released_in_an_uneven_body_is_the_derivative_of_its_energy():
    """G = d(½ p V)/da at constant pressure; the moduli stay where they are."""
    field = RandomField(0.4, 0.7e-6, (5, 1))
    step = 0.05e-6
    given, _ = release(1e-6, field)
    ahead, behind = release(1e-6 + step, field)[1], release(1e-6 - step, field)[1]
    assert given == pytest.approx((ahead - behind) / (2 * step), rel=0.01)


CELL_PROPERTIES = CellProperties(
    conductivity=dict.fromkeys(REGIONS, 1e4), elastic=dict.fromkeys(REGIONS, GRAIN),
    exchange_current_density=1.0, temperature=298.15, stack_pressure=0.0, grain_toughness=1e6, boundary_toughness=1e6, creep=None,
)  # fmt: skip


def test_under_kinetic_control_voids_cost_their_share_of_the_critical_current():
    """Conduction without loss: the stalled limit is Butler–Volmer at the pressure of fracture, on what touches."""
    model = InitiationModel(layered_domain(CELL, MPI.COMM_SELF)[0], CELL, CELL_PROPERTIES)
    found = model.stalled_critical_current(1e6)
    pressure = 1e6 / model.response.intensity_flaw
    local = butler_volmer(-pressure * LITHIUM_MOLAR_VOLUME / FARADAY, 1.0)
    share = CELL.contact_share - FLAW.mouth_opening / CELL.width
    assert found.current_density == pytest.approx(-local * share, rel=1e-4)


def test_toughness_follows_its_field_and_even_fields_change_nothing():
    even = InitiationModel(layered_domain(CELL, MPI.COMM_SELF)[0], CELL, CELL_PROPERTIES)
    none, field = RandomField(0.0, 1e-6, (1,)), RandomField(0.2, 1e-6, (2,))
    uneven = InitiationModel(even.domain, CELL, CELL_PROPERTIES, unevenness=Unevenness(none, field))
    assert uneven.response.intensity_flaw == pytest.approx(even.response.intensity_flaw, rel=1e-12)
    factor = field.factor(np.array([[CELL.middle, FLAW.depth]]))[0]
    assert uneven.toughness == pytest.approx(1e6 * factor, rel=1e-12)
    assert abs(factor - 1) > 1e-3


@pytest.fixture(scope="module")
def case():
    return load_case(ROOT / "cases" / "llzo-ppc")


def test_the_passage_to_the_electrolyte_is_in_series_within_the_layer(case):
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    inputs = continuum_inputs(case, leaf)
    layer = case.settings.geometry.interlayer
    own, passage = layer.thickness / leaf["PPC-interphase.ionic_conductivity"], leaf["PPC-LLZO-interface.interfacial_resistance"]
    assert layer.thickness / inputs["interlayer_conductivity"] == pytest.approx(own + passage, rel=1e-12)


def test_switches_change_what_they_name_and_nothing_else(case):
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    inputs = continuum_inputs(case, leaf)
    full, even = cell_properties(case, inputs, 0.7), cell_properties(case, inputs, 0.7, frozenset({"flux-detour"}))
    assert full.stack_pressure == pytest.approx(inputs["stack_pressure"] / 0.7)
    assert even.conductivity["boundary"] == even.conductivity["grain"] > full.conductivity["boundary"]
    assert dataclasses.replace(even, conductivity=full.conductivity) == full
    tight = cell_properties(case, inputs, 0.7, frozenset({"lithium-creep"}))
    assert tight.creep is None
    assert dataclasses.replace(tight, creep=full.creep) == full
    assert layered_cell(case, 4e-6, 1, False).voids.mode == "fills"
    assert layered_cell(case, 4e-6, 1, False, with_voids=False).voids is None


def test_the_worth_of_a_switch_is_paired_by_microstructure():
    row = worth("creep", [Run(20.0), Run(30.0), Run(math.nan, failure="diverged")], [Run(10.0)] * 3)
    assert (row["factor"], row["smallest"], row["largest"], row["microstructures"]) == (2.5, 2.0, 3.0, 2)
    assert row["with"] == 2.5
    assert row["without"] == 1.0
    assert row["with_bound"] is row["without_bound"] is row["factor_bound"] is None


@pytest.mark.parametrize(("above", "below", "told"), [
    ("lower", None, "lower"), (None, "lower", "upper"), ("upper", None, "upper"), ("lower", "upper", "lower"),
    ("lower", "lower", "unknown"),
])  # fmt: skip
def test_bounds_are_told_as_bounds(above, below, told):
    row = worth("creep", [Run(20.0, above)], [Run(10.0, below)])
    assert (row["with_bound"], row["without_bound"], row["factor_bound"]) == (above, below, told)


def test_beside_another_mechanism_the_smaller_current_counts():
    row = worth("creep", [Run(20.0), Run(50.0, "lower")], [Run(10.0), Run(10.0)], cap=15.0)
    assert (row["with"], row["factor"], row["with_bound"], row["factor_bound"]) == (1.5, 1.5, None, None)


def test_no_microstructure_in_common_is_a_failed_run_that_says_why():
    with pytest.raises(RunFailure, match=r"worth of creep: .*first failure: diverged"):
        worth("creep", [Run(math.nan, failure="diverged"), Run(2.0)], [Run(1.0), Run(math.nan, failure="later")])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('roughness          = "50 nm"', 'roughness          = "90 nm"', "fifteenth"),
        ('void_fraction      = 0.3', 'void_fraction      = 1.3', "void_fraction"),
        ('passage    = "PPC-LLZO-interface"', 'passage    = "LLZO"', "interfacial_resistance"),
        ('"flux-detour", ', '"flux-detours", ', "flux-detour"),
        ("correlation_length = \"2 um\"", 'correlation_length = "12 um"', "quarter of the width"),
        ("modulus_deviation   = 0.064", 'modulus_deviation   = "6 %"', "modulus_deviation"),
    ],
)  # fmt: skip
def test_wrong_contact_and_inhomogeneity_are_refused_with_file_and_key(tmp_path, old, new, told):
    text = (ROOT / "cases" / "llzo-ppc" / "case.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "case.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=r"case\.toml") as refused:
        validate(load_case(tmp_path))
    assert told in str(refused.value)
