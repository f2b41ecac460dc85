"""Constraints as a user writes them: comparisons of numbers with units, read by a parser that runs no code."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import pint

from coupling.toml_input import nearest
from coupling.units import registry

LONGEST = 500
"""Characters of an expression."""
ROUNDING = 1e-12
"""Numbers that differ by no more than this share are equal."""
Values = Mapping[str, Any]
"""Name → pint quantity, or a text (the value of a variable that is no number)."""

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
FUNCTIONS = ("min", "max", "abs", "sqrt", "log10")
_ALLOWED = "allowed: names, numbers, quantities in quotes ('20 nm'), + - * / **, comparisons, and, or, not, "
_ALLOWED += ", ".join(FUNCTIONS)


class ExpressionError(ValueError):
    """What is wrong with an expression, in a sentence."""


def parse(text: str) -> ast.expr:
    """The tree of an expression that compares something.

    Raises:
        ExpressionError: not an expression, too long, no comparison, or a construct that is not allowed.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression has at most {LONGEST} characters, this one {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"not an expression; write for example \"thickness < '40 nm'\"; {_ALLOWED}") from None
    for node in ast.walk(tree):
        _refuse_strange(node)
    compares = any(isinstance(node, ast.Compare) for node in ast.walk(tree))
    if not compares or not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ExpressionError("it compares nothing; write for example \"thickness < '40 nm'\"")
    return tree


_PLAIN_NODES = (
    ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, *_ARITHMETIC, ast.Compare, *_COMPARISONS,
    ast.Name, ast.Load, ast.Attribute,
)  # fmt: skip


def _refuse_strange(node: ast.AST) -> None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str) and not isinstance(node.value, bool):
        return
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords or not node.args:
            raise ExpressionError(f"only these functions can be called, with values alone: {', '.join(FUNCTIONS)}")
        return
    if isinstance(node, ast.Attribute) and _dotted(node) is None:
        raise ExpressionError(f"a dot may only stand inside the name of a key; {_ALLOWED}")
    if not isinstance(node, _PLAIN_NODES):
        raise ExpressionError(f"{type(node).__name__.lower()} is not allowed; {_ALLOWED}")


def _dotted(node: ast.expr) -> str | None:
    """'geometry.flaw.depth' of a chain of attributes, None where it starts with anything but a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def names(tree: ast.expr) -> set[str]:
    """Every name that an expression uses, dotted ones whole."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Attribute | ast.Name):
            found.add(str(_dotted(node)))
        elif isinstance(node, ast.Call):
            for argument in node.args:
                visit(argument)
        else:
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(tree)
    return found


def holds(tree: ast.expr, values: Values) -> bool:
    """Whether a constraint is met.

    Raises:
        ExpressionError: an unknown name, quantities of different kinds, a division by zero, a number out of range.
    """
    try:
        return bool(_value(tree, values))
    except pint.DimensionalityError as error:
        raise ExpressionError(f"{error.units1} and {error.units2} cannot be compared or added") from None
    except (pint.errors.PintError, ZeroDivisionError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"it cannot be computed ({error})") from None


def violation(tree: ast.expr, values: Values) -> float:
    """How far a constraint is from being met: relative, ≤ 0 where it is met, so that a search can go downhill.

    Raises:
        ExpressionError: as `holds`.
    """
    if isinstance(tree, ast.BoolOp):
        parts = [violation(part, values) for part in tree.values]
        return max(parts) if isinstance(tree.op, ast.And) else min(parts)
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        met = holds(tree, values)
        left, right = (_value(side, values) for side in (tree.left, tree.comparators[0]))
        if isinstance(left, pint.Quantity) and isinstance(right, pint.Quantity):
            a, b = float(left.to_base_units().magnitude), float(right.to_base_units().magnitude)
            gap = abs(a - b) / max(abs(a), abs(b), 1e-300)
            return -gap if met else max(gap, 1e-12)
        return 0.0 if met else 1.0
    return 0.0 if holds(tree, values) else 1.0


def _value(node: ast.expr, values: Values) -> Any:
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, ast.Name | ast.Attribute):
        name = str(_dotted(node))
        if name not in values:
            raise ExpressionError(f'unknown name "{name}"; {nearest(name, sorted(values))}')
        return values[name]
    if isinstance(node, ast.BoolOp):
        combine = all if isinstance(node.op, ast.And) else any
        return combine(bool(_value(part, values)) for part in node.values)
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, values)
        return (not inner) if isinstance(node.op, ast.Not) else (-inner if isinstance(node.op, ast.USub) else inner)
    if isinstance(node, ast.BinOp):
        return _arithmetic(node, values)
    if isinstance(node, ast.Compare):
        sides = [_value(side, values) for side in (node.left, *node.comparators)]
        return all(_compare(op, a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False))
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    return _call(node.func.id, [_value(argument, values) for argument in node.args])


def _constant(value: Any) -> Any:
    """A number, a quantity with its unit, or a text."""
    if not isinstance(value, str):
        return registry().Quantity(float(value))
    from multiscale.sweeps.keys import split_quantity

    try:
        number, unit = split_quantity(value)
        return registry().Quantity(number, unit)
    except Exception:  # a text, such as the name of a material
        return value


def _arithmetic(node: ast.BinOp, values: Values) -> Any:
    left, right = _value(node.left, values), _value(node.right, values)
    if isinstance(left, str) or isinstance(right, str):
        raise ExpressionError("a text can only be compared with == and !=")
    if isinstance(node.op, ast.Pow) and abs(float(right.to("dimensionless").magnitude)) > 10:
        raise ExpressionError("powers go up to 10")
    return _ARITHMETIC[type(node.op)](left, right)


def _compare(op: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(left, str) != isinstance(right, str):
        raise ExpressionError(f"a text cannot be compared with a number: {left} and {right}")
    if isinstance(left, str) and not isinstance(op, ast.Eq | ast.NotEq):
        raise ExpressionError("a text can only be compared with == and !=")
    if not isinstance(left, str) and not left.is_compatible_with(right):
        raise pint.DimensionalityError(left.units, right.units)
    if not isinstance(left, str):
        left, right = (float(side.to_root_units().magnitude) for side in (left, right))
        if math.isclose(left, right, rel_tol=ROUNDING):  # 500 nm and 0.5 um
            right = left
    return bool(_COMPARISONS[type(op)](left, right))


def _call(name: str, arguments: list[Any]) -> Any:
    if any(isinstance(argument, str) for argument in arguments):
        raise ExpressionError(f"{name} takes numbers")
    if name in ("min", "max"):
        return (min if name == "min" else max)(arguments)
    if len(arguments) != 1:
        raise ExpressionError(f"{name} takes one value")
    (argument,) = arguments
    if name == "abs":
        return abs(argument)
    if name == "sqrt":
        return argument**0.5
    return registry().Quantity(math.log10(float(argument.to("dimensionless").magnitude)))
