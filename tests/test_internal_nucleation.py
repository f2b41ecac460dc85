"""Leakage across flat layers, nucleation inside the interphase, voids on stripping: against other solutions and closed forms."""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import ufl
from dolfinx import mesh
from launch import ROOT
from mpi4py import MPI

from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from coupling.nucleation import attachment_frequency, critical_nucleus, log10_rate
from coupling.rate_table import RateTable
from coupling.record import Property
from coupling.store import write_records
from multiscale.case import load_case
from multiscale.critical_current import first_mechanism
from multiscale.critical_current import internal_nucleation as inside
from multiscale.critical_current.answer import CLOSURE, Reference, Spread
from multiscale.critical_current.first_mechanism import RATES, best_values, combined, smallest_split
from multiscale.critical_current.other_mechanisms import nucleation_figures, nucleation_inputs, rate_errors, voiding_currents
from multiscale.critical_current.sampling import SURROGATE
from multiscale.domain import Domain
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.voiding import stripping_limit
from multiscale.parameters import MIXTURE_MODEL, draw, nominal, resolve
from multiscale.transport.interphase_leakage import LeakyCell, tunnelling_length
from multiscale.transport.kinetics import overpotential_at
from multiscale.transport.leakage import MetalContact, MixedConductor

ELECTRON_VOLT = 1.602176634e-19
CELL = LeakyCell(20e-9, 4e-6, 1.6e-6, 0.25, 100.0, 1.0 * ELECTRON_VOLT, 1e-12, 5e-7)
INPUTS = inside.NucleationInputs(CELL, 25.7, 0.5, 298.15, 0.46, math.pi / 2, 5e6, 4e28, 3e-16, 2.9e-10)


def test_tunnelling_length_of_one_electron_volt():
    """ħ/(2 (2 m E)^½) = 0.1952 nm/(2 √E in eV)."""
    assert tunnelling_length(ELECTRON_VOLT) == pytest.approx(0.0976e-9, rel=1e-3)


def test_flat_layers_agree_with_the_resolved_mixed_conductor():
    """The closed form against finite elements for ions and electrons, in one layer with a profile and one without."""
    t, length = 4e-9, 10e-9
    cell = LeakyCell(t, length - t, 1e-3, 1e-3, 1e-3, 0.05 * ELECTRON_VOLT, 1e-6, 1e-5)
    line = mesh.create_interval(MPI.COMM_SELF, 2000, [0.0, length])
    line.topology.create_connectivity(0, 1)
    ends = np.sort(mesh.exterior_facet_indices(line.topology))
    tags = mesh.meshtags(line, 0, ends, np.array([1, 2], dtype=np.int32))
    every = np.arange(line.topology.index_map(1).size_local, dtype=np.int32)
    cells = mesh.meshtags(line, 1, every, np.ones(len(every), np.int32))
    body = Domain(line, cells, tags, {"all": 1}, {"lithium": 1, "counter": 2})
    x = ufl.SpatialCoordinate(line)[0]
    λ = float(tunnelling_length(cell.barrier))
    σ = ufl.conditional(ufl.lt(x, t), 1e-3 * ufl.exp(-x / λ) + 1e-6, 1e-5)
    model = MixedConductor(body, 1e-3, σ, {"lithium": MetalContact(100.0), "counter": MetalContact()})
    voltage = model.drive("lithium", -50.0)
    ions, electrons = (-value for value in model.currents("lithium"))
    η = -overpotential_at(-ions, 100.0)
    assert -voltage == pytest.approx(cell.voltage(ions, η), rel=1e-6)
    assert electrons / ions == pytest.approx(cell.electronic_share(ions, η), rel=2e-4)
    lowest, place = model.lowest()
    where = cell.lowest(ions, η)
    assert place[0] == pytest.approx(where, abs=2e-11)
    assert 0.1e-9 < where < 3.9e-9
    assert lowest == pytest.approx(cell.lithium_potential(where, ions, η), rel=1e-4)


def test_potential_is_that_of_the_metal_at_both_ends_and_never_overflows():
    i, η = 10.0, 0.01
    assert CELL.lithium_potential(0.0, i, η) == pytest.approx(-η)
    assert CELL.lithium_potential(CELL.total, i, η) == pytest.approx(0.0, abs=1e-12)
    thin = dataclasses.replace(CELL, barrier=1e4 * ELECTRON_VOLT)  # exp(t/λ) is beyond any float
    assert np.isfinite(thin.lithium_potential(10e-9, i, η))


