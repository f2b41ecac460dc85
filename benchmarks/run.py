"""Measures the product's speed beside what a user would otherwise pick, and prints one table.

env/exec python benchmarks/run.py [--demo]      (--demo also times the whole first case; ten minutes)
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASE = ROOT / "cases" / "li-lpscl"


def seconds(action: Callable[[], object], repeats: int = 3) -> float:
    """Smallest wall time of a few runs, s."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def command(*words: str) -> Callable[[], object]:
    """A command line as an action; its failure ends the benchmark."""
    return lambda: subprocess.run(words, check=True, capture_output=True, cwd=ROOT)


def md_rows() -> list[tuple[str, str, str]]:
    """Time per atom and step of a force call on 400-odd atoms: shipped potential by each engine, and its teacher."""
    from atomistic import potential, structures

    atoms = structures.supercell(structures.bulk("Li3P"), 17.0)
    atoms.rattle(0.05, seed=1)
    rows = []
    for engine, name in (("symmetrix", "lpscl"), ("mace", "lpscl"), ("chgnet", "chgnet")):
        atoms.calc = potential.load(name, engine=engine)

        def step() -> None:
            atoms.positions += 1e-4
            atoms.get_forces()

        for _ in range(6 if engine == "mace" else 2):
            step()
        rows.append((f"MD force call, {len(atoms)} atoms, {engine}", f"{seconds(step, 5) / len(atoms) * 1e6:.0f} µs/atom", ""))
    return rows


def solve_rows() -> list[tuple[str, str, str]]:
    """One steady solve of the case's fine mesh after the first, and the continuation to its critical current."""
    from mpi4py import MPI

    from multiscale.case import load_case
    from multiscale.critical_current.continuum import initiation_model
    from multiscale.parameters import continuum_inputs, nominal, resolve

    case = load_case(CASE)
    leaf = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    start = time.perf_counter()
    model = initiation_model(case, continuum_inputs(case, leaf), case.settings.geometry.seed, MPI.COMM_SELF, fine=True)
    model.solve_field(10.0, 1e7)
    first = time.perf_counter() - start
    currents = iter([11.0, 13.0, 9.0, 12.0])
    solve = seconds(lambda: model.solve_field(next(currents), 1e7))
    return [
        (f"mesh, compilation, first steady solve, {model.unknowns} unknowns", f"{first:.1f} s", ""),
        (f"steady non-linear solve, {model.unknowns} unknowns, after the first", f"{solve:.2f} s", "below 3 s"),
    ]


def voxel_rows() -> list[tuple[str, str, str]]:
    """Effective conductivity of a voxel image, beside TauFactor where it is installed."""
    from voxels import measured

    return measured()


def transport_rows() -> list[tuple[str, str, str]]:
    """Steady Nernst-Planck with Butler-Volmer kinetics, beside NGSolve where it is installed; growth and memory."""
    from transport import rows

    return rows()


def command_rows() -> list[tuple[str, str, str]]:
    """The command that a user types most."""
    check = seconds(command(sys.executable, "-m", "multiscale", "check", str(CASE)))
    return [("multiscale check", f"{check:.2f} s", "below 2 s")]


def demo_rows() -> list[tuple[str, str, str]]:
    """The first case from nothing on two ranks: wall time and largest memory of one rank."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("mpirun", "-n", "2", sys.executable, "-m", "multiscale", "run", str(CASE), "--out", folder)
        wall = seconds(command(*words), 1)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return [
        ("first case from structures to report, 2 ranks", f"{wall / 60:.1f} min", "below 10 min"),
        ("largest memory of a rank", f"{peak:.2f} GB", "below 2 GB (4 GB for two)"),
    ]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--demo", action="store_true", help="also run the first case from nothing")
    chosen = arguments.parse_args()
    rows = command_rows() + solve_rows() + transport_rows() + voxel_rows() + md_rows() + (demo_rows() if chosen.demo else [])
    print(f"{os.cpu_count()} cores, one thread a process\n\n| what | measured | aim |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
