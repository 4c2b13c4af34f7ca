"""One file tells a run: whole, escaped, small, and right in a real browser."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import browser
from conftest import picture
from finished import finished, records
from test_cli import COLOURS, SMALL, paint, said, tl
from tl_cli import report
from tl_cli.engine.finetune import finetune
from tl_cli.report.figures.style import PALETTE
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

NASTY = [
    "<script>alert('x')</script>",
    "\"quoted\" & 'single'",
    "$x_1$ {{ 7 * 7 }} {% raw %}",
    "пчёлы 蜜蜂 نحل 🐝",
    "</style><img src=x onerror=alert(1)>",
]
EVIDENCE = {
    "distance": 0.123,
    "thirds": [0.1, 0.2, 0.3],
    "similarity": 0.61,
    "probes": [{"tap": f"block{i}", "accuracy": 0.5 + i / 20, "stderr": 0.02} for i in range(5)],
    "joined": {"tap": "joined", "accuracy": 0.8, "stderr": 0.02},
    "pixels": {"tap": "pixels", "accuracy": 0.3, "stderr": 0.02},
}


class Text(HTMLParser):
    """What a reader sees, and the tags and addresses that stand in the file."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen, self.tags, self.addresses = "", set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data):
        self.seen += data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    files = [folder / f"{i}.png" for i in range(12)]
    for i, file in enumerate(files):
        picture(i).save(file)
    return files


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory) -> RunDir:
    """A run whose classes have the worst names."""
    path = tmp_path_factory.mktemp("runs") / "a <b>bold run"
    return finished(path, records(pictures, NASTY, 8), evidence=EVIDENCE)


@pytest.fixture(scope="module")
def html(run) -> str:
    facts = report.read(run)
    heat = {p.path: np.random.default_rng(0).random((4, 4)) for p in facts.mistakes(3)}
    return report.report_html(facts, heat)


def test_every_name_is_text_and_none_is_code(html):
    found = Text(html)
    for name in (*NASTY, "a <b>bold run"):
        assert name in found.seen
    assert not found.tags & {"script", "iframe", "object", "embed", "form", "b"}
    assert "onerror=alert(1)>" not in html


def test_nothing_is_fetched_from_elsewhere(html):
    assert all(a.startswith(("data:", "#")) for a in Text(html).addresses)
    assert not re.search(r"url\((?!#)|@import", html)


def test_it_tells_what_the_run_was(html):
    seen = Text(html).seen
    for part in (
        "of 40 test images in 5 classes", "frozen", "You asked for --freeze half",
        "0.123 to the pretraining data", "What each depth knows", "lost.jpg",
        "The tuned network is kept", "Solved again.", "Log loss", "baseline 20%", "Most confused",
        "Can its probabilities be believed?", "Grad-CAM", "tl train --config",
        "tl train --data 'my photos'",
    ):  # fmt: skip
        assert part in seen, part


def page(tmp_path, pictures, **how) -> str:
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), **how)
    return Text(report.report_html(report.read(run))).seen


def test_the_candidates_are_shown_with_the_one_that_was_kept(html):
    table = re.search(r'<figure class="candidates">.*?</figure>', html, re.DOTALL)[0]
    rows = re.findall(r"<tr[ >].*?</tr>", table)
    assert [cells(row) for row in rows] == [
        ["candidate", "accuracy", "log loss", "on test", ""],
        ["solved head", "80.0%", "0.500", "79.0%", ""],
        ["tuned head", "84.0%", "0.420", "82.0%", ""],
        ["solved again", "86.0%", "0.370", "86.0%", "kept"],
    ]


def cells(row: str) -> list[str]:
    return [Text(cell).seen for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]


def test_it_says_what_was_saved_and_on_what_it_was_fitted(tmp_path, pictures):
    seen = page(tmp_path / "again", pictures)
    for part in (
        "tuned network, its head solved again",
        "in the end the head was fitted to training and validation images together",
        "of predictions made without these images in the fit; the saved head was then fitted",
    ):
        assert part in seen
    seen = page(tmp_path / "tuned", pictures, kept="tuned")
    assert "without these images in the fit." in seen
    assert "together" not in seen.split("Saved:")[1]


@pytest.mark.parametrize(
    ("kept", "key", "said"),
    [("head", "blocks", "The solved head was kept"), ("tuned", "frozen_blocks", "Frozen: ")],
)
def test_where_the_head_was_kept_the_whole_backbone_is_drawn_frozen(
    tmp_path, pictures, kept, key, said
):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), kept=kept)
    html = report.report_html(report.read(run))
    plan = json.loads((run / run_dir.PLAN).read_text())
    assert html.count('<i class="frozen" style') == plan[key]
    assert f'aria-label="{plan[key]} of {plan["blocks"]} blocks are frozen"' in html
    assert said in html


