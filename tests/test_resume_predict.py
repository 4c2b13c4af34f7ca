"""`tl predict --resume`: only what began a file of answers goes on with it, to the same end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tl_cli.errors import TLError
from tl_cli.store import prediction_origin, prediction_writer, run_dir
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_origin import PredictionOrigin
from tl_cli.store.run_dir import RunDir

BEGAN = PredictionOrigin("runs/one", "a" * 32, {"--top-k": 1, "--min-confidence": 0.0})
INPUTS = [f'{i}, "two\nlines".png' for i in range(10)]


def answer(path: str, says: str = "cat") -> ImagePrediction:
    return ImagePrediction(path, ((says, 0.5),), says)


def go_on(file: Path, origin: PredictionOrigin, *, says: str = "cat", stop: int = 10,
          inputs: Sequence[str] = INPUTS, batch: int = 4) -> int:  # fmt: skip
    """Write the answers up to the one at `stop`; return with which one it began."""
    with prediction_writer.writing(
        file, file.suffix[1:], 1, resume=file.exists(), inputs=inputs, origin=origin, batch=batch
    ) as sheet:
        start = sheet.rows
        for i in range(start, min(stop, len(inputs)), batch):
            sheet.write([answer(path, says) for path in inputs[i : min(i + batch, stop)]])
        return start


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_what_was_cut_off_in_a_batch_is_answered_in_the_same_batches(tmp_path, ending):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    go_on(whole, BEGAN)
    go_on(cut, BEGAN, stop=7)
    assert go_on(cut, BEGAN) == 4
    assert cut.read_bytes() == whole.read_bytes()
    assert go_on(cut, BEGAN) == 10  # of a whole file nothing is answered again


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (PredictionOrigin("runs/two", "b" * 32, BEGAN.options), "another checkpoint"),
        (PredictionOrigin("runs/one", "a" * 32, {"--top-k": 2}), "--top-k 1, not 2"),
    ],
)
def test_another_checkpoint_or_option_does_not_go_on(tmp_path, other, said):
    file = tmp_path / "rows.jsonl"
    go_on(file, BEGAN, stop=8)
    before = file.read_bytes()
    with pytest.raises(TLError, match=said):
        go_on(file, other)
    assert file.read_bytes() == before


@pytest.mark.parametrize("kept", [None, "", "[]", '{"checkpoint": 1}', "[" * 100_000])
def test_rows_of_an_unknown_checkpoint_are_not_gone_on_with(tmp_path, kept):
    file = tmp_path / "rows.csv"
    go_on(file, BEGAN, stop=8)
    place = prediction_origin.place(file)
    place.unlink() if kept is None else place.write_text(kept)
    before = file.read_bytes()
    with pytest.raises(TLError, match="which checkpoint began"):
        go_on(file, BEGAN)
    assert file.read_bytes() == before


def test_a_checkpoint_is_its_content(tmp_path):
    run = RunDir(tmp_path)
    (run / run_dir.CHECKPOINT).write_text("{}")
    (run / run_dir.WEIGHTS).write_bytes(b"one")
    one = prediction_origin.of(run, {})
    assert prediction_origin.of(run, {}) == one
    (run / run_dir.WEIGHTS).write_bytes(b"two")
    assert prediction_origin.of(run, {}).checkpoint != one.checkpoint


def test_the_origin_lies_beside_and_can_be_read(tmp_path):
    file = tmp_path / "rows.csv"
    go_on(file, BEGAN, stop=4)
    kept = json.loads((tmp_path / "rows.csv.tl.json").read_text())
    assert kept == {"run": "runs/one", "checkpoint": "a" * 32, "options": dict(BEGAN.options)}
