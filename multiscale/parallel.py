"""Running under mpirun: rank before MPI starts, and an end that reaches every rank."""

import ctypes
import faulthandler
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from coupling.errors import RunFailure, UserError
from coupling.lifetime import end_with

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
_SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_GRACE_SECONDS = 1.5
_FINALIZE_SECONDS = 5.0
_LAUNCHERS = ("mpi", "prte", "orte", "hydra", "slurm")
"""Parts of the names of programs that start ranks."""
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def _from_environment(names: tuple[str, ...], default: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), default)


def rank() -> int:
    """Rank of this process as its launcher says, without starting MPI; 0 outside mpirun."""
    return _from_environment(_RANK_VARIABLES, 0)


def size() -> int:
    """Number of processes as the launcher says; 1 outside mpirun."""
    return _from_environment(_SIZE_VARIABLES, 1)


def world() -> Any:
    """The world communicator (starts MPI; every rank must ask for it)."""
    from mpi4py import MPI

    _farewell()
    return MPI.COMM_WORLD


@functools.cache
def _farewell() -> Any:
    """A communicator of its own for the end of a command, so that nothing there meets what the command left open."""
    from mpi4py import MPI

    return MPI.COMM_WORLD.Dup()


def on_first_rank(comm: Any, action: Callable[[], None], path: Path) -> None:
    """Run a file operation on rank 0. Raises RunFailure on every rank where it cannot be done."""
    problem = None
    if comm.rank == 0:
        try:
            action()
        except OSError as error:
            problem = f"{path}: cannot be written ({error.strerror}); mend that and run the same command again"
    problem = comm.bcast(problem)
    if problem:
        raise RunFailure(problem)


def guard(command: Callable[[], None]) -> NoReturn:
    """Run a command; whatever ends it badly on one rank ends all ranks, with one message and exit status 1 or 2.

    A user's mistake is told in one line, a failure of the product itself with its traceback. Ranks other than 0 wait a
    moment first: where every rank meets the same error, rank 0 alone speaks. PETSc's handler of signals is off: it calls
    output that nobody reads any longer (`| head`), and a SIGTERM, errors of its own.
    """
    end_with_launcher()
    os.environ["PETSC_OPTIONS"] = f"{os.environ.get('PETSC_OPTIONS', '')} -no_signal_handler".strip()
    faulthandler.enable()
    try:
        command()
    except (UserError, RunFailure) as error:
        _end(f"multiscale: {error}", error.exit_status)
    except KeyboardInterrupt:
        _end("multiscale: stopped; what was computed is kept, the same command goes on from there", 1)
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            raise
        _end("", leaving.code if isinstance(leaving.code, int) else 1)
    except MemoryError:
        _end("multiscale: out of memory; what was computed is kept; use fewer ranks or a coarser case", 1)
    except BaseException:
        _end(f"multiscale: internal error on rank {rank()}, please report it:\n{traceback.format_exc()}", 1)
    sys.exit(0)


def end_with_launcher() -> None:
    """Under mpirun: have this process killed as soon as its launcher is gone, so that no rank lives on and holds a lock.

    A launcher that gets SIGKILL cannot end its ranks. Linux does it at once, even in the middle of a solve; but it heeds the
    *thread* that started this process, and Open MPI starts many ranks (more than 32 a node) from threads that it may end.
    So it is asked only where the main thread did, and everywhere a thread of ours looks once a second.
    """
    if size() == 1:
        return
    launcher = os.getppid()
    if _is_nobody(launcher):
        os.kill(os.getpid(), signal.SIGKILL)
    if _started_by_main_thread(launcher):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    end_with(launcher)


def _is_nobody(parent: int) -> bool:
    """Whether the parent only takes in orphans: the launcher was gone already. In a container it may itself be process 1."""
    try:
        name = Path(f"/proc/{parent}/comm").read_text().strip()
    except OSError:
        return False
    return name == "systemd" or (parent == 1 and not any(part in name for part in _LAUNCHERS))


def _started_by_main_thread(parent: int) -> bool:
    """Whether Linux says so; False on other systems."""
    try:
        return str(os.getpid()) in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return False


def _end(message: str, status: int) -> NoReturn:
    """Tell why and leave: quietly where all ranks do, else with MPI's Abort, which ends those that go on."""
    sys.stdout.flush()
    if message and rank() == 0:
        print(message, file=sys.stderr, flush=True)
    together = size() > 1 and _all_are_ending()
    if message and rank() != 0 and not together:
        print(message, file=sys.stderr, flush=True)
    if size() > 1 and "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        if not together:
            MPI.COMM_WORLD.Abort(status)
        threading.Timer(_FINALIZE_SECONDS, os._exit, [status]).start()
        MPI.Finalize()
    os._exit(status)


def _all_are_ending() -> bool:
    """Whether every rank comes here within a moment; False where the command ended before it asked for the world."""
    deadline = time.monotonic() + _GRACE_SECONDS
    if not _farewell.cache_info().currsize:
        if rank() != 0:
            time.sleep(_GRACE_SECONDS)
        return False
    arrived = _farewell().Ibarrier()
    while not (together := arrived.Test()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(together)
