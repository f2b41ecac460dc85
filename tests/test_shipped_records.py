"""Shipped records: their page equals them, cases take them, and stale or foreign ones are refused."""

import json
import math
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atomistic import structures
from atomistic.potential import describe
from coupling.errors import UserError
from coupling.record import Property, graded
from coupling.store import read_records, write_records
from multiscale import pipeline, shipped_records
from multiscale.case import load_case
from multiscale.commands.study import made_with
from multiscale.parameters import resolve

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import literature_arithmetic  # noqa: E402
import literature_numbers  # noqa: E402
import shipped_numbers  # noqa: E402

UNCERTAIN = {"crystal_share"}
"""Quantities that may come without error or bound; of others the method must say that no error is known."""
MADE_WITH = {"kind": "properties", "version": 3, "structures_sha256": "c0"}
STUDY = 'kind = "properties"\nname = "salt"\npotential = "p"\n'


def salt(quantity: str = "youngs_modulus", value: float = 4e10, unit: str = "Pa", **conditions: float) -> Property:
    source = {"potential_sha256": "abc", "atoms": 8}
    return Property("LiCl", quantity, value, unit, stderr=1e9, conditions=conditions, source=source)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A cases folder with one study and its shipped records."""
    for name in ("_studies", "_records"):
        (tmp_path / name).mkdir()
    (tmp_path / "_studies" / "salt.toml").write_text(STUDY)
    write_records(tmp_path / "out" / "records.json", [salt(), salt(disorder=0.5, value=3e10)])
    (tmp_path / "out" / "problems.json").write_text('["LiCl: short"]')
    made_of = {"study_digest": shipped_records.study_digest(tmp_path / "_studies" / "salt.toml"), "made_with": MADE_WITH}
    (tmp_path / "out" / shipped_records.MADE_OF).write_text(json.dumps(made_of))
    shipped_records.ship(tmp_path / "_studies" / "salt.toml", tmp_path / "out", tmp_path / "_records")
    return tmp_path


def test_every_shipped_file_holds_for_its_study_and_the_shipped_potential() -> None:
    for one in shipped_records.everything(now=made_with):
        if one.made_with["kind"] == "properties":
            assert {record.source["version"] for record in one.records} == {one.made_with["version"]}, one.study
        of_argyrodite = [record for record in one.records if record.material.endswith("Li6PS5Cl")]
        assert all("disorder" in record.conditions for record in of_argyrodite), one.study
        assert bool(one.potential) != bool(one.code), one.study
        assert not one.potential or one.potential_sha256 == describe(one.potential).sha256, one.study
        for record in one.records:
            assert record.kind != "md" or {"potential", "potential_sha256", "study"} <= set(record.source), (one.study, record)
            told = record.quantity in UNCERTAIN or "no error is known" in str(record.source.get("method"))
            assert record.stderr is not None or record.bound or record.kind == "derived" or told, record
            assert graded(record) == record, (one.study, record)


def test_the_page_equals_the_records() -> None:
    assert shipped_numbers.PAGE.read_text(encoding="utf-8") == shipped_numbers.page(), "run python docs/shipped_numbers.py"


def test_the_page_shows_the_temperature_that_a_run_held() -> None:
    """The thermostat may not have held: the mean of the run stands first, the set one beside it."""
    held = shipped_numbers._conditions(salt(temperature_K=850.0, mean_temperature_K=871.09))
    assert held == "871.1 K (set to 850 K)"
    assert shipped_numbers._conditions(salt(temperature_K=519.8, set_temperature_K=400.0)) == "519.8 K (set to 400 K)"
    assert shipped_numbers._conditions(salt(temperature_K=298.15)) == "298.1 K"


def test_the_page_shows_the_time_of_a_late_mean_and_the_end_of_a_fit() -> None:
    told = shipped_numbers._conditions(salt(temperature_K=402.1, time_s=1.757e-10, until_s=2.005e-10))
    assert told == "402.1 K, mean about 176 ps, fitted until 200 ps"
    assert not [name for name, *_ in shipped_numbers.SHOWN.values() if "at the end" in name]


def test_no_coefficient_of_vibration_is_shipped() -> None:
    """Onsager coefficients come from windows of picoseconds only; where nothing became diffusive there are bounds or nothing."""
    (reaction,) = (one for one in shipped_records.everything(now=made_with) if one.study == "reaction-li6ps5cl")
    found = [record for record in reaction.records if record.quantity == "onsager_coefficient"]
    assert found
    assert all(record.source["picoseconds"] >= 5.0 for record in found)
    assert any(record.bound == "upper" for record in found)
    assert all(record.stderr for record in found if record.bound is None)
    held = json.loads((ROOT / "cases" / "_records" / "reaction-li6ps5cl.json").read_text())["notes"]
    assert any(note.startswith("Onsager coefficients, Li-Li: left out") for note in held)


def test_a_record_is_judged_plainly() -> None:
    known = literature_arithmetic.Literature("LiCl", "youngs_modulus", {}, 4.4e10, 4.4e10, 4.4e10, "25 degC", "a paper", "memory")
    assert literature_numbers.verdict(salt(value=4.3e10), known).startswith("agrees")
    assert literature_numbers.verdict(salt(), known) == "**differs**: -9.1%"
    vague = Property("LiCl", "youngs_modulus", 4.4e10, "Pa", stderr=3e10, source={"atoms": 8})
    assert literature_numbers.verdict(vague, known) == "too uncertain to tell"
    wide = Property("LiCl", "ionic_conductivity", 70.0, "S/m", stderr=400.0, low=9.0, high=480.0, source={"atoms": 8})
    far = literature_arithmetic.Literature("LiCl", "ionic_conductivity", {}, 0.25, 0.1, 0.5, "25 degC", "a paper", "memory")
    assert "a factor of 2.8e+02 too high" in literature_numbers.verdict(wide, far), "the interval, not the wide error, decides"
    bound = Property("LiCl", "ionic_conductivity", 1e-9, "S/m", bound="upper", source={"atoms": 8})
    above = literature_arithmetic.Literature("LiCl", "ionic_conductivity", {}, 1e-8, 1e-8, 1e-8, "", "a paper", "memory")
    assert "contradicts" in literature_numbers.verdict(bound, above)
    between = replace(wide, low=0.3, high=4.0)
    assert (
        literature_numbers.verdict(between, far)
        == "not told apart (a factor of 2.8e+02 too high, the 95 % interval spans a factor of 13)"
    )
    assert literature_numbers.verdict(replace(between, high=2.9), far).startswith("agrees")
    six = replace(known, quantity="coordination_number", value=6.0, low=6.0, high=6.0)
    sure = Property("LiCl", "coordination_number", 6.002, "1", stderr=8e-4, source={"atoms": 8})
    assert literature_numbers.verdict(sure, six) == "agrees (0.0%)"
    assert literature_numbers.verdict(replace(sure, value=6.02), six) == "**differs**: +0.3%"
    limit = literature_numbers.Literature("LiCl", "youngs_modulus", {}, 4.4e10, -math.inf, 4.4e10, "0 K", "a paper", "verified")
    assert literature_numbers.verdict(salt(value=4.3e10), limit) == "no contradiction"
    assert literature_numbers.verdict(salt(value=5e10), limit).startswith("**differs**: +13.6")
    cell = literature_numbers.Literature("LiCl", "lattice_constant", {}, 5e-10, 5e-10, 5e-10, "25 degC", "a paper", "memory")
    cold = replace(salt("lattice_constant", 4.97e-10, "m", temperature_K=0.0), stderr=1e-13)
    assert literature_numbers.verdict(cold, cell) == "agrees but for what warming from 0 K may change (-0.6%)"
    warm = replace(cold, conditions={"temperature_K": 300.0})
    for other in (replace(cold, value=5.03e-10), replace(cold, value=4.9e-10), warm):
        assert literature_numbers.verdict(other, cell).startswith("**differs**")
    assert literature_numbers.matching(salt(temperature_K=0.0), [known]) is known
    assert literature_numbers.matching(salt(quantity="bulk_modulus"), [known]) is None


@pytest.mark.parametrize(("value", "error", "told"), [
    (12.94, 0.02644, "12.940 ± 0.026"), (2768.0, 1111.0, "2768 ± 1111"), (1.2, 0.0996, "1.20 ± 0.10"), (0.0, 0.5, "0.00 ± 0.50"),
    (7.88e-10, 1.05e-10, "(7.9 ± 1.1)·10⁻¹⁰"), (2.0e-12, 3.4e-11, "(0.2 ± 3.4)·10⁻¹¹"), (4.0, 0.0, "4 ± 0"),
])  # fmt: skip
def test_errors_have_two_digits(value: float, error: float, told: str) -> None:
    assert shipped_numbers._with_error(value, error) == told


def test_rates_are_a_table_over_overpotential_and_pressure() -> None:
    def rate(η: float, p: float, value: float = 38.85, **more: object) -> Property:
        where = {"temperature_K": 400.0, "place": "deep", "overpotential_V": η, "pressure_Pa": p, "critical_size": η}
        made = Property("Li|X", "log10_nucleation_rate", value, "1", bound="upper", conditions=where, source={"atoms": 8})
        return replace(made, **more)

    theory = {"temperature_K": 400.0, "overpotential_V": -0.1, "pressure_Pa": 0.0}
    no_drive = {**theory, "overpotential_V": 0.0}
    pressed = {**theory, "pressure_Pa": 1e8}
    records = [rate(0.0, 0.0), rate(-0.1, 1e8, 37.0), rate(0.0, 1e8, 12.0, bound=None, stderr=0.5),
               rate(0, 0, -30.0, kind="derived", bound=None, stderr=2.0, conditions=theory), salt(),
               rate(0, 0, -5e4, kind="derived", bound=None, stderr=2.0, conditions=no_drive),
               rate(0, 0, -70.0, kind="derived", bound=None, stderr=9.0, conditions=pressed)]  # fmt: skip
    assert shipped_numbers.rate_tables(records) == [
        "| Li \\| X, 400 K | pressure | η = 0 mV | η = -100 mV |", "|---|---|---|---|",
        "| deep | 0 MPa | < 38.85 |  |", "| deep | 100 MPa | 12.00 ± 0.50 | < 37 |",
        "| classical theory | 0 MPa | below -300 | -30.0 ± 2.0 |",
        "| classical theory | 100 MPa | nothing nucleates | -70.0 ± 9.0 |", "",
    ]  # fmt: skip


def test_a_fit_that_leaned_on_a_prior_says_so() -> None:
    fit = "Arrhenius fit of 2 points from 601.735 to 702.7 K"
    told = f"{fit}; D does not rise on cooling; prior of D0 1.5e-07, a factor 10 either way"
    assert shipped_numbers._effort(salt().with_source(method=told)).endswith("fit of 2 temperatures and a prior of D0")
    without = f"{fit}; without what is known beside the estimates (D does not rise on cooling, bounds, the prior of D0), which"
    assert "prior" not in shipped_numbers._effort(salt().with_source(method=without))


def test_moduli_that_follow_from_constants_stand_in_the_table() -> None:
    """An isotropic crystal (2 C44 = C11 - C12) has moduli without a range; a constant of another source makes none."""
    rows = [literature_arithmetic.Literature("LiCl", f"elastic_{name}", {}, value, value, value, "25 degC", "a paper", "memory")
            for name, value in (("C11", 5e10), ("C12", 2e10), ("C44", 1.5e10))]  # fmt: skip
    bulk, shear, youngs, poisson = literature_arithmetic.polycrystal("LiCl", rows)
    assert bulk.value == pytest.approx(3e10)
    assert (shear.low, shear.value, shear.high) == pytest.approx((1.5e10, 1.5e10, 1.5e10))
    assert youngs.value == pytest.approx(9 * 3e10 * 1.5e10 / (3 * 3e10 + 1.5e10))
    assert (poisson.low, poisson.value, poisson.high) == pytest.approx((2 / 7, 2 / 7, 2 / 7)), "C12/(C11 + C12)"
    assert shear.source == "from C11, C12, C44: a paper"
    (uneven,) = (one for one in literature_arithmetic.polycrystal("LiCl", [*rows[:2], replace(rows[2], value=3e10)])
                 if one.quantity == "poissons_ratio")  # fmt: skip
    assert uneven.low < uneven.value < uneven.high
    other = literature_arithmetic.Literature("LiCl", "elastic_C44", {}, 1e10, 1e10, 1e10, "25 degC", "another", "memory")
    assert literature_arithmetic.polycrystal("LiCl", [*rows[:2], other]) == []
    assert literature_arithmetic.polycrystal("LiCl", rows[:2]) == []


def test_moduli_stand_beside_the_dense_crystal() -> None:
    """What a material file measured stands before what follows from constants, that before what it derived for films."""
    known = literature_numbers.literature(["youngs_modulus", "poissons_ratio", "molar_volume"])
    first = {name: next(one for one in known if (one.material, one.quantity) == (name, "youngs_modulus"))
             for name in ("Li", "LiF", "Li2O", "Li2CO3")}  # fmt: skip
    assert first["Li"].source.startswith("Masias")
    assert (first["LiF"].low, first["Li2O"].low) == pytest.approx((114e9, 160e9), rel=0.01), "no porous films"
    assert first["Li2CO3"].low == first["Li2CO3"].high
    assert not [one for _, one in shipped_numbers.rows() if one is not None and "assum" in one.source]


def test_cells_are_held_against_the_measured_crystal() -> None:
    """Antifluorite: a³/4 a formula; no supercell, no calculated cell."""
    a, _, _, volume = literature_arithmetic.of_cell("Li2O")
    assert (a.conditions, a.value) == ({"axis": "a"}, pytest.approx(4.6114e-10))
    assert volume.value == pytest.approx(6.02214e23 * (4.6114e-10) ** 3 / 4)
    assert literature_arithmetic.of_cell("beta_Li3PS4") == literature_arithmetic.of_cell("Li|LiF") == []
    lengths = [record for record, _ in shipped_numbers.rows() if record.quantity == "lattice_constant"]
    assert lengths
    for record in lengths:
        assert record.source["atoms"] == len(structures.bulk(record.material)), "the setting of structures.toml"


def test_every_number_is_compared_or_says_why_not() -> None:
    """The first line counts each number once; reasons that fit no number are to be deleted, a number without one is refused."""
    found = shipped_numbers.rows()
    told = shipped_numbers._in_all(found)
    counts = [int(re.search(words, told)[1]) for words in (r"(\d+) are compared", r"For (\d+) one", r"found, (\d+) have")]
    assert sum(counts) == len(found)
    used = [literature_numbers.absent(record) for record, known in found if known is None]
    assert all(any(one is entry for one in used) for entry in literature_arithmetic.listed()["absent"])
    contact = literature_numbers.absent(replace(salt("work_of_adhesion"), material="Li|Li6PS5Cl"))
    assert contact["by_nature"]
    assert "by_nature" not in literature_numbers.absent(replace(salt("work_of_adhesion"), material="Li|LiF"))
    with pytest.raises(LookupError, match="nothing on colour of LiCl"):
        literature_numbers.absent(salt("colour"))


def test_a_cell_that_was_read_elsewhere_is_verified() -> None:
    """Lines, lengths follow from the cell, distances only where symmetry alone places the atoms; an unread one is recalled."""
    for name, read in literature_arithmetic.listed()["crystal"].items():
        assert literature_arithmetic.agree(structures.prototypes()[name]["cell"], read["cell"]), name
    assert not literature_arithmetic.agree([5.0, 90.0], [5.003, 90.0])
    found = {one.quantity: one.confidence for one in literature_arithmetic.of_shells("Li6PS5Cl")}
    assert (found["diffraction_angle"], found["coordination_number"]) == ("transcribed", "memory")
    assert {one.confidence for one in literature_arithmetic.of_cell("Li7P3S11")} == {"verified"}
    assert {one.confidence for one in literature_arithmetic.of_shells("LiCl")} == {"transcribed"}
    assert {one.confidence for one in literature_arithmetic.of_cell("Li2S")} == {"memory"}


def test_a_run_under_pressure_is_not_held_against_a_number_without() -> None:
    known = literature_arithmetic.Literature("LiCl", "self_diffusivity", {}, 1e-9, 1e-9, 1e-9, "600 K", "a paper", "verified")
    free = salt("self_diffusivity", 1e-9, "m^2/s", temperature_K=601.0)
    assert literature_numbers.matching(free, [known]) is known
    assert literature_numbers.matching(replace(free, conditions={"temperature_K": 601.0, "pressure_Pa": 1e9}), [known]) is None


def test_a_budget_is_held_against_its_equation() -> None:
    equation = {"phase": "Li3P", "equation": "Li7P3S11 + 24 Li -> 11 Li2S + 3 Li3P", "expected": 3.0}
    made = Property("Li|Li7P3S11", "reaction_coefficient", 1.71, "1", stderr=0.1, conditions=equation, source={"atoms": 8})
    known = literature_arithmetic.of_equation(made)
    assert known is not None
    assert literature_numbers.verdict(made, known) == "**differs**: -43.0%"
    assert literature_numbers.verdict(replace(made, value=0.0), known) == "**differs**: -100.0%", "its error exceeds it"
    assert "3, Li7P3S11 + 24 Li → 11 Li2S + 3 Li3P (stoichiometry)" in shipped_numbers.compared(made, known)
    assert literature_arithmetic.of_equation(salt()) is None


def test_fracture_energies_come_from_toughness() -> None:
    def known(quantity: str, value: float) -> literature_arithmetic.Literature:
        return literature_arithmetic.Literature("LiCl", quantity, {}, value, value, value, "", "a paper", "memory")

    tough = replace(known("fracture_toughness", 2e6), low=1e6)
    (energy,) = literature_arithmetic.fracture(tough, [known("youngs_modulus", 1e11), known("poissons_ratio", 0.2)])
    assert (energy.low, energy.value) == pytest.approx((9.6, 38.4))
    bound = Property("LiCl", "fracture_energy", 50.0, "J/m^2", bound="lower", conditions={"place": "grain"}, source={"atoms": 8})
    assert literature_numbers.matching(bound, [energy]) is energy
    assert "contradicts" in literature_numbers.verdict(bound, energy)
    assert literature_arithmetic.fracture(tough, [known("youngs_modulus", 1e11)]) == []


def test_a_boundary_is_compared_with_the_grain_of_its_own_cell() -> None:
    def record(quantity: str, value: float, kelvin: float) -> Property:
        where = {"temperature_K": kelvin}
        return Property("LiCl", quantity, value, "m^2/s", stderr=value / 10, conditions=where, source={"atoms": 8})

    found = [record("boundary_diffusivity", 2e-9, 600.0), record("grain_diffusivity", 4e-9, 600.0),
             record("boundary_diffusivity", 3e-9, 700.0), salt()]  # fmt: skip
    (ratio,) = shipped_numbers.boundary_ratios(found)
    assert (ratio.value, ratio.stderr, ratio.unit) == (0.5, pytest.approx(0.05 * 2**0.5), "1")


def test_what_is_left_out_is_said() -> None:
    depth = replace(salt("onsager_coefficient", 1.0, "1/(J m s)"), conditions={"depths_m": [0, 1]})
    told = shipped_numbers.left_out([salt(), salt("elastic_C13"), salt("elastic_C66"), depth])
    assert told.startswith("Left out, and to be read in the files of `cases/_records`: 2 elastic constants")
    assert "1 Onsager coefficients of reacting cells" in told


def test_structures_are_held_against_the_measured_crystal() -> None:
    """Antifluorite: S-Li at a√3/4, eight of them; line (1 1 1) by Bragg's law. Shells that motion joins are not compared."""
    found = {(one.quantity, *one.conditions.values()): one for one in literature_arithmetic.of_shells("Li2S")}
    assert found["nearest_neighbour_distance", "S-Li"].value == pytest.approx(5.719e-10 * 3**0.5 / 4)
    assert found["coordination_number", "S-Li"].value == 8
    assert found["diffraction_angle", "(1 1 1)"].value == pytest.approx(26.998, abs=0.01)
    assert "Buehrer" in found["coordination_number", "S-Li"].source
    assert not [one for one in literature_arithmetic.of_shells("Li") if one.quantity != "diffraction_angle"]
    assert literature_arithmetic.of_shells("Li|Li6PS5Cl") == []
    groups = [one for one in literature_arithmetic.of_shells("Li6PS5Cl") if one.quantity == "coordination_number"]
    assert [(one.conditions, one.value) for one in groups] == [({"pair": "P-S"}, 4)]
    record = Property("Li2S", "nearest_neighbour_distance", 2.46e-10, "m", stderr=1e-12, source={"atoms": 8},
                      conditions={"temperature_K": 300.0, "pair": "S-Li"})  # fmt: skip
    known = literature_numbers.matching(record, list(found.values()))
    assert known is not None
    line = shipped_numbers.compared(record, known)
    assert line.startswith("| Li2S | 300 K, S-Li | 2.460 ± 0.010 Å | 8 atoms | 2.476 Å at 25")


