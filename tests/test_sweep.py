"""Sweeps: designs keep their identities, the store computes only what is missing, and no kill loses or doubles a design."""

import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import sweep_cases
import tiny_case
from launch import ROOT, multiscale

from coupling.errors import RunFailure, UserError
from multiscale.case import load_case
from multiscale.sweeps import driver, ledger, table
from multiscale.sweeps.designs import Point, is_allowed, points
from multiscale.sweeps.display import Display, Tally, seconds_left
from multiscale.sweeps.engines import LocalPool, worker_words
from multiscale.sweeps.identity import read_identity
from multiscale.sweeps.ledger import Status, Store
from multiscale.sweeps.settings import load_sweep

THICKNESS = '[[variable]]\nname = "t"\nkey = "geometry.interlayer.thickness"\nkind = "{}"\nfrom = "10 nm"\nto = "1 um"\n'


def sweep_of(folder, text):
    return load_sweep(sweep_cases.write(folder, 'title = "x"\n' + text))


def sweep_on(case, folder, text):
    shutil.copytree(sweep_cases.CASE.parent.parent / case, folder, ignore=shutil.ignore_patterns("results", "sweep.toml"))
    (folder / "sweep.toml").write_text('title = "x"\n' + text, encoding="utf-8")
    return load_sweep(folder)


def run_here(folder, **more):
    prepared = driver.prepare(load_sweep(folder), folder / "results" / "sweep")
    tally = driver.complete(prepared, LocalPool(), 2, 1, **more)
    table.write(table.build(prepared), prepared.store.folder)
    return prepared, tally


# --- designs


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_more_draws_keep_the_earlier_ones(tmp_path, kind):
    few, many = (
        points(sweep_of(tmp_path / str(n), THICKNESS.format(kind) + f"[sampling]\ncount = {n}\nseed = 3\n")) for n in (5, 21)
    )
    assert [p.values for p in many[:5]] == [p.values for p in few]
    assert len({p.values["t"] for p in many}) == 21


def test_another_block_of_a_latin_hypercube_keeps_the_first(tmp_path):
    text = THICKNESS.format("latin-hypercube") + "[sampling]\ncount = "
    one, two = (points(sweep_of(tmp_path / count[:2], text + f"{count}\n")) for count in ("8", "[8, 8]"))
    assert [p.values for p in two[:8]] == [p.values for p in one]
    for block in (two[:8], two[8:]):  # one point in each eighth of the range
        shares = sorted((float(str(p.values["t"]).split()[0]) - 10.0) / 990.0 for p in block)
        assert [int(8 * share) for share in shares] == list(range(8))


def test_log_spacing_has_equal_ratios_and_ends_as_written(tmp_path):
    sweep = sweep_of(tmp_path, THICKNESS.format("range") + 'steps = 5\nspacing = "log"\n')
    values = [p.values["t"] for p in points(sweep)]
    assert (values[0], values[-1]) == ("10 nm", "1 um")
    numbers = np.array([table.cell_of(sweep.axes[0], value) for value in values])
    assert np.diff(np.log(numbers)) == pytest.approx(np.log(100) / 4)


def test_constraints_compare_quantities_of_variables_and_of_the_case(tmp_path):
    text = 'constraints = ["t < 0.1 * geometry.flaw.depth"]\n' + THICKNESS.format("range") + "steps = 12\n"
    assert [p.values["t"] for p in points(sweep_of(tmp_path, text))] == ["10 nm"]  # the flaw is 1 um deep, 100 nm are not below
    text = "constraints = [\"t < '20 nm' or t >= '0.5 um'\"]\n" + THICKNESS.format("sobol")
    text += "[sampling]\ncount = 2\n"
    sweep = sweep_of(tmp_path, text)
    values = {"19 nm": True, "20 nm": False, "499 nm": False, "500 nm": True, "0.5 um": True}
    assert {value: is_allowed(sweep, Point({"t": value})) for value in values} == values


def test_every_material_that_a_case_names_makes_a_design(tmp_path):
    text = 'fidelity = "best-values"\n[[variable]]\nname = "R"\n'
    text += 'key = "materials.PPC-LLZO-interface.interfacial_resistance"\nkind = "list"\nvalues = ["1 ohm cm^2", "9 ohm cm^2"]\n'
    one, other = driver.plan(sweep_on("llzo-ppc", tmp_path / "case", text))
    assert "PPC-LLZO-interface" in one.materials
    assert one.materials != other.materials


