"""Elastic tensor by strain and stress at 0 K, and the isotropic moduli of a polycrystal of such grains.

Voigt order xx, yy, zz, yz, xz, xy with engineering shear strains, as in ASE. Stresses in Pa from here on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic.relaxation import relaxed
from coupling.errors import RunFailure
from coupling.record import Property
from coupling.units import pressure_to_si

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
AMPLITUDES = (0.003, 0.006)


@dataclass(frozen=True)
class ElasticTensor:
    """Elastic constants and their standard errors, (6, 6) each, Pa.

    covariance: of the 36 constants, row by row (36, 36), Pa²; None where only their errors are known.
    """

    constants: np.ndarray
    stderr: np.ndarray
    covariance: np.ndarray | None = None


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
) -> ElasticTensor:
    """Elastic tensor of a crystal whose cell is already relaxed: C_ij = ∂σ_i/∂ε_j with the atoms relaxed at each strain.

    Each of the six strains is applied with both signs at every amplitude e; (σ(e) − σ(−e))/2e is free of the quadratic
    term. The value is the mean over amplitudes, symmetrised (C = Cᵀ and the rotations of the crystal). The error
    is the larger of the spread between amplitudes and what the symmetrisation moved, which holds noise of the
    relaxation and, for a disordered cell, its departure from the mean symmetry.

    Args:
        atoms: relaxed crystal.
        calculator: ASE calculator with stress.
        amplitudes: strains, 1.
        force: largest force left in each relaxation, eV/Å.
        rotations: point-group rotations (n, 3, 3) to average over; None finds those of `atoms`.
        steps: most relaxation steps per strain.

    Raises:
        RunFailure: a relaxation fails, or the crystal is unstable against a strain.
    """
    slopes = np.array([[_slope(atoms, calculator, j, e, force, steps) for j in range(6)] for e in amplitudes])
    raw = pressure_to_si(1.0) * np.swapaxes(slopes, 1, 2)
    mean = raw.mean(axis=0)
    spread = np.ptp(raw, axis=0) / 2 if len(amplitudes) > 1 else np.zeros((6, 6))
    constants = symmetrised(mean, crystal_rotations(atoms) if rotations is None else rotations)
    require_stable(constants, atoms.get_chemical_formula())
    return ElasticTensor(constants, np.maximum(spread, np.abs(mean - constants)))


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
    """Draws (samples, 6, 6) of the error of a tensor: by its covariance, else every constant on its own."""
    if tensor.covariance is None:
        upper = np.triu(rng.standard_normal((samples, 6, 6)))
        return np.asarray(tensor.stderr * (upper + np.triu(upper, 1).transpose(0, 2, 1)))
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
