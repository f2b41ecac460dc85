"""What every kind of case has: a folder with case.toml, checked settings, the materials it names, a hash of all that decides."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coupling.errors import UserError

if TYPE_CHECKING:
    from coupling.library import Material
    from coupling.toml_input import Location, TomlFile


@dataclass(frozen=True)
class CaseFolder[Settings]:
    """A checked case.

    Attributes:
        folder: of the case. settings: its case.toml, checked.
        materials: every material it names, and those that these rest on (base, components of a mixture).
        file: for complaints with file and line.
    """

    folder: Path
    settings: Settings
    materials: "dict[str, Material]"
    file: "TomlFile"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def attachments(self) -> list[Path]:
        """Other files that decide the answer."""
        return []

    @functools.cached_property
    def digest(self) -> str:
        """Hash (16 hex digits) of case.toml, every material file it uses and every attachment."""
        paths = [self.folder / "case.toml", *sorted(material.path for material in self.materials.values()), *self.attachments]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def material_folders(folder: Path) -> list[Path]:
    """Where material files are looked for: the case's own, beside the case, the product's."""
    shipped = Path(__file__).resolve().parent.parent / "cases" / "_materials"
    return [folder / "materials", folder.resolve().parent / "_materials", shipped]


def require_case(folder: Path) -> None:
    """Refuse what is no case folder. Raises UserError."""
    if folder.is_file():
        mend = f": {folder.parent}" if folder.name == "case.toml" else "; a case folder holds case.toml"
        raise UserError(f"{folder}: give the case folder, not a file{mend}")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such case folder; `multiscale new {folder.name or 'NAME'}` makes one")
    if not (folder / "case.toml").is_file():
        raise UserError(f"{folder}: not a case folder (it holds no case.toml); `multiscale new NAME` makes one")


def materials_named(path: Path, named: "Sequence[tuple[str, Location]]", folders: list[Path]) -> "dict[str, Material]":
    """The materials that the case file at `path` names, and those that they rest on.

    Args:
        named: (material, key that names it).

    Raises:
        UserError: an unknown one; the file and line that name it are blamed.
    """
    from coupling.library import UnknownMaterial, find_material
    from coupling.toml_input import read

    found: dict[str, Material] = {}
    waiting = [(name, path, key) for name, key in named]
    while waiting:
        name, namer, key = waiting.pop(0)
        if name in found:
            continue
        try:
            material = find_material(name, folders)
        except UnknownMaterial as error:
            raise UserError(read(namer).complaint(key, str(error))) from None
        found[name] = material
        if material.base:
            waiting.append((material.base, material.path, ("base",)))
        for number, component in enumerate(material.mixture.components if material.mixture else ()):
            waiting.append((component.material, material.path, ("mixture", "components", number, "material")))
    return found


OTHER_KINDS = {"transport": "ion transport in time", "conduction": "steady conduction", "fracture": "crack propagation"}
"""Tables that mark other kinds of case, and what they ask for."""
OTHER_GEOMETRIES = {"tip-on-polycrystal": "trigger voltages under a tip", "filament-device": "sweeps of a memristor"}
"""Geometries that mark other kinds of case."""


def refuse_other_kinds(file: "TomlFile") -> None:
    """One sentence for a case of another kind, instead of a complaint for each of its keys. Raises UserError."""
    for table, question in OTHER_KINDS.items():
        if isinstance(file.data.get(table), dict):
            told = f"this case asks for {question}; wanted here is one that asks for a critical current of initiation"
            raise UserError(file.complaint((table,), f"{told} (without this table)"))
    geometry = file.data.get("geometry")
    if isinstance(geometry, dict) and geometry.get("kind") in OTHER_GEOMETRIES:
        question = OTHER_GEOMETRIES[geometry["kind"]]
        told = f"this case asks for {question}; wanted here is one that asks for a critical current of initiation"
        raise UserError(file.refusal(("geometry", "kind"), told))
