"""Drawn geometries: names, areas and volumes against closed forms, the seed, refusals; conduction conserves on each mesh."""

import math
from dataclasses import replace

import numpy as np
import pytest
from launch import python
from mpi4py import MPI

from coupling.errors import UserError
from meshes import cavity, contact, polycrystal3d, tip
from meshes.cavity import BuriedCavity
from meshes.contact import RoughContact, contact_fraction, random_surface, voids
from meshes.drawing import Sizes
from meshes.polycrystal3d import GrainBlock
from meshes.session import gmsh_model
from meshes.tip import IndentedTip
from multiscale.conduction.steady import Conduction
from multiscale.domain import integral
from multiscale.structures import drawn, quality_of

UM = 1e-6
CONTACT = RoughContact(10 * UM, 4 * UM, 0.05 * UM, 1 * UM, 0.4, seed=2)
FILLED = replace(CONTACT, interlayer=0.06 * UM)
BRIDGED = replace(FILLED, mode="bridges")
PORE = BuriedCavity(12 * UM, 8 * UM, 2.5 * UM, UM, UM)
CRACK = replace(PORE, half_opening=0.02 * UM, tilt=35.0)
PENNY = BuriedCavity(6 * UM, 8 * UM, 2 * UM, UM, 0.05 * UM, axisymmetric=True, filled=True)
BALL = IndentedTip(20 * UM, 20 * UM, UM, UM)
CONE = IndentedTip(20 * UM, 20 * UM, 0.1 * UM, UM, 30.0)
GRAINS = GrainBlock(3 * UM, 3 * UM, 3 * UM, 1.3 * UM, interphase=0.1 * UM, seed=3)

MESHES = {
    "contact": (contact, CONTACT, {"electrolyte": 1.0}, "lithium", 2, False),
    "filled": (contact, FILLED, {"electrolyte": 1.0, "interlayer": 0.01}, "lithium", 2, False),
    "bridged": (contact, BRIDGED, {"electrolyte": 1.0, "interlayer": 50.0}, "lithium", 2, False),
    "pore": (cavity, PORE, {"electrolyte": 2.0}, "lithium", 2, False),
    "crack": (cavity, CRACK, {"electrolyte": 2.0}, "lithium", 2, False),
    "penny": (cavity, PENNY, {"electrolyte": 2.0, "filling": 1e3}, "lithium", 2, True),
    "ball": (tip, BALL, {"crystal": 0.05}, "tip", 2, True),
    "cone": (tip, CONE, {"crystal": 0.05}, "tip", 2, True),
    "grains": (polycrystal3d, GRAINS, {"grain": 0.1, "interphase": 1e-3}, "lithium", 3, False),
}


def meshed(name, **changes):
    module, what, _, _, dimension, turning = MESHES[name]
    return drawn(lambda: module.draw(replace(what, **changes)), MPI.COMM_WORLD, dimension, turning)


@pytest.mark.parametrize("name", MESHES)
def test_conduction_conserves_current_and_adds_up(name):
    """In equals out to 1e-10; the shares of the regions add up; the heat at 1 V is the current."""
    domain, quality = meshed(name)
    _, _, values, electrode, _, _ = MESHES[name]
    figures = (problem := Conduction(domain, values, [electrode], ["counter"])).solve()
    assert figures.imbalance < 1e-10
    assert sum(figures.share.values()) == pytest.approx(1.0)
    heat = integral(problem.conductivity * problem.potential.dx(0) ** 2 * domain.dx())
    assert 0 < heat < 1 / figures.resistance * (1 + 1e-9)
    assert figures.detour_factor > 0.999
    assert figures.floating == 0
    assert quality.worst_shape > 0.02
    assert quality.poor < 0.01
    assert quality.cells == sum(count for count, _ in quality.regions.values())


ONE_OF_EACH = ("contact", "crack", "cone", "grains")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_same_description_gives_the_same_mesh(name):
    module, what, *_ = MESHES[name]
    nodes = []
    for seed in (0, 0, 1):
        with gmsh_model("same") as model:
            module.draw(replace(what, seed=seed) if hasattr(what, "seed") else what)
            nodes.append(model.mesh.getNodes()[1])
    assert np.array_equal(nodes[0], nodes[1])
    assert not hasattr(what, "seed") or not np.array_equal(nodes[0], nodes[2])


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_resolution_makes_the_mesh_finer(name):
    module, what, *_, dimension, _ = MESHES[name]
    cells = []
    for fineness in (0.7, 1.4):
        with gmsh_model("size"):
            cells.append(module.draw(replace(what, sizes=Sizes(fineness))).cells)
    assert cells[1] > 0.45 * 2**dimension * cells[0]


