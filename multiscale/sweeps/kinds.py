"""Kinds of case that a sweep may vary: which keys each has, how it is read, which fidelities its designs can have."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from coupling.errors import UserError
from coupling.toml_input import Location, read
from multiscale.case import CaseFile, load_case, named_materials
from multiscale.case_folder import require_case


@dataclass(frozen=True)
class CaseKind:
    """A kind of case.

    Attributes:
        name: in words.
        model: of its case.toml. load: reads and checks a folder. named: the materials that settings name, with their keys.
        fidelities: that its designs can have.
    """

    name: str
    model: type[BaseModel]
    load: Callable[[Path], Any]
    named: Callable[[Any], list[tuple[str, Location]]]
    fidelities: tuple[str, ...]


INITIATION = CaseKind(
    "a critical current of initiation", CaseFile, load_case, named_materials, ("screening", "best-values", "initiation")
)


def propagation() -> CaseKind:
    """A filament that cracks its way through ([fracture])."""
    from multiscale.propagation.case import load_propagation_case, named
    from multiscale.propagation.settings import PropagationFile

    return CaseKind("crack propagation", PropagationFile, load_propagation_case, named, ("propagation",))


def kind_at(folder: Path) -> CaseKind:
    """The kind of the case in a folder. Raises UserError: no case, or one that no sweep can vary."""
    require_case(folder)
    file = read(folder / "case.toml")
    geometry = file.data.get("geometry")
    if "fracture" in file.data or (isinstance(geometry, dict) and geometry.get("kind") == "line-flaw"):
        return propagation()
    other = next((name for name in file.data if name in ("transport", "conduction")), None)
    if other:
        told = "sweeps vary cases that ask for a critical current, of initiation or propagation; this case is of another kind"
        raise UserError(file.complaint((other,), told))
    return INITIATION
