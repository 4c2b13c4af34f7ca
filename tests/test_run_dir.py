"""Whole files or none, and no run written over by accident."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tl_cli.errors import TLError
from tl_cli.store import reading, replacement, run_dir, run_process
from tl_cli.store.run_dir import RunDir


def with_checkpoint(run: RunDir) -> RunDir:
    described = {"format": 1, "backbone": "x", "image_size": 32, "taps": [1], "classes": ["a", "b"]}
    run.write_json(run_dir.CHECKPOINT, described)
    (run / run_dir.WEIGHTS).write_bytes(reading.HDF5)
    return run


def test_a_file_appears_as_a_whole_or_not_at_all(tmp_path):
    run = RunDir.create(tmp_path / "run")
    run.write_text("a.txt", "old")
    with pytest.raises(RuntimeError), run.replacing("a.txt") as beside:
        beside.write_text("half of the n")
        raise RuntimeError
    assert (run / "a.txt").read_text() == "old"
    assert sorted(p.name for p in run.path.iterdir()) == ["a.txt", "status.json"]


def test_a_second_run_into_the_same_directory_is_refused(tmp_path):
    run = RunDir.create(tmp_path)
    run.status("done")
    run.write_text(run_dir.METRICS, "{}")
    with pytest.raises(TLError, match=r"holds a run already \(done\)") as caught:
        RunDir.create(tmp_path)
    assert "--overwrite" in caught.value.hint
    assert (run / run_dir.METRICS).exists()


def test_what_create_would_refuse_is_known_before_and_nothing_is_written(tmp_path):
    RunDir(tmp_path / "new").check()
    assert not (tmp_path / "new").exists()
    run = RunDir.create(tmp_path / "old")
    with pytest.raises(TLError, match=r"holds a run already \(running\)"):
        run.check()
    before = (run / run_dir.STATUS).stat().st_mtime_ns
    run.check(overwrite=True)
    assert (run / run_dir.STATUS).stat().st_mtime_ns == before


def test_a_directory_of_something_else_is_never_written_into(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TLError, match="holds no run"):
        RunDir.create(tmp_path, overwrite=True)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TLError, match="cannot write"):
        RunDir.create(tmp_path / "file" / "run")


def test_a_checkpoint_is_found_by_its_directory_or_itself(tmp_path):
    run = with_checkpoint(RunDir.create(tmp_path))
    assert run_dir.checkpoint_of(tmp_path) == run
    assert run_dir.checkpoint_of(tmp_path / run_dir.CHECKPOINT) == run


@pytest.mark.parametrize("state", ["interrupted", "failed"])
def test_a_run_without_a_checkpoint_says_how_it_ended(tmp_path, state):
    RunDir.create(tmp_path).status(state)
    with pytest.raises(TLError, match=state):
        run_dir.checkpoint_of(tmp_path)


def test_what_is_no_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(TLError, match="no checkpoint at"):
        run_dir.checkpoint_of(tmp_path / "none")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(TLError, match="is not a checkpoint"):
        run_dir.checkpoint_of(tmp_path / "x.txt")


def test_status_is_json(tmp_path):
    RunDir.create(tmp_path).status("failed", error='a "quoted" word')
    assert json.loads((tmp_path / run_dir.STATUS).read_text())["error"] == 'a "quoted" word'


@pytest.mark.parametrize("state", ["running", "head", "interrupted", "failed", "done"])
def test_a_whole_checkpoint_is_one_however_its_run_ended(tmp_path, state):
    run = with_checkpoint(RunDir.create(tmp_path))
    run.status(state)
    assert run_dir.checkpoint_of(tmp_path) == run
    (run / run_dir.WEIGHTS).unlink()
    with pytest.raises(TLError, match=rf"no {run_dir.WEIGHTS} \({state}\)"):
        run_dir.checkpoint_of(tmp_path)


# -- a run whose process died ---------------------------------------------------------------------

RUN = """
import sys, time
from pathlib import Path
from tl_cli.store.run_dir import RunDir
run = RunDir.create(Path(sys.argv[1]), overwrite=len(sys.argv) > 3)
run.status(sys.argv[2])
print(run.path, flush=True)
time.sleep(60)
"""


def started(*arguments: object) -> subprocess.Popen:
    """Return a process that has begun a run: its place, its state, and anything to overwrite."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process.place = Path(process.stdout.readline().strip())
    return process


def killed(process: subprocess.Popen) -> Path:
    process.kill()
    process.communicate()
    return process.place


