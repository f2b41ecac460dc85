"""Size of the largest cluster of one element, counted smoothly, with its gradient: the collective variable of nucleation.

    c_i = Σ_j g(r_ij)        neighbours of the same element;  q_i = Σ_j g'(r_ij)  of the foreign elements
    f_i = 1/{1 + exp[-(c_i - c_0)/w]} · {1 + exp[-q_0/w]}/{1 + exp[(q_i - q_0)/w]}      how much atom i is metal
    n   = Σ_{i in the largest cluster} f_i

In a part of the cell, between two depths along the normal of two of its faces, f_i is multiplied by a window that rises from 0
to 1 over `edge` around the lower depth and falls so around the upper one; neighbours count wherever they are.

g falls smoothly from 1 to 0 between two radii. Atoms with f > ½ nearer than `link` to each other are one cluster; what touches
it with f < ½ counts with its f, so that n does not jump when an atom crosses ½. It does jump when two clusters join: the bias
energy is then not conserved, which a thermostat bears and a constant-energy run would not (so are the clusters of Tribello,
Giberti, Sosso, Salvalaglio & Parrinello, J. Chem. Theory Comput. 13, 1317 (2017), memory). The foreign term tells lithium metal
from the equally dense lithium of Li2S or Li3P, every atom of which has anions at 2.5 Å. The gradient is analytic and checked
against torch and against differences (tests/test_clusters.py).
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from coupling.errors import UserError


@dataclass(frozen=True)
class ClusterSettings:
    """What counts as an atom of the cluster; lengths in Å. The defaults are for lithium metal (bcc, 14 neighbours within 3.5 Å).

    Attributes:
        element: of the cluster. inner, outer: radii between which g falls from 1 to 0.
        neighbours: c_0. softness: w. link: largest distance of two atoms of one cluster.
        foreign: elements that metal has no contact with. foreign_inner, foreign_outer: radii of g'. foreign_most: q_0.
        low, high: depths between which atoms count; None: all do. axis: number of the cell vector that depth runs along.
        edge: width over which the window rises and falls.
    """

    element: str = "Li"
    inner: float = 3.5
    outer: float = 4.5
    neighbours: float = 7.5
    softness: float = 0.5
    link: float = 3.6
    foreign: tuple[str, ...] = ()
    foreign_inner: float = 2.7
    foreign_outer: float = 3.3
    foreign_most: float = 1.5
    low: float | None = None
    high: float | None = None
    axis: int = 2
    edge: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if lacking := [name for name in (self.element, *self.foreign) if name not in atomic_numbers or name == "X"]:
            raise UserError(f"cluster: {', '.join(map(repr, lacking))}: not a chemical symbol; write for example Li")
        if self.element in self.foreign:
            raise UserError(f"cluster: {self.element} cannot be foreign to itself")
        if not (0 < self.inner < self.outer and 0 < self.foreign_inner < self.foreign_outer and self.link > 0):
            raise UserError("cluster: radii must be positive, each inner one below its outer one")
        if not self.softness > 0:
            raise UserError(f"cluster: softness = {self.softness!r}; a positive number is needed")
        if (self.low is None) != (self.high is None) or self.axis not in (0, 1, 2) or not self.edge > 0:
            raise UserError("cluster: low and high come together, axis is 0, 1 or 2, edge positive")
        if self.low is not None and self.high is not None and not self.edge / 2 <= self.low <= self.high - self.edge:
            told = f"must rise by at least edge = {self.edge:g} Å and begin half of that above zero"
            raise UserError(f"cluster: depths {self.low:g} and {self.high:g} Å {told}")


def switch(r: np.ndarray, inner: float, outer: float) -> tuple[np.ndarray, np.ndarray]:
    """The switch g and dg/dr: 1 below `inner`, 0 above `outer`, 1 - 10 x³ + 15 x⁴ - 6 x⁵ between (two continuous derivatives)."""
    x = np.clip((r - inner) / (outer - inner), 0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / (outer - inner)


@dataclass(frozen=True)
class Cluster:
    """Largest cluster of a frame: size n, its gradient (n, 3) per Å, the metal share f of every atom (n,), which count (n,)."""

    size: float
    gradient: np.ndarray
    shares: np.ndarray
    members: np.ndarray


class LargestCluster:
    """Collective variable of `atomistic.walkers`: atoms → size of the largest cluster and its gradient."""

    def __init__(self, settings: ClusterSettings) -> None:
        """See ClusterSettings."""
        self.settings = settings

    def __call__(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Size and gradient (n, 3), 1/Å."""
        found = largest_cluster(atoms, self.settings)
        return found.size, found.gradient


