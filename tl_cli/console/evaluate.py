"""What an evaluation says beyond its figures, as a reader sees it: short sections, gravest last.

Imports rich as the console does. Knows what the figures mean, and nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.console.screen import Screen
from tl_cli.humanize import printable, short
from tl_cli.results.calibration import Answered
from tl_cli.results.evaluation import Against, Calibration, Diagnostics, Loss, Slice, Threshold

LOSSES = 5  # images named; --json has more
VERDICT = 0.05  # p-value below which a difference is called one


def show_diagnostics(screen: Screen, told: Diagnostics) -> None:
    """Show what was found, and what was asked for."""
    _section(screen, "Probabilities", _probabilities(told))
    _coverage(screen, told.coverage)
    _section(screen, "The costliest images", [_loss(each) for each in told.losses[:LOSSES]])
    if told.slices is not None:
        _slices(screen, told.sliced_by or "", told.slices)
    if told.thresholds is not None:
        _section(screen, "Thresholds", [_threshold(each) for each in told.thresholds])
    if told.against is not None:
        _section(screen, f"Against {printable(told.against.run)}", _against(told.against))


def _section(screen: Screen, heading: str, lines: Sequence[str]) -> None:
    screen.out.print()
    screen.out.print(heading, style="bold", highlight=False, markup=False)
    for line in lines:
        screen.out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _probabilities(told: Diagnostics) -> list[str]:
    lines = [_calibration(told.calibration)]
    if told.roc_area is not None and told.precision_recall_area is not None:
        lines.append(
            f"area under ROC {told.roc_area:.3f}, under precision and recall "
            f"{told.precision_recall_area:.3f} (mean over classes)"
        )
    if told.mirrored:
        lines.append("each is the mean of an image and its mirror image")
    return lines


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
    _section(screen, "If unsure answers are withheld", [])
    rows = [
        (f"  at least {level.min_confidence:g} sure", [f"{level.coverage:.1%}", _share(level)])
        for level in levels
    ]
    screen.matrix(rows, ("answered", "accuracy"))


def _share(level: Answered) -> str:
    return "" if level.accuracy is None else f"{level.accuracy:.3f}"


def _loss(each: Loss) -> str:
    file = printable(short(each.path).strip("'\""))
    taken = (
        f"{printable(each.label)} taken for {printable(each.predicted)}"
        if each.label != each.predicted
        else f"{printable(each.label)}, though"
    )
    return f"{file}: {taken}, {each.probability:.0%} sure (loss {each.loss:.2f})"


def _slices(screen: Screen, column: str, found: Sequence[Slice]) -> None:
    _section(screen, f"By {printable(column)}, the least accurate first", [])
    rows = [
        (
            f"  {printable(row.value)}",
            [
                f"{row.n:,}",
                f"{row.accuracy:.3f}",
                f"{row.interval[0]:.3f} to {row.interval[1]:.3f}",
            ],
        )
        for row in found
    ]
    screen.matrix(rows, ("images", "accuracy", "95 % interval"))


def _threshold(each: Threshold) -> str:
    name, goal = printable(each.positive), f"{each.goal} of {each.target:g}"
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
