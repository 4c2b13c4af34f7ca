"""Tables without a header, of bare names, with comments, blanks, columns twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import table
from test_tables import labels, refused
from tl_cli.data.columns import column
from tl_cli.data.scan import scan

READ = {"cat/00.png": "a", "dog/00.png": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "path,label\ncat/00.png,a\ndog/00.png,b\n\n,\n  ,\n",
        "path,label\ncat/00.png,a\ndog/00.png,b\n \n",
        "path,label\ncat/00.png,a,\ndog/00.png,b,,\n",
        '"path", "label"\n"cat/00.png", "a"\n"dog/00.png", "b"\n',
        "# made by a camera\n\npath,label\ncat/00.png,a\ndog/00.png,b\n",
        "path label\ncat/00.png a\ndog/00.png b\n",
        "path:label\ncat/00.png:a\ndog/00.png:b\n",
        "path,label,,\ncat/00.png,a,,\ndog/00.png,b,,\n",
    ],
)
def test_rows_with_blanks_and_comments(folder: Path, text: str) -> None:
    assert labels(table(folder, text)) == READ


def test_a_blank_before_a_path_is_no_blank_before_a_quote(folder: Path) -> None:
    (folder / "cat" / "00.png").rename(folder / " odd.png")
    assert labels(table(folder, 'path,label\n odd.png,"x, ""y"""\ndog/00.png,b\n')) == {
        " odd.png": 'x, "y"',
        "dog/00.png": "b",
    }


def test_columns_without_a_header_are_named_by_number(folder: Path) -> None:
    file = table(folder, "0,cat/00.png,a,train\n1,dog/00.png,b,train\n2,dog/01.png,b,val\n")
    said = refused(file)
    assert "has no header: its first line is '0, cat/00.png, a, train'" in said
    assert "--columns path=2,label=3" in said
    manifest = scan(str(file), columns={"path": "2", "label": "3", "split": "4"})
    assert [(r.label, r.split) for r in manifest.records] == [
        *(("a", "train"), ("b", "train"), ("b", "val"))
    ]
    assert any("has no header" in note for note in manifest.notes)


def test_a_column_that_is_there_twice_is_refused(folder: Path) -> None:
    assert "two columns called 'label'" in refused(
        table(folder, "path,label,label\ncat/00.png,a,x\ndog/00.png,b,y\n")
    )
    assert labels(table(folder, "path,label,note,note\ncat/00.png,a,,\ndog/00.png,b,,\n")) == READ


def test_a_quote_that_stays_open_is_told_with_the_line_where_it_may_begin(folder: Path) -> None:
    text = 'path,label\ncat/00.png,a\n"dog/00.png,b\ndog/01.png,b\ndog/02.png,b\n'
    assert "from line 3 on" in refused(table(folder, text))


def test_bare_names_are_looked_for_in_the_folders_below(folder: Path) -> None:
    for name in ("cat", "dog"):
        for file in sorted((folder / name).glob("*.png")):
            file.rename(file.with_name(f"{name}{file.name}"))
    file = table(folder, "id,breed,camera\ncat00,a,K\ndog00,b,N\nowl00,b,N\n", "train.csv")
    names = {"path": "id", "label": "breed"}
    manifest = scan(str(file), columns=names)
    assert [Path(r.path).name for r in manifest.records] == ["cat00.png", "dog00.png"]
    assert [bad.reason for bad in manifest.bad] == ["does not exist"]
    [note] = [note for note in manifest.notes if "in folders below" in note]
    assert f"'cat00' was looked for at '{folder}/cat00'" in note
    cameras = column(manifest, "camera", str(file), names)
    assert [cameras[r.path] for r in manifest.records] == ["K", "N"]


def test_a_bare_name_that_two_images_have_is_the_one_in_a_folder_called_as_the_table(
    folder: Path,
) -> None:
    said = refused(table(folder, "path,label\n00.png,a\n01.png,b\n"))
    assert f"'{folder}/00.png'" in said
    (folder / "cat").rename(folder / "train_images")
    assert labels(table(folder, "path,label\n00.png,a\n01.png,b\n", "train.csv")) == {
        "train_images/00.png": "a",
        "train_images/01.png": "b",
    }


@pytest.mark.parametrize("name", ["Training", "TRAIN", "train set", "trn"])
def test_splits_in_a_table_are_called_as_those_of_folders(folder: Path, name: str) -> None:
    file = table(folder, f"path,label,split\ncat/00.png,a,{name}\ndog/00.png,b,Hold-Out\n")
    assert [r.split for r in scan(str(file)).records] == ["train", "test"]


def test_quotes_of_another_kind_are_what_is_odd(folder: Path) -> None:
    said = refused(table(folder, "path,label\n'cat/00.png','a'\n'dog/00.png','b'\n"))
    assert "it has quotes around it" in said
