"""Training images whose label looks wrong -> one page. Knows nothing of how they were found."""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.data.manifest import Record
from tl_cli.humanize import short
from tl_cli.report import images
from tl_cli.report.page import rendered
from tl_cli.results.label_errors import LabelError

MOST = 120  # images on the page
SIDE = 200  # pixels


def label_errors_html(found: Sequence[LabelError], total: int, *, several: bool = False) -> str:
    """Return the page, the most doubtful first. `total`: training images in all.

    `several`: whether an image may have several labels, each of which may be doubted.
    """
    shown = [
        (each, short(each.path).strip("'\""), images.picture(Record(each.path, each.label), SIDE))
        for each in found[:MOST]
    ]
    return rendered(
        "label_errors.html.jinja",
        title="Doubtful labels",
        shown=shown,
        count_all=len(found),
        total=total,
        several=several,
    )
