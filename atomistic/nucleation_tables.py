"""What a nucleation study's file may say (docstring of `nucleation_study`)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from atomistic.study_start import StartTable
from coupling.toml_input import InUnit, Table, Whole

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
    """[classical]: what classical nucleation theory needs."""

    surface_energy: Annotated[float, InUnit("J/m^2", above=0.0)]
    surface_energy_stderr: Annotated[float, InUnit("J/m^2", above=0.0)] | None = None
    diffusivity: Annotated[float, InUnit("m^2/s", above=0.0)]
    hop_length: Annotated[float, InUnit("m", above=0.0)]
    sites: Annotated[float, InUnit("1/m^3", above=0.0)]

    @model_validator(mode="after")
    def _error_leaves_a_surface_energy(self) -> Self:
        if self.surface_energy_stderr is not None and self.surface_energy_stderr >= self.surface_energy / 2:
            told = f"read {self.surface_energy_stderr:g} J/m^2; less than half of surface_energy is needed"
            raise ValueError(f"surface_energy_stderr: {told}: twice the error must leave a positive one")
        return self


class PlaceTable(Table):
    """[[place]]: a part of the cell, between two depths along its third vector."""

    name: Annotated[str, Field(min_length=1)]
    low: Annotated[float, InUnit("m", above=0.0)]
    high: Annotated[float, InUnit("m", above=0.0)]


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
