"""Checkpoints from somebody else: nothing is executed, believed, or waited for."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from hostile import DESCRIPTIONS, WEIGHTS, Executes, wreck
from test_cli import said, tl
from tl_cli.data.csv_io import read_csv
from tl_cli.engine import fitted_images
from tl_cli.engine.networks import pth_reader
from tl_cli.errors import TLError
from tl_cli.store import checkpoint, run_dir
from tl_cli.store.run_dir import RunDir

QUICKLY = 10.0  # seconds; a bomb takes minutes, and building the network one or two


@pytest.fixture(scope="module")
def data(colours) -> Path:
    return colours


@pytest.fixture(scope="module")
def run(trained_once) -> Path:
    return trained_once("--freeze", "head")


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_an_odd_description_is_one_sentence(tmp_path, name):
    path = tmp_path / "checkpoint.json"
    path.write_text(DESCRIPTIONS[name])
    started = time.perf_counter()
    with pytest.raises(TLError) as caught:
        checkpoint.describe(path)
    assert time.perf_counter() - started < 2
    assert len(caught.value.message) < 300 + len(str(path))


def test_a_pipe_under_the_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "checkpoint.json")
    with pytest.raises(TLError, match="not a regular file"):
        checkpoint.describe(tmp_path / "checkpoint.json")


@pytest.mark.others_long(8)
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none_are_refused_at_once(copy, data, name):
    wreck(copy / run_dir.WEIGHTS, name)
    started = time.perf_counter()
    done = tl("predict", copy, data / "test" / "red")
    assert time.perf_counter() - started < QUICKLY
    said(done, run_dir.WEIGHTS)
    assert "nan" not in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": [str(i) for i in range(99_999)]}, "smaller than a head"),
        ({"taps": [1]}, "blocks"),
        ({"pooling": "sum"}, "unknown pooling"),
        ({"backbone": "../../x"}, "unknown backbone"),
    ],
)
def test_a_head_that_is_none_is_refused_before_it_is_built(copy, data, change, words):
    path = copy / run_dir.CHECKPOINT
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    started = time.perf_counter()
    said(tl("predict", copy, data / "test" / "red"), words)
    assert time.perf_counter() - started < QUICKLY


def test_an_exported_model_beside_is_never_opened(copy, data, tmp_path):
    with zipfile.ZipFile(copy / run_dir.EXPORTED, "w") as file:
        code = {"class_name": "Lambda", "config": {"function": {"code": "x"}}}
        file.writestr("config.json", json.dumps(code))
    assert tl("predict", copy / run_dir.EXPORTED, data / "test" / "red").exit_code == 0


@pytest.mark.parametrize("kind", ["pickle", "archive", "gigantic"])
def test_held_out_answers_are_numbers_or_one_sentence(copy, tmp_path, kind):
    path = copy / run_dir.HELD_OUT
    mark = tmp_path / "executed"
    if kind == "pickle":
        np.save(path, np.array([Executes(mark)], dtype=object), allow_pickle=True)
    elif kind == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.array([Executes(mark)], dtype=object))
    else:
        n = len(read_csv(copy / run_dir.MANIFEST).of("val"))
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, 10**11)}
            np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(TLError, match="held_out"):
        fitted_images.load(RunDir(copy))
    assert not mark.exists()


def test_a_pth_that_executes_does_not(tmp_path):
    path, mark = tmp_path / "x.pth", tmp_path / "executed"
    for value in (Executes(mark), [1], {"a": Executes(mark)}):
        path.write_bytes(pickle.dumps(pth_reader.MAGIC) + 4 * pickle.dumps(value))
        with pytest.raises(TLError, match="cannot be read"):
            pth_reader.read(path)
    assert not mark.exists()


@pytest.mark.long
def test_whole_weights_still_load(copy, data):
    with h5py.File(copy / run_dir.WEIGHTS) as file:
        assert "layers" in file
    assert tl("predict", copy, data / "test" / "red").exit_code == 0
