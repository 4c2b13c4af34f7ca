"""LiteRT, formerly TensorFlow Lite: for phones and small boards.

Class names are inside, as labels.txt in the zip archive that ends the file: `unzip -p FILE`; and
where unknown images are told, from which score on, as unknown_threshold.txt.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tl_cli.engine.export.check import calibration
from tl_cli.engine.export.network import SIGNATURE, Network, Runtime

RUNTIME = "ai-edge-litert"


def write(network: Network, path: Path) -> None:
    """Write the file: signature `serving_default` from `image` to the outputs, all float32."""
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
        path.write_bytes(_in_order(converter.convert(), network.outputs))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in network.files.items():
            archive.writestr(name, text)


def _in_order(model: bytes, names: Sequence[str]) -> bytearray:
    """Return the file with its outputs in this order, for whoever asks for them by number.

    The converter has an order of its own. The numbers of the tensors are changed where they lie.
    """
    changed = bytearray(model)
    whole = schema.Model.GetRootAs(changed)
    signature = whole.SignatureDefs(0)
    maps = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    tensors = {each.Name().decode(): each.TensorIndex() for each in maps}
    whole.Subgraphs(0).OutputsAsNumpy()[:] = [tensors[name] for name in names]
    return changed


def runtime(path: Path) -> Runtime:
    """Return what runs the file on the CPU."""
    run = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
    return lambda images: run(image=images)
