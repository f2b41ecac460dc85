"""A closed form of a cell's critical current, rough but of the right shape: what the surrogate of the model runs starts from.

The flaw grows at p = K_Ic/(1.1215 √(π a)) (edge crack, docs/physics.md 1.6). Until then lithium plates into it as long as it
does not stall (Δ = V p/F) or creeps out of its mouth: the two currents are added. The model runs correct the result, so
that only what this estimate does not know is left to the surrogate.
"""

from collections.abc import Mapping

import numpy as np

from coupling.constants import FARADAY, GAS_CONSTANT, LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from multiscale.comparison.cells import Cell
from multiscale.critical_current.geometry import TIP_SHARE

POINTS = 40
"""Places along the flaw at which its opening is taken."""
EDGE_CRACK_MOUTH = 1.454
"""Opening of an edge crack's mouth over that of the same half of a crack in an infinite body (Tada, Paris & Irwin)."""
Inputs = Mapping[str, np.ndarray]
"""Inputs of the continuum model, (n,) each; SI units."""


def estimate(cell: Cell, inputs: Inputs) -> np.ndarray:
    """Critical current density, A/m², (n,): stall plus extrusion."""
    pressure = fracture_pressure(cell, inputs)
    found = stall_current(cell, inputs, pressure)
    return found + extrusion_current(cell, inputs, pressure) if cell.case.settings.physics.lithium_creep else found


def fracture_pressure(cell: Cell, inputs: Inputs) -> np.ndarray:
    """Pressure in an edge crack at which it grows, Pa: K_Ic/(1.1215 √(π a))."""
    at_boundary = cell.case.settings.geometry.flaw[0].at == "grain-boundary"
    toughness = inputs["boundary_toughness" if at_boundary else "grain_toughness"]
    return toughness / (1.1215 * np.sqrt(np.pi * inputs["flaw_depth"]))


def stall_current(cell: Cell, inputs: Inputs, pressure: np.ndarray) -> np.ndarray:
    """Current density of a flat electrode that stalls at `pressure`, A/m².

    Δ = V p/F; Butler–Volmer at Δ, and Ohm's σ Δ/d of a layer of thickness d, one after the other: 1/i = 1/i_BV + d/(σ Δ).
    """
    drop = LITHIUM_MOLAR_VOLUME / FARADAY * pressure
    scaled = drop * FARADAY / (GAS_CONSTANT * inputs["temperature"])
    cathodic = inputs["cathodic_transfer_coefficient"]
    kinetic = inputs["exchange_current_density"] * (np.exp(cathodic * scaled) - np.exp((cathodic - 1.0) * scaled))
    layer = cell.case.settings.geometry.interlayer
    if layer is None:
        return kinetic
    return 1.0 / (1.0 / kinetic + layer.thickness / (inputs["interlayer_conductivity"] * drop))


def extrusion_current(cell: Cell, inputs: Inputs, pressure: np.ndarray) -> np.ndarray:
    """Applied current density whose share of the flaw creeps out of it at `pressure`, A/m²: F Q/(V W) · (W + 2a)/(2a).

    W is the cell's width; lithium surface and both faces of the flaw, depth a, are taken to plate evenly.

    Q = (p/Δp₁)ⁿ with Δp₁ = ∫ [(1 − s/a)/Q₁(h)]^(1/n) ds and Q₁ of `multiscale.mechanics.extrusion.slit_flow`; the half opening
    h is the wedge of the flaw and what the pressure opens, 1.454 · 2 p a (1 − ν²)/E · √(1 − (s/a)²).
    """
    geometry, exponent = cell.case.settings.geometry, inputs["creep_exponent"]
    place = np.linspace(0.0, 1.0, POINTS, endpoint=False)[None, :]
    depth, mouth = inputs["flaw_depth"][:, None], geometry.flaw[0].mouth
    elastic = 2 * pressure * inputs["flaw_depth"] * (1 - inputs["poissons_ratio"] ** 2) / inputs["youngs_modulus"]
    opening = mouth / 2 * (1 - place) + TIP_SHARE * mouth * place
    opening = opening + EDGE_CRACK_MOUTH * elastic[:, None] * np.sqrt(1 - place**2)
    inverse = 1 / inputs["temperature"] - 1 / ROOM_TEMPERATURE
    rate = inputs["creep_reference_rate"] * np.exp(-inputs["creep_activation_energy"] / GAS_CONSTANT * inverse)
    strength = (inputs["creep_size_factor"] * inputs["creep_reference_stress"])[:, None]
    power = exponent[:, None]
    flow = np.log(2 * np.sqrt(3) * rate / (exponent + 2))[:, None] + 2 * np.log(opening)
    flow = flow + power * np.log(np.sqrt(3) * opening / strength)
    gradient = np.exp((np.log(1 - place) - flow) / power)
    drop = np.trapezoid(np.column_stack([gradient, np.zeros(len(gradient))]), dx=1.0 / POINTS, axis=1) * depth[:, 0]
    faces = 2 * inputs["flaw_depth"]
    per_flow = FARADAY / LITHIUM_MOLAR_VOLUME * (1 / geometry.width + 1 / faces)
    return per_flow * np.exp(exponent * (np.log(pressure) - np.log(drop)))
