"""Classes called as nobody should call them, through every command: nothing runs, nothing leaks."""

from __future__ import annotations

import csv
import json
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest

from test_cli import paint, said, tl
from tl_cli.data.csv_io import read_csv
from tl_cli.data.scan import scan
from tl_cli.errors import TLError
from tl_cli.report.explain import SHEET
from tl_cli.results import predictions
from tl_cli.store import run_dir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")

NAMES = (
    "../../x", "/tmp/absolute", "two\nlines", "l" * 300, "\u202eright to left", "CON", "a/b", "a_b",
    "<script>alert(1)</script>", "Case", "case", "=1+1", "\x1b[31mred", "$x^{2}$ {{ 7*7 }}", "..",
)  # fmt: skip
EACH = 6


class Scripts(HTMLParser):
    """Counts the scripts and the handlers of a page."""

    found = 0

    def handle_starttag(self, tag, attrs):
        self.found += tag == "script" or any(name.startswith("on") for name, _ in attrs)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the images in `images`, the table that names them, and a run on it."""
    root = tmp_path_factory.mktemp("outside") / "in" / "here"
    lines = []
    for number, name in enumerate(NAMES):
        colour = (number * 53 % 256, number * 97 % 256, number * 151 % 256)
        paint(root / "images" / str(number), number, EACH, colour)
        lines += [
            json.dumps({"path": str(path), "label": name})
            for path in sorted((root / "images" / str(number)).iterdir())
        ]
    (root / "labels.jsonl").write_text("\n".join(lines))
    trained(root / "labels.jsonl", root / "run", "--freeze", "head")
    return root


def outside(place: Path) -> set[Path]:
    """Return what lies about the folder and is not in it."""
    top = place.parent.parent
    return {path for path in top.rglob("*") if place not in (path, *path.parents)}


def check_page(page: Path) -> None:
    parser, text = Scripts(), page.read_text()
    parser.feed(text)
    assert parser.found == 0
    assert "\x1b" not in text and "\u202e" not in text


def test_they_are_the_classes_and_come_back_from_every_table(place):
    assert set(json.loads((place / "run" / run_dir.LABELS).read_text())) == set(NAMES)
    assert {r.label for r in read_csv(place / "run" / run_dir.MANIFEST).records} == set(NAMES)
    assert {p.label for p in predictions.read(place / "run" / run_dir.PREDICTIONS)} == set(NAMES)


def test_a_spreadsheet_that_opens_a_table_finds_no_formula(place):
    for name in (run_dir.MANIFEST, run_dir.PREDICTIONS):
        with (place / "run" / name).open(newline="") as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert "'=1+1" in cells
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and cell]


def test_the_report_shows_them_and_runs_none(place):
    assert tl("report", place / "run").exit_code == 0
    check_page(place / "run" / run_dir.REPORT)


@pytest.mark.long
def test_evaluating_and_drawing_says_none_to_the_terminal(place):
    done = tl("evaluate", place / "run", "--plots")
    assert done.exit_code == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert tl("evaluate", place / "run", "--data", place / "labels.jsonl").exit_code == 0


@pytest.mark.others_long(1)
@pytest.mark.parametrize("link", [(), ("--link",)])
def test_sorting_keeps_them_apart_and_inside(place, tmp_path, link):
    before, into = outside(place), tmp_path / "deep" / "er" / "sorted"
    done = tl("predict", place / "run", place / "images", "--sort-into", into, "--json", *link)
    assert done.exit_code == 0, done.stderr
    folders = [path for path in into.iterdir() if path.is_dir()]
    told = json.loads(done.stdout)
    assert len(folders) == len(told["labels"])
    assert len({unicodedata.normalize("NFC", path.name).casefold() for path in folders}) == len(
        folders
    )
    assert sum(len(list(path.iterdir())) for path in folders) == told["images"]
    assert outside(place) == before
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def test_explaining_writes_inside(place):
    before, output = outside(place), place / "explained"
    some = [place / "images" / str(number) / "00.png" for number in range(3)]
    done = tl("explain", place / "run", *some, "--output", output, "--class", NAMES[0])
    assert done.exit_code == 0, done.stderr
    check_page(output / SHEET)
    assert outside(place) == before


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "saved_model", "litert", "openvino"])
def test_exporting_writes_inside(place, form):
    before = outside(place)
    done = tl("export", place / "run", "--format", form)
    assert done.exit_code == 0, done.stderr
    assert outside(place) == before


@pytest.mark.parametrize("cell", ["path", "label", "group"])
def test_a_zero_byte_is_one_sentence(place, tmp_path, cell):
    row = {"path": "x.png", "label": "a", cell: "a\0b"}
    table = tmp_path / "labels.jsonl"
    table.write_text(json.dumps(row))
    with pytest.raises(TLError, match=r"line 1: the .* holds a zero byte"):
        scan(str(table))


def test_both_unicode_forms_of_a_name_are_one_class(place, tmp_path):
    forms = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    lines = [
        json.dumps({"path": str(place / "images" / str(number) / "00.png"), "label": label})
        for number, label in enumerate([*forms, "other"])
    ]
    table = tmp_path / "labels.jsonl"
    table.write_text("\n".join(lines))
    found = scan(str(table))
    assert found.classes == ("other", forms[0])
    assert any("Unicode form" in note for note in found.notes)


def test_a_class_that_is_named_wrongly_is_one_sentence_on_one_line(place):
    done = tl("explain", place / "run", place / "images" / "0" / "00.png", "--class", "two\nlin")
    said(done, "unknown class")
