"""Steady Nernst-Planck with Butler-Volmer kinetics in 2-D, beside the same problem written by hand in NGSolve; growth and memory.

env/exec python benchmarks/transport.py [--largest 1e6] [--unknowns 5e4]      (with NGSolve where it is: pip install ngsolve)

A film of a binary salt: lithium plates on half of its lower side, the upper side is a reservoir. Both codes solve for
concentration and potential on the same regular triangles with linear elements and a direct solver, by Newton's method. Times are
those of the processor (one thread; on an idle machine the wall's), so that a busy machine measures the same.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Row = tuple[str, str, str]
LENGTH, CATION, ANION, BULK, EXCHANGE = 1e-5, 2e-11, 6e-11, 1000.0, 20.0
F_RT = 96485.33212 / (8.314462618 * 298.15)
FIRST, OTHERS = -0.05, (-0.06, -0.04, -0.055)
"""Potential of the metal in the first solve and in those after it, V."""


@dataclass(frozen=True)
class Timing:
    """What one code took: unknowns, seconds from nothing to the first solution, seconds of a later solve, current (A/m)."""

    unknowns: int
    first: float
    again: float
    current: float


def divisions(unknowns: float, dimension: int = 2) -> int:
    """Squares (cubes) along a side so that two linear fields have about so many unknowns; even: the electrode ends at a node."""
    return 2 * round(((unknowns / 2) ** (1 / dimension) - 1) / 2)


def measured(prepare: Callable[[], tuple[int, Callable[[float], float]]]) -> Timing:
    """Time a code: `prepare` gives its unknowns and a function from the metal's potential to the current."""
    start = time.process_time()
    unknowns, solve = prepare()
    current = solve(FIRST)
    first = time.process_time() - start
    times = []
    for voltage in OTHERS:
        start = time.process_time()
        solve(voltage)
        times.append(time.process_time() - start)
    return Timing(unknowns, first, min(times), current)


def ours(n: int, dimension: int = 2, method: str = "auto") -> tuple[int, Callable[[float], float]]:
    """The product's own transport system."""
    from dolfinx import mesh
    from mpi4py import MPI

    from multiscale.domain import Domain
    from multiscale.transport.media import Electrode, Kinetics, Medium
    from multiscale.transport.nernst_planck import Electroneutral, Species
    from multiscale.transport.steady import steady
    from multiscale.transport.system import TransportSystem

    corners = [[0.0] * dimension, [LENGTH] * dimension]
    make = mesh.create_box if dimension == 3 else mesh.create_rectangle
    body = make(MPI.COMM_SELF, corners, [n] * dimension)
    below = mesh.locate_entities_boundary(body, dimension - 1, lambda x: np.isclose(x[1], 0) & (x[0] <= LENGTH / 2 * 1.0001))
    above = mesh.locate_entities_boundary(body, dimension - 1, lambda x: np.isclose(x[1], LENGTH))
    facets, order = np.concatenate([below, above]), np.argsort(np.concatenate([below, above]))
    marks = np.repeat(np.array([1, 2], dtype=np.int32), [len(below), len(above)])
    cells = np.arange(body.topology.index_map(dimension).size_local, dtype=np.int32)
    domain = Domain(
        body, mesh.meshtags(body, dimension, cells, np.ones_like(cells)),
        mesh.meshtags(body, dimension - 1, facets[order], marks[order]), {"film": 1}, {"metal": 1, "reservoir": 2},
    )  # fmt: skip
    ions = Species("Li+", 1, CATION), Species("X-", -1, ANION)
    law = Kinetics(EXCHANGE, reference_concentration=BULK)
    media, electrodes = [Medium("film", Electroneutral(), ions)], [Electrode("metal", "film", "Li+", law)]
    system = steady(TransportSystem(domain, media, electrodes, method=method))
    system.fix("film", "Li+", BULK, "reservoir")
    system.fix("film", "potential", 0.0, "reservoir")
    system.set_field("film", "Li+", BULK)
    contact = system.contacts["metal"]

    def solve(voltage: float) -> float:
        contact.control_potential(voltage)
        system.solve()
        return float(contact.current)

    return system.solver.unknowns, solve