def test_records_come_with_their_study_and_at_one_disorder(cases: Path) -> None:
    found, notes = shipped_records.records_for("p", "abc", ["LiCl"], 0.5, cases)
    assert [record.value for record in found] == [4e10, 3e10]
    assert all(record.source["study"] == "salt" for record in found)
    assert notes == ["LiCl: short"]
    assert [record.value for record in shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)[0]] == [4e10]


def test_of_two_studies_the_narrower_number_stands_first(cases: Path) -> None:
    """Whatever the names of the studies; a bound, which states no error, stands last."""
    (cases / "_studies" / "rough.toml").write_text(STUDY.replace("salt", "rough"))
    wide, bound = replace(salt(value=5e10), stderr=9e9), replace(salt(value=6e10), stderr=None, bound="upper")
    write_records(cases / "rough" / "records.json", [bound, wide])
    made_of = {"study_digest": shipped_records.study_digest(cases / "_studies" / "rough.toml"), "made_with": MADE_WITH}
    (cases / "rough" / shipped_records.MADE_OF).write_text(json.dumps(made_of))
    shipped_records.ship(cases / "_studies" / "rough.toml", cases / "rough", cases / "_records")
    found, _ = shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)
    assert [record.value for record in found] == [4e10, 5e10, 6e10]