def test_a_run_that_was_killed_does_not_go_on_for_ever(tmp_path):
    process = started(tmp_path / "run", "running")
    assert RunDir(tmp_path / "run").state() == "running"
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped yet
    assert RunDir(tmp_path / "run").state() == "died"
    killed(process)
    assert RunDir(tmp_path / "run").state() == "died"
    with pytest.raises(TLError, match=r"holds a run already \(died\)"):
        RunDir.create(tmp_path / "run")
    run = with_checkpoint(RunDir(tmp_path / "run"))
    assert run_dir.checkpoint_of(tmp_path / "run") == run


@pytest.mark.parametrize("state", ["head", "done", "interrupted", "failed"])
def test_what_a_run_said_at_its_end_outlives_its_process(tmp_path, state):
    killed(started(tmp_path / "run", state))
    assert RunDir(tmp_path / "run").state() == state


@pytest.mark.parametrize(
    ("change", "state"),
    [({}, "running"), ({"started": 1.0}, "died"), ({"pid": None}, "died"),
     ({"host": "another", "started": 1.0}, "running")],
)  # fmt: skip
def test_another_process_of_the_same_number_is_not_the_run(tmp_path, change, state):
    run = RunDir.create(tmp_path)
    run.write_json(run_dir.STATUS, {"state": "running", **run_process.describe(), **change})
    assert run.state() == state


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "3"])
def test_a_damaged_status_is_unknown(tmp_path, text):
    (tmp_path / run_dir.STATUS).write_text(text)
    assert RunDir(tmp_path).state() == "unknown"


# -- one run in the place of another --------------------------------------------------------------


def old_run(path: Path) -> RunDir:
    """Return a finished run with a picture, an export and a note that tl did not write."""
    run = with_checkpoint(RunDir.create(path))
    run.write_text(run_dir.METRICS, "old")
    run.write_text("confusion.png", "old")
    run.write_text("notes.txt", "mine")
    (run / run_dir.EXPORTS).mkdir()
    run.write_text(f"{run_dir.EXPORTS}/model.onnx", "old")
    run.status("done")
    return run


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_run_that_overwrites_is_built_beside_and_put_in_place_as_a_whole(tmp_path):
    old = content(old_run(tmp_path / "run").path)
    run = RunDir.create(tmp_path / "run", overwrite=True)
    assert run.path == tmp_path / f".run.new-{os.getpid()}"
    assert run.final_path == tmp_path / "run"
    run.write_text(run_dir.METRICS, "new")
    run.status("done")
    assert content(tmp_path / "run") == old
    published = run.publish()
    assert published == RunDir(tmp_path / "run")
    assert {**content(tmp_path / "run"), run_dir.STATUS: b""} == {
        run_dir.METRICS: b"new", "notes.txt": b"mine", run_dir.STATUS: b"",
    }  # fmt: skip
    assert not (tmp_path / "run" / run_dir.EXPORTS).exists()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_that_fails_leaves_the_one_it_was_to_overwrite(tmp_path):
    old = content(old_run(tmp_path / "run").path)
    run = RunDir.create(tmp_path / "run", overwrite=True)
    run.status("failed")
    run.discard()
    assert content(tmp_path / "run") == old
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_was_saved_before_a_failure_stays_until_the_next_run(tmp_path):
    old_run(tmp_path / "run")
    run = with_checkpoint(RunDir.create(tmp_path / "run", overwrite=True))
    run.discard()
    assert run_dir.checkpoint_of(run.path).path == run.path
    again = RunDir.create(tmp_path / "run", overwrite=True)
    assert not (again / run_dir.CHECKPOINT).exists()


