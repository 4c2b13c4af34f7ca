"""What the page of `tl demo` says of an image: guesses, where the evidence lies, what it resembles.

Knows nothing of pages and servers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tl_cli.engine import explain, predict
from tl_cli.engine.explain import Explainer
from tl_cli.engine.features import neighbours as alike
from tl_cli.engine.features.neighbours import Nearest
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.tasks import TASKS
from tl_cli.errors import TLError
from tl_cli.results.demo import DemoAnswer
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store.prediction_forms import LabelsPrediction, ValuePrediction
from tl_cli.store.prediction_writer import UNSURE
from tl_cli.store.run_dir import RunDir


@dataclass(frozen=True)
class Demo:
    """A run that answers image by image; without what the run cannot explain."""

    classifier: Classifier
    explainer: Explainer | None  # None for a network that no map can be made of
    nearest: Nearest | None  # None where the run no longer says what it was trained on
    top: int
    least: float  # probability below which the best guess is called unsure
    neighbours: int

    def answer(self, path: str) -> DemoAnswer:
        """Return what is said of an image file; an error where it cannot be opened."""
        least = 0.0 if UNSURE in self.classifier.classes else self.least
        [[said]] = predict.answers(self.classifier, [path], top=self.top, least=least, batch_size=1)
        if said.error:
            return DemoAnswer(path, error=said.error)
        if isinstance(said, ValuePrediction):
            found = DemoAnswer(path, value=said.value, interval=self.classifier.interval)
        elif isinstance(said, LabelsPrediction):
            shown = said.guesses[: max(self.top, len(said.labels))]
            found = DemoAnswer(path, shown, labels=said.labels)
        else:
            found = DemoAnswer(path, said.guesses, said.guesses[0][1] < self.least)
        if self.explainer is None:
            return found
        [why] = explain.explained(
            self.explainer, [path], nearest=self.nearest, neighbours=self.neighbours
        )
        return replace(found, heat=why.heat, neighbours=why.neighbours, error=why.error)

    def warm_up(self) -> None:
        """Trace the networks, so that the first image is answered as fast as the others."""
        size = self.classifier.backbone.image_size
        blank = np.zeros((1, size, size, 3), "float32")
        self.classifier.inference_model.predict_on_batch(blank)
        if self.explainer:
            self.explainer.maps(blank, [0])
        if self.nearest:
            self.nearest.of(blank, 1)


def load(run: RunDir, on_progress: OnProgress, *, top: int, least: float, neighbours: int) -> Demo:
    """Load a run for its page. Raises TLError where there is no classifier; says what else lacks.

    `top`: guesses an image; `least`: see `Demo`; `neighbours`: training images shown beside it.
    """
    classifier = predict.load_checkpoint(run, TASKS)
    explainer = nearest = None
    try:
        explainer = explain.opened(classifier)
    except TLError as error:
        on_progress(Note(f"No map of the evidence: {error.message}.", warning=True))
    if neighbours and explainer:
        try:
            nearest = alike.load(run, classifier.backbone, on_progress)
        except TLError as error:
            on_progress(Note(f"No similar training images: {error.message}.", warning=True))
    demo = Demo(classifier, explainer, nearest, top, least, neighbours)
    demo.warm_up()
    return demo
