"""What a user may write about the faces of a transport case: reactions, double layers, films, grain boundaries."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from coupling.toml_input import AtKey, InUnit, Table
from multiscale.case_units import Length
from multiscale.transport_cases.mechanics_schema import MOLAR_VOLUME

Voltage = Annotated[float, InUnit("V")]
Resistance = Annotated[float, InUnit("ohm m^2", above=0.0)]
Conductivity = Annotated[float, InUnit("S/m", above=0.0)]


class FilmLayer(Table):
    """A layer too thin to mesh that the ion passes in series with the reaction: a jump i δ/κ of the potential.

    Conductivity (and, for its capacitance ε/δ, the relative permittivity) are the material's, or stated here with a `source`.
    """

    thickness: Length
    material: str | None = None
    conductivity: Conductivity | None = None
    relative_permittivity: Annotated[float, Field(gt=0)] | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> "FilmLayer":
        if (self.material is None) == (self.conductivity is None):
            raise AtKey((), "a film needs exactly one of material and conductivity")
        if (self.conductivity is not None or self.relative_permittivity is not None) and not self.source.strip():
            raise AtKey((), "say with source where conductivity and relative_permittivity of the film come from")
        return self


class Reaction(Table):
    """Charge transfer: numbers of a material file (`charge_transfer`), or stated here with a `source`.

    `double_layer`: capacitance beside the reaction; unless stated, the `double_layer_capacitance` of the `charge_transfer`
    material, if it has one. `film`: a coating between the reaction and the medium.
    """

    ion: str
    charge_transfer: str | None = None
    exchange_current_density: Annotated[float, InUnit("A/m^2", above=0.0)] | None = None
    anodic_transfer: Annotated[float, Field(gt=0, lt=2)] | None = None
    cathodic_transfer: Annotated[float, Field(gt=0, lt=2)] | None = None
    concentration_exponent: Annotated[float, Field(ge=0, le=4)] | None = None
    equilibrium: Voltage = 0.0
    double_layer: Annotated[float, InUnit("F/m^2", above=0.0)] | None = None
    film: FilmLayer | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> "Reaction":
        resistance = getattr(self, "resistance", None)
        given = [self.charge_transfer, self.exchange_current_density, resistance]
        if sum(value is not None for value in given) != 1:
            more = ", resistance" if hasattr(self, "resistance") else ""
            raise AtKey(("charge_transfer",), f"give exactly one of charge_transfer, exchange_current_density{more}")
        if (self.charge_transfer is None or self.double_layer is not None) and not self.source.strip():
            raise AtKey(("source",), "say where the numbers come from")
        return self


class Junction(Reaction):
    """Passage of an ion between two media: a resistance or kinetics. A `film` lies between the first medium and the passage."""

    between: tuple[str, str]
    resistance: Resistance | None = None


class MetalReaction(Reaction):
    """Charge transfer at a metal. `mechanical_transfer` (with [mechanics]): share αm of the mechanical work that the transition
    state carries; unless stated the material's `mechanical_transfer_coefficient`, else the cathodic transfer coefficient.
    """

    mechanical_transfer: Annotated[float, Field(ge=0, le=1)] | None = None


class Electrode(MetalReaction):
    """A metal. `on`: laws of their own where it touches other media than the most of it, by the medium's name.

    `moves` (flat layers): its face moves with the plating velocity V i/F. "metal": plated metal takes the place of the medium,
    whose immobile ions it sweeps along; "medium": what is plated becomes part of the medium, which grows. `molar_volume`: V of
    the metal, or of what grows, per charge of the ion, with its `source`. `moves` needs it; [mechanics] takes lithium's else.
    """

    on: dict[str, MetalReaction] = Field(default_factory=dict)
    moves: Literal["metal", "medium"] | None = None
    molar_volume: Annotated[float, MOLAR_VOLUME] | None = None

    @model_validator(mode="after")
    def _volume_has_a_source(self) -> "Electrode":
        if self.molar_volume is not None and not self.source.strip():
            raise AtKey(("source",), "say where the molar volume comes from")
        return self


class Electrodes(Table):
    """The two metals; the counter electrode is held at 0 V."""

    working: Electrode
    counter: Electrode


class GrainBoundaries(Table):
    """Grain boundaries of a polycrystal: "meshed" with their width, or "thin", as an element without thickness on the faces
    between grains that conducts across and along itself (for widths of nanometres).
    """

    material: str
    width: Length
    model: Literal["meshed", "thin"] = "meshed"
