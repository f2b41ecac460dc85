"""The names of regions and boundaries of a cell and the integer tags that carry them through gmsh to DOLFINx."""

REGIONS: dict[str, int] = {"grain": 1, "boundary": 2, "interphase": 3}
"""Cell tags: grain interiors, grain boundaries, reaction layer on the lithium."""

BOUNDARIES: dict[str, int] = {"lithium": 1, "flaw": 2, "counter": 3, "left": 4, "right": 5}
"""Facet tags: flat lithium surface, faces of the lithium-filled flaw, counter electrode, the two symmetry sides."""

VOID: dict[str, int] = {"void": 6}
"""Facet tag of the faces of contact voids, in cells that have some."""
