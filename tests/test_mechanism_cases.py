"""The numbers of expected.toml of llzo-ppc, llzo-ppc/bare and lpscl-interphase, on the coarse mesh at the best values (no MD)."""

import tomllib

import numpy as np
import pytest
from expected_rows import require
from launch import ROOT
from mpi4py import MPI

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME
from multiscale.case import load_case
from multiscale.critical_current.continuum import initiation_model
from multiscale.critical_current.observables import CellMeter
from multiscale.critical_current.other_mechanisms import nucleation_figures, voiding_currents
from multiscale.parameters import continuum_inputs, nominal, resolve

CASES = ROOT / "cases"


def rows(name):
    return tomllib.loads((CASES / name / "expected.toml").read_text(encoding="utf-8"))["expected"]


def initiation(name):
    """What the rows of a garnet case may name."""
    case = load_case(CASES / name)
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    inputs = continuum_inputs(case, leaf)
    model = initiation_model(case, inputs, case.settings.geometry.seed, MPI.COMM_SELF, fine=False)
    critical = model.critical_current()
    figures = CellMeter(model, 20e-9).read()
    layer, share = case.settings.geometry.interlayer, model.cell.contact_share
    film = GAS_CONSTANT * inputs["temperature"] / (FARADAY * inputs["exchange_current_density"])
    film += layer.thickness / inputs["interlayer_conductivity"] if layer else 0.0
    pressure = critical.state.flaw_pressure
    return {
        "charge_balance": figures.charge_imbalance,
        "asr_sum_over_total": sum(figures.asr.values()) / figures.asr_total,
        "film_resistance_ohm_cm2": 1e4 * film,
        "critical_current_over_film_limit": critical.current_density * film / (share * pressure * LITHIUM_MOLAR_VOLUME / FARADAY),
        "contact_share": share,
        "creep_share": critical.state.extrusion_share,
    }


@pytest.mark.parametrize("name", ["llzo-ppc", "llzo-ppc/bare"])
def test_the_garnet_cases_reproduce(name):
    computed = initiation(name)
    for row in rows(name):
        require(row, computed[row["quantity"]])


def test_the_interphase_case_reproduces():
    case = load_case(CASES / "lpscl-interphase")
    parameters = resolve(case)
    found = nucleation_figures(case, parameters, 1.7)
    total, creep = voiding_currents(case, nominal(parameters))
    computed = {
        "likeliest_depth_over_closed_form": found["likeliest_depth_nm"] / found["closed_form_depth_nm"],
        "likeliest_depth_nm": found["likeliest_depth_nm"],
        "share_of_half_cycles_with_island": found["sampled"]["share_with_island"],
        "critical_current_of_nucleation_mA_per_cm2": found["critical_mA_per_cm2"],
        "stripping_limit_mA_per_cm2": float(total[0]) / 10,
        "creep_share_of_stripping_limit": float(np.ravel(creep / total)[0]),
    }
    for row in rows("lpscl-interphase"):
        require(row, computed[row["quantity"]])
