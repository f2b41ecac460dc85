"""From a design to a case folder of its own: its case.toml, every material it uses, and the hash that names it."""

import copy
import functools
import json
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from coupling.errors import RunFailure, UserError
from coupling.library import TEMPERED, Material
from multiscale.case_folder import material_folders, materials_named
from multiscale.sweeps.designs import Point
from multiscale.sweeps.identity import identity
from multiscale.sweeps.keys import Key
from multiscale.sweeps.settings import Sweep

FORMAT = 1
"""Raised whenever a change of the code changes what a design is."""
LAYER = ("ionic_conductivity", "youngs_modulus", "poissons_ratio")
"""What takes the place of a mixture once one of its properties is set."""


@dataclass(frozen=True)
class Draft:
    """A design ready to be written.

    Attributes:
        point: where it stands in the sweep.
        case: data of its case.toml.
        materials: data of each material file, by name.
        recipe: what else decides the answer: fidelity, molecular dynamics, command, versions of the code.
    """

    point: Point
    case: dict[str, Any]
    materials: dict[str, dict[str, Any]]
    recipe: dict[str, Any]

    @functools.cached_property
    def hash(self) -> str:
        """Name of the design: hash of all that decides its answer."""
        return identity(self.case, self.materials, self.recipe)


def recipe(sweep: Sweep, records: str | None) -> dict[str, Any]:
    """What decides the answers of every design alike. `records` is the hash of the case's MD records, None without MD."""
    settings = sweep.settings
    return {
        "format": FORMAT, "fidelity": settings.fidelity, "md": records,
        "command": list(settings.run.command) if settings.run.command else None,
        "versions": None if settings.run.command else _versions(settings.fidelity),
    }  # fmt: skip


def _versions(fidelity: str) -> list[int]:
    """Versions of the code that computes an answer."""
    if fidelity == "propagation":
        from multiscale.propagation import march

        return [march.FORMAT]
    from multiscale import pipeline
    from multiscale.critical_current import answer

    return [answer.VERSION, pipeline.FORMAT]


def draft(sweep: Sweep, point: Point, common: Mapping[str, Any], shelf: "Shelf") -> Draft:
    """The case of one point; `common` is the sweep's `recipe`.

    Raises:
        UserError: the case is impossible at this point: which key, and which design.
    """
    chosen, removed = point.settings(sweep)
    data: dict[str, Any] = copy.deepcopy(sweep.case.file.data)
    for path in removed:
        _remove(data, sweep.key(path))
    keys = [(sweep.key(path), value) for path, value in chosen.items()]
    for key, value in keys:
        if key.place:
            _set(sweep, data, key, value)
    if sweep.settings.fidelity == "initiation":
        data["physics"] = data["physics"] | {"mechanisms": ["initiation"]}
    if point.replica:
        seeds = data.get("uncertainty", {}).get("microstructures", 1)
        data["geometry"] = data["geometry"] | {"seed": data["geometry"].get("seed", 0) + point.replica * seeds}
    settings = _checked(sweep, point, data)
    _refuse_other_mechanisms(sweep)
    properties = {(key.material, key.quantity): value for key, value in keys if key.material}
    return _with_materials(sweep, point, data, settings, properties, common, shelf)


def _refuse_other_mechanisms(sweep: Sweep) -> None:
    """One mechanism is computed of a case: propagation where it is one of that kind, else initiation. Raises UserError."""
    asked = getattr(sweep.case.settings.physics, "mechanisms", ())
    alone = "propagation" if "propagation" in asked else "initiation"
    if other := sorted(set(asked) - {alone}):
        told = f"a sweep computes {alone} alone, and {sweep.case.file.path} asks for {', '.join(other)} too; "
        raise UserError(f"{sweep.file.path}: {told}take them out of its physics.mechanisms")