def largest_cluster(atoms: Atoms, settings: ClusterSettings) -> Cluster:
    """Largest cluster of a frame.

    Raises:
        UserError: the element is not in the frame.
    """
    from matscipy.neighbours import neighbour_list

    s, count = settings, len(atoms)
    own = atoms.numbers == atomic_numbers[s.element]
    if not own.any():
        raise UserError(f"cluster: no {s.element} in the structure, which holds {', '.join(sorted(set(atoms.symbols)))}")
    strange = np.isin(atoms.numbers, [atomic_numbers[name] for name in s.foreign])
    if atoms.cell.rank < 3 and not atoms.pbc.any():  # the neighbour list wants a cell, whatever it is
        boxed = atoms.copy()
        boxed.cell = np.eye(3) * (np.ptp(atoms.positions, axis=0).max() + 10.0)
        atoms = boxed
    i, j, r, vector = neighbour_list("ijdD", atoms, max(s.outer, s.link, s.foreign_outer if s.foreign else 0.0))
    near, away = own[i] & own[j], own[i] & strange[j]
    metal, metal_slope = _share(i, r, near, count, (s.inner, s.outer), s.neighbours, s.softness)
    pure, pure_slope = _share(i, r, away, count, (s.foreign_inner, s.foreign_outer), s.foreign_most, -s.softness)
    whole = 1 + np.exp(-s.foreign_most / s.softness)  # an atom without foreign neighbours is all metal
    pure, pure_slope = pure * whole, pure_slope * whole
    inside, inside_slope = window(atoms, s)
    shares = np.where(own, metal * pure * inside, 0.0)
    members = _largest(i, j, r, near, shares, s.link)
    weight = members * inside
    gradient = np.where(own & members, metal * pure, 0.0)[:, None] * inside_slope
    # d n/d r_ij of the pair (i, j), of both terms: the share of i alone depends on it
    pull = np.where(near, (weight * pure)[i] * metal_slope, 0.0) + np.where(away, (weight * metal)[i] * pure_slope, 0.0)
    along = pull[:, None] * vector / np.maximum(r, 1e-12)[:, None]
    for axis in range(3):
        gradient[:, axis] += np.bincount(j, along[:, axis], count) - np.bincount(i, along[:, axis], count)
    return Cluster(float((members * shares).sum()), gradient, shares, members)


def window(atoms: Atoms, settings: ClusterSettings) -> tuple[np.ndarray, np.ndarray]:
    """Weight of every atom by its depth (n,) and its gradient by the atom's own position (n, 3), 1/Å; 1 and 0 without depths.

    Raises:
        UserError: no cell along the axis, or a depth beyond its height.
    """
    s, count = settings, len(atoms)
    if s.low is None or s.high is None:
        return np.ones(count), np.zeros((count, 3))
    if atoms.cell.rank < 3:
        raise UserError("cluster: depths need a cell with three vectors")
    normal = atoms.cell.reciprocal().array[s.axis]
    height = 1 / float(np.linalg.norm(normal))
    if s.high + s.edge / 2 > height:
        raise UserError(f"cluster: depth {s.high:g} Å (and half of edge) lies beyond the cell, {height:.1f} Å high")
    depth = (atoms.positions @ normal) % 1.0 * height
    above, above_slope = switch(depth, s.low - s.edge / 2, s.low + s.edge / 2)
    below, below_slope = switch(depth, s.high - s.edge / 2, s.high + s.edge / 2)
    slope = below_slope * (1 - above) - below * above_slope
    return (1 - above) * below, slope[:, None] * normal[None, :] * height


def _share(
    i: np.ndarray, r: np.ndarray, chosen: np.ndarray, count: int, radii: tuple[float, float], wanted: float, softness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logistic share of every atom by its number of chosen neighbours, and its derivative by the length of each pair."""
    value, slope = switch(r, *radii)
    coordination = np.bincount(i[chosen], value[chosen], count)
    share = 1 / (1 + np.exp(np.clip(-(coordination - wanted) / softness, -500, 500)))
    return share, (share * (1 - share) / softness)[i] * slope


def _largest(i: np.ndarray, j: np.ndarray, r: np.ndarray, near: np.ndarray, shares: np.ndarray, link: float) -> np.ndarray:
    """Which atoms count (n,): the heaviest connected set of atoms above ½ and what touches it."""
    solid = shares > 0.5
    if not solid.any():  # no atom is metal: the one nearest to it and its neighbours, so that there is a gradient
        seed = int(np.argmax(shares))
        members = np.zeros(len(shares), dtype=bool)
        members[seed] = True
        members[j[near & (i == seed) & (r < link)]] = True
        return members
    bond = near & (r < link) & solid[i] & solid[j]
    graph = coo_matrix((np.ones(bond.sum()), (i[bond], j[bond])), shape=(len(shares), len(shares)))
    _, label = connected_components(graph, directed=False)
    weights = np.bincount(label, np.where(solid, shares, 0.0))
    members = solid & (label == int(np.argmax(weights)))
    touched = near & (r < link) & members[i] & ~solid[j]
    members[j[touched]] = True
    return members


def sizes(frames: list[Atoms], settings: ClusterSettings) -> np.ndarray:
    """Size of the largest cluster of every frame (frames,)."""
    return np.array([largest_cluster(frame, settings).size for frame in frames])
