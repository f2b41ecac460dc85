"""Training sets in one file: labelled frames and the settings of every label, as HDF5 (`.h5`) or extended XYZ (`.extxyz`).

Labels are info["REF_energy"] (eV, total), arrays["REF_forces"] (n, 3) (eV/Å) and info["REF_stress"] (6,) (eV/Å³, Voigt order
xx yy zz yz xz xy, positive in tension); info["label"] is the id of the label's settings, and info may hold family,
structure, job and anything else that JSON holds. HDF5 keeps positions and forces in single precision (1e-6 Å at 10 Å) and
everything else in double.
"""

import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np
from ase import Atoms, units
from ase.io import read as ase_read
from ase.io import write as ase_write

from atomistic import label_settings
from atomistic.label_check import ENERGY, FORCES, STRESS, check, symmetric
from atomistic.label_settings import LabelSettings, difference
from coupling.atomic import replacing
from coupling.errors import UserError

__all__ = ["LabelSettings", "check", "merge", "read", "require_suffix", "settings", "summary", "write"]

FORMAT = "multiscale training set 1"
SUFFIXES = (".h5", ".extxyz")
SETTINGS = "label_settings"  # attribute of the HDF5 file; info of the first frame of each label level in extxyz
COMPACT = "compact"  # attribute of an HDF5 file that is
DIGITS = {"positions": 4, "forces": 3}  # decimals that a compact set keeps
PER_ATOM = ("tags", "initial_magmoms")  # arrays kept where a frame has them
ENERGY_UNITS = {"eV": 1.0, "Hartree": units.Hartree, "Rydberg": units.Rydberg, "kcal/mol": units.kcal / units.mol,
                "kJ/mol": units.kJ / units.mol, "meV": 1e-3}  # fmt: skip
LENGTH_UNITS = {"Å": 1.0, "angstrom": 1.0, "Bohr": units.Bohr}
KNOWN_UNITS = f'an energy of {", ".join(ENERGY_UNITS)} and a length of {", ".join(LENGTH_UNITS)}, as in "Hartree, Bohr"'


def write(
    path: str | Path, frames: Sequence[Atoms], settings: LabelSettings | Mapping[str, LabelSettings], compact: bool = False
) -> None:
    """Write a training set, whole or not at all.

    Args:
        path: ends in .h5 or .extxyz.
        frames: labelled frames; with one `settings` each gets its id as info["label"] (the frames stay as they are).
        settings: settings of the labels, or {id: settings} where the frames carry info["label"].
        compact: positions, laid into the cell, to 1e-4 Å and forces to 1e-3 eV/Å (.h5), two thirds of the size: to ship, not to
            go on labelling, since the geometry is no longer the labelled one to the last digit (`is_compact`).

    Raises:
        UserError: another suffix, no frames, a broken label, or a frame whose settings are not given.
        RunFailure: the disk is full or the folder cannot be written.
    """
    target = require_suffix(path)
    if not frames:
        raise UserError(f"{target}: a training set without frames is not written")
    bare = [_bare(frame) for frame in frames]
    if isinstance(settings, LabelSettings):
        levels = {settings.id: settings}
        for frame in bare:
            frame.info["label"] = settings.id
    else:
        levels = {entry.id: entry for entry in settings.values()}
    for number, frame in enumerate(bare):
        if frame.info.get("label") not in levels:
            told = f"{target}: frame {number} has label {frame.info.get('label')!r}, whose settings are not given"
            raise UserError(f"{told}; given: {', '.join(levels)}")
    check(bare, str(target))
    used = {str(frame.info["label"]) for frame in bare}
    kept = {key: entry.to_dict() for key, entry in levels.items() if key in used}
    with replacing(target) as temporary:
        if target.suffix == ".h5":
            _write_h5(temporary, bare, kept, compact)
        else:
            _write_extxyz(temporary, bare, kept)


