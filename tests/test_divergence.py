"""A loss that is no longer a number: back to the last good weights, at half the rate, twice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from test_from_scratch import scratch_context
from tiny import coloured, tiny_context, tiny_head, tiny_settings
from tl_cli.engine.finetune import finetune as tuning
from tl_cli.engine.finetune import fit as fitting
from tl_cli.engine.finetune.from_scratch import train_from_scratch
from tl_cli.engine.finetune.state import BestCheckpoint, copies
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.errors import TLError
from tl_cli.results.progress import Note, silent

RATE = 0.002


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 16, noise=110)


@pytest.fixture
def poisoned(monkeypatch):
    """Return a function: let one batch of an epoch be no numbers, the first `times` it comes."""

    def poison(epoch, times=99):
        batches, calls = TrainingData.batches, []

        def mixed(self, first_epoch, *rest):
            calls.append(first_epoch)
            made = batches(self, first_epoch, *rest)
            bad = (epoch - first_epoch) * self.steps() + 1
            if len(calls) > times or bad < 0:
                return made
            return made.enumerate().map(
                lambda i, b: (tf.where(i == bad, math.nan * b[0], b[0]), *b[1:])
            )

        monkeypatch.setattr(TrainingData, "batches", mixed)

    return poison


@pytest.fixture
def begun(monkeypatch):
    """Collect (rate, weights) each time a training begins."""
    seen, compiled = [], fitting._compiled

    def watched(context, settings, replicas, *rest):
        seen.append((settings.plan.learning_rate, copies(replicas.trained.model.weights)))
        return compiled(context, settings, replicas, *rest)

    monkeypatch.setattr(fitting, "_compiled", watched)
    return seen


def run(context, said=silent):
    decided, solved = tiny_settings(context), tiny_head(context)
    classifier = tuning.softened(context, solved)
    feed = TrainingData(context, decided, silent)
    return classifier, fitting.fit(context, decided, classifier, feed, said)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.others_long(1)
@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"aux_heads": 1}], ids=str)
def test_in_the_first_epoch_it_begins_again_from_the_start(data, poisoned, begun, options):
    poisoned(1, times=1)
    said = []
    context = tiny_context(data, "half", epochs=4, learning_rate=RATE, **options)
    classifier, fitted = run(context, said.append)
    assert [rate for rate, _ in begun] == [RATE, RATE / 2]
    assert same(begun[0][1], begun[1][1])
    best = fitted.best
    assert [row["epoch"] for row in best.history] == [1, 1, 2, 3, 4]
    assert not fitted.diverged
    assert math.isfinite(best.loss)
    assert all(math.isfinite(row["loss"]) for row in best.history[1:])
    assert all(np.isfinite(w).all() for w in (*best.weights, *copies(classifier.model.weights)))
    notes = [note.text for note in said if isinstance(note, Note)]
    assert sum("no longer a number" in text and "0.001" in text for text in notes) == 1


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"aux_heads": 1}, {"unfreeze": "gradual"}], ids=str)
def test_in_the_middle_it_goes_on_from_the_last_good_epoch(
    data, poisoned, begun, monkeypatch, options
):
    stages = 2 if options.get("unfreeze") else 1  # the second one begins with the third epoch
    poisoned(3, times=stages)
    seen, see = {}, BestCheckpoint.see

    def watched(self, row, judged, weights, *more):
        if math.isfinite(row["val_log_loss"]):
            seen[row["epoch"]] = copies(weights)
        return see(self, row, judged, weights, *more)

    monkeypatch.setattr(BestCheckpoint, "see", watched)
    context = tiny_context(data, "half", epochs=6, learning_rate=RATE, **options)
    _, fitted = run(context)
    assert [rate for rate, _ in begun][: stages + 1] == [RATE] * stages + [RATE / 2]
    assert same(begun[stages][1], seen[2])
    assert [row["epoch"] for row in fitted.best.history] == [1, 2, 3, 3, 4, 5, 6]
    assert fitted.best.last_epoch == 6
    assert not fitted.diverged


@pytest.mark.long
def test_always_from_the_third_epoch_on_the_first_two_are_what_there_is(data, poisoned, begun):
    poisoned(3)
    context = tiny_context(data, "half", epochs=6, learning_rate=RATE)
    classifier, fitted = run(context)
    assert [rate for rate, _ in begun] == [RATE, RATE / 2, RATE / 4]
    assert [row["epoch"] for row in fitted.best.history] == [1, 2, 3, 3, 3]
    assert (fitted.diverged, fitted.best.last_epoch) == (False, 2)
    assert same(fitted.best.last, copies(classifier.model.weights))
    result = tuning.finetune(context, tiny_settings(context), tiny_head(context), silent).result
    assert len(result.candidates) > 1
    assert all(math.isfinite(c.loss) for c in result.candidates)
    assert "no longer a number" not in result.reason


@pytest.mark.long
def test_where_it_never_trains_the_head_is_kept_and_the_reason_says_so(data, poisoned, begun):
    poisoned(1)
    context = tiny_context(data, "half", epochs=4, learning_rate=RATE)
    solved = tiny_head(context)
    before = copies(context.backbone.model.weights)
    tuned = tuning.finetune(context, tiny_settings(context), solved, silent)
    assert [rate for rate, _ in begun] == [RATE, RATE / 2, RATE / 4]
    assert tuned.result.kept == "head"
    assert "no longer a number" in tuned.result.reason
    assert [c.name for c in tuned.result.candidates] == ["head"]
    assert same(before, copies(context.backbone.model.weights))
    assert np.array_equal(tuned.trained.held_out, solved.probabilities("val"))


@pytest.mark.long
def test_an_absurd_rate_never_raises(data):
    context = tiny_context(data, "full", epochs=2)
    context = replace(context, config=context.config.effective(learning_rate=1e30))
    before = copies(context.backbone.model.weights)
    tuned = tuning.finetune(context, tiny_settings(context), tiny_head(context), silent)
    assert tuned.result.kept == "head"
    assert same(before, copies(context.backbone.model.weights))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("key", ["loss", "val_log_loss"])
def test_an_epoch_that_is_no_number_is_neither_the_best_nor_the_last(bad, key):
    best = BestCheckpoint()
    good = {"epoch": 1, "loss": 1.0, "val_log_loss": 0.5}
    best.see(good, 0.5, [np.array(1.0)])
    row = {**good, "epoch": 2, "val_log_loss": 0.1, key: bad}
    best.see(row, row["val_log_loss"], [np.array(2.0)])
    assert (best.epoch, best.loss, best.last_epoch) == (1, 0.5, 1)
    assert best.weights == best.last == [np.array(1.0)]
    assert len(best.history) == 2


@pytest.mark.long
def test_from_scratch_there_is_nothing_to_keep(data, poisoned, begun):
    poisoned(1)
    context = scratch_context(data, epochs=3, learning_rate=RATE)
    with pytest.raises(TLError, match="no longer a number") as caught:
        train_from_scratch(context, tiny_settings(context), silent)
    assert "--learning-rate" in caught.value.hint
    assert [rate for rate, _ in begun] == [RATE, RATE / 2, RATE / 4]
    assert same(begun[0][1], begun[2][1])  # BatchNorm's moments among them


@pytest.mark.long
def test_from_scratch_the_figures_are_those_of_the_epoch_that_came_right(data, poisoned):
    poisoned(1, times=1)
    context = scratch_context(data, epochs=1)
    made = train_from_scratch(context, tiny_settings(context), silent)
    assert [row["epoch"] for row in made.history] == [1, 1]
    assert made.result.best_epoch == 1
    assert made.result.loss == made.history[1]["val_log_loss"]
    assert math.isfinite(made.result.loss)
