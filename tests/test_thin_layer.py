"""The theory of a thin layer, and the shipped designs that it is held against."""

import csv
import importlib.util
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent.parent / "cases"


def theory():
    spec = importlib.util.spec_from_file_location("thin_layer_theory", CASES / "llzo-layer" / "theory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
