"""Which media a transport case has, which regions of the mesh each covers, and what these are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from coupling.errors import UserError
from coupling.toml_input import Location, Table, TomlFile, nearest
from multiscale.conduction.case import regions
from multiscale.conduction.schema import Region, Structure
from multiscale.transport_cases.face_schema import GrainBoundaries
from multiscale.transport_cases.schema import CellGeometry, SolidCell, TransportFile

SOLID_NAMES = {"interphase": "interlayer", "grain": "electrolyte"}
"""Media of a layered cell in 3-D by the names of its regions."""


@dataclass(frozen=True)
class Substance:
    """What one medium is made of.

    Attributes:
        regions: of the mesh that it covers, each with what it conducts and the key that says so; a flat cell's has its
            own name alone.
        boundaries: its grain boundaries and the key that tells them, or None.
    """

    regions: dict[str, tuple[Region, Location]]
    boundaries: tuple[GrainBoundaries, Location] | None = None

    @property
    def materials(self) -> list[str]:
        """Materials of its regions."""
        return list(dict.fromkeys(region.material for region, _ in self.regions.values() if region.material is not None))


def is_structure(geometry: Any) -> bool:
    """Whether a geometry names its regions and boundaries itself, instead of being a stack of flat layers."""
    return isinstance(geometry, Structure) and not isinstance(geometry, CellGeometry)


def substances(settings: TransportFile, file: TomlFile) -> dict[str, Substance]:
    """Every medium of a case; of a flat cell in the order from the working electrode.

    Raises:
        UserError: a region of a structure that no medium covers or two do, or a medium with regions that do not exist.
    """
    geometry = settings.geometry
    if not is_structure(geometry):
        return _layers(geometry)
    known = {_medium_name(geometry, name): found for name, found in regions(geometry).items()}
    taken: dict[str, str] = {}
    media: dict[str, Substance] = {}
    for name, transport in settings.transport.items():
        covered = transport.regions or (name,)
        for region in covered:
            key: Location = ("transport", name, "regions") if transport.regions else ("transport", name)
            if region not in known:
                raise UserError(file.complaint(key, unknown_region(region, list(known))))
            if region in taken:
                raise UserError(file.complaint(key, f'region "{region}" belongs to medium {taken[region]} already'))
            taken[region] = name
        boundaries = None
        if transport.grain_boundary is not None:
            boundaries = transport.grain_boundary, ("transport", name, "grain_boundary")
        elif isinstance(geometry, SolidCell) and name == "electrolyte" and geometry.electrolyte.grain_boundary is not None:
            boundaries = geometry.electrolyte.grain_boundary, ("geometry", "electrolyte", "grain_boundary")
        media[name] = Substance({region: known[region] for region in covered}, boundaries)
    for region in known:
        if region not in taken:
            told = f"[transport.{region}] is missing: say how ions move in {region}, or add it to the regions of a medium"
            raise UserError(file.complaint(("transport",), told))
    return media


def unknown_region(name: str, known: Sequence[str]) -> str:
    """What to tell of a region that the geometry does not have."""
    listed, hint = ", ".join(known), nearest(name, list(known))
    told = f'the geometry has no region "{name}"; it has: {listed}'
    return f"{told}; {hint}" if hint.startswith("did") else told


def refuse_unknown_media(file: TomlFile, model: type[Table]) -> None:
    """Look at the names under [transport] before their tables: a misspelt one would be told as missing keys. Raises UserError.

    A geometry that is wrong itself, and media that list their regions, are left to the checks that follow.
    """
    told = file.data.get("transport")
    try:
        geometry = model.model_validate(file.data.get("geometry"))
        flat = not is_structure(geometry)
        known = list(geometry.media) if flat else [_medium_name(geometry, n) for n in regions(geometry)]  # type: ignore[attr-defined]
    except (ValidationError, UserError):
        return
    for name, table in told.items() if isinstance(told, dict) else ():
        listed = isinstance(table, dict) and "regions" in table
        if name not in known and not listed:
            raise UserError(file.complaint(("transport", name), unknown_region(name, known)))


def _medium_name(geometry: Any, region: str) -> str:
    return SOLID_NAMES.get(region, region) if isinstance(geometry, SolidCell) else region


def _layers(geometry: CellGeometry) -> dict[str, Substance]:
    if geometry.interlayer and geometry.electrolyte:
        ceramic = geometry.electrolyte
        layer: Location = ("geometry", "interlayer")
        grains: Location = ("geometry", "electrolyte")
        return {
            "interlayer": Substance({"interlayer": (Region(material=geometry.interlayer.material), layer)}),
            "electrolyte": Substance(
                {"electrolyte": (Region(material=ceramic.material), grains)},
                (ceramic.grain_boundary, ("geometry", "electrolyte", "grain_boundary")),
            ),
        }
    return {
        layer.name: Substance({layer.name: (Region(material=layer.material), ("geometry", "layer", k))})
        for k, layer in enumerate(geometry.layer)
    }
