"""The film of a critical-current case: the cell on the way to its critical current.

The fields are solved when the film is made, at evenly spaced currents up to the critical one of the run, on the mesh and at the
best values of the answer (the run keeps its fields at the critical current alone).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx import fem
from matplotlib.tri import Triangulation
from mpi4py import MPI
from scipy.optimize import newton

from coupling.errors import RunFailure
from multiscale.critical_current.continuum import initiation_model
from multiscale.critical_current.initiation import InitiationModel
from multiscale.critical_current.internal_nucleation import depths
from multiscale.critical_current.other_mechanisms import nucleation_inputs
from multiscale.dolfinx_compat import interpolation_points
from multiscale.mechanics.elasticity import stress
from multiscale.reporting import snapshot
from multiscale.reporting.animation import blank, picture
from multiscale.transport.kinetics import overpotential_at

AROUND = 1.6
"""Half side of the close look at the flaw over its depth."""
AGREES = 1e-6
"""Relative tolerance of the flaw's pressure at a current."""


@dataclass(frozen=True)
class Frame:
    """One current: density (A/m²), pressure in the flaw (Pa), K_I over K_Ic; by triangle current density and opening stress."""

    current: float
    pressure: float
    share: float
    flux: np.ndarray
    stress: np.ndarray


@dataclass(frozen=True)
class Film:
    """Frames on one mesh: points (n, 2), m, triangles (m, 3); middle and depth of the flaw, m."""

    points: np.ndarray
    triangles: np.ndarray
    middle: float
    depth: float
    frames: list[Frame]


@dataclass(frozen=True)
class Inside:
    """Local overpotential of lithium within the interphase (V, (frames, m)) at depths (m,), m; drawn beside the frames."""

    depths: np.ndarray
    overpotential: np.ndarray


def inside(case: Any, leaf: Mapping[str, float], currents: Sequence[float]) -> Inside | None:
    """Where lithium could form inside at these currents (A/m²); None where the case does not follow nucleation.

    Args:
        case: the case.
        leaf: the best value of every number of the case.
        currents: applied, A/m².
    """
    if case.settings.nucleation is None or "nucleation" not in case.settings.physics.mechanisms:
        return None
    inputs = nucleation_inputs(case, leaf)
    y = depths(float(np.ravel(inputs.cell.interphase_thickness)[0]))
    αa = 1 - float(np.ravel(inputs.cathodic_transfer)[0])
    i0, T = (float(np.ravel(value)[0]) for value in (inputs.exchange_current_density, inputs.temperature))
    rows = [-inputs.cell.lithium_potential(y, i, -overpotential_at(-i, i0, αa, temperature=T)) for i in currents]
    return Inside(y, np.array(rows).reshape(len(currents), -1))


def solved(case: Any, inputs: dict[str, float], critical: float, count: int) -> Film:
    """Solve the cell at `count` currents up to the critical one (A/m²), each with the pressure of its own steady state.

    Raises:
        UserError: the geometry cannot be meshed.
        RunFailure: a solve failed.
    """
    model = initiation_model(case, inputs, case.settings.geometry.seed, MPI.COMM_SELF, fine=True)
    assert model.cell.flaw is not None
    stack, broken = model.properties.stack_pressure, model.response.pressure_at(model.toughness, model.properties.stack_pressure)
    frames, found = list[Frame](), None
    for share in np.linspace(1 / count, 1.0, count):
        current = float(share) * critical
        pressure = _pressure(model, current, stack + float(share) * (broken - stack))
        arrays = snapshot.gather(model)
        assert arrays is not None
        found = arrays
        intensity = model.response.stress_intensity(pressure, stack) / model.toughness
        frames.append(Frame(current, pressure, intensity, arrays["current_density"], _opening_stress(model)))
    assert found is not None
    return Film(found["points"], found["triangles"], model.cell.middle, model.cell.flaw.depth, frames)


def _pressure(model: InitiationModel, current: float, guess: float) -> float:
    """Steady pressure of the flaw at a current, Pa, from a guess; the potential is then that of the state."""
    try:
        found = newton(lambda p: model.imbalance(current, p), guess, x1=1.02 * guess, tol=AGREES * guess, maxiter=30)
    except RuntimeError as error:
        raise RunFailure(f"the flaw's pressure at {current / 10:.4g} mA/cm^2 was not found ({error})") from error
    model.solve_field(current, float(found))
    return float(found)


