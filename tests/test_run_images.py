"""A run whose images are gone, moved or replaced: each command works, or says so."""

import csv
import json
import shutil

import pytest
from PIL import Image

from test_cli import COLOURS, paint, tl
from tl_cli.data import presence
from tl_cli.data.csv_io import read_csv
from tl_cli.engine import evaluate as evaluating
from tl_cli.engine.images import dataset
from tl_cli.engine.run_images import RunImages
from tl_cli.errors import TLError
from tl_cli.store import run_dir
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and its images; nobody changes them."""
    root = tmp_path_factory.mktemp("made")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "photos" / "train" / name, seed, 10, colour)
        paint(root / "photos" / "val" / name, seed + 10, 4, colour)
        paint(root / "photos" / "test" / name, seed + 20, 4, colour)
    trained(root / "photos", root / "run", "--freeze", "head", "--no-cache")
    return root


@pytest.fixture
def moved(made, tmp_path):
    """The run, copied to where its images are not, and where those are now."""
    run, photos = tmp_path / "elsewhere" / "run", tmp_path / "new"
    shutil.copytree(made / "run", run)
    shutil.copytree(made / "photos", photos)
    _point(run, str(made / "photos"), str(tmp_path / "old"))
    return run, photos


@pytest.fixture
def own(made, tmp_path):
    """The run with images of its own, to be changed."""
    run, photos = tmp_path / "run", tmp_path / "photos"
    shutil.copytree(made / "run", run)
    shutil.copytree(made / "photos", photos)
    _point(run, str(made / "photos"), str(photos))
    return run, photos


def _point(run, old, new):
    for name in (run_dir.MANIFEST, run_dir.PREDICTIONS):
        (run / name).write_text((run / name).read_text().replace(old, new))


def expect_one_sentence(done, *parts):
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr and "hint:" in done.stderr
    for part in parts:
        assert part in done.stderr


def test_states_go_by_content(made, tmp_path):
    record = read_csv(made / "run" / run_dir.MANIFEST).records[0]
    assert presence.state(record) == presence.SAME
    other = tmp_path / "other.png"
    shutil.copy(record.path, other)
    same = presence.Record(str(other), record.label, digest=record.digest)
    assert presence.state(same) == presence.SAME
    other.write_bytes(b"another")
    assert presence.state(same) == presence.REPLACED
    other.unlink()
    assert presence.state(same) == presence.GONE
    other.mkdir()
    assert presence.state(same) == presence.GONE


@pytest.mark.parametrize(
    ("states", "clause"),
    [
        (["same"], ""),
        (["gone", "same"], "1 of 2 images is gone since the training"),
        (["gone", "gone"], "2 of 2 images are gone since the training"),
        (["replaced"] * 2 + ["gone"],
         "2 of 3 images have been replaced under their names and 1 is gone since the training"),
    ],
)  # fmt: skip
def test_what_is_lost_is_said_with_its_count(states, clause):
    assert presence.lost(states, "images") == clause
    note = RunImages("images", (), states).note
    assert note == (
        f"{clause}: {len(states)} left out" if clause and "same" not in states else note
    )


def test_others_are_evaluated_where_the_runs_own_are_gone(moved):
    run, photos = moved
    for more in ((), ("--tta",)):
        done = tl("evaluate", run, "--data", photos / "test", "--json", *more)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["n"] == 12
        assert "validation images are gone" in done.stderr


def test_others_are_evaluated_where_no_answers_are_kept_either(moved):
    run, photos = moved
    described = json.loads((run / run_dir.CHECKPOINT).read_text())
    (run / run_dir.CHECKPOINT).write_text(json.dumps(described | {"refit": False}))
    (run / run_dir.HELD_OUT).unlink()
    done = tl("evaluate", run, "--data", photos / "test", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["calibration"]["temperature"] is None
    assert "no temperature is fitted" in done.stderr


def test_each_command_on_a_run_without_its_images(moved, tmp_path):
    run, photos = moved
    expect_one_sentence(tl("evaluate", run), "12 of 12 test images", "are gone", "--data")
    expect_one_sentence(tl("evaluate", run, "--split", "train"), "30 of 30 train images")
    expect_one_sentence(tl("evaluate", run, "--slice", "mode"), "are gone")
    kept = tl("evaluate", run, "--split", "val")  # what was said of them is kept
    assert kept.exit_code == 0, kept.stderr
    assert "12 of 12 val images" in kept.stderr
    expect_one_sentence(
        tl("inspect", run, "--label-errors", "--output", tmp_path / "i"), "30 of 30 training images"
    )
    expect_one_sentence(
        tl("export", run, "--format", "saved_model", "--output", tmp_path / "s"), "--data DIR"
    )
    page = tl("report", run)
    assert page.exit_code == 0, page.stderr
    assert "54 of 54 images" in page.stderr
    alike = tl(
        "explain", run, photos / "test" / "red", "--neighbours", 2, "--output", tmp_path / "e"
    )
    assert alike.exit_code == 0, alike.stderr
    assert "30 of 30 training images" in alike.stderr
    assert tl("predict", run, photos / "test" / "red").exit_code == 0


@pytest.mark.long
def test_export_is_checked_on_any_images(moved, tmp_path):
    run, photos = moved
    (photos / "test" / "red" / "broken.png").write_bytes(b"no image")
    target = tmp_path / "saved"
    done = tl("export", run, "--format", "saved_model", "--output", target, "--data", photos,
              "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["checked_on"], told["equality"]["images"]) == ("data", 54)


@pytest.mark.long
def test_export_goes_by_kept_pixels(own, tmp_path):
    run, photos = own
    assert tl("evaluate", run, "--split", "val").exit_code == 0
    kept = tl("train", "--data", photos, "--backbone", "mobilenet_025", "--image-size", 32,
              "--dry-run")  # the scan keeps the pixels  # fmt: skip
    assert kept.exit_code in (0, 1)
    shutil.rmtree(photos)
    done = tl("export", run, "--format", "saved_model", "--output", tmp_path / "s", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["checked_on"] == "val"


@pytest.mark.long
def test_replaced_images_are_counted_and_not_taken_for_the_old_ones(own):
    run, photos = own
    before = json.loads(tl("evaluate", run, "--json").stdout)
    paths = sorted((photos / "test" / "red").glob("*.png"))
    for path in paths[:3]:
        Image.new("RGB", (40, 40), COLOURS["blue"]).save(path)
    paths[3].unlink()
    done = tl("evaluate", run, "--json")
    assert done.exit_code == 0, done.stderr
    assert "3 of 12 test images" in done.stderr and "1 is gone" in done.stderr
    assert json.loads(done.stdout)["n"] in (8, before["n"])  # without them, or by kept pixels
    page = tl("report", run)
    assert "3 of 54 images" in page.stderr


def test_runs_are_paired_by_content_and_not_by_name(own, made):
    run, _ = own
    rows = tl("compare", run, made / "run", "--json")
    assert json.loads(rows.stdout)["pairs"][0]["n"] == 12  # the same images under other names
    with (run / run_dir.MANIFEST).open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        row["digest"] = "0" * 31 + row["digest"][0]
    with (run / run_dir.MANIFEST).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    rows = tl("compare", run, made / "run", "--json")
    assert json.loads(rows.stdout)["pairs"][0]["n"] == 0  # other images under the same names


def test_an_image_that_goes_while_batches_are_made_is_one_sentence(made, tmp_path):
    import tensorflow as tf

    class Failing:
        shape, dtype = (4, 8, 8, 3), evaluating.np.dtype("uint8")

        def __getitem__(self, rows):
            raise TLError("'cat/1.jpg' does not exist", "look")

    with pytest.raises(TLError, match="does not exist"), dataset.clear_errors():
        list(dataset.batches(Failing(), batch_size=2, training=False))
    with pytest.raises(tf.errors.InvalidArgumentError), dataset.clear_errors():
        raise tf.errors.InvalidArgumentError(None, None, "anything else")


@pytest.mark.long
def test_others_are_evaluated_from_a_table_whose_columns_have_other_names(made, tmp_path):
    rows = [
        f"{path},{path.parent.name},K" for path in sorted((made / "photos/test").rglob("*.png"))
    ]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("\n".join(["image,class,camera", *rows]))
    asked = ("evaluate", made / "run", "--data", sheet)
    expect_one_sentence(tl(*asked), "no column 'path'", "--columns path=image,label=class")
    done = tl(*asked, "--columns", "path=image,label=class", "--slice", "camera", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["n"] == 12 and "K" in json.dumps(told["slices"])
    assert tl("evaluate", made / "run", "--columns", "path=image").exit_code == 2
