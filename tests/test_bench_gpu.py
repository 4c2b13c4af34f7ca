"""scripts/bench_gpu.py runs, without a GPU too, and says on what it ran."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench_gpu.py"


@pytest.mark.slow
def test_it_runs_in_one_call_and_says_where(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, str(SCRIPT), "--images", "40", "--size", "32", "--batch", "8"]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["precision"] for row in rows] == ["float32", "mixed_float16", "mixed_bfloat16"]
    assert len({row["device"] for row in rows}) == 1 and rows[0]["device"] in done.stdout
    assert all(row["forward"] > 0 and row["tune"] > 0 for row in rows)
    assert rows[0]["pass"] > 0 and rows[0]["off"] == 0 and 0 < rows[2]["off"] < 1
    if "want of a GPU" in rows[0]["device"]:
        assert "measures nothing" in done.stdout
