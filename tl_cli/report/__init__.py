"""A run -> pictures and one HTML page. Knows nothing of how results were made, nor of networks."""

from tl_cli.report.advice import advice_png
from tl_cli.report.facts import RunFacts, read
from tl_cli.report.page import MOST_MISTAKES, comparison_html, report_html
from tl_cli.report.pictures import augment_png, classes_png, confusion_png, labels, samples_png
from tl_cli.report.pictures import sizes_png as sizes_png

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
