"""`tl train RUN --add DIR`, `--remove CLASS|PATH`: other images for a run that is trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tl_cli.cli.session import LOADING, scanned
from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.data.update import Update
    from tl_cli.engine.outcome import Trained
    from tl_cli.report import RunFacts
    from tl_cli.store.run_dir import RunDir

ALLOWED = ("data", "output", "report")  # options that go with a change of the images


@dataclass(frozen=True)
class Asked:
    """What is to be changed of a run's images."""

    add: tuple[Path, ...] = ()
    remove: tuple[str, ...] = ()
    labels: Mapping[str, str | None] = field(default_factory=dict)  # by path; None: take out


def decided(flags: Mapping[str, Any], others: Collection[str] = ()) -> str | None:
    """Return why what is asked for beside a change of images cannot be had; None where it can."""
    given = {f"--{name.replace('_', '-')}" for name in flags if name not in ALLOWED} | set(others)
    if not given:
        return None
    return (
        f"{min(given)} does not go with --add and --remove: the head is solved again with the "
        "run's own network and settings"
    )


def check_alone(flags: Mapping[str, Any], others: Collection[str]) -> None:
    """Raise BadParameter where anything is asked for that the run has decided already."""
    if why := decided(flags, others):
        raise typer.BadParameter(why)


def updated(
    flags: Mapping[str, Any], asked: Asked, screen: Screen, json: bool, *, overwrite: bool = False
) -> Mapping[str, Any]:
    """Make a new run of a run and other images, and show it; return all that --json tells."""
    from tl_cli.cli.training import show

    manifest, done, trained, page = remade(flags, asked, screen, overwrite=overwrite)
    if not json:
        from tl_cli.console.update import show_update

        assert trained.result.update
        if not screen.quiet:
            show_update(screen, trained.result.update, len(manifest.records), done.path)
        show(trained.result, manifest, done, page, screen)
    return {**trained.result.to_json(), "report": page}


def remade(
    flags: Mapping[str, Any], asked: Asked, screen: Screen, *, overwrite: bool = False
) -> tuple[Manifest, RunDir, Trained, str | None]:
    """Make a new run of a run and other images; return its images, itself, what came, its page."""
    from tl_cli import report
    from tl_cli.cli.training import finished_run
    from tl_cli.store.run_dir import RunDir, checkpoint_of

    earlier = checkpoint_of(_run_of(flags))
    facts = report.read(earlier)
    settings = _settings(facts, flags)
    output = flags.get("output")
    if output:
        RunDir(Path(output)).check(overwrite=overwrite)
    screen.busy("Looking at the images")
    changed = _changed(facts, settings, asked, screen)
    run = _directory(earlier, output, overwrite)
    settings = _of(settings, run, changed)
    done, trained, page = finished_run(
        settings, screen, run, lambda watch: _work(settings, changed, facts, run, screen, watch)
    )
    return changed.manifest, done, trained, page


def _run_of(flags: Mapping[str, Any]) -> Path:
    """Return the run that is to be changed. Raises TLError where there is none."""
    from tl_cli.humanize import typed
    from tl_cli.store import replacement

    source = flags.get("data")
    if not source:
        raise TLError(
            "--add and --remove change the images of a run, and none was given",
            "name it: tl train RUN --add DIR",
        )
    path = Path(source).expanduser()
    if path.is_dir() and not replacement.is_run(path):
        raise TLError(
            f"'{source}' is no run: --add and --remove change the images of one",
            f"train on it first: {typed('tl', 'train', source)}",
        )
    return path


def _settings(facts: RunFacts, flags: Mapping[str, Any]) -> RunConfig:
    """Return the run's configuration, which stays, but for where the new run is to lie."""
    from tl_cli import config as configs
    from tl_cli.store import run_dir

    own = configs.of_run(facts.run / run_dir.CONFIG)
    return own.effective(
        limit=None, limit_per_class=None, columns=None, data_dir=None, track=None,
        gradient_flow=False, keep_duplicates=False, report=flags.get("report", True),
    )  # fmt: skip


def _changed(facts: RunFacts, settings: RunConfig, asked: Asked, screen: Screen) -> Update:
    """Return the run's images as they are to be. Raises TLError where that cannot be."""
    from tl_cli.data.csv_io import read_csv
    from tl_cli.data.update import Update, corrected, joined, without
    from tl_cli.store import run_dir

    manifest = read_csv(facts.run / run_dir.MANIFEST)
    before = Update(manifest)
    if asked.labels:
        before = corrected(before, asked.labels)
    if asked.remove:
        before = without(before, asked.remove)
    for folder in asked.add:
        before = joined(
            before,
            _scanned(folder, settings, screen, manifest.task, facts),
            val=settings.val,
            test=settings.test,
            seed=settings.seed,
            folds=settings.folds or 0,
            fold=settings.fold,
        )
    return before


def _scanned(
    folder: Path, settings: RunConfig, screen: Screen, task: str, facts: RunFacts
) -> Manifest:
    """Return other images; those of a table with labels as the run's own table had them."""
    from tl_cli import config as configs
    from tl_cli.data import channels
    from tl_cli.data.manifest import CLASSIFICATION
    from tl_cli.data.update import of_task
    from tl_cli.store import run_dir

    channels.use(settings.bands())
    size = settings.image_size  # as it was decided
    keep = {"keep": size} if settings.cache and size else {}
    options: dict[str, Any] = {"least_classes": 1, **keep}
    if task != CLASSIFICATION:
        own = configs.of_run(facts.run / run_dir.CONFIG)
        options |= {"task": task, "columns": own.column_names()}
    found = scanned(str(folder), screen, bad_images=settings.bad_images, **options)
    return of_task(found, task)


def _directory(earlier: RunDir, output: str | None, overwrite: bool) -> RunDir:
    """Create and return the new run's directory: --output, or a free name beside the earlier."""
    from tl_cli.store.run_dir import RunDir

    if output:
        return RunDir.create(Path(output), overwrite=overwrite)
    place = earlier.path.resolve()
    stem, dash, number = place.name.rpartition("-")
    numbered = dash and number.isdecimal() and place.with_name(stem).is_dir()
    return RunDir.create_named(earlier.path.parent, stem if numbered else place.name)


def _of(settings: RunConfig, run: RunDir, changed: Update) -> RunConfig:
    """Return the configuration with which the same images can be trained on anew."""
    from tl_cli.store import run_dir

    manifest = run.final_path.resolve() / run_dir.MANIFEST
    return settings.effective(data=str(manifest), output=str(run.final_path))


def _work(
    settings: RunConfig,
    changed: Update,
    facts: RunFacts,
    run: RunDir,
    screen: Screen,
    on_progress: Callable[..., None],
) -> Any:
    screen.busy(LOADING)
    from tl_cli.engine.update import Earlier, update

    for note in changed.notes:
        screen.note(f"{note}.", warning=True)
    return update(settings, changed, Earlier(facts.run, facts.plan, facts.told), run, on_progress)