def read(path: str | Path, units: str | None = None, checked: bool = True) -> list[Atoms]:
    """Labelled frames of a training set, converted to eV and Å.

    Args:
        path: ends in .h5 or .extxyz; an extxyz of another program may name its labels energy, forces and stress.
        units: energy and length unit of the labels, such as "eV, Å" or "Hartree, Bohr"; needed for a file that does not say
            by which settings it was made, and refused for one that does. Coordinates of extxyz are always in Å.
        checked: refuse broken labels (`check`); False only for a program that shows what is wrong.

    Raises:
        UserError: no such file, not a training set, a unit missing or not known, or a broken label.
    """
    source = require_suffix(path)
    frames = _load(source)
    own = _levels(source, frames)
    if own and units is not None:
        raise UserError(
            f"{source}: the set says itself that its labels are in {label_settings.UNITS}; leave out units = {units!r}"
        )
    if not own:
        _convert(frames, units, str(source))
    for frame in frames:
        frame.info.pop(SETTINGS, None)
    if checked:
        check(frames, str(source))
    return frames


def settings(path: str | Path) -> dict[str, LabelSettings]:
    """{id: settings} of the labels of a set; empty for an extxyz that does not state them.

    Raises:
        UserError: as `read`.
    """
    source = require_suffix(path)
    if source.suffix == ".h5":
        with _opened(source) as file:
            return _by_id(_entries(file.attrs.get(SETTINGS, "{}"), source), source)
    return _levels(source, _load(source))


def is_compact(path: str | Path) -> bool:
    """Whether a set was written compact. Raises UserError as `settings`."""
    source = require_suffix(path)
    if source.suffix != ".h5":
        return False
    with _opened(source) as file:
        return COMPACT in file.attrs


def merge(paths: Sequence[str | Path], mixed: bool = False) -> tuple[list[Atoms], dict[str, LabelSettings]]:
    """Frames of several sets and the settings of their labels, ready for `write`.

    Args:
        paths: training sets that state their settings.
        mixed: allow labels of different settings; energies of two functionals have different zeros, so a potential fitted to
            both at once learns neither.

    Raises:
        UserError: sets of different settings without `mixed`, a set that does not state its settings, or one given twice.
    """
    for number, path in enumerate(paths):
        require_apart(path, paths[:number], "given twice, so that each of its frames would count twice; leave one out")
    frames: list[Atoms] = []
    levels: dict[str, LabelSettings] = {}
    for path in paths:
        own = settings(path)
        if not own:
            raise UserError(f"{path}: does not state by which settings its labels were made, so it is not merged")
        for key, entry in own.items():
            if levels and key not in levels and not mixed:
                first = next(iter(levels.values()))
                told = f"{path}: labels made in another way than those of {paths[0]} ({difference(first, entry)})"
                raise UserError(f"{told}; label all frames in one way, or ask for mixed labels")
            levels[key] = entry
        frames += read(path)
    return frames, levels


def require_apart(path: str | Path, others: Sequence[str | Path], why: str) -> None:
    """Raise UserError, with `why`, where a set is the file of one of the others."""
    if Path(path).resolve() in {Path(other).resolve() for other in others}:
        raise UserError(f"{path}: {why}")


def require_suffix(path: str | Path) -> Path:
    """The path. Raises UserError for a suffix that names no format."""
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise UserError(f"{target}: a training set ends in {' or '.join(SUFFIXES)}")
    return target


def summary(frames: Sequence[Atoms]) -> list[dict[str, Any]]:
    """One row per family and one for "all": frames, atoms, elements, root mean square and largest force (eV/Å), stress (GPa)."""
    families: dict[str, list[Atoms]] = {}
    for frame in frames:
        families.setdefault(str(frame.info.get("family", "not stated")), []).append(frame)
    rows = []
    for family, members in [*sorted(families.items()), ("all", list(frames))]:
        forces = np.concatenate([frame.arrays[FORCES] for frame in members])
        row: dict[str, Any] = {"family": family, "frames": len(members), "atoms": len(forces)}
        row["elements"] = " ".join(sorted({symbol for frame in members for symbol in frame.get_chemical_symbols()}))
        row["force_rms_eV_per_A"] = round(float(np.sqrt(np.mean(forces**2))), 3)
        row["force_max_eV_per_A"] = round(float(np.linalg.norm(forces, axis=1).max()), 3)
        row["stress_max_GPa"] = round(float(max(np.abs(frame.info[STRESS]).max() for frame in members)) / units.GPa, 2)
        rows.append(row)
    return rows


