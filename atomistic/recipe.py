"""Recipes of potentials: which structures, how frames are sampled from them, and which members are fitted (TOML).

A recipe has tables [[structure]] (starts), [[task]] (sampling methods on them), [fit] (how to fit), [[member]] (the models of
the committee) and [card] (what is measured afterwards). Everything random follows from its seeds.
"""

import json
import math
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from ase.data import chemical_symbols
from pydantic import Field, TypeAdapter, ValidationError

from atomistic import labels
from atomistic.card_settings import CardSettings, Targets
from atomistic.fitting import FitSettings
from atomistic.sampling import Structure, seed_of
from coupling import toml_input
from coupling.errors import UserError

TRAIN, HELD_OUT = "train", "test"
METHODS = ("rattle", "contact", "relax", "md")
TEACHER = "teacher"


@dataclass(frozen=True)
class Sampling:
    """One [[task]]: a sampling method on several structures. Å, K, fs, eV/Å."""

    method: str  # rattle, contact, relax or md
    family: str  # label under which errors are reported
    structures: tuple[str, ...]
    set: str = TRAIN  # "test": never used in a fit
    round: int = 0  # later rounds are sampled with a potential fitted to the earlier ones
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
    driver: str = ""  # potential that drives relax and md: a name, a folder, "teacher"; "": the recipe's
    approach: tuple[float, float] = (0.5, 0.95)  # contact: distance left over distance before
    max_force: float = 0.0  # 0: the recipe's


@dataclass(frozen=True)
class Job:
    """One trajectory or set of frames of a task."""

    task: Sampling
    structure: str
    temperature: float
    copy: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the job, unlike any other's in the recipe."""
        task = self.task
        return f"{task.set}{task.round}-{task.family}-{task.method}-{self.structure}-{self.temperature:g}K-{self.copy}"


@dataclass(frozen=True)
class Member:
    """One [[member]]: a MACE model; two of different shape say more about the error than two seeds.

    A fit that goes on from fitted weights has their shape; with max_L = 1 they are given vectors (`atomistic.widening`).
    The order of correlation is 3 and max_ell is 3 throughout, since symmetrix evaluates nothing else.
    """

    seed: int
    channels: int = 16
    max_L: Annotated[int, Field(ge=0, le=1)] = 0  # 1: as many vectors as scalars; 1.4 times the time of a step, 2.2 of a fit
    r_max: float = 5.0  # Å
    radial_basis: int = 8
    cutoff_power: int = 5
    radial_layers: tuple[int, ...] = (32, 32)
    readout_width: int = 16
    epochs: int = 40

    def told(self) -> dict[str, Any]:
        """What a kept fit or study is known by; max_L only where it is not 0, since older ones do not tell it."""
        return {key: value for key, value in asdict(self).items() if key != "max_L" or value}


@dataclass(frozen=True)
class Recipe:
    """A recipe, as read from TOML."""

    name: str
    seed: int
    driver: str  # potential that drives dynamics where a task names none
    labeller: str = labels.CHGNET  # whose labels the frames get, "chgnet" or "sevennet"; the driver "teacher" is the same
    atomic_energies: dict[str, float] = field(default_factory=dict)  # eV, isolated, by the labeller; none: least squares
    max_force: float = 8.0  # eV/Å: frames with a larger force in their labels are left out
    structures: dict[str, Structure] = field(default_factory=dict)
    tasks: tuple[Sampling, ...] = ()
    fit: FitSettings = field(default_factory=FitSettings)
    members: tuple[Member, ...] = ()
    validation_every: int = 12  # one job in so many is for validation
    card: CardSettings = field(default_factory=CardSettings)


def default_recipe(name: str) -> Recipe:
    """Recipe for a training set alone: three members of two shapes, each fitted until 10 epochs bring no gain."""
    members = (Member(1, channels=24), Member(2, channels=24), Member(3, channels=16, r_max=6.0))
    long = tuple(replace(member, epochs=100) for member in members)
    return Recipe(name, 1, TEACHER, fit=FitSettings(patience=10), members=long)


