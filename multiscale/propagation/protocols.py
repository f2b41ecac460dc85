"""Tests of propagation cases as data: currents, times or capacities, rests, conditioning, and what counts as a short."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from coupling.toml_input import AtKey, InUnit, Table, Whole
from multiscale.case_units import CurrentDensity, LithiumTemperature, Pressure

Current = Annotated[float, InUnit("A/m^2")]
Seconds = Annotated[float, InUnit("s", above=0.0, at_most=3.2e8, why="ten years")]
Capacity = Annotated[float, InUnit("C/m^2", above=0.0)]
"""Charge density of a step; 1 mAh/cm² is 36 000 C/m²."""
Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Hold:
    """One current (A/m², negative strips) for a time (s), at a temperature (K) and stack pressure (Pa); None: the case's own."""

    current: float
    time: float
    temperature: float | None = None
    stack_pressure: float | None = None


def seconds(current: float, time: float | None, capacity: float | None) -> float:
    """How long a current (A/m²) is held: a time (s), or until a capacity (C/m²) has passed."""
    if time is not None:
        return time
    assert capacity is not None
    return capacity / abs(current)


def _either(table: Any, time: str) -> None:
    """Blame a table that has not just one of its time and its capacity."""
    if (getattr(table, time) is None) == (table.capacity is None):
        raise AtKey((time if table.capacity is None else "capacity",), f"give either {time} or capacity, one of the two")


class Step(Table):
    """One current (negative strips) for a `time`, or until a `capacity` has passed.

    `temperature`, `stack_pressure`: of the cell in this step, where they are not those of [conditions].
    """

    current: Current
    time: Seconds | None = None
    capacity: Capacity | None = None
    temperature: LithiumTemperature | None = None
    stack_pressure: Pressure | None = None

    @model_validator(mode="after")
    def _lasts(self) -> "Step":
        _either(self, "time")
        if self.capacity is not None and self.current == 0:
            raise AtKey(("capacity",), "no charge passes without a current; give the time of the rest")
        return self

    @property
    def hold(self) -> Hold:
        """As the run takes it."""
        return Hold(self.current, seconds(self.current, self.time, self.capacity), self.temperature, self.stack_pressure)


def half_cycles(table: "Cycling | Conditioning") -> tuple[Hold, ...]:
    """Plating and stripping of equal current and charge, a rest after each where one is given, `cycles` times."""
    temperature, pressure = getattr(table, "temperature", None), getattr(table, "stack_pressure", None)
    long = seconds(table.current, table.half_cycle, table.capacity)
    pause = [(0.0, table.rest)] if table.rest > 0 else []
    cycle = [(table.current, long), *pause, (-table.current, long), *pause]
    return tuple(Hold(current, time, temperature, pressure) for current, time in cycle * table.cycles)


class Conditioning(Table):
    """Cycles before the test itself: plating and stripping half cycles of equal current and time (or capacity)."""

    current: CurrentDensity
    half_cycle: Seconds | None = None
    capacity: Capacity | None = None
    rest: Annotated[float, InUnit("s", at_least=0.0)] = 0.0
    cycles: Annotated[Whole, Field(ge=1, le=1000)]
    temperature: LithiumTemperature | None = None
    stack_pressure: Pressure | None = None

    @model_validator(mode="after")
    def _lasts(self) -> "Conditioning":
        _either(self, "half_cycle")
        return self


class Failure(Table):
    """What counts as a short beside bridging, which always does. Neither counts unless given.

    `voltage_drop`: share by which the cell's voltage falls below its largest since the crack last stood in this hold (or below
    that of the cell without a crack at this current, if that is less); `impedance_drop`: the same for the cell's impedance at
    low frequency, dV/di at the working point. While the crack stands nothing counts: a new current is followed by a transient in
    which the pressed lithium of the flaw discharges, and the voltage falls without a short.
    """

    voltage_drop: Share | None = None
    impedance_drop: Share | None = None

    def met(self, rows: Iterable[Any], standing: float, intact: float = math.inf) -> str | None:
        """Which criterion the last of a hold's states (`FilamentState`) meets: "voltage drop", "impedance drop", None.

        Args:
            rows: of the hold.
            standing: crack area up to which the crack has stood since the hold began, m.
            intact: voltage of the cell without a crack at the current of the hold, V.
        """
        held = list(rows)
        grown = next((k for k, row in enumerate(held) if row.crack_area > standing), len(held))
        if grown == len(held):
            return None
        since = held[max(grown - 1, 0) :]
        for share, name in ((self.voltage_drop, "potential"), (self.impedance_drop, "impedance")):
            values = [abs(getattr(row, name)) for row in since]
            volts = name == "potential"
            reference = min(max(values), abs(intact)) if volts else max(values)
            if share is not None and not (volts and held[-1].current_density == 0) and values[-1] <= (1 - share) * reference:
                return "voltage drop" if volts else "impedance drop"
        return None


