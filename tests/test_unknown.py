"""How unlike the training images an image is: the score, and its file. Networks are not needed."""

import io
import zipfile

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from tl_cli.engine import unknown, unknown_file
from tl_cli.engine.export import unknown as export_layers
from tl_cli.errors import TLError
from tl_cli.store.run_dir import UNKNOWN_SCORE, RunDir

CLASSES, WIDTHS = 4, (20, 40)


def drawn(n: int, seed: int = 0, centre: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return features [n, 60] around a point a class, and labels; another seed draws others."""
    middles = np.random.default_rng(9).normal(0, 1, (CLASSES, sum(WIDTHS))) * centre
    labels = np.arange(n) % CLASSES
    noise = np.random.default_rng(seed).normal(0, 0.5, (n, sum(WIDTHS)))
    noise[:, :3] *= 6  # a few directions that vary much within every class
    return (middles[labels] + noise).astype("float32"), labels


def strange(n: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1.5, (n, sum(WIDTHS))).astype("float32")


def fitted(n: int = 400, **options):
    score = unknown.fit(*drawn(n), WIDTHS, **options)
    assert score
    return score


def test_what_is_unlike_all_classes_is_told_and_one_in_a_hundred_of_the_others():
    score = fitted()
    known = score.scores(drawn(4000, seed=1)[0])
    assert 0.002 < (known > 1).mean() < 0.03
    assert (score.scores(strange(200)) > 1).all()


def test_the_threshold_is_of_images_that_were_held_out():
    score = fitted(120)
    own = score.scores(drawn(120)[0])  # that it was fitted to: nearer to their own mean
    assert (own > 1).mean() < (score.scores(drawn(4000, seed=1)[0]) > 1).mean() < 0.05


def test_a_distance_is_what_the_whole_inverse_covariance_gives():
    score, (x, _) = fitted(), drawn(30, seed=2)
    inverse = score.rest * np.eye(60) - (score.directions * score.less) @ score.directions.T
    assert np.linalg.eigvalsh(inverse).min() > 0
    rows = x / score.divisors
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    apart = rows[:, None] - score.means[None]
    expected = np.einsum("ncd,de,nce->nc", apart, inverse, apart).min(1)
    assert score.distances(x) == pytest.approx(expected, rel=1e-4)


def test_directions_that_vary_within_classes_count_less():
    score, (x, labels) = fitted(), drawn(400)
    middle = x[labels == 0].mean(0)
    moved = np.repeat(middle[None], 2, axis=0)
    moved[0, 0] += 3  # as all images of a class do
    moved[1, 30] += 3
    wide, narrow = score.distances(moved)
    assert wide < narrow / 4


@pytest.mark.parametrize("shape", [(30, 60), (200, 60)])
def test_the_covariance_is_shrunk_as_scikit_learn_does(shape):
    rows = np.random.default_rng(0).normal(0, 1, shape) * np.linspace(0.1, 3, 60)
    shrinkage, values, directions = unknown._covariance(rows)
    assert shrinkage == pytest.approx(ledoit_wolf_shrinkage(rows, assume_centered=True))
    whole = (directions * values) @ directions.T
    assert whole == pytest.approx(rows.T @ rows / len(rows), abs=1e-9)


def test_brightness_alone_makes_nothing_unlike():
    score, (x, _) = fitted(), drawn(50, seed=3)
    assert score.scores(x * 2) == pytest.approx(score.scores(x), rel=1e-4)


def test_the_images_of_a_group_are_held_out_together():
    x, labels = drawn(200)
    twice, names = np.concatenate([x, x + 1e-3]), np.concatenate([labels, labels])
    groups = np.concatenate([np.arange(200), np.arange(200)])
    alone = unknown.fit(twice, names, WIDTHS)
    together = unknown.fit(twice, names, WIDTHS, groups=groups)
    assert together.threshold > 1.1 * alone.threshold


def test_of_few_images_or_of_equal_ones_nothing_can_be_told():
    assert unknown.fit(*drawn(unknown.LEAST - 1), WIDTHS) is None
    assert unknown.fit(np.ones((50, 60), "float32"), np.arange(50) % 2, WIDTHS) is None


def test_classes_of_one_image_do_not_set_the_threshold():
    x, labels = drawn(200)
    lone = np.concatenate([x, strange(3)])
    score = unknown.fit(lone, np.concatenate([labels, [4, 5, 6]]), WIDTHS)
    assert score.threshold < 1.3 * fitted(200).threshold
    assert (score.scores(strange(3)) < 1).all()  # they are known all the same
    only = unknown.fit(x[:40], np.arange(40), WIDTHS)  # a class an image, throughout
    assert only is None or np.isfinite(only.scores(x)).all()


def test_more_images_than_are_needed_are_drawn_from(monkeypatch):
    whole = fitted(800)
    monkeypatch.setattr(unknown, "MOST", 200)
    some = fitted(800)
    assert np.array_equal(some.means, whole.means)
    assert some.threshold == pytest.approx(whole.threshold, rel=0.5)
    assert (some.scores(drawn(2000, seed=1)[0]) > 1).mean() < 0.04


@pytest.mark.parametrize("n", [40, 400])
def test_layers_of_keras_give_the_same_scores(n):
    layers = export_layers.layers(fitted(n))
    x = np.concatenate([drawn(30, seed=2)[0], strange(5), np.zeros((1, 60), "float32")])
    found = np.asarray(layers(x))
    assert found.shape == (36,)
    assert found == pytest.approx(fitted(n).scores(x), rel=1e-4)


# -- the file -------------------------------------------------------------------------------------


class Built:
    """As much of a classifier as the file is compared with."""

    width, classes = sum(WIDTHS), tuple("abcdefghijklmnopqrstuvwxyz"[:CLASSES])


def test_a_score_comes_back_from_its_file(tmp_path):
    score, (x, _) = fitted(), drawn(20, seed=2)
    unknown_file.write(tmp_path / UNKNOWN_SCORE, score)
    back = unknown_file.load(RunDir(tmp_path), Built)
    assert back.scores(x) == pytest.approx(score.scores(x), rel=1e-9)


def test_without_a_file_there_is_none(tmp_path):
    assert unknown_file.load(RunDir(tmp_path), Built) is None


def archive(*, compression: int = zipfile.ZIP_STORED, **arrays: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, array in arrays.items():
            held = io.BytesIO()
            np.save(held, np.asarray(array, order="C"))
            file.writestr(f"{name}.npy", held.getvalue())
    return out.getvalue()


def whole() -> dict[str, object]:
    score = fitted(100)
    return {name: getattr(score, name) for name in (*unknown_file.ARRAYS, *unknown_file.NUMBERS)}


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    "change",
    [
        {"means": np.array([Evil()], object)},
        {"means": np.full((CLASSES, 60), np.nan, "float32")},
        {"means": np.zeros((CLASSES, 59), "float32")},
        {"directions": np.zeros((60, 3), "float32")},
        {"divisors": np.zeros(60, "float32")},
        {"threshold": np.float64(-1)},
        {"threshold": np.zeros(2)},
        {"rest": np.array("x")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_damaged_or_hostile_file_is_one_sentence(tmp_path, capsys, change):
    (tmp_path / UNKNOWN_SCORE).write_bytes(archive(**whole() | change))
    with pytest.raises(TLError, match="damaged") as error:
        unknown_file.load(RunDir(tmp_path), Built)
    assert "--no-unknown" in error.value.hint
    assert "executed" not in capsys.readouterr().out


def test_other_kinds_of_damage_are_one_sentence_too(tmp_path):
    good = archive(**whole())
    (tmp_path / UNKNOWN_SCORE).write_bytes(good)
    assert unknown_file.load(RunDir(tmp_path), Built)
    header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': "
    huge = header + b"(99999999999, 9999), }"
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w") as file:
        file.writestr("divisors.npy", huge.ljust(127) + b"\n")
    packed = archive(compression=zipfile.ZIP_DEFLATED, **whole())
    for content in (good[:-100], b"", b"PK", lying.getvalue(), packed):
        (tmp_path / UNKNOWN_SCORE).write_bytes(content)
        with pytest.raises(TLError, match="damaged"):
            unknown_file.load(RunDir(tmp_path), Built)


def test_the_file_of_another_network_is_noticed(tmp_path):
    unknown_file.write(tmp_path / UNKNOWN_SCORE, fitted())

    class Other(Built):
        width = 59

    with pytest.raises(TLError, match="another network"):
        unknown_file.load(RunDir(tmp_path), Other)
