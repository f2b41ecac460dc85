"""Elastic tensor by strain and stress at 0 K, and the isotropic moduli of a polycrystal of such grains.

Stresses of a potential know no noise. What an error at 0 K can mean is that of the procedure: relaxations that end at a force,
or in another minimum where ions are loose, shake the stresses; anharmonicity bends them; a disordered cell departs from the
symmetry of its mean. How far the potential is from the material stands in none of them (`pooling`, for its fit).

Voigt order xx, yy, zz, yz, xz, xy with engineering shear strains, as in ASE. Stresses in Pa from here on.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from scipy import stats

from atomistic.relaxation import relaxed
from coupling.errors import RunFailure
from coupling.record import Property
from coupling.units import pressure_to_si

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
AMPLITUDES = (0.003, 0.006)
IMPROBABLE = 0.01
"""Chance of a scatter, between cells say, below which their errors are not believed."""
ROUNDING = 1e-6
"""Errors of slopes, as a share of the largest one, below which nothing is told from the rounding of stresses."""


@dataclass(frozen=True)
class ElasticTensor:
    """Elastic constants (6, 6), Pa, and the covariance of all 36, row by row (36, 36), Pa².

    Constants of one crystal share their errors, so that the errors of moduli follow from the covariance alone.
    """

    constants: np.ndarray
    covariance: np.ndarray

    @property
    def stderr(self) -> np.ndarray:
        """Standard errors of the constants, (6, 6), Pa."""
        return np.asarray(np.sqrt(np.diag(self.covariance)).reshape(6, 6))


@dataclass(frozen=True)
class Moduli:
    """Isotropic moduli of a polycrystal: bulk K, shear G, Young E (Pa), Poisson ν (1), each (value, standard error)."""

    bulk: tuple[float, float]
    shear: tuple[float, float]
    young: tuple[float, float]
    poisson: tuple[float, float]


def elastic_tensor(
    atoms: Atoms,
    calculator: BaseCalculator,
    amplitudes: tuple[float, ...] = AMPLITUDES,
    force: float = 0.005,
    rotations: np.ndarray | None = None,
    steps: int = 500,
    departing: bool = False,
) -> ElasticTensor:
    """Elastic tensor of a crystal whose cell is already relaxed: C_ij = ∂σ_i/∂ε_j with the atoms relaxed at each strain.

    Each of the six strains is applied with both signs at every amplitude e; (σ(e) − σ(−e))/2e is free of the quadratic
    term. What becomes of these slopes, and of which errors: `tensor_at_rest`.

    Args:
        atoms: relaxed crystal.
        calculator: ASE calculator with stress.
        amplitudes: strains, 1.
        force: largest force left in each relaxation, eV/Å.
        rotations: point-group rotations (n, 3, 3) to average over; None finds those of `atoms`.
        steps: most relaxation steps per strain.
        departing: whether the cell has the rotations on average only, as one of a disordered crystal.

    Raises:
        RunFailure: a relaxation fails, or the crystal is unstable against a strain.
    """
    slopes = np.array([[_slope(atoms, calculator, j, e, force, steps) for j in range(6)] for e in amplitudes])
    raw = pressure_to_si(1.0) * np.swapaxes(slopes, 1, 2)
    found = tensor_at_rest(raw, amplitudes, crystal_rotations(atoms) if rotations is None else rotations, departing)
    require_stable(found.constants, atoms.get_chemical_formula())
    return found


def tensor_at_rest(
    slopes: np.ndarray, amplitudes: tuple[float, ...], rotations: np.ndarray, departing: bool = False
) -> ElasticTensor:
    """Symmetrised mean over amplitudes of slopes s_ij(e) = ∂σ_i/∂ε_j (amplitudes, 6, 6), any unit, with its covariance.

    Two errors, for a cell of a disordered crystal (`departing`) three, added in squares:

    - noise of the relaxations: stresses of one strain share it, those of two do not. Their covariance Σ (6, 6) is pooled over
      strains and amplitudes from what breaks the symmetry, e (1 − A) s(e), where A averages over Cᵀ and the rotations. A crystal
      that keeps its symmetry has none.
    - anharmonicity, s(e) = C + a e²: the distance A a <e²> of the mean from its extrapolation to no strain, as far as its square
      is beyond twice what the noise makes. It moves all constants together. One amplitude tells nothing of it.
    - departure of a disordered cell from the mean of all: it is a tensor with Cᵀ = C of its own, the same at every strain. Its
      mean square over the components that break the rotations, S − A with S the average over Cᵀ, is taken for that over those
      that keep them, which no single cell tells.
    """
    squares, n = np.array(amplitudes) ** 2, len(amplitudes)
    averaging = averaging_matrix(rotations)
    rest = np.eye(36) - averaging
    apart = _breaking(averaging) if departing else np.zeros((36, 36))
    alike = apart @ slopes.mean(axis=0).ravel()
    broken = np.sqrt(squares)[:, None] * (slopes.reshape(n, 36) @ rest.T - alike)
    strains = np.swapaxes(broken.reshape(n, 6, 6), 1, 2).reshape(-1, 6)
    stresses = strains.T @ strains / len(strains) * 36 / (np.trace(rest) - np.trace(apart) / n)
    of_mean = stresses * np.mean(1 / squares) / n + (ROUNDING * np.abs(slopes).max()) ** 2 * np.eye(6)
    found = tensor_of(slopes.mean(axis=0) - alike.reshape(6, 6), np.array([of_mean] * 6), rotations)
    of_noise = found.covariance
    if departing:
        found = ElasticTensor(found.constants, of_noise + alike @ alike / np.trace(apart) * averaging @ averaging.T)
    if n == 1:
        return found
    away = squares - squares.mean()
    share = squares.mean() * away / (away @ away)
    bent = averaging @ (share @ slopes.reshape(n, 36))
    noise = np.trace(of_noise) * (share**2 @ (1 / squares)) / (np.mean(1 / squares) / n)
    beyond = max(0.0, 1 - 2 * noise / float(bent @ bent)) if bent.any() else 0.0
    return ElasticTensor(found.constants, found.covariance + beyond * np.outer(bent, bent))


def _breaking(averaging: np.ndarray) -> np.ndarray:
    """Projection (36, 36) of a tensor on what has Cᵀ = C and breaks the rotations that `averaging` averages over."""
    swapped = np.eye(36).reshape(6, 6, 36).swapaxes(0, 1).reshape(36, 36)
    return np.asarray((np.eye(36) + swapped) / 2 - averaging)


def tensor_of(slopes: np.ndarray, covariances: np.ndarray, rotations: np.ndarray) -> ElasticTensor:
    """Symmetrised tensor of measured slopes ∂σ_i/∂ε_j (6, 6); any unit.

    Slopes of one strain share the noise of its runs: `covariances` (6, 6, 6) holds, for every j, that of its six slopes. Errors
    are scaled up to their scatter (`averaged`).
    """
    of_runs = np.zeros((6, 6, 6, 6))  # stress i, strain j, stress k, strain l
    for j in range(6):
        of_runs[:, j, :, j] = covariances[j]
    return averaged(slopes, of_runs.reshape(36, 36), rotations)


def averaged(constants: np.ndarray, noise: np.ndarray, rotations: np.ndarray, clearly: bool = False) -> ElasticTensor:
    """Mean of a measured tensor (6, 6) over Cᵀ and the rotations (n, 3, 3); any unit.

    Errors, of the covariance `noise` (36, 36), are scaled up by √(χ²/<χ²>) where that exceeds 1: χ² of the constants about their
    mean, <χ²> what their noise makes. With `clearly` only where its chance, of Satterthwaite's freedoms, is below IMPROBABLE.
    """
    averaging = averaging_matrix(rotations)
    rest, units = np.eye(36) - averaging, 1.0 / np.sqrt(np.diag(noise))
    broken = units * (rest @ constants.ravel())
    own = np.outer(units, units) * (rest @ noise @ rest.T)
    expected = float(np.trace(own))
    scatter = float(broken @ broken) / expected if expected > 1e-9 else 1.0  # else there is nothing to average
    if clearly and expected > 1e-9:
        freedom = expected**2 / float((own**2).sum())
        scatter = scatter if stats.chi2.sf(scatter * freedom, freedom) < IMPROBABLE else 1.0
    return ElasticTensor((averaging @ constants.ravel()).reshape(6, 6), averaging @ noise @ averaging.T * max(1.0, scatter))


def mean_tensor(tensors: Sequence[ElasticTensor]) -> ElasticTensor:
    """Mean of several cells of one disordered crystal; its covariance grows where they clearly scatter beyond their errors.

    Clearly: χ² = ν × variance between the cells over that of their errors, with the freedoms ν = (n - 1) (tr Σ)²/tr Σ² of a
    covariance Σ (Satterthwaite, Biometrics Bull. 2, 110 (1946), memory), has a chance below IMPROBABLE.
    """
    constants = np.array([tensor.constants.ravel() for tensor in tensors])
    covariance, n = np.mean([tensor.covariance for tensor in tensors], axis=0), len(tensors)
    scale = 1.0
    if n > 1 and covariance.any():
        scatter = float(constants.var(axis=0, ddof=1).sum()) / np.trace(covariance)
        freedom = (n - 1) * float(np.trace(covariance)) ** 2 / float((covariance**2).sum())
        scale = scatter if stats.chi2.sf(scatter * freedom, freedom) < IMPROBABLE else 1.0
    return ElasticTensor(constants.mean(axis=0).reshape(6, 6), covariance * scale / n)


def averaging_matrix(rotations: np.ndarray) -> np.ndarray:
    """Matrix (36, 36) that averages a tensor over Cᵀ and the rotations (n, 3, 3); its rank counts the independent constants."""
    return _averaging(np.ascontiguousarray(rotations, dtype=float).tobytes())


@functools.cache
def _averaging(rotations: bytes) -> np.ndarray:
    """`averaging_matrix` of the bytes of the rotations."""
    group = np.frombuffer(rotations).reshape(-1, 3, 3)
    return np.array([symmetrised(one, group).ravel() for one in np.eye(36).reshape(36, 6, 6)]).T


def require_stable(constants: np.ndarray, name: str) -> None:
    """Raise RunFailure when a strain would lower the energy (an eigenvalue of C is not positive: Born's criterion)."""
    lowest = float(np.linalg.eigvalsh(constants).min())
    if lowest <= 0:
        raise RunFailure(f"{name}: unstable against a strain with this potential (lowest stiffness {lowest / 1e9:.2g} GPa)")


def _slope(atoms: Atoms, calculator: BaseCalculator, component: int, strain: float, force: float, steps: int) -> np.ndarray:
    """Central difference ∂σ/∂ε of one Voigt strain, (6,), eV/Å³."""
    stresses = []
    for sign in (1.0, -1.0):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain_matrix(component, sign * strain)), scale_atoms=True)
        stresses.append(relaxed(strained, calculator, force=force, steps=steps, strict=False).get_stress(voigt=True))
    return np.asarray((stresses[0] - stresses[1]) / (2 * strain))


