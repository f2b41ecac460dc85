"""Speed and convergence of filament propagation: prints tables.

    env/exec mpirun -n 2 python benchmarks/propagation.py --speed    200 steps, about 60 000 unknowns (aim: 10 min on 2 cores)
    env/exec python benchmarks/propagation.py --initiation          one critical current of initiation (aim: 3 s)
    env/exec python benchmarks/propagation.py --convergence         critical current by bisection against mesh and time step

The convergence table holds l, refines the mesh by factors of two, and extrapolates after Richardson with the order that three
meshes show; a time step five times smaller stands beside it. --initiation wants the records of `multiscale run cases/li-lpscl`.
"""

import argparse
import math
import time
from pathlib import Path

from mpi4py import MPI

from coupling.errors import RunFailure

ROOT = Path(__file__).resolve().parent.parent


def _case(length: float, largest: float):
    """The shipped penny-flaw with another l (m) and largest time step (s)."""
    from multiscale.propagation.case import PropagationCase, load_propagation_case

    case = load_propagation_case(ROOT / "cases" / "penny-flaw")
    fracture = case.settings.fracture.model_copy(update={"length": length})
    steps = case.settings.time.model_copy(update={"largest": largest})
    settings = case.settings.model_copy(update={"fracture": fracture, "time": steps})
    return PropagationCase(case.folder, settings, case.materials, case.file)


def speed(steps: int) -> None:
    """Time steps through stall and growth on a fine mesh."""
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve

    comm, case = MPI.COMM_WORLD, _case(1e-6, 2.5)
    start = time.perf_counter()
    model = filament_model(case, resolve(case), comm, elements=9.0)
    unknowns = model.body.unknowns + model.body.unknowns // 3
    if comm.rank == 0:
        print(f"{comm.size} ranks · {unknowns} unknowns · set-up {time.perf_counter() - start:.1f} s", flush=True)
    start, busy, turns, every = time.perf_counter(), time.process_time(), 0, max(steps // 10, 1)
    for number in range(steps):
        current = 120.0 if number < steps // 4 else 150.0
        try:
            model.step(0.4, current, 2e-6)
        except RunFailure as error:  # the crack runs: a step like the others is over
            if comm.rank == 0:
                print(f"step {number}: {error}")
            break
        turns += model.body.balance.turns
        if comm.rank == 0 and (number + 1) % every == 0:
            wall, processor = time.perf_counter() - start, time.process_time() - busy
            told = f"{turns / (number + 1):5.1f} turns a step  {model.state.length * 1e6:.4g} um"
            print(f"{number + 1:4d} steps  {wall:7.1f} s (processor {processor:.1f} s)  {told}", flush=True)


def initiation() -> None:
    """One critical current of the first case on its fine mesh, after a first one that compiles."""
    from multiscale.case import load_case
    from multiscale.critical_current.continuum import initiation_model
    from multiscale.parameters import continuum_inputs, nominal, resolve
    from multiscale.pipeline import stored_records

    case = load_case(ROOT / "cases" / "li-lpscl")
    found, _ = stored_records(case, ROOT / "cases" / "li-lpscl" / "results")
    inputs = continuum_inputs(case, {key: float(value[0]) for key, value in nominal(resolve(case, found)).items()})
    model = initiation_model(case, inputs, case.settings.geometry.seed, MPI.COMM_SELF, fine=True)
    model.critical_current(1e5)
    model = initiation_model(case, inputs, case.settings.geometry.seed, MPI.COMM_SELF, fine=True)
    start = time.perf_counter()
    critical = model.critical_current(1e5)
    print(f"{model.unknowns} unknowns · {critical.solves} solves · {time.perf_counter() - start:.2f} s")


def convergence(hold: float) -> None:
    """Current at which the flaw starts, by bisection to 0.5 %, on three meshes and two time steps."""
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve
    from multiscale.propagation.march import bisect, bracket
    from multiscale.propagation.protocols import Bisection
    from multiscale.propagation.spread import attempt, begin

    def critical(elements: float, largest: float) -> tuple[float, float]:
        case = _case(2e-6, largest)
        protocol = Bisection.model_construct(kind="ccd-bisection", hold=hold, criterion="growth", resolution=0.005)
        model = filament_model(case, resolve(case), MPI.COMM_SELF, elements=elements)
        pristine, pressures = model.snapshot(), []

        def one(current: float):
            trial = attempt(begin(model, case.settings, protocol, pristine), protocol, current)
            pressures.append((trial.failed, trial.pressure))
            return trial

        low, high = bracket(bisect(90.0, 160.0, 0.005, one))
        return math.sqrt(low * high) / 10, max(pressure for failed, pressure in pressures if not failed) / 1e6

    print("elements per l, largest step (s), critical current (mA/cm²), largest pressure held (MPa)")
    found = []
    for elements, largest in ((2.0, 50.0), (4.0, 50.0), (8.0, 50.0), (4.0, 10.0)):
        start = time.perf_counter()
        current, pressure = critical(elements, largest)
        found.append(current)
        print(f"{elements:g}  {largest:g}  {current:.4f}  {pressure:.2f}   ({time.perf_counter() - start:.0f} s)", flush=True)
    first, second, third = found[:3]
    ratio = (first - second) / (second - third) if second != third else math.nan
    order = math.log2(abs(ratio)) if ratio > 0 else math.nan
    limit = third + (third - second) / (2**order - 1) if order > 0 else math.nan
    told = f"time step five times smaller: {found[3] / second - 1:+.2%}"
    print(f"observed order {order:.2f}; extrapolated {limit:.4f} mA/cm²; {told}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--initiation", action="store_true")
    parser.add_argument("--convergence", action="store_true")
    parser.add_argument("--hold", type=float, default=200.0, help="hold time of the bisection, s")
    chosen = parser.parse_args()
    if chosen.speed:
        speed(chosen.steps)
    if chosen.initiation:
        initiation()
    if chosen.convergence:
        convergence(chosen.hold)
    if not (chosen.speed or chosen.initiation or chosen.convergence):
        parser.print_help()


if __name__ == "__main__":
    main()
