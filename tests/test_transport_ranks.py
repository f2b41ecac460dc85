"""Transport cases on geometries of `meshes/`: the same on 1, 2 and 3 ranks, and after a restart on another number of them."""

import json

import numpy as np
import pytest
import transport_cases as cases
from launch import python
from test_transport_faces import GRAINS, grains
from test_transport_maps import HEAD
from test_transport_mechanics import ON_RANKS
from transport_cases import numbers, table

IMAGE = """
[geometry]
kind      = "voxels"
dimension = 3
image     = "image.npy"
voxel     = ["1 um"]
[[geometry.phase]]
name = "polymer"
labels = "1"
material = "PPC-LiTFSI"
[[geometry.phase]]
name = "ceramic"
labels = "2"
material = "LLZO"
"""
REST = cases.FLAT[cases.FLAT.index("[transport.polymer]") : cases.FLAT.index("[protocol]")]
STEPS = """
[protocol]
tolerance  = 0.2
first_step = "1 s"
[[protocol.step]]
kind            = "galvanostatic"
current_density = "-1 mA/cm^2"
until           = { time = "3 s" }
[[protocol.step]]
kind  = "rest"
until = { time = "2 s" }
[output]
profiles = 2
fields   = false
"""
SCRIPT = """
import json
from pathlib import Path
from multiscale import parallel
from multiscale.transport_cases import report, run
from multiscale.transport_cases.case import load_transport_case

report.write_transport_report = lambda *_: "none"

class Stop(Exception):
    pass

def go(name, out, stop=False):
    keep = run._Run._checkpoint
    def once(self):
        keep(self)
        raise Stop
    run._Run._checkpoint = once if stop else keep
    try:
        run.run_transport(load_transport_case(Path("FOLDER") / name), Path("FOLDER") / out, parallel.world(), 0.0)
    except Stop:
        pass
    finally:
        run._Run._checkpoint = keep

RUNS
"""


def image(folder):
    """A polymer below a ceramic of uneven height, in a few cubes."""
    heights = np.array([[2, 3], [1, 2]])
    labels = np.where(np.arange(4) < heights[..., None], 1, 2).astype(np.uint8)
    cases.write(folder, HEAD + IMAGE + REST + STEPS)
    np.save(folder / "image.npy", labels)


ON = {1: ("image", "grains", *ON_RANKS), 2: ("grains", "swelling", "moving", "free"), 3: ("image", "moving", "held")}
"""Cases run on so many ranks, each on one and on more: every rank costs a start and its forms. "image" is begun on 2, too."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Summaries and last rows by name and number of ranks; "image-again": begun on 2 ranks and finished on 3."""
    folder = tmp_path_factory.mktemp("ranks")
    image(folder / "image")
    grains(folder / "grains", GRAINS)
    for name, text in ON_RANKS.items():
        np.save(cases.write(folder / name, text) / "image.npy", np.ones((2, 2, 2), dtype=np.uint8))
    found = {}
    for ranks, names in ON.items():
        runs = [f'go("{name}", "{name}-{ranks}")' for name in names]
        runs += ['go("image", "image-again", True)'] if ranks == 2 else ['go("image", "image-again")'] if ranks == 3 else []
        done = python(SCRIPT.replace("RUNS", "\n".join(runs)).replace("FOLDER", str(folder)), ranks, timeout=TIME)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("goes on at" in done.stdout) == (ranks == 3)
        if ranks == 2:
            assert not (folder / "image-again" / "summary.json").exists()
        for out in [f"{name}-{ranks}" for name in names] + ["image-again"] * (ranks == 3):
            rows = table(folder / out / "time_series.csv")
            last = {name: float(value) for name, value in rows[-1].items() if value}
            found[out] = last | dict(numbers(json.loads((folder / out / "summary.json").read_text(encoding="utf-8"))))
    return found


TIME = 600.0
"""Seconds for one number of ranks: they need few, but each waits for the others where the processors are shared."""
NOISE = ("charge_balance", "unaccounted_ohm_cm2", "deposited_lithium_um", "charge_mAh_per_cm2", "charge_imbalance_1")
"""Rounding itself, at least where nothing flows."""
SMALL = {"Pa": 1.0, "m": 1e-17}
"""Differences that do not count, by unit."""
OTHERS = [f"{name}-{ranks}" for ranks in (2, 3) for name in ON[ranks]] + ["image-again"]


@pytest.mark.timeout(3 * TIME)
@pytest.mark.parametrize("other", OTHERS)
def test_any_number_of_ranks_finds_the_same(answers, other):
    """To 1e-8 of every number; stresses that vanish to 1 Pa, that of a strain of 1e-11."""
    name = other.split("-")[0]
    one, two = answers[f"{name}-1"], answers[other]
    assert one.keys() == two.keys()
    assert len(one) > 30
    for place, value in one.items():
        if name != "image" and ".hot_spots" in place:
            continue  # an even current is largest anywhere
        if not place.endswith(NOISE):
            assert two[place] == pytest.approx(value, rel=1e-8, abs=SMALL.get(place.rpartition("_")[2], 1e-9)), place


@pytest.mark.timeout(3 * TIME)
@pytest.mark.parametrize(("name", "film", "swelling"), [("held", -100e9 * 0.01 / 0.75, 1.25 / 0.75), ("free", 0.0, 1.0)])
def test_a_box_in_three_dimensions(answers, name, film, swelling):
    """Swelling by e = 1 % along each axis, the layer held in its plane is a film; a free body has no stress."""
    found = answers[f"{name}-1"]
    for axis, stress in (("xx", film), ("yy", film), ("zz", 0.0)):
        assert found[f"mean_stress_{axis}_in_layer_Pa"] == pytest.approx(stress, rel=1e-9, abs=1.0)
    assert found["working_face_moved_out_m"] == pytest.approx(2e-8 * swelling, rel=1e-9)
