"""What case.toml of a propagation case may hold: its tables, each key with its unit, checked as far as one file allows."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from coupling.toml_input import AtKey, Flag, InUnit, Source, Table, Whole, require_within
from multiscale.case import Choice, Conditions, GrainBoundary, Inhomogeneity, Interface, Uncertainty
from multiscale.case_units import Length, MouthWidth, refuse_others, refuse_twice
from multiscale.propagation.protocols import Bisection, ConstantCurrent, Cycling, Ramp, Seconds, Steps, surroundings

Protocol = Annotated[Steps | ConstantCurrent | Cycling | Ramp | Bisection, Field(discriminator="kind")]


class Anisotropy(Table):
    """Cubic stiffness of the grains: Zener's ratio 2 C44/(C11 - C12) beside the isotropic moduli of the material.

    `angle`: of the crystal about the third direction, in every grain; without it each grain is turned at random (seeded).
    """

    zener_ratio: Annotated[float, Field(ge=0.1, le=10)]
    angle: Annotated[float, InUnit("rad")] | None = None
    source: Source


class Slab(Table):
    """The electrolyte between lithium and counter electrode: one grain, or a polycrystal of `grain_size` with boundaries."""

    material: str
    thickness: Length
    grain_size: Length | None = None
    grain_boundary: GrainBoundary | None = None
    anisotropy: Anisotropy | None = None

    @model_validator(mode="after")
    def _boundaries_need_grains(self) -> "Slab":
        if self.grain_boundary and not self.grain_size:
            raise AtKey(("grain_boundary",), "a grain boundary needs a grain_size beside it")
        return self


class Line(Table):
    """A lithium-filled crack normal to the lithium surface, infinite in the third direction."""

    depth: Length
    depth_range: tuple[Length, Length] | None = None
    mouth: MouthWidth
    at: Literal["grain", "grain-boundary"] = "grain"
    source: Source

    @model_validator(mode="after")
    def _depth_lies_in_its_range(self) -> "Line":
        require_within("depth", self.depth, self.depth_range)
        return self


class LineFlaw(Table):
    """A cell with one flaw in its middle; sides are mirrors (rollers, insulating). `seed`: of grains and random fields."""

    kind: Literal["line-flaw"]
    dimension: Literal[2]
    width: Length
    seed: Annotated[Whole, Field(ge=0)] = 0
    electrolyte: Slab
    inhomogeneity: Inhomogeneity | None = None
    flaw: Line

    def even(self) -> "LineFlaw":
        """The same cell without random fields and crystal orientation."""
        electrolyte = self.electrolyte.model_copy(update={"anisotropy": None})
        return self.model_copy(update={"inhomogeneity": None, "electrolyte": electrolyte})

    @property
    def uneven(self) -> bool:
        """Whether left and right differ, so that the whole cell must be meshed."""
        return bool(self.electrolyte.grain_size or self.electrolyte.anisotropy or self.inhomogeneity)

    @model_validator(mode="after")
    def _flaw_fits(self) -> "LineFlaw":
        deepest, key = (self.flaw.depth_range or (0, self.flaw.depth))[1], "depth_range" if self.flaw.depth_range else "depth"
        if deepest > 0.6 * self.electrolyte.thickness:
            raise AtKey(("flaw", key), "at most 0.6 of the electrolyte's thickness; make it smaller")
        if self.width < 4 * deepest:
            raise AtKey(("width",), "at least four times the flaw's depth; make the cell wider")
        if self.flaw.at == "grain-boundary" and not self.electrolyte.grain_size:
            raise AtKey(("flaw", "at"), 'only a polycrystal has boundaries; give electrolyte.grain_size or write "grain"')
        if self.flaw.mouth > 0.2 * self.flaw.depth:
            raise AtKey(("flaw", "mouth"), "at most a fifth of the depth; make it narrower")
        return self


class ContactWear(Table):
    """Contact that stripping half cycles take from the lithium: voids in a layer of `depth`, of which plating fills `refilled` of
    its own volume; creep and vacancies close them. `voids`: material file with what that needs (`mechanics/interface_wear.py`).
    """

    voids: str
    depth: Length
    refilled: Annotated[float, Field(ge=0, le=1)]
    source: Source


class WearingInterface(Interface):
    """The lithium side, whose contact may wear."""

    wear: ContactWear | None = None


class CellConditions(Conditions):
    """Temperature, stack pressure, and residual stress of the electrolyte along the lithium's face (tension positive)."""

    residual_stress: Annotated[float, InUnit("Pa")] = 0.0


class Fatigue(Table):
    """Toughness that cycling takes away: none until a place has taken up `threshold` times the energy density that breaks it at
    once (AT1: 3 Gc/16 l), then f = [2 t/(a + t)]², a the sum of all rises of that energy (`mechanics/fatigue.py`).
    """

    threshold: Annotated[float, Field(ge=0.01, le=1e9)]
    source: Source


