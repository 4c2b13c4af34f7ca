"""RunFacts -> one self-contained HTML page: no script, nothing from outside, every name escaped."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli import catalog, humanize
from tl_cli.data import inspection
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION, Record
from tl_cli.errors import TLError
from tl_cli.humanize import count, printable, short
from tl_cli.plan.blocks import Block
from tl_cli.report import data_map, images, labels_page, values_page
from tl_cli.report.caveats import caveats
from tl_cli.report.facts import RunFacts
from tl_cli.report.figures import answers, evidence, training
from tl_cli.report.figures.svg import svg
from tl_cli.report.next_steps import Step, next_steps
from tl_cli.results.calibration import coverage, reliability
from tl_cli.results.evaluation import confused
from tl_cli.results.predictions import Prediction
from tl_cli.results.regression import said as number

if TYPE_CHECKING:
    import numpy as np
    from jinja2 import Environment

MOST_MISTAKES = 6
MOST_CELLS = 24  # classes of a confusion matrix that is shown whole
MOST_CLASSES = 60  # rows of the table by class
MOST_PAIRS = 12
LEVELS = tuple(i / 50 for i in range(50))  # of the coverage curve


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, its image, and where the evidence for the answer lay."""

    said: Prediction
    picture: str
    heat: str

    @property
    def file(self) -> str:
        return short(self.said.path).strip("'\"")


def report_html(facts: RunFacts, heat: Mapping[str, np.ndarray] | None = None) -> str:
    """Return a run's page. `heat`: maps of evidence by path, for the mistakes that are shown."""
    figures = facts.figures
    found = inspection.inspect(facts.manifest, facts.manifest)
    if facts.task == MULTILABEL:
        return rendered(
            "labels.html.jinja",
            **_shared(facts, found),
            classes=labels_page.by_label(figures),
            mistakes=_mistakes(facts, {}),
            caveats=list(labels_page.caveats(facts)),
        )
    if facts.task == REGRESSION:
        saved = _saved(facts, refit=facts.refit)
        shared = _shared(facts, found) | values_page.context(facts)
        return rendered("values.html.jinja", **shared, saved=saved)
    return rendered(
        "run.html.jinja",
        **_shared(facts, found),
        headline=facts.headline,
        decision=humanize.decision(facts.plan),
        blocks=_blocks(facts.plan),
        charts=_charts(facts),
        saved=_saved(facts, refit=facts.refit),
        kept=_saved(facts, refit=False),
        chose=_chose(facts),
        again=any(row["name"].startswith("solved again") for row in facts.candidates),
        map=data_map.of_run(facts),
        doubts=shlex.join(["tl", "inspect", str(facts.place), "--label-errors"]),
        classes=_by_class(figures),
        confused=confused(figures["classes"], figures["confusion"], MOST_PAIRS),
        matrix=len(figures["classes"]) <= MOST_CELLS,
        mistakes=_mistakes(facts, heat or {}),
        reliability=_reliability(facts),
        caveats=caveats(facts, found),
        steps=[(step, _pictures(facts, step)) for step in next_steps(facts)],
    )


def _shared(facts: RunFacts, found: inspection.Inspection) -> dict[str, Any]:
    """Return what every run's page shows, whatever its labels are."""
    return {
        "title": facts.name,
        "facts": facts,
        "figures": facts.figures,
        "unseen": _unseen(facts),
        "inspected": found,
        "samples": images.samples(facts.manifest),
        "wrong": sum(not p.right for p in facts.answers),
        "machine": _machine(facts.environment),
        "typed": _typed(facts.environment.get("command", ())),
        "repeat": shlex.join(facts.repeat),
        "predict": shlex.join(["tl", "predict", str(facts.place), "PHOTOS"]),
        "python": _python(facts) if facts.task == CLASSIFICATION else [],
    }


def _typed(command: Sequence[str]) -> str:
    """Return how a run was begun, by the words that its process was begun with."""
    program, *words = command or ["tl"]
    begun = ["tl"] if Path(program).name in ("tl", "__main__.py") else ["python", program]
    return shlex.join([*begun, *words])


def rendered(name: str, **context: Any) -> str:
    """Return a template with its values, each escaped."""
    page = _environment().get_template(name).render(**context)
    # a path may hold bytes that are no text
    return page.encode("utf-8", "replace").decode("utf-8")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tl_cli.report"),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (files("tl_cli.report") / "templates" / "style.css").read_text(encoding="utf-8")
    environment.globals |= {"style": Markup(style), "svg": Markup, "count": count}
    environment.filters |= _FILTERS
    return environment


