"""Tables as other programs write them: encodings, dialects, paths, numbers, names of classes."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from conftest import picture, table
from tl_cli.data.class_names import clean, joined, known
from tl_cli.data.columns import column
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.data.sources.inputs import named_images
from tl_cli.errors import TLError


def refused(file: Path, **options: object) -> str:
    with pytest.raises(TLError) as caught:
        scan(str(file), **options)  # type: ignore[arg-type]
    assert caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


def labels(file: Path) -> dict[str, str]:
    manifest = scan(str(file))
    assert not manifest.bad
    return {Path(r.path).relative_to(file.parent).as_posix(): r.label for r in manifest.records}


FRENCH = "path,label\ncat/00.png,café\ndog/00.png,thé\n"
READ = {"cat/00.png": "café", "dog/00.png": "thé"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("parted", [",", "\t", ";", "|"])
def test_a_table_is_read_in_the_encoding_and_dialect_it_was_saved_in(
    folder: Path, encoding: str, parted: str
) -> None:
    file = table(folder, FRENCH.replace(",", parted).replace("\n", "\r\n").encode(encoding))
    assert labels(file) == READ
    notes = [note for note in scan(str(file)).notes if "Windows-1252" in note]
    assert len(notes) == (encoding == "cp1252")
    assert all("line 2" in note and "café" in note for note in notes)


def test_big_endian_utf_16_json_lines_and_files_of_two_encodings(folder: Path) -> None:
    file = table(folder, b"\xfe\xff" + FRENCH.encode("utf-16-be"))
    assert labels(file) == READ
    rows = [json.dumps({"path": p, "label": n}, ensure_ascii=False) for p, n in READ.items()]
    assert labels(table(folder, "\n".join(rows).encode("cp1252"), "t.jsonl")) == READ
    mixed = "path,label\ncat/00.png,café\n".encode() + "dog/00.png,thé\n".encode("cp1252")
    assert labels(table(folder, mixed)) == READ


def test_bytes_in_neither_encoding_are_refused_with_their_line(folder: Path) -> None:
    said = refused(table(folder, b"path,label\ncat/00.png,cat\ndog/00.png,\x81\x8d\n"))
    assert "line 3: neither UTF-8 nor Windows-1252" in said
    assert "is not a text file in UTF-8" in refused(table(folder, b"\xff\xfea"))


def test_names_of_files_in_old_bytes_are_found_from_a_table_in_old_bytes(folder: Path) -> None:
    picture(90).save(os.fsencode(folder) + b"/caf\xe9.png")
    manifest = scan(str(table(folder, b"path,label\ncaf\xe9.png,a\ncat/00.png,b\n")))
    assert not manifest.bad
    assert os.fsencode(manifest.records[0].path).endswith(b"/caf\xe9.png")
    listed = named_images([str(table(folder, b"caf\xe9.png\n", "list.txt"))])
    assert [os.fsencode(path) for path in listed] == [os.fsencode(folder) + b"/caf\xe9.png"]


def test_two_columns_without_a_header_are_paths_and_labels(folder: Path) -> None:
    file = table(folder, "cat/00.png,x\ndog/00.png,y\n")
    assert labels(file) == {"cat/00.png": "x", "dog/00.png": "y"}
    assert any("has no header" in note for note in scan(str(file)).notes)
    assert labels(table(folder, "x\tcat/00.png\ny\tdog/00.png\n"))["cat/00.png"] == "x"
    said = refused(table(folder, "cat/00.png,x,train\ndog/00.png,y,train\n"))
    assert "has no header" in said and "path,label" in said


def test_other_names_of_columns_are_answered_with_the_option_that_names_them(folder: Path) -> None:
    said = refused(table(folder, "id\tbreed\n00\tcat\n"))
    assert "--columns path=id,label=breed" in said
    assert "--columns path=...,label=..." in refused(table(folder, "a,b\n1,2\n"))
    assert labels(table(folder, "Path,LABEL\ncat/00.png,x\ndog/00.png,y\n"))["dog/00.png"] == "y"
    assert labels(table(folder, "sep=;\npath;label\ncat/00.png;x,1\ndog/00.png;y\n")) == {
        "cat/00.png": "x,1",
        "dog/00.png": "y",
    }


@pytest.mark.parametrize(
    "cells",
    [
        ("cat\\00.png", ".\\dog\\01.png"),
        (" cat/00.png", "dog/01.png "),
        ("cat/00", "dog/01"),
        (" cat\\00", "dog\\01"),
        ("cat/00.PNG", "dog/01.Png"),
        ("cat/00.jpg", "dog/01"),
    ],
)
def test_paths_as_other_systems_write_them(folder: Path, cells: tuple[str, str]) -> None:
    if cells[0].endswith(".jpg"):  # another ending is another file
        assert scan(str(table(folder, f"path,label\n{cells[0]},a\ndog/01,b\ncat/01,a\n"))).bad
        return
    file = table(folder, f"path,label\n{cells[0]},a\n{cells[1]},b\n")
    assert labels(file) == {"cat/00.png": "a", "dog/01.png": "b"}
    paths = named_images([str(table(folder, "\n".join(cells), "list.txt"))])
    assert paths == [str(folder / "cat/00.png"), str(folder / "dog/01.png")]
    table(folder, f"path,label,camera\n{cells[0]},a,K\n{cells[1]},b,N\n")
    assert set(column(scan(str(file)), "camera", str(file))) == set(paths)


def test_names_with_blanks_or_backslashes_of_their_own_are_taken_as_they_are(folder: Path) -> None:
    for seed, name in enumerate((" odd.png", "a\\b.png", "odd.png")):
        picture(900 + seed).save(folder / name)
    file = table(folder, "path,label\n odd.png,a\na\\b.png,b\n")
    assert labels(file) == {" odd.png": "a", "a\\b.png": "b"}


def test_an_id_that_two_images_have_is_not_guessed(folder: Path) -> None:
    picture(91).save(folder / "cat" / "00.jpg")
    said = refused(table(folder, "path,label\ncat/00,a\ndog/00,b\n"))
    assert "line 2: 'cat/00' may be '00.jpg' or '00.png'" in said


def test_paths_in_the_other_unicode_form(folder: Path) -> None:
    picture(92).save(folder / unicodedata.normalize("NFD", "été.png"))
    text = "path,label\n" + unicodedata.normalize("NFC", "été.png") + ",a\ncat/00.png,b\n"
    assert not scan(str(table(folder, text))).bad


def test_a_wrong_base_folder_says_where_the_first_was_looked_for_and_what_is_odd(
    folder: Path,
) -> None:
    said = refused(table(folder, "path,label\nimages/cat/00.png,a\nimages/dog/00.png,b\n"))
    assert f"'{folder}/images/cat/00.png': '{folder}' is there, '{folder}/images' is not" in said
    assert "none of the 2 files" in said
    assert f"it is there as 'cat/00.png' in '{folder}', without 'images/'" in said
    said = refused(table(folder, "path,label\nC:\\pics\\a.png,a\nC:\\pics\\b.png,b\n"))
    assert "it is an address of another system" in said
    said = refused(table(folder, "path,label\npics\\a.png,a\npics\\b.png,b\n"))
    assert f"'{folder}/pics/a.png': '{folder}' is there, '{folder}/pics' is not" in said
    assert "holds no 'x.png'" in refused(table(folder, "path,label\nx.png,a\ny.png,b\n"))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_whole_numbers_that_a_data_frame_made_floats(folder: Path, ending: str) -> None:
    import pyarrow
    from pyarrow import parquet

    file = folder / f"t.{ending}"
    rows = [(f"cat/0{i}.png", float(i % 2), g) for i, g in enumerate((1.0, 2.0, None, 10.0))]
    if ending == "parquet":
        dicts = [dict(zip(("path", "label", "group"), row, strict=True)) for row in rows]
        parquet.write_table(pyarrow.Table.from_pylist(dicts), file)
    elif ending == "jsonl":
        file.write_text("\n".join(json.dumps({"path": p, "label": str(n)}) for p, n, _ in rows))
    else:
        parted = "," if ending == "csv" else "\t"
        text = [("path", "label", "group"), *((p, str(n), str(g or "")) for p, n, g in rows)]
        file.write_text("\n".join(parted.join(row) for row in text))
    manifest = scan(str(file))
    assert manifest.classes == ("0", "1")
    if ending != "jsonl":
        assert [r.group for r in manifest.records] == ["1", "2", "", "10"]


def test_numbers_that_are_not_all_whole_stay(folder: Path) -> None:
    file = table(folder, "path,label\ncat/00.png,1.0\ncat/01.png,1.5\ndog/00.png,2.0\n")
    assert scan(str(file)).classes == ("1.0", "1.5", "2.0")


# ---------------------------------------------------------------- names of classes


def named(*names: tuple[str, str]) -> Manifest:
    records = tuple(Record(f"/{i}", label, split) for i, (label, split) in enumerate(names))
    return joined(Manifest("made", (), records))


def test_names_equal_but_for_unicode_form_and_blanks_are_one_class(folder: Path) -> None:
    other = unicodedata.normalize("NFD", "café")
    manifest = named(("café", ""), (other, ""), (" café\xa0", ""), ("thé", ""))
    assert [r.label for r in manifest.records] == ["café", "café", "café", "thé"]
    [note] = manifest.notes
    assert "one class, 1 class: 'café'" in note and "e\\u0301" in note
    assert named(("a", ""), ("b", "")).notes == ()
    for name in ("café", other, "cat "):
        (folder / name).mkdir(exist_ok=True)
        picture(len(name) + len(name.encode())).save(folder / name / "x.png")
    assert scan(str(folder)).classes == ("café", "cat", "dog")


def test_names_that_differ_in_case_are_one_class_only_where_no_split_has_both() -> None:
    manifest = named(("a", ""), ("A", ""), ("b", ""))
    assert [r.label for r in manifest.records] == ["a", "A", "b"]
    assert "differ only in case are kept apart: 'A' and 'a'" in manifest.notes[0]
    manifest = named(("Cat", "train"), ("cat", "test"), ("dog", "train"), ("dog", "test"))
    assert [r.label for r in manifest.records] == ["Cat", "Cat", "dog", "dog"]
    assert "'Cat' and 'cat' are 'Cat'" in manifest.notes[0]


def test_names_in_old_bytes_are_carried_as_text(folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(folder) + b"/caf\xe9"
    os.mkdir(odd)  # noqa: PTH102
    for i in range(2):
        picture(95 + i).save(odd + b"/\xff%d.png" % i)
    manifest = scan(str(folder))
    assert manifest.classes == ("café", "cat", "dog")
    assert any("not in UTF-8, read as Windows-1252" in note for note in manifest.notes)
    write_csv(manifest, tmp_path / "m.csv")
    assert read_csv(tmp_path / "m.csv").records == manifest.records
    assert scan(str(tmp_path / "m.csv")).records == manifest.records


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    for name in ("\ud800", os.fsdecode(b"\x81\x8d")):
        with pytest.raises(TLError, match="is no text in UTF-8"):
            clean(name)
    rows = '{"path": "cat/00.png", "label": "\\ud800"}\n{"path": "dog/00.png", "label": "b"}\n'
    assert "is no text in UTF-8" in refused(table(folder, rows, "t.jsonl"))
    rows = '{"path": "\\ud800.png", "label": "a"}\n{"path": "dog/00.png", "label": "b"}\n'
    assert "line 1" in refused(table(folder, rows, "t.jsonl"))


def test_of_other_images_those_of_the_checkpoint_s_classes_are_compared() -> None:
    labels = ("cat", "Dog", "owl", "owl")
    records = tuple(Record(f"/{i}", label) for i, label in enumerate(labels))
    manifest = Manifest("made", ("Dog", "cat", "owl"), records)
    found = known(manifest, ("cat", "dog", "fox"))
    assert [r.label for r in found.records] == ["cat", "dog"]
    assert found.classes == ("cat", "dog")
    assert "'Dog' is 'dog'" in found.notes[0]
    assert "2 images of 1 class that the checkpoint does not know left out" in found.notes[1]
    assert known(manifest, ("cat", "Dog", "owl")) == manifest
    assert known(manifest, ("a", "b")) == manifest, "nothing to compare: the caller refuses"
    assert [r.label for r in known(manifest, ("cat", "dog", "DOG")).records] == ["cat"]
