"""Which crystal an atom sits in (bcc, fcc, hcp or none) by matching its neighbours to templates, and shares of it in time.

The 12 (fcc, hcp) or 14 (bcc) nearest neighbours of an atom, divided by their mean distance, are laid on the vertices of a
template by the rotation and permutation of least root mean square deviation (RMSD); the template of least RMSD wins if that lies
below a limit. This is polyhedral template matching (Larsen, Schmidt & Schiøtz, Modelling Simul. Mater. Sci. Eng. 24, 055007
(2016), memory), but for the choice of neighbours by distance instead of Voronoi faces and the search by trial rotations instead
of graph isomorphism. There is no bond cutoff to choose. How much thermal noise is borne: of fcc Lennard-Jones at 0.7 of its
melting point 99 % of the atoms are found, of its melt and of molten lithium none is taken for crystal; of bcc lithium at 300 K
(`lpscl`) 73 % are found in single frames (15 % pass for hcp, the rest for none): take the mean of frames first (`averaged`;
`window_of` says of how many).

Shares are of all atoms of the element, or of those that are metal (`metal`): in a cell with an electrolyte most lithium is none,
and would pass for disordered metal.

The error of a share is that of the frames with their correlation (`correlated`; of parts of a run that of all of them together),
since an atom's environment lasts, and no smaller than that of as many independent atoms as were looked at:
p̃(1 - p̃)/(N + 3), p̃ = (p N + 1)/(N + 2), the variance of a share p of N atoms when all shares are as likely beforehand (Bayes
1763, Laplace's rule of succession): a share of 0 or 1 has an error, too.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from atomistic.clusters import ClusterSettings, largest_cluster
from atomistic.correlated import fit_errors
from coupling.errors import UserError
from coupling.record import Property

DISORDERED = "disordered"
LIMIT = 0.19
"""RMSD, in mean neighbour distances, above which an atom is in no crystal."""
ANCHORS = 3
"""Nearest neighbours that the trial rotations start from."""
CHUNK = 300
FEWEST = 5
"""Fewest frames that a share of a run has an error from, and means that a hot run is averaged to."""
BLOCKS = 10
"""Most parts of a run that shares in time are told of."""
OWN = 20.0
"""Times the usual variance of a part beyond which it is taken as its own: chance gives it to few parts of correlated frames."""
SMOOTH = 3.0
"""Variance about a smooth curve over that about means of parts, below which shares follow it: a memory of 0.7 makes two of it."""
AMONG = ("element", "metal")
"""What shares are of: all atoms of the element, or those of them that are metal."""
WINDOW = 3
"""Successive frames of a hot run that are averaged (bcc share of the atoms of a metal: 33 % in single frames, 69 % of three)."""
NOISE, WANDER = 0.04, 0.4
"""Median movement from frame to frame, in bonds of the element (twice its covalent radius), between which a run is hot: noise
hides crystals, and atoms stay by their sites within WINDOW frames."""


def _templates() -> dict[str, np.ndarray]:
    """Vertices (k, 3) of the neighbours of an atom, mean distance one."""
    signs = np.array(list(itertools.product((1, -1), repeat=3)), dtype=float)
    axes = np.vstack([np.eye(3), -np.eye(3)])
    fcc = np.array([p for p in itertools.product((-1.0, 0.0, 1.0), repeat=3) if np.abs(p).sum() == 2])
    angle = np.pi / 3 * np.arange(6)
    ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(6)])
    above = np.array([[np.cos(a) / 3**0.5, np.sin(a) / 3**0.5, (2 / 3) ** 0.5] for a in np.pi / 6 + 2 * np.pi / 3 * np.arange(3)])
    made = {"bcc": np.vstack([signs / 2, axes]), "fcc": fcc, "hcp": np.vstack([ring, above, above * [1, 1, -1]])}
    return {name: rows / np.linalg.norm(rows, axis=1).mean() for name, rows in made.items()}


TEMPLATES = _templates()
NAMES = (*TEMPLATES, DISORDERED)


@dataclass(frozen=True)
class Matches:
    """Of every atom looked at: index in the frame (m,), name of its crystal (m,), RMSD to each template (m, 3)."""

    atoms: np.ndarray
    names: np.ndarray
    deviations: np.ndarray


def match(atoms: Atoms, element: str | None = None, limit: float = LIMIT) -> Matches:
    """Crystal of every atom of an element by its neighbours of the same element.

    Args:
        atoms: a frame. element: chemical symbol; None takes all atoms as of one kind. limit: largest RMSD of a crystal.

    Raises:
        UserError: fewer than 15 such atoms, a position that is not finite, or a periodic frame without a cell.
    """
    chosen = np.arange(len(atoms)) if element is None else np.flatnonzero(np.array(atoms.get_chemical_symbols()) == element)
    if len(chosen) < 15:
        raise UserError(f"crystallinity: {len(chosen)} atoms of {element or 'any element'}; at least 15 are needed")
    if not np.isfinite(atoms.positions).all():
        raise UserError("crystallinity: a position is not a finite number; the run broke there")
    if atoms.pbc.any() and atoms.cell.rank < 3:
        raise UserError("crystallinity: a periodic frame has no three-dimensional cell")
    vectors = neighbours(atoms[chosen], 14)
    deviations = np.column_stack([_deviation(vectors, template) for template in TEMPLATES.values()])
    best = deviations.argmin(axis=1)
    names = np.where(deviations.min(axis=1) <= limit, np.array(NAMES)[best], DISORDERED)
    return Matches(chosen, names, deviations)


def neighbours(atoms: Atoms, count: int) -> np.ndarray:
    """Vectors (n, count, 3) to the nearest neighbours, nearest first, periodic images included, Å."""
    frame = atoms.copy()
    frame.wrap()
    cell, positions = frame.cell.array, frame.positions
    density = len(frame) / frame.get_volume() if frame.cell.rank == 3 else 1e-3
    radius = (3 * count / (4 * np.pi * density)) ** (1 / 3) * 1.6
    heights = 1 / np.linalg.norm(np.linalg.pinv(cell), axis=0) if frame.cell.rank == 3 else np.full(3, np.inf)
    while True:
        reach = [int(np.ceil(radius / h)) if periodic else 0 for h, periodic in zip(heights, frame.pbc, strict=True)]
        shifts = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach)))) @ cell
        images = (positions[None] + shifts[:, None]).reshape(-1, 3)
        distances, index = cKDTree(images).query(positions, k=count + 1)
        if not frame.pbc.any() or distances[:, -1].max() <= radius or radius > 60:
            return np.asarray(images[index[:, 1:]] - positions[:, None])
        radius *= 1.5


def _deviation(vectors: np.ndarray, template: np.ndarray) -> np.ndarray:
    """RMSD (n,) of the nearest len(template) of the neighbours from the template, best rotation, permutation and scale."""
    near = vectors[:, : len(template)]
    near = near / np.linalg.norm(near, axis=2).mean(axis=1)[:, None, None]
    return np.concatenate([_matched(part, template) for part in np.array_split(near, max(1, len(near) // CHUNK))])


def _matched(near: np.ndarray, template: np.ndarray) -> np.ndarray:
    """RMSD of one chunk: trial rotations, the best one refined, then the best permutation."""
    best, rotations = np.full(len(near), np.inf), np.tile(np.eye(3), (len(near), 1, 1))
    for trial in _trials(near, template):
        turned = np.einsum("nij,tj->nti", trial, template)
        square = ((turned[:, :, None] - near[:, None]) ** 2).sum(axis=3)
        cost = square.min(axis=2).sum(axis=1) + square.min(axis=1).sum(axis=1)
        better = cost < best
        best[better], rotations[better] = cost[better], trial[better]
    for _ in range(2):
        order = _assigned(near, template, rotations)
        rotations = _kabsch(near, template[order])
    order = _assigned(near, template, rotations)
    laid = np.einsum("nij,ntj->nti", rotations, template[order])
    scale = (laid * near).sum(axis=(1, 2)) / (near**2).sum(axis=(1, 2))
    return np.asarray(np.sqrt(((laid - scale[:, None, None] * near) ** 2).sum(axis=2).mean(axis=1)))


def _trials(near: np.ndarray, template: np.ndarray) -> list[np.ndarray]:
    """Rotations (n, 3, 3) that lay a pair of template vertices on a near pair of neighbours."""
    unit = near / np.linalg.norm(near, axis=2)[:, :, None]
    corners = template / np.linalg.norm(template, axis=1)[:, None]
    cosines = corners @ corners.T
    # one vertex of each kind (by its distance and the angles it makes), and all others less than 75° away
    lengths = np.round(np.linalg.norm(template, axis=1), 6)
    kinds = {(lengths[a], tuple(np.round(np.sort(cosines[a]), 6))): a for a in range(len(template))}
    pairs = [(a, b) for a in kinds.values() for b in range(len(template)) if 0.25 < cosines[a, b] < 0.999]
    rows, found = np.arange(len(near)), []
    for anchor in range(ANCHORS):
        angle = np.einsum("nki,ni->nk", unit, unit[:, anchor])
        angle[:, anchor] = -2
        partner = angle.argmax(axis=1)
        own = _frame(unit[:, anchor], unit[rows, partner])
        for a, b in pairs:
            found.append(own @ _frame(corners[a][None], corners[b][None]).transpose(0, 2, 1))
    return found


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed axes (n, 3, 3), columns: halfway between the two, normal to both, and the third."""
    x = first + second
    x = x / np.linalg.norm(x, axis=1)[:, None]
    z = np.cross(first, second)
    z = z / np.maximum(np.linalg.norm(z, axis=1), 1e-12)[:, None]
    return np.stack([x, np.cross(z, x), z], axis=2)


