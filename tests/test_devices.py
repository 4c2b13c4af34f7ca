"""Tuning on several devices: two that a process makes of this CPU, against one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from test_cli import tl
from tl_cli import config
from tl_cli.errors import TLError

TESTS = Path(__file__).parent


def compared(folder: Path, *names: str) -> dict[str, Any]:
    """Return what two_devices.py says of its trainings of these names."""
    command = [sys.executable, str(TESTS / "two_devices.py"), str(folder), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check(training: dict[str, Any], within: float) -> None:
    """Fail where two devices do not train as one does."""
    assert training["devices"] == [1, 2]
    for one, two in zip(training["one"], training["two"], strict=True):
        assert two == pytest.approx(one, rel=within)
    assert training["weights"] < within and training["scores"] < 10 * within


@pytest.mark.long
def test_two_devices_train_as_one_does(tmp_path: Path) -> None:
    """Batches of 7 images that are weighted by class, in stages, with an average of the weights."""
    found = compared(tmp_path, "odd")
    check(found["odd"], 1e-5)
    assert (found["default"], found["all"], found["parts"]) == (1, 2, 1)
    assert found["refused"].startswith("--devices 3 cannot be had: TensorFlow sees 2 CPU devices")


@pytest.mark.slow
def test_two_devices_train_as_one_does_whatever_is_trained(tmp_path: Path) -> None:
    found = compared(tmp_path, "small", "mixed", "auxiliary", "float16", "scratch")
    for name in ("small", "mixed"):
        check(found[name], 1e-5)
    check(found["float16"], 1e-2)  # which is how coarse it is
    check(found["auxiliary"], 2e-2)  # its dropout is drawn by each device
    # each device takes BatchNorm's moments of its own share: another training, and one that learns
    first, last = found["scratch"]["two"]
    assert last[0] < first[0] and found["scratch"]["devices"] == [1, 2]


@pytest.mark.slow
def test_a_training_on_two_devices_is_gone_on_with_on_as_many_or_one(tmp_path: Path) -> None:
    found = compared(tmp_path, "resumed")["resumed"]
    assert found["kept"] == 2 and len(found["whole"]) == 3
    for other in ("again", "alone"):
        for one, two in zip(found["whole"], found[other], strict=True):
            assert two == pytest.approx(one, rel=1e-5)
    assert max(found["weights"]) < 1e-5


@pytest.mark.parametrize("number", ["0", "-1", "65", "some", "1.5"])
def test_no_number_of_devices(number: str) -> None:
    with pytest.raises(TLError, match="must be all, or how many"):
        config.load(sets=["data=x", f"devices={number}"])


def test_more_devices_than_there_are_is_one_sentence(tmp_path: Path) -> None:
    done = tl("train", "sample:digits", "--devices", 9, "--output", tmp_path / "run")
    assert done.exit_code == 1 and "--devices 9 cannot be had" in done.stderr
    assert config.load(sets=["data=x", "devices=2"]).devices == "2"
