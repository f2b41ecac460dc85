"""The cells that measurements are held against: files of cases/_comparison, checked when they are read.

A cell file says which measurements it stands for, between which test conditions its model runs lie, what is assumed where a
source is silent (with a range and a reason), and the cell itself as the tables of a case.toml under [case].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from coupling.errors import UserError
from coupling.toml_input import AtKey, Location, Table, TomlFile, fraction, read, validate
from multiscale.case import Case, CaseFile, Choice, named_materials
from multiscale.case_folder import material_folders, materials_named
from multiscale.case_units import CurrentDensity, Length, Pressure, Temperature

Share = Annotated[float, AfterValidator(fraction), Field(gt=0)]
Words = Annotated[str, Field(min_length=1)]


class Assumed(Table):
    """A test condition where the source of a measurement is silent: value, range and why."""

    source: Words

    @model_validator(mode="after")
    def _value_lies_in_range(self) -> Self:
        low, high = getattr(self, "range")  # noqa: B009
        if not low <= getattr(self, "value") <= high:  # noqa: B009
            raise AtKey(("range",), "value must lie in it, and its smaller end come first")
        return self


class AssumedTemperature(Assumed):
    """Temperature of the test."""

    value: Temperature
    range: tuple[Temperature, Temperature]


class AssumedPressure(Assumed):
    """Stack pressure of the test."""

    value: Pressure
    range: tuple[Pressure, Pressure]


class AssumedThickness(Assumed):
    """Thickness of the layer between lithium and electrolyte."""

    value: Length
    range: tuple[Length, Length]


class AssumedShare(Assumed):
    """Share of a measured interfacial resistance that is charge transfer."""

    value: Share
    range: tuple[Share, Share]


class AssumedFactor(Assumed):
    """Surface over which the current spreads, times the geometric area that a current density is told for."""

    value: Annotated[float, Field(ge=1)]
    range: tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]]


class Assumptions(Table):
    """What is taken where a source is silent."""

    temperature: AssumedTemperature
    stack_pressure: AssumedPressure
    charge_transfer_share: AssumedShare
    interlayer_thickness: AssumedThickness | None = None
    surface_factor: AssumedFactor | None = None


class Survey(Table):
    """Test conditions that the model runs of the cell cover."""

    temperature: tuple[Temperature, Temperature]
    stack_pressure: tuple[Pressure, Pressure]
    exchange_current_density: tuple[CurrentDensity, CurrentDensity]

    @model_validator(mode="after")
    def _ends_are_in_order(self) -> Self:
        for name in type(self).model_fields:
            low, high = getattr(self, name)
            if not low < high:
                raise AtKey((name,), "the smaller end comes first, and the ends must differ")
        return self


class Remark(Table):
    """A sentence that is told with every measurement whose composition holds certain words."""

    composition: Words
    text: Words


class CellFile(Table):
    """What a file of cases/_comparison may hold."""

    title: Words
    electrolytes: tuple[Words, ...] = Field(min_length=1)
    interlayers: tuple[Words, ...] = Field(min_length=1)
    survey: Survey
    assumed: Assumptions
    remark: tuple[Remark, ...] = ()
    case: CaseFile

    @model_validator(mode="after")
    def _layer_and_its_thickness_go_together(self) -> Self:
        has_layer = self.case.geometry.interlayer is not None
        if has_layer != (self.assumed.interlayer_thickness is not None):
            told = "say which thickness is assumed" if has_layer else "the cell has no [case.geometry.interlayer]; leave it out"
            raise AtKey(("assumed", "interlayer_thickness"), told)
        if self.case.atomistic is not None:
            raise AtKey(("case", "atomistic"), "cells are compared with the numbers of the material files; leave it out")
        return self

    @model_validator(mode="after")
    def _voids_are_asked_for(self) -> Self:
        if self.case.voiding is not None and "voiding" not in self.case.physics.mechanisms:
            raise AtKey(("case", "physics", "mechanisms"), 'the cell has [case.voiding]: add "voiding", or leave that table out')
        return self

    @model_validator(mode="after")
    def _assumptions_lie_in_the_survey(self) -> Self:
        for name in ("temperature", "stack_pressure"):
            (low, high), (least, most) = getattr(self.assumed, name).range, getattr(self.survey, name)
            if not (least <= low and high <= most):
                raise AtKey(("assumed", name, "range"), f"it must lie within survey.{name}")
        return self


@dataclass(frozen=True)
class Cell:
    """A checked cell file.

    Attributes:
        name: of the file, without its end.
        file: the file.
        settings: what it holds.
        case: its [case] with every material it names.
    """

    name: str
    file: TomlFile
    settings: CellFile
    case: Case

    @property
    def bulk(self) -> str:
        """Name of the electrolyte's material."""
        return self.case.settings.geometry.electrolyte.material

    @property
    def transfer(self) -> str:
        """Name of the charge-transfer file."""
        return self.case.settings.interface.charge_transfer

    @property
    def layer(self) -> str | None:
        """Name of the interlayer's material; None for a cell without one."""
        layer = self.case.settings.geometry.interlayer
        return layer.material if layer else None

    @property
    def voids(self) -> str | None:
        """Name of the file of the voids that stripping opens; None for a cell that is held against no stripping."""
        voiding = self.case.settings.voiding
        return voiding.voids if voiding else None

    @property
    def is_bare(self) -> bool:
        """Whether it stands for cells without an applied layer (an interphase that forms by itself is not applied)."""
        return "none" in self.settings.interlayers

    def stands_for(self, electrolyte: str, interlayer: str) -> bool:
        """Whether it is the cell of a measurement of this electrolyte with this layer (letter case and blanks do not count)."""
        names = [_plain(name) for name in self.settings.electrolytes]
        layers = [_plain(name) for name in self.settings.interlayers]
        return _plain(electrolyte) in names and any(_plain(interlayer).startswith(layer) for layer in layers)


