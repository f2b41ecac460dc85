"""Rows of a case's expected.toml: a value with a relative tolerance, or bounds, each with its source."""

from collections.abc import Mapping
from typing import Any

import pytest


def require(row: Mapping[str, Any], value: float) -> None:
    """Fail where a computed value leaves what its row allows."""
    if "value" in row:
        assert value == pytest.approx(row["value"], rel=row["tolerance"]), row["source"]
    assert row.keys() & {"value", "at_least", "at_most"}, f"{row['quantity']}: a row must ask for something"
    assert value >= row.get("at_least", value), row["source"]
    assert value <= row.get("at_most", value), row["source"]
