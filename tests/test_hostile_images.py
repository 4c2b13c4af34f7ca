"""Images that are bombs, pipes or something else: a reason each, at once and in little memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

import hostile_images
from conftest import picture
from hostile_images import BAD, GOOD
from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.scan import scan
from tl_cli.errors import TLError

QUICKLY = 20.0  # seconds, of all of them together
GROWTH = 700_000_000  # bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set of two classes: the images, and plain ones."""
    root = tmp_path_factory.mktemp("data")
    hostile_images.write(root / "odd")
    (root / "plain").mkdir()
    for seed in range(4):
        picture(seed).save(root / "plain" / f"{seed}.png")
    return root


def check(found: Manifest) -> None:
    """Fail where an image is not taken, or something else is, or a reason is no reason."""
    assert {Path(r.path).name for r in found.records if r.label == "odd"} == set(GOOD)
    reasons = {Path(bad.path).name: bad.reason for bad in found.bad}
    assert all(0 < len(reason) < 200 and "\n" not in reason for reason in reasons.values())


def test_a_folder_of_them_is_scanned(folder):
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = scan(str(folder))
    assert time.perf_counter() - started < QUICKLY
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < GROWTH
    check(found)
    assert {Path(bad.path).name for bad in found.bad} == set(BAD) - {"folder.png"}


def test_a_table_that_names_them_is_scanned(folder, tmp_path):
    names = [f"{path},{path.parent.name}" for path in sorted(folder.glob("*/*"))]
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n" + "\n".join([*names, "/dev/zero,odd", "/dev/stdin,odd"]) + "\n")
    started = time.perf_counter()
    found = scan(str(table))
    assert time.perf_counter() - started < QUICKLY
    check(found)
    assert {Path(bad.path).name for bad in found.bad} == {*BAD, "zero", "stdin"}


@pytest.mark.parametrize("name", BAD)
def test_what_is_none_is_one_sentence_wherever_it_is_opened(folder, name):
    started = time.perf_counter()
    with pytest.raises(TLError, match=name):
        open_rgb(Record(str(folder / "odd" / name), "odd"))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("name", GOOD)
def test_what_is_odd_is_opened(folder, name):
    assert open_rgb(Record(str(folder / "odd" / name), "odd"), 32).mode == "RGB"


def test_a_socket_is_not_talked_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hostile_images.listen(tmp_path / "socket.png"), pytest.raises(TLError, match="socket"):
        open_rgb(Record(str(tmp_path / "socket.png"), "odd"))
