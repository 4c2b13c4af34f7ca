"""Three tiers of tests: the default one passes over nothing that the others look at in depth."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

import conftest
from tl_cli.cli.app import app

TESTS = Path(__file__).parent
LATER = ("mark.long", "mark.slow")


def first_words() -> set[str]:
    """Return what calls and sequences begin with in the functions that are in no later tier."""
    found = set()
    for file in TESTS.glob("test_*.py"):
        for part in ast.parse(file.read_text()).body:
            marks = [ast.unparse(each) for each in getattr(part, "decorator_list", ())]
            if any(mark.split("(")[0].endswith(LATER) for mark in marks):
                continue
            for each in ast.walk(part):
                words = {ast.Call: "args", ast.Tuple: "elts", ast.List: "elts"}.get(type(each))
                first = getattr(each, words)[:1] if words else ()
                found |= {word.value for word in first if isinstance(word, ast.Constant)}
    return found


def test_each_command_is_given_in_the_default_suite():
    commands = typer.main.get_command(app).commands
    assert {name for name, command in commands.items() if not command.hidden} <= first_words()


def test_ci_runs_the_default_suite_and_then_the_long_one():
    root = TESTS.parent
    ran = [line for line in (root / ".ci" / "run").read_text().splitlines() if "scripts/" in line]
    assert ran == ["bash scripts/check", "bash scripts/test", "bash scripts/test long"]
    options = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["addopts"].endswith("-m 'not slow and not long'")
    assert '-m "long and not slow"' in (root / "scripts" / "test").read_text()


class Item:
    """A test as pytest collects it."""

    def __init__(self, name: str, **marks: SimpleNamespace) -> None:
        self.nodeid, self.path, self.marks = name, Path("test_x.py"), marks

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        return self.marks.get(name)

    def add_marker(self, name: str) -> None:
        self.marks[name] = SimpleNamespace(args=())


@pytest.mark.parametrize(("first", "long"), [(1, ["b"]), (2, [])])
def test_of_a_tests_parameters_the_first_are_default_ones(first, long):
    several, slow = SimpleNamespace(args=(first,)), SimpleNamespace(args=())
    items = [Item("test_x[a]", others_long=several), Item("test_x[s]", others_long=several,
             slow=slow), Item("test_x[b]", others_long=several), Item("test_y[b]")]  # fmt: skip
    conftest.pytest_collection_modifyitems(items)
    assert [each.nodeid for each in items if "long" in each.marks] == [f"test_x[{n}]" for n in long]
