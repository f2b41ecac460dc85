"""Phase field of fracture: AT1 and AT2, splits of the elastic energy, a crack that holds a pressure (docs/physics.md 1.5).

The damage d is 0 in sound material and 1 in the crack. All terms are energies; equilibrium and the growth of damage are
their variations (`fracture.CrackedBody`). Formulas: docs/physics.md 1.5 (Francfort & Marigo 1998; Bourdin, Francfort &
Marigo 2000; Amor, Marigo & Maurini 2009; Freddi & Royer-Carfagni 2010; Pham et al. 2011; Bourdin, Chukwudozie &
Yoshioka 2012).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import ufl
from ufl import dot, grad, inner, tr

from coupling.errors import UserError
from multiscale.domain import Domain
from multiscale.materials import Stiffness
from multiscale.mechanics.elasticity import crack_driving_force, gradient

Model = Literal["AT1", "AT2"]
Split = Literal["none", "volumetric-deviatoric", "no-tension"]

RESIDUAL_STIFFNESS = 1e-7
"""Share k of the stiffness left in the crack, so that its displacement is defined."""
SHARPNESS = 4
"""Power of the damage whose slope is the surface of what fills a crack: it lies close to the crack's core, not in its halo."""
TINY = 1e-30
"""Added under the root of a difference of principal strains (squared), so that its slope exists at equal strains."""


@dataclass(frozen=True)
class CrackModel:
    """How the crack is smeared.

    Attributes:
        kind: "AT1" (elastic up to an onset) or "AT2" (damage from the first load on).
        length: l of the model, m.
        split: which part of the elastic energy drives damage and is lost in the crack.
    """

    kind: Model
    length: float
    split: Split = "none"

    def __post_init__(self) -> None:
        """Refuse unknown names and lengths. Raises UserError."""
        if self.kind not in ("AT1", "AT2"):
            raise UserError(f'phase field: read "{self.kind}"; allowed are "AT1" and "AT2"')
        if self.split not in ("none", "volumetric-deviatoric", "no-tension"):
            known = '"none", "volumetric-deviatoric" and "no-tension"'
            raise UserError(f'phase field split: read "{self.split}"; allowed are {known}')
        if not (math.isfinite(self.length) and self.length > 0):
            raise UserError(f"phase field length: read {self.length:g} m; it must be a positive number")

    def mesh_correction(self, size: float) -> float:
        """Toughness of a finite-element crack over the true one, from its band of width `size` (m).

        1 + 3h/(8l) for AT1, 1 + h/(2l) for AT2 (Bourdin, Francfort & Marigo 2008; docs/physics.md V11). Divide the toughness
        by it, and the discrete crack costs what the real one does.
        """
        return 1 + (3 / 8 if self.kind == "AT1" else 1 / 2) * size / self.length

    def onset_energy(self, fracture_energy: Any) -> Any:
        """Density of the driving energy up to which sound material bears its load, J/m³: AT1 3G/(16l), AT2 G/(6l).

        AT1 has no damage below it; AT2 has lost its stiffness' quarter there and softens beyond.
        """
        return fracture_energy / self.length * (3 / 16 if self.kind == "AT1" else 1 / 6)

    def strength(self, youngs_modulus: float, fracture_energy: float) -> float:
        """Stress at which a uniformly stretched bar softens, Pa: AT1 √(3EG/8l), AT2 (9/16)√(EG/3l)."""
        scale = youngs_modulus * fracture_energy / self.length
        return math.sqrt(3 * scale / 8) if self.kind == "AT1" else 9 / 16 * math.sqrt(scale / 3)


def degradation(damage: Any, residual: Any = RESIDUAL_STIFFNESS) -> Any:
    """Share of the driving energy that damaged material still stores: g = (1 - d)² + k."""
    return (1 - damage) ** 2 + residual


def crack_density(damage: Any, model: CrackModel, length: Any) -> Any:
    """Crack area per volume, 1/m: [w(d)/l + l |∇d|²]/(4 c_w); its integral is the area of the crack.

    AT1: w = d, c_w = 2/3; AT2: w = d², c_w = 1/2.

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    d       damage        1
    l       length        m (fem.Constant of model.length)
    ======  ============  =====

    Source: docs/physics.md 1.5.
    """
    local, c = local_damage(damage, model)
    return (local / length + length * dot(grad(damage), grad(damage))) / (4 * c)