# --- rough contact


def test_the_random_surface_has_its_deviation_and_correlation():
    """Averaged over seeds: zero mean, the given deviation, and a correlation of 1/e at the correlation length."""
    products, here = [], []
    for seed in range(60):
        x, h = random_surface(replace(CONTACT, seed=seed, width=100 * UM))
        lag = round(CONTACT.correlation_length / (x[1] - x[0]))
        assert h[0] == h[-1]
        assert h[:-1].std() == pytest.approx(CONTACT.roughness)
        products.append(np.mean(h[:-1] * np.roll(h[:-1], lag)))
        here.append(np.mean(h[:-1] ** 2))
    assert np.mean(products) / np.mean(here) == pytest.approx(math.exp(-1), abs=0.03)


def test_contact_areas_follow_from_the_outlines():
    """The electrolyte lacks the voids; a filling has them, a bridge is a plain sheet; lines add up."""
    outlines = voids(CONTACT)
    above = sum(float(np.trapezoid(o[:, 1], o[:, 0])) for o in outlines)
    roof = sum(float(np.linalg.norm(np.diff(o, axis=0), axis=1).sum()) for o in outlines)
    touching, whole = contact_fraction(CONTACT) * CONTACT.width, CONTACT.width * CONTACT.thickness
    assert touching == pytest.approx(0.6 * CONTACT.width, rel=0.02)
    bare, filled, bridged = (meshed(name)[1] for name in ("contact", "filled", "bridged"))
    for quality in (bare, filled, bridged):
        assert quality.regions["electrolyte"][1] == pytest.approx(whole - above, rel=1e-9)
    sheet = FILLED.interlayer * FILLED.width
    assert filled.regions["interlayer"][1] == pytest.approx(sheet + above, rel=1e-9)
    assert bridged.regions["interlayer"][1] == pytest.approx(sheet, rel=1e-9)
    assert bare.boundaries["lithium"] == pytest.approx(touching, rel=1e-9)
    assert bare.boundaries["void"] == pytest.approx(roof, rel=1e-9)
    assert bridged.boundaries["void"] == pytest.approx(roof + CONTACT.width - touching, rel=1e-9)
    assert "void" not in filled.boundaries
    assert filled.boundaries["lithium"] == bridged.boundaries["lithium"] == pytest.approx(CONTACT.width)


def test_full_contact_is_a_plane_capacitor_and_voids_add_resistance():
    """No voids: L/κ. With voids: more. A conducting film bridges them: less than without it; a filled void lies between."""
    plane = Conduction(meshed("contact", void_fraction=0.0)[0], {"electrolyte": 1.0}, ["lithium"], ["counter"]).solve()
    assert plane.resistance * CONTACT.width == pytest.approx(CONTACT.thickness, rel=1e-10)
    values = {"electrolyte": 1.0, "interlayer": 50.0}
    bare, bridged, filled = (
        Conduction(meshed(name)[0], {k: values[k] for k in regions}, ["lithium"], ["counter"]).solve().resistance
        for name, regions in (("contact", ["electrolyte"]), ("bridged", values), ("filled", values))
    )
    assert plane.resistance < bare
    assert filled < bridged < bare * 1.01


# --- pores and cracks


def test_cavity_areas_and_volumes():
    quality = meshed("pore")[1]
    assert quality.regions["electrolyte"][1] == pytest.approx(96 * UM**2 - math.pi * UM**2, rel=2e-3)
    assert quality.boundaries["cavity"] == pytest.approx(2 * math.pi * UM, rel=5e-3)
    assert meshed("crack")[1].regions["electrolyte"][1] == pytest.approx(96 * UM**2 - math.pi * 0.02 * UM**2, rel=1e-3)
    domain, quality = meshed("penny")
    volume = integral(domain.constant(1.0) * domain.dx("filling"))
    assert volume == pytest.approx(4 / 3 * math.pi * 0.05 * UM**3, rel=1e-2)
    assert quality.boundaries["axis"] == pytest.approx(PENNY.thickness)


