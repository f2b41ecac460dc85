"""Packings, voxel meshes and meshes that a user brings: names and volumes, refusals, conduction on each."""

import math

import meshio
import numpy as np
import pytest
from launch import python

from coupling.errors import UserError
from meshes import foreign, packing
from meshes.packing import Packing, Particles, read_particles, voxelised
from meshes.session import gmsh_model
from meshes.shapes import draw_blocks
from meshes.voxels import Labels, VoxelImage
from multiscale.conduction.steady import Conduction
from multiscale.conduction.voxel_conduction import effective_conductivity
from multiscale.conduction.voxel_mesh import voxel_domain
from multiscale.domain import integral
from multiscale.structures import drawn

UM = 1e-6


def particles(text, tmp_path):
    (tmp_path / "particles.csv").write_text(text, encoding="utf-8")
    return read_particles(tmp_path / "particles.csv")


PAIR = "# two spheres that overlap\nx [um], y [um], z (nm), radius [um], phase\n0, 0, 0, 1, a\n0, 0, 1600, 0.8, b\n"


def lens(first, second, distance):
    """Volume shared by two spheres."""
    total = first + second - distance
    shape = distance**2 + 2 * distance * (first + second) - 3 * (first - second) ** 2
    return math.pi * total**2 * shape / (12 * distance)


def test_particles_are_read_with_their_units(tmp_path):
    read = particles(PAIR, tmp_path)
    assert read.centres == pytest.approx(np.array([[0, 0, 0], [0, 0, 1.6 * UM]]))
    assert read.radii.tolist() == pytest.approx([UM, 0.8 * UM])
    assert read.phases == ("a", "b")
    assert read.swollen(0.1).radii[0] == pytest.approx(1.1 * UM)
    assert read.box == pytest.approx(np.array([[-1, -1, -1], [1, 1, 2.4]]) * UM)


