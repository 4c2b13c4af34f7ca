"""What tl did not make is not removed, cut or written over, wherever a command is told to write."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conftest import picture
from test_cache import tl
from tl_cli.data.sources import entries
from tl_cli.errors import TLError
from tl_cli.report.canvas import figure, saved
from tl_cli.report.explain import Sheet
from tl_cli.results.explanations import Explanation
from tl_cli.store import own_pages, prediction_forms, prediction_writer, replacement, run_dir
from tl_cli.store.marker import MARKER
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_origin import PredictionOrigin
from tl_cli.store.run_dir import RunDir

HEADER = prediction_forms.csv_header(1)
ROW = prediction_forms.csv_row(ImagePrediction("a.png", (("cat", 0.5),), "cat"), 1)
LINE = prediction_forms.json_row(ImagePrediction("a.png", (("cat", 0.5),), "cat"), 1)
ORIGIN = PredictionOrigin("runs/one", "0" * 32, {"--top-k": 1})


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", "my thesis"), ("csv", "first\nsecond, without an end"), ("csv", HEADER[:9] + "x"),
        ("csv", "path,mine\na.png,1\nb.p"), ("jsonl", '{"thesis": 1}'), ("jsonl", "my thesis"),
        ("jsonl", '{"thesis": 1}\n{"th'), ("jsonl", "["),
    ],
)  # fmt: skip
def test_resuming_cuts_nothing_off_a_file_of_other_people_s(
    tmp_path: Path, form: str, text: str
) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with (
        pytest.raises(TLError, match="does not hold the columns"),
        prediction_writer.writing(file, form, 1, resume=True, inputs=["a.png"], origin=ORIGIN),
    ):
        pass
    assert file.read_text() == text


def test_resuming_other_images_cuts_nothing_off(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(HEADER + ROW + "b.p")
    with (
        pytest.raises(TLError, match="row 1 of"),
        prediction_writer.writing(file, "csv", 1, resume=True, inputs=["c.png"], origin=ORIGIN),
    ):
        pass
    assert file.read_text() == HEADER + ROW + "b.p"


@pytest.mark.parametrize(
    ("form", "begun", "rows"),
    [
        ("csv", "", 0), ("csv", HEADER[:7], 0), ("csv", HEADER, 0), ("csv", HEADER + ROW[:4], 0),
        ("csv", HEADER + ROW + "b.p", 1), ("jsonl", "", 0), ("jsonl", LINE[:5], 0),
        ("jsonl", LINE[:-1], 0), ("jsonl", LINE + LINE[:20], 1),
    ],
)  # fmt: skip
def test_what_was_begun_is_gone_on_with(tmp_path: Path, form: str, begun: str, rows: int) -> None:
    file = tmp_path / "file"
    file.write_text(begun)
    ORIGIN.write(file)
    inputs = ["a.png", "b.png"]
    with prediction_writer.writing(
        file, form, 1, resume=True, inputs=inputs, origin=ORIGIN
    ) as sheet:
        assert sheet.rows == rows
        sheet.write([ImagePrediction(path, (("cat", 0.5),), "cat") for path in inputs[rows:]])
    text = file.read_text()
    assert text.startswith(HEADER + ROW if form == "csv" else LINE) and text.count("\n") == (
        3 if form == "csv" else 2
    )


@pytest.mark.parametrize(
    "files",
    [
        {"config.yaml": "mine: 1"}, {"status.json": "[]"}, {"status.json": "{}"},
        {"status.json": "no JSON", "metrics.json": "mine"}, {"metrics.json": "mine"},
        {"config.yaml": "mine", "report.html": "mine", "export/model.onnx": "mine"},
    ],
)  # fmt: skip
def test_a_folder_that_is_no_run_of_tl_is_not_overwritten(
    tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_text(text)
    with pytest.raises(TLError, match="holds no run of tl"):
        RunDir.create(tmp_path / "x", overwrite=True)
    assert {name: (tmp_path / "x" / name).read_text() for name in files} == files


def test_overwriting_a_run_keeps_what_others_put_into_it(tmp_path: Path) -> None:
    old = RunDir.create(tmp_path / "run")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("mine")
    mine = (
        ".gitignore",
        ".git/HEAD",
        "notes/a.txt",
        "export/notes.txt",
        "export/mine/a.onnx",
        "explain/notes.txt",
    )
    ours = (run_dir.METRICS, "export/model.onnx", "export/model-int8.tflite.json",
            "export/saved_model/saved_model.pb", ".123.metrics.json", ".export-abc/x",
            "explain/sheet.html", "explain/a.gradcam.png", "explain/.tl")  # fmt: skip
    for name in (*mine, *ours):
        (old.path / name).parent.mkdir(parents=True, exist_ok=True)
        (old.path / name).write_text("old")
    (old.path / "linked").symlink_to(outside)
    (old.path / run_dir.PLAN).symlink_to(outside / "thesis.txt")
    run = RunDir.create(tmp_path / "run", overwrite=True)
    run.write_text("notes", "a file where the old run has a folder")
    run.status("done")
    place = run.publish()
    kept = {n: "notes.kept/a.txt" if n == "notes/a.txt" else n for n in mine}
    assert all((place / name).read_text() == "old" for name in kept.values())
    assert not any((place / name).exists() for name in ours)
    assert (place / "linked").is_symlink()
    assert (outside / "thesis.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outside", "run"]


def test_a_damaged_run_is_still_a_run(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run")
    for name in (run_dir.CONFIG, run_dir.MANIFEST):
        run.write_text(name, "x")
    (run / run_dir.STATUS).write_text("{")
    assert replacement.is_run(run.path)
    (run / run_dir.STATUS).unlink()
    assert replacement.is_run(run.path)


def test_a_page_of_others_is_not_written_over(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    own_pages.check(page)
    page.write_text("<html>my thesis</html>")
    with pytest.raises(TLError, match="tl did not write it"):
        own_pages.check(page)
    page.write_text(f"<!doctype html>{own_pages.GENERATOR.decode()}")
    own_pages.check(page)
    with pytest.raises(TLError):
        own_pages.check(tmp_path)  # a folder


def test_a_picture_of_others_is_not_written_over_and_tl_s_own_is(tmp_path: Path) -> None:
    path = tmp_path / "samples.png"
    for _ in range(2):
        saved(figure(1, 1), path)
    own_pages.check(path)
    picture(1).save(path)
    before = path.read_bytes()
    with pytest.raises(TLError, match="tl did not write it"):
        saved(figure(1, 1), path)
    assert path.read_bytes() == before
    (tmp_path / MARKER).write_text("")
    saved(figure(1, 1), path)  # of an older tl, in a folder of its own


def test_a_sheet_leaves_pictures_of_others_alone(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    theirs = tmp_path / "out" / "a.gradcam.png"
    picture(2).save(theirs)
    before = theirs.read_bytes()
    sheet = Sheet(tmp_path / "out", "")
    heat = np.zeros((4, 4), "float32")
    told = sheet.add(Explanation(str(tmp_path / "a.png"), "a", 1.0, heat))
    assert sheet.failed == 1 and "tl did not write it" in str(told.error)
    assert theirs.read_bytes() == before
    picture(3).save(tmp_path / "b.png")
    for _ in range(2):
        again = Sheet(tmp_path / "out", "")
        again.add(Explanation(str(tmp_path / "b.png"), "b", 1.0, heat))
        assert not again.failed


def test_pictures_of_tl_in_a_class_s_folder_are_no_images_of_it(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    picture(2).save(tmp_path / "sizes.png")  # the user's
    saved(figure(1, 1), tmp_path / "samples.png")
    saved(figure(1, 1), tmp_path / "x.gradcam.png")
    others: Counter[str] = Counter()
    names = [Path(path).name for path, _ in entries.walk(str(tmp_path), set(), others)]
    assert names == ["a.png", "sizes.png"] and others == {entries.OUR_PICTURES: 2}


def test_pages_of_tl_say_who_wrote_them() -> None:
    base = Path(own_pages.__file__).parents[1] / "report" / "templates" / "base.html.jinja"
    assert own_pages.GENERATOR in base.read_bytes()


def test_a_fault_of_the_disk_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/a.png")

    monkeypatch.setattr("tl_cli.data.scan.scan", gone)
    done = tl("inspect", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: '/data/a.png': Permission denied")
