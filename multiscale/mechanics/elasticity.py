"""Small-strain linear elasticity, energy first: plane strain, axial symmetry and 3-D from one strain tensor.

Tensors are always 3×3. In plane strain the third direction is z and its strain is zero; in one dimension so are those of the
second and third; in axial symmetry the
components are (r, z, θ) in this order, with ε_θθ = u_r/r.
"""

from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from ufl import Identity, dot, grad, inner, sym, tr

from multiscale.domain import Domain
from multiscale.materials import Stiffness


def gradient(field: Any, domain: Domain) -> Any:
    """3×3 gradient of a vector field, G_ij = ∂u_i/∂x_j; plane fields are embedded, hoop term u_r/r included."""
    g = grad(field)
    if domain.mesh.geometry.dim == 3:
        return g
    if domain.mesh.geometry.dim == 1:
        return ufl.as_tensor([[g[0, 0], 0, 0], [0, 0, 0], [0, 0, 0]])
    hoop = field[0] / ufl.SpatialCoordinate(domain.mesh)[0] if domain.axisymmetric else 0
    return ufl.as_tensor([[g[0, 0], g[0, 1], 0], [g[1, 0], g[1, 1], 0], [0, 0, hoop]])


def embed(vector: Any, domain: Domain) -> Any:
    """Vector with three components (third zero in the plane)."""
    dim = domain.mesh.geometry.dim
    return vector if dim == 3 else ufl.as_vector([*(vector[d] for d in range(dim)), *([0] * (3 - dim))])


def strain(displacement: Any, domain: Domain) -> Any:
    """Small strain ε = sym ∇u, 3×3, dimensionless."""
    return sym(gradient(displacement, domain))


def energy_density(strain_tensor: Any, stiffness: Stiffness, eigenstrain: Any = None) -> Any:
    """Free energy density ψ = λ/2 (tr ε_e)² + μ ε_e:ε_e with ε_e = ε - ε0, J/m³.

    Args:
        strain_tensor: ε, 3×3.
        stiffness: Lamé fields, Pa.
        eigenstrain: ε0, 3×3 (`volumetric_eigenstrain`), or None.

    Source: docs/physics.md 1.3.
    """
    elastic = strain_tensor if eigenstrain is None else strain_tensor - eigenstrain
    return stiffness.first_lame / 2 * tr(elastic) ** 2 + stiffness.shear_modulus * inner(elastic, elastic)


def volumetric_eigenstrain(volume_change: Any) -> Any:
    """Isotropic eigenstrain ε0 = (J/3) I of a volume change J (1 for 100 %), docs/physics.md 1.3."""
    return volume_change / 3 * Identity(3)


def stress(displacement: Any, stiffness: Stiffness, domain: Domain, eigenstrain: Any = None) -> Any:
    """Stress σ = ∂ψ/∂ε, 3×3, Pa, tensile positive (differentiated from `energy_density`)."""
    ε = ufl.variable(strain(displacement, domain))
    return ufl.diff(energy_density(ε, stiffness, eigenstrain), ε)


def elastic_energy(displacement: Any, stiffness: Stiffness, domain: Domain, *regions: str, eigenstrain: Any = None) -> Any:
    """Elastic energy functional ∫ ψ dx over the named regions (all without a name), J (J/m in plane strain)."""
    return energy_density(strain(displacement, domain), stiffness, eigenstrain) * domain.dx(*regions)


def pressure_work(displacement: Any, pressure: Any, domain: Domain, *boundaries: str) -> Any:
    """Work of a pressure (Pa, compression positive) on outer boundaries: -∫ p u·n ds, n out of the solid."""
    return -pressure * dot(displacement, domain.normal) * domain.ds(*boundaries)


def traction_work(displacement: Any, traction: Any, domain: Domain, *boundaries: str) -> Any:
    """Work of a traction vector t (Pa) on outer boundaries: ∫ t·u ds."""
    return dot(traction, displacement) * domain.ds(*boundaries)


def foundation_energy(displacement: Any, stiffness_per_area: Any, domain: Domain, *boundaries: str) -> Any:
    """Energy ∫ k/2 |u|² ds of an elastic foundation, k in Pa/m: stands for a surrounding medium."""
    return stiffness_per_area / 2 * dot(displacement, displacement) * domain.ds(*boundaries)


