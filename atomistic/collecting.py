"""Samples and labels the frames of a recipe, job by job, over MPI ranks; a killed run continues with what is missing."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write

from atomistic import labels, potential, sampling
from atomistic.recipe import HELD_OUT, TEACHER, TRAIN, Job, Recipe, jobs
from atomistic.scheduler import Progress, Task, Tick, run_tasks
from coupling.atomic import replacing
from coupling.store import digest

COSTS = {"rattle": 1.0, "contact": 1.0, "relax": 3.0, "md": 4.0}
"""Rough relative costs of a job by method, for the order of work and the estimate of the time left."""


def collect(recipe: Recipe, rounds: int, out: Path, comm: Any = None, progress: Progress | None = None) -> dict[str, Path]:
    """Frames files of all jobs up to round `rounds`, by job name; jobs that have theirs are not repeated.

    Raises:
        UserError: a driver that cannot be loaded, a teacher that is not here, a structure that cannot be built.
        RunFailure: the teacher stopped at a frame.
    """
    wanted = [job for job in jobs(recipe) if job.task.round <= rounds]
    tasks = [Task(_key(recipe, job), job.name, COSTS[job.task.method], job.task.method, {"job": job.name}) for job in wanted]
    by_name = {job.name: job for job in wanted}
    engines: dict[str, Calculator] = {}

    def work(task: Task, folder: Path, tick: Tick) -> Mapping[str, Any]:
        job = by_name[task.parameters["job"]]
        return _work(recipe, job, folder, lambda: _engine(recipe, job, engines))

    run_tasks(tasks, work, out, comm, progress)
    return {job.name: out / task.key / "frames.extxyz" for job, task in zip(wanted, tasks, strict=True)}


def _key(recipe: Recipe, job: Job) -> str:
    """Hash of what the frames of a job depend on (the driver by name: a later one does not make old frames wrong)."""
    what = {"task": _stated(job.task), "structure": _stated(recipe.structures[job.structure]), "seed": job.seed}
    return digest(what | {"temperature": job.temperature, "max_force": recipe.max_force, "labeller": _title(recipe)})


def _title(recipe: Recipe) -> str:
    """The teacher of a recipe as job keys name it."""
    return labels.title(labels.TEACHERS[recipe.labeller])


def _stated(settings: Any) -> dict[str, Any]:
    """Fields of a dataclass that differ from their defaults: a new key of recipes makes no old job anew."""
    return {each.name: getattr(settings, each.name) for each in fields(settings) if getattr(settings, each.name) != each.default}


def _engine(recipe: Recipe, job: Job, engines: dict[str, Calculator]) -> Calculator:
    """Calculator that drives a job, loaded once per process."""
    name = job.task.driver or recipe.driver
    if name not in engines:
        engines[name] = labels.teacher(recipe.labeller) if name == TEACHER else potential.load(name, dtype="float32")
    return engines[name]


def _work(recipe: Recipe, job: Job, folder: Path, engine: Callable[[], Calculator]) -> dict[str, Any]:
    """Sample and label one job."""
    frames = sample(recipe, job, engine)
    labelled = labels.label_all(frames, job.task.max_force or recipe.max_force, recipe.labeller)
    for frame in labelled:
        frame.info |= {"family": job.task.family, "job": job.name, "structure": job.structure}
    with replacing(folder / "frames.extxyz") as temporary:
        write(temporary, labelled, format="extxyz", parallel=False) if labelled else temporary.write_text("")
    return {"sampled": len(frames), "kept": len(labelled), "atoms": sum(map(len, labelled))}


def sample(recipe: Recipe, job: Job, engine: Callable[[], Calculator]) -> list[Atoms]:
    """Unlabelled frames of a job; `engine` gives the calculator where relaxations or dynamics need one."""
    task = job.task
    atoms = sampling.start(recipe.structures[job.structure], job.seed)
    if task.method == "rattle":
        return sampling.rattled_frames(atoms, task.frames, task.strain, task.rattle, job.seed, task.volume)
    if task.method == "contact":
        return sampling.contact_frames(atoms, task.frames, task.approach, task.rattle[0], job.seed)
    random = np.random.default_rng(job.seed)
    atoms = sampling.strained(atoms, task.strain, random)
    atoms.positions += random.normal(0, 0.02, atoms.positions.shape)
    if task.method == "relax":
        return sampling.relaxed_frames(atoms, engine(), task.steps, task.interval)
    return sampling.md_frames(
        atoms, engine(), job.temperature, task.steps, task.interval, task.timestep_fs, job.seed, task.relax_steps
    )


def gather(recipe: Recipe, files: Mapping[str, Path]) -> dict[str, list[Atoms]]:
    """Labelled frames of the jobs, by set ("train", "test"), in the order of the recipe."""
    found: dict[str, list[Atoms]] = {TRAIN: [], HELD_OUT: []}
    for job in jobs(recipe):
        path = files.get(job.name)
        if path is not None and path.stat().st_size:
            found[job.task.set] += read(path, ":", format="extxyz", parallel=False)
    return found
