"""What lies in a folder: images, folders, what tl wrote, what is as good as hidden. Opens no image.

Knows nothing of what folders mean. Links are followed, and loops of them end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tl_cli.data.decode import SUFFIXES
from tl_cli.errors import TLError
from tl_cli.store import own_pages
from tl_cli.store.marker import is_ours

OURS = "folders of tl's"  # counted beside the endings
OUR_PICTURES = "pictures of tl's"
HIDDEN = "hidden"  # images that are hidden, counted so, too
LITTER = frozenset(  # as good as hidden: what systems and storage devices leave
    {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "#recycle", "#snapshot", "lost+found"}
    | {"$recycle.bin", "system volume information"}
)

Identity = tuple[int, int]  # device and inode: the same for all links to one folder


def walk(folder: str, seen: set[Identity], others: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, "") for what may be an image and (path, reason) for what cannot be used.

    Links are followed; a folder in `seen` is not entered again, so that loops end. `others` counts
    what is left out: files by their ending, OURS, OUR_PICTURES, HIDDEN.
    """
    todo = [folder]  # not by recursion: a folder may be a thousand levels deep
    while todo:
        folder = todo.pop()
        seen.add(identity(Path(folder)))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, f"is a folder that cannot be opened ({(error.strerror or '').lower()})"
            continue
        below = [entry.path for entry in entries if _is_below(entry, seen, others)]
        todo += reversed(below)
        for entry in entries:
            if _is(entry, "dir"):
                continue
            if _is_hidden(entry.name):
                others[HIDDEN] += _is_named_as_image(entry.name)
            elif not _is_named_as_image(entry.name):
                others[Path(entry.name).suffix.lower() or "no ending"] += 1
            elif own_pages.is_picture(entry.path):
                others[OUR_PICTURES] += 1
            else:
                yield entry.path, _why_not(entry)


def holds_images(folder: Path) -> bool:
    """Whether there is an image anywhere below; of what cannot be opened, `walk` is to tell."""
    seen: set[Identity] = set()
    todo = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if _is_hidden(entry.name):
                        continue
                    if _is(entry, "dir"):
                        todo += [entry.path] * _is_below(entry, seen, Counter())
                    elif _is_named_as_image(entry.name):
                        return True
        except OSError:
            return True
    return False


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name."""
    return [Path(e.path) for e in visible(folder) if _is(e, "dir")]


def images_in(folder: Path) -> int:
    """Return how many images lie in a folder directly."""
    return sum(_is_named_as_image(e.name) and _is(e, "file") for e in visible(folder))


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder, by name, whatever they are."""
    return [Path(e.path) for e in visible(folder) if _is(e, "file")]


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is not hidden; nothing of a folder that may not be opened: `walk` tells of it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    return [e for e in entries if not _is_hidden(e.name)]


def identity(folder: Path) -> Identity:
    """Return what all links to a folder have in common."""
    try:
        state = folder.stat()
    except OSError:
        return (-1, -1)
    return (state.st_dev, state.st_ino)


def check_open(folder: Path) -> None:
    """Raise TLError where a folder may not be looked into."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise TLError(
            f"the folder '{folder}' cannot be opened (permission denied)",
            f"chmod -R u+rX '{folder}', or run as the user who owns it",
        )


def _is_below(entry: os.DirEntry[str], seen: set[Identity], others: Counter[str]) -> bool:
    """Return whether an entry is a folder to enter, and note it; what tl wrote is counted."""
    if _is_hidden(entry.name) or not _is(entry, "dir"):
        return False
    if is_ours(Path(entry.path)):
        others[OURS] += 1
        return False
    known = identity(Path(entry.path))
    if known in seen:
        return False
    seen.add(known)
    return True


def _why_not(entry: os.DirEntry[str]) -> str:
    if _is(entry, "file"):
        return ""
    broken = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
    return "is a broken link" if broken else "is not a regular file"


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _is_named_as_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  # of every file there is
