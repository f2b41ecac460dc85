"""Phases in a structure: unsupervised classes of local environments, named by comparison with reference crystals.

1. Every atom is described by what the potential sees (`fast_mace.descriptors`: invariant features of the first layer, within
   r_max), averaged over the atom and its nearest neighbours of any element, which smooths thermal noise.
2. Element by element the descriptors of the frames and of the reference crystals together are reduced to principal components and
   classed by Gaussian mixtures; the Bayesian information criterion chooses the number of classes. No atom brings a name along.
3. A class gets the name of the reference crystal whose atoms of that element lie nearest to it, and none ("other") where
   even the nearest lies farther than its own spread allows.

The one-atom layers at the contact of two crystals look like neither; in a built stack of four crystals, 15 Å each, 99.8 % of
the atoms get the right name at thermal displacements of 0.2 Å and 97 % at 0.1 Å (tests/test_phases.py). A phase that no
reference stands for may take the name of one with alike surroundings (lithium between the PS4 groups of Li6PS5Cl, that of
Li3P): give the references of everything that may be there, and read `distances`. Broken, lithiated thiophosphate takes that of
its electrolyte: `reacted_layer.reduced` tells it by its bonds. References in motion at the temperature of the
frames (`heated`) name better than rattled ones: chlorine in Li6PS5Cl at 400 K lies nearer to rattled LiCl than to rattled
Li6PS5Cl. Classes depend on the frames that they are fitted to: in a reacting cell 16 of 72 phosphorus atoms were Li3P by classes
of all frames and of every other one, 23 by those of the late and 2 by those of the early ones. Spread the frames over the run,
and take two halves for the error (`fitted`).

Sources: Schwarz, Ann. Stat. 6, 461 (1978) (BIC); Lechner & Dellago, J. Chem. Phys. 129, 114707 (2008)
(averaging over neighbours).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import chemical_symbols

from atomistic.structures import bulk, supercell
from coupling.errors import UserError

Describe = Callable[[Atoms], np.ndarray]
"""Descriptors (n, d) of the atoms of a frame."""
OTHER = "other"
COMPONENTS = 6
"""Principal components kept."""
MOST_CLASSES = 12
"""Most classes of one element."""
FEWEST = 20
"""Fewest atoms of an element that are classed; fewer are one class."""
MOST_ROWS = 4000
"""Most atoms of an element that the mixtures are fitted to, drawn at random."""
HEATING = 400
"""Steps of 2 fs that warm a reference crystal."""
SMOOTHING = 3.6
"""Radius within which descriptors are averaged, Å."""
FAR = 4.0
"""Distance of a class from a reference, in units of the spread of both, beyond which it is no longer that crystal."""


@dataclass(frozen=True)
class Classes:
    """Classes of the atoms of some frames.

    Attributes:
        labels: class of every atom, one array (n,) a frame; numbers count through all elements.
        elements: element of each class. names: phase of each class ("other" where no reference is near).
        distances: of each class from the reference it is named after, in units of the spread of both.
    """

    labels: list[np.ndarray]
    elements: list[str]
    names: list[str]
    distances: list[float]

    def phases(self, frame: int = 0) -> np.ndarray:
        """Name of the phase of every atom of a frame (n,)."""
        return np.array(self.names)[self.labels[frame]]


def mace_descriptors(folder: str, member: int = 0) -> Describe:
    """Descriptor of a potential of our own format (a shipped name or a folder).

    It raises UserError of atoms that hold an element which the potential does not cover.
    """
    from atomistic import fast_mace, mace_model, potential

    model, card = mace_model.load(potential.members_of(potential.folder_of(folder))[member]), potential.describe(folder)

    def look(atoms: Atoms) -> np.ndarray:
        potential.require_elements(atoms, card)
        return fast_mace.descriptors(model, atoms)

    return look


def smoothed(atoms: Atoms, values: np.ndarray, radius: float = SMOOTHING) -> np.ndarray:
    """Own descriptors beside the mean over the neighbours within `radius` (Å): (n, 2 d)."""
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", atoms, radius)
    total, count = np.zeros_like(values), np.bincount(i, minlength=len(atoms))[:, None]
    np.add.at(total, i, values[j])
    return np.hstack([values, total / np.maximum(count, 1)])


def references(names: Sequence[str], rattle: float = 0.2, seed: int = 0) -> Mapping[str, Atoms]:
    """Supercells of crystals, rattled by a Gaussian of `rattle` Å, to name classes with.

    Raises:
        UserError: an unknown crystal.
    """
    random = np.random.default_rng(seed)
    made = {}
    for name in names:
        atoms = supercell(bulk(name), 13.0)
        atoms.positions += random.normal(0, rattle, atoms.positions.shape)
        made[name] = atoms
    return made


def heated(crystals: Mapping[str, Atoms], calculator: BaseCalculator, temperature: float, seed: int = 0) -> Mapping[str, Atoms]:
    """The crystals after HEATING steps at a temperature (K); one that the calculator does not hold stays as it was."""
    from atomistic.dynamics import forget
    from atomistic.sampling import md_frames

    made = {}
    for name, atoms in crystals.items():
        forget(calculator)
        made[name] = [atoms, *md_frames(atoms, calculator, temperature, HEATING, HEATING // 8, 2.0, seed)][-1]
    return made


def remembered(describe: Describe) -> Describe:
    """The same descriptors, of each frame (as an object) computed once."""
    kept: dict[int, tuple[Atoms, np.ndarray]] = {}

    def look(atoms: Atoms) -> np.ndarray:
        if id(atoms) not in kept:
            kept[id(atoms)] = (atoms, describe(atoms))
        return kept[id(atoms)][1]

    return look


def classify(
    frames: Sequence[Atoms], crystals: Mapping[str, Atoms], describe: Describe, seed: int = 0, fitted: Sequence[int] | None = None
) -> Classes:
    """Class the atoms of frames and references, then name the classes.

    Args:
        frames: of one composition or several. crystals: reference structures by name (`references`, `heated`).
        describe: descriptors, for example `mace_descriptors`.
        seed: of the mixtures. fitted: numbers of the frames that the classes are fitted to, all are told; None: all.

    Raises:
        UserError: no frames or no references.
    """
    if not frames or not crystals:
        raise UserError("phases: at least one frame and one reference crystal are needed")
    seen = [smoothed(frame, describe(frame)) for frame in frames]
    known = {name: smoothed(atoms, describe(atoms)) for name, atoms in crystals.items()}
    labels = [np.zeros(len(frame), dtype=int) for frame in frames]
    elements: list[str] = []
    names: list[str] = []
    distances: list[float] = []
    for z in sorted({int(z) for frame in frames for z in frame.numbers}):
        where = [np.flatnonzero(frame.numbers == z) for frame in frames]
        values = np.concatenate([rows[index] for rows, index in zip(seen, where, strict=True)])
        own = {name: known[name][atoms.numbers == z] for name, atoms in crystals.items() if (atoms.numbers == z).any()}
        chosen = range(len(frames)) if fitted is None else fitted
        pool = np.concatenate([*(seen[number][where[number]] for number in chosen), *own.values()])
        axes = _principal(pool)
        found = _mixture(axes(pool), axes(values), seed)
        start = len(names)
        for number in range(found.max() + 1):
            name, distance = _nearest(axes(values[found == number]), {key: axes(rows) for key, rows in own.items()})
            elements.append(chemical_symbols[z])
            names.append(name)
            distances.append(distance)
        ends = np.cumsum([len(index) for index in where])
        for frame, index, part in zip(labels, where, np.split(found, ends[:-1]), strict=True):
            frame[index] = start + part
    return Classes(labels, elements, names, distances)


def _principal(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Projection on the leading principal components of standardised values."""
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)
    _, _, axes = np.linalg.svd((values - mean) / scale, full_matrices=False)
    kept = axes[:COMPONENTS]
    return lambda rows: np.asarray((rows - mean) / scale @ kept.T)