class Protocol(Table):
    """What every test has: cycles that condition the cell first, and what counts as a short."""

    conditioning: Conditioning | None = None
    failure: Failure = Failure()

    @property
    def before(self) -> tuple[Hold, ...]:
        """The conditioning as holds."""
        return half_cycles(self.conditioning) if self.conditioning else ()


class Steps(Protocol):
    """Currents one after the other, as they are given."""

    kind: Literal["steps"]
    step: tuple[Step, ...] = Field(min_length=1)

    @property
    def own(self) -> tuple[Hold, ...]:
        """The test without its conditioning."""
        return tuple(step.hold for step in self.step)


class ConstantCurrent(Protocol):
    """One current until the short, or for `time`, or until a `capacity` has passed: life and areal charge of the short."""

    kind: Literal["constant-current"]
    current: CurrentDensity
    time: Seconds | None = None
    capacity: Capacity | None = None

    @model_validator(mode="after")
    def _lasts(self) -> "ConstantCurrent":
        _either(self, "time")
        return self

    @property
    def own(self) -> tuple[Hold, ...]:
        """The current as one hold."""
        return (Hold(self.current, seconds(self.current, self.time, self.capacity)),)


class Cycling(Protocol):
    """Plating and stripping half cycles of equal current and time (or capacity), `cycles` times; a rest after each if given."""

    kind: Literal["cycling"]
    current: CurrentDensity
    half_cycle: Seconds | None = None
    capacity: Capacity | None = None
    rest: Annotated[float, InUnit("s", at_least=0.0)] = 0.0
    cycles: Annotated[Whole, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _lasts(self) -> "Cycling":
        _either(self, "half_cycle")
        return self

    @property
    def own(self) -> tuple[Hold, ...]:
        """The half cycles and rests."""
        return half_cycles(self)


class Ramp(Protocol):
    """The current is raised from `first` by `increment` after each `hold` (or `capacity`) until a short or `maximum`."""

    kind: Literal["ccd-ramp"]
    first: CurrentDensity
    increment: CurrentDensity
    maximum: CurrentDensity
    hold: Seconds | None = None
    capacity: Capacity | None = None

    @model_validator(mode="after")
    def _goes_up(self) -> "Ramp":
        _either(self, "hold")
        if self.maximum < self.first:
            raise AtKey(("maximum",), "maximum must not be below first")
        if (self.maximum - self.first) / self.increment > 1000:
            raise AtKey(("increment",), "more than 1000 steps to the maximum; take a larger one")
        return self

    @property
    def own(self) -> tuple[Hold, ...]:
        """The currents in rising order."""
        count = math.floor((self.maximum - self.first) / self.increment * (1 + 1e-12)) + 1
        currents = self.first + self.increment * np.arange(count)
        return tuple(Hold(float(i), seconds(float(i), self.hold, self.capacity)) for i in currents)


class Bisection(Protocol):
    """Each current is held for `hold` (or `capacity`) from the pristine cell; the bracket is halved down to `resolution`.

    `criterion`: what a current must not do in its hold, let the crack grow, or short.
    """

    kind: Literal["ccd-bisection"]
    lowest: CurrentDensity
    highest: CurrentDensity
    resolution: Annotated[float, Field(ge=1e-4, le=1)]
    hold: Seconds | None = None
    capacity: Capacity | None = None
    criterion: Literal["growth", "short"] = "growth"

    @model_validator(mode="after")
    def _goes_up(self) -> "Bisection":
        _either(self, "hold")
        if self.highest <= self.lowest:
            raise AtKey(("highest",), "highest must be above lowest")
        return self

    @property
    def told(self) -> str:
        """How long a current is held, in words."""
        return f"{self.hold:g} s" if self.hold is not None else f"{(self.capacity or 0.0) / 36e3:.4g} mAh/cm^2"

    def held(self, current: float) -> tuple[Hold, ...]:
        """One trial: the conditioning and one current."""
        return (*self.before, Hold(current, seconds(current, self.hold, self.capacity)))


Timed = Steps | ConstantCurrent | Cycling | Ramp
"""Tests that go through holds that are known before."""


def holds(protocol: Timed) -> tuple[Hold, ...]:
    """The whole test: conditioning first."""
    return (*protocol.before, *protocol.own)


def surroundings(protocol: Timed | Bisection) -> tuple[Hold, ...]:
    """Every hold whose temperature or stack pressure may differ from the case's."""
    return protocol.before if isinstance(protocol, Bisection) else holds(protocol)
