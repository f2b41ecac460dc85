"""The numbers of expected.toml, from the first case's own reference solution."""

import math
import tomllib

import pytest
from expected_rows import require
from launch import ROOT

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME
from multiscale.case import load_case
from multiscale.critical_current.answer import reference_solution
from multiscale.parameters import continuum_inputs, nominal, resolve
from multiscale.progress import Narrator

CASE = ROOT / "cases" / "li-lpscl"
ROWS = tomllib.loads((CASE / "expected.toml").read_text(encoding="utf-8"))["expected"]


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Every quantity that expected.toml may name."""
    from mpi4py import MPI

    case = load_case(CASE)
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    inputs = continuum_inputs(case, leaf)
    folder = tmp_path_factory.mktemp("reference")
    found = reference_solution(case, inputs, folder, MPI.COMM_SELF, Narrator(False))
    figures, state = found.figures, found.critical["state"]
    clamp = state["stress_intensity"] / (1.1215 * math.sqrt(math.pi * inputs["flaw_depth"]))
    straight = case.settings.geometry.electrolyte.thickness / inputs["grain_conductivity"]
    shift = inputs["stack_pressure"] * LITHIUM_MOLAR_VOLUME / FARADAY
    kinetic = figures["asr"]["charge_transfer"] - shift / state["current_density"]
    return {
        "charge_balance": figures["charge_imbalance"],
        "asr_sum_over_total": sum(figures["asr"].values()) / figures["asr_total"],
        "charge_transfer_over_linear_kinetics": kinetic
        / (GAS_CONSTANT * inputs["temperature"] / (FARADAY * inputs["exchange_current_density"])),
        "stress_intensity_over_half_plane": clamp / state["flaw_pressure"],
        "grain_resistance_over_straight_path": (figures["asr"]["grain"] + figures["asr"]["boundary"]) / straight,
        "detour_factor": figures["detour_factor"],
    }


@pytest.mark.parametrize("row", ROWS, ids=[row["quantity"] for row in ROWS])
def test_the_case_reproduces(computed, row):
    require(row, computed[row["quantity"]])
