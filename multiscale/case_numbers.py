"""Numbers that a case takes from material files, remembered with their sources, for `check`."""

from typing import Any

from coupling.errors import UserError
from coupling.record import Property
from coupling.toml_input import Location
from multiscale.case_folder import CaseFolder
from multiscale.parameters import Parameter, candidates


class Numbers:
    """Looks numbers of a case up and keeps what was found in `parameters`.

    Args:
        case: its settings have `properties` (order of kinds) and `conditions.temperature`.
    """

    def __init__(self, case: CaseFolder[Any]) -> None:
        self.case, self.parameters = case, dict[str, Parameter]()

    def of(self, name: str, key: Location, quantity: str, otherwise: float | None = None) -> float:
        """Value of a quantity of a material by the case's order of kinds, SI.

        Raises:
            UserError: it is not known at the case's temperature, with the key that names the material, and no `otherwise`.
        """
        found = self.property_of(name, quantity)
        if found is not None:
            return found.value
        if otherwise is not None:
            return otherwise
        path = self.case.materials[name].path
        told = f"{quantity} of {name} is not known at this temperature; add a [[property]] with it and its source to {path}"
        raise UserError(self.case.file.complaint(key, told))

    def property_of(self, name: str, quantity: str) -> Property | None:
        """The property used for a quantity, or None where none is known."""
        settings, label = self.case.settings, f"{name}.{quantity}"
        found = candidates(self.case.materials[name], quantity, (), settings.conditions.temperature)
        known = settings.properties.ranked(label, found)
        if not known:
            return None
        self.parameters[label] = Parameter(label, known[0], tuple(known[1:]))
        return known[0]

    def state(self, key: str, value: float, unit: str, source: str, spread: tuple[float, float] | None = None) -> float:
        """A number that case.toml itself states."""
        low, high = spread or (None, None)
        material, _, quantity = key.rpartition(".")
        reference = {"reference": source}
        record = Property(material, quantity, value, unit, low=low, high=high, kind="assumed", confidence="low", source=reference)
        self.parameters[key] = Parameter(key, record)
        return value
