"""The head with a Gaussian kernel: solved, chosen by folds, and the same number as plain layers."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from tiny import coloured, tiny_context, tiny_head
from tl_cli import config
from tl_cli.data.csv_io import read_csv
from tl_cli.engine import embed, explain, features, suggest, unknown_file
from tl_cli.engine.finetune.finetune import softened
from tl_cli.engine.head import choice, kernel, solver
from tl_cli.engine.head.kernel import KERNEL, solve_kernel
from tl_cli.engine.networks import classifier, kernel_layers
from tl_cli.errors import TLError
from tl_cli.results.progress import silent
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    data = coloured(tmp_path_factory.mktemp("data") / "set", 16, noise=110)
    return tiny_context(data, "half", head=KERNEL, feature_dtype="float32", cache=False)


@pytest.fixture(scope="module")
def solved(context):
    return tiny_head(context)


@pytest.fixture(scope="module")
def run(trained_once):
    """A run that was asked for a kernel head."""
    return RunDir(trained_once("--freeze", "head", "--head", KERNEL))


@pytest.fixture(scope="module")
def loaded(run):
    return classifier.load(run)


def rings(n: int, seed: int = 0):
    """Two classes that no line tells apart: points near a centre, and around it."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, n), 1 + 2 * labels + rng.normal(0, 0.2, n)
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.concatenate([plane, rng.normal(0, 0.1, (n, 3))], 1).astype("float32"), labels


def test_what_no_line_tells_apart_a_kernel_does_and_the_folds_say_so():
    x, labels = rings(200)
    bent = solve_kernel(x, (2, 3), labels, 2)
    line = solver.solve_depths(x, (2, 3), labels, 2)
    assert bent.cv_accuracy > 0.95 > 0.7 > line.cv_accuracy
    assert kernel.better(bent, line, labels, None)
    assert not kernel.better(line, bent, labels, None)
    asked, answers = rings(100, seed=1)
    assert (bent.probabilities(asked).argmax(1) == answers).mean() > 0.95
    assert bent.cv_log_loss < 0.2  # and it is calibrated


def test_with_more_images_than_centres_some_of_them_stand_for_all(monkeypatch):
    monkeypatch.setattr(kernel, "CENTRES", 40)
    x, labels = rings(200)
    bent = solve_kernel(x, (2, 3), labels, 2)
    assert bent.weights.shape == (40, 2) and bent.cv_accuracy > 0.95
    other = solve_kernel(x, (2, 3), labels, 2, seed=1)
    assert not np.array_equal(bent.kernel.centres, other.kernel.centres)


def test_copies_of_one_image_are_no_matter():
    x, labels = np.ones((12, 4), "float32"), np.arange(12) % 2
    head = solve_kernel(x, (4,), labels, 2)
    assert np.isfinite(head.probabilities(x)).all()


def test_images_of_one_group_are_held_out_together():
    x, labels = rings(60)
    twice, both = np.concatenate([x, x]), np.concatenate([labels, labels])
    noise = np.random.default_rng(0).integers(0, 2, 120)
    noise[60:] = noise[:60]  # labels that only the copy gives away
    alone = solve_kernel(twice, (5,), noise, 2)
    together = solve_kernel(twice, (5,), noise, 2, groups=np.tile(np.arange(60), 2))
    assert alone.cv_accuracy > together.cv_accuracy + 0.2
    assert solve_kernel(twice, (5,), both, 2, sample_weight=np.ones(120)).cv_accuracy > 0.9


def test_the_plain_layers_are_the_kernel(solved):
    made = solved.head.kernel
    layers = kernel_layers.kernel_layers(sum(solved.widths), len(made.centres))
    kernel_layers.set_kernel(layers, *made.layers())
    x = solved.features["test"]
    likenesses = made.likenesses(x)
    np.testing.assert_allclose(layers.predict(x, verbose=0), likenesses, atol=2e-4)
    own = made.likenesses(solved.features["train"])
    np.testing.assert_allclose(np.diag(own), 1, atol=1e-9)  # each is most like itself
    assert likenesses.min() > 0 and likenesses.max() <= 1


