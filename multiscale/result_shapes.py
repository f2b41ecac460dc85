"""What the JSON files of a results folder must hold so that they can be told, plotted and compared; more keys are welcome."""

from functools import cache
from typing import Any, NotRequired, TypedDict

from pydantic import ConfigDict, FiniteFloat, PositiveFloat, TypeAdapter, with_config

_STRICT = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
Number = FiniteFloat | None
Pair = tuple[FiniteFloat, FiniteFloat]


@with_config(_STRICT)
class CriticalCurrent(TypedDict):
    """Current densities in mA/cm²."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    level: FiniteFloat
    unit: NotRequired[str]
    bound: NotRequired[str | None]


@with_config(_STRICT)
class BestValues(TypedDict):
    """Critical current at the best value of every input, mA/cm²."""

    value: FiniteFloat


@with_config(_STRICT)
class Summary(TypedDict):
    """summary.json."""

    ccd: CriticalCurrent
    error_split: NotRequired[dict[str, FiniteFloat]]
    asr_split: NotRequired[dict[str, FiniteFloat]]
    asr_ohm_cm2: NotRequired[Number]
    focusing_factor: NotRequired[Number]
    detour_factor: NotRequired[Number]
    temperature_C: NotRequired[Number]
    stack_pressure_MPa: NotRequired[Number]
    at_best_values: NotRequired[BestValues | None]
    state: NotRequired[dict[str, Any] | None]
    hashes: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, Any]]
    wall_s: NotRequired[dict[str, Any]]
    fitted_parameters: NotRequired[list[str]]
    md_problems: NotRequired[list[str]]


@with_config(_STRICT)
class Candidate(TypedDict):
    """One value of an input, with its error and source; SI units."""

    value: NotRequired[Number]
    stderr: NotRequired[Number]
    low: NotRequired[Number]
    high: NotRequired[Number]
    source: NotRequired[str | dict[str, Any]]
    origin: NotRequired[dict[str, Any] | None]
    conditions: NotRequired[dict[str, Any] | None]


@with_config(_STRICT)
class Input(Candidate):
    """The value that is used, and those that are not."""

    key: str
    losers: NotRequired[list[Candidate] | None]


@with_config(_STRICT)
class Parameters(TypedDict):
    """parameters.json."""

    parameters: list[Input]


@with_config(_STRICT)
class Distribution(TypedDict):
    """distribution.json, mA/cm²; `of_inputs`: without the errors of surrogate and mesh, the same draws in the same order."""

    samples: list[FiniteFloat]
    of_inputs: NotRequired[list[FiniteFloat]]


@with_config(_STRICT)
class BestAnswers(TypedDict):
    """best_values.json of a sweep's design without error bar."""

    answers: dict[str, Any]


@with_config(_STRICT)
class Point(TypedDict):
    """A diffusivity (m²/s) at a temperature."""

    temperature_K: PositiveFloat
    value: Number
    stderr: NotRequired[Number]


@with_config(_STRICT)
class Band(TypedDict):
    """D (m²/s) along a fit, and its 95 % limits."""

    temperature_K: list[PositiveFloat]
    value: list[PositiveFloat]
    low: list[FiniteFloat]
    high: list[FiniteFloat]


@with_config(_STRICT)
class Fit(TypedDict):
    """ln D = log_prefactor − activation_energy/(R T), J/mol.

    `energy`: activation energy with its standard error, `band`: the limits, of the posterior; before, `covariance` stood there.
    """

    log_prefactor: FiniteFloat
    activation_energy: FiniteFloat
    energy: NotRequired[Pair]
    band: NotRequired[Band]
    covariance: NotRequired[tuple[Pair, Pair] | None]
    chi_square: NotRequired[Number]
    degrees: NotRequired[Number]


@with_config(_STRICT)
class Room(TypedDict):
    """The diffusivity (m²/s) at room temperature."""

    value: NotRequired[Number]
    low: NotRequired[Number]
    high: NotRequired[Number]


@with_config(_STRICT)
class Phase(TypedDict):
    """What is known of the diffusivity of one phase."""

    points: NotRequired[list[Point]]
    fit: NotRequired[Fit | None]
    room: NotRequired[Room | None]


_SHAPES: dict[str, Any] = {
    "summary.json": Summary, "parameters.json": Parameters, "distribution.json": Distribution,
    "arrhenius.json": dict[str, Phase], "best_values.json": BestAnswers,
}  # fmt: skip


@cache
def shape_of(name: str) -> TypeAdapter[Any]:
    """What the file of this name must hold."""
    return TypeAdapter(_SHAPES[name])
