"""A training that is cut off after an epoch, in every mode, and what goes on from there."""

import copy
import functools
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from test_from_scratch import scratch_context
from tiny import coloured, tiny_context, tiny_head, tiny_settings
from tl_cli.engine.finetune import fit as fitting
from tl_cli.engine.finetune import settings
from tl_cli.engine.finetune.checkpoints import Checkpoints
from tl_cli.engine.finetune.finetune import finetune
from tl_cli.engine.finetune.from_scratch import train_from_scratch
from tl_cli.engine.finetune.state import copies
from tl_cli.plan import FreezePlan
from tl_cli.results.progress import Note, silent
from tl_cli.store import resume
from tl_cli.store.run_dir import RunDir

EPOCHS = 4
MODES = {
    "half": {},
    "together": {"unfreeze": "gradual", "ema": 0.9, "aux_heads": 1},
    "scratch": {"from_scratch": True, "ema": 0.9},
}
MORE = {
    "everything": {"freeze": "full", "augment": "strong"},
    "gradual": {"unfreeze": "gradual"},
    "average": {"ema": 0.9},
    "auxiliary": {"aux_heads": 1},
    "oversampled": {"balance": "oversample"},
    "scratch plain": {"from_scratch": True},
    "scratch auxiliary": {"from_scratch": True, "aux_heads": 1, "gradient_flow": True},
}


