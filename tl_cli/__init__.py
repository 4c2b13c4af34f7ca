"""tl: the transfer-learning trainer, for the command line and for Python.

    import tl_cli as tl

    run = tl.train("photos", output="runs/photos")
    for label, probability in run.model.predict(["a.jpg", "b.jpg"]):
        print(label, probability)

Importing this costs nothing: what a name needs is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it: importing typing would be most of the cost
if TYPE_CHECKING:
    from tl_cli.api import Model, TrainingResult, load, recommend_freeze, train
    from tl_cli.api_predictions import Prediction, Predictions
    from tl_cli.api_results import EvaluationResult
    from tl_cli.errors import TLError

__version__ = "0.1.0"

_PLACES = {
    "TLError": "tl_cli.errors",
    **dict.fromkeys(("Prediction", "Predictions"), "tl_cli.api_predictions"),
    "EvaluationResult": "tl_cli.api_results",
    **dict.fromkeys(("load", "train", "recommend_freeze", "Model", "TrainingResult"), "tl_cli.api"),
}
__all__ = [
    "EvaluationResult",
    "Model",
    "Prediction",
    "Predictions",
    "TLError",
    "TrainingResult",
    "load",
    "recommend_freeze",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'tl_cli' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
