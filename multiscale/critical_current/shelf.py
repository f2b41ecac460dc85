"""What a process keeps between the designs it runs: a design that differs in its materials alone needs no new mesh."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Kept = TypeVar("Kept")
MODELS, MESHES = 4, 64
"""Models and meshes kept: microstructures that take turns, and the geometries of the sampled runs (some megabytes each)."""


class Shelf:
    """The meshes and models used last, by the geometry that they stand for; the one not used for the longest time goes first."""

    def __init__(self, models: int = MODELS, meshes: int = MESHES) -> None:
        """Nothing is kept yet."""
        self._models: OrderedDict[Hashable, Any] = OrderedDict()
        self._meshes: OrderedDict[Hashable, Any] = OrderedDict()
        self._most = {"models": models, "meshes": meshes}

    def mesh(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The mesh of a geometry, made if it is not there."""
        return self._take(self._meshes, self._most["meshes"], key, make)

    def model(self, key: Hashable, make: Callable[[], Kept], renew: Callable[[Kept], None]) -> Kept:
        """The model of a geometry, made if it is not there, else renewed. It belongs to the caller until the next call."""
        if key not in self._models:
            return self._take(self._models, self._most["models"], key, make)
        found: Kept = self._take(self._models, self._most["models"], key, make)
        try:
            renew(found)
        except BaseException:
            del self._models[key]  # half renewed
            raise
        return found

    @staticmethod
    def _take(kept: OrderedDict[Hashable, Any], most: int, key: Hashable, make: Callable[[], Kept]) -> Kept:
        if key not in kept:
            made = make()
            while kept and len(kept) >= most:
                kept.popitem(last=False)
            kept[key] = made
        kept.move_to_end(key)
        found: Kept = kept[key]
        return found
