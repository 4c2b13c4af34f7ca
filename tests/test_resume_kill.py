"""kill -9 wherever it comes, then --resume: equal to the last bit to what was never killed.

TL_KILLS says how many times it comes at random moments, TL_KILL_SEED at which.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs import check_equal
from test_cli import COLOURS, paint
from tl_cli.store import resume, run_dir

pytestmark = pytest.mark.slow
KILLS, SEED = int(os.environ.get("TL_KILLS", "6")), int(os.environ.get("TL_KILL_SEED", "0"))
PATIENCE = 3600  # seconds for a training of some seconds
OPTIONS = (
    "--image-size", "32", "--batch-size", "8", "--freeze", "0.9", "--epochs", "4", "--augment",
    "light", "--data", "data",
)  # fmt: skip

# Runs tl, and kills this process at the nth call of a function: before it, or after it.
DRIVER = """
import importlib, os, signal, sys
place, when, number = sys.argv[1:4]
del sys.argv[1:4]
module, _, path = place.partition(":")
*owners, name = path.split(".")
holder = importlib.import_module(module)
for owner in owners:
    holder = getattr(holder, owner)
whole, calls = getattr(holder, name), []

def counted(*arguments, **more):
    calls.append(None)
    die = len(calls) == int(number)
    if die and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = whole(*arguments, **more)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(holder, name, counted)
from tl_cli.cli.app import main
sys.argv[0] = "tl"
main()
"""
MOMENTS = [
    ("tl_cli.data.scan:look", "before", 20),
    ("tl_cli.engine.run_files:write_inputs", "before", 1),
    ("tl_cli.store.run_dir:RunDir.write_json", "before", 4),  # of the inputs
    ("tl_cli.store.rows:_Writer.append", "before", 2),
    ("tl_cli.engine.head.choice:solve", "before", 1),
    ("tl_cli.engine.run_files:save", "before", 1),
    ("pathlib:Path.replace", "before", 9),  # the head's files, some of them in place
    ("tl_cli.engine.run_files:write_plan", "after", 1),
    ("tl_cli.engine.train:_announce", "before", 1),
    ("tl_cli.engine.finetune.checkpoints:Checkpoints.save", "before", 1),
    ("tl_cli.engine.finetune.checkpoints:_write", "after", 2),  # whole, and not in place
    ("numpy.lib.format:write_array", "before", 30),  # in the middle of a state
    ("tl_cli.engine.finetune.checkpoints:Checkpoints.save", "after", 3),
    ("tl_cli.engine.finetune.checkpoints:Checkpoints.save", "after", 4),
    ("tl_cli.engine.finetune.candidates:_solved_again", "before", 1),
    ("tl_cli.engine.run_files:save", "before", 2),
    ("tl_cli.engine.outcome:load_checkpoint", "before", 1),
    ("tl_cli.engine.run_files:write_result", "before", 2),
    ("tl_cli.cli.training:write_report", "before", 1),
    ("tl_cli.store.resume:forget", "before", 1),
]


def train(place: Path, cache: str, *arguments: str, start: tuple[str, ...] = ("-m", "tl_cli")):
    """Begin a training in its own process."""
    return subprocess.Popen(
        [sys.executable, *start, "train", *arguments, "-q"],
        cwd=place,
        env={**os.environ, "TL_CACHE": str(place / cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    """Wait for a process, long enough for a machine under load; return what it said of errors.

    One that does not end is not left behind: it would be in the way of all that follow.
    """
    try:
        return process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
        process.wait()


def finished(process: subprocess.Popen) -> None:
    said = ended(process)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, and the run `whole`, which nobody killed, and how long it took."""
    root = tmp_path_factory.mktemp("killed")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "data" / "train" / name, seed, 25, colour)
        paint(root / "data" / "test" / name, seed + 10, 8, colour)
    start = time.monotonic()
    finished(train(root, "cache-whole", *OPTIONS, "--output", "whole"))
    return root, time.monotonic() - start


@pytest.mark.parametrize("number", range(KILLS))
def test_at_a_random_moment(place, number):
    root, seconds = place
    name, moment = f"random-{number}", random.Random(f"{SEED} {number}").uniform(0.5, seconds)
    process = train(root, f"cache-{name}", *OPTIONS, "--output", name)
    time.sleep(moment)
    process.kill()
    process.communicate()
    if (root / name / run_dir.STATUS).is_file():  # else it had only just begun
        finished(train(root, f"cache-{name}", "--resume", name))
        check_equal(root / name, root / "whole")


@pytest.mark.parametrize(("function", "when", "nth"), MOMENTS, ids=str)
def test_at_a_moment_of_each_stage(place, function, when, nth):
    root, _ = place
    name = f"moment-{MOMENTS.index((function, when, nth))}"
    driver = ("-c", DRIVER, function, when, str(nth))
    process = train(root, f"cache-{name}", *OPTIONS, "--output", name, start=driver)
    said = ended(process)
    assert process.returncode == -signal.SIGKILL, said
    finished(train(root, f"cache-{name}", "--resume", name))
    check_equal(root / name, root / "whole")
    assert (root / name / run_dir.REPORT).is_file()
    assert not (root / name / run_dir.RESUME).exists()
    assert not list((root / name).glob(".*"))


def test_while_plans_are_tried_out(place):
    """Killed twice in the trial of `--effort thorough`: what was tried is not tried again."""
    root, _ = place
    options = ("--image-size", "32", "--batch-size", "8", "--effort", "thorough", "--epochs", "4",
               "--data", "data")  # fmt: skip
    finished(train(root, "cache-tried", *options, "--output", "tried"))
    keep = ("-c", DRIVER, "tl_cli.engine.finetune.races:Races.keep", "after")
    process = train(root, "cache-cut", *options, "--output", "cut", start=(*keep, "1"))
    for _ in range(2):
        said = ended(process)
        assert process.returncode == -signal.SIGKILL, said
        kept = len(json.loads((root / "cut" / resume.RACES).read_text()))
        process = train(root, "cache-cut", "--resume", "cut", start=(*keep, "1"))
    assert kept == 2  # a second one, not the first once more
    ended(process)
    finished(train(root, "cache-cut", "--resume", "cut"))
    check_equal(root / "cut", root / "tried")


def test_a_run_that_replaces_another_one(place):
    """Killed before it could: the old one is as it was, and goes when the new one is whole."""
    root, _ = place
    # in a cache of its own: other images would have been asked for BatchNorm's moments
    finished(train(root, "cache-seed", *OPTIONS, "--output", "old", "--seed", "1"))
    before = (root / "old" / run_dir.WEIGHTS).read_bytes()
    for function, when, nth in (
        ("tl_cli.engine.finetune.checkpoints:Checkpoints.save", "after", 2),
        ("tl_cli.store.replacement:swap", "before", 1),
    ):
        driver = ("-c", DRIVER, function, when, str(nth))
        arguments = (*OPTIONS, "--output", "old", "--overwrite")
        process = train(root, "cache-old", *arguments, start=driver)
        ended(process)
        assert process.returncode == -signal.SIGKILL
        assert (root / "old" / run_dir.WEIGHTS).read_bytes() == before
    finished(train(root, "cache-old", "--resume", "old"))
    check_equal(root / "old", root / "whole")
    assert not list(root.glob(".old*"))
