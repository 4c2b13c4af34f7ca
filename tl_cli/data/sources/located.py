"""Where the file is that a table or list names: as it is written, else as it was surely meant.

Looks at names only, opens no image. A name that could mean two files is never guessed.
"""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tl_cli.data.decode import SUFFIXES
from tl_cli.data.sources.encoding import LEGACY
from tl_cli.data.sources.entries import subfolders
from tl_cli.data.sources.samples import SCHEME
from tl_cli.errors import TLError
from tl_cli.humanize import count

ELSEWHERE = re.compile(r"([A-Za-z]:[\\/]|\\\\|[A-Za-z][A-Za-z0-9+.-]+://)")  # C:\, \\host, https://

DEEPEST = 3  # folders in folders in which an image is looked for by its name alone
MOST_FOLDERS = 2_000


def located(cell: str, folder: Path) -> str:
    """Return the absolute path that a cell names, from the table's folder; "sample:…" as it is.

    Where no such file is there: without blanks around it, with slashes for Windows' backslashes,
    in the other Unicode form, in the bytes of an old disk, with the ending of the one image that is
    called so (in any case). Else the path as it is written. Raises ValueError for a name without an
    ending that two images have, and for one that no file can have.
    """
    if cell.startswith(SCHEME):
        return cell
    written = _from(cell, folder)
    os.fsencode(written)  # a lone surrogate: UnicodeEncodeError is a ValueError
    if os.path.lexists(written):
        return written
    for name in _variants(cell):
        path = _from(name, folder)
        if os.path.lexists(path):
            return path
        images = _called(path)
        if len(images) > 1:
            both = " or ".join(repr(image) for image in images)
            raise ValueError(f"{cell!r} may be {both}: write its ending")
        if images:
            return os.path.join(os.path.dirname(path), images[0])  # noqa: PTH118, PTH120
    return written


def meant(cell: str, folder: Path) -> str:
    """Return the path that a cell names, as `located` does; as it is written where unclear."""
    try:
        return located(cell, folder)
    except ValueError:
        return _from(cell, folder)


def _from(name: str, folder: Path) -> str:
    return os.path.normpath(folder / os.path.expanduser(name))  # noqa: PTH111  # Path's may raise


def _variants(cell: str) -> Iterator[str]:
    """Yield what the cell may have meant, itself first."""
    name = cell.strip()
    yield name
    if "\\" in name:
        name = name.replace("\\", "/")
        yield name
    for form in ("NFC", "NFD"):
        if unicodedata.normalize(form, name) != name:
            yield unicodedata.normalize(form, name)
    if not name.isascii():
        try:
            yield os.fsdecode(name.encode(LEGACY))
        except UnicodeEncodeError:
            return


def _called(path: str) -> Sequence[str]:
    """Return the images that are called so but for their ending or its case."""
    folder, name = os.path.split(path)
    names = _images(folder)
    return names.get(name.casefold(), ())


@functools.lru_cache(maxsize=4096)
def _images(folder: str) -> dict[str, list[str]]:
    """Return the images of a folder by their names without the ending, and by the whole name."""
    names: dict[str, list[str]] = defaultdict(list)
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):
        return names
    for name in entries:
        stem, ending = os.path.splitext(name)  # noqa: PTH122
        if ending.lower() in SUFFIXES:
            names[stem.casefold()].append(name)
            names[name.casefold()].append(name)
    return names


def forget() -> None:
    """Forget what the folders hold: before a table is read, since files come and go."""
    _images.cache_clear()


def below(table: Path, cells: Sequence[str]) -> dict[str, str]:
    """Return where images of bare names are that all lie in folders below the table's.

    As competitions have it: ``train.csv`` with ids, and a folder ``train``. By cell, the only image
    below that is called so; of several, the one in a folder called as the table. Nothing where a
    name has a folder, or is in the table's own.
    """
    names = list(dict.fromkeys(cells))
    if any(c != Path(c.strip()).name or os.path.lexists(meant(c, table.parent)) for c in names):
        return {}
    there: dict[str, list[str]] = defaultdict(list)
    for folder, _ in zip(_folders(table.parent), range(MOST_FOLDERS), strict=False):
        for name, images in _images(folder).items():
            there[name] += [f"{folder}/{image}" for image in images]
    places = {}
    for cell in names:
        images = there.get(cell.casefold(), [])
        named = [i for i in images if table.stem.casefold() in Path(i).parent.name.casefold()]
        if len(named or images) == 1:
            places[cell] = (named or images)[0]
    return places


def _folders(above: Path) -> Iterator[str]:
    """Yield the folders below one, those nearest to it first."""
    level = [above]
    for _ in range(DEEPEST):
        level = [folder for parent in level for folder in subfolders(parent)]
        yield from map(str, level)


def notes(table: Path, places: Mapping[str, str]) -> Iterator[str]:
    """Yield what is to be said of images that were found in folders below."""
    if places:
        first = min(places)
        yield (
            f"the images of '{table.name}' are not beside it but in folders below: {first!r} was"
            f" looked for at '{_from(first, table.parent)}', and is '{places[first]}'"
        )


def none_there(table: Path, cells: Sequence[str]) -> TLError:
    """Return the error for a table none of whose files is there: where the first was looked for."""
    first = cells[0]
    name = first.strip() if ELSEWHERE.match(first.strip()) else first.strip().replace("\\", "/")
    path = _from(name, table.parent)
    number = count(len(cells), "file") if len(cells) > 1 else "file"
    lead = f"none of the {number} of" if len(cells) > 1 else "the only file of"
    return TLError(
        f"{lead} '{table.name}' is there; the first, {first!r}, was looked for at"
        f" '{path}': {_odd(first, path)}",
        _base(first, table) or "paths start from the folder of the table: correct them, or move it",
    )


def _odd(cell: str, path: str) -> str:
    """Return what is odd about a path at which nothing is."""
    if ELSEWHERE.match(cell.strip()):
        return "it is an address of another system"
    if cell != cell.strip():
        return "it has blanks around it"
    if cell[:1] == cell[-1:] and cell[0] in "'\"`":
        return "it has quotes around it"
    there = next(p for p in Path(path).parents if p.is_dir())
    lacking = Path(path).relative_to(there).parts
    if len(lacking) > 1:
        return f"'{there}' is there, '{there / lacking[0]}' is not"
    return f"its folder is there and holds no '{lacking[0]}'"


def _base(cell: str, table: Path) -> str:
    """Return where the file is, if another folder or a shorter path leads to it; else ""."""
    parts = Path(re.sub(r"^[A-Za-z]:", "", cell.strip().replace("\\", "/"))).parts
    parts = tuple(part for part in parts if part not in ("/", "//"))
    try:
        below = sorted(p for p in table.parent.iterdir() if p.is_dir())
    except OSError:
        below = []
    for base in (table.parent, Path.cwd(), *table.parent.parents, *below):
        for left_out in range(len(parts)):
            if (base / Path(*parts[left_out:])).is_file():
                rest = "/".join(parts[left_out:])
                whose = f", without '{'/'.join(parts[:left_out])}/'" if left_out else ""
                return f"it is there as '{rest}' in '{base}'{whose}: correct the paths"
    return ""
