"""The only time loop: variable-step BDF2 with error control, retries, named failures, and protocols run to their ends.

Source: variable-step BDF2 and its error constant from the interpolation polynomial through the last states (Hairer, Norsett &
Wanner, Solving Ordinary Differential Equations I, III.5).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from coupling.errors import RunFailure, UserError
from multiscale.solvers.protocol import Cell, Progress, Reading, Record, Step
from multiscale.transport import debye
from multiscale.transport.contact import double_layers
from multiscale.transport.nernst_planck import SingleIon
from multiscale.transport.plating import Plating
from multiscale.transport.system import TransportSystem, largest

END_TOLERANCE = 1e-6
"""Relative distance from an end condition that counts as meeting it."""
DEPLETED = 1e-2
"""Share of a species' largest concentration at the start of a run below which a stopped run is called depleted."""
GROWTH, SHRINK, SAFETY = 2.0, 0.2, 0.85
"""Most growth of a step (BDF2 is stable up to 1 + √2), least share after a rejection, and margin to the tolerance."""


LOCATED = 1e-3
"""Share of the smallest step to which an event is located at least."""


@dataclass(frozen=True)
class StepControl:
    """How time steps are chosen.

    Attributes:
        first, smallest, largest: steps, s.
        tolerance: allowed error of a step in any concentration, relative to |c| + floor.
        floor: mol/m³.
        undershoot: how negative a concentration may become, relative to its largest initial value (the overshoots of a
            sharp front on a coarse mesh are not depletion).
    """

    first: float
    smallest: float
    largest: float
    tolerance: float = 1e-3
    floor: float = 1.0
    undershoot: float = 0.0

    def __post_init__(self) -> None:
        """Steps must be positive and in order."""
        if not 0 < self.smallest <= self.first <= self.largest or not self.tolerance > 0:
            raise UserError(
                f"time steps: smallest {self.smallest}, first {self.first}, largest {self.largest} s, tolerance "
                f"{self.tolerance}; they must be positive and in this order"
            )


@dataclass(frozen=True)
class State:
    """A state of a system: time (s) and the local values of its unknowns."""

    time: float
    values: np.ndarray


class StepTooSmall(RunFailure):
    """No step above the smallest one succeeded. Attribute `state`: the last good one, which the system still holds."""

    def __init__(self, message: str, state: State) -> None:
        """Keep the state."""
        super().__init__(message)
        self.state = state


class Depletion(StepTooSmall):
    """A species ran out. Attributes: `medium`, `species`, `position` (m), `time` (s), `concentration` (mol/m³), `state`."""

    def __init__(self, medium: str, species: str, position: np.ndarray, concentration: float, state: State) -> None:
        """Say which species, where and when."""
        place = ", ".join(f"{x:.6g}" for x in position)
        super().__init__(
            f"depletion reached: {species} in {medium} has run out ({concentration:.3g} mol/m3) at ({place}) m, "
            f"at {state.time:.6g} s; the last good state is kept",
            state,
        )
        self.medium, self.species, self.position = medium, species, position
        self.concentration, self.time = concentration, state.time


class _Rejected(Exception):
    """A step that has to be repeated, with the suggested ratio of the next one."""

    def __init__(self, why: str, ratio: float) -> None:
        super().__init__(why)
        self.ratio = ratio


def _landing(step: float, left: float) -> float:
    """Step that lands on the end, without leaving a sliver for the last one."""
    if step >= left * (1 - 1e-9):
        return left
    return left / 2 if step > left / 2 else step


