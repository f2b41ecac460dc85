"""A transport case: a case folder whose case.toml has a [transport] table, checked before anything long starts."""

import itertools
from pathlib import Path

from coupling.errors import UserError
from coupling.toml_input import Location, TomlFile, nearest, read, validate
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.transport_cases.schema import Reaction, TransportFile


class TransportCase(CaseFolder[TransportFile]):
    """A checked transport case."""


def is_transport_case(folder: str | Path) -> bool:
    """Whether a case folder holds a transport case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    return "transport" in read(Path(folder) / "case.toml").data


def load_transport_case(folder: str | Path) -> TransportCase:
    """Read and check a transport case.

    Raises:
        UserError: any wrong key, unit or value, names that do not belong together, an unknown material.
    """
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, TransportFile)
    _check_names(file, settings)
    return TransportCase(folder, settings, materials_named(file.path, named_materials(settings), material_folders(folder)), file)


def _check_names(file: TomlFile, settings: TransportFile) -> None:
    """Media, ions and interfaces that are named exist, and none is left out."""
    media = list(settings.geometry.media)
    for name in settings.transport:
        if name not in media:
            raise UserError(file.complaint(("transport", name), f"the geometry has no such medium; {nearest(name, media)}"))
    for name in media:
        if name not in settings.transport:
            raise UserError(file.complaint(("transport",), f"[transport.{name}] is missing: say how ions move in {name}"))
    for side, medium in (("working", media[0]), ("counter", media[-1])):
        _check_ion(file, settings, ("electrode", side, "ion"), medium, getattr(settings.electrode, side).ion)
    pairs = list(itertools.pairwise(media))
    found = []
    for number, junction in enumerate(settings.interface):
        key: Location = ("interface", number, "between")
        if junction.between not in pairs:
            told = ", ".join(f'["{a}", "{b}"]' for a, b in pairs) or "none: there is one medium only"
            raise UserError(file.refusal(key, f"no such interface; there are: {told}"))
        if junction.between in found:
            raise UserError(file.refusal(key, "this interface is described twice"))
        found.append(junction.between)
        for medium in junction.between:
            _check_ion(file, settings, ("interface", number, "ion"), medium, junction.ion)
    for first, second in pairs:
        if (first, second) not in found:
            told = f"[[interface]] of {first} and {second} is missing: give its resistance or charge transfer"
            raise UserError(file.complaint(("interface",), told))


def _check_ion(file: TomlFile, settings: TransportFile, key: Location, medium: str, ion: str) -> None:
    species = settings.transport[medium].species
    known = [s.name for s in species if s.charge]
    if ion not in known:
        raise UserError(file.refusal(key, f"{medium} has no such charged ion; {nearest(ion, known)}"))


def named_materials(settings: TransportFile) -> list[tuple[str, Location]]:
    """Every material that the case names, with the key that names it."""
    geometry = settings.geometry
    named: list[tuple[str, Location]] = []
    for number, layer in enumerate(geometry.layer):
        named.append((layer.material, ("geometry", "layer", number, "material")))
    if geometry.interlayer and geometry.electrolyte:
        named.append((geometry.interlayer.material, ("geometry", "interlayer", "material")))
        named.append((geometry.electrolyte.material, ("geometry", "electrolyte", "material")))
        named.append((geometry.electrolyte.grain_boundary.material, ("geometry", "electrolyte", "grain_boundary")))
    reactions: list[tuple[Location, Reaction]] = [
        (("electrode", "working"), settings.electrode.working), (("electrode", "counter"), settings.electrode.counter),
        *((("interface", number), junction) for number, junction in enumerate(settings.interface)),
    ]  # fmt: skip
    named += [(r.charge_transfer, (*key, "charge_transfer")) for key, r in reactions if r.charge_transfer]
    return named
