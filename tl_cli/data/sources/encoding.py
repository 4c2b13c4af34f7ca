"""The text of a table or list, whatever program saved it. Knows nothing of rows and columns.

UTF-8, UTF-16 and UTF-32 by their byte order mark (Excel's "Unicode text"), else line by line UTF-8
or Windows-1252, which is what spreadsheets write in Western Europe and America.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from tl_cli.errors import TLError
from tl_cli.store import reading

LEGACY = "cp1252"
MARKS = (  # the longer first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SAVE = "save it as CSV in UTF-8"


def text_of(file: Path, escaped: str | None = None) -> str:
    """Return a text file's content. Raises TLError where it cannot be read or is no text.

    `escaped`: the beginning of files that hold names on disk byte for byte, which need not be valid
    UTF-8: they are read so (surrogateescape). "": this one, whatever it begins with.
    """
    return _decoded(file, escaped)[0]


def note_of(file: Path) -> str:
    """Return what is to be said of how a text file was read; "" where it is plain Unicode."""
    return _decoded(file, None)[1]


def _decoded(file: Path, escaped: str | None) -> tuple[str, str]:
    try:
        data = reading.bytes_of(file, reading.MOST_TABLE)
    except OSError as error:
        raise TLError(f"'{file}' cannot be read: {error.strerror}", "check it") from error
    try:
        text, note = _text(file, data, escaped)
    except UnicodeDecodeError as error:
        raise TLError(f"'{file.name}' is not a text file in UTF-8 ({error.reason})", SAVE) from (
            error
        )
    if "\0" in text:
        raise TLError(f"'{file.name}' is not a text file in UTF-8", SAVE)
    return text, note


def _text(file: Path, data: bytes, escaped: str | None) -> tuple[str, str]:
    for mark, name in MARKS:
        if data.startswith(mark) and name != "utf-8":
            return data[len(mark) :].decode(name), ""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        if escaped is not None and data.startswith(escaped.encode()):
            return data.decode("utf-8", "surrogateescape"), ""
        return _legacy(file, data)


def _legacy(file: Path, data: bytes) -> tuple[str, str]:
    """Decode line by line, since files are put together from others: UTF-8, else Windows-1252."""
    lines, note = [], ""
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            lines.append(line.decode())
            continue
        except UnicodeDecodeError:
            pass
        try:
            lines.append(line.decode(LEGACY))
        except UnicodeDecodeError as error:
            raise TLError(
                f"'{file.name}', line {number}: neither UTF-8 nor Windows-1252", SAVE
            ) from error
        note = note or (
            f"'{file.name}' is not in UTF-8: read as Windows-1252, line {number} for one:"
            f" {lines[-1].strip()!r}"
        )
    return "\n".join(lines), note
