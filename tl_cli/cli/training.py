"""One run, trained: shown while it works and when it is done, and its report written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tl_cli.cli.run_directory import watched
from tl_cli.cli.session import LOADING
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.engine.outcome import Trained
    from tl_cli.plan import FreezePlan
    from tl_cli.results.progress import OnProgress
    from tl_cli.results.training import RunResult
    from tl_cli.store.run_dir import RunDir


def train_run(
    settings: RunConfig, manifest: Manifest, screen: Screen, run: RunDir, *, brief: bool = False
) -> tuple[RunDir, Trained, str | None]:
    """Train one run, put it in its place, and write its report; return where that lies, too.

    `brief`: one of several, of which only what goes on is shown.
    """
    work = _run_briefly if brief else _run
    return finished_run(
        settings, screen, run, lambda watch: work(settings, manifest, screen, run, watch)
    )


def finished_run(
    settings: RunConfig, screen: Screen, run: RunDir, work: Callable[[OnProgress], Trained]
) -> tuple[RunDir, Trained, str | None]:
    """Do what makes a run, put it in its place, and write its report; return where that lies."""
    from tl_cli import trackers
    from tl_cli.store import resume, run_dir

    with (
        watched(run, screen),
        trackers.following(settings.track, run, screen.on_progress) as followed,
    ):
        trained = work(followed.watch)
        followed.finish()
    run.status(run_dir.DONE)
    run = run.publish()
    if settings.gradient_flow:
        _draw_gradients(run, screen)
    report = write_report(run, screen, trained.classifier) if settings.report else None
    followed.close(run)
    resume.forget(run)
    return run, trained, report


def train_and_show(
    settings: RunConfig, manifest: Manifest, screen: Screen, json: bool, run: RunDir
) -> Mapping[str, Any]:
    """Train one run, show it unless `json`, and return all that --json tells of it."""
    run, done, report = train_run(settings, manifest, screen, run)
    if not json:
        show(done.result, manifest, run, report, screen)
    return {**done.result.to_json(), "report": report}


def show(
    result: RunResult, manifest: Manifest, run: RunDir, report: str | None, screen: Screen
) -> None:
    """Show what came out; of several runs in one command, each."""
    from tl_cli.console.train import show_details, show_figure, show_outcome
    from tl_cli.store import run_dir

    if screen.quiet:
        show_figure(screen, result, manifest)
        return
    if screen.verbose:
        show_details(screen, result)
    show_outcome(screen, result, manifest, run / run_dir.EXPORTED, report)


def say_report(report: str | None, screen: Screen, json: bool) -> None:
    if report and not json:
        from tl_cli.humanize import printable

        screen.out.print(
            f"Report: {printable(report)}", highlight=False, markup=False, soft_wrap=True
        )


def _run(
    settings: RunConfig, manifest: Manifest, screen: Screen, run: RunDir, on_progress: OnProgress
) -> Trained:
    screen.busy(LOADING)
    from tl_cli.engine.train import train

    return train(
        settings, manifest, run, on_progress, on_plan=lambda *told: _show_plan(screen, *told)
    )


def _run_briefly(
    settings: RunConfig, manifest: Manifest, screen: Screen, run: RunDir, on_progress: OnProgress
) -> Trained:
    """Train without a word of the plan, nor of what is there before the tuning."""
    screen.busy(LOADING)
    from tl_cli.engine.train import train
    from tl_cli.results.progress import Note

    def passing(event: Any) -> None:
        if not (isinstance(event, Note) and event.lasting):
            on_progress(event)

    def on_plan(_: FreezePlan, seconds: Mapping[str, float]) -> None:
        screen.activity.expect(seconds)
        screen.busy("Preparing what comes next")

    return train(settings, manifest, run, passing, on_plan=on_plan)


def _show_plan(screen: Screen, plan: FreezePlan, seconds: Mapping[str, float]) -> None:
    """Show what will be done, and go on telling what is done, with the time that it will take."""
    from tl_cli.console.plan import show_plan
    from tl_cli.console.train import show_intention

    if screen.verbose:
        show_plan(screen, plan.to_json())
    elif not screen.quiet:
        show_intention(screen, plan.to_json(), sum(seconds.values()))
    screen.activity.expect(seconds)
    screen.busy("Preparing what comes next")


def write_report(run: RunDir, screen: Screen, classifier: Classifier | None = None) -> str | None:
    """Write the report; a run that is whole is not lost where that cannot be done."""
    from tl_cli.cli.report import written

    screen.busy("Writing the report")
    try:
        return str(written(run, built=classifier))
    except TLError as error:
        screen.note(f"no report was written: {error.message}", warning=True)
        return None


def _draw_gradients(run: RunDir, screen: Screen) -> None:
    from tl_cli.report.figures.training import gradients_png
    from tl_cli.store import run_dir

    if (run / run_dir.GRADIENTS).is_file():
        screen.note(f"wrote {gradients_png(run / run_dir.GRADIENTS, run / 'gradients.png')}")