def test_the_same_study_of_another_potential_stands_beside(cases: Path) -> None:
    """In a folder of its own; a case gets the records of its own potential, whose study is named with its folder."""
    other = cases / "_studies" / "q" / "salt.toml"
    other.parent.mkdir()
    other.write_text(STUDY.replace('"p"', '"q"'))
    write_records(cases / "q" / "records.json", [replace(salt(value=7e10), source={"potential_sha256": "def", "atoms": 8})])
    made_of = {"study_digest": shipped_records.study_digest(other), "made_with": MADE_WITH}
    (cases / "q" / shipped_records.MADE_OF).write_text(json.dumps(made_of))
    assert shipped_records.ship(other, cases / "q", cases / "_records") == cases / "_records" / "q" / "salt.json"
    assert [shipped_records.name_of(path) for path in shipped_records.studies(cases)] == ["q/salt", "salt"]
    assert [one.study for one in shipped_records.everything(cases)] == ["q/salt", "salt"]
    (found,) = shipped_records.records_for("q", "def", ["LiCl"], 0.0, cases)[0]
    assert (found.value, found.source["study"]) == (7e10, "q/salt")
    assert 7e10 not in [record.value for record in shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)[0]]
    assert shipped_records.name_of(Path("here/mine.toml")) == "mine"


