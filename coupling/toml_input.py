"""TOML files that a user writes: read, checked against a pydantic model, every complaint with file, line and key."""

import contextlib
import difflib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import core_schema

from coupling.errors import UserError
from coupling.units import UnitError, to_si, told

_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")

Location = tuple[str | int, ...]


class Table(BaseModel):
    """A TOML table of fixed keys: an unknown key is refused, the object cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Whole = Annotated[int, Field(strict=True)]
"""A whole number (not a text, not a truth value)."""
Flag = Annotated[bool, Field(strict=True)]
"""true or false."""


def _not_blank(text: str) -> str:
    """Refuse a text of nothing but spaces. Raises ValueError."""
    if not text.strip():
        raise ValueError(f"read {json.dumps(text)}; write where it comes from")
    return text


Source = Annotated[str, Field(min_length=1), AfterValidator(_not_blank)]
"""Where a number comes from, in words."""


@dataclass(frozen=True)
class InUnit:
    """Metadata of a pydantic float: a TOML string with a unit, held in the SI `unit`; a bare number is refused.

    `above`, `at_least`, `below` and `at_most` are limits in `unit`, `why` is told beside the upper ones.
    Use: ``Length = Annotated[float, InUnit("m", above=0.0)]``.
    """

    unit: str
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    why: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Validate a text with a unit."""
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        """In a case file the quantity is a text."""
        example = f"1 {self.unit}"
        return {"type": "string", "description": f"number with a unit, for example '{example}'", "examples": [example]}

    def parse(self, value: object) -> float:
        """Value in `unit` of what stands in the file. Raises ValueError with what was read and what is allowed."""
        number = _parse_quantity(value, self.unit)
        if self.above is not None and not number > self.above:
            raise ValueError(f'read "{value}"; it must be above {told(self.above, self.unit)}')
        if self.at_least is not None and not number >= self.at_least:
            raise ValueError(f'read "{value}"; it must be at least {told(self.at_least, self.unit)}')
        reason = f": {self.why}" if self.why else ""
        if self.below is not None and not number < self.below:
            raise ValueError(f'read "{value}"; it must be below {told(self.below, self.unit)}{reason}')
        if self.at_most is not None and not number <= self.at_most:
            raise ValueError(f'read "{value}"; it must be at most {told(self.at_most, self.unit)}{reason}')
        return number


def _parse_quantity(value: object, unit: str) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f'read {value!r}; write a number with its unit in quotes, for example "1 {unit}"')
    if not isinstance(value, str):
        raise ValueError(f'read the bare number {value}; write it with its unit in quotes, for example "{value} {unit}"')
    try:
        return to_si(value, unit)
    except UnitError as error:
        raise ValueError(f"{error}{_meant(value, unit)}") from None


_UNITS = ("MPa", "GPa", "kPa", "Pa", "um", "nm", "mm", "m", "K", "degC", "mA/cm^2", "A/m^2", "mS/cm", "S/m", "mV", "V", "s", "h")
"""Units whose letters are often written in the wrong case."""


def _meant(text: str, unit: str) -> str:
    """'; did you mean "5 MPa"?' for common slips: comma, missing ^, letters of the wrong case, C for degrees Celsius."""
    number, _, name = text.strip().partition(" ")
    slips = [text.replace(",", "."), re.sub(r"([A-Za-z])(-?\d)", r"\1^\2", text), re.sub(r"\bC$", "degC", text)]
    slips += [f"{number} {known}" for known in _UNITS if known.casefold() == name.casefold()]
    for slip in slips:
        with contextlib.suppress(UnitError):
            to_si(slip, unit)
            return f'; did you mean "{slip}"?'
    return ""


class AtKey(ValueError):
    """What a validator of a whole table raises to blame one key of it, given from that table."""

    def __init__(self, key: Location, message: str) -> None:
        super().__init__(message)
        self.key = key


def require_within(name: str, value: float, bounds: tuple[float, float] | None) -> None:
    """A best value lies in its range, where one is given under `name`_range. Raises AtKey."""
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise AtKey((f"{name}_range",), f"{name} must lie in it, and its smaller value come first")


