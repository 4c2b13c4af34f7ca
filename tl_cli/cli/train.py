"""`tl train`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import Json, Quiet, with_config_flags
from tl_cli.cli.panels import HelpAll
from tl_cli.cli.resume import reopened
from tl_cli.cli.session import manifest_of, opened_screen
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.engine.train import Trained
    from tl_cli.store.run_dir import RunDir

EXAMPLES = """
Examples:

\b
  tl train --data photos
  tl train --data photos --freeze half --epochs 10 --output runs/half
  tl train --config configs/digits.yaml --set seed=1 --dry-run
"""
PLANS = ("head", "half", "full")


@with_config_flags
def train(
    flags: Mapping[str, Any],
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
    json: Json = False,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run that was cut off."),
    ] = None,
    quiet: Quiet = False,
    help_all: HelpAll = False,
) -> None:
    """Train a classifier on a folder of images."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs

        if resume:
            if overwrite or compare_scratch or compare_freeze or dry_run:
                raise typer.BadParameter("--resume goes on with one run, as it was begun")
            report = _resume(*reopened(resume, config, set_ or (), flags, screen), screen, json)
            if json and report:
                print(jsonlib.dumps(report))
            return
        settings = configs.load(config, set_ or (), flags)
        others = _others(settings, compare_scratch, compare_freeze)
        _check(settings, bool(others), dry_run, overwrite)
        if dry_run:
            _dry_run(settings, manifest_of(settings, screen), screen, json)
            return
        run = _begun(settings, _run_dir(settings, overwrite))
        manifest = _scanned(settings, run, screen)
        if others:
            _compare(settings, others, manifest, screen, json, overwrite, run)
        else:
            report = _train(settings, manifest, screen, json, run)
            if json:
                print(jsonlib.dumps(report))


def _check(settings: RunConfig, comparing: bool, dry_run: bool, overwrite: bool) -> None:
    """Raise, before the images are looked at, where what was asked for cannot be done."""
    from tl_cli import catalog
    from tl_cli.store import reading
    from tl_cli.store.run_dir import RunDir

    if settings.weights:
        reading.check_weights(Path(settings.weights))
    elif not settings.from_scratch:
        catalog.require_pretrained(catalog.get(settings.backbone, settings.preprocessing))
    if comparing and (settings.from_scratch or dry_run):
        raise typer.BadParameter("a comparison goes with a training from pretrained weights")
    if settings.output and not (dry_run or comparing):
        RunDir(Path(settings.output)).check(overwrite=overwrite)


def _dry_run(settings: RunConfig, manifest: Manifest, screen: Screen, json: bool) -> None:
    from tl_cli.engine.dry_run import dry_run

    result = dry_run(settings, manifest, screen.on_progress)
    if json:
        print(jsonlib.dumps(result.to_json()))
        return
    from tl_cli.console.plan import show_dry_run

    show_dry_run(screen, result)


def _begun(settings: RunConfig, run: RunDir) -> RunDir:
    """Keep in the run what was asked for, so that it can be gone on with from now on."""
    from tl_cli.store import resume

    resume.begin(run, settings.model_dump())
    return run


def _scanned(settings: RunConfig, run: RunDir, screen: Screen) -> Manifest:
    """Return the images; a mistake in them leaves no run behind."""
    try:
        with _watched(run, screen):
            return manifest_of(settings, screen)
    except TLError:
        run.withdraw()
        raise


def _resume(
    run: RunDir, settings: RunConfig, manifest: Manifest | None, screen: Screen, json: bool
) -> Mapping[str, Any] | None:
    """Go on with a run, or with what its end lacks; return what `_train` does, if it was called."""
    from tl_cli.store import resume, run_dir

    if run.state() != run_dir.DONE:
        if manifest is None:
            with _watched(run, screen):
                manifest = manifest_of(settings, screen)
        return _train(settings, manifest, screen, json, run)
    run = run.publish()
    if settings.report and not (run / run_dir.REPORT).is_file():
        _say_report(_report(run, screen), screen, json)
    resume.forget(run)
    screen.note(f"The run in {run.path} is finished: there is nothing left to do.")
    return None


