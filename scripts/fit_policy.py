"""The freeze policies judged on the grid of bench_policy.py, and what to keep after a tuning.

    python scripts/fit_policy.py [docs/data/policy.jsonl] [--plot docs/policy.png]
        [--variants docs/data/policy_variants.jsonl] [--docs]

Reads the JSON lines and prints Markdown, with --docs into docs/policy.md and the README: test
accuracies by plan, what each candidate of a tuning came to beside the solved head, by which rule it
should be kept, and the regret of each policy: accuracy of the cell's best plan minus that of the
policy's plan, both as saved. Where several seeds were run the best plan is chosen on the other
seeds. Cost: passes of one image through the whole network (a training step counts as three) for
each image that there is. Intervals: 95 % bootstrap over sets. A star marks the rows of a version
whose head saw averages alone.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import pages
from bench_policy import AS_IS

from tl_cli.engine.finetune.candidates import AGAIN, HEAD
from tl_cli.plan import DEFAULT_POLICY, POLICIES, DatasetStats
from tl_cli.plan.evidence import JUDGED_FROM, Evidence, Probe
from tl_cli.plan.prior import MOST_IMAGES, expected_gain, usual_gain
from tl_cli.report.canvas import figure, saved

ONE_PASS = 2.0  # seconds of CPU time that it takes at the least
SHARES = {"head": 0.0, "quarter": 0.25, "half": 0.5, "full": 1.0}


@dataclass(frozen=True)
class Cell:
    """All runs on one draw of one set."""

    set: str
    per_class: int | None
    seed: int
    head: dict
    tuned: dict[str, dict]  # by plan
    variants: dict[str, dict[str, dict]]  # by plan, then by variant

    @property
    def plans(self) -> list[str]:
        return [plan for plan in SHARES if plan == "head" or plan in self.tuned]

    def accuracy(self, plan: str) -> float:
        """The test accuracy of what the plan leaves on disk."""
        return self.saved(plan)["accuracy"]

    def saved(self, plan: str) -> dict:
        """The figures of what the plan leaves on disk, by what `tl train` accepts now."""
        if plan == "head":
            return self.head["refit"]
        return kept(self.tuned[plan])

    def cost(self, plan: str) -> float:
        """Return passes of an image through the whole network, for each image that there is."""
        images = sum(self.head[split] for split in ("train", "val", "test"))
        return 1.0 if plan == "head" else self.tuned[plan]["forwards"] / images

    @property
    def stats(self) -> DatasetStats:
        """What a policy goes by."""
        seen = evidence_of(self.head["evidence"])
        size, classes = self.head["train"], self.head["classes"]
        similarity = 0.5 if seen.similarity is None else seen.similarity
        return DatasetStats(
            size, classes, size / classes, similarity, "measured", seen, self.head["val"]
        )


def read(path: Path) -> list[Cell]:
    """Return the cells that have a head, half and full."""
    heads: dict[tuple, dict] = {}
    tuned: dict[tuple, dict[str, dict[str, dict]]] = defaultdict(lambda: defaultdict(dict))
    for row in map(json.loads, path.read_text().splitlines()):
        key = row["set"], row["per_class"], row["seed"]
        if row["plan"] == "head":
            heads[key] = row
        else:
            tuned[key][row["plan"]][row["variant"]] = row
    cells = []
    for key, head in heads.items():
        plain = {plan: rows[AS_IS] for plan, rows in tuned[key].items() if AS_IS in rows}
        seen = evidence_of(head["evidence"])
        for row in (row for rows in tuned[key].values() for row in rows.values()):
            row["similarity"] = 0.5 if seen.similarity is None else seen.similarity
            row["usual"] = usual_gain(row["train"], row["similarity"])
        if {"half", "full"} <= set(plain):
            cells.append(Cell(*key, head, plain, tuned[key]))
    return sorted(cells, key=lambda c: (c.per_class or 10**6, c.head["train"], c.set, c.seed))


def evidence_of(row: dict) -> Evidence:
    known = {name: row[name] for name in Evidence.__dataclass_fields__ if name in row}
    known["probes"] = tuple(Probe(**probe) for probe in row["probes"])
    return Evidence(**known | {name: Probe(**row[name]) for name in ("joined", "pixels")})


# -- what to keep after a tuning -------------------------------------------------------------------


def candidate_table(cells: Sequence[Cell]) -> str:
    """Return what each candidate came to beside the solved head, refit where it can be."""
    lines = [
        "| candidate | runs | beside the refit head, points: mean | least | most | log loss |"
        " calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    by_name: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for cell in cells:
        for row in cell.tuned.values():
            for each in (*row["candidates"], again(row) | {"name": "solved again, last features"}):
                gain = each["refit"]["accuracy"] - cell.accuracy("head")
                by_name[each["name"]].append(
                    (gain, each["refit"]["log_loss"], each["refit"]["ece"])
                )
            final = kept(row)
            gain = final["accuracy"] - cell.accuracy("head")
            by_name["what is saved"].append((gain, final["log_loss"], final["ece"]))
    for name, values in by_name.items():
        gains, losses, errors = zip(*values, strict=True)
        shown = " | ".join(f"{100 * f(gains):+.1f}" for f in (fmean, min, max))
        lines.append(
            f"| {name} | {len(values)} | {shown} | {fmean(losses):.3f} | {fmean(errors):.3f} |"
        )
    return "\n".join(lines)


def acceptance_table(cells: Sequence[Cell]) -> str:
    """Return what is saved by the rule that accepts what tuning made."""
    lines = [
        "| solved again is kept | kept | gain of what is saved, points: mean | least | most |",
        "|---|---|---|---|---|",
    ]
    rows = [(cell, row) for cell in cells for row in cell.tuned.values()]
    for name, rule in ACCEPTED.items():
        picked = [row["candidates"][0] if not rule(row) else again(row) for _, row in rows]
        gains = [
            each["refit"]["accuracy"] - cell.accuracy("head")
            for (cell, _), each in zip(rows, picked, strict=True)
        ]
        kept = sum(each["name"] != HEAD for each in picked)
        shown = " | ".join(f"{100 * f(gains):+.2f}" for f in (fmean, min, max))
        lines.append(f"| {name} | {kept} of {len(rows)} | {shown} |")
    return "\n".join(lines)


def again(row: dict) -> dict:
    """Return the head that was solved again on the features of the last epoch."""
    return [each for each in row["candidates"] if each["name"].startswith(AGAIN)][-1]


def kept(row: dict) -> dict:
    """Return the figures of what a tuning leaves on disk."""
    return (again(row) if expected(row) else row["candidates"][0])["refit"]


def validation_gain(row: dict) -> float:
    return row["candidates"][0]["val_log_loss"] - again(row)["val_log_loss"]


def expected(row: dict) -> bool:
    """Return whether `tl train` keeps it: see `candidates.choose`."""
    error, loss = again(row)["gain_stderr"], row["candidates"][0]["val_log_loss"]
    enough = row["val"] >= JUDGED_FROM
    return enough and expected_gain(validation_gain(row), error, loss, row["usual"]) > 0


def true_gain(row: dict) -> float:
    """Return what solving again took off the test images' log loss, as a share of the head's."""
    before, after = (each["refit"]["log_loss"] for each in (row["candidates"][0], again(row)))
    return (before - after) / before


def fitted_prior(rows: Sequence[dict]) -> tuple[np.ndarray, float]:
    """Return the coefficients of `usual_gain` (1, log10 of images, similarity), the deviation."""
    size = np.log10([min(row["train"], MOST_IMAGES) for row in rows])
    columns = np.stack([np.ones(len(rows)), size, [row["similarity"] for row in rows]], axis=1)
    gains = np.array([true_gain(row) for row in rows])
    found = np.linalg.lstsq(columns, gains, rcond=None)[0]
    return found, float(np.std(gains - columns @ found))


def prior_line(cells: Sequence[Cell]) -> str:
    """Return the fit to all tuned runs, and how far it is off on sets that it was not fitted to."""
    rows = [row for cell in cells for row in cell.tuned.values()]
    (a, b, c), spread = fitted_prior(rows)
    off = []
    for name in {row["set"] for row in rows}:
        other, _ = fitted_prior([row for row in rows if row["set"] != name])
        for row in (row for row in rows if row["set"] == name):
            size = np.log10(min(row["train"], MOST_IMAGES))
            off.append(true_gain(row) - other @ (1, size, row["similarity"]))
    return (
        f"> usual gain = {a:+.2f} {b:+.2f} log10(images) {c:+.2f} S, deviation {spread:.2f}, "
        f"{np.sqrt(np.mean(np.square(off))):.2f} on sets it was not fitted to ({len(rows)} runs)"
    )


ACCEPTED: dict[str, Callable[[dict], bool]] = {
    "always": lambda row: True,
    "if validation prefers it": lambda row: validation_gain(row) > 0,
    "if by one standard error": lambda row: validation_gain(row) > again(row)["gain_stderr"],
    "if by two": lambda row: validation_gain(row) > 2 * again(row)["gain_stderr"],
    "if it is expected to be better (what tl does)": expected,
}


# -- variants of the training ----------------------------------------------------------------------


def variant_table(cells: Sequence[Cell]) -> str:
    """Return what each variant of the training comes to beside the plan as it is."""
    lines = [
        "| variant | plan | runs | accuracy beside it, points: mean | least | most | log loss |"
        " CPU time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    pairs = defaultdict(list)
    for cell in cells:
        for plan, rows in cell.variants.items():
            for name in rows.keys() - {AS_IS}:
                pairs[plan, name].append((rows[AS_IS], rows[name]))
    for (plan, name), both in sorted(pairs.items()):
        gains = [100 * (kept(b)["accuracy"] - kept(a)["accuracy"]) for a, b in both]
        shown = " | ".join(f"{f(gains):+.1f}" for f in (fmean, min, max))
        losses = fmean(kept(b)["log_loss"] - kept(a)["log_loss"] for a, b in both)
        times = fmean(b["cpu_seconds"] / a["cpu_seconds"] for a, b in both)
        lines.append(f"| {name} | {plan} | {len(both)} | {shown} | {losses:+.3f} | x{times:.2f} |")
    return "\n".join(lines)


# -- the policies ----------------------------------------------------------------------------------

Policy = Callable[[Cell], str]


def nearest(cell: Cell, share: float) -> str:
    return min(cell.plans, key=lambda plan: abs(SHARES[plan] - share))


def policies(cells: Sequence[Cell]) -> dict[str, Policy]:
    always = {
        f"always {plan}": (lambda cell, plan=plan: plan)
        for plan in SHARES
        if all(plan in cell.plans for cell in cells)
    }
    shipped = {
        f"{name}{' (the default)' if name == DEFAULT_POLICY else ''}": (
            lambda cell, policy=policy: nearest(cell, policy(cell.stats).share)
        )
        for name, policy in POLICIES.items()
    }
    return always | shipped | {"a race on validation": by_race}


def by_race(cell: Cell) -> str:
    """The plan whose best candidate has the least validation log loss; it costs as all do."""
    gains = {plan: row["val_gain"] for plan, row in cell.tuned.items()}
    best = max(gains, key=lambda plan: gains[plan])
    return best if gains[best] > 0 else "head"


def judged(cells: Sequence[Cell], policy: Policy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the regret, the cost and the accuracy of a policy in each cell."""
    plans = [policy(cell) for cell in cells]
    pairs = list(zip(cells, plans, strict=True))
    regret = [cell.accuracy(best_plan(cells, cell)) - cell.accuracy(plan) for cell, plan in pairs]
    cost = [
        sum(cell.cost(p) - 1 for p in cell.plans) + 1 if policy is by_race else cell.cost(plan)
        for cell, plan in pairs
    ]
    return np.array(regret), np.array(cost), np.array([c.accuracy(p) for c, p in pairs])


