"""Whole files or none, and no run written over by accident."""

import json

import pytest

from tl_cli.errors import TLError
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


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


def test_overwrite_takes_the_place_and_leaves_what_is_not_ours(tmp_path):
    run = RunDir.create(tmp_path)
    run.write_text(run_dir.METRICS, "{}")
    (tmp_path / "notes.txt").write_text("mine")
    RunDir.create(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (run / run_dir.METRICS).exists()


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


def test_a_free_name_is_found(tmp_path):
    assert run_dir.free_name(tmp_path, "bees").name == "bees"
    (tmp_path / "bees").mkdir()
    (tmp_path / "bees-2").mkdir()
    assert run_dir.free_name(tmp_path, "bees").name == "bees-3"


def test_a_checkpoint_is_found_by_its_directory_or_itself(tmp_path):
    run = RunDir.create(tmp_path)
    run.write_json(run_dir.CHECKPOINT, {})
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
