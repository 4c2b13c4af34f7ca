"""Suspected label errors: labels that were swapped on purpose are found, and shown."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from test_cli import COLOURS, paint, said, tl
from test_report import NASTY, Text
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.engine import label_errors
from tl_cli.engine.head import solve, solver
from tl_cli.report.label_errors import label_errors_html
from tl_cli.results.label_errors import LabelError
from tl_cli.results.progress import silent
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir
from trained import trained

SWAPPED = 3  # images of each class that lie in the folder of the next


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("swapped") / "photos"
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "train" / name, seed, 30, colour)
        paint(root / "val" / name, seed + 10, 6, colour)
    names = list(COLOURS)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        for i in range(SWAPPED):
            file = root / "train" / name / f"{i:02d}.png"
            file.rename(root / "train" / other / f"wrong-{name}-{i}.png")
    return trained(root, root.parent / "run", "--freeze", "head")


def test_swapped_labels_are_found_and_hardly_any_other(run, tmp_path):
    done = tl("inspect", run, "--label-errors", "--output", tmp_path, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    wrong = [each for each in told["label_errors"] if "wrong-" in each["path"]]
    assert told["images"] == 90
    assert len(wrong) >= 8
    assert len(told["label_errors"]) - len(wrong) <= 2
    for each in wrong:
        assert f"wrong-{each['suggested']}-" in each["path"]
        assert each["label_probability"] < each["suggested_probability"]
    page = Text((tmp_path / "label_errors.html").read_text())
    assert "of 90 training images may be labelled wrongly" in page.seen
    assert "wrong-blue-0.png" in page.seen


def test_an_image_is_judged_by_a_head_that_has_not_seen_its_group(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run, tmp_path / "run")
    manifest = read_csv(copy / run_dir.MANIFEST)
    seen = []

    def watched(features, labels, classes, **options):
        seen.append(options["groups"])
        return solve(features, labels, classes, **options)

    monkeypatch.setattr(solver, "solve", watched)
    label_errors.suspected(RunDir(copy), silent)
    grouped = [replace(r, group=f"pair {i // 2}") for i, r in enumerate(manifest.of("train"))]
    write_csv(manifest.with_records(grouped), copy / run_dir.MANIFEST)
    label_errors.suspected(RunDir(copy), silent)
    assert seen == [None, [i // 2 for i in range(90)]]


def test_the_screen_names_them(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tl("inspect", run, "--label-errors")
    assert done.exit_code == 0, done.stderr
    assert "looks like red" in done.stdout
    assert (tmp_path / "inspect" / "label_errors.html").is_file()


def test_names_on_the_page_are_text(tmp_path):
    page = label_errors_html(
        [LabelError(f"{name}.jpg", name, name, 0.1, 0.8) for name in NASTY], 10
    )
    found = Text(page)
    assert not found.tags & {"script", "b"}
    assert all(name in found.seen for name in NASTY)


def test_mistakes_are_one_sentence(run, tmp_path, monkeypatch):
    said(tl("inspect", tmp_path, "--label-errors"), "holds no checkpoint.json")
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / run_dir.MANIFEST).unlink()
    said(tl("inspect", copy, "--label-errors"), "manifest.csv")
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    said(tl("inspect", run, "--label-errors"), "cleanlab", "tl-cli[labels]")


# -- labels that a person corrected ---------------------------------------------------------------


def table_of(run, tmp_path):
    """Return the table that the command wrote, and its lines."""
    done = tl("inspect", run, "--label-errors", "--output", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "--apply" in done.stdout
    table = tmp_path / "label_errors.csv"
    return table, table.read_text().splitlines()


@pytest.mark.slow
def test_corrected_labels_are_applied_and_empty_ones_stay(run, tmp_path):
    table, lines = table_of(run, tmp_path)
    assert lines[0].endswith("suggested_probability,correct_label")
    wrong = [line for line in lines[1:] if "wrong-" in line]
    decided = [wrong[0] + "-", wrong[1] + wrong[1].split(",")[2], *wrong[2:]]
    table.write_text("\n".join([lines[0], *decided]).replace(",", ";"))  # as a spreadsheet saves it
    again = tl("inspect", run, "--label-errors", "--output", tmp_path)
    said(again, "somebody has filled in", "--overwrite")
    done = tl("inspect", run, "--label-errors", "--apply", table, "--output", tmp_path / "new",
              "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    update = json.loads(done.stdout)["update"]
    assert (update["relabelled"], sum(update["removed"].values())) == (1, 1)
    assert update["erased"] is None  # nobody asked for that
    labels = {r.path: r.label for r in read_csv(tmp_path / "new" / run_dir.MANIFEST).records}
    before = {r.path: r.label for r in read_csv(run / run_dir.MANIFEST).records}
    paths = [line.split(",")[0] for line in wrong]
    assert paths[0] not in labels
    assert labels[paths[1]] == wrong[1].split(",")[2] != before[paths[1]]
    assert all(labels[path] == before[path] for path in paths[2:])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,correct_label\n{path},\n", ["nothing is decided", "correct_label is empty"]),
        ("path,correct_label\n{path},rde\n", ["1 class that the run does not have", "'red'"]),
        ("path,correct_label\n/elsewhere.png,red\n", ["1 image of the table is not the run's"]),
        ("path,label\n{path},red\n", ["no table of doubtful labels"]),
    ],
    ids=["empty", "no class", "no image", "other columns"],
)
def test_a_table_that_cannot_be_applied(run, tmp_path, text, parts):
    table = tmp_path / "table.csv"
    path = read_csv(run / run_dir.MANIFEST).of("train")[0].path
    table.write_text(text.format(path=path))
    said(tl("inspect", run, "--label-errors", "--apply", table), *parts)
    said(tl("inspect", run, "--label-errors", "--apply", tmp_path / "none.csv"), "no table at")
