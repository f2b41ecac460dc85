"""A refusal of wrong input as every kind of case gives it: in one line, with file and line."""

from collections.abc import Callable
from typing import Any

import pytest

from coupling.errors import UserError


def told_with_its_line(check: Callable[[], Any], said: str) -> None:
    """`check` refuses case.toml by file and line, in one line that matches `said`."""
    with pytest.raises(UserError, match=said) as caught:
        check()
    assert "case.toml:" in str(caught.value)
    assert "\n" not in str(caught.value)
