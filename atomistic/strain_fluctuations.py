"""Isothermal elastic tensor of a trajectory whose cell is free, by the fluctuations of its strain or the stress beside it.

    C = (k_B T/V) <ε ε>⁻¹          "fluctuations": constant pressure, every cell edge and angle free
    C = <σ ε> <ε ε>⁻¹              "stress": regression of the stress of every frame on its strain

with ε the strain of the cell from its mean (Lagrange's, ½(F Fᵀ - 1), which a turning cell does not change), its mean taken off.
In a run both are the same in the mean, since <σ_i ε_j> = (k_B T/V) δ_ij; the second also serves strained structures at rest, and
a barostat that is not quite one. σ is the potential's with the kinetic part of equipartition, -N k_B T/V.

The moments <ε ε>, or the slopes, are averaged over the point group before they are inverted. Their covariance is that of blocks
of the run, each error that of a correlated mean (`correlated.mean_error`); what the mean of the strain takes off the moments, and
what the error of the moments adds to their inverse (second order), is put right. A tensor at a mean stress P that is not zero is
the one that relates stress and strain there.

Where the cell is not free in all six but breathes (its three normal strains are one and the same, or all free), the fluctuation
of its volume gives the bulk modulus alone, K = k_B T V/<δV²>; of a cell that is free along c only it would give C33.

Sources: Parrinello & Rahman, J. Chem. Phys. 76, 2662 (1982); Gusev, Zehnder & Suter, Phys. Rev. B 54, 1 (1996) (both memory);
docs/physics.md 1.10.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms, units
from scipy.spatial.transform import Rotation

from atomistic.correlated import in_blocks, independent, mean_error
from atomistic.elasticity import ROUNDING, VOIGT, ElasticTensor, averaged
from atomistic.frames import stress_of
from atomistic.thermal_elasticity import lowest_stiffness
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.units import pressure_to_si

SYMMETRIES = {"triclinic": "C1", "orthorhombic": "D2", "tetragonal": "D4", "trigonal": "D3", "hexagonal": "D6", "cubic": "O"}
"""Crystal systems and the rotations (Schoenflies) that their tensors are averaged over: main axis z, cubic ones x, y, z."""
FEWEST = 20
"""Independent strains, of the slowest of the six, and frames that a run must hold."""
STRUCTURES = 12
"""Fewest strained structures, both signs of six strains."""
MOST = 0.2
"""Strain from the mean that no solid at rest in its cell has."""
SAME = 1e-3
"""Share of the largest strain by which two that are one differ."""
FACTORS = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
"""Engineering strains over tensor ones."""


@dataclass(frozen=True)
class Strains:
    """Strain (frames, 6) of every cell from the mean one, Voigt order, tensor shears, less its mean; volumes (frames,), Å³."""

    values: np.ndarray
    volumes: np.ndarray


def rotations(symmetry: str) -> np.ndarray:
    """Point group (n, 3, 3) of a crystal system of SYMMETRIES. Raises UserError: another name."""
    if symmetry not in SYMMETRIES:
        raise UserError(f"symmetry {symmetry}: {', '.join(SYMMETRIES)}")
    return np.asarray(Rotation.create_group(SYMMETRIES[symmetry]).as_matrix())


def strains(frames: Sequence[Atoms]) -> Strains:
    """Strains of a trajectory, axes as in its first frame.

    Raises:
        UserError: no three-dimensional cell, or one that strains by more than MOST.
    """
    if any(frame.cell.rank < 3 for frame in frames):
        raise UserError("a frame has no three-dimensional cell, which strains are told from")
    cells = np.array([frame.cell.array for frame in frames])
    gradients = np.linalg.solve(cells[:1], cells)
    values, vectors = np.linalg.eigh(gradients @ np.swapaxes(gradients, 1, 2))
    stretches = (vectors * np.sqrt(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    from_mean = np.linalg.solve((cells[0] @ stretches.mean(axis=0))[None], cells)
    lagrange = (from_mean @ np.swapaxes(from_mean, 1, 2) - np.eye(3)) / 2
    found = np.array([lagrange[:, i, j] for i, j in VOIGT]).T
    if (largest := float(np.abs(found).max())) > MOST:
        told = f"the cell strains by {largest:.2g} from its mean, more than a solid does"
        raise UserError(f"{told}: it flows or melts, or its box flips")
    return Strains(found - found.mean(axis=0), np.abs(np.linalg.det(cells)))


def from_fluctuations(known: Strains, temperature: float, symmetry: str) -> ElasticTensor:
    """Elastic tensor, Pa, of a run at constant pressure.

    Args:
        known: of the run. temperature: K. symmetry: of SYMMETRIES.

    Raises:
        UserError: too few frames or independent strains, or a cell that is not free in all six.
    """
    _require_enough(known.values)
    if free_strains(known) < 6:
        raise UserError(f"the cell is free in {free_strains(known)} of six strains; a run whose edges and angles are all free is "
                        "needed for a tensor")  # fmt: skip
    moments, noise = mean_product(known.values, known.values)
    found = averaged(moments + mean_covariance(known.values), noise, rotations(symmetry), clearly=True)
    return _inverse(found, BOLTZMANN * temperature / (float(known.volumes.mean()) * 1e-30))


def _inverse(moments: ElasticTensor, scale: float) -> ElasticTensor:
    """Scale × (moments of engineering strains)⁻¹ with its covariance to first and its bias to second order."""
    factors = np.outer(FACTORS, FACTORS)
    inverse = np.linalg.inv(moments.constants * factors)
    noise = moments.covariance * np.outer(factors.ravel(), factors.ravel())
    bias = inverse @ np.einsum("iklj,kl->ij", noise.reshape(6, 6, 6, 6), inverse) @ inverse
    turned = scale * np.kron(inverse, inverse)
    return ElasticTensor(scale * (inverse - bias), turned @ noise @ turned.T)


def from_stresses(known: Strains, stresses: np.ndarray, symmetry: str) -> ElasticTensor:
    """Elastic tensor, Pa, by regression of the stresses (frames, 6), Pa, on the strains.

    Raises:
        UserError: too few frames, strains that do not differ in all six ways, or a tensor that the noise of the stresses hides.
    """
    count = len(known.values)
    if count < STRUCTURES:
        raise UserError(f"{count} frames; {STRUCTURES} of different strains are needed, both signs of each of the six say")
    if free_strains(known) < 6:
        raise UserError(f"the frames differ in {free_strains(known)} of six strains; all are needed for a tensor")
    strained = known.values * FACTORS
    weights = np.linalg.pinv(strained).T
    slopes = stresses.T @ weights
    left = stresses - stresses.mean(axis=0) - strained @ slopes.T
    noise = count**3 / (count - 7) * mean_product(left, weights)[1] + (ROUNDING * np.abs(slopes).max()) ** 2 * np.eye(36)
    found = averaged(slopes, noise, rotations(symmetry), clearly=True)
    stiffness, error = lowest_stiffness(found)
    if stiffness < 2 * error:
        told = f"lowest stiffness {stiffness / 1e9:.2g} ± {error / 1e9:.2g} GPa"
        raise UserError(f"{told}: too uncertain for constants and moduli, or unstable; more frames or larger strains are needed")
    return found


def bulk_modulus(known: Strains, temperature: float) -> tuple[float, float]:
    """Isothermal bulk modulus and its standard error, Pa, from the volume of a run at constant pressure and `temperature` (K).

    Raises:
        UserError: too few frames or independent volumes, one that does not change, or a cell that does not breathe.
    """
    away = (known.volumes - known.volumes.mean())[:, None]
    if not np.abs(away).max() > 1e-9 * known.volumes.mean():
        raise UserError("the volume of the cell does not change; a run at constant pressure is needed, or strained frames with "
                        "their stresses")  # fmt: skip
    _require_breathing(known)
    _require_enough(away)
    square = float((away**2).mean()) + mean_error(away[:, 0]) ** 2
    share = (2 / _squares(away[:, 0])) ** 0.5
    value = BOLTZMANN * temperature * float(known.volumes.mean()) / square * 1e30
    return value * (1 - share**2), value * share


def _squares(away: np.ndarray) -> float:
    """Independent squares in Gaussian values (frames,), the variance of their mean being 2<x²>²/this.

    Those of an autoregression in which m of n values are independent, n/Σ ρ² = 2 n² m/(n² + m²). What the squares tell
    themselves, which see too little memory where their mean is low, counts where it is less than half of it: volumes that swing.
    """
    count, squares = len(away), away**2
    alone, own = (independent(np.ones((count, 1)), each) for each in (away, squares - squares.mean()))
    falling = 2 * count**2 * alone / (count**2 + alone**2)
    return own if own < falling / 2 else falling


def free_strains(known: Strains) -> int:
    """In how many independent ways the cell strains, 0 to 6."""
    spread = np.linalg.eigvalsh(known.values.T @ known.values)
    return int((spread > max(1e-6 * spread[-1], 1e-20 * len(known.values))).sum())


def _require_breathing(known: Strains) -> None:
    """Refuse a cell whose normal strains are neither one and the same nor all free. Raises UserError with those that move."""
    normal, largest = known.values[:, :3], np.abs(known.values).max(axis=0)
    ways = free_strains(replace(known, values=normal))
    if ways == 3 or max(np.ptp(normal, axis=1).max(), *largest[3:]) < SAME * largest.max():
        return
    moving = " and ".join("xyz"[axis] for axis in range(3) if largest[axis] > SAME * largest.max()) or "no axis"
    told = f"the cell strains along {moving}, in {ways} independent ways: its volume gives no bulk modulus"
    raise UserError(f"{told}; it must be free along all three axes, or breathe by the same strain along each")


def _require_enough(values: np.ndarray) -> None:
    """Refuse a run of too few frames, or independent values (frames, n) of the slowest. Raises UserError."""
    if len(values) < FEWEST:
        raise UserError(f"{len(values)} frames are too few for fluctuations; at least {FEWEST} are needed")
    least = min(independent(np.ones((len(values), 1)), each - each.mean()) for each in values.T)
    if least < FEWEST:
        raise UserError(f"{len(values)} frames hold {least:.0f} independent strains, {FEWEST} are needed: run longer")


def mean_product(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean product <l rᵀ> (6, 6) of correlated series (frames, 6), and the covariance (36, 36) of its elements, row by row.

    The covariance is that of the products of whitened series, carried back: that of stiff directions would drown in soft ones.
    """
    (white, own), (other, back) = _whitened(left), _whitened(right)
    rows = (white[:, :, None] * other[:, None, :]).reshape(len(left), -1)
    carried = np.kron(own, back)
    return left.T @ right / len(left), carried @ mean_covariance(rows) @ carried.T


