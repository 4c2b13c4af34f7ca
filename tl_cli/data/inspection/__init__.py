"""A manifest -> Inspection: what the images are like, what is wrong and what it means."""

from tl_cli.data.inspection.figures import Inspection, Numbers, Spread, inspect
from tl_cli.data.inspection.findings import NOTE, WRONG, Finding

__all__ = ["NOTE", "WRONG", "Finding", "Inspection", "Numbers", "Spread", "inspect"]
