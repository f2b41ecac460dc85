"""Well-tempered metadynamics: a history-dependent bias on one collective variable, free energies with errors, biased escapes.

Hills of height W exp(-V(s, t)/(k_B ΔT)) are laid down where walkers are; V tends to -(1 - 1/γ) F + const with the bias factor
γ = (T + ΔT)/T. What the walkers visit at the times t has the weights exp[(V(s_t, t) - c(t))/k_B T] with

    c(t) = k_B T ln { ∫ exp[γ V(s, t)/((γ - 1) k_B T)] ds / ∫ exp[V(s, t)/((γ - 1) k_B T)] ds },

from which the free energy follows, with an error from parts of each walker's run and their correlation (`free_energy`). That
of the bias itself (`Bias.free_energy`) is the check: both agree once the run has converged, but where s ends at a wall, where
hills are cut.

For escapes every walker has a bias of its own. Its time t becomes t* = ∫ exp[V(s, t)/k_B T] dt, the time of an unbiased run, if
no bias lies on the barrier: hills are laid only in `Hills.deposited`, are exactly zero beyond REACH widths of their centre, and
come so rarely that the walker finds its equilibrium between two of them. A walker that sits on a hill just laid
counts too much time; the interval must be long against the relaxation in the basin. atomistic.escape tests the times.

Sources: Barducci, Bussi & Parrinello, Phys. Rev. Lett. 100, 020603 (2008); Tiwary & Parrinello, J. Phys. Chem. B 119, 736 (2015)
(weights) and Phys. Rev. Lett. 111, 230602 (2013) (times); docs/physics.md 1.9; papers from memory.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from atomistic.correlated import jackknife_error
from coupling.atomic import replacing
from coupling.errors import RunFailure, UserError
from coupling.store import digest

REACH = 3.5
"""Widths at which a hill ends; it is lowered and stretched so that it ends without a step."""
FILE, ROWS = "metadynamics.npz", ("values", "biases", "offsets")
NEEDED = ("key", "step", "bias_values", "bias_slopes", *ROWS)
"""Checkpoint of a run, and what it holds of every recorded time."""
MINIMUM_BLOCKS = 10
"""Fewest parts of a walker's run an error is taken from."""


@dataclass(frozen=True)
class Hills:
    """How a bias is built; energies in one unit (eV in molecular dynamics), s in the unit of the collective variable.

    Attributes:
        low, high: range of s on the grid; outside, the bias is that of the nearest end and pulls no more.
        bins: grid points; at least three a width are needed.
        width: standard deviation of a hill. height: of the first hill. thermal: k_B T. bias_factor: γ > 1.
        deposited: range of s where hills are laid; None: everywhere.
    """

    low: float
    high: float
    bins: int
    width: float
    height: float
    thermal: float
    bias_factor: float
    deposited: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a bias."""
        numbers = (self.low, self.high, self.width, self.height, self.thermal, self.bias_factor)
        if not (np.isfinite(numbers).all() and self.high > self.low and min(numbers[2:5]) > 0 and self.bias_factor > 1):
            raise UserError("hills: high > low, positive width, height and thermal energy, and a bias factor above 1 are needed")
        if self.bins < 2 or (self.high - self.low) / (self.bins - 1) > self.width / 3:
            least = int(3 * (self.high - self.low) / self.width) + 2
            raise UserError(f"hills: {self.bins} grid points do not resolve hills of width {self.width:g}; {least} are needed")
        if self.deposited is not None and not self.deposited[0] < self.deposited[1]:
            raise UserError(f"hills: deposited = {self.deposited!r}; two rising ends are needed")


class Bias:
    """Bias on a grid, one for all walkers (shared) or one for each (escapes)."""

    def __init__(self, hills: Hills, walkers: int = 1, shared: bool = True) -> None:
        """Start without hills."""
        self.hills, self.shared = hills, shared
        self.grid = np.linspace(hills.low, hills.high, hills.bins)
        self.values, self.slopes = (np.zeros((1 if shared else walkers, hills.bins)) for _ in range(2))

    def at(self, s: np.ndarray, walkers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bias V and its derivative dV/ds at s (k,) of the walkers numbered (k,): cubic Hermite between grid points."""
        step = self.grid[1] - self.grid[0]
        place = np.clip((s - self.grid[0]) / step, 0, len(self.grid) - 1)
        left = np.minimum(place.astype(int), len(self.grid) - 2)
        row = np.zeros(len(left), dtype=int) if self.shared else walkers
        x, (v0, v1) = place - left, (self.values[row, left], self.values[row, left + 1])
        m0, m1 = self.slopes[row, left] * step, self.slopes[row, left + 1] * step
        cubic, square = m0 + m1 + 2 * (v0 - v1), 3 * (v1 - v0) - 2 * m0 - m1
        slope = (m0 + x * (2 * square + 3 * x * cubic)) / step
        inside = (s >= self.grid[0]) & (s <= self.grid[-1])
        return v0 + x * (m0 + x * (square + x * cubic)), np.where(inside, slope, 0.0)

    def deposit(self, s: np.ndarray, walkers: np.ndarray) -> None:
        """Lay down one hill at each place s (k,) of the walkers (k,), tempered by the bias already there."""
        h = self.hills
        low, high = h.deposited or (h.low, h.high)
        inside = (s >= low) & (s <= high)
        s, walkers = s[inside], walkers[inside]
        if not len(s):
            return
        heights = h.height * np.exp(-self.at(s, walkers)[0] / (h.thermal * (h.bias_factor - 1)))
        away = (self.grid[None, :] - s[:, None]) / h.width
        end = np.exp(-(REACH**2) / 2)
        near = np.abs(away) < REACH
        shapes = np.where(near, heights[:, None] * (np.exp(-0.5 * away**2) - end) / (1 - end), 0.0)
        slopes = np.where(near, -away / h.width * heights[:, None] * np.exp(-0.5 * away**2) / (1 - end), 0.0)
        rows = np.zeros(len(s), dtype=int) if self.shared else walkers
        np.add.at(self.values, rows, shapes)
        np.add.at(self.slopes, rows, slopes)

    def offset(self) -> float:
        """Time-dependent constant c(t) of a shared bias."""
        reduced = self.values[0] / (self.hills.thermal * (self.hills.bias_factor - 1))
        return float(self.hills.thermal * (_log_sum(self.hills.bias_factor * reduced) - _log_sum(reduced)))

    def free_energy(self) -> np.ndarray:
        """Free energy (bins,) from a shared bias, F = -γ/(γ - 1) V, its least value zero."""
        free = -self.hills.bias_factor / (self.hills.bias_factor - 1) * self.values[0]
        return np.asarray(free - free.min())


