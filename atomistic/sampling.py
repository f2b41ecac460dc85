"""Configurations to learn from: rattled and strained cells, short relaxations, molecular dynamics at many temperatures.

Every function takes a seed and gives the same frames for it.
"""

import hashlib
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator, Calculator
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from ase.parallel import DummyMPI

from atomistic.sevennet import NoAnswer
from atomistic.starts import Structure as Structure
from atomistic.starts import start as start

ALONE = DummyMPI()
"""Every rank samples on its own: ASE must not broadcast between them."""
CLOSEST = 1.3  # Å: a trajectory with a shorter distance has left the physical region …
TOO_CLOSE = 0.6  # … and so has one with atoms nearer than this part of the sum of their covalent radii, where that is less


def seed_of(*words: object) -> int:
    """A 32-bit seed that depends on the words alone (not on the order of jobs)."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, words)).encode()).digest()[:4], "big")


def collapsed(atoms: Atoms) -> bool:
    """Whether two atoms are nearer than CLOSEST and than TOO_CLOSE of their covalent radii: C–O and O–H bonds may be short."""
    elements = sorted(set(atoms.numbers))
    limits = {
        (int(a), int(b)): min(CLOSEST, TOO_CLOSE * float(covalent_radii[a] + covalent_radii[b]))
        for a, b in combinations_with_replacement(elements, 2)
    }
    return len(neighbor_list("i", atoms, limits)) > 0


def strained(atoms: Atoms, amplitude: float, random: np.random.Generator) -> Atoms:
    """Atoms in a cell deformed by a random symmetric strain, every component uniform in ±amplitude."""
    strain = random.uniform(-amplitude, amplitude, (3, 3))
    deformed = atoms.copy()
    deformed.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return deformed


def rattled_frames(
    atoms: Atoms,
    frames: int,
    strain: float,
    rattle: tuple[float, float],
    seed: int,
    volume: tuple[float, float] = (1.0, 1.0),
) -> list[Atoms]:
    """Strained cells with Gaussian displacements.

    Args:
        atoms: start.
        frames: number of frames.
        strain: amplitude of the random strain.
        rattle: standard deviations of the displacements (Å), spread evenly from the first to the last.
        seed: seed of everything random.
        volume: factors on the volume, spread evenly from the first to the last and shuffled.
    """
    random = np.random.default_rng(seed)
    made = []
    volumes = np.random.default_rng(seed + 1).permutation(np.linspace(*volume, frames))
    for deviation, factor in zip(np.linspace(*rattle, frames), volumes, strict=True):
        frame = strained(atoms, strain, random)
        frame.set_cell(frame.cell.array * factor ** (1 / 3), scale_atoms=True)
        frame.positions += random.normal(0, deviation, frame.positions.shape)
        made.append(frame)
    return [frame for frame in made if not collapsed(frame)]


def contact_frames(atoms: Atoms, frames: int, approach: tuple[float, float], rattle: float, seed: int) -> list[Atoms]:
    """Frames in which one atom is pushed towards its nearest neighbour, so that the model learns the repulsion.

    Args:
        atoms: start.
        frames: number of frames.
        approach: distance left over the distance before, spread evenly from the first to the last.
        rattle: standard deviation of the displacements before the push, Å.
        seed: seed of everything random.
    """
    random = np.random.default_rng(seed)
    made = []
    for left in np.linspace(*approach, frames):
        frame = atoms.copy()
        frame.positions += random.normal(0, rattle, frame.positions.shape)
        mover = int(random.integers(len(frame)))
        others = np.delete(np.arange(len(frame)), mover)
        vectors = frame.get_distances(mover, others, mic=True, vector=True)
        nearest = vectors[np.argmin(np.linalg.norm(vectors, axis=1))]
        frame.positions[mover] += (1 - left) * nearest
        made.append(frame)
    return made


def relaxed_frames(atoms: Atoms, calculator: Calculator, steps: int, interval: int) -> list[Atoms]:
    """Every `interval`-th frame of a damped relaxation at fixed cell (FIRE, steps of at most 0.1 Å)."""
    work = atoms.copy()
    work.calc = calculator
    frames: list[Atoms] = []
    optimizer = FIRE(work, logfile=None, maxstep=0.1, comm=ALONE)
    optimizer.attach(lambda: frames.append(_bare(work)), interval=interval)
    optimizer.run(fmax=0.05, steps=steps)
    return [frame for frame in frames if not collapsed(frame)]


def md_frames(
    atoms: Atoms,
    calculator: BaseCalculator,
    temperature: float,
    steps: int,
    interval: int,
    timestep_fs: float,
    seed: int,
    relax_steps: int = 0,
) -> list[Atoms]:
    """Frames of a Langevin trajectory at fixed cell, one every `interval` steps, the start left out.

    The trajectory ends early when it leaves the physical region (`collapsed`, or a temperature above
    five times the set one) or the engine has no answer; the frames before that are kept, since that is where a model needs
    teaching.

    Args:
        atoms: start.
        calculator: engine of the trajectory.
        temperature: K.
        steps: number of steps.
        interval: steps between frames.
        timestep_fs: fs.
        seed: seed of velocities and noise.
        relax_steps: FIRE steps before the dynamics, for random packings.
    """
    work = atoms.copy()
    work.calc = calculator
    if relax_steps:
        FIRE(work, logfile=None, maxstep=0.1, comm=ALONE).run(fmax=0.2, steps=relax_steps)
    random = np.random.default_rng(seed)
    MaxwellBoltzmannDistribution(work, temperature_K=temperature, rng=random, comm=ALONE)
    dynamics = Langevin(
        work, timestep_fs * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=random, fixcm=False, comm=ALONE
    )
    frames: list[Atoms] = []
    for _ in range(steps // interval):
        try:
            dynamics.run(interval)
        except NoAnswer:
            break
        broken = not np.isfinite(work.positions).all() or work.get_temperature() > 5 * temperature
        if broken or collapsed(work):
            break
        frames.append(_bare(work))
    return frames


def _bare(atoms: Atoms) -> Atoms:
    """Copy without calculator and momenta."""
    return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=dict(atoms.info))
