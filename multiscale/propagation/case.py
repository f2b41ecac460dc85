"""A propagation case: a case folder whose case.toml has a [fracture] table; a lithium filament that cracks its way through."""

from pathlib import Path

from coupling.toml_input import Location, read, validate
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.propagation.settings import PropagationFile as PropagationFile

ELECTROLYTE: Location = ("geometry", "electrolyte", "material")
BOUNDARY: Location = ("geometry", "electrolyte", "grain_boundary", "material")
METAL: Location = ("interface", "metal")
TRANSFER: Location = ("interface", "charge_transfer")
VOIDS: Location = ("interface", "wear", "voids")


class PropagationCase(CaseFolder[PropagationFile]):
    """A checked propagation case."""


def is_propagation_case(folder: str | Path) -> bool:
    """Whether a case folder holds a propagation case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    data = read(Path(folder) / "case.toml").data
    geometry = data.get("geometry")
    return "fracture" in data or (isinstance(geometry, dict) and geometry.get("kind") == "line-flaw")


def load_propagation_case(folder: str | Path) -> PropagationCase:
    """Read and check a propagation case. Raises UserError: a wrong key, unit or value, an unknown material."""
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, PropagationFile)
    return PropagationCase(folder, settings, materials_named(file.path, named(settings), material_folders(folder)), file)


def named(settings: PropagationFile) -> list[tuple[str, Location]]:
    """The materials that a case names, with the keys that name them."""
    electrolyte = settings.geometry.electrolyte
    found: list[tuple[str, Location]] = [
        (electrolyte.material, ELECTROLYTE), (settings.interface.metal, METAL), (settings.interface.charge_transfer, TRANSFER),
    ]  # fmt: skip
    if electrolyte.grain_boundary:
        found.append((electrolyte.grain_boundary.material, BOUNDARY))
    if settings.interface.wear:
        found.append((settings.interface.wear.voids, VOIDS))
    return found
