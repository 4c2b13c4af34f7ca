"""`tl train --resume`: what it says, what it refuses, and that nothing is lost."""

import json
import os
import shutil
from pathlib import Path

import pytest

from runs import check_equal
from test_cli import COLOURS, SMALL, paint, tl
from tl_cli.data.presence import changed
from tl_cli.data.scan import scan
from tl_cli.engine.finetune.checkpoints import Checkpoints
from tl_cli.errors import TLError
from tl_cli.store import resume, run_dir
from tl_cli.store.run_dir import RunDir

OPTIONS = ("--freeze", "0.9", "--epochs", 3, *SMALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the images `data` and a run that was cut off, `cut`."""
    root = tmp_path_factory.mktemp("place")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "data" / "train" / name, seed, 16, colour)
        paint(root / "data" / "test" / name, seed + 10, 4, colour)
    os.environ["TL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        cut = interrupted(patched, "--data", "data", *OPTIONS, "--output", "cut")
    assert cut.exit_code == 130
    (root / "said.txt").write_text(cut.stderr)
    return root


@pytest.fixture(scope="module")
def whole(place):
    """The run that nobody cut off."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        done = tl("train", "--data", "data", *OPTIONS, "--output", "whole", "-q")
    assert done.exit_code == 0, done.stderr
    return place / "whole"


@pytest.fixture
def cut(place, tmp_path):
    """A copy of the run that was cut off, for a test of its own."""
    shutil.copytree(place / "cut", tmp_path / "cut")
    return tmp_path / "cut"


def interrupted(monkeypatch, *arguments):
    """Train until Ctrl-C is pressed after the second epoch."""
    save, saved = Checkpoints.save, []

    def pressing(self, state):
        save(self, state)
        saved.append(state)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", pressing)
        return tl("train", *arguments)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_who_cut_it_off_is_told_the_command_to_go_on(place):
    said = (place / "said.txt").read_text()
    assert "To go on where it was cut off: tl train --resume cut\n" in said
    names = {p.name for p in (place / "cut" / resume.FOLDER).iterdir()}
    assert names == {"request.json", "inputs.json", "settings.json", "epoch-0001.npz",
                     "epoch-0002.npz"}  # fmt: skip


@pytest.mark.long
def test_from_another_folder_it_goes_on_to_what_it_would_have_been(
    whole, cut, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = tl("train", "--resume", cut, "--output", cut, "--epochs", 3, "--json")
    assert done.exit_code == 0, done.stderr
    assert "Going on after epoch 2 of 3." in done.stderr
    assert (
        json.loads(done.stdout)["metrics"]
        == json.loads((whole / run_dir.METRICS).read_text())["metrics"]
    )
    check_equal(cut, whole)
    again = tl("train", "--resume", cut, "--json")
    assert json.loads(again.stdout) == json.loads(done.stdout)
    assert {p.name for p in cut.iterdir()} == {p.name for p in whole.iterdir()}
    before = content(cut)
    again = tl("train", "--resume", cut)
    assert again.exit_code == 0
    assert "is finished: there is nothing left to do" in again.stderr
    assert content(cut) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--epochs", 5), "epochs 5 (the run: 3)"),
        (("--set", "seed=1", "--freeze", "half"), "freeze half (the run: 0.9), seed 1"),
        (("--output", "elsewhere"), "output elsewhere"),
    ],
)
def test_an_option_that_contradicts_the_run_is_refused(cut, options, said):
    before = content(cut)
    done = tl("train", "--resume", cut, *options)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "hint:" in done.stderr
    assert content(cut) == before


@pytest.mark.parametrize("option", ["--overwrite", "--dry-run", "--compare-freeze"])
def test_what_begins_something_new_does_not_go_with_it(cut, option):
    assert tl("train", "--resume", cut, option).exit_code == 2


