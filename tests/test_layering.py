"""Import direction: atomistic → coupling ← multiscale, meshes ← multiscale; heavy libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("multiscale", "meshes", "atomistic", "coupling")
ALLOWED = {
    "coupling": {"coupling"},
    "atomistic": {"atomistic", "coupling"},
    "meshes": {"meshes", "coupling"},
    "multiscale": {"multiscale", "meshes", "coupling"},
}
COMPOSITION = {
    "multiscale/cli.py",
    "multiscale/commands/analyze.py",
    "multiscale/commands/arrhenius.py",
    "multiscale/commands/band_gap.py",
    "multiscale/commands/boundary.py",
    "multiscale/commands/build.py",
    "multiscale/commands/cluster.py",
    "multiscale/commands/disagreement.py",
    "multiscale/commands/improve.py",
    "multiscale/commands/interphase.py",
    "multiscale/commands/label.py",
    "multiscale/commands/mechanics.py",
    "multiscale/commands/potential.py",
    "multiscale/commands/replica.py",
    "multiscale/commands/stages.py",
    "multiscale/commands/structure.py",
    "multiscale/commands/study.py",
    "multiscale/commands/training.py",
    "multiscale/doctor.py",
    "multiscale/pipeline.py",
    "multiscale/verification/atomic_motion.py",
    "multiscale/verification/biased_motion.py",
}
"""The files that put the rooms together: they alone may import atomistic, and only inside functions."""
HEAVY = {"torch": {"atomistic"}, "mace": {"atomistic"}, "dolfinx": {"multiscale", "meshes"}, "petsc4py": {"multiscale"}}


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Top-level names imported by a file, with whether the import stands at module level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.module.split(".")[0], id(node) in top))
    return found


def _files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_in_the_allowed_direction(path):
    name = str(path.relative_to(ROOT))
    package = name.split("/")[0]
    for module, at_top in _imports(path):
        if module in PACKAGES and module not in ALLOWED[package]:
            composes = name in COMPOSITION and module == "atomistic" and not at_top
            assert composes, f"{name} imports {module}"
        if module in HEAVY:
            assert package in HEAVY[module], f"{name} imports {module}"


def test_the_rule_sees_a_breach(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    import torch\nfrom atomistic.study import run\n")
    assert sorted(_imports(wrong)) == [("atomistic", True), ("torch", False)]
