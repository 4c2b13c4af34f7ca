"""`tl train RUN --add` and `--remove`: other images for a trained run, and what is erased."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tl_cli as api
from runs import weights
from test_cli import COLOURS, paint, tl
from tl_cli.data import erasure
from tl_cli.data.csv_io import read_csv
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.split import assign_added
from tl_cli.data.update import Update, corrected, near_of, without
from tl_cli.engine.finetune import finetune
from tl_cli.errors import TLError
from tl_cli.store import cache_folder, run_dir
from tl_cli.store.rows import Table
from trained import trained

BLUE, RED = "blue", "red"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A run on three colours; new images of one of them and of a new one, and a copy."""
    root = tmp_path_factory.mktemp("update")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / name, seed, 15, colour)
    shutil.copy(root / "photos" / RED / "03.png", root / "photos" / RED / "copy of 03.png")
    paint(root / "more" / BLUE.upper(), 50, 10, COLOURS[BLUE])
    paint(root / "more" / "yellow", 60, 10, (230, 220, 40))
    shutil.copy(root / "photos" / RED / "00.png", root / "more" / "yellow" / "known.png")
    os.environ["TL_CACHE"] = str(root / "cache")
    trained(root / "photos", root / "runs" / "one", "--freeze", "head")
    return root


@pytest.fixture
def at(root, monkeypatch) -> Path:
    """The same, with its cache."""
    monkeypatch.setenv("TL_CACHE", str(root / "cache"))
    return root


