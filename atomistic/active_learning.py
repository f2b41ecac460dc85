"""Active learning: a committee is improved on the frames of a study until its force error there is small enough.

Generation by generation, each in a folder of its own (OUT/generation-00, …):

1. md: the study's structures run with one member, the committee says how certain it is.
2. control.h5: a random sample of all frames is labelled. It tests the potential as it is (before.json: error found, error
   claimed by the calibration of the generation before, coverage of its bounds), and nothing else has seen these labels.
3. The loop ends where the errors found and claimed are both below the target, on frames of every structure, or the budget is
   spent.
4. candidates.extxyz: frames whose calibrated error passes the threshold, chosen to differ; labels: they are labelled.
5. set.h5: all frames learnt so far, the control frames of the generations before included.
6. potential: the committee fitted anew from the one before.
7. calibration.json: its bounds, from the control frames of this generation, which it has not learnt.

What a killed run left is kept: the same command goes on, nothing is labelled or fitted twice.

Sources: Zhang, Lin, Wang, Car and E, Phys. Rev. Mater. 3, 023804 (2019) (exploration steered by a committee); Vandermause et
al., npj Comput. Mater. 6, 20 (2020).
"""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import calibration, dataset, improve_pictures, improve_stages, potential, selection
from atomistic.calibration import UNCALIBRATED, Calibration
from atomistic.improve_stages import Crew, Judgement, Tools
from atomistic.improve_study import FILE, Study, start_folder
from atomistic.sampling import seed_of
from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError

Say = Callable[[str], None]
SUMMARY, FITTED = "summary.json", "fitted.json"
RAISABLE = ("generations", "total")
"""Keys of [budget] that may change in a folder that is half done."""


@dataclass(frozen=True)
class State:
    """What a generation hands to the next.

    Attributes:
        committee: folder of the potential. claims: its calibration, None before there is one.
        learnt: frames labelled in the loop that it has learnt. control: labelled frames that it has not.
        spent: labels asked for so far, failed ones included.
    """

    committee: Path
    claims: Calibration | None
    learnt: tuple[Atoms, ...] = ()
    control: tuple[Atoms, ...] = ()
    spent: int = 0


def improve(study: Study, out: Path, tools: Tools, crew: Crew | None = None, say: Say = lambda text: None) -> dict[str, Any]:
    """Run the loop to its end; returns what OUT/history.json holds.

    Raises:
        UserError: OUT belongs to another study, or the study cannot be run.
        RunFailure: no run gave a physical frame, or no label could be learnt.
    """
    crew, out = crew or Crew(), out.resolve()
    crew.first(lambda: _claim(study, tools, out))
    first = improve_stages.first_sets(study, tools.labeller)
    start = start_folder(study)
    if start is None:
        start = _first_fit(study, first, out / "start", tools, crew, say)
    state, summaries = State(start, None), list[dict[str, Any]]()
    for number in itertools.count():
        folder = out / f"generation-{number:02d}"
        summary = _stored(folder, study)
        if summary is None:
            summary = _generation(study, number, state, first, folder, tools, crew, say)
            crew.first(partial(write_json, folder / SUMMARY, summary))
        summaries.append(summary)
        state = _after(state, summary, folder, out)
        crew.first(partial(_history, study, summaries, state, out))
        if summary["stop"]:
            break
    say(f"stopped: {summaries[-1]['stop']}")
    return dict(json.loads((out / "history.json").read_text(encoding="utf-8")))


def _first_fit(study: Study, first: list[Atoms], folder: Path, tools: Tools, crew: Crew, say: Say) -> Path:
    """Committee fitted to the study's sets, where there is no potential to start from."""
    marker = folder / FITTED
    if not marker.exists():
        say(f"first fit to {len(first)} frames of the sets")
        place = tools.fit(study, first, folder, None, 0, crew.comm, crew.progress)
        crew.first(lambda: write_json(marker, {"potential": place.name, "frames": len(first), "zero": {}}))
    return folder / str(json.loads(marker.read_text(encoding="utf-8"))["potential"])


def _stored(folder: Path, study: Study) -> dict[str, Any] | None:
    """Summary of a finished generation; None for one to be done, or to be taken up again since the budget was raised."""
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return None if "budget" in summary["stop"] and summary["budget"] != _budget(study) else summary


def _budget(study: Study) -> dict[str, int]:
    """The limits that may be raised."""
    return {name: getattr(study.budget, name) for name in RAISABLE}


