"""`tl summarize`: its numbers are the network's own, and its pictures need no other program."""

import json
import shutil

import pytest
from PIL import Image

from test_architectures import TABLE, module, naive_module
from test_cli import tl
from tl_cli import catalog
from tl_cli.plan.blocks import frozen_shares, nearest_cut
from tl_cli.report import diagram
from tl_cli.results.network_summary import MODULES


def summarized(*arguments):
    done = tl("summarize", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_layers_and_blocks_come_to_what_the_card_says():
    blocks = catalog.get("mobilenet_025").blocks
    layers = summarized("mobilenet_025", "--freeze", "half")
    rows = summarized("mobilenet_025", "--freeze", "half", "--blocks")["rows"]
    assert [row["name"] for row in rows] == [block.name for block in blocks]
    assert [row["parameters"] for row in rows] == [block.parameters for block in blocks]
    assert [row["multiply_adds"] for row in rows] == [block.multiply_adds for block in blocks]
    assert [tuple(row["output_shape"]) for row in rows] == [b.output_shape for b in blocks]
    cut = nearest_cut(blocks, 0.5)
    assert [row["frozen"] for row in rows] == [i < cut for i in range(len(blocks))]
    totals = layers["totals"]
    assert totals["parameters"] == sum(block.parameters for block in blocks)
    share = totals["frozen_multiply_adds"] / totals["multiply_adds"]
    assert share == pytest.approx(frozen_shares(blocks, cut).compute)
    weighted = [row for row in layers["rows"] if row["parameters"]]
    assert len(weighted) == sum(len(block.layers) for block in blocks)


def test_an_image_size_changes_computation_and_not_parameters():
    small = summarized("resnet18", "--image-size", 96)["totals"]
    whole = catalog.get("resnet18").blocks
    assert small["parameters"] == sum(block.parameters for block in whole)
    assert small["multiply_adds"] == pytest.approx(
        sum(block.multiply_adds for block in whole) * (96 / 224) ** 2, rel=0.01
    )


@pytest.mark.long
def test_the_reduction_table_is_the_papers_arithmetic():
    told = summarized("inception", "--input-shape", "28,28,192")
    assert [each["module"] for each in told["reductions"]] == list(TABLE)
    for each in told["reductions"]:
        c, one, _, three, _, five, _ = TABLE[each["module"]]
        height, width, channels = each["input_shape"]
        assert channels == c
        naive, reduced = naive_module(c, one, three, five), module(*TABLE[each["module"]])
        assert (each["naive"]["parameters"], each["reduced"]["parameters"]) == (naive, reduced)
        biases = one + three + five
        assert each["naive"]["multiply_adds"] == height * width * (naive - biases)
    own = summarized("inception_naive", "--input-shape", "10,10,8")["reductions"]
    assert (own[0]["input_shape"], len(own)) == ([10, 10, 8], 10)


@pytest.mark.others_long(1)
@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_shown_and_drawn(name, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    path = tmp_path / "module.png"
    done = tl("summarize", name, "--plot", path)
    assert done.exit_code == 0, done.stderr
    assert "parameters" in done.stdout
    with Image.open(path) as picture:
        assert min(picture.size) > 300


def test_boxes_stand_below_what_they_take():
    from tl_cli.engine import summarize

    found, _ = summarize.module("inception", (28, 28, 192))
    rows = diagram._folded(found.rows)
    places = diagram._places(rows)
    assert not any(row.kind in diagram.FINISHING for row in rows)
    assert sum(row.parameters for row in rows) == found.totals["parameters"]
    assert len(set(places.values())) == len(places)
    for row in rows:
        assert all(places[name][1] < places[row.name][1] for name in row.inputs)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["incption"], "did you mean 'inception'?", 1),
        (["resnet_18"], "did you mean 'resnet18'?", 1),
        (["inception", "--input-shape", "28,28"], "28,28,192", 1),
        (["inception", "--freeze", "half"], "is a module", 2),
        (["resnet18", "--input-shape", "28,28,3"], "is a network", 2),
        (["resnet18", "--freeze", "some"], "no ratio", 1),
        (["resnet18", "--image-size", "16"], "32", 2),
    ],
)
def test_mistakes_are_one_sentence(arguments, said, code):
    done = tl("summarize", *arguments)
    assert done.exit_code == code
    assert said in done.stderr


def test_blocks_are_listed_with_the_freeze_ratios_that_end_at_them():
    done = tl("blocks", "small", "--image-size", 32, "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["blocks"]
    assert [row["name"] for row in rows] == [b.name for b in catalog.get("small").blocks]
    assert [ratio for row in rows for ratio in row["freeze_ratios"]] == [0.25, 0.5, 0.75]
    shown = tl("blocks", "small", "--image-size", 32).stdout
    assert all(row["name"] in shown for row in rows) and "--freeze" in shown
