"""Trains a potential by distilling a teacher: `python -m atomistic.training RECIPE.toml --out DIR`.

A recipe holds everything: structures, jobs, model, fit, seeds. Work goes in generations: generation 0 samples rattled
cells and relaxations, every later one runs molecular dynamics with the potential of the generation before. Each job
writes one file of labelled frames under DIR/frames, whole or not at all; each fit keeps a checkpoint DIR/fit-N.pt. A
killed run continues with the same command; finished jobs and fits are not repeated.
"""

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write

from atomistic import fitting, labels, mace_model, potential, sampling
from atomistic.sampling import Structure, seed_of
from coupling.atomic import replacing, write_json
from coupling.errors import RunFailure, UserError

HELD_OUT = "test"


@dataclass(frozen=True)
class Task:
    """One [[task]] of a recipe: a sampling method on several structures."""

    generation: int | str  # number of the fit that first uses it, or "test": never used in a fit
    method: str  # rattle, contact, relax or md
    family: str  # label under which errors are reported
    structures: tuple[str, ...]
    copies: int = 1
    frames: int = 10
    strain: float = 0.0
    rattle: tuple[float, float] = (0.02, 0.1)
    volume: tuple[float, float] = (1.0, 1.0)
    temperatures: tuple[float, ...] = (300.0,)
    steps: int = 500
    interval: int = 100
    timestep_fs: float = 2.0
    relax_steps: int = 0
    engine: str = "potential"  # or "teacher": who drives relax and md
    last: int = 99  # last generation whose fit still uses the frames
    approach: tuple[float, float] = (0.5, 0.95)  # contact: distance left over distance before
    max_force: float = 0.0  # eV/Å; 0: the recipe's


@dataclass(frozen=True)
class Job:
    """One trajectory or set of frames of a task."""

    task: Task
    structure: str
    temperature: float
    copy: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the job's file."""
        task = self.task
        return f"g{task.generation}-{task.family}-{task.method}-{self.structure}-{self.temperature:g}K-{self.copy}"


@dataclass(frozen=True)
class Recipe:
    """A training recipe, as read from TOML."""

    name: str
    seed: int
    epochs: tuple[int, ...]  # of the fit of each generation
    held_out_engine: int  # generation whose potential drives the held-out trajectories; -1: the teacher
    validation_every: int  # one job in so many is for validation
    max_force: float  # eV/Å: frames with a larger teacher force are left out
    structures: dict[str, Structure]
    tasks: tuple[Task, ...]
    model: dict[str, Any]
    fit: dict[str, Any]


def _frozen(kind: type, entry: dict[str, Any], where: str) -> Any:
    """Dataclass of a TOML table; unknown or missing keys raise UserError."""
    known = [field.name for field in fields(kind)]
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    if "composition" in entry:
        values["composition"] = tuple(entry["composition"].items())
    try:
        return kind(**values)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        UserError: missing file, broken TOML, unknown keys, or a task that names a structure that is not there.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not readable as a recipe ({error})") from error
    structures = {entry.get("id", "?"): _frozen(Structure, entry, f"{path}: structure") for entry in raw.pop("structure", [])}
    tasks = tuple(_frozen(Task, entry, f"{path}: task {number}") for number, entry in enumerate(raw.pop("task", []), 1))
    for task in tasks:
        for name in task.structures:
            if name not in structures:
                raise UserError(f"{path}: a task names structure {name!r}; known: {', '.join(structures)}")
    recipe: Recipe = _frozen(Recipe, raw | {"structures": structures, "tasks": tasks}, str(path))
    every = [job.name for generation in {task.generation for task in tasks} for job in jobs(recipe, generation)]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise UserError(f"{path}: two tasks make the same job {twice[0]!r}: raise `copies` in one task instead")
    return recipe


