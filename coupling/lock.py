"""One run at a time in a folder: a lock that every rank of a run holds, so that it is free only when none of them is left."""

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from coupling.errors import UserError


@contextlib.contextmanager
def alone(path: Path, comm: Any = None) -> Iterator[None]:
    """Hold the lock file `path` on every rank until the block ends, or the process does, however it ends.

    Rank 0 takes it alone, which shows that no other run is there; then all ranks share it.

    Args:
        path: lock file in the folder to hold; both are made.
        comm: mpi4py communicator, None for a single process.

    Raises:
        UserError: another run is at work in the folder, or it cannot be written (on every rank alike).
    """
    leads = comm is None or comm.rank == 0
    stream, told = _take(path) if leads else (None, None)
    told = comm.bcast(told) if comm is not None else told
    if told:
        raise UserError(told)
    with stream or path.open("a+") as held:
        if not leads:
            fcntl.flock(held, fcntl.LOCK_SH)
        yield


def _take(path: Path) -> tuple[IO[str] | None, str | None]:
    """The lock file, held and with this process named in it, or what stands against it."""
    mend = "give this run a folder of its own, for example with --out DIR"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        return None, f"{path.parent}: cannot be written ({error.strerror}); {mend}"
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {platform.node()}")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with stream:
            stream.seek(0)
            holder = stream.read(200).strip() or "its process is not named"
        return None, f"{path.parent}: another run is at work there ({holder}); wait for it, or {mend}"
    except OSError as error:
        stream.close()
        return None, f"{path.parent}: cannot be locked ({error.strerror}); {mend}"
    return stream, None