HEAD = "x [um], y [um], z [um], radius [um]\n"
BAD_FILES = {
    "unit missing": ("x, y [um], z [um], radius [um]\n1,1,1,1\n", 'csv:1: the column "x" has no unit'),
    "wrong unit": (HEAD.replace("x [um]", "x [kg]") + "1,1,1,1\n", "csv:1: read"),
    "column missing": ("x [um], y [um], z [um]\n1,1,1\n", 'csv:1: the column "radius" is missing'),
    "no number": (HEAD + "1,1,1,1\n1,b,1,1\n", 'csv:3: y: read "b"'),
    "short row": (HEAD + "1,1,1\n", "csv:2: radius: read nothing"),
    "not finite": (HEAD + "1,1,nan,1\n", "csv:2: z: read nan"),
    "negative radius": (HEAD + "1,1,1,1\n\n1,1,1,-1\n", "csv:4: radius: read"),
    "empty": (HEAD, "holds no particle"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_particle_files_are_told_by_line(tmp_path, name):
    text, said = BAD_FILES[name]
    with pytest.raises(UserError) as caught:
        particles(text, tmp_path)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_two_spheres_have_their_volumes_and_conduct(tmp_path):
    """The lens belongs to the first; walls that only touch have no area, so the box cuts the ends off."""
    box = np.array([[-2, -2, -0.5], [2, 2, 2.0]]) * UM
    what = Packing(particles(PAIR, tmp_path), box)
    domain, quality = drawn(lambda: packing.draw(what), dimension=3)
    cap = [math.pi * h**2 * (3 * r - h) / 3 for h, r in ((0.5, 1.0), (0.4, 0.8))]
    ball = [4 / 3 * math.pi * r**3 for r in (1.0, 0.8)]
    assert quality.regions["a"][1] / UM**3 == pytest.approx(ball[0] - cap[0], rel=0.03)
    assert quality.regions["b"][1] / UM**3 == pytest.approx(ball[1] - cap[1] - lens(1.0, 0.8, 1.6), rel=0.03)
    assert quality.boundaries["bottom"] / UM**2 == pytest.approx(math.pi * (1 - 0.25), rel=0.03)
    figures = Conduction(domain, {"a": 1.0, "b": 2.0}, ["bottom"], ["top"]).solve()
    assert figures.imbalance < 1e-10
    assert quality.worst_shape > 0.03


def test_a_matrix_fills_the_box():
    what = Packing(Particles(np.array([[0.5, 0.5, 0.5]]) * UM, np.array([0.3 * UM]), ("grain",)),
                   np.array([[0, 0, 0], [1, 1, 1]]) * UM, matrix=True)  # fmt: skip
    domain, quality = drawn(lambda: packing.draw(what), dimension=3)
    assert sum(volume for _, volume in quality.regions.values()) == pytest.approx(UM**3, rel=1e-9)
    assert "free" not in quality.boundaries
    same = Conduction(domain, {"grain": 1.0, "matrix": 1.0}, ["bottom"], ["top"]).solve()
    assert same.resistance == pytest.approx(1 / UM, rel=1e-9)
    maxwell = 1 * (2 + 10 + 2 * 0.1131 * 9) / (2 + 10 - 0.1131 * 9)
    mixed = Conduction(domain, {"grain": 10.0, "matrix": 1.0}, ["bottom"], ["top"]).solve()
    assert 1 / (mixed.resistance * UM) == pytest.approx(maxwell, rel=0.03)


def test_spheres_that_hang_together_with_no_electrode_carry_nothing():
    centres = np.array([[0, 0, 0], [0, 0, 1.7], [5, 0, 0.85], [0, 5, 0]]) * UM
    what = Packing(Particles(centres, np.array([1, 1, 0.5, 1.0]) * UM, ("s",) * 4), np.array([[-2, -2, 0], [7, 7, 1.7]]) * UM)
    domain, _ = drawn(lambda: packing.draw(what), dimension=3)
    figures = Conduction(domain, {"s": 1.0}, ["bottom"], ["top"]).solve()
    assert figures.floating > 10
    assert figures.imbalance < 1e-10


def test_tangent_and_too_many_spheres_are_refused():
    line = Particles(np.array([[0, 0, 0], [0, 0, 2.001]]) * UM, np.array([UM, UM]), ("s", "s"))
    with pytest.raises(UserError, match=r"spheres 1 and 2 are apart by only 1 nm; raise geometry\.swell"):
        Packing(line)
    assert packing.necks(Packing(line.swollen(0.03)).particles)[0][2] == pytest.approx(-0.059 * UM)
    many = Particles(np.arange(3000.0).reshape(1000, 3), np.full(1000, 0.1), ("s",) * 1000)
    with pytest.raises(UserError, match="1000 particles; at most 300"):
        Packing(many)
    with pytest.raises(UserError, match='"matrix" is the space'):
        Packing(Particles(line.centres, np.array([0.3, 0.3]) * UM, ("matrix", "s")))


def test_a_packing_as_voxels_has_its_volume_fractions(tmp_path):
    image, names = voxelised(particles(PAIR, tmp_path), 0.04 * UM)
    assert names == ("matrix", "a", "b")
    volumes = {names[label]: count * 0.04**3 for label, count in image.counts().items()}
    assert volumes["a"] == pytest.approx(4 / 3 * math.pi, rel=5e-3)
    assert volumes["b"] == pytest.approx(4 / 3 * math.pi * 0.8**3 - lens(1.0, 0.8, 1.6), rel=1e-2)
    with pytest.raises(UserError, match="voxel: read 10 um"):
        voxelised(particles(PAIR, tmp_path), 10 * UM)


# --- voxel meshes

IMAGE = VoxelImage(np.random.default_rng(2).choice([0, 1, 2], p=[0.25, 0.5, 0.25], size=(7, 6, 5)), (0.1 * UM,) * 3)
PHASES = {"solid": Labels(1, 1), "soft": Labels(2, 2)}


def test_voxel_meshes_have_a_cell_a_voxel_and_named_faces():
    domain = voxel_domain(IMAGE, PHASES)
    counts = IMAGE.counts()
    for name, label in (("solid", 1), ("soft", 2)):
        volume = integral(domain.constant(1.0) * domain.dx(name))
        assert volume == pytest.approx(counts[label] * (0.1 * UM) ** 3)
    left = (IMAGE.labels[0] > 0).sum() * (0.1 * UM) ** 2
    assert integral(domain.constant(1.0) * domain.ds("left")) == pytest.approx(left)
    present = np.pad(IMAGE.labels > 0, 1)
    faces = sum(int(np.count_nonzero(np.diff(present, axis=axis))) for axis in range(3))
    assert integral(domain.constant(1.0) * domain.ds()) == pytest.approx(faces * (0.1 * UM) ** 2)


@pytest.mark.parametrize("d", [2, 3])
def test_conduction_on_the_voxel_mesh_is_the_finite_element_bound(d):
    """The same space, assembled by two programs: equal to the solver's tolerance, in every direction."""
    labels = np.random.default_rng(5).choice([1, 2], size=(6, 5, 7)[:d])
    image = VoxelImage(labels, (UM, 2 * UM, 0.5 * UM)[:d])
    domain, values = voxel_domain(image, PHASES), {"solid": 1.0, "soft": 20.0}
    tensor = effective_conductivity(np.where(labels == 1, 1.0, 20.0), image.spacing, "elements").tensor
    sides = (("left", "right"), ("front", "back"), ("bottom", "top")) if d == 3 else (("left", "right"), ("bottom", "top"))
    lengths = np.array(image.shape) * np.array(image.spacing)
    for axis, (low, high) in enumerate(sides):
        figures = Conduction(domain, values, [low], [high]).solve()
        κ = lengths[axis] / (np.prod(lengths) / lengths[axis] * figures.resistance)
        assert κ == pytest.approx(tensor[axis, axis], rel=1e-8)
        assert figures.imbalance < 1e-10


def test_voxels_that_share_only_an_edge_do_not_conduct_to_each_other():
    """A step of voxels that touch in edges carries nothing; with one voxel more it is the chain that shares faces."""
    labels = np.zeros((2, 2, 1), dtype=int)
    labels[0, 0] = labels[1, 1] = 1
    with pytest.raises(UserError, match="no path leads from electrode"):
        Conduction(voxel_domain(VoxelImage(labels, (UM,) * 3), {"s": Labels(1, 1)}), {"s": 1.0}, ["left"], ["right"]).solve()
    labels = np.zeros((3, 3), dtype=int)
    labels[:, 0] = 1  # a straight column, and beside it a voxel that touches it in a corner
    labels[1, 2] = labels[2, 1] = 2
    domain = voxel_domain(VoxelImage(labels, (UM, UM)), {"s": Labels(1, 1), "t": Labels(2, 2)})
    figures = Conduction(domain, {"s": 1.0, "t": 1.0}, ["left"], ["right"]).solve()
    volumes = effective_conductivity((labels > 0).astype(float), (1.0, 1.0), "volumes", axes=[0]).tensor[0, 0]
    elements = effective_conductivity((labels > 0).astype(float), (1.0, 1.0), "elements", axes=[0]).tensor[0, 0]
    assert volumes < 1 / figures.resistance < elements


def test_voxel_meshes_refuse_what_is_not_there():
    with pytest.raises(UserError, match=r'no voxel of phase "glass" \(7\); it holds the labels 0, 1, 2'):
        voxel_domain(IMAGE, {"glass": Labels(7, 7)})


RANKS = """
from test_foreign_meshes import IMAGE, PHASES, Conduction, voxel_domain
from mpi4py import MPI
f = Conduction(voxel_domain(IMAGE, PHASES), {"solid": 1.0, "soft": 3.0}, ["left"], ["right"]).solve()
if MPI.COMM_WORLD.rank == 0:
    print(repr([f.resistance, f.mean_path, f.distance, f.area, f.floating, f.unknowns, *f.share.values()]))
"""


def test_three_ranks_find_the_same_with_islands():
    answers = []
    for ranks in (1, 3):
        done = python(f"import sys\nsys.path.insert(0, 'tests')\n{RANKS}", ranks=ranks)
        assert done.returncode == 0, done.stderr
        answers.append(eval(done.stdout))
    assert answers[1] == pytest.approx(answers[0], rel=1e-8)


# --- meshes that a user brings


def laminate(path, order=1):
    """Two layers in a file of gmsh, in micrometres."""
    import gmsh

    with gmsh_model("user"):
        draw_blocks([0.0, 2.0], [0.0, 1.0, 4.0], [["a"], ["b"]], 3)
        gmsh.model.mesh.setOrder(order)
        gmsh.write(str(path))
    return path


def solved(path):
    domain, quality = drawn(lambda: foreign.draw(path, UM, ["a", "b"], ["bottom", "top"]))
    figures = Conduction(domain, {"a": 1.0, "b": 0.5}, ["bottom"], ["top"]).solve()
    assert figures.imbalance < 1e-10
    return figures.resistance, quality


def test_gmsh_files_are_read_with_their_names_and_unit(tmp_path):
    resistance, quality = solved(laminate(tmp_path / "user.msh"))
    assert quality.regions["b"][1] == pytest.approx(6 * UM**2)
    assert resistance == pytest.approx((1 + 3 / 0.5) / 2, rel=1e-9)


def with_sets(source):
    """The same mesh with one block for each type of cell and named sets of cells."""
    physical = source.cell_data["gmsh:physical"]
    cells, tags = {}, {}
    for block, tag in zip(source.cells, physical, strict=True):
        cells.setdefault(block.type, []).append(block.data)
        tags.setdefault(block.type, []).append(tag)
    sets = {
        name: [np.flatnonzero(np.concatenate(found) == tag) if dim == (kind == "triangle") + 1 else np.empty(0, int)
               for kind, found in tags.items()]
        for name, (tag, dim) in source.field_data.items()
    }  # fmt: skip
    return meshio.Mesh(source.points, {kind: np.concatenate(found) for kind, found in cells.items()}, cell_sets=sets)


@pytest.mark.parametrize("kind", ["abaqus", "gmsh22"])
def test_other_formats_come_through_meshio(tmp_path, kind):
    """Named cell sets (Abaqus) and physical groups; the same resistance as from gmsh's own file."""
    source = meshio.read(laminate(tmp_path / "user.msh"))
    if kind == "gmsh22":
        path = tmp_path / "other.msh"
        meshio.write(path, source, file_format="gmsh22", binary=False)
    else:
        path = tmp_path / "user.inp"
        meshio.write(path, with_sets(source))
    assert solved(path)[0] == pytest.approx(3.5, rel=1e-9)


def test_missing_names_and_files_are_refused(tmp_path):
    path = laminate(tmp_path / "user.msh")
    broken = tmp_path / "broken.msh"
    broken.write_text("$MeshFormat\nnonsense\n")
    other = tmp_path / "broken.vtu"
    other.write_text("nonsense")
    plain = tmp_path / "plain.vtk"
    meshio.write(plain, meshio.Mesh(np.eye(3), [("triangle", np.array([[0, 1, 2]]))]))
    for file, regions, boundaries, said in (
        (path, ["c"], [], 'no region called "c"'),
        (path, ["a"], ["topp"], 'no boundary called "topp"; did you mean "top"'),
        (tmp_path / "none.msh", [], [], "no such mesh file"),
        (broken, ["a"], [], "broken.msh: "),
        (other, ["a"], [], "cannot be read as a mesh"),
        (plain, ["a"], [], "no named groups of cells"),
    ):
        with gmsh_model("wrong"), pytest.raises(UserError) as caught:
            foreign.draw(file, 1.0, regions, boundaries)
        assert said in str(caught.value), caught.value
        assert len(str(caught.value).splitlines()) == 1


def test_a_surface_in_space_is_refused(tmp_path):
    import gmsh

    with gmsh_model("shell"):
        gmsh.model.occ.addSphere(0, 0, 0, 1)
        gmsh.model.occ.synchronize()
        gmsh.model.addPhysicalGroup(2, [1], name="shell")
        gmsh.model.mesh.generate(2)
        gmsh.write(str(tmp_path / "shell.msh"))
    with gmsh_model("wrong"), pytest.raises(UserError, match="a surface in space"):
        foreign.draw(tmp_path / "shell.msh", 1.0, ["shell"], [])


def test_the_dimension_must_be_that_of_the_case(tmp_path):
    with gmsh_model("wrong"), pytest.raises(UserError, match="have dimension 2; the case says dimension = 3"):
        foreign.draw(laminate(tmp_path / "user.msh"), 1.0, [], [], 3)


@pytest.mark.parametrize("of", ["regions", "boundaries"])
def test_two_names_of_one_entity_are_refused(tmp_path, of):
    """DOLFINx would read the cells of both groups, each twice (it crashed)."""
    import gmsh

    with gmsh_model("user"):
        draw_blocks([0.0, 2.0], [0.0, 1.0, 4.0], [["a"], ["b"]], 3)
        dim = 2 if of == "regions" else 1
        tag = gmsh.model.getPhysicalGroups(dim)[0][1]
        gmsh.model.addPhysicalGroup(dim, gmsh.model.getEntitiesForPhysicalGroup(dim, tag), 99, "also")
        gmsh.write(str(tmp_path / "user.msh"))
    with gmsh_model("again"), pytest.raises(UserError, match=f'the {of} "[a-z]+" and "also" share the geometrical entity'):
        foreign.draw(tmp_path / "user.msh", UM, [], [])
