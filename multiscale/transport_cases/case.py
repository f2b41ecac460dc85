"""A transport case: a case folder whose case.toml has a [transport] table, checked before anything long starts."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coupling.errors import UserError
from coupling.toml_input import Location, TomlFile, nearest, read, validate
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.transport_cases.cell import COUNTER, WORKING
from multiscale.transport_cases.face_schema import Reaction
from multiscale.transport_cases.lithium import metal_ions
from multiscale.transport_cases.mechanics_check import check_mechanics
from multiscale.transport_cases.media import Substance, is_structure, refuse_unknown_media, substances, unknown_region
from multiscale.transport_cases.schema import CELLS, KINDS, TransportFile, file_model, geometry_model


@dataclass(frozen=True)
class TransportCase(CaseFolder[TransportFile]):
    """A checked transport case.

    Attributes:
        media: what each medium is made of.
    """

    media: Mapping[str, Substance] = field(default_factory=dict)

    @property
    def structured(self) -> bool:
        """Whether its geometry names regions and boundaries itself, instead of being a stack of flat layers."""
        return is_structure(self.settings.geometry)

    @property
    def attachments(self) -> list[Path]:
        """Files that the geometry reads."""
        named = [getattr(self.settings.geometry, key, None) for key in ATTACHED]
        return [self.folder / name for name in named if name is not None]

    def complaint(self, error: UserError) -> UserError:
        """An error of a geometry ("geometry.KEY: …") told with file and line."""
        key, colon, message = str(error).partition(": ")
        if not colon or not key.startswith("geometry.") or " " in key:
            return UserError(self.file.complaint(("geometry",), str(error)))
        return UserError(self.file.complaint(tuple(key.split(".")), message))


ATTACHED = ("particles", "image", "file")
"""Keys of a geometry that name a file."""


def is_transport_case(folder: str | Path) -> bool:
    """Whether a case folder holds a transport case. Raises UserError for what is no case folder or no TOML."""
    require_case(Path(folder))
    return "transport" in read(Path(folder) / "case.toml").data


def load_transport_case(folder: str | Path) -> TransportCase:
    """Read and check a transport case.

    Raises:
        UserError: any wrong key, unit or value, names that do not belong together, an unknown material, a missing file.
    """
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    geometry = file.data.get("geometry")
    given = geometry if isinstance(geometry, dict) else {}
    kinds = list(dict.fromkeys([*CELLS, *KINDS]))
    if isinstance(given.get("kind"), str) and given["kind"] not in kinds:
        raise UserError(file.refusal(("geometry", "kind"), nearest(given["kind"], kinds)))
    refuse_unknown_media(file, geometry_model(given.get("kind"), given.get("dimension")))
    settings = validate(file, file_model(given.get("kind"), given.get("dimension")))
    media = substances(settings, file)
    _check_names(file, settings)
    check_mechanics(file, settings, list(media))
    named = [*_of_media(media), *_of_faces(settings)]
    case = TransportCase(folder, settings, materials_named(file.path, named, material_folders(folder)), file, media)
    for key in ATTACHED:
        name = getattr(settings.geometry, key, None)
        if name is not None and not (folder / name).is_file():
            raise UserError(file.refusal(("geometry", key), f"{folder / name}: no such file; paths start at the case folder"))
    return case


def _check_names(file: TomlFile, settings: TransportFile) -> None:
    """Media, ions and interfaces that are named exist, and none is left out (of a structure, what its mesh does not decide)."""
    structured = is_structure(settings.geometry)
    media = list(settings.transport) if structured else list(settings.geometry.media)
    for name, transport in settings.transport.items():
        if name not in media:
            raise UserError(file.complaint(("transport", name), unknown_region(name, media)))
        for given in ("regions", "grain_boundary"):
            if getattr(transport, given) and not structured:
                raise UserError(file.complaint(("transport", name, given), "the media of a flat cell are its layers; drop it"))
    if settings.geometry.kind == "layered-polycrystal" and settings.geometry.dimension == 2:
        thin = settings.geometry.electrolyte.grain_boundary.model == "thin"
        if thin and settings.transport.get("electrolyte") and settings.transport["electrolyte"].closure != "ohm":
            told = 'thin grain boundaries need the closure "ohm"; change one of the two'
            raise UserError(file.refusal(("transport", "electrolyte", "closure"), told))
    for name in media:
        if name not in settings.transport:
            raise UserError(file.complaint(("transport",), f"[transport.{name}] is missing: say how ions move in {name}"))
    for side, medium in (("working", media[0]), ("counter", media[-1])):
        _check_electrode(file, settings, side, None if structured else medium)
    pairs = list(itertools.combinations(media, 2)) if structured else list(itertools.pairwise(media))
    found = []
    for number, junction in enumerate(settings.interface):
        key: Location = ("interface", number, "between")
        if junction.between not in pairs and not (structured and junction.between[::-1] in pairs):
            told = ", ".join(f'["{a}", "{b}"]' for a, b in pairs) or "none: there is one medium only"
            raise UserError(file.refusal(key, f"no such interface; there are: {told}"))
        if set(junction.between) in found:
            raise UserError(file.refusal(key, "this interface is described twice"))
        found.append(set(junction.between))
        for medium in junction.between:
            check_ion(file, settings, ("interface", number, "ion"), medium, junction.ion)
            _refuse_double_layer(file, settings, ("interface", number), medium, junction)
    for first, second in () if structured else pairs:
        if {first, second} not in found:
            raise missing_interface(file, first, second)


def missing_interface(file: TomlFile, first: str, second: str) -> UserError:
    """What to tell where two media touch and nothing says how ions pass."""
    told = f"[[interface]] of {first} and {second} is missing: give its resistance or charge transfer"
    return UserError(file.complaint(("interface",), told))


def _check_electrode(file: TomlFile, settings: TransportFile, side: str, medium: str | None) -> None:
    """Its ion and the media that it names exist; of a flat cell, it touches one medium."""
    electrode, key = getattr(settings.electrode, side), ("electrode", side)
    for name, law in electrode.on.items():
        if medium is not None:
            told = f"of this cell the {side} electrode touches {medium} alone; take the table out"
            raise UserError(file.complaint((*key, "on"), told))
        if name not in settings.transport:
            told = f"the geometry has no such medium; {nearest(name, list(settings.transport))}"
            raise UserError(file.complaint((*key, "on", name), told))
        check_metal_ion(file, settings, (*key, "on", name, "ion"), [name], law.ion)
        _require_same_ion(file, (*key, "on", name, "ion"), law.ion, side, electrode.ion)
        _refuse_double_layer(file, settings, (*key, "on", name), name, law)
    check_metal_ion(file, settings, (*key, "ion"), list(settings.transport) if medium is None else [medium], electrode.ion)
    if medium is not None:
        _refuse_double_layer(file, settings, key, medium, electrode)
    if side == COUNTER:
        _require_same_ion(file, (*key, "ion"), electrode.ion, WORKING, settings.electrode.working.ion)


def check_metal_ion(file: TomlFile, settings: TransportFile, key: Location, media: Sequence[str], ion: str) -> None:
    """An electrode of metal exchanges its own ion with one of some media: a cation, lithium's if there is one. UserError."""
    charges = {s.name: s.charge for name in media for s in settings.transport[name].species}
    known = metal_ions(charges)
    if ion in known:
        return
    where = " or ".join(media)
    if not known:
        raise UserError(file.refusal(key, f"a metal exchanges its own ion, and there is no cation in {where}; add it"))
    told = "a metal exchanges its own ion" if ion in charges else f"no such charged ion in {where}"
    raise UserError(file.refusal(key, f"{told}; {nearest(ion, known)}"))


