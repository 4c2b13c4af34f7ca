"""Training images whose label looks wrong -> one page. Knows nothing of how they were found."""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.data.manifest import CLASSIFICATION, Record
from tl_cli.humanize import short
from tl_cli.report import images
from tl_cli.report.page import rendered
from tl_cli.results.label_errors import Doubted, DoubtfulValue
from tl_cli.results.regression import said

MOST = 120  # images on the page
SIDE = 200  # pixels


def label_errors_html(found: Sequence[Doubted], total: int, task: str = CLASSIFICATION) -> str:
    """Return the page, the most doubtful first. `total`: training images in all."""
    shown = [
        (
            each,
            short(each.path).strip("'\""),
            images.picture(Record(each.path, str(each.label)), SIDE),
            said(each.suggested, each.spread) if isinstance(each, DoubtfulValue) else "",
        )
        for each in found[:MOST]
    ]
    return rendered(
        "label_errors.html.jinja",
        title="Doubtful labels",
        shown=shown,
        count_all=len(found),
        total=total,
        task=task,
    )
