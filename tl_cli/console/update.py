"""What changing a run's images came to, as a reader sees it. Imports rich as the console does."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from tl_cli.console.screen import Screen, safe
from tl_cli.humanize import count, naming, percent, short
from tl_cli.results.paired import Paired, PairedMeans
from tl_cli.results.regression import said
from tl_cli.results.update import Pair, Recognised, UpdateResult
from tl_cli.store import run_dir

FEW = 5  # classes that are named
NAMES = {"val": "validation", "test": "test"}


def show_update(screen: Screen, result: UpdateResult, images: int, run: Path) -> None:
    """Say what was changed, how the figures moved, and what is still to be done."""
    for text in _changes(result, images):
        screen.paragraph(safe(text))
    for text in moved(result):
        screen.paragraph(safe(text), first="  [dim]-[/] ")
    for text, command in _to_do(result, run):
        screen.paragraph(safe(text), first="  [yellow]![/] ")
        if command:
            screen.whole(safe(command), label="    ")


def _changes(result: UpdateResult, images: int) -> Iterator[str]:
    more, less = result.added_images, result.removed_images
    changes = [
        *([f"{_images(result.added, more)} added"] if more else []),
        *([f"{_images(result.removed, less)} taken out"] if less else []),
        *([f"{count(result.relabelled, 'label')} corrected"] if result.relabelled else []),
    ]
    new = [f"{_classes(result.new_classes)} new"] if result.new_classes else []
    gone = [f"{_classes(result.gone_classes)} gone"] if result.gone_classes else []
    said = ", ".join([*(["; ".join(changes)] if changes else []), *new, *gone])
    yield f"{said[0].upper()}{said[1:]}."
    passed = f"{count(result.passed, 'image')} passed the network" if result.passed else ""
    passed = passed or "No image had to pass the network"
    yield f"{passed}; the head was solved again on all {images:,}. {result.of} is as it was."


def _images(by_class: Mapping[str, int], n: int) -> str:
    """Say how many images, and of what. Where images have several labels, these are more."""
    if [*by_class.values()] == [n]:
        [name] = by_class
        return f"{count(n, 'image')} of {name!r}"
    named = naming([f"{own:,} of {name!r}" for name, own in by_class.items()], FEW)
    return f"{count(n, 'image')} ({named or 'without a label'})"


def _classes(names: tuple[str, ...]) -> str:
    return f"{'class' if len(names) == 1 else 'classes'} {naming(map(repr, names), FEW)}"


def moved(result: UpdateResult) -> Iterator[str]:
    """Yield how the figures moved, on images that neither head was fitted to."""
    named = NAMES[result.split]
    if result.same:
        yield f"Of the {count(result.same.n, f'{named} image')} that it had: {_pair(result.same)}"
    if result.more:
        yield (
            f"Of {count(result.more.n, f'added {named} image')} of classes that it knew: "
            f"{_pair(result.more)}"
        )
    for row in result.new[:FEW]:
        yield f"New class {row.name!r}: {percent(row.after)} of {_held_out(row, named)} recognised."
    measured = {row.name for row in result.new}
    if lacking := [name for name in result.new_classes if name not in measured]:
        yield f"No {named} image of {_classes(tuple(lacking))}: how well is not known."
    for row in result.lost[:FEW]:
        yield (
            f"Less than before: {row.name!r}, {percent(row.after)} of {_held_out(row, named)} "
            f"({percent(row.before or 0)} before)."
        )


def _pair(pair: Pair) -> str:
    if isinstance(pair, PairedMeans):
        return f"{_means(pair)} {_verdict(pair)}"
    return (
        f"{percent(pair.first_accuracy, 1)} recognised now, {percent(pair.second_accuracy, 1)} "
        f"before. {_verdict(pair)}"
    )


def _means(pair: PairedMeans) -> str:
    if pair.less_is_better:
        now, was = (said(error, pair.second_mean) for error in (pair.first_mean, pair.second_mean))
        return f"off by {now} on average now, {was} before."
    return f"F1 of an image {pair.first_mean:.3f} now, {pair.second_mean:.3f} before."


def _verdict(pair: Pair) -> str:
    """Say whether now differs from before."""
    if isinstance(pair, Paired) and not pair.only_first + pair.only_second:
        return "The very same images."
    text = pair.verdict
    return text.replace("The first is better", "Better").replace("The second is better", "Worse")


def _held_out(row: Recognised, named: str) -> str:
    return f"its {count(row.n, f'{named} image')}"


def _to_do(result: UpdateResult, run: Path) -> Iterator[tuple[str, str]]:
    """Yield what a careful person would add, each with a command where there is one."""
    if result.tuned:
        learnt = ", and it keeps what it learnt from those that were taken out" * bool(
            result.removed
        )
        yield (
            f"The network is the one that was tuned for {result.of}{learnt}; only its head is new. "
            "To train it anew on the images that there are now:",
            shlex.join(["tl", "train", "--config", str(run / run_dir.CONFIG),
                        "--output", f"{run}-tuned"]),
        )  # fmt: skip
    if result.erased:
        erased = result.erased
        yield (
            f"Erased from the cache in {erased.cache}: {count(erased.features, 'row')} of "
            f"features, {erased.pixels:,} of pixels, {count(erased.looks, 'look')} at files. "
            "The photos themselves were not touched: a training on their folder takes them in "
            "again.",
            "",
        )
    if result.holding:
        several = len(result.holding) > 1
        yield (
            f"{'These runs' if several else 'This run'} still {'hold' if several else 'holds'} "
            "them, in weights, lists of images, predictions and reports; once the new one is good:",
            shlex.join(["rm", "-r", *result.holding]),
        )
    if result.alike:
        yield (
            f"{count(len(result.alike), 'image')} that look nearly the same as one that was taken "
            f"out stay: {naming(map(short, result.alike))}",
            "",
        )
