"""What is told without the framework is told without loading it."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "scipy", "sklearn", "matplotlib", "pandas")


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
    ("arguments", "code"),
    [
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
    ],
)
def test_help_advice_and_mistakes_load_no_framework(arguments, code):
    modules, done = modules_after(*arguments)
    assert done.returncode == code, done.stderr
    assert not modules & set(HEAVY)
    assert "numpy" not in modules
    assert "Traceback" not in done.stderr


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


def test_drawing_a_folder_loads_no_framework(image_folder, tmp_path):
    folder = image_folder(n=4)
    modules, done = modules_after("inspect", str(folder), "--plots", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples.png").is_file()
    assert not modules & {"tensorflow", "keras", "tensorflow_datasets", "sklearn"}


def test_the_list_of_commands_tells_each_in_a_whole_sentence():
    _, done = modules_after("--help")
    listed = done.stdout.split("First steps:")[1]
    assert "recommend-freeze" in listed
    assert "..." not in listed
