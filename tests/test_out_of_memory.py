"""Where the memory is not enough: one sentence, and the parts in which a batch fits."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from test_cli import SMALL, said, tl
from tiny import coloured, tiny_context, tiny_head, tiny_settings
from tl_cli import machine
from tl_cli.engine import resources
from tl_cli.engine.finetune import finetune, in_parts
from tl_cli.engine.finetune.fit import fit
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.errors import TLError
from tl_cli.results.progress import silent
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

MB = 10**6
EXHAUSTED = tf.errors.ResourceExhaustedError(None, None, "x")
TUNED = ("--freeze", "0.9", "--epochs", 1, *SMALL)


@pytest.mark.parametrize(
    ("memory", "at_once"), [(4000, 32), (1700, 18), (1000, 11), (200, 2), (90, 1), (50, 0)]
)
def test_so_many_images_pass_at_once(monkeypatch, memory, at_once):
    monkeypatch.setattr(resources, "available_memory", lambda: memory * MB)
    assert resources.images_at_once(54 * MB, 32) == at_once


@pytest.mark.parametrize("raised", [MemoryError(), EXHAUSTED])
def test_the_end_of_the_memory_is_one_sentence(raised):
    with (
        pytest.raises(TLError, match="the memory was not enough") as caught,
        resources.memory_told(),
    ):
        raise raised
    assert "--image-size" in caught.value.hint


@pytest.mark.long
def test_an_image_that_cannot_fit_is_not_begun_and_the_head_is_kept(tmp_path, monkeypatch):
    data = coloured(tmp_path / "data")
    monkeypatch.setattr(resources, "available_memory", lambda: 2_000)
    monkeypatch.setattr(in_parts, "available_memory", lambda: 2_000)
    monkeypatch.setattr(finetune, "fit", None)  # whoever calls it fails
    done = tl("train", "--data", data, *TUNED, "--output", tmp_path / "run")
    said(done, "to train on a single image takes about", "--image-size", "The solved head is kept")
    assert RunDir(tmp_path / "run").state() == run_dir.HEAD
    assert (tmp_path / "run" / run_dir.WEIGHTS).is_file()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A context and a head, and settings of three epochs whose batches have 8 images each."""
    root = coloured(tmp_path_factory.mktemp("data"), per_class=16)
    context = tiny_context(root, epochs=3, augment="none")
    return context, tiny_head(context), tiny_settings(context)


def losses(context, head, settings) -> list[tuple[float, float]]:
    """Return the loss of each epoch, on training and validation; the network is as before."""
    start = copies(context.backbone.model.weights)
    data = TrainingData(context, settings, silent)
    fitted = fit(context, settings, finetune.softened(context, head), data, silent)
    assign(context.backbone.model.weights, start)
    return [(row["loss"], row["val_log_loss"]) for row in fitted.best.history]


def test_a_batch_in_parts_is_the_same_step(tuned):
    """Weights alone would not tell: where a gradient is 0, Adam makes a step of its rounding."""
    context, head, settings = tuned
    assert settings.plan.size % 8 == 0  # else parts of a batch differ in size
    whole = losses(context, head, settings)
    parts = losses(context, head, replace(settings, parts=4))
    small = losses(context, head, replace(settings, plan=replace(settings.plan, batch_size=2)))
    assert len(whole) == 3
    assert parts == pytest.approx(np.array(whole), rel=1e-4)
    assert small != pytest.approx(np.array(whole), rel=1e-2)


def test_where_the_memory_ends_the_parts_are_doubled_from_the_same_weights(tuned):
    context, _, settings = tuned
    said, seen = [], []

    def train(tried):
        seen.append((tried.parts, copies(context.backbone.model.weights)))
        if tried.parts < 4:
            assign(context.backbone.model.weights, [0 * w for w in seen[0][1]])
            raise EXHAUSTED
        return "trained"

    assert in_parts.trained(context, settings, train, said.append) == "trained"
    assert [parts for parts, _ in seen] == [1, 2, 4]
    assert all((a == b).all() for _, now in seen for a, b in zip(seen[0][1], now, strict=True))
    assert [note.text.partition(" is taken in ")[2] for note in said] == [
        f"{parts} parts, their gradients added up." for parts in (2, 4)
    ]

    def never(tried):
        raise MemoryError

    with pytest.raises(TLError, match="the memory was not enough"):
        in_parts.trained(context, settings, never, said.append)


@pytest.mark.long
def test_a_run_in_little_memory_is_finished_and_says_so(tmp_path, monkeypatch):
    """Kept with the run, so that it is gone on with in the same parts."""
    data = coloured(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(resources, "images_at_once", lambda activations, images: 3)
        done = tl("train", "--data", data, *TUNED, "--output", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert "it is taken in 3 parts, their gradients added up" in done.stdout + done.stderr


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
