"""Keys of a case that a sweep may set: what kind of value each takes, and how such values are written, read and told."""

import re
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from coupling.library import QUANTITIES
from coupling.toml_input import InUnit, Location, nearest
from coupling.units import convert, to_si
from multiscale.case import CaseFile

Kind = Literal["quantity", "number", "whole", "flag", "text", "other"]
DIGITS = 9
"""Significant digits of a number that a sweep computes: enough for any design, the same text on any machine."""
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Key:
    """A key of case.toml, or "materials.NAME.QUANTITY": a property of a material of the case.

    Attributes:
        path: as the user writes it, dotted.
        place: where it stands in the data of case.toml; empty for a property of a material.
        kind: of its value.
        unit: SI unit of a quantity ("1" for a plain ratio), else "".
        material, quantity: of a property of a material, else "".
    """

    path: str
    place: Location
    kind: Kind
    unit: str = ""
    material: str = ""
    quantity: str = ""


class UnknownKey(ValueError):
    """A path that names no key of a case; the message says what is near."""


def find_key(path: str, model: type[BaseModel] = CaseFile) -> Key:
    """The key that a dotted path names; the only item of a list of tables needs no number ("geometry.flaw.depth").

    `model` is that of the kind of case.toml.

    Raises:
        UnknownKey: there is none.
    """
    parts = path.split(".")
    if parts[0] == "materials":
        return _material_key(path, parts)
    place: list[str | int] = []
    annotation: Any = model
    metadata: tuple[Any, ...] = ()
    for number, part in enumerate(parts):
        here, is_list = _model_of(annotation, part)
        if is_list and here is not None:
            place.append(int(part) if part.isdigit() else 0)
            annotation = here
            if part.isdigit():
                continue
        if here is None or part not in here.model_fields:
            raise UnknownKey(_hint(path, parts, number, model))
        field = here.model_fields[part]
        annotation, metadata = field.annotation, tuple(field.metadata)
        place.append(part)
    kind, unit = _kind_of(annotation, metadata)
    return Key(path, tuple(place), kind, unit)


def _material_key(path: str, parts: list[str]) -> Key:
    if len(parts) != 3 or not all(parts):
        raise UnknownKey('write "materials.NAME.QUANTITY", for example "materials.LiF.ionic_conductivity"')
    if parts[2] not in QUANTITIES:
        raise UnknownKey(f'unknown quantity "{parts[2]}"; {nearest(parts[2], list(QUANTITIES))}')
    return Key(path, (), "quantity", QUANTITIES[parts[2]], parts[1], parts[2])


def _hint(path: str, parts: list[str], number: int, model: type[BaseModel]) -> str:
    every = all_keys(model)
    known = [name for name in every if name.split(".")[:number] == parts[:number]] or every
    return f'unknown key "{path}"; {nearest(path, known if len(known) < 40 else sorted({k.split(".")[number] for k in known}))}'


def all_keys(model: type[BaseModel] = CaseFile, before: str = "") -> list[str]:
    """Every key of case.toml that holds one value, dotted."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        inner = _models_of(field.annotation)
        found += [key for one, _ in inner for key in all_keys(one, f"{before}{name}.")] if inner else [f"{before}{name}"]
    return list(dict.fromkeys(found))


def _alternatives(annotation: Any) -> list[Any]:
    """Members of a union without None, else the annotation itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [item for item in get_args(annotation) if item is not type(None)]
    return [annotation]


def _models_of(annotation: Any) -> list[tuple[type[BaseModel], bool]]:
    """The tables that may stand inside an annotation, and whether each stands in a list."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    found: list[tuple[type[BaseModel], bool]] = []
    for item in _alternatives(annotation):
        if isinstance(item, type) and issubclass(item, BaseModel):
            found.append((item, False))
        elif get_origin(item) in (tuple, list):
            found += [(inner, True) for inner in get_args(item) if isinstance(inner, type) and issubclass(inner, BaseModel)]
    return found


def _model_of(annotation: Any, key: str) -> tuple[type[BaseModel] | None, bool]:
    """The table inside an annotation (of several, the first that has the key), and whether it stands in a list."""
    found = _models_of(annotation)
    return next((one for one in found if key in one[0].model_fields), found[0] if found else (None, False))


def _kind_of(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Kind, str]:
    """Kind of value and SI unit of a field."""
    (first, *others) = _alternatives(annotation)
    if others:
        return "other", ""
    if get_origin(first) is Annotated:
        first, *inner = get_args(first)
        metadata = (*metadata, *inner)
    if unit := next((item.unit for item in metadata if isinstance(item, InUnit)), None):
        return "quantity", unit
    simple: dict[Any, Kind] = {bool: "flag", int: "whole", float: "number", str: "text"}
    if first in simple:
        return simple[first], ""
    if get_origin(first) is Literal and all(isinstance(item, str) for item in get_args(first)):
        return "text", ""
    return "other", ""


def split_quantity(text: str) -> tuple[float, str]:
    """(5.0, "nm") of "5 nm"; the unit of a bare number is "". Raises ValueError where there is no number."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f'read "{text}", which is no number with a unit')
    return float(found.group(1)), found.group(2)


def number_of(key: Key, value: Any) -> float:
    """The number that a raw value of a numeric key stands for, in the key's SI unit. Raises ValueError as `check_value`."""
    check_value(key, value)
    return to_si(value, key.unit) if key.kind == "quantity" else float(value)


def check_value(key: Key, value: Any) -> None:
    """Refuse a raw value of the wrong kind; limits are checked with the whole case. Raises ValueError with the mend."""
    if key.kind == "quantity":
        InUnit(key.unit).parse(value)
    elif key.kind == "whole" and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"read {value!r}; write a whole number")
    elif key.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == float("inf")):
        raise ValueError(f"read {value!r}; write a number")
    elif key.kind == "flag" and not isinstance(value, bool):
        raise ValueError(f"read {value!r}; write true or false")
    elif key.kind == "text" and not isinstance(value, str):
        raise ValueError(f"read {value!r}; write a text in quotes")


def user_unit(key: Key, value: Any) -> str:
    """The unit that a raw value is written in, "" for plain numbers."""
    return (split_quantity(str(value))[1] or "1") if key.kind == "quantity" and key.unit != "1" else ""


def magnitude(key: Key, value: Any, unit: str) -> float:
    """Number of a raw value in a unit of the user's."""
    number = number_of(key, value)
    if key.kind == "quantity" and user_unit(key, value) == unit:
        return split_quantity(str(value))[0]
    return convert(number, key.unit, unit) if unit and unit != key.unit else number


def written(key: Key, number: float, unit: str) -> Any:
    """A number (in `unit`) as it is written into a case: rounded to `DIGITS` digits, with its unit."""
    if key.kind == "whole":
        return round(number)
    rounded = float(f"{number:.{DIGITS}g}")
    return f"{rounded:.{DIGITS}g} {unit}".strip() if key.kind == "quantity" else rounded