def of_another_potential(cases: Path) -> Path:
    """The same study of potential q with a record of its own beside that of p; returns the shipped file."""
    other = cases / "_studies" / "q" / "salt.toml"
    other.parent.mkdir()
    other.write_text(STUDY.replace('"p"', '"q"'))
    records = [replace(salt("ionic_conductivity", 0.1, "S/m"), source={"potential_sha256": "def", "atoms": 8})]
    write_records(cases / "q" / "records.json", [*records, replace(records[0], material="LiF")])
    made_of = {"study_digest": shipped_records.study_digest(other), "made_with": MADE_WITH | {"version": 2}}
    (cases / "q" / shipped_records.MADE_OF).write_text(json.dumps(made_of))
    return shipped_records.ship(other, cases / "q", cases / "_records")


def test_what_another_potential_has_alone_is_told(cases: Path) -> None:
    of_another_potential(cases)
    _, notes = shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)
    assert "LiCl: ionic_conductivity are not shipped with p; numbers of material files take their place" in notes
    _, notes = shipped_records.records_for("q", "def", ["LiCl"], 0.0, cases)
    assert "LiCl: youngs_modulus are not shipped with q; numbers of material files take their place" in notes


def test_a_stale_study_of_another_potential_stops_no_case(cases: Path) -> None:
    of_another_potential(cases)
    now = {"properties": MADE_WITH}.__getitem__
    assert shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases, now)[0]
    with pytest.raises(UserError, match="made with another version"):
        shipped_records.records_for("q", "def", ["LiCl"], 0.0, cases, now)
    with pytest.raises(UserError, match="made with another version"):
        shipped_records.everything(cases, now)


