"""A head solved on features that stay on disk is the one that is solved in memory."""

from __future__ import annotations

import numpy as np
import pytest

from tiny import coloured, tiny_context, tiny_head
from tl_cli.engine import unknown
from tl_cli.engine.finetune.candidates import from_head
from tl_cli.engine.head import choice, row_blocks, solver
from tl_cli.engine.head.learning_curve import learning_curve
from tl_cli.engine.head.row_blocks import RowBlocks, columns, stacked, taken
from tl_cli.results.progress import silent
from tl_cli.store.rows import Rows

N, WIDTHS, CLASSES = 4_500, (5, 9, 12), 4
SKIPPED = 7  # columns before those that a head sees


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, N)


@pytest.fixture(scope="module")
def rows(labels: np.ndarray) -> Rows:
    rng = np.random.default_rng(1)
    means = rng.normal(0, 1, (CLASSES, SKIPPED + sum(WIDTHS))) + 3
    values = (means[labels] + rng.normal(0, 1.5, (N, means.shape[1]))).astype("float16")
    order = rng.permutation(N)  # as a pass has them: not in the order of the images
    return Rows(values[np.argsort(order)], order)


def both(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, RowBlocks]:
    in_memory = row_blocks.kept(rows, sum(WIDTHS))
    monkeypatch.setattr(row_blocks, "available_memory", lambda: 1_000)
    on_disk = row_blocks.kept(rows, sum(WIDTHS))
    assert isinstance(in_memory, np.ndarray) and isinstance(on_disk, RowBlocks)
    return in_memory, on_disk


def test_blocks_are_read_as_an_array_is(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    array, blocks = both(rows, monkeypatch)
    assert (array.shape, array.dtype) == (blocks.shape, blocks.dtype)
    assert np.array_equal(array, rows.array()[:, SKIPPED:])
    some = np.array([4, 4_400, 3, 3])
    for features in (array, blocks):
        part = columns(taken(taken(features, slice(10, None)), some), slice(-12, -2))
        assert np.array_equal(part[:], array[10:][some][:, -12:-2])
        two = stacked([taken(features, slice(0, 5)), taken(features, some)])
        assert np.array_equal(two[1:], np.concatenate([array[1:5], array[some]]))


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("widths", [(26,), WIDTHS], ids=["last", "joined"])
@pytest.mark.parametrize("n", [N, 40], ids=["many", "few"])
def test_the_solved_head_is_the_same(
    rows: Rows, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch,
    widths: tuple[int, ...], weighted: bool, n: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 30, n)
    weight = rng.uniform(0.5, 2, n) if weighted else None
    heads = [
        solver.solve_depths(
            taken(features, slice(0, n)), widths, labels[:n], CLASSES, method="ridge",
            sample_weight=weight, groups=groups,
        )
        for features in both(rows, monkeypatch)
    ]  # fmt: skip
    one, other = heads
    assert one.strength == other.strength
    for name in ("weights", "bias", "held_out", "temperature", "cv_log_loss"):
        assert np.allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-6), name


def test_what_follows_a_head_takes_them_too(
    rows: Rows, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array, blocks = both(rows, monkeypatch)
    curves = [
        learning_curve(taken(f, slice(0, 900)), labels[:900], taken(f, slice(900, 1200)),
                       labels[900:1200], CLASSES, WIDTHS)
        for f in (array, blocks)
    ]  # fmt: skip
    assert curves[0] == curves[1] and curves[0] is not None
    scores = [unknown.fit(taken(f, slice(0, 900)), labels[:900], WIDTHS) for f in (array, blocks)]
    assert all(scores)
    asked = array[4_000:4_100]
    assert np.allclose(*(score.scores(asked) for score in scores if score), atol=1e-3)


def test_where_memory_is_short_a_run_solves_on_disk_by_itself(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = tiny_context(coloured(tmp_path / "set", 30), freeze="head")
    first = tiny_head(context)
    monkeypatch.setattr(row_blocks, "available_memory", lambda: 1_000)
    second = tiny_head(context)
    assert isinstance(first.features["train"], np.ndarray)
    assert all(isinstance(part, RowBlocks) for part in second.features.values())
    assert first.result.kind == second.result.kind
    assert np.allclose(first.head.weights, second.head.weights, rtol=1e-6, atol=1e-6)
    refit = [choice.refit(context, solved) for solved in (first, second)]
    assert np.allclose(refit[0].bias, refit[1].bias, rtol=1e-6, atol=1e-6)
    trained = from_head(context, second)
    assert np.allclose(trained.fitted, from_head(context, first).fitted, atol=1e-6)
    pooled = choice.extract(context, silent)
    told = choice.probabilities_of(context, trained.classifier, pooled)
    monkeypatch.undo()
    assert np.allclose(
        told, choice.probabilities_of(context, trained.classifier, pooled), atol=1e-6
    )