def best_plan(cells: Sequence[Cell], cell: Cell) -> str:
    """Return the best plan by the other seeds, or by this one where there is no other."""
    same = [c for c in cells if (c.set, c.per_class) == (cell.set, cell.per_class)]
    judges = [c for c in same if c.seed != cell.seed] or same
    plans = [plan for plan in cell.plans if all(plan in c.plans for c in judges)]
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


# -- what is printed -------------------------------------------------------------------------------


def accuracy_table(cells: Sequence[Cell]) -> str:
    plans = [plan for plan in SHARES if any(plan in cell.plans for cell in cells)]
    lines = [
        f"| set | px | a class | train / val / test | seed | S | {' | '.join(plans)} |"
        " policy | time, half and full beside the head |",
        "|---|---|---|---|---|---|" + "---|" * (len(plans) + 2),
    ]
    policy = policies(cells)[f"{DEFAULT_POLICY} (the default)"]
    for cell in cells:
        head = cell.head
        shown = [f"{cell.accuracy(p):.3f}" if p in cell.plans else "" for p in plans]
        spent = head["cpu_seconds"]
        times = ", ".join(
            f"x{(cell.tuned[p]['cpu_seconds'] + spent) / spent:.1f}" for p in ("half", "full")
        )
        times = times if spent > ONE_PASS else "the images had passed before"
        lines.append(
            f"| {named(cell)} | {head['size']} | {cell.per_class or 'all'} | "
            f"{head['train']} / {head['val']} / {head['test']} | {cell.seed} | "
            f"{cell.stats.similarity:.2f} | {' | '.join(shown)} | {policy(cell)} | "
            f"{times} |"
        )
    return "\n".join(lines)