def by_hand(n: int) -> tuple[int, Callable[[float], float]]:
    """The same equations in NGSolve."""
    import ngsolve as ng
    from ngsolve.meshes import MakeStructured2DMesh

    body = MakeStructured2DMesh(quads=False, nx=n, ny=n, mapping=lambda x, y: (x * LENGTH, y * LENGTH))
    space = ng.H1(body, order=1, dirichlet="top") * ng.H1(body, order=1, dirichlet="top")
    (c, φ), (w, v) = space.TrialFunction(), space.TestFunction()
    metal = ng.Parameter(FIRST)
    F = 96485.33212
    on = ng.IfPos(LENGTH / 2 * 1.0001 - ng.x, 1.0, 0.0)
    cation = -CATION * ng.grad(c) - CATION * F_RT * c * ng.grad(φ)
    anion = -ANION * ng.grad(c) + ANION * F_RT * c * ng.grad(φ)
    η = metal - φ - ng.log(c / BULK) / F_RT
    i = EXCHANGE * ng.sqrt(c / BULK) * (ng.exp(0.5 * F_RT * η) - ng.exp(-0.5 * F_RT * η))
    below = ng.ds("bottom", bonus_intorder=4)
    form = ng.BilinearForm(space)
    form += -F * cation * ng.grad(w) * ng.dx - on * i * w * below
    form += -F * (cation - anion) * ng.grad(v) * ng.dx - on * i * v * below
    u = ng.GridFunction(space)
    u.components[0].Set(ng.CF(BULK))

    def solve(voltage: float) -> float:
        metal.Set(voltage)
        ng.solvers.Newton(form, u, inverse=inverse(), printing=False, maxit=30, maxerr=1e-11)
        c_h, φ_h = u.components
        η_h = metal - φ_h - ng.log(c_h / BULK) / F_RT
        here = EXCHANGE * ng.sqrt(c_h / BULK) * (ng.exp(0.5 * F_RT * η_h) - ng.exp(-0.5 * F_RT * η_h))
        return float(ng.Integrate(on * here * ng.ds("bottom", bonus_intorder=4), body))

    return space.ndof, solve


def inverse() -> str:
    """The fastest of NGSolve's direct solvers for a matrix that is not symmetric, of those that are there."""
    import ngsolve as ng

    return "pardiso" if getattr(ng.config, "USE_PARDISO", False) or getattr(ng.config, "USE_MKL", False) else "umfpack"


def side_by_side(unknowns: float) -> list[Row]:
    """Both codes in one run."""
    n = divisions(unknowns)
    mine = measured(lambda: ours(n))
    rows = [(f"steady Nernst-Planck-Butler-Volmer, {mine.unknowns} unknowns: first, again", _told(mine), "")]
    try:
        import ngsolve
    except ImportError:
        return [*rows, ("the same by hand in NGSolve", "not installed (pip install ngsolve)", "")]
    other = measured(lambda: by_hand(n))
    off = abs(mine.current / other.current - 1)
    text = f"the same by hand in NGSolve {ngsolve.__version__} ({inverse()}), currents {off:.0e} apart: first, again"
    return [*rows, (text, _told(other), ""), ("ratio of a solve after the first", f"{mine.again / other.again:.2f}", "at most 1")]


def _told(timing: Timing) -> str:
    return f"{timing.first:.2f} s, {timing.again:.2f} s"


def growth(largest: float) -> list[Row]:
    """Time of a solve after the first against unknowns, with its exponent."""
    sizes = [size for size in (1e4, 3e4, 1e5, 3e5, 1e6) if size <= largest * 1.001]
    timings = [measured(lambda size=size: ours(divisions(size))) for size in sizes]  # type: ignore[misc]
    told = ", ".join(f"{t.unknowns:.0f}: {t.again:.2f} s" for t in timings)
    slope = np.polyfit(np.log([t.unknowns for t in timings]), np.log([t.again for t in timings]), 1)[0]
    return [(f"solve after the first against unknowns: {told}", f"exponent {slope:.2f}", "at most 1.1")]


def memory(sizes: tuple[int, int] = (16, 32)) -> list[Row]:
    """Memory of a 3-D solve per unknown, from two sizes in processes of their own (what does not grow is taken off)."""
    found = []
    for n in sizes:
        words = [sys.executable, __file__, "--memory-of", str(n)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        found.append([float(word) for word in done.stdout.split()])
    (few, small), (many, large) = found
    each = (large - small) / (many - few)
    return [(f"memory of a 3-D solve, {many:.0f} unknowns, mesh included", f"{each:.2f} kB/unknown", "below 2.5")]


def largest_memory() -> int:
    """Largest memory of this process so far, kB (getrusage would count that of the process it was forked from)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unknowns", type=float, default=5e4, help="of the comparison [5e4]")
    parser.add_argument("--largest", type=float, default=1e6, help="unknowns up to which the growth is measured [1e6]")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.memory_of:
        unknowns, solve = ours(chosen.memory_of, 3, "split")
        solve(FIRST)
        print(unknowns, largest_memory())
        return
    for row in rows(chosen.unknowns, chosen.largest):
        print("| " + " | ".join(row) + " |", flush=True)


def rows(unknowns: float = 5e4, largest: float = 1e5) -> list[Row]:
    """The table of this file, for benchmarks/run.py."""
    return side_by_side(unknowns) + growth(largest) + memory()


if __name__ == "__main__":
    main()
