"""The numbers of a transport case's faces: kinetics or resistance, double layer, film."""

from coupling.errors import UserError
from coupling.toml_input import Location
from multiscale.transport.nernst_planck import VACUUM_PERMITTIVITY
from multiscale.transport_cases.face_schema import FilmLayer, Junction, MetalReaction, Reaction
from multiscale.transport_cases.inputs import Collector, FaceInputs


def face_inputs(collector: Collector, key: Location, law: Reaction) -> FaceInputs:
    """Every number of a face, from its materials or the case itself.

    Raises:
        UserError: a number is known nowhere; transfer coefficients that are not positive.
    """
    name = ".".join(str(part) for part in key)
    capacitance = _double_layer(collector, name, law)
    film, dielectric = (None, None) if law.film is None else _film(collector, name, key, law.film)
    resistance = getattr(law, "resistance", None)
    if resistance is not None:
        stated = collector.state(f"{name}.resistance", resistance, "ohm m^2", law.source)
        return FaceInputs(stated, capacitance=capacitance, film_resistance=film, film_capacitance=dielectric)
    i0 = law.exchange_current_density
    if law.charge_transfer is not None:
        wanted = ("exchange_current_density", *(("interfacial_resistance",) if isinstance(law, Junction) else ()))
        quantity, value = collector.needed(law.charge_transfer, (*key, "charge_transfer"), *wanted)
        if quantity == "interfacial_resistance":
            return FaceInputs(value, capacitance=capacitance, film_resistance=film, film_capacitance=dielectric)
        i0 = value
    else:
        collector.state(f"{name}.exchange_current_density", i0 or 0.0, "A/m^2", law.source)
    share = _mechanical_transfer(collector, law)
    return FaceInputs(None, i0, *_transfers(collector, key, law), capacitance, film, dielectric, share)


def _mechanical_transfer(collector: Collector, law: Reaction) -> float | None:
    """Share of the mechanical work in the transition state: stated, or the material's; None: that of the cathodic transfer."""
    if collector.case.settings.mechanics is None or not isinstance(law, MetalReaction):
        return None
    if law.mechanical_transfer is not None or law.charge_transfer is None:
        return law.mechanical_transfer
    found = collector.optional(law.charge_transfer, "mechanical_transfer_coefficient")
    return found[1] if found else None


def _transfers(collector: Collector, key: Location, law: Reaction) -> tuple[float, float]:
    """Anodic and cathodic transfer coefficient: stated, the material's, or 0.5; one that is left out adds up to one."""
    cathodic = 0.5
    if law.charge_transfer is not None and law.cathodic_transfer is None and law.anodic_transfer is None:
        found = collector.optional(law.charge_transfer, "cathodic_transfer_coefficient")
        cathodic = found[1] if found else cathodic
    if law.cathodic_transfer is not None:
        cathodic = law.cathodic_transfer
    anodic = law.anodic_transfer if law.anodic_transfer is not None else 1 - cathodic
    if law.cathodic_transfer is None and law.anodic_transfer is not None:
        cathodic = 1 - anodic
    if not (anodic > 0 and cathodic > 0):
        told = f"transfer coefficients {anodic:g} and {cathodic:g}: both must be positive"
        raise UserError(collector.case.file.complaint(key, told))
    return anodic, cathodic


def _double_layer(collector: Collector, name: str, law: Reaction) -> float | None:
    """Capacitance of the double layer, F/m²: stated, or the charge-transfer material's."""
    if law.double_layer is not None:
        return collector.state(f"{name}.double_layer", law.double_layer, "F/m^2", law.source)
    if law.charge_transfer is None:
        return None
    found = collector.optional(law.charge_transfer, "double_layer_capacitance")
    return found[1] if found else None


def _film(collector: Collector, name: str, key: Location, film: FilmLayer) -> tuple[float, float | None]:
    """Resistance δ/κ (ohm m²) and, where its permittivity is known, capacitance ε/δ (F/m²) of a film."""
    δ = collector.state(f"{name}.film.thickness", film.thickness, "m", "geometry of the case")
    if film.material is not None:
        κ = collector.needed(film.material, (*key, "film"), "ionic_conductivity")[1]
    else:
        κ = collector.state(f"{name}.film.conductivity", film.conductivity or 0.0, "S/m", film.source)
    ε = film.relative_permittivity
    if ε is not None:
        collector.state(f"{name}.film.relative_permittivity", ε, "1", film.source)
    elif film.material is not None:
        found = collector.optional(film.material, "relative_permittivity")
        ε = found[1] if found else None
    resistance = collector.state(f"{name}.film.resistance", δ / κ, "ohm m^2", "thickness over conductivity", "derived")
    return resistance, None if ε is None else ε * VACUUM_PERMITTIVITY / δ