class Fracture(Table):
    """The phase field: `length` is its l, `elements` the elements per l.

    `band`: half width of the fine strip that the crack may use, by default 3 l, and 8 l where it may turn aside (grains, random
    fields); a run whose crack leaves it stops and says so. `contact`: whether dry faces that the loads of the cell press together
    touch, which takes ten times as long; unless given, where the cell has loads and its crack stays straight.
    """

    model: Literal["AT1", "AT2"] = "AT1"
    length: Length
    elements: Annotated[float, Field(ge=2, le=20)] = 3.0
    band: Length | None = None
    split: Literal["none", "volumetric-deviatoric", "no-tension"] = "none"
    fatigue: Fatigue | None = None
    contact: Flag | None = None


SWITCHES = (
    "flux-detour", "mechanical-inhomogeneity", "grain-boundaries", "stress-of-the-cell", "lithium-creep", "pressure-feedback",
    "fatigue", "interface-wear",
)  # fmt: skip
"""What `physics.attribute` can tell the worth of."""
Switch = Literal[
    "flux-detour", "mechanical-inhomogeneity", "grain-boundaries", "stress-of-the-cell", "lithium-creep", "pressure-feedback",
    "fatigue", "interface-wear",
]


class Physics(Table):
    """What is solved, and switches.

    `mechanisms`: "propagation" always; "initiation" adds the steady current at which a sharp flaw of this cell would start
    (even cells without residual stress, wear and fatigue), and the smaller is the answer.
    `lithium_creep`: out of the mouth, and into new crack. `pressure_feedback`: the pressure's shift of the kinetics; without it
    nothing stalls. `flux_detour = false`: the solid conducts without loss, so that the flaw feels the overpotential of the flat
    electrode alone. `mechanical_inhomogeneity = false`: random fields and crystal orientation evened out. `attribute`: each
    switch named is turned off in turn, on a coarse mesh at best values, and what that does to the critical current is told.
    """

    transport: Literal["single-ion"]
    mechanics: Literal["elastic"]
    mechanisms: tuple[Literal["initiation", "propagation"], ...] = Field(min_length=1, max_length=2)
    lithium_creep: Flag = True
    pressure_feedback: Flag = True
    flux_detour: Flag = True
    mechanical_inhomogeneity: Flag = True
    attribute: tuple[Switch, ...] = ()

    @field_validator("mechanisms", mode="before")
    @classmethod
    def _of_this_kind(cls, mechanisms: object) -> object:
        return refuse_others(mechanisms, ("nucleation", "voiding"))

    @model_validator(mode="after")
    def _each_name_once(self) -> "Physics":
        if "propagation" not in self.mechanisms:
            told = 'a flaw that is followed in time needs "propagation"; add it, or take a case of the other kind'
            raise AtKey(("mechanisms",), f"{told} (`multiscale new --kind critical-current`)")
        if len(set(self.mechanisms)) < len(self.mechanisms):
            raise AtKey(("mechanisms",), '"propagation" stands there twice; name each once')
        refuse_twice(self.attribute)
        return self


class TimeSteps(Table):
    """Time steps; one in which the crack grows by more than `growth` of the phase-field length is halved and tried again."""

    first: Seconds
    smallest: Seconds
    largest: Seconds
    growth: Annotated[float, Field(gt=0, le=10)] = 1.5
    most: Annotated[Whole, Field(ge=1, le=1_000_000)] = 2000

    @model_validator(mode="after")
    def _in_order(self) -> "TimeSteps":
        if not self.smallest <= self.first <= self.largest:
            raise AtKey(("first",), "steps must be in order: smallest, first, largest")
        return self


