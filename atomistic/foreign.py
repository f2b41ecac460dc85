"""Potentials made elsewhere: CHGNet, SevenNet, MACE foundation models, local MACE model files, LAMMPS potential files.

============================  =====================================================================
`potential = …`               what it is
============================  =====================================================================
chgnet                        CHGNet 0.3.0, weights of the chgnet package
sevennet                      SevenNet-l3i5, weights of the sevenn package (`make sevennet`)
mace_mp:NAME                  a foundation model that mace-torch knows (small, medium-0b3, medium-mpa-0, …)
PATH.model, .pt, .pth         a MACE model as mace-torch saves it: a pickle, opened only where that is allowed
PATH.toml                     a LAMMPS potential file, see `atomistic.lammps_file`
============================  =====================================================================
"""

import contextlib
import functools
import hashlib
import io
import os
import sys
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from atomistic import labels, mace_model, sevennet
from atomistic.labels import CHGNET
from atomistic.potential_card import PotentialCard
from coupling.errors import UserError
from coupling.toml_input import nearest

FOUNDATION, PICKLES, LAMMPS = "mace_mp:", (".model", ".pt", ".pth"), ".toml"
CHGNET_ELEMENTS = tuple(chemical_symbols[1:95])
"""Elements of CHGNet 0.3.0: its embedding has 94 entries, H to Pu."""


def engine_of(name: str | Path) -> str | None:
    """Engine of a potential made elsewhere ("chgnet", "sevennet", "mace", "lammps"), None where the name is not of one."""
    text = str(name)
    if text in labels.TEACHERS:
        return text
    if text.startswith(FOUNDATION) or text.endswith(PICKLES):
        return "mace"
    return "lammps" if text.endswith(LAMMPS) else None


def describe(name: str | Path, allow_pickle: bool = False) -> PotentialCard:
    """Card of a potential made elsewhere; no held-out errors are known.

    Raises:
        UserError: no such file; a pickle that may not be opened; a foundation model or SevenNet that is not at hand.
    """
    engine = engine_of(name)
    if engine in labels.TEACHERS:
        return _chgnet_card() if engine == CHGNET else _sevennet_card(sevennet.require())
    path = Path(name)
    if engine == "lammps":
        from atomistic import lammps_file

        settings, _ = lammps_file.read_file(path)
        sha256, size = lammps_file.contents(path)
        return PotentialCard(str(name), settings.elements, 1, None, None, size, sha256, path)
    path = _mace_file(str(name), allow_pickle)
    elements = tuple(chemical_symbols[int(number)] for number in _mace(path, path.stat().st_mtime_ns).atomic_numbers)
    content = path.read_bytes()
    return PotentialCard(str(name), elements, 1, None, None, len(content), hashlib.sha256(content).hexdigest(), path)


def calculator(name: str | Path, dtype: str = "float64", allow_pickle: bool = False) -> Calculator:
    """ASE calculator of a potential made elsewhere. `dtype` counts for MACE; CHGNet and SevenNet are float32, LAMMPS float64.

    Raises:
        UserError: as `describe`; the file is not of the kind its name says; its engine is not installed.
    """
    engine = engine_of(name)
    if engine in labels.TEACHERS:
        return labels.teacher(engine)
    if engine == "lammps":
        from atomistic.lammps_engine import Lammps

        return Lammps(name)
    path = _mace_file(str(name), allow_pickle)
    model = _mace(path, path.stat().st_mtime_ns)
    mace_model.mace_modules()
    with mace_model.undisturbed():
        from mace.calculators import MACECalculator

        made: Calculator = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
    return made


def _mace_file(name: str, allow_pickle: bool) -> Path:
    """File of a MACE model: local where pickles are allowed, or of a foundation model (fetched if need be)."""
    if name.startswith(FOUNDATION):
        return _foundation_file(name)
    path = Path(name)
    if not allow_pickle:
        raise UserError(
            f"{path}: a pickled model can run any code as you when it is opened, so it is refused; where you trust "
            "whoever made it, say so: allow_pickle = true in [atomistic] of the case, or --allow-pickle on the command line"
        )
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    return path


def _foundation_file(name: str) -> Path:
    """Cached file of a foundation model, fetched by mace-torch from its makers' GitHub releases where it is not there yet."""
    mace_model.mace_modules()
    wanted, said = name.removeprefix(FOUNDATION), io.StringIO()
    with mace_model.undisturbed():
        from mace.calculators import foundations_models as known

        if wanted not in known.mace_mp_urls:
            raise UserError(f"potential {name!r}: no such foundation model; {nearest(wanted, list(known.mace_mp_urls))}")
        url = known.mace_mp_urls[wanted]
        try:
            with contextlib.redirect_stdout(said):
                path = Path(known.download_mace_mp_checkpoint(wanted))
        except (OSError, RuntimeError) as error:
            place = Path(known.get_cache_dir()) / "".join(
                letter for letter in url.split("/")[-1] if letter.isalnum() or letter == "_"
            )
            raise UserError(
                f"potential {name!r} is not in the cache and cannot be fetched here ({error}); fetch {url} where there is a "
                f"network and put it here as {place}"
            ) from None
    for line in said.getvalue().splitlines():
        if "license" in line.lower():
            print(f"{name}: {line.strip()}", file=sys.stderr)
    return path


@functools.lru_cache(maxsize=2)
def _mace(path: Path, changed: int) -> Any:
    """MACE model in a pickle; `changed` is its time of change, so that a new file is read anew."""
    mace_model.mace_modules()
    with mace_model.undisturbed():
        import torch

        os.environ[mace_model.PICKLE_SWITCH] = "1"  # allowed by the caller, for this one file
        try:
            model = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:  # unpickling foreign bytes raises anything
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"{path}: not a model that torch can open ({reason[:200]})") from error
    if not all(hasattr(model, name) for name in ("atomic_numbers", "r_max", "interactions", "state_dict")):
        raise UserError(f"{path}: holds a {type(model).__name__}, not a MACE model as mace-torch saves it")
    return model


@functools.cache
def _chgnet_card() -> PotentialCard:
    """Card of CHGNet; its weights belong to the chgnet package."""
    import chgnet

    path = Path(chgnet.__file__).parent / "pretrained"
    weights = sorted(file for file in path.rglob("*0.3.0*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in weights))
    size = sum(file.stat().st_size for file in weights)
    return PotentialCard(CHGNET, CHGNET_ELEMENTS, 1, None, None, size, digest.hexdigest(), path)


@functools.cache
def _sevennet_card(folder: Path) -> PotentialCard:
    """Card of SevenNet, whose packages lie in `folder`."""
    weights = folder / sevennet.WEIGHTS
    content = weights.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return PotentialCard(labels.SEVENNET, sevennet.ELEMENTS, 1, None, None, len(content), digest, weights)
