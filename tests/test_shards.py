"""A pass done in shares: equal to the bit, once an image, whoever is killed and whenever."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from runs import check_equal
from test_cli import COLOURS, REAL, paint, tl
from tiny import coloured, split_of, tiny_backbone
from tl_cli.data.manifest import Record
from tl_cli.engine import features
from tl_cli.engine.features import FeatureSpec
from tl_cli.engine.features.shards import Pass, extract_shard, once, parts
from tl_cli.errors import TLError
from tl_cli.results.shard import ShardResult
from tl_cli.store import cache, cache_folder, shards
from tl_cli.store.joined_tables import JoinedTable
from tl_cli.store.shards import Shard, parsed

PATIENCE = 600.0  # seconds, on a machine that has other things to do
PLAIN = [FeatureSpec((2, 6)), FeatureSpec((), 3, dtype="float32")]
FIRST = [*PLAIN, FeatureSpec(moments=True)]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, ...]:
    return split_of(coloured(tmp_path_factory.mktemp("data") / "set", 50)).records


@pytest.fixture(scope="module")
def passes(records: tuple[Record, ...]) -> list[Pass]:
    """As a training has them: some images for the distances first, then all."""
    return [Pass(records[5:75], FIRST, "similarity"), Pass(records, PLAIN)]


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    predict = keras.Model.predict_on_batch

    def counted(self: keras.Model, x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return predict(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    return seen


Extracted = Callable[[], list[np.ndarray]]


@pytest.fixture
def extracted(backbone, passes: list[Pass]) -> Extracted:
    """Return what a training extracts, all tables of all passes."""
    return lambda: [
        rows.array()
        for each in passes
        for rows in features.extract(backbone, each.records, each.wanted)
    ]


def equal(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.others_long(1)
@pytest.mark.parametrize("count", [2, 9])
def test_all_shards_together_are_the_rows_of_one_process(
    backbone, passes: list[Pass], extracted: Extracted, passed: list[int], count: int
) -> None:
    whole = extracted()
    batches = len(passed)
    cache.clear()
    passed.clear()
    for number in range(count, 0, -1):  # in any order
        extract_shard(backbone, passes, Shard(number, count))
    assert len(passed) == batches
    assert equal(extracted(), whole) and len(passed) == batches
    entries = [entry.kind for entry in cache.entries()]
    assert "features" not in entries and entries.count("shards") == 3 * count


def test_the_shares_are_whole_batches_and_no_image_is_in_two(passes: list[Pass]) -> None:
    for count in (1, 2, 7, 100):
        found = [parts(once(passes), Shard(n, count)) for n in range(1, count + 1)]
        for stage in (0, 1):
            sizes = [len(own[stage].records) for own in found if own[stage].records]
            assert all(size % features.BATCH == 0 for size in sizes[:-1])
        digests = [r.digest for own in found for each in own for r in each.records]
        assert len(digests) == len(set(digests)) == len({r.digest for r in passes[1].records})


def test_a_second_run_does_nothing(backbone, passes: list[Pass], passed: list[int]) -> None:
    first = extract_shard(backbone, passes, Shard(1, 2))
    assert first.passed == first.images and first.finished == (1,)
    passed.clear()
    again = extract_shard(backbone, passes, Shard(1, 2))
    assert (again.images, again.passed, passed) == (first.images, 0, [])
    # nor one that shares the images out otherwise
    extract_shard(backbone, passes, Shard(2, 2))
    passed.clear()
    assert extract_shard(backbone, passes, Shard(2, 3)).passed == 0 and not passed


class Killed(BaseException):
    pass


def test_a_shard_that_was_cut_off_is_not_done_and_is_gone_on_with(
    backbone, passes: list[Pass], extracted: Extracted, passed: list[int]
) -> None:
    whole = extracted()
    cache.clear()

    def kill(event: object) -> None:
        if len(passed) > 2:
            raise Killed

    passed.clear()
    with pytest.raises(Killed):
        extract_shard(backbone, passes, Shard(1, 1), on_progress=kill)
    assert not any(map(shards.is_done, (cache_folder.folder() / "shards").iterdir()))
    done = extract_shard(backbone, passes, Shard(1, 1))
    assert 0 < done.passed < done.images and done.finished == (1,)
    assert equal(extracted(), whole)


def test_what_is_missing_or_damaged_passes_in_the_training_and_is_said(
    backbone, passes: list[Pass], extracted: Extracted
) -> None:
    whole = extracted()
    cache.clear()
    for number in (1, 3):
        extract_shard(backbone, passes, Shard(number, 3))
    rows = shards.place(PLAIN[0].key(backbone), Shard(3, 3)) / "rows.bin"
    data = bytearray(rows.read_bytes())
    data[5] ^= 1
    rows.write_bytes(data)
    said: list[str] = []
    for each in passes:
        features.extract(
            backbone,
            each.records,
            each.wanted,
            on_progress=lambda event: said.append(getattr(event, "text", "")),
        )
    assert "2 of 3 shards are done: what is missing passes here" in said
    assert equal(extracted(), whole)


def test_one_whose_marker_says_more_than_is_there_is_not_done(backbone, passes: list[Pass]) -> None:
    extract_shard(backbone, passes, Shard(1, 2))
    folder = shards.place(PLAIN[0].key(backbone), Shard(1, 2))
    assert shards.is_done(folder)
    digests = folder / "digests.txt"
    digests.write_bytes(digests.read_bytes()[:-50])
    assert not shards.is_done(folder)
    (folder / shards.MARKER).write_text("[]")
    assert not shards.is_done(folder)


def test_shards_stay_until_somebody_asks_for_room(
    backbone, passes: list[Pass], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 1)
    for number in (1, 2):
        extract_shard(backbone, passes, Shard(number, 2))
    features.extract(backbone, passes[1].records, [FeatureSpec((4,))])
    assert {entry.kind for entry in cache.entries()} >= {"shards"}
    assert not cache.strangers()
    cache.clear()
    assert not cache.entries()


def test_without_a_folder_there_are_no_shards(
    backbone, passes: list[Pass], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_CACHE", "/proc/tl-cache")
    with pytest.raises(TLError, match="shards lie in the cache") as caught:
        extract_shard(backbone, passes, Shard(1, 2))
    assert "TL_CACHE" in caught.value.hint


ARRAY = {f"SLURM_ARRAY_TASK_{name}": value for name, value in
         (("ID", "6"), ("MIN", "2"), ("MAX", "8"), ("STEP", "2"), ("COUNT", "4"))}  # fmt: skip


def test_which_share_is_meant() -> None:
    assert parsed(" 2/4") == Shard(2, 4)
    assert parsed("auto", ARRAY) == Shard(3, 4)
    plain = {k: v for k, v in ARRAY.items() if "STEP" not in k}
    assert parsed("AUTO", {**plain, "SLURM_ARRAY_TASK_MAX": "5"}).count == 4  # no step: of one


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "x", "1/4/2", "-1/4", "1/999999"])
def test_a_share_that_is_none(text: str) -> None:
    with pytest.raises(TLError) as caught:
        parsed(text)
    assert "--shard 1/4" in caught.value.hint


@pytest.mark.parametrize(
    "environment",
    [{}, {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "3"}, {**ARRAY, "SLURM_ARRAY_TASK_ID": "3"}],
    ids=["no array", "with gaps", "beside the steps"],
)
def test_auto_needs_an_array(environment: dict[str, str]) -> None:
    with pytest.raises(TLError, match="--shard auto"):
        parsed("auto", environment)


def test_joined_tables_are_read_as_one(backbone, records: tuple[Record, ...]) -> None:
    for number in (1, 2, 3):
        extract_shard(backbone, [Pass(records[:96], [PLAIN[0]])], Shard(number, 3))
    [rows] = features.extract(backbone, records, [PLAIN[0]])
    one = features.extract(backbone, records, [PLAIN[0]], keep=False)[0]
    [table] = features.extraction.tables_of(backbone, [PLAIN[0]])
    assert isinstance(table, JoinedTable) and len(table.own.index) == len(records) - 96
    assert set(features.kept(backbone, PLAIN[0])) == {r.digest for r in records}
    order = np.random.default_rng(0).permutation(len(records))
    assert np.array_equal(rows[order], one[order])
    assert np.array_equal(rows[3:90:7], one[3:90:7])
    assert rows.shape == one.shape and rows.dtype == one.dtype


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("colours")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / name, seed, 20, colour)
    return root


@pytest.mark.slow
def test_a_training_in_shards_is_the_training(
    colours: Path, tmp_path: Path, passed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ("train", colours, *REAL, "--effort", "quick", "--test", 0.2, "--json")
    assert tl(*train, "--output", tmp_path / "one").exit_code == 0
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "shared"))
    told = []
    for share in ("2/2", "1/2", "1/2"):
        done = tl(*train, "--shard", share)
        assert done.exit_code == 0, done.stderr
        told.append(json.loads(done.stdout))
    assert [each["missing"] for each in told] == [[1], [], []]
    assert sum(each["images"] for each in told[:2]) == 60 and told[2]["passed"] == 0
    passed.clear()
    assert tl(*train, "--output", tmp_path / "two").exit_code == 0
    assert not passed
    check_equal(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_shares_that_are_killed_are_gone_on_with_and_the_training_is_the_same(
    colours: Path, tmp_path: Path, passed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9, of real processes, as often as one is seen at work; then each once more."""
    data = tmp_path / "colours"
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(data / name, seed, 120, colour)
    train = ("train", data, *REAL, "--effort", "quick", "--test", 0.2, "--json")
    assert tl(*train, "--output", tmp_path / "one").exit_code == 0
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "shared"))

    def begun(share: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tl_cli", *map(str, train), "--shard", share]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def half_done() -> list[Path]:
        folders = (tmp_path / "shared" / "shards").glob("*")
        return [f for f in folders if not shards.is_done(f) and _rows_in(f)]

    for share in ("1/2", "2/2"):
        process, until = begun(share), time.monotonic() + PATIENCE
        while not half_done():
            assert process.poll() is None and time.monotonic() < until, "it was not seen at work"
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert half_done()  # what it was at is not done
        process = begun(share)
        assert process.wait(PATIENCE) == 0 and not half_done()
    passed.clear()
    assert tl(*train, "--output", tmp_path / "two").exit_code == 0
    assert not passed
    check_equal(tmp_path / "one", tmp_path / "two")


def _rows_in(folder: Path) -> int:
    try:
        return (folder / "rows.bin").stat().st_size
    except OSError:
        return 0


@pytest.mark.slow
def test_an_embedding_in_shards(colours: Path, tmp_path: Path, passed: list[int]) -> None:
    embed = ("embed", "efficientnet_lite0", colours, "--image-size", 32)
    assert tl(*embed, "--output", tmp_path / "one.npy").exit_code == 0
    shutil.rmtree(cache_folder.folder() / "features")
    for share in ("1/2", "2/2"):
        done = tl(*embed, "--shard", share)
        assert done.exit_code == 0, done.stderr
    assert "All 2 are done" in done.stdout
    passed.clear()
    assert tl(*embed, "--output", tmp_path / "two.npy").exit_code == 0
    assert not passed
    assert np.array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--no-cache",), "--no-cache"),
        (("--from-scratch",), "pretrained"),
        (("--backbone", "best"), "tl rank"),
        (("--dry-run",), "does no more"),
    ],
    ids=["no cache", "from scratch", "best", "dry run"],
)
def test_what_cannot_be_shared_out(colours: Path, options: tuple[str, ...], said: str) -> None:
    done = tl("train", colours, "--shard", "1/2", *options)
    assert done.exit_code and said in done.stderr


def test_an_embedding_is_written_or_shared_out() -> None:
    done = tl("embed", "efficientnet_lite0", "photos")
    assert done.exit_code == 2 and "--shard" in done.stderr


def test_the_documented_keys_of_a_share_are_the_ones_that_are_printed() -> None:
    from test_docs import promised

    told = ShardResult("1/2", 3, 2, [2], 0.5).to_json()
    assert promised("tl train --shard") == set(told)
