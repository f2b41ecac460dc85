"""Integrators: the steps of ASE, conserved quantities, canonical and isobaric distributions, drift of the shipped potential."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from pair_potential import ARGON_EPSILON, ARGON_SIGMA, PairPotential
from scipy import stats

from atomistic import dynamics
from atomistic.dynamics import DynamicsSettings
from atomistic.ensembles import Langevin

BASE = DynamicsSettings(40.0, 1.0, timestep=5.0, frame_interval=5.0, checkpoint_interval=5.0, friction_time=200.0)


class Springs(Calculator):
    """Two atoms on a spring of other stiffness (eV/Å²) along each axis; stiffness zero: an ideal gas of any number of atoms."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, stiffness: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.stiffness = np.array(stiffness)

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        forces, energy = np.zeros((len(self.atoms), 3)), 0.0
        if self.stiffness.any():
            stretch = self.atoms.positions[1] - self.atoms.positions[0]
            energy = 0.5 * float(self.stiffness @ stretch**2)
            forces[0], forces[1] = self.stiffness * stretch, -self.stiffness * stretch
        self.results = {"energy": energy, "forces": forces, "stress": np.zeros(6)}


def argon(stretch: float = 1.0, seed: int = 0) -> Atoms:
    """32 atoms of argon with momenta of 40 K."""
    atoms = bulk("Ar", cubic=True, a=5.25 * stretch).repeat((2, 2, 2))
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 40.0, np.random.default_rng(seed)))
    return atoms


def integrator(atoms: Atoms, calculator: Calculator, settings: DynamicsSettings) -> Langevin:
    """Integrator of the settings, from the atoms' positions and momenta."""
    return dynamics.integrator_of(atoms, calculator, settings, np.random.default_rng(settings.seed))


def reference(kind: str, atoms: Atoms, settings: DynamicsSettings) -> Any:
    """ASE's integrator of the same ensemble, with our count of degrees of freedom."""
    from ase.md import langevinbaoab, nose_hoover_chain

    step, thermostat, barostat = (x * units.fs for x in (settings.timestep, settings.friction_time, settings.barostat_time))
    if kind.startswith("langevin"):
        cell = {"externalstress": -settings.pressure * units.GPa, "P_tau": barostat} if kind == "langevin npt" else {}
        rng = np.random.default_rng(settings.seed)
        return langevinbaoab.LangevinBAOAB(
            atoms, step, temperature_K=settings.temperature, T_tau=thermostat, hydrostatic=True, rng=rng, **cell
        )
    pressure = {"pressure_au": settings.pressure * units.GPa, "pdamp": barostat}
    common = {"temperature_K": settings.temperature, "tdamp": thermostat}
    if kind == "chains nvt":
        made: Any = nose_hoover_chain.NoseHooverChainNVT(atoms, step, **common)
    elif kind == "chains npt":
        made = nose_hoover_chain.IsotropicMTKNPT(atoms, step, **common, **pressure)
    else:
        made = nose_hoover_chain.MTKNPT(atoms, step, **common, **pressure)
    fewer, thermal = len(atoms) - 1, units.kB * settings.temperature
    made._thermostat._num_atoms_global = fewer
    made._thermostat._Q[0] = 3 * fewer * thermal * thermostat**2
    if kind != "chains nvt":
        made._num_atoms_global = made._barostat._num_atoms_global = fewer
        made._barostat._cell_dof = 6
        made._barostat._R[0] = (1 if kind == "chains npt" else 6) * thermal * barostat**2
        made._barostat._W = (3 * fewer + 3) * thermal * barostat**2 / (1 if kind == "chains npt" else 3)
    return made


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [("langevin nvt", 0.0), ("langevin npt", 0.0), ("chains nvt", 1e-11), ("chains npt", 1e-11), ("chains shape", 1e-11)],
)
@pytest.mark.filterwarnings("ignore")
def test_steps_are_those_of_ase(kind: str, tolerance: float) -> None:
    """Forty steps: the same positions, momenta and cell; the Langevin ones to the last bit."""
    pytest.importorskip("ase.md.langevinbaoab", reason="needs ase.md.langevinbaoab")
    thermostat, ensemble = kind.split()
    settings = dataclasses.replace(
        BASE, thermostat=thermostat, ensemble="nvt" if ensemble == "nvt" else "npt", free_shape=ensemble == "shape",
        barostat_time=1000.0, pressure=0.1, seed=4,
    )  # fmt: skip
    atoms = argon(1.01)
    atoms.rattle(0.05, seed=2)
    ours = integrator(atoms, PairPotential(cutoff=4.8, skin=0.4), settings)
    atoms.calc = PairPotential(cutoff=4.8, skin=0.4)
    theirs = reference(kind, atoms, settings)
    for _ in range(40):
        ours.step(settings.temperature)
        theirs.step()
    motion = ours.motion
    for own, other in ((motion.positions, atoms.positions), (motion.momenta, atoms.get_momenta()), (motion.cell, atoms.cell)):
        assert np.abs(own - np.asarray(other)).max() <= tolerance
    assert ensemble == "nvt" or abs(motion.cell[0, 0] - 10.605) > 1e-4


