"""Whether Hugging Face can be reached, and holds what an address names. Knows no card."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies

ADDRESS = "hf://"
REFUSALS = ("RepositoryNotFoundError", "GatedRepoError")  # errors of huggingface_hub, by name


@contextlib.contextmanager
def reached(place: str) -> Iterator[None]:
    """Look up what lies at an address before KerasHub does, to which every error is a lacking file.

    Where Hugging Face cannot be reached, what was fetched before is used at once, without the
    minute of waiting for it. Raises huggingface_hub's errors; does nothing for any other place.
    """
    if not place.startswith(ADDRESS):
        yield
        return
    import huggingface_hub
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or _cut_off(constants.ENDPOINT)
    try:
        huggingface_hub.hf_hub_download(place.removeprefix(ADDRESS), "config.json")
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def _cut_off(address: str) -> bool:
    """Return whether nobody here knows the host; a proxy may know more hosts than this machine."""
    if getproxies():
        return False
    try:
        socket.getaddrinfo(urlsplit(address).hostname, 443)
    except OSError:
        return True
    return False
