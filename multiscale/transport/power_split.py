"""Impedance by place and cause where current branches: Tellegen's theorem instead of potentials along a chain.

With the amplitudes δu of every field for one ampere per square metre of the working electrode of area A, without conjugates,

    Z A = Σ_parts ∫ δi δd,

δi the current of a part (A/m²) and δd the difference of potential that it crosses: -∇φ in a medium (∫ dx), metal to medium at an
electrode (∫ ds), medium to medium at an interface (∫ dS), and the power of a network of thin layers. It holds because the total
current is free of sources; not with Poisson's equation, whose displacement current is not among the currents of the ions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from multiscale.domain import integral
from multiscale.transport import thin_layers
from multiscale.transport.media import FILM, POTENTIAL
from multiscale.transport.nernst_planck import Poisson, SingleIon
from multiscale.transport.single_ion import flux

Key = tuple[str, str]
"""Place and cause of a part."""


class PowerSplit:
    """Parts of the impedance of a system.

    Args:
        system: linearised about its present state.
        contact: the working electrode.
        labels: what media, boundaries and networks are called in the answer (their own names unless given).
    """

    def __init__(self, system: Any, contact: Any, labels: Mapping[str, str] | None = None) -> None:
        """Write the forms down and compile them."""
        self.system, self.area = system, contact.area
        self._one, self._two = fem.Function(system.space), fem.Function(system.space)
        self._labels = labels or {}
        self._powers: dict[Key, Any] = {}
        for name in system.media:
            self._of_medium(name)
        for contact_ in system.contacts.values():
            self._of_electrodes(contact_)
        for junction in system.interfaces.values():
            self._of_junction(junction)
        for network in system.networks:
            power = ufl.replace(thin_layers.conduction(system, network), {system.test: self._two})
            self._add(network.name, "conduction", power)
        self._forms = {key: self._linearised(power) for key, power in self._powers.items()}

    @staticmethod
    def possible(system: Any) -> bool:
        """Whether the currents of the ions are all there is."""
        return not any(isinstance(medium.closure, Poisson) for medium in system.media.values())

    def _add(self, place: str, cause: str, power: Any) -> None:
        key = self._labels.get(place, place), cause
        self._powers[key] = self._powers[key] + power if key in self._powers else power

    def _difference(self, one: tuple[str, str], other: tuple[str, str]) -> Any:
        """Difference of two potentials of the second set of amplitudes."""
        index = self.system.index
        return self._two[index[one]] - self._two[index[other]]

    def _of_medium(self, name: str) -> None:
        system, medium = self.system, self.system.media[name]
        i, field = system.current(name), -ufl.grad(self._two[system.index[name, POTENTIAL]])
        if isinstance(medium.closure, SingleIon) and medium.closure.permittivity is not None:
            i -= flux(medium.closure.permittivity, ufl.grad(system.rate_of((name, POTENTIAL))))
        self._add(name, "conduction", ufl.dot(i, field) * system.domain.dx(*medium.regions))

    def _of_electrodes(self, contact: Any) -> None:
        for e in contact.electrodes:
            (surface, through), ds = contact.passages[e.boundary], self.system.domain.ds(e.boundary)
            metal, medium, film = ("metal", e.body), (e.medium, POTENTIAL), (FILM, e.boundary)
            near = medium if e.film is None else film
            self._add(e.boundary, "charge transfer", surface * self._difference(metal, near) * ds)
            if e.film is not None:
                self._add(e.boundary, "film", through * self._difference(film, medium) * ds)

    def _of_junction(self, j: Any) -> None:
        leaving, arriving = self.system.crossing(j)
        first, second, film = (j.first, POTENTIAL), (j.second, POTENTIAL), (FILM, j.boundary)
        dS = self.system.domain.dS(j.boundary)
        near = first if j.film is None else film
        self._add(j.boundary, "charge transfer", (arriving * self._difference(near, second))("+") * dS)
        if j.film is not None:
            self._add(j.boundary, "film", (leaving * self._difference(first, film))("+") * dS)

    def _linearised(self, power: Any) -> tuple[Any, Any]:
        """Compiled bilinear forms of two sets of amplitudes: at rest, and per unit of the rate of change."""
        at_rest = fem.form(ufl.derivative(power, self.system.u, self._one))
        if self.system.older[0] not in power.coefficients():
            return at_rest, None
        return at_rest, fem.form(ufl.derivative(power, self.system.older[0], self._one))

    def parts(self, answer: np.ndarray, ω: float) -> dict[Key, complex]:
        """Parts (ohm m²) for the local amplitudes of all unknowns at an angular frequency; call on every rank."""
        rates = [float(rate.value) for rate in self.system.rates]
        for rate, value in zip(self.system.rates, (0.0, 1.0, 0.0), strict=True):
            rate.value = value  # so that the derivative by the older state is that by the rate
        try:
            found = {}
            for key, (at_rest, rate_form) in self._forms.items():
                part = self._bilinear(at_rest, answer)
                if rate_form is not None and ω:
                    part += 1j * ω * self._bilinear(rate_form, answer)
                found[key] = part / self.area
            return found
        finally:
            for rate, value in zip(self.system.rates, rates, strict=True):
                rate.value = value

    def _bilinear(self, form: Any, answer: np.ndarray) -> complex:
        total = 0j
        amplitudes: list[tuple[np.ndarray, complex]] = [(answer.real, 1.0), (answer.imag, 1j)]
        for left, one in amplitudes:
            for right, other in amplitudes:
                self._one.x.array[:], self._two.x.array[:] = left, right
                total += one * other * integral(form)
        return total
