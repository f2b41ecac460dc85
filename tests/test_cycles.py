"""Cycles of a transport case: the same as its steps written out; what is written; refusals."""

import json

import pytest
import transport_cases as cases
from mpi4py import MPI

from coupling.errors import UserError
from multiscale.transport_cases.case import load_transport_case
from multiscale.transport_cases.run import run_transport

START = cases.FLAT.index("[protocol]")
HALVES = """\
[[protocol.step]]
kind            = "galvanostatic"
current_density = "-2 mA/cm^2"
until           = { time = "20 s" }

[[protocol.step]]
kind            = "galvanostatic"
current_density = "2 mA/cm^2"
until           = { time = "20 s" }

"""
COARSE = '[protocol]\ntolerance = 3e-3\nfirst_step = "1 s"\n'


def run(folder, text):
    case = load_transport_case(cases.write(folder, text))
    summary = run_transport(case, folder / "results", MPI.COMM_SELF)
    return summary, (folder / "results" / "time_series.csv").read_text()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    head = cases.FLAT[:START]
    by_key = run(tmp_path_factory.mktemp("cycles"), head + COARSE + "cycles = 2\n" + HALVES)
    written = run(tmp_path_factory.mktemp("written"), head + COARSE + 2 * HALVES)
    return by_key, written


def test_cycles_are_the_steps_written_out(both):
    (one, series), (other, long) = both
    assert series == long
    assert [step["step"] for step in one["steps"]] == [1, 2, 3, 4] == [step["step"] for step in other["steps"]]


def test_what_is_stripped_was_plated_and_a_cell_that_does_not_age_repeats_itself(both):
    (summary, _), _ = both
    charges = [step["charge_mAh_per_cm2"] for step in summary["steps"]]
    assert charges == pytest.approx([-2 * 20 / 3600, 2 * 20 / 3600] * 2, rel=1e-9)
    asr = [step["asr_ohm_cm2"] for step in summary["steps"]]
    assert asr[3] == pytest.approx(asr[1], rel=1e-3)
    assert json.dumps(summary)


def test_no_cycles_and_parts_of_cycles_are_refused(tmp_path):
    for wrong in ("0", "2.5", '"many"'):
        with pytest.raises(UserError, match="cycles"):
            load_transport_case(cases.write(tmp_path, cases.FLAT[:START] + COARSE + f"cycles = {wrong}\n" + HALVES))