def test_a_run_that_overwrites_nothing_is_made_in_its_place(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        run = RunDir.create(tmp_path / name, overwrite=True)
        assert run.path == run.final_path == tmp_path / name
        run.discard()
        assert run.publish() == run
        assert run.state() == "running"


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("error", [OSError(5, "broken"), KeyboardInterrupt()])
def test_a_swap_that_fails_leaves_both_runs(tmp_path, monkeypatch, step, error):
    old = content(old_run(tmp_path / "run").path)
    run = RunDir.create(tmp_path / "run", overwrite=True)
    rename, calls = Path.rename, iter(range(1, 100))

    def failing(self, target):
        if next(calls) == step:
            raise error
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing)
        with pytest.raises(TLError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
            run.publish()
    assert isinstance(error, KeyboardInterrupt) or str(run.path) in caught.value.hint
    assert content(tmp_path / "run") == old
    run.publish()
    assert (tmp_path / "run" / "notes.txt").exists()
    assert not (tmp_path / "run" / run_dir.METRICS).exists()


def test_what_came_into_the_place_meanwhile_is_not_removed(tmp_path):
    old_run(tmp_path / "run")
    run = RunDir.create(tmp_path / "run", overwrite=True)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(TLError, match="holds no run of tl"):
        run.publish()
    assert content(tmp_path / "run") == {"thesis.txt": b"mine"}


def test_what_a_dead_process_built_is_removed_and_what_a_living_one_builds_is_not(tmp_path):
    old_run(tmp_path / "run")
    dead = killed(started(tmp_path / "run", "running", "overwrite"))
    living = started(tmp_path / "run", "running", "overwrite")
    assert not dead.exists()
    run = RunDir.create(tmp_path / "run", overwrite=True)
    assert living.place.is_dir()
    assert len({living.place, dead, run.path}) == 3
    killed(living)


@pytest.mark.parametrize("name", [".run.new-4194304", ".run.old-4194304", ".run.new-x"])
def test_a_folder_beside_that_is_not_marked_as_ours_is_left_alone(tmp_path, name):
    old_run(tmp_path / "run")
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    RunDir.create(tmp_path / "run", overwrite=True).publish()
    assert (tmp_path / name / "thesis.txt").read_text() == "mine"


def test_a_swap_that_was_killed_half_way_is_undone_or_finished(tmp_path):
    old = content(old_run(tmp_path / "run").path)
    aside = tmp_path / ".run.old-4194304"  # no process has that number: it is beyond the highest
    (tmp_path / "run").rename(aside)
    with pytest.raises(TLError, match="holds a run already"):
        RunDir.create(tmp_path / "run")
    assert content(tmp_path / "run") == old
    (tmp_path / "run").rename(aside)
    (tmp_path / "run").mkdir()
    RunDir(tmp_path / "run").status("done")
    replacement.mend(tmp_path / "run", run_dir.OURS)
    assert set(content(tmp_path / "run")) == {run_dir.STATUS, "notes.txt"}
    assert not aside.exists()


def test_a_link_stays_one_and_its_run_is_replaced(tmp_path, monkeypatch):
    old_run(tmp_path / "disk" / "run")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "run")
    RunDir.create(tmp_path / "link", overwrite=True).publish()
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "disk" / "run" / run_dir.METRICS).exists()
    monkeypatch.chdir(tmp_path / "disk" / "run")
    run = RunDir.create(Path(), overwrite=True)
    assert run.final_path == tmp_path / "disk" / "run"


# -- names ----------------------------------------------------------------------------------------


def test_of_two_that_want_the_same_place_one_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr(RunDir, "check", lambda self, *, overwrite=False: None)  # both have passed
    first = RunDir.create(tmp_path / "run")
    monkeypatch.undo()
    assert first.state() == "running"
    before = (first / run_dir.STATUS).read_bytes()
    with pytest.raises(TLError, match="holds a run already"):
        RunDir(tmp_path / "run")._claim()
    assert (first / run_dir.STATUS).read_bytes() == before


def test_runs_that_begin_at_once_get_names_of_their_own(tmp_path):
    (tmp_path / "runs" / "bees").mkdir(parents=True)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunDir.create_named(tmp_path / "runs", "bees"), range(16)))
    assert {run.path.name for run in made} == {f"bees-{n}" for n in range(2, 18)}


def test_a_folder_for_runs_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(TLError, match="cannot write"):
        RunDir.create_named(tmp_path / "runs", "bees")


@pytest.mark.parametrize(
    ("source", "name"),
    [("flowers.v1.5", "flowers.v1.5"), ("flowers.v1.5/", "flowers.v1.5"), (".", "here.d"),
     ("flowers.v1.5/list.a.csv", "list.a"), ("tfds:mnist", "mnist"),
     ("tfds:tiny:png", "png"), ("sample:digits", "digits"), ("/", "run")],
)  # fmt: skip
def test_a_run_is_called_as_its_data(tmp_path, monkeypatch, source, name):
    (tmp_path / "here.d" / "flowers.v1.5").mkdir(parents=True)
    (tmp_path / "here.d" / "flowers.v1.5" / "list.a.csv").write_text("")
    monkeypatch.chdir(tmp_path / "here.d")
    assert run_dir.name_for(source) == name
