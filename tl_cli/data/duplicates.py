"""What is worth knowing about a set of images: copies, leaks, doubtful labels, small classes.

Works on what the scan recorded. Only `mark_near` opens images, those that may be near duplicates,
to be sure; whoever comes later goes by the key that it sets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Manifest, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count, naming, short

if TYPE_CHECKING:
    import numpy as np

NEAR = 3  # bits of 64 in which near duplicates may differ
NEAR_ACROSS = 8  # the same of two sets, where each image is compared with a single one
BANDS = 4  # one more than NEAR, so that near hashes are equal in at least one band
SMALLEST_NEAR = 32  # pixels of the shorter side; below, unlike icons and digits look the same
LEAST_EDGES = 12  # bits set and bits clear; with fewer the image is too plain to tell apart
ALIKE = 0.95  # correlation; a photo and its edited copy have 0.99, unlike pairs at most 0.91
GLANCE = 32  # pixels at which that is measured
MOST_PAIRS = 300  # candidates that are opened; the nearest hashes first
MOST_IN_BUCKET = 1000  # a band shared by more images than that tells nothing, and takes long
FEW = 5  # images in a class
IMBALANCE = 10.0  # largest class / smallest class

Group = tuple[Record, ...]


def findings(manifest: Manifest) -> tuple[str, ...]:
    """Return one sentence for each thing that is wrong or doubtful, the gravest first."""
    copies = exact_duplicates(manifest)
    near = near_duplicates(manifest)
    told = (
        _bad(manifest),
        _leaks(copies, "exact copies"),
        _groups(manifest),
        _labels(copies),
        _copies(copies),
        _leaks(near, "nearly the same"),
        _near(near),
        _few(manifest),
        _imbalance(manifest),
    )
    return tuple(sentence for sentence in told if sentence)


def exact_duplicates(manifest: Manifest) -> tuple[Group, ...]:
    """Return the groups of records with the same content."""
    by_digest = defaultdict(list)
    for record in manifest.records:
        by_digest[record.digest].append(record)
    return tuple(tuple(g) for digest, g in by_digest.items() if digest and len(g) > 1)


def near_duplicates(manifest: Manifest) -> tuple[Group, ...]:
    """Return the groups of records of unlike content that look nearly the same, as marked.

    Of exact copies, one stands for all.
    """
    alike: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in manifest.records:
        if record.near:
            alike[record.near].setdefault(record.digest, record)
    return tuple(tuple(group.values()) for group in alike.values() if len(group) > 1)


def trained_on_too(manifest: Manifest, split: str) -> int:
    """Return how many images of a split are trained on too: themselves, or nearly so."""
    groups = (*exact_duplicates(manifest), *near_duplicates(manifest))
    learned = (group for group in groups if any(r.split == "train" for r in group))
    return len({r.path for group in learned for r in group if r.split == split})


def mark_near(records: Sequence[Record]) -> list[Record]:
    """Return the records, those that look nearly the same with a key in common (Record.near).

    Their perceptual hashes differ in at most NEAR bits, and their thumbnails correlate: at most
    MOST_PAIRS pairs are opened to see that, and none that others have joined already. Small and
    plain images are left out: they agree by chance.
    """
    parent: dict[str, str] = {}  # digest -> a smaller digest that it is joined to, or itself

    def root(digest: str) -> str:
        while parent.setdefault(digest, digest) != digest:
            digest = parent[digest]
        return digest

    opened = 0
    for first, second in _candidates(records):
        low, high = sorted((root(first.digest), root(second.digest)))
        if low != high and opened < MOST_PAIRS:
            opened += 1
            if _alike(first, second):
                parent[high] = low
    size = Counter(map(root, list(parent)))
    joined = {digest: root(digest) for digest in list(parent) if size[root(digest)] > 1}
    return [replace(r, near=joined[r.digest]) if r.digest in joined else r for r in records]


def near_copies(records: Sequence[Record], others: Sequence[Record]) -> set[str]:
    """Return the digests of records that look nearly the same as one of the others.

    Exact copies are not meant. Of each record the other with the nearest perceptual hash is opened,
    if it is within NEAR_ACROSS bits; others that are gone are like nothing.
    """
    theirs = {r.digest for r in others}
    mine = [r for r in {r.digest: r for r in records}.values() if r.digest not in theirs]
    mine, there = [r for r in mine if _tells(r)], [r for r in others if _tells(r)]
    if not (mine and there):
        return set()
    nearest = _nearest(mine, there)
    return {r.digest for r, other in zip(mine, nearest, strict=True) if other and _alike(r, other)}


def _nearest(records: Sequence[Record], others: Sequence[Record]) -> Iterator[Record | None]:
    """Yield for each record the other with the nearest hash, None where none is near."""
    import numpy as np

    def hashes(images: Sequence[Record]) -> np.ndarray:
        return np.array([int(r.phash, 16) for r in images], np.uint64)

    theirs = hashes(others)
    for own in hashes(records):
        bits = np.bitwise_count(theirs ^ own)
        at = int(bits.argmin())
        yield others[at] if bits[at] <= NEAR_ACROSS else None


def _candidates(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Return the pairs of unlike content and near hashes, the nearest first.

    Of exact copies, one stands for all.
    """
    unlike = {r.digest: r for r in reversed(records) if _tells(r)}
    by_hash = defaultdict(list)
    for record in reversed(unlike.values()):
        by_hash[int(record.phash, 16)].append(record)
    pairs = [(g[0], other) for g in by_hash.values() for other in g[1:]]
    near = sorted(_near_pairs(list(by_hash)), key=lambda pair: (pair[0] ^ pair[1]).bit_count())
    return pairs + [(by_hash[a][0], by_hash[b][0]) for a, b in near]