def local_damage(damage: Any, model: CrackModel) -> tuple[Any, float]:
    """w(d) and c_w of the model."""
    return (damage, 2 / 3) if model.kind == "AT1" else (damage**2, 1 / 2)


def broken_density(damage: Any, before: Any, model: CrackModel, length: Any) -> Any:
    """What breaks for good when damage grows, per volume, 1/m: [w(d) - w(d₀)]/(4 c_w l); never negative where d ≥ d₀ ≥ 0.

    The other part of `crack_density`, l |∇d|²/(4 c_w), belongs to the profile and can come back: pressure in the crack holds
    damage back beside the mouth (it compresses the solid there, ∇·u < 0); when it goes, the profile widens, and about 1e-5 of
    the fracture energy is given back. So the material is a standard generalised one: the gradient is of the free energy, the
    dissipation potential is w'(d) ḋ.

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    d, d₀   damage, before  1
    l       length        m (fem.Constant of model.length)
    ======  ============  =====

    Source: w of Pham, Amor, Marigo & Maurini, Int. J. Damage Mech. 20, 618 (2011); split as Lorentz & Andrieux, Int. J. Plast.
    15, 119 (1999), both from memory.
    """
    local, c = local_damage(damage, model)
    return (local - local_damage(before, model)[0]) / (4 * c * length)


def face_density(damage: Any) -> Any:
    """Area of the crack's faces per volume, 1/m: |∇(dⁿ)|, n = SHARPNESS; across a crack it integrates to two, a face each."""
    return SHARPNESS * damage ** (SHARPNESS - 1) * ufl.sqrt(dot(grad(damage), grad(damage)))


def split_energy(strain: Any, stiffness: Stiffness, split: Split, dimension: int = 2) -> tuple[Any, Any]:
    """Elastic energy density in two parts, J/m³: the one that the crack loses, and the one that it keeps.

    * "none": (ψ, 0);
    * "volumetric-deviatoric": (K/2 ⟨tr ε⟩₊² + μ e:e, K/2 ⟨tr ε⟩₋²), e the deviator (Amor et al. 2009): closed faces carry
      pressure and no shear;
    * "no-tension": the kept part is the energy of a masonry-like material in the same strain (`_no_tension`).

    Both parts are homogeneous of degree two in the strain and add up to ψ.

    Raises:
        UserError: no-tension in 3-D, where principal strains have no simple closed form; a split of a cubic crystal's energy.
    """
    λ, μ = stiffness.first_lame, stiffness.shear_modulus
    whole = λ / 2 * tr(strain) ** 2 + μ * inner(strain, strain)
    if stiffness.cubic is not None:
        if split != "none":
            raise UserError(f'phase field split: read "{split}"; cubic stiffness goes with "none" only')
        whole += stiffness.cubic * cubic_part(strain, stiffness.axes)
    if split == "none":
        return whole, 0.0 * λ
    if split == "volumetric-deviatoric":
        kept = (λ / 2 + μ / 3) * ufl.min_value(tr(strain), 0.0) ** 2
        return whole - kept, kept
    if dimension != 2:
        raise UserError("phase field split: no-tension is for plane and axisymmetric bodies; take volumetric-deviatoric in 3-D")
    kept = _no_tension(strain, stiffness)
    return whole - kept, kept


def cubic_part(strain: Any, axes: Any) -> Any:
    """Σ (aᵢ·ε·aᵢ)² over the crystal's axes aᵢ, the rows of `axes`: what cubic symmetry adds to the isotropic invariants.

    ψ = C12/2 (tr ε)² + C44 ε:ε + [(C11 - C12)/2 - C44] Σ (aᵢ·ε·aᵢ)². Source: Nye, Physical Properties of Crystals, chapter 8.
    """
    along = [sum(axes[i, j] * axes[i, k] * strain[j, k] for j in range(3) for k in range(3)) for i in range(3)]
    return sum(a**2 for a in along)


def stress_of(strain: Any, stiffness: Stiffness) -> Any:
    """Stress of sound material at a strain, Pa, 3×3: σ = ∂ψ/∂ε of the whole energy."""
    ε = ufl.variable(strain)
    return ufl.diff(split_energy(ε, stiffness, "none")[0], ε)