@dataclass(frozen=True)
class TomlFile:
    """A parsed TOML file that still knows on which line each key stands."""

    path: Path
    data: dict[str, Any]
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """Line (from 1) of a key, or of the nearest table above it that is written in the file."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1

    def written(self, location: Location) -> str:
        """What the user wrote at a key, as it stands in TOML; "nothing" where the key is not given."""
        value: Any = self.data
        try:
            for part in location:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
        return _as_toml(value)

    def refusal(self, location: Location, message: str) -> str:
        """`complaint` that begins with what was read there."""
        return self.complaint(location, f"read {self.written(location)}; {message}")

    def complaint(self, location: Location, message: str) -> str:
        """One line: file, line, key, message."""
        key = ".".join(str(part) for part in location if not isinstance(part, int)) or "(top level)"
        return f"{self.path}:{self.line(location)}: {key}: {message}"


def _as_toml(value: object) -> str:
    """A text, number, truth value or list as it stands in TOML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def read(path: str | Path) -> TomlFile:
    """Read a TOML file.

    Raises:
        UserError: the file is missing, not text, not TOML, or defines a key twice (with file and line).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else str(text.count("\n") + 1)
        reason = re.sub(r"\s*\(at .*\)", "", str(error))
        hint = "; a key or table may be given only once" if "overwrite" in reason or "declare" in reason else ""
        hint = "; texts stand in quotes, truth values are true and false" if reason == "Invalid value" else hint
        raise UserError(f"{path}:{line}: not valid TOML: {reason}{hint}") from None
    return TomlFile(path, data, _locate(text))


def _locate(text: str) -> dict[Location, int]:
    """Line of every table header and key of a TOML text (inline tables by their outer key)."""
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            path = _parts(header.group(2))
            table = _resolve(path, counts)
            if header.group(1) == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(table + _parts(key.group(1)), number)
    return lines


def _parts(dotted: str) -> Location:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _resolve(path: Location, counts: dict[Location, int]) -> Location:
    """Insert the running index of every array of tables that the path passes through."""
    resolved: Location = ()
    for index, part in enumerate(path):
        resolved = (*resolved, part)
        if index < len(path) - 1 and resolved in counts:
            resolved = (*resolved, counts[resolved])
    return resolved


def validate[Model: BaseModel](file: TomlFile, model: type[Model]) -> Model:
    """The file's data as `model`.

    Raises:
        UserError: one line for each wrong key: file, line, key, what was read, what is allowed, the nearest known name.
    """
    try:
        return model.model_validate(file.data)
    except ValidationError as error:
        raise UserError("\n".join(dict.fromkeys(_complaints(file, model, error)))) from None


def _complaints(file: TomlFile, model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line an error.

    Not complained of: an array that is 'too short' only because its items are wrong, and a missing key that stands there
    misspelt.
    """
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    inner = [item["loc"] for item in items]
    echoes = {item["loc"] for item in items if item["type"] == "too_short" and _holds_any(item["loc"], inner)}
    for item in items:
        if item["type"] == "extra_forbidden":
            *table, name = item["loc"]
            inside = item["input"] if isinstance(item["input"], dict) else {}
            for meant in _close(str(name), _known_keys(model, file.data, tuple(table))):
                echoes |= {(*table, meant), *((*table, meant, key) for key in inside)}
    return [_explain(file, model, item) for item in items if item["loc"] not in echoes]


def _holds_any(table: Location, locations: Sequence[Location]) -> bool:
    return any(len(location) > len(table) and location[: len(table)] == table for location in locations)


