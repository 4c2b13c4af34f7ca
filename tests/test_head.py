"""Heads in closed form against explicit refits, folds, and the choice between heads."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from tl_cli.engine.head import (
    LinearHead,
    choose_head,
    join,
    linear_head,
    logistic,
    problem,
    refine,
    ridge,
    solve,
    solver,
    stratified_folds,
)


def clusters(n: int, d: int, classes: int, spread: float = 1.0, seed: int = 0):
    """Features float32 [n, d] around one centre per class, away from zero, and labels [n]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d))
    x = centres[labels] + spread * rng.normal(size=(n, d)) * np.linspace(0.2, 2, d) + 3
    return x.astype(np.float32), labels


def at_strength(checked: problem.Problem, strength: float, way, monkeypatch) -> ridge.Solution:
    """Solve with one strength only, in absolute terms."""
    monkeypatch.setattr(ridge, "STRENGTHS", np.array([strength / max(checked.x.shape)]))
    return way(checked)


def refit(checked: problem.Problem, scale: float, strength: float, train: np.ndarray):
    """Weighted ridge with a free intercept on the rows `train`, by least squares."""
    z = (np.asarray(checked.x, np.float64) - checked.mean) / scale
    root = np.sqrt(checked.weight[train])[:, None]
    rows = np.hstack([z[train], np.ones((train.sum(), 1))]) * root
    d = z.shape[1]
    penalty = np.hstack([np.sqrt(strength) * np.eye(d), np.zeros((d, 1))])
    target = np.eye(checked.classes)[checked.labels[train]] * root
    a, y = np.vstack([rows, penalty]), np.vstack([target, np.zeros((d, checked.classes))])
    b = np.linalg.lstsq(a, y, rcond=None)[0]
    return b, np.hstack([z, np.ones((len(z), 1))]) @ b


def head_of(own: np.ndarray) -> LinearHead:
    """A head by what it says, held out, of the right one of two classes: probabilities [n]."""
    held_out = np.stack([own, 1 - own], 1)
    return LinearHead(np.zeros((1, 2)), np.zeros(2), 1.0, 1.0, 0.5, 0.0, 0.01, held_out)


WAYS = {"blocks": ridge._by_blocks, "downdating": ridge._by_downdating}


class TestHeldOut:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("shape", [(36, 50), (60, 12)], ids=["dual", "primal"])
    @pytest.mark.parametrize("strength", [1e-2, 1.0, 300.0])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_is_that_of_explicit_refits(self, way, shape, strength, weighted, monkeypatch):
        x, labels = clusters(*shape, classes=3)
        weight = np.random.default_rng(1).uniform(0.2, 3, len(x)) if weighted else None
        checked = problem.check(x, labels, 3, weight, 4, 0, None)
        got = at_strength(checked, strength, WAYS[way], monkeypatch)
        assert got.strength == pytest.approx(strength)
        for f in range(4):
            held = checked.fold == f
            _, scores = refit(checked, got.scale, strength, ~held)
            np.testing.assert_allclose(got.scores[held], scores[held], rtol=0, atol=1e-8)
        b, _ = refit(checked, got.scale, strength, np.ones(len(x), bool))
        np.testing.assert_allclose(got.weights, b[:-1], rtol=0, atol=1e-8)
        np.testing.assert_allclose(got.intercept, b[-1], rtol=0, atol=1e-8)

    @pytest.mark.parametrize("shape", [(40, 60), (80, 30)])
    def test_both_ways_choose_and_solve_the_same(self, shape):
        checked = problem.check(*clusters(*shape, classes=4, spread=3), 4, None, 5, 0, None)
        a, b = ridge._by_blocks(checked), ridge._by_downdating(checked)
        assert a.strength == b.strength
        np.testing.assert_allclose(a.weights, b.weights, atol=1e-8)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-8)

    def test_dual_and_primal_factor_agree(self):
        a = np.random.default_rng(0).normal(size=(20, 20))
        wide = np.hstack([a, np.zeros((20, 5))])
        (dual, s), (primal, t) = ridge.left_factor(wide), ridge.left_factor(a)
        np.testing.assert_allclose(s, t, rtol=1e-8)
        np.testing.assert_allclose(dual @ dual.T, primal @ primal.T, atol=1e-10)

    def test_strength_has_the_least_squared_error_of_the_folds(self, monkeypatch):
        x, labels = clusters(60, 40, 3, spread=4)
        checked = problem.check(x, labels, 3, None, 5, 0, None)
        chosen = ridge._by_blocks(checked)
        target = np.eye(3)[labels]

        def error(solution):
            return np.sum((solution.scores - target) ** 2)

        tried = ridge.STRENGTHS * max(x.shape)
        others = [at_strength(checked, s, ridge._by_blocks, monkeypatch) for s in tried]
        assert error(chosen) == pytest.approx(min(error(o) for o in others))
        assert tried[0] < chosen.strength < tried[-1]

    def test_chunks_and_float16_memory_map_give_the_same_head(self, tmp_path, monkeypatch):
        x, labels = clusters(90, 20, 3, spread=3)
        x = x.astype(np.float16)
        whole = solve(x.astype(np.float64), labels, 3)
        mapped = np.memmap(tmp_path / "x", np.float16, "w+", shape=x.shape)
        mapped[:] = x
        monkeypatch.setattr(problem, "CHUNK", 7)
        chunked = solve(mapped, labels, 3)
        np.testing.assert_allclose(chunked.weights, whole.weights, rtol=1e-5)
        np.testing.assert_allclose(chunked.held_out, whole.held_out, rtol=1e-5)

    def test_features_are_read_in_chunks_when_there_are_many(self, monkeypatch):
        x, labels = clusters(90, 20, 3)
        monkeypatch.setattr(problem, "CHUNK", 16)

        class OnDisk:
            shape, dtype, largest = x.shape, x.dtype, 0

            def __len__(self):
                return len(x)

            def __getitem__(self, rows):
                OnDisk.largest = max(OnDisk.largest, len(x[rows]))
                return x[rows]

        solve(OnDisk(), labels, 3)
        assert 0 < OnDisk.largest <= 16


