"""Elastic tensor at a temperature: cold limit, ideal gas, coverage of its errors, resuming, as a study."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from scipy.signal import lfilter
from tiny_study import EFFORT, SETTINGS, potential, tools

from atomistic import dynamics, elasticity, thermal_elasticity
from atomistic.elasticity import tensor_of
from atomistic.relaxation import relaxed
from atomistic.study import MOVING, Effort, PhaseEffort, Toolbox, plan, run
from atomistic.tasks import CUBIC
from atomistic.thermal_elasticity import Strained, block_mean, elastic_tensor
from coupling.errors import RunFailure, UserError

TENSOR = np.diag([3.0, 3.0, 3.0, 1.0, 1.0, 1.0]) + np.pad(np.full((3, 3), 1.0) - np.eye(3), ((0, 3), (0, 3)))


class Free(Calculator):
    """Atoms that do not feel each other."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms: Atoms | None = None, properties: object = None, system_changes: object = all_changes) -> None:
        """Zeros."""
        super().calculate(atoms, properties, system_changes)
        assert atoms is not None
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


def crystal() -> Atoms:
    """Argon at rest, 32 atoms."""
    return relaxed(bulk("Ar", cubic=True, a=5.25), potential("float64"), cell=True, force=1e-4).repeat(2)


def test_a_cold_crystal_has_the_constants_of_rest(tmp_path: Path) -> None:
    """At 3 K C11, C12 and C44 are those at 0 K within the stated errors, which are small."""
    atoms, calculator = crystal(), potential("float64")
    still = elasticity.elastic_tensor(atoms, calculator, amplitudes=(0.004,), rotations=CUBIC).constants
    found = elastic_tensor(atoms, calculator, Strained(3.0, 0.004, 2.0, 4.0), CUBIC, tmp_path)
    for place in ((0, 0), (0, 1), (3, 3)):
        error = max(found.stderr[place], 0.01 * still[0, 0])  # the cold crystal is not quite the one at rest
        assert abs(found.constants[place] - still[place]) < 3 * error
    assert found.stderr.max() < 0.05 * still[0, 0]


def test_free_particles_resist_no_shear_and_have_the_pressure_as_modulus(tmp_path: Path) -> None:
    """Ideal gas: ∂σ/∂ε of σ = −N k_B T/V is the pressure along every axis, and nothing resists a shear."""
    atoms = bulk("Ar", cubic=True, a=5.25).repeat(2)
    pressure = len(atoms) * units.kB * 300.0 / atoms.get_volume() / units.Pascal
    settings = dataclasses.replace(Strained(300.0, 0.01, 2.0).dynamics, guards=dynamics.Guards(distance=0.0))
    means = []
    for amount in (0.01, -0.01):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + elasticity.strain_matrix(0, amount)), scale_atoms=True)
        kept = dynamics.run(strained, Free(), settings, tmp_path / f"{amount}")
        means.append(thermal_elasticity.mean_stress(kept, Free(), 300.0)[0])
    slope = (means[0] - means[1]) / 0.02
    assert slope[:3] == pytest.approx(pressure, rel=1e-3)
    assert slope[3:] == pytest.approx(0.0)
    with pytest.raises(RunFailure, match="unstable against a strain"):
        elasticity.require_stable(np.diag([*slope[:3], 0.0, 0.0, 0.0]), "gas")


def test_errors_cover_the_truth_at_the_stated_rate() -> None:
    """200 synthetic sets of stresses correlated in time and along the axes: 68 and 95 % intervals of C11, C12, C44, K, G."""
    rng, hits, still = np.random.default_rng(3), np.zeros((2, 5)), elasticity.ElasticTensor(TENSOR, np.zeros((36, 36)))
    mixing = np.diag([0.4, 0.4, 0.4, 0.2, 0.2, 0.2])
    mixing[:3, :3] = np.linalg.cholesky(0.16 * (0.3 * np.eye(3) + 0.7))
    truth = elasticity.polycrystal(still)
    spread = 0.5 * np.abs(np.subtract(*elasticity.voigt_reuss(TENSOR)))  # of Voigt and Reuss, no error of the runs
    for _ in range(200):
        mean, noise = np.zeros((2, 6, 6)), np.zeros((2, 6, 6, 6))
        for side, sign in enumerate((1, -1)):
            for component in range(6):
                shaken = lfilter([(1 - 0.8**2) ** 0.5], [1, -0.8], rng.standard_normal((500, 6)), axis=0)[100:] @ mixing.T
                mean[side, component], noise[side, component] = block_mean(0.01 * sign * TENSOR[component] + 0.1 * shaken)
        found = tensor_of((mean[0] - mean[1]).T / 0.02, noise.sum(axis=0) / 0.02**2, CUBIC)
        moduli = elasticity.polycrystal(found)
        pairs = [(found.constants[place] - TENSOR[place], found.stderr[place]) for place in ((0, 0), (0, 1), (3, 3))]
        known = zip((moduli.bulk, moduli.shear), (truth.bulk, truth.shear), spread, strict=True)
        for (value, error), (true, _), between in known:
            pairs.append((value - true, np.sqrt(max(error**2 - between**2, 0.0))))
        for column, (distance, error) in enumerate(pairs):
            hits[:, column] += abs(distance) < error, abs(distance) < 1.96 * error
    assert ((hits[0] / 200 >= 0.6) & (hits[0] / 200 <= 0.76)).all(), hits / 200
    assert ((hits[1] / 200 >= 0.9) & (hits[1] / 200 <= 0.98)).all(), hits / 200