def whole_table(cells: Sequence[Cell]) -> str:
    """Return the accuracies on all images of a set, for the README."""
    lines = [
        "| set | px | train / val / test | head alone | half | full | by default |",
        "|---|---|---|---|---|---|---|",
    ]
    policy = policies(cells)[f"{DEFAULT_POLICY} (the default)"]
    for cell in (cell for cell in cells if cell.per_class is None):
        head, chosen = cell.head, policy(cell)
        counts = " / ".join(str(head[split]) for split in ("train", "val", "test"))
        shown = " | ".join(f"{cell.accuracy(plan):.3f}" for plan in ("head", "half", "full"))
        lines.append(
            f"| {named(cell)} | {head['size']} | {counts} | {shown} | "
            f"{cell.accuracy(chosen):.3f} ({chosen}) |"
        )
    return "\n".join(lines)


def named(cell: Cell) -> str:
    """Return the set's name, with a star where the head of its runs saw averages alone."""
    return cell.set if "pooling" in cell.head else f"{cell.set} *"


def regret_table(cells: Sequence[Cell]) -> str:
    sizes = sorted({cell.per_class or 10**6 for cell in cells})
    names = [f"at {n} a class" if n < 10**6 else "at all" for n in sizes]
    lines = [
        f"| policy | mean accuracy | mean regret | {' | '.join(names)} | worst | within a point |"
        " calibration error | cost |",
        "|---|---|---|" + "---|" * (len(names) + 4),
    ]
    sets = np.array([cell.set for cell in cells])
    of = np.array([cell.per_class or 10**6 for cell in cells])
    for name, policy in policies(cells).items():
        regret, cost, accuracy = judged(cells, policy)
        low, high = interval(regret, sets)
        mean = f"{100 * regret.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"
        by_size = " | ".join(f"{100 * regret[of == n].mean():.1f}" for n in sizes)
        error = fmean(cell.saved(policy(cell))["ece"] for cell in cells)
        lines.append(
            f"| {name} | {accuracy.mean():.3f} | {mean} | {by_size} | {100 * regret.max():.1f} | "
            f"{(regret <= 0.01).mean():.0%} | {error:.3f} | {cost.mean():.1f} |"
        )
    return "\n".join(lines)


