"""Nothing is lost to printing: other encodings, closed pipes, full disks, an early Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tl_cli.console import streams

ROOT = Path(__file__).parents[1]
MADE = """
import sys
from tl_cli.console import streams
streams.install()
from tl_cli.console.screen import Screen, bare_table
from tl_cli.errors import TLError
screen = Screen()
screen.out.print("█ 0.5 ± 0.1 …", highlight=False)
screen.matrix([("café 猫 \\udce9", ["━"])], ["Größe"])
screen.error(TLError("no 'café \\udce9'", "→ 猫"))
print("猫")
"""
ENDLESS = """
import sys
from tl_cli.console import streams
streams.install()
for i in range(200_000):
    print("a line", flush=i % 1000 == 0)
print("went on to its end", streams.unread(sys.stdout), file=sys.stderr)
why = streams.lost_output()
sys.exit(f"not written: {why}" if why else 0)
"""
INTERRUPTED = """
import os, runpy, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
moment = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background have it ignored
sys.meta_path.insert(0, Interrupting())
runpy.run_module("tl_cli", run_name="__main__")
"""


def python(program, folder, **environment):
    """Run a program, from a file: not every locale has characters for it on a command line."""
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, file], capture_output=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "utf-8"])
def test_what_a_terminal_has_no_character_for_is_replaced(encoding, tmp_path):
    done = python(MADE, tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode(encoding)
    said = done.stdout.decode(encoding)
    assert "\\udce9" in said  # a byte that is no text is shown escaped
    assert ("█" if encoding in ("cp437", "utf-8") else "#") in said
    assert ("猫" if encoding == "utf-8" else "?") in said
    if encoding == "ascii":
        assert "# 0.5 +- 0.1 ..." in said


def test_the_bare_locale_is_no_matter(tmp_path):
    done = python(MADE, tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr


def test_what_is_computed_goes_on_where_nobody_reads():
    reading = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reading.stdout.readline()
    reading.stdout.close()
    with reading.stderr as said:
        assert said.read() == b"went on to its end True\n"
    assert reading.wait(60) == 0


def test_a_full_disk_is_told_at_the_end():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", ENDLESS], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"went on to its end False\nnot written: No space left on device\n"


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_streams_may_be_closed(closed, tmp_path):
    program = f"import os, sys\nfor n in {closed}: os.close(n)\n" + MADE
    assert python(program, tmp_path).returncode == 0


def test_a_stream_is_installed_once():
    assert streams._forgiving(again := streams.Stream(sys.stdout)) is again


@pytest.mark.parametrize(
    "module", ["typer", "tl_cli.cli.train", "tl_cli.console.streams", "tl_cli.console.backbones"]
)
def test_an_early_interrupt_shows_no_traceback(module):
    """Ctrl-C when a module is about to be loaded: a moment, where a time is another under load."""
    environment = {"PYTHONPATH": str(ROOT), **os.environ}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, "backbones"],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode in (130, -signal.SIGINT)
