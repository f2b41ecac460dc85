"""Onsager coefficients from velocities (Green and Kubo), and whether the running integral has come to rest at all.

    L_ij = (1 / 3 k_B T V) lim I_ij(t),  I_ij(t) = ∫_0^t <J_i(0) · J_j(t')> dt',  J_i = Σ_{k in i} v_k

The limit is read off a plateau: the mean of I over the later part of the correlation time, PLATEAU_FROM … 1 of `cutoff`. A number
comes out of any curve, with a narrow error where atoms vibrate about their sites; `read` asks the curve first. Within its error
(scatter of the blocks of the run) it must neither drift nor ripple over that range. Where it does it gives an upper bound, or
nothing while it still rises. Source: Helfand, Phys. Rev. 119, 1 (1960), memory; docs/physics.md 1.10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atomistic.brownian import NOTHING, ONE_SIDED_95, SIGMAS
from atomistic.correlated import jackknife_error
from atomistic.diffusivity import without_drift
from atomistic.frames import require_motion
from atomistic.onsager import (
    Onsager,
    Transference,
    charges_of,
    frame_alone,
    frame_name,
    set_by_frame,
    set_by_masses,
    summed,
    with_charge,
)
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.units import diffusivity_to_si

MINIMUM_BLOCKS = 10
"""Fewest blocks an error is taken from."""
PLATEAU_FROM = 0.5
"""Share of the cutoff from which on the integral must be flat; its mean from there on is the value."""
RIPPLE = 4.0
"""Standard errors by which the integral may leave its own mean anywhere in that range."""
RESOLVED = 0.5
"""Share of the correlation that must be left one frame later: below, the frames are too far apart for an integral."""


@dataclass(frozen=True)
class Plateau:
    """One running integral as `read`: value and error (its unit), or the upper limit (95 %) where a `reason` is given.

    `limit` is None where there is none: the integral still rises.
    """

    value: float
    stderr: float
    limit: float | None
    reason: str


def read(integrals: np.ndarray) -> Plateau:
    """Read the running integrals (blocks, n) of one coefficient at equally spaced times from 0 to the cutoff.

    Value: mean over the range. Error: standard error over the blocks and, in squares, the drift δ seen, mean of the later minus
    mean of the earlier half of the range (σ_δ: its own error): what is still to come is about as much. No test sees a slow tail
    below the noise: of an exponential one read at 4 of its times a quarter pass, and 71 % of their 95 % intervals hold
    (read at 6: 89 to 93 %, at 8: 94 to 96 %): take the cutoff a half longer than needed to pass.

    No plateau: |δ| > SIGMAS σ_δ, or the integral leaves its mean by more than RIPPLE errors. (A drift of half the value makes it
    less than twice its error, and so a bound.) Then there is no limit where I rises (δ > σ_δ) to where it has not been before.
    Else the limit is the larger of the highest point in the range and of the mean of I from 0 on (slope of the secant of the
    displacement); of a curve that rises and was as high before, the highest point of all; with 1.645 errors on top.
    """
    first = round(PLATEAU_FROM * (integrals.shape[1] - 1))
    late, middle = integrals[:, first:], (integrals.shape[1] - first) // 2
    means = late.mean(axis=1)
    value, error = _mean(means)
    drift, drift_error = _mean(late[:, middle:].mean(axis=1) - late[:, : middle + 1].mean(axis=1))
    stderr = float(np.hypot(error, drift))
    curve, tiny = integrals.mean(axis=0), NOTHING * float(np.abs(integrals).max())
    apart, apart_error = (part(late - means[:, None]) for part in (_average, _scatter))
    drifts = abs(drift) > SIGMAS * drift_error + tiny
    ripples = bool((np.abs(apart) > RIPPLE * apart_error + tiny).any())
    if not (drifts or ripples):
        return Plateau(value, stderr, max(value, 0.0) + ONE_SIDED_95 * stderr, "")
    rises = drift > drift_error and _higher(integrals, first)
    if rises:
        return Plateau(value, stderr, None, "the running integral still rises at the cutoff")
    highest = curve if drift > drift_error else np.append(curve[first:], curve.mean())
    limit = float(highest.max() + ONE_SIDED_95 * np.max(_scatter(late)))
    told = "drifts" if drifts else "goes up and down"
    return Plateau(value, stderr, limit, f"the running integral {told} over the range it is read in by more than its error")


def _higher(integrals: np.ndarray, first: int) -> bool:
    """Whether the highest point from `first` on lies above the highest one before it, by more than one error."""
    curve = integrals.mean(axis=0)
    after, before = first + int(np.argmax(curve[first:])), int(np.argmax(curve[: first + 1]))
    more, error = _mean(integrals[:, after] - integrals[:, before])
    return more > error


def _average(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.mean(axis=0))


def _scatter(rows: np.ndarray) -> np.ndarray:
    """Standard errors of the means of rows (blocks, n)."""
    return np.asarray(rows.std(axis=0, ddof=1) / len(rows) ** 0.5)


def _mean(rows: np.ndarray) -> tuple[float, float]:
    return float(_average(rows)), float(_scatter(rows))


def green_kubo(
    velocities: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    frame_interval: float,
    temperature: float,
    volume: float,
    cutoff: float,
    framework: Sequence[str] = (),
    blocks: int = 20,
) -> Onsager:
    """Onsager matrix from velocities: plateaus of the integrals of their correlation, errors from blocks of the run.

    Args:
        velocities: (frames, n, 3), Å/fs; the frames must lie close enough to follow a vibration (a few fs).
        labels: species of every atom. masses: of every atom, any unit.
        frame_interval: time between frames, fs. temperature: K. volume: Å³.
        cutoff: time up to which the correlation is integrated, fs; the integral must be flat from PLATEAU_FROM of it on.
        framework: species that make the reference frame; none: barycentric.
        blocks: parts of the run whose integrals are compared.

    Raises:
        UserError: too few frames, fewer than MINIMUM_BLOCKS blocks, or a cutoff below four frames or longer than half a block.
    """
    length, lag = _blocks(len(velocities), frame_interval, cutoff, blocks)
    require_motion(np.concatenate([np.zeros_like(velocities[:1]), velocities]))
    species, currents = summed(velocities, labels, masses, framework)
    correlations = np.array([_correlation(currents[b * length : (b + 1) * length], lag) for b in range(blocks)])
    integrals = running_integral(correlations, frame_interval)
    values, errors, limits, told, notes = _borne(species, correlations.mean(axis=0), integrals, framework)
    scale = 1e-5 / (3 * BOLTZMANN * temperature * volume * 1e-30)
    times, counts = np.arange(lag + 1) * frame_interval, tuple(int(np.sum(np.array(labels) == one)) for one in species)
    window = (float(times[round(PLATEAU_FROM * lag)]), float(times[-1]))
    return Onsager(
        species, counts, values * scale, errors * scale, times, integrals.mean(axis=0), window, temperature, volume * 1e-30,
        len(currents) * frame_interval / 1000.0, frame_name(framework), "green-kubo", limits * scale, told, notes,
    )  # fmt: skip


def _blocks(frames: int, frame_interval: float, cutoff: float, blocks: int) -> tuple[int, int]:
    """Frames of a block, and of the cutoff. Raises UserError as `green_kubo`."""
    if blocks < MINIMUM_BLOCKS:
        raise UserError(f"blocks = {blocks}: at least {MINIMUM_BLOCKS} are needed for an error")
    if frames < 8 * blocks:
        fewest = f"{8 * blocks} are the fewest, eight in each of the {blocks} blocks that are compared"
        raise UserError(f"{frames} frames are too few for a correlation of velocities: {fewest}")
    length, lag = frames // blocks, round(cutoff / frame_interval)
    if not 4 <= lag <= length // 2:
        longest = length // 2 * frame_interval
        allowed = f"between four frames ({4 * frame_interval:g} fs) and half of one of the {blocks} blocks ({longest:g} fs)"
        raise UserError(f"cutoff {cutoff:g} fs: {allowed} is needed")
    return length, lag


def running_integral(correlations: np.ndarray, frame_interval: float) -> np.ndarray:
    """Running integrals of correlations (blocks, lags, …) from time 0, by the trapezium rule."""
    steps = (correlations[:, 1:] + correlations[:, :-1]) / 2 * frame_interval
    return np.concatenate([np.zeros_like(correlations[:, :1]), np.cumsum(steps, axis=1)], axis=1)


def _borne(
    species: Sequence[str], correlation: np.ndarray, integrals: np.ndarray, framework: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Values, errors (s, s), limits (s,), pairs that are estimates (s, s), and notes on the others, as `onsager.Onsager`."""
    many, notes = len(species), []
    values, errors = np.zeros((many, many)), np.zeros((many, many))
    limits, told = np.full(many, np.inf), np.full((many, many), True)
    own = np.diag(correlation[0])
    rests, still = frame_alone(species, framework), own <= NOTHING * own.max()
    for i in range(many):
        for j in range(i, many):
            if rests[i] or rests[j]:
                continue
            found, pair = read(integrals[:, :, i, j]), f"{species[i]}-{species[j]}"
            values[[i, j], [j, i]], errors[[i, j], [j, i]] = found.value, found.stderr
            if still[i] or still[j]:
                told[i, j] = told[j, i] = False
                if i == j:
                    limits[i] = np.nan
                notes.append(f"{pair}: left out: nothing moves")
                continue
            reason, limit = found.reason, found.limit
            left = float(correlation[1, i, i] / own[i])
            if i == j and left < RESOLVED:
                reason, limit = f"{left:.0%} of the correlation is left after one frame, the frames are too far apart", None
            elif i == j and not reason and found.value < 2 * found.stderr:
                reason = "the plateau is below twice its error"
            if reason:
                told[i, j] = told[j, i] = False
                if i == j:
                    limits[i] = np.nan if limit is None else limit
                kind = "an upper bound (95 %)" if i == j and limit is not None else "left out"
                notes.append(f"{pair}: {kind}: {reason}")
    for i, j in zip(*np.triu_indices(many, 1), strict=True):
        pair = f"{species[i]}-{species[j]}"
        if told[i, j] and not (told[i, i] and told[j, j]):
            told[i, j] = told[j, i] = False
            notes.append(f"{pair}: left out: no estimate of one of its species")
        elif told[i, j] and not framework and many == 2:
            told[i, j] = told[j, i] = False
            notes.append(f"{pair}: left out: of two species the centre of mass alone sets it, not a measurement")
    return values, errors, limits, told, tuple(notes)


