"""Whether a backbone's weights lie on this machine. Looks at files; loads none."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

from tl_cli.cards.card import Card

HERE, TO_FETCH, TO_INSTALL, FROM_SCRATCH = "here", "to be fetched", "to be installed", "none"


def state(card: Card) -> str:
    """Return HERE, TO_FETCH, TO_INSTALL or FROM_SCRATCH."""
    if not card.pretrained_on:
        return FROM_SCRATCH
    if card.source == "package":
        return HERE if importlib.util.find_spec(card.place) else TO_INSTALL
    return HERE if any(_is_of(card, name) for name in _kept(str(keras_home()))) else TO_FETCH


def keras_home() -> Path:
    """Return where Keras keeps what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


@cache
def _kept(home: str) -> tuple[str, ...]:
    try:
        names = [path.name for path in (Path(home) / "models").iterdir()]
    except OSError:
        return ()
    return tuple(name for name in names if "notop" in name or "no_top" in name)


def _is_of(card: Card, file: str) -> bool:
    """Return whether a file of Keras' folder is the weights of this network without its top."""
    squeezed = file.lower().replace("-", "").replace("_", "")
    beginning = card.place.lower()
    alpha = dict(card.arguments).get("alpha", 1.0)
    if card.place == "MobileNet":
        size = {1.0: "10", 0.75: "75", 0.5: "50", 0.25: "25"}[alpha]
        return squeezed.startswith(f"mobilenet{size}224tfnotop")
    if card.place == "MobileNetV2":
        return squeezed.startswith("mobilenetv2weights") and f"_{float(alpha)}_224" in file
    if card.place.startswith("MobileNetV3"):
        kind = card.place.removeprefix("MobileNetV3").lower()
        mini = "minimalistic_" if dict(card.arguments).get("minimalistic") else ""
        return file.startswith(f"weights_mobilenet_v3_{kind}_{mini}224_{float(alpha)}_float")
    return squeezed.startswith((f"{beginning}weights", f"{beginning}notop"))
