"""Material files: sourced numbers that a person can read, and mixtures made of other materials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from coupling.errors import UserError
from coupling.record import Property
from coupling.toml_input import Table, TomlFile, nearest, read, validate
from coupling.units import UnitError, to_si

QUANTITIES: dict[str, str] = {
    "ionic_conductivity": "S/m",
    "conductivity_ratio": "1",
    "youngs_modulus": "Pa",
    "poissons_ratio": "1",
    "fracture_toughness": "Pa m^0.5",
    "toughness_ratio": "1",
    "exchange_current_density": "A/m^2",
    "cathodic_transfer_coefficient": "1",
    "mechanical_transfer_coefficient": "1",
    "molar_volume": "m^3/mol",
    "creep_reference_rate": "1/s",
    "creep_reference_stress": "Pa",
    "creep_exponent": "1",
    "creep_activation_energy": "J/mol",
    "creep_size_factor": "1",
    "self_diffusivity": "m^2/s",
    "activation_energy": "J/mol",
    "surface_energy": "J/m^2",
    "work_of_adhesion": "J/m^2",
    "interfacial_resistance": "ohm m^2",
}
"""Quantities a material file may state and the SI unit each is held in."""


class PropertyEntry(Table):
    """One [[property]] table of a material file.

    `confidence` says whether the number was read in its source; `grade` (A to C) how far it can be trusted.
    """

    quantity: str
    value: str
    stderr: str | None = None
    range: tuple[str, str] | None = None
    bound: Literal["upper", "lower"] | None = None
    conditions: dict[str, str | float] = Field(default_factory=dict)
    kind: Literal["measured", "derived", "assumed", "md"]
    source: str = Field(min_length=1)
    confidence: Literal["verified", "memory", "computed", "low"]
    grade: Literal["A", "B", "C"]
    note: str = ""


class Component(Table):
    """One phase of a mixture with its amount per formula of reaction."""

    material: str
    moles: float = Field(gt=0)


class Mixture(Table):
    """A material made of phases; its effective properties lie between Hashin–Shtrikman bounds."""

    components: tuple[Component, ...] = Field(min_length=2)
    source: str = Field(min_length=1)


class MaterialFile(Table):
    """What a material file may hold."""

    name: str
    note: str = ""
    base: str | None = None
    mixture: Mixture | None = None
    property: tuple[PropertyEntry, ...] = ()

    @model_validator(mode="after")
    def _something_is_said(self) -> "MaterialFile":
        if not (self.property or self.mixture):
            raise ValueError("a material needs at least one [[property]] or a [mixture]")
        return self


@dataclass(frozen=True)
class Material:
    """A named material: its stated properties, what it is made of, and the material it modifies.

    Attributes:
        base: for a grain boundary, the bulk material that its ratios (conductivity_ratio …) refer to.
    """

    name: str
    properties: tuple[Property, ...]
    mixture: Mixture | None
    base: str | None
    path: Path


def _number(file: TomlFile, location: tuple[str | int, ...], text: str, unit: str) -> float:
    try:
        return to_si(text, unit)
    except UnitError as error:
        raise UserError(file.complaint(location, str(error))) from None


def _conditions(file: TomlFile, index: int, entry: PropertyEntry) -> dict[str, Any]:
    known = {"temperature": ("temperature_K", "K"), "pressure": ("pressure_Pa", "Pa")}
    out: dict[str, Any] = {}
    for key, value in entry.conditions.items():
        if key in known:
            name, unit = known[key]
            out[name] = _number(file, ("property", index, "conditions"), str(value), unit)
        else:
            out[key] = value
    return out


def _property(file: TomlFile, material: str, index: int, entry: PropertyEntry) -> Property:
    where = ("property", index)
    if entry.quantity not in QUANTITIES:
        hint = nearest(entry.quantity, list(QUANTITIES))
        raise UserError(file.complaint((*where, "quantity"), f'unknown quantity "{entry.quantity}"; {hint}'))
    unit = QUANTITIES[entry.quantity]
    low, high = (None, None) if entry.range is None else (
        _number(file, (*where, "range"), text, unit) for text in entry.range
    )  # fmt: skip
    try:
        return Property(
            material=material, quantity=entry.quantity, unit=unit, bound=entry.bound, low=low, high=high,
            value=_number(file, (*where, "value"), entry.value, unit),
            stderr=None if entry.stderr is None else _number(file, (*where, "stderr"), entry.stderr, unit),
            conditions=_conditions(file, index, entry), kind=entry.kind, confidence=entry.confidence,
            source={"reference": entry.source, "file": file.path.name, "grade": entry.grade}
            | ({"note": entry.note} if entry.note else {}),
        )  # fmt: skip
    except ValueError as error:
        raise UserError(file.complaint(where, str(error))) from None


def read_material(path: str | Path) -> Material:
    """Read one material file.

    Raises:
        UserError: wrong key, unit, quantity or value, with file and line.
    """
    file = read(path)
    entries = validate(file, MaterialFile)
    properties = tuple(_property(file, entries.name, i, entry) for i, entry in enumerate(entries.property))
    return Material(entries.name, properties, entries.mixture, entries.base, Path(path))


def find_material(name: str, folders: Sequence[Path]) -> Material:
    """The material `name` from the first folder that holds ``name.toml``.

    Raises:
        UserError: no folder holds it; the message lists the known names.
    """
    for folder in folders:
        path = folder / f"{name}.toml"
        if path.is_file():
            return read_material(path)
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise UserError(f'unknown material "{name}"; {nearest(name, known)}')


ORDER: tuple[str, ...] = ("md", "measured", "derived", "assumed")
"""Which kind of number wins where several are known, unless the case says otherwise."""


def choose(candidates: Iterable[Property], order: Sequence[str] = ORDER) -> list[Property]:
    """Candidates, the one to use first: by kind in `order`, an estimate before a bound within one kind."""
    return sorted(candidates, key=lambda p: (order.index(p.kind), p.bound is not None))


