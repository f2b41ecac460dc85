"""Width of grain boundaries by their structure: how far the framework strays from the crystal's sites, against the height.

Sites are those of the cell as built, each grain moved as a whole and stretched along the normal until they meet the mean places
of the atoms in its inner half. An atom's distance from its site, its mean over the run divided by the geometric mean of its
element, is about the plane c of a boundary

    u(z) = b [1 + A exp(-4 ln 2 (z - c)²/w²)]:

w, the full width at half of the excess, is the width of the boundary. Least squares of ln u, whose scatter from atom to atom is
alike everywhere; b, A, c and w of every boundary by itself, the width told is their mean. Its error holds, in squares,
- atoms: the jackknife over strips of the plane, one of one boundary left out in turn (one step of Gauss and Newton each), or the
  scatter of the boundaries where that is twice as much, which chance does once in twenty;
- time: that of the mean of the widths in PARTS of the run, a step each too, with the correlation they show (`correlated`).
A width within two errors of nothing, of NARROWEST, below twice the spacing of the sites' heights, or that may be that of a grain
leaves a bound. Layers of a crystal may differ as well: where the Gaussian does not lower χ² by SEEN more than the same fit about
the middles of the grains does, there is no width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from atomistic.boundary_transport import Width
from atomistic.correlated import mean_error
from atomistic.frames import require_motion
from coupling.errors import UserError
from coupling.record import Property

STRIPS = 6
"""Strips of the plane, across its longer edge, of which one is left out in turn."""
FEWEST_ATOMS = 8
"""Fewest atoms of the framework in a strip of one boundary."""
FEWEST_INNER = 3
"""Fewest atoms of the framework in the inner half of a grain, which are to tell how it moved and stretched."""
PARTS = 8
"""Of the run, whose widths tell of time."""
DRIFTS = 0.05
"""Error by time, as a share of the width, below which no change is told."""
SEEN = 16.3
"""Drop of χ², beyond that in the middle of the grains, above which a boundary is seen (three more parameters, 99.9 %)."""
LOST = 0.5
"""Mean distance, as a share of the spacing of an element's sites, from which on its atoms are as near to another's site."""
ONE_SIDED_95 = 1.645
NARROWEST = 1.0
"""Least width that is tried: about the distance of lattice planes along the normal of a boundary with high indices."""


@dataclass(frozen=True)
class Disorder:
    """Distances of a framework from its sites.

    Attributes:
        height: of each site over the plane of the nearest boundary (n,), Å. boundary: which one that is (n,). strip: of the plane
            (n,). distances: mean distance of the atom from its site in every part of the run (PARTS, n), Å. numbers: atomic (n,).
            reach: half the distance of neighbouring boundaries, Å. lost: elements as near to other sites as to theirs, in the
            middle of the grains as well.
    """

    height: np.ndarray
    boundary: np.ndarray
    strip: np.ndarray
    distances: np.ndarray
    numbers: np.ndarray
    reach: float
    lost: tuple[str, ...]

    def logarithm(self, parts: slice = slice(None)) -> np.ndarray:
        """Of u, in some parts of the run (n,)."""
        logs = np.log(self.distances[parts].mean(axis=0))
        _, place = np.unique(self.numbers, return_inverse=True)
        return np.asarray(logs - (np.bincount(place, logs) / np.bincount(place))[place])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        arrays = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {**arrays, "reach": self.reach, "lost": list(self.lost)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Disorder":
        """The distances that `to_json` told of."""
        arrays = {name: np.array(kept[name]) for name in ("height", "boundary", "strip", "distances", "numbers")}
        return cls(**arrays, reach=kept["reach"], lost=tuple(kept["lost"]))


def disorder(positions: np.ndarray, sites: Atoms, framework: np.ndarray, cell: np.ndarray) -> Disorder:
    """Distances of the atoms `framework` (indices) from their sites.

    Args:
        positions: unwrapped (frames, n, 3), Å. sites: the cell as built, the same atoms in the same order, its grains by tags
            (`grain_boundary.grain_boundary`). cell: of the run (3, 3), Å; the third vector along z.

    Raises:
        UserError: other atoms, fewer than two grains, too few frames, atoms that stand still, or too few of them in a strip or in
            the middle of a grain.
    """
    if len(sites) != positions.shape[1]:
        raise UserError(f"width of a boundary: {len(sites)} sites for {positions.shape[1]} atoms; the cell as built is needed")
    if not len(framework):
        raise UserError("width of a boundary: no atom of a framework beside the moving ones")
    grains = sites.get_tags()[framework]
    if len(np.unique(grains)) < 2:
        raise UserError("width of a boundary: sites with a tag for each of two or more grains are needed")
    if len(positions) < PARTS:
        raise UserError(f"width of a boundary: {len(positions)} frames; at least {PARTS} are needed")
    require_motion(positions)
    tracks = positions[:, framework].astype(float)
    tracks += tracks[0].mean(axis=0) - tracks.mean(axis=1, keepdims=True)
    mean, numbers = tracks.mean(axis=0), sites.numbers[framework]
    placed = _placed(mean, sites.positions[framework], grains, cell)
    away_from_site = np.linalg.norm(tracks - placed, axis=2)
    distances = np.array([part.mean(axis=0) for part in np.array_split(away_from_site, PARTS)])
    planes = _planes(placed[:, 2], grains, float(cell[2, 2]))
    away = (placed[:, 2] - planes[:, None] + cell[2, 2] / 2) % cell[2, 2] - cell[2, 2] / 2
    boundary = np.abs(away).argmin(axis=0)
    height = away[boundary, np.arange(len(boundary))]
    along = int(np.argmax(np.linalg.norm(cell[:2], axis=1)))
    strip = np.floor((placed @ np.linalg.inv(cell))[:, along] % 1.0 * STRIPS).astype(int) % STRIPS
    reach = float(np.diff([*planes, planes[0] + cell[2, 2]]).min() / 2)
    fewest = min(np.bincount(STRIPS * boundary + strip, minlength=STRIPS * len(planes)))
    if fewest < FEWEST_ATOMS:
        told = f"{fewest} atoms of the framework in a strip of its plane; {FEWEST_ATOMS} are needed"
        raise UserError(f"width of a boundary: {told}")
    inner = np.abs(height) > reach / 2
    lost = _lost(distances.mean(axis=0)[inner], placed[inner], numbers[inner])
    return Disorder(height, boundary, strip, distances, numbers, reach, lost)


def _placed(mean: np.ndarray, sites: np.ndarray, grains: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Mean places' sites (n, 3), Å: those as built, next to the atoms, each grain moved and stretched to meet its inner half.

    Raises:
        UserError: a grain whose inner half holds fewer than FEWEST_INNER atoms, or none NARROWEST over the others.
    """
    turns = np.rint((mean - sites) @ np.linalg.inv(cell))
    placed = sites + turns @ cell
    for grain in np.unique(grains):
        own = grains == grain
        height = sites[own, 2] - (sites[own, 2].min() + sites[own, 2].max()) / 2
        moved, inner = mean[own] - placed[own], np.abs(height) < np.ptp(height) / 4
        over = float(np.ptp(height[inner])) if inner.any() else 0.0
        if inner.sum() < FEWEST_INNER or over < NARROWEST:
            told = f"{inner.sum()} atoms of the framework, over {over:.2g} Å, in the inner half of the grain with the tag {grain}"
            least = f"at least {FEWEST_INNER} over {NARROWEST:g} Å are needed, and a tag for each grain, not for each layer"
            raise UserError(f"width of a boundary: {told}; {least}")
        stretch = float(np.polyfit(height[inner], moved[inner, 2], 1)[0])
        moved[:, 2] -= stretch * height
        placed[own] += np.median(moved[inner], axis=0)
        placed[own, 2] += stretch * height
    return placed