def _assigned(near: np.ndarray, template: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Vertex (n, k) laid on each neighbour, the assignment of least sum of squares."""
    turned = np.einsum("nij,tj->nti", rotations, template)
    square = ((near[:, :, None] - turned[:, None]) ** 2).sum(axis=3)
    return np.array([linear_sum_assignment(cost)[1] for cost in square])


def _kabsch(near: np.ndarray, laid: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) that bring `laid` (n, k, 3) closest to `near`."""
    u, _, vt = np.linalg.svd(np.einsum("nki,nkj->nij", near, laid))
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    return np.asarray(u @ vt)


def averaged(frames: Sequence[Atoms], window: int) -> list[Atoms]:
    """Frames whose positions are means over `window` successive frames, which takes out most thermal noise.

    Each is the middle frame of its window, its atoms moved by the mean of their movement within it: the strain of a cell that
    follows a pressure, times all the images that atoms crossed before, stays out.

    Raises:
        UserError: a window of no frame or of more than there are, and what `unwrap` refuses.
    """
    from atomistic.frames import unwrap

    if not 1 <= window <= len(frames):
        raise UserError(f"crystallinity: a mean over {window} frames of {len(frames)}; between one and all of them are needed")
    if window == 1:
        return list(frames)
    tracks, made = unwrap(frames), []
    for start in range(0, len(frames) - window + 1, window):
        middle = start + window // 2
        atoms = frames[middle].copy()
        atoms.positions += tracks[start : start + window].mean(axis=0) - tracks[middle]
        made.append(atoms)
    return made


def window_of(frames: Sequence[Atoms], element: str | None = None) -> int:
    """How many successive frames to average: WINDOW where the atoms of the element move as in a hot run, else one.

    One, too, of fewer frames than make FEWEST means.
    """
    from atomistic.frames import unwrap

    if len(frames) < FEWEST * WINDOW:
        return 1
    own = np.full(len(frames[0]), True) if element is None else frames[0].symbols == element
    if not own.any():
        return 1
    steps = np.linalg.norm(np.diff(unwrap(frames)[:, own], axis=0), axis=2)
    moved = float(np.median(steps / (2 * covalent_radii[frames[0].numbers[own]])))
    return WINDOW if NOISE <= moved <= WANDER else 1


def metal(atoms: Atoms, element: str = "Li") -> np.ndarray:
    """Which atoms (n,) are metal: of the element, many of their kind around them, no other (`clusters.largest_cluster`).

    Raises:
        UserError: another element than lithium, whose radii these are.
    """
    if element != "Li":
        raise UserError(f"crystallinity: what of {element} is metal is not known here, only of Li; take shares among the element")
    if element not in atoms.symbols:
        return np.zeros(len(atoms), dtype=bool)
    others = tuple(sorted(set(atoms.symbols) - {element}))
    return np.asarray(largest_cluster(atoms, ClusterSettings(element=element, foreign=others)).shares > 0.5)


@dataclass(frozen=True)
class Shares:
    """Share of the atoms in each structure: in every frame (frames, 4), their mean (4,) and its standard error (4,) or None.

    counts (frames,): the atoms that each frame's shares are of; where there are none its shares are nan and in no mean.
    """

    frames: np.ndarray
    mean: np.ndarray
    stderr: np.ndarray | None
    counts: np.ndarray


def shares(frames: Sequence[Atoms], element: str | None = None, limit: float = LIMIT, among: str = "element") -> Shares:
    """Shares of bcc, fcc, hcp and disordered atoms in time; of FEWEST frames or more with an error.

    Args:
        frames: of one run. element, limit: as `match`. among: one of AMONG.

    Raises:
        UserError: no frame, no metal in any, and what `match` and `metal` refuse.
    """
    if not frames:
        raise UserError("crystallinity: no frame")
    rows = np.array([_of_frame(frame, element, limit, among) for frame in frames])
    found, counts = rows[:, :-1], rows[:, -1]
    seen = found[counts > 0]
    if not len(seen):
        raise UserError(f"crystallinity: no atom of {element} is metal (many of its own kind and no other around it)")
    (mean,), (error,) = _means(seen, counts[counts > 0], np.zeros(len(seen)))
    return Shares(found, mean, error if len(seen) >= FEWEST else None, counts)


def _of_frame(atoms: Atoms, element: str | None, limit: float, among: str) -> list[float]:
    """Shares of the four structures, nan of no atoms, and of how many atoms they are."""
    if among not in AMONG:
        raise UserError(f"crystallinity: shares among {among!r}; allowed: {', '.join(AMONG)}")
    found = match(atoms, element, limit)
    kept = found.names if among == "element" else found.names[metal(atoms, element or "Li")[found.atoms]]
    return [*(float(np.mean(kept == name)) if len(kept) else np.nan for name in NAMES), len(kept)]


def _means(rows: np.ndarray, counts: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (p, 4) of successive frames (k, 4) by the part each is in (k,), and their errors: scatter, at least by counting.

    A part alone has too few frames for a scatter and a correlation of its own: the mean variance of the parts is taken, but of
    those whose own is more than OWN times the usual one their own (metal melts within a run); the correlation is that of all
    (`_scatter`).

    Args:
        counts: atoms that each frame's shares are of (k,).
    """
    design = (parts[:, None] == np.unique(parts)).astype(float)
    held, means = (design.T @ counts)[:, None], (design / design.sum(axis=0)).T @ rows
    likely = (means * held + 1) / (held + 2)
    least = np.sqrt(likely * (1 - likely) / (held + 3))
    scatter = np.column_stack([_scatter(design, *each) for each in zip(rows.T, means.T, strict=True)])
    scatter = np.minimum(scatter, scatter.sum(axis=1, keepdims=True) - scatter)  # shares add up to one
    return means, np.maximum(least, scatter)


def _scatter(design: np.ndarray, column: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Standard errors (p,) of the means (p,) of parts of a column (k,).

    What is left about means of few frames hardly tells the memory; about a smooth curve through the whole run, where the column
    follows one (SMOOTH), it does.
    """
    rest, freedom = column - design @ means, np.maximum(design.sum(axis=0) - 1, 1)
    own = design.T @ rest**2 / freedom
    alike = own <= OWN * np.median(own * freedom / stats.chi2.median(freedom))
    scale = np.sqrt(np.where(alike, np.average(own[alike], weights=freedom[alike]), own))
    live, errors = scale > 0, np.zeros(len(own))
    if live.any():
        inside = design[:, live].any(axis=1)
        within = design[np.ix_(inside, live)]
        unit, (curve, away) = within @ scale[live], _smooth(column[inside])
        left, away = rest[inside] / unit, away / unit
        follows = _spread(curve, away) < SMOOTH * _spread(within, left) and within.shape[1] > curve.shape[1]
        errors[live] = scale[live] * fit_errors(within, left, (curve, away) if follows else None)
    return errors


def _smooth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Design (k, 4) of a cubic through successive values (k,), and what it leaves (k,)."""
    design = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(values)), 3)
    return design, values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def _spread(design: np.ndarray, left: np.ndarray) -> float:
    """Variance of what a fit of the design (k, p) leaves (k,)."""
    return float(left @ left) / max(len(left) - design.shape[1], 1)


@dataclass(frozen=True)
class Series:
    """Shares in time: mean time of each block (m,), shares (m, 4) and standard errors (m, 4), nan where nothing is metal.

    counts (m,): mean number of atoms they are of. window: successive frames averaged. whole: shares of the whole run.
    """

    times: np.ndarray
    shares: np.ndarray
    stderr: np.ndarray
    counts: np.ndarray
    window: int
    whole: Shares


def series(
    frames: Sequence[Atoms], element: str = "Li", times: np.ndarray | None = None, among: str = "metal",
    window: int | None = None, looks: int | None = None, limit: float = LIMIT,
) -> Series:  # fmt: skip
    """Shares in time, in up to BLOCKS blocks of the run, each with an error (`_means`).

    Args:
        frames: successive frames of one run. times: of the frames (frames,), any unit; None: their numbers.
        among: one of AMONG. window: successive frames averaged (`averaged`); None: `window_of`.
        looks: means looked at, evenly spread, the last one included; None: all.

    Raises:
        UserError: what `shares` and `averaged` refuse.
    """
    wide = window_of(frames, element) if window is None else window
    means = averaged(frames, wide)
    chosen = list(range(len(means)))
    if looks is not None and looks < len(means):
        chosen = sorted({round((n + 1) / looks * (len(means) - 1)) for n in range(looks)})
    found = shares([means[number] for number in chosen], element, limit, among)
    all_times = np.arange(len(frames), dtype=float) if times is None else np.asarray(times, dtype=float)
    at = np.array([all_times[number * wide : (number + 1) * wide].mean() for number in chosen])
    parts = np.array_split(np.arange(len(chosen)), min(BLOCKS, len(chosen)))
    own, seen = np.concatenate([np.full(len(part), n) for n, part in enumerate(parts)]), found.counts > 0
    told, (rows, errors) = np.unique(own[seen]), np.full((2, len(parts), len(NAMES)), np.nan)
    rows[told], errors[told] = _means(found.frames[seen], found.counts[seen], own[seen])
    mean_times, counts = (np.array([values[part].mean() for part in parts]) for values in (at, found.counts))
    return Series(mean_times, rows, errors, counts, wide, found)


def records(found: Shares, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> list[Property]:
    """One record a structure: quantity "crystal_share", conditions["structure"]."""
    told = {**source, "method": f"polyhedral template matching, RMSD limit {LIMIT:g}", "frames": len(found.frames),
            "atoms_looked_at": float(found.counts.mean())}  # fmt: skip
    return [
        Property(material, "crystal_share", float(found.mean[place]), "1",
                 stderr=None if found.stderr is None else float(found.stderr[place]),
                 conditions={**conditions, "structure": name}, source=told)
        for place, name in enumerate(NAMES)
    ]  # fmt: skip