class TestHead:
    @pytest.mark.parametrize("method", ["ridge", "logistic"])
    def test_separable_classes_are_told_apart(self, method):
        x, labels = clusters(60, 10, 3, spread=0.1)
        head = solve(x, labels, 3, method=method)
        assert head.kind == method
        assert head.cv_accuracy == 1.0
        assert (head.probabilities(x).argmax(1) == labels).all()
        assert head.cv_log_loss < 0.1 and head.cv_stderr > 0

    @pytest.mark.parametrize("method", ["ridge", "logistic"])
    def test_dense_layer_on_raw_features_is_the_model(self, method):
        """Folded: the layer's predictions are those of the scaled, centred, tempered model."""
        x, labels = clusters(60, 15, 3, spread=2)
        head = solve(x, labels, 3, method=method)
        assert head.weights.dtype == head.bias.dtype == head.held_out.dtype == np.float32
        assert head.weights.shape == (15, 3) and head.bias.shape == (3,)
        if method == "ridge":
            checked = problem.check(x, labels, 3, None, 5, 0, None)
            solution = ridge.ridge(checked)
            z = (x - checked.mean) / solution.scale
            scores = (z @ solution.weights + solution.intercept) / head.temperature
            np.testing.assert_allclose(head.probabilities(x), softmax(scores, 1), atol=1e-5)
        else:
            shifted = solve(100 + 7 * x.astype(np.float64), labels, 3, method=method)
            shifted_p = shifted.probabilities((100 + 7 * x).astype(np.float64))
            np.testing.assert_allclose(head.probabilities(x), shifted_p, atol=5e-3)

    def test_held_out_probabilities_agree_with_the_facts(self):
        x, labels = clusters(80, 30, 4, spread=4)
        head = solve(x, labels, 4)
        np.testing.assert_allclose(head.held_out.sum(1), 1, atol=1e-5)
        assert head.cv_accuracy == np.mean(head.held_out.argmax(1) == labels)
        own = head.held_out[np.arange(80), labels]
        assert head.cv_log_loss == pytest.approx(-np.log(own).mean(), rel=1e-4)
        assert 0 < head.cv_accuracy < 1

    def test_held_out_is_honest_on_noise(self):
        """Labels that have nothing to do with the features score at chance, and say so."""
        rng = np.random.default_rng(0)
        x, labels = rng.normal(size=(200, 300)), rng.integers(0, 2, 200)
        head = solve(x, labels, 2)
        assert abs(head.cv_accuracy - 0.5) < 3 * head.cv_stderr
        assert head.cv_log_loss == pytest.approx(np.log(2), abs=0.02)

    def test_one_global_factor(self):
        """A feature that hardly varies must not get a weight in the hundreds."""
        x, labels = clusters(40, 12, 2)
        x = x.astype(np.float64)
        x[:, 0] = 3 + 1e-5 * (labels + 0.1 * np.random.default_rng(0).normal(size=40))
        head = solve(x, labels, 2)
        assert np.abs(head.weights[0]).max() < 0.1 * np.abs(head.weights[1:]).max()
        own = np.linalg.lstsq((x - x.mean(0)) / x.std(0), labels - 0.5, rcond=1e-9)[0] / x.std(0)
        assert abs(own[0]) > 100

    @pytest.mark.parametrize("factor", [1e-3, 50.0])
    def test_unit_and_offset_of_the_features_do_not_matter(self, factor):
        x, labels = clusters(50, 20, 3, spread=3)
        x = x.astype(np.float64)
        head, other = solve(x, labels, 3), solve(factor * x - 4, labels, 3)
        np.testing.assert_allclose(head.held_out, other.held_out, atol=1e-5)
        np.testing.assert_allclose(head.weights, factor * other.weights, rtol=1e-3, atol=1e-5)

    def test_same_seed_same_head_other_seed_other_folds(self):
        x, labels = clusters(60, 20, 3, spread=4)
        a, b, c = (solve(x, labels, 3, seed=seed) for seed in (0, 0, 1))
        assert np.array_equal(a.weights, b.weights) and np.array_equal(a.held_out, b.held_out)
        assert not np.array_equal(a.held_out, c.held_out)

    @pytest.mark.parametrize("way", WAYS)
    def test_weight_counts_as_that_many_images(self, way, monkeypatch):
        x, labels = clusters(30, 8, 3, spread=3)
        times = np.where(labels == 0, 3, 1)
        again = np.repeat(np.arange(30), times)
        light = problem.check(x, labels, 3, times, 5, 0, None)
        heavy = problem.check(x[again], labels[again], 3, None, 5, 0, again)
        by_weight = at_strength(light, 1.0, WAYS[way], monkeypatch)
        by_number = at_strength(heavy, len(again) / 30, WAYS[way], monkeypatch)
        np.testing.assert_allclose(by_weight.weights, by_number.weights, atol=1e-8)
        np.testing.assert_allclose(by_weight.intercept, by_number.intercept, atol=1e-8)
        plain = at_strength(
            problem.check(x, labels, 3, None, 5, 0, None), 1.0, WAYS[way], monkeypatch
        )
        assert np.abs(plain.weights - by_weight.weights).max() > 1e-3

    def test_a_class_of_more_weight_is_named_more_often(self):
        x, labels = clusters(30, 8, 3, spread=3)
        rare = labels == 0
        weighted = solve(x, labels, 3, sample_weight=np.where(rare, 3, 1))
        plain = solve(x, labels, 3)
        assert weighted.held_out[rare, 0].mean() > plain.held_out[rare, 0].mean()


