"""An option is written once, as a field: flag, YAML key, --set, help and panel are made from it."""

import functools
import re

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from tl_cli import config
from tl_cli.cli import train as command
from tl_cli.cli.app import app
from tl_cli.config import GROUPS, RunConfig, option
from tl_cli.errors import TLError

FIELDS = list(RunConfig.model_fields)
RARE = {name for name in FIELDS if option(name).rare}
# one of these is valid for any field, and not its default
TRIED = ("true", "false", "0.5", "3", "64", "low", "rule", "half", "multi", "gem", "gradual",
         "error", "weights", "strong", "yes", "float32", "mobilenet_025", "label=kind",
         "thorough", "classification", "caffe", "tensorboard", "ray")  # fmt: skip


@functools.cache
def helped(*arguments: str) -> str:
    return helped_anew(*arguments)


def helped_anew(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.stderr
    return done.stdout


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def panels(text: str) -> dict[str, list[str]]:
    """Return the long flags under each heading of a help text."""
    titles = re.split(r"^(\w[\w ]*):\n", text, flags=re.MULTILINE)[1:]
    return {
        title: re.findall(r"^  (?:-\w, )?(--[\w-]+)", section, re.MULTILINE)
        for title, section in zip(titles[::2], titles[1::2], strict=True)
    }


def flags_in(text: str) -> set[str]:
    return {flag for flags in panels(text).values() for flag in flags}


def test_the_groups_of_the_fields_are_these_five_and_lie_together():
    groups = [option(name).group for name in FIELDS]
    assert tuple(dict.fromkeys(groups)) == GROUPS
    assert groups == sorted(groups, key=GROUPS.index)
    assert GROUPS == ("Data", "What to train", "Optimisation", "Speed and memory", "Output")


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_help_and_is_a_flag_of_its_name_in_its_panel(name):
    field = option(name)
    assert re.fullmatch(r"\S.*[.?]+", field.help)
    [flag] = [p for p in get_command(app).commands["train"].params if p.name == name]
    assert flag.opts == [flag_of(name)]
    assert flag.help.startswith(field.help)
    assert flag_of(name) in panels(helped("train", "--help-all"))[field.group]


def test_help_lists_five_panels_and_leaves_the_rare_options_to_help_all():
    short, long = helped("train", "--help"), helped("train", "--help-all")
    assert tuple(panels(short))[:5] == tuple(panels(long))[:5] == GROUPS
    assert 10 < len(RARE) < len(FIELDS) - 10
    assert flags_in(short) & set(map(flag_of, FIELDS)) == {
        flag_of(name) for name in FIELDS if name not in RARE
    }
    assert flags_in(long) - flags_in(short) == set(map(flag_of, RARE))


def test_help_after_help_all_in_one_process_is_the_short_one():
    before = helped_anew("train", "--help")
    helped_anew("train", "--help-all")
    assert helped_anew("train", "--help") == before


def test_help_ends_in_three_examples_that_parse(tmp_path, monkeypatch):
    examples = re.findall(r"^ +tl (train .+)$", helped("train", "--help"), re.MULTILINE)
    assert len(examples) == 3
    monkeypatch.setattr(command, "_check", lambda *_: stop())
    for example in examples:
        assert CliRunner().invoke(app, example.split()).exit_code == 0


def stop() -> None:
    raise typer.Exit


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("--freeze", ("[auto|head|half|full|RATIO]", "[default: auto]")),
        ("--similarity", ("[auto|low|medium|high]", "[default: auto]")),
        ("--precision", ("[auto|float32|mixed_float16|mixed_bfloat16]", "[default: auto]")),
        ("--epochs", ("INTEGER", "[default: auto]")),
        ("--learning-rate", ("FLOAT", "[default: auto]")),
        ("--limit", ("INTEGER", "[default: all]")),
        ("--val", ("FLOAT", "[default: 0.2]")),
        ("--backbone", ("NAME", "[default: efficientnet_lite0]")),
        ("--cache", ("/ --no-cache", "[default: cache]")),
        ("--refit", ("/ --no-refit", "[default: refit]")),
        ("--bad-images", ("[skip|error]", "[default: skip]")),
    ],
)
def test_help_shows_type_and_default(flag, shown):
    [entry] = re.findall(
        rf"^  {flag} (.*(?:\n {{3,}}.*)*)", helped("train", "--help-all"), re.MULTILINE
    )
    words = " ".join(entry.split())
    assert words.startswith(shown[0] + " ")
    assert words.endswith(shown[1])


