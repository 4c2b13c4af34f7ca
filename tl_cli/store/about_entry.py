"""Which data and which network an entry of the cache is of: noted inside it, for people who ask.

An entry serves whatever data set has its images, so there may be several. Nothing depends on it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tl_cli.store import reading

FILE = "about.json"
SAMPLE = "sample:"
MOST = 8  # data sets, the latest first
MOST_BYTES = 100_000


@dataclass(frozen=True)
class About:
    """What is known of an entry: a network in a few words, and where data sets lie."""

    network: str = ""
    data: tuple[str, ...] = ()


NOTHING = About()


def read(entry: Path) -> About:
    """Return what was noted; nothing where nothing was, or where it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        said = reading.json_of(entry / FILE, MOST_BYTES)
        network, data = (said.get("network"), said.get("data")) if type(said) is dict else ("", "")
        if isinstance(network, str) and isinstance(data, list):
            return About(network, tuple(name for name in data if isinstance(name, str)))
    return NOTHING


def note(entry: Path, data: Sequence[str], network: str = "") -> None:
    """Note that an entry was used for these data. An entry that is not there is not made."""
    before = read(entry)
    now = About(network or before.network, _merged(data, before.data))
    if now == before or not now.data:
        return
    beside = entry / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError, UnicodeEncodeError):
        try:
            beside.write_text(json.dumps({"network": now.network, "data": now.data}))
            beside.replace(entry / FILE)
        finally:
            beside.unlink(missing_ok=True)


def _merged(new: Sequence[str], old: Sequence[str]) -> tuple[str, ...]:
    """Return both, without folders that lie in another one of them."""
    names = list(dict.fromkeys((*new, *old)))
    return tuple(name for name in names if not _is_below(name, names))[:MOST]


def _is_below(name: str, others: Collection[str]) -> bool:
    return any(str(parent) in others for parent in Path(name).parents)


def data_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Return where the images at these paths are from: ``sample:NAME``, or the folder of all."""
    names = {_folder(path) for path in paths}
    samples = sorted(name for name in names if name.startswith(SAMPLE))
    folders = names.difference(samples)
    if not folders:
        return tuple(samples)
    # what the first and the last in order have in common, all have
    common = os.path.commonpath((min(folders), max(folders)))
    return (*samples, *(read(Path(common)).data or (common,)))


def _folder(path: str) -> str:
    """Return a sample's name, or the folder that an image lies in."""
    if path.startswith(SAMPLE):
        return path.partition("/")[0]
    return os.path.dirname(path)  # noqa: PTH120  # 100,000 Path objects take a second
