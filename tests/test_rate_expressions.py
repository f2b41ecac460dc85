"""Custom reactions: what is read and what is refused, units, overflow, and a declared reaction run in time."""

import numpy as np
import pytest
from mpi4py import MPI

from coupling.units import UnitError, base_dimensions, to_base
from multiscale.solvers.timeloop import StepControl, TimeStepper
from multiscale.transport.media import Medium
from multiscale.transport.nernst_planck import Electroneutral, Species
from multiscale.transport.rate_expressions import DeclaredReaction, ExpressionError, parse_rate, reactions
from multiscale.transport.system import TransportSystem
from multiscale.verification.ion_transport import SALT, strip

UNITS = {"k": "m^3/mol/s", "A": "mol/m^3", "E": "J/mol", "U": "V"}


def test_values():
    rate = parse_rate("k*A**2*exp(-E/(R*T)) - -k * sqrt(A*A) * abs(-A) * tanh(F*U/(R*T))", UNITS)
    got = rate({"k": 2.0, "A": 3.0, "E": 5e3, "U": 0.02, "R": 8.314462618, "T": 300.0, "F": 96485.33212})
    expected = 18 * np.exp(-5e3 / (8.314462618 * 300)) + 18 * np.tanh(96485.33212 * 0.02 / (8.314462618 * 300))
    assert got == pytest.approx(expected, rel=1e-12)
    assert rate.names == {"k", "A", "E", "U", "R", "T", "F"}


def test_numbers_with_other_units_of_the_same_kind():
    assert to_base("36 L/mol/h")[0] == pytest.approx(36 * 1e-3 / 3600)
    assert base_dimensions(to_base("36 L/mol/h")[1]) == base_dimensions("m^3/mol/s")
    assert to_base("25 degC")[0] == pytest.approx(298.15)
    with pytest.raises(UnitError, match="known unit"):
        to_base("3 florins")


REFUSED = {
    "k*A": "has the dimensions",
    "A + 1": "adds or subtracts",
    "exp(A)*k*A*A": "takes a plain number",
    "A**A": "power must be a plain number",
    "k*A**9": "at most 8",
    "q*A": "not known; known are: A, E, F, R, T, U, k",
    "k*A*A/0": "divides by zero",
    "1e999*k*A*A": "not a finite number",
    "k*A*A if A else 0": "is not allowed",
    "A.real*k*A": "is not allowed",
    "__import__('os').system('true')": "is not allowed",
    "(lambda: 1)()*k*A*A": "is not allowed",
    "[k*A*A][0]": "is not allowed",
    "k*A*A % 2": "is not allowed",
    "max(k*A*A, 0)": "is not allowed",
    "log(A/A, 2)*k*A*A": "is not allowed",
    "True*k*A*A": "is not allowed",
    "k*A*A; 1": "not an expression",
    "k*A*": "not an expression",
    "": "not an expression",
    "-" * 60 + "k*A*A": "nested deeper",
    "k*A*A" + " " * 600 + "+k*A*A": "at most 500",
}


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text):
    with pytest.raises(ExpressionError, match=REFUSED[text]):
        parse_rate(text, UNITS)


@pytest.mark.parametrize("name", ["F", "exp", "2k", "a.b"])
def test_names_that_are_taken_are_refused(name):
    with pytest.raises(ExpressionError, match="cannot be a name of yours"):
        parse_rate("k*A*A", {**UNITS, name: "1"})


def test_nothing_overflows():
    rate = parse_rate("k*A**2*(exp(U*F/(R*T)) + sinh(U*F/(R*T)) + log(A/A)) + k*(A)**1.5*A**0.5", UNITS)
    values = {"k": 1.0, "A": np.array([1.0, 0.0, -1.0])[:2], "U": 1e6, "F": 96485.0, "R": 8.3, "T": 300.0}
    values["A"] = np.array([1.0, 2.0])
    assert np.all(np.isfinite(rate(values)))
    assert np.all(np.isfinite(parse_rate("k*A**1.5*A**0.5*(1 + log(A/A))", UNITS)({"k": 1.0, "A": -1.0})))


def test_declarations_that_do_not_fit():
    with pytest.raises(ExpressionError, match=r'"B" is declared and not used'):
        DeclaredReaction("k*A", {"A": -1}, {"A": "N", "B": "M"}, {"k": "1 1/s"}).parsed()
    with pytest.raises(ExpressionError, match="both a species and a constant"):
        DeclaredReaction("A*A", {"A": -1}, {"A": "N"}, {"A": "1 1/s"}).parsed()
    with pytest.raises(ExpressionError, match=r"k: .*known unit"):
        DeclaredReaction("k*A", {"A": -1}, {"A": "N"}, {"k": "fast"}).parsed()


def test_a_declared_decay_runs_with_its_rate():
    """N → M at k = 0.5/min beside a salt at rest; the amounts follow exp(-kt) and what one loses the other gains."""
    declared = DeclaredReaction("k*c", {"N": -1, "M": 1}, {"c": "N"}, {"k": "0.5 1/min"})
    domain = strip(MPI.COMM_WORLD, np.linspace(0, 1e-5, 5))
    ions = (Species("N", 0, 1e-11), Species("M", 0, 1e-11), *SALT)
    made = reactions([declared], 298.15, domain.constant)
    system = TransportSystem(domain, [Medium("film", Electroneutral(), ions, reactions=made)])
    for name, c in (("N", 100.0), ("M", 10.0), ("Li+", 1000.0)):
        system.set_field("film", name, c)
    system.fix("film", "potential", 0.0, "right")
    TimeStepper(system, StepControl(1e-2, 1e-6, 10.0, 1e-5)).march(120.0)
    left = 100 * np.exp(-1.0)
    assert system.amount("film", "N") / 1e-5 == pytest.approx(left, rel=1e-3)
    assert system.amount("film", "N") + system.amount("film", "M") == pytest.approx(110e-5, rel=1e-10)