def _planes(heights: np.ndarray, grains: np.ndarray, period: float) -> np.ndarray:
    """Planes half-way between the sites of successive grains, rising, Å."""
    ends = sorted((heights[grains == grain].min(), heights[grains == grain].max()) for grain in np.unique(grains))
    above = [low for low, _ in ends[1:]] + [ends[0][0] + period]
    return np.array([(high + low) / 2 for (_, high), low in zip(ends, above, strict=True)])


def _lost(distance: np.ndarray, placed: np.ndarray, numbers: np.ndarray) -> tuple[str, ...]:
    """Elements whose atoms are on the mean farther from their sites than LOST of the spacing of these."""
    told = []
    for kind in np.unique(numbers):
        own = placed[numbers == kind]
        if len(own) < 2:
            continue
        spacing = float(np.median(cKDTree(own).query(own, k=2)[0][:, 1]))
        if distance[numbers == kind].mean() > LOST * spacing:
            told.append(chemical_symbols[kind])
    return tuple(told)


@dataclass(frozen=True)
class Structure:
    """The fitted boundaries, in their order: level b, excess A, plane c (Å, from the middle between grains), width w (Å).

    Attributes:
        parameters: (boundaries, 4). width: mean of theirs with its error, or a bound; None: not every boundary is seen.
        by_time: mean widths in the parts of the run, Å, nearly. drifts: whether their error is most of the width's, and counts.
        drop: least fall of χ² by a boundary. inside: greatest by the same fit about the middle of a grain, 0 where it is none.
    """

    parameters: np.ndarray
    width: Width | None
    by_time: tuple[float, ...]
    drifts: bool
    drop: float
    inside: float

    @property
    def needed(self) -> float:
        """Fall of χ² above which a boundary is seen."""
        return self.inside + SEEN


