"""A conduction case: a case folder whose case.toml has a [conduction] table; any geometry of `meshes`, steady current."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from coupling.library import QUANTITIES, Material
from coupling.record import Property
from coupling.toml_input import Location, TomlFile, nearest, read, validate
from multiscale.case_folder import CaseFolder, material_folders, materials_named, require_case
from multiscale.conduction.grains import Boundaries
from multiscale.conduction.schema import KINDS, ConductionFile, Region, ThinBoundary, file_model
from multiscale.conduction.voxel_image import require_image
from multiscale.parameters import Parameter, candidates

OTHER_KINDS = {"layers": "ion transport in time ([transport])", "layered-polycrystal": "the critical current, in 2-D"}
"""Kinds of geometry that other solvers alone take."""


class ConductionCase(CaseFolder[ConductionFile]):
    """A checked conduction case."""

    @property
    def attachments(self) -> list[Path]:
        """Files that the geometry reads."""
        geometry = self.settings.geometry
        named = [getattr(geometry, key, None) for key in ("particles", "image", "file")]
        return [self.folder / name for name in named if name is not None]

    def complaint(self, error: UserError) -> UserError:
        """An error of a geometry or solve ("geometry.KEY: …", "conduction.KEY: …") told with file and line."""
        key, colon, message = str(error).partition(": ")
        if not colon or not key.startswith(("geometry.", "conduction.")) or " " in key:
            return UserError(self.file.complaint(("geometry",), str(error)))
        return UserError(self.file.complaint(tuple(key.split(".")), message))


def is_conduction_case(folder: str | Path) -> bool:
    """Whether a case folder holds a conduction case.

    Raises:
        UserError: what is no case folder or no TOML, or has a geometry that only conduction solves but no [conduction] table.
    """
    require_case(Path(folder))
    file = read(Path(folder) / "case.toml")
    refuse_kind(file)
    return "conduction" in file.data


def refuse_kind(file: TomlFile) -> None:
    """Refuse a geometry that only steady conduction solves in a case that asks for something else. Raises UserError."""
    geometry = file.data.get("geometry", {})
    kind = geometry.get("kind") if isinstance(geometry, dict) else None
    mine = kind in KINDS and (kind not in OTHER_KINDS or geometry.get("dimension") == 3)
    if mine and not {"conduction", "transport"} & set(file.data):
        solved = "this geometry is for steady conduction and for ion transport in time: add a [conduction] table (or [transport])"
        others = "; ".join(f'"{name}" is for {use}' for name, use in OTHER_KINDS.items())
        raise UserError(file.refusal(("geometry", "kind"), f"{solved} and take out the tables of other solvers; {others}"))


def load_conduction_case(folder: str | Path) -> ConductionCase:
    """Read and check a conduction case.

    Raises:
        UserError: any wrong key, unit or value, an unknown kind of geometry or material, a file that is missing.
    """
    folder = Path(folder)
    require_case(folder)
    file = read(folder / "case.toml")
    settings = validate(file, file_model(_kind(file)))
    case = ConductionCase(folder, settings, _materials(file, settings, folder), file)
    for path, key in zip(case.attachments, _file_keys(settings), strict=True):
        if not path.is_file():
            raise UserError(file.refusal(key, f"{path}: no such file; paths start at the case folder"))
    return case


def _kind(file: TomlFile) -> str:
    geometry = file.data.get("geometry")
    if not isinstance(geometry, dict):
        raise UserError(file.complaint(("geometry",), "this table is missing; add it"))
    kind = geometry.get("kind")
    if kind is None:
        raise UserError(file.complaint(("geometry", "kind"), f"this key is missing; allowed: {', '.join(KINDS)}"))
    if kind not in KINDS:
        raise UserError(file.refusal(("geometry", "kind"), nearest(str(kind), list(KINDS))))
    return str(kind)


def _file_keys(settings: ConductionFile) -> list[Location]:
    keys = ("particles", "image", "file")
    return [("geometry", key) for key in keys if getattr(settings.geometry, key, None) is not None]


def regions(geometry: Any) -> dict[str, tuple[Region, Location]]:
    """What each region of the mesh conducts, with the key that says so."""
    kind, at = geometry.kind, ("geometry",)
    found: dict[str, tuple[Region, Location]] = {}
    if kind == "voxels":
        return {phase.name: (phase, (*at, "phase", k)) for k, phase in enumerate(geometry.phase)}
    if kind == "mesh":
        return {name: (region, (*at, "regions", name)) for name, region in geometry.regions.items()}
    if kind == "packing":
        found = {name: (region, (*at, "phases", name)) for name, region in geometry.phases.items()}
        return found | ({"matrix": (geometry.matrix, (*at, "matrix"))} if geometry.matrix else {})
    body = {"tip-on-crystal": "crystal", "layered-polycrystal": "grain"}.get(kind, "electrolyte")
    found[body] = (geometry.electrolyte, (*at, "electrolyte"))
    if getattr(geometry, "interlayer", None):
        layer = "interphase" if kind == "layered-polycrystal" else "interlayer"
        found[layer] = (geometry.interlayer, (*at, "interlayer"))
    if kind == "buried-cavity" and geometry.cavity.filling:
        found["filling"] = (geometry.cavity.filling, (*at, "cavity", "filling"))
    return found


def boundary(geometry: Any) -> tuple[ThinBoundary, Location] | None:
    """Thin grain boundaries of a geometry, with their key."""
    told = getattr(geometry.electrolyte, "grain_boundary", None) if hasattr(geometry, "electrolyte") else None
    return (told, ("geometry", "electrolyte", "grain_boundary")) if told is not None else None


def _materials(file: TomlFile, settings: ConductionFile, folder: Path) -> dict[str, Material]:
    regional = [*regions(settings.geometry).values()]
    if between := boundary(settings.geometry):
        regional.append(between)
    named = [(region.material, (*key, "material")) for region, key in regional if region.material is not None]
    found = materials_named(file.path, named, material_folders(folder))
    for used in settings.properties.use:
        material, _, quantity = used.partition(".")
        known = list(QUANTITIES) if material in found else sorted(found)
        if material not in found or quantity not in QUANTITIES:
            hint = nearest(quantity if material in found else material, known)
            raise UserError(file.complaint(("properties", "use", used), f'write "material.quantity"; {hint}'))
    return found


def parameters(case: ConductionCase) -> tuple[dict[str, Parameter], dict[str, float]]:
    """Every sourced number by key, and the conductivity of each region, S/m.

    Raises:
        UserError: a conductivity is not known, or not at the case's temperature; an image that cannot be meshed.
    """
    require_image(case, case.settings.geometry)
    temperature = case.settings.conditions.temperature
    found = {"conditions.temperature": _stated("conditions.temperature", temperature, "K", "case.toml: test condition")}
    values: dict[str, float] = {}
    for name, (region, key) in regions(case.settings.geometry).items():
        if region.conductivity is not None:
            parameter = _stated(f"{name}.ionic_conductivity", region.conductivity, "S/m", f"case.toml: {region.source}")
        else:
            assert region.material is not None
            parameter = _of_material(case, case.materials[region.material], (*key, "material"))
        found[parameter.key], values[name] = parameter, parameter.used.value
    return found, values


def boundary_parameters(case: ConductionCase, grains: float) -> tuple[dict[str, Parameter], Boundaries] | None:
    """Sourced numbers of thin grain boundaries between grains of a conductivity (S/m), and what they make; None without.

    Raises:
        UserError: neither their conductivity nor its ratio to the grains' is known.
    """
    found = boundary(case.settings.geometry)
    if found is None:
        return None
    told, key = found
    width = _stated("grain_boundary.width", told.width, "m", "case.toml: geometry")
    if told.conductivity is not None:
        parameter = _stated("grain_boundary.ionic_conductivity", told.conductivity, "S/m", f"case.toml: {told.source}")
        κ = told.conductivity
    else:
        assert told.material is not None
        ratio = _known(case, case.materials[told.material], "conductivity_ratio")
        parameter = ratio or _of_material(case, case.materials[told.material], (*key, "material"))
        κ = parameter.used.value * (grains if ratio else 1.0)
    return {p.key: p for p in (parameter, width)}, Boundaries(κ, told.width)


def _known(case: ConductionCase, material: Material, quantity: str) -> Parameter | None:
    """A quantity of a material by the case's order of kinds; None where it is not known at the case's temperature."""
    name, temperature = f"{material.name}.{quantity}", case.settings.conditions.temperature
    known = case.settings.properties.ranked(name, candidates(material, quantity, (), temperature))
    return Parameter(name, known[0], tuple(known[1:])) if known else None


def _stated(key: str, value: float, unit: str, source: str) -> Parameter:
    material, _, quantity = key.rpartition(".")
    record = Property(material, quantity, value, unit, kind="assumed", confidence="low", source={"reference": source})
    return Parameter(key, record)


def _of_material(case: ConductionCase, material: Material, key: Location) -> Parameter:
    """Ionic conductivity of a material by the case's order of kinds."""
    if known := _known(case, material, "ionic_conductivity"):
        return known
    name = f"{material.name}.ionic_conductivity"
    stated = [p.conditions.get("temperature_K") for p in material.properties if p.quantity == "ionic_conductivity"]
    kelvins: Mapping[float, None] = dict.fromkeys(k for k in stated if k is not None)
    if kelvins:
        told = " and ".join(f"{kelvin - 273.15:.4g} degC" for kelvin in kelvins)
        raise UserError(case.file.refusal(("conditions", "temperature"), f"{name} is known at {told} only"))
    mend = f"add it to {material.path}, or state conductivity and source here in place of the material"
    raise UserError(case.file.refusal(key, f"{name} is not known; {mend}"))
