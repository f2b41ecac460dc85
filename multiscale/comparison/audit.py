"""That nothing was fitted to the comparison, checked by the code rather than said.

1. Every input of every prediction is of a kind that comes from outside the comparison (MD, measured, derived, assumed).
2. No file that a number comes from is a table of measured critical currents: neither by path nor by content.
3. No input quotes a critical current as its source.
4. Blindness: with every measured current multiplied by an arbitrary factor, each prediction keeps its hash, that is, every
   input, range and model run behind it.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coupling.errors import RunFailure
from coupling.experiments import Measurement
from multiscale.comparison.matching import Match
from multiscale.parameters import Parameter

ALLOWED = ("md", "measured", "derived", "assumed")
"""Kinds of a number that no comparison was used for."""
_CRITICAL = re.compile(r"critical current|\bCCD\b", re.IGNORECASE)
Keyed = Callable[[Measurement], str]
"""Hash of the prediction of a measurement."""


@dataclass(frozen=True)
class Audit:
    """What was checked.

    Attributes:
        fitted: keys of inputs that fail one of the first three checks, with the reason.
        sources: SHA-256 of every file that a number comes from.
        experiments: SHA-256 of the table of measurements.
        blind: how many predictions kept their hash with scrambled measurements.
    """

    fitted: tuple[str, ...]
    sources: Mapping[str, str]
    experiments: str
    blind: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "fitted_parameters": list(self.fitted), "sources": dict(self.sources), "experiments_sha256": self.experiments,
            "predictions_unchanged_by_scrambled_measurements": self.blind,
        }  # fmt: skip

    def sentence(self) -> str:
        """The statement, or what was found against it."""
        if self.fitted:
            return f"FITTED: {'; '.join(self.fitted)}"
        return (
            f"No parameter was fitted: the {len(self.sources)} files behind the inputs are no measurements of critical currents "
            f"(hashes in the JSON), and all {self.blind} predictions keep their hash when the measured currents are scrambled."
        )


def suspicious(parameters: Mapping[str, Parameter]) -> list[str]:
    """Inputs that a comparison may have entered, with the reason: a foreign kind, or a critical current as source."""
    found = []
    for key, parameter in parameters.items():
        used = parameter.used
        if used.kind not in ALLOWED:
            found.append(f"{key}: of kind {used.kind}")
        elif used.quantity.startswith("critical_current") or any(_CRITICAL.search(str(text)) for text in used.source.values()):
            found.append(f"{key}: its source is a critical current")
    return found


def sha256(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_files(found: Match) -> list[Path]:
    """Every file that a number of a match comes from: its materials and its cell file."""
    return [found.cell.file.path, *sorted(material.path for material in found.cell.case.materials.values())]


def audit(
    matches: Mapping[str, Match], measurements: Sequence[Measurement], experiments: Path, key_of: Keyed
) -> Audit:
    """Check all of it.

    Args:
        matches: of the comparable measurements, by id.
        measurements: the comparable measurements.
        experiments: the table they come from.
        key_of: hash of the prediction of a measurement, found afresh from the measurement.

    Raises:
        RunFailure: a prediction depends on the measured current it is held against.
    """
    fitted = {told for match in matches.values() for told in suspicious(match.parameters)}
    files = sorted({path.resolve() for match in matches.values() for path in source_files(match)})
    table = sha256(experiments)
    for path in files:
        if sha256(path) == table or path.parent == experiments.resolve().parent:
            fitted.add(f"{path}: a table of measurements is a source of inputs")
    blind = 0
    for place, measured in enumerate(measurements):
        other = replace(measured, ccd_mA_cm2=measured.ccd_mA_cm2 * math.exp(1.0 + 0.37 * place))
        if key_of(other) != key_of(measured):
            told = "its prediction changes with the measured current, which no prediction may know"
            raise RunFailure(f"{measured.id}: {told}; this is a mistake of the program, please report it")
        blind += 1
    return Audit(tuple(sorted(fitted)), {path.name: sha256(path) for path in files}, table, blind)