def _correlation(currents: np.ndarray, lag: int) -> np.ndarray:
    """Symmetrised correlation <J_i(0)·J_j(t)> (lag + 1, s, s) of currents (frames, s, 3)."""
    size = 2 * len(currents)
    spectrum = np.fft.rfft(currents, n=size, axis=0)
    products = np.einsum("fix,fjx->fij", spectrum.conj(), spectrum)
    found = np.fft.irfft(products, n=size, axis=0)[: lag + 1] / (len(currents) - np.arange(lag + 1))[:, None, None]
    return np.asarray((found + found.transpose(0, 2, 1)) / 2)


def transference(
    velocities: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    charges: Mapping[str, float],
    frame_interval: float,
    cutoff: float,
    framework: Sequence[str] = (),
    blocks: int = 20,
) -> Transference:
    """Transference numbers from the currents z_i J_i and their sum, errors by the jackknife over the blocks of the run.

    Arguments are as `green_kubo`, charges as `onsager.transference`.

    Raises:
        UserError: as `green_kubo`, no charge, or one of a species that is not there.
    """
    own = charges_of(charges, labels)
    length, lag = _blocks(len(velocities), frame_interval, cutoff, blocks)
    require_motion(np.concatenate([np.zeros_like(velocities[:1]), velocities]))
    species, currents = summed(velocities, labels, masses, framework)
    joint = with_charge(currents, species, own)
    correlations = np.array([_correlation(joint[b * length : (b + 1) * length], lag) for b in range(blocks)])
    integrals = running_integral(correlations, frame_interval)
    first = round(PLATEAU_FROM * lag)
    means = integrals[:, first:, :, -1].mean(axis=1)  # (blocks, s + 1)
    left_out = means.sum(axis=0) - means
    stderr = jackknife_error(left_out[:, :-1] / left_out[:, -1:])
    total = read(integrals[:, :, -1, -1])
    faint = "the plateau of the charge is below twice its error" if total.value < 2 * total.stderr else ""
    reason = set_by_masses(species, framework) or total.reason or faint
    fixed = set_by_frame(species, own, framework)
    values = means.mean(axis=0)
    window = (first * frame_interval, lag * frame_interval)
    return Transference(species, values[:-1] / values[-1], np.zeros_like(stderr) if fixed else stderr, frame_name(framework),
                        "green-kubo", window, len(currents) * frame_interval / 1000.0, own, reason, fixed)  # fmt: skip


