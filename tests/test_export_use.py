"""What an export ends with: lines that run as they stand; all formats; what people type."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import COLOURS, paint, said, tl
from tl_cli import export_formats
from tl_cli.engine.export import check, recipe
from tl_cli.errors import TLError
from trained import trained

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run whose images and folder have names with blanks and quotes."""
    root = tmp_path_factory.mktemp("it's a place")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        paint(root / "my photos" / name, seed, 10, colour)
    return trained(root / "my photos", root / "a run", "--freeze", "head")


@pytest.fixture(scope="module")
def shown(run) -> dict[str, str]:
    """Export in all formats, and return what is said of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "SECONDS", 0.01)
        done = tl("export", run, "--format", "all", "--benchmark")
    assert done.exit_code == 0, done.stderr
    titles = {row.title: row.name for row in export_formats.FORMATS.values()}
    parts = re.split(rf"^(?=(?:{'|'.join(titles)}): )", done.stdout, flags=re.MULTILINE)[1:]
    return {titles[part.split(":")[0]]: part for part in parts}


def lines_of(part: str) -> str:
    """Return the lines of Python that an export ends with, as they are printed."""
    lines = [line[2:] for line in part.splitlines() if line.startswith("  ")]
    assert 7 <= len(lines) <= 10
    assert max(len(line) for line in lines if "/" not in line) <= 78  # with no path, on 80 columns
    return "\n".join(lines)


@pytest.fixture(scope="module")
def printed(shown, tmp_path_factory) -> dict[str, tuple[dict[str, float], str]]:
    """Run the lines of every format in one fresh interpreter, and return what they print."""
    script = tmp_path_factory.mktemp("script") / "lines.py"
    script.write_text("\n".join(lines_of(part) for part in shown.values()), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    values = [(ast.literal_eval(said), verdict) for said, _, verdict in lines]
    return dict(zip(shown, values, strict=True))


@pytest.fixture(scope="module")
def predicted(run, shown) -> tuple[dict[str, float], str]:
    """What `tl predict` says of the image that the lines name: the same one in all of them."""
    names = {name for part in shown.values() for name in re.findall(r'open\("(.*?\.png)"', part)}
    [image] = names
    told = json.loads(tl("predict", run, image, "--top-k", 3, "--format", "jsonl").stdout)
    verdict = "unknown" if told["label"] == "unknown" else "known"
    return {guess["label"]: guess["probability"] for guess in told["top"]}, verdict


@pytest.mark.long
@pytest.mark.parametrize("form", export_formats.FORMATS)
def test_the_lines_that_are_shown_run_and_give_the_numbers_of_predict(printed, predicted, form):
    (found, verdict), (wanted, wanted_verdict) = printed[form], predicted
    assert found == pytest.approx(wanted, abs=0.01)
    assert verdict == wanted_verdict


@pytest.mark.long
@pytest.mark.parametrize("form", export_formats.FORMATS)
def test_what_goes_in_and_comes_out_is_said(run, shown, form):
    assert "Input: image, float32 [batch, 32, 32, 3], RGB from 0 to 255" in shown[form]
    assert "Second output: unknown_score, float32 [batch]: above 1" in shown[form]
    assert all(repr(name) in shown[form] for name in COLOURS)
    assert re.search(r"Measured on this machine: [\d.]+ ms an image, one at a time;", shown[form])
    row = export_formats.FORMATS[form]
    place = run / "export" / row.file_name(None)
    told = json.loads(place.with_name(f"{place.name}.json").read_text())
    assert told["passed"] and told["milliseconds"]["1"] > 0
    for key in ("path", "recipe", "card"):
        assert Path(told[key]).exists() and told[key] in shown[form]


@pytest.mark.long
def test_all_formats_go_into_the_folder_that_is_given(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    said(tl("export", run, "--format", "all", "--output", tmp_path / "file"), "need a folder")
    monkeypatch.setattr(export_formats, "FORMATS", {"keras": export_formats.FORMATS["keras"]})
    done = tl("export", run, "--format", "ALL", "--output", tmp_path / "for phones", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["format"] for one in told["exports"]] == ["keras"]
    assert told["left_out"] == []
    assert sorted(p.name for p in (tmp_path / "for phones").iterdir()) == [
        "model.keras", "model.keras.card.md", "model.keras.json", "model.keras.md"
    ]  # fmt: skip
    again = tl("export", run, "--format", "all", "--output", tmp_path / "for phones")
    said(again, "is there already", "--overwrite")


# -- above the waterline ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tflite", "litert"), ("TFLite", "litert"), (".tflite", "litert"), ("tf-lite", "litert"),
        ("tf", "saved_model"), ("SavedModel", "saved_model"), ("saved-model", "saved_model"),
        ("keras3", "keras"), (".keras", "keras"), ("ONNX", "onnx"), ("openvino", "openvino"),
    ],
)  # fmt: skip
def test_what_people_type_is_understood(typed, meant):
    assert export_formats.get(typed).name == meant


@pytest.mark.parametrize("typed", ["torch", "PyTorch", "pt", ".pth", "coreml", "tensorrt", "tfjs"])
def test_what_there_will_not_be_is_refused_with_a_reason_and_a_way(typed):
    with pytest.raises(TLError, match=f"there is no format '{typed}': ") as raised:
        export_formats.get(typed)
    assert "--format " in raised.value.hint


@pytest.mark.long
def test_torch_is_refused_at_the_command_too(run):
    said(tl("export", run, "--format", "torch"), "PyTorch opens no network", "--format onnx")


@pytest.mark.parametrize(("typed", "near"), [("onx", "onnx"), ("tflit", "tflite"), ("alll", "all")])
def test_an_unknown_format_is_told_with_the_nearest(typed, near):
    with pytest.raises(TLError, match=f"unknown format '{typed}': did you mean '{near}'?"):
        export_formats.chosen(typed)


def test_every_alias_means_a_format():
    rows = {*export_formats.FORMATS}
    assert set(export_formats.ALIASES.values()) <= rows
    assert set(export_formats.SAME_REFUSAL.values()) <= set(export_formats.REFUSED)
    assert not rows & {*export_formats.ALIASES, *export_formats.REFUSED}


def test_all_leaves_out_what_is_not_installed_or_has_no_such_form(monkeypatch):
    whole = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else whole(name)
    )
    rows, reasons = export_formats.chosen("all", "int8")
    assert [row.name for row in rows] == ["onnx", "litert"]
    assert any("SavedModel has no int8 form" in reason for reason in reasons)
    assert any("pip install 'tl-cli[openvino]'" in reason for reason in reasons)
    with pytest.raises(TLError, match="unknown quantization"):
        export_formats.chosen("all", "int4")


def test_values_that_hold_placeholders_are_not_filled_twice():
    assert recipe._filled("A_ B_", {"A_": "B_", "B_": "x"}) == "B_ x"