def as_toml(recipe: Recipe) -> str:
    """[fit] and [[member]] of a recipe as TOML, for one that no file holds."""
    lines = [f"name = {json.dumps(recipe.name)}", f"seed = {recipe.seed}", f"driver = {json.dumps(recipe.driver)}", "", "[fit]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in asdict(recipe.fit).items()]
    for member in recipe.members:
        lines += ["", "[[member]]", *(f"{key} = {json.dumps(value)}" for key, value in asdict(member).items())]
    return "\n".join(lines) + "\n"


def frozen(kind: type, entry: dict[str, Any], where: str) -> Any:
    """Dataclass of a TOML table, numbers as written; wrong or missing keys and values of another type raise UserError."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: read {entry!r}; a table of keys is needed")
    known = [each.name for each in fields(kind)]
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    lacking = [one.name for one in fields(kind) if one.name not in entry and one.default is one.default_factory is MISSING]
    if lacking:
        it = "them" if lacking[1:] else "it"
        raise UserError(f"{where}: {', '.join(lacking)} missing; every {kind.__name__.lower()} needs {it}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    if isinstance(entry.get("composition"), dict):
        values["composition"] = tuple(entry["composition"].items())
    for key, value in values.items():
        _require_type(key, value, get_type_hints(kind, include_extras=True)[key], where)
    try:
        made = kind(**values)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}: {key}: read {value!r}; a finite number is needed")
    return made


def _require_type(key: str, value: Any, wanted: Any, where: str) -> None:
    """Raise UserError where a value is not of the type of its key: no text becomes a number, and 1.0 no whole one."""
    try:
        TypeAdapter(wanted).validate_python(value, strict=True)
    except ValidationError as error:
        first: dict[str, Any] = dict(error.errors()[0])
        inside = [part for part in first["loc"] if isinstance(part, str) and isinstance(value, dict) and part in value]
        read = value[inside[0]] if inside else list(value) if isinstance(value, tuple) else value
        raise UserError(f"{where}: {'.'.join([key, *inside])}: read {read!r}; {toml_input.mend(first)}") from None


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        UserError: missing file, broken TOML, unknown keys, values of another type, an unknown labeller or method, two structures
            of one id, a task that names a structure that is not there, or two tasks that make the same job.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not readable as a recipe ({error})") from error
    starts = raw.pop("structure", [])
    if not isinstance(starts, list):
        raise UserError(f"{path}: structure: a table under [[structure]] in double brackets is needed")
    parts = {
        "structures": {one.id: one for one in (frozen(Structure, entry, f"{path}: structure") for entry in starts)},
        "tasks": tuple(frozen(Sampling, entry, f"{path}: task {number}") for number, entry in enumerate(raw.pop("task", []), 1)),
        "members": tuple(frozen(Member, entry, f"{path}: member {n}") for n, entry in enumerate(raw.pop("member", []), 1)),
        "fit": frozen(FitSettings, raw.pop("fit", {}), f"{path}: fit"),
        "card": _card(raw.pop("card", {}), f"{path}: card"),
    }
    if len(parts["structures"]) < len(starts):
        raise UserError(f"{path}: two structures have the same id; each needs its own")
    recipe: Recipe = frozen(Recipe, raw | parts, str(path))
    if recipe.validation_every < 2:
        told = "one job in so many is for validation, so that 2 or more is needed"
        raise UserError(f"{path}: validation_every = {recipe.validation_every}: {told}")
    for element, value in recipe.atomic_energies.items():
        if element not in chemical_symbols[1:] or not math.isfinite(value):
            told = "an element and the energy of its isolated atom in eV are needed, as in { Li = -0.48 }"
            raise UserError(f"{path}: atomic_energies: {element} = {value!r}: {told}")
    if recipe.labeller not in labels.TEACHERS:
        raise UserError(f"{path}: labeller = {recipe.labeller!r}: known in recipes: {', '.join(labels.TEACHERS)}")
    for number, task in enumerate(recipe.tasks, 1):
        if task.method not in METHODS or task.set not in (TRAIN, HELD_OUT):
            raise UserError(
                f"{path}: task {number}: method {task.method!r} of set {task.set!r}; "
                f"known: {', '.join(METHODS)} and {TRAIN}, {HELD_OUT}"
            )
        for name in task.structures:
            if name not in recipe.structures:
                raise UserError(f"{path}: task {number} names structure {name!r}; known: {', '.join(recipe.structures)}")
    every = [job.name for job in jobs(recipe)]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise UserError(f"{path}: two tasks make the same job {twice[0]!r}: raise `copies` in one task instead")
    return recipe


def _card(entry: dict[str, Any], where: str) -> CardSettings:
    """Settings of [card] and [card.targets]."""
    targets: Targets = frozen(Targets, entry.get("targets", {}), f"{where}.targets")
    made: CardSettings = frozen(CardSettings, entry | {"targets": targets}, where)
    return made


def jobs(recipe: Recipe) -> list[Job]:
    """Jobs of a recipe, each with a seed that depends on its own name and the recipe's seed only."""
    found = []
    for task in recipe.tasks:
        for structure in task.structures:
            for temperature in task.temperatures if task.method == "md" else (0.0,):
                for copy in range(task.copies):
                    bare = Job(task, structure, temperature, copy, 0)
                    found.append(Job(task, structure, temperature, copy, seed_of(recipe.seed, bare.name)))
    return found
