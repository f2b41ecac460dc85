"""Effective conductivity of an 80³ two-phase image: our two schemes beside TauFactor on the CPU, time and error in one table.

env/exec python benchmarks/voxels.py [--quick]      (--quick leaves the refined answer and the errors out; saves a minute)

TauFactor 1.2.1 is measured where it can be imported (pip install -e .[benchmarks]). The error is taken against the
enclosure of the same image with every voxel cut into eight, which is independent of either program's convergence.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from multiscale.conduction.voxel_conduction import effective_conductivity

SIZE = 80
AIM = "below 8 s in all"


def image() -> np.ndarray:
    """Half solid, half pore: smoothed noise, cut at its median."""
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(SIZE,) * 3), 3, mode="wrap")
    return (noise > np.median(noise)).astype(float)


def timed(solve: Callable[[], float]) -> tuple[float, float]:
    """Answer and wall time, s."""
    start = time.perf_counter()
    answer = solve()
    return answer, time.perf_counter() - start


def ours(κ: np.ndarray, scheme: str) -> float:
    """Effective conductivity along the first axis."""
    return float(effective_conductivity(κ, (1.0,) * 3, scheme, axes=[0]).tensor[0, 0])  # type: ignore[arg-type]


def taufactor(κ: np.ndarray) -> float:
    """The same by TauFactor with its own criterion. Raises ImportError where it is missing."""
    import taufactor as program

    solver = program.Solver(κ.astype(int), device="cpu")
    solver.solve(verbose=False)
    return float(np.ravel(solver.D_eff)[0])


def measured(refine: bool = True) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, aim."""
    κ = image()
    answers = {f"ours, finite {scheme}": timed(lambda scheme=scheme: ours(κ, scheme)) for scheme in ("volumes", "elements")}
    total = sum(wall for _, wall in answers.values())
    try:
        answers |= {f"TauFactor, CPU, {run} call": timed(lambda: taufactor(κ)) for run in ("first", "second")}
    except ImportError as error:
        print(f"TauFactor is not measured: {error}")
    told = dict.fromkeys(answers, "")
    rows = []
    if refine:
        fine = np.kron(κ, np.ones((2, 2, 2)))
        low, high = (ours(fine, scheme) for scheme in ("volumes", "elements"))
        middle = (low + high) / 2
        told = {name: f", {100 * (value / middle - 1):+.1f} %" for name, (value, _) in answers.items()}
        rows = [(f"the refined answer ({2 * SIZE}³)", f"{low:.4f} … {high:.4f} (± {50 * (high - low) / middle:.1f} %)", "")]
    head = f"κ of {SIZE}³ voxels"
    found = [(f"{head}, {name}", f"{value:.5f}, {wall:.1f} s{told[name]}", "") for name, (value, wall) in answers.items()]
    return [*found, (f"{head}, ours, both schemes", f"{total:.1f} s", AIM), *rows]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="without the refined answer")
    rows = measured(not arguments.parse_args().quick)
    print(f"{os.cpu_count()} cores, one thread a process\n\n| what | measured | aim |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