def _load(source: Path) -> list[Atoms]:
    """Frames as they stand in the file."""
    if source.suffix == ".h5":
        return _read_h5(source)
    if not source.is_file():
        raise UserError(f"{source}: no such file")
    try:
        frames = ase_read(source, ":", format="extxyz")
    except Exception as error:  # ASE raises whatever its parser met
        raise UserError(f"{source}: not readable as extended XYZ ({type(error).__name__}: {error})") from error
    if not frames:
        raise UserError(f"{source}: no frames")
    return [_with_reference_keys(frame) for frame in frames]


def _with_reference_keys(frame: Atoms) -> Atoms:
    """Labels that ASE put into a calculator (keys energy, forces, stress) as REF_*; the frame carries no calculator."""
    found = {} if frame.calc is None else dict(frame.calc.results)
    frame.calc = None
    if ENERGY not in frame.info and "energy" in found:
        frame.info[ENERGY] = found["energy"]
    if STRESS not in frame.info and "stress" in found:
        frame.info[STRESS] = found["stress"]
    if FORCES not in frame.arrays and "forces" in found:
        frame.arrays[FORCES] = found["forces"]
    if np.size(frame.info.get(STRESS, 0)) == 9:
        tensor = np.reshape(frame.info[STRESS], (3, 3))
        frame.info[STRESS] = tensor.ravel()[[0, 4, 8, 5, 2, 1]] if symmetric(tensor) else tensor  # refused by the check
    return frame


def _convert(frames: list[Atoms], declared: str | None, where: str) -> None:
    """Labels from the declared units to eV and Å, in place."""
    if declared is None:
        told = f"{where}: does not say by which settings it was made; `multiscale potential import` makes a set that does"
        raise UserError(f"{told}, from its --units: {KNOWN_UNITS}")
    words = [word.strip() for word in unicodedata.normalize("NFKC", declared).split(",")]  # three ways to write Å
    if len(words) != 2 or words[0] not in ENERGY_UNITS or words[1] not in LENGTH_UNITS:
        raise UserError(f"{where}: units = {declared!r} are not known; known: {KNOWN_UNITS}")
    energy, length = ENERGY_UNITS[words[0]], LENGTH_UNITS[words[1]]
    for frame in frames:
        for home, key, factor in (
            (frame.info, ENERGY, energy),
            (frame.arrays, FORCES, energy / length),
            (frame.info, STRESS, energy / length**3),
        ):
            if key in home and factor != 1.0:
                home[key] = np.asarray(home[key], dtype=float) * factor


def _levels(source: Path, frames: Sequence[Atoms]) -> dict[str, LabelSettings]:
    """Settings stated in the file, by id."""
    if source.suffix == ".h5":
        return settings(source)
    stated: dict[str, Any] = {}
    for frame in frames:
        if SETTINGS in frame.info:
            stated |= _entries(unquote(str(frame.info[SETTINGS])), source)
    found = _by_id(stated, source)
    for number, frame in enumerate(frames):
        if found and str(frame.info.get("label")) not in found:
            raise UserError(f"{source}: frame {number} has label {frame.info.get('label')!r}, whose settings are not in the file")
    return found


