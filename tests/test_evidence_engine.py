"""BatchNorm's memory and the probes: against arithmetic by hand, in one pass, and their limits."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from tiny import CARD, ROOM, coloured, split_of, tiny_backbone
from tl_cli import catalog
from tl_cli.config import RunConfig
from tl_cli.data.scan import scan
from tl_cli.data.split import assign_splits
from tl_cli.engine import evidence, features, recommend_freeze
from tl_cli.engine.context import RunContext
from tl_cli.engine.features import FeatureSpec, batchnorm_shift, extraction
from tl_cli.engine.head import choice, choose_head, solve, solver
from tl_cli.engine.networks import graph
from tl_cli.engine.networks.loading import Backbone
from tl_cli.plan.evidence import similarity
from tl_cli.results.progress import silent


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture
def context(tmp_path, backbone):
    manifest = split_of(coloured(tmp_path / "data", 20))
    return RunContext(RunConfig(data=manifest.source), manifest, backbone, "float32", ROOM)


@pytest.fixture
def passes(monkeypatch):
    """Collect the images of each batch that passes the network, padding left out."""
    seen = []
    batches = extraction._batches

    def watched(records, size, view):
        seen.extend(record.digest for record in records)
        return batches(records, size, view)

    monkeypatch.setattr(extraction, "_batches", watched)
    return seen


def entering(backbone, images):
    """What enters each BatchNorm, computed by Keras alone."""
    tensors = [tensor for _, tensor in batchnorm_shift.entering(backbone.model)]
    return keras.Model(backbone.model.inputs, tensors).predict(images, verbose=0)


def test_the_distance_is_the_formula_over_all_pixels_of_all_images(context, backbone):
    records = context.manifest.of("train")
    [rows] = features.extract(backbone, records, [FeatureSpec(moments=True, dtype="float32")])
    found = batchnorm_shift.distances(backbone.model, rows.array())
    tensors = entering(backbone, features.images(records, 32))
    norms = [layer for layer, _ in batchnorm_shift.entering(backbone.model)]
    assert len(found) == len(norms) == 6
    for value, x, norm in zip(found, tensors, norms, strict=True):
        v = np.array(norm.moving_variance) + norm.epsilon
        mine = x.var((0, 1, 2)) + norm.epsilon
        away = (x.mean((0, 1, 2)) - np.array(norm.moving_mean)) ** 2
        assert value == pytest.approx(
            np.mean(0.5 * (away / v + mine / v - 1 - np.log(mine / v))), 1e-4
        )


def test_half_precision_rows_change_little(context, backbone):
    records = context.manifest.of("train")
    exact, half = (
        batchnorm_shift.distances(
            backbone.model,
            features.extract(backbone, records, [FeatureSpec(moments=True, dtype=kind)])[0].array(),
        )
        for kind in ("float32", "float16")
    )
    assert np.abs(exact / half - 1).max() < 0.01


@pytest.mark.long
def test_images_like_those_that_batchnorm_remembers_are_at_no_distance(context):
    backbone = tiny_backbone()
    images = features.images(context.manifest.of("train"), 32)
    for i, (norm, _) in enumerate(batchnorm_shift.entering(backbone.model)):  # the first one first
        x = entering(backbone, images)[i]
        norm.moving_mean.assign(x.mean((0, 1, 2)))
        norm.moving_variance.assign(x.var((0, 1, 2)))
    [rows] = features.extract(backbone, context.manifest.of("train"), [FeatureSpec(moments=True)])
    assert np.abs(batchnorm_shift.distances(backbone.model, rows.array())).max() < 1e-3


def test_where_images_are_few_all_pass_at_once_and_the_distances_are_of_training_images(
    context, passes
):
    found = evidence.batchnorm_distances(context, silent)
    assert len(passes) == len(context.records)
    wanted = [FeatureSpec(moments=True)]
    [rows] = features.extract(context.backbone, context.manifest.of("train"), wanted)
    assert np.array_equal(found, batchnorm_shift.distances(context.backbone.model, rows.array()))
    choice.extract(context, silent)
    assert len(passes) == len(context.records)


def test_each_image_passes_the_network_once(context, passes, monkeypatch):
    monkeypatch.setattr(evidence, "MOMENTS_OF", 8)
    layers = evidence.batchnorm_distances(context, silent)
    assert len(passes) == 8
    rows = choice.extract(context, silent)
    found = evidence.gather_evidence(context, rows, choice.solve(context, rows), layers)
    assert sorted(passes) == sorted(record.digest for record in context.manifest.records)
    assert found.distance == pytest.approx(layers.mean())
    # nobody has calibrated the tiny network: the mean of those that were is taken, and it is said
    assert found.estimated
    assert found.similarity == pytest.approx(
        similarity(found.distance, catalog.anchors("tiny"), 32), abs=1e-4
    )
    plan = recommend_freeze.recommend(context, found)
    assert plan.similarity_source == "estimated"
    assert any("estimated with anchors of other networks" in reason for reason in plan.reasons)


def test_the_probes_look_at_what_they_say(context, backbone):
    rows = choice.extract(context, silent)
    head = choice.solve(context, rows)
    found = evidence.gather_evidence(context, rows, head, None)
    assert [probe.tap for probe in found.probes] == [
        backbone.blocks[cut - 1].name for cut in context.depths
    ]
    # colours with noise: the bare image tells them apart, and so does every depth
    assert found.pixels.accuracy > 0.9
    assert found.last.accuracy == head.candidates["last"].cv_accuracy
    assert found.joined.accuracy == head.candidates["multi"].cv_accuracy
    assert found.distance is None


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """60 patients with five photos each, all alike but for noise, and a label drawn for each."""
    root = tmp_path_factory.mktemp("patients") / "photos"
    rng = np.random.default_rng(0)
    for patient in range(60):
        folder = root / ("ill" if patient % 2 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        # coarse patches: what a patient looks like, and nothing that is common to a label
        coarse = np.kron(rng.integers(40, 216, (4, 4, 3)), np.ones((8, 8, 1)))
        for i in range(5):
            pixels = np.clip(coarse + rng.normal(0, 3, (32, 32, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / f"{patient:02d}-{i}.png")
    scanned = scan(str(root))
    return scanned.with_records(
        replace(r, group=r.path.rsplit("/", 1)[1][:2], near="") for r in scanned.records
    )


def of_patients(manifest, backbone, **changed):
    """The heads and the probes, where the records know of `changed` in place of their groups."""
    config = RunConfig(data=manifest.source)
    split = assign_splits(manifest)
    if changed:
        split = split.with_records(replace(r, **changed) for r in split.records)
    context = RunContext(config, split, backbone, "float32", ROOM)
    rows = choice.extract(context, silent)
    head = choice.solve(context, rows)
    found = evidence.gather_evidence(context, rows, head, None)
    probes = [*found.probes, found.joined, found.pixels]
    return context, [h.cv_accuracy for h in head.candidates.values()], probes


def test_a_patient_is_not_known_from_other_photos_of_the_patient(patients, backbone):
    _, heads, probes = of_patients(patients, backbone)
    assert max(*heads, *(probe.accuracy for probe in probes)) < 0.7
    # what the fault was worth: chance looks like knowledge
    _, heads, probes = of_patients(patients, backbone, group="")
    assert min(heads) > 0.75
    assert min(probe.accuracy for probe in probes[-2:]) > 0.95  # several depths, bare pixels


def test_near_copies_are_not_known_from_each_other(patients, backbone):
    alike = patients.with_records(replace(r, group="", near=r.group) for r in patients.records)
    context, heads, _ = of_patients(alike, backbone)
    assert max(heads) < 0.7
    groups = context.groups("train")
    names = [r.near for r in context.manifest.of("train")]
    assert len(set(groups)) == len(set(names)) == len(set(zip(groups, names, strict=True)))
    assert of_patients(alike, backbone, near="")[0].groups("train") is None


def test_the_choice_of_head_and_the_probes_are_weighted_as_the_fit(context, monkeypatch):
    counts = {"blue": 3, "green": 12, "red": 12}
    few = [r for name, n in counts.items()
           for r in [r for r in context.manifest.of("train") if r.label == name][:n]]  # fmt: skip
    manifest = context.manifest.with_records(few)
    config = context.config.effective(balance="weights")
    weighted = replace(context, config=config, manifest=manifest)
    chosen, probed = [], []

    def choose(last, multi, labels, weight, *more):
        chosen.append(weight)
        return choose_head(last, multi, labels, weight, *more)

    def probe(features, labels, classes, **options):
        probed.append(options["sample_weight"])
        return solve(features, labels, classes, **options)

    monkeypatch.setattr(choice, "choose_head", choose)
    rows = choice.extract(weighted, silent)
    head = choice.solve(weighted, rows)
    monkeypatch.setattr(solver, "solve", probe)
    evidence.gather_evidence(weighted, rows, head, None)
    labels = weighted.labels("train")
    for weight in (*chosen, *probed):
        sums = np.bincount(labels, weights=weight)
        np.testing.assert_allclose(sums, sums.mean(), rtol=1e-5)  # every class counts alike
    assert chosen and probed


def test_a_network_without_batchnorm_says_that_it_cannot_be_measured(context, tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, 4, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(16, 3, 2, activation="relu")(x))
    bare = Backbone(CARD, 32, model, tuple(graph.blocks(model)))
    context = replace(context, backbone=bare)
    assert evidence.batchnorm_distances(context, silent) is None
    plan = recommend_freeze.advise(context, silent)
    assert plan.similarity_source == "assumed"
    assert any("without BatchNorm" in reason for reason in plan.reasons)


def test_a_part_of_the_images_is_chosen_by_content_and_keeps_each_class_s_share(tmp_path):
    records = split_of(coloured(tmp_path / "data", 20)).records
    chosen = evidence.stratified(records, 30)
    assert chosen == sorted(chosen)
    counts = [sum(records[i].label == name for i in chosen) for name in ("red", "green", "blue")]
    assert counts == [10, 10, 10]
    backwards = evidence.stratified(records[::-1], 30)
    assert {records[i].digest for i in chosen} == {records[::-1][i].digest for i in backwards}


def test_what_was_stated_goes_before_what_was_measured_and_both_are_told(context, monkeypatch):
    monkeypatch.setitem(evidence.catalog.ANCHORS, "tiny", {32: (0.1, 0.9)})
    measured = recommend_freeze.advise(context, silent)
    assert measured.similarity_source == "measured" and not measured.evidence.estimated
    low = replace(context, config=context.config.effective(similarity="low"))
    stated = recommend_freeze.advise(low, silent)
    assert (stated.similarity, stated.similarity_source) == (0.20, "given")
    assert stated.evidence == measured.evidence
    assert any(f"measured {measured.similarity:.2f}" in reason for reason in stated.reasons)