@pytest.fixture
def own(at, tmp_path, monkeypatch) -> Path:
    """A copy of photos' cache and runs, to take something out of."""
    for name in ("cache", "runs"):
        shutil.copytree(at / name, tmp_path / name)
    monkeypatch.setenv("TL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def manifest_of(run: Path) -> Manifest:
    return read_csv(run / run_dir.MANIFEST)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def told_by(*arguments: object) -> dict:
    done = tl("train", *arguments, "--no-report", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def flat(text: str) -> str:
    return " ".join(text.split())


# -- added ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(root) -> tuple[Path, object]:
    """The run with the new images taken in, and what the screen said."""
    os.environ["TL_CACHE"] = str(root / "cache")
    before = contents(root / "runs" / "one")
    run = root / "added" / "two"
    done = tl(
        "train", root / "runs" / "one", "--add", root / "more", "--no-report", "--output", run
    )
    assert done.exit_code == 0, done.stderr
    assert contents(root / "runs" / "one") == before
    return run, done


@pytest.mark.long
def test_only_added_images_pass_and_the_others_stay_in_their_split(root, two):
    run, _ = two
    told = json.loads((run / run_dir.METRICS).read_text())
    update = told["update"]
    assert update["added"] == {BLUE: 10, "yellow": 10}  # BLUE is blue, and one is known
    assert (update["new_classes"], update["passed"]) == (["yellow"], 20)
    assert (update["tuned"], update["erased"], update["split"]) == (False, None, "val")
    old, new = manifest_of(root / "runs" / "one"), manifest_of(run)
    split_of = {record.path: record.split for record in new.records}
    assert all(split_of[record.path] == record.split for record in old.records)
    assert update["same"]["n"] == len(old.of("val"))
    rows = {row["name"]: row for row in update["by_class"]}
    assert rows["yellow"]["before"] is None
    assert rows["yellow"]["after"] > 0.5
    added = [r.split for r in new.records if "more" in r.path]
    assert added.count("val") == pytest.approx(0.2 * len(added), abs=2)
    assert told["metrics"]["val"]["n"] == len(new.of("val"))
    assert json.loads((run / run_dir.PLAN).read_text())["reasons"][0].startswith("Taken over from")


@pytest.mark.long
def test_python_gives_what_the_command_gives(at, two, tmp_path):
    run, _ = two
    one, again = at / "runs" / "one", tmp_path / "again"
    with pytest.raises(TLError, match="epochs does not go with add and"):
        api.train(one, add=at / "more", epochs=3)
    with pytest.raises(TLError, match="epochs"):
        api.train(one, add=at / "more", epoch=3)
    result = api.train(one, add=[at / "more"], output=again, report=False)
    told = json.loads((run / run_dir.METRICS).read_text())
    ours = json.loads(json.dumps(result.to_json()))
    assert ours["update"] == told["update"] | {"passed": 0}  # they are kept by now
    assert ours["metrics"] == told["metrics"]
    assert "yellow" in result.model.classes
    assert result.model.predict(at / "more" / "yellow" / "00.png").labels == ["yellow"]


def test_the_screen_says_what_moved(two):
    _, done = two
    shown, noted = flat(done.stdout), flat(done.stderr)
    assert "20 images (10 of 'blue', 10 of 'yellow') added, class 'yellow' new." in shown
    assert "20 images passed the network; the head was solved again on all 66" in shown
    assert "validation images that it had" in shown
    assert "New class 'yellow'" in shown
    assert "left out 1 image that the run has already" in noted
    assert "1 of them is of another class" in noted
    assert "'BLUE' is 'blue'" in noted


@pytest.mark.slow
def test_the_new_run_is_a_whole_one(at, two):
    run, _ = two
    done = tl("predict", run, at / "more" / "yellow" / "00.png", "--json")
    assert json.loads(done.stdout)["predictions"][0]["label"] == "yellow"
    done = tl("evaluate", run, "--split", "val", "--json")
    assert json.loads(done.stdout)["n"] == len(manifest_of(run).of("val"))
    done = tl("train", "--resume", run)
    assert "is finished" in flat(done.stderr)
    assert tl("report", run).exit_code == 0
    assert "Taken over from" in (run / run_dir.REPORT).read_text()
    again = tl("train", "--config", run / run_dir.CONFIG, "--dry-run", "--json")
    counts = json.loads(again.stdout)["counts"]  # on the same images, in the same splits
    assert counts == {s: manifest_of(run).counts(s) for s in ("train", "val", "test")}


@pytest.mark.slow
def test_a_free_name_beside_the_run(at, tmp_path):
    shutil.copytree(at / "runs" / "one", tmp_path / "one")
    for expected in ("one-2", "one-3"):
        told = told_by(tmp_path / "one", "--add", at / "more")
        assert Path(told["run"]) == tmp_path / expected
    assert Path(told_by(tmp_path / "one-3", "--remove", "yellow")["run"]) == tmp_path / "one-4"


@pytest.mark.slow
def test_a_tuned_network_is_not_tuned_again_and_that_is_said(at, tmp_path):
    run = trained(at / "photos", tmp_path / "scratch", "--from-scratch")
    done = tl("train", run, "--add", at / "more", "--no-report", "--output", tmp_path / "two")
    assert done.exit_code == 0, done.stderr
    assert "only its head is new" in flat(done.stdout)
    assert f"tl train --config {tmp_path / 'two' / run_dir.CONFIG}" in done.stdout
    told = json.loads((tmp_path / "two" / run_dir.METRICS).read_text())
    assert told["update"]["tuned"]
    assert told["update"]["passed"] == 65  # of 66: a copy
    assert told["head"] is None  # its folds would flatter
    assert "yellow" in told["metrics"]["val"]["classes"]
    whole = json.loads(tl("predict", tmp_path / "two", at / "more" / "yellow", "--json").stdout)
    assert len(whole["predictions"]) == 11


@pytest.mark.slow
def test_a_tuning_that_was_kept_stays_and_the_head_is_solved_on_its_features(
    at, tmp_path, monkeypatch
):
    monkeypatch.setattr(finetune, "choose", lambda context, plan, head, again: (again, 0.1, 0.1))
    run = trained(at / "photos", tmp_path / "tuned", "--freeze", "half")
    earlier = json.loads((run / run_dir.METRICS).read_text())
    assert earlier["tune"]["kept"] == "solved again"
    told = told_by(run, "--add", at / "more", "--output", tmp_path / "two")
    assert told["update"]["tuned"] and told["update"]["passed"] == 65
    assert told["tune"] == earlier["tune"]
    before, after = weights(run), weights(tmp_path / "two")
    changed = {name for name in before if before[name] != after[name]}
    assert changed and all("classifier" in name or "dense" in name for name in changed)
    assert told["update"]["same"]["after"] > 0.9
    again = told_by(tmp_path / "two", "--remove", "yellow", "--output", tmp_path / "three")
    assert again["update"]["passed"] == 0


# -- removed --------------------------------------------------------------------------------------


def kept_bytes(cache: Path, digests: set[str]) -> list[bytes]:
    """Return the rows that the cache holds of some images, in whatever table."""
    found = []
    for folder in (*(cache / "features").iterdir(), *(cache / "images").iterdir()):
        lines = (folder / "digests.txt").read_bytes().splitlines()
        rows = (folder / "rows.bin").read_bytes()
        width = len(rows) // len(lines)
        for i, line in enumerate(lines):
            if line[:32].decode().strip() in digests:
                found.append(rows[i * width : (i + 1) * width])
    return found


def test_what_is_removed_is_nowhere_in_the_cache(own, at):
    old = manifest_of(own / "runs" / "one")
    going = {r.digest: r.path for r in old.records if r.label == BLUE or r.path.endswith("03.png")}
    going = {d: p for d, p in going.items() if f"/{BLUE}/" in p or f"/{RED}/" in p}
    rows = kept_bytes(own / "cache", set(going))
    assert len(rows) >= 2 * len(going)  # features and pixels of each
    told = told_by(own / "runs" / "one", "--remove", BLUE,
                   "--remove", at / "photos" / RED / "03.png")  # fmt: skip
    update = told["update"]
    assert update["removed"] == {BLUE: 15, RED: 2}  # the copy goes, too
    assert update["gone_classes"] == [BLUE]
    everything = b"\0".join(p.read_bytes() for p in (own / "cache").rglob("*") if p.is_file())
    assert all(row not in everything for row in rows)
    assert all(digest.encode() not in everything for digest in going)
    assert all(path.encode() not in everything for path in going.values())
    assert update["erased"]["features"] + update["erased"]["pixels"] == len(rows)
    assert update["erased"]["looks"] == 17
    assert update["holding"] == [str(own / "runs" / "one")]
    new = manifest_of(Path(told["run"]))
    assert not set(going) & {record.digest for record in new.records}
    assert told["update"]["passed"] == 0  # the rows of the others are as they were


@pytest.mark.slow
def test_photos_that_are_gone_can_be_taken_out_by_their_path(own, at, tmp_path):
    record = manifest_of(own / "runs" / "one").of("train")[0]
    moved = Path(record.path).rename(tmp_path / "elsewhere.png")
    try:
        done = tl("train", own / "runs" / "one", "--remove", record.path, "--no-report")
    finally:
        moved.rename(record.path)
    shown = flat(done.stdout)
    assert "1 image of" in shown
    assert "Erased from the cache" in shown
    assert "This run still holds them" in shown
    assert f"rm -r {own / 'runs' / 'one'}" in done.stdout


def test_a_table_whose_rows_cannot_be_told_apart_goes_as_a_whole():
    table = Table(cache_folder.kind_folder("images") / "4px-1", 48, "uint8")
    with table.writing() as append:
        append(["a" * 32, "b" * 32], np.arange(96, dtype="uint8").reshape(2, 48))
    assert erasure.erase(["c" * 32]).pixels == 0
    assert erasure.erase(["a" * 32]).pixels == 1
    assert list(Table(table.folder, 48, "uint8").index) == ["b" * 32]
    rows = (table.folder / "rows.bin").read_bytes()
    assert rows == bytes(48) + bytes(range(48, 96))
    with (table.folder / "rows.bin").open("ab") as file:
        file.write(b"cut off")
    assert erasure.erase(["b" * 32]).pixels == 1
    assert not table.folder.exists()


def record(name: str, label: str, split: str = "train", **more: str) -> Record:
    return Record(f"/p/{label}/{name}", label, split, digest=f"{label}{name}", **more)


def small() -> Update:
    records = [record(f"{i}", c, s) for c in "ab" for i, s in enumerate(("train", "train", "val"))]
    return Update(Manifest("s", ("a", "b"), tuple(records)))


def test_a_folder_is_all_that_lies_in_it():
    assert {r.path for r in without(small(), ["/p/a/1"]).removed} == {"/p/a/1"}
    many = replace(small().manifest, classes=("a", "b", "c"))
    many = many.with_records([*many.records, record("0", "c"), record("1", "c")])
    assert len(without(Update(many), ["/p/c"]).removed) == 2
    assert without(Update(many), ["c"]).manifest.classes == ("a", "b")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["c"], "neither a class of the run nor the path"),
        (["a"], "1 class would be left"),
        (["/p/a/0", "/p/a/1"], "no image would be left to train on of 'a'"),
        (["/p/a/2", "/p/b/2"], "no image would be left to validate on"),
    ],
    ids=["unknown", "one class", "a class", "validation"],
)
def test_what_cannot_be_taken_out(names, sentence):
    with pytest.raises(TLError, match=sentence):
        without(small(), names)


