"""A program in a process of its own that answers requests (LAMMPS, SevenNet): both ends of the pipe between it and us.

A message is a line of JSON and raw float64 arrays. The process ends when its standard input does, thus also when we are killed;
the Ctrl-C of a terminal does not reach it, so that no request is cut off that its caller would take for a failed one.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

Message = tuple[dict[str, Any], list[np.ndarray]]
"""Plain values under their names, and arrays."""


class WorkerEnded(Exception):
    """The process ended by itself.

    Attributes:
        status: exit status, below zero the signal that killed it. told: last line of its standard error, may be empty.
    """

    def __init__(self, status: int, told: str) -> None:
        """Keep both."""
        super().__init__(f"status {status}: {told}")
        self.status, self.told = status, told


class Worker:
    """The process: started here, ended with this object.

    Attributes:
        ready: whether it may be asked: not while an answer is due, and never again where one was cut off (a later request would
            get it) or the process ended.
    """

    def __init__(self, script: str | Path, environment: Mapping[str, str]) -> None:
        """Start `script`, a Python file that calls `serve`; its greeting is for `hear`."""
        self._folder = tempfile.TemporaryDirectory(prefix="multiscale-worker-")
        self._errors = (Path(self._folder.name) / "stderr").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)], env=dict(environment), cwd=self._folder.name, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors, self._folder)
        self.ready = True

    def ask(self, request: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> Message:
        """Send a request and wait for its answer; whatever cuts that off (an interrupt) ends the process. Raises WorkerEnded."""
        self.ready = False
        try:
            with contextlib.suppress(BrokenPipeError):
                assert self._process.stdin is not None
                send(self._process.stdin, request, arrays)
            message = self.hear()
        except BaseException:
            self._process.kill()
            self._finalizer()
            raise
        self.ready = True
        return message

    def hear(self) -> Message:
        """Wait for the next message; "error" in its header is why there is no answer. Raises WorkerEnded."""
        assert self._process.stdout is not None
        try:
            return receive(self._process.stdout)
        except (EOFError, ValueError):
            status = self._process.wait()
            self._errors.seek(0)
            told = self._errors.read().decode(errors="replace").strip().splitlines()
            raise WorkerEnded(status, told[-1] if told else "") from None


def _end(process: subprocess.Popen[bytes], errors: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    """Close the pipe, on which the process ends; kill it where it does not."""
    for stream in filter(None, (process.stdin, process.stdout, errors)):
        with contextlib.suppress(OSError):
            stream.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    folder.cleanup()


def send(stream: IO[bytes], header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write one message: the header with the shapes of the arrays, then the arrays."""
    stream.write(json.dumps({**header, "shapes": [np.shape(array) for array in arrays]}).encode() + b"\n")
    for array in arrays:
        stream.write(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Read one message. Raises EOFError when the other side is gone."""
    line = stream.readline()
    if not line:
        raise EOFError
    header = json.loads(line)
    arrays = []
    for shape in header.pop("shapes"):
        data = stream.read(8 * int(np.prod(shape)))
        arrays.append(np.frombuffer(data).reshape(shape))
    return header, arrays


def serve(start: Callable[[], tuple[dict[str, Any], Callable[[dict[str, Any], list[np.ndarray]], Message]]]) -> None:
    """In the process: answer requests until standard input ends; whatever the program itself prints goes to standard error.

    Args:
        start: starts the program; returns the greeting's header and what answers one request. What it raises is told.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        greeting, answer = start()
    except Exception as error:  # told to the parent, which explains it
        send(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    send(answers, greeting)
    while True:
        try:
            request, arrays = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            header, results = answer(request, arrays)
        except Exception as error:  # programs raise anything
            header, results = {"error": str(error) or type(error).__name__}, []
        send(answers, header, results)
