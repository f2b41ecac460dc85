"""Reaction rates that a user writes as expressions: parsed without running anything, checked for units, safe from overflow.

Only numbers, names, + - * / **, brackets and a few functions are read; everything else is refused with what was read. Each
name has a unit, each operation is checked for dimensions, and the whole must be a rate, mol/(m³ s).
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ufl

from coupling.constants import FARADAY, GAS_CONSTANT
from coupling.units import UnitError, base_dimensions, to_base
from multiscale.transport.kinetics import bounded_exp

RATE = "mol/m^3/s"
LONGEST, DEEPEST, LARGEST_POWER = 500, 40, 8
"""Characters of an expression, nesting of its parts, and size of a power, at most."""
SMALLEST = 1e-30
"""Positive number that stands for what is not positive under a logarithm or a broken power (coherent SI unit)."""
BUILT_IN = {"F": ("C/mol", FARADAY), "R": ("J/mol/K", GAS_CONSTANT)}
"""Names every expression knows beside T, the temperature."""

Dimensions = Mapping[str, float]
Value = Callable[[Mapping[str, Any]], Any]


class ExpressionError(ValueError):
    """An expression that is not understood or whose units do not fit; the message says where and what is allowed."""


def _is_ufl(value: Any) -> bool:
    return isinstance(value, ufl.core.expr.Expr)


def _at_least(value: Any, least: float) -> Any:
    return ufl.max_value(value, least) if _is_ufl(value) else np.maximum(value, least)


def _log(value: Any) -> Any:
    positive = _at_least(value, SMALLEST)
    return ufl.ln(positive) if _is_ufl(positive) else np.log(positive)


def _sqrt(value: Any) -> Any:
    positive = _at_least(value, 0.0)
    return ufl.sqrt(positive) if _is_ufl(positive) else np.sqrt(positive)


def _tanh(value: Any) -> Any:
    return ufl.tanh(value) if _is_ufl(value) else np.tanh(value)


def _sinh(value: Any) -> Any:
    return (bounded_exp(value) - bounded_exp(-value)) / 2


def _abs(value: Any) -> Any:
    return abs(value) if _is_ufl(value) else np.abs(value)


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {"exp": bounded_exp, "log": _log, "tanh": _tanh, "sinh": _sinh}
"""Functions of a plain number (no unit); beside them sqrt and abs, which take any. exp and sinh go on as tangents beyond 50."""
_ANY = {"sqrt": (_sqrt, 0.5), "abs": (_abs, 1.0)}
ALLOWED = f"allowed are numbers, names, + - * / ** and brackets, and {', '.join([*FUNCTIONS, *_ANY])} of one argument"


@dataclass(frozen=True)
class _Part:
    """A piece of an expression: its dimensions, how to evaluate it, and its number where it is one."""

    dimensions: Dimensions
    value: Value
    number: float | None = None


@dataclass(frozen=True)
class RateExpression:
    """A rate that has been read and checked.

    Attributes:
        text: as written.
        names: that it uses.
    """

    text: str
    names: frozenset[str]
    _value: Value

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Rate from the values of the names (numbers, arrays or UFL, in coherent SI units), mol/(m³ s)."""
        return self._value(values)


