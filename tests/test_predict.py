"""`tl predict`: a row for each image, in order, with the numbers of the evaluation."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from odd_images import write_odd
from test_cli import COLOURS, said, tl
from tl_cli.data.csv_io import read_csv
from tl_cli.engine import predict
from tl_cli.errors import TLError
from tl_cli.store import (
    prediction_forms,
    prediction_origin,
    prediction_writer,
    run_dir,
    sorted_folders,
)
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_origin import PredictionOrigin
from tl_cli.store.run_dir import RunDir

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def data(colours) -> Path:
    return colours


@pytest.fixture(scope="module")
def run(trained_once) -> Path:
    return trained_once("--freeze", "head")


def rows(*arguments: object, code: int = 0) -> list[dict]:
    """Return the answers of `tl predict`."""
    done = tl("predict", *arguments, "--format", "jsonl")
    assert done.exit_code == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def bomb() -> bytes:
    """A PNG that says it is 100,000 x 100,000 pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.fixture
def mixed(data, tmp_path) -> list[Path]:
    """Good images with all sorts of bad ones between them."""
    red, blue = (data / "test" / name / "00.png" for name in ("red", "blue"))
    files = [red, tmp_path / "gone.png", blue, *(tmp_path / f"{i}.png" for i in range(4)), red]
    files[3].write_bytes(red.read_bytes()[:60])
    files[4].write_text("no picture")
    files[5].write_bytes(bomb())
    os.mkfifo(files[6])
    return files


# -- the same numbers -----------------------------------------------------------------------------


def test_predict_and_evaluate_give_the_same_numbers_on_odd_images_too(run, data):
    found = read_csv(run / run_dir.MANIFEST).of("test")
    assert sum("odd" in r.path for r in found) == 18
    built = predict.load_checkpoint(RunDir(run))
    evaluated = predict.probabilities(built, found, lambda _: None)
    told = rows(run, *(r.path for r in found), "--top-k", 3)
    for row, record, p in zip(told, found, evaluated, strict=True):
        assert row["path"] == record.path
        assert {g["label"]: g["probability"] for g in row["top"]} == pytest.approx(
            dict(zip(built.classes, p.tolist(), strict=True)), abs=1e-6
        )
    right = [
        g["probability"]
        for row, r in zip(told, found, strict=True)
        for g in row["top"]
        if g["label"] == r.label
    ]
    figures = json.loads(tl("evaluate", run, "--split", "test", "--json").stdout)
    assert figures["log_loss"] == pytest.approx(-np.log(right).mean(), abs=1e-4)
    assert figures["n"] == 30


def test_a_batch_of_another_size_changes_nothing(run, data):
    one, many = (rows(run, data / "test", "--top-k", 3, "--batch-size", n) for n in (1, 7))
    for a, b in zip(one, many, strict=True):
        assert a["path"] == b["path"]
        assert a["top"][0]["probability"] == pytest.approx(b["top"][0]["probability"], abs=2e-6)


# -- one row an image, in order -------------------------------------------------------------------


def test_a_bad_image_has_a_row_of_its_own_and_never_anothers_answer(run, mixed):
    told = rows(run, *mixed, "--batch-size", 2, code=1)
    assert [row["path"] for row in told] == [str(path) for path in mixed]
    assert [row["label"] for row in told] == ["red", None, "blue", None, None, None, None, "red"]
    errors = ("does not exist", "cut short", "not an image", "bomb", "not a regular file")
    for row, error in zip((told[i] for i in (1, 3, 4, 5, 6)), errors, strict=True):
        assert error in row["error"]
        assert row["top"] == []
    assert told[0] == told[-1]


