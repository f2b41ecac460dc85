"""A metal in a transport system: its reactions, double layers and films on the boundaries that it touches."""

from typing import Any

import numpy as np
from dolfinx import fem

from multiscale.domain import integral
from multiscale.transport.media import FILM, POTENTIAL, Electrode, Junction


class Contact:
    """A metal in a system: its potential, its current and what drives it (`controlled` or `held`: 1 or 0).

    Attributes:
        electrodes: of the metal, one for each medium that it touches; `electrode` is the first.
        passages: of each, the current density (A/m²) out of the metal and into the medium (one, unless a film lies between).
    """

    def __init__(self, system: Any, electrodes: tuple[Electrode, ...]) -> None:
        """Write its equations into the system."""
        domain = system.domain
        self.system, self.electrodes, self.electrode = system, electrodes, electrodes[0]
        metal, test = system.metal(electrodes[0])
        self.metal, self.boundaries = metal, tuple(e.boundary for e in electrodes)
        self.current_density, self.voltage = domain.constant(0.0), domain.constant(0.0)
        self.controlled, self.held = domain.constant(0.0), domain.constant(1.0)
        whole = domain.ds(*self.boundaries)
        self.passages = {e.boundary: system.passage(e, e.medium, metal, ("metal", e.body)) for e in electrodes}
        current: Any = 0
        for e in electrodes:
            (surface, through), measure = self.passages[e.boundary], domain.ds(e.boundary)
            current += surface * measure
            system.residual += self.controlled * surface * test * measure
            system.residual += system.faradaic_inflow(e.medium, e.ion, through, measure)
            if e.film is not None:
                system.residual += (surface - through) * system.test[system.index[FILM, e.boundary]] * measure
        system.residual += (self.held * (metal - self.voltage) - self.controlled * self.current_density) * test * whole
        self.area = integral(domain.constant(1.0) * whole)
        self._current, self._potential = fem.form(current), fem.form(metal * whole)

    def control_current(self, current_density: float) -> None:
        """From the next solve: the mean current density from the metal into the electrolyte, A/m²."""
        self.controlled.value, self.held.value, self.current_density.value = 1.0, 0.0, current_density

    def control_potential(self, voltage: float) -> None:
        """From the next solve: the potential of the metal, V."""
        self.controlled.value, self.held.value, self.voltage.value = 0.0, 1.0, voltage

    def settle(self) -> None:
        """Put a held potential into the unknowns, as the start of a solve."""
        if self.held.value:
            self.system.u.x.array[self.system.dofs("metal", self.electrode.body)] = self.voltage.value

    @property
    def current(self) -> float:
        """Total current from the metal into the electrolyte by the reaction and the double layer, A (A/m in 2-D, A/m² in 1-D)."""
        return integral(self._current)

    @property
    def mean_current_density(self) -> float:
        """Mean current density from the metal into the electrolyte, A/m²."""
        return self.current / self.area

    @property
    def potential(self) -> float:
        """Mean potential of the metal, V."""
        return integral(self._potential) / self.area


def double_layers(system: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Local unknowns on both sides of every interface and film with a capacitance."""
    bs = system.space.dofmap.index_map_bs
    faces: list[tuple[Electrode | Junction, tuple[str, str], tuple[str, str]]] = [
        (e, ("metal", e.body), (e.medium, POTENTIAL)) for e in system.electrodes
    ]
    faces += [(j, (j.second, POTENTIAL), (j.first, POTENTIAL)) for j in system.interfaces.values()]
    sides, found = [], []
    for face, far, near in faces:
        film = (FILM, face.boundary)
        if face.capacitance is not None:
            sides.append((face.boundary, far, near if face.film is None else film))
        if face.film is not None and face.film.capacitance is not None:
            sides.append((face.boundary, film, near))
    for network in system.networks:
        own = (FILM, network.name) in system.index
        for face, one, other in network.faces if network.layer.permittivity is not None else ():
            ends = [(FILM, network.name)] * 2 if own else [(other, POTENTIAL)]
            sides += [(face, end, (m, POTENTIAL)) for m, end in zip((one, other), ends, strict=False)]
    for boundary, one, other in sides:
        blocks = fem.locate_dofs_topological(system.space, system.domain.dimension - 1, system.domain.facets(boundary))
        found.append((blocks * bs + system.index[one], blocks * bs + system.index[other]))
    return found
