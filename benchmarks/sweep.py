"""Measures what a sweep adds to each design beyond its solve: a command that only copies a finished summary stands for the solve.

With --solve, real designs of cases/li-lpscl instead, one critical current on up to 10 000 unknowns each: processor time a design,
and what 1000 of them would take on two cores. Once where materials alone vary, so that the worker keeps its mesh, once where
each design has its own.

env/exec python benchmarks/sweep.py [--designs 100] [--solve]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from multiscale.sweeps import driver
from multiscale.sweeps.engines import LocalPool
from multiscale.sweeps.settings import load_sweep

ROOT = Path(__file__).resolve().parent.parent
SWEEP = """title = "overhead"
[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "range"
from = "10 nm"
to = "90 nm"
steps = {designs}
[run]
command = ["sh", "-c", "cp {summary} $2/summary.json", "sh"]
"""
SOLVED = """title = "speed"
fidelity = "screening"
[fixed]
"materials.Li6PS5Cl-interphase.poissons_ratio" = "0.25"
[[variable]]
name = "conductivity"
key = "materials.Li6PS5Cl-interphase.ionic_conductivity"
kind = "sobol"
from = "1e-6 S/m"
to = "1e-2 S/m"
spacing = "log"
[[variable]]
name = "modulus"
key = "materials.Li6PS5Cl-interphase.youngs_modulus"
kind = "sobol"
from = "10 GPa"
to = "80 GPa"
{thickness}
[sampling]
count = {designs}
"""
THICKNESS = """[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "sobol"
from = "20 nm"
to = "100 nm"
"""
SUMMARY = {"ccd": {"value": 1.0, "low": 0.5, "high": 2.0, "level": 0.9, "unit": "mA/cm^2"}}


def write(folder: Path, designs: int) -> Path:
    """A case with a sweep of so many designs, solved by a copy."""
    case = folder / "case"
    case.mkdir()
    (case / "case.toml").write_text((ROOT / "cases" / "li-lpscl" / "case.toml").read_text(encoding="utf-8"), encoding="utf-8")
    summary = folder / "summary.json"
    summary.write_text(json.dumps(SUMMARY), encoding="utf-8")
    (case / "sweep.toml").write_text(SWEEP.format(designs=designs, summary=summary), encoding="utf-8")
    return case


def solve_alone(folder: Path, repeats: int = 20) -> float:
    """Wall time of the solve by itself, s."""
    (folder / "alone").mkdir()
    words = ["sh", "-c", f"cp {folder / 'summary.json'} $2/summary.json", "sh", str(folder), str(folder / "alone")]
    start = time.perf_counter()
    for _ in range(repeats):
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return (time.perf_counter() - start) / repeats


def processor_time() -> float:
    """Processor time of this process and of those it has waited for, s: other work on the machine does not change it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def solved(designs: int) -> None:
    """Print the table of real designs."""
    print("one slot, start of the worker included\n")
    print("| what | processor time a design | unknowns | 1000 designs, 2 cores |\n|---|---|---|---|")
    for told, thickness in (("materials vary", ""), ("materials and thickness vary: a mesh a design", THICKNESS)):
        with tempfile.TemporaryDirectory() as name:
            case = write(Path(name), designs)
            (case / "sweep.toml").write_text(SOLVED.format(designs=designs, thickness=thickness), encoding="utf-8")
            busy = processor_time()
            prepared = driver.prepare(load_sweep(case), Path(name) / "store")
            tally = driver.complete(prepared, LocalPool(), 1, 1)
            each = (processor_time() - busy) / designs
            unknowns = [int(prepared.store.status(one).answers.get("unknowns", 0)) for one in prepared.names]
        if tally.done != designs:
            sys.exit(f"{designs - tally.done} designs were not done")
        print(f"| {told} | {each:.2f} s | {min(unknowns)} … {max(unknowns)} | {each * 1000 / 2 / 60:.1f} min |")


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--designs", type=int, default=100)
    arguments.add_argument("--solve", action="store_true", help="real designs")
    chosen = arguments.parse_args()
    designs = chosen.designs
    if chosen.solve:
        return solved(designs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = write(folder, designs)
        alone = solve_alone(folder)
        start, busy = time.perf_counter(), processor_time()
        prepared = driver.prepare(load_sweep(case), folder / "store")
        written = time.perf_counter() - start
        start = time.perf_counter()
        tally = driver.complete(prepared, LocalPool(), 1, 1)
        ran, busy = time.perf_counter() - start, processor_time() - busy
        start = time.perf_counter()
        driver.complete(prepared, LocalPool(), 1, 1)
        again = time.perf_counter() - start
    if tally.done != designs:
        sys.exit(f"{designs - tally.done} designs were not done")
    print("one slot; the start of the workers is in the second row\n\n| what | measured | aim |\n|---|---|---|")
    print(f"| a design written to the store | {written / designs * 1e3:.0f} ms | |")
    print(f"| a design run, beyond its solve of {alone * 1e3:.0f} ms | {(ran / designs - alone) * 1e3:.0f} ms | |")
    print(f"| both: overhead of a design | {(written + ran) / designs * 1e3 - alone * 1e3:.0f} ms | 100 ms |")
    print(f"| processor time of both, solve and start of the workers included | {busy / designs * 1e3:.0f} ms | |")
    print(f"| a finished sweep of {designs} designs looked at again | {again:.2f} s | |")


if __name__ == "__main__":
    main()
