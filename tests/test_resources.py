"""What a run has taken: the peak of memory, on a system that says it and on others."""

from __future__ import annotations

import mmap
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tl_cli.engine import resources


def test_the_peak_is_that_since_it_was_reset() -> None:
    # a mapping of its own is given back at once, whatever the allocator does in this process
    large = mmap.mmap(-1, 100_000_000)
    large.write(b"1" * len(large))
    assert resources.peak_memory() > len(large)
    resources.reset_peak_memory()
    with_it = resources.peak_memory()
    large.close()
    resources.reset_peak_memory()
    assert 0 < resources.peak_memory() < with_it - 50_000_000


def test_another_system_says_the_peak_since_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = resources.peak_memory()
    monkeypatch.setattr(resources, "PROCESS", tmp_path)
    assert peak * 0.9 < resources.peak_memory() < 1e12
    memory = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=123_456))
    monkeypatch.setattr(psutil, "Process", lambda: memory)
    assert resources.peak_memory() == 123_456