def _generation(
    study: Study, number: int, state: State, first: list[Atoms], folder: Path, tools: Tools, crew: Crew, say: Say
) -> dict[str, Any]:
    """Summary of one generation, all its stages done."""
    claims = state.claims or UNCALIBRATED
    frames, md = improve_stages.explore_all(study, number, state.committee, tools, claims, folder, crew)
    if not frames:
        told = "; ".join(f"{count} {reason}" for reason, count in md["ended"].items())
        raise RunFailure(f"{folder}: no run gave a physical frame ({told}); start from a better potential or run cooler")
    for structure, reason in md["empty"].items():
        say(f"generation {number}: not one frame of structure {structure!r} ({reason}); no error below is of it")
    sample = [
        frames[i] for i in selection.random_sample(study.budget.control, len(frames), seed_of(study.seed, "control", number))
    ]
    control, failed = _labelled(study, sample, [*first, *state.learnt, *state.control], tools, folder, crew)
    if not control:
        raise RunFailure(f"{folder}: not one control frame got a label ({next(iter(failed.values()))})")
    crew.first(lambda: _keep(folder / "control.h5", control, tools))
    spreads = np.concatenate([frame.arrays[selection.SPREADS] for frame in frames])
    before = crew.first(
        lambda: improve_stages.judge(state.committee, control, tools, state.claims, spreads, folder / "before.json")
    )
    say(_told(number, before))
    summary: dict[str, Any] = {
        "generation": number, "stop": "", "budget": _budget(study), "md": md,
        "control": {"asked": len(sample), "labelled": len(control), "failed": failed}, "before": _plain(before),
        "labels_total": state.spent + len(sample), "potential": "",
    }  # fmt: skip
    ask = min(study.budget.labels, study.budget.total - summary["labels_total"] - study.budget.control)
    summary["stop"] = _reason(study, number, before, ask, covered=not md["empty"])
    if summary["stop"]:
        return summary
    chosen, counts = crew.first(
        lambda: improve_stages.choose(study, frames, sample, before.calibration, ask, folder / "candidates.extxyz")
    )
    summary["selection"] = counts
    if not chosen:
        told = f"no frame passes the threshold of {study.goal.threshold:g} eV/Å although the error is above the target"
        return summary | {"stop": f"{told}; lower the threshold in a new folder"}
    new, failed = _labelled(study, chosen, [*first, *state.learnt, *state.control, *control], tools, folder, crew)
    summary["labels"] = {"asked": len(chosen), "learnt": len(new), "failed": failed}
    summary["labels_total"] += len(chosen)
    return summary | _fitted(
        study, number, state, first, [*state.learnt, *state.control, *new], control, folder, tools, crew, say
    )


def _labelled(
    study: Study, frames: list[Atoms], others: list[Atoms], tools: Tools, folder: Path, crew: Crew
) -> tuple[list[Atoms], dict[str, str]]:
    """Labelled frames that may stand in a set, and why the others may not."""
    made, failed = improve_stages.label(frames, tools.labeller, folder / "labels", crew)
    kept, left = improve_stages.learnable(study, made, others)
    return kept, failed | left


def _fitted(
    study: Study, number: int, state: State, first: list[Atoms], learnt: list[Atoms], control: list[Atoms], folder: Path,
    tools: Tools, crew: Crew, say: Say,
) -> dict[str, Any]:  # fmt: skip
    """Fit the committee and calibrate it; the part of the summary that tells of it."""
    seen = improve_stages.fit_frames(study, learnt, first, number)
    if len(seen) < 3:
        raise RunFailure(
            f"{folder}: {len(seen)} frames to learn from, 3 are needed; the reasons of failed labels are in {folder / 'labels'}"
        )
    crew.first(lambda: _keep(folder / "set.h5", learnt, tools))
    marker = folder / FITTED
    if not marker.exists():
        start, zero = state.committee, dict[str, float]()
        if number == 0 and study.potential:
            start, zero = crew.first(lambda: improve_stages.with_zero_of(seen, state.committee, tools, folder / "start"))
        say(f"generation {number}: fit to {len(seen)} frames")
        place = tools.fit(study, seen, folder, start, number + 1, crew.comm, crew.progress)
        crew.first(lambda: write_json(marker, {"potential": str(place.relative_to(folder)), "frames": len(seen), "zero": zero}))
    fitted = json.loads(marker.read_text(encoding="utf-8"))
    place = folder / fitted["potential"]
    after = crew.first(lambda: improve_stages.judge(place, control, tools, None, None, folder / "calibration.json"))
    error, scale = after.summary["found_rmse"], after.calibration.quantile
    say(f"generation {number}: after the fit {error:.0f} meV/Å on its control frames; 90 % bound {scale:.1f} times the spread")
    return {"fit": fitted, "after": _plain(after), "potential": f"{folder.name}/{fitted['potential']}"}