def equilibrium(energy: Any, work: Any, displacement: Any, test: Any) -> ufl.Form:
    """Residual of mechanical equilibrium, the variation of the potential Π = energy - work in the direction `test`.

    Strong form  -∇·σ = 0 with σ·n = t;  weak form  ∫ σ:∇w dx - ∫ t·w ds. `work` may be None (no load).
    """
    potential = energy if work is None else energy - work
    return ufl.derivative(potential, displacement, test)


def pressure_of(stress_tensor: Any) -> Any:
    """Hydrostatic pressure p = -tr σ/3, Pa, compression positive."""
    return -tr(stress_tensor) / 3


def normal_pressure(stress_tensor: Any, domain: Domain) -> Any:
    """Pressure -n·σ·n on a boundary, Pa, compression positive."""
    n = embed(domain.normal, domain)
    return -dot(n, dot(stress_tensor, n))


def crack_driving_force(
    displacement: Any,
    stiffness: Stiffness,
    domain: Domain,
    extension: Any,
    regions: tuple[str, ...] = (),
    pressure: Any = None,
    faces: tuple[str, ...] = (),
    eigenstrain: Any = None,
) -> Any:
    """Energy released when the material is moved by a virtual crack extension field θ: -dΠ/ds, by domain integral.

    -dΠ/ds = ∫ [σ:(∇u ∇θ) - ψ ∇·θ] dx  -  ∫ p u·[(∇·θ) n - (∇θ)ᵀ n] ds,   the second over loaded crack faces

    Divide by the length of the front that θ moves by one to have G (J/m²): 1 in plane strain, 2πa for a penny of
    radius a in axial symmetry; a model of one half of a symmetric body holds one half of the energy. θ may be any
    field equal to the advance at the tip and zero far away; regions crossed by θ move with it.

    ======  ============  =====
    symbol  variable      unit
    ======  ============  =====
    u       displacement  m
    ψ, σ    from `stiffness`, `eigenstrain`  J/m³, Pa
    θ       extension     1 (metres per metre of advance)
    p       pressure      Pa on `faces` (compression positive, uniform)
    ======  ============  =====

    Source: Destuynder & Djaoua, Math. Methods Appl. Sci. 3, 70 (1981) (θ method); the pressure term follows from
    Nanson's formula for the moved face.
    """
    g, θ = gradient(displacement, domain), gradient(extension, domain)
    σ = stress(displacement, stiffness, domain, eigenstrain)
    ψ = energy_density(strain(displacement, domain), stiffness, eigenstrain)
    form = (inner(σ, dot(g, θ)) - ψ * tr(θ)) * domain.dx(*regions)
    if pressure is not None:
        n, u = embed(domain.normal, domain), embed(displacement, domain)
        form = form - pressure * dot(u, tr(θ) * n - dot(θ.T, n)) * domain.ds(*faces)
    return form


def extension_field(
    domain: Domain, tip: tuple[float, ...], direction: tuple[float, ...], inner_radius: float, radius: float
) -> fem.Function:
    """Virtual extension θ = d q(|x - tip|): unit vector d inside `inner_radius`, falling to zero at `radius` (m).

    A piecewise linear function of the mesh, so that the driving force is the exact derivative of the discrete energy with
    respect to moving the nodes by θ. Both radii should span a few elements.
    """
    unit = np.asarray(direction, dtype=float) / np.linalg.norm(direction)

    def field(x: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(x[: len(tip)] - np.asarray(tip)[:, None], axis=0)
        return unit[:, None] * np.clip((radius - distance) / (radius - inner_radius), 0.0, 1.0)

    θ = fem.Function(fem.functionspace(domain.mesh, ("P", 1, (len(tip),))))
    θ.interpolate(field)
    return θ


def opened_volume(displacement: Any, domain: Domain, *faces: str) -> ufl.Form:
    """Volume opened by the faces of a crack or pore: -∫ u·n ds, m³ (m² in plane strain), n out of the solid.

    Divided by the area of one face it is the mean opening when both faces are meshed, half of it when one is.
    """
    return -dot(displacement, domain.normal) * domain.ds(*faces)


def stress_intensity(energy_release_rate: Any, youngs_modulus: float, poisson_ratio: float) -> Any:
    """K = sqrt(G E/(1-ν²)), Pa m^½, plane strain (docs/physics.md 1.6)."""
    return np.sqrt(energy_release_rate * youngs_modulus / (1 - poisson_ratio**2))


def fracture_energy(toughness: Any, youngs_modulus: float, poisson_ratio: float) -> Any:
    """Gc = K_Ic² (1-ν²)/E, J/m² (docs/physics.md 1.6)."""
    return toughness**2 * (1 - poisson_ratio**2) / youngs_modulus
