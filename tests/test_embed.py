"""`tl embed` and `tl search`: what the head sees of images, as files, and what is most alike."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from test_cli import said, tl
from tl_cli.data import digests
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Record
from tl_cli.engine import predict
from tl_cli.store import embedding_writer, run_dir
from tl_cli.store.run_dir import RunDir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache_of_runs"))


@pytest.fixture(autouse=True)
def one_cache(cache, own_cache, monkeypatch):
    """Have all of these tests find what the training kept."""
    monkeypatch.setenv("TL_CACHE", cache)


@pytest.fixture(scope="module")
def data(colours):
    return colours


@pytest.fixture(scope="module")
def run(data, cache, tmp_path_factory):
    """A run whose head sees several depths of the pretrained network."""
    os.environ["TL_CACHE"] = cache
    place = tmp_path_factory.mktemp("runs") / "head"
    return trained(data, place, "--freeze", "head", "--head", "multi")


@pytest.fixture(scope="module")
def tuned(data, cache, tmp_path_factory):
    os.environ["TL_CACHE"] = cache
    place = tmp_path_factory.mktemp("runs") / "tuned"
    return trained(data, place, "--freeze", "half", "--head", "last")


def embedded(output: Path, *arguments: object, code: int = 0) -> tuple[dict, np.ndarray]:
    """Return what `tl embed` printed as JSON, and the array that it wrote."""
    done = tl("embed", *arguments, "--output", output, "--json")
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout), np.load(output, allow_pickle=False)


def found(*arguments: object, code: int = 0) -> dict:
    """Return what `tl search` printed as JSON."""
    done = tl("search", *arguments, "--json")
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


# -- the features ---------------------------------------------------------------------------------


def test_the_features_are_what_the_head_sees(run, data, tmp_path):
    check_features(run, data, tmp_path / "e.npy")


@pytest.mark.long
def test_the_features_of_a_tuned_run_are_what_its_head_sees(tuned, data, tmp_path):
    check_features(tuned, data, tmp_path / "e.npy")


def check_features(run: Path, data: Path, output: Path) -> None:
    told, rows = embedded(output, run, data / "test")
    assert rows.dtype == np.float32
    assert rows.shape == (30, told["width"])
    built = predict.load_checkpoint(RunDir(run))
    weights, bias = (np.asarray(w) for w in built.head.get_weights())
    [answers] = predict.answers(built, [str(p) for p in _paths(told)], top=3, batch_size=30)
    for p, answer in zip(softmax(rows @ weights + bias, axis=1), answers, strict=True):
        # the features are kept in half precision
        assert dict(answer.guesses) == pytest.approx(
            dict(zip(built.classes, p.tolist(), strict=True)), abs=0.01
        )


def _paths(told: dict) -> list[str]:
    with Path(told["paths"]).open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_each_row_has_its_path_and_digest_and_equal_images_equal_rows(run, data, tmp_path):
    red, blue = (data / "test" / name / "00.png" for name in ("red", "blue"))
    told, rows = embedded(tmp_path / "e.npy", run, red, blue, red)
    with Path(told["paths"]).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["path"] for row in table] == [str(red), str(blue), str(red)]
    assert [row["digest"] for row in table] == [
        digests.of(Record(str(path), "")) for path in (red, blue, red)
    ]
    assert np.array_equal(rows[0], rows[2])
    assert not np.allclose(rows[0], rows[1])


def test_images_that_passed_before_come_from_the_cache(run, data, tmp_path):
    own = [r.path for r in read_csv(run / run_dir.MANIFEST).of("train")]
    told, _ = embedded(tmp_path / "run.npy", run, *own[:7])
    assert (told["images"], told["cached"]) == (7, 7)
    of_backbone = ("small", "--image-size", 32, *own[:7])
    told, rows = embedded(tmp_path / "backbone.npy", *of_backbone)
    assert (told["cached"], told["width"], told["image_size"]) == (7, 96, 32)
    last = np.load(tmp_path / "run.npy")[:, -2 * 96 : -96]
    assert np.array_equal(rows, last)  # averages of the same network's last map, not deviations


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_every_kind_of_file_holds_the_same(run, data, tmp_path, ending):
    _, rows = embedded(tmp_path / "e.npy", run, data / "test" / "red")
    output = tmp_path / f"e{ending}"
    done = tl("embed", run, data / "test" / "red", "--output", output)
    assert done.exit_code == 0, done.stderr
    if ending == ".npz":
        with np.load(output, allow_pickle=False) as held:
            names, same = held["paths"].tolist(), held["embeddings"]
    elif ending == ".csv":
        with output.open(newline="") as file:
            header, *lines = csv.reader(file)
        assert header[:3] == ["path", "digest", "f0"]
        names, same = [line[0] for line in lines], np.array([line[2:] for line in lines], "float32")
    else:
        table = pq.read_table(output)
        names, same = table["path"].to_pylist(), np.array(table["embedding"].to_pylist())
    assert names == _paths({"paths": tmp_path / "e.paths.csv"})
    assert same == pytest.approx(rows, rel=1e-6)


def test_what_is_no_image_is_left_out_counted_and_named(run, data, tmp_path):
    (tmp_path / "no.jpg").write_text("no image")
    red = data / "test" / "red" / "00.png"
    told, rows = embedded(tmp_path / "e.npy", run, red, tmp_path / "no.jpg", code=1)
    assert told["failed"] == [
        {"path": str(tmp_path / "no.jpg"), "reason": "is not an image (text)"}
    ]
    assert len(rows) == told["images"] == 1
    shown = tl("embed", run, red, tmp_path / "no.jpg", "--output", tmp_path / "two.npy")
    assert "left out 1 file of 2" in shown.stderr
    said(tl("embed", run, tmp_path / "no.jpg", "--output", tmp_path / "x.npy"), "none of 1")


def test_a_name_that_is_not_utf8_comes_back_as_it_is(run, data, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copy(data / "test" / "red" / "00.png", os.fsdecode(name))
    for ending in (".npy", ".csv", ".npz", ".parquet"):
        done = tl("embed", run, os.fsdecode(name), "--output", tmp_path / f"e{ending}")
        assert done.exit_code == 0, done.stderr
    assert name in (tmp_path / "e.paths.csv").read_bytes()
    assert name in (tmp_path / "e.csv").read_bytes()
    with np.load(tmp_path / "e.npz") as held:
        assert os.fsencode(held["paths"][0]) == name


def test_a_file_is_written_whole_or_not_at_all(run, data, tmp_path, monkeypatch):
    out = tmp_path / "e.npy"
    arguments = ("embed", run, data / "test" / "red", "--output", out)
    assert tl(*arguments).exit_code == 0
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    said(tl(*arguments), "is there already", "--overwrite")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    said(tl("embed", run, data / "test", "--output", out, "--overwrite"), "the disk is full")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.long
def test_a_checkpoint_that_was_copied_alone_has_features_too(run, data, tmp_path):
    for name in (run_dir.CHECKPOINT, run_dir.WEIGHTS):
        shutil.copy(run / name, tmp_path / name)
    _, alone = embedded(tmp_path / "alone.npy", tmp_path, data / "test" / "red")
    _, rows = embedded(tmp_path / "run.npy", run, data / "test" / "red")
    assert np.allclose(alone, rows, atol=0.01)


def test_mistakes_of_embed_are_one_sentence(run, data, tmp_path, monkeypatch):
    def mistake(*arguments, output="x.npy"):
        return tl("embed", *arguments, "--output", tmp_path / output)

    said(mistake("efficientnet_lite", data), "neither a run nor a backbone", "did you mean")
    said(mistake("resnet18", data), "no pretrained weights")
    said(mistake(data, data), "holds no checkpoint.json")
    said(mistake(run, data, output="x.txt"), "does not follow from its name", ".npz")
    said(mistake(run, tmp_path / "none"), "no file or folder")
    (tmp_path / "file").write_text("")
    said(mistake(run, data, output="file/x.npy"), "cannot write")
    monkeypatch.setattr(embedding_writer.importlib.util, "find_spec", lambda name: None)
    said(mistake(run, data, output="x.parquet"), "pyarrow", "pip install")
    assert mistake(run, data, "--image-size", 64).exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# -- what is most alike ---------------------------------------------------------------------------


def test_a_training_image_finds_itself_first_and_every_query_has_its_own(run, data, tmp_path):
    (tmp_path / "no.jpg").write_text("no image")
    own = read_csv(run / run_dir.MANIFEST).of("train")[::9]
    queries = [own[0].path, str(tmp_path / "no.jpg"), own[1].path, own[2].path]
    told = found(run, *queries, "--top", 4, code=1)
    assert [each["path"] for each in told["images"]] == queries
    assert (told["failed"], told["searched"]) == (1, 60)
    assert told["images"][1]["error"] == "is not an image (text)"
    assert told["images"][1]["matches"] == []
    for record, each in zip(own[:3], (told["images"][i] for i in (0, 2, 3)), strict=True):
        near = each["matches"]
        assert (near[0]["path"], near[0]["label"]) == (record.path, record.label)
        assert near[0]["similarity"] == pytest.approx(1, abs=1e-3)
        assert [n["similarity"] for n in near] == sorted(n["similarity"] for n in near)[::-1]
        assert len(near) == 4


@pytest.mark.long
def test_a_tuned_run_is_searched_as_it_sees_images_now(run, tuned):
    own = read_csv(tuned / run_dir.MANIFEST).of("train")[11]
    [each] = found(tuned, own.path, "--top", 2)["images"]
    assert each["matches"][0]["path"] == own.path
    assert each["matches"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    [before] = found(run, own.path, "--top", 2)["images"]
    assert before["matches"][1]["similarity"] != pytest.approx(each["matches"][1]["similarity"])


def test_more_than_there_are_is_all_that_there_are(run, data):
    [each] = found(run, data / "test" / "red" / "00.png", "--top", 1000)["images"]
    assert len({n["path"] for n in each["matches"]}) == 60


def test_a_search_says_which_training_images_are_gone(run, data, tmp_path, monkeypatch):
    """From here on the images are moved away."""
    moved = shutil.copytree(data, tmp_path / "moved")
    run = shutil.copytree(run, tmp_path / "run")
    manifest = run / run_dir.MANIFEST
    manifest.write_text(manifest.read_text().replace(str(data), str(moved)))
    shutil.rmtree(moved / "train" / "red")
    query = data / "test" / "red" / "00.png"
    done = tl("search", run, query, "--top", 2)
    assert done.exit_code == 0, done.stderr
    assert "20 of 60 training images" in done.stderr
    assert done.stdout.count("(gone)") == 2  # their features are kept
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "empty"))
    told = found(run, query, "--top", 2)
    assert told["searched"] == 40
    assert {n["label"] for n in told["images"][0]["matches"]} <= {"blue", "grün ✿"}
    shutil.rmtree(moved / "train")
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "empty again"))
    said(tl("search", run, query), "are gone, and nothing of them is kept")


def test_mistakes_of_search_are_one_sentence(run, data, tmp_path):
    said(tl("search", tmp_path, data), "holds no checkpoint.json")
    said(tl("search", run, data / "tests"), "did you mean 'test'?")
    (tmp_path / "run").mkdir()
    for name in (run_dir.CHECKPOINT, run_dir.WEIGHTS, run_dir.CONFIG):
        shutil.copy(run / name, tmp_path / "run" / name)
    said(tl("search", tmp_path / "run", data / "test" / "red" / "00.png"), "manifest")
    assert tl("search", run, data, "--top", 0).exit_code == 2
