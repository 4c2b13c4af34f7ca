"""Images put into folders named for what they show, copied or linked. Changes no image.

Doing it again changes nothing: an image that is there already is not put there twice. No two
classes share a folder, on whatever disk the folders end: one that ignores case, too.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import chain, count
from pathlib import Path

from tl_cli.store.file_names import distinct, shortened
from tl_cli.store.marker import make_marked
from tl_cli.store.output import writing_to
from tl_cli.store.run_dir import replacing

FORBIDDEN = '/\\:*?"<>|'  # in names, on Windows and on disks that come from there
PORTS = (f"{port}{n}" for port in ("COM", "LPT") for n in range(10))
DEVICES = frozenset(("CON", "PRN", "AUX", "NUL", *PORTS))  # of Windows


def prepare(folder: Path) -> None:
    """Make the folder. Raises TLError where that cannot be."""
    with _writing(folder):
        make_marked(folder)


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing_to(f"'{folder}'", "choose another --sort-into")


def put(image: Path, folder: Path, name: str, *, link: bool) -> Path:
    """Put an image into folder/name, as a copy or a symbolic link; return where it lies.

    `name`: see `folder_names`.

    Another image of the same name gets a number. Raises TLError where it cannot be written.
    """
    place = folder / name
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


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a name for a folder for each label, which may be anything: never a way out of it.

    Labels whose names would be one folder, here or on a disk that ignores case and Unicode form,
    leave a digest of themselves in the name: all of them but one that is a plain name as it stands.
    """
    names = {label: _plain(label) for label in labels}
    alike: dict[str, list[str]] = defaultdict(list)
    for label, name in names.items():
        alike[unicodedata.normalize("NFC", name).casefold()].append(label)
    for same in alike.values():
        same.sort(key=lambda label: (names[label] != label, label))
        for label in same[1:]:
            names[label] = distinct(names[label], label)
    return names


def _plain(label: str) -> str:
    """Return a label as every file system takes it: neither a path, nor a device of Windows."""
    name = "".join(c if _is_kept(c) else "_" for c in label)
    if not name.strip(". "):
        return "_" + name.replace(".", "_")
    name = name[:-1] + "_" if name.endswith((".", " ")) else name
    device = name.split(".")[0].strip().upper() in DEVICES
    return shortened(f"_{name}" if device else name)


def _is_kept(character: str) -> bool:
    """Whether a name keeps a character; bytes that are no text came from a folder, and go there."""
    return "\udc80" <= character <= "\udcff" or (
        character.isprintable() and character not in FORBIDDEN
    )


def _copy(image: Path, target: Path) -> None:
    with replacing(target) as beside:
        shutil.copy2(image, beside)


def _link(image: Path, target: Path) -> None:
    target.symlink_to(image.absolute())


def _is_copy_of(image: Path, target: Path) -> bool:
    return not target.is_symlink() and target.is_file() and filecmp.cmp(image, target, False)


def _links_to(image: Path, target: Path) -> bool:
    return target.is_symlink() and target.readlink() == image.absolute()