def strain_matrix(component: int, amount: float) -> np.ndarray:
    """Symmetric strain (3, 3) of one Voigt component; a shear is given as engineering strain (twice the tensor's)."""
    i, j = VOIGT[component]
    strain = np.zeros((3, 3))
    strain[i, j] = strain[j, i] = amount if i == j else amount / 2
    return strain


def crystal_rotations(atoms: Atoms, tolerance: float = 1e-2) -> np.ndarray:
    """Point-group operations of a crystal as Cartesian matrices (n, 3, 3); `tolerance` in Å."""
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    symmetry = spglib.get_symmetry(cell, symprec=tolerance)
    if symmetry is None:
        return np.eye(3)[None]
    lattice = atoms.cell.array.T
    unique = np.unique(symmetry["rotations"], axis=0)
    return np.array([lattice @ rotation @ np.linalg.inv(lattice) for rotation in unique])


def symmetrised(constants: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Mean of C over Cᵀ and the rotations, (6, 6)."""
    tensor = _to_tensor(0.5 * (constants + constants.T))
    mean = np.mean([np.einsum("ai,bj,ck,dl,ijkl->abcd", r, r, r, r, tensor, optimize=True) for r in rotations], axis=0)
    return np.array([[mean[(*VOIGT[i], *VOIGT[j])] for j in range(6)] for i in range(6)])


def _to_tensor(constants: np.ndarray) -> np.ndarray:
    """C_ijkl (3, 3, 3, 3) of C in Voigt order (6, 6)."""
    index = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    return np.asarray(constants[index[:, :, None, None], index[None, None, :, :]])


def voigt_reuss(constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (K, G) of a polycrystal, Pa: Voigt (equal strain, upper) and Reuss (equal stress, lower).

    Source: Hill, Proc. Phys. Soc. A 65, 349 (1952).
    """
    c, s = constants, np.linalg.inv(constants)
    axial, cross, shear = c[:3, :3].trace(), c[0, 1] + c[1, 2] + c[0, 2], c[3:, 3:].trace()
    voigt = np.array([(axial + 2 * cross) / 9, (axial - cross + 3 * shear) / 15])
    axial, cross, shear = s[:3, :3].trace(), s[0, 1] + s[1, 2] + s[0, 2], s[3:, 3:].trace()
    reuss = np.array([1 / (axial + 2 * cross), 15 / (4 * axial - 4 * cross + 3 * shear)])
    return voigt, reuss


def _isotropic(bulk_shear: np.ndarray) -> np.ndarray:
    """(K, G, E, ν) of (K, G)."""
    k, g = bulk_shear
    return np.array([k, g, 9 * k * g / (3 * k + g), (3 * k - 2 * g) / (2 * (3 * k + g))])


def polycrystal(tensor: ElasticTensor, samples: int = 500, seed: int = 0) -> Moduli:
    """Hill mean of the Voigt and Reuss bounds; error = half the distance of the bounds and the fit's error, in quadrature."""
    voigt, reuss = voigt_reuss(tensor.constants)
    hill = _isotropic(0.5 * (voigt + reuss))
    half = 0.5 * np.abs(_isotropic(voigt) - _isotropic(reuss))
    rng, drawn = np.random.default_rng(seed), []
    for noise in _noise(tensor, samples, rng):
        shaken = tensor.constants + noise
        if np.linalg.eigvalsh(shaken).min() > 0:
            drawn.append(_isotropic(0.5 * np.sum(voigt_reuss(shaken), axis=0)))
    error = np.hypot(half, np.std(drawn, axis=0)) if len(drawn) > samples // 2 else np.maximum(half, 0.5 * np.abs(hill))
    pairs = [(float(value), float(stderr)) for value, stderr in zip(hill, error, strict=True)]
    return Moduli(*pairs)


AT_REST = "strain–stress at 0 K, atoms relaxed"


def _noise(tensor: ElasticTensor, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draws (samples, 6, 6) of the error of a tensor, by its covariance."""
    values, vectors = np.linalg.eigh(tensor.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(rng.standard_normal((samples, 36)) @ root.T).reshape(samples, 6, 6)


def properties(
    tensor: ElasticTensor, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any], method: str = AT_REST
) -> list[Property]:
    """Records of the polycrystal's moduli and of the 21 elastic constants that differ from zero (Pa)."""
    moduli = polycrystal(tensor)
    named = [
        ("bulk_modulus", moduli.bulk, "Pa"),
        ("shear_modulus", moduli.shear, "Pa"),
        ("youngs_modulus", moduli.young, "Pa"),
        ("poissons_ratio", moduli.poisson, "1"),
    ]
    tiny = 1e-3 * tensor.constants.max()
    named += [
        (f"elastic_C{i + 1}{j + 1}", (float(tensor.constants[i, j]), float(tensor.stderr[i, j])), "Pa")
        for i in range(6)
        for j in range(i, 6)
        if abs(tensor.constants[i, j]) > tiny
    ]
    note = {"method": f"{method}; Hill mean, error = half the Voigt–Reuss distance and fit error"}
    return [
        Property(material, name, value, unit, stderr=stderr, conditions=dict(conditions), source={**source, **note})
        for name, (value, stderr), unit in named
    ]
