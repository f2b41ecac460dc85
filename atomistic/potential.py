"""Opens interatomic potentials by one name, and tells what each is good for.

A name is one of the shipped potentials, a folder of our own format, or one of the foreign kinds of `atomistic.foreign`.
Our format is plain files without pickle, one model or a committee::

    lpscl/card.json, card.md, recipe.toml, config.json, model.safetensors, symmetrix.json
    llzo/card.json, card.md, recipe.toml, member-0/{config.json, model.safetensors, symmetrix.json}, member-1/…

symmetrix.json may be absent where symmetrix-xl cannot hold the model (it takes max_ell 3 and correlation 3 only); mace-torch,
ten times slower, evaluates that one.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from atomistic import foreign, labels, mace_model
from atomistic.potential_card import Potential, PotentialCard, require_elements
from atomistic.structures import DATA, unknown
from coupling.errors import UserError

__all__ = ["Potential", "PotentialCard", "available", "describe", "folder_of", "load", "members_of", "require_elements"]

SHIPPED = DATA / "potentials"
ENGINES = ("auto", "symmetrix", "mace", *labels.TEACHERS)
PACKAGES = {"symmetrix": "symmetrix-xl", "mace": "mace-torch"}
CARD, MEMBER = "card.json", "member-"


def available() -> list[str]:
    """Names of the potentials that come with the package."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if _is_potential(folder))


def _is_potential(folder: Path) -> bool:
    """Whether a folder holds a model or a committee."""
    return (folder / mace_model.CONFIG).exists() or (folder / f"{MEMBER}0").is_dir()


def folder_of(name_or_path: str | Path) -> Path:
    """Folder of a potential of our own format: a shipped name, or a path to a folder.

    Raises:
        UserError: neither, or a potential made elsewhere.
    """
    path = Path(name_or_path)
    if str(name_or_path) in available():
        return SHIPPED / str(name_or_path)
    if _is_potential(path):
        return path
    if foreign.engine_of(name_or_path):
        told = f"potential {str(name_or_path)!r} is made elsewhere and has no folder of our own format, which is needed here"
        raise UserError(f"{told}; give such a folder or one of {', '.join(available())}")
    raise unknown("potential", str(name_or_path), [*available(), *labels.TEACHERS])


def members_of(folder: str | Path) -> tuple[Path, ...]:
    """Folders of the models: the folder itself, or member-0, member-1, … of a committee.

    Raises:
        UserError: a number is missing, a member lacks a file, or members cover different elements.
    """
    folder = Path(folder)
    if (folder / mace_model.CONFIG).exists():
        return (folder,)
    found = sorted(part for part in folder.glob(f"{MEMBER}*") if part.is_dir())
    members = tuple(folder / f"{MEMBER}{index}" for index in range(len(found)))
    for member in members:
        for name in (mace_model.CONFIG, mace_model.STATE):
            if not (member / name).is_file():
                raise UserError(f"{member / name}: missing; a committee needs every file of each member, numbered from {MEMBER}0")
    covered = [_elements(member) for member in members]
    for member, elements in zip(members, covered, strict=True):
        if elements != covered[0]:
            raise UserError(
                f"{member / mace_model.CONFIG}: covers {', '.join(elements)}, {members[0].name} covers {', '.join(covered[0])}; "
                "the members of a committee must cover the same elements"
            )
    return members


def _elements(folder: Path) -> tuple[str, ...]:
    """Elements of one model. Raises UserError where its config is none."""
    try:
        return tuple(mace_model.elements_of(folder))
    except (TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"{folder / mace_model.CONFIG}: not the config of a MACE model ({error}); export the potential again"
        ) from error


def _stated(folder: Path) -> tuple[dict[str, Any], tuple[int, int] | None, str]:
    """What the card states: held-out errors on crystals, how many of its targets are met, its teacher. Empty without a card."""
    path = folder / CARD
    if not path.exists():
        return {}, None, ""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        rows = list(card.get("targets", []))
        met = (sum(bool(row["met"]) for row in rows), len(rows)) if rows else None
        return dict(card.get("held_out", {}).get("crystal", {})), met, str(card.get("teacher", ""))
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not the card of a potential ({error}); delete it or write it again") from error


