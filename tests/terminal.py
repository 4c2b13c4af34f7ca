"""A program in a pseudo-terminal, and what stands on it in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTROL = re.compile(r"\x1b\[(\d*)([AK])|\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\|(\r\n)|([\r\n])|(.)")


def on_terminal(program: str, columns: int = 80, **environment: str) -> str:
    """Run a program with a terminal for its output; return all that it wrote there."""
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=below, stderr=below, stdin=below,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    os.close(below)
    parts = []
    while True:
        try:
            part = os.read(above, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(above)
    assert process.wait(60) == 0, b"".join(parts)
    return b"".join(parts).decode()


def seen(written: str) -> list[str]:
    """Return the lines that stand on the terminal in the end, as far as we draw over any."""
    lines, row, column = [""], 0, 0
    for count, command, newline, turn, character in CONTROL.findall(written):
        if command == "A":
            row -= int(count or 1)
        elif command == "K":
            lines[row] = ""
        elif newline or turn == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif turn:
            column = 0
        elif character:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + character + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]
