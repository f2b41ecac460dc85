"""Material files: sourced numbers that a person can read, and mixtures made of other materials."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from coupling.errors import UserError
from coupling.record import Property
from coupling.toml_input import Source, Table, TomlFile, nearest, read, validate
from coupling.units import UnitError, to_si

_POSITIVE = (0.0, math.inf)
LIMITS: dict[str, tuple[str, tuple[float, float]]] = {
    "ionic_conductivity": ("S/m", _POSITIVE),
    "conductivity_ratio": ("1", _POSITIVE),
    "youngs_modulus": ("Pa", _POSITIVE),
    "poissons_ratio": ("1", (-1.0, 0.5)),
    "fracture_toughness": ("Pa m^0.5", _POSITIVE),
    "toughness_ratio": ("1", _POSITIVE),
    "modulus_ratio": ("1", _POSITIVE),
    "exchange_current_density": ("A/m^2", _POSITIVE),
    "cathodic_transfer_coefficient": ("1", (0.0, 1.0)),
    "mechanical_transfer_coefficient": ("1", (-1e-12, 1.0 + 1e-12)),
    "molar_volume": ("m^3/mol", _POSITIVE),
    "creep_reference_rate": ("1/s", _POSITIVE),
    "creep_reference_stress": ("Pa", _POSITIVE),
    "creep_exponent": ("1", _POSITIVE),
    "creep_activation_energy": ("J/mol", (-1e-12, math.inf)),
    "creep_size_factor": ("1", _POSITIVE),
    "self_diffusivity": ("m^2/s", _POSITIVE),
    "activation_energy": ("J/mol", _POSITIVE),
    "surface_energy": ("J/m^2", _POSITIVE),
    "work_of_adhesion": ("J/m^2", _POSITIVE),
    "interfacial_resistance": ("ohm m^2", _POSITIVE),
    "transference_number": ("1", (0.0, 1.0)),
    "salt_concentration": ("mol/m^3", _POSITIVE),
    "relative_permittivity": ("1", _POSITIVE),
    "interphase_electronic_conductivity": ("S/m", _POSITIVE),
    "contact_electronic_conductivity": ("S/m", _POSITIVE),
    "confinement": ("Pa", (-1e-12, math.inf)),
    "site_density": ("1/m^3", _POSITIVE),
    "hop_length": ("m", _POSITIVE),
    "void_radius": ("m", _POSITIVE),
    "vacancy_supersaturation": ("1", (1.0, math.inf)),
    "vacancy_sink_distance": ("m", _POSITIVE),
    "double_layer_capacitance": ("F/m^2", _POSITIVE),
    "hardness": ("Pa", _POSITIVE),
    "toughness_spread": ("1", _POSITIVE),
    "contact_angle": ("radian", (0.0, math.pi)),
    "electronic_conductivity": ("S/m", _POSITIVE),
    "electrical_resistivity": ("ohm m", _POSITIVE),
    "electron_mean_free_path": ("m", _POSITIVE),
    "tunnel_barrier": ("J", _POSITIVE),
}
"""Quantities a material file may state: the SI unit each is held in, and the open interval its values lie in."""
QUANTITIES = {name: unit for name, (unit, _) in LIMITS.items()}
TEMPERED = frozenset({
    "ionic_conductivity", "self_diffusivity", "exchange_current_density", "conductivity_ratio", "interfacial_resistance",
})  # fmt: skip
"""Quantities that change so fast with temperature that the file must say at which they hold."""


def _not_bare(value: Any, info: ValidationInfo) -> Any:
    """Refuse a bare number with its mend. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    unit = QUANTITIES.get(info.data.get("quantity", ""), "1")
    example = f"{value}" if unit == "1" else f"{value} {unit}"
    raise ValueError(f'read the bare number {value}; write it with its unit in quotes, for example "{example}"')


Quoted = Annotated[str, BeforeValidator(_not_bare)]
"""A number with its unit, in quotes."""


class PropertyEntry(Table):
    """One [[property]] table of a material file.

    `confidence` says whether the number was read in its source; `grade` (A to C) how far it can be trusted.
    """

    quantity: str
    value: Quoted
    stderr: Quoted | None = None
    range: tuple[Quoted, Quoted] | None = None
    bound: Literal["upper", "lower"] | None = None
    conditions: dict[str, str | float] = Field(default_factory=dict)
    kind: Literal["measured", "derived", "assumed", "md"]
    source: Source
    confidence: Literal["verified", "transcribed", "memory", "computed", "low"]
    grade: Literal["A", "B", "C"]
    note: str = ""


