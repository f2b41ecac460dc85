"""A layer that changes its volume while what it lies on holds it: stress, swelling and stored energy (closed forms)."""

from dataclasses import dataclass

from coupling.errors import UserError


@dataclass(frozen=True)
class ConfinedFilm:
    """A flat elastic layer, held in its plane and free along its normal.

    Attributes:
        stress: in its plane along x and y, Pa (compression negative).
        swelling: growth of its thickness over the thickness.
        energy_density: elastic, J/m³; times the thickness it is the work per area that delamination can release.
    """

    stress: tuple[float, float]
    swelling: float
    energy_density: float


def confined_film(eigenstrain: tuple[float, float, float], youngs_modulus: float, poissons_ratio: float) -> ConfinedFilm:
    """Stress of a layer whose free strain would be ε0 = (e_x, e_y, e_z), z its normal.

    σ_x = -E (e_x + ν e_y)/(1 - ν²), σ_y alike, ε_z = e_z + ν (e_x + e_y)/(1 - ν), w = -(σ_x e_x + σ_y e_y)/2. A volume change J
    alike in all directions is e = J/3 each: σ = -E J/(3 (1 - ν)). Source: Hooke's law with ε_x = ε_y = 0, σ_z = 0;
    docs/physics.md 1.3; for delamination Hutchinson & Suo, Adv. Appl. Mech. 29, 63 (1992).

    Args:
        eigenstrain: free strains, 1.
        youngs_modulus: E, Pa.
        poissons_ratio: ν, 1.

    Raises:
        UserError: a modulus or ratio that no solid has.
    """
    if not youngs_modulus > 0:
        raise UserError(f"Young's modulus: read {youngs_modulus:g} Pa; it must be positive")
    if not -1 < poissons_ratio < 0.5:
        raise UserError(f"Poisson's ratio: read {poissons_ratio:g}; it lies between -1 and 0.5")
    (ex, ey, ez), ν = eigenstrain, poissons_ratio
    plate = youngs_modulus / (1 - ν**2)
    σx, σy = -plate * (ex + ν * ey), -plate * (ey + ν * ex)
    return ConfinedFilm((σx, σy), ez + ν * (ex + ey) / (1 - ν), -(σx * ex + σy * ey) / 2)