def test_images_that_changed_or_went_are_counted(cut, place, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(place / "data", data)
    manifest = cut / run_dir.MANIFEST
    manifest.write_text(manifest.read_text().replace(str(place / "data"), str(data)))
    first, second, *_ = sorted(data.rglob("*.png"))
    first.unlink()
    second.write_bytes(second.read_bytes() + b"0")
    before = content(cut)
    done = tl("train", "--resume", cut)
    assert done.exit_code == 1
    assert "2 images of 60 changed or went" in done.stderr
    assert str(first.name) in done.stderr
    assert content(cut) == before


def test_images_are_the_same_by_their_content(place, tmp_path):
    records = scan(str(place / "data")).records
    assert changed(records) == []
    os.utime(records[0].path)
    assert changed(records) == []
    assert changed(scan("sample:digits").records[:3]) == []


def test_a_run_that_is_trained_now_is_left_to_it(cut):
    said = json.loads((cut / run_dir.STATUS).read_text())
    said |= {"state": "running", "pid": os.getppid()}
    del said["ended"]
    import psutil

    said["started"] = psutil.Process(os.getppid()).create_time()
    (cut / run_dir.STATUS).write_text(json.dumps(said))
    done = tl("train", "--resume", cut)
    assert done.exit_code == 1
    assert "is being trained by another process" in done.stderr
    run = RunDir(cut)
    with pytest.raises(TLError, match="another process"):
        resume.claim(run)


def test_what_is_no_run_or_keeps_nothing_is_one_sentence(cut, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty"):
        done = tl("train", "--resume", path)
        assert (done.exit_code, "there is no run" in done.stderr) == (1, True)
    (cut / run_dir.REQUEST).write_text("{")
    assert "is damaged" in tl("train", "--resume", cut).stderr
    (cut / run_dir.REQUEST).unlink()
    done = tl("train", "--resume", cut)
    assert done.exit_code == 1
    assert "keeps nothing that could be gone on with" in done.stderr
    assert "--overwrite" in done.stderr


def test_whoever_stands_before_it_is_told_the_command(cut):
    command = f"tl train --resume {cut}"
    done = tl("train", "--data", "sample:digits", "--output", cut)
    assert done.exit_code == 1
    assert command in done.stderr
    (cut / run_dir.METRICS).unlink()
    assert command in tl("report", cut).stderr
    (cut / run_dir.WEIGHTS).unlink()
    assert command in tl("evaluate", cut).stderr


def test_a_mistake_in_the_data_leaves_no_run_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert tl("train", "--data", "nope").exit_code == 1
    assert tl("train", "--data", "nope", "--output", "a/b").exit_code == 1
    assert tl("train", "--data", "nope", "--output", "empty").exit_code == 1
    assert not (tmp_path / "a" / "b").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.long
def test_what_was_to_replace_a_run_is_gone_on_with(whole, cut, tmp_path, monkeypatch):
    """The run beside an old one that it was to replace was killed: it is found by the old name."""
    old = tmp_path / "run"
    shutil.copytree(whole, old)
    (old / "notes.txt").write_text("mine")
    beside = tmp_path / ".run.new-4194304"  # no process has that number
    cut.rename(beside)
    status = json.loads((beside / run_dir.STATUS).read_text())
    (beside / run_dir.STATUS).write_text(json.dumps(status | {"pid": 4194304}))
    (old / run_dir.METRICS).write_text("{}")
    done = tl("train", "--resume", old, "-q")
    assert done.exit_code == 0, done.stderr
    check_equal(old, whole)
    assert (old / "notes.txt").read_text() == "mine"
    assert not beside.exists()


def test_a_report_that_was_cut_off_is_written(trained_once):
    """Killed between the end of the training and the report."""
    cut = trained_once("--freeze", "head")
    config = (cut / run_dir.CONFIG).read_text()
    (cut / run_dir.CONFIG).write_text(config.replace("report: false", "report: true"))
    done = tl("train", "--resume", cut)
    assert done.exit_code == 0, done.stderr
    assert "nothing left to do" in done.stderr
    assert (cut / run_dir.REPORT).is_file()