def _alike(first: Record, second: Record) -> bool:
    import numpy as np

    try:
        return bool(np.vdot(_thumbnail(first), _thumbnail(second)) >= ALIKE)
    except TLError:  # gone since the scan
        return False


def _thumbnail(record: Record) -> np.ndarray:
    """Return GLANCE x GLANCE grey levels, float64, of mean 0 and norm 1."""
    import numpy as np

    small = open_rgb(record, GLANCE).convert("L").resize((GLANCE, GLANCE), 4)  # 4: BOX
    levels = np.asarray(small, dtype=np.float64)
    levels = levels - levels.mean()
    return np.asarray(levels / max(float(np.linalg.norm(levels)), 1e-9))


def _tells(record: Record) -> bool:
    if not record.phash or min(record.width, record.height) < SMALLEST_NEAR:
        return False
    edges = int(record.phash, 16).bit_count()
    return LEAST_EDGES <= edges <= 64 - LEAST_EDGES


def _near_pairs(hashes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs at most NEAR bits apart, by looking only where a 16-bit band agrees."""
    width = 64 // BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets = defaultdict(list)
        for value in hashes:
            buckets[value >> band * width & (1 << width) - 1].append(value)
        for bucket in buckets.values():
            if len(bucket) <= MOST_IN_BUCKET:
                pairs.update(_within(bucket))
    return sorted(pairs)


def _within(bucket: list[int]) -> Iterator[tuple[int, int]]:
    for i, a in enumerate(bucket):
        for b in bucket[i + 1 :]:
            if (a ^ b).bit_count() <= NEAR:
                yield (a, b) if a < b else (b, a)


def _bad(manifest: Manifest) -> str:
    if not manifest.bad:
        return ""
    named = naming(f"{short(b.path)} {b.reason}" for b in manifest.bad)
    return f"{count(len(manifest.bad), 'file')} cannot be used and were skipped: {named}"


def _leaks(groups: Iterable[Group], how: str) -> str:
    """Images of one split that recur in another: the figure measured there would be too good."""
    across = [g for g in groups if len({r.split for r in g}) > 1]
    if not across:
        return ""
    example = " and ".join(f"{short(r.path)} ({r.split})" for r in _apart(across[0], "split"))
    return (
        f"{count(len(across), 'image')} in more than one split ({how}), which makes results look"
        f" too good: {example}"
    )


def _groups(manifest: Manifest) -> str:
    splits = defaultdict(set)
    for record in manifest.records:
        splits[record.group].add(record.split)
    across = [repr(group) for group, own in splits.items() if group and len(own) > 1]
    if not across:
        return ""
    return f"{count(len(across), 'group')} in more than one split of the source: {naming(across)}"


def _labels(groups: Iterable[Group]) -> str:
    doubtful = [g for g in groups if len({r.label for r in g}) > 1]
    if not doubtful:
        return ""
    example = " and ".join(f"{short(r.path)} ({r.label})" for r in _apart(doubtful[0], "label"))
    return (
        f"{count(len(doubtful), 'image')} with more than one label, of which at most one is"
        f" right: {example}"
    )


def _apart(group: Group, what: str) -> tuple[Record, Record]:
    """Return the first record of a group, and the first that differs from it in `what`."""
    of: Callable[[Record], str] = lambda r: getattr(r, what)  # noqa: E731
    return group[0], next(r for r in group if of(r) != of(group[0]))


def _copies(groups: Iterable[Group]) -> str:
    extra = [r for g in groups for i, r in enumerate(g) if r.split in {o.split for o in g[:i]}]
    if not extra:
        return ""
    return (
        f"{count(len(extra), 'exact copy')} of other images; copies share one split:"
        f" {naming(short(r.path) for r in extra)}"
    )


def _near(groups: Sequence[Group]) -> str:
    within = [g for g in groups if len({r.split for r in g}) < len(g)]
    if not within:
        return ""
    named = " and ".join(short(r.path) for r in within[0][:2])
    return (
        f"{count(sum(map(len, within)), 'image')} that look nearly the same as another; such images"
        f" share one split and one fold: {named}"
    )


def _few(manifest: Manifest) -> str:
    few = [f"{name!r} ({n})" for name, n in manifest.counts().items() if n < FEW]
    if not few:
        return ""
    whose = count(len(few), "class")
    return f"{whose} with fewer than {FEW} images, too few to measure: {naming(few)}"


def _imbalance(manifest: Manifest) -> str:
    counts = manifest.counts()
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] < IMBALANCE * counts[least]:
        return ""
    return (
        f"imbalanced: {counts[most]:,} images of {most!r} and {counts[least]:,} of {least!r};"
        " look at balanced accuracy rather than at accuracy"
    )
