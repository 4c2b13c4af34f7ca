"""`tl runs`: what it finds, what it says of unfinished runs, and of files that are not what they
seem. Nothing is trained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hostile import DESCRIPTIONS
from test_cache import tl
from tl_cli.store import replacement, run_dir, runs
from tl_cli.store.run_dir import DONE, HEAD, INTERRUPTED, RunDir

GONE = {"host": os.uname().nodename, "pid": 2**22 - 1, "started": 1.7e9}
PLAN = {"strategy": "partial", "freeze_ratio": 0.49, "backbone": "efficientnet_lite0"}
METRICS = {
    "metrics": {"val": {"n": 20, "accuracy": 0.9}, "test": {"n": 1234, "accuracy": 0.8765}},
    "tune": {"kept": "solved again"},
    "seconds": {"total": 83.0},
}


def made(path: Path, state: str = DONE, data: str = "/my data/photos", **said: object) -> Path:
    """Write what `tl runs` reads of a run whose process is gone."""
    run = RunDir.create(path)
    run.write_text(run_dir.CONFIG, f"data: {json.dumps(data)}\nval: 0.2\n")
    run.write_json(run_dir.PLAN, PLAN)
    if state == DONE:
        run.write_json(run_dir.METRICS, METRICS)
    else:
        (path / run_dir.RESUME).mkdir()
        run.write_json(run_dir.REQUEST, {"config": {"data": data}, "folder": "/"})
    run.write_json(run_dir.STATUS, {"state": state, **GONE, **said})
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made(Path("runs/one"))
    made(Path("runs/deep er/two"), HEAD, started=1.71e9)
    made(Path("runs/three"), INTERRUPTED, started=1.72e9)
    return Path("runs")


def told(*arguments: object) -> list[dict]:
    done = tl("runs", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["runs"]


def test_each_run_has_a_row_the_oldest_first(folder):
    one, two, three = told()
    assert (one["run"], one["data"], one["strategy"]) == ("runs/one", "/my data/photos", "partial")
    assert (one["split"], one["n"], one["accuracy"], one["seconds"]) == ("test", 1234, 0.8765, 83)
    assert (one["date"], one["state"], one["resume"]) == (1.7e9, "done", None)
    assert (two["run"], two["state"], two["running"]) == ("runs/deep er/two", "head", False)
    assert two["resume"] == "tl train --resume 'runs/deep er/two'"
    assert (three["accuracy"], three["state"]) == (None, "interrupted")


def test_the_table_says_how_to_go_on(folder):
    done = tl("runs")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["run", "data", "plan", "accuracy", "images", "time", "date"]
    assert lines[1].split()[:7] == ["runs/one", "photos", "49", "%", "frozen", "87.6", "%"]
    assert "1,234 test  1 min 23 s" in lines[1]
    text = " ".join(done.stdout.split())
    command = "tl train --resume 'runs/deep er/two'"
    assert f"cut off, its first result is saved; go on with it: {command}" in text
    assert "interrupted; go on with it: tl train --resume runs/three" in done.stdout
    assert done.stdout.endswith("3 runs, 1 finished\nNext: tl evaluate runs/one\n")
    assert all(line == line.rstrip() for line in lines)


def test_two_runs_on_the_same_data_can_be_compared(folder):
    made(Path("runs/four"), started=1.73e9)
    assert tl("runs").stdout.endswith("side by side: tl compare runs/one runs/four\n")
    made(Path("runs/five"), data="others", started=1.74e9)
    assert tl("runs").stdout.endswith("Next: tl evaluate runs/five\n")


def test_another_folder_or_the_run_itself_can_be_given(folder):
    assert [each["run"] for each in told("runs/deep er")] == ["runs/deep er/two"]
    assert [each["run"] for each in told("runs/one")] == ["runs/one"]


def test_a_folder_without_runs_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tl("runs").stdout == "no runs below runs; to make one: tl train --data DIR\n"
    assert told() == []
    done = tl("runs", "nowhere")
    assert done.exit_code == 1
    assert "'nowhere' is not there" in done.stderr
    (tmp_path / "file").write_text("")
    assert "'file' is no folder" in tl("runs", "file").stderr


def test_a_run_that_is_being_trained_says_so(folder):
    (RunDir.create(folder / "now") / run_dir.RESUME).mkdir()  # by this process
    now = next(each for each in told() if each["run"] == "runs/now")
    assert now["running"]
    assert now["resume"] is None
    assert "training now" in tl("runs").stdout


def test_a_replacement_that_was_cut_off_is_told_at_the_run_that_it_was_to_replace(folder):
    new = made(folder / f".one.{replacement.NEW}-{GONE['pid']}", HEAD)
    [one] = [each for each in told() if each["run"] == "runs/one"]
    assert (one["state"], one["replaced"]) == ("done", True)
    assert one["resume"] == "tl train --resume runs/one"
    assert "the run that is to replace it was cut off" in " ".join(tl("runs").stdout.split())
    assert new.name not in tl("runs").stdout


def test_what_keeps_nothing_is_to_be_trained_anew(folder):
    (folder / "three" / run_dir.REQUEST).unlink()
    assert "interrupted; nothing is kept to go on with: train it anew" in tl("runs").stdout


def test_links_and_what_lies_in_runs_are_not_gone_into(folder):
    (folder / "again").symlink_to(folder.absolute())
    made(folder / "one" / "inner")
    assert len(told()) == 3


@pytest.mark.parametrize("name", [run_dir.STATUS, run_dir.PLAN, run_dir.METRICS, run_dir.CONFIG])
def test_damaged_files_cost_only_what_they_said(folder, name):
    for text in (*DESCRIPTIONS.values(), "\x00", "a: [", "&a [*a]", '{"state": {}}'):
        (folder / "one" / name).write_text(text, "utf-8", "surrogatepass")
        [one] = [each for each in runs.listed(folder) if each.run == "runs/one"]
        assert (one.accuracy is None) == (name == run_dir.METRICS)
        assert one.to_json()["run"] == "runs/one"
    assert tl("runs").exit_code == 0


@pytest.mark.parametrize("value", [float("nan"), 1e300, -1e300, 10**400, True, "x", None, []])
def test_figures_that_cannot_be_are_left_out(folder, value):
    figures = {"metrics": {"test": {"n": value, "accuracy": value}}, "seconds": {"total": value}}
    (folder / "one" / run_dir.METRICS).write_text(json.dumps(figures))
    (folder / "one" / run_dir.STATUS).write_text(json.dumps({"state": DONE, "started": value}))
    assert tl("runs").exit_code == 0
    assert len(told()) == 3


def test_names_that_a_terminal_would_obey_are_text(folder):
    made(folder / "[bold]\x1b[2J", data="\x1b]0;x\x07[red]")
    out = tl("runs").stdout
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "runs/[bold]\\x1b[2J" in out


def test_a_pipe_is_not_waited_for(folder):
    (folder / "one" / run_dir.METRICS).unlink()
    os.mkfifo(folder / "one" / run_dir.METRICS)
    assert told()[0]["accuracy"] is None
    (folder / "one" / run_dir.STATUS).unlink()
    os.mkfifo(folder / "one" / run_dir.STATUS)
    assert len(told()) == 2  # nor can it be told that it is a run
