"""What a user may write about the mechanics of a transport case: moduli, changes of volume, how the cell is held."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from coupling.toml_input import AtKey, InUnit, Table

Strain = Annotated[float, InUnit("1")]
Shares = tuple[float, float, float]
MOLAR_VOLUME = InUnit("m^3/mol", above=0.0)


def check_shares(shares: Shares | None, key: str) -> None:
    """Shares of a volume change along the axes add up to one. Raises AtKey."""
    if shares is not None and abs(sum(shares) - 1) > 1e-6:
        raise AtKey((key,), f"read {list(shares)}, which add up to {sum(shares):g}; the shares along x, y and z add up to 1")


class MediumMechanics(Table):
    """A medium as an elastic body. Moduli stated here (with a `source`) take the place of the material's.

    Its change of volume has up to three parts. Fixed: `volume_change` alike in all directions, or `strain`, a tensor in the axes
    of the mesh (three numbers: xx, yy, zz; six: xx, yy, zz, yz, xz, xy; in one dimension x is the depth, in two y). By its ions:
    their `partial_molar_volume`. By lithium: `hosts` names the electrode whose plated lithium it takes up, J = V Q/(F volume), of
    which `host_shares` lie along x, y, z (evenly unless given).
    """

    youngs_modulus: Annotated[float, InUnit("Pa", above=0.0)] | None = None
    poissons_ratio: Annotated[float, Field(gt=-1, lt=0.5)] | None = None
    volume_change: Strain | None = None
    strain: tuple[Strain, ...] | None = None
    hosts: Literal["working", "counter"] | None = None
    host_shares: Shares | None = None
    source: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> "MediumMechanics":
        if self.volume_change is not None and self.strain is not None:
            raise AtKey(("strain",), "give volume_change (alike in all directions) or strain (a tensor), not both")
        if self.strain is not None and len(self.strain) not in (3, 6):
            told = f"read {len(self.strain)} numbers; give xx, yy, zz, or xx, yy, zz, yz, xz, xy"
            raise AtKey(("strain",), told)
        for key, value in (("volume_change", self.volume_change), *(("strain", part) for part in self.strain or ())):
            if value is not None and not abs(value) < 0.5:
                raise AtKey((key,), f"read {value:g}; strains are small here (below 50 % in size)")
        if self.host_shares is not None and self.hosts is None:
            raise AtKey(("host_shares",), "it goes with hosts; add that or take this out")
        check_shares(self.host_shares, "host_shares")
        numbers = (self.youngs_modulus, self.poissons_ratio, self.volume_change, self.strain)
        if any(number is not None for number in numbers) and not self.source.strip():
            raise AtKey(("source",), "say where the moduli or the change of volume come from")
        return self


class Mechanics(Table):
    """The cell as an elastic body: stress from changes of volume, the drift of ions in it, and stress-shifted kinetics.

    The counter electrode's end does not move along the depth. `working`: its face is pressed by `stack_pressure`, or held in
    place like the other. `sides`: do not move outwards, or are free. In the plane and in one dimension, what the mesh lacks is
    held. `medium`: tables by the name of the medium; one that is left out has the moduli of its material and keeps its volume.
    """

    stack_pressure: Annotated[float, InUnit("Pa", at_least=0.0)] = 0.0
    working: Literal["pressed", "held"] = "pressed"
    sides: Literal["held", "free"] = "held"
    medium: dict[str, MediumMechanics] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_pressed_or_held(self) -> "Mechanics":
        if self.working == "held" and self.stack_pressure:
            raise AtKey(("stack_pressure",), 'a face that is held in place takes the pressure that comes; working = "pressed"')
        return self
