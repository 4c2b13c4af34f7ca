"""What an export looks like to a reader. Knows nothing of how it was made."""

from __future__ import annotations

from tl_cli.console.screen import Screen, safe, say
from tl_cli.data.manifest import REGRESSION
from tl_cli.export_formats import FORMATS
from tl_cli.humanize import count, naming, percent, size
from tl_cli.results.export import CHECKED_ON, Equality, Export
from tl_cli.results.regression import said

MOST_CLASSES = 10  # that are named


def show_export(screen: Screen, result: Export) -> None:
    """Say what was written, how equal it is, how fast, and how it is used."""
    title = FORMATS[result.format].title + (f", {result.quantize}" if result.quantize else "")
    say(screen, f"[bold]{title}:[/] {safe(result.path)} ({size(result.bytes)})")
    say(screen, f"Checked in {result.runtime}: {_equality(result.equality, result)}")
    if result.encoded:
        say(
            screen,
            f"Given image files, which it opens itself: {_equality(result.encoded, result)}",
        )
    if result.trained_in != "float32":
        say(screen, f"Trained in {result.trained_in}, exported and compared in float32")
    if result.milliseconds:
        say(screen, f"Measured on this machine: {_times(result)}")
    if result.usage:
        _show_usage(screen, result)


def _show_usage(screen: Screen, result: Export) -> None:
    side, classes = result.image_size, map(repr, result.classes)
    names = safe(naming(classes, MOST_CLASSES))
    say(screen, f"Input: image, float32 \\[batch, {side}, {side}, 3], RGB from 0 to 255")
    if result.task == REGRESSION:
        say(screen, f"Output: value, float32 \\[batch, 1]: {names}, in the unit of its labels")
        if result.interval:
            say(
                screen,
                f"For {percent(result.interval.coverage)} of images the right one is within ± "
                f"{said(result.interval.radius)} of it.",
            )
    else:
        say(screen, f"Output: probabilities, float32 \\[batch, {len(result.classes)}]: {names}")
    if result.thresholds:
        say(
            screen,
            "Each is a sigmoid, a label by itself: any number of them may be high. A label is said "
            "from its threshold on (`thresholds` in the .json beside the file): "
            + naming((f"{value:.2f}" for value in result.thresholds), MOST_CLASSES),
        )
    if result.unknown_threshold:
        place = "First" if result.outputs[0] == "unknown_score" else "Second"
        say(
            screen,
            f"{place} output: unknown_score, float32 \\[batch]: above {result.unknown_threshold:g} "
            "an image is unlike all training images, `unknown`",
        )
    if result.unknown_left_out:
        say(screen, safe(result.unknown_left_out[0].upper() + result.unknown_left_out[1:]))
    say(screen, f"[bold]To use it in Python, {result.runtime}:[/]\n")
    for line in (result.usage or "").splitlines():
        screen.whole(safe(line), label="  ")
    say(screen, f"\nMore, for transparent images and JavaScript: {safe(result.recipe or '')}")
    say(screen, f"Model card, as the Hugging Face Hub reads it: {safe(result.card or '')}")


def _times(result: Export) -> str:
    times = result.milliseconds or {}
    return f"{times[1]:.2f} ms an image, one at a time" + "".join(
        f"; {ms:.2f} ms in batches of {batch}" for batch, ms in times.items() if batch != 1
    )


def _equality(found: Equality, result: Export) -> str:
    allowed = found.allowed_difference
    images = count(found.images, CHECKED_ON[result.checked_on])
    if result.task == REGRESSION:
        return (
            f"{images}, greatest difference of a number {found.difference:.1e}"
            + (f" (allowed {allowed:.0e})" if allowed else "")
            + _scores(found)
            + f", nearly the same {found.agreement:.1%}"
            + (f" (at least {found.least_agreement:.0%})" if found.least_agreement else "")
        )
    return (
        f"{images}, greatest difference of a probability {found.difference:.1e}"
        + (f" (allowed {allowed:.0e})" if allowed else "")
        + _scores(found)
        + f", same {'labels' if result.thresholds else 'class'} {found.agreement:.1%}"
        + (f" (at least {found.least_agreement:.0%})" if found.least_agreement else "")
    )  # fmt: skip


def _scores(found: Equality) -> str:
    if found.unknown_difference is None:
        return ""
    allowed = found.allowed_unknown_difference
    return f", of a score for unknown images {found.unknown_difference:.1e}" + (
        f" (allowed {allowed:.0e})" if allowed else ""
    )
