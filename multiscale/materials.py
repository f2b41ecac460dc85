"""Properties of each region in SI units, and the cell-wise fields made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coupling.errors import UserError
from multiscale.domain import Domain, piecewise


@dataclass(frozen=True)
class Elastic:
    """Isotropic linear elasticity.

    Attributes:
        youngs_modulus: E, Pa.
        poisson_ratio: ν, between -1 and 0.5 (both excluded).

    Raises:
        UserError: an impossible value.
    """

    youngs_modulus: float
    poisson_ratio: float

    def __post_init__(self) -> None:
        """Refuse what no stable solid has."""
        if not self.youngs_modulus > 0:
            raise UserError(f"Young's modulus {self.youngs_modulus} Pa is not positive")
        if not -1 < self.poisson_ratio < 0.5:
            raise UserError(f"Poisson ratio {self.poisson_ratio} lies outside (-1, 0.5)")

    @property
    def first_lame(self) -> float:
        """λ, Pa."""
        return self.youngs_modulus * self.poisson_ratio / ((1 + self.poisson_ratio) * (1 - 2 * self.poisson_ratio))

    @property
    def shear_modulus(self) -> float:
        """μ, Pa."""
        return self.youngs_modulus / (2 * (1 + self.poisson_ratio))

    @property
    def bulk_modulus(self) -> float:
        """K, Pa."""
        return self.youngs_modulus / (3 * (1 - 2 * self.poisson_ratio))

    @property
    def plane_strain_modulus(self) -> float:
        """E' = E/(1-ν²), Pa."""
        return self.youngs_modulus / (1 - self.poisson_ratio**2)


@dataclass(frozen=True)
class Stiffness:
    """Lamé fields that forms use: first_lame λ and shear_modulus μ, Pa (UFL expressions or numbers).

    Cubic crystals (phase-field bodies alone): λ is C12, μ is C44, `cubic` (C11 - C12)/2 - C44, and the rows of `axes` (3×3) are
    the crystal's axes.
    """

    first_lame: Any
    shear_modulus: Any
    cubic: Any = None
    axes: Any = None


def cubic_constants(mean: Elastic, zener_ratio: float) -> tuple[float, float, float]:
    """C12, C44 and (C11 - C12)/2 - C44 (Pa) of the cubic crystal whose polycrystal has these isotropic moduli.

    The bulk modulus is the crystal's own; the shear modulus is Hill's mean of (2c + 3C44)/5 and 5c C44/(2C44 + 3c), with
    c = (C11 - C12)/2 and C44 = A c.
    Source: Hill, Proc. Phys. Soc. A 65, 349 (1952).
    """
    A = zener_ratio
    c = mean.shear_modulus / (((2 + 3 * A) / 5 + 5 * A / (2 * A + 3)) / 2)
    return mean.bulk_modulus - 2 * c / 3, A * c, c - A * c


def stiffness(domain: Domain, materials: Mapping[str, Elastic]) -> Stiffness:
    """Lamé fields of a domain from the material of each region. Raises UserError on unknown or missing regions."""
    return Stiffness(
        piecewise(domain, {name: material.first_lame for name, material in materials.items()}),
        piecewise(domain, {name: material.shear_modulus for name, material in materials.items()}),
    )


def conductivity(domain: Domain, values: Mapping[str, float]) -> Any:
    """Ionic conductivity field, S/m, from the value of each region.

    Raises:
        UserError: a value that is not positive, an unknown region, or one without a value.
    """
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"conductivity of region {name} is {value} S/m, which is not positive")
    return piecewise(domain, values)
