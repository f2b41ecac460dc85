"""Executes the notebooks in a fresh folder and stores their outputs: env/exec python notebooks/execute.py [NAME…]."""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
LARGEST = 300_000
"""Bytes that an executed notebook may have."""


def main(names: list[str]) -> None:
    """Execute the named notebooks, or all."""
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        for cell in notebook.cells:
            tidy(cell)
        nbformat.write(notebook, path)
        size = path.stat().st_size
        print(f"{path.name}: {size / 1e3:.0f} kB")
        if size > LARGEST:
            raise SystemExit(f"{path.name} is larger than {LARGEST / 1e3:.0f} kB; draw less in it")


def tidy(cell: nbformat.NotebookNode) -> None:
    """Leave out what differs from run to run without meaning anything: times of execution, folders of this machine, progress."""
    cell.metadata.pop("execution", None)
    for output in cell.get("outputs", []):
        if output.get("output_type") == "stream":
            output["text"] = re.sub(r"/tmp/notebook-\w+/", "", "".join(output["text"]))
    cell["outputs"] = [o for o in cell.get("outputs", []) if o.get("name") != "stderr"] if cell.cell_type == "code" else None
    if cell.cell_type != "code":
        del cell["outputs"]


if __name__ == "__main__":
    main(sys.argv[1:])
