"""What this machine lends the process: cores and memory. Knows nothing of their use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes of RAM that this process can take now without swapping."""
    import psutil

    return int(min(psutil.virtual_memory().available, _allowed_memory(), _addressable()))


def _addressable() -> float:
    """The room that the shell's limit (``ulimit -v``) leaves."""
    try:
        import resource  # Unix alone has it
    except ImportError:
        return math.inf
    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return max(0, limit - int(psutil.Process().memory_info().vms))


def _allowed_memory() -> float:
    """The room that a container's limit leaves; without it the kernel would kill the run.

    psutil tells the memory of the machine, whatever the container may have of it.
    """
    try:
        limit, used = ((CGROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or "max"
        return math.inf
