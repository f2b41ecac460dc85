"""Molecular dynamics with the shipped potential beside plain ASE + MACECalculator: the same weights, structure, bath and step.

env/exec nice -n -5 python benchmarks/dynamics.py [--sizes 16,128,432,1024,4096] [--seconds 4]
env/exec python benchmarks/dynamics.py --drift 20      (energy drift of Li6PS5Cl over 20 ps at 1 fs, float32 and float64)

A rate is atom-steps per second, after steps that are not counted (TorchScript specialises itself in the first five). Each row
runs in processes of its own; replicas start their clocks together, and the slowest one counts. On a machine that others use,
`--clock cpu` counts processor seconds in place of wall seconds; then plain ASE runs with one thread only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk

TEMPERATURE, TIMESTEP, FRICTION = 300.0, 2.0, 1000.0
"""K, fs, fs; the same bath for everyone."""
LATTICES = {16: (2, 2, 2), 128: (4, 4, 4), 432: (6, 6, 6), 1024: (8, 8, 8), 4096: (16, 16, 8)}
"""Repetitions of the cubic cell of lithium."""


@dataclass(frozen=True)
class Setup:
    """One way to run.

    Attributes:
        engine: "mace" or "symmetrix". dtype: precision. atoms: key of LATTICES, or 416 for Li6PS5Cl.
        threads: of one process. replicas: processes. skin: whether the neighbour list is kept.
        lean: whether the product's integrator runs, else ASE's. seconds: measured for so long, at least three steps.
        clock: "wall" or "cpu".
    """

    engine: str
    dtype: str
    atoms: int
    threads: int = 1
    replicas: int = 1
    skin: bool = True
    lean: bool = True
    seconds: float = 4.0
    clock: str = "wall"


def structure(count: int) -> Atoms:
    """Lithium, or (416) Li6PS5Cl, off its lattice sites and with velocities."""
    from atomistic import dynamics, structures

    if count == 416:
        atoms = structures.argyrodite(0.25, seed=0).repeat((2, 2, 2))
    else:
        atoms = bulk("Li", cubic=True, a=3.44).repeat(LATTICES[count])
    rng = np.random.default_rng(0)
    atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), TEMPERATURE, rng))
    return atoms


def stepper(setup: Setup) -> Callable[[], object]:
    """A function that makes one time step."""
    from atomistic import dynamics, potential

    calculator = potential.load("lpscl", engine=setup.engine, dtype=setup.dtype)
    if not setup.skin:
        inner: Any = calculator.inner
        inner.neighbor_skin = 0.0
    atoms, rng = structure(setup.atoms), np.random.default_rng(1)
    if not setup.lean:
        from ase.md.langevinbaoab import LangevinBAOAB

        atoms.calc = calculator.inner
        times = {"timestep": TIMESTEP * units.fs, "T_tau": FRICTION * units.fs}
        return LangevinBAOAB(atoms, temperature_K=TEMPERATURE, hydrostatic=True, rng=rng, **times).step
    settings = dynamics.DynamicsSettings(TEMPERATURE, 1.0, timestep=TIMESTEP, friction_time=FRICTION)
    integrator = dynamics.integrator_of(atoms, calculator, settings, rng)
    return lambda: integrator.step(TEMPERATURE)


def work(setup: Setup) -> None:
    """Body of one process: warm up, say so, wait for the start, run, print steps and seconds."""
    if setup.engine == "mace":
        import torch

        torch.set_num_threads(setup.threads)
    step = stepper(setup)
    for _ in range(6):
        step()
    print("ready", flush=True)
    sys.stdin.readline()
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[setup.clock]
    start, steps = clock(), 0
    while steps < 3 or clock() - start < setup.seconds:
        step()
        steps += 1
    print(json.dumps([steps, clock() - start]), flush=True)


def rate(setup: Setup) -> float:
    """Atom-steps per second of all replicas together."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(setup.threads)}
    command = [sys.executable, __file__, "--worker", json.dumps(asdict(setup))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes: list[Any] = [
        subprocess.Popen(command, env=environment, text=True, stderr=subprocess.DEVNULL, **pipes) for _ in range(setup.replicas)
    ]
    for process in processes:
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"a worker died: {' '.join(command)}")
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [json.loads(process.communicate()[0]) for process in processes]
    return float(sum(setup.atoms * steps for steps, _ in results) / max(seconds for _, seconds in results))


def agreement(count: int) -> tuple[float, float]:
    """Largest difference of a force component (eV/Å) and of the energy per atom (eV) between the engines in float64."""
    from atomistic import potential

    atoms, found = structure(count), []
    for engine in ("mace", "symmetrix"):
        atoms.calc = potential.load("lpscl", engine=engine)
        found.append((atoms.get_forces(), atoms.get_potential_energy() / len(atoms)))
    return float(np.abs(found[0][0] - found[1][0]).max()), abs(found[0][1] - found[1][1])


