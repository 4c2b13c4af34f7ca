"""What `tl train` says: what was found, what will be done, and in the end what came out.

By default no more than fits on one screen, without a term that needs a glossary; `show_details` has
what --verbose adds. Knows nothing of how it was found.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_cli.console import multilabel, regression
from tl_cli.console.caveats import of_images
from tl_cli.console.evaluate import show_figures
from tl_cli.console.screen import Screen, safe
from tl_cli.data.duplicates import trained_on_too
from tl_cli.data.manifest import MULTILABEL, REGRESSION, Manifest
from tl_cli.humanize import count, duration, percent, roughly, saved, typed
from tl_cli.plan.plain_words import plain_decision, plain_reasons
from tl_cli.results.dry_run import DryRun
from tl_cli.results.headline import FOLDS, HEAD, TEST, VALIDATION, Headline, headline
from tl_cli.results.multilabel import MultilabelEvaluation, multilabel_figures
from tl_cli.results.regression import RegressionEvaluation, regression_figures, said
from tl_cli.results.training import MultilabelHeadResult, RegressionHeadResult, RunResult

FINDINGS = 3  # told; tl inspect has them all
DECIMALS_FROM = 100  # images, from which on a tenth of a percent says something
KEPT_OUT = {
    TEST: " it has never seen",
    FOLDS: ", each kept out of the training in its turn",
    VALIDATION: " kept out of the training",
}


def show_found(screen: Screen, manifest: Manifest) -> None:
    """Say in a sentence what there is, and what is wrong with it."""
    splits = {split: len(manifest.of(split)) for split in ("train", "val", "test")}
    uses = [f"{splits['train']:,} to learn from", f"{splits['val']:,} to check on"]
    uses += [f"{splits['test']:,} for the test"] if splits["test"] else []
    images, classes = count(sum(splits.values()), "image"), count(len(manifest.classes), "class")
    if manifest.task == MULTILABEL:
        mean = sum(manifest.counts().values()) / sum(splits.values())
        classes += f", {mean:.1f} labels an image"
    shown = f"{images} in {classes}"
    if manifest.task == REGRESSION:
        values = [float(r.label) for r in manifest.records]
        low, high = min(values), max(values)
        shown = f"{images}, each with a number, `{safe(manifest.classes[0])}`, {low:g} to {high:g}"
    screen.paragraph(f"[bold]{safe(manifest.source)}[/]: {shown}; {', '.join(uses)}.", rest="  ")
    for note in manifest.notes[:FINDINGS]:
        screen.paragraph(f"{safe(note)}.", first="  [yellow]![/] ")
    more = len(manifest.notes) - FINDINGS
    if more > 0:
        screen.whole(safe(typed("tl", "inspect", manifest.source)), label=f"    and {more} more: ")


def show_intention(screen: Screen, plan: Mapping[str, Any], seconds: float) -> None:
    """Say in a sentence what will be done, what is behind and how long the rest takes; and why."""
    behind = time.monotonic() - screen.began
    _show_plan(screen, plan, f"{_about(seconds)} to go, after {duration(behind)} so far.")


def _about(seconds: float) -> str:
    estimate = roughly(seconds)
    return estimate if estimate.startswith("a ") else f"about {estimate}"


def _show_plan(screen: Screen, plan: Mapping[str, Any], takes: str) -> None:
    """Say in a sentence what will be done and how long that takes, and in three why."""
    takes = takes[0].upper() + takes[1:]
    screen.paragraph(f"[bold]Plan:[/] {safe(plain_decision(plan))}. {takes}", rest="  ")
    for reason in plain_reasons(plan):
        screen.paragraph(safe(reason), first="  [dim]-[/] ")


def show_what_would_be(screen: Screen, found: DryRun) -> None:
    """Say what a run would do, and how long that takes, from a batch that was measured."""
    _show_plan(screen, found.plan, f"in all this takes {_about(found.seconds['total'])}.")
    spent = ", ".join(f"{k} {duration(v)}" for k, v in found.seconds.items() if k != "total")
    steps = f"{count(found.steps, 'step')} of {count(found.plan['batch_size'], 'image')}; "
    screen.paragraph(
        f"Images at {found.image_size} px; {steps if found.steps else ''}{spent}. Nothing was "
        "trained; --verbose shows the evidence and all settings.",
    )


def show_outcome(
    screen: Screen, result: RunResult, manifest: Manifest, model: Path, report: str | None
) -> None:
    """Say how good it is, with what is to be said beside that, where it lies and what to do now."""
    for caveat in _caveats(result, show_figure(screen, result, manifest), manifest):
        screen.paragraph(safe(caveat), first="  [yellow]![/] ")
    screen.whole(safe(str(model)), label="  Model   ")
    if report:
        address = Path(report).absolute().as_uri()
        screen.whole(f"[link={address}]{safe(address)}[/link]", label="  Report  ")
    for i, command in enumerate(_next(result, manifest)):
        screen.whole(safe(command), label="          " if i else "  Next    ")


def show_figure(screen: Screen, result: RunResult, manifest: Manifest) -> Headline | None:
    """Say how good it is, and nothing else; return that, where it is a share of images."""
    if result.task == MULTILABEL:
        multilabel.show_headline(screen, multilabel_figures(result.metrics))
        return None
    if result.task == REGRESSION:
        regression.show_headline(screen, regression_figures(result.metrics))
        return None
    counts = manifest.counts("train")
    told = headline(result, max(counts.values()) / max(sum(counts.values()), 1))
    show_headline(screen, told)
    return told


def show_headline(screen: Screen, told: Headline) -> None:
    """Say in one sentence how much is recognised of what it has not seen."""
    decimals = 1 if told.n >= DECIMALS_FROM else 0
    good = told.better_than_guessing
    mark, colour = ("✔", "green") if good else ("✘", "red")
    low, high = (percent(x).removesuffix(" %") for x in (told.low, told.high))
    screen.paragraph(
        f"[bold]Recognises {percent(told.share, decimals)}[/] of {count(told.n, 'image')}"
        f"{KEPT_OUT[told.measured]} (95 %: {low} to {high}; guessing gives "
        f"{percent(told.guessing)})",
        first=f"[bold {colour}]{mark}[/] ",
    )


def _caveats(result: RunResult, told: Headline | None, manifest: Manifest) -> Iterator[str]:
    """Yield what a careful person would add to the headline."""
    if result.task == REGRESSION:
        yield from regression.caveats(regression_figures(result.metrics), manifest)
        return
    if told is None:
        yield from multilabel.caveats(multilabel_figures(result.metrics), manifest)
        yield from _of_tuning(result, validation="test" not in result.metrics)
        return
    if not told.better_than_guessing:
        yield (
            "That is no better than always naming the most frequent class, so nothing was learned "
            "that shows. Do the labels say what the images show? tl inspect DATA --plots"
        )
    copies = trained_on_too(manifest, "test" if told.measured == TEST else "val")
    yield from of_images(told.n, copies if told.measured != FOLDS else 0)
    yield from _of_tuning(result, validation=told.measured == VALIDATION)


def _of_tuning(result: RunResult, *, validation: bool) -> Iterator[str]:
    """Yield what a tuning adds. `validation`: whether its own judges are what is measured on."""
    if validation and (result.tune or result.scratch):
        yield (
            "They also decided what is kept, so the figure is a little too good: --test 0.1 keeps "
            "some images aside for a fair one."
        )
    if result.tune and result.tune.kept == HEAD:
        yield "Training the network further did not help, so it was left as it came."


def _next(result: RunResult, manifest: Manifest) -> Iterator[str]:
    """Yield what can be typed now: with an image of theirs that it was not fitted to."""
    for split in ("test", "val"):
        paths = [record.path for record in manifest.of(split)]
        if paths and Path(paths[0]).is_file():
            yield typed("tl", "predict", result.run, _as_typed(paths[0], manifest.source))
            break
    yield typed("tl", "evaluate", result.run)


def _as_typed(path: str, source: str) -> str:
    """Return the path of an image as it begins where the user said that they lie."""
    folder = Path(source).expanduser()
    absolute = folder.resolve()
    inside = Path(path).resolve()
    return str(folder / inside.relative_to(absolute)) if absolute in inside.parents else path


def show_details(screen: Screen, result: RunResult) -> None:
    """Show all that a run came to."""
    for line in _ways(result):
        screen.paragraph(line)
    if result.tune:
        screen.paragraph(f"[bold]Tuning:[/] {safe(result.tune.reason)}")
    if result.head:
        screen.paragraph(f"[bold]Saved:[/] {_saved(result)}")
    for evaluation in result.metrics.values():
        if isinstance(evaluation, MultilabelEvaluation):
            multilabel.show_figures(screen, evaluation)
        elif isinstance(evaluation, RegressionEvaluation):
            regression.show_figures(screen, evaluation)
        else:
            show_figures(screen, evaluation)
    spent = ", ".join(f"{k} {duration(v)}" for k, v in result.seconds.items() if k != "total")
    screen.paragraph(f"[bold]Time:[/] {duration(result.seconds['total'])} ({spent})")
    screen.whole(f"[bold]Run:[/] {safe(result.run)}")


def _saved(result: RunResult) -> str:
    kept = result.tune.kept if result.tune else HEAD
    unseen = "[dim](figures on val: predictions made without these images in the fit)[/]"
    return f"{safe(saved(kept, refit=result.refit))} {unseen}"


def _ways(result: RunResult) -> Iterator[str]:
    head, scratch = result.head, result.scratch
    if isinstance(head, MultilabelHeadResult):
        yield (
            f"[bold]Head:[/] {head.kind}, solved; cross-validated mean average precision "
            f"{head.cv_average_precision:.3f}"
        )
    elif isinstance(head, RegressionHeadResult):
        yield (
            f"[bold]Head:[/] {head.kind}, solved; cross-validated mean absolute error "
            f"{said(head.cv_mae)}, R2 {head.cv_r2:.3f}"
        )
    elif head:
        yield (
            f"[bold]Head:[/] {head.kind}, solved; cross-validated accuracy "
            f"{head.cv_accuracy:.3f} ± {head.cv_stderr:.3f}"
        )
    if scratch:
        yield (
            "[bold]From scratch:[/] no head was solved, there was nothing to look at once; epoch "
            f"{scratch.best_epoch} of {scratch.epochs} was best on validation and is kept"
        )
