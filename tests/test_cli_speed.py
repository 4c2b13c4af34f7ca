"""What is told without the framework is told without loading it."""

import json
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "scipy", "sklearn", "matplotlib", "pandas")
COMMANDS = [
    ([], 0),
    (["--help"], 0),
    (["train", "--help"], 0),
    (["train", "--help-all"], 0),
    (["recommend-freeze", "--size", "500", "--classes", "5", "--similarity", "low"], 0),
    (["recommend-freeze"], 0),
    (["train", "--data", "no/such/folder"], 1),
    (["train", "--data", "x", "--backbone", "resnet"], 1),
    (["train", "--data", "x", "--freeze", "most"], 1),
    (["train", "--data", "x", "--weights", "nope.weights.h5"], 1),
    (["evaluate", "no/such/run"], 1),
    (["predict", "--help"], 0),
    (["predict", "no/such/run", "x.jpg"], 1),
    (["export", "--help"], 0),
    (["export", "no/such/run", "--format", "onnx"], 1),
    (["inspect", "--help"], 0),
    (["inspect", "no/such/folder"], 1),
    (["inspect", "x", "--augment", "wild"], 1),
    (["inspect", "x", "--output", "y"], 2),
    (["cache"], 0),
    (["cache", "--clear"], 0),
    (["cache", "--max-size", "much"], 2),
    (["train", "--no-such-option"], 2),
    (["recommend-freeze", "--size", "500"], 2),
]
IN_TURN = """
import contextlib, json, sys, tempfile
from tl_cli.cli.app import main
told = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["tl", *arguments]
    before, code = {*sys.modules}, 0
    said = tempfile.TemporaryFile("w+")
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    said.seek(0)
    told.append((code, [*({*sys.modules} - before)], said.read()))
print(json.dumps(told), file=sys.__stdout__)
"""


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory) -> list[tuple[int, list[str], str]]:
    """Give all commands in one fresh interpreter; return how each ended, imported and said.

    What an earlier one imported is not imported again: it fails there.
    """
    command = [sys.executable, "-c", IN_TURN, json.dumps([command for command, _ in COMMANDS])]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path_factory.mktemp("nothing")
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def modules_after(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess]:
    """Run the command in a fresh interpreter; return what it imported."""
    code = (
        "import sys\n"
        "from tl_cli.cli.app import main\n"
        f"sys.argv = ['tl', *{list(arguments)!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('\\nMODULES', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return set(done.stdout.rsplit("MODULES", 1)[1].split()), done


@pytest.mark.parametrize(
    "number", range(len(COMMANDS)), ids=[" ".join(command) for command, _ in COMMANDS]
)
def test_help_advice_and_mistakes_load_no_framework(in_turn, number):
    code, modules, said = in_turn[number]
    assert code == COMMANDS[number][1], said
    assert not {*modules} & {*HEAVY, "numpy"}
    assert "Traceback" not in said


def test_advice_for_a_folder_with_a_stated_similarity_loads_no_framework(image_folder):
    folder = image_folder(n=10)
    modules, done = modules_after(
        "recommend-freeze", "--data", str(folder), "--similarity", "high", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert not modules & {"tensorflow", "keras", "tensorflow_datasets", "sklearn"}


def test_looking_at_a_folder_loads_no_framework_and_no_plotting(image_folder):
    modules, done = modules_after("inspect", str(image_folder(n=4)))
    assert done.returncode == 0, done.stderr
    assert not modules & set(HEAVY)


@pytest.mark.long
def test_drawing_a_folder_loads_no_framework(image_folder, tmp_path):
    folder = image_folder(n=4)
    modules, done = modules_after("inspect", str(folder), "--plots", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.png").is_file()
    assert not modules & {"tensorflow", "keras", "tensorflow_datasets", "sklearn"}


def test_the_list_of_commands_tells_each_in_a_whole_sentence(in_turn):
    listed = in_turn[COMMANDS.index((["--help"], 0))][2].split("First steps:")[1]
    assert "recommend-freeze" in listed
    assert "..." not in listed