def describe(name_or_path: str | Path, allow_pickle: bool = False) -> PotentialCard:
    """Card of a potential; its hash covers every file that its calculators read, of all members.

    Args:
        name_or_path: a shipped name, a folder, or a name of `atomistic.foreign`.
        allow_pickle: open a local MACE model file although it can run any code.

    Raises:
        UserError: no such potential, or a file of it is missing or wrong.
    """
    if foreign.engine_of(name_or_path):
        return foreign.describe(name_or_path, allow_pickle)
    folder = folder_of(name_or_path)
    members = members_of(folder)
    names = (mace_model.CONFIG, mace_model.STATE, mace_model.TEXT)
    files = [member / name for member in members for name in names if (member / name).exists()]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    stated, targets, teacher = _stated(folder)
    return PotentialCard(
        name=folder.name,
        elements=_elements(members[0]),
        members=len(members),
        force_rmse_meV_per_A=stated.get("force_rmse_meV_per_A"),
        energy_rmse_meV_per_atom=stated.get("energy_rmse_meV_per_atom"),
        size_bytes=sum(file.stat().st_size for file in files),
        sha256=digest.hexdigest(),
        path=folder,
        targets=targets,
        teacher=teacher,
    )


def load(
    name_or_path: str | Path, engine: str = "auto", dtype: str = "float64", member: int = 0, allow_pickle: bool = False
) -> Potential:
    """Calculator of a potential; of a committee, one member (`committee.load_committee` gives all of them).

    Args:
        name_or_path: as in `describe`.
        engine: for our own format: "symmetrix" (fast, CPU), "mace" (mace-torch, the reference), "chgnet" or
            "sevennet" (that teacher itself, whatever the name), "auto" (symmetrix where it is installed and the text is there,
            else mace).
        dtype: "float64", or "float32" (about 1.7 times faster; enough for MD).
        member: which model of a committee.
        allow_pickle: as in `describe`.

    Raises:
        UserError: unknown potential, engine or dtype; an engine that is not installed; a broken file.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, list(ENGINES))
    if dtype not in ("float32", "float64"):
        raise unknown("dtype", dtype, ["float32", "float64"])
    name = engine if engine in labels.TEACHERS else name_or_path
    if kind := foreign.engine_of(name):
        if engine not in ("auto", kind):
            raise UserError(f"potential {str(name)!r} is evaluated by {kind}, not by {engine!r}; leave the engine at 'auto'")
        card, made = describe(name, allow_pickle), foreign.calculator(name, dtype, allow_pickle)
        return Potential(made, card, kind)
    card = describe(name)
    members = members_of(card.path)
    if not 0 <= member < len(members):
        raise UserError(f"potential {card.name!r} has no member {member}; it has {len(members)}, numbered from 0")
    return _load_member(members[member], card, engine, dtype)


def _load_member(folder: Path, card: PotentialCard, engine: str, dtype: str) -> Potential:
    """Calculator of the model in one folder of our format."""
    if engine == "auto":
        text = (folder / mace_model.TEXT).exists()
        engine = "symmetrix" if text and importlib.util.find_spec("symmetrix") else "mace"
    if importlib.util.find_spec(engine) is None:
        raise UserError(f"engine {engine!r} is not installed here: pip install {PACKAGES[engine]}")
    make = _symmetrix if engine == "symmetrix" else _mace
    return Potential(make(folder, dtype), card, engine)


def _symmetrix(folder: Path, dtype: str) -> Calculator:
    """symmetrix-xl on the CPU, one thread per process.

    Its OpenMP BLAS probe looks up symbols on every call (30 ms per step on a 2.5 GHz core); SYMMETRIX_HOST_WORKER_BLAS
    switches it off. Its compiled kernels are cached in the user's cache folder under a file lock of its own.
    """
    os.environ.setdefault("SYMMETRIX_HOST_WORKER_BLAS", "off")
    os.environ.setdefault("OMP_PROC_BIND", "false")  # several ranks on one machine must not all bind to core 0
    from symmetrix import Symmetrix

    text = folder / mace_model.TEXT
    _require_same_elements(text, _elements(folder))
    try:
        calculator: Calculator = Symmetrix(str(text), dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{text}: symmetrix cannot evaluate it ({error}); engine='mace' may still do") from error
    return calculator


def _require_same_elements(text: Path, elements: tuple[str, ...]) -> None:
    """Raise UserError when the text that symmetrix evaluates is no JSON object or of other elements than the config."""
    try:
        held = json.loads(text.read_text(encoding="utf-8"))
        symbols = tuple(chemical_symbols[int(number)] for number in held.get("atomic_numbers", [])) or elements
    except (OSError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise UserError(f"{text}: symmetrix cannot evaluate it ({error}); engine='mace' may still do") from error
    if symbols != elements:
        raise UserError(f"{text}: holds a model of other elements than {mace_model.CONFIG} beside it; export the potential again")


def _mace(folder: Path, dtype: str) -> Calculator:
    """mace-torch on the CPU; importing it leaves the process as it was."""
    mace_model.mace_modules()
    with mace_model.undisturbed():
        from mace.calculators import MACECalculator

        model = mace_model.load(folder)
        calculator: Calculator = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
    return calculator