@pytest.mark.parametrize(("ensemble", "free_shape"), [("nvt", False), ("npt", False), ("npt", True)])
def test_chains_conserve_their_energy_to_second_order(ensemble: dynamics.Ensemble, free_shape: bool) -> None:
    """Over the same time the conserved quantity wanders by a quarter with half the step, and little beside what it is made of."""
    straight, spread, exchanged = PairPotential(cutoff=4.6, skin=0.5), [], []
    for timestep in (10.0, 5.0):
        settings = dataclasses.replace(
            BASE, thermostat="chains", ensemble=ensemble, free_shape=free_shape, timestep=timestep, frame_interval=10.0,
            checkpoint_interval=10.0, barostat_time=1000.0, temperature=10.0,
        )  # fmt: skip
        atoms = argon(1.02)  # the cutoff lies in the gap between the first two shells
        atoms.set_momenta(0.5 * atoms.get_momenta())
        # PairPotential is for straight cells only
        calculator = LennardJones(epsilon=ARGON_EPSILON, sigma=ARGON_SIGMA, rc=4.8, smooth=True) if free_shape else straight
        run: Any = integrator(atoms, calculator, settings)
        energies = []
        for _ in range(round((800 if free_shape else 2000) / timestep)):
            run.step(10.0)
            energies.append((run.conserved(10.0), run.field.energy + 0.5 * run.twice_kinetic))
        conserved, plain = np.array(energies).T
        spread.append(np.std(conserved))
        exchanged.append(np.std(plain))
    assert 3.0 < spread[0] / spread[1] < 5.5
    assert spread[1] < 0.02 * exchanged[1]


@pytest.mark.parametrize("thermostat", ["langevin", "chains"])
def test_kinetic_energy_is_canonical_and_evenly_parted(thermostat: dynamics.Thermostat) -> None:
    """2 E_kin / kT is chi-square with the degrees of freedom (Kolmogorov–Smirnov); light and heavy atoms are equally hot."""
    atoms = argon()
    masses = np.where(np.arange(32) % 2, 20.0, 60.0)
    atoms.set_masses(masses)
    atoms.set_momenta(dynamics.thermal_momenta(masses, 40.0, np.random.default_rng(1)))
    settings = dataclasses.replace(BASE, thermostat=thermostat, timestep=10.0, frame_interval=10.0, checkpoint_interval=10.0)
    run = integrator(atoms, PairPotential(cutoff=4.8, skin=0.4), settings)
    kinetic, parts = [], []
    for step in range(6400):
        run.step(40.0)
        if step >= 400 and step % 50 == 0:  # 0.5 ps, longer than the energy remembers itself
            energies = (run.motion.momenta**2).sum(axis=1) / masses / (units.kB * 40.0)
            kinetic.append(energies.sum())
            parts.append((energies[::2].mean() / 3, energies[1::2].mean() / 3))
    assert stats.kstest(kinetic, stats.chi2(run.freedom).cdf).pvalue > 1e-3
    blocks = np.array(parts).reshape(12, -1, 2).mean(axis=1)
    means, errors = blocks.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    assert errors.max() < 0.04
    assert (np.abs(means - run.freedom / 96) < 4 * errors).all()


