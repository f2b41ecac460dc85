"""The property record: one number with its unit, error, conditions and where it came from.

Every number that crosses from MD (or the literature) to the continuum is a `Property`. A number that could not be
measured but only bounded says so (`bound`), and is sampled as such.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

TWO_SIDED_95 = 1.959964
"""Standard errors of a normal distribution between its median and either end of the 95 % interval."""
NO_ERROR = "no error of it is known"
"""What the method of a computed record says that has neither error nor bound."""
Bound = Literal["upper", "lower"] | None
Kind = Literal["md", "measured", "derived", "assumed"]
Confidence = Literal["verified", "transcribed", "memory", "computed", "low"]


@dataclass(frozen=True)
class Property:
    """One sourced number in SI units.

    Attributes:
        material: phase, region or interface the number belongs to ("Li3P", "Li|Li6PS5Cl").
        quantity: the field's standard term in snake case ("ionic_conductivity", "youngs_modulus").
        value: in `unit`; for a bound, the bound itself.
        unit: SI unit string that pint reads ("S/m", "Pa", "m^2/s", "J/m^2", "1").
        stderr: standard error in `unit`; None where none is known (never invented). Bounds carry None.
        bound: None for an estimate; "upper" or "lower" when only a one-sided limit (95 %) is known.
        low, high: limits of a literature range or a 95 % interval, where that is what is known; in `unit`.
        conditions: temperature_K and whatever else decides the number (pressure_Pa, disorder…).
        kind: "md", "measured", "derived" or "assumed".
        source: paper, or potential hash, seeds, atoms, picoseconds: whatever a reader needs to trace it.
        confidence: whether the number was read in its source or in a published data set that cites it ("verified"), in somebody's
            copy of its table ("transcribed"), recalled ("memory"), computed, or low.
    """

    material: str
    quantity: str
    value: float
    unit: str
    stderr: float | None = None
    bound: Bound = None
    low: float | None = None
    high: float | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "md"
    source: Mapping[str, Any] = field(default_factory=dict)
    confidence: Confidence = "computed"

    def __post_init__(self) -> None:
        """Refuse what cannot be a sourced number."""
        for name in ("value", "stderr", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.material} {self.quantity}: {name} is {number}, not a finite number")
        if self.stderr is not None and self.stderr < 0:
            raise ValueError(f"{self.material} {self.quantity}: standard error {self.stderr} is negative")
        if self.bound not in (None, "upper", "lower"):
            raise ValueError(f"{self.material} {self.quantity}: bound {self.bound!r} is not upper, lower or None")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.material} {self.quantity}: low {self.low} lies above high {self.high}")
        if not self.source:
            raise ValueError(f"{self.material} {self.quantity}: a property without a source is refused")

    def with_source(self, **more: Any) -> "Property":
        """A copy whose source carries `more` as well."""
        return replace(self, source={**self.source, **more})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready dictionary."""
        return {
            "material": self.material, "quantity": self.quantity, "value": self.value, "unit": self.unit,
            "stderr": self.stderr, "bound": self.bound, "low": self.low, "high": self.high,
            "conditions": dict(self.conditions), "kind": self.kind, "source": dict(self.source),
            "confidence": self.confidence,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Property":
        """The record of `to_dict`. Raises TypeError on unknown keys or what is no table, ValueError on impossible values."""
        if not isinstance(data, Mapping):
            raise TypeError(f"record: {data!r} is no table")
        for name in ("conditions", "source"):
            if not isinstance(data.get(name, {}), Mapping):
                raise TypeError(f"{name}: {data[name]!r} is no table")
        return cls(**data)


def graded(record: Property) -> Property:
    """The record; one computed here with neither error nor bound nor limits is of low confidence, and its method says so."""
    known = (record.stderr, record.bound, record.low, record.high)
    if record.kind not in ("md", "derived") or any(each is not None for each in known):
        return record
    method = str(record.source.get("method", ""))
    if "no error" not in method:
        method = f"{method}; {NO_ERROR}" if method else NO_ERROR
    return replace(record.with_source(method=method), confidence="low")


def sample(prop: Property, count: int, rng: np.random.Generator, floor_fraction: float = 1e-3) -> np.ndarray:
    """Draw values of a property from what is known of it, shape (count,), in its unit.

    * estimate with standard error and a 95 % interval: log-normal on either side of the value, through both limits, so that
      what is drawn is what is recorded.
    * estimate with standard error: log-normal for positive values (same mean of the logarithm as the value,
      relative error stderr/value), so that no sample changes sign; normal otherwise.
    * literature range without standard error: log-uniform between low and high (uniform if low ≤ 0).
    * upper bound: log-uniform between `floor_fraction`·bound and the bound; lower bound: between it and its
      inverse multiple. The width of that prior is a stated choice, not data: the error split shows what it costs.
    * neither error nor range: the value itself.
    """
    if prop.bound is not None:
        far = prop.value * floor_fraction if prop.bound == "upper" else prop.value / floor_fraction
        low, high = sorted((far, prop.value))
        return np.exp(rng.uniform(np.log(low), np.log(high), count))
    if prop.stderr:
        if prop.low is not None and prop.high is not None and 0 < prop.low <= prop.value <= prop.high:
            normal = rng.standard_normal(count)
            below, above = math.log(prop.value / prop.low), math.log(prop.high / prop.value)
            return prop.value * np.exp(normal / TWO_SIDED_95 * np.where(normal < 0, below, above))
        if prop.value > 0:
            spread = math.sqrt(math.log1p((prop.stderr / prop.value) ** 2))
            return prop.value * np.exp(spread * rng.standard_normal(count))
        return prop.value + prop.stderr * rng.standard_normal(count)
    if prop.low is not None and prop.high is not None and prop.high > prop.low:
        if prop.low > 0:
            return np.exp(rng.uniform(np.log(prop.low), np.log(prop.high), count))
        return rng.uniform(prop.low, prop.high, count)
    return np.full(count, prop.value)