def test_the_network_says_what_the_solved_head_says_and_tuning_begins_from_a_line(context, solved):
    assert (solved.kind, solved.taps) == (KERNEL, context.taps)
    assert set(solved.candidates) == {"last", "multi", KERNEL}
    built = choice.attach(context, solved)
    x, said = solved.features["test"], solved.probabilities("test")
    np.testing.assert_allclose(softmax(built.scores(x), axis=1), said, atol=1e-4)
    from_images = built.inference_model.predict(images(context, "test"), verbose=0)
    np.testing.assert_allclose(from_images, said, atol=1e-3)
    line = softened(context, solved)
    assert line.kernel is None
    assert line.head.kernel.shape[0] == sum(solved.line.widths)


def images(context, split):
    return features.images(context.manifest.of(split), 32)


def test_a_head_that_is_refit_compares_with_validation_images_too(context, solved):
    head = choice.refit(context, solved)
    assert head.factor == solved.head.factor
    seen = [len(context.manifest.of(split)) for split in ("train", "val")]
    assert len(head.kernel.centres) == sum(seen) > len(solved.head.kernel.centres) == seen[0]


@pytest.mark.long
def test_saved_loaded_and_opened_without_this_package_it_is_the_same(run, loaded, tmp_path):
    built, described = loaded
    manifest = read_csv(run / run_dir.MANIFEST)
    fitted = len(manifest.of("train")) + len(manifest.of("val"))
    assert described["centres"] == fitted == built.head.kernel.shape[0]
    assert config.load(run / run_dir.CONFIG).head == KERNEL  # it is trained again the same
    told = read_predictions(run)
    x = features.images(manifest.of("test"), 32)
    said = built.model.predict(x, verbose=0)
    np.testing.assert_allclose(said.max(1), told, atol=1e-3)  # what was measured is what is saved
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys; sys.modules['tl_cli'] = None\n"
        "import keras, numpy\n"
        f"model = keras.models.load_model({str(run / run_dir.EXPORTED)!r})\n"
        "numpy.save('y.npy', model(numpy.load('x.npy'), training=False))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), said, atol=1e-5)


def read_predictions(run):
    """Return the probability that was written beside the answer for each test image, in order."""
    with (run / run_dir.PREDICTIONS).open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    return [float(row["probability"]) for row in rows]


@pytest.mark.long
def test_what_goes_by_the_features_of_the_head_goes_by_those_before_the_kernel(run, loaded):
    built, _ = loaded
    embedder = embed.of_classifier(run, built)
    assert embedder.width == built.width < built.head.kernel.shape[0] * built.width
    assert unknown_file.load(run, built) is not None
    records = read_csv(run / run_dir.MANIFEST).of("test")
    assert len(suggest.of_run(run, records, 3, silent)) == 3
    maps = explain.opened(built).maps(features.images(records[:2], 32), [0, 1])
    assert np.isfinite(maps).all() and maps.max() <= 1


@pytest.mark.parametrize("centres", [0, "many", 99_999, 3])
def test_a_checkpoint_that_lies_about_its_kernel_is_refused(run, tmp_path, centres):
    other = RunDir.create(tmp_path / "run")
    shutil.copy(run / run_dir.WEIGHTS, other / run_dir.WEIGHTS)
    described = json.loads((run / run_dir.CHECKPOINT).read_text())
    (other / run_dir.CHECKPOINT).write_text(json.dumps(described | {"centres": centres}))
    with pytest.raises(TLError):
        classifier.load(other)


def test_by_itself_a_kernel_is_tried_where_it_gained(context, monkeypatch):
    auto = replace(context, config=context.config.effective(head="auto"))
    assert KERNEL not in tiny_head(auto).candidates  # of some twenty images
    monkeypatch.setattr(kernel, "FROM", 10)
    tried = tiny_head(auto)
    bent, line = tried.candidates[KERNEL], (tried.line or tried).head
    assert (tried.kind == KERNEL) == (bent.cv_log_loss < line.cv_log_loss)
    monkeypatch.setattr(kernel, "better", lambda *_: True)
    assert tiny_head(auto).kind == KERNEL
    assert tiny_head(replace(context, config=context.config.effective(head="multi"))).line is None
    assert not kernel.worth(kernel.FROM, kernel.WIDEST + 1)
