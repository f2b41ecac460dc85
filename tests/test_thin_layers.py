"""Zero-thickness layers equal to meshed ones: tilted boundaries, the brick layer, a polycrystal, ranks."""

import itertools

import numpy as np
import pytest
import ufl
from dolfinx import mesh
from launch import answers_of_ranks
from mpi4py import MPI

from coupling.errors import UserError
from meshes.shapes import draw_blocks
from multiscale.domain import Domain, meshed, piecewise
from multiscale.solvers.solver import Reaction, solve_linear
from multiscale.transport.media import Medium, Network, ThinLayer
from multiscale.transport.nernst_planck import SingleIon, Species
from multiscale.transport.single_ion import ohmic_conduction
from multiscale.transport.system import TransportSystem
from multiscale.transport.thin_layers import grouped
from multiscale.verification.tools import unknown

LITHIUM = (Species("Li+", 1, 1.0),)
GRAIN, DELTA = 0.1, 2e-3
"""S/m, and the thickness of a boundary over the cell's side."""


def tilted(lines, tilt, n=24):
    """Unit cell of rows between `lines` (regions "row-k"), every line turned by `tilt` (dy/dx) in the middle."""
    lines = np.asarray(lines)
    rows, shared = len(lines) - 1, mesh.GhostMode.shared_facet
    pairs = [(a, b, max(1, min(12, int(np.ceil((b - a) * 24)))) if b - a > 0.01 else 4) for a, b in itertools.pairwise(lines)]
    y = np.concatenate([[0.0], *(np.linspace(a, b, k + 1)[1:] for a, b, k in pairs)])
    body = mesh.create_rectangle(MPI.COMM_WORLD, [[0, 0], [1, len(y) - 1]], [n, len(y) - 1], ghost_mode=shared)
    x = body.geometry.x
    index_map = body.topology.index_map(2)
    cells = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    middle = np.interp(mesh.compute_midpoints(body, 2, cells)[:, 1], np.arange(len(y)), y)
    values = np.clip(np.searchsorted(lines, middle), 1, rows).astype(np.int32)
    body.topology.create_connectivity(1, 2)
    marks = []
    for tag, at in ((1, 0.0), (2, len(y) - 1.0)):
        marks.append((tag, mesh.locate_entities_boundary(body, 1, lambda p, at=at: np.isclose(p[1], at))))
    facets = np.concatenate([f for _, f in marks])
    tags = np.concatenate([np.full(len(f), tag) for tag, f in marks])
    order = np.argsort(facets)
    facets, tags = facets[order].astype(np.int32), tags[order].astype(np.int32)
    height = np.interp(x[:, 1], np.arange(len(y)), y)
    x[:, 1] = height + tilt * (x[:, 0] - 0.5) * np.minimum(1, 4 * np.minimum(height, 1 - height))
    return Domain(
        body, mesh.meshtags(body, 2, cells, values), mesh.meshtags(body, 1, facets, tags),
        {f"row-{k + 1}": k + 1 for k in range(rows)}, {"bottom": 1, "top": 2},
    )  # fmt: skip


def through(domain, κ):
    """Current between bottom (1 V) and top of a meshed body."""
    φ, w = unknown(domain)
    fixed = [domain.fixed(φ.function_space, value, side) for side, value in (("bottom", 1.0), ("top", 0.0))]
    residual = ohmic_conduction(κ, φ, w, domain.dx())
    a, L = ufl.replace(residual, {φ: ufl.TrialFunction(φ.function_space)}), ufl.inner(domain.constant(0.0), w) * domain.dx()
    solve_linear(a, L, φ, fixed)
    return Reaction(residual, φ.function_space).total(np.asarray(fixed[0].dof_indices()[0]))


def thin_system(domain, layer, κ=GRAIN, degree=2):
    """Grains (one region each) with a network of thin layers between them."""
    grains = grouped(domain, tuple(domain.regions))
    media = [Medium(name, SingleIon(κ), LITHIUM, regions) for name, regions in grains.groups.items()]
    network = Network("boundaries", grains.faces, "Li+", layer, κ)
    return TransportSystem(grains.domain, media, networks=[network], degree=degree)


def thin_current(system):
    held = [(name, value, side) for name in system.media for side, value in (("bottom", 1.0), ("top", 0.0))]
    for name, value, side in held:
        system.fix(name, "potential", value, side)
    free = system.residual
    system.solve()
    reaction, dofs = Reaction(free, system.space), [bc.dof_indices()[0] for bc in system.bcs[len(system.index) :][::2]]
    return reaction.total(np.unique(np.concatenate(dofs)))


LAYERS = {
    "blocking across": ThinLayer(DELTA, 2e-3 * GRAIN, 0.0),
    "conducting along": ThinLayer(DELTA, 500 * GRAIN, 500 * GRAIN),
    "blocking across, conducting along": ThinLayer(DELTA, 2e-3 * GRAIN, 500 * GRAIN),
}


