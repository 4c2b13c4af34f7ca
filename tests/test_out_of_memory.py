"""Where the memory is not enough: one sentence, and the batch that would fit."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import tensorflow as tf

from test_cli import SMALL, said, tl
from tiny import coloured
from tl_cli import machine
from tl_cli.engine import resources
from tl_cli.engine.finetune import finetune
from tl_cli.errors import TLError
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

MB = 10**6
EXHAUSTED = tf.errors.ResourceExhaustedError(None, None, "x")
TUNED = ("--freeze", "0.9", "--epochs", 1, *SMALL)


@pytest.mark.parametrize(
    ("memory", "fits"), [(4000, 16), (2000, 16), (1000, 8), (200, 2), (100, 1), (50, 0)]
)
def test_a_batch_that_fits_is_a_power_of_two_and_smaller(memory, fits):
    assert resources.fitting_batch(54 * MB, 32, memory * MB) == fits


@pytest.mark.parametrize(
    "raised", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "x")]
)
def test_the_end_of_the_memory_is_one_sentence(raised):
    with (
        pytest.raises(TLError, match="the memory was not enough") as caught,
        resources.memory_told(),
    ):
        raise raised
    assert "--image-size" in caught.value.hint


def test_a_step_that_cannot_fit_is_not_begun_and_the_head_is_kept(tmp_path, monkeypatch):
    data = coloured(tmp_path / "data")
    monkeypatch.setattr(resources, "available_memory", lambda: 200_000)
    monkeypatch.setattr(finetune, "fit", None)  # whoever calls it fails
    done = tl("train", "--data", data, *TUNED, "--output", tmp_path / "run")
    said(done, "a step of 8 images takes about", "would fit", "The solved head is kept")
    assert RunDir(tmp_path / "run").state() == run_dir.HEAD
    assert (tmp_path / "run" / run_dir.WEIGHTS).is_file()


def test_the_limit_of_the_shell_is_a_limit():
    code = (
        "import resource; from tl_cli import machine; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({3 * 10**9}, resource.RLIM_INFINITY)); "
        "print(machine.available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 3 * 10**9
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert machine.available_memory() > 0