class TimeStepper:
    """Advances a transport system in time.

    Args:
        system: with its initial state in `system.u`; used as it stands, no consistent start is sought.
        control: of the step.
        time: at the start, s.
        plating: metal that is plated, and what follows it; None: nothing does.
    """

    def __init__(self, system: TransportSystem, control: StepControl, time: float = 0.0, plating: Plating | None = None) -> None:
        """Remember the start; nothing is compiled yet. Raises UserError: a displacement current, which has no error control."""
        for m in system.media.values():
            if isinstance(m.closure, SingleIon) and m.closure.permittivity is not None:
                raise UserError(f"medium {m.name}: a permittivity beside Ohm's law is for impedance; leave it out of time runs")
        self.system, self.control, self.plating = system, control, plating
        self.history = [State(time, system.u.x.array.copy())]
        self.step = control.first
        self.accepted = self.rejected = 0
        fixed = np.concatenate([bc.dof_indices()[0] for bc in system.bcs])
        fields = system.species_fields()
        self._dofs = {
            name: np.setdiff1d(system.dofs(*name), fixed) for name in fields if name in system.index
        }
        self._layers = double_layers(system)
        self.scale = {name: largest(system.domain.comm, float(np.max(system.sample(*name)[0], initial=0.0))) for name in fields}

    @property
    def time(self) -> float:
        """Of the last accepted state, s."""
        return self.history[0].time

    def restart(self) -> None:
        """Forget the past (after a jump of what drives the system): the next step is a first one."""
        self.history = self.history[:1]
        self.step = self.control.first

    def advance(self, step: float) -> float:
        """Take one step of the given size, whatever its error, and accept it.

        Returns:
            Estimated error over the tolerance.

        Raises:
            RunFailure: the solve failed; the system keeps the last state.
        """
        error = self._solve(step)
        self._accept(step)
        return error

    def march(self, end: float, drive: Callable[[float], Any] | None = None, excess: Callable[[], float] | None = None) -> bool:
        """Advance to a time, or until `excess` reaches zero.

        Args:
            end: time to land on, s.
            drive: called with the new time before each attempt; sets what drives the system.
            excess: negative before the event; looked at after each attempt, the step repeated so that it lands there (but
                not the first one after a start, which may jump over it).

        Returns:
            Whether the event stopped it.

        Raises:
            Depletion, StepTooSmall: with the last good state.
        """
        while self.time < end * (1 - 1e-14):
            if self.forward(end, drive, excess):
                return True
        return False

    def forward(
        self, end: float, drive: Callable[[float], Any] | None = None, excess: Callable[[], float] | None = None
    ) -> bool:
        """One accepted step with all its attempts; arguments, result and failures as `march`."""
        locatable = excess is not None and len(self.history) > 1
        before = excess() if excess and locatable else 0.0
        step, left = self.step, end - self.time
        while True:
            trial = _landing(step, left)
            if drive:
                drive(self.time + trial)
            try:
                error = self._checked(trial)
            except (RunFailure, _Rejected) as why:
                step = self._smaller(trial, why, drive)
                continue
            beyond = excess() if excess else -1.0
            if before < 0 and beyond > END_TOLERANCE and trial > LOCATED * self.control.smallest:
                self._restore()
                step = trial * min(max(-before / (beyond - before), 0.05), 0.95)
                continue
            self._accept(trial)
            if trial == step:
                growth = SAFETY * max(error, 1e-8) ** (-1 / len(self.history))
                self.step = min(trial * min(GROWTH, growth), self.control.largest)
            return bool(beyond >= -END_TOLERANCE)

    def _checked(self, step: float) -> float:
        """Solve a step; reject it for its error or a negative concentration."""
        error = self._solve(step)
        for name in self.system.species_fields():
            value, _ = self.system.lowest(*name)
            if value < -self.control.undershoot * self.scale[name]:
                raise _Rejected(f"the concentration of {name[1]} fell to {value:.3g} mol/m3", 0.5)
        if error > 1:
            raise _Rejected(f"error {error:.3g} times the tolerance", max(SHRINK, SAFETY * error ** (-1 / 2)))
        return error

    def _smaller(self, trial: float, why: Exception, drive: Callable[[float], Any] | None) -> float:
        """A smaller step after a failed attempt, or the end."""
        self.rejected += 1
        self._restore()
        step = trial * (why.ratio if isinstance(why, _Rejected) else 0.25)
        if step < self.control.smallest:
            if drive:
                drive(self.time)
            raise self._failure(why)
        return step

    def _failure(self, why: Exception) -> StepTooSmall:
        state = self.history[0]
        for name in self.system.species_fields():
            value, place = self.system.lowest(*name)
            charged = self.system.media[name[0]].ion(name[1]).charge  # a neutral may be absent, an electrolyte not
            if charged and value < DEPLETED * self.scale[name]:
                return Depletion(*name, place, value, state)
        return StepTooSmall(
            f"step below minimum: no step of {self.control.smallest:.3g} s or more succeeded at {state.time:.6g} s "
            f"({why}); the last good state is kept", state,
        )  # fmt: skip

    def _solve(self, step: float) -> float:
        """Solve one step from the history; its estimated error over the tolerance."""
        if len(self.history) == 1:
            return self._first(step)
        guess, share = self._prediction(step)
        self._formula(step, self.history, guess)
        return self._error(guess, share)

    def _first(self, step: float) -> float:
        """BDF1 once over the step and twice over its halves: their distance is the error of the former, which is kept.

        Fixed values hold from the first instant: they enter the start.
        """
        start = State(self.time, self.history[0].values.copy())
        for bc in self.system.bcs:
            bc.set(start.values)
        self.history = [start]
        self._formula(step / 2, [start], start.values)
        half = State(start.time + step / 2, self.system.u.x.array.copy())
        self._formula(step / 2, [half], half.values)
        fine = self.system.u.x.array.copy()
        self._formula(step, [start], fine)
        return self._error(fine, 1.0)

    def _formula(self, h: float, past: Sequence[State], guess: np.ndarray) -> None:
        """Solve BDF2, or BDF1 with one past state only. Tries the guess, then the last state."""
        system = self.system
        rates = 1 / h, -1 / h, 0.0
        if len(past) > 1:
            h1 = past[0].time - past[1].time
            rates = (2 * h + h1) / (h * (h + h1)), -(h + h1) / (h * h1), h / (h1 * (h + h1))
            system.older[1].x.array[:] = past[1].values
        for constant, value in zip(system.rates, rates, strict=True):
            constant.value = value
        system.older[0].x.array[:] = past[0].values
        for last, start in enumerate((guess, past[0].values)):
            try:
                system.u.x.array[:] = start
                self._settle([state.time for state in past], h, rates)
                return
            except RunFailure:
                if last:
                    raise

    def _settle(self, past: Sequence[float], step: float, rates: Sequence[float]) -> None:
        """Solve; where something follows the metal plated, until both agree."""
        if self.plating is None:
            self.system.solve()
            return
        self.plating.begin(past, step, rates)
        self.system.solve()
        while not self.plating.settled():
            self.system.solve()

    def _prediction(self, h: float) -> tuple[np.ndarray, float]:
        """Extrapolation of the past, and the share of its distance from the solution that is the step's error.

        Local error of BDF2: e = u‴/6 A, A = h²(h + h₁)²/(2h + h₁); of the quadratic extrapolation: u‴/6 B, of opposite
        sign, B = h(h + h₁)(h + h₁ + h₂): e = (u - prediction) A/(A + B). With less past, the estimate is of lower order.
        """
        past = self.history
        h1 = past[0].time - past[1].time
        slope = (past[0].values - past[1].values) / h1
        if len(past) == 2:
            return past[0].values + h * slope, h / (2 * h + h1)
        h2 = past[1].time - past[2].time
        curvature = (slope - (past[1].values - past[2].values) / h2) / (h1 + h2)
        A, B = h**2 * (h + h1) ** 2 / (2 * h + h1), h * (h + h1) * (h + h1 + h2)
        return past[0].values + h * slope + h * (h + h1) * curvature, A / (A + B)

    def _error(self, prediction: np.ndarray, share: float) -> float:
        """Largest error of the independent concentrations, and of the voltages of double layers in RT/F, over the tolerance."""
        worst, new = 0.0, self.system.u.x.array
        for dofs in self._dofs.values():
            size = np.abs(new[dofs]) + self.control.floor
            worst = max(worst, float(np.max(np.abs(new[dofs] - prediction[dofs]) / size, initial=0.0)))
        for plus, minus in self._layers:
            gap = (new - prediction)[plus] - (new - prediction)[minus]
            worst = max(worst, float(np.max(np.abs(gap), initial=0.0)) * FARADAY / (GAS_CONSTANT * ROOM_TEMPERATURE))
        worst = max(worst, self.plating.error if self.plating is not None else 0.0)
        return largest(self.system.domain.comm, worst) * share / self.control.tolerance

    def _accept(self, step: float) -> None:
        self.accepted += 1
        self.history = [State(self.time + step, self.system.u.x.array.copy()), *self.history[:2]]
        if self.plating is not None:
            self.plating.keep([state.time for state in self.history])

    def _restore(self) -> None:
        if self.plating is not None:
            self.plating.back(self.time)
        self.system.u.x.array[:] = self.history[0].values


