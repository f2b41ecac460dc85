"""The engine "parsl": each design a job of its own; SLURM, PBS, LSF and Kubernetes by Parsl's providers. Its memo stays off."""

import contextlib
import os
import shlex
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from coupling.errors import RunFailure, UserError
from multiscale.sweeps.engines import Job, JobState, Style
from multiscale.sweeps.schema import Cluster
from multiscale.sweeps.worker import DRIVER, start_of


class ParslEngine:
    """Jobs run by Parsl's high-throughput executor.

    Raises:
        UserError: Parsl is not installed.
        RunFailure: Parsl cannot start.
    """

    style: Style = "design"

    def __init__(self, cluster: Cluster, slots: int, ranks: int, folder: Path) -> None:
        parsl = import_parsl()
        self._is_local = cluster.provider == "local"
        self._jobs: dict[str, Future[Any]] = {}
        try:
            self._kernel = parsl.dataflow.dflow.DataFlowKernel(_config(parsl, cluster, slots, ranks, folder))
        except Exception as error:
            raise RunFailure(f"Parsl cannot start: {error}") from error
        self._app = parsl.bash_app(_line, data_flow_kernel=self._kernel, cache=False)

    def submit(self, job: Job) -> str:
        """Hand a design to Parsl."""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        before = [f"{DRIVER}={os.getpid()}:{start_of(os.getpid())}"] if self._is_local else []
        words = ["env", "OMP_NUM_THREADS=1", *before, *job.words]
        self._jobs[job.name] = self._app(shlex.join(words), stdout=str(job.log), stderr=str(job.log) + ".err")
        return job.name

    def poll(self, handle: str) -> JobState:
        """What Parsl says of a job."""
        future = self._jobs[handle]
        if not future.done():
            return JobState("running" if future.running() else "waiting")
        del self._jobs[handle]
        error = future.exception()
        return JobState("ended", "" if error is None else f"{type(error).__name__}: {error}".splitlines()[0][:300])

    def cancel(self, handle: str) -> None:
        """Take a job back that has not begun; Parsl ends no running job, so its lock and time limit of the queue do."""
        self._jobs[handle].cancel()

    def close(self) -> None:
        """End the executor and the blocks it holds."""
        with contextlib.suppress(Exception):  # Parsl may already be on its way down
            self._kernel.cleanup()


def import_parsl() -> Any:
    """The library. Raises UserError that says how to install it."""
    try:
        import parsl
        import parsl.dataflow.dflow
    except ImportError:
        raise UserError('engine "parsl" needs the package parsl; `pip install -e .[sweep]` installs it') from None
    return parsl


def _line(command: str, stdout: str | None = None, stderr: str | None = None) -> str:
    """What Parsl's worker hands to a shell."""
    return command


def _config(parsl: Any, cluster: Cluster, slots: int, ranks: int, folder: Path) -> Any:
    """Parsl's configuration: no retry of its own; the ledger is ours (jobs are made with cache=False: no memo)."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.usage_tracking.levels import DISABLED

    local = cluster.provider == "local"
    executor = HighThroughputExecutor(
        label="sweep", max_workers_per_node=slots, cores_per_worker=1e-3 if local else ranks,
        provider=_provider(cluster, slots, ranks), address="127.0.0.1" if local else None,
    )  # fmt: skip
    return Config(
        executors=[executor], retries=0, usage_tracking=DISABLED, run_dir=str(folder / "parsl"), initialize_logging=False,
    )  # fmt: skip


def _provider(cluster: Cluster, slots: int, ranks: int) -> Any:
    """Parsl's provider of the [cluster] table."""
    from parsl import providers
    from parsl.launchers import SimpleLauncher, SingleNodeLauncher

    blocks: dict[str, Any] = {"init_blocks": 1, "min_blocks": 0, "max_blocks": cluster.max_blocks}
    if cluster.provider == "local":
        return providers.LocalProvider(worker_init=cluster.worker_init, launcher=SingleNodeLauncher(), **blocks)
    if cluster.provider == "kubernetes":
        if cluster.image is None:
            raise UserError('[cluster] provider = "kubernetes" needs image = "..." with this product installed; add it')
        return providers.KubernetesProvider(
            namespace=cluster.namespace, image=cluster.image, worker_init=cluster.worker_init, max_cpu=slots * ranks, **blocks
        )
    asked = {"worker_init": cluster.worker_init, "walltime": cluster.walltime, "nodes_per_block": cluster.nodes,
             "scheduler_options": "\n".join(cluster.options), "launcher": SimpleLauncher(), **blocks}  # fmt: skip
    if cluster.provider == "slurm":
        return providers.SlurmProvider(
            partition=cluster.partition, account=cluster.account, exclusive=False, cores_per_node=slots * ranks, **asked
        )
    if cluster.provider == "pbs":
        return providers.PBSProProvider(account=cluster.account, queue=cluster.partition, cpus_per_node=slots * ranks, **asked)
    return providers.LSFProvider(project=cluster.account, queue=cluster.partition, cores_per_node=slots * ranks, **asked)
