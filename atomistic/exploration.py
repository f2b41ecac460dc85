"""Molecular dynamics of one member of a committee, watched by all of them."""

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

from atomistic.committee import Committee
from atomistic.improve_study import Dynamics
from atomistic.sampling import ALONE
from atomistic.selection import SPREADS, pressed

FRICTION = 0.02  # 1/fs
HOT = 5.0  # times the wanted temperature: the run has left the physical region
FINISHED = "finished"
Bounds = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(atomic numbers, spreads in eV/Å) → calibrated errors (n,) in eV/Å."""


def explore(
    atoms: Atoms,
    members: Sequence[BaseCalculator],
    driver: int,
    temperature: float,
    settings: Dynamics,
    bounds: Bounds,
    limit: float,
    seed: int,
    tick: Callable[[float], None] = lambda share: None,
) -> tuple[list[Atoms], str]:
    """Frames of a Langevin run (constant cell), one every `interval` steps, and why it ended.

    Args:
        atoms: start.
        members: of the committee, two or more; `driver` is the number of the one that moves the atoms.
        temperature: K.
        settings: length of the run and its limits.
        bounds: calibrated errors from spreads.
        limit: eV/Å; the frame whose least certain atom passes it is the last one.
        seed: of velocities and noise.
        tick: called with the share that is done.

    Returns:
        Frames with arrays["forces_std"] (n,) in eV/Å and info "temperature" (K) and "step"; "finished", or what stopped the run.
    """
    committee, work = Committee(members), atoms.copy()
    work.calc = members[driver]
    if settings.relax_steps:
        FIRE(work, logfile=None, maxstep=0.1, comm=ALONE).run(fmax=0.2, steps=settings.relax_steps)
    if pressed(work, settings.closest):
        told = f"from its start two atoms are nearer than dynamics.closest = {settings.closest:g} Å"
        return [], f"unphysical: {told}; lower it where bonds are shorter"
    random = np.random.default_rng(seed)
    MaxwellBoltzmannDistribution(work, temperature_K=temperature, rng=random, comm=ALONE)
    time_step, friction = settings.timestep_fs * units.fs, FRICTION / units.fs
    dynamics = Langevin(work, time_step, temperature_K=temperature, friction=friction, rng=random, fixcm=False, comm=ALONE)
    frames: list[Atoms] = []
    for number in range(1, settings.steps // settings.interval + 1):
        dynamics.run(settings.interval)
        if reason := _unphysical(work, temperature, settings.closest):
            return frames, reason
        frame = Atoms(work.numbers, positions=work.positions, cell=work.cell, pbc=work.pbc, info=dict(atoms.info))
        frame.arrays[SPREADS] = np.array(committee.get_property("forces_std", frame), dtype=float)
        frame.info |= {"temperature": temperature, "step": number * settings.interval}
        frames.append(frame)
        if bounds(frame.numbers, frame.arrays[SPREADS]).max() > limit:
            return frames, "uncertainty above the limit"
        tick(number * settings.interval / settings.steps)
    return frames, FINISHED


def _unphysical(atoms: Atoms, temperature: float, closest: float) -> str:
    """Why the atoms are no longer physical, "" where they are."""
    if not np.isfinite(atoms.positions).all():
        return "unphysical: a position is not finite"
    if atoms.get_temperature() > HOT * temperature:
        return f"unphysical: hotter than {HOT:g} times the set temperature"
    if pressed(atoms, closest):
        return f"unphysical: two atoms nearer than dynamics.closest = {closest:g} Å"
    return ""
