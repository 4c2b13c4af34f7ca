"""The one pass: what it gives, that it happens once, and that nothing half-written is ever read."""

import keras
import numpy as np
import pytest

from tiny import coloured, split_of, tiny_backbone
from tl_cli.engine import features
from tl_cli.engine.features import PLAIN, FeatureSpec, View
from tl_cli.engine.networks import graph
from tl_cli.results.progress import Note
from tl_cli.store import cache
from tl_cli.store.rows import Table


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture
def records(tmp_path):
    return split_of(coloured(tmp_path / "data", 15)).records


@pytest.fixture
def passes(monkeypatch):
    """Count the images that pass the network."""
    seen = []
    predict = keras.Model.predict_on_batch

    def counted(self, x):
        seen.append(len(x))
        return predict(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    return seen


def direct(backbone, records, cut):
    images = features.images(records, 32)
    return graph.feature_extractor(backbone.model, [cut]).predict(images, verbose=0)


def test_pooled_taps_and_the_cut_are_what_the_network_gives(backbone, records):
    both = [FeatureSpec((2, 6), dtype="float32"), FeatureSpec((2,), 3, dtype="float32")]
    pooled, rows = features.extract(backbone, records, both)
    taps = [direct(backbone, records, tap).mean((1, 2)) for tap in (2, 6)]
    assert np.abs(pooled.array() - np.concatenate(taps, 1)).max() < 1e-5
    tensor = direct(backbone, records, 3).reshape(len(records), -1)
    assert np.abs(rows.array() - np.concatenate([tensor, taps[0]], 1)).max() < 1e-5


def test_float16_is_the_default_and_near(backbone, records):
    [rows] = features.extract(backbone, records, [FeatureSpec((6,))])
    assert rows.dtype == np.float16
    expected = direct(backbone, records, 6).mean((1, 2))
    assert np.allclose(rows.array(), expected, rtol=2e-3, atol=1e-4)


def test_the_second_time_nothing_is_computed(backbone, records, passes):
    first = features.extract(backbone, records, [FeatureSpec((6,))])[0].array()
    before = len(passes)
    assert before
    second = features.extract(backbone, records, [FeatureSpec((6,))])[0].array()
    assert len(passes) == before
    assert np.array_equal(first, second)


def test_who_waited_for_its_turn_finds_nothing_left_to_do(backbone, records, passes, monkeypatch):
    """Two processes on one cold cache: the second one's look at the table is from before."""
    first = features.extract(backbone, records, [FeatureSpec((6,))])[0].array()
    before = len(passes)
    monkeypatch.setattr(
        "tl_cli.engine.features.extraction.Table",
        lambda *arguments: emptied(Table(*arguments)),
    )
    second = features.extract(backbone, records, [FeatureSpec((6,))])[0].array()
    assert len(passes) == before
    assert np.array_equal(first, second)


def emptied(table):
    """Return the table as it was read before another process filled it."""
    table.index = {}
    return table


def test_new_images_cost_only_themselves_and_order_is_kept(backbone, records, passes):
    features.extract(backbone, records[:30], [FeatureSpec((6,))])
    passes.clear()
    everything = features.extract(backbone, records[::-1], [FeatureSpec((6,))])[0].array()
    assert passes == [features.BATCH]  # the fifteen new ones, padded to a batch
    expected = direct(backbone, records[::-1], 6).mean((1, 2))
    assert np.allclose(everything, expected, rtol=2e-3, atol=1e-4)


def test_a_second_table_is_filled_without_computing_the_first(backbone, records):
    features.extract(backbone, records, [FeatureSpec((6,))])
    _, rows = features.extract(backbone, records, [FeatureSpec((6,)), FeatureSpec((), 3)])
    tensor = direct(backbone, records, 3).reshape(len(records), -1)
    assert np.allclose(rows.array(), tensor, rtol=2e-3, atol=1e-3)


def test_other_weights_and_other_views_have_other_tables(backbone, records):
    names = {
        FeatureSpec((6,)).key(backbone),
        FeatureSpec((6,)).key(tiny_backbone(seed=5)),
        FeatureSpec((5,)).key(backbone),
        FeatureSpec((6,), view=View(1, "light")).key(backbone),
        FeatureSpec((6,), view=View(2, "light")).key(backbone),
        FeatureSpec((6,), view=View(1, "light", mirror=True)).key(backbone),
        FeatureSpec((6,), view=View(1, "light", seed=1)).key(backbone),
        FeatureSpec((6,), dtype="float32").key(backbone),
    }
    assert len(names) == 8


def test_another_version_of_the_code_has_other_tables(backbone, monkeypatch):
    from tl_cli.data import decode
    from tl_cli.engine.features import spec

    names = {FeatureSpec((6,)).key(backbone)}
    for module, version in ((spec, "FEATURES_VERSION"), (decode, "DECODE_VERSION")):
        monkeypatch.setattr(module, version, 1000)
        names.add(FeatureSpec((6,)).key(backbone))
    assert len(names) == 3


def test_the_same_image_twice_is_one_row(backbone, records):
    twice = [*records[:3], *records[:3]]
    [rows] = features.extract(backbone, twice, [FeatureSpec((6,))])
    assert len(rows) == 6
    assert np.array_equal(rows.array()[:3], rows.array()[3:])
    assert len(rows.mapped) == 3


def test_an_augmented_view_changes_images_and_repeats_exactly(backbone, records):
    view = View(1, "light", seed=3)
    first = features.extract(backbone, records, [FeatureSpec((6,), view=view)])[0].array()
    plain = features.extract(backbone, records, [FeatureSpec((6,))])[0].array()
    assert np.abs(first - plain).max() > 1e-3
    cache.clear()
    # in other company: the draw goes by the image, not by its place
    again = features.extract(backbone, records[::-1], [FeatureSpec((6,), view=view)])[0].array()
    assert np.allclose(first, again[::-1], atol=1e-3)


def test_a_flipped_view_is_the_mirrored_image(backbone, records):
    [flipped] = features.extract(
        backbone, records, [FeatureSpec((), 1, View(flip=True), dtype="float32")]
    )
    images = features.images(records, 32)[:, :, ::-1]
    expected = graph.feature_extractor(backbone.model, [1]).predict(images, verbose=0)
    assert np.abs(flipped.array() - expected.reshape(len(records), -1)).max() < 1e-5


def test_without_keeping_nothing_stays(backbone, records):
    [rows] = features.extract(backbone, records, [FeatureSpec((6,))], keep=False)
    assert np.isfinite(rows.array()).all()
    assert not (cache.folder() / features.KIND).exists()


class Killed(BaseException):
    pass


def test_a_pass_that_was_killed_goes_on_where_it_was(backbone, records, passes):
    def kill(progress):
        raise Killed

    with pytest.raises(Killed):
        features.extract(backbone, records, [FeatureSpec((6,))], on_progress=kill)
    assert len(passes) == 1
    [rows] = features.extract(backbone, records, [FeatureSpec((6,))])
    assert len(passes) == 2
    expected = direct(backbone, records, 6).mean((1, 2))
    assert np.allclose(rows.array(), expected, rtol=2e-3, atol=1e-4)


def test_an_image_that_is_gone_is_named(backbone, records):
    from pathlib import Path

    from tl_cli.errors import TLError

    Path(records[0].path).unlink()
    with pytest.raises(TLError, match=Path(records[0].path).name):
        features.extract(backbone, records, [FeatureSpec((6,))])


@pytest.mark.others_long(1)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_features_are_float32_whatever_the_training_computes_in(backbone, records, policy, passes):
    specs = [FeatureSpec((2, 6), 3, dtype="float32", pixels=True), FeatureSpec(moments=True)]
    expected = [rows.array() for rows in features.extract(backbone, records, specs)]
    cache.clear()
    keras.config.set_dtype_policy(policy)
    try:
        mixed = tiny_backbone()
        before = [layer.compute_dtype for layer in mixed.model.layers]
        found = [rows.array() for rows in features.extract(mixed, records, specs)]
        assert keras.config.dtype_policy().name == policy
        assert [layer.compute_dtype for layer in mixed.model.layers] == before
        assert set(before) == {policy.removeprefix("mixed_")}
        passes.clear()
        features.extract(mixed, records, specs)
    finally:
        keras.config.set_dtype_policy("float32")
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-4)
    features.extract(backbone, records, specs)  # and the same table, whatever the policy
    assert not passes