def _train(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, run: RunDir
) -> Mapping[str, Any]:
    """Train one run, show it unless `json`, and return all that --json tells of it."""
    from tl_cli.store import resume, run_dir

    with _watched(run, screen):
        trained = _run(settings, manifest, screen, run)
    run.status(run_dir.DONE)
    run = run.publish()
    if settings.gradient_flow:
        _draw_gradients(run, screen)
    if not json:
        screen.result(trained.result)
    report = _report(run, screen, trained.classifier) if settings.report else None
    _say_report(report, screen, json)
    resume.forget(run)
    return {**trained.result.to_json(), "report": report}


def _say_report(report: str | None, screen: Screen, json: bool) -> None:
    if report and not json:
        from tl_cli.humanize import printable

        screen.out.print(
            f"Report: {printable(report)}", highlight=False, markup=False, soft_wrap=True
        )


def _run(settings: RunConfig, manifest: Manifest, screen: Screen, run: RunDir) -> Trained:
    from tl_cli.console.plan import show_plan
    from tl_cli.engine.train import train

    return train(
        settings,
        manifest,
        run,
        screen.on_progress,
        on_plan=lambda plan: show_plan(screen, plan.to_json()),
    )


def _report(run: RunDir, screen: Screen, classifier: Classifier | None = None) -> str | None:
    """Write the report; a run that is whole is not lost where that cannot be done."""
    from tl_cli.cli.report import written

    try:
        return str(written(run, built=classifier))
    except TLError as error:
        screen.note(f"no report was written: {error.message}", warning=True)
        return None


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
    """Train in several ways on one split, with the same limits, and end with the comparison."""
    from tl_cli.cli import compare
    from tl_cli.store.run_dir import RunDir

    place = run.final_path
    runs = {run: settings} | {
        _begun(
            changed,
            RunDir.create(place.with_name(f"{place.name}-{name}"), overwrite=overwrite),
        ): changed
        for name, changed in others.items()
    }
    losses = {
        run.final_path.name: _train(changed, manifest, screen, json, run)["metrics"]["val"][
            "log_loss"
        ]
        for run, changed in runs.items()
    }
    best = min(losses, key=lambda name: losses[name])
    compare.show([run.final_path for run in runs], screen, json, best=best)


def _draw_gradients(run: RunDir, screen: Screen) -> None:
    from tl_cli.report.figures.training import gradients_png
    from tl_cli.store import run_dir

    if (run / run_dir.GRADIENTS).is_file():
        screen.note(f"wrote {gradients_png(run / run_dir.GRADIENTS, run / 'gradients.png')}")


def _run_dir(settings: RunConfig, overwrite: bool) -> RunDir:
    from tl_cli.store.run_dir import RunDir, name_for

    if settings.output:
        return RunDir.create(Path(settings.output), overwrite=overwrite)
    return RunDir.create_named(Path("runs"), name_for(settings.data))


@contextmanager
def _watched(run: RunDir, screen: Screen) -> Iterator[None]:
    """Say in the run directory how the run was cut off, and how to go on with it.

    What was saved before the tuning is a result: it is kept, and put in an old run's place.
    """
    from tl_cli.store.run_dir import FAILED, HEAD, INTERRUPTED

    try:
        yield
    except BaseException as error:
        end = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        if run.state() == HEAD:
            run.status(HEAD, ended=end, error=str(error))
            run = run.publish()
            screen.note(f"The solved head is kept: {run.path}", warning=True)
        else:
            run.status(end, error=str(error))
            run.discard()
        # what is wrong with the data or the options would end it again
        again = not isinstance(error, TLError) or isinstance(error.__cause__, OSError)
        if run.way_on and (again or run.state() == HEAD):
            screen.note(f"To go on where it was cut off: {run.way_on}")
        raise
