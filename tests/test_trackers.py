"""`--track`: what TensorBoard and MLflow themselves read back of a run."""

from __future__ import annotations

import importlib.util
import math
import tomllib
from pathlib import Path

import pytest

from test_cli import said, tl
from tl_cli import trackers
from tl_cli.config import RunConfig
from tl_cli.results.progress import Note, Progress
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir
from tl_cli.trackers import mlflow

PLAN = {"strategy": "partial", "similarity": 0.5, "frozen_blocks": 3, "blocks": 9, "size": 30,
        "classes": 3}  # fmt: skip
FIGURES = {"accuracy": 0.9, "balanced_accuracy": 0.8, "macro_f1": 0.7, "log_loss": 0.3,
           "top5": None}  # fmt: skip
HISTORY = """epoch,seconds,loss,val_log_loss,val_accuracy
0,0,nan,0.5,0.8
1,2,0.9,0.4,0.85
2,2,0.6,0.35,0.9
"""


def written(path: Path) -> RunDir:
    """A run as it is when its training is done: every file that a tracker is told of."""
    run = RunDir.create(path)
    run.write_text(run_dir.CONFIG, RunConfig(data="photos", epochs=2, freeze="half").to_yaml())
    run.write_json(run_dir.PLAN, PLAN)
    run.write_text(run_dir.HISTORY, HISTORY)
    told = {"metrics": {"test": FIGURES}, "head": {"cv_accuracy": 0.8}, "seconds": {"total": 5.0}}
    run.write_json(run_dir.METRICS, told)
    run.write_text(run_dir.REPORT, "<html>")
    return run


def follow(name: str, run: RunDir) -> list:
    """Have a tracker follow a run: one epoch comes live, the others are in its history."""
    events: list = []
    with trackers.following(name, run, events.append) as followed:
        row = {"epoch": 1, "seconds": 2.0, "loss": 0.9, "val_log_loss": 0.4, "val_accuracy": 0.85}
        followed.watch(Progress("epoch 1/2", 30, 30, epoch=row))
        followed.finish()
    followed.close(run)
    return events


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Return what TensorBoard reads, by tag and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: {e.step: make_ndarray(e.tensor_proto) for e in read.Tensors(tag)}
        for tag in read.Tags()["tensors"]
    }


def test_tensorboard_reads_epochs_figures_and_parameters(tmp_path):
    run = written(tmp_path / "a run")
    events = follow("tensorboard", run)
    found = curves(run / run_dir.TENSORBOARD)
    assert found["epoch/val_accuracy"] == pytest.approx({0: 0.8, 1: 0.85, 2: 0.9})
    assert found["epoch/loss"] == pytest.approx({1: 0.9, 2: 0.6})
    assert float(found["test/accuracy"][0]) == pytest.approx(0.9)
    assert "test/top5" not in found
    assert str(run / run_dir.REPORT) in str(found["figures"][0])
    assert "_hparams_/session_start_info" in _tags(run / run_dir.TENSORBOARD)
    assert f"tensorboard --logdir '{run / run_dir.TENSORBOARD}'" in events[-1].text


