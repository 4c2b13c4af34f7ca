"""LiteRT, formerly TensorFlow Lite: for phones and small boards.

Class names are inside, as labels.txt in the zip archive that ends the file: `unzip -p FILE`.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tl_cli.engine.export.check import calibration
from tl_cli.engine.export.network import SIGNATURE, Network, Runtime

RUNTIME = "ai-edge-litert"


def write(network: Network, path: Path) -> None:
    """Write the file: signature `serving_default` from `image` to `probabilities`, both float32."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        network.save(Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if network.quantize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if network.quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if network.quantize == "int8":
            images = calibration(network)
            converter.representative_dataset = lambda: ({"image": x[None]} for x in images)
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", network.labels)


def runtime(path: Path) -> Runtime:
    """Return what runs the file on the CPU."""
    run = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
    return lambda images: _only(run(image=images))


def _only(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    [output] = outputs.values()
    return output
