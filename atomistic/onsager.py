"""Collective transport from a trajectory: the Onsager matrix, ionic conductivity, transference numbers, Haven ratio.

Onsager coefficients of the species i, j from their summed displacements R_i(t) = Σ_{k in i} [r_k(t) - r_ref(t)] (Einstein)

    L_ij = (1 / 6 k_B T V) d/dt <ΔR_i · ΔR_j>,

or from their summed velocities J_i = Σ v_k (Green and Kubo)

    L_ij = (1 / 3 k_B T V) ∫_0^∞ <J_i(0) · J_j(t)> dt,

in the barycentric frame (r_ref: centre of mass) or in that of a framework (r_ref: mean of its atoms). The ionic conductivity
is σ = e² Σ_ij z_i z_j L_ij, the transference number t_i = Σ_j z_i z_j L_ij / Σ_ij z_i z_j L_ij. Units: L in 1/(J m s).
Source: Fong, Self, McCloskey & Persson, Macromolecules 53, 9503 (2020) (memory); docs/physics.md 1.10.

A sum over many ions is Gaussian: slope and error follow from generalised least squares with the covariance of Brownian motion
(`brownian_covariance`). There is one R_i however many ions there are: a collective quantity needs a long run, not a big cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import units

from atomistic.diffusivity import MINIMUM_FRAMES, read_frames, require_motion, unwrap
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property

FITTED_FROM = 0.01
"""Share of the run at which the fitted lags begin, unless said otherwise."""
FITTED_TO = 0.1
"""Share of the run at which they end: beyond, too few displacements do not overlap."""
LAGS = 20
MINIMUM_BLOCKS = 10
"""Fewest blocks a Green-Kubo error is taken from."""
Method = Literal["einstein", "green-kubo"]


@dataclass(frozen=True)
class Onsager:
    """Onsager coefficients of one run.

    Attributes:
        species: names, in the order of the matrix. counts: atoms of each.
        matrix: L_ij (s, s), 1/(J m s). stderr: its standard errors (s, s).
        lags: times (n,), fs; curves: what was fitted: C_ij in Å² (n, s, s), or running integrals of the velocity
            correlation in Å²/fs (Green-Kubo).
        window: first and last time of the fit (Einstein) or the time at which the integral is read (both alike), fs.
        temperature: K. volume: m³. picoseconds: length of the run. frame: "barycentric" or the name of the framework.
        method: "einstein" or "green-kubo".
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

    def records(self, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
        """One record an independent coefficient, quantity "onsager_coefficient", conditions["species"] = "Li-P"."""
        found = []
        for i, first in enumerate(self.species):
            for j in range(i, len(self.species)):
                where = {**conditions, "temperature_K": self.temperature, "species": f"{first}-{self.species[j]}"}
                record = Property(
                    material, "onsager_coefficient", float(self.matrix[i, j]), "1/(J*m*s)", stderr=float(self.stderr[i, j]),
                    conditions={**where, "frame": self.frame}, kind="md", source={**source, **self._told()},
                )  # fmt: skip
                found.append(record)
        return found

    def _told(self) -> dict[str, Any]:
        """Where the numbers come from, for a record."""
        return {"method": self.method, "picoseconds": self.picoseconds, "window_fs": list(self.window)}


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
    names = np.array(labels)
    species = tuple(sorted(set(labels)))
    if lacking := sorted(set(framework) - set(species)):
        raise UserError(f"framework species {', '.join(lacking)}: not in the trajectory, which holds {', '.join(species)}")
    if framework and not set(species) - set(framework):
        raise UserError(f"framework species {', '.join(species)}: nothing else is there to move against it")
    if not framework and len(species) < 2:
        raise UserError(f"{', '.join(species)} alone rests in the frame of its own centre of mass; name a framework")
    moved = np.asarray(positions - positions[:1], dtype=float)
    weights = np.isin(names, list(framework)).astype(float) if framework else np.asarray(masses, dtype=float)
    moved -= np.einsum("fnx,n->fx", moved, weights / weights.sum())[:, None]
    return species, np.stack([moved[:, names == one].sum(axis=1) for one in species], axis=1)


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
    lags = _lags(len(sums), frame_interval, window)
    curves = np.array([_overlaps(sums, lag) for lag in lags])
    slopes, errors = slope_matrix(curves, lags, len(sums))
    scale = 1e-5 / frame_interval / (6 * BOLTZMANN * temperature * volume * 1e-30)
    return Onsager(
        species, tuple(int(np.sum(np.array(labels) == one)) for one in species), slopes * scale, errors * scale,
        lags * frame_interval, curves, (float(lags[0] * frame_interval), float(lags[-1] * frame_interval)), temperature,
        volume * 1e-30, len(sums) * frame_interval / 1000.0, "+".join(framework) or "barycentric", "einstein",
    )  # fmt: skip


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


def slope_matrix(curves: np.ndarray, lags: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of C_ij against the lag and their errors (s, s), in units of C per frame, by generalised least squares.

    Args:
        curves: C_ij (n, s, s). lags: (n,), frames. frames: length of the run.
    """
    inverse = np.linalg.inv(brownian_covariance(lags, frames))
    design = np.column_stack([lags, np.ones(len(lags))]).astype(float)
    unit = np.linalg.inv(design.T @ inverse @ design)
    slopes = np.einsum("l,lij->ij", (unit @ design.T @ inverse)[0], curves)
    own = np.abs(np.diag(slopes))
    return slopes, np.sqrt(unit[0, 0] * (np.outer(own, own) + slopes**2) / 3.0)


def brownian_covariance(lags: np.ndarray, frames: int) -> np.ndarray:
    """Covariance (n, n) of mean products of displacements over all windows of a Brownian motion, its amplitude taken out.

    For displacements with <ΔR_i·ΔR_j> = s_ij τ in three dimensions, cov(C_ij(a), C_ij(b)) = (s_ii s_jj + s_ij²)/3 M_ab,

        M_ab = Σ_{k,l} o(k, l)² / [(N - a)(N - b)],

    where o is the number of steps that the windows k … k + a and l … l + b share (Qian, Sheetz & Elson, Biophys. J. 60, 910
    (1991), memory; checked against simulated walks).
    """
    found = np.empty((len(lags), len(lags)))
    for i, a in enumerate(lags):
        for j, b in enumerate(lags[: i + 1]):
            shift = np.arange(-b + 1, a)  # start of the window of b steps after that of a steps
            shared = np.minimum(a, shift + b) - np.maximum(0, shift)
            # starts k with 0 <= k <= N - 1 - a and 0 <= k + shift <= N - 1 - b
            pairs = np.minimum(frames - 1 - a, frames - 1 - b - shift) - np.maximum(0, -shift) + 1
            value = float(np.sum(np.maximum(pairs, 0) * shared.astype(float) ** 2)) / ((frames - a) * (frames - b))
            found[i, j] = found[j, i] = value
    return found


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
    """Onsager matrix from velocities: the integral of their correlation up to `cutoff`, its error from blocks of the run.

    Args:
        velocities: (frames, n, 3), Å/fs; the frames must lie close enough to follow a vibration (a few fs).
        labels, masses, frame_interval, temperature, volume, framework: as `einstein`.
        cutoff: time at which the running integral is read, fs: on its plateau.
        blocks: parts of the run whose integrals are compared.

    Raises:
        UserError: too few frames, fewer than MINIMUM_BLOCKS blocks, or a cutoff longer than half a block.
    """
    if blocks < MINIMUM_BLOCKS:
        raise UserError(f"blocks = {blocks}: at least {MINIMUM_BLOCKS} are needed for an error")
    # what sums displacements sums velocities too: the zero at the first frame shifts no mean that matters
    drift = np.concatenate([np.zeros_like(velocities[:1]), velocities])
    species, sums = displacements(drift, labels, masses, framework)
    currents = sums[1:]
    length, lag = len(currents) // blocks, round(cutoff / frame_interval)
    if not 1 <= lag <= length // 2:
        raise UserError(f"cutoff {cutoff:g} fs: between one frame ({frame_interval:g} fs) and half a block "
                        f"({length // 2 * frame_interval:g} fs) is needed")  # fmt: skip
    integrals = np.array(
        [_integral(currents[b * length : (b + 1) * length], lag, frame_interval) for b in range(blocks)]
    )  # (blocks, lags, s, s)
    mean, error = integrals.mean(axis=0), integrals[:, -1].std(axis=0, ddof=1) / blocks**0.5
    scale = 1e-5 / (3 * BOLTZMANN * temperature * volume * 1e-30)
    times = np.arange(lag + 1) * frame_interval
    return Onsager(
        species, tuple(int(np.sum(np.array(labels) == one)) for one in species), mean[-1] * scale, error * scale, times, mean,
        (cutoff, cutoff), temperature, volume * 1e-30, len(currents) * frame_interval / 1000.0,
        "+".join(framework) or "barycentric", "green-kubo",
    )  # fmt: skip


def _integral(currents: np.ndarray, lag: int, frame_interval: float) -> np.ndarray:
    """Running integrals (lag + 1, s, s) of the symmetrised correlation <J_i(0)·J_j(t)> by the trapezium rule."""
    size = 2 * len(currents)
    spectrum = np.fft.rfft(currents, n=size, axis=0)
    products = np.einsum("fix,fjx->fij", spectrum.conj(), spectrum)
    correlation = np.fft.irfft(products, n=size, axis=0)[: lag + 1] / (len(currents) - np.arange(lag + 1))[:, None, None]
    correlation = (correlation + correlation.transpose(0, 2, 1)) / 2
    steps = (correlation[1:] + correlation[:-1]) / 2 * frame_interval
    return np.concatenate([np.zeros_like(correlation[:1]), np.cumsum(steps, axis=0)])


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
class Conductivity:
    """Collective conductivity of one run: σ and its error (S/m), charge diffusivity D_σ and its error (m²/s)."""

    value: float
    stderr: float
    diffusivity: float
    diffusivity_stderr: float
    carriers: int


def charge_conductivity(
    positions: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    charges: Mapping[str, float],
    frame_interval: float,
    temperature: float,
    volume: float,
    window: tuple[float, float] | None = None,
) -> Conductivity:
    """Conductivity from the displacement of all charge, P = Σ z_i R_i (Einstein–Helfand), with an error of its own.

    The species without a charge in `charges` (or with charge 0) make the reference frame where there are any, else the centre
    of mass does. D_σ = σ k_B T V / (N z² e²) counts the charged ions N, z² their mean square charge.

    Args:
        charges: of the moving species, elementary charges; the others are as `einstein`.

    Raises:
        UserError: no charge, a charged species that is not in the trajectory, and what `einstein` refuses.
    """
    carrying = {name: float(z) for name, z in charges.items() if z}
    if not carrying:
        raise UserError("no species carries a charge: name at least one, such as Li=1")
    if lacking := sorted(set(carrying) - set(labels)):
        held = ", ".join(sorted(set(labels)))
        raise UserError(f"charged species {', '.join(lacking)}: not in the trajectory, which holds {held}")
    framework = tuple(sorted(set(labels) - set(carrying)))
    species, sums = displacements(positions, labels, masses, framework)
    charge = np.einsum("fsx,s->fx", sums, np.array([carrying.get(name, 0.0) for name in species]))[:, None]
    lags = _lags(len(charge), frame_interval, window)
    curves = np.array([_overlaps(charge, lag) for lag in lags])
    slope, error = (float(part[0, 0]) * 1e-5 / frame_interval for part in slope_matrix(curves, lags, len(charge)))
    counts = {name: int(np.sum(np.array(labels) == name)) for name in carrying}
    square = sum(counts[name] * z**2 for name, z in carrying.items())
    scale = ELEMENTARY_CHARGE**2 / (6 * BOLTZMANN * temperature * volume * 1e-30)
    return Conductivity(slope * scale, error * scale, slope / 6 / square, error / 6 / square, sum(counts.values()))


def haven_ratio(self_diffusivity: tuple[float, float], charge_diffusivity: tuple[float, float]) -> tuple[float, float]:
    """Haven ratio H_R = D_self/D_σ and its standard error, from both diffusivities with their errors (m²/s).

    The errors are added as if independent; that of D_σ is much the larger one.
    """
    (own, own_error), (charge, charge_error) = self_diffusivity, charge_diffusivity
    ratio = own / charge
    return ratio, abs(ratio) * float(np.hypot(own_error / own, charge_error / charge))


def conductivity_record(found: Conductivity, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Record of the ionic conductivity, S/m: an estimate, or an upper bound (95 %) where it is below twice its error."""
    told = {**source, "carriers": found.carriers, "method": "collective displacement of charge (Einstein)"}
    if found.value < 2 * found.stderr:
        limit = max(found.value, 0.0) + 1.645 * found.stderr
        return Property(material, "ionic_conductivity", limit, "S/m", bound="upper", conditions=conditions, source=told)
    return Property(material, "ionic_conductivity", found.value, "S/m", stderr=found.stderr, conditions=conditions, source=told)


@dataclass(frozen=True)
class Read:
    """What a trajectory file holds for a collective analysis: unwrapped positions in Å, masses in u, mean volume in Å³."""

    positions: np.ndarray
    velocities: np.ndarray | None  # (frames, n, 3), Å/fs; None where the file has no momenta
    labels: list[str]
    masses: np.ndarray
    volume: float
    formula: str


def read_trajectory(path: str | Path) -> Read:
    """Everything an Onsager analysis needs from any trajectory ASE reads.

    Raises:
        UserError: unreadable, changing atoms, a position that is not finite, or no three-dimensional cell.
    """
    frames = read_frames(path)
    volumes = np.array([abs(np.linalg.det(frame.cell.array)) for frame in frames])
    if not (volumes > 0).all():
        raise UserError(f"{path}: frame {int(np.argmin(volumes))} has no three-dimensional cell; a conductivity needs a volume")
    momenta = [frame.get_momenta() for frame in frames]
    moving = all("momenta" in frame.arrays for frame in frames) and any(np.abs(p).max() > 0 for p in momenta)
    masses = frames[0].get_masses()
    velocities = np.array(momenta) / masses[:, None] * units.fs if moving else None
    labels, formula = frames[0].get_chemical_symbols(), frames[0].get_chemical_formula(empirical=True)
    return Read(unwrap(frames), velocities, labels, masses, float(volumes.mean()), formula)
