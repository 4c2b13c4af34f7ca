"""What must not part: groups, exact copies and near copies, joined."""

from tl_cli.data import groups
from tl_cli.data.manifest import Record


def record(name: str, group: str = "", digest: str = "", near: str = "") -> Record:
    return Record(f"/{name}.png", "cat", group=group, digest=digest or name, near=near)


def test_a_chain_of_a_group_a_copy_and_a_near_copy_is_one() -> None:
    chain = [
        record("a", group="ann"),
        record("b", group="ann", digest="twice"),
        record("c", digest="twice", near="look"),
        record("d", near="look"),
        record("e", near="look", group="bob"),
        record("f", group="bob"),
    ]
    alone = [record("g"), record("h", group="eve")]
    assert groups.numbers([*chain, *alone]) == [0, 0, 0, 0, 0, 0, 1, 2]
    # whichever comes first
    assert groups.numbers([*alone, *reversed(chain)]) == [0, 1, 2, 2, 2, 2, 2, 2]


def test_the_key_is_a_group_s_name_before_a_digest() -> None:
    images = [record(name, group="ann") for name in ("a", "zz", "~")]
    assert len(set(groups.keys(images))) == 1
    assert groups.keys(images[1:])[0] == groups.keys(images)[0]  # stays when one goes
    alike = [record("a", near="look"), record("b", near="look", group="ann")]
    assert groups.keys(alike)[0] == groups.keys(images)[0]


def test_a_group_and_a_digest_of_one_name_are_two_things() -> None:
    assert groups.numbers([record("a", group="x"), record("b", group="x"), record("x")]) == [
        0,
        0,
        1,
    ]


def test_images_that_stand_alone_have_no_groups() -> None:
    assert groups.numbers([record("a"), record("b"), record("c", group="ann")]) is None


def test_where_all_are_one_group_nothing_can_be_held_out() -> None:
    assert groups.numbers([record(name, group="ann") for name in "abc"]) is None
    assert groups.numbers([]) is None
