"""A run's model card beside an exported file: Markdown, its front matter as the Hub reads it.

Model cards: Mitchell et al. 2019, arXiv:1810.03993; the keys of the front matter:
https://huggingface.co/docs/hub/model-cards. Every value is escaped where it enters the text, for
class names and paths are the user's own. Knows files of runs, and nothing of networks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tl_cli import catalog, config, export_formats, humanize
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION
from tl_cli.errors import TLError
from tl_cli.humanize import count, printable
from tl_cli.report import facts as run_facts
from tl_cli.report.facts import RunFacts
from tl_cli.results.evaluation import confused
from tl_cli.results.export import Export
from tl_cli.results.regression import said
from tl_cli.store.run_dir import RunDir, replacing

if TYPE_CHECKING:
    from jinja2 import Environment

ENDING = ".card.md"
TASK = "image-classification"
TEMPLATES = {
    CLASSIFICATION: "model_card.md.jinja",
    MULTILABEL: "model_card_labels.md.jinja",
    REGRESSION: "model_card_values.md.jinja",
}
MOST_PAIRS, MOST_CLASSES, FEW = 5, 100, 30  # FEW: images a class, below which a figure says little
METRICS = {  # what the Hub calls a figure, and what we call it
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "log_loss": ("log_loss", "Log loss"),
}
LABEL_METRICS = {  # where an image may have several labels
    "mean_average_precision": ("mean_average_precision", "Mean average precision"),
    "macro_f1": ("f1", "Macro F1"),
    "micro_f1": ("micro_f1", "Micro F1"),
    "subset_accuracy": ("subset_accuracy", "All labels right"),
    "log_loss": ("log_loss", "Log loss a label"),
}
VALUE_METRICS = {  # where a number is predicted
    "mae": ("mae", "Mean absolute error"),
    "rmse": ("rmse", "Root mean squared error"),
    "r2": ("r_squared", "R2"),
    "spearman": ("spearmanr", "Spearman's rank correlation"),
}
# what Markdown, HTML, GitHub's autolinks and mentions go by; a dash begins a list
MARKS = re.compile(r"""[\\`*_{}\[\]<>()#+!|~$&@:=^.]|^-""")


def text(run: RunDir, export: Export) -> str:
    """Return the card of an exported file; without what the run's files no longer tell."""
    facts = _facts(run)
    card = catalog.CARDS.get(str(facts.config.get("backbone"))) if facts else None
    name = run.path.resolve().name
    front = _front_matter(name, export, facts, card)
    body = (
        _environment()
        .get_template(TEMPLATES[export.task])
        .render(
            name=name,
            export=export,
            form=export_formats.FORMATS[export.format],
            file=Path(export.path).name,
            facts=facts,
            figures=facts.figures if facts else None,
            metrics=_metrics(facts),
            pairs=_pairs(facts),
            card=card,
            scratch=_from_scratch(facts),
            own_weights=_own_weights(facts),
            source=_source(facts),
            decision=humanize.decision(facts.plan) if facts else "",
            saved=humanize.saved(facts.kept or "head", refit=facts.refit) if facts else "",
            counts=_counts(facts),
            few=FEW,
            most=MOST_CLASSES,
        )
    )
    return f"---\n{front}---\n\n{body}"


def write(run: RunDir, export: Export, exported: Path) -> Path:
    """Write the card beside what was exported, and return where it lies."""
    with replacing(beside := exported.with_name(exported.name + ENDING)) as path:
        path.write_text(text(run, export), encoding="utf-8", errors="backslashreplace")
    return beside


def escaped(value: object) -> str:
    """Return a value as Markdown shows it, and does nothing else: one line, no mark-up, no link."""
    return MARKS.sub(lambda mark: f"\\{mark[0]}", printable(str(value)))


class Ready(str):
    """Markdown that needs no escaping."""


def _facts(run: RunDir) -> RunFacts | None:
    """Return what the run's files tell; None where only the checkpoint was kept."""
    try:
        return run_facts.read(run)
    except TLError:
        return None


def _front_matter(
    name: str, export: Export, facts: RunFacts | None, card: catalog.Card | None
) -> str:
    form, number = export_formats.FORMATS[export.format], export.task == REGRESSION
    told: dict[str, Any] = {
        "library_name": form.library_name,
        **({} if number else {"pipeline_tag": TASK}),  # the Hub has no task of a number
        "tags": [
            "image-regression" if number else TASK,
            "transfer-learning",
            "tl-cli",
            form.name,
            *filter(None, [export.quantize]),
        ],
    }
    if facts and card and not _from_scratch(facts):
        told["base_model"] = card.name
        if not _own_weights(facts):
            told["license"] = card.licence.lower()
    if facts:
        told["metrics"] = [kind for kind, _ in _metrics(facts).values()]
        told["model-index"] = [{"name": printable(name), "results": [_result(facts)]}]
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def _result(facts: RunFacts) -> dict[str, Any]:
    """Return one entry of the model-index: the figures that the report begins with."""
    figures = facts.figures
    return {
        "task": {"type": "image-regression", "name": "Image Regression"}
        if facts.task == REGRESSION
        else {"type": TASK, "name": "Image Classification"},
        "dataset": {"type": "image-folder", "name": _source(facts), "split": facts.split},
        "metrics": [
            {"type": kind, "name": title, "value": round(float(figures[key]), 6)}
            for key, (kind, title) in _metrics(facts).items()
            if figures[key] is not None
        ],
    }


def _metrics(facts: RunFacts | None) -> Mapping[str, tuple[str, str]]:
    other = {MULTILABEL: LABEL_METRICS, REGRESSION: VALUE_METRICS}
    return other.get(facts.task, METRICS) if facts else METRICS


def _from_scratch(facts: RunFacts | None) -> bool:
    return facts is not None and facts.plan["strategy"] == "scratch"


def _own_weights(facts: RunFacts | None) -> bool:
    """Return whether it started from weights of the user's own, whose licence is not known."""
    return facts is not None and facts.config.get("weights") not in (None, *config.NOTHING)


def _source(facts: RunFacts | None) -> str:
    """Return the name of the data: the way to it is nobody else's business."""
    return printable(Path(str(facts.config.get("data"))).name) if facts else ""


def _counts(facts: RunFacts | None) -> dict[str, Mapping[str, int]]:
    """Return the images of each split by class; of those that there are."""
    if facts is None:
        return {}
    splits = {split: facts.manifest.counts(split) for split in ("train", "val", "test")}
    return {split: of for split, of in splits.items() if sum(of.values())}


def _pairs(facts: RunFacts | None) -> list[Any]:
    if facts is None or facts.task != CLASSIFICATION:
        return []
    return confused(facts.figures["classes"], facts.figures["confusion"], MOST_PAIRS)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tl_cli.report"),
        autoescape=False,  # that is HTML's: here `finalize` escapes, for Markdown
        finalize=lambda value: value if isinstance(value, Ready) else escaped(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "ready": Ready,
        "figure": lambda value: Ready(f"{value:.3f}"),
        "number": lambda value: Ready(said(value)),
        "percent": lambda share: Ready(f"{100 * share:.1f} %"),
        "count": lambda n, thing: Ready(count(n, thing)),
        "duration": lambda seconds: Ready(humanize.duration(seconds)),
        "code": lambda name: Ready(f"`{printable(name).replace('`', chr(39))}`"),
    }
    return environment
