"""What a properties study reads off the frames that its diffusion runs keep: Onsager matrices, structure. Nothing is run anew."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomistic import bulk_onsager, structure_reading
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.trajectory import Trajectory
from coupling.errors import UserError
from coupling.store import digest

if TYPE_CHECKING:
    from atomistic.study import Toolbox


def with_matrices(
    listed: Sequence[Task], answers: Sequence[Mapping[str, Any]], tools: "Toolbox", store: Path
) -> list[dict[str, Any]]:
    """The answers, those of diffusion runs with the Onsager matrix of the frames that the run keeps.

    Raises:
        UserError: the frames of a run are gone, though its answer is kept.
    """
    done: list[dict[str, Any]] = []
    for task, answer in zip(listed, answers, strict=True):
        if task.kind != "diffusion" or "value" not in answer:
            done.append(dict(answer))
            continue
        kept = _kept(store, task, "the Onsager matrix")
        charges = bulk_onsager.species_charges(tools.crystal(task.parameters["phase"], task.parameters["seed"]))
        done.append({**answer, "onsager": bulk_onsager.of_run(kept, task.parameters["mobile"], charges)})
    return done


def with_structures(
    listed: Sequence[Task], answers: Sequence[Mapping[str, Any]], tools: "Toolbox", store: Path, comm: Any = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The answers, those of diffusion runs with the structure of the frames that the run keeps: a task each, kept like a run.

    Raises:
        UserError: the frames of a run are gone, though its answer is kept.
    """
    moved = {task.key: task for task, answer in zip(listed, answers, strict=True)
             if task.kind == "diffusion" and "value" in answer}  # fmt: skip
    read = [Task(digest({"of": key, "structure": structure_reading.VERSION}), task.label.replace(" diffusion ", " structure "),
                 0.01 * task.cost, "structure", {"of": key}) for key, task in moved.items()]  # fmt: skip

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        made = moved[task.parameters["of"]]
        kept, what = _kept(store, made, "the structure"), made.parameters
        return structure_reading.of_run(kept, tools.crystal(what["phase"], what["seed"]), what["mobile"])

    found = dict(zip(moved, run_tasks(read, work, store, comm, progress) if read else [], strict=True))
    return [{**answer, "structure": found[task.key]} if task.key in found else dict(answer)
            for task, answer in zip(listed, answers, strict=True)]  # fmt: skip


def _kept(store: Path, task: Task, what: str) -> Trajectory:
    """The frames of a diffusion run. Raises UserError: they are gone, though its answer is kept."""
    try:
        return bulk_onsager.kept_run(store / task.folder, task.parameters["production"])
    except UserError as error:
        told = f"{what} of {task.label} needs the frames of its run, which are no longer there"
        raise UserError(f"{told} ({error}); delete {store / task.key}.json to run it anew") from None