class TestTemperature:
    @pytest.mark.parametrize("spread", [0.1, 2.0, 6.0])
    @pytest.mark.parametrize("classes", [2, 5])
    def test_log_loss_is_better_than_uncalibrated(self, spread, classes):
        x, labels = clusters(100, 20, classes, spread)
        checked = problem.check(x, labels, classes, None, 5, 0, None)
        scores = ridge.ridge(checked).scores
        head = solve(x, labels, classes)
        raw = linear_head.quality(softmax(scores, 1), labels)["cv_log_loss"]
        assert head.cv_log_loss < 0.995 * raw

    def test_recovers_a_known_temperature(self):
        rng = np.random.default_rng(0)
        logits = 2 * rng.normal(size=(4000, 3))
        labels = np.array([rng.choice(3, p=p) for p in softmax(logits, 1)])
        assert linear_head.fit_temperature(logits * 5, labels, np.ones(4000)) == pytest.approx(
            5, rel=0.1
        )

    def test_no_mistake_in_a_few_images_is_no_certainty(self):
        x, labels = clusters(8, 4, 2, spread=0.01)
        head = solve(x, labels, 2)
        assert head.cv_accuracy == 1.0
        assert 0.8 < head.held_out.max() < 0.9999

    def test_a_single_mistake_in_confident_scores_softens_them(self):
        scores = np.eye(2)[[0] * 10 + [1] * 10].astype(float)
        labels = np.array([0] * 10 + [1] * 9 + [0])
        right = linear_head.fit_temperature(scores, scores.argmax(1), np.ones(20))
        assert linear_head.fit_temperature(scores, labels, np.ones(20)) > right


