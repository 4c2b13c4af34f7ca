"""What an inspection and the cache look like to a reader: tables and sentences on a Screen.

Beside the console the only module that imports rich. Knows what the figures mean, and nothing of
how they were found.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from tl_cli import catalog
from tl_cli.cache import FILE, Entry
from tl_cli.console import Screen, two_columns
from tl_cli.freeze import BIG, TINY, Situation
from tl_cli.inspection import WRONG, Finding, Inspection, Spread

EXAMPLES = 5  # of each finding; --json has them all
KEY = 12  # digits of a key; enough to tell entries apart
MODES = {  # Pillow's names in words
    "1": "1-bit",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "RGBA": "RGB with transparency",
    "I;16": "16-bit grey",
}
STYLE = {"wrong": "bold red", "note": "yellow"}
WHAT = {  # a kind of cache entry, in words
    "images": "decoded images",
    "features": "what a backbone made of images",
    "tfds": "unpacked tfds dataset",
    FILE: "what was seen in image files",
}


def show_inspection(screen: Screen, found: Inspection) -> None:
    """Show the counts, the figures and the findings."""
    classes = f"{len(found.per_class):,} class{'es' if len(found.per_class) > 1 else ''}"
    _say(screen, f"[bold]{_safe(found.source)}[/]: {found.images:,} images, {classes}")
    screen.out.print()
    screen.data(
        {
            split: {printable(name): n for name, n in counts.items()}
            for split, counts in found.counts.items()
        }
    )
    if found.drawn:
        parts = " and ".join(found.drawn)
        _say(screen, f"[dim]{parts}: drawn as tl train would, the source has none[/]")
    screen.out.print()
    screen.out.print(_facts(_figures(found)))
    screen.out.print()
    _show_findings(screen, found.findings)


def _figures(found: Inspection) -> dict[str, str]:
    """Return each figure's name and what there is to say of it."""
    counts = list(found.per_class.values())
    return {
        "width": _pixels(found.sizes["width"]),
        "height": _pixels(found.sizes["height"]),
        "shorter side": _pixels(found.sizes["shorter_side"]),
        "mode": ", ".join(f"{MODES.get(m, m)} ({n:,})" for m, n in found.modes.items()),
        "images a class": f"median {median(counts):,g}, mean {mean(counts):,.1f}",
        "balance": f"the largest class has {found.imbalance:.1f} times as many as the smallest"
        if found.imbalance > 1
        else "all classes have as many",
        "baseline": f"always answering {_safe(repr(found.largest))} is right"
        f" {found.majority_baseline:.1%} of the time",
        "to train on": _to_train_on(found.training),
        "image size": _image_size(found),
    }


def _to_train_on(situation: Situation) -> str:
    scale = f"{situation.kind} (tiny < {TINY:,} <= medium < {BIG:,} <= big)"
    if situation.effective_size == situation.size:
        return f"{situation.size:,} images: {scale}"
    return (
        f"{situation.size:,} images, which count as {situation.effective_size:,}, being"
        f" {situation.classes:,} classes of about {situation.images_per_class:,g}: {scale}"
    )


def _image_size(found: Inspection) -> str:
    text = f"{found.image_size} px for {found.backbone}"
    whole = catalog.get(found.backbone).image_size
    if found.image_size < whole:
        return f"{text}: such small images gain nothing from its {whole} px"
    return f"{text}, what it was pretrained at"


def _show_findings(screen: Screen, findings: Sequence[Finding]) -> None:
    for finding in findings:
        screen.out.print(_finding(finding))
    if findings:
        screen.out.print()
    wrong = sum(finding.severity == WRONG for finding in findings)
    if wrong:
        what = "1 thing is" if wrong == 1 else f"{wrong} things are"
        _say(screen, f"[bold red]{what} wrong.[/]")
    else:
        _say(screen, "[bold green]Nothing is wrong.[/]")


def _finding(finding: Finding) -> RenderableType:
    lines = [_safe(finding.text), f"[dim]{_safe(finding.meaning)}[/]"]
    lines += [_safe(example) for example in finding.examples[:EXAMPLES]]
    more = len(finding.examples) - EXAMPLES
    if more > 0:
        lines.append(f"[dim]and {more:,} more; --json names all[/]")
    mark = f"[{STYLE[finding.severity]}]{finding.severity:<5}[/]"
    grid = two_columns()
    for i, line in enumerate(lines):
        grid.add_row("" if i else mark, Padding(line, (0, 0, 0, 2 * (i > 1))))
    return grid


def show_cache(screen: Screen, place: str, entries: Sequence[Entry], bound: int) -> None:
    """Show what the cache holds, the least recently used first, and how much it may hold."""
    if entries:
        now = time.time()
        rows = [
            (_named(e), [size(e.bytes), _ago(now - e.used), WHAT.get(e.kind, e.kind)])
            for e in entries
        ]
        screen.out.print(_columns(("entry", "size", "last used", "holds"), rows))
        screen.out.print()
    total = sum(entry.bytes for entry in entries)
    number = f"{len(entries):,} entr{'y' if len(entries) == 1 else 'ies'}"
    held = f"{number}, {size(total)}" if entries else "nothing is cached"
    _say(screen, f"{_safe(place)}: {held}; at most {size(bound)} are kept")


def size(count: float) -> str:
    """Return bytes as people say them: ``17 MB``."""
    if count < 1000:
        return f"{count:.0f} byte{'' if count == 1 else 's'}"
    power = next((i for i in (1, 2, 3) if count < 999.5 * 1000**i), 4)
    value = count / 1000**power
    return f"{value:.{0 if value >= 99.5 else 1}f} {'kMGT'[power - 1]}B"


def printable(text: str) -> str:
    """Return a name as a terminal takes it: neither broken bytes nor line breaks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _named(entry: Entry) -> str:
    return entry.key if entry.kind == FILE else f"{entry.kind}/{entry.key[:KEY]}"


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        n = int(seconds // length)
        if n:
            return f"{n} {unit}{'s' if n > 1 else ''} ago"
    return "just now"


def _pixels(spread: Spread) -> str:
    if spread.min == spread.max:
        return f"{spread.min:,} px"
    return f"{spread.min:,} to {spread.max:,} px (median {spread.median:,g})"


def _facts(rows: Mapping[str, str]) -> Table:
    grid = two_columns()
    for name, value in rows.items():
        grid.add_row(f"[dim]{name}[/]", value)
    return grid


def _columns(header: Iterable[str], rows: Iterable[tuple[str, Sequence[str]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in header:
        right = name in ("size", "last used")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for name, cells in rows:
        table.add_row(_safe(name), *map(_safe, cells))
    return table


def _say(screen: Screen, text: str) -> None:
    screen.out.print(text, highlight=False, soft_wrap=True)


def _safe(text: str) -> str:
    """Escape what rich would read as markup: class names and paths are the user's own."""
    return escape(printable(text))
