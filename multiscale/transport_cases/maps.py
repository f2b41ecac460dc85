"""Where the current goes at one time: maps and flux lines of a two-dimensional cell, hot spots and spectrum of any."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import dctn

from coupling.atomic import replacing, write_text
from meshes.polycrystal import seeds
from multiscale.reporting import snapshot
from multiscale.transport import flux_lines
from multiscale.transport_cases.cell import WORKING, Cell
from multiscale.transport_cases.cell_means import CellMeans, cell_means, thin_pieces
from multiscale.transport_cases.fields import CURRENT, POTENTIAL, Gathered, gather, sampled
from multiscale.transport_cases.meter import TransportMeter

LINES = 64
"""Flux lines that are followed through the cell."""
LONGEST_WAVES = 24
"""Cosines of the spectrum that are written."""
LEVELS = (0.02, 0.25, 0.5, 0.75, 0.98)
"""Depths at which the spectrum is taken, over the thickness of each medium."""
GRID = 32
"""Points along each side at which the spectrum of a solid cell is taken."""
LEVEL = 1e-6
"""Unevenness of the working face over the cell's length up to which flux lines can start on it evenly."""


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table in one step; numbers with ten digits."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(names)
    table.writerows([f"{value:.10g}" if isinstance(value, float) else value for value in row] for row in rows)
    write_text(path, stream.getvalue())


def write_maps(folder: Path, system: Any, cell: Cell, meter: TransportMeter, comm: Any) -> dict[str, Any]:
    """Hot spots and spectrum of any cell (hot_spots.csv, spectrum.csv); in 2-D also current_map.npz, flux_lines.npz.

    Gives some of it for the summary, on every rank; call on every rank.
    """
    pieces = meter.face(WORKING)
    mean = float(np.sum(pieces[:, 1]) / cell.area)
    means = cell_means(system, cell)
    spots = hot_spots(means, cell, mean) + thin_spots(system, cell, means, mean)
    rows: list[Any] = []
    if cell.domain.dimension > 2:
        rows = solid_spectrum(system, cell)
    gathered = oriented(gather(system, cell), cell) if cell.domain.dimension == 2 else None
    found: dict[str, Any] = {}
    if comm.rank == 0:
        ranked = sorted(spots, key=lambda spot: -spot.largest)
        across = ("x_m", "depth_m", "area_m2") if cell.domain.dimension < 3 else ("x_m", "y_m", "depth_m", "volume_m3")
        names = ("kind", "name", "largest_over_mean_1", "mean_over_mean_1", *across)
        write_csv(folder / "hot_spots.csv", names, [(s.kind, s.name, s.largest, s.mean, *s.place, s.area) for s in ranked])
        found = {"hot_spots": [asdict(spot) for spot in ranked[:10]], "mean_current_density_A_per_m2": mean}
    if gathered is not None:
        flux = flux_lines.FluxMap.of(gathered.corners, gathered.values[CURRENT])
        snapshot.write(folder / "current_map.npz", current_map(gathered, flux))
        rows = spectrum_rows(flux, cell)
        found |= _lines(folder, flux, pieces, cell)
    if comm.rank == 0 and rows:
        write_csv(folder / "spectrum.csv", ("depth_m", "medium", "wavelength_m", "amplitude_over_mean_1"), rows)
    return dict(comm.bcast(found))


def oriented(gathered: Gathered | None, cell: Cell) -> Gathered | None:
    """The same fields with the second coordinate as the depth from the working electrode."""
    if gathered is None or (cell.axis == 1 and cell.direction > 0 and cell.start == 0):
        return gathered
    corners, flux = gathered.corners.copy(), gathered.values[CURRENT].copy()
    other = 1 - cell.axis
    corners = np.stack([corners[..., other], cell.direction * (corners[..., cell.axis] - cell.start)], axis=-1)
    flux = np.stack([flux[..., other], cell.direction * flux[..., cell.axis]], axis=-1)
    return replace(gathered, corners=corners, values=gathered.values | {CURRENT: flux})


