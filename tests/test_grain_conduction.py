"""Steady conduction through grains whose boundaries resist, in 3-D: a closed form, a case, refusals."""

import re
from dataclasses import replace

import numpy as np
import pytest
from dolfinx import mesh
from mpi4py import MPI
from test_conduction_case import write
from test_transport_proof import cube

from coupling.errors import UserError
from multiscale.conduction.case import load_conduction_case
from multiscale.conduction.grains import JOIN, Boundaries, GrainConduction
from multiscale.conduction.run import _numbers as numbers
from multiscale.conduction.run import run_conduction
from multiscale.transport.interfaces import outer_alone

PLAIN = 'grain_size = "1.5 um"'
BOUNDED = PLAIN + '\ngrain_boundary = { material = "LLZO-boundary", width = "5 nm" }'
STATED = PLAIN + '\ngrain_boundary = { conductivity = "5e-3 S/m", source = "test", width = "5 nm" }'


def test_two_grains_and_an_interlayer_in_series():
    """R A = L/κ + δ (1/κ' - 1/κ): the boundary takes the place of grain; the focus on a plane electrode is 1."""
    domain = outer_alone(cube(4, 1e-6))
    domain = replace(domain, regions={"grain 0": 1, "grain 1": 2})
    problem = GrainConduction(
        domain, {"grain 0": 0.1, "grain 1": 0.1}, ["grain 0", "grain 1"], Boundaries(1e-3, 4e-9), ["bottom"], ["top"]
    )
    found = problem.solve()
    grain, between = 1e-6 / 0.1, 4e-9 * (1 / 1e-3 - 1 / 0.1)
    assert found.resistance * 1e-12 == pytest.approx(grain + between, rel=1e-9)
    assert found.share["grain boundaries"] == pytest.approx(between / (grain + between), rel=1e-9)
    assert found.imbalance < 1e-10
    assert found.detour_factor == pytest.approx(1, rel=1e-9)
    assert problem.focusing_factor(1.5e-6) == pytest.approx(1, rel=1e-9)


def test_the_joint_of_grains_and_interlayer_is_below_a_millionth():
    """Two grains, 4 nm between them, and an interlayer in series: R is off by the joint, JOIN of the better conductor across."""
    whole = outer_alone(cube(4, 1e-6))
    z = mesh.compute_midpoints(whole.mesh, 3, np.arange(len(whole.cell_tags.values), dtype=np.int32))[:, 2]
    slabs = mesh.meshtags(whole.mesh, 3, whole.cell_tags.indices, np.digitize(z, [0.25e-6, 0.5e-6]).astype(np.int32) + 1)
    domain = replace(whole, cell_tags=slabs, regions={"grain 0": 1, "grain 1": 2, "interlayer": 3})
    conductivity = {"grain 0": 0.1, "grain 1": 0.1, "interlayer": 0.02}
    found = GrainConduction(domain, conductivity, ["grain 0", "grain 1"], Boundaries(1e-3, 4e-9), ["bottom"], ["top"]).solve()
    exact = 0.5e-6 / 0.1 + 0.5e-6 / 0.02 + 4e-9 * (1 / 1e-3 - 1 / 0.1)
    joint = JOIN * 1e-6 / 0.1
    assert joint < 1e-6 * exact
    assert found.resistance * 1e-12 - exact == pytest.approx(joint, rel=1e-2)


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grains")
    case = load_conduction_case(write(folder / "case", "layered-polycrystal", (PLAIN, BOUNDED)))
    return run_conduction(case, folder / "out", MPI.COMM_SELF)


def test_boundaries_of_a_case_add_their_resistance(bounded, tmp_path):
    case = load_conduction_case(write(tmp_path / "plain", "layered-polycrystal"))
    plain = run_conduction(case, tmp_path / "out", MPI.COMM_SELF)["asr_ohm_cm2"]
    asr = bounded["asr_ohm_cm2"]
    assert bounded["charge_balance"] < 1e-10
    assert sum(value for name, value in asr.items() if name != "total") == pytest.approx(asr["total"], rel=1e-9)
    crossing = 1e4 * 5e-9 * (1 / 0.005 - 1 / 0.1)  # grains of half the height: about one boundary on the way
    assert 0.5 * crossing < asr["total"] - plain["total"] < 2 * crossing
    assert asr["interphase"] == pytest.approx(plain["interphase"], rel=1e-3)


def test_a_stated_conductivity_is_that_of_the_ratio(tmp_path):
    by_ratio, stated = (
        numbers(load_conduction_case(write(tmp_path / name, "layered-polycrystal", (PLAIN, change))))[2]
        for name, change in (("ratio", BOUNDED), ("stated", STATED))
    )
    assert by_ratio.conductivity == pytest.approx(stated.conductivity) == pytest.approx(5e-3)
    assert by_ratio.width == stated.width == 5e-9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (BOUNDED.replace("LLZO-boundary", "LLZO-boundry"), "LLZO-boundary"),
        (BOUNDED.replace(', width = "5 nm"', ""), "width"),
        (STATED.replace('source = "test", ', ""), "say where the conductivity comes from"),
        (STATED.replace("nm", "um"), "mesh the layer instead"),
    ],
)
def test_wrong_boundaries_are_refused(tmp_path, change, told):
    folder = write(tmp_path / "case", "layered-polycrystal", (PLAIN, change))
    with pytest.raises(UserError, match=re.escape(told)) as caught:
        run_conduction(load_conduction_case(folder), tmp_path / "out", MPI.COMM_SELF)
    assert "case.toml:" in str(caught.value)