def test_the_rate_is_that_of_classical_nucleation():
    """Against `coupling.nucleation`, written for single numbers."""
    for η, pressure, angle in ((0.2, 0.0, math.pi), (0.3, 100e6, 1.0)):
        own = dataclasses.replace(INPUTS, confinement=pressure, contact_angle=angle)
        nucleus = critical_nucleus(0.46, -η, 298.15, pressure, angle)
        other = log10_rate(nucleus, 4e28, attachment_frequency(nucleus, 3e-16, 2.9e-10))
        assert inside.log_rate(η, own) / math.log(10) == pytest.approx(other, rel=1e-12)
    assert inside.log_rate(0.02, dataclasses.replace(INPUTS, confinement=200e6)) == -np.inf


def test_the_likeliest_depth_is_where_the_electrons_share_of_conduction_equals_their_share_of_current():
    η = float(inside.critical_overpotential(INPUTS, 1e-4, 3600.0, 1)[0])
    y, logs = inside.profile(INPUTS, η)
    i = float(INPUTS.current_density(η))
    where = CELL.lowest(i, η)
    assert y[np.argmax(logs)] == pytest.approx(where, rel=0.04)
    share = CELL.interphase_conductivity * CELL.electronic_share(i, η)
    assert CELL.electronic_conductivity(where) == pytest.approx(share, rel=1e-9)
    assert 0.5e-9 < where < 5e-9


def test_where_electrons_cross_the_interphase_easily_its_outer_face_is_likeliest():
    """The limit without a barrier to electrons: U falls with the ions' potential all the way."""
    easy = dataclasses.replace(INPUTS, cell=dataclasses.replace(CELL, interphase_electronic=1e-8))
    y, logs = inside.profile(easy, 0.05)
    assert y[np.argmax(logs)] == easy.cell.interphase_thickness == easy.cell.lowest(float(easy.current_density(0.05)), 0.05)


def test_an_island_is_expected_at_every_draw_however_small_its_overpotential():
    """Draws whose critical overpotentials span six decades, found together: each is the root of its own ln Γ, to 1e-5."""
    layers = np.geomspace(1e-13, 1e-2, 40)  # a layer that hardly conducts drops its voltage at any current
    own = dataclasses.replace(INPUTS, cell=dataclasses.replace(CELL, interphase_conductivity=layers))
    area, half_cycle = 1e-4, 3600.0
    η = inside.critical_overpotential(own, area, half_cycle, len(layers))
    assert η.max() > 1e6 * η.min()
    for κ, one in zip(layers, η, strict=True):
        alone = dataclasses.replace(INPUTS, cell=dataclasses.replace(CELL, interphase_conductivity=κ))
        below, above = (float(inside.log_face_rate(alone, one * share)) for share in (1 - 1e-5, 1 + 1e-5))
        assert below < -math.log(area * half_cycle) < above


def test_one_island_is_expected_at_the_critical_current_and_the_stochastic_source_agrees():
    area, half_cycle, cycles = 1e-4, 3600.0, 20_000
    η = float(inside.critical_overpotential(INPUTS, area, half_cycle, 1)[0])
    expected = math.exp(inside.log_face_rate(INPUTS, η)) * area * half_cycle
    assert expected == pytest.approx(1.0, rel=1e-6)
    islands = inside.draw_islands(INPUTS, η, area, half_cycle, cycles, seed=1)
    assert islands.counts.mean() == pytest.approx(1.0, abs=4 / math.sqrt(cycles))
    assert islands.share == pytest.approx(1 - math.exp(-1), abs=4 * 0.48 / math.sqrt(cycles))
    y, logs = inside.profile(INPUTS, η)
    weight = np.exp(logs - logs.max())
    mean = np.trapezoid(weight * y, y) / np.trapezoid(weight, y)
    error = islands.depths.std() / math.sqrt(len(islands.depths))
    assert islands.depths.mean() == pytest.approx(mean, abs=4 * error + 0.01e-9)  # and the spacing of the profile's depths
    again = inside.draw_islands(INPUTS, η, area, half_cycle, cycles, seed=1)
    np.testing.assert_array_equal(islands.depths, again.depths)
    assert inside.draw_islands(INPUTS, η / 3, area, half_cycle, cycles, seed=1).counts.sum() == 0


