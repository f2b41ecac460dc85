"""`multiscale preview`: a picture of a case's geometry without running the case. Heavy imports happen inside."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from coupling.units import told
from multiscale import parallel
from multiscale.console import JsonOption, show, show_json


def preview(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="Case folder: it holds case.toml.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="PNG [default: CASE/results/geometry.png].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Mesh the geometry of a case and draw it: regions in colour, named boundaries, quality of the mesh. Nothing is solved.

    Example: multiscale preview cases/li-lpscl
    """
    if parallel.size() > 1:
        raise UserError("multiscale preview: runs on one rank; leave mpirun out")
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: the picture is a PNG; name it {out.with_suffix('.png').name}")
    name, meshed = _meshed(case)
    from multiscale.reporting.preview import quality_lines, write_preview

    path = write_preview(name, meshed, out or case / "results" / "geometry.png")
    sizes = _grain_sizes(case)
    if as_json:
        from multiscale.conduction.run import quality_row

        found = {} if sizes is None else {"grains": asdict(sizes)}
        show_json({"case": name, "picture": str(path), "mesh": quality_row(meshed), **found})
    else:
        show("\n".join([*quality_lines(meshed.quality), *_told(sizes), "", str(path)]))


def _told(sizes: Any) -> list[str]:
    """The distribution of the grains' sizes that the mesh has, for people."""
    if sizes is None:
        return []
    ends = f"{told(sizes.smallest, 'm')} to {told(sizes.largest, 'm')}"
    size = f"mean size {told(sizes.grain_size, 'm')} (from {ends}), spread of ln(diameter) {sizes.spread:.3f}"
    return ["", f"grains        {sizes.count}, {size}"]


def _grain_sizes(folder: Path) -> Any:
    """Distribution of the grains of a polycrystal of a transport or conduction case (`meshes.laguerre.GrainSizes`), else None."""
    from meshes import polycrystal3d, thin_polycrystal
    from meshes.polycrystal import grain_sizes
    from multiscale.conduction.case import is_conduction_case, load_conduction_case
    from multiscale.conduction.geometry import grain_block
    from multiscale.transport_cases.case import is_transport_case, load_transport_case

    if not is_conduction_case(folder) and not is_transport_case(folder):
        return None
    case: Any = load_conduction_case(folder) if is_conduction_case(folder) else load_transport_case(folder)
    geometry = case.settings.geometry
    if geometry.kind != "layered-polycrystal":
        return None
    if geometry.dimension == 3:
        return polycrystal3d.grain_sizes(grain_block(geometry))
    from multiscale.transport_cases.crystal import meshed_boundaries, polycrystal
    from multiscale.transport_cases.structure import thin_sketch

    return grain_sizes(polycrystal(case)) if meshed_boundaries(case) else thin_polycrystal.grain_sizes(thin_sketch(case))


def _meshed(folder: Path) -> tuple[str, Any]:
    """Name of a case and its mesh on this process."""
    from mpi4py import MPI

    from multiscale.conduction.case import is_conduction_case, load_conduction_case
    from multiscale.transport_cases.case import is_transport_case, load_transport_case

    if is_conduction_case(folder):
        case = load_conduction_case(folder)
        from multiscale.conduction.geometry import build

        return case.name, build(case, MPI.COMM_SELF)
    if is_transport_case(folder):
        transport = load_transport_case(folder)
        return transport.name, _transport(transport, MPI.COMM_SELF)
    return _other(folder, MPI.COMM_SELF)


def _other(folder: Path, comm: Any) -> tuple[str, Any]:
    """A propagation case or one that asks for a critical current; cases of single devices have no mesh to be shown."""
    from multiscale.case import load_case
    from multiscale.memristor.case import is_memristor_case
    from multiscale.propagation.case import is_propagation_case, load_propagation_case
    from multiscale.tip_trigger.case import is_tip_case

    if is_propagation_case(folder):
        propagation = load_propagation_case(folder)
        return propagation.name, _propagation(propagation, comm)
    if is_tip_case(folder) or is_memristor_case(folder):
        told = "a tip or memristor case is made of formulas and one axisymmetric patch; there is no geometry to preview, "
        raise UserError(f"{folder}: {told}`multiscale run {folder}` draws its answer")
    loaded = load_case(folder)
    return loaded.name, _layered(loaded, comm)


def _transport(case: Any, comm: Any) -> Any:
    from multiscale.structures import Drawn, quality_of
    from multiscale.transport_cases.geometry import build
    from multiscale.transport_cases.inputs import resolve

    if case.settings.geometry.dimension == 1:
        told = "a 1-D cell of flat layers has no picture; its thicknesses stand in case.toml"
        raise UserError(case.file.refusal(("geometry", "dimension"), told))
    domain = build(case, resolve(case), comm).domain
    return Drawn(domain, quality_of(domain))


def _propagation(case: Any, comm: Any) -> Any:
    """The cell along the path of the crack; half of it where the flaw is a mirror."""
    from multiscale.propagation.cell import filament_model
    from multiscale.propagation.inputs import resolve
    from multiscale.structures import Drawn, quality_of

    domain = filament_model(case, resolve(case), comm).domain
    return Drawn(domain, quality_of(domain))


def _layered(case: Any, comm: Any) -> Any:
    from multiscale.critical_current.geometry import layered_cell
    from multiscale.layered import layered_domain
    from multiscale.parameters import validate
    from multiscale.structures import Drawn, quality_of

    validate(case)
    geometry = case.settings.geometry
    domain, _ = layered_domain(layered_cell(case, geometry.flaw[0].depth, geometry.seed, fine=True), comm)
    return Drawn(domain, quality_of(domain))