def _lines(folder: Path, flux: flux_lines.FluxMap, pieces: np.ndarray, cell: Cell) -> dict[str, Any]:
    """Flux lines from places on the working face between which equal currents pass; none where the face is not level."""
    bottom = max(end for _, end in cell.depths.values())
    depth = cell.direction * (pieces[:, 2 + cell.axis] - cell.start)
    if np.ptp(depth) > LEVEL * bottom:
        return {}
    lateral = 2 + (1 - cell.axis)
    along = pieces[np.argsort(pieces[:, lateral])][:, [0, 1, lateral]]
    if cell.domain.axisymmetric:
        along[:, 0] /= 2 * np.pi * along[:, 2]  # from areas of rings to their widths
    starts = flux_lines.even_starts(along, LINES)
    begin = float(depth.mean()) + 1e-6 * bottom
    lines = flux.lines(np.column_stack([starts, np.full(LINES, begin)]), bottom * (1 - 1e-9))
    through = [line for line in lines if line[-1, 1] > bottom * (1 - 1e-6)]
    lengths = np.array([flux_lines.length(line) + 1e-6 * bottom for line in through]) / cell.length
    with replacing(folder / "flux_lines.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, points=np.concatenate(lines), ends=np.cumsum([len(line) for line in lines]))
    told: dict[str, float] = {"traced": len(lines), "through": len(through)}
    if through:
        told |= {"mean_tortuosity": float(lengths.mean()), "largest_tortuosity": float(lengths.max())}
    return {"flux_lines": told}


def hot_spots(means: CellMeans, cell: Cell, mean: float) -> list[flux_lines.HotSpot]:
    """The hottest cell and the mean of every grain, meshed boundary and region, over the mean current density of the cell.

    On rank 0; empty on the others.
    """
    if not len(means.volume):
        return []
    kinds, names = labels(means, cell)
    size, depth = means.size / abs(mean), means.depth(cell)
    found = []
    for kind, name in sorted(set(zip(kinds.tolist(), names.tolist(), strict=True))):
        here = np.flatnonzero((kinds == kind) & (names == name))
        top = here[np.argmax(size[here])]
        average = float(np.average(size[here], weights=means.volume[here]))
        place = tuple(float(x) for x in depth[top])
        found.append(flux_lines.HotSpot(kind, name, float(size[top]), average, place, float(means.volume[here].sum())))
    return found


def labels(means: CellMeans, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Kind ("grain", "boundary", the region or layer) and name (of the grain or grains) of each cell."""
    kinds = np.array([means.regions[tag] for tag in means.region], dtype=object)
    names = np.full(len(kinds), "", dtype=object)
    for k, region in enumerate(kinds):
        if region.startswith("grain "):
            kinds[k], names[k] = "grain", region.removeprefix("grain ")
    if cell.crystal is not None:
        grains, edges = kinds == "grain", kinds == "boundary"
        names[grains] = means.grain[grains].astype(str)
        names[edges] = flux_lines.neighbours(seeds(cell.crystal), means.place[edges][:, :2])
    kinds[kinds == "interphase"] = "interlayer"
    return kinds, names


def thin_spots(system: Any, cell: Cell, means: CellMeans, mean: float) -> list[flux_lines.HotSpot]:
    """The same of every thin boundary between two grains, by the current density inside it; its size is area times width."""
    found = []
    for network in system.networks:
        pieces = thin_pieces(system, cell, network, means)
        if pieces is None:
            continue
        δ = float(network.layer.thickness.value)
        for pair in sorted(set(pieces.names)):
            here = np.flatnonzero(np.array(pieces.names) == pair)
            top = here[np.argmax(pieces.size[here])]
            average = float(np.average(pieces.size[here], weights=pieces.area[here])) / abs(mean)
            place = tuple(float(x) for x in pieces.depth(cell)[top])
            largest, volume = float(pieces.size[top]) / abs(mean), δ * float(pieces.area[here].sum())
            found.append(flux_lines.HotSpot("boundary", pair, largest, average, place, volume))
    return found


def spectrum_rows(flux: flux_lines.FluxMap, cell: Cell) -> list[tuple[float, str, float, float]]:
    """Spectrum of the flux of a two-dimensional cell at five depths of each medium."""
    rows = []
    width = float(np.ptp(flux.points[:, 0]))
    for name, (top, bottom) in cell.depths.items():
        for share in LEVELS:
            depth = top + share * (bottom - top)
            if cell.domain.axisymmetric:
                waves, amplitudes = flux.radial_spectrum(depth, float(flux.points[:, 0].max()))
            else:
                waves, amplitudes = flux.spectrum(depth, width, float(flux.points[:, 0].min()))
            rows += [(depth, name, float(w), float(a)) for w, a in zip(waves[:LONGEST_WAVES], amplitudes, strict=False)]
    return rows


def solid_spectrum(system: Any, cell: Cell) -> list[tuple[float, str, float, float]]:
    """Spectrum of the flux of a solid cell whose sides are mirrors: amplitudes of cosines across, longest waves first.

    Where nothing conducts the flux counts as zero. On rank 0; empty on the others. Call on every rank.
    """
    x = cell.domain.mesh.geometry.x
    comm = cell.domain.comm
    low = np.min(comm.allgather(x.min(axis=0, initial=np.inf)), axis=0)
    high = np.max(comm.allgather(x.max(axis=0, initial=-np.inf)), axis=0)
    sides = [d for d in range(3) if d != cell.axis]
    shares = (np.arange(GRID) + 0.5) / GRID
    lines = [low[d] + shares * (high[d] - low[d]) for d in sides]
    k = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij"))
    with np.errstate(divide="ignore"):
        waves = 2 / np.hypot(k[0] / (high - low)[sides[0]], k[1] / (high - low)[sides[1]])
    order = np.argsort(-waves.ravel(), kind="stable")[1 : LONGEST_WAVES + 1]
    levels = [(name, top + share * (bottom - top)) for name, (top, bottom) in cell.depths.items() for share in LEVELS]
    points = np.zeros((len(levels), GRID, GRID, 3))
    points[..., sides[0]], points[..., sides[1]] = np.meshgrid(*lines, indexing="ij")
    for number, (_, depth) in enumerate(levels):
        points[number, ..., cell.axis] = cell.start + cell.direction * depth
    values = sampled(system, cell, CURRENT, points.reshape(-1, 3))
    if values is None:
        return []
    through = np.nan_to_num(values[:, cell.axis]).reshape(len(levels), GRID, GRID)
    rows = []
    for number, (name, depth) in enumerate(levels):
        mean = through[number].mean()
        factor = np.where(k == 0, 0.5, 1.0).prod(axis=0)
        amplitude = dctn(through[number] / mean, type=2) / GRID**2 * factor
        rows += [(depth, name, float(waves.ravel()[m]), float(amplitude.ravel()[m])) for m in order]
    return rows


def current_map(gathered: Gathered, flux: flux_lines.FluxMap) -> dict[str, np.ndarray]:
    """Arrays of `field_maps.CurrentMap`."""
    potential = np.zeros(len(flux.points))
    potential[flux.triangles.ravel()] = gathered.values[POTENTIAL].ravel()
    return {
        "points": flux.points, "triangles": flux.triangles, "potential": potential,
        "current_density": np.linalg.norm(gathered.values[CURRENT], axis=2).mean(axis=1),
        "region": gathered.region.astype(np.int32), "grain": gathered.grain.astype(np.int32),
        "region_names": snapshot.region_names({name: tag for tag, name in gathered.regions.items()}),
    }  # fmt: skip


