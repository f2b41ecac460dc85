"""Stiffness, toughness and conductivity of a cell that is not even: grains with orientation, their boundaries, random fields."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx import fem
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from meshes.voronoi import cleared, relaxed_seeds
from multiscale.domain import Domain
from multiscale.materials import Elastic, Stiffness, cubic_constants
from multiscale.mechanics.random_field import RandomField
from multiscale.mechanics.weak_boundary import in_series, strip_toughness, strip_width
from multiscale.propagation.inputs import PropagationInputs
from multiscale.propagation.settings import LineFlaw

STREAMS = {"modulus": 11, "toughness": 12, "orientation": 13}
"""Random streams of a microstructure; the first two are those of the critical-current cases."""
RELAXATIONS = 3
"""Of the grains' centres (Lloyd)."""


@dataclass(frozen=True)
class Fields:
    """Cell-wise fields of a domain, SI; numbers where nothing varies.

    Attributes:
        stiffness: Pa. fracture_energy: Gc, J/m². conductivity: S/m.
        grain: number of the grain of each local cell, None without grains.
    """

    stiffness: Stiffness
    fracture_energy: Any
    conductivity: Any
    grain: np.ndarray | None


def cell_fields(domain: Domain, geometry: LineFlaw, inputs: PropagationInputs, length: float, size: float) -> Fields:
    """Fields of a microstructure: the same functions on any mesh and any number of ranks.

    Toughness K and Young's modulus E take random factors f and m of mean one, so Gc = K² f²/(E' m). A boundary is a strip of
    about the phase field's length; its toughness is that of `weak_boundary.strip_toughness`, its modulus and conductivity those
    of grain and boundary in series.

    Args:
        domain: the cell. geometry, inputs: of the case. length: of the phase field, m. size: of the elements, m.
    """
    middles = domain.mesh.geometry.x[domain.mesh.geometry.dofmap].mean(axis=1)[:, :2]
    count = len(middles)
    modulus, toughness = np.ones(count), np.ones(count)
    if uneven := geometry.inhomogeneity:
        for deviation, name, values in (
            (uneven.modulus_deviation, "modulus", modulus), (uneven.toughness_deviation, "toughness", toughness),
        ):  # fmt: skip
            values *= RandomField(deviation, uneven.correlation_length, (geometry.seed, STREAMS[name])).factor(middles)
    energy, conduction, grain = toughness**2 / modulus, np.ones(count), None
    total = 1
    if geometry.electrolyte.grain_size:
        grain, from_boundary, total = grains(middles, geometry, inputs.flaw_depth)
        if inputs.boundary:
            strip = strip_width(length, size)
            _weaken(energy, conduction, modulus, from_boundary < strip / 2, geometry, inputs, (strip, length, size))
    axes = _axes(geometry, grain, count, total)
    return Fields(
        _stiffness(domain, inputs.elastic, modulus, geometry, axes), _cellwise(domain, inputs.fracture_energy * energy),
        _cellwise(domain, inputs.conductivity * conduction), grain,
    )  # fmt: skip


def grains(points: np.ndarray, geometry: LineFlaw, flaw_depth: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Grain of each point (n, 2), its distance from the nearest boundary (m), and the number of grains.

    The flaw lies in a grain or all along one boundary, as the case says; one in a grain crosses others where it is longer.
    """
    size, height, width = geometry.electrolyte.grain_size, geometry.electrolyte.thickness, geometry.width
    assert size is not None
    aside = size / 2 if geometry.flaw.at == "grain-boundary" else 0.0
    middle = flaw_depth / 2
    fixed = [(-aside, middle), (aside, middle)] if aside else [(0.0, middle)]
    seeds = relaxed_seeds((-width / 2, 0.0, width / 2, height), size, geometry.seed, fixed, RELAXATIONS)
    reach = np.linspace(0.0, flaw_depth, 21) if aside else middle + min(middle, size / 2) * np.array([-1.0, 0.0, 1.0])
    for y in reach:
        seeds = cleared(seeds, (0.0, y), math.hypot(aside, y - middle) * (1 + 1e-9), keep=len(fixed))
    if len(seeds) == 1:
        return np.zeros(len(points), dtype=int), np.full(len(points), np.inf), 1
    _, near = cKDTree(seeds).query(points, k=2)
    first, second = seeds[near[:, 0]], seeds[near[:, 1]]
    apart = np.linalg.norm(second - first, axis=1)
    nearness = np.sum((points - second) ** 2, axis=1) - np.sum((points - first) ** 2, axis=1)
    return near[:, 0], nearness / (2 * apart), len(seeds)


def _weaken(
    energy: np.ndarray, conduction: np.ndarray, modulus: np.ndarray, inside: np.ndarray, geometry: LineFlaw,
    inputs: PropagationInputs, sizes: tuple[float, float, float],
) -> None:  # fmt: skip
    """Boundaries into the factors of Gc, conductivity and modulus, in place. `sizes`: of strip, phase field and elements, m."""
    boundary = geometry.electrolyte.grain_boundary
    assert boundary is not None
    assert inputs.boundary is not None
    conductivity_ratio, toughness_ratio, modulus_ratio = inputs.boundary
    energy[inside] *= strip_toughness(toughness_ratio**2 / modulus_ratio, *sizes)
    conduction[inside] *= in_series(conductivity_ratio, boundary.width, sizes[0])
    modulus[inside] *= in_series(modulus_ratio, boundary.width, sizes[0])


def _axes(geometry: LineFlaw, grain: np.ndarray | None, count: int, total: int) -> np.ndarray | None:
    """Crystal axes of each cell as rows (n, 3, 3); None where the stiffness is isotropic. `total`: number of grains."""
    anisotropy = geometry.electrolyte.anisotropy
    if anisotropy is None:
        return None
    if anisotropy.angle is not None:
        turned = Rotation.from_euler("z", anisotropy.angle).as_matrix()[None]
        return np.broadcast_to(np.swapaxes(turned, 1, 2), (count, 3, 3))
    rng = np.random.default_rng([geometry.seed, STREAMS["orientation"]])
    turned = Rotation.from_quat(rng.standard_normal((total, 4))).as_matrix()
    return np.swapaxes(turned, 1, 2)[np.zeros(count, dtype=int) if grain is None else grain]


def _stiffness(
    domain: Domain, elastic: Elastic, modulus: np.ndarray, geometry: LineFlaw, axes: np.ndarray | None
) -> Stiffness:
    if axes is None:
        return Stiffness(_cellwise(domain, elastic.first_lame * modulus), _cellwise(domain, elastic.shear_modulus * modulus))
    assert geometry.electrolyte.anisotropy is not None
    first, shear, excess = cubic_constants(elastic, geometry.electrolyte.anisotropy.zener_ratio)
    field = fem.Function(fem.functionspace(domain.mesh, ("DG", 0, (3, 3))))
    field.x.array[:] = axes.reshape(-1)
    lame, stiff, cubic = (_cellwise(domain, value * modulus) for value in (first, shear, excess))
    return Stiffness(lame, stiff, cubic, field)


def _cellwise(domain: Domain, values: np.ndarray) -> Any:
    """A DG0 function, or a constant where all values are equal (on every rank)."""
    low, high = float(values.min(initial=math.inf)), float(values.max(initial=-math.inf))
    ends = domain.comm.allgather((low, high))
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:
        return domain.constant(low)
    field = fem.Function(fem.functionspace(domain.mesh, ("DG", 0)))
    field.x.array[:] = values
    return field