def run_protocol(
    stepper: TimeStepper, cell: Cell, steps: Sequence[Step], watch: Callable[[Record], Any] | None = None,
    progress: Progress | None = None, keep: Callable[[Progress], Any] | None = None,
) -> list[Record]:  # fmt: skip
    """Run the steps of a protocol one after the other.

    Args:
        stepper: holds the system and the time.
        cell: what is driven, a `Contact` of the system's working electrode for example.
        steps: in order; each needs at least one end condition.
        watch: called with each record as it comes.
        progress: where an earlier run was, whose states the stepper holds; None: at the beginning.
        keep: called after each accepted time step with what a checkpoint needs.

    Returns:
        A record for each accepted time step, those of the earlier run included.

    Raises:
        UserError: a step without an end; `debye.DebyeUnresolved`: a Poisson medium on a mesh too coarse, before any step.
        Depletion, StepTooSmall: with the last good state.
    """
    here = progress or Progress()
    if not here.records:
        debye.check(stepper.system)
    for number in range(here.step, len(steps)):
        step = steps[number]
        if not step.until:
            raise UserError(f"protocol step {number + 1} ({type(step).__name__}) has no end condition: give AfterTime or another")
        if here.begun is None:
            stepper.restart()
            start = Reading(0.0, cell.potential, cell.mean_current_density, 0.0)
            here = Progress(number, stepper.time, start, 0.0, here.records)
        _run_step(stepper, cell, step, here, watch, keep or (lambda progress: None))
        here = Progress(number + 1, records=here.records)
    return here.records


def _run_step(
    stepper: TimeStepper, cell: Cell, step: Step, progress: Progress, watch: Callable[[Record], Any] | None,
    keep: Callable[[Progress], Any],
) -> None:  # fmt: skip
    number, begun, start, records = progress.step, progress.begun, progress.start, progress.records
    assert begun is not None
    assert start is not None
    now, charge, trial_time = start, progress.charge, begun

    def drive(time: float) -> None:
        nonlocal trial_time
        trial_time = time
        step.drive(cell, time - begun)

    def excess() -> float:
        nonlocal now
        current = cell.mean_current_density
        is_later = records and records[-1].step == number
        passed = charge + (current + (records[-1].current_density if is_later else current)) / 2 * (trial_time - stepper.time)
        now = Reading(trial_time - begun, cell.potential, current, passed)
        return max(end.excess(start, now) for end in step.until)

    met = False
    while not met:
        met = stepper.forward(np.inf, drive, excess)
        charge = now.charge
        records.append(Record(stepper.time, number, now.voltage, now.current_density, charge))
        if watch:
            watch(records[-1])
        keep(Progress(number + 1, records=records) if met else Progress(number, begun, start, charge, records))
