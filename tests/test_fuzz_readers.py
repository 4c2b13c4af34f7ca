"""Whatever a file or an option holds: it is read, or it is one sentence; what we wrote comes back.

A few seconds in every run of the tests; `-m slow` goes on for ten minutes, from another seed.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tl_cli import config, csv_cells
from tl_cli.config import RunConfig
from tl_cli.data import listing
from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.manifest import Manifest, Options, Record
from tl_cli.errors import TLError
from tl_cli.results import predictions
from tl_cli.results.predictions import Prediction
from tl_cli.store import checkpoint, prediction_origin, prediction_writer, sorted_folders
from tl_cli.store.prediction_forms import ImagePrediction
from tl_cli.store.prediction_origin import PredictionOrigin

BRIEFLY, TEN_MINUTES = 40, 600  # examples; seconds, of all properties together
ORIGIN = PredictionOrigin("run", "0", {})
ODD = "='+-@\t\r\n\",;\\/.~&*!{}[]<>| \u202e\ufeff\u200bäÄé\udcff0aA"
words = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=12)
on_disk = words.map(lambda text: text.replace("\0", ""))
names = on_disk.filter(lambda text: text.strip())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
)
lines = st.lists(st.sampled_from(sorted(RunConfig.model_fields)) | words, max_size=6)
settings_text = st.lists(st.tuples(lines, words), max_size=6).map(
    lambda pairs: "\n".join(f"{':'.join(keys)}: {value}" for keys, value in pairs)
)
tables = st.lists(st.lists(words, max_size=4), max_size=5).map(
    lambda rows: "path,label\n" + "\n".join(",".join(row) for row in rows)
)
numbers = st.integers(0, 10**6)
records = st.builds(
    Record, path=names, label=names, split=st.sampled_from(["train", "val", "test", ""]),
    group=on_disk, width=numbers, height=numbers, mode=st.sampled_from(["RGB", "I;12"]),
)  # fmt: skip
shares = st.floats(0, 1).map(lambda p: round(p, 6))
answers = st.builds(
    ImagePrediction, on_disk, st.just((("cat", 0.5),)), names, on_disk
)  # a path and an error may be anything


@dataclass(frozen=True)
class Property:
    """What holds for all values of a strategy: `check` fails where it does not."""

    values: Any
    check: Callable[[Any, Path], None]


def read_or_told(read: Callable[[], Any]) -> Any:
    """Return what is read, None where that is refused in one sentence."""
    try:
        return read()
    except TLError as error:
        assert error.message.strip()
        return None


def of_bytes(ending: str, read: Callable[[Path], Any]) -> Callable[[Any, Path], None]:
    def check(content: Any, folder: Path) -> None:
        path = folder / f"file{ending}"
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        path.write_bytes(data)
        read_or_told(lambda: read(path))

    return check


def a_configuration_comes_back(given_: dict[str, str], folder: Path) -> None:
    loaded = read_or_told(lambda: config.load(flags={"data": "x", **given_}))
    if loaded:
        path = folder / "again.yaml"
        path.write_text(loaded.to_yaml(), encoding="utf-8")
        assert config.load(path) == loaded
        json.dumps(loaded.model_dump(), allow_nan=False)


def a_manifest_comes_back(rows: list[Record], folder: Path) -> None:
    write_csv(Manifest("x", (), tuple(rows)), folder / "manifest.csv")
    assert list(read_csv(folder / "manifest.csv").records) == rows


def predictions_come_back(rows: list[Prediction], folder: Path) -> None:
    path = folder / "predictions.csv"
    path.write_text(predictions.csv_text(rows), errors="surrogateescape", newline="")
    assert predictions.read(path) == rows


def answers_are_gone_on_with(drawn: tuple[list[ImagePrediction], int, str], folder: Path) -> None:
    rows, cut, ending = drawn
    path = folder / f"rows.{ending}"
    path.unlink(missing_ok=True)
    inputs = [row.path for row in rows]

    def work(*, resume: bool) -> bytes:
        with prediction_writer.writing(
            path, ending, 1, resume=resume, inputs=inputs, origin=ORIGIN, batch=2
        ) as sheet:
            for i in range(sheet.rows, len(rows), 2):
                sheet.write(rows[i : i + 2])
        return path.read_bytes()

    whole = work(resume=False)
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    assert work(resume=True) == whole


def answers_of_somebody_are_refused(drawn: tuple[str, str, str], folder: Path) -> None:
    start, text, ending = drawn
    path = folder / f"rows{ending}"
    path.write_text(start + text, encoding="utf-8", newline="")
    before = path.read_bytes()

    def work() -> None:
        with prediction_writer.writing(
            path, ending[1:], 1, resume=True, inputs=["a.png"], origin=ORIGIN
        ):
            pass

    prediction_origin.place(path).unlink(missing_ok=True)
    if read_or_told(work) is None and prediction_origin.place(path).exists():
        assert start.startswith(before.decode()[:1]) or not before  # ours, and without a row
    else:
        assert path.read_bytes() == before


def no_cell_is_a_formula(cell: str, folder: Path) -> None:
    written = csv_cells.written(cell)
    assert csv_cells.meant(written) == cell
    assert written[:1] not in tuple("=@\t\r") or not written
    assert written[:1] not in ("+", "-") or csv_cells.HARMLESS.fullmatch(written)
    text = csv_cells.table(["a", "b"], [[cell, "x"], ["", cell]])
    assert csv_cells.rows(text) == [{"a": cell, "b": "x"}, {"a": "", "b": cell}]


def no_two_labels_share_a_folder(labels: list[str], folder: Path) -> None:
    made = sorted_folders.folder_names(labels)
    folded = [unicodedata.normalize("NFC", name).casefold() for name in made.values()]
    assert len(set(folded)) == len(made)
    for name in made.values():
        assert name not in (".", "..", "") and not set(name) & set("/\\\0\n")


jsons = values.map(lambda value: json.dumps(value))
PROPERTIES = {
    "a config file": Property(
        settings_text | words | st.binary(max_size=80), of_bytes(".yaml", config.load)
    ),
    "options": Property(
        st.dictionaries(st.sampled_from(sorted(RunConfig.model_fields)), words, max_size=4),
        a_configuration_comes_back,
    ),
    "--set": Property(
        st.lists(words, max_size=4),
        lambda sets, _: read_or_told(lambda: config.load(sets=sets, flags={"data": "x"})),
    ),
    "a table": Property(
        tables | st.binary(max_size=80),
        of_bytes(".csv", lambda path: listing.listed(str(path), Options())),
    ),
    "lines of JSON": Property(
        st.lists(jsons, max_size=3).map("\n".join) | st.binary(max_size=80),
        of_bytes(".jsonl", lambda path: listing.listed(str(path), Options())),
    ),
    "a manifest of ours": Property(
        st.lists(records, min_size=1, max_size=4), a_manifest_comes_back
    ),
    "a manifest": Property(tables | st.binary(max_size=80), of_bytes(".csv", read_csv)),
    "predictions of ours": Property(
        st.lists(st.builds(Prediction, on_disk, words, names, names, shares), max_size=4),
        predictions_come_back,
    ),
    "predictions": Property(tables | st.binary(max_size=80), of_bytes(".csv", predictions.read)),
    "answers cut off": Property(
        st.tuples(st.lists(answers, max_size=5), numbers, st.sampled_from(["csv", "jsonl"])),
        answers_are_gone_on_with,
    ),
    "answers of somebody": Property(
        st.tuples(
            st.sampled_from(["path,label,probability,error\n", ""]),
            st.lists(jsons | words, max_size=3).map("\n".join),
            st.sampled_from([".csv", ".jsonl"]),
        ),
        answers_of_somebody_are_refused,
    ),
    "a checkpoint": Property(
        jsons | st.binary(max_size=80), of_bytes(".json", checkpoint.describe)
    ),
    "a cell": Property(words, no_cell_is_a_formula),
    "labels": Property(st.lists(words, unique=True, max_size=6), no_two_labels_share_a_folder),
}  # fmt: skip


def examples(name: str, folder: Path, most: int, number: int = 0) -> None:
    """Try a property on so many values, the same for the same number."""
    wanted = PROPERTIES[name]

    @hypothesis.seed(number)
    @settings(max_examples=most, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(wanted.values)
    def holds(value: Any) -> None:
        wanted.check(value, folder)

    holds()


def test_a_line_of_json_that_is_nested_too_deeply_is_told_with_its_number(tmp_path):
    (tmp_path / "labels.jsonl").write_text("[" * 100_000)
    with pytest.raises(TLError, match="line 1: not JSON"):
        listing.listed(str(tmp_path / "labels.jsonl"), Options())


@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds(name, tmp_path):
    examples(name, tmp_path, BRIEFLY)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_it_holds_for_longer(name, tmp_path):
    end = time.monotonic() + TEN_MINUTES / len(PROPERTIES)
    number = time.time_ns() % 10**9
    while time.monotonic() < end:
        number += 1
        print(f"{name}, seed {number}")  # what is shown where it fails
        examples(name, tmp_path, 200, number)
