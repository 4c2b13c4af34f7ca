"""The demo, from a shell, as the README begins."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_demo_recognises_nearly_all_photographs(tmp_path):
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "demo", tmp_path / "things"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.rsplit("test (", 1)[1]
    accuracy = float(re.search(r"^accuracy\s+([\d.]+)", table, re.MULTILINE)[1])
    assert accuracy >= 0.9