def jobs(recipe: Recipe, generation: int | str) -> list[Job]:
    """Jobs of one generation, each with a seed that depends on its own name and the recipe's seed only."""
    found = []
    for task in recipe.tasks:
        if task.generation == generation:
            for structure in task.structures:
                for temperature in task.temperatures if task.method == "md" else (0.0,):
                    for copy in range(task.copies):
                        bare = Job(task, structure, temperature, copy, 0)
                        found.append(Job(task, structure, temperature, copy, seed_of(recipe.seed, bare.name)))
    return found


def sample(recipe: Recipe, job: Job, calculator: Calculator | None) -> list[Atoms]:
    """Unlabelled frames of a job; `calculator` drives relaxations and dynamics.

    Raises:
        UserError: unknown method.
    """
    task = job.task
    atoms = sampling.start(recipe.structures[job.structure], job.seed)
    if task.method == "rattle":
        return sampling.rattled_frames(atoms, task.frames, task.strain, task.rattle, job.seed, task.volume)
    if task.method == "contact":
        return sampling.contact_frames(atoms, task.frames, task.approach, task.rattle[0], job.seed)
    random = np.random.default_rng(job.seed)
    atoms = sampling.strained(atoms, task.strain, random)
    atoms.positions += random.normal(0, 0.02, atoms.positions.shape)
    engine = labels.teacher() if task.engine == "teacher" or calculator is None else calculator
    if task.method == "relax":
        return sampling.relaxed_frames(atoms, engine, task.steps, task.interval)
    if task.method == "md":
        return sampling.md_frames(
            atoms, engine, job.temperature, task.steps, task.interval, task.timestep_fs, job.seed, task.relax_steps
        )
    raise UserError(f"task of generation {task.generation}: unknown method {task.method!r}; known: rattle, contact, relax, md")


