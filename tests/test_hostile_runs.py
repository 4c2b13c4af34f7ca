"""A run directory from somebody else: each of its files may hold anything; it is one sentence."""

from __future__ import annotations

import json
import os
import shutil
import time
from itertools import islice
from pathlib import Path

import pytest

from finished import finished, records
from hostile_runs import TEXTS, changed, dump
from tl_cli import report
from tl_cli.errors import TLError
from tl_cli.report import comparison
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

DRAWN = 3  # of those changes to a file that a page can be made of
EVIDENCE = {
    "distance": 0.1, "thirds": [0.1, 0.2, 0.3], "similarity": 0.8,
    "probes": [{"tap": tap, "accuracy": 0.5, "stderr": 0.1} for tap in "ab"],
    "joined": {"tap": "j", "accuracy": 0.6, "stderr": 0.1},
    "pixels": {"tap": "p", "accuracy": 0.3, "stderr": 0.1},
}  # fmt: skip
TABLES = (run_dir.MANIFEST, run_dir.BAD_FILES, run_dir.HISTORY, run_dir.PREDICTIONS)
JSONS = (run_dir.PLAN, run_dir.METRICS, run_dir.ENVIRONMENT)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    from conftest import picture

    pictures = [root / f"{i}.png" for i in range(3)]
    for seed, path in enumerate(pictures):
        picture(seed).save(path)
    return finished(root / "run", records(pictures, ["a", "b"], 4), evidence=EVIDENCE).path


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def render(run: Path) -> None:
    facts = report.read(RunDir(run))
    report.report_html(facts)
    report.comparison_html([facts, facts])
    comparison.compare([run, run])


def readable(copy: Path, name: str, every: int = 1) -> list[tuple[str, object]]:
    """Return those of every so many changes to a file that are not refused in one sentence."""
    kept = []
    for change, value in islice(changed(json.loads((copy / name).read_text())), 0, None, every):
        dump(copy / name, value)
        try:
            report.read(RunDir(copy))
        except TLError as error:
            assert len(error.message) < 400 + len(str(copy)), change
        else:
            kept.append((change, value))
    return kept


@pytest.mark.others_long(1)
@pytest.mark.parametrize("name", JSONS)
def test_anything_in_any_place_is_a_sentence_or_a_page(copy, name):
    kept = readable(copy, name, every=19)
    assert kept
    for change, value in kept[:: max(1, len(kept) // DRAWN)]:
        dump(copy / name, value)
        assert change and render(copy) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", JSONS)
def test_every_change_that_is_read_is_drawn(copy, name):
    for change, value in readable(copy, name):
        dump(copy / name, value)
        assert change and render(copy) is None


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [*JSONS, *TABLES, run_dir.CONFIG])
def test_no_content_of_a_file_is_more_than_a_sentence(copy, name, text, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / name).write_bytes(TEXTS[text])
    started = time.perf_counter()
    try:
        report.read(RunDir(copy))
    except TLError as error:
        assert name in error.message
        assert len(error.message) < 400 + len(str(copy))
    else:  # a table that is empty tells nothing
        assert (name, text) in {(each, "empty") for each in TABLES}
    assert time.perf_counter() - started < 3
    assert not (copy / "executed").exists()


@pytest.mark.parametrize("name", [*JSONS, *TABLES, run_dir.CONFIG, run_dir.STATUS])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(copy, name):
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    assert RunDir(copy).state() in (run_dir.DONE, run_dir.UNKNOWN)
    if name not in (run_dir.STATUS, run_dir.PREDICTIONS, run_dir.METRICS):  # these count as none
        with pytest.raises(TLError, match=name.replace(".", r"\.")):
            report.read(RunDir(copy))


@pytest.mark.parametrize(
    "said",
    [
        [], {"state": 7}, {"state": "\x1b[31m"},
        {"state": "running", "pid": 10**30, "started": 1},
        {"state": "running", "pid": 1, "started": 10**400},
    ],
)  # fmt: skip
def test_how_a_run_stands_is_one_of_our_words(copy, said):
    dump(copy / run_dir.STATUS, said)
    assert RunDir(copy).state() in (run_dir.UNKNOWN, run_dir.DIED)
