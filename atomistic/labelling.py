"""Labels structures with a chosen reference (a teacher, CP2K, any ASE calculator) into a training set; a killed run goes on.

Every label is saved as it comes, in a folder beside the set (`SET.h5.labels`), under a name made of the frame's geometry and
the label's settings. When all are there the set is written and the folder emptied; only what failed stays, with its reason,
so that it is not tried again unless asked.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import cp2k, dataset, label_check, labels
from atomistic.cp2k import Cp2kSettings, LabelFailure
from atomistic.label_settings import LabelSettings, difference
from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError
from coupling.lifetime import end_with

Values = tuple[float, np.ndarray, np.ndarray]
"""Energy (eV), forces (n, 3) (eV/Å), stress (6,) (eV/Å³)."""


@dataclass(frozen=True)
class Labeller:
    """A reference: how it labels one frame, and the settings that every label of it carries."""

    settings: LabelSettings
    calculate: Callable[[Atoms], Values]  # picklable; LabelFailure where a frame gets no label


@dataclass(frozen=True)
class Labelling:
    """What came of labelling: frames in the set, and {number of the given frame: reason} of those without a label."""

    frames: list[Atoms]
    failed: dict[int, str]


def labeller(spec: str, settings: Cp2kSettings | None = None, run_code: bool = False) -> Labeller:
    """The labeller of a name.

    Args:
        spec: "chgnet", "sevennet", "cp2k", or "module:callable", whose call without arguments returns an ASE calculator.
        settings: of CP2K.
        run_code: allow module:callable, since it runs whatever code that module holds.

    Raises:
        UserError: another name, settings for a labeller that has none, no CP2K or SevenNet here, or a module that is not there.
    """
    if spec == "cp2k":
        chosen = settings or Cp2kSettings()
        cp2k.validate(chosen)
        version = cp2k.version(cp2k.program())
        return Labeller(cp2k.label_settings(chosen, version), functools.partial(cp2k.label, settings=chosen))
    if settings is not None:
        raise UserError(f"labeller {spec!r}: takes no settings of a first-principles calculation; those are for cp2k")
    if spec in labels.TEACHERS:
        labels.require(spec)
        return Labeller(labels.TEACHERS[spec], functools.partial(_by_teacher, spec))
    if ":" not in spec:
        raise UserError(f"labeller {spec!r}: known are chgnet, sevennet, cp2k and module:callable (an ASE calculator)")
    if not run_code:
        raise UserError(f"labeller {spec!r}: this runs the code of that module; say --run-code if you trust it")
    _calculator(spec)
    module = spec.partition(":")[0].partition(".")[0]
    try:
        version = importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        version = "not stated"
    return Labeller(LabelSettings(spec, version, functional="as the callable sets it"), functools.partial(_by_callable, spec))


def geometry_key(atoms: Atoms, settings: LabelSettings) -> str:
    """Sixteen hexadecimal digits of a frame's geometry (single precision, as a set stores it) and its label's settings."""
    told = hashlib.sha256(settings.id.encode())
    for part in (atoms.numbers.astype(np.int32), atoms.positions.astype(np.float32), atoms.cell.array.round(6) + 0.0, atoms.pbc):
        told.update(np.ascontiguousarray(part).tobytes())
    if atoms.has("initial_magmoms"):
        told.update(atoms.get_initial_magnetic_moments().astype(np.float32).tobytes())
    return told.hexdigest()[:16]


def label_frames(
    frames: Sequence[Atoms],
    by: Labeller,
    out: str | Path,
    workers: int = 1,
    retry: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Labelling:
    """Label frames into the set `out`, which keeps the frames it has; what was done before is not done again.

    Args:
        frames: periodic structures; info (family, structure, job) goes into the set.
        by: see `labeller`.
        out: training set, .h5 or .extxyz.
        workers: processes.
        retry: try frames again whose label failed before.
        progress: called with (frames done, frames in all) whenever one is done.

    Raises:
        UserError: the set exists, compact or with labels of other settings, or a frame has no periodic cell.
        RunFailure: not one frame got a label.
    """
    target, folder = Path(out), Path(f"{out}.labels")
    kept = _existing(target, by.settings)
    keyed = {geometry_key(frame, by.settings): number for number, frame in reversed(list(enumerate(frames)))}
    keys = sorted((key for key in keyed if key not in kept), key=keyed.__getitem__)
    for key in keys:
        if not frames[keyed[key]].pbc.all() or abs(frames[keyed[key]].cell.volume) < 1e-6:
            raise UserError(f"frame {keyed[key]}: no periodic cell; a label needs one, since it holds a stress")
    known = {key: entry for key in keys if (entry := _stored(folder / f"{key}.json")) and not (retry and "failed" in entry)}
    done = len(keyed) - len(keys) + len(known)
    progress(done, len(keyed))
    todo = {key: as_stored(frames[keyed[key]]) for key in keys if key not in known}
    for key, entry in _run(todo, by, workers):
        write_json(folder / f"{key}.json", entry)
        known[key], done = entry, done + 1
        progress(done, len(keyed))
    labelled = [with_label(frames[keyed[key]], known[key]) for key in keys if "failed" not in known[key]]
    failed = {keyed[key]: str(known[key]["failed"]) for key in keys if "failed" in known[key]}
    if failed and not labelled and not kept:
        raise RunFailure(f"not one of {len(keyed)} frames got a label; frame {min(failed)}: {failed[min(failed)]}")
    whole = [*kept.values(), *labelled]
    if labelled:
        dataset.write(target, whole, by.settings)
        _forget(folder, [key for key in keys if "failed" not in known[key]])
    return Labelling(whole, dict(sorted(failed.items())))


def _existing(target: Path, settings: LabelSettings) -> dict[str, Atoms]:
    """Frames of the set by key. Raises UserError where its labels have other settings or its places are rounded."""
    if not target.exists():
        return {}
    if dataset.is_compact(target):
        told = f"{target}: a compact set, whose rounded geometries are no longer the labelled ones, so frames are not added to it"
        raise UserError(f"{told}; choose another --out")
    for other in dataset.settings(target).values():
        if other != settings:
            told = f"{target}: exists with labels made in another way ({difference(other, settings)})"
            raise UserError(f"{told}; choose another --out, two levels do not mix")
    return {geometry_key(frame, settings): frame for frame in dataset.read(target)}


def _stored(path: Path) -> dict[str, Any] | None:
    """What a label file holds, None where there is none or it is damaged (then the frame is labelled again)."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return entry if isinstance(entry, dict) and ("failed" in entry or {"energy", "forces", "stress"} <= set(entry)) else None


