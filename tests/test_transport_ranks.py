"""Transport cases on geometries of `meshes/`: the same on 1, 2 and 3 ranks, and after a restart on another number of them."""

import json

import numpy as np
import pytest
import transport_cases as cases
from launch import python
from test_transport_case import numbers
from test_transport_faces import GRAINS, grains
from test_transport_maps import HEAD

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


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Summaries by name and number of ranks; "again": begun on 2 ranks and finished on 3."""
    folder = tmp_path_factory.mktemp("ranks")
    image(folder / "image")
    grains(folder / "grains", GRAINS)
    found = {}
    for ranks in (1, 2, 3):
        runs = [f'go("{name}", "{name}-{ranks}")' for name in ("image", "grains")]
        runs += ['go("image", "image-again", True)'] if ranks == 2 else ['go("image", "image-again")'] if ranks == 3 else []
        done = python(SCRIPT.replace("RUNS", "\n".join(runs)).replace("FOLDER", str(folder)), ranks, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("goes on at" in done.stdout) == (ranks == 3)
        if ranks == 2:
            assert not (folder / "image-again" / "summary.json").exists()
    for out in ("image-1", "image-2", "image-3", "image-again", "grains-1", "grains-2", "grains-3"):
        found[out] = dict(numbers(json.loads((folder / out / "summary.json").read_text(encoding="utf-8"))))
    return found


NOISE = ("charge_balance", "unaccounted_ohm_cm2", "deposited_lithium_um", "charge_mAh_per_cm2")
"""Rounding itself, at least where nothing flows."""


@pytest.mark.parametrize("other", ["image-2", "image-3", "image-again", "grains-2", "grains-3"])
def test_any_number_of_ranks_finds_the_same(answers, other):
    one, two = answers[other.split("-")[0] + "-1"], answers[other]
    assert one.keys() == two.keys()
    assert len(one) > 30
    for place, value in one.items():
        if not place.endswith(NOISE):
            assert two[place] == pytest.approx(value, rel=1e-8, abs=1e-9), place
