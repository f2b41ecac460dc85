"""What a path given to `multiscale view` holds: a case with its run and sweep, the store of a sweep, or a folder of cases."""

from dataclasses import dataclass
from pathlib import Path

from coupling.errors import UserError
from multiscale.case_folder import require_case


@dataclass(frozen=True)
class Place:
    """A case that can be looked at.

    Attributes:
        results: folder of its own run. store: of its sweep, None where it has none.
    """

    folder: Path
    results: Path
    store: Path | None

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.folder.resolve().name

    @property
    def has_run(self) -> bool:
        """Whether its own run has an answer."""
        return (self.results / "summary.json").is_file()


def find(path: Path, out: Path | None = None) -> tuple[list[Place], bool]:
    """The cases at a path, and whether it is a folder of cases.

    Args:
        out: store of the sweep, where it is not CASE/results/sweep.

    Raises:
        UserError: nothing there can be shown: what is missing, and which command makes it.
    """
    if not path.is_dir() or (path / "case.toml").is_file():
        require_case(path)
        return [_of_case(path, out)], False
    if out is not None:
        raise UserError(f"{path}: --out is for a case folder, and this holds no case.toml; give the case of the sweep in {out}")
    if (path / "designs").is_dir() or (path / "lists").is_dir():
        return [_of_store(path)], False
    if (path.resolve().parent / "case.toml").is_file():
        raise UserError(f"{path}: part of a case; give the case, {path.resolve().parent}")
    if (path / "summary.json").is_file():
        raise UserError(f"{path}: the results of a run; give its case")
    inside = sorted(file.parent for file in path.glob("*/case.toml"))
    if not inside:
        told = "holds neither a case.toml, nor the designs of a sweep, nor case folders" if any(path.iterdir()) else "is empty"
        raise UserError(f"{path}: {told}; give a case folder such as cases/li-lpscl, or `multiscale new NAME` makes one")
    return [_place(folder, folder / "results" / "sweep") for folder in inside], True


def _place(folder: Path, store: Path) -> Place:
    has_sweep = (folder / "sweep.toml").is_file() and store.is_dir()
    return Place(folder, folder / "results", store if has_sweep else None)


def _of_case(folder: Path, out: Path | None) -> Place:
    """A case whose run or sweep has begun."""
    if out is not None and not (folder / "sweep.toml").is_file():
        raise UserError(f"{folder}: no sweep.toml there, so {out} is no sweep of this case")
    if out is not None and not out.is_dir():
        raise UserError(f"{out}: no such store; `multiscale sweep run {folder} --out {out}` makes it")
    place = _place(folder, out if out is not None else folder / "results" / "sweep")
    if place.store is None and not place.has_run:
        sweep = f" or `multiscale sweep run {folder}`" if (folder / "sweep.toml").is_file() else ""
        raise UserError(f"{folder}: nothing has been computed yet; `multiscale run {folder}`{sweep} first")
    return place


def _of_store(store: Path) -> Place:
    """The case of a store that lies in its usual place."""
    case = store.resolve().parent.parent
    if not ((case / "sweep.toml").is_file() and case / "results" / "sweep" == store.resolve()):
        raise UserError(f"{store}: the designs of a sweep, but its case is not above it; `multiscale view CASE --out {store}`")
    return _place(Path(case), store)
