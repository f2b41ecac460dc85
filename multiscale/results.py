"""A results folder as it lies on the disk: what is there, what is not, and how the user names its case."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from multiscale.compare import CaseResult, case_result, read_result


@dataclass(frozen=True)
class Run:
    """What a results folder holds; None for a part that is not there.

    Attributes:
        results: the folder.
        case: what measurements are matched on; None where the electrolyte is not known.
        command: how the user names the case on the command line.
        notes: files that are there but could not be read.
    """

    results: Path
    summary: dict[str, Any]
    parameters: list[dict[str, Any]] | None
    distribution: dict[str, Any] | None
    arrhenius: dict[str, Any] | None
    case: CaseResult | None
    command: str
    notes: tuple[str, ...] = ()


def read_run(results: Path, case: CaseResult | None = None) -> Run:
    """Read a results folder.

    Raises:
        UserError: there is no summary.json, or it cannot be read.
    """
    summary = read_result(results / "summary.json")
    notes: list[str] = []

    def optional(name: str) -> dict[str, Any] | None:
        if not (results / name).is_file():
            return None
        try:
            return read_result(results / name)
        except UserError as error:
            notes.append(str(error))
            return None

    parameters = optional("parameters.json")
    found = case or _case_of(results, summary)
    return Run(
        results=results, summary=summary, parameters=None if parameters is None else parameters.get("parameters"),
        distribution=optional("distribution.json"), arrhenius=optional("atomistic/arrhenius.json"), case=found,
        command=_command(results, summary), notes=tuple(notes),
    )  # fmt: skip


def _case_of(results: Path, summary: Mapping[str, Any]) -> CaseResult | None:
    """From summary.json ("electrolyte", "interlayer", "temperature_C", "stack_pressure_MPa"), else from the case folder above."""
    if "electrolyte" in summary:
        conditions = {key: summary.get(key) for key in ("interlayer", "temperature_C", "stack_pressure_MPa")}
        return CaseResult(str(summary.get("case")), results, str(summary["electrolyte"]), **conditions)
    try:
        return replace(case_result(results.resolve().parent, results), name=str(summary.get("case")))
    except UserError:
        return None


def _command(results: Path, summary: Mapping[str, Any]) -> str:
    folder = results.parent
    if not folder.is_absolute() and (folder / "case.toml").is_file():
        return folder.as_posix()
    name = str(summary.get("case", "CASE"))
    return f"cases/{name}" if folder.resolve().parent.name == "cases" else name