def test_a_shipped_file_elsewhere_than_it_belongs_is_refused(cases: Path) -> None:
    """A copy would count twice."""
    file = of_another_potential(cases)
    shutil.copy(file, file.with_stem("salt-copy"))
    for read in (shipped_records.everything, shipped_records.how_many):
        with pytest.raises(UserError, match=r"salt-copy\.json: holds the records of study .q/salt., whose place is"):
            read(cases)


@pytest.mark.parametrize(("key", "value"), [
    ("made_with", None), ("made_with", "x"), ("notes", None), ("notes", "x"), ("notes", [1]), ("records", "x"), ("records", [3]),
])  # fmt: skip
def test_a_damaged_shipped_file_is_to_be_restored(cases: Path, key: str, value: object) -> None:
    """Not to be deleted: no run of a case makes it again."""
    file = cases / "_records" / "salt.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(UserError, match="restore it from where the product came from") as told:
        shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)
    assert "delete" not in str(told.value)


@pytest.mark.parametrize("name", ["conditions", "source"])
def test_a_record_whose_conditions_are_no_table_is_refused(cases: Path, name: str) -> None:
    file = cases / "out" / "records.json"
    file.write_text(json.dumps({"format": 1, "records": [salt().to_dict() | {name: None}]}))
    with pytest.raises(UserError, match=f"{name}: None is no table"):
        read_records(file)


