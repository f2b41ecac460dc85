"""Whether the reactions of a solution lie where Butler-Volmer is an exponential, not the tangent that stands for it beyond."""

from dataclasses import replace
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from coupling.constants import FARADAY, GAS_CONSTANT
from multiscale.domain import integral
from multiscale.transport import kinetics
from multiscale.transport.media import FILM, POTENTIAL, Electrode, Junction
from multiscale.transport.solid import PRESSED, STRESS
from multiscale.transport.system import TransportSystem

HARMLESS = 15.0
"""Span of all potentials over RT/F, times the largest transfer coefficient, below which no exponent gets near the limit: with a
depleted ion (27.6) and a pressure of 1 GPa (5.2) it stays below `kinetics.EXPONENT_LIMIT`."""


class KineticRange:
    """Finds the faces of a system whose reactions have left the range of their law, `kinetics.EXPONENT_LIMIT`.

    Beyond that exponent the law continues along its tangent, which keeps Newton's method alive on its way; a solution that
    lies there is no answer. Forms are compiled only when a potential is large enough to matter.

    Args:
        system: with its electrodes and junctions.
    """

    def __init__(self, system: TransportSystem) -> None:
        """Nothing is compiled yet."""
        self.system = system
        self._beyond: dict[str, Any] | None = None
        names = [name for name in system.index if name[1] == POTENTIAL or name[0] in ("metal", FILM)]
        self._potentials = np.unique(np.concatenate([system.dofs(*name) for name in names]))

    def left(self) -> list[str]:
        """Boundaries on some part of which an exponent of the present solution lies beyond the limit."""
        values = self.system.u.x.array[self._potentials]
        found = self.system.domain.comm.allgather((float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))))
        span = max(high for _, high in found) - min(low for low, _ in found)
        temperature = min(float(medium.temperature) for medium in self.system.media.values())
        if span * FARADAY / (GAS_CONSTANT * temperature) < HARMLESS / self._steepest() and not self._shifted():
            return []
        if self._beyond is None:
            self._beyond = self._forms()
        return [boundary for boundary, form in self._beyond.items() if integral(form) > 0]

    def _faces(self) -> list[Electrode | Junction]:
        faces: list[Electrode | Junction] = [*self.system.electrodes, *self.system.interfaces.values()]
        return [face for face in faces if face.kinetics is not None]

    def _steepest(self) -> float:
        """Largest transfer coefficient, at least one."""
        laws = [face.kinetics for face in self._faces() if face.kinetics is not None]
        given = [α for law in laws for α in (law.anodic_transfer, law.cathodic_transfer) if α is not None]
        return max([1.0, *(float(α) for α in given)])

    def _shifted(self) -> bool:
        """Whether an equilibrium potential is not zero, so that small potentials may be large overpotentials."""
        return any(float(face.kinetics.equilibrium) != 0 for face in self._faces() if face.kinetics is not None)

    def _forms(self) -> dict[str, Any]:
        """Area of each face where an exponent lies beyond the limit."""
        system, found = self.system, {}
        for face in self._faces():
            beyond = ufl.conditional(ufl.gt(ufl.max_value(*self._exponents(face)), kinetics.EXPONENT_LIMIT), 1.0, 0.0)
            outer = isinstance(face, Electrode)
            measure = system.domain.ds(face.boundary) if outer else system.domain.dS(face.boundary)
            found[face.boundary] = fem.form((beyond if outer else beyond("+")) * measure)
        return found

    def _exponents(self, face: Electrode | Junction) -> tuple[Any, Any]:
        """Arguments of both exponentials of a face's law at the present solution."""
        system, law = self.system, face.kinetics
        assert law is not None
        if law.pressure is STRESS:
            law = replace(law, pressure=system.u[system.index[PRESSED, face.boundary]])
        if isinstance(face, Electrode):
            medium, beyond = face.medium, system.metal(face)[0]
        else:
            medium, beyond = face.first, system.ion_potential(face.second, face.ion, face.references[1])
        near = system.u[system.index[FILM, face.boundary]] if face.film is not None else None
        if near is None:
            near = system.ion_potential(medium, face.ion, law.reference_concentration)
        pressure = 0.0 if law.pressure is None else law.pressure
        return kinetics.exponents(
            beyond - near - law.equilibrium, law.anodic_transfer, law.cathodic_transfer, system.media[medium].temperature,
            pressure, law.mechanical_transfer, law.molar_volume,
        )  # fmt: skip
