"""`tl inspect RUN --label-errors`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.results.label_errors import Doubted
    from tl_cli.store.run_dir import RunDir

PAGE, TABLE = "label_errors.html", "label_errors.csv"
SHOWN = 10  # on the screen; the page and --json have more


def show_label_errors(
    run: Path, folder: Path, screen: Screen, json: bool, *, overwrite: bool = False
) -> None:
    """List the training images of a run whose label looks wrong, on a page and in a table.

    A table that a person has written into is not written over, unless `overwrite`.
    """
    from tl_cli.store.checkpoint import task_of
    from tl_cli.store.run_dir import CHECKPOINT, checkpoint_of

    checkpoint = checkpoint_of(run)
    task = task_of(checkpoint / CHECKPOINT)
    table = folder / TABLE
    if not overwrite:
        _check_table(table)
    from tl_cli.engine.label_errors import suspected

    images, found = suspected(checkpoint, screen.on_progress)
    page = _page(found, images, folder, task) if found else None
    if found:
        _write_table(found, table)
    if json:
        files = {"page": str(page) if page else None, "table": str(table) if found else None}
        told = {"run": str(checkpoint.path), "images": images, **files}
        print(jsonlib.dumps(told | {"label_errors": [each.to_json() for each in found]}))
    else:
        _show(found, images, screen, task)
        if page:
            screen.note(f"wrote {page}, and {table}")
            _say_next(run, table, screen, task)


def _check_table(table: Path) -> None:
    """Raise TLError where a table lies that somebody has written into, or that is none of ours."""
    import os

    from tl_cli.errors import TLError

    if not os.path.lexists(table):
        return
    hint = "choose another --output, apply it first, or --overwrite"
    try:
        decided = any(_decisions(table).values())
    except TLError as error:
        raise TLError(f"'{table}' is there already: {error.message}", hint) from error
    if decided:
        raise TLError(f"somebody has filled in '{table}', and it would be written over", hint)


def _decisions(table: Path) -> dict[str, list[str]]:
    """Return what a person wrote in the table, by path, a word a line; none where it is empty.

    An image of several labels may have several lines. Raises TLError.
    """
    from collections import defaultdict

    from tl_cli.data.class_names import clean
    from tl_cli.data.sources.rows import delimited
    from tl_cli.errors import TLError
    from tl_cli.results.label_errors import DECISION

    if not table.is_file():
        raise TLError(f"no table at '{table}'", "tl inspect RUN --label-errors writes one")
    rows = [row for _, row in delimited(table, ("path", DECISION))]
    if not rows or not {"path", DECISION} <= set(rows[0]):
        raise TLError(
            f"'{table}' is no table of doubtful labels",
            f"its columns must be path and {DECISION}, as tl inspect RUN --label-errors writes it",
        )
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["path"]] += [clean(word)] if (word := row[DECISION].strip()) else []
    return found


def apply(
    run: Path, table: Path, output: Path | None, screen: Screen, json: bool, *, overwrite: bool
) -> None:
    """Solve the head of a run again with the labels that a person has corrected in a table."""
    from tl_cli.cli.update import Asked, updated
    from tl_cli.store.run_dir import checkpoint_of

    labels = _labels(_decisions(table), table, checkpoint_of(run))
    flags = {"data": str(run), **({"output": str(output)} if output else {})}
    told = updated(flags, Asked(labels=labels), screen, json, overwrite=overwrite)
    if json:
        print(jsonlib.dumps(told))


def _labels(
    decisions: Mapping[str, Sequence[str]], table: Path, run: RunDir
) -> dict[str, str | None]:
    """Return the label of each image that has a decision, None to leave it out. Raises TLError."""
    from tl_cli.data.csv_io import read_csv
    from tl_cli.data.manifest import MULTILABEL, REGRESSION
    from tl_cli.errors import TLError, did_you_mean
    from tl_cli.humanize import count, naming
    from tl_cli.results.label_errors import DECISION, OUT
    from tl_cli.store import run_dir

    manifest = read_csv(run / run_dir.MANIFEST)
    said = {path: words[-1] for path, words in decisions.items() if words}
    if not said:
        raise TLError(
            f"nothing is decided in '{table}': its column {DECISION} is empty",
            f"write the right label there, or {OUT} to leave an image out; empty keeps its label",
        )
    if manifest.task == REGRESSION:
        return _numbers(said, table)
    if manifest.task == MULTILABEL:
        return _several({path: decisions[path] for path in said}, table, manifest)
    classes = manifest.classes
    if alien := sorted({word for word in said.values() if word not in (*classes, OUT)}):
        near = did_you_mean(alien[0], classes)
        raise TLError(
            f"'{table}' names {count(len(alien), 'class')} that the run does not have: "
            f"{naming(map(repr, alien))}",
            near or f"its classes are {naming(classes, 8)}; {OUT} leaves an image out",
        )
    return {path: None if word == OUT and OUT not in classes else word
            for path, word in said.items()}  # fmt: skip


def _numbers(said: Mapping[str, str], table: Path) -> dict[str, str | None]:
    """Return the numbers that a table gives images, None to leave one out. Raises TLError."""
    from tl_cli.data import quantities
    from tl_cli.data.manifest import REGRESSION, Manifest, Record
    from tl_cli.results.label_errors import OUT

    kept = tuple(Record(path, word) for path, word in said.items() if word != OUT)
    valued = quantities.numbers(Manifest(str(table), (), kept, task=REGRESSION))
    return {**dict.fromkeys(said), **{record.path: record.label for record in valued}}


def _several(
    said: Mapping[str, Sequence[str]], table: Path, manifest: Manifest
) -> dict[str, str | None]:
    """Return all labels of each image that a table decides on, joined; None to leave it out.

    A word is a label that the image has, `not ` and a label that it does not have, or several of
    these. Raises TLError for others, and where they contradict each other.
    """
    from tl_cli.data.manifest import JOINT
    from tl_cli.errors import TLError, did_you_mean
    from tl_cli.humanize import naming, short
    from tl_cli.results.label_errors import DECISION, NOT, OUT

    meaning = {f"{NOT}{name}": (name, False) for name in manifest.classes}
    meaning |= {name: (name, True) for name in manifest.classes}
    has = {record.path: {*manifest.names(record)} for record in manifest.records}
    labels: dict[str, str | None] = {}
    for path, lines in said.items():
        words = {word.strip() for line in lines for word in line.split(JOINT)} - {""}
        if OUT in words and OUT not in meaning:
            labels[path] = None
            continue
        if alien := sorted(words - {*meaning}):
            near = did_you_mean(alien[0], [*meaning])
            raise TLError(
                f"'{table}': {alien[0]!r}, of {short(path)}, is no label of the run",
                near or f"write a label, or {NOT!r} and a label: {naming(manifest.classes, 8)}",
            )
        yes, no = ({name for name, is_so in map(meaning.__getitem__, words) if is_so == each}
                   for each in (True, False))  # fmt: skip
        if both := sorted(yes & no):
            raise TLError(
                f"'{table}' says of {short(path)} both {both[0]!r} and '{NOT}{both[0]}'",
                f"leave one of them in the column {DECISION}",
            )
        labels[path] = JOINT.join(sorted(has.get(path, set()) - no | yes))
    return labels


def _write_table(found: Sequence[Doubted], table: Path) -> None:
    from tl_cli.results.label_errors import csv_text
    from tl_cli.store.output import writing_to
    from tl_cli.store.run_dir import replacing

    with writing_to(f"'{table}'"), replacing(table) as beside:
        beside.write_text(csv_text(found), encoding="utf-8", errors="surrogateescape", newline="")


def _say_next(run: Path, table: Path, screen: Screen, task: str) -> None:
    """Say how the table is filled in, and what then applies it."""
    from tl_cli.data.manifest import MULTILABEL
    from tl_cli.humanize import printable, typed
    from tl_cli.results.label_errors import DECISION, NOT, OUT

    write = f"write the right label into the column {DECISION}"
    if task == MULTILABEL:
        write = f"write into the column {DECISION} what is so, a label or {NOT!r} and a label"
    screen.note(
        f"Look at them; {write}, or {OUT} to leave an image out; what stays empty keeps its "
        "label. Then:"
    )
    command = typed("tl", "inspect", run, "--label-errors", "--apply", table)
    screen.out.print(f"  {printable(command)}", highlight=False, markup=False, soft_wrap=True)


def _page(found: Sequence[Doubted], images: int, folder: Path, task: str) -> Path:
    from tl_cli.errors import TLError
    from tl_cli.report.label_errors import label_errors_html
    from tl_cli.store import own_pages
    from tl_cli.store.marker import make_marked
    from tl_cli.store.run_dir import replacing

    own_pages.check(folder / PAGE)
    try:
        make_marked(folder)
        with replacing(folder / PAGE) as beside:
            page = label_errors_html(found, images, task)
            beside.write_text(page, encoding="utf-8")
    except OSError as error:
        raise TLError(
            f"cannot write to '{folder}': {error.strerror}", "choose another --output"
        ) from error
    return folder / PAGE


def _show(found: Sequence[Doubted], images: int, screen: Screen, task: str) -> None:
    """Show the most doubtful."""
    from tl_cli.data.manifest import MULTILABEL
    from tl_cli.humanize import count, printable

    if not found:
        screen.out.print(f"No label of {count(images, 'training image')} looks wrong.")
        return
    few = f", the {SHOWN} most doubtful" if len(found) > SHOWN else ""
    wrong = f"{len(found):,} of {count(images, 'training image')} may be labelled wrongly"
    if task == MULTILABEL:  # an image may be there more than once
        wrong = f"{count(len(found), 'label')} of {count(images, 'training image')} may be wrong"
    screen.out.print(f"{wrong}{few}:", highlight=False)
    for each in found[:SHOWN]:
        said = f"{printable(each.path)}: {_clause(each, task)}"
        screen.out.print(f"  {said}", highlight=False, markup=False, soft_wrap=True)


def _clause(each: Doubted, task: str) -> str:
    """Say what is doubtful about one label."""
    from tl_cli.data.manifest import MULTILABEL
    from tl_cli.humanize import printable
    from tl_cli.results.label_errors import NOT, DoubtfulValue
    from tl_cli.results.regression import said

    if isinstance(each, DoubtfulValue):
        suggested = said(each.suggested, each.spread)
        return f"{each.written}, looks like {suggested} ({each.deviations:.1f} deviations off)"
    p, q = each.label_probability, each.suggested_probability
    if task != MULTILABEL:
        return (
            f"{printable(each.label)} ({p:.2f}), looks like {printable(each.suggested)} ({q:.2f})"
        )
    if each.suggested == f"{NOT}{each.label}":
        return f"{printable(each.label)} is said of it, and improbable ({p:.2f})"
    return f"{printable(each.suggested)} is not said of it, and probable ({q:.2f})"
