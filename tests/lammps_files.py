"""LAMMPS potential files for the tests, on parameter files that came with LAMMPS."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

COPPER = {
    "elements": ["Cu"], "pair_style": "eam", "pair_coeff": ["* * Cu_u3.eam"], "files": ["Cu_u3.eam"],
    "source": "Foiles, Baskes, Daw, Phys. Rev. B 33, 7983 (1986)",
}  # fmt: skip
LITHIUM_SNAP = {
    "elements": ["Li"], "pair_style": "snap",
    "pair_coeff": ["* * Li_Zuo_JPCA2020.snapcoeff Li_Zuo_JPCA2020.snapparam Li"],
    "files": ["Li_Zuo_JPCA2020.snapcoeff", "Li_Zuo_JPCA2020.snapparam"],
    "source": "Zuo et al., J. Phys. Chem. A 124, 731 (2020)",
}  # fmt: skip
SILICON_CARBIDE_MEAM = {
    "elements": ["Si", "C"], "pair_style": "meam", "pair_coeff": ["* * library.meam Si C SiC.meam Si C"],
    "files": ["library.meam", "SiC.meam"], "source": "Baskes, Phys. Rev. B 46, 2727 (1992)",
}  # fmt: skip
ORGANIC_REAXFF = {
    "elements": ["C", "H", "O"], "units": "real", "atom_style": "charge", "pair_style": "reaxff NULL",
    "pair_coeff": ["* * ffield.reax.cho C H O"], "files": ["ffield.reax.cho"],
    "commands": ["fix qeq all qeq/reaxff 1 0.0 10.0 1.0e-8 reaxff"],
    "source": "Chenoweth, van Duin, Goddard, J. Phys. Chem. A 112, 1040 (2008)",
}  # fmt: skip


@functools.cache
def missing() -> str:
    """Why LAMMPS cannot run here; empty where it can."""
    code = "from atomistic.lammps_engine import trial; print(trial())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def need_lammps(*files: str) -> None:
    """Skip the test, with the reason, where LAMMPS or a parameter file is not at hand."""
    from atomistic.lammps_file import shipped_with_lammps

    if reason := missing():
        pytest.skip(reason)
    for name in files:
        if not any((folder / name).is_file() for folder in shipped_with_lammps()):
            pytest.skip(f"this LAMMPS came without {name}")


def write(path: Path, **values: object) -> Path:
    """Write a potential file; a dict becomes a table."""
    plain = {"kind": "lammps"} | {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", *(f"{key} = {entry}" for key, entry in value.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