@pytest.mark.parametrize("name", ["data", "similarity", "policy", "backbone"])
def test_other_commands_take_the_help_from_the_same_fields(name):
    field = option(name)
    [flag] = [p for p in get_command(app).commands["recommend-freeze"].params if p.name == name]
    assert flag.help.startswith(field.help)


HELP = [
    ("--help",),
    ("train", "--help-all"),
    *((name, "--help") for name in get_command(app).commands),
]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_fits_into_80_columns(arguments):
    assert max(map(len, helped(*arguments).splitlines())) <= 80


WITH = {"allow_download": ["backbone=best"]}  # what a field cannot do without


def valid(name: str) -> tuple[str, RunConfig]:
    """Return a value for the field as it is typed, and the configuration that it makes."""
    sets = ["data=x", *WITH.get(name, ())]
    default = config.load(sets=sets)
    for text in TRIED:
        try:
            loaded = config.load(sets=[*sets, f"{name}={text}"])
        except TLError:
            continue
        if loaded != default:
            return text, loaded
    raise AssertionError(f"no value to try {name} with: add one to TRIED")


def by_flags(monkeypatch, *arguments: str) -> RunConfig:
    """Return the configuration that `tl train` works by."""
    seen: list[RunConfig] = []

    def capture(settings: RunConfig, *_: bool) -> None:
        seen.append(settings)
        stop()

    monkeypatch.setattr(command, "_check", capture)
    done = CliRunner().invoke(app, ["train", *arguments])
    assert done.exit_code == 0, done.stderr
    return seen[0]


@pytest.mark.parametrize("name", FIELDS)
def test_a_flag_a_set_and_a_yaml_key_make_the_same_configuration(name, tmp_path, monkeypatch):
    text, expected = valid(name)
    sets = [*([] if name == "data" else ["data=x"]), *WITH.get(name, ())]
    data = [word for each in sets for word in ("--set", each)]
    file = tmp_path / "run.yaml"
    file.write_text("\n".join(line.replace("=", ": ", 1) for line in [*sets, f"{name}={text}"]))
    assert by_flags(monkeypatch, *data, *typed(name, text)) == expected
    assert by_flags(monkeypatch, *data, "--set", f"{name}={text}") == expected
    assert by_flags(monkeypatch, "--config", str(file)) == expected


def typed(name: str, text: str) -> list[str]:
    """Return a value as flags: a switch takes none."""
    if option(name).type is not bool:
        return [flag_of(name), text]
    return [flag_of(name) if text == "true" else flag_of(f"no_{name}")]


@pytest.mark.parametrize("name", [name for name in FIELDS if option(name).default is None])
def test_the_word_that_help_shows_for_none_is_accepted(name):
    word = option(name).unset
    assert getattr(config.load(sets=["data=x", f"{name}={word}"]), name) is None
    assert getattr(config.load(flags={"data": "x", name: "auto"}), name) is None


def test_several_mistakes_are_told_a_line_each():
    arguments = ["train", "--data", "x", "--limit", "many", "--set", "ema=2", "--head", "mulit"]
    done = CliRunner().invoke(app, arguments)
    first, *mistakes, hint = done.stderr.splitlines()
    assert first == "error: 3 mistakes in the configuration:"
    assert sorted(line.split(":")[0] for line in mistakes) == [
        "  ema (in --set)",
        "  head",
        "  limit",
    ]
    assert hint == "hint: every key: tl train --help-all"
