"""MACE models as plain files: config.json + model.safetensors, and the JSON text that symmetrix-xl evaluates.

Model: Batatia et al., MACE, NeurIPS 35 (2022), arXiv:2206.07697, as implemented in mace-torch (ScaleShiftMACE), with a
Ziegler–Biersack–Littmark repulsion at short range.
"""

import contextlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from atomistic import tensors
from coupling.atomic import replacing, write_json
from coupling.errors import UserError

CONFIG, STATE, TEXT = "config.json", "model.safetensors", "symmetrix.json"
HASHED = ("execution_contracts", "Phi1_clebsch_gordan")  # of symmetrix's text
SPLINE_POINTS = 2048
"""Of the radial tables that symmetrix makes when it loads the text: forces then equal mace-torch's within 1e-7 eV/Å in shaken
Li2CO3, where 1024 leave 9e-7 and its default of 256 more than 1e-5; the speed is the same."""
COUPLING = ("U_matrix", "_w3j_")
"""In the names of the coupling tensors, which follow from the config alone."""
PICKLE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the switch that lets torch.load run pickles, torch's default dtype and the logging level as they were."""
    import torch

    switch, dtype, level = os.environ.get(PICKLE_SWITCH), torch.get_default_dtype(), logging.root.level
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.serialization.safe_globals([slice]):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(dtype)
        logging.root.setLevel(level)
        if switch is None:
            os.environ.pop(PICKLE_SWITCH, None)
        else:
            os.environ[PICKLE_SWITCH] = switch


def mace_modules() -> ModuleType:
    """`mace.modules`, imported without its process-wide side effects."""
    with undisturbed():
        from mace import modules
    return modules


def config_of(model: Any) -> dict[str, Any]:
    """Everything needed to rebuild a ScaleShiftMACE, as plain JSON values."""
    with undisturbed():
        from mace.tools.scripts_utils import extract_config_mace_model

    raw = extract_config_mace_model(model)
    plain = {
        name: raw[name]
        for name in (
            "r_max num_bessel max_ell num_interactions num_elements correlation radial_type apply_cutoff pair_repulsion "
            "use_reduced_cg use_so3 use_agnostic_product use_last_readout_only radial_MLP"
        ).split()
    }
    return plain | {
        "num_polynomial_cutoff": int(raw["num_polynomial_cutoff"]),
        "interaction_cls": raw["interaction_cls"].__name__,
        "interaction_cls_first": raw["interaction_cls_first"].__name__,
        "hidden_irreps": str(raw["hidden_irreps"]),
        "MLP_irreps": str(raw["MLP_irreps"]),
        "atomic_energies": np.asarray(raw["atomic_energies"]).reshape(1, -1).tolist(),
        "avg_num_neighbors": float(raw["avg_num_neighbors"]),
        "atomic_numbers": [int(number) for number in raw["atomic_numbers"]],
        "atomic_inter_scale": float(raw["atomic_inter_scale"]),
        "atomic_inter_shift": float(raw["atomic_inter_shift"]),
    }


def build(config: dict[str, Any]) -> Any:
    """ScaleShiftMACE of a config, float64, with random weights.

    Raises:
        UserError: the config has other keys than `config_of` writes, or values that mace-torch refuses.
    """
    modules = mace_modules()
    try:
        with undisturbed():
            import torch
            from e3nn import o3

            torch.set_default_dtype(torch.float64)
            classes = modules.interaction_classes
            values = config | {
                "interaction_cls": classes[config["interaction_cls"]],
                "interaction_cls_first": classes[config["interaction_cls_first"]],
                "hidden_irreps": o3.Irreps(config["hidden_irreps"]),
                "MLP_irreps": o3.Irreps(config["MLP_irreps"]),
                "atomic_energies": np.array(config["atomic_energies"]),
                "gate": torch.nn.functional.silu,
                "distance_transform": "None",
            }
            return modules.ScaleShiftMACE(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{CONFIG}: not the config of a MACE model ({error!r}); export the potential again") from error


def save(model: Any, folder: str | Path) -> None:
    """Write config.json, model.safetensors and symmetrix.json of a trained ScaleShiftMACE into a folder."""
    target = Path(folder)
    model = _exact(model.double().cpu())
    write_json(target / CONFIG, config_of(model))
    with replacing(target / STATE) as temporary:
        tensors.save(temporary, tensors.sparse({name: value.detach().numpy() for name, value in model.state_dict().items()}))
    with replacing(target / TEXT) as temporary:
        temporary.write_text(json.dumps(_rounded(symmetrix_data(load(target)))), encoding="utf-8")


def _exact(model: Any) -> Any:
    """The model with coupling tensors of double precision: one made in single precision has them rounded to 1e-8.

    mace-torch takes them as stored, symmetrix makes its own; energies of close atoms then differ by some 1e-8 eV.
    """
    exact = build(config_of(model)).state_dict()
    coupling = {name: value for name, value in exact.items() if any(part in name for part in COUPLING)}
    model.load_state_dict(model.state_dict() | coupling)
    return model


def _rounded(data: Any) -> Any:
    """The same JSON values with 10 significant digits, half as long; what symmetrix checks by its hash stays as it is."""
    if isinstance(data, dict):
        return {key: value if key in HASHED else _rounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_rounded(value) for value in data]
    return float(f"{data:.10g}") if isinstance(data, float) else data


def load(folder: str | Path) -> Any:
    """ScaleShiftMACE (float64) from config.json and model.safetensors.

    Raises:
        UserError: a file is missing, unreadable, or does not fit the other.
    """
    import torch

    source = Path(folder)
    try:
        config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{source / CONFIG}: not readable as JSON ({error})") from error
    model = build(config)
    stored = tensors.dense(tensors.load(source / STATE), str(source / STATE))
    try:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in stored.items()})
    except RuntimeError as error:
        raise UserError(f"{source / STATE} does not fit {CONFIG} beside it: {str(error).splitlines()[0]}") from error
    return model.eval()


def symmetrix_data(model: Any) -> dict[str, Any]:
    """The model in symmetrix-xl's compact JSON form (float64), by symmetrix's own extraction."""
    from symmetrix.extract_mace_data import extract_mace_data

    with undisturbed(), tempfile.TemporaryDirectory() as scratch:
        import torch

        # symmetrix reads a pickled module: this one was written by us a moment ago
        os.environ[PICKLE_SWITCH] = "1"
        torch.set_default_dtype(torch.float64)  # that of the coupling tensors it makes
        path = Path(scratch) / "model.model"
        torch.save(model, path)
        species = [int(number) for number in model.atomic_numbers]  # without them it warns that it takes them all
        return dict(extract_mace_data(str(path), species, num_spline_points=SPLINE_POINTS))


def elements_of(folder: str | Path) -> list[str]:
    """Chemical symbols that the potential in a folder covers, by atomic number.

    Raises:
        UserError: no readable config.json there.
    """
    try:
        config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
        return [chemical_symbols[number] for number in config["atomic_numbers"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{Path(folder) / CONFIG}: no potential there ({error})") from error
