"""Reciprocity; media coupled in three dimensions: by a jump with manufactured fields, by a thin layer with its circuit."""

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from fem_tools import rate
from mpi4py import MPI
from ufl import cos, div, dot, exp, sin

from coupling.constants import FARADAY, GAS_CONSTANT, ROOM_TEMPERATURE
from meshes.shapes import draw_blocks
from multiscale.dolfinx_compat import interpolation_points
from multiscale.domain import Domain, integral, meshed
from multiscale.transport import nernst_planck as planck
from multiscale.transport.interfaces import with_interfaces
from multiscale.transport.kinetics import nernst_shift
from multiscale.transport.media import Electrode, Junction, Kinetics, Medium, Network, ThinLayer
from multiscale.transport.nernst_planck import Electroneutral, SingleIon, Species
from multiscale.transport.system import TransportSystem

LITHIUM = (Species("Li+", 1, 1.0),)
SALT = Species("Li+", 1, 0.7), Species("X-", -1, 1.1)
THERMAL = GAS_CONSTANT * ROOM_TEMPERATURE / FARADAY


def cube(n: int, size: float = 1.0) -> Domain:
    """A cube of two halves, "lower" and "upper" (z), with their interface "middle"."""
    shared = mesh.GhostMode.shared_facet
    body = mesh.create_box(MPI.COMM_WORLD, [[0.0] * 3, [size] * 3], [n] * 3, ghost_mode=shared)
    index_map = body.topology.index_map(3)
    cells = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    half = (mesh.compute_midpoints(body, 3, cells)[:, 2] > size / 2).astype(np.int32) + 1
    sides = [mesh.locate_entities_boundary(body, 2, lambda x, at=at: np.isclose(x[2], at)) for at in (0.0, size)]
    marks = np.repeat(np.array([1, 2], dtype=np.int32), [len(side) for side in sides])
    facets, order = np.concatenate(sides), np.argsort(np.concatenate(sides))
    tags = mesh.meshtags(body, 2, facets[order].astype(np.int32), marks[order])
    domain = Domain(body, mesh.meshtags(body, 3, cells, half), tags, {"lower": 1, "upper": 2}, {"bottom": 1, "top": 2})
    return with_interfaces(domain, {"middle": (("lower",), ("upper",))})


def test_a_thin_layer_in_three_dimensions_adds_its_resistance():
    """Two grains of a micrometre, 4 nm between them: a circuit in series; κ of the grain is taken out of the layer's place."""
    media = [Medium(name, SingleIon(0.1), LITHIUM, (name,)) for name in ("lower", "upper")]
    layer = Network("boundary", (("middle", "lower", "upper"),), "Li+", ThinLayer(4e-9, 1e-3, 1e-3), 0.1)
    electrode = Electrode("bottom", "lower", "Li+", Kinetics(100.0))
    system = TransportSystem(cube(2, 1e-6), media, [electrode], networks=[layer])
    system.fix("upper", "potential", 0.0, "top")
    system.contacts["bottom"].control_current(10.0)
    system.solve()
    drop = 10.0 * (1e-6 / 0.1 + 4e-9 * (1 / 1e-3 - 1 / 0.1)) + 2 * THERMAL * np.arcsinh(10 / 200)
    assert system.contacts["bottom"].potential == pytest.approx(drop, rel=1e-9)


def _held(system, medium, name, exact):
    """Hold a field at exact values on the outer boundary of its medium."""
    i, sub = system.index[medium, name], system.space.sub(system.index[medium, name])
    part, _ = sub.collapse()
    value = fem.Function(part)
    value.interpolate(fem.Expression(exact, interpolation_points(part)))
    body = system.domain.mesh
    facets = mesh.exterior_facet_indices(body.topology)
    body.topology.create_connectivity(2, 3)
    links = body.topology.connectivity(2, 3)
    mine = set(system.domain.cells(*system.media[medium].regions).tolist())
    facets = np.array([f for f in facets if links.links(f)[0] in mine], dtype=np.int32)
    dofs = fem.locate_dofs_topological((sub, part), 2, facets)
    system.bcs.append(fem.dirichletbc(value, dofs, sub))
    assert i == system.index[medium, name]