def test_what_float16_cannot_hold_is_cut_off_and_told_each_time(records, passes):
    loud = tiny_backbone()
    loud.model.get_layer("norm5").gamma.assign(np.full(32, 1e6))
    notes = []
    for _ in range(2):
        notes.clear()
        [rows] = features.extract(loud, records, [FeatureSpec((6,))], on_progress=notes.append)
        said = [note.text for note in notes if isinstance(note, Note) and note.warning]
        assert len(said) == 1
        assert "--feature-dtype float32" in said[0]
    assert sum(passes) == 64  # the second time nothing was computed
    assert rows.array().max() == np.finfo("float16").max
    exact = FeatureSpec((6,), dtype="float32")
    notes.clear()
    [rows] = features.extract(loud, records, [exact], on_progress=notes.append)
    assert not any(isinstance(note, Note) for note in notes)
    expected = direct(loud, records, 6).mean((1, 2))
    assert np.allclose(rows.array(), expected, rtol=1e-4)
    assert expected.max() > 1e5


def test_features_within_float16_are_not_warned_of(backbone, records):
    notes = []
    features.extract(backbone, records, [FeatureSpec((6,))], on_progress=notes.append)
    assert not any(isinstance(note, Note) for note in notes)


def test_plain_is_view_zero():
    assert View() == PLAIN


def test_views_of_one_cut_pass_one_network_that_is_traced_once(backbone, records, monkeypatch):
    """Each view made its own, and tracing it took as long as some hundred images."""
    made = []
    build = features.extraction.network
    monkeypatch.setattr(
        features.extraction, "network", lambda *a, **k: made.append(build(*a, **k)) or made[-1]
    )
    backbone.last_pass.clear()
    for number in range(4):
        spec = FeatureSpec((), 3, View(number, "light") if number else PLAIN)
        features.extract(backbone, records, [spec])
    assert len(made) == 1
    assert made[0].predict_function.experimental_get_tracing_count() == 1
    features.extract(backbone, records, [FeatureSpec((), 2)])
    assert len(made) == 2


def test_a_network_at_hand_gives_what_the_weights_are_now(backbone, records):
    spec = FeatureSpec((), 3, dtype="float32")
    before = features.extract(backbone, records, [spec], keep=False)[0].array()
    kernel = backbone.model.get_layer("conv0").kernel
    kernel.assign(-kernel)
    try:
        after = features.extract(backbone, records, [spec], keep=False)[0].array()
        tensor = direct(backbone, records, 3).reshape(len(records), -1)
    finally:
        kernel.assign(-kernel)
    assert not np.allclose(before, after, atol=1e-2)
    assert np.abs(after - tensor).max() < 1e-4
