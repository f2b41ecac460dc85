"""Molecular dynamics of batches of replicas on a GPU (torch-sim) beside plain ASE + MACECalculator on the same GPU.

python benchmarks/replicas.py [--device cuda] [--potential lpscl] [--cells 128,432,1024,4096,9826] [--most 30000] [--seconds 4]

Lithium, 2 fs, Langevin bath at 300 K, float32, the first member of the potential. A rate is atom-steps per second, with the
frames written (one each 20 steps), after a segment that is not counted. Energies and forces of both ways are compared first.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk

STEPS = 20
"""Of a segment."""
LATTICES = {16: (2, 2, 2), 128: (4, 4, 4), 432: (6, 6, 6), 1024: (8, 8, 8), 4096: (16, 16, 8), 9826: (17, 17, 17)}
"""Repetitions of the cubic cell of lithium."""


def structure(count: int, seed: int = 0) -> Atoms:
    """Lithium off its lattice sites."""
    atoms = bulk("Li", cubic=True, a=3.44).repeat(LATTICES[count])
    atoms.positions += np.random.default_rng(seed).normal(0.0, 0.05, atoms.positions.shape)
    return atoms


def batch_rate(name: str, count: int, replicas: int, device: str, seconds: float) -> float:
    """Atom-steps per second of a batch."""
    from atomistic import batched
    from atomistic.dynamics import DynamicsSettings

    times: list[float] = []

    class Enough(Exception):
        pass

    def tick(share: float) -> None:
        times.append(time.perf_counter())
        if len(times) > 2 and times[-1] - times[0] > seconds:
            raise Enough

    segment = 2.0 * STEPS
    settings = DynamicsSettings(300.0, 1000.0, timestep=2.0, frame_interval=segment, checkpoint_interval=segment)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(number) for number in range(replicas)]
        try:
            batched.run([structure(count, n) for n in range(replicas)], name, settings, folders, device, progress=tick)
        except Enough:
            pass
    return count * replicas * STEPS * (len(times) - 1) / (times[-1] - times[0])


def plain_calculator(name: str, device: str) -> Any:
    """mace-torch's own calculator on the same weights."""
    import torch

    from atomistic import mace_model, potential

    mace_model.mace_modules()
    with mace_model.undisturbed():
        from mace.calculators import MACECalculator

        model = mace_model.load(potential.members_of(potential.folder_of(name))[0]).to(device, torch.float32)
        return MACECalculator(models=[model], device=device, default_dtype="float32")


def plain_rate(name: str, count: int, device: str, seconds: float) -> float:
    """Atom-steps per second of ASE's Langevin (BAOAB) with MACECalculator."""
    from ase.md.langevinbaoab import LangevinBAOAB

    atoms = structure(count)
    atoms.calc = plain_calculator(name, device)
    run = LangevinBAOAB(atoms, timestep=2 * units.fs, temperature_K=300.0, T_tau=1000 * units.fs, hydrostatic=True)
    run.run(6)
    start, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - start < seconds:
        run.step()
        steps += 1
    return count * steps / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--potential", default="lpscl")
    parser.add_argument("--cells", default=",".join(map(str, LATTICES)), help="atoms of a cell")
    parser.add_argument("--most", type=int, default=30000, help="atoms of the largest batch")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of a row")
    chosen = parser.parse_args()
    print("| atoms of a cell | replicas | batched, atom-steps/s | µs/atom/step | plain ASE, atom-steps/s | ratio |")
    print("|---|---|---|---|---|---|", flush=True)
    for count in map(int, chosen.cells.split(",")):
        plain = plain_rate(chosen.potential, count, chosen.device, chosen.seconds)
        for replicas in (1, 8, 64, 512):
            if count * replicas > chosen.most:
                break
            found = batch_rate(chosen.potential, count, replicas, chosen.device, chosen.seconds)
            row = f"| {count} | {replicas} | {found:.0f} | {1e6 / found:.2f} | {plain:.0f} | {found / plain:.1f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