def run_jobs(recipe: Recipe, generation: int | str, out: Path, calculator: Callable[[], Calculator] | None) -> None:
    """Sample and label the jobs of a generation that have no file yet."""
    todo = jobs(recipe, generation)
    engine = None
    for number, job in enumerate(todo, 1):
        path = out / "frames" / f"{job.name}.extxyz"
        if path.exists():
            continue
        if engine is None and calculator is not None and job.task.method not in ("rattle", "contact"):
            engine = calculator()
        began = time.monotonic()
        frames = sample(recipe, job, engine)
        labelled = labels.label_all(frames, job.task.max_force or recipe.max_force)
        for frame in labelled:
            frame.info |= {"family": job.task.family, "job": job.name}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(temporary, labelled, format="extxyz") if labelled else temporary.write_text("")
        print(
            f"[{generation}] {number}/{len(todo)} {job.name}: {len(labelled)} of {len(frames)} frames, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )


def load_frames(recipe: Recipe, generations: list[int | str], out: Path) -> list[Atoms]:
    """Labelled frames of some generations, in the order of the recipe; REF_* values are in info and arrays.

    Left out are tasks whose `last` generation is below the highest one asked for, and frames above max_force.
    """
    frames: list[Atoms] = []
    newest = max((generation for generation in generations if isinstance(generation, int)), default=0)
    for generation in generations:
        for job in jobs(recipe, generation):
            path = out / "frames" / f"{job.name}.extxyz"
            if job.task.last >= newest and path.stat().st_size:
                limit = job.task.max_force or recipe.max_force
                frames += [frame for frame in read(path, ":", format="extxyz") if labels.usable(frame, limit)]
    return frames


def split(frames: list[Atoms], every: int) -> tuple[list[Atoms], list[Atoms]]:
    """Training and validation frames: whole jobs go to one side, one job in `every` (the first by hash) to validation."""
    names = sorted({frame.info["job"] for frame in frames}, key=lambda name: seed_of("validation", name))
    chosen = set(names[: len(names) // every])
    return [f for f in frames if f.info["job"] not in chosen], [f for f in frames if f.info["job"] in chosen]


def fit_generation(recipe: Recipe, generation: int, out: Path, before: Path | None) -> Path:
    """Fit the model of a generation on the frames of all generations up to it; returns the folder of the potential.

    The fit starts from the potential of the generation before, where there is one.
    """
    stored = out / f"{recipe.name}-{generation}"
    if (stored / mace_model.TEXT).exists():
        return stored
    frames = load_frames(recipe, list(range(generation + 1)), out)
    train, valid = split(frames, recipe.validation_every)
    print(f"[fit {generation}] {len(train)} training and {len(valid)} validation frames", flush=True)
    model = fitting.new_model(train, recipe.model, recipe.seed) if before is None else mace_model.load(before)
    fitted = fitting.fit(
        model,
        train,
        valid,
        recipe.epochs[generation],
        _frozen(fitting.FitSettings, recipe.fit, "fit"),
        recipe.seed + 1000 * generation,
        out / f"fit-{generation}.pt",
    )
    mace_model.save(fitted, stored)
    return stored


def errors(frames: list[Atoms], calculator: Calculator) -> dict[str, dict[str, float]]:
    """Errors against the labels by family, and for all frames together under "all".

    Returns:
        {family: {"frames", "energy_rmse_meV_per_atom", "force_rmse_meV_per_A", "force_rms_meV_per_A",
        "stress_rmse_GPa"}}; force_rms is the size of the teacher's forces themselves.
    """
    gathered: dict[str, list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]] = {}
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        energy = (atoms.get_potential_energy() - frame.info["REF_energy"]) / len(atoms)
        reference = frame.arrays["REF_forces"]
        stress = atoms.get_stress() - frame.info["REF_stress"]
        for family in (frame.info["family"], "all"):
            gathered.setdefault(family, []).append((energy, atoms.get_forces() - reference, reference, stress))
    return {family: _summary(rows) for family, rows in sorted(gathered.items())}


def _summary(rows: list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Root mean squares of a list of (energy per atom, force error, force, stress error)."""

    def rms(parts: list[np.ndarray]) -> float:
        return float(np.sqrt(np.mean(np.concatenate([np.ravel(part) for part in parts]) ** 2)))

    return {
        "frames": len(rows),
        "energy_rmse_meV_per_atom": round(1e3 * rms([np.array([row[0]]) for row in rows]), 2),
        "force_rmse_meV_per_A": round(1e3 * rms([row[1] for row in rows]), 1),
        "force_rms_meV_per_A": round(1e3 * rms([row[2] for row in rows]), 1),
        "stress_rmse_GPa": round(160.21766 * rms([row[3] for row in rows]), 3),
    }


def train(recipe_path: str | Path, out: str | Path) -> Path:
    """Run a recipe to its end; returns the folder of the last potential, with errors.json beside its weights."""
    recipe, target = read_recipe(recipe_path), Path(out)
    if not recipe.epochs:
        raise UserError(f"{recipe_path}: epochs is empty: the number of passes of at least one generation is needed")
    before: Path | None = None
    stored = target
    for generation in range(len(recipe.epochs)):
        engine = None if before is None else _engine(before)
        run_jobs(recipe, generation, target, engine)
        if generation == recipe.held_out_engine + 1:
            run_jobs(recipe, HELD_OUT, target, engine)
        stored = fit_generation(recipe, generation, target, before)
        before = stored
    table = errors(load_frames(recipe, [HELD_OUT], target), potential.load(stored, dtype="float64"))
    write_json(stored / "errors.json", table)
    print(json.dumps(table, indent=1))
    return stored


def _engine(folder: Path) -> Callable[[], Calculator]:
    """Loader of a potential, called when the first job needs it."""
    return lambda: potential.load(folder, dtype="float32")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atomistic.training", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="recipe in TOML, for example atomistic/data/potentials/lpscl/recipe.toml")
    parser.add_argument("--out", required=True, help="folder for frames, fits and potentials; the same folder continues")
    options = parser.parse_args(arguments)
    try:
        print(f"potential: {train(options.recipe, options.out)}")
    except (UserError, RunFailure) as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
