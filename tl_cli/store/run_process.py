"""Which process writes a run, and whether it still lives. Knows nothing of files."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

# seconds: a process of this number begun at another time is another process
TOLERANCE = 2.0


def describe() -> dict[str, Any]:
    """Return what tells this process from all others: host, pid, seconds (Unix) of its start."""
    import psutil

    started = psutil.Process().create_time()
    return {"host": platform.node(), "pid": os.getpid(), "started": round(started, 2)}


def exists(pid: int) -> bool:
    """Tell whether there is any process of this number here."""
    import psutil

    return bool(psutil.pid_exists(pid))


def is_own(described: Mapping[str, Any]) -> bool:
    """Tell whether `describe` was called in this process."""
    return described.get("pid") == os.getpid() and lives(described)


def lives(described: Mapping[str, Any]) -> bool:
    """Tell whether that process is there. Of another host it cannot be known, so it is believed."""
    import psutil

    if described.get("host", platform.node()) != platform.node():
        return True
    try:
        process = psutil.Process(int(described["pid"]))
        same = abs(process.create_time() - float(described["started"])) < TOLERANCE
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return False
