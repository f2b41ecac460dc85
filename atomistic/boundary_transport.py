"""A grain boundary from one run of a cell with boundaries: diffusion along and across, width, excess energy, softening.

Diffusion at the distance d from the nearest boundary plane: an ion belongs to the layer in which its mean position over a window
of time lies; with the displacements over a whole window T and over half of it,

    D_along(d) = [⟨Δx² + Δy²⟩(T) - ⟨…⟩(T/2)] / (4 T/2),     D_across(d) = [⟨Δz²⟩(T) - ⟨…⟩(T/2)] / (2 T/2),

the difference taking out the rattling. Errors: jackknife over the windows, with what correlation they show (`correlated`); what
rests on few hops is an upper limit (`rare_hops`), and a hop that a layer without any may have missed is in the error of Γ. An
ion that changes layer within a window counts where it was on average, which blurs a boundary by √(2 D T): the window must be
short against δ²/2D.

Width: the step D(d) = D_b inside δ/2, D_g outside, with the layer m in which δ/2 lies a mixture, D_m = f D_b + (1 - f) D_g for
ions spread evenly in it: δ/2 = (m + f) layers. The fit is one of least squares with the ions counted in each layer for weights
(errors grow with D and would favour what came out low). The error of δ/2 is that of f by the jackknife and, in squares,
f (1 - f)/N for the N ions of that layer, which stand on either side of the edge by chance. A boundary that may end with the first
layer, a grain that may begin with the last, or an error above half the value leave a bound. Where the step does not lower χ² by
more than DETECTED against no boundary at all, there is no width, and D_b and D_g are those of the layer at the plane and of all
others: an edge chosen by the noise would make them differ. What needs no edge is the excess of a boundary over its grain,

    Γ = ∫ (D(z) - D_g) dz = 2 h Σ (D_k - D_g) ≈ δ (D_b - D_g)     over the layers k, of height h, of the half next to it,

D_g that of the outer half of the layers; its error is the jackknife's, its sign that of the difference.

Excess energy: γ = (E - N e_bulk)/(n A) from mean potential energies of both runs, n boundaries of area A, equal composition; its
error is that of correlated energies (`correlated.mean_error`).
Softening: the modulus C of straining the cell along the normal, both grains in series with n boundaries in the height H,
H/C = H/C_bulk + n s: s is the excess compliance of a boundary, and C/C_bulk what the cell keeps of its stiffness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa

from atomistic import dynamics, rare_hops
from atomistic.correlated import jackknife_error, mean_error
from atomistic.frames import require_motion
from atomistic.relaxation import relaxed
from coupling.errors import UserError
from coupling.record import Property
from coupling.units import diffusivity_to_si, surface_energy_to_si

DETECTED = 9.0
"""Drop of χ² above which a boundary is taken for different from its grains (two more parameters, 99 %)."""
FEWEST_WINDOWS = 10
FEWEST_IONS = 20
"""Fewest ion-windows in a layer."""


@dataclass(frozen=True)
class Layers:
    """Diffusivities by layers.

    Attributes:
        distance: middle of each layer from the nearest boundary (k,), Å. along, across: D (k,), m²/s.
        along_stderr, across_stderr: (k,). counts: ion-windows in each (k,). replicates: without one window each
            (windows, 2, k), m²/s. width: of a layer, Å. window: T, fs.
        hops, squares: ion-windows along and across that hold a hop of `hop_length` (Å), and their squared displacements (2, k),
            Å² (`rare_hops`); none where it is not known.
    """

    distance: np.ndarray
    along: np.ndarray
    across: np.ndarray
    along_stderr: np.ndarray
    across_stderr: np.ndarray
    counts: np.ndarray
    replicates: np.ndarray
    width: float
    window: float
    hops: np.ndarray | None = None
    squares: np.ndarray | None = None
    hop_length: float = 0.0

    def held(self, across: bool, chosen: slice) -> rare_hops.Hops:
        """Hops along (or across) the boundary in some layers."""
        place, axes = (1, 1) if across else (0, 2)
        count, squares = (0.0 if each is None else float(each[place, chosen].sum()) for each in (self.hops, self.squares))
        return rare_hops.Hops(int(count), squares, float(self.counts[chosen].sum()) * self.window, self.hop_length, axes)


def layers(
    positions: np.ndarray, moving: np.ndarray, cell: np.ndarray, frame_interval: float, window: int, count: int = 8,
    planes: tuple[float, ...] = (0.0, 0.5),
) -> Layers:  # fmt: skip
    """Diffusivities of the `moving` atoms against distance from the boundaries, normal along the third cell vector.

    Args:
        positions: unwrapped (frames, n, 3), Å. moving: indices. cell: (3, 3), Å; the third vector along z.
        frame_interval: fs. window: frames of a window T, even. count: layers between a boundary and the middle of a grain.
        planes: heights of the boundaries as fractions of the third vector.

    Raises:
        UserError: fewer than FEWEST_WINDOWS windows, a tilted cell, no moving atoms, or a layer with too few.
    """
    windows = (len(positions) - 1) // window if window >= 2 else 0
    if windows < FEWEST_WINDOWS or window % 2:
        raise UserError(f"grain boundary: {windows} windows of {window} frames; an even number of frames and at least "
                        f"{FEWEST_WINDOWS} windows are needed: a longer run or a shorter window")  # fmt: skip
    if not len(moving):
        raise UserError("grain boundary: no atom of that species")
    if not cell[2, 2] > 0 or np.abs(cell[2, :2]).max() > 1e-3 * cell[2, 2] or not np.isfinite(positions).all():
        raise UserError("grain boundary: finite positions and a third cell vector along z, normal to the boundary, are needed")
    require_motion(positions)
    tracks = positions[:, moving] - positions.mean(axis=1, keepdims=True) + positions[0].mean(axis=0)
    height, reach = float(cell[2, 2]), _reach(planes) * float(cell[2, 2])
    step = reach / count
    squares, counts = np.zeros((windows, 4, count)), np.zeros((windows, count))
    length, hops, of_hops = rare_hops.hop_length(tracks, window), np.zeros((2, count)), np.zeros((2, count))
    for number in range(windows):
        part = tracks[number * window : (number + 1) * window + 1]
        depth = (part[:, :, 2].mean(axis=0) / height) % 1.0
        away = np.min([np.abs((depth - plane + 0.5) % 1.0 - 0.5) for plane in planes], axis=0) * height
        place = np.minimum((away / step).astype(int), count - 1)
        whole, half = part[-1] - part[0], window // 2
        first, second = part[half] - part[0], part[-1] - part[half]
        for row, values in enumerate((
            (whole[:, :2] ** 2).sum(axis=1), ((first[:, :2] ** 2).sum(axis=1) + (second[:, :2] ** 2).sum(axis=1)) / 2,
            whole[:, 2] ** 2, (first[:, 2] ** 2 + second[:, 2] ** 2) / 2,
        )):  # fmt: skip
            squares[number, row] = np.bincount(place, values, count)
            if row % 2 == 0:
                far = rare_hops.hopped(values, length)
                hops[row // 2] += np.bincount(place[far], minlength=count)
                of_hops[row // 2] += np.bincount(place[far], values[far], count)
        counts[number] = np.bincount(place, minlength=count)
    if counts.sum(axis=0).min() < FEWEST_IONS:
        raise UserError(f"grain boundary: {int(counts.sum(axis=0).min())} ion-windows in a layer; {FEWEST_IONS} are needed: "
                        "fewer layers or a longer run")  # fmt: skip
    time = window * frame_interval

    def diffusivities(chosen: np.ndarray) -> np.ndarray:
        means = squares[chosen].sum(axis=0) / np.maximum(counts[chosen].sum(axis=0), 1)
        found = np.array([(means[0] - means[1]) / (4 * time / 2), (means[2] - means[3]) / (2 * time / 2)])
        return np.asarray(diffusivity_to_si(1.0) * found)

    everything = np.arange(windows)
    values = diffusivities(everything)
    replicates = np.array([diffusivities(np.delete(everything, left)) for left in everything])
    errors = jackknife_error(replicates)
    return Layers((np.arange(count) + 0.5) * step, values[0], values[1], errors[0], errors[1], counts.sum(axis=0), replicates,
                  step, time, hops, of_hops, length)  # fmt: skip


def _reach(planes: tuple[float, ...]) -> float:
    """Half the distance of neighbouring planes, in fractions of the cell. Raises UserError where they are not evenly spread."""
    places = np.sort(np.array(planes) % 1.0)
    gaps = np.diff([*places, places[0] + 1.0])
    if not len(planes) or np.ptp(gaps) > 0.1:
        raise UserError(f"grain boundary: planes {planes!r} as fractions of the height; evenly spread ones are needed")
    return float(gaps.min() / 2)


@dataclass(frozen=True)
class Width:
    """Width δ, Å, with its standard error; or the 95 % bound that δ lies below ("upper") or above ("lower"), without one."""

    value: float
    stderr: float | None
    bound: Literal["upper", "lower"] | None


@dataclass(frozen=True)
class Step:
    """Boundary and grain: D inside and outside, m²/s, each with its standard error; width (None: none is told), χ² drop.

    limits: upper limits (95 %) of both, m²/s, None of an estimate.
    """

    boundary: tuple[float, float]
    grain: tuple[float, float]
    width: Width | None
    drop: float
    limits: tuple[float | None, float | None]


def boundary_step(found: Layers, across: bool = False) -> Step:
    """Best step in the diffusivity along (or across) the boundary."""
    values, errors = (found.across, found.across_stderr) if across else (found.along, found.along_stderr)
    copies = found.replicates[:, 1 if across else 0]
    variance = max(float(np.mean(errors**2 * found.counts)), 1e-300)  # of one ion-window, all layers together
    start, stop, drop = _best_edge(values, found.counts)
    drop /= variance
    seen = drop > DETECTED
    start, stop = (start, stop) if seen else (1, 1)
    pairs = np.array([_two_means(copy, found.counts, start, stop) for copy in copies])
    inside, outside = _two_means(values, found.counts, start, stop)
    spread = jackknife_error(pairs)
    width = _width(found, values, copies, start, stop) if seen else None
    both = (inside, float(spread[0])), (outside, float(spread[1]))
    limits = [_limit(found.held(across, part), *one) for part, one in zip((slice(start), slice(stop, None)), both, strict=True)]
    return Step(*both, width, drop, (limits[0], limits[1]))


def _limit(held: rare_hops.Hops, value: float, error: float) -> float | None:
    """Upper limit (95 %) of a diffusivity (m²/s) with its standard error, None of an estimate."""
    unit = diffusivity_to_si(1.0)
    return unit * held.limit(value / unit, error / unit) if held.few(value / unit, error / unit) else None


def _two_means(values: np.ndarray, counts: np.ndarray, start: int, stop: int) -> tuple[float, float]:
    """D of the layers before `start`, and of those from `stop` on."""
    return float(np.average(values[:start], weights=counts[:start])), float(np.average(values[stop:], weights=counts[stop:]))


def _share(values: np.ndarray, counts: np.ndarray, layer: int) -> float:
    """Share f of a layer that belongs to the boundary, the layers before it being boundary and those after it grain."""
    inside, outside = _two_means(values, counts, layer, layer + 1)
    return float((values[layer] - outside) / (inside - outside)) if inside != outside else np.nan


def _best_edge(values: np.ndarray, counts: np.ndarray) -> tuple[int, int, float]:
    """Layers of the boundary, first layer of the grain (one more where a layer is mixed), and the fall of Σ n (D - fit)²."""
    flat, costs = float(counts @ (values - np.average(values, weights=counts)) ** 2), {}
    for start in range(1, len(values)):
        for stop in (start, start + 1) if start + 1 < len(values) else (start,):
            if stop > start and not 0 <= _share(values, counts, start) <= 1:
                continue
            inside, outside = _two_means(values, counts, start, stop)
            costs[start, stop] = float(counts[:start] @ (values[:start] - inside) ** 2
                                       + counts[stop:] @ (values[stop:] - outside) ** 2)  # fmt: skip
    start, stop = min(costs, key=lambda edge: costs[edge])
    return start, stop, flat - costs[start, stop]


def _chance(share: float, ions: float) -> float:
    """Deviation of the share of N ions on one side of a place by chance, two more on either side (Agresti and Coull, 1998)."""
    held = (np.clip(share, 0, 1) * ions + 2) / (ions + 4)
    return float(np.sqrt(held * (1 - held) / (ions + 4)))


def _width(found: Layers, values: np.ndarray, copies: np.ndarray, start: int, stop: int) -> Width | None:
    """Width of the step between the layers `start` and `stop`; None where the layers leave all widths open."""
    layers, double = len(values), 2 * found.width
    if layers < 3:
        return None
    mixed = min(start, layers - 2)  # the layer whose share decides the edge
    share, copied = _share(values, found.counts, mixed), np.array([_share(copy, found.counts, mixed) for copy in copies])
    error = float(np.hypot(jackknife_error(copied), _chance(share, found.counts[mixed] / len(copies))))
    place, reach = mixed + float(np.clip(share, 0, 1)), 1.645 * error
    if mixed == layers - 2 and share > 1 - reach:
        return Width(double * (place - reach), None, "lower") if place > reach else None
    if (mixed == 1 and share < reach) or place < 2 * error:
        return Width(double * (place + reach), None, "upper") if place + reach < layers else None
    return Width(double * place, double * error, None)


def excess_diffusivity(found: Layers, across: bool = False) -> tuple[float, float]:
    """Γ = δ (D_b - D_g) of one boundary, both its sides, along (or across) it, and its standard error, m³/s."""
    half = len(found.counts) // 2

    def excess(values: np.ndarray) -> float:
        grain = float(np.average(values[half:], weights=found.counts[half:]))
        return float(2 * found.width * 1e-10 * (values[:half] - grain).sum())

    error = jackknife_error(np.array([[excess(copy)] for copy in found.replicates[:, 1 if across else 0]]))
    missed = _chances(found, across)
    shares = np.append(np.ones(half), -half * found.counts[half:] / found.counts[half:].sum())
    hidden = 2 * found.width * 1e-10 * float(np.linalg.norm(shares * missed))
    return excess(found.across if across else found.along), float(np.hypot(error[0], hidden))


def _chances(found: Layers, across: bool) -> np.ndarray:
    """Errors (k,), m²/s, of layers in which no hop was seen, whose scatter is that of the rattling: of one hop; 0 elsewhere."""
    values, errors = (found.across, found.across_stderr) if across else (found.along, found.along_stderr)
    chances = np.zeros(len(values))
    for layer, pair in enumerate(zip(values, errors, strict=True)):
        held = found.held(across, slice(layer, layer + 1))
        if not held.count and _limit(held, *pair) is not None:
            chances[layer] = diffusivity_to_si(held.length**2 / (2 * held.axes * held.time))
    return chances


def excess_energy(
    boundary: np.ndarray, bulk: np.ndarray, boundary_atoms: Atoms, bulk_atoms: Atoms, boundaries: int = 2
) -> tuple[float, float]:
    """Excess energy γ and its standard error, J/m², from potential energies (frames,), eV, of both runs.

    Raises:
        UserError: fewer than ten frames, energies that are not finite, or another composition.
    """
    if min(len(boundary), len(bulk)) < 10 or not (np.isfinite(boundary).all() and np.isfinite(bulk).all()):
        raise UserError("excess energy: ten frames with finite potential energies are needed of each run")
    if boundary_atoms.symbols.formula.reduce()[0] != bulk_atoms.symbols.formula.reduce()[0]:
        both = f"{boundary_atoms.symbols.formula:metal} and {bulk_atoms.symbols.formula:metal}"
        raise UserError(f"excess energy: {both} are not of one composition")
    area = float(np.linalg.norm(np.cross(boundary_atoms.cell[0], boundary_atoms.cell[1])))
    ratio = len(boundary_atoms) / len(bulk_atoms)
    value = (boundary.mean() - ratio * bulk.mean()) / (boundaries * area)
    error = np.hypot(mean_error(boundary), ratio * mean_error(bulk)) / (boundaries * area)
    return float(surface_energy_to_si(value)), float(surface_energy_to_si(error))


@dataclass(frozen=True)
class Softening:
    """Modulus along the normal of the cell with boundaries and of the crystal (Pa), their ratio, excess compliance s (m/Pa)."""

    cell: tuple[float, float]
    crystal: tuple[float, float]
    ratio: tuple[float, float]
    compliance: tuple[float, float]


def softening(
    boundary: Atoms, crystal: Atoms, calculator: BaseCalculator, boundaries: int = 2, strains: tuple[float, ...] = (0.002, 0.004),
    force: float = 0.01, steps: int = 400,
) -> Softening:  # fmt: skip
    """Softening by boundaries at 0 K: both cells relaxed with the plane of the boundary kept, then strained along z.

    Args:
        boundary: cell with boundaries. crystal: the same crystal in the same orientation (`grain_boundary.single_grain`).
        calculator: with stress. strains: each with both signs; the change between them is the error. force: left, eV/Å.
        steps: of a relaxation at most.
    """
    own, other = (_modulus(atoms, calculator, strains, force, steps) for atoms in (boundary, crystal))
    ratio = own[0] / other[0]
    error = ratio * float(np.hypot(own[1] / own[0], other[1] / other[0]))
    height = float(boundary.cell[2, 2]) * 1e-10 / boundaries
    compliance = height * (1 / own[0] - 1 / other[0])
    spread = height * float(np.hypot(own[1] / own[0] ** 2, other[1] / other[0] ** 2))
    return Softening(own, other, (ratio, error), (compliance, spread))


def _modulus(
    atoms: Atoms, calculator: BaseCalculator, strains: tuple[float, ...], force: float, steps: int
) -> tuple[float, float]:
    """∂σ_zz/∂ε_zz of a cell at the height of no normal stress, and the change between the strains, Pa."""
    dynamics.forget(calculator)
    rest = relaxed(atoms, calculator, force=force, steps=steps, strict=False)
    for _ in range(3):  # height at which the normal stress vanishes, by a secant with a modulus from the cell itself
        normal = float(rest.get_stress()[2])
        stretched = _strained(rest, 1e-3, calculator, force, steps)
        slope = (float(stretched.get_stress()[2]) - normal) / 1e-3
        rest = _strained(rest, -normal / slope, calculator, force, steps)
    values = []
    for strain in strains:
        up, down = (float(_strained(rest, sign * strain, calculator, force, steps).get_stress()[2]) for sign in (1, -1))
        values.append((up - down) / (2 * strain) / GPa * 1e9)
    return float(np.mean(values)), float(np.ptp(values) / 2 + 1e-3 * abs(np.mean(values)))


def _strained(atoms: Atoms, strain: float, calculator: BaseCalculator, force: float, steps: int) -> Atoms:
    """Atoms relaxed in a cell that is longer along z by a share `strain`."""
    moved = atoms.copy()
    cell = moved.cell.array.copy()
    cell[2] *= 1 + strain
    moved.set_cell(cell, scale_atoms=True)
    return relaxed(moved, calculator, force=force, steps=steps, strict=False)


def records(
    found: Layers, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any], species: str
) -> list[Property]:
    """Diffusivities of boundary and grain and the excess of one over the other, along and across; the width (or its bound) where
    there is a boundary to see in them.
    """
    told = {**source, "method": "displacements by layers, window and half window", "window_fs": found.window}
    made = []
    for across in (False, True):
        step = boundary_step(found, across)
        where = {**conditions, "species": species, "direction": "across" if across else "along", "chi2_drop": step.drop}
        both = (("boundary_diffusivity", step.boundary), ("grain_diffusivity", step.grain))
        for (name, (value, error)), limit in zip(both, step.limits, strict=True):
            known = limit is None
            made.append(Property(material, name, value if limit is None else limit, "m^2/s", stderr=error if known else None,
                                 bound=None if known else "upper", conditions=where, source=told))  # fmt: skip
        excess, error = excess_diffusivity(found, across)
        how = f"{told['method']}; of the half next to the boundary less the other half's mean, both sides"
        made.append(Property(material, "boundary_excess_diffusivity", excess, "m^3/s", stderr=error, conditions=where,
                             source={**told, "method": how, "layer_m": found.width * 1e-10}))  # fmt: skip
        if step.width is not None:
            wide = None if step.width.stderr is None else step.width.stderr * 1e-10
            made.append(Property(material, "boundary_width", step.width.value * 1e-10, "m", stderr=wide, bound=step.width.bound,
                                 conditions=where, source={**told, "layer_m": found.width * 1e-10}))  # fmt: skip
    return made


def without_width(found: Layers) -> list[str]:
    """Why a direction has no width, one sentence each."""
    told = []
    for across in (False, True):
        step = boundary_step(found, across)
        if step.width is None:
            why = (f"a boundary in the diffusivities lowers χ² by {step.drop:.3g} against none, {DETECTED:g} are needed"
                   if step.drop <= DETECTED else f"the edge may lie in any of {len(found.along)} layers")  # fmt: skip
            way = "across" if across else "along"
            told.append(f"diffusivities {way} the boundary tell no width: {why}; a longer run may")
    return told
