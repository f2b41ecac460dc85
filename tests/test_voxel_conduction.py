"""Effective conductivity of voxel images: exact media, the enclosure and its closing, periodic tensors, ranks, TauFactor."""

import json
import math

import numpy as np
import pytest
from launch import multiscale
from scipy import ndimage

from coupling.errors import UserError
from coupling.homogenize import maxwell
from multiscale.conduction.voxel_conduction import effective_conductivity
from multiscale.conduction.voxel_stencil import element_stiffness, parts

SCHEMES = ("volumes", "elements")


def porous(n, seed=1, width=2.0, share=0.5):
    """Two phases from smoothed noise, shape (n, n, n)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(n, n, n)), width, mode="wrap")
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("faces", ["plates", "periodic"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_laminates_are_exact(scheme, faces, axis):
    """Harmonic mean across, arithmetic mean along the layers, for three phases and bricks of any shape."""
    layers = np.array([1.0, 7.0, 1.0, 0.2, 3.0, 3.0])
    κ = np.moveaxis(np.broadcast_to(layers[:, None, None], (6, 3, 4)), 0, axis)
    found = effective_conductivity(κ, (1e-6, 3e-6, 0.5e-6), scheme, faces)
    exact = np.full(3, layers.mean())
    exact[axis] = 1 / np.mean(1 / layers)
    assert found.tensor == pytest.approx(np.diag(exact), rel=1e-9, abs=1e-9)
    assert found.tortuosity(axis) == pytest.approx(layers.mean() * np.mean(1 / layers), rel=1e-9)
    assert found.imbalance < 1e-9


def test_uniform_and_plane_images():
    for shape in ((5, 4), (3, 4, 2), (1, 1, 1)):
        for scheme in SCHEMES:
            found = effective_conductivity(np.full(shape, 2.5), (1.0,) * len(shape), scheme)
            assert found.tensor == pytest.approx(2.5 * np.eye(len(shape)), rel=1e-10)


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5)])
def test_a_column_of_voxels_is_a_resistor_chain(shape):
    """One percolating straight column in insulators: κ f with no detour; touching corners carry nothing."""
    κ = np.zeros(shape)
    κ[(slice(None), *(0,) * (len(shape) - 1))] = 2.0
    κ[(0, *(-1,) * (len(shape) - 1))] = 9.0  # a dead end
    for scheme in SCHEMES:
        tensor = effective_conductivity(κ, (1.0,) * len(shape), scheme).tensor
        assert tensor[0, 0] == pytest.approx(2.0 / math.prod(shape[1:]), rel=1e-9)
        assert np.all(np.diag(tensor)[1:] == 0.0)
        assert effective_conductivity(κ, (1.0,) * len(shape), scheme).tortuosity(1) == math.inf


def test_checkerboard_is_enclosed_and_the_enclosure_closes():
    """Keller and Dykhne: √(κ₁κ₂) between the two schemes, whose distance falls as the squares are cut up."""
    board = np.array([[1.0, 5.0], [5.0, 1.0]])
    gaps = []
    for n in (4, 8, 16):
        κ = np.kron(board, np.ones((n, n)))
        low, high = (effective_conductivity(κ, (1.0, 1.0), scheme, "periodic").tensor for scheme in SCHEMES)
        for a in (0, 1):
            assert low[a, a] < math.sqrt(5) < high[a, a]
        gaps.append(high[0, 0] - low[0, 0])
    slopes = -np.diff(np.log2(gaps))
    singular = 4 / math.pi * math.atan(math.sqrt(1 / 5))  # u ~ r^λ at the corners; the energy error goes as h^2λ
    assert slopes[-1] == pytest.approx(2 * singular, abs=0.1)


def test_dilute_spheres_follow_maxwell():
    """A simple cubic array of spheres at f = 0.05: Maxwell's formula is right to O(f^(10/3))."""
    n = 24
    x = (np.arange(n) + 0.5) / n - 0.5
    radius = (0.05 * 3 / (4 * math.pi)) ** (1 / 3)
    inside = sum(np.meshgrid(x**2, x**2, x**2)) < radius**2
    for ratio in (0.0, 10.0):
        κ = np.where(inside, ratio, 1.0)
        low, high = (effective_conductivity(κ, (1.0,) * 3, scheme, axes=[2]).tensor[2, 2] for scheme in SCHEMES)
        exact = maxwell(1.0, ratio, inside.mean())
        assert low <= high
        assert (low + high) / 2 == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("faces", ["plates", "periodic"])
def test_enclosure_holds_for_the_whole_tensor_and_narrows(faces):
    """Upper minus lower tensor is positive definite at each resolution, and the enclosures are nested."""
    κ = np.random.default_rng(0).choice([0.05, 1.0, 10.0], size=(5, 6, 4))
    before = None
    for cut in (1, 2):
        fine = np.kron(κ, np.ones((cut,) * 3))
        low, high = (effective_conductivity(fine, (1.0, 2.0, 1.5), scheme, faces).tensor for scheme in SCHEMES)
        assert np.all(np.linalg.eigvalsh(high - low) > 0)
        if before is not None:
            assert np.all(np.linalg.eigvalsh(before[1] - high) > 0)
        before = low, high