def test_the_ways_of_naming_images(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(data / "test", tmp_path / "test"))
    shown = [row["path"] for row in rows(run, "red")]
    assert shown[:5] == [f"red/{i:02d}.png" for i in range(4)] + ["red/odd/alpha.png"]
    assert len(shown) == 10
    assert [r["path"] for r in rows(run, "*/0[01].png")] == [
        f"{name}/0{i}.png" for name in sorted(COLOURS) for i in (0, 1)
    ]
    assert len(rows(run, "**/*.png")) == 21
    assert len(rows(run, "**")) == 30
    Path("list.txt").write_text("red/00.png\n\n./blue/00.png\n")
    assert rows_of(run, "list.txt") == ["red/00.png", "blue/00.png"]
    Path("list.csv").write_text("id,path\n1,blue/01.png\n2,red/odd\n")
    assert rows_of(run, "list.csv")[:2] == ["blue/01.png", "red/odd/alpha.png"]
    assert rows_of(run, run / run_dir.MANIFEST)[0].startswith(str(data))
    for name in ("list.txt", "list.csv"):
        Path(name).unlink()


def rows_of(*arguments: object) -> list[str]:
    return [row["path"] for row in rows(*arguments)]


def test_paths_on_standard_input(run, data):
    paths = [str(data / "test" / "red" / f"0{i}.png") for i in (2, 0)]
    from typer.testing import CliRunner

    from tl_cli.cli.app import app

    done = CliRunner().invoke(
        app, ["predict", str(run), "-", "--format", "csv"], input="\n".join(paths)
    )
    assert done.exit_code == 0, done.stderr
    told = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["path"] for row in told] == paths


def test_a_name_that_is_not_utf8_or_has_a_line_break_comes_back_as_it_is(run, data, tmp_path):
    names = [b"caf\xe9.png", b'two\nlines "quoted".png']
    for name in names:
        shutil.copy(data / "test" / "red" / "00.png", tmp_path / os.fsdecode(name))
    done = tl("predict", run, tmp_path, "--output", tmp_path / "out.csv")
    assert done.exit_code == 0, done.stderr
    assert names[0] in (tmp_path / "out.csv").read_bytes()
    again = tl("predict", run, tmp_path, "--output", tmp_path / "out.csv", "--resume")
    assert again.exit_code == 0, again.stderr
    shown = tl("predict", run, tmp_path)
    assert len(shown.stdout.splitlines()) == 2


def test_an_unsure_answer_says_so(run, data):
    told = rows(run, data / "test", "--min-confidence", 0.9, "--no-unknown")
    assert {row["label"] == "unsure" for row in told} == {True, False}
    for row in told:
        assert (row["label"] == "unsure") == (row["probability"] < 0.9)
        assert row["top"][0]["label"] in COLOURS


def test_images_that_were_trained_on_are_counted_wherever_they_lie(run, data, tmp_path):
    shutil.copy(data / "train" / "red" / "03.png", tmp_path / "elsewhere.png")
    new = data / "test" / "red"
    done = tl("predict", run, tmp_path, new, "--json")
    assert json.loads(done.stdout)["trained_on"] == 1
    done = tl("predict", run, tmp_path)
    assert "1 of these images was trained on" in " ".join(done.stderr.split())
    done = tl("predict", run, new)
    assert "trained on" not in " ".join(done.stderr.split())


def test_the_table_is_for_people(run, mixed):
    done = tl("predict", run, *mixed, "--top-k", 2)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert "red 0.9" in lines[0]
    assert "error: does not exist" in lines[1]
    assert "8 images, 5 failed" in done.stderr
    assert "  red   2\n  blue  1\n" in done.stderr
    assert "red" not in tl("predict", run, *mixed, "-q").stderr


def test_json_is_one_object(run, mixed):
    told = json.loads(tl("predict", run, *mixed, "--json").stdout)
    assert (told["images"], told["failed"], told["labels"]) == (8, 5, {"red": 2, "blue": 1})
    assert len(told["predictions"]) == 8


