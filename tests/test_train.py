"""The story from top to bottom: a result from the first head on; what is on disk is measured."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from test_cli import tl
from tiny import CARD, coloured, split_of, tiny_backbone, tiny_context
from tl_cli import catalog, config
from tl_cli.config import RunConfig
from tl_cli.data.manifest import Record
from tl_cli.engine import context as contexts
from tl_cli.engine import outcome, predict, train
from tl_cli.engine.features import extraction
from tl_cli.engine.finetune import finetune as tuning
from tl_cli.engine.finetune import flip_check, settings, successive_halving
from tl_cli.engine.networks import loading
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.plan import policies
from tl_cli.results.progress import Note, silent
from tl_cli.store import cache, run_dir
from tl_cli.store.run_dir import RunDir


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 20, noise=110)


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    """Let the tiny network be what every run loads; one that a checkpoint fills is a random one."""

    def load(card, size, weights=loading.PRETRAINED):
        return tiny_backbone(0 if weights else 5)

    monkeypatch.setattr(catalog, "get", lambda name, preprocessing=None: CARD)
    monkeypatch.setattr(loading, "load", load)


def config_of(data, **options):
    options = {"image_size": 32, "batch_size": 8, "epochs": 2, "test": 0.2, **options}
    return RunConfig(data=str(data), **options)


def trained(data, path, on_progress=silent, **options):
    run = RunDir.create(path)
    return run, train.train(config_of(data, **options), split_of(data), run, on_progress)


def whole(run, split="val"):
    """Return what the network on disk says of a split, from pixels."""
    records = [r for r in split_of_run(run) if r.split == split]
    return predict.probabilities(predict.load_checkpoint(run), records, silent)


def split_of_run(run):
    from tl_cli.data.csv_io import read_csv

    return read_csv(run / run_dir.MANIFEST).records


# -- from the first head on there is a result -----------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no more memory"), pytest.param(KeyboardInterrupt(), marks=pytest.mark.slow)],
)
def test_what_ends_the_tuning_leaves_the_solved_head(data, tmp_path, monkeypatch, error):
    def broken(context, decided, classifier, *_):
        for weight in classifier.model.weights:
            weight.assign(keras.ops.zeros(weight.shape))
        raise error

    monkeypatch.setattr(tuning, "fit", broken)
    said = []
    options = {"freeze": "half", "refit": False, "feature_dtype": "float32"}
    with pytest.raises(type(error)):
        trained(data, tmp_path / "run", said.append, **options)
    run = RunDir(tmp_path / "run")
    assert run.state() == "head"
    assert any(isinstance(n, Note) and n.text.startswith("Ready:") for n in said)
    held_out = np.load(run / run_dir.HELD_OUT)
    np.testing.assert_allclose(whole(run), held_out, atol=1e-3)
    assert held_out.std() > 0.05
    figures = json.loads((run / run_dir.METRICS).read_text())
    done = tl("evaluate", run.path, "--split", "val", "--json")
    assert done.exit_code == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["accuracy"] == figures["metrics"]["val"]["accuracy"]
    assert again["log_loss"] == pytest.approx(figures["metrics"]["val"]["log_loss"], abs=1e-3)
    opened = keras.saving.load_model(run / run_dir.EXPORTED)
    assert opened.output_shape == (None, 3)


# -- what is on disk is measured ------------------------------------------------------------------


@pytest.fixture
def spoilt(monkeypatch):
    """Let what is written have its classes in another order than what was trained."""
    save = Classifier.save

    def other(self, run, **facts):
        kernel, bias = self.head.get_weights()
        self.set_head(np.roll(kernel, 1, axis=1), np.roll(bias, 1))
        save(self, run, **facts)
        self.set_head(kernel, bias)

    monkeypatch.setattr(Classifier, "save", other)


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    "options",
    [{"freeze": "head"}, {"freeze": "half"},
     {"from_scratch": True, "learning_rate": 0.01, "epochs": 8},
     pytest.param({"freeze": "head", "cache": False}, marks=pytest.mark.slow)], ids=str,
)  # fmt: skip
def test_what_is_measured_is_what_was_reloaded(data, tmp_path, options, spoilt, monkeypatch):
    said = []
    run, made = trained(data, tmp_path / "run", said.append, **options)
    labels = np.array([sorted(("blue", "green", "red")).index(r.label)
                       for r in split_of_run(run) if r.split == "test"])  # fmt: skip
    accuracy = (whole(run, "test").argmax(1) == labels).mean()
    assert made.result.metrics["test"].accuracy == pytest.approx(accuracy)
    assert accuracy < 0.5
    assert made.result.metrics["val"].accuracy > 0.6  # of what was fitted without validation
    [warning] = [n for n in said if isinstance(n, Note) and n.warning]
    assert "differ by up to" in warning.text


@pytest.mark.long
def test_a_difference_is_a_warning_and_not_the_end(data, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "_difference", lambda *_: float("nan"))
    said = []
    run, made = trained(data, tmp_path / "run", said.append, freeze="head")
    assert sum(isinstance(n, Note) and n.warning for n in said) == 1
    assert made.result.metrics["test"].n == len([r for r in split_of_run(run) if r.split == "test"])


@pytest.mark.long
@pytest.mark.parametrize("freeze", ["head", "half"])
def test_without_a_difference_nothing_is_said_and_the_run_is_whole(data, tmp_path, freeze):
    said = []
    run, made = trained(data, tmp_path / "run", said.append, freeze=freeze)
    assert not [n.text for n in said if isinstance(n, Note) and n.warning]
    assert (made.result.tune is None) is (freeze == "head")
    assert (made.result.plan["strategy"] == "head") is (freeze == "head")
    assert (run / run_dir.HISTORY).exists() is (freeze != "head")
    assert {"val", "test"} == set(made.result.metrics)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("classes", [2, 30, 70])
def test_the_difference_is_looked_for_on_images_of_every_class(data, monkeypatch, classes, alone):
    """`alone`: every other class has one image, the others have three."""
    names = [f"c{i:02d}" for i in range(classes)]
    records = tuple(
        Record(f"{name}-{i}", name, "val", digest=f"{name}-{i}")
        for number, name in enumerate(names)
        for i in range(1 if alone and number % 2 else 3)
    )
    context = tiny_context(data)
    manifest = replace(context.manifest, classes=tuple(names), records=records)
    context = replace(context, manifest=manifest)
    fitted = np.random.default_rng(0).uniform(size=(len(records), classes))
    asked = []

    def from_pixels(saved, chosen):
        asked.extend(chosen)
        return np.array([fitted[records.index(r)] for r in chosen]) + 0.25

    monkeypatch.setattr(outcome, "_from_pixels", from_pixels)
    model = TrainedModel(None, fitted, fitted)
    assert outcome._difference(context, None, model) == pytest.approx(0.25)
    assert {r.label for r in asked} == set(names)
    assert len(asked) <= max(outcome.CHECKED, classes)


# -- decided once, passed once --------------------------------------------------------------------


def test_the_room_is_decided_once_however_the_disk_fills(data, monkeypatch):
    monkeypatch.setattr(cache, "bound", lambda: 10**9)
    context = contexts.prepare(config_of(data, freeze="half"), split_of(data))
    plan = train.recommend_freeze.recommend(context, None)
    before = context.pass_specs, context.fits(plan.frozen_blocks), settings.decide(context, plan)
    assert before[1]
    monkeypatch.setattr(cache, "bound", lambda: 0)
    now = context.pass_specs, context.fits(plan.frozen_blocks), settings.decide(context, plan)
    assert now == before
    later = contexts.prepare(config_of(data, freeze="half"), split_of(data))
    assert (later.room, later.fits(plan.frozen_blocks)) == (0, False)


def test_without_a_cache_there_is_no_room(data, monkeypatch):
    monkeypatch.setattr(cache, "bound", lambda: 10**9)
    assert contexts.prepare(config_of(data, cache=False), split_of(data)).room == 0
    assert contexts.prepare(config_of(data), split_of(data)).room == 0.5e9


@pytest.mark.long
def test_each_image_passes_once_with_a_plan_that_was_open(data, tmp_path, monkeypatch):
    passes, batches = [], extraction._batches

    def watched(records, size, view):
        passes.extend((view, record.digest) for record in records)
        return batches(records, size, view)

    monkeypatch.setattr(extraction, "_batches", watched)
    monkeypatch.setattr(policies, "share_by_evidence", lambda *_: 0.5)
    run, made = trained(data, tmp_path / "run", freeze="auto", views=2)
    assert made.result.plan["strategy"] == "partial"
    assert made.result.plan["policy"] == "evidence"
    assert made.result.tune.epochs > 0
    records = split_of_run(run)
    plain = [digest for view, digest in passes if view == extraction.PLAIN]
    assert sorted(plain) == sorted(r.digest for r in records)
    augmented = [digest for view, digest in passes if view.number == 1]
    assert sorted(augmented) == sorted(r.digest for r in records if r.split == "train")
    flipped = [digest for view, digest in passes if view.flip]
    assert len(plain) + len(augmented) + len(flipped) == len(passes)


@pytest.mark.long
@pytest.mark.parametrize("may", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_trial_tries_the_recipe_that_is_run(data, tmp_path, monkeypatch, may):
    asked, tried, ran = [], [], []

    def decide(*_):
        asked.append(len(tried))
        return may

    def watched(seen, function):
        def call(context, decided, *rest):
            seen.append(decided)
            return function(context, decided, *rest)

        return call

    monkeypatch.setattr(flip_check, "decide", decide)
    monkeypatch.setattr(successive_halving, "finetune", watched(tried, successive_halving.finetune))
    monkeypatch.setattr(train, "finetune", watched(ran, train.finetune))
    taken = successive_halving.decide

    def middle(context, advised, *rest, **more):
        taken(context, advised, *rest, **more)
        return successive_halving.candidates(context, advised)[0]

    monkeypatch.setattr(successive_halving, "decide", middle)
    run, _ = trained(data, tmp_path / "run", effort="thorough", epochs=3)
    assert asked == [0]  # once, before anything was tried
    assert tried
    assert len(ran) == 1
    assert {decided.mirror for decided in (*tried, *ran)} == {may}
    assert {decided.plan.augment for decided in (*tried, *ran)} == {"light"}
    assert f"mirror: '{'yes' if may else 'no'}'" in (run / run_dir.CONFIG).read_text()
    # what was to be found out is known
    assert config.load(run / run_dir.CONFIG).effort == "normal"
