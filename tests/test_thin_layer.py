"""The theory of a thin layer, and the shipped designs that it is held against."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent.parent / "cases"


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def theory():
    return script(CASES / "llzo-layer" / "theory.py")


def rows(name):
    with (CASES / name / "designs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_limits_of_the_theory():
    of = theory()
    assert of.wagner_number(0.1, 1e-4, 1e-7, 1e-3, 4e-6) == pytest.approx(0.1 * 2e-4 / 4e-6)
    assert of.even_current(200e6, 1e-4, 1e-7, 1e-3) == pytest.approx(1.3e-5 * 200e6 / 96485.33 / 2e-4, rel=1e-3)
    assert of.evenness(1e6) == pytest.approx(1.0, rel=1e-5)
    assert of.evenness(1e-6) == pytest.approx(1e-6, rel=1e-5)


def test_no_shipped_design_lies_below_the_least_that_theory_allows():
    of = theory()
    found = [of.against_theory(row, of.constants()) for row in rows("llzo-layer")]
    assert len(found) == 45
    assert all(row["evenness"] > 0.98 * row["least"] for row in found)
    resistive = [row for row in found if row["layer"] == 1e-4 and row["thickness"] < 50e-9]
    assert all(0.9 < row["evenness"] < 1.0 for row in resistive)


def test_lithium_that_stays_gives_what_theory_says():
    of = theory()
    found = of.unmoved_against_theory(of.constants())
    assert len(found) == 15
    for row in found:
        if row["layer"] <= 1e-2:  # a layer that conducts like LLZO or better carries current along the flaw
            assert row["ccd"] == pytest.approx(row["theory"], rel=0.01)
        assert row["ccd"] > 0.99 * row["theory"]
    page = (CASES.parent / "docs" / "interlayers.md").read_text(encoding="utf-8")
    assert "\n".join(of.unmoved_lines(of.constants())) in page
    free = {(r["thickness (nm)"], float(r["conductivity (S/m)"]), r["modulus (GPa)"]): r for r in rows("llzo-layer")}
    with of.UNMOVED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):  # solved anew, lithium that redistributes gives the sweep's own answers
            design = free[row["thickness (nm)"], float(row["conductivity (S/m)"]), row["modulus (GPa)"]]
            assert float(row["ccd (mA/cm^2)"]) == pytest.approx(float(design["ccd_best_values (mA/cm^2)"]), rel=0.01)


def test_the_page_tells_the_shipped_designs():
    """Every row of the first table of numbers in docs/interlayers.md is that of designs.csv."""
    of = theory()
    known = of.constants()
    designs = [of.against_theory(row, known) for row in rows("llzo-layer")]
    found = {(round(row["thickness"] * 1e9), row["layer"], row["modulus"]): row for row in designs}
    page = (CASES.parent / "docs" / "interlayers.md").read_text(encoding="utf-8")
    told = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(("| 20 |", "| 100 |", "| 500 |"))]
    told = [cells for cells in told if len(cells) == 7]
    assert len(told) == 6
    for thickness, layer, wagner, stiff, over, least, soft in told:
        one, other = (found[int(thickness), float(layer), modulus] for modulus in (150.0, 1.0))
        for text, value in ((wagner, one["wagner"]), (stiff, one["ccd"] / 10), (over, one["evenness"]), (least, one["least"]),
                            (soft, other["ccd"] / 10)):  # fmt: skip
            digits = len(text.replace(".", "").lstrip("0"))
            assert float(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits)), (text, value)


@pytest.mark.parametrize("name", ["llzo-layer", "li-lpscl"])
def test_shipped_answers_are_those_of_the_shipped_sweep(name):
    from multiscale.sweeps.designs import points
    from multiscale.sweeps.keys import number_of
    from multiscale.sweeps.settings import load_sweep

    sweep = load_sweep(CASES / name)
    wanted = [
        tuple(number_of(axis.key, point.values[axis.name]) for axis in sweep.axes) for point in points(sweep)
    ]  # fmt: skip
    given = [
        tuple(float(row[column]) * scale for column, scale in (("thickness (nm)", 1e-9), ("conductivity (S/m)", 1.0),
                                                               ("modulus (GPa)", 1e9))) for row in rows(name)
    ]  # fmt: skip
    assert given == [pytest.approx(values) for values in wanted]
    assert {row["state"] for row in rows(name)} == {"done"}


def test_the_shipped_ranking_follows_from_the_shipped_designs(monkeypatch):
    rank = script(CASES / "llzo-interlayers" / "rank.py")
    monkeypatch.setattr(rank, "FRESH", rank.SHIPPED)
    layers = rank.ranking()
    told = rank.table(layers)
    with (CASES / "llzo-interlayers" / "ranking.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == told
    assert sum(float(row["best of all"]) for row in told) == pytest.approx(1.0, abs=0.04)
    assert set(rank.answers()) == set(rank.settings())
    errs = rank.method(rank.errors())
    assert set(errs.mesh) == {layer.name for layer in layers}
    for name, row in rank.errors().items():  # solved anew, the same answer as the sweep's
        assert row["coarse"] == pytest.approx(rank.answers()[name], rel=1e-4)
    page = (CASES.parent / "docs" / "interlayers.md").read_text(encoding="utf-8")
    assert "\n".join(rank.as_lines(told)) in page
    none = dict.fromkeys(errs.mesh, 0.0)
    found, chosen, silent = rank.answers(), rank.settings(), rank.Method(none, none, 0.0, 1, none)
    layers = [rank.ranked(layer.name, found, chosen, silent) for layer in layers]
    for layer in layers:  # without the errors of method draws stay within what the designs at the ends of all ranges allow
        own = [value for name, value in rank.answers().items() if name.partition(";")[0] == layer.name]
        ends = sum(abs(rank.np.log(value / layer.best)) for value in own)
        assert rank.np.all(abs(rank.np.log(layer.draws / layer.best)) <= ends + 1e-9)
