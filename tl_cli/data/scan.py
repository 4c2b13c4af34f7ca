"""One look at every image file: does it decode, how large is it, what is in it. In threads.

What was seen is remembered by the state of the file (see scan_cache.py). Knows nothing of splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tl_cli.data import (
    class_names,
    decode,
    deep_images,
    digests,
    groups,
    listing,
    packed,
    pixel_cache,
    quantities,
)
from tl_cli.data.duplicates import findings, mark_near
from tl_cli.data.faults import check_regular
from tl_cli.data.label_forms import AUTO
from tl_cli.data.manifest import REGRESSION, BadFile, Manifest, Options, Record, natural
from tl_cli.data.scan_cache import FileState, ScanCache, ScanEntry, state_of
from tl_cli.data.sources import samples
from tl_cli.errors import TLError, unknown
from tl_cli.humanize import count, naming, short
from tl_cli.machine import cores
from tl_cli.store import about_entry

if TYPE_CHECKING:
    from PIL.Image import Image

BAD_IMAGES = ("skip", "error")
GLANCE = 32  # pixels; enough for the perceptual hash, and a JPEG then decodes at 1/8
DRAFTED = ("JPEG", "MPO")  # formats that are decoded at reduced scale
BATCH = 512  # images between two writes to the memory

Progress = Callable[[int, int], None]


def scan(
    source: str,
    *,
    bad_images: str = "skip",
    data_dir: str | None = None,
    columns: Mapping[str, str] | None = None,
    task: str = AUTO,
    cache: Path | None = None,
    on_progress: Progress | None = None,
    least_classes: int = 2,
    keep: int | None = None,
    keep_from: int = 0,
) -> Manifest:
    """Return the images of a source, each decoded once, in natural order of their paths.

    A split is set where the source has one, else it is "". What cannot be used is in `bad`; what is
    worth knowing is in `notes`. `task`: what a table's labels are; where that is open ("auto") and
    they may be no classes, `doubt` says so. `cache`: where looks are remembered (scan.sqlite).
    `on_progress` gets (images looked at, images). `keep`: pixels; the decoded image is kept at that
    size for whoever needs it next (see kept.py), if its shorter side has at least `keep_from`
    pixels; what is remembered is not decoded, and so not kept. Raises TLError for a source that is
    missing, empty or has fewer than `least_classes` classes, and for a bad file if `bad_images` is
    "error".
    """
    if bad_images not in BAD_IMAGES:
        raise unknown("value for bad_images", bad_images, BAD_IMAGES)
    options = Options(data_dir, columns or {}, cache, task)
    listed = _listed(source, options)
    records = sorted(listed.records, key=lambda r: natural(r.path))
    good: list[Record] = []
    bad = list(listed.bad)
    keeper = pixel_cache.PixelWriter(keep, keep_from, len(records)) if keep else None
    looks = _looks(records, cache, keeper, on_progress)
    for record, look in zip(records, looks, strict=True):
        if isinstance(look, str):
            bad.append(BadFile(record.path, record.label, look))
        else:
            good.append(_seen(record, look))
    bad.sort(key=lambda b: natural(b.path))
    _check(listed, good, bad, bad_images, least_classes)
    good = mark_near(groups.named_by_files(good))
    manifest = replace(
        listed,
        source=source,
        classes=tuple(sorted({name for r in good for name in listed.names(r)})),
        records=tuple(good),
        bad=tuple(bad),
    )
    return manifest.with_records(good, *findings(manifest))


def _listed(source: str, options: Options) -> Manifest:
    """Return what a source holds, with one label for each class, or a number for each image."""
    listed = listing.listed(source, options)
    if options.task == REGRESSION and listed.task != REGRESSION:  # folders are called by numbers
        listed = quantities.valued(listed)
    return class_names.joined(listed)


def records_of(
    paths: Sequence[str], *, cache: Path | None = None, on_progress: Progress | None = None
) -> tuple[list[Record], list[BadFile]]:
    """Return a record for each image file, in order and without a label, and what is no image.

    As `scan` looks at them, and remembers it; of a path that is named twice there are two records.
    """
    nameless = [Record(path, "") for path in paths]
    good, bad = [], []
    for record, look in zip(nameless, _looks(nameless, cache, None, on_progress), strict=True):
        if isinstance(look, str):
            bad.append(BadFile(record.path, "", look))
        else:
            good.append(_seen(record, look))
    return good, bad


def _seen(record: Record, look: ScanEntry) -> Record:
    """Return a record with what a look found; the table's group goes before the file's own."""
    found = look._asdict()
    return replace(record, **found | {"group": record.group or look.group})


def _check(
    listed: Manifest, good: list[Record], bad: list[BadFile], bad_images: str, least: int
) -> None:
    source = listed.source
    named = naming(f"{short(b.path)} {b.reason}" for b in bad)
    if not good:
        raise TLError(f"none of the images in '{source}' can be used: {named}", "check the files")
    if bad and bad_images == "error":
        raise TLError(
            f"{count(len(bad), 'file')} of {len(good) + len(bad):,} cannot be used: {named}",
            "repair or remove them, or skip them with --bad-images skip",
        )
    if listed.task == REGRESSION:
        if quantities.different(good) < least:
            raise TLError(
                f"'{source}': every image has the same number, {good[0].label}",
                "to learn what makes the difference there must be images that differ",
            )
        return
    classes = {name for r in good for name in listed.names(r)}
    if len(classes) < least:
        why = [
            *listed.notes,
            *([f"{count(len(bad), 'file')} cannot be used: {named}"] if bad else []),
        ]
        raise TLError(
            "; ".join([f"'{source}' has only one class, '{min(classes, default='')}'", *why]),
            "a classifier needs at least two: DIR/<class>/<images>, one folder for each class",
        )


def _looks(
    records: Sequence[Record],
    cache: Path | None,
    keeper: pixel_cache.PixelWriter | None,
    on_progress: Progress | None,
) -> Iterator[ScanEntry | str]:
    """Yield for each record its Look, or the reason why there is none, in order."""
    with ScanCache(cache) as memory, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(records), BATCH):
            paths = [r.path for r in records[start : start + BATCH]]
            states = [_state(path) for path in paths]
            known = memory.recall([state for state in states if state])
            todo = [i for i, state in enumerate(states) if state not in known]
            tried = pool.map(lambda path: _attempt(path, keeper), [paths[i] for i in todo])
            fresh: dict[int, ScanEntry | str] = {}
            for i, seen in zip(todo, tried, strict=True):
                fresh[i] = seen
                if keeper:
                    keeper.write()
            memory.remember([(states[i], look) for i, look in fresh.items()])
            yield from (fresh[i] if i in fresh else known[state] for i, state in enumerate(states))
            if on_progress:
                on_progress(start + len(paths), len(records))
    if keeper:
        keeper.close(about_entry.data_of(record.path for record in records))


def _state(path: str) -> FileState | None:
    """Return what tells whether a file has changed; None for what is not to be remembered."""
    return None if path.startswith(samples.SCHEME) else state_of(path)


def _attempt(path: str, keeper: pixel_cache.PixelWriter | None) -> ScanEntry | str:
    try:
        return look(path, keeper)
    except Exception as error:  # whatever a damaged file makes a decoder raise
        return decode.fault_of(path, error)


def look(path: str, keeper: pixel_cache.PixelWriter | None = None) -> ScanEntry:
    """Decode one image, a JPEG at reduced scale (every byte of it is still read).

    What the keeper wants is decoded at its scale and given to it.
    """
    if not path.startswith(samples.SCHEME):
        check_regular(packed.file_of(path))
    before = _state(path)
    with decode.opened(path) as file:
        digest = digests.of_file(file)
        file.seek(0)
        image = decode.header(file)
        (width, height), raw = image.size, deep_images.Raw.of(image)
        # A TIFF's size is told upright, and loading drops its orientation; of a PNG, asking for the
        # orientation before loading would load it, and swallow what that raises.
        told = decode.orientation(image) if image.format == "TIFF" else None
        # how levels of 16 bits are to be scaled is known only when all have been looked at
        size = keeper.size if keeper and not raw and keeper.wants(width, height) else None
        seen = decode.pixels(image, size or GLANCE, alone=True)
        orientation, mode = told or decode.orientation(image), deep_images.mode(image, raw)
    # hashed at one scale, whatever was kept: hashes of two scales differ in several bits
    times = _scale(width, height, GLANCE) // _scale(width, height, size or GLANCE)
    small = seen.reduce(times) if image.format in DRAFTED and times > 1 else seen
    if orientation >= 5 and not told:
        width, height = height, width
    if keeper and size and _state(path) == before:  # or these may be the pixels of other bytes
        keeper.take(digest, decode.squash(seen, size))
    phash, subject = _difference_hash(small), decode.subject_of(image)
    return ScanEntry(digest, width, height, mode, orientation, phash, subject)


def _scale(width: int, height: int, size: int) -> int:
    """Return by how much Pillow's draft mode divides the sides of a JPEG."""
    most = min(width // size, height // size)
    return next((scale for scale in (8, 4, 2) if scale <= most), 1)


def _difference_hash(image: Image) -> str:
    """Return 64 bits, as hexadecimal: is each cell of a 9x8 thumbnail darker than the next?

    N. Krawetz, Kind of Like That, 2013 (dHash).
    """
    cells = image.convert("L").resize((9, 8), 4).tobytes()  # 4: Image.Resampling.BOX
    bits = "".join("01"[cells[i] < cells[i + 1]] for i in range(72) if i % 9 < 8)
    return f"{int(bits, 2):016x}"
