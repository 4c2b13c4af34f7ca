"""The page beside an exported file: its programs give the numbers of `tl predict`, elsewhere."""

import base64
import functools
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import browser
from conftest import picture
from test_cli import tl
from tl_cli import catalog, export_formats
from tl_cli.data.decode import open_rgb_bytes, squash
from tl_cli.engine.export import recipe

pytestmark = pytest.mark.usefixtures("loaded_once")

CLOSE = 0.01


@pytest.fixture(scope="module")
def run(trained_once):
    # real weights: random ones make much of half a grey level
    return trained_once("--freeze", "head", "--backbone", catalog.DEFAULT)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Image files as they are elsewhere: large, turned, transparent, with a palette."""
    folder = tmp_path_factory.mktemp("elsewhere")
    picture(1, (300, 200)).save(folder / "large.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(2, (150, 110)).save(folder / "turned.jpg", exif=turned, quality=95)
    picture(3, (90, 41)).save(folder / "wide.png")
    clear = picture(4, (50, 70))
    clear.putalpha(picture(5, (50, 70)).convert("L"))
    clear.save(folder / "clear.png")
    picture(6, (20, 33)).quantize(16).save(folder / "palette.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def predicted(run, images):
    done = tl("predict", run, *images, "--top-k", 3, "--format", "jsonl")
    lines = map(json.loads, done.stdout.splitlines())
    return [{g["label"]: g["probability"] for g in line["top"]} for line in lines]


@functools.cache
def exported(run, form):
    """Export once, whoever asks for it."""
    done = tl("export", run, "--format", form, "--overwrite", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def program(page, language):
    return re.search(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)[1]


IN_TURN = """
import runpy, sys
programs, images = sys.argv[1].split(","), sys.argv[2:]
for program in programs:
    sys.argv = [program, *images]
    runpy.run_path(program, run_name="__main__")
    print("-----")
"""


@pytest.fixture(scope="module")
def printed(run, images, tmp_path_factory):
    """Run the program of each page in one fresh interpreter; return the lines that each prints."""
    folder = tmp_path_factory.mktemp("programs")
    for form in export_formats.FORMATS:
        text = program(Path(exported(run, form)["recipe"]), "python")
        (folder / f"{form}.py").write_text(text, encoding="utf-8")
    programs = [str(folder / f"{form}.py") for form in export_formats.FORMATS]
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, ",".join(programs), *images],
        cwd=run / "export",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("-----\n")[:-1]
    return {
        form: part.splitlines() for form, part in zip(export_formats.FORMATS, parts, strict=True)
    }


@pytest.mark.long
@pytest.mark.parametrize("form", export_formats.FORMATS)
def test_the_python_program_gives_the_numbers_of_predict(
    run, images, predicted, printed, form, tmp_path
):
    told = exported(run, form)
    page = run / "export" / (Path(told["path"]).name + ".md")
    assert str(page) == told["recipe"]
    words = page.read_text(encoding="utf-8")
    for part in ("EXIF", "squashed", "antialiasing", "32 x 32"):
        assert part in words
    for line, path, wanted in zip(printed[form], images, predicted, strict=True):
        found = eval(line.removeprefix(str(path)))
        assert found == pytest.approx(wanted, abs=CLOSE), path.name
    if shutil.which("node") and form != "keras":  # at least it is JavaScript; Keras has none
        script = tmp_path / "program.mjs"
        script.write_text(program(page, "javascript"), encoding="utf-8")
        assert subprocess.run(["node", "--check", script], check=False).returncode == 0


@pytest.mark.long
def test_a_saved_model_opens_files_itself_and_turns_them(run, images, predicted):
    import tensorflow as tf

    loaded = tf.saved_model.load(exported(run, "saved_model")["path"])
    files = tf.constant([path.read_bytes() for path in images])
    found = loaded.signatures["encoded"](files=files)["probabilities"].numpy()
    for p, wanted, path in zip(found, predicted, images, strict=True):
        assert dict(zip(sorted(wanted), p.tolist(), strict=True)) == pytest.approx(
            wanted, abs=CLOSE
        ), path.name


@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_the_orientation_is_read_in_the_graph(orientation):
    import tensorflow as tf

    from tl_cli.engine.export import saved_model

    exif = Image.Exif()
    exif[0x010F] = "maker"
    if orientation is not None:
        exif[0x0112] = orientation
    for order in "<>":
        exif.endian = order
        file = io.BytesIO()
        picture(7, (90, 60)).save(file, "JPEG", exif=exif, quality=95)
        data = file.getvalue()
        wanted = np.asarray(squash(open_rgb_bytes(data, 32), 32), "float32")
        found = saved_model._opened(tf.constant(data), 32).numpy()
        assert np.abs(found - wanted).mean() < 0.5


@pytest.mark.parametrize(
    "data", [b"", b"Exif\0\0", b"\xff\xd8Exif\0\0II*\0", b"Exif\0\0MM\0*" + b"\xff" * 40]
)
def test_a_damaged_segment_tells_no_orientation(data):
    import tensorflow as tf

    from tl_cli.engine.export import saved_model

    assert int(saved_model.exif_orientation(tf.constant(data))) == 1


@pytest.mark.long
@pytest.mark.skipif(not browser.find(), reason="there is no Chromium")
def test_the_javascript_opens_images_as_predict_does(run, images, predicted, tmp_path):
    import onnxruntime

    told = exported(run, "onnx")
    code = program(Path(told["recipe"]), "javascript").split("import *")[0]
    session = onnxruntime.InferenceSession(told["path"], providers=["CPUExecutionProvider"])
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>recipe</title>")
    with browser.Browser(tmp_path / "profile") as tab:
        tab.open(page, 800)
        for path, wanted in zip(images, predicted, strict=True):
            data = base64.b64encode(path.read_bytes()).decode()
            values = tab.evaluate(
                f"(async () => {{ {code}\nconst bytes = Uint8Array.from(atob('{data}'), "
                "(c) => c.charCodeAt(0));\n"
                "return [...await opened(new Blob([bytes]))]; })()"
            )
            image = np.array(values, "float32").reshape(1, 32, 32, 3)
            [found] = session.run(["probabilities"], {"image": image})[0]
            said = dict(zip(told["classes"], found.tolist(), strict=True))
            assert said == pytest.approx(wanted, abs=CLOSE), path.name


def test_class_names_are_told_as_they_are_whatever_they_hold():
    names = ["a\nb", 'q"', "猫", "\x1b[31m", "```"]
    text = recipe.classes_of(names)
    assert json.loads(text) == names
    assert "\x1b" not in text and "\n" not in text