_FILTERS: dict[str, Callable[..., str]] = {
    "percent": lambda share: f"{100 * share:.1f}%",
    "whole": lambda share: f"{100 * share:.0f}%",
    "short": lambda path: short(path).strip("'\""),
    "duration": humanize.duration,
    "size": humanize.size,
    "number": number,
}


def _charts(facts: RunFacts) -> dict[str, str]:
    """Return the SVG of each figure that there is something to draw for."""
    made: dict[str, str] = {}
    if evidence.by_the_rule(facts.plan):
        made["rule"] = svg(evidence.rule, facts.plan)
    if facts.learning_curve:
        made["learning"] = svg(training.learning, facts.learning_curve)
    if facts.history:
        best = int((facts.tune or facts.told.get("scratch") or {}).get("best_epoch", 0))
        made["losses"] = svg(training.losses, facts.history, best)
        made["accuracies"] = svg(training.accuracies, facts.history, best)
    if facts.answers:
        sure, right = _answers(facts)
        made["reliability"] = svg(answers.reliability, reliability(sure, right).bins)
        made["coverage"] = svg(answers.coverage, coverage(sure, right, LEVELS))
    if len(facts.evidence.get("probes", ())) > 1:
        made["probes"] = svg(evidence.probes, facts.evidence)
    return made


def _pictures(facts: RunFacts, step: Step) -> list[tuple[str, str]]:
    """Return the file and the picture of each image that a step is to look at."""
    records = {record.path: record for record in facts.manifest.records}
    return [
        (short(said.path).strip("'\""), images.picture(records.get(said.path, Record(said.path,
         said.label)), images.MEDIUM))
        for said in step.look_at
    ]  # fmt: skip


def _saved(facts: RunFacts, *, refit: bool) -> str:
    """Say what was saved; nothing from scratch, where there is no choice."""
    if not facts.told.get("head"):
        return ""
    return humanize.saved(facts.kept or "head", refit=refit)


def _python(facts: RunFacts) -> list[str]:
    """Return the lines of a program that uses the run."""
    return [
        "import tl_cli as tl",
        "",
        f"model = tl.load({str(facts.place)!r})",
        'for answer in model.predict(["a.jpg", "b.jpg"]):',
        "    print(answer)",
    ]


def _machine(environment: Mapping[str, Any]) -> str:
    """Say what a run ran on, in a few words."""
    kinds = {str(device).split()[0] for device in environment.get("devices", ())}
    cores = count(environment.get("cpu_count") or 1, "CPU core")
    return "GPU" if "GPU" in kinds else cores


def _unseen(facts: RunFacts) -> str:
    """Say what the figures on validation are figures of."""
    said = "Figures on validation are of predictions made without these images in the fit"
    return f"{said}; the saved head was then fitted to them too." if facts.refit else f"{said}."


def _chose(facts: RunFacts) -> str:
    """Say what the validation images chose, nothing where they chose nothing."""
    if facts.candidates:
        return "among the candidates"
    return "the best epoch" if facts.tune or facts.told.get("scratch") else ""


def _answers(facts: RunFacts) -> tuple[list[float], list[bool]]:
    return [p.probability for p in facts.answers], [p.right for p in facts.answers]


def _reliability(facts: RunFacts) -> float | None:
    return reliability(*_answers(facts)).ece if facts.answers else None


def _blocks(plan: Mapping[str, Any]) -> Sequence[Block]:
    """Return the backbone's blocks, none where the catalogue does not know it."""
    try:
        blocks = catalog.get(plan["backbone"]).blocks
    except (TLError, OSError):
        return ()
    return blocks if len(blocks) == plan["blocks"] else ()


def _by_class(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the figures by class, the least recognised first."""
    rows = [row for row in figures["per_class"] if row["support"]]
    return sorted(rows, key=lambda row: (row["f1"], row["name"]))[:MOST_CLASSES]


def _mistakes(facts: RunFacts, heat: Mapping[str, np.ndarray]) -> list[Mistake]:
    records = {record.path: record for record in facts.manifest.records}
    found = []
    for said in facts.mistakes(MOST_MISTAKES):
        record = records.get(said.path, Record(said.path, said.label))
        glow = images.with_heat(record, heat[said.path]) if said.path in heat else ""
        found.append(Mistake(said, images.picture(record, images.LARGE), glow))
    return found
