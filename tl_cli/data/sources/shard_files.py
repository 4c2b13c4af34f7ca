"""Files that hold many images each, and which split each of them is of by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tl_cli.data.manifest import natural
from tl_cli.data.sources.split_names import splits_of as by_names
from tl_cli.errors import TLError

DEEP = ("*", "*/*")  # Hugging Face keeps its files in a folder `data`


def files_of(source: str, *endings: str) -> list[Path]:
    """Return the file, or those of these endings in a folder and the folders in it, in order.

    Raises TLError where there is none.
    """
    place = Path(source).expanduser().absolute()
    if place.is_file():
        return [place]
    files = set(below(place, *endings))
    if not files:
        raise TLError(f"no {endings[0]} file in '{source}'", "give a folder that holds some")
    return sorted(files, key=lambda path: natural(str(path)))


def below(place: Path, *endings: str) -> Iterator[Path]:
    """Yield the files of these endings in a folder and the folders in it; hidden ones are none."""
    patterns = [f"{pattern}{ending}" for ending in endings for pattern in DEEP]
    found = (path for pattern in patterns for path in place.glob(pattern))
    yield from (path for path in found if path.is_file() and not path.name.startswith("."))


def splits_of(files: Sequence[Path]) -> dict[Path, str]:
    """Return the split of each file: by the words of its name before its number, or its folder's.

    `train-00000-of-00003.parquet`, `imagenet-val-000012.tar`, `test/0003.tar`; "" for none.
    """
    for names in ({f: _stem(f) for f in files}, {f: f.parent.name for f in files}):
        meant = by_names(sorted(set(names.values())))
        if "train" in meant.values():
            return {file: meant.get(name, "") for file, name in names.items()}
    return dict.fromkeys(files, "")


def _stem(file: Path) -> str:
    """Return a file's name without numbers: those of its place among others."""
    words = file.name.partition(".")[0].replace("_", "-").split("-")
    return "-".join(word for word in words if not word.isdigit() and word != "of")