def _coupled_error(n, degree=1):
    """A salt below, a single-ion conductor above, an interface resistance with the salt's Nernst shift between them."""
    domain = cube(n)
    x = ufl.SpatialCoordinate(domain.mesh)
    media = [Medium("salt", Electroneutral(), SALT, ("lower",)), Medium("ceramic", SingleIon(2.0), LITHIUM, ("upper",))]
    R, c = 0.3e-4, 1 + 0.3 * sin(x[0] + x[1] + x[2])
    below, above = THERMAL * cos(x[0] - 2 * x[1] + x[2]), 0.01 * exp(x[2]) * cos(x[0] + x[1])
    system = TransportSystem(domain, media, degree=degree,
                             junctions=[Junction("middle", "salt", "ceramic", "Li+", R, references=(1.2, None))])  # fmt: skip
    test = {name: system.test[system.index[name]] for name in (("salt", "Li+"), ("salt", "potential"), ("ceramic", "potential"))}
    N = [planck.total_flux(ion, c, below) for ion in SALT]
    i, through = FARADAY * (N[0] - N[1]), -2.0 * ufl.grad(above)
    lower, upper = domain.dx("lower"), domain.dx("upper")
    system.residual += FARADAY * planck.reaction(div(N[0]), test["salt", "Li+"], lower)
    system.residual += -div(i) * test["salt", "potential"] * lower
    system.residual += -div(through) * test["ceramic", "potential"] * upper
    up, middle = ufl.as_vector([0.0, 0.0, 1.0]), domain.dS("middle")
    law = (below + nernst_shift(c, 1.2) - above) / R
    system.residual += ((FARADAY * dot(N[0], up) - law) * test["salt", "Li+"])("+") * middle
    system.residual += ((dot(i, up) - law) * test["salt", "potential"])("+") * middle
    system.residual += ((law - dot(through, up)) * test["ceramic", "potential"])("+") * middle
    fields = [("salt", "Li+", c, lower), ("salt", "potential", below, lower), ("ceramic", "potential", above, upper)]
    for medium, name, exact, _ in fields:
        _held(system, medium, name, exact)
    system.set_field("salt", "Li+", 1.0)
    system.solve()
    errors = [integral((system.field(m, name) - e) ** 2 * dx) / integral(e**2 * dx) for m, name, e, dx in fields]
    return max(errors) ** 0.5


@pytest.mark.parametrize("degree", [1, 2])
def test_order_of_coupled_media_in_three_dimensions(degree):
    assert rate(lambda n: _coupled_error(n, degree), (4, 8)) == pytest.approx(degree + 1, abs=0.1)


def test_reciprocity():
    """What flows at one metal for a small voltage at another is what flows there for the same voltage here.

    Through an anisotropic body, an interface resistance and a thin layer, between kinetics of different exchange currents.
    """
    blocks = [["a", "b", "c"], ["a", "b", "c"]]
    domain = meshed(draw_blocks, MPI.COMM_WORLD, x=[0, 1e-5, 1.7e-5, 3e-5], y=[0, 1e-5, 2e-5], names=blocks, divisions=3)
    domain = with_interfaces(domain, {"ab": (("a",), ("b",)), "bc": (("b",), ("c",))})
    κ = ufl.as_matrix([[0.1, 0.04], [0.04, 0.07]])
    media = [Medium("a", SingleIon(κ), LITHIUM, ("a",)), *(Medium(m, SingleIon(0.03), LITHIUM, (m,)) for m in "bc")]
    electrodes = [Electrode("left", "a", "Li+", Kinetics(3.0)), Electrode("right", "c", "Li+", Kinetics(40.0))]
    layer = Network("bc layer", (("bc", "b", "c"),), "Li+", ThinLayer(5e-9, 1e-5, 1e-5), 0.03)
    system = TransportSystem(domain, media, electrodes, [Junction("ab", "a", "b", "Li+", 2e-4)], networks=[layer])
    for medium in "abc":
        system.fix(medium, "potential", 0.0, "bottom")
    answers = []
    for driven, read in (("left", "right"), ("right", "left")):
        system.contacts[driven].control_potential(1e-5)
        system.contacts[read].control_potential(0.0)
        system.solve()
        answers.append(system.contacts[read].current)
    assert answers[0] < 0
    assert answers[1] == pytest.approx(answers[0], rel=1e-7)