def picture(cells: Sequence[Cell], path: Path) -> None:
    """Draw mean regret against cost, a point a policy."""
    drawn = figure(7.5, 4.5)
    axes = drawn.subplots()
    for name, policy in policies(cells).items():
        regret, cost, _ = judged(cells, policy)
        shipped = "default" in name
        axes.plot(cost.mean(), 100 * regret.mean(), "o", color="#ee6677" if shipped else "#4477aa",
                  ms=9 if shipped else 6)  # fmt: skip
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
    parser.add_argument(
        "--variants", type=Path, default=Path("docs/data/policy_variants.jsonl"),
        help="runs of other options beside the plan's own",
    )  # fmt: skip
    parser.add_argument("--plot", type=Path, help="PNG of regret against cost")
    parser.add_argument("--docs", action="store_true", help="Write docs/policy.md and the README.")
    options = parser.parse_args()
    cells = read(options.lines)
    if options.plot:
        picture(cells, options.plot)
    tables = {
        "usual": prior_line(cells),
        "grid": accuracy_table(cells),
        "candidates": candidate_table(cells),
        "kept": acceptance_table(cells),
        "variants": variant_table(read(options.variants)),
        "regret": regret_table(cells),
    }
    for name, table in tables.items():
        print(table, end="\n\n")
        if options.docs:
            pages.put("policy.md", name, [table])
    if options.docs:
        pages.put("../README.md", "plans", [whole_table(cells)])


if __name__ == "__main__":
    main()