def test_a_sweep_of_a_case_with_other_mechanisms_is_refused(tmp_path):
    text = '[[variable]]\nkey = "geometry.interlayer.thickness"\nkind = "list"\nvalues = ["15 nm", "20 nm"]\n'
    with pytest.raises(UserError, match=r"computes initiation alone, and .* asks for nucleation, voiding too"):
        driver.plan(sweep_on("lpscl-interphase", tmp_path / "case", text))


def test_options_set_and_remove_several_keys(tmp_path):
    sweep = sweep_of(tmp_path, """
[[variable]]
name = "layer"
kind = "options"
[[variable.option]]
name = "bare"
remove = ["geometry.interlayer"]
[[variable.option]]
name = "thick"
set = { "geometry.interlayer.thickness" = "80 nm", "geometry.interlayer.lines_flaw" = false }
""")  # fmt: skip
    bare, thick = driver.plan(sweep)
    assert "interlayer" not in bare.case["geometry"]
    assert "Li2S" not in bare.materials
    assert thick.case["geometry"]["interlayer"] == {"material": "Li6PS5Cl-interphase", "thickness": "80 nm", "lines_flaw": False}


def test_a_design_is_a_case_of_its_own_with_the_properties_that_were_set(tmp_path):
    folder = sweep_cases.write(tmp_path / "case", (ROOT / "cases" / "li-lpscl" / "sweep.toml").read_text(encoding="utf-8"))
    prepared = driver.prepare(load_sweep(folder), tmp_path / "store")
    assert len(prepared.names) == len(prepared.rows) == 45
    place = tmp_path / "elsewhere"
    prepared.store.design(prepared.names[-1]).rename(place)  # it needs nothing around it
    from multiscale.parameters import nominal, resolve

    case = load_case(place)
    values = {key: float(value[0]) for key, value in nominal(resolve(case)).items()}
    assert case.settings.geometry.interlayer.thickness == pytest.approx(1e-7)
    assert values["Li6PS5Cl-interphase.ionic_conductivity"] == pytest.approx(1e-2)
    assert values["Li6PS5Cl-interphase.youngs_modulus"] == pytest.approx(80e9)
    assert read_identity(place) == prepared.names[-1]


def test_identity_follows_what_decides_the_answer_and_nothing_else(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 3)
    names = [made.hash for made in driver.plan(load_sweep(folder))]
    text = (folder / "case.toml").read_text(encoding="utf-8")
    (folder / "case.toml").write_text("# a remark\n" + text.replace("Lithium on poly", "Li on poly"), encoding="utf-8")
    assert [made.hash for made in driver.plan(load_sweep(folder))] == names
    for old, new in (('stack_pressure = "5 MPa"', 'stack_pressure = "6 MPa"'), ("samples         = 4000", "samples = 4001")):
        (folder / "case.toml").write_text(text.replace(old, new), encoding="utf-8")
        assert not set(names) & {made.hash for made in driver.plan(load_sweep(folder))}
    (folder / "case.toml").write_text(text, encoding="utf-8")
    (folder / "materials").mkdir()
    lithium = (ROOT / "cases" / "_materials" / "Li.toml").read_text(encoding="utf-8")
    (folder / "materials" / "Li.toml").write_text(lithium, encoding="utf-8")
    assert [made.hash for made in driver.plan(load_sweep(folder))] == names
    (folder / "materials" / "Li.toml").write_text(lithium.replace('grade = "B"', 'grade = "A"', 1), encoding="utf-8")
    assert not set(names) & {made.hash for made in driver.plan(load_sweep(folder))}


def test_replicas_take_microstructures_of_their_own(tmp_path):
    made = driver.plan(sweep_of(tmp_path, "replicas = 3\n" + THICKNESS.format("range") + "steps = 2\n"))
    assert [one.case["geometry"]["seed"] for one in made] == [1, 5, 9] * 2  # the case draws 4 microstructures itself


# --- running


def test_only_what_is_missing_is_computed_and_failures_are_told(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 4)
    prepared, tally = run_here(folder)
    assert (tally.done, tally.failed) == (3, 1)
    found = sweep_cases.rows(folder)
    assert [row["state"] for row in found] == ["done", "done", "done", "failed"]
    assert "thirteen is refused" in found[3]["reason"]
    assert [float(row["ccd (mA/cm^2)"]) for row in found[:3]] == [10 / 10, 10 / 11, 10 / 12]
    assert [row["thickness (nm)"] for row in found] == ["10.0", "11.0", "12.0", "13.0"]
    sweep_cases.fake(tmp_path / "case", 6)  # extended
    prepared, tally = run_here(folder)
    assert (tally.designs, tally.done, tally.failed, tally.before) == (6, 5, 1, 4)
    assert sweep_cases.runs(folder) == [1] * 6
    ledger.forgive(prepared.store, prepared.names[3])
    run_here(folder)
    assert sorted(sweep_cases.runs(folder)) == [1] * 5 + [2]