def structure(found: Disorder) -> Structure:
    """Width of the boundaries."""
    logs, count = found.logarithm(), int(found.boundary.max()) + 1
    parts = [found.logarithm(slice(number, number + 1)) for number in range(PARTS)]
    fits, left_out, drops, late = [], [], [], []
    for number in range(count):
        own = found.boundary == number
        height, strip = found.height[own], found.strip[own]
        best, drop = _fit(height, logs[own], found.reach)
        fits.append(best)
        drops.append(drop)
        left_out.append([_stepped(best, height[strip != each], logs[own][strip != each]) for each in range(STRIPS)])
        late.append([_stepped(best, height, part[own]) for part in parts])
    widths = np.exp([fit[3] for fit in fits])
    jackknife = np.sqrt((STRIPS - 1) * np.var(left_out, axis=1).sum()) / count
    scatter = np.std(widths, ddof=1) / np.sqrt(count) if count > 1 else 0.0
    atoms = scatter if scatter > 2 * jackknife else jackknife
    by_time = np.mean(late, axis=0)
    time = mean_error(by_time)
    error = float(np.hypot(atoms, time))
    parameters = np.array([[np.exp(b), np.exp(a), c, np.exp(w)] for b, a, c, w in fits])
    drifts = bool(time > max(2 * atoms, DRIFTS * widths.mean()))
    fit = Structure(parameters, None, tuple(by_time.tolist()), drifts, min(drops), _inside(found, logs))
    least = max(1.001 * NARROWEST, *(2 * _spacing(found.height[found.boundary == number]) for number in range(count)))
    return replace(fit, width=_told(widths, error, found.reach, least)) if fit.drop > fit.needed else fit


def _inside(found: Disorder, logs: np.ndarray) -> float:
    """Greatest fall of χ² by the fit of a boundary about the middle of a grain: what differs from layer to layer."""
    count = int(found.boundary.max()) + 1
    grain, falls = (found.boundary - (found.height < 0)) % count, [0.0]
    for number in range(count):
        height = found.height[grain == number]
        half = 2 * np.abs(height).mean()  # of a grain that is evenly filled
        falls.append(_fit(height - np.where(height < 0, -half, half), logs[grain == number], found.reach)[1])
    return max(falls)


def _spacing(height: np.ndarray) -> float:
    """Mean distance, Å, between the heights below and above a place that is taken at random: Σ g²/Σ g of the gaps g."""
    apart = np.diff(np.sort(height))
    return float((apart**2).sum() / apart.sum())


def _told(widths: np.ndarray, error: float, reach: float, least: float) -> Width:
    """Mean width with its error, or the bound that is left of it; `least`: below which (Å) none is resolved."""
    width = float(widths.mean())
    if width + ONE_SIDED_95 * error > 2 * reach:
        return Width(max(width - ONE_SIDED_95 * error, 0.0), None, "lower")
    if width < 2 * error or widths.min() < least:
        return Width(max(width, least) + ONE_SIDED_95 * error, None, "upper")
    return Width(width, error, None)