def test_periodic_tensor_turns_with_the_image():
    """Exchanging axes exchanges rows and columns; the tensor has off-diagonal entries and does not feel a shift."""
    κ = np.random.default_rng(5).choice([0.1, 1.0], size=(6, 5, 4)) + np.eye(6)[:, :5, None]
    for scheme in SCHEMES:
        tensor = effective_conductivity(κ, (1.0, 1.0, 2.0), scheme, "periodic").tensor
        turned = effective_conductivity(κ.transpose(2, 0, 1), (2.0, 1.0, 1.0), scheme, "periodic").tensor
        shifted = effective_conductivity(np.roll(κ, (2, 1, 3), (0, 1, 2)), (1.0, 1.0, 2.0), scheme, "periodic").tensor
        assert turned == pytest.approx(tensor[np.ix_([2, 0, 1], [2, 0, 1])], rel=1e-8)
        assert shifted == pytest.approx(tensor, rel=1e-8)
        assert abs(tensor[0, 1]) > 0.01
        assert tensor == pytest.approx(tensor.T, rel=1e-12)


def test_plates_are_the_periodic_mirror_image():
    κ = np.random.default_rng(6).choice([0.1, 1.0, 4.0], size=(4, 3, 5))
    mirrored = κ
    for axis in range(3):
        mirrored = np.concatenate([mirrored, np.flip(mirrored, axis)], axis)
    for scheme in SCHEMES:
        plates = effective_conductivity(κ, (1.0, 1.0, 1.0), scheme).tensor
        periodic = effective_conductivity(mirrored, (1.0, 1.0, 1.0), scheme, "periodic").tensor
        assert periodic == pytest.approx(plates, rel=1e-8, abs=1e-8)


def test_periodic_parts_are_joined_across_the_faces():
    present = np.zeros((5, 5), dtype=bool)
    present[0, 1] = present[4, 1] = present[2, 3] = present[3, 4] = present[4, 0] = True
    apart, touching = parts(present, False), parts(present, True)
    assert len(np.unique(apart)) - 1 == 3
    assert apart[0, 1] == apart[4, 1] == apart[4, 0]
    assert len(np.unique(touching)) - 1 == 1
    separate = np.where(porous(12), 1.0, 0.0)
    separate[:, :, 5:7] = 0.0
    assert effective_conductivity(separate, (1.0,) * 3, "elements", "periodic").tensor[2, 2] == pytest.approx(0.0, abs=1e-9)


def test_element_stiffness_has_its_known_entries():
    """Unit square: 2/3, -1/6, -1/6, -1/3; every row adds up to zero in any brick."""
    assert element_stiffness(np.ones(2))[0] == pytest.approx([2 / 3, -1 / 6, -1 / 6, -1 / 3])
    assert element_stiffness(np.array([1.0, 2.0, 0.3])).sum(axis=1) == pytest.approx(np.zeros(8), abs=1e-14)


def test_impossible_conductivities_are_refused():
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="conductivity of a phase"):
            effective_conductivity(np.full((2, 2), value), (1.0, 1.0))


@pytest.fixture
def image(tmp_path):
    labels = porous(14).astype(np.uint8)
    labels[porous(14, seed=9, share=0.2)] = 7
    np.save(tmp_path / "image.npy", labels)
    return tmp_path / "image.npy"


PHASES = ("--phase", "0=0 S/m", "--phase", "1=1 mS/cm", "--phase", "5..7=1e-3 S/m")


def test_the_command_answers_alike_on_1_2_3_ranks(image):
    """The whole way on an image that leaves planes of unequal load to the ranks."""
    answers = []
    for ranks in (1, 2, 3):
        options = ("--faces", "periodic", "--coarsen", 2, "--axis", "x", "--axis", "z", "--json")
        done = multiscale("homogenize", image, *PHASES, *options, ranks=ranks)
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    for name in ("lower", "upper"):
        one, two, three = (np.array(answer["effective_conductivity"][name], dtype=float) for answer in answers)
        assert two == pytest.approx(one, rel=1e-8, nan_ok=True)
        assert three == pytest.approx(one, rel=1e-8, nan_ok=True)
    assert sum(row["fraction"] for row in answers[0]["phases"]) == pytest.approx(1.0)


