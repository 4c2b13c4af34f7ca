"""How whoever gets an exported file is to open images for it: a page of words, Python, JavaScript.

What comes between the image file and the network decides the numbers as much as the network does.
Both programs stand in `recipes/`, the part that opens an image and one for each runtime.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from tl_cli.data import grey_levels
from tl_cli.engine.export.network import Network
from tl_cli.export_formats import Format
from tl_cli.humanize import printable
from tl_cli.store.run_dir import replacing

ENDING = ".md"

MORE = {
    "saved_model": """
The resizing is inside, too: `serving_default` takes images of any size, and the signature `encoded`
takes the bytes of JPEG and PNG files as `files` and does all of the above itself.
"""
}

SCALED = """of 16 bits are scaled by what the training images hold, so that the level
{:,} becomes 255: the Python program does so with grey ones; any others have to be scaled first"""
UNSCALED = "have to be scaled to 0..255 first"


def page(network: Network, form: Format, name: str) -> str:
    """Return the page for an exported file of that name."""
    classes = classes_of(network.built.classes)
    bits = grey_levels.in_use()
    full = 2 ** (bits or grey_levels.FILE) - 1

    def program(ending: str) -> str:
        text = _part(f"image.{ending}") + "\n" + _part(f"{form.name}.{ending}")
        values = {"SIZE_": str(network.size), "CLASSES_": classes, "FILE_": json.dumps(name)}
        values["FULL_"] = str(full)
        for word, value in values.items():
            text = text.replace(word, value)
        return text

    return _part("page.md.txt").format(
        name=printable(name),
        title=form.title,
        size=network.size,
        count=len(network.built.classes),
        more=MORE.get(form.name, ""),
        deep=SCALED.format(full) if bits else UNSCALED,
        python=program("py.txt"),
        javascript=program("js.txt"),
    )


def classes_of(names: Sequence[str]) -> str:
    """Return class names as a literal of Python and JavaScript alike, in one line."""
    return printable(json.dumps(list(names), ensure_ascii=False))


def _part(name: str) -> str:
    return (files(__package__) / "recipes" / name).read_text(encoding="utf-8")


def write(network: Network, form: Format, exported: Path) -> Path:
    """Write the page beside what was exported, and return where it lies."""
    text = page(network, form, exported.name)
    with replacing(beside := exported.with_name(exported.name + ENDING)) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return beside
