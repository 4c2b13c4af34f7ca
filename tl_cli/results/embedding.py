"""What `tl embed` came to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tl_cli.data.manifest import BadFile


@dataclass(frozen=True)
class Embedding:
    """Which features of which images were written, and where."""

    source: str  # a run directory, or the name of a backbone
    output: str
    paths: str | None  # the table of paths and digests, where it is a file of its own
    images: int
    width: int
    image_size: int  # pixels
    cached: int  # images that had passed the network before
    bad: Sequence[BadFile]
    left_out: Mapping[str, int]  # files that were not taken for images, by ending
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "source": self.source,
            "output": self.output,
            "paths": self.paths,
            "images": self.images,
            "width": self.width,
            "image_size": self.image_size,
            "cached": self.cached,
            "failed": [{"path": each.path, "reason": each.reason} for each in self.bad],
            "left_out": dict(self.left_out),
            "seconds": self.seconds,
        }
