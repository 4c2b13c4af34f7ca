"""Where the cache lies, and whether that folder may be used: it is marked, or it is refused.

A folder that holds anything of other people's never becomes a cache. What tl makes in its cache is
known by name (`KINDS`, `FILES`); nothing else in there is ever touched, and no link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tl_cli.humanize import naming
from tl_cli.store import notices

# https://bford.info/cachedir/: backups know by it that the folder need not be kept
MARKER = "CACHEDIR.TAG"
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
TITLE = "# This folder is the cache of tl, which trains image classifiers."
TEXT = f"{SIGNATURE}\n{TITLE}\n# Whatever tl made in it is computed again when it is gone.\n"

REMOVING = ".removing"  # a name that no kind may take
FILE = "file"  # the kind of what lies directly in the cache folder
FILES = re.compile(r"scan\.sqlite(-journal|-wal|-shm)?")
# what systems put into any folder: neither ours nor anybody's
SYSTEM = re.compile(r"\.DS_Store|Thumbs\.db|desktop\.ini|lost\+found|\.nfs[0-9a-f]+")


@dataclass(frozen=True)
class Kind:
    """Entries of one kind: what their folders are called, and the files in them."""

    key: re.Pattern[str]
    files: re.Pattern[str]  # paths below the entry, with /


_HEX = "[0-9a-f]"
_ABOUT = r"\.?about\.json(\.\d+)?"
_TABLE = re.compile(rf"rows\.bin|digests\.txt|clipped|writer\.json|{_ABOUT}")
KINDS = {
    "images": Kind(re.compile(r"\d+px-[\w.-]+"), _TABLE),
    "features": Kind(re.compile(f"{_HEX}{{32}}"), _TABLE),
    "shards": Kind(
        re.compile(rf"{_HEX}{{32}}-\d+-of-\d+"),
        re.compile(rf"{_TABLE.pattern}|\.?done\.json(\.\d+)?"),
    ),
    "cloud": Kind(
        re.compile(f"{_HEX}{{32}}"),
        re.compile(rf"files/.+|\.?states\.json(\.0)?|writer\.json|{_ABOUT}"),
    ),
    "tfds": Kind(
        re.compile(f"{_HEX}{{32}}"),
        re.compile(
            rf"\.?manifest\.csv(\.\d+)?"
            rf"|{_HEX}{{2}}/({_HEX}{{32}}\.(jpg|png)|\.{_HEX}{{32}}\.\d+)|{_ABOUT}"
        ),
    ),
}


_troubled: set[str | None] = set()  # values of TL_CACHE with which something went wrong


class RefusedFolder(OSError):
    """A folder that must not become a cache."""

    def __init__(self, place: Path, reason: str) -> None:
        super().__init__(errno.EPERM, reason, str(place))


def folder() -> Path:
    """Return the cache folder, made and marked: $TL_CACHE, $XDG_CACHE_HOME/tl, or the system's.

    The system's is ~/.cache/tl on Linux. Raises OSError where it cannot be made, and RefusedFolder
    where it is a home, or holds what tl did not make. A cache of a version that set no mark is
    marked.
    """
    place = _place()
    if _is_home(place):
        raise RefusedFolder(place, "it is a home folder")
    place.mkdir(parents=True, exist_ok=True)
    if not is_marked(place):
        _adopt(place)
    return place


def usable() -> Path | None:
    """Return the cache folder, or None where there is none to be had; that is said, once."""
    try:
        return folder()
    except OSError as error:
        trouble(error)
        return None


def kind_folder(kind: str) -> Path:
    """Return the folder of the entries of a kind, made. Raises OSError where it cannot be used."""
    place = folder() / kind
    place.mkdir(exist_ok=True)
    if place.is_symlink():
        raise RefusedFolder(place, "it is a link")
    return place


def trouble(error: OSError) -> None:
    """Say, once, that the run goes on without the cache, or without adding to it, and why."""
    _troubled.add(os.environ.get("TL_CACHE"))
    notices.say(
        "cache",
        f"Nothing more is kept in the cache ({reason(error)}): the run goes on without it; "
        "TL_CACHE may name another folder.",
    )


def takes_more() -> bool:
    """Tell whether it makes sense to add to the cache: not where that once went wrong."""
    return os.environ.get("TL_CACHE") not in _troubled


def reason(error: OSError) -> str:
    """Return what is wrong with the cache, in words that continue a sentence."""
    if not error.strerror:
        return str(error) or type(error).__name__
    with contextlib.suppress(OSError):
        return f"'{error.filename or _place()}': {error.strerror}"
    return error.strerror


def _place() -> Path:
    import platformdirs

    try:
        if said := os.environ.get("TL_CACHE"):
            return Path(said).expanduser().absolute()
        if home := os.environ.get("XDG_CACHE_HOME"):
            return (Path(home).expanduser() / "tl").absolute()
        return platformdirs.user_cache_path("tl", appauthor=False).expanduser().absolute()
    except RuntimeError as error:  # ~ of a user who has no home
        raise OSError(errno.ENOENT, "there is no home folder, and TL_CACHE names none") from error


def _is_home(place: Path) -> bool:
    """Tell whether a folder is this user's home: as the environment says, or as the system does."""
    homes = {os.path.expanduser("~")}  # noqa: PTH111  # Path.home raises where there is none
    try:
        import pwd

        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):  # Windows; a user whom nobody knows
        pass
    return any(os.path.realpath(home) == os.path.realpath(place) for home in homes)


