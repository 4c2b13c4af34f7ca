"""What is told without the framework is told without loading it."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "scipy", "sklearn", "matplotlib", "pandas")


def modules_after(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess]:
    """Run the command in a fresh interpreter; return what it imported."""
    code = (
        "import sys\n"
        "from tl_cli.cli import main\n"
        f"sys.argv = ['tl', *{list(arguments)!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('\\nMODULES', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return set(done.stdout.rsplit("MODULES", 1)[1].split()), done


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["recommend-freeze", "--size", "500", "--classes", "5", "--similarity", "low"], 0),
        (["recommend-freeze"], 0),
        (["train", "--data", "no/such/folder"], 1),
        (["train", "--data", "x", "--backbone", "resnet"], 1),
        (["train", "--data", "x", "--freeze", "most"], 1),
        (["evaluate", "no/such/run"], 1),
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
