"""The founding rule at its corners and between, what a plan says, and that it is pure."""

import json

import pytest

from test_evidence_plan import evidence
from tl_cli import catalog
from tl_cli.errors import TLError
from tl_cli.plan import alternatives, founding_rule, override, recommend, similarity_kind, size_kind
from tl_cli.plan.evidence import Probe
from tl_cli.plan.policies import share_by_evidence

BLOCKS = catalog.get("efficientnet_lite0").blocks


def plan(size, similarity, classes=2, **more):
    return recommend(
        size, classes, BLOCKS, backbone="efficientnet_lite0", similarity=similarity,
        images_per_class=more.pop("images_per_class", size), **more,
    )  # fmt: skip


def test_little_and_similar_trains_the_classifier_alone():
    assert plan(200, "high").strategy == "head"
    assert plan(200, "high").freeze_ratio == 1.0


def test_little_and_different_keeps_only_the_basic_features():
    chosen = plan(200, "low")
    assert chosen.strategy == "partial"
    assert 0.05 <= chosen.freeze_ratio <= 0.2


def test_much_and_similar_trains_about_half():
    assert plan(20_000, "high").freeze_ratio == pytest.approx(0.5, abs=0.05)


def test_much_and_different_trains_everything():
    chosen = plan(20_000, "low")
    assert (chosen.strategy, chosen.freeze_ratio) == ("full", 0.0)


@pytest.mark.parametrize("size", [100, 1_000, 3_000, 9_000, 50_000])
def test_less_similar_data_never_freezes_more(size):
    ratios = [founding_rule(size, s / 20) for s in range(21)]
    assert ratios == sorted(ratios, reverse=True)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.8, 1.0])
def test_more_similar_data_never_freezes_more(similarity):
    shares = [founding_rule(n, similarity) for n in (10, 200, 1_000, 5_000, 10_000, 10**6)]
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("size", "similarity", "share"),
    [
        # by hand: z = (log10(n) - 2.3) / 1.7, h = (0.75 - s) / 0.45, 0.85 (1-z) h^2 + z (.5 + .5 h)
        (10_000, 0.5, 0.5 + 0.5 * (0.25 / 0.45)),
        (199, 0.5, 0.85 * (0.25 / 0.45) ** 2),
        (1_000, 0.8, 0.5 * 0.7 / 1.7),
        (400, 0.8, 0.0),  # below 0.15 of the layers
    ],
)
def test_the_rule_in_numbers(size, similarity, share):
    assert founding_rule(size, similarity) == pytest.approx(share, abs=1e-3)


def test_many_classes_of_few_images_are_still_few():
    assert recommend(5_000, 1_000, BLOCKS, backbone="x", similarity="high").effective_size == 500
    assert recommend(5_000, 2, BLOCKS, backbone="x").effective_size == 5_000


@pytest.mark.parametrize(
    ("effective", "kind"), [(399, "tiny"), (400, "medium"), (9_999, "medium"), (10_000, "big")]
)
def test_the_sizes_have_names(effective, kind):
    assert size_kind(effective) == kind


@pytest.mark.parametrize(
    ("value", "kind"), [(0.39, "low"), (0.40, "medium"), (0.59, "medium"), (0.60, "high")]
)
def test_the_similarities_have_names(value, kind):
    assert similarity_kind(value) == kind


def test_an_assumed_similarity_is_said_to_be_assumed():
    chosen = plan(1_000, None)
    assert (chosen.similarity, chosen.similarity_source) == (0.5, "assumed")
    assert any("assumed" in reason for reason in chosen.reasons)


@pytest.mark.parametrize(
    ("given", "strategy"),
    [("head", "head"), ("half", "partial"), ("full", "full"), ("0.9", "partial")],
)
def test_a_freeze_that_is_asked_for_is_taken(given, strategy):
    assert plan(50_000, "low", freeze=given).strategy == strategy


def test_half_of_the_layers_is_little_of_the_parameters():
    half = plan(1_000, "high", freeze="half")
    assert half.freeze_ratio == pytest.approx(0.5, abs=0.04)
    assert half.frozen_parameters_share == pytest.approx(0.07, abs=0.03)
    assert half.frozen_compute_share == pytest.approx(0.41, abs=0.07)


def test_epochs_fall_with_size_within_their_bounds():
    epochs = [plan(n, "low").epochs for n in (10, 100, 1_000, 10_000, 10**6)]
    assert epochs == sorted(epochs, reverse=True)
    assert (epochs[0], epochs[-1]) == (15, 6)


def test_tiny_data_get_a_smaller_learning_rate():
    assert plan(100, "low").learning_rate == 3e-4
    assert plan(1_000, "low").learning_rate == 5e-4