def test_the_command_tells_percolation_and_options(image):
    done = multiscale(
        "homogenize", image, *PHASES, "--crop", "0:12,0:14,0:14", "--coarsen", 2, "--refine", 2, "--axis", "y",
        "--voxel", "1 um,1 um,2 um", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["shape"] == [12, 14, 14]
    assert answer["percolates"] == {"y": True}
    low, high = (answer["effective_conductivity"][name] for name in ("lower", "upper"))
    assert low[0][0] is None
    assert 0 < low[1][1] < high[1][1] < answer["mean_conductivity"]["value"]
    told = multiscale("homogenize", image, "--phase", "0..7=0 S/m")
    assert told.stdout.count("no conducting path") == 3


def test_the_command_takes_spheres(tmp_path):
    """A cubic array of spheres that overlap: its solid fraction, and a value between none and the parallel bound."""
    rows = [f"{x},{y},{z},0.55" for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    (tmp_path / "p.csv").write_text("x [um],y [um],z [um],radius [um]\n" + "\n".join(rows) + "\n", encoding="utf-8")
    options = ("--phase", "0=0 S/m", "--phase", "1=1 S/m", "--axis", "x", "--crop", "11:31,11:31,11:31")
    done = multiscale("homogenize", tmp_path / "p.csv", "--voxel", "50 nm", *options, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    solid = answer["phases"][1]["fraction"]
    assert solid == pytest.approx(4 / 3 * math.pi * 0.55**3 - 3 * 2 * math.pi * 0.05**2 * (3 * 0.55 - 0.05) / 3, abs=0.02)
    low, high = (answer["effective_conductivity"][name][0][0] for name in ("lower", "upper"))
    assert 0 < low < high < solid
    refused = multiscale("homogenize", tmp_path / "p.csv", *options)
    assert refused.returncode == 2
    assert "give their edge" in refused.stderr


WRONG = {
    "phase without a value": (("--phase", "1"), "LABEL=CONDUCTIVITY"),
    "bare number": (("--phase", "1=3"), "without a unit"),
    "negative": (("--phase", "1=-3 S/m"), "not negative"),
    "label left out": (("--phase", "0=1 S/m"), "labels without a phase"),
    "axis": ((*PHASES, "--axis", "w"), "allowed are x, y, z"),
    "faces": ((*PHASES, "--faces", "open"), "plates or periodic"),
    "crop": ((*PHASES, "--crop", "1-3"), "LOW:HIGH"),
    "voxel": ((*PHASES, "--voxel", "3"), "without a unit"),
    "coarsen": ((*PHASES, "--coarsen", "99"), "coarsen by 99"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_line_and_status_2(image, name):
    options, said = WRONG[name]
    done = multiscale("homogenize", image, *options)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def composite(n):
    """Three conducting phases and pores."""
    κ = np.where(porous(n, 1), 1.0, 0.1)
    κ[porous(n, 2, 1.5, 0.25)] = 0.01
    κ[porous(n, 3, 1.5, 0.15)] = 0.0
    return κ


def squeezed(n):
    """Anisotropic: features three times longer along x."""
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(n, n, n)), (4.5, 1.5, 1.5), mode="wrap")
    return noise > np.quantile(noise, 0.45)


def taufactor_conductivity(κ):
    """Along the first axis, by TauFactor on the CPU."""
    taufactor = pytest.importorskip("taufactor", reason="pip install taufactor==1.2.1")
    values = [v for v in np.unique(κ) if v > 0]
    if values == [1.0]:
        solver = taufactor.Solver(κ.astype(int), device="cpu")
    else:
        labels = np.searchsorted(values, κ) + 1
        labels[κ == 0] = 0
        solver = taufactor.MultiPhaseSolver(labels, cond={k + 1: v for k, v in enumerate(values)}, device="cpu")
    solver.solve(verbose=False, conv_crit=1e-4)
    return float(np.ravel(solver.D_eff)[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("image", [porous, squeezed], ids=["porous", "anisotropic"])
def test_taufactor_finds_the_same_in_two_phases(image, axis):
    """The finite volumes are TauFactor's scheme: equal to its convergence."""
    κ = np.moveaxis(image(32).astype(float), axis, 0)
    ours = effective_conductivity(κ, (1.0,) * 3, axes=[0]).tensor[0, 0]
    assert ours == pytest.approx(taufactor_conductivity(κ), rel=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_taufactor_finds_the_same_in_three_phases(axis):
    """Its multi-phase solver sets the plates a whole voxel from the last centres, ours are half a voxel away, at the face.

    That is the difference (within 2 %): behind slabs of a uniform phase the resistances of the composite are the same.
    """
    κ, slab = np.moveaxis(composite(32), axis, 0), 8
    ours = effective_conductivity(κ, (1.0,) * 3, axes=[0]).tensor[0, 0]
    assert ours == pytest.approx(taufactor_conductivity(κ), rel=2e-2)
    buried = np.pad(κ, [(slab, slab), (0, 0), (0, 0)], constant_values=1.0)
    resistance = len(buried) / effective_conductivity(buried, (1.0,) * 3, axes=[0]).tensor[0, 0] - 2 * slab
    theirs = (len(buried) + 1) / taufactor_conductivity(buried) - (2 * slab + 1)
    assert resistance == pytest.approx(theirs, rel=1e-3)