class TestFolds:
    def test_each_class_and_each_fold_even_to_one_image(self):
        labels = np.repeat([0, 1, 2], [23, 7, 11])
        fold = stratified_folds(labels, 5)
        table = np.array([np.bincount(fold[labels == c], minlength=5) for c in range(3)])
        assert (np.ptp(table, axis=1) <= 1).all()
        assert np.ptp(table.sum(0)) <= 1

    @pytest.mark.parametrize(
        ("counts", "folds"), [((9, 9), 5), ((9, 3), 5), ((9, 1), 5), ((2, 1), 3), ((1, 1), 2)]
    )
    def test_a_small_class_does_not_reduce_the_folds(self, counts, folds):
        labels = np.repeat(np.arange(len(counts)), counts)
        assert len(np.unique(stratified_folds(labels, 5))) == folds

    @pytest.mark.parametrize("n", [2, 3, 4])
    @pytest.mark.parametrize("grouped", [False, True])
    def test_hundreds_of_classes_smaller_than_the_folds_are_even(self, n, grouped):
        """And without a warning: those of scikit-learn are errors here."""
        labels = np.repeat(np.arange(200), n)
        fold = stratified_folds(labels, 5, 0, np.arange(200 * n) if grouped else None)
        assert all(len(set(fold[labels == c])) == n for c in range(200))
        assert np.ptp(np.bincount(fold, minlength=5)) <= 1 + grouped

    def test_no_fold_is_empty_however_few_groups_there_are(self):
        for seed, k in itertools.product(range(30), range(2, 7)):
            groups = np.arange(k)
            labels = np.random.default_rng(seed).integers(0, 3, k)
            fold = stratified_folds(np.repeat(labels, 2), 5, seed, np.repeat(groups, 2))
            assert set(fold) == set(range(fold.max() + 1)) and len(set(fold)) >= 2

    def test_the_seed_decides(self):
        labels, groups = np.arange(60) % 3, np.arange(60) // 2
        for own in (None, groups):
            one, same, other = (stratified_folds(labels, 5, seed, own) for seed in (1, 1, 2))
            assert (one == same).all() and (one != other).any()

    def test_20_000_images_in_5_000_groups_are_dealt_in_seconds(self):
        rng = np.random.default_rng(0)
        labels, groups = rng.integers(0, 100, 20_000), rng.integers(0, 5_000, 20_000)
        start = time.perf_counter()
        fold = stratified_folds(labels, 5, 0, groups)
        assert time.perf_counter() - start < 10  # 0.7 s on an idle core
        counts = np.array([np.bincount(fold[labels == c], minlength=5) for c in range(100)])
        assert np.abs(counts / counts.sum(1, keepdims=True) - 0.2).max() < 0.05

    def test_classes_without_images_do_not_reduce_them(self):
        assert stratified_folds(np.repeat([0, 3], 10), 5).max() == 4

    def test_groups_stay_whole_and_spread_over_the_folds(self):
        rng = np.random.default_rng(0)
        groups = rng.integers(0, 30, 200)
        labels = groups % 3
        fold = stratified_folds(labels, 5, 0, groups)
        assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
        assert len(np.unique(fold)) == 5
        assert all((np.bincount(fold[labels == c], minlength=5) > 0).all() for c in range(3))

    def test_twins_across_folds_would_flatter_the_head(self):
        rng = np.random.default_rng(0)
        x, labels = rng.normal(size=(40, 200)), rng.integers(0, 2, 40)
        groups, twins = np.repeat(np.arange(40), 2), np.repeat(np.arange(40), 2)
        apart = solve(x[twins], labels[twins], 2)
        together = solve(x[twins], labels[twins], 2, groups=groups)
        assert apart.cv_accuracy > 0.8
        assert together.cv_accuracy < 0.75


