"""What the card of a potential measures, and what a person adds to it: the [card] table of its recipe."""

from dataclasses import dataclass, field

from coupling.errors import UserError


@dataclass(frozen=True)
class Targets:
    """What the potential should reach, as [card.targets]; the card says met or missed.

    Attributes:
        forces_meV_per_A: largest root mean square error of the forces, by family of held-out frames.
        energy_meV_per_atom: the same of the energies, for each of these families.
        lattice_percent, bulk_modulus_percent: largest deviation from the teacher at 0 K.
    """

    forces_meV_per_A: dict[str, float] = field(
        default_factory=lambda: {"crystal": 50.0, "strained": 50.0, "surface": 50.0, "interface": 100.0, "amorphous": 100.0}
    )
    energy_meV_per_atom: float = 5.0
    lattice_percent: float = 1.0
    bulk_modulus_percent: float = 10.0


@dataclass(frozen=True)
class CardSettings:
    """The [card] table.

    Attributes:
        purpose: what the potential was made for, one sentence.
        phases: crystals (names of atomistic.structures) that are measured; empty: those of the recipe.
        temperature, temperatures: of the long runs, K; by phase where it is another one.
        picoseconds: length of a long run. rdf_picoseconds: length of the runs whose pair distributions are compared.
        reactions: such as "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl".
        hops: phases in which a lithium ion hops into a vacancy. hop_length: least height of the cell for it, Å.
        neb_atoms: largest cell in which the teacher searches a path of its own.
        not_for, notes: lines for the card.
        targets: see Targets.
    """

    purpose: str = ""
    phases: tuple[str, ...] = ()
    temperature: float = 1000.0
    temperatures: dict[str, float] = field(default_factory=dict)
    picoseconds: float = 50.0
    rdf_picoseconds: float = 1.0
    reactions: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()
    hop_length: float = 6.5
    neb_atoms: int = 60
    not_for: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    targets: Targets = field(default_factory=Targets)

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for name in ("phases", "reactions", "hops", "not_for", "notes"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(entry, str) for entry in value):
                raise UserError(f"[card] {name} = {value!r}: a list of texts is needed")
        for name in ("temperature", "picoseconds", "rdf_picoseconds", "hop_length"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise UserError(f"[card] {name} = {value!r}: a positive number is needed")
        if not isinstance(self.temperatures, dict):
            raise UserError(f"[card] temperatures = {self.temperatures!r}: a table such as {{ Li = 400.0 }} is needed")

    def temperature_of(self, phase: str) -> float:
        """Temperature of the long run of a phase, K."""
        return float(self.temperatures.get(phase, self.temperature))
