"""What `multiscale check` tells of a transport case: every number with its source, and closed forms to hold a run against."""

import math
from typing import Any

from coupling.constants import FARADAY
from multiscale.console import show, show_json
from multiscale.tables import parameter_rows, parameter_table
from multiscale.transport_cases.case import TransportCase
from multiscale.transport_cases.crystal import meshed_boundaries, polycrystal
from multiscale.transport_cases.inputs import Inputs, resolve


def limits(case: TransportCase, inputs: Inputs) -> list[dict[str, Any]]:
    """Closed forms for every binary electroneutral layer between faces that only its first ion passes.

    Limiting current 4 F D₊ c/L of a 1:1 salt, and the Sand time π D (F c/(2 i (1 - t₊)))² of each galvanostatic step above it,
    from a uniform start and as long as the diffusion layer is thinner than the film (docs/physics.md V02, V03).
    """
    found: list[dict[str, Any]] = []
    for name, medium in () if case.structured else case.settings.transport.items():
        ions, numbers = medium.species, inputs.media[name]
        if medium.closure != "electroneutral" or [ion.charge for ion in ions] != [1, -1] or medium.fixed_charge:
            continue
        cation, anion = (numbers.diffusivity[ion.name] for ion in ions)
        c, thickness = numbers.concentration[ions[0].name], case.settings.geometry.thickness[name]
        t, salt = cation / (cation + anion), 2 * cation * anion / (cation + anion)
        limit = 4 * FARADAY * cation * c / thickness
        steps = [abs(step.current_density or 0.0) for step in case.settings.protocol.step if step.kind == "galvanostatic"]
        sand = {f"{i / 10:.4g} mA/cm^2": math.pi * salt * (FARADAY * c / (2 * i * (1 - t))) ** 2 for i in steps if i > limit}
        found.append({"medium": name, "limiting_current_mA_per_cm2": limit / 10, "sand_time_s": sand})
    return found


def show_check(case: TransportCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a transport case: every number with its source."""
    inputs = resolve(case)
    if meshed_boundaries(case):
        polycrystal(case)
    if as_json:
        show_json({"case": case.name, "parameters": parameter_rows(inputs.parameters), "limits": limits(case, inputs)})
        return
    show(parameter_table(case, inputs.parameters, "a transport case runs none"))
