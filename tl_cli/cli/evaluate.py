"""`tl evaluate`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import BadImages, Columns, Data, Json, Quiet
from tl_cli.cli.run_directory import look_as, require_one_label
from tl_cli.cli.session import opened_screen, scanned, tell
from tl_cli.data.manifest import CLASSIFICATION

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.engine.evaluate import EvaluatedModel
    from tl_cli.store.run_dir import RunDir


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    data: Data = None,
    split: Annotated[str | None, typer.Option(help="test, val, train or all.")] = None,
    bad_images: BadImages = None,
    columns: Columns = None,
    slice_: Annotated[
        str | None,
        typer.Option("--slice", metavar="COLUMN", help="Accuracy by mode, width, group, ..."),
    ] = None,
    target_precision: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of two classes: threshold that gives it.")
    ] = None,
    target_recall: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of two classes: threshold that gives it.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Compare with another run, image by image.")
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Mean with the mirror image, where that may be mirrored.")
    ] = False,
    plots: Annotated[bool, typer.Option("--plots", help="Write pictures into the run.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained classifier, on its own test images or on others."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli import config as configs
        from tl_cli.data.columns import column
        from tl_cli.store.run_dir import checkpoint_of

        for name, value in {"--bad-images": bad_images, "--columns": columns}.items():
            if value and data is None:
                raise typer.BadParameter(f"{name} is for other images: give --data")
        names = configs.load(flags={"data": data or "-", "columns": columns}).column_names()
        run = checkpoint_of(checkpoint)
        other = checkpoint_of(against) if against else None
        asked = {"--target-precision": target_precision,
                 "--target-recall": target_recall, "--against": against, "--tta": tta,
                 "--plots": plots}  # fmt: skip
        if _task(run) != CLASSIFICATION:
            require_one_label(run, asked, "--json has all figures")
        manifest, chosen = evaluated(run, data, split, screen, bad_images or "skip", names)
        values = column(manifest, slice_, data, names) if slice_ else None
        from tl_cli.engine import evaluate

        if data is not None:
            manifest = evaluate.comparable(run, manifest, screen.on_progress)
        wanted = evaluate.EvaluationRequest(
            manifest=manifest,
            split=chosen,
            own=data is None,
            sliced_by=slice_,
            column=values,
            target_precision=target_precision,
            target_recall=target_recall,
            against=other,
            tta=tta,
        )
        found = evaluate.evaluate(run, wanted, screen.on_progress)
        pictures = list(_drawn(found, run)) if plots else []
        _show(found, run, pictures, screen, json)


def _task(run: RunDir) -> str:
    from tl_cli.store import checkpoint, run_dir

    return checkpoint.task_of(run / run_dir.CHECKPOINT)


def _show(
    found: EvaluatedModel, run: RunDir, pictures: list[Path], screen: Screen, json: bool
) -> None:
    from tl_cli.console import multilabel, regression
    from tl_cli.console.evaluate import show_evaluation
    from tl_cli.results.evaluation import of_one_label
    from tl_cli.results.multilabel import MultilabelEvaluation
    from tl_cli.results.regression import RegressionEvaluation

    told = found.diagnostics.to_json() if found.diagnostics else {}
    told |= found.sliced.to_json() if found.sliced else {}
    if json:
        drawn = {"pictures": [str(path) for path in pictures]}
        print(jsonlib.dumps(found.evaluation.to_json() | told | drawn))
    elif isinstance(found.evaluation, MultilabelEvaluation):
        multilabel.show_evaluation(screen, found.evaluation, run.path, found.sliced)
    elif isinstance(found.evaluation, RegressionEvaluation):
        regression.show_evaluation(screen, found.evaluation, run.path, found.sliced)
    elif found.diagnostics:
        show_evaluation(
            screen, of_one_label(found.evaluation), found.diagnostics, run.path, pictures
        )


def _drawn(found: EvaluatedModel, run: RunDir) -> Iterator[Path]:
    """Draw all pictures into the run, and yield where each lies."""
    from tl_cli.report.figures import answers as figures
    from tl_cli.results.evaluation import of_one_label

    told, answers = found.diagnostics, found.answers
    if told is None:  # of several labels an image
        return
    yield figures.confusion_png(of_one_label(found.evaluation), run)
    yield figures.reliability_png(told, run.path)
    yield figures.roc_png(told, answers.probabilities, answers.labels, run.path)
    yield figures.precision_recall_png(told, answers.probabilities, answers.labels, run.path)


def evaluated(
    run: RunDir,
    data: str | None,
    split: str | None,
    screen: Screen,
    bad_images: str,
    columns: Mapping[str, str],
) -> tuple[Manifest, str]:
    """Return the images to evaluate on and which split of them: test, else val, else all."""
    from tl_cli.data.csv_io import read_csv
    from tl_cli.data.manifest import SPLITS
    from tl_cli.errors import unknown
    from tl_cli.store import run_dir

    if split not in (None, "all", *SPLITS):
        raise unknown("split", split or "", ("all", *SPLITS))
    if data is None:
        found = read_csv(run / run_dir.MANIFEST)
        return found, split or ("test" if found.of("test") else "val")
    look_as(run)
    found = scanned(
        data, screen, bad_images=bad_images, least_classes=1, columns=columns, task=_task(run)
    )
    tell(found, screen)
    return found, split or ("test" if found.of("test") else "all")
