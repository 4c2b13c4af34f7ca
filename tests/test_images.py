"""The pipeline: stores that agree wherever they lie, and batches that depend on the seed alone."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tl_cli import machine
from tl_cli.data import decode, pixel_cache
from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Record
from tl_cli.engine import images as pipeline
from tl_cli.engine.images import augmentation
from tl_cli.engine.images import image_store as storing
from tl_cli.errors import TLError
from tl_cli.store import cache
from tl_cli.store import rows as tables

# isort: split
import keras
import tensorflow as tf

SIZE = 24
LEVELS = list(pipeline.LEVELS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "cache"))


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture whose colours change slowly, so that codecs and filters do it little harm."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def record(path: Path) -> Record:
    return Record(str(path), "label", digest=digest(path))


def pictures(folder: Path, n: int) -> list[Record]:
    folder.mkdir(exist_ok=True)
    for i in range(n):
        smooth(40 + i, 30, seed=i).save(folder / f"{i:03d}.png")
    return [record(path) for path in sorted(folder.glob("*.png"))]


def noise(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def numbered(n: int) -> np.ndarray:
    """Images of one colour each, which says which one it is."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 3))


def first_epoch(dataset: tf.data.Dataset, n: int, batch_size: int) -> list[tuple[Any, ...]]:
    return list(dataset.take(pipeline.steps(n, batch_size)).as_numpy_iterator())


# --- the store -----------------------------------------------------------------------------------


def test_pixels_agree_with_pillow(tmp_path: Path) -> None:
    smooth(900, 600).save(tmp_path / "large.jpg", quality=95)
    (got,) = pipeline.store([record(tmp_path / "large.jpg")], 100).take([0])
    with Image.open(tmp_path / "large.jpg") as image:
        want = np.asarray(image.resize((100, 100), Image.Resampling.BILINEAR), float)
    assert got.dtype == np.uint8 and got.shape == (100, 100, 3)
    assert np.abs(got - want).mean() < 1.0


