"""Names as people's files have them: too long to derive others from, or obeyed by a terminal."""

import os

import pytest

from tl_cli.errors import TLError
from tl_cli.humanize import typed
from tl_cli.report.page import _environment
from tl_cli.store import run_dir, sorted_folders
from tl_cli.store.file_names import shortened
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_writer import Printed


@pytest.mark.parametrize("stem", ["a" * 255, "é" * 127, "猫" * 85])
def test_a_derived_name_fits_and_is_its_own(stem):
    one, other = shortened(stem, ".gradcam.png"), shortened(stem[:-1] + "z", ".gradcam.png")
    assert one != other
    assert one.endswith(".gradcam.png")
    assert len(os.fsencode(one)) <= 255


def test_what_fits_stays_as_it_is():
    assert shortened("a" * 251, ".png") == "a" * 251 + ".png"


@pytest.mark.parametrize("link", [True, False])
def test_long_names_are_sorted(tmp_path, link):
    image = tmp_path / ("a" * 251 + ".jpg")
    image.write_bytes(b"one")
    again = tmp_path / "b" / image.name
    again.parent.mkdir()
    again.write_bytes(b"another")
    (tmp_path / "sorted").mkdir()
    [name] = sorted_folders.folder_names(["l" * 400]).values()
    placed = {
        sorted_folders.put(path, tmp_path / "sorted", name, link=link) for path in (image, again)
    }
    assert len(placed) == 2
    assert {path.read_bytes() for path in placed} == {b"one", b"another"}


def test_a_run_is_named_for_a_folder_with_a_long_name(tmp_path):
    data = tmp_path / ("d" * 255)
    data.mkdir()
    for _ in range(2):
        run = run_dir.RunDir.create_named(tmp_path / "runs", run_dir.name_for(str(data)))
        assert run.path.is_dir()


def test_commands_can_be_pasted():
    assert typed("tl", "evaluate", "runs/my photos") == "tl evaluate 'runs/my photos'"


def test_a_page_shows_what_a_name_holds():
    page = _environment().from_string("{{ name }}").render(name="a\x1b[31m<b>\u202e\n")
    assert page == r"a\x1b[31m&lt;b&gt;\u202e\n"


def test_rows_on_a_terminal_are_escaped_and_elsewhere_faithful(monkeypatch, capfdbinary):
    answer = ImagePrediction("a\x1b[31m\nb.jpg", (("x\x1b", 0.5),), "x\x1b")
    Printed().write([answer])
    assert b'"a\x1b[31m\nb.jpg",x\x1b' in capfdbinary.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Printed().write([answer])
    out = capfdbinary.readouterr().out
    assert b"\x1b" not in out and rb"a\x1b[31m\nb.jpg,x\x1b" in out


def test_only_mistakes_of_a_configuration_have_lines(capsys):
    from tl_cli.console.screen import Screen

    Screen().error(TLError("no 'a\n  error: b'"))
    assert r"no 'a\n  error: b'" in capsys.readouterr().err
    Screen().error(TLError("2 mistakes in the configuration:\n  one\n  two"))
    assert "\n  one\n  two" in capsys.readouterr().err