@pytest.mark.parametrize(
    ("change", "sign"),
    [({"surface_energy": 0.5}, 1), ({"confinement": 500e6}, 1), ({"site_density": 1e27}, 1), ({"diffusivity": 1e-14}, -1)],
)
def test_what_hinders_nucleation_raises_its_critical_current(change, sign):
    base, other = (inside.critical_currents(each, 1e-4, 3600.0, 1)[0] for each in (INPUTS, dataclasses.replace(INPUTS, **change)))
    assert sign * (other - base) > 0


def test_the_stripping_limit_is_a_viscous_void_at_exponent_one_and_adds_up():
    """n = 1: -ȧ/a = p/(4η) with η = 1/(3B) (viscous spherical void); F/V times speed is a current."""
    viscous = Creep(1e-3, 1e6, 1.0, 0.0)
    speed = 1e-6 * 2e6 / (4 * 1e6 / (3 * 1e-3))
    newtonian = stripping_limit(2e6, 1e-6, viscous, 298.15, 7e-15, 10.0, 1e-5)
    assert newtonian.creep == pytest.approx(FARADAY / LITHIUM_MOLAR_VOLUME * speed, rel=1e-12)
    law = Creep(1e-3, 0.8e6, 6.6, 37e3)
    limit = stripping_limit(5e6, 1e-6, law, 298.15, 7e-15, 10.0, 1e-5)
    rate = 1e-3 * (3 * 5e6 / (2 * 6.6) / 0.8e6) ** 6.6
    assert limit.creep == pytest.approx(FARADAY / LITHIUM_MOLAR_VOLUME * 0.5e-6 * rate, rel=1e-12)
    assert limit.diffusion == pytest.approx(FARADAY / LITHIUM_MOLAR_VOLUME * 7e-15 * 9 / 1e-5, rel=1e-12)
    assert limit.total == limit.creep + limit.diffusion
    double = stripping_limit(10e6, 1e-6, law, 298.15, 7e-15, 10.0, 1e-5)
    assert double.creep / limit.creep == pytest.approx(2**6.6, rel=1e-12)


@pytest.fixture(scope="module")
def case():
    return load_case(ROOT / "cases" / "lpscl-interphase")


def initiation_of(leaves, samples, logarithm=None, errors=None):
    """What initiation hands on: samples in A/m², and what they are made of."""
    logarithm = logarithm or (lambda mixed: np.full(len(next(iter(mixed.values()))), math.log(samples[0])))
    return Spread(np.asarray(samples), 1.0, 1.0, 1.0, None, {"never told": 1.0}, 1, 0, "key", logarithm, errors or {})


def reference_of(current, stalled):
    return Reference({"current_density": current, "limited_by": "stall", "bound": None}, stalled, {}, 1, 1)


def test_mechanisms_are_told_apart_and_the_smallest_is_the_answer(case, monkeypatch):
    monkeypatch.setattr(first_mechanism, "smallest_split", partial(smallest_split, rows=32))
    parameters = resolve(case)
    leaves = draw(parameters, 100, 1)
    initiation = np.full(100, 20.0)
    found = combined(case, parameters, leaves, initiation_of(leaves, initiation), reference_of(20.0, 10.0))
    inputs = nucleation_inputs(case, {key: np.broadcast_to(value, (100,)) for key, value in leaves.items()})
    own = inside.critical_currents(inputs, 1e-4, 3600.0, 100)
    np.testing.assert_allclose(found["samples"], np.minimum(np.minimum(initiation, own), case.settings.protocol.maximum))
    assert found["first_mechanism"]["nucleation"] == pytest.approx(np.mean(own < 20.0))
    assert found["mechanisms"]["initiation"]["value"] == pytest.approx(2.0)
    assert found["ccd"]["mechanism"] in ("initiation", "nucleation")
    assert found["nucleation"]["sampled"]["share_with_island"] == pytest.approx(0.632, abs=0.06)
    total, creep = voiding_currents(case, nominal(parameters))
    assert found["stripping_limit"]["at_best_values"] == pytest.approx(total[0] / 10)
    assert 0 < creep[0] < total[0]
    assert found["ccd"]["value"] <= found["mechanisms"]["nucleation"]["value"]
    assert sum(found["error_split"].values()) == pytest.approx(1.0)
    assert "never told" not in found["error_split"]
    assert found["stripping_limit"]["first_in_share_of_draws"] == pytest.approx(
        np.mean(voiding_currents(case, leaves)[0] < found["samples"])
    )