def _explain(file: TomlFile, model: type[BaseModel], item: dict[str, Any]) -> str:
    location = _without_tags(file.data, tuple(part for part in item["loc"] if not (isinstance(part, str) and "[" in part)))
    kind, read_value, limits = item["type"], item.get("input"), item.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_known_keys(model, file.data, location[:-1]))
        return file.complaint(location, f"unknown key; {nearest(str(location[-1]), known)}")
    if kind == "missing" and isinstance(location[-1], int):
        return file.refusal(location[:-1], "too few values; add what is missing")
    if kind == "missing":
        return file.complaint(location, "this key is missing; add it")
    if kind == "value_error" and isinstance(limits["error"], AtKey):
        return file.refusal(location + limits["error"].key, str(limits["error"]))
    if kind == "value_error":
        return file.complaint(location, str(limits["error"]))
    if kind == "literal_error":
        return file.complaint(location, f"read {read_value!r}; allowed: {limits['expected']}")
    if kind == "too_long":
        most = limits["max_length"]
        return file.complaint(
            (*location, most), f"{limits['actual_length']} are given; at most {most} is allowed: remove the rest"
        )
    if kind == "too_short":
        least = limits["min_length"]
        return file.complaint(location, f"{limits['actual_length']} are given; at least {least} is needed: add what is missing")
    told_kind = "" if isinstance(read_value, dict | list) else f"read {_as_toml(read_value)}; "
    return file.complaint(location, told_kind + mend(item))


def mend(item: Mapping[str, Any]) -> str:
    """What to write in place of a value that pydantic refused; `item` is one of its errors."""
    if item["type"] == "missing":
        return "too few values; add what is missing"
    return _MENDS.get(item["type"], f"{item['msg'][0].lower()}{item['msg'][1:]}")


def _without_tags(data: Any, location: Location) -> Location:
    """A location without the names of alternatives, which pydantic puts below a table that says by its `kind` which it is."""
    kept: list[str | int] = []
    for part in location:
        if isinstance(data, dict) and part not in data and data.get("kind") == part:
            continue
        kept.append(part)
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(kept)


_MENDS = {
    "int_type": "write a whole number, without quotes",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number, without quotes or unit",
    "float_type": "write a number, without quotes or unit",
    "string_type": "write a text in quotes",
    "bool_type": "write true or false, without quotes",
    "tuple_type": "write a list: values in square brackets, or a table under a [[name]] in double brackets",
    "model_type": "write a table: [name] and its keys below, or { key = value }",
    "dict_type": "write a table: [name] and its keys below, or { key = value }",
}
"""What to write instead, by pydantic's kind of error, where its own words do not say."""


def _known_keys(model: type[BaseModel], data: Any, location: Location) -> Sequence[str]:
    """The keys that a table of a file (at `location` in its `data`) may hold; of alternatives, those of the one it names."""
    current: Any = model
    named = False  # whether the part before was a table whose keys are names of the user's
    for part in _without_tags(data, location):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        if isinstance(part, int) or named:
            named = False
            continue
        field = getattr(current, "model_fields", {}).get(part)
        current = _model_of(field.annotation, data) if field is not None else None
        named = field is not None and getattr(field.annotation, "__origin__", None) is dict
    return list(getattr(current, "model_fields", {}))


def _model_of(annotation: Any, data: Any) -> Any:
    """The pydantic model inside an annotation such as ``X | None`` or ``tuple[X, ...]``; of several, that of the table's kind."""
    found = _models_in(annotation)
    kind = data.get("kind") if isinstance(data, dict) else None
    of_kind = [one for one in found if "kind" in one.model_fields and kind in get_args(one.model_fields["kind"].annotation)]
    return next(iter([*of_kind, *found]), None)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models_in(inner)]


def nearest(name: str, known: Sequence[str]) -> str:
    """'did you mean …' with the closest known name, else the list of known names."""
    for close in _close(name, known):
        return f'did you mean "{close}"?'
    return "allowed: " + ", ".join(known)


def _close(name: str, known: Sequence[str]) -> list[str]:
    """The one known name that is closest, if any is close."""
    return difflib.get_close_matches(name, known, n=1, cutoff=0.6)


def fraction(value: float) -> float:
    """A number between 0 and 1 (validator). Raises ValueError otherwise."""
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"read {value}; it must lie between 0 and 1")
    return value
