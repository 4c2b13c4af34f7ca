"""Explanations -> overlays as PNG, and one page of them all. Knows nothing of networks."""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Record
from tl_cli.errors import TLError
from tl_cli.humanize import short
from tl_cli.report import images
from tl_cli.report.heat import overlay
from tl_cli.report.page import rendered
from tl_cli.results.explanations import Explanation
from tl_cli.results.regression import said
from tl_cli.store import own_pages
from tl_cli.store.file_names import shortened
from tl_cli.store.run_dir import replacing

if TYPE_CHECKING:
    import numpy as np

SHEET, ENDING = "sheet.html", ".gradcam.png"
LARGEST = 1024  # pixels of an overlay's longer side
MOST = 60  # images on the sheet; it is to be looked at


@dataclass
class Sheet:
    """A folder that takes explanations as they come; the page is made at the end."""

    folder: Path
    about: str  # what was looked at, one line
    number: bool = False  # whether that a number is predicted is explained
    told: list[dict[str, Any]] = field(default_factory=list)  # as in docs/json.md
    failed: int = 0
    _shown: list[dict[str, Any]] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)

    def add(self, each: Explanation) -> Explanation:
        """Write an image's overlay; return the explanation, with an error where there is none.

        One that could not be opened, or whose overlay cannot be written, only counts as failed; a
        full disk raises OSError.
        """
        path = None
        if each.heat is not None:
            try:
                path = self._overlay(each, each.heat)
            except TLError as error:
                each = replace(each, heat=None, error=error.message)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                    raise
                each = replace(each, heat=None, error=f"cannot be drawn ({error.strerror})")
        self.failed += path is None
        self.told.append(each.to_json(str(path) if path else None))
        if len(self._shown) < MOST:
            self._shown.append(_shown(each))
        return each

    def _overlay(self, each: Explanation, heat: np.ndarray) -> Path:
        from PIL.PngImagePlugin import PngInfo

        image = open_rgb(Record(each.path, ""), LARGEST)
        image.thumbnail((LARGEST, LARGEST))
        path = self.folder / self._name(each.path)
        own_pages.check(path)
        marked = PngInfo()
        for name, text in own_pages.OF_PICTURES.items():
            marked.add_text(name, text)
        with replacing(path) as beside:
            overlay(image, heat).save(beside, "PNG", pnginfo=marked)
        return path

    def _name(self, path: str) -> str:
        stem = Path(path).stem
        self._names[stem] += 1
        number = self._names[stem]
        return shortened(stem if number == 1 else f"{stem}-{number}", ENDING)

    @property
    def page(self) -> Path:
        """Where the page lies."""
        return self.folder / SHEET

    def close(self) -> None:
        """Write the page."""
        page = rendered(
            "explain.html.jinja",
            title="Why?",
            about=self.about,
            shown=self._shown,
            total=len(self.told),
            number=self.number,
        )
        with replacing(self.page) as beside:
            beside.write_text(page, encoding="utf-8")


def _shown(each: Explanation) -> dict[str, Any]:
    record = Record(each.path, each.label)
    return {
        "each": each,
        "value": "" if each.value is None else said(each.value),
        "file": short(each.path).strip("'\""),
        "picture": "" if each.heat is None else images.picture(record, images.LARGE),
        "heat": "" if each.heat is None else images.with_heat(record, each.heat),
        "neighbours": [(n, images.picture(Record(n.path, n.label))) for n in each.neighbours],
    }