def test_what_does_not_hold_any_more_is_refused(cases: Path) -> None:
    for arguments, message in (
        (("q", "abc", ["LiCl"], 0.0), "no records of potential 'q'"), (("p", "def", ["LiCl"], 0.0), "which now has def"),
        (("p", "abc", ["LiF"], 0.0), "no records of LiF are shipped; shipped: LiCl"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            shipped_records.records_for(*arguments, cases)
    study = cases / "_studies" / "salt.toml"
    study.write_text("# a remark changes nothing\n" + STUDY)
    assert shipped_records.everything(cases)
    study.write_text(STUDY + "seed = 2\n")
    with pytest.raises(UserError, match="changed since its shipped records"):
        shipped_records.everything(cases)
    study.unlink()
    with pytest.raises(UserError, match="is gone"):
        shipped_records.everything(cases)
    file = cases / "_records" / "salt.json"
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "study_digest"}))
    with pytest.raises(UserError, match="no 'study_digest'"):
        shipped_records.read_shipped(file)
    write_records(cases / "out" / "records.json", [salt(), Property("LiCl", "x", 1.0, "1", source={"potential_sha256": "other"})])
    with pytest.raises(UserError, match="not the results of"):
        shipped_records.ship(ROOT / "cases" / "_studies" / "adhesion.toml", cases / "out", cases / "_records")
    study.write_text(STUDY)
    with pytest.raises(UserError, match="records of one potential"):
        shipped_records.ship(study, cases / "out", cases / "_records")