def _require_same_ion(file: TomlFile, key: Location, ion: str, side: str, other: str) -> None:
    """What enters at one place of the electrodes must leave at the others. Raises UserError."""
    if ion != other:
        told = f"the {side} electrode exchanges {other}: all of both electrodes exchange the same ion"
        raise UserError(file.refusal(key, told))


def check_ion(file: TomlFile, settings: TransportFile, key: Location, medium: str, ion: str) -> None:
    """A medium has a charged ion. Raises UserError at the key."""
    species = settings.transport[medium].species
    known = [s.name for s in species if s.charge]
    if ion not in known:
        raise UserError(file.refusal(key, f"{medium} has no such charged ion; {nearest(ion, known)}"))


def _refuse_double_layer(file: TomlFile, settings: TransportFile, key: Location, medium: str, law: Reaction) -> None:
    """Poisson's equation resolves the double layer; a capacitance beside it would count it twice. Raises UserError."""
    if law.double_layer is not None and settings.transport[medium].closure == "poisson":
        told = f'the closure "poisson" of {medium} resolves the double layer; take it out'
        raise UserError(file.refusal((*key, "double_layer"), told))


def _of_media(media: Mapping[str, Substance]) -> list[tuple[str, Location]]:
    """Materials of the media, with the keys that name them."""
    named: list[tuple[str, Location]] = []
    for substance in media.values():
        for region, key in substance.regions.values():
            if region.material is not None:
                named.append((region.material, (*key, "material")))
        if substance.boundaries is not None:
            named.append((substance.boundaries[0].material, substance.boundaries[1]))
    return named


def faces(settings: TransportFile) -> list[tuple[Location, Reaction]]:
    """Every law of a face, with its key."""
    found: list[tuple[Location, Reaction]] = []
    for side in ("working", "counter"):
        electrode = getattr(settings.electrode, side)
        found.append((("electrode", side), electrode))
        found += [(("electrode", side, "on", medium), law) for medium, law in electrode.on.items()]
    return found + [(("interface", number), junction) for number, junction in enumerate(settings.interface)]


def _of_faces(settings: TransportFile) -> list[tuple[str, Location]]:
    """Materials of the faces, with the keys that name them."""
    named: list[tuple[str, Location]] = []
    for key, law in faces(settings):
        if law.charge_transfer:
            named.append((law.charge_transfer, (*key, "charge_transfer")))
        if law.film is not None and law.film.material:
            named.append((law.film.material, (*key, "film")))
    return named
