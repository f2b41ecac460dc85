"""A filament through a protocol in time: adaptive steps, what ends it, and the critical current by bisection."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coupling.errors import RunFailure
from multiscale.mechanics.alternation import GrewTooFar
from multiscale.mechanics.filament import FilamentModel
from multiscale.mechanics.filament_state import FilamentState
from multiscale.mechanics.intact_cell import intact_voltage
from multiscale.mechanics.interface_wear import LOST
from multiscale.propagation.answer import CONTACT_LOST, STARTED, STILL
from multiscale.propagation.cell import band_of
from multiscale.propagation.protocols import Bisection, Failure, Hold, Timed
from multiscale.propagation.settings import PropagationFile, TimeSteps

FORMAT = 11
"""Raised whenever a change of the code changes what a run computes (of some cases only: `revisions`)."""

SHORT = 1.0
"""Distance to the counter electrode that counts as a short, over l."""
JUMPS = 3
"""Times that a step is made smaller because the crack grew too far; it jumps then however small the step, and is let go."""
EASY, FASTER, SLOWER = 8, 1.5, 0.4
"""Rounds up to which a step was easy; factors on the next one."""


class NoStep(RunFailure):
    """No step above the smallest succeeded, the crack left the mesh that is fine enough for it, or the test never began."""


@dataclass
class March:
    """A filament on its way through a protocol.

    Attributes:
        model: as it stands after the last row.
        control: of the time steps.
        length, thickness: l of the phase field, of the electrolyte, m.
        band: half width of the fine strip, m: a crack that leaves it, or branches out of it, ends the run.
        until_growth: whether growth of the crack ends it, beside a short.
        failure: what counts as a short beside bridging.
        rows, dt, retries: accepted times, next time step (s), steps taken back so far.
    """

    model: FilamentModel
    control: TimeSteps
    length: float
    thickness: float
    band: float = math.inf
    until_growth: bool = False
    failure: Failure = field(default_factory=Failure)
    rows: list[FilamentState] = field(default_factory=list)
    dt: float = 0.0
    retries: int = 0

    @classmethod
    def of(cls, model: FilamentModel, settings: PropagationFile, until_growth: bool = False) -> "March":
        """The march of a case from the model's present state."""
        return cls(
            model, settings.time, settings.fracture.length, settings.geometry.electrolyte.thickness, band_of(settings),
            until_growth, settings.protocol.failure, [model.state], settings.time.first,
        )  # fmt: skip

    @property
    def grown(self) -> bool:
        """Whether the crack has grown since the first row."""
        return self.rows[-1].crack_area - self.rows[0].crack_area > STARTED * self.length

    @property
    def shorted(self) -> bool:
        """Whether crack and lithium have reached the counter electrode."""
        state, far = self.model.state, self.thickness - SHORT * self.length
        return state.tip[1] >= far and state.front >= min(state.length, far)

    def run(self, steps: Sequence[Hold], after: Callable[[], None] | None = None) -> str:
        """Go through the holds (or what is left of them); what ended it: "short" (bridging), "voltage drop", "impedance drop",
        "growth", "contact lost", "number of time steps", "protocol".

        Raises:
            NoStep: with the reason; the model stands at the last row.
        """
        end = 0.0
        for hold in steps:
            begin, end = end, end + hold.time
            if self.model.state.time < end * (1 - 1e-12):
                self.model.under(hold.temperature, hold.stack_pressure)
            while self.model.state.time < end * (1 - 1e-12):
                if len(self.rows) > self.control.most:
                    return "number of time steps"
                self._advance(end - self.model.state.time, hold.current)
                if after is not None:
                    after()
                if self.band < math.inf and self.model.sideways() > self.band - self.length:
                    told = f"the crack leaves the fine strip (half width {self.band * 1e6:.3g} um); widen fracture.band"
                    mend = "or take a smaller fracture.length (solid of the smeared model bears more pressure then)"
                    raise NoStep(f"filament: at {self.model.state.time:.6g} s {told}, {mend}")
                if self.shorted:
                    return "short"
                if self.rows[-1].contact <= LOST:
                    return CONTACT_LOST
                if met := self._failed(begin):
                    return met
                if self.until_growth and self.grown:
                    return "growth"
        return "protocol"

    def _failed(self, begin: float) -> str | None:
        """Which criterion of a short beside bridging the hold that began at a time (s) meets now."""
        wanted = self.failure
        if wanted.voltage_drop is None and wanted.impedance_drop is None:
            return None
        held = [row for row in self.rows if row.time > begin * (1 + 1e-12)]
        standing = self.rows[-len(held) - 1].crack_area + STILL * self.length
        if held[-1].crack_area <= standing:
            return None
        current = held[-1].current_density
        intact = intact_voltage(self.model, current) if wanted.voltage_drop is not None and current else math.inf
        return wanted.met(held, standing, intact)

    def _advance(self, left: float, current: float) -> None:
        """One accepted step; smaller ones where it fails or the crack runs."""
        control, model = self.control, self.model
        before, dt, jumps = model.state.crack_area, min(self.dt, control.largest), 0
        while True:
            trial = dt if dt <= left / 2 else (left if dt >= left else left / 2)
            last_chance = trial * SLOWER < control.smallest
            allowed = math.inf if last_chance or jumps == JUMPS else control.growth * self.length
            try:
                state = model.step(trial, current, allowed)
            except RunFailure as failure:
                self.retries += 1
                jumps += isinstance(failure, GrewTooFar)
                dt = trial * SLOWER
                if last_chance:
                    told = f"no step of {control.smallest:.3g} s or more succeeded at {model.state.time:.6g} s: {failure}"
                    mend = "set a smaller time.smallest, or a coarser fracture.length, and run again"
                    raise NoStep(f"filament: {told}; {mend}") from failure
                continue
            break
        grown = state.crack_area - before
        easy = state.rounds <= EASY and grown < control.growth * self.length / 2
        if trial >= dt or easy:
            self.dt = min(max(dt, trial) * (FASTER if easy else 1.0), control.largest)
        self.rows.append(state)


