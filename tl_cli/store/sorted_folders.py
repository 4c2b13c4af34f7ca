"""Images put into folders named for what they show, copied or linked. Changes no image.

Doing it again changes nothing: an image that is there already is not put there twice.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from contextlib import AbstractContextManager
from itertools import chain, count
from pathlib import Path

from tl_cli.store.file_names import shortened
from tl_cli.store.marker import make_marked
from tl_cli.store.run_dir import replacing, writing_to


def prepare(folder: Path) -> None:
    """Make the folder. Raises TLError where that cannot be."""
    with _writing(folder):
        make_marked(folder)


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing_to(f"'{folder}'", "choose another --sort-into")


def put(image: Path, folder: Path, label: str, *, link: bool) -> Path:
    """Put an image into folder/label, as a copy or a symbolic link; return where it lies.

    Another image of the same name gets a number. Raises TLError where it cannot be written.
    """
    place = folder / folder_name(label)
    with _writing(place):
        place.mkdir(exist_ok=True)
        return _placed(image, place, link)


def _placed(image: Path, place: Path, link: bool) -> Path:
    same, make = (_links_to, _link) if link else (_is_copy_of, _copy)
    names = (shortened(f"{image.stem}-{number}", image.suffix) for number in count(2))
    for name in chain((image.name,), names):
        target = place / name
        if not os.path.lexists(target):
            make(image, target)
            return target
        if same(image, target):
            return target
    raise AssertionError("there are names without end")


def folder_name(label: str) -> str:
    """Return a name for a folder from a label, which may be anything: never a way out of it."""
    name = shortened(re.sub(r"[/\\\0]", "_", label))
    return name if name.strip(". ") else "_" + name.replace(".", "_")


def _copy(image: Path, target: Path) -> None:
    with replacing(target) as beside:
        shutil.copy2(image, beside)


def _link(image: Path, target: Path) -> None:
    target.symlink_to(image.absolute())


def _is_copy_of(image: Path, target: Path) -> bool:
    return not target.is_symlink() and target.is_file() and filecmp.cmp(image, target, False)


def _links_to(image: Path, target: Path) -> bool:
    return target.is_symlink() and target.readlink() == image.absolute()
