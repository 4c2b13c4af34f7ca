"""Where the score for unknown images lies beside a checkpoint: arrays in an archive, no pickles.

Whoever got a checkpoint from somebody else got this file too, so nothing in it is believed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.unknown import UnknownScore
from tl_cli.errors import TLError
from tl_cli.store import reading, run_dir
from tl_cli.store.run_dir import RunDir

ARRAYS, NUMBERS = ("divisors", "means", "directions", "less"), ("rest", "threshold")
HINT = "train again, or go on without it: --no-unknown"


def write(path: Path, score: UnknownScore) -> None:
    """Write a score. Raises OSError."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*ARRAYS, *NUMBERS):
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, np.asarray(getattr(score, name), order="C"), allow_pickle=False)


def load(run: RunDir, built: Classifier) -> UnknownScore | None:
    """Return the score that belongs to a run's loaded checkpoint.

    None where there is none: it was trained from scratch, on very few images, or by an older tl.
    Raises TLError where it is damaged, or of another network.
    """
    path = run / run_dir.UNKNOWN_SCORE
    try:
        score = _read(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a damaged file makes numpy and zipfile raise
        raise TLError(
            f"{path} is damaged: it tells unknown images from known ones", HINT
        ) from error
    classes = len(built.classes)
    if score.divisors.shape != (built.width,) or not 1 <= len(score.means) <= classes:
        raise TLError(f"{path} belongs to another network than {run_dir.WEIGHTS}", HINT)
    return score


def _read(path: Path) -> UnknownScore:
    with reading.opened(path) as file, zipfile.ZipFile(file) as archive:
        # an archive that unpacks to more than it is would be taken into memory
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")
        held = {name: _array(archive, f"{name}.npy") for name in (*ARRAYS, *NUMBERS)}
    divisors, means, directions, less = (held[name].astype("float32") for name in ARRAYS)
    rest, threshold = (float(held[name]) for name in NUMBERS)
    score = UnknownScore(divisors, means, directions, less, rest, threshold)
    _check(score)
    return score


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array of finite numbers. Raises ValueError where it is none."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0(member) if version == (1, 0) else None
        if header is None or header[1] or header[2].kind != "f":
            raise ValueError(f"{name} holds no numbers")
        # what the header says is compared with what there is before room is made for it
        array = np.frombuffer(member.read(), header[2]).reshape(header[0])
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds no finite numbers")
    return array


def _check(score: UnknownScore) -> None:
    """Raise ValueError unless the arrays go together."""
    width, rank = len(score.divisors), len(score.less)
    shapes = [getattr(score, name).shape for name in ARRAYS]
    if shapes != [(width,), (len(score.means), width), (width, rank), (rank,)]:
        raise ValueError("its arrays do not go together")
    if not (score.rest > 0 and score.threshold > 0 and (score.divisors > 0).all()):
        raise ValueError("its numbers are no scales")
