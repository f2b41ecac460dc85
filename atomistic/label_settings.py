"""How a label was made: the settings that decide which labels may stand in one training set."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from coupling.errors import UserError

UNITS = "eV, Å"


@dataclass(frozen=True)
class LabelSettings:
    """Settings of a reference calculation; words, so that a reader sees them as the code's manual writes them.

    Two labels with different settings differ in their zero of energy at least, so they do not stand in one set unless
    the user asks for it. Labels are kept in eV, eV/Å and eV/Å³ whatever the code's own units are.
    """

    code: str  # "CP2K", "CHGNet"
    version: str
    functional: str = ""  # "PBE"
    cutoff: str = ""  # "400 Ry, relative 50 Ry"
    basis: str = ""
    pseudopotential: str = ""
    k_points: str = ""
    spin: str = ""  # "unpolarised"
    dispersion: str = ""  # "none", "D3(BJ)"
    units: str = UNITS
    further: tuple[tuple[str, str], ...] = ()  # everything else that changes a label, sorted by name

    @property
    def id(self) -> str:
        """The letter s (so that no reader takes it for a number) and hexadecimal digits that depend on every setting."""
        return "s" + hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:11]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self) | {"further": dict(self.further)}

    def lines(self) -> list[str]:
        """One line "name: value" for every setting that is stated."""
        return [f"{name}: {value}" for name, value in self._stated()]

    def _stated(self) -> list[tuple[str, str]]:
        """Names and values of what is stated, in the order of the fields, `further` last."""
        plain = {key: value for key, value in dataclasses.asdict(self).items() if key != "further"}
        return [(key.replace("_", "-"), value) for key, value in plain.items() if value] + list(self.further)


def from_dict(entry: Any, where: str) -> LabelSettings:
    """Settings from what `to_dict` gave.

    Raises:
        UserError: a key that is not known, one that is missing, or a value that is not text.
    """
    known = [field.name for field in dataclasses.fields(LabelSettings)]
    if not isinstance(entry, dict) or not {"code", "version"} <= set(entry) <= set(known):
        told = f"{where}: not the settings of a label: at least code and version are needed"
        raise UserError(f"{told}; known: {', '.join(known)}")
    further = entry.get("further", {})
    values = {key: value for key, value in entry.items() if key != "further"}
    if not isinstance(further, dict) or not all(isinstance(value, str) for value in (*values.values(), *further.values())):
        raise UserError(f"{where}: the settings of a label are words; read {entry!r}")
    return LabelSettings(**values, further=tuple(sorted(further.items())))


def difference(one: LabelSettings, other: LabelSettings) -> str:
    """The settings in which two differ, for a message: "functional PBE / PBEsol, cutoff 400 Ry / 600 Ry"."""
    left, right = dict(one._stated()), dict(other._stated())
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return ", ".join(f"{name} {left.get(name, '(not stated)')} / {right.get(name, '(not stated)')}" for name in names)