def ladder(common: dict[str, Any]) -> list[str]:
    """What each measure gains on 416 atoms of Li6PS5Cl."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("plain ASE + MACECalculator, 1 thread", {"engine": "mace", "skin": True, "lean": False}),
        ("the same, 2 threads", {"engine": "mace", "lean": False, "threads": 2}),
        ("symmetrix, neighbour list every step", {"engine": "symmetrix", "skin": False, "lean": False}),
        ("+ skin list", {"engine": "symmetrix", "lean": False}),
        ("+ integrator on bare arrays", {"engine": "symmetrix"}),
        ("+ 2 replicas on 2 cores", {"engine": "symmetrix", "replicas": 2}),
    ]
    if common["clock"] == "cpu":
        del steps[1]
    force, energy = agreement(416)
    lines = [
        f"\nLi6PS5Cl, 416 atoms; float64 engines differ by {force:.1e} eV/Å (force), {energy:.1e} eV/atom\n",
        "| | float64 atom-steps/s | to plain ASE | float32 atom-steps/s | to plain ASE |\n|---|---|---|---|---|",
    ]
    rates: dict[tuple[str, str], float] = {}
    for name, options in steps:
        for dtype in ("float64", "float32"):
            rates[name, dtype] = rate(Setup(dtype=dtype, atoms=416, **options, **common))
            print(f"{name}, {dtype}: {rates[name, dtype]:.0f}", file=sys.stderr, flush=True)
    plain = [name for name, options in steps if options["engine"] == "mace"]
    stock = {dtype: max(rates[name, dtype] for name in plain) for dtype in ("float64", "float32")}
    for name, _ in steps:
        cells = [f"{rates[name, d]:.0f} | {rates[name, d] / stock[d]:.1f}" for d in ("float64", "float32")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def sizes_table(sizes: Sequence[int], measured: dict[str, Any]) -> list[str]:
    """Plain ASE at its better thread count against two replicas, by size and precision."""
    lines = [
        "\nLithium, plain ASE + MACECalculator (better of 1 and 2 threads) against 2 single-thread replicas\n",
        "| atoms | precision | plain, µs/atom/step | threads | ours, µs/atom/step and core | aggregate atom-steps/s | ratio | "
        "max ΔF, eV/Å | ΔE, eV/atom |\n|---|---|---|---|---|---|---|---|---|",
    ]
    for count in sizes:
        force, energy = agreement(count)
        for dtype in ("float64", "float32"):
            common: dict[str, Any] = {"dtype": dtype, "atoms": count, **measured}
            counts = (1,) if measured["clock"] == "cpu" else (1, 2)
            plain = {n: rate(Setup(engine="mace", lean=False, threads=n, **common)) for n in counts}
            best = max(plain, key=lambda n: plain[n])
            ours = rate(Setup(engine="symmetrix", replicas=2, **common))
            differences = f"{force:.1e} | {energy:.1e}" if dtype == "float64" else " | "
            lines.append(
                f"| {count} | {dtype} | {1e6 / plain[best]:.0f} | {best} | {2e6 / ours:.1f} | {ours:.0f} | "
                f"{ours / plain[best]:.1f} | {differences} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def drift(picoseconds: float, dtype: str) -> tuple[float, float]:
    """Slope of the total energy of Li6PS5Cl (52 atoms, 600 K, 1 fs) and its error from four parts, meV/atom/ps."""
    from atomistic import dynamics, potential, structures

    atoms, calculator = structures.argyrodite(0.25, seed=0), potential.load("lpscl", dtype=dtype)
    atoms.set_momenta(dynamics.thermal_momenta(atoms.get_masses(), 600.0, np.random.default_rng(0)))
    warm = dynamics.DynamicsSettings(600.0, 1.0, timestep=1.0, friction_time=100.0, frame_interval=1.0, checkpoint_interval=1.0)
    first = dynamics.integrator_of(atoms, calculator, warm, np.random.default_rng(1))
    for _ in range(1000):
        first.step(600.0)
    momenta = first.motion.momenta - atoms.get_masses()[:, None] * first.motion.momenta.sum(axis=0) / atoms.get_masses().sum()
    atoms.positions = first.motion.positions
    atoms.set_momenta(momenta)
    settings = dynamics.DynamicsSettings(600.0, 1.0, "nve", timestep=1.0, frame_interval=1.0, checkpoint_interval=1.0)
    run = dynamics.integrator_of(atoms, calculator, settings, np.random.default_rng(1))
    energies = np.empty(round(1000 * picoseconds))
    for step in range(len(energies)):
        run.step(600.0)
        energies[step] = (run.field.energy + 0.5 * run.twice_kinetic) / len(atoms) * 1e3
    times = 1e-3 * np.arange(len(energies))
    slopes = [np.polyfit(t, e, 1)[0] for t, e in zip(np.array_split(times, 4), np.array_split(energies, 4), strict=True)]
    return float(np.polyfit(times, energies, 1)[0]), float(np.std(slopes, ddof=1) / 2)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, LATTICES)), help="atoms, from " + ", ".join(map(str, LATTICES)))
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of a row")
    parser.add_argument("--drift", type=float, metavar="PS", help="only the energy drift over so many ps")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what a second is")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(Setup(**json.loads(chosen.worker)))
    elif chosen.drift:
        for dtype in ("float32", "float64"):
            slope, error = drift(chosen.drift, dtype)
            print(f"{dtype}: {slope:+.5f} ± {error:.5f} meV/atom/ps over {chosen.drift:g} ps (aim: below 0.05)", flush=True)
    else:
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f} at the start, {chosen.clock} seconds", flush=True)
        measured = {"seconds": chosen.seconds, "clock": chosen.clock}
        print("\n".join(ladder(measured)), flush=True)
        print("\n".join(sizes_table([int(size) for size in chosen.sizes.split(",")], measured)))


if __name__ == "__main__":
    main()
