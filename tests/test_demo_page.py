"""The page of `tl demo` without its server: what it shows, where it listens, what it needs."""

from __future__ import annotations

import importlib.util
import re
import socket

import numpy as np
import pytest

from conftest import picture
from test_cli import said, tl
from tl_cli.cli import demo
from tl_cli.cli.session import Terminated
from tl_cli.console.screen import Screen
from tl_cli.errors import TLError
from tl_cli.report.demo import MOST, answers_html
from tl_cli.results.demo import DemoAnswer
from tl_cli.results.explanations import Neighbour

NASTY = "<img src=x onerror=alert(1)> ${1+1} {{2*3}} \x1b[2J"
HEAT = np.eye(4, dtype="float32")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a rose.png"
    picture(1, (60, 40)).save(path)
    return str(path)


def test_the_guesses_are_bars_and_the_image_lies_beside_its_map(image):
    near = (Neighbour(image, "rose", 0.93), Neighbour("/gone.png", "daisy", 0.5))
    answer = DemoAnswer(image, (("rose", 0.75), ("daisy", 0.25)), heat=HEAT, neighbours=near)
    page = answers_html(lambda path: answer, [image])
    assert re.findall(r'tl-fill" style="width:([\d.]+)%', page) == ["75.0", "25.0"]
    assert "<strong>rose</strong>" in page
    assert page.count("data:image/jpeg;base64,") == 3  # the image, its map, the neighbour
    assert "rose 0.93" in page
    assert ">gone<" in page
    assert "tl-unsure" not in page


def test_an_unsure_answer_says_so(image):
    page = answers_html(lambda path: DemoAnswer(path, (("rose", 0.4),), unsure=True), [image])
    assert re.search(r"unsure</strong>, perhaps rose", page)


def test_a_bad_upload_is_a_sentence(tmp_path):
    page = answers_html(
        lambda path: DemoAnswer(path, error="is not an image (text)"), [str(tmp_path / "x.jpg")]
    )
    assert "This file is not an image (text), so nothing can be said of it." in page
    assert "<img" not in page


def test_names_are_text(image):
    answer = DemoAnswer(f"/x/{NASTY}", ((NASTY, 0.9),), neighbours=(Neighbour("", NASTY, 0.1),))
    page = answers_html(lambda path: answer, [image])
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "\x1b" not in page


def test_more_files_than_are_looked_at_are_told(image):
    asked = []

    def answer(path):
        asked.append(path)
        return DemoAnswer(path, (("rose", 0.9),))

    page = answers_html(answer, [image] * (MOST + 2))
    assert len(asked) == MOST
    assert f"2 more files not looked at: {MOST} at a time." in page
    assert "tl-answer" in answers_html(answer, [])


# -- the command ----------------------------------------------------------------------------------


def test_without_gradio_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TLError, match="gradio, which is not installed") as caught:
        demo._need_gradio()
    assert caught.value.hint == "pip install 'tl-cli[demo]'"


def test_it_listens_on_this_machine_alone():
    with demo._listening(None) as one, demo._listening(None) as other:
        assert one.getsockname()[0] == other.getsockname()[0] == "127.0.0.1"
        assert one.getsockname() != other.getsockname()


def test_a_port_that_is_taken_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(TLError, match=f"port {port} cannot be used") as caught,
            demo._listening(port),
        ):
            pass
        assert caught.value.hint == "choose another --port"


@pytest.mark.parametrize(("stop", "ends"), [(KeyboardInterrupt, False), (Terminated, True)])
def test_ctrl_c_closes_the_page_and_is_no_error(monkeypatch, capsys, stop, ends):
    import uvicorn

    def run(self, sockets):
        raise stop

    monkeypatch.setattr(uvicorn.Server, "run", run)
    with demo._listening(None) as listener:
        if ends:
            with pytest.raises(Terminated):
                demo._serve(None, listener, Screen(), json=False)
            return
        demo._serve(None, listener, Screen(), json=False)
        port = listener.getsockname()[1]
    said = capsys.readouterr()
    assert said.out == f"The page is at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
    assert said.err == "the page is closed\n"


def test_a_run_that_is_none_is_told_before_the_page_opens(tmp_path):
    said(tl("demo", tmp_path), "holds no checkpoint.json")