class TestOddData:
    def test_class_of_one_image_is_missed_held_out_and_learnt(self):
        x, labels = clusters(40, 60, 2, spread=0.3)
        x, labels = np.vstack([x, -x[:1]]), np.append(labels, 2)
        head = solve(x, labels, 3)
        assert head.held_out[-1].argmax() != 2
        assert head.cv_accuracy == pytest.approx(40 / 41)
        assert head.probabilities(x)[-1].argmax() == 2

    def test_imbalance(self):
        x, labels = clusters(200, 10, 2, spread=0.5)
        keep = (labels == 0) | (np.arange(200) < 20)
        head = solve(x[keep], labels[keep], 2)
        assert head.cv_accuracy > 0.97
        assert np.mean(head.held_out[labels[keep] == 1].argmax(1) == 1) > 0.8

    @pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e6])
    @pytest.mark.parametrize("shape", [(12, 40), (40, 3)])
    def test_constant_features_give_the_larger_class(self, value, shape):
        labels = np.append(np.zeros(shape[0] - 4, int), [1, 1, 1, 1])
        head = solve(np.full(shape, value, np.float32), labels, 2)
        assert np.isfinite(head.weights).all() and np.isfinite(head.bias).all()
        assert (head.probabilities(np.full((2, shape[1]), value)).argmax(1) == 0).all()
        assert head.cv_accuracy == pytest.approx(1 - 4 / shape[0])

    def test_one_feature(self):
        x = np.linspace(-1, 1, 30)[:, None].astype(np.float16)
        head = solve(x, (x[:, 0] > 0).astype(int), 2)
        assert head.cv_accuracy > 0.9

    @pytest.mark.parametrize("d", [3, 100])
    def test_duplicated_rows(self, d):
        x, labels = clusters(4, d, 2, spread=0.1)
        head = solve(np.repeat(x, 10, axis=0), np.repeat(labels, 10), 2)
        assert head.cv_accuracy == 1.0 and np.isfinite(head.weights).all()

    def test_two_images(self):
        head = solve(np.array([[0.0], [1.0]]), [0, 1], 2)
        assert head.held_out.shape == (2, 2) and np.isfinite(head.held_out).all()

    def test_more_classes_than_seen(self):
        x, labels = clusters(30, 5, 3, spread=0.1)
        head = solve(x, labels, 6)
        assert head.probabilities(x).shape == (30, 6) and head.cv_accuracy == 1.0

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite(self, bad):
        x, labels = clusters(20, 5, 2)
        x[13, 2] = bad
        with pytest.raises(ValueError, match=r"1 of 20 rows, the first is row 13"):
            solve(x, labels, 2)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"labels": np.arange(5)}, r"features must be \[N, D\]"),
            ({"labels": np.full(20, 2)}, r"lie in 0\.\.1, got 2\.\.2"),
            ({"labels": np.full(20, -1)}, r"got -1\.\.-1"),
            ({"labels": np.zeros(20)}, "must be integers"),
            ({"features": np.zeros(20)}, r"features must be \[N, D\]"),
            ({"features": np.zeros((20, 0))}, r"features must be \[N, D\]"),
            ({"features": np.zeros((1, 3)), "labels": [0]}, "two images"),
            ({"folds": 1}, "two folds"),
            ({"sample_weight": np.zeros(20)}, "positive"),
            ({"sample_weight": np.ones(3)}, "positive"),
            ({"groups": np.zeros(20)}, "at least two different"),
            ({"method": "forest"}, "unknown method 'forest'"),
        ],
    )
    def test_bad_input(self, change, text):
        x, labels = clusters(20, 5, 2)
        given = {"features": x, "labels": labels, "classes": 2} | change
        with pytest.raises(ValueError, match=text):
            solve(**given)


