"""The shipped notebooks run, are stored executed and stay small."""

import json

import pytest
from launch import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["first-ccd", "interlayer-sweep", "own-electrolyte"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_executed_small_and_without_errors_or_paths(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert [cell["execution_count"] for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert outputs
    assert not any(output["output_type"] == "error" for output in outputs)
    assert not any(folder in text for folder in ("/tmp/", "/work/", "/root/", "/home/"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_code_cells_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, cell in enumerate(cells(path)):
        exec(compile("".join(cell["source"]), f"{path.name}:cell {number}", "exec"), names)
    if path.stem == "interlayer-sweep":
        assert [row["thickness (nm)"] for row in names["rows"]] == ["60.0", "120.0"]
        assert all(float(row["ccd_best_values (mA/cm^2)"]) > 0 for row in names["rows"])
    else:
        assert names["answer"].ccd["low"] < names["answer"].ccd["value"] < names["answer"].ccd["high"]