def _log_sum(exponents: np.ndarray) -> float:
    """Logarithm of Σ exp(x)."""
    top = float(exponents.max())
    return top + float(np.log(np.exp(exponents - top).sum()))


class Walkers(Protocol):
    """What a bias acts on: a number of copies of a system that move under it."""

    timestep: float

    def values(self) -> np.ndarray:
        """Collective variable of every walker (w,)."""

    def advance(self, bias: Bias, active: np.ndarray) -> None:
        """Move the walkers numbered `active` by one time step under the bias."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything the next step depends on, as arrays."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""


@dataclass(frozen=True)
class SamplingSettings:
    """Length of a run: steps of every walker, steps between hills, between recorded values, and between checkpoints."""

    steps: int
    interval: int
    record: int
    checkpoint: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name, value in asdict(self).items():
            if value < 1:
                raise UserError(f"metadynamics: {name} = {value!r}; a whole number of at least one is needed")


@dataclass(frozen=True)
class Visits:
    """What a run with a shared bias has visited: s, V(s, t) and c(t), each (times, walkers) or (times,); and the bias left."""

    values: np.ndarray
    biases: np.ndarray
    offsets: np.ndarray
    bias: Bias


@dataclass(frozen=True)
class FreeEnergy:
    """Free energy of a collective variable.

    Attributes:
        grid: middle of each bin (bins,). values: F = -k_B T ln p(s), p normalised over the bins; infinite where nothing was.
        stderr: of each value (bins,), `correlated.jackknife_error`. replicates: F without one part each (walkers blocks, bins),
            walker after walker.
        thermal: k_B T. from_bias: F of the bias at the same places up to a constant, the check of convergence.
        walkers, crossings: how many there were, and how often they went across the middle half of the range that they visited:
            twice the fewer of those up and down, so that a drift of all of them to one side counts for nothing.
    """

    grid: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    replicates: np.ndarray
    thermal: float
    from_bias: np.ndarray
    walkers: int = 1
    crossings: float = math.inf


class LongerRun(UserError):
    """A folder holds `done` steps of a run, more than those wanted."""

    def __init__(self, file: Path, done: int, wanted: int) -> None:
        super().__init__(f"{file}: holds {done} steps of this run, more than the {wanted} wanted: ask for {done} or more, or "
                         "give another folder")  # fmt: skip
        self.file, self.done = file, done


def sample(
    walkers: Walkers,
    hills: Hills,
    settings: SamplingSettings,
    folder: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Visits:
    """Run walkers that share one bias, or go on with the run that `folder` holds, which may be a shorter one.

    Args:
        walkers: the system. hills, settings: see there. folder: checkpoints; None keeps none. progress: share done.

    Raises:
        UserError: the folder holds another run; LongerRun: a longer one.
        RunFailure: a collective variable that is no longer finite.
    """
    everyone = np.arange(len(walkers.values()))
    bias, done, rows = Bias(hills), 0, _Rows([], [], [])
    key = _key(hills, settings, len(everyone))
    file = None if folder is None else Path(folder) / FILE
    if file is not None and file.is_file():
        data = _read(file, key, settings.record)
        walkers.restore({name[len("walkers_") :]: array for name, array in data.items() if name.startswith("walkers_")})
        bias.values, bias.slopes = data["bias_values"], data["bias_slopes"]
        done, rows = int(data["step"]), _Rows(*(list(data[name]) for name in ROWS))
        if done > settings.steps:
            raise LongerRun(file, done, settings.steps)
    for step in range(done + 1, settings.steps + 1):
        walkers.advance(bias, everyone)
        if step % settings.record == 0:
            s = walkers.values()
            if not np.isfinite(s).all():
                raise RunFailure(f"metadynamics: the collective variable is no longer a finite number after {step} steps")
            rows.values.append(s.copy())
            rows.biases.append(bias.at(s, everyone)[0])
            rows.offsets.append(bias.offset())
        if step % settings.interval == 0:
            bias.deposit(walkers.values(), everyone)
        if step % settings.checkpoint == 0 or step == settings.steps:
            if file is not None:
                _write(file, key, step, walkers, bias, rows)
            if progress:
                progress(step / settings.steps)
    return Visits(np.array(rows.values), np.array(rows.biases), np.array(rows.offsets), bias)


@dataclass
class _Rows:
    values: list[np.ndarray]
    biases: list[np.ndarray]
    offsets: list[float]


def _write(file: Path, key: str, step: int, walkers: Walkers, bias: Bias, rows: _Rows) -> None:
    """Checkpoint in one piece."""
    contents: dict[str, Any] = {f"walkers_{name}": array for name, array in walkers.state().items()}
    contents |= {"bias_values": bias.values, "bias_slopes": bias.slopes, "step": step, "key": key}
    contents |= dict(zip(ROWS, (rows.values, rows.biases, rows.offsets), strict=True))
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **contents)


def _key(hills: Hills, settings: SamplingSettings, walkers: int) -> str:
    """What tells a run from others but its length."""
    return digest([asdict(hills), settings.interval, settings.record, walkers])


def _read(file: Path, key: str, record: int) -> dict[str, np.ndarray]:
    """Arrays of the checkpoint of the run `key`, which holds a row every `record` steps.

    Raises:
        UserError: a damaged or incomplete file, or one of another run.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            data = {name: stored[name] for name in dict.fromkeys((*NEEDED, *stored.files))}
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{file}: damaged ({error}); delete it to start again") from error
    if str(data["key"]) != key:
        raise UserError(f"{file}: holds a run with other hills or walkers; give another folder or delete it")
    wanted, held = int(data["step"]) // record, [len(data[name]) for name in ROWS]
    if held != [wanted] * len(ROWS):
        told = f"{', '.join(map(str, held))} rows of {', '.join(ROWS)} where {wanted} belong to {data['step']} steps"
        raise UserError(f"{file}: damaged ({told}); delete it to start again")
    return data