def _forget(folder: Path, keys: Sequence[str]) -> None:
    """Remove the label files of frames that stand in the set, and the folder where nothing is left in it."""
    for key in keys:
        (folder / f"{key}.json").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def as_stored(frame: Atoms) -> Atoms:
    """The frame as a set stores it (positions in single precision), so that the label belongs to exactly that geometry."""
    positions = frame.positions.astype(np.float32).astype(float)
    bare = Atoms(frame.numbers, positions=positions, cell=frame.cell, pbc=frame.pbc)
    if frame.has("initial_magmoms"):
        bare.set_initial_magnetic_moments(frame.get_initial_magnetic_moments())
    return bare


def with_label(frame: Atoms, entry: dict[str, Any]) -> Atoms:
    """The frame with the label of a label file."""
    made = as_stored(frame)
    if frame.has("tags"):
        made.set_tags(frame.get_tags())
    made.info = {key: value for key, value in frame.info.items() if isinstance(value, str | int | float | bool)}
    made.info |= {"REF_energy": float(entry["energy"]), "REF_stress": np.array(entry["stress"])}
    made.arrays["REF_forces"] = np.array(entry["forces"])
    return made


def _run(todo: dict[str, Atoms], by: Labeller, workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries of label files as they come. However we end, the processes do: theirs is no queue that would tell them."""
    if workers <= 1 or len(todo) <= 1:
        for key, frame in todo.items():
            yield key, entry_of(frame, by)
        return
    count, context = min(workers, len(todo)), get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=end_with, initargs=(os.getpid(),)) as pool:
        futures = {pool.submit(entry_of, frame, by): key for key, frame in todo.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def entry_of(frame: Atoms, by: Labeller) -> dict[str, Any]:
    """Label of one frame, or the reason why there is none, as plain values."""
    try:
        energy, forces, stress = by.calculate(frame)
    except LabelFailure as reason:
        return {"failed": str(reason)}
    probe = frame.copy()
    probe.info |= {"REF_energy": energy, "REF_stress": np.asarray(stress)}
    probe.arrays["REF_forces"] = np.asarray(forces)
    if fault := label_check.fault_of(probe):
        return {"failed": fault}
    return {"energy": float(energy), "forces": np.asarray(forces).tolist(), "stress": np.asarray(stress).tolist()}


def _by_teacher(name: str, atoms: Atoms) -> Values:
    """Label of a teacher."""
    try:
        frame = labels.label(atoms, name)
    except RunFailure as failure:
        raise LabelFailure(str(failure)) from failure
    return frame.info["REF_energy"], frame.arrays["REF_forces"], frame.info["REF_stress"]


@functools.cache
def _calculator(spec: str) -> Any:
    """The ASE calculator that "module:callable" makes, one a process."""
    module, _, name = spec.partition(":")
    try:
        calculator = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"labeller {spec!r}: {error}") from error
    if not all(hasattr(calculator, method) for method in ("get_potential_energy", "get_forces", "get_stress")):
        raise UserError(f"labeller {spec!r}: returned {type(calculator).__name__}, an ASE calculator is needed")
    return calculator


def _by_callable(spec: str, atoms: Atoms) -> Values:
    """Label of a calculator of the user's; whatever it raises is the reason why the frame has none."""
    frame = atoms.copy()
    frame.calc = _calculator(spec)
    try:
        return float(frame.get_potential_energy()), frame.get_forces(), frame.get_stress()
    except Exception as error:
        raise LabelFailure(f"{type(error).__name__}: {error}") from error
