"""Melt and quench with a Lennard-Jones potential: density, disorder, the record, and cooling."""

from pathlib import Path

import numpy as np
import pytest
from pair_potential import ARGON_EPSILON, PairPotential

from atomistic.amorphous import Schedule, melt_quench
from atomistic.structures import density
from coupling.errors import UserError

SHORT = Schedule(
    melt_temperature=300.0, melt_picoseconds=1.0, quench_rate=200.0, anneal_temperature=20.0, anneal_picoseconds=0.5, timestep=5.0
)


def test_quench_keeps_density_and_leaves_a_dense_disordered_solid(tmp_path: Path) -> None:
    potential = PairPotential(cutoff=7.0, skin=0.6)
    solid, record = melt_quench({"Ar": 108}, 1.7, 3, potential, tmp_path, SHORT)
    assert density(solid) == pytest.approx(1.7, rel=1e-6)
    assert record["final_density"] == pytest.approx(1.7, rel=1e-6)
    assert [stage["name"] for stage in record["stages"]] == ["melt", "quench", "anneal"]
    assert record["stages"][1]["kelvin"] == [300.0, 20.0]
    assert record["stages"][1]["picoseconds"] == pytest.approx(1.4)
    solid.calc = potential
    # near the energy of a dense solid (crystal about −8 ε an atom with this cutoff), far from the packing's; no overlap
    energy = solid.get_potential_energy() / len(solid) / ARGON_EPSILON
    assert -8.0 < energy < -5.0
    distance = solid.get_all_distances(mic=True)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 3.1
    # disordered: nearest distances spread, which in the crystal they would not
    assert np.ptp(distance.min(axis=1)) > 0.1


def test_schedule_that_heats_is_refused() -> None:
    with pytest.raises(UserError, match="hotter than the anneal"):
        Schedule(melt_temperature=300.0, anneal_temperature=900.0)
