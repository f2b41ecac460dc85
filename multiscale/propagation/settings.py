"""What case.toml of a propagation case may hold: its tables, each key with its unit, checked as far as one file allows."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from coupling.toml_input import AtKey, Flag, InUnit, Table, Whole
from multiscale.case import Choice, Conditions, CurrentDensity, Interface, Length, MouthWidth

Current = Annotated[float, InUnit("A/m^2")]
Seconds = Annotated[float, InUnit("s", above=0.0)]


class Slab(Table):
    """The electrolyte between lithium and counter electrode, one grain."""

    material: str
    thickness: Length


class Line(Table):
    """A lithium-filled crack normal to the lithium surface, infinite in the third direction."""

    depth: Length
    mouth: MouthWidth
    source: str = Field(min_length=1)


class LineFlaw(Table):
    """A cell with one flaw in its middle; sides are mirrors (rollers, insulating)."""

    kind: Literal["line-flaw"]
    dimension: Literal[2]
    width: Length
    electrolyte: Slab
    flaw: Line

    @model_validator(mode="after")
    def _flaw_fits(self) -> "LineFlaw":
        if self.flaw.depth > 0.6 * self.electrolyte.thickness:
            raise AtKey(("flaw", "depth"), "at most 0.6 of the electrolyte's thickness; make it smaller")
        if self.width < 4 * self.flaw.depth:
            raise AtKey(("width",), "at least four times the flaw's depth; make the cell wider")
        if self.flaw.mouth > 0.2 * self.flaw.depth:
            raise AtKey(("flaw", "mouth"), "at most a fifth of the depth; make it narrower")
        return self


class CellConditions(Conditions):
    """Temperature, stack pressure, and residual stress of the electrolyte along the lithium's face (tension positive)."""

    residual_stress: Annotated[float, InUnit("Pa")] = 0.0


class Fracture(Table):
    """The phase field: `length` is its l, `elements` the elements per l."""

    model: Literal["AT1", "AT2"] = "AT1"
    length: Length
    elements: Annotated[float, Field(ge=2, le=20)] = 3.0
    split: Literal["none", "volumetric-deviatoric", "no-tension"] = "none"


class Physics(Table):
    """What is solved, and switches: creep of lithium (out of the mouth, into new crack) and the pressure's shift of kinetics."""

    transport: Literal["single-ion"]
    mechanics: Literal["elastic"]
    mechanisms: tuple[Literal["propagation"], ...] = Field(min_length=1, max_length=1)
    lithium_creep: Flag = True
    pressure_feedback: Flag = True


class Hold(Table):
    """One current for a time; negative strips."""

    current: Current
    time: Seconds


class Steps(Table):
    """Currents one after the other, as they are given."""

    kind: Literal["steps"]
    step: tuple[Hold, ...] = Field(min_length=1)


class Ramp(Table):
    """The current is raised from `first` by `increment` after each `hold` until a short or `maximum`."""

    kind: Literal["ccd-ramp"]
    first: CurrentDensity
    increment: CurrentDensity
    maximum: CurrentDensity
    hold: Seconds

    @model_validator(mode="after")
    def _goes_up(self) -> "Ramp":
        if self.maximum < self.first:
            raise AtKey(("maximum",), "maximum must not be below first")
        if (self.maximum - self.first) / self.increment > 1000:
            raise AtKey(("increment",), "more than 1000 steps to the maximum; take a larger one")
        return self

    @property
    def step(self) -> tuple[Hold, ...]:
        """The currents as steps."""
        count = math.floor((self.maximum - self.first) / self.increment * (1 + 1e-12)) + 1
        currents = self.first + self.increment * np.arange(count)
        return tuple(Hold.model_construct(current=float(i), time=self.hold) for i in currents)


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
    interface: Interface
    conditions: CellConditions
    physics: Physics
    fracture: Fracture
    protocol: Annotated[Steps | Ramp, Field(discriminator="kind")]
    time: TimeSteps
    properties: Choice = Choice()

    @model_validator(mode="after")
    def _what_is_there_fits(self) -> "PropagationFile":
        if self.fracture.split != "none" and (self.conditions.stack_pressure or self.conditions.residual_stress):
            raise AtKey(("fracture", "split"), 'a stack pressure or residual stress goes with split = "none" only')
        if self.fracture.length > 0.25 * self.geometry.flaw.depth:
            raise AtKey(("fracture", "length"), "at most a quarter of the flaw's depth; make it smaller")
        return self