def test_what_looks_the_same_and_stays_is_named():
    records = [*small().manifest.records, record("8", "a", near="k"), record("9", "a", near="k")]
    changed = without(Update(small().manifest.with_records(records)), ["/p/a/9"])
    assert [r.path for r in near_of(changed.removed, changed.manifest)] == ["/p/a/8"]


# -- the split of what is added -------------------------------------------------------------------


def fresh(label: str, n: int, **more: str) -> list[Record]:
    return [record(f"n{i}", label, "", **more) for i in range(n)]


def test_new_images_give_the_shares_and_a_new_class_has_both():
    old = small().manifest.records
    placed, _ = assign_added(old, [*fresh("a", 50), *fresh("new", 3)], val=0.2, test=0.1)
    of_a = [r.split for r in placed if r.label == "a"]
    assert (of_a.count("val"), of_a.count("test")) == (10, 5)
    assert {"train", "val"} <= {r.split for r in placed if r.label == "new"}


def test_images_that_come_one_by_one_are_shared_out_too():
    old = small().manifest.records
    splits = [assign_added(old, [one], val=0.2, test=0.0)[0][0].split for one in fresh("a", 200)]
    assert 20 <= splits.count("val") <= 60


def test_an_image_goes_where_what_it_must_not_part_from_is():
    old = [*small().manifest.records, record("8", "a", "val", near="k")]
    placed, _ = assign_added(old, fresh("a", 4, near="k"), val=0.2, test=0.0)
    assert {r.split for r in placed} == {"val"}
    placed, _ = assign_added(
        old, [replace(r, split="test") for r in fresh("a", 2)], val=0.2, test=0
    )
    assert {r.split for r in placed} == {"test"}


