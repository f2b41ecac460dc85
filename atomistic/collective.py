"""Collective conductivity from a trajectory: the displacement of all charge at once (Einstein and Helfand), and the Haven ratio.

    σ = (1 / 6 k_B T V) d/dt <(Σ_k z_k e Δr_k)²>,    H_R = D_self / D_σ,    D_σ = σ k_B T V / (N z² e²),

one sum over all ions, so that a long run tells it and a big cell does not (`onsager`). Source: docs/physics.md 1.10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atomistic.brownian import Judgement, judge
from atomistic.onsager import charges_of, displacements, fit
from coupling.constants import BOLTZMANN, ELEMENTARY_CHARGE
from coupling.errors import UserError
from coupling.record import Property


@dataclass(frozen=True)
class Conductivity:
    """Collective conductivity of one run: σ and its error (S/m), charge diffusivity D_σ and its error (m²/s).

    `limit`: upper limit (95 %) of σ, S/m, None where the motion bears none; `judged`: whether value and error may stand.
    `lags` (n,), fs, and `curve` <ΔP²> (n,), Å² and elementary charges squared: what was fitted; `slope` per fs.
    `low`, `high`: 95 % limits of σ, S/m, None where the error says all.
    """

    value: float
    stderr: float
    diffusivity: float
    diffusivity_stderr: float
    carriers: int
    limit: float | None
    judged: Judgement
    window: tuple[float, float]
    lags: np.ndarray
    curve: np.ndarray
    slope: float
    low: float | None = None
    high: float | None = None


def charge_conductivity(
    positions: np.ndarray,
    labels: Sequence[str],
    masses: np.ndarray,
    charges: Mapping[str, float],
    frame_interval: float,
    temperature: float,
    volume: float,
    window: tuple[float, float] | None = None,
) -> Conductivity:
    """Conductivity from the displacement of all charge, P = Σ z_i R_i (Einstein–Helfand), with an error of its own.

    The species without a charge in `charges` (or with charge 0) make the reference frame where there are any, else the centre
    of mass does. D_σ = σ k_B T V / (N z² e²) counts the charged ions N, z² their mean square charge.

    Args:
        charges: of the moving species, elementary charges; the others are as `einstein`.

    Raises:
        UserError: no charge, a charged species that is not in the trajectory, and what `einstein` refuses.
    """
    carrying = charges_of(charges, labels)
    framework = tuple(sorted(set(labels) - set(carrying)))
    species, sums = displacements(positions, labels, masses, framework)
    charge = np.einsum("fsx,s->fx", sums, np.array([carrying.get(name, 0.0) for name in species]))[:, None]
    lags, curves, slopes = fit(charge, frame_interval, window)
    slope, error = (float(one[0, 0]) * 1e-5 / frame_interval for one in (slopes.values, slopes.stderr))
    counts = {name: int(np.sum(np.array(labels) == name)) for name in carrying}
    square = sum(counts[name] * z**2 for name, z in carrying.items())
    scale = ELEMENTARY_CHARGE**2 / (6 * BOLTZMANN * temperature * volume * 1e-30)
    judged = judge(curves[:, 0, 0], lags, len(charge))
    limit = None if judged.limit is None else judged.limit * 1e-5 / frame_interval * scale
    fitted = (float(lags[0] * frame_interval), float(lags[-1] * frame_interval))
    low, high = (None if np.isnan(one) else float(one) * 1e-5 / frame_interval * scale for one in slopes.intervals()[0])
    return Conductivity(slope * scale, error * scale, slope / 6 / square, error / 6 / square, sum(counts.values()), limit, judged,
                        fitted, lags * frame_interval, curves[:, 0, 0], slope / 1e-5, low, high)  # fmt: skip


def picture(found: Conductivity, path: Path) -> None:
    """Write the squared displacement of all charge with its fit. Raises RunFailure: the file cannot be written."""
    from atomistic.observable_pictures import displacement_picture

    slopes = {} if found.judged.reason else {"charge": found.slope}
    displacement_picture(path, found.lags, {"charge": (found.lags, found.curve, None)}, slopes, "⟨(Σ z ΔR)²⟩")


def haven_ratio(self_diffusivity: tuple[float, float], charge_diffusivity: tuple[float, float]) -> tuple[float, float]:
    """Haven ratio H_R = D_self/D_σ and its standard error, from both diffusivities with their errors (m²/s).

    The errors are added as if independent, which those of one run are not quite.
    """
    (own, own_error), (charge, charge_error) = self_diffusivity, charge_diffusivity
    ratio = own / charge
    return ratio, abs(ratio) * float(np.hypot(own_error / own, charge_error / charge))


def record(found: Conductivity, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Record of the ionic conductivity, S/m: an estimate, or an upper bound (95 %).

    A bound where the displacement of charge is not that of diffusion (`brownian.judge`), or the slope is below twice its error.

    Raises:
        UserError: the displacement is still ballistic, which bears no bound either, or no charge moves at all.
    """
    made = {**source, "carriers": found.carriers, "window_fs": list(found.window)}
    reason = found.judged.reason or ("the slope is below twice its error" if found.value < 2 * found.stderr else "")
    how = "collective displacement of charge (Einstein)"
    if not reason:
        return Property(material, "ionic_conductivity", found.value, "S/m", stderr=found.stderr, low=found.low, high=found.high,
                        conditions=conditions,
                        source={**made, "method": how})  # fmt: skip
    if found.limit is None:
        first, last = found.window
        told = f"lags of {first:.4g} … {last:.4g} fs bear no conductivity"
        raise UserError(f"{told}: {reason}; take longer lags (--window) or a longer run")
    return Property(material, "ionic_conductivity", found.limit, "S/m", bound="upper", conditions=conditions,
                    source={**made, "method": f"{how}, upper bound (95 %): {reason}"})  # fmt: skip