def parse_rate(text: str, units: Mapping[str, str], result: str = RATE) -> RateExpression:
    """Read an expression.

    Args:
        text: for example "k * (A - B/K)".
        units: unit of every name that may occur (T, F and R are known).
        result: unit that the whole must have the dimensions of.

    Raises:
        ExpressionError: what is not allowed, an unknown name, or units that do not fit.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {LONGEST} are read")
    known = {"T": "K", **{name: unit for name, (unit, _) in BUILT_IN.items()}}
    for name in units:
        if name in known or name in FUNCTIONS or name in _ANY or not name.isidentifier():
            raise ExpressionError(f'"{name}" cannot be a name of yours: it is taken, or no plain word')
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        told = getattr(error, "msg", "not an expression")
        raise ExpressionError(f'read "{text}", which is not an expression ({told}); {ALLOWED}') from None
    part = _Reader(text, {**known, **units}).read(tree.body, 0)
    wanted = base_dimensions(result)
    if not _same(part.dimensions, wanted):
        raise ExpressionError(f'"{text}" has the dimensions {_told(part.dimensions)}, not those of {result} ({_told(wanted)})')
    used = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) - set(FUNCTIONS) - set(_ANY)
    return RateExpression(text, used, part.value)


class _Reader:
    """Walks the syntax tree of one expression."""

    def __init__(self, text: str, units: Mapping[str, str]) -> None:
        self.text, self.units = text, units

    def read(self, node: ast.AST, depth: int) -> _Part:
        """Part of a node. Raises ExpressionError."""
        if depth > DEEPEST:
            raise ExpressionError(f"the expression is nested deeper than {DEEPEST}; split it")
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            inner, sign = self.read(node.operand, depth + 1), -1.0 if isinstance(node.op, ast.USub) else 1.0
            number = None if inner.number is None else sign * inner.number
            return _Part(inner.dimensions, lambda v: sign * inner.value(v), number)
        if isinstance(node, ast.BinOp):
            return self._operation(node, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        raise self._refused(node)

    def _piece(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text.strip(), node) or type(node).__name__

    def _refused(self, node: ast.AST) -> ExpressionError:
        return ExpressionError(f'"{self._piece(node)}" is not allowed; {ALLOWED}')

    def _number(self, node: ast.Constant) -> _Part:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self._refused(node)
        number = float(node.value) if abs(node.value) < 1e300 else float("inf")
        if not np.isfinite(number):
            raise ExpressionError(f'"{self._piece(node)}" is not a finite number')
        return _Part({}, lambda v: number, number)

    def _name(self, name: str) -> _Part:
        if name not in self.units:
            raise ExpressionError(f'"{name}" is not known; known are: {", ".join(sorted(self.units))}')
        return _Part(base_dimensions(self.units[name]), lambda v: v[name])

    def _operation(self, node: ast.BinOp, depth: int) -> _Part:
        if isinstance(node.op, ast.Pow):
            return self._power(node, depth)
        a, b = self.read(node.left, depth + 1), self.read(node.right, depth + 1)
        if isinstance(node.op, ast.Add | ast.Sub):
            if not _same(a.dimensions, b.dimensions):
                told = f"{_told(a.dimensions)} and {_told(b.dimensions)}"
                raise ExpressionError(f'"{self._piece(node)}" adds or subtracts {told}; both sides need one unit')
            sign = 1.0 if isinstance(node.op, ast.Add) else -1.0
            return _Part(a.dimensions, lambda v: a.value(v) + sign * b.value(v))
        if isinstance(node.op, ast.Mult):
            return _Part(_product(a.dimensions, b.dimensions, 1.0), lambda v: a.value(v) * b.value(v))
        if isinstance(node.op, ast.Div):
            if b.number == 0:
                raise ExpressionError(f'"{self._piece(node)}" divides by zero')
            return _Part(_product(a.dimensions, b.dimensions, -1.0), lambda v: a.value(v) / b.value(v))
        raise self._refused(node)

    def _power(self, node: ast.BinOp, depth: int) -> _Part:
        base, exponent = self.read(node.left, depth + 1), self.read(node.right, depth + 1)
        p = exponent.number
        if p is None or abs(p) > LARGEST_POWER:
            raise ExpressionError(f'"{self._piece(node)}": a power must be a plain number of at most {LARGEST_POWER}')
        dimensions = {name: p * n for name, n in base.dimensions.items() if p * n}
        if p == int(p):
            return _Part(dimensions, lambda v: base.value(v) ** int(p))
        return _Part(dimensions, lambda v: _at_least(base.value(v), SMALLEST if p < 0 else 0.0) ** p)

    def _call(self, node: ast.Call, depth: int) -> _Part:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if (name not in FUNCTIONS and name not in _ANY) or len(node.args) != 1 or node.keywords:
            raise self._refused(node)
        inner = self.read(node.args[0], depth + 1)
        if name in _ANY:
            function, power = _ANY[name]
            return _Part({d: power * n for d, n in inner.dimensions.items()}, lambda v: function(inner.value(v)))
        if inner.dimensions:
            raise ExpressionError(f'"{self._piece(node)}": {name} takes a plain number, not {_told(inner.dimensions)}')
        return _Part({}, lambda v: FUNCTIONS[name](inner.value(v)))


def _product(a: Dimensions, b: Dimensions, sign: float) -> dict[str, float]:
    total = {name: a.get(name, 0.0) + sign * b.get(name, 0.0) for name in {*a, *b}}
    return {name: n for name, n in total.items() if abs(n) > 1e-12}


def _same(a: Dimensions, b: Dimensions) -> bool:
    return not _product(a, b, -1.0)


def _told(dimensions: Dimensions) -> str:
    return " ".join(f"{name}^{n:g}" if n != 1 else name for name, n in sorted(dimensions.items())) or "a plain number"


@dataclass(frozen=True)
class DeclaredReaction:
    """A homogeneous reaction of a medium.

    Attributes:
        rate: expression of the rate.
        makes: number of each species made per turnover (negative: consumed).
        species: name in the expression of each concentration it uses, as {name: species}.
        constants: value with unit of each further name.
    """

    rate: str
    makes: Mapping[str, float]
    species: Mapping[str, str]
    constants: Mapping[str, str]

    def parsed(self) -> tuple[RateExpression, dict[str, float]]:
        """The rate and its constants in coherent SI units. Raises ExpressionError."""
        values, units = {}, dict.fromkeys(self.species, "mol/m^3")
        for name, text in self.constants.items():
            if name in units:
                raise ExpressionError(f'"{name}" is both a species and a constant')
            try:
                values[name], units[name] = to_base(text)
            except UnitError as error:
                raise ExpressionError(f"{name}: {error}") from None
        rate = parse_rate(self.rate, units)
        for name in units:
            if name not in rate.names:
                raise ExpressionError(f'"{name}" is declared and not used in "{self.rate}"')
        return rate, values


def reactions(
    declared: Sequence[DeclaredReaction], temperature: Any, constant: Callable[[float], Any] = float
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What `Medium.reactions` wants: rates of production per species from the concentrations.

    Args:
        declared: reactions of the medium.
        temperature: K.
        constant: makes a changeable number of a constant (`Domain.constant`).

    Raises:
        ExpressionError: as `parse_rate`.
    """
    ready = []
    for reaction in declared:
        rate, values = reaction.parsed()
        known = {name: constant(value) for name, value in values.items()} | {n: value for n, (_, value) in BUILT_IN.items()}
        ready.append((reaction, rate, {**known, "T": temperature}))

    def rates(concentrations: Mapping[str, Any]) -> dict[str, Any]:
        total: dict[str, Any] = {}
        for reaction, rate, known in ready:
            speed = rate({**known, **{name: concentrations[s] for name, s in reaction.species.items()}})
            for species, number in reaction.makes.items():
                made = float(number) * speed
                total[species] = total[species] + made if species in total else made
        return total

    return rates