def _mixture(pool: np.ndarray, values: np.ndarray, seed: int) -> np.ndarray:
    """Class (n,) of every row of `values` by the Gaussian mixture of the `pool` of least BIC; one class where it has few rows."""
    from sklearn.mixture import GaussianMixture

    if len(pool) < FEWEST:
        return np.zeros(len(values), dtype=int)
    drawn = pool[np.random.default_rng(seed).permutation(len(pool))[:MOST_ROWS]]
    most = min(MOST_CLASSES, len(drawn) // (2 * FEWEST) + 1)
    fits = [
        GaussianMixture(k, covariance_type="full", n_init=3, reg_covar=1e-3, random_state=seed).fit(drawn)
        for k in range(1, most + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(drawn))
    _, compact = np.unique(best.predict(values), return_inverse=True)
    return np.asarray(compact)


def _nearest(rows: np.ndarray, crystals: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """Name of the reference nearest to a class, and how far it lies in units of the spread of both."""
    if not crystals:
        return OTHER, float("inf")
    centre, spread = np.median(rows, axis=0), rows.var(axis=0)
    far = {
        name: float(np.sqrt(np.mean((centre - np.median(own, axis=0)) ** 2 / (spread + own.var(axis=0) + 1e-6))))
        for name, own in crystals.items()
    }
    name = min(far, key=far.__getitem__)
    return (name if far[name] <= FAR else OTHER), far[name]


def profile(frame: Atoms, names: np.ndarray, axis: int = 2, bins: int = 40) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Share of the atoms in each phase against depth.

    Args:
        frame: atoms (n). names: phase of each atom (n,). axis: cell vector that depth runs along. bins: slices.

    Returns:
        Depths (bins,), Å, and for each phase its share (bins,) of the atoms of a slice (0 where a slice is empty).
    """
    height = frame.get_volume() / np.linalg.norm(np.cross(*np.delete(frame.cell.array, axis, axis=0)))
    places = frame.cell.scaled_positions(frame.positions)[:, axis] % 1.0  # whatever the file says of its boundaries
    slices = np.minimum((places * bins).astype(int), bins - 1)
    totals = np.maximum(np.bincount(slices, minlength=bins), 1)
    shares = {name: np.bincount(slices[names == name], minlength=bins) / totals for name in sorted(set(names))}
    return (np.arange(bins) + 0.5) * height / bins, shares


def thickness(depths: np.ndarray, share: np.ndarray, threshold: float = 0.5) -> float:
    """Thickness (Å) of the slices in which a share exceeds a threshold: the stated criterion of an interphase."""
    return float(np.sum(share > threshold) * (depths[1] - depths[0]))