def _whitened(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Series (frames, n) of unit covariance and the matrix (n, n) that makes `values` of them: values = white @ matrix.T."""
    variances, vectors = np.linalg.eigh(values.T @ values / len(values))
    spread = np.sqrt(np.maximum(variances, max(1e-14 * variances[-1], 1e-300)))
    return values @ vectors / spread, vectors * spread


def mean_covariance(rows: np.ndarray) -> np.ndarray:
    """Covariance (n, n) of means of correlated rows (frames, n): correlations of blocks, errors of `correlated.mean_error`."""
    blocks = in_blocks(rows)
    found = np.atleast_2d(np.cov(blocks.T)) / len(blocks)
    columns, place = np.unique(rows, axis=1, return_inverse=True)
    errors = np.array([mean_error(column) for column in columns.T])[place.ravel()]
    spread = np.sqrt(np.diag(found))
    ratio = np.divide(errors, spread, out=np.zeros_like(errors), where=spread > 0)
    return np.asarray(found * np.outer(ratio, ratio))


def stresses(frames: Sequence[Atoms], temperature: float | None) -> np.ndarray:
    """Stress (frames, 6), Pa, that the frames hold, with the kinetic part of equipartition at `temperature` (K; None: at rest).

    Raises:
        UserError: a frame without stress, or with one that is not finite.
    """
    found = []
    for number, frame in enumerate(frames):
        own = np.array([stress_of(frame, number)[place] for place in VOIGT])
        kinetic = 0.0 if temperature is None else len(frame) * units.kB * temperature / frame.get_volume()
        found.append(own - kinetic * np.array([1.0, 1, 1, 0, 0, 0]))
    return pressure_to_si(1.0) * np.array(found)