def _entries(text: str, source: Path) -> dict[str, Any]:
    """{id: plain settings} from their JSON text."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise UserError(f"{source}: its label settings are damaged ({error})") from error


def _by_id(entries: dict[str, Any], source: Path) -> dict[str, LabelSettings]:
    """Settings by id from their plain values."""
    found = [label_settings.from_dict(entry, f"{source}: label {key}") for key, entry in entries.items()]
    return {entry.id: entry for entry in found}


def _bare(frame: Atoms) -> Atoms:
    """Copy with labels, info and PER_ATOM arrays only."""
    new = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc, info=dict(frame.info))
    for name in (FORCES, *PER_ATOM):
        if name in frame.arrays:
            new.set_array(name, np.array(frame.arrays[name]))
    return new


def _write_extxyz(path: Path, frames: list[Atoms], levels: dict[str, dict]) -> None:
    """Extended XYZ; the first frame of each label level carries its settings, as JSON with quotes and accents as %22."""
    stated: set[str] = set()
    for frame in frames:
        level = str(frame.info["label"])
        if level not in stated:
            frame.info[SETTINGS] = quote(json.dumps({level: levels[level]}, ensure_ascii=False), safe=" {}:,()[]/+")
            stated.add(level)
        frame.info = {key: value for key, value in frame.info.items() if value is not None}
    ase_write(path, frames, format="extxyz")


def _write_h5(path: Path, frames: list[Atoms], levels: dict[str, dict], compact: bool) -> None:
    """HDF5: all atoms one after another, `sizes` says how many belong to each frame; `compact` arrays keep DIGITS decimals."""
    digits = DIGITS if compact else {}
    atoms = {
        "numbers": np.concatenate([frame.numbers for frame in frames]).astype(np.uint8),
        "positions": np.concatenate([frame.get_positions(wrap=compact) for frame in frames]).astype(np.float32),
        "forces": np.concatenate([frame.arrays[FORCES] for frame in frames]).astype(np.float32),
    }
    for name in PER_ATOM:
        if any(name in frame.arrays for frame in frames):
            atoms[name] = np.concatenate([frame.arrays.get(name, np.zeros(len(frame))) for frame in frames]).astype(np.float32)
    rest = [{key: _plain(value) for key, value in frame.info.items() if key not in (ENERGY, STRESS)} for frame in frames]
    per_frame = {
        "sizes": np.array([len(frame) for frame in frames], dtype=np.int32),
        "cells": np.array([frame.cell.array for frame in frames]),
        "pbc": np.array([frame.pbc for frame in frames]),
        "energies": np.array([float(frame.info[ENERGY]) for frame in frames]),
        "stresses": np.array([frame.info[STRESS] for frame in frames], dtype=float),
        "info": np.array([json.dumps(entry, ensure_ascii=False).encode() for entry in rest], dtype=np.bytes_),
    }
    image = io.BytesIO()  # HDF5 on a full disk tells of it a dozen times
    with h5py.File(image, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["units"] = label_settings.UNITS
        if compact:
            file.attrs[COMPACT] = True
        file.attrs[SETTINGS] = json.dumps(levels, ensure_ascii=False, sort_keys=True)
        for name, values in (per_frame | atoms).items():
            # HDF5 garbles numbers near the value that stands for "not written", which is 0 unless we say otherwise
            rounded = {"scaleoffset": digits[name], "fillvalue": np.nan} if name in digits else {}
            values = values.round(digits[name]) if rounded else values
            file.create_dataset(name, data=values, compression="gzip", shuffle=True, **rounded)
    path.write_bytes(image.getvalue())


def _plain(value: Any) -> Any:
    """The value as JSON holds it. Raises UserError for what it does not hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    try:
        json.dumps(value)
    except TypeError:
        raise UserError(f"info of a frame holds {value!r}, which is neither text nor numbers; leave it out") from None
    return value


def _opened(source: Path) -> h5py.File:
    """The open HDF5 file of a training set."""
    if not source.is_file():
        raise UserError(f"{source}: no such file")
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise UserError(f"{source}: not readable as HDF5 (cut short or another kind of file); write it again") from error
    if file.attrs.get("format") != FORMAT:
        stated = file.attrs.get("format", "nothing")
        file.close()
        raise UserError(f"{source}: read format {stated!r}, only {FORMAT!r} is read; it is another kind of HDF5 file")
    return file


def _read_h5(source: Path) -> list[Atoms]:
    """Frames of an HDF5 training set."""
    try:
        with _opened(source) as file:
            data = {name: file[name][...] for name in file}
        starts = np.concatenate([[0], np.cumsum(data["sizes"])])
        return [_frame(data, i, slice(starts[i], starts[i + 1])) for i in range(len(data["sizes"]))]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UserError(f"{source}: damaged training set ({error}); write it again") from error


def _frame(data: dict[str, np.ndarray], number: int, part: slice) -> Atoms:
    """Frame `number`, whose atoms are `part` of the per-atom tables."""
    frame = Atoms(
        data["numbers"][part],
        positions=data["positions"][part].astype(float),
        cell=data["cells"][number],
        pbc=data["pbc"][number],
        info=json.loads(data["info"][number].decode()),
    )
    frame.info[ENERGY] = float(data["energies"][number])
    frame.info[STRESS] = data["stresses"][number]
    frame.arrays[FORCES] = data["forces"][part].astype(float)
    for name in PER_ATOM:
        if name in data:
            frame.set_array(name, data[name][part].astype(int if name == "tags" else float))
    return frame