# -- a file of answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_that_was_cut_anywhere_is_gone_on_with(run, mixed, tmp_path, ending):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    assert tl("predict", run, *mixed, "--output", whole, "--top-k", 2).exit_code == 1
    assert whole.read_text().count("\n") == 8 + (ending == "csv")
    text = whole.read_bytes()
    for size in (0, 20, len(text) // 2, len(text) - 1, len(text)):
        cut.write_bytes(text[:size])
        shutil.copy(prediction_origin.place(whole), prediction_origin.place(cut))
        done = tl("predict", run, *mixed, "--output", cut, "--top-k", 2, "--resume", "--json")
        assert done.exit_code == 1, done.stderr
        assert cut.read_bytes() == text
        assert json.loads(done.stdout)["failed"] == 5


def test_a_file_of_something_else_is_not_gone_on_with(run, data, tmp_path):
    out, red = tmp_path / "out.csv", data / "test" / "red"
    assert tl("predict", run, red, "--output", out).exit_code == 0
    before = out.read_bytes()
    said(tl("predict", run, red, "--output", out), "is there already", "--resume")
    said(tl("predict", run, red, "--output", out, "--resume", "--top-k", 2), "columns")
    said(tl("predict", run, red / "00.png", "--output", out, "--resume"), "has 10 rows")
    said(tl("predict", run, data / "test", "--output", out, "--resume"), "row 1 of")
    assert out.read_bytes() == before
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    said(tl("predict", run, red, "--output", tmp_path / "other.csv", "--resume"), "columns")
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"


def test_a_full_disk_leaves_whole_rows(tmp_path, monkeypatch):
    inputs = [f"{i}.png" for i in range(40)]
    with (
        pytest.raises(OSError) as caught,
        prediction_writer.writing(
            tmp_path / "out.csv",
            "csv",
            1,
            resume=False,
            inputs=inputs,
            origin=PredictionOrigin("run", "0", {}),
        ) as sheet,
    ):
        row = len(prediction_forms.csv_row(ImagePrediction("0.png", (("cat", 0.5),), "cat"), 1))
        sheet.file = Full(sheet.file, 4 * row + row // 2)  # four rows and a half
        for name in inputs:
            sheet.write([ImagePrediction(name, (("cat", 0.5),), "cat")])
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "out.csv"))
    text = (tmp_path / "out.csv").read_text()
    assert text.endswith("\n")
    assert text.count("\n") == sheet.rows + 1 == 5


