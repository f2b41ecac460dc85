"""Which species of a transport case are of lithium, by their names, and which of them a metal electrode can exchange."""

import re
from collections.abc import Mapping

_LITHIUM = re.compile(r"Li(?![a-z])|[Ll]ithium")


def holds_lithium(species: str) -> bool:
    """Whether the name of a species has the element in it: Li+, Li, LiTFSI; not TFSI-, Cl-."""
    return _LITHIUM.search(species) is not None


def metal_ions(charges: Mapping[str, int]) -> list[str]:
    """Species, given by their charges, that a metal can dissolve into: cations, of which those of lithium if there are any."""
    cations = [name for name, charge in charges.items() if charge > 0]
    return [name for name in cations if holds_lithium(name)] or cations