def _with_materials(
    sweep: Sweep, point: Point, data: dict[str, Any], settings: Any, properties: dict[tuple[str, str], Any],
    common: Mapping[str, Any], shelf: "Shelf",
) -> Draft:  # fmt: skip
    found = shelf.materials(settings)
    files = {name: shelf.data(material.path) for name, material in found.items()}
    for name in dict.fromkeys(name for name, _ in properties):
        if name not in found:
            continue
        own = {quantity: value for (material, quantity), value in properties.items() if material == name}
        files[name] = _with_properties(sweep, found[name], files[name], own, settings.conditions.temperature)
        use = {f"{name}.{quantity}": "assumed" for quantity in own}
        table = data.get("properties", {})
        data["properties"] = table | {"use": table.get("use", {}) | use}
    used = _used(files, _names(sweep, settings))
    stale = [key for key in data.get("properties", {}).get("use", {}) if key.partition(".")[0] not in used]
    if stale:
        table = data["properties"]
        data["properties"] = table | {"use": {key: kind for key, kind in table["use"].items() if key not in stale}}
    return Draft(point, data, {name: files[name] for name in sorted(used)}, dict(common))


def _used(files: Mapping[str, dict[str, Any]], named: Sequence[str]) -> set[str]:
    """Names of the materials that are still needed once properties have been set: parts of a replaced mixture are not."""
    waiting = list(named)
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting += [part["material"] for part in files[name].get("mixture", {}).get("components", [])]
            waiting += [files[name]["base"]] if files[name].get("base") else []
    return used


def _remove(data: dict[str, Any], key: Key) -> None:
    *tables, last = key.place
    here: Any = data
    for part in tables:
        here = here.get(part, {}) if isinstance(here, dict) else here[part]
    if isinstance(here, dict):
        here.pop(last, None)


def _set(sweep: Sweep, data: dict[str, Any], key: Key, value: Any) -> None:
    """Set a key in place, making tables on the way; a list of tables is never made longer."""
    *tables, last = key.place
    here: Any = data
    for part in tables:
        if isinstance(part, str):
            here = here.setdefault(part, {})
            continue
        if not isinstance(here, list) or part >= len(here):
            raise UserError(f"{sweep.file.path}: {key.path}: the case has no such entry")
        here = here[part]
    here[last] = value


def _checked(sweep: Sweep, point: Point, data: dict[str, Any]) -> Any:
    """The settings of a design. Raises UserError that names the design, the key and what is wrong."""
    try:
        return sweep.kind.model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = [part for part in first["loc"] if not (isinstance(part, str) and "[" in part)]
        inner = first.get("ctx", {}).get("error")
        place += list(getattr(inner, "key", ()))
        name = ".".join(str(part) for part in place if not isinstance(part, int))
        told = str(inner) if inner else _plain(first)
        line = sweep.file.line(_line_of(sweep, name))
        raise UserError(f"{sweep.file.path}:{line}: {name}: {told} (in the design {point.label()})") from None


def _plain(error: Any) -> str:
    if error["type"] == "missing":
        return "this key is missing in the case; set it in [fixed], or choose another key"
    if error["type"] == "literal_error":
        return f"read {error['input']!r}; allowed: {error['ctx']['expected']}"
    return f"read {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}"


def _line_of(sweep: Sweep, name: str) -> tuple[str | int, ...]:
    """The place in sweep.toml that sets a key of the case, as near as can be told."""
    for number, axis in enumerate(sweep.axes):
        if axis.key is not None and ".".join(p for p in axis.key.place if isinstance(p, str)) == name:
            stated = axis.stated
            return ("variable", number, "values" if stated.kind == "list" else "from")
    for number, axis in enumerate(sweep.axes):
        if axis.key is None:
            return ("variable", number, "option")
    return ("fixed", name)


def _names(sweep: Sweep, settings: Any) -> tuple[str, ...]:
    return tuple(name for name, _ in sweep.kind.named(settings))


