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
from the equally dense lithium of Li2S or Li3P, every atom of which has anions at 2.5 Å. The sums are written in torch, whose
automatic differentiation gives the gradient; tests/test_clusters.py checks it against differences.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from coupling.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


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


def switch(r: "Tensor", inner: float, outer: float) -> "Tensor":
    """The switch g: 1 below `inner`, 0 above `outer`, 1 - 10 x³ + 15 x⁴ - 6 x⁵ between (two continuous derivatives)."""
    x = ((r - inner) / (outer - inner)).clamp(0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2)


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
        UserError: the element is not in the frame, a position is not finite, its cell has fewer than three vectors, or the depths
            do not fit it.
    """
    import torch

    s, count = settings, len(atoms)
    own = atoms.numbers == atomic_numbers[s.element]
    if not own.any():
        raise UserError(f"cluster: no {s.element} in the structure, which holds {', '.join(sorted(set(atoms.symbols)))}")
    if not np.isfinite(atoms.positions).all():
        raise UserError("cluster: a position is not a finite number; the run broke there")
    i, j, away, alike = _pairs(atoms, own, s)
    positions = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
    first, second = torch.from_numpy(i), torch.from_numpy(j)
    r = (positions[second] - positions[first] + torch.from_numpy(away)).norm(dim=1)

    def coordination(chosen: np.ndarray, inner: float, outer: float) -> "Tensor":
        of = torch.from_numpy(np.flatnonzero(chosen))
        return torch.zeros(count, dtype=torch.float64).index_add(0, first[of], switch(r[of], inner, outer))

    metal = torch.sigmoid((coordination(alike, s.inner, s.outer) - s.neighbours) / s.softness)
    foreign = coordination(~alike, s.foreign_inner, s.foreign_outer)
    pure = torch.sigmoid((s.foreign_most - foreign) / s.softness) * (1 + np.exp(-s.foreign_most / s.softness))
    share = metal * pure * window(positions, atoms, s) * torch.from_numpy(own)
    shares = share.detach().numpy()
    members = _largest(i, j, r.detach().numpy(), alike, shares, s.link)
    size = (share * torch.from_numpy(members)).sum()
    (gradient,) = torch.autograd.grad(size, positions)
    return Cluster(float(size), gradient.numpy(), shares, members)


def _pairs(atoms: Atoms, own: np.ndarray, s: ClusterSettings) -> tuple[np.ndarray, ...]:
    """Pairs from an atom of the element to one of it or a foreign one: both indices (p,), the images' shift (p, 3) in Å of the
    second, and whether it is of the element (p,).
    """
    from matscipy.neighbours import neighbour_list

    strange = np.isin(atoms.numbers, [atomic_numbers[name] for name in s.foreign])
    if atoms.cell.rank < 3 and not atoms.pbc.any():  # the neighbour list wants a cell, whatever it is
        atoms = atoms.copy()
        atoms.cell = np.eye(3) * (np.ptp(atoms.positions, axis=0).max() + 10.0)
    if atoms.cell.rank < 3:
        raise UserError("cluster: a periodic structure needs a cell with three vectors (leave room above a slab)")
    i, j, image = neighbour_list("ijS", atoms, max(s.outer, s.link, s.foreign_outer if s.foreign else 0.0))
    kept = own[i] & (own[j] | strange[j])
    i, j = i[kept].astype(np.int64), j[kept].astype(np.int64)
    return i, j, image[kept] @ atoms.cell.array, own[j]


def window(positions: "Tensor", atoms: Atoms, settings: ClusterSettings) -> "Tensor | float":
    """Weight of every atom by its depth (n,), or 1 without depths.

    Raises:
        UserError: no cell along the axis, or a depth beyond its height.
    """
    import torch

    s = settings
    if s.low is None or s.high is None:
        return 1.0
    if atoms.cell.rank < 3:
        raise UserError("cluster: depths need a cell with three vectors")
    normal = atoms.cell.reciprocal().array[s.axis]
    height = 1 / float(np.linalg.norm(normal))
    if s.high + s.edge / 2 > height:
        raise UserError(f"cluster: depth {s.high:g} Å (and half of edge) lies beyond the cell, {height:.1f} Å high")
    depth = (positions @ torch.from_numpy(normal)).remainder(1.0) * height
    above = 1 - switch(depth, s.low - s.edge / 2, s.low + s.edge / 2)
    return above * switch(depth, s.high - s.edge / 2, s.high + s.edge / 2)


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
