"""Design search on a problem whose front is known, resumed after a kill; pictures of a sweep."""

import json
from pathlib import Path

import numpy as np
import pytest
import sweep_cases

from coupling.errors import RunFailure, UserError
from multiscale.sweeps import driver, search
from multiscale.sweeps.display import Display
from multiscale.sweeps.engines import JobState
from multiscale.sweeps.ledger import Status, Store
from multiscale.sweeps.settings import load_sweep

pytest.importorskip("optuna", reason="needs optuna")

SPACE = """title = "Deb"
{}
[[variable]]
name = "x"
key = "geometry.interlayer.thickness"
kind = "sobol"
from = "100 nm"
to = "1000 nm"

[[variable]]
name = "y"
key = "conditions.stack_pressure"
kind = "sobol"
from = "0 MPa"
to = "5 MPa"

[sampling]
count = 4

[run]
command = ["not-run-in-this-test"]

[search]
trials = {}
population = 20
{}
[[search.objective]]
of = "{}"
goal = "minimize"
[[search.objective]]
of = "focusing_factor"
goal = "minimize"
"""
"""Deb's problem: minimise f1 = x and f2 = (1 + y)/x for x in 0.1 … 1 and y in 0 … 5; its front is y = 0, f1 f2 = 1."""


class Formula:
    """An engine that solves designs by formula, in this process."""

    style = "scan"

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.solved = most, 0

    def submit(self, job):
        listed = Path(job.words[job.words.index("--list") + 1])
        store = Store(listed.parent.parent)
        for row in json.loads(listed.read_text()):
            if store.status(row["design"]).is_over:
                continue
            if self.solved >= self.most:
                raise KeyboardInterrupt
            x, y = (float(str(row["values"][name]).split()[0]) for name in "xy")
            f1 = x / 1000
            sweep_cases.finish(store, row["design"], Status(state="done", answers={"asr": f1, "focusing_factor": (1 + y) / f1}))
            self.solved += 1
        return job.name

    def poll(self, handle):
        return JobState("ended")

    def cancel(self, handle):
        """Nothing runs."""

    def close(self):
        """Nothing runs."""


def made(folder: Path, trials: int, first: str = "asr", more: str = "", head: str = "") -> search.Search:
    case = sweep_cases.write(folder, SPACE.format(head, trials, more, first))
    return search.Search(load_sweep(case), folder / "results" / "sweep")


def test_the_front_of_a_known_problem_is_found(tmp_path):
    at_work = made(tmp_path, 240)
    at_work.run(Formula, 2, 1, Display())
    found = at_work.found()
    f1, f2 = np.array([list(row["objectives"].values()) for row in found.front]).T
    assert found.objectives == ("asr (ohm cm^2)", "focusing_factor")
    assert np.all(f1 * f2 >= 1 - 1e-9)
    assert np.median(f1 * f2) < 1.1  # the exact front is 1
    order = np.argsort(f1)
    area = float(np.sum(np.diff(np.append(f1[order], 1.0)) * (10.0 - np.minimum(f2[order], 10.0))))
    exact = 10.0 * 0.9 - np.log(10.0)  # of the box up to f1 = 1, f2 = 10
    assert 0.9 * exact < area < exact
    assert len(found.front) >= 8


def test_a_killed_search_goes_on_without_solving_anything_twice(tmp_path):
    first = Formula(most=30)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, 60).run(lambda: first, 2, 1, Display())
    second = Formula()
    at_work = made(tmp_path, 60)
    at_work.run(lambda: second, 2, 1, Display())
    assert len(at_work.found().trials) == 60
    designs = {row["design"] for row in at_work.found().trials}  # two trials may ask for the same design
    assert first.solved + second.solved == len(designs) > 40
    third = Formula()
    made(tmp_path, 60).run(lambda: third, 2, 1, Display())
    assert third.solved == 0


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_limits_and_constraints_hold_on_the_front(tmp_path, sampler):
    more = f'sampler = "{sampler}"\nlimits = ["focusing_factor < 5"]\n'
    at_work = made(tmp_path, 40, more=more, head="constraints = [\"x > '150 nm'\"]\n")
    at_work.run(Formula, 2, 1, Display())
    found = at_work.found()
    assert found.front
    for row in found.front:
        assert row["objectives"]["focusing_factor"] < 5
    assert all(float(row["values"]["x"].split()[0]) > 150 for row in found.trials)
    assert len(found.trials) == 40


def test_a_variable_can_be_an_objective(tmp_path):
    at_work = made(tmp_path, 20, first="x")
    at_work.run(Formula, 2, 1, Display())
    found = at_work.found()
    assert found.objectives[0] == "x (nm)"
    for row in found.trials:
        assert row["objectives"]["x (nm)"] == pytest.approx(float(row["values"]["x"].split()[0]))


def test_constraints_that_forbid_everything_end_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "FORBIDDEN_IN_A_ROW", 10)
    at_work = made(tmp_path, 20, head="constraints = [\"x > '1 m'\"]\n")
    with pytest.raises(RunFailure, match="Loosen the constraints"):
        at_work.run(Formula, 2, 1, Display())


def test_a_sweep_without_a_search_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no \[search\] table"):
        search.Search(load_sweep(sweep_cases.fake(tmp_path, 3)), tmp_path / "store")


def test_pictures_of_a_sweep_are_drawn(tmp_path):
    from multiscale.reporting.figures import write_figure
    from multiscale.sweeps import pictures, ranking, sensitivity

    case = sweep_cases.write(tmp_path, SPACE.format("", 20, "", "asr").replace("count = 4", "count = 32"))
    prepared = driver.prepare(load_sweep(case), tmp_path / "store")
    with pytest.raises(UserError, match="no design with a positive"):
        pictures.draw_all(prepared, tmp_path)
    for k, name in enumerate(prepared.names):
        value = 1.0 + k
        answers = {"ccd": value, "ccd_low": value / 2, "ccd_high": 2 * value, "asr": value}
        sweep_cases.finish(prepared.store, name, Status(state="done", answers=answers))
    assert [path.name for path in pictures.draw_all(prepared, tmp_path)] == ["effects.png", "map.png"]
    write_figure(pictures.indices(sensitivity.of_sweep(prepared)), tmp_path / "indices.png")
    logs = np.linspace(0.0, 1.0, 50)
    choices = {name: [[ranking.Evidence(logs + lift, 0.2, 0.1)]] for name, lift in (("A", 0.3), ("B", 0.0), ("C", -0.2))}
    write_figure(pictures.ranking(ranking.rank_evidence(choices), "layer"), tmp_path / "ranking.png")
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000
