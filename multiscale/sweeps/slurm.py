"""The engine "sbatch": one job array whose elements each go through the sweep's list."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from coupling.errors import RunFailure, UserError
from multiscale.sweeps.engines import Job, JobState, Style
from multiscale.sweeps.schema import Cluster

_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
_BLIND = 5
"""Questions in a row that the queue may leave unanswered."""


class Sbatch:
    """SLURM by its own commands: sbatch, squeue, scancel.

    Raises:
        UserError: sbatch is not on this machine.
    """

    style: Style = "array"

    def __init__(self, cluster: Cluster, ranks: int, folder: Path) -> None:
        if shutil.which("sbatch") is None:
            raise UserError('engine "sbatch" needs SLURM\'s sbatch, which is not on the PATH; take engine = "local"')
        self._cluster, self._ranks, self._folder = cluster, ranks, folder
        self._silent = 0

    def submit(self, job: Job) -> str:
        """Write the script of an array and submit it. Raises RunFailure where sbatch refuses it."""
        script = self._folder / "workers" / f"{job.name}.sh"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(self.script(job), encoding="utf-8")
        done = _call("sbatch", "--parsable", f"--array=0-{job.copies - 1}", str(script))
        if done.returncode != 0:
            raise RunFailure(f"sbatch refused the array: {done.stderr.strip() or done.stdout.strip()}")
        found = re.match(r"\d+", done.stdout.strip())
        if found is None:
            raise RunFailure(f"sbatch told no job number: {done.stdout.strip()[:200]}")
        return found.group(0)

    def script(self, job: Job) -> str:
        """The batch script of an array."""
        cluster = self._cluster
        options = [
            f"--job-name=sweep-{job.name}", f"--ntasks={self._ranks}", f"--nodes={cluster.nodes}", f"--time={cluster.walltime}",
            f"--output={job.log}.%a", "--cpus-per-task=1",
            *([f"--partition={cluster.partition}"] if cluster.partition else []),
            *([f"--account={cluster.account}"] if cluster.account else []), *cluster.options,
        ]  # fmt: skip
        place = job.words.index("--name") + 1
        words = [shlex.quote(word) for word in job.words]
        words[place] = f'{job.words[place]}."$SLURM_ARRAY_TASK_ID"'
        lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), cluster.worker_init, "export OMP_NUM_THREADS=1",
                 "exec " + " ".join(words)]  # fmt: skip
        return "\n".join(line for line in lines if line) + "\n"

    def poll(self, handle: str) -> JobState:
        """What squeue says; a job that it no longer knows has ended. Raises RunFailure where the queue stays silent."""
        done = _call("squeue", "--noheader", "--array", "--format=%T", f"--jobs={handle}")
        if done.returncode != 0 and "invalid job id" not in (done.stderr + done.stdout).lower():
            self._silent += 1
            if self._silent >= _BLIND:
                raise RunFailure(f"squeue does not answer: {done.stderr.strip()[:300]}; the jobs go on, look again later")
            return JobState("running")
        self._silent = 0
        states = set(done.stdout.split())
        if not states or done.returncode != 0:
            return JobState("ended")
        return JobState("waiting" if states <= _WAITING else "running")

    def cancel(self, handle: str) -> None:
        """Take the array out of the queue and end what runs of it."""
        _call("scancel", handle)

    def close(self) -> None:
        """Jobs go on without the driver: nothing is to be let go of."""


def _call(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