def _opening_stress(model: InitiationModel) -> np.ndarray:
    """Stress that opens the flaw, σ_xx at the middle of each triangle, Pa."""
    space = fem.functionspace(model.domain.mesh, ("DG", 0))
    σ = stress(model.displacement, model.stiffness, model.domain)
    value = fem.Function(space)
    value.interpolate(fem.Expression(σ[0, 0], interpolation_points(space)))
    return np.asarray(value.x.array[space.dofmap.list[:, 0]])


def film(found: Film, pixels: int, within: Inside | None = None) -> Iterator[Any]:
    """Pictures of the frames: how far the flaw is from breaking, the flux in the cell, the opening stress around the flaw."""
    for k in range(len(found.frames)):
        yield _picture(found, k, pixels, within)


def _picture(found: Film, k: int, pixels: int, within: Inside | None) -> Any:
    frame = found.frames[k]
    drawing, (left, middle, right) = blank(pixels, (1, 1.15, 1.15), height=2.7)
    if within is not None:
        grid = left.get_subplotspec().subgridspec(2, 1)
        left.remove()
        left = drawing.add_subplot(grid[0])
        _draw_inside(drawing.add_subplot(grid[1]), within, k)
    currents = np.array([0.0, *(each.current for each in found.frames)]) / 10
    left.plot(currents[: k + 2], [0.0, *(each.share for each in found.frames[: k + 1])], color="C3")
    left.axhline(1.0, color="0.6", lw=1)
    left.set(xlim=(0, currents[-1] * 1.02), ylim=(0, 1.08))
    left.set_xlabel("applied (mA/cm²)", fontsize=7)
    left.set_ylabel("K over toughness", fontsize=7)
    left.set_title(f"{frame.current / 10:.3g} mA/cm², {frame.pressure / 1e6:.3g} MPa", fontsize=7)
    left.tick_params(labelsize=7)
    _draw_maps(drawing, middle, right, found, k)
    return picture(drawing)


def _draw_inside(axes: Any, within: Inside, k: int) -> None:
    """Local overpotential of lithium in the interphase at one current."""
    values = within.overpotential * 1e3
    axes.axhline(0.0, color="0.6", lw=1)
    axes.plot(within.depths * 1e9, values[k], color="C4")
    axes.set(ylim=(values.min() * 1.05, max(values.max(), 0.0) + 0.05 * np.ptp(values)))
    axes.set_xlabel("depth in the interphase (nm)", fontsize=7)
    axes.set_ylabel("Li could form (mV)", fontsize=7)
    axes.tick_params(labelsize=7)


def _draw_maps(drawing: Any, middle: Any, right: Any, found: Film, k: int) -> None:
    """Ionic current in the cell, and the stress that opens the flaw around it; colours are those of the last frame."""
    frame, last = found.frames[k], found.frames[-1]
    mesh = Triangulation((found.points[:, 0] - found.middle) * 1e6, found.points[:, 1] * 1e6, found.triangles)
    most = float(np.quantile(last.flux, 0.995)) / 10
    shown = middle.tripcolor(mesh, frame.flux / 10, cmap="viridis", vmin=0, vmax=most, rasterized=True)
    bars = [(shown, middle, "ionic current (mA/cm²)")]
    near = AROUND * found.depth * 1e6
    centres = found.points[found.triangles].mean(axis=1) * 1e6
    close = (np.abs(centres[:, 0] - found.middle * 1e6) < near) & (centres[:, 1] < 2 * near)
    most = float(np.quantile(np.abs(last.stress[close]), 0.98)) / 1e6
    shown = right.tripcolor(mesh, frame.stress / 1e6, cmap="RdBu_r", vmin=-most, vmax=most, rasterized=True)
    right.set(xlim=(-near, near), ylim=(0, min(2 * near, float(mesh.y.max()))))
    bars.append((shown, right, "opening stress (MPa)"))
    for mappable, axes, label in bars:
        bar = drawing.colorbar(mappable, ax=axes, location="bottom", aspect=14)
        bar.set_label(label, fontsize=7)
        bar.ax.tick_params(labelsize=7)
        axes.tick_params(labelsize=7)
        axes.set_aspect("equal")
    middle.set_title("whole cell (µm)", fontsize=7)
    right.set_title("flaw (µm)", fontsize=7)