@pytest.mark.parametrize("kind", ["exif", "grey", "alpha", "palette", "cmyk"])
def test_every_kind_of_image_goes_through_open_rgb(tmp_path: Path, kind: str) -> None:
    image, path = smooth(60, 40), tmp_path / f"{kind}.png"
    if kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        path = tmp_path / "exif.jpg"
        image.save(path, exif=exif, quality=95)
    elif kind == "alpha":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)
    elif kind == "cmyk":
        path = tmp_path / "cmyk.jpg"
        image.convert("CMYK").save(path)
    else:
        image.convert({"grey": "L", "palette": "P"}[kind]).save(path)
    (got,) = pipeline.store([record(path)], SIZE).take([0])
    want = open_rgb(record(path)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.abs(got.astype(float) - np.asarray(want)).mean() < 1.5
    plain = np.asarray(image.convert("RGB").resize((SIZE, SIZE)), float)
    if kind in ("exif", "alpha"):  # and that is not what a decoder that ignores them would give
        assert np.abs(got - plain).mean() > 10


def test_memory_disk_and_streamed_hold_the_same(tmp_path: Path) -> None:
    records, rows = pictures(tmp_path / "set", 7), np.array([6, 0, 3, 3])
    stores = [
        pipeline.store(records, SIZE, memory=0, disk=0),
        pipeline.store(records, SIZE, memory=10**9, disk=0),
        pipeline.store(records, SIZE, memory=0, disk=10**9),
        pipeline.store(records, SIZE, memory=10**9, disk=10**9),
    ]
    assert [s.place for s in stores] == ["streamed", "memory", "disk", "memory"]
    assert [s.shape for s in stores] == [(7, SIZE, SIZE, 3)] * 4
    assert len({s.describe() for s in stores}) == 3
    first = stores[0].take(rows)
    assert first.dtype == np.uint8
    for other in stores[1:]:
        np.testing.assert_array_equal(first, other.take(rows))
    assert len(stores[0]) == 7


def test_no_images_are_a_store_of_none() -> None:
    store = pipeline.store([], SIZE)
    assert store.take(np.arange(0)).shape == (0, SIZE, SIZE, 3)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a store has opened."""
    seen: list[str] = []
    monkeypatch.setattr(storing, "open_rgb", lambda r, s: seen.append(r.path) or open_rgb(r, s))
    return seen


def test_a_store_is_decoded_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    records = pictures(tmp_path / "set", 5)
    want = pipeline.store(records, SIZE).take(np.arange(5))
    decoded.clear()
    for memory in (0, 10**9):
        again = pipeline.store(records, SIZE, memory=memory)
        np.testing.assert_array_equal(again.take(np.arange(5)), want)
    assert decoded == []
    pipeline.store(records, SIZE + 1)
    assert len(decoded) == 5
    monkeypatch.setattr(decode, "DECODE_VERSION", decode.DECODE_VERSION + 1)
    pipeline.store(records, SIZE)
    assert len(decoded) == 10


def test_data_sets_share_their_images_and_new_ones_cost_only_themselves(
    tmp_path: Path, decoded: list[str]
) -> None:
    records = pictures(tmp_path / "set", 6)
    pipeline.store(records[:4], SIZE)
    assert len(decoded) == 4
    mixed = pipeline.store([*records[::-1], records[0]], SIZE)
    assert sorted(decoded[4:]) == [r.path for r in records[4:]]
    cache.clear()
    want = pipeline.store(records, SIZE, memory=0, disk=0).take(np.arange(6))
    np.testing.assert_array_equal(mixed.take(np.arange(7)), want[[5, 4, 3, 2, 1, 0, 0]])


def test_without_room_what_is_kept_is_read_and_the_rest_decoded(
    tmp_path: Path, decoded: list[str]
) -> None:
    records = pictures(tmp_path / "set", 5)
    pipeline.store(records[1:3], SIZE)
    decoded.clear()
    streamed = pipeline.store(records, SIZE, memory=0, disk=0)
    assert streamed.place == "streamed" and decoded == []
    got = streamed.take(np.array([4, 1, 0, 2]))
    assert sorted(decoded) == [records[0].path, records[4].path]
    held = pipeline.store(records, SIZE, memory=10**9, disk=0)
    assert held.place == "memory"
    np.testing.assert_array_equal(held.take(np.array([4, 1, 0, 2])), got)
    assert pipeline.store(records[1:3], SIZE, memory=0, disk=0).place == "disk"


def test_a_table_full_of_other_images_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    records = pictures(tmp_path / "set", 6)
    monkeypatch.setattr(cache, "MAX_BYTES", 4 * SIZE * SIZE * 3 + 4 * tables.Table.LINE)
    old = pipeline.store(records[:3], SIZE, memory=0)
    before = old.take(np.arange(3))
    new = pipeline.store(records[3:], SIZE, memory=0)
    assert (old.place, new.place) == ("disk", "disk")
    np.testing.assert_array_equal(old.take(np.arange(3)), before)  # mapped, though removed
    [entry] = cache.entries()
    rows, lines = entry.path / "rows.bin", entry.path / "digests.txt"
    assert rows.stat().st_size + lines.stat().st_size == 3 * (SIZE * SIZE * 3 + tables.Table.LINE)
    assert pipeline.store(records, SIZE, memory=0).place == "streamed"


def test_images_without_a_digest_are_not_kept(tmp_path: Path) -> None:
    smooth(30, 30).save(tmp_path / "a.png")
    assert pipeline.store([Record(str(tmp_path / "a.png"), "x")], SIZE).place == "memory"
    assert cache.entries() == []


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "file" / "cache"))
    records = pictures(tmp_path / "set", 2)
    assert pipeline.store(records, SIZE).place == "memory"
    assert pipeline.store(records, SIZE, memory=0).place == "streamed"


def test_a_disk_that_fills_up_is_done_without_and_left_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "_sync", full)
    assert pipeline.store(pictures(tmp_path / "set", 2), SIZE).place == "memory"
    assert sum(entry.bytes for entry in cache.entries()) == 0


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert machine.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.cores() == os.cpu_count()


def test_memory_is_what_the_container_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    free = machine.available_memory()
    assert free > 10**7
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory() > free / 2
    (tmp_path / "memory.max").write_text("5000\n")
    assert machine.available_memory() == 4000


@pytest.mark.parametrize("room", [{"memory": 0, "disk": 0}, {}])
def test_an_image_that_vanished_is_named(tmp_path: Path, room: dict[str, int]) -> None:
    records = pictures(tmp_path / "set", 3)
    Path(records[1].path).unlink()
    with pytest.raises(TLError, match=r"001\.png"):
        pipeline.store(records, SIZE, **room).take(np.arange(3))
    assert pipeline.store(records[::2], SIZE, **room).take(np.arange(2)).any()


def test_progress_counts_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "CHUNK", 2)
    seen: list[tuple[int, int]] = []
    pipeline.store(pictures(tmp_path / "set", 5), SIZE, on_progress=lambda *at: seen.append(at))
    assert seen == [(2, 5), (4, 5), (5, 5)]


WRITER = """
import sys
from tl_cli.engine import images as pipeline
from tl_cli.store import rows
from tl_cli.engine.images import image_store as storing
from tl_cli.data.manifest import Record
rows.SYNC, storing.CHUNK = 0, 2
def progress(done, total):
    if done == {stop}:
        print("half way", flush=True)
        sys.stdin.readline()
store = pipeline.store({records!r}, {size}, on_progress=progress)
print(store.take(range(len(store))).sum())
"""


def writer(records: list[Record], stop: int) -> subprocess.Popen[str]:
    program = WRITER.format(records=records, size=SIZE, stop=stop)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)


@pytest.mark.long
def test_a_killed_writer_is_gone_on_from(tmp_path: Path, decoded: list[str]) -> None:
    records = pictures(tmp_path / "set", 7)
    process = writer(records, stop=4)
    assert process.stdout and process.stdout.readline() == "half way\n"
    process.kill()
    process.communicate()
    with (pixel_cache.table(SIZE).folder / "rows.bin").open("ab") as file:
        file.write(b"half a row")
    store = pipeline.store(records, SIZE, memory=0)
    assert store.place == "disk" and sorted(decoded) == [r.path for r in records[4:]]
    got = store.take(np.arange(7))
    cache.clear()
    want = pipeline.store(records, SIZE, memory=0, disk=0)
    np.testing.assert_array_equal(got, want.take(np.arange(7)))


@pytest.mark.long
def test_two_processes_may_write_the_same_store(tmp_path: Path) -> None:
    records = pictures(tmp_path / "set", 6)
    first = writer(records, stop=2)
    assert first.stdout and first.stdout.readline() == "half way\n"
    sums: list[int] = []

    def second() -> None:
        sums.append(int(pipeline.store(records, SIZE).take(np.arange(6)).sum()))

    thread = threading.Thread(target=second)
    thread.start()
    out, _ = first.communicate("\n", timeout=60)
    thread.join(60)
    assert first.returncode == 0 and sums == [int(out)]
    assert len(pixel_cache.table(SIZE).index) == 6


# --- the batches ---------------------------------------------------------------------------------


def test_evaluation_keeps_the_order_and_drops_nothing() -> None:
    images, labels = numbered(11), np.arange(11) % 3
    data = pipeline.batches(images, labels, batch_size=4, training=False)
    got = list(data.as_numpy_iterator())
    assert int(data.cardinality()) == 3
    assert [len(x) for x, _ in got] == [4, 4, 3]
    x, y = (np.concatenate(parts) for parts in zip(*got, strict=True))
    assert x.dtype == np.float32 and y.dtype == np.int32
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, labels)
    assert len(list(data)) == 3  # and once more


def test_training_gives_every_row_once_an_epoch_in_a_new_order_each_time() -> None:
    images, labels = numbered(50), np.arange(50)
    data = pipeline.batches(images, labels, batch_size=16, training=True, seed=3)
    epochs = [list(data.skip(4 * e).take(4).as_numpy_iterator()) for e in range(3)]
    orders = [np.concatenate([y for _, y in epoch]).tolist() for epoch in epochs]
    assert all(sorted(order) == labels.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert all((x[:, 0, 0, 0] == y).all() for epoch in epochs for x, y in epoch)
    assert [len(y) for _, y in epochs[0]] == [13, 13, 12, 12]  # and no tiny rest


def test_a_later_epoch_can_be_the_first_one_asked_for() -> None:
    options: dict[str, Any] = {
        "batch_size": 8,
        "training": True,
        "augment": "light",
        "mirror": True,
    }
    whole = list(pipeline.batches(noise(16), **options).take(6).as_numpy_iterator())
    resumed = list(pipeline.batches(noise(16), epoch=2, **options).take(2).as_numpy_iterator())
    for (a,), (b,) in zip(whole[4:], resumed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.others_long(2)
@pytest.mark.parametrize("augment", LEVELS)
def test_the_same_seed_gives_the_same_batches_whatever_the_parallelism(augment: str) -> None:
    def run(threads: int) -> list[tuple[np.ndarray, np.ndarray]]:
        data = pipeline.batches(
            noise(20), np.arange(20) % 4, batch_size=6, training=True, seed=1, classes=4,
            one_hot=True, augment=augment, mirror=True,
        )  # fmt: skip
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        return list(data.with_options(options).take(8).as_numpy_iterator())

    one, many = run(1), run(8)
    for (x, y), (a, b) in zip(one, many, strict=True):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


def test_another_seed_gives_other_batches_and_other_changes() -> None:
    one, other = (pipeline.draw(20, seed, 0) for seed in (1, 2))
    assert not np.array_equal(one, other) and not np.array_equal(one, pipeline.draw(20, 1, 1))
    data = (pipeline.batches(numbered(20), batch_size=20, training=True, seed=s) for s in (1, 2))
    ((first,),), ((second,),) = (first_epoch(d, 20, 20) for d in data)
    assert not np.array_equal(first, second)


def test_an_image_is_changed_alike_whatever_the_batch_size() -> None:
    def run(batch_size: int) -> dict[int, np.ndarray]:
        data = pipeline.batches(
            noise(12), np.arange(12), batch_size=batch_size, training=True, augment="medium"
        )
        return {
            int(k): i
            for x, y in first_epoch(data, 12, batch_size)
            for i, k in zip(x, y, strict=True)
        }

    small, large = run(3), run(12)
    for k in range(12):
        np.testing.assert_allclose(small[k], large[k], atol=1e-3)


def test_indices_choose_rows_and_may_repeat_them() -> None:
    data = pipeline.batches(
        numbered(9), np.arange(9), batch_size=2, training=False, indices=np.array([8, 2, 2]),
        sample_weight=np.linspace(0, 1, 9),
    )  # fmt: skip
    x, y, weight = (np.concatenate(p) for p in zip(*data.as_numpy_iterator(), strict=True))
    assert x[:, 0, 0, 0].tolist() == y.tolist() == [8, 2, 2]
    np.testing.assert_allclose(weight, [1, 0.25, 0.25])


def test_repeated_rows_are_changed_differently() -> None:
    data = pipeline.batches(
        noise(1), batch_size=4, training=True, indices=np.zeros(4, int), augment="light"
    )
    ((x,),) = first_epoch(data, 4, 4)
    assert len(np.unique(x.reshape(4, -1), axis=0)) == 4


def test_memory_mapped_features_are_a_source(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    ((x, y),) = pipeline.batches(mapped, np.arange(10), batch_size=10, training=False)
    assert x.dtype == tf.float32 and x.shape == (10, 5)
    np.testing.assert_array_equal(x, features.astype(np.float32))
    np.testing.assert_array_equal(y, np.arange(10))


def test_fit_sees_every_row_once_an_epoch() -> None:
    seen: list[list[int]] = []

    class Spy(keras.layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            tf.numpy_function(lambda v: seen[-1].extend(v[:, 0].tolist()), [x], [])
            return x

    features = np.arange(10, dtype=np.float32)[:, None]
    model = keras.Sequential([keras.Input((1,)), Spy(), keras.layers.Dense(2)])
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(True))
    data = pipeline.batches(features, np.arange(10) % 2, batch_size=4, training=True)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append([]))
    model.fit(data, epochs=3, steps_per_epoch=3, callbacks=[begin], shuffle=False, verbose=0)
    assert [sorted(epoch) for epoch in seen] == [list(range(10))] * 3
    assert seen[0] != seen[1] != seen[2]


def test_an_image_that_vanishes_while_training_is_named(tmp_path: Path) -> None:
    records = pictures(tmp_path / "set", 2)
    store = pipeline.store(records, SIZE, memory=0, disk=0)
    Path(records[0].path).unlink()
    with pytest.raises(TLError, match=r"000\.png") as raised, pipeline.clear_errors():
        list(pipeline.batches(store, batch_size=2, training=False))
    assert "\n" not in raised.value.message and raised.value.hint


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError), pipeline.clear_errors():
        tf.ensure_shape(tf.zeros([2]), [3])


# --- augmentation --------------------------------------------------------------------------------


def apply(images: np.ndarray, augment: str, mirror: bool = False, seed: int = 0) -> np.ndarray:
    draws = pipeline.draw(len(images), seed, 0)
    return np.asarray(pipeline.augmented(tf.constant(images), tf.constant(draws), augment, mirror))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("augment", LEVELS)
@pytest.mark.parametrize("images", [noise(64), noise(64) // 255 * 255])
def test_every_level_stays_in_range(images: np.ndarray, augment: str, mirror: bool) -> None:
    changed = apply(images, augment, mirror)
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255
    assert np.isfinite(changed).all()
    assert np.array_equal(changed, images) == (augment == "none" and not mirror)


def test_mirroring_is_a_coin_for_each_image() -> None:
    images = noise(400, size=6)
    changed = apply(images, "none", mirror=True)
    kept = (changed == images).all((1, 2, 3))
    flipped = (changed == images[:, :, ::-1]).all((1, 2, 3))
    assert (kept ^ flipped).all()
    assert 160 < flipped.sum() < 240


def test_without_mirror_no_level_mirrors() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, SIZE).astype(np.uint8)[:, None], (50, SIZE, SIZE, 3))
    for augment in ("light", "medium"):
        changed = apply(ramp, augment)
        assert (changed[:, :, -4:].mean((1, 2, 3)) > changed[:, :, :4].mean((1, 2, 3))).all()


def test_light_crops_and_shifts_within_its_limits() -> None:
    across = np.linspace(0, 200, 100)
    ramp = np.broadcast_to(across[:, None].astype(np.uint8), (300, 100, 100, 3))
    middle = apply(ramp, "light")[:, 50, :, 0]
    inner = middle[:, 10:90]  # the mirrored border reaches in by at most the shift
    scale = (inner[:, -1] - inner[:, 0]) / (across[89] - across[10])
    low = np.sqrt(0.7 * 3 / 4)
    assert low - 0.02 < scale.min() < 0.8 and 0.97 < scale.max() < 1.02
    shifts = middle[:, 50] - across[50]
    assert shifts.min() < -10 and shifts.max() > 10


def test_the_border_is_mirrored() -> None:
    images = tf.constant(noise(2))
    want = tf.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]], "SYMMETRIC")
    np.testing.assert_array_equal(augmentation._bordered(images, 3), want)


def test_colours_are_scaled_as_tensorflow_scales_them() -> None:
    images = tf.cast(noise(1) // 4 + 96, tf.float32)
    u = {name: tf.constant([0.5]) for name in ("brightness", "contrast", "saturation")}
    np.testing.assert_allclose(augmentation._colour(images, u, 0.3), images, atol=1e-3)
    brighter = augmentation._colour(images, u | {"brightness": tf.constant([1.0])}, 0.3)
    np.testing.assert_allclose(brighter, images * 1.3, rtol=1e-5)
    grey = augmentation._colour(images, u | {"saturation": tf.constant([0.0])}, 1.0)
    np.testing.assert_allclose(
        grey, tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(images)), atol=0.1
    )
    flat = augmentation._colour(images, u | {"contrast": tf.constant([0.0])}, 1.0)
    np.testing.assert_allclose(flat, np.full_like(flat, np.mean(flat)), atol=1e-2)


@pytest.mark.parametrize("name", augmentation.OPERATIONS)
def test_an_operation_changes_more_at_full_strength_and_stays_in_range(name: str) -> None:
    images = tf.constant(
        np.stack([np.asarray(smooth(SIZE, SIZE, i), np.float32) for i in range(4)])
    )
    operation = augmentation.OPERATIONS[name]
    at = {s: np.asarray(operation(images, tf.fill([4], s))) for s in (0.0, 0.5, 1.0)}
    assert all(x.min() >= 0 and x.max() <= 255 for x in at.values())
    assert np.abs(at[1.0] - images).max() > 1
    assert operation(images[:0], tf.zeros([0])).shape == (0, SIZE, SIZE, 3)


def test_each_operation_is_chosen_for_its_share() -> None:
    which = tf.constant(pipeline.draw(700, 0, 0)[:, 8])
    images = tf.cast(noise(700, size=8), tf.float32)
    changed = augmentation._operate(images, which, tf.ones([700]))
    chosen = np.asarray(which * len(augmentation.OPERATIONS)).astype(int)
    for i, operation in enumerate(augmentation.OPERATIONS.values()):
        those = np.flatnonzero(chosen == i)
        assert 60 < len(those) < 140
        want = operation(tf.gather(images, those), tf.ones([len(those)]))
        np.testing.assert_allclose(tf.gather(changed, those), want, atol=1e-3)


def test_erasing_takes_a_rectangle_of_a_share_of_the_images() -> None:
    images = noise(400)
    u = augmentation._columns(tf.constant(pipeline.draw(400, 0, 0)))
    erased = np.asarray(augmentation._erase(tf.cast(images, tf.float32), u, 0.25))
    area = (erased != images).any(3).mean((1, 2))
    assert 70 < np.count_nonzero(area) < 130
    assert area.max() < 0.3 and area[area > 0].min() > 0.005


def mixed(augment: str = "strong") -> tuple[np.ndarray, ...]:
    images, labels = tf.cast(noise(200), tf.float32), tf.one_hot(np.arange(200) % 5, 5)
    draws = tf.constant(pipeline.draw(200, 0, 0))
    weights = tf.constant(np.linspace(1, 2, 200), tf.float32)
    return tuple(
        map(np.asarray, (images, *augmentation.mix(images, labels, weights, draws, augment)))
    )


def test_mixed_labels_sum_to_one_and_say_how_much_of_each_image_is_left() -> None:
    images, x, y, weight = mixed()
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-5)
    assert y.min() >= 0 and x.min() >= 0 and x.max() <= 255
    assert (weight >= 1).all() and (weight <= 2).all()
    other, own, theirs = images[::-1], np.arange(200) % 5, np.arange(200)[::-1] % 5
    cut = blended = 0
    for i in np.flatnonzero(own != theirs):
        share = y[i, theirs[i]]
        replaced = (x[i] == other[i]).all(2)
        if 0 < replaced.mean() < 1 and ((x[i] == images[i]).all(2) | replaced).all():
            cut += 1
            assert replaced.mean() == pytest.approx(share, abs=0.01)
        elif share > 0.001:
            blended += 1
            np.testing.assert_allclose(x[i], (1 - share) * images[i] + share * other[i], atol=0.1)
    assert 25 < cut < 60 and 25 < blended < 60


def test_levels_that_do_not_mix_leave_all_as_it_is() -> None:
    images, x, y, _ = mixed("medium")
    np.testing.assert_array_equal(images, x)
    np.testing.assert_array_equal(y, np.eye(5)[np.arange(200) % 5])


def test_mixing_needs_one_hot_labels() -> None:
    with pytest.raises(ValueError, match="one-hot"):
        pipeline.batches(noise(4), np.arange(4), batch_size=2, training=True, augment="strong")


def test_evaluation_is_never_augmented() -> None:
    data = pipeline.batches(noise(4), batch_size=4, training=False, augment="medium", mirror=True)
    ((x,),) = data
    np.testing.assert_array_equal(x, noise(4))


# --- balance and waiting -------------------------------------------------------------------------


def test_class_weights_make_the_classes_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 2 + [3])
    weights = pipeline.class_weights(labels, 4)
    assert weights[2] == 0
    assert weights[labels].mean() == pytest.approx(1)
    totals = np.bincount(labels, weights[labels])
    np.testing.assert_allclose(totals[[0, 1, 3]], 3)


def test_oversampling_makes_the_classes_equally_frequent_and_loses_no_image() -> None:
    labels = np.array([0] * 7 + [1] * 3 + [4])
    chosen = pipeline.oversample(labels)
    assert Counter(labels[chosen].tolist()) == {0: 7, 1: 7, 4: 7}
    assert set(chosen.tolist()) == set(range(11))
    times = Counter(chosen.tolist())
    assert {times[i] for i in (7, 8, 9)} == {2, 3}
    np.testing.assert_array_equal(chosen, pipeline.oversample(labels))


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize(("slow", "low", "high"), [("data", 0.6, 1.0), ("step", 0.0, 0.4)])
def test_the_share_of_waiting_is_measured(slow: str, low: float, high: float) -> None:
    class Step(keras.layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            pause(1.0)  # takes long to trace, which is no waiting for data
            tf.numpy_function(lambda _: pause(0.02 * (slow == "step")), [x], [])
            return x

    class Features(np.ndarray):
        def __getitem__(self, rows: Any) -> Any:
            with one_at_a_time:
                pause(0.05 * (slow == "data"))
            return np.asarray(self)[rows]

    one_at_a_time = threading.Lock()
    waiting = pipeline.Waiting()
    features = np.zeros((80, 1), np.float32).view(Features)
    data = pipeline.batches(features, np.zeros(80), batch_size=4, training=True)
    model = keras.Sequential([keras.Input((1,)), Step(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    data = waiting.watch(data)
    model.fit(data, epochs=2, steps_per_epoch=20, shuffle=False, verbose=0, callbacks=[waiting])
    assert low < waiting.share < high


def rows(data: tf.data.Dataset) -> Iterator[int]:
    yield from (int(v) for (x,) in data for v in x[:, 0])


def test_watched_batches_are_the_same_ones() -> None:
    features = np.arange(10, dtype=np.float32)[:, None]
    data = pipeline.batches(features, batch_size=3, training=False)
    assert list(rows(pipeline.Waiting().watch(data))) == list(rows(data))
