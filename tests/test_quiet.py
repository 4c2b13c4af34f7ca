"""What TensorFlow, absl and Keras have to say never reaches a terminal."""

import subprocess
import sys

import pytest

NOISE = """
import logging, sys, warnings
from tl_cli.console import streams
streams.install()
{load}
import absl.logging, tensorflow as tf
tf.get_logger().warning("noise: 5 calls triggered tf.function retracing")
logging.getLogger("tensorflow.python.data").error("noise")
absl.logging.warning("noise")
absl.logging.error("noise")
for module in ("keras.src.saving.saving_lib", "tensorflow.python.x", "keras_hub.src.y"):
    warnings.warn_explicit("noise", UserWarning, module.replace(".", "/"), 1, module)
warnings.warn_explicit("of our own", UserWarning, "ours.py", 1, "ours")
print("told", file=sys.stderr)
"""


def said(load: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", NOISE.format(load=load)], capture_output=True, text=True, check=True
    )
    return done.stderr + done.stdout


@pytest.mark.long
def test_what_libraries_log_and_warn_of_is_held_back_and_nothing_else():
    told = said("from tl_cli import engine")
    assert "noise" not in told
    assert "absl" not in told
    assert "of our own" in told
    assert told.endswith("told\n")


def test_standard_error_is_seen_while_libraries_are_held_back():
    program = """
import os, sys
from tl_cli.console import streams
from tl_cli.quiet import quiet
streams.install()
with quiet():
    os.write(2, b"from a library\\n")
    print("drawn", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == "drawn\n"
