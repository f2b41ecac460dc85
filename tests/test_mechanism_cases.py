"""The numbers of expected.toml of llzo-ppc, llzo-ppc/bare and lpscl-interphase, on the coarse mesh at the best values (no MD)."""

import tomllib
from types import SimpleNamespace

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
from multiscale.reporting.mechanisms import mechanisms
from multiscale.tables import answer_lines

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


def test_the_report_tells_each_mechanism_and_old_summaries_are_still_read():
    """The section needs what `combined` adds; a summary written before the shares were told gives the rest."""
    each = {"value": 1.4, "low": 0.1, "high": 9.0, "bound": None}
    summary = {
        "case": "x", "title": "y", "fitted_parameters": [], "error_split": {"a": 1.0},
        "ccd": each | {"unit": "mA/cm^2", "level": 0.9, "mechanism": "nucleation"},
        "mechanisms": {"initiation": each | {"bound": "lower"}, "nucleation": each},
        "first_mechanism": {"initiation": 0.25, "nucleation": 0.75},
        "at_best_values": {"value": 0.4, "unit": "mA/cm^2", "mechanism": "nucleation", "limited_by": "nucleation",
                           "each": {"initiation": 2.0, "nucleation": 0.4}},
        "nucleation": {"likeliest_depth_nm": 3.0, "local_overpotential_mV": 260.0, "rates": "classical theory"},
        "stripping_limit": each | {"unit": "mA/cm^2", "level": 0.9, "at_best_values": 8.4, "first_in_share_of_draws": 0.02},
        "attribution": {"lithium-creep": {
            "with": 1.0, "without": 2.0, "unit": "mA/cm^2", "factor": 0.5, "smallest": 0.5, "largest": 0.5,
            "without_bound": "lower", "factor_bound": "upper", "microstructures": 4,
        }},
    }  # fmt: skip
    run = SimpleNamespace(summary=summary)
    told = mechanisms(run)
    missing = [word for word in ("≥ 1.4", "75 %", "3 nm", "2 %", "8.4", "0.4") if word not in told]
    assert not missing, told
    lines = answer_lines(summary)
    assert "limited by nucleation" in lines
    assert "error of that smallest current from" in lines
    assert "factor ≤ 0.5" in lines
    assert "without it ≥ 2" in lines
    del summary["stripping_limit"]["first_in_share_of_draws"], summary["at_best_values"]["mechanism"]
    for name in ("without_bound", "factor_bound"):
        del summary["attribution"]["lithium-creep"][name]
    assert "of the draws" not in mechanisms(run)
    assert "factor 0.5" in answer_lines(summary)
    summary["mechanisms"].popitem()
    del summary["stripping_limit"]
    assert mechanisms(run) == ""
