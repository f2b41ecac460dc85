"""A case that has one run: alone in its results folder, and not repeated where nothing has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coupling.lock import alone
from multiscale.case_folder import CaseFolder
from multiscale.pipeline import read_json
from multiscale.progress import Narrator


def run_once(
    case: CaseFolder[Any], key: str, results: Path, comm: Any, stage: str, go: Callable[[Narrator], dict[str, Any]]
) -> dict[str, Any]:
    """The summary of a case on every rank: that of its results where they carry `key` as hashes.run, else what `go` gives.

    Raises:
        UserError: the folder is in use. Whatever `go` raises.
    """
    narrator = Narrator(comm.rank == 0)
    with alone(results / ".lock", comm):
        done = comm.bcast(read_json(results / "summary.json", {}) if comm.rank == 0 else None)
        if comm.rank == 0:
            print(f"{case.name} · {case.settings.title} · {comm.size} rank{'s' * (comm.size > 1)} · {results}", flush=True)
        if done.get("hashes", {}).get("run") == key:
            narrator.say(stage, "there already; nothing has changed")
            return dict(done)
        return go(narrator)
