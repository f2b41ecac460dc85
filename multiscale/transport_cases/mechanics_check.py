"""Whether what a transport case says of mechanics and of moving faces belongs together."""

from coupling.constants import LITHIUM_MOLAR_VOLUME
from coupling.errors import UserError
from coupling.toml_input import Location, TomlFile, nearest
from multiscale.transport_cases.cell import COUNTER, WORKING
from multiscale.transport_cases.schema import TransportFile

LITHIUM = "Li+"
OF_LITHIUM = f'"{LITHIUM_MOLAR_VOLUME * 1e6:g} cm^3/mol", 6.94 g/mol over 534 kg/m^3, CRC Handbook'
"""Molar volume of the metal, with its source, as a case may state it."""


def check_mechanics(file: TomlFile, settings: TransportFile, media: list[str]) -> None:
    """Names exist, and what belongs together is there. Raises UserError with the key."""
    told = settings.mechanics
    for name in told.medium if told else ():
        if name not in media:
            unknown = f"the geometry has no such medium; {nearest(name, media)}"
            raise UserError(file.complaint(("mechanics", "medium", name), unknown))
    for name, transport in settings.transport.items():
        for number, ion in enumerate(transport.species):
            if ion.partial_molar_volume is not None and told is None:
                key: Location = ("transport", name, "species", number, "partial_molar_volume")
                raise UserError(file.complaint(key, "it acts through stress: add a table [mechanics], or take it out"))
    for side in (WORKING, COUNTER):
        _check_electrode(file, settings, side, media)


def _check_electrode(file: TomlFile, settings: TransportFile, side: str, media: list[str]) -> None:
    electrode, told, key = getattr(settings.electrode, side), settings.mechanics, ("electrode", side)
    laws = [(key, electrode), *(((*key, "on", name), law) for name, law in electrode.on.items())]
    for where, law in laws:
        if law.mechanical_transfer is not None and told is None:
            needed = "it needs a table [mechanics]; add one or take it out"
            raise UserError(file.complaint((*where, "mechanical_transfer"), needed))
    hosts = [name for name, medium in (told.medium if told else {}).items() if medium.hosts == side]
    if len(hosts) > 1:
        where = ("mechanics", "medium", hosts[1], "hosts")
        raise UserError(file.complaint(where, f"{hosts[0]} takes that lithium up already; one medium can"))
    if electrode.moves is not None:
        _check_moving(file, settings, side, media)
        if electrode.molar_volume is None:
            needed = "the face moves by what is plated: add molar_volume and its source"
            raise UserError(file.refusal((*key, "moves"), f"{needed} (of lithium: {OF_LITHIUM})"))
    needs = told is not None or electrode.moves is not None
    if needs and electrode.ion != LITHIUM and electrode.molar_volume is None:
        raise UserError(file.complaint((*key, "molar_volume"), f"missing: how much the metal of {electrode.ion} takes up"))
    if not needs and electrode.molar_volume is not None:
        raise UserError(file.complaint((*key, "molar_volume"), "nothing depends on it here; it goes with moves or [mechanics]"))


def _check_moving(file: TomlFile, settings: TransportFile, side: str, media: list[str]) -> None:
    key: Location = ("electrode", side, "moves")
    geometry = settings.geometry
    if geometry.kind != "layers" or geometry.contact is not None:
        told = 'faces move in cells of flat layers alone (kind = "layers", without a contact), where all of a face moves alike'
        raise UserError(file.complaint(key, told))
    if settings.mechanics is not None:
        told = "stress is computed in a cell of fixed size: take moves or [mechanics] out; hosts swells a medium by lithium"
        raise UserError(file.complaint(key, told))
    medium = media[0] if side == WORKING else media[-1]
    if settings.transport[medium].fixed_charge is not None:
        raise UserError(file.complaint(key, f"the fixed charge of {medium} cannot move; take one of the two out"))
