"""Electrochemical protocols as data: what is imposed on a cell, step by step, and when each step ends.

Currents are mean densities from the working electrode's metal into the electrolyte (A/m², stripping positive,
docs/physics.md 0); voltages are of the working electrode against the counter electrode (V).
"""

from dataclasses import dataclass, field
from typing import Protocol

from coupling.errors import UserError


@dataclass(frozen=True)
class Reading:
    """What a protocol sees of a cell.

    Attributes:
        elapsed: time since the step began, s.
        voltage: V.
        current_density: A/m².
        charge: passed since the step began, C/m² (signed).
    """

    elapsed: float
    voltage: float
    current_density: float
    charge: float


class End(Protocol):
    """Condition that ends a step: `excess` is negative before it is met, zero or more afterwards."""

    def excess(self, start: Reading, now: Reading) -> float:
        """How far beyond the condition the cell is, relative to the condition's own size."""
        ...


@dataclass(frozen=True)
class AfterTime:
    """Ends after so many seconds."""

    seconds: float

    def __post_init__(self) -> None:
        """A duration is positive."""
        if not self.seconds > 0:
            raise UserError(f"a protocol step of {self.seconds} s: give a positive duration")

    def excess(self, start: Reading, now: Reading) -> float:
        """Relative to the duration."""
        return now.elapsed / self.seconds - 1


@dataclass(frozen=True)
class AtVoltage:
    """Ends when the voltage reaches a limit from the side on which it began."""

    voltage: float

    def excess(self, start: Reading, now: Reading) -> float:
        """Volts beyond the limit over the larger of the limit and 1 mV."""
        side = 1.0 if self.voltage >= start.voltage else -1.0
        return side * (now.voltage - self.voltage) / max(abs(self.voltage), 1e-3)


@dataclass(frozen=True)
class AtCurrentDensity:
    """Ends when the magnitude of the current density falls to a limit, A/m²."""

    magnitude: float

    def excess(self, start: Reading, now: Reading) -> float:
        """Relative to the limit."""
        return 1 - abs(now.current_density) / self.magnitude


@dataclass(frozen=True)
class AfterCapacity:
    """Ends when the charge passed in the step reaches a capacity, C/m² (1 mAh/cm² = 36 000 C/m²)."""

    capacity: float

    def excess(self, start: Reading, now: Reading) -> float:
        """Relative to the capacity."""
        return abs(now.charge) / self.capacity - 1


class Cell(Protocol):
    """A cell that a protocol can drive."""

    def control_current(self, current_density: float) -> None:
        """Impose a mean current density, A/m²."""
        ...

    def control_potential(self, voltage: float) -> None:
        """Impose a voltage, V."""
        ...

    @property
    def potential(self) -> float:
        """Voltage, V."""
        ...

    @property
    def mean_current_density(self) -> float:
        """Current density, A/m²."""
        ...


@dataclass(frozen=True)
class Galvanostatic:
    """A constant current density, A/m²."""

    current_density: float
    until: tuple[End, ...]

    def drive(self, cell: Cell, elapsed: float) -> None:
        """Impose it."""
        cell.control_current(self.current_density)


@dataclass(frozen=True)
class Potentiostatic:
    """A constant voltage, V."""

    voltage: float
    until: tuple[End, ...]

    def drive(self, cell: Cell, elapsed: float) -> None:
        """Impose it."""
        cell.control_potential(self.voltage)


@dataclass(frozen=True)
class CurrentRamp:
    """A current density from `start` (A/m²) at a constant `rate` (A/(m² s))."""

    start: float
    rate: float
    until: tuple[End, ...]

    def drive(self, cell: Cell, elapsed: float) -> None:
        """Impose its value at a time."""
        cell.control_current(self.start + self.rate * elapsed)


@dataclass(frozen=True)
class VoltageRamp:
    """A voltage from `start` (V) at a constant `rate` (V/s)."""

    start: float
    rate: float
    until: tuple[End, ...]

    def drive(self, cell: Cell, elapsed: float) -> None:
        """Impose its value at a time."""
        cell.control_potential(self.start + self.rate * elapsed)


@dataclass(frozen=True)
class Rest:
    """No current."""

    until: tuple[End, ...]

    def drive(self, cell: Cell, elapsed: float) -> None:
        """Impose no current."""
        cell.control_current(0.0)


Step = Galvanostatic | Potentiostatic | CurrentRamp | VoltageRamp | Rest


@dataclass(frozen=True)
class Record:
    """One accepted time of a protocol: time (s), index of the step, voltage (V), current density (A/m²), charge (C/m²)."""

    time: float
    step: int
    voltage: float
    current_density: float
    charge: float


@dataclass(frozen=True)
class Progress:
    """How far a protocol has come: with the states of the time stepper, all that a run needs to go on.

    Attributes:
        step: index of the present step.
        begun: time at which it began, s; None before its first time step.
        start: reading at its beginning; None like `begun`.
        charge: passed in it so far, C/m².
        records: of all accepted times so far; one list that grows.
    """

    step: int = 0
    begun: float | None = None
    start: Reading | None = None
    charge: float = 0.0
    records: list[Record] = field(default_factory=list)
