"""sweep.toml read and checked against the case that it varies."""

import keyword
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from coupling.toml_input import Location, TomlFile, nearest, read, validate
from multiscale.case import Case
from multiscale.sweeps.expressions import ExpressionError, names, parse
from multiscale.sweeps.keys import Key, UnknownKey, all_keys, check_value, find_key, number_of
from multiscale.sweeps.kinds import CaseKind, kind_at
from multiscale.sweeps.schema import SAMPLED, Option, SweepFile, Variable
from multiscale.sweeps.solve import COLUMNS, WITH_ERROR_BAR, WORDS


@dataclass(frozen=True)
class Axis:
    """A variable that has been checked: its name, its key (None for options), and what the file says of it."""

    name: str
    key: Key | None
    stated: Variable

    @property
    def is_numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.key is not None and self.key.kind in ("quantity", "number", "whole")


@dataclass(frozen=True)
class Sweep:
    """A checked sweep of a case.

    Attributes:
        case: of the kind `kind`; a propagation case has what is used of it here alike.
        fixed: settings by key, the same in every design.
    """

    kind: CaseKind
    case: Case
    settings: SweepFile
    file: TomlFile
    axes: tuple[Axis, ...]
    fixed: dict[str, Any]

    def key(self, path: str) -> Key:
        """The key of the case that a dotted path names. Raises UnknownKey."""
        return find_key(path, self.kind.model)

    def axis(self, name: str) -> Axis:
        """The variable of that name. Raises UserError with the known names."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        known = [axis.name for axis in self.axes]
        raise UserError(f'{self.file.path}: no variable "{name}"; {nearest(name, known)}')


def load_sweep(folder: Path) -> Sweep:
    """Read CASE/sweep.toml and check it against the case.

    Raises:
        UserError: the case or the sweep is wrong, with file, line and key.
    """
    kind = kind_at(folder)
    case = kind.load(folder)
    if not (folder / "sweep.toml").is_file():
        raise UserError(f"{folder}: no sweep.toml there; write one, or copy cases/li-lpscl/sweep.toml and edit it")
    file = read(folder / "sweep.toml")
    settings = validate(file, SweepFile)
    axes = tuple(_axis(kind, file, number, variable) for number, variable in enumerate(settings.variable))
    sweep = Sweep(kind, case, settings, file, axes, _fixed(kind, file, settings))
    _check_names(sweep)
    _check_sampling(sweep)
    _check_fidelity(sweep)
    _check_conflicts(sweep)
    _check_search(sweep)
    for number, text in enumerate(settings.constraints):
        _check_expression(file, ("constraints", number), text, {axis.name for axis in axes} | set(all_keys(kind.model)))
    return sweep


def _check_fidelity(sweep: Sweep) -> None:
    """The fidelity is one that this kind of case can have, and propagation takes over no molecular dynamics."""
    if sweep.settings.fidelity not in sweep.kind.fidelities:
        allowed = ", ".join(f'"{name}"' for name in sweep.kind.fidelities)
        told = f"this case asks for {sweep.kind.name}; write {'one of ' if len(sweep.kind.fidelities) > 1 else ''}{allowed}"
        raise UserError(sweep.file.refusal(("fidelity",), told))
    if sweep.kind.fidelities == ("propagation",) and sweep.settings.md != "none":
        raise UserError(sweep.file.refusal(("md",), 'a propagation case runs no molecular dynamics; write "none"'))


def key_at(kind: CaseKind, file: TomlFile, place: Location, path: str) -> Key:
    """The key of a path that stands at `place`. Raises UserError that blames that line."""
    try:
        return find_key(path, kind.model)
    except UnknownKey as error:
        raise UserError(file.complaint(place, str(error))) from None


def _axis(kind: CaseKind, file: TomlFile, number: int, variable: Variable) -> Axis:
    place: Location = ("variable", number)
    if variable.kind == "options":
        assert variable.name is not None
        _check_options(kind, file, place, variable)
        return Axis(_name(file, place, variable.name), None, variable)
    assert variable.key is not None
    key = key_at(kind, file, (*place, "key"), variable.key)
    if key.kind == "other":
        raise UserError(file.refusal((*place, "key"), "it holds no single value; vary a key below it, or use kind \"options\""))
    axis = Axis(_name(file, place, variable.name or _short(key)), key, variable)
    _check_values(file, place, axis)
    return axis


def _short(key: Key) -> str:
    """'interlayer_thickness' of geometry.interlayer.thickness; 'LiF_youngs_modulus' of a material's property."""
    return "_".join(key.path.split(".")[-2:]).replace("-", "_")


