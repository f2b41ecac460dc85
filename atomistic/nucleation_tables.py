"""What a nucleation study's file may say (docstring of `nucleation_study`)."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from atomistic.study_start import StartTable
from coupling.errors import UserError
from coupling.store import find, read_records
from coupling.toml_input import AtKey, InUnit, Table, Whole

Count = Annotated[Whole, Field(ge=1)]
Factor = Annotated[float, Field(gt=0)]
Kelvin = Annotated[float, InUnit("K", above=0.0)]
Time = Annotated[float, InUnit("s", above=0.0)]


class BiasTable(Table):
    """[bias]: hills and lengths of the biased runs."""

    walkers: Count = 4
    largest: Factor  # atoms; sizes up to here are on the grid
    width: Factor = 1.0  # atoms
    height: Annotated[float, InUnit("J", above=0.0)]
    bias_factor: Annotated[float, Field(gt=1)]
    length: Time  # of each walker
    interval: Time  # between hills
    record: Time  # between recorded sizes
    timestep: Time
    friction: Time


class AttachmentTable(Table):
    """[attachment]: unbiased runs that start where the biased ones ended."""

    length: Time  # of each walker
    record: Time  # between sizes
    lags: Annotated[Whole, Field(ge=4)] = 10


class InfrequentTable(Table):
    """[infrequent]: escapes under rare hills, the check of the rate where events can be had; hills as in [bias]."""

    walkers: Annotated[Whole, Field(ge=10)]
    deposited: Factor  # atoms: hills are laid below this size only
    beyond: Factor  # atoms: size on the other side of the barrier
    interval: Time  # between hills
    most: Time  # length of a walker at most


class ClassicalTable(Table):
    """[classical]: what classical nucleation theory needs; sources: where its numbers are from, by key.

    The surface energy is given, or read from a record file (surface_energy_records), which gives its error as well.
    """

    surface_energy: Annotated[float, InUnit("J/m^2", above=0.0)] | None = None
    surface_energy_stderr: Annotated[float, InUnit("J/m^2", above=0.0)] | None = None
    surface_energy_records: Annotated[str, Field(min_length=1)] | None = None
    diffusivity: Annotated[float, InUnit("m^2/s", above=0.0)]
    hop_length: Annotated[float, InUnit("m", above=0.0)]
    sites: Annotated[float, InUnit("1/m^3", above=0.0)]
    sources: dict[Literal["surface_energy", "diffusivity", "hop_length", "sites"], str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_surface_energy(self) -> Self:
        given = self.surface_energy is not None or self.surface_energy_stderr is not None
        if given == (self.surface_energy_records is not None) or (given and self.surface_energy is None):
            raise ValueError("surface_energy, with or without its surface_energy_stderr, or surface_energy_records is needed")
        return self

    @model_validator(mode="after")
    def _error_leaves_a_surface_energy(self) -> Self:
        if self.surface_energy is None or self.surface_energy_stderr is None:
            return self
        if self.surface_energy_stderr >= self.surface_energy / 2:
            told = f"read {self.surface_energy_stderr:g} J/m^2; less than half of surface_energy is needed"
            raise ValueError(f"surface_energy_stderr: {told}: twice the error must leave a positive one")
        return self

    def with_records(self, folder: Path, element: str) -> Self:
        """The table with the surface energy of its record file (a path relative to `folder`), if it names one.

        Mean over the faces of the element; its error is half of their range and the mean of their own errors, in squares.

        Raises:
            UserError: no such file, or no surface energy of the element with an error in it.
        """
        if self.surface_energy_records is None:
            return self
        path = folder / self.surface_energy_records
        faces = [record for record in find(read_records(path), element, "surface_energy") if record.stderr is not None]
        if not faces:
            raise UserError(f"{path}: no surface energy of {element} with an error in it")
        values, errors = np.array([(record.value, record.stderr) for record in faces]).T
        mean, error = float(values.mean()), float(np.hypot(np.ptp(values) / 2, errors.mean()))
        if error >= mean / 2:
            told = f"{mean:.3g} ± {error:.2g} J/m^2; twice the error must leave a positive one"
            raise UserError(f"{path}: surface energy of {element}: {told}")
        named = ", ".join(f"({record.conditions.get('miller', 'face not told')})" for record in faces)
        known_by = f"{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]})"
        told = f"{known_by}: mean of {element} {named}, potential {faces[0].source.get('potential', 'not told')}"
        return self.model_copy(update={"surface_energy": mean, "surface_energy_stderr": error,
                                       "sources": {**self.sources, "surface_energy": told}})  # fmt: skip


class PlaceTable(Table):
    """[[place]]: a part of the cell, between two depths along its third vector."""

    name: Annotated[str, Field(min_length=1)]
    low: Annotated[float, InUnit("m", above=0.0)]
    high: Annotated[float, InUnit("m", above=0.0)]


class SurroundingsTable(Table):
    """[surroundings] of every [[place]]: atoms that move with it, those beyond that stand still; the others are left out."""

    moving: Annotated[float, InUnit("m", above=0.0)]  # width on either side
    still: Annotated[float, InUnit("m", above=0.0)]  # beyond that


class NucleationStudy(Table):
    """A nucleation study file."""

    kind: Literal["nucleation"]
    name: str
    seed: Whole = 0
    potential: str
    structure: str | None = None
    start: StartTable | None = None
    material: Annotated[str, Field(min_length=1)] | None = None  # of the records of a structure; its formula without
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)]
    overpotentials: Annotated[tuple[Annotated[float, InUnit("V")], ...], Field(min_length=1)]
    pressures: Annotated[tuple[Annotated[float, InUnit("Pa")], ...], Field(min_length=1)]
    cell_overpotential: Annotated[float, InUnit("V")] | None = None
    cluster: dict[str, Any] = Field(default_factory=dict)
    bias: BiasTable
    attachment: AttachmentTable
    infrequent: InfrequentTable | None = None
    classical: ClassicalTable | None = None
    place: tuple[PlaceTable, ...] = ()
    surroundings: SurroundingsTable | None = None

    @model_validator(mode="after")
    def _none_twice(self) -> Self:
        for name in ("temperatures", "overpotentials", "pressures"):
            if len(set(values := getattr(self, name))) < len(values):
                raise AtKey((name,), "one of them stands there twice")
        return self
