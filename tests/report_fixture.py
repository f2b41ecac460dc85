"""Invented numbers in the shape that a run leaves behind; for tests of the report and the comparison alone."""

import json
from pathlib import Path

import numpy as np
from matplotlib.tri import Triangulation


def write_results(folder: Path) -> Path:
    """A results folder filled with invented numbers."""
    (folder / "atomistic").mkdir(parents=True, exist_ok=True)
    for name, value in {
        "summary.json": summary(),
        "parameters.json": {"parameters": parameters()}, "distribution.json": distribution(),
        "atomistic/arrhenius.json": phases(),
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    np.savez(folder / "current_map.npz", **current_map())
    return folder


def summary() -> dict:
    return {
        "case": "li-lpscl", "title": "Lithium on polycrystalline Li6PS5Cl <with its own> interphase",
        "question": "At which current density does plated lithium start to crack the electrolyte at a surface flaw?",
        "electrolyte": "Li6PS5Cl", "interlayer": None, "temperature_C": 25.0, "stack_pressure_MPa": 5.0,
        "ccd": {"value": 1.24, "low": 0.31, "high": 5.2, "level": 0.9, "unit": "mA/cm^2", "bound": None,
                "mechanism": "initiation"},
        "mechanisms": {"initiation": {"value": 1.24, "low": 0.31, "high": 5.2}}, "fitted_parameters": [],
        "error_split": {
            "geometry.flaw.depth": 0.46, "Li-Li6PS5Cl-interface.exchange_current_density": 0.21, "Li3P.ionic_conductivity": 0.14,
            "Li6PS5Cl.fracture_toughness": 0.12, "geometry.seed": 0.05, "surrogate": 0.02,
        },
        "focusing_factor": 8.31, "detour_factor": 1.07, "asr_ohm_cm2": 14.2,
        "asr_split": {"charge transfer": 9.1, "interphase": 3.9, "grains": 0.2, "grain boundaries": 1.0},
        "charge_balance": 3.1e-13,
        "state": {
            "flaw_pressure_MPa": 152.0, "overpotential_mV": 21.3, "stall_pressure_MPa": 158.0,
            "stress_intensity_MPa_sqrt_m": 0.33, "extrusion_share": 0.28,
        },
        "versions": {"multiscale": "0.1.0", "dolfinx": "0.9.0", "cp2k": None}, "hashes": {"case": "3f9c21aa01bc77de"},
        "wall_s": {"atomistic": 302.4, "continuum": 61.0},
    }  # fmt: skip


def parameters() -> list[dict]:
    assumed = {"reference": "assumption: flaws are of the order of a grain", "file": "case.toml"}
    md = {
        "potential": "lpscl 9c1e", "method": "Langevin MD, kinisi", "atoms": 416, "picoseconds": 40, "seeds": [1, 2, 3],
        "trajectory": "atomistic/Li3P-900K",
    }  # fmt: skip
    paper = {"reference": "reviews & handbooks <1-5 mS/cm>", "grade": "B"}
    return [
        row("Li6PS5Cl.ionic_conductivity", 0.21, "S/m", stderr=0.05, source=md, kind="md", confidence="computed",
            losers=[row("Li6PS5Cl.ionic_conductivity", 0.25, "S/m", low=0.1, high=0.5, source=paper)]),
        row("Li6PS5Cl.fracture_toughness", 3.5e5, "Pa*m^0.5", low=2.3e5, high=7e5, source=paper),
        row("Li3P.ionic_conductivity", 1.3e-2, "S/m", stderr=4e-3, source=md, kind="md", confidence="computed"),
        row("Li2S.ionic_conductivity", 2.2e-9, "S/m", bound="upper", source=md, kind="md", confidence="computed"),
        row("Li-Li6PS5Cl-interface.exchange_current_density", 10.0, "A/m^2", low=3.0, high=30.0, source=paper),
        row("geometry.flaw.depth", 1e-6, "m", low=3e-7, high=2e-6, source=assumed, kind="assumed", confidence="low"),
        row("conditions.temperature", 298.15, "K", source=assumed, kind="assumed", confidence="low"),
        row("conditions.stack_pressure", 5e6, "Pa", source=assumed, kind="assumed", confidence="low"),
    ]  # fmt: skip


def row(key: str, value: float, unit: str, **more: object) -> dict:
    nothing = dict.fromkeys(("stderr", "bound", "low", "high"))
    blank = {**nothing, "kind": "measured", "source": {}, "confidence": "memory"}
    return {"key": key, "value": value, "unit": unit, **blank, "conditions": {"temperature_K": 298.15}, "losers": [], **more}


def distribution() -> dict:
    samples = np.exp(np.random.default_rng(0).normal(np.log(1.24), 0.85, 4000))
    return {"unit": "mA/cm^2", "samples": samples.tolist(), "median": 1.24, "low": 0.31, "high": 5.2, "level": 0.9}


def phases() -> dict:
    """Three conductors with known Arrhenius laws and an insulator of which only bounds are known."""
    out: dict = {}
    for name, front, barrier in (("Li6PS5Cl", 2e-8, 2.9e4), ("Li3P", 5e-8, 3.6e4), ("Li", 3e-7, 5.2e4)):
        temperatures = (500.0, 650.0, 800.0, 1000.0)
        law = {T: front * float(np.exp(-barrier / 8.314462618 / T)) for T in temperatures}
        points = [{"temperature_K": T, "value": D, "stderr": 0.15 * D, "bound": None} for T, D in law.items()]
        room = front * np.exp(-barrier / 8.314 / 298.15)
        fit = {"log_prefactor": float(np.log(front)), "activation_energy": barrier, "covariance": [[0.12, 640.0], [640.0, 4.1e6]]}
        out[name] = {
            "points": points,
            "fit": fit,
            "room": {"value": room, "low": room / 2.5, "high": room * 2.5, "bound": None},
        }
    bounded = [{"temperature_K": T, "value": 4e-12, "stderr": None, "bound": "upper"} for T in (650.0, 800.0, 1000.0)]
    for name in ("Li2S", "LiCl"):
        points = bounded if name == "Li2S" else [{**p, "value": 2e-12} for p in bounded]
        out[name] = {"points": points, "fit": None, "room": {"value": points[0]["value"], "bound": "upper"}}
    return out


def current_map(cells: int = 60) -> dict:
    """A square of 4 µm with a slit at x = 2 µm, 1 µm deep: current rises as 1/√r at its tip."""
    line = np.linspace(0.0, 4e-6, cells + 1)
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    mesh = Triangulation(x, y)
    points = np.column_stack([x, y])
    centre = points[mesh.triangles].mean(axis=1)
    inside = (np.abs(centre[:, 0] - 2e-6) < 4e-8) & (centre[:, 1] < 1e-6)
    triangles, centre = mesh.triangles[~inside], centre[~inside]
    radius = np.hypot(centre[:, 0] - 2e-6, centre[:, 1] - 1e-6)
    nuclei = np.random.default_rng(3).uniform(0, 4e-6, (16, 2))
    grain = np.argmin(np.linalg.norm(centre[:, None] - nuclei, axis=2), axis=1)
    return {
        "points": points, "triangles": triangles, "current_density": 12.4 * (1 + np.sqrt(4e-7 / (radius + 1e-8))),
        "potential": -4e-3 * (4e-6 - y) / 4e-6, "region": (centre[:, 1] < 2e-8).astype(int), "grain": grain,
        "region_names": np.array(["grain", "interphase"]),
    }  # fmt: skip
