"""The freeze policies judged on the grid of bench_policy.py, and the evidence policy's numbers.

    python scripts/fit_policy.py [docs/data/policy.jsonl] [--plot docs/policy.png]

Reads the JSON lines, prints Markdown: the accuracies, the coefficients for tl_cli/plan/gain_model.py
(fitted to all sets), and the regret of each policy. A policy with fitted numbers is judged on each
set with numbers fitted to the others. Regret: accuracy of the set's best plan minus that of the
policy's plan, where several seeds were run the best plan is chosen on the other seeds. Each tuned
plan is that with the learning rate of the least validation log loss. Intervals: 95 % bootstrap
over sets.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from tl_cli.engine.finetune.finetune import surely_gained
from tl_cli.engine.finetune.fit import LEAST_PATIENCE
from tl_cli.plan import SIMILARITY, founding_rule
from tl_cli.plan.evidence import JUDGED_FROM, Evidence, Probe
from tl_cli.plan.gain_model import FEATURES, Gain, choose, features
from tl_cli.report.canvas import figure, saved

HEAD = "multi"
HEADS, TUNED = ("last", "multi"), ("quarter", "half", "full", "gradual")
SHARES = {"head": 0.0, "quarter": 0.25, "half": 0.5, "full": 1.0}
GUESSED = {  # what a person would say who has read what the sets are
    "ants_bees": "high", "flowers": "high", "trashnet": "high", "sign_digits": "medium",
    "fashion_mnist": "low", "hand_shapes": "low", "omniglot_greek": "low",
}  # fmt: skip
PENALTY = 10.0  # of the ridge fit, on standardised features


@dataclass(frozen=True)
class Cell:
    """All runs on one draw of one set."""

    set: str
    per_class: int | None
    seed: int
    plans: dict[str, dict]  # the run of each plan with the best rate
    evidence: Evidence

    @property
    def size(self) -> int:
        return self.plans["last"]["train"]

    @property
    def effective(self) -> int:
        return min(self.size, 100 * self.size // self.plans["last"]["classes"])

    def accuracy(self, plan: str) -> float:
        """The plan's test accuracy; "head" is the one that is solved unless the last is better."""
        return self.plans[HEAD if plan == "head" else plan]["test_accuracy"]

    def guarded(self, plan: str) -> float:
        """The accuracy of what is saved: the solved head, unless tuning beat it for sure."""
        row = self.plans.get(plan)
        if not row or plan in HEADS or not keeps(row):
            return self.accuracy("head")
        return row["test_accuracy"]

    def cost(self, plan: str) -> float:
        """Forward passes of an image, for each image that there is, to the last epoch."""
        images = sum(self.plans["last"][split] for split in ("train", "val", "test"))
        row = self.plans[HEAD if plan == "head" else plan]
        looked, tuning = images, row["forwards"] - images
        return (looked + tuning * share_run(row)) / images


