"""The tables of docs/ are what their scripts make of the lines that are kept beside them."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = (
    "bench_backbones", "bench_depths", "bench_heads", "bench_pooling", "bench_rank",
    "calibrate_similarity", "check_backbones", "fit_policy",
)  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_table_is_what_its_script_makes_of_its_lines(name, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name, "--docs"])
    pages, script = importlib.import_module("pages"), importlib.import_module(name)
    monkeypatch.setattr(pages, "DOCS", Path(shutil.copytree(ROOT / "docs", tmp_path / "docs")))
    shutil.copy(ROOT / "README.md", tmp_path)
    written, put = [], pages.put
    monkeypatch.setattr(pages, "put", lambda page, *rest: written.append(page) or put(page, *rest))
    script.main()
    assert written
    for page in set(written):
        assert (tmp_path / "docs" / page).read_text() == (ROOT / "docs" / page).read_text(), page


@pytest.mark.parametrize(
    "name", ["coverage", "unknown", "peers", "multilabel", "regression"], ids=str
)
def test_what_a_script_prints_of_its_lines_stands_in_docs(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [name, "--table"])
    importlib.import_module(f"bench_{name}").main()
    pages = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md")).splitlines()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert printed and not [line for line in printed if line not in pages]