def test_a_candidate_that_it_has_never_heard_of_is_called_by_its_name(tmp_path, pictures):
    assert "what is called 'averaged <b>'" in page(tmp_path, pictures, kept="averaged <b>")


def test_a_run_of_an_older_tl_has_a_page_too(tmp_path, pictures):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), kept="head")
    told = json.loads((run / run_dir.METRICS).read_text())
    del told["refit"]
    told["tune"] = {"epochs": 4, "best_epoch": 9, "kept": "head", "reason": "it gained too little"}
    run.write_json(run_dir.METRICS, told)
    facts = report.read(run)
    seen = Text(report.report_html(facts)).seen
    assert "solved, tuned" in seen
    assert "solved again" not in seen
    assert "It gained too little" in seen
    assert "head kept" in Text(report.comparison_html([facts, facts])).seen


@pytest.mark.parametrize(("policy", "drawn"), [("rule", True), ("evidence", False)])
def test_the_founding_rule_is_drawn_where_it_decided(tmp_path, pictures, policy, drawn):
    run = finished(tmp_path / "run", records(pictures, ["a", "b"], 8), freeze="auto", policy="rule")
    plan = json.loads((run / run_dir.PLAN).read_text())
    run.write_json(run_dir.PLAN, plan | {"policy": policy})
    assert ("founding rule</h3>" in report.report_html(report.read(run))) is drawn


def test_the_palette_is_the_pages_own():
    css = (files("tl_cli.report") / "templates" / "style.css").read_text()
    light = css.split("}", 1)[0]
    assert PALETTE.items() <= dict(re.findall(r"--(\w+): (#\w+)", light)).items()


def test_what_a_run_lacks_is_done_without(run, pictures, tmp_path):
    plain = finished(tmp_path / "plain", records(pictures, ["a", "b"], 4), skill=50)
    assert "No mistakes" in report.report_html(report.read(plain))
    for name in (run_dir.PREDICTIONS, run_dir.HISTORY, run_dir.BAD_FILES):
        (plain / name).unlink()
    told = json.loads((plain / run_dir.METRICS).read_text())
    told["tune"] = None
    del told["metrics"]["test"]
    plain.write_json(run_dir.METRICS, told)
    seen = Text(report.report_html(report.read(plain))).seen
    assert "kept no predictions.csv" in seen
    assert "There were no test images" in seen
    assert "What each depth knows" not in seen


def test_pictures_that_are_gone_are_said_to_be(tmp_path):
    gone = finished(tmp_path / "run", records([tmp_path / "gone.png"], ["a", "b"], 6), skill=0)
    assert "no longer readable" in report.report_html(report.read(gone))


def test_ten_thousand_images_of_two_hundred_classes_stay_small(pictures, tmp_path):
    many = finished(tmp_path / "run", records(pictures, [f"class {i}" for i in range(200)], 17))
    page = report.report_html(report.read(many))
    assert len(page.encode()) < 2e6
    assert "and 160 more classes" in page


def test_several_runs_are_compared_on_the_same_images(run, pictures, tmp_path):
    worse = finished(tmp_path / "worse & older", records(pictures, NASTY, 8), skill=0.5)
    other = finished(tmp_path / "other", records(pictures[:6], ["a", "b"], 4))
    page = report.comparison_html([report.read(each) for each in (run, worse, other)])
    seen = Text(page).seen
    for part in ("worse & older", "were not evaluated on the same images", "Beyond chance?"):
        assert part in seen
    assert Text(page).tags.isdisjoint({"script", "b"})


def test_runs_side_by_side_say_what_was_kept(pictures, tmp_path):
    runs = [finished(tmp_path / kept, records(pictures, ["a", "b"], 4), kept=kept)
            for kept in ("head", "tuned")]  # fmt: skip
    done = tl("compare", *(run.path for run in runs))
    assert done.exit_code == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if line.startswith("kept ")]
    assert row.split() == ["kept", "head", "kept", "tuned"]
    told = json.loads(tl("compare", *(run.path for run in runs), "--json").stdout)
    assert [run["kept"] for run in told["runs"]] == ["head", "tuned"]
    seen = Text(report.comparison_html([report.read(run) for run in runs])).seen
    assert "head kept" in seen
    assert "tuned" in seen