def test_best_values_are_those_of_the_mechanism_that_comes_first():
    one = best_values(reference_of(20.0, 15.0), 5.0)
    assert (one["value"], one["mechanism"], one["limited_by"], one["without_redistribution"]) == (2.0, "initiation", "stall", 1.5)
    other = best_values(reference_of(20.0, 15.0), 0.5)
    assert (other["value"], other["mechanism"], other["limited_by"]) == (0.5, "nucleation", "nucleation")
    assert other["without_redistribution"] == 0.5
    assert other["each"] == {"initiation": 2.0, "nucleation": 0.5}
    assert best_values(reference_of(20.0, 15.0), None)["value"] == 2.0


def test_the_error_split_is_that_of_the_smallest_current(case, monkeypatch):
    """Where initiation never limits, its inputs and errors carry nothing; where it always does, the split is its own."""
    parameters = resolve(case)
    leaves = draw(parameters, 2000, 1)
    rng = np.random.default_rng(3)
    errors = {SURROGATE: 0.3 * rng.standard_normal(2000), CLOSURE: rng.uniform(-1.0, 0.0, 2000)}
    toughness = "Li6PS5Cl.fracture_toughness"

    def scaled(level):
        def logarithm(mixed):
            return math.log(level) + np.log(mixed[toughness]) - 13.0 + mixed[SURROGATE] + mixed[CLOSURE]

        return initiation_of(leaves, np.full(2000, level), logarithm, errors)

    normal = rate_errors(case, 2000)
    never = smallest_split(case, leaves, scaled(1e30), normal, 128)
    assert sum(never.values()) == pytest.approx(1.0)
    assert never[toughness] == never[SURROGATE] == never[CLOSURE] == 0.0
    assert max(never, key=never.get) == MIXTURE_MODEL  # the layer's conductivity sets the local overpotential
    assert never["Li-Li6PS5Cl-nucleus.surface_energy"] > 0
    monkeypatch.setattr(first_mechanism, "_nucleation", lambda case, leaves, normal, kept: np.full(len(normal), np.inf))
    always = smallest_split(case, leaves, scaled(1e-2), normal, 256)
    parts = {toughness: np.var(np.log(leaves[toughness])), SURROGATE: 0.09, CLOSURE: 1 / 12}
    for origin, part in parts.items():
        assert always[origin] == pytest.approx(part / sum(parts.values()), abs=0.09)
    assert RATES not in always


def test_the_passage_to_the_electrolyte_lies_at_the_face_and_not_inside_the_layer():
    """Inside, the ions' drop is that of the layer alone; beyond, all of R_p is crossed; the cell's voltage holds it once."""
    open_, closed = CELL, dataclasses.replace(CELL, passage_resistance=1e-3)
    inside_y, i, η = 10e-9, 5.0, 0.05
    assert closed.ionic_resistance(inside_y) == open_.ionic_resistance(inside_y)
    assert closed.ionic_resistance(20e-9) == pytest.approx(20e-9 / 1.6e-6)
    assert closed.ionic_resistance(21e-9) - open_.ionic_resistance(21e-9) == pytest.approx(1e-3)
    assert closed.voltage(i, η) - open_.voltage(i, η) == pytest.approx(i * 1e-3)


