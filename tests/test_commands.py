"""Every command of the product: help with an example that exists, completion, templates, version."""

import json
import os
import re
import shlex

import pytest
import typer
from launch import ROOT, multiscale

from multiscale.cli import app
from multiscale.commands.starter import TEMPLATES, schemas


def walk(name, command):
    yield name, command
    for inner, below in getattr(command, "commands", {}).items():
        yield from walk(f"{name} {inner}", below)


TREE = dict(walk("multiscale", typer.main.get_command(app)))


def example(command):
    """The words after "Example:" up to the end of their paragraph, as one shell line."""
    found = re.search(r"Examples?:\s*(.+?)(?:\n\s*\n|\Z)", command.help or "", re.DOTALL)
    return found and " ".join(found.group(1).split())


def test_the_tree_is_walked():
    assert len(TREE) > 40
    assert {"multiscale sweep run", "multiscale potential label", "multiscale analyze diffusivity"} <= set(TREE)


@pytest.mark.parametrize("name", TREE)
def test_the_help_has_an_example_of_this_very_command(name):
    line = example(TREE[name])
    assert line, f"{name}: no example in its help"
    words = shlex.split(line)
    start = words.index("multiscale")
    assert words[:start] in ([], ["mpirun", "-n", "2"]), line
    wanted = name.split()
    assert words[start : start + len(wanted)] == wanted, line


@pytest.mark.parametrize("name", [name for name in TREE if not hasattr(TREE[name], "commands")])
def test_the_options_of_the_example_exist(name):
    words = [word for word in shlex.split(example(TREE[name])) if word.startswith("--")]
    known = {option for parameter in TREE[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words} <= known


@pytest.mark.parametrize("name", [name for name in TREE if not TREE[name].hidden])
def test_every_option_is_explained(name):
    for parameter in TREE[name].params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


SHELLS = [("bash", "complete -o default -F"), ("zsh", "#compdef multiscale"), ("fish", "complete --command")]
WORDS = [("multiscale ver", "verify"), ("multiscale sweep ra", "rank"), ("multiscale run --no", "--no-md")]


@pytest.mark.parametrize(("shell", "line"), SHELLS)
def test_completion_is_printed(shell, line):
    done = multiscale("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    assert line in done.stdout
    assert "_MULTISCALE_COMPLETE" in done.stdout


@pytest.mark.parametrize(("words", "offered"), WORDS)
def test_completion_completes(words, offered):
    told = {"_MULTISCALE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = multiscale(**told)
    assert done.stdout.split() == [offered]


def test_version():
    done = multiscale("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"multiscale-li \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_new_makes_a_case_of_every_kind_that_checks(tmp_path, kind):
    made = multiscale("new", tmp_path / "mine", "--kind", kind)
    assert made.returncode == 0, made.stderr
    assert TEMPLATES[kind] in (tmp_path / "mine" / "README.md").read_text()
    assert sorted(os.listdir(tmp_path / "mine")) == ["README.md", "case.toml"]
    done = multiscale("check", tmp_path / "mine")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["transport", "conduction", "propagation", "tip", "memristor", "sweep"])
def test_schema_of_every_kind(kind):
    done = multiscale("schema", f"--{kind}")
    assert json.loads(done.stdout) == json.loads(json.dumps(schemas()[kind]))


@pytest.mark.parametrize("kind", schemas())
def test_every_reference_of_a_schema_leads_somewhere(kind):
    schema = schemas()[kind]
    named = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(schema)))
    assert named
    assert named <= set(schema["$defs"])
    assert json.dumps(schema).count('"$defs"') == 1, "references start at the top of the whole schema"


def test_alternatives_of_a_conduction_case_agree_on_what_a_table_holds():
    from multiscale.conduction.schema import KINDS, file_model

    for kind in KINDS:
        for name, table in file_model(kind).model_json_schema()["$defs"].items():
            assert schemas()["conduction"]["$defs"][name] == table


def test_every_shipped_case_is_of_a_kind_with_a_template():
    assert all((ROOT / "cases" / shipped / "case.toml").is_file() for shipped in TEMPLATES.values())
