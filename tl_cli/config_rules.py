"""What options decide of one another, and which cannot go together. Knows no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tl_cli import catalog

if TYPE_CHECKING:
    from tl_cli.config import RunConfig


def implied(config: RunConfig) -> dict[str, str]:
    """Return what effort and network decide: which plan, and whether the network is found out."""
    if config.effort == "quick" or catalog.BESIDE in config.backbone:
        return {"freeze": "head"}
    stated = {"backbone", "weights"} & config.model_fields_set
    return {} if config.effort == "normal" or stated else {"backbone": catalog.BEST}


def contradictions(config: RunConfig) -> list[str]:
    """Return a sentence for what was asked for and cannot be had together."""
    effort = f"effort {config.effort}"
    stated = "from_scratch" if config.from_scratch else f"freeze {config.freeze}"
    fits = {"freeze auto", "freeze head"} if config.effort == "quick" else {"freeze auto"}
    if config.effort != "normal" and stated not in fits:
        does = {"quick": "trains the head alone", "thorough": "finds out how much to freeze"}
        return [f"{effort} {does[config.effort]}, so it cannot go with {stated}: leave one out"]
    if config.backbone == catalog.BEST and (config.from_scratch or config.weights):
        other = "from_scratch" if config.from_scratch else f"weights {config.weights}"
        return [f"backbone best is chosen among pretrained networks: leave out {other}"]
    if config.allow_download and catalog.BEST not in (config.backbone, *implied(config).values()):
        return [
            "allow_download is for a training that chooses its network: with backbone best, or "
            "with effort thorough and no backbone"
        ]
    if catalog.BESIDE in config.backbone:
        tuned = config.freeze if config.freeze not in ("auto", "head", "1") else None
        thorough = config.effort if config.effort == "thorough" else None
        clash = {"from_scratch": config.from_scratch, "weights": config.weights, "freeze": tuned}
        wrong = [f"{k} {v}" for k, v in {**clash, "effort": thorough}.items() if v]
        return [
            f"on {config.backbone}, networks side by side, the head alone is trained: leave out "
            f"{each}"
            for each in wrong
        ]
    if config.engine and (config.from_scratch or not config.cache):
        other = "from_scratch lets none pass" if config.from_scratch else "cache false keeps none"
        return [f"engine {config.engine} makes features that are kept, and {other}: leave one out"]
    if not config.from_scratch:
        return []
    clash = {"weights": config.weights, "similarity": config.similarity}
    clash["freeze"] = config.freeze if config.freeze not in ("auto", "0", "full") else None
    return [
        f"from_scratch and {name} {value}: random weights leave nothing to keep, give one of them"
        for name, value in clash.items()
        if value
    ]
