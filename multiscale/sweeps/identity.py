"""The name of a design: a hash of all that decides its answer."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from coupling.store import digest

_SILENT = ("title", "question")
"""Keys of case.toml that do not change the answer."""


def identity(case: Mapping[str, Any], materials: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Hash (16 hex digits) of a design; neither titles nor comments change it."""
    decisive = {key: value for key, value in case.items() if key not in _SILENT}
    return digest({"case": decisive, "materials": dict(materials), "recipe": dict(recipe)})


def read_identity(folder: Path) -> str:
    """Hash of what a design's folder holds. Raises UserError where it cannot be read."""
    try:
        case = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
        files = sorted((folder / "materials").glob("*.toml"))
        materials = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in files}
        told = json.loads((folder / "design.json").read_text(encoding="utf-8"))
        return identity(case, materials, told["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: the design cannot be read ({error}); delete the folder and run the sweep again") from None