def _no_tension(strain: Any, stiffness: Stiffness) -> Any:
    """Energy of a material that bears compression only, J/m³, by its principal strains a ≤ b ≤ c.

    0 if a ≥ 0; E a²/2 if b + νa ≥ 0; E (a² + b² + 2νab)/(2(1-ν²)) if (1-ν)c + ν(a+b) ≥ 0; else the whole energy.
    Source: Del Piero, Meccanica 24, 150 (1989); Freddi & Royer-Carfagni, J. Mech. Phys. Solids 58, 1154 (2010).
    """
    λ, μ = stiffness.first_lame, stiffness.shear_modulus
    ν, E = λ / (2 * (λ + μ)), μ * (3 * λ + 2 * μ) / (λ + μ)
    a, b, c = _principal(strain)
    one = E * a**2 / 2
    two = E / (2 * (1 - ν**2)) * (a**2 + b**2 + 2 * ν * a * b)
    whole = λ / 2 * (a + b + c) ** 2 + μ * (a**2 + b**2 + c**2)
    crushed = ufl.conditional(ufl.ge((1 - ν) * c + ν * (a + b), 0.0), two, whole)
    return ufl.conditional(ufl.ge(a, 0.0), 0.0, ufl.conditional(ufl.ge(b + ν * a, 0.0), one, crushed))


def _principal(strain: Any) -> tuple[Any, Any, Any]:
    """Principal strains in rising order; the third axis of the 3×3 tensor is one of them."""
    middle, half = (strain[0, 0] + strain[1, 1]) / 2, (strain[0, 0] - strain[1, 1]) / 2
    radius = ufl.sqrt(half**2 + strain[0, 1] ** 2 + TINY)
    low, high, third = middle - radius, middle + radius, strain[2, 2]
    a, c = ufl.min_value(low, third), ufl.max_value(high, third)
    return a, low + high + third - a - c, c


def crack_release(
    displacement: Any, damage: Any, stiffness: Stiffness, domain: Domain, extension: Any, pressure: Any
) -> Any:  # fmt: skip
    """Energy released when a smeared crack that holds a pressure is moved by a virtual extension θ, by domain integral.

    Displacement and damage are carried along, so that with Π = ∫ g ψ dx + p ∫ u·∇d dx

        -dΠ/ds = ∫ g [σ:(∇u ∇θ) - ψ ∇·θ] dx - p ∫ u·[(∇·θ) ∇d - (∇θ)ᵀ ∇d] dx

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    u, d    displacement, damage  m, 1
    θ       extension     1 (`elasticity.extension_field`)
    p       pressure      Pa
    ======  ============  =====

    Source: the θ method (Destuynder & Djaoua, Math. Methods Appl. Sci. 3, 70 (1981)) on the energy of docs/physics.md 1.5.
    """
    g, carried = degradation(damage), grad(extension)
    soft = Stiffness(stiffness.first_lame * g, stiffness.shear_modulus * g)
    bulk = crack_driving_force(displacement, soft, domain, extension)
    return bulk - pressure * dot(displacement, tr(carried) * grad(damage) - dot(carried.T, grad(damage))) * domain.dx()


def crack_volume(displacement: Any, damage: Any, domain: Domain, wetted: Any = 1.0) -> Any:
    """Volume that the (wetted part of the) crack holds, m³ (m² in plane strain): -∫ s u·∇d dx, s its wetted share.

    Its product with a pressure p is the work of a fluid in the crack; p enters the equations through -p times this form. Where
    a crack meets the boundary, moving the whole body along the crack changes it by the smeared width of the mouth: hold the
    body so that it does not move.
    Source: Bourdin, Chukwudozie & Yoshioka, SPE 159154 (2012); docs/physics.md 1.5.
    """
    return -wetted * dot(displacement, grad(damage)) * domain.dx()


def volume_by_damage(displacement: Any, test: Any, domain: Domain, wetted: Any) -> Any:
    """How the volume of the wetted part of a crack changes with damage, m³ (m²): ∫ s q ∇·u dx - ∮ s q u·n ds.

    Where all is wetted (s = 1) it is the variation of `crack_volume`, -∫ u·∇q dx, by Green's theorem. Where s jumps, that one
    holds a term q u·∇s beside it, which would have the pressure break sound material along the line on which s was cut; lithium
    ends at its front within the crack and presses on nothing there.
    """
    swelling = wetted * test * tr(gradient(displacement, domain)) * domain.dx()
    return swelling - wetted * test * dot(displacement, domain.normal) * domain.ds()
