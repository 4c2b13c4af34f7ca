"""How whoever gets an exported file is to open images for it: a page of words, Python, JavaScript.

What comes between the image file and the network decides the numbers as much as the network does.
Both programs stand in `recipes/`, the part that opens an image and one for each runtime; and five
lines for each that are shown when it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from tl_cli.data import channels, grey_levels, presence
from tl_cli.data.manifest import REGRESSION, Record
from tl_cli.engine.export.network import Network
from tl_cli.export_formats import Format
from tl_cli.humanize import printable
from tl_cli.store.run_dir import replacing

ENDING, FIGURES = ".md", ".json"
KERAS = "keras"  # the row that answers with a bare array where there is one output
VERDICT = ', "unknown" if said["unknown_score"][0] > 1 else "known"'
SOME_IMAGE = "photo.jpg"
OPENED = (".jpg", ".jpeg", ".png")  # by the lines of every format

MORE = {
    "saved_model": """
The resizing is inside, too: `serving_default` takes images of any size, and the signature `encoded`
takes the bytes of JPEG and PNG files as `files` and does all of the above itself.
"""
}

SEVERAL = """
An image may have several labels: each probability is a sigmoid, a label by itself, and they do not
sum to 1. A label is said from its threshold on; in the order of `CLASSES` they are: {}.
"""
UNKNOWN = """
A second output, `unknown_score`, [batch], tells how unlike all training images an image is: above 1
call it `unknown`, whatever `{}` says. `{}` is the first output{}.
"""
BY_NAME = """; since
there are two, Keras answers with a dictionary by these names"""
SCALED = """of 16 bits are scaled by what the training images hold, so that the level
{:,} becomes 255: the Python program does so with grey ones; any others have to be scaled first"""
UNSCALED = "have to be scaled to 0..255 first"


def page(network: Network, form: Format, name: str) -> str:
    """Return the page for an exported file of that name."""
    bits, number = grey_levels.in_use(), network.built.task == REGRESSION
    quantity = network.built.classes[0]
    full = 2 ** (bits or grey_levels.FILE) - 1
    values = {
        "SIZE_": str(network.size),
        "CLASSES_": classes_of(network.built.classes),
        "FILE_": json.dumps(name),
        "FULL_": str(full),
        "ANSWER_": _answer(network, form),
    }

    def program(language: str, ending: str) -> str:
        if not _has(f"{form.name}.{ending}"):
            return ""
        text = _filled(_part(f"image.{ending}") + "\n" + _part(f"{form.name}.{ending}"), values)
        text = text.replace("probabilities", network.output)
        return f"\n## {language}\n\n```{language.lower()}\n{text}```\n"

    return _part("page.md.txt").format(
        name=printable(name),
        title=form.title,
        size=network.size,
        count=len(network.built.classes),
        output=network.output,
        order=f"in the unit of {json.dumps(quantity)}" if number else "in the\norder of `CLASSES`",
        what="numbers" if number else "probabilities",
        others="" if number else ", by 0.1 and more",
        near="nearly exactly" if number else "to 0.01",
        more=_bands() + MORE.get(form.name, "") + _more(network, form),
        deep=SCALED.format(full) if bits else UNSCALED,
        python=program("Python", "py.txt"),
        javascript=program("JavaScript", "js.txt"),
    )


def _more(network: Network, form: Format) -> str:
    """Return what is to be known of several labels an image, and of unknown images."""
    thresholds = ", ".join(f"{value:.4f}" for value in network.built.thresholds)
    several = SEVERAL.format(thresholds) if thresholds else ""
    if not network.unlike:
        return several
    first, named = network.outputs[0], BY_NAME if form.name == KERAS else ""
    return several + UNKNOWN.format(network.output, first, named)


def _answer(network: Network, form: Format) -> str:
    """Return how probabilities are read off what a network says: Keras names no lone output."""
    return "" if form.name == KERAS and not network.unlike else '["probabilities"]'


def _bands() -> str:
    """Return on which bands the network was trained, where its files had more than three."""
    chosen = channels.in_use()
    if not chosen:
        return ""
    named = " and ".join([", ".join(map(str, chosen[:-1])), str(chosen[-1])][len(chosen) == 1 :])
    return f"\nOf images of many bands it was trained on {named} (counted from 1), in this order.\n"


def usage(network: Network, form: Format, exported: Path, image: str) -> str:
    """Return a few lines of Python that run an exported file on an image, from this folder.

    `image`: the path of an image file.
    """
    values = {
        "SIZE_": str(network.size),
        "FILE_": _literal(str(exported)),
        "FIGURES_": _literal(f"{exported}{FIGURES}"),
        "IMAGE_": _literal(image),
        "ANSWER_": _answer(network, form),
        "NAMES_": json.dumps(network.outputs),
        "UNKNOWN_": VERDICT if network.unlike else "",
    }
    text = _filled(_part(f"{form.name}.use.txt"), values)
    return text.replace('["probabilities"]', f'["{network.output}"]')


def example(records: Sequence[Record]) -> str:
    """Return the path of an image file as it was; SOME_IMAGE where there is none."""
    paths = (
        record.path
        for record in records
        if Path(record.path).suffix.lower() in OPENED
        and Path(record.path).is_file()
        and presence.state(record) == presence.SAME
    )
    return next(paths, SOME_IMAGE)


def classes_of(names: Sequence[str]) -> str:
    """Return class names as a literal of Python and JavaScript alike, in one line."""
    return printable(json.dumps(list(names), ensure_ascii=False))


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a program with values in place of words: all at once, for a value may hold a word."""
    return re.sub("|".join(values), lambda word: values[word[0]], text)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _has(name: str) -> bool:
    return (files(__package__) / "recipes" / name).is_file()


def _part(name: str) -> str:
    return (files(__package__) / "recipes" / name).read_text(encoding="utf-8")


def write(network: Network, form: Format, exported: Path) -> Path:
    """Write the page beside what was exported, and return where it lies."""
    text = page(network, form, exported.name)
    with replacing(beside := exported.with_name(exported.name + ENDING)) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return beside