def test_a_finished_design_whose_results_are_gone_or_halved_is_computed_again(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 5)
    prepared, _ = run_here(folder)
    one, two, three, _, untouched = (prepared.store.design(name) / "results" / "summary.json" for name in prepared.names)
    shutil.rmtree(one.parent)
    two.write_text(two.read_text()[:20])
    (beside := two.with_name("distribution.json")).write_text("{")  # halves of two runs do not mix
    three.unlink()
    untouched.write_text(untouched.read_text())  # written again as it was: it is read, and it is whole
    reasons = [prepared.store.status(name).reason or "" for name in prepared.names]
    assert [prepared.store.status(name).state for name in prepared.names] == ["waiting"] * 3 + ["failed", "done"]
    assert ["gone" in text for text in reasons[:3]] == [True, False, True]
    assert "summary.json is damaged" in reasons[1]
    told = multiscale("sweep", "status", folder)
    assert "5 designs: 1 done, 1 failed, 0 running, 3 waiting" in told.stdout
    assert told.stdout.count("waits to be computed again: was done, but its result file summary.json") == 3
    assert [row["state"] for row in table.build(prepared).rows] == ["waiting"] * 3 + ["failed", "done"]
    _, tally = run_here(folder)
    assert (tally.done, tally.failed, tally.before) == (4, 1, 2)
    assert not beside.exists()
    runs = {name: len((prepared.store.design(name) / "runs").read_text()) for name in prepared.names}
    assert list(runs.values()) == [2, 2, 2, 1, 1]
    status = prepared.store.design(prepared.names[0]) / "status.json"
    told = json.loads(status.read_text())
    del told["results"]  # of an earlier version, which left no sizes
    status.write_text(json.dumps(told))
    assert prepared.store.status(prepared.names[0]).state == "done"
    one.write_text("{")
    assert "damaged" in prepared.store.status(prepared.names[0]).reason
    one.unlink()
    assert "its results are gone" in prepared.store.status(prepared.names[0]).reason


def test_results_that_do_not_hold_are_no_results(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 2)
    script = folder / "fake.py"
    script.write_text(script.read_text().replace('"value": 10.0 / thickness', '"value": float("nan")'), encoding="utf-8")
    _, tally = run_here(folder)
    assert (tally.done, tally.failed) == (0, 2)
    assert "the results cannot be used" in sweep_cases.rows(folder)[0]["reason"]


def test_a_design_whose_files_were_changed_is_refused(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 2)
    prepared = driver.prepare(load_sweep(folder), folder / "results" / "sweep")
    case = prepared.store.design(prepared.names[0]) / "case.toml"
    case.write_text(case.read_text().replace("10 nm", "12 nm"), encoding="utf-8")
    driver.complete(prepared, LocalPool(), 1, 1)
    states = [prepared.store.status(name) for name in prepared.names]
    assert [status.state for status in states] == ["failed", "done"]
    assert "no longer this design" in states[0].reason


def test_a_design_that_kills_its_process_twice_has_failed_and_the_others_go_on(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 3)
    script = folder / "fake.py"
    told = script.read_text()
    script.write_text(told.replace("if thickness == 13.0", "if thickness == 11.0:\n    os.kill(os.getppid(), 9)\nif False"))
    prepared, tally = run_here(folder)
    assert (tally.done, tally.failed) == (2, 1)
    status = prepared.store.status(prepared.names[1])
    assert "its process died 2 times (signal SIGKILL)" in status.reason
    assert sorted(sweep_cases.runs(folder)) == [1, 1, 2]


def test_a_design_beyond_its_time_limit_has_failed(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 2)
    script = folder / "fake.py"
    told = script.read_text()
    script.write_text(told.replace("if thickness == 13.0", "if thickness == 11.0:\n    time.sleep(60)\nif False"))
    (folder / "sweep.toml").write_text((folder / "sweep.toml").read_text() + 'time_limit = "2 s"\n')
    begun = time.monotonic()
    prepared, tally = run_here(folder)
    assert (tally.done, tally.failed) == (1, 1)
    assert "time_limit = 2 s" in prepared.store.status(prepared.names[1]).reason
    assert time.monotonic() - begun < 40


def test_workers_that_cannot_start_end_the_sweep_with_their_words(tmp_path, monkeypatch):
    folder = sweep_cases.fake(tmp_path / "case", 2)
    monkeypatch.setattr(driver, "worker_words", lambda *_: (sys.executable, "-c", "raise SystemExit('no such thing')"))
    with pytest.raises(RunFailure, match="no such thing"):
        run_here(folder)


