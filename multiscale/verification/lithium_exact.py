"""Exact values of lithium: its flow (V13, V13f, V13p), the wear of its contact (V13w), nuclei (V14), plating (V19).

Closed forms written out, independent of the code under test; sources in docs/physics.md section 2.
"""

import math
from typing import Any

_F, _R, _K, _T, _V = 96485.33212, 8.314462618, 1.380649e-23, 298.15, 1.300e-5


def groups() -> list[tuple[str, float, Any, dict[str, float]]]:
    """Id, tolerance, what solves it, and the exact value of every quantity."""
    from multiscale.verification import electrochemistry as cell
    from multiscale.verification import lithium as metal
    from multiscale.verification import wear

    flow = {
        "Narayan-Anand, rate at 0.8 MPa (1/s)": 4.25e4 * math.exp(-37e3 / (_R * _T)) * (0.8 / 0.95) ** (1 / 0.15),
        "Norton, stress doubled": 2**6.6,
        "Norton, 353.15 K over 298.15 K": math.exp(37e3 / _R * (1 / 298.15 - 1 / 353.15)),
    }
    radius = 2 * 0.5 * _V / (_F * 0.1)
    barrier, atoms = 4 / 3 * math.pi * radius**2 * 0.5, 4 / 3 * math.pi * radius**3 * 6.02214076e23 / _V
    nucleus = {
        "critical radius (m)": radius,
        "barrier (eV)": barrier / 1.602176634e-19,
        "atoms": atoms,
        "Zeldovich factor": math.sqrt(barrier / (3 * math.pi * _K * _T)) / atoms,
        "wall factor at 60 degrees": 0.15625,
    }
    lithium = {"thickness per 1 mAh/cm2 (m)": 36000 * _V / _F, "velocity at 1 mA/cm2 (m/s)": 10 * _V / _F}
    pressed = {"Norton, pressed to a true strain of one: force over the first section (Pa)": 0.8e6 * 2 ** (1 / 6.6) * math.e}
    return [
        ("V13", 1e-4, metal.flow_rates, flow), ("V13f", 1e-3, metal.finite_strain, pressed),
        ("V13p", 1e-4, metal.slit, _slit()), ("V13w", 1e-6, wear.worn_contact, _worn()),
        ("V14", 1e-4, cell.nucleation, nucleus), ("V19", 1e-4, cell.plating, lithium),
    ]  # fmt: skip


def _slit() -> dict[str, float]:
    """Plane Poiseuille flow of a power-law fluid τ = k γ̇^m in a slit of half opening 1 µm, Q = 2m/(2m + 1) h² (G h/k)^(1/m).

    Source: Bird, Stewart & Lightfoot, Transport Phenomena, from memory; m = 1: Q = 2 G h³/(3 k). Norton's law in shear,
    ε̇ = γ̇/√3 = A (√3 τ)ⁿ: m = 1/n, k = 3^(-(n + 1)/(2n)) A^(-1/n).
    """
    n, half, gradient = 6.6, 1e-6, 0.5e12
    prefactor = 1e-3 / 0.8e6**n
    m, k = 1 / n, 3 ** (-(n + 1) / (2 * n)) * prefactor ** (-1 / n)
    flow = 2 * m / (2 * m + 1) * half**2 * (gradient * half / k) ** (1 / m)
    return {
        "Norton, n = 6.6, slit of half opening 1 um at 0.5 MPa/um: flow per width (m2/s)": flow,
        "the same by the law of a filament": flow,
        "Norton, n = 1, of viscosity 2.66667e8 Pa s: flow per width (m2/s)": 2 * gradient * half**3 / (3 * 0.8e6 / 3e-3),
        "plated evenly into a closed slit 10 um long, by the filament: pressure at its end over that of the same flow all along":
            1 / (1 + 1 / n),
    }  # fmt: skip


def _worn() -> dict[str, float]:
    """Contact after three cycles without creep, strip first (`mechanics/interface_wear.py`): an affine map of the share.

    10 mA/cm² for 60 s; voids 2 µm deep, of which plating fills 0.4 of its volume; vacancies take 6.3 nm/s away.
    """
    recession, vacancies, depth, refilled, time, cycles = 100 * _V / _F, 7e-15 * 9 / 10e-6, 2e-6, 0.4, 60.0, 3
    grown = math.exp(vacancies * time / depth)
    shift = refilled * recession * time / depth - recession / vacancies * (grown - 1)
    limit = shift / (grown - 1)
    after = (1 + limit) * grown**cycles - limit
    half_way = math.log((0.5 + limit) / (1 + limit)) / math.log(grown)
    return {
        "share that touches after three cycles": after,
        "cycles until half of the face touches": half_way,
        "without vacancies: share after three cycles": 1 - 3 * recession * time / depth * (1 - refilled),
    }