class Killed(BaseException):
    """Nothing after it is run."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("data") / "set", 12, noise=110)


@pytest.fixture
def run(tmp_path):
    made = RunDir.create(tmp_path / "run")
    resume.begin(made, {})
    return made


def tuned(data, run=None, said=silent, **options):
    """Train a new network, or go on in the run; return all that it came to, without the seconds."""
    options = {"epochs": EPOCHS, "learning_rate": 0.01, **options}
    checkpoints = Checkpoints(run)
    if options.pop("from_scratch", False):
        context = scratch_context(data, **options)
    else:
        context = tiny_context(data, options.pop("freeze", "half"), **options)
    decided = tiny_settings(context)
    if context.config.from_scratch:
        made = train_from_scratch(context, decided, said, checkpoints)
    else:
        made = finetune(context, decided, tiny_head(context), said, checkpoints)
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in made.history]
    arrays = [*copies(made.trained.classifier.model.weights), made.trained.held_out]
    return arrays, repr(history), made.result, list(made.gradients)


@functools.cache
def undisturbed(data, mode):
    """Return what a training that nobody cut off came to: each mode is trained once."""
    return tuned(data, **(MODES | MORE)[mode])


def killed(monkeypatch, data, run, epoch, **options):
    """Train, and be killed when that many epochs have been kept."""
    save, saved = Checkpoints.save, []

    def dying(self, state):
        save(self, state)
        saved.append(state)
        if len(saved) == epoch:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", dying)
        with pytest.raises(Killed):
            tuned(data, run, **options)


def check_equal(one, other):
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one[0], other[0], strict=True))
    assert one[1:] == other[1:]


@pytest.mark.others_long(1)
@pytest.mark.parametrize(
    "mode", ["half", "scratch", pytest.param("together", marks=pytest.mark.slow)]
)
def test_what_goes_on_is_what_was_never_cut_off(data, run, monkeypatch, mode):
    whole = undisturbed(data, mode)
    killed(monkeypatch, data, run, 2, **MODES[mode])
    said = []
    check_equal(tuned(data, run, said.append, **MODES[mode]), whole)
    notes = [each.text for each in said if isinstance(each, Note)]
    assert "Going on after epoch 2 of 4." in notes


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES | MORE)
def test_in_every_mode_it_is_cut_off_twice(data, run, monkeypatch, mode):
    options = (MODES | MORE)[mode]
    whole = undisturbed(data, mode)
    for times in (1, 2):  # the second time it goes on from the first one's
        killed(monkeypatch, data, run, times, **options)
    check_equal(tuned(data, run, **options), whole)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["half", pytest.param("together", marks=pytest.mark.slow)])
def test_after_the_last_epoch_nothing_is_trained_again(data, run, monkeypatch, mode):
    whole = undisturbed(data, mode)
    killed(monkeypatch, data, run, EPOCHS, **MODES[mode])
    killed_files = {p.name: p.stat().st_mtime_ns for p in (run / resume.FOLDER).glob("*.npz")}
    assert sorted(killed_files) == ["epoch-0003.npz", "epoch-0004.npz"]
    check_equal(tuned(data, run, **MODES[mode]), whole)
    after = {p.name: p.stat().st_mtime_ns for p in (run / resume.FOLDER).glob("*.npz")}
    assert after == killed_files


@pytest.mark.long
@pytest.mark.parametrize(
    "epoch", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_rate_that_was_halved_stays_so(data, run, monkeypatch, epoch):
    """The third epoch is no number at the first rate."""
    see, rates = fitting.ValidationCallback.on_epoch_end, []

    def once(self, number, logs=None):
        rates.append(self.plan.learning_rate)
        bad = number == 2 and self.plan.learning_rate == 0.01
        see(self, number, {**logs, "loss": float("nan")} if bad else logs)

    monkeypatch.setattr(fitting.ValidationCallback, "on_epoch_end", once)
    whole = tuned(data)
    assert rates == [0.01] * 3 + [0.005] * 2
    killed(monkeypatch, data, run, epoch)
    check_equal(tuned(data, run), whole)


@pytest.mark.slow
def test_patience_ends_where_it_would_have(data, run, monkeypatch):
    decide = settings.decide

    def impatient(*args, **more):
        return replace(decide(*args, **more), patience=1)

    monkeypatch.setattr(settings, "decide", impatient)
    options = {**MODES["scratch"], "learning_rate": 0.3, "epochs": 12}
    whole = tuned(data, **options)
    epochs = whole[2].epochs
    assert epochs < 12
    killed(monkeypatch, data, run, epochs, **options)
    check_equal(tuned(data, run, **options), whole)


def test_a_damaged_state_gives_way_to_the_one_before(data, run, monkeypatch):
    start, kept = [], []
    begin, save = Checkpoints.begin, Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "begin", lambda self, *given: start.extend(given) or begin(self, *given)
    )
    monkeypatch.setattr(
        Checkpoints,
        "save",
        lambda self, state: kept.append(copy.deepcopy(state.parts())) or save(self, state),
    )
    killed(monkeypatch, data, run, 3)
    before, last = ((run / resume.FOLDER / f"epoch-000{n}.npz") for n in (2, 3))
    assert Checkpoints(run).begin(*start).best.last_epoch == 3
    content = last.read_bytes()
    for harm in ("cut", "flipped", "empty", "pickled", "version", "facts"):
        last.write_bytes(content)
        harmed(last, harm)
        state = Checkpoints(run).begin(*start)
        assert state.best.last_epoch == 2, harm
        facts, arrays = state.parts()
        assert repr(facts) == repr(kept[1][0])
        for name, group in arrays.items():
            assert all(np.array_equal(a, b) for a, b in zip(group, kept[1][1][name], strict=True))
    before.write_bytes(b"")
    assert Checkpoints(run).begin(*start) is None
    last.write_bytes(content)
    other = [[array + 1 for array in group] for group in start]
    assert Checkpoints(run).begin(*other) is None  # what is frozen is no longer there


def harmed(path, harm):
    content = path.read_bytes()
    if harm in ("cut", "flipped", "empty"):
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flipped": flipped, "empty": b""}[harm])
        return
    with np.load(path) as file:
        arrays = dict(file)
    told = json.loads(arrays["facts"].tobytes())
    if harm == "version":
        told["versions"]["keras"] = "2.0"
    if harm == "facts":
        del told["facts"]["rate"]
    arrays["facts"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    if harm == "pickled":
        arrays["facts"] = np.array([told], object)
    with path.open("wb") as opened:
        np.savez(opened, **arrays)


@pytest.mark.long
def test_a_state_that_cannot_be_written_does_not_end_the_training(data, run, monkeypatch):
    whole = undisturbed(data, "half")
    killed(monkeypatch, data, run, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tl_cli.engine.finetune.checkpoints._write", full)
        said = []
        check_equal(tuned(data, run, said.append), whole)
    warnings = [n.text for n in said if isinstance(n, Note) and n.warning]
    assert any("Epoch 3 could not be kept" in text for text in warnings)
    files = sorted(p.name for p in (run / resume.FOLDER).iterdir())
    assert files == ["epoch-0001.npz", "epoch-0002.npz", "request.json"]
    check_equal(tuned(data, run), whole)


@pytest.mark.long
def test_each_array_is_written_once_and_what_is_frozen_not_at_all(data, run, monkeypatch):
    killed(monkeypatch, data, run, 1)
    with zipfile.ZipFile(run / resume.FOLDER / "epoch-0001.npz") as archive:
        names = archive.namelist()
        size = sum(each.file_size for each in archive.infolist())
    assert len(names) == len(set(names))
    context = tiny_context(data, "half")
    everything = sum(np.asarray(w).nbytes for w in context.backbone.model.weights)
    assert size < 4 * everything  # trained weights and Adam's two moments


def test_the_settings_are_the_same_after_json(data):
    context = tiny_context(data, "half", aux_heads=1, epochs=4, augment="light")
    decided = tiny_settings(context, mirror=True)
    again = settings.from_json(context, json.loads(json.dumps(settings.to_json(decided))))
    assert settings.to_json(again) == settings.to_json(decided)
    assert again.plan == decided.plan
    assert FreezePlan.from_json(json.loads(json.dumps(decided.plan.to_json()))) == decided.plan
    firsts = (copies(each.auxiliary.weights) for each in (again, decided))
    assert all(np.array_equal(a, b) for a, b in zip(*firsts, strict=True))
