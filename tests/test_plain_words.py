"""What a plan does and why, and what a run comes to, in words that need no glossary."""

import re
from pathlib import Path

import pytest

from tl_cli import catalog
from tl_cli.console.screen import Screen
from tl_cli.console.train import show_found, show_headline, show_intention, show_outcome
from tl_cli.data.manifest import Manifest, Record
from tl_cli.humanize import count, percent, roughly
from tl_cli.plan import recommend
from tl_cli.plan.evidence import Evidence, Probe
from tl_cli.plan.plain_words import plain_decision, plain_reasons
from tl_cli.results.evaluation import ClassRow, Evaluation
from tl_cli.results.headline import FOLDS, TEST, VALIDATION, Headline, headline
from tl_cli.results.training import CandidateResult, FinetuneResult, HeadResult, RunResult

JARGON = re.compile(
    r"freez|frozen|layer|head|backbone|batchnorm|similarity|solve|tuned|cross-valid|log loss|ratio"
    r"|accuracy|split|N_eff|cosine|learning rate"
)
BLOCKS = catalog.get(catalog.DEFAULT).blocks


def evidence(right: float, similarity: float | None = 0.8) -> Evidence:
    probe = Probe("head_conv", right, 0.02)
    distance = None if similarity is None else 0.2
    return Evidence(100, distance, (0.1, 0.1, 0.1), similarity, (probe,), probe, probe)


def plan(size=400, classes=5, right=0.8, similarity=0.8, **options):
    seen = evidence(right, similarity)
    made = recommend(size, classes, BLOCKS, backbone=catalog.DEFAULT, evidence=seen, **options)
    return made.to_json()


PLANS = {
    "few and alike": plan(40),
    "some and alike": plan(200),
    "many": plan(2000),
    "unlike": plan(400, similarity=0.1),
    "hardly any error": plan(400, right=0.999),
    "not to be judged": plan(400, validation=5),
    "asked for": plan(400, freeze="0.3"),
    "by the rule": plan(400, policy="rule"),
    "not measurable": plan(400, similarity=None),
    "stated": plan(400) | {"similarity_source": "given"},
    "estimated": plan(400) | {"similarity_source": "estimated"},
    "tried out": plan(400) | {"policy": "trial"},
    "from nothing": plan(400, freeze="full") | {"strategy": "scratch"},
    "one pass": plan(400, freeze="half") | {"epochs": 1},
}


@pytest.mark.parametrize("made", PLANS.values(), ids=PLANS)
def test_a_plan_is_said_and_reasoned_without_a_term_that_needs_a_glossary(made):
    said = [plain_decision(made), *plain_reasons(made)]
    assert 2 <= len(said) <= 4
    assert not JARGON.search(" ".join(said))
    assert all(sentence.endswith(".") for sentence in said[1:])
    assert not re.search(r"\b1 (passes|images)\b", " ".join(said))


def test_each_reason_is_the_one_that_decided():
    last = {name: plain_reasons(made)[-1] for name, made in PLANS.items()}
    assert "training the network itself gained nothing" in last["few and alike"]
    assert "training half of it" in last["some and alike"]
    assert "right on 80 % of them" in last["many"] and "all of it" in last["many"]
    assert "99.9 % of them already" in last["hardly any error"]
    assert "Too few can be kept aside" in last["not to be judged"]
    assert "your choice" in last["asked for"]
    assert "as you said" in plain_reasons(PLANS["stated"])[1]
    assert "of other networks" in plain_reasons(PLANS["estimated"])[1]
    assert "could not be measured" in plain_reasons(PLANS["not measurable"])[1]
    assert "look unlike" in plain_reasons(PLANS["unlike"])[1]


def test_what_is_kept_and_trained_is_said():
    assert "keep all that" in plain_decision(PLANS["few and alike"])
    assert "keep the first half of" in plain_decision(PLANS["one pass"])
    assert plain_decision(PLANS["one pass"]).endswith("in one pass over your images")
    assert "train all of" in plain_decision(PLANS["many"])
    assert "from nothing" in plain_decision(PLANS["from nothing"])


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "decimals", "said"),
    [(0.9045, 1, "90.5 %"), (0.5, 0, "50 %"), (0.9996, 1, "99.9 %"), (1.0, 1, "100.0 %"),
     (0.9999, 0, "99 %"), (0.0, 0, "0 %"), (0.0004, 0, "1 %")],
)  # fmt: skip
def test_a_percentage_says_all_only_of_all(share, decimals, said):
    assert percent(share, decimals) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "a few seconds"), (9, "a few seconds"), (12, "10 s"), (44, "40 s"), (58, "1 min"),
     (200, "3 min"), (13 * 60, "15 min"), (44 * 60, "40 min"), (5400, "1.5 h"), (40_000, "11 h")],
)  # fmt: skip
def test_an_estimate_is_no_more_exact_than_it_is(seconds, said):
    assert roughly(seconds) == said


@pytest.mark.parametrize(
    ("n", "thing", "said"),
    [(1, "epoch", "1 epoch"), (3, "epoch", "3 epochs"), (2, "class", "2 classes"),
     (1200, "image of it", "1,200 images of it"), (2, "batch", "2 batches"),
     (2, "copy", "2 copies")],
)  # fmt: skip
def test_many_of_a_thing_are_called_so(n, thing, said):
    assert count(n, thing) == said