def share_run(row: dict) -> float:
    """Return the share of the epochs that were run: it ends where half of them were no use."""
    if "best_epoch" not in row:
        return 1.0
    epochs = row["epochs"]
    return min(1.0, (row["best_epoch"] + max(LEAST_PATIENCE, epochs // 2)) / epochs)


def keeps(row: dict) -> bool:
    return surely_gained(row["val_gain"], row["val_gain_stderr"] or 0.0, row["val"])


def read(path: Path) -> list[Cell]:
    """Return the cells that have evidence, both heads, and half and full tuned."""
    runs, seen = defaultdict(lambda: defaultdict(list)), {}
    for row in map(json.loads, path.read_text().splitlines()):
        key = row["set"], row["per_class"], row["seed"]
        if row["plan"] == "evidence":
            seen[key] = evidence_of(row["evidence"])
        else:
            runs[key][row["plan"]].append(row)
    cells = []
    for key, plans in runs.items():
        best = {p: min(rows, key=lambda row: row["val_log_loss"]) for p, rows in plans.items()}
        if key in seen and {"last", "multi", "half", "full"} <= set(best):
            cells.append(Cell(*key, best, seen[key]))
    return sorted(cells, key=lambda c: (c.per_class or 10**6, c.set, c.seed))


def evidence_of(told: dict) -> Evidence:
    known = {k: told[k] for k in Evidence.__dataclass_fields__}
    known["probes"] = tuple(Probe(**probe) for probe in told["probes"])
    return Evidence(**known | {k: Probe(**told[k]) for k in ("joined", "pixels")})


# -- the evidence policy's fit -------------------------------------------------------------------


def fit(cells: list[Cell], plan: str) -> tuple[np.ndarray, float]:
    """Return intercept and coefficients of a plan's gain, and its error on sets left out."""
    names = sorted({cell.set for cell in cells})
    x = np.array([features(c.effective, c.evidence.similarity, c.evidence) for c in cells])
    y = np.array([c.accuracy(plan) - c.accuracy("head") for c in cells])
    own = np.array([cell.set for cell in cells])
    errors = np.concatenate([
        y[own == name] - predicted(ridge(x[own != name], y[own != name]), x[own == name])
        for name in names
    ])  # fmt: skip
    return ridge(x, y), float(np.sqrt(np.mean(errors**2)))


def ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    mean, spread = x.mean(0), x.std(0) + 1e-9
    z = (x - mean) / spread
    slope = np.linalg.solve(z.T @ z + PENALTY * np.eye(z.shape[1]), z.T @ (y - y.mean())) / spread
    return np.concatenate([[y.mean() - slope @ mean], slope])


def predicted(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    return weights[0] + x @ weights[1:]


# -- the policies --------------------------------------------------------------------------------

Policy = Callable[[Cell], str]


def nearest(share: float) -> str:
    return min(SHARES, key=lambda plan: abs(SHARES[plan] - share))


def policies(cells: list[Cell]) -> dict[str, tuple[Policy, bool]]:
    """Return each policy, and whether what it tunes is kept only where it beat the head."""

    def rule(similarity: Callable[[Cell], float]) -> Policy:
        return lambda c: nearest(founding_rule(c.effective, similarity(c)))

    guessed = rule(lambda c: SIMILARITY[GUESSED[c.set]])
    measured = rule(lambda c: c.evidence.similarity)
    found: dict[str, tuple[Policy, bool]] = {
        f"always {plan}": (lambda c, plan=plan: plan, False)
        for plan in (*HEADS, *TUNED)
        if all(plan in c.plans for c in cells)
    }
    return found | {
        "half, guarded": (lambda c: "half", True),
        "full, guarded": (lambda c: "full", True),
        "rule, S guessed": (guessed, False),
        "rule, S measured": (measured, False),
        "rule, S measured, guarded": (measured, True),
        "evidence, guarded": (by_evidence(cells), True),
        "trial of half and full, guarded": (by_trial, True),
    }


def by_trial(cell: Cell) -> str:
    return min(("half", "full"), key=lambda plan: cell.plans[plan]["val_log_loss"])


def by_evidence(cells: list[Cell]) -> Policy:
    """The shipped choice, with numbers fitted to the other sets."""
    fits = {}
    for name in {cell.set for cell in cells}:
        others = [cell for cell in cells if cell.set != name]
        fits[name] = {plan: fit(others, plan) for plan in ("half", "full")}

    def policy(cell: Cell) -> str:
        if cell.plans["last"]["val"] < JUDGED_FROM:
            return "head"
        x = np.array(features(cell.effective, cell.evidence.similarity, cell.evidence))
        told = [
            Gain(SHARES[plan], float(predicted(weights, x)), error)
            for plan, (weights, error) in fits[cell.set].items()
        ]
        return nearest(choose(told, cell.evidence.head_error))

    return policy


def judged(cells: list[Cell], policy: Policy, guarded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the regret and the cost of a policy in each cell."""
    regret, cost = [], []
    for cell in cells:
        plan = policy(cell)
        got = cell.guarded(plan) if guarded else cell.accuracy(plan)
        regret.append(cell.accuracy(best_plan(cells, cell)) - got)
        cost.append(cell.cost(plan))
    return np.array(regret), np.array(cost)


def best_plan(cells: list[Cell], cell: Cell) -> str:
    """Return the best plan by the other seeds, or by this one where there is no other."""
    same = [c for c in cells if (c.set, c.per_class) == (cell.set, cell.per_class)]
    judges = [c for c in same if c.seed != cell.seed] or same
    plans = [p for p in (*HEADS, *TUNED) if all(p in c.plans for c in [*judges, cell])]
    return max(plans, key=lambda plan: fmean(c.accuracy(plan) for c in judges))


def interval(values: np.ndarray, sets: np.ndarray) -> tuple[float, float]:
    rng, names = np.random.default_rng(0), np.unique(sets)
    by_set = {name: values[sets == name] for name in names}
    means = [
        np.concatenate([by_set[name] for name in rng.choice(names, len(names))]).mean()
        for _ in range(2000)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


# -- what is printed -----------------------------------------------------------------------------


def accuracies(cells: list[Cell]) -> str:
    plans = [p for p in (*HEADS, *TUNED) if any(p in c.plans for c in cells)]
    lines = [
        f"| set | a class | train / val / test | seeds | S | {' | '.join(plans)} |",
        "|---|---|---|---|---|" + "---|" * len(plans),
    ]
    groups = defaultdict(list)
    for cell in cells:
        groups[cell.set, cell.per_class].append(cell)
    for (name, per_class), own in groups.items():
        first = own[0].plans["last"]
        shown = []
        for plan in plans:
            known = [c.accuracy(plan) for c in own if plan in c.plans]
            shown.append(f"{fmean(known):.3f}" if known else "")
        s = fmean(c.evidence.similarity for c in own)
        sizes = f"{first['train']} / {first['val']} / {first['test']}"
        head = f"| {name} | {per_class or 'all'} | {sizes} | {len(own)} | {s:.2f} |"
        lines.append(f"{head} {' | '.join(shown)} |")
    return "\n".join(lines)


def regrets(cells: list[Cell]) -> str:
    sizes = sorted({c.per_class or 10**6 for c in cells})
    names = [str(n) if n < 10**6 else "all" for n in sizes]
    lines = [
        f"| policy | mean regret | {' | '.join(f'at {n} a class' for n in names)}"
        " | 90th percentile | worst | within a point | cost |",
        "|---|---|" + "---|" * (len(names) + 4),
    ]
    sets = np.array([cell.set for cell in cells])
    of = np.array([cell.per_class or 10**6 for cell in cells])
    for name, (policy, guarded) in policies(cells).items():
        regret, cost = judged(cells, policy, guarded)
        low, high = interval(regret, sets)
        mean = f"{100 * regret.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"
        by_size = " | ".join(f"{100 * regret[of == n].mean():.1f}" for n in sizes)
        tail = f"{100 * np.percentile(regret, 90):.1f} | {100 * regret.max():.1f}"
        within = f"{(regret <= 0.01).mean():.0%}"
        lines.append(f"| {name} | {mean} | {by_size} | {tail} | {within} | {cost.mean():.1f} |")
    return "\n".join(lines)


def guard(cells: list[Cell]) -> str:
    """What is kept by how many standard errors tuning must gain on validation."""
    rows = [c.plans[p] for c in cells for p in TUNED if p in c.plans]
    lines = [
        "| kept beyond | kept | gain of the kept: mean | least | most"
        " | of the others: mean | least | most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rules: dict[str, Callable[[dict], bool]] = {
        f"{beyond:g} standard errors": (
            lambda row, beyond=beyond: row["val_gain"] > beyond * row["val_gain_stderr"]
        )
        for beyond in (1.0, 1.5, 2.0)
    }
    for name, rule in (rules | {"Student's t, 97.5 %": keeps}).items():
        kept = [row["test_accuracy"] - row["head_test_accuracy"] for row in rows if rule(row)]
        lost = [row["test_accuracy"] - row["head_test_accuracy"] for row in rows if not rule(row)]
        figures = " | ".join(f"{100 * f(x):+.1f}" for x in (kept, lost) for f in (fmean, min, max))
        lines.append(f"| {name} | {len(kept)} of {len(rows)} | {figures} |")
    return "\n".join(lines)


def picture(cells: list[Cell], path: Path) -> None:
    """Draw mean regret against cost, a point a policy."""
    drawn = figure(7.5, 4.5)
    axes = drawn.subplots()
    for name, (policy, guarded) in policies(cells).items():
        regret, cost = judged(cells, policy, guarded)
        shipped = name == "evidence, guarded"
        colour = "#ee6677" if shipped else "#4477aa" if guarded else "#999999"
        axes.plot(cost.mean(), 100 * regret.mean(), "o", color=colour, ms=9 if shipped else 6)
        axes.annotate(name, (cost.mean(), 100 * regret.mean()), (6, -12 if shipped else 4),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set(xlabel="cost, forward passes an image", ylabel="mean regret, points of accuracy")
    axes.set_title("What a policy costs and what it leaves on the table (red: what tl does)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    saved(drawn, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lines", nargs="?", type=Path, default=Path("docs/data/policy.jsonl"))
    parser.add_argument("--plot", type=Path, help="PNG of regret against cost")
    given = parser.parse_args()
    cells = read(given.lines)
    if given.plot:
        picture(cells, given.plot)
    print(accuracies(cells), guard(cells), sep="\n\n")
    print("\nGAINS = {")
    for plan in ("half", "full"):
        weights, error = fit(cells, plan)
        named = dict(zip(("intercept", *FEATURES), weights.round(4).tolist(), strict=True))
        print(f'    "{plan}": ({named}, {error:.3f}),')
    print(f"}}\n\n{regrets(cells)}")


if __name__ == "__main__":
    main()
