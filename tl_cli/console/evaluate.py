"""What an evaluation says, as a reader sees it: the figures first, then short sections, what was
written last and what to do next.

Imports rich as the console does. Knows what the figures mean, and nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

from tl_cli.console.layout import heading, paragraph, table, whole
from tl_cli.console.screen import Screen
from tl_cli.humanize import count, percent, printable, short, typed
from tl_cli.results.calibration import Answered
from tl_cli.results.evaluation import (
    Against,
    Calibration,
    Diagnostics,
    Evaluation,
    Loss,
    Slice,
    Threshold,
    confused,
    nothing_learnt,
)

MISTAKES = 5  # images named; --json has more
CONFUSION_UP_TO = 20  # classes; a larger matrix is no longer read
PAIRS = 10  # of classes taken for each other, where the whole matrix does not fit
VERDICT = 0.05  # p-value below which a difference is called one
DECIMALS_FROM = 100  # images, from which on a tenth of a percent says something
INDENT = 2
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


def show_evaluation(
    screen: Screen, result: Evaluation, told: Diagnostics, run: Path, pictures: Sequence[Path]
) -> None:
    """Show all of it. `run`: whose directory it is; `pictures`: what was drawn."""
    _headline(screen, result)
    screen.out.print()
    show_figures(screen, result)
    _by_class(screen, result)
    show_confusion(screen, result)
    _section(screen, "Probabilities", _probabilities(told))
    _coverage(screen, told.coverage)
    _mistakes(screen, result, told)
    if told.slices is not None:
        _slices(screen, told.sliced_by or "", told.slices)
    if told.thresholds is not None:
        _section(screen, "Thresholds", [_threshold(each) for each in told.thresholds])
    if told.against is not None:
        _section(screen, f"Against {whole(told.against.run)}", _against(told.against))
    if pictures:
        _section(screen, "Pictures", [whole(str(path)) for path in pictures])
    _next(screen, told.mistakes, run)


def _section(screen: Screen, title: str, sentences: Sequence[str]) -> None:
    heading(screen, title)
    for sentence in sentences:
        paragraph(screen, sentence, indent=INDENT, hanging=INDENT)


def _headline(screen: Screen, result: Evaluation) -> None:
    """Say in one sentence how much is recognised, as `tl train` ends."""
    kind = "image" if result.split == "all" else f"{result.split} image"
    share = percent(result.accuracy, 1 if result.n >= DECIMALS_FROM else 0)
    beside = [f"guessing gives {percent(result.majority_baseline)}"]
    if ends := result.intervals["accuracy"]:
        low, high = (percent(end).removesuffix(" %") for end in ends)
        beside.insert(0, f"95 %: {low} to {high}")
    paragraph(
        screen, f"Recognises {whole(share)} of {count(result.n, kind)} ({'; '.join(beside)})",
        style="bold",
    )  # fmt: skip


def show_figures(screen: Screen, result: Evaluation) -> None:
    """Show the headline figures with their intervals."""
    paragraph(screen, f"{result.split} ({count(result.n, 'image')})", style="bold")
    rows = [
        (name.replace("_", " ").replace("f1", "F1"), f"{getattr(result, name):.3f}",
         _interval(result.intervals[name]))
        for name in FIGURES
    ]  # fmt: skip
    if result.top5 is not None:
        rows.append(("top-5 accuracy", f"{result.top5:.3f}", ""))
    rows.append(("majority baseline", f"{result.majority_baseline:.3f}", ""))
    table(screen, ("", "value", "95 % interval"), rows)
    if doubt := nothing_learnt(result.to_json()):
        paragraph(screen, doubt)


def _interval(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _by_class(screen: Screen, result: Evaluation) -> None:
    rows = [
        (printable(row.name), f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}",
         f"{row.support:,}")
        for row in result.per_class
    ]  # fmt: skip
    screen.out.print()
    table(screen, ("class", "precision", "recall", "F1", "images"), rows)


def show_confusion(screen: Screen, result: Evaluation) -> None:
    """Show the matrix; where it does not fit, or cannot be read any more, its worst pairs."""
    names = [printable(name) for name in result.classes]
    corner = "true \\ predicted"
    header = (corner, *names)
    rows = [
        (name, *(f"{n:,}" if n else "." for n in row))
        for name, row in zip(names, result.confusion, strict=True)
    ]
    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    fits = sum(widths) + len(widths) - 1 <= screen.out.width
    if fits and len(names) <= CONFUSION_UP_TO:
        screen.out.print()
        table(screen, header, rows)
        return
    pairs = confused(result.classes, result.confusion, PAIRS)
    if pairs:
        of = {row.name: row.support for row in result.per_class}
        taken = (
            f"{whole(pair.true)} taken for {whole(pair.predicted)}: {pair.n:,} of {of[pair.true]:,}"
            for pair in pairs
        )
        _section(screen, "Most often taken for another class", list(taken))


def _probabilities(told: Diagnostics) -> list[str]:
    sentences = [_calibration(told.calibration)]
    if told.roc_area is not None and told.precision_recall_area is not None:
        sentences.append(
            f"area under ROC {told.roc_area:.3f}, under precision and recall "
            f"{told.precision_recall_area:.3f} (mean over classes)"
        )
    if told.mirrored:
        sentences.append("each is the mean of an image and its mirror image")
    return sentences


def _calibration(found: Calibration) -> str:
    said = f"calibration error {found.ece:.3f}"
    if found.temperature is None:
        return said
    if found.ece_scaled is None:
        return f"{said}; the best temperature on these images would be {found.temperature:.2f}"
    return (
        f"{said}, {found.ece_scaled:.3f} with temperature {found.temperature:.2f} "
        "(fitted on validation)"
    )


def _coverage(screen: Screen, levels: Sequence[Answered]) -> None:
    """Show what is gained by leaving unsure answers out, up to where none is left."""
    heading(screen, "If unsure answers are withheld")
    rows = [
        (
            f"at least {percent(level.min_confidence)} sure",
            percent(level.coverage, 1),
            f"{level.accuracy:.3f}",
        )
        for level in levels
        if level.accuracy is not None
    ]
    if rows:
        table(screen, ("", "answered", "accuracy"), rows, indent=INDENT)
    none = [level.min_confidence for level in levels if level.accuracy is None]
    if none:
        paragraph(screen, f"no answer is {whole(percent(none[0]))} sure", indent=INDENT)


def _mistakes(screen: Screen, result: Evaluation, told: Diagnostics) -> None:
    wrong = result.n - sum(row[i] for i, row in enumerate(result.confusion))
    if not wrong:
        _section(
            screen,
            "The costliest mistakes",
            [f"none: all {count(result.n, 'image')} are recognised"
             if result.n > 1 else "none: the image is recognised"],
        )  # fmt: skip
        return
    shown = told.mistakes[:MISTAKES]
    title = "The only mistake" if wrong == 1 else "The costliest mistakes"
    few = f" ({len(shown)} of {wrong:,})" if wrong > len(shown) else ""
    _section(screen, title + few, [_mistake(each) for each in shown])


def _mistake(each: Loss) -> str:
    file = whole(short(each.path).strip("'\""))
    return (
        f"{file}: {whole(each.label)} taken for {whole(each.predicted)}, "
        f"{whole(percent(each.probability))} sure (loss {each.loss:.2f})"
    )


def _slices(screen: Screen, column: str, found: Sequence[Slice]) -> None:
    heading(screen, f"By {whole(column)}, the least accurate first")
    rows = [
        (printable(row.value), f"{row.n:,}", f"{row.accuracy:.3f}", _interval(row.interval))
        for row in found
    ]
    table(screen, ("", "images", "accuracy", "95 % interval"), rows, indent=INDENT)


def _threshold(each: Threshold) -> str:
    name, goal = whole(each.positive), f"{each.goal} of {each.target:g}"
    if each.threshold is None:
        return f"{name}: no threshold gives a {goal} on {each.chosen_on}"
    measured = ", ".join(
        f"{what} {value:.3f}"
        for what, value in (("precision", each.precision), ("recall", each.recall))
        if value is not None
    )
    return (
        f"{name} from {each.threshold:.3f} on, chosen on {each.chosen_on} for a {goal}: "
        f"here {measured or 'never said'}"
    )


def _against(found: Against) -> list[str]:
    pair = found.accuracy
    interval = found.log_loss_interval
    verdict = (
        "no difference beyond chance"
        if pair.p_value >= VERDICT
        else f"{'this one' if pair.difference > 0 else 'the other'} is better beyond chance"
    )
    return [
        f"accuracy {pair.first_accuracy:.3f} and {pair.second_accuracy:.3f}: "
        f"{pair.difference:+.3f} ({pair.interval[0]:+.3f} to {pair.interval[1]:+.3f})",
        f"only this one right {pair.only_first:,}, only the other {pair.only_second:,}, "
        f"p = {pair.p_value:.3f} (McNemar): {verdict}",
        f"log loss {found.log_loss_difference:+.3f}"
        + (f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""),
    ]


def _next(screen: Screen, mistakes: Sequence[Loss], run: Path) -> None:
    """Say what to type next: why the costliest mistake was made, else how to use the classifier."""
    screen.out.print()
    if mistakes:
        command = typed("tl", "explain", run, mistakes[0].path)
        paragraph(screen, f"Next, why the first mistake was made: {whole(command)}")
    else:
        command = f"{typed('tl', 'predict', run)} IMAGES"
        paragraph(screen, f"Next, what other images show: {whole(command)}")
