"""Numbers that look drawn and depend on a seed and a key alone. Pure."""

from __future__ import annotations

import hashlib


def chance(seed: int, salt: str, key: str) -> float:
    """Return a number in [0, 1) that depends on nothing else."""
    text = f"{seed}:{salt}:{key}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2.0**64


def rank(seed: int, key: str) -> tuple[float, str]:
    """Return where a key stands in its class."""
    return chance(seed, "split", key), key