def test_a_passage_enters_nucleation_at_the_face(tmp_path):
    text = (ROOT / "cases" / "lpscl-interphase" / "case.toml").read_text(encoding="utf-8")
    text = text.replace("lines_flaw = true", 'lines_flaw = true\npassage = "PPC-LLZO-interface"')
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    case = load_case(tmp_path)
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    plain = load_case(ROOT / "cases" / "lpscl-interphase")
    own = nucleation_inputs(plain, {key: float(value[0]) for key, value in nominal(resolve(plain)).items()}).cell
    cell = nucleation_inputs(case, leaf).cell
    assert cell.interphase_conductivity == pytest.approx(own.interphase_conductivity)
    assert cell.passage_resistance == leaf["PPC-LLZO-interface.interfacial_resistance"] > 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('mechanisms    = ["initiation", "nucleation", "voiding"]', 'mechanisms    = ["nucleation"]', "initiation"),
        ("[voiding]\nvoids = \"Li-voids\"\n", "", "voiding"),
        ('half_cycle          = "1 h"', 'half_cycle          = "1 mm"', "half_cycle"),
        ('nucleus             = "Li-Li6PS5Cl-nucleus"', 'nucleus             = "Li2S"', "surface_energy"),
    ],
)
def test_wrong_mechanisms_are_refused(tmp_path, old, new, told):
    text = (ROOT / "cases" / "lpscl-interphase" / "case.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "case.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        resolve(load_case(tmp_path))


def test_a_mechanism_that_is_dropped_leaves_its_tables_idle(tmp_path):
    text = (ROOT / "cases" / "lpscl-interphase" / "case.toml").read_text(encoding="utf-8")
    (tmp_path / "case.toml").write_text(text.replace('"initiation", "nucleation", "voiding"', '"initiation"'), encoding="utf-8")
    case = load_case(tmp_path)
    parameters = resolve(case)
    assert not [key for key in parameters if key.startswith(("Li-Li6PS5Cl-nucleus", "Li-voids"))]
    assert combined(case, parameters, {}, initiation_of({}, np.ones(3)), reference_of(1.0, 1.0)) == {}


def record(η, pressure, value, **other):
    conditions = {"temperature_K": 300.0, "overpotential_V": -η, "pressure_Pa": pressure, "rate_unit": "1/(m^3*s)"}
    conditions |= other.pop("conditions", {})
    given = {"stderr": 0.5, "kind": "md", "source": {"potential": "x"}} | other
    return Property("Li", "log10_nucleation_rate", value, "1", conditions=conditions, **given)


GRID = [record(η, p, 10 + 100 * η - 1e-8 * p) for η in (0.1, 0.2, 0.4) for p in (0.0, 1e8)]


def test_a_table_of_rates_is_linear_between_its_entries_and_says_nothing_beyond():
    table = RateTable.of(GRID, 298.15)
    assert table.log_rate(0.3, 0.5e8) == pytest.approx(math.log(10) * (10 + 30 - 0.5))
    assert table.log_rate(0.2, 0.0, normal=2.0) == pytest.approx(math.log(10) * (30 + 1.0))
    assert table.log_rate(0.09, 0.0) == -np.inf
    assert table.log_rate(9.0, -1.0) == pytest.approx(table.log_rate(0.4, 0.0))
    assert table.log_rate(np.array([[0.1], [0.2]]), np.array([0.0, 1e8, 2e8])).shape == (2, 3)
    theory = [record(0.2, 0.0, -99.0, kind="derived")]
    assert RateTable.of(GRID + theory, 298.15).log_rate(0.2, 0.0) == pytest.approx(table.log_rate(0.2, 0.0))


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([], "no log10"),
        (GRID[:-1], "every pair"),
        (GRID[:2], "one overpotential"),
        ([record(0.1, 0.0, 1.0, conditions={"overpotential_against": "lithium of the cell itself"})], "cell_overpotential"),
        ([record(0.1, 0.0, 1.0, conditions={"rate_unit": "1/s"})], "1/s"),
        ([record(0.1, 0.0, 1.0, conditions={"place": place}) for place in ("surface", "bulk")], "several places .surface, bulk."),
    ],
)
def test_tables_that_say_too_little_are_refused(records, told):
    with pytest.raises(UserError, match=told):
        RateTable.of(records, 298.15)


def test_a_case_takes_its_rates_from_records(tmp_path):
    text = (ROOT / "cases" / "lpscl-interphase" / "case.toml").read_text(encoding="utf-8")
    text = text.replace('area                = "1 cm^2"', 'area                = "1 cm^2"\nrates               = "rates.json"')
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"case\.toml:\d+: nucleation\.rates"):
        load_case(tmp_path)
    write_records(tmp_path / "rates.json", GRID)
    case = load_case(tmp_path)
    before = case.digest
    found = nucleation_figures(case, resolve(case), 1.0)
    assert found["rates"] == "records"
    assert found["local_overpotential_mV"] == pytest.approx(100, abs=1)  # the table begins there, far above one island
    write_records(tmp_path / "rates.json", [record(η, 0.0, 12.0) for η in (0.1, 0.2)])
    assert load_case(tmp_path).digest != before
