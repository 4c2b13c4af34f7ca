"""Several plans trained on one split -> a row a plan, and which of them did best. Pure.

Each plan has its own figures: those of the network that it tuned, whether or not that was kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tl_cli.humanize import duration, naming
from tl_cli.plan.blocks import Block, nearest_cut
from tl_cli.plan.freeze_plan import NAMED_RATIO

HEAD, AGAIN = "head", "solved again"
SURE = 1.96  # standard errors apart: beyond chance
SHARED = ("build", "features", "evidence", "report")  # stages that are not a plan's own


@dataclass(frozen=True)
class PlanRow:
    """One plan, as what it trained did on the validation images, whatever was kept after it."""

    name: str
    run: str  # its directory; that of another row where the plan is the same
    strategy: str  # head, partial, full, or scratch
    freeze_ratio: float
    frozen_blocks: int
    same_as: str  # the row that has the same plan, which was trained once; else empty
    log_loss: float | None  # calibrated by halves, as every plan's; None where it came to nothing
    stderr: float | None  # of the log loss beside the head's; None where too few images can judge
    accuracy: float | None
    test_accuracy: float | None  # None without test images; it decides nothing
    kept: bool  # whether the run of this plan saved what was tuned; a head is always kept
    seconds: float  # of its own: without what all plans share


@dataclass(frozen=True)
class PlanComparison:
    """All plans; the best is that of the least log loss on validation."""

    rows: tuple[PlanRow, ...]

    @property
    def trained(self) -> list[PlanRow]:
        """The rows that came to figures, each plan once, the best first."""
        rows = [row for row in self.rows if not row.same_as and row.log_loss is not None]
        return sorted(rows, key=lambda row: (row.log_loss, row.seconds))

    @property
    def best(self) -> PlanRow:
        return self.trained[0]

    @property
    def ties(self) -> list[PlanRow]:
        """The other plans whose log loss these validation images cannot tell from the best's."""
        return [row for row in self.trained[1:] if _alike(self.best, row)]

    @property
    def told(self) -> str:
        """Say which plan is best, which ones are as good, and which of those is the fastest."""
        best, ties = self.best, self.ties
        said = f"Best on validation: {best.name} (log loss {best.log_loss:.3f})"
        if not ties:
            return f"{said}, beyond what chance would do."
        names = naming(row.name for row in ties)
        fastest = min((best, *ties), key=lambda row: row.seconds)
        alike = f"{names} {'is' if len(ties) == 1 else 'are'} too close to tell from it: a tie"
        others = [row.seconds for row in (best, *ties) if row is not fastest]
        speed = f"{duration(fastest.seconds)} against {duration(min(others))}"
        return f"{said}. {alike}. The fastest of them is {fastest.name}: {speed}."

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, keys as documented in docs/json.md."""
        return {
            "plans": [asdict(row) for row in self.rows],
            "best": self.best.name,
            "ties": [row.name for row in self.ties],
        }


def same_plan(row: PlanRow, freeze: str, blocks: Sequence[Block]) -> bool:
    """Return whether `--freeze` head, half or full is a row's plan: all follows from the cut."""
    cut = nearest_cut(blocks, NAMED_RATIO[freeze])
    return row.strategy != "scratch" and not row.same_as and row.frozen_blocks == cut


def plan_row(name: str, told: Mapping[str, Any]) -> PlanRow:
    """Return the row of a run, from what `tl train --json` tells of it."""
    plan, tune, own = told["plan"], told["tune"], _own(told)
    return PlanRow(
        name=name,
        run=told["run"],
        strategy=plan["strategy"],
        freeze_ratio=plan["freeze_ratio"],
        frozen_blocks=plan["frozen_blocks"],
        same_as="",
        log_loss=own.get("log_loss"),
        stderr=_stderr(told),
        accuracy=own.get("accuracy"),
        test_accuracy=own.get("test_accuracy"),
        kept=not tune or tune["kept"] != HEAD,
        seconds=sum(s for stage, s in told["seconds"].items() if stage not in (*SHARED, "total")),
    )


def _own(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures of what the plan trained; none where its loss was no number."""
    if told["scratch"]:
        test = told["metrics"].get("test", {}).get("accuracy")
        return {**told["scratch"], "test_accuracy": test}
    if not told["tune"]:
        solved: Mapping[str, Any] = told["solved"]
        return solved
    tuned = {row["name"]: row for row in told["tune"]["candidates"] if row["name"] != HEAD}
    return tuned.get(AGAIN) or next(iter(tuned.values()), {})


def _stderr(told: Mapping[str, Any]) -> float | None:
    """Return the standard error of the gain over the head: paired, but for a run from scratch."""
    if told["tune"]:
        error: float | None = told["tune"]["gain_stderr"]
        return error
    if told["solved"]:
        return 0.0
    interval = told["metrics"]["val"]["intervals"]["log_loss"]
    return (interval[1] - interval[0]) / (2 * SURE) if interval else None


def _alike(best: PlanRow, row: PlanRow) -> bool:
    """Return whether chance alone could have set two log losses as far apart as they are.

    Each error is of the gain over the same head on the same images; of two tuned plans both
    together are more than the error of their difference, for they err on the same images.
    """
    if best.stderr is None or row.stderr is None:
        return True
    apart = (row.log_loss or 0.0) - (best.log_loss or 0.0)
    return apart <= SURE * math.hypot(best.stderr, row.stderr)
