"""Self diffusivity of a species from a trajectory: an estimate with its error, or an upper bound when too little moved.

Estimate: slope of the mean-squared displacement (MSD) by kinisi's Bayesian regression with the covariance of an MSD
(McCluskey, Coles & Morgan, J. Chem. Theory Comput. 2025, doi:10.1021/acs.jctc.4c01249), drift of the framework removed.

kinisi's covariance describes Gaussian displacements; that of rare hops carries shot noise as well, the same at every lag:
a² / (6 D N t) of D², the inverse of the number of uncorrelated hops (checked on random walks, tests/test_diffusivity.py).
Both are added.

Bound: an ion has hopped when its position averaged over 0.5 ps has moved by more than half a hop length. Fewer than
MINIMUM_HOPS hops, or a slope below twice its error, are no estimate; then the 95 % Poisson limit μ of the hops seen gives
D ≤ μ a² / (6 N t) with the hop length a (the root mean square of the hops seen, where that is longer), N ions and the time t (no
hop: μ = 3.0). Where the slope exceeds twice the error of its regression, ions also move by shorter steps, and the limit of the
slope is told if it is the larger one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from scipy.special import gammaincinv

from atomistic.frames import read_frames, require_motion, unwrap
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property
from coupling.units import diffusivity_to_si

Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
MINIMUM_HOPS = 10
"""Fewest hops from which a diffusivity is estimated; below, a bound is given."""
COUNTED = "Poisson"
"""What the reason of a bound ends with that rests on counted hops alone."""
AVERAGING_FS = 500.0
"""Time over which positions are averaged before hops are counted, fs."""
MINIMUM_FRAMES = 20
"""Fewest frames a diffusivity is taken from."""


@dataclass(frozen=True)
class Diffusion:
    """Self diffusivity of one run.

    Attributes:
        value: m²/s; the bound itself where `bound` is "upper".
        stderr: m²/s, None for a bound.
        bound: "upper" (95 %) or None.
        hops: hops counted; hop_length: Å; ions: number of ions; picoseconds: length of the trajectory.
        lags: time differences (n,), fs; msd: mean-squared displacement (n,), Å², for plots.
        reason: why it is an estimate or a bound, in words.
    """

    value: float
    stderr: float | None
    bound: Literal["upper"] | None
    hops: int
    hop_length: float
    ions: int
    picoseconds: float
    lags: np.ndarray
    msd: np.ndarray
    reason: str

    def to_property(self, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
        """Record of the self diffusivity, m²/s."""
        return Property(
            material, "self_diffusivity", self.value, "m^2/s", stderr=self.stderr, bound=self.bound,
            conditions=dict(conditions), kind="md",
            source={**source, "ions": self.ions, "picoseconds": self.picoseconds, "hops": self.hops, "method": self.reason},
        )  # fmt: skip


def from_positions(
    positions: np.ndarray,
    moving: np.ndarray,
    frame_interval: float,
    hop_length: float | None = None,
    seed: int = 0,
) -> Diffusion:
    """Self diffusivity of the `moving` atoms.

    Args:
        positions: unwrapped positions (frames, n, 3), Å.
        moving: indices of the diffusing atoms; all others are the framework whose drift is removed (the moving atoms'
            own mean where there is no other).
        frame_interval: time between frames, fs.
        hop_length: Å; None takes the mean distance to the nearest moving atom in the averaged starting structure.
        seed: of kinisi's sampling.

    Raises:
        UserError: fewer than MINIMUM_FRAMES frames, or no moving atoms.
    """
    if len(positions) < MINIMUM_FRAMES:
        raise UserError(f"{len(positions)} frames are too few for a diffusivity; at least {MINIMUM_FRAMES} are needed")
    if len(moving) == 0:
        raise UserError("no atom of that species in the trajectory")
    tracks = without_drift(positions, moving)
    window = max(1, min(round(AVERAGING_FS / frame_interval), len(tracks) // 4))
    start = positions[:window].mean(axis=0)[moving]
    length = hop_length if hop_length is not None else nearest_distance(start)
    hops, seen = count_hops(tracks, window, length)
    picoseconds = len(tracks) * frame_interval / 1000.0
    data = mean_squared_displacement(tracks, frame_interval)
    ion_time = len(moving) * picoseconds * 1000.0
    value, stderr, reason = _estimate(data, hops, length, max(length, seen), ion_time, seed)
    return Diffusion(
        value=diffusivity_to_si(value),
        stderr=None if stderr is None else diffusivity_to_si(stderr),
        bound="upper" if stderr is None else None,
        hops=hops,
        hop_length=length,
        ions=len(moving),
        picoseconds=picoseconds,
        lags=data[0],
        msd=data[1],
        reason=reason,
    )


def _estimate(
    data: Curve, hops: int, hop_length: float, longest: float, ion_time: float, seed: int
) -> tuple[float, float | None, str]:  # fmt: skip
    """Value, standard error (None: the value is a bound), Å²/fs, and the reason in words.

    Args:
        longest: hop length of the bounds, Å. ion_time: N t, fs.
    """
    floor = poisson_limit(hops if hops < MINIMUM_HOPS else 0) * longest**2 / (6 * ion_time)
    slope, error = least_squares_slope(*data) if data[1].any() else (0.0, 0.0)
    rough = max(slope, 0.0) / 6.0
    noise = float(np.hypot(error / 6.0, shot_noise(rough, hop_length, ion_time)))
    limit = max(rough + 1.645 * float(np.hypot(error / 6.0, shot_noise(rough, longest, ion_time))), floor)
    if hops < MINIMUM_HOPS:
        told = f"upper bound (95 %): {hops} hops of {longest:.2f} Å in {ion_time / 1000:.0f} ion-ps, {COUNTED}"
        if slope <= 2.0 * error or limit == floor:
            return floor, None, told
        return limit, None, f"{told}; of the MSD slope and its error, which are more (steps shorter than half a hop)"
    if slope / 6.0 < 2.0 * noise:
        return limit, None, f"upper bound (95 %): {hops} hops, but the MSD slope is below twice its error"
    slopes = _sample_slope(*data, seed=seed)
    mean = float(np.mean(slopes)) / 6.0
    spread = float(np.hypot(np.std(slopes, ddof=1) / 6.0, shot_noise(mean, hop_length, ion_time)))
    start = data[0][_diffusive_from(data[0])]
    return mean, spread, f"MSD slope by Bayesian regression (kinisi) from {start:.0f} fs on, framework drift removed"


def from_file(
    path: str | Path, species: str, timestep_fs: float, temperature_K: float | None = None, hop_length: float | None = None
) -> Property:
    """Record of the self diffusivity of `species` from any trajectory ASE reads; arguments and errors are as `of_file`."""
    result, start = of_file(path, species, timestep_fs, hop_length)
    conditions = {} if temperature_K is None else {"temperature_K": temperature_K}
    source = {"trajectory": str(path), "species": species, "frame_interval_fs": timestep_fs, "atoms": len(start)}
    return result.to_property(start.get_chemical_formula(empirical=True), conditions, source)


def of_file(path: str | Path, species: str, timestep_fs: float, hop_length: float | None = None) -> tuple[Diffusion, Atoms]:
    """Self diffusivity of `species` from any trajectory ASE reads, and its first frame.

    Args:
        path: trajectory; wrapped positions are unwrapped by the nearest image from frame to frame.
        species: chemical symbol.
        timestep_fs: time between the frames of the file, fs.
        hop_length: see `from_positions`.

    Raises:
        UserError: no such file, not a trajectory, too few frames, a species that is not in it, a time step that is not positive.
    """
    if not (np.isfinite(timestep_fs) and timestep_fs > 0):
        raise UserError(f'time between frames {timestep_fs!r} fs: a positive time is needed, for example --timestep "2 fs"')
    frames = read_frames(path)
    if species not in atomic_numbers:
        raise UserError(f"{path}: species {species!r} is not a chemical symbol; write for example Li")
    moving = np.flatnonzero(frames[0].numbers == atomic_numbers[species])
    if len(moving) == 0:
        raise UserError(f"{path}: no {species} in it; it holds {', '.join(sorted(set(frames[0].get_chemical_symbols())))}")
    try:
        positions = unwrap(frames)
        if len(positions) >= MINIMUM_FRAMES:
            require_motion(positions)
        result = from_positions(positions, moving, timestep_fs, hop_length)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return result, frames[0]


def picture(found: Diffusion, path: Path) -> None:
    """Write the mean squared displacement with the fitted slope, where there is one. Raises RunFailure: it cannot be written."""
    from atomistic.observable_pictures import displacement_picture

    slopes = {} if found.bound else {"MSD": 6 * found.value / diffusivity_to_si(1.0)}
    fitted = found.lags[_diffusive_from(found.lags) :]
    displacement_picture(path, fitted, {"MSD": (found.lags, found.msd, None)}, slopes, "mean squared displacement")


def without_drift(positions: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Tracks (frames, moving, 3) of the moving atoms relative to the mean of the framework (of themselves if alone)."""
    rest = np.setdiff1d(np.arange(positions.shape[1]), moving)
    frame = rest if len(rest) else moving
    drift = positions[:, frame].mean(axis=1, keepdims=True) if positions.shape[1] > 1 else np.zeros((len(positions), 1, 3))
    return np.asarray(positions[:, moving] - drift, dtype=float)