def _plain(text: str) -> str:
    return "".join(text.split()).lower()


def read_cell(path: Path) -> Cell:
    """One cell file.

    Raises:
        UserError: wrong key, unit, value or material, with file and line.
    """
    file = read(path)
    settings = validate(file, CellFile)
    lines: dict[Location, int] = {key[1:]: line for key, line in file.lines.items() if key[0] == "case" and len(key) > 1}
    inner = TomlFile(file.path, file.data["case"], lines)
    named: list[tuple[str, Location]] = [(name, ("case", *key)) for name, key in named_materials(settings.case)]
    case = Case(path.parent, settings.case, materials_named(path, named, material_folders(path.parent)), inner)
    _check_numbers(file, case)
    return Cell(path.stem, file, settings, case)


def _check_numbers(file: TomlFile, case: Case) -> None:
    """Refuse a cell whose numbers are known nowhere or that cannot be drawn. Raises UserError."""
    from multiscale.parameters import validate as validate_numbers

    if case.settings.properties != Choice():
        raise UserError(file.complaint(("case", "properties"), "cells use the order of the product; leave this table out"))
    validate_numbers(case)


def read_cells(folder: Path) -> tuple[Cell, ...]:
    """Every cell of a folder, by name.

    Raises:
        UserError: there is none, one is wrong, or two stand for the same measurements.
    """
    cells = tuple(read_cell(path) for path in sorted(folder.glob("*.toml")))
    if not cells:
        raise UserError(f"{folder}: no cell file (.toml) there; the shipped ones lie in cases/_comparison")
    _check_no_overlap(cells)
    return cells


def _check_no_overlap(cells: Sequence[Cell]) -> None:
    for place, first in enumerate(cells):
        for second in cells[place + 1 :]:
            for electrolyte in second.settings.electrolytes:
                for layer in second.settings.interlayers:
                    if first.stands_for(electrolyte, layer):
                        told = f'"{electrolyte}" with "{layer}" is already what {first.file.path} stands for; name it once'
                        raise UserError(second.file.complaint(("electrolytes",), told))
