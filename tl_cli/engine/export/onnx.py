"""ONNX: made by tf2onnx, run by onnxruntime. Class names are in the metadata, `classes`.

And where unknown images are told, from which score on: `unknown_threshold`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tf2onnx
from tf2onnx.handler import tf_op

from tl_cli.engine.export.check import calibration
from tl_cli.engine.export.network import Network, Runtime

RUNTIME = "onnxruntime"
OPSET = 17
CATCHES = "TF2ONNX_CATCH_ERRORS"  # whether a failed step is gone back on, for which it copies
CPU = ["CPUExecutionProvider"]


def write(network: Network, path: Path) -> None:
    """Write the file: input `image` [batch, size, size, 3], outputs as they are named."""
    _convert(network, path)
    if network.quantize == "int8":
        _to_int8(path, calibration(network))
    model = onnx.load(path)
    if network.quantize == "float16":
        model = _to_float16(model)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, network.facts)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _convert(network: Network, path: Path) -> None:
    """Have tf2onnx write the file; where one of its optimizations fails, without that one."""
    convert = partial(
        tf2onnx.convert.from_function,
        network.function, [network.image], opset=OPSET, output_path=str(path),
    )  # fmt: skip
    try:
        with _without_copies():
            convert()
    except Exception:  # of any kind: it stumbles over constants of no dimension, among others
        convert()


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Let tf2onnx change its graph in place, not a copy of it, weights and all, for every step.

    Of each gigabyte of weights it would else hold a hundred. What fails is then an error at once.
    """
    before = os.environ.get(CATCHES)
    os.environ[CATCHES] = "FALSE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CATCHES]
        else:
            os.environ[CATCHES] = before


@tf_op("Erfc")
class Erfc:
    """What GELU is made of in TensorFlow, which tf2onnx does not know: 1 - erf(x)."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        """Put the two operations of ONNX in the place of the one."""
        dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
        entering, outputs = node.input[0], node.output
        ctx.remove_node(node.name)
        erf = ctx.make_node("Erf", [entering], dtypes=[dtype], shapes=[shape])
        one = ctx.make_const(f"{node.name}_one", np.array(1, "float32")).output[0]
        difference = [one, erf.output[0]]
        ctx.make_node(
            "Sub", difference, name=node.name, outputs=outputs, dtypes=[dtype], shapes=[shape]
        )


def _to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    half = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()  # the casts of input and output come last, which ONNX does not allow
    return half.model


def _to_int8(path: Path, images: np.ndarray) -> None:
    """Quantize in place, weights by channel, activations by what the images make of them."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_suffix(".prepared")
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, path, Calibration(images), per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
    finally:
        prepared.unlink(missing_ok=True)


class Calibration:
    """Hands over one image after another, as onnxruntime asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self.left = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.left, None)
        return None if image is None else {"image": image[None]}


def runtime(path: Path) -> Runtime:
    """Return what runs the file on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=CPU)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))
