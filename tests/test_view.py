"""`multiscale view` without a browser: what the page is told, who is answered, what is refused, how it ends."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from launch import ROOT
from sweep_cases import write
from view_store import SWEEP, make, say

from coupling.errors import UserError
from multiscale.sweeps import driver, kept_table
from multiscale.sweeps.ledger import Store
from multiscale.sweeps.settings import load_sweep
from multiscale.view.places import find
from multiscale.view.rows import INTERRUPTED, RunRows, SweepRows

for package in ("starlette", "uvicorn", "plotly"):
    pytest.importorskip(package, reason=f"no {package} here (pip install -e .[view])")
from multiscale.view import server  # noqa: E402

EXPERIMENTS = ROOT / "cases" / "_experiments" / "ccd.csv"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return make(tmp_path_factory.mktemp("view") / "case")


@contextlib.contextmanager
def served(case: Path):
    """The address at which a case is served."""
    import uvicorn

    places, many = find(case)
    listening = server.listen(0)
    app = server.application(server.Viewer(places, case if many else None, EXPERIMENTS))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://{server.HOST}:{listening.getsockname()[1]}"
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(sweep):
    with served(sweep[0]) as found:
        yield found


def get(address: str, path: str = "/", **headers: str) -> tuple[int, str, dict]:
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_rows_are_told_once_then_what_has_changed(sweep, monkeypatch):
    case, store, names = sweep
    monkeypatch.setattr("multiscale.view.rows.PACE", (0.0, 0.0))
    rows = SweepRows(case, store.folder)
    whole = rows.told("")
    columns = [column["name"] for column in whole["columns"]]
    cells = {c["name"]: c.get("cells", [c.get("all")] * whole["rows"]) for c in whole["columns"]}
    assert whole["counts"] == {"done": 5, "failed": 1, "running": 0, INTERRUPTED: 1, "waiting": 1}  # nobody holds the seventh
    assert cells["thickness (nm)"] == [10.0, 10.0, 20.0, 20.0, 40.0, 40.0, 80.0, 80.0]
    assert cells["ccd (mA/cm^2)"][3] == 3.5
    assert (whole["x"], whole["y"]) == ("thickness (nm)", "ccd (mA/cm^2)")
    assert {c["name"] for c in whole["columns"] if c["variable"]} == {"thickness (nm)", "depth (um)"}
    assert rows.told(whole["version"])["changed"] == []
    say(store, names[7], "done", 9.0)
    fresh = rows.told(whole["version"])
    assert [place for place, _ in fresh["changed"]] == [7]
    assert fresh["changed"][0][1][columns.index("ccd (mA/cm^2)")] == 9.0
    (store.design(names[7]) / "status.json").unlink()
    with store.claim(names[6]):  # a worker holds it: then it runs
        assert SweepRows(case, store.folder).told("")["counts"]["running"] == 1


def test_a_changed_sweep_is_read_again_and_a_wrong_one_is_told(tmp_path, monkeypatch):
    case, store, _ = make(tmp_path / "case")
    monkeypatch.setattr("multiscale.view.rows.PACE", (0.0, 0.0))
    rows = SweepRows(case, store.folder)
    version = rows.told("")["version"]
    (case / "sweep.toml").write_text(SWEEP.replace("thickness\"", "layer\"", 1), encoding="utf-8")
    again = rows.told(version)
    assert again["x"] == "layer (nm)"
    (case / "sweep.toml").write_text("title = 3", encoding="utf-8")
    broken = rows.told(again["version"])
    assert "sweep.toml" in broken["problem"]
    assert broken["changed"] == []


def test_a_finished_sweep_is_read_from_one_file_while_it_holds(tmp_path, monkeypatch):
    case, store, names = make(tmp_path / "case")
    monkeypatch.setattr("multiscale.view.rows.PACE", (0.0, 0.0))

    def whole() -> dict:
        return {key: value for key, value in SweepRows(case, store.folder).told("").items() if key != "version"}

    assert not kept_table.keep(driver.look_at(load_sweep(case), store.folder))  # two designs are not over
    for name in names[6:]:
        say(store, name, "done", 9.0)
    before = whole()
    prepared = driver.look_at(load_sweep(case), store.folder)
    assert not kept_table.keep(dataclasses.replace(prepared, rows=prepared.rows[:5]))  # --first 5
    assert kept_table.keep(prepared)
    with monkeypatch.context() as blind:
        blind.setattr(Store, "status", lambda *_: pytest.fail("a status was read"))
        assert whole() == before
        rows = SweepRows(case, store.folder)
        version = rows.told("")["version"]
        assert rows.told(version)["changed"] == []
    assert rows.design(names[5])[2].reason == "it cracked <i>early</i>"
    say(store, names[5], "done", 7.0)  # the failed design was tried again
    assert rows.told(version)["counts"] == before["counts"] | {"done": 8, "failed": 0}
    assert kept_table.read(case, store.folder) is None
    assert kept_table.keep(prepared)
    summary = store.design(names[2]) / "results" / "summary.json"
    text = summary.read_text(encoding="utf-8")
    summary.write_text(text[:30], encoding="utf-8")  # results that are halved or gone are no longer shown as done
    assert kept_table.read(case, store.folder) is None
    assert SweepRows(case, store.folder).told("")["counts"]["done"] == 7
    summary.unlink()
    assert not kept_table.keep(prepared)
    summary.write_text(text, encoding="utf-8")
    assert kept_table.keep(prepared)
    (case / "sweep.toml").write_text((case / "sweep.toml").read_text() + "# a remark\n", encoding="utf-8")
    assert kept_table.read(case, store.folder) is None
    assert kept_table.keep(prepared)
    (store.folder / kept_table.NAME).write_text("{", encoding="utf-8")
    assert kept_table.read(case, store.folder) is None


def test_only_this_machine_under_its_own_name_is_answered(address):
    assert address.startswith("http://127.0.0.1:")
    assert get(address, "/data", Host="evil.example")[0] == 400
    status, _, headers = get(address)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not {name for name in headers if name.lower().startswith("access-control")}


ABSENT = (
    "/case/other/", "/case/case/design/0123", "/case/case/design/..%2f..%2fcase.toml", "/static/x.py", "/static/..%2f..%2fcli.py",
    "/data",
)  # fmt: skip


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_not_there_is_not_given(address, path):
    assert get(address, path)[0] == 404


def test_pages_of_a_design_escape_its_texts_and_write_nothing(sweep, address):
    _, store, names = sweep
    before = sorted(store.folder.rglob("*"))
    page = get(address, f"/case/case/design/{names[0]}")[1]
    assert "two &lt;u&gt;lines" in page
    assert f"multiscale run {store.design(names[0])}" in page
    assert "it cracked &lt;i&gt;early" in get(address, f"/case/case/design/{names[5]}")[1]
    status, report, headers = get(address, f"/case/case/design/{names[0]}/report")
    assert (status, "Against experiments" in report) == (200, True)
    assert "'self'" not in headers["content-security-policy"].split("script-src")[1].split(";")[0]
    assert get(address, f"/case/case/design/{names[5]}/report")[0] == 409
    assert "<h1 id=\"title\">made up &lt;b&gt;here&lt;/b&gt; from DATA<" in get(address)[1]
    assert sorted(store.folder.rglob("*")) == before


def test_a_folder_of_cases(tmp_path, sweep):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "case.toml").write_text("[conduction]\n", encoding="utf-8")
    write(tmp_path / "two", SWEEP)
    results = tmp_path / "two" / "results"
    results.mkdir()
    (results / "summary.json").write_text(json.dumps({"ccd": {"value": 2.0, "low": 1.0, "high": 3.0}}), encoding="utf-8")
    places, many = find(tmp_path)
    assert many
    rows = RunRows(tmp_path, {p.name: p.folder for p in places}, {"one": "conduction", "two": "critical current"},
                   {p.name: p.results for p in places})  # fmt: skip
    told = rows.told("")
    assert told["counts"] == {"done": 1, "not run": 1, "damaged": 0}
    assert [column["cells"][1] for column in told["columns"][4:7]] == [2.0, 1.0, 3.0]
    (results / "summary.json").write_text("{", encoding="utf-8")
    assert rows.told(told["version"])["counts"]["damaged"] == 1


def test_what_cannot_be_shown_is_refused_with_its_mend(tmp_path, sweep):
    case, store, _ = sweep
    refused = {}
    (tmp_path / "empty").mkdir()
    refused[tmp_path / "empty"] = "is empty; give a case folder"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    refused[tmp_path / "other"] = "holds neither a case.toml"
    refused[tmp_path / "none"] = "no such case folder"
    refused[write(tmp_path / "begun", SWEEP)] = "nothing has been computed yet; `multiscale run"
    (tmp_path / "stray" / "designs").mkdir(parents=True)
    refused[tmp_path / "stray"] = "its case is not above it; `multiscale view CASE --out"
    refused[store.design("x").parent.parent.parent.parent / "case.toml"] = "give the case folder, not a file"
    refused[case / "results"] = "part of a case; give the case"
    for path, told in refused.items():
        with pytest.raises(UserError, match=told):
            find(path)
    with pytest.raises(UserError, match="no such store"):
        find(case, tmp_path / "away")
    assert find(store.folder)[0][0].folder == case.resolve()
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        with pytest.raises(UserError, match="--port 0 for any free one"):
            server.listen(taken.getsockname()[1])


def test_the_command_says_where_it_is_and_ends_with_ctrl_c(sweep):
    words = [sys.executable, "-m", "multiscale", "view", str(sweep[0]), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ}) as run:
        assert run.stdout is not None
        line = run.stdout.readline()
        assert "Ctrl-C ends it" in line, run.communicate()
        assert get(line.split()[0].rstrip("/"))[0] == 200
        run.send_signal(signal.SIGINT)
        said, wrong = run.communicate(timeout=60)
    assert (run.returncode, said, wrong) == (0, "closed\n", "")
