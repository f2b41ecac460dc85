"""Collective transport from a trajectory: the Onsager matrix and transference numbers.

Onsager coefficients of the species i, j from their summed displacements R_i(t) = Σ_{k in i} [r_k(t) - r_ref(t)] (Einstein)

    L_ij = (1 / 6 k_B T V) d/dt <ΔR_i · ΔR_j>,

or from their summed velocities (Green and Kubo: `green_kubo`), in the barycentric frame (r_ref: centre of mass) or in that of a
framework (r_ref: mean of its atoms). The ionic conductivity is σ = e² Σ_ij z_i z_j L_ij, the transference number
t_i = Σ_j z_i z_j L_ij / Σ_ij z_i z_j L_ij. Units: L in 1/(J m s).
Source: Fong, Self, McCloskey & Persson, Macromolecules 53, 9503 (2020) (memory); docs/physics.md 1.10.

A sum over many ions is Gaussian: slope and error follow from generalised least squares with the covariance of Brownian motion
(`brownian`). There is one R_i however many ions there are: a collective quantity needs a long run, not a big cell. Slopes of
curves that are not linear (vibration) are no estimates: `brownian.judge` turns them into upper bounds, or leaves them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from atomistic.brownian import NOTHING, Slopes, agree, judge, slope_matrix
from atomistic.diffusivity import MINIMUM_FRAMES
from atomistic.frames import require_motion
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property

FITTED_FROM = 0.01
"""Share of the run at which the fitted lags begin, unless said otherwise."""
FITTED_TO = 0.1
"""Share of the run at which they end: beyond, too few displacements do not overlap."""
LAGS = 20
Method = Literal["einstein", "green-kubo"]


@dataclass(frozen=True)
class Onsager:
    """Onsager coefficients of one run.

    Attributes:
        species: names, in the order of the matrix. counts: atoms of each.
        matrix: L_ij (s, s), 1/(J m s). stderr: its standard errors (s, s).
        lags: times (n,), fs; curves: what was fitted: C_ij in Å² (n, s, s), or running integrals of the velocity
            correlation in Å²/fs (Green-Kubo).
        window: first and last lag of the fit (Einstein), or of the part of the integral whose mean is the value (Green-Kubo), fs.
        temperature: K. volume: m³. picoseconds: length of the run. frame: "barycentric" or the name of the framework.
        method: "einstein" or "green-kubo".
        limits: upper limit (95 %) of every L_ii (s,) that is no estimate, nan where there is none; infinite where L_ii may stand.
        told: which pairs (i, j) have an estimate (s, s); notes: what is left out or a bound, and why.
        intervals: 95 % limits of the L_ii (s, 2), nan where the error says all; None: of none.

    In the frame of one species alone every coefficient with that species is exactly 0, which its records say: no measurement.
    """

    species: tuple[str, ...]
    counts: tuple[int, ...]
    matrix: np.ndarray
    stderr: np.ndarray
    lags: np.ndarray
    curves: np.ndarray
    window: tuple[float, float]
    temperature: float
    volume: float
    picoseconds: float
    frame: str
    method: Method
    limits: np.ndarray
    told: np.ndarray
    notes: tuple[str, ...] = ()
    intervals: np.ndarray | None = None

    def records(self, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
        """One record an independent coefficient, quantity "onsager_coefficient", conditions["species"] = "Li-P".

        A coefficient of a species with itself whose curve is not that of diffusion is an upper bound; mixed ones are left out
        then, since no sign of theirs is known (`notes` says so).
        """
        found = []
        for i, first in enumerate(self.species):
            for j in range(i, len(self.species)):
                bounded = i == j and not self.told[i, i] and np.isfinite(self.limits[i])
                if not (self.told[i, j] or bounded):
                    continue
                where = {**conditions, "temperature_K": self.temperature, "species": f"{first}-{self.species[j]}"}
                low, high = self._limits(i) if i == j and not bounded else (None, None)
                record = Property(
                    material, "onsager_coefficient", float(self.limits[i] if bounded else self.matrix[i, j]) + 0.0, "1/(J*m*s)",
                    stderr=None if bounded else float(self.stderr[i, j]), bound="upper" if bounded else None, low=low, high=high,
                    conditions={**where, "frame": self.frame}, kind="md", source={**source, **self._told(where["species"])},
                )  # fmt: skip
                found.append(record)
        return found

    def _limits(self, i: int) -> tuple[float, float] | tuple[None, None]:
        """95 % limits of L_ii, or none."""
        if self.intervals is None or not np.isfinite(self.intervals[i]).all():
            return None, None
        return float(self.intervals[i, 0]), float(self.intervals[i, 1])

    def _told(self, pair: str) -> dict[str, Any]:
        """Where the number of a pair comes from, for a record; with the reason where it is a bound."""
        note = next((note.removeprefix(pair) for note in self.notes if note.startswith(f"{pair}:")), "")
        if self.frame in pair.split("-"):
            note = f": exactly 0 by definition, {self.frame} is the frame"
        return {"method": self.method + note, "picoseconds": self.picoseconds, "window_fs": list(self.window)}


def displacements(
    positions: np.ndarray, labels: Sequence[str], masses: np.ndarray, framework: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray]:
    """Species and their summed displacements R (frames, species, 3), Å.

    Args:
        positions: unwrapped (frames, n, 3), Å.
        labels: species of every atom (n,).
        masses: (n,), any unit.
        framework: species whose mean position is the reference; none: the centre of mass of all.

    Raises:
        UserError: a framework species that is not among the labels, too few frames, or frames that are all alike.
    """
    if len(positions) < MINIMUM_FRAMES:
        raise UserError(f"{len(positions)} frames are too few for Onsager coefficients; at least {MINIMUM_FRAMES} are needed")
    require_motion(positions)
    return summed(positions - positions[:1], labels, masses, framework)


def summed(
    vectors: np.ndarray, labels: Sequence[str], masses: np.ndarray, framework: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray]:
    """Species and the sums of their atoms' vectors (frames, n, 3), displacements or velocities, in the frame (frames, s, 3).

    The sum of a species that makes the frame alone is exactly 0. The other arguments and errors are as `displacements`.
    """
    names, species = np.array(labels), tuple(sorted(set(labels)))
    if lacking := sorted(set(framework) - set(species)):
        raise UserError(f"framework species {', '.join(lacking)}: not in the trajectory, which holds {', '.join(species)}")
    if framework and not set(species) - set(framework):
        raise UserError(f"framework species {', '.join(species)}: nothing else is there to move against it")
    if not framework and len(species) < 2:
        raise UserError(f"{', '.join(species)} alone rests in the frame of its own centre of mass; name a framework")
    moved = np.array(vectors, dtype=float)
    weights = np.isin(names, list(framework)).astype(float) if framework else np.asarray(masses, dtype=float)
    moved -= np.einsum("fnx,n->fx", moved, weights / weights.sum())[:, None]
    sums = np.stack([moved[:, names == one].sum(axis=1) for one in species], axis=1)
    sums[:, frame_alone(species, framework)] = 0.0  # what is left of it there is round-off
    return species, sums


def frame_alone(species: Sequence[str], framework: Sequence[str]) -> np.ndarray:
    """Which species (s,) makes the frame alone; none where several do, which move against their common mean."""
    return np.array([set(framework) == {one} for one in species])


def frame_name(framework: Sequence[str]) -> str:
    """Of `Onsager.frame`."""
    return "+".join(dict.fromkeys(framework)) or "barycentric"


def einstein(
    positions: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    frame_interval: float,
    temperature: float,
    volume: float,
    framework: Sequence[str] = (),
    window: tuple[float, float] | None = None,
) -> Onsager:
    """Onsager matrix from displacements.

    Args:
        positions: unwrapped (frames, n, 3), Å.
        labels: species of every atom. masses: of every atom, any unit.
        frame_interval: time between frames, fs. temperature: K. volume: Å³.
        framework: species that make the reference frame; none: barycentric.
        window: first and last lag of the fit, fs; None: FITTED_FROM … FITTED_TO of the run. It must begin where the
            motion has become diffusive: compare two windows.

    Raises:
        UserError: too few frames, an unknown framework species, or a window that the run does not hold.
    """
    species, sums = displacements(positions, labels, masses, framework)
    lags, curves, slopes = fit(sums, frame_interval, window)
    scale = 1e-5 / frame_interval / (6 * BOLTZMANN * temperature * volume * 1e-30)
    limits, told, notes = _borne(species, curves, slopes, lags, len(sums), framework)
    return Onsager(
        species, tuple(int(np.sum(np.array(labels) == one)) for one in species), slopes.values * scale, slopes.stderr * scale,
        lags * frame_interval, curves, (float(lags[0] * frame_interval), float(lags[-1] * frame_interval)), temperature,
        volume * 1e-30, len(sums) * frame_interval / 1000.0, frame_name(framework), "einstein",
        limits * scale, told, notes, slopes.intervals() * scale,
    )  # fmt: skip


def fit(sums: np.ndarray, frame_interval: float, window: tuple[float, float] | None) -> tuple[np.ndarray, np.ndarray, Slopes]:
    """Fitted lags (n,) in frames, <ΔR_i · ΔR_j> there (n, s, s) and their slopes per frame.

    A lag far below the fitted ones tells how much of the motion is rattling.

    Args:
        sums: summed displacements (frames, s, 3), Å. frame_interval, window: as `einstein`.

    Raises:
        UserError: a window that the run does not hold.
    """
    lags = _lags(len(sums), frame_interval, window)
    curves, early = np.array([_overlaps(sums, lag) for lag in lags]), max(1, int(lags[0]) // 8)
    return lags, curves, slope_matrix(curves, lags, len(sums), (early, _overlaps(sums, early)))


def _borne(
    species: Sequence[str], curves: np.ndarray, fitted: Slopes, lags: np.ndarray, frames: int, framework: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:  # fmt: skip
    """Limits of the slopes per frame (s,), pairs whose slope is an estimate (s, s), and notes on the others."""
    limits, notes, slopes = np.full(len(species), np.inf), [], fitted.values
    own = np.einsum("lii->li", curves)
    rests, still = frame_alone(species, framework), own.max(axis=0) <= NOTHING * own.max()
    fine = rests.copy()
    for i in np.flatnonzero(~rests):
        judged = judge(np.zeros_like(own[:, i]) if still[i] else own[:, i], lags, frames)
        reason = judged.reason
        if judged.diffusive and slopes[i, i] < 2 * fitted.stderr[i, i]:
            reason = "the slope is below twice its error"
        fine[i] = not reason
        if reason:
            limits[i] = np.nan if judged.limit is None else judged.limit
            kind = "left out" if judged.limit is None else "an upper bound (95 %)"
            notes.append(f"{species[i]}-{species[i]}: {kind}: {reason}; longer lags or a longer run are needed")
    told = np.outer(fine, fine)
    if not framework and len(species) == 2:
        told[0, 1] = told[1, 0] = False
        notes.append(f"{species[0]}-{species[1]}: left out: of two species the centre of mass alone sets it, not a measurement")
        return limits, told, tuple(notes)
    for i, j in zip(*np.triu_indices(len(species), 1), strict=True):
        pair = f"{species[i]}-{species[j]}"
        if not told[i, j]:
            notes.append(f"{pair}: left out: no estimate of one of its species")
        elif not (rests[i] or rests[j]) and not agree(curves[:, i, j], lags, frames, (slopes[i, i], slopes[j, j])):
            told[i, j] = told[j, i] = False
            notes.append(f"{pair}: left out: the slopes of the two halves of the fitted lags differ by more than three errors")
    return limits, told, tuple(notes)


def _lags(frames: int, frame_interval: float, window: tuple[float, float] | None) -> np.ndarray:
    """Lags of the fit in frames."""
    whole = frames * frame_interval
    first, last = window if window is not None else (FITTED_FROM * whole, FITTED_TO * whole)
    low, high = max(1, round(first / frame_interval)), round(last / frame_interval)
    if not 0 < first < last or high > frames // 2 or high - low < 2:
        raise UserError(
            f"window {first:g} … {last:g} fs: two rising times with at least three frames between them are needed, "
            f"up to half the run ({whole / 2:g} fs)"
        )
    return np.unique(np.linspace(low, high, min(LAGS, high - low + 1)).round().astype(int))


def _overlaps(sums: np.ndarray, lag: int) -> np.ndarray:
    """<ΔR_i · ΔR_j> (s, s) over all displacements of `lag` frames."""
    steps = sums[lag:] - sums[:-lag]
    return np.asarray(np.einsum("fix,fjx->ij", steps, steps) / len(steps))


def picture(found: Onsager, path: Path) -> None:
    """Write the curve of every pair: products of displacements, or running integrals. Raises RunFailure: it cannot be written."""
    from atomistic.observable_pictures import curves

    pairs = zip(*np.triu_indices(len(found.species)), strict=True)
    drawn: dict[str, Any] = {
        f"{found.species[i]}-{found.species[j]}": (found.lags / 1000, found.curves[:, i, j], None)
        for i, j in pairs
        if found.curves[:, i, j].any()
    }
    label = "displacements ⟨ΔR·ΔR⟩ (Å²)" if found.method == "einstein" else "integral of ⟨J·J⟩ (Å²/fs)"
    curves(path, drawn, "lag (ps)", f"{label}, {found.frame}")


def in_frame(matrix: np.ndarray, counts: Sequence[int], framework: int) -> np.ndarray:
    """Onsager matrix in the frame of one species: A L Aᵀ with A_ij = δ_ij - (N_i/N_f) δ_jf.

    Args:
        matrix: L_ij in any frame. counts: atoms of every species N_i. framework: number f of the species at rest.
    """
    change = np.eye(len(counts))
    change[:, framework] -= np.asarray(counts, dtype=float) / counts[framework]
    return np.asarray(change @ matrix @ change.T)


def conductivity(matrix: np.ndarray, charges: Sequence[float]) -> float:
    """Ionic conductivity σ = e² Σ z_i z_j L_ij, S/m, with L in 1/(J m s)."""
    z = np.asarray(charges, dtype=float)
    return float(ELEMENTARY_CHARGE**2 * z @ matrix @ z)


def transference_numbers(matrix: np.ndarray, charges: Sequence[float]) -> np.ndarray:
    """Transference numbers t_i = Σ_j z_i z_j L_ij / Σ z_i z_j L_ij (s,), of the frame that L is in; they add up to one."""
    z = np.asarray(charges, dtype=float)
    share = z * (matrix @ z)
    return np.asarray(share / share.sum())


@dataclass(frozen=True)
class Transference:
    """Transference numbers t_i of one run, their standard errors (s,), and of which species, in a frame.

    `reason`: why they are no estimates, "" where they are. `fixed`: why they are no measurement but follow from the frame alone.
    """

    species: tuple[str, ...]
    values: np.ndarray
    stderr: np.ndarray
    frame: str
    method: Method
    window: tuple[float, float]
    picoseconds: float
    charges: Mapping[str, float]
    reason: str = ""
    fixed: str = ""

    def records(self, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
        """One record a charged species, quantity "transference_number"; none where there is no estimate."""
        made = {**source, "method": self.method + (f": {self.fixed}" if self.fixed else ""), "charges": dict(self.charges),
                "picoseconds": self.picoseconds, "window_fs": list(self.window)}  # fmt: skip
        return [
            Property(material, "transference_number", float(value), "1", stderr=float(error), kind="md", source=made,
                     conditions={**conditions, "species": name, "frame": self.frame})
            for name, value, error in zip(self.species, self.values, self.stderr, strict=True)
            if not self.reason and self.charges.get(name)
        ]  # fmt: skip


def transference(
    positions: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    charges: Mapping[str, float],
    frame_interval: float,
    framework: Sequence[str] = (),
    window: tuple[float, float] | None = None,
) -> Transference:
    """Transference numbers t_i = s_iP/s_PP (Einstein), slopes of <z_i ΔR_i · ΔP> and <ΔP²> with P = Σ z_i R_i, in the frame.

    A ratio of slopes of one run: the covariance of Brownian motion, (s_ik s_jl + s_il s_jk)/3 V for s_ij and s_kl (`brownian`),
    leaves var t_i = V/3 <(z_i ΔR_i - t_i ΔP)²>/<ΔP²>, nothing where species i carries all the charge. That ratio is taken at the
    first lag, where a vibration counts most. The numbers depend on the frame; in that of a rigid framework the one mobile ion
    has 1, in the barycentric frame less, since the framework recoils.

    Args:
        charges: of the species, elementary charges (absent: 0). The other arguments are as `einstein`.

    Raises:
        UserError: no charge, a charged species that is not in the trajectory, and what `einstein` refuses.
    """
    own = charges_of(charges, labels)
    species, sums = displacements(positions, labels, masses, framework)
    joint = with_charge(sums, species, own)
    lags, curves, fitted = fit(joint, frame_interval, window)
    slopes, errors = fitted.values, fitted.stderr
    ratio = slopes[:-1, -1] / slopes[-1, -1]
    first = curves[0] / curves[0, -1, -1]
    rest = np.maximum(np.diag(first)[:-1] - 2 * ratio * first[:-1, -1] + ratio**2, 0.0)  # round-off may leave less
    stderr = errors[-1, -1] / abs(slopes[-1, -1]) * np.sqrt(rest / 2)
    fixed = set_by_frame(species, own, framework)
    judged = judge(curves[:, -1, -1], lags, len(joint))
    faint = "the slope of the charge is below twice its error" if slopes[-1, -1] < 2 * errors[-1, -1] else ""
    reason = set_by_masses(species, framework) or judged.reason or faint
    spanned = (float(lags[0] * frame_interval), float(lags[-1] * frame_interval))
    return Transference(species, ratio, np.zeros_like(stderr) if fixed else stderr, frame_name(framework), "einstein", spanned,
                        len(joint) * frame_interval / 1000.0, own, reason, fixed)  # fmt: skip


def charges_of(charges: Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
    """The charges that are not zero. Raises UserError: none, or one of a species that is not there."""
    carrying = {name: float(z) for name, z in charges.items() if z}
    if not carrying:
        raise UserError("no species carries a charge: name at least one, such as Li=1")
    if lacking := sorted(set(carrying) - set(labels)):
        held = ", ".join(sorted(set(labels)))
        raise UserError(f"charged species {', '.join(lacking)}: not in the trajectory, which holds {held}")
    return carrying


def with_charge(sums: np.ndarray, species: Sequence[str], charges: Mapping[str, float]) -> np.ndarray:
    """z_i R_i of every species, and their sum P as the last (frames, s + 1, 3), of the sums R_i (frames, s, 3)."""
    charged = sums * np.array([charges.get(name, 0.0) for name in species])[None, :, None]
    return np.concatenate([charged, charged.sum(axis=1, keepdims=True)], axis=1)


def set_by_frame(species: Sequence[str], charges: Mapping[str, float], framework: Sequence[str]) -> str:
    """Why transference numbers follow from the frame, whatever the ions do; "" where they are a measurement."""
    free = [name for name in species if name in charges and not frame_alone(species, framework)[species.index(name)]]
    return f"by definition, {free[0]} alone carries charge in this frame" if len(free) == 1 else ""


def set_by_masses(species: Sequence[str], framework: Sequence[str]) -> str:
    """Why transference numbers about the centre of mass say nothing of the ions; "" where they do."""
    told = "of two species the centre of mass and the charges alone set it, not a measurement"
    return told if not framework and len(species) == 2 else ""
