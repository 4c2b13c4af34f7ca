"""`tl demo` in headless Chromium, with real uploads: what is seen, and that nobody is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from browser import Browser, find
from test_cli import REAL
from trained import photos, trained

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find(), reason="there is no Chromium"),
]
NASTY = "<img src=x onerror=alert(1)> ${1+1} {{2*3}}"
COMMAND = "import sys; from tl_cli.cli.app import main; sys.argv[0] = 'tl'; main()"
DEAD = "http://127.0.0.1:9"  # a proxy that is not there: who asks the world gets an error


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = photos(tmp_path_factory.mktemp("dropped") / "photos")
    for split in ("train", "val", "test"):
        (root / split / "red").rename(root / split / NASTY)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    return trained(data, tmp_path_factory.mktemp("runs") / "run", "--freeze", "head", *REAL)


@pytest.fixture
def server(run, tmp_path, monkeypatch):
    """Start the command; give its process and the address of its page."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary), "http_proxy": DEAD, "https_proxy": DEAD}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "demo", str(run), "--min-confidence", "0.6"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            said = process.stdout.readline()
            assert said.startswith("The page is at http://127.0.0.1:"), process.communicate()[1]
            yield process, said.split()[4], temporary
        finally:
            process.kill()


def test_images_are_dropped_and_answered_and_nobody_else_is_told(server, data, tmp_path):
    process, url, temporary = server
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    nasty = data / "test" / NASTY / "00.png"
    with Browser(tmp_path / "profile") as browser:
        for width in (1280, 390):
            browser.navigate(url, width, dark=width < 600)
            browser.wait_for("!!document.querySelector('input[type=file]')")
            browser.upload("input[type=file]", [nasty, data / "test" / "blue" / "00.png", bad])
            browser.wait_for("document.querySelectorAll('.tl-answer').length == 3")
            text = str(browser.evaluate("document.body.innerText"))
            assert NASTY in text
            assert "This file is not an image (text), so nothing can be said of it." in text
            pictures = "[...document.querySelectorAll('.tl-answer img')]"
            assert browser.evaluate(f"{pictures}.length") == 2 * (2 + 5)
            assert browser.evaluate(f"{pictures}.every(i => i.naturalWidth > 0)")
            assert browser.evaluate("document.querySelectorAll('.tl-fill').length") == 6
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert [asked for asked in browser.requests() if not asked.startswith(url)] == []
        others = [c for c in psutil.Process(process.pid).net_connections() if c.raddr]
        assert {connection.raddr.ip for connection in others} <= {"127.0.0.1"}
        process.send_signal(signal.SIGINT)  # while the page is open
        assert process.wait(30) == 0
    assert process.stderr.read().endswith("the page is closed\n")
    assert not list(temporary.glob("tl-demo-*"))
