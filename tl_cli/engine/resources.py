"""What a run spends: seconds by stage, and memory at its peak. Knows nothing of what is done."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import tensorflow as tf

from tl_cli.errors import TLError
from tl_cli.humanize import size
from tl_cli.machine import available_memory

PROCESS = Path("/proc/self")
USED = 0.6  # share of the free memory that activations may take; the rest are copies and buffers
SMALLER = "a smaller --image-size takes less, or close other programs"
EXHAUSTED = (MemoryError, tf.errors.ResourceExhaustedError)  # how the end of the memory is told


@dataclass
class Clock:
    """Seconds by stage. `on_begin` is told the name of each when it begins."""

    on_begin: Callable[[str], None] = lambda _: None
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.on_begin(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def all(self) -> dict[str, float]:
        total = time.perf_counter() - self.started
        return {name: round(s, 3) for name, s in {**self.seconds, "total": total}.items()}


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn the end of the memory into one sentence: raises TLError."""
    there = available_memory()
    try:
        yield
    except EXHAUSTED as error:
        raise TLError(
            f"the memory was not enough: {size(there)} could be taken", SMALLER
        ) from error


def images_at_once(activations: int, images: int) -> int:
    """Return with how many images, at most `images`, a training step fits into the free memory.

    `activations`: bytes of one image's. Asked before, since the system ends a process that takes
    more, without a word. On a GPU it does not, and its memory is another: all of them.
    """
    if _gpus() or activations * images <= available_memory():
        return images
    return min(images, int(USED * available_memory() / activations))


def reset_peak_memory() -> None:
    """Begin anew to look for the peak, where the system allows it."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")
    for gpu in _gpus():
        tf.config.experimental.reset_memory_stats(gpu)


def peak_memory() -> int:
    """Return the bytes taken at the peak: of the GPUs where there are any, else of the process."""
    gpus = _gpus()
    if gpus:
        return sum(int(tf.config.experimental.get_memory_info(gpu)["peak"]) for gpu in gpus)
    with contextlib.suppress(OSError, StopIteration):
        lines = (PROCESS / "status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)  # Windows
    return int(peak) if peak else _most_ever()


def _most_ever() -> int:
    import resource  # Unix alone has it

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _gpus() -> list[str]:
    return [
        gpu.name.removeprefix("/physical_device:") for gpu in tf.config.list_physical_devices("GPU")
    ]
