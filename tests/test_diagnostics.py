"""What an evaluation says beyond its figures: against scikit-learn, and against known answers."""

import numpy as np
import pytest
from sklearn import metrics

from tl_cli.data.columns import column
from tl_cli.data.manifest import Manifest, Record
from tl_cli.engine.metrics import diagnostics
from tl_cli.engine.predict import LabelledPredictions
from tl_cli.errors import TLError
from tl_cli.results.calibration import coverage, reliability


def measured(
    n=600, classes=("a", "b", "c"), seed=0, sharpness=1.0, skill=1.5
) -> LabelledPredictions:
    """Answers whose probabilities are right where sharpness is 1, and too sure above."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, skill, (n, len(classes)))
    truth = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = np.array([rng.choice(len(classes), p=p) for p in truth])
    p = np.exp(sharpness * scores) / np.exp(sharpness * scores).sum(1, keepdims=True)
    records = tuple(
        Record(f"{i}.png", classes[k], width=10 + i, mode="L" if k else "RGB")
        for i, k in enumerate(labels)
    )
    return LabelledPredictions(tuple(classes), records, labels, p.astype("float32"))


def test_the_areas_are_scikit_learns():
    found = measured()
    told = diagnostics.diagnose(found, None)
    expected = metrics.roc_auc_score(found.labels, found.probabilities, multi_class="ovr")
    assert told.roc_area == pytest.approx(expected)
    one_hot = np.eye(3)[found.labels]
    expected = metrics.average_precision_score(one_hot, found.probabilities)
    assert told.precision_recall_area == pytest.approx(expected)


def test_an_absent_class_has_no_area_and_one_class_alone_has_none():
    found = measured()
    some = found.labels < 2
    records = tuple(r for r, there in zip(found.records, some, strict=True) if there)
    told = diagnostics.diagnose(
        LabelledPredictions(found.classes, records, found.labels[some], found.probabilities[some]),
        None,
    )
    assert told.areas[2].roc is None
    assert told.roc_area is not None
    one = np.flatnonzero(found.labels == 0)
    told = diagnostics.diagnose(
        LabelledPredictions(found.classes, found.records[: len(one)], found.labels[one],
                 found.probabilities[one]), None
    )  # fmt: skip
    assert told.roc_area is None


def test_the_calibration_error_worked_out_by_hand():
    found = reliability(
        [0.95, 0.95, 0.95, 0.95, 0.55, 0.55], [True, True, True, False, True, False]
    )
    assert found.ece == pytest.approx((4 * 0.20 + 2 * 0.05) / 6)
    assert [b.n for b in found.bins] == [2, 4]
    assert reliability([1.0], [True]).ece == 0


def test_temperature_fitted_on_validation_mends_what_is_too_sure():
    found, validation = measured(4000, sharpness=2, seed=1), measured(4000, sharpness=2, seed=2)
    told = diagnostics.diagnose(found, validation).calibration
    assert told.temperature == pytest.approx(2, abs=0.15)
    assert told.ece_scaled < 0.03 < 0.08 < told.ece


def test_a_temperature_is_not_judged_on_the_images_that_it_was_fitted_on():
    found = measured()
    assert diagnostics.diagnose(found, found).calibration.ece_scaled is None
    assert diagnostics.diagnose(found, None).calibration.temperature is None


def test_withholding_unsure_answers():
    found = coverage([0.4, 0.6, 0.8, 0.9], [False, False, True, True], (0.5, 0.7, 0.95))
    assert [a.coverage for a in found] == [0.75, 0.5, 0]
    assert [a.accuracy for a in found] == [pytest.approx(2 / 3), 1, None]


def test_the_costliest_images_and_the_most_confused_classes():
    found = measured()
    told = diagnostics.diagnose(found, None)
    own = -np.log(found.probabilities[np.arange(600), found.labels])
    assert told.losses[0].path == f"{own.argmax()}.png"
    assert [each.loss for each in told.losses] == pytest.approx(sorted(own, reverse=True)[:20])
    matrix = metrics.confusion_matrix(found.labels, found.probabilities.argmax(1))
    np.fill_diagonal(matrix, 0)
    assert told.confused[0].n == matrix.max()
    assert sum(pair.n for pair in told.confused) == matrix.sum()


# -- asked for ------------------------------------------------------------------------------------


def test_slices_of_names_and_of_numbers():
    found = measured()
    by_mode = diagnostics.slices(found, {r.path: r.mode for r in found.records})
    assert sum(row.n for row in by_mode) == 600
    rgb = next(row for row in by_mode if row.value == "RGB")
    assert rgb.accuracy == found.right[found.labels == 0].mean()
    assert rgb.interval[0] < rgb.accuracy < rgb.interval[1]
    by_width = diagnostics.slices(found, {r.path: str(r.width) for r in found.records})
    assert [row.n for row in by_width] == [150] * 4
    assert [row.accuracy for row in by_width] == sorted(row.accuracy for row in by_width)


def test_a_column_of_names_of_their_own_is_refused():
    found = measured()
    with pytest.raises(TLError, match="600 values"):
        diagnostics.slices(found, {r.path: r.path for r in found.records})


def test_a_value_that_is_missing_is_a_value():
    found = measured(50)
    rows = diagnostics.slices(found, {"0.png": "x"})
    assert {(row.value, row.n) for row in rows} == {("x", 1), ("(none)", 49)}


def test_columns_of_the_manifest_and_of_the_users_table(tmp_path):
    records = [Record(str(tmp_path / f"{i}.png"), "a", mode="L") for i in range(2)]
    manifest = Manifest("x", ("a",), tuple(records))
    file = tmp_path / "t.csv"
    file.write_text("path,label,camera\n0.png,a,old\n./1.png,a,new\n")
    assert column(manifest, "mode") == {r.path: "L" for r in records}
    assert set(column(manifest, "camera", str(file)).values()) == {"old", "new"}
    assert set(column(manifest, "camera", str(file))) == {r.path for r in records}
    with pytest.raises(TLError, match="unknown column 'camra': did you mean 'camera'"):
        column(manifest, "camra", str(file))
    with pytest.raises(TLError, match="unknown column 'camera'"):
        column(manifest, "camera", str(tmp_path))


@pytest.mark.parametrize("goal", ["precision", "recall"])
def test_a_threshold_reaches_its_target_at_the_least_cost(goal):
    found = measured(3000, ("no", "yes"))
    for each in diagnostics.thresholds(found, found, "val", goal, 0.9):
        assert getattr(each, goal) >= 0.9
        number = found.classes.index(each.positive)
        own, p = found.labels == number, found.probabilities[:, number]
        precision, recall, _ = metrics.precision_recall_curve(own, p)
        best = (recall if goal == "precision" else precision)[
            (precision if goal == "precision" else recall) >= 0.9
        ].max()
        assert (each.recall if goal == "precision" else each.precision) == pytest.approx(best)


def test_a_target_that_cannot_be_reached_and_more_than_two_classes():
    found = measured(200, ("no", "yes"), skill=0.01)
    told = diagnostics.thresholds(found, found, "val", "precision", 1.0)
    assert any(each.threshold is None or each.precision == 1 for each in told)
    labels = 1 - found.probabilities.argmax(1)  # always wrong
    wrong = LabelledPredictions(found.classes, found.records, labels, found.probabilities)
    assert diagnostics.thresholds(wrong, wrong, "val", "precision", 0.99)[0].threshold is None
    with pytest.raises(TLError, match="knows 3"):
        diagnostics.thresholds(measured(), measured(), "val", "recall", 0.9)


def test_another_checkpoint_is_compared_by_class_name():
    found = measured(seed=3)
    order = [2, 0, 1]
    same = LabelledPredictions(
        tuple(found.classes[i] for i in order), found.records, found.labels,
        found.probabilities[:, order],
    )  # fmt: skip
    told = diagnostics.against(found, same, "other")
    assert told.accuracy.difference == told.log_loss_difference == 0
    guess = np.full_like(found.probabilities, 1 / 3)
    told = diagnostics.against(
        found, LabelledPredictions(found.classes, found.records, found.labels, guess), "x"
    )
    assert told.accuracy.p_value < 0.01
    assert told.log_loss_interval[1] < 0
    with pytest.raises(TLError, match="other classes"):
        other = LabelledPredictions(("a", "b", "z"), found.records, found.labels, guess)
        diagnostics.against(found, other, "x")
