"""Quantities of case files with their units and limits."""

import json
from typing import Annotated

from coupling.constants import LITHIUM_MELTING_POINT
from coupling.toml_input import AtKey, InUnit

ATOM = 0.3e-9
"""Narrowest mouth of a flaw, m: one atom (in the metal, lithium atoms are 0.304 nm apart: bcc, a = 0.351 nm)."""
Length = Annotated[float, InUnit("m", above=0.0)]
MouthWidth = Annotated[float, InUnit("m", at_least=ATOM)]
Temperature = Annotated[float, InUnit("K", above=0.0)]
LithiumTemperature = Annotated[float, InUnit("K", above=0.0, below=LITHIUM_MELTING_POINT, why="lithium melts at 180.5 degC")]
"""Of a cell whose lithium is solid."""
MOST_PRESSURE = 1e9
"""Largest pressure on a cell, Pa: more than pellets are pressed with, and a strain of 0.01 of the electrolyte."""
Pressure = Annotated[float, InUnit("Pa", at_least=0.0, at_most=MOST_PRESSURE, why="no cell is held under more")]
CurrentDensity = Annotated[float, InUnit("A/m^2", above=0.0)]


KINDS_APART = (
    "initiation (with nucleation and voiding) and propagation are cases of two kinds, each with its own cell and protocol; run "
    "one of each, then `multiscale ccd CASE --beside OTHER` tells both critical currents and the smaller (a propagation case "
    "whose cell is even may name initiation itself)"
)


def refuse_others(mechanisms: object, others: tuple[str, ...]) -> object:
    """Refuse mechanisms of the other kind of case. Raises ValueError with what was read and what to do instead."""
    if isinstance(mechanisms, list) and any(name in others for name in mechanisms):
        raise ValueError(f"read {json.dumps(mechanisms)}; {KINDS_APART}")
    return mechanisms


def refuse_twice(attribute: tuple[str, ...]) -> None:
    """Refuse a switch that `attribute` names twice. Raises AtKey."""
    for name in attribute:
        if attribute.count(name) > 1:
            raise AtKey(("attribute",), f'"{name}" stands there twice; name each switch once')
