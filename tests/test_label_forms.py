"""What a table's labels are: lists and quantities are seen, and asked about before training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import ImageFolder, table
from tl_cli.cli.app import app
from tl_cli.data import label_forms
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.errors import TLError


def read(*labels: str, task: str = "auto") -> Manifest:
    records = tuple(Record(f"{i}.png", label) for i, label in enumerate(labels))
    return label_forms.formed(Manifest("t.csv", (), records), task)


def doubt(*labels: str) -> str:
    asked = read(*labels).doubt
    return asked.what if asked else ""


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (("ants;insect", "bees;insect"), "lists: 2 of 2 images have several, parted by ';'"),
        (("ants|insect", "insect", "insect"), "lists: 1 of 3 images has several, parted by '|'"),
        (("ants,insect", "insect,bees"), "lists: 2 of 2 images have several, parted by ','"),
        (("1,5", "5,1", "1,5"), "lists: 3 of 3 images have several"),  # or decimals?
        ([f"{i},5" for i in range(12)], "a quantity: 12 different numbers"),
        ([str(17 * i) for i in range(12)], "a quantity: 12 different numbers on 12 images"),
    ],
)
def test_lists_and_quantities_are_asked_about(labels: list[str], what: str) -> None:
    assert what in doubt(*labels)


@pytest.mark.parametrize(
    "labels",
    [
        ("cat", "dog", "cat"),
        ("cat;", "dog"),  # no second name
        ("Doe, Jane", "Doe, John", "Doe, Jane"),  # a comma in a name
        ("black;white", "grey"),  # nothing recurs
        ("1.5", "2.5", "2.0") * 20,  # grades
        [str(i) for i in range(12)] * 2,  # numbered classes
        (),
    ],
)
def test_classes_are_classes(labels: list[str]) -> None:
    assert not doubt(*labels)


@pytest.mark.parametrize("separator", [";", "|", ",", ", ", " ; "])
def test_where_every_name_recurs_an_image_has_several_labels(separator: str) -> None:
    found = read(*(label.replace(";", separator) for label in ("b;a", "a", "b", "c;b", "c")))
    assert found.task == MULTILABEL and not found.doubt
    assert [r.label for r in found.records] == ["a;b", "a", "b", "b;c", "c"]
    assert "2 of 5 images have several labels" in found.notes[0]
    said = read("b;a", "a", "b", task="classification")
    assert said.task == CLASSIFICATION and said.records[0].label == "b;a"


def test_a_task_that_is_said_is_not_asked_about() -> None:
    found = read("ants;insect", "bees;insect", task="multilabel")
    assert found.task == MULTILABEL and found.names(found.records[0]) == ("ants", "insect")
    with pytest.raises(TLError, match="holds both"):
        read("a|b;c", "a|d", "d|a|e", task="multilabel")


def test_columns_of_0_and_1_and_lists_in_cells_are_labels(folder: Path) -> None:
    text = "path,width,ants,bees\ncat/00.png,9,1,1\ndog/00.png,8,0,1\ndog/01.png,7,0,0\n"
    manifest = scan(str(table(folder, text)))
    assert manifest.task == MULTILABEL and manifest.classes == ("ants", "bees")
    assert [r.label for r in manifest.records] == ["ants;bees", "bees", ""]
    lines = '{"path": "cat/00.png", "label": ["x", "y"]}\n{"path": "dog/00.png", "label": []}\n'
    assert scan(str(table(folder, lines, "t.jsonl"))).counts() == {"x": 1, "y": 1}
    with pytest.raises(TLError, match="no column 'label'"):
        scan(str(table(folder, text)), task="classification")


def rows(folder: Path, *labels: str) -> Path:
    files = sorted(p for p in folder.rglob("*.png"))
    lines = [f"{p.relative_to(folder)},{label}" for p, label in zip(files, labels, strict=True)]
    return table(folder, "\n".join(["path,label", *lines]))


def test_a_table_of_lists_is_wrong_until_it_is_said_what_is_meant(
    image_folder: ImageFolder,
) -> None:
    folder = image_folder(n=6)
    file = rows(folder, *["ants;insect"] * 6, *["bees;insect"] * 6)
    run = CliRunner().invoke
    told = json.loads(run(app, ["inspect", str(file), "--json"]).stdout)
    (asked,) = (f for f in told["findings"] if f["kind"] == "labels")
    assert asked["severity"] == "wrong" and "ants;insect" in asked["text"]
    assert "--task classification" in asked["meaning"] and "--task multilabel" in asked["meaning"]
    refused = run(app, ["train", str(file), "--dry-run"])
    assert refused.exit_code == 1 and "look like lists" in refused.stderr
    said = json.loads(run(app, ["inspect", str(file), "--task", "classification", "--json"]).stdout)
    assert not said["wrong"] and said["classes"] == ["ants;insect", "bees;insect"]


def test_folders_are_classes_whatever_they_are_called(image_folder: ImageFolder) -> None:
    assert scan(str(image_folder(("a;x", "b;x")))).doubt is None
