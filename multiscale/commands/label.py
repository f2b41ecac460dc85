"""`multiscale potential label`, `import` and `info`: structures to a training set, and what a training set holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json


def label(
    structures: Annotated[Path, typer.Argument(metavar="STRUCTURES", help="File of one or more frames, any that ASE reads.")],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="Training set, .h5 or .extxyz; frames are added to it.")],
    by: Annotated[str, typer.Option("--with", metavar="NAME", help="chgnet, sevennet, cp2k or module:callable.")] = "chgnet",
    family: Annotated[str | None, typer.Option(help="Family of the frames that name none [default: the file's name].")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Frames labelled at a time.")] = 1,
    functional: Annotated[str | None, typer.Option(help="cp2k: PBE, PBEsol or LDA [default: PBE].")] = None,
    cutoff: Annotated[str | None, typer.Option(help='cp2k: plane-wave cutoff [default: "400 Ry"].')] = None,
    relative_cutoff: Annotated[
        str | None, typer.Option(help='cp2k: which Gaussians go to which grid [default: "40 Ry"].')
    ] = None,
    basis: Annotated[str | None, typer.Option(help="cp2k: basis [default: DZVP-MOLOPT-SR-GTH].")] = None,
    k_spacing: Annotated[str | None, typer.Option(help='cp2k: "0.3 1/Å" between k-points [default: zone centre].')] = None,
    smearing: Annotated[str | None, typer.Option(help='cp2k: electronic temperature [default: "500 K"].')] = None,
    dispersion: Annotated[str | None, typer.Option(help="cp2k: none or D3(BJ) [default: none].")] = None,
    spin: Annotated[bool, typer.Option("--spin", help="cp2k: spin-polarised.")] = False,
    precision: Annotated[float | None, typer.Option(help="cp2k: largest change of the density matrix [default: 1e-5].")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="cp2k: most steps to self-consistency [default: 120].")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="cp2k: threads of one calculation [default: 1].")] = None,
    time_limit: Annotated[str | None, typer.Option(help='cp2k: longest time for one frame [default: "1 hour"].')] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try frames again whose label failed before.")] = False,
    run_code: Annotated[bool, typer.Option("--run-code", help="Allow module:callable, which runs that module's code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Label structures with energies, forces and stresses; the same command goes on where it was stopped.

    Example: multiscale potential label frames.extxyz --with cp2k --cutoff "400 Ry" --workers 2 --out set.h5
    """
    from atomistic import cp2k, dataset, labelling

    if parallel.size() > 1:
        raise UserError("potential label: runs its own processes; leave out mpirun and give --workers")
    dataset.require_suffix(out)
    frames = _structures(structures, family or structures.stem)
    asked: dict[str, Any] = {"functional": functional, "basis": basis, "dispersion": dispersion, "spin": spin or None}
    asked |= {"precision": precision, "max_steps": max_steps, "threads": threads}
    for key, text, unit, zero in (
        ("cutoff", cutoff, "Ry", False),
        ("relative_cutoff", relative_cutoff, "Ry", False),
        ("k_spacing", k_spacing, "1/Å", True),
        ("smearing", smearing, "K", True),
        ("time_limit", time_limit, "s", False),
    ):
        asked[key] = _quantity(f"--{key.replace('_', '-')}", text, unit, zero)
    given = {key: value for key, value in asked.items() if value is not None}
    chosen = labelling.labeller(by, cp2k.Cp2kSettings(**given) if given else None, run_code)
    result = _with_progress(frames, chosen, out, workers, retry, speaks=not as_json)
    if as_json:
        failed = [{"frame": number, "reason": reason} for number, reason in result.failed.items()]
        show_json({"set": str(out), "frames": len(result.frames), "label": chosen.settings.id, "failed": failed})
        return
    for number, reason in result.failed.items():
        show(f"frame {number}: no label: {reason}")
    left = f"; {len(result.failed)} without a label (--retry tries them again)" if result.failed else ""
    show(f"{out}: {len(result.frames)} frames{left}")