def _reason(study: Study, number: int, before: Judgement, ask: int, covered: bool) -> str:
    """Why the loop ends here, "" where it goes on; below its target only where every structure has frames (`covered`)."""
    found, claimed = before.summary["found_rmse"], before.summary["claimed_everywhere"]
    if covered and found <= study.goal.target and claimed <= study.goal.target:
        return f"below the target: on the study's own frames a force error of {found:.0f} meV/Å found, {claimed:.0f} claimed"
    if number >= study.budget.generations:
        return f"the budget of {study.budget.generations} fits is spent"
    return f"the budget of {study.budget.total} labels is spent" if ask < 1 else ""


def _after(state: State, summary: dict[str, Any], folder: Path, out: Path) -> State:
    """State after a generation, from its files."""
    if not summary["potential"]:
        return State(state.committee, state.claims, state.learnt, state.control, summary["labels_total"])
    entry = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    claims = calibration.from_dict(entry["calibration"])
    learnt = tuple(dataset.read(folder / "set.h5")) if (folder / "set.h5").exists() else ()
    control = tuple(dataset.read(folder / "control.h5"))
    return State(out / summary["potential"], claims, learnt, control, summary["labels_total"])


def _keep(path: Path, frames: list[Atoms], tools: Tools) -> None:
    """Write a set once; nothing where there are no frames."""
    if frames and not path.exists():
        dataset.write(path, frames, tools.labeller.settings)


def _plain(judgement: Judgement) -> dict[str, Any]:
    """What the summary says of a judgement: the numbers without tables."""
    kept = {key: value for key, value in judgement.summary.items() if key not in ("table", "points")}
    made = judgement.calibration
    return kept | {"quantile": round(made.quantile, 3), "scale": round(made.scale, 3)}


def _told(number: int, before: Judgement) -> str:
    """One line about the state of the potential before a fit."""
    summary = before.summary
    line = f"generation {number}: found {summary['found_rmse']:.0f} meV/Å on {summary['frames']} control frames"
    if not summary["claimed_before"]:
        return line + ", nothing claimed before"
    return line + f", claimed {summary['claimed_everywhere']:.0f}; {summary['coverage']:.0%} of the atoms within the 90 % bound"


def _history(study: Study, summaries: list[dict[str, Any]], state: State, out: Path) -> None:
    """Write history.json and the pictures."""
    history = {
        "study": study.name,
        "labeller": study.labeller,
        "target_meV_per_A": study.goal.target,
        "generations": summaries,
        "stop": summaries[-1]["stop"],
        "potential": str(state.committee.relative_to(out)) if state.committee.is_relative_to(out) else study.potential,
    }
    write_json(out / "history.json", history)
    tables = {
        number: json.loads((out / f"generation-{number:02d}" / "before.json").read_text(encoding="utf-8"))
        for number in range(len(summaries))
    }
    improve_pictures.write_pictures(history, tables, out)


def _claim(study: Study, tools: Tools, out: Path) -> None:
    """Write what the folder is of. Raises UserError where it belongs to another study."""
    path, now = out / "study.json", json.loads(json.dumps(_identity(study, tools)))
    if not path.exists():
        write_json(path, now)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); give another --out") from error
    changed = _differences(before, now)
    allowed = {f"budget.{name}" for name in RAISABLE}
    if wrong := {key: told for key, told in changed.items() if key not in allowed}:
        key, (old, new) = next(iter(wrong.items()))
        raise UserError(
            f"{out}: half done with another study ({key} was {old!r}, is {new!r}); give another --out or change it back"
        )
    for key, (old, new) in changed.items():
        if new < old:
            raise UserError(f"{out}: half done with {key} = {old}; it may be raised, not lowered to {new}")
    write_json(path, now)


def _identity(study: Study, tools: Tools) -> dict[str, Any]:
    """Everything the results depend on; files by their hash, so that a folder may move."""
    plain = study.model_dump(mode="json")
    start = start_folder(study)
    plain["potential"] = potential.describe(start).sha256 if start else ""
    plain["sets"] = [_hash(Path(name)) for name in study.sets]
    plain["member"] = [member.told() for member in study.member]
    for entry in plain["structure"]:
        if entry["kind"] == FILE:
            entry["name"] = _hash(Path(entry["name"]))
    return plain | {"label_settings": tools.labeller.settings.to_dict()}


def _hash(path: Path) -> str:
    """Hash of a file. Raises UserError where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or 'cannot be read'}") from error


def _differences(before: Any, now: Any, key: str = "") -> dict[str, tuple[Any, Any]]:
    """{dotted key: (before, now)} of what differs."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return {} if before == now else {key: (before, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for name in [*before, *(name for name in now if name not in before)]:
        found |= _differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    return found
