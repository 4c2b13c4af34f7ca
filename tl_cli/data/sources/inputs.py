"""The images that a command line names: files, folders, patterns, lists, paths on standard input.

Opens no image: what cannot be used is told when its turn comes, in its own row.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tl_cli.data import listing
from tl_cli.data.decode import SUFFIXES
from tl_cli.data.manifest import natural
from tl_cli.data.packed import file_of
from tl_cli.data.sources import encoding, located, rows
from tl_cli.data.sources.entries import walk
from tl_cli.data.sources.samples import SCHEME
from tl_cli.errors import TLError, did_you_mean
from tl_cli.humanize import count, naming

STDIN, LIST = "-", ".txt"


def named_images(
    arguments: Sequence[str],
    stdin: Iterable[str] = (),
    left_out: Counter[str] | None = None,
) -> list[str]:
    """Return the paths of the images, in the order in which they are named.

    An argument is an image; a folder, taken with all below it; a .tar, .parquet or TFRecord file of
    images, or a folder of such; a pattern (``'photos/*.jpg'``); a list of paths, one a line (.txt)
    or in the column `path` of a table; or ``-`` for a list on `stdin`. Paths in a list start from
    the list's folder. `left_out` counts the files of folders and patterns that are no images by
    their name, by ending, and those that are hidden. Raises TLError where nothing is named, or
    nothing of it exists.
    """
    others = Counter() if left_out is None else left_out
    paths = [
        path
        for argument in arguments
        for path in (
            _of_lines(stdin, "", others) if argument == STDIN else _named(argument, others)
        )
    ]
    if not paths:
        raise TLError(
            f"no images in {naming(map(repr, arguments))}",
            "give images, folders, a list of paths (.txt, .csv), or - for paths on standard input",
        )
    if not any(path.startswith(SCHEME) or os.path.lexists(file_of(path)) for path in paths):
        raise _missing(paths)
    return paths


def _named(argument: str, others: Counter[str]) -> Iterator[str]:
    path = Path(argument).expanduser()
    try:
        is_list = path.is_file() and path.suffix.lower() in (LIST, *rows.READERS)
        is_pattern = not os.path.lexists(path) and glob.has_magic(argument)
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        raise TLError(f"cannot open {argument!r}: {error}", "give images or folders") from error
    if shards := listing.shards_in(path):
        return (record.path for record in shards.records)
    if is_list:
        return _listed(path, others)
    return _matching(str(path), others) if is_pattern else _of(str(path), others)


def _of(path: str, others: Counter[str]) -> Iterator[str]:
    """Yield the images below a folder, or the path itself."""
    if not Path(path).is_dir():
        yield path
        return
    yield from sorted((file for file, _ in walk(path, set(), others)), key=natural)


def _matching(pattern: str, others: Counter[str]) -> Iterator[str]:
    """Yield the images that match a pattern, and those below folders that do; each once."""
    matches = sorted(glob.glob(pattern, recursive=True), key=natural)  # noqa: PTH207
    wanted = [m for m in matches if Path(m).is_dir() or Path(m).suffix.lower() in SUFFIXES]
    others.update(Path(m).suffix.lower() or "no ending" for m in set(matches) - set(wanted))
    yield from dict.fromkeys(path for match in wanted for path in _of(match, others))


def _listed(file: Path, others: Counter[str]) -> Iterator[str]:
    if file.suffix.lower() == LIST:
        lines = encoding.text_of(file, escaped="").splitlines()
        yield from _of_lines(lines, str(file.parent), others)
        return
    for line, row in rows.READERS[file.suffix.lower()](file):
        if "path" not in row:
            near = did_you_mean("path", row)
            raise TLError(
                f"'{file.name}' has no column 'path'" + (f": {near}" if near else ""),
                f"its columns: {', '.join(row)}",
            )
        if not row["path"]:
            raise TLError(f"'{file.name}', line {line}: no path", "correct this line")
        yield from _of_lines([str(row["path"])], str(file.parent), others)


def _of_lines(lines: Iterable[str], start: str, others: Counter[str]) -> Iterator[str]:
    for line in lines:
        text = line.strip("\r\n")
        if text.startswith(SCHEME):
            yield text
        elif text.strip():
            yield from _of(located.meant(text, Path(start)), others)


def _missing(paths: Sequence[str]) -> TLError:
    first = Path(paths[0])
    if len(paths) > 1:
        return TLError(
            f"none of the {count(len(paths), 'path')} exists: {naming(map(repr, paths))}",
            f"they are looked for from '{Path.cwd()}', or from the folder of the list",
        )
    try:
        beside = [p.name for p in first.absolute().parent.iterdir()]
    except OSError:
        beside = []
    near = did_you_mean(first.name, beside) or f"look at what is in '{first.absolute().parent}'"
    return TLError(f"no file or folder '{first}'", near)
