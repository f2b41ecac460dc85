"""The designs of a sweep, in one fixed order: every combination of the listed values with every drawn point and replica."""

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.errors import UserError
from coupling.store import digest
from coupling.units import registry
from multiscale.sweeps.expressions import ExpressionError, holds, parse
from multiscale.sweeps.keys import Key, magnitude, split_quantity, user_unit, written
from multiscale.sweeps.schema import SAMPLED
from multiscale.sweeps.settings import Axis, Sweep, option_settings

MOST = 1_000_000
"""Designs of one sweep."""


@dataclass(frozen=True)
class Point:
    """One combination.

    Attributes:
        values: variable → value as it is written into the case (for "options", the option's name).
        replica: 0, 1, …: which microstructure.
    """

    values: Mapping[str, Any]
    replica: int = 0

    def settings(self, sweep: Sweep) -> tuple[dict[str, Any], list[str]]:
        """What the design sets by key, and the tables it removes; [fixed] included, replicas not."""
        chosen = dict(sweep.fixed)
        removed: list[str] = []
        for axis in sweep.axes:
            value = self.values[axis.name]
            if axis.key is not None:
                chosen[axis.key.path] = value
                continue
            option = next(o for o in axis.stated.option or () if o.name == value)
            chosen |= option_settings(option)
            removed += option.remove
        return chosen, removed

    def label(self) -> str:
        """'thickness 5 nm, material LiF'."""
        words = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"{words}, replica {self.replica}" if self.replica else words


def points(sweep: Sweep) -> list[Point]:
    """Every point that meets the constraints; the same list on any machine, earlier draws first.

    Raises:
        UserError: too many designs, none left by the constraints, or a constraint that cannot be computed.
    """
    listed = [axis for axis in sweep.axes if axis.stated.kind not in SAMPLED]
    drawn = [axis for axis in sweep.axes if axis.stated.kind in SAMPLED]
    grid = [[(axis.name, value) for value in axis_values(axis)] for axis in listed]
    rows = drawn_rows(sweep, drawn) if drawn else [{}]
    count = int(np.prod([len(values) for values in grid], dtype=float)) * len(rows) * sweep.settings.replicas
    if count > MOST:
        told = f"these are {count:.3g} designs; at most {MOST:.0e} are allowed: take fewer values"
        raise UserError(sweep.file.complaint(("variable", 0), told))
    names = [axis.name for axis in sweep.axes]
    kept = [
        Point(point.values, replica)
        for row, combination in itertools.product(rows, itertools.product(*grid))
        if is_allowed(sweep, point := Point({name: (dict(combination) | row)[name] for name in names}))
        for replica in range(sweep.settings.replicas)
    ]
    if not kept:
        raise UserError(sweep.file.complaint(("constraints",), f"none of the {count} designs meets them; loosen them"))
    return kept


def axis_values(axis: Axis) -> list[Any]:
    """Values of a variable that is not drawn."""
    stated, key = axis.stated, axis.key
    if key is None:
        return [option.name for option in stated.option or ()]
    if stated.kind == "list":
        return list(stated.values or ())
    shares = np.linspace(0.0, 1.0, stated.steps or 2)
    return list(dict.fromkeys(between(axis, float(share)) for share in shares))


def between(axis: Axis, share: float) -> Any:
    """The value at a share (0 … 1) of the way from `from` to `to`, as it is written into the case."""
    key, stated = axis.key, axis.stated
    assert key is not None
    unit = user_unit(key, stated.from_)
    low, high = magnitude(key, stated.from_, unit), magnitude(key, stated.to, unit)
    if share in (0.0, 1.0):
        return stated.from_ if share == 0.0 else stated.to
    number = low * (high / low) ** share if stated.spacing == "log" else low + share * (high - low)
    return written(key, number, unit)


def drawn_rows(sweep: Sweep, drawn: list[Axis]) -> list[dict[str, Any]]:
    """Values of the drawn variables, a row a point. A larger count keeps every earlier row; a block more, those of the others."""
    sampling = sweep.settings.sampling
    assert sampling is not None
    blocks = sampling.count if isinstance(sampling.count, tuple) else (sampling.count,)
    shares = np.concatenate([
        _shares(drawn[0].stated.kind, [axis.name for axis in drawn], count, [sampling.seed, block])
        for block, count in enumerate(blocks)
    ])  # fmt: skip
    return [{axis.name: between(axis, float(u)) for axis, u in zip(drawn, row, strict=True)} for row in shares]


def _shares(kind: str, names: list[str], count: int, seed: list[int]) -> np.ndarray:
    """Points of the unit cube, shape (count, d); for "random" one stream a variable, so that adding one moves no other."""
    if kind == "random":
        streams = [np.random.default_rng([*seed, int(digest(name), 16) % 2**32]) for name in names]
        return np.column_stack([stream.random(count) for stream in streams])
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    if kind == "latin-hypercube":
        return qmc.LatinHypercube(len(names), rng=rng).random(count)
    return qmc.Sobol(len(names), rng=rng).random(2 ** int(np.ceil(np.log2(max(count, 2)))))[:count]


def is_allowed(sweep: Sweep, point: Point) -> bool:
    """Whether a point meets every constraint. Raises UserError where one cannot be computed."""
    if not sweep.settings.constraints:
        return True
    values = _Quantities(sweep, point)
    for number, (text, tree) in enumerate(zip(sweep.settings.constraints, _trees(sweep.settings.constraints), strict=True)):
        try:
            if not holds(tree, values):
                return False
        except ExpressionError as error:
            raise UserError(sweep.file.complaint(("constraints", number), f'read "{text}"; {error}')) from None
    return True


@functools.cache
def _trees(texts: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(parse(text) for text in texts)


class _Quantities(Mapping[str, Any]):
    """Names a constraint may use: variables, and keys of the design's case."""

    def __init__(self, sweep: Sweep, point: Point) -> None:
        self.sweep, self.point = sweep, point
        self.chosen, _ = point.settings(sweep)

    def __getitem__(self, name: str) -> Any:
        axis = next((axis for axis in self.sweep.axes if axis.name == name), None)
        if axis is not None:
            value = self.point.values[name]
            return value if axis.key is None else quantity(axis.key, value)
        key = self.sweep.key(name)
        by_place = {self.sweep.key(path).place: value for path, value in self.chosen.items()}
        value = by_place.get(key.place)
        return quantity(key, self._stated(key) if value is None else value)

    def _stated(self, key: Key) -> Any:
        value: Any = self.sweep.case.file.data
        try:
            for part in key.place:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            raise ExpressionError(f"the case does not state {key.path}") from None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter([axis.name for axis in self.sweep.axes])

    def __len__(self) -> int:
        return len(self.sweep.axes)

    def __contains__(self, name: object) -> bool:
        try:
            return bool(self.sweep.key(str(name))) if all(axis.name != name for axis in self.sweep.axes) else True
        except ValueError:
            return False


def quantity(key: Key, value: Any) -> Any:
    """A raw value as a pint quantity, or the text it is."""
    if key.kind in ("text", "other"):
        return str(value)
    if key.kind == "quantity":
        number, unit = split_quantity(str(value))
        return registry().Quantity(number, unit or "dimensionless")
    return registry().Quantity(float(value))
