"""What a plan does and why, without a term that needs a glossary. Pure.

Goes by a plan's JSON. The full reasons, with their numbers, are the plan's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tl_cli.humanize import percent
from tl_cli.plan.dataset_stats import similarity_kind, size_kind
from tl_cli.plan.evidence import Evidence
from tl_cli.plan.policies import WORTH, share_by_evidence

SEVERAL = "several labels"  # the policy where the labels, and not the images, decide
ALONE = "Where images have several labels, the head alone is trained so far."
NUMBER = "a number"
NUMBER_ALONE = "Where a number is predicted, the head alone is trained so far."
SIDE_BY_SIDE = "side by side"
BESIDE_ALONE = "Networks that stand side by side are not trained further: the head alone is."
PHOTOGRAPHS = "the photographs that the network was trained on"
LIKE = {
    "high": f"They look much like {PHOTOGRAPHS}.",
    "medium": f"They look only partly like {PHOTOGRAPHS}.",
    "low": f"They look unlike {PHOTOGRAPHS}.",
}
AMOUNT = {"tiny": "few", "medium": "a fair number", "big": "many"}


def plain_decision(plan: Mapping[str, Any]) -> str:
    """Return what will be done, in a clause."""
    name, epochs = plan["backbone"], plan["epochs"]
    passes = "one pass" if epochs == 1 else f"{epochs} passes"
    over = f"in {passes} over your images"
    if plan["strategy"] == "head":
        what = "to tell your numbers" if plan["policy"] == NUMBER else "your classes on it"
        return f"keep all that the pretrained network ({name}) knows, and learn {what}"
    if plan["strategy"] == "full":
        return f"train all of the pretrained network ({name}) further, {over}"
    if plan["strategy"] == "scratch":
        return f"train a network ({name}) from nothing, {over}"
    ratio = plan["freeze_ratio"]
    part = "the first half" if 0.45 <= ratio <= 0.55 else f"the first {percent(ratio)}"
    return f"keep {part} of the pretrained network ({name}) and train the rest further, {over}"


def plain_reasons(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why, in at most three sentences."""
    if plan["strategy"] == "scratch":
        return (_size(plan), "You asked for a network that starts from nothing.")
    if plan["policy"] == SEVERAL:
        return (_size(plan), ALONE)
    if plan["policy"] == NUMBER:
        size = size_kind(plan["effective_size"])
        return (f"{plan['size']:,} images to learn from are {AMOUNT[size]}.", NUMBER_ALONE)
    if plan["policy"] == SIDE_BY_SIDE:
        return (_size(plan), BESIDE_ALONE)
    if plan["policy"] == "given":
        likeness = () if plan["similarity_source"] == "assumed" else (_likeness(plan),)
        return (_size(plan), *likeness, "How much of the network is trained is your choice.")
    return (_size(plan), _likeness(plan), _choice(plan))


def _size(plan: Mapping[str, Any]) -> str:
    each = f"{plan['images_per_class']:,.0f}"
    return (
        f"{plan['size']:,} images to learn from, about {each} of each class, are "
        f"{AMOUNT[size_kind(plan['effective_size'])]}."
    )


def _likeness(plan: Mapping[str, Any]) -> str:
    sentence = LIKE[similarity_kind(plan["similarity"])]
    if plan["similarity_source"] == "given":
        return f"{sentence[:-1]}, as you said."
    if plan["similarity_source"] == "estimated":
        return f"{sentence[:-1]} (estimated with anchors of other networks)."
    if plan["similarity_source"] == "assumed":
        return f"How much they look like {PHOTOGRAPHS} could not be measured."
    return sentence


def _choice(plan: Mapping[str, Any]) -> str:
    head = plan["strategy"] == "head"
    if plan["policy"] == "trial":
        return "Several plans were tried for a while, and this one did best on images kept aside."
    if plan["policy"] == "rule" or not plan["evidence"]:
        return "The rule of thumb goes by these two alone: the more images and the less alike, " + (
            "the more is trained; here it is too early for that."
            if head
            else "the more of the network is trained."
        )
    return _by_evidence(plan, Evidence.from_json(plan["evidence"]).head_error)


def _by_evidence(plan: Mapping[str, Any], error: float) -> str:
    if plan["strategy"] == "head":
        if error < WORTH:
            return (
                f"It is right on {percent(1 - error, 1)} of them already: there is little to gain."
            )
        if share_by_evidence(plan["effective_size"], plan["similarity"], error):
            return "Too few can be kept aside to tell whether training more of it would help."
        return "On other collections like yours, training the network itself gained nothing."
    most = "half of it gained as much as training all" if plan["strategy"] == "partial" else (
        "all of it gained the most"
    )  # fmt: skip
    return (
        f"As it is, it is right on {percent(1 - error)} of them; on other collections like yours, "
        f"training {most}."
    )
