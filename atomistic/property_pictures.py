"""Pictures of a study of bulk properties: its moduli, surface energies, works of adhesion and Onsager coefficients as bars."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from atomistic.observable_pictures import bars
from coupling.constants import ELEMENTARY_CHARGE
from coupling.record import Property

CONDUCTIVITY = 10 * ELEMENTARY_CHARGE**2
"""e² L in mS/cm of L in 1/(J m s)."""
MODULI = {"bulk_modulus": "K", "shear_modulus": "G", "youngs_modulus": "E"}
KINDS: dict[str, tuple[Callable[[Property], bool], Callable[[Property], str], float, str]] = {
    "elasticity": (
        lambda record: record.quantity.startswith("elastic_C"),
        lambda record: f"{record.material} {record.quantity.removeprefix('elastic_')}, {record.conditions['temperature_K']:g} K",
        1e-9, "elastic constant (GPa)",
    ),
    "moduli": (
        lambda record: record.quantity in MODULI,
        lambda record: f"{record.material} {MODULI[record.quantity]}, {record.conditions['temperature_K']:g} K",
        1e-9, "modulus (GPa): K bulk, G shear, E Young",
    ),
    "surface": (
        lambda record: record.quantity == "surface_energy",
        lambda record: f"{record.material} ({record.conditions['miller']})", 1.0, "surface energy (J/m²)",
    ),
    "adhesion": (
        lambda record: record.quantity == "work_of_adhesion", lambda record: record.material, 1.0, "work of adhesion (J/m²)",
    ),
    "onsager": (
        lambda record: record.quantity == "onsager_coefficient" and "method" not in record.conditions and record.value != 0,
        lambda record: f"{record.material} {record.conditions['species']}, {record.conditions['temperature_K']:g} K, "
        f"{record.conditions['frame']}",
        CONDUCTIVITY, "e² L (mS/cm)",
    ),
}  # fmt: skip
"""Picture: which records it shows, name of a bar, factor from SI, what stands at its axis."""


def draw(records: Sequence[Property], folder: Path) -> None:
    """Write FOLDER/NAME.png of every kind that has records; one of a run before that has none is removed.

    Raises:
        RunFailure: a file cannot be written.
    """
    for name, (wanted, label, factor, axis) in KINDS.items():
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        drawn: dict[str, Any] = {
            label(record): (factor * record.value, factor * (record.stderr or 0.0), record.bound == "upper")
            for record in records
            if wanted(record)
        }
        if drawn:
            bars(path, drawn, axis)