class TestLogistic:
    def test_gradient(self):
        """The optimum has no slope: neither in the loss nor against a small step."""
        x, labels = clusters(50, 6, 3, spread=3)
        checked = problem.check(x, labels, 3, np.linspace(0.5, 2, 50), 5, 0, None)
        z = ((x - checked.mean) / 2).astype(np.float32)
        b = logistic._fit(z, checked, np.ones(50, bool), 0.1)
        share = checked.weight / 50

        def loss(flat):
            w = flat.reshape(7, 3)
            log_p = np.log(softmax(z @ w[:-1] + w[-1], 1))[np.arange(50), labels]
            return -share @ log_p + 0.05 * np.sum(w[:-1] ** 2)

        best = minimize(loss, b.ravel(), method="BFGS").fun
        assert loss(b.ravel()) == pytest.approx(best, abs=1e-4)

    def test_held_out_has_not_seen_its_fold(self):
        """On noise a head that had seen the fold would be far better than chance."""
        rng = np.random.default_rng(0)
        x, labels = rng.normal(size=(100, 200)), rng.integers(0, 2, 100)
        checked = problem.check(x, labels, 2, None, 5, 0, None)
        head = refine(solve(x, labels, 2, method="ridge"), checked)
        assert head.kind == "logistic"
        assert abs(head.cv_accuracy - 0.5) < 3 * head.cv_stderr

    def test_auto_takes_it_with_many_images_where_it_is_better(self, monkeypatch):
        """Three classes in a row: ridge masks the one in the middle (Hastie 2009, 4.2)."""
        labels = np.arange(90) % 3
        x = labels[:, None] + 0.1 * np.random.default_rng(0).normal(size=(90, 1))
        assert solve(x, labels, 3).kind == "ridge"
        monkeypatch.setattr(solver, "LOGISTIC_ABOVE", 89)
        head = solve(x, labels, 3)
        assert head.kind == "logistic" and head.cv_accuracy > 0.95
        assert solve(x, labels, 3, method="ridge").cv_accuracy < 0.9
        monkeypatch.setattr(solver, "LOGISTIC_WORK", 90 * 3 - 1)
        assert solve(x, labels, 3).kind == "ridge"

    def test_auto_keeps_ridge_where_that_is_better(self, monkeypatch):
        monkeypatch.setattr(solver, "LOGISTIC_ABOVE", 50)
        x, labels = clusters(90, 10, 3, spread=3)
        ridged, refined = (solve(x, labels, 3, method=m) for m in ("ridge", "logistic"))
        assert refined.cv_log_loss > ridged.cv_log_loss
        assert solve(x, labels, 3).kind == "ridge"

    def test_better_needs_log_loss_beyond_noise_and_accuracy(self):
        labels = np.zeros(50, int)

        weight = np.where(np.arange(50) < 10, 20.0, 1.0)
        plain = problem.check(np.ones((50, 1)), labels, 2, None, 5, 0, None)
        weighted = problem.check(np.ones((50, 1)), labels, 2, weight, 5, 0, None)
        noise = np.random.default_rng(0).uniform(-0.2, 0.2, 50)
        noise = np.exp(np.log(0.7) + noise - noise.mean())  # as good on average, in log loss
        good, base = head_of(np.full(50, 0.9)), head_of(np.full(50, 0.7))
        assert solver._better(good, base, plain)
        assert not solver._better(base, good, plain)
        assert not solver._better(head_of(noise), base, plain)
        assert solver._better(head_of(noise * 1.2), base, plain)
        missed = np.append(np.full(2, 0.49), np.full(48, 0.95))  # two images more are missed
        assert not solver._better(head_of(missed), base, plain)
        # a fifth of the images is worse, and has most of the weight
        mixed = np.append(np.full(10, 0.6), np.full(40, 0.95))
        assert solver._better(head_of(mixed), base, plain)
        assert not solver._better(head_of(mixed), base, weighted)