def self_diffusivity(
    velocities: np.ndarray, moving: np.ndarray, frame_interval: float, cutoff: float, blocks: int = 20
) -> Plateau:
    """Self-diffusivity D = 1/3 ∫ <v(0)·v(t)> dt (m²/s) of the `moving` atoms, their framework's mean velocity taken off.

    Args:
        velocities: (frames, n, 3), Å/fs. moving: indices; the others are the framework (themselves where there is no other).
        frame_interval, cutoff: fs. blocks: as `green_kubo`.

    Raises:
        UserError: as `green_kubo`.
    """
    tracks = without_drift(velocities, moving)
    length, lag = _blocks(len(tracks), frame_interval, cutoff, blocks)
    pieces = [mean_correlation(tracks[b * length : (b + 1) * length], lag) for b in range(blocks)]
    return read(diffusivity_to_si(1.0) / 3 * running_integral(np.array(pieces), frame_interval))


def mean_correlation(velocities: np.ndarray, lag: int) -> np.ndarray:
    """Mean over the atoms of <v(0)·v(t)> (lag + 1,) of velocities (frames, n, 3)."""
    spectrum = np.fft.rfft(velocities, n=2 * len(velocities), axis=0)
    power = (np.abs(spectrum) ** 2).sum(axis=(1, 2)) / velocities.shape[1]
    found = np.fft.irfft(power, n=2 * len(velocities))[: lag + 1]
    return np.asarray(found / (len(velocities) - np.arange(lag + 1)))