def tensor(domain, layer, region, tilt):
    """Conductivity of the meshed cell: grain, and in the layer κ⊥ across and κ∥ along the turned line."""
    inside = piecewise(domain, {name: float(name == region) for name in domain.regions})
    n = ufl.as_vector([-tilt, 1.0]) / np.sqrt(1 + tilt**2)
    across, unit = ufl.outer(n, n), ufl.Identity(2)
    return (1 - inside) * GRAIN * unit + inside * (layer.across * across + layer.along * (unit - across))


def lines(tilt):
    half = DELTA / 2 * np.sqrt(1 + tilt**2)
    return [0.0, 0.5 - half, 0.5 + half, 1.0]


@pytest.mark.parametrize("name", LAYERS)
def test_a_tilted_boundary_equals_the_meshed_one(name):
    """Potential differences along the boundary come from the tilt: both jump and sheet matter."""
    layer, tilt = LAYERS[name], 0.7
    domain = tilted(lines(tilt), tilt)
    resolved = through(domain, tensor(domain, layer, "row-2", tilt))
    plain = through(tilted([0.0, 0.5, 1.0], tilt), GRAIN)
    thin = thin_current(thin_system(tilted([0.0, 0.5, 1.0], tilt), layer))
    assert abs(resolved / plain - 1) > 0.1
    assert thin == pytest.approx(resolved, rel=1e-2)


def test_brick_layer():
    """V08i: a grain 5 um wide, boundaries 5 nm wide and a hundred times less conductive, on a lattice of squares."""
    blocks = [[f"g{i}{j}" for i in range(2)] for j in range(2)]
    domain = meshed(draw_blocks, MPI.COMM_WORLD, x=[0, 2.5e-6, 5e-6], y=[0, 2.5e-6, 5e-6], names=blocks, divisions=4)
    current = thin_current(thin_system(domain, ThinLayer(5e-9, 1e-3, 1e-3), 0.1))
    assert current == pytest.approx(0.0909091, rel=1e-2)
    assert current == pytest.approx(1 / (1 / 0.1 + 1e-3 * (1 / 1e-3 - 1 / 0.1)) + 1e-3 * (1e-3 - 0.1), rel=2e-4)


def test_a_network_conducts_through_its_junctions():
    """Across blocked, along conducting: the current runs in the boundary itself, through the point where four grains meet."""
    blocks = [[f"g{i}{j}" for i in range(2)] for j in range(2)]
    domain = meshed(draw_blocks, MPI.COMM_WORLD, x=[0, 0.5, 1], y=[0, 0.5, 1], names=blocks, divisions=4)
    system = thin_system(domain, ThinLayer(1e-3, 1e-9, 1e3), 1e-6)
    i = system.index["thin film", "boundaries"]
    from dolfinx import fem

    for side, value in (("bottom", 1.0), ("top", 0.0)):
        blocks_ = fem.locate_dofs_topological(system.space, 1, system.domain.facets(side))
        own = np.intersect1d(blocks_, system.active["thin film", "boundaries"])
        dofs = (own * system.space.dofmap.index_map_bs + i).astype(np.int32)
        system.bcs.append(fem.dirichletbc(system.domain.constant(value), dofs, system.space.sub(i)))
    for name in system.media:
        system.fix(name, "potential", 0.0, "top")
    free = system.residual
    system.solve()
    first = system.bcs[len(system.index)].dof_indices()[0]
    assert Reaction(free, system.space).total(first) == pytest.approx(1e-3 * 1e3, rel=1e-2)


def test_a_mesh_finer_than_the_layer_is_refused():
    with pytest.raises(UserError, match="mesh the layer instead"):
        thin_system(tilted([0.0, 0.5, 1.0], 0.0), ThinLayer(0.2, 1.0, 1.0))


def test_impossible_layers_are_refused():
    with pytest.raises(UserError, match="across is 0"):
        ThinLayer(1e-9, 0.0, 1.0)
    with pytest.raises(UserError, match="cannot be negative"):
        ThinLayer(1e-9, 1.0, -1.0)
    with pytest.raises(UserError, match="two grains or more"):
        grouped(tilted([0.0, 1.0], 0.0), ("row-1",))


SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from mpi4py import MPI
from test_thin_layers import LAYERS, thin_current, thin_system, tilted
current = [thin_current(thin_system(tilted([0.0, 0.3, 0.6, 1.0], 0.4, 8), layer)) for layer in list(LAYERS.values())[::2]]
if MPI.COMM_WORLD.rank == 0:
    json.dump(current, open("PATH", "w"))
"""


def test_ranks_agree(tmp_path):
    answers = answers_of_ranks(SCRIPT, tmp_path)
    assert answers[1] == pytest.approx(answers[0], rel=1e-8)
    assert answers[2] == pytest.approx(answers[0], rel=1e-8)
