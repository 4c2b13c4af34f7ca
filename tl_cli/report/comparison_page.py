"""Several runs -> one page that sets them side by side. Knows what runs wrote, nothing of CSS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tl_cli.report import comparison
from tl_cli.report.facts import RunFacts
from tl_cli.report.figures.runs import overlaid
from tl_cli.report.figures.svg import svg
from tl_cli.report.page import rendered

SHOWN = ("log_loss", "mean_average_precision", "r2")  # of the further figures


def comparison_html(runs: Sequence[RunFacts]) -> str:
    """Return a page that sets several runs side by side."""
    compared = comparison.of_facts(runs)
    tuned = {i: facts.history for i, facts in enumerate(runs, 1) if facts.history}
    best = compared.best
    return rendered(
        "comparison.html.jinja",
        title=f"{len(runs)} runs",
        runs=list(zip(runs, compared.runs, strict=True)),
        best=best,
        told=compared.told,
        measure=compared.measure,
        others=[each for each in compared.measure.others if each[0] in SHOWN],
        same=len({frozenset(facts.by_image) for facts in runs}) == 1,
        settings=_differing(runs),
        pairs=[(run, compared.against_best(run)) for run in compared.runs if run is not best],
        curves=svg(overlaid, tuned, compared.measure.curve[1]) if tuned else "",
        loss=compared.measure.curve[1].replace("_", " "),
    )


def _differing(runs: Sequence[RunFacts]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which the runs differ, with each run's own."""
    keys = dict.fromkeys(key for facts in runs for key in facts.config)
    rows = [(key, [facts.config.get(key, "auto") for facts in runs]) for key in keys]
    return [(key, own) for key, own in rows if key != "output" and len(set(map(str, own))) > 1]
