"""OpenVINO IR: a .xml and its .bin. Class names are in the runtime information, `classes`.

And where unknown images are told, from which score on: `unknown_threshold`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino

from tl_cli.engine.export.check import calibration
from tl_cli.engine.export.network import Network, Runtime

RUNTIME = "openvino"
# Where a CPU can, OpenVINO computes in bfloat16 unless it is told not to
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write(network: Network, path: Path) -> None:
    """Write both files: input `image` [batch, size, size, 3], outputs as they are named."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        network.save(Path(folder))
        # read by the runtime itself: openvino.convert_model would send telemetry
        model = openvino.Core().read_model(folder)
        if network.quantize == "int8":
            model = _to_int8(model, calibration(network))
        for key, value in network.facts.items():
            model.set_rt_info(value, key)
        openvino.save_model(model, path, compress_to_fp16=network.quantize == "float16")


def _to_int8(model: openvino.Model, images: np.ndarray) -> openvino.Model:
    os.environ.setdefault("NNCF_CI", "1")  # else it sends telemetry when it is imported
    import nncf

    data = nncf.Dataset(list(images), lambda image: {"image": image[None]})
    return nncf.quantize(model, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(images))


def runtime(path: Path) -> Runtime:
    """Return what runs the files on the CPU, in the precision in which they are written."""
    compiled = openvino.Core().compile_model(path, "CPU", EXACT)
    names = [output.any_name for output in compiled.outputs]

    def named(images: np.ndarray) -> Mapping[str, np.ndarray]:
        found = compiled({"image": images})
        return {name: found[name] for name in names}

    return named