# -- what a run comes to --------------------------------------------------------------------------


def figures(split: str, n: int, right: float) -> Evaluation:
    intervals = {"accuracy": (right - 0.04, min(1.0, right + 0.035))}
    return Evaluation(split, n, right, right, right, 0.3, None, 0.1, intervals,
                      (ClassRow("a", 1.0, 1.0, 1.0, n),), ("a", "b"), ((1, 0), (0, 1)))  # fmt: skip


def result(*, test: bool, kept: str | None = None, run: str = "runs/a") -> RunResult:
    metrics = {"val": figures("val", 50, 0.8)}
    metrics |= {"test": figures("test", 220, 0.905)} if test else {}
    tune = None
    if kept:
        candidates = (CandidateResult("head", 0.5, 0.8), CandidateResult("solved again", 0.4, 0.9))
        tune = FinetuneResult(3, 2, kept, 0.1, 0.01, candidates, "")
    head = HeadResult("multi", 1.0, 0.1, 0.75, 0.5, 0.02)
    return RunResult(
        run, {"size": 200}, metrics, {"total": 1.0}, head, tune, 64, "float32", 10, 10, 10, 10
    )


@pytest.mark.parametrize(
    ("test", "kept", "measured", "n", "share"),
    [
        (True, "solved again", TEST, 220, 0.905),
        (True, None, TEST, 220, 0.905),
        (False, None, FOLDS, 200, 0.75),
        (False, "head", FOLDS, 200, 0.75),
        (False, "solved again", VALIDATION, 50, 0.8),
    ],
)
def test_the_headline_is_of_images_that_decided_least(test, kept, measured, n, share):
    told = headline(result(test=test, kept=kept), 0.2)
    assert (told.measured, told.n, told.share) == (measured, n, share)
    assert told.low < told.share < told.high
    assert told.guessing == (0.2 if measured == FOLDS else 0.1)


def test_the_headline_is_one_sentence(capsys):
    show_headline(Screen(), Headline(0.9045, 220, 0.861, 0.938, 0.1, TEST))
    assert capsys.readouterr().out == (
        "✔ Recognises 90.5 % of 220 images it has never seen "
        "(95 %: 86 to 94; guessing gives 10 %)\n"
    )


def test_what_is_no_better_than_guessing_gets_no_tick(capsys):
    show_headline(Screen(), Headline(0.1, 20, 0.02, 0.3, 0.1, TEST))
    assert capsys.readouterr().out.startswith("✘ Recognises 10 % of 20 images")


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Manifest:
    """Images as they were typed, `my photos`, in three splits; a test image was trained on."""
    monkeypatch.chdir(tmp_path)
    records = []
    for i in range(12):
        path = tmp_path / "my photos" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        split = ("train", "train", "val", "test")[i // 3]
        digest = "same" if i in (0, 9) else str(i)
        records.append(Record(str(path), path.parent.name, split, digest=digest))
    notes = tuple(f"finding {i} in a sentence" for i in range(5))
    return Manifest("my photos", ("cat", "dog"), tuple(records), (), notes)


def outcome(capsys, told: RunResult, manifest: Manifest, report: str | None = None) -> str:
    show_outcome(Screen(), told, manifest, Path(told.run) / "model.keras", report)
    return capsys.readouterr().out


def test_the_outcome_ends_in_commands_with_a_path_of_theirs(capsys, photos, tmp_path):
    told = outcome(capsys, result(test=True, run="runs/a b"), photos, "runs/a b/report.html")
    *_, model, report, predict, evaluate = told.splitlines()
    assert model.split(maxsplit=1) == ["Model", "runs/a b/model.keras"]
    address = (tmp_path / "runs" / "a b" / "report.html").as_uri()
    assert report.split() == ["Report", address]
    assert predict.strip() == "Next    tl predict 'runs/a b' 'my photos/dog/9.png'"
    assert evaluate.strip() == "tl evaluate 'runs/a b'"


def test_caveats_stand_under_the_headline(capsys, photos):
    fair = outcome(capsys, result(test=True), photos)
    assert "! 1 of them is the copy of an image it learned from: the figure is too good." in fair
    assert "only: more photos" not in fair
    alone = outcome(capsys, result(test=False, kept="solved again"), photos)
    assert "Measured on 50 images only" in alone
    assert "--test 0.1" in alone
    left = outcome(capsys, result(test=False, kept="head"), photos)
    assert "did not help, so it was left as it came" in left
    assert "each kept out of the training in its turn" in left


def test_what_was_found_is_a_sentence_and_the_gravest_findings(capsys, photos):
    show_found(Screen(), photos)
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "my photos: 12 images in 2 classes; 6 to learn from, 3 to check on, 3 for the test.",
        "  ! finding 0 in a sentence.",
        "  ! finding 1 in a sentence.",
        "  ! finding 2 in a sentence.",
        "    and 2 more: tl inspect 'my photos'",
    ]


def test_the_plan_is_a_sentence_with_its_time_and_three_reasons(capsys):
    screen = Screen()
    screen.began -= 26
    show_intention(screen, PLANS["many"], 185.0)
    first, *rest = " ".join(capsys.readouterr().out.split()).split(" - ")
    assert first.endswith("over your images. About 3 min to go, after 26 s so far.")
    assert len(rest) == 3
