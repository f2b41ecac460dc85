"""The command line: answers, exit status, and an end that reaches every rank."""

import json
import shutil

import pytest
from launch import ROOT, multiscale, python

from atomistic import lammps_engine
from coupling.lock import alone
from multiscale import doctor

CASE = ROOT / "cases" / "li-lpscl"
COMMANDS = ["run", "check", "ccd", "report", "compare", "md", "verify", "new", "schema", "doctor", "analyze", "potential",
            "build", "stages", "replicas", "homogenize", "preview", "animate", "picture", "export", "sweep", "sweep run",
            "sweep status", "sweep table", "sweep plot", "sweep rank", "sweep sensitivity", "sweep search"]  # fmt: skip


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself_with_an_example(command):
    done = multiscale(*command.split(), "--help")
    assert done.returncode == 0
    assert len(done.stdout) > 100
    assert "Example: multiscale " in done.stdout or "Example: mpirun -n 2 multiscale " in done.stdout


def test_check_prints_every_parameter_with_its_source():
    done = multiscale("check", CASE, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["case"] == "li-lpscl"
    rows = {row["key"]: row for row in answer["parameters"]}
    assert rows["Li6PS5Cl.fracture_toughness"]["value"] == pytest.approx(0.35e6)
    assert rows["Li6PS5Cl.fracture_toughness"]["unit"] == "Pa m^0.5"
    assert all(row["source"] for row in rows.values())
    assert all({"key", "value", "unit", "stderr", "bound", "source"} <= set(row) for row in rows.values())


def test_new_makes_a_case_that_checks(tmp_path):
    made = multiscale("new", tmp_path / "mine")
    assert made.returncode == 0, made.stderr
    assert multiscale("check", tmp_path / "mine").returncode == 0
    assert multiscale("new", tmp_path / "mine").returncode == 2


def test_schema_is_json_schema():
    schema = json.loads(multiscale("schema").stdout)
    assert schema["additionalProperties"] is False
    assert "geometry" in schema["required"]


def test_doctor_tells_versions():
    found = json.loads(multiscale("doctor", "--json").stdout)
    assert found["dolfinx"]
    assert {"petsc", "mpi", "torch", "gpu", "cp2k", "sevennet", "lammps", "symmetrix", "torch-sim"} <= set(found)


def test_doctor_tries_lammps_where_it_is_used(monkeypatch):
    """The package, in its own process: a program named lmp on the path says nothing of it."""
    monkeypatch.setattr(doctor, "_package", {"lammps": "2025.7"}.get)
    for reason, told in (("", "2025.7"), ("its MPI library is not", "2025.7, which does not start: its MPI library is not")):
        monkeypatch.setattr(lammps_engine, "trial", lambda reason=reason: reason)
        assert doctor._lammps() == told
    monkeypatch.setattr(doctor, "_package", {}.get)
    assert doctor._lammps() is None


WRONG = {
    "no such folder": ("check", "nowhere"),
    "no case": ("check", "tests"),
    "no results": ("ccd", "{empty}"),
    "results of no such folder": ("report", "nowhere"),
    "unknown command": ("frobnicate",),
    "missing argument": ("check",),
    "no trajectory": ("analyze", "diffusivity", "none.traj", "--species", "Li", "--timestep", "2 fs"),
    "time without a unit": ("analyze", "diffusivity", "README.md", "--species", "Li", "--timestep", "2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_line_and_status_2(name, tmp_path):
    shutil.copy(CASE / "case.toml", tmp_path)
    done = multiscale(*(str(word).replace("{empty}", str(tmp_path)) for word in WRONG[name]))
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("command", ["check", "run"])
def test_bad_input_ends_every_rank_before_any_work(tmp_path, ranks, command):
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    (tmp_path / "case.toml").write_text(text.replace('mouth       = "20 nm"', "mouth       = 20"), encoding="utf-8")
    done = multiscale(command, tmp_path, ranks=ranks)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "bare number 20" in line]
    assert len(said) == 1, done.stderr
    assert "case.toml:25: geometry.flaw.mouth: " in said[0]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('potential = "lpscl"', 'potential = "lpsc"', "atomistic.potential: "),
        ('width     = "6 um"', 'width     = "6 mm"', 'geometry.width: read "6 mm"; '),
        ("[uncertainty]", '[properties.use]\n"Li.creep_exponent" = "md"\n[uncertainty]', "properties.use.Li.creep_exponent: "),
    ],
)
def test_md_refuses_what_run_refuses_before_any_work(tmp_path, old, new, said):
    text = (CASE / "case.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "case.toml").write_text(text.replace(old, new), encoding="utf-8")
    done = multiscale("md", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


USER_ERROR = "__import__('coupling.errors').errors.UserError('it broke')"
FAILING = """
from multiscale import parallel
def command():
    comm = parallel.world()
    if {rank} in (comm.rank, -1):
        raise {error}
    comm.barrier()
parallel.guard(command)
"""


@pytest.mark.parametrize(
    ("error", "status"),
    [("RuntimeError('it broke')", 1), (USER_ERROR, 2)],
)
@pytest.mark.parametrize("rank", [0, 2])
def test_an_exception_on_one_rank_ends_all(rank, error, status):
    done = python(FAILING.format(rank=rank, error=error), ranks=3)
    assert done.returncode == status
    assert "it broke" in done.stderr


@pytest.mark.parametrize("library", ["sys", "petsc4py.PETSc"])
def test_an_error_that_every_rank_meets_is_told_once_and_without_abort(library):
    done = python(f"import {library}\n" + FAILING.format(rank=-1, error=USER_ERROR), ranks=3)
    assert done.returncode == 2
    assert done.stderr.count("it broke") == 1
    assert "MPI_ABORT" not in done.stderr.upper()
    assert "finaliz" not in done.stderr.lower()


def test_md_leaves_a_busy_folder_alone(tmp_path):
    shutil.copy(CASE / "case.toml", tmp_path)
    with alone(tmp_path / "results" / ".lock"):
        done = multiscale("md", tmp_path)
    assert done.returncode == 2
    assert "another run is at work there" in done.stderr
    assert not (tmp_path / "results" / "atomistic").exists()