def test_a_new_class_of_one_image_is_refused():
    with pytest.raises(TLError, match="only one image"):
        assign_added(small().manifest.records, fresh("new", 1), val=0.2, test=0.0)


# -- labels corrected -----------------------------------------------------------------------------


def test_corrected_labels_keep_their_splits_and_copies_follow():
    records = [*small().manifest.records, replace(record("1", "a"), path="/p/copy")]
    changed = corrected(
        Update(small().manifest.with_records(records)), {"/p/a/1": "b", "/p/b/0": None}
    )
    labels = {r.path: r.label for r in changed.manifest.records}
    assert labels["/p/a/1"] == labels["/p/copy"] == "b"
    assert "/p/b/0" not in labels
    assert (len(changed.relabelled), len(changed.removed), changed.forgotten) == (2, 1, False)
    with pytest.raises(TLError, match="not the run's"):
        corrected(small(), {"/elsewhere": "a"})


# -- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence(at, tmp_path):
    def error(*arguments: object, code: int = 1) -> str:
        done = tl("train", *arguments)
        assert done.exit_code == code, done.output
        return flat(done.stderr)

    run = at / "runs" / "one"
    assert "is no run" in error(at / "photos", "--add", at / "more")
    assert "none was given" in error("--add", at / "more")
    assert "did you mean 'red'" in error(run, "--remove", "rad")
    assert "--seed does not go with --add" in error(run, "--add", at / "more", "--seed", 1, code=2)
    assert "holds a run already" in error(run, "--add", at / "more", "--output", run)
    assert "has all of the" in error(run, "--add", at / "photos")
    assert "no class folders" in error(run, "--add", at / "photos" / "red")
    names = sorted(p.name for p in (at / "runs").iterdir())
    assert names == ["one"]  # nothing is left behind
