"""What a plan and its evidence look like to a reader, on a Screen.

Beside the console a module that imports rich. Knows what a plan means, and nothing of how it came
about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from tl_cli.console.screen import Screen, bare_table, safe, two_columns
from tl_cli.humanize import count, decision, duration
from tl_cli.plan import similarity_kind
from tl_cli.plan.evidence import ACCURACY, CLAIM_FROM
from tl_cli.results.dry_run import DryRun

BAR = 30  # characters for an accuracy of 1
HYPERPARAMETERS = {  # of a plan: what each is called
    "epochs": "epochs",
    "learning_rate": "learning rate",
    "layer_decay": "layer decay",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "batch_size": "batch size",
    "augment": "augmentation",
}


def show_plan(screen: Screen, plan: Mapping[str, Any]) -> None:
    """Show the decision, what it means for the backbone, the evidence, and why."""
    _print(screen, f"[bold]Plan:[/] {_decision(plan)}")
    screen.out.print(_frozen_and_trained(plan))
    if plan["evidence"]:
        _heading(screen, "Evidence")
        screen.out.print(_evidence(plan))
        _print(screen, _probes_title(plan))
        screen.out.print(_by_depth(plan["evidence"]))
    _heading(screen, "Why")
    screen.out.print(_listed(map(safe, plan["reasons"])))
    if plan["epochs"]:
        _heading(screen, "Training")
        screen.out.print(_hyperparameters(plan))


def show_advice(screen: Screen, found: DryRun) -> None:
    """Show the plan, what other data would have led to, and how long it would take."""
    show_plan(screen, found.plan)
    if found.alternatives:
        _heading(screen, "With other data")
        others = (f"{name}: {decision(plan)}" for name, plan in found.alternatives.items())
        screen.out.print(_listed(others))
    screen.out.print()
    _show_time(screen, found)


def show_dry_run(screen: Screen, found: DryRun) -> None:
    """Show what a run would do."""
    screen.data(found.counts)
    screen.out.print()
    show_plan(screen, found.plan)
    screen.out.print()
    _print(
        screen,
        f"Images at {found.image_size} px, {found.precision}; "
        f"{count(found.steps_per_epoch, 'step')} an epoch, {found.steps:,} in all",
    )
    if len(found.learning_rates) > 2:  # else they stand in the plan
        rates = ", ".join(f"{part} {rate:.2g}" for part, rate in found.learning_rates.items())
        _print(screen, f"Peak learning rates, from the first trained block to the last: {rates}")
    _show_time(screen, found)


def _show_time(screen: Screen, found: DryRun) -> None:
    spent = ", ".join(f"{k} {duration(v)}" for k, v in found.seconds.items() if k != "total")
    _print(
        screen,
        f"[bold]Time here:[/] about {duration(found.seconds['total'])} ({spent}), from one "
        "measured batch. Nothing was trained.",
    )


def _decision(plan: Mapping[str, Any]) -> str:
    return f"{decision(plan)} ({plan['backbone']}, freeze ratio {plan['freeze_ratio']:.2f})"


def _frozen_and_trained(plan: Mapping[str, Any]) -> Table:
    table = bare_table("", "frozen", "trained")
    cut, blocks = plan["frozen_blocks"], plan["blocks"]
    last = plan["last_frozen_block"]
    table.add_row("blocks", f"{cut} (to {last})" if cut else "0", str(blocks - cut))
    table.add_row("weighted layers", str(plan["frozen_layers"]), str(plan["trained_layers"]))
    for key, name in (("parameters", "parameters"), ("compute", "computation")):
        share = plan[f"frozen_{key}_share"]
        table.add_row(name, f"{share:.0%}", f"{1 - share:.0%}")
    return table


def _evidence(plan: Mapping[str, Any]) -> Table:
    seen = plan["evidence"]
    grid = two_columns()
    grid.add_row(
        "[dim]images[/]",
        f"{plan['size']:,} to train on, {plan['classes']:,} classes of about "
        f"{plan['images_per_class']:,g}; {seen['images']:,} were looked at",
    )
    if plan["image_size"]:
        grid.add_row(
            "[dim]image size[/]", f"{plan['image_size']} px [dim]({plan['why']['image_size']})[/]"
        )
    grid.add_row("[dim]distance[/]", _distance(seen))
    if seen["similarity"] is not None:
        value = seen["similarity"]
        how = ", estimated with anchors of other networks" if seen.get("estimated") else ""
        grid.add_row("[dim]similarity[/]", f"{value:.2f}, {similarity_kind(value)}{how}")
    return grid


def _distance(seen: Mapping[str, Any]) -> str:
    if seen["distance"] is None:
        return "not measurable: the backbone has no BatchNorm"
    early, middle, late = seen["thirds"]
    return (
        f"{seen['distance']:.3f} from the pretraining data [dim](BatchNorm's memory; early layers "
        f"{early:.3f}, middle {middle:.3f}, late {late:.3f})[/]"
    )


def _probes_title(plan: Mapping[str, Any]) -> str:
    few = plan["images_per_class"] < CLAIM_FROM
    doubt = f"; under {CLAIM_FROM} images a class the depths cannot be told apart" if few else ""
    figure = "accuracy" if _is_share(plan["evidence"]) else "mean average precision"
    return f"[dim]held-out {figure} of a linear head, by what it looks at{doubt}[/]"


def _is_share(seen: Mapping[str, Any]) -> bool:
    return bool(seen.get("figure", ACCURACY) == ACCURACY)


def _by_depth(seen: Mapping[str, Any]) -> Table:
    """Draw the held-out accuracy of a linear head on each look at the images."""
    rows: Sequence[Mapping[str, Any]] = [seen["pixels"], *seen["probes"], seen["joined"]]
    best = max(row["accuracy"] for row in rows)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
    for row in rows:
        bar = "█" * round(BAR * row["accuracy"])
        style = "green" if row["accuracy"] == best else "blue"
        figure = (
            f"{row['accuracy']:6.1%} ± {row['stderr']:5.1%}"
            if _is_share(seen)
            else f"{row['accuracy']:.3f} ± {row['stderr']:.3f}"
        )
        table.add_row(f"  {escape(row['tap'])}", f"[{style}]{bar}[/]", figure)
    return table


def _hyperparameters(plan: Mapping[str, Any]) -> Table:
    values = {key: plan[key] for key in HYPERPARAMETERS}
    shown = {k: v if isinstance(v, str) else f"{v:g}" for k, v in values.items()}
    width = max(map(len, shown.values()))
    grid = two_columns()
    for key, name in HYPERPARAMETERS.items():
        why = escape(plan["why"].get(key, ""))
        grid.add_row(f"[dim]{name}[/]", f"{shown[key]:<{width}}  [dim]{why}[/]")
    return grid


def _listed(sentences: Iterable[str]) -> Table:
    grid = two_columns(gap=1)
    for sentence in sentences:
        grid.add_row("  -", sentence)
    return grid


def _heading(screen: Screen, text: str) -> None:
    screen.out.print()
    screen.out.print(f"[bold]{text}[/]")


def _print(screen: Screen, text: str) -> None:
    screen.out.print(text, highlight=False)
