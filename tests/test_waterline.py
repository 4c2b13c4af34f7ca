"""Imports run only downward: what lies above the engine never reaches into it, not even late."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tl_cli
from tl_cli.report import diagram
from tl_cli.results.network_summary import LayerRow, Summary

PACKAGE = Path(tl_cli.__file__).parent
ABOVE = (
    "data", "store", "plan", "results", "report",
    "config.py", "catalog.py", "errors.py", "humanize.py", "export_formats.py", "quiet.py",
    "machine.py", "trackers",
)  # fmt: skip


def imported(source: str) -> Iterator[str]:
    """Yield the full name of all that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_engine(name: str) -> bool:
    return f"{name}.".startswith("tl_cli.engine.")


@pytest.mark.parametrize("floor", ABOVE)
def test_nothing_above_the_waterline_imports_the_engine(floor: str) -> None:
    place = PACKAGE / floor
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    assert files
    reaching = {
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in files
        for name in imported(file.read_text())
        if is_engine(name)
    }
    assert not reaching


@pytest.mark.parametrize(
    "line",
    ["import tl_cli.engine.train", "from tl_cli import engine", "from tl_cli.engine import a"],
)
def test_an_import_of_the_engine_is_noticed_inside_a_function_too(line: str) -> None:
    assert any(map(is_engine, imported(f"def late():\n    {line}\n")))
    assert not any(map(is_engine, imported("from tl_cli.engines import a\nimport os.path\n")))


def test_the_drawing_by_graphviz_is_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LayerRow("conv", "Conv2D", "", (4, 4, 2), 56, 800, False, ("input",))
    summary = Summary("tiny", (8, 8, 3), (layer,))
    monkeypatch.setattr(diagram, "_graphviz", lambda: True)
    path = diagram.network_png(summary, tmp_path / "a.png", lambda at: at.write_bytes(b"drawn"))
    assert path.read_bytes() == b"drawn"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