def _name(file: TomlFile, place: Location, name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(file.complaint((*place, "name"), f'read "{name}"; write letters, digits and _, no digit first'))
    return name


def _check_values(file: TomlFile, place: Location, axis: Axis) -> None:
    key, stated = axis.key, axis.stated
    assert key is not None
    if stated.kind == "list":
        seen: list[Any] = []
        for value in stated.values or ():
            _value_at(file, (*place, "values"), key, value)
            like = number_of(key, value) if axis.is_numeric else value
            if like in seen:
                raise UserError(file.complaint((*place, "values"), f"{value!r} stands there twice; remove one"))
            seen.append(like)
        return
    if not axis.is_numeric:
        raise UserError(file.refusal((*place, "kind"), f'{key.path} takes no number; use kind "list" with values = [ ... ]'))
    for name, value in (("from", stated.from_), ("to", stated.to)):
        _value_at(file, (*place, name), key, value)
    low, high = number_of(key, stated.from_), number_of(key, stated.to)
    if not low < high:
        raise UserError(file.refusal((*place, "to"), f"it must be above from = {stated.from_!r}"))
    if stated.spacing == "log" and low <= 0:
        raise UserError(file.refusal((*place, "from"), "with spacing = \"log\" it must be above zero"))


def _value_at(file: TomlFile, place: Location, key: Key, value: Any) -> None:
    try:
        check_value(key, value)
    except ValueError as error:
        raise UserError(file.complaint(place, str(error))) from None


def flatten(data: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Dotted keys of nested tables."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= flatten(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat


def _settings_at(kind: CaseKind, file: TomlFile, place: Location, data: dict[str, Any]) -> dict[str, Any]:
    """Checked settings of a [fixed] table or of an option's `set`."""
    flat = flatten(data)
    for path, value in flat.items():
        own = next((p for p in ((*place, path), (*place, *path.split("."))) if p in file.lines), place)
        _value_at(file, own, key_at(kind, file, own, path), value)
    return flat


def _fixed(kind: CaseKind, file: TomlFile, settings: SweepFile) -> dict[str, Any]:
    return _settings_at(kind, file, ("fixed",), settings.fixed)


def _check_options(kind: CaseKind, file: TomlFile, place: Location, variable: Variable) -> None:
    seen: set[str] = set()
    for number, option in enumerate(variable.option or ()):
        here: Location = (*place, "option", number)
        if option.name in seen:
            raise UserError(file.complaint((*here, "name"), f'"{option.name}" is the name of another option; choose a new one'))
        seen.add(option.name)
        _settings_at(kind, file, (*here, "set"), option.set)
        for path in option.remove:
            key_at(kind, file, (*here, "remove"), path)


def option_settings(option: Option) -> dict[str, Any]:
    """Settings of an option by dotted key."""
    return flatten(option.set)


def _check_names(sweep: Sweep) -> None:
    seen: dict[str, int] = {}
    reserved = {"design", "replica", "state", "reason", "number", "fidelity"}
    for number, axis in enumerate(sweep.axes):
        place: Location = ("variable", number, "name" if axis.stated.name else "key")
        if axis.name in seen:
            raise UserError(sweep.file.complaint(place, f'two variables are named "{axis.name}"; give one another name = "..."'))
        if axis.name in reserved:
            raise UserError(sweep.file.complaint(place, f'"{axis.name}" is a column of the table already; choose another name'))
        seen[axis.name] = number


def _check_conflicts(sweep: Sweep) -> None:
    """No key is set twice: by two variables, or by a variable and [fixed]."""
    owners: dict[str, str] = {f"{_place_name(sweep.key(path))}": "[fixed]" for path in sweep.fixed}
    for number, axis in enumerate(sweep.axes):
        paths = [axis.key.path] if axis.key else [p for o in axis.stated.option or () for p in option_settings(o)]
        for name in dict.fromkeys(_place_name(sweep.key(path)) for path in paths):
            if name in owners:
                place: Location = ("variable", number, "key" if axis.key else "option")
                raise UserError(sweep.file.complaint(place, f"{name} is set by {owners[name]} already; remove one"))
            owners[name] = f'the variable "{axis.name}"'
    if sweep.settings.replicas > 1 and "geometry.seed" in owners:
        told = f"replicas vary geometry.seed, which {owners['geometry.seed']} sets; remove one of the two"
        raise UserError(sweep.file.complaint(("replicas",), told))
    if sweep.settings.md == "case" and (found := next((name for name in owners if name.startswith("atomistic.")), None)):
        told = f"the molecular dynamics are the case's own, so {found} cannot be varied; write md = \"none\""
        raise UserError(sweep.file.refusal(("md",), told))


def _place_name(key: Key) -> str:
    return ".".join(str(part) for part in key.place if not isinstance(part, int)) or key.path


def _check_sampling(sweep: Sweep) -> None:
    kinds = {axis.stated.kind for axis in sweep.axes if axis.stated.kind in SAMPLED}
    sampling = sweep.settings.sampling
    if len(kinds) > 1:
        place = ("variable", next(n for n, a in enumerate(sweep.axes) if a.stated.kind in SAMPLED), "kind")
        raise UserError(sweep.file.complaint(place, f"drawn variables must be of one kind; read {' and '.join(sorted(kinds))}"))
    if kinds and sampling is None:
        raise UserError(sweep.file.complaint(("sampling",), f"kind \"{kinds.pop()}\" needs [sampling] with count = ...; add it"))
    if sampling is not None and not kinds:
        raise UserError(sweep.file.complaint(("sampling",), f"no variable is drawn ({', '.join(SAMPLED)}); remove this table"))
    if sampling is not None and isinstance(sampling.count, tuple) and kinds != {"latin-hypercube"}:
        told = "only a Latin hypercube takes a list of blocks; write one number"
        raise UserError(sweep.file.complaint(("sampling", "count"), told))


def _check_search(sweep: Sweep) -> None:
    """Objectives and limits name numbers that the designs will have."""
    wanted = sweep.settings.search
    if wanted is None:
        return
    known = [*COLUMNS, *(axis.name for axis in sweep.axes)]
    words = {*WORDS, *(axis.name for axis in sweep.axes if not axis.is_numeric)}
    without_error = sweep.settings.fidelity in ("screening", "best-values")
    for number, objective in enumerate(wanted.objective):
        place: Location = ("search", "objective", number, "of")
        if objective.of not in known:
            raise UserError(sweep.file.complaint(place, f'unknown name "{objective.of}"; {nearest(objective.of, known)}'))
        if objective.of in words:
            raise UserError(sweep.file.complaint(place, f'"{objective.of}" holds no numbers; choose another name'))
        if without_error and objective.of in WITH_ERROR_BAR:
            told = f'fidelity "{sweep.settings.fidelity}" gives no {objective.of}; write "ccd_best_values"'
            raise UserError(sweep.file.complaint(place, told))
    for number, text in enumerate(wanted.limits):
        _check_expression(sweep.file, ("search", "limits", number), text, set(known))


def _check_expression(file: TomlFile, place: Location, text: str, known: set[str]) -> None:
    try:
        unknown = sorted(names(parse(text)) - known)
        if unknown:
            raise ExpressionError(f'unknown name "{unknown[0]}"; {nearest(unknown[0], sorted(known))}')
    except ExpressionError as error:
        raise UserError(file.complaint(place, f'read "{text}"; {error}')) from None