class TestJoin:
    @pytest.mark.parametrize(("size", "lengths"), [("columns", (4, 6)), ("depths", (1, 1))])
    def test_each_column_or_each_depth_counts_alike_and_has_one_scale(self, size, lengths):
        rng = np.random.default_rng(0)
        taps = [5 + 100 * rng.normal(size=(30, 4)), 0.01 * rng.normal(size=(30, 6))]
        taps = [t.astype(np.float16) for t in taps]
        joined, scales = (
            join(taps) if size == "columns" else linear_head.join_depths(np.hstack(taps), (4, 6))
        )
        assert joined.shape == (30, 10) and joined.dtype == scales.dtype == np.float32
        assert len(np.unique(scales[:4])) == 1 and len(np.unique(scales[4:])) == 1
        centred = joined - joined.mean(0)
        for part, length in zip((centred[:, :4], centred[:, 4:]), lengths, strict=True):
            assert np.mean(np.sum(part**2, axis=1)) == pytest.approx(length, rel=1e-2)

    def test_on_raw_acts_on_the_taps_as_they_are(self):
        x, labels = clusters(60, 12, 3)
        taps = [x[:, :5] * 100, x[:, 5:] * 0.01]
        joined, scales = join(taps)
        head = solve(joined, labels, 3)
        raw = head.on_raw(scales)
        np.testing.assert_allclose(
            raw.probabilities(np.hstack(taps)), head.probabilities(joined), atol=1e-4
        )
        assert raw.weights.dtype == np.float32 and raw.cv_accuracy == head.cv_accuracy

    def test_fills_what_is_given_and_survives_a_dead_tap(self):
        out = np.zeros((10, 5), np.float16)
        x, _ = clusters(10, 3, 2)
        joined, scales = join([x, np.full((10, 2), 0.1)], out)
        assert joined is out and (scales[3:] == 1).all()
        np.testing.assert_allclose(out[:, 3:], 0.1, rtol=1e-3)

    def test_taps_of_other_images(self):
        with pytest.raises(ValueError, match="one row per image"):
            join([np.zeros((3, 2)), np.zeros((4, 2))])


class TestChooseHead:
    def test_last_only_where_it_is_better_beyond_noise(self):
        labels = np.zeros(50, int)
        noise = np.random.default_rng(0).uniform(-0.2, 0.2, 50)
        noise -= noise.mean()
        error = noise.std(ddof=1) / np.sqrt(50)

        def multi(worse: float) -> LinearHead:  # by so much log loss, on average, than `last`
            return head_of(np.exp(np.log(0.6) - worse + noise))

        last = head_of(np.full(50, 0.6))
        assert choose_head(last, multi(2 * error), labels) == "last"
        assert choose_head(last, multi(1.1 * error), labels) == "last"
        assert choose_head(last, multi(0.9 * error), labels) == "multi"
        assert choose_head(last, multi(-2 * error), labels) == "multi"
        assert choose_head(last, last, labels) == "multi"  # a tie

    def test_on_features_the_better_one_is_taken(self):
        x, labels = clusters(120, 12, 3, spread=1.5)
        weak, full = solve(x[:, 8:], labels, 3), solve(x, labels, 3)
        assert choose_head(weak, full, labels) == "multi"
        assert choose_head(full, weak, labels) == "last"

    def test_images_count_with_their_weights(self):
        labels = np.zeros(50, int)
        rare = np.arange(50) < 10
        last, multi = head_of(np.where(rare, 0.6, 0.8)), head_of(np.where(rare, 0.9, 0.6))
        assert choose_head(last, multi, labels) == "last"
        assert choose_head(last, multi, labels, np.where(rare, 4.0, 0.25)) == "multi"

    def test_a_paired_gain_of_equal_weights_is_the_mean_and_its_standard_error(self):
        rng = np.random.default_rng(0)
        one, other = (head_of(rng.uniform(0.1, 0.9, 40)).held_out for _ in range(2))
        labels = rng.integers(0, 2, 40)
        own = np.log(one[np.arange(40), labels] / other[np.arange(40), labels])
        expected = own.mean(), own.std(ddof=1) / np.sqrt(40)
        assert linear_head.paired_gain(one, other, labels) == pytest.approx(expected)
        seven = np.full(40, 7.0)
        assert linear_head.paired_gain(one, other, labels, seven) == pytest.approx(expected)

    def test_an_image_of_no_weight_is_not_there(self):
        own = np.random.default_rng(0).uniform(0.1, 0.9, (2, 400))
        one, other = (head_of(p).held_out for p in own)
        labels, weight = np.zeros(400, int), np.repeat([1.0, 1e-9], 200)
        part = linear_head.paired_gain(one[:200], other[:200], labels[:200])
        whole = linear_head.paired_gain(one, other, labels, weight)
        assert whole == pytest.approx(part, rel=0.01)
