"""Who is trained on and who is held out: stable, stratified, and without leaks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tl_cli.data.duplicates import findings
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.split import assign_splits
from tl_cli.data.subset import limit
from tl_cli.errors import TLError


def manifest_of(records: Iterable[Record]) -> Manifest:
    records = tuple(records)
    return Manifest("made", tuple(sorted({r.label for r in records})), records)


def record(label: str, i: object, split: str = "", group: str = "", digest: str = "") -> Record:
    return Record(f"/{split}/{label}/{i}.png", label, split, group, digest or f"{label}{split}{i}")


def many(n: int = 200, labels: str = "abc", split: str = "") -> list[Record]:
    return [record(label, i, split) for label in labels for i in range(n)]


def splits(manifest: Manifest) -> dict[str, str]:
    return {r.path: r.split for r in manifest.records}


def shares(manifest: Manifest) -> dict[str, float]:
    n = len(manifest.records)
    return {name: len(manifest.of(name)) / n for name in ("train", "val", "test")}


def test_the_shares_are_those_asked_for_in_each_class() -> None:
    split = assign_splits(manifest_of(many(1000)), val=0.2, test=0.1)
    for name, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        assert shares(split)[name] == pytest.approx(share, abs=0.03)
        assert all(abs(n - 1000 * share) < 1 for n in split.counts(name).values())
    assert split.notes == ()


@pytest.mark.parametrize("size", [10, 13, 47])
@pytest.mark.parametrize(("val", "test"), [(0.2, 0.0), (0.25, 0.15)])
def test_each_of_200_classes_has_its_shares_to_within_one_image(
    size: int, val: float, test: float
) -> None:
    labels = [f"class {i}." for i in range(200)]
    data = manifest_of(record(label, i) for label in labels for i in range(size))
    split = assign_splits(data, val=val, test=test)
    for name, share in {"val": val, "test": test, "train": 1 - val - test}.items():
        assert all(abs(n - share * size) < 1 for n in split.counts(name).values())
        # what is rounded is rounded up as often as the share says
        assert shares(split)[name] == pytest.approx(share, abs=0.01)


def test_the_order_of_the_files_and_their_names_do_not_matter() -> None:
    records = many()
    renamed = [replace(r, path=f"/other{r.path}") for r in reversed(records)]
    first = {r.digest: r.split for r in assign_splits(manifest_of(records), test=0.1).records}
    other = assign_splits(manifest_of(renamed), test=0.1)
    assert first == {r.digest: r.split for r in other.records}


def test_an_added_image_moves_one_old_one_over_each_edge_and_none_of_another_class() -> None:
    records = many(40)
    before, moves = splits(assign_splits(manifest_of(records), test=0.1)), 0
    for i in range(100):
        records.append(record("a", f"new{i}"))
        after = splits(assign_splits(manifest_of(records), test=0.1))
        moved = [path for path in before if after[path] != before[path]]
        assert len(moved) <= 2 and all(path.startswith("//a/") for path in moved)
        before, moves = after, moves + len(moved)
    assert moves  # the class of 140 is cut where its shares end, so some must


def test_a_new_class_moves_nothing() -> None:
    records = many()
    before = splits(assign_splits(manifest_of(records), test=0.1))
    after = splits(assign_splits(manifest_of([*records, *many(50, "d")]), test=0.1))
    assert before == {path: after[path] for path in before}


def test_groups_have_their_share_to_within_half_a_group() -> None:
    data = manifest_of(record("ab"[i // 500], i, group=f"person {i // 5}") for i in range(1000))
    for seed in range(10):
        split = assign_splits(data, val=0.2, test=0.1, seed=seed)
        for name, share in {"val": 0.2, "test": 0.1}.items():
            assert all(abs(n - 500 * share) <= 5 for n in split.counts(name).values())


def test_near_copies_never_part_and_join_groups() -> None:
    pairs = [replace(record("ab"[i % 2], i), near=f"look{i // 2}") for i in range(400)]
    group = [record("a", f"g{i}", group="ann") for i in range(5)]
    bridge = [replace(record("a", "x", group="ann"), near="look0")]
    split = assign_splits(manifest_of([*pairs, *group, *bridge]), val=0.4, test=0.2)
    of: dict[str, set[str]] = {}
    for r in split.records:
        of.setdefault(r.near or r.group, set()).add(r.split)
    assert all(len(found) == 1 for found in of.values())
    assert of["ann"] == of["look0"]
    assert {"train", "val", "test"} == {name for found in of.values() for name in found}


def test_a_larger_validation_share_keeps_the_test_images() -> None:
    small, large = (assign_splits(manifest_of(many()), val=v, test=0.2) for v in (0.1, 0.4))
    assert small.of("test") == large.of("test")
    assert set(small.of("val")) < set(large.of("val"))


def test_the_seed_decides() -> None:
    one, other = (splits(assign_splits(manifest_of(many()), seed=s)) for s in (1, 2))
    assert one == splits(assign_splits(manifest_of(many()), seed=1))
    assert one != other


def test_groups_and_exact_copies_never_part() -> None:
    grouped = [record("ab"[i % 2], i, group=f"person {i // 7}") for i in range(400)]
    copies = [record("ab"[i % 2], f"copy{i}", digest=f"twice{i // 2}") for i in range(200)]
    # A copy that belongs to two groups joins them.
    bridge = [record("a", "x", group="person 1", digest="bridge"),
              record("a", "y", group="person 2", digest="bridge")]  # fmt: skip
    split = assign_splits(manifest_of([*grouped, *copies, *bridge]), val=0.4, test=0.2)
    of: dict[str, set[str]] = {}
    for r in split.records:
        of.setdefault(r.group or r.digest, set()).add(r.split)
    assert all(len(found) == 1 for found in of.values())
    assert of["person 1"] == of["person 2"]
    assert {"train", "val", "test"} == {name for found in of.values() for name in found}


def test_folds_cover_each_image_once_and_leave_the_test_images() -> None:
    data = manifest_of([*many(60), *many(10, split="test")])
    parts = [assign_splits(data, folds=5, fold=i) for i in range(5)]
    held_out = [r.path for part in parts for r in part.of("val")]
    assert sorted(held_out) == sorted(r.path for r in data.records if not r.split)
    assert all(len(part.of("test")) == 30 for part in parts)
    assert all(set(part.counts("val").values()) == {12} for part in parts)


def test_with_folds_the_validation_images_of_the_source_join() -> None:
    data = manifest_of([*many(30, split="train"), *many(10, split="val")])
    split = assign_splits(data, folds=4, fold=1)
    assert set(split.counts("val").values()) == {10}
    assert "join the folds" in split.notes[0]


@pytest.mark.parametrize("given", [("train", "val"), ("train", "val", "test")])
def test_a_split_of_the_source_is_kept(given: tuple[str, ...]) -> None:
    data = manifest_of(r for name in given for r in many(20, split=name))
    assert assign_splits(data, val=0.5) == data


def test_a_test_folder_is_never_validated_on() -> None:
    data = manifest_of([*many(100, split="train"), *many(100, split="test")])
    split = assign_splits(data, val=0.2, test=0.3)
    assert {r.path for r in split.of("test")} == {r.path for r in data.of("test")}
    assert {r.path for r in split.of("val")} < {r.path for r in data.of("train")}
    assert len(split.of("val")) == 60


def test_a_test_share_is_taken_from_train_where_the_source_has_none() -> None:
    data = manifest_of([*many(100, split="train"), *many(20, split="val")])
    split = assign_splits(data, test=0.3)
    assert split.of("val") == data.of("val")
    assert len(split.of("test")) == 90


def test_copies_of_held_out_images_are_kept_out_of_training() -> None:
    data = manifest_of([
        *many(20, split="train"), *many(20, split="val"), *many(20, split="test"),
        record("a", "x1", "train", digest="x"), record("b", "x2", "val", digest="x"),
        record("a", "x3", "test", digest="x"), record("a", "x4", "test", digest="x"),
        record("a", "y1", "train", digest="y"), record("a", "y2", "val", digest="y"),
    ])  # fmt: skip
    split = assign_splits(data)
    gone = set(splits(data)) - set(splits(split))
    assert gone == {"/train/a/x1.png", "/val/b/x2.png", "/train/a/y1.png"}
    assert split.notes[0].startswith("3 images left out of training or validation: exact copies")
    assert assign_splits(data, keep_duplicates=True) == data


def test_a_small_class_gets_one_image_to_validate_on_and_it_is_said() -> None:
    data = manifest_of([*many(50, "ab"), *many(2, "s")])
    seen = set()
    for seed, val in itertools.product(range(20), (0.2, 0.8)):
        split = assign_splits(data, val=val, seed=seed)
        assert (split.counts("train")["s"], split.counts("val")["s"]) == (1, 1)
        [note] = split.notes or [""]
        assert ("'s'" in note) == bool(note)
        seen |= {(val, name) for name in ("(train)", "(val)") if name in note}
    assert seen == {(0.8, "(train)"), (0.2, "(val)")}


def test_a_small_class_is_validated_on_even_where_all_of_it_would_be_tested_on() -> None:
    data = manifest_of([*many(50, "ab"), *many(2, "s")])
    for seed in range(40):
        split = assign_splits(data, val=0.2, test=0.7, seed=seed)
        assert (split.counts("train")["s"], split.counts("val")["s"]) == (1, 1)


def test_a_class_of_one_image_is_an_error_that_names_it() -> None:
    lonely = [*many(9, "ab"), record("owl", 1)]
    with pytest.raises(TLError, match="class 'owl' has only one image") as caught:
        assign_splits(manifest_of(lonely))
    assert "add images of it, or remove the class" in caught.value.hint
    copies = [*many(9, "ab"), *(record("owl", i, digest="same") for i in range(3))]
    with pytest.raises(TLError, match="class 'owl' has only 3 copies of one image"):
        assign_splits(manifest_of(copies))
    assert assign_splits(manifest_of(lonely), val=0).counts("train")["owl"] == 1
    given = [*many(9, "ab", "train"), *many(9, "ab", "val"), record("owl", 1, "train")]
    assert assign_splits(manifest_of(given)).counts("train")["owl"] == 1


def test_many_classes_of_one_image_are_told_together() -> None:
    lonely = [*many(9, "ab"), *(record(f"c{i}", i) for i in range(200))]
    with pytest.raises(TLError, match="200 classes have only one image each") as caught:
        assign_splits(manifest_of(lonely))
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_class_that_only_a_held_out_split_has_is_left_out_and_said(held_out: str) -> None:
    data = manifest_of([*many(9, "ab", "train"), *many(9, "abc", held_out)])
    split = assign_splits(data)
    assert split.classes == ("a", "b")
    assert {r.label for r in split.records} == {"a", "b"}
    [note] = split.notes
    assert "1 class without an image to train on, left out (9 images" in note and "'c'" in note
    assert split.of("val")
    folded = assign_splits(data, folds=3)
    assert folded.classes == (("a", "b", "c") if held_out == "val" else ("a", "b"))
    for labels in ("", "a"):
        with pytest.raises(TLError, match="to train on: the others are held out"):
            assign_splits(manifest_of([*many(9, labels, "train"), *many(9, "abc", held_out)]))


def test_a_class_whose_training_images_are_all_copies_of_tested_ones_is_an_error() -> None:
    copies = [record("c", i, s, digest=f"c{i}") for s in ("train", "test") for i in range(9)]
    data = manifest_of([*many(9, "ab", "train"), *copies])
    with pytest.raises(TLError, match="class 'c' has no image to train on"):
        assign_splits(data)


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_class_that_a_held_out_split_lacks_is_said_once(held_out: str) -> None:
    data = manifest_of([*many(9, "abc", "train"), *many(9, "ab", held_out)])
    split = assign_splits(data)
    assert split.classes == ("a", "b", "c")
    [note] = split.notes
    purpose = "validate" if held_out == "val" else "test"
    assert f"1 class without an image to {purpose} on" in note and note.endswith(": 'c'")


@pytest.mark.parametrize("joined", ["group", "near"])
def test_no_class_that_can_be_validated_is_one_sentence(joined: str) -> None:
    data = manifest_of(replace(r, **{joined: r.label}) for r in many(9, "abc"))  # type: ignore[arg-type]
    with pytest.raises(TLError, match="no image can be validated on") as caught:
        assign_splits(data)
    assert caught.value.hint
    with pytest.raises(TLError, match="no image can be validated on"):
        assign_splits(data, folds=3)
    given = manifest_of([*data.records, *many(3, "abc", "val")])
    assert assign_splits(given).of("val") == given.of("val")


def test_a_class_of_one_group_is_trained_on_and_said_not_to_be_validated() -> None:
    data = manifest_of([*many(20, "ab"), *(record("c", i, group="ann") for i in range(9))])
    split = assign_splits(data)
    assert split.counts("train")["c"] == 9
    assert "with only one group, trained on and not validated: 'c'" in split.notes[0]


def test_mending_a_class_takes_no_other_class_s_only_image() -> None:
    """Groups of several classes each, so that to move one moves images of all of them."""
    unmeasured = 0
    for seed in range(300):
        draw = random.Random(seed)
        grouped = [f"g{draw.randrange(8)}" if draw.random() < 0.6 else "" for _ in range(24)]
        data = manifest_of(record("abcdef"[i % 6], i, group=g) for i, g in enumerate(grouped))
        split = assign_splits(data, val=0.2, test=0.1, seed=seed)
        assert all(split.counts("train").values())
        unmeasured += not all(split.counts("val").values())
    assert unmeasured <= 1  # where the groups leave no other way


@pytest.mark.parametrize(
    "options",
    [
        {"val": 1.0},
        {"val": -0.1},
        {"val": 0.6, "test": 0.4},
        {"folds": 1},
        {"folds": 5, "fold": 5},
        {"folds": 5, "fold": -1},
        {"val": float("nan")},
    ],
)
def test_shares_and_folds_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(TLError):
        assign_splits(manifest_of(many(9)), **options)  # type: ignore[arg-type]


def test_a_limit_is_stratified_and_smaller_ones_lie_within_larger_ones() -> None:
    data = manifest_of([*many(100, "a"), *many(300, "b"), *many(4, "c")])
    subsets = [limit(data, n) for n in (20, 40, 80, 404)]
    assert [len(s.records) for s in subsets] == [20, 40, 80, 404]
    for smaller, larger in itertools.pairwise(subsets):
        assert set(smaller.records) < set(larger.records)
    counts = subsets[2].counts()
    assert counts["c"] >= 2
    assert counts["b"] / counts["a"] == pytest.approx(3, rel=0.15)
    assert subsets[0].notes == ("limited to 20 of 404 images",)
    assert subsets[-1] == data
    assert limit(data, 20, seed=1).records != subsets[0].records


def test_a_limit_per_class_keeps_the_test_images() -> None:
    data = manifest_of([*many(50, split="train"), *many(10, split="val"), *many(5, split="test")])
    subset = limit(data, per_class=12)
    assert subset.counts("test") == data.counts("test")
    assert subset.notes == (
        "limited to 36 of 180 images to train and validate on; all 15 to test on are kept",
    )
    assert set(subset.counts("train").values()) == {10}
    assert set(subset.counts("val").values()) == {2}
    assert limit(subset, per_class=1000) == subset


def test_a_limit_that_leaves_a_class_out_is_an_error() -> None:
    with pytest.raises(TLError, match="too small for 3 classes") as caught:
        limit(manifest_of(many()), 5)
    assert caught.value.hint == "the least is 6"
    assert set(limit(manifest_of(many()), 6).counts().values()) == {2}


def test_groups_across_splits_and_imbalance_are_found() -> None:
    data = manifest_of([
        *(record("a", i, "train", "ann") for i in range(100)),
        *(record("b", i, "test", "ann" if i else "bob") for i in range(9)),
    ])  # fmt: skip
    groups, imbalance = findings(data)
    assert groups == "1 group in more than one split of the source: 'ann'"
    assert imbalance.startswith("imbalanced: 100 images of 'a' and 9 of 'b'")
    assert findings(manifest_of(replace(r, group="") for r in data.records)) == (imbalance,)
