"""Speed and convergence of filament propagation: prints tables.

    env/exec python benchmarks/propagation.py --speed               200 steps, 55 216 unknowns (aim: 10 min on 2 cores)
    env/exec mpirun -n 2 python benchmarks/propagation.py --speed   the same on two ranks
    env/exec python benchmarks/propagation.py --initiation          one critical current of initiation (aim: 3 s)
    env/exec python benchmarks/propagation.py --convergence         critical current by bisection against mesh and time step

The convergence table holds l = 2 um. Against the mesh: the largest current at which any state is at rest, without time
(`multiscale.propagation.standstill`). Against the time step: the largest current that holds for 20 s from the pristine cell, on
three elements per l. The order that three answers show and the limit after Richardson stand below. Rows found are kept in --kept,
and not computed again.
--initiation wants the records of `multiscale run cases/li-lpscl`.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

from mpi4py import MPI

from coupling.errors import RunFailure

ROOT = Path(__file__).resolve().parent.parent
MESHES = 3.0, 6.0, 12.0, 24.0
"""Elements per l."""
STEPS = 4.0, 2.0, 1.0
"""Time steps, s."""
HELD, RESOLUTION = (118.0, 123.0), 1e-4
"""Bracket to begin with of currents held for 20 s, A/m², and the relative width to end with: far below the differences told."""
BEFORE = (
    "before turns were accelerated (commit 74614bb; one rank, 0.4 s a step, load 6): processor time a step 1.2 to 2.7 s while\n"
    "the crack stalls, 9 to 10.6 s while it grows (about 50 turns in three rounds)"
)
"""What was measured with over-relaxed turns, on the machine of README's table."""
STALL = 0.25
"""Share of the steps of --speed in which the crack stalls."""
SLOW, FAST = 0.4, 0.07
"""Largest time steps of --speed while it stalls and while it grows (0.15 l a step then, at first), s."""


def _case(length: float, **steps: float):
    """The shipped penny-flaw with another l (m) and other keys of [time] (s)."""
    from multiscale.propagation.case import PropagationCase, load_propagation_case

    case = load_propagation_case(ROOT / "cases" / "penny-flaw")
    fracture = case.settings.fracture.model_copy(update={"length": length})
    time = case.settings.time.model_copy(update=steps)
    settings = case.settings.model_copy(update={"fracture": fracture, "time": time})
    return PropagationCase(case.folder, settings, case.materials, case.file)


