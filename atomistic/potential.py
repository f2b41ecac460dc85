"""Loads interatomic potentials that are stored without pickle, and tells what each is good for."""

import functools
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from atomistic import mace_model
from atomistic.structures import DATA, unknown
from coupling.errors import UserError

SHIPPED = DATA / "potentials"
ENGINES = ("auto", "symmetrix", "mace", "chgnet")
CARD = "card.json"


@dataclass(frozen=True)
class PotentialCard:
    """What a potential is: identity, size and held-out errors (None where no card states them)."""

    name: str
    elements: tuple[str, ...]
    members: int
    force_rmse_meV_per_A: float | None
    energy_rmse_meV_per_atom: float | None
    size_bytes: int
    sha256: str
    path: Path


class Potential(Calculator):
    """ASE calculator of a stored potential: refuses elements that the potential was not trained on.

    Attributes:
        card: what it is.
        engine: "symmetrix", "mace" or "chgnet".
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's own convention)

    def __init__(self, inner: Calculator, card: PotentialCard, engine: str) -> None:
        """Wrap the engine's own calculator."""
        super().__init__()
        self.inner, self.card, self.engine = inner, card, engine

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy (eV), forces (eV/Å) and, for periodic cells, stress (eV/Å³).

        Raises:
            UserError: an element that the potential does not cover.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        own = self.atoms
        assert own is not None
        require_elements(own, self.card)
        self.inner.calculate(own, list(properties), list(system_changes))
        self.results = {name: self.inner.results[name] for name in self.implemented_properties if name in self.inner.results}


def require_elements(atoms: Atoms, card: PotentialCard) -> None:
    """Raise UserError when the atoms hold an element that the potential does not cover."""
    missing = sorted(set(atoms.get_chemical_symbols()) - set(card.elements))
    if card.elements and missing:
        raise UserError(
            f"potential {card.name!r} does not know {', '.join(missing)} (it covers {', '.join(card.elements)}): "
            "choose another potential or train one on structures that hold them"
        )


def available() -> list[str]:
    """Names of the potentials that come with the package."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if (folder / mace_model.CONFIG).exists())


def folder_of(name_or_path: str | Path) -> Path:
    """Folder of a potential: a shipped name, or a path to a folder with config.json.

    Raises:
        UserError: neither; or a pickled MACE file, which is not opened.
    """
    path = Path(name_or_path)
    if path.suffix in (".model", ".pt", ".pth"):
        raise UserError(
            f"{path}: a pickled model can run any code when it is opened, so it is refused; export it as a folder with "
            f"{mace_model.CONFIG} and {mace_model.STATE} (atomistic.mace_model.save) where you trust it"
        )
    if str(name_or_path) in available():
        return SHIPPED / str(name_or_path)
    if (path / mace_model.CONFIG).exists():
        return path
    raise unknown("potential", str(name_or_path), available())


def describe(name_or_path: str | Path) -> PotentialCard:
    """Card of a potential; its hash covers config, weights and the text that symmetrix evaluates.

    Raises:
        UserError: no such potential.
    """
    folder = folder_of(name_or_path)
    files = [folder / name for name in (mace_model.CONFIG, mace_model.STATE, mace_model.TEXT) if (folder / name).exists()]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    stated: dict[str, Any] = {}
    if (folder / CARD).exists():
        stated = json.loads((folder / CARD).read_text(encoding="utf-8"))["held_out"]["crystal"]
    return PotentialCard(
        name=folder.name,
        elements=tuple(mace_model.elements_of(folder)),
        members=1,
        force_rmse_meV_per_A=stated.get("force_rmse_meV_per_A"),
        energy_rmse_meV_per_atom=stated.get("energy_rmse_meV_per_atom"),
        size_bytes=sum(file.stat().st_size for file in files),
        sha256=digest.hexdigest(),
        path=folder,
    )


def load(name_or_path: str | Path, engine: str = "auto", dtype: str = "float64") -> Potential:
    """Calculator of a stored potential.

    Args:
        name_or_path: a shipped name (see `available`) or a folder with config.json, model.safetensors, symmetrix.json.
        engine: "symmetrix" (fast, CPU), "mace" (mace-torch, the reference), "chgnet" (the teacher itself, whatever the
            name), "auto" (symmetrix where it is installed and the text is there, else mace).
        dtype: "float64", or "float32" (about 1.7 times faster; enough for MD).

    Raises:
        UserError: unknown potential, engine or dtype; an engine that is not installed; a broken file.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, list(ENGINES))
    if dtype not in ("float32", "float64"):
        raise unknown("dtype", dtype, ["float32", "float64"])
    if engine == "chgnet" or str(name_or_path) == "chgnet":
        return _chgnet()
    card = describe(name_or_path)
    if engine == "auto":
        text = (card.path / mace_model.TEXT).exists()
        engine = "symmetrix" if text and importlib.util.find_spec("symmetrix") else "mace"
    module = {"symmetrix": "symmetrix", "mace": "mace"}[engine]
    if importlib.util.find_spec(module) is None:
        package = {"symmetrix": "symmetrix-xl", "mace": "mace-torch"}[engine]
        raise UserError(f"engine {engine!r} is not installed here: pip install {package}")
    make = _symmetrix if engine == "symmetrix" else _mace
    return Potential(make(card.path, dtype), card, engine)


def _symmetrix(folder: Path, dtype: str) -> Calculator:
    """symmetrix-xl on the CPU, one thread per process.

    Its OpenMP BLAS probe looks up symbols on every call (30 ms per step on a 2.5 GHz core); SYMMETRIX_HOST_WORKER_BLAS
    switches it off. Its compiled kernels are cached in the user's cache folder under a file lock of its own.
    """
    os.environ.setdefault("SYMMETRIX_HOST_WORKER_BLAS", "off")
    os.environ.setdefault("OMP_PROC_BIND", "false")  # several ranks on one machine must not all bind to core 0
    from symmetrix import Symmetrix

    text = folder / mace_model.TEXT
    try:
        calculator: Calculator = Symmetrix(str(text), dtype=dtype)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{text}: symmetrix cannot evaluate it ({error}); engine='mace' may still do") from error
    return calculator


def _mace(folder: Path, dtype: str) -> Calculator:
    """mace-torch on the CPU; importing it leaves the process as it was."""
    mace_model.mace_modules()
    with mace_model.undisturbed():
        from mace.calculators import MACECalculator

        model = mace_model.load(folder)
        calculator: Calculator = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
    return calculator


@functools.cache
def _chgnet_card() -> PotentialCard:
    """Card of the teacher; its weights belong to the chgnet package."""
    import chgnet

    path = Path(chgnet.__file__).parent / "pretrained"
    weights = sorted(file for file in path.rglob("*0.3.0*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in weights))
    size = sum(file.stat().st_size for file in weights)
    return PotentialCard("chgnet", (), 1, None, None, size, digest.hexdigest(), path)


def _chgnet() -> Potential:
    """The teacher as a potential, for comparison."""
    from atomistic.labels import teacher

    return Potential(teacher(), _chgnet_card(), "chgnet")
