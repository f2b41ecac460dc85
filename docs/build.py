"""Builds the documentation site, warnings as errors: env/exec python docs/build.py [OUT] (default build/docs/html).

`--verify` first solves the problems of `multiscale verify` and keeps their table in docs/site/verification.json.
"""

import argparse
import ast
import importlib
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "site"
SIDE = re.compile(r"^\{\{side ([\w.]+)\}\}$", re.MULTILINE)
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import generated  # noqa: E402
from docstrings import escaped  # noqa: E402


def main() -> int:
    """Exit status of Sphinx."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "docs" / "html", help="folder of the pages")
    parser.add_argument("--verify", action="store_true", help="solve the verification problems anew (minutes)")
    wanted = parser.parse_args()
    if wanted.verify:
        keep_verification()
    missing = [name for name in ("sphinx", "furo", "myst_nb") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; `make docs` adds them", file=sys.stderr)
        return 2
    source = wanted.out.parent / f"{wanted.out.name}-source"
    write_source(source)
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", str(source), str(wanted.out)]
    status = subprocess.run(words, check=False).returncode
    if status == 0:
        print(wanted.out / "index.html")
    return status


def write_source(folder: Path) -> None:
    """The source of the site: written pages, generated pages, notebooks and pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SITE, folder)
    shutil.copyfile(ROOT / "docs" / "docstrings.py", folder / "docstrings.py")
    for page in sorted(folder.rglob("*.md")):
        page.write_text(SIDE.sub(side_by_side, page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copyfile(ROOT / "docs" / "physics.md", folder / "theory" / "physics.md")
    for name in ("architecture.md", "comparison.md", "geometries.md", "interlayers.md", "numbers.md", "sweeps.md"):
        shutil.copyfile(ROOT / "docs" / name, folder / "reference" / name)
    for picture in sorted((ROOT / "docs").glob("*.png")):
        shutil.copyfile(picture, folder / picture.name)
        shutil.copyfile(picture, folder / "reference" / picture.name)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("*.py", "runs", ".*"))
    generated.write_all(folder)


def side_by_side(found: re.Match[str]) -> str:
    """A function's docstring (its equation) beside its code."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    name = found.group(1)
    module, _, attribute = name.rpartition(".")
    function = getattr(importlib.import_module(module), attribute)
    lines = escaped((inspect.getdoc(function) or "").splitlines())
    told = "\n".join(GoogleDocstring(lines, Config(napoleon_use_param=True)).lines())
    return "\n".join([
        "::::::{container} side-by-side",
        ":::::{container} equation", f"**`{name}`**", "", "````{eval-rst}", told, "````", ":::::",
        ":::::{container} code", "````python", code_without_docstring(function), "````", ":::::", "::::::",
    ])  # fmt: skip


def code_without_docstring(function: object) -> str:
    """Source of a function, its docstring left out."""
    source = textwrap.dedent(inspect.getsource(function))  # type: ignore[arg-type]
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    lines = source.splitlines()
    if ast.get_docstring(node) is not None:
        text = node.body[0]
        del lines[text.lineno - 1 : text.end_lineno]
    return "\n".join(lines).rstrip()


def keep_verification() -> None:
    """Run `multiscale verify` and keep what it printed."""
    done = subprocess.run([sys.executable, "-m", "multiscale", "verify", "--json"], capture_output=True, text=True, check=False)
    rows = json.loads(done.stdout)["rows"]
    (SITE / "verification.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