def test_records_of_another_version_or_of_other_crystals_are_refused(cases: Path) -> None:
    assert shipped_records.everything(cases, lambda kind: MADE_WITH | {"kind": kind})[0].made_with == MADE_WITH
    for key, value in (("version", 4), ("structures_sha256", "c1")):
        changed = MADE_WITH | {key: value}
        with pytest.raises(UserError, match=f"made with another {key} than this version's; run it again"):
            shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases, now={"properties": changed}.__getitem__)


def test_what_is_shipped_at_another_disorder_only_is_told(cases: Path) -> None:
    conductivity = salt("ionic_conductivity", 0.1, "S/m", disorder=0.5)
    write_records(cases / "out" / "records.json", [salt(), conductivity])
    shipped_records.ship(cases / "_studies" / "salt.toml", cases / "out", cases / "_records")
    _, notes = shipped_records.records_for("p", "abc", ["LiCl"], 0.0, cases)
    (told,) = (note for note in notes if "not shipped at disorder 0;" in note)
    assert told.startswith("LiCl: ionic_conductivity are")
    _, at_half = shipped_records.records_for("p", "abc", ["LiCl"], 0.5, cases)
    assert not any("not shipped at disorder" in note for note in at_half)


def case_with(folder: Path, old: str, new: str) -> Path:
    """li-lpscl with a changed case.toml."""
    shutil.copytree(ROOT / "cases" / "li-lpscl", folder / "case", ignore=shutil.ignore_patterns("results"))
    text = (folder / "case" / "case.toml").read_text()
    assert old in text
    (folder / "case" / "case.toml").write_text(text.replace(old, new))
    return folder / "case"


