"""`tl train`."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli import update
from tl_cli.cli.options import Json, Quiet, Source, Verbose, with_config_flags, with_source
from tl_cli.cli.panels import HelpAll
from tl_cli.cli.resume import reopened
from tl_cli.cli.run_directory import begun, directory, watched
from tl_cli.cli.session import LOADING, manifest_of, opened_screen
from tl_cli.cli.shard import ShardOption, train_share
from tl_cli.cli.training import say_report, show, train_and_show, train_run, write_report
from tl_cli.data.manifest import CLASSIFICATION, REGRESSION, TASKS
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.engine.outcome import Trained
    from tl_cli.results.dry_run import DryRun
    from tl_cli.store.run_dir import RunDir

EXAMPLES = """
Examples:

\b
  tl train photos
  tl train photos --freeze half --epochs 10 --output runs/half
  tl train --config configs/digits.yaml --set seed=1 --dry-run
"""
PLANS = ("head", "half", "full")


@with_config_flags
def train(
    flags: Mapping[str, Any],
    source: Source = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file of the options above.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One of them, over the file; repeatable."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --output.")
    ] = False,
    compare_scratch: Annotated[
        bool, typer.Option("--compare-scratch", help="Train from scratch too, and compare.")
    ] = False,
    compare_freeze: Annotated[
        bool, typer.Option("--compare-freeze", help="Train head, half and full too, and compare.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and time it only.")] = False,
    plots: Annotated[
        bool, typer.Option("--plots", help="With --dry-run: draw the loss by learning rate.")
    ] = False,
    shard: ShardOption = None,
    json: Json = False,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run that was cut off."),
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Of a RUN: take in images, of its classes or new ones."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS|PATH", help="Of a RUN: take out images, and erase what is kept of them."
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    help_all: HelpAll = False,
) -> None:
    """Train a classifier on a folder of images."""
    with opened_screen(json=json, quiet=quiet, verbose=verbose) as screen:
        from tl_cli import config as configs

        flags = with_source(flags, source)
        if add or remove:
            fixed = {"--config": config, "--set": set_, "--dry-run": dry_run, "--resume": resume}
            fixed |= {"--compare-scratch": compare_scratch, "--compare-freeze": compare_freeze}
            update.check_alone(flags, [name for name, value in fixed.items() if value])
            asked = update.Asked(tuple(add or ()), tuple(remove or ()))
            report = update.updated(flags, asked, screen, json, overwrite=overwrite)
            if json:
                print(jsonlib.dumps(report))
            return
        if resume:
            if overwrite or compare_scratch or compare_freeze or dry_run or shard:
                raise typer.BadParameter("--resume goes on with one run, as it was begun")
            report = _resume(*reopened(resume, config, set_ or (), flags, screen), screen, json)
            if json:
                print(jsonlib.dumps(report))
            return
        if plots and not dry_run:
            raise typer.BadParameter("--plots goes with --dry-run: a run has its report")
        settings = configs.load(config, set_ or (), flags)
        others = _others(settings, compare_scratch, compare_freeze)
        _check(settings, bool(others), dry_run, overwrite)
        if shard:
            if others or dry_run:
                raise typer.BadParameter("--shard lets images pass the network, and does no more")
            train_share(settings, shard, screen, json)
            return
        if dry_run:
            _dry_run(settings, manifest_of(settings, screen, TASKS), screen, json, plots)
            return
        run = begun(settings, directory(settings, overwrite))
        manifest = _scanned(settings, run, screen)
        if others:
            _compare(settings, others, manifest, screen, json, overwrite, run)
        else:
            report = train_and_show(settings, manifest, screen, json, run)
            if json:
                print(jsonlib.dumps(report))


def _check(settings: RunConfig, comparing: bool, dry_run: bool, overwrite: bool) -> None:
    """Raise, before the images are looked at, where what was asked for cannot be done."""
    from tl_cli import catalog, engines, trackers
    from tl_cli.store import reading
    from tl_cli.store.run_dir import RunDir

    if settings.weights:
        reading.check_weights(Path(settings.weights))
    elif not settings.from_scratch and settings.backbone != catalog.BEST:
        catalog.require_pretrained(catalog.get(settings.backbone, settings.preprocessing))
    trackers.require(settings.track)
    engines.require(settings.engine)
    if comparing and (settings.from_scratch or dry_run):
        raise typer.BadParameter("a comparison goes with a training from pretrained weights")
    if settings.output and not (dry_run or comparing):
        RunDir(Path(settings.output)).check(overwrite=overwrite)


def _dry_run(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, plots: bool
) -> None:
    _found(manifest, screen)
    screen.busy(LOADING)
    began = time.perf_counter()
    from tl_cli.engine.dry_run import dry_run

    result = dry_run(settings, manifest, screen.on_progress, test_rates=plots, began=began)
    if json:
        print(jsonlib.dumps(result.to_json()))
    else:
        from tl_cli.console.plan import show_dry_run
        from tl_cli.console.train import show_what_would_be

        (show_dry_run if screen.verbose else show_what_would_be)(screen, result)
    if plots:
        _draw_rates(settings, result, screen)


def _draw_rates(settings: RunConfig, result: DryRun, screen: Screen) -> None:
    """Draw the loss by learning rate, beside the run that --output names, else in this folder."""
    from tl_cli.report.figures.learning_rate import NAME, learning_rate_png

    tested = result.learning_rate_test
    if not tested:
        screen.note("The plan solves the head alone: there is no learning rate to draw.")
        return
    place = Path(settings.output) if settings.output else None
    path = place.with_name(f"{place.name}-{NAME}") if place else Path(NAME)
    screen.note(tested.told)
    screen.note(f"wrote {learning_rate_png(tested, path)}")


def _scanned(
    settings: RunConfig, run: RunDir, screen: Screen, tasks: Sequence[str] = TASKS
) -> Manifest:
    """Return the images and say what was found; a mistake in them leaves no run behind."""
    try:
        with watched(run, screen):
            return _found(manifest_of(settings, screen, tasks), screen)
    except TLError:
        run.withdraw()
        raise


def _found(manifest: Manifest, screen: Screen) -> Manifest:
    from tl_cli.console.train import show_found

    if screen.verbose is False and not screen.quiet:
        show_found(screen, manifest)
    return manifest


def _resume(
    run: RunDir, settings: RunConfig, manifest: Manifest | None, screen: Screen, json: bool
) -> Mapping[str, Any]:
    """Go on with a run, or with what its end lacks; return all that --json tells of it."""
    from tl_cli.store import resume, run_dir

    if run.state() != run_dir.DONE:
        if manifest is None:
            with watched(run, screen):
                manifest = manifest_of(settings, screen, TASKS)
        _found(manifest, screen)
        return train_and_show(settings, manifest, screen, json, run)
    run = run.publish()
    if settings.report and not (run / run_dir.REPORT).is_file():
        say_report(write_report(run, screen), screen, json)
    resume.forget(run)
    screen.note(f"The run in {run.path} is finished: there is nothing left to do.")
    return _told(run) if json else {}


def _told(run: RunDir) -> Mapping[str, Any]:
    """Return what --json told of a run when it ended."""
    from tl_cli.report import read
    from tl_cli.store import run_dir

    facts, page = read(run), run / run_dir.REPORT
    report = str(page) if page.is_file() else None
    return {"run": str(run.path), "plan": facts.plan, **facts.told, "report": report}


def whole(
    settings: RunConfig, screen: Screen, *, overwrite: bool = False
) -> tuple[RunDir, Trained, str | None]:
    """Train one run from its configuration on; see `training.train_run`. Raises TLError.

    For Python.
    """
    _check(settings, False, False, overwrite)
    run = begun(settings, directory(settings, overwrite))
    return train_run(settings, _scanned(settings, run, screen, TASKS), screen, run)


def _others(settings: RunConfig, scratch: bool, plans: bool) -> dict[str, RunConfig]:
    """Return the runs that this one is to be compared with, by what their names end in."""
    random = {"from_scratch": True, "weights": None, "similarity": None, "freeze": "auto"}
    changed: dict[str, dict[str, Any]] = {"scratch": random} if scratch else {}
    if plans:
        changed |= {name: {"freeze": name, "effort": "normal"} for name in PLANS}
    return {name: settings.model_copy(update=update) for name, update in changed.items()}


def _compare(
    settings: RunConfig,
    others: Mapping[str, RunConfig],
    manifest: Manifest,
    screen: Screen,
    json: bool,
    overwrite: bool,
    run: RunDir,
) -> None:
    """Train in several ways on one split, with the same limits: a line each, a table, the best."""
    from dataclasses import replace

    from tl_cli.cli import compare
    from tl_cli.results.plan_comparison import PlanComparison, plan_row
    from tl_cli.store.run_dir import RunDir

    place = run.final_path
    places = {name: place.with_name(f"{place.name}-{name}") for name in others}
    try:
        if manifest.task != CLASSIFICATION:
            raise TLError(
                "trainings are compared by accuracy, and of "
                f"{'a number' if manifest.task == REGRESSION else 'several labels'} there is none",
                "train one by one, --freeze head and --freeze half, and then tl compare RUN RUN",
            )
        for other in others.values():
            other.for_task(manifest.task)
        for path in places.values():
            RunDir(path).check(overwrite=overwrite)
    except TLError:
        run.withdraw()
        raise
    first, shown = _one_of_several(settings, manifest, screen, json, run)
    backbone = {"backbone": first["plan"]["backbone"]}  # of one that was chosen by `best`
    rows = [plan_row(compare.name_of(settings), first)]
    outcomes = {rows[0].name: shown}
    compare.say_row(screen, rows[0], json)
    for name, other in others.items():
        changed = other.model_copy(update=backbone)
        same = next((row for row in rows if compare.is_same(row, changed)), None)
        if same:
            rows.append(replace(same, name=name, same_as=same.name))
        else:
            its = begun(changed, RunDir.create(places[name], overwrite=overwrite))
            told, outcomes[name] = _one_of_several(changed, manifest, screen, json, its)
            rows.append(plan_row(name, told))
        compare.say_row(screen, rows[-1], json)
    found = PlanComparison(tuple(rows))
    compare.show_plans(found, screen, json)
    if not json and not screen.verbose:
        outcomes[found.best.name]()


def _one_of_several(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, run: RunDir
) -> tuple[Mapping[str, Any], Callable[[], None]]:
    """Train a run of a comparison; return all that --json tells, and what shows how it came out."""
    if json or screen.verbose:
        return train_and_show(settings, manifest, screen, json, run), lambda: None
    run, done, report = train_run(settings, manifest, screen, run, brief=True)
    told = {**done.result.to_json(), "report": report}
    return told, partial(show, done.result, manifest, run, report, screen)
