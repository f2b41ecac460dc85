"""The interlayer on a polycrystal of a transport case, as it is drawn (no DOLFINx)."""

from dataclasses import replace

from coupling.errors import UserError
from meshes.flaw import WrongLength
from meshes.polycrystal import FINE, LARGEST_MESH, LayeredCell, estimated_triangles
from multiscale.transport_cases.case import TransportCase


def meshed_boundaries(case: TransportCase) -> bool:
    """Whether the case is a polycrystal in the plane whose boundaries are meshed with their width."""
    geometry = case.settings.geometry
    flat = geometry.kind == "layered-polycrystal" and geometry.dimension == 2
    return flat and bool(geometry.electrolyte.grain_boundary.model == "meshed")


def polycrystal(case: TransportCase) -> LayeredCell:
    """The interlayer on a polycrystal, as it is drawn. Raises UserError with the key of a length that does not fit."""
    geometry = case.settings.geometry
    ceramic, layer = geometry.electrolyte, geometry.interlayer
    assert ceramic is not None
    assert layer is not None
    assert geometry.width is not None
    fine = geometry.resolution
    resolution = replace(FINE, layer_divisions=6.0 * fine, boundary_aspect=FINE.boundary_aspect / fine,
                         largest=FINE.largest / fine, growth=0.35)  # fmt: skip
    keys = {
        "grain_size": ("geometry", "electrolyte", "grain_size"),
        "boundary_width": ("geometry", "electrolyte", "grain_boundary"), "interphase_thickness": ("geometry", "interlayer"),
    }  # fmt: skip
    try:
        cell = LayeredCell(
            geometry.width, ceramic.thickness, ceramic.grain_size, ceramic.grain_boundary.width, layer.thickness, None,
            geometry.seed, resolution, grain_size_spread=ceramic.grain_size_spread,
        )  # fmt: skip
    except WrongLength as error:
        raise UserError(case.file.refusal(keys.get(error.key, ("geometry",)), error.reason)) from None
    if (triangles := estimated_triangles(cell)) > LARGEST_MESH:
        most = f"at most {LARGEST_MESH:.0g}; make the cell smaller, or write model = \"thin\" in its grain_boundary"
        raise UserError(case.file.refusal(("geometry", "width"), f"the cell needs about {triangles:.1g} triangles, {most}"))
    return cell