def _tags(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    [file] = folder.iterdir()
    return {v.tag for event in EventFileLoader(str(file)).Load() for v in event.summary.value}


@pytest.fixture
def client(tmp_path, monkeypatch):
    """MLflow, writing into a folder of its own."""
    folder = tmp_path / "tracked"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.chdir(folder)
    with trackers.quiet(), trackers.hushed():
        from mlflow import MlflowClient

        return MlflowClient()


def only_run(client):
    [experiment] = [e for e in client.search_experiments() if e.name == "tl"]
    [run] = client.search_runs([experiment.experiment_id])
    return run


@pytest.mark.long
def test_mlflow_reads_epochs_figures_parameters_and_the_report(tmp_path, client):
    events = follow("mlflow", written(tmp_path / "run"))
    run = only_run(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["epochs"] == "2" and run.data.params["strategy"] == "partial"
    assert run.data.metrics["test/accuracy"] == 0.9
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert {m.step: m.value for m in history} == {0: 0.8, 1: 0.85, 2: 0.9}
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"report.html", "config.yaml", "plan.json", "metrics.json"}
    assert "mlflow ui --backend-store-uri sqlite:///" in events[-1].text


@pytest.mark.long
def test_a_run_that_fails_is_marked_so_in_mlflow(tmp_path, client):
    run = written(tmp_path / "run")
    with (
        pytest.raises(KeyboardInterrupt),
        trackers.following("mlflow", run, lambda event: None),
    ):
        raise KeyboardInterrupt
    assert only_run(client).info.status == "FAILED"


def test_the_events_of_an_old_run_go_with_it(tmp_path):
    old = written(tmp_path / "run")
    (old / run_dir.TENSORBOARD).mkdir()
    (old / run_dir.TENSORBOARD / "events.out.tfevents.old").write_bytes(b"")
    (old / "notes.txt").write_text("mine")
    new = RunDir.create(tmp_path / "run", overwrite=True)
    (new / run_dir.TENSORBOARD).mkdir()
    (new / run_dir.TENSORBOARD / "events.out.tfevents.new").write_bytes(b"")
    run = new.publish()
    assert [p.name for p in (run / run_dir.TENSORBOARD).iterdir()] == ["events.out.tfevents.new"]
    assert (run / "notes.txt").read_text() == "mine"


# -- above the waterline ---------------------------------------------------------------------------


class Broken:
    look = ""

    def __getattr__(self, name):
        def call(*_, **__):
            raise ConnectionError("no route to host\nTraceback ...")

        return call


def test_a_tracker_that_fails_is_told_once_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib, "import_module", lambda name: Module)

    class Module:
        HINT = "look at it"

        @staticmethod
        def begin(run):
            return Broken()

    events = follow("mlflow", written(tmp_path / "run"))
    assert [event for event in events if isinstance(event, Note)] == [
        Note("MLflow keeps nothing more of this run: no route to host", warning=True)
    ]

    def unreachable(run):
        raise ConnectionError("no route to host")

    Module.begin = unreachable
    with pytest.raises(trackers.TLError, match="MLflow cannot be used: no route to host"):
        follow("mlflow", RunDir(tmp_path / "run"))


def test_what_is_tried_out_before_there_is_a_plan_is_not_tracked(tmp_path):
    seen = []

    class Seen(Broken):
        def __getattr__(self, name):
            return lambda *_, **__: seen.append(name)

    run = RunDir.create(tmp_path / "run")
    followed = trackers.FollowedRun(run, lambda event: None, Seen())
    followed.watch(Progress("epoch 1/2", 1, 1, epoch={"epoch": 1, "loss": math.nan}))
    assert seen == []


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_missing_extra_is_told_before_anything_is_looked_at(name, monkeypatch, tmp_path):
    whole = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: None if wanted == name else whole(wanted)
    )
    run = tmp_path / "run"
    done = tl("train", "--data", "no/such/folder", "--track", name, "--output", run)
    said(done, "which is not installed", f"pip install 'tl-cli[{name}]'")
    assert not run.exists()


def test_the_extras_bring_what_the_trackers_need():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for row in trackers.TRACKERS.values():
        brought = {line.split(">")[0].replace("-", "_") for line in extras[row.name]}
        assert all(any(package.startswith(module) for package in brought) for module in row.needs)
    track = RunConfig.model_fields["track"].annotation
    assert all(name in str(track) for name in trackers.TRACKERS)


def test_without_a_tracker_nothing_is_kept_and_nothing_imported(tmp_path):
    run = written(tmp_path / "run")
    with trackers.following(None, run, lambda event: None) as followed:
        followed.finish()
    followed.close(run)
    assert not (run / run_dir.TENSORBOARD).exists()


def test_the_way_to_a_server_names_no_password():
    assert mlflow.way_to("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert mlflow.way_to("sqlite:////a b/mlflow.db").endswith("'sqlite:////a b/mlflow.db'")


def test_an_unknown_tracker_is_told_with_the_nearest(tmp_path):
    said(tl("train", "--data", tmp_path, "--track", "tensorbord"), "did you mean 'tensorboard'")
