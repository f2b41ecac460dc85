"""Invented results of a tip and a memristor case, as their runs leave them: what their reports are tested on."""

import csv
import json
import math
import shutil
from pathlib import Path

from launch import ROOT

SIDE, CYCLES = 12, 5
PARAMETERS = [{
    "key": "LLZO.fracture_toughness", "value": 1e6, "unit": "Pa m^0.5", "stderr": None, "low": 0.8e6, "high": 1.2e6,
    "kind": "measured", "confidence": "memory", "source": "an article <b>with</b> marks", "losers": [],
}]  # fmt: skip


def _case(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "cases" / name / "case.toml", folder / "case.toml")
    (folder / "results").mkdir()
    (folder / "results" / "parameters.json").write_text(json.dumps({"parameters": PARAMETERS}), encoding="utf-8")
    return folder


def _write_rows(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def tip(folder: Path) -> Path:
    """A tip case whose last point did not trigger."""
    case = _case(folder, "llzo-tip")
    rows = [
        {"x_m": 1e-7 * (k % SIDE), "y_m": 1e-7 * (k // SIDE), "grain": k % 3, "on_boundary": int(k % 5 == 0),
         "boundary_distance_m": 1e-8, "toughness_Pa_sqrt_m": 1e6,
         "trigger_V": 0.6 - 0.15 * (k % 5 == 0) + 0.001 * k if k < SIDE**2 - 1 else "", "nucleation_V": 0.1, "pressure_Pa": 4e9,
         "charge_C": 1e-15, "mechanism": "fracture"} for k in range(SIDE**2)
    ]  # fmt: skip
    _write_rows(case / "results" / "map.csv", rows)
    spread = {"median": 0.6, "p05": 0.5, "p95": 0.7, "least": 0.45, "triggered": 100, "points": 110}
    told = {
        "case": "llzo-tip", "title": "A <b>tip</b>", "question": "When?", "kind": "tip", "points": SIDE**2, "grains": 3,
        "trigger_V": {"all": spread, "grain": spread, "boundary": spread | {"median": 0.45}}, "nucleation_V": spread,
        "held_back_by": {"fracture": 0.9, "nucleation": 0.1}, "boundary_share": 0.2, "largest_pressure_GPa": 4.0,
        "rate_V_per_s": 0.1, "nominal": {"grain_V": 0.6, "boundary_V": 0.45},
        "by_radius": [{"radius_nm": 10.0, "grain_V": 0.7, "boundary_V": 0.5},
                      {"radius_nm": 20.0, "grain_V": 0.6, "boundary_V": None}],
        "ranges": [{"parameter": "LLZO.fracture_toughness", "at_low_V": 0.5, "at_high_V": 0.7},
                   {"parameter": "Li.shear_modulus", "at_low_V": 0.6, "at_high_V": None}],
        "pit": {"intensity_sqrt_m": 1.0, "compliance_m3_per_Pa": 1.0}, "fitted_parameters": [],
        "versions": {"multiscale-li": "0"},
        "hashes": {"case": "0", "run": "0"}, "wall_s": {"run": 1.0},
    }  # fmt: skip
    (case / "results" / "summary.json").write_text(json.dumps(told), encoding="utf-8")
    return case


def memristor(folder: Path) -> Path:
    """A memristor case of five cycles, the last of which did not bridge."""
    case = _case(folder, "llzo-memristor")
    rows = [
        {"cycle": k, "nucleation_V": 0.1, "set_V": round(0.3 + 0.01 * k, 2) if k < CYCLES else "",
         "reset_V": -0.07 if k < CYCLES else "",
         "on_ohm": 5e3, "off_ohm": 1e12} for k in range(1, CYCLES + 1)
    ]  # fmt: skip
    _write_rows(case / "results" / "cycles.csv", rows)
    loops = [
        {"cycle": number, "voltage_V": math.sin(0.1 * k), "current_A": 1e-9 * math.sin(0.1 * k), "length_m": 1e-9 * (k % 20)}
        for number in (1, 2, CYCLES) for k in range(63)
    ]  # fmt: skip
    _write_rows(case / "results" / "loops.csv", loops)
    spread = {"median": 0.34, "least": 0.31, "largest": 0.36, "cycles": CYCLES - 1}
    told = {
        "case": "llzo-memristor", "title": "A <b>switch</b>", "question": "When?", "kind": "memristor", "cycles": CYCLES,
        "forming_V": 0.31, "set_V": spread, "reset_V": spread | {"median": -0.07}, "on_ohm": spread, "off_ohm": spread,
        "on_off_ratio": {"median": 2e8, "least": 1e8, "largest": 3e8}, "closed_form": {"on_off_ratio": 2e8},
        "published": {"on_off_ratio": 1e5, "source": "an abstract <i>read</i>", "computed_over_published": 2e3},
        "electrode_radius_at_published_ratio_m": 1e-5, "charge_balance": 1e-10, "charge_not_returned": 0.0,
        "ranges": [{"parameter": "LLZO.ionic_conductivity", "value": 0.01, "forming_V": 0.3, "set_V": None, "reset_V": -0.1,
                    "on_off_ratio": 1e7}], "largest_current_density_A_per_m2": 1e6, "largest_current_A": 1e-9,
        "fitted_parameters": [], "versions": {"multiscale-li": "0"}, "hashes": {"case": "0", "run": "0"}, "wall_s": {"run": 1.0},
    }  # fmt: skip
    (case / "results" / "summary.json").write_text(json.dumps(told), encoding="utf-8")
    return case


DEVICES = {"tip": tip, "memristor": memristor}