def test_disagreement_beyond_the_errors_widens_them() -> None:
    """C44 of one plane stands out by fifty errors: the error grows to the scatter."""
    slopes, noise = TENSOR.copy(), np.array([1e-4 * np.eye(6)] * 6)
    slopes[3, 3] += 0.5
    assert tensor_of(slopes, noise, CUBIC).stderr[3, 3] > 5 * tensor_of(TENSOR, noise, CUBIC).stderr[3, 3]


def test_a_stiffness_within_its_error_of_zero_is_not_told() -> None:
    """Below zero by far: unstable; not above it by two errors: longer runs; well above: nothing is said."""
    noise = np.array([np.eye(6)] * 6) * 1e16
    soft = TENSOR * 1e9 + np.diag([0, 0, 0, -0.95e9, -0.95e9, -0.95e9])
    with pytest.raises(RunFailure, match=r"lowest stiffness 0.05 ± 0.0\d+ GPa: too uncertain .* longer strained runs"):
        thermal_elasticity.require_resolved(tensor_of(soft, noise, CUBIC), "salt")
    with pytest.raises(RunFailure, match="unstable against a strain"):
        thermal_elasticity.require_resolved(tensor_of(soft - np.diag([0, 0, 0, 1e9, 1e9, 1e9]), noise, CUBIC), "salt")
    thermal_elasticity.require_resolved(tensor_of(TENSOR * 1e9, noise, CUBIC), "salt")


@pytest.mark.parametrize(("settings", "match"), [
    ({"strain": 0.0}, "strain 0; it must lie between 0 and 0.03"), ({"strain": 0.05}, "strain 0.05"),
    ({"picoseconds": 1.0}, "at least 1.33 ps"),
])  # fmt: skip
def test_impossible_runs_are_refused(settings: dict, match: str) -> None:
    """Strains that are none or not linear, and runs too short for an error."""
    with pytest.raises(UserError, match=match):
        Strained(300.0, **settings)


def warm_tools() -> Toolbox:
    """The tiny study with elasticity at 20 K alone."""
    phase = {"Ar": PhaseEffort(length=5.0, temperatures=(20.0,), equilibration=0.2, production=1.4)}
    return dataclasses.replace(tools(members=2), effort=dataclasses.replace(EFFORT, diffusion=phase, committee="statics",
                                                                            quantities=("thermal_elasticity",)))  # fmt: skip


def test_a_study_gives_moduli_at_its_temperatures(tmp_path: Path) -> None:
    """Records carry temperature, picoseconds and method; one member alone moves; a second call computes nothing."""
    own = warm_tools()
    assert [task.kind for task in plan(SETTINGS, own)] == ["thermal_elasticity"]
    assert set(MOVING) >= {"thermal_elasticity"}
    records = {record.quantity: record for record in run(SETTINGS, tmp_path, tools=own)}
    assert records["elastic_C11"].conditions["temperature_K"] == 20.0
    assert records["bulk_modulus"].source["picoseconds"] == pytest.approx(12 * 1.4)
    assert "isothermal" in records["youngs_modulus"].source["method"]
    assert 0 < records["bulk_modulus"].value < 1e11
    broken = dataclasses.replace(own, load=lambda dtype, member: None)
    assert {record.quantity: record for record in run(SETTINGS, tmp_path, tools=broken)} == records


def test_the_demo_takes_no_such_runs() -> None:
    """A quality of a case runs what its table says, and elasticity at temperature is asked for by a study."""
    assert "thermal_elasticity" not in Effort({}, (), 5.0, 2, 1).quantities
