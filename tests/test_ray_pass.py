"""The pass of all images by a Ray cluster: a real one of two workers on this machine, killed -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runs import check_equal
from test_cli import COLOURS, REAL, paint, tl
from tl_cli import config, engines
from tl_cli.data.manifest import Record
from tl_cli.engine import ray_pass
from tl_cli.engine.features.shards import Pass
from tl_cli.errors import TLError
from tl_cli.store import shards

OPTIONS = (*REAL, "--effort", "quick", "--test", "0.2", "--json")
PATIENCE = 1800.0  # seconds, on a machine that has other things to do


@pytest.mark.parametrize("name", ["ray", "ray:auto", "ray:10.0.0.1:6379"])
def test_engines(name: str) -> None:
    assert config.load(sets=["data=x", f"engine={name}"]).engine == name
    assert engines.address_of(name) == (name.partition(":")[2] or None)


@pytest.mark.parametrize("name", ["spark", "ray:", "ray :x", "Ray"])
def test_no_engines(name: str) -> None:
    with pytest.raises(TLError, match="must be ray, or ray:ADDRESS"):
        config.load(sets=["data=x", f"engine={name}"])


@pytest.mark.parametrize("other", ["from_scratch=true", "cache=false"])
def test_an_engine_makes_features_that_are_kept(other: str) -> None:
    with pytest.raises(TLError, match="leave one out"):
        config.load(sets=["data=x", "engine=ray", other])


def test_without_ray_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engines.importlib.util.find_spec
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda name: None if name == "ray" else whole(name)
    )
    for command in (
        ("train", tmp_path, "--engine", "ray"),
        ("embed", "efficientnet_lite0", tmp_path, "--engine", "ray", "--output", "x.npy"),
    ):
        done = tl(*command)
        assert done.exit_code == 1 and "pip install 'tl-cli[ray]'" in done.stderr


def test_a_share_and_a_cluster_are_not_asked_for_together(tmp_path: Path) -> None:
    done = tl("embed", "efficientnet_lite0", tmp_path, "--engine", "ray", "--shard", "1/2")
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("images", "count"), [(1, 1), (33, 2), (5_000, 8), (100_000, 48), (10_000_000, 1_000)]
)
def test_how_many_shards_there_are_is_of_the_images_alone(images: int, count: int) -> None:
    records = [Record("x", "a")] * images
    assert ray_pass.count([Pass(records[:1], []), Pass(records, [])]) == count


class SlowRay:
    """A Ray that comes up at the last try, or never."""

    def __init__(self, fails: int) -> None:
        self.fails, self.tried, self.ended = fails, 0, 0

    def init(self, **options: object) -> None:
        self.tried += 1
        if self.tried <= self.fails:
            raise RuntimeError("The current node timed out during startup.")

    def shutdown(self) -> None:
        self.ended += 1


@pytest.mark.parametrize(
    ("address", "fails", "tried"),
    [("local", 2, 3), ("local", 9, 3), ("10.0.0.1:6379", 9, 1)],
    ids=["in the end", "never", "not ours"],
)
def test_a_cluster_of_ours_that_did_not_come_up_is_begun_again(
    address: str, fails: int, tried: int
) -> None:
    ray = SlowRay(fails)
    if fails < tried:
        ray_pass._begin(ray, {"address": address})
    else:
        with pytest.raises(RuntimeError):
            ray_pass._begin(ray, {"address": address})
    assert ray.tried == tried and ray.ended == min(fails, tried)


# == on a real cluster =============================================================================


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ray") / "photos"
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / name, seed, 120, colour)
    return root


@pytest.fixture(scope="module")
def alone(photos: Path) -> Path:
    """A run by one process."""
    run = photos.parent / "alone"
    with begun(photos, run, photos.parent / "own cache") as process:
        assert process.wait(PATIENCE) == 0
    return run


@contextmanager
def begun(data: Path, run: Path, cache: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Begin a training in a process of its own, which is gone afterwards."""
    command = [sys.executable, "-m", "tl_cli", "train", str(data), *OPTIONS, *options]
    environment = {**os.environ, "TL_CACHE": str(cache)}
    with (run.parent / f"{run.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--output", str(run)], env=environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def worker_at_work(cache: Path, process: subprocess.Popen[bytes], but: set[int]) -> int:
    """Wait for a worker that writes a shard; return its process id."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        for signed in cache.glob("shards/*/writer.json"):
            try:
                pid = int(json.loads(signed.read_text())["pid"])
            except (OSError, ValueError):
                continue
            if pid not in but and pid != process.pid:
                return pid
        time.sleep(0.02)
    raise AssertionError("no worker was seen at work")


def done(cache: Path) -> set[str]:
    return {marker.parent.name for marker in cache.glob(f"shards/*/{shards.MARKER}")}


@pytest.mark.slow
def test_two_workers_two_of_them_killed_are_one_process(photos: Path, alone: Path) -> None:
    run, cache = photos.parent / "killed", photos.parent / "shared cache"
    with begun(photos, run, cache, "--engine", "ray") as process:
        killed: set[int] = set()
        for _ in range(2):
            pid = worker_at_work(cache, process, killed)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        assert process.wait(PATIENCE) == 0, (photos.parent / "killed.log").read_text()
    check_equal(alone, run)
    assert len(done(cache)) >= 2 * 4  # two tables; of few batches some shards are empty
    assert not list(cache.glob("features/*/rows.bin"))  # this process let none pass
    # and nothing is left to do, on whatever engine
    before = {path: path.stat().st_mtime_ns for path in cache.glob("shards/*/rows.bin")}
    with begun(photos, photos.parent / "again", cache, "--engine", "ray") as process:
        assert process.wait(PATIENCE) == 0
    assert "Ray cluster" not in (photos.parent / "again.log").read_text()
    assert before == {path: path.stat().st_mtime_ns for path in cache.glob("shards/*/rows.bin")}


@pytest.mark.slow
def test_a_cluster_that_went_down_with_its_head_is_begun_again(photos: Path, alone: Path) -> None:
    run, cache = photos.parent / "down", photos.parent / "cache of the dead"
    with begun(photos, run, cache, "--engine", "ray") as process:
        until = time.monotonic() + PATIENCE
        while len(done(cache)) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)  # the driver, and with it the head and its workers
        process.wait()
    kept = {name: (cache / "shards" / name / "rows.bin").stat().st_ino for name in done(cache)}
    assert kept
    with begun(photos, run, cache, "--engine", "ray", "--overwrite") as process:
        assert process.wait(PATIENCE) == 0, (photos.parent / "down.log").read_text()
    check_equal(alone, run)
    for name, inode in kept.items():
        assert (cache / "shards" / name / "rows.bin").stat().st_ino == inode


@pytest.mark.slow
def test_what_a_worker_raises_is_one_sentence(photos: Path) -> None:
    """An image that is gone by the time when its turn comes."""
    code = (
        "from tl_cli.engine import ray_pass\n"
        "from tl_cli.engine.shard import EmbeddingWork\n"
        "from tl_cli.data.manifest import Record\n"
        "from tl_cli import catalog\n"
        "from tl_cli.errors import TLError\n"
        "work = EmbeddingWork(catalog.get('efficientnet_lite0'), 32,"
        " [Record('/gone.jpg', 'a', digest='0' * 32, width=9, height=9)])\n"
        "try: ray_pass.run('ray', work, *work.opened(), print)\n"
        "except TLError as error: print('TLError:', error.message, '/', error.hint)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE
    )
    assert "TLError: " in ended.stdout and "/gone.jpg" in ended.stdout, ended.stderr
    assert "run the command again" in ended.stdout
