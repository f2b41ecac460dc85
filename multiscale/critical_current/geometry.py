"""The geometry of a case as a cell that can be meshed."""

from meshes.flaw import Flaw
from meshes.layer_voids import LayerVoids, Mode
from meshes.polycrystal import COARSE, FINE, LayeredCell
from multiscale.case import Case

TIP_SHARE = 0.2
"""Tip radius of a flaw over its mouth opening: a narrow wedge; the smallest length the mesh resolves there."""


def layered_cell(case: Case, depth: float, seed: int, fine: bool, with_voids: bool = True) -> LayeredCell:
    """Geometry of the case with a flaw of `depth` (m) in microstructure `seed`; `with_voids = False` closes its contact voids.

    A bare cell (no [geometry.interlayer]) keeps a thin surface region of the electrolyte's own properties, one grain
    boundary wide, so that one mesh description serves both.
    """
    geometry = case.settings.geometry
    electrolyte, flaw, layer = geometry.electrolyte, geometry.flaw[0], geometry.interlayer
    return LayeredCell(
        width=geometry.width,
        electrolyte_thickness=electrolyte.thickness,
        grain_size=electrolyte.grain_size,
        boundary_width=electrolyte.grain_boundary.width,
        interphase_thickness=layer.thickness if layer else electrolyte.grain_boundary.width,
        flaw=Flaw(
            depth=depth,
            mouth_opening=flaw.mouth,
            tip_radius=TIP_SHARE * flaw.mouth,
            at="boundary" if flaw.at == "grain-boundary" else "grain",
            lined=layer.lines_flaw if layer else False,
        ),
        seed=seed,
        resolution=FINE if fine else COARSE,
        voids=_voids(case) if with_voids else None,
    )


def _voids(case: Case) -> LayerVoids | None:
    """Contact voids of the case; None where it names no contact."""
    contact, layer = case.settings.geometry.contact, case.settings.geometry.interlayer
    if contact is None:
        return None
    mode: Mode = layer.voids if layer else "empty"
    return LayerVoids(contact.roughness, contact.correlation_length, contact.void_fraction, mode)