def profile(parameters: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Logarithm of u at heights (n,), Å, from (ln b, ln A, c, ln w)."""
    b, a, c, w = parameters
    return np.asarray(b + np.log1p(np.exp(a - 4 * np.log(2) * ((height - c) / np.exp(w)) ** 2)))


def _slopes(parameters: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Derivatives (n, 4) of `profile` by its parameters."""
    _, a, c, w = parameters
    away = (height - c) / np.exp(w)
    excess = np.exp(a - 4 * np.log(2) * away**2)
    share = excess / (1 + excess)
    steep = 8 * np.log(2) * away * share
    return np.column_stack([np.ones_like(height), share, steep / np.exp(w), steep * away])


def _fit(height: np.ndarray, logs: np.ndarray, reach: float) -> tuple[np.ndarray, float]:
    """Parameters of the best Gaussian, begun narrow and wide, and the fall of χ² against a level alone."""
    limits = ([-np.inf, -6.0, -reach / 2, np.log(NARROWEST)], [np.inf, 6.0, reach / 2, np.log(4 * reach)])
    tries = [least_squares(lambda p: profile(p, height) - logs, [np.quantile(logs, 0.2), 0.0, 0.0, np.log(wide)],
                           lambda p: _slopes(p, height), bounds=limits) for wide in (reach / 4, reach)]  # fmt: skip
    best = min(tries, key=lambda one: one.cost)
    rest, flat = 2 * best.cost, float(((logs - logs.mean()) ** 2).sum())
    return best.x, (flat - rest) / max(rest / (len(logs) - 4), 1e-300)


def _stepped(best: np.ndarray, height: np.ndarray, logs: np.ndarray) -> float:
    """Width, Å, of a part of the data: one step of Gauss and Newton from the best fit of all, at most by a factor of two."""
    step = np.linalg.lstsq(_slopes(best, height), logs - profile(best, height), rcond=None)[0]
    return float(np.exp(best[3] + np.clip(step[3], -np.log(2), np.log(2))))


def records(
    found: Disorder, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> tuple[list[Property], list[str]]:
    """Width of the boundary (or its bound), and a sentence for what the run does not bear.

    Of low confidence where an element of the framework has left its sites in the middle of the grains as well.
    """
    fit, notes = structure(found), []
    if found.lost:
        which = f"{', '.join(found.lost)} of the framework"
        notes.append(f"{which}: as near to other sites as to its own in the middle of the grains as well; what is told of the "
                     "boundary and of the grain is of low confidence")  # fmt: skip
    if fit.width is None:
        told = f"a boundary in the distances of the framework from its sites lowers χ² by {fit.drop:.3g}"
        needed = f"{fit.needed:.3g} are needed ({SEEN:g} more than in the middle of the grains)"
        return [], [*notes, f"no width of the boundary: {told}, {needed}"]
    if fit.drifts:
        told = ", ".join(f"{width:.2g}" for width in fit.by_time)
        notes.append(f"the boundary's width changes within the run: about {told} Å in {PARTS} parts of it")
    method = "framework's mean distance from the crystal's sites: full width at half of its Gaussian excess"
    own = {**source, "method": method, "widths_m": [float(w) * 1e-10 for w in fit.parameters[:, 3]],
           "excess": fit.parameters[:, 1].tolist(), "widths_by_time_m": [w * 1e-10 for w in fit.by_time],
           "planes_m": [float(c) * 1e-10 for c in fit.parameters[:, 2]],
           "framework": sorted({chemical_symbols[kind] for kind in found.numbers})}  # fmt: skip
    error = None if fit.width.stderr is None else fit.width.stderr * 1e-10
    record = Property(material, "boundary_width", fit.width.value * 1e-10, "m", stderr=error, bound=fit.width.bound,
                      conditions={**conditions, "measure": "framework"}, source=own,
                      confidence="low" if found.lost else "computed")  # fmt: skip
    return [record], notes


def drawn(found: Disorder, bins: int = 12) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Relative distance against height, means with their errors by bins and the fit, both boundaries in one: for a picture."""
    fit, edges = structure(found), np.linspace(-found.reach, found.reach, 2 * bins + 1)
    centred = found.height - fit.parameters[found.boundary, 2]
    place, relative = np.digitize(centred, edges) - 1, np.exp(found.logarithm())
    held = [number for number in range(2 * bins) if (place == number).sum() > 1]
    means = np.array([relative[place == number].mean() for number in held])
    errors = np.array([relative[place == number].std(ddof=1) / np.sqrt((place == number).sum()) for number in held])
    fine = np.linspace(-found.reach, found.reach, 200)
    curve = np.mean([b * (1 + a * np.exp(-4 * np.log(2) * (fine / w) ** 2)) for b, a, _, w in fit.parameters], axis=0)
    return {"atoms": ((edges[:-1] + edges[1:])[held] / 2, means, errors), "fit": (fine, curve, None)}