def test_the_command_writes_where_it_says(run, tmp_path):
    done = tl("report", run.path, "--output", tmp_path / "x.html")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "x.html")
    done = tl("report", run.path, run.path, "--output", tmp_path / "y.html", "--json")
    assert json.loads(done.stdout)["report"] == str(tmp_path / "y.html")
    assert "2 runs" in (tmp_path / "y.html").read_text()


@pytest.mark.long
def test_mistakes_are_shown_with_the_evidence_for_them(tmp_path):
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(tmp_path / "photos" / name, seed, 10, colour)
    run = tmp_path / "run"
    done = tl("train", "--data", tmp_path / "photos", *SMALL, "--freeze", "head", "--output", run)
    assert done.exit_code == 0, done.stderr
    answers = (run / run_dir.PREDICTIONS).read_text()
    (run / run_dir.PREDICTIONS).write_text(answers.replace(",blue,blue,", ",blue,red,"))
    assert tl("report", run).exit_code == 0
    page = (run / run_dir.REPORT).read_text()
    assert "Grad-CAM" in page
    assert page.count('alt="evidence for red"') == answers.count(",blue,blue,") > 0
    (run / run_dir.WEIGHTS).write_bytes(b"")
    assert tl("report", run).exit_code == 0
    assert "Grad-CAM" not in (run / run_dir.REPORT).read_text()


@pytest.mark.long
def test_a_head_that_was_not_refit_is_not_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "choose", lambda context, plan, head, again: (again, 0.1, 0.1))
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(tmp_path / "photos" / name, seed, 20, colour)
    run = tmp_path / "run"
    done = tl("train", "--data", tmp_path / "photos", *SMALL, "--freeze", "half", "--epochs", 1,
              "--no-refit", "--output", run, "--verbose")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads((run / run_dir.METRICS).read_text())
    assert told["tune"]["kept"] == "solved again"
    assert told["refit"] is json.loads((run / run_dir.CHECKPOINT).read_text())["refit"] is False
    assert "Saved: the tuned network, its head solved again" in done.stdout
    assert "fitted to" not in done.stdout


# -- mistakes -------------------------------------------------------------------------------------


def test_a_folder_that_is_no_run(tmp_path):
    said(tl("report", tmp_path), "holds no finished run", "hint:")


def test_a_run_that_did_not_finish(tmp_path):
    RunDir.create(tmp_path).status("interrupted")
    said(tl("report", tmp_path), "(interrupted)")


@pytest.mark.parametrize(
    "name", [run_dir.METRICS, run_dir.PLAN, run_dir.CONFIG, run_dir.ENVIRONMENT, run_dir.HISTORY,
             run_dir.BAD_FILES, run_dir.PREDICTIONS],
)  # fmt: skip
def test_a_damaged_file_is_named(pictures, tmp_path, name):
    broken = finished(tmp_path / "run", records(pictures, ["a", "b"], 4))
    (broken / name).write_text("x\n{1")
    said(tl("report", broken.path), name)


def test_no_images_at_all(pictures, tmp_path):
    empty = finished(tmp_path / "run", records(pictures, ["a", "b"], 4))
    (empty / run_dir.MANIFEST).write_text((empty / run_dir.MANIFEST).read_text().split("\n")[0])
    said(tl("report", empty.path), "lists no images")


def test_a_place_that_cannot_be_written(run, tmp_path):
    said(tl("report", run.path, "--output", tmp_path / "no" / "x.html"), "cannot write", "--output")


# -- in a browser ---------------------------------------------------------------------------------

HIDDEN = """[...document.images].filter(i => {
  const box = i.getBoundingClientRect();
  return !i.complete || !i.naturalWidth || box.width < 20 || box.height < 10;
}).length"""
OUTSIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_a_browser_shows_it_whole(html, run, kind, tmp_path):
    if not browser.find():
        pytest.skip("no Chromium is installed, so the report was not opened in a browser")
    page = html if kind == "run" else report.comparison_html([report.read(run)] * 3)
    (tmp_path / "report.html").write_text(page)
    with browser.Browser(tmp_path / "profile") as tab:
        colours = []
        for width, dark in ((1280, False), (390, False), (390, True)):
            tab.open(tmp_path / "report.html", width, dark=dark)
            assert tab.requests() == [(tmp_path / "report.html").as_uri()]
            assert tab.complaints() == []
            assert tab.evaluate("document.images.length") == page.count("<img ")
            assert tab.evaluate(HIDDEN) == 0
            assert tab.evaluate(OUTSIDE) == 0
            assert NASTY[0] in tab.evaluate("document.body.innerText") or kind == "comparison"
            colours.append(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] == colours[1] != colours[2]