def speed(steps: int, most: int) -> None:
    """A fine mesh from stall into growth, by the product's own steps: a quarter of them at 12, the rest at 15 mA/cm²; or `most`.

    A step in which the crack runs further than `time.growth` allows is taken back and tried smaller, as in a run; the time that
    costs is in the figures, the count is of accepted steps.
    """
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve
    from multiscale.propagation.march import March
    from multiscale.propagation.protocols import Hold

    comm, stall = MPI.COMM_WORLD, round(STALL * steps)
    case = _case(1e-6, first=SLOW, largest=SLOW, most=min(steps, most))
    start = time.perf_counter()
    model = filament_model(case, resolve(case), comm, elements=9.0)
    unknowns = model.body.unknowns + model.body.unknowns // 3
    if comm.rank == 0:
        print(f"{comm.size} ranks · {unknowns} unknowns · set-up {time.perf_counter() - start:.1f} s · load {load()}", flush=True)
        print(BEFORE)
        print("  steps   wall  processor of rank 0  seconds a step since the last line  taken back  time  crack", flush=True)
    march = March.of(model, case.settings)
    start, busy, every, before = time.perf_counter(), time.process_time(), max(steps // 20, 1), 0.0

    def told() -> None:
        nonlocal before
        number = len(march.rows) - 1
        if comm.rank == 0 and number % every == 0:
            wall, processor = time.perf_counter() - start, time.process_time() - busy
            state = f"{march.retries}  {march.rows[-1].time:.4g} s  {march.rows[-1].length * 1e6:.4g} um"
            each = (processor - before) / every
            print(f"  {number:4d}  {wall:7.1f}  {processor:7.1f}  {each:5.2f}  {state}  load {load()}", flush=True)
            before = processor

    holds = [Hold(120.0, SLOW * stall), Hold(150.0, 1e3)]
    march.run(holds[:1], told)
    march.control = march.control.model_copy(update={"largest": FAST})
    by = march.run(holds, told)
    if comm.rank == 0:
        wall = time.perf_counter() - start
        print(f"ended by: {by}, after {len(march.rows) - 1} steps, {march.retries} taken back, {wall:.1f} s", flush=True)


def load() -> str:
    """Processes that wanted to run in the last minute, on how many cores."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()}"


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


def _at_rest(elements: float) -> dict[str, float]:
    """The largest current at rest on so many elements per l (A/m²), its pressure (Pa), crack length (m), and what it took."""
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve
    from multiscale.propagation.standstill import largest, states_at_rest

    start, case = time.process_time(), _case(2e-6)
    model = filament_model(case, resolve(case), MPI.COMM_SELF, elements=elements)
    states = states_at_rest(model)
    top = largest(states)
    return {
        "value": top.current, "width": 0.0, "pressure": top.pressure, "length": top.crack_area,
        "unknowns": model.body.unknowns + model.body.unknowns // 3, "steps": len(states), "seconds": time.process_time() - start,
    }  # fmt: skip


def _held(step: float) -> dict[str, float]:
    """The largest current that holds for 20 s from the pristine cell at a time step (s), by bisection; columns as `_at_rest`.

    Raises:
        RunFailure: it is not within HELD.
    """
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve
    from multiscale.propagation.march import March, Trial, bisect, bracket
    from multiscale.propagation.protocols import Hold

    start, case = time.process_time(), _case(2e-6, largest=step, first=step, growth=10.0)
    model = filament_model(case, resolve(case), MPI.COMM_SELF, elements=3.0)
    kept, pristine, steps = model.snapshot(), model.state, 0

    def one(current: float) -> Trial:
        nonlocal steps
        model.restore(kept)
        march = March.of(model, case.settings, until_growth=True)
        by = march.run([Hold(current, 20.0)])
        steps += len(march.rows) - 1
        last = march.rows[-1]
        told = f"{current / 10:.4f} mA/cm² {by} at {last.time:.4g} s, {last.pressure / 1e6:.2f} MPa"
        print(f"  step {step:g} s: {told}", flush=True)
        return Trial(current, by != "protocol", by, last.time, last.pressure, last.crack_area - pristine.crack_area)

    trials = bisect(*HELD, RESOLUTION, one)
    low, high = bracket(trials)
    if not 0 < low < high < math.inf:
        raise RunFailure(f"time step {step:g} s: the flaw does not start between {HELD[0] / 10:g} and {HELD[1] / 10:g} mA/cm²")
    top = max((trial for trial in trials if not trial.failed), key=lambda trial: trial.current)
    return {
        "value": math.sqrt(low * high), "width": high / low - 1, "pressure": top.pressure,
        "length": pristine.crack_area + top.growth, "unknowns": model.body.unknowns + model.body.unknowns // 3, "steps": steps,
        "seconds": time.process_time() - start,
    }  # fmt: skip


def convergence(kept: Path) -> None:
    """Critical current of growth against mesh (states at rest) and against time step (held for 20 s)."""
    rows: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    for unit, numbers, find in (("s", STEPS, _held), ("per l", MESHES, _at_rest)):
        for number in numbers:
            if f"{number:g} {unit}" not in rows:
                rows[f"{number:g} {unit}"] = find(number)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1))
    for unit, numbers in (("per l", MESHES), ("s", STEPS)):
        print(f"{unit:8s}  unknowns  current (mA/cm²)  bracket  pressure (MPa)  crack (um)  steps  processor")
        found = [rows[f"{n:g} {unit}"] for n in numbers]
        for n, row in zip(numbers, found, strict=True):
            told = f"{row['pressure'] / 1e6:.2f}  {row['length'] * 1e6:.3f}  {row['steps']:.0f}  {row['seconds']:.0f} s"
            print(f"{n:<8g}  {row['unknowns']:.0f}  {row['value'] / 10:.4f}  {row['width']:.3%}  {told}")
        values = [row["value"] / 10 for row in found]
        for three in zip(values, values[1:], values[2:], strict=False):
            print("  " + ", ".join(f"{value:.4f}" for value in three) + ": " + richardson(*three))


def richardson(coarse: float, middle: float, fine: float) -> str:
    """Observed order and extrapolated value of three answers, each of half the mesh size or time step of the one before."""
    if (coarse - middle) * (middle - fine) <= 0:
        return "the differences do not keep their sign: no order"
    order = math.log2((coarse - middle) / (middle - fine))
    if order <= 0:
        return f"the differences grow (order {order:.2f}): no limit"
    limit = fine + (fine - middle) / (2**order - 1)
    return f"observed order {order:.2f}, extrapolated {limit:.4f}, the finest {fine / limit - 1:+.2%} off"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--most", type=int, default=10**9, help="end --speed after so many of its steps")
    parser.add_argument("--initiation", action="store_true")
    parser.add_argument("--convergence", action="store_true")
    parser.add_argument("--kept", type=Path, default=Path("build/propagation-convergence.json"), help="rows of --convergence")
    chosen = parser.parse_args()
    if chosen.speed:
        speed(chosen.steps, chosen.most)
    if chosen.initiation:
        initiation()
    if chosen.convergence:
        convergence(chosen.kept)
    if not (chosen.speed or chosen.initiation or chosen.convergence):
        parser.print_help()


if __name__ == "__main__":
    main()
