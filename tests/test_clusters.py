"""Largest cluster: its gradient by differences and by a sum over all pairs, what it counts, and what it refuses."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk as crystal

from atomistic.clusters import ClusterSettings, largest_cluster
from atomistic.structures import bulk, supercell
from coupling.errors import UserError


def loose(seed: int = 1, foreign: bool = True) -> Atoms:
    """A ball of rattled bcc lithium and lithium vapour around it, some sulfur between."""
    atoms = crystal("Li", "bcc", a=3.5, cubic=True).repeat(7)
    centre = atoms.cell.array.sum(axis=0) / 2
    atoms = atoms[np.linalg.norm(atoms.positions - centre, axis=1) < 6.5]
    random = np.random.default_rng(seed)
    atoms.positions += random.normal(0, 0.25, atoms.positions.shape)
    places = random.uniform(0, 24.5, (40, 3))
    places = places[np.linalg.norm(places - centre, axis=1) > 8.5]
    gas = Atoms(f"Li{len(places)}", places)
    near = Atoms("S4", centre + np.array([[7.5, 0, 0], [-7.0, 0.5, 0], [0, 7.2, 1], [1, 0, -7.4]]))
    whole = atoms + gas + (near if foreign else Atoms())
    whole.set_cell([24.5] * 3)
    whole.pbc = True
    return whole


SETTINGS = ClusterSettings(foreign=("S",))


def test_gradient_is_that_of_the_size() -> None:
    """Against central differences, for atoms inside, at the rim, and of the foreign element."""
    atoms = loose()
    found = largest_cluster(atoms, SETTINGS)
    steep = np.argsort(-np.linalg.norm(found.gradient, axis=1))[:5]
    assert np.abs(found.gradient).max() > 0.05
    for atom in (*steep, len(atoms) - 1, len(atoms) - 3):
        for axis in range(3):
            values = []
            for shift in (1e-4, -1e-4):
                moved = atoms.copy()
                moved.positions[atom, axis] += shift
                values.append(largest_cluster(moved, SETTINGS).size)
            assert found.gradient[atom, axis] == pytest.approx((values[0] - values[1]) / 2e-4, abs=1e-5)


def test_size_and_gradient_are_those_of_a_sum_over_all_pairs() -> None:
    """The same sums with nearest images of all pairs and without a neighbour list, members taken as found."""
    atoms = loose(2)
    found, cell = largest_cluster(atoms, SETTINGS), torch.tensor(atoms.cell.lengths())
    own, sulfur = torch.tensor(atoms.numbers == 3), torch.tensor(atoms.numbers == 16)
    r = torch.tensor(atoms.positions, requires_grad=True)
    vector = r[None] - r[:, None]
    vector = vector - cell * torch.round(vector / cell).detach()
    square = (vector**2).sum(-1) + torch.eye(len(atoms)) * 1e4
    distance = square.sqrt()

    def count(inner: float, outer: float, which: torch.Tensor) -> torch.Tensor:
        x = ((distance - inner) / (outer - inner)).clamp(0, 1)
        return ((1 - x**3 * (10 - 15 * x + 6 * x**2)) * which[None]).sum(1)

    s = SETTINGS
    share = torch.sigmoid((count(s.inner, s.outer, own) - s.neighbours) / s.softness)
    contacts = count(s.foreign_inner, s.foreign_outer, sulfur)
    share = share * torch.sigmoid((s.foreign_most - contacts) / s.softness) * (1 + np.exp(-s.foreign_most / s.softness))
    size = (share * own * torch.tensor(found.members)).sum()
    size.backward()
    assert found.size == pytest.approx(float(size), rel=1e-10)
    assert found.gradient == pytest.approx(r.grad.numpy(), abs=1e-9)


def test_it_counts_the_ball_and_not_the_vapour() -> None:
    """The size is close to the atoms of the ball with most of their neighbours; a second, smaller ball adds nothing."""
    atoms = loose(3, foreign=False)
    inner = np.linalg.norm(atoms.positions - 12.25, axis=1) < 6.5
    both = atoms.copy()
    both.set_cell([60, 24.5, 24.5])
    size = largest_cluster(both, ClusterSettings()).size
    assert 0.4 * inner.sum() < size < inner.sum()
    small = crystal("Li", "bcc", a=3.5, cubic=True).repeat((2, 3, 3))
    small.positions += [40, 5, 5]
    assert largest_cluster(both + small, ClusterSettings()).size == pytest.approx(size, abs=1e-9)


@pytest.mark.parametrize(("name", "metal"), [("Li", True), ("Li2S", False), ("Li3P", False), ("LiCl", False)])
def test_only_metal_is_metal(name: str, metal: bool) -> None:
    """In a thermally shaken crystal all lithium counts in the metal and none in the salts, with their anions foreign."""
    atoms = supercell(bulk(name), 11.0)
    atoms.positions += np.random.default_rng(0).normal(0, 0.2, atoms.positions.shape)
    found = largest_cluster(atoms, ClusterSettings(foreign=("S", "P", "Cl")))
    lithium = (atoms.numbers == 3).sum()
    assert found.size == pytest.approx(lithium, rel=0.02) if metal else found.size < 0.05 * lithium


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UserError, match="no Na in the structure"):
        largest_cluster(loose(), ClusterSettings(element="Na"))
    with pytest.raises(UserError, match="not a chemical symbol"):
        ClusterSettings(element="Qq")
    with pytest.raises(UserError, match="foreign to itself"):
        ClusterSettings(foreign=("Li",))
    with pytest.raises(UserError, match="inner one below"):
        ClusterSettings(inner=5.0)
    broken = loose()
    broken.positions[3] = np.nan
    with pytest.raises(UserError, match="not a finite number"):
        largest_cluster(broken, ClusterSettings())


def test_between_two_depths_gradient_and_size_are_those_of_the_part() -> None:
    """Gradient against differences at both edges of the window; a window around everything changes nothing; the parts add up."""
    atoms = loose()
    part = ClusterSettings(foreign=("S",), low=9.0, high=13.0, edge=2.0)
    found = largest_cluster(atoms, part)
    steep = np.argsort(-np.abs(found.gradient[:, 2]))[:6]
    depths = atoms.positions[steep, 2] % 24.5
    assert np.any((depths > 8) & (depths < 10)) or np.any((depths > 12) & (depths < 14))
    for atom in (*steep, len(atoms) - 1):
        for axis in range(3):
            values = []
            for shift in (1e-4, -1e-4):
                moved = atoms.copy()
                moved.positions[atom, axis] += shift
                values.append(largest_cluster(moved, part).size)
            assert found.gradient[atom, axis] == pytest.approx((values[0] - values[1]) / 2e-4, abs=1e-5)
    whole = largest_cluster(atoms, SETTINGS)
    wide = largest_cluster(atoms, ClusterSettings(foreign=("S",), low=0.5, high=24.0))
    assert wide.size == pytest.approx(whole.size)
    assert wide.gradient == pytest.approx(whole.gradient)
    assert 0 < found.size < whole.size
    turned = atoms.copy()
    turned.rotate(90, "x", rotate_cell=True)  # depth runs along the cell's vector, not along z
    assert largest_cluster(turned, part).size == pytest.approx(found.size)


def test_wrong_depths_are_refused() -> None:
    for depths in ({"low": 3.0}, {"low": 3.0, "high": 3.5}, {"low": 0.1, "high": 5.0}, {"low": 3.0, "high": 5.0, "axis": 3}):
        with pytest.raises(UserError, match="cluster"):
            ClusterSettings(**depths)  # type: ignore[arg-type]
    flat = loose()
    flat.cell[2], flat.pbc = 0.0, (True, True, False)
    with pytest.raises(UserError, match="three vectors"):
        largest_cluster(flat, ClusterSettings())
    with pytest.raises(UserError, match="beyond the cell"):
        largest_cluster(loose(), ClusterSettings(low=5.0, high=24.4))
