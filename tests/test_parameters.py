"""Which number is used, how it is drawn, and what the continuum is set up with."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from coupling.errors import UserError
from coupling.homogenize import hashin_shtrikman_conductivity
from coupling.record import Property
from multiscale import parameters as P
from multiscale.case import load_case

CASE = Path(__file__).resolve().parent.parent / "cases" / "li-lpscl"
MD = {"potential": "test", "seeds": [1]}


@pytest.fixture(scope="module")
def case():
    return load_case(CASE)


def with_choice(case, **choice):
    settings = case.settings.model_copy(update={"properties": case.settings.properties.model_copy(update=choice)})
    return dataclasses.replace(case, settings=settings)


def md(material, quantity, value, unit, **more):
    return Property(material, quantity, value, unit, conditions={"temperature_K": 298.15}, source=MD, **more)


def leaf_values(case, records=()):
    return {key: float(value[0]) for key, value in P.nominal(P.resolve(case, records)).items()}


def test_md_wins_and_the_losers_are_kept(case):
    record = md("Li6PS5Cl", "ionic_conductivity", 1.0, "S/m", stderr=0.2)
    chosen = P.resolve(case, [record])["Li6PS5Cl.ionic_conductivity"]
    assert chosen.used == record
    assert [loser.kind for loser in chosen.losers] == ["measured"]


def test_the_case_can_override_the_order(case):
    record = md("Li6PS5Cl", "ionic_conductivity", 1.0, "S/m", stderr=0.2)
    exception = with_choice(case, use={"Li6PS5Cl.ionic_conductivity": "measured"})
    assert P.resolve(exception, [record])["Li6PS5Cl.ionic_conductivity"].used.kind == "measured"
    reordered = with_choice(case, order=("measured", "derived", "md", "assumed"))
    assert P.resolve(reordered, [record])["Li6PS5Cl.ionic_conductivity"].used.kind == "measured"
    with pytest.raises(UserError, match=r'use\.Li6PS5Cl\.youngs_modulus: .*no number of kind "measured"'):
        P.resolve(with_choice(case, use={"Li6PS5Cl.youngs_modulus": "measured"}), [])


def test_an_estimate_wins_over_a_bound_of_its_kind(case):
    bound = md("Li3P", "ionic_conductivity", 1e-3, "S/m", bound="upper")
    estimate = md("Li3P", "ionic_conductivity", 2e-3, "S/m", stderr=1e-4)
    assert P.resolve(case, [bound, estimate])["Li3P.ionic_conductivity"].used == estimate


def test_a_bound_gives_way_to_an_estimate_that_obeys_it(case):
    loose = md("Li2S", "ionic_conductivity", 50.0, "S/m", bound="upper")
    chosen = P.resolve(case, [loose])["Li2S.ionic_conductivity"]
    assert chosen.used.kind == "measured"
    assert chosen.losers == (loose,)


def test_a_doubtful_extrapolation_gives_way_to_a_measured_number(case):
    doubtful = md("Li2S", "ionic_conductivity", 1.7, "S/m", stderr=16.0, low=0.03, high=100.0, confidence="low")
    chosen = P.resolve(case, [doubtful])["Li2S.ionic_conductivity"]
    assert (chosen.used.kind, chosen.losers) == ("measured", (doubtful,))
    trusted = dataclasses.replace(doubtful, confidence="computed")
    assert P.resolve(case, [doubtful, trusted])["Li2S.ionic_conductivity"].used == trusted
    bound = md("Li2S", "ionic_conductivity", 1e-12, "S/m", bound="upper")  # contradicts what is measured, and is no guess
    assert P.resolve(case, [doubtful, bound])["Li2S.ionic_conductivity"].used == bound


@pytest.mark.parametrize("record", [
    md("Li2S", "ionic_conductivity", 1.7, "S/m", stderr=16.0, confidence="low"),
    md("Li2S", "ionic_conductivity", 50.0, "S/m", bound="upper"),
])  # fmt: skip
def test_a_case_that_asks_for_md_gets_it_whatever_its_worth(case, record):
    asked = with_choice(case, use={"Li2S.ionic_conductivity": "md"})
    assert P.resolve(asked, [record])["Li2S.ionic_conductivity"].used == record


def test_moduli_computed_at_rest_are_used(case):
    static = Property("Li6PS5Cl", "youngs_modulus", 20e9, "Pa", stderr=1e9, conditions={"temperature_K": 0.0}, source=MD)
    assert P.resolve(case, [static])["Li6PS5Cl.youngs_modulus"].used == static


def test_what_cannot_be_drawn_or_found_is_told_before_md(case):
    P.validate(case)
    geometry = case.settings.geometry
    wide = geometry.flaw[0].model_copy(update={"mouth": 0.5e-6})
    broken = case.settings.model_copy(update={"geometry": geometry.model_copy(update={"flaw": (wide,)})})
    with pytest.raises(UserError, match=r"case\.toml:25: geometry\.flaw\.mouth: .*at most 150 nm"):
        P.validate(dataclasses.replace(case, settings=broken))
    without = {**case.materials, "Li3P": dataclasses.replace(case.materials["Li3P"], properties=())}
    with pytest.raises(UserError, match="not known"):
        P.resolve(dataclasses.replace(case, materials=without))
    P.validate(dataclasses.replace(case, materials=without))  # MD brings what is missing


def test_a_number_at_another_temperature_is_not_used(case):
    hot = Property("Li3P", "ionic_conductivity", 5.0, "S/m", conditions={"temperature_K": 900.0}, source=MD)
    assert P.resolve(case, [hot])["Li3P.ionic_conductivity"].used.kind == "measured"
    conditions = case.settings.conditions.model_copy(update={"temperature": 333.15})
    warm = dataclasses.replace(case, settings=case.settings.model_copy(update={"conditions": conditions}))
    with pytest.raises(UserError, match=r"conditions\.temperature: .* of Li6PS5Cl is known at 25 degC only"):
        P.resolve(warm, [])


def test_every_input_has_a_source(case):
    assert all(parameter.used.source for parameter in P.resolve(case).values())


def test_draws_of_one_key_do_not_depend_on_the_others(case):
    few = P.resolve(case)
    more = P.resolve(case, [md("Li2S", "ionic_conductivity", 1e-12, "S/m", bound="upper")])
    a, b = P.draw(few, 50, seed=3), P.draw(more, 50, seed=3)
    np.testing.assert_array_equal(a["Li3P.ionic_conductivity"], b["Li3P.ionic_conductivity"])
    assert not np.array_equal(a["Li2S.ionic_conductivity"], b["Li2S.ionic_conductivity"])
    assert not np.array_equal(a["Li3P.ionic_conductivity"], P.draw(few, 50, seed=4)["Li3P.ionic_conductivity"])


def test_a_bound_is_drawn_below_itself(case):
    bounded = P.resolve(case, [md("Li2S", "ionic_conductivity", 1e-12, "S/m", bound="upper")])
    assert bounded["Li2S.ionic_conductivity"].used.bound == "upper"
    assert P.draw(bounded, 500, seed=1)["Li2S.ionic_conductivity"].max() <= 1e-12
    assert P.nominal(bounded)["Li2S.ionic_conductivity"][0] < 1e-12


def test_boundary_ratios_multiply_their_base(case):
    inputs = P.continuum_inputs(case, leaf_values(case))
    assert inputs["boundary_toughness"] == pytest.approx(0.75 * inputs["grain_toughness"])
    assert inputs["boundary_conductivity"] == pytest.approx(0.24)


def test_the_mixture_lies_between_its_bounds(case):
    leaf = leaf_values(case)
    volumes = np.array([5 * leaf["Li2S.molar_volume"], leaf["Li3P.molar_volume"], leaf["LiCl.molar_volume"]])
    phases = np.array([leaf[f"{name}.ionic_conductivity"] for name in ("Li2S", "Li3P", "LiCl")])
    low, high = hashin_shtrikman_conductivity(phases, volumes / volumes.sum())
    at = [P.continuum_inputs(case, leaf | {P.MIXTURE_MODEL: x})["interlayer_conductivity"] for x in (0.0, 0.5, 1.0)]
    assert at == pytest.approx([low, np.sqrt(low * high), high])
    assert volumes.sum() == pytest.approx(197.45e-6, rel=1e-3)
