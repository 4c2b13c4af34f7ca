"""`tl report`, and the report that `tl train` ends with."""

from __future__ import annotations

import json as jsonlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl_cli.cli.options import Json, Quiet
from tl_cli.cli.session import opened_screen

if TYPE_CHECKING:
    import numpy as np

    from tl_cli.console.screen import Screen
    from tl_cli.engine.networks.classifier import Classifier
    from tl_cli.report import RunFacts
    from tl_cli.store.run_dir import RunDir

COMPARISON = Path("comparison.html")


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directory; several are compared.")],
    output: Annotated[
        Path | None,
        typer.Option(help="HTML file; RUN/report.html, or comparison.html for several runs."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell a run, or compare several, in one HTML file that needs nothing else."""
    with opened_screen(json=json, quiet=quiet) as screen:
        from tl_cli.humanize import printable
        from tl_cli.store.run_dir import RunDir

        screen.busy("Writing the page")
        found = [RunDir(path if path.is_dir() else path.parent) for path in runs]
        path = written(found[0], output) if len(found) == 1 else _compared(found, output)
        if len(found) == 1:
            _tell_lost(found[0], screen)
        if json:
            print(jsonlib.dumps({"report": str(path), "runs": [str(each.path) for each in found]}))
        else:
            screen.out.print(printable(str(path)), highlight=False, markup=False, soft_wrap=True)


def written(run: RunDir, output: Path | None = None, built: Classifier | None = None) -> Path:
    """Write a run's report and return where it lies. Raises TLError where it cannot.

    `built`: the run's classifier; it is loaded where it is not at hand.
    """
    from tl_cli import report
    from tl_cli.store import run_dir

    facts = report.read(run)
    html = report.report_html(facts, _heat(facts, built))
    return _placed(html, output or run / run_dir.REPORT)


def _tell_lost(run: RunDir, screen: Screen) -> None:
    """Say which of a run's images the report can show no pictures of."""
    from tl_cli.data import presence
    from tl_cli.data.csv_io import read_csv
    from tl_cli.store import run_dir

    records = read_csv(run / run_dir.MANIFEST).records
    if lost := presence.lost(presence.states(records), f"images of {run.path}"):
        screen.note(f"{lost}: no pictures of them are shown", warning=True)


def _heat(facts: RunFacts, built: Classifier | None) -> dict[str, np.ndarray]:
    """Return where the evidence for the mistakes that are shown lies.

    Empty where there are none, and where the checkpoint is gone or damaged: the rest of the report
    does without it.
    """
    from tl_cli.data import presence
    from tl_cli.data.manifest import CLASSIFICATION
    from tl_cli.errors import TLError
    from tl_cli.report import MOST_MISTAKES
    from tl_cli.store import run_dir

    if facts.task != CLASSIFICATION:
        return {}
    records = {record.path: record for record in facts.manifest.records}
    said = [p for p in facts.mistakes(MOST_MISTAKES) if p.path in records]
    if not said or not (built or (facts.run / run_dir.CHECKPOINT).is_file()):
        return {}
    there = {p: records[p.path] for p in said if presence.state(records[p.path]) == presence.SAME}
    from tl_cli.engine import explain, predict

    found: dict[str, np.ndarray] = {}
    with suppress(TLError):
        built = built or predict.load_checkpoint(facts.run)
        found = explain.of_answers(built, {record: p.predicted for p, record in there.items()})
    return found


def _compared(runs: list[RunDir], output: Path | None) -> Path:
    from tl_cli import report

    return _placed(report.comparison_html([report.read(run) for run in runs]), output or COMPARISON)


def _placed(html: str, path: Path) -> Path:
    from tl_cli.errors import TLError
    from tl_cli.store import own_pages
    from tl_cli.store.run_dir import replacing

    own_pages.check(path)
    try:
        with replacing(path) as beside:
            beside.write_text(html, encoding="utf-8")
    except OSError as error:
        raise TLError(
            f"cannot write {path}: {error.strerror}", "choose another --output"
        ) from error
    return path
