"""The mechanisms beside initiation: nucleation inside the interlayer, and voids on the stripped electrode."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from multiscale.case import Case
from multiscale.critical_current.internal_nucleation import (
    NucleationInputs,
    critical_currents,
    critical_overpotential,
    draw_islands,
    log_face_rate,
    profile,
)
from multiscale.mechanics.extrusion import Creep
from multiscale.mechanics.voiding import stripping_limit
from multiscale.parameters import continuum_inputs, interlayer_values, nominal, passage_resistance
from multiscale.transport.interphase_leakage import LeakyCell

LN10 = float(np.log(10))


def nucleation_inputs(case: Case, leaf: Mapping[str, Any]) -> NucleationInputs:
    """Inputs of nucleation from one value of every leaf, or from an array (n,) of each."""
    wanted, geometry = case.settings.nucleation, case.settings.geometry
    assert wanted is not None
    assert geometry.interlayer is not None
    inputs = continuum_inputs(case, leaf)

    def of(material: str, quantity: str) -> Any:
        return leaf[f"{material}.{quantity}"]

    cell = LeakyCell(
        geometry.interlayer.thickness, geometry.electrolyte.thickness,
        interlayer_values(case, leaf)[0], inputs["grain_conductivity"],
        of(wanted.electrons, "contact_electronic_conductivity"), of(wanted.electrons, "tunnel_barrier"),
        of(wanted.electrons, "interphase_electronic_conductivity"), of(wanted.electrons, "electronic_conductivity"),
        passage_resistance(case, leaf),
    )  # fmt: skip
    nucleus = wanted.nucleus
    return NucleationInputs(
        cell, inputs["exchange_current_density"], inputs["cathodic_transfer_coefficient"], inputs["temperature"],
        of(nucleus, "surface_energy"), of(nucleus, "contact_angle"), of(nucleus, "confinement") + inputs["stack_pressure"],
        of(nucleus, "site_density"), of(nucleus, "self_diffusivity"), of(nucleus, "hop_length"), case.rates,
    )  # fmt: skip


def rate_errors(case: Case, count: int) -> np.ndarray:
    """Draws (count,) of the error of the rates from MD, in standard errors of their table's ln J."""
    return np.random.default_rng([case.settings.uncertainty.seed, 7]).standard_normal(count)


def nucleation_currents(case: Case, leaves: Mapping[str, np.ndarray], normal: np.ndarray) -> np.ndarray:
    """Critical current of nucleation of every draw, shape (n,), A/m²; inf where none is found. `normal`: of `rate_errors`."""
    wanted = case.settings.nucleation
    assert wanted is not None
    count = len(normal)
    full = {key: np.broadcast_to(value, (count,)) for key, value in leaves.items()}
    inputs = replace(nucleation_inputs(case, full), table_normal=normal)
    return critical_currents(inputs, wanted.area, wanted.half_cycle, count)


def nucleation_figures(case: Case, parameters: Mapping[str, Any], initiation: float) -> dict[str, Any]:
    """What the mechanism says at the best values: critical current, place, seeded draw, rate where initiation is critical.

    Args:
        case, parameters: the case and its resolved parameters.
        initiation: critical current of initiation at the best values, A/m².

    Returns:
        Lengths in nm, currents in mA/cm², rates as decimal logarithms of 1/(m² s).
    """
    wanted = case.settings.nucleation
    assert wanted is not None
    leaf = {key: float(value[0]) for key, value in nominal(parameters).items()}
    inputs = nucleation_inputs(case, leaf)
    η = float(critical_overpotential(inputs, wanted.area, wanted.half_cycle, 1)[0])
    found: dict[str, Any] = {"half_cycle_s": wanted.half_cycle, "area_cm2": 1e4 * wanted.area}
    found["rates"] = "records" if case.rates else "classical theory"
    if not np.isfinite(η):
        return found | {"critical_mA_per_cm2": None}
    current = float(inputs.current_density(η))
    y, logs = profile(inputs, η)
    near = y[logs >= logs.max() - LN10]
    found |= {
        "critical_mA_per_cm2": current / 10, "overpotential_mV": 1e3 * η,
        "local_overpotential_mV": -1e3 * float(inputs.cell.lithium_potential(y[np.argmax(logs)], current, η)),
        "likeliest_depth_nm": 1e9 * float(y[np.argmax(logs)]), "closed_form_depth_nm": 1e9 * inputs.cell.lowest(current, η),
        "decade_nm": [1e9 * float(near.min()), 1e9 * float(near.max())],
        "electronic_share": float(inputs.cell.electronic_share(current, η)),
        "at_initiation_log10_rate": _rate_at(inputs, initiation),
    }  # fmt: skip
    cycles = wanted.sampled_half_cycles
    if cycles:
        islands = draw_islands(inputs, η, wanted.area, wanted.half_cycle, cycles, case.settings.uncertainty.seed)
        found["sampled"] = {
            "half_cycles": cycles, "share_with_island": islands.share, "mean_islands": float(islands.counts.mean()),
            "depth_quartiles_nm": [1e9 * float(q) for q in np.quantile(islands.depths, (0.25, 0.5, 0.75))]
            if len(islands.depths) else None,
        }  # fmt: skip
    return found


def _rate_at(inputs: NucleationInputs, current: float) -> float | None:
    """Decimal logarithm of the rate per face (1/(m² s)) at a current density (A/m²); None where nothing nucleates."""
    from multiscale.transport.kinetics import overpotential_at

    if current <= 0:
        return None
    αc = float(inputs.cathodic_transfer)
    η = -overpotential_at(-current, float(inputs.exchange_current_density), 1 - αc, αc, float(inputs.temperature))
    rate = float(log_face_rate(inputs, η)) / LN10
    return rate if np.isfinite(rate) else None


def voiding_currents(case: Case, leaves: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stripping limit of every draw and its part by creep, shape (n,) each, A/m².

    The metal is taken in bulk (size factor 1): contact voids are of the order of a micrometre, not of a flaw's mouth.
    """
    wanted, metal = case.settings.voiding, case.settings.interface.metal
    assert wanted is not None
    count = len(next(iter(leaves.values())))

    def column(key: str) -> np.ndarray:
        return np.broadcast_to(leaves[key], (count,))

    own = [column(f"{wanted.voids}.{name}") for name in (
        "void_radius", "self_diffusivity", "vacancy_supersaturation", "vacancy_sink_distance",
    )]  # fmt: skip
    creep = [column(f"{metal}.creep_{name}") for name in ("reference_rate", "reference_stress", "exponent", "activation_energy")]
    pressure, temperature = column("conditions.stack_pressure"), column("conditions.temperature")
    limits = []
    for k in range(count):
        law = Creep(*(float(values[k]) for values in creep))
        radius, diffusivity, excess, distance = (float(values[k]) for values in own)
        limits.append(stripping_limit(float(pressure[k]), radius, law, float(temperature[k]), diffusivity, excess, distance))
    return np.array([limit.total for limit in limits]), np.array([limit.creep for limit in limits])
