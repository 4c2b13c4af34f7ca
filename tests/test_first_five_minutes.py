"""docs/first-five-minutes.md: its commands are there, its screens fit, its words are plain."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer

from tl_cli.cli.app import app

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "first-five-minutes.md").read_text()
SCREENS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
JARGON = (
    "backbone", "epoch", "fine-tun", "feature", "logit", "softmax", "BatchNorm", "freeze",
    "frozen", "calibrat", "validation", "hyperparameter", "gradient", "tensor", "F1", "log loss",
    "cross-valid", "regulariz", "overfit", "Grad-CAM", "augment",
)  # fmt: skip
ITS_NAME = r"file://\S+|tl-cli\[demo\]|glossary\.md|\(\S+\.md\S*\)"


def commands() -> list[str]:
    return [line[2:] for text in SCREENS for line in text.splitlines() if line.startswith("$ ")]


def test_every_command_is_there_with_its_options():
    known = typer.main.get_command(app).commands
    assert len(commands()) >= 5
    for command in commands():
        program, name, *words = shlex.split(command)
        assert program == "tl"
        options = {option for param in known[name].params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= options, command


def test_every_screen_fits_eighty_columns():
    for text in SCREENS:
        for line in text.splitlines():
            assert len(line) <= 80 or "file://" in line, line
            assert line == line.rstrip()
            assert "Traceback" not in line
            assert not line.startswith("error")


def test_it_ends_in_an_answer_about_a_photo_and_says_how_good_it_is():
    assert re.search(r"✔ Recognises \d", PAGE)
    assert re.search(r"^IMG_2041\.jpg  \w+ 0\.\d{3}$", PAGE, re.MULTILINE)


def test_no_word_needs_to_be_known():
    text = re.sub(ITS_NAME, "", PAGE)
    assert [word for word in JARGON if re.search(rf"\b{word}", text, re.IGNORECASE)] == []


def test_the_glossary_has_ten_words_and_is_linked():
    assert "(glossary.md)" in PAGE
    text = (DOCS / "glossary.md").read_text()
    assert len(re.findall(r"^\*\*.+?\*\*:", text, re.MULTILINE)) == 10
