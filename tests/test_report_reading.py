"""What a reader of a page needs: caveats, what to do next, a command that works, legible text."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest

import browser
from conftest import picture
from finished import finished, records
from test_report import EVIDENCE, NASTY, Text
from tl_cli import catalog, report
from tl_cli.cards import presence
from tl_cli.data import inspection
from tl_cli.data.manifest import Record
from tl_cli.report import caveats, next_steps
from tl_cli.results.learning_curve import CurvePoint, LearningCurve
from tl_cli.store import run_dir

CURVE = LearningCurve(
    (CurvePoint(20, 0.7, 8), CurvePoint(40, 0.76, 4), CurvePoint(80, 0.81, 1)), 80, 0.02
)
MORE = {"learning_curve": CURVE.to_json(), "parameters": 3_400_000, "model_bytes": 14_100_000,
        "milliseconds": 31.4}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.png" for i in range(12)]
    for i, path in enumerate(paths):
        picture(i).save(path)
    return paths


def run_of(path, found, **how):
    """A finished run with all that a page of today tells."""
    run = finished(path, found, **how)
    told = json.loads((run / run_dir.METRICS).read_text())
    run.write_json(run_dir.METRICS, told | MORE)
    return run


def seen_of(run):
    return Text(report.report_html(report.read(run))).seen


# == under the headline ===========================================================================


def caveats_of(run):
    facts = report.read(run)
    return caveats.caveats(facts, inspection.inspect(facts.manifest, facts.manifest))


def test_images_that_were_as_good_as_trained_on_are_left_out_of_a_second_figure(tmp_path):
    def record(i, split, digest):
        return Record(f"{i}.png", "ab"[i % 2], split, digest=f"{digest:032x}", width=9, height=9,
                      mode="RGB")  # fmt: skip

    sizes = {"train": 20, "val": 20, "test": 120}
    found = [record(i, split, i + 1000 * len(split)) for split, n in sizes.items()
             for i in range(n)]  # fmt: skip
    found = [*found, record(2, "train", 77), record(998, "test", 77), record(1001, "test", 78),
             record(1002, "test", 78)]  # fmt: skip
    run = finished(tmp_path / "run", found, skill=0.6)
    facts = report.read(run)
    paths = caveats.doubtful(facts, inspection.inspect(facts.manifest, facts.manifest))
    assert paths == {"998.png", "1001.png", "1002.png"}
    left = [a.right for a in facts.answers if a.path not in paths]
    [said] = [c for c in caveats_of(run) if "another split" in c]
    assert said.startswith("3 of the 123 test images look like")
    assert said.endswith(f"without them, {sum(left) / 120:.1%} of 120 are recognised.")
    assert said in seen_of(run)


def test_few_images_and_no_test_images_are_said(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8))
    assert any("16 images only, each of them worth 6.2 points" in c for c in caveats_of(run))
    told = json.loads((run / run_dir.METRICS).read_text())
    del told["metrics"]["test"]
    run.write_json(run_dir.METRICS, told)
    assert any("no test images" in c for c in caveats_of(run))


def test_without_test_images_a_kept_head_has_the_cross_validated_figure(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), kept="head")
    told = json.loads((run / run_dir.METRICS).read_text())
    del told["metrics"]["test"]
    told["head"]["cv_accuracy"] = 0.8125
    run.write_json(run_dir.METRICS, told)
    assert "81.2%of 16 images in 2 classes are recognised, each by a head" in (
        seen_of(run).replace("\n", "")
    )
    assert not any("a little too good" in c for c in caveats_of(run))


def test_a_good_figure_of_many_images_has_no_caveat(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 60), skill=50)
    assert caveats_of(run) == []


def test_classes_of_other_sizes_and_without_images_are_said(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b", "c"], 60))
    told = json.loads((run / run_dir.METRICS).read_text())
    figures = told["metrics"]["test"]
    figures |= {"accuracy": 0.9, "balanced_accuracy": 0.7, "majority_baseline": 0.9, "n": 180}
    figures["per_class"][2]["support"] = 0
    run.write_json(run_dir.METRICS, told)
    text = " ".join(caveats_of(run))
    for part in ("no better than", "70.0% are recognised", "no test image of c"):
        assert part in text


# == what to do next ==============================================================================


def test_the_worst_pair_is_counted_with_its_pictures(tmp_path, pictures):
    facts = report.read(finished(tmp_path / "run", records(pictures, ["a", "b"], 30), skill=1))
    [first, *_] = next_steps.next_steps(facts)
    mistakes = [p for p in facts.answers if not p.right]
    pair = max(("a", "b"), key=lambda name: sum(p.label == name for p in mistakes))
    own = [p for p in mistakes if p.label == pair]
    other = {"a": "b", "b": "a"}[pair]
    assert first.what == f"{len(own)} of 30 {pair} are taken for {other}: look at these first."
    assert set(first.look_at) <= set(own)
    assert len(first.look_at) == min(6, len(own))
    sure = [p.probability for p in first.look_at]
    assert sure == sorted(sure, reverse=True)


def test_more_images_are_asked_for_where_they_would_help(tmp_path, pictures):
    run = run_of(tmp_path / "run", records(pictures, ["a", "b"], 30), skill=1)
    [said] = [s for s in next_steps.next_steps(report.read(run)) if s.why == CURVE.told]
    assert re.match(r"Add images, first of [ab] and [ab]\.", said.what)
    told = json.loads((run / run_dir.METRICS).read_text())
    flat = LearningCurve((CurvePoint(40, 0.99, 4), CurvePoint(80, 0.991, 1)), 80, 0.01)
    run.write_json(run_dir.METRICS, told | {"learning_curve": flat.to_json()})
    steps = next_steps.next_steps(report.read(run))
    assert any(s.what == "More images of the same kind would hardly help." for s in steps)


def test_where_the_curve_is_noise_nothing_is_promised(tmp_path, pictures):
    run = run_of(tmp_path / "run", records(pictures, ["a", "b"], 30), skill=1)
    told = json.loads((run / run_dir.METRICS).read_text())
    noise = LearningCurve((CurvePoint(40, 0.6, 4), CurvePoint(80, 0.65, 1)), 13, 0.09)
    run.write_json(run_dir.METRICS, told | {"learning_curve": noise.to_json()})
    steps = next_steps.next_steps(report.read(run))
    assert any(s.what == "Take more photos, if only to measure by." for s in steps)


def test_a_threshold_is_advised_that_keeps_what_it_says(tmp_path, pictures):
    facts = report.read(finished(tmp_path / "run", records(pictures, ["a", "b"], 100), skill=1.6))
    [step, _] = [s for s in next_steps.next_steps(facts) if s.command]
    words = shlex.split(step.command)
    assert words[:2] == ["tl", "predict"]
    level = float(words[words.index("--min-confidence") + 1])
    right = [p.right for p in facts.answers if p.probability >= level]
    assert sum(right) / len(right) >= 0.95
    assert f"{level:.0%} sure" in step.what


def test_the_one_network_that_would_probably_do_better_is_named(tmp_path, pictures, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing was fetched"))
    presence._kept.cache_clear()
    facts = report.read(finished(tmp_path / "run", records(pictures, ["a", "b"], 30), skill=1))
    step = next_steps.next_steps(facts)[-1]
    *train, backbone, name = shlex.split(step.command)
    own, other = catalog.get(facts.plan["backbone"]), catalog.get(name)
    assert (train, backbone) == (["tl", "train", facts.data], "--backbone")
    assert name in step.what and "are fetched once" in step.why
    assert other.top1 > own.top1 and other.multiply_adds <= 5 * own.multiply_adds
    assert not other.terms and other.pretrained_on


def test_no_network_is_promised_to_beat_the_strongest():
    best = max(catalog.CARDS.values(), key=lambda card: card.top1 or 0)
    assert catalog.stronger(best) is None
    assert catalog.stronger(catalog.get("resnet18")) is None  # of which nobody has weights


def test_where_nothing_is_wrong_nothing_is_to_be_done(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 30), skill=50)
    assert next_steps.next_steps(report.read(run)) == []
    assert "What to do next" not in seen_of(run)


# == what it is and how it is used ================================================================


def test_it_says_what_was_saved_how_large_how_fast_where_and_when(tmp_path, pictures):
    run = run_of(tmp_path / "run", records(pictures, ["a", "b"], 30), kept="head")
    told = json.loads((run / run_dir.ENVIRONMENT).read_text())
    (tmp_path / "photos").mkdir()
    more = {"date": "2026-03-01T14:05:09+01:00", "folder": str(tmp_path)}
    run.write_json(run_dir.ENVIRONMENT, told | more)
    seen = seen_of(run)
    for part in (
        "the solved head on the frozen backbone", "the tuned part was not kept",
        "3.4 million parameters, 14.1 MB", "31 ms an image", "2026-03-01 14:05",
        str(tmp_path / "photos"), str(tmp_path / "run"), CURVE.told, "Would more images help?",
        "import tl_cli as tl", f"model = tl.load('{tmp_path / 'run'}')",
        f"tl predict {tmp_path / 'run'} PHOTOS",
    ):  # fmt: skip
        assert part in seen, part


def test_to_repeat_it_a_command_stands_there_that_any_folder_takes(tmp_path, pictures, monkeypatch):
    from tl_cli import config as configs

    (tmp_path / "my photos").mkdir()
    run = finished(tmp_path / "a run", records(pictures, ["a", "b"], 8))
    run.write_text(run_dir.CONFIG, configs.RunConfig(data="my photos", image_size=64).to_yaml())
    told = json.loads((run / run_dir.ENVIRONMENT).read_text())
    run.write_json(run_dir.ENVIRONMENT, told | {"folder": str(tmp_path)})
    (tmp_path / "a run-again").mkdir()
    [said] = re.findall(r"tl train --config .*", seen_of(run))
    words = shlex.split(said)
    monkeypatch.chdir("/")
    options = dict(zip(words[2::2], words[3::2], strict=True))
    settings = configs.load(Path(options["--config"]), (), {"data": options["--data"]})
    assert settings.data == str(tmp_path / "my photos")
    assert settings.image_size == 64
    assert options["--output"] == str(tmp_path / "a run-again-2")


# == colours and sizes ============================================================================


def css():
    return (files("tl_cli.report") / "templates" / "style.css").read_text()


def themes():
    """The variables of the light and of the dark page."""
    light, dark = re.findall(r":root \{(.*?)\}", css(), re.DOTALL)
    both = [dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in (light, dark)]
    assert both[0].keys() == both[1].keys()
    return {"light": both[0], "dark": both[1]}


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The ratio of WCAG 2.1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT = [
    ("ink", "paper"), ("ink", "card"), ("ink", "line"), ("ink", "right"), ("ink", "off"),
    ("dim", "paper"), ("dim", "card"), ("accent", "paper"), ("accent", "card"),
]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "below"), TEXT)
def test_text_has_the_contrast_that_can_be_read(theme, text, below):
    colours = themes()[theme]
    assert contrast(colours[text], colours[below]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_drawn_can_be_told_from_what_it_lies_on(theme):
    colours = themes()[theme]
    for name in ("accent", "warm", "gold", "green", "violet"):
        assert contrast(colours[name], colours["card"]) >= 3, name


def test_no_text_has_another_colour_than_was_measured():
    used = set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", css()))
    assert used <= {text for text, _ in TEXT}


SMALLEST = """Math.min(...[...document.querySelectorAll('svg text')].map(t => {
  const box = t.ownerSVGElement;
  return parseFloat(getComputedStyle(t).fontSize) * box.clientWidth / box.viewBox.baseVal.width;
}))"""
OVERPRINTED = """[...document.querySelectorAll('svg')].flatMap(s => {
  const texts = [...s.querySelectorAll('text')];
  const boxes = texts.map(t => t.getBoundingClientRect());
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  return texts.filter((_, i) => boxes.some((b, j) => j > i && over(boxes[i], b)));
}).map(text => text.textContent)"""
HIDDEN_CELLS = """[...document.querySelectorAll('table.stack td')].filter(c => {
  const box = c.getBoundingClientRect();
  return box.right > innerWidth + 1 || box.left < 0;
}).length"""


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_charts_are_legible_and_no_figure_is_out_of_sight(tmp_path, pictures, width):
    if not browser.find():
        pytest.skip("no Chromium is installed, so the pages were not measured in a browser")
    probes = [{"tap": f"block{i}b", "accuracy": i / 8, "stderr": 0.02} for i in range(7)]
    evidence = EVIDENCE | {"probes": probes}
    run = run_of(tmp_path / "run", records(pictures, NASTY, 8), evidence=evidence, freeze="auto",
                 policy="rule")  # fmt: skip
    pages = {"run": report.report_html(report.read(run)),
             "runs": report.comparison_html([report.read(run)] * 4)}  # fmt: skip
    with browser.Browser(tmp_path / "profile") as tab:
        for name, html in pages.items():
            page = tmp_path / f"{name}.html"
            page.write_text(html)
            tab.open(page, width)
            assert tab.evaluate(SMALLEST) >= 11
            assert tab.evaluate(OVERPRINTED) == []
            if width == 390:
                assert tab.evaluate(HIDDEN_CELLS) == 0


def test_what_a_plan_fell_back_to_is_not_drawn_as_saved(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), kept="head")
    html = report.report_html(report.read(run))
    assert "the tuned part was not kept" in html
    assert not re.search(r'<i style="flex', html)  # every block is drawn frozen
