"""That nothing was fitted to the comparison, as far as code can check it.

1. Every input of every prediction is of a kind that comes from outside the comparison (MD, measured, derived, assumed).
2. No file that a number comes from is a table of measured critical currents: neither by path nor by content.
3. The words of no input's source speak of a critical current or of fitting (`_FITTING`), name a compared row, or cite the paper
   of one, unless for a resistance (ohm) or, in so many words, for something that is "not its current".
4. Blindness: with every measured current multiplied by an arbitrary factor, each prediction keeps its hash, that is, every
   input, range and model run behind it.

Whoever adjusts a number by hand and writes a source that does not say so is not found out.
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
_CRITICAL = re.compile(r"critical[ -]current|\bCCDs?\b", re.IGNORECASE)
_FITTING = re.compile(
    r"\b(fitted|fit to|adjusted|tuned|calibrated|optimi[sz]ed|chosen (so that|to (match|meet|give|reproduce))|comes? out right|"
    r"reproduces?|(meets?|match(es)?|agrees? with) the (measured|measurements?|comparison|experiments?))\b",
    re.IGNORECASE,
)  # fmt: skip
_NEGATED = re.compile(rf"\b(not|never|nothing (in it |here )?(is|was|has been)) {_FITTING.pattern}", re.IGNORECASE)
_ELSE = re.compile(r"\bohm\b|not its current", re.IGNORECASE)
"""What a source that cites the paper of a measurement says if it takes something else from it."""
Keyed = Callable[[Measurement], str]
"""Hash of the prediction of a measurement."""


@dataclass(frozen=True)
class Audit:
    """What was checked.

    Attributes:
        fitted: inputs that fail one of the first three checks, with the reason.
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
            return f"FITTED, or not shown to be free of it: {'; '.join(self.fitted)}"
        if not self.blind:
            return "Nothing was compared, so nothing was checked for fitting."
        return (
            f"No sign of fitting was found: the {len(self.sources)} files behind the inputs are no tables of critical currents "
            "(hashes in the JSON), no source of an input speaks of fitting or takes the current of a measurement, and all "
            f"{self.blind} predictions keep their hash when the measured currents are scrambled."
        )


def taken_from(text: str, measurements: Sequence[Measurement] = ()) -> str | None:
    """In words, how the source of an input may have come from what predictions are held against; None where it says nothing so.

    Args:
        text: of the source. measurements: their ids and papers (first author and year, or DOI) are looked for.
    """
    if _CRITICAL.search(text):
        return "its source is a critical current"
    if fitting := _FITTING.search(_NEGATED.sub("", text)):
        return f'its source says "{fitting.group(0)}"; if that was to no critical current, say it in other words'
    if _ELSE.search(text):
        return None
    for row in measurements:
        author = re.sub(r"(\s+[A-Z]\.(-?[A-Z]\.)*)*(\s+et al.*)?$", "", row.authors.split(",")[0].strip())
        paper = re.search(rf"\b{re.escape(author)}\b", text) and re.search(rf"\b{row.year}\b", text)
        if re.search(rf"\b{re.escape(row.id)}\b", text, re.IGNORECASE) or paper or (row.doi and row.doi in text):
            return f'its source is that of {row.id}; if the number is another one, write "not its current" there'
    return None


def suspicious(parameters: Mapping[str, Parameter], measurements: Sequence[Measurement] = ()) -> list[str]:
    """Inputs that a comparison may have entered, with the reason: a foreign kind, or what the words of the source say."""
    found = []
    for key, parameter in parameters.items():
        used = parameter.used
        if used.kind not in ALLOWED:
            found.append(f"{key}: of kind {used.kind}")
        elif used.quantity.startswith("critical_current"):
            found.append(f"{key}: it is a critical current")
        else:
            told = (taken_from(str(text), measurements) for name, text in used.source.items() if name != "file")
            found += [f"{key}: {words}" for words in told if words][:1]
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
    fitted = {told for match in matches.values() for told in suspicious(match.parameters, measurements)}
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