def test_a_deep_pore_concentrates_the_flux_by_two():
    """Far from all walls the field at the flanks of an insulating cylinder is twice the far field (V07)."""
    far = {"width": 40 * UM, "thickness": 40 * UM, "depth": 20 * UM, "sizes": Sizes(3.0)}
    domain, _ = meshed("pore", **far)
    problem = Conduction(domain, {"electrolyte": 1.0}, ["lithium"], ["counter"], degree=2)
    problem.solve()
    φ, x = problem.potential, problem.potential.function_space.tabulate_dof_coordinates()
    flank = np.linalg.norm(x - [21 * UM, 20 * UM, 0.0], axis=1) < 0.2 * UM
    slope = np.polyfit(x[flank, 1], φ.x.array[flank], 1)[0] * 40 * UM
    assert slope == pytest.approx(2.0, rel=0.12)


# --- tips


def test_tip_volumes_and_areas():
    for name, what in (("ball", BALL), ("cone", CONE)):
        domain, _ = meshed(name, sizes=Sizes(3.0))
        volume = integral(domain.constant(1.0) * domain.dx())
        whole = math.pi * what.radius**2 * what.thickness
        assert whole - volume == pytest.approx(what.removed_volume, rel=3e-3)
        assert integral(domain.constant(1.0) * domain.ds("tip")) == pytest.approx(what.contact_area, rel=3e-3)
    assert BALL.removed_volume == pytest.approx(2 / 3 * math.pi * UM**3)
    assert BALL.contact_area == pytest.approx(2 * math.pi * UM**2)
    sharp = replace(CONE, tip_radius=1e-4 * UM)
    assert sharp.removed_volume == pytest.approx(math.pi / 3 * UM**3 * math.tan(math.pi / 6) ** 2, rel=1e-3)


def test_a_hemisphere_in_a_large_crystal_has_its_spreading_resistance():
    """1/(2πκR) less what lies beyond the counter electrode, which a larger crystal makes small."""
    errors = []
    for size in (20.0, 80.0):
        domain, _ = meshed("ball", radius=size * UM, thickness=size * UM)
        found = Conduction(domain, {"crystal": 0.05}, ["tip"], ["counter"], degree=2).solve().resistance
        errors.append(abs(found * 2 * math.pi * 0.05 * UM - 1))
    assert errors[1] < 0.03
    assert errors[1] < errors[0]


# --- grains in 3-D


def test_grain_block_volumes_faces_and_numbers():
    _, quality = meshed("grains")
    assert quality.regions["grain"][1] == pytest.approx(27 * UM**3)
    assert quality.regions["interphase"][1] == pytest.approx(0.9 * UM**3)
    for name in ("left", "right", "front", "back"):
        assert quality.boundaries[name] == pytest.approx(3 * 3.1 * UM**2)
    for name in ("lithium", "counter"):
        assert quality.boundaries[name] == pytest.approx(9 * UM**2)
    centres = polycrystal3d.seeds(GRAINS)
    surface = (2 * quality.boundaries["grain_boundary"] + 54 * UM**2) / len(centres)
    assert 5.31 < surface / (GRAINS.volume / len(centres)) ** (2 / 3) < 6.2  # Kelvin's cell; Poisson-Voronoi has 5.82
    assert len(centres) == round(27 / 1.3**3)
    assert np.array_equal(polycrystal3d.grain_index(GRAINS, centres), np.arange(len(centres)))


def test_one_grain_is_a_layered_cell_in_series():
    """Layers in series: Σ L/κ, each region with its share."""
    domain, quality = meshed("grains", grain_size=4 * UM)
    assert "grain_boundary" not in quality.boundaries
    figures = Conduction(domain, {"grain": 0.1, "interphase": 1e-3}, ["lithium"], ["counter"]).solve()
    assert figures.resistance * 9 * UM**2 == pytest.approx(3 * UM / 0.1 + 0.1 * UM / 1e-3, rel=1e-9)
    assert figures.share["interphase"] == pytest.approx(100 / 130)
    assert figures.detour_factor == pytest.approx(1.0)
    assert Conduction(domain, {"grain": 0.1, "interphase": 1e-3}, ["lithium"], ["counter"]).floating.size == 0