def revisions(settings: PropagationFile) -> dict[str, int]:
    """Numbers raised where a change of the code changes what a run of such a case tells, and of no other."""
    return {"conditioning": 1} if settings.protocol.before else {}


def require_tested(march: March, protocol: Timed | Bisection, by: str) -> None:
    """Refuse a run that ended before its test had begun: it tells of the conditioning, and nothing of the currents asked about.

    Args:
        march: at its end. protocol: with its conditioning. by: what ended it, of `March.run`.

    Raises:
        NoStep: it ended in the conditioning, or just at its end.
    """
    before, time = sum(hold.time for hold in protocol.before), march.rows[-1].time
    if by == "protocol" or time > before * (1 + 1e-12):
        return
    told = {"growth": "the crack grows", "number of time steps": f"{march.control.most} time steps passed"}.get(by, by)
    mend = "raise time.most or time.largest" if by == "number of time steps" else "take a milder protocol.conditioning"
    asked = f"at {time:.4g} of {before:g} s, in the conditioning already"
    raise NoStep(f"{protocol.kind}: {told} {asked}; nothing is left to be tested, and no critical current follows; {mend}")


@dataclass(frozen=True)
class Trial:
    """One current held from the pristine cell: how it ended, and what was there then (A/m², s, Pa, m)."""

    current: float
    failed: bool
    by: str
    time: float
    pressure: float
    growth: float


def bisect(
    lowest: float, highest: float, resolution: float, attempt: Callable[[float], Trial], done: Sequence[Trial] = ()
) -> list[Trial]:
    """Currents tried, in order: the ends, then the geometric middle until high/low - 1 is at most `resolution`.

    Args:
        lowest, highest: current densities, A/m².
        resolution: relative.
        attempt: holds one current.
        done: trials of an earlier run, which are not repeated.
    """
    known, trials = {trial.current: trial for trial in done}, list[Trial]()

    def fails(current: float) -> bool:
        trials.append(known.get(current) or attempt(current))
        return trials[-1].failed

    if fails(lowest) or not fails(highest):
        return trials
    low, high = lowest, highest
    while high / low - 1 > resolution:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fails(middle) else (middle, high)
    return trials


def bracket(trials: Sequence[Trial]) -> tuple[float, float]:
    """Largest current that held below the smallest that failed, and that one, A/m²; zero or infinity where there is none."""
    high = min((trial.current for trial in trials if trial.failed), default=math.inf)
    low = max((trial.current for trial in trials if not trial.failed and trial.current < high), default=0.0)
    return low, high
