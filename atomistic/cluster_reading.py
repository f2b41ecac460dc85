"""What an unbiased run tells of its largest cluster: free energy F(n) of its size, barrier, attachment rate.

F(n) = -k_B T ln P(n), P the share of the frames whose size lies in a bin of one atom; its error is that of the jackknife over
BLOCKS parts of the run, their correlation included. The attachment rate is that of `nucleation.attachment`, about the sizes
that the run had; where it is zero within its error it is bounded as a nucleation study bounds it (`nucleation_limits`).

Sources: docs/physics.md 1.8; Auer & Frenkel, Annu. Rev. Phys. Chem. 55, 333 (2004) (memory).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from atomistic import nucleation, nucleation_limits
from atomistic.metadynamics import Bias, FreeEnergy, Hills, Visits, free_energy
from coupling.constants import BOLTZMANN
from coupling.errors import UserError
from coupling.record import Property

BLOCKS = 20
"""Parts of a run that F(n) is made without in turn."""
LAGS = 10
"""Longest lag of the attachment rate, frames, as in a nucleation study."""


def unbiased(sizes: np.ndarray, temperature: float) -> FreeEnergy:
    """Free energy of the size from a run without bias.

    Args:
        sizes: (frames,). temperature: K; energies are in J.

    Raises:
        UserError: fewer than BLOCKS frames.
    """
    thermal = BOLTZMANN * temperature
    low, high = float(np.floor(sizes.min())), float(np.floor(sizes.max())) + 1
    nothing = Bias(Hills(low, high, 2 + int(3 * (high - low)), 1.0, thermal, thermal, 2.0))
    zero = np.zeros((len(sizes), 1))
    return free_energy(Visits(sizes[:, None], zero, zero[:, 0], nothing), np.arange(low, high + 0.5), 0.0, BLOCKS)


def free_energy_records(
    free: FreeEnergy, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """F(n), J, of every size that was visited; without error where one part of the run alone saw it.

    Raises:
        UserError: one size alone was visited.
    """
    if len(free.grid) < 2:
        low, high = free.grid[0] - 0.5, free.grid[0] + 0.5
        raise UserError(f"free energy: the size stayed between {low:g} and {high:g} atoms; one size has no F(n), run longer")
    few = nucleation.few_memories(free)
    told = {**source, **few, "method": f"-k_B T ln P(n) of an unbiased run; error: jackknife over {len(free.replicates)} parts"}
    return [
        Property(material, "cluster_free_energy", float(value), "J", stderr=float(error) if np.isfinite(error) else None,
                 conditions={**conditions, "size": float(size)}, source=told, confidence="low" if few else "computed")
        for size, value, error in zip(free.grid, free.values, free.stderr, strict=True)
        if np.isfinite(value)
    ]  # fmt: skip


def barrier(
    free: FreeEnergy, sizes: np.ndarray, interval: float, temperature: float, material: str, source: Mapping[str, Any]
) -> Property:
    """Barrier of F(n), J, or its lower bound, as `nucleation_limits.barrier_record` of an unbiased run of one walker.

    Raises:
        UserError: nothing rises beyond its error, or too few frames.
    """
    answer = nucleation_limits.seen(sizes[None, :], interval, LAGS)
    return nucleation_limits.barrier_record(free, answer, temperature, material, source, sampling="an unbiased run")


def attachment_record(
    sizes: np.ndarray, interval: float, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> Property:
    """Rate at which atoms join the cluster, 1/s, at the mean size of the run; an upper bound (95 %) where none is seen.

    Args:
        sizes: (frames,). interval: between frames, s.

    Raises:
        UserError: too few frames for the lags.
    """
    limit = nucleation_limits.seen(sizes[None, :], interval, LAGS)["attachment_limit"]
    where = {**conditions, "mean_size": float(sizes.mean())}
    told = {**source, "method": f"slope of <(change of the size)^2>/2 over {LAGS // 2} to {LAGS} frames"}
    try:
        found = nucleation.attachment(sizes, interval, (0.0, np.inf), LAGS)
    except UserError:
        return Property(material, "attachment_rate", limit, "1/s", bound="upper", conditions=where, source=told)
    return Property(material, "attachment_rate", found.value, "1/s", stderr=found.stderr, conditions=where, source=told)
