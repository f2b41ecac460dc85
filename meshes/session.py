"""A quiet gmsh session that leaves nothing behind."""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def gmsh_model(name: str) -> Iterator[Any]:
    """Give a fresh gmsh model (`gmsh.model`) and remove it afterwards; a session already open stays open."""
    import gmsh

    opened = not gmsh.isInitialized()
    if opened:
        gmsh.initialize(interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.add(name)
    try:
        yield gmsh.model
    finally:
        gmsh.model.remove()
        if opened:
            gmsh.finalize()
