"""Training images whose label looks wrong -> one page. Knows nothing of how they were found."""

from __future__ import annotations

from collections.abc import Sequence

from tl_cli.manifest import Record
from tl_cli.manifest.records import short
from tl_cli.report import images
from tl_cli.report.page import rendered
from tl_cli.results.doubts import Doubt

MOST = 120  # images on the page
SIDE = 200  # pixels


def doubts_html(found: Sequence[Doubt], total: int) -> str:
    """Return the page, the most doubtful first. `total`: training images in all."""
    shown = [
        (each, short(each.path).strip("'\""), images.picture(Record(each.path, each.label), SIDE))
        for each in found[:MOST]
    ]
    return rendered(
        "doubts.html.jinja", title="Doubtful labels", shown=shown, count_all=len(found), total=total
    )
