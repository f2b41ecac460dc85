"""What a transport problem is made of, as data: media, kinetics, electrodes and the interfaces between media."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from coupling.constants import LITHIUM_MOLAR_VOLUME, ROOM_TEMPERATURE
from coupling.errors import UserError
from multiscale.domain import Domain
from multiscale.transport.nernst_planck import Closure, Electroneutral, SingleIon, Species

POTENTIAL = "potential"
FILM = "thin film"
"""Stands for a medium in the names of the potentials of films (`Film`)."""


@dataclass(frozen=True)
class Medium:
    """A material that carries ions.

    Attributes:
        name: of the medium, in messages and for its fields.
        closure: SingleIon, Electroneutral or Poisson.
        species: its ions and neutrals (for SingleIon: the one ion, of which only the charge counts); for Electroneutral the
            last one must be charged and is expressed by the others.
        regions: names of its regions in the mesh (all without any).
        temperature: K.
        pressure: field of the pressure, Pa, that drives ions by their molar volume; None: none.
        reactions: rate R of production per species name, mol/(m³ s): a function of the concentrations by species name.
    """

    name: str
    closure: Closure
    species: tuple[Species, ...]
    regions: tuple[str, ...] = ()
    temperature: Any = ROOM_TEMPERATURE
    pressure: Any = None
    reactions: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        """Refuse a medium that has no equations."""
        names = [ion.name for ion in self.species]
        if not names or len(set(names)) < len(names):
            raise UserError(f"medium {self.name}: its species are {names}; give one or more, each with a name of its own")
        if isinstance(self.closure, Electroneutral) and (len(names) < 2 or not self.species[-1].charge):
            raise UserError(f"medium {self.name}: an electroneutral closure needs two species or more, the last one charged")
        if isinstance(self.closure, SingleIon) and len(names) != 1:
            raise UserError(f"medium {self.name}: a single-ion conductor has one species, not {names}")

    @property
    def independent(self) -> tuple[Species, ...]:
        """Species whose concentration is an unknown."""
        if isinstance(self.closure, SingleIon):
            return ()
        return self.species[:-1] if isinstance(self.closure, Electroneutral) else self.species

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of its unknowns."""
        return (*(ion.name for ion in self.independent), POTENTIAL)

    def ion(self, name: str) -> Species:
        """The species of a name. Raises UserError that lists what there is."""
        for ion in self.species:
            if ion.name == name:
                return ion
        raise UserError(f"medium {self.name} has no species {name}; it has: {', '.join(i.name for i in self.species)}")


@dataclass(frozen=True)
class Kinetics:
    """Butler-Volmer charge transfer of one ion, with an exchange current i0 = i00 (c/c_ref)^α of the ion's concentration.

    With a pressure, the equilibrium falls by V p/F and the mechanical work enters both directions (docs/physics.md 1.2d).

    Attributes:
        exchange_current_density: i00, A/m².
        anodic_transfer, cathodic_transfer: αa, αc (αc is 1 - αa unless given).
        reference_concentration: c_ref, mol/m³; the equilibrium potential is that of this concentration. None: neither the
            exchange current nor the equilibrium depends on the concentration.
        concentration_exponent: α; αa unless given, the exponent of a rate that is first order in the ion one way and does
            not see it the other way.
        equilibrium: U0 at the reference concentration, V.
        pressure: p, Pa, normal pressure on the metal, compression positive (number, constant or field, or `solid.STRESS`: that
            of the system's elastic body); None: none.
        mechanical_transfer: αm, share of the work carried by the transition state; αc unless given.
        molar_volume: V, m³/mol, of the metal (less the partial molar volume of the ion where that is not zero).
    """

    exchange_current_density: Any
    anodic_transfer: Any = 0.5
    cathodic_transfer: Any = None
    reference_concentration: Any = None
    concentration_exponent: Any = None
    equilibrium: Any = 0.0
    pressure: Any = None
    mechanical_transfer: Any = None
    molar_volume: Any = LITHIUM_MOLAR_VOLUME


@dataclass(frozen=True)
class Film:
    """A layer too thin to mesh that the ion passes in series with a reaction (a coating, an interphase): a jump i R.

    Attributes:
        resistance: R = δ/κ of its thickness and conductivity, ohm m².
        capacitance: ε/δ of its permittivity, F/m²; None: no displacement current.
    """

    resistance: Any
    capacitance: Any = None