def test_ones_own_numbers_replace_the_plans_and_are_named():
    changed = override(plan(1_000, "low"), epochs=3, learning_rate=0.1, batch_size=None)
    assert (changed.epochs, changed.learning_rate) == (3, 0.1)
    assert changed.reasons[-1] == "You set epochs 3, learning_rate 0.1."


def test_the_json_has_the_documented_keys():
    told = json.loads(json.dumps(plan(500, "low").to_json()))
    assert {
        "freeze_ratio", "strategy", "similarity", "similarity_source", "size", "classes",
        "images_per_class", "frozen_layers", "trained_layers", "frozen_parameters_share",
        "frozen_compute_share", "learning_rate", "epochs", "reasons",
    } <= set(told)  # fmt: skip
    assert isinstance(told["reasons"], list)
    assert told["frozen_layers"] + told["trained_layers"] == 98


@pytest.mark.parametrize(("size", "classes"), [(10, 1), (3, 5)])
def test_what_cannot_be_is_refused(size, classes):
    with pytest.raises(TLError):
        recommend(size, classes, BLOCKS, backbone="x")


# -- what the evidence makes of it ----------------------------------------------------------------


def seen(size=1_000, validation=200, **changed):
    return plan(size, None, classes=10, evidence=evidence(**changed), validation=validation)


@pytest.mark.parametrize(
    ("size", "similarity", "error", "share"),
    [
        (99, 0.75, 0.2, 0.0),  # a few photographs: little and similar, the classifier alone
        (99, 0.74, 0.2, 1.0),  # hand signs, 80 images: fourteen points
        (100, 0.75, 0.2, 0.5),
        (249, 0.9, 0.2, 0.5),
        (250, 0.9, 0.2, 1.0),
        (50_000, 0.9, 0.2, 1.0),  # much and similar: half by the founding rule, all by the grid
        (50_000, 0.3, 0.009, 0.0),  # there is nothing left to gain
    ],
)
def test_how_much_is_trained_follows_from_size_similarity_and_error(size, similarity, error, share):
    assert share_by_evidence(size, similarity, error) == share


def test_with_evidence_the_plan_says_why():
    chosen = seen()
    assert chosen.policy == "evidence"
    assert chosen.similarity_source == "measured"
    assert chosen.requested_ratio == 0.0
    assert any("Measured on other sets" in reason for reason in chosen.reasons)
    assert any("92.0%" in reason for reason in chosen.reasons)
    much = seen(size=5_000)
    assert much.strategy == "full"
    assert any("training everything" in reason for reason in much.reasons)


def test_a_middle_that_beats_the_end_is_told_where_images_are_enough_to_tell():
    probes = (Probe("early", 0.5, 0.02), Probe("middle", 0.95, 0.02), Probe("last", 0.9, 0.02))
    sentence = "middle tells the classes apart better"
    assert any(sentence in reason for reason in seen(probes=probes).reasons)
    few = plan(100, None, classes=10, images_per_class=10, evidence=evidence(probes=probes))
    assert not any(sentence in reason for reason in few.reasons)
    near = (*probes[:1], Probe("middle", 0.91, 0.02), probes[2])
    assert not any(sentence in reason for reason in seen(probes=near).reasons)


def test_a_head_that_is_nearly_always_right_is_left_alone():
    assert seen(joined=Probe("joined", 0.995, 0.002)).strategy == "head"


def test_a_gain_that_nobody_could_tell_from_chance_is_not_sought():
    chosen = seen(validation=9)
    assert chosen.strategy == "head"
    assert any("9 validation images" in reason for reason in chosen.reasons)


def test_without_evidence_and_when_asked_the_rule_decides():
    assert plan(1_000, "low").reasons == plan(1_000, "low", policy="rule").reasons
    ruled = plan(1_000, None, evidence=evidence(), policy="rule")
    assert ruled.policy == "rule"
    assert ruled.requested_ratio == pytest.approx(
        1 - founding_rule(1_000, evidence().similarity), abs=1e-4
    )


def test_other_data_would_have_led_elsewhere():
    chosen = plan(300, "high")
    others = alternatives(chosen, BLOCKS)
    assert set(others) == {"ten times the images", "medium similarity", "low similarity"}
    assert others["ten times the images"].size == 3_000
    assert others["low similarity"].freeze_ratio < chosen.freeze_ratio
    assert alternatives(plan(300, "high", freeze="half"), BLOCKS) == {}


def test_every_number_of_the_training_has_its_reason():
    tuned = plan(1_000, "low")
    assert set(tuned.why) == {
        "learning_rate", "epochs", "augment", "weight_decay", "layer_decay",
        "label_smoothing", "batch_size",
    }  # fmt: skip
    assert plan(200, "high").why == {}
    assert override(tuned, epochs=3).why["epochs"] == "you said so"
