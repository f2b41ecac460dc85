"""Segmented images: reading, cropping, coarsening, labels to phases, clusters; one line on everything that is no such image."""

import numpy as np
import pytest
from PIL import Image

from coupling.errors import UserError
from meshes.voxels import Labels, VoxelImage, clusters, read_image

RNG = np.random.default_rng(3)
STACK = RNG.integers(0, 3, (4, 5, 6)).astype(np.uint8)


def write_tiff(path, pages, **more):
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest, **more)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_stacks_are_read_as_they_were_written(tmp_path, kind, compression):
    write_tiff(tmp_path / "a.tif", (STACK * 50).astype(kind), compression=compression)
    read = read_image(tmp_path / "a.tif", [1e-7])
    assert np.array_equal(read.labels, STACK * 50)
    assert read.spacing == (1e-7, 1e-7, 1e-7)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_numpy_arrays_of_whole_numbers_are_read(tmp_path, kind):
    values = (STACK > 1).astype(kind)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", image=values)
    for name in ("a.npy", "b.npz"):
        assert np.array_equal(read_image(tmp_path / name).labels, STACK > 1)


def save_two(path):
    np.savez(path, a=STACK, b=STACK)


REFUSED = {
    "text.txt": (lambda p: p.write_text("x"), "known are .tif"),
    "broken.tif": (lambda p: p.write_bytes(b"II*\0" + b"x" * 20), "cannot be read as an image"),
    "broken.npy": (lambda p: p.write_bytes(b"nothing"), "cannot be read as an image"),
    "pickle.npy": (lambda p: np.save(p, np.array([{}], dtype=object), allow_pickle=True), "cannot be read as an image"),
    "two.npz": (save_two, "keep the image alone"),
    "line.npy": (lambda p: np.save(p, np.arange(5)), "two or three axes"),
    "empty.npy": (lambda p: np.save(p, np.zeros((0, 3), int)), "holds no voxel"),
    "nan.npy": (lambda p: np.save(p, np.full((3, 3), np.nan)), "not finite"),
    "grey.npy": (lambda p: np.save(p, np.linspace(0, 1, 9).reshape(3, 3)), "such as 0.125; segment the image"),
    "many.npy": (lambda p: np.save(p, np.arange(10000).reshape(100, 100)), "10000 different values"),
    "colour.tif": (lambda p: write_tiff(p, [np.zeros((4, 4, 3), np.uint8)]), "colours"),
    "sizes.tif": (lambda p: write_tiff(p, [np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)]), "different sizes"),
    "short.tif": (lambda p: write_tiff(p, STACK, description="ImageJ=1.5\nimages=9\n"), "holds 9 images, but lists 4"),
    "text.npy": (lambda p: np.save(p, np.array([["a", "b"]])), "labels are whole numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_segmented_image_is_refused_in_one_line(tmp_path, name):
    make, said = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(UserError, match=said) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_and_wrong_edges_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_image(tmp_path / "none.tif")
    for edges, said in (((1.0, 1.0), "2 voxel edges for 3 axes"), ((1.0, -1.0, 1.0), "positive length")):
        with pytest.raises(UserError, match=said):
            VoxelImage(STACK, edges)


def test_crop_keeps_what_it_says():
    image = VoxelImage(STACK, (1.0,) * 3)
    assert np.array_equal(image.cropped([(1, 3), (0, 5), (2, 6)]).labels, STACK[1:3, :, 2:6])
    for bounds, said in (([(0, 2)], "1 axes; the image has 3"), ([(0, 9), (0, 1), (0, 1)], "0:9 of axis 0")):
        with pytest.raises(UserError, match=said):
            image.cropped(bounds)


def test_coarsening_takes_the_majority_and_undoes_refinement():
    image = VoxelImage(STACK, (1.0, 2.0, 3.0))
    again = image.refined(3).coarsened(3)
    assert np.array_equal(again.labels, STACK)
    assert again.spacing == pytest.approx(image.spacing)
    votes = VoxelImage(np.array([[7, 7, 1], [7, 1, 1], [5, 5, 5]]), (1.0, 1.0)).coarsened(2)
    assert votes.labels.tolist() == [[7]]
    for factor in (0, 5):
        with pytest.raises(UserError, match=f"coarsen by {factor}"):
            image.coarsened(factor)


def test_labels_get_their_phases():
    image = VoxelImage(STACK, (1.0,) * 3)
    number = image.phase_numbers([Labels.parse("1..2"), Labels.parse("0")])
    assert np.array_equal(number == 1, STACK == 0)
    for phases, said in ((["0", "1"], "labels without a phase: 2"), (["0..2", "2"], "overlap"), (["0..2", "9"], "labelled 9")):
        with pytest.raises(UserError, match=said):
            image.phase_numbers([Labels.parse(text) for text in phases])
    assert str(Labels.parse("-3..4")) == "-3..4"
    for text in ("a", "1.5", "4..1", ""):
        with pytest.raises(UserError, match="label: read"):
            Labels.parse(text)


def test_clusters_find_what_percolates():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[:, 1, 1] = True
    mask[0, 3, 3] = mask[1, 2, 3] = True  # these two share an edge only
    found = clusters(mask)
    assert found.count == 3
    assert found.share == pytest.approx((4 / 6, 0.0, 0.0))
    assert found.through[0].sum() == 4
    assert clusters(np.zeros((2, 2), dtype=bool)).share == (0.0, 0.0)