class Component(Table):
    """One phase of a mixture with its amount per formula of reaction."""

    material: str
    moles: float = Field(gt=0, lt=1e6)


class Mixture(Table):
    """A material made of phases; its effective properties lie between Hashin–Shtrikman bounds."""

    components: tuple[Component, ...] = Field(min_length=2)
    source: Source


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


def _limited(file: TomlFile, location: tuple[str | int, ...], text: str, quantity: str) -> float:
    """Value of a quantity that lies within its physical limits."""
    unit, (low, high) = LIMITS[quantity]
    value = _number(file, location, text, unit)
    if not low < value < high:
        limits = f"between {low:.3g} and {high:.3g}" if math.isfinite(high) else f"above {low:.3g}"
        raise UserError(file.complaint(location, f'read "{text}"; {quantity} lies {limits} {unit}'))
    return value


_CONDITIONS = {"temperature": ("temperature_K", "K"), "pressure": ("pressure_Pa", "Pa")}


def _conditions(file: TomlFile, index: int, entry: PropertyEntry) -> dict[str, Any]:
    where = ("property", index, "conditions")
    out: dict[str, Any] = {}
    for key, value in entry.conditions.items():
        if key not in _CONDITIONS:
            raise UserError(file.complaint(where, f'unknown condition "{key}"; {nearest(key, list(_CONDITIONS))}'))
        name, unit = _CONDITIONS[key]
        out[name] = _number(file, where, str(value), unit)
    if entry.quantity in TEMPERED and "temperature_K" not in out:
        raise UserError(file.complaint(("property", index), f"{entry.quantity} needs conditions = {{ temperature = ... }}"))
    return out


def _property(file: TomlFile, material: str, index: int, entry: PropertyEntry) -> Property:
    where = ("property", index)
    if entry.quantity not in QUANTITIES:
        hint = nearest(entry.quantity, list(QUANTITIES))
        raise UserError(file.complaint((*where, "quantity"), f'unknown quantity "{entry.quantity}"; {hint}'))
    unit = QUANTITIES[entry.quantity]
    low, high = (None, None) if entry.range is None else (
        _limited(file, (*where, "range"), text, entry.quantity) for text in entry.range
    )  # fmt: skip
    value = _limited(file, (*where, "value"), entry.value, entry.quantity)
    if low is not None and high is not None and not low <= value <= high:
        raise UserError(file.complaint((*where, "range"), f"value {entry.value} lies outside range {list(entry.range or ())}"))
    try:
        return Property(
            material=material, quantity=entry.quantity, unit=unit, bound=entry.bound, low=low, high=high,
            value=value,
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


class UnknownMaterial(UserError):
    """No folder holds a material of that name."""


def find_material(name: str, folders: Sequence[Path]) -> Material:
    """The material `name` from the first folder that holds ``name.toml``.

    Raises:
        UnknownMaterial: no folder holds it; the message lists the known names.
        UserError: its file is wrong.
    """
    for folder in folders:
        path = folder / f"{name}.toml"
        if path.is_file():
            material = read_material(path)
            if material.name != name:
                raise UserError(f'{path}:1: name: read "{material.name}"; it must be the file\'s own name, "{name}"')
            return material
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise UnknownMaterial(f'unknown material "{name}"; {nearest(name, known)}')


ORDER: tuple[str, ...] = ("md", "measured", "derived", "assumed")
"""Which kind of number wins where several are known, unless the case says otherwise."""


def choose(candidates: Iterable[Property], order: Sequence[str] = ORDER, first: str | None = None) -> list[Property]:
    """Candidates, the one to use first: by kind in `order`, with two exceptions.

    A bound gives way to every estimate that it allows: it says less, whatever the kinds, and is used only where no estimate is
    known, or where it contradicts them all. A number of molecular dynamics that is of low confidence (an extrapolation with an
    error larger than itself, say) gives way where there is an estimate that is not. `first`: a kind that goes before all others,
    as it is.
    """
    known = list(candidates)
    estimates = [p for p in known if p.bound is None]

    def gives_way(p: Property) -> bool:
        return p.bound is not None and any(obeys(estimate, p) for estimate in estimates)

    better = any(p.confidence != "low" for p in estimates)

    def doubtful(p: Property) -> bool:
        return better and p.kind == "md" and p.confidence == "low"

    return sorted(known, key=lambda p: (p.kind != first, gives_way(p), doubtful(p), order.index(p.kind), p.bound is not None))


def obeys(estimate: Property, bound: Property) -> bool:
    """Whether an estimate lies on the allowed side of a bound."""
    return estimate.value <= bound.value if bound.bound == "upper" else estimate.value >= bound.value