WRONG = [
    (CONTACT, {"width": -UM}, "geometry.width"),
    (CONTACT, {"correlation_length": 5 * UM}, "geometry.contact.correlation_length"),
    (CONTACT, {"roughness": 3 * UM}, "geometry.contact.roughness"),
    (CONTACT, {"void_fraction": 1.0}, "geometry.contact.void_fraction"),
    (FILLED, {"interlayer": 0.0}, "geometry.interlayer.thickness"),
    (PORE, {"depth": 0.9 * UM}, "geometry.cavity.depth"),
    (PORE, {"half_length": 7 * UM, "depth": 4 * UM}, "geometry.cavity.half_length"),
    (PORE, {"half_opening": 2 * UM}, "geometry.cavity.half_opening"),
    (PORE, {"half_opening": 1e-5 * UM}, "geometry.cavity.half_opening"),
    (PENNY, {"tilt": 10.0}, "geometry.cavity.tilt"),
    (BALL, {"indentation": 2 * UM}, "geometry.tip.indentation"),
    (BALL, {"tip_radius": 19 * UM, "indentation": 15 * UM}, "geometry.tip.radius"),
    (CONE, {"half_angle": 89.0}, "geometry.tip.half_angle"),
    (GRAINS, {"grain_size": 0.01 * UM}, "geometry.electrolyte.grain_size"),
    (GRAINS, {"interphase": 2 * UM}, "geometry.interlayer.thickness"),
    (GRAINS, {"breadth": math.nan}, "geometry.breadth"),
]


@pytest.mark.parametrize(("what", "change", "key"), WRONG, ids=[f"{row[2]}-{k}" for k, row in enumerate(WRONG)])
def test_impossible_geometries_are_refused_with_their_key(what, change, key):
    with pytest.raises(UserError, match=f"^{key}: read") as caught:
        replace(what, **change)
    assert len(str(caught.value).splitlines()) == 1


def test_wrong_sizes_and_electrodes_are_refused():
    with pytest.raises(UserError, match="resolution: read 0"):
        Sizes(0.0)
    domain, _ = meshed("ball")
    for values, first, second, said in (
        ({"crystal": 0.0}, "tip", "counter", "must be positive"),
        ({"crystal": 1.0}, "tip", "tip", "both of them"),
        ({"crystal": 1.0}, "tip", "lid", "no boundary called"),
        ({}, "tip", "counter", "no value for the region"),
    ):
        with pytest.raises(UserError, match=said):
            Conduction(domain, values, [first], [second])


RANKS = """
from mpi4py import MPI
from test_geometries import MESHES, Conduction, meshed
for name in ("grains",):
    domain, _ = meshed(name)
    problem = Conduction(domain, MESHES[name][2], ["lithium"], ["counter"])
    f = problem.solve()
    focus = problem.focusing_factor(2e-6)
    if MPI.COMM_WORLD.rank == 0:
        print(repr([f.resistance, f.mean_path, f.distance, f.area, focus, *f.share.values()]))
"""


def test_two_ranks_find_the_same():
    answers = []
    for ranks in (1, 2):
        done = python(f"import sys\nsys.path.insert(0, 'tests')\n{RANKS}", ranks=ranks)
        assert done.returncode == 0, done.stderr
        answers.append([eval(line) for line in done.stdout.splitlines()])
    for one, two in zip(*answers, strict=True):
        assert two == pytest.approx(one, rel=1e-8)


@pytest.mark.parametrize("name", ["contact", "penny", "grains"])
def test_figures_of_a_domain_are_those_of_gmsh(name):
    domain, quality = meshed(name)
    again = quality_of(replace(domain, axisymmetric=False))
    for key in ("cells", "worst_shape", "mean_shape", "poor", "smallest_edge", "largest_edge"):
        assert getattr(again, key) == pytest.approx(getattr(quality, key), rel=1e-6), key
    assert {k: v[1] for k, v in again.regions.items()} == pytest.approx({k: v[1] for k, v in quality.regions.items()})
    assert dict(again.boundaries) == pytest.approx(dict(quality.boundaries))
