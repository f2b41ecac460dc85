"""The documentation site builds without a warning and holds what it promises."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from launch import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import generated
from docstrings import escaped

NEEDED = ("sphinx", "furo", "myst_nb")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)} (docs/requirements.txt; `make docs` adds them)")
    out = tmp_path_factory.mktemp("site") / "html"
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "warning" not in done.stderr.lower()
    return out


def test_every_page_is_there(site):
    for page in ("index", "start", "verification", "bibliography", "reference/commands", "reference/api", "theory/kinetics",
                 "reference/keys-critical-current", "reference/keys-sweep", "notebooks/first-ccd", "howto/restart"):  # fmt: skip
        assert (site / f"{page}.html").stat().st_size > 4000, page


def test_an_equation_stands_beside_its_code(site):
    page = (site / "theory" / "kinetics.html").read_text(encoding="utf-8")
    assert page.count('class="side-by-side') == 7
    assert "multiscale.transport.kinetics.butler_volmer" in page
    assert "{{side" not in page
    assert '<span class="k">return</span>' in page


def test_pages_fetch_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert '<script src="http' not in text, page
        assert 'rel="stylesheet" href="http' not in text, page


def test_no_path_of_this_machine_gets_in(site):
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


def test_every_key_of_a_case_is_in_the_reference():
    lines = "\n".join(generated.case_keys("critical-current", generated.schemas()["critical-current"]))
    for key in ("grain_boundary", "depth_range", "stack_pressure", "microstructures", "allow_pickle", "lines_flaw"):
        assert f"| `{key}` |" in lines
    assert '| `dimension` | `2` |' in lines
    assert "table [Electrolyte](#electrolyte)" in lines
    assert "number with a unit, for example '1 m'" in lines


@pytest.mark.parametrize("name", generated.schemas())
def test_every_kind_of_file_has_its_keys_in_the_reference(name):
    lines = "\n".join(generated.case_keys(name, generated.schemas()[name]))
    first = {"sweep": "| `variable` |", "conduction": "| `geometry` | table [BuriedCavity]", "transport": "| `electrode` |"}
    assert first.get(name, "| `geometry` | table") in lines.replace("table [RoughContact](#roughcontact) or ", "")
    links = set(re.findall(r"\]\(#(\w+)\)", lines))
    assert links
    assert links <= {heading.lower() for heading in re.findall(r"^## (\w+)$", lines, re.MULTILINE)}


def test_every_command_is_in_the_reference():
    text = "\n".join(generated.commands())
    for name, _ in generated.command_tree():
        assert f"# {name}\n" in text


def test_the_verification_page_tells_what_was_computed(tmp_path):
    rows = json.loads((ROOT / "docs" / "site" / "verification.json").read_text(encoding="utf-8"))
    assert len(rows) > 80
    assert {"id", "quantity", "exact", "computed", "relative_error", "tolerance", "ok"} <= set(rows[0])
    lines = generated.verification(tmp_path)
    assert (tmp_path / "verification.svg").stat().st_size > 10_000
    assert sum(line.startswith("| V") for line in lines) >= 60


def test_the_verification_page_tells_of_no_problem_that_is_gone_and_names_those_it_lacks(tmp_path):
    from multiscale.verify import problems

    rows = json.loads((ROOT / "docs" / "site" / "verification.json").read_text(encoding="utf-8"))
    stored, known = {(row["id"], row["quantity"]) for row in rows}, {(p.id, p.quantity) for p in problems()}
    assert stored <= known, "env/exec python docs/build.py --verify makes the table anew"
    text = "\n".join(generated.verification(tmp_path))
    assert ("added since" in text) == (stored != known)


def test_the_bibliography_is_collected():
    text = "\n".join(generated.bibliography())
    assert "Bikerman 1942" in text
    assert "https://doi.org/10.1039/C9TA14177D" in text
    assert "https://arxiv.org/abs/2407.04126" in text


def test_signs_of_formulas_survive():
    border = "======  ===="
    table = [border, "symbol  unit", border, "α_  V; wider than it should be", border]
    head = ["", ".. list-table::", "   :header-rows: 1", ""]
    assert escaped(["|η| of a*b and `c_` in c_ here", "* one"]) == [r"\|η\| of a\*b and `c_` in c\_ here", "* one"]
    assert escaped(table) == [
        *head, "   * - symbol", "     - unit", r"   * - α\_", "     - V; wider than it should be", "",
    ]  # fmt: skip


def test_the_example_of_the_sweep_page_runs(tmp_path):
    import tomllib

    import sweep_cases
    from typer.main import get_command

    from multiscale.cli import app
    from multiscale.sweeps.settings import load_sweep

    page = (ROOT / "docs" / "site" / "howto" / "sweeps.md").read_text(encoding="utf-8")
    written = re.search(r"```toml\n(.*?)```", page, re.DOTALL).group(1)
    sweep = load_sweep(sweep_cases.write(tmp_path, written))
    assert sweep.settings.title == tomllib.loads(written)["title"]
    root = get_command(app)
    lines = re.findall(r"multiscale sweep ([^#`\n]+)", page)
    assert {"run my-case", "rank my-case --by thickness"} <= {line.strip() for line in lines}
    for line in lines:
        name, *words = line.split()
        given = root.commands["sweep"].commands[name].make_context(name, words)  # a required option that is left out is refused
        assert given.params["case"].name == "my-case"
        if name == "rank":
            sweep.axis(given.params["by"])
