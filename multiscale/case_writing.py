"""A case in memory as files: keys set in its data, the folder for a moment that checks it, the folder that runs it."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from coupling.errors import UserError

if TYPE_CHECKING:
    from multiscale.api import NotebookCase

_PART = re.compile(r'"([^"]*)"|([^."]+)')


def set_key(data: dict[str, Any], key: str, value: Any) -> None:
    """Set or remove a dotted key in the data of a case.toml; whether the key exists is for the schema to say."""
    parts = [quoted or plain for quoted, plain in _PART.findall(key)]
    if not parts:
        raise UserError('read an empty key; write for example "geometry.width"')
    here: Any = data
    for number, part in enumerate(parts):
        if isinstance(here, list):
            here = _entry(here, parts[:number], part)
            if part.isdigit():
                continue
        if not isinstance(here, dict):
            raise UserError(f"{key}: {'.'.join(parts[:number])} holds one value, so nothing stands below it")
        if number < len(parts) - 1:
            here = here.setdefault(part, {})
        elif value is None:
            here.pop(part, None)
        else:
            here[part] = _as_toml(key, value)


def _entry(tables: list[Any], path: Sequence[str], part: str) -> Any:
    name, number = ".".join(path), int(part) if part.isdigit() else 0
    if not part.isdigit() and len(tables) != 1:
        raise UserError(f"{name}: there are {len(tables)} entries; say which by its number, for example {name}.0.{part}")
    if number >= len(tables):
        raise UserError(f"{name}.{number}: there are {len(tables)} entries, numbered from 0")
    return tables[number]


def _as_toml(key: str, value: Any) -> Any:
    """A value as TOML can hold it: numbers of NumPy become plain, tuples lists. Raises UserError for other things."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): _as_toml(key, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_toml(key, inner) for inner in value]
    if isinstance(value, str | bool | int | float):
        return value
    raise UserError(f'{key}: read {value!r}; write a text such as "1 um", a number, true or false, a list or a table')


@contextmanager
def draft(case: "NotebookCase") -> Iterator[Path]:
    """The case as a folder that lasts for a moment; complaints name the case instead of that folder."""
    with tempfile.TemporaryDirectory(prefix="multiscale-") as temporary:
        folder = Path(temporary) / case.name
        try:
            _fill(case, folder)
            yield folder
        except UserError as error:
            told = re.sub(rf"{re.escape(str(folder))}/case\.toml(:\d+)?: ", f"{case.name}, as changed here: ", str(error))
            raise UserError(told.replace(str(folder), str(case.source))) from None


def _fill(case: "NotebookCase", folder: Path, only: Sequence[Path] | None = None) -> None:
    """Write case.toml, material files (all in reach, or `only` those named) and the files that it reads."""
    (folder / "materials").mkdir(parents=True, exist_ok=True)
    (folder / "case.toml").write_text(tomli_w.dumps(_with_potential(case)), encoding="utf-8")
    for path in _reach(case) if only is None else only:
        shutil.copyfile(path, folder / "materials" / path.name)
    geometry: Any = dict(case.data).get("geometry")
    for key in ("particles", "image", "file") if isinstance(geometry, dict) else ():
        named = geometry.get(key)
        if isinstance(named, str) and not Path(named).is_absolute() and (case.source / named).is_file():
            (folder / named).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(case.source / named, folder / named)


def _with_potential(case: "NotebookCase") -> dict[str, Any]:
    """The data with the path of a potential that starts at the source folder made whole."""
    wanted = case.data.get("atomistic")
    named = wanted.get("potential") if isinstance(wanted, dict) else None
    if not isinstance(named, str) or not named or not (case.source / named).exists():
        return case.data
    assert isinstance(wanted, dict)
    return case.data | {"atomistic": wanted | {"potential": str((case.source / named).resolve())}}


def _reach(case: "NotebookCase") -> list[Path]:
    """Material files of the case's own that a shipped one must not hide: beside it, its own, those added here, in this order."""
    beside = sorted((case.source.resolve().parent / "_materials").glob("*.toml"))
    own = sorted((case.source / "materials").glob("*.toml"))
    return [*beside, *own, *case.materials]


def material_files(case: "NotebookCase") -> list[Path]:
    """The files of every material that the case uses, where they lie now."""
    by_name = {path.name: path for path in _reach(case)}
    used = sorted(material.path for material in case.checked.materials.values())
    return [by_name.get(path.name, path) for path in used]


def write(case: "NotebookCase", target: Path) -> None:
    """The case as a folder of its own. Raises UserError: the folder holds something else, or cannot be made."""
    if target.is_file():
        raise UserError(f"{target}: this is a file; name a folder to write the case into")
    files = material_files(case)
    if (target / "case.toml").is_file():
        same = (target / "case.toml").read_text(encoding="utf-8") == tomli_w.dumps(_with_potential(case))
        kept = [target / "materials" / path.name for path in files]
        if not same or not all(k.is_file() and k.read_bytes() == f.read_bytes() for k, f in zip(kept, files, strict=True)):
            raise UserError(f"{target}: holds another case, or another state of this one; choose another folder, or delete it")
        return
    if target.is_dir() and any(target.iterdir()):
        raise UserError(f"{target}: holds other files; choose a new folder")
    try:
        _fill(case, target, files)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); choose another place") from None
