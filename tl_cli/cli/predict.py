"""`tl predict`."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.run_directory import require_one_label
from tl_cli.cli.session import opened_screen
from tl_cli.data.manifest import REGRESSION, TASKS
from tl_cli.errors import TLError, unknown

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.engine.conformal import ConformalSets
    from tl_cli.results.regression import ConformalInterval
    from tl_cli.store.prediction_forms import ImagePrediction
    from tl_cli.store.prediction_writer import PredictionSink
    from tl_cli.store.run_dir import RunDir

FORMATS = ("table", "csv", "jsonl")
BY_ENDING = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Run directory, or the checkpoint in it.")],
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, folders, 'patterns', lists (.txt, .csv), or - for stdin."),
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Guesses an image.")] = 1,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Label what is less probable `unsure`.")
    ] = 0.0,
    unknown: Annotated[
        bool | None,
        typer.Option(
            "--unknown/--no-unknown",
            help="Label what is unlike all training images `unknown`, where that can be told.",
            show_default=False,
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=0.999,
            metavar="SHARE",
            show_default=False,
            help="Name all classes, or the interval of a number, that it may be, so that the right "
            "one is within for that share of images, e.g. 0.95.",
        ),
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="table, csv or jsonl; else by the ending of --output.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File, written as the answers come.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --output.")] = False,
    sort_into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy each image to DIR/LABEL.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Link there instead of copying.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what images show: one row for each, in the order given."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.data.sources.inputs import named_images
        from tl_cli.store import prediction_origin, prediction_writer, run_dir, sorted_folders

        form = _form(format, output, json)
        if json and format and not output:
            screen.note(f"--format {format} is not used: --json has a form of its own")
        if (resume and not output) or (link and not sort_into):
            raise typer.BadParameter("--resume needs --output, and --link needs --sort-into")
        run = run_dir.checkpoint_of(checkpoint)
        several, number = _several(run), _task(run) == REGRESSION
        if several or number:
            asked = {"--top-k": top_k > 1, "--min-confidence": min_confidence > 0,
                     "--sort-into": sort_into,
                     "--coverage": None if number else coverage}  # fmt: skip
            there = "the interval of each number" if number else "the probabilities of all labels"
            require_one_label(run, asked, f"--output FILE.csv has {there}")
        left_out: Counter[str] = Counter()
        inputs = named_images(paths, sys.stdin, left_out)
        tell_left_out(left_out, screen)
        if sort_into:
            sorted_folders.prepare(sort_into)
        sets = _sets(run, coverage) if coverage and not number else None
        interval = _interval(run, coverage) if coverage and number else None
        started = time.perf_counter()
        options = {
            "--top-k": top_k,
            "--min-confidence": min_confidence,
            "--unknown": unknown,
            "--coverage": coverage,
            "--sort-into": str(sort_into.resolve()) if sort_into else None,
        }
        file = (
            prediction_writer.writing(
                output, form, top_k, inputs=inputs, resume=resume,
                origin=prediction_origin.of(run, options), batch=batch_size,
                several=several,
                sets=sets is not None,
                number=number,
            )
            if output
            else None
        )  # fmt: skip
        shown = _shown(screen, form, top_k, inputs, several, sets=sets is not None, number=number)
        with file or shown as sheet:
            from tl_cli.engine import predict
            from tl_cli.engine.fitted_images import Met

            built = predict.load_checkpoint(run, TASKS)
            met = Met(run)
            built = replace(built, interval=interval) if interval else built
            answers = predict.answers(
                built, inputs[sheet.rows :], top=top_k, least=min_confidence,
                batch_size=batch_size, unlike=predict.unknown_score(run, built, unknown),
                sets=sets, met=met,
            )  # fmt: skip
            with _told_where_it_stops(screen, sheet, len(inputs), output):
                said = (prediction_writer.UNSURE, prediction_writer.UNKNOWN)
                names = sorted_folders.folder_names([*built.classes, *said])
                sort = partial(_sorted, sort_into, names, link=link) if sort_into else None
                unsorted = _work(answers, sheet, len(inputs), screen, sort)
        told = sheet.to_json() | {
            "seconds": round(time.perf_counter() - started, 3),
            "left_out": dict(+left_out),
            "unsorted": unsorted,
            "trained_on": len(met.found),
            "sets": _told_of_sets(sheet, sets) if sets else None,
        }
        if number:
            told |= {"quantity": built.classes[0]}
            told |= {"interval": built.interval.to_json() if built.interval else None}
        if json:
            print(jsonlib.dumps(told))
        else:
            hesitant = 0 if resume or min_confidence else sheet.hesitant
            _sum_up(screen, told, hesitant, output, sort_into)
        if sheet.failed or unsorted:
            raise typer.Exit(1)


def _several(run: RunDir) -> Sequence[str]:
    """Return the classes of a run that gives an image several labels; else none."""
    from tl_cli.store import checkpoint, run_dir

    described = checkpoint.describe(run / run_dir.CHECKPOINT)
    return described["classes"] if described.get("thresholds") else ()


def _form(form: str | None, output: Path | None, json: bool) -> str:
    """Return how the answers are to be written."""
    if form not in (None, *FORMATS):
        raise unknown("format", form or "", FORMATS)
    if output is None:
        return "json" if json else form or "table"
    if form == "table":
        raise typer.BadParameter("a table is for people to read: --output is csv or jsonl")
    if not form and output.suffix.lower() not in BY_ENDING:
        raise TLError(
            f"what is to be written into '{output}' does not follow from its name",
            f"end it with {', '.join(BY_ENDING)}, or say --format csv or jsonl",
        )
    return form or BY_ENDING[output.suffix.lower()]


def tell_left_out(left_out: Counter[str], screen: Screen) -> None:
    """Say how many files of folders and patterns were not taken for images, and why."""
    from tl_cli.data.sources.entries import HIDDEN
    from tl_cli.humanize import count, naming
    from tl_cli.results.progress import Note

    hidden = left_out[HIDDEN]
    others = {ending: n for ending, n in left_out.most_common() if ending != HIDDEN}
    if others:
        kinds = naming(f"{ending} ({n:,})" for ending, n in others.items())
        files = count(sum(others.values()), "file")
        screen.on_progress(Note(f"left out {files}, no images by their name: {kinds}"))
    if hidden:
        screen.on_progress(Note(f"left out {count(hidden, 'hidden image')}"))


@contextmanager
def _shown(
    screen: Screen,
    form: str,
    top: int,
    inputs: Sequence[str],
    several: Sequence[str],
    *,
    sets: bool,
    number: bool,
) -> Iterator[PredictionSink]:
    """Give what takes the answers without a file: standard output, or memory for --json."""
    from tl_cli.console.predict import PredictionTable
    from tl_cli.store import prediction_writer

    if form == "table":
        yield PredictionTable(screen, inputs)
    elif form == "json":
        yield prediction_writer.Collected()
    else:
        yield prediction_writer.Printed(
            form=form, top=top, several=several, sets=sets, number=number
        )


def _work(
    answers: Iterator[list[ImagePrediction]],
    sheet: PredictionSink,
    total: int,
    screen: Screen,
    sort: Callable[[ImagePrediction], str] | None,
) -> list[dict[str, str]]:
    """Sort and write batch after batch; rows that come on a terminal are progress enough.

    Returns the images that could not be sorted, with the reason: one does not stop the others.
    """
    from tl_cli.results.progress import Progress

    unsorted: list[dict[str, str]] = []
    before, visible = sheet.rows, not (sheet.on_screen and sys.stdout.isatty())
    for batch in answers:
        for answer in batch:
            if sort and answer.label and (reason := sort(answer)):
                unsorted.append({"path": answer.path, "reason": reason})
        if not visible:
            screen.settle()
        sheet.write(batch)
        if visible:
            screen.on_progress(Progress("predict", sheet.rows - before, total - before))
    return unsorted


def _sets(run: RunDir, coverage: float) -> ConformalSets:
    """Return what sets go by; before any file is begun. Raises TLError where it is too little."""
    from tl_cli.engine import conformal, predict

    return conformal.of_run(run, predict.classes(run), coverage)


def _interval(run: RunDir, coverage: float) -> ConformalInterval:
    """Return how far numbers may be off; before any file is begun. Raises TLError as `_sets`."""
    from tl_cli.engine import conformal

    return conformal.interval_of_run(run, coverage)


def _task(run: RunDir) -> str:
    from tl_cli.store import checkpoint, run_dir

    return checkpoint.task_of(run / run_dir.CHECKPOINT)


def _told_of_sets(sheet: PredictionSink, sets: ConformalSets) -> dict[str, Any]:
    """Return what --json tells of the sets, keys as documented in docs/json.md."""
    n = sum(sheet.sizes.values())
    return {
        "coverage": sets.coverage,
        "least_probability": round(sets.least, 6),
        "held_out": sets.n,
        "mean_size": sum(k * m for k, m in sheet.sizes.items()) / n if n else None,
        "alone": sheet.sizes[1] / n if n else None,
    }


def _sorted(folder: Path, names: Mapping[str, str], answer: ImagePrediction, *, link: bool) -> str:
    """Put an image where it belongs; return why that cannot be, else ""."""
    from tl_cli.store import sorted_folders

    try:
        sorted_folders.put(Path(answer.path), folder, names[answer.label], link=link)
    except TLError as error:
        return error.message
    return ""


def _of_number(quantity: str, interval: Mapping[str, Any] | None) -> str:
    """Say what the numbers are of, and what stands beside them."""
    from tl_cli.results.regression import said

    if not interval:
        return f"Numbers of `{quantity}`; too few were held out to say how far one may be off."
    return (
        f"Numbers of `{quantity}`, each with the interval, ± {said(interval['radius'])}, that "
        f"holds the right one for {100 * interval['coverage']:g} % of images drawn like the "
        f"{interval['held_out']:,} held-out ones that it goes by."
    )


@contextmanager
def _told_where_it_stops(
    screen: Screen, sheet: PredictionSink, total: int, output: Path | None
) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except (KeyboardInterrupt, OSError, TLError):
        screen.settle()
        rest = f"; {output} holds whole rows: to go on, add --resume" if output else ""
        screen.note(f"stopped after {sheet.rows:,} of {total:,} images{rest}", warning=True)
        raise


def _sum_up(
    screen: Screen,
    told: dict[str, Any],
    hesitant: int,
    output: Path | None,
    sort_into: Path | None,
) -> None:
    """Say how many images were taken for what, how many were unsure, and where the answers lie."""
    from tl_cli.console.predict import show_counts
    from tl_cli.humanize import count, naming, percent, short
    from tl_cli.results.progress import Note
    from tl_cli.store.prediction_writer import HESITANT, UNSURE

    parts = [count(told["images"], "image")]
    parts += [f"{told[kind]:,} {kind}" for kind in ("unknown", "unsure", "failed") if told[kind]]
    if hesitant:
        parts.append(
            f"{hesitant:,} less than {percent(HESITANT)} sure (--min-confidence {HESITANT:g} calls "
            f"{'it' if hesitant == 1 else 'them'} {UNSURE})"
        )
    if (sets := told.get("sets")) and sets["mean_size"]:
        screen.settle()
        screen.note(
            f"Sets hold the right class of {percent(sets['coverage'], 1)} of images drawn like the "
            f"{sets['held_out']:,} held-out ones that they go by; here {sets['mean_size']:.2f} "
            f"classes on average, {percent(sets['alone'])} of them a single one."
        )
    if n := told["trained_on"]:
        screen.settle()
        screen.note(
            f"{n:,} of these images {'was' if n == 1 else 'were'} trained on: how well "
            f"{'it is' if n == 1 else 'they are'} recognised says nothing of new ones."
        )
    if "quantity" in told:
        screen.settle()
        screen.note(_of_number(told["quantity"], told["interval"]))
    parts += [f"wrote {output}"] if output else []
    parts += [f"sorted into {sort_into}"] if sort_into else []
    screen.settle()
    if told["images"] > 1:
        show_counts(screen, told["labels"])
    screen.on_progress(Note(", ".join(parts), warning=bool(told["failed"])))
    lost = told["unsorted"]
    if lost:
        few = naming((f"{short(each['path'])}: {each['reason']}" for each in lost), 1)
        screen.note(f"{count(len(lost), 'image')} not sorted: {few}", warning=True)
