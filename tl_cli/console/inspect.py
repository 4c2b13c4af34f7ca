"""What an inspection looks like to a reader: tables and sentences on a Screen.

Knows what the figures mean, and nothing of
how they were found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from tl_cli import catalog
from tl_cli.console.screen import Screen, safe, say, two_columns
from tl_cli.data.inspection import WRONG, Finding, Inspection, Numbers, Spread
from tl_cli.data.manifest import MULTILABEL
from tl_cli.humanize import printable
from tl_cli.plan import BIG, TINY, DatasetStats

NOTICEABLE = 1.05  # times as many images in the largest class: below, it is said as 1.0
EXAMPLES = 5  # of each finding; --json has them all
MODES = {  # Pillow's names in words
    "1": "1-bit",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "RGBA": "RGB with transparency",
    "I;8": "16-bit grey, 8 bits used",
    "I;10": "16-bit grey, 10 bits used",
    "I;12": "16-bit grey, 12 bits used",
    "I;14": "16-bit grey, 14 bits used",
    "I;16": "16-bit grey",
}
STYLE = {"wrong": "bold red", "note": "yellow"}


def show_inspection(screen: Screen, found: Inspection) -> None:
    """Show the counts, the figures and the findings."""
    classes = f"{len(found.per_class):,} class{'es' if len(found.per_class) > 1 else ''}"
    if found.numbers:
        classes = f"each with a number, {safe(repr(*found.per_class))}"
    say(screen, f"[bold]{safe(found.source)}[/]: {found.images:,} images, {classes}")
    screen.out.print()
    screen.data(
        {
            split: {printable(name): n for name, n in counts.items()}
            for split, counts in found.counts.items()
        }
    )
    if found.drawn:
        parts = " and ".join(found.drawn)
        say(screen, f"[dim]{parts}: drawn as tl train would, the source has none[/]")
    screen.out.print()
    screen.out.print(_facts(_figures(found)))
    screen.out.print()
    _show_findings(screen, found.findings)


def _figures(found: Inspection) -> dict[str, str]:
    """Return each figure's name and what there is to say of it."""
    return {
        "width": _pixels(found.sizes["width"]),
        "height": _pixels(found.sizes["height"]),
        "shorter side": _pixels(found.sizes["shorter_side"]),
        "mode": ", ".join(f"{MODES.get(m, m)} ({n:,})" for m, n in found.modes.items()),
        **(_of_numbers(found.numbers) if found.numbers else _of_classes(found)),
        "to train on": _to_train_on(found.training),
        "image size": _image_size(found),
    }


def _of_numbers(numbers: Numbers) -> dict[str, str]:
    """Return how the numbers are spread."""
    return {
        "numbers": f"{numbers.min:g} to {numbers.max:g} (median {numbers.median:g}, mean "
        f"{numbers.mean:g}), {numbers.different:,} different ones"
    }


def _of_classes(found: Inspection) -> dict[str, str]:
    """Return how the images are spread over the classes."""
    counts = list(found.per_class.values())
    return {
        "images a class": f"median {median(counts):,g}, mean {mean(counts):,.1f}",
        "balance": f"the largest class has {found.imbalance:.1f} times as many as the smallest"
        if found.imbalance >= NOTICEABLE
        else "all classes have about as many",
        **_answering(found),
    }


def _answering(found: Inspection) -> dict[str, str]:
    largest, share = safe(repr(found.largest)), f"{found.majority_baseline:.1%}"
    if found.task == MULTILABEL:
        told = f"{found.labels_an_image:.1f} an image on average; {largest} is on {share} of them"
        return {"labels": told}
    return {"baseline": f"always answering {largest} is right {share} of the time"}


def _to_train_on(situation: DatasetStats) -> str:
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
        say(screen, f"[bold red]{what} wrong.[/]")
    else:
        say(screen, "[bold green]Nothing is wrong.[/]")


def _finding(finding: Finding) -> RenderableType:
    lines = [safe(finding.text), f"[dim]{safe(finding.meaning)}[/]"]
    lines += [safe(example) for example in finding.examples[:EXAMPLES]]
    more = len(finding.examples) - EXAMPLES
    if more > 0:
        lines.append(f"[dim]and {more:,} more; --json names all[/]")
    mark = f"[{STYLE[finding.severity]}]{finding.severity:<5}[/]"
    grid = two_columns()
    for i, line in enumerate(lines):
        grid.add_row("" if i else mark, Padding(line, (0, 0, 0, 2 * (i > 1))))
    return grid


def _pixels(spread: Spread) -> str:
    if spread.min == spread.max:
        return f"{spread.min:,} px"
    return f"{spread.min:,} to {spread.max:,} px (median {spread.median:,g})"


def _facts(rows: Mapping[str, str]) -> Table:
    grid = two_columns()
    for name, value in rows.items():
        grid.add_row(f"[dim]{name}[/]", value)
    return grid
