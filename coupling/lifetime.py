"""Processes that must not outlive the one that started them."""

import os
import signal
import threading
import time

WATCH_SECONDS = 1.0


def end_with(parent: int) -> None:
    """Have this process killed within a second once `parent`, the number of the process that started it, is gone."""
    threading.Thread(target=_watch, args=(parent,), name="watch of the parent", daemon=True).start()


def _watch(parent: int) -> None:
    """End this process when it has another parent."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
