"""Where an export is put: in the place of an older one, never of what tl did not write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_cli.engine import export as exporting
from tl_cli.errors import TLError


def saved_model(folder: Path, *more: str) -> Path:
    for name in ("saved_model.pb", "variables/variables.index", "assets.extra/labels.txt", *more):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    return folder


def made(root: Path, *names: str) -> Path:
    folder = root / "made"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("new")
    return folder


def test_an_older_saved_model_is_replaced(tmp_path: Path) -> None:
    target = saved_model(tmp_path / "model")
    (tmp_path / "made").mkdir()
    saved_model(tmp_path / "made" / "model")
    assert exporting._place(tmp_path / "made", target, "") == target


@pytest.mark.parametrize("more", [("thesis.txt",), ("sub/thesis.txt",)])
def test_a_folder_with_anything_else_in_it_is_not_removed(tmp_path: Path, more) -> None:
    target = saved_model(tmp_path / "model", *more)
    (tmp_path / "made").mkdir()
    saved_model(tmp_path / "made" / "model")
    with pytest.raises(TLError, match="it holds"):
        exporting._place(tmp_path / "made", target, "")
    assert (target / more[0]).read_text() == "old"


@pytest.mark.parametrize("folder", [True, False])
def test_a_folder_that_is_no_export_is_not_removed(tmp_path: Path, folder: bool) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(TLError, match="is there and is not"):
        exporting.check_replaceable(tmp_path / "model", folder=folder)


def test_no_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    saved_model(tmp_path / "outside")
    (tmp_path / "model").symlink_to(tmp_path / "outside")
    with pytest.raises(TLError):
        exporting.check_replaceable(tmp_path / "model", folder=True)


def test_a_second_file_takes_the_place_of_its_own_kind_alone(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("mine")
    with pytest.raises(TLError, match="belongs to another model"):
        exporting._place(made(tmp_path, "model.bin", "model.xml"), tmp_path / "model.xml", "")
    assert (tmp_path / "model.bin").read_text() == "mine"
    (tmp_path / "model.xml").write_text("old")  # then both are of an older export
    exporting._place(tmp_path / "made", tmp_path / "model.xml", "")
    assert (tmp_path / "model.bin").read_text() == "new"
