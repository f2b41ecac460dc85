"""Engines: a stand-in for SLURM's commands, Parsl's local executor, the batch script, and what is missing is told."""

import os
import stat
import sys
from pathlib import Path

import pytest
import sweep_cases
from pydantic import ValidationError

from coupling.errors import RunFailure, UserError
from multiscale.sweeps import driver, parsl_engine
from multiscale.sweeps.engines import Engine, Job, LocalPool, worker_words
from multiscale.sweeps.schema import Cluster
from multiscale.sweeps.settings import load_sweep
from multiscale.sweeps.slurm import Sbatch

SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
queue = pathlib.Path(os.environ["STAND_IN_QUEUE"])
number = str(1 + len(list(queue.glob("*.job"))))
last = next(int(re.match(r"--array=0-(\\d+)$", word).group(1)) for word in sys.argv if word.startswith("--array"))
script = pathlib.Path(sys.argv[-1])
(queue / f"{{number}}.script").write_text(script.read_text())
pids = []
for index in range(last + 1):
    output = next(line.split("=", 1)[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH --output"))
    with open(output.replace("%a", str(index)), "w") as stream:
        environment = {{**os.environ, "SLURM_ARRAY_TASK_ID": str(index)}}
        element = subprocess.Popen(["bash", script], env=environment, stdout=stream, stderr=stream, start_new_session=True)
        pids.append(element.pid)
(queue / f"{{number}}.job").write_text(" ".join(map(str, pids)))
print(number + ";cluster")
"""
SQUEUE = """#!{python}
import os, pathlib, re, sys
queue = pathlib.Path(os.environ["STAND_IN_QUEUE"])
number = next(word.split("=")[1] for word in sys.argv if word.startswith("--jobs"))
if not (queue / f"{{number}}.job").exists():
    sys.exit("slurm_load_jobs error: Invalid job id specified")
for pid in (queue / f"{{number}}.job").read_text().split():
    try:
        state = open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        continue
    if state not in "ZX":
        print("RUNNING")
"""
SCANCEL = """#!{python}
import os, pathlib, signal, sys
queue = pathlib.Path(os.environ["STAND_IN_QUEUE"])
for pid in (queue / f"{{sys.argv[1]}}.job").read_text().split():
    try:
        os.killpg(int(pid), signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """Stand-ins for sbatch, squeue and scancel on the PATH; gives their queue."""
    programs, queue = tmp_path / "bin", tmp_path / "queue"
    programs.mkdir()
    queue.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(python=sys.executable))
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_QUEUE", str(queue))
    return queue


def prepared(folder: Path, steps: int, **more):
    return driver.prepare(load_sweep(sweep_cases.fake(folder, steps, **more)), folder / "results" / "sweep")


def test_an_array_of_scans_finishes_the_sweep(tmp_path, slurm):
    work = prepared(tmp_path / "case", 6, pause=0.1)
    tally = driver.complete(work, Sbatch(Cluster(partition="long"), 1, work.store.folder), 3, 1)
    assert (tally.done, tally.failed) == (5, 1)
    assert sweep_cases.runs(tmp_path / "case") == [1] * 6
    workers = {work.store.status(name).worker.partition(".")[2] for name in work.names}
    assert workers <= {"0", "1", "2"}
    assert "#SBATCH --partition=long" in (slurm / "1.script").read_text()


def test_an_array_whose_elements_were_killed_is_submitted_again(tmp_path, slurm):
    work = prepared(tmp_path / "case", 4, pause=0.1)

    class Unlucky(Sbatch):
        """The first array is cancelled as soon as it runs, as by a failing node."""

        def submit(self, job):
            handle = super().submit(job)
            if handle == "1":
                sweep_cases.wait_until(lambda: list(tmp_path.glob("case/results/sweep/designs/*/runs")))
                self.cancel(handle)
            return handle

    tally = driver.complete(work, Unlucky(Cluster(), 1, work.store.folder), 2, 1)
    assert (tally.done, tally.failed) == (3, 1)
    assert sum(sweep_cases.runs(tmp_path / "case")) <= 4 + 2
    assert (slurm / "2.job").exists()


def test_a_design_that_kills_its_element_twice_has_failed(tmp_path, slurm):
    work = prepared(tmp_path / "case", 3)
    script = tmp_path / "case" / "fake.py"
    told = script.read_text()
    script.write_text(told.replace("if thickness == 13.0", "if thickness == 11.0:\n    os.kill(os.getppid(), 9)\nif False"))
    tally = driver.complete(work, Sbatch(Cluster(), 1, work.store.folder), 1, 1)
    assert (tally.done, tally.failed) == (2, 1)
    assert "ended early" in work.store.status(work.names[1]).reason
    assert len(list(slurm.glob("*.job"))) == 3


def test_an_array_whose_workers_cannot_start_ends_the_sweep(tmp_path, slurm, monkeypatch):
    work = prepared(tmp_path / "case", 2)
    words = (sys.executable, "-c", "raise SystemExit('no such module')", "--name", "x")
    monkeypatch.setattr(driver, "worker_words", lambda *_: words)
    with pytest.raises(RunFailure, match="no such module"):
        driver.complete(work, Sbatch(Cluster(), 1, work.store.folder), 1, 1)
    assert len(list(slurm.glob("*.job"))) == driver.FALSE_STARTS


def test_a_killed_driver_leaves_its_array_at_work_and_the_next_one_finds_it_done(tmp_path, slurm):
    folder = sweep_cases.fake(tmp_path / "case", 5, pause=0.2)
    process = sweep_cases.start(folder, "--engine", "sbatch")
    sweep_cases.wait_until(lambda: list(folder.glob("results/sweep/designs/*/runs")))
    sweep_cases.kill(process)
    sweep_cases.wait_until(lambda: sweep_cases.over(folder) == 5)
    again = sweep_cases.start(folder, "--engine", "sbatch")
    assert again.wait(60) == 0
    assert sweep_cases.runs(folder) == [1] * 5


def test_the_batch_script_says_what_the_cluster_table_says(tmp_path, slurm):
    cluster = Cluster(partition="gpu", account="a1", walltime="02:30:00", worker_init="module load x", options=("--mem=4G",))
    words = worker_words(tmp_path, tmp_path / "list.json", "7-0", 1)
    script = Sbatch(cluster, 4, tmp_path).script(Job("7-0", words, tmp_path / "log", 3))
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    for option in ("--partition=gpu", "--account=a1", "--time=02:30:00", "--mem=4G", "--ntasks=4"):
        assert f"#SBATCH {option}" in lines
    assert lines.index("module load x") < next(k for k, line in enumerate(lines) if line.startswith("exec "))
    assert '--name 7-0."$SLURM_ARRAY_TASK_ID"' in lines[-1]


def test_a_refusal_of_sbatch_is_told(tmp_path, slurm):
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2\nexit 1\n")
    work = prepared(tmp_path / "case", 2)
    with pytest.raises(RunFailure, match="sbatch refused the array: invalid partition"):
        driver.complete(work, Sbatch(Cluster(), 1, work.store.folder), 1, 1)


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not on the PATH"):
        Sbatch(Cluster(), 1, tmp_path)


def test_parsls_local_executor_finishes_the_sweep(tmp_path):
    pytest.importorskip("parsl", reason="needs parsl")
    work = prepared(tmp_path / "case", 4)
    tally = driver.complete(work, parsl_engine.ParslEngine(Cluster(), 2, 1, work.store.folder), 2, 1)
    assert (tally.done, tally.failed) == (3, 1)
    assert sweep_cases.runs(tmp_path / "case") == [1] * 4


@pytest.mark.parametrize("provider", ["slurm", "pbs", "lsf", "kubernetes"])
def test_the_cluster_table_becomes_parsls_provider(provider):
    pytest.importorskip("parsl", reason="needs parsl")
    if provider == "kubernetes":
        pytest.importorskip("kubernetes", reason="needs kubernetes")
    cluster = Cluster(provider=provider, partition="p", account="a", walltime="03:00:00", nodes=2, max_blocks=4, image="i")
    made = parsl_engine._provider(cluster, 8, 1)
    assert (made.max_blocks, made.nodes_per_block) == (4, 2 if provider != "kubernetes" else 1)
    if provider != "kubernetes":
        assert made.walltime == "03:00:00"
        assert "p" in (getattr(made, "partition", None), getattr(made, "queue", None))


def test_without_parsl_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "parsl", None)
    with pytest.raises(UserError, match=r"pip install -e \.\[sweep\]"):
        parsl_engine.import_parsl()


def test_a_job_of_the_pool_is_polled_and_cancelled_with_all_below_it(tmp_path):
    pool: Engine = LocalPool()
    log = tmp_path / "log"
    well, badly, long = (
        pool.submit(Job(name, ("sh", "-c", text), log))
        for name, text in (("well", "exit 0"), ("badly", "exit 3"), ("long", f"sleep 60 & echo $! > {tmp_path}/pid; wait"))
    )
    sweep_cases.wait_until(lambda: pool.poll(well).progress == "ended" and pool.poll(badly).progress == "ended")
    assert (pool.poll(well).note, pool.poll(badly).note) == ("", "status 3")
    sweep_cases.wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pool.cancel(long)
    assert pool.poll(long).note == "signal SIGTERM"
    below = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    sweep_cases.wait_until(lambda: not below.exists() or below.read_text().rpartition(")")[2].split()[0] in "ZX", 5.0)


def test_a_walltime_that_is_none_is_refused():
    with pytest.raises(ValidationError):
        Cluster(walltime="2 hours")