def test_a_case_takes_shipped_records_without_running_any_md(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpi4py import MPI

    from atomistic import study

    monkeypatch.setattr(study, "run", lambda *arguments, **more: pytest.fail("MD was run"))
    case = load_case(case_with(tmp_path, '"quick"', '"shipped"'))
    pipeline.validate_all(case)
    records = pipeline.run_atomistic(case, tmp_path / "results", MPI.COMM_SELF)
    assert read_records(tmp_path / "results" / "atomistic" / "records.json") == records
    stored, note = pipeline.stored_records(case, tmp_path / "nowhere")
    assert stored == records
    assert "shipped" in note
    used = resolve(case, records)["Li2S.youngs_modulus"].used
    assert used.kind == "md"
    assert used.source["study"] == "elasticity-300k", "at 25 degC the number of 300 K lies nearer than that of 0 K"


@pytest.mark.parametrize(("old", "new", "message"), [
    ('quality   = "quick"', 'quality   = "library"', "atomistic.quality: read 'library'"),
    ('disorder  = 0.25', 'disorder  = 0.3', "atomistic.quality: no records of Li6PS5Cl with disorder 0.3"),
    ('potential = "lpscl"', 'potential = "llzo"', "atomistic.quality: no records of Li.* shipped; shipped: LLZO"),
    ('potential = "lpscl"', 'potential = "chgnet"', "atomistic.quality: no records of potential 'chgnet' are shipped"),
])  # fmt: skip
def test_a_case_that_no_shipped_record_fits_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = case_with(tmp_path, old, new)
    path = folder / "case.toml"
    path.write_text(path.read_text().replace('quality   = "quick"', 'quality   = "shipped"'))
    with pytest.raises(UserError, match=message):
        pipeline.validate_all(load_case(folder))
