"""`tl rank`: which networks are compared, on which images, who is left behind, who is best."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from test_cli import tl
from tiny import coloured
from tl_cli.cli.rank import candidates_of
from tl_cli.data.manifest import CLASSIFICATION
from tl_cli.engine.networks import loading
from tl_cli.errors import TLError
from tl_cli.results.ranking import Candidate, RankedNetwork, Ranking, on_the_front


def network(name: str, accuracy: float, milliseconds: float, **options) -> RankedNetwork:
    options = {"weights": None, "image_size": 224, "images": 100, "log_loss": 0.5} | options
    return RankedNetwork(name, accuracy=accuracy, interval=(0.0, 1.0), milliseconds=milliseconds,
                         parameters=1, look_seconds=1.0, **options)  # fmt: skip


def test_the_front_leaves_out_what_is_beaten_in_both():
    points = [(0.9, 10.0), (0.8, 5.0), (0.8, 12.0), (0.9, 11.0), (0.7, 5.0)]
    assert on_the_front(points) == [True, True, False, False, False]
    assert on_the_front([(0.9, 1.0), (0.9, 1.0)]) == [True, True]


def test_the_quickest_is_chosen_among_those_that_are_no_worse():
    best, even = network("best", 0.9, 20), network("even", 0.89, 8, p_value=0.6)
    worse = network("worse", 0.6, 1, p_value=0.001)
    behind = network("behind", 0.9, 0.5, finalist=False, p_value=0.0)
    ranking = Ranking((best, even, worse, behind), 100, 100)
    assert ranking.best is best
    assert ranking.quickest is even
    flags = [row["no_worse_than_best"] for row in ranking.to_json()["networks"]]
    assert flags == [True, True, False, False]


def test_networks_are_named_with_weights_of_ones_own(tmp_path):
    file = tmp_path / "mine.weights.h5"
    file.touch()
    found = candidates_of(f"efficientnet_lite0, mobilenet_025={file}", [])
    assert found == [Candidate("efficientnet_lite0"), Candidate("mobilenet_025", str(file))]
    assert candidates_of(None, ["efficientnet_lite0", "mobilenet_v2"])[1].name == "mobilenet_v2"


@pytest.mark.parametrize(
    ("among", "said"),
    [
        ("efficientnet_lite0,nope", "unknown backbone"),
        ("efficientnet_lite0,mobilenet_025=nowhere.h5", "nowhere.h5"),
        ("efficientnet_lite0,efficientnet_lite0", "named twice"),
        ("efficientnet_lite0", "only efficientnet_lite0"),
        ("efficientnet_lite0,resnet18", "no pretrained weights of resnet18"),
    ],
)
def test_what_cannot_be_ranked_is_one_sentence(among, said):
    with pytest.raises(TLError, match=said):
        candidates_of(among, [])


def test_nothing_to_choose_from():
    with pytest.raises(TLError, match="no network to choose from"):
        candidates_of(None, [])


# -- below the waterline -------------------------------------------------------------------------


class Looks:
    """In place of the looks: held-out answers that are right as often as is said by name."""

    def __init__(self, right: dict[str, float]) -> None:
        self.right, self.seen = right, []

    def __call__(self, config, whole, part, candidate, on_progress):
        from tl_cli.engine.head.linear_head import LinearHead, quality
        from tl_cli.engine.rank import _Looked
        from tl_cli.engine.tasks import TASKS

        self.seen.append((candidate.name, len(part.records)))
        labels = np.array([part.classes.index(r.label) for r in part.records])
        wrong = np.arange(len(labels)) >= self.right[candidate.name] * len(labels)
        held_out = np.full((len(labels), len(part.classes)), 0.05, "float32")
        held_out[np.arange(len(labels)), (labels + wrong) % len(part.classes)] = 0.9
        figures = quality(held_out, labels)
        head = LinearHead(np.zeros(1), np.zeros(1), 1.0, 1.0, held_out=held_out, **figures)
        row = replace(
            network(candidate.name, figures["cv_accuracy"], 5.0), images=len(labels),
            log_loss=figures["cv_log_loss"],
        )  # fmt: skip
        return _Looked(candidate, head, labels, row, TASKS[CLASSIFICATION])


@pytest.fixture
def images():
    from tl_cli.data.manifest import Manifest, Record

    splits = ["train"] * 8 + ["val", "test"]
    records = tuple(
        Record(f"{label}/{i}.png", label, splits[i % 10], digest=f"{label}{i:05d}")
        for label in ("a", "b", "c")
        for i in range(400)
    )
    return Manifest("somewhere", ("a", "b", "c"), records)


def ranked(monkeypatch, images, right: dict[str, float], **options) -> tuple[Ranking, Looks]:
    from tl_cli import config
    from tl_cli.engine import rank
    from tl_cli.results.progress import silent

    looks = Looks(right)
    monkeypatch.setattr(rank, "_look", looks)
    settings = config.load(flags={"data": "somewhere", **options})
    return rank.rank(settings, images, [Candidate(name) for name in right], silent), looks


def test_what_is_surely_worse_is_left_behind_early(monkeypatch, images):
    ranking, looks = ranked(monkeypatch, images, {"w": 0.5, "x": 0.9, "y": 0.89, "z": 0.6})
    assert looks.seen == [(n, 270) for n in "wxyz"] + [("x", 1080), ("y", 1080)]  # no test images
    assert [n.name for n in ranking.networks] == ["x", "y", "z", "w"]
    assert [n.finalist for n in ranking.networks] == [True, True, False, False]
    assert not ranking.networks[2].no_worse
    assert (ranking.images, ranking.available) == (1080, 1080)


def test_who_cannot_be_told_apart_is_kept(monkeypatch, images):
    ranking, looks = ranked(monkeypatch, images, dict.fromkeys("wxyz", 0.9))
    assert len(looks.seen) == 8
    assert all(n.no_worse for n in ranking.networks)


def test_two_networks_are_compared_on_all_images_at_once(monkeypatch, images):
    _, looks = ranked(monkeypatch, images, {"x": 0.9, "y": 0.5})
    assert looks.seen == [("x", 1080), ("y", 1080)]


def test_time_that_is_over_leaves_an_answer_and_says_what_is_missing(monkeypatch, images):
    right = {"x": 0.9, "y": 0.5, "z": 0.4}
    ranking, looks = ranked(monkeypatch, images, right, max_minutes=1e-9)
    assert [name for name, _ in looks.seen] == ["x"]
    assert ranking.best.name == "x"
    assert ranking.not_reached == ("y", "z")


def test_a_second_round_that_is_cut_short_does_not_count(monkeypatch, images):
    from tl_cli.engine import rank

    clock = iter([0.0, *[1.0] * 4, *[99.0] * 9])  # its start, four first looks, then it is over
    monkeypatch.setattr(rank.time, "monotonic", lambda: next(clock))
    right = {"w": 0.5, "x": 0.9, "y": 0.89, "z": 0.6}
    ranking, looks = ranked(monkeypatch, images, right, max_minutes=1)
    assert len(looks.seen) == 4
    assert ranking.images == 270
    assert [n.name for n in ranking.networks[:2]] == ["x", "y"]
    assert ranking.not_reached == ()


def test_the_command_ranks_two_networks_on_real_passes(tmp_path):
    from tl_cli import catalog
    from tl_cli.engine.networks import loading

    photos = coloured(tmp_path / "photos", 10, noise=30)
    weights = tmp_path / "random.weights.h5"
    loading.load(catalog.get("smaller"), 32, weights=None).model.save_weights(weights)
    options = ["--among", f"small,smaller={weights}", "--image-size", 32]
    done = tl("rank", photos, *options, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["name"] for row in found["networks"]} == {"small", "smaller"}
    for row in found["networks"]:
        assert row["images"] == 30
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
        assert row["milliseconds"] > 0
        assert row["train_seconds"] >= row["look_seconds"] > 0
    shown = tl("rank", photos, *options)
    assert f"Best here: {found['best']}" in shown.stdout.replace(" (random.weights.h5)", "")
    assert f"--backbone {found['best']}" in shown.stdout
    assert Path(weights).name in shown.stdout


# -- --backbone best -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [["--from-scratch"], ["--weights", "mine.weights.h5"]],
)
def test_best_is_chosen_among_pretrained_networks(options, tmp_path):
    done = tl("train", "--data", tmp_path, "--backbone", "best", *options)
    assert done.exit_code == 1
    assert "backbone best is chosen among pretrained networks" in done.stderr


def test_best_cannot_be_told_without_images():
    done = tl("recommend-freeze", "--backbone", "best", "--size", 100, "--classes", 2)
    assert done.exit_code == 2
    assert "chosen by looking" in done.stderr


@pytest.mark.long
def test_a_training_takes_the_network_that_ranks_best(monkeypatch, tmp_path):
    from tl_cli import catalog
    from tl_cli.engine import rank

    monkeypatch.setattr(catalog, "at_hand", lambda: ["small", "smaller"])
    rankings = []

    def noted(*given):
        rankings.append(rank_of(*given))
        return rankings[-1]

    rank_of = rank.rank
    monkeypatch.setattr(rank, "rank", noted)
    run = tmp_path / "run"
    options = [
        "--image-size",
        32,
        "--effort",
        "quick",
        "--no-report",
        "--output",
        run,
        "--json",
        "--verbose",
    ]
    photos = coloured(tmp_path / "photos", 10, noise=30)
    done = tl("train", photos, "--backbone", "best", *options)
    assert done.exit_code == 0, done.stderr
    [ranking] = rankings
    assert json.loads((run / "checkpoint.json").read_text())["backbone"] == ranking.best.name
    assert f"backbone: {ranking.best.name}" in (run / "config.yaml").read_text()
    assert f"Network: {ranking.best.name}" in done.stderr


def test_where_there_is_one_network_it_is_taken_without_a_look(monkeypatch):
    from tl_cli import catalog, config
    from tl_cli.engine import rank

    monkeypatch.setattr(catalog, "at_hand", lambda: ["efficientnet_lite0"])
    notes = []
    settings = config.load(flags={"data": "photos", "backbone": "best"})
    assert rank.resolved(settings, None, notes.append).backbone == "efficientnet_lite0"
    assert "the only one" in notes[0].text


# -- --allow-download ----------------------------------------------------------------------------


def test_worth_fetching_is_the_best_of_each_family_at_a_bearable_cost(monkeypatch):
    from tl_cli import catalog
    from tl_cli.cards import presence

    monkeypatch.setattr(presence, "keras_home", lambda: Path("/nowhere"))
    assert catalog.worth_fetching() == ["efficientnet_b3", "efficientnetv2_b2"]
    monkeypatch.setattr(presence, "state", lambda card: presence.HERE)
    assert catalog.worth_fetching() == []


@pytest.fixture
def offered(monkeypatch):
    """Have `small` here, `smaller` be worth fetching, and another that cannot be had."""
    from tl_cli import catalog

    monkeypatch.setattr(catalog, "at_hand", lambda: ["small"])
    monkeypatch.setattr(catalog, "worth_fetching", lambda: ["smaller", "mobilenet_v2"])
    monkeypatch.setitem(loading.SOURCES, "keras", out_of_reach)


def out_of_reach(*_):
    raise TLError("the weights of mobilenet_v2 could not be downloaded (no network?)")


@pytest.mark.long
def test_what_may_do_better_is_fetched_and_tried(offered, tmp_path):
    photos = coloured(tmp_path / "photos", 10, noise=30)
    done = tl("rank", photos, "--allow-download", "--image-size", 32, "--json")
    assert done.exit_code == 0, done.stderr
    names = {row["name"] for row in json.loads(done.stdout)["networks"]}
    assert names == {"small", "smaller"}
    assert "Fetching smaller" in done.stderr
    assert "mobilenet_v2 is left out: the weights of mobilenet_v2 could not be" in done.stderr


def test_a_training_chooses_among_what_was_fetched(offered):
    from tl_cli import config
    from tl_cli.engine import rank

    given = {"data": "photos", "effort": "thorough"}
    assert rank.resolved(config.load(flags=given), None, print).backbone == "small"
    looked_at = []
    rank_of, rank.rank = rank.rank, lambda *given: looked_at.extend(given[2]) or ranking_of(given)
    try:
        settings = config.load(flags=given | {"allow_download": True})
        assert rank.resolved(settings, None, lambda note: None).backbone == "smaller"
    finally:
        rank.rank = rank_of
    assert [each.name for each in looked_at] == ["small", "smaller"]


def ranking_of(given):
    return Ranking(tuple(network(each.name, 0.9, 1.0) for each in given[2][::-1]), 100, 100)


@pytest.mark.parametrize("given", [{}, {"effort": "thorough", "backbone": "efficientnet_lite0"}])
def test_nothing_is_fetched_where_nothing_is_chosen(given):
    from tl_cli import config

    with pytest.raises(TLError, match="allow_download is for a training that chooses its network"):
        config.load(flags={"data": "photos", "allow_download": True, **given})
