"""Which training images are most alike to an image. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.results.explanations import Neighbour


@dataclass(frozen=True)
class Match(Neighbour):
    """A training image that was found, and whether its file is still there."""

    gone: bool = False


@dataclass(frozen=True)
class SearchResult:
    """One query image: what was found, the most similar first; or why it could not be opened."""

    path: str
    matches: tuple[Match, ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "path": self.path,
            "matches": [
                asdict(each) | {"similarity": round(each.similarity, 6)} for each in self.matches
            ],
            "error": self.error or None,
        }
