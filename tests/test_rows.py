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

from tl_cli.store import locks, notices
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
    lines = (table.folder / "digests.txt").read_text().split()[::2]
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


@pytest.mark.others_long(2)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("sync", [5.0, 0.0])
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


def test_of_two_rows_of_an_image_the_later_counts(tmp_path: Path) -> None:
    fill(table(tmp_path), OLD)
    one = table(tmp_path)
    with one.writing() as append:
        append([name(1), name(7)], np.array([[5, 5], [7, 7]]))
    assert table(tmp_path).rows([name(1), name(7), name(2)])[:].tolist() == [[5, 5], [7, 7], [2, 2]]


DAMAGED_LINES = [b"x" * Table.LINE, b"\xff" * Table.LINE, b" " * 41 + b"\n", b"\n" * Table.LINE]


@pytest.mark.parametrize("line", [*DAMAGED_LINES, Table.DEAD])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_damaged_line_costs_its_own_row_alone(tmp_path: Path, at: int, line: bytes) -> None:
    fill(table(tmp_path), OLD)
    with (tmp_path / "t" / "digests.txt").open("r+b") as file:
        file.seek(at * Table.LINE)
        file.write(line)
    assert list(table(tmp_path).index) == [name(n) for n in OLD if n != at]
    fill(table(tmp_path), range(6))
    assert set(table(tmp_path).index) == {name(n) for n in range(6)}
    right(table(tmp_path), range(6))


def right(table: Table, numbers: range) -> None:
    """Each image has its own row."""
    rows = table.rows([name(n) for n in numbers])
    assert rows[:].tolist() == [[n] * WIDTH for n in numbers]


def damaged(at: int) -> Callable[[Path], None]:
    """Flip one bit of rows.bin."""

    def flip(folder: Path) -> None:
        data = bytearray((folder / "rows.bin").read_bytes())
        data[at] ^= 1
        (folder / "rows.bin").write_bytes(data)

    return flip


def zeros(folder: Path) -> None:
    size = (folder / "rows.bin").stat().st_size
    (folder / "rows.bin").write_bytes(bytes(size))


def exchanged(folder: Path) -> None:
    data = (folder / "rows.bin").read_bytes()
    (folder / "rows.bin").write_bytes(data[8:16] + data[:8] + data[16:])


def renamed(folder: Path) -> None:
    text = (folder / "digests.txt").read_bytes()
    (folder / "digests.txt").write_bytes(text.replace(name(2).encode(), name(5).encode()))


def cut(folder: Path) -> None:
    with (folder / "rows.bin").open("r+b") as file:
        file.truncate(17)


DAMAGE = {"first": damaged(0), "last": damaged(23), "zeros": zeros, "swap": exchanged,
          "renamed": renamed, "cut": cut}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_not_what_was_written_is_never_read(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    fill(table(tmp_path), OLD)
    damage(tmp_path / "t")
    said: list[str] = []
    with notices.listening(said.append):
        found = table(tmp_path)
        found.check([name(n) for n in range(6)])
        kept = [n for n in range(6) if name(n) in found.index]
        assert set(kept) < set(OLD)
        right(found, kept)
        again = table(tmp_path)
        again.check([name(n) for n in range(6)])  # nobody stumbles over it again
    assert len(said) == (damage is not cut)
    assert all("damaged" in text and "computed anew" in text for text in said)
    fill(table(tmp_path), range(6))
    right(table(tmp_path), range(6))


def test_a_damaged_row_that_cannot_be_marked_is_not_read_either(tmp_path: Path) -> None:
    fill(table(tmp_path), OLD)
    damaged(0)(tmp_path / "t")
    with locks.held(tmp_path / "t"):  # somebody is writing
        found = table(tmp_path)
        with pytest.raises(OSError, match="lost 1 of 3 rows"):
            found.rows([name(n) for n in OLD])
        found.check([name(n) for n in OLD])
        assert set(found.index) == {name(1), name(2)}
    assert set(table(tmp_path).index) == {name(n) for n in OLD}
    with pytest.raises(OSError, match="lost"):
        table(tmp_path).rows([name(0)])


def test_many_rows_are_checked_together(tmp_path: Path) -> None:
    fill(table(tmp_path), range(1000), step=500)
    damaged(8 * 700)(tmp_path / "t")
    found = table(tmp_path)
    found.check([name(n) for n in range(1000)])
    assert {name(n) for n in range(1000)} - set(found.index) == {name(700)}


@pytest.mark.parametrize("left", [0, 9, 16])
def test_lines_without_their_row_are_not_believed(tmp_path: Path, left: int) -> None:
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


@pytest.mark.long
def test_a_table_begun_anew_by_another_process_is_not_read_by_the_old_index(tmp_path):
    table = Table(tmp_path / "t", 1, "float16")
    with table.writing() as append:
        append(["a" * 32], np.ones((1, 1)))
    (tmp_path / "t").rename(tmp_path / "gone")
    with Table(tmp_path / "t", 1, "float16").writing() as append:
        append(["b" * 32], np.zeros((1, 1)))
    with pytest.raises(OSError, match="lost"):
        table.rows(["a" * 32])
    assert table.rows(["b" * 32])[:] == 0
