"""What `tl_cli.evaluate` gives back: figures as numbers, and the one that people ask for first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.results.evaluation import Diagnostics, Evaluation, Sliced
    from tl_cli.results.multilabel import MultilabelEvaluation
    from tl_cli.results.regression import RegressionEvaluation


@dataclass(frozen=True)
class EvaluationResult:
    """A classifier's figures on images of known classes, and what follows from them.

    Of several labels an image, and of a predicted number, its figures, and these by a column.
    """

    figures: Evaluation | MultilabelEvaluation | RegressionEvaluation
    diagnostics: Diagnostics | None = field(repr=False)  # of one label an image
    sliced: Sliced | None = field(default=None, repr=False)  # of others, by the values of a column

    @property
    def accuracy(self) -> float:
        """The share of images that were recognised, 0 to 1; of several labels: all of them.

        Raises TLError of a number.
        """
        return share(self.figures)

    @property
    def mean_average_precision(self) -> float:
        """Of several labels: how well their probabilities order the images. Else raises TLError."""
        return mean_average_precision_of(self.figures)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy; of a number: of the mean absolute error."""
        ends = self.figures.intervals
        [name] = ends.keys() & {"accuracy", "subset_accuracy", "mae"}
        return ends[name]

    def to_json(self) -> dict[str, Any]:
        """Return what `tl evaluate --json` prints, but for pictures; keys as in docs/json.md."""
        more = [each.to_json() for each in (self.diagnostics, self.sliced) if each]
        return {
            key: value for told in (self.figures.to_json(), *more) for key, value in told.items()
        }


def share(figures: Evaluation | MultilabelEvaluation | RegressionEvaluation) -> float:
    """Return the share of images of which the label, or all labels, are right."""
    for name in ("accuracy", "subset_accuracy"):
        if hasattr(figures, name):
            return float(getattr(figures, name))
    raise TLError(
        "of a predicted number there is no accuracy", "its errors are in `figures`: mae, rmse"
    )


def mean_average_precision_of(
    figures: Evaluation | MultilabelEvaluation | RegressionEvaluation,
) -> float:
    if not hasattr(figures, "mean_average_precision"):
        raise TLError("an image has one label here, and no average precision", "see .accuracy")
    return float(figures.mean_average_precision)