# --- the lock


def test_two_workers_never_run_one_design(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 6, pause=0.03)
    prepared = driver.prepare(load_sweep(folder), tmp_path / "store")
    commands = [worker_words(prepared.store.folder, prepared.listed, f"w{k}", 1) for k in range(4)]
    workers = [subprocess.Popen(words, cwd=ROOT) for words in commands]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert [prepared.store.status(name).is_over for name in prepared.names] == [True] * 6
    assert [len(path.read_text()) for path in (tmp_path / "store").glob("designs/*/runs")] == [1] * 6


def test_what_another_machine_touched_lately_is_left_alone(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 2)
    prepared = driver.prepare(load_sweep(folder), tmp_path / "store")
    name = prepared.names[0]
    prepared.store.say(name, Status(state="running", worker="far", host="another-machine"))
    beat = prepared.store.design(name) / "heartbeat"
    beat.touch()
    with prepared.store.claim(name) as free:
        assert not free
    os.utime(beat, (time.time() - 1000, time.time() - 1000))
    with prepared.store.claim(name) as free:
        assert free
        with prepared.store.claim(name) as again:
            assert not again


def test_a_worker_that_was_buried_by_mistake_loses_nothing(tmp_path):
    store = Store(tmp_path)
    store.design("a").mkdir(parents=True)
    store.say("a", Status(state="running", worker="w1"))
    assert ledger.bury(store, "a", "w2", "signal SIGKILL").state == "running"
    assert ledger.bury(store, "a", "w1", "signal SIGKILL").deaths == 1
    sweep_cases.finish(store, "a", Status(state="done", worker="w1"))
    assert ledger.bury(store, "a", "w1", "signal SIGKILL").state == "done"


def test_a_status_that_cannot_be_read_is_waiting(tmp_path):
    store = Store(tmp_path)
    store.design("a").mkdir(parents=True)
    for text in ("", "{", "[]", '{"state": "done"', "\x00"):
        (store.design("a") / "status.json").write_text(text)
        assert store.status("a").state == "waiting"


# --- kills


def test_a_driver_killed_at_random_moments_ends_at_the_same_table(tmp_path):
    """SIGKILL to the driver alone: its workers die with it, a design is begun at most once more per kill and slot.

    MULTISCALE_KILLS=20 kills as often as the product promises; each kill costs a start of seconds.
    """
    kills = int(os.environ.get("MULTISCALE_KILLS", "3"))
    designs = 2 * kills + 2
    plain, killed = (sweep_cases.fake(tmp_path / name, designs, pause=0.05) for name in ("plain", "killed"))
    (killed / "sweep.toml").write_text((plain / "sweep.toml").read_text())
    run_here(plain)
    gate = sweep_cases.hold_last(plain, designs)  # no driver ends before it is killed, however slow this process is
    rng = random.Random(7)
    for _ in range(kills):
        aim = min(sweep_cases.over(killed) + rng.randint(0, 2), designs - 1)
        process = sweep_cases.start(killed)
        sweep_cases.wait_until(lambda aim=aim: sweep_cases.over(killed) >= aim)
        time.sleep(rng.uniform(0.0, 0.3))
        sweep_cases.kill(process)
    gate.touch()
    done = sweep_cases.start(killed)
    assert done.wait(60) == 0
    assert sweep_cases.rows(killed) == sweep_cases.rows(plain)
    assert sum(sweep_cases.runs(killed)) <= designs + 2 * kills