@dataclass(frozen=True)
class Electrode:
    """Metal on an outer boundary that exchanges one ion with a medium and has one potential of its own.

    The potential V is one unknown with the equation ∫ (i_n - j) ds = 0: with the mean current density j given, it follows in
    the same Newton solve. Electrodes of one `metal` touch several media, each with its own law, at one potential.

    Attributes:
        boundary: name of the boundary.
        medium: name of the medium it touches.
        ion: species that reacts.
        kinetics: of the reaction.
        capacitance: of the double layer, F/m²; None: none. Its charging current is carried by the same ion.
        film: between the reaction and the medium; None: none. The reaction then sees the film's ion, whose concentration is
            fixed, and the reference concentration counts between film and medium only.
        metal: name of the metal; that of the boundary unless given.
    """

    boundary: str
    medium: str
    ion: str
    kinetics: Kinetics
    capacitance: Any = None
    film: Film | None = None
    metal: str = ""

    @property
    def body(self) -> str:
        """Name of the metal."""
        return self.metal or self.boundary


@dataclass(frozen=True)
class Junction:
    """Interface of two media across which one ion passes, with a resistance or with kinetics.

    Attributes:
        boundary: name of the inner boundary.
        first, second: names of the media; the current from first to second counts positive.
        ion: species that passes (by its name in both).
        resistance: ohm m²; None with kinetics.
        kinetics: of the transfer, with the ion of `first` as the reactant; None with a resistance.
        references: concentration c_ref of the ion in the first and second medium, mol/m³: with it the medium's share of the
            driving force is φ + (RT/zF) ln(c/c_ref), the ion's electrochemical potential, without it φ alone. With kinetics
            the first is the kinetics' own.
        capacitance: of the interface, F/m², beside the law; None: none. Its charging current is carried by the same ion.
        film: between the first medium and the reaction (or the resistance), as in `Electrode`.
    """

    boundary: str
    first: str
    second: str
    ion: str
    resistance: Any = None
    kinetics: Kinetics | None = None
    references: tuple[Any, Any] = (None, None)
    capacitance: Any = None
    film: Film | None = None

    def __post_init__(self) -> None:
        """One law, not two and not none."""
        if (self.resistance is None) == (self.kinetics is None):
            raise UserError(f'interface "{self.boundary}": give either a resistance or kinetics')
        if self.kinetics is not None and self.references[0] is not None:
            raise UserError(f'interface "{self.boundary}": the reference of the first medium is that of the kinetics')


@dataclass(frozen=True)
class ThinLayer:
    """A layer too thin to mesh that conducts across and along itself.

    Attributes:
        thickness: δ, m.
        across, along: κ⊥ and κ∥, S/m.
        permittivity: ε, F/m, of the displacement current across; None: none.
    """

    thickness: Any
    across: Any
    along: Any
    permittivity: Any = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a layer."""
        for name in ("thickness", "across"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not value > 0:
                raise UserError(f"thin layer: {name} is {value}; give a positive number")
        if isinstance(self.along, int | float) and not self.along >= 0:
            raise UserError(f"thin layer: along is {self.along} S/m; it cannot be negative")


@dataclass(frozen=True)
class Network:
    """Thin layers that meet in lines or points, such as grain boundaries: one potential ψ lives on all of them.

    Attributes:
        name: of the network; the name of none of the boundaries.
        faces: (inner boundary, medium on one side, medium on the other) of each.
        ion: species that passes.
        layer: of every face.
        surrounding: conductivity κ of the grains, S/m (number, cell-wise field or tensor), whose material the mesh has where
            the layer is: it is taken out of the grains' sides. None: the layer comes on top of them.
    """

    name: str
    faces: tuple[tuple[str, str, str], ...]
    ion: str
    layer: ThinLayer
    surrounding: Any = None


STRUCTURAL = ("charge", "sites")
"""Numbers of the descriptions that stay as they are."""


def changeable(domain: Domain, description: Any) -> Any:
    """The same description with constants of the mesh for its plain numbers: other values compile nothing again."""
    if isinstance(description, tuple):
        return tuple(changeable(domain, item) for item in description)
    if is_dataclass(description) and not isinstance(description, type):
        parts = {f.name: getattr(description, f.name) for f in fields(description) if f.name not in STRUCTURAL}
        return replace(description, **{name: changeable(domain, part) for name, part in parts.items()})
    number = isinstance(description, int | float | np.floating) and not isinstance(description, bool)
    return domain.constant(float(description)) if number else description
