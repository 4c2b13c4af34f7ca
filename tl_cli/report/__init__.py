"""A run -> pictures and one HTML page. Knows nothing of how results were made, nor of networks."""

from tl_cli.report.comparison_page import comparison_html
from tl_cli.report.facts import RunFacts, read
from tl_cli.report.figures.answers import confusion_png
from tl_cli.report.figures.dataset import augment_png, classes_png, samples_png, sizes_png
from tl_cli.report.figures.evidence import advice_png
from tl_cli.report.figures.names import labels
from tl_cli.report.page import MOST_MISTAKES, report_html

__all__ = [
    "MOST_MISTAKES",
    "RunFacts",
    "advice_png",
    "augment_png",
    "classes_png",
    "comparison_html",
    "confusion_png",
    "labels",
    "read",
    "report_html",
    "samples_png",
    "sizes_png",
]