def nearest_distance(positions: np.ndarray) -> float:
    """Median distance of the points (n, 3) to their nearest neighbour, Å (no periodic images); 3 Å for a single point."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 3.0
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def count_hops(tracks: np.ndarray, window: int, hop_length: float) -> tuple[int, float]:
    """Hops of all ions, and the root mean square of their lengths (Å; 0 of none).

    A hop is a position averaged over `window` frames that left the last one by half a hop length. It may be caught half way: its
    length is what it has become one window later, if that is more.
    """
    windows = len(tracks) // window
    means = tracks[: windows * window].reshape(windows, window, *tracks.shape[1:]).mean(axis=1)
    reference, hops, squares = means[0].copy(), 0, 0.0
    for mean, later in zip(means[1:], [*means[2:], means[-1]], strict=True):
        gone, after = (np.linalg.norm(place - reference, axis=1) for place in (mean, later))
        moved = gone > 0.5 * hop_length
        reference[moved] = mean[moved]
        hops, squares = hops + int(moved.sum()), squares + float((np.maximum(gone, after)[moved] ** 2).sum())
    return hops, (squares / hops) ** 0.5 if hops else 0.0


def poisson_limit(count: int, level: float = 0.95) -> float:
    """Upper limit of a Poisson mean when `count` events were seen: χ²(level; 2 count + 2)/2 (2.996 for none)."""
    return float(gammaincinv(count + 1, level))


def shot_noise(diffusivity: float, hop_length: float, ion_time: float) -> float:
    """Standard error of D (Å²/fs) from the finite number 6 D N t/a² of uncorrelated hops; a in Å, `ion_time` N t in fs."""
    return float(np.sqrt(diffusivity * hop_length**2 / (6.0 * ion_time)))


def mean_squared_displacement(tracks: np.ndarray, frame_interval: float) -> Curve:
    """Lag times (fs), MSD (Å²), its variance (Å⁴) and number of independent displacements, each (n,), n ≤ 60.

    Lags reach half the trajectory. The variance is that of Gaussian displacements, (2/3) MSD², divided by the number of
    displacements that do not overlap, ions × time / lag; the MSD in it is smoothed by a straight line, since a
    variance that follows the noise of the value biases the fit.
    """
    longest = len(tracks) // 2
    lags = np.unique(np.linspace(1, longest, min(longest, 60)).round().astype(int))
    msd = np.array([((tracks[lag:] - tracks[:-lag]) ** 2).sum(axis=-1).mean() for lag in lags])
    independent = tracks.shape[1] * (len(tracks) - 1) / lags
    smooth = np.maximum(np.polyval(np.polyfit(lags, msd, 1), lags), 0.1 * msd)
    return lags * frame_interval, msd, (2.0 / 3.0) * smooth**2 / independent, independent


def nernst_einstein(diffusivity: float, ions: int, volume: float, temperature: float, charge: float = 1.0) -> float:
    """Ionic conductivity σ = (N/V) z² e² D/(k_B T), S/m, of independent ions (Haven ratio 1; docs/physics.md 1.10).

    Args:
        diffusivity: D, m²/s. ions: N in the volume. volume: V, m³. temperature: T, K. charge: z, 1.
    """
    return ions / volume * (charge * ELEMENTARY_CHARGE) ** 2 * diffusivity / (BOLTZMANN * temperature)


def _diffusive_from(lags: np.ndarray) -> int:
    """Index of the first lag of the regression: a tenth of the run, a fifth of the longest lag.

    That is beyond rattling in a cage, and the covariance used is too optimistic when much shorter lags enter.
    """
    return int(np.searchsorted(lags, 0.2 * lags[-1] - 1e-9))


def least_squares_slope(lags: np.ndarray, msd: np.ndarray, variance: np.ndarray, independent: np.ndarray) -> tuple[float, float]:
    """MSD slope and its error, Å²/fs, by generalised least squares in closed form (arguments as `mean_squared_displacement`).

    C_ij = σ_i σ_j (n_j/n_i)^½ for lags i ≤ j: kinisi's σ²_i n_i/n_j where the MSD is all diffusion. The latter is no covariance
    (it has negative eigenvalues) beside a rattling of more than the diffusion within the shortest lags; this one always is.
    It decides whether there is a slope to be sampled.
    """
    first = _diffusive_from(lags)
    x, y, v, n = (values[first:] for values in (lags, msd, variance, independent))
    eigenvalues, vectors = np.linalg.eigh(np.sqrt(np.outer(v, v) * np.minimum.outer(n, n) / np.maximum.outer(n, n)))
    inverse = (vectors / np.maximum(eigenvalues, 1e-12 * eigenvalues[-1])) @ vectors.T
    design = np.column_stack([x / x[-1], np.ones_like(x)])
    covariance = np.linalg.inv(design.T @ inverse @ design)
    return float((covariance @ design.T @ inverse @ y)[0] / x[-1]), float(np.sqrt(covariance[0, 0]) / x[-1])


def _sample_slope(lags: np.ndarray, msd: np.ndarray, variance: np.ndarray, independent: np.ndarray, seed: int) -> np.ndarray:
    """Posterior samples of the MSD slope, Å²/fs, from kinisi.

    Its covariance σ²_i n_i/n_j is that of `least_squares_slope` with 1/(σ_j n_j^½) in the place of n_j, and n_j itself of an MSD
    that is all diffusion. With n_j, slopes of ions that rattle came out as anything, up to 10¹⁸ times the truth.
    """
    import scipp
    from kinisi.diffusion import Diffusion as Regression

    data = scipp.DataArray(
        data=scipp.array(dims=["time interval"], values=msd, variances=variance, unit="angstrom^2"),
        coords={
            "time interval": scipp.array(dims=["time interval"], values=lags, unit="fs"),
            "n_samples": scipp.array(dims=["time interval"], values=1 / np.sqrt(variance * independent)),
        },
    )
    regression = Regression(scipp.DataGroup({"da": data, "dimensionality": scipp.scalar(3)}))
    state = np.random.get_state()  # noqa: NPY002 (kinisi seeds numpy's global generator; it is put back)
    try:
        regression.bayesian_regression(
            start_dt=scipp.scalar(float(lags[_diffusive_from(lags)]), unit="fs"),
            n_samples=500, n_burn=500, n_thin=5, progress=False, random_state=np.random.RandomState(seed),
        )  # fmt: skip
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return np.asarray(regression.gradient.values)
