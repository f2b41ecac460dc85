"""Effective conductivity of a segmented image as `multiscale homogenize` tells it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coupling.errors import UserError
from coupling.units import UnitError, to_si
from meshes.voxels import Labels, VoxelImage, clusters, read_image

AXES = "xyz"


@dataclass(frozen=True)
class Phase:
    """Labels of one phase and its conductivity, S/m."""

    labels: Labels
    conductivity: float

    @classmethod
    def parse(cls, text: str) -> "Phase":
        """Phase of a text such as "1=1e-3 S/m" or "128..255=0 S/m". Raises UserError otherwise."""
        labels, equals, value = text.partition("=")
        if not equals:
            raise UserError(f'--phase: read "{text}"; write LABEL=CONDUCTIVITY, for example "1=1e-3 S/m"')
        try:
            conductivity = to_si(value.strip(), "S/m")
        except UnitError as error:
            raise UserError(f'--phase "{text}": {error}') from None
        if conductivity < 0:
            raise UserError(f'--phase "{text}": a conductivity is not negative; an insulator has "0 S/m"')
        return cls(Labels.parse(labels), conductivity)


def prepared(path: Path, voxel: str | None, crop: str | None, coarsen: int, refine: int) -> VoxelImage:
    """The image as it is solved."""
    image = _particles(path, voxel) if path.suffix.lower() == ".csv" else read_image(path, _edges(voxel))
    if crop is not None:
        image = image.cropped(_bounds(crop))
    return image.coarsened(coarsen).refined(refine)


def _particles(path: Path, voxel: str | None) -> VoxelImage:
    """Spheres of a CSV file as voxels: label 0 lies between them, 1, 2 … are the phases in their order. Raises UserError."""
    from meshes.packing import read_particles, voxelised

    edges = _edges(voxel)
    if voxel is None or len(edges) != 1:
        raise UserError(f'{path}: particles are cut into cubes; give their edge, for example --voxel "0.1 um"')
    return replace(voxelised(read_particles(path), edges[0])[0], name=str(path))


def _edges(text: str | None) -> list[float]:
    """Edges of a voxel, m. Raises UserError."""
    if text is None:
        return [1.0]
    try:
        return [to_si(part.strip(), "m") for part in text.split(",")]
    except UnitError as error:
        raise UserError(f"--voxel: {error}") from None


def _bounds(text: str) -> list[tuple[int, int]]:
    """Bounds of a crop. Raises UserError."""
    try:
        pairs = [tuple(int(number) for number in part.split(":")) for part in text.split(",")]
        return [(low, high) for low, high in pairs]
    except ValueError:
        raise UserError(f'--crop: read "{text}"; write LOW:HIGH for each axis, for example "0:80,0:80,20:100"') from None


def axes_named(names: Sequence[str] | None, dimension: int) -> list[int]:
    """Numbers of axes. Raises UserError."""
    allowed = AXES[:dimension]
    for name in names or ():
        if len(name) != 1 or name not in allowed:
            raise UserError(f"--axis {name}: allowed are {', '.join(allowed)} (the image has {dimension} axes)")
    return sorted({AXES.index(name) for name in names}) if names else list(range(dimension))


def answer(
    image: VoxelImage, phases: Sequence[Phase], number: np.ndarray, faces: Literal["plates", "periodic"],
    axes: Sequence[int], comm: Any,
) -> dict[str, Any]:  # fmt: skip
    """Solve, and what the command says about it, for scripts (the same on every rank).

    Args:
        image: as it is solved.
        phases: with their conductivities.
        number: of the phase of each voxel.
        faces, axes, comm: as `voxel_conduction.effective_conductivity`.
    """
    from multiscale.conduction.voxel_conduction import effective_conductivity

    start = time.perf_counter()
    conductivity = np.array([p.conductivity for p in phases])[number]
    lower, upper = (
        effective_conductivity(conductivity, image.spacing, scheme, faces, axes, comm) for scheme in ("volumes", "elements")
    )
    both = {"lower": lower, "upper": upper}
    conducting = clusters(conductivity > 0)
    return {
        "image": image.name, "shape": list(image.shape), "voxel_m": list(image.spacing), "faces": faces,
        "phases": [_phase_row(p, number == k) for k, p in enumerate(phases)],
        "percolates": {AXES[a]: bool(conducting.share[a] > 0) for a in axes},
        "share_of_conductors_connected": {AXES[a]: conducting.share[a] for a in axes},
        "effective_conductivity": {name: _plain(f.tensor) for name, f in both.items()} | {"unit": "S/m"},
        "mean_conductivity": {"value": lower.mean, "unit": "S/m"},
        "tortuosity_factor": {
            AXES[a]: {"low": _finite(upper.tortuosity(a)), "high": _finite(lower.tortuosity(a))} for a in axes
        },
        "solves": {
            name: {"unknowns": f.unknowns, "iterations": list(f.iterations), "imbalance": f.imbalance} for name, f in both.items()
        },
        "wall_s": time.perf_counter() - start,
    }  # fmt: skip


def _phase_row(phase: Phase, mask: np.ndarray) -> dict[str, Any]:
    found = clusters(mask)
    return {
        "labels": str(phase.labels), "conductivity": phase.conductivity, "unit": "S/m", "fraction": float(mask.mean()),
        "clusters": found.count, "share_connected": {AXES[a]: share for a, share in enumerate(found.share)},
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(tensor: np.ndarray) -> list[list[float | None]]:
    return [[_finite(float(value)) for value in row] for row in tensor]


def table(answer: dict[str, Any]) -> str:
    """The answer for people."""
    size = " × ".join(map(str, answer["shape"]))
    lines = [f"{answer['image']} · {size} voxels · {answer['faces']} · {answer['wall_s']:.1f} s", ""]
    lines.append(f"{'labels':>12}  {'S/m':>10}  {'fraction':>8}  {'clusters':>8}  share that percolates along")
    for row in answer["phases"]:
        through = "  ".join(f"{name} {share:.3f}" for name, share in row["share_connected"].items())
        numbers = f"{row['conductivity']:>10.4g}  {row['fraction']:>8.4f}  {row['clusters']:>8d}"
        lines.append(f"{row['labels']:>12}  {numbers}  {through}")
    lines += ["", "effective conductivity (S/m), enclosed by finite volumes (left) and finite elements (right)"]
    both = [answer["effective_conductivity"][name] for name in ("lower", "upper")]
    for name, τ in answer["tortuosity_factor"].items():
        a = AXES.index(name)
        if answer["faces"] == "plates" and not answer["percolates"][name]:
            lines.append(f"{name:>12}  0: no conducting path from face to face")
            continue
        told = "" if τ["low"] is None or τ["high"] is None else f"   tortuosity factor {τ['low']:.4g} … {τ['high']:.4g}"
        lines.append(f"{name:>12}  {both[0][a][a]:.5g} … {both[1][a][a]:.5g}{told}")
    if answer["faces"] == "periodic":
        for name, tensor in zip(("finite volumes", "finite elements"), both, strict=True):
            lines += ["", f"whole tensor by {name} (S/m)"]
            solved = [[value for value in row if value is not None] for row in tensor]
            lines += ["".join(f"{value:>13.5g}" for value in row) for row in solved if row]
    lines.append("(finite volumes: as TauFactor discretises; both for the image as it is cut into voxels)")
    return "\n".join(lines)