def test_chains_make_an_oscillator_canonical() -> None:
    """Three springs and one chain: each stretch and each momentum is normal with the variance kT/k and kT·μ."""
    stiffness = np.array([1.0, 1.7, 2.9])
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0.15, 0.1, 0.05]], cell=[20.0] * 3, pbc=True)
    atoms.set_momenta([[5.0, -3.0, 2.0], [-5.0, 3.0, -2.0]])
    settings = dataclasses.replace(BASE, thermostat="chains", temperature=300.0, friction_time=30.0)
    run = integrator(atoms, Springs(tuple(stiffness)), settings)
    stretches, momenta = [], []
    for step in range(24000):
        run.step(300.0)
        if step % 80 == 0:
            stretches.append(run.motion.positions[1] - run.motion.positions[0])
            momenta.append(run.motion.momenta[1].copy())
    thermal, reduced = units.kB * 300.0, atoms.get_masses()[0] / 2
    for axis in range(3):
        width, heat = np.sqrt(thermal / stiffness[axis]), np.sqrt(thermal * reduced)
        assert stats.kstest(np.array(stretches)[:, axis] / width, "norm").pvalue > 1e-3
        assert stats.kstest(np.array(momenta)[:, axis] / heat, "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("thermostat", "fixed_area", "free_shape"),
    [("langevin", False, False), ("chains", False, False), ("langevin", True, False), ("langevin", False, True)],
)
def test_volume_of_an_ideal_gas(thermostat: dynamics.Thermostat, fixed_area: bool, free_shape: bool) -> None:
    """P V / kT follows the gamma distribution of shape N + 1, or N where the centre of mass rests: mean, variance, shape.

    So it does where the height alone moves, at a fixed area, and where the shape moves as well (which a gas does not hold).
    """
    count, pressure, temperature = 8, 0.05, 300.0
    rng = np.random.default_rng(5)
    length = np.cbrt(count * units.kB * temperature / (pressure * units.GPa))
    atoms = Atoms(f"Ar{count}", positions=rng.uniform(0, length, (count, 3)), cell=[length] * 3, pbc=True)
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), temperature, rng))
    settings = dataclasses.replace(
        BASE, temperature=temperature, ensemble="npt", pressure=pressure, thermostat=thermostat, timestep=10.0,
        frame_interval=10.0, checkpoint_interval=10.0, barostat_time=400.0, friction_time=100.0, fixed_area=fixed_area,
        free_shape=free_shape,
    )  # fmt: skip
    run = integrator(atoms, Springs(), settings)
    reduced = []
    for step in range(25000):
        run.step(temperature)
        if step >= 1000:
            volume = abs(np.linalg.det(run.motion.cell))
            reduced.append(pressure * units.GPa * volume / (units.kB * temperature))
    if fixed_area:
        moved = run.motion.cell - atoms.cell.array
        moved[2, 2] = 0.0
        assert not moved.any()
    shape = count + (thermostat == "langevin")
    values = np.array(reduced)
    for power in (1, 2):
        blocks = (values**power).reshape(20, -1).mean(axis=1)
        error = blocks.std(ddof=1) / np.sqrt(len(blocks))
        exact = stats.gamma(shape).moment(power)
        assert error < 0.12 * exact
        assert abs(blocks.mean() - exact) < 4 * error
    assert stats.kstest(values[::400], stats.gamma(shape).cdf).pvalue > 1e-3


def test_volume_fluctuation_gives_the_bulk_modulus() -> None:
    """kT ⟨V⟩ / var V of cold argon is the static bulk modulus at the mean volume.

    With the Langevin barostat: so cold a crystal is harmonic, and its breathing takes chains very long to bring to equilibrium.
    """
    temperature = 4.0
    calculator = PairPotential(cutoff=4.8, skin=0.4)
    atoms = argon()
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 2 * temperature, np.random.default_rng(3)))
    settings = dataclasses.replace(
        BASE, temperature=temperature, ensemble="npt", timestep=10.0, frame_interval=10.0,
        checkpoint_interval=10.0, barostat_time=800.0,
    )  # fmt: skip
    run = integrator(atoms, calculator, settings)
    volumes = []
    for step in range(7000):
        run.step(temperature)
        if step >= 1000:
            volumes.append(abs(np.linalg.det(run.motion.cell)))
    mean = np.mean(volumes)
    blocks = ((np.array(volumes) - mean) ** 2).reshape(12, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks)) / blocks.mean()
    found = units.kB * temperature * mean / blocks.mean()
    assert error < 0.3
    assert abs(found / _static_modulus(mean, calculator) - 1) < 0.03 + 3 * error


def _static_modulus(volume: float, calculator: PairPotential) -> float:
    """B = V E''(V) of the resting crystal, eV/Å³."""
    step, energies = 0.002, []
    for strain in (-step, 0.0, step):
        atoms = argon(np.cbrt(volume * (1 + strain)) / 10.5)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    return (energies[0] - 2 * energies[1] + energies[2]) / (step**2 * volume)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shipped_potential_keeps_the_energy_of_the_electrolyte(dtype: str) -> None:
    """Li6PS5Cl at 600 K, 1 fs, constant energy: drift below 0.05 meV/atom/ps (benchmarks/dynamics.py --drift: longer)."""
    pytest.importorskip("symmetrix", reason="needs symmetrix")
    from atomistic import potential, structures

    atoms = structures.argyrodite(0.25, seed=0)
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 600.0, np.random.default_rng(0)))
    warm = dataclasses.replace(BASE, temperature=600.0, timestep=1.0, friction_time=50.0)
    calculator = potential.load("lpscl", dtype=dtype)
    first = integrator(atoms, calculator, warm)
    for _ in range(200):
        first.step(600.0)
    atoms.positions, momenta = first.motion.positions, first.motion.momenta
    atoms.set_momenta(momenta)
    run = integrator(atoms, calculator, dataclasses.replace(warm, ensemble="nve"))
    energies = []
    for _ in range(1500):
        run.step(600.0)
        energies.append(run.field.energy + 0.5 * run.twice_kinetic)
    slope = np.polyfit(np.arange(1500) * 1e-3, np.array(energies) / len(atoms) * 1e3, 1)[0]
    assert abs(slope) < 0.05
