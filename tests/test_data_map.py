"""The map of a run's images: where they lie, what is marked, and how the page shows it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import browser
from conftest import picture
from finished import finished, records
from test_report import NASTY, Text
from tl_cli import report
from tl_cli.data import pixel_cache
from tl_cli.data.digests import of as digest_of
from tl_cli.engine import data_map as engine
from tl_cli.errors import TLError
from tl_cli.report import data_map as page
from tl_cli.results import data_map
from tl_cli.results.data_map import MapPoint
from tl_cli.store import run_dir


def test_what_is_alike_lies_together():
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(3), 20)
    rows = rng.normal(0, 1, (60, 40)) + 8 * rng.normal(0, 1, (3, 40))[numbers]
    places = engine.plane(rows.astype("float32"))
    assert places.shape == (60, 2)
    assert places.min() == 0 and places.max() == pytest.approx(1)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    same = numbers[:, None] == numbers
    assert apart[same].mean() < 0.4 * apart[~same].mean()
    assert (engine.plane(rows.astype("float32")) == places).all()
    assert (engine.plane(np.ones((12, 5), "float32")) == 0.5).all()


def test_a_label_is_doubtful_where_another_class_is_surer_than_its_own_images_are():
    held_out = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [0.1, 0.9], [0.4, 0.6]])
    labels = np.array([0, 0, 0, 0, 1, 1])  # own: 0.61 on average, and 0.75
    assert engine.doubts(held_out, labels).tolist() == [False] * 6
    held_out[2] = (0.2, 0.8)
    assert engine.doubts(held_out, labels).tolist() == [False, False, True, False, False, False]
    three = np.concatenate([held_out, np.zeros((6, 1))], axis=1)  # a class without images
    assert engine.doubts(three, labels).sum() == 1


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A run with a map, some labels doubtful, and its records: one image is gone."""
    root = tmp_path_factory.mktemp("map")
    files = [root / f"{i}.png" for i in range(12)]
    for i, path in enumerate(files):
        picture(i, (64, 48)).save(path)
    found = records(files, ["a", NASTY[0]], 8)
    found = [replace(r, path=f"{r.path}", digest=digest_of(r)) for r in found]
    found[0] = replace(found[0], path=str(root / "gone.png"))
    run = finished(root / "run", found, skill=1.0)
    once = {r.path: r for r in found}
    rng = np.random.default_rng(0)
    points = [MapPoint(path, *rng.uniform(0, 1, 2), i == 3) for i, path in enumerate(once)]
    run.write_text(run_dir.MAP, data_map.csv_text(points))
    return run, points


def test_the_table_is_read_as_it_was_written(mapped, tmp_path):
    run, points = mapped
    read = data_map.read(run / run_dir.MAP)
    assert [p.path for p in read] == [p.path for p in points]
    assert [p.doubtful for p in read] == [p.doubtful for p in points]
    assert read[1].x == pytest.approx(points[1].x, abs=1e-4)
    assert data_map.read(tmp_path / "none.csv") == ()
    for text in ("path,x\na,1\n", "path,x,y,doubtful\na,2,0,0\n", "path,x,y,doubtful\na,nan,0,0\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(TLError, match="is damaged"):
            data_map.read(tmp_path / "bad.csv")


def test_the_page_shows_every_image_and_marks_the_doubtful(mapped):
    run, points = mapped
    facts = report.read(run)
    html = report.report_html(facts)
    part = re.search(r'<section id="map">.*?</section>', html, re.DOTALL)[0]
    assert part.count("<i class=") - part.count('<i class="wrong"></i>') - part.count(
        '<i class="doubtful"></i>'
    ) == len(points)
    assert part.count("the label looks wrong") == 1
    wrong = {p.path for p in facts.predictions if not p.right} & {p.path for p in points}
    assert f"wrong answer ({len(wrong)})" in part
    assert part.count("data:image/jpeg;base64,") == 1  # all pictures in one
    assert part.count("background-position") == len(points) - 1  # one is gone
    assert re.search(r"The pictures take [\d.]+ kB of this page", part)
    assert NASTY[0] in Text(part).seen
    assert "<script" not in part


def test_pictures_come_from_kept_pixels_where_there_are_any(mapped):
    run, _ = mapped
    [gone] = [r for r in report.read(run).manifest.records if r.path.endswith("gone.png")]
    table = pixel_cache.table(64)
    with table.writing() as append:
        append([gone.digest], np.full((1, 64 * 64 * 3), 200, "uint8"))
    drawn = page.of_run(report.read(run))
    assert all(dot.tile for dot in drawn.dots)


def test_a_run_without_a_map_has_a_page_without_one(tmp_path, mapped):
    run, points = mapped
    facts = report.read(run)
    other = finished(tmp_path / "run", list(facts.manifest.records))
    assert '<section id="map">' not in report.report_html(report.read(other))
    other.write_text(run_dir.MAP, data_map.csv_text([replace(points[0], path="/of another")]))
    assert page.of_run(report.read(other)) is None


@pytest.mark.long
@pytest.mark.skipif(not browser.find(), reason="needs Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)], ids=["wide", "phone"])
def test_a_picture_is_shown_where_it_is_pointed_at(mapped, tmp_path, width, dark):
    run, _ = mapped
    file = tmp_path / "page.html"
    file.write_text(report.report_html(report.read(run)))
    shown = "getComputedStyle(document.querySelector('.map i:nth-of-type(3) span')).display"
    with browser.Browser(tmp_path / "profile") as chrome:
        chrome.open(file, width, dark=dark)
        assert chrome.evaluate(shown) == "none"
        chrome.evaluate("document.querySelector('.map i:nth-of-type(3)').focus()")
        assert chrome.evaluate(shown) == "block"
        inside = json.loads(
            chrome.evaluate("""JSON.stringify((() => {
            const all = [...document.querySelectorAll('.map i')], w = innerWidth;
            return all.map(i => {
                i.focus();
                const r = i.querySelector('span').getBoundingClientRect();
                return r.left >= 0 && r.right <= w;
            }); })())""")
        )
        assert all(inside)
        assert chrome.evaluate("document.documentElement.scrollWidth") <= width
        assert chrome.requests() == [file.as_uri()]
        assert chrome.complaints() == []