def adopt(
    frames: Annotated[Path, typer.Argument(metavar="FRAMES", help="Labelled frames of another program, .extxyz.")],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="Training set to write, .h5 or .extxyz.")],
    units: Annotated[str, typer.Option(help='Energy and length of the labels: "eV, Å", "Hartree, Bohr".')],
    code: Annotated[str, typer.Option(help="Code that made the labels, such as VASP.")],
    version: Annotated[str, typer.Option(help="Its version.")],
    functional: Annotated[str, typer.Option(help="Such as PBE.")] = "",
    cutoff: Annotated[str, typer.Option(help='Such as "520 eV".')] = "",
    basis: Annotated[str, typer.Option(help="Such as plane waves.")] = "",
    pseudopotential: Annotated[str, typer.Option(help='Such as "PAW 54".')] = "",
    k_points: Annotated[str, typer.Option(help='Such as "spacing 0.25 1/Å".')] = "",
    spin: Annotated[str, typer.Option(help="polarised or unpolarised.")] = "",
    dispersion: Annotated[str, typer.Option(help="none, or which.")] = "",
    family: Annotated[str | None, typer.Option(help="Family of the frames that name none [default: the file's name].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a training set of frames that another program labelled, with the settings that its labels were made by.

    Labels are energy, forces and stress as ASE reads them; every one is checked, and a broken frame is named by its number.

    Example: multiscale potential import vasp.extxyz --units "eV, Å" --code VASP --version 6.4 --functional PBE --out set.h5
    """
    from atomistic import dataset
    from atomistic.label_settings import LabelSettings

    if parallel.size() > 1:
        raise UserError("potential import: one process does it; leave out mpirun")
    if blank := [option for option, value in (("--code", code), ("--version", version)) if not value.strip()]:
        raise UserError(f"{', '.join(blank)}: blank; labels of two codes or versions are told apart by it")
    if dataset.require_suffix(out).exists():
        raise UserError(f"{out}: exists; choose another --out")
    read = dataset.read(frames, units=units)
    for frame in read:
        frame.info.setdefault("family", family or frames.stem)
    settings = LabelSettings(code, version, functional, cutoff, basis, pseudopotential, k_points, spin, dispersion)
    dataset.write(out, read, settings)
    if as_json:
        show_json({"set": str(out), "frames": len(read), "label": settings.id})
    else:
        show(f"{out}: {len(read)} frames; label {settings.id}: {'; '.join(settings.lines())}")


def info(
    training_set: Annotated[Path, typer.Argument(metavar="SET", help="Training set, .h5 or .extxyz.")],
    units: Annotated[str | None, typer.Option(help='Units of a set of another program: "eV, Å", "Hartree, Bohr".')] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a training set holds: frames by family, size of the forces, and the settings of its labels.

    Example: multiscale potential info set.h5
    """
    from atomistic import dataset
    from multiscale.tables import plain_table, render

    rows = dataset.summary(dataset.read(training_set, units=units))
    levels = dataset.settings(training_set)
    if as_json:
        show_json({"families": rows, "labels": {key: entry.to_dict() for key, entry in levels.items()}})
        return
    columns = ("family", "frames", "atoms", "elements", "forces, rms (eV/Å)", "largest (eV/Å)", "largest stress (GPa)")
    keys = ("family", "frames", "atoms", "elements", "force_rms_eV_per_A", "force_max_eV_per_A", "stress_max_GPa")
    table = plain_table(str(training_set), columns, [[str(row[key]) for key in keys] for row in rows])
    told = [f"label {key}: {'; '.join(entry.lines())}" for key, entry in levels.items()]
    show(render(table, *(told or ["label: the file does not say how it was made"])))


def _with_progress(frames: list[Any], by: Any, out: Path, workers: int, retry: bool, speaks: bool) -> Any:
    """Label with a bar, or lines now and then where there is no terminal."""
    from atomistic.labelling import label_frames
    from multiscale.progress import Narrator

    with Narrator(speaks).watch("label") as update:
        return label_frames(frames, by, out, workers, retry, lambda done, total: update(f"{total} frames", done / total))


def _structures(path: Path, family: str) -> list[Any]:
    """Frames of a structure file, each with a family. Raises UserError where ASE cannot read it, or sites are not full."""
    from ase.io import read

    from atomistic.structures import require_full_sites

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        frames = read(path, ":")
    except Exception as error:  # ASE raises whatever its parser met
        raise UserError(f"{path}: ASE cannot read structures from it ({type(error).__name__}: {error})") from error
    if not frames:
        raise UserError(f"{path}: no frames in it")
    for frame in frames:
        require_full_sites(frame, path).calc = None
        frame.info.setdefault("family", family)
        frame.info.setdefault("structure", path.stem)
    return list(frames)


def _quantity(option: str, text: str | None, unit: str, zero: bool) -> float | None:
    """Number of an option in `unit`, None where the option is not given. Raises UserError for what is no such quantity."""
    from coupling.units import UnitError, to_si

    if text is None:
        return None
    try:
        value = to_si(text, unit)
    except UnitError as error:
        raise UserError(f"{option}: {error}") from None
    if value < 0 or (value == 0 and not zero):
        raise UserError(f'{option}: read "{text}"; it must be positive')
    return value
