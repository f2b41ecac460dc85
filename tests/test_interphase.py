"""Interphase: thickness, balance of a built reaction, refusals; Onsager coefficients of two halves that differ."""

import numpy as np
import pytest
from ase import Atoms

from atomistic.growth import compare, passivation
from atomistic.interphase import Reaction, balance, key_element, layer, records
from atomistic.onsager_profile import profile
from coupling.errors import UserError

TEXT = "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl"


def test_equations_are_read_and_must_balance() -> None:
    reaction = Reaction.read(TEXT)
    assert reaction.numbers == {"Li6PS5Cl": -1, "Li": -8, "Li2S": 5, "Li3P": 1, "LiCl": 1}
    assert [key_element(name, reaction.numbers) for name in reaction.numbers] == ["Cl", "Li", "S", "P", "Cl"]
    assert Reaction.read("Li7P3S11 + 24 Li → 11 Li2S + 3 Li3P").numbers["Li"] == -24
    named = Reaction.read("gamma_Li3PS4 + 8 Li -> 4 Li2S + Li3P").numbers
    assert [key_element(name, named) for name in named] == ["P", "Li", "S", "P"]
    assert Reaction.read(TEXT.replace("Li6PS5Cl", "LPSCl")).numbers["LPSCl"] == -1
    for wrong, told in (("Li6PS5Cl + 8 Li", "write for example"), ("Xy + 8 Li -> Li8Xy", "'Xy' is neither a formula"),
                        ("Li6PS5Cl + 7 Li -> 5 Li2S + Li3P + LiCl", "does not balance"),
                        ("5 + Li -> Li", "a number and a formula")):  # fmt: skip
        with pytest.raises(UserError, match=told):
            Reaction.read(wrong)


def column(reacted: int, units: int = 20, wide: float = 10.0) -> tuple[Atoms, np.ndarray]:
    """Formula units of Li6PS5Cl and 8 Li each along z, the first `reacted` of them turned into products, 1 Å of depth each."""
    symbols, names, depths = [], [], []
    for unit in range(units):
        own = [*["Li"] * 6, "P", *["S"] * 5, "Cl"]
        made = unit < reacted
        phase = ["Li2S"] * 3 + ["Li3P"] * 2 + ["LiCl", "Li3P"] + ["Li2S"] * 5 + ["LiCl"] if made else ["Li6PS5Cl"] * 13
        metal = ["Li2S"] * 7 + ["Li3P"] if made else ["Li"] * 8
        symbols += own + ["Li"] * 8
        names += phase + metal
        depths += [unit + 0.5] * 21
    place = np.column_stack([np.full(len(depths), 1.0), np.full(len(depths), 1.0), depths])
    return Atoms(symbols, positions=place, cell=[wide, wide, units], pbc=True), np.array(names)


def test_thickness_and_balance_of_a_built_reaction() -> None:
    """0, 1, … 10 of 20 units reacted: thickness that many Å by either criterion, and the equation comes back exactly."""
    built = [column(n) for n in range(11)]
    frames, names = [atoms for atoms, _ in built], [phase for _, phase in built]
    reaction = Reaction.read(TEXT)
    found = layer(frames, names, "Li", "Li6PS5Cl", reaction, interfaces=1)
    assert found.thickness == pytest.approx(np.arange(11) / 2, abs=0.3)  # half of the slices are empty
    rows = {row.phase: row for row in balance(found.amounts, reaction, "Li6PS5Cl")}
    for name, number in reaction.numbers.items():
        assert rows[name].found == pytest.approx(number)
        assert rows[name].deviation == pytest.approx(0.0, abs=1e-9)
    assert found.composition["Li2S"] == pytest.approx(15 / 21)
    spoilt = dict(found.amounts) | {"Li3P": 0.5 * found.amounts["Li3P"]}
    assert {row.phase: row for row in balance(spoilt, reaction, "Li6PS5Cl")}["Li3P"].deviation == pytest.approx(-0.5)
    assert not any(row.beyond for row in rows.values())
    more = found.amounts | {"Li2S": 2 * found.amounts["Li2S"]}
    told = [row.beyond for row in balance(more, reaction, "Li6PS5Cl") if row.beyond]
    assert len(told) == 1
    assert told[0].startswith("balance: 10 Li2S per electrolyte used up, where the equation allows 5:")