class PropagationFile(Table):
    """What case.toml of a propagation case may hold."""

    title: str
    question: str
    geometry: LineFlaw
    interface: WearingInterface
    conditions: CellConditions
    physics: Physics
    fracture: Fracture
    protocol: Protocol
    time: TimeSteps
    properties: Choice = Choice()
    uncertainty: Uncertainty | None = None

    @property
    def straight(self) -> bool:
        """Whether the crack stays on the line of the flaw, so that half of the cell is enough."""
        return not (self.geometry.even() if not self.physics.mechanical_inhomogeneity else self.geometry).uneven

    @property
    def both(self) -> bool:
        """Whether initiation is told beside propagation."""
        return "initiation" in self.physics.mechanisms

    def of_its_own(self) -> str | None:
        """The key of [conditions] that a step or the conditioning sets otherwise for itself; None where all keep the case's."""
        for key in ("temperature", "stack_pressure"):
            wanted = getattr(self.conditions, key)
            if any(getattr(hold, key) not in (None, wanted) for hold in surroundings(self.protocol)):
                return key
        return None

    def no_initiation(self) -> str | None:
        """Why the model of initiation does not know this cell, and what to do instead; None where it does."""
        instead = "run a case of initiation, then `multiscale ccd CASE --beside OTHER`"
        if not self.straight:
            return f"it draws grains and random fields of its own, so the two would not be one cell; {instead}"
        if self.conditions.residual_stress:
            return f"it knows no residual stress; {instead}"
        if self.interface.wear or self.fracture.fatigue:
            table = "interface.wear" if self.interface.wear else "fracture.fatigue"
            return f'it knows the unworn interface and the full toughness only; leave [{table}] out, or "initiation"'
        if key := self.of_its_own():
            told = f"it is told at conditions.{key}, and the protocol has a {key} of its own; take it out"
            return f'{told} (or write it in [conditions], where the whole test has the same), or leave "initiation" out'
        if not self.physics.pressure_feedback:
            return 'it is the steady state of a pressure that stalls; leave "initiation" or pressure_feedback = false out'
        if "pressure-feedback" in self.physics.attribute:
            return 'without pressure-feedback it has no answer; leave that name out of attribute, or "initiation"'
        if self.uncertainty:
            return 'the error bar is that of propagation; leave "initiation" or [uncertainty] out'
        return None

    @property
    def idle_switches(self) -> dict[str, str]:
        """Switches whose physics is not in the case, and what would put it there."""
        uneven = self.geometry.inhomogeneity or self.geometry.electrolyte.anisotropy
        there = {
            "mechanical-inhomogeneity": (uneven, "[geometry.inhomogeneity] or [geometry.electrolyte.anisotropy]"),
            "grain-boundaries": (self.geometry.electrolyte.grain_boundary, "[geometry.electrolyte.grain_boundary]"),
            "stress-of-the-cell": (self.conditions.stack_pressure or self.conditions.residual_stress, "a stress in [conditions]"),
            "fatigue": (self.fracture.fatigue, "[fracture.fatigue]"),
            "interface-wear": (self.interface.wear, "[interface.wear]"),
        }
        return {name: mend for name, (given, mend) in there.items() if not given}

    @property
    def loaded(self) -> bool:
        """Whether a stack pressure or residual stress acts on the cell, at least in one step."""
        pressed = any(hold.stack_pressure for hold in surroundings(self.protocol))
        return bool(self.conditions.stack_pressure or self.conditions.residual_stress or pressed)

    @property
    def faces_touch(self) -> bool:
        """Whether dry faces of the crack that are pressed together touch (`fracture.contact`)."""
        if self.fracture.contact is not None:
            return self.fracture.contact
        return self.loaded and self.straight and self.fracture.split == "none"

    @model_validator(mode="after")
    def _what_is_there_fits(self) -> "PropagationFile":
        if self.fracture.split != "none" and self.loaded:
            raise AtKey(("fracture", "split"), 'a stack pressure or residual stress goes with split = "none" only')
        if self.interface.wear and not any(hold.current < 0 for hold in surroundings(self.protocol)):
            told = "no step of this test strips, so that nothing wears; add one (protocol.conditioning), or leave the table out"
            raise AtKey(("interface", "wear"), told)
        if self.both and (why := self.no_initiation()):
            raise AtKey(("physics", "mechanisms"), f'"initiation" does not go with this case: {why}')
        if self.physics.attribute and self.protocol.kind not in ("ccd-ramp", "ccd-bisection"):
            told = "the worth of a switch is told for a protocol of kind ccd-ramp or ccd-bisection"
            raise AtKey(("physics", "attribute"), told)
        for name in self.physics.attribute:
            if mend := self.idle_switches.get(name):
                told = f'"{name}" switches nothing off here: add {mend}, or take the name out'
                raise AtKey(("physics", "attribute"), told)
        if self.uncertainty and self.protocol.kind not in ("ccd-ramp", "ccd-bisection"):
            raise AtKey(("uncertainty",), "an error bar goes with a protocol of kind ccd-ramp or ccd-bisection")
        if self.fracture.split != "none" and self.geometry.electrolyte.anisotropy:
            raise AtKey(("fracture", "split"), 'cubic stiffness goes with split = "none" only')
        if self.fracture.band and not 2 * self.fracture.length <= self.fracture.band <= 0.45 * self.geometry.width:
            raise AtKey(("fracture", "band"), "at least twice the length, at most 0.45 of the cell's width")
        if self.fracture.model != "AT1" and self.geometry.electrolyte.grain_boundary:
            raise AtKey(("fracture", "model"), 'the toughness of grain boundaries goes with model = "AT1" only')
        if self.of_its_own() == "temperature" and self.geometry.electrolyte.grain_boundary:
            raise AtKey(("protocol",), "a cell with grain boundaries keeps its temperature; leave the temperatures of steps out")
        if self.fracture.contact and self.fracture.split != "none":
            raise AtKey(("fracture", "contact"), 'contact of dry faces goes with split = "none" only')
        if self.fracture.contact and self.geometry.electrolyte.anisotropy and self.physics.mechanical_inhomogeneity:
            told = "dry faces touch in isotropic material only, whose band has a least energy in closed form"
            raise AtKey(("fracture", "contact"), f"{told}; leave [geometry.electrolyte.anisotropy] out, or the key")
        size = self.geometry.electrolyte.grain_size
        if size and size < 4 * self.fracture.length:
            raise AtKey(("fracture", "length"), "at most a quarter of the grain size; make it smaller")
        shallowest = (self.geometry.flaw.depth_range or (self.geometry.flaw.depth,))[0]
        if self.fracture.length > 0.25 * shallowest:
            raise AtKey(("fracture", "length"), "at most a quarter of the flaw's depth; make it smaller")
        return self