def kept(folder: str | Path, hills: Hills, settings: SamplingSettings, walkers: int) -> Visits:
    """What the run kept in `folder` has visited in its first `settings.steps` steps; the bias is the last it left.

    Raises:
        UserError: no run there, another one, or one that is damaged or shorter.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    data = _read(file, _key(hills, settings, walkers), settings.record)
    if data["step"] < settings.steps:
        raise UserError(f"{file}: holds {data['step']} steps, fewer than {settings.steps}")
    bias, rows = Bias(hills), settings.steps // settings.record
    bias.values, bias.slopes = data["bias_values"], data["bias_slopes"]
    values, biases, offsets = (data[name][:rows] for name in ROWS)
    return Visits(values, biases, offsets, bias)


def free_energy(visits: Visits, edges: np.ndarray, skip: float = 0.3, blocks: int = 20) -> FreeEnergy:
    """Free energy of what was visited after the first `skip` share of the run, with errors from parts of each walker's run.

    Walkers remember themselves and hardly each other: the parts are told one walker after another, as one long series, whose
    correlation is in the error (`correlated.jackknife_error`). That holds once the walkers have forgotten where they began, alike
    as a rule: they must have gone across their range and back (`FreeEnergy.crossings`, `nucleation.few_memories`). A bias is
    there to let them; until they have, what they say of each side is what they began with.

    Args:
        visits: of `sample`. edges: of the bins (bins + 1,). skip: share during which the bias still grows.
        blocks: parts of the rest of each walker's run.

    Raises:
        UserError: fewer than MINIMUM_BLOCKS blocks, or fewer recorded times than blocks.
    """
    start = int(skip * len(visits.values))
    s, biases, offsets = visits.values[start:], visits.biases[start:], visits.offsets[start:]
    if blocks < MINIMUM_BLOCKS or len(s) < blocks:
        raise UserError(f"free energy: {blocks} blocks of {len(s)} recorded times; at least {MINIMUM_BLOCKS} blocks are needed, "
                        "and one time in each: run longer")  # fmt: skip
    thermal = visits.bias.hills.thermal
    exponents = (biases - offsets[:, None]) / thermal
    weights = np.exp(exponents - exponents.max())
    parts = np.array([
        np.histogram(values, edges, weights=own)[0]
        for walker in zip(s.T, weights.T, strict=True)
        for values, own in zip(*(np.array_split(series, blocks) for series in walker), strict=True)
    ])  # fmt: skip
    total = parts.sum(axis=0)
    values = _negative_log(total) * thermal
    replicates = np.array([_negative_log(total - part) for part in parts]) * thermal
    grid = (edges[1:] + edges[:-1]) / 2
    inferred = np.interp(grid, visits.bias.grid, visits.bias.free_energy())
    error = jackknife_error(replicates)
    return FreeEnergy(grid, values, error, replicates, thermal, inferred, s.shape[1], _crossings(s))


def _crossings(s: np.ndarray) -> float:
    """How often walkers (times, walkers) went across the middle half of the range of all: twice the fewer of up and down."""
    _, low, _, high, _ = np.linspace(s.min(), s.max(), 5)
    ends = [walker[walker != 0] for walker in ((s > high).astype(int) - (s < low)).T]
    turns = np.concatenate([np.diff(each) for each in ends])
    return 2.0 * min(int((turns > 0).sum()), int((turns < 0).sum()))


def _negative_log(histogram: np.ndarray) -> np.ndarray:
    """-ln of the normalised histogram; infinite where it is empty (or holds what rounding left)."""
    share = histogram / histogram.sum()
    share = np.where(share > 1e-14, share, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(share))


def escapes(
    walkers: Walkers, hills: Hills, interval: int, beyond: float, most_steps: int, progress: Callable[[float], None] | None = None
) -> tuple[np.ndarray, float]:
    """Rescaled times t* at which walkers with a bias each first reach s ≥ `beyond`, and the acceleration Σ t*/Σ t.

    Args:
        walkers: all start in the basin. hills: their `deposited` keeps the barrier free. interval: steps between two hills.
        beyond: place on the other side. most_steps: of a walker. progress: share of the walkers that escaped.

    Raises:
        RunFailure: a walker that did not escape in `most_steps`: a mean over the others would be too short.
    """
    s = walkers.values()
    bias, active = Bias(hills, len(s), shared=False), np.flatnonzero(s < beyond)
    if len(active) < len(s):
        raise UserError(f"escapes: {len(s) - len(active)} walkers start beyond {beyond:g}")
    times, steps = np.zeros(len(s)), np.zeros(len(s))
    for step in range(1, most_steps + 1):
        times[active] += walkers.timestep * np.exp(bias.at(walkers.values()[active], active)[0] / hills.thermal)
        steps[active] = step
        walkers.advance(bias, active)
        left = walkers.values()[active] < beyond
        if not left.all():
            active = active[left]
            if progress:
                progress(1 - len(active) / len(s))
            if not len(active):
                return times, float(times.sum() / (steps.sum() * walkers.timestep))
        if step % interval == 0:
            bias.deposit(walkers.values()[active], active)
    raise RunFailure(f"{len(active)} of {len(s)} walkers did not escape in {most_steps} steps; allow more steps or higher hills")


def generator_state(random: np.random.Generator) -> np.ndarray:
    """State of a random generator as an array that a checkpoint holds."""
    return np.array(json.dumps(random.bit_generator.state))


def set_generator(random: np.random.Generator, state: np.ndarray) -> None:
    """Put a random generator back into a state of `generator_state`."""
    random.bit_generator.state = json.loads(str(state))