def is_marked(place: Path) -> bool:
    """Tell whether tl marked this folder as its cache."""
    try:
        return TITLE in (place / MARKER).read_text("utf-8", "replace").splitlines()
    except OSError:
        return False


def _adopt(place: Path) -> None:
    """Mark a folder that is empty, or the cache of a version that set no mark; refuse others."""
    names = [path.name for path in place.iterdir()]
    others = [name for name in sorted(names) if not _is_of_a_cache(place / name)]
    if others and not any(_holds_an_entry(place / name) for name in names):
        raise RefusedFolder(place, f"it holds what tl did not make ({naming(others)})")
    beside = place / f".{MARKER}.{os.getpid()}"
    try:
        beside.write_text(TEXT, encoding="utf-8")
        beside.replace(place / MARKER)
    except OSError:
        beside.unlink(missing_ok=True)
        if not names:
            raise  # nor could anything else be written


def _is_of_a_cache(path: Path) -> bool:
    """Tell whether a cache without a mark would hold this: or it is nobody's."""
    if path.name.startswith(f".{MARKER}.") or SYSTEM.fullmatch(path.name):
        return True
    if path.name in (*KINDS, REMOVING):
        return not path.is_symlink() and path.is_dir() and (_holds_an_entry(path) or _bare(path))
    return _holds_an_entry(path)


def _bare(path: Path) -> bool:
    return next(path.iterdir(), None) is None


def _holds_an_entry(path: Path) -> bool:
    """Tell whether this is a file of a cache, or a kind's folder with an entry in it."""
    if path.is_symlink():
        return False
    if path.name in KINDS and path.is_dir():
        return any(contents(path.name, entry) for entry in path.iterdir())
    return bool(FILES.fullmatch(path.name)) and _is_database(path)


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) in (b"SQLite format 3\0", b"")
    except OSError:
        return False


def contents(kind: str, entry: Path) -> list[Path] | None:
    """Return the files and folders in an entry's folder, the folder itself first.

    None where it is no entry of ours: of another name, a link, or with anything in it that tl did
    not make. Raises OSError where it cannot be read.
    """
    named = KINDS[kind].key.fullmatch(entry.name) and not entry.is_symlink() and entry.is_dir()
    return inside(entry, KINDS[kind].files) if named else None


def inside(entry: Path, files: re.Pattern[str]) -> list[Path] | None:
    """Return what is in a folder, itself first, if these are only files called so, else None."""
    listing = [entry]
    for place, folders, names in os.walk(entry, onerror=_raise):
        for name in (*folders, *names):
            path = Path(place, name)
            ours = name in folders or files.fullmatch(path.relative_to(entry).as_posix())
            if path.is_symlink() or not (ours or SYSTEM.fullmatch(name)):
                return None
            listing.append(path)
    return listing


def _raise(error: OSError) -> None:
    raise error
