"""Tables of rows: whatever stops a writer, what is kept is whole and belongs to its image."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from tl_cli.store import cache
from tl_cli.store import rows as tables
from tl_cli.store.rows import Table


class FullDisk(OSError):
    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "No space left on device")


WIDTH = 2
OLD, NEW = range(3), range(3, 9)
ERRORS = (KeyboardInterrupt, FullDisk)


def name(number: int) -> str:
    return f"{number:032x}"


def table(folder: Path) -> Table:
    return Table(folder / "t", WIDTH, "float32")


def fill(table: Table, numbers: range, step: int = 2) -> None:
    """Append the rows that the table lacks; that of image n is [n, n]."""
    with table.writing() as append:
        for start in range(0, len(numbers), step):
            some = [n for n in numbers[start : start + step] if name(n) not in table.index]
            append([name(n) for n in some], np.repeat([some], WIDTH, 0).T)


def check(table: Table) -> None:
    """Index and files agree, no digest is there twice, and each row is that of its image."""
    lines = (table.folder / "digests.txt").read_text().split()
    assert lines == list(table.index)
    assert len(set(lines)) == len(lines)
    assert (table.folder / "rows.bin").stat().st_size == len(lines) * table.row_bytes
    assert table.rows(lines)[:].tolist() == [[int(line, 16)] * WIDTH for line in lines]


@contextmanager
def raising(error: type[BaseException], at: int) -> Iterator[Callable[[], bool]]:
    """Raise before the line number `at` that is run in rows.py; give whether there was one."""
    left = at

    def trace(frame: FrameType, event: str, _: object) -> Callable | None:
        nonlocal left
        if frame.f_code.co_filename != tables.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise error()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: left <= 0
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("sync", [0.0, 5.0])
# interrupted between opening a file and entering its context, Python closes it later
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_writer_stopped_at_any_line_leaves_a_table_that_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], sync: float
) -> None:
    monkeypatch.setattr(tables, "SYNC", sync)
    raised, at = True, 0
    while raised:
        at += 1
        place = tmp_path / str(at)
        fill(table(place), OLD)
        stopped = table(place)
        with raising(error, at) as came:
            try:
                fill(stopped, NEW)
            except error:
                assert came()
            raised = came()
        fill(stopped, range(9))  # the same process goes on
        check(stopped)
        fill(table(place), range(12))  # and another one
        check(table(place))
        assert set(table(place).index) == {name(n) for n in range(12)}
    assert at > 50


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("function", ["_sync", "_write", "_shorten"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_call_that_fails_before_or_after_its_work_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException], function: str, late: bool, call: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(tables, "SYNC", 0.0)
    fill(table(tmp_path), OLD)
    done, calls = getattr(tables, function), iter(range(1, 1000))

    def failing(*arguments: object) -> None:
        now = next(calls) == call
        if late or not now:
            done(*arguments)
        if now:
            raise error()

    monkeypatch.setattr(tables, function, failing)
    stopped = table(tmp_path)
    with pytest.raises(error):
        fill(stopped, NEW)
    check(stopped)
    check(table(tmp_path))
    fill(table(tmp_path), NEW)
    check(table(tmp_path))
    assert set(table(tmp_path).index) == {name(n) for n in range(9)}


def test_a_part_of_a_row_is_cut_off_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tables._write
    one = table(tmp_path)

    def half(file: object, data: memoryview) -> None:
        write(file, data[: len(data) // 2])
        raise KeyboardInterrupt

    with one.writing() as append:
        append([name(0)], np.zeros((1, WIDTH)))
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(tables, "_write", half)
            append([name(1), name(2)], np.ones((2, WIDTH)))
        append([name(3)], np.full((1, WIDTH), 3))
    check(one)
    assert list(one.index) == [name(0), name(3)]


def test_a_digest_that_is_there_twice_ends_what_is_trusted(tmp_path: Path) -> None:
    fill(table(tmp_path), OLD)
    with (tmp_path / "t" / "digests.txt").open("a") as file:
        file.writelines(f"{name(n)}\n" for n in (3, 1, 4))
    with (tmp_path / "t" / "rows.bin").open("ab") as file:
        file.write(np.repeat([[3, 1, 4]], WIDTH, 0).T.astype("float32").tobytes())
    assert list(table(tmp_path).index) == [name(n) for n in range(4)]
    fill(table(tmp_path), range(6))
    check(table(tmp_path))


@pytest.mark.parametrize("damage", [b"x" * 5, b"\xff" * 33, b" " * 32 + b"\n", b"\n" * 33])
def test_a_damaged_digest_ends_what_is_trusted(tmp_path: Path, damage: bytes) -> None:
    fill(table(tmp_path), OLD)
    with (tmp_path / "t" / "digests.txt").open("ab") as file:
        file.write(damage)
    with (tmp_path / "t" / "rows.bin").open("ab") as file:
        file.write(bytes(2 * table(tmp_path).row_bytes))
    assert list(table(tmp_path).index) == [name(n) for n in OLD]
    fill(table(tmp_path), range(6))
    check(table(tmp_path))


@pytest.mark.parametrize("left", [0, 9, 16])
def test_digests_without_their_row_are_not_believed(tmp_path: Path, left: int) -> None:
    fill(table(tmp_path), OLD)
    with (tmp_path / "t" / "rows.bin").open("ab") as file:
        file.truncate(left)
    assert len(table(tmp_path).index) == left // table(tmp_path).row_bytes
    fill(table(tmp_path), range(6))
    check(table(tmp_path))


def test_rows_without_their_digest_are_cut_off(tmp_path):
    table = Table(tmp_path / "t", 2, "float16")
    with table.writing() as append:
        append(["a" * 32], np.ones((1, 2)))
    with (tmp_path / "t" / "rows.bin").open("ab") as file:
        file.write(b"\x00" * 7)  # killed between rows and digests
    with (tmp_path / "t" / "digests.txt").open("ab") as file:
        file.write(b"b" * 10)  # killed inside a digest
    again = Table(tmp_path / "t", 2, "float16")
    assert list(again.index) == ["a" * 32]
    with again.writing() as append:
        append(["c" * 32], np.full((1, 2), 5.0))
    assert again.rows(["c" * 32, "a" * 32])[:].tolist() == [[5, 5], [1, 1]]


def test_a_table_begun_anew_by_another_process_is_not_read_by_the_old_index(tmp_path):
    table = Table(tmp_path / "t", 1, "float16")
    with table.writing() as append:
        append(["a" * 32], np.ones((1, 1)))
    assert cache.remove(tmp_path / "t")
    with Table(tmp_path / "t", 1, "float16").writing() as append:
        append(["b" * 32], np.zeros((1, 1)))
    with pytest.raises(FileNotFoundError):
        table.rows(["a" * 32])
    table.refresh()
    assert table.rows(["b" * 32])[:] == 0