class Full:
    """A file on a disk with room for so many bytes more."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = self.file.write(data[: self.room])
        self.room -= done
        return done


def test_a_full_disk_is_one_sentence_and_says_where_it_stopped(run, data, tmp_path, monkeypatch):
    append = prediction_writer.PredictionFile._append

    def full(self, text):
        if self.rows >= 8:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        append(self, text)

    monkeypatch.setattr(prediction_writer.PredictionFile, "_append", full)
    done = tl("predict", run, data / "test", "--output", tmp_path / "o.csv", "--batch-size", 4)
    said(done, "stopped after 8 of 30 images", "the disk is full", "o.csv")


@pytest.mark.long
def test_ctrl_c_leaves_whole_rows_and_says_where_it_stopped(run, data, tmp_path):
    many = tmp_path / "list.txt"
    many.write_text(f"{data / 'test' / 'red' / '00.png'}\n" * 20_000)
    out = tmp_path / "out.csv"
    started = subprocess.Popen(
        [sys.executable, "-m", "small_network", "predict", run, many, "--output", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
        # a shell starts what runs in the background with interrupts ignored, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while started.poll() is None and not (out.exists() and out.stat().st_size > 1000):
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    written = list(csv.DictReader(io.StringIO(out.read_text())))
    assert out.read_text().endswith("\n")
    assert f"stopped after {len(written):,} of 20,000 images" in told
    assert {row["label"] for row in written} == {"red"}
    assert "Traceback" not in told


def test_few_images_are_held_at_a_time(monkeypatch):
    opened = []
    monkeypatch.setattr(predict, "_open", lambda path, *_: opened.append(path) or "is empty")
    batches = predict.opened_images([str(i) for i in range(10_000)], 32, 16)
    for taken in range(1, 6):
        next(batches)
        time.sleep(0.02)
        assert len(opened) <= 16 * (taken + predict.AHEAD)
    batches.close()
    assert len(opened) < 200


# -- into folders ---------------------------------------------------------------------------------


def test_images_are_sorted_into_folders(run, mixed, data, tmp_path):
    for link in ((), ("--link",)):
        into = tmp_path / f"sorted{len(link)}"
        for _ in range(2):  # again: nothing is there twice
            tl("predict", run, *mixed, data / "test" / "red", "--sort-into", into, *link)
        assert {p.name for p in into.iterdir()} >= {"red", "blue"}
        image = into / "blue" / "00.png"
        assert image.read_bytes() == (data / "test" / "blue" / "00.png").read_bytes()
        assert image.is_symlink() == bool(link)
        assert [p.name for p in sorted((into / "red").glob("0*"))] == [
            f"0{i}.png" for i in range(4)
        ]


def test_another_image_of_the_same_name_gets_a_number(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text(name)
    (tmp_path / "into").mkdir()
    for name in "abcab":
        sorted_folders.put(tmp_path / name / "x.png", tmp_path / "into", "cat", link=False)
    assert {p.name: p.read_text() for p in (tmp_path / "into" / "cat").iterdir()} == {
        "x.png": "a", "x-2.png": "b", "x-3.png": "c"
    }  # fmt: skip


@pytest.mark.parametrize("label", ["../../etc", "/etc", "..", ".", "", " ", "a/b\0c", "<b>&\"'"])
def test_no_label_leads_out_of_the_folder(tmp_path, label):
    image = tmp_path / "x.png"
    image.write_text("x")
    (tmp_path / "into").mkdir()
    [name] = sorted_folders.folder_names([label]).values()
    placed = sorted_folders.put(image, tmp_path / "into", name, link=False)
    assert placed.resolve().parent.parent == (tmp_path / "into").resolve()


# -- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence(run, data, tmp_path):
    said(tl("predict", run, data / "tests"), "no file or folder", "did you mean 'test'?")
    said(tl("predict", run, "a.png", "b.png"), "none of the 2 paths exists")
    (tmp_path / "empty").mkdir()
    said(tl("predict", run, tmp_path / "empty"), "no images in")
    said(tl("predict", run, data / "*.jpg"), "no images in")
    said(tl("predict", tmp_path, data), "holds no checkpoint.json")
    said(tl("predict", run, data, "--format", "jsnol"), "did you mean 'jsonl'?")
    (tmp_path / "list.csv").write_text("file\nx.png\n")
    said(tl("predict", run, tmp_path / "list.csv"), "no column 'path'", "file")
    said(tl("predict", run, data, "--output", tmp_path / "list.csv" / "x.csv"), "cannot write")
    said(tl("predict", run, data, "--sort-into", tmp_path / "list.csv"), "cannot write")
    assert tl("predict", run, data, "--resume").exit_code == 2
    assert tl("predict", run, data, "--link").exit_code == 2
    assert tl("predict", run, data, "--min-confidence", 2).exit_code == 2
    assert tl("predict", run, data, "--output", tmp_path / "x", "--format", "table").exit_code == 2


@pytest.mark.parametrize("name", [run_dir.WEIGHTS, run_dir.CHECKPOINT])
def test_a_truncated_checkpoint_is_one_sentence_and_leaves_no_file(run, data, tmp_path, name):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / name).write_bytes((copy / name).read_bytes()[:100])
    said(tl("predict", copy, data / "test"), "damaged")


def test_a_class_that_is_called_unsure_is_not_mistaken(run, data):
    built = predict.load_checkpoint(RunDir(run))
    object.__setattr__(built, "classes", ("a", "unsure", "b"))
    with pytest.raises(TLError, match="unsure"):
        next(predict.answers(built, [str(data / "test" / "red" / "00.png")], least=0.5))


def test_odd_images_are_what_they_say(tmp_path):
    assert len(write_odd(tmp_path / "odd")) == 6


# -- sets of classes ------------------------------------------------------------------------------


def test_sets_hold_the_best_guess_and_stand_in_the_table(run, data, tmp_path):
    out = tmp_path / "sets.csv"
    folder = data / "test" / "blue"
    done = tl("predict", run, folder, "--coverage", 0.9, "--output", out, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["sets"]
    assert (told["coverage"], told["held_out"]) == (0.9, 18)
    with out.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert all(row["best_guess"] == row["set"].split(";")[0] for row in table)
    assert told["mean_size"] == pytest.approx(np.mean([int(row["set_size"]) for row in table]))
    plain = tl("predict", run, folder, "--output", out, "--resume")
    said(plain, "does not hold the columns")
    none = tmp_path / "none.csv"
    said(tl("predict", run, folder, "--coverage", 0.99, "--output", none), "needs 99 held-out")
    assert not none.exists()
