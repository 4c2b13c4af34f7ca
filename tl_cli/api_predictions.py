"""Images from Python, and what they were taken for: pictures and arrays in, predictions out.

Knows nothing of runs and networks.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tl_cli.errors import TLError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture

    from tl_cli.engine.predict import Source
    from tl_cli.store.prediction_forms import ImagePrediction

    Image = str | os.PathLike[str] | Picture | np.ndarray


class Guess(NamedTuple):
    """One class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What one image was taken for. Iterated over, it gives its label and its probability."""

    path: str  # "" of an image in memory
    # `unknown` unlike all training images, `unsure` below `min_confidence`; "": error. Of several
    # labels an image: those that are said of it, joined by `;`, which may be none
    label: str
    top: tuple[Guess, ...]  # the best first, `top_k` of them
    probabilities: Mapping[str, float] = field(repr=False)  # of every class, by its name
    error: str = ""  # why it could not be opened, where errors are kept
    unknown_score: float | None = None  # above 1: unlike all training images; None: nobody can tell
    value: float | None = None  # where a number is predicted, its interval: see `Model.interval`
    lower: float | None = None
    upper: float | None = None
    labels: tuple[str, ...] = ()  # all that are said of it; where it has one, that

    @property
    def probability(self) -> float:
        """The probability of the best guess; not a number with an error."""
        return self.top[0].probability if self.top else float("nan")

    def __iter__(self) -> Iterator[Any]:
        return iter((self.label, self.probability))


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """What images were taken for, in the order in which they were given."""

    rows: tuple[Prediction, ...]
    classes: tuple[str, ...]
    left_out: Mapping[str, int]  # files of folders that are no images, by ending

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, index: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> list[str]:
        """The label of each image."""
        return [row.label for row in self.rows]

    @property
    def probabilities(self) -> np.ndarray:
        """All probabilities, float32 [n, C] in the order of `classes`; NaN where there are none."""
        import numpy as np

        rows = [[row.probabilities.get(c, np.nan) for c in self.classes] for row in self.rows]
        return np.array(rows, "float32").reshape(len(rows), len(self.classes))


def prediction_of(answer: ImagePrediction, classes: Sequence[str], top_k: int) -> Prediction:
    from tl_cli.store.prediction_forms import ValuePrediction

    said = dict(answer.guesses)
    if isinstance(answer, ValuePrediction):
        low, high = answer.ends or (None, None)
        label = "" if answer.value is None else f"{answer.value:.7g}"
        return Prediction(
            answer.path, label, (), {}, answer.error, unknown_score=answer.unknown_score,
            value=answer.value, lower=low, upper=high,
        )  # fmt: skip
    return Prediction(
        path=answer.path,
        label=answer.label,
        top=tuple(Guess(*guess) for guess in answer.guesses[:top_k]),
        probabilities={name: said[name] for name in classes} if said else {},
        error=answer.error,
        unknown_score=answer.unknown_score,
        labels=getattr(answer, "labels", (answer.label,) if answer.label else ()),
    )


def unreadable(answer: ImagePrediction, number: int) -> TLError:
    from tl_cli.humanize import short

    name = short(answer.path) if answer.path else f"image {number}"
    return TLError(f"{name} {answer.error}", "errors='keep' gives such an image a row of its own")


def inputs_of(images: Image | Iterable[Image], left_out: Counter[str]) -> Iterator[Source]:
    """Yield paths, files and pictures; paths are what they are on the command line."""
    from PIL.Image import Image as Picture

    from tl_cli.data.sources.inputs import named_images

    one = isinstance(images, str | os.PathLike | Picture) or _is_picture(images)
    for given in [images] if one else images:  # type: ignore[union-attr]
        if isinstance(given, str | os.PathLike):
            path = os.fspath(given)
            if path == "-":
                raise TLError("'-' stands for standard input, of the command alone", "give a list")
            yield from named_images([path], (), left_out)
        elif isinstance(given, Picture):
            yield _file_of(given) or given
        else:
            yield _picture(given)


def _file_of(picture: Picture) -> io.BytesIO | None:
    """Return the file of a picture that was opened and not decoded; None where it was.

    It is then decoded as any other file, and the caller's own picture is left as it is.
    """
    file = getattr(picture, "fp", None)
    if not file or not getattr(picture, "tile", None):
        return None
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return io.BytesIO(data)


def _is_picture(images: object) -> bool:
    """Return whether this is one array [h, w] or [h, w, 3], and not a batch of them."""
    shape = getattr(images, "shape", None)
    return shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _picture(array: Any) -> Picture:
    """Return an array as a picture. Raises TLError for what is none."""
    import numpy as np
    from PIL import Image

    if not isinstance(array, np.ndarray):
        raise TLError(
            f"an image cannot be a {type(array).__name__}",
            "give paths, pictures of PIL, or arrays uint8 [height, width, 3]",
        )
    if array.dtype != np.uint8 or not _is_picture(array) or 0 in array.shape:
        raise TLError(
            f"an array of {array.dtype} {list(array.shape)} is no image",
            "give uint8 [height, width, 3], RGB from 0 to 255",
        )
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)