def test_an_interrupted_sweep_says_so_and_leaves_nobody_at_work(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 4, pause=2.0)
    process = subprocess.Popen(
        sweep_cases.command(folder), stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    sweep_cases.wait_until(lambda: sweep_cases.runs(folder))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped; what was computed is kept" in said
    store = Store(folder / "results" / "sweep")
    names = [path.name for path in (folder / "results" / "sweep" / "designs").iterdir()]
    sweep_cases.wait_until(lambda: not any(store.is_held(name) for name in names), 10.0)


def test_two_drivers_at_once_share_the_work(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 10, pause=0.1)
    drivers = [sweep_cases.start(folder) for _ in range(2)]
    assert [one.wait(60) for one in drivers] == [0, 0]
    assert sweep_cases.runs(folder) == [1] * 10


# --- the real chain, the command line, the display


def test_a_real_design_runs_on_one_rank_and_on_two(tmp_path):
    folder = tiny_case.write(tmp_path / "tiny")
    text = THICKNESS.format("list").replace('from = "10 nm"\nto = "1 um"', 'values = ["60 nm"]')
    text = 'title = "x"\nfidelity = "screening"\n' + text
    (folder / "sweep.toml").write_text(text, encoding="utf-8")
    found = []
    for ranks in (1, 2):
        done = multiscale("sweep", folder, "--json", "--ranks", ranks, "--slots", 1, "--out", tmp_path / f"on-{ranks}")
        assert done.returncode == 0, done.stderr
        told, store = json.loads(done.stdout), tmp_path / f"on-{ranks}"
        assert told == {"designs": 1, "done": 1, "failed": 0, "table": str(store / "table.csv"), "ranking": []}
        (status,) = (json.loads(path.read_text()) for path in store.glob("designs/*/status.json"))
        found.append(status["answers"])
    assert found[0]["ccd_best_values"] > 0
    assert found[0]["ccd"] is None
    for name, value in found[0].items():
        assert found[1][name] == (pytest.approx(value, rel=1e-8) if isinstance(value, float) else value), name


def test_status_changes_nothing_and_counts(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 3)
    told = json.loads(multiscale("sweep", "status", folder, "--json").stdout)
    assert (told["designs"], told["waiting"], told["done"]) == (3, 3, 0)
    assert not (folder / "results").exists()


def test_a_design_left_by_a_killed_worker_is_told_as_waiting(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 3)
    prepared = driver.prepare(load_sweep(folder), folder / "results" / "sweep")
    prepared.store.say(prepared.names[0], Status(state="running", worker="gone", host=platform.node()))
    told = json.loads(multiscale("sweep", "status", folder, "--json").stdout)
    assert (told["waiting"], told["running"]) == (3, 0)
    with prepared.store.claim(prepared.names[0]):
        told = json.loads(multiscale("sweep", "status", folder, "--json").stdout)
    assert (told["waiting"], told["running"]) == (2, 1)


def test_a_list_is_read_again_only_while_all_it_follows_from_is_the_same(tmp_path):
    folder, store = sweep_cases.fake(tmp_path / "case", 3), tmp_path / "store"
    first = driver.prepare(load_sweep(folder), store)
    assert driver.look_at(load_sweep(folder), store).rows == first.rows
    assert driver.prepare(load_sweep(folder), store).listed == first.listed
    shutil.rmtree(first.store.design(first.names[0]))
    assert driver.prepare(load_sweep(folder), store).store.design(first.names[0]).is_dir()
    (folder / "materials").mkdir()
    lithium = (ROOT / "cases" / "_materials" / "Li.toml").read_text(encoding="utf-8")
    (folder / "materials" / "Li.toml").write_text(lithium.replace('grade = "B"', 'grade = "A"', 1), encoding="utf-8")
    assert not set(driver.look_at(load_sweep(folder), store).names) & set(first.names)


def test_a_case_of_another_kind_is_refused(tmp_path):
    folder = sweep_cases.fake(tmp_path / "case", 3)
    (folder / "case.toml").write_text("[transport]\nx = 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"case\.toml:1: transport: sweeps vary cases"):
        load_sweep(folder)


def test_a_command_of_the_sweep_needs_the_users_word(tmp_path):
    done = multiscale("sweep", "run", sweep_cases.fake(tmp_path / "case", 2))
    assert done.returncode == 2
    assert "--run-code" in done.stderr
    assert not (tmp_path / "case" / "results").exists()


def test_the_end_is_estimated_from_what_was_finished_now():
    assert seconds_left(Tally(100, done=60, before=50), 20.0) == pytest.approx(80.0)
    assert seconds_left(Tally(100, done=50, before=50), 20.0) is None
    words = Display().words(Tally(10, done=5, failed=1, running=2))
    assert words.startswith("2 running · 1 failed · about ")


def test_parquet_holds_what_the_csv_holds(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow.parquet")
    folder = sweep_cases.fake(tmp_path / "case", 3)
    run_here(folder)
    read = parquet.read_table(folder / "results" / "sweep" / "table.parquet").to_pylist()
    for written, told in zip(sweep_cases.rows(folder, ()), read, strict=True):
        assert {key: "" if value is None else str(value) for key, value in told.items()} == written


def test_a_folder_without_a_sweep_is_told(tmp_path):
    tiny_case.write(tmp_path)
    with pytest.raises(UserError, match=r"no sweep\.toml there"):
        load_sweep(tmp_path)


def test_a_worker_of_a_users_command_starts_without_heavy_libraries():
    heavy = "{'matplotlib', 'scipy.stats', 'petsc4py', 'mpi4py'}"
    code = f"import multiscale.sweeps.worker, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