class Shelf:
    """The material files of a sweep's designs, each read once."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._found: dict[tuple[str, ...], dict[str, Material]] = {}
        self._data: dict[Path, dict[str, Any]] = {}

    def materials(self, settings: Any) -> dict[str, Material]:
        """Every material that a design names. Raises UserError that blames the line of sweep.toml."""
        sweep = self._sweep
        names = _names(sweep, settings)
        if names not in self._found:
            try:
                folders = material_folders(sweep.case.folder)
                self._found[names] = materials_named(sweep.case.file.path, sweep.kind.named(settings), folders)
            except UserError as error:
                words = str(error).partition("unknown material")
                told = f"{words[1]}{words[2]}" if words[1] else str(error)
                raise UserError(f"{sweep.file.path}:{sweep.file.line(_blamed(sweep, told))}: {told}") from None
        return self._found[names]

    def data(self, path: Path) -> dict[str, Any]:
        """What a material file says; not to be changed."""
        if path not in self._data:
            self._data[path] = tomllib.loads(path.read_text(encoding="utf-8"))
        return self._data[path]


def _blamed(sweep: Sweep, told: str) -> tuple[str | int, ...]:
    """The variable whose value stands in a message, else the file."""
    for number, axis in enumerate(sweep.axes):
        if axis.key is not None and any(f'"{value}"' in told for value in axis.stated.values or ()):
            return ("variable", number, "values")
        if any(f'"{value}"' in told for option in axis.stated.option or () for value in option.set.values()):
            return ("variable", number, "option")
    return ("fixed",)


def _with_properties(
    sweep: Sweep, material: Material, data: dict[str, Any], own: Mapping[str, Any], temperature: float
) -> dict[str, Any]:
    """Data of a material file in which some properties are those of the design: exact, assumed, with the sweep as source.

    Raises:
        UserError: the material is a mixture, whose place the set properties take, and one of them is missing.
    """
    changed = copy.deepcopy(data)
    if "mixture" in changed:
        missing = [quantity for quantity in LAYER if quantity not in own]
        if missing:
            told = f"{material.name} is a mixture; where one of its properties is set, all must be: set {', '.join(missing)} too"
            raise UserError(f"{sweep.file.path}:{_line_of_material(sweep, material.name)}: materials.{material.name}: {told}")
        del changed["mixture"]
        changed["note"] = "Its properties are set by a sweep; the mixture of the original file is left out."
    kept = [entry for entry in changed.get("property", []) if entry["quantity"] not in own]
    changed["property"] = kept + [_entry(quantity, value, temperature) for quantity, value in own.items()]
    return changed


def _line_of_material(sweep: Sweep, name: str) -> int:
    for number, axis in enumerate(sweep.axes):
        if axis.key is not None and axis.key.material == name:
            return sweep.file.line(("variable", number, "key"))
    return sweep.file.line(("fixed",))


def _entry(quantity: str, value: Any, temperature: float) -> dict[str, Any]:
    told: dict[str, Any] = {
        "quantity": quantity, "value": str(value), "kind": "assumed", "confidence": "low", "grade": "C",
        "source": "set by a sweep (sweep.toml); exact by definition, no error",
    }  # fmt: skip
    if quantity in TEMPERED:
        told["conditions"] = {"temperature": f"{temperature:.9g} K"}
    return told


def write(made: Draft, folder: Path, md: Path | None = None) -> None:
    """Write a design's folder in one step; nothing happens where it is there already.

    `md` is the folder of the case's finished molecular dynamics, whose runs the design takes over.

    Raises:
        RunFailure: the disk is full or cannot be written.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        try:
            (aside / "materials").mkdir()
            (aside / "case.toml").write_text(tomli_w.dumps(made.case), encoding="utf-8")
            for name, data in made.materials.items():
                (aside / "materials" / f"{name}.toml").write_text(tomli_w.dumps(data), encoding="utf-8")
            told = {"values": dict(made.point.values), "replica": made.point.replica, "recipe": made.recipe}
            (aside / "design.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            if md is not None:
                shutil.copytree(md, aside / "results" / "atomistic", ignore=_all_but_json)
            aside.chmod(0o755)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():  # else another driver was faster
            mend = "mend that and run the same command again"
            raise RunFailure(f"{folder}: cannot be written ({error.strerror}); {mend}") from error


def _all_but_json(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".json") and not (Path(folder) / name).is_dir()]
