"""`multiscale records`: what is shipped, by material, quantity and potential; and output that nobody reads to its end."""

import json
import os
import subprocess
import sys

import pytest
from launch import MPI_SETTINGS, ROOT, multiscale

from multiscale import shipped_records
from multiscale.commands.records import _only, _overview

SHIPPED = [record for one in shipped_records.everything() for record in one.records]


def test_records_of_a_quantity_are_those_of_the_shipped_files() -> None:
    done = multiscale("records", "Li2S", "--quantity", "youngs_modulus", "--json")
    assert done.returncode == 0, done.stderr
    told = [record.to_dict() for record in SHIPPED if (record.material, record.quantity) == ("Li2S", "youngs_modulus")]
    assert json.loads(done.stdout)["records"] == json.loads(json.dumps(told))
    assert told


def test_the_overview_counts_every_record_once() -> None:
    lines = _overview(SHIPPED).splitlines()
    counts = [int(word) for line in lines[1:] if not line.startswith(" ") for word in line.split() if word.isdigit()]
    assert sum(counts) == len(SHIPPED)


def test_a_table_tells_disorder_and_potential() -> None:
    text = multiscale("records", "Li6PS5Cl", "--quantity", "youngs_modulus", "--potential", "llzo").stderr
    assert 'material: no shipped records of "Li6PS5Cl"' in text
    text = multiscale("records", "Li6PS5Cl", "--quantity", "youngs_modulus").stdout
    assert "disorder 0.5" in text
    assert "potential lpscl" in text


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [("material", "Li6PS5C", 'did you mean "Li6PS5Cl"'), ("quantity", "youngs", "--quantity"), ("potential", "xyz", "allowed: ")],
)
def test_an_unknown_name_is_told_the_known_ones(name: str, wanted: str, said: str) -> None:
    with pytest.raises(shipped_records.UserError, match=said.replace("(", r"\(")):
        _only(SHIPPED, name, wanted)


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    """`| head`: PETSc, once loaded, called it an error and aborted MPI."""
    command = [sys.executable, "-m", "multiscale", "records", "Li6PS5Cl"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        told = run.stderr.read()
        assert run.wait(60) == 1
    assert told == b""