def test_records_carry_law_and_bound() -> None:
    t = np.linspace(0, 1e-10, 90)
    random = np.random.default_rng(0)
    thickness = np.minimum(2 + t / 1e-11, 7.0) + random.normal(0, 0.1, 90)
    growth, end = compare(t, thickness, ("linear", "two linear")), passivation(t, thickness)
    made = {record.quantity: record for record in records(thickness, t, growth, end, "Li|Li6PS5Cl", {}, {"trajectory": "none"})}
    late = made["interphase_thickness"]
    assert late.value == pytest.approx(7e-10, abs=4 * late.stderr)
    assert 0.1e-10 / 23**0.5 / 2 < late.stderr < 0.05e-10
    assert made["interphase_growth_rate"].bound == "upper"
    assert made["interphase_growth_rate"].conditions["passivated"]
    assert made["interphase_growth_t_c"].value == pytest.approx(5e-11, rel=0.05)
    assert made["interphase_growth_v"].value == pytest.approx(1e-10 / 1e-11, rel=0.05)


def test_what_is_no_interphase_is_refused() -> None:
    atoms, names = column(2)
    with pytest.raises(UserError, match="no atom of LiF"):
        layer([atoms], [names], "Li", "LiF")
    with pytest.raises(UserError, match="another number of atoms"):
        layer([atoms], [names[:-1]], "Li", "Li6PS5Cl")
    found = layer([atoms, atoms], [names, names], "Li", "Li6PS5Cl", Reaction.read(TEXT))
    with pytest.raises(UserError, match="at least one is needed"):
        balance(found.amounts, Reaction.read(TEXT), "Li6PS5Cl")
    lost = {name: np.array([0.0, 1.0, 2.0, np.nan]) for name in ("Li2S", "Li3P", "LiCl", "Li")}
    with pytest.raises(UserError, match="not finite numbers"):
        balance({"Li6PS5Cl": 10.0 - np.arange(4), **lost}, Reaction.read(TEXT), "Li6PS5Cl")


def test_two_halves_have_their_own_coefficients() -> None:
    """Walkers with D twice in the upper half, faster in the second half of the run: exact L = N D/(V k_B T) within 5 errors."""
    random, n, cell = np.random.default_rng(4), 40, np.diag([20.0, 20.0, 4000.0])
    start = np.column_stack([random.uniform(0, 20, 2 * n), random.uniform(0, 20, 2 * n),
                             np.concatenate([np.full(n, 1000.0), np.full(n, 3000.0)])])  # fmt: skip
    width = np.where(np.arange(2 * n) < n, 0.1, 0.2)
    steps = random.normal(size=(4000, 2 * n, 3)) * width[None, :, None]
    steps[2000:] *= 2
    rest = np.zeros((4000, 20, 3))
    rest[:, :10, 2], rest[:, 10:, 2] = 1500.0, 3500.0
    tracks = np.concatenate([start[None] + np.cumsum(steps, axis=0), rest], axis=1)
    labels, masses = ["Li"] * 2 * n + ["S"] * 20, np.ones(2 * n + 20)
    found = profile(tracks, labels, masses, cell, 1.0, 300.0, 2, 2, framework=("S",))
    assert [(round(one.depths[0]), one.times[0]) for one in found] == [(0.0, 0.0), (2000.0, 0.0), (0.0, 2000.0), (2000.0, 2000.0)]
    for one, spread in zip(found, (0.1, 0.2, 0.2, 0.4), strict=True):
        assert one.matrix is not None
        diffusivity = spread**2 / 2 * 1e-5  # m²/s
        exact = n * diffusivity / (20 * 20 * 2000 * 1e-30 * 1.380649e-23 * 300.0)
        place = one.matrix.species.index("Li")
        assert abs(one.matrix.matrix[place, place] - exact) < 5 * one.matrix.stderr[place, place]
    with pytest.raises(UserError, match="at least one of each"):
        profile(tracks, labels, masses, cell, 1.0, 300.0, 0)
